-- Refresh of all materialized views over many workspaces, 90 days, 13 agents each.
\if :{?workspaces} \else \set workspaces 200 \endif
SET jit = off;
TRUNCATE analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_users, analytics.daily_error_types;
SET synchronous_commit = off;

-- Day after day, as rollups are written. One of 64 sketches of 20 runtimes and of 64 sets of 10 users each.
CREATE TEMPORARY TABLE sample AS
SELECT s, analytics.quantile_sketch_agg(exp(random() * 8)) AS sketch, analytics.user_set_agg((random() * 200)::bigint) AS users
FROM generate_series(0, 63) AS s, generate_series(1, 20) AS i GROUP BY s;
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, active_users, total_users, total_events, total_runs, successful_runs, failed_runs, runtime_sketch, is_final)
SELECT md5('w' || w)::uuid, current_date - d, 10, 200, 300, 200, 180, 20, s.sketch, true
FROM generate_series(1, :workspaces) AS w, generate_series(1, 90) AS d JOIN sample AS s ON s.s = d % 64 ORDER BY d DESC;
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT md5('w' || w)::uuid, current_date - d, s.users, '{}', true
FROM generate_series(1, :workspaces) AS w, generate_series(1, 90) AS d JOIN sample AS s ON s.s = d % 64 ORDER BY d DESC;
INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, total_runs, successful_runs, failed_runs, runtime_sketch, unique_users, users, is_final)
SELECT md5('w' || w)::uuid, md5('a' || a)::uuid, current_date - d, 20, 18, 2, s.sketch, 10, s.users, true
FROM generate_series(1, :workspaces) AS w, generate_series(1, 13) AS a, generate_series(1, 90) AS d JOIN sample AS s ON s.s = d % 64 ORDER BY d DESC;
INSERT INTO analytics.daily_error_types (workspace_id, metric_date, error_type, errors)
SELECT md5('w' || w)::uuid, current_date - d, 'type ' || e, ARRAY[('', 5, '{1,2,3}', '{no answer}')::analytics.error_count]
FROM generate_series(1, :workspaces) AS w, generate_series(1, 90) AS d, generate_series(1, 3) AS e ORDER BY d DESC;
ANALYZE analytics.daily_metrics, analytics.daily_users, analytics.agent_performance, analytics.daily_error_types;

-- The first has much to write; the next one runs concurrently, with nothing to change.
INSERT INTO bench.statement VALUES
('the first refresh', '', 'SELECT * FROM analytics.refresh_all_materialized_views()'),
('a refresh', '', 'SELECT * FROM analytics.refresh_all_materialized_views()');
CALL bench.run(1);
CALL bench.limit_to('refresh_all_materialized_views, first', 'the first refresh', 30000);
CALL bench.limit_to('refresh_all_materialized_views, again', 'a refresh', 30000);
