-- What clients of an API see: PostgREST logs in as a role that inherits nothing and, for each request, begins a
-- transaction (read-only for GET), takes the role of the token, and sets its claims.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TEMP TABLE partition_before AS SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass;
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members SELECT ('a0000000-0000-0000-0000-00000000000' || n)::uuid, ('b0000000-0000-0000-0000-00000000000' || n)::uuid FROM generate_series(1, 2) AS n;
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service') \g /dev/null
CREATE ROLE regress_authenticator LOGIN NOINHERIT;
GRANT regress_anon, regress_member, regress_service TO regress_authenticator;
CREATE ROLE regress_operator LOGIN;
SELECT analytics.grant_operator('regress_operator') \g /dev/null
-- Three users and an agent each in two workspaces, for 40 days.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT ('a0000000-0000-0000-0000-00000000000' || n)::uuid, ('b0000000-0000-0000-0000-0000000000' || n || u)::uuid, t, 'name',
       jsonb_build_object('agent_id', 'c0000000-0000-0000-0000-00000000000' || n, 'status', CASE WHEN d % 5 = 0 THEN 'failed' ELSE 'ok' END, 'runtime', d, 'credits', 1, 'revenue', 1),
       date_trunc('day', now()) - d * interval '1 day' + u * interval '1 hour'
FROM generate_series(1, 2) AS n, generate_series(1, 40) AS d, generate_series(1, 3) AS u, unnest('{agent_run,feature_use}'::text[]) AS t;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
SELECT workspace_id, 'r', 'failed_runs', 'greater_than', 0 FROM public.workspace_members;

-- The scheduled jobs, as an operator who is no superuser and owns nothing.
SET SESSION AUTHORIZATION regress_operator;
SELECT count(analytics.aggregate_daily_metrics(CURRENT_DATE - d)) AS days FROM generate_series(1, 40) AS d;
SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1);
SELECT count(*) AS refreshed, count(f.error) AS errors FROM (SELECT (analytics.refresh_all_materialized_views()).*) AS f;
SELECT count(*) > 0 AS cleaned FROM (SELECT analytics.cleanup_old_data()) AS c;
SELECT analytics.aggregate_hourly_metrics(DATE_TRUNC('hour', NOW() - INTERVAL '1 hour'));
SELECT count(analytics.aggregate_hourly_metrics(date_trunc('day', now()) - interval '1 day' + h * interval '1 hour')) AS hours FROM generate_series(1, 3) AS h;
SELECT count(analytics.aggregate_user_cohorts('daily', CURRENT_DATE - d)) AS cohorts FROM generate_series(1, 40) AS d;
SELECT count(*) AS evaluated FROM analytics.evaluate_alert_rules();
CALL analytics.maintain();
SELECT count(*) > 5 AS checks, count(*) FILTER (WHERE status = 'fail') AS failed FROM analytics.health();
SELECT count(*) FROM analytics.daily_metrics;
SELECT count(*) FROM analytics.workspace_summary;
SELECT analytics.setup_roles();
SELECT analytics.grant_operator('regress_operator');
SELECT analytics.forget_user('b0000000-0000-0000-0000-000000000001');
RESET SESSION AUTHORIZATION;
SELECT (SELECT count(*) FROM analytics.daily_metrics WHERE total_runs = 3) AS days, (SELECT count(*) FROM analytics.hourly_metrics WHERE total_runs = 1) >= 6 AS hours,
       (SELECT count(*) FROM analytics.mv_workspace_summary) AS summaries, (SELECT count(*) >= 2 FROM analytics.user_cohorts) AS cohorts;

INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
SELECT workspace_id, workspace_id, id, name, severity, now(), metric_type, condition, 'x' FROM analytics.alert_rules;
INSERT INTO analytics.alert_rule_states (workspace_id, alert_rule_id, state, since, alert_id) SELECT workspace_id, id, 'firing', now(), workspace_id FROM analytics.alert_rules
ON CONFLICT (workspace_id, alert_rule_id) DO UPDATE SET state = EXCLUDED.state, alert_id = EXCLUDED.alert_id;

