-- Limits of a workspace, arguments of maintenance, and settings of the caller that must not matter.
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE TABLE public.limits_members (workspace_id uuid, user_id uuid);
INSERT INTO public.limits_members VALUES ('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001');
INSERT INTO analytics.membership (relation) VALUES ('public.limits_members');
-- Default privileges for everybody are taken back.
GRANT SELECT ON analytics.daily_metrics, analytics.mv_top_agents TO PUBLIC;
SELECT analytics.setup_roles('regress_limits_anon', 'regress_limits_member', 'regress_limits_service');
SELECT has_table_privilege('regress_limits_anon', 'analytics.daily_metrics', 'SELECT') AS table_to_all,
       has_table_privilege('regress_limits_anon', 'analytics.mv_top_agents', 'SELECT') AS view_to_all,
       has_table_privilege('regress_limits_member', 'analytics.daily_metrics', 'SELECT') AS to_members;

-- So many rules and destinations, and no more; the limit is a setting, and not for the owner.
INSERT INTO analytics.settings VALUES ('alert_rules_per_workspace', '3'), ('destinations_per_workspace', '2');
SELECT set_config('request.jwt.claims', '{"sub":"b0000000-0000-0000-0000-000000000001"}', false) <> '' AS signed_in;
SET ROLE regress_limits_member;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
SELECT 'a0000000-0000-0000-0000-000000000001', 'r' || i, 'failed_runs', 'greater_than', 1 FROM generate_series(1, 4) AS i;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
SELECT 'a0000000-0000-0000-0000-000000000001', 'r' || i, 'failed_runs', 'greater_than', 1 FROM generate_series(1, 3) AS i;
\set VERBOSITY default
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
VALUES ('a0000000-0000-0000-0000-000000000001', 'one more', 'failed_runs', 'greater_than', 1);
SELECT analytics.set_notification_destination('a0000000-0000-0000-0000-000000000001', 'n' || i, 'webhook', 'https://example.org/') FROM generate_series(1, 2) AS i;
SELECT analytics.set_notification_destination('a0000000-0000-0000-0000-000000000001', 'n3', 'webhook', 'https://example.org/');
-- A foreign workspace does not tell how many it has.
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
VALUES ('a0000000-0000-0000-0000-000000000002', 'foreign', 'failed_runs', 'greater_than', 1);
RESET ROLE;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
VALUES ('a0000000-0000-0000-0000-000000000001', 'by the owner', 'failed_runs', 'greater_than', 1);
SELECT (SELECT count(*) FROM analytics.alert_rules) AS rules, (SELECT count(*) FROM analytics.notification_destinations) AS destinations;

-- Steps that are none.
SELECT analytics_internal.run_step('everything', now());
SELECT analytics_internal.run_step(NULL, now());

-- Divisions of a day that overflow or divide nothing.
SELECT d.shares, d.share, d.passes, (SELECT count(*) FROM analytics_internal.collect_rollups('2026-01-02', '2026-01-04 00:00Z', '2026-01-01 00:00Z', '2026-01-04 00:00Z', d.shares, d.share, d.passes))
FROM (VALUES (2, 1, 4)) AS d (shares, share, passes);
CREATE FUNCTION pg_temp.collect(shares integer, share integer, passes integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(*) FROM analytics_internal.collect_rollups('2026-01-02', '2026-01-04 00:00Z', '2026-01-01 00:00Z', '2026-01-04 00:00Z', shares, share, passes));
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN SQLERRM;
END $$;
SELECT d.*, pg_temp.collect(d.shares, d.share, d.passes)
FROM (VALUES (65536, 0, 65536), (2147483647, 0, 1), (1, 0, 2147483647), (0, 0, 1), (-2, 0, 1), (2, 2, 1), (2, -1, 1), (3, 0, 1), (1, 0, 0), (1, 0, 3)) AS d (shares, share, passes);

-- Views are refreshed under any setting that a caller can have: every boolean the other way, every choice.
CREATE FUNCTION pg_temp.failures(setting_name text, setting_value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    failures text;
BEGIN
    PERFORM set_config(setting_name, setting_value, true);
    SELECT string_agg(concat(v.view, ': ', v.error), '; ') INTO failures FROM analytics.refresh_all_materialized_views() AS v WHERE v.error IS NOT NULL;
    RAISE EXCEPTION USING ERRCODE = 'P0999', MESSAGE = coalesce(failures, '');
EXCEPTION WHEN SQLSTATE 'P0999' THEN
    RETURN nullif(SQLERRM, '');
END $$;
CREATE TEMP TABLE tried AS
SELECT s.name, v.value
FROM pg_settings AS s,
     unnest(CASE s.vartype WHEN 'bool' THEN ARRAY[CASE s.setting WHEN 'on' THEN 'off' ELSE 'on' END] ELSE s.enumvals END) AS v (value)
WHERE s.context = 'user' AND s.vartype IN ('bool', 'enum') AND s.name !~ '^(exit_on_error|transaction_|log_|debug_|trace_|client_min_|jit|enable_)';
SELECT count(*) > 30 AS many FROM tried;
SELECT f.* FROM (SELECT t.name, t.value, pg_temp.failures(t.name, t.value) AS failures FROM tried AS t OFFSET 0) AS f WHERE f.failures IS NOT NULL;

RESET request.jwt.claims;
TRUNCATE analytics.alert_history, analytics.notification_outbox, analytics.notification_destinations, analytics.alert_rule_states, analytics.alert_rules;
DELETE FROM analytics.settings;
DELETE FROM analytics.membership;
DELETE FROM analytics.access_roles;
TRUNCATE analytics.audit_log;
DROP TABLE public.limits_members;
DROP OWNED BY regress_limits_anon, regress_limits_member, regress_limits_service;
DROP ROLE regress_limits_anon, regress_limits_member, regress_limits_service;
