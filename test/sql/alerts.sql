-- Alerts: rules are checked, measured as the rollups are, fire once per episode, and say why.
-- The clock is an argument of analytics_internal.evaluate_alert_rules(); 2026-03-10 is a Tuesday.
SET TIME ZONE 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never

CREATE FUNCTION pg_temp.w(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT ('a0000000-0000-0000-0000-00000000000' || n)::uuid $$;
CREATE FUNCTION pg_temp.u(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT ('b0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.agent(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT ('c0000000-0000-0000-0000-00000000000' || n)::uuid $$;

-- 1. Every field is checked; the error names it, its value and what is allowed.
CREATE FUNCTION pg_temp.refusal(settings jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    INSERT INTO analytics.alert_rules
    SELECT (jsonb_populate_record(NULL::analytics.alert_rules,
        jsonb_build_object('workspace_id', pg_temp.w(1), 'id', gen_random_uuid(), 'name', 'n', 'is_active', true,
            'scope', 'workspace', 'metric_type', 'failed_runs', 'condition', 'greater_than', 'threshold_value', 1,
            'evaluation_window_minutes', 5, 'evaluation_delay_minutes', 0, 'for_minutes', 0, 'cooldown_minutes', 60, 'severity', 'warning',
            'no_data', 'ok', 'notification_channels', '[]'::jsonb, 'notification_recipients', '[]'::jsonb,
            'trigger_count', 0, 'created_at', now(), 'updated_at', now()) || settings)).*;
    RAISE EXCEPTION USING ERRCODE = 'P0999';
EXCEPTION
    WHEN SQLSTATE 'P0999' THEN RETURN 'accepted';
    WHEN invalid_parameter_value THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RETURN concat_ws(' | ', SQLERRM, detail, hint);
END
$$;
SELECT c.settings, pg_temp.refusal(c.settings::jsonb)
FROM (VALUES ('{}'), ('{"name": "  "}'), ('{"is_active": null}'), ('{"scope": "planet"}'), ('{"scope": "platform"}'),
    ('{"scope": "platform", "workspace_id": "00000000-0000-0000-0000-000000000000"}'),
    ('{"metric_type": "mood"}'), ('{"metric_type": null}'), ('{"condition": "bigger"}'),
    ('{"condition": "poisson", "metric_type": "response_time", "threshold_value": 0.01}'),
    ('{"condition": "binomial", "threshold_value": 0.01}'),
    ('{"threshold_value": -1}'), ('{"threshold_value": "NaN"}'), ('{"threshold_value": null}'),
    ('{"threshold_value": 101, "metric_type": "error_rate"}'), ('{"threshold_value": 1e12}'),
    ('{"condition": "poisson", "threshold_value": 1}'), ('{"condition": "poisson", "threshold_value": 0.001}'),
    ('{"condition": "anomaly", "threshold_value": null}'), ('{"condition": "anomaly", "threshold_value": 0}'),
    ('{"threshold_max": 5}'), ('{"condition": "between"}'), ('{"condition": "between", "threshold_max": 0}'),
    ('{"condition": "between", "threshold_max": 1}'),
    ('{"evaluation_window_minutes": 0}'), ('{"evaluation_window_minutes": null}'), ('{"evaluation_window_minutes": 1441}'),
    ('{"evaluation_delay_minutes": null}'), ('{"evaluation_delay_minutes": 61}'), ('{"for_minutes": -1}'), ('{"cooldown_minutes": null}'), ('{"severity": "loud"}'), ('{"no_data": "panic"}'),
    ('{"notification_channels": ["pigeon", {"x": 1}]}'), ('{"notification_channels": ["email", "email"]}'),
    ('{"notification_channels": "email"}'), ('{"notification_recipients": [1]}'),
    ('{"notification_channels": ["email"], "notification_recipients": ["nobody"]}')) AS c (settings);
SELECT f.field, left(f.refusal, 62) AS refusal, length(f.refusal)
FROM (SELECT c.field, pg_temp.refusal(jsonb_build_object(c.field, c.value)) AS refusal
      FROM (VALUES ('name', to_jsonb(repeat('n', 201))), ('description', to_jsonb(repeat('d', 10001))),
                   ('notification_recipients', (SELECT jsonb_agg('d' || i) FROM generate_series(1, 21) AS i))) AS c (field, value)) AS f;

-- The defaults.
INSERT INTO analytics.alert_rules (name, metric_type, condition, threshold_value) VALUES ('defaults', 'failed_runs', 'equals', 0)
RETURNING workspace_id, is_active, scope, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity, no_data,
    notification_channels, notification_recipients, trigger_count;
DELETE FROM analytics.alert_rules;

-- 2. Each metric, from one hour's events; where the hour's rollup has the number, it is the same.
INSERT INTO analytics.user_activity (workspace_id, user_id, session_id, event_type, metadata, created_at)
SELECT pg_temp.w(e.w), pg_temp.u(e.u), s.id, e.type, e.metadata::jsonb, '2026-03-10 10:00'::timestamptz + e.at * interval '1 minute'
FROM (VALUES
    (1, 1, 1, 'page_view', '{}', -30), (1, 1, 1, 'page_view', '{}', 0),                -- a session of 30 minutes
    (1, 2, 2, 'agent_run', '{"run_id": "r1", "agent_id": "c0000000-0000-0000-0000-000000000001", "status": "running"}', 1),
    (1, 2, 2, 'agent_run', '{"run_id": "r1", "status": "failed", "duration_ms": 100, "credits": 1.5}', 2),
    (1, 2, 2, 'error', '{"run_id": "r1", "error_type": "timeout"}', 2),               -- tells of the same failure
    (1, 2, 2, 'agent_run', '{"agent_id": "c0000000-0000-0000-0000-000000000002", "status": "failed", "error_type": "quota"}', 3),
    (1, 3, NULL, 'agent_run', '{"agent_id": "c0000000-0000-0000-0000-000000000002", "status": "ok", "duration_ms": 200, "credits": 0.25}', 4),
    (1, 3, NULL, 'agent_run', '{"agent_id": "c0000000-0000-0000-0000-000000000003", "status": "cancelled"}', 50),
    (1, 3, NULL, 'api_call', '{"duration_ms": 301}', 59.99),
    (1, 3, NULL, 'api_call', '{"duration_ms": 999999}', 60),                          -- the next hour's
    (2, 1, NULL, 'agent_run', '{"run_id": "r1", "agent_id": "c0000000-0000-0000-0000-000000000001", "status": "failed"}', 5),
    (2, 4, NULL, 'login', '{}', 6)) AS e (w, u, s, type, metadata, at)
LEFT JOIN (VALUES (1, pg_temp.u(101)), (2, pg_temp.u(102))) AS s (n, id) ON s.n = e.s;

INSERT INTO analytics.alert_rules (workspace_id, scope, name, metric_type, condition, threshold_value, evaluation_window_minutes)
SELECT s.workspace, s.scope, m.metric, m.metric, 'greater_than', 0, 60
FROM (VALUES (pg_temp.w(1), 'workspace'), (pg_temp.w(3), 'workspace'), ('00000000-0000-0000-0000-000000000000', 'platform')) AS s (workspace, scope),
     unnest('{error_rate,failure_rate,response_time,active_users,failed_runs,credits_consumed,agent_failures,user_signups,session_duration}'::text[]) AS m (metric);
CREATE FUNCTION pg_temp.measure(at timestamptz) RETURNS TABLE (metric text, one numeric, empty numeric, platform numeric)
LANGUAGE sql AS $$
SELECT r.name, max(t.metric_value) FILTER (WHERE r.workspace_id = pg_temp.w(1)),
       max(t.metric_value) FILTER (WHERE r.workspace_id = pg_temp.w(3)),
       max(t.metric_value) FILTER (WHERE r.scope = 'platform')
FROM analytics.alert_rules AS r, analytics.test_alert_rule(r.id, at) AS t GROUP BY r.name ORDER BY r.name
$$;
SELECT * FROM pg_temp.measure('2026-03-10 11:00');
-- Somebody whose raw events are gone is not new.
INSERT INTO analytics.users VALUES (pg_temp.w(1), pg_temp.u(2), 0, '2025-01-01', '2025-01-01', '2025-01-01', '2025-01-01');
SELECT m.metric, m.one, m.platform FROM pg_temp.measure('2026-03-10 11:00') AS m WHERE m.metric = 'user_signups';
DELETE FROM analytics.users;
-- Nor is one with an older event. Where days are closed, the dictionary knows, and for hours that changed since the
-- events do: the history itself is not read.
SELECT analytics_internal.create_partition(b.name, b.from_time, b.to_time) FROM analytics_internal.partition_bounds('2026-02-01', 'day') AS b;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
VALUES (pg_temp.w(1), pg_temp.u(3), 'login', '2026-02-01 05:30'), (pg_temp.w(1), pg_temp.u(2), 'login', '2026-02-01 07:30');
CREATE FUNCTION pg_temp.signups() RETURNS TABLE (one numeric, platform numeric, old_scans bigint) LANGUAGE sql AS $$
SELECT m.one, m.platform, (SELECT coalesce(p.seq_scan, 0) + coalesce(p.idx_scan, 0) FROM pg_stat_xact_user_tables AS p WHERE p.relname = 'user_activity_20260201')
FROM pg_temp.measure('2026-03-10 11:00') AS m WHERE m.metric = 'user_signups'
$$;
SELECT s.one, s.platform FROM pg_temp.signups() AS s;
INSERT INTO analytics.watermark (marked_until, closed_until) VALUES ('2026-03-10', '2026-03-10');
SELECT pg_stat_force_next_flush();
SELECT * FROM pg_temp.signups();
INSERT INTO analytics.users VALUES (pg_temp.w(1), pg_temp.u(2), 0, '2026-02-01', '2026-02-01', '2026-02-01 07:30', '2026-02-01 07:30');
INSERT INTO analytics.dirty_hours VALUES (pg_temp.w(1), '2026-02-01 05:00');
SELECT s.one, s.platform FROM pg_temp.signups() AS s;
TRUNCATE analytics.watermark, analytics.dirty_hours, analytics.users, analytics.user_activity_20260201;
SELECT analytics.aggregate_hourly_metrics('2026-03-10 10:00');
SELECT h.active_users, h.failed_runs, h.total_credits, h.avg_response_time_ms,
       round(100.0 * h.failed_runs / (h.failed_runs + h.successful_runs), 2) AS failure_rate
FROM analytics.hourly_metrics AS h WHERE h.workspace_id = pg_temp.w(1);

-- Any window, by any path: the same as the rollups of the same events, for a workspace and for all; many windows
-- share what they have in common.
DELETE FROM analytics.alert_rules;
INSERT INTO analytics.user_activity (workspace_id, user_id, session_id, event_type, metadata, created_at)
SELECT pg_temp.w(4 + i % 2), pg_temp.u(i * 7 % 23), CASE WHEN i % 5 = 0 THEN pg_temp.u(i % 17) END,
       (ARRAY['agent_run', 'agent_run', 'error', 'api_call', 'click'])[1 + i % 5],
       jsonb_build_object('run_id', 'r' || i * 31 % 97, 'status', (ARRAY['running', 'failed', 'ok', 'what'])[1 + i * 5 % 4],
                          'agent_id', CASE WHEN i % 3 = 0 THEN pg_temp.agent(i % 10) END, 'duration_ms', i, 'credits', i / 8.0,
                          'error_type', (ARRAY['quota', 'timeout', NULL])[1 + i % 3], 'error_message', 'no ' || i % 4)
           - CASE WHEN i % 11 = 0 THEN 'run_id' ELSE '' END,
       '2026-03-11 12:00'::timestamptz - i * interval '45 seconds'
FROM generate_series(1, 600) AS i;
INSERT INTO analytics.alert_rules (workspace_id, scope, name, metric_type, condition, threshold_value, evaluation_window_minutes)
SELECT s.workspace, s.scope, m, m, 'not_equals', 99, minutes
FROM (VALUES (pg_temp.w(4), 'workspace'), (pg_temp.w(5), 'workspace'), ('00000000-0000-0000-0000-000000000000', 'platform')) AS s (workspace, scope),
     unnest('{1,2,7,45,46,47,60,61,99,200,333,450,451,1440}'::integer[]) AS minutes,
     unnest('{error_rate,failure_rate,response_time,active_users,failed_runs,credits_consumed,agent_failures}'::text[]) AS m;
CREATE TEMP TABLE measured AS
SELECT r.workspace_id, r.metric_type, r.evaluation_window_minutes AS minutes, e.metric_value, e.evaluation_context AS context
FROM analytics_internal.measure_alert_rules('2026-03-11 12:00', NULL) AS e
JOIN analytics.alert_rules AS r ON r.id = e.alert_rule_id;
-- The events of each window as a workspace of their own, ten times as fast: within an hour, in the same order. Of all
-- workspaces together a run is one of its workspace.
CREATE TEMP TABLE expected_window AS
SELECT DISTINCT m.workspace_id, m.minutes, md5(m.workspace_id::text || m.minutes)::uuid AS copy FROM measured AS m;
INSERT INTO analytics.user_activity (workspace_id, user_id, session_id, event_type, event_name, metadata, created_at)
SELECT w.copy, e.user_id, e.session_id, e.event_type, e.event_name,
       CASE WHEN e.metadata ? 'run_id' THEN e.metadata || jsonb_build_object('run_id', e.metadata ->> 'run_id' || e.workspace_id) ELSE e.metadata END,
       '2026-03-12 10:00'::timestamptz - ('2026-03-11 12:00' - e.created_at) / 10
FROM expected_window AS w JOIN analytics.user_activity AS e
    ON w.workspace_id IN (e.workspace_id, '00000000-0000-0000-0000-000000000000') AND e.created_at < '2026-03-11 12:00'
   AND e.created_at >= '2026-03-11 12:00'::timestamptz - make_interval(mins => w.minutes);
SELECT analytics.aggregate_daily_metrics('2026-03-12') > 0 AS day, analytics.aggregate_hourly_metrics('2026-03-12 09:00') > 0 AS hour;
CREATE TEMP TABLE expected AS
SELECT w.workspace_id, w.minutes, d.*, h.avg_response_time_ms,
       (SELECT count(*) FROM analytics.agent_performance AS a WHERE a.workspace_id = w.copy AND a.failed_runs > 0) AS failing_agents
FROM expected_window AS w
LEFT JOIN (SELECT d.workspace_id AS copy, d.error_rate, d.failed_runs, d.successful_runs, d.active_users, d.total_credits_consumed,
                  d.total_events, d.total_runs, d.total_errors, d.errors_by_type FROM analytics.daily_metrics AS d) AS d USING (copy)
LEFT JOIN analytics.hourly_metrics AS h ON h.workspace_id = w.copy;
SELECT count(*) AS values, count(m.metric_value) AS known,
       count(*) FILTER (WHERE m.metric_value IS DISTINCT FROM CASE m.metric_type
           WHEN 'error_rate' THEN e.error_rate
           WHEN 'failure_rate' THEN round(100.0 * e.failed_runs / nullif(e.failed_runs + e.successful_runs, 0), 2)
           WHEN 'response_time' THEN e.avg_response_time_ms
           WHEN 'active_users' THEN coalesce(e.active_users, 0) -- an empty window's counts are 0
           WHEN 'failed_runs' THEN coalesce(e.failed_runs, 0)
           WHEN 'agent_failures' THEN e.failing_agents
           ELSE coalesce(e.total_credits_consumed, 0) END) AS different
FROM measured AS m JOIN expected AS e USING (workspace_id, minutes);
-- With a delay a rule sees at a moment what it would have seen so long before without; and rules of different delays beside each other.
UPDATE analytics.alert_rules SET evaluation_delay_minutes = evaluation_window_minutes % 4 * 20;
CREATE TEMP TABLE delayed AS
SELECT r.id, '2026-03-11 12:00'::timestamptz - make_interval(mins => r.evaluation_delay_minutes) AS at, e.metric_value, e.evaluation_context, e.since
FROM analytics_internal.measure_alert_rules('2026-03-11 12:00', NULL) AS e JOIN analytics.alert_rules AS r ON r.id = e.alert_rule_id;
SELECT count(DISTINCT d.at) AS delays, count(*) = (SELECT count(*) FROM measured) AS each_once FROM delayed AS d;
UPDATE analytics.alert_rules SET evaluation_delay_minutes = 0;
SELECT count(*) FILTER (WHERE t.metric_value IS NOT NULL) > 100 AS known, count(*) FILTER (WHERE (t.metric_value, t.evaluation_context) IS DISTINCT FROM (d.metric_value, d.evaluation_context)) AS different
FROM delayed AS d, LATERAL analytics.test_alert_rule(d.id, d.at) AS t;
-- So are the counts of what the window held.
SELECT count(*) AS windows, count(*) FILTER (WHERE (m.context ->> 'events')::bigint <> coalesce(e.total_events, 0)
           OR (m.context ->> 'total_runs')::bigint <> coalesce(e.total_runs, 0) OR (m.context ->> 'errors')::bigint <> coalesce(e.total_errors, 0)
           OR (SELECT coalesce(jsonb_object_agg(t ->> 'type', t -> 'count'), '{}') FROM jsonb_array_elements(m.context -> 'error_types') AS t)
              <> coalesce(e.errors_by_type, '{}')) AS different,
       max(jsonb_array_length(m.context -> 'failing_agents')) AS agents, max(jsonb_array_length(m.context -> 'samples')) AS samples
FROM measured AS m JOIN expected AS e USING (workspace_id, minutes) WHERE m.metric_type = 'active_users';
DELETE FROM analytics.user_activity WHERE workspace_id IN (SELECT copy FROM expected_window);
DELETE FROM analytics.daily_metrics WHERE workspace_id IN (SELECT copy FROM expected_window);
DELETE FROM analytics.hourly_metrics WHERE workspace_id IN (SELECT copy FROM expected_window);
DROP TABLE measured, expected, expected_window;
DELETE FROM analytics.alert_rules;

-- 3. Conditions. Value: 2 failed runs in the hour; failure rate 66.67.
CREATE FUNCTION pg_temp.condition(metric text, condition text, threshold numeric, upper_bound numeric DEFAULT NULL,
    at timestamptz DEFAULT '2026-03-10 11:00', OUT triggered boolean, OUT reason text)
LANGUAGE plpgsql AS $$
DECLARE
    rule_id uuid;
BEGIN
    INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes)
    VALUES (pg_temp.w(1), 'c', metric, condition, threshold, upper_bound, 60) RETURNING id INTO rule_id;
    SELECT t.triggered, t.reason INTO triggered, reason FROM analytics.test_alert_rule(rule_id, at) AS t;
    DELETE FROM analytics.alert_rules;
END
$$;
SELECT c.*, t.*
FROM (VALUES ('failed_runs', 'greater_than', 2, NULL), ('failed_runs', 'greater_than', 1.99, NULL),
    ('failed_runs', 'less_than', 2, NULL), ('failed_runs', 'less_than', 3, NULL),
    ('failed_runs', 'equals', 2, NULL), ('failed_runs', 'equals', 2.004, NULL), ('failed_runs', 'equals', 2.006, NULL),
    ('failed_runs', 'not_equals', 2, NULL), ('failed_runs', 'not_equals', 0, NULL),
    ('failed_runs', 'between', 2, 2), ('failed_runs', 'between', 0, 1.5), ('failed_runs', 'between', 0, 2),
    ('failure_rate', 'equals', 66.67, NULL)) AS c (metric, condition, threshold, upper_bound),
    LATERAL pg_temp.condition(c.metric, c.condition, c.threshold, c.upper_bound) AS t;
SELECT * FROM pg_temp.condition('failure_rate', 'less_than', 50, NULL, '2026-03-01');
SELECT * FROM pg_temp.condition('failed_runs', 'less_than', 50, NULL, '2026-03-01');
SELECT analytics.test_alert_rule('00000000-0000-0000-0000-000000000000');
SELECT analytics.test_alert_rule(NULL);
SELECT analytics_internal.evaluate_alert_rules('infinity');

-- What the window held: the latest different messages, without what may identify somebody.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.w(1), pg_temp.u(1), 'error', jsonb_build_object('error_type', 'mail', 'error_message', m.text), '2026-03-10 10:20'::timestamptz + m.place * interval '1 second'
FROM unnest(ARRAY['the first', 'cannot reach jane@example.org', 'card 4111111111111111 refused', repeat('x y ', 200), 'cannot reach joe@example.org']) WITH ORDINALITY AS m (text, place);
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes)
VALUES (pg_temp.w(1), 'c', 'agent_failures', 'greater_than', 1, 60);
SELECT t.triggered, jsonb_pretty(t.evaluation_context - 'samples')
FROM analytics.alert_rules AS r, analytics.test_alert_rule(r.id, '2026-03-10 11:00') AS t;
SELECT s ->> 'at' AS at, s ->> 'type' AS type, left(s ->> 'message', 40) AS message, length(s ->> 'message')
FROM analytics.alert_rules AS r, analytics.test_alert_rule(r.id, '2026-03-10 11:00') AS t, jsonb_array_elements(t.evaluation_context -> 'samples') AS s;
DELETE FROM analytics.alert_rules;
DELETE FROM analytics.user_activity WHERE metadata ->> 'error_type' = 'mail';

-- 4. A day with failures from 02:00, missing data at 03:00, flapping at 05:00 and recovery, looked at every 5 minutes.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.w(6), pg_temp.u(1), 'agent_run',
       jsonb_build_object('status', CASE WHEN f.bad THEN 'failed' ELSE 'ok' END), '2026-03-12 00:00'::timestamptz + m * interval '1 minute'
FROM generate_series(0, 1439) AS m,
     LATERAL (SELECT m BETWEEN 120 AND 179 OR m BETWEEN 300 AND 359 AND m / 10 % 2 = 0 OR m BETWEEN 720 AND 724) AS f (bad)
WHERE m NOT BETWEEN 180 AND 199;
SELECT analytics.set_notification_destination(pg_temp.w(6), 'oncall', 'webhook', 'https://example.org/hook');
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, for_minutes, cooldown_minutes, no_data,
    notification_channels, notification_recipients)
SELECT pg_temp.w(6), c.name, 'failure_rate', 'greater_than', 50, c.for_minutes, c.cooldown, c.no_data, '["webhook"]', '["oncall"]'
FROM (VALUES ('at once', 0, 0, 'ok'), ('cooling', 0, 60, 'keep'), ('patient', 15, 0, 'ok'), ('no data', 0, 0, 'alert')) AS c (name, for_minutes, cooldown, no_data);
CREATE TEMP TABLE log AS
SELECT t.at, r.name, e.*
FROM generate_series('2026-03-12 00:05'::timestamptz, '2026-03-13 00:00', interval '5 minutes') AS t (at)
CROSS JOIN LATERAL analytics_internal.evaluate_alert_rules(t.at) AS e
JOIN analytics.alert_rules AS r ON r.id = e.alert_rule_id;
SELECT count(*) AS evaluations, count(*) FILTER (WHERE triggered) AS firing FROM log;
SELECT l.name, to_char(l.at, 'HH24:MI') AS at, l.state, l.metric_value, l.reason
FROM (SELECT log.*, lag(log.state, 1, 'ok') OVER (PARTITION BY log.name ORDER BY log.at) AS before FROM log) AS l
WHERE l.state <> l.before ORDER BY l.name, l.at;
SELECT h.rule_name, to_char(h.triggered_at, 'HH24:MI') AS triggered, to_char(h.resolved_at, 'HH24:MI') AS resolved,
       to_char(h.notified_at, 'HH24:MI') AS notified, h.state, h.metric_value, h.resolved_reason
FROM analytics.alert_history AS h WHERE h.workspace_id = pg_temp.w(6) ORDER BY h.rule_name, h.triggered_at;
SELECT r.name, r.trigger_count, (SELECT count(*) FROM analytics.alert_history AS h WHERE h.alert_rule_id = r.id) AS episodes,
       to_char(r.last_triggered_at, 'HH24:MI') AS last
FROM analytics.alert_rules AS r ORDER BY r.name;
SELECT r.name, o.kind, to_char(o.created_at, 'HH24:MI') AS at, o.status, o.channel, o.destination_name
FROM analytics.notification_outbox AS o JOIN analytics.alert_rules AS r ON r.id = o.alert_rule_id
WHERE r.name = 'cooling' ORDER BY o.created_at;
SELECT jsonb_pretty(o.message - '{alert_id,alert_rule_id}'::text[]) FROM analytics.notification_outbox AS o
JOIN analytics.alert_rules AS r ON r.id = o.alert_rule_id WHERE r.name = 'patient' ORDER BY o.created_at DESC LIMIT 1;

-- Evaluating a moment twice changes nothing.
SELECT count(*) FROM analytics.alert_history;
SELECT count(*) FILTER (WHERE triggered), count(*) FROM analytics_internal.evaluate_alert_rules('2026-03-12 02:30');
SELECT count(*) FILTER (WHERE triggered), count(*) FROM analytics_internal.evaluate_alert_rules('2026-03-12 02:30');
SELECT count(*) FROM analytics.alert_history;

-- A firing rule that changes, is switched off or goes ends its episode.
UPDATE analytics.alert_rules SET threshold_value = 40 WHERE name = 'at once';
UPDATE analytics.alert_rules SET is_active = false WHERE name = 'cooling';
DELETE FROM analytics.alert_rules WHERE name = 'no data';
UPDATE analytics.alert_rules SET description = 'still the same' WHERE name = 'patient';
SELECT h.rule_name, h.resolved_reason FROM analytics.alert_history AS h
WHERE h.triggered_at = '2026-03-12 02:30' ORDER BY 1;
SELECT s.state FROM analytics.alert_rule_states AS s ORDER BY 1;

-- 5. The budget: what exceeds it is kept, but not sent; critical comes first.
TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.alert_rule_states, analytics.alert_rules;
INSERT INTO analytics.settings VALUES ('alert_notifications_per_hour', '2');
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, severity, notification_channels, notification_recipients)
SELECT pg_temp.w(6), s, 'failure_rate', 'greater_than', 50, s, '["webhook"]', '["oncall"]' FROM unnest('{info,warning,critical}'::text[]) AS s;
SELECT count(*) FROM analytics_internal.evaluate_alert_rules('2026-03-12 02:30');
SELECT o.message ->> 'severity' AS severity, o.status, o.last_error FROM analytics.notification_outbox AS o ORDER BY 1;
-- Two hours later the rules resolve: who was not told of the start is not told of the end.
SELECT count(*) FROM analytics_internal.evaluate_alert_rules('2026-03-12 04:30') AS e WHERE e.state = 'resolved';
SELECT o.message ->> 'severity' AS severity, o.kind, o.status FROM analytics.notification_outbox AS o ORDER BY 1, 2;
DELETE FROM analytics.settings;

