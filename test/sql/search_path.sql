-- Objects of an attacker's that shadow built-in functions and operators change nothing: with their schema first in
-- the search_path, every function answers as before and none of them is called.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES ('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001');
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service') \g /dev/null
CREATE ROLE regress_operator;
SELECT analytics.grant_operator('regress_operator') \g /dev/null
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT 'a0000000-0000-0000-0000-000000000001', ('b0000000-0000-0000-0000-00000000000' || u)::uuid, t, 'name',
       jsonb_build_object('agent_id', 'c0000000-0000-0000-0000-000000000001', 'status', CASE WHEN d % 5 = 0 THEN 'failed' ELSE 'ok' END, 'error_message', 'x', 'runtime', d, 'credits', 1, 'revenue', 1),
       date_trunc('day', now()) - d * interval '1 day' + u * interval '1 hour'
FROM generate_series(1, 20) AS d, generate_series(1, 3) AS u, unnest('{agent_run,feature_use,error}'::text[]) AS t;
INSERT INTO analytics.alert_rules (workspace_id, id, name, metric_type, condition, threshold_value)
VALUES ('a0000000-0000-0000-0000-000000000001', 'd0000000-0000-0000-0000-000000000001', 'r', 'failed_runs', 'greater_than', 0);

CREATE SCHEMA regress_attack;
CREATE SCHEMA regress_tools;
GRANT USAGE ON SCHEMA regress_attack, regress_tools TO PUBLIC;
CREATE TEMP TABLE type AS SELECT unnest('{uuid,text,name,"char",oid,int4,int8,float8,numeric,bool,date,timestamptz,timestamp,interval,jsonb,json,bytea,regclass,uuid[],text[],int8[],inet}'::regtype[])::oid AS oid;
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid, p.proname, p.prorettype, p.proretset, p.pronargs,
                    (SELECT string_agg(format_type(a, NULL), ', ' ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS x (a, n)) AS arguments
             FROM pg_proc AS p
             WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0 AND p.proallargtypes IS NULL
               AND p.prorettype IN (SELECT oid FROM type UNION SELECT 'void'::regtype)
               AND p.proargtypes::oid[] <@ (SELECT array_agg(oid) FROM type)
    LOOP
        EXECUTE format('CREATE FUNCTION regress_attack.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS $f$BEGIN RAISE EXCEPTION USING MESSAGE = %L; END$f$',
                       f.proname, f.arguments, CASE WHEN f.proretset THEN 'SETOF' ELSE '' END, format_type(f.prorettype, NULL), 'shadow of ' || f.proname);
    END LOOP;
    FOR f IN SELECT o.oprname, format_type(nullif(o.oprleft, 0), NULL) AS l, format_type(o.oprright, NULL) AS r, p.proname
             FROM pg_operator AS o JOIN pg_proc AS p ON p.oid = o.oprcode
             WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND (o.oprleft = 0 OR o.oprleft IN (SELECT oid FROM type)) AND o.oprright IN (SELECT oid FROM type)
               AND to_regprocedure(format('regress_attack.%I(%s)', p.proname, concat_ws(',', format_type(nullif(o.oprleft, 0), NULL), format_type(o.oprright, NULL)))) IS NOT NULL
    LOOP
        EXECUTE format('CREATE OPERATOR regress_attack.%s (FUNCTION = regress_attack.%I, %s RIGHTARG = %s)', f.oprname, f.proname, 'LEFTARG = ' || f.l || ',', f.r);
    END LOOP;
END $$;
SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'regress_attack'::regnamespace) > 1000 AS functions, (SELECT count(*) FROM pg_operator WHERE oprnamespace = 'regress_attack'::regnamespace) > 300 AS operators;
CREATE TABLE regress_tools.partition_before AS SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass;
-- And tables that might be taken for the extension's, or for its catalogs.
CREATE TABLE regress_attack.daily_metrics (workspace_id uuid);
CREATE TABLE regress_attack.workspace_members (workspace_id uuid, user_id uuid);
CREATE TABLE regress_attack.settings (name text, value text);
CREATE VIEW regress_attack.pg_class AS SELECT 1 AS oid;
GRANT SELECT ON ALL TABLES IN SCHEMA regress_attack TO PUBLIC;

