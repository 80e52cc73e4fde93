-- Refresh of all materialized views over many workspaces, 90 days, 13 agents each, and what maintenance costs there.
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

-- The first has much to write. Then a day comes, in all workspaces, and is refreshed by us and by PostgreSQL.
INSERT INTO bench.statement VALUES ('the first refresh', '', 'SELECT * FROM analytics.refresh_all_materialized_views()');
CALL bench.run(1, true);
CALL bench.limit_to('refresh_all_materialized_views, first', 'the first refresh', 30000);

-- Takes the last day away, refreshes and puts it back.
CREATE OR REPLACE PROCEDURE bench.renew_day() LANGUAGE plpgsql AS $$
DECLARE
    t text;
BEGIN
    FOR t IN SELECT unnest('{daily_metrics,daily_users,agent_performance,daily_error_types}'::text[]) LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS bench.last_%1$s AS SELECT * FROM analytics.%1$I WHERE metric_date = current_date - 1', t);
        EXECUTE format('DELETE FROM analytics.%I WHERE metric_date = current_date - 1', t);
    END LOOP;
    COMMIT;
    PERFORM analytics.refresh_all_materialized_views();
    COMMIT;
    FOR t IN SELECT unnest('{daily_metrics,daily_users,agent_performance,daily_error_types}'::text[]) LOOP
        EXECUTE (SELECT format('INSERT INTO analytics.%1$I (%2$s) SELECT %2$s FROM bench.last_%1$s', t, string_agg(quote_ident(a.attname), ', '))
                 FROM pg_attribute AS a
                 WHERE a.attrelid = format('analytics.%I', t)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '');
    END LOOP;
    COMMIT;
END
$$;
CREATE OR REPLACE FUNCTION bench.refresh_concurrently() RETURNS void LANGUAGE plpgsql SET work_mem = '256MB' AS $$
DECLARE
    view text;
BEGIN
    FOR view IN SELECT unnest('{mv_active_users,mv_agent_usage_trends,mv_error_trends,mv_top_agents,mv_workspace_summary}'::text[]) LOOP
        EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.%I', view);
    END LOOP;
END
$$;
CALL bench.renew_day();
INSERT INTO bench.statement VALUES
('a refresh after a new day', '', 'SELECT * FROM analytics.refresh_all_materialized_views()'),
('a refresh with nothing changed', '', 'SELECT * FROM analytics.refresh_all_materialized_views()');
CALL bench.run(1, true);
CALL bench.renew_day();
INSERT INTO bench.statement VALUES ('REFRESH CONCURRENTLY of the five', '', 'SELECT bench.refresh_concurrently()');
CALL bench.run(1, true);
CALL bench.bar('refresh_all_materialized_views after a new day', 'a refresh after a new day', 'REFRESH CONCURRENTLY of the five', 0.4);
CALL bench.bar('the same with nothing changed', 'a refresh with nothing changed', 'REFRESH CONCURRENTLY of the five', 0.02);

-- Of maintenance only what time makes due: the calls before do what has changed.
CALL analytics.maintain('01:00:00');
CALL analytics.maintain('01:00:00');
DELETE FROM analytics.job_runs WHERE step <> 'analyze'; -- a sample of all events, once a day
SELECT bench.now(true) AS started \gset
CALL analytics.maintain('01:00:00');
INSERT INTO bench.timing VALUES ('maintain() with every step due', bench.now(true) - :started) ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
CALL bench.record('maintain() with nothing changed, every step due by time', bench.shown(bench.ms('maintain() with every step due')), NULL, NULL, NULL,
                  'bar: < 200 ms', bench.ms('maintain() with every step due') < 200);
