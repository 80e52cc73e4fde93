-- Who may do what with every relation and function of the extension, taken from the catalogs and tried out.
-- Workspace a1 is the member's own, a2 is foreign; both have rows everywhere.
\set VERBOSITY terse
\set QUIET on
SET timezone = 'UTC';
SET client_min_messages = warning;
\set own '''a0000000-0000-0000-0000-000000000001'''
\set foreign '''a0000000-0000-0000-0000-000000000002'''
CREATE TEMP TABLE partition_before AS SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass;
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES (:own, 'b0000000-0000-0000-0000-000000000001'), (:foreign, 'b0000000-0000-0000-0000-000000000002');
CREATE ROLE regress_member;
CREATE ROLE regress_anon;
CREATE ROLE regress_operator;
CREATE ROLE regress_other;
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');
SELECT analytics.grant_operator('regress_operator');

-- Rows. What a table lacks is listed.
SELECT current_date - 1 AS day \gset
SELECT analytics.create_partitions(:'day', :'day') \g /dev/null
CREATE TEMP TABLE tenant (w uuid, u uuid);
INSERT INTO tenant VALUES (:own, 'b0000000-0000-0000-0000-000000000001'), (:foreign, 'b0000000-0000-0000-0000-000000000002');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT w, u, 'agent_run', '{"agent_id": "c0000000-0000-0000-0000-000000000001", "status": "failed", "revenue": 5}', :'day'::timestamptz + interval '1 hour' FROM tenant;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) SELECT w, u, 'click', '2001-01-01Z' FROM tenant;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) SELECT w, 'UTC', '-infinity' FROM tenant;
INSERT INTO analytics.credit_prices (workspace_id, price) SELECT w, 1 FROM tenant;
INSERT INTO analytics.token_prices (workspace_id, input_price, output_price) SELECT w, 1, 1 FROM tenant;
INSERT INTO analytics.workspaces SELECT w, 'name' FROM tenant;
INSERT INTO analytics.agents SELECT w, w, 'name' FROM tenant;
SELECT analytics.aggregate_daily_metrics(:'day'), analytics.aggregate_hourly_metrics(:'day'::timestamptz + interval '1 hour'),
       analytics.aggregate_user_cohorts('daily', :'day') \g /dev/null
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes)
SELECT w, 'runs', 'failed_runs', 'greater_than', 0, 1440 FROM tenant;
INSERT INTO analytics.segments (workspace_id, name, definition) SELECT w, 'exporters', '{}' FROM tenant;
INSERT INTO analytics.annotations (workspace_id, title) SELECT w, 'release' FROM tenant;
INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address) SELECT w, 'hook', 'webhook', 'https://example.org/' FROM tenant;
INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message) SELECT w, 'firing', 'hook', 'webhook', '{}' FROM tenant;
INSERT INTO analytics.alert_rule_states (workspace_id, alert_rule_id, state, since) SELECT workspace_id, id, 'firing', '2025-01-01Z' FROM analytics.alert_rules;
INSERT INTO analytics.alert_history (workspace_id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
SELECT workspace_id, id, name, severity, '2025-01-01Z', metric_type, condition, 'x' FROM analytics.alert_rules;
INSERT INTO analytics.dirty_hours (workspace_id, metric_hour) SELECT w, '2020-01-01Z' FROM tenant;
INSERT INTO analytics.sealed_days (workspace_id, event_day, events) SELECT w, '2020-01-01', 1 FROM tenant;
INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date, attempts, error, next_attempt_at) SELECT w, 'day', '2020-01-01', 1, 'x', '2020-01-01Z' FROM tenant;
INSERT INTO analytics.closed_days (workspace_id, event_day, events) SELECT w, '2020-01-01', 1 FROM tenant;
INSERT INTO analytics.workspace_retention SELECT w, 'hourly_metrics', 7 FROM tenant;
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('hourly_metrics', 7);
INSERT INTO analytics.watermark (marked_until) VALUES ('2020-01-01Z') ON CONFLICT DO NOTHING;
INSERT INTO analytics.membership DEFAULT VALUES;
INSERT INTO analytics.ip_secret DEFAULT VALUES;
INSERT INTO analytics.readers VALUES ('regress_gone');
INSERT INTO analytics.settings VALUES ('currency', 'EUR');
INSERT INTO analytics.job_runs (step, outcome) VALUES ('refresh', 'done');
SELECT analytics.refresh_all_materialized_views() \g /dev/null
UPDATE analytics.membership SET manager_roles = '{owner}';

