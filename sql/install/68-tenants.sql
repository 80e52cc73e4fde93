-- Identity of the caller. Used in the policies (88-policies.sql), so the functions are C and cached.

CREATE FUNCTION analytics.current_user_id() RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_current_user_id';
REVOKE EXECUTE ON FUNCTION analytics.current_user_id() FROM PUBLIC;
COMMENT ON FUNCTION analytics.current_user_id() IS
    'the user that the claims name: request.jwt.claim.sub, or the key sub of request.jwt.claims. NULL (nobody) when neither is set, what is set is not a uuid or not JSON, or both are set and do not agree; never an error';

CREATE FUNCTION analytics.workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_ids() IS
    'workspaces of the current user, sorted, without the nil uuid; empty for nobody and when analytics.membership names nothing readable. Reads the membership relation once per statement';

CREATE FUNCTION analytics.managed_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_managed_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.managed_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.managed_workspace_ids() IS
    'those of analytics.workspace_ids() in which the current user''s role is one of analytics.membership.manager_roles; all of them where members have no roles';

CREATE FUNCTION analytics.raw_event_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_raw_event_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.raw_event_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.raw_event_workspace_ids() IS
    'workspaces whose raw events the current user may read beside his own: none, by role or all he is a member of (setting raw_events_visible_to)';

CREATE FUNCTION analytics.get_user_workspaces() RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'SELECT unnest(analytics.workspace_ids())';
REVOKE EXECUTE ON FUNCTION analytics.get_user_workspaces() FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_user_workspaces() IS
    'workspaces of the current user, one a row; the same as analytics.workspace_ids()';

CREATE FUNCTION analytics.earliest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_earliest_event_time';
REVOKE EXECUTE ON FUNCTION analytics.earliest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics.earliest_event_time() IS
    'oldest created_at that a role under row security may insert now (setting event_max_age_days, before the start of the statement)';

CREATE FUNCTION analytics.latest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_latest_event_time';
REVOKE EXECUTE ON FUNCTION analytics.latest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics.latest_event_time() IS
    'latest created_at that a role under row security may insert now (setting event_max_future_minutes, after the start of the statement)';

CREATE FUNCTION analytics_internal.membership_problem() RETURNS text
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_membership_problem';
REVOKE EXECUTE ON FUNCTION analytics_internal.membership_problem() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.membership_problem() IS
    'what is wrong with the membership relation, so that nobody has workspaces; NULL if nothing is';

