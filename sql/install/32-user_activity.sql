-- The parent has no key and no index: pg_dump would restore its partitions with errors. Each partition gets
-- its own (analytics.create_partitions). The columns keep the order of the published schema: another order
-- saves no byte, because a row's length is rounded up to 8 wherever created_at stands.
CREATE TABLE analytics.user_activity (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    user_id uuid NOT NULL,
    event_type text NOT NULL,
    event_name text,
    page_path text,
    session_id uuid,
    ip_address inet,
    ip_hash bytea,
    user_agent text,
    referrer text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) PARTITION BY RANGE (created_at);
ALTER TABLE analytics.user_activity ENABLE ROW LEVEL SECURITY;

COMMENT ON TABLE analytics.user_activity IS
    'raw events, one partition per UTC day of created_at; what a row means is interpreted by the extension alone';
COMMENT ON COLUMN analytics.user_activity.id IS
    'the event; unique together with workspace_id and created_at, so a retry must send both again';
COMMENT ON COLUMN analytics.user_activity.workspace_id IS
    'workspace (tenant); NULL becomes the nil uuid: an event before a workspace was chosen';
COMMENT ON COLUMN analytics.user_activity.user_id IS
    'who did it';
COMMENT ON COLUMN analytics.user_activity.event_type IS
    'page_view, agent_run, login, logout, workspace_switch, feature_use, error, api_call, export, report_view, custom, click, form_submit, session_start or session_end; others are refused (22023)';
COMMENT ON COLUMN analytics.user_activity.event_name IS
    'name within the type, cut to 100 characters';
COMMENT ON COLUMN analytics.user_activity.page_path IS
    'path of the page, cut to 255 characters';
COMMENT ON COLUMN analytics.user_activity.session_id IS
    'session given by the client; NULL: sessions are found by inactivity';
COMMENT ON COLUMN analytics.user_activity.ip_address IS
    'address of the client: personal data';
COMMENT ON COLUMN analytics.user_activity.ip_hash IS
    'keyed hash of the address, where addresses are not kept';
COMMENT ON COLUMN analytics.user_activity.user_agent IS
    'the client''s User-Agent, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.referrer IS
    'the page before, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.metadata IS
    'JSON object with the facts of the event, at most 10,240 bytes as text or as stored, whichever is less (54000); NULL becomes {}';
COMMENT ON COLUMN analytics.user_activity.created_at IS
    'when it happened, between 2000-01-01 and one day ahead (the table''s owner may store any finite time); decides the partition, so NULL is refused (23502)';
