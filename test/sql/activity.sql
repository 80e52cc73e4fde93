-- The functions that write the rollups. Their numbers are compared with an independent calculation in "exactness";
-- here: what they write and leave, their edges, their errors.
SET TimeZone = 'UTC';
SET client_min_messages = warning;

CREATE TEMP TABLE event AS
SELECT md5('id' || i)::uuid AS id, md5('w' || i % 3)::uuid AS workspace_id, md5('u' || i % 11)::uuid AS user_id,
       (ARRAY['page_view', 'agent_run', 'error', 'api_call', 'agent_run'])[1 + i % 5] AS event_type,
       'name ' || i % 4 AS event_name,
       CASE WHEN i % 2 = 0 THEN md5('s' || i % 17)::uuid END AS session_id,
       CASE WHEN i % 5 IN (1, 4) THEN jsonb_build_object(
                'agent_id', md5('a' || i % 4)::uuid, 'run_id', 'r' || i / 2,
                'status', (ARRAY['completed', 'failed', 'running', 'cancelled', 'odd'])[1 + i % 7 % 5],
                'runtime_seconds', i * 0.37, 'credits', i * 0.01, 'tokens', i, 'model', 'm' || i % 3)
            WHEN i % 5 = 2 THEN jsonb_build_object('error_type', 'e' || i % 3, 'run_id', 'r' || i / 2)
            WHEN i % 5 = 3 THEN jsonb_build_object('duration_ms', i, 'rating', i % 6, 'agent_id', md5('a' || i % 4)::uuid)
            ELSE '{}' END AS metadata,
       '2025-11-08 00:00+00'::timestamptz + i * interval '29 seconds' AS created_at
FROM generate_series(0, 2899) AS i;

-- Errors.
SELECT analytics.aggregate_daily_metrics(NULL);
SELECT analytics.aggregate_daily_metrics('infinity');
-- The DETAIL of these two is a moving date.
\set VERBOSITY terse
SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date + 3) > 0;
SELECT analytics.aggregate_hourly_metrics(now() + interval '2 hours') > 0;
\set VERBOSITY default
SELECT analytics.aggregate_hourly_metrics(NULL);
SELECT analytics.aggregate_hourly_metrics('-infinity');

-- Writing: any day and hour, idempotent, updated_at only where a value changed, what vanished goes.
BEGIN;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for
SELECT analytics.create_partitions('2025-11-08', '2025-11-08');
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, session_id, metadata, created_at)
SELECT id, workspace_id, user_id, event_type, event_name, session_id, metadata, created_at FROM event;
SELECT analytics.aggregate_daily_metrics('1066-10-14') AS before_everything;
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
SELECT analytics.aggregate_hourly_metrics('2025-11-08 03:59:59.999') AS workspaces;
SELECT DISTINCT metric_hour, is_final FROM analytics.hourly_metrics;
UPDATE analytics.daily_metrics SET updated_at = '2000-01-01';
UPDATE analytics.agent_performance SET updated_at = '2000-01-01';
UPDATE analytics.daily_event_usage SET updated_at = '2000-01-01';
UPDATE analytics.hourly_metrics SET updated_at = '2000-01-01';
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
SELECT analytics.aggregate_hourly_metrics('2025-11-08 03:00') AS workspaces;
SELECT count(*) FILTER (WHERE updated_at > '2000-01-01') AS changed, count(*) > 0 AS some
FROM (SELECT updated_at FROM analytics.daily_metrics UNION ALL SELECT updated_at FROM analytics.agent_performance
      UNION ALL SELECT updated_at FROM analytics.daily_event_counts UNION ALL SELECT updated_at FROM analytics.hourly_metrics) AS r;
