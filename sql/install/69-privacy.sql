-- The rights of a person: to be forgotten, and to know what is stored.

CREATE FUNCTION analytics_internal.metadata_without_person(metadata jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_metadata_without_person';
REVOKE EXECUTE ON FUNCTION analytics_internal.metadata_without_person(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.metadata_without_person(jsonb) IS
    'the keys of an event''s metadata that are counted, with (erased) in place of free text, so that every count stays; NULL for anything but an object';

-- A table that comes to hold something about a person is cleared here.
CREATE FUNCTION analytics_internal.forget_user(target_user_id uuid, target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    tombstone uuid := gen_random_uuid();
    salt text := gen_random_uuid()::text;
    events bigint;
    days jsonb;
BEGIN
    IF target_user_id IS NULL THEN
        RAISE EXCEPTION 'user_id must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;

    -- Sessions stay apart from each other, but are no longer those that the client knew.
    WITH changed AS (
        UPDATE analytics.user_activity AS e
        SET user_id = tombstone,
            session_id = md5(salt || e.session_id)::uuid,
            ip_address = NULL,
            ip_hash = NULL,
            user_agent = NULL,
            referrer = NULL,
            page_path = NULL,
            metadata = analytics_internal.metadata_without_person(e.metadata)
        WHERE e.user_id = target_user_id
          AND (target_workspace_id IS NULL OR e.workspace_id = target_workspace_id)
        RETURNING e.workspace_id, (e.created_at AT TIME ZONE analytics.workspace_time_zone(e.workspace_id, e.created_at))::date AS day)
    SELECT count(*), jsonb_agg(DISTINCT jsonb_build_object('workspace_id', c.workspace_id, 'day', c.day)) INTO events, days
    FROM changed AS c;

    -- The number stays, and with it all counts, but nobody knows whose it was.
    UPDATE analytics.users AS u SET user_id = tombstone
    WHERE u.user_id = target_user_id AND (target_workspace_id IS NULL OR u.workspace_id = target_workspace_id);

    UPDATE analytics.alert_history AS h SET acknowledged_by = tombstone
    WHERE h.acknowledged_by = target_user_id AND (target_workspace_id IS NULL OR h.workspace_id = target_workspace_id);
    UPDATE analytics.alert_rules AS r SET created_by = tombstone
    WHERE r.created_by = target_user_id AND (target_workspace_id IS NULL OR r.workspace_id = target_workspace_id);

    -- The reasons of failures are free text that the rollup of a day keeps.
    PERFORM analytics_internal.aggregate_daily_metrics(m.metric_date, m.workspace_id)
    FROM jsonb_to_recordset(coalesce(days, '[]')) AS d (workspace_id uuid, day date)
    JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.day;

    UPDATE analytics.audit_log AS a
    SET user_id = nullif(a.user_id, target_user_id),
        old_values = replace(a.old_values::text, target_user_id::text, tombstone::text)::jsonb,
        new_values = replace(a.new_values::text, target_user_id::text, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR a.workspace_id = target_workspace_id)
      AND (a.user_id = target_user_id
           OR strpos(a.old_values::text, target_user_id::text) > 0
           OR strpos(a.new_values::text, target_user_id::text) > 0);

    PERFORM analytics_internal.write_audit(target_workspace_id, 'forget_user', 'analytics.user_activity', NULL,
                                           jsonb_build_object('events', events));
    RETURN events;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_user(uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_user(uuid, uuid) IS
    'analytics.forget_user() with the rights of the owner';

CREATE FUNCTION analytics.forget_user(user_id uuid, workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.forget_user(user_id, workspace_id)';
REVOKE EXECUTE ON FUNCTION analytics.forget_user(uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.forget_user(uuid, uuid) IS
    'makes a user unknowable, in one workspace or in all, and changes no count: his events get a random user and sessions, and lose addresses, user agent, paths, referrer, free text and unknown metadata; the audit log is cleared of him. Returns the number of events. For the service role and the owner; NULL user: error (22004)';

CREATE FUNCTION analytics.export_user(user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF row_security_active('analytics.user_activity')
       AND export_user.user_id IS DISTINCT FROM analytics.current_user_id() THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'user_id', export_user.user_id,
        'events', (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.created_at, e.id), '[]')
                   FROM analytics.user_activity AS e WHERE e.user_id = export_user.user_id),
        'audit_log', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.happened_at, a.id), '[]')
                      FROM analytics.audit_log AS a WHERE a.user_id = export_user.user_id));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.export_user(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.export_user(uuid) IS
    'everything stored about a user as one JSON object: user_id, events, audit_log. The user himself gets it, the service role and the owner; anybody else NULL';