-- Every relation; of the partitions one with rows, one without, and the default one.
CREATE TEMP TABLE relation AS
SELECT c.oid, c.relkind, c.relname::text AS name, replace(c.relname, to_char(:'day'::date, '_YYYYMMDD'), '_<day>') AS shown,
       EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'workspace_id') AS is_tenants
FROM pg_class AS c
WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  AND (NOT c.relispartition OR c.relname = 'user_activity_default' OR c.relname = 'user_activity' || to_char(:'day'::date, '_YYYYMMDD'));
CREATE TEMP TABLE who (no serial, name text, role name, sub text);
INSERT INTO who (name, role, sub) VALUES
    ('anon', 'regress_anon', 'b0000000-0000-0000-0000-000000000001'),
    ('nobody', 'regress_member', ''),
    ('member', 'regress_member', 'b0000000-0000-0000-0000-000000000001'),
    ('outsider', 'regress_member', 'b0000000-0000-0000-0000-000000000003'),
    ('service', 'regress_service', ''),
    ('operator', 'regress_operator', 'b0000000-0000-0000-0000-000000000001'),
    ('other', 'regress_other', 'b0000000-0000-0000-0000-000000000001'),
    ('owner', current_user, '');

-- How a statement ends, and how many rows it changes. Nothing of it stays.
CREATE FUNCTION pg_temp.attempt(who, statement text, source jsonb, OUT own bigint, OUT state text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', CASE WHEN $1.sub <> '' THEN format('{"sub":"%s"}', $1.sub) ELSE '' END, true);
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', $1.role);
        EXECUTE statement USING source;
        GET DIAGNOSTICS own = ROW_COUNT;
        state := '00000';
        RAISE SQLSTATE 'UNDO0';
    EXCEPTION
        WHEN SQLSTATE 'UNDO0' THEN NULL;
        WHEN OTHERS THEN
            state := SQLSTATE;
            IF SQLSTATE = '42501' AND SQLERRM LIKE '%row-level security%' THEN
                state := 'POLICY';
            END IF;
    END;
END $$;
CREATE FUNCTION pg_temp.visible(who, r relation, OUT own bigint, OUT foreigners bigint, OUT state text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', CASE WHEN $1.sub <> '' THEN format('{"sub":"%s"}', $1.sub) ELSE '' END, true);
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', $1.role);
        EXECUTE format(CASE WHEN r.is_tenants THEN 'SELECT count(*) FILTER (WHERE workspace_id = %2$L), count(*) FILTER (WHERE workspace_id <> %2$L) FROM %1$s'
                       ELSE 'SELECT 0, count(*) FROM %s' END, r.oid::regclass, 'a0000000-0000-0000-0000-000000000001') INTO own, foreigners;
        state := '00000';
        RAISE SQLSTATE 'UNDO0';
    EXCEPTION
        WHEN SQLSTATE 'UNDO0' THEN NULL;
        WHEN OTHERS THEN state := SQLSTATE;
    END;
END $$;

-- One letter for what happened: - not granted, 0 granted but no row, o own rows, a all rows, . not for such a relation, else the error.
CREATE FUNCTION pg_temp.letter(state text, own bigint, foreigners bigint) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN state = '42501' THEN '-'
                WHEN state IN ('42809', '55000', '0A000') THEN '.'
                WHEN state NOT IN ('00000', 'POLICY') THEN ' ' || state || ' '
                WHEN foreigners > 0 THEN 'a' WHEN own > 0 THEN 'o' ELSE '0' END $$;
CREATE FUNCTION pg_temp.columns_for(who, r relation, privilege text) RETURNS text[] LANGUAGE sql AS $$
    SELECT array_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute AS a
    WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      AND has_column_privilege($1.role, r.oid, a.attnum, privilege) $$;
CREATE FUNCTION pg_temp.insert_letter(who, r relation) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    columns text := array_to_string(coalesce(pg_temp.columns_for($1, r, 'INSERT'), '{workspace_id}'), ', ');
    accepted bigint[] := '{0,0}';
    state text;
    source jsonb;
BEGIN
    IF NOT r.is_tenants THEN
        columns := '*';
    END IF;
    FOR i IN 1 .. 2 LOOP
        EXECUTE format(CASE WHEN r.is_tenants THEN 'SELECT to_jsonb(t) FROM %1$s AS t WHERE workspace_id = %2$L LIMIT 1' ELSE 'SELECT to_jsonb(t) FROM %1$s AS t LIMIT 1' END,
                       r.oid::regclass, 'a0000000-0000-0000-0000-00000000000' || i) INTO source;
        SELECT a.state INTO state FROM pg_temp.attempt($1, format('INSERT INTO %s %s SELECT %s FROM jsonb_populate_record(NULL::%s, $1)', r.oid::regclass,
            CASE columns WHEN '*' THEN '' ELSE '(' || columns || ')' END, columns, r.oid::regclass), source) AS a;
        -- A row that is there already was accepted before that was noticed.
        IF state IN ('00000', '23505') THEN
            accepted[i] := 1;
            state := '00000';
        END IF;
    END LOOP;
    RETURN pg_temp.letter(state, accepted[1], accepted[2]);
END $$;
CREATE FUNCTION pg_temp.update_letter(who, r relation) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    columns text[];
    a record;
    b record;
BEGIN
    SELECT array_agg(c) INTO columns FROM unnest(pg_temp.columns_for($1, r, 'UPDATE')) AS c
    WHERE c = ANY (coalesce(pg_temp.columns_for($1, r, 'SELECT'), '{}'));
    columns := coalesce(columns, (SELECT array_agg(quote_ident(attname)) FROM pg_attribute WHERE attrelid = r.oid AND attnum = 1));
    SELECT * INTO a FROM pg_temp.attempt($1, format('UPDATE %s SET %2$s = %2$s', r.oid::regclass, columns[1]), NULL);
    SELECT * INTO b FROM pg_temp.attempt($1, format(CASE WHEN r.is_tenants THEN 'UPDATE %1$s SET %2$s = %2$s WHERE workspace_id <> %3$L' ELSE 'UPDATE %1$s SET %2$s = %2$s' END,
                                                    r.oid::regclass, columns[1], 'a0000000-0000-0000-0000-000000000001'), NULL);
    RETURN pg_temp.letter(a.state, a.own, b.own);
END $$;
CREATE FUNCTION pg_temp.delete_letter(who, r relation) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a record;
    b record;
BEGIN
    SELECT * INTO a FROM pg_temp.attempt($1, format('DELETE FROM %s', r.oid::regclass), NULL);
    SELECT * INTO b FROM pg_temp.attempt($1, format('DELETE FROM %s %s', r.oid::regclass,
        CASE WHEN r.is_tenants AND a.state <> '42501' THEN 'WHERE workspace_id <> ''a0000000-0000-0000-0000-000000000001''' ELSE '' END), NULL);
    RETURN pg_temp.letter(a.state, a.own, b.own);
END $$;
CREATE FUNCTION pg_temp.cell(who, r relation) RETURNS text LANGUAGE sql AS $$
    SELECT (SELECT pg_temp.letter(v.state, v.own, v.foreigners) FROM pg_temp.visible($1, r) AS v)
        || CASE r.relkind WHEN 'S' THEN '....' ELSE
           pg_temp.insert_letter($1, r) || pg_temp.update_letter($1, r) || pg_temp.delete_letter($1, r)
        || (SELECT CASE a.state WHEN '00000' THEN 'a' WHEN '42501' THEN '-' WHEN '42809' THEN '.' ELSE a.state END
            FROM pg_temp.attempt($1, format('TRUNCATE %s', r.oid::regclass), NULL) AS a) END $$;

-- SELECT, INSERT, UPDATE, DELETE, TRUNCATE by everybody.
SELECT r.shown AS relation, max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'anon') AS anon, max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'nobody') AS nobody,
       max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'member') AS member, max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'outsider') AS outsider,
       max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'service') AS service, max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'operator') AS operator,
       max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'other') AS other, max(pg_temp.cell(w, r)) FILTER (WHERE w.name = 'owner') AS owner
