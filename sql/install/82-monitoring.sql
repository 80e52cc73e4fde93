-- What an operator looks at. The views run with their reader's rights: for the owner and the service role.

CREATE VIEW analytics.table_sizes WITH (security_invoker = true) AS
SELECT t.name AS table_name,
       count(*)::integer AS partitions,
       sum(greatest(c.reltuples, 0))::bigint AS estimated_rows,
       sum(pg_table_size(c.oid))::bigint AS table_bytes,
       sum(pg_indexes_size(c.oid))::bigint AS index_bytes,
       sum(pg_total_relation_size(c.oid))::bigint AS total_bytes,
       pg_size_pretty(sum(pg_total_relation_size(c.oid))) AS total_size
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
CROSS JOIN LATERAL (SELECT COALESCE(parent.relname, c.relname) AS name) AS t
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'm')
GROUP BY t.name;
COMMENT ON VIEW analytics.table_sizes IS
    'sizes of the tables and materialized views of the schema analytics, partitions summed. ORDER BY total_bytes DESC. On Citus over all servers';
COMMENT ON COLUMN analytics.table_sizes.table_name IS 'table, or the one that it is a partition of';
COMMENT ON COLUMN analytics.table_sizes.partitions IS 'tables that store its rows: 1 without partitions; on Citus its shards';
COMMENT ON COLUMN analytics.table_sizes.estimated_rows IS 'rows as of the last ANALYZE';
COMMENT ON COLUMN analytics.table_sizes.table_bytes IS 'bytes without indexes';
COMMENT ON COLUMN analytics.table_sizes.index_bytes IS 'bytes of the indexes';
COMMENT ON COLUMN analytics.table_sizes.total_bytes IS 'bytes of both';
COMMENT ON COLUMN analytics.table_sizes.total_size IS 'total_bytes for people';

CREATE VIEW analytics.index_usage WITH (security_invoker = true) AS
SELECT t.name AS table_name,
       regexp_replace(s.indexrelname, '^user_activity_([0-9]{8}|default)_', 'user_activity_*_') AS index_name,
       count(*)::integer AS partitions,
       sum(s.idx_scan)::bigint AS scans,
       sum(s.idx_tup_read)::bigint AS rows_read,
       sum(s.idx_tup_fetch)::bigint AS rows_fetched,
       sum(pg_relation_size(s.indexrelid))::bigint AS bytes
FROM pg_stat_user_indexes AS s
LEFT JOIN pg_inherits AS i ON i.inhrelid = s.relid
LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
CROSS JOIN LATERAL (SELECT COALESCE(parent.relname, s.relname) AS name) AS t
WHERE s.schemaname = 'analytics'
GROUP BY 1, 2;
COMMENT ON VIEW analytics.index_usage IS
    'how often the indexes of the schema analytics were used since the statistics were reset. Partitions are summed. ORDER BY scans DESC';
COMMENT ON COLUMN analytics.index_usage.table_name IS 'table, or the one that it is a partition of';
COMMENT ON COLUMN analytics.index_usage.index_name IS 'index; * stands for the day of a partition';
COMMENT ON COLUMN analytics.index_usage.partitions IS 'indexes summed here';
COMMENT ON COLUMN analytics.index_usage.scans IS 'scans';
COMMENT ON COLUMN analytics.index_usage.rows_read IS 'entries read';
COMMENT ON COLUMN analytics.index_usage.rows_fetched IS 'rows fetched by plain index scans';
COMMENT ON COLUMN analytics.index_usage.bytes IS 'size in bytes';

CREATE FUNCTION analytics_internal.read_slow_queries(
    OUT query text, OUT calls bigint, OUT mean_exec_time double precision, OUT max_exec_time double precision,
    OUT total_exec_time double precision, OUT rows bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home text := (SELECT e.extnamespace::regnamespace::text FROM pg_extension AS e WHERE e.extname = 'pg_stat_statements');
BEGIN
    IF home IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT s.query, s.calls, s.mean_exec_time, s.max_exec_time, s.total_exec_time, s.rows FROM %s.pg_stat_statements AS s WHERE s.query LIKE ''%%analytics.%%'' AND s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())',
        home);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.read_slow_queries() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.read_slow_queries() IS
    'statements of this database that name the schema analytics, from pg_stat_statements. No row without that extension';

