-- Questions about events: answers worked out by hand (vectors.json) or by enumerating all chains
-- (random_funnels.json), through the functions that users call.
\getenv abs_srcdir PG_ABS_SRCDIR
\set vectors `cat $PG_ABS_SRCDIR/data/questions/vectors.json`
\set random `cat $PG_ABS_SRCDIR/data/questions/random_funnels.json`
\set tree `cat $PG_ABS_SRCDIR/data/questions/run_tree.json`
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

-- Plain questions have the same answers from the daily sets: beside the raw events, and without them, when everything else is
-- refused. No answer is another one.
SAVEPOINT aggregated;
CREATE TEMP TABLE again AS SELECT * FROM cases WHERE function IN ('get_trend', 'get_event_retention', 'get_stickiness', 'get_event_lifecycle', 'users_who');
SELECT count(analytics.aggregate_daily_metrics(d.day)) AS aggregated FROM (
    SELECT DISTINCT (e ->> 'at')::timestamptz::date + n AS day FROM again AS c, jsonb_array_elements(c.events) AS e, generate_series(-1, 1) AS n) AS d;
CREATE FUNCTION asked(c cases) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN ask(c) = c.expected THEN 'agrees' ELSE 'differs' END;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RETURN 'needs raw events';
END
$$;
SELECT c.function, asked(c) AS beside, count(*) FROM again AS a JOIN cases AS c USING (number) GROUP BY 1, 2 ORDER BY c.function COLLATE "C", 2;
CREATE TEMP TABLE kept AS SELECT workspace_id, COALESCE((arguments ->> 'as_of')::timestamptz, '2026-01-02')::date AS since FROM again;
DELETE FROM analytics.user_activity AS e USING kept AS k WHERE e.workspace_id = k.workspace_id AND e.created_at < k.since;
INSERT INTO analytics.sealed_days (workspace_id, event_day, events) SELECT workspace_id, since - 1, 1 FROM kept;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.watermark;
INSERT INTO analytics.watermark (marked_until, closed_until) VALUES ('2026-01-02Z', '2026-01-02Z');
SELECT c.function, asked(c) AS without, count(*), string_agg(CASE WHEN asked(c) = 'differs' THEN c.name END, ' ') AS wrong
FROM again AS a JOIN cases AS c USING (number) GROUP BY 1, 2 ORDER BY c.function COLLATE "C", 2;
ROLLBACK TO aggregated;

-- Random events, one day of them with more names than are stored by themselves, two days not aggregated: with an empty filter a
-- question is answered from raw events, without it from the sets as far as they go.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (user_uuid(4545), 'America/New_York', '-infinity');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, created_at)
SELECT user_uuid(4545), user_uuid(1 + hashint4(n) & 63 + (n / 100)), (ARRAY['page_view', 'click', 'feature_use'])[1 + (hashint4(n + 7) & 1023) % 3],
       (ARRAY['a', 'b', 'c', '', NULL])[1 + (hashint4(n * 3) & 1023) % 5], '2025-03-01Z'::timestamptz + (hashint4(n + 99) & 16777215) * interval '0.1 seconds'