FROM relation AS r, who AS w GROUP BY r.relkind, r.shown, r.oid ORDER BY r.relkind = 'v', r.relkind = 'm', r.shown;
-- In a workspace with roles, a viewer reads what the owner does and changes acknowledgments only.
UPDATE analytics.membership SET role_column = 'role';
ALTER TABLE public.workspace_members ADD role text NOT NULL DEFAULT 'viewer';
SELECT r.shown AS relation, pg_temp.cell(w, r) AS viewer FROM relation AS r, who AS w
WHERE w.name = 'member' AND r.shown IN ('alert_rules', 'alert_history', 'notification_destinations', 'notification_destination_list', 'audit_log', 'daily_metrics') ORDER BY 1;

-- What is granted by column.
SELECT c.relname AS relation, x.privilege_type AS privilege, x.grantee::regrole AS role, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid AND c.relnamespace = 'analytics'::regnamespace, aclexplode(a.attacl) AS x
GROUP BY c.relname, x.privilege_type, x.grantee ORDER BY 1, 2, 3::text;
-- Partitions: rights for nobody, the same policy on each.
SELECT count(*) > 1 AS several, bool_and(c.relacl IS NULL OR NOT EXISTS (SELECT FROM aclexplode(c.relacl) AS x WHERE x.grantee <> c.relowner)) AS granted_to_nobody,
       bool_and(c.relrowsecurity) AS row_security, bool_and((SELECT count(*) = 1 AND bool_and(pg_get_expr(p.polqual, p.polrelid) = 'false') FROM pg_policy AS p WHERE p.polrelid = c.oid)) AS denied
