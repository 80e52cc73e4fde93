-- Hand-made events that try to make the rollups wrong. Needs include/oracle.sql. Ids and uuids are derived from names,
-- so that a difference can be looked up: SELECT * FROM hostile.workspace WHERE id = '...'.

CREATE SCHEMA hostile;

-- hostile.id('w:dst') is a uuid.
CREATE FUNCTION hostile.id(name text) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$ SELECT md5(name)::uuid $$;

-- Most days have a partition of their own.
SELECT analytics.create_partitions('2021-01-01', '2021-01-08'), analytics.create_partitions('2021-02-02', '2021-02-05'),
       analytics.create_partitions('2024-06-01', '2024-06-02'), analytics.create_partitions('2024-07-01', '2024-07-06'),
       analytics.create_partitions('2024-08-01', '2024-08-03');

CREATE TABLE hostile.workspace (id uuid PRIMARY KEY, name text NOT NULL);
CREATE SEQUENCE hostile.number;

-- One event. The id follows the number given, so that the order of ids can be chosen.
CREATE FUNCTION hostile.put(workspace text, at timestamptz, event_type text, metadata jsonb DEFAULT '{}',
                            who text DEFAULT 'u', name text DEFAULT NULL, session text DEFAULT NULL,
                            number bigint DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hostile.workspace VALUES (hostile.id(workspace), workspace) ON CONFLICT DO NOTHING;
    INSERT INTO analytics.user_activity
        (id, workspace_id, user_id, event_type, event_name, session_id, metadata, created_at)
    VALUES (lpad(to_hex(coalesce(number, nextval('hostile.number'))), 32, '0')::uuid, hostile.id(workspace),
            hostile.id(who), event_type, name, hostile.id(session), metadata, at);
END
$$;

------------------------------------------------------------------------------------------------------------
-- Days: the instants around each local midnight, and around the clock changes, in zones with whole, half and
-- three-quarter offsets; Lord Howe moves by half an hour, Havana and the Azores change at midnight.

CREATE TABLE hostile.place (name text PRIMARY KEY, days date[]);
INSERT INTO hostile.place VALUES
    ('UTC', '{2024-03-31,2024-12-31}'),
    ('Europe/Stockholm', '{2024-03-31,2024-10-27}'),
    ('America/Los_Angeles', '{2024-03-10,2024-11-03}'),
    ('Asia/Kolkata', '{2024-03-31,2024-12-31}'),
    ('Asia/Kathmandu', '{2024-03-31}'),
    ('Pacific/Kiritimati', '{2024-03-31,2024-12-31}'),
    ('Australia/Lord_Howe', '{2024-04-07,2024-10-06}'),
    ('America/Havana', '{2024-03-10,2024-11-03}'),
    ('Atlantic/Azores', '{2024-03-31,2024-10-27}');
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT hostile.id('w:zone ' || name), name, '-infinity' FROM hostile.place WHERE name <> 'UTC';

SELECT count(hostile.put('w:zone ' || p.name, m.at + n.near, n.event_type, n.metadata, n.who))
FROM hostile.place AS p, unnest(p.days) AS d (day), generate_series(0, 1) AS day_offset,
     LATERAL (SELECT (d.day + day_offset)::timestamp AT TIME ZONE p.name AS at) AS m,
     (VALUES (interval '-1 hour', 'page_view', '{}'::jsonb, 'u1'),
             ('-1 microsecond', 'agent_run', '{"run_id": "r", "status": "running"}', 'u1'),
             ('0', 'agent_run', '{"run_id": "r", "status": "ok", "runtime": 1.5}', 'u1'),
             ('1 microsecond', 'api_call', '{"latency_ms": 20}', 'u2'),
             ('29 minutes 59.999999 seconds', 'page_view', '{}', 'u1'),
             ('59 minutes 59.999999 seconds', 'page_view', '{}', 'u1'),
             ('1 hour', 'error', '{"run_id": "r"}', 'u3'),
             ('2 hours', 'click', '{}', 'u1'),
             ('2 hours 30 minutes', 'click', '{}', 'u1'),
             ('3 hours', 'click', '{}', 'u2'),
             ('12 hours', 'agent_run', '{"status": "failed", "credits": "1e-1"}', 'u2')
     ) AS n (near, event_type, metadata, who);

-- A workspace that moves from UTC to Kiritimati (a short day), on to Los Angeles (a long one) and back to UTC.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES (hostile.id('w:moving'), 'Pacific/Kiritimati', TIMESTAMP '2024-05-03 00:00' AT TIME ZONE 'Pacific/Kiritimati'),
       (hostile.id('w:moving'), 'America/Los_Angeles', TIMESTAMP '2024-05-06 00:00' AT TIME ZONE 'America/Los_Angeles'),
       (hostile.id('w:moving'), 'UTC', TIMESTAMP '2024-05-09 00:00' AT TIME ZONE 'UTC');
SELECT count(hostile.put('w:moving', at, 'agent_run', jsonb_build_object('run_id', 'r' || n / 3, 'status', 'ok', 'runtime', n), 'u' || n % 7))
FROM generate_series(timestamptz '2024-05-01 01:00+00', '2024-05-11 00:00+00', '3 hours') WITH ORDINALITY AS g (at, n);
SELECT count(hostile.put('w:moving', valid_from - n * interval '1 microsecond', 'page_view'))
FROM analytics.workspace_settings, generate_series(0, 1) AS n WHERE workspace_id = hostile.id('w:moving');

------------------------------------------------------------------------------------------------------------
-- Runs: every sequence of up to three events out of ten kinds, one run per sequence; a workspace of its own per
-- first event. Each event says so much that a wrong choice shows in every column.

CREATE TABLE hostile.kind (name text PRIMARY KEY, metadata jsonb NOT NULL);
INSERT INTO hostile.kind VALUES
    ('pending', '{"status": "pending", "agent_id": "11111111-1111-1111-1111-111111111111"}'),
    ('running', '{"status": " Running "}'),
    ('completed', '{"status": "completed", "agent_id": "22222222222222222222222222222222", "tokens": 3}'),
    ('succeeded', '{"status": "Succeeded", "tokens": "7"}'),
    ('failed', '{"status": "failed", "error_type": "timeout", "failure_reason": "too slow"}'),
    ('cancelled', '{"status": "canceled", "agent_id": "not a uuid"}'),
    ('odd', '{"status": "whatever", "agent_id": "{33333333-3333-3333-3333-333333333333}"}'),
    ('broken', '{"status": 7, "error_message": "it broke"}'),
    ('silent', '{}'),
    ('true', '{"success": true, "agent_id": "44444444-4444-4444-4444-444444444444"}');
SELECT count(hostile.put('w:runs ' || split_part(run, '+', 1), timestamptz '2024-06-01 10:00+00' + n * step, 'agent_run',
                         metadata || jsonb_build_object('run_id', run, 'runtime', 10 * length(run) + n, 'credits', length(run) * 0.01 + n,
                                                        'model', 'm' || n),
                         'u' || n))
FROM (SELECT a.name AS run, ARRAY[a.metadata] AS events FROM hostile.kind AS a
      UNION ALL SELECT a.name || '+' || b.name, ARRAY[a.metadata, b.metadata] FROM hostile.kind AS a, hostile.kind AS b
      UNION ALL SELECT a.name || '+' || b.name || '+' || c.name, ARRAY[a.metadata, b.metadata, c.metadata]
                FROM hostile.kind AS a, hostile.kind AS b, hostile.kind AS c) AS runs
CROSS JOIN (VALUES (interval '25 minutes')) AS pace (step),
     unnest(events) WITH ORDINALITY AS e (metadata, n);

-- The same instant: the id decides, whatever the order of arrival. Sequences across hours and midnight.
SELECT hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": 17, "status": "completed", "runtime": 1}', number => 4000001),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": "17", "status": "failed", "runtime": 2}', number => 4000003),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"execution_id": "17", "status": "completed", "runtime": 3}', number => 4000002),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": "17.0", "status": "completed", "runtime": 4}'),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": "", "status": "completed", "runtime": 5}'),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": "", "execution_id": "17", "status": "completed", "runtime": 6}'),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": null, "execution_id": 17, "status": "running", "runtime": 7}', number => 4000009),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": true, "status": "completed", "runtime": 8}'),
       hostile.put('w:ties', '2024-06-02 10:00+00', 'agent_run', '{"run_id": {"a": 1}, "status": "completed", "runtime": 9}'),
       hostile.put('w:ties', '2024-06-02 23:59:59.999999+00', 'agent_run', '{"run_id": "m", "status": "completed", "runtime": 10}'),
       hostile.put('w:ties', '2024-06-03 00:00+00', 'agent_run', '{"run_id": "m", "status": "failed", "runtime": 11}'),
       hostile.put('w:ties', '2024-06-03 00:00+00', 'error', '{"run_id": "m"}'),
       hostile.put('w:ties', '2024-06-02 11:00+00', 'agent_run', '{"run_id": 99, "model": 1, "error_type": 2, "failure_reason": 3, "status": "ok"}'),
       hostile.put('w:ties', '2024-06-02 11:01+00', 'agent_run', '{"run_id": 99, "model": 4.50, "error_type": 5, "failure_reason": 6, "status": "failed"}'),
       hostile.put('w:other', '2024-06-02 10:00+00', 'agent_run', '{"run_id": 17, "status": "failed", "runtime": 12}');