-- 6. A broken rule, which only the loss of its trigger lets in, is reported and stops nobody.
ALTER TABLE analytics.alert_rules DISABLE TRIGGER check_rule;
UPDATE analytics.alert_rules SET metric_type = 'mood' WHERE name = 'info';
ALTER TABLE analytics.alert_rules ENABLE TRIGGER check_rule;
SELECT r.name, e.triggered, e.state, e.reason
FROM analytics_internal.evaluate_alert_rules('2026-03-12 02:35') AS e JOIN analytics.alert_rules AS r ON r.id = e.alert_rule_id
ORDER BY 1;
TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.alert_rule_states, analytics.alert_rules;

-- 7. Scores. 10 runs at 12:00 of each of the 31 days before Tuesday 2026-06-30, of which 0, 1 or 2 failed, then 12 of which 6 did.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.w(7), pg_temp.u(m), 'agent_run', jsonb_build_object('status', CASE WHEN m <= d % 3 OR d = 0 AND m <= 6 THEN 'failed' ELSE 'ok' END),
       '2026-06-30 12:00'::timestamptz - d * interval '1 day' + m * interval '1 minute'
FROM generate_series(0, 31) AS d, generate_series(1, 12) AS m WHERE m <= 10 OR d = 0;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
VALUES (pg_temp.w(7), 'anomaly', 'failed_runs', 'anomaly', NULL), (pg_temp.w(7), 'constant', 'active_users', 'anomaly', NULL),
       (pg_temp.w(7), 'poisson', 'failed_runs', 'poisson', 0.01), (pg_temp.w(7), 'binomial', 'failure_rate', 'binomial', 0.001),
       (pg_temp.w(7), 'signups', 'user_signups', 'anomaly', NULL), (pg_temp.w(7), 'sessions', 'session_duration', 'anomaly', NULL);
