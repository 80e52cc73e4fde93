-- The rules of doc/metrics.md as small examples with answers worked out by hand. Prints the values that differ: none.
\set QUIET on
\pset format unaligned
\o /dev/null
BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.workspace_settings, analytics.credit_prices, analytics.token_prices;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for

CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(name)::uuid $$;
-- Events of a workspace, all of one day: [time, type, metadata, user, session, name].
CREATE FUNCTION pg_temp.put(workspace text, day date, events jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, metadata, session_id, event_name, created_at)
    SELECT lpad(n::text, 32, '0')::uuid, pg_temp.id(workspace), pg_temp.id(coalesce(e ->> 3, 'u')), e ->> 1, coalesce(e -> 2, '{}'),
           pg_temp.id(e ->> 4), e ->> 5, (day::text || ' ' || (e ->> 0) || '+00')::timestamptz
    FROM jsonb_array_elements(events) WITH ORDINALITY AS u (e, n)
$$;
-- The answers: of daily_metrics, of an agent (a or b), of the hour from 10:00; NULL: no row.
CREATE TABLE pg_temp.answer (workspace text, relation text, day date, answers jsonb);

-- Rule 11: the last terminal event decides; agent from the latest earlier event; credits of the others count nowhere.
SELECT pg_temp.put('run', '2024-03-04', '[
    ["10:00", "agent_run", {"run_id": "r", "status": "pending", "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "credits": 5}],
    ["10:01", "agent_run", {"run_id": "r", "status": "Running ", "credits": 5}, "v"],
    ["10:02", "agent_run", {"run_id": "r", "status": "completed", "credits": 3, "tokens": 100, "model": "m", "duration": "12.5"}, "v"]]');
INSERT INTO answer VALUES
    ('run', 'daily', '2024-03-04', '{"total_events": 3, "events_by_type": {"agent_run": 3}, "active_users": 2, "total_runs": 1, "successful_runs": 1,
        "failed_runs": 0, "cancelled_runs": 0, "success_rate": 100, "avg_runtime_seconds": 12.5, "median_runtime_seconds": 12.5, "p99_runtime_seconds": 12.5,
        "total_credits_consumed": 3, "avg_credits_per_run": 3, "credits_by_model": {"m": 3}, "unique_agents_run": 1, "total_cost": null, "cost_by_model": null,
        "currency": null, "total_errors": 0, "error_rate": 0, "errors_by_type": {}, "ignored_values": {}, "is_final": true,
        "top_agents": [{"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "runs": 1, "success_rate": 100, "credits": 3}]}'),
    ('run', 'agent a', '2024-03-04', '{"total_runs": 1, "total_credits": 3, "total_tokens_used": 100, "avg_tokens_per_run": 100, "unique_users": 1,
        "min_runtime_seconds": 12.5, "max_runtime_seconds": 12.5, "avg_user_rating": null, "total_feedback_count": 0, "error_types": {},
        "common_failure_reasons": [], "success_rate": 100, "total_cost": null}'),
    ('run', 'hourly', '2024-03-04', '{"active_users": 2, "total_runs": 1, "successful_runs": 1, "failed_runs": 0, "total_credits": 3,
        "avg_response_time_ms": 12500, "p95_response_time_ms": 12500, "is_final": true}');

-- A failure that is tried again and succeeds; a success that is followed by "running" only; the greater id at the same instant; unfinished.
SELECT pg_temp.put('retries', '2024-03-04', '[
    ["10:00", "agent_run", {"run_id": "a", "status": "failed", "runtime": 1}],
    ["10:30", "agent_run", {"run_id": "a", "status": "ok", "runtime": 2}],
    ["10:00", "agent_run", {"run_id": "b", "status": "ok", "runtime": 3}],
    ["10:30", "agent_run", {"run_id": "b", "status": "running", "runtime": 4}],
    ["10:00", "agent_run", {"run_id": "c", "status": "ok", "runtime": 5}],
    ["10:00", "agent_run", {"run_id": "c", "status": "failed", "runtime": 6}],
    ["10:00", "agent_run", {"run_id": "d", "status": "queued", "credits": 9}],
    ["10:00", "agent_run", {"run_id": "e", "status": "odd", "runtime": 7}],
    ["10:30", "agent_run", {"run_id": "e", "status": "started", "runtime": 8}],
    ["10:00", "agent_run", {"status": "ok"}], ["10:00", "agent_run", {"status": "ok"}]]');
INSERT INTO answer VALUES
    ('retries', 'daily', '2024-03-04', '{"total_runs": 6, "successful_runs": 4, "failed_runs": 1, "success_rate": 80, "avg_runtime_seconds": 4.5,
        "median_runtime_seconds": 4.5, "total_credits_consumed": 0, "total_errors": 1, "error_rate": 9.09, "errors_by_type": {"unknown": 1},
        "ignored_values": {"status": 1}, "unique_agents_run": 0, "top_agents": []}');
-- Numbers as names: run 17 is one run, whatever the other names are.
SELECT pg_temp.put('numbers', '2024-03-04', '[
    ["10:00", "agent_run", {"run_id": 17, "model": 4, "status": "ok", "credits": 1}],
    ["10:01", "agent_run", {"run_id": "17", "model": 4.50, "error_type": 504, "failure_reason": 1e2, "status": "failed", "credits": 2,
                            "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661"}]]');
INSERT INTO answer VALUES
    ('numbers', 'daily', '2024-03-04', '{"total_runs": 1, "failed_runs": 1, "credits_by_model": {"4.50": 2}, "errors_by_type": {"504": 1}}'),
    ('numbers', 'agent a', '2024-03-04', '{"error_types": {"504": 1}, "common_failure_reasons": [{"reason": "100", "count": 1}]}');
SELECT pg_temp.put('unfinished', '2024-03-04', '[["10:00", "agent_run", {"run_id": "a", "status": "pending", "credits": 5, "runtime": 3}]]');
INSERT INTO answer VALUES
    ('unfinished', 'daily', '2024-03-04', '{"total_events": 1, "total_runs": 0, "success_rate": null, "avg_runtime_seconds": null, "p95_runtime_seconds": null,
        "total_credits_consumed": 0, "avg_credits_per_run": null, "credits_by_model": {}, "error_rate": 0, "total_sessions": 1, "avg_session_duration_seconds": 0,
        "bounce_rate": 100}'),
    ('unfinished', 'hourly', '2024-03-04', '{"total_runs": 0, "total_credits": 0, "avg_response_time_ms": null, "p95_response_time_ms": null}');

-- Hyndman-Fan type 7: 1 2 3 4 -> 2.5, 3.85, 3.97; a cancelled run counts for no runtime and for no rate, but for the response time.
SELECT pg_temp.put('quantiles', '2024-03-04', '[
    ["10:00", "agent_run", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "status": "ok", "runtime_seconds": 1}],
    ["10:01", "agent_run", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "status": "failed", "duration_ms": "2e3"}],
    ["10:02", "agent_run", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "status": "odd", "duration_seconds": " 3 "}],
    ["10:03", "agent_run", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "success": true, "latency_ms": 4000.0}],
    ["10:04", "agent_run", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "status": "aborted", "runtime": 5}]]');
