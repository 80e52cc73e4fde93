-- Aggregating a day against the same day written by hand in plain SQL, which computes fewer columns.
\ir day.sql
INSERT INTO bench.statement VALUES
('a count of the day', '', $$
    SELECT count(*) FROM analytics.user_activity WHERE created_at >= '2025-11-08' AND created_at < '2025-11-09'$$),
('a new day', 'TRUNCATE analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types, analytics.daily_users, analytics.daily_user_revenue, analytics.users',
 $$SELECT analytics.aggregate_daily_metrics('2025-11-08')$$),
('the day again', '', $$SELECT analytics.aggregate_daily_metrics('2025-11-08')$$),
('the day again, serial', '', $$SELECT analytics.aggregate_daily_metrics('2025-11-08')$$),
('the day again, all cores', 'SET max_parallel_workers_per_gather = 2', $$SELECT analytics.aggregate_daily_metrics('2025-11-08')$$),
('one workspace', 'SET max_parallel_workers_per_gather = 0', $$SELECT analytics.aggregate_daily_metrics('2025-11-08', md5('w1000')::uuid)$$),
('an hour', '', $$SELECT analytics.aggregate_hourly_metrics('2025-11-08 12:00')$$),
('plain SQL, daily metrics', '', $$
    CREATE TEMP TABLE daily ON COMMIT DROP AS
    WITH ev AS (SELECT * FROM bench.bare WHERE created_at >= '2025-11-08' AND created_at < '2025-11-09'),
    sess AS (SELECT workspace_id, count(*) AS n, avg(extract(epoch FROM last - first)) AS seconds,
                    100.0 * count(*) FILTER (WHERE c = 1) / count(*) AS bounce
             FROM (SELECT workspace_id, user_id, session_id, min(created_at) AS first, max(created_at) AS last, count(*) AS c
                   FROM ev GROUP BY 1, 2, 3) AS s GROUP BY 1),
    core AS (SELECT workspace_id, count(DISTINCT user_id) AS users,
                    count(DISTINCT metadata ->> 'run_id') FILTER (WHERE event_type = 'agent_run') AS runs,
                    count(*) FILTER (WHERE event_type = 'agent_run' AND metadata ->> 'status' = 'completed') AS ok,
                    count(*) FILTER (WHERE event_type = 'agent_run' AND metadata ->> 'status' = 'failed') AS failed,
                    count(*) FILTER (WHERE event_type = 'agent_run' AND metadata ->> 'status' = 'cancelled') AS cancelled,
                    avg((metadata ->> 'runtime_seconds')::numeric) FILTER (WHERE event_type = 'agent_run') AS runtime,
                    percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY (metadata ->> 'runtime_seconds')::float8)
                        FILTER (WHERE event_type = 'agent_run') AS p,
                    sum((metadata ->> 'credits')::numeric) AS credits,
                    count(DISTINCT metadata ->> 'agent_id') FILTER (WHERE event_type = 'agent_run') AS agents,
                    count(*) FILTER (WHERE event_type = 'error') AS errors
             FROM ev GROUP BY 1),
    models AS (SELECT workspace_id, jsonb_object_agg(model, credits) AS models
               FROM (SELECT workspace_id, metadata ->> 'model' AS model, sum((metadata ->> 'credits')::numeric) AS credits
                     FROM ev WHERE event_type = 'agent_run' GROUP BY 1, 2) AS x GROUP BY 1),
    errs AS (SELECT workspace_id, jsonb_object_agg(kind, n) AS kinds
             FROM (SELECT workspace_id, metadata ->> 'error_type' AS kind, count(*) AS n
                   FROM ev WHERE event_type = 'error' GROUP BY 1, 2) AS x GROUP BY 1),
    tops AS (SELECT workspace_id, jsonb_agg(jsonb_build_object('agent_id', agent, 'runs', n)) AS agents_by_runs
             FROM (SELECT workspace_id, agent, n, row_number() OVER (PARTITION BY workspace_id ORDER BY n DESC, agent) AS place
                   FROM (SELECT workspace_id, metadata ->> 'agent_id' AS agent, count(*) AS n
                         FROM ev WHERE event_type = 'agent_run' GROUP BY 1, 2) AS x) AS y WHERE place <= 10 GROUP BY 1)
    SELECT * FROM core LEFT JOIN sess USING (workspace_id) LEFT JOIN models USING (workspace_id)
        LEFT JOIN errs USING (workspace_id) LEFT JOIN tops USING (workspace_id)$$),
('plain SQL, agents', '', $$
    CREATE TEMP TABLE agents ON COMMIT DROP AS
    SELECT (metadata ->> 'agent_id')::uuid, workspace_id, count(*),
           count(*) FILTER (WHERE metadata ->> 'status' = 'completed') AS ok,
           avg((metadata ->> 'runtime_seconds')::numeric),
           percentile_cont(ARRAY[0.5, 0.75, 0.95, 0.99]) WITHIN GROUP (ORDER BY (metadata ->> 'runtime_seconds')::float8),
           sum((metadata ->> 'credits')::numeric) AS credits, sum((metadata ->> 'tokens')::bigint) AS tokens,
           count(DISTINCT user_id) AS users
    FROM bench.bare WHERE event_type = 'agent_run' AND created_at >= '2025-11-08' AND created_at < '2025-11-09'
    GROUP BY 1, 2$$);
CALL bench.run(:rounds, true);
INSERT INTO bench.timing SELECT 'plain SQL', sum(ms) FROM bench.timing WHERE name IN ('plain SQL, daily metrics', 'plain SQL, agents')
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;

CALL bench.bar('aggregate_daily_metrics, a new day', 'a new day', 'plain SQL', 0.18);
CALL bench.bar('the same against a count', 'a new day', 'a count of the day', 4.7);
CALL bench.bar('the same day again, nothing changed', 'the day again', 'a new day', 0.9);
CALL bench.bar('the same with two processes, the leader', 'the day again, all cores', 'the day again, serial', 0.65);
CALL bench.compare('the same, one workspace of 2,000', 'one workspace', 'the day again', 0.01);
CALL bench.limit_to('aggregate_daily_metrics, the seed''s bound', 'a new day', 5000);
CALL bench.limit_to('aggregate_hourly_metrics, the seed''s bound', 'an hour', 5000);
