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

-- An id without a time: a uuid v7 has it, with any other a retry would be counted twice.
TRUNCATE analytics.user_activity;
SELECT analytics.track('feature_use', '{"revenue": 10}', :'w', :'u', id => '00000000-0000-0000-0000-000000000001');
SELECT analytics.track('feature_use', '{"revenue": 10}', :'w', :'u', id => '018cc251-f400-7000-8000-000000000001') FROM generate_series(1, 2);
SELECT id, count(*), min(created_at) FROM analytics.user_activity GROUP BY id;

-- A batch without a bad event, as a literal, jsonb and json. Times are ISO 8601 with a zone, or count since 1970.
TRUNCATE analytics.user_activity;
SET timezone = 'Asia/Tokyo';
SELECT * FROM analytics.track_batch('[
    {"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T10:00:00Z", "id": "00000000-0000-0000-0000-000000000011"},
    {"event_type": "click", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01 11:00:00.123456+01", "event_name": 42, "metadata": null, "ip_address": "10.1.2.3"}]');
SELECT * FROM analytics.track_batch(events => '[{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": 1577876400.25}]'::jsonb);
SELECT * FROM analytics.track_batch('[{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": 1577880000250}]'::json);
SELECT * FROM analytics.track_batch('[{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "1577883600"}]'::text);
SET timezone = 'UTC';
SELECT event_type, event_name, metadata, ip_address, created_at FROM analytics.user_activity ORDER BY created_at;
-- The same again with more, and every kind of bad event: only they are refused.
SELECT accepted, duplicates, jsonb_pretty(rejected) AS rejected, warnings FROM analytics.track_batch(jsonb_build_array(
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T10:00:00Z", "id": "00000000-0000-0000-0000-000000000011"}'::jsonb,
    '{"event_type": "logout", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T12:00:00Z", "id": "00000000-0000-0000-0000-000000000012"}'::jsonb,
    '{"event_type": "logout", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T12:00:00Z", "id": "00000000-0000-0000-0000-000000000012"}'::jsonb,
    '{"event_type": "signup", "user_id": "00000000-0000-0000-0000-0000000000aa"}'::jsonb,
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "id": "one"}'::jsonb,
    '{"event_type": "login", "created_at": "2020-01-01T00:00:00Z"}'::jsonb,
    '{"user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": "2020-01-01T00:00:00Z"}'::jsonb,
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "metadata": "text"}'::jsonb,
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "ip_address": "here"}'::jsonb,
    '{"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000aa", "id": "00000000-0000-0000-0000-000000000013"}'::jsonb,
    jsonb_build_object('event_type', 'login', 'user_id', :'u', 'metadata', jsonb_build_object('k', repeat('x', 20000))),
    'null'::jsonb, '17'::jsonb, '[]'::jsonb));
SELECT count(*) FROM analytics.user_activity;
-- What JSON may say and jsonb may not: a NUL, half of a surrogate pair.
SELECT accepted, duplicates, jsonb_pretty(rejected) AS rejected FROM analytics.track_batch('[
    {"event_type": "click", "user_id": "00000000-0000-0000-0000-0000000000aa", "event_name": "a \u0000 NUL"},
    {"event_type": "click", "user_id": "00000000-0000-0000-0000-0000000000aa", "event_name": "fine \ud83d\ude00"},
    {"event_type": "click", "user_id": "00000000-0000-0000-0000-0000000000aa", "event_name": "cut \ud83d"}]');
-- Times that may be two, and what is no time.
SELECT t.time, r ->> 'reason' AS reason
FROM (VALUES ('"2026-11-03T10:00:00"'), ('"2026-11-03"'), ('"03/11/2026"'), ('"3.11.26 10:00"'), ('"yesterday"'), ('-1'), ('true'), ('"infinity"')) AS t (time),
     LATERAL (SELECT rejected -> 0 AS r FROM analytics.track_batch('[{"event_type": "click", "user_id": "00000000-0000-0000-0000-0000000000aa", "created_at": ' || t.time || '}]')) AS b;