FROM generate_series(1, 2000) AS n
UNION ALL
SELECT user_uuid(4545), user_uuid(1 + n % 50), 'click', 'n' || n % 1010, '2025-03-05 12:00Z' FROM generate_series(1, 2020) AS n;
DELETE FROM analytics.user_activity WHERE workspace_id = user_uuid(4545) AND created_at >= '2025-03-09 05:00Z' AND created_at < '2025-03-11 04:00Z';
SELECT count(analytics.aggregate_daily_metrics(day::date, user_uuid(4545))) FROM generate_series('2025-02-27'::timestamp, '2025-03-17', '1 day') AS day;
SELECT count(*) FROM analytics.daily_event_usage WHERE workspace_id = user_uuid(4545) AND '(other)' = ANY (event_names);
CREATE TEMP TABLE plain (question text);
INSERT INTO plain VALUES
    ('get_trend(w, $$["*", "click"]$$, $$daily$$, $$2025-02-25$$, $$2025-03-22$$'),
    ('get_trend(w, $$[{"event": "click:n7", "measure": "users"}, {"event": "click", "measure": "users"}, {"event": "*", "measure": "users"}, {"event": "*"}]$$, $$weekly$$, $$2025-03-03$$, $$2025-03-19$$, compare => true'),
    ('get_trend(w, $${"event": ["click", "page_view"], "measure": "users"}$$, $$total$$, $$2025-03-03$$, $$2025-03-19$$, breakdown => $$event_name$$, breakdown_limit => 3, compare => true'),
    ('get_trend(w, $$"*"$$, $$monthly$$, $$2025-03-03$$, $$2025-03-19$$, breakdown => $$event_type$$'),
    ('get_trend(w, $${"event": "page_view", "measure": "users"}$$, $$daily$$, $$2025-03-03$$, $$2025-03-12$$, segment => $${"did": "click:a", "from": "2025-03-01", "to": "2025-03-09", "on_days": 2}$$'),
    ('get_event_retention(w, $$"click:a"$$, $$["page_view", "click:n9"]$$, $$daily$$, $$2025-03-02$$, $$2025-03-18$$'),
    ('get_event_retention(w, $$"click"$$, NULL, $$weekly$$, $$2025-03-02$$, $$2025-03-12$$, retention => $$recurring$$, as_of => $$2025-03-16 12:00Z$$'),
    ('get_stickiness(w, $$"feature_use"$$, $$daily$$, $$2025-03-02$$, $$2025-03-20$$, segment => $${"first_did": "*", "from": "2025-03-02", "to": "2025-03-04"}$$'),
    ('get_stickiness(w, $$"*"$$, $$weekly$$, $$2025-03-02$$, $$2025-03-20$$, as_of => $$2025-03-14 12:00Z$$'),
    ('get_event_lifecycle(w, $$["feature_use:b", "click"]$$, $$daily$$, $$2025-03-02$$, $$2025-03-20$$, segment => $${"not": {"did": "page_view:c", "to": "2025-03-12"}}$$'),
    ('get_event_lifecycle(w, $$"*"$$, $$weekly$$, $$2025-03-02$$, $$2025-03-20$$');
CREATE FUNCTION differing(question text, OUT "rows" bigint, OUT differ bigint) LANGUAGE plpgsql AS $$
DECLARE
    plain text := 'SELECT a::text FROM analytics.' || replace(question, '(w,', format('(%L,', user_uuid(4545)));
BEGIN
    EXECUTE format('SELECT (SELECT count(*) FROM (%1$s) AS a) AS p), (SELECT count(*) FROM (%1$s) AS a EXCEPT ALL %1$s, filter => %2$L) AS a) AS d)',
                   plain, '{}') INTO "rows", differ;
END
$$;
SELECT (differing(question)).* FROM plain;

-- Comparisons of conversion rates, to 6 decimals.
SELECT count(*) AS comparisons, count(*) FILTER (WHERE to_jsonb(got) - 'x' = want) AS agree
FROM jsonb_array_elements(:'experiments'::jsonb) AS e (e)
CROSS JOIN LATERAL analytics.compare_conversions((e ->> 'control_users')::bigint, (e ->> 'control_conversions')::bigint,
                                                 (e ->> 'variant_users')::bigint, (e ->> 'variant_conversions')::bigint) AS got
CROSS JOIN LATERAL (SELECT jsonb_object_agg(k, round((e ->> k)::numeric, 6)) FROM jsonb_object_keys(to_jsonb(got)) AS k) AS w (want);


