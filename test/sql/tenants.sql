-- Who is asking, which workspaces are his, and that nobody sees another's rows. Users are b…1 to b…4, workspaces
-- a…1 to a…4; b1 is in a1 and a2, b2 in a2 and a3, b3 in none.
TRUNCATE analytics.hourly_metrics; -- of other tests
CREATE FUNCTION pg_temp.u(n int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
AS $$ SELECT format('b0000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.w(n int) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
AS $$ SELECT format('a0000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid $$;
-- 'a1 a2' for their ids
CREATE FUNCTION pg_temp.short(ids uuid[]) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT coalesce(string_agg('a' || right(id::text, 1), ' ' ORDER BY id), '-') FROM unnest(ids) AS id $$;
CREATE PROCEDURE pg_temp.be(n int) LANGUAGE sql
AS $$ SELECT set_config('request.jwt.claims', CASE WHEN n IS NULL THEN '' ELSE format('{"sub":"%s"}', pg_temp.u(n)) END, false) $$;

-- 1. The claims. `claims` alone, the legacy form alone, and both.
CREATE TEMP TABLE claim (no serial, legacy text, claims text);
INSERT INTO claim (legacy, claims) VALUES
    (NULL, NULL), ('', ''), ('x', ''), ('', 'x'),
    ('b0000000-0000-0000-0000-000000000001', ''),
    ('B0000000-0000-0000-0000-000000000001', ''),
    ('{b0000000000000000000000000000001}', ''),
    ('b0000000-0000-0000-0000-000000000001 ', ''),
    ('b0000000-0000-0000-0000-00000000000', ''),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001"}'),
    ('', ' { "role" : "authenticated", "sub" : "b0000000-0000-0000-0000-000000000001", "exp" : 1.5e9, "a":[{},[],true,false,null,-0.1] } '),
    ('', '{"s\u0075b":"b0000000-0000-0000-0000-00000000000\u0031"}'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001","sub":"b0000000-0000-0000-0000-000000000002"}'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001","sub":7}'),
    ('', '{"a":{"sub":"b0000000-0000-0000-0000-000000000001"}}'),
    ('', '["sub","b0000000-0000-0000-0000-000000000001"]'),
    ('', '{"sub":null}'), ('', '{"sub":"root"}'), ('', '{"sub":["b0000000-0000-0000-0000-000000000001"]}'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001"'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001"}}'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001","x":"\u0000"}'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001","x":01}'),
    ('', '{"sub":"b0000000-0000-0000-0000-000000000001","x":' || repeat('[', 100000) || repeat(']', 100000) || '}'),
    ('b0000000-0000-0000-0000-000000000001', '{"sub":"B0000000-0000-0000-0000-000000000001"}'),
    ('b0000000-0000-0000-0000-000000000001', '{"sub":"b0000000-0000-0000-0000-000000000002"}'),
    ('b0000000-0000-0000-0000-000000000001', '{"role":"anon"}'),
    ('b0000000-0000-0000-0000-000000000001', 'x'),
    ('x', '{"sub":"b0000000-0000-0000-0000-000000000001"}');
CREATE FUNCTION pg_temp.claimed(legacy text, claims text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claim.sub', legacy, true), set_config('request.jwt.claims', claims, true);
    RETURN coalesce('b' || right(analytics.current_user_id()::text, 1), 'nobody');
END $$;
SELECT no, legacy, left(claims, 100) AS claims, pg_temp.claimed(legacy, claims) FROM claim ORDER BY no;
-- What is JSON is what jsonb takes: one value that is not leaves nobody.
CREATE FUNCTION pg_temp.is_json(value text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN value::jsonb IS NOT NULL;
EXCEPTION WHEN data_exception THEN
    RETURN false;
END $$;
SELECT value, pg_temp.is_json(value)
FROM unnest(ARRAY['1', '-0', '-', '01', '1.', '1.5', '.5', '1e5', '1E+05', '1e', '1e+', 'tru', 'true', 'nulll', '""', '"', '"\"', '"\\"',
                  '"\x"', '"\u12"', '"\u00e9"', '"\u0000"', '"é"', E'"\t"', '[', ']', '[]', '[,]', '[1,]', '[1 2]', '{}', '{1:2}',
                  '{"a"}', '{"a":}', '{"a":1,}', '{"a":1,"b":[{}]}', '', ' 1 ', '1 2']) AS value
WHERE pg_temp.is_json('{"sub":"b0000000-0000-0000-0000-000000000001","x":' || value || '}')
   <> (pg_temp.claimed('', '{"sub":"b0000000-0000-0000-0000-000000000001","x":' || value || '}') = 'b1');

-- 2. The membership relation: missing, malformed, of other names and types; nobody without rights on it.
CALL pg_temp.be(1);
SELECT analytics_internal.membership_problem(), analytics.workspace_ids();
CREATE TABLE public.workspace_members (workspace_id uuid, user_id text);
SELECT analytics_internal.membership_problem(), analytics.workspace_ids();
INSERT INTO public.workspace_members SELECT pg_temp.w(w), pg_temp.u(u)
FROM (VALUES (1, 1), (2, 1), (2, 1), (NULL, 1), (2, 2), (3, 2)) AS m (w, u);
INSERT INTO public.workspace_members VALUES ('00000000-0000-0000-0000-000000000000', pg_temp.u(1));
SELECT analytics_internal.membership_problem(), pg_temp.short(analytics.workspace_ids()) AS text_column;
ALTER TABLE public.workspace_members ALTER user_id TYPE uuid USING user_id::uuid;
SELECT pg_temp.short(analytics.workspace_ids()) AS uuid_column;
SELECT right(w::text, 1) AS workspace FROM analytics.get_user_workspaces() AS w ORDER BY 1;
ALTER TABLE public.workspace_members RENAME workspace_id TO tenant;
SELECT analytics_internal.membership_problem(), analytics.workspace_ids();
ALTER TABLE public.workspace_members RENAME tenant TO workspace_id;
ALTER TABLE public.workspace_members ENABLE ROW LEVEL SECURITY;
SELECT pg_temp.short(analytics.workspace_ids()) AS row_security;
CREATE ROLE regress_tenants_app;
GRANT ALL ON SCHEMA public TO regress_tenants_app;
ALTER TABLE public.workspace_members OWNER TO regress_tenants_app;
ALTER TABLE public.workspace_members FORCE ROW LEVEL SECURITY;
SELECT analytics_internal.membership_problem(), analytics.workspace_ids();
ALTER TABLE public.workspace_members NO FORCE ROW LEVEL SECURITY;
REVOKE SELECT ON public.workspace_members FROM regress_tenants_app;
SELECT analytics_internal.membership_problem(), analytics.workspace_ids();
GRANT SELECT ON public.workspace_members TO regress_tenants_app;
SELECT pg_temp.short(analytics.workspace_ids()) AS owned_by_another;

-- The configuration: checked when written, names as they are stored.
INSERT INTO analytics.membership (relation) VALUES ('workspace_members');
INSERT INTO analytics.membership (relation) VALUES ('public."workspace_members');
INSERT INTO analytics.membership (source) VALUES ('user_metadata');
CREATE SCHEMA "regress Tenants";
CREATE VIEW "regress Tenants"."Member;s" AS
SELECT workspace_id AS "the ""workspace", user_id AS "User", CASE workspace_id WHEN pg_temp.w(1) THEN 'owner' ELSE 'viewer' END AS "Role"
FROM public.workspace_members;
INSERT INTO analytics.membership (relation, workspace_column, user_column, role_column)
VALUES ('"regress Tenants"."Member;s"', 'the "workspace', 'User', 'Role');
SELECT pg_temp.short(analytics.workspace_ids()) AS members, pg_temp.short(analytics_internal.managed_workspace_ids()) AS managed;
UPDATE analytics.membership SET manager_roles = '{viewer,"a''b"}';
SELECT pg_temp.short(analytics.workspace_ids()) AS members, pg_temp.short(analytics_internal.managed_workspace_ids()) AS managed;
INSERT INTO analytics.membership DEFAULT VALUES;
-- By claim: app_metadata, never user_metadata; a user all the same.
UPDATE analytics.membership SET source = 'claim';
CREATE FUNCTION pg_temp.claimed_workspaces(claims text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', claims, true);
    RETURN pg_temp.short(analytics.workspace_ids());
END $$;
SELECT claims, pg_temp.claimed_workspaces(replace(replace(claims, 'U', pg_temp.u(1)::text), 'A', 'a0000000-0000-0000-0000-00000000000'))
FROM unnest(ARRAY['{"sub":"U","app_metadata":{"workspaces":["A2","A1","A2","00000000-0000-0000-0000-000000000000","x",7,["A3"],null]}}',
                  '{"app_metadata":{"workspaces":["A1"]},"sub":"U","app_metadata":{}}',
                  '{"app_metadata":{"workspaces":["A1"]}}', '{"sub":"U","app_metadata":{"workspaces":"A1"}}',
                  '{"sub":"U","user_metadata":{"workspaces":["A1"]}}', '{"sub":"U","workspaces":["A1"]}']) AS claims;
TRUNCATE analytics.membership;
DROP SCHEMA "regress Tenants" CASCADE;

-- 3. Roles and policies.
-- All privileges outside the extension's schemas, before and after.
CREATE TEMP VIEW privilege AS
SELECT 'schema', nspname::text, nspacl::text FROM pg_namespace WHERE nspname !~ '^analytics'
UNION ALL SELECT 'relation', oid::regclass::text, relacl::text FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(analytics|pg_temp|pg_toast)'
UNION ALL SELECT 'column', attrelid::regclass || '.' || attname, attacl::text FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid::regclass::text !~ '^analytics'
UNION ALL SELECT 'function', oid::regprocedure::text, proacl::text FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^(analytics|pg_temp)'
UNION ALL SELECT 'database', datname, datacl::text FROM pg_database
UNION ALL SELECT 'default', oid::text, defaclacl::text FROM pg_default_acl
UNION ALL SELECT 'membership', roleid::regrole::text, member::regrole::text FROM pg_auth_members;
CREATE TEMP TABLE privilege_before AS TABLE privilege;
SELECT analytics.setup_roles('regress_anon', 'regress_anon', 'regress_service');
SELECT analytics.setup_roles('regress_anon', NULL, 'regress_service');
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service'); -- again
SELECT rolname, rolcanlogin, rolinherit, rolbypassrls FROM pg_roles WHERE rolname LIKE 'regress\_%' AND rolname <> 'regress_tenants_app' ORDER BY 1;
SELECT analytics.setup_roles('regress_service', 'regress_member', 'regress_anon');
SELECT analytics.grant_operator('regress_member');
CREATE ROLE regress_operator;
SELECT analytics.grant_operator('regress_operator');
SELECT * FROM analytics.access_roles ORDER BY role_name;
SELECT count(*) > 3000 AS compared FROM privilege_before;
(TABLE privilege EXCEPT TABLE privilege_before) UNION ALL (TABLE privilege_before EXCEPT TABLE privilege);

-- Everything callable in the schema is somebody's: PUBLIC's (it computes from its arguments), an audience's or,
-- in this list, the owner's alone. What nobody claimed is shown.
CREATE TEMP TABLE for_owner (name regproc);
INSERT INTO for_owner VALUES
    ('analytics.setup_roles'), ('analytics.grant_operator'), ('analytics.revoke_operator'), ('analytics.rotate_ip_secret'),
    ('analytics.schedule_jobs'), ('analytics.unschedule_jobs'), ('analytics.post_restore'), ('analytics.distribute'),
    ('analytics.prepare_restore'), ('analytics.grant_reader'), ('analytics.revoke_reader'), ('analytics.settle_day');
SELECT p.oid::regprocedure AS granted_to_no_audience
FROM pg_proc AS p
WHERE p.pronamespace = 'analytics'::regnamespace
  AND NOT has_function_privilege('regress_member', p.oid, 'EXECUTE')
  AND NOT has_function_privilege('regress_service', p.oid, 'EXECUTE')
  AND p.oid NOT IN (SELECT name::oid FROM for_owner)
ORDER BY 1;
SELECT name AS not_the_owners FROM for_owner
WHERE (has_function_privilege('regress_service', name, 'EXECUTE') OR has_function_privilege('regress_member', name, 'EXECUTE'));
SELECT c.oid::regclass AS granted_to_anonymous FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND has_table_privilege('regress_anon', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER');

INSERT INTO analytics.daily_metrics (workspace_id, metric_date, is_final)
SELECT pg_temp.w(n), DATE '2025-01-01', true FROM generate_series(1, 4) AS n;
INSERT INTO analytics.hourly_metrics (workspace_id, metric_hour, is_final)
SELECT pg_temp.w(n), '2025-01-01 00:00Z', true FROM generate_series(1, 4) AS n;
INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, is_final)
SELECT pg_temp.w(n), pg_temp.w(9), DATE '2025-01-01', true FROM generate_series(1, 4) AS n;
INSERT INTO analytics.daily_event_usage (workspace_id, metric_date, event_type, event_names, events, users)
SELECT pg_temp.w(n), DATE '2025-01-01', 'click', '{""}', '{1}', '{"{1}"}' FROM generate_series(1, 4) AS n;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type)
SELECT coalesce(pg_temp.w(w), '00000000-0000-0000-0000-000000000000'), pg_temp.u(u), 'click'
FROM generate_series(1, 3) AS u, unnest('{1,2,3,NULL}'::int[]) AS w;

-- What a user sees of each table, as "workspaces seen".
CREATE FUNCTION pg_temp.seen() RETURNS TABLE (relation text, workspaces text) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH relation IN ARRAY '{daily_metrics,hourly_metrics,agent_performance,daily_event_counts,user_activity}'::text[] LOOP
        EXECUTE format('SELECT string_agg(DISTINCT CASE WHEN workspace_id::text LIKE ''0%%'' THEN ''none'' ELSE ''a'' || right(workspace_id::text, 1) END, '' '') FROM analytics.%I', relation)
        INTO workspaces;
        RETURN NEXT;
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    workspaces := SQLERRM;
    RETURN NEXT;
END $$;
SET ROLE regress_member;
CALL pg_temp.be(NULL); SELECT 'no claim' AS who, * FROM pg_temp.seen();
CALL pg_temp.be(1); SELECT 'b1' AS who, * FROM pg_temp.seen();
CALL pg_temp.be(2); SELECT 'b2' AS who, * FROM pg_temp.seen();
CALL pg_temp.be(3); SELECT 'b3' AS who, * FROM pg_temp.seen();
SET ROLE regress_anon;
CALL pg_temp.be(1); SELECT 'anonymous' AS who, * FROM pg_temp.seen();
SET ROLE regress_operator;
SELECT 'operator' AS who, * FROM pg_temp.seen();
SET ROLE regress_service;
SELECT 'service' AS who, * FROM pg_temp.seen();
RESET ROLE;

-- Raw events: his own, or by the setting others' too.
SET ROLE regress_member;
CALL pg_temp.be(2);
CREATE FUNCTION pg_temp.raw() RETURNS TABLE (workspace text, users text) LANGUAGE sql AS
$$ SELECT right(workspace_id::text, 1), string_agg('b' || right(user_id::text, 1), ' ' ORDER BY user_id) FROM analytics.user_activity GROUP BY 1 ORDER BY 1 $$;
SELECT * FROM pg_temp.raw();
RESET ROLE;
INSERT INTO analytics.settings VALUES ('raw_events_visible_to', 'members');
SET ROLE regress_member; SELECT * FROM pg_temp.raw(); RESET ROLE;
UPDATE analytics.settings SET value = 'roles' WHERE name = 'raw_events_visible_to';
SET ROLE regress_member; SELECT * FROM pg_temp.raw(); RESET ROLE;
ALTER TABLE public.workspace_members ADD role text DEFAULT 'viewer';
UPDATE public.workspace_members SET role = 'owner' WHERE workspace_id = pg_temp.w(3);
INSERT INTO analytics.membership (role_column) VALUES ('role');
SET ROLE regress_member; SELECT * FROM pg_temp.raw(); RESET ROLE;
TRUNCATE analytics.membership;
DELETE FROM analytics.settings;

\set SHOW_CONTEXT never
-- Inserting: one's own events, in one's workspaces or none, dated within the limits; nothing else at all.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET ROLE regress_member;
CALL pg_temp.be(2);
BEGIN;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type) VALUES (pg_temp.w(2), pg_temp.u(2), 'click');
INSERT INTO analytics.user_activity (user_id, event_type) VALUES (pg_temp.u(2), 'click') RETURNING workspace_id;
INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (pg_temp.u(2), 'click', now() - interval '6 days 23 hours');
INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (pg_temp.u(2), 'click', now() + interval '4 minutes');
ROLLBACK;
INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (pg_temp.u(2), 'click', '2025-01-01');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type) VALUES (pg_temp.w(1), pg_temp.u(2), 'click');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type) VALUES (pg_temp.w(2), pg_temp.u(1), 'click');
INSERT INTO analytics.user_activity (user_id, event_type, ip_hash) VALUES (pg_temp.u(2), 'click', 'x');
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, is_final) VALUES (pg_temp.w(2), DATE '2025-01-02', true);
UPDATE analytics.user_activity SET event_name = 'x';
DELETE FROM analytics.user_activity;
UPDATE analytics.daily_metrics SET total_runs = 1;
DELETE FROM analytics.daily_metrics;
SELECT * FROM analytics.daily_metrics FOR UPDATE;
TRUNCATE analytics.daily_metrics;
SELECT * FROM analytics.membership;
SELECT * FROM analytics.settings;
SELECT * FROM analytics.user_activity_default;
\copy analytics.user_activity (user_id, event_type) FROM /dev/null
SELECT analytics.setup_roles();
SELECT analytics.create_partitions(current_date, current_date);
SELECT analytics_internal.role_grants();
RESET ROLE;

