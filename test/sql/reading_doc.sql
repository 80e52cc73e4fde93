-- The examples of doc/reading.md, as printed but with events of our own: for a member of the workspace, and for a member of another one.
\set QUIET on
\pset format unaligned
\pset null NULL
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = ISO;
\getenv abs_srcdir PG_ABS_SRCDIR
\set reading_doc :abs_srcdir '/../doc/reading.md'
\setenv READING_DOC :reading_doc
\set examples `awk '/^\140\140\140/ { on = $0 ~ /sql$/; blocks += on; next } on && blocks > 1' "$READING_DOC"`
CREATE FUNCTION pg_temp.id(kind text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || '0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.workspace_settings;
-- Workspace 1 with users 1 to 5, of whom the fifth came yesterday; workspace 2 with user 9.
CREATE TABLE reading_events (workspace integer, usr integer, day date, type text, name text, metadata jsonb);
INSERT INTO reading_events VALUES
    (1, 1, '2025-10-01', 'page_view', NULL, '{}'), (1, 2, '2025-10-01', 'page_view', NULL, '{"revenue": 12}'),
    (1, 1, '2025-10-01', 'agent_run', 'run', '{"status": "ok", "runtime": 10, "credits": 2}'),
    (1, 1, '2025-10-01', 'agent_run', 'run', '{"status": "ok", "runtime": 20, "credits": 2}'),
    (1, 1, '2025-10-03', 'feature_use', 'export', '{}'), (1, 2, '2025-10-03', 'feature_use', 'export', '{}'), (1, 3, '2025-10-03', 'page_view', NULL, '{}'),
    (1, 2, '2025-10-03', 'agent_run', 'run', '{"status": "failed", "runtime": 60, "credits": 1, "error_type": "timeout"}'),
    (1, 3, '2025-10-08', 'page_view', NULL, '{}'), (1, 4, '2025-10-08', 'agent_run', 'run', '{"status": "ok", "runtime": 5, "credits": 1}'),
    (1, 1, '2025-10-09', 'page_view', NULL, '{}'),
    (1, 5, (now() AT TIME ZONE 'UTC')::date - 1, 'agent_run', 'run', '{"status": "ok", "runtime": 8, "credits": 1}'),
    (1, 5, (now() AT TIME ZONE 'UTC')::date - 1, 'agent_run', 'run', '{"status": "failed", "runtime": 16, "credits": 1, "error_type": "timeout", "error_message": "no answer from 10.0.0.1"}'),
    (2, 9, '2025-10-01', 'page_view', NULL, '{}'), (2, 9, (now() AT TIME ZONE 'UTC')::date - 1, 'page_view', NULL, '{}');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT pg_temp.id('a', workspace), pg_temp.id('b', usr), type, name,
       metadata || CASE type WHEN 'agent_run' THEN jsonb_build_object('agent_id', pg_temp.id('c', 1)) ELSE '{}' END,
       day::timestamp AT TIME ZONE 'UTC' + interval '10 hours'
FROM reading_events;
SELECT sum(analytics.aggregate_daily_metrics(day)) AS days FROM (SELECT DISTINCT day FROM reading_events ORDER BY day) AS d;
SELECT sum(analytics.aggregate_hourly_metrics(day + TIME '10:00')) AS hours FROM (SELECT DISTINCT day FROM reading_events ORDER BY day) AS d;
SELECT again FROM analytics_internal.aggregate_due_cohorts('1 hour');
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES (pg_temp.id('a', 1), pg_temp.id('b', 1)), (pg_temp.id('a', 2), pg_temp.id('b', 9));
SELECT analytics.setup_roles('regress_doc_anon', 'regress_doc_member', 'regress_doc_service');

\echo -- a member
SELECT set_config('request.jwt.claims', json_build_object('sub', pg_temp.id('b', 1))::text, false) <> '' AS claims;
SET ROLE regress_doc_member;
:examples
RESET ROLE;

\echo -- a member of another workspace: its own views, nothing of the first
SELECT set_config('request.jwt.claims', json_build_object('sub', pg_temp.id('b', 9))::text, false) <> '' AS claims;
SET ROLE regress_doc_member;
:examples
SELECT analytics_internal.aggregate_due_cohorts();
SELECT analytics.aggregate_user_cohorts('daily', '2025-10-01');
RESET ROLE;

\echo -- nobody
SELECT set_config('request.jwt.claims', '', false);
SET ROLE regress_doc_member;
SELECT (SELECT count(*) FROM analytics.get_active_users('a0000000-0000-0000-0000-000000000001', '2025-10-01', '2025-10-09')) AS active,
       (SELECT count(*) FROM analytics.get_lifecycle('a0000000-0000-0000-0000-000000000001', 'weekly', '2025-10-01', '2025-10-14')) AS lifecycle,
       (SELECT count(*) FROM analytics.get_retention_matrix('a0000000-0000-0000-0000-000000000001', 'weekly', '2025-10-01', '2025-10-14')) AS retention,
       (SELECT count(*) FROM analytics.get_feature_usage('a0000000-0000-0000-0000-000000000001', '2025-10-01', '2025-10-31')) AS features,
       (SELECT count(*) FROM analytics.get_agent_insights('c0000000-0000-0000-0000-000000000001')) AS agents,
       (SELECT count(*) FROM analytics.get_workspace_metrics('a0000000-0000-0000-0000-000000000001', '2025-10-01', '2025-10-03', true)) AS metrics,
       (SELECT count(*) FROM analytics.active_users) AS views;
RESET ROLE;
DROP TABLE public.workspace_members, reading_events;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.access_roles;
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL AND rows = 0;
DROP OWNED BY regress_doc_anon, regress_doc_member, regress_doc_service;
DROP ROLE regress_doc_anon, regress_doc_member, regress_doc_service;
