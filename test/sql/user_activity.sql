-- What may be stored as an event, and how it is normalised.
SET timezone = 'UTC';
SET datestyle = 'ISO';
PREPARE add (text, jsonb, timestamptz) AS
    INSERT INTO analytics.user_activity (user_id, event_type, metadata, created_at)
    VALUES ('00000000-0000-0000-0000-0000000000aa', $1, $2, $3);

-- Every type of the contract, and no other.
INSERT INTO analytics.user_activity (user_id, event_type)
SELECT '00000000-0000-0000-0000-0000000000aa', t
FROM unnest(ARRAY['page_view', 'agent_run', 'login', 'logout', 'workspace_switch', 'feature_use', 'error', 'api_call',
                  'export', 'report_view', 'custom', 'click', 'form_submit', 'session_start', 'session_end']) AS t;
EXECUTE add ('Login', '{}', now());
-- The column's comment and the hint name exactly the types that are accepted.
DO $$
DECLARE
    hint text;
    unlike text;
BEGIN
    INSERT INTO analytics.user_activity (user_id, event_type) VALUES ('00000000-0000-0000-0000-0000000000aa', 'Login');
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    WITH accepted AS (SELECT DISTINCT event_type AS t FROM analytics.user_activity),
    hinted AS (SELECT regexp_split_to_table(substring(hint FROM 'are: ([^.]*)'), ', ') AS t),
    described AS (SELECT regexp_split_to_table(split_part(col_description('analytics.user_activity'::regclass, 4), ';', 1), ', | or ') AS t)
    SELECT string_agg(t, ', ') INTO unlike FROM (
        SELECT t FROM accepted FULL JOIN hinted USING (t) FULL JOIN described USING (t)
        WHERE accepted IS NULL OR hinted IS NULL OR described IS NULL) AS odd;
    RAISE NOTICE 'types named in only some places: %', coalesce(unlike, 'none');
END
$$;
EXECUTE add (repeat('é', 300), '{}', now());
\set VERBOSITY terse
EXECUTE add (NULL, '{}', '2020-01-01');
\set VERBOSITY default

-- Defaults, also for an explicit NULL.
TRUNCATE analytics.user_activity;
INSERT INTO analytics.user_activity (user_id, event_type) VALUES ('00000000-0000-0000-0000-0000000000aa', 'login');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata)
VALUES (NULL, '00000000-0000-0000-0000-0000000000aa', 'login', NULL);
SELECT DISTINCT workspace_id, metadata, id IS NOT NULL AS has_id, created_at BETWEEN now() - interval '1 minute' AND now() AS is_new
FROM analytics.user_activity;

-- No trigger can supply created_at.
\set SHOW_CONTEXT never
EXECUTE add ('login', '{}', NULL);
\set VERBOSITY terse
INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (NULL, 'login', '2020-01-01');
\set VERBOSITY default

-- metadata: an object of at most 10,240 bytes, as stored or as text.
EXECUTE add ('login', '42', now());
EXECUTE add ('login', '[1, 2]', now());
EXECUTE add ('login', 'null', now());
EXECUTE add ('login', jsonb_build_object('k', repeat('x', 10230)), now());
EXECUTE add ('login', jsonb_build_object('k', repeat('x', 10231)), now());
EXECUTE add ('login', jsonb_build_object('k', repeat('x', 10232)), now());
SELECT jsonb_build_object('k', jsonb_agg(1)) AS longest FROM generate_series(1, 3411) \gset
SELECT jsonb_build_object('k', jsonb_agg(1)) AS too_long FROM generate_series(1, 3412) \gset
SELECT jsonb_build_object('k', jsonb_agg(1)) AS far_too_long FROM generate_series(1, 10000) \gset
EXECUTE add ('login', :'longest', now());
EXECUTE add ('login', :'too_long', now());
EXECUTE add ('login', :'far_too_long', now());
SELECT octet_length(metadata::text) FROM analytics.user_activity WHERE metadata <> '{}' ORDER BY 1;

