-- What of an event's personal data is kept, and what clients may not state.
SET timezone = 'UTC';
CREATE PROCEDURE pg_temp.policy(setting text, new_value text) LANGUAGE sql AS $$
    INSERT INTO analytics.settings (name, value) VALUES (setting, new_value)
    ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value $$;
CREATE FUNCTION pg_temp.stored(address inet, agent text DEFAULT NULL, path text DEFAULT NULL)
RETURNS TABLE (ip_address inet, ip_hash bytea, user_agent text, page_path text, referrer text) LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (user_id, event_type, ip_address, user_agent, page_path, referrer)
    VALUES ('00000000-0000-0000-0000-0000000000aa', 'page_view', address, agent, path, path)
    RETURNING ip_address, ip_hash, user_agent, page_path, referrer $$;

-- Addresses: networks by default.
SELECT address, s.ip_address, s.ip_hash
FROM unnest('{203.0.113.77,203.0.113.77/8,2001:db8:1:2:3:4:5:6,::ffff:203.0.113.77,0.0.0.0,255.255.255.255}'::inet[]) AS address,
     pg_temp.stored(address) AS s;
SELECT * FROM pg_temp.stored(NULL);
CALL pg_temp.policy('ip_policy', 'keep');
SELECT ip_address, ip_hash FROM pg_temp.stored('203.0.113.77');
CALL pg_temp.policy('ip_policy', 'drop');
SELECT ip_address, ip_hash FROM pg_temp.stored('203.0.113.77');
-- Hashes: equal for equal addresses, keyed, unlike after rotation; the first makes the secret, once.
SELECT count(*) FROM analytics.ip_secret;
CALL pg_temp.policy('ip_policy', 'hash');
CREATE TEMP TABLE hashed AS
SELECT address, s.* FROM unnest('{203.0.113.77,203.0.113.78,2001:db8::1,203.0.113.77/8}'::inet[]) AS address, pg_temp.stored(address) AS s;
SELECT address, ip_address, length(ip_hash) AS bytes, substr(ip_hash, 1, 4) AS version,
       ip_hash = (SELECT ip_hash FROM hashed WHERE address = '203.0.113.77') AS is_first
FROM hashed;
SELECT version, length(secret) FROM analytics.ip_secret;
-- HMAC-SHA-256 by its definition (RFC 2104), in SQL.
CREATE FUNCTION pg_temp.xor(key bytea, pad int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(set_byte('\x00', 0, pad # CASE WHEN i < length(key) THEN get_byte(key, i) ELSE 0 END), '' ORDER BY i) FROM generate_series(0, 63) AS i $$;
CREATE FUNCTION pg_temp.hmac(key bytea, message bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(pg_temp.xor(key, 92) || sha256(pg_temp.xor(key, 54) || message)) $$;
SELECT pg_temp.hmac('Jefe', 'what do ya want for nothing?') = '\x5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843' AS rfc_4231;
SELECT bool_and(substr(ip_hash, 5) = pg_temp.hmac(secret, CASE address WHEN '203.0.113.77' THEN '\x04cb00714d'::bytea
                                                                        WHEN '2001:db8::1' THEN '\x0620010db8000000000000000000000001' END)) AS is_hmac
FROM hashed, analytics.ip_secret WHERE address IN ('203.0.113.77', '2001:db8::1');
SELECT analytics.rotate_ip_secret();
SELECT substr(s.ip_hash, 1, 4) AS version, substr(s.ip_hash, 5) <> (SELECT substr(ip_hash, 5) FROM hashed LIMIT 1) AS is_new
FROM pg_temp.stored('203.0.113.77') AS s;
-- Rolled back with the transaction that made it, the secret is made again.
TRUNCATE analytics.ip_secret;
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM pg_temp.stored('203.0.113.77');
ROLLBACK TO s;
SELECT count(*) FROM pg_temp.stored('203.0.113.77');
COMMIT;
SELECT count(*) FROM analytics.ip_secret;

-- Queries and fragments, user agents.
SELECT user_agent, page_path, referrer FROM pg_temp.stored(NULL, 'Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36', '/reset?token=secret#x');
SELECT length(page_path), length(referrer) FROM pg_temp.stored(NULL, NULL, repeat('é', 600) || '?x');
CALL pg_temp.policy('keep_query', 'true');
CALL pg_temp.policy('user_agent_policy', 'family');
SELECT user_agent, page_path, referrer FROM pg_temp.stored(NULL, 'Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36', '/reset?token=secret#x');
CALL pg_temp.policy('user_agent_policy', 'drop');
SELECT user_agent FROM pg_temp.stored(NULL, 'Mozilla/5.0 Chrome/120.0.0.0 Safari/537.36');
CALL pg_temp.policy('user_agent_policy', 'some');

-- A change of a setting holds at once, also within a transaction that rolls it back, and is seen by whoever
-- has an older snapshot.
BEGIN;
DELETE FROM analytics.settings;
SELECT page_path FROM pg_temp.stored(NULL, NULL, '/a?b');
ROLLBACK;
SELECT page_path FROM pg_temp.stored(NULL, NULL, '/a?b');
TRUNCATE analytics.settings;
SELECT page_path FROM pg_temp.stored(NULL, NULL, '/a?b');

-- A dump restores what was kept: its scripts switch row_security off.
SET row_security = off;
SELECT ip_address, page_path FROM pg_temp.stored('203.0.113.77', NULL, '/a?b');
RESET row_security;

-- Amounts: dropped when a client states them, and counted; kept from the owner or where clients are trusted.
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');
CREATE FUNCTION pg_temp.as_client(metadata jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    stored jsonb;
BEGIN
    PERFORM set_config('request.jwt.claims', '{"sub":"00000000-0000-0000-0000-0000000000aa"}', true);
    SET LOCAL ROLE regress_member;
    INSERT INTO analytics.user_activity (user_id, event_type, metadata)
    VALUES ('00000000-0000-0000-0000-0000000000aa', 'agent_run', metadata) RETURNING user_activity.metadata INTO stored;
    RESET ROLE;
    RETURN stored;
END $$;
TRUNCATE analytics.user_activity;
SELECT pg_temp.as_client(m) FROM unnest(ARRAY[
    '{}', '{"status": "success", "model": "m"}',
    '{"status": "success", "credits": 5, "cost": 1, "revenue": 9, "tokens": {"total": 3}, "nested": {"credits": 1}, "a": [1, {"cost": 2}]}',
    '{"status": "success", "dropped_values": "cost,cost"}',
    '{"status": "success", "amount": null, "input_tokens": 1, "output_tokens": 2, "credits_used": "7"}']::jsonb[]) AS m;
INSERT INTO analytics.user_activity (user_id, event_type, metadata)
VALUES ('00000000-0000-0000-0000-0000000000aa', 'agent_run', '{"status": "success", "credits": 5}') RETURNING metadata;
CALL pg_temp.policy('trust_client_amounts', 'true');
SELECT pg_temp.as_client('{"status": "success", "credits": 6}');
SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date);
SELECT total_runs, total_credits_consumed, ignored_values FROM analytics.daily_metrics;

TRUNCATE analytics.settings, analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue,
    analytics.access_roles, analytics.ip_secret;
DROP OWNED BY regress_anon, regress_member, regress_service;
DROP ROLE regress_anon, regress_member, regress_service;