-- A run and its descendants.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT user_uuid(4242), user_uuid(1), e ->> 'event_type', e -> 'metadata', (e ->> 'at')::timestamptz FROM jsonb_array_elements(:'tree'::jsonb -> 'events') AS e;
SELECT r.key AS run, jsonb_agg(jsonb_build_array(t.depth, t.run, t.parent_run_id, t.status, t.cost, t.total_cost, t.tokens, t.total_tokens, t.descendants) ORDER BY t.ordinality) = r.value AS agrees
FROM jsonb_each(:'tree'::jsonb -> 'expected') AS r
CROSS JOIN LATERAL analytics.get_run_tree(user_uuid(4242), r.key, '2025-03-03', '2025-03-03') WITH ORDINALITY AS t
GROUP BY r.key, r.value ORDER BY r.key;
-- What the end lacks comes from an update, the parent too; attempts are paid one by one.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT user_uuid(4244), user_uuid(1), 'agent_run', e, timestamptz '2025-03-03 10:00+00' + n * interval '1 minute'
FROM unnest(ARRAY['{"run_id": "p", "agent_id": "planner", "status": "running", "model": "large", "tokens": 300, "runtime": 7}',
                  '{"run_id": "p", "status": "completed"}', '{"run_id": "p", "status": "running", "tokens": 9}',
                  '{"run_id": "c", "parent_run_id": "p", "status": "running", "usage": {"input_tokens": 3, "output_tokens": 4}, "cost": 2}',
                  '{"run_id": "c", "status": "completed"}',
                  '{"run_id": "d", "parent_run_id": "c", "status": "failed", "attempt": 1, "tokens": 10, "cost": 1}',
                  '{"run_id": "d", "parent_run_id": "c", "status": "completed", "attempt": 2, "tokens": 20}']::jsonb[]) WITH ORDINALITY AS e (e, n);
SELECT depth, run, parent_run_id AS parent, agent_id IS NOT NULL AS has_agent, model, runtime_seconds, tokens, total_tokens, cost, total_cost
FROM analytics.get_run_tree(user_uuid(4244), 'p', '2025-03-03', '2025-03-03');

-- What states no cost is priced as in the rollups: credits, tokens by kind, attempts one by one; and not where a price is missing.
INSERT INTO analytics.credit_prices (workspace_id, price, currency) VALUES (user_uuid(4245), 0.5, 'EUR');
INSERT INTO analytics.token_prices (workspace_id, model, input_price, output_price, cache_read_price, cache_write_price, currency)
SELECT user_uuid(w), 'large', 2, 8, 0.5, 4, 'EUR' FROM generate_series(4245, 4246) AS w;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT user_uuid(e.w), user_uuid(1), 'agent_run', e.metadata::jsonb, timestamptz '2025-03-03 10:00+00' + e.n * interval '1 minute'
FROM (VALUES
    (4245, 1, '{"run_id": "a", "agent_id": "planner", "status": "completed", "credits": 3}'),
    (4245, 2, '{"run_id": "b", "parent_run_id": "a", "model": "large", "usage": {"input_tokens": 1000, "output_tokens": 500, "cache_read_input_tokens": 4000}}'),
    (4245, 3, '{"run_id": "b", "status": "completed"}'),
    (4245, 4, '{"run_id": "c", "parent_run_id": "a", "model": "large", "status": "failed", "attempt": 1, "usage": {"prompt_tokens": 1000000, "completion_tokens": 0}}'),
    (4245, 5, '{"run_id": "c", "status": "completed", "attempt": 2, "usage": {"prompt_tokens": 0, "completion_tokens": 1000000}}'),
    (4245, 6, '{"run_id": "d", "parent_run_id": "a", "status": "completed"}'),
    (4246, 1, '{"run_id": "e", "status": "completed"}'),
    (4246, 2, '{"run_id": "f", "parent_run_id": "e", "status": "completed", "model": "small", "usage": {"input_tokens": 2, "output_tokens": 3}}'),
    (4246, 3, '{"run_id": "g", "status": "completed", "cost_usd": 2}'),
    (4246, 4, '{"run_id": "h", "parent_run_id": "g", "status": "completed", "credits": 1}'),
    (4246, 5, '{"run_id": "i", "status": "completed", "cost_usd": 2}'),
    (4246, 6, '{"run_id": "j", "parent_run_id": "i", "status": "completed", "model": "large", "usage": {"input_tokens": 500000, "output_tokens": 0}}')) AS e (w, n, metadata);
