-- Functions and materialized views over the rollups, on rollups and raw events dated back from today (UTC).
\set QUIET on
\pset format unaligned
\pset null NULL
\set VERBOSITY default
\set SHOW_CONTEXT never
SET extra_float_digits = -10;
SET datestyle = ISO;

\echo Wilson, trends
SELECT s, n, analytics_internal.wilson_lower_bound(s, n), round(s::numeric / nullif(n, 0), 2) AS rate
FROM (VALUES (1, 1), (98, 100), (0, 1), (0, 10), (10, 10), (50, 100), (0, 0), (2, 1), (-1, 5), (NULL, 5)) AS v (s, n);
SELECT c, p, analytics.trend_direction(c, p)
FROM (VALUES (106, 100), (105, 100), (100, 100), (95, 100), (94, 100), (1, 0), (0, 0), (0, 1), (NULL, 1)) AS v (c, p);
SELECT c, p, analytics.growth_rate(c, p) FROM (VALUES (3, 2), (2, 3), (0, 3), (3, 0), (NULL, 3), (3, NULL)) AS v (c, p);

SELECT f, analytics.quantile(s, f, true) AS sketch, (SELECT percentile_cont(f) WITHIN GROUP (ORDER BY n) FROM generate_series(1, 4) AS n) AS exact
FROM (SELECT analytics.quantile_sketch_agg(n::float8, 0.0001) AS s FROM generate_series(1, 4) AS n) AS q, unnest('{0,0.1,0.5,0.9,1}'::float8[]) AS f;
SELECT analytics.quantile(analytics.quantile_sketch_agg(7.5), 0.3, true) AS of_one;
SELECT analytics.quantile(analytics.quantile_sketch_agg(7.5), 1.01, true);

BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.workspace_settings;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for
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
-- c: last run 20 days ago; d: last run 60 days ago; e: only today, which is not complete; f: 60 days ago and back 5 days ago.
SELECT count(pg_temp.runs('w1', 'a', ago, CASE WHEN ago <= 7 THEN 3 ELSE 2 END)) FROM generate_series(1, 50) AS ago WHERE ago <> 8;
SELECT count(pg_temp.runs(w, 'b', ago, 4)) FROM unnest('{w1,w2}'::text[]) AS w, unnest('{1,5}'::int[]) AS ago;
SELECT pg_temp.runs('w1', 'c', 20, 2), pg_temp.runs('w1', 'd', 60, 2), pg_temp.runs('w1', 'e', 0, 2), pg_temp.runs('w4', 'f', 60, 1), pg_temp.runs('w4', 'f', 5, 2);
-- The vector of active users: A on day 1, A and B on day 5, C on day 9; day 40 is yesterday.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.id('w3'), pg_temp.id(u), 'page_view', (pg_temp.today() - 41 + day)::timestamp AT TIME ZONE 'UTC'
FROM (VALUES ('A', 1), ('A', 5), ('B', 5), ('C', 9)) AS v (u, day);
SELECT pg_temp.runs('w1', 'a', 1, 2, '{"status": "failed", "error_type": "timeout", "error_message": "no answer from mail@example.org"}'),
       pg_temp.runs('w1', 'a', 3, 1, '{"status": "failed", "error_type": "timeout", "error_message": "took too long"}'),
       pg_temp.runs('w1', 'a', 3, 1, '{"status": "failed", "error_type": "unknown"}'), pg_temp.runs('w1', 'a', 3, 1, '{"status": "failed"}');
SET LOCAL max_parallel_workers_per_gather = 0; -- exactness tries parallel plans of the aggregation
SELECT sum(analytics.aggregate_daily_metrics(pg_temp.today() - ago)) > 0 AS aggregated FROM generate_series(0, 60) AS ago;
RESET max_parallel_workers_per_gather;
ANALYZE analytics.user_activity; -- other tests left statistics

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
\echo get_agent_insights (B-27): errors are summed, users and percentiles merged; in two workspaces; without errors; without runs; unknown
SELECT total_runs, success_rate, avg_runtime, p50_runtime, total_credits, unique_users, trend_direction, top_error_types, failed_runs, pg_temp.today() - last_active_date AS ago
FROM analytics.get_agent_insights(pg_temp.id('a'), 7);
SELECT total_runs, success_rate, avg_runtime, p50_runtime, total_credits, unique_users, trend_direction, top_error_types
FROM unnest('{b,c,d,e,none}'::text[]) AS a, LATERAL analytics.get_agent_insights(pg_temp.id(a));
SELECT * FROM analytics.get_agent_insights(pg_temp.id('a'), 0);
ROLLBACK TO s;
SELECT * FROM analytics.get_agent_insights(pg_temp.id('a'), NULL);
ROLLBACK TO s;
SELECT count(*) FROM analytics.get_agent_insights(NULL);

