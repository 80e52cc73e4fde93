-- The examples of doc/questions.md, as printed but with events of our own: for a member of the workspace, and for a member of another one.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = ISO;
\getenv abs_srcdir PG_ABS_SRCDIR
\set questions_doc :abs_srcdir '/../doc/questions.md'
\setenv QUESTIONS_DOC :questions_doc
\set examples `awk '/^\140\140\140/ { on = $0 ~ /sql$/; blocks += on; next } on && blocks > 1' "$QUESTIONS_DOC"`
CREATE FUNCTION pg_temp.id(kind text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || '0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.workspace_settings;
CREATE TEMP TABLE said (usr integer, at timestamptz, type text, name text, page text, referrer text, metadata jsonb);
INSERT INTO said VALUES
    (1, '2025-10-06 09:00Z', 'page_view', NULL, '/', 'https://www.google.com/search', '{}'),
    (1, '2025-10-06 09:01Z', 'page_view', NULL, '/docs/install', NULL, '{}'),
    (1, '2025-10-06 09:02Z', 'page_view', NULL, '/pricing', NULL, '{}'),
    (1, '2025-10-06 09:03Z', 'custom', 'seen', NULL, NULL, '{"variant": "control"}'),
    (1, '2025-10-06 09:05Z', 'form_submit', 'signup', NULL, NULL, '{}'),
    (1, '2025-10-07 09:00Z', 'feature_use', 'export', NULL, NULL, '{"plan": "pro"}'),
    (1, '2025-10-15 09:00Z', 'feature_use', 'export', NULL, NULL, '{"plan": "pro"}'),
    (2, '2025-10-06 10:00Z', 'page_view', NULL, '/', 'https://news.example.org/today', '{}'),
    (2, '2025-10-06 10:04Z', 'custom', 'seen', NULL, NULL, '{"variant": "short form"}'),
    (2, '2025-10-06 10:30Z', 'form_submit', 'signup', NULL, NULL, '{}'),
    (3, '2025-10-02 10:00Z', 'feature_use', 'export', NULL, NULL, '{"plan": "free"}'),
    (3, '2025-10-06 11:00Z', 'page_view', NULL, '/docs/api', NULL, '{}'),
    (3, '2025-10-07 11:00Z', 'feature_use', 'export', NULL, NULL, '{"plan": "free"}'),
    (3, '2025-10-08 11:00Z', 'feature_use', 'share', NULL, NULL, '{"plan": "free"}'),
    (4, '2025-10-09 08:00Z', 'custom', 'seen', NULL, NULL, '{"variant": "control"}'),
    (4, '2025-10-09 08:10Z', 'feature_use', 'export', NULL, NULL, '{"plan": "pro"}'),
    (1, '2025-10-20 09:00Z', 'agent_run', 'run', NULL, NULL, '{"run_id": "r1", "model": "large", "status": "ok", "runtime_seconds": 12, "tokens_used": 900, "cost": 0.4}'),
    (1, '2025-10-20 09:01Z', 'agent_run', 'run', NULL, NULL, '{"run_id": "r2", "parent_run_id": "r1", "model": "small", "status": "failed", "error_type": "timeout", "runtime_seconds": 60, "cost": 0.1}'),
    (4, '2025-10-20 10:00Z', 'agent_run', 'run', NULL, NULL, '{"run_id": "r3", "model": "large", "status": "failed", "error_type": "rate_limit", "runtime_seconds": 2, "tokens_used": 10, "cost": 0.01}'),
    (9, '2025-10-06 08:00Z', 'page_view', NULL, '/of/another/workspace', NULL, '{}');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, page_path, referrer, metadata, created_at)
SELECT pg_temp.id('a', CASE usr WHEN 9 THEN 2 ELSE 1 END), pg_temp.id('b', usr), type, name, page, referrer, metadata, at FROM said;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'), ('segment_min_users', '1'); -- these are only a few
SELECT count(analytics.aggregate_daily_metrics(day)) AS days FROM (SELECT DISTINCT at::date AS day FROM said ORDER BY day) AS d;
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES (pg_temp.id('a', 1), pg_temp.id('b', 1)), (pg_temp.id('a', 2), pg_temp.id('b', 9));
SELECT analytics.setup_roles('regress_doc_anon', 'regress_doc_member', 'regress_doc_service') \g /dev/null

\echo -- a member
SELECT set_config('request.jwt.claims', json_build_object('sub', pg_temp.id('b', 1))::text, false) <> '' AS claims;
SET ROLE regress_doc_member;
:examples
-- The same as PostgREST sends it: a JSON body whose keys are the arguments, in a read-only transaction.
CREATE FUNCTION pg_temp.rpc(question text, body json) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
    called oid := (SELECT oid FROM pg_proc WHERE proname = question AND pronamespace = 'analytics'::regnamespace);
    answer json;
BEGIN
    EXECUTE (SELECT format('WITH pgrst_source AS (SELECT called.* FROM (SELECT $1 AS data) AS payload, LATERAL json_to_record(payload.data) AS body (%s), LATERAL analytics.%I(%s) AS called)
                            SELECT coalesce(json_agg(pgrst_source), ''[]'') FROM pgrst_source',
                           string_agg(format('%I %s', a.name, format_type(a.type, NULL)), ', '), question, string_agg(format('%I := body.%I', a.name, a.name), ', '))
             FROM pg_proc AS p, unnest(p.proargnames, p.proargtypes::oid[]) AS a (name, type) WHERE p.oid = called AND a.name IN (SELECT json_object_keys(body)))
    INTO answer USING body;
    RETURN answer;