CREATE VIEW analytics.slow_queries WITH (security_invoker = true) AS
SELECT q.query, q.calls, q.mean_exec_time, q.max_exec_time, q.total_exec_time, q.rows
FROM analytics_internal.read_slow_queries() AS q;
COMMENT ON VIEW analytics.slow_queries IS
    'statements that name the schema analytics, from pg_stat_statements (empty without it). ORDER BY mean_exec_time DESC';
COMMENT ON COLUMN analytics.slow_queries.query IS 'text with constants replaced';
COMMENT ON COLUMN analytics.slow_queries.calls IS 'executions';
COMMENT ON COLUMN analytics.slow_queries.mean_exec_time IS 'mean time of an execution, ms';
COMMENT ON COLUMN analytics.slow_queries.max_exec_time IS 'longest execution, ms';
COMMENT ON COLUMN analytics.slow_queries.total_exec_time IS 'time of all executions, ms';
COMMENT ON COLUMN analytics.slow_queries.rows IS 'rows returned or changed';

CREATE VIEW analytics.freshness WITH (security_invoker = true) AS
SELECT r.rollup,
       r.newest_bucket,
       (SELECT nullif(min(w.closed_until), '-infinity') FROM analytics.watermark AS w) AS closed_until,
       now() - (SELECT nullif(min(w.closed_until), '-infinity') FROM analytics.watermark AS w) AS lag,
       (SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) FROM analytics.dirty_hours AS d) AS dirty_hours,
       (SELECT count(*) FROM analytics.pending_buckets AS p WHERE p.kind = 'day' AND p.attempts > 0) AS failed_days
FROM (SELECT 'hourly_metrics' AS rollup, max(h.metric_hour) AS newest_bucket FROM analytics.hourly_metrics AS h
      UNION ALL
      SELECT 'daily_metrics' AS rollup, max(d.metric_date)::timestamp AT TIME ZONE 'UTC' FROM analytics.daily_metrics AS d
      UNION ALL
      SELECT 'agent_performance' AS rollup, max(a.metric_date)::timestamp AT TIME ZONE 'UTC' FROM analytics.agent_performance AS a) AS r;
COMMENT ON VIEW analytics.freshness IS
    'how recent the rollups are';
COMMENT ON COLUMN analytics.freshness.rollup IS 'rollup table';
COMMENT ON COLUMN analytics.freshness.newest_bucket IS 'start of its newest hour or (as if in UTC) day; NULL: empty';
COMMENT ON COLUMN analytics.freshness.closed_until IS 'up to here rollups are final, but for dirty_hours; NULL: nothing was ever closed';
COMMENT ON COLUMN analytics.freshness.lag IS 'how long ago that is; about an hour and a minute at most when all is well';
COMMENT ON COLUMN analytics.freshness.dirty_hours IS 'closed hours, per workspace, with late changes that wait for repair';
COMMENT ON COLUMN analytics.freshness.failed_days IS 'days of workspaces that could not be aggregated: analytics.pending_buckets';

CREATE VIEW analytics.data_quality WITH (security_invoker = true) AS
SELECT d.metric_date, v.key AS metadata_key, sum(v.value::bigint)::bigint AS ignored_values, count(*) AS workspaces
FROM analytics.daily_metrics AS d, jsonb_each_text(d.ignored_values) AS v
GROUP BY 1, 2;
COMMENT ON VIEW analytics.data_quality IS
    'malformed values of metadata that were ignored, by day and key, over the workspaces the reader sees';
COMMENT ON COLUMN analytics.data_quality.metric_date IS 'local day';
COMMENT ON COLUMN analytics.data_quality.metadata_key IS 'key in metadata';
COMMENT ON COLUMN analytics.data_quality.ignored_values IS 'values ignored';
COMMENT ON COLUMN analytics.data_quality.workspaces IS 'workspaces concerned';

CREATE VIEW analytics.job_progress WITH (security_invoker = true) AS
SELECT r.step, r.first_day, r.last_day, r.started_at, clock_timestamp() - r.started_at AS elapsed, r.rows, r.done, r.total,
       round(100.0 * r.done / nullif(r.total, 0), 2) AS percent_done, r.pid
FROM analytics.job_runs AS r
WHERE r.outcome = 'running';
COMMENT ON VIEW analytics.job_progress IS
    'runs of maintain() and backfill() in progress; a killed one stays until the next run';