SELECT r.name, t.triggered, t.metric_value, t.reason, jsonb_array_length(t.evaluation_context -> 'baseline') AS points
FROM analytics.alert_rules AS r, analytics.test_alert_rule(r.id, '2026-06-30 13:29') AS t ORDER BY 1;
-- Any minute of the hour gives the same; a quiet hour, few earlier days, a weekend with 8 points.
SELECT t.triggered, t.reason FROM analytics.alert_rules AS r, analytics.test_alert_rule(r.id, '2026-06-30 13:00') AS t WHERE r.name = 'poisson';
SELECT a.at, t.triggered, t.reason
FROM analytics.alert_rules AS r, (VALUES ('2026-06-30 12:59'), ('2026-06-10 13:00'), ('2026-06-28 13:00')) AS a (at),
     analytics.test_alert_rule(r.id, a.at::timestamptz) AS t WHERE r.name = 'poisson';
-- With a delay the hour is the one that ended so long ago, and what it is compared with is seen from there.
UPDATE analytics.alert_rules SET evaluation_delay_minutes = 20 WHERE name = 'poisson';
SELECT a.at, t.triggered, t.reason
FROM analytics.alert_rules AS r, (VALUES ('2026-06-30 13:19'), ('2026-06-30 13:20'), ('2026-06-30 14:19'), ('2026-06-30 14:20')) AS a (at),
     analytics.test_alert_rule(r.id, a.at::timestamptz) AS t WHERE r.name = 'poisson';
TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.alert_rule_states, analytics.alert_rules;

-- 8. Tenants: b1 manages a1, b2 is a plain member, b3 a stranger.
SELECT analytics.setup_roles('regress_alert_anon', 'regress_alert_member', 'regress_alert_service');
CREATE TABLE public.alert_test_members (workspace_id uuid, user_id uuid, role text);
INSERT INTO public.alert_test_members VALUES (pg_temp.w(1), pg_temp.u(1), 'owner'), (pg_temp.w(1), pg_temp.u(2), 'viewer'), (pg_temp.w(2), pg_temp.u(3), 'owner');
INSERT INTO analytics.membership (relation, role_column) VALUES ('public.alert_test_members', 'role');
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes)
VALUES (pg_temp.w(1), 'leaver''s', 'failed_runs', 'greater_than', 1, 60);
SELECT count(*) FROM analytics_internal.evaluate_alert_rules('2026-03-10 11:00');
SELECT set_config('shadow.test_alert', h.id::text, false) IS NOT NULL AS alert FROM analytics.alert_history AS h;
CREATE FUNCTION pg_temp.be(n integer) RETURNS text LANGUAGE sql AS
$$ SELECT 'b' || right(set_config('request.jwt.claims', jsonb_build_object('sub', pg_temp.u(n))::text, false)::jsonb ->> 'sub', 1) $$;
GRANT USAGE ON SCHEMA public TO regress_alert_member;

