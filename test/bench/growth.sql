-- A day of 1/8, 1/4, 1/2 and 1 times twice the events, and 10 to 100,000 workspaces: the time may grow as the input does.
\ir stage.sql
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_users,
         analytics.daily_error_types, analytics.daily_user_revenue, analytics.users;
SELECT analytics.create_partitions('2025-10-01', '2025-10-14') \g /dev/null
-- Day d has every n-th event, or all of them twice.
CREATE PROCEDURE bench.load(day date, share numeric, workspaces integer) LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)
    SELECT gen_random_uuid(), user_id, CASE WHEN workspaces IS NULL THEN workspace_id ELSE md5('w' || h % workspaces)::uuid END, event_type, event_name,
           page_path, session_id, CASE WHEN copy = 1 OR NOT metadata ? 'run_id' THEN metadata ELSE jsonb_set(metadata, '{run_id}', to_jsonb((metadata ->> 'run_id') || 'x')) END,
           created_at - timestamp '2025-11-08' + day
    FROM bench.stage, LATERAL (SELECT abs(hashtext(id::text)::bigint) AS h) AS drawn, generate_series(1, greatest(share, 1)::integer) AS copy
    WHERE h % 1000 < share * 1000
$$;
CALL bench.load('2025-10-01', 0.25, NULL);
CALL bench.load('2025-10-02', 0.5, NULL);
CALL bench.load('2025-10-03', 1, NULL);
CALL bench.load('2025-10-04', 2, NULL);
CALL bench.load('2025-10-11', 0.5, 10);
CALL bench.load('2025-10-12', 0.5, 1000);
CALL bench.load('2025-10-13', 0.5, 10000);
CALL bench.load('2025-10-14', 0.5, 100000);
VACUUM ANALYZE analytics.user_activity;
INSERT INTO bench.statement
SELECT format('a day of %s events', n), '', format('SELECT analytics.aggregate_daily_metrics(%L)', d)
FROM (VALUES ('a quarter of the', '2025-10-01'), ('half the', '2025-10-02'), ('all', '2025-10-03'), ('twice the', '2025-10-04')) AS v (n, d);
INSERT INTO bench.statement
SELECT format('%s workspaces', n), '', format('SELECT analytics.aggregate_daily_metrics(%L)', d)
FROM (VALUES ('10', '2025-10-11'), ('1,000', '2025-10-12'), ('10,000', '2025-10-13'), ('100,000', '2025-10-14')) AS v (n, d);
CALL bench.run(:rounds);
CALL bench.compare('growth: 2 times the events', 'a day of half the events', 'a day of a quarter of the events', 2.2);
CALL bench.compare('growth: 4 times the events', 'a day of all events', 'a day of a quarter of the events', 4.4);
CALL bench.compare('growth: 8 times the events', 'a day of twice the events', 'a day of a quarter of the events', 8.8);
CALL bench.compare('growth: 100 times the workspaces', '1,000 workspaces', '10 workspaces', 100);
CALL bench.compare('growth: 1,000 times', '10,000 workspaces', '10 workspaces', 1000);
CALL bench.compare('growth: 10,000 times', '100,000 workspaces', '10 workspaces', 10000);
DROP PROCEDURE bench.load(date, numeric, integer);