-- Every function that members may call and that reads, with arguments by their types; it is STABLE or IMMUTABLE.
CREATE FUNCTION pg_temp.argument(type regtype, name text, n int) RETURNS text LANGUAGE sql AS $$
    SELECT 'CAST(' || CASE WHEN name IN ('start_at', 'end_at', 'node_groups', 'page_groups', 'ignore', 'edges', 'user_set', 'hold_constant', 'exclusions', 'filter') THEN 'NULL'
                           WHEN name = 'steps' THEN quote_literal('["agent_run", "feature_use"]')
                           WHEN name = 'segment' THEN quote_literal('{"did": "feature_use"}')
                           WHEN name IN ('breakdown', 'node', 'property', 'variant_property') THEN quote_literal('event_name')
                           WHEN name IN ('from_step', 'to_step') THEN CASE name WHEN 'from_step' THEN '1' ELSE '2' END
                           WHEN name = 'step_order' THEN quote_literal('ordered') WHEN name = 'count_by' THEN quote_literal('user')
                           WHEN name = 'attribution' THEN quote_literal('first_step') WHEN name = 'retention' THEN quote_literal('first')
                           WHEN name = 'within' THEN quote_literal('user') WHEN name = 'model' THEN quote_literal('last') WHEN name = 'control' THEN quote_literal('name')
         ELSE CASE type::text WHEN 'uuid' THEN quote_literal(CASE WHEN name = 'agent_id' THEN 'c' WHEN name = 'user_id' THEN 'b' ELSE 'a' END || '0000000-0000-0000-0000-00000000000' || n)
                           WHEN 'date' THEN CASE WHEN name ~ 'start|from|first' THEN 'current_date - 40' ELSE 'current_date - 1' END
                           WHEN 'timestamp with time zone' THEN 'now()' WHEN 'integer' THEN '30' WHEN 'boolean' THEN 'true' WHEN 'text' THEN quote_literal('daily')
                           WHEN 'jsonb' THEN quote_literal('"feature_use"') WHEN 'interval' THEN quote_literal('1 day') WHEN 'numeric' THEN '0.05' END END || ' AS ' || type || ')' $$;
CREATE TEMP TABLE reading AS
SELECT p.oid, p.proname, p.provolatile, p.proretset,
       (SELECT string_agg(pg_temp.argument(a.type, p.proargnames[a.n], 1), ', ' ORDER BY a.n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, n)) AS own,
       (SELECT string_agg(pg_temp.argument(a.type, p.proargnames[a.n], 2), ', ' ORDER BY a.n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, n)) AS foreigners,
       (SELECT string_agg(pg_temp.argument(a.type, p.proargnames[a.n], 9), ', ' ORDER BY a.n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, n)) AS unknown
