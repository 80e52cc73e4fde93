-- Refresh of all views against what they show computed from the raw events: 90 days of a hundredth of the
-- workspaces, so each has a thousand events a day as in the day of the other topics. The rival leaves out trends, ranks and
-- samples.
\ir stage.sql
SELECT greatest(:workspaces / 100, 1) AS few \gset
\ir empty.sql
SELECT analytics.create_partitions(current_date - 90, current_date - 1) \g /dev/null
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, session_id, metadata, created_at)
SELECT id, md5('u' || h % (100 * :few))::uuid, md5('w' || h % :few)::uuid, event_type, event_name, session_id,
       CASE WHEN metadata ? 'agent_id' THEN metadata || jsonb_build_object('agent_id', md5('a' || h % :few || '-' || h / 64 % 13)) ELSE metadata END,
       created_at - timestamp '2025-11-08' + (current_date - (1 + h % 89)::integer)
FROM bench.stage, LATERAL (SELECT abs(hashtext(id::text)::bigint) AS h) AS drawn;
-- A transaction each, or the versions of a user's row would pile up.
\o /dev/null
SELECT format('SELECT analytics.aggregate_daily_metrics(%L)', current_date - d) FROM generate_series(90, 1, -1) AS d \gexec
\o
CREATE TABLE bench.history (LIKE bench.bare);
INSERT INTO bench.history SELECT id, user_id, workspace_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at FROM analytics.user_activity;
CREATE INDEX ON bench.history (workspace_id, created_at);
VACUUM ANALYZE bench.history;
ANALYZE analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_users, analytics.daily_error_types;
INSERT INTO bench.statement VALUES
('refresh', '', 'SELECT * FROM analytics.refresh_all_materialized_views()');
INSERT INTO bench.statement
SELECT 'computing ' || v.matviewname, '', 'CREATE TEMP TABLE a ON COMMIT DROP AS ' || v.definition
FROM pg_matviews AS v WHERE v.schemaname = 'analytics';
CALL bench.run(:rounds);
-- The rivals take minutes: once.
INSERT INTO bench.statement VALUES
('active users from raw events', '', $$CREATE TEMP TABLE a ON COMMIT DROP AS
    WITH day AS (SELECT DISTINCT workspace_id, user_id, created_at::date AS day FROM bench.history),
    reach AS (SELECT workspace_id, user_id, day + n AS day, n FROM day, generate_series(0, 29) AS n)
    SELECT workspace_id, day, count(DISTINCT user_id) FILTER (WHERE n = 0) AS daily, count(DISTINCT user_id) FILTER (WHERE n < 7) AS weekly,
           count(DISTINCT user_id) AS monthly FROM reach GROUP BY 1, 2$$),
('agents from raw events', '', $$CREATE TEMP TABLE a ON COMMIT DROP AS
    SELECT workspace_id, metadata ->> 'agent_id' AS agent, count(DISTINCT metadata ->> 'run_id') AS runs,
           count(*) FILTER (WHERE metadata ->> 'status' = 'completed') AS ok, avg((metadata ->> 'runtime_seconds')::numeric) AS runtime,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY (metadata ->> 'runtime_seconds')::float8) AS median,
           sum((metadata ->> 'credits')::numeric) AS credits, count(DISTINCT user_id) AS users
    FROM bench.history WHERE event_type = 'agent_run' AND created_at >= current_date - 30 GROUP BY 1, 2$$),
('agent days from raw events', '', $$CREATE TEMP TABLE a ON COMMIT DROP AS
    SELECT workspace_id, metadata ->> 'agent_id' AS agent, created_at::date AS day, count(DISTINCT metadata ->> 'run_id') AS runs,
           count(*) FILTER (WHERE metadata ->> 'status' = 'completed') AS ok, avg((metadata ->> 'runtime_seconds')::numeric) AS runtime,
           sum((metadata ->> 'credits')::numeric) AS credits, count(DISTINCT user_id) AS users
    FROM bench.history WHERE event_type = 'agent_run' AND created_at >= current_date - 42 GROUP BY 1, 2, 3$$),
('errors from raw events', '', $$CREATE TEMP TABLE a ON COMMIT DROP AS
    SELECT workspace_id, created_at::date AS day, metadata ->> 'error_type' AS kind, event_name, count(*) AS errors,
           count(DISTINCT metadata ->> 'error_message') AS messages
    FROM bench.history WHERE event_type = 'error' AND created_at >= current_date - 30 GROUP BY 1, 2, 3, 4$$),
('workspaces from raw events', '', $$CREATE TEMP TABLE a ON COMMIT DROP AS
    SELECT workspace_id, count(DISTINCT created_at::date) AS days, count(DISTINCT user_id) AS users, count(DISTINCT metadata ->> 'agent_id') AS agents,
           count(DISTINCT metadata ->> 'run_id') FILTER (WHERE event_type = 'agent_run') AS runs, sum((metadata ->> 'credits')::numeric) AS credits,
           avg((metadata ->> 'runtime_seconds')::numeric) AS runtime, count(*) FILTER (WHERE event_type = 'error') AS errors
    FROM bench.history WHERE created_at >= current_date - 30 GROUP BY 1$$);
CALL bench.run(1);
INSERT INTO bench.timing SELECT 'the views over raw events', sum(ms) FROM bench.timing WHERE name LIKE '% from raw events'
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
INSERT INTO bench.timing SELECT 'computing the views', sum(ms) FROM bench.timing WHERE name LIKE 'computing mv%'
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
CALL bench.compare('refresh_all_materialized_views, 90 days', 'refresh', 'the views over raw events', 1 / 50.0);
-- What a concurrent refresh does besides (statistics, looking for equal rows, comparing with the old ones) the rival is spared.
CALL bench.compare('of which computing the rows', 'computing the views', 'the views over raw events', 1 / 50.0);
DROP TABLE bench.history;