INSERT INTO answer VALUES
    ('quantiles', 'daily', '2024-03-04', '{"total_runs": 5, "successful_runs": 2, "failed_runs": 1, "cancelled_runs": 1, "success_rate": 66.67,
        "avg_runtime_seconds": 2.5, "median_runtime_seconds": 2.5, "p95_runtime_seconds": 3.85, "p99_runtime_seconds": 3.97, "ignored_values": {"status": 1}}'),
    ('quantiles', 'agent a', '2024-03-04', '{"min_runtime_seconds": 1, "max_runtime_seconds": 4, "p50_runtime_seconds": 2.5, "p75_runtime_seconds": 3.25,
        "p95_runtime_seconds": 3.85, "p99_runtime_seconds": 3.97, "error_types": {"unknown": 1}}'),
    ('quantiles', 'hourly', '2024-03-04', '{"avg_response_time_ms": 3000, "p95_response_time_ms": 4800}');
-- 10 20 30.5 ms: mean 20.17, p95 = 20 + 0.9 * 10.5 = 29.45.
SELECT pg_temp.put('response', '2024-03-04', '[
    ["10:00", "api_call", {"latency_ms": 10}], ["10:00", "api_call", {"response_time_ms": 20}], ["10:59:59.999999", "api_call", {"duration_ms": 30.5}],
    ["10:00", "page_view", {"duration_ms": 4000}], ["11:00", "api_call", {"latency_ms": 90}], ["09:59:59.999999", "api_call", {"latency_ms": 90}]]');
