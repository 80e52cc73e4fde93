-- Settings: defaults in code, changes in a table, nothing unknown or out of range gets in.
SELECT name, value, is_default, type, allowed FROM analytics.setting_values
WHERE name IN ('bounce_rule', 'currency', 'session_gap_minutes') ORDER BY name;

INSERT INTO analytics.settings VALUES ('session_gap_minutes', '45');
SELECT analytics.setting('session_gap_minutes'), analytics.setting('currency'), analytics.setting(NULL);
SELECT name, value, default_value FROM analytics.setting_values WHERE NOT is_default;

-- Each kind of refusal.
\set VERBOSITY terse
INSERT INTO analytics.settings VALUES ('session_gap', '45');
SELECT analytics.setting('no such');
\set VERBOSITY default
UPDATE analytics.settings SET value = '0';
UPDATE analytics.settings SET value = ' 45';
UPDATE analytics.settings SET value = NULL;
INSERT INTO analytics.settings VALUES ('bounce_rule', 'single');
INSERT INTO analytics.settings VALUES ('bounce_rule', 'single_event, engaged');
INSERT INTO analytics.settings VALUES ('currency', 'Euro');
SELECT analytics_internal.settings_check();

-- An unknown name is answered with all known ones.
DO $$
DECLARE
    detail text;
BEGIN
    PERFORM analytics.setting('no such');
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RAISE NOTICE 'names missing from the answer: %',
        (SELECT count(*) FROM analytics_internal.setting_definitions() WHERE strpos(detail, name) = 0);
END
$$;

-- A definition without description, or with a default outside its own range, would be our mistake.
SELECT count(*) FROM analytics_internal.setting_definitions() WHERE description = '';
DELETE FROM analytics.settings;
INSERT INTO analytics.settings SELECT name, default_value FROM analytics_internal.setting_definitions();
SELECT count(*) FROM analytics.setting_values WHERE value <> default_value OR is_default;
DELETE FROM analytics.settings;

-- The value does not depend on who asks; only the owner changes it.
CREATE ROLE regress_settings_reader;
GRANT USAGE ON SCHEMA analytics TO regress_settings_reader;
GRANT EXECUTE ON FUNCTION analytics.setting(text) TO regress_settings_reader;
INSERT INTO analytics.settings VALUES ('currency', 'EUR');
SET ROLE regress_settings_reader;
SELECT analytics.setting('currency');
SELECT current_user;
INSERT INTO analytics.settings VALUES ('bounce_rule', 'engaged');
RESET ROLE;
DELETE FROM analytics.settings;
DROP OWNED BY regress_settings_reader;
DROP ROLE regress_settings_reader;