COMMENT ON COLUMN analytics.job_progress.step IS 'step';
COMMENT ON COLUMN analytics.job_progress.first_day IS 'backfill: first day of the range';
COMMENT ON COLUMN analytics.job_progress.last_day IS 'backfill: last day of the range';
COMMENT ON COLUMN analytics.job_progress.started_at IS 'when it began';
COMMENT ON COLUMN analytics.job_progress.elapsed IS 'since then';
COMMENT ON COLUMN analytics.job_progress.rows IS 'what the step counts, so far';
COMMENT ON COLUMN analytics.job_progress.done IS 'units committed';
COMMENT ON COLUMN analytics.job_progress.total IS 'units in all, as far as known';
COMMENT ON COLUMN analytics.job_progress.percent_done IS 'share done; NULL where the total is not known';
COMMENT ON COLUMN analytics.job_progress.pid IS 'server process';

CREATE FUNCTION analytics_internal.watermark_holders() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT string_agg(h.who, '; ') FROM (
    SELECT format('prepared transaction %L since %s', p.gid, p.prepared) AS who
    FROM pg_prepared_xacts AS p, analytics.watermark AS w
    WHERE p.transaction::text::bigint < (w.closing_xid::text::numeric % 4294967296)
    UNION ALL
    SELECT format('process %s (%s, database %s) in a transaction since %s', a.pid, a.usename, a.datname, a.xact_start)
    FROM pg_stat_activity AS a, analytics.watermark AS w
    WHERE a.backend_xid::text::bigint < (w.closing_xid::text::numeric % 4294967296)) AS h
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.watermark_holders() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.watermark_holders() IS
    'transactions older than the one taken for closing, for which closing waits; NULL: none';

