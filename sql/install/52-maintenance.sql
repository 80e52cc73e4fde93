-- maintain(): whatever is due, step by step. The procedure commits, so it carries neither SET nor SECURITY
-- DEFINER; everything it does is done by functions with both, under a lock that each transaction takes anew.

CREATE TABLE analytics.job_runs (
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    step text NOT NULL,
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT 'running',
    rows bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    first_day date,
    last_day date,
    event_changes numeric,
    kept_unaggregated boolean NOT NULL DEFAULT false,
    detail text,
    error text,
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    cell integer NOT NULL DEFAULT analytics_internal.cell_key(),
    PRIMARY KEY (cell, started_at, step),
    CONSTRAINT job_runs_outcome CHECK (outcome IN ('running', 'done', 'partial', 'skipped', 'failed', 'interrupted'))
);
CREATE INDEX job_runs_step ON analytics.job_runs (step, started_at);
COMMENT ON INDEX analytics.job_runs_step IS
    'serves: the last run of a step';
CREATE INDEX job_runs_running ON analytics.job_runs (step) WHERE outcome = 'running';
COMMENT ON INDEX analytics.job_runs_running IS
    'serves: analytics.job_progress, and runs that were killed';
ALTER TABLE analytics.job_runs ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.job_runs', '');
COMMENT ON TABLE analytics.job_runs IS
    'what analytics.maintain() and analytics.backfill() did. Steps that are always due and found nothing to do are not kept';
COMMENT ON COLUMN analytics.job_runs.started_at IS 'by the clock';
COMMENT ON COLUMN analytics.job_runs.step IS 'maintain (the whole run), one of its steps, or backfill';
COMMENT ON COLUMN analytics.job_runs.finished_at IS 'by the clock; NULL while running';
COMMENT ON COLUMN analytics.job_runs.outcome IS
    'running; done; partial: the time budget was used up or something was in use (detail), the next run goes on, or (error) days of single workspaces were quarantined (analytics.pending_buckets); skipped: nothing was done, as something was in use (detail), the next run tries again; failed: see error; interrupted: cancelled or killed';
COMMENT ON COLUMN analytics.job_runs.rows IS 'what the step counts: partitions, hours, days, rollups, rows removed, alerts';
COMMENT ON COLUMN analytics.job_runs.done IS 'units committed so far';
COMMENT ON COLUMN analytics.job_runs.total IS 'units there were to do at the last count; NULL: not counted';
COMMENT ON COLUMN analytics.job_runs.first_day IS 'backfill: first day of the range; aggregate_open: first UTC day whose changes event_changes counts. Else NULL';
COMMENT ON COLUMN analytics.job_runs.last_day IS 'backfill: last day of the range; else NULL';
COMMENT ON COLUMN analytics.job_runs.event_changes IS
    'aggregate_open: changes of events of first_day and later that it has seen, by the statistics. While they do not grow it has nothing to do. NULL: another step, or not counted (track_counts is off)';
COMMENT ON COLUMN analytics.job_runs.kept_unaggregated IS
    'cleanup: events past their retention were kept, as rollups of theirs could not be made';
COMMENT ON COLUMN analytics.job_runs.detail IS 'what the step has to say, for people';
COMMENT ON COLUMN analytics.job_runs.error IS 'SQLSTATE and message; of a partial run those of the first quarantined day';
COMMENT ON COLUMN analytics.job_runs.pid IS 'server process';
COMMENT ON COLUMN analytics.job_runs.cell IS '0; on a worker of Citus the group of shards whose maintenance it was';
COMMENT ON CONSTRAINT job_runs_outcome ON analytics.job_runs IS 'how a run may end';

CREATE POLICY no_access ON analytics.job_runs FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.job_runs IS
    'for maintenance only';

CREATE FUNCTION analytics_internal.lock(name text) RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'shadow_lock';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock(text) IS
    'waits for a lock and keeps it to the end of the transaction. In the order in which they are taken, before any row or partition is locked: maintenance (maintain(), backfill()), rollups (every writer of rollups and users, and whatever removes events), views, alerts; another name is an error (22023). Out of order it waits for two seconds at most (55P03)';