-- Statements, and what they answer under each search_path: an error or the number of rows.
CREATE TABLE regress_tools.statement (no serial, role name, sql text);
INSERT INTO regress_tools.statement (role, sql) VALUES
    ('regress_operator', 'SELECT analytics.create_partitions(current_date, current_date)'),
    ('regress_operator', 'SELECT pg_catalog.count(analytics.aggregate_daily_metrics(t.d)) FROM regress_tools.days AS t'),
    ('regress_operator', 'SELECT analytics.aggregate_hourly_metrics(pg_catalog.date_trunc(''hour'', pg_catalog.now()))'),
    ('regress_operator', 'SELECT pg_catalog.count(analytics.aggregate_user_cohorts(''daily'', t.d)) FROM regress_tools.days AS t'),
    ('regress_operator', 'SELECT * FROM analytics.refresh_all_materialized_views() WHERE error IS NULL'),
    ('regress_operator', 'SELECT * FROM analytics.evaluate_alert_rules()'),
    ('regress_operator', 'SELECT * FROM analytics.cleanup_old_data()'),
    ('regress_operator', 'SELECT * FROM analytics.health()'),
    ('regress_operator', 'SELECT * FROM analytics.security_audit()'),
    ('regress_service', 'SELECT * FROM analytics.test_alert_rule(''d0000000-0000-0000-0000-000000000001'')'),
    ('regress_service', 'INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (''a0000000-0000-0000-0000-000000000009'', ''Europe/Berlin'')'),
    ('regress_service', 'INSERT INTO analytics.credit_prices (workspace_id, price) VALUES (''a0000000-0000-0000-0000-000000000009'', 2)'),
    ('regress_service', 'SELECT * FROM analytics.freshness'), ('regress_service', 'SELECT * FROM analytics.setting_values'),
    ('regress_service', 'SELECT * FROM analytics.table_sizes'), ('regress_service', 'SELECT * FROM analytics.index_usage'), ('regress_service', 'SELECT * FROM analytics.data_quality'),
    ('regress_service', 'SELECT analytics.export_user(''b0000000-0000-0000-0000-000000000002'')'),
    ('regress_service', 'SELECT * FROM analytics_internal.claim_notifications(''x'', 10, ''1 minute'')'),
    ('regress_service', 'SELECT analytics.forget_user(''b0000000-0000-0000-0000-000000000003'')'),
    ('regress_member', 'SELECT analytics.track(''click'', workspace_id => ''a0000000-0000-0000-0000-000000000001'', metadata => ''{"credits": 1}'')'),
    ('regress_member', 'SELECT * FROM analytics.track_batch(''[{"event_type": "click"}, {"event_type": "none"}]'')'),
    ('regress_member', 'INSERT INTO analytics.user_activity (user_id, event_type, ip_address, page_path) VALUES (''b0000000-0000-0000-0000-000000000001'', ''click'', ''192.0.2.1'', ''/x?y'')'),
    ('regress_member', 'INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value) VALUES (''a0000000-0000-0000-0000-000000000001'', ''n'', ''error_rate'', ''greater_than'', 1)'),
    ('regress_member', 'SELECT analytics.set_notification_destination(''a0000000-0000-0000-0000-000000000001'', ''hook'', ''webhook'', ''https://example.org/x'')'),
    ('regress_member', 'SELECT * FROM analytics.notification_destination_list'),
    ('regress_member', 'UPDATE analytics.alert_history SET notes = ''x'''), ('regress_member', 'SELECT analytics.export_self()'),
    ('regress_member', 'SELECT * FROM analytics.get_workspace_metrics(''a0000000-0000-0000-0000-000000000001'')'),
    ('regress_member', 'SELECT * FROM analytics.get_workspace_summary(''a0000000-0000-0000-0000-000000000001'')'),
    ('regress_member', 'SELECT * FROM analytics.get_agent_insights(''c0000000-0000-0000-0000-000000000001'')'),
    ('regress_member', 'SELECT f.* FROM regress_tools.bounds AS b, analytics.get_active_users(''a0000000-0000-0000-0000-000000000001'', b.f, b.l) AS f'),
    ('regress_member', 'SELECT f.* FROM regress_tools.bounds AS b, analytics.get_lifecycle(''a0000000-0000-0000-0000-000000000001'', ''weekly'', b.f, b.l) AS f'),
    ('regress_member', 'SELECT f.* FROM regress_tools.bounds AS b, analytics.get_feature_usage(''a0000000-0000-0000-0000-000000000001'', b.f, b.l) AS f'),
    ('regress_member', 'SELECT f.* FROM regress_tools.bounds AS b, analytics.get_retention_matrix(''a0000000-0000-0000-0000-000000000001'', ''daily'', b.f, b.l) AS f'),
    ('regress_member', 'SELECT * FROM analytics.get_user_workspaces()'), ('regress_member', 'SELECT * FROM analytics.audit_log'),
    ('regress_member', 'SELECT * FROM analytics.active_users'), ('regress_member', 'SELECT * FROM analytics.top_agents'), ('regress_member', 'SELECT * FROM analytics.workspace_summary'),
    ('regress_member', 'SELECT * FROM analytics.error_trends'), ('regress_member', 'SELECT * FROM analytics.agent_usage_trends'), ('regress_member', 'SELECT * FROM analytics.active_alerts'),
    ('regress_member', 'SELECT * FROM analytics.daily_metrics'), ('regress_member', 'SELECT * FROM analytics.user_activity'), ('regress_member', 'SELECT * FROM analytics.daily_event_counts'),
    ('regress_member', 'SELECT analytics.calculate_percentiles(ARRAY[1.2, 2.3, 3.4, 4.5], ARRAY[0.5, 0.95])'),
    ('regress_member', 'SELECT analytics.growth_rate(3, 2), analytics.trend_direction(3, 2)');
