-- Events through functions: one by one and in batches.
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
\set u '00000000-0000-0000-0000-0000000000aa'
\set w '00000000-0000-0000-0000-0000000000f1'

SELECT analytics.track('agent_run', '{"status": "completed"}', :'w', :'u', 'nightly', '/run', :'u', '10.1.2.3', 'curl', 'https://example.com',
                       '2020-02-03 04:05:06+00', '00000000-0000-0000-0000-000000000001');
-- A retry is a no-op, and answers the same.
SELECT analytics.track('agent_run', '{"status": "completed"}', :'w', :'u', created_at => '2020-02-03 04:05:06+00',
                       id => '00000000-0000-0000-0000-000000000001');
SELECT id, workspace_id, user_id, session_id FROM analytics.user_activity;
SELECT event_type, event_name, page_path, ip_address, user_agent, referrer, metadata, created_at FROM analytics.user_activity;
SELECT analytics.track('login', user_id => :'u') IS NOT NULL AS stored;
SELECT workspace_id, metadata, created_at > now() - interval '1 minute' AS is_new FROM analytics.user_activity WHERE event_type = 'login';

-- Whose event: the argument, else the claims.
SELECT analytics.track('login');
BEGIN;
SET LOCAL request.jwt.claims = '{"sub": "00000000-0000-0000-0000-0000000000bb"}';
SELECT analytics.current_user_id(), analytics.track('logout') IS NOT NULL AS stored;
SELECT user_id FROM analytics.user_activity WHERE event_type = 'logout';
SET LOCAL request.jwt.claim.sub = '00000000-0000-0000-0000-0000000000BB';
SELECT analytics.current_user_id();
SET LOCAL request.jwt.claim.sub = '00000000-0000-0000-0000-0000000000cc';
SELECT analytics.current_user_id();
SET LOCAL request.jwt.claims = '';
SELECT analytics.current_user_id();
SET LOCAL request.jwt.claim.sub = 'me';
SELECT analytics.current_user_id();
SET LOCAL request.jwt.claim.sub = '';
SET LOCAL request.jwt.claims = '{broken';
SELECT analytics.current_user_id();
SET LOCAL request.jwt.claims = '["sub"]';
SELECT analytics.current_user_id();
ROLLBACK;
SELECT analytics.track('signup', user_id => :'u');
SELECT analytics.track('login', '[]', user_id => :'u');
SELECT analytics.track(NULL, user_id => :'u', created_at => 'infinity');

-- A batch without a bad event; times without a zone are UTC whatever the session's.
TRUNCATE analytics.user_activity;
SET timezone = 'Asia/Tokyo';
SELECT * FROM analytics.track_batch('[
    {"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T10:00:00", "id": "00000000-0000-0000-0000-000000000011"},
    {"event_type": "click", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T11:00:00+01", "event_name": 42, "metadata": null, "no_such_key": 1}]');
SET timezone = 'UTC';
SELECT event_type, event_name, metadata, created_at FROM analytics.user_activity ORDER BY created_at;
-- The same again with more, and every kind of bad event: only they are refused.
SELECT accepted, duplicates, jsonb_pretty(rejected) AS rejected FROM analytics.track_batch(jsonb_build_array(
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T10:00:00", "id": "00000000-0000-0000-0000-000000000011"}'::jsonb,
    '{"event_type": "logout", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T12:00:00", "id": "00000000-0000-0000-0000-000000000012"}'::jsonb,
    '{"event_type": "logout", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T12:00:00", "id": "00000000-0000-0000-0000-000000000012"}'::jsonb,
    '{"event_type": "signup", "user_id": "00000000-0000-0000-0000-0000000000aa"}'::jsonb,
    '{"event_type": "login", "user_id": "me"}'::jsonb,
    '{"event_type": "login", "created_at": "2020-01-01"}'::jsonb,
    '{"user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01"}'::jsonb,
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "yesterday evening"}'::jsonb,
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "metadata": "text"}'::jsonb,
    jsonb_build_object('event_type', 'login', 'user_id', :'u', 'metadata', jsonb_build_object('k', repeat('x', 20000))),
    'null'::jsonb, '17'::jsonb, '[]'::jsonb));
SELECT count(*) FROM analytics.user_activity;

-- Nothing, too much, not a list.
SELECT * FROM analytics.track_batch('[]');
SELECT * FROM analytics.track_batch(NULL);
SELECT * FROM analytics.track_batch('{"event_type": "login"}');
SELECT analytics.track_batch(jsonb_agg(i)) FROM generate_series(1, 10001) AS i;

-- The caller's rights: what a policy refuses is refused, event by event.
CREATE ROLE regress_track_client;
GRANT USAGE ON SCHEMA analytics TO regress_track_client;
GRANT INSERT ON analytics.user_activity TO regress_track_client;
GRANT EXECUTE ON FUNCTION analytics.track_batch(jsonb), analytics.try_track(jsonb), analytics.current_user_id(),
    analytics.workspace_ids(), analytics.earliest_event_time(), analytics.latest_event_time() TO regress_track_client;
SET ROLE regress_track_client;
SET request.jwt.claim.sub = '00000000-0000-0000-0000-0000000000aa';
SELECT * FROM analytics.track_batch('[
    {"event_type": "login"},
    {"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000bb"}]');
RESET request.jwt.claim.sub;
RESET ROLE;
DROP OWNED BY regress_track_client;
DROP ROLE regress_track_client;
SELECT user_id, event_type FROM analytics.user_activity WHERE created_at > now() - interval '1 minute';
TRUNCATE analytics.user_activity;