-- Maintenance by the operator, who reads nothing; taken back.
SET ROLE regress_operator;
SELECT analytics.create_partitions(current_date, current_date);
SELECT analytics.grant_operator('regress_operator');
RESET ROLE;
SELECT analytics.revoke_operator('regress_operator');
SELECT analytics.revoke_operator('regress_operator');
SET ROLE regress_operator;
SELECT analytics.create_partitions(current_date, current_date);
RESET ROLE;

-- 4. The cache: one read of the membership relation per statement, planning and a generic plan included; two if
-- somebody, like autovacuum, commits between planning and execution.
CREATE FUNCTION pg_temp.reads() RETURNS bigint LANGUAGE sql
AS $$ SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_xact_user_tables WHERE relid = 'public.workspace_members'::regclass $$;
PREPARE days AS SELECT count(*) FROM analytics.daily_metrics JOIN analytics.hourly_metrics USING (workspace_id) JOIN analytics.agent_performance USING (workspace_id);
CALL pg_temp.be(1);
BEGIN;
SET LOCAL ROLE regress_member;
SELECT pg_temp.reads() AS reads \gset
SELECT count(*) FROM analytics.daily_metrics JOIN analytics.hourly_metrics USING (workspace_id) JOIN analytics.agent_performance USING (workspace_id);
SELECT pg_temp.reads() - :reads BETWEEN 1 AND 2 AS reads_of_one_statement;
COMMIT;
BEGIN;
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL ROLE regress_member;
SELECT pg_temp.reads() AS reads \gset
EXECUTE days;
SELECT pg_temp.reads() - :reads BETWEEN 1 AND 2 AS reads_of_prepared_statement;
COMMIT;