\echo brute force over the raw events: agents and ranges that differ
SELECT count(*), count(*) FILTER (WHERE (i.total_runs, i.success_rate, i.avg_runtime, i.total_credits, i.unique_users)
    IS DISTINCT FROM (b.runs, b.success_rate, b.average, b.credits, b.users)) AS differ,
       bool_and(abs(i.p50_runtime - b.p[1]) <= 0.01 * b.p[1] + 0.005 AND abs(i.p95_runtime - b.p[2]) <= 0.01 * b.p[2] + 0.005
                AND abs(i.p99_runtime - b.p[3]) <= 0.01 * b.p[3] + 0.005) AS within_1_percent
FROM unnest('{a,b,c,d,e}'::text[]) AS a (name), unnest('{1,7,30,60}'::integer[]) AS n (days),
LATERAL analytics.get_agent_insights(pg_temp.id(a.name), n.days) AS i,
LATERAL (
    SELECT count(*) AS runs, round(100.0 * count(*) FILTER (WHERE e.status = 'ok') / nullif(count(*), 0), 2) AS success_rate, round(avg(e.runtime), 2) AS average,
           percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY e.runtime) AS p,
           2 * count(*)::numeric AS credits, count(DISTINCT e.user_id) AS users
    FROM (SELECT user_id, metadata ->> 'status' AS status, (metadata ->> 'runtime')::numeric AS runtime FROM analytics.user_activity
          WHERE metadata ->> 'agent_id' = pg_temp.id(a.name)::text AND created_at < pg_temp.today()::timestamp AT TIME ZONE 'UTC'
            AND created_at >= (pg_temp.today() - n.days)::timestamp AT TIME ZONE 'UTC') AS e) AS b;

