-- The rights of a person.
SET timezone = 'UTC';
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');
INSERT INTO analytics.settings VALUES ('ip_policy', 'keep'), ('keep_query', 'true'), ('event_max_age_days', '3650');
-- Ann is …a1, Bob …b1. Every free text, unknown key, address and session of Ann's says MARKER.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)
SELECT md5('w' || i % 2)::uuid, u, t, 'name', '/MARKER?x', md5('MARKER' || u || i / 4)::uuid, '203.0.113.77', 'MARKER', 'https://MARKER',
       jsonb_build_object('agent_id', md5('agent'), 'run_id', 'r' || i / 2, 'status', CASE i % 3 WHEN 0 THEN 'failed' ELSE 'success' END,
                          'credits', i, 'runtime', '1.5', 'cost', 'MARKER', 'tokens', jsonb_build_object('prompt_tokens', 1, 'completion_tokens', 2, 'MARKER', 'MARKER'),
                          'revenue', 2, 'error_type', 'timeout', 'error_message', 'MARKER', 'failure_reason', 'MARKER', 'rating', 5, 'comment', 'MARKER',
                          'MARKER', 'MARKER', 'feedback', jsonb_build_array('MARKER'), 'note', '00000000-0000-4000-8000-0000000000a1'),
       TIMESTAMPTZ '2025-01-01 10:00Z' + i * interval '20 minutes'
FROM generate_series(1, 24) AS i, unnest('{agent_run,error,page_view}'::text[]) AS t,
     unnest('{00000000-0000-4000-8000-0000000000a1,00000000-0000-4000-8000-0000000000b1}'::uuid[]) AS u;
SET row_security = off; -- Bob's own texts are nobody's business here
UPDATE analytics.user_activity SET page_path = NULL, session_id = NULL, user_agent = NULL, referrer = NULL, metadata = '{"credits": 1}', ip_address = NULL
WHERE user_id = '00000000-0000-4000-8000-0000000000b1';
-- But one of his events, an episode and a message name her.
UPDATE analytics.user_activity
SET metadata = '{"invited": "00000000-0000-4000-8000-0000000000a1", "credits": 1}', page_path = '/users/00000000-0000-4000-8000-0000000000a1'
WHERE user_id = '00000000-0000-4000-8000-0000000000b1' AND created_at = '2025-01-01 10:20Z' AND event_type = 'page_view';
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, created_by)
VALUES (md5('w0')::uuid, 'runs', 'failed_runs', 'greater_than', 1, '00000000-0000-4000-8000-0000000000a1');
INSERT INTO analytics.alert_history (workspace_id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason, evaluation_context, acknowledged_by, acknowledged_at, notes)
SELECT workspace_id, id, name, severity, '2025-01-01', metric_type, condition, 'high',
       '{"user": "00000000-0000-4000-8000-0000000000a1", "samples": [{"at": "2025-01-01T10:40:00Z", "message": "MARKER"}, {"at": "2025-01-01T10:41:00Z", "message": "of another"}]}',
       '00000000-0000-4000-8000-0000000000a1', '2025-01-01', 'MARKER' FROM analytics.alert_rules;
INSERT INTO analytics.alert_history (workspace_id, alert_rule_id, rule_name, severity, triggered_at, resolved_at, metric_type, condition, reason, acknowledged_by, acknowledged_at, notes)
SELECT workspace_id, id, name, severity, '2025-01-01', '2025-01-02', metric_type, condition, 'high',
       '00000000-0000-4000-8000-0000000000b1', '2025-01-01', 'ask 00000000-0000-4000-8000-0000000000a1' FROM analytics.alert_rules;
INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message, last_error)
VALUES (md5('w0')::uuid, 'firing', 'x', 'webhook', '{"acknowledged_by": "00000000-0000-4000-8000-0000000000a1"}', 'no 00000000-0000-4000-8000-0000000000a1');
RESET row_security;

-- Every count, before and after.
CREATE FUNCTION pg_temp.counts() RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM analytics.aggregate_daily_metrics('2025-01-01');
    RETURN QUERY SELECT to_jsonb(d) - '{created_at,updated_at}'::text[] FROM analytics.daily_metrics AS d;
    RETURN QUERY SELECT to_jsonb(a) - '{created_at,updated_at,common_failure_reasons}'::text[] FROM analytics.agent_performance AS a;
    RETURN QUERY SELECT to_jsonb(c) - '{created_at,updated_at}'::text[] FROM analytics.daily_event_counts AS c;
END $$;
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.counts() AS c;
SELECT count(*) FROM before;

-- What is stored: for Ann herself and the service role, for nobody else.
CREATE FUNCTION pg_temp.exported(who text) RETURNS text LANGUAGE sql AS $$
    SELECT set_config('request.jwt.claim.sub', '00000000-0000-4000-8000-0000000000' || who, true);
    SELECT string_agg(jsonb_array_length(value) || ' ' || key, ', ' ORDER BY key COLLATE "C")
    FROM analytics.export_user('00000000-0000-4000-8000-0000000000a1') AS e, jsonb_each(e) WHERE jsonb_typeof(value) = 'array' $$;
