-- Who sees which rows: every policy of the extension. Rules for a new table:
--   * ENABLE ROW LEVEL SECURITY beside its CREATE TABLE, policies here, privileges in role_grants().
--   * No TO clause: roles need not exist when the extension is created. What a role may do at all is a matter
--     of privileges; which rows, of these policies. Owner and service role bypass them.
--   * One permissive policy per command; no sub-select: compare with the functions below, which are cached.
--   * Rows of a tenant:  USING (workspace_id = ANY (analytics.workspace_ids()))
--   * Rows of nobody:    FOR SELECT USING (false), so that the intention is visible
--   * Materialized views know no row security: grant them to nobody and read them through a view
--     WITH (security_barrier) AS SELECT ... WHERE workspace_id = ANY (analytics.workspace_ids())
-- Partitions have a policy of their own kind, see 63-partitions.sql.

CREATE POLICY member_reads ON analytics.daily_metrics FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_metrics IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.hourly_metrics FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.hourly_metrics IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.agent_performance FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.agent_performance IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_event_usage FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_event_usage IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_error_types FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_error_types IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.users FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.users IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_users FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_users IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_user_revenue FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_user_revenue IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.user_cohorts FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.user_cohorts IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.workspace_settings FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_settings IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.credit_prices FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.credit_prices IS
    'members read their workspaces'' own prices';

CREATE POLICY manager_reads ON analytics.audit_log FOR SELECT
    USING (workspace_id = ANY (analytics.managed_workspace_ids()) OR user_id = analytics.current_user_id());
COMMENT ON POLICY manager_reads ON analytics.audit_log IS
    'managers read what concerns their workspaces, users what they did themselves';

CREATE POLICY user_reads ON analytics.user_activity FOR SELECT
    USING (user_id = analytics.current_user_id() OR workspace_id = ANY (analytics.raw_event_workspace_ids()));
COMMENT ON POLICY user_reads ON analytics.user_activity IS
    'users read their own events, and others'' where the setting raw_events_visible_to says so';
CREATE POLICY user_inserts ON analytics.user_activity FOR INSERT
    WITH CHECK (user_id = analytics.current_user_id()
                AND (workspace_id = '00000000-0000-0000-0000-000000000000'
                     OR workspace_id = ANY (analytics.workspace_ids()))
                AND created_at BETWEEN analytics.earliest_event_time() AND analytics.latest_event_time());
COMMENT ON POLICY user_inserts ON analytics.user_activity IS
    'users insert their own events, in their workspaces or none, dated within the limits of the settings';

CREATE POLICY no_access ON analytics.settings FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.settings IS
    'for the owner and the service role only';
CREATE POLICY no_access ON analytics.membership FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.membership IS
    'for the owner only';
CREATE POLICY no_access ON analytics.access_roles FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.access_roles IS
    'for the owner only';
CREATE POLICY no_access ON analytics.ip_secret FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.ip_secret IS
    'for the owner only';

CREATE POLICY member_reads ON analytics.alert_rules FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rules IS
    'members read their workspaces';
CREATE POLICY manager_inserts ON analytics.alert_rules FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.alert_rules IS
    'managers make rules for their workspaces';
CREATE POLICY manager_updates ON analytics.alert_rules FOR UPDATE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.alert_rules IS
    'managers change any rule of their workspaces, whoever made it';
CREATE POLICY manager_deletes ON analytics.alert_rules FOR DELETE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.alert_rules IS
    'managers delete any rule of their workspaces';
CREATE POLICY member_reads ON analytics.alert_rule_states FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rule_states IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.alert_history FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_history IS
    'members read their workspaces';
CREATE POLICY member_updates ON analytics.alert_history FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_updates ON analytics.alert_history IS
    'members acknowledge, snooze and note; other columns are not granted';
CREATE POLICY manager_reads ON analytics.notification_destinations FOR SELECT
    USING (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_reads ON analytics.notification_destinations IS
    'managers read the names; addresses and secrets are not granted';
CREATE POLICY manager_inserts ON analytics.notification_destinations FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.notification_destinations IS
    'managers make destinations for their workspaces';
CREATE POLICY manager_updates ON analytics.notification_destinations FOR UPDATE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.notification_destinations IS
    'managers change destinations of their workspaces';
CREATE POLICY manager_deletes ON analytics.notification_destinations FOR DELETE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.notification_destinations IS
    'managers delete destinations of their workspaces';
CREATE POLICY member_reads ON analytics.notification_outbox FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.notification_outbox IS
    'members see what became of their workspaces'' notifications; the messages are not granted';
CREATE POLICY no_access ON analytics.watermark FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.watermark IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.dirty_hours FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.dirty_hours IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.failed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.failed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.stale_totals FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.stale_totals IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.closed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.closed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.sealed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.sealed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.retention_policies FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.retention_policies IS
    'for the owner only';
CREATE POLICY no_access ON analytics.job_runs FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.job_runs IS
    'for maintenance only';
CREATE POLICY member_reads ON analytics.workspace_retention FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_retention IS
    'members read their workspaces''';
