-- Questions about events: answers worked out by hand (vectors.json) or by enumerating all chains
-- (random_funnels.json), through the functions that users call.
\getenv abs_srcdir PG_ABS_SRCDIR
\set vectors `cat $PG_ABS_SRCDIR/data/questions/vectors.json`
\set random `cat $PG_ABS_SRCDIR/data/questions/random_funnels.json`
\set experiments `cat $PG_ABS_SRCDIR/data/questions/experiments.json`
SET client_min_messages = warning;
BEGIN;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
CREATE TABLE cases (
    number integer PRIMARY KEY, workspace_id uuid UNIQUE DEFAULT gen_random_uuid(), name text, function text, arguments jsonb, columns text[], expected jsonb,
    events jsonb);
INSERT INTO cases (number, name, function, arguments, columns, expected, events)
SELECT n, c ->> 'name', c ->> 'function', c -> 'arguments', ARRAY(SELECT jsonb_array_elements_text(c -> 'columns')), c -> 'expected', c -> 'events'
FROM jsonb_array_elements(:'vectors'::jsonb -> 'vectors') WITH ORDINALITY AS v (c, n);
-- [user, minute, name] at 10:00 of a day
INSERT INTO cases (number, name, function, arguments, columns, expected, events)
SELECT 1000 + n, 'random ' || n, 'get_funnel', c -> 'arguments', ARRAY(SELECT jsonb_array_elements_text(c -> 'columns')), c -> 'expected',
       (SELECT jsonb_agg(jsonb_build_object('user', e -> 0, 'at', '2025-03-03T10:00Z'::timestamptz + make_interval(mins => (e ->> 1)::integer),
                                            'event_type', 'custom', 'event_name', e -> 2) ORDER BY i)
        FROM jsonb_array_elements(c -> 'events') WITH ORDINALITY AS x (e, i))
FROM jsonb_array_elements(:'random'::jsonb -> 'cases') WITH ORDINALITY AS v (c, n);

CREATE FUNCTION user_uuid(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
AS $$ SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT workspace_id, arguments ->> 'time_zone', '-infinity' FROM cases WHERE arguments ? 'time_zone';
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, page_path, session_id, referrer, metadata, created_at)
SELECT user_uuid(COALESCE((e ->> 'id')::integer, i::integer)),
       CASE WHEN e ->> 'workspace' = '2' THEN gen_random_uuid() ELSE c.workspace_id END,
       user_uuid((e ->> 'user')::integer), e ->> 'event_type', e ->> 'event_name', e ->> 'page_path', md5(e ->> 'session_id')::uuid, e ->> 'referrer',
       COALESCE(e -> 'metadata', '{}'), (e ->> 'at')::timestamptz
FROM cases AS c, jsonb_array_elements(c.events) WITH ORDINALITY AS x (e, i);
-- Segments know the users that a rollup has numbered.
SELECT count(analytics.aggregate_daily_metrics(d.day, d.workspace_id)) > 50 AS aggregated FROM (
    SELECT DISTINCT c.workspace_id, (e ->> 'at')::timestamptz::date AS day FROM cases AS c, jsonb_array_elements(c.events) AS e
    WHERE c.function = 'users_who' OR c.arguments ? 'segment') AS d;

-- Calls a reader with named arguments; its rows as JSON, in their order, the wanted columns only.
CREATE FUNCTION ask(c cases) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    given text := '';
    answer jsonb;
    argument record;