------------------------------------------------------------------------------------------------------------
-- Values: every fact's first key with every value, and every alias with some; each pair of key and value has a
-- bucket of its own (workspace "w:key KEY NUMBER / 8", day NUMBER % 8), with events of each type that reads facts.

CREATE TABLE hostile.key (name text PRIMARY KEY, is_alias boolean NOT NULL);
INSERT INTO hostile.key
SELECT k, false FROM unnest('{agent_id,run_id,status,success,runtime_seconds,duration_ms,credits_consumed,cost,tokens_used,
                              prompt_tokens,model,error_type,failure_reason,rating,feedback,revenue,usage,attempt}'::text[]) AS k
UNION ALL
SELECT k, true FROM unnest('{execution_id,outcome,duration_seconds,runtime,duration,response_time_ms,latency_ms,credits,credits_used,
                             cost_usd,tokens,total_tokens,completion_tokens,input_tokens,output_tokens,model_name,model_id,error_code,
                             exception,error_message,message,user_rating,user_feedback,comment,amount,Status,unknown_key,attempt_number,
                             token_usage,usage_metadata,tokenUsage,totalTokens,promptTokens,candidatesTokenCount,thoughts_token_count,
                             cached_tokens,cachedInputTokens,cache_read_input_tokens,cacheCreationInputTokens,cache_creation,
                             tool_use_prompt_token_count,prompt_tokens_details,currency}'::text[]) AS k;

