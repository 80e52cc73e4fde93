-- An independent calculation of the rollups in plain SQL: slow, simple, written from doc/metrics.md (whose rules
-- are quoted by number) and not from the code. Loads into the schema "oracle" of the test database:
--   SELECT oracle.load();               interprets every event of analytics.user_activity
--   SELECT * FROM oracle.differences;   rows that only one side has (none), for all buckets of all rollups
-- Everything is computed from oracle.event; nothing here calls the extension but for the values of settings.

CREATE SCHEMA oracle;
-- PostgreSQL's own uuid v5, for agents that are named by text.
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA oracle;

-- The two tables with a history. A price without workspace or model is for all.
CREATE VIEW oracle.zone AS
SELECT workspace_id, time_zone, valid_from FROM analytics.workspace_settings;
CREATE VIEW oracle.price AS
SELECT nullif(workspace_id, '00000000-0000-0000-0000-000000000000') AS workspace_id, nullif(model, '') AS model,
       price, currency, valid_from
FROM analytics.credit_prices;
CREATE VIEW oracle.token_price AS
SELECT nullif(workspace_id, '00000000-0000-0000-0000-000000000000') AS workspace_id, nullif(model, '') AS model,
       input_price, output_price, cache_read_price, cache_write_price, currency, valid_from
FROM analytics.token_prices;

-- Rule 27.
CREATE FUNCTION oracle.day(workspace uuid, at timestamptz) RETURNS date
LANGUAGE sql STABLE AS $$
    SELECT (at AT TIME ZONE coalesce((SELECT z.time_zone FROM oracle.zone AS z
                                      WHERE z.workspace_id = workspace AND z.valid_from <= at
                                      ORDER BY z.valid_from DESC LIMIT 1), 'UTC'))::date
$$;

-- Rule 14: workspace and model, workspace, model, neither; then the latest.
CREATE FUNCTION oracle.price_at(workspace uuid, of_model text, at timestamptz, OUT price numeric, OUT currency text)
LANGUAGE sql STABLE AS $$
    SELECT p.price, p.currency FROM oracle.price AS p
    WHERE (p.workspace_id IS NULL OR p.workspace_id = workspace)
      AND (p.model IS NULL OR p.model = of_model)
      AND p.valid_from <= at
    ORDER BY p.workspace_id IS NULL, p.model IS NULL, p.valid_from DESC
    LIMIT 1
$$;

-- The same, of four kinds of tokens: input, output, read from and written to a cache.
CREATE FUNCTION oracle.token_cost(workspace uuid, of_model text, at timestamptz, usage numeric[], OUT cost numeric, OUT currency text)
LANGUAGE sql STABLE AS $$
    SELECT round((usage[1] * p.input_price + usage[2] * p.output_price + usage[3] * coalesce(p.cache_read_price, p.input_price)
                  + usage[4] * coalesce(p.cache_write_price, p.input_price)) * 0.000001, 9), p.currency
    FROM oracle.token_price AS p
    WHERE (p.workspace_id IS NULL OR p.workspace_id = workspace)
      AND (p.model IS NULL OR p.model = of_model)
      AND p.valid_from <= at
    ORDER BY p.workspace_id IS NULL, p.model IS NULL, p.valid_from DESC
    LIMIT 1
$$;

-- Rule 3b.
CREATE TABLE oracle.spelling (name text PRIMARY KEY, key text NOT NULL);
INSERT INTO oracle.spelling
SELECT name, names[1] FROM (VALUES
    ('{total_tokens,totalTokens,totalTokenCount,total_token_count}'::text[]),
    ('{prompt_tokens,promptTokens,promptTokenCount,prompt_token_count}'),
    ('{completion_tokens,completionTokens,candidatesTokenCount,candidates_token_count}'),
    ('{input_tokens,inputTokens}'), ('{output_tokens,outputTokens}'),
    ('{cache_read_input_tokens,cacheReadInputTokens}'),
    ('{cache_creation_input_tokens,cacheCreationInputTokens,cacheWriteInputTokens}'),
    ('{cached_tokens,cachedTokens,cachedInputTokens,cached_input_tokens,cachedContentTokenCount,cached_content_token_count,cache_read,cacheReadTokens,cache_read_tokens}'),
    ('{cache_write_tokens,cacheWriteTokens,cache_creation}'),
    ('{tool_use_prompt_token_count,toolUsePromptTokenCount}'), ('{thoughts_token_count,thoughtsTokenCount}'),
    ('{input_tokens_details,prompt_tokens_details,input_token_details,inputTokenDetails}'),
    ('{usage,totalUsage}'), ('{token_usage,tokenUsage}'), ('{usage_metadata,usageMetadata}')) AS v (names), unnest(names) AS name;