\echo today alone, which runs; what is to come is an error
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type) VALUES (md5('today')::uuid, md5('u')::uuid, 'login');
SELECT analytics.aggregate_daily_metrics(pg_temp.today(), md5('today')::uuid);
SELECT m.metric_date = pg_temp.today() AS is_today, m.total_events, m.is_final FROM analytics.get_workspace_metrics(md5('today')::uuid, pg_temp.today()) AS m;
SELECT (SELECT s.period_end = pg_temp.today() AND s.total_events = 1 FROM analytics.get_workspace_summary(md5('today')::uuid, pg_temp.today()) AS s) AS summary,
       (SELECT count(*) FROM analytics.get_active_users(md5('today')::uuid, pg_temp.today())) AS users,
       (SELECT count(*) FROM analytics.get_lifecycle(md5('today')::uuid, 'daily', pg_temp.today())) AS lifecycle,
       (SELECT count(*) FROM analytics.get_feature_usage(md5('today')::uuid, pg_temp.today())) AS usage,
       (SELECT sum(t.value) FROM analytics.get_trend(md5('today')::uuid, '"*"', start_date => pg_temp.today()) AS t) AS trend,
       (SELECT r #>> '{headline,total_events,value}' FROM analytics.report(md5('today')::uuid, pg_temp.today()) AS r) AS report;
DO $$ BEGIN PERFORM analytics.get_workspace_metrics(md5('today')::uuid, pg_temp.today() + 1); EXCEPTION WHEN invalid_parameter_value THEN RAISE NOTICE '%', SQLERRM; END $$;
DELETE FROM analytics.user_activity WHERE workspace_id = md5('today')::uuid;
SELECT analytics.aggregate_daily_metrics(pg_temp.today(), md5('today')::uuid);

\echo get_workspace_summary: the range and the one before it; brute force; errors
SELECT active_users, previous_active_users, active_users_change, total_runs, previous_total_runs, total_runs_change, success_rate, previous_success_rate,
       success_rate_change, p50_runtime, total_credits_change, total_errors, previous_total_errors, total_errors_change, error_rate, total_cost
FROM analytics.get_workspace_summary(pg_temp.id('w1'), pg_temp.today() - 7, pg_temp.today() - 1);
SELECT pg_temp.today() - period_start AS first, pg_temp.today() - period_end AS last, active_users, total_sessions, previous_active_users, active_users_change, avg_runtime, success_rate
FROM analytics.get_workspace_summary(pg_temp.id('w3'));
SELECT count(*), count(*) FILTER (WHERE (s.active_users, s.total_events, s.total_runs, s.failed_runs, s.avg_runtime)
                                        IS DISTINCT FROM (b.users, b.events, b.runs, b.failed, b.average)) AS differ
FROM unnest('{w1,w2,w3}'::text[]) AS w (name), unnest('{1,7,30,45}'::integer[]) AS n (days),
LATERAL analytics.get_workspace_summary(pg_temp.id(w.name), pg_temp.today() - n.days, pg_temp.today()) AS s,
LATERAL (
    SELECT count(DISTINCT user_id) AS users, count(*) AS events, count(*) FILTER (WHERE event_type = 'agent_run') AS runs,
           count(*) FILTER (WHERE metadata ->> 'status' = 'failed') AS failed, round(avg((metadata ->> 'runtime')::numeric), 2) AS average
    FROM analytics.user_activity
    WHERE workspace_id = pg_temp.id(w.name) AND created_at >= (pg_temp.today() - n.days)::timestamp AT TIME ZONE 'UTC'
      AND created_at < (pg_temp.today() + 1)::timestamp AT TIME ZONE 'UTC') AS b;
-- What runs is not compared with what is over.
SELECT n, previous_total_events > 0 AS has_previous, active_users_change, total_events_change, total_runs_change, success_rate_change
FROM generate_series(0, 1) AS n, LATERAL analytics.get_workspace_summary(pg_temp.id('w1'), pg_temp.today() - 7, pg_temp.today() - n) AS s;
SELECT count(*) FROM analytics.get_workspace_summary(pg_temp.id('none'));
SELECT * FROM analytics.get_workspace_summary(pg_temp.id('w1'), '2025-01-02', '2025-01-01');
ROLLBACK TO s;

\echo refresh: as the readme prints it; concurrently by hand; what fails is reported, the others are done
SELECT view, rows, milliseconds >= 0 AS timed, error FROM analytics.refresh_all_materialized_views();
DELETE FROM analytics.settings WHERE name = 'catch_up_seconds';
COMMIT;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_error_trends;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_agent_usage_trends;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_active_users;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_top_agents;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_workspace_summary;
REFRESH MATERIALIZED VIEW analytics.mv_error_trends WITH NO DATA;
BEGIN;
DELETE FROM analytics.change_readers; -- so that it is computed as a whole
DROP INDEX analytics.mv_agent_usage_trends_key;
SELECT view, rows, error FROM analytics.refresh_all_materialized_views();
ROLLBACK;
SELECT view, rows, error FROM analytics.refresh_all_materialized_views();
\echo the lock goes with the transaction
SELECT count(*) FROM pg_locks WHERE classid = 'pg_extension'::regclass AND locktype = 'object' AND pid = pg_backend_pid();

\echo error trends (B-17): failed runs count, unknown is a type like others, samples are redacted
SELECT pg_temp.today() - error_date AS ago, error_type, event_name, total_errors, unique_error_messages, sample_messages
FROM analytics.mv_error_trends ORDER BY 1, 2;

\echo usage trends (B-18, B-19): 7 calendar days, gaps are 0, today is out; an agent before its first week has no growth
SELECT pg_temp.today() - metric_date AS ago, total_runs, success_rate, avg_runtime_seconds, total_credits, unique_users, wow_growth_rate, trend_direction
FROM analytics.mv_agent_usage_trends WHERE agent_id = pg_temp.id('a') AND pg_temp.today() - metric_date IN (1, 2, 3, 7, 8, 9, 15, 30) ORDER BY 1;
SELECT pg_temp.today() - metric_date AS ago, workspace_id = pg_temp.id('w1') AS w1, total_runs, success_rate, wow_growth_rate, trend_direction
FROM analytics.mv_agent_usage_trends WHERE agent_id = pg_temp.id('b') ORDER BY 2, 1;
SELECT count(*) FROM analytics.mv_agent_usage_trends WHERE agent_id IN (pg_temp.id('d'), pg_temp.id('e'));
SELECT min(pg_temp.today() - metric_date), max(pg_temp.today() - metric_date), sum(total_runs), string_agg(DISTINCT trend_direction, ' ') AS trends
FROM analytics.mv_agent_usage_trends WHERE agent_id = pg_temp.id('f');
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
\echo active users (B-14): trailing windows over every date; the vector of doc/metrics.md; brute force over the raw events
SELECT 41 - (pg_temp.today() - activity_date) AS day, daily_active_users, weekly_active_users, monthly_active_users, stickiness
FROM analytics.mv_active_users
WHERE workspace_id = pg_temp.id('w3') AND 41 - (pg_temp.today() - activity_date) IN (1, 5, 8, 9, 35, 39, 40) ORDER BY 1;
SELECT count(*) FROM analytics.mv_active_users WHERE workspace_id = pg_temp.id('w3');
SELECT count(*) AS days, count(*) FILTER (WHERE (v.daily_active_users, v.weekly_active_users, v.monthly_active_users) IS DISTINCT FROM (b.dau, b.wau, b.mau)) AS differ
FROM analytics.mv_active_users AS v,
LATERAL (
    SELECT count(DISTINCT e.user_id) FILTER (WHERE e.ago = 0) AS dau, count(DISTINCT e.user_id) FILTER (WHERE e.ago < 7) AS wau, count(DISTINCT e.user_id) AS mau
    FROM (SELECT user_id, v.activity_date - (created_at AT TIME ZONE 'UTC')::date AS ago FROM analytics.user_activity WHERE workspace_id = v.workspace_id) AS e
    WHERE e.ago BETWEEN 0 AND 29) AS b;

\echo top agents (B-15): one row per workspace and agent, weighted means, distinct users, ranks within the workspace
SELECT w.name AS workspace, a.name AS agent, total_runs_30d, successful_runs_30d, failed_runs_30d, success_rate, avg_runtime, median_runtime, total_credits_30d,
       unique_users_30d, pg_temp.today() - last_active_date AS ago, rank, success_rank, success_rate_lower_bound
FROM analytics.mv_top_agents AS t
JOIN unnest('{a,b,c,d,e}'::text[]) AS a (name) ON pg_temp.id(a.name) = t.agent_id
JOIN unnest('{w1,w2}'::text[]) AS w (name) ON pg_temp.id(w.name) = t.workspace_id
ORDER BY 1, rank;

\echo workspace summary (B-16)
SELECT w.name AS workspace, days_active, total_users, avg_daily_active_users, total_agents, total_runs_30d, successful_runs_30d, failed_runs_30d, success_rate,
       total_credits_30d, avg_runtime_30d, error_rate_30d, failure_rate_30d, total_cost_30d, active_users_30d
FROM analytics.mv_workspace_summary AS s JOIN unnest('{w1,w2,w3}'::text[]) AS w (name) ON pg_temp.id(w.name) = s.workspace_id ORDER BY 1;
SELECT count(*) FILTER (WHERE (s.total_runs_30d, s.active_users_30d, s.avg_runtime_30d, s.avg_daily_active_users, s.total_agents)
                             IS DISTINCT FROM (b.runs, b.users, b.average, round(b.user_days / 30.0, 2), b.agents)) AS differ
FROM analytics.mv_workspace_summary AS s,
LATERAL (
    SELECT count(*) FILTER (WHERE event_type = 'agent_run') AS runs, count(DISTINCT user_id) AS users, round(avg((metadata ->> 'runtime')::numeric), 2) AS average,
           count(DISTINCT (user_id, (created_at AT TIME ZONE 'UTC')::date)) AS user_days, count(DISTINCT metadata ->> 'agent_id') AS agents
    FROM analytics.user_activity
    WHERE workspace_id = s.workspace_id AND created_at >= (pg_temp.today() - 30)::timestamp AT TIME ZONE 'UTC'
      AND created_at < pg_temp.today()::timestamp AT TIME ZONE 'UTC') AS b
WHERE s.workspace_id <> pg_temp.id('w2'); -- its first event is 5 days old

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
SELECT count(*), bool_and(workspace_id = md5('w2')::uuid) FROM analytics.active_users;
SELECT count(*), bool_and(workspace_id = md5('w2')::uuid) FROM analytics.top_agents;
SELECT count(*), bool_and(workspace_id = md5('w2')::uuid) FROM analytics.workspace_summary;
SELECT total_runs, unique_users FROM analytics.get_agent_insights(md5('b')::uuid);
SELECT count(*) FROM analytics.get_agent_insights(md5('a')::uuid);
SELECT count(*) FROM analytics.get_workspace_summary(md5('w2')::uuid);
SELECT count(*) FROM analytics.get_workspace_summary(md5('w1')::uuid);
SELECT count(*) FROM analytics.mv_agent_usage_trends;
SELECT analytics.refresh_all_materialized_views();
RESET ROLE;
SET ROLE regress_reading_service;
SELECT count(*) FROM analytics.refresh_all_materialized_views();
RESET ROLE;
\echo a refresh by changes gives the rows of REFRESH
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.day() RETURNS date LANGUAGE sql AS $$ SELECT (now() AT TIME ZONE 'UTC')::date - 1 - floor(power(random(), 2) * 130)::integer $$;
CREATE FUNCTION pg_temp.put(n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.daily_metrics (workspace_id, metric_date, active_users, new_users, total_users, total_events, total_errors, total_runs, successful_runs, failed_runs, runtime_sketch, total_cost, currency, cost_reason, is_final)
    SELECT md5('v' || i % 5)::uuid, pg_temp.day(), i % 7, i % 3, i, 9, i % 3, 5, i % 5, 1, analytics.quantile_sketch_agg(r), i % 11,
           CASE WHEN i % 20 = 7 THEN 'USD' WHEN i % 5 <> 4 THEN 'EUR' END, CASE WHEN i % 20 = 3 THEN 'credits without a price' END, true
    FROM generate_series(1, n) AS i, generate_series(1, 3) AS r GROUP BY i ON CONFLICT DO NOTHING;
    INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
    SELECT md5('v' || i % 5)::uuid, pg_temp.day(), analytics.user_set_agg(r * i), '{}', true
    FROM generate_series(1, n) AS i, generate_series(1, 3) AS r GROUP BY i ON CONFLICT DO NOTHING;
    INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, total_runs, successful_runs, failed_runs, runtime_sketch, unique_users, users, is_final)
    SELECT md5('v' || i % 5)::uuid, md5('a' || random() * 7)::uuid, pg_temp.day(), i % 6, i % 3, i % 2, analytics.quantile_sketch_agg(r), 3, analytics.user_set_agg(r * i), true
    FROM generate_series(1, n) AS i, generate_series(1, 3) AS r GROUP BY i ON CONFLICT DO NOTHING;
    INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, total_runs, successful_runs, failed_runs, unique_users, is_final)
    SELECT md5('v' || i % 5)::uuid, md5('a' || i % 4)::uuid, pg_temp.day(), i % 6, i % 3, i % 2, 3, true
    FROM generate_series(1, n) AS i ON CONFLICT DO NOTHING;
    INSERT INTO analytics.daily_error_types (workspace_id, metric_date, error_type, errors)
    SELECT md5('v' || i % 5)::uuid, pg_temp.day(), 'type ' || i % 3, ARRAY[('', i, '{1,2,3}', '{no answer}')::analytics.error_count]
    FROM generate_series(1, n) AS i ON CONFLICT DO NOTHING
