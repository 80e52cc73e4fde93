-- The audit log, and the audit of the installation's security.
SET timezone = 'UTC';
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid, role text);
INSERT INTO public.workspace_members VALUES ('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001', 'owner'),
                                            ('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000002', 'viewer');
SELECT analytics.setup_roles('regress_anon', 'regress_member', 'regress_service');

-- Nothing to find; then one finding after another.
SELECT * FROM analytics.security_audit();
BEGIN;
ALTER TABLE analytics.daily_metrics DISABLE ROW LEVEL SECURITY;
DROP POLICY member_reads ON analytics.hourly_metrics;
GRANT SELECT ON analytics.agent_performance TO regress_anon;
GRANT SELECT ON analytics.settings TO PUBLIC;
GRANT TRUNCATE ON analytics.daily_error_types TO regress_member;
CREATE MATERIALIZED VIEW analytics.regress_view AS SELECT 1 AS one;
GRANT SELECT ON analytics.regress_view TO regress_member;
GRANT USAGE ON SCHEMA analytics_internal TO regress_member;
GRANT EXECUTE ON FUNCTION analytics_internal.membership_problem() TO regress_member;
ALTER FUNCTION analytics.get_user_workspaces() RESET search_path;
ALTER ROLE regress_member BYPASSRLS;
ALTER ROLE regress_service NOBYPASSRLS;
GRANT INSERT ON public.workspace_members TO regress_member;
CREATE TABLE analytics.regress_table (one int);
SELECT * FROM analytics.security_audit();
ROLLBACK;
-- Row security guards the membership relation as long as no policy lets clients write.
BEGIN;
GRANT ALL ON public.workspace_members TO regress_member;
ALTER TABLE public.workspace_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.workspace_members FOR SELECT USING (true);
SELECT finding, object FROM analytics.security_audit();
CREATE POLICY writes ON public.workspace_members FOR UPDATE TO regress_member USING (true);
SELECT finding, object FROM analytics.security_audit();
ROLLBACK;
BEGIN;
ALTER TABLE public.workspace_members RENAME TO elsewhere;
SELECT * FROM analytics.security_audit();
INSERT INTO analytics.membership (source) VALUES ('claim');
SELECT * FROM analytics.security_audit();
ROLLBACK;
SET ROLE regress_service;
SELECT count(*) FROM analytics.security_audit();
SET ROLE regress_member;
SELECT count(*) FROM analytics.security_audit();
RESET ROLE;

-- The log: who, what, before and after; not what did not change, nor what a restore brings.
TRUNCATE analytics.audit_log;
CREATE VIEW pg_temp.entry AS
SELECT right(workspace_id::text, 1) AS workspace, database_role = session_user AS is_session, right(user_id::text, 1) AS user, action, object,
       old_values - '{created_at,updated_at,acknowledged_at,snoozed_until}'::text[] AS old_values, new_values - '{created_at,updated_at,acknowledged_at,snoozed_until}'::text[] AS new_values
FROM analytics.audit_log ORDER BY happened_at;
INSERT INTO analytics.settings VALUES ('currency', 'EUR');
UPDATE analytics.settings SET value = 'EUR';
UPDATE analytics.settings SET value = 'CHF';
DELETE FROM analytics.settings;
TRUNCATE analytics.membership;
SELECT analytics.rotate_ip_secret();
BEGIN;
SET LOCAL ROLE regress_service;
SET LOCAL request.jwt.claim.sub = 'b0000000-0000-0000-0000-000000000001';
INSERT INTO analytics.credit_prices (workspace_id, price, currency) VALUES ('a0000000-0000-0000-0000-000000000001', 0.5, 'USD');
-- Only an owner restores: others who say so are not believed.
SET LOCAL row_security = off;
UPDATE analytics.credit_prices SET price = 0.6;
INSERT INTO analytics.workspace_retention VALUES ('a0000000-0000-0000-0000-000000000001', 'hourly_metrics', 7);
COMMIT;
SET row_security = off;
INSERT INTO analytics.settings VALUES ('currency', 'EUR');
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('hourly_metrics', 40);
RESET row_security;
UPDATE analytics.retention_policies SET keep_days = 50;
-- Alerts: who acknowledged, snoozed and took it back.
INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
VALUES ('a0000000-0000-0000-0000-000000000001', 'c0000000-0000-0000-0000-000000000001', 'c0000000-0000-0000-0000-000000000002', 'r', 'warning', '2025-01-01', 'error_rate', 'greater_than', 'x');
BEGIN;
SET LOCAL ROLE regress_member;
SET LOCAL request.jwt.claim.sub = 'b0000000-0000-0000-0000-000000000002';
SELECT analytics.acknowledge_alert('c0000000-0000-0000-0000-000000000001');
SELECT analytics.snooze_alert('c0000000-0000-0000-0000-000000000001', now() + interval '1 hour');
SELECT analytics.unacknowledge_alert('c0000000-0000-0000-0000-000000000001');
COMMIT;
SELECT * FROM pg_temp.entry;
SELECT analytics_internal.mask_secrets('{"token": "x", "a": [{"Password": 1, "webhook": "https://u:p@hooks.example.org/T0/B1?x=y", "b": "c"}], "api_key": null, "n": 1}');

-- Managers read their workspace's entries; nobody changes any.
CREATE PROCEDURE pg_temp.be(n text) LANGUAGE sql AS $$ SELECT set_config('request.jwt.claim.sub', 'b0000000-0000-0000-0000-00000000000' || n, false) $$;
INSERT INTO analytics.membership (role_column) VALUES ('role');
SET ROLE regress_member;
CALL pg_temp.be('1'); SELECT count(*), min(object) FROM analytics.audit_log;
CALL pg_temp.be('2'); SELECT count(*) FROM analytics.audit_log;
DELETE FROM analytics.audit_log;
SET ROLE regress_service;
UPDATE analytics.audit_log SET action = 'x';
DELETE FROM analytics.audit_log;
TRUNCATE analytics.audit_log;
INSERT INTO analytics.audit_log (database_role, action, object) VALUES ('x', 'x', 'x');
RESET ROLE;

TRUNCATE analytics.settings, analytics.membership, analytics.credit_prices, analytics.retention_policies, analytics.workspace_retention, analytics.alert_history, analytics.ip_secret, analytics.access_roles;
TRUNCATE analytics.audit_log;
RESET request.jwt.claim.sub;
DROP TABLE public.workspace_members;
DROP OWNED BY regress_anon, regress_member, regress_service;
DROP ROLE regress_anon, regress_member, regress_service;
