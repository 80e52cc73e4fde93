-- Saved segments and annotations: who may read and write them, what questions make of them, and what nobody learns from a segment.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = ISO;
CREATE FUNCTION pg_temp.id(kind text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || '0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
\set w '''a0000000-0000-0000-0000-000000000001'''
\set other '''a0000000-0000-0000-0000-000000000002'''
TRUNCATE analytics.audit_log;
CREATE TABLE public.segment_members (workspace_id uuid, user_id uuid);
INSERT INTO public.segment_members VALUES (:w, pg_temp.id('b', 1)), (:other, pg_temp.id('b', 99));
INSERT INTO analytics.membership (relation) VALUES ('public.segment_members');
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'), ('segments_per_workspace', '4'), ('annotations_per_workspace', '3');
SELECT analytics.setup_roles('regress_segment_anon', 'regress_segment_member', 'regress_segment_service') \g /dev/null
-- 20 users, each with one event more than the one before; the odd ones export; only the first looks at /secret.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, page_path, created_at)
SELECT :w::uuid, pg_temp.id('b', u), 'page_view', NULL, CASE WHEN u = 1 THEN '/secret' ELSE '/' END, '2025-10-06 09:00Z'::timestamptz + make_interval(days => u % 7, mins => n)
FROM generate_series(1, 20) AS u, generate_series(1, u) AS n
UNION ALL
SELECT :w::uuid, pg_temp.id('b', u), 'feature_use', 'export', NULL, '2025-10-14 09:00Z' FROM generate_series(1, 20, 2) AS u;
SELECT count(analytics.aggregate_daily_metrics(day::date, :w)) AS days FROM generate_series('2025-10-06'::timestamp, '2025-10-14', '1 day') AS day;
CREATE FUNCTION public.views(segment jsonb) RETURNS bigint LANGUAGE sql
AS $$ SELECT sum(views)::bigint FROM analytics.get_pages('a0000000-0000-0000-0000-000000000001', '2025-10-01', '2025-10-31', segment => segment) $$;

SELECT set_config('request.jwt.claims', '{"sub":"b0000000-0000-0000-0000-000000000001"}', false) <> '' AS signed_in;
SET ROLE regress_segment_member;
INSERT INTO analytics.segments (workspace_id, name, definition, description)
VALUES (:w, 'exporters', '{"did": "feature_use:export", "from": "2025-10-01", "to": "2025-10-31"}', 'export something'),
       (:w, 'others', '{"not": {"segment": "exporters"}}', ''), (:w, 'circle', '{"any": [{"segment": "others"}, {"segment": "circle"}]}', '');
SELECT name, definition, created_by, updated_at > created_at AS changed FROM analytics.segments ORDER BY name;
SELECT public.views('{"segment": "exporters"}') AS exporters, public.views('{"segment": "others"}') AS others, public.views(NULL) AS "all";
\set VERBOSITY default
SELECT public.views('{"segment": "circle"}');
SELECT public.views('{"segment": "nobody"}');
\set VERBOSITY terse
UPDATE analytics.segments SET definition = '{"did": "page_view", "from": "2025-10-06", "to": "2025-10-06", "nonsense": 1}' WHERE name = 'circle';
SELECT public.views('{"segment": "circle"}');
-- Neither a definition nor a set, both, too long; whose it is nobody chooses.
INSERT INTO analytics.segments (workspace_id, name) VALUES (:w, 'empty');
INSERT INTO analytics.segments (workspace_id, name, definition) VALUES (:w, 'list', '[]');
INSERT INTO analytics.segments (workspace_id, name, definition) VALUES (:w, 'long', jsonb_build_object('users', repeat('1', 66000)));
INSERT INTO analytics.segments (workspace_id, name, definition, created_by) VALUES (:w, 'mine', '{}', NULL);
-- A set is for those who may read raw events; others' workspaces are not written to, and the limit does not tell of them.
INSERT INTO analytics.segments (workspace_id, name, users) VALUES (:w, 'set', '{1-8}');
UPDATE analytics.segments SET definition = NULL, users = '{1}' WHERE name = 'others';
INSERT INTO analytics.segments (workspace_id, name, definition) VALUES (:other, 'foreign', '{}');
UPDATE analytics.segments SET workspace_id = :other;
INSERT INTO analytics.segments (workspace_id, name, definition) SELECT :w::uuid, 'more ' || n, '{}' FROM generate_series(1, 2) AS n;
RESET ROLE;
INSERT INTO analytics.settings VALUES ('raw_events_visible_to', 'members');
SET ROLE regress_segment_member;
INSERT INTO analytics.segments (workspace_id, name, users) VALUES (:w, 'set', '{0-9}');
SELECT name, users FROM analytics.segments WHERE users IS NOT NULL;
RESET ROLE;
DELETE FROM analytics.settings WHERE name = 'raw_events_visible_to';
SET ROLE regress_segment_member;
SELECT count(*) AS visible FROM analytics.segments WHERE name = 'set';
UPDATE analytics.segments SET description = 'x' WHERE name = 'set' RETURNING name;
DELETE FROM analytics.segments WHERE name = 'set' RETURNING name;
SELECT public.views('{"segment": "set"}') > 0 AS asked_by_name;