$$;
CREATE FUNCTION pg_temp.change() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w uuid := md5('v' || floor(random() * 5))::uuid;
    at date := pg_temp.day();
    t text := (ARRAY['daily_metrics', 'daily_users', 'agent_performance', 'daily_error_types'])[1 + floor(random() * 4)];
BEGIN
    CASE floor(random() * 7)
        WHEN 0 THEN PERFORM pg_temp.put(3);
        WHEN 1 THEN EXECUTE format('DELETE FROM analytics.%I WHERE workspace_id = $1 AND metric_date = $2', t) USING w, at;
        WHEN 2 THEN UPDATE analytics.agent_performance SET total_runs = total_runs + 1 WHERE workspace_id = w AND metric_date = at;
        WHEN 3 THEN DELETE FROM analytics.agent_performance WHERE workspace_id = w AND agent_id = (SELECT a.agent_id FROM analytics.agent_performance AS a WHERE a.workspace_id = w ORDER BY random() LIMIT 1);
        WHEN 4 THEN UPDATE analytics.daily_users SET users = '{1,2,3,4}' WHERE workspace_id = w AND metric_date = at;
        WHEN 5 THEN
            INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (w, md5('a' || floor(random() * 4))::uuid, 'name ' || random())
            ON CONFLICT (workspace_id, agent_id) DO UPDATE SET name = EXCLUDED.name WHERE random() < 0.7;
        ELSE IF random() < 0.2 THEN EXECUTE format('DELETE FROM analytics.%I WHERE workspace_id = $1', t) USING w; END IF;
    END CASE;
