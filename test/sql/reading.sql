-- Functions and materialized views over the rollups, on rollups and raw events dated back from today (UTC).
\set QUIET on
\pset format unaligned
\pset null NULL
\set VERBOSITY default
\set SHOW_CONTEXT never
SET datestyle = ISO;

\echo Wilson, trends
SELECT s, n, analytics.wilson_lower_bound(s, n), round(s::numeric / nullif(n, 0), 2) AS rate
FROM (VALUES (1, 1), (98, 100), (0, 1), (0, 10), (10, 10), (50, 100), (0, 0), (2, 1), (-1, 5), (NULL, 5)) AS v (s, n);
SELECT c, p, analytics.trend_direction(c, p)
FROM (VALUES (106, 100), (105, 100), (100, 100), (95, 100), (94, 100), (1, 0), (0, 0), (0, 1), (NULL, 1)) AS v (c, p);
SELECT c, p, analytics.growth_rate(c, p) FROM (VALUES (3, 2), (2, 3), (0, 3), (3, 0), (NULL, 3), (3, NULL)) AS v (c, p);

BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_counts, analytics.daily_errors,
         analytics.workspace_settings;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(name)::uuid $$;
CREATE FUNCTION pg_temp.today() RETURNS date LANGUAGE sql STABLE AS $$ SELECT (now() AT TIME ZONE 'UTC')::date $$;
-- n runs of an agent, some days ago.
CREATE FUNCTION pg_temp.runs(workspace text, agent text, ago integer, n integer, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
    SELECT pg_temp.id(workspace), pg_temp.id('u' || i % 3), 'agent_run', 'run',
           jsonb_build_object('agent_id', pg_temp.id(agent), 'status', 'ok', 'runtime', i, 'credits', 2) || more,
           (pg_temp.today() - ago)::timestamp AT TIME ZONE 'UTC' + i * interval '1 minute'
    FROM generate_series(1, n) AS i
$$;
-- a: every day 2 runs, the last 7 days 3, but none 7 days before yesterday; b: in two workspaces, first 5 days ago, once more yesterday;
-- c: last run 20 days ago; d: last run 60 days ago; e: only today, which is not complete.
SELECT count(pg_temp.runs('w1', 'a', ago, CASE WHEN ago <= 7 THEN 3 ELSE 2 END)) FROM generate_series(1, 50) AS ago WHERE ago <> 8;
SELECT count(pg_temp.runs(w, 'b', ago, 4)) FROM unnest('{w1,w2}'::text[]) AS w, unnest('{1,5}'::int[]) AS ago;
SELECT pg_temp.runs('w1', 'c', 20, 2), pg_temp.runs('w1', 'd', 60, 2), pg_temp.runs('w1', 'e', 0, 2);
SELECT pg_temp.runs('w1', 'a', 1, 2, '{"status": "failed", "error_type": "timeout", "error_message": "no answer from mail@example.org"}'),
       pg_temp.runs('w1', 'a', 3, 1, '{"status": "failed", "error_type": "timeout", "error_message": "took too long"}'),
       pg_temp.runs('w1', 'a', 3, 1, '{"status": "failed", "error_type": "unknown"}'), pg_temp.runs('w1', 'a', 3, 1, '{"status": "failed"}');
SELECT sum(analytics.aggregate_daily_metrics(pg_temp.today() - ago)) > 0 AS aggregated FROM generate_series(0, 60) AS ago;

\echo get_workspace_metrics: both ends included; the last 30 complete days; gaps; other workspaces; errors
SELECT pg_temp.today() - metric_date AS ago, active_users, total_runs, successful_runs, failed_runs, success_rate, total_credits, avg_runtime, unique_agents, is_final
FROM analytics.get_workspace_metrics(pg_temp.id('w1'), pg_temp.today() - 3, pg_temp.today());
SELECT count(*), min(pg_temp.today() - metric_date), max(pg_temp.today() - metric_date), bool_and(is_final)
FROM analytics.get_workspace_metrics(pg_temp.id('w1'));
SELECT pg_temp.today() - metric_date AS ago, active_users, total_runs, success_rate, total_credits, avg_runtime, is_final
FROM analytics.get_workspace_metrics(pg_temp.id('w2'), pg_temp.today() - 2, pg_temp.today() + 5, fill_gaps => true);
SELECT count(*) FROM analytics.get_workspace_metrics(pg_temp.id('none'), fill_gaps => true);
SELECT count(*) FROM analytics.get_workspace_metrics(NULL);
SELECT count(*) FROM analytics.get_workspace_metrics(pg_temp.id('w2'), '-infinity', 'infinity');
SAVEPOINT s;
SELECT * FROM analytics.get_workspace_metrics(pg_temp.id('w1'), '2025-01-02', '2025-01-01');
ROLLBACK TO s;
SELECT * FROM analytics.get_workspace_metrics(pg_temp.id('w1'), '-infinity', '2025-01-01', true);
ROLLBACK TO s;
\echo refresh: as the readme prints it; concurrently by hand; what fails is reported, the others are done
SELECT view, rows, milliseconds >= 0 AS timed, error FROM analytics.refresh_all_materialized_views();
COMMIT;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_error_trends;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_agent_usage_trends;
REFRESH MATERIALIZED VIEW analytics.mv_error_trends WITH NO DATA;
BEGIN;
DROP INDEX analytics.mv_agent_usage_trends_key;
SELECT view, rows, error FROM analytics.refresh_all_materialized_views();
ROLLBACK;
SELECT view, rows, error FROM analytics.refresh_all_materialized_views();
\echo the lock goes with the transaction
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();

\echo error trends (B-17): failed runs count, unknown is a type like others, samples are redacted
SELECT pg_temp.today() - error_date AS ago, error_type, event_name, total_errors, unique_error_messages, sample_messages
FROM analytics.mv_error_trends ORDER BY 1, 2;

\echo usage trends (B-18, B-19): 7 calendar days, gaps are 0, today is out; an agent before its first week has no growth
SELECT pg_temp.today() - metric_date AS ago, total_runs, success_rate, avg_runtime_seconds, total_credits, unique_users, wow_growth_rate, trend_direction
FROM analytics.mv_agent_usage_trends WHERE agent_id = pg_temp.id('a') AND pg_temp.today() - metric_date IN (1, 2, 3, 7, 8, 9, 15, 30) ORDER BY 1;
SELECT pg_temp.today() - metric_date AS ago, workspace_id = pg_temp.id('w1') AS w1, total_runs, success_rate, wow_growth_rate, trend_direction
FROM analytics.mv_agent_usage_trends WHERE agent_id = pg_temp.id('b') ORDER BY 2, 1;
SELECT count(*) FROM analytics.mv_agent_usage_trends WHERE agent_id IN (pg_temp.id('d'), pg_temp.id('e'));
\echo brute force: rows of the view that a self-join by date does not give
SELECT count(*) FROM (
    SELECT t.workspace_id, t.agent_id, t.metric_date, t.total_runs, t.wow_growth_rate FROM analytics.mv_agent_usage_trends AS t
    EXCEPT
    SELECT f.workspace_id, f.agent_id, d.day, coalesce(p.total_runs, 0),
           CASE WHEN d.day - 7 >= f.first_date AND b.total_runs > 0 THEN round(100.0 * (coalesce(p.total_runs, 0) - b.total_runs) / b.total_runs, 2) END
    FROM (SELECT workspace_id, agent_id, min(metric_date) AS first_date FROM analytics.agent_performance GROUP BY 1, 2) AS f
    CROSS JOIN (SELECT pg_temp.today() - i AS day FROM generate_series(1, 30) AS i) AS d
    LEFT JOIN analytics.agent_performance AS p ON (p.workspace_id, p.agent_id, p.metric_date) = (f.workspace_id, f.agent_id, d.day)
    LEFT JOIN analytics.agent_performance AS b ON (b.workspace_id, b.agent_id, b.metric_date) = (f.workspace_id, f.agent_id, d.day - 7)
    WHERE d.day >= f.first_date) AS missing;
\echo tenants (B-50): the materialized views are nobody's, the views show the caller's workspaces
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES (pg_temp.id('w2'), pg_temp.id('u1'));
SELECT analytics.setup_roles('regress_reading_anon', 'regress_reading_member', 'regress_reading_service');
SELECT c.oid::regclass AS granted FROM pg_class AS c, pg_roles AS r
WHERE c.relkind = 'm' AND c.relnamespace = 'analytics'::regnamespace AND NOT r.rolsuper
  AND r.oid <> c.relowner AND r.rolname NOT LIKE 'pg\_%' AND has_table_privilege(r.oid, c.oid, 'SELECT');
SELECT set_config('request.jwt.claim.sub', pg_temp.id('u1')::text, false) IS NOT NULL AS is_u1;
SET ROLE regress_reading_member;
SELECT count(*), bool_and(workspace_id = md5('w2')::uuid) FROM analytics.agent_usage_trends;
SELECT count(*) FROM analytics.error_trends;
SELECT count(*) FROM analytics.get_workspace_metrics(md5('w2')::uuid, fill_gaps => true);
SELECT count(*) FROM analytics.get_workspace_metrics(md5('w1')::uuid, fill_gaps => true);
SELECT count(*) FROM analytics.mv_agent_usage_trends;
SELECT analytics.refresh_all_materialized_views();
RESET ROLE;
SET ROLE regress_reading_service;
SELECT count(*) FROM analytics.refresh_all_materialized_views();
RESET ROLE;
DROP TABLE public.workspace_members;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_counts, analytics.daily_errors, analytics.access_roles;
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL AND rows = 0;
DROP OWNED BY regress_reading_anon, regress_reading_member, regress_reading_service;
DROP ROLE regress_reading_anon, regress_reading_member, regress_reading_service;
