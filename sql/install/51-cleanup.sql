-- Cleanup: how long rows are kept, and what removes them. The tables hold only what differs from the defaults.

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

CREATE POLICY no_access ON analytics.retention_policies FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.retention_policies IS
    'for the owner only';
CREATE POLICY member_reads ON analytics.workspace_retention FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_retention IS
    'members read their workspaces''';

-- The one list of tables whose rows age. time_column and removable tell how a table's old rows are found and which of
-- them may go; without time_column it is not by rows. Of rollups (removable NULL) workspaces may keep days of their own.
CREATE FUNCTION analytics_internal.retention_defaults(
    OUT table_name text, OUT keep_days integer, OUT time_column text, OUT removable text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('user_activity', 90, NULL, NULL),
       ('hourly_metrics', 30, 'metric_hour', NULL),
       ('daily_metrics', NULL, 'metric_date', NULL),
       ('agent_performance', NULL, 'metric_date', NULL),
       ('daily_event_usage', NULL, 'metric_date', NULL),
       ('daily_error_types', NULL, 'metric_date', NULL),
       ('daily_users', NULL, 'metric_date', NULL),
       ('daily_user_revenue', NULL, 'metric_date', NULL),
       ('user_cohorts', NULL, 'cohort_date', NULL),
       ('identities', NULL, NULL, NULL),
       -- Firing episodes have no resolved_at; critical ones stay until somebody has seen them.
       ('alert_history', 180, 'resolved_at', '(t.severity <> ''critical'' OR t.acknowledged_at IS NOT NULL)'),
       ('notification_outbox', 30, 'created_at', 't.status NOT IN (''waiting'', ''sending'')'),
       ('audit_log', 400, 'happened_at', 'true'),
       ('job_runs', 30, 'started_at', 'true')
$$;
COMMENT ON FUNCTION analytics_internal.retention_defaults() IS
    'tables with a retention period and its default: table_name, keep_days (NULL: for ever); identities: after how many days of absence the ids of users in analytics.users are replaced by random ones, not before their events are gone. time_column: a date or an instant that tells a row''s age; removable: condition on the row t';

CREATE VIEW analytics.retention_policy_values WITH (security_invoker = true) AS
SELECT d.table_name,
       CASE WHEN p.table_name IS NULL THEN d.keep_days ELSE p.keep_days END AS keep_days,
       d.keep_days AS default_keep_days,
       p.table_name IS NULL AS is_default,
       p.archive_function
FROM analytics_internal.retention_defaults() AS d
LEFT JOIN analytics.retention_policies AS p ON p.table_name OPERATOR(pg_catalog.=) d.table_name;
COMMENT ON VIEW analytics.retention_policy_values IS
    'how long each table keeps its rows. Change it by INSERT INTO analytics.retention_policies, as the owner';
COMMENT ON COLUMN analytics.retention_policy_values.table_name IS 'table of the schema analytics; identities: user_id in analytics.users';
COMMENT ON COLUMN analytics.retention_policy_values.keep_days IS 'days in force; NULL: for ever';
COMMENT ON COLUMN analytics.retention_policy_values.default_keep_days IS 'days without a row in analytics.retention_policies; NULL: for ever';
COMMENT ON COLUMN analytics.retention_policy_values.is_default IS 'true where analytics.retention_policies has no row';
COMMENT ON COLUMN analytics.retention_policy_values.archive_function IS 'function called before a partition is dropped; NULL: none';

CREATE FUNCTION analytics_internal.retention_policy_check() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM analytics_internal.retention_defaults() AS d WHERE d.table_name = NEW.table_name) THEN
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

-- A user whose events are there would come back under a new number when their day is aggregated again.
CREATE FUNCTION analytics_internal.identities_notice() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('identities are kept as long as events may name them: %s instead of %s days',
              COALESCE((e.keep_days + 2)::text, 'for ever'), i.keep_days)
FROM analytics.retention_policy_values AS i, analytics.retention_policy_values AS e
WHERE i.table_name = 'identities' AND e.table_name = 'user_activity' AND (i.keep_days >= e.keep_days + 2) IS NOT TRUE AND i.keep_days IS NOT NULL
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.identities_notice() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.identities_notice() IS
    'what to say where the retention of identities is shorter than that of events; NULL: it is not';