CREATE TABLE hostile.value (number serial PRIMARY KEY, value jsonb NOT NULL, of_aliases boolean NOT NULL DEFAULT false);
INSERT INTO hostile.value (value, of_aliases) VALUES
    ('3', true), ('"4"', true), ('"failed"', true), ('null', true), ('true', true), ('{}', true), ('-1', true), ('""', true);
INSERT INTO hostile.value (value)
SELECT v::jsonb FROM unnest(ARRAY[
    '0', '-0.0', '1', '1.5', '5', '5.1', '0.9', '1500.0', '1500.5', '1e3', '0.30000000000000004', '1e-9', '4e-10', '5e-10',
    '-4e-10', '-5e-10', '1e-300', '4.9999999995', '5.0000000004', '5.0000000005', '0.9999999994', '0.9999999995', '3.9999999999',
    '1e9', '1000000000.0000000004', '1000000000.0000000005', '1000000000.1', '1000000000000', '1000000000000.4', '1e12',
    '999999999999', '999999999999.9999999994', '999999999999.9999999995', '-999999999999.9999999995', '-1e12',
    '9007199254740992', '9007199254740993', '9007199254740991.5', '1e400', '-1e400', '12345678901234567890.123', '0.0000000000001',
    'false', '[]', '[1]', '{"a": 1}', '{"total_tokens": 7}', '{"tokens_used": {"tokens": 3}}', '{"tokens": "x", "prompt_tokens": 3}',
    '{"prompt_tokens": 3, "completion_tokens": "4"}', '{"input_tokens": "x", "output_tokens": 2}',
    '-0.00000000000000000000000000000000000000000000000000000000000001', '-0.000000000000000000000000000000000000000000000000000000000000001',
    '1234567890123456789012345678901234567890123456789012345678901234', '12345678901234567890123456789012345678901234567890123456789012345',
    '{"prompt_tokens": 9007199254740992, "output_tokens": 1}', '{"prompt_tokens": 9007199254740992, "completion_tokens": 1}',
    '{"prompt_tokens": null, "output_tokens": 5}', '{"prompt_tokens": 1.5, "output_tokens": 5}', '{"tokens_used": null}']) AS v;
