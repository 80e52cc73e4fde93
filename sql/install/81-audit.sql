-- Audit: who changed what. Filled by the triggers below, changed by nobody but analytics.forget_user().

CREATE TABLE analytics.audit_log (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    database_role text NOT NULL,
    user_id uuid,
    action text NOT NULL,
    object text NOT NULL,
    old_values jsonb,
    new_values jsonb,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE analytics.audit_log ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.audit_log', '');
COMMENT ON TABLE analytics.audit_log IS
    'who changed what in the configuration. Settings, membership, access roles, workspace settings, prices, retention, alert rules, segments, annotations and the like, acknowledgments and erasures. Appended by triggers; no role may change it';
COMMENT ON COLUMN analytics.audit_log.workspace_id IS
    'workspace concerned; the nil uuid: the whole installation';
COMMENT ON COLUMN analytics.audit_log.id IS
    'the entry';
COMMENT ON COLUMN analytics.audit_log.happened_at IS
    'by the clock, not the start of the transaction';
COMMENT ON COLUMN analytics.audit_log.database_role IS
    'role that was in force: the one of SET ROLE, else that of the session';
COMMENT ON COLUMN analytics.audit_log.user_id IS
    'user that the claims named; NULL: nobody';
COMMENT ON COLUMN analytics.audit_log.action IS
    'insert, update, delete, truncate, or the name of what was done';
COMMENT ON COLUMN analytics.audit_log.object IS
    'table, or what the action was about';
COMMENT ON COLUMN analytics.audit_log.old_values IS
    'row before, secrets masked; NULL where there was none';
COMMENT ON COLUMN analytics.audit_log.new_values IS
    'row after, secrets masked; NULL where there is none';

CREATE POLICY manager_reads ON analytics.audit_log FOR SELECT
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()) OR user_id = analytics.current_user_id());
COMMENT ON POLICY manager_reads ON analytics.audit_log IS
    'managers read what concerns their workspaces, users what they did themselves';