CREATE FUNCTION analytics_internal.retention_policy_notice() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    notice text := analytics_internal.identities_notice();
BEGIN
    IF notice IS NOT NULL THEN
        RAISE WARNING '%', notice
            USING HINT = 'Shorten the retention of user_activity too; analytics.forget_user() forgets one person at once.';
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retention_policy_notice() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retention_policy_notice() IS
    'row trigger: warns where the retention of identities acts later than it says';
CREATE TRIGGER warn_of_identities AFTER INSERT OR UPDATE ON analytics.retention_policies
    FOR EACH ROW WHEN (NEW.table_name IN ('identities', 'user_activity') AND NOT analytics_internal.is_taken_as_is('retention_policies'))
    EXECUTE FUNCTION analytics_internal.retention_policy_notice();
COMMENT ON TRIGGER warn_of_identities ON analytics.retention_policies IS
    'warns where the retention of identities acts later than it says';

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

-- Of a partition of one day, whose events need not be read for it, the bounds tell.
CREATE FUNCTION analytics_internal.expiring_days(before timestamptz, OUT day date) RETURNS SETOF date
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass;
BEGIN
    RETURN QUERY SELECT (p.from_time AT TIME ZONE 'UTC')::date FROM analytics_internal.partitions() AS p
                 WHERE p.from_time < before AND p.to_time = p.from_time + interval '24 hours';
    FOR relation IN
        SELECT p.relation FROM analytics_internal.partitions() AS p
        WHERE p.from_time < before AND p.to_time <> p.from_time + interval '24 hours'
        UNION ALL SELECT r.default_partition FROM to_regclass('analytics.user_activity_default') AS r (default_partition)
                  WHERE r.default_partition IS NOT NULL
    LOOP
        RETURN QUERY EXECUTE format('SELECT DISTINCT (e.created_at AT TIME ZONE ''UTC'')::date FROM %s AS e WHERE e.created_at < $1', relation)
                     USING before;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.expiring_days(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.expiring_days(timestamptz) IS
    'UTC days up to that of an instant that have a partition of their own, or events before the instant in another; some perhaps twice';

-- The caller has locked writers out of the expired partitions, so that what is read here is all there is.
CREATE FUNCTION analytics_internal.aggregate_expiring(before timestamptz) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day date;
    closed_until timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w);
BEGIN
    PERFORM analytics_internal.repair_all((before AT TIME ZONE 'UTC')::date + 1);
    -- What was not counted, and what came for sealed days.
    FOR day IN
        SELECT DISTINCT d.day FROM analytics_internal.expiring_days(before) AS d
        WHERE EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.event_day = d.day)
           OR d.day < (before AT TIME ZONE 'UTC')::date
              AND ((d.day + 1)::timestamp AT TIME ZONE 'UTC' <= closed_until
                   AND EXISTS (SELECT FROM analytics.closed_days AS c WHERE c.event_day = d.day)) IS NOT TRUE
    LOOP
        PERFORM analytics_internal.count_day(day, NULL);
    END LOOP;
    -- What came to closed days without a note: in a partition that was attached, or from a restore.
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT c.workspace_id, c.event_day::timestamp AT TIME ZONE 'UTC' + n * interval '1 hour'
    FROM analytics.closed_days AS c, generate_series(0, 23) AS n
    WHERE c.grown_at = now() AND c.event_day <= (before AT TIME ZONE 'UTC')::date AND (c.event_day + 1)::timestamp AT TIME ZONE 'UTC' <= closed_until;
    PERFORM analytics_internal.repair_all((before AT TIME ZONE 'UTC')::date + 1);
    -- No local day that contains such an event ends later.
    IF closed_until >= before + interval '26 hours' THEN
        RETURN NULL;
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
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('nothing was removed, as expiring events could not be aggregated: %s (%s)', SQLERRM, SQLSTATE);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) IS
    'sees to it that the rollups of all events before an instant are right before these events are removed; NULL, or why it failed';

CREATE FUNCTION analytics_internal.keeping_statement() RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES (''user_activity'', NULL) ON CONFLICT (table_name) DO UPDATE SET keep_days = NULL'
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.keeping_statement() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.keeping_statement() IS 'the statement that keeps events for ever';

CREATE FUNCTION analytics_internal.expiry_notice(first_day date) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('events older than %s days are past the retention of user_activity: their rollups stay, they themselves are removed by cleanup, at the earliest %s hours after they were loaded',
              v.keep_days, analytics.setting('import_grace_hours'))
