-- Who changed what: filled by triggers (69-audit.sql), changed by nobody but analytics.forget_user().
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
    'changes of settings, memberships'' configuration, access roles, workspace settings, prices, retention, alert rules and the like, acknowledgments and erasures; appended by triggers, no role may change it';
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
