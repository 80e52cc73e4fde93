-- What the daily rollup keeps for ranges of days: sketches of runtimes, errors with their messages.
\set QUIET on
\pset format unaligned
\set VERBOSITY terse
BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.daily_error_types;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for

-- 4,000 events of a day in two workspaces: runs with and without run_id, several events a run, error events with
-- and without the run they belong to.
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT md5('id' || n)::uuid, md5('w' || n % 2)::uuid, md5('u' || n % 50)::uuid, t.event_type,
       CASE WHEN n % 3 = 0 THEN 'name ' || n % 4 END,
       jsonb_strip_nulls(jsonb_build_object(
           'agent_id', CASE WHEN n % 5 > 0 THEN md5('a' || n % 3) END,
           'run_id', CASE WHEN n % 4 > 0 THEN 'r' || (n * 7919) % 900 END,
           'status', CASE WHEN t.event_type = 'agent_run' THEN (ARRAY['ok', 'failed', 'running', 'cancelled'])[1 + n % 11 % 4] END,
           'runtime', CASE WHEN n % 6 > 0 THEN round(exp(n % 97 / 10.0)::numeric, 6) END,
           'error_type', CASE WHEN n % 7 > 0 THEN 'type ' || n % 7 END,
           'error_message', CASE WHEN n % 13 > 2 THEN 'message ' || (n * 31) % 401 END)),
       '2024-05-06 00:00+00'::timestamptz + n * interval '21 seconds'
FROM generate_series(1, 4000) AS n,
     LATERAL (SELECT (ARRAY['agent_run', 'agent_run', 'error', 'page_view'])[1 + (n * 13) % 17 % 4] AS event_type) AS t;
SELECT analytics.aggregate_daily_metrics('2024-05-06');

-- Brute force. Of a run with an id the last event that says how it ended decides, else the last that says anything but "running".
CREATE TEMPORARY VIEW event AS
SELECT e.workspace_id, e.event_type, coalesce(e.event_name, '') AS event_name, e.created_at, e.id, e.metadata ->> 'run_id' AS run_id,
       e.metadata ->> 'status' AS status, (e.metadata ->> 'agent_id')::uuid AS agent_id, (e.metadata ->> 'runtime')::numeric AS runtime,
       coalesce(e.metadata ->> 'error_type', 'unknown') AS error_type, e.metadata ->> 'error_message' AS message
FROM analytics.user_activity AS e;
CREATE TEMPORARY VIEW run AS
SELECT DISTINCT ON (workspace_id, coalesce(run_id, id::text)) * FROM event
WHERE event_type = 'agent_run' AND status <> 'running'
ORDER BY workspace_id, coalesce(run_id, id::text), created_at DESC, id DESC;
CREATE TEMPORARY VIEW error AS
SELECT workspace_id, error_type, event_name, message FROM event WHERE event_type = 'error'
UNION ALL
SELECT workspace_id, error_type, event_name, message FROM run AS r
WHERE status = 'failed'
  AND NOT EXISTS (SELECT FROM event AS e WHERE e.event_type = 'error' AND e.workspace_id = r.workspace_id AND e.run_id = r.run_id);

\echo errors, and rows that differ
SELECT count(*), count(DISTINCT message), count(*) FILTER (WHERE message IS NULL) FROM error;
SELECT workspace_id, error_type, event_name, count(*), count(DISTINCT message) FROM error GROUP BY 1, 2, 3
EXCEPT
SELECT workspace_id, error_type, event_name, errors, cardinality(message_hashes) FROM analytics.daily_errors WHERE metric_date = '2024-05-06';
SELECT d.workspace_id, d.total_errors, sum(e.errors)
FROM analytics.daily_metrics AS d LEFT JOIN analytics.daily_errors AS e USING (workspace_id, metric_date)
GROUP BY d.workspace_id, d.metric_date HAVING d.total_errors IS DISTINCT FROM sum(e.errors);
\echo samples: at most 5, of that group
SELECT max(cardinality(sample_messages)), count(*) FILTER (WHERE cardinality(sample_messages) <> least(5, cardinality(message_hashes))) FROM analytics.daily_errors;
SELECT count(*) FROM analytics.daily_errors AS d, unnest(d.sample_messages) AS s (message)
WHERE NOT EXISTS (SELECT FROM error AS e WHERE (e.workspace_id, e.error_type, e.event_name, e.message) = (d.workspace_id, d.error_type, d.event_name, s.message));

\echo sketches are those of the same runtimes
SELECT count(*) FROM (
    SELECT workspace_id, analytics.quantile_sketch_agg(runtime) AS s FROM run WHERE status <> 'cancelled' GROUP BY 1) AS w
    JOIN analytics.daily_metrics AS d USING (workspace_id) WHERE d.runtime_sketch::text = w.s::text;