FROM analytics.retention_policy_values AS v
WHERE v.table_name = 'user_activity' AND first_day < (now() AT TIME ZONE 'UTC')::date - v.keep_days
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.expiry_notice(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.expiry_notice(date) IS
    'notice for those who load events from a day on, if cleanup is going to remove some of them. NULL: none';

-- An import: what counting found when, without it, the day's events would have been expired already. A day is
-- counted an hour after its end.
CREATE FUNCTION analytics_internal.kept_days(
    before timestamptz, OUT workspace_id uuid, OUT event_day date, OUT events bigint, OUT kept_until timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.workspace_id, s.event_day, s.kept_events, timestamptz 'infinity' FROM analytics.sealed_days AS s
WHERE s.kept_events > 0 AND s.event_day <= (before AT TIME ZONE 'UTC')::date
UNION ALL
SELECT c.workspace_id, c.event_day, c.events, c.grown_at + g.grace
FROM analytics.closed_days AS c, (SELECT make_interval(hours => analytics.setting('import_grace_hours')::integer) AS grace) AS g
WHERE c.event_day <= (before AT TIME ZONE 'UTC')::date AND c.events > 0 AND c.grown_at + g.grace > now()
  AND c.grown_at >= c.event_day::timestamp AT TIME ZONE 'UTC' + greatest(now() - before, interval '2 days')
  AND NOT EXISTS (SELECT FROM analytics.sealed_days AS s
                  WHERE s.workspace_id = c.workspace_id AND s.event_day = c.event_day AND s.kept_events > 0)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.kept_days(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.kept_days(timestamptz) IS
    'days whose events cleanup keeps though they are older than the instant: those that no rollup counts (kept_until infinity), and, for the setting import_grace_hours, those loaded when they were expired already';

CREATE FUNCTION analytics.settle_day(event_day date, decision text, workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO' -- cells are told the day as text
AS $$
DECLARE
    settled bigint := 0;
    sealed record;
BEGIN
    IF event_day IS NULL THEN
        RAISE EXCEPTION 'event_day must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    ELSIF decision IS NULL OR decision NOT IN ('keep', 'recount') THEN
        RAISE EXCEPTION 'decision must be keep or recount'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s.', COALESCE(quote_literal(decision), 'NULL')),
                  HINT = 'keep leaves the rollups as they are, recount makes them of the events that are there.';
    END IF;
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cells(format('SELECT analytics.settle_day(%L, %L, %L)', event_day, decision, workspace_id), workspace_id);
    END IF;
    PERFORM analytics_internal.lock('rollups');
    FOR sealed IN
        SELECT s.workspace_id, s.event_day FROM analytics.sealed_days AS s
        WHERE s.event_day = settle_day.event_day AND (settle_day.workspace_id IS NULL OR s.workspace_id = settle_day.workspace_id)
    LOOP
        DELETE FROM analytics.closed_days AS c WHERE c.workspace_id = sealed.workspace_id AND c.event_day = sealed.event_day;
        IF decision = 'keep' THEN
            UPDATE analytics.sealed_days AS s SET events = s.events + s.missing, missing = 0, kept_events = 0, sealed_at = now()
            WHERE s.workspace_id = sealed.workspace_id AND s.event_day = sealed.event_day;
            INSERT INTO analytics.closed_days (workspace_id, event_day, events, grown_at)
            SELECT c.workspace_id, sealed.event_day, c.present, '-infinity'
            FROM analytics_internal.compare_day(sealed.event_day, ARRAY[sealed.workspace_id]) AS c WHERE c.present > 0;
        ELSE
            DELETE FROM analytics.sealed_days AS s WHERE s.workspace_id = sealed.workspace_id AND s.event_day = sealed.event_day;
            INSERT INTO analytics.closed_days (workspace_id, event_day, events, grown_at)
            SELECT sealed.workspace_id, sealed.event_day, COALESCE(sum(c.present), 0), '-infinity'
            FROM analytics_internal.compare_day(sealed.event_day, ARRAY[sealed.workspace_id]) AS c;
            INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
            SELECT sealed.workspace_id, sealed.event_day::timestamp AT TIME ZONE 'UTC' + n * interval '1 hour' FROM generate_series(0, 23) AS n;
        END IF;
        settled := settled + 1;
    END LOOP;
    RETURN settled;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.settle_day(date, text, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.settle_day(date, text, uuid) IS
    'decides about a frozen UTC day (analytics.sealed_days) of one workspace or (NULL) of all. keep: its rollups stay and cleanup may remove its events; recount: the next analytics.maintain() computes the rollups from the events that are there, however few. Returns the number of workspaces whose day was settled. For the owner; another decision is an error (22023), a NULL day too (22004)';

CREATE FUNCTION analytics_internal.try_archive(partition regclass) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms' -- detaching locks user_activity: nobody shall queue behind us for long
AS $$
DECLARE
    archive_function text := (SELECT v.archive_function FROM analytics.retention_policy_values AS v
                              WHERE v.table_name = 'user_activity');
BEGIN
    IF archive_function IS NOT NULL THEN
        EXECUTE format('SELECT %s($1)', to_regprocedure(archive_function || '(regclass)')::regproc)
        USING partition;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('%s was kept, as the archive function failed: %s (%s)', (SELECT c.relname FROM pg_class AS c WHERE c.oid = partition), SQLERRM, SQLSTATE);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_archive(regclass) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_archive(regclass) IS
    'calls the archive function of user_activity, if there is one, for a partition that is about to be dropped; NULL, or why it failed';

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

-- The numbers were counted when the day was closed. What was missing by then has not been removed now.
CREATE FUNCTION analytics_internal.seal_days(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
WITH counts AS (
    DELETE FROM analytics.closed_days AS c
    WHERE c.event_day >= (from_time AT TIME ZONE 'UTC')::date AND c.event_day < (to_time AT TIME ZONE 'UTC')::date
    RETURNING c.workspace_id, c.event_day, c.events
), sealed AS (
    INSERT INTO analytics.sealed_days AS s (workspace_id, event_day, events)
    SELECT c.workspace_id, c.event_day, c.events FROM counts AS c WHERE c.events > 0
    ON CONFLICT (workspace_id, event_day)
    DO UPDATE SET events = s.events + EXCLUDED.events, missing = 0, sealed_at = now()
)
SELECT coalesce(sum(c.events - coalesce(s.missing, 0)), 0)::bigint
FROM counts AS c LEFT JOIN analytics.sealed_days AS s USING (workspace_id, event_day)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.seal_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.seal_days(timestamptz, timestamptz) IS
    'seals the days of a partition that is being dropped; how many events go with it';

CREATE FUNCTION analytics_internal.cleanup_old_data(
    OUT table_name text, OUT rows_deleted bigint, OUT note text, OUT has_more boolean, OUT kept_unaggregated boolean,
    OUT is_busy boolean, OUT ready text[])
RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_cleanup_old_data';
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup_old_data() IS
    'the work of analytics.cleanup_old_data(), as the owner, without noting what it removes as a late change; has_more: more partitions have expired than one call drops, kept_unaggregated: events were kept, as rollups of theirs could not be made, is_busy: partitions were left because they are in use, ready: in a cell of Citus the partitions that may be dropped as far as the cell is concerned';

CREATE FUNCTION analytics_internal.remove_old_data(
    OUT table_name text, OUT rows_deleted bigint, OUT note text, OUT has_more boolean, OUT kept_unaggregated boolean, OUT is_busy boolean)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY SELECT c.* FROM analytics_internal.cleanup_in_cells() AS c;
    ELSE
        RETURN QUERY SELECT c.table_name, c.rows_deleted, c.note, c.has_more, c.kept_unaggregated, c.is_busy
                     FROM analytics_internal.cleanup_old_data() AS c;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_old_data() IS
    'analytics_internal.cleanup_old_data() here, or where the tables are distributed in all cells, with the rights of the owner';

CREATE FUNCTION analytics.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.has_cells() THEN
        PERFORM analytics_internal.catch_up((now() AT TIME ZONE 'UTC')::date, NULL);
    END IF;
    RETURN QUERY SELECT c.table_name, c.rows_deleted, c.note FROM analytics_internal.remove_old_data() AS c;
    PERFORM analytics_internal.keep_partitions_ahead();
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics.cleanup_old_data() IS
    'removes rows past their retention (analytics.retention_policy_values). One row per table: table_name, the exact rows_deleted (identities: users made unknowable), and a note where some had to stay. Events are removed after their rollups were completed, whole UTC days by dropping their partition, without queueing behind readers and writers; their days are then frozen. Before that, other days are finished as by aggregate_daily_metrics()';
