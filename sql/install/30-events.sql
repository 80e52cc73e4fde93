-- Events: the table, what an event must be, and who may store one.

-- The parent has no key and no index: pg_dump would restore its partitions with errors. Each partition gets
-- its own (analytics.create_partitions). The columns keep the order of the published schema: another order
-- saves no byte, because a row's length is rounded up to 8 wherever created_at stands.
CREATE TABLE analytics.user_activity (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    user_id uuid NOT NULL DEFAULT analytics.current_user_id(),
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
    'raw events, one partition per UTC day of created_at. What a row means is interpreted by the extension alone';
COMMENT ON COLUMN analytics.user_activity.id IS
    'the event; unique together with workspace_id and created_at, so a retry must send both again';
COMMENT ON COLUMN analytics.user_activity.workspace_id IS
    'workspace (tenant); NULL becomes the nil uuid: an event before a workspace was chosen';
COMMENT ON COLUMN analytics.user_activity.user_id IS
    'who did it; defaults to the user that the claims of the request name';
COMMENT ON COLUMN analytics.user_activity.event_type IS
    'page_view, agent_run, login, logout, workspace_switch, feature_use, error, api_call, export, report_view, custom, click, form_submit, session_start or session_end; others are refused (22023)';
COMMENT ON COLUMN analytics.user_activity.event_name IS
    'name within the type, cut to 100 characters';
COMMENT ON COLUMN analytics.user_activity.page_path IS
    'path of the page, cut to 255 characters';
COMMENT ON COLUMN analytics.user_activity.session_id IS
    'session given by the client. NULL: part of the visit that it touches, else of one found by inactivity';
COMMENT ON COLUMN analytics.user_activity.ip_address IS
    'address of the client: personal data';
COMMENT ON COLUMN analytics.user_activity.ip_hash IS
    'keyed hash of the address, where addresses are not kept';
COMMENT ON COLUMN analytics.user_activity.user_agent IS
    'the client''s User-Agent, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.referrer IS
    'the page before, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.metadata IS
    'JSON object with the facts of the event. At most 10,240 bytes as text or as stored, whichever is less (54000); NULL becomes {}';
COMMENT ON COLUMN analytics.user_activity.created_at IS
    'when it happened, between 2000-01-01 and one day ahead (the table''s owner may store any finite time). Decides the partition, so NULL is refused (23502)';

CREATE FUNCTION analytics_internal.earliest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_earliest_event_time';
REVOKE EXECUTE ON FUNCTION analytics_internal.earliest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.earliest_event_time() IS
    'oldest created_at that a role under row security may insert now (setting event_max_age_days, before the start of the statement)';

CREATE FUNCTION analytics_internal.latest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_latest_event_time';
REVOKE EXECUTE ON FUNCTION analytics_internal.latest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.latest_event_time() IS
    'latest created_at that a role under row security may insert now (setting event_max_future_minutes, after the start of the statement)';

CREATE POLICY user_reads ON analytics.user_activity FOR SELECT
    USING (user_id = analytics.current_user_id() OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids()));
COMMENT ON POLICY user_reads ON analytics.user_activity IS
    'users read their own events, and others'' where the setting raw_events_visible_to says so';
CREATE POLICY user_inserts ON analytics.user_activity FOR INSERT
    WITH CHECK (user_id = analytics.current_user_id()
                AND (workspace_id = '00000000-0000-0000-0000-000000000000'
                     OR workspace_id = ANY (analytics.workspace_ids()))
                AND created_at BETWEEN analytics_internal.earliest_event_time() AND analytics_internal.latest_event_time());
COMMENT ON POLICY user_inserts ON analytics.user_activity IS
    'users insert their own events, in their workspaces or none, dated within the limits of the settings';

CREATE FUNCTION analytics_internal.user_activity_check() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_check';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_check() IS
    'row trigger of user_activity: refuses unknown event types, metadata that is no object or too long, and impossible times; cuts long texts; replaces NULL workspace_id and metadata';

-- The triggers of user_activity always fire: what a subscription, or a tool that sets session_replication_role,
-- writes is late, personal and impossible as any other event may be. A valid row stays as it is.
CREATE TRIGGER check_event BEFORE INSERT OR UPDATE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
ALTER TABLE analytics.user_activity ENABLE ALWAYS TRIGGER check_event;
COMMENT ON TRIGGER check_event ON analytics.user_activity IS
    'refuses what cannot be counted and normalises the rest; leaves a valid row as it is';

CREATE FUNCTION analytics_internal.user_activity_deleted() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_deleted';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_deleted() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_deleted() IS
    'row trigger of user_activity: notes deleted events of closed hours in analytics.dirty_hours';
CREATE TRIGGER note_deleted BEFORE DELETE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_deleted();
ALTER TABLE analytics.user_activity ENABLE ALWAYS TRIGGER note_deleted;
COMMENT ON TRIGGER note_deleted ON analytics.user_activity IS
    'notes deleted events of closed hours';

CREATE FUNCTION analytics_internal.user_activity_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.refuse_distributed('TRUNCATE of analytics.user_activity', 'DELETE FROM analytics.user_activity, or truncate single partitions.');
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT h.workspace_id, h.metric_hour
    FROM analytics.hourly_metrics AS h, analytics.watermark AS w
    WHERE h.metric_hour < w.marked_until
    UNION
    SELECT d.workspace_id, date_trunc('hour', b.day_start, 'UTC')
    FROM analytics.daily_metrics AS d, analytics.watermark AS w,
         analytics_internal.workspace_day_bounds(d.workspace_id, d.metric_date) AS b
    WHERE b.day_start < w.marked_until;
    INSERT INTO analytics.closed_days AS c (workspace_id, event_day, events)
    SELECT d.workspace_id, d.metric_date, 0 FROM analytics.daily_metrics AS d
    WHERE NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.workspace_id = d.workspace_id AND s.event_day = d.metric_date)
    UNION SELECT k.workspace_id, k.event_day, 0 FROM analytics.closed_days AS k
    ON CONFLICT (workspace_id, event_day) DO UPDATE SET events = 0, counted_at = now();
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_truncated() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_truncated() IS
    'statement trigger of user_activity: notes every closed hour and day that has rollups in analytics.dirty_hours; no event is known to be there any more';
CREATE TRIGGER note_truncated BEFORE TRUNCATE ON analytics.user_activity
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.user_activity_truncated();
ALTER TABLE analytics.user_activity ENABLE ALWAYS TRIGGER note_truncated;
COMMENT ON TRIGGER note_truncated ON analytics.user_activity IS
    'notes every closed bucket that has rollups; not fired by TRUNCATE of a single partition';