INSERT INTO hostile.value (value)
SELECT to_jsonb(v) FROM unnest(ARRAY[
    '12', ' 12 ', E'\t\n12\r\n', E'\u00a012', E'12\u3000', '1e2', '1E+2', '1e-2', '+5', '-5', '- 5', '--5', '+-5', '5.', '.5', '.', '-.', '+', 'e5', '1e',
    '1e+', '1e5.0', '12abc', '1 2', '1,5', '1_000', '0x1F', '0b11', '1f', '007', '0.0', '-0', '-0.0000000001', ' ', 'NaN', 'nan', 'Infinity',
    '-inf', '1e400', '-1e400', '1e-400', '1e20000', '1e-20000', '1e99999999999', '-1e99999999999', '0e99999999999', '1e-99999999999',
    '1e2147483647', '1e2147483648', '1e-2147483648', '0.00000000000000000000000000001e30', '0.3000000000000000000000000000000004',
    '100000000000000000000000000000e-29', '2.5', '1.0e1', '9007199254740992', '9007199254740993', '9007199254740992.0', '1000000000', '1000000000000',
    E'\u0661\u0662', 'true', 'null', 'completed', ' OK ', 'SUCCESS', 'Timed_Out', 'timed out', 'timedout', E'\tFailed\n', 'Cancelled', 'aborted', 'running', 'STARTED',
    E'o\u212a', E'\u00a0ok', 'okay', 'unknown', 'other', '(other)',
    '55555555-5555-5555-5555-555555555555', 'ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB', '{66666666-6666-6666-6666-666666666666}',
    '{77777777-7777-7777-7777-777777777777', '88888888-8888-8888-8888-888888888888}', ' 99999999-9999-9999-9999-999999999999',
    '1234-5678-9abc-def0-1234-5678-9abc-def0', '12345678-9abcdef0-12345678-9abcdef0', '-12345678-9abc-def0-1234-56789abcdef0',
    '12345678-9abc-def0-1234-56789abcdef0-', '12345678--9abc-def0-1234-56789abcdef0', '123-45678-9abc-def0-1234-56789abcdef0',
    '12345678-9abc-def0-1234-56789abcdef', '12345678-9abc-def0-1234-56789abcdef00', '12345678-9abc-def0-1234-56789abcdefg',
    '00000000-0000-0000-0000-000000000000',
    repeat('x', 99), repeat('x', 100), repeat('x', 101), repeat(E'\u00e9', 100), repeat(E'\U0001f600', 101), repeat('a', 99) || E'e\u0301',
    repeat('9', 4000), '-' || repeat('9', 4000), '0.' || repeat('0', 4000) || '1', repeat('0', 4000) || '3', '2.' || repeat('0', 4000),
    repeat('1', 4000) || 'e-3999', repeat(' ', 2000) || '3' || repeat(' ', 2000), '"quoted"', 'a\b', E'tab\there']) AS v;

SELECT count(hostile.put('w:key ' || k.name || ' ' || v.number / 8, timestamptz '2021-01-01 12:00+00' + v.number % 8 * interval '1 day' + e.minute * interval '1 minute',
                         e.event_type, e.metadata || jsonb_build_object(k.name, v.value)))
FROM hostile.key AS k
JOIN hostile.value AS v ON v.of_aliases OR NOT k.is_alias,
     (VALUES (1, 'agent_run', '{"agent_id": "11111111-1111-1111-1111-111111111111"}'::jsonb),
             (2, 'agent_run', '{"agent_id": "11111111-1111-1111-1111-111111111111", "status": "failed", "runtime_seconds": 7, "credits": 0.25, "tokens": 40}'),
             (3, 'error', '{"agent_id": "22222222-2222-2222-2222-222222222222"}'),
             (4, 'api_call', '{"agent_id": "33333333-3333-3333-3333-333333333333"}')) AS e (minute, event_type, metadata)
WHERE e.event_type <> 'api_call' OR k.name ~ '_seconds|_ms|credits|cost|tokens_used|model|duration|runtime';

-- Aliases: two keys of a fact, each with a good value, null, a malformed one or an empty string.
SELECT count(hostile.put('w:alias ' || a || ' ' || i, timestamptz '2021-02-01 12:00+00' + j * interval '1 day', event_type,
                         jsonb_build_object(a, va, b, vb, 'agent_id', '11111111-1111-1111-1111-111111111111')))
FROM (VALUES ('run_id', 'execution_id'), ('status', 'outcome'), ('outcome', 'success'), ('status', 'success'), ('runtime_seconds', 'runtime'), ('duration', 'duration_ms'),
             ('duration_ms', 'latency_ms'), ('credits_consumed', 'credits'), ('credits', 'credits_used'), ('cost', 'cost_usd'),
             ('tokens_used', 'tokens'), ('total_tokens', 'prompt_tokens'), ('prompt_tokens', 'completion_tokens'), ('completion_tokens', 'input_tokens'),
             ('input_tokens', 'output_tokens'), ('model', 'model_name'), ('error_type', 'error_code'), ('rating', 'user_rating'),
             ('feedback', 'comment'), ('revenue', 'amount')) AS pair (a, b),
     unnest(ARRAY['3', 'null', '{}', '""']) WITH ORDINALITY AS x (xa, i), LATERAL (SELECT xa::jsonb AS va) AS x2,
     unnest(ARRAY['4', 'null', '[]', 'true']) WITH ORDINALITY AS y (xb, j), LATERAL (SELECT xb::jsonb AS vb) AS y2,
     unnest('{agent_run,error,api_call}'::text[]) AS event_type;

------------------------------------------------------------------------------------------------------------
-- Numbers: exact decimals, ties of rounding, 0 and the largest values.

SELECT count(hostile.put('w:sums', timestamptz '2024-07-01 00:00+00' + n * interval '97 seconds', 'agent_run',
                         jsonb_build_object('status', 'ok', 'credits', 0.30000000000000004, 'runtime', 0.005 * (n % 3), 'model', 'm' || n % 3)))
