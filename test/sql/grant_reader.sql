-- Readers for dashboards: all workspaces or some, nothing about persons, through row security; and to whom the views show everything.
\set QUIET on
\pset format unaligned
\pset null NULL
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.id(kind text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || '0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts,
         analytics.workspace_settings, analytics.annotations, analytics.alert_rules, analytics.alert_rule_states, analytics.alert_history, analytics.audit_log, analytics.access_roles;
-- Three workspaces, each with a user and a failed run on the last complete day.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT pg_temp.id('a', w), pg_temp.id('b', w), 'agent_run', 'run', jsonb_build_object('agent_id', pg_temp.id('c', w), 'status', 'failed', 'runtime', w, 'credits', 1, 'revenue', 5),
       ((now() AT TIME ZONE 'UTC')::date - 1)::timestamp AT TIME ZONE 'UTC' + interval '10 hours'
FROM generate_series(1, 3) AS w;
-- The second user also runs the first agent.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT e.workspace_id, e.user_id, 'agent_run', jsonb_build_object('agent_id', pg_temp.id('c', 1), 'status', 'completed'), e.created_at
FROM analytics.user_activity AS e WHERE e.workspace_id = pg_temp.id('a', 2);
SELECT count(analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date - 1)) AS days;
SELECT count(analytics.aggregate_hourly_metrics(((now() AT TIME ZONE 'UTC')::date - 1)::timestamp AT TIME ZONE 'UTC' + interval '10 hours')) AS hours;
SELECT again FROM analytics_internal.aggregate_due_cohorts('1 hour');
INSERT INTO analytics.workspaces SELECT pg_temp.id('a', w), 'name' FROM generate_series(1, 3) AS w;
INSERT INTO analytics.annotations (workspace_id, title) SELECT pg_temp.id('a', w), 'title' FROM generate_series(1, 3) AS w;
INSERT INTO analytics.agents SELECT pg_temp.id('a', w), pg_temp.id('c', w), 'name' FROM generate_series(1, 3) AS w;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) SELECT pg_temp.id('a', w), 'UTC', '-infinity' FROM generate_series(1, 3) AS w;
INSERT INTO analytics.alert_rules (workspace_id, id, name, metric_type, condition, threshold_value) SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'rule', 'error_rate', 'greater_than', 5 FROM generate_series(1, 3) AS w;
INSERT INTO analytics.alert_history (workspace_id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'rule', 'warning', '2025-01-01', 'error_rate', 'greater_than', 'reason' FROM generate_series(1, 3) AS w;
INSERT INTO analytics.alert_rule_states AS s (workspace_id, alert_rule_id, state, since) SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'firing', '2025-01-01' FROM generate_series(1, 3) AS w
ON CONFLICT (workspace_id, alert_rule_id) DO NOTHING;
SELECT count(*) AS views FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;

CREATE ROLE regress_all;
CREATE ROLE regress_one;
CREATE ROLE regress_person IN ROLE regress_one; -- inherits
CREATE ROLE regress_nobody;
SELECT analytics.grant_reader('regress_all');
SELECT analytics.grant_reader('regress_one', pg_temp.id('a', 1));

-- What a role finds in every relation of the schema: the workspaces by their last digit, or what keeps it out.
CREATE FUNCTION pg_temp.finds(who name, relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', who);
    EXECUTE format('SELECT coalesce(string_agg(DISTINCT right(r.workspace_id::text, 1), '''' ORDER BY right(r.workspace_id::text, 1)), ''none'') FROM %s AS r', relation) INTO found;
    RESET ROLE;
    RETURN found;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN '-';
END $$;
CREATE TEMP VIEW readable AS
SELECT c.oid::regclass AS relation, c.relkind FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped);
SELECT r.relation, pg_temp.finds('regress_all', r.relation) AS all_of_them, pg_temp.finds('regress_one', r.relation) AS one,
       pg_temp.finds('regress_person', r.relation) AS person, pg_temp.finds('regress_nobody', r.relation) AS nobody
FROM readable AS r ORDER BY r.relation::text COLLATE "C";
-- Relations without a workspace are none of theirs.
SELECT c.oid::regclass AS readable_without_workspace FROM pg_class AS c, (VALUES ('regress_all'), ('regress_one')) AS w (who)
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND c.oid NOT IN (SELECT relation FROM readable)
  AND has_any_column_privilege(who, c.oid, 'SELECT');
-- Nobody writes.
SELECT c.oid::regclass AS writable, who FROM pg_class AS c, (VALUES ('regress_all'), ('regress_one')) AS w (who)
WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
  AND (has_any_column_privilege(who, c.oid, 'INSERT') OR has_any_column_privilege(who, c.oid, 'UPDATE') OR has_table_privilege(who, c.oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER'));
-- The columns of alerts that name people or say where messages go.
SELECT a.attrelid::regclass, a.attname FROM pg_attribute AS a
WHERE a.attrelid IN ('analytics.alert_rules'::regclass, 'analytics.alert_history'::regclass, 'analytics.alert_rule_states'::regclass)
  AND a.attname IN ('notification_channels', 'notification_recipients', 'created_by', 'acknowledged_by', 'notes', 'evaluation_context')
  AND has_column_privilege('regress_all', a.attrelid, a.attnum, 'SELECT');

\echo -- the readers of the schema
SET ROLE regress_one;
SELECT analytics.workspace_ids();
SELECT count(*) FROM analytics.get_workspace_metrics(pg_temp.id('a', 1));
SELECT count(*) FROM analytics.get_workspace_metrics(pg_temp.id('a', 2));
SELECT failed_runs FROM analytics.get_workspace_summary(pg_temp.id('a', 1));
SELECT max(daily_active_users) FROM analytics.get_active_users(pg_temp.id('a', 1));
SELECT count(*) > 0 AS lifecycle FROM analytics.get_lifecycle(pg_temp.id('a', 1));
SELECT events FROM analytics.get_feature_usage(pg_temp.id('a', 1));
SELECT count(*) FROM analytics.get_usage_by_hour(pg_temp.id('a', 1));
-- The second user ran agent 1 too, in a workspace that this reader does not see; in several workspaces users cannot be told apart.
SELECT total_runs, unique_users FROM analytics.get_agent_insights(pg_temp.id('c', 1));
SELECT count(*) AS another FROM analytics.get_agent_insights(pg_temp.id('c', 2));
SELECT count(*) >= 0 AS retention FROM analytics.get_retention_matrix(pg_temp.id('a', 1));
SELECT analytics.report(pg_temp.id('a', 1)) #> '{headline,total_runs,value}' AS own, analytics.report(pg_temp.id('a', 2)) AS another;
SELECT analytics.report(pg_temp.id('a', 1)) #> '{alerts,items,0,name}' AS alert;
SET ROLE regress_all;
SELECT analytics.workspace_ids();
SELECT analytics.report(pg_temp.id('a', 2)) #> '{headline,total_runs,value}' AS another;
SELECT total_runs, unique_users FROM analytics.get_agent_insights(pg_temp.id('c', 1));
SELECT total_runs, unique_users FROM analytics.get_agent_insights(pg_temp.id('c', 2));
RESET ROLE;
SELECT total_runs, unique_users FROM analytics.get_agent_insights(pg_temp.id('c', 1));
-- Claims make nobody a reader of more, and take nothing from one of all.
SELECT set_config('request.jwt.claims', json_build_object('sub', pg_temp.id('b', 2))::text, false) <> '' AS claims;
SELECT pg_temp.finds('regress_one', 'analytics.daily_metrics') AS one, pg_temp.finds('regress_one', 'analytics.top_agents') AS one_view,
       pg_temp.finds('regress_all', 'analytics.daily_metrics') AS all_of_them, pg_temp.finds('regress_all', 'analytics.top_agents') AS all_view;
SELECT set_config('request.jwt.claims', '', false);
-- Their rights are the policies' doing.
SELECT rolbypassrls, rolsuper FROM pg_roles WHERE rolname IN ('regress_all', 'regress_one');
SELECT count(*) AS complaints FROM analytics.security_audit() WHERE object LIKE '%mv_%' OR object LIKE '%regress_%';
SELECT count(DISTINCT polrelid) > 10 AS policies, string_agg(DISTINCT polroles::regrole[]::text, ' ') AS roles FROM pg_policy WHERE polname = 'reader_reads';

\echo -- more of it, and less
SELECT analytics.grant_reader('regress_one', pg_temp.id('a', 3)), analytics.grant_reader('regress_one', pg_temp.id('a', 3));
SELECT pg_temp.finds('regress_one', 'analytics.daily_metrics') AS two, pg_temp.finds('regress_one', 'analytics.top_agents') AS view;
SELECT analytics.revoke_reader('regress_one', pg_temp.id('a', 1));
SELECT pg_temp.finds('regress_one', 'analytics.daily_metrics') AS one;
SELECT analytics.grant_reader('regress_one');
SELECT pg_temp.finds('regress_one', 'analytics.daily_metrics') AS everything, pg_temp.finds('regress_one', 'analytics.mv_top_agents') AS mv;
SELECT analytics.grant_reader('regress_one', pg_temp.id('a', 3));
SELECT pg_temp.finds('regress_one', 'analytics.daily_metrics') AS still_everything;
-- Somebody in both roles sees each row once.
CREATE ROLE regress_both IN ROLE regress_all, regress_one;
SELECT analytics.revoke_reader('regress_one');
SELECT analytics.grant_reader('regress_one', pg_temp.id('a', 1));
SET ROLE regress_both;
SELECT count(*) AS rows, count(DISTINCT workspace_id) AS workspaces FROM analytics.top_agents;
RESET ROLE;
-- A dump brings the rows back, and these the policies.
CREATE TEMP TABLE dumped AS SELECT * FROM analytics.readers;
DELETE FROM analytics.readers;
SELECT pg_temp.finds('regress_all', 'analytics.daily_metrics') AS without, count(*) AS policies FROM pg_policy WHERE polname = 'reader_reads';
INSERT INTO analytics.readers SELECT * FROM dumped UNION ALL VALUES ('regress_gone', NULL::uuid[], now());
SELECT pg_temp.finds('regress_all', 'analytics.daily_metrics') AS restored, count(*) > 10 AS policies FROM pg_policy WHERE polname = 'reader_reads';
SELECT analytics.revoke_reader('regress_all'), analytics.revoke_reader('regress_gone');
SELECT pg_temp.finds('regress_all', 'analytics.daily_metrics') AS revoked, pg_temp.finds('regress_all', 'analytics.mv_top_agents') AS mv,
       has_schema_privilege('regress_all', 'analytics', 'USAGE') AS schema, count(*) AS policies FROM pg_policy WHERE polname = 'reader_reads';
SELECT action, new_values ->> 'role_name' AS granted, old_values ->> 'role_name' AS revoked, coalesce(new_values, old_values) ->> 'workspace_ids' AS workspaces
FROM analytics.audit_log WHERE object = 'analytics.readers' ORDER BY happened_at, id LIMIT 4;

\echo -- errors
SELECT analytics.grant_reader('regress_unknown');
SELECT analytics.grant_reader(NULL);
CREATE ROLE regress_bypass BYPASSRLS;
SELECT analytics.grant_reader('regress_bypass');
SELECT analytics.setup_roles('regress_reader_anon', 'regress_reader_member', 'regress_reader_service');
SELECT analytics.grant_reader('regress_reader_member');
SELECT analytics.revoke_reader('regress_nobody');
SELECT analytics.revoke_reader('regress_one', pg_temp.id('a', 2));
SELECT analytics.grant_reader('regress_all');
SELECT analytics.revoke_reader('regress_all', pg_temp.id('a', 2));
SET ROLE regress_reader_service;
SELECT analytics.grant_reader('regress_nobody');
RESET ROLE;

\echo -- the views show every workspace to whoever bypasses row security as the outer user and without claims
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES (pg_temp.id('a', 1), pg_temp.id('b', 1));
CREATE TEMP VIEW seen AS
SELECT (SELECT string_agg(DISTINCT right(workspace_id::text, 1), '') FROM analytics.active_users) AS active_users,
       (SELECT string_agg(DISTINCT right(workspace_id::text, 1), '') FROM analytics.top_agents) AS top_agents,
       (SELECT string_agg(DISTINCT right(workspace_id::text, 1), '') FROM analytics.workspace_summary) AS workspace_summary,
       (SELECT string_agg(DISTINCT right(workspace_id::text, 1), '') FROM analytics.error_trends) AS error_trends,
       (SELECT string_agg(DISTINCT right(workspace_id::text, 1), '') FROM analytics.agent_usage_trends) AS agent_usage_trends;
CREATE FUNCTION public.regress_seen() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT coalesce(string_agg(DISTINCT right(workspace_id::text, 1), ''), 'none') FROM analytics.top_agents $$;
CREATE FUNCTION public.regress_seen_plpgsql() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    seen text;
BEGIN
    SET LOCAL ROLE NONE; -- is refused within such a function
EXCEPTION WHEN OTHERS THEN
    SELECT coalesce(string_agg(DISTINCT right(workspace_id::text, 1), ''), 'none') INTO seen FROM analytics.top_agents;
    RETURN seen;
END $$;
CREATE FUNCTION public.regress_as(who name, claims text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    PERFORM set_config('request.jwt.claims', claims, true);
    EXECUTE format('SET LOCAL ROLE %I', who);
    EXECUTE statement INTO found;
    RESET ROLE;
    PERFORM set_config('request.jwt.claims', '', true);
    RETURN found;
END $$;
SELECT * FROM seen;
SELECT w.who, w.claims <> '' AS claims, public.regress_as(w.who::name, w.claims, 'SELECT coalesce(string_agg(DISTINCT right(workspace_id::text, 1), ''''), ''none'') FROM analytics.top_agents') AS view,
       public.regress_as(w.who::name, w.claims, 'SELECT public.regress_seen()') AS definer, public.regress_as(w.who::name, w.claims, 'SELECT public.regress_seen_plpgsql()') AS plpgsql
FROM (VALUES ('regress_reader_service', ''), ('regress_reader_service', '{"sub":"b0000000-0000-0000-0000-000000000001"}'), ('regress_reader_service', '{"role":"service_role"}'),
             ('regress_reader_member', ''), ('regress_reader_member', '{"sub":"b0000000-0000-0000-0000-000000000001"}'), ('regress_reader_member', '{"sub":"b0000000-0000-0000-0000-000000000009"}'),
             ('regress_reader_member', 'x'), ('regress_all', '')) AS w (who, claims);
SELECT public.regress_as(current_user, '{"sub":"b0000000-0000-0000-0000-000000000001"}', 'SELECT coalesce(string_agg(DISTINCT right(workspace_id::text, 1), ''''), ''none'') FROM analytics.top_agents') AS superuser_with_claims;
-- A plan made for one is not used for another.
PREPARE seen AS SELECT coalesce(string_agg(DISTINCT right(workspace_id::text, 1), ''), 'none') FROM analytics.top_agents;
SET plan_cache_mode = force_generic_plan;
EXECUTE seen;
GRANT SELECT ON seen TO regress_reader_member;
SET ROLE regress_reader_member;
EXECUTE seen;
RESET ROLE;
EXECUTE seen;
DEALLOCATE seen;
RESET plan_cache_mode;

-- PostgreSQL's role for reading everything goes through row security too: by itself it reads settings and sizes only, and as
-- a reader what readers read and nothing about persons, whatever it may SELECT from.
GRANT pg_read_all_data TO regress_nobody;
CREATE PROCEDURE pg_temp.read_all() LANGUAGE plpgsql AS $$
DECLARE
    name text;
    seen boolean;
BEGIN
    CREATE TEMPORARY TABLE read_by_bi (name text);
    FOR name IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY 1 LOOP
        BEGIN
            SET LOCAL ROLE regress_nobody;
            EXECUTE format('SELECT EXISTS (SELECT FROM analytics.%I)', name) INTO seen;
        EXCEPTION WHEN insufficient_privilege THEN
            seen := false;
        END;
        RESET ROLE;
        INSERT INTO read_by_bi SELECT name WHERE seen;
    END LOOP;
END $$;
BEGIN;
CALL pg_temp.read_all();
SELECT string_agg(name, ' ' ORDER BY name) AS without_grant FROM read_by_bi;
ROLLBACK;
BEGIN;
SELECT analytics.grant_reader('regress_nobody') IS NOT NULL AS granted;
CALL pg_temp.read_all();
SELECT string_agg(name, ' ' ORDER BY name) AS as_reader FROM read_by_bi;
ROLLBACK;

DROP FUNCTION public.regress_seen(), public.regress_seen_plpgsql(), public.regress_as(name, text, text);
DROP TABLE public.workspace_members;
DELETE FROM analytics.readers;
DROP OWNED BY regress_all, regress_one, regress_person, regress_both, regress_nobody, regress_bypass, regress_reader_anon, regress_reader_member, regress_reader_service;
DROP ROLE regress_all, regress_one, regress_person, regress_both, regress_nobody, regress_bypass, regress_reader_anon, regress_reader_member, regress_reader_service;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.workspace_settings,
         analytics.alert_rules, analytics.alert_rule_states, analytics.alert_history, analytics.audit_log, analytics.access_roles, analytics.workspaces, analytics.agents, analytics.annotations;
