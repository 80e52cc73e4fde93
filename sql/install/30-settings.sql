CREATE TABLE analytics.settings (
    name text PRIMARY KEY,
    value text NOT NULL
);
ALTER TABLE analytics.settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.settings', '');

COMMENT ON TABLE analytics.settings IS
    'settings changed from their defaults, by the owner only; analytics.setting_values lists all there are';
COMMENT ON COLUMN analytics.settings.name IS
    'name of a setting; unknown names are refused (22023)';
COMMENT ON COLUMN analytics.settings.value IS
    'the value, checked against the setting''s type and range (22023); delete the row to return to the default';