BEGIN;
SET LOCAL ROLE regress_service;
SET LOCAL request.jwt.claim.sub = '00000000-0000-4000-8000-0000000000a1';
INSERT INTO analytics.credit_prices (price, currency, model) VALUES (1, 'USD', 'unused');
SELECT pg_temp.exported('ff') AS service;
SET LOCAL ROLE regress_member;
SELECT pg_temp.exported('a1') AS herself, pg_temp.exported('b1') AS another;
SELECT set_config('request.jwt.claim.sub', '', true), analytics.export_self() AS nobody, pg_temp.exported('') AS nobodys;
SELECT set_config('request.jwt.claim.sub', '00000000-0000-4000-8000-0000000000c1', true),
       analytics.export_self() - 'user_id' = (SELECT jsonb_object_agg(key, '[]'::jsonb) FROM jsonb_object_keys(analytics.export_self() - 'user_id') AS key) AS unknown_user;
SELECT analytics_internal.export_self();
COMMIT;
SELECT e #> '{revenue,0,revenue}' AS revenue, e #> '{daily_users,0,metric_date}' AS day FROM analytics.export_user('00000000-0000-4000-8000-0000000000a1') AS e;
-- Every column that holds persons is exported; one that comes to is to be added here and to export_user, forget_user.
SELECT c.oid::regclass AS relation, a.attname AS not_exported
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND (a.attname IN ('user_id', 'user_number') OR a.attname LIKE '%\_by' OR a.atttypid IN ('analytics.user_set'::regtype, 'analytics.user_set[]'::regtype))
  AND (c.relname, a.attname) NOT IN (('user_activity', 'user_id'), ('users', 'user_id'), ('users', 'user_number'), ('daily_users', 'users'), ('daily_users', 'new_users'),
      ('agent_performance', 'users'), ('daily_event_usage', 'users'), ('daily_user_revenue', 'user_number'), ('alert_rules', 'created_by'),
      ('segments', 'created_by'), ('segments', 'users'), ('annotations', 'created_by'),
      ('alert_history', 'acknowledged_by'), ('audit_log', 'user_id'),
      ('watermark', 'marked_by'), ('rollup_changes', 'changed_by'), ('change_readers', 'read_by'), ('notification_outbox', 'leased_by')) -- transactions, a process
ORDER BY 1, 2;
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;

SET ROLE regress_member;
SELECT analytics.forget_user('00000000-0000-4000-8000-0000000000a1');
SET ROLE regress_service;
SELECT analytics.forget_user(NULL);
SELECT analytics.forget_user('00000000-0000-4000-8000-0000000000a1', md5('w1')::uuid) AS one_workspace;
SELECT analytics.forget_user('00000000-0000-4000-8000-0000000000a1') AS the_rest;
SELECT analytics.forget_user('00000000-0000-4000-8000-0000000000a1') AS nothing_left;
RESET ROLE;

-- Nothing of her is left in any table, and every count is what it was.
SELECT c.oid::regclass AS holds_something
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'm')
  AND query_to_xml(format('SELECT 1 FROM %s AS t WHERE t::text ~ ''MARKER|0000000000a1|203.0.113|%s'' LIMIT 1', c.oid::regclass,
                          (SELECT string_agg(DISTINCT md5('MARKER00000000-0000-4000-8000-0000000000a1' || i)::uuid::text, '|') FROM generate_series(0, 24) AS i)),
                   false, false, '')::text LIKE '%<row%';
SELECT regexp_replace(metadata ->> 'invited', '[0-9a-f]', 'x', 'g') AS invited, (metadata ->> 'invited')::uuid = split_part(page_path, '/', 3)::uuid AS same
FROM analytics.user_activity WHERE metadata ? 'invited';
SELECT h.acknowledged_by = r.created_by AS by_tombstone, h.acknowledged_at IS NOT NULL AS acknowledged, h.notes IS NULL AS no_notes, left(h.notes, 4) AS notes, h.evaluation_context -> 'samples' AS samples
FROM analytics.alert_history AS h, analytics.alert_rules AS r ORDER BY h.notes NULLS FIRST;
SELECT count(DISTINCT user_id) AS users, count(DISTINCT session_id) AS sessions FROM analytics.user_activity;
SELECT metadata FROM analytics.user_activity WHERE metadata ? 'status' ORDER BY created_at, event_type LIMIT 1;
SELECT (SELECT count(*) FROM (TABLE before EXCEPT SELECT * FROM pg_temp.counts()) AS x) AS differences;
SELECT action, user_id, new_values FROM analytics.audit_log WHERE action = 'forget_user' ORDER BY happened_at;

TRUNCATE analytics.settings, analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue,
    analytics.credit_prices, analytics.access_roles;
TRUNCATE analytics.alert_rules, analytics.alert_history, analytics.notification_outbox;
TRUNCATE analytics.audit_log, analytics.daily_error_types;
SELECT count(*) FROM analytics.refresh_all_materialized_views();
DROP OWNED BY regress_anon, regress_member, regress_service;
DROP ROLE regress_anon, regress_member, regress_service;