-- Unknown keys, and which of the known ones is meant.
SELECT k.key, r ->> 'reason' AS reason
FROM unnest('{timestamp,createdAt,eventtype,user,usr_id,properties,credits,status,colour,""}'::text[]) AS k (key),
     LATERAL (SELECT rejected -> 0 AS r FROM analytics.track_batch(jsonb_build_array(jsonb_build_object('event_type', 'click', 'user_id', :'u', k.key, 1)))) AS b;
SELECT * FROM analytics.read_event('{"event_type": "click", "timestamp": 1}');

-- Nothing, too much, not a list.
SELECT * FROM analytics.track_batch('[]');
SELECT * FROM analytics.track_batch(NULL);
SELECT * FROM analytics.track_batch('{"event_type": "login"}');
SELECT analytics.track_batch('{broken');
SELECT analytics.track_batch(jsonb_agg(i)) FROM generate_series(1, 10001) AS i;

-- The caller's rights: what a policy refuses is refused, event by event.
CREATE ROLE regress_track_client;
GRANT USAGE ON SCHEMA analytics TO regress_track_client;
GRANT INSERT ON analytics.user_activity TO regress_track_client;
GRANT EXECUTE ON FUNCTION analytics.track_batch(analytics.any_text), analytics.read_event(jsonb), analytics.current_user_id(),
    analytics.workspace_ids(), analytics_internal.earliest_event_time(), analytics_internal.latest_event_time(),
    analytics_internal.shallow_json(analytics.any_text) TO regress_track_client;
SET ROLE regress_track_client;
SET request.jwt.claim.sub = '00000000-0000-0000-0000-0000000000aa';
SELECT * FROM analytics.track_batch('[
    {"event_type": "login"},
    {"event_type": "login", "user_id": "00000000-0000-0000-0000-0000000000bb"}]');
-- A client's amounts are dropped, and that is said; with a bad event in the batch, too.
SELECT * FROM analytics.track_batch('[{"event_type": "agent_run", "metadata": {"status": "ok", "cost": 1, "tokens": 5, "note": 1}}, {"event_type": "login"}]');
SELECT accepted, warnings FROM analytics.track_batch('[{"event_type": "none"}, {"event_type": "agent_run", "metadata": {"status": "ok", "revenue": 1}}]');
-- A batch with an event that is too deep for the parser, which has no way into the schema of what reads it then.
SELECT accepted, jsonb_path_query_array(rejected, '$[*].reason') AS reasons
FROM analytics.track_batch(format('[{"event_type": "click", "metadata": {"a": %s}}]', repeat('[', 30000) || repeat(']', 30000)));
-- The user of a row is the current one if none is given.
INSERT INTO analytics.user_activity (event_type, event_name) VALUES ('click', 'a default');
RESET request.jwt.claim.sub;
RESET ROLE;
DROP OWNED BY regress_track_client;
DROP ROLE regress_track_client;
SELECT user_id, event_type, metadata FROM analytics.user_activity WHERE created_at > now() - interval '1 minute' AND event_name IS DISTINCT FROM E'fine \U0001F600' ORDER BY event_type, metadata;
TRUNCATE analytics.user_activity;

-- An event that is too deep for the parser refuses itself; brackets within texts are no levels.
TRUNCATE analytics.user_activity;
SELECT * FROM analytics.track_batch(format('[{"event_type": "login", "user_id": "%1$s", "metadata": {"a": "[[{\"[\\"}},
    {"event_type": "login", "user_id": "%1$s", "metadata": {"a": %2$s}}, %2$s , {"event_type": "logout", "user_id": "%1$s"}]', :'u', repeat('[', 30000) || repeat(']', 30000)));
SELECT event_type, metadata FROM analytics.user_activity ORDER BY event_type;
SELECT accepted, rejected FROM analytics.track_batch(repeat('[', 30000) || repeat(']', 30000));
SELECT accepted, rejected FROM analytics.track_batch('[' || repeat('{"a":', 30000));
TRUNCATE analytics.user_activity;
