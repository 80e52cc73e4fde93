-- Views and checks for operators. Their numbers depend on the moment: what is compared does not.
SET timezone = 'UTC';
TRUNCATE analytics.user_activity;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
\getenv abs_srcdir PG_ABS_SRCDIR
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle

-- Who calls maintain() depends on the server.
SELECT check_name, status, CASE check_name WHEN 'maintenance' THEN (hint IS NOT NULL)::text ELSE hint END AS hint FROM analytics.health();
CALL pg_temp.settle();
SELECT check_name, status, hint FROM analytics.health();
INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (md5('u')::uuid, 'login', now() - interval '200 days');
SELECT check_name, status, detail FROM analytics.health() WHERE check_name IN ('default_partition', 'dirty_hours');
INSERT INTO analytics.job_runs (step, outcome, error) VALUES ('cleanup', 'failed', '55P03: lock');
SELECT check_name, status, detail FROM analytics.health() WHERE check_name = 'failed_steps';
-- A step that finds a lock taken is not a failure, unless it does so for long.
INSERT INTO analytics.job_runs (step, outcome, detail) VALUES ('analyze', 'skipped', 'user_activity is in use');
SELECT check_name, status, detail FROM analytics.health() WHERE check_name = 'skipped_steps';
UPDATE analytics.job_runs SET started_at = started_at - interval '2 hours' WHERE step = 'analyze';
INSERT INTO analytics.job_runs (step, outcome, detail) VALUES ('analyze', 'skipped', 'user_activity is in use');
SELECT check_name, status, detail, hint FROM analytics.health() WHERE check_name = 'skipped_steps';
DELETE FROM analytics.job_runs WHERE step = 'analyze';
UPDATE analytics.watermark SET closed_until = closed_until - interval '2 days';
SELECT status, detail LIKE '%held by: nobody' AS free, hint FROM analytics.health() WHERE check_name = 'closing';


-- A scheduler that is silent: five intervals, an hour; whatever succeeded before, and also while the steps fail.
CREATE FUNCTION pg_temp.maintenance(OUT status text, OUT told boolean) LANGUAGE sql AS
    $$ SELECT h.status, h.detail LIKE '%alerts are not evaluated%' AND h.hint IS NOT NULL FROM analytics.health() AS h WHERE h.check_name = 'maintenance' $$;
UPDATE analytics.job_runs SET finished_at = finished_at - interval '4 minutes', started_at = started_at - interval '4 minutes';
SELECT * FROM pg_temp.maintenance();
UPDATE analytics.job_runs SET finished_at = finished_at - interval '2 minutes', started_at = started_at - interval '2 minutes';
SELECT * FROM pg_temp.maintenance();
UPDATE analytics.job_runs SET finished_at = finished_at - interval '1 hour', started_at = started_at - interval '1 hour';
SELECT * FROM pg_temp.maintenance();
INSERT INTO analytics.job_runs (step, outcome, started_at) VALUES ('maintain', 'interrupted', now() - interval '50 minutes'), ('backfill', 'running', now());
SELECT * FROM pg_temp.maintenance();
INSERT INTO analytics.job_runs (step, outcome, started_at, pid) VALUES ('refresh_views', 'running', now() - interval '1 minute', 0);
SELECT * FROM pg_temp.maintenance();
UPDATE analytics.job_runs SET pid = pg_backend_pid(), started_at = now() WHERE step = 'refresh_views' AND outcome = 'running';
SELECT * FROM pg_temp.maintenance();
DELETE FROM analytics.job_runs WHERE outcome = 'running';
INSERT INTO analytics.job_runs (step, outcome, started_at, finished_at) VALUES ('maintain', 'failed', now() - interval '1 minute', now());
SELECT * FROM pg_temp.maintenance();

-- Partitions for which the server's table of locks may get too small.
SELECT p.status, p.hint FROM analytics_internal.partitions_health(60000) AS p;
SELECT p.status, regexp_replace(p.detail, '\d+ partitions|\d+ locks', '...', 'g') AS detail, p.hint LIKE 'ALTER SYSTEM SET max_locks_per_transaction = %' AS hint FROM analytics_internal.partitions_health(100) AS p;

-- Without the default partition it says so, and what closes days does not need it.
BEGIN;
DROP TABLE analytics.user_activity_default;
SELECT status, detail, hint FROM analytics.health() WHERE check_name = 'default_partition';
SELECT analytics_internal.next_used_day('2020-01-01Z', '2020-01-03Z') AT TIME ZONE 'UTC' AS next_used;
ROLLBACK;

-- The seed's size query lists each partition, the view sums them.
SELECT table_name, partitions > 5 AS partitioned, table_bytes + index_bytes = total_bytes AS adds_up, total_size <> '' AS pretty
FROM analytics.table_sizes WHERE table_name IN ('user_activity', 'daily_metrics') ORDER BY 1;
-- Once in a few tries: autovacuum may add to a table between the two sums.
SELECT bool_or((SELECT sum(total_bytes) + 0 * try FROM analytics.table_sizes)
     = (SELECT sum(pg_total_relation_size(oid)) + 0 * try FROM pg_class WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('r', 'm'))) AS complete
FROM generate_series(1, 5) AS try;
SELECT index_name, partitions > 5 AS summed FROM analytics.index_usage WHERE table_name = 'user_activity' AND index_name LIKE '%pkey';
SELECT count(*) FROM analytics.slow_queries;
SELECT rollup, dirty_hours FROM analytics.freshness ORDER BY 1;

INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata)
SELECT md5('quality' || i % 2)::uuid, md5('u')::uuid, 'agent_run', '{"credits": "many", "tokens": -1}' FROM generate_series(1, 5) AS i;
SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date);
SELECT metadata_key, ignored_values, workspaces FROM analytics.data_quality WHERE metric_date = (now() AT TIME ZONE 'UTC')::date ORDER BY 1;
INSERT INTO analytics.job_runs (step, first_day, last_day, done, total) VALUES ('backfill', '2026-01-01', '2026-01-03', 1, 3);
SELECT step, first_day, last_day, done, total, percent_done FROM analytics.job_progress;
SELECT analytics.post_restore();
SELECT count(*) FROM analytics.job_progress;

DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.closed_days;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage;