INSERT INTO answer VALUES
    ('response', 'hourly', '2024-03-04', '{"avg_response_time_ms": 20, "p95_response_time_ms": 29}'),
    ('response', 'daily', '2024-03-04', '{"total_runs": 0, "avg_runtime_seconds": null, "ignored_values": {}}');

-- Half away from zero: 0.005 -> 0.01; 1/8 of a credit: 0.125 -> 0.13; three times 0.30000000000000004 is 0.9.
SELECT pg_temp.put('rounding', '2024-03-04', '[["10:00", "agent_run", {"status": "ok", "runtime": 0.005, "credits": 0.125}]]');
SELECT pg_temp.put('decimal', '2024-03-04', '[["10:00", "agent_run", {"status": "ok", "credits": 0.30000000000000004}],
    ["10:00", "agent_run", {"status": "ok", "credits_used": "0.30000000000000004"}], ["10:00", "click", {"credits_consumed": 0.30000000000000004, "model": "m"}]]');
INSERT INTO answer VALUES
    ('rounding', 'daily', '2024-03-04', '{"avg_runtime_seconds": 0.01, "median_runtime_seconds": 0.01, "avg_credits_per_run": 0.13, "total_credits_consumed": 0.125}'),
    ('decimal', 'daily', '2024-03-04', '{"total_credits_consumed": 0.9, "avg_credits_per_run": 0.3, "credits_by_model": {"m": 0.3, "unknown": 0.6}}');

-- Malformed values are ignored and counted under the key as it stood; the first key with a value wins.
SELECT pg_temp.put('malformed', '2024-03-04', '[
    ["10:00", "agent_run", {"status": "ok", "runtime_seconds": "NaN", "runtime": 5, "credits": -1, "tokens": 1500.5, "run_id": true, "agent_id": "", "model": {}}],
    ["10:00", "agent_run", {"outcome": 7, "runtime": 1e9, "credits": 1e12, "cost": "", "rating": 6, "amount": "0x1F"}],
    ["10:00", "agent_run", {"status": null, "outcome": "OK", "runtime": 1000000001, "duration": 3, "credits": null, "credits_used": 2}],
    ["10:00", "page_view", {"status": 7, "runtime": "x", "tokens": "x", "run_id": {}, "error_type": {}}]]');
INSERT INTO answer VALUES
    ('malformed', 'daily', '2024-03-04', '{"total_runs": 3, "successful_runs": 2, "failed_runs": 0, "avg_runtime_seconds": 1000000000, "total_credits_consumed": 2,
        "credits_by_model": {"unknown": 2}, "ignored_values": {"runtime_seconds": 1, "runtime": 1, "credits": 2, "tokens": 1, "run_id": 1, "agent_id": 1, "model": 1,
        "outcome": 1, "cost": 1, "rating": 1, "amount": 1}}');

-- Errors: two error events, one of them of the failed run f; the failed run g has none. 3 of 5 events.
SELECT pg_temp.put('errors', '2024-03-04', '[
    ["10:00", "agent_run", {"run_id": "f", "status": "failed", "error_type": "timeout", "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "failure_reason": "slow"}],
    ["10:01", "error", {"run_id": "f", "error_code": 504}],
    ["10:02", "error", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "error_type": ""}],
    ["10:03", "agent_run", {"run_id": "g", "error_type": "timeout", "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "failure_reason": "slow"}],
    ["10:04", "feature_use", {"agent_id": "92eb5ffe-e6ae-2fec-3ad7-1c777531578f"}]]');
INSERT INTO answer VALUES
    ('errors', 'daily', '2024-03-04', '{"total_runs": 2, "failed_runs": 2, "success_rate": 0, "total_errors": 3, "error_rate": 60,
        "errors_by_type": {"504": 1, "timeout": 1, "unknown": 1}, "ignored_values": {"status": 1}, "unique_agents_run": 1}'),
    ('errors', 'agent a', '2024-03-04', '{"failed_runs": 2, "error_types": {"timeout": 1, "unknown": 1}, "common_failure_reasons": [{"reason": "slow", "count": 2}]}'),
    ('errors', 'agent b', '2024-03-04', NULL);

-- Feedback: 5, 4, 4 -> 4.33; a text alone is one; an empty text, and a rating of 6, are none.
SELECT pg_temp.put('feedback', '2024-03-04', '[
    ["10:00", "click", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "rating": 5, "comment": "good"}],
    ["10:01", "click", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "user_rating": "4"}],
    ["10:02", "login", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "rating": 4.0}],
    ["10:03", "click", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "feedback": "", "comment": "lost"}],
    ["10:04", "click", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "rating": 6}],
    ["10:05", "click", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "feedback": false}]]');