FROM pg_class AS c JOIN pg_inherits AS i ON i.inhrelid = c.oid WHERE i.inhparent = 'analytics.user_activity'::regclass;

-- EXECUTE. Not listed: what everybody may execute, as it computes from its arguments alone, and what only the owner may.
SELECT DISTINCT p.provolatile AS everybodys FROM pg_proc AS p
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND has_function_privilege('regress_other', p.oid, 'EXECUTE');
SELECT p.oid::regprocedure AS function,
       concat_ws(' ', CASE WHEN has_function_privilege('regress_anon', p.oid, 'EXECUTE') THEN 'ANON' END,
                 CASE WHEN has_function_privilege('regress_member', p.oid, 'EXECUTE') THEN 'member' END,
                 CASE WHEN has_function_privilege('regress_service', p.oid, 'EXECUTE') THEN 'service' END,
                 CASE WHEN has_function_privilege('regress_operator', p.oid, 'EXECUTE') THEN 'operator' END) AS executable_by
FROM pg_proc AS p
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND NOT has_function_privilege('regress_other', p.oid, 'EXECUTE')
  AND (has_function_privilege('regress_anon', p.oid, 'EXECUTE') OR has_function_privilege('regress_member', p.oid, 'EXECUTE')
       OR has_function_privilege('regress_service', p.oid, 'EXECUTE') OR has_function_privilege('regress_operator', p.oid, 'EXECUTE'))
ORDER BY p.pronamespace::regnamespace::text, executable_by, p.oid::regprocedure::text \g (format=unaligned)
SELECT n.nspname AS schema, w.role, has_schema_privilege(w.role, n.oid, 'USAGE') AS may_use, has_schema_privilege(w.role, n.oid, 'CREATE') AS may_create
FROM pg_namespace AS n, (SELECT DISTINCT role FROM who WHERE name <> 'owner') AS w WHERE n.nspname IN ('analytics', 'analytics_internal')
ORDER BY 1, 2;