FROM pg_proc AS p
WHERE p.pronamespace = 'analytics'::regnamespace AND has_function_privilege('regress_member', p.oid, 'EXECUTE') AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
  AND p.provolatile <> 'v'
  AND p.proname <> 'report_page'; -- the document of report() in a page that the tests have not built
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) AS writing FROM pg_proc AS p
WHERE p.pronamespace = 'analytics'::regnamespace AND has_function_privilege('regress_member', p.oid, 'EXECUTE') AND p.provolatile = 'v';
GRANT SELECT ON reading TO PUBLIC;
CREATE FUNCTION pg_temp.answer(name text, arguments text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    EXECUTE format('SELECT coalesce(jsonb_agg(r), ''[]'') FROM analytics.%I(%s) AS r WHERE to_jsonb(r) <> ''null''', name, arguments) INTO answer;
    RETURN answer;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN '["denied"]';
END $$;

SET SESSION AUTHORIZATION regress_authenticator;
SELECT count(*) FROM analytics.daily_metrics; -- nothing without a role
BEGIN READ ONLY;
SET LOCAL ROLE regress_member;
SET LOCAL statement_timeout = '8s';
SELECT set_config('request.jwt.claims', '{"role":"regress_member","sub":"b0000000-0000-0000-0000-000000000001"}', true) IS NOT NULL AS request;
-- Of a foreign workspace they say what they say of one that does not exist.
SELECT r.proname AS function, jsonb_array_length(pg_temp.answer(r.proname, r.own)) AS rows,
       CASE WHEN r.own <> r.foreigners THEN pg_temp.answer(r.proname, r.foreigners) = pg_temp.answer(r.proname, r.unknown) END AS foreign_is_unknown,
       CASE WHEN r.own <> r.foreigners THEN pg_temp.answer(r.proname, r.own) <> pg_temp.answer(r.proname, r.unknown) END AS own_differs
FROM reading AS r ORDER BY r.proname;
SELECT (SELECT count(*) FROM analytics.active_users) > 30 AS active_users, (SELECT count(*) FROM analytics.top_agents) AS top_agents, (SELECT count(*) FROM analytics.workspace_summary) AS workspace_summary,
       (SELECT count(*) FROM analytics.error_trends) > 0 AS error_trends, (SELECT count(*) FROM analytics.agent_usage_trends) AS agent_usage_trends, (SELECT count(*) FROM analytics.active_alerts) AS active_alerts;
SELECT workspace_id FROM analytics.active_users UNION SELECT workspace_id FROM analytics.top_agents UNION SELECT workspace_id FROM analytics.workspace_summary
UNION SELECT workspace_id FROM analytics.error_trends UNION SELECT workspace_id FROM analytics.agent_usage_trends UNION SELECT workspace_id FROM analytics.active_alerts;
-- As PostgREST asks for a table, and for a function by the names of its arguments.
WITH pgrst_source AS (SELECT d.metric_date, d.total_runs FROM analytics.daily_metrics AS d WHERE d.workspace_id = 'a0000000-0000-0000-0000-000000000001' ORDER BY d.metric_date LIMIT 2 OFFSET 0)
SELECT count(*) AS page_total, coalesce(json_agg(s), '[]')::text LIKE '%"total_runs":3%' AS body FROM (SELECT * FROM pgrst_source) AS s;
WITH pgrst_source AS (SELECT m.* FROM analytics.get_workspace_metrics(workspace_id => 'a0000000-0000-0000-0000-000000000001', start_date => CURRENT_DATE - 7, end_date => CURRENT_DATE - 1) AS m)
SELECT count(*) AS page_total FROM pgrst_source;
COMMIT;
-- The next request of the same connection is somebody else's, or nobody's.
SELECT count(*) FROM analytics.daily_metrics;
BEGIN READ ONLY;
SET LOCAL ROLE regress_member;
SELECT count(*) FROM analytics.daily_metrics;
COMMIT;
BEGIN READ ONLY;
SET LOCAL ROLE regress_anon;
SELECT set_config('request.jwt.claims', '{"role":"regress_anon"}', true) IS NOT NULL AS request;
SELECT count(*) FROM analytics.active_users;
COMMIT;
-- GET may not write; POST may.
BEGIN READ ONLY;
SET LOCAL ROLE regress_member;
SELECT set_config('request.jwt.claims', '{"role":"regress_member","sub":"b0000000-0000-0000-0000-000000000001"}', true) IS NOT NULL AS request;
SELECT analytics.track('click');
ROLLBACK;
BEGIN;
SET LOCAL ROLE regress_member;
SET LOCAL statement_timeout = '8s';
SELECT set_config('request.jwt.claims', '{"role":"regress_member","sub":"b0000000-0000-0000-0000-000000000001"}', true) IS NOT NULL AS request;
SELECT analytics.track('click', workspace_id => 'a0000000-0000-0000-0000-000000000001') IS NOT NULL AS tracked;
WITH pgrst_source AS (INSERT INTO analytics.user_activity (workspace_id, user_id, event_type)
    SELECT p.workspace_id, p.user_id, p.event_type FROM json_populate_record(NULL::analytics.user_activity,
        '{"workspace_id": "a0000000-0000-0000-0000-000000000001", "user_id": "b0000000-0000-0000-0000-000000000001", "event_type": "click"}') AS p RETURNING 1)
SELECT count(*) AS inserted FROM pgrst_source;
WITH pgrst_source AS (INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
    SELECT 'a0000000-0000-0000-0000-000000000001', 'new', 'error_rate', 'greater_than', 5 RETURNING created_by)
SELECT created_by FROM pgrst_source;
SELECT analytics.acknowledge_alert(alert_id => 'a0000000-0000-0000-0000-000000000001', notes => 'mine');
SELECT acknowledged_by, notes FROM analytics.alert_history;
SAVEPOINT s;
SELECT analytics.acknowledge_alert(alert_id => 'a0000000-0000-0000-0000-000000000002');
ROLLBACK TO s;
UPDATE analytics.alert_history SET acknowledged_by = 'b0000000-0000-0000-0000-000000000009', acknowledged_at = '2001-01-01' RETURNING acknowledged_by, acknowledged_at = now() AS now;
ROLLBACK;
RESET SESSION AUTHORIZATION;

TRUNCATE analytics.user_activity, analytics.hourly_metrics, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types, analytics.users, analytics.daily_users,
    analytics.daily_user_revenue, analytics.user_cohorts, analytics.alert_rules, analytics.alert_history, analytics.alert_rule_states, analytics.notification_outbox, analytics.job_runs, analytics.watermark,
    analytics.dirty_hours, analytics.sealed_days, analytics.access_roles;
TRUNCATE analytics.audit_log;
SELECT analytics.refresh_all_materialized_views() \g /dev/null
\set partition_before partition_before
\getenv abs_srcdir PG_ABS_SRCDIR
\set drop_new_partitions :abs_srcdir '/sql/include/drop_new_partitions.sql'
\i :drop_new_partitions
DROP TABLE public.workspace_members;
DROP OWNED BY regress_anon, regress_member, regress_service, regress_operator, regress_authenticator;
DROP ROLE regress_anon, regress_member, regress_service, regress_operator, regress_authenticator;