INSERT INTO answer VALUES
    ('feedback', 'agent a', '2024-03-04', '{"total_runs": 0, "success_rate": null, "avg_user_rating": 4.33, "total_feedback_count": 4, "total_credits": 0, "avg_tokens_per_run": null}');

-- Sessions: a gap of exactly 30 minutes starts one, a microsecond less does not; ids; midnight. 1799.999999 + 0 + 7200 s.
SELECT pg_temp.put('sessions', '2024-03-04', '[
    ["10:00", "page_view"], ["10:29:59.999999", "page_view"], ["10:59:59.999999", "page_view"],
    ["10:00", "page_view", {}, "v", "s"], ["12:00", "page_view", {}, "v", "s"]]');
-- An event without a session is part of the visit that it touches: the nearest, of two the earlier; 600 s of one visit,
-- 3600 s from 10:00, 60 s from 11:58, 0 s; the last is the gap away from 12:00.
SELECT pg_temp.put('visit', '2024-03-04', '[
    ["10:00", "page_view", {}, "u", "s"], ["10:03", "page_view", {}, "u", "s"], ["10:05", "agent_run", {"run_id": 1, "status": "ok"}],
    ["10:10", "page_view", {}, "u", "s"]]');
SELECT pg_temp.put('visits', '2024-03-04', '[
    ["10:00", "page_view", {}, "u", "s"], ["10:20", "page_view", {}, "u", "s"], ["10:40", "api_call"], ["11:00", "api_call"],
    ["11:59", "session_start"], ["11:58", "session_start", {}, "u", "t"], ["12:00", "page_view", {}, "u", "v"], ["12:30", "api_call"]]');
SELECT pg_temp.put('midnight', '2024-03-04', '[["23:50", "page_view"], ["23:59:59.999999", "page_view"]]');
SELECT pg_temp.put('midnight', '2024-03-05', '[["00:00", "page_view"], ["00:01", "session_end"]]');
INSERT INTO answer VALUES
    ('sessions', 'daily', '2024-03-04', '{"total_sessions": 3, "avg_session_duration_seconds": 3000, "bounce_rate": 33.33}'),
    ('visit', 'daily', '2024-03-04', '{"total_sessions": 1, "avg_session_duration_seconds": 600, "bounce_rate": 0}'),
    ('visits', 'daily', '2024-03-04', '{"total_sessions": 4, "avg_session_duration_seconds": 915, "bounce_rate": 75}'),
    ('midnight', 'daily', '2024-03-04', '{"total_sessions": 1, "avg_session_duration_seconds": 600, "bounce_rate": 0}'),
    ('midnight', 'daily', '2024-03-05', '{"total_sessions": 1, "avg_session_duration_seconds": 60, "bounce_rate": 100}');

-- Costs: given, by the price in force, none; two currencies cannot be added.
INSERT INTO analytics.credit_prices (workspace_id, model, price, currency, valid_from)
VALUES (pg_temp.id('money'), 'm', 0.5, 'USD', '2024-03-04 00:00+00'), (pg_temp.id('money'), 'm', 0.25, 'USD', '2024-03-04 10:30+00'),
       (pg_temp.id('money'), '', 0.00001, 'USD', '2024-03-04 00:00+00'), (pg_temp.id('euro'), '', 2, 'EUR', '2024-03-04 00:00+00');
