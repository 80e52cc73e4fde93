-- Finalization: how far rollups are final, and what changed before that. A bucket becomes final in three transactions
-- (advance_watermark): the pending watermark moves and is committed; a transaction id is taken; once every older
-- transaction has ended, all that had not seen the watermark have ended, so their events are counted, and every later
-- one notes what it changes.

CREATE TABLE analytics.watermark (
    id smallint NOT NULL DEFAULT 1,
    marked_until timestamptz NOT NULL,
    marked_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    closing_xid xid8,
    closed_until timestamptz NOT NULL DEFAULT '-infinity',
    cell uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    PRIMARY KEY (cell, id),
    CONSTRAINT watermark_one_row CHECK (id = 1),
    CONSTRAINT watermark_order CHECK (closed_until <= marked_until)
);
ALTER TABLE analytics.watermark ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.watermark', '');
COMMENT ON TABLE analytics.watermark IS
    'one row, made by the first maintenance: how far rollups are final. Delete it to have everything aggregated again';
COMMENT ON COLUMN analytics.watermark.id IS 'always 1';
COMMENT ON COLUMN analytics.watermark.cell IS
    'the nil uuid; on Citus each group of shards has a row of its own, under a uuid of its own';
COMMENT ON CONSTRAINT watermark_one_row ON analytics.watermark IS 'there is one watermark';
COMMENT ON CONSTRAINT watermark_order ON analytics.watermark IS 'the final watermark is not ahead of the pending one';
COMMENT ON COLUMN analytics.watermark.marked_until IS
    'pending watermark: changes of events before it are noted in analytics.dirty_hours';
COMMENT ON COLUMN analytics.watermark.marked_by IS
    'transaction that moved marked_until; the next phase needs another one';
COMMENT ON COLUMN analytics.watermark.closing_xid IS
    'transaction id taken after marked_until was committed. When all older transactions have ended, every event before marked_until is visible or noted. NULL: not taken yet';
COMMENT ON COLUMN analytics.watermark.closed_until IS
    'final watermark: hours and local days that ended by it are final, except those in analytics.dirty_hours';

-- Append-only, so that no writer ever waits for another or for the repair.
CREATE TABLE analytics.dirty_hours (
    workspace_id uuid NOT NULL,
    metric_hour timestamptz NOT NULL,
    removed bigint NOT NULL DEFAULT 0,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_hour, id)
);
CREATE INDEX dirty_hours_metric_hour ON analytics.dirty_hours (metric_hour);
COMMENT ON INDEX analytics.dirty_hours_metric_hour IS
    'serves: the newest dirty hour, ORDER BY metric_hour DESC LIMIT 1, and those of one day';
ALTER TABLE analytics.dirty_hours ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.dirty_hours', '');
COMMENT ON TABLE analytics.dirty_hours IS
    'invalidation log: hours whose events changed after the pending watermark had passed them. Their rollups are computed again. An hour may be noted several times';
COMMENT ON COLUMN analytics.dirty_hours.workspace_id IS 'workspace of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.metric_hour IS 'start of the UTC hour of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.removed IS
    'events that were deleted or moved out of the hour. Of a statement that removes many, up to an eighth more';
COMMENT ON COLUMN analytics.dirty_hours.id IS 'makes the entry unique without a sequence';
COMMENT ON COLUMN analytics.dirty_hours.noted_at IS 'start of the transaction that changed the event';

-- The queue. enqueue_repairs(), enqueue_cohorts() and the aggregation add to it, repair_next() and
-- aggregate_due_cohorts() take from it, quarantine() puts back what failed.
CREATE TABLE analytics.pending_buckets (
    workspace_id uuid NOT NULL,
    kind text NOT NULL,
    metric_date date NOT NULL,
    turn bigint,
    noted_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    last_failed_at timestamptz,
    next_attempt_at timestamptz,
    day_start timestamptz,
    day_end timestamptz,
    PRIMARY KEY (workspace_id, kind, metric_date),
    CONSTRAINT pending_buckets_kind CHECK (kind IN ('day', 'totals', 'cohorts')),
    CONSTRAINT pending_buckets_failure CHECK ((attempts > 0) = (next_attempt_at IS NOT NULL))
);
CREATE INDEX pending_buckets_turn ON analytics.pending_buckets (kind, turn, noted_at, metric_date DESC);
COMMENT ON INDEX analytics.pending_buckets_turn IS
    'serves: the day whose turn it is, and whether anything of a kind is pending';
CREATE INDEX pending_buckets_metric_date ON analytics.pending_buckets (metric_date) WHERE turn IS NOT NULL;
COMMENT ON INDEX analytics.pending_buckets_metric_date IS
    'serves: whether a day is pending for many workspaces';
CREATE INDEX pending_buckets_failed ON analytics.pending_buckets (day_start) WHERE attempts > 0;
COMMENT ON INDEX analytics.pending_buckets_failed IS
    'serves: failed days, WHERE attempts > 0';
ALTER TABLE analytics.pending_buckets ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.pending_buckets', '');
COMMENT ON TABLE analytics.pending_buckets IS
    'the queue of maintenance: what is to be computed again. Workspaces take turns. A day that fails (attempts > 0) is quarantined, so that no other day waits for it, and tried again after a minute, two, four and so on up to a day, or at once by analytics.retry_failed_days()';
COMMENT ON COLUMN analytics.pending_buckets.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.pending_buckets.kind IS
    'day: its hours in analytics.dirty_hours, and the day; totals: new_users, returning_users and total_users of later days, once no day of the workspace is pending; cohorts: those that a change of this day or a later one can touch';
COMMENT ON COLUMN analytics.pending_buckets.metric_date IS
    'local day of the workspace; of cohorts -infinity: any';
COMMENT ON COLUMN analytics.pending_buckets.turn IS
    'of a day: one more for each day of a workspace. A day that comes while a turn is under way gets the next one, so each turn ends. NULL: of another kind, or it failed and is not due';
COMMENT ON COLUMN analytics.pending_buckets.noted_at IS 'when the first of the changes was noted, or the first attempt failed';
COMMENT ON COLUMN analytics.pending_buckets.attempts IS 'attempts that failed; of a day: the day itself or one of its hours';
COMMENT ON COLUMN analytics.pending_buckets.error IS 'SQLSTATE and message of the last failed attempt';
COMMENT ON COLUMN analytics.pending_buckets.last_failed_at IS 'when the last attempt failed';
COMMENT ON COLUMN analytics.pending_buckets.next_attempt_at IS 'not tried again before this instant; NULL: nothing has failed';
COMMENT ON COLUMN analytics.pending_buckets.day_start IS 'start of a day that failed';
COMMENT ON COLUMN analytics.pending_buckets.day_end IS 'end of a day that failed';
COMMENT ON CONSTRAINT pending_buckets_kind ON analytics.pending_buckets IS 'what can be pending';
COMMENT ON CONSTRAINT pending_buckets_failure ON analytics.pending_buckets IS 'what failed has a time for its next attempt';

CREATE TABLE analytics.closed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT now(),
    grown_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.closed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.closed_days', '');
CREATE INDEX closed_days_event_day ON analytics.closed_days (event_day);
COMMENT ON INDEX analytics.closed_days_event_day IS
    'serves: the events of an expired day, WHERE event_day = ...';
COMMENT ON TABLE analytics.closed_days IS
    'events of each workspace and final UTC day, counted when the day became final and at each repair. A rollup is not recomputed from fewer events than are known here, and cleanup need not count what it drops. A final day without a row here has total_events of analytics.daily_metrics as its known number; analytics.settle_day(day, ''recount'') has its rollups computed from the events that are there';
COMMENT ON COLUMN analytics.closed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.closed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.closed_days.events IS
    'its events in analytics.user_activity, plus those whose deletion is noted in analytics.dirty_hours';