FROM generate_series(1, 800) AS n;
SELECT count(hostile.put('w:large', timestamptz '2024-07-02 00:00+00' + n * interval '40 minutes', 'agent_run',
                         jsonb_build_object('status', 'ok', 'credits', 999999999999.999999999, 'cost', '999999999999.999999999',
                                            'runtime', CASE WHEN n % 2 = 0 THEN 0 ELSE 1e9 END, 'tokens', 9007199254740992,
                                            'agent_id', '11111111-1111-1111-1111-111111111111')))
FROM generate_series(1, 33) AS n;
SELECT count(hostile.put('w:large', '2024-07-03 00:00+00'::timestamptz + n * interval '1 hour', 'agent_run', tokens::jsonb))
FROM unnest(ARRAY['{"input_tokens": 9007199254740992, "output_tokens": 0}', '{"input_tokens": 9007199254740992, "output_tokens": 1}',
                  '{"completion_tokens": 9007199254740992, "prompt_tokens": "9007199254740992"}']) WITH ORDINALITY AS t (tokens, n);
-- Means, percentiles and rates that end in exactly half a unit of the last place, or just beside it.
SELECT count(hostile.put('w:half ' || c, timestamptz '2024-07-03 00:00+00' + n * interval '1 minute', 'agent_run',
                         jsonb_build_object('status', CASE WHEN n <= c % 5 THEN 'failed' ELSE 'ok' END, 'runtime', x, 'credits', x, 'tokens', n,
                                            'rating', 1 + n % 5, 'agent_id', '11111111-1111-1111-1111-111111111111')))
FROM (VALUES (1, '{0.005}'::numeric[]), (2, '{0.004,0.006}'), (3, '{0.0049,0.0051}'), (4, '{0.004999999,0.005}'), (5, '{1e9,0.01}'), (6, '{0.01,0.02,0.03}'),
             (7, '{1,0.005,0.01}'), (8, '{1000000000,1000000000,0.005}'), (9, '{333333333.334999999,333333333.335,333333333.335}'),
             (10, '{0.1,0.2,0.3,0.4,0.5,0.6,0.7}'), (11, '{0.0005,0.0005}'), (12, '{0.0015,0.0005}')) AS g (c, xs),
     unnest(xs) WITH ORDINALITY AS u (x, n);

------------------------------------------------------------------------------------------------------------
-- Maps of more than 100 entries with ties and a real key named "other"; names of 100 characters of several bytes.

SELECT count(hostile.put('w:models', '2024-07-04 12:00+00'::timestamptz + n * interval '1 second', 'api_call',
                         jsonb_build_object('model', CASE n WHEN 7 THEN 'other' ELSE repeat(E'\u6a21', n % 3 * 50) || 'm' || n END,
                                            'credits', (n % 40) / 8.0, 'cost', (n % 30) * 0.00001)))
FROM generate_series(1, 260) AS n;
SELECT count(hostile.put('w:models', '2024-07-05 12:00+00'::timestamptz + n * interval '1 second', 'api_call',
                         jsonb_build_object('model', CASE n WHEN 250 THEN 'other' ELSE 'm' || n END, 'credits', 1000 - n)))
FROM generate_series(1, 260) AS n;
SELECT count(hostile.put('w:errors', '2024-07-04 12:00+00'::timestamptz + n * interval '1 second', CASE WHEN n % 3 = 0 THEN 'agent_run' ELSE 'error' END,
                         jsonb_build_object('error_type', CASE WHEN n % 151 = 3 THEN 'other' ELSE 'E' || n % 151 END, 'status', 'failed',
                                            'agent_id', md5('a' || n % 2)::uuid, 'failure_reason', repeat(E'\u7406', n % 120))))
FROM generate_series(1, 400) AS n;
-- Reasons that tell what should not be kept, also across the place where a text is cut.
SELECT count(hostile.put('w:reasons', '2024-07-04 12:00+00'::timestamptz + n * interval '1 second', 'agent_run',
                         jsonb_build_object('status', 'failed', 'agent_id', md5('a' || no % 4)::uuid,
                                            'failure_reason', repeat('x', n * 7 % 90 + 1) || ' ' || reason)))
FROM generate_series(1, 20) AS n,
     unnest(ARRAY['no user ann.b+x@example.co.uk', 'run 3f2b8c1e-90ab-4cde-8f01-23456789abcd', 'card 4111 1111 1111 1111, again',
                  '12345', '123456', 1234.5678::text, 'from 203.0.113.77:443', '1.2.3.4567', 'GET /a?token=abc&x=1 failed', 'why?',
                  'Authorization: Bearer abc.def', 'password="hunter2", retry', 'pwd hunter2', 'basic  x', 'bearer: Basic "y"',
                  'postgres://app:s3cr3t@db.local/x', 'https://example.org/a', 'key sk_live_51Habcdefghijklmnop', 'at 0x7ffdeadbeef0',
                  'commit deadbeef12345678', 'facade-facade facadeff', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig', E'j\u00f6rg@b\u00fccher.example',
                  'a_very_long_function_name_indeed', '+49-151-2345678', '--', 'secret: [x]', 'id=1234567x', '2024-07-04T12:00', '?', '']) WITH ORDINALITY AS r (reason, no);
