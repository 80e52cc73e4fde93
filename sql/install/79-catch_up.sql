-- What the scheduled functions do beside their own work, so that rollups stay right where nobody calls maintain().

CREATE FUNCTION analytics_internal.finish_provisional(deadline timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hour timestamptz;
    day date;
BEGIN
    FOR hour IN
        SELECT DISTINCT h.metric_hour FROM analytics.hourly_metrics AS h
        WHERE NOT h.is_final AND h.metric_hour <= now() - interval '1 hour' ORDER BY 1
    LOOP
        EXIT WHEN clock_timestamp() >= deadline;
        PERFORM analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    FOR day IN
        SELECT DISTINCT d.metric_date FROM analytics.daily_metrics AS d
        WHERE NOT d.is_final
          AND CASE WHEN EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = d.workspace_id)
                   THEN (SELECT b.day_end FROM analytics.workspace_day_bounds(d.workspace_id, d.metric_date) AS b) <= now()
                   ELSE d.metric_date < (now() AT TIME ZONE 'UTC')::date END
        ORDER BY 1
    LOOP
        EXIT WHEN clock_timestamp() >= deadline;
        PERFORM analytics_internal.try_aggregate(day, NULL);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.finish_provisional(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.finish_provisional(timestamptz) IS
    'aggregates hours and local days that are over but were last aggregated before, until an instant';

-- The caller may hold locks of the aggregation, so the lock of closing is only tried; whoever has it does the same.
-- Closing takes three calls. Its scans of old days are left to calls for recent ones: whoever aggregates history
-- day by day is not made to aggregate all of it in one call.
CREATE FUNCTION analytics_internal.catch_up(target_date date, with_cohorts boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds integer := analytics.setting('catch_up_seconds')::integer;
    deadline timestamptz := clock_timestamp() + make_interval(secs => seconds);
    is_recent boolean := target_date >= (now() AT TIME ZONE 'UTC')::date - 2;
    -- Cohorts are made of the sets of users.
    cohorts boolean := coalesce(with_cohorts, analytics_internal.retention('daily_users') IS NOT NULL OR EXISTS (
        SELECT FROM analytics.workspace_retention AS w WHERE w.table_name = 'daily_users' AND w.keep_days IS NOT NULL));
    state text;
BEGIN
    IF seconds = 0 OR NOT analytics_internal.try_lock('finalization') THEN
        RETURN;
    END IF;
    state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    WHILE is_recent AND state = 'ready' AND clock_timestamp() < deadline LOOP
        PERFORM analytics_internal.close_next();
        state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    END LOOP;
    WHILE clock_timestamp() < deadline LOOP
        EXIT WHEN analytics_internal.repair_newest() = 0;
    END LOOP;
    PERFORM analytics_internal.finish_provisional(deadline);
    IF cohorts AND is_recent AND clock_timestamp() < deadline THEN
        PERFORM analytics_internal.aggregate_due_cohorts(deadline - clock_timestamp());
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'other days could not be finished: %', SQLERRM
        USING ERRCODE = SQLSTATE, HINT = 'What was asked for is done; the next call tries again.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.catch_up(date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.catch_up(date, boolean) IS
    'closes what is ready to be closed, repairs what has changed and finishes what was provisional, for at most the setting catch_up_seconds; a failure is a warning. target_date: the day that was aggregated; for older ones than the day before yesterday nothing is closed. with_cohorts: then cohorts that are due are computed too; NULL: if sets of users are removed at some age';

CREATE FUNCTION analytics_internal.keep_partitions_ahead() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s' -- nobody shall queue behind us for long
AS $$
BEGIN
    PERFORM analytics_internal.make_partitions();
EXCEPTION WHEN lock_not_available THEN
    RAISE NOTICE 'no partition was made, as user_activity is in use; the next call tries again';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.keep_partitions_ahead() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.keep_partitions_ahead() IS
    'makes the partitions ahead; to be called last in a transaction, as its locks last to the end';