CREATE FUNCTION oracle.canonical(metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
DECLARE
    names text[];
    found jsonb;
BEGIN
    SELECT array_agg(e.key), jsonb_object_agg(s.key, e.value ORDER BY length(e.key))
    INTO names, found
    FROM jsonb_each(metadata) AS e JOIN oracle.spelling AS s ON s.name = e.key
    WHERE jsonb_typeof(e.value) <> 'null';
    RETURN CASE WHEN names IS NULL THEN metadata ELSE metadata - names || found END;
END
$$;

-- The first key with a value other than null, whatever the value.
CREATE FUNCTION oracle.pick(metadata jsonb, VARIADIC keys text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    key text;
BEGIN
    FOREACH key IN ARRAY keys LOOP
        IF coalesce(jsonb_typeof(metadata -> key), 'null') <> 'null' THEN
            RETURN key;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION oracle.trim(value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT btrim(value, E' \t\n\r\f\v') $$;

-- Rule 1. NULL: not a number. Infinity: too large for numeric, and for every range below.
CREATE FUNCTION oracle.number(value jsonb) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    part text[];
    mantissa numeric;
    exponent numeric;
BEGIN
    IF jsonb_typeof(value) = 'number' THEN
        RETURN value::numeric;
    ELSIF jsonb_typeof(value) IS DISTINCT FROM 'string' THEN
        RETURN NULL;
    END IF;
    part := regexp_match(oracle.trim(value #>> '{}'),
                         '^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?$');
    IF part IS NULL THEN
        RETURN NULL;
    END IF;
    mantissa := part[1];
    exponent := coalesce(part[2], '0');
    -- The longest mantissa that metadata can hold has some 10,000 digits, so these are tiny and huge.
    RETURN CASE WHEN mantissa = 0 THEN 0
                WHEN exponent < -16000 THEN sign(mantissa) * 1e-1000
                WHEN exponent > 16000 THEN sign(mantissa) * 'Infinity'
                ELSE mantissa * ('1e' || exponent)::numeric END;
END
$$;

-- Rule 2: rounded, then compared. NULL: malformed.
CREATE FUNCTION oracle.amount(value jsonb, factor numeric DEFAULT 1) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$ SELECT round(oracle.number(value) * factor, 9) $$;

CREATE FUNCTION oracle.whole(value jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT n FROM oracle.number(value) AS n WHERE n = trunc(n) AND n BETWEEN 0 AND 9007199254740992
$$;

-- Rule 7. NULL: malformed; '': missing.
CREATE FUNCTION oracle.name(value jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'boolean')
                  OR jsonb_typeof(value) = 'number' AND length(value #>> '{}') <= 64 THEN left(value #>> '{}', 100) END
$$;

-- Rule 21: the texts that the events hold, and what redaction leaves of them, worked out by hand; of numbers with six
-- or more digits the sign. A text may stand after a word of x. (Redaction itself is tested by test/unit/redaction.)
CREATE TABLE oracle.redacted (message text PRIMARY KEY, redacted text NOT NULL);
INSERT INTO oracle.redacted VALUES
    (' 99999999-9999-9999-9999-999999999999', ' [uuid]'), ('+49-151-2345678', '+[number]'),
    ('-12345678-9abc-def0-1234-56789abcdef0', '-[uuid]'), ('-1e99999999999', '-[hex]'),
    ('0.00000000000000000000000000001e30', '0.[hex]'), ('00000000-0000-0000-0000-000000000000', '[uuid]'),
    ('0e99999999999', '[hex]'), ('1.2.3.4567', '[number]'), ('100000000000000000000000000000e-29', '[hex]-29'),
    ('123-45678-9abc-def0-1234-56789abcdef0', '[number]-[hex]'), ('1234-5678-9abc-def0-1234-5678-9abc-def0', '[hex]'),
    ('12345678--9abc-def0-1234-56789abcdef0', '[number]--[hex]'), ('12345678-9abc-def0-1234-56789abcdef', '[hex]'),
    ('12345678-9abc-def0-1234-56789abcdef0-', '[uuid]-'), ('12345678-9abc-def0-1234-56789abcdef00', '[uuid]0'),
    ('12345678-9abc-def0-1234-56789abcdefg', '[hex]'), ('12345678-9abcdef0-12345678-9abcdef0', '[hex]'),
    ('1e-2147483648', '1e-[number]'), ('1e-99999999999', '1e-[number]'), ('1e2147483647', '[hex]'), ('1e2147483648', '[hex]'),
    ('1e99999999999', '[hex]'), ('2024-07-04T12:00', '[number]T12:00'), ('55555555-5555-5555-5555-555555555555', '[uuid]'),
    ('88888888-8888-8888-8888-888888888888}', '[uuid]}'), ('ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB', '[uuid]'),
    ('Authorization: Bearer abc.def', 'Authorization: Bearer [secret]'), ('GET /a?token=abc&x=1 failed', 'GET /a?[query] failed'),
    ('at 0x7ffdeadbeef0', 'at [hex]'), ('card 4111 1111 1111 1111, again', 'card [number], again'),
    ('commit deadbeef12345678', 'commit [hex]'), ('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig', '[token]'),
    ('from 203.0.113.77:443', 'from [ip]:443'), ('id=1234567x', 'id=[number]x'), (E'j\u00f6rg@b\u00fccher.example', '[email]'),
    ('key sk_live_51Habcdefghijklmnop', 'key [token]'), ('no user ann.b+x@example.co.uk', 'no user [email]'),
    ('password="hunter2", retry', 'password="[secret]", retry'),
    ('postgres://app:s3cr3t@db.local/x', 'postgres://[secret]@db.local/x'), ('pwd hunter2', 'pwd [secret]'),
    ('run 3f2b8c1e-90ab-4cde-8f01-23456789abcd', 'run [uuid]'), ('secret: [x]', 'secret: [secret]'),
    ('{"output_tokens": 1, "prompt_tokens": 9007199254740992}', '{"output_tokens": 1, "prompt_tokens": [number]}'),
    ('{"prompt_tokens": 9007199254740992, "completion_tokens": 1}', '{"prompt_tokens": [number], "completion_tokens": 1}'),
    (repeat('1', 4000) || 'e-3999', '[hex]'), ('{66666666-6666-6666-6666-666666666666}', '{[uuid]}'), ('{77777777-7777-7777-7777-777777777777', '{[uuid]');

CREATE FUNCTION oracle.redact(message text) RETURNS text
LANGUAGE sql STABLE STRICT AS $$
    SELECT parts[1] || coalesce(r.redacted, CASE WHEN length(translate(parts[2], '-+.', '')) >= 6
                                                 THEN regexp_replace(parts[2], '^([-+]?)[0-9]+([.][0-9]+)?$', '\1[number]')
                                                 ELSE parts[2] END)
    FROM regexp_match(message, '^((?:x+ )?)(.*)$', 's') AS parts LEFT JOIN oracle.redacted AS r ON r.message = parts[2]
$$;

-- Rules 3 to 3c. NULL parts: none is there.
CREATE FUNCTION oracle.parts(m jsonb, OUT parts numeric[], OUT ignored text[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    prompt text := oracle.pick(m, 'prompt_tokens', 'input_tokens');
    completion text := oracle.pick(m, 'completion_tokens', 'output_tokens');
    details jsonb := oracle.canonical(CASE WHEN jsonb_typeof(m -> 'input_tokens_details') = 'object' THEN m -> 'input_tokens_details' ELSE '{}' END);
    writes boolean := oracle.pick(m, 'cache_write_tokens') IS NOT NULL AND jsonb_typeof(m -> 'cache_write_tokens') <> 'object';
    said numeric[];
    cached numeric;
    written numeric;
    input numeric;
BEGIN
    IF coalesce(prompt, completion, oracle.pick(m, 'cache_read_input_tokens', 'cache_creation_input_tokens', 'cached_tokens',
                                                'tool_use_prompt_token_count', 'thoughts_token_count')) IS NULL THEN
        RETURN;
    END IF;
    SELECT array_agg(k) FILTER (WHERE oracle.whole(m -> k) IS NULL) INTO ignored
    FROM unnest(ARRAY[prompt, completion, 'cache_read_input_tokens', 'cache_creation_input_tokens', 'cached_tokens',
                      'tool_use_prompt_token_count', 'thoughts_token_count', CASE WHEN writes THEN 'cache_write_tokens' END]) AS k
    WHERE oracle.pick(m, k) IS NOT NULL;
    IF oracle.pick(m, 'cached_tokens') IS NULL AND oracle.pick(details, 'cached_tokens') IS NOT NULL AND oracle.whole(details -> 'cached_tokens') IS NULL
       OR NOT writes AND oracle.pick(details, 'cache_write_tokens') IS NOT NULL AND oracle.whole(details -> 'cache_write_tokens') IS NULL THEN
        ignored := ignored || 'input_tokens_details'::text;
    END IF;
    IF ignored IS NOT NULL THEN
        RETURN;
    END IF;
    cached := oracle.whole(CASE WHEN oracle.pick(m, 'cached_tokens') IS NOT NULL THEN m ELSE details END -> 'cached_tokens');
    written := oracle.whole(CASE WHEN writes THEN m ELSE details END -> 'cache_write_tokens');
    input := coalesce(oracle.whole(m -> prompt), 0) + coalesce(oracle.whole(m -> 'tool_use_prompt_token_count'), 0);
    IF coalesce(cached, 0) + coalesce(written, 0) <= input THEN
        input := input - coalesce(cached, 0) - coalesce(written, 0);
    END IF;
    parts := ARRAY[input, coalesce(oracle.whole(m -> completion), 0) + coalesce(oracle.whole(m -> 'thoughts_token_count'), 0),
                   coalesce(cached, oracle.whole(m -> 'cache_read_input_tokens'), 0),
                   coalesce(written, oracle.whole(m -> 'cache_creation_input_tokens'), 0)];
    IF parts[1] + parts[2] + parts[3] + parts[4] > 9007199254740992 THEN
        parts := NULL;
        ignored := ARRAY[coalesce(prompt, completion, 'cache_read_input_tokens')];
    END IF;
END
$$;

CREATE FUNCTION oracle.tokens(m jsonb, OUT tokens numeric, OUT usage numeric[], OUT ignored text[])
LANGUAGE plpgsql STABLE AS $$
DECLARE
    key text := oracle.pick(m, 'tokens_used', 'tokens', 'total_tokens');
    is_stated boolean := key IS NOT NULL AND jsonb_typeof(m -> key) <> 'object';
    inner_key text;
    object jsonb;
    read record;
BEGIN
    tokens := CASE WHEN is_stated THEN oracle.whole(m -> key) END;
    IF is_stated AND tokens IS NULL THEN
        ignored := ARRAY[key];
        RETURN;
    END IF;
    read := oracle.parts(m);
    usage := read.parts;
    ignored := read.ignored;
    IF usage IS NULL AND ignored IS NULL THEN
        key := CASE WHEN key IS NULL OR is_stated THEN oracle.pick(m, 'usage', 'token_usage', 'usage_metadata') ELSE key END;
        IF key IS NULL THEN
            RETURN;
        END IF;
        object := oracle.canonical(CASE WHEN jsonb_typeof(m -> key) = 'object' THEN m -> key ELSE '{}' END);
        inner_key := oracle.pick(object, 'tokens_used', 'tokens', 'total_tokens');
        read := oracle.parts(object);
        IF read.ignored IS NOT NULL OR coalesce(CASE WHEN inner_key IS NULL THEN read.parts[1] END, oracle.whole(object -> inner_key)) IS NULL THEN
            ignored := ARRAY[key];
            RETURN;
        END IF;
        usage := read.parts;
        tokens := coalesce(tokens, oracle.whole(object -> inner_key));
    END IF;
    tokens := coalesce(tokens, usage[1] + usage[2] + usage[3] + usage[4]);
END
$$;

CREATE TYPE oracle.facts AS (
    agent_id uuid,
    agent_name text, -- NULL: named by a uuid
    run_id text,
    outcome text, -- successful, failed, cancelled, unfinished, unknown; NULL: not an agent_run
    runtime numeric,
    credits numeric,
    cost numeric,
    cost_key text,
    tokens numeric,
    usage numeric[],
    attempt numeric,
    model text,
    error_type text,
    reason text,
    rating numeric,
    is_feedback boolean,
    revenue numeric,
    ignored text[] -- one element per malformed value
);

CREATE FUNCTION oracle.interpret(event_type text, metadata jsonb, workspace uuid) RETURNS oracle.facts
LANGUAGE plpgsql STABLE AS $$
DECLARE
    fact oracle.facts;
    is_run CONSTANT boolean := event_type = 'agent_run';
    key text;
    word text;
    tokens record;
BEGIN
    metadata := oracle.canonical(metadata);
    -- Rule 4.
    key := oracle.pick(metadata, 'agent_id', 'agentId', 'agent');
    IF jsonb_typeof(metadata -> key) = 'string'
       AND metadata ->> key ~ '^(([0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}|\{([0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}\})$' THEN
        fact.agent_id := metadata ->> key;
    ELSIF jsonb_typeof(metadata -> key) = 'string' AND length(metadata ->> key) BETWEEN 1 AND 100 THEN
        fact.agent_id := oracle.uuid_generate_v5(workspace, 'agent:' || (metadata ->> key));
        fact.agent_name := metadata ->> key;
    ELSIF key IS NOT NULL THEN
        fact.ignored := fact.ignored || key;
    END IF;

    -- Rule 5.
    IF is_run OR event_type = 'error' THEN
        key := oracle.pick(metadata, 'run_id', 'execution_id');
        IF jsonb_typeof(metadata -> key) = 'string' AND metadata ->> key <> ''
           OR jsonb_typeof(metadata -> key) = 'number' AND length(metadata ->> key) <= 64 THEN
            fact.run_id := metadata ->> key;
        ELSIF key IS NOT NULL THEN
            fact.ignored := fact.ignored || key;
        END IF;
    END IF;

    -- Rules 6 and 12.
    IF is_run THEN
        key := oracle.pick(metadata, 'status', 'outcome', 'success');
        word := CASE WHEN key = 'success' AND jsonb_typeof(metadata -> key) = 'boolean'
                         THEN CASE WHEN (metadata -> key)::boolean THEN 'ok' ELSE 'failed' END
                     WHEN key <> 'success' AND jsonb_typeof(metadata -> key) = 'string'
                         THEN lower(oracle.trim(metadata ->> key) COLLATE "C") END;
        fact.outcome :=
            CASE WHEN word IN ('completed', 'success', 'succeeded', 'ok') THEN 'successful'
                 WHEN word IN ('failed', 'failure', 'error', 'timeout', 'timed_out') THEN 'failed'
                 WHEN word IN ('cancelled', 'canceled', 'aborted') THEN 'cancelled'
                 WHEN word IN ('pending', 'queued', 'running', 'started', 'in_progress', 'processing', 'streaming', 'requires_action') THEN 'unfinished' END;
        IF fact.outcome IS NULL THEN
            fact.ignored := fact.ignored || coalesce(key, 'status');
            fact.outcome := CASE WHEN oracle.pick(metadata, 'error_type', 'error_code', 'exception', 'error_message',
                                                  'failure_reason') IS NULL THEN 'unknown' ELSE 'failed' END;
        END IF;
    END IF;

    IF is_run OR event_type = 'api_call' THEN
        key := oracle.pick(metadata, 'runtime_seconds', 'duration_seconds', 'runtime', 'duration',
                           'duration_ms', 'response_time_ms', 'latency_ms');
        fact.runtime := oracle.amount(metadata -> key, CASE WHEN key LIKE '%\_ms' THEN 0.001 ELSE 1 END);
        IF fact.runtime BETWEEN 0 AND 1e9 IS NOT TRUE THEN
            fact.runtime := NULL;
            fact.ignored := fact.ignored || array_remove(ARRAY[key], NULL);
        END IF;
    END IF;

    key := oracle.pick(metadata, 'credits_consumed', 'credits', 'credits_used');
    fact.credits := oracle.amount(metadata -> key);
    IF (fact.credits >= 0 AND fact.credits < 1e12) IS NOT TRUE THEN
        fact.credits := NULL;
        fact.ignored := fact.ignored || array_remove(ARRAY[key], NULL);
    END IF;

    key := oracle.pick(metadata, 'cost', 'cost_usd');
    fact.cost := oracle.amount(metadata -> key);
    fact.cost_key := key;
    IF (fact.cost >= 0 AND fact.cost < 1e12) IS NOT TRUE THEN
        fact.cost := NULL;
        fact.cost_key := NULL;
        fact.ignored := fact.ignored || array_remove(ARRAY[key], NULL);
    END IF;

    IF is_run THEN
        tokens := oracle.tokens(metadata);
        fact.tokens := tokens.tokens;
        fact.usage := tokens.usage;
        fact.ignored := fact.ignored || tokens.ignored;
        key := oracle.pick(metadata, 'attempt', 'attempt_number');
        fact.attempt := oracle.whole(metadata -> key);
        IF key IS NOT NULL AND fact.attempt BETWEEN 1 AND 2147483647 IS NOT TRUE THEN
            fact.ignored := fact.ignored || key;
            fact.attempt := NULL;
        END IF;
        fact.attempt := coalesce(fact.attempt, 1);
    END IF;

    key := oracle.pick(metadata, 'model', 'model_name', 'model_id');
    fact.model := coalesce(nullif(oracle.name(metadata -> key), ''), 'unknown');
    IF key IS NOT NULL AND oracle.name(metadata -> key) IS NULL THEN
        fact.ignored := fact.ignored || key;
    END IF;

    IF is_run OR event_type = 'error' THEN
        key := oracle.pick(metadata, 'error_type', 'error_code', 'exception');
        fact.error_type := coalesce(nullif(oracle.name(metadata -> key), ''), 'unknown');
        IF key IS NOT NULL AND oracle.name(metadata -> key) IS NULL THEN
            fact.ignored := fact.ignored || key;
        END IF;
    END IF;

    IF is_run THEN
        key := oracle.pick(metadata, 'failure_reason');
        fact.reason := left(oracle.redact(nullif(CASE WHEN oracle.name(metadata -> key) IS NOT NULL THEN metadata ->> key END, '')), 100);
        IF key IS NOT NULL AND oracle.name(metadata -> key) IS NULL THEN
            fact.ignored := fact.ignored || key;
        END IF;
    END IF;

    -- Rule 8.
    key := oracle.pick(metadata, 'rating', 'user_rating');
    fact.rating := oracle.amount(metadata -> key);
    IF fact.rating BETWEEN 1 AND 5 IS NOT TRUE THEN
        fact.rating := NULL;
        fact.ignored := fact.ignored || array_remove(ARRAY[key], NULL);
    END IF;
    key := oracle.pick(metadata, 'feedback', 'user_feedback', 'comment');
    fact.is_feedback := fact.rating IS NOT NULL OR (key IS NOT NULL AND metadata -> key <> '""');

    key := oracle.pick(metadata, 'revenue', 'amount');
    fact.revenue := oracle.amount(metadata -> key);
    IF (abs(fact.revenue) < 1e12) IS NOT TRUE THEN
        fact.revenue := NULL;
        fact.ignored := fact.ignored || array_remove(ARRAY[key], NULL);
    ELSIF oracle.pick(metadata, 'currency') IS NOT NULL
          AND (jsonb_typeof(metadata -> 'currency') <> 'string'
               OR upper((metadata ->> 'currency') COLLATE "C") <> analytics.setting('currency')) THEN
        fact.revenue := NULL;
        fact.ignored := fact.ignored || 'currency'::text;
    END IF;
    RETURN fact;
END
$$;

-- Rule 24: the 100 largest and "other", then rounded. Sums to the sum of the values.
CREATE FUNCTION oracle.fold(keys text[], amounts numeric[], places integer DEFAULT 9) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(kept, amount), '{}')
    FROM (SELECT kept, round(sum(amount), places) AS amount
          FROM (SELECT CASE WHEN row_number() OVER (ORDER BY amount DESC, key COLLATE "C") <= 100
                            THEN key ELSE 'other' END AS kept, amount
                FROM unnest(keys, amounts) AS u (key, amount)) AS ranked
          GROUP BY kept) AS folded
$$;

-- total / n, half away from zero, without an intermediate rounding; nothing is negative here.
CREATE FUNCTION oracle.mean(total numeric, n numeric, places integer DEFAULT 2) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT div(2 * total * ('1e' || places)::numeric + n, nullif(2 * n, 0)) * ('1e-' || places)::numeric
$$;

-- Hyndman & Fan 1996, type 7, of a sorted array.
CREATE FUNCTION oracle.quantile(sorted numeric[], p numeric, places integer DEFAULT 2) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT round(sorted[i + 1] + (h - i) * (sorted[least(i + 2, cardinality(sorted))] - sorted[i + 1]), places)
    FROM (SELECT h, floor(h)::integer AS i FROM (SELECT (cardinality(sorted) - 1) * p AS h) AS position) AS position
$$;

-- Every event with its facts, its day and its hour.
CREATE TABLE oracle.event AS
SELECT a.id, a.workspace_id, a.user_id, a.event_type, a.event_name, a.session_id, a.created_at,
       NULL::date AS metric_date, NULL::timestamptz AS metric_hour,
       (oracle.interpret(a.event_type, a.metadata, a.workspace_id)).*, NULL::text AS currency
FROM analytics.user_activity AS a LIMIT 0;
CREATE INDEX ON oracle.event (workspace_id, run_id);
CREATE INDEX ON oracle.event (workspace_id, metric_date, agent_id) WHERE agent_name IS NOT NULL;

-- The same event in its day and in its hour (bucket in UTC).
CREATE VIEW oracle.placed AS
SELECT 'day' AS kind, metric_date::timestamp AS bucket, e.* FROM oracle.event AS e
UNION ALL
SELECT 'hour', metric_hour AT TIME ZONE 'UTC', e.* FROM oracle.event AS e;

-- What a run consists of: an unfinished event that says nothing is no part of it. Without a run id each is one of its own.
CREATE VIEW oracle.run_event_view AS
SELECT kind, bucket, workspace_id, coalesce(run_id, 'alone ' || id || created_at) AS run, run_id, id, user_id, created_at, event_name, outcome,
       CASE outcome WHEN 'unfinished' THEN 0 WHEN 'unknown' THEN 1 ELSE 2 END AS rank, attempt,
       agent_id, runtime, credits, cost, currency, tokens, usage, nullif(model, 'unknown') AS model, error_type, reason
FROM oracle.placed
WHERE event_type = 'agent_run'
  AND (outcome <> 'unfinished'
       OR num_nonnulls(agent_id, runtime, credits, cost, tokens, nullif(model, 'unknown')) > 0);
CREATE TABLE oracle.run_event AS TABLE oracle.run_event_view WITH NO DATA;
CREATE INDEX ON oracle.run_event (workspace_id, run);

-- Rules 11 and 11a: deciding events, and what they and those before them say. "reported": the bucket has an error event
-- of the run (rule 19).
CREATE VIEW oracle.run_view AS
SELECT d.kind, d.bucket, d.bucket::date AS metric_date, d.workspace_id, d.run, d.user_id, d.outcome, d.error_type, d.reason,
       coalesce(d.agent_id, (SELECT p.agent_id FROM oracle.run_event AS p
                             WHERE (p.kind, p.bucket, p.workspace_id, p.run) = (d.kind, d.bucket, d.workspace_id, d.run)
                               AND p.agent_id IS NOT NULL AND (p.created_at, p.id) < (d.created_at, d.id)
                             ORDER BY p.created_at DESC, p.id DESC LIMIT 1)) AS run_agent,
       coalesce(d.runtime, (SELECT p.runtime FROM oracle.run_event AS p
                            WHERE (p.kind, p.bucket, p.workspace_id, p.run) = (d.kind, d.bucket, d.workspace_id, d.run)
                              AND p.runtime IS NOT NULL AND (p.created_at, p.id) < (d.created_at, d.id)
                            ORDER BY p.created_at DESC, p.id DESC LIMIT 1)) AS runtime,
       coalesce(d.model, (SELECT p.model FROM oracle.run_event AS p
                          WHERE (p.kind, p.bucket, p.workspace_id, p.run) = (d.kind, d.bucket, d.workspace_id, d.run)
                            AND p.model IS NOT NULL AND (p.created_at, p.id) < (d.created_at, d.id)
                          ORDER BY p.created_at DESC, p.id DESC LIMIT 1)) AS run_model,
       EXISTS (SELECT FROM oracle.placed AS p
               WHERE (p.kind, p.bucket, p.workspace_id, p.run_id, p.event_type)
                   = (d.kind, d.bucket, d.workspace_id, d.run_id, 'error')) AS reported
FROM (SELECT DISTINCT ON (kind, bucket, workspace_id, run) *
      FROM oracle.run_event WHERE outcome <> 'unfinished'
      ORDER BY kind, bucket, workspace_id, run, rank DESC, created_at DESC, id DESC) AS d;

CREATE TABLE oracle.run AS TABLE oracle.run_view WITH NO DATA;

-- Rules 11b and 14: what each attempt at a run consumed, by its own deciding event and those before it.
CREATE VIEW oracle.payment_view AS
WITH given AS MATERIALIZED (
    SELECT r.kind, r.bucket, r.workspace_id, r.run, r.run_agent, d.created_at,
           coalesce((SELECT e.model FROM oracle.run_event AS e
                     WHERE (e.kind, e.bucket, e.workspace_id, e.run, e.attempt) = (d.kind, d.bucket, d.workspace_id, d.run, d.attempt)
                       AND (e.created_at, e.id) <= (d.created_at, d.id) AND e.model IS NOT NULL
                     ORDER BY e.created_at DESC, e.id DESC LIMIT 1), r.run_model, 'unknown') AS model,
           (SELECT e.credits FROM oracle.run_event AS e
            WHERE (e.kind, e.bucket, e.workspace_id, e.run, e.attempt) = (d.kind, d.bucket, d.workspace_id, d.run, d.attempt)
              AND (e.created_at, e.id) <= (d.created_at, d.id) AND e.credits IS NOT NULL
            ORDER BY e.created_at DESC, e.id DESC LIMIT 1) AS credits,
           t.tokens, t.usage, c.cost, c.currency
    FROM oracle.run AS r
    JOIN (SELECT DISTINCT ON (kind, bucket, workspace_id, run, attempt) *
          FROM oracle.run_event
          ORDER BY kind, bucket, workspace_id, run, attempt, rank DESC, created_at DESC, id DESC) AS d
        USING (kind, bucket, workspace_id, run)
    LEFT JOIN LATERAL (SELECT e.tokens, e.usage FROM oracle.run_event AS e
            WHERE (e.kind, e.bucket, e.workspace_id, e.run, e.attempt) = (d.kind, d.bucket, d.workspace_id, d.run, d.attempt)
              AND (e.created_at, e.id) <= (d.created_at, d.id) AND e.tokens IS NOT NULL
            ORDER BY e.created_at DESC, e.id DESC LIMIT 1) AS t ON true
    LEFT JOIN LATERAL (SELECT e.cost, e.currency FROM oracle.run_event AS e
            WHERE (e.kind, e.bucket, e.workspace_id, e.run, e.attempt) = (d.kind, d.bucket, d.workspace_id, d.run, d.attempt)
              AND (e.created_at, e.id) <= (d.created_at, d.id) AND e.cost IS NOT NULL
            ORDER BY e.created_at DESC, e.id DESC LIMIT 1) AS c ON true
)
SELECT g.kind, g.bucket, g.workspace_id, g.run_agent, g.model, g.credits, g.tokens,
       CASE WHEN g.cost IS NOT NULL THEN g.cost WHEN w.by_tokens THEN t.cost ELSE round(g.credits * p.price, 9) END AS cost,
       CASE WHEN g.cost IS NOT NULL THEN g.currency WHEN w.by_tokens THEN t.currency ELSE p.currency END AS currency
FROM given AS g
LEFT JOIN LATERAL (SELECT * FROM oracle.price_at(g.workspace_id, g.model, g.created_at) WHERE g.credits IS NOT NULL) AS p ON true
LEFT JOIN LATERAL (SELECT * FROM oracle.token_cost(g.workspace_id, g.model, g.created_at, g.usage) WHERE g.usage <> '{0,0,0,0}') AS t ON true
CROSS JOIN LATERAL (SELECT t.cost IS NOT NULL AND (p.price IS NULL OR g.credits = 0) AS by_tokens) AS w;
CREATE TABLE oracle.payment AS TABLE oracle.payment_view WITH NO DATA;

-- What money counts: what runs consumed, and all that are no run events.
CREATE VIEW oracle.paid AS
SELECT p.kind, p.bucket, p.workspace_id, p.model, p.credits, p.cost, p.currency, p.tokens,
       CASE WHEN p.cost IS NOT NULL THEN NULL
            WHEN p.credits > 0 THEN 'credits without a price'
            WHEN p.tokens > 0 AND EXISTS (SELECT FROM oracle.token_price AS t
                                          WHERE t.workspace_id IS NULL OR t.workspace_id = p.workspace_id)
                THEN 'tokens without a price' END AS lacks, true AS is_run, p.run_agent
FROM oracle.payment AS p
UNION ALL
SELECT kind, bucket, workspace_id, model, credits, cost, currency, NULL,
       CASE WHEN cost IS NULL AND credits > 0 THEN 'credits without a price' END, false, NULL
FROM oracle.placed WHERE event_type <> 'agent_run';

-- Rules 17 and 18: the client's sessions, those by inactivity, and which of these are parts of which of those.
CREATE VIEW oracle.visit_view AS
WITH marked AS (
    SELECT workspace_id, metric_date, user_id, session_id, event_type, created_at,
           session_id IS NULL AND created_at - lag(created_at) OVER visit
               >= analytics.setting('session_gap_minutes')::integer * interval '1 minute' AS starts
    FROM oracle.event
    WINDOW visit AS (PARTITION BY workspace_id, metric_date, user_id, session_id ORDER BY created_at)
), numbered AS (
    SELECT *, count(*) FILTER (WHERE starts) OVER
                  (PARTITION BY workspace_id, metric_date, user_id, session_id ORDER BY created_at
                   RANGE UNBOUNDED PRECEDING) AS number
    FROM marked
)
SELECT workspace_id, metric_date, user_id, session_id, number,
       min(created_at) AS first, max(created_at) AS last,
       count(*) FILTER (WHERE event_type = 'page_view') AS page_views,
       count(*) FILTER (WHERE event_type NOT IN ('session_start', 'session_end')) AS counted,
       bool_or(event_type IN ('agent_run', 'export', 'report_view', 'feature_use')) AS has_key_event
FROM numbered
GROUP BY workspace_id, metric_date, user_id, session_id, number;

CREATE TABLE oracle.visit AS TABLE oracle.visit_view WITH NO DATA;
CREATE INDEX ON oracle.visit (workspace_id, metric_date, user_id);

CREATE VIEW oracle.session AS
WITH whole AS (
    SELECT v.workspace_id, v.metric_date, v.user_id, v.first, v.last, v.page_views, v.counted, v.has_key_event,
           coalesce(v.session_id, near.session_id) AS session_id,
           CASE WHEN v.session_id IS NULL AND near.session_id IS NULL THEN v.number END AS number
    FROM oracle.visit AS v
    LEFT JOIN LATERAL (
        SELECT s.session_id
        FROM oracle.visit AS s
        WHERE v.session_id IS NULL AND s.session_id IS NOT NULL
          AND (s.workspace_id, s.metric_date, s.user_id) = (v.workspace_id, v.metric_date, v.user_id)
          AND greatest(s.first - v.last, v.first - s.last)
              < analytics.setting('session_gap_minutes')::integer * interval '1 minute'
        ORDER BY greatest(s.first - v.last, v.first - s.last, interval '0'), s.first, s.last,
                 -- Of sessions with the same first and last event.
                 s.has_key_event, least(s.counted - s.page_views, 3), least(s.page_views, 3)
        LIMIT 1) AS near ON true
)
SELECT workspace_id, metric_date, user_id,
       extract(epoch FROM max(last)) - extract(epoch FROM min(first)) AS seconds,
       CASE analytics.setting('bounce_rule')
           WHEN 'single_event' THEN sum(counted) <= 1
           ELSE max(last) - min(first) <= interval '10 seconds' AND NOT bool_or(has_key_event) AND sum(page_views) < 2
       END AS bounced
FROM whole
GROUP BY workspace_id, metric_date, user_id, session_id, number;

-- Rules 19 and 20: what total_errors counts, under the agent it counts for.
CREATE VIEW oracle.failure AS
SELECT workspace_id, metric_date, agent_id, error_type FROM oracle.event WHERE event_type = 'error'
UNION ALL
SELECT workspace_id, metric_date, run_agent, error_type FROM oracle.run
WHERE kind = 'day' AND outcome = 'failed' AND NOT reported;

-- Numbers of runs, runtimes and money of a group of runs.
CREATE VIEW oracle.agent_runs AS
SELECT workspace_id, metric_date, run_agent AS agent_id,
       count(*) AS total_runs,
       count(*) FILTER (WHERE outcome = 'successful') AS successful_runs,
       count(*) FILTER (WHERE outcome = 'failed') AS failed_runs,
       count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled_runs,
       array_agg(runtime ORDER BY runtime) FILTER (WHERE outcome <> 'cancelled' AND runtime IS NOT NULL) AS runtimes,
       sum(runtime) FILTER (WHERE outcome <> 'cancelled') AS runtime_sum,
       count(runtime) FILTER (WHERE outcome <> 'cancelled') AS runtime_count,
       count(DISTINCT user_id) AS users
FROM oracle.run
WHERE kind = 'day'
GROUP BY workspace_id, metric_date, run_agent;

CREATE VIEW oracle.agent_money AS
SELECT workspace_id, bucket::date AS metric_date, run_agent AS agent_id, coalesce(sum(credits), 0) AS credits,
       sum(cost) AS cost, min(lacks) AS lacks, coalesce(sum(tokens), 0) AS tokens
FROM oracle.paid WHERE kind = 'day' AND is_run
GROUP BY workspace_id, bucket, run_agent;

CREATE VIEW oracle.workspace_runs AS
SELECT workspace_id, metric_date,
       count(*) AS total_runs,
       count(*) FILTER (WHERE outcome = 'successful') AS successful_runs,
       count(*) FILTER (WHERE outcome = 'failed') AS failed_runs,
       count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled_runs,
       array_agg(runtime ORDER BY runtime) FILTER (WHERE outcome <> 'cancelled' AND runtime IS NOT NULL) AS runtimes,
       sum(runtime) FILTER (WHERE outcome <> 'cancelled') AS runtime_sum,
       count(runtime) FILTER (WHERE outcome <> 'cancelled') AS runtime_count,
       count(DISTINCT run_agent) AS agents
FROM oracle.run
WHERE kind = 'day'
GROUP BY workspace_id, metric_date;

CREATE VIEW oracle.workspace_sessions AS
SELECT workspace_id, metric_date, count(*) AS sessions, sum(seconds) AS seconds,
       count(*) FILTER (WHERE bounced) AS bounced
FROM oracle.session
GROUP BY workspace_id, metric_date;

-- Rules 14 to 16.
CREATE VIEW oracle.workspace_money_view AS
WITH per_model AS (
    SELECT workspace_id, bucket::date AS metric_date, model, coalesce(sum(credits), 0) AS credits, sum(cost) AS cost,
           coalesce(sum(credits) FILTER (WHERE is_run), 0) AS run_credits, coalesce(sum(tokens), 0) AS tokens
    FROM oracle.paid WHERE kind = 'day' GROUP BY workspace_id, bucket, model
), folded AS (
    SELECT workspace_id, metric_date, sum(credits) AS credits, sum(cost) AS cost, sum(run_credits) AS run_credits, sum(tokens) AS tokens,
           oracle.fold(array_agg(model) FILTER (WHERE tokens <> 0), array_agg(tokens) FILTER (WHERE tokens <> 0), 0)
               AS tokens_by_model,
           oracle.fold(array_agg(model) FILTER (WHERE credits <> 0), array_agg(credits) FILTER (WHERE credits <> 0))
               AS credits_by_model,
           oracle.fold(array_agg(model) FILTER (WHERE cost <> 0), array_agg(cost) FILTER (WHERE cost <> 0), 4)
               AS cost_by_model
    FROM per_model GROUP BY workspace_id, metric_date
), currencies AS (
    SELECT workspace_id, bucket::date AS metric_date,
           count(DISTINCT currency) FILTER (WHERE cost IS NOT NULL) AS currencies,
           min(lacks) AS lacks,
           min(currency) FILTER (WHERE cost IS NOT NULL) AS currency
    FROM oracle.paid WHERE kind = 'day' GROUP BY workspace_id, bucket
)
SELECT workspace_id, metric_date, credits, credits_by_model, run_credits, tokens, tokens_by_model, currencies > 1 AS mixed,
       CASE WHEN currencies = 1 AND lacks IS NULL THEN round(cost, 4) END AS total_cost,
       CASE WHEN currencies = 1 AND lacks IS NULL THEN cost_by_model END AS cost_by_model,
       CASE WHEN currencies = 1 THEN currency END AS currency,
       CASE WHEN currencies > 1 THEN 'several currencies' ELSE lacks END AS cost_reason
FROM folded JOIN currencies USING (workspace_id, metric_date);

CREATE TABLE oracle.workspace_money AS TABLE oracle.workspace_money_view WITH NO DATA;

-- Rule 10, and the note of rule 15.
CREATE VIEW oracle.workspace_ignored AS
SELECT workspace_id, metric_date, oracle.fold(array_agg(key), array_agg(n)) AS ignored_values
FROM (SELECT workspace_id, metric_date, key, count(*)::numeric AS n
      FROM oracle.event, unnest(ignored) AS key GROUP BY workspace_id, metric_date, key
      UNION ALL
      SELECT workspace_id, metric_date, 'currency', 1 FROM oracle.workspace_money WHERE mixed
      UNION ALL
      SELECT r.workspace_id, r.metric_date, 'run_id', count(*)
      FROM oracle.run AS r
      WHERE r.kind = 'day' AND (SELECT count(DISTINCT e.agent_id) FROM oracle.run_event AS e
                                WHERE (e.kind, e.bucket, e.workspace_id, e.run) = (r.kind, r.bucket, r.workspace_id, r.run)) > 1
      GROUP BY r.workspace_id, r.metric_date) AS counted
GROUP BY workspace_id, metric_date;

CREATE VIEW oracle.workspace_errors AS
SELECT workspace_id, metric_date, sum(n) AS errors, oracle.fold(array_agg(error_type), array_agg(n)) AS by_type
FROM (SELECT workspace_id, metric_date, error_type, count(*)::numeric AS n
      FROM oracle.failure GROUP BY workspace_id, metric_date, error_type) AS counted
GROUP BY workspace_id, metric_date;

-- Rule 25.
CREATE VIEW oracle.workspace_agents AS
SELECT workspace_id, metric_date,
       jsonb_agg(jsonb_build_object('agent_id', agent_id, 'runs', total_runs,
                                    'success_rate', oracle.mean(100 * successful_runs, successful_runs + failed_runs),
                                    'credits', credits)
                 || coalesce((SELECT jsonb_build_object('name', max(e.agent_name)) FROM oracle.event AS e
                              WHERE (e.workspace_id, e.metric_date, e.agent_id) = (ranked.workspace_id, ranked.metric_date, ranked.agent_id)
                                AND e.agent_name IS NOT NULL
                              HAVING count(*) > 0), '{}')
                 ORDER BY rank) FILTER (WHERE rank <= 10) AS top_agents
FROM (SELECT *, row_number() OVER (PARTITION BY workspace_id, metric_date
                                   ORDER BY total_runs DESC, agent_id) AS rank
      FROM oracle.agent_runs JOIN oracle.agent_money USING (workspace_id, metric_date, agent_id)) AS ranked
GROUP BY workspace_id, metric_date;

CREATE VIEW oracle.daily_view AS
WITH active AS (
    SELECT workspace_id, metric_date, sum(n) AS events, jsonb_object_agg(event_type, n) AS by_type
    FROM (SELECT workspace_id, metric_date, event_type, count(*) AS n
          FROM oracle.event GROUP BY workspace_id, metric_date, event_type) AS counted
    GROUP BY workspace_id, metric_date
), users AS (
    SELECT workspace_id, metric_date, count(DISTINCT user_id) AS users
    FROM oracle.event GROUP BY workspace_id, metric_date
)
SELECT workspace_id, metric_date,
       a.events::bigint AS total_events,
       a.by_type AS events_by_type,
       u.users AS active_users,
       s.sessions AS total_sessions,
       oracle.mean(s.seconds, s.sessions) AS avg_session_duration_seconds,
       oracle.mean(100 * s.bounced, s.sessions) AS bounce_rate,
       coalesce(r.total_runs, 0) AS total_runs,
       coalesce(r.successful_runs, 0) AS successful_runs,
       coalesce(r.failed_runs, 0) AS failed_runs,
       coalesce(r.cancelled_runs, 0) AS cancelled_runs,
       oracle.mean(100 * r.successful_runs, r.successful_runs + r.failed_runs) AS success_rate,
       oracle.mean(r.runtime_sum, r.runtime_count) AS avg_runtime_seconds,
       oracle.quantile(r.runtimes, 0.5) AS median_runtime_seconds,
       oracle.quantile(r.runtimes, 0.95) AS p95_runtime_seconds,
       oracle.quantile(r.runtimes, 0.99) AS p99_runtime_seconds,
       coalesce(m.credits, 0) AS total_credits_consumed,
       oracle.mean(CASE WHEN r.total_runs > 0 THEN m.run_credits END, r.total_runs) AS avg_credits_per_run,
       coalesce(m.credits_by_model, '{}') AS credits_by_model,
       m.total_cost,
       m.cost_by_model,
       m.currency,
       m.cost_reason,
       coalesce(m.tokens, 0) AS total_tokens_used,
       coalesce(m.tokens_by_model, '{}') AS tokens_by_model,
       coalesce(r.agents, 0) AS unique_agents_run,
       coalesce(t.top_agents, '[]') AS top_agents,
       coalesce(f.errors, 0)::bigint AS total_errors,
       oracle.mean(100 * coalesce(f.errors, 0), a.events) AS error_rate,
       coalesce(f.by_type, '{}') AS errors_by_type,
       coalesce(i.ignored_values, '{}') AS ignored_values,
       oracle.day(workspace_id, now()) > metric_date AS is_final
FROM active AS a
JOIN users AS u USING (workspace_id, metric_date)
JOIN oracle.workspace_sessions AS s USING (workspace_id, metric_date)
LEFT JOIN oracle.workspace_runs AS r USING (workspace_id, metric_date)
LEFT JOIN oracle.workspace_money AS m USING (workspace_id, metric_date)
LEFT JOIN oracle.workspace_agents AS t USING (workspace_id, metric_date)
LEFT JOIN oracle.workspace_errors AS f USING (workspace_id, metric_date)
LEFT JOIN oracle.workspace_ignored AS i USING (workspace_id, metric_date);

-- Rule 23.
CREATE VIEW oracle.hourly_view AS
WITH runs AS (
    SELECT workspace_id, bucket, count(*) AS total,
           count(*) FILTER (WHERE outcome = 'successful') AS successful,
           count(*) FILTER (WHERE outcome = 'failed') AS failed
    FROM oracle.run WHERE kind = 'hour' GROUP BY workspace_id, bucket
), responses AS (
    SELECT workspace_id, bucket, sum(ms) AS total, count(*) AS n, array_agg(ms ORDER BY ms) AS sorted
    FROM (SELECT workspace_id, bucket, runtime * 1000 AS ms FROM oracle.run
          WHERE kind = 'hour' AND runtime IS NOT NULL
          UNION ALL
          SELECT workspace_id, bucket, runtime * 1000 FROM oracle.placed
          WHERE kind = 'hour' AND event_type = 'api_call' AND runtime IS NOT NULL) AS durations
    GROUP BY workspace_id, bucket
), money AS (
    SELECT workspace_id, bucket, sum(credits) AS credits
    FROM oracle.paid WHERE kind = 'hour' GROUP BY workspace_id, bucket
)
SELECT workspace_id,
       e.bucket AT TIME ZONE 'UTC' AS metric_hour,
       e.users AS active_users,
       coalesce(r.total, 0) AS total_runs,
       coalesce(r.successful, 0) AS successful_runs,
       coalesce(r.failed, 0) AS failed_runs,
       coalesce(m.credits, 0) AS total_credits,
       oracle.mean(d.total, d.n, 0)::bigint AS avg_response_time_ms,
       oracle.quantile(d.sorted, 0.95, 0)::bigint AS p95_response_time_ms,
       e.bucket AT TIME ZONE 'UTC' + interval '1 hour' <= now() AS is_final
FROM (SELECT workspace_id, bucket, count(DISTINCT user_id) AS users
      FROM oracle.placed WHERE kind = 'hour' GROUP BY workspace_id, bucket) AS e
LEFT JOIN runs AS r USING (workspace_id, bucket)
LEFT JOIN responses AS d USING (workspace_id, bucket)
LEFT JOIN money AS m USING (workspace_id, bucket);

-- Rules 8, 19, 21 and 22.
CREATE VIEW oracle.agents_view AS
WITH feedback AS (
    SELECT workspace_id, metric_date, agent_id, count(*) AS n, sum(rating) AS rating_sum, count(rating) AS ratings
    FROM oracle.event WHERE is_feedback AND agent_id IS NOT NULL GROUP BY workspace_id, metric_date, agent_id
), errors AS (
    SELECT workspace_id, metric_date, agent_id, oracle.fold(array_agg(error_type), array_agg(n)) AS by_type
    FROM (SELECT workspace_id, metric_date, agent_id, error_type, count(*)::numeric AS n
          FROM oracle.failure WHERE agent_id IS NOT NULL
          GROUP BY workspace_id, metric_date, agent_id, error_type) AS counted
    GROUP BY workspace_id, metric_date, agent_id
), reasons AS (
    SELECT workspace_id, metric_date, run_agent AS agent_id,
           jsonb_agg(jsonb_build_object('reason', reason, 'count', n) ORDER BY rank) AS top
    FROM (SELECT workspace_id, metric_date, run_agent, reason, count(*) AS n,
                 row_number() OVER (PARTITION BY workspace_id, metric_date, run_agent
                                    ORDER BY count(*) DESC, reason COLLATE "C") AS rank
          FROM oracle.run
          WHERE kind = 'day' AND outcome = 'failed' AND reason IS NOT NULL
          GROUP BY workspace_id, metric_date, run_agent, reason) AS ranked
    WHERE rank <= 5 GROUP BY workspace_id, metric_date, run_agent
), present AS (
    SELECT workspace_id, metric_date, agent_id FROM oracle.agent_runs WHERE agent_id IS NOT NULL
    UNION SELECT workspace_id, metric_date, agent_id FROM oracle.event
          WHERE event_type = 'error' AND agent_id IS NOT NULL
    UNION SELECT workspace_id, metric_date, agent_id FROM feedback
)
SELECT workspace_id, agent_id, metric_date,
       coalesce(r.total_runs, 0) AS total_runs,
       coalesce(r.successful_runs, 0) AS successful_runs,
       coalesce(r.failed_runs, 0) AS failed_runs,
       coalesce(r.cancelled_runs, 0) AS cancelled_runs,
       oracle.mean(100 * r.successful_runs, r.successful_runs + r.failed_runs) AS success_rate,
       oracle.mean(r.runtime_sum, r.runtime_count) AS avg_runtime_seconds,
       round(r.runtimes[1], 2) AS min_runtime_seconds,
       round(r.runtimes[r.runtime_count], 2) AS max_runtime_seconds,
       oracle.quantile(r.runtimes, 0.5) AS p50_runtime_seconds,
       oracle.quantile(r.runtimes, 0.75) AS p75_runtime_seconds,
       oracle.quantile(r.runtimes, 0.95) AS p95_runtime_seconds,
       oracle.quantile(r.runtimes, 0.99) AS p99_runtime_seconds,
       coalesce(c.credits, 0) AS total_credits,
       oracle.mean(c.credits, r.total_runs) AS avg_credits_per_run,
       CASE WHEN NOT m.mixed AND c.lacks IS NULL THEN round(c.cost, 4) END AS total_cost,
       CASE WHEN NOT m.mixed AND c.cost IS NOT NULL THEN m.currency END AS currency,
       CASE WHEN m.mixed AND c.cost IS NOT NULL THEN 'several currencies' ELSE c.lacks END AS cost_reason,
       coalesce(c.tokens, 0) AS total_tokens_used,
       oracle.mean(c.tokens, r.total_runs, 0)::bigint AS avg_tokens_per_run,
       coalesce(r.users, 0) AS unique_users,
       oracle.mean(f.rating_sum, f.ratings) AS avg_user_rating,
       coalesce(f.n, 0) AS total_feedback_count,
       coalesce(x.by_type, '{}') AS error_types,
       coalesce(q.top, '[]') AS common_failure_reasons,
       oracle.day(workspace_id, now()) > metric_date AS is_final
FROM present AS p
LEFT JOIN oracle.agent_runs AS r USING (workspace_id, metric_date, agent_id)
LEFT JOIN oracle.agent_money AS c USING (workspace_id, metric_date, agent_id)
LEFT JOIN oracle.workspace_money AS m USING (workspace_id, metric_date)
LEFT JOIN feedback AS f USING (workspace_id, metric_date, agent_id)
LEFT JOIN errors AS x USING (workspace_id, metric_date, agent_id)
LEFT JOIN reasons AS q USING (workspace_id, metric_date, agent_id);

CREATE VIEW oracle.event_counts_view AS
SELECT e.workspace_id, e.metric_date, e.event_type,
       CASE WHEN p.rank <= 1000 THEN e.event_name ELSE '(other)' END AS event_name,
       count(*) AS events, count(DISTINCT e.user_id) AS unique_users
FROM oracle.event AS e
JOIN (SELECT workspace_id, metric_date, event_type, event_name,
             row_number() OVER (PARTITION BY workspace_id, metric_date
                                ORDER BY count(*) DESC, event_type COLLATE "C", event_name COLLATE "C") AS rank
      FROM oracle.event GROUP BY workspace_id, metric_date, event_type, event_name) AS p
    USING (workspace_id, metric_date, event_type, event_name)
GROUP BY 1, 2, 3, 4;

-- From all events there are. For days that have events; a user is new on the day of his first event.
CREATE VIEW oracle.daily_users_view AS
WITH first AS (
    SELECT workspace_id, user_id, oracle.day(workspace_id, min(created_at)) AS first_date
    FROM analytics.user_activity GROUP BY workspace_id, user_id
), active AS (
    SELECT a.workspace_id, a.metric_date,
           count(*) FILTER (WHERE f.first_date = a.metric_date) AS new_users,
           count(*) FILTER (WHERE f.first_date < a.metric_date) AS returning_users
    FROM (SELECT DISTINCT workspace_id, metric_date, user_id FROM oracle.event) AS a
    JOIN first AS f USING (workspace_id, user_id)
    GROUP BY a.workspace_id, a.metric_date
), total AS (
    SELECT workspace_id, first_date AS metric_date,
           (sum(count(*)) OVER (PARTITION BY workspace_id ORDER BY first_date))::bigint AS users
    FROM first GROUP BY workspace_id, first_date
)
SELECT workspace_id, metric_date, new_users, returning_users, total_users
FROM (SELECT workspace_id, metric_date, a.new_users, a.returning_users,
             max(t.users) OVER (PARTITION BY workspace_id ORDER BY metric_date) AS total_users
      FROM active AS a FULL JOIN total AS t USING (workspace_id, metric_date)) AS days
WHERE new_users IS NOT NULL;

CREATE TABLE oracle.daily AS TABLE oracle.daily_view WITH NO DATA;
CREATE TABLE oracle.hourly AS TABLE oracle.hourly_view WITH NO DATA;
CREATE TABLE oracle.agents AS TABLE oracle.agents_view WITH NO DATA;
CREATE TABLE oracle.event_counts AS TABLE oracle.event_counts_view WITH NO DATA;
CREATE TABLE oracle.daily_users AS TABLE oracle.daily_users_view WITH NO DATA;

CREATE FUNCTION oracle.is_chosen(hour timestamptz, every_hours integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT extract(epoch FROM hour) / 3600 % every_hours = 0 $$;

CREATE FUNCTION oracle.load(from_time timestamptz DEFAULT '-infinity', to_time timestamptz DEFAULT 'infinity',
                            every_hours integer DEFAULT 1) RETURNS bigint
LANGUAGE plpgsql
SET enable_nestloop = off
-- What is tried under hostile settings is the extension, not this.
SET max_parallel_workers_per_gather = 0
SET enable_hashagg = on
SET work_mem = '64MB'
SET plan_cache_mode = auto AS $$
DECLARE
    loaded bigint;
BEGIN
    TRUNCATE oracle.event;
    INSERT INTO oracle.event
    SELECT a.id, a.workspace_id, a.user_id, a.event_type, coalesce(a.event_name, ''), a.session_id, a.created_at,
           oracle.day(a.workspace_id, a.created_at),
           date_trunc('hour', a.created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
           f.agent_id, f.agent_name, f.run_id, f.outcome, f.runtime, f.credits,
           -- Rule 14; what runs cost is known when their events are.
           coalesce(f.cost, round(f.credits * p.price, 9)), f.cost_key,
           f.tokens, f.usage, f.attempt, f.model, f.error_type, f.reason, f.rating, f.is_feedback, f.revenue, f.ignored,
           CASE f.cost_key WHEN 'cost' THEN analytics.setting('currency') WHEN 'cost_usd' THEN 'USD' ELSE p.currency END
    FROM analytics.user_activity AS a
    CROSS JOIN oracle.interpret(a.event_type, a.metadata, a.workspace_id) AS f
    LEFT JOIN LATERAL (SELECT * FROM oracle.price_at(a.workspace_id, f.model, a.created_at)
                       WHERE f.cost IS NULL AND f.credits IS NOT NULL AND a.event_type <> 'agent_run') AS p ON true
    WHERE a.created_at >= from_time AND a.created_at < to_time;
    GET DIAGNOSTICS loaded = ROW_COUNT;
    ANALYZE oracle.event;

    TRUNCATE oracle.run_event, oracle.run, oracle.payment, oracle.visit, oracle.workspace_money;
    INSERT INTO oracle.run_event TABLE oracle.run_event_view;
    ANALYZE oracle.run_event;
    INSERT INTO oracle.run TABLE oracle.run_view;
    INSERT INTO oracle.payment TABLE oracle.payment_view;
    INSERT INTO oracle.visit TABLE oracle.visit_view;
    INSERT INTO oracle.workspace_money TABLE oracle.workspace_money_view;
    ANALYZE oracle.run, oracle.visit, oracle.workspace_money;
    TRUNCATE oracle.daily, oracle.hourly, oracle.agents, oracle.event_counts, oracle.daily_users;
    INSERT INTO oracle.daily TABLE oracle.daily_view;
    INSERT INTO oracle.hourly SELECT * FROM oracle.hourly_view WHERE oracle.is_chosen(metric_hour, every_hours);
    INSERT INTO oracle.agents TABLE oracle.agents_view;
    INSERT INTO oracle.event_counts TABLE oracle.event_counts_view;
    INSERT INTO oracle.daily_users TABLE oracle.daily_users_view;
    RETURN loaded;
END
$$;

-- The comparison: what only one side has. Equal: no row.
CREATE VIEW oracle.stored_daily AS
SELECT workspace_id, metric_date, total_events, events_by_type, active_users, total_sessions,
       avg_session_duration_seconds, bounce_rate, total_runs, successful_runs, failed_runs, cancelled_runs,
       success_rate, avg_runtime_seconds, median_runtime_seconds, p95_runtime_seconds, p99_runtime_seconds,
       total_credits_consumed, avg_credits_per_run, credits_by_model, total_cost, cost_by_model, currency,
       cost_reason, total_tokens_used, tokens_by_model, unique_agents_run, top_agents, total_errors, error_rate, errors_by_type, ignored_values, is_final
FROM analytics.daily_metrics;

CREATE VIEW oracle.stored_hourly AS
SELECT workspace_id, metric_hour, active_users, total_runs, successful_runs, failed_runs, total_credits,
       avg_response_time_ms, p95_response_time_ms, is_final
FROM analytics.hourly_metrics;

CREATE VIEW oracle.stored_agents AS
SELECT workspace_id, agent_id, metric_date, total_runs, successful_runs, failed_runs, cancelled_runs, success_rate,
       avg_runtime_seconds, min_runtime_seconds, max_runtime_seconds, p50_runtime_seconds, p75_runtime_seconds,
       p95_runtime_seconds, p99_runtime_seconds, total_credits, avg_credits_per_run, total_cost, currency, cost_reason, total_tokens_used,
       avg_tokens_per_run, unique_users, avg_user_rating, total_feedback_count, error_types, common_failure_reasons,
       is_final
FROM analytics.agent_performance;

CREATE VIEW oracle.stored_event_counts AS
SELECT workspace_id, metric_date, event_type, event_name, events, unique_users FROM analytics.daily_event_counts;

CREATE VIEW oracle.stored_daily_users AS
SELECT workspace_id, metric_date, new_users, returning_users, total_users FROM analytics.daily_metrics;

CREATE VIEW oracle.differences AS
SELECT 'daily_metrics' AS relation, 'oracle' AS only_in, to_jsonb(d) AS row
FROM (SELECT * FROM oracle.daily EXCEPT ALL SELECT * FROM oracle.stored_daily) AS d
UNION ALL
SELECT 'daily_metrics', 'stored', to_jsonb(d)
FROM (SELECT * FROM oracle.stored_daily EXCEPT ALL SELECT * FROM oracle.daily) AS d
UNION ALL
SELECT 'hourly_metrics', 'oracle', to_jsonb(d)
FROM (SELECT * FROM oracle.hourly EXCEPT ALL SELECT * FROM oracle.stored_hourly) AS d
UNION ALL
SELECT 'hourly_metrics', 'stored', to_jsonb(d)
FROM (SELECT * FROM oracle.stored_hourly EXCEPT ALL SELECT * FROM oracle.hourly) AS d
UNION ALL
SELECT 'agent_performance', 'oracle', to_jsonb(d)
FROM (SELECT * FROM oracle.agents EXCEPT ALL SELECT * FROM oracle.stored_agents) AS d
UNION ALL
SELECT 'agent_performance', 'stored', to_jsonb(d)
FROM (SELECT * FROM oracle.stored_agents EXCEPT ALL SELECT * FROM oracle.agents) AS d
UNION ALL
SELECT 'daily_event_counts', 'oracle', to_jsonb(d)
FROM (SELECT * FROM oracle.event_counts EXCEPT ALL SELECT * FROM oracle.stored_event_counts) AS d
UNION ALL
SELECT 'daily_event_counts', 'stored', to_jsonb(d)
FROM (SELECT * FROM oracle.stored_event_counts EXCEPT ALL SELECT * FROM oracle.event_counts) AS d;

CREATE VIEW oracle.user_differences AS
SELECT 'daily_metrics' AS relation, 'oracle' AS only_in, to_jsonb(d) AS row
FROM (SELECT * FROM oracle.daily_users EXCEPT ALL SELECT * FROM oracle.stored_daily_users) AS d
UNION ALL
SELECT 'daily_metrics', 'stored', to_jsonb(d)
FROM (SELECT * FROM oracle.stored_daily_users EXCEPT ALL SELECT * FROM oracle.daily_users) AS d;

-- The same, column by column: for people.
CREATE VIEW oracle.difference_by_column AS
WITH d AS (
    SELECT relation, only_in, jsonb_build_object('workspace_id', row -> 'workspace_id', 'agent_id', row -> 'agent_id',
                                                 'date', row -> 'metric_date', 'hour', row -> 'metric_hour',
                                                 'type', row -> 'event_type', 'name', row -> 'event_name') AS key, row
    FROM oracle.differences
)
SELECT relation, jsonb_strip_nulls(key) AS key, field, o.row -> field AS oracle, s.row -> field AS stored
FROM (SELECT * FROM d WHERE only_in = 'oracle') AS o
FULL JOIN (SELECT * FROM d WHERE only_in = 'stored') AS s USING (relation, key)
CROSS JOIN LATERAL jsonb_object_keys(coalesce(o.row, s.row)) AS field
WHERE o.row -> field IS DISTINCT FROM s.row -> field;

-- Aggregates every day and (every n-th) hour of a range of days that holds an event. Where parallel plans cost nothing
-- every call starts workers several times: days have them, and every fifth hour.
CREATE FUNCTION oracle.aggregate(from_day date DEFAULT '-infinity', to_day date DEFAULT 'infinity',
                                 every_hours integer DEFAULT 1, OUT days bigint, OUT hours bigint)
LANGUAGE plpgsql AS $$
DECLARE
    day date;
    hour timestamptz;
    workers CONSTANT text := current_setting('max_parallel_workers_per_gather');
    is_forced CONSTANT boolean := current_setting('parallel_setup_cost')::float8 = 0;
BEGIN
    days := 0;
    hours := 0;
    FOR day IN SELECT DISTINCT oracle.day(workspace_id, created_at) FROM analytics.user_activity ORDER BY 1 LOOP
        CONTINUE WHEN day NOT BETWEEN from_day AND to_day;
        PERFORM analytics.aggregate_daily_metrics(day);
        days := days + 1;
    END LOOP;
    FOR hour IN SELECT DISTINCT date_trunc('hour', created_at, 'UTC') FROM analytics.user_activity
                WHERE (created_at AT TIME ZONE 'UTC')::date BETWEEN from_day AND to_day ORDER BY 1 LOOP
        CONTINUE WHEN NOT oracle.is_chosen(hour, every_hours);
        PERFORM set_config('max_parallel_workers_per_gather',
                           CASE WHEN is_forced AND NOT oracle.is_chosen(hour, 5 * every_hours) THEN '0' ELSE workers END, true);
        PERFORM analytics.aggregate_hourly_metrics(hour);
        hours := hours + 1;
    END LOOP;
    PERFORM set_config('max_parallel_workers_per_gather', workers, true);
END
$$;

-- What is stored, as one value; to be called under the same settings.
CREATE FUNCTION oracle.digest() RETURNS text
LANGUAGE sql AS $$
    SELECT md5(string_agg(t, E'\n' ORDER BY t COLLATE "C"))
    FROM (SELECT d::text FROM oracle.stored_daily AS d
          UNION ALL SELECT h::text FROM oracle.stored_hourly AS h
          UNION ALL SELECT a::text FROM oracle.stored_agents AS a
          UNION ALL SELECT e::text FROM oracle.stored_event_counts AS e) AS r (t)
$$;

-- How much was compared.
CREATE VIEW oracle.size AS
SELECT (SELECT count(*) FROM oracle.event) AS events,
       (SELECT count(*) FROM oracle.stored_daily) AS days,
       (SELECT count(*) FROM oracle.stored_hourly) AS hours,
       (SELECT count(*) FROM oracle.stored_agents) AS agents,
       (SELECT count(*) FROM oracle.stored_event_counts) AS names,
       (SELECT sum(total_runs) FROM oracle.stored_daily) AS runs,
       (SELECT sum(total_sessions) FROM oracle.stored_daily) AS sessions;