SELECT pg_temp.put('money', '2024-03-04', '[
    ["10:00", "agent_run", {"status": "ok", "credits": 3, "model": "m", "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661"}],
    ["10:30", "agent_run", {"status": "ok", "credits": 3, "model": "m"}],
    ["10:30", "click", {"credits": 5}], ["10:30", "click", {"cost_usd": "0.75", "credits": 100, "model": "n"}],
    ["10:30", "click", {"credits": 0, "model": "z"}], ["10:30", "agent_run", {"status": "running", "cost": 1000}]]');
SELECT pg_temp.put('euro', '2024-03-04', '[["10:00", "click", {"credits": 2, "model": "m"}]]');
SELECT pg_temp.put('euro', '2024-03-05', '[["10:00", "agent_run", {"status": "ok", "credits": 2, "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661"}],
    ["10:00", "click", {"cost": 1, "agent_id": ""}]]');
INSERT INTO answer VALUES
    ('money', 'daily', '2024-03-04', '{"total_cost": 3.0001, "cost_by_model": {"m": 2.25, "n": 0.75, "unknown": 0.0001}, "currency": "USD", "cost_reason": null, "total_credits_consumed": 111,
        "credits_by_model": {"m": 6, "n": 100, "unknown": 5}, "avg_credits_per_run": 3}'),
    ('money', 'agent a', '2024-03-04', '{"total_cost": 1.5, "total_credits": 3}'),
    ('euro', 'daily', '2024-03-04', '{"total_cost": 4, "cost_by_model": {"m": 4}, "currency": "EUR"}'),
    ('euro', 'daily', '2024-03-05', '{"total_cost": null, "cost_by_model": null, "currency": null, "cost_reason": "several currencies", "ignored_values": {"agent_id": 1, "currency": 1}}'),
    ('euro', 'agent a', '2024-03-05', '{"total_cost": null, "total_credits": 2}');

