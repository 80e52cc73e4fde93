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
    VALUES (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
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
    SELECT COALESCE(e.id, gen_random_uuid()), e.workspace_id, COALESCE(e.user_id, analytics.current_user_id()),
           e.event_type, e.event_name, e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer,
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
        SELECT COALESCE(e.id, gen_random_uuid()), e.workspace_id, COALESCE(e.user_id, analytics.current_user_id()),
               e.event_type, e.event_name, e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer,
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
