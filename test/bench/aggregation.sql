-- aggregate_daily_metrics of one day against the same day written by hand in plain SQL (fewer columns), in turn
-- and in one run: quote the ratios, not the times.
--   scripts/bench aggregation [EVENTS [WORKSPACES]]
\set ON_ERROR_STOP on
\set QUIET on
\if :{?events} \else \set events 2000000 \endif
\if :{?workspaces} \else \set workspaces 2000 \endif
\set day 2025-11-08
SET client_min_messages = warning;
\echo making :events events of :workspaces workspaces
\o /dev/null
\ir events.sql
SELECT analytics.create_partitions(:'day', :'day');
DELETE FROM analytics.user_activity;
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT * FROM bench.stage;
DROP TABLE IF EXISTS bench.bare;
CREATE TABLE bench.bare (LIKE bench.stage, PRIMARY KEY (id));
INSERT INTO bench.bare SELECT * FROM bench.stage;
VACUUM ANALYZE analytics.user_activity;
VACUUM ANALYZE bench.bare;
\o

SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';
SET jit = off;
CREATE TEMP TABLE statement (place int, name text, sql text);
INSERT INTO statement VALUES
(1, 'floor: sequential count of the day', $$
    SELECT count(*) FROM analytics.user_activity WHERE created_at >= '2025-11-08' AND created_at < '2025-11-09'$$),
(2, 'aggregate_daily_metrics, a new day', $$SELECT analytics.aggregate_daily_metrics('2025-11-08')$$),
(3, 'aggregate_daily_metrics, again', $$SELECT analytics.aggregate_daily_metrics('2025-11-08')$$),
(4, 'aggregate_daily_metrics, one workspace', $$SELECT analytics.aggregate_daily_metrics('2025-11-08', md5('w1000')::uuid)$$),
(5, 'aggregate_hourly_metrics, one hour', $$SELECT analytics.aggregate_hourly_metrics('2025-11-08 12:00')$$),
(6, 'plain SQL: daily metrics', $$
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
(7, 'plain SQL: agent performance', $$
    CREATE TEMP TABLE agents ON COMMIT DROP AS
    SELECT (metadata ->> 'agent_id')::uuid, workspace_id, count(*),
           count(*) FILTER (WHERE metadata ->> 'status' = 'completed') AS ok,
           avg((metadata ->> 'runtime_seconds')::numeric),
           percentile_cont(ARRAY[0.5, 0.75, 0.95, 0.99]) WITHIN GROUP (ORDER BY (metadata ->> 'runtime_seconds')::float8),
           sum((metadata ->> 'credits')::numeric) AS credits, sum((metadata ->> 'tokens')::bigint) AS tokens,
           count(DISTINCT user_id) AS users
    FROM bench.bare WHERE event_type = 'agent_run' AND created_at >= '2025-11-08' AND created_at < '2025-11-09'
    GROUP BY 1, 2$$);

CREATE TEMP TABLE timing (place int, round int, ms numeric);
CREATE PROCEDURE pg_temp.run(rounds int) LANGUAGE plpgsql AS $$
DECLARE
    s record;
    start timestamptz;
BEGIN
    FOR round IN 1..rounds LOOP
        DELETE FROM analytics.daily_metrics;
        DELETE FROM analytics.agent_performance;
        DELETE FROM analytics.daily_event_usage;
        DELETE FROM analytics.daily_errors;
        DELETE FROM analytics.daily_users;
        DELETE FROM analytics.users;
        COMMIT;
        FOR s IN SELECT * FROM statement ORDER BY place LOOP
            start := clock_timestamp();
            EXECUTE s.sql;
            INSERT INTO timing VALUES (s.place, round, extract(epoch FROM clock_timestamp() - start) * 1000);
            COMMIT;
        END LOOP;
    END LOOP;
END
$$;
CALL pg_temp.run(3);

SELECT s.name, round(min(t.ms)) AS "best ms", round(percentile_cont(0.5) WITHIN GROUP (ORDER BY t.ms)::numeric) AS "median ms"
FROM timing AS t JOIN statement AS s USING (place) GROUP BY s.place, s.name ORDER BY s.place;
WITH best AS (SELECT place, min(ms) AS ms FROM timing GROUP BY place)
SELECT v.what, round(v.ratio, 3) AS ratio, v.target, CASE WHEN v.ratio <= v.bar THEN 'holds' ELSE 'missed' END AS verdict
FROM (SELECT (SELECT ms FROM best WHERE place = 2) AS new_day, (SELECT ms FROM best WHERE place = 3) AS again,
             (SELECT ms FROM best WHERE place = 4) AS one, (SELECT ms FROM best WHERE place = 1) AS floor,
             (SELECT sum(ms) FROM best WHERE place IN (6, 7)) AS sql) AS b,
LATERAL (VALUES ('new day / plain SQL (daily + agents)', new_day / sql, '<= 1/4, then 1/10', 0.25),
                ('again / plain SQL', again / sql, '', 0.25),
                ('new day / floor', new_day / floor, '<= 2.5', 2.5),
                ('one workspace / whole day', one / again, '<= 1/100', 0.01)) AS v(what, ratio, target, bar);