-- Roles. Whatever a role of an audience may do stands in analytics_internal.role_grants(), one line per
-- object; a test fails when an object of the schema is missing there.

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
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.managed_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.raw_event_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_workspaces()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.earliest_event_time()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.latest_event_time()'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_activity'),
    ('member', 'INSERT (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)',
        'TABLE', 'analytics.user_activity'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_day_bounds(uuid, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_usage_by_hour(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('member', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_user_revenue'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.trailing_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_retention(uuid, text, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.cohort_limit(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.credit_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.audit_log'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_user(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_self()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_self()'), -- no use without the schema
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_retention'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.credit_price(uuid, text, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track_batch(jsonb)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.try_track(jsonb)'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('member', 'INSERT (workspace_id, id, name, description, is_active, scope, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'UPDATE (name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('member', 'SELECT, UPDATE (acknowledged_by, acknowledged_at, notes, snoozed_until)', 'TABLE', 'analytics.alert_history'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_alerts'),
    ('member', 'SELECT (workspace_id, name, channel, is_verified, created_at, updated_at), INSERT (workspace_id, name, channel, address, signing_secret), UPDATE (channel, address, signing_secret, verification_hash), DELETE',
        'TABLE', 'analytics.notification_destinations'),
    ('member', 'SELECT (workspace_id, id, kind, alert_id, alert_rule_id, destination_name, channel, status, attempts, next_attempt_at, last_error, response_status, latency_ms, created_at, delivered_at)',
        'TABLE', 'analytics.notification_outbox'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.acknowledge_alert(uuid, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.unacknowledge_alert(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.snooze_alert(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.set_notification_destination(uuid, text, text, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.verify_notification_destination(uuid, text, text)'),
    ('member', 'SELECT', 'TABLE', 'analytics.notification_destination_list'),

    -- The service role (BYPASSRLS), beside what members may: changes every tenant table, configures nothing.
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_user(uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.setting(text)'),
    ('service', 'SELECT', 'TABLE', 'analytics.setting_values'),
    ('service', 'SELECT', 'TABLE', 'analytics.settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_activity'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.hourly_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agent_performance'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_event_usage'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_error_types'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_user_revenue'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_cohorts'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.credit_prices'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_runs'),
    ('service', 'SELECT', 'TABLE', 'analytics.watermark'),
    ('service', 'SELECT', 'TABLE', 'analytics.dirty_hours'),
    ('service', 'SELECT', 'TABLE', 'analytics.failed_days'),
    ('service', 'SELECT', 'TABLE', 'analytics.table_sizes'),
    ('service', 'SELECT', 'TABLE', 'analytics.index_usage'),
    ('service', 'SELECT', 'TABLE', 'analytics.slow_queries'),
    ('service', 'SELECT', 'TABLE', 'analytics.freshness'),
    ('service', 'SELECT', 'TABLE', 'analytics.data_quality'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_progress'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.read_slow_queries()'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policies'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policy_values'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_retention'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.activity_rules(boolean)'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_history'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.notification_destinations'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.test_alert_rule(uuid, timestamptz)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.test_alert_rule(uuid, timestamptz)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.claim_notifications(text, integer, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval)'),

    -- Maintenance: the service role and whoever analytics.grant_operator() names. A function of the schema
    -- analytics that calls one of analytics_internal needs both.
    ('operator', 'USAGE', 'SCHEMA', 'analytics'),
    ('operator', 'USAGE', 'SCHEMA', 'analytics_internal'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.index_closed_partitions()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.index_closed_partitions()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_daily_metrics(date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_daily_metrics(date, uuid, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.evaluate_alert_rules()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.evaluate_alert_rules(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.catch_up(date, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keep_partitions_ahead()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.due_steps()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.begin_step(text, date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.run_step(text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.end_step(text, timestamptz, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.backfill_day(date, timestamptz, integer)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.resume_backfill(timestamptz)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.maintain(interval, boolean)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.backfill(date, date)')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.role_grants() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.role_grants() IS
    'what the audiences member, service and operator may do: privileges, object_type, object; the service role belongs to all three';

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
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.grant_audience(text, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.grant_audience(text, name) IS
    'grants a role what its audience may do';

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

    -- Default privileges may have granted something to the roles of the API.
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
    'grants the roles of PostgREST and Supabase what they need: anonymous_role nothing, member_role its workspaces'' rows and its own events, service_role every row (BYPASSRLS) and maintenance. Missing roles are created (NOLOGIN NOINHERIT). For the owner; to be repeated after ALTER EXTENSION UPDATE; grants nothing outside the extension''s schemas. Errors: equal names, an anonymous or member role that row security does not apply to (22023), NULL (22004), lacking rights to create or alter roles (42501)';

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
DECLARE
    granted record;
BEGIN
    DELETE FROM analytics.access_roles AS a
    WHERE a.role_name = revoke_operator.role_name AND a.audience = 'operator';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" is not an operator', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.access_roles lists the operators.';
    END IF;
    FOR granted IN
        SELECT g.privileges, g.object_type, g.object
        FROM analytics_internal.role_grants() AS g
        WHERE g.audience = 'operator'
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %I', granted.privileges, granted.object_type, granted.object, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.revoke_operator(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.revoke_operator(name) IS
    'takes back what analytics.grant_operator() granted; for the owner; an error (22023) for a role that is no operator';

CREATE FUNCTION analytics.rotate_ip_secret() RETURNS integer
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.ip_secret AS s DEFAULT VALUES
ON CONFLICT (id) DO UPDATE SET version = s.version + 1, secret = EXCLUDED.secret, created_at = EXCLUDED.created_at
RETURNING version
$$;
REVOKE EXECUTE ON FUNCTION analytics.rotate_ip_secret() FROM PUBLIC;
COMMENT ON FUNCTION analytics.rotate_ip_secret() IS
    'replaces the key of user_activity.ip_hash and returns its version; the old key is gone, so older hashes can no longer be traced to an address. For the owner';