COMMENT ON COLUMN analytics.closed_days.counted_at IS 'start of the transaction that counted them last';
COMMENT ON COLUMN analytics.closed_days.grown_at IS 'start of the last transaction that counted more than before';

CREATE TABLE analytics.sealed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    missing bigint NOT NULL DEFAULT 0,
    kept_events bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.sealed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.sealed_days', '');
CREATE INDEX sealed_days_event_day ON analytics.sealed_days (event_day);
COMMENT ON INDEX analytics.sealed_days_event_day IS
    'serves: is a bucket frozen for any workspace, WHERE event_day BETWEEN ... AND ...';
CREATE INDEX sealed_days_unsettled ON analytics.sealed_days (event_day) WHERE missing > 0 OR kept_events > 0;
COMMENT ON INDEX analytics.sealed_days_unsettled IS
    'serves: days that wait for a decision, WHERE missing > 0 OR kept_events > 0';
COMMENT ON TABLE analytics.sealed_days IS
    'frozen days: retention has removed events of theirs, or events are missing. Their rollups can no longer be computed and are not overwritten';
COMMENT ON COLUMN analytics.sealed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.sealed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.sealed_days.events IS
    'events of the workspace that retention removed from the day, or that were missing when the day expired';
COMMENT ON COLUMN analytics.sealed_days.sealed_at IS 'when the row was made or last changed';
COMMENT ON COLUMN analytics.sealed_days.missing IS
    'events that the rollups count but that are gone, and neither retention nor a noted deletion removed them';
COMMENT ON COLUMN analytics.sealed_days.kept_events IS
    'events of the day in analytics.user_activity that the rollups do not count or (where some are missing) may not count; cleanup keeps them';

CREATE POLICY no_access ON analytics.watermark FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.watermark IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.dirty_hours FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.dirty_hours IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.pending_buckets FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.pending_buckets IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.closed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.closed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.sealed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.sealed_days IS
    'for maintenance only';