CREATE FUNCTION analytics_internal.mask_secrets(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'object' THEN
        RETURN (SELECT coalesce(jsonb_object_agg(e.key, CASE WHEN e.key COLLATE "C" ~* 'secret|passw|token|api_?key|authorization'
                                                                  AND e.value <> 'null'
                                                             THEN '"***"' ELSE analytics_internal.mask_secrets(e.value) END), '{}')
                FROM jsonb_each(value) AS e);
    ELSIF jsonb_typeof(value) = 'array' THEN
        RETURN (SELECT coalesce(jsonb_agg(analytics_internal.mask_secrets(e.value) ORDER BY e.ordinality), '[]')
                FROM jsonb_array_elements(value) WITH ORDINALITY AS e);
    ELSIF jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^[A-Za-z][A-Za-z0-9+.-]*://' THEN
        -- The paths of webhooks are their passwords.
        RETURN to_jsonb(regexp_replace(value #>> '{}', '^([^:]+://)(?:[^/@]*@)?([^/?#]*).*$', E'\\1\\2/***'));
    END IF;
    RETURN value;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.mask_secrets(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.mask_secrets(jsonb) IS
    'the value with *** in place of what stands under keys like secret, password, token, api_key and of everything behind the host of a URL';

CREATE FUNCTION analytics_internal.invoking_role() RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN current_setting('role') = 'none' THEN session_user ELSE current_setting('role')::name END $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.invoking_role() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.invoking_role() IS
    'the role of SET ROLE, else that of the session: whose statement it is, also within functions of the owner';

CREATE FUNCTION analytics_internal.is_restore(table_id oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT NOT current_setting('row_security')::boolean
       AND pg_has_role(analytics_internal.invoking_role(), (SELECT c.relowner FROM pg_class AS c WHERE c.oid = table_id), 'USAGE')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_restore(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_restore(oid) IS
    'whether a dump is being restored: its scripts switch row_security off. So may others, but only the owner of the table is believed';

CREATE FUNCTION analytics_internal.write_audit(
    target_workspace_id uuid, action text, object text, old_values jsonb, new_values jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.audit_log (workspace_id, database_role, user_id, action, object, old_values, new_values)
VALUES (coalesce(target_workspace_id, '00000000-0000-0000-0000-000000000000'),
        analytics_internal.invoking_role(), analytics.current_user_id(), action, object,
        analytics_internal.mask_secrets(old_values), analytics_internal.mask_secrets(new_values))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.write_audit(uuid, text, text, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.write_audit(uuid, text, text, jsonb, jsonb) IS
    'appends an entry to the audit log, with the role and user of the moment';

CREATE FUNCTION analytics_internal.audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old_values jsonb;
    new_values jsonb;
BEGIN
    -- A restore brings its own log, and of several copies of a table one is enough.
    IF analytics_internal.is_restore(TG_RELID) OR analytics_internal.is_copy(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        old_values := to_jsonb(OLD) - coalesce(TG_ARGV[0], '');
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        new_values := to_jsonb(NEW) - coalesce(TG_ARGV[0], '');
    END IF;
    IF old_values IS DISTINCT FROM new_values OR TG_OP = 'TRUNCATE' THEN
        PERFORM analytics_internal.write_audit((coalesce(new_values, old_values) ->> 'workspace_id')::uuid,
                                               lower(TG_OP COLLATE "C"), analytics_internal.logical_name(TG_RELID), old_values, new_values);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_change() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_change() IS
    'AFTER trigger (row: insert, update, delete; statement: truncate) that logs changes of a table, but not a restore; its argument is a column that is left out';

-- A table is audited by two triggers; add a line here.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY '{settings,membership,access_roles,readers,ip_secret,workspace_settings,credit_prices,token_prices,retention_policies,workspace_retention,annotations}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON analytics.%I FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change()', table_name);
        EXECUTE format('COMMENT ON TRIGGER audit_change ON analytics.%I IS %L', table_name, 'writes changes to analytics.audit_log');
        EXECUTE format('CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.%I FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change()', table_name);
        EXECUTE format('COMMENT ON TRIGGER audit_truncate ON analytics.%I IS %L', table_name, 'writes truncation to analytics.audit_log');
    END LOOP;
END
$$;

-- What people change is audited; what the evaluation counts is not, nor any address or secret.
CREATE TRIGGER audit_change AFTER INSERT OR DELETE OR UPDATE OF workspace_id, name, description, is_active, scope,
        metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes,
        cooldown_minutes, severity, no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_change ON analytics.alert_rules IS
    'writes changes to analytics.audit_log';
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_truncate ON analytics.alert_rules IS
    'writes truncation to analytics.audit_log';

-- A saved set is not: it may be large, and who is in it is for those who may read raw events.
CREATE TRIGGER audit_change AFTER INSERT OR DELETE OR UPDATE OF workspace_id, name, definition, users, description ON analytics.segments
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change('users');
COMMENT ON TRIGGER audit_change ON analytics.segments IS
    'writes changes to analytics.audit_log';
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.segments
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_truncate ON analytics.segments IS
    'writes truncation to analytics.audit_log';

-- Whose an acknowledgment or snooze is, and what it replaced; what was found stands in the episode itself.
CREATE FUNCTION analytics_internal.audit_acknowledgment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.write_audit(
        NEW.workspace_id,
        CASE WHEN NEW.acknowledged_at IS NOT DISTINCT FROM OLD.acknowledged_at THEN 'snooze'
             WHEN NEW.acknowledged_at IS NULL THEN 'unacknowledge' ELSE 'acknowledge' END,
        'analytics.alert_history',
        jsonb_build_object('id', OLD.id, 'acknowledged_by', OLD.acknowledged_by, 'acknowledged_at', OLD.acknowledged_at, 'snoozed_until', OLD.snoozed_until),
        jsonb_build_object('id', NEW.id, 'acknowledged_by', NEW.acknowledged_by, 'acknowledged_at', NEW.acknowledged_at, 'snoozed_until', NEW.snoozed_until));
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_acknowledgment() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_acknowledgment() IS
    'row trigger: notes in analytics.audit_log who acknowledged or snoozed an episode, or took that back';
CREATE TRIGGER audit_acknowledgment AFTER UPDATE OF acknowledged_at, snoozed_until ON analytics.alert_history
    FOR EACH ROW
    WHEN (OLD.acknowledged_at IS DISTINCT FROM NEW.acknowledged_at OR OLD.snoozed_until IS DISTINCT FROM NEW.snoozed_until)
    EXECUTE FUNCTION analytics_internal.audit_acknowledgment();
COMMENT ON TRIGGER audit_acknowledgment ON analytics.alert_history IS
    'notes acknowledgments and snoozes in analytics.audit_log';

CREATE FUNCTION analytics_internal.audited_destination(destination record) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('name', destination.name, 'channel', destination.channel, 'is_verified', destination.is_verified);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audited_destination(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audited_destination(record) IS
    'what the audit log may know of a row of analytics.notification_destinations: name, channel, is_verified; NULL for NULL';

CREATE FUNCTION analytics_internal.audit_destination() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.is_restore(TG_RELID) THEN
        PERFORM analytics_internal.write_audit(
            CASE WHEN TG_OP = 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END, lower(TG_OP COLLATE "C"),
            'analytics.notification_destinations', analytics_internal.audited_destination(OLD),
            analytics_internal.audited_destination(NEW));
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_destination() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_destination() IS
    'row trigger: notes in analytics.audit_log that a destination has changed, but neither address nor secret; not a restore';
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_destination();
COMMENT ON TRIGGER audit_change ON analytics.notification_destinations IS
    'notes changes in analytics.audit_log, without address and secret';
