CREATE TABLE analytics.workspace_settings (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    time_zone text NOT NULL,
    valid_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (workspace_id, valid_from)
);
ALTER TABLE analytics.workspace_settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.workspace_settings', '');

COMMENT ON TABLE analytics.workspace_settings IS
    'reporting time zones: the day of an instant is its date in the zone in force then, the one with the greatest valid_from that is not later; UTC without one';
COMMENT ON COLUMN analytics.workspace_settings.workspace_id IS
    'workspace; the nil uuid is the group of events without a workspace, not a default for the others';
COMMENT ON COLUMN analytics.workspace_settings.time_zone IS
    'name as in pg_timezone_names, stored in its proper case; abbreviations and offsets are refused (22023)';
COMMENT ON COLUMN analytics.workspace_settings.valid_from IS
    'since when: -infinity or a local midnight of the zone (22023). NULL or left out: -infinity for a workspace without settings and daily metrics, else the next local midnight at which the date does not go back';
COMMENT ON COLUMN analytics.workspace_settings.created_at IS
    'when the row was made';
COMMENT ON COLUMN analytics.workspace_settings.updated_at IS
    'when a value of the row last changed';