-- Usage as OpenAI (chat, responses), Anthropic, Gemini, the AI SDK, LangChain and Bedrock report it; a million tokens cost 1, of
-- output 10, read from a cache 0.1, written to one 2. Unknown shapes are counted.
CREATE TABLE pg_temp.usage (name text, said jsonb, tokens numeric, cost numeric, ignored jsonb);
INSERT INTO usage VALUES
    ('chat', '{"usage": {"prompt_tokens": 100000, "completion_tokens": 20000, "total_tokens": 120000, "prompt_tokens_details": {"cached_tokens": 40000}}}', 120000, 0.264, '{}'),
    ('responses', '{"usage": {"input_tokens": 100000, "input_tokens_details": {"cached_tokens": 40000}, "output_tokens": 20000,
                              "output_tokens_details": {"reasoning_tokens": 5000}, "total_tokens": 120000}}', 120000, 0.264, '{}'),
    ('anthropic', '{"usage": {"input_tokens": 86000, "output_tokens": 225000, "cache_read_input_tokens": 17817000, "cache_creation_input_tokens": 248000,
                              "cache_creation": {"ephemeral_5m_input_tokens": 248000, "ephemeral_1h_input_tokens": 0}, "service_tier": "standard"}}', 18376000, 4.6137, '{}'),
    ('flat', '{"input_tokens": 86, "output_tokens": 225, "cache_read_input_tokens": 17817}', 18128, 0.0041, '{}'),
    ('gemini', '{"usageMetadata": {"promptTokenCount": 90000, "candidatesTokenCount": 20000, "thoughtsTokenCount": 7000, "cachedContentTokenCount": 40000,
                                   "totalTokenCount": 117000, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90000}]}}', 117000, 0.324, '{}'),
    ('gemini_snake', '{"usage_metadata": {"prompt_token_count": 90000, "candidates_token_count": 20000, "thoughts_token_count": 7000,
                                          "cached_content_token_count": 40000, "tool_use_prompt_token_count": 3000}}', 120000, 0.327, '{}'),
    ('sdk4', '{"promptTokens": 100000, "completionTokens": 20000, "totalTokens": 120000}', 120000, 0.3, '{}'),
    ('sdk5', '{"usage": {"inputTokens": 100000, "outputTokens": 20000, "totalTokens": 120000, "reasoningTokens": 0, "cachedInputTokens": 40000}}', 120000, 0.264, '{}'),
    ('sdk6', '{"usage": {"inputTokens": 1}, "totalUsage": {"inputTokens": 100000, "inputTokenDetails": {"noCacheTokens": 50000, "cacheReadTokens": 40000, "cacheWriteTokens": 10000},
                                                           "outputTokens": 20000}}', 120000, 0.274, '{}'),
    ('langchain', '{"usage_metadata": {"input_tokens": 350000, "output_tokens": 240000, "total_tokens": 590000,
                                       "input_token_details": {"audio": 0, "cache_creation": 200000, "cache_read": 100000}}}', 590000, 2.86, '{}'),
    ('langchain_js', '{"tokenUsage": {"completionTokens": 20000, "promptTokens": 100000, "totalTokens": 120000}}', 120000, 0.3, '{}'),
    ('bedrock', '{"usage": {"inputTokens": 86000, "outputTokens": 225000, "cacheReadInputTokens": 17817000, "cacheWriteInputTokens": 248000}}', 18376000, 4.6137, '{}'),
    ('beside', '{"usage": {"inputTokens": 9000, "outputTokens": 4000, "cachedInputTokens": 50000}}', 63000, 0.054, '{}'),
    ('both', '{"usage": {"prompt_tokens": 100000, "completion_tokens": 20000, "cache_read_input_tokens": 40000, "prompt_tokens_details": {"cached_tokens": 40000}}}', 120000, 0.264, '{}'),
    ('stated', '{"tokens_used": 7, "usage": {"input_tokens": 100000, "output_tokens": 0}}', 7, 0.1, '{}'),
    ('only_a_sum', '{"tokens_used": 7}', 7, NULL, '{}'),
    ('object', '{"tokens": {"prompt_tokens": "100000"}}', 100000, 0.1, '{}'),
    ('nulls', '{"usage": {"promptTokens": null, "completionTokens": null}}', 0, NULL, '{"usage": 1}'),
    ('units', '{"usage": {"units": 5}}', 0, NULL, '{"usage": 1}'), ('number', '{"usage": 12}', 0, NULL, '{"usage": 1}'),
    ('list', '{"usageMetadata": [1]}', 0, NULL, '{"usage_metadata": 1}'), ('unknown_object', '{"tokens": {"input": 1}}', 0, NULL, '{"tokens": 1}'),
    ('malformed', '{"promptTokens": -1, "completionTokens": 5}', 0, NULL, '{"prompt_tokens": 1}'),
    ('malformed_inside', '{"usage": {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": "x"}}}', 0, NULL, '{"usage": 1}'),
    ('too_many', '{"promptTokens": 9007199254740992, "outputTokens": 1}', 0, NULL, '{"prompt_tokens": 1}');
INSERT INTO analytics.token_prices (workspace_id, input_price, output_price, cache_read_price, cache_write_price, currency)
SELECT pg_temp.id('usage ' || name), 1, 10, 0.1, 2, 'USD' FROM usage;
SELECT pg_temp.put('usage ' || name, '2024-03-04', jsonb_build_array(jsonb_build_array('10:00', 'agent_run',
                   said || '{"status": "ok", "model": "m", "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661"}'))) FROM usage;
INSERT INTO answer
SELECT 'usage ' || name, 'daily', date '2024-03-04',
       jsonb_build_object('total_tokens_used', tokens, 'tokens_by_model', CASE WHEN tokens > 0 THEN jsonb_build_object('m', tokens) ELSE '{}' END,
                          'total_cost', cost, 'ignored_values', ignored,
                          'cost_reason', CASE WHEN tokens > 0 AND cost IS NULL THEN 'tokens without a price' END) FROM usage
UNION ALL
SELECT 'usage ' || name, 'agent a', date '2024-03-04', jsonb_build_object('total_tokens_used', tokens, 'total_cost', cost) FROM usage;

-- What the end lacks comes from an update; prices by model, whichever event names it; attempts are paid one by one.
INSERT INTO analytics.token_prices (workspace_id, model, input_price, output_price, currency, valid_from) VALUES
    (pg_temp.id('updates'), 'm', 1, 10, 'USD', '-infinity'), (pg_temp.id('updates'), 'm', 2, 20, 'USD', '2024-03-04 10:02+00'),
    (pg_temp.id('updates'), '', 0.5, 0.5, 'USD', '-infinity');