-- Long texts are cut between characters, short ones left alone; never refused.
TRUNCATE analytics.user_activity;
INSERT INTO analytics.user_activity (user_id, event_type, event_name, page_path, user_agent, referrer)
SELECT '00000000-0000-0000-0000-0000000000aa', 'click', repeat(c, n), repeat(c, n), repeat(c, n), repeat(c, n)
FROM unnest(ARRAY['x', 'é', '€', '😀']) AS c, unnest(ARRAY[0, 100, 101, 255, 256, 500, 501, 100000]) AS n;
SELECT max(length(event_name)) AS event_name, max(length(page_path)) AS page_path, max(length(user_agent)) AS user_agent,
       max(length(referrer)) AS referrer, count(*), count(DISTINCT event_name) AS names,
       count(DISTINCT referrer) AS referrers
FROM analytics.user_activity;
-- Values that arrive compressed.
CREATE TABLE compressed (path text, document jsonb);
INSERT INTO compressed VALUES (repeat('/ab', 100000), jsonb_build_object('k', repeat('x', 10000)));
INSERT INTO analytics.user_activity (user_id, event_type, page_path, metadata)
SELECT '00000000-0000-0000-0000-0000000000ab', 'click', path, document FROM compressed RETURNING page_path = left(repeat('/ab', 100), 255) AS cut;
-- An update is held to the same.
UPDATE analytics.user_activity SET event_name = repeat('y', 200), workspace_id = NULL
WHERE user_id = '00000000-0000-0000-0000-0000000000ab' RETURNING length(event_name), workspace_id;
UPDATE analytics.user_activity SET metadata = '[]' WHERE user_id = '00000000-0000-0000-0000-0000000000ab';

-- Times: services may be a day ahead and go back to 2000; the owner may load any finite time. (Roles under row
-- security have narrower limits, see the test tenants.)
CREATE ROLE regress_events_client BYPASSRLS;
GRANT USAGE ON SCHEMA analytics TO regress_events_client;
GRANT INSERT ON analytics.user_activity TO regress_events_client;
SET ROLE regress_events_client;
EXECUTE add ('login', '{}', now() + interval '23 hours');
EXECUTE add ('login', '{}', '2000-01-01');
EXECUTE add ('login', '{}', '1999-12-31 23:59:59.999999+00');
\set VERBOSITY terse
EXECUTE add ('login', '{}', now() + interval '25 hours');
EXECUTE add ('login', '{}', 'infinity');
\set VERBOSITY default
RESET ROLE;
EXECUTE add ('login', '{}', '1970-01-01');
EXECUTE add ('login', '{}', now() + interval '25 hours');
EXECUTE add ('login', '{}', '-infinity');
DROP OWNED BY regress_events_client;
DROP ROLE regress_events_client;

-- A retry is a no-op.
INSERT INTO analytics.user_activity (id, user_id, event_type, created_at)
SELECT '00000000-0000-0000-0000-0000000000e1', '00000000-0000-0000-0000-0000000000aa', 'login', '2020-05-05'
FROM generate_series(1, 3) ON CONFLICT DO NOTHING;
INSERT INTO analytics.user_activity (id, user_id, event_type, created_at)
VALUES ('00000000-0000-0000-0000-0000000000e1', '00000000-0000-0000-0000-0000000000aa', 'login', '2020-05-05')
ON CONFLICT DO NOTHING;
SELECT count(*) FROM analytics.user_activity WHERE created_at = '2020-05-05';

-- The trigger serves this table only.
CREATE TABLE other_table (event_type varchar(10));
CREATE TRIGGER misplaced BEFORE INSERT ON other_table FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
INSERT INTO other_table VALUES ('login');
CREATE TRIGGER misplaced_after AFTER INSERT ON other_table FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
DROP TRIGGER misplaced ON other_table;
INSERT INTO other_table VALUES ('login');

DROP TABLE other_table, compressed;
TRUNCATE analytics.user_activity;