-- One session that changes its user: loops, simple expressions, cached plans, cursors, savepoints.
CREATE FUNCTION pg_temp.hop(OUT own text, OUT counted text, OUT again text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    n int;
    ids uuid[];
BEGIN
    FOREACH n IN ARRAY '{1,2,3,1,2,NULL,1}'::int[] LOOP
        PERFORM set_config('request.jwt.claims', CASE WHEN n IS NULL THEN '' ELSE format('{"sub":"%s"}', pg_temp.u(n)) END, true);
        ids := analytics.workspace_ids();
        own := pg_temp.short(ids);
        SELECT pg_temp.short(array_agg(workspace_id)) INTO counted FROM analytics.daily_metrics;
        EXECUTE 'SELECT pg_temp.short(array_agg(workspace_id)) FROM analytics.hourly_metrics' INTO again;
        RETURN NEXT;
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA public TO regress_member;
BEGIN;
SET LOCAL ROLE regress_member;
SELECT * FROM pg_temp.hop();
SET LOCAL plan_cache_mode = force_generic_plan;
SELECT * FROM pg_temp.hop();
COMMIT;

-- A cursor reads on as the user of the moment (rows that it had sorted before were read by its opener).
BEGIN;
SET LOCAL ROLE regress_member;
SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off;
CALL pg_temp.be(1);
DECLARE days CURSOR FOR SELECT right(workspace_id::text, 1) AS workspace FROM analytics.daily_metrics;
FETCH 1 FROM days;
CALL pg_temp.be(2);
FETCH ALL FROM days;
COMMIT;

-- A membership given and taken back in one transaction, also under REPEATABLE READ.
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL pg_temp.be(3);
SELECT pg_temp.short(analytics.workspace_ids());
SAVEPOINT s;
INSERT INTO public.workspace_members VALUES (pg_temp.w(4), pg_temp.u(3));
SELECT pg_temp.short(analytics.workspace_ids());
ROLLBACK TO s;
SELECT pg_temp.short(analytics.workspace_ids());
ROLLBACK;
SELECT pg_temp.short(analytics.workspace_ids());

-- A membership relation that asks for memberships finds none instead of recurring.
ALTER TABLE public.workspace_members RENAME TO members;
CREATE VIEW public.workspace_members AS
SELECT * FROM public.members WHERE user_id = analytics.current_user_id() AND cardinality(analytics.workspace_ids()) = 0;
CALL pg_temp.be(1);
SELECT pg_temp.short(analytics.workspace_ids());
-- Its functions run as its owner, in a pinned search_path.
CREATE FUNCTION public.whoami() RETURNS text LANGUAGE sql STABLE AS 'SELECT current_user || '' '' || current_setting(''search_path'')';
DROP VIEW public.workspace_members;
CREATE VIEW public.workspace_members AS
SELECT * FROM public.members WHERE public.whoami() = 'regress_tenants_app pg_catalog, pg_temp';
ALTER VIEW public.workspace_members OWNER TO regress_tenants_app;
SET ROLE regress_member;
SELECT pg_temp.short(analytics.workspace_ids()), current_user;
RESET ROLE;
DROP VIEW public.workspace_members;
ALTER TABLE public.members RENAME TO workspace_members;

-- 5. Objects that shadow built-in ones in a schema of the caller's change nothing.
CREATE SCHEMA regress_attack;
GRANT ALL ON SCHEMA regress_attack TO regress_member;
SET ROLE regress_member;
CREATE FUNCTION regress_attack.always(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR regress_attack.= (FUNCTION = regress_attack.always, LEFTARG = uuid, RIGHTARG = uuid);
CREATE FUNCTION regress_attack.parse_ident(text) RETURNS text[] LANGUAGE sql AS $$ SELECT '{regress_attack,workspace_members}'::text[] $$;
CREATE FUNCTION regress_attack.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE sql AS $$ SELECT workspace_id FROM analytics.daily_metrics $$;
CREATE TABLE regress_attack.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO regress_attack.workspace_members VALUES (pg_temp.w(4), pg_temp.u(3));
CREATE TEMP TABLE workspace_members AS TABLE regress_attack.workspace_members;
SET search_path = regress_attack, pg_catalog, public;
SELECT pg_temp.short(analytics.workspace_ids()) AS ids, (SELECT count(*) FROM analytics.get_user_workspaces()) AS rows;
SELECT count(*) FROM analytics.daily_metrics;
RESET search_path;
CALL pg_temp.be(3);
SELECT pg_temp.short(analytics.workspace_ids());
DROP TABLE pg_temp.workspace_members;
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA regress_attack CASCADE;
RESET client_min_messages;

RESET request.jwt.claims;
TRUNCATE analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_activity, analytics.access_roles;
DROP TABLE public.workspace_members;
DROP FUNCTION public.whoami();
DROP OWNED BY regress_anon, regress_member, regress_service, regress_operator, regress_tenants_app;
DROP ROLE regress_anon, regress_member, regress_service, regress_operator, regress_tenants_app;

-- 6. The claims are found whatever settings come and stand around them, also written in another case (the first
-- name that a session uses stays).
\c -
CREATE FUNCTION pg_temp.who(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config(name, value, false);
    RETURN coalesce(right(analytics.current_user_id()::text, 1), 'nobody') || CASE WHEN current_setting(name) <> value THEN ' ?' ELSE '' END;
END $$;
SELECT no, pg_temp.who(name, value) AS "user" FROM (VALUES
    (1, 'a.first', ''), (2, 'zz.last', ''), (3, 'request.jwt.claim', 'x'), (4, 'request.jwt.claims_', 'x'),
    (5, 'Request.JWT.Claims', '{"sub":"b0000000-0000-0000-0000-000000000001"}'),
    (6, 'request.jwt.claim.role', 'x'), (7, 'request.jwt.claim.sub_', 'x'), (8, E'request.jwt.claims\u00e9', 'x'), (9, E'request.jwt.claim.sub\u00e9', 'x'),
    (10, 'b.second', ''), (11, 'request.jwt.claims', '{"sub":"b0000000-0000-0000-0000-000000000002"}'),
    (12, 'REQUEST.jwt.claim.SUB', 'b0000000-0000-0000-0000-000000000002'), (13, 'c.third', ''), (14, 'zzz.last', ''),
    (15, 'request.jwt.claim.sub', 'b0000000-0000-0000-0000-000000000003'),
    (16, 'request.jwt.claims', '{"sub":"b0000000-0000-0000-0000-000000000003"}'), (17, 'request.jwt.claims', ''),
    (18, 'request.jwt.claim.sub', '')) AS v (no, name, value);