CREATE TABLE regress_tools.days AS SELECT current_date - d AS d FROM generate_series(1, 3) AS d;
CREATE TABLE regress_tools.bounds AS SELECT current_date - 15 AS f, current_date - 1 AS l;
GRANT SELECT ON regress_tools.days, regress_tools.bounds TO PUBLIC;
CREATE FUNCTION regress_tools.answer(role name, sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    PERFORM pg_catalog.set_config('request.jwt.claims', CASE WHEN role OPERATOR(pg_catalog.=) 'regress_member'::pg_catalog.name THEN '{"sub":"b0000000-0000-0000-0000-000000000001"}' ELSE '' END, true);
    BEGIN
        EXECUTE pg_catalog.format('SET LOCAL ROLE %I', role);
        EXECUTE sql;
        GET DIAGNOSTICS n = ROW_COUNT;
        RAISE SQLSTATE 'UNDO0';
    EXCEPTION
        WHEN SQLSTATE 'UNDO0' THEN RETURN n;
        WHEN OTHERS THEN RETURN SQLERRM;
    END;
END $$;
SELECT count(analytics.aggregate_daily_metrics(current_date - d)) AS days FROM generate_series(1, 20) AS d;
SELECT count(*) FROM analytics.refresh_all_materialized_views();
CREATE TABLE regress_tools.usual AS SELECT s.no, s.role, s.sql, regress_tools.answer(s.role, s.sql) AS answer FROM regress_tools.statement AS s;
SELECT count(*) > 40 AS statements, count(*) FILTER (WHERE answer ~ '^[1-9]') > 40 AS with_rows FROM regress_tools.usual;
SELECT role, left(sql, 80) AS sql, answer FROM regress_tools.usual WHERE answer !~ '^[0-9]+$' ORDER BY no;
SELECT left(sql, 80) AS without_rows FROM regress_tools.usual WHERE answer = '0' ORDER BY no;

-- In a new session, where no plan was made under another search_path.
\c -
SET timezone = 'UTC';
SET client_min_messages = warning;
SET search_path = regress_attack, pg_catalog, pg_temp;
SELECT now(); -- it is armed
SELECT u.role, u.sql, u.answer, a.answer AS attacked
FROM regress_tools.usual AS u, LATERAL (SELECT regress_tools.answer(u.role, u.sql) AS answer OFFSET 0) AS a
WHERE u.answer OPERATOR(pg_catalog.<>) a.answer ORDER BY u.no;
SET ROLE regress_operator;
CALL analytics.maintain();
CALL analytics.backfill('2020-01-01', '2020-01-02');
RESET ROLE;
RESET search_path;
SELECT step, outcome, error FROM analytics.job_runs WHERE outcome <> 'done' ORDER BY step;
SELECT count(*) > 3 AS steps FROM analytics.job_runs;

DO $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(c.oid::regclass::text, ', ') FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition);
END $$;
TRUNCATE analytics.audit_log;
SELECT analytics.refresh_all_materialized_views() \g /dev/null
\set partition_before regress_tools.partition_before
\getenv abs_srcdir PG_ABS_SRCDIR
\set drop_new_partitions :abs_srcdir '/sql/include/drop_new_partitions.sql'
\i :drop_new_partitions
DROP SCHEMA regress_attack, regress_tools CASCADE;
DROP TABLE public.workspace_members;
DROP OWNED BY regress_anon, regress_member, regress_service, regress_operator;
DROP ROLE regress_anon, regress_member, regress_service, regress_operator;