BEGIN
    FOR argument IN
        SELECT a.name, format_type(a.type, NULL) AS type, v.value
        FROM pg_proc AS p, unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) AS a (name, type),
             jsonb_each(c.arguments - 'time_zone') AS v (key, value)
        WHERE p.oid = (SELECT oid FROM pg_proc WHERE proname = c.function AND pronamespace = 'analytics'::regnamespace)
          AND a.name = CASE v.key WHEN 'variant' THEN 'variant_property' ELSE v.key END
    LOOP
        given := given || format(', %I => %L::%s', argument.name,
            CASE WHEN argument.type = 'jsonb' THEN argument.value::text
                 WHEN argument.type LIKE '%[]' THEN ARRAY(SELECT jsonb_array_elements_text(argument.value))::text
                 ELSE argument.value #>> '{}' END, argument.type);
    END LOOP;
    IF c.function = 'users_who' THEN
        EXECUTE format('SELECT COALESCE(jsonb_agg(u.n ORDER BY u.n), %L) FROM (SELECT (''x'' || right(u.user_id::text, 8))::bit(32)::integer AS n
                        FROM analytics.users AS u WHERE u.workspace_id = %L
                        AND u.user_number IN (SELECT user_set_elements FROM analytics.user_set_elements(analytics.users_who(%L%s)))) AS u',
                       '[]', c.workspace_id, c.workspace_id, given) INTO answer;
    ELSE
        EXECUTE format('SELECT COALESCE(jsonb_agg(jsonb_build_array(%s) ORDER BY a.ordinality), %L) FROM analytics.%I(%L%s) WITH ORDINALITY AS a',
                       (SELECT string_agg('a.' || CASE k WHEN 'series' THEN 'series_number' ELSE k END, ', ' ORDER BY i)
                        FROM unnest(c.columns) WITH ORDINALITY AS k (k, i)), '[]', c.function, c.workspace_id, given) INTO answer;
    END IF;
    RETURN answer;
END
$$;
SELECT function, count(*) AS cases, count(*) FILTER (WHERE answer = expected) AS agree
FROM (SELECT c.*, ask(c) AS answer FROM cases AS c) AS a GROUP BY function ORDER BY function COLLATE "C";
SELECT c.name, ask(c) AS answer, c.expected FROM cases AS c WHERE ask(c) <> c.expected ORDER BY c.number;

-- Comparisons of conversion rates, to 6 decimals.
SELECT count(*) AS comparisons, count(*) FILTER (WHERE to_jsonb(got) - 'x' = want) AS agree
FROM jsonb_array_elements(:'experiments'::jsonb) AS e (e)
CROSS JOIN LATERAL analytics.compare_conversions((e ->> 'control_users')::bigint, (e ->> 'control_conversions')::bigint,
                                                 (e ->> 'variant_users')::bigint, (e ->> 'variant_conversions')::bigint) AS got
CROSS JOIN LATERAL (SELECT jsonb_object_agg(k, round((e ->> k)::numeric, 6)) FROM jsonb_object_keys(to_jsonb(got)) AS k) AS w (want);

ROLLBACK;

-- Each kind of refusal says where and what is allowed.
\set ask 'SELECT * FROM analytics.get_funnel(''00000000-0000-0000-0000-0000000000aa'','
\set VERBOSITY default
:ask '["page_view", {"event_type": "custom", "where": {"plan": 5}}]');
:ask '["page_view", {"event_type": "custom", "where": {"metadata.plan": {"is": 5}}}]');
:ask '["view"]');
:ask '[{"type": "page_view"}]');
:ask '[]');
:ask '["page_view", "click"]', conversion_window => '1 month');
:ask '["page_view", "click"]', conversion_window => '400 days');
:ask '["page_view", "click"]', step_order => 'strictly');
:ask '["page_view", "click"]', step_order => 'any', count_by => 'attempt');
:ask '["page_view", "click"]', exclusions => '[{"event": "logout", "after": 2}]');
:ask '["page_view", "click"]', hold_constant => '{a,b,c,d}');
:ask '["page_view", "click"]', attribution => 'step_3', breakdown => 'event_name');
:ask '["page_view", "click"]', start_date => '2025-03-02', end_date => '2025-03-01');
:ask '["page_view", "click"]', breakdown_limit => 0);
:ask '["page_view", "click"]', segment => '{"did": "click", "times": "often"}');
:ask '["page_view", "click"]', segment => '{"segment": "nobody"}');
:ask '["page_view", "click"]', segment => '{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"all": [{"did": "click"}]}]}]}]}]}]}]}]}]}]}');
:ask '["page_view", "click"]', filter => jsonb_build_object('metadata.a', repeat('x', 66000)));
:ask '["page_view", "click"]', filter => '{"page_path": {"like": "/a\\"}}');
SELECT * FROM analytics.get_trend('00000000-0000-0000-0000-0000000000aa', '[{"event": "*", "measure": "p100(metadata.n)"}]');
SELECT * FROM analytics.compare_conversions(10, 11, 10, 1);
-- NULL is no workspace.
SELECT count(*) FROM analytics.get_trend(NULL);
SELECT analytics.users_who(NULL, '{"did": "click"}') IS NULL AS none, analytics.raw_events_since('00000000-0000-0000-0000-0000000000aa');
