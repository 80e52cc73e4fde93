-- Settings: what the owner may change. The defaults are in the library, the table holds only what differs.

CREATE TABLE analytics.settings (
    name text PRIMARY KEY,
    value text NOT NULL
);
ALTER TABLE analytics.settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.settings', '');

COMMENT ON TABLE analytics.settings IS
    'settings changed from their defaults, by the owner only. analytics.setting_values lists all there are';
COMMENT ON COLUMN analytics.settings.name IS
    'name of a setting; unknown names are refused (22023)';
COMMENT ON COLUMN analytics.settings.value IS
    'the value, checked against the setting''s type and range (22023). Delete the row to return to the default';

CREATE POLICY no_access ON analytics.settings FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.settings IS
    'for the owner and the service role only';

CREATE FUNCTION analytics_internal.settings_check() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_settings_check';
REVOKE EXECUTE ON FUNCTION analytics_internal.settings_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.settings_check() IS
    'row trigger: refuses unknown settings and values that are not allowed (22023)';

CREATE TRIGGER check_setting BEFORE INSERT OR UPDATE ON analytics.settings
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.settings_check();
COMMENT ON TRIGGER check_setting ON analytics.settings IS
    'refuses unknown settings and values that are not allowed';

CREATE FUNCTION analytics_internal.settings_announce() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_settings_announce';
REVOKE EXECUTE ON FUNCTION analytics_internal.settings_announce() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.settings_announce() IS
    'statement trigger: lets every session read the settings again once the change is committed';

CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON analytics.settings
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.settings_announce();
ALTER TABLE analytics.settings ENABLE ALWAYS TRIGGER announce_change; -- whoever writes it, sessions keep the old value
COMMENT ON TRIGGER announce_change ON analytics.settings IS
    'lets every session read the settings again';

CREATE FUNCTION analytics.setting(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_setting';
REVOKE EXECUTE ON FUNCTION analytics.setting(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.setting(text) IS
    'value of a setting in force: the owner''s or the default. Unknown names are an error (22023), NULL gives NULL';

CREATE FUNCTION analytics_internal.setting_definitions(
    OUT name text, OUT default_value text, OUT type text, OUT allowed text, OUT description text)
RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_setting_definitions';
COMMENT ON FUNCTION analytics_internal.setting_definitions() IS
    'every setting this version knows: name, default_value, type, allowed (range or choices), description';

CREATE VIEW analytics.setting_values WITH (security_invoker = true) AS
SELECT d.name,
       COALESCE(s.value, d.default_value) AS value,
       d.default_value,
       s.value IS NULL AS is_default,
       d.type,
       d.allowed,
       d.description
FROM analytics_internal.setting_definitions() AS d
LEFT JOIN analytics.settings AS s ON s.name OPERATOR(pg_catalog.=) d.name;
COMMENT ON VIEW analytics.setting_values IS
    'every setting with its value in force. Change one by INSERT INTO analytics.settings (name, value), as the owner';
COMMENT ON COLUMN analytics.setting_values.name IS 'name of the setting';
COMMENT ON COLUMN analytics.setting_values.value IS 'value in force';
COMMENT ON COLUMN analytics.setting_values.default_value IS 'value without a row in analytics.settings';
COMMENT ON COLUMN analytics.setting_values.is_default IS 'true where analytics.settings has no row';
COMMENT ON COLUMN analytics.setting_values.type IS 'integer, real, boolean, choice, currency or text';
COMMENT ON COLUMN analytics.setting_values.allowed IS 'range (inclusive) or choices';
COMMENT ON COLUMN analytics.setting_values.description IS 'what it does, with its unit';