SELECT count(*), bool_and(analytics.quantile_sketch_count(p.runtime_sketch) <= p.total_runs - p.cancelled_runs),
       bool_and(round(analytics.quantile_sketch_avg(p.runtime_sketch), 2) = p.avg_runtime_seconds),
       bool_and(abs(analytics.quantile(p.runtime_sketch, 0.5) / p.p50_runtime_seconds::float8 - 1) < 0.2)
FROM analytics.agent_performance AS p;

\echo again, in any order, in parallel workers: nothing changes
UPDATE analytics.daily_error_types SET updated_at = '-infinity';
UPDATE analytics.daily_metrics SET updated_at = '-infinity';
CREATE VIEW pg_temp.changed AS
SELECT count(*) FILTER (WHERE updated_at > '-infinity') FROM (SELECT updated_at FROM analytics.daily_errors UNION ALL SELECT updated_at FROM analytics.daily_metrics) AS u;
SELECT analytics.aggregate_daily_metrics('2024-05-06');
TABLE pg_temp.changed;
CREATE TEMPORARY TABLE shuffled AS SELECT * FROM analytics.user_activity ORDER BY md5(id::text);
DELETE FROM analytics.user_activity;
INSERT INTO analytics.user_activity SELECT * FROM shuffled;
SELECT analytics.aggregate_daily_metrics('2024-05-06');
TABLE pg_temp.changed;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 4;
SELECT analytics.aggregate_daily_metrics('2024-05-06');
TABLE pg_temp.changed;

\echo a workspace without runs or errors; one whose messages name people; more messages and names than are kept
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT md5('quiet')::uuid, md5('u')::uuid, 'page_view', NULL, '{}'::jsonb, '2024-05-06 10:00+00'::timestamptz
UNION ALL
SELECT md5('people')::uuid, md5('u')::uuid, 'error', 'login', jsonb_build_object('message', 'no user ' || n || '@example.org at 10.0.0.' || n), '2024-05-06 10:00+00'::timestamptz
FROM generate_series(1, 9) AS n
UNION ALL
SELECT md5('people')::uuid, md5('u')::uuid, 'error', 'long', jsonb_build_object('message', repeat('äx ', 150) || n), '2024-05-06 10:00+00'::timestamptz
FROM generate_series(1, 2) AS n
UNION ALL
SELECT md5('people')::uuid, md5('u')::uuid, 'agent_run', 'run', '{"status": "failed", "failure_reason": "out of credits"}'::jsonb, '2024-05-06 10:00+00'::timestamptz
UNION ALL
SELECT md5('many')::uuid, md5('u')::uuid, 'error', 'm', jsonb_build_object('message', 'm ' || n), '2024-05-06 10:00+00'::timestamptz
FROM generate_series(1, 300) AS n
UNION ALL
SELECT md5('many')::uuid, md5('u')::uuid, 'error', 'name ' || n, jsonb_build_object('message', 'm ' || n % 7), '2024-05-06 10:00+00'::timestamptz
FROM generate_series(1, 1200) AS n
UNION ALL
SELECT md5('many')::uuid, md5('u')::uuid, 'error', '(other)', '{"error_type": "(other)"}'::jsonb, '2024-05-06 10:00+00'::timestamptz;
SELECT analytics.aggregate_daily_metrics('2024-05-06');
SELECT runtime_sketch IS NULL, (SELECT count(*) FROM analytics.daily_errors AS e WHERE e.workspace_id = d.workspace_id)
FROM analytics.daily_metrics AS d WHERE workspace_id = md5('quiet')::uuid;
SELECT event_name, error_type, errors, cardinality(message_hashes) AS messages, left(sample_messages[1], 40) AS sample, char_length(sample_messages[1]), cardinality(sample_messages)
FROM analytics.daily_errors WHERE workspace_id = md5('people')::uuid ORDER BY 1;
SELECT count(*), sum(errors), max(cardinality(message_hashes)) FROM analytics.daily_errors WHERE workspace_id = md5('many')::uuid;
SELECT error_type, event_name, errors, cardinality(message_hashes) FROM analytics.daily_errors
WHERE workspace_id = md5('many')::uuid AND (errors > 1 OR event_name = '(other)') ORDER BY 1;
SELECT message_hashes = ARRAY(SELECT h FROM unnest(message_hashes) AS u (h) ORDER BY h) AS ascending FROM analytics.daily_errors
WHERE workspace_id = md5('many')::uuid AND event_name = 'm';

\echo rows of errors that are gone go
DELETE FROM analytics.user_activity WHERE workspace_id = md5('people')::uuid AND event_name <> 'login';
SELECT analytics.aggregate_daily_metrics('2024-05-06', md5('people')::uuid);
SELECT array_agg(event_name) FROM analytics.daily_errors WHERE workspace_id = md5('people')::uuid;
ROLLBACK;
