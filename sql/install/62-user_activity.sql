CREATE FUNCTION analytics_internal.user_activity_check() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_check';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_check() IS
    'row trigger of user_activity: refuses unknown event types, metadata that is no object or too long, and impossible times; cuts long texts; replaces NULL workspace_id and metadata';

CREATE TRIGGER check_event BEFORE INSERT OR UPDATE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
COMMENT ON TRIGGER check_event ON analytics.user_activity IS
    'refuses what cannot be counted and normalises the rest; leaves a valid row as it is';