SELECT count(hostile.put('w:names', '2024-07-04 12:00+00'::timestamptz + n * interval '10 milliseconds', (ARRAY['click', 'page_view', 'custom'])[1 + n % 3], '{}',
                         'u' || n % 17,
                         CASE WHEN n % 1237 = 5 THEN '(other)' WHEN n % 1237 = 6 THEN '' WHEN n % 1237 = 7 THEN NULL
                              WHEN n % 5 = 0 THEN repeat(E'\u540d', 96) || n % 1237 ELSE 'name ' || n % 1237 END))
FROM generate_series(1, 3000) AS n;
-- As many agents as make a choice for top_agents necessary, with ties.
SELECT count(hostile.put('w:agents', '2024-07-04 00:00+00'::timestamptz + n * interval '100 seconds', 'agent_run',
                         jsonb_build_object('agent_id', hostile.id('agent ' || n % 23), 'run_id', n % 311, 'credits', n,
                                            'status', (ARRAY['ok', 'failed', 'cancelled', 'running', 'x'])[1 + n % 5])))
FROM generate_series(1, 700) AS n;

------------------------------------------------------------------------------------------------------------
-- Errors, ratings and feedback on every event type; credits and revenue too; the nil workspace.

SELECT count(hostile.put('w:types', '2024-07-06 12:00+00'::timestamptz + i * interval '1 minute' + n * interval '1 hour', event_type,
                         (ARRAY['{"rating": 4, "agent_id": "11111111-1111-1111-1111-111111111111"}',
                                '{"user_rating": "2", "comment": "so so", "agent_id": "11111111-1111-1111-1111-111111111111"}',
                                '{"feedback": {"stars": 1}, "rating": 6, "agent_id": "22222222-2222-2222-2222-222222222222"}',
                                '{"feedback": "", "comment": "lost", "agent_id": "33333333-3333-3333-3333-333333333333"}',
                                '{"rating": 5, "credits": 0.5, "revenue": -12.5, "model": "m"}',
                                '{"credits": 2, "cost": "x", "cost_usd": 1, "revenue": "much", "run_id": 5, "status": "failed"}'])[1 + (n + i) % 6]::jsonb,
                         'u' || n))
FROM unnest('{page_view,agent_run,login,logout,workspace_switch,feature_use,error,api_call,export,report_view,custom,click,form_submit,session_start,session_end}'::text[])
     WITH ORDINALITY AS t (event_type, i), generate_series(0, 5) AS n;