END $$;
-- Differences between each view and what a plain REFRESH would put there.
CREATE FUNCTION pg_temp.differences() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    v text;
    n bigint;
    found text := '';
BEGIN
    FOREACH v IN ARRAY '{error_trends,active_users,top_agents,workspace_summary,agent_usage_trends}'::text[] LOOP
        EXECUTE format('SELECT count(*) FROM ((TABLE analytics.mv_%1$s EXCEPT ALL SELECT * FROM analytics_internal.%1$s(NULL, NULL))
            UNION ALL (SELECT * FROM analytics_internal.%1$s(NULL, NULL) EXCEPT ALL TABLE analytics.mv_%1$s)) AS d', v) INTO n;
        found := found || CASE WHEN n > 0 THEN format('%s: %s ', v, n) ELSE '' END;
    END LOOP;
    RETURN found;
END $$;
CREATE FUNCTION pg_temp.set_today(days_ago integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION analytics.workspace_today(workspace_id uuid, at timestamptz DEFAULT now()) RETURNS date
        LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
        AS %L', format('SELECT (workspace_today.at AT TIME ZONE analytics.workspace_time_zone(workspace_today.workspace_id, workspace_today.at))::date - %s', days_ago));
END $$;
CREATE TEMP TABLE outcome (round integer, what text, found text, errors text);
CREATE PROCEDURE pg_temp.rounds(n integer) LANGUAGE plpgsql AS $$
DECLARE
    shift integer;
    errors text;
BEGIN
    FOR i IN 1..n LOOP
        PERFORM pg_temp.change() FROM generate_series(1, 1 + floor(random() * 4)::integer);
        COMMIT;
        shift := CASE WHEN i % 5 = 0 THEN 1 + i % 2 ELSE 0 END;
        IF shift > 0 THEN
            PERFORM pg_temp.set_today(shift); -- the views as they were some days ago
            DELETE FROM analytics.change_readers;
            COMMIT;
            PERFORM analytics.refresh_all_materialized_views();
            UPDATE analytics.change_readers SET read_at = read_at - make_interval(days => shift);
            PERFORM pg_temp.set_today(0);
            COMMIT;
        END IF;
        IF i % 9 = 0 THEN
            INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
            VALUES (md5('v' || i % 5)::uuid, (ARRAY['Asia/Tokyo', 'Pacific/Kiritimati', 'Pacific/Pago_Pago'])[1 + i % 3], '-infinity')
            ON CONFLICT (workspace_id, valid_from) DO UPDATE SET time_zone = EXCLUDED.time_zone;
            COMMIT;
        END IF;
        SELECT string_agg(v.error, '; ') INTO errors FROM analytics.refresh_all_materialized_views() AS v;
        COMMIT;
        INSERT INTO outcome VALUES (i, 'shift ' || shift, pg_temp.differences(), errors);
    END LOOP;
END $$;
-- Agents that pause, have paused too long, come back and appear; a workspace that comes back: the day before and the day itself.
SELECT pg_get_functiondef('analytics.workspace_today'::regproc) AS workspace_today \gset
SELECT pg_temp.set_today(1);
CREATE FUNCTION pg_temp.run_agent(name text, days_ago integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, total_runs, unique_users, is_final)
    VALUES (md5('v1')::uuid, md5(name)::uuid, (now() AT TIME ZONE 'UTC')::date - days_ago, 1, 1, true)
$$;
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, is_final)
SELECT md5(w)::uuid, (now() AT TIME ZONE 'UTC')::date - 300, true FROM unnest('{v0,v1}'::text[]) AS w;
SELECT count(pg_temp.run_agent(name, days_ago))
FROM (VALUES ('pauses', 20), ('paused', 44), ('is back', 60), ('is back', 1), ('appears', 1), ('runs', 3), ('runs', 1)) AS a (name, days_ago);
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
VALUES (md5('v0')::uuid, (now() AT TIME ZONE 'UTC')::date - 1, '{1}', '{}', true);
DELETE FROM analytics.change_readers;
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
UPDATE analytics.change_readers SET read_at = read_at - interval '1 day';
SELECT pg_temp.set_today(0);
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
SELECT pg_temp.differences();
SELECT n.name, count(v.agent_id) FROM unnest('{pauses,paused,is back,appears,runs}'::text[]) AS n (name)
LEFT JOIN analytics.mv_agent_usage_trends AS v ON v.workspace_id = md5('v1')::uuid AND v.agent_id = md5(n.name)::uuid GROUP BY n.name ORDER BY n.name;
SELECT count(*) FROM analytics.mv_active_users WHERE workspace_id = md5('v0')::uuid;
-- Random changes, also while a unique index more is there: ranks move between rows.
CREATE UNIQUE INDEX top_agents_rank ON analytics.mv_top_agents (workspace_id, rank);
SELECT setseed(0.7);
SELECT pg_temp.put(200);
CALL pg_temp.rounds(10);
SELECT * FROM outcome WHERE found <> '' OR errors IS NOT NULL ORDER BY round;
DROP INDEX analytics.top_agents_rank;
-- An error in the middle leaves a view as it was, and what it missed is made up for.
CREATE UNIQUE INDEX no_equal_counts ON analytics.mv_workspace_summary (total_agents) WHERE total_agents > 90;
INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, total_runs, is_final)
SELECT md5('v' || w)::uuid, md5('many' || a)::uuid, (now() AT TIME ZONE 'UTC')::date - 1, 1, true FROM generate_series(1, 2) AS w, generate_series(1, 100) AS a;
DELETE FROM analytics.agent_performance WHERE workspace_id = ANY (ARRAY[md5('v1')::uuid, md5('v2')::uuid]) AND agent_id NOT IN (SELECT md5('many' || a)::uuid FROM generate_series(1, 100) AS a);
SELECT view, error FROM analytics.refresh_all_materialized_views() WHERE error IS NOT NULL;
SELECT pg_temp.differences() LIKE 'workspace_summary: %' AS is_as_before;
DROP INDEX analytics.no_equal_counts;
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
SELECT pg_temp.differences();
-- By hand as ever; what was read before is then computed once more at most.
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, total_events, is_final) VALUES (md5('v4')::uuid, (now() AT TIME ZONE 'UTC')::date - 2, 7, true) ON CONFLICT (workspace_id, metric_date) DO UPDATE SET total_events = 700;
REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_workspace_summary;
REFRESH MATERIALIZED VIEW analytics.mv_active_users;
SELECT pg_temp.differences();
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
SELECT pg_temp.differences();
-- Only populated materialized views are written, with rows of theirs.
\set VERBOSITY default
SELECT analytics_internal.write_view_changes('analytics.daily_metrics', 'SELECT', '{}', '{}');
SELECT analytics_internal.write_view_changes('analytics.mv_error_trends', 'SELECT NULL::tid, (SELECT v FROM analytics.mv_active_users AS v LIMIT 1)', '{}', '{}');
\set VERBOSITY terse
:workspace_today;
DELETE FROM analytics.workspace_settings WHERE workspace_id IN (SELECT md5('v' || i)::uuid FROM generate_series(0, 4) AS i);
DELETE FROM analytics.agents WHERE workspace_id IN (SELECT md5('v' || i)::uuid FROM generate_series(0, 4) AS i);
RESET timezone;
DROP TABLE public.workspace_members;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.access_roles;
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL AND rows = 0;
DROP OWNED BY regress_reading_anon, regress_reading_member, regress_reading_service;
DROP ROLE regress_reading_anon, regress_reading_member, regress_reading_service;