DELETE FROM analytics.user_activity WHERE workspace_id = md5('w1')::uuid;
DELETE FROM analytics.user_activity WHERE workspace_id = md5('w2')::uuid AND metadata ->> 'agent_id' = md5('a1')::uuid::text;
-- One workspace alone leaves the others as they are.
SELECT analytics.aggregate_daily_metrics('2025-11-08', md5('w1')::uuid) AS workspaces;
SELECT (SELECT count(*) FROM analytics.daily_metrics) AS days,
       (SELECT count(DISTINCT workspace_id) FROM analytics.agent_performance) AS with_agents,
       (SELECT count(*) FROM analytics.agent_performance WHERE agent_id = md5('a1')::uuid) AS of_agent,
       (SELECT count(DISTINCT workspace_id) FROM analytics.daily_event_counts) AS with_counts;
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
SELECT (SELECT count(*) FROM analytics.agent_performance WHERE agent_id = md5('a1')::uuid) AS of_agent;
-- Beyond the memory allowed the day is done in several passes over hash ranges of workspaces: same numbers.
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT md5('x' || e.id || n)::uuid, md5(e.workspace_id || '-' || n)::uuid, user_id, event_type, event_name, metadata, created_at
FROM event AS e, generate_series(1, 12) AS n;
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
CREATE TEMP TABLE before AS SELECT * FROM analytics.daily_metrics;
INSERT INTO analytics.settings VALUES ('rollup_memory_mb', '1');
SELECT analytics_internal.event_bytes('2025-11-07Z', '2025-11-10Z') / 6 > 1024 * 1024 AS several_passes;
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
SELECT count(*) AS differences FROM (TABLE before EXCEPT SELECT * FROM analytics.daily_metrics) AS d;
-- A large day is shared out to the processes of a parallel plan, with several passes each: same numbers.
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 4;
UPDATE analytics.daily_metrics SET total_events = -1, updated_at = '-infinity';
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
SELECT count(*) AS differences
FROM (SELECT to_jsonb(b) - 'updated_at' FROM before AS b EXCEPT SELECT to_jsonb(d) - 'updated_at' FROM analytics.daily_metrics AS d) AS d;
EXPLAIN (COSTS OFF) SELECT c.* FROM analytics_internal.collect_rollups('2025-11-08', now(), '2025-11-08 UTC', '2025-11-09 UTC', 2, 0, 1) AS c
UNION ALL SELECT c.* FROM analytics_internal.collect_rollups('2025-11-08', now(), '2025-11-08 UTC', '2025-11-09 UTC', 2, 1, 1) AS c;
SELECT min(n) > 0 AS every_share_has_some, sum(n) AS workspaces, sum(n) = sum(different) AS disjoint
FROM (SELECT share, count(*) AS n, count(DISTINCT to_jsonb(c.contents) ->> 'workspace_id') AS different
      FROM generate_series(0, 3) AS share,
          analytics_internal.collect_rollups('2025-11-08', now(), '2025-11-08 UTC', '2025-11-09 UTC', 4, share, 2) AS c
      WHERE c.rollup = 0 -- daily_metrics
      GROUP BY share) AS s;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
-- Events that wait in the default partition need memory, too.
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT id, workspace_id, user_id, event_type, event_name, metadata, created_at - interval '10 years' FROM analytics.user_activity;
SELECT pg_relation_size('analytics.user_activity_default') / 6 > 1024 * 1024 AS several_passes;
-- Once before: PostgreSQL too has messages of this level, about its caches.
SELECT analytics.aggregate_daily_metrics('2015-11-08') AS workspaces;
SET LOCAL client_min_messages = debug1;
SELECT analytics.aggregate_daily_metrics('2015-11-08') AS workspaces;
RESET client_min_messages;
ROLLBACK;

-- A caller under row security gets the full answer or an error, never an empty day.
BEGIN;
CREATE ROLE activity_caller;
SELECT analytics.create_partitions('2025-11-08', '2025-11-08') AS made;
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at)
SELECT id, workspace_id, user_id, event_type, created_at FROM event;
SAVEPOINT s;
SET LOCAL ROLE activity_caller;
SELECT analytics.aggregate_daily_metrics('2025-11-08');
ROLLBACK TO s;
SELECT analytics.grant_operator('activity_caller');
SET LOCAL ROLE activity_caller;
SELECT analytics.aggregate_daily_metrics('2025-11-08') AS workspaces;
RESET ROLE;
SELECT sum(total_events) AS events FROM analytics.daily_metrics;
ROLLBACK;