SELECT hostile.put('w:failed', '2024-07-06 12:00+00', 'agent_run', '{"run_id": "a", "status": "failed", "error_type": "x", "agent_id": "11111111-1111-1111-1111-111111111111"}'),
       hostile.put('w:failed', '2024-07-06 23:00+00', 'error', '{"run_id": "a", "error_type": "y", "agent_id": "22222222-2222-2222-2222-222222222222"}'),
       hostile.put('w:failed', '2024-07-06 23:00+00', 'error', '{"execution_id": "a"}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'agent_run', '{"run_id": "b", "status": "failed", "failure_reason": 12.50}'),
       hostile.put('w:failed', '2024-07-07 12:00+00', 'error', '{"run_id": "b"}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'agent_run', '{"run_id": "c", "status": "ok"}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'error', '{"run_id": "c"}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'error', '{"run_id": {}}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'agent_run', '{"run_id": {}, "status": "failed"}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'error', '{"run_id": "d"}'),
       hostile.put('w:failed', '2024-07-06 12:00+00', 'agent_run', '{"run_id": "d", "status": "failed"}'),
       hostile.put('w:failed', '2024-07-06 13:00+00', 'agent_run', '{"run_id": "d", "status": "failed", "exception": false}'),
       hostile.put('w:failed 2', '2024-07-06 12:00+00', 'error', '{"run_id": "b"}');
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, metadata, created_at)
SELECT hostile.id('nil ' || n), '00000000-0000-0000-0000-000000000000', hostile.id('u' || n % 3), 'login', '{"credits": 1}',
       '2024-07-06 12:00+00'::timestamptz + n * interval '20 minutes'
FROM generate_series(1, 9) AS n;

------------------------------------------------------------------------------------------------------------
-- Prices of the four specificities that change within the day, in one currency and in two.

INSERT INTO analytics.token_prices (workspace_id, model, input_price, output_price, cache_read_price, cache_write_price, currency, valid_from)
SELECT hostile.id('w:random ' || w), CASE WHEN m > 0 THEN 'm' || m ELSE '' END, 2.5 + m, 10.000000001, CASE WHEN m % 2 = 0 THEN 0.3 END,
       CASE WHEN m % 3 = 0 THEN 3.75 END, 'USD', CASE WHEN m % 5 = 0 THEN timestamptz '2024-08-02 06:00+00' ELSE '-infinity' END
FROM generate_series(0, 1) AS w, generate_series(w, 90) AS m;
INSERT INTO analytics.credit_prices (workspace_id, model, price, currency, valid_from)
SELECT coalesce(hostile.id(p.workspace), '00000000-0000-0000-0000-000000000000'), p.model, p.price, p.currency, p.valid_from::timestamptz
FROM (VALUES ('w:prices', 'a', 0.125, 'USD', '2024-07-08 06:00+00'), ('w:prices', 'a', 0.000000333, 'USD', '2024-07-08 12:00+00'),
             ('w:prices', '', 3, 'USD', '2024-07-08 08:00+00'), ('w:prices', '', 0, 'USD', '2024-07-08 20:00+00'),
             (NULL, 'b', 0.05, 'USD', '2024-07-08 02:00+00'), (NULL, 'a', 0.07, 'USD', '2024-07-08 03:00+00'), (NULL, 'unknown', 0.11, 'USD', '2024-07-08 04:00+00'),
             (NULL, '', 0.015, 'USD', '2024-07-08 01:00+00'),
             ('w:mixed', 'a', 0.5, 'EUR', '2024-07-08 00:00+00'), ('w:mixed', 'b', 0.6, 'USD', '2024-07-08 00:00+00')
     ) AS p (workspace, model, price, currency, valid_from);
SELECT count(hostile.put(workspace, '2024-07-07 22:00+00'::timestamptz + n * interval '1 hour' - (n % 2) * interval '1 microsecond', event_type,
                         jsonb_strip_nulls(jsonb_build_object('model', model, 'credits', n * 0.37, 'status', (ARRAY['ok', 'running', 'x'])[1 + n % 3], 'run_id', n % 4,
                                                              'cost_usd', CASE WHEN n % 11 = 0 THEN 0.00005 END,
                                                              'agent_id', hostile.id('agent ' || n % 3)))))
FROM unnest('{w:prices,w:mixed,w:plain}'::text[]) AS workspace, unnest(ARRAY['a', 'b', 'c', NULL]) AS model,
     unnest('{agent_run,api_call}'::text[]) AS event_type, generate_series(0, 30) AS n;
-- EUR alone: no mixture; then a cost in USD of a superseded event only, which is none.
SELECT hostile.put('w:mixed', '2024-07-10 10:00+00', 'agent_run', '{"run_id": 1, "model": "a", "credits": 3, "status": "running", "cost_usd": 1}'),
       hostile.put('w:mixed', '2024-07-10 11:00+00', 'agent_run', '{"run_id": 1, "model": "a", "credits": 3, "status": "ok"}'),
       hostile.put('w:mixed', '2024-07-10 11:00+00', 'page_view', '{"model": "b"}'),
       hostile.put('w:mixed', '2024-07-10 11:00+00', 'page_view', '{"model": "a", "credits": 0}');

------------------------------------------------------------------------------------------------------------
-- Sessions: with and without ids, gaps of exactly 30 minutes, of a microsecond less, through midnight; GA4's rule.

SELECT count(hostile.put('w:sessions', '2024-07-11 00:00+00'::timestamptz + at::interval, event_type, '{}', who, NULL, session))
FROM (VALUES ('a', '0:00', 'page_view', NULL), ('a', '0:30', 'page_view', NULL), ('a', '0:59:59.999999', 'page_view', NULL), ('a', '1:29:59.999998', 'click', NULL),
             ('a', '1:59:59.999998', 'click', NULL), ('a', '23:45', 'click', NULL), ('a', '24:05', 'click', NULL),
             ('b', '1:00', 'session_start', NULL), ('b', '1:00:05', 'session_end', NULL), ('b', '5:00', 'session_start', NULL), ('b', '5:00:10', 'page_view', NULL),
             ('b', '5:00:10', 'session_end', NULL), ('b', '7:00', 'page_view', NULL), ('b', '7:00:10.000001', 'login', NULL),
             ('c', '1:00', 'page_view', 's1'), ('c', '1:10', 'page_view', 's2'), ('c', '1:20', 'page_view', 's1'), ('c', '20:00', 'page_view', 's1'), ('c', '1:15', 'page_view', NULL),
             ('c', '1:44:59', 'page_view', NULL), ('d', '1:00', 'page_view', 's1'), ('d', '23:59:59.999999', 'click', 's1'), ('d', '24:00', 'page_view', 's1'),
             ('e', '1:00', 'export', NULL), ('f', '1:00', 'agent_run', NULL), ('g', '1:00', 'report_view', NULL), ('h', '1:00', 'feature_use', NULL), ('i', '1:00', 'login', NULL),
             ('j', '1:00', 'page_view', NULL), ('j', '1:00', 'page_view', NULL), ('k', '1:00', 'page_view', NULL), ('k', '1:00:10', 'click', NULL),
             ('l', '1:00', 'page_view', NULL), ('l', '1:00:10.000001', 'click', NULL), ('m', '1:00', 'click', NULL), ('m', '1:00', 'click', NULL), ('m', '1:00', 'click', NULL),
             ('n', '1:00', 'session_start', 's9'), ('n', '2:00', 'session_start', 's9'), ('n', '3:00', 'session_end', 's9')) AS v (who, at, event_type, session);

------------------------------------------------------------------------------------------------------------
-- Random events: runs that meet each other, facts of every key with values of every kind. Called by the test after
-- setseed(); days and workspaces are few, so that buckets hold much.

CREATE FUNCTION hostile.random_metadata(keys text[], odd_values jsonb[]) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    metadata jsonb := '{}';
    statuses CONSTANT text[] := '{ok,completed,Success,failed,timeout,cancelled,running,streaming,odd}';
    usages CONSTANT jsonb[] := ARRAY[
        '{"usage": {"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306, "prompt_tokens_details": {"cached_tokens": 1920}}}',
        '{"usage": {"input_tokens": 36, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 87, "total_tokens": 123}}',
        '{"input_tokens": 86, "output_tokens": 225, "cache_read_input_tokens": 17817, "cache_creation_input_tokens": 248, "cache_creation": {"ephemeral_5m_input_tokens": 248}}',
        '{"usageMetadata": {"promptTokenCount": 90, "candidatesTokenCount": 20, "thoughtsTokenCount": 7, "cachedContentTokenCount": 40, "totalTokenCount": 117}}',
        '{"usage": {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13, "cachedInputTokens": 50}}',
        '{"usage_metadata": {"input_tokens": 350, "output_tokens": 240, "total_tokens": 590, "input_token_details": {"cache_creation": 200, "cache_read": 100}}}',
        '{"promptTokens": 5, "completionTokens": 6}', '{"usage": {"units": 5}}', '{"usage": 12}', '{"tokens": {"input": 1}}']::jsonb[];
BEGIN
    IF random() < 0.8 THEN
        metadata := metadata || jsonb_build_object('agent_id', hostile.id('agent ' || floor(random() * 14)));
    END IF;
    IF random() < 0.8 THEN
        metadata := metadata || jsonb_build_object('status', statuses[1 + floor(random() * 9)::integer]);
    END IF;
    IF random() < 0.7 THEN
        metadata := metadata || jsonb_build_object('run_id', floor(random() * 150));
    END IF;
    IF random() < 0.6 THEN
        metadata := metadata || jsonb_build_object('runtime', round((random() * 100)::numeric, 3), 'model', 'm' || floor(random() * 130));
    END IF;
    IF random() < 0.6 THEN
        metadata := metadata || jsonb_build_object('credits', round((random() * 10)::numeric, 4), 'tokens', floor(random() * 1000));
    END IF;
    IF random() < 0.2 THEN
        metadata := metadata || jsonb_build_object('attempt', 1 + floor(random() * 3));
    END IF;
    IF random() < 0.3 THEN
        metadata := metadata || usages[1 + floor(random() * cardinality(usages))::integer];
    END IF;
    IF random() < 0.2 THEN
        metadata := metadata - 'tokens' - 'credits' - 'model' - 'agent_id' || jsonb_build_object('cost_usd', round((random() * 3)::numeric, 5));
    END IF;
    WHILE random() < 0.4 LOOP
        metadata := metadata || jsonb_build_object(keys[1 + floor(random() * cardinality(keys))::integer],
                                                   odd_values[1 + floor(random() * cardinality(odd_values))::integer]);
    END LOOP;
    RETURN metadata;
END
$$;

CREATE FUNCTION hostile.put_random(events integer, first_day date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    keys CONSTANT text[] := ARRAY(SELECT name FROM hostile.key ORDER BY name COLLATE "C");
    odd_values CONSTANT jsonb[] := ARRAY(SELECT value FROM hostile.value WHERE length(value::text) < 200 ORDER BY number);
    types CONSTANT text[] := '{agent_run,agent_run,agent_run,agent_run,error,api_call,page_view,click,session_start,session_end,feature_use}';
BEGIN
    FOR i IN 1 .. events LOOP
        PERFORM hostile.put('w:random ' || floor(random() * 3),
                            first_day::timestamp AT TIME ZONE 'UTC' + random() * random() * interval '4 days',
                            types[1 + floor(random() * cardinality(types))::integer], hostile.random_metadata(keys, odd_values),
                            'u' || floor(random() * 40),
                            CASE WHEN random() < 0.5 THEN 'name ' || floor(random() * random() * 600) END,
                            CASE WHEN random() < 0.2 THEN 's' || floor(random() * 30) END);
    END LOOP;
END
$$;