SELECT pg_temp.put('updates', '2024-03-04', '[
    ["10:00", "agent_run", {"run_id": 1, "status": "running", "model": "m", "runtime": 4, "agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661"}],
    ["10:01", "agent_run", {"run_id": 1, "status": "streaming", "usage": {"input_tokens": 100000, "output_tokens": 20000}}],
    ["10:02", "agent_run", {"run_id": 1, "status": "completed"}],
    ["10:03", "agent_run", {"run_id": 1, "status": "running", "usage": {"input_tokens": 900000}}],
    ["10:00", "agent_run", {"run_id": 2, "status": "in_progress", "tokens": 5}], ["10:00", "agent_run", {"run_id": 3, "status": "requires_action", "tokens": 5}]]');
SELECT pg_temp.put('attempts', '2024-03-04', '[
    ["10:00", "agent_run", {"run_id": 1, "status": "failed", "tokens": 1000, "credits": 1, "attempt": 1}],
    ["10:01", "agent_run", {"run_id": 1, "status": "running", "tokens": 400, "credits": 2, "attempt_number": "2"}],
    ["10:02", "agent_run", {"run_id": 1, "status": "completed", "tokens": 1000, "attempt": 2, "model": "m"}],
    ["10:03", "agent_run", {"run_id": 1, "status": "running", "tokens": 70, "attempt": 3}],
    ["10:00", "agent_run", {"run_id": 2, "status": "failed", "tokens": 1000}], ["10:01", "agent_run", {"run_id": 2, "status": "completed", "tokens": 1000}],
    ["10:00", "agent_run", {"run_id": 3, "status": "completed", "tokens": 1, "attempt": 0}]]');
SELECT pg_temp.put('shared', '2024-03-04', '[
    ["10:00", "agent_run", {"agent_id": "0cc175b9-c0f1-b6a8-31c3-99e269772661", "run_id": 1, "status": "completed"}],
    ["10:01", "agent_run", {"agent_id": "92eb5ffe-e6ae-2fec-3ad7-1c777531578f", "run_id": 1, "status": "failed"}],
    ["10:01", "agent_run", {"agent_id": "92eb5ffe-e6ae-2fec-3ad7-1c777531578f", "run_id": 2, "status": "running"}]]');
INSERT INTO answer VALUES
    ('updates', 'daily', '2024-03-04', '{"total_runs": 1, "total_tokens_used": 120000, "tokens_by_model": {"m": 120000}, "total_cost": 0.6, "cost_by_model": {"m": 0.6},
        "avg_runtime_seconds": 4, "ignored_values": {}, "currency": "USD", "cost_reason": null}'),
    ('updates', 'agent a', '2024-03-04', '{"total_tokens_used": 120000, "total_cost": 0.6, "min_runtime_seconds": 4}'),
    ('attempts', 'daily', '2024-03-04', '{"total_runs": 3, "total_tokens_used": 3071, "total_credits_consumed": 3, "tokens_by_model": {"m": 2070, "unknown": 1001},
        "avg_credits_per_run": 1, "cost_reason": "credits without a price", "ignored_values": {"attempt": 1}}'),
    ('shared', 'daily', '2024-03-04', '{"total_runs": 1, "failed_runs": 1, "ignored_values": {"run_id": 1}}');

-- Days of 25 and 23 hours: one event in each UTC hour of three days.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (pg_temp.id('stockholm'), 'Europe/Stockholm', '-infinity');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.id('stockholm'), pg_temp.id('u'), 'click', at
FROM (SELECT generate_series(timestamptz '1996-10-26 00:00+00', '1996-10-28 23:00+00', '1 hour')
      UNION ALL SELECT generate_series(timestamptz '1997-03-29 00:00+00', '1997-03-31 23:00+00', '1 hour')) AS g (at);
INSERT INTO answer VALUES
    ('stockholm', 'daily', '1996-10-26', '{"total_events": 22}'), ('stockholm', 'daily', '1996-10-27', '{"total_events": 25}'),
    ('stockholm', 'daily', '1996-10-28', '{"total_events": 24}'), ('stockholm', 'daily', '1996-10-29', '{"total_events": 1}'),
    ('stockholm', 'daily', '1997-03-29', '{"total_events": 23}'), ('stockholm', 'daily', '1997-03-30', '{"total_events": 23}'),
    ('stockholm', 'daily', '1997-03-31', '{"total_events": 24}'), ('stockholm', 'daily', '1997-04-01', '{"total_events": 2}');