SELECT pg_temp.be(1);
SET ROLE regress_alert_member;
SELECT a.rule_name, a.state, a.metric_value, a.reason, a.acknowledged_by FROM analytics.active_alerts AS a;
SELECT analytics.acknowledge_alert(current_setting('shadow.test_alert')::uuid, 'on it');
SELECT a.state, a.acknowledged_by = analytics.current_user_id() AS by_me, a.notes FROM analytics.active_alerts AS a;
-- Nobody acknowledges in another's name, whatever he writes; other columns are not his.
SELECT analytics.unacknowledge_alert(current_setting('shadow.test_alert')::uuid);
UPDATE analytics.alert_history SET acknowledged_by = 'b0000000-0000-0000-0000-000000000009', acknowledged_at = '2000-01-01';
SELECT h.acknowledged_by = analytics.current_user_id() AS by_me, h.acknowledged_at > '2026-01-01' AS dated_now FROM analytics.alert_history AS h;
SELECT analytics.snooze_alert(current_setting('shadow.test_alert')::uuid, now() + interval '1 hour');
SELECT a.state FROM analytics.active_alerts AS a;
SELECT analytics.snooze_alert(current_setting('shadow.test_alert')::uuid, '2100-01-01 00:00Z');
UPDATE analytics.alert_history SET resolved_at = now();
UPDATE analytics.alert_rules SET trigger_count = 0;
-- Forgetting a person leaves the acknowledgment and its date.
RESET ROLE;
CREATE TEMP TABLE before AS SELECT h.acknowledged_by, h.acknowledged_at FROM analytics.alert_history AS h;
BEGIN;
SELECT count(*) FROM (SELECT analytics.forget_user(pg_temp.u(1), pg_temp.w(1))) AS f;
SELECT h.acknowledged_by <> b.acknowledged_by AS forgotten, h.acknowledged_at = b.acknowledged_at AS same_date
FROM analytics.alert_history AS h, before AS b;
ROLLBACK;
SET ROLE regress_alert_member;
-- A manager changes the rule of somebody who left, and makes rules for his own workspaces only.
UPDATE analytics.alert_rules SET severity = 'critical';
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value) VALUES (pg_temp.w(1), 'mine', 'failed_runs', 'greater_than', 1)
RETURNING created_by = analytics.current_user_id() AS by_me;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value) VALUES (pg_temp.w(2), 'not mine', 'failed_runs', 'greater_than', 1);
INSERT INTO analytics.alert_rules (workspace_id, name, scope, metric_type, condition, threshold_value)
VALUES ('00000000-0000-0000-0000-000000000000', 'all', 'platform', 'failed_runs', 'greater_than', 1);
SELECT analytics.evaluate_alert_rules();

