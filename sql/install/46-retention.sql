CREATE TABLE analytics.retention_policies (
    table_name text PRIMARY KEY,
    keep_days integer,
    archive_function text,
    CONSTRAINT retention_policies_keep_days CHECK (keep_days BETWEEN 1 AND 36500),
    CONSTRAINT retention_policies_archive CHECK (archive_function IS NULL OR table_name = 'user_activity')
);
ALTER TABLE analytics.retention_policies ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.retention_policies', '');
COMMENT ON TABLE analytics.retention_policies IS
    'retention changed from its default, by the owner only; analytics.retention_policy_values lists what is in force';
COMMENT ON COLUMN analytics.retention_policies.table_name IS
    'a table of analytics.retention_policy_values; others are refused (22023)';
COMMENT ON COLUMN analytics.retention_policies.keep_days IS
    'days, 1 to 36500, that rows are kept; NULL: for ever. Delete the row to return to the default';
COMMENT ON COLUMN analytics.retention_policies.archive_function IS
    'user_activity only: schema-qualified name of a function (partition regclass) that cleanup calls, as the extension''s owner, before it drops a partition; if the function detaches the partition, it is kept; if it fails, so is the partition, and the next cleanup calls it again. NULL: none';
COMMENT ON CONSTRAINT retention_policies_keep_days ON analytics.retention_policies IS 'a number of days';
COMMENT ON CONSTRAINT retention_policies_archive ON analytics.retention_policies IS 'only partitions are archived';

CREATE TABLE analytics.workspace_retention (
    workspace_id uuid NOT NULL,
    table_name text NOT NULL,
    keep_days integer,
    PRIMARY KEY (workspace_id, table_name),
    CONSTRAINT workspace_retention_keep_days CHECK (keep_days BETWEEN 1 AND 36500),
    CONSTRAINT workspace_retention_table CHECK
        (table_name IN ('hourly_metrics', 'daily_metrics', 'agent_performance', 'daily_event_usage', 'daily_error_types',
                        'daily_users', 'daily_user_revenue', 'user_cohorts'))
);
ALTER TABLE analytics.workspace_retention ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.workspace_retention', '');
COMMENT ON TABLE analytics.workspace_retention IS
    'retention of a workspace''s rollups where it differs from analytics.retention_policy_values';
COMMENT ON COLUMN analytics.workspace_retention.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.workspace_retention.table_name IS
    'hourly_metrics, daily_metrics, agent_performance, daily_event_usage, daily_error_types, daily_users, daily_user_revenue or user_cohorts';
COMMENT ON COLUMN analytics.workspace_retention.keep_days IS 'days, 1 to 36500; NULL: for ever';
COMMENT ON CONSTRAINT workspace_retention_keep_days ON analytics.workspace_retention IS 'a number of days';
COMMENT ON CONSTRAINT workspace_retention_table ON analytics.workspace_retention IS 'rollups only';