-- Whoever may not read raw events learns nothing about one person: one that only he did, as often as only he did, all but him, a
-- funnel, or a set; not even that there is nobody. Counts of many he has.
\set VERBOSITY default
SELECT public.views('{"did": {"event_type": "page_view", "where": {"page_path": "/secret"}}, "from": "2025-10-01"}');
\set VERBOSITY terse
SELECT public.views('{"did": "page_view", "times": {"eq": 17}, "from": "2025-10-01"}');
SELECT public.views('{"did": "page_view", "times": {"eq": 1}, "from": "2025-10-01"}');
SELECT public.views('{"not": {"did": "page_view", "times": {"eq": 1}, "from": "2025-10-01"}}');
SELECT public.views('{"did": "page_view", "times": 1000, "from": "2025-10-01"}');
SELECT public.views('{"first_seen": {"from": "2025-10-07", "to": "2025-10-07"}}');
SELECT public.views('{"funnel": {"steps": [{"event_type": "page_view", "where": {"page_path": "/secret"}}, "click"], "start_date": "2025-10-01", "end_date": "2025-10-31"}, "step": 1}');
SELECT public.views('{"any": [{"users": "{0}"}, {"did": "page_view", "from": "2025-10-01"}]}');
SELECT count(*) FROM analytics.get_funnel(:w, '["page_view", "feature_use"]', '2025-10-01', '2025-10-31', segment => '{"did": "page_view", "times": {"eq": 17}, "from": "2025-10-01"}');
SELECT count(*) FROM analytics.get_conversion_times(:w, '["page_view", "feature_use"]', '2025-10-01', '2025-10-31', user_set => '{0}');
SELECT count(*) FROM analytics.get_trend(:w, segment => '{"funnel": {"steps": ["page_view", "click"], "segment": {"did": "page_view", "times": {"eq": 1}, "from": "2025-10-01"}}, "step": 1}');
SELECT analytics.users_who(:w, '{"first_seen": {"from": "2025-10-07"}}');
SELECT public.views('{"did": "page_view", "times": {"gte": 6}, "from": "2025-10-01"}') AS many, public.views('{"did": "page_view", "from": "2025-10-01"}') AS "all";

-- Annotations are shown by the report on their local day.
INSERT INTO analytics.annotations (workspace_id, starts_at, title) VALUES (:w, '2025-10-06 23:30Z', 'Release 2.0'), (:w, '2025-10-08 10:00Z', 'Outage'), (:w, '2025-11-08 10:00Z', 'Later');
INSERT INTO analytics.annotations (workspace_id, title) VALUES (:w, 'one more');
INSERT INTO analytics.annotations (workspace_id, title) VALUES (:other, 'foreign');
INSERT INTO analytics.annotations (workspace_id, starts_at, ends_at, title) VALUES (:w, '2025-10-06', '2025-10-05', 'backwards');
UPDATE analytics.annotations SET details = 'planned' WHERE title = 'Outage' RETURNING title, created_by;
SELECT analytics.report(:w, '2025-10-01', '2025-10-31') -> 'annotations' AS annotations;
RESET ROLE;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (:w, 'Asia/Tokyo', '-infinity');
SELECT analytics.report(:w, '2025-10-01', '2025-10-31') #>> '{annotations,0,date}' AS in_tokyo;

-- A stranger has nothing, whatever he asks.
SELECT set_config('request.jwt.claims', '{"sub":"b0000000-0000-0000-0000-000000000099"}', false) <> '' AS signed_in;
SET ROLE regress_segment_member;
SELECT (SELECT count(*) FROM analytics.segments) AS segments, (SELECT count(*) FROM analytics.annotations) AS annotations;
SELECT count(*) FROM analytics.get_trend(:other, segment => '{"segment": "exporters"}');
SELECT public.views('{"segment": "exporters"}');
DELETE FROM analytics.annotations;
RESET ROLE;

-- The log names what was changed, but nobody in a set; a person has what he made and is in, and is forgotten there too.
SELECT action, object, COALESCE(new_values, old_values) ->> 'name' AS name, new_values ? 'users' AS tells_users
FROM analytics.audit_log WHERE object = 'analytics.segments' ORDER BY happened_at;
INSERT INTO analytics.segments (workspace_id, name, definition, description) VALUES (:w, 'about him', '{"users": "{1}"}', 'with b0000000-0000-0000-0000-000000000001');
SELECT jsonb_array_length(e -> 'segments') AS segments, e -> 'in_segments' AS in_segments, jsonb_array_length(e -> 'annotations') AS annotations
FROM analytics.export_user('b0000000-0000-0000-0000-000000000001') AS e;
SELECT analytics.forget_user('b0000000-0000-0000-0000-000000000001') > 0 AS forgotten;
SELECT count(*) FILTER (WHERE s LIKE '%b0000000-0000-0000-0000-000000000001%') AS named FROM (
    SELECT s::text FROM analytics.segments AS s UNION ALL SELECT a::text FROM analytics.annotations AS a) AS x (s);

DROP TABLE public.segment_members;
DROP FUNCTION public.views(jsonb);
DELETE FROM analytics.settings;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.access_roles, analytics.membership,
         analytics.segments, analytics.annotations, analytics.workspace_settings;
DROP OWNED BY regress_segment_member, regress_segment_anon, regress_segment_service;
DROP ROLE regress_segment_member, regress_segment_anon, regress_segment_service;