-- Destinations: what is written cannot be read; strangers get no mail; a code verifies.
SELECT analytics.set_notification_destination(pg_temp.w(1), 'hook', 'webhook', 'https://hooks.example.org/secret/path', 'a signing secret of mine');
SELECT analytics.set_notification_destination(pg_temp.w(1), 'mail', 'email', 'stranger@example.org');
SELECT analytics.set_notification_destination(pg_temp.w(1), 'plain', 'webhook', 'http://example.org/');
SELECT analytics.set_notification_destination(pg_temp.w(1), 'user', 'slack', 'https://me:pass@example.org/');
SELECT analytics.set_notification_destination(pg_temp.w(1), 'short', 'webhook', 'https://example.org/', 'short');
SELECT analytics.set_notification_destination(pg_temp.w(2), 'other', 'webhook', 'https://example.org/');
SELECT address FROM analytics.notification_destinations;
SELECT message FROM analytics.notification_outbox;
RESET ROLE;
INSERT INTO analytics.settings VALUES ('email_domains_allowed', 'example.com, example.org');
SET ROLE regress_alert_member;
SELECT analytics.set_notification_destination(pg_temp.w(1), 'mail', 'email', 'oncall@Example.org');
SELECT d.name, d.channel, d.masked_address, d.is_signed, d.is_verified FROM analytics.notification_destination_list AS d ORDER BY 1;
SELECT analytics.verify_notification_destination(pg_temp.w(1), 'mail', '123456');
UPDATE analytics.notification_destinations SET is_verified = true;
RESET ROLE;
SELECT set_config('shadow.test_code', lower(o.message ->> 'code'), false) ~ '^[0-9a-f]{12}$' AS code FROM analytics.notification_outbox AS o WHERE o.kind = 'verification';
SET ROLE regress_alert_member;
SELECT analytics.verify_notification_destination(pg_temp.w(1), 'mail', current_setting('shadow.test_code'));
SELECT d.name, d.is_verified FROM analytics.notification_destination_list AS d ORDER BY 1;
SELECT analytics.set_notification_destination(pg_temp.w(1), 'mail', 'email', 'another@example.org');
SELECT d.name, d.is_verified FROM analytics.notification_destination_list AS d ORDER BY 1;