SELECT analytics.aggregate_daily_metrics('2025-03-03', user_uuid(4245));
SELECT depth, run, agent_name, tokens, cost, total_cost, currency, cost_reason
FROM (VALUES (1, 4245, 'a'), (2, 4246, 'e'), (3, 4246, 'g'), (4, 4246, 'i')) AS r (n, w, root)
CROSS JOIN LATERAL analytics.get_run_tree(user_uuid(w), root, '2025-03-03', '2025-03-03') WITH ORDINALITY AS t
ORDER BY r.n, t.ordinality;
SELECT total_cost, currency FROM analytics.daily_metrics WHERE workspace_id = user_uuid(4245) AND metric_date = '2025-03-03';

-- Runs of a day by model are those of daily_metrics: prices, aliases, repeated events, unfinished runs, attempts, and what an
-- earlier event says: the model, in some runs credits and usage.
INSERT INTO analytics.token_prices (workspace_id, input_price, output_price, cache_read_price) VALUES (user_uuid(4343), 1000, 5000, 100);
INSERT INTO analytics.credit_prices (workspace_id, model, price) VALUES (user_uuid(4343), '', 0.5), (user_uuid(4343), 'large', 2);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT user_uuid(4343), user_uuid(1 + n % 7), 'agent_run',
       jsonb_build_object('run_id', n % 150, 'model', CASE WHEN n <= 150 THEN (ARRAY['large', 'small', NULL])[1 + n % 3] END,
                          'status', (ARRAY['ok', 'failed', 'running', 'cancelled', 'odd'])[1 + n % 7 % 5],
                          'credits', CASE WHEN n % 4 < 2 THEN n % 10 END, 'attempt', CASE WHEN n % 11 < 3 THEN 1 + n % 11 END,
                          'usage', CASE WHEN n % 7 < 5 THEN jsonb_build_object('inputTokens', n, 'outputTokens', 10, 'cachedInputTokens', n % 50) END,
                          'duration_ms', CASE WHEN n % 13 > 3 THEN 10 * n END, 'error_type', CASE WHEN n % 5 = 1 THEN 'timeout' END)
       || CASE WHEN n % 4 = 0 THEN jsonb_build_object('cost', n) ELSE '{}' END,
       '2025-03-03 01:00Z'::timestamptz + n * interval '1 minute'
FROM generate_series(1, 400) AS n;
SELECT analytics.aggregate_daily_metrics('2025-03-03', user_uuid(4343));
SELECT m.total_runs = sum(r.runs) AS runs, m.successful_runs = sum(r.successful_runs) AS successful, m.failed_runs = sum(r.failed_runs) AS failed,
       m.total_credits_consumed = sum(r.credits) AS credits, m.total_cost = sum(r.cost) AS cost,
       m.credits_by_model = jsonb_object_agg(r.breakdown_value, r.credits) AS by_model,
       m.cost_by_model = jsonb_object_agg(r.breakdown_value, r.cost) AS cost_by_model, m.total_tokens_used = sum(r.tokens) AS tokens,
       m.tokens_by_model = jsonb_object_agg(r.breakdown_value, r.tokens) AS tokens_by_model, bool_and(r.cost_reason IS NULL) AS known
FROM analytics.daily_metrics AS m, analytics.get_run_metrics(user_uuid(4343), start_date => '2025-03-03', end_date => '2025-03-03') AS r
WHERE m.workspace_id = user_uuid(4343)
GROUP BY m.total_runs, m.successful_runs, m.failed_runs, m.total_credits_consumed, m.total_cost, m.credits_by_model, m.cost_by_model,
         m.total_tokens_used, m.tokens_by_model;
SELECT r.runs, r.success_rate, r.errors_by_type, r.currency, round(m.avg_runtime_seconds, 2) = r.avg_runtime_seconds AS avg_runtime, r.unique_users
FROM analytics.get_run_metrics(user_uuid(4343), NULL, start_date => '2025-03-03', end_date => '2025-03-03') AS r, analytics.daily_metrics AS m
WHERE m.workspace_id = user_uuid(4343);