CREATE FUNCTION analytics_internal.try_lock(name text) RETURNS boolean
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'shadow_try_lock';
REVOKE EXECUTE ON FUNCTION analytics_internal.try_lock(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_lock(text) IS
    'lock() without waiting: false while another transaction has the lock';

CREATE FUNCTION analytics_internal.lock_number(name text) RETURNS integer
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_lock_number';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_number(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_number(text) IS
    'objsubid of a lock in pg_locks, where locktype is object and classid pg_extension';

CREATE FUNCTION analytics_internal.lock_holders(min_age interval DEFAULT '0') RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT string_agg(format('%s is held by %s', n.name,
                         COALESCE(format('process %s (%s, %s) in a transaction since %s', a.pid, a.usename, a.application_name, a.xact_start),
                                  'a prepared transaction')), '; ' ORDER BY n.name)
FROM unnest('{maintenance,rollups,views,alerts}'::text[]) AS n (name)
JOIN pg_locks AS l ON l.locktype = 'object' AND l.classid = 'pg_extension'::regclass AND l.objsubid = analytics_internal.lock_number(n.name)
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.objid = analytics_internal.cell_key()::oid AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND COALESCE(a.xact_start <= now() - min_age, l.pid IS NULL)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_holders(interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_holders(interval) IS
    'who holds the locks of lock() in transactions at least as old as min_age, this session left out. NULL: nobody';

CREATE FUNCTION analytics_internal.last_run(step text) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max(r.started_at) FROM analytics.job_runs AS r
WHERE r.cell = analytics_internal.cell_key() AND r.step = last_run.step AND (r.outcome = 'done' OR r.outcome = 'partial' AND (r.error IS NOT NULL OR r.step = 'maintain'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_run(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_run(text) IS
    'when a step last succeeded, possibly with quarantined days. Of maintain, the last run that was not broken off. NULL: never';

-- In the order in which they run.
CREATE FUNCTION analytics_internal.steps(OUT step text, OUT every interval) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('mend_clock', NULL::interval),
       ('create_partitions', NULL),
       ('maintain_cells', NULL),
       ('evaluate_alerts', NULL),
       ('close_buckets', NULL),
       ('repair_buckets', NULL),
       ('aggregate_cohorts', interval '1 hour'),
       ('aggregate_open', make_interval(mins => analytics.setting('open_day_interval_minutes')::integer)),
       ('index_partitions', interval '1 hour'),
       ('refresh_views', make_interval(mins => analytics.setting('view_refresh_minutes')::integer)),
       ('cleanup', interval '1 day'),
       ('analyze', interval '1 day')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.steps() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.steps() IS
    'steps of maintain() in their order, and how often each is due; NULL: at every call';

-- A mark is at least a minute behind the clock that set it. Smaller steps back do no harm.
CREATE FUNCTION analytics_internal.clock_lead() RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max(r.at) - now()
FROM (SELECT w.marked_until AS at FROM analytics.watermark AS w WHERE w.marked_until > now()
      UNION ALL
      SELECT max(j.started_at) FROM analytics.job_runs AS j
      WHERE j.cell = analytics_internal.cell_key() AND j.started_at > clock_timestamp() + interval '1 minute') AS r
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.clock_lead() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.clock_lead() IS
    'by how much the clock has gone back: how far records of maintenance lie in the future. NULL: none does';

-- What ended while the clock was ahead was closed too early, and what changed since was repaired while it ran:
-- closing begins anew at the oldest provisional bucket. Records of the future would make others wait for it.
CREATE FUNCTION analytics_internal.mend_clock() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
DECLARE
    lead CONSTANT interval := analytics_internal.clock_lead();
    mark CONSTANT timestamptz := analytics_internal.next_mark();
    found_lead text;
BEGIN
    IF lead IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.lock('alerts');
    UPDATE analytics.watermark AS w
    SET marked_until = least(w.marked_until, mark), marked_by = pg_current_xact_id(), closing_xid = NULL,
        closed_until = least(w.closed_until, mark,
                             (SELECT min(h.metric_hour) FROM analytics.hourly_metrics AS h WHERE NOT h.is_final),
                             (SELECT min(d.metric_date - 1)::timestamp AT TIME ZONE 'UTC' FROM analytics.daily_metrics AS d WHERE NOT d.is_final));
    UPDATE analytics.closed_days AS d SET counted_at = least(d.counted_at, now()), grown_at = least(d.grown_at, now())
    WHERE d.counted_at > now() OR d.grown_at > now();
    UPDATE analytics.pending_buckets AS f
    SET noted_at = least(f.noted_at, now()), last_failed_at = least(f.last_failed_at, now()), next_attempt_at = now()
    WHERE f.next_attempt_at > now();
    UPDATE analytics.alert_rule_states AS s SET since = least(s.since, now()), last_notified_at = least(s.last_notified_at, now())
    WHERE s.since > now() OR s.last_notified_at > now();
    UPDATE analytics.notification_outbox AS o SET next_attempt_at = now() WHERE o.next_attempt_at > now();
    UPDATE analytics.notification_outbox AS o SET leased_until = now() WHERE o.leased_until > now() + interval '1 hour';
    -- The last look at the open days was at what seemed to be over.
    DELETE FROM analytics.job_runs AS r
    WHERE r.cell = analytics_internal.cell_key() AND (r.started_at > clock_timestamp() + interval '1 minute' OR r.step = 'aggregate_open');
    UPDATE analytics.job_runs AS r SET finished_at = now()
    WHERE r.cell = analytics_internal.cell_key() AND r.finished_at > clock_timestamp() + interval '1 minute';

    found_lead := format('the clock has gone back: records of maintenance were up to %s ahead of it', date_trunc('second', lead));
    UPDATE analytics.job_runs AS r SET detail = found_lead
    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'mend_clock' AND r.outcome = 'running';
    IF NOT FOUND THEN
        INSERT INTO analytics.job_runs (step, finished_at, outcome, rows, detail) VALUES ('mend_clock', clock_timestamp(), 'done', 1, found_lead);
    END IF;
    RAISE WARNING '%', found_lead
        USING HINT = 'Rollups that were final too early are computed again. Look after the server''s time synchronization, and at events of the future.';
    RETURN 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.mend_clock() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.mend_clock() IS
    'where the clock has gone back, puts back the watermark and whatever else of maintenance is dated in the future, warns, and records that in analytics.job_runs; 1, or 0 when all is well';

-- The counters of the statistics follow within seconds; what they do not show yet they show at the next call.
CREATE FUNCTION analytics_internal.open_changes(OUT first_day date, OUT event_changes numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT o.first_day,
       CASE WHEN current_setting('track_counts')::boolean
            THEN sum(pg_stat_get_tuples_inserted(p.oid) + pg_stat_get_tuples_updated(p.oid) + pg_stat_get_tuples_deleted(p.oid)) END
FROM (SELECT (greatest((SELECT w.closed_until FROM analytics.watermark AS w), now() - interval '26 hours') AT TIME ZONE 'UTC')::date - 1 AS first_day) AS o,
     (SELECT analytics_internal.local_relation(b.relation) AS oid, b.to_time FROM analytics_internal.partitions() AS b
      UNION ALL SELECT analytics_internal.local_relation(to_regclass('analytics.user_activity_default')), 'infinity') AS p
WHERE p.to_time > o.first_day::timestamp AT TIME ZONE 'UTC'
GROUP BY o.first_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.open_changes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.open_changes() IS
    'changes of events of days that are not final, by the statistics: first_day (UTC) and event_changes, NULL where track_counts is off';

CREATE FUNCTION analytics_internal.has_work(step text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    CASE step
        WHEN 'mend_clock' THEN
            RETURN analytics_internal.clock_lead() IS NOT NULL;
        WHEN 'create_partitions' THEN
            IF to_regclass('analytics.user_activity_default') IS NULL THEN
                RETURN true;
            END IF;
            RETURN EXISTS (SELECT FROM generate_series(-1, analytics.setting('partitions_ahead_days')::integer) AS n
                           WHERE NOT EXISTS (SELECT FROM analytics_internal.partitions() AS p
                                             WHERE p.from_time <= (today + n)::timestamp AT TIME ZONE 'UTC'
                                               AND p.to_time > (today + n)::timestamp AT TIME ZONE 'UTC'))
                OR EXISTS (SELECT FROM analytics_internal.default_days());
        WHEN 'close_buckets' THEN
            RETURN NOT EXISTS (SELECT FROM analytics.watermark AS w
                               WHERE w.closed_until = w.marked_until AND w.marked_until >= analytics_internal.next_mark());
        WHEN 'repair_buckets' THEN
            RETURN EXISTS (SELECT FROM analytics.pending_buckets AS p WHERE p.kind = 'day' AND p.turn IS NOT NULL OR p.kind = 'totals')
                OR EXISTS (SELECT FROM analytics_internal.due_dirty_hours());
        WHEN 'aggregate_open' THEN
            RETURN (SELECT (r.first_day, r.event_changes) = (c.first_day, c.event_changes)
                    FROM analytics.job_runs AS r, analytics_internal.open_changes() AS c
                    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'aggregate_open' AND r.outcome = 'done'
                    ORDER BY r.started_at DESC LIMIT 1) IS NOT TRUE;
        WHEN 'evaluate_alerts' THEN
            RETURN EXISTS (SELECT FROM analytics.alert_rules);
        ELSE
            RETURN true;
    END CASE;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_work(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_work(text) IS
    'whether a step of maintain() would do anything; true where only the step itself can tell';

CREATE FUNCTION analytics_internal.due_steps() RETURNS text[]
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT COALESCE(array_agg(s.step ORDER BY s.place), '{}')
FROM analytics_internal.steps() WITH ORDINALITY AS s (step, every, place)
WHERE s.step = ANY (analytics_internal.steps_here())
  AND (analytics_internal.clock_lead() IS NOT NULL
   OR CASE WHEN s.every IS NULL OR COALESCE(analytics_internal.last_run(s.step) <= clock_timestamp() - s.every, true)
                OR s.step = 'cleanup' -- it kept events that could not be aggregated, and no failed day waits for its next attempt
                   AND (SELECT r.kept_unaggregated FROM analytics.job_runs AS r
                        WHERE r.cell = analytics_internal.cell_key() AND r.step = 'cleanup' ORDER BY r.started_at DESC LIMIT 1)
                   AND NOT EXISTS (SELECT 1 FROM analytics.pending_buckets AS f WHERE f.kind = 'day' AND f.next_attempt_at > now())
           THEN analytics_internal.has_work(s.step) END)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_steps() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_steps() IS
    'steps of maintain() that are due here and now and have something to do. All of them when the clock has gone back';

-- What is only told of a run need not have reached the disk before it goes on.
CREATE FUNCTION analytics_internal.begin_step(step text, first_day date DEFAULT NULL, last_day date DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started timestamptz;
BEGIN
    IF NOT analytics_internal.try_lock('maintenance') THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE analytics.job_runs AS r SET outcome = 'interrupted', finished_at = clock_timestamp()
    WHERE r.outcome = 'running' AND r.cell = analytics_internal.cell_key()
      AND (r.step = begin_step.step OR begin_step.step = 'maintain' OR r.pid <> pg_backend_pid());
    INSERT INTO analytics.job_runs AS r (step, first_day, last_day, done)
    VALUES (begin_step.step, begin_step.first_day, begin_step.last_day,
            COALESCE((SELECT CASE WHEN p.done < p.total THEN p.done END FROM analytics.job_runs AS p
                      WHERE p.cell = analytics_internal.cell_key() AND p.step = begin_step.step
                        AND (p.first_day, p.last_day) = (begin_step.first_day, begin_step.last_day)
                      ORDER BY p.started_at DESC LIMIT 1), 0))
    RETURNING r.started_at INTO started;
    RETURN started;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.begin_step(text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.begin_step(text, date, date) IS
    'records the start of a step and returns it; NULL when another session is at work. The same days again go on after those that the last run had finished when it was broken off';

-- What was quarantined on the way stays in error.
CREATE FUNCTION analytics_internal.end_step(step text, started timestamptz, outcome text, error text DEFAULT NULL, busy text DEFAULT NULL)
RETURNS text
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT set_config('synchronous_commit', 'off', true);
DELETE FROM analytics.job_runs AS r
WHERE r.cell = analytics_internal.cell_key() AND r.started_at = end_step.started AND r.step = end_step.step AND end_step.outcome = 'done' AND r.rows = 0 AND r.error IS NULL
  AND EXISTS (SELECT FROM analytics_internal.steps() AS s WHERE s.step = end_step.step AND s.every IS NULL);
UPDATE analytics.job_runs AS r
SET outcome = CASE WHEN end_step.outcome = 'done' AND r.error IS NOT NULL OR end_step.outcome = 'skipped' AND r.rows > 0 THEN 'partial'
                   ELSE end_step.outcome END,
    error = COALESCE(end_step.error, r.error),
    detail = CASE WHEN end_step.busy IS NULL OR strpos(r.detail, end_step.busy) > 0 THEN r.detail ELSE concat_ws('; ', r.detail, end_step.busy) END,
    finished_at = clock_timestamp()
WHERE r.cell = analytics_internal.cell_key() AND r.started_at = end_step.started AND r.step = end_step.step
RETURNING r.error
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.end_step(text, timestamptz, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.end_step(text, timestamptz, text, text, text) IS
    'records the end of a step and returns its error, or NULL; busy: what was in use (skipped). Forgets one that is always due and found nothing to do';

-- The first unit of a run queues what is dirty by then.
CREATE FUNCTION analytics_internal.repair_buckets(OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM analytics.job_runs AS r WHERE r.cell = analytics_internal.cell_key() AND r.step = 'repair_buckets' AND r.outcome = 'running' AND r.done = 0) THEN
        PERFORM analytics_internal.enqueue_repairs();
    END IF;
    rows := analytics_internal.repair_next();
    SELECT count(*) INTO total FROM analytics.pending_buckets AS p WHERE p.kind = 'day' AND p.turn IS NOT NULL;
    again := rows > 0 AND (total > 0 OR EXISTS (SELECT FROM analytics.pending_buckets AS p WHERE p.kind = 'totals'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_buckets() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_buckets() IS
    'repairs the workspace and day whose turn it is; total: days left';

CREATE FUNCTION analytics_internal.aggregate_open() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    closed_until timestamptz := greatest((SELECT w.closed_until FROM analytics.watermark AS w), now() - interval '26 hours');
    hour timestamptz;
    day date;
BEGIN
    PERFORM analytics_internal.lock('rollups');
    UPDATE analytics.job_runs AS r SET (first_day, event_changes) = (SELECT c.first_day, c.event_changes FROM analytics_internal.open_changes() AS c)
    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'aggregate_open' AND r.outcome = 'running';
    FOR hour IN
        SELECT DISTINCT date_trunc('hour', e.created_at, 'UTC') FROM analytics.user_activity AS e
        WHERE e.created_at >= date_trunc('hour', closed_until, 'UTC') AND e.created_at <= now()
    LOOP
        written := written + analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    FOR day IN
        SELECT (closed_until AT TIME ZONE 'UTC')::date + n
        FROM generate_series(0, (now() AT TIME ZONE 'UTC')::date - (closed_until AT TIME ZONE 'UTC')::date) AS n
        UNION
        SELECT (t.at AT TIME ZONE z.time_zone)::date
        FROM (VALUES (now()), (closed_until)) AS t (at), analytics_internal.zones_in_force(t.at) AS z (time_zone)
        ORDER BY 1
    LOOP
        written := written + analytics_internal.try_aggregate(day, NULL);
    END LOOP;
    PERFORM analytics_internal.release_days(closed_until, 'infinity');
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_open() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_open() IS
    'writes provisional rollups of the hours and local days that are not final yet, at most of the last 26 hours; returns how many';

-- One view's failure is reported by the function itself and leaves the others refreshed; raising it would undo them.
CREATE FUNCTION analytics_internal.refresh_views(OUT rows bigint, OUT busy text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failures text;
BEGIN
    SELECT count(*) FILTER (WHERE v.error IS NULL),
           string_agg(concat(v.view, ': ', v.error), '; ') FILTER (WHERE v.error IS NOT NULL AND NOT v.is_busy),
           string_agg(v.view || ' is in use', '; ') FILTER (WHERE v.is_busy)
    INTO rows, failures, busy
    FROM analytics_internal.refresh_all_materialized_views(false) AS v;
    UPDATE analytics.job_runs AS r SET detail = failures WHERE r.cell = analytics_internal.cell_key() AND r.step = 'refresh_views' AND r.outcome = 'running';
    IF rows = 0 AND failures IS NOT NULL THEN
        RAISE EXCEPTION 'no view could be refreshed' USING DETAIL = failures;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_views() IS
    'refreshes the materialized views and returns how many, and those in use. Failures of some go into detail of analytics.job_runs, of all are an error';

CREATE FUNCTION analytics_internal.cleanup(OUT rows bigint, OUT again boolean, OUT busy text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed record;
BEGIN
    SELECT sum(c.rows_deleted) AS rows, bool_or(c.has_more) AS has_more, bool_or(c.kept_unaggregated) AS kept_unaggregated,
           string_agg(c.note, '; ') FILTER (WHERE c.is_busy) AS busy,
           string_agg(concat(c.table_name, ': ', c.note), '; ') FILTER (WHERE c.note IS NOT NULL) AS notes
    INTO removed FROM analytics_internal.remove_old_data() AS c;
    UPDATE analytics.job_runs AS r SET detail = removed.notes, kept_unaggregated = removed.kept_unaggregated
    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'cleanup' AND r.outcome = 'running';
    rows := removed.rows;
    again := removed.has_more AND removed.busy IS NULL;
    busy := removed.busy;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup() IS
    'one call of cleanup_old_data(), its notes in detail of analytics.job_runs; again: more partitions have expired than it drops; busy: partitions were in use';

CREATE FUNCTION analytics_internal.run_step(step text, started timestamptz, OUT again boolean, OUT busy text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
    units_left bigint;
BEGIN
    IF NOT analytics_internal.try_lock('maintenance') THEN
        RETURN;
    END IF;
    PERFORM analytics_internal.show_progress(step);
    PERFORM set_config('lock_timeout', '2s', true); -- never make others queue behind us for long
    again := false;
    CASE step
        WHEN 'mend_clock' THEN written := analytics_internal.mend_clock();
        WHEN 'create_partitions' THEN written := analytics_internal.make_partitions();
        WHEN 'maintain_cells' THEN SELECT c.* INTO written, again FROM analytics_internal.maintain_cells() AS c;
        WHEN 'close_buckets' THEN SELECT c.* INTO written, again, units_left FROM analytics_internal.close_next(analytics_internal.next_mark()) AS c;
        WHEN 'repair_buckets' THEN SELECT * INTO written, again, units_left FROM analytics_internal.repair_buckets();
        WHEN 'aggregate_cohorts' THEN SELECT c.* INTO written, again, units_left FROM analytics_internal.aggregate_due_cohorts() AS c;
        WHEN 'aggregate_open' THEN written := analytics_internal.aggregate_open();
        WHEN 'index_partitions' THEN SELECT i.* INTO written, again, busy FROM analytics_internal.index_closed_partitions(1) AS i;
        WHEN 'refresh_views' THEN SELECT v.* INTO written, busy FROM analytics_internal.refresh_views() AS v;
        WHEN 'cleanup' THEN SELECT c.* INTO written, again, busy FROM analytics_internal.cleanup() AS c;
        WHEN 'evaluate_alerts' THEN SELECT count(*) INTO written FROM analytics.evaluate_alert_rules();
        WHEN 'analyze' THEN
            ANALYZE analytics.user_activity; -- autovacuum never analyzes a partitioned table
            written := 1;
        ELSE
            RAISE EXCEPTION 'unknown step of maintenance'
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('It is %s.', COALESCE(quote_literal(left(step, 100)), 'NULL')),
                      HINT = (SELECT format('Steps are: %s.', string_agg(s.step, ', ' ORDER BY s.step)) FROM analytics_internal.steps() AS s);
    END CASE;
    UPDATE analytics.job_runs AS r
    SET rows = r.rows + COALESCE(written, 0), done = r.done + 1, total = r.done + 1 + units_left,
        error = COALESCE(r.error, analytics_internal.new_failures())
    WHERE r.cell = analytics_internal.cell_key() AND r.started_at = run_step.started AND r.step = run_step.step;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.run_step(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.run_step(text, timestamptz) IS
    'does as much of a step as belongs into one transaction, and records its progress; again: there is more to do, NULL: another session is at work; busy: what was left because it is in use. An unknown step is an error (22023)';

-- Steps with more than one unit take turns, each for its share of the time that is left, so that none of them
-- waits for the end of another's backlog. Alerts, which cannot wait, are evaluated again every minute.
CREATE PROCEDURE analytics.maintain(time_budget interval DEFAULT '00:05:00', show_steps boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) time_budget;
    run_started pg_catalog.timestamptz;
    steps pg_catalog.text[]; -- not finished, in turn
    starts pg_catalog.timestamptz[]; -- of each; NULL: not begun
    step pg_catalog.text;
    step_started pg_catalog.timestamptz;
    turn_end pg_catalog.timestamptz;
    alerts_until pg_catalog.timestamptz := 'infinity'; -- when alerts are due again
    is_more boolean;
    is_late boolean;
    code pg_catalog.text;
    reason pg_catalog.text;
    busy pg_catalog.text;
    error_seen pg_catalog.text;
    failures pg_catalog.text;
    unfinished boolean := false;
BEGIN
    IF time_budget IS NULL THEN
        RAISE EXCEPTION 'time_budget must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    run_started := analytics_internal.begin_step('maintain');
    steps := analytics_internal.due_steps();
    starts := pg_catalog.array_fill(NULL::pg_catalog.timestamptz, ARRAY[pg_catalog.cardinality(steps)]);
    COMMIT;
    IF run_started IS NULL THEN
        RAISE NOTICE 'maintenance is already running in another session';
        RETURN;
    END IF;

    WHILE pg_catalog.cardinality(steps) OPERATOR(pg_catalog.>) 0 LOOP
        IF alerts_until OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() THEN
            steps := pg_catalog.array_prepend('evaluate_alerts'::pg_catalog.text, steps);
            starts := pg_catalog.array_prepend(NULL::pg_catalog.timestamptz, starts);
            alerts_until := 'infinity';
        END IF;
        step := steps[1];
        step_started := COALESCE(starts[1], analytics_internal.begin_step(step));
        COMMIT;
        IF step_started IS NULL THEN
            RAISE NOTICE 'maintenance goes on in another session';
            RETURN;
        END IF;
        turn_end := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) LEAST(
            (deadline OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp()) OPERATOR(pg_catalog./) pg_catalog.cardinality(steps),
            '20 seconds'::pg_catalog.interval);
        reason := NULL;
        busy := NULL;
        is_more := true;
        is_late := starts[1] IS NOT NULL AND pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
        WHILE NOT is_late LOOP
            BEGIN
                SELECT u.again, u.busy INTO is_more, busy FROM analytics_internal.run_step(step, step_started) AS u;
            EXCEPTION
                WHEN lock_not_available THEN
                    GET STACKED DIAGNOSTICS busy = MESSAGE_TEXT, code = PG_EXCEPTION_DETAIL;
                    IF code OPERATOR(pg_catalog.=) '' THEN -- not one of our own errors
                        busy := pg_catalog.concat_ws('; ', busy, analytics_internal.lock_holders());
                    END IF;
                    is_more := false;
                WHEN OTHERS THEN
                    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                    reason := pg_catalog.concat(code, ': ', reason);
                    is_more := false;
            END;
            COMMIT;
            IF is_more IS NULL THEN
                RAISE NOTICE 'maintenance goes on in another session';
                RETURN;
            END IF;
            EXIT WHEN NOT is_more OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) turn_end;
        END LOOP;
        is_late := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
        steps := steps[2:];
        starts := starts[2:];
        IF is_more AND NOT is_late THEN
            steps := pg_catalog.array_append(steps, step);
            starts := pg_catalog.array_append(starts, step_started);
            CONTINUE;
        END IF;
        IF step OPERATOR(pg_catalog.=) 'evaluate_alerts' THEN
            alerts_until := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '1 minute'::pg_catalog.interval;
        END IF;
        IF reason IS NOT NULL THEN
            failures := pg_catalog.concat_ws(', ', failures, step);
        END IF;
        unfinished := unfinished OR is_more OR busy IS NOT NULL;
        reason := analytics_internal.end_step(step, step_started,
            CASE WHEN reason IS NOT NULL THEN 'failed' WHEN busy IS NOT NULL THEN 'skipped' WHEN is_more THEN 'partial' ELSE 'done' END,
            reason, busy);
        COMMIT;
        error_seen := COALESCE(error_seen, reason);
        IF show_steps THEN
            RAISE NOTICE '%: %', step, COALESCE(reason, 'skipped: ' OPERATOR(pg_catalog.||) busy,
                                                CASE WHEN is_more THEN 'to be continued' ELSE 'done' END);
        END IF;
    END LOOP;

    PERFORM analytics_internal.end_step('maintain', run_started,
        CASE WHEN failures IS NOT NULL THEN 'failed' WHEN unfinished THEN 'partial' ELSE 'done' END, failures);
    COMMIT;
    IF failures IS NOT NULL THEN
        RAISE WARNING 'steps of maintenance failed: %', failures
            USING HINT = 'See the column error of analytics.job_runs.';
    ELSIF error_seen IS NOT NULL THEN
        RAISE WARNING 'days of single workspaces could not be aggregated: %', error_seen
            USING HINT = 'See analytics.health(); those days are tried again.';
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics.maintain(interval, boolean) FROM PUBLIC;
COMMENT ON PROCEDURE analytics.maintain(interval, boolean) IS
    'does whatever is due, and returns. Partitions, alerts, finalization and repair of rollups, cohorts, provisional rollups of today, indexes, views, cleanup, statistics, and repairs after a clock that was ahead. It commits between units of work, so it cannot run inside a transaction block. Steps take turns, each for its share of the time, and are isolated: a step that fails is recorded in analytics.job_runs and the others run; a step that meets a lock is skipped until the next call. time_budget: when it is over, each step that has not begun does one unit. show_steps: a notice per step. Call it every minute; a second call at the same time returns at once';

CREATE FUNCTION analytics_internal.backfill_rollups(day date, OUT written bigint, OUT failures text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- only the day's partition is planned
SET DateStyle = 'ISO' -- cells are told the day as text
AS $$
DECLARE
    oldest timestamptz := greatest(day::timestamp AT TIME ZONE 'UTC', now() - analytics_internal.retention('hourly_metrics'));
    day_end timestamptz := least((day + 1)::timestamp AT TIME ZONE 'UTC', now());
BEGIN
    IF analytics_internal.has_cells() THEN
        SELECT sum((r ->> 'written')::bigint), string_agg(DISTINCT r ->> 'failures', '; ') INTO written, failures
        FROM analytics_internal.rows_of_cells(format('SELECT b.* FROM analytics_internal.backfill_rollups(%L) AS b', day)) AS r;
        RETURN;
    END IF;
    PERFORM analytics_internal.lock('rollups');
    -- What was noted while the events were loaded is done with the rest.
    written := analytics_internal.try_repair_day(NULL, day);
    IF written = 0 THEN
        PERFORM analytics_internal.count_day(day, NULL) FROM analytics.watermark AS w
        WHERE (day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
        written := analytics_internal.try_aggregate(day, NULL);
    END IF;
    written := written + COALESCE(sum(analytics_internal.try_aggregate(NULL, h.hour)), 0)
    FROM (SELECT DISTINCT date_trunc('hour', e.created_at, 'UTC') AS hour FROM analytics.user_activity AS e
          WHERE e.created_at >= oldest AND e.created_at < day_end) AS h;
    PERFORM analytics_internal.release_days(day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    failures := analytics_internal.new_failures();
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.backfill_rollups(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.backfill_rollups(date) IS
    'rollups of one day of a backfill: how many were written, and what failed';

CREATE FUNCTION analytics_internal.backfill_day(started timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET citus.multi_shard_modify_mode = 'sequential' -- the rollups are made on the connections that have made the partition
AS $$
DECLARE
    day date;
    days_left integer;
    made record;
BEGIN
    IF NOT analytics_internal.try_lock('maintenance') THEN
        RETURN NULL;
    END IF;
    SELECT r.first_day + r.done::integer, r.last_day - r.first_day - r.done::integer INTO STRICT day, days_left FROM analytics.job_runs AS r
    WHERE r.cell = analytics_internal.cell_key() AND r.started_at = started AND r.step = 'backfill';
    PERFORM analytics_internal.show_progress('backfill ' || to_char(day, 'YYYY-MM-DD'));
    PERFORM set_config('lock_timeout', '2s', true); -- never make others queue behind us for long
    PERFORM analytics_internal.lock('rollups');
    BEGIN
        PERFORM analytics_internal.create_partitions(day, day);
    EXCEPTION WHEN duplicate_table THEN
        NULL; -- its partition was detached: what came since waits in the default partition
    END;
    made := analytics_internal.backfill_rollups(day);
    UPDATE analytics.job_runs AS r
    SET rows = r.rows + made.written, done = r.done + 1, total = r.done + 1 + days_left, error = COALESCE(r.error, made.failures)
    WHERE r.cell = analytics_internal.cell_key() AND r.started_at = started AND r.step = 'backfill';
    RETURN days_left;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.backfill_day(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.backfill_day(timestamptz) IS
    'partition and rollups of the next day of the backfill that began then; how many days are left. NULL when another session is at work, an error (55P03) when something is in use for two seconds';

CREATE FUNCTION analytics_internal.latest_day() RETURNS date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max((now() AT TIME ZONE z.time_zone)::date)
FROM (SELECT 'UTC' AS time_zone UNION SELECT s.time_zone FROM analytics.workspace_settings AS s WHERE s.valid_from <= now()) AS z
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.latest_day() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.latest_day() IS
    'the latest local day that has begun, in UTC or in the time zone of any workspace';

CREATE PROCEDURE analytics.backfill(start_date date, end_date date)
LANGUAGE plpgsql
AS $$
DECLARE
    started pg_catalog.timestamptz;
    days_left pg_catalog.int4;
    busy pg_catalog.text;
    reason pg_catalog.text;
BEGIN
    IF start_date IS NULL OR end_date IS NULL THEN
        RAISE EXCEPTION 'start_date and end_date must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF start_date OPERATOR(pg_catalog.>) end_date THEN
        RAISE EXCEPTION 'start_date is after end_date'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = pg_catalog.concat('The range is ', pg_catalog.to_char(start_date, 'YYYY-MM-DD'), ' to ',
                                                pg_catalog.to_char(end_date, 'YYYY-MM-DD'), '.');
    ELSIF end_date OPERATOR(pg_catalog.>) analytics_internal.latest_day() THEN
        RAISE EXCEPTION 'end_date is in the future'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = pg_catalog.concat(pg_catalog.to_char(end_date, 'YYYY-MM-DD'), ' is later than ',
                                             pg_catalog.to_char(analytics_internal.latest_day(), 'YYYY-MM-DD'), ', the latest day that has begun anywhere.'),
                  HINT = 'Backfill days up to today; partitions ahead are made by analytics.maintain().';
    END IF;
    reason := analytics_internal.expiry_notice(start_date);
    IF reason IS NOT NULL THEN
        RAISE WARNING '%', reason
            USING HINT = pg_catalog.concat('To keep them for ever: ', analytics_internal.keeping_statement());
    END IF;
    started := analytics_internal.begin_step('backfill', start_date, end_date);
    IF started IS NULL THEN
        RAISE NOTICE 'maintenance is running in another session; call backfill again';
        RETURN;
    END IF;
    COMMIT;
    LOOP
        BEGIN
            days_left := analytics_internal.backfill_day(started);
        EXCEPTION WHEN lock_not_available THEN
            GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
            days_left := NULL;
            IF busy IS NULL THEN
                RAISE NOTICE 'backfill goes on when the lock is free: %', reason;
            END IF;
            busy := reason;
        END;
        COMMIT;
        EXIT WHEN days_left OPERATOR(pg_catalog.=) 0;
        IF days_left IS NOT NULL THEN
            busy := NULL;
        ELSE
            PERFORM pg_catalog.pg_sleep(0.1);
        END IF;
    END LOOP;
    reason := analytics_internal.end_step('backfill', started, 'done');
    COMMIT;
    IF reason IS NOT NULL THEN
        RAISE WARNING 'days of single workspaces could not be aggregated: %', reason
            USING HINT = 'See analytics.health(); analytics.maintain() tries those days again.';
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics.backfill(date, date) FROM PUBLIC;
COMMENT ON PROCEDURE analytics.backfill(date, date) IS
    'makes the partitions and rollups of imported history, day by day in date order. It commits after each day, so it cannot run inside a transaction block; progress in analytics.job_progress. Called again with the same dates after an interruption it continues where it stopped. Days later than today are an error (22023), NULL too (22004)';

-- Who calls maintain(), and what keeps them from it.

CREATE FUNCTION analytics_internal.worker_interval() RETURNS interval
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_worker_interval';
REVOKE EXECUTE ON FUNCTION analytics_internal.worker_interval() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.worker_interval() IS
    'how often the background worker calls maintain() in this database; NULL: it does not';

CREATE FUNCTION analytics_internal.cron_elsewhere() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('In database %I, where pg_cron is: SELECT cron.schedule_in_database(%L, ''* * * * *'', ''CALL analytics.maintain()'', %L).',
              home, 'shadow-analytics-maintain-' || current_database(), current_database())
FROM current_setting('cron.database_name', true) AS home
WHERE home <> current_database()
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cron_elsewhere() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cron_elsewhere() IS
    'how to schedule maintain() where pg_cron is in another database; NULL: it is in none';

CREATE FUNCTION analytics_internal.require_cron() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RAISE EXCEPTION 'extension "pg_cron" is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Jobs are scheduled in the database that pg_cron is installed in.',
                  HINT = COALESCE(analytics_internal.cron_elsewhere(),
                                  'Install pg_cron, preload shadow_analytics, or let any scheduler run every minute: psql -c ''CALL analytics.maintain()''.');
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.require_cron() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.require_cron() IS
    'an error (55000) where pg_cron is not installed';

CREATE FUNCTION analytics_internal.cron_obstacle(user_name name, OUT obstacle text, OUT cure text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    host CONSTANT text := current_setting('cron.host', true);
    method text;
BEGIN
    cure := format('ALTER SYSTEM SET cron.use_background_workers = on, and restart PostgreSQL. Or ALTER SYSTEM SET cron.host = %L, restart, and schedule again; or keep the password in .pgpass of the server''s user.',
                   split_part(current_setting('unix_socket_directories'), ',', 1));
    IF current_setting('cron.use_background_workers', true)::boolean OR host = '' OR host LIKE '/%' THEN
        RETURN;
    ELSIF current_setting('listen_addresses') = '' THEN
        obstacle := format('pg_cron connects to "%s" by TCP, and the server listens to no address', host);
    ELSIF has_function_privilege('pg_hba_file_rules()', 'EXECUTE') THEN
        -- By the first rule for a connection from the server to itself, as it stands in the file.
        SELECT COALESCE((SELECT r.auth_method
                         FROM (SELECT h.*, row_number() OVER () AS place FROM pg_hba_file_rules() AS h) AS r
                         WHERE r.type IN ('host', 'hostssl', 'hostnossl')
                           AND r.database && ARRAY['all', current_database()::text]
                           AND r.user_name && ARRAY['all', cron_obstacle.user_name::text]
                           AND r.address IN ('127.0.0.1', '127.0.0.0', '::1', '0.0.0.0', '::', 'localhost', 'all', 'samehost', 'samenet')
                         ORDER BY r.place LIMIT 1), 'reject') INTO method;
    END IF;
    IF method <> 'trust' THEN
        obstacle := format('pg_cron connects to "%s" by TCP as "%s", for whom pg_hba.conf says %s', host, user_name, method);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cron_obstacle(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cron_obstacle(name) IS
    'why pg_cron cannot connect for a user, by its settings and pg_hba.conf (NULL: it can, or nobody may tell), and what lets it connect';

CREATE FUNCTION analytics.schedule_jobs(OUT job_name text, OUT schedule text, OUT command text) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cron record;
BEGIN
    PERFORM analytics_internal.require_cron();
    job_name := 'shadow-analytics-maintain';
    schedule := '* * * * *';
    command := 'CALL analytics.maintain()';
    EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job_name, schedule, command;
    RETURN NEXT;
    cron := analytics_internal.cron_obstacle(current_user);
    IF cron.obstacle IS NOT NULL THEN
        RAISE NOTICE 'scheduled, but the runs will fail: %', cron.obstacle
            USING HINT = cron.cure;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.schedule_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics.schedule_jobs() IS
    'lets pg_cron call analytics.maintain() every minute, in whatever time zone. maintain() knows itself what is due. May be repeated. A notice says what to do where the settings of pg_cron cannot work. Without pg_cron in this database an error (55000) that says what to do instead';

CREATE FUNCTION analytics.unschedule_jobs() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM analytics_internal.require_cron();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j WHERE j.jobname = ''shadow-analytics-maintain'' AND j.database = current_database()'
    INTO removed;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.unschedule_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics.unschedule_jobs() IS
    'takes back analytics.schedule_jobs(); the number of jobs removed, 0 when none was scheduled';