RESET ROLE;
SELECT a.action, a.object, a.old_values, a.new_values FROM analytics.audit_log AS a
WHERE a.object = 'analytics.notification_destinations' AND a.user_id IS NOT NULL ORDER BY a.happened_at;
SELECT count(*) AS secrets_in_audit FROM analytics.audit_log AS a WHERE a::text ~ 'another@|secret/path|a signing secret';
SET ROLE regress_alert_member;

SELECT pg_temp.be(2); -- a plain member acknowledges, but manages nothing
SELECT count(*) FROM analytics.alert_rules;
UPDATE analytics.alert_rules SET severity = 'info';
SELECT count(*) FROM analytics.alert_rules AS r WHERE r.severity = 'info';
SELECT count(*) FROM analytics.notification_destination_list;
SELECT analytics.unacknowledge_alert(current_setting('shadow.test_alert')::uuid);
SELECT pg_temp.be(3); -- a stranger sees nothing
SELECT count(*) FROM analytics.alert_rules;
SELECT count(*) FROM analytics.active_alerts;
\set VERBOSITY sqlstate
SELECT analytics.acknowledge_alert(current_setting('shadow.test_alert')::uuid);
\set VERBOSITY default
RESET ROLE;
RESET request.jwt.claims;

-- 9. The notifier's side: leases, backoff, giving up.
UPDATE analytics.alert_rules SET notification_channels = '["webhook"]', notification_recipients = '["hook"]' WHERE name = 'mine';
TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.alert_rule_states;
UPDATE analytics.alert_rules SET evaluation_window_minutes = 60;
SELECT count(*) FROM analytics_internal.evaluate_alert_rules('2026-03-10 11:00');
SELECT c.attempt, c.channel, c.address, c.signing_secret, c.subject, c.body::jsonb ->> 'kind' AS kind FROM analytics_internal.claim_notifications('n1', 10, '1 minute') AS c;
SELECT count(*) AS leased_to_another FROM analytics_internal.claim_notifications('n2', 10, '1 minute');
SELECT analytics_internal.record_delivery('n2', o.workspace_id, o.id, true, false, 200, 5, NULL, NULL) AS not_mine FROM analytics.notification_outbox AS o;
SELECT analytics_internal.record_delivery('n1', o.workspace_id, o.id, false, false, 500, 5, 'HTTP 500', '10 minutes') FROM analytics.notification_outbox AS o;
SELECT o.status, o.attempts, o.last_error, o.next_attempt_at > now() + interval '9 minutes' AS waits FROM analytics.notification_outbox AS o;
SELECT count(*) AS not_due FROM analytics_internal.claim_notifications('n1', 10, '1 minute');
SELECT jsonb_pretty(analytics_internal.notification_body(o.id, 'slack', o.message || '{"alert_id": "a", "rule_name": "<!channel> & co"}')::jsonb) FROM analytics.notification_outbox AS o;
SELECT analytics_internal.notification_body(o.id, 'email', o.message || '{"alert_id": "a"}') FROM analytics.notification_outbox AS o;
-- A notifier that dies while sending: the lease runs out.
UPDATE analytics.notification_outbox SET next_attempt_at = now();
SELECT c.attempt FROM analytics_internal.claim_notifications('n1', 10, '-1 second') AS c;
SELECT c.attempt FROM analytics_internal.claim_notifications('n2', 10, '1 minute') AS c;
SELECT analytics_internal.record_delivery('n1', o.workspace_id, o.id, true, false, 200, 5, NULL, NULL) AS too_late FROM analytics.notification_outbox AS o;
SELECT analytics_internal.record_delivery('n2', o.workspace_id, o.id, true, false, 200, 5, NULL, NULL) FROM analytics.notification_outbox AS o;
SELECT o.status, o.attempts, o.last_error, o.response_status, o.latency_ms, o.delivered_at IS NOT NULL AS dated FROM analytics.notification_outbox AS o;
UPDATE analytics.notification_outbox SET status = 'waiting', attempts = 11, next_attempt_at = now();
SELECT c.attempt FROM analytics_internal.claim_notifications('n1', 10, '1 minute') AS c;
SELECT analytics_internal.record_delivery('n1', o.workspace_id, o.id, false, false, NULL, 5, 'connection refused', NULL) FROM analytics.notification_outbox AS o;
UPDATE analytics.notification_outbox SET status = 'waiting', attempts = 0, next_attempt_at = now();
DELETE FROM analytics.notification_destinations;
SELECT count(*) FROM analytics_internal.claim_notifications('n1', 10, '1 minute');
SELECT o.status, o.last_error FROM analytics.notification_outbox AS o;

TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.alert_rule_states, analytics.alert_rules, analytics.user_activity, analytics.hourly_metrics;
DELETE FROM analytics.settings;
DELETE FROM analytics.membership;
DELETE FROM analytics.access_roles;
TRUNCATE analytics.audit_log;
DROP TABLE public.alert_test_members;
DROP OWNED BY regress_alert_anon, regress_alert_member, regress_alert_service;
DROP ROLE regress_alert_anon, regress_alert_member, regress_alert_service;
