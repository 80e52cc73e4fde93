-- Privacy: the key of hashed addresses, and the rights of a person: to be forgotten, and to know what is stored.

CREATE TABLE analytics.ip_secret (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT ip_secret_single_row CHECK (id),
    version integer NOT NULL DEFAULT 1 CONSTRAINT ip_secret_version CHECK (version > 0),
    secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        CONSTRAINT ip_secret_length CHECK (length(secret) = 48),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE analytics.ip_secret ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.ip_secret', '');
COMMENT ON TABLE analytics.ip_secret IS
    'the key of user_activity.ip_hash, made on first use, read by nobody but the owner. analytics.rotate_ip_secret() replaces it';
COMMENT ON COLUMN analytics.ip_secret.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.ip_secret.version IS
    'counts the keys there have been; the first four bytes of an ip_hash';
COMMENT ON COLUMN analytics.ip_secret.secret IS
    'random bytes (from the server''s cryptographic generator)';
COMMENT ON COLUMN analytics.ip_secret.created_at IS
    'when this key was made';

CREATE POLICY no_access ON analytics.ip_secret FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.ip_secret IS
    'for the owner only';

CREATE FUNCTION analytics.rotate_ip_secret() RETURNS integer
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.ip_secret AS s DEFAULT VALUES
ON CONFLICT (id) DO UPDATE SET version = s.version + 1, secret = EXCLUDED.secret, created_at = EXCLUDED.created_at
RETURNING version
$$;
REVOKE EXECUTE ON FUNCTION analytics.rotate_ip_secret() FROM PUBLIC;
COMMENT ON FUNCTION analytics.rotate_ip_secret() IS
    'replaces the key of user_activity.ip_hash and returns its version. The old key is gone, so older hashes can no longer be traced to an address. For the owner';

CREATE FUNCTION analytics_internal.metadata_without_person(metadata jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_metadata_without_person';
REVOKE EXECUTE ON FUNCTION analytics_internal.metadata_without_person(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.metadata_without_person(jsonb) IS
    'the keys of an event''s metadata that are counted, with (erased) in place of free text, so that every count stays; NULL for anything but an object';

CREATE FUNCTION analytics_internal.has_event(target_workspace_id uuid, target_user_id uuid, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM analytics.user_activity AS e
               WHERE e.user_id = target_user_id AND e.created_at >= date_trunc('second', at) AND e.created_at < date_trunc('second', at) + interval '1 second'
                 AND (e.workspace_id = target_workspace_id OR target_workspace_id = '00000000-0000-0000-0000-000000000000'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_event(uuid, uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_event(uuid, uuid, timestamptz) IS
    'whether the user has an event in that second in the workspace, for the nil uuid in any';

-- Where others' rows name the user: events of others ("invited_user": ...), which stay theirs, alerts and the
-- audit log. A text that names the user in another way than by the id is not found.
CREATE FUNCTION analytics_internal.forget_mentions_in_events(target_user_id uuid, target_workspace_id uuid, tombstone uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named CONSTANT text := target_user_id::text;
BEGIN
    UPDATE analytics.user_activity AS e
    SET page_path = replace(e.page_path, named, tombstone::text),
        referrer = replace(e.referrer, named, tombstone::text),
        metadata = replace(e.metadata::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR e.workspace_id = target_workspace_id)
      AND strpos(concat_ws(' ', e.page_path, e.referrer, e.metadata::text), named) > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_mentions_in_events(uuid, uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_mentions_in_events(uuid, uuid, uuid) IS
    'a step of analytics_internal.forget_user(): puts the tombstone in place of the user''s id in other users'' events';

CREATE FUNCTION analytics_internal.forget_mentions(target_user_id uuid, target_workspace_id uuid, tombstone uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named CONSTANT text := target_user_id::text;
BEGIN
    -- Notes by the user go; in those of others only the user's id is replaced.
    UPDATE analytics.alert_history AS h
    SET notes = CASE WHEN h.acknowledged_by = target_user_id THEN NULL ELSE replace(h.notes, named, tombstone::text) END,
        acknowledged_by = CASE WHEN h.acknowledged_by = target_user_id THEN tombstone ELSE h.acknowledged_by END,
        evaluation_context = replace(h.evaluation_context::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR h.workspace_id = target_workspace_id)
      AND (h.acknowledged_by = target_user_id OR strpos(concat_ws(' ', h.notes, h.evaluation_context::text), named) > 0);
    -- Samples of errors are those of a moment: whose they were is found by the user's events, which have the tombstone by now.
    UPDATE analytics.alert_history AS h
    SET evaluation_context = jsonb_set(h.evaluation_context, '{samples}', coalesce(
            (SELECT jsonb_agg(s.value ORDER BY s.ordinality)
             FROM jsonb_array_elements(h.evaluation_context -> 'samples') WITH ORDINALITY AS s
             WHERE NOT analytics_internal.has_event(h.workspace_id, tombstone, (s.value ->> 'at')::timestamptz)), '[]'))
    WHERE (target_workspace_id IS NULL OR h.workspace_id IN (target_workspace_id, '00000000-0000-0000-0000-000000000000'))
      AND EXISTS (SELECT FROM jsonb_path_query(h.evaluation_context, '$.samples[*].at') AS s (at)
                  WHERE analytics_internal.has_event(h.workspace_id, tombstone, (s.at #>> '{}')::timestamptz));
    UPDATE analytics.alert_rules AS r SET created_by = tombstone
    WHERE r.created_by = target_user_id AND (target_workspace_id IS NULL OR r.workspace_id = target_workspace_id);
    UPDATE analytics.segments AS s
    SET created_by = CASE WHEN s.created_by = target_user_id THEN tombstone ELSE s.created_by END,
        name = replace(s.name, named, tombstone::text),
        description = replace(s.description, named, tombstone::text),
        definition = replace(s.definition::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR s.workspace_id = target_workspace_id)
      AND (s.created_by = target_user_id OR strpos(concat_ws(' ', s.name, s.description, s.definition::text), named) > 0);
    UPDATE analytics.annotations AS n
    SET created_by = CASE WHEN n.created_by = target_user_id THEN tombstone ELSE n.created_by END,
        title = replace(n.title, named, tombstone::text),
        details = replace(n.details, named, tombstone::text)
    WHERE (target_workspace_id IS NULL OR n.workspace_id = target_workspace_id)
      AND (n.created_by = target_user_id OR strpos(concat_ws(' ', n.title, n.details), named) > 0);
    UPDATE analytics.notification_outbox AS o
    SET message = replace(o.message::text, named, tombstone::text)::jsonb, last_error = replace(o.last_error, named, tombstone::text)
    WHERE (target_workspace_id IS NULL OR o.workspace_id = target_workspace_id)
      AND strpos(concat_ws(' ', o.message::text, o.last_error), named) > 0;

    UPDATE analytics.audit_log AS a
    SET user_id = nullif(a.user_id, target_user_id),
        old_values = replace(a.old_values::text, named, tombstone::text)::jsonb,
        new_values = replace(a.new_values::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR a.workspace_id = target_workspace_id)
      AND (a.user_id = target_user_id OR strpos(concat_ws(' ', a.old_values::text, a.new_values::text), named) > 0);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_mentions(uuid, uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_mentions(uuid, uuid, uuid) IS
    'a step of analytics_internal.forget_user(): puts the tombstone in place of the user''s id in alerts, notifications, segments, annotations and the audit log; the caller holds the lock alerts';

CREATE FUNCTION analytics_internal.audit_forgetting(target_workspace_id uuid, events bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT analytics_internal.write_audit(target_workspace_id, 'forget_user', 'analytics.user_activity', NULL, jsonb_build_object('events', events))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_forgetting(uuid, bigint) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_forgetting(uuid, bigint) IS
    'the last step of analytics_internal.forget_user(): notes in the audit log that somebody was forgotten, but not who';

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
    IF analytics_internal.has_cells() THEN
        events := analytics_internal.in_cells(format('SELECT analytics_internal.forget_user(%L, %L)', target_user_id, target_workspace_id), target_workspace_id);
        PERFORM analytics_internal.audit_forgetting(target_workspace_id, events);
        RETURN events;
    END IF;

    -- Before any row is locked, and those of alerts last: nobody evaluates alerts while it is held.
    PERFORM analytics_internal.lock('rollups');

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
    UPDATE analytics.users AS u SET user_id = tombstone, is_forgotten = true
    WHERE u.user_id = target_user_id AND (target_workspace_id IS NULL OR u.workspace_id = target_workspace_id);

    PERFORM analytics_internal.forget_mentions_in_events(target_user_id, target_workspace_id, tombstone);

    -- The reasons of failures and the messages of errors are free text that the rollup of a day keeps; a day
    -- whose events retention has removed keeps redacted texts of nobody in particular.
    PERFORM analytics_internal.aggregate_unsealed(m.metric_date, NULL, m.workspace_id)
    FROM jsonb_to_recordset(coalesce(days, '[]')) AS d (workspace_id uuid, day date)
    JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.day;
    IF events > 0 AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = to_regclass('analytics.mv_error_trends') AND c.relispopulated) THEN
        PERFORM analytics_internal.lock('views');
        IF analytics_internal.cell_key() > 0 THEN
            PERFORM analytics_internal.refresh_view('mv_error_trends');
        ELSE
            REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_error_trends;
        END IF;
    END IF;

    PERFORM analytics_internal.lock('alerts');
    PERFORM analytics_internal.forget_mentions(target_user_id, target_workspace_id, tombstone);
    IF analytics_internal.cell_key() = 0 THEN -- else the coordinator does
        PERFORM analytics_internal.audit_forgetting(target_workspace_id, events);
    END IF;
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
    'makes a user unknowable, in one workspace or in all, and changes no count. The user''s events get a random user and sessions, and lose addresses, user agent, paths, referrer, free text and unknown metadata; the audit log is cleared of the user. Returns the number of events. For the service role and the owner; NULL user: error (22004)';

-- A table that comes to hold something about a person is listed here.
CREATE FUNCTION analytics_internal.export_user(target_user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    RETURN (WITH person AS (
        SELECT u.* FROM analytics.users AS u WHERE u.user_id = target_user_id
    )
    SELECT jsonb_build_object(
        'user_id', target_user_id,
        'events', (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.created_at, e.id), '[]')
                   FROM analytics.user_activity AS e WHERE e.user_id = target_user_id),
        'users', (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.workspace_id), '[]') FROM person AS p),
        'daily_users', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', d.workspace_id, 'metric_date', d.metric_date)
                                                  ORDER BY d.workspace_id, d.metric_date), '[]')
                        FROM person AS p JOIN analytics.daily_users AS d ON d.workspace_id = p.workspace_id
                        WHERE d.users OPERATOR(analytics.@>) p.user_number),
        'agents_used', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', a.workspace_id, 'agent_id', a.agent_id, 'metric_date', a.metric_date)
                                                  ORDER BY a.workspace_id, a.agent_id, a.metric_date), '[]')
                        FROM person AS p JOIN analytics.agent_performance AS a ON a.workspace_id = p.workspace_id
                        WHERE a.users OPERATOR(analytics.@>) p.user_number),
        'events_by_day', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', c.workspace_id, 'metric_date', c.metric_date,
                                                                       'event_type', c.event_type, 'event_name', c.event_name)
                                                    ORDER BY c.workspace_id, c.metric_date, c.event_type, c.event_name), '[]')
                          FROM person AS p JOIN analytics.daily_event_counts AS c ON c.workspace_id = p.workspace_id
                          WHERE c.users OPERATOR(analytics.@>) p.user_number),
        'revenue', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.workspace_id, r.metric_date), '[]')
                    FROM person AS p JOIN analytics.daily_user_revenue AS r USING (workspace_id, user_number)),
        -- Not a saved set's other users.
        'segments', (SELECT coalesce(jsonb_agg(to_jsonb(s) - 'users' ORDER BY s.workspace_id, s.name), '[]')
                     FROM analytics.segments AS s WHERE s.created_by = target_user_id),
        'in_segments', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', s.workspace_id, 'name', s.name) ORDER BY s.workspace_id, s.name), '[]')
                        FROM person AS p JOIN analytics.segments AS s ON s.workspace_id = p.workspace_id
                        WHERE s.users OPERATOR(analytics.@>) p.user_number),
        'annotations', (SELECT coalesce(jsonb_agg(to_jsonb(n) ORDER BY n.created_at, n.id), '[]')
                        FROM analytics.annotations AS n WHERE n.created_by = target_user_id),
        'alert_rules', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.created_at, r.id), '[]')
                        FROM analytics.alert_rules AS r WHERE r.created_by = target_user_id),
        'acknowledged_alerts', (SELECT coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.triggered_at, h.id), '[]')
                                FROM analytics.alert_history AS h WHERE h.acknowledged_by = target_user_id),
        'audit_log', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.happened_at, a.id), '[]')
                      FROM analytics.audit_log AS a WHERE a.user_id = target_user_id)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.export_user(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.export_user(uuid) IS
    'analytics.export_user() with the rights of the owner, for anybody';

CREATE FUNCTION analytics_internal.export_self() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.export_user(analytics.current_user_id()) WHERE analytics.current_user_id() IS NOT NULL';
REVOKE EXECUTE ON FUNCTION analytics_internal.export_self() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.export_self() IS
    'analytics.export_self() with the rights of the owner: also of workspaces that the user has left';

-- Bound when it is created, so that members need no right on the schema analytics_internal.
CREATE FUNCTION analytics.export_self() RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analytics_internal.export_self();
END;
REVOKE EXECUTE ON FUNCTION analytics.export_self() FROM PUBLIC;
COMMENT ON FUNCTION analytics.export_self() IS
    'analytics.export_user() of the current user; NULL for nobody';

CREATE FUNCTION analytics.export_user(user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id = analytics.current_user_id() THEN
        RETURN analytics.export_self();
    ELSIF row_security_active('analytics.user_activity') THEN
        RETURN NULL;
    END IF;
    RETURN analytics_internal.export_user(user_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.export_user(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.export_user(uuid) IS
    'everything stored about a user, as one JSON object. user_id, events (raw), users (number, first and last seen per workspace), daily_users (days active), agents_used and events_by_day (rollups that count the user), revenue, segments, annotations and alert_rules (made by the user), in_segments (saved sets with the user), acknowledged_alerts, audit_log (what the user changed). For the user, of every workspace, the service role and the owner; NULL to others';
