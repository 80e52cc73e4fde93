-- Events: the table, what an event must be, who may send one, and the functions that take events.

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
    'session given by the client; NULL: part of the visit that it touches, else of one found by inactivity';
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

CREATE FUNCTION analytics.earliest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_earliest_event_time';
REVOKE EXECUTE ON FUNCTION analytics.earliest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics.earliest_event_time() IS
    'oldest created_at that a role under row security may insert now (setting event_max_age_days, before the start of the statement)';

CREATE FUNCTION analytics.latest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_latest_event_time';
REVOKE EXECUTE ON FUNCTION analytics.latest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics.latest_event_time() IS
    'latest created_at that a role under row security may insert now (setting event_max_future_minutes, after the start of the statement)';

CREATE POLICY user_reads ON analytics.user_activity FOR SELECT
    USING (user_id = analytics.current_user_id() OR workspace_id = ANY (analytics.raw_event_workspace_ids()));
COMMENT ON POLICY user_reads ON analytics.user_activity IS
    'users read their own events, and others'' where the setting raw_events_visible_to says so';
CREATE POLICY user_inserts ON analytics.user_activity FOR INSERT
    WITH CHECK (user_id = analytics.current_user_id()
                AND (workspace_id = '00000000-0000-0000-0000-000000000000'
                     OR workspace_id = ANY (analytics.workspace_ids()))
                AND created_at BETWEEN analytics.earliest_event_time() AND analytics.latest_event_time());
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
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT h.workspace_id, h.metric_hour
    FROM analytics.hourly_metrics AS h, analytics.watermark AS w
    WHERE h.metric_hour < w.marked_until
    UNION
    SELECT d.workspace_id, date_trunc('hour', b.day_start, 'UTC')
    FROM analytics.daily_metrics AS d, analytics.watermark AS w,
         analytics.workspace_day_bounds(d.workspace_id, d.metric_date) AS b
    WHERE b.day_start < w.marked_until;
    DELETE FROM analytics.closed_days;
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

-- Events through functions, with the caller's rights.

CREATE FUNCTION analytics.track(
    event_type text,
    metadata jsonb DEFAULT '{}',
    workspace_id uuid DEFAULT NULL,
    user_id uuid DEFAULT NULL,
    event_name text DEFAULT NULL,
    page_path text DEFAULT NULL,
    session_id uuid DEFAULT NULL,
    ip_address inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    referrer text DEFAULT NULL,
    created_at timestamptz DEFAULT NULL,
    id uuid DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    user_id := COALESCE(user_id, analytics.current_user_id());
    IF user_id IS NULL THEN
        RAISE EXCEPTION 'the event has no user'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Pass user_id, or call with the claims of a signed-in user.';
    END IF;
    id := COALESCE(id, gen_random_uuid());
    INSERT INTO analytics.user_activity AS a
        (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
         metadata, created_at)
    VALUES (id, COALESCE(workspace_id, '00000000-0000-0000-0000-000000000000'), user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
            metadata, COALESCE(created_at, now()))
    ON CONFLICT DO NOTHING;
    RETURN id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid) IS
    'stores an event with the caller''s rights and returns its id. user_id NULL: the current user of the request, an error without one (22004); workspace_id NULL: none; created_at NULL: now. A retry with the same workspace_id, created_at and id stores nothing. What the table refuses is an error (22023, 54000)';

-- One event of a batch; a refusal is undone alone. Errors that are not the event's fault end the call.
CREATE FUNCTION analytics.try_track(event jsonb, OUT stored boolean, OUT error_code text, OUT reason text)
RETURNS record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    detail text;
    stored_rows bigint;
BEGIN
    IF jsonb_typeof(event) <> 'object' THEN
        error_code := '22023';
        reason := 'an event must be a JSON object';
        RETURN;
    END IF;
    INSERT INTO analytics.user_activity
        (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
         metadata, created_at)
    SELECT COALESCE(e.id, gen_random_uuid()), COALESCE(e.workspace_id, '00000000-0000-0000-0000-000000000000'),
           COALESCE(e.user_id, analytics.current_user_id()), e.event_type, e.event_name, e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer,
           e.metadata, COALESCE(e.created_at, now())
    FROM jsonb_to_record(event) AS e
        (id uuid, workspace_id uuid, user_id uuid, event_type text, event_name text, page_path text, session_id uuid,
         ip_address inet, user_agent text, referrer text, metadata jsonb, created_at timestamptz)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS stored_rows = ROW_COUNT;
    stored := stored_rows = 1;
EXCEPTION
    WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR insufficient_privilege THEN
        GET STACKED DIAGNOSTICS error_code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        IF error_code NOT LIKE '23%' AND detail <> '' THEN -- those would repeat the whole row
            reason := reason || ': ' || detail;
        END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.try_track(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics.try_track(jsonb) IS
    'stores one event of a batch: stored is true, false for a duplicate, NULL when it was refused; then error_code (SQLSTATE) and reason say why';

CREATE FUNCTION analytics.track_batch(events jsonb, OUT accepted bigint, OUT duplicates bigint, OUT rejected jsonb)
RETURNS SETOF record
LANGUAGE plpgsql ROWS 1
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    most_events CONSTANT integer := 10000;
BEGIN
    IF events IS NULL OR jsonb_typeof(events) <> 'array' THEN
        RAISE EXCEPTION 'events must be a JSON array'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass [{"event_type": "page_view", "user_id": ..., "metadata": {...}}, ...].';
    ELSIF jsonb_array_length(events) > most_events THEN
        RAISE EXCEPTION 'too many events in a batch'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s events, the limit is %s.', jsonb_array_length(events), most_events),
                  HINT = 'Send them in several batches.';
    END IF;

    BEGIN
        INSERT INTO analytics.user_activity
            (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent,
             referrer, metadata, created_at)
        SELECT COALESCE(e.id, gen_random_uuid()), COALESCE(e.workspace_id, '00000000-0000-0000-0000-000000000000'),
               COALESCE(e.user_id, analytics.current_user_id()), e.event_type, e.event_name, e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer,
               e.metadata, COALESCE(e.created_at, now())
        FROM jsonb_to_recordset(events) AS e
            (id uuid, workspace_id uuid, user_id uuid, event_type text, event_name text, page_path text,
             session_id uuid, ip_address inet, user_agent text, referrer text, metadata jsonb, created_at timestamptz)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS accepted = ROW_COUNT;
        duplicates := jsonb_array_length(events) - accepted;
        rejected := '[]';
    EXCEPTION
        -- Something in the batch is wrong: one by one, so that only that is refused.
        WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR insufficient_privilege THEN
            SELECT count(*) FILTER (WHERE t.stored), count(*) FILTER (WHERE NOT t.stored),
                   COALESCE(jsonb_agg(jsonb_build_object('index', e.position - 1, 'sqlstate', t.error_code, 'reason', t.reason)
                                      ORDER BY e.position) FILTER (WHERE t.stored IS NULL), '[]')
            INTO accepted, duplicates, rejected
            FROM jsonb_array_elements(events) WITH ORDINALITY AS e (event, position),
                 LATERAL analytics.try_track(e.event) AS t;
    END;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track_batch(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track_batch(jsonb) IS
    'stores a JSON array of at most 10,000 events (54000) with the caller''s rights; the keys are the arguments of analytics.track, others are ignored, times without a zone are UTC. Returns how many were stored, how many were there already (same workspace_id, created_at and id), and the refused ones as [{index, sqlstate, reason}], index counting from 0; one bad event refuses only itself. NULL and what is no array are an error (22023)';