CREATE FUNCTION analytics_internal.advance_watermark(mark timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w analytics.watermark;
BEGIN
    SELECT * INTO w FROM analytics.watermark FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO analytics.watermark (cell, marked_until)
        SELECT k.key, mark FROM analytics_internal.watermark_key() AS k (key) WHERE k.key IS NOT NULL ON CONFLICT DO NOTHING;
        RETURN CASE WHEN FOUND THEN 'marked' ELSE 'waiting' END;
    ELSIF w.closed_until = w.marked_until THEN
        IF mark <= w.marked_until THEN
            RETURN 'idle';
        END IF;
        UPDATE analytics.watermark SET marked_until = mark, marked_by = pg_current_xact_id(), closing_xid = NULL;
        RETURN 'marked';
    ELSIF w.closing_xid IS NULL OR w.closing_xid > pg_current_xact_id() THEN -- of another server, before a restore
        IF w.marked_by = pg_current_xact_id() THEN
            RETURN 'marked';
        END IF;
        UPDATE analytics.watermark SET closing_xid = pg_current_xact_id();
        RETURN 'taken';
    ELSIF w.closing_xid = pg_current_xact_id() OR pg_snapshot_xmin(pg_current_snapshot()) < w.closing_xid THEN
        RETURN 'waiting';
    END IF;
    RETURN 'ready';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.advance_watermark(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.advance_watermark(timestamptz) IS
    'one phase of finalizing what ended by mark, each in its own transaction: idle (nothing to finalize), marked, taken (the transaction id), waiting (for older transactions), ready (buckets up to marked_until may be finalized)';

-- A minute behind the clock, so that events on their way are not taken for late ones.
CREATE FUNCTION analytics_internal.next_mark() RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT date_trunc('hour', now() - interval '1 minute', 'UTC') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_mark() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_mark() IS 'the instant up to which buckets may be finalized now';

CREATE FUNCTION analytics_internal.is_sealed(workspace_id uuid, from_time timestamptz, to_time timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM analytics.sealed_days AS s
               WHERE (is_sealed.workspace_id IS NULL OR s.workspace_id = is_sealed.workspace_id)
                 AND s.event_day BETWEEN (from_time AT TIME ZONE 'UTC')::date
                                     AND ((to_time - interval '1 microsecond') AT TIME ZONE 'UTC')::date)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_sealed(uuid, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_sealed(uuid, timestamptz, timestamptz) IS
    'whether a UTC day between the instants is frozen, for the workspace or (NULL) for any';

-- Known events against present ones, in one snapshot: a deletion and its note are seen together.
CREATE FUNCTION analytics_internal.compare_day(
    day date, workspaces uuid[], OUT workspace_id uuid, OUT known bigint, OUT present bigint, OUT removed bigint, OUT is_expired boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- one partition, and some workspaces or all
AS $$
BEGIN
    RETURN QUERY
    SELECT COALESCE(p.workspace_id, c.workspace_id, s.workspace_id), c.events, COALESCE(p.events, 0), COALESCE(r.events, 0),
           COALESCE(s.events, 0) > 0
    FROM (SELECT e.workspace_id, count(*) AS events FROM analytics.user_activity AS e
          WHERE e.created_at >= day::timestamp AT TIME ZONE 'UTC' AND e.created_at < (day + 1)::timestamp AT TIME ZONE 'UTC'
            AND (workspaces IS NULL OR e.workspace_id = ANY (workspaces))
          GROUP BY e.workspace_id) AS p
    FULL JOIN (SELECT d.workspace_id, d.events FROM analytics.closed_days AS d
               WHERE d.event_day = day AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))) AS c
        ON c.workspace_id = p.workspace_id
    FULL JOIN (SELECT d.workspace_id, d.events FROM analytics.sealed_days AS d
               WHERE d.event_day = day AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))) AS s
        ON s.workspace_id = COALESCE(p.workspace_id, c.workspace_id)
    LEFT JOIN (SELECT d.workspace_id, sum(d.removed)::bigint AS events FROM analytics.dirty_hours AS d
               WHERE d.metric_hour >= day::timestamp AT TIME ZONE 'UTC' AND d.metric_hour < (day + 1)::timestamp AT TIME ZONE 'UTC'
                 AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))
               GROUP BY d.workspace_id) AS r
        ON r.workspace_id = COALESCE(p.workspace_id, c.workspace_id, s.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.compare_day(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.compare_day(date, uuid[]) IS
    'events of a UTC day, of some workspaces or (NULL) of all: known (NULL: never counted), present, removed by changes that are not repaired yet, and whether retention removed some';

-- Of rollups that came without their events, or whose count was lost, the rollup tells how many there were. Before
-- the mark deletions are not noted, so there nothing is known. What is missing of a local day is missing of the UTC
-- day of the same date.
CREATE FUNCTION analytics_internal.adopt_uncounted(day date, workspaces uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- three partitions
AS $$
BEGIN
    -- Materialized, or the bounds may be asked for with each event.
    WITH rollup AS MATERIALIZED (
        SELECT m.workspace_id, m.total_events, b.day_start, b.day_end
        FROM analytics.daily_metrics AS m
        CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(m.workspace_id, m.metric_date) AS b
        WHERE m.metric_date = adopt_uncounted.day AND m.workspace_id = ANY (workspaces)
    )
    INSERT INTO analytics.closed_days (workspace_id, event_day, events, counted_at, grown_at)
    SELECT c.workspace_id, day, c.present + c.removed + greatest(c.lost, 0), '-infinity', CASE WHEN c.present > 0 THEN now() ELSE '-infinity' END
    FROM (SELECT m.workspace_id,
                 COALESCE(sum(e.n) FILTER (WHERE e.day = adopt_uncounted.day AND NOT e.is_removed), 0) AS present,
                 COALESCE(sum(e.n) FILTER (WHERE e.day = adopt_uncounted.day AND e.is_removed), 0) AS removed,
                 m.total_events - COALESCE(sum(e.n) FILTER (WHERE e.is_local), 0) AS lost,
                 (m.day_start AT TIME ZONE 'UTC')::date::timestamp AS first_day, m.day_end AT TIME ZONE 'UTC' - interval '1 microsecond' AS last_day
          FROM rollup AS m
          LEFT JOIN (SELECT a.workspace_id, a.created_at AS at, 1 AS n, false AS is_removed FROM analytics.user_activity AS a
                     WHERE a.workspace_id = ANY (workspaces)
                       AND a.created_at >= (day - 1)::timestamp AT TIME ZONE 'UTC' AND a.created_at < (day + 2)::timestamp AT TIME ZONE 'UTC'
                     UNION ALL
                     SELECT d.workspace_id, d.metric_hour, d.removed, true FROM analytics.dirty_hours AS d
                     WHERE d.workspace_id = ANY (workspaces) AND d.removed > 0
                       AND d.metric_hour >= (day - 1)::timestamp AT TIME ZONE 'UTC' AND d.metric_hour < (day + 2)::timestamp AT TIME ZONE 'UTC')
              AS r ON r.workspace_id = m.workspace_id
          CROSS JOIN LATERAL (SELECT (r.at AT TIME ZONE 'UTC')::date AS day, r.n, r.is_removed,
                                     r.at >= m.day_start AND r.at < m.day_end AS is_local) AS e
          GROUP BY m.workspace_id, m.total_events, m.day_start, m.day_end) AS c
    -- With nothing, too: then a deletion that is being repaired is not taken for a loss.
    WHERE c.lost <= 0 OR NOT EXISTS ( -- another UTC day of it is known to lack events
          SELECT FROM generate_series(c.first_day, c.last_day, interval '1 day') AS n, analytics_internal.compare_day(n::date, ARRAY[c.workspace_id]) AS o
          WHERE o.known - o.removed > o.present);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.adopt_uncounted(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.adopt_uncounted(date, uuid[]) IS
    'does the work of adopt_day() for workspaces that have such a rollup';

CREATE FUNCTION analytics_internal.adopt_day(day date, workspaces uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    uncounted CONSTANT uuid[] := ARRAY(
        SELECT m.workspace_id
        -- Nearly always none: OFFSET keeps what asks for each workspace until then.
        FROM (SELECT d.workspace_id FROM analytics.daily_metrics AS d
              WHERE d.metric_date = day AND d.is_final AND d.total_events > 0 AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))
                AND NOT EXISTS (SELECT FROM analytics.closed_days AS c WHERE c.workspace_id = d.workspace_id AND c.event_day = day)
              OFFSET 0) AS m
        CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(m.workspace_id, day) AS b
        CROSS JOIN analytics.watermark AS w
        WHERE b.day_end <= w.marked_until AND NOT analytics_internal.is_sealed(m.workspace_id, b.day_start, b.day_end));
BEGIN
    IF uncounted <> '{}' THEN
        PERFORM analytics_internal.adopt_uncounted(day, uncounted);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.adopt_day(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.adopt_day(date, uuid[]) IS
    'enters into analytics.closed_days what final rollups of a day, of some workspaces or (NULL) of all, say about days that were never counted';

CREATE FUNCTION analytics_internal.count_day(day date, workspaces uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.adopt_day(day, workspaces);
    WITH compared AS MATERIALIZED (
        SELECT c.workspace_id, c.known, c.present + c.removed AS events, c.is_expired,
               greatest(COALESCE(c.known, 0) - c.removed - c.present, 0) AS missing,
               CASE WHEN COALESCE(c.known, 0) - c.removed > c.present THEN c.present
                    WHEN c.is_expired THEN c.present - greatest(COALESCE(c.known, 0) - c.removed, 0)
                    ELSE 0 END AS kept_events
        FROM analytics_internal.compare_day(day, workspaces) AS c
    ), sealed AS (
        INSERT INTO analytics.sealed_days AS s (workspace_id, event_day, events, missing, kept_events)
        SELECT c.workspace_id, day, 0, c.missing, c.kept_events FROM compared AS c WHERE c.is_expired OR c.missing > 0
        ON CONFLICT (workspace_id, event_day) DO UPDATE
        SET missing = EXCLUDED.missing, kept_events = EXCLUDED.kept_events, sealed_at = now()
        WHERE (s.missing, s.kept_events) <> (EXCLUDED.missing, EXCLUDED.kept_events)
    ), unsealed AS ( -- the missing events are back
        DELETE FROM analytics.sealed_days AS s USING compared AS c
        WHERE s.workspace_id = c.workspace_id AND s.event_day = day AND NOT c.is_expired AND c.missing = 0
    ), gone AS (
        DELETE FROM analytics.closed_days AS d USING compared AS c
        WHERE d.workspace_id = c.workspace_id AND d.event_day = day AND NOT c.is_expired AND c.missing = 0 AND c.events = 0
          AND NOT EXISTS (SELECT FROM analytics.daily_metrics AS m WHERE m.workspace_id = d.workspace_id AND m.metric_date = day)
    )
    INSERT INTO analytics.closed_days AS d (workspace_id, event_day, events)
    SELECT c.workspace_id, day, CASE WHEN c.is_expired OR c.missing > 0 THEN c.known ELSE c.events END
    FROM compared AS c
    WHERE CASE WHEN c.is_expired OR c.missing > 0 THEN c.known IS NOT NULL ELSE c.events > 0 END
    ON CONFLICT (workspace_id, event_day) DO UPDATE
    SET events = EXCLUDED.events, counted_at = now(),
        grown_at = CASE WHEN EXCLUDED.events > d.events THEN now() ELSE d.grown_at END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_day(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_day(date, uuid[]) IS
    'counts the events of a UTC day, of some workspaces or (NULL) of all, into analytics.closed_days. Freezes the day where fewer are present than known, and releases it where they are back';

-- A local day contains events of the neighbouring UTC days where the workspace has a time zone of its own.
CREATE FUNCTION analytics_internal.days_to_compare(
    day date, hour timestamptz, target_workspace_id uuid, OUT event_day date, OUT workspaces uuid[])
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.event_day, array_agg(c.workspace_id)
FROM analytics.closed_days AS c
WHERE c.counted_at < now() AND (target_workspace_id IS NULL OR c.workspace_id = target_workspace_id)
  AND (c.event_day = COALESCE(day, (hour AT TIME ZONE 'UTC')::date)
       OR c.event_day IN (day - 1, day + 1)
          AND c.workspace_id IN (SELECT s.workspace_id FROM analytics.workspace_settings AS s))
GROUP BY c.event_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.days_to_compare(date, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.days_to_compare(date, timestamptz, uuid) IS
    'UTC days whose events were counted, but not in this transaction, and that a local day or (day NULL) an hour contains events of, with their workspaces';

CREATE FUNCTION analytics_internal.missing_events(
    day date, hour timestamptz, target_workspace_id uuid, neighbours_only boolean,
    OUT workspace_id uuid, OUT event_day date, OUT known bigint, OUT present bigint)
RETURNS SETOF record
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT analytics_internal.adopt_day(COALESCE(day, (hour AT TIME ZONE 'UTC')::date),
                                    CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END);
SELECT c.workspace_id, d.event_day, c.known - c.removed, c.present
FROM analytics_internal.days_to_compare(day, hour, target_workspace_id) AS d, analytics_internal.compare_day(d.event_day, d.workspaces) AS c
WHERE c.known - c.removed > c.present AND NOT (neighbours_only AND d.event_day = day)
ORDER BY d.event_day, c.workspace_id
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.missing_events(date, timestamptz, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.missing_events(date, timestamptz, uuid, boolean) IS
    'where fewer events are there than are known to be: UTC days that a local day or (day NULL) an hour contains events of; but for those counted in this transaction and, if neighbours_only, for the day itself, whose events the aggregation counts';

CREATE FUNCTION analytics_internal.bucket_workspaces(day date, hour timestamptz) RETURNS SETOF uuid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT e.workspace_id FROM analytics.user_activity AS e
WHERE e.created_at >= COALESCE(hour, (day - 1)::timestamp AT TIME ZONE 'UTC')
  AND e.created_at < COALESCE(hour + interval '1 hour', (day + 2)::timestamp AT TIME ZONE 'UTC')
UNION SELECT d.workspace_id FROM analytics.daily_metrics AS d WHERE d.metric_date = day
UNION SELECT h.workspace_id FROM analytics.hourly_metrics AS h WHERE h.metric_hour = hour
ORDER BY 1
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.bucket_workspaces(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.bucket_workspaces(date, timestamptz) IS
    'workspaces with a rollup of a local day or (day NULL) an hour, or perhaps events';

-- Aggregates a bucket of one workspace, or of all; what is frozen is left as it is.
CREATE FUNCTION analytics_internal.aggregate_unsealed(
    day date, hour timestamptz, target_workspace_id uuid, is_repair boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    id uuid;
    from_time timestamptz := COALESCE(hour, (day - 1)::timestamp AT TIME ZONE 'UTC');
    to_time timestamptz := COALESCE(hour + interval '1 hour', (day + 2)::timestamp AT TIME ZONE 'UTC');
BEGIN
    -- Older hours would only be made to be removed.
    IF hour < now() - analytics_internal.retention('hourly_metrics') THEN
        RETURN 0;
    END IF;
    PERFORM analytics_internal.adopt_day(COALESCE(day, (hour AT TIME ZONE 'UTC')::date), CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END);
    PERFORM analytics_internal.count_day(c.event_day, c.workspaces)
    FROM analytics_internal.days_to_compare(day, hour, target_workspace_id) AS c;
    IF day IS NOT NULL AND target_workspace_id IS NOT NULL THEN
        SELECT b.day_start, b.day_end INTO from_time, to_time
        FROM analytics_internal.workspace_day_bounds(target_workspace_id, day) AS b;
    END IF;
    IF from_time IS NULL THEN -- a day that a change of zone left out
        RETURN 0;
    ELSIF NOT analytics_internal.is_sealed(target_workspace_id, from_time, to_time) THEN
        IF day IS NULL THEN
            RETURN analytics_internal.aggregate_hourly_metrics(hour, target_workspace_id);
        END IF;
        RETURN analytics_internal.aggregate_daily_metrics(day, target_workspace_id, is_repair);
    ELSIF target_workspace_id IS NULL THEN
        FOR id IN SELECT w.* FROM analytics_internal.bucket_workspaces(day, hour) AS w LOOP
            written := written + analytics_internal.aggregate_unsealed(day, hour, id, is_repair);
        END LOOP;
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_unsealed(date, timestamptz, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_unsealed(date, timestamptz, uuid, boolean) IS
    'aggregates a local day or (day NULL) an hour for the workspaces that are not frozen there. The number written. Hours past their retention are left. is_repair: as in aggregate_daily_metrics()';

-- A call for all workspaces does all the others, rather than fail.
CREATE FUNCTION analytics_internal.aggregate_despite_missing(day date, hour timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day date := COALESCE(day - 1, (hour AT TIME ZONE 'UTC')::date);
    last_day date := COALESCE(day + 1, (hour AT TIME ZONE 'UTC')::date);
BEGIN
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.count_day(c.event_day, c.workspaces)
    FROM analytics_internal.days_to_compare(day, hour, NULL) AS c WHERE c.event_day IS DISTINCT FROM day;
    IF day IS NOT NULL
        AND NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.missing > 0 AND s.event_day BETWEEN first_day AND last_day) THEN
        BEGIN -- which counts the day's events as it reads them
            RETURN analytics_internal.aggregate_daily_metrics(day, NULL);
        EXCEPTION WHEN object_not_in_prerequisite_state THEN -- some are missing
        END;
    END IF;
    PERFORM analytics_internal.count_day(c.event_day, c.workspaces)
    FROM analytics_internal.days_to_compare(day, NULL, NULL) AS c WHERE c.event_day = day;
    IF NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.missing > 0 AND s.event_day BETWEEN first_day AND last_day) THEN
        RETURN NULL;
    END IF;
    RAISE WARNING 'workspaces whose events are missing were left as they are'
        USING HINT = 'See analytics.health().';
    RETURN analytics_internal.aggregate_unsealed(day, hour, NULL);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_despite_missing(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_despite_missing(date, timestamptz) IS
    'aggregates a local day or (day NULL) an hour of all workspaces except those whose events are missing, for which it warns. NULL: it could not, or need not, as no event of an hour is missing; the caller aggregates then';

-- Where the data of one workspace cause the error, the others are aggregated. A full disk, a lock, a shutdown or a
-- serialization failure concern all: the whole step fails and is tried again.
CREATE FUNCTION analytics_internal.is_fault_of_data(state text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT state !~ '^(25|40|57|58)' AND state NOT IN ('53100', '53300', '53400', '55006', '55P03') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_fault_of_data(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_fault_of_data(text) IS
    'whether an error of this SQLSTATE may concern a single bucket. Otherwise other buckets would fail too';

CREATE FUNCTION analytics_internal.quarantine(
    target_workspace_id uuid, kind text, day date, hour timestamptz, reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    failed record;
BEGIN
    SELECT b.day_start, b.day_end INTO failed
    FROM analytics_internal.workspace_day_bounds(target_workspace_id, day) AS b WHERE quarantine.kind = 'day';
    INSERT INTO analytics.pending_buckets AS p
        (workspace_id, kind, metric_date, attempts, error, last_failed_at, next_attempt_at, day_start, day_end)
    VALUES (target_workspace_id, quarantine.kind, day, 1, reason, now(), now() + interval '1 minute', failed.day_start, failed.day_end)
    ON CONFLICT (workspace_id, kind, metric_date) DO UPDATE
    SET turn = NULL, attempts = p.attempts + 1, error = EXCLUDED.error, last_failed_at = now(),
        next_attempt_at = now() + least(interval '1 minute' * 2 ^ least(p.attempts, 11), interval '1 day'),
        day_start = EXCLUDED.day_start, day_end = EXCLUDED.day_end
    WHERE (p.last_failed_at >= now()) IS NOT TRUE; -- the day and several of its hours are one attempt
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT target_workspace_id, d.metric_hour
    FROM (SELECT COALESCE(hour, date_trunc('hour', failed.day_start + interval '1 hour' - interval '1 microsecond', 'UTC')) AS metric_hour) AS d
    WHERE d.metric_hour < (SELECT w.marked_until FROM analytics.watermark AS w)
      AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS n
                      WHERE n.workspace_id = target_workspace_id AND n.metric_hour = d.metric_hour);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.quarantine(uuid, text, date, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.quarantine(uuid, text, date, timestamptz, text) IS
    'notes in analytics.pending_buckets that a bucket could not be computed and when it is tried again. Of a closed day, or its hour, also in analytics.dirty_hours, so that repair has it again';

CREATE FUNCTION analytics_internal.try_aggregate(day date, hour timestamptz, target_workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    reason text;
    id uuid;
BEGIN
    BEGIN
        RETURN analytics_internal.aggregate_unsealed(day, hour, target_workspace_id);
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
        reason := concat(SQLSTATE, ': ', SQLERRM);
    END;
    IF target_workspace_id IS NOT NULL THEN
        PERFORM analytics_internal.quarantine(target_workspace_id, 'day',
                                              COALESCE(day, analytics.workspace_today(target_workspace_id, hour)), hour, reason);
        RETURN 0;
    END IF;
    FOR id IN SELECT w.* FROM analytics_internal.bucket_workspaces(day, hour) AS w LOOP
        written := written + analytics_internal.try_aggregate(day, hour, id);
    END LOOP;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_aggregate(date, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_aggregate(date, timestamptz, uuid) IS
    'aggregates a local day or (day NULL) an hour, of one workspace or of all, except where it is frozen. If all workspaces together fail, one after the other; one that fails is quarantined. Returns the number of workspaces written';

-- Entries are taken before the events are read, so an entry that comes meanwhile stays for the next repair. When events
-- of many workspaces have changed, as after an import, a scan of the whole day does it at once.
CREATE FUNCTION analytics_internal.repair_day(target_workspace_id uuid, day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- one workspace or all
AS $$
DECLARE
    day_start timestamptz := day::timestamp AT TIME ZONE 'UTC';
    day_end timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    repaired bigint;
    hours timestamptz[];
    days date[];
    hour timestamptz;
    other_day date;
BEGIN
    IF target_workspace_id IS NOT NULL THEN
        SELECT b.day_start, b.day_end INTO day_start, day_end
        FROM analytics_internal.workspace_day_bounds(target_workspace_id, day) AS b;
    END IF;
    PERFORM analytics_internal.adopt_day(day + n, CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END)
    FROM generate_series(-1, 1) AS n;
    DELETE FROM analytics.pending_buckets AS p
    WHERE p.kind = 'day' AND p.metric_date = day
      AND CASE WHEN target_workspace_id IS NOT NULL THEN p.workspace_id = target_workspace_id
               ELSE NOT EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = p.workspace_id) END;
    WITH taken AS (
        DELETE FROM analytics.dirty_hours AS d
        WHERE (target_workspace_id IS NULL OR d.workspace_id = target_workspace_id)
          AND d.metric_hour > day_start - interval '1 hour' AND d.metric_hour < day_end
        RETURNING d.workspace_id, d.metric_hour, d.removed
    ), counted AS (
        UPDATE analytics.closed_days AS c SET events = greatest(c.events - r.events, 0)
        FROM (SELECT t.workspace_id, (t.metric_hour AT TIME ZONE 'UTC')::date AS event_day, sum(t.removed) AS events
              FROM taken AS t GROUP BY 1, 2) AS r
        WHERE c.workspace_id = r.workspace_id AND c.event_day = r.event_day AND r.events > 0
    ), dirty AS MATERIALIZED (
        SELECT DISTINCT t.workspace_id, t.metric_hour FROM taken AS t
    ), local AS ( -- where days do not begin on a full UTC hour, one hour belongs to two days
        SELECT analytics.workspace_today(d.workspace_id, d.metric_hour + o.since) AS day
        FROM dirty AS d, (VALUES (interval '0'), (interval '1 hour' - interval '1 microsecond')) AS o (since)
        WHERE (target_workspace_id IS NOT NULL OR d.workspace_id IN (SELECT s.workspace_id FROM analytics.workspace_settings AS s))
          AND d.metric_hour + o.since <= now()
        UNION SELECT repair_day.day WHERE target_workspace_id IS NULL
    )
    SELECT count(*), array_agg(DISTINCT d.metric_hour), ARRAY(SELECT l.day FROM local AS l ORDER BY 1)
    INTO repaired, hours, days FROM dirty AS d;

    IF repaired = 0 THEN
        RETURN 0;
    END IF;
    PERFORM analytics_internal.count_day(d.day, CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END)
    FROM (SELECT DISTINCT (h.hour AT TIME ZONE 'UTC')::date AS day FROM unnest(hours) AS h (hour)) AS d, analytics.watermark AS w
    WHERE (d.day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
    FOREACH hour IN ARRAY hours LOOP
        PERFORM analytics_internal.show_progress('repairing ' || to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
        PERFORM analytics_internal.aggregate_unsealed(NULL, hour, target_workspace_id);
    END LOOP;
    FOREACH other_day IN ARRAY days LOOP
        PERFORM analytics_internal.aggregate_unsealed(other_day, NULL, target_workspace_id, true);
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_day(uuid, date) IS
    'recomputes the dirty hours of a workspace''s local day, or (NULL) of a UTC day of all workspaces, and the local days they belong to. Returns the number of hours; frozen days stay as they are';

-- When a whole day fails: one workspace after the other, until the one that causes it is quarantined; the next calls
-- go on with single workspaces.
CREATE FUNCTION analytics_internal.try_repair_day(target_workspace_id uuid, day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    repaired bigint := 0;
    reason text;
    dirty record;
    hours bigint;
BEGIN
    BEGIN
        RETURN analytics_internal.repair_day(target_workspace_id, day);
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
        reason := concat(SQLSTATE, ': ', SQLERRM);
    END;
    IF target_workspace_id IS NOT NULL THEN
        PERFORM analytics_internal.quarantine(target_workspace_id, 'day', day, NULL, reason);
        RETURN -1;
    END IF;
    FOR dirty IN
        SELECT d.workspace_id, analytics.workspace_today(d.workspace_id, d.metric_hour) AS day
        FROM (SELECT DISTINCT n.workspace_id, n.metric_hour FROM analytics.dirty_hours AS n
              WHERE n.metric_hour >= try_repair_day.day::timestamp AT TIME ZONE 'UTC'
                AND n.metric_hour < (try_repair_day.day + 1)::timestamp AT TIME ZONE 'UTC') AS d
        GROUP BY 1, 2
    LOOP
        hours := analytics_internal.try_repair_day(dirty.workspace_id, dirty.day);
        repaired := repaired + abs(hours);
        IF hours < 0 THEN
            RETURN -repaired;
        END IF;
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_repair_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_repair_day(uuid, date) IS
    'repair_day(). Where it fails, a day of one workspace is quarantined, of all workspaces days are repaired one by one up to the one to blame: then the number is negative';

CREATE FUNCTION analytics_internal.due_dirty_hours(OUT workspace_id uuid, OUT metric_hour timestamptz, OUT noted_at timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT d.workspace_id, d.metric_hour, min(d.noted_at)
FROM analytics.dirty_hours AS d
WHERE NOT EXISTS (SELECT FROM analytics.pending_buckets AS f
                  WHERE f.workspace_id = d.workspace_id AND f.kind = 'day' AND f.next_attempt_at > now()
                    AND d.metric_hour > f.day_start - interval '1 hour' AND d.metric_hour < f.day_end)
GROUP BY d.workspace_id, d.metric_hour
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_dirty_hours() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_dirty_hours() IS
    'dirty hours, each once, except those of quarantined days whose next attempt is not due';

-- Once per run: a day that changes again meanwhile is repaired by the next one.
CREATE FUNCTION analytics_internal.enqueue_repairs() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.lock('rollups');
    INSERT INTO analytics.pending_buckets AS p (workspace_id, kind, metric_date, turn, noted_at)
    SELECT n.workspace_id, 'day', n.metric_date,
           greatest((SELECT min(q.turn) FROM analytics.pending_buckets AS q WHERE q.kind = 'day'),
                    (SELECT max(q.turn) FROM analytics.pending_buckets AS q WHERE q.workspace_id = n.workspace_id AND q.kind = 'day'), 0)
               + row_number() OVER (PARTITION BY n.workspace_id ORDER BY n.noted_at, n.metric_date DESC),
           n.noted_at
    FROM (SELECT d.workspace_id, l.metric_date, min(d.noted_at) AS noted_at
          FROM analytics_internal.due_dirty_hours() AS d
          CROSS JOIN LATERAL (SELECT CASE WHEN EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = d.workspace_id)
                                          THEN analytics.workspace_today(d.workspace_id, d.metric_hour)
                                          ELSE (d.metric_hour AT TIME ZONE 'UTC')::date END AS metric_date) AS l
          GROUP BY d.workspace_id, l.metric_date) AS n
    WHERE NOT EXISTS (SELECT FROM analytics.pending_buckets AS q
                      WHERE q.workspace_id = n.workspace_id AND q.kind = 'day' AND q.metric_date = n.metric_date AND q.turn IS NOT NULL)
    ON CONFLICT (workspace_id, kind, metric_date) DO UPDATE SET turn = EXCLUDED.turn; -- it failed, and may be tried again
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.enqueue_repairs() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.enqueue_repairs() IS
    'gives the days that analytics.dirty_hours names a turn in analytics.pending_buckets';

CREATE FUNCTION analytics_internal.repair_next(last_date date DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    few CONSTANT integer := 8;
    next analytics.pending_buckets;
    repaired bigint := 0;
    stale_ids uuid[];
    stale_dates date[];
BEGIN
    PERFORM analytics_internal.lock('rollups');
    WHILE repaired = 0 LOOP -- its hours may have been repaired along with another day
        SELECT p.* INTO next FROM analytics.pending_buckets AS p
        WHERE p.kind = 'day' AND p.turn IS NOT NULL AND p.metric_date <= last_date
        ORDER BY p.turn, p.noted_at, p.metric_date DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF (SELECT count(*) FROM (SELECT FROM analytics.pending_buckets AS p
                                  WHERE p.turn IS NOT NULL AND p.metric_date = next.metric_date LIMIT few + 1) AS p) > few
           AND NOT EXISTS (SELECT FROM analytics.pending_buckets AS f
                           WHERE f.attempts > 0
                             AND f.day_start < (next.metric_date + 1)::timestamp AT TIME ZONE 'UTC'
                             AND f.day_end > next.metric_date::timestamp AT TIME ZONE 'UTC') THEN
            repaired := analytics_internal.try_repair_day(NULL, next.metric_date);
            -- Where one is to blame, the others are repaired one by one.
            DELETE FROM analytics.pending_buckets AS p
            WHERE p.workspace_id = next.workspace_id AND p.kind = 'day' AND p.metric_date = next.metric_date AND repaired >= 0;
        ELSE
            repaired := analytics_internal.try_repair_day(next.workspace_id, next.metric_date);
        END IF;
    END LOOP;

    WITH stale AS (
        DELETE FROM analytics.pending_buckets AS s
        WHERE s.kind = 'totals'
          AND s.workspace_id IN (SELECT c.workspace_id FROM analytics.pending_buckets AS c
                                 WHERE c.kind = 'totals'
                                   AND NOT EXISTS (SELECT FROM analytics.pending_buckets AS p
                                                   WHERE p.workspace_id = c.workspace_id AND p.kind = 'day' AND p.turn IS NOT NULL)
                                 ORDER BY c.workspace_id LIMIT 1000)
        RETURNING s.workspace_id, s.metric_date
    )
    SELECT array_agg(w.workspace_id), array_agg(w.from_date) INTO stale_ids, stale_dates
    FROM (SELECT s.workspace_id, min(s.metric_date) AS from_date FROM stale AS s GROUP BY s.workspace_id) AS w;
    PERFORM analytics_internal.update_later_totals(stale_ids, stale_dates);
    RETURN abs(repaired) + COALESCE(cardinality(stale_ids), 0);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_next(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_next(date) IS
    'repairs the pending day whose turn it is, of those up to a date, or that UTC day of all workspaces when it is pending for many; then brings the totals of up to 1,000 workspaces without pending days up to date. The number of hours (1 for a day that failed and was quarantined) and of such workspaces; 0 when nothing is pending';

CREATE FUNCTION analytics_internal.repair_all(last_date date DEFAULT 'infinity', deadline timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    repaired bigint := 0;
    unit bigint;
BEGIN
    PERFORM analytics_internal.enqueue_repairs();
    WHILE clock_timestamp() < deadline LOOP
        unit := analytics_internal.repair_next(last_date);
        EXIT WHEN unit = 0;
        repaired := repaired + unit;
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_all(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_all(date, timestamptz) IS
    'repairs the hours that are dirty now, of local days up to a date and until an instant, in one transaction; the sum of repair_next()';

CREATE FUNCTION analytics_internal.release_days(after_time timestamptz, until_time timestamptz) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
DELETE FROM analytics.pending_buckets AS f
WHERE f.attempts > 0 AND f.day_end > after_time AND f.day_end <= until_time AND f.last_failed_at < now()
  AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS d
                  WHERE d.workspace_id = f.workspace_id
                    AND d.metric_hour > f.day_start - interval '1 hour' AND d.metric_hour < f.day_end)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.release_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.release_days(timestamptz, timestamptz) IS
    'to be called when the days that end between the instants were aggregated: ends the quarantine of those that did not fail this time';

CREATE FUNCTION analytics_internal.new_failures() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT nullif(concat_ws('; ',
    (SELECT format('%s (workspace %s, %s)', f.error, f.workspace_id, to_char(f.metric_date, 'YYYY-MM-DD'))
         || CASE WHEN count(*) OVER () > 1 THEN format(' and %s more in analytics.pending_buckets', count(*) OVER () - 1) ELSE '' END
     FROM analytics.pending_buckets AS f WHERE f.kind = 'day' AND f.last_failed_at = now()
     ORDER BY f.metric_date DESC, f.workspace_id LIMIT 1),
    (SELECT format('a frozen day: events missing: %s, events kept but not counted: %s (workspace %s, %s)',
                   s.missing, s.kept_events, s.workspace_id, to_char(s.event_day, 'YYYY-MM-DD'))
         || CASE WHEN count(*) OVER () > 1 THEN format(' and %s more in analytics.sealed_days', count(*) OVER () - 1) ELSE '' END
     FROM analytics.sealed_days AS s WHERE s.sealed_at = now() AND (s.missing > 0 OR s.kept_events > 0)
     ORDER BY s.event_day DESC, s.workspace_id LIMIT 1)), '')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.new_failures() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.new_failures() IS
    'the days that this transaction has quarantined, and the frozen ones that wait for a decision. NULL: none';

CREATE FUNCTION analytics_internal.retry_failed_days(target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    retried bigint;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cells(format('SELECT analytics_internal.retry_failed_days(%L)', target_workspace_id), target_workspace_id);
    END IF;
    UPDATE analytics.pending_buckets AS f SET next_attempt_at = now()
    FROM (SELECT d.workspace_id, d.metric_date FROM analytics.pending_buckets AS d
          WHERE d.kind = 'day' AND d.attempts > 0 AND (target_workspace_id IS NULL OR d.workspace_id = target_workspace_id)
          FOR UPDATE SKIP LOCKED) AS w -- those being tried at this moment
    WHERE f.workspace_id = w.workspace_id AND f.kind = 'day' AND f.metric_date = w.metric_date;
    GET DIAGNOSTICS retried = ROW_COUNT;
    RETURN retried;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retry_failed_days(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retry_failed_days(uuid) IS
    'analytics.retry_failed_days() with the rights of the owner';

CREATE FUNCTION analytics.retry_failed_days(target_workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.retry_failed_days(target_workspace_id)';
REVOKE EXECUTE ON FUNCTION analytics.retry_failed_days(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.retry_failed_days(uuid) IS
    'lets the next analytics.maintain() try quarantined days again, of one workspace or (NULL) of all. Returns how many there are. They stand in analytics.pending_buckets, with attempts > 0; without this call each waits for its next_attempt_at';

-- By the indexes, which a plan for any one row would not use: events day by day, and of rollups only what lies before
-- the first event.
CREATE FUNCTION analytics_internal.next_used_day(from_time timestamptz, to_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
DECLARE
    first_time timestamptz;
    found_time timestamptz;
    last_time timestamptz;
    partition record;
    is_used boolean;
BEGIN
    first_time := to_time;
    IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
        SELECT least(to_time, min(e.created_at)) INTO first_time
        FROM analytics.user_activity_default AS e WHERE e.created_at >= from_time;
    END IF;
    FOR partition IN
        SELECT p.relation, p.from_time, p.to_time FROM analytics_internal.partitions() AS p
        WHERE p.to_time > date_trunc('day', next_used_day.from_time, 'UTC') ORDER BY p.from_time
    LOOP
        EXIT WHEN partition.from_time >= first_time;
        IF NOT isfinite(partition.from_time) AND NOT isfinite(from_time) THEN
            EXECUTE format('SELECT min(e.created_at) FROM %s AS e', partition.relation) INTO found_time;
        ELSE
            found_time := date_trunc('day', greatest(partition.from_time, from_time), 'UTC');
            last_time := least(partition.to_time, first_time);
            is_used := false;
            WHILE NOT is_used AND found_time < last_time LOOP
                EXECUTE format('SELECT EXISTS (SELECT FROM %s AS e WHERE e.created_at >= $1 AND e.created_at < $2)', partition.relation)
                INTO is_used USING found_time, found_time + interval '24 hours';
                found_time := CASE WHEN is_used THEN found_time ELSE found_time + interval '24 hours' END;
            END LOOP;
            found_time := CASE WHEN is_used THEN found_time END;
        END IF;
        first_time := least(first_time, found_time);
        EXIT WHEN found_time IS NOT NULL;
    END LOOP;
    SELECT least(first_time, min(h.metric_hour)) INTO first_time FROM analytics.hourly_metrics AS h
    WHERE h.metric_hour >= from_time AND h.metric_hour < first_time;
    -- A local day may begin on the UTC day before.
    SELECT least(first_time, (min(d.metric_date) - 1)::timestamp AT TIME ZONE 'UTC') INTO first_time FROM analytics.daily_metrics AS d
    WHERE d.metric_date > (from_time AT TIME ZONE 'UTC')::date AND d.metric_date <= (first_time AT TIME ZONE 'UTC')::date;
    RETURN date_trunc('day', first_time, 'UTC');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_used_day(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_used_day(timestamptz, timestamptz) IS
    'start of the first UTC day between the instants with an event or a rollup. That of to_time if there is none';

-- Hours are aggregated before the days that they belong to, so hourly rollups tell who had events; where those are
-- past their retention, the events do.
CREATE FUNCTION analytics_internal.ended_days(
    from_time timestamptz, to_time timestamptz, OUT workspace_id uuid, OUT day date)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since CONSTANT timestamptz := from_time - interval '2 days';
    has_hours CONSTANT boolean := since >= now() - least(
        analytics_internal.retention('hourly_metrics'),
        (SELECT make_interval(days => min(r.keep_days)) FROM analytics.workspace_retention AS r WHERE r.table_name = 'hourly_metrics'));
    active uuid[];
BEGIN
    IF has_hours IS NOT FALSE THEN
        active := ARRAY(SELECT DISTINCT h.workspace_id FROM analytics.hourly_metrics AS h
                        WHERE h.metric_hour > since - interval '1 hour' AND h.metric_hour < to_time);
    ELSE
        active := ARRAY(SELECT DISTINCT e.workspace_id FROM analytics.user_activity AS e WHERE e.created_at >= since AND e.created_at < to_time);
    END IF;
    RETURN QUERY
    SELECT b.workspace_id, b.day
    FROM analytics_internal.local_day_bounds(
        (from_time AT TIME ZONE 'UTC')::date - 2, (to_time AT TIME ZONE 'UTC')::date + 1,
        ARRAY(SELECT a.id FROM unnest(active) AS a (id)
              UNION
              SELECT d.workspace_id FROM analytics.daily_metrics AS d
              WHERE d.metric_date BETWEEN (since AT TIME ZONE 'UTC')::date AND (to_time AT TIME ZONE 'UTC')::date)) AS b
    WHERE b.day_end > from_time AND b.day_end <= to_time;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ended_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ended_days(timestamptz, timestamptz) IS
    'workspaces with a time zone of their own and events or rollups, and their local days with from_time < end <= to_time; their hours are aggregated by then';

-- Limits are parameters of custom plans, so that only the partitions concerned are planned.
CREATE FUNCTION analytics_internal.aggregate_for_good(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    written bigint := 0;
    few CONSTANT integer := 50; -- workspaces that are aggregated one by one
    oldest timestamptz := greatest(from_time, now() - analytics_internal.retention('hourly_metrics'));
    utc_day date;
    hour timestamptz;
    ended record;
    id uuid;
BEGIN
    IF to_time = date_trunc('day', to_time, 'UTC') THEN
        utc_day := (to_time AT TIME ZONE 'UTC')::date - 1;
        PERFORM analytics_internal.count_day(utc_day, NULL);
    END IF;
    FOR hour IN
        SELECT date_trunc('hour', e.created_at, 'UTC') FROM analytics.user_activity AS e
        WHERE e.created_at >= oldest AND e.created_at < to_time
        UNION
        SELECT h.metric_hour FROM analytics.hourly_metrics AS h
        WHERE h.metric_hour >= from_time AND h.metric_hour < to_time
        ORDER BY 1
    LOOP
        PERFORM analytics_internal.show_progress('closing ' || to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
        written := written + analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    IF utc_day IS NOT NULL THEN
        written := written + analytics_internal.try_aggregate(utc_day, NULL);
    END IF;
    FOR ended IN
        SELECT d.day, CASE WHEN count(*) <= few THEN array_agg(d.workspace_id ORDER BY d.workspace_id)
                           ELSE ARRAY[NULL]::uuid[] END AS workspaces
        FROM analytics_internal.ended_days(from_time, to_time) AS d
        WHERE d.day IS DISTINCT FROM utc_day GROUP BY d.day ORDER BY d.day
    LOOP
        FOREACH id IN ARRAY ended.workspaces LOOP
            written := written + analytics_internal.try_aggregate(ended.day, NULL, id);
        END LOOP;
    END LOOP;
    PERFORM analytics_internal.release_days(from_time, to_time);
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_for_good(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_for_good(timestamptz, timestamptz) IS
    'aggregates the hours between the instants and the local days that ended between them. At most one UTC midnight may lie in from_time < t <= to_time, and only at to_time. A day that fails is quarantined';

CREATE FUNCTION analytics_internal.close_next(mark timestamptz DEFAULT '-infinity', OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    marked_until timestamptz;
    from_time timestamptz;
    to_time timestamptz;
    state text;
BEGIN
    PERFORM analytics_internal.lock('rollups');
    state := analytics_internal.advance_watermark(mark);
    again := state IN ('marked', 'taken');
    IF state <> 'ready' THEN
        RETURN;
    END IF;
    SELECT w.marked_until, w.closed_until INTO marked_until, from_time FROM analytics.watermark AS w;
    -- Days without events are jumped over, but for the two after one with events: there its local days end.
    IF marked_until > from_time + interval '1 day' THEN
        from_time := greatest(from_time, analytics_internal.next_used_day(from_time - interval '2 days', marked_until));
    END IF;
    to_time := least(date_trunc('day', from_time, 'UTC') + interval '1 day', marked_until);
    rows := analytics_internal.aggregate_for_good(from_time, to_time);
    UPDATE analytics.watermark SET closed_until = to_time;
    total := ceil(extract(epoch FROM marked_until - to_time) / 86400);
    again := total > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.close_next(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.close_next(timestamptz) IS
    'one transaction of finalization. It moves the pending watermark to mark, or when that is done finalizes what ended between the two, at most to the next UTC midnight. rows: the rollups written, NULL when nothing was ready; total: days left';

-- A time zone changed for the past: what was aggregated in another zone is aggregated again.

-- Another zone moves events by a day at most. Whoever aggregates at this moment may write the last days yet.
CREATE FUNCTION analytics_internal.rezoned_days(
    removed analytics.workspace_settings[], added analytics.workspace_settings[], OUT workspace_id uuid, OUT day date)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH old AS (
    SELECT r.workspace_id, r.time_zone, r.valid_from FROM unnest(removed) AS r
), new AS (
    SELECT a.workspace_id, a.time_zone, a.valid_from FROM unnest(added) AS a
), changed AS (
    SELECT w.workspace_id FROM (SELECT o.workspace_id FROM old AS o UNION SELECT n.workspace_id FROM new AS n) AS w
    WHERE EXISTS (SELECT FROM analytics.daily_metrics AS m WHERE m.workspace_id = w.workspace_id)
), present AS (
    SELECT s.workspace_id, s.time_zone, s.valid_from FROM analytics.workspace_settings AS s JOIN changed AS c ON c.workspace_id = s.workspace_id
), zone AS (
    SELECT z.is_new, z.workspace_id, z.time_zone, z.valid_from,
           lead(z.valid_from, 1, 'infinity') OVER (PARTITION BY z.is_new, z.workspace_id ORDER BY z.valid_from, z.is_chosen) AS valid_to
    FROM (SELECT true AS is_new, true AS is_chosen, p.* FROM present AS p
          UNION ALL SELECT false, true, b.* FROM ((SELECT * FROM present EXCEPT SELECT * FROM new) UNION SELECT * FROM old) AS b
          UNION ALL SELECT n.is_new, false, c.workspace_id, 'UTC', '-infinity' FROM changed AS c, (VALUES (true), (false)) AS n (is_new)) AS z
), change AS (
    SELECT a.workspace_id, greatest(a.valid_from, b.valid_from) AS from_time, least(a.valid_to, b.valid_to, now()) AS to_time
    FROM zone AS a JOIN zone AS b ON b.workspace_id = a.workspace_id AND NOT b.is_new
    WHERE a.is_new AND a.time_zone <> b.time_zone AND greatest(a.valid_from, b.valid_from) < least(a.valid_to, b.valid_to, now())
)
SELECT DISTINCT c.workspace_id, d.day + n
FROM change AS c
CROSS JOIN LATERAL (SELECT (c.from_time AT TIME ZONE 'UTC')::date - 1 AS first_day, (c.to_time AT TIME ZONE 'UTC')::date + 1 AS last_day) AS r
CROSS JOIN LATERAL (SELECT m.metric_date AS day FROM analytics.daily_metrics AS m WHERE m.workspace_id = c.workspace_id
                    UNION SELECT (now() AT TIME ZONE 'UTC')::date - g FROM generate_series(0, 2) AS g) AS d,
     generate_series(-1, 1) AS n
WHERE d.day BETWEEN r.first_day AND r.last_day AND d.day + n BETWEEN r.first_day AND r.last_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.rezoned_days(analytics.workspace_settings[], analytics.workspace_settings[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.rezoned_days(analytics.workspace_settings[], analytics.workspace_settings[]) IS
    'local days up to now that have, or may have, other events after a statement that removed and added these rows; of workspaces that have daily rollups';

CREATE FUNCTION analytics_internal.workspace_settings_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed analytics.workspace_settings[];
    added analytics.workspace_settings[];
    frozen record;
    is_shard CONSTANT boolean := analytics_internal.enter_cell_beside(TG_RELID);
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('DELETE FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME); -- comes back here with the rows
        PERFORM analytics_internal.enter_cell(NULL, true) WHERE is_shard;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        removed := ARRAY(SELECT o FROM old_rows AS o);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        added := ARRAY(SELECT n FROM new_rows AS n);
    END IF;
    SELECT r.workspace_id, max(s.event_day) AS last_day INTO frozen
    FROM analytics_internal.rezoned_days(removed, added) AS r
    JOIN analytics.sealed_days AS s ON s.workspace_id = r.workspace_id AND s.event_day BETWEEN r.day - 1 AND r.day + 1
    GROUP BY r.workspace_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the time zone of days whose events are gone cannot be changed'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('The last of these days of workspace %s is %s.', frozen.workspace_id, to_char(frozen.last_day, 'YYYY-MM-DD')),
                  HINT = format('Insert a row: without valid_from the change is from the next local midnight on; valid_from may be analytics.day_start(%L, <time zone>) or later.',
                                to_char(frozen.last_day + 4, 'YYYY-MM-DD'));
    END IF;
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT r.workspace_id, date_trunc('hour', b.day_start + interval '1 hour' - interval '1 microsecond', 'UTC')
    FROM analytics_internal.rezoned_days(removed, added) AS r
    CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(r.workspace_id, r.day) AS b
    WHERE b.day_start <= now();
    -- Days that have not begun there, or that the change leaves out, have no hour: what they had goes now.
    PERFORM analytics_internal.aggregate_daily_metrics(m.metric_date, m.workspace_id)
    FROM analytics_internal.rezoned_days(removed, added) AS r
    JOIN analytics.daily_metrics AS m ON m.workspace_id = r.workspace_id AND m.metric_date = r.day
    LEFT JOIN LATERAL analytics_internal.workspace_day_bounds(r.workspace_id, r.day) AS b ON true
    WHERE (b.day_start <= now()) IS NOT TRUE;
    PERFORM analytics_internal.enter_cell(NULL, true) WHERE is_shard;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_settings_changed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_settings_changed() IS
    'statement trigger: days that a change of time zone touches are aggregated again, or the change is refused (55000)';

CREATE TRIGGER note_inserted_zones AFTER INSERT ON analytics.workspace_settings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_inserted_zones ON analytics.workspace_settings IS
    'days that a time zone for the past touches are aggregated again';
CREATE TRIGGER note_updated_zones AFTER UPDATE ON analytics.workspace_settings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_updated_zones ON analytics.workspace_settings IS
    'days that a time zone for the past touches are aggregated again';
CREATE TRIGGER note_deleted_zones AFTER DELETE ON analytics.workspace_settings REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_deleted_zones ON analytics.workspace_settings IS
    'days that a time zone for the past touches are aggregated again';
CREATE TRIGGER note_truncated_zones BEFORE TRUNCATE ON analytics.workspace_settings
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_truncated_zones ON analytics.workspace_settings IS
    'TRUNCATE is to time zones what DELETE is';

-- What the scheduled functions do beside their own work, so that rollups stay right without maintain().

-- Finalization takes three calls. It is left to calls for recent days, so that a call for one old day does not
-- aggregate all history.
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
    hour timestamptz;
    day date;
BEGIN
    IF seconds = 0 THEN
        RETURN;
    END IF;
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.mend_clock();
    state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    WHILE is_recent AND state = 'ready' AND clock_timestamp() < deadline LOOP
        PERFORM analytics_internal.close_next();
        state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    END LOOP;
    PERFORM analytics_internal.repair_all(deadline => deadline);
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
                   THEN (SELECT b.day_end FROM analytics_internal.workspace_day_bounds(d.workspace_id, d.metric_date) AS b) <= now()
                   ELSE d.metric_date < (now() AT TIME ZONE 'UTC')::date END
        ORDER BY 1
    LOOP
        EXIT WHEN clock_timestamp() >= deadline;
        PERFORM analytics_internal.try_aggregate(day, NULL);
    END LOOP;
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
    'finalizes what is ready, repairs what has changed and finishes provisional buckets that are over, for at most the setting catch_up_seconds; a failure is a warning. target_date: the day that was aggregated; for days before the day before yesterday nothing is finalized. with_cohorts: due cohorts are computed too; NULL: only if retention removes sets of users';