-- A step that begins is a sign of life too: a run may take as long as its budget.
CREATE FUNCTION analytics_internal.last_sign() RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT greatest(
    (SELECT r.finished_at FROM analytics.job_runs AS r
     WHERE r.step = 'maintain' AND r.outcome IN ('done', 'partial', 'failed') ORDER BY r.started_at DESC LIMIT 1),
    (SELECT max(r.started_at) FROM analytics.job_runs AS r JOIN pg_stat_activity AS a ON a.pid = r.pid AND a.backend_start <= r.started_at
     WHERE r.outcome = 'running' AND r.step <> 'backfill'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_sign() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_sign() IS
    'when maintain() was last heard of: the end of a run, or the beginning of a step that runs. NULL: never';

CREATE FUNCTION analytics_internal.cron_health(OUT finding text, OUT cure text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job record;
    run record;
BEGIN
    IF NOT COALESCE(has_table_privilege(to_regclass('cron.job'), 'SELECT')
                    AND has_table_privilege(to_regclass('cron.job_run_details'), 'SELECT'), false) THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT j.jobid, j.active, j.username::name FROM cron.job AS j
             WHERE j.database = current_database() AND j.command COLLATE "C" ~* ''call[[:space:]]+analytics[.]maintain[(]'' ORDER BY j.active DESC, j.jobid LIMIT 1'
    INTO job;
    IF job.jobid IS NULL THEN
        cure := 'SELECT analytics.schedule_jobs().';
        RETURN;
    END IF;
    EXECUTE 'SELECT d.status, d.return_message, d.start_time FROM cron.job_run_details AS d WHERE d.jobid = $1 ORDER BY d.runid DESC LIMIT 1'
    INTO run USING job.jobid;
    IF NOT job.active THEN
        finding := format('job %s of pg_cron is switched off', job.jobid);
        cure := format('SELECT cron.alter_job(%s, active := true).', job.jobid);
    ELSIF run.status = 'failed' THEN
        finding := format('scheduled with pg_cron, but its runs fail: %s', COALESCE(run.return_message, 'no message'));
        cure := CASE WHEN run.return_message ~* 'connect' THEN
                         (SELECT concat(c.obstacle || '. ', c.cure) FROM analytics_internal.cron_obstacle(job.username) AS c)
                     ELSE format('SELECT * FROM cron.job_run_details WHERE jobid = %s ORDER BY runid DESC LIMIT 5.', job.jobid) END;
    ELSE
        finding := 'scheduled with pg_cron, which ' || COALESCE('last began a run at ' || run.start_time::text, 'has begun no run yet');
        cure := 'pg_cron must be in shared_preload_libraries, and cron.launch_active_jobs and cron.log_run be on; ALTER SYSTEM SET them, and restart PostgreSQL.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cron_health(OUT text, OUT text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cron_health(OUT text, OUT text) IS
    'what pg_cron tells of its calls of maintain() in this database, and what to do. Both NULL: pg_cron is not here';

CREATE FUNCTION analytics_internal.scheduler_health(OUT finding text, OUT cure text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.worker_interval() IS NOT NULL THEN
        finding := 'the background worker has this database on its list';
        cure := 'The server log says "shadow_analytics cannot maintain database" and why. Where no worker is free: ALTER SYSTEM SET max_worker_processes, and restart PostgreSQL.';
        RETURN;
    END IF;
    SELECT c.finding, c.cure INTO finding, cure FROM analytics_internal.cron_health() AS c;
    finding := COALESCE(finding, 'nothing is known to call it');
    cure := COALESCE(cure, analytics_internal.cron_elsewhere(),
        format('ALTER SYSTEM SET shared_preload_libraries = ''shadow_analytics'' (add what is there), ALTER SYSTEM SET shadow_analytics.databases = %L and restart PostgreSQL; or let any scheduler run every minute: psql -d %s -c ''CALL analytics.maintain()''.',
               quote_ident(current_database()), current_database()));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.scheduler_health(OUT text, OUT text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.scheduler_health(OUT text, OUT text) IS
    'who is to call maintain(), and what to do when it is silent';

CREATE FUNCTION analytics_internal.maintenance_health(OUT status text, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_sign CONSTANT timestamptz := analytics_internal.last_sign();
    every CONSTANT interval := COALESCE(analytics_internal.worker_interval(), '1 minute');
    running CONSTANT text := (SELECT string_agg(p.step || ' since ' || p.started_at, ', ' ORDER BY p.started_at) FROM analytics.job_progress AS p);
BEGIN
    status := CASE WHEN last_sign >= now() - 5 * every THEN 'ok'
                   WHEN last_sign >= now() - greatest(interval '1 hour', 10 * every) THEN 'warn'
                   ELSE 'fail' END;
    detail := COALESCE('last sign of maintain() ' || last_sign::text, 'analytics.maintain() has never run');
    IF status <> 'ok' THEN
        SELECT detail || ': alerts are not evaluated; ' || COALESCE('at work: ' || running || '; ', '') || s.finding, s.cure
        INTO detail, hint FROM analytics_internal.scheduler_health() AS s;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.maintenance_health(OUT text, OUT text, OUT text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.maintenance_health(OUT text, OUT text, OUT text) IS
    'the check "maintenance" of analytics.health(): warn after five intervals of silence, fail after an hour';

-- A query that reads all of user_activity locks each partition and its indexes.
CREATE FUNCTION analytics_internal.partitions_health(
    max_locks integer, OUT status text, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    locks_each CONSTANT integer := 6;
    partitions CONSTANT bigint := (SELECT count(*) FROM pg_inherits AS i WHERE i.inhparent = 'analytics.user_activity'::regclass);
    needed CONSTANT bigint := locks_each * partitions;
BEGIN
    status := CASE WHEN needed <= max_locks / 2 THEN 'ok' ELSE 'warn' END;
    detail := format('%s partitions of user_activity: a query that reads all takes about %s locks, the server has room for %s', partitions, needed, max_locks);
    hint := CASE WHEN status <> 'ok' THEN format('ALTER SYSTEM SET max_locks_per_transaction = %s, and restart PostgreSQL; or shorten the retention of user_activity.',
                                                 2 * current_setting('max_locks_per_transaction')::integer) END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.partitions_health(integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.partitions_health(integer) IS
    'the check "partitions" of analytics.health(): warn where a query over all of them would take half of the locks';

CREATE FUNCTION analytics_internal.health_here() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
DECLARE
    has_rows CONSTANT boolean := NOT analytics_internal.has_cells();
    closed timestamptz := (SELECT min(w.closed_until) FROM analytics.watermark AS w);
    today date := (now() AT TIME ZONE 'UTC')::date;
    ahead integer := (SELECT count(*) FROM generate_series(1, 366) AS n JOIN analytics_internal.partitions() AS p
                      ON p.from_time <= (today + n)::timestamp AT TIME ZONE 'UTC' AND p.to_time > (today + n)::timestamp AT TIME ZONE 'UTC');
    lingering bigint;
    dirty bigint;
    failed text;
    failed_days bigint;
    missing numeric;
    kept numeric;
BEGIN
    check_name := 'maintenance';
    SELECT m.status, m.detail, m.hint INTO status, detail, hint FROM analytics_internal.maintenance_health() AS m;
    RETURN NEXT;

    check_name := 'clock';
    SELECT r.started_at || ': ' || r.detail INTO failed FROM analytics.job_runs AS r
    WHERE r.step = 'mend_clock' AND r.started_at > now() - interval '1 day' ORDER BY r.started_at DESC LIMIT 1;
    detail := format('records of maintenance are dated up to %s later than now', date_trunc('second', analytics_internal.clock_lead()));
    status := CASE WHEN analytics_internal.clock_lead() IS NOT NULL THEN 'fail' WHEN failed IS NOT NULL THEN 'warn' ELSE 'ok' END;
    detail := CASE status WHEN 'fail' THEN detail ELSE COALESCE(failed, 'no record of maintenance is dated later than now') END;
    hint := CASE status WHEN 'fail' THEN 'CALL analytics.maintain(), which mends what the clock has left behind, and look after the server''s time synchronization.'
                        WHEN 'warn' THEN 'It is mended; look after the server''s time synchronization, and at events dated in the future.' END;
    RETURN NEXT;

    check_name := 'failed_steps';
    SELECT string_agg(f.step || ' (' || f.error || ')', ', ' ORDER BY f.step) INTO failed
    FROM (SELECT DISTINCT ON (r.step) r.step, r.outcome, r.error FROM analytics.job_runs AS r
          WHERE r.step <> 'maintain' AND r.started_at > now() - interval '1 day' AND r.outcome <> 'running'
          ORDER BY r.step, r.started_at DESC) AS f
    WHERE f.outcome = 'failed';
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'fail' END;
    detail := COALESCE('failed: ' || failed, 'no step failed when it last ran');
    hint := CASE WHEN failed IS NOT NULL THEN 'SELECT step, error FROM analytics.job_runs WHERE outcome = ''failed'' ORDER BY started_at DESC; the step is tried again whenever it is due, or by CALL analytics.maintain().' END;
    RETURN NEXT;

    check_name := 'partitions_ahead';
    status := CASE WHEN ahead >= 2 THEN 'ok' WHEN ahead >= 1 THEN 'warn' ELSE 'fail' END;
    detail := format('%s days ahead have a partition', ahead);
    hint := CASE WHEN ahead < 2 THEN 'CALL analytics.maintain(); events of other days wait in the default partition.' END;
    RETURN NEXT;

    check_name := 'partitions';
    SELECT p.status, p.detail, p.hint INTO status, detail, hint
    FROM analytics_internal.partitions_health(current_setting('max_locks_per_transaction')::integer
        * (current_setting('max_connections')::integer + current_setting('max_prepared_transactions')::integer)) AS p;
    RETURN NEXT;

    IF has_rows THEN
        check_name := 'default_partition';
        IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
            SELECT count(*) INTO lingering FROM analytics.user_activity_default AS e
            WHERE e.created_at < now() - interval '1 day';
        END IF;
        status := CASE WHEN lingering = 0 THEN 'ok' ELSE 'warn' END;
        detail := COALESCE(lingering || ' events older than a day', 'there is none: events of days without a partition are refused');
        hint := CASE WHEN lingering IS NULL THEN 'CALL analytics.maintain(), which makes it.'
                     WHEN lingering > 0 THEN 'CALL analytics.maintain(), which moves those within the retention, and removes the others.' END;
        RETURN NEXT;

        check_name := 'closing';
        status := CASE WHEN closed > now() - interval '3 hours' THEN 'ok' WHEN closed IS NULL THEN 'warn'
                       WHEN closed > now() - interval '1 day' THEN 'warn' ELSE 'fail' END;
        detail := COALESCE('rollups are final until ' || closed::text || '; held by: ' || COALESCE(analytics_internal.watermark_holders(), 'nobody'),
                           'nothing was closed yet');
        hint := CASE WHEN closed IS NULL THEN 'CALL analytics.maintain().'
                     WHEN status <> 'ok' THEN 'End the transactions that hold it: SELECT pg_terminate_backend(<process>), ROLLBACK PREPARED <name>; then CALL analytics.maintain().' END;
        RETURN NEXT;

        check_name := 'failed_days';
        SELECT string_agg(format('workspace %s, %s: %s (attempts: %s, next at %s)', f.workspace_id, to_char(f.metric_date, 'YYYY-MM-DD'), f.error, f.attempts, f.next_attempt_at), '; '
                          ORDER BY f.metric_date DESC, f.workspace_id) FILTER (WHERE f.place <= 3), count(*)
        INTO failed, failed_days
        FROM (SELECT d.*, row_number() OVER (ORDER BY d.metric_date DESC, d.workspace_id) AS place
              FROM analytics.pending_buckets AS d WHERE d.kind = 'day' AND d.attempts > 0) AS f;
        status := CASE WHEN failed_days = 0 THEN 'ok' ELSE 'fail' END;
        detail := format('%s days of workspaces could not be aggregated', failed_days) || COALESCE(': ' || failed, '');
        hint := CASE WHEN failed_days > 0 THEN 'Mend the cause and SELECT analytics.retry_failed_days(), or wait for the next attempt; others are not held up. See analytics.pending_buckets.' END;
        RETURN NEXT;

        check_name := 'frozen_days';
        SELECT string_agg(format('workspace %s, %s: %s missing, %s kept', f.workspace_id, to_char(f.event_day, 'YYYY-MM-DD'), f.missing, f.kept_events), '; '
                          ORDER BY f.event_day DESC, f.workspace_id) FILTER (WHERE f.place <= 3), count(*), COALESCE(sum(f.missing), 0), COALESCE(sum(f.kept_events), 0)
        INTO failed, failed_days, missing, kept
        FROM (SELECT s.*, row_number() OVER (ORDER BY s.event_day DESC, s.workspace_id) AS place FROM analytics.sealed_days AS s
              WHERE s.missing > 0 OR s.kept_events > 0) AS f;
        status := CASE WHEN missing > 0 THEN 'fail' WHEN kept > 0 THEN 'warn' ELSE 'ok' END;
        detail := format('events that rollups count but are missing: %s, events kept that they may not count: %s', missing, kept) || COALESCE(': ' || failed, '');
        hint := CASE WHEN status <> 'ok' THEN 'Restore or attach missing events and CALL analytics.backfill() for the day, or decide by analytics.settle_day(). See analytics.sealed_days.' END;
        RETURN NEXT;

        check_name := 'expiring_imports';
        SELECT count(*), COALESCE(sum(k.events), 0), min(k.kept_until)::text INTO failed_days, kept, failed
        FROM analytics_internal.kept_days(now() - analytics_internal.retention('user_activity')) AS k WHERE k.kept_until < 'infinity';
        status := CASE WHEN kept = 0 THEN 'ok' ELSE 'warn' END;
        detail := format('%s events were past their retention when they were loaded', kept) || COALESCE('; cleanup removes them from ' || failed || ' on', '');
        hint := CASE WHEN kept > 0 THEN 'Their rollups stay. To keep them for ever: ' || analytics_internal.keeping_statement() END;
        RETURN NEXT;
    END IF;

    check_name := 'locks';
    failed := analytics_internal.lock_holders(interval '10 minutes');
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'warn' END;
    detail := COALESCE(failed, 'nobody holds up maintenance');
    hint := CASE WHEN failed IS NOT NULL THEN 'Wait for its end, or SELECT pg_terminate_backend(...); ROLLBACK PREPARED for a prepared one.' END;
    RETURN NEXT;

    check_name := 'skipped_steps';
    SELECT string_agg(format('%s (%s)', k.step, k.detail), ', ' ORDER BY k.step) INTO failed
    FROM (SELECT DISTINCT ON (r.step) r.step, r.outcome, r.detail FROM analytics.job_runs AS r
          WHERE r.started_at > now() - interval '1 day' AND r.outcome <> 'running' ORDER BY r.step, r.started_at DESC) AS k
    WHERE k.outcome = 'skipped'
      AND (SELECT min(r.started_at) FROM analytics.job_runs AS r
           WHERE r.step = k.step AND r.outcome = 'skipped'
             AND r.started_at > COALESCE(analytics_internal.last_run(k.step), '-infinity')) < now() - interval '1 hour';
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'warn' END;
    detail := COALESCE('skipped for an hour: ' || failed, 'no step has been skipped for an hour');
    hint := CASE WHEN failed IS NOT NULL THEN 'End the transaction that holds the lock; maintain() then goes on by itself.' END;
    RETURN NEXT;

    IF has_rows THEN
        check_name := 'dirty_hours';
        SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) INTO dirty FROM analytics.dirty_hours AS d;
        status := CASE WHEN dirty < 10000 THEN 'ok' ELSE 'warn' END;
        detail := format('%s hours wait for repair', dirty);
        hint := CASE WHEN dirty >= 10000 THEN 'CALL analytics.maintain(''1 hour'').' END;
        RETURN NEXT;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.health_here() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.health_here() IS
    'analytics.health() of this server or, in a cell of Citus, of the cell. Of the coordinator without what only cells know';

CREATE FUNCTION analytics_internal.health() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY SELECT h.* FROM analytics_internal.cluster_health() AS h;
    ELSE
        RETURN QUERY SELECT h.* FROM analytics_internal.health_here() AS h;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.health() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.health() IS 'analytics.health() with the rights of the owner';

CREATE FUNCTION analytics.health() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS 'SELECT * FROM analytics_internal.health()';
REVOKE EXECUTE ON FUNCTION analytics.health() FROM PUBLIC;
COMMENT ON FUNCTION analytics.health() IS
    'one row per check: check_name, status (ok, warn, fail), detail, hint (NULL when ok). For a probe: SELECT count(*) FROM analytics.health() WHERE status = ''fail''';

CREATE FUNCTION analytics.prepare_restore() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition regclass;
    dropped integer := 0;
BEGIN
    PERFORM analytics_internal.refuse_distributed('restoring a dump', 'Restore it on a single server, then call analytics.distribute() there.');
    LOCK TABLE analytics.user_activity IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM analytics.user_activity) THEN
        RAISE EXCEPTION 'analytics.user_activity is not empty'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Its partitions make room for those of a dump, so they must hold no event.',
                  HINT = 'Restore into a database in which the extension was just created.';
    END IF;
    FOR partition IN SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'analytics.user_activity'::regclass LOOP
        EXECUTE format('DROP TABLE %s', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.prepare_restore() FROM PUBLIC;
COMMENT ON FUNCTION analytics.prepare_restore() IS
    'drops the empty partitions of a fresh extension before a dump of the schema alone is restored. To be called by the owner; the dump, made with --schema=analytics, brings the partitions along. Returns how many. An error (55000) when there are events. Dumps that contain the extension do not need it';

CREATE FUNCTION analytics.post_restore() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    made integer;
BEGIN
    PERFORM analytics_internal.create_default_partition();
    made := analytics.create_partitions(today - 1, today + analytics.setting('partitions_ahead_days')::integer);
    -- Transaction ids of another server mean nothing here.
    UPDATE analytics.watermark SET closing_xid = NULL, marked_by = '3' WHERE closed_until < marked_until;
    UPDATE analytics.job_runs SET outcome = 'interrupted', finished_at = clock_timestamp() WHERE outcome = 'running';
    -- A dump without the extension carries no privileges on its objects.
    PERFORM analytics_internal.grant_audience(g.audience, r.rolname)
    FROM analytics.access_roles AS a
    JOIN pg_roles AS r ON r.rolname = a.role_name
    CROSS JOIN LATERAL unnest(CASE a.audience WHEN 'service' THEN '{member,service,operator}'::text[]
                                              WHEN 'anonymous' THEN '{}' ELSE ARRAY[a.audience] END) AS g (audience);
    PERFORM analytics_internal.grant_audience(g.audience, r.role_name)
    FROM analytics.readers AS r
    JOIN pg_roles AS e ON e.rolname = r.role_name
    CROSS JOIN LATERAL unnest(CASE WHEN r.workspace_ids IS NULL THEN '{reader,reader of all}'::text[] ELSE '{reader}' END) AS g (audience);
    PERFORM analytics_internal.make_reader_policies(); -- of new tables too
    PERFORM count(*) FROM analytics.refresh_all_materialized_views();
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.post_restore() FROM PUBLIC;
COMMENT ON FUNCTION analytics.post_restore() IS
    'finishes a restore; to be called once by the owner. It makes missing partitions (returns how many), forgets transaction ids of the old server, grants the roles of analytics.access_roles and analytics.readers what they had, and refreshes the materialized views';
