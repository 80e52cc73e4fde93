-- Retention. Defaults are here; the tables hold only what was changed.
CREATE FUNCTION analytics.retention_defaults(OUT table_name text, OUT keep_days integer) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('user_activity', 90), ('hourly_metrics', 30), ('daily_metrics', NULL), ('agent_performance', NULL),
       ('daily_event_usage', NULL), ('alert_history', 180), ('notification_outbox', 30), ('audit_log', 400),
       ('job_runs', 30)
$$;
COMMENT ON FUNCTION analytics.retention_defaults() IS
    'tables with a retention period and its default: table_name, keep_days (NULL: for ever)';

CREATE VIEW analytics.retention_policy_values WITH (security_invoker = true) AS
SELECT d.table_name,
       CASE WHEN p.table_name IS NULL THEN d.keep_days ELSE p.keep_days END AS keep_days,
       d.keep_days AS default_keep_days,
       p.table_name IS NULL AS is_default,
       p.archive_function
FROM analytics.retention_defaults() AS d
LEFT JOIN analytics.retention_policies AS p ON p.table_name OPERATOR(pg_catalog.=) d.table_name;
COMMENT ON VIEW analytics.retention_policy_values IS
    'how long each table keeps its rows; change it by INSERT INTO analytics.retention_policies, as the owner';
COMMENT ON COLUMN analytics.retention_policy_values.table_name IS 'table of the schema analytics';
COMMENT ON COLUMN analytics.retention_policy_values.keep_days IS 'days in force; NULL: for ever';
COMMENT ON COLUMN analytics.retention_policy_values.default_keep_days IS 'days without a row in analytics.retention_policies; NULL: for ever';
COMMENT ON COLUMN analytics.retention_policy_values.is_default IS 'true where analytics.retention_policies has no row';
COMMENT ON COLUMN analytics.retention_policy_values.archive_function IS 'function called before a partition is dropped; NULL: none';

CREATE FUNCTION analytics_internal.retention_policy_check() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM analytics.retention_defaults() AS d WHERE d.table_name = NEW.table_name) THEN
        RAISE EXCEPTION 'table "%" has no retention policy', NEW.table_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.retention_policy_values lists the tables that have one.';
    ELSIF NEW.archive_function IS NOT NULL AND current_setting('row_security')::boolean
          AND to_regprocedure(NEW.archive_function || '(regclass)') IS NULL THEN
        RAISE EXCEPTION 'function %(regclass) does not exist', NEW.archive_function
            USING ERRCODE = 'undefined_function',
                  HINT = 'Create it first and give its name with its schema.';
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retention_policy_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retention_policy_check() IS
    'row trigger: refuses tables without retention (22023) and archive functions that do not exist (42883)';
CREATE TRIGGER check_policy BEFORE INSERT OR UPDATE ON analytics.retention_policies
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.retention_policy_check();
COMMENT ON TRIGGER check_policy ON analytics.retention_policies IS 'refuses unknown tables and functions';

