-- Events through functions, with the caller's rights: what a client sends, read right or refused with a reason.

-- Arguments that take more than one type. Functions of one name for each type would not do: a literal without a type
-- would be ambiguous, and so would every call to PostgREST.
CREATE TYPE analytics.any_text;
CREATE FUNCTION analytics_internal.any_text_in(cstring) RETURNS analytics.any_text
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
AS 'textin';
COMMENT ON FUNCTION analytics_internal.any_text_in(cstring) IS 'input function of analytics.any_text';
CREATE FUNCTION analytics_internal.any_text_out(analytics.any_text) RETURNS cstring
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
AS 'textout';
COMMENT ON FUNCTION analytics_internal.any_text_out(analytics.any_text) IS 'output function of analytics.any_text';
CREATE TYPE analytics.any_text (
    INPUT = analytics_internal.any_text_in,
    OUTPUT = analytics_internal.any_text_out,
    LIKE = pg_catalog.text
);
COMMENT ON TYPE analytics.any_text IS
    'text that uuid, json and jsonb become without a cast: only for arguments of functions';
CREATE CAST (text AS analytics.any_text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (text AS analytics.any_text) IS 'the text as it is';
CREATE CAST (varchar AS analytics.any_text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (varchar AS analytics.any_text) IS 'the text as it is';
CREATE CAST (json AS analytics.any_text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (json AS analytics.any_text) IS 'the document as it was written';
CREATE CAST (jsonb AS analytics.any_text) WITH INOUT AS IMPLICIT;
COMMENT ON CAST (jsonb AS analytics.any_text) IS 'the document as PostgreSQL writes it';
CREATE CAST (uuid AS analytics.any_text) WITH INOUT AS IMPLICIT;
COMMENT ON CAST (uuid AS analytics.any_text) IS 'the uuid as PostgreSQL writes it';
CREATE CAST (analytics.any_text AS text) WITHOUT FUNCTION AS ASSIGNMENT;
COMMENT ON CAST (analytics.any_text AS text) IS 'the text as it is';

CREATE FUNCTION analytics.user_uuid(workspace_id uuid, user_id text) RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_uuid';
REVOKE EXECUTE ON FUNCTION analytics.user_uuid(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.user_uuid(uuid, text) IS
    'the user_id of a user whom events of a workspace name by text. shadow-analytics-import gives the same. A text that is a uuid is that uuid; any other gives the uuid v5 of "user:" and the text in the namespace of workspace_id. workspace_id NULL: events without one; with the setting text_subjects the namespace is the nil uuid for all; user_id NULL: NULL';

CREATE FUNCTION analytics.read_event(
    event jsonb, OUT id uuid, OUT workspace_id uuid, OUT user_id uuid, OUT event_type text, OUT event_name text,
    OUT page_path text, OUT session_id uuid, OUT ip_address inet, OUT user_agent text, OUT referrer text,
    OUT metadata jsonb, OUT created_at timestamptz, OUT dropped text[])
RETURNS record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_read_event';
REVOKE EXECUTE ON FUNCTION analytics.read_event(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics.read_event(jsonb) IS
    'the row that track_batch() stores of an event, and the amounts of it that are dropped. id is NULL for a new one. The keys are the arguments of analytics.track; any other is an error (22023). user_id and session_id are uuids or, with the setting text_ids, any text (else 22P02). user_id defaults to the current user, an error without one (22004, 22023). created_at is ISO 8601 with a zone, or seconds or milliseconds since 1970 (22023); without it: the time of an id of version 7, an error with any other id (22023), else now';

CREATE FUNCTION analytics.track(
    event_type text,
    metadata jsonb DEFAULT '{}',
    workspace_id uuid DEFAULT NULL,
    user_id analytics.any_text DEFAULT NULL,
    event_name text DEFAULT NULL,
    page_path text DEFAULT NULL,
    session_id analytics.any_text DEFAULT NULL,
    ip_address inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    referrer text DEFAULT NULL,
    created_at timestamptz DEFAULT NULL,
    id uuid DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stored_id CONSTANT uuid := COALESCE(id, gen_random_uuid());
BEGIN
    INSERT INTO analytics.user_activity
        (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
         metadata, created_at)
    SELECT stored_id, e.workspace_id, e.user_id, track.event_type, track.event_name, track.page_path, e.session_id,
           track.ip_address, track.user_agent, track.referrer, track.metadata, e.created_at
    -- Only what has to be decided: the rest of an event is stored as it is.
    FROM analytics.read_event(jsonb_build_object(
        'id', track.id, 'workspace_id', track.workspace_id, 'user_id', track.user_id::text,
        'session_id', track.session_id::text, 'created_at', track.created_at)) AS e
    ON CONFLICT DO NOTHING;
    RETURN stored_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track(text, jsonb, uuid, analytics.any_text, text, text, analytics.any_text, inet, text, text, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track(text, jsonb, uuid, analytics.any_text, text, text, analytics.any_text, inet, text, text, timestamptz, uuid) IS
    'stores an event with the caller''s rights and returns its id. user_id and session_id are uuids or, with the setting text_ids, any text (else 22P02). user_id NULL: the current user of the request, an error without one (22004, 22023); workspace_id NULL: none; created_at NULL: now, or the time of an id of version 7; with any other id it must be given (22023). A retry with the same workspace_id, created_at and id stores nothing. What the table refuses is an error (22023, 54000)';

CREATE FUNCTION analytics_internal.shallow_json(batch analytics.any_text) RETURNS json
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_shallow_json';
REVOKE EXECUTE ON FUNCTION analytics_internal.shallow_json(analytics.any_text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.shallow_json(analytics.any_text) IS
    'a JSON array with the text "nested too deeply" in the place of each element that is nested more than 1,000 levels deep, which PostgreSQL may be unable to parse';
-- track_batch() runs with the rights of callers who may not use the schema analytics_internal; a cast finds its function
-- without that.
CREATE CAST (analytics.any_text AS json) WITH FUNCTION analytics_internal.shallow_json(analytics.any_text);
COMMENT ON CAST (analytics.any_text AS json) IS
    'what is nested too deeply in an array becomes a text that says so';

CREATE FUNCTION analytics.track_batch(
    events analytics.any_text, OUT accepted bigint, OUT duplicates bigint, OUT rejected jsonb, OUT warnings jsonb)
RETURNS SETOF record
LANGUAGE plpgsql ROWS 1
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    most_events CONSTANT integer := 10000;
    batch json;
    parts json[]; -- its events, once they are stored one by one
    first_index integer := 0; -- of the event that is stored next
    size integer;
    stored bigint;
    dropped jsonb;
    code text;
    reason text;
    detail text;
    hint text;
BEGIN
    BEGIN
        batch := events::text;
    EXCEPTION WHEN statement_too_complex THEN -- one deep event, and nothing of the batch is parsed
        batch := events::json;
        parts := '{}';
    END;
    IF batch IS NULL OR json_typeof(batch) <> 'array' THEN
        RAISE EXCEPTION 'events must be a JSON array'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass [{"event_type": "page_view", "user_id": ..., "metadata": {...}}, ...].';
    ELSIF json_array_length(batch) > most_events THEN
        RAISE EXCEPTION 'too many events in a batch'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s events, the limit is %s.', json_array_length(batch), most_events),
                  HINT = 'Send them in several batches.';
    END IF;

    accepted := 0;
    duplicates := 0;
    rejected := '[]';
    warnings := '[]';
    -- All at once. If something in the batch is wrong: one by one, so that only that is refused. An error that is not
    -- the event's fault ends the call.
    size := json_array_length(batch);
    IF parts IS NOT NULL THEN
        parts := ARRAY(SELECT j.value FROM json_array_elements(batch) AS j (value));
        size := 1;
    END IF;
    WHILE first_index < COALESCE(cardinality(parts), size) LOOP
        BEGIN
            IF parts[first_index + 1]::text = '"nested too deeply"' THEN
                RAISE EXCEPTION 'the event is nested too deeply'
                    USING ERRCODE = 'program_limit_exceeded', HINT = 'Send at most 1,000 levels of arrays and objects.';
            END IF;
            WITH e AS MATERIALIZED (
                SELECT first_index + j.position - 1 AS index, r.*
                FROM jsonb_array_elements(CASE WHEN parts IS NULL THEN batch::jsonb ELSE jsonb_build_array(parts[first_index + 1]::jsonb) END)
                         WITH ORDINALITY AS j (event, position),
                     LATERAL analytics.read_event(j.event) AS r
            ), s AS (
                INSERT INTO analytics.user_activity
                    (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent,
                     referrer, metadata, created_at)
                SELECT COALESCE(e.id, gen_random_uuid()), e.workspace_id, e.user_id, e.event_type, e.event_name,
                       e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer, e.metadata, e.created_at
                FROM e
                ON CONFLICT DO NOTHING
                RETURNING true
            )
            SELECT (SELECT count(*) FROM s),
                   (SELECT COALESCE(jsonb_agg(jsonb_build_object('index', e.index, 'dropped', e.dropped) ORDER BY e.index), '[]')
                    FROM e WHERE e.dropped IS NOT NULL)
            INTO stored, dropped;
            accepted := accepted + stored;
            duplicates := duplicates + size - stored;
            warnings := warnings || dropped;
            first_index := first_index + size;
        EXCEPTION
            WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR insufficient_privilege THEN
                IF size = 1 THEN
                    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                        hint = PG_EXCEPTION_HINT;
                    rejected := rejected || jsonb_strip_nulls(jsonb_build_object(
                        'index', first_index,
                        'sqlstate', code,
                        -- The detail of a constraint would repeat the whole row.
                        'reason', concat_ws(': ', reason, CASE WHEN code NOT LIKE '23%' THEN NULLIF(detail, '') END),
                        'hint', NULLIF(hint, '')));
                    first_index := first_index + 1;
                ELSE
                    parts := ARRAY(SELECT j.value FROM json_array_elements(batch) AS j (value));
                    size := 1;
                END IF;
        END;
    END LOOP;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track_batch(analytics.any_text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track_batch(analytics.any_text) IS
    'stores a JSON array of at most 10,000 events (54000) with the caller''s rights. analytics.read_event() says how they are read. Returns how many were stored, how many were there already (same workspace_id, created_at and id), the refused ones as [{index, sqlstate, reason, hint}], and those whose amounts are dropped (setting trust_client_amounts) as [{index, dropped}], index counting from 0; one bad event refuses only itself. NULL and what is no JSON array are an error (22023, 22P02)';
