-- Triggers tell strangers nothing, believe row_security = off of the owner only, and keep secrets out of errors.
\set SHOW_CONTEXT never
CREATE TABLE public.quiet_members (workspace_id uuid, user_id uuid);
INSERT INTO public.quiet_members VALUES ('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001');
INSERT INTO analytics.membership (relation) VALUES ('public.quiet_members');
SELECT analytics.setup_roles('regress_quiet_anon', 'regress_quiet_member', 'regress_quiet_service');
CREATE ROLE regress_quiet_operator;
SELECT analytics.grant_operator('regress_quiet_operator');
-- The other workspace, 2, has destinations, and has verified as many addresses as it may in this hour.
SELECT analytics.set_notification_destination('a0000000-0000-0000-0000-000000000002', 'hook', 'webhook', 'https://example.org/hook');
INSERT INTO analytics.settings VALUES ('email_domains_allowed', '*');
INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message)
SELECT 'a0000000-0000-0000-0000-000000000002', 'verification', 'mail', 'email', '{}' FROM generate_series(1, 5);
SELECT set_config('request.jwt.claims', '{"sub":"b0000000-0000-0000-0000-000000000001"}', false) <> '' AS signed_in;
GRANT USAGE ON SCHEMA public TO regress_quiet_member;
SET ROLE regress_quiet_member;

-- 1. A foreign workspace: one error, whatever the workspace has (2) or has not (3).
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ' ' || detail;
END $$;
SELECT s.what, w.n, pg_temp.error_of(format(s.statement, w.n))
FROM generate_series(2, 3) AS w (n),
     (VALUES (1, 'a destination that it may have', $$INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address) VALUES ('a0000000-0000-0000-0000-00000000000%s', 'hook', 'webhook', 'https://example.org/')$$),
             (2, 'an address to verify', $$INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address) VALUES ('a0000000-0000-0000-0000-00000000000%s', 'mail', 'email', 'me@example.org')$$),
             (3, 'the same by a function', $$SELECT analytics.set_notification_destination('a0000000-0000-0000-0000-00000000000%s', 'mail', 'email', 'me@example.org')$$),
             (4, 'a rule for a destination', $$INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, notification_channels, notification_recipients)
                                                 VALUES ('a0000000-0000-0000-0000-00000000000%s', 'r', 'failed_runs', 'greater_than', 1, '["webhook"]', '["hook"]')$$)) AS s (place, what, statement)
ORDER BY s.place, w.n;
-- In one's own workspace recipients are still checked.
SELECT pg_temp.error_of($$INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, notification_channels, notification_recipients)
    VALUES ('a0000000-0000-0000-0000-000000000001', 'r', 'failed_runs', 'greater_than', 1, '["webhook"]', '["hook"]')$$);

-- 2. row_security off within a statement: not believed of a member.
INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address)
SELECT 'a0000000-0000-0000-0000-000000000001', 'mail', 'email', 'me@example.org' FROM set_config('row_security', 'off', true) AS s (value) WHERE value = 'off';
SELECT name, is_verified FROM analytics.notification_destinations;
SELECT pg_temp.error_of($$INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address)
    SELECT 'a0000000-0000-0000-0000-000000000001', 'wrong', 'webhook', 'http://127.0.0.1' FROM set_config('row_security', 'off', true) AS s (value) WHERE value = 'off'$$);
SELECT pg_temp.error_of($$INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, notification_channels, notification_recipients)
    SELECT 'a0000000-0000-0000-0000-000000000001', 'r', 'failed_runs', 'greater_than', 1, '["webhook"]', '["hook"]' FROM set_config('row_security', 'off', true) AS s (value) WHERE value = 'off'$$);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, page_path, ip_address)
SELECT 'a0000000-0000-0000-0000-000000000001', analytics.current_user_id(), 'click', '/a?secret', '203.0.113.77' FROM set_config('row_security', 'off', true) AS s (value) WHERE value = 'off';
RESET ROLE;
SELECT page_path, ip_address IS DISTINCT FROM '203.0.113.77' AS is_protected FROM analytics.user_activity WHERE workspace_id = 'a0000000-0000-0000-0000-000000000001';
-- Late events are noted.
BEGIN;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
INSERT INTO analytics.watermark (marked_until) VALUES (now() + interval '1 hour');
SET LOCAL ROLE regress_quiet_member;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type)
SELECT 'a0000000-0000-0000-0000-000000000001', analytics.current_user_id(), 'click' FROM set_config('row_security', 'off', true) AS s (value) WHERE value = 'off';
RESET ROLE;
SET LOCAL row_security = on;
SELECT count(*) AS noted FROM analytics.dirty_hours WHERE workspace_id = 'a0000000-0000-0000-0000-000000000001';
ROLLBACK;
-- An acknowledgment is by the one who writes.
INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
VALUES ('a0000000-0000-0000-0000-000000000001', 'c0000000-0000-0000-0000-000000000001', 'c0000000-0000-0000-0000-000000000002', 'r', 'info', now(), 'failed_runs', 'greater_than', 'because');
SET ROLE regress_quiet_member;
UPDATE analytics.alert_history AS h SET acknowledged_by = 'b0000000-0000-0000-0000-000000000009', acknowledged_at = '2000-01-01'
FROM set_config('row_security', 'off', true) AS s (value) WHERE s.value = 'off';
SELECT acknowledged_by = analytics.current_user_id() AS by_me, acknowledged_at > '2026-01-01' AS dated_now FROM analytics.alert_history;

-- 3. No address and no secret in an error.
SELECT pg_temp.error_of(format($$SELECT analytics.set_notification_destination('a0000000-0000-0000-0000-000000000001', %s, 'a secret of sixteen')$$, arguments))
FROM unnest(ARRAY[$$'n', 'fax', 'https://secret.example.org/'$$, $$'n', NULL, 'https://secret.example.org/'$$, $$'a@b', 'webhook', 'https://secret.example.org/'$$,
                  $$NULL, 'webhook', 'https://secret.example.org/'$$, $$'n', 'webhook', NULL$$, $$'n', 'webhook', 'http://secret.example.org/'$$]) AS arguments;
RESET ROLE;

-- 4. Operators evaluate as of now.
SET ROLE regress_quiet_operator;
SELECT pg_temp.error_of($$SELECT analytics_internal.evaluate_alert_rules(now() + interval '1 day')$$) LIKE '22023 alert rules are evaluated as of now%' AS future,
       pg_temp.error_of($$SELECT analytics_internal.evaluate_alert_rules('2001-01-01 00:00Z')$$) LIKE '22023 alert rules are evaluated as of now%' AS past,
       pg_temp.error_of('SELECT analytics.evaluate_alert_rules()') AS now;
RESET ROLE;

RESET request.jwt.claims;
TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.notification_destinations, analytics.alert_rule_states, analytics.alert_rules, analytics.user_activity, analytics.dirty_hours;
DELETE FROM analytics.settings;
DELETE FROM analytics.membership;
TRUNCATE analytics.audit_log;
DROP TABLE public.quiet_members;
SELECT analytics.revoke_operator('regress_quiet_operator');
DELETE FROM analytics.access_roles;
DROP OWNED BY regress_quiet_anon, regress_quiet_member, regress_quiet_service, regress_quiet_operator;
DROP ROLE regress_quiet_anon, regress_quiet_member, regress_quiet_service, regress_quiet_operator;