CREATE FUNCTION analytics_internal.retention(table_name text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT make_interval(days => v.keep_days) FROM analytics.retention_policy_values AS v
WHERE v.table_name = retention.table_name
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retention(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retention(text) IS
    'how long a table keeps its rows; NULL: for ever';

CREATE FUNCTION analytics_internal.remove_old_rollups(rollup name, time_column name) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    removed bigint;
BEGIN
    EXECUTE format($sql$
        WITH shortest AS MATERIALIZED (
            SELECT max(p.days) AS newest
            FROM (SELECT now() - make_interval(days => w.keep_days) AS days
                  FROM analytics.workspace_retention AS w WHERE w.table_name = $1
                  UNION ALL SELECT now() - analytics_internal.retention($1)) AS p
        )
        DELETE FROM analytics.%1$I AS t
        WHERE t.%2$I < (SELECT s.newest FROM shortest AS s)
          AND t.%2$I < now() - CASE
              WHEN EXISTS (SELECT FROM analytics.workspace_retention AS w
                           WHERE w.table_name = $1 AND w.workspace_id = t.workspace_id)
              THEN (SELECT make_interval(days => w.keep_days) FROM analytics.workspace_retention AS w
                    WHERE w.table_name = $1 AND w.workspace_id = t.workspace_id)
              ELSE (SELECT analytics_internal.retention($1)) END
        $sql$, rollup, time_column) USING rollup::text;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_old_rollups(name, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_old_rollups(name, name) IS
    'deletes rows of a rollup past the retention of their workspace and returns how many';

-- Tables that grow by the row, with what is kept whatever its age.
CREATE FUNCTION analytics_internal.remove_old_rows(log_name name, time_column name, condition text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint := 0;
BEGIN
    EXECUTE format('DELETE FROM analytics.%I WHERE %I < now() - analytics_internal.retention(%L) AND %s',
                   log_name, time_column, log_name, condition);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_old_rows(name, name, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_old_rows(name, name, text) IS
    'deletes rows past their retention that fulfil a condition and returns how many';

CREATE FUNCTION analytics_internal.seal(partition_name name, before timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted bigint;
BEGIN
    EXECUTE format($sql$
        WITH counts AS (
            SELECT e.workspace_id, (e.created_at AT TIME ZONE 'UTC')::date AS event_day, count(*) AS events
            FROM analytics.%I AS e WHERE e.created_at < $1 GROUP BY 1, 2
        ), sealed AS (
            INSERT INTO analytics.sealed_days AS s (workspace_id, event_day, events)
            SELECT c.workspace_id, c.event_day, c.events FROM counts AS c
            ON CONFLICT (workspace_id, event_day) DO UPDATE SET events = s.events + EXCLUDED.events
        )
        SELECT COALESCE(sum(c.events), 0)::bigint FROM counts AS c $sql$, partition_name)
    INTO counted USING before;
    RETURN counted;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.seal(name, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.seal(name, timestamptz) IS
    'seals the days of the events of a partition before an instant, which are about to be removed, and returns how many events they are';

-- The caller has locked writers out of the expired partitions, so that what is read here is all there is.
CREATE FUNCTION analytics_internal.aggregate_expiring(before timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day date;
    closed_until timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w);
BEGIN
    WHILE analytics_internal.repair_newest(before) > 0 LOOP END LOOP;
    -- No local day that contains such an event ends later.
    IF closed_until >= before + interval '14 hours' THEN
        RETURN;
    END IF;
    FOR day IN
        SELECT DISTINCT (e.created_at AT TIME ZONE 'UTC')::date + n
        FROM analytics.user_activity AS e, generate_series(0, 1) AS n -- a local day may end on the next UTC day
        WHERE e.created_at < before
        ORDER BY 1
    LOOP
        PERFORM analytics_internal.aggregate_for_good(day::timestamp AT TIME ZONE 'UTC',
                                                      (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) IS
    'sees to it that the rollups of all events before an instant are right before these events are removed';

CREATE FUNCTION analytics_internal.archive(partition_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    archive_function text := (SELECT v.archive_function FROM analytics.retention_policy_values AS v
                              WHERE v.table_name = 'user_activity');
BEGIN
    IF archive_function IS NOT NULL THEN
        EXECUTE format('SELECT %s($1)', to_regprocedure(archive_function || '(regclass)')::regproc)
        USING format('analytics.%I', partition_name)::regclass;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.archive(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.archive(name) IS
    'calls the archive function of user_activity, if there is one, for a partition that is about to be dropped';

-- Only NOWAIT: whoever waited for this lock would make every reader and writer wait behind itself.
CREATE FUNCTION analytics_internal.lock_events(attempts integer) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR attempt IN 1..attempts LOOP
        BEGIN
            LOCK TABLE ONLY analytics.user_activity IN ACCESS EXCLUSIVE MODE NOWAIT;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = attempts THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.05 + 0.1 * random());
        END;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_events(integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_events(integer) IS
    'locks user_activity for dropping partitions without ever queueing; an error (55P03) when no attempt succeeded';

CREATE FUNCTION analytics_internal.has_old_default_rows(before timestamptz) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN to_regclass('analytics.user_activity_default') IS NOT NULL
       AND EXISTS (SELECT FROM analytics.user_activity_default AS e WHERE e.created_at < before);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_old_default_rows(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_old_default_rows(timestamptz) IS
    'whether the default partition, if there is one, holds events before an instant';

CREATE FUNCTION analytics_internal.remove_events(before timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint := 0;
    expires_by_row boolean := false;
    expired name[];
    expired_name name;
BEGIN
    SELECT COALESCE(array_agg(p.name ORDER BY p.day), '{}') INTO expired
    FROM analytics_internal.day_partitions() AS p
    WHERE p.day < (before AT TIME ZONE 'UTC')::date;
    FOREACH expired_name IN ARRAY expired LOOP
        EXECUTE format('LOCK TABLE analytics.%I IN SHARE MODE NOWAIT', expired_name);
    END LOOP;
    IF analytics_internal.has_old_default_rows(before) THEN
        LOCK TABLE analytics.user_activity_default IN SHARE ROW EXCLUSIVE MODE NOWAIT;
        expires_by_row := true;
    END IF;
    PERFORM analytics_internal.aggregate_expiring(before);

    IF expires_by_row THEN
        removed := analytics_internal.seal('user_activity_default', before);
        DELETE FROM analytics.user_activity_default AS e WHERE e.created_at < before;
    END IF;
    FOREACH expired_name IN ARRAY expired LOOP
        removed := removed + analytics_internal.seal(expired_name, before);
        PERFORM analytics_internal.archive(expired_name);
    END LOOP;

    IF cardinality(expired) > 0 THEN
        PERFORM analytics_internal.lock_events(20);
    END IF;
    FOR expired_name IN SELECT p.name FROM analytics_internal.day_partitions() AS p WHERE p.name = ANY (expired) LOOP
        EXECUTE format('DROP TABLE analytics.%I', expired_name);
    END LOOP;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_events(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_events(timestamptz) IS
    'aggregates, seals and removes the events before a UTC midnight; the exact number of events. An error (55P03) when somebody uses an expired partition or no moment without readers and writers was found';

CREATE FUNCTION analytics_internal.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT * FROM (VALUES
            ('hourly_metrics', 'metric_hour', NULL),
            ('daily_metrics', 'metric_date', NULL),
            ('agent_performance', 'metric_date', NULL),
            ('daily_event_usage', 'metric_date', NULL),
            ('alert_history', 'resolved_at', '(severity <> ''critical'' OR acknowledged_at IS NOT NULL)'),
            ('notification_outbox', 'created_at', 'status NOT IN (''waiting'', ''sending'')'),
            ('audit_log', 'happened_at', 'true'),
            ('job_runs', 'started_at', 'true')) AS o (name, time_column, condition)
        WHERE to_regclass('analytics.' || o.name) IS NOT NULL
    LOOP
        table_name := old.name;
        rows_deleted := CASE WHEN old.condition IS NULL
                             THEN analytics_internal.remove_old_rollups(old.name, old.time_column)
                             ELSE analytics_internal.remove_old_rows(old.name, old.time_column, old.condition) END;
        RETURN NEXT;
    END LOOP;

    -- Last, because from the first drop to the end of the transaction everybody waits.
    table_name := 'user_activity';
    BEGIN
        rows_deleted := COALESCE(analytics_internal.remove_events(
            date_trunc('day', now() - analytics_internal.retention('user_activity'), 'UTC')), 0);
    EXCEPTION WHEN lock_not_available THEN
        rows_deleted := 0;
        note := 'nothing removed, as the table was in use; the next call tries again';
    END;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup_old_data() IS
    'analytics.cleanup_old_data with the rights of the owner, without noting what it removes as a late change';

CREATE FUNCTION analytics.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT * FROM analytics_internal.cleanup_old_data()';
REVOKE EXECUTE ON FUNCTION analytics.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics.cleanup_old_data() IS
    'removes rows past their retention (analytics.retention_policy_values); one row per table: table_name, the exact rows_deleted, and a note where it had to leave some. Events go by whole UTC days, after their rollups were completed; their days are then sealed';