-- Whoever may make a rule may try it; another's rule, or a viewer's, is as unknown as one that does not exist.
CREATE VIEW pg_temp.tried AS
SELECT w.no, w.name, r.workspace_id = :own AS is_own, (pg_temp.attempt(w, format('SELECT * FROM analytics.test_alert_rule(%L)', r.id), NULL)).*
FROM who AS w, analytics.alert_rules AS r;
SELECT is_own, own, state FROM pg_temp.tried WHERE name = 'member' ORDER BY is_own;
UPDATE public.workspace_members SET role = 'owner';
SELECT name, is_own, own, state FROM pg_temp.tried ORDER BY no, is_own;

-- Default privileges that give everything away do not survive setup_roles().
BEGIN;
GRANT ALL ON ALL TABLES IN SCHEMA analytics TO regress_member, regress_anon;
GRANT ALL ON ALL ROUTINES IN SCHEMA analytics, analytics_internal TO regress_member, regress_anon;
GRANT ALL ON SCHEMA analytics, analytics_internal TO regress_member, regress_anon;
CREATE TEMP TABLE given AS
SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND has_table_privilege('regress_member', c.oid, 'TRUNCATE');
SELECT count(*) > 40 AS given FROM given;
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');
SELECT count(*) AS left_over FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND has_table_privilege('regress_member', c.oid, 'TRUNCATE');
SELECT has_table_privilege('regress_member', 'analytics.mv_top_agents', 'SELECT') AS materialized_view, has_schema_privilege('regress_member', 'analytics_internal', 'USAGE') AS internal,
       has_function_privilege('regress_member', 'analytics_internal.export_user(uuid)', 'EXECUTE') AS internal_function, has_table_privilege('regress_member', 'analytics.daily_metrics', 'SELECT') AS own;
ROLLBACK;

-- Default privileges that keep functions from PUBLIC, and what others are given by them: here as they would have acted
-- on each function and table.
BEGIN;
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', routine);
    END LOOP;
END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO regress_other;
SELECT (pg_temp.attempt(w, s.statement, NULL)).state FROM who AS w, (VALUES ('SELECT analytics.calculate_percentiles(ARRAY[1.5], ARRAY[0.5])')) AS s (statement) WHERE w.name = 'member';
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');
SELECT w.name, s.n, (pg_temp.attempt(w, s.statement, NULL)).state
FROM who AS w, (VALUES (1, 'SELECT analytics.calculate_percentiles(ARRAY[1.5], ARRAY[0.5])'), (2, 'SELECT * FROM analytics.get_workspace_summary(''a0000000-0000-0000-0000-000000000001'')'),
    (3, 'SELECT analytics.report(''a0000000-0000-0000-0000-000000000001'')'), (4, 'SELECT * FROM analytics.top_agents'), (5, 'SELECT ''{1}''::analytics.user_set OPERATOR(analytics.&) ''{1}''::analytics.user_set')) AS s (n, statement)
WHERE w.name IN ('anon', 'member', 'service') ORDER BY w.no, s.n;
SELECT finding, object FROM analytics.security_audit() WHERE object IN ('regress_other', 'regress_member', 'regress_operator', 'regress_service');
SELECT analytics.grant_operator('regress_operator'), has_function_privilege('regress_operator', 'analytics.trend_direction(bigint, bigint)', 'EXECUTE') AS may_compute;
SELECT analytics.revoke_operator('regress_operator');
SELECT count(*) AS left_over FROM pg_proc AS p, aclexplode(p.proacl) AS x WHERE x.grantee = 'regress_operator'::regrole;
ROLLBACK;

SELECT set_config('request.jwt.claims', '', false) \g /dev/null
DO $$
BEGIN
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(c.oid::regclass::text, ', ') FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition);
END $$;
TRUNCATE analytics.audit_log;
SELECT analytics.refresh_all_materialized_views() \g /dev/null
\set partition_before partition_before
\getenv abs_srcdir PG_ABS_SRCDIR
\set drop_new_partitions :abs_srcdir '/sql/include/drop_new_partitions.sql'
\i :drop_new_partitions
DROP TABLE public.workspace_members;
DROP OWNED BY regress_anon, regress_member, regress_service, regress_operator, regress_other;
DROP ROLE regress_anon, regress_member, regress_service, regress_operator, regress_other;