-- A user's timeline, page by page, in a zone whose midnight is not UTC's: the sessions of a day are those of daily_metrics, and pages
-- leave out nothing. An event at the same instant as the last of a page comes with it.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (user_uuid(4646), 'Asia/Tokyo', '-infinity');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, session_id, created_at)
SELECT user_uuid(4646), user_uuid(1 + n % 2), 'click', CASE WHEN n % 5 = 0 THEN user_uuid(n % 3) END, '2025-03-03 12:00Z'::timestamptz + n / 3 * interval '11 minutes' * (1 + n / 40 % 3)
FROM generate_series(1, 300) AS n;
SELECT analytics.aggregate_daily_metrics(day::date, user_uuid(4646)) FROM generate_series('2025-03-03'::timestamp, '2025-03-08', '1 day') AS day \g /dev/null
WITH RECURSIVE pages (page, oldest) AS (
    SELECT NULL::jsonb, timestamptz 'infinity'
    UNION ALL
    SELECT t.page, t.oldest FROM pages AS p, LATERAL (
        SELECT jsonb_agg(e) AS page, min(e.created_at) AS oldest FROM analytics.get_user_timeline(user_uuid(4646), user_uuid(1), p.oldest, 7) AS e) AS t
    WHERE t.oldest IS NOT NULL
), shown AS (
    SELECT e.* FROM pages, jsonb_to_recordset(page) AS e (id uuid, created_at timestamptz, session_number bigint, is_session_start boolean, seconds_since_previous numeric)
)
SELECT count(*) AS events, count(DISTINCT id) AS different, count(*) FILTER (WHERE is_session_start) AS starts,
       (SELECT sum(sessions) FROM (SELECT max(session_number) AS sessions FROM shown GROUP BY (created_at AT TIME ZONE 'Asia/Tokyo')::date) AS d) AS numbers,
       (SELECT sum(total_sessions) FROM analytics.daily_metrics WHERE workspace_id = user_uuid(4646)) -
       (SELECT count(*) FILTER (WHERE is_session_start) FROM analytics.get_user_timeline(user_uuid(4646), user_uuid(2), max_events => 1000)) AS sessions,
       bool_and(is_session_start = (seconds_since_previous IS NULL)) AS consistent
FROM shown;
SELECT t.created_at, t.session_number, t.is_session_start, t.seconds_since_previous FROM analytics.get_user_timeline(user_uuid(4646), user_uuid(1), '2025-03-03 14:00Z', 4) AS t
ORDER BY t.created_at DESC, t.session_number, t.seconds_since_previous;
SELECT count(*) FROM analytics.get_user_timeline(user_uuid(4646), user_uuid(77));
SAVEPOINT refused;
SELECT count(*) FROM analytics.get_user_timeline(user_uuid(4646), user_uuid(1), max_events => 1001);
ROLLBACK TO refused;

-- With a tenth of the memory that it needs a funnel is answered in passes, to the same numbers.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT user_uuid(4444), user_uuid(n % 1000), (ARRAY['page_view', 'click'])[1 + n / 7 % 2], '2025-03-03'::timestamptz + n * interval '1 second'
FROM generate_series(1, 60000) AS n;
CREATE TEMP TABLE whole AS SELECT f.* FROM analytics.get_funnel(user_uuid(4444), '["page_view", "click", "page_view"]', '2025-03-03', '2025-03-03') AS f;
INSERT INTO analytics.settings VALUES ('analysis_memory_mb', '1');
SELECT count(*) AS differ FROM (TABLE whole EXCEPT SELECT f.* FROM analytics.get_funnel(user_uuid(4444), '["page_view", "click", "page_view"]', '2025-03-03', '2025-03-03') AS f) AS d;
SAVEPOINT refused;
SELECT count(*) FROM analytics.get_trend(user_uuid(4444), '"*"', 'daily', '2025-03-03', '2025-03-03', breakdown => 'page_path');
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

-- Nobody is gone before the period ends.
SELECT l.period_start, l.dormant_users IS NULL AS unknown, l.is_final
FROM analytics.get_event_lifecycle('00000000-0000-0000-0000-0000000000aa', '"*"', 'weekly', '2025-03-03', '2025-03-10', as_of => '2025-03-12 12:00+00') AS l ORDER BY 1;
SELECT analytics.users_who(NULL, '{"did": "click"}') IS NULL AS none, analytics.raw_events_since('00000000-0000-0000-0000-0000000000aa');