END $$;
CREATE TEMP TABLE request (place serial, name text, arguments jsonb);
INSERT INTO request (name, arguments) VALUES
    ('get_trend', '{"series": {"event": "feature_use:export", "measure": "users"}, "period": "weekly", "breakdown": "metadata.plan", "compare": true}'),
    ('get_funnel', '{"steps": ["page_view", "form_submit:signup", {"event_type": "feature_use", "label": "First use"}], "conversion_window": "14 days"}'),
    ('get_conversion_times', '{"steps": ["page_view", "form_submit:signup"], "edges": ["0", "1 minute", "1 hour"]}'),
    ('get_event_retention', '{"start_event": "feature_use:export", "period": "weekly", "as_of": "2025-10-27"}'),
    ('get_stickiness', '{"event": "feature_use", "period": "weekly"}'), ('get_event_lifecycle', '{"event": "feature_use:export", "period": "weekly"}'),
    ('get_paths', '{"node_groups": ["/docs/%"], "max_steps": 3}'), ('get_pages', '{"segment": {"segment": "exporters"}}'),
    ('get_attribution', '{"conversion": "form_submit:signup", "lookback": "7 days"}'),
    ('get_experiment', '{"exposure": "custom:seen", "variant_property": "metadata.variant", "goal": "form_submit:signup"}'), ('get_run_metrics', '{"breakdown": "model"}');
BEGIN READ ONLY;
SELECT r.name, json_array_length(a.answer) AS rows, a.answer -> 0 AS first
FROM request AS r, LATERAL (SELECT pg_temp.rpc(r.name, (r.arguments || '{"workspace_id": "a0000000-0000-0000-0000-000000000001", "start_date": "2025-10-01", "end_date": "2025-10-31"}')::json) AS answer) AS a ORDER BY r.place;
COMMIT;
\echo -- persons only for those who may read raw events
SELECT analytics.users_who('a0000000-0000-0000-0000-000000000001', '{"did": "click"}');
SELECT count(*) FROM analytics.get_trend('a0000000-0000-0000-0000-000000000001', user_set => '{1}');
SELECT count(*) FROM analytics.get_run_tree('a0000000-0000-0000-0000-000000000001', 'r1', '2025-10-20', '2025-10-20');
SELECT count(*) FROM analytics.get_trend('a0000000-0000-0000-0000-000000000001', segment => '{"not": {"users": "{1}"}}');
SELECT count(*) AS of_another FROM analytics.get_user_timeline('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000002');
SELECT count(*) AS own FROM analytics.get_user_timeline('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001');
RESET ROLE;

\echo -- a member of another workspace: nothing of the first, however it is asked
SELECT set_config('request.jwt.claims', json_build_object('sub', pg_temp.id('b', 9))::text, false) <> '' AS claims;
SET ROLE regress_doc_member;
SELECT count(*) FROM analytics.get_trend('a0000000-0000-0000-0000-000000000001', '"no such type"', 'hourly');
SELECT analytics.users_who('a0000000-0000-0000-0000-000000000001', '{"nonsense": 1}') IS NULL AS nothing, analytics.raw_events_since('a0000000-0000-0000-0000-000000000001');
SELECT page_path, views FROM analytics.get_pages('a0000000-0000-0000-0000-000000000002', '2025-10-01', '2025-10-31');
SELECT count(*) FROM analytics.get_user_timeline('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001');
RESET ROLE;

\echo -- managers only
INSERT INTO analytics.settings VALUES ('analyses_visible_to', 'roles');
ALTER TABLE public.workspace_members ADD role text DEFAULT 'viewer';
INSERT INTO analytics.membership (role_column) VALUES ('role');
SET ROLE regress_doc_member;
SELECT count(*) FROM analytics.get_pages('a0000000-0000-0000-0000-000000000002', '2025-10-01', '2025-10-31');
RESET ROLE;
UPDATE public.workspace_members SET role = 'owner';
INSERT INTO analytics.settings VALUES ('raw_events_visible_to', 'roles');
SET ROLE regress_doc_member;
SELECT count(*) FROM analytics.get_pages('a0000000-0000-0000-0000-000000000002', '2025-10-01', '2025-10-31');
SELECT analytics.user_set_cardinality(analytics.users_who('a0000000-0000-0000-0000-000000000002', '{"did": "page_view", "from": "2025-10-01"}')) AS users;
-- A definer of another owner in between: the role outside decides.
RESET ROLE;
CREATE FUNCTION public.pages_of(workspace_id uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER
AS $$ SELECT count(*) FROM analytics.get_pages(workspace_id, '2025-10-01', '2025-10-31') $$;
SET ROLE regress_doc_member;
SELECT public.pages_of('a0000000-0000-0000-0000-000000000001') AS foreigners, public.pages_of('a0000000-0000-0000-0000-000000000002') AS own;
RESET ROLE;

DROP FUNCTION public.pages_of(uuid);
DROP TABLE public.workspace_members;
DELETE FROM analytics.settings;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.access_roles, analytics.membership,
         analytics.segments, analytics.annotations;
DROP OWNED BY regress_doc_member, regress_doc_anon, regress_doc_service;
DROP ROLE regress_doc_member, regress_doc_anon, regress_doc_service;