-- From UTC to Kiritimati (UTC+14): 4 May UTC has 10 hours and is followed by 5 May of Kiritimati.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (pg_temp.id('moving'), 'Pacific/Kiritimati', '2024-05-04 10:00+00');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.id('moving'), pg_temp.id('u'), 'click', at FROM generate_series(timestamptz '2024-05-03 00:00+00', '2024-05-05 23:00+00', '1 hour') AS at;
INSERT INTO answer VALUES
    ('moving', 'daily', '2024-05-03', '{"total_events": 24}'), ('moving', 'daily', '2024-05-04', '{"total_events": 10}'),
    ('moving', 'daily', '2024-05-05', '{"total_events": 24}'), ('moving', 'daily', '2024-05-06', '{"total_events": 14}'), ('moving', 'daily', '2024-05-07', NULL);

-- Maps: 100 of 103 models and "other"; the three smallest are m1 (1), m2 (2) and, of those with 3, the last in byte order.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.id('maps'), pg_temp.id('u'), 'api_call', jsonb_build_object('model', 'm' || n, 'credits', least(n, 3)), '2024-03-04 10:00+00'
FROM generate_series(1, 103) AS n;

-- A running day is provisional.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES (pg_temp.id('now'), pg_temp.id('u'), 'click', now());

SELECT analytics.aggregate_daily_metrics(d)
FROM (SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date + n AS d FROM analytics.user_activity, generate_series(0, 1) AS n
      WHERE created_at < '2024-06-01' ORDER BY 1) AS days;
SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date);
SELECT analytics.aggregate_hourly_metrics(h)
FROM generate_series(timestamptz '2024-03-04 09:00+00', '2024-03-04 12:00+00', '1 hour') AS h;

\o
WITH actual AS (
    SELECT 'daily' AS relation, workspace_id, metric_date AS day, to_jsonb(d) AS row FROM analytics.daily_metrics AS d
    UNION ALL
    SELECT 'agent ' || name, workspace_id, metric_date, to_jsonb(a)
    FROM analytics.agent_performance AS a JOIN unnest('{a,b}'::text[]) AS name ON agent_id = pg_temp.id(name)
    UNION ALL
    SELECT 'hourly', workspace_id, (metric_hour AT TIME ZONE 'UTC')::date, to_jsonb(h) FROM analytics.hourly_metrics AS h
    WHERE metric_hour = '2024-03-04 10:00+00'
), compared AS (
    SELECT a.workspace, a.relation, a.day, k.key AS column_name, k.value AS expected, r.row -> k.key AS actual, r.row
    FROM answer AS a
    LEFT JOIN actual AS r ON (r.relation, r.workspace_id, r.day) = (a.relation, pg_temp.id(a.workspace), a.day)
    CROSS JOIN LATERAL jsonb_each(coalesce(a.answers, '{"no row": null}')) AS k
)
SELECT workspace, relation, day, column_name, expected, actual FROM compared
WHERE CASE column_name WHEN 'no row' THEN row IS NOT NULL ELSE expected IS DISTINCT FROM actual END;
SELECT count(*) AS answers, sum((SELECT count(*) FROM jsonb_object_keys(answers))) AS values FROM answer;

SELECT (SELECT count(*) FROM jsonb_object_keys(credits_by_model)) AS entries, credits_by_model -> 'other' AS other, credits_by_model ? 'm1' AS m1,
       credits_by_model ? 'm98' AS m98, credits_by_model ? 'm99' AS m99, total_credits_consumed
FROM analytics.daily_metrics WHERE workspace_id = pg_temp.id('maps');
SELECT metric_date = (now() AT TIME ZONE 'UTC')::date AS is_today, is_final FROM analytics.daily_metrics WHERE workspace_id = pg_temp.id('now');
SELECT event_type, event_name, events, unique_users FROM analytics.daily_event_counts WHERE workspace_id = pg_temp.id('errors') ORDER BY 1;
ROLLBACK;
