-- Access: who the caller is, which rows the caller sees, and what the roles of the API may do at all.
--
-- Rules for the policies of a new table, which stand beside it in its module:
--   * ENABLE ROW LEVEL SECURITY after CREATE TABLE; what roles may do is a line in role_grants() below.
--   * No TO clause: roles need not exist when the extension is created. What a role may do at all is a matter
--     of privileges; which rows, of the policies. Owner and service role bypass them.
--   * One permissive policy per command; no sub-select: compare with the functions below, which are cached.
--   * Rows of a tenant:  USING (workspace_id = ANY (analytics.workspace_ids()))
--   * Rows of nobody:    FOR SELECT USING (false), so that the intention is visible
--   * Materialized views know no row security: grant them to nobody but readers of all, and read them through a view
--     WITH (security_barrier) of two branches: WHERE workspace_id = ANY (analytics.workspace_ids()), and all of it
--     WHERE analytics_internal.sees_all_workspaces(). Never are both true.
-- Partitions have a policy of their own kind, see 31-partitions.sql.

-- Scripts of dumps turn row_security off, and so do functions of the extension that change rows as they stand. So may
-- anybody, by set_config() even within a statement that row security applies to: only the owner is believed. Triggers ask
-- in WHEN, where the current user is still the one who changes the row, so the roles of the API may call it.
CREATE FUNCTION analytics_internal.is_taken_as_is(table_name text) RETURNS boolean
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_is_taken_as_is';
REVOKE EXECUTE ON FUNCTION analytics_internal.is_taken_as_is(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_taken_as_is(text) IS
    'whether triggers take the rows of a table as they are: the current user has row_security off and the rights of the owner';

-- Where memberships come from. No row: the defaults, which are those of the columns.
CREATE TABLE analytics.membership (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT membership_single_row CHECK (id),
    source text NOT NULL DEFAULT 'relation' CONSTRAINT membership_source CHECK (source IN ('relation', 'claim')),
    relation text NOT NULL DEFAULT 'public.workspace_members'
        CONSTRAINT membership_relation_qualified CHECK (cardinality(parse_ident(relation)) = 2),
    workspace_column text NOT NULL DEFAULT 'workspace_id',
    user_column text NOT NULL DEFAULT 'user_id',
    role_column text,
    manager_roles text[] NOT NULL DEFAULT '{owner,admin}'
);
ALTER TABLE analytics.membership ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.membership', '');
COMMENT ON TABLE analytics.membership IS
    'where analytics.workspace_ids() finds who is a member of which workspace. At most one row, changed by the owner only; without one the defaults hold';
COMMENT ON COLUMN analytics.membership.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.membership.source IS
    'relation: read the relation; claim: the array app_metadata.workspaces in request.jwt.claims (never user_metadata, which users edit)';
COMMENT ON COLUMN analytics.membership.relation IS
    'schema-qualified table or view with one row per member, as SQL writes it. Read with its owner''s rights; missing or malformed: nobody has workspaces';
COMMENT ON COLUMN analytics.membership.workspace_column IS
    'its column with the workspace (uuid, or text that is one), as it is stored, without quotes';
COMMENT ON COLUMN analytics.membership.user_column IS
    'its column with the user (uuid or text), as it is stored, without quotes. Text is compared with the subject of the claims, with the setting text_subjects any';
COMMENT ON COLUMN analytics.membership.role_column IS
    'its column with the role of the member in the workspace. NULL: members have no roles, each manages alert rules and none sees others'' raw events by role';
COMMENT ON COLUMN analytics.membership.manager_roles IS
    'roles that may manage a workspace''s alert rules. With raw_events_visible_to = roles they read its raw events, too';

CREATE TABLE analytics.access_roles (
    role_name text PRIMARY KEY,
    audience text NOT NULL CONSTRAINT access_roles_audience CHECK (audience IN ('anonymous', 'member', 'service', 'operator'))
);
ALTER TABLE analytics.access_roles ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.access_roles', '');
COMMENT ON TABLE analytics.access_roles IS
    'database roles that analytics.setup_roles() and analytics.grant_operator() have granted something. Read by analytics.security_audit()';
COMMENT ON COLUMN analytics.access_roles.role_name IS
    'name of the database role';
COMMENT ON COLUMN analytics.access_roles.audience IS
    'what a role may see: anonymous (nothing), member (its workspaces), service (everything but settings), operator (maintenance functions)';

CREATE POLICY no_access ON analytics.membership FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.membership IS
    'for the owner only';
CREATE POLICY no_access ON analytics.access_roles FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.access_roles IS
    'for the owner only';

-- When tokens came whose subject is no uuid. A sequence, as its value stays when the transaction fails.
CREATE SEQUENCE analytics.refused_subjects MINVALUE 0 START 0;
SELECT pg_catalog.pg_extension_config_dump('analytics.refused_subjects', '');
COMMENT ON SEQUENCE analytics.refused_subjects IS
    'when an event was last refused because the subject of the claims is no uuid, in seconds since 2000. 0: never. For analytics.security_audit()';

-- Identity of the caller. The policies call these for every statement, so the functions are C and cached.

CREATE FUNCTION analytics.current_user_id() RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_current_user_id';
REVOKE EXECUTE ON FUNCTION analytics.current_user_id() FROM PUBLIC;
COMMENT ON FUNCTION analytics.current_user_id() IS
    'the user that the claims name: request.jwt.claim.sub, or the key sub of request.jwt.claims. NULL (nobody) when neither is set, what is set is not a uuid or not JSON, or both are set and do not agree; never an error. With the setting text_subjects any subject of 1 to 255 printable ASCII characters names a user: analytics.user_uuid(NULL, subject)';

CREATE FUNCTION analytics.workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_ids() IS
    'workspaces of the current user, sorted, without the nil uuid. Where the claims name nobody, those of a role that analytics.grant_reader() named. Empty for nobody and when analytics.membership names nothing readable. Reads the membership relation once per statement';

CREATE FUNCTION analytics_internal.managed_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_managed_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics_internal.managed_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.managed_workspace_ids() IS
    'those of analytics.workspace_ids() in which the current user''s role is one of analytics.membership.manager_roles; all of them where members have no roles';

CREATE FUNCTION analytics_internal.raw_event_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_raw_event_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics_internal.raw_event_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.raw_event_workspace_ids() IS
    'workspaces whose raw events the current user may read beside their own: none, by role or all of which they are a member (setting raw_events_visible_to)';

CREATE FUNCTION analytics.get_user_workspaces() RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'SELECT unnest(analytics.workspace_ids())';
REVOKE EXECUTE ON FUNCTION analytics.get_user_workspaces() FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_user_workspaces() IS
    'workspaces of the current user, one a row; the same as analytics.workspace_ids()';

CREATE FUNCTION analytics_internal.sees_all_workspaces() RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sees_all_workspaces';
REVOKE EXECUTE ON FUNCTION analytics_internal.sees_all_workspaces() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.sees_all_workspaces() IS
    'whether the views show the caller every workspace. So they do to the owner, to who bypasses row security and to a reader of all, without claims and outside of functions with another''s rights';

CREATE FUNCTION analytics_internal.membership_problem() RETURNS text
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_membership_problem';
REVOKE EXECUTE ON FUNCTION analytics_internal.membership_problem() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.membership_problem() IS
    'what is wrong with the membership relation, so that nobody has workspaces; NULL if nothing is';

-- Roles. They may not exist when the extension is created, so no module can GRANT: setup_roles() and
-- grant_operator() do, from this list. It is one list, so that what an audience may do can be reviewed in one place;
-- objects stand in the order of their modules. A test fails when an object of the schema is missing.

CREATE FUNCTION analytics_internal.role_grants(
    OUT audience text, OUT privileges text, OUT object_type text, OUT object text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
    -- Members: what row security leaves them of the tables, their own events, functions that read.
    ('member', 'USAGE', 'SCHEMA', 'analytics'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.current_user_id()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.managed_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.raw_event_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_workspaces()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.sees_all_workspaces()'), -- the views ask it
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.is_taken_as_is(text)'), -- triggers ask as the role
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.workspace_day_bounds(uuid, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspaces'),
    ('member', 'SELECT', 'TABLE', 'analytics.agents'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.earliest_event_time()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.latest_event_time()'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_activity'),
    ('member', 'INSERT (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)',
        'TABLE', 'analytics.user_activity'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track(text, jsonb, uuid, analytics.any_text, text, text, analytics.any_text, inet, text, text, timestamptz, uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track_batch(analytics.any_text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.read_event(jsonb)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.shallow_json(analytics.any_text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_uuid(uuid, text)'),
    ('member', 'SELECT', 'TABLE', 'analytics.credit_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.token_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('member', 'SELECT', 'TABLE', 'analytics.users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_user_revenue'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.trailing_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_days(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_retention(uuid, text, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.cohort_limit(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_retention'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('member', 'INSERT (workspace_id, id, name, description, is_active, scope, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'UPDATE (name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.segments'),
    ('member', 'INSERT (workspace_id, name, definition, users, description), UPDATE (name, definition, users, description)', 'TABLE', 'analytics.segments'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.annotations'),
    ('member', 'INSERT (workspace_id, id, starts_at, ends_at, title, details), UPDATE (starts_at, ends_at, title, details)', 'TABLE', 'analytics.annotations'),
    ('member', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('member', 'SELECT, UPDATE (acknowledged_by, acknowledged_at, notes, snoozed_until)', 'TABLE', 'analytics.alert_history'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_alerts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.test_alert_rule(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.test_alert_rule(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.acknowledge_alert(uuid, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.unacknowledge_alert(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.snooze_alert(uuid, timestamptz)'),
    ('member', 'SELECT (workspace_id, name, channel, is_verified, created_at, updated_at), INSERT (workspace_id, name, channel, address, signing_secret), UPDATE (channel, address, signing_secret, verification_hash), DELETE',
        'TABLE', 'analytics.notification_destinations'),
    ('member', 'SELECT (workspace_id, id, kind, alert_id, alert_rule_id, destination_name, channel, status, attempts, next_attempt_at, last_error, response_status, latency_ms, created_at, delivered_at)',
        'TABLE', 'analytics.notification_outbox'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.set_notification_destination(uuid, text, text, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.verify_notification_destination(uuid, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.managed_destinations()'), -- the view asks it
    ('member', 'SELECT', 'TABLE', 'analytics.notification_destination_list'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_usage_by_hour(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('member', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.answer(uuid, text, jsonb, analytics.user_set, timestamptz)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.users_who(uuid, jsonb, timestamptz)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.raw_events_since(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.users_who(uuid, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.agent_name(uuid, text)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_run_metrics(uuid, text, text, date, date, integer, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_run_tree(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.timeline_page(uuid, uuid, timestamptz, integer)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.timeline_events(uuid, uuid, timestamptz, timestamptz)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_timeline(uuid, uuid, timestamptz, integer)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.session_gap()'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.checked_page_size(integer)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_trend(uuid, jsonb, text, date, date, text, integer, boolean, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_funnel(uuid, jsonb, date, date, interval, text, jsonb, text[], text, text, text, integer, text, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_conversion_times(uuid, jsonb, date, date, interval, text, jsonb, text[], text, integer, integer, interval[], jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_event_retention(uuid, jsonb, jsonb, text, date, date, text, boolean, text, integer, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_stickiness(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_event_lifecycle(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_paths(uuid, date, date, jsonb, text, text[], text, text, integer, integer, text, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_pages(uuid, date, date, text[], jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_attribution(uuid, jsonb, text, date, date, text, interval, jsonb, text[], integer, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_experiment(uuid, jsonb, text, jsonb, date, date, text, interval, numeric, jsonb, analytics.user_set, jsonb, timestamptz)'),
    -- The sections: of no use without the schema, but analytics.report() calls them as its caller.
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_range(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_annotations(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_workspace(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_headline(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_daily(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_lifecycle(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_retention(uuid, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_models(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_features(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_hours(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_agents(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_errors(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_alerts(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_freshness(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.report(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_page(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.report_page(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_user(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_self()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_self()'), -- no use without the schema
    ('member', 'SELECT', 'TABLE', 'analytics.audit_log'),

    -- The service role (BYPASSRLS), beside what members may: changes every tenant table, configures nothing.
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.setting(text)'),
    ('service', 'SELECT', 'TABLE', 'analytics.setting_values'),
    ('service', 'SELECT', 'TABLE', 'analytics.settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspaces'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agents'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_activity'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.credit_prices'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.token_prices'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.hourly_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agent_performance'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_event_usage'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_error_types'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_user_revenue'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_cohorts'),
    ('service', 'SELECT', 'TABLE', 'analytics.watermark'),
    ('service', 'SELECT', 'TABLE', 'analytics.dirty_hours'),
    ('service', 'SELECT', 'TABLE', 'analytics.pending_buckets'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policies'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policy_values'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_retention'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_runs'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.segments'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.annotations'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_history'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.notification_destinations'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.claim_notifications(text, integer, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_user(uuid)'),
    ('service', 'SELECT', 'TABLE', 'analytics.table_sizes'),
    ('service', 'SELECT', 'TABLE', 'analytics.index_usage'),
    ('service', 'SELECT', 'TABLE', 'analytics.slow_queries'),
    ('service', 'SELECT', 'TABLE', 'analytics.freshness'),
    ('service', 'SELECT', 'TABLE', 'analytics.data_quality'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_progress'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.read_slow_queries()'),

    -- Maintenance: the service role and whoever analytics.grant_operator() names. A function of the schema
    -- analytics that calls one of analytics_internal needs both.
    ('operator', 'USAGE', 'SCHEMA', 'analytics'),
    ('operator', 'USAGE', 'SCHEMA', 'analytics_internal'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keep_partitions_ahead()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_despite_missing(date, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.has_cells()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_in_cells(date, timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refuse_distributed(text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_daily_metrics(date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_daily_metrics(date, uuid, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.catch_up(date, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.remove_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.due_steps()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.begin_step(text, date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.run_step(text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.lock_holders(interval)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.latest_day()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.expiry_notice(date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keeping_statement()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.end_step(text, timestamptz, text, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.backfill_day(timestamptz)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.maintain(interval, boolean)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.backfill(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.evaluate_alert_rules()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.evaluate_alert_rules(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refresh_all_materialized_views(boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.health()'),

    -- Readers (analytics.grant_reader()): what is aggregated, nothing about persons. Row security says of which workspaces.
    ('reader', 'USAGE', 'SCHEMA', 'analytics'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.workspace_ids()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.sees_all_workspaces()'),
    ('reader', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.workspace_day_bounds(uuid, date)'),
    ('reader', 'SELECT', 'TABLE', 'analytics.workspaces'),
    ('reader', 'SELECT', 'TABLE', 'analytics.agents'),
    ('reader', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('reader', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_users'), -- sets of numbers: who is behind them is in analytics.users
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.trailing_users(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_days(uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_lifecycle(uuid, text, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('reader', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_retention(uuid, text, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.cohort_limit(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('reader', 'SELECT (workspace_id, id, name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, severity)',
        'TABLE', 'analytics.alert_rules'),
    ('reader', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('reader', 'SELECT (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, resolved_at, state, metric_type, condition, metric_value, threshold_value, reason)',
        'TABLE', 'analytics.alert_history'),
    ('reader', 'SELECT (workspace_id, id, starts_at, ends_at, title, details)', 'TABLE', 'analytics.annotations'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_annotations(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_usage_by_hour(uuid, date, date)'),
    ('reader', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('reader', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('reader', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('reader', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('reader', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_range(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_workspace(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_headline(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_daily(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_lifecycle(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_retention(uuid, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_models(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_features(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_hours(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_agents(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_errors(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_alerts(uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_freshness(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_page(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.report(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.report_page(uuid, date, date)'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_active_users'), -- these know no row security
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_top_agents'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_workspace_summary'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_error_trends'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_agent_usage_trends')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.role_grants() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.role_grants() IS
    'what the audiences member, service, operator and reader may do. The service role belongs to the first three, a reader of all also to "reader of all"';

-- What computes from its arguments alone is everybody's, unless default privileges keep functions from PUBLIC.
CREATE FUNCTION analytics_internal.restricted_computations() RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.oid::regprocedure FROM pg_proc AS p
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND p.provolatile = 'i' AND NOT p.prosecdef
  AND NOT has_function_privilege('public', 'analytics.trend_direction(bigint, bigint)', 'EXECUTE')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.restricted_computations() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.restricted_computations() IS
    'functions without access to data, where ALTER DEFAULT PRIVILEGES has kept them from PUBLIC. Else none';

CREATE FUNCTION analytics_internal.grant_audience(audience text, role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT g.privileges, g.object_type, g.object
        FROM analytics_internal.role_grants() AS g
        WHERE g.audience = grant_audience.audience
    LOOP
        EXECUTE format('GRANT %s ON %s %s TO %I', granted.privileges, granted.object_type, granted.object, role_name);
    END LOOP;
    FOR granted IN SELECT c.* FROM analytics_internal.restricted_computations() AS c (routine) LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', granted.routine, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.grant_audience(text, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.grant_audience(text, name) IS
    'grants a role what its audience may do';

CREATE FUNCTION analytics_internal.revoke_audience(audience text, role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT g.privileges, g.object_type, g.object
        FROM analytics_internal.role_grants() AS g
        WHERE g.audience = revoke_audience.audience
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %I', granted.privileges, granted.object_type, granted.object, role_name);
    END LOOP;
    FOR granted IN SELECT c.* FROM analytics_internal.restricted_computations() AS c (routine)
                   WHERE NOT has_schema_privilege(role_name, 'analytics', 'USAGE') LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %I', granted.routine, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.revoke_audience(text, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.revoke_audience(text, name) IS
    'takes from a role what its audience may do';

CREATE FUNCTION analytics_internal.record_access(role_name name, audience text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.access_roles (role_name, audience)
VALUES (record_access.role_name, record_access.audience)
ON CONFLICT (role_name) DO UPDATE SET audience = EXCLUDED.audience
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.record_access(name, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.record_access(name, text) IS
    'remembers which audience a role belongs to';

CREATE FUNCTION analytics_internal.ensure_role(role_name name, bypasses_row_security boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    existing record;
BEGIN
    IF role_name IS NULL THEN
        RAISE EXCEPTION 'role name must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
    END IF;

    SELECT r.rolsuper, r.rolbypassrls INTO existing FROM pg_roles AS r WHERE r.rolname = role_name;
    IF bypasses_row_security THEN
        IF NOT (existing.rolsuper OR existing.rolbypassrls) THEN
            EXECUTE format('ALTER ROLE %I BYPASSRLS', role_name);
        END IF;
    ELSIF existing.rolsuper OR existing.rolbypassrls THEN
        RAISE EXCEPTION 'role "%" is not subject to row security', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is a superuser or has BYPASSRLS, so it would see every workspace.',
                  HINT = 'Name another role, or take these attributes from it.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ensure_role(name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ensure_role(name, boolean) IS
    'creates a missing role; sees to it that it bypasses row security, or refuses one that does';

CREATE FUNCTION analytics.setup_roles(
    anonymous_role name DEFAULT 'anon',
    member_role name DEFAULT 'authenticated',
    service_role name DEFAULT 'service_role')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF anonymous_role = member_role OR anonymous_role = service_role OR member_role = service_role THEN
        RAISE EXCEPTION 'the three roles must differ'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The names are "%s", "%s" and "%s".', anonymous_role, member_role, service_role);
    END IF;
    PERFORM analytics_internal.ensure_role(anonymous_role, false);
    PERFORM analytics_internal.ensure_role(member_role, false);
    PERFORM analytics_internal.ensure_role(service_role, true);

    -- Default privileges may have granted something to the roles of the API, or tables to everybody.
    REVOKE ALL ON ALL TABLES IN SCHEMA analytics, analytics_internal FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA analytics, analytics_internal FROM PUBLIC;
    REVOKE ALL ON SCHEMA analytics, analytics_internal FROM PUBLIC;
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);
    EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);
    EXECUTE format('REVOKE ALL ON SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);

    PERFORM analytics_internal.grant_audience('member', member_role);
    PERFORM analytics_internal.grant_audience('member', service_role);
    PERFORM analytics_internal.grant_audience('service', service_role);
    PERFORM analytics_internal.grant_audience('operator', service_role);
    PERFORM analytics_internal.record_access(anonymous_role, 'anonymous');
    PERFORM analytics_internal.record_access(member_role, 'member');
    PERFORM analytics_internal.record_access(service_role, 'service');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.setup_roles(name, name, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.setup_roles(name, name, name) IS
    'grants the roles of PostgREST and Supabase what they need. anonymous_role: nothing; member_role: its workspaces'' rows and its own events; service_role: every row (BYPASSRLS) and maintenance. Missing roles are created (NOLOGIN NOINHERIT). Nothing outside the extension''s schemas is granted. For the owner; to be repeated after ALTER EXTENSION UPDATE. Errors: equal names, an anonymous or member role that row security does not apply to (22023), NULL (22004), lacking rights to create or alter roles (42501)';

CREATE FUNCTION analytics.grant_operator(role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM analytics.access_roles AS a
               WHERE a.role_name = grant_operator.role_name AND a.audience IN ('anonymous', 'member')) THEN
        RAISE EXCEPTION 'role "%" belongs to the API', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Every client of the API would be able to run maintenance.',
                  HINT = 'Create a role of its own for scheduled jobs.';
    END IF;
    PERFORM analytics_internal.grant_audience('operator', role_name);
    INSERT INTO analytics.access_roles (role_name, audience) VALUES (grant_operator.role_name, 'operator')
    ON CONFLICT DO NOTHING;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.grant_operator(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.grant_operator(name) IS
    'lets a role run the maintenance functions (scheduled jobs); it reads no tenant''s rows thereby. For the owner; errors: a role of the API (22023), an unknown role (42704)';

CREATE FUNCTION analytics.revoke_operator(role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM analytics.access_roles AS a
    WHERE a.role_name = revoke_operator.role_name AND a.audience = 'operator';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" is not an operator', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.access_roles lists the operators.';
    END IF;
    PERFORM analytics_internal.revoke_audience('operator', role_name);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.revoke_operator(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.revoke_operator(name) IS
    'takes back what analytics.grant_operator() granted; for the owner. An error (22023) for a role that is no operator';

-- security_audit(): whether the installation keeps to that. One function per question, so that each stays short.

CREATE FUNCTION analytics_internal.audit_tables(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'row security is off', 'error', c.oid::regclass::text,
       format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.oid::regclass)
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
UNION ALL
SELECT 'table has no policy', 'warning', c.oid::regclass::text,
       'Every table of the extension has one: it was dropped, or the table was made by hand'
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)
UNION ALL
SELECT DISTINCT 'materialized view is granted, but knows no row security', 'error', c.oid::regclass::text,
       format('REVOKE ALL ON %s FROM %s; read it through its view', c.oid::regclass,
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm' AND a.grantee <> c.relowner
  AND NOT EXISTS (SELECT FROM analytics.readers AS r WHERE r.role_name = pg_get_userbyid(a.grantee) AND r.workspace_ids IS NULL)
UNION ALL
SELECT DISTINCT 'relation is granted to PUBLIC or the anonymous role', 'error', c.oid::regclass::text,
       format('REVOKE ALL ON %s FROM %s', c.oid::regclass, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.role_name) END)
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
LEFT JOIN analytics.access_roles AS r ON r.role_name = pg_get_userbyid(a.grantee) AND r.audience = 'anonymous'
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
  AND (a.grantee = 0 OR r.role_name IS NOT NULL)
UNION ALL
SELECT 'API role may do what row security does not restrict', 'error', c.oid::regclass::text,
       format('REVOKE TRUNCATE, TRIGGER, REFERENCES ON %s FROM PUBLIC, %I', c.oid::regclass, r.role_name)
FROM pg_class AS c
CROSS JOIN analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND r.audience IN ('anonymous', 'member')
  AND has_table_privilege(g.oid, c.oid, 'TRUNCATE, TRIGGER, REFERENCES')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_tables() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_tables() IS
    'findings about tables, partitions and views';

CREATE FUNCTION analytics_internal.audit_functions(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
-- What operators and aggregates are made of computes from its arguments alone, and everybody may.
SELECT 'internal function can be executed by an API role', 'error', p.oid::regprocedure::text,
       format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %I', p.oid::regprocedure, r.role_name)
FROM pg_proc AS p
CROSS JOIN analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE p.pronamespace = 'analytics_internal'::regnamespace AND r.audience IN ('anonymous', 'member')
  AND has_function_privilege(g.oid, p.oid, 'EXECUTE') AND (p.provolatile <> 'i' OR p.prosecdef)
  AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                  WHERE e.audience = r.audience AND e.object_type = 'FUNCTION' AND to_regprocedure(e.object) = p.oid)
UNION ALL
SELECT 'search_path of a function is not pinned', 'error', p.oid::regprocedure::text,
       format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', p.oid::regprocedure)
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
  AND p.prokind = 'f' AND p.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path='))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_functions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_functions() IS
    'findings about functions';

CREATE FUNCTION analytics_internal.audit_claims(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('subjects of tokens are no uuids (last at %s): their users are nobody', s.at), 'warning', 'setting text_subjects',
       $remedy$INSERT INTO analytics.settings VALUES ('text_subjects', 'true'), or have the identity provider send uuids$remedy$
FROM (SELECT to_timestamp(r.last_value + 946684800) AS at FROM analytics.refused_subjects AS r) AS s
WHERE s.at > now() - interval '7 days' AND analytics.setting('text_subjects') = 'false'
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_claims() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_claims() IS
    'part of analytics.security_audit(): events refused in the last 7 days because the subject of the claims is no uuid';

CREATE FUNCTION analytics_internal.audit_membership(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text := analytics_internal.membership_problem();
    relation_name text := coalesce((SELECT m.relation FROM analytics.membership AS m), 'public.workspace_members');
BEGIN
    IF EXISTS (SELECT FROM analytics.membership AS m WHERE m.source = 'claim') THEN
        RETURN;
    END IF;
    IF problem IS NOT NULL THEN
        RETURN QUERY SELECT 'membership relation cannot be read, nobody has workspaces: ' || problem, 'warning', relation_name,
                            'Create it, or name another in analytics.membership';
        RETURN;
    END IF;
    RETURN QUERY
    SELECT DISTINCT 'membership relation can be written by an API role', 'error', relation_name,
           format('REVOKE INSERT, UPDATE, DELETE ON %s FROM PUBLIC, %I, or allow it by no policy', relation_name, r.role_name)
    FROM analytics.access_roles AS r
    JOIN pg_roles AS g ON g.rolname = r.role_name
    JOIN pg_class AS c ON c.oid = to_regclass(relation_name)
    CROSS JOIN (VALUES ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS command (name, letter)
    WHERE r.audience IN ('anonymous', 'member')
      AND (has_table_privilege(g.oid, c.oid, command.name)
           OR command.name <> 'DELETE' AND has_any_column_privilege(g.oid, c.oid, command.name))
      AND (NOT c.relrowsecurity
           OR EXISTS (SELECT FROM pg_policy AS p
                      WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', command.letter::"char")
                        AND (p.polroles && ARRAY[0::oid] OR EXISTS (SELECT FROM unnest(p.polroles) AS x WHERE pg_has_role(g.oid, x, 'USAGE')))));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_membership() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_membership() IS
    'findings about the membership relation';

CREATE FUNCTION analytics_internal.audit_roles(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
-- What default privileges give others, who are none of ours.
SELECT 'another role has privileges on secrets or internal functions', 'warning', g.rolname::text,
       format('REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM %1$I; REVOKE ALL ON ALL ROUTINES IN SCHEMA analytics, analytics_internal FROM %1$I; and see ALTER DEFAULT PRIVILEGES', g.rolname)
FROM pg_roles AS g
WHERE NOT g.rolsuper AND NOT EXISTS (SELECT FROM analytics.access_roles AS r WHERE r.role_name = g.rolname)
  AND (EXISTS (SELECT FROM pg_class AS c, aclexplode(c.relacl) AS x
               WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname IN ('ip_secret', 'notification_destinations', 'notification_outbox')
                 AND x.grantee = g.oid AND x.grantee <> c.relowner)
       OR EXISTS (SELECT FROM pg_proc AS p, aclexplode(p.proacl) AS x
                  WHERE p.pronamespace = 'analytics_internal'::regnamespace AND p.prosecdef AND x.grantee = g.oid AND x.grantee <> p.proowner
                    AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                                    WHERE e.audience LIKE 'reader%' AND e.object_type = 'FUNCTION' AND to_regprocedure(e.object) = p.oid)))
UNION ALL
SELECT 'API role is not subject to row security', 'error', r.role_name,
       format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', r.role_name)
FROM analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE r.audience IN ('anonymous', 'member') AND (g.rolsuper OR g.rolbypassrls)
UNION ALL
SELECT 'service role is subject to row security', 'warning', r.role_name, format('ALTER ROLE %I BYPASSRLS', r.role_name)
FROM analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE r.audience = 'service' AND NOT (g.rolsuper OR g.rolbypassrls)
UNION ALL
SELECT DISTINCT 'API role may use the internal schema', 'error', r.role_name,
       format('REVOKE USAGE ON SCHEMA analytics_internal FROM PUBLIC, %I', r.role_name)
FROM analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE r.audience IN ('anonymous', 'member') AND has_schema_privilege(g.oid, 'analytics_internal', 'USAGE')
  AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                  WHERE e.audience = r.audience AND e.object_type = 'SCHEMA' AND e.object = 'analytics_internal')
UNION ALL
SELECT DISTINCT 'API role is connected without encryption', 'warning', a.usename::text,
       'Use hostssl in pg_hba.conf for it'
FROM pg_stat_activity AS a
JOIN pg_stat_ssl AS s ON s.pid = a.pid AND NOT s.ssl
WHERE a.client_addr IS NOT NULL
  AND EXISTS (SELECT FROM analytics.access_roles AS r
              JOIN pg_roles AS g ON g.rolname = r.role_name
              JOIN pg_roles AS u ON u.oid = a.usesysid AND NOT u.rolsuper
              WHERE pg_has_role(a.usesysid, g.oid, 'MEMBER'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_roles() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_roles() IS
    'findings about roles and their connections';

CREATE FUNCTION analytics_internal.security_audit(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT * FROM analytics_internal.audit_tables()
UNION ALL SELECT * FROM analytics_internal.audit_functions()
UNION ALL SELECT * FROM analytics_internal.audit_membership()
UNION ALL SELECT * FROM analytics_internal.audit_claims()
UNION ALL SELECT * FROM analytics_internal.audit_roles()
ORDER BY 2, 1, 3
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.security_audit() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.security_audit() IS
    'analytics.security_audit() with the rights of the owner';

CREATE FUNCTION analytics.security_audit(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS 'SELECT * FROM analytics_internal.security_audit()';
REVOKE EXECUTE ON FUNCTION analytics.security_audit() FROM PUBLIC;
COMMENT ON FUNCTION analytics.security_audit() IS
    'what is wrong with the installation''s security: finding, severity (error, warning), object, remedy. No row when nothing is. Looks for tables without row security or policies, materialized views and internal functions that API roles may use, tables that they may truncate, functions without pinned search_path, a membership relation that is missing or that API roles may write, tokens whose subject is no uuid and the setting text_subjects off, API roles that bypass row security or are connected without encryption, and privileges that default privileges gave to other roles';
