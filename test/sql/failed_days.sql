-- A workspace whose days cannot be aggregated keeps nobody else from closing, repair and cleanup; it is tried again
-- after a while, or when an operator says so.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
INSERT INTO analytics.settings VALUES ('import_grace_hours', '0'); -- what is old goes at once
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.sealed_days;
CREATE FUNCTION pg_temp.w(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('failed w' || n)::uuid $$;
CREATE PROCEDURE pg_temp.add(workspaces int[], at timestamptz) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.w(w), md5('u')::uuid, 'login', at FROM unnest(workspaces) AS w $$;
CREATE PROCEDURE pg_temp.close() LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..600 LOOP
        PERFORM analytics_internal.close_next(analytics_internal.next_mark());
        COMMIT;
        EXIT WHEN EXISTS (SELECT FROM analytics.watermark AS w
                          WHERE w.closed_until = w.marked_until AND w.closed_until >= date_trunc('hour', now() - interval '1 minute', 'UTC'));
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
CREATE FUNCTION pg_temp.noon(days_ago int) RETURNS timestamptz LANGUAGE sql STABLE AS
$$ SELECT date_trunc('day', now(), 'UTC') - make_interval(days => days_ago) + interval '12 hours' $$;
CREATE VIEW pg_temp.wrong AS
SELECT substring(f.name FROM '\d+')::int AS workspace, (now()::date - day) AS age, events, total_events
FROM (SELECT workspace_id, created_at::date AS day, count(*) AS events FROM analytics.user_activity GROUP BY 1, 2) AS e
FULL JOIN (SELECT workspace_id, metric_date AS day, total_events FROM analytics.daily_metrics) AS d USING (workspace_id, day)
JOIN (SELECT pg_temp.w(n) AS workspace_id, 'w' || n AS name FROM generate_series(1, 20) AS n) AS f USING (workspace_id)
WHERE events IS DISTINCT FROM total_events AND day < now()::date AND NOT analytics_internal.is_sealed(workspace_id, day::timestamp, (day + 1)::timestamp);
CREATE VIEW pg_temp.failures AS
SELECT workspace_id = pg_temp.w(3) AS is_it, now()::date - metric_date AS age, attempts, next_attempt_at - last_failed_at AS wait, left(error, 5) AS sqlstate
FROM analytics.pending_buckets WHERE attempts > 0 ORDER BY metric_date;

-- The first failure: the events of many workspaces are repaired at once, then one by one up to the one to blame.
DO $$ BEGIN FOR d IN 2..5 LOOP CALL pg_temp.add('{1,2,3,4,5,6,7,8,9,10,11,12}', pg_temp.noon(d)); END LOOP; END $$;
CALL pg_temp.close();
SELECT * FROM pg_temp.wrong;
ALTER TABLE analytics.daily_metrics ADD CONSTRAINT disturbed CHECK (workspace_id <> md5('failed w3')::uuid) NOT VALID;
CALL pg_temp.add('{1,2,3,4,5,6,7,8,9,10,11,12}', pg_temp.noon(2));
CALL pg_temp.add(ARRAY[1, 3], pg_temp.noon(4));
SET client_min_messages = error; -- the warning names the workspace
CALL analytics.maintain();
RESET client_min_messages;
SELECT * FROM pg_temp.wrong ORDER BY age;
SELECT * FROM pg_temp.failures;
SELECT outcome, left(error, 60) AS error FROM analytics.job_runs WHERE step = 'repair_buckets';
SELECT status, detail ~ ('^2 days of workspaces could not be aggregated: workspace ' || pg_temp.w(3) || ', .*: 23514: .*\(attempts: 1, next at .*\); workspace') AS told, hint
FROM analytics.health() WHERE check_name = 'failed_days';
SELECT status FROM analytics.health() WHERE check_name = 'failed_steps';
SELECT DISTINCT dirty_hours, failed_days FROM analytics.freshness;

-- Not again before its time; then after twice the time, up to a day; others meanwhile.
UPDATE analytics.pending_buckets SET next_attempt_at = now() + interval '1 hour' WHERE attempts > 0;
CALL analytics.maintain();
SELECT max(attempts) FROM analytics.pending_buckets WHERE attempts > 0;
UPDATE analytics.pending_buckets SET attempts = 30 WHERE attempts > 0 AND metric_date = pg_temp.noon(4)::date;
SELECT analytics.retry_failed_days(pg_temp.w(1)), analytics.retry_failed_days();
CALL pg_temp.add(ARRAY[1, 2], pg_temp.noon(2));
SET client_min_messages = error;
CALL analytics.maintain();
RESET client_min_messages;
SELECT * FROM pg_temp.failures;
SELECT * FROM pg_temp.wrong ORDER BY age;

-- Closing goes on without the workspace, hours too, and repair makes good for it. A day whose rows stay as they are is
-- not written, so nothing disturbs it.
DELETE FROM analytics.pending_buckets WHERE attempts > 0;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.watermark;
ALTER TABLE analytics.hourly_metrics ADD CONSTRAINT disturbed CHECK (workspace_id <> md5('failed w4')::uuid) NOT VALID;
DELETE FROM analytics.hourly_metrics;
CALL pg_temp.add('{1,2,3,4,5,6,7,8,9,10,11,12}', pg_temp.noon(3));
CALL pg_temp.close();
SELECT workspace, age FROM pg_temp.wrong ORDER BY age;
SELECT workspace_id = pg_temp.w(3) AS day_failed, count(*), max(attempts) FROM analytics.pending_buckets WHERE attempts > 0 GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM analytics.hourly_metrics WHERE is_final;
ALTER TABLE analytics.hourly_metrics DROP CONSTRAINT disturbed;
SELECT analytics.retry_failed_days(pg_temp.w(4));
CALL analytics.maintain();
SELECT workspace_id = pg_temp.w(3) AS day_failed, count(*) FROM analytics.pending_buckets WHERE attempts > 0 GROUP BY 1;
SELECT count(*) FROM analytics.hourly_metrics WHERE is_final;

-- Events of a failed day are kept, others expire; cleanup is due again when the day is mended.
SELECT analytics.create_partitions(pg_temp.noon(d)::date, pg_temp.noon(d)::date) FROM unnest('{100, 105}'::int[]) AS d;
CALL pg_temp.add(ARRAY[1, 2], pg_temp.noon(105));
CALL pg_temp.add(ARRAY[1, 3], pg_temp.noon(100));
CALL pg_temp.add(ARRAY[1, 3], pg_temp.noon(110));
DELETE FROM analytics.job_runs WHERE step = 'cleanup';
SET client_min_messages = error;
CALL analytics.maintain();
RESET client_min_messages;
SELECT rows, detail FROM analytics.job_runs WHERE step = 'cleanup';
SELECT now()::date - created_at::date AS age, count(*) FROM analytics.user_activity WHERE created_at < now() - interval '90 days' GROUP BY 1 ORDER BY 1;
UPDATE analytics.pending_buckets SET next_attempt_at = now() + interval '1 hour' WHERE attempts > 0;
-- What the step has to say is for people: nothing is decided by its words.
UPDATE analytics.job_runs SET detail = 'other words' WHERE step = 'cleanup';
SELECT 'cleanup' = ANY (analytics_internal.due_steps()) AS is_due;
ALTER TABLE analytics.daily_metrics DROP CONSTRAINT disturbed;
SELECT analytics.retry_failed_days() > 0 AS retried;
SELECT 'cleanup' = ANY (analytics_internal.due_steps()) AS is_due;
CALL analytics.maintain();
SELECT count(*) FROM analytics.user_activity WHERE created_at < now() - interval '90 days';
SELECT now()::date - metric_date AS age, count(*), sum(total_events) FROM analytics.daily_metrics WHERE metric_date < now()::date - 90 GROUP BY 1 ORDER BY 1;
SELECT 'cleanup' = ANY (analytics_internal.due_steps()) AS is_due;
SELECT count(*) FROM analytics.pending_buckets WHERE attempts > 0;
SELECT count(*) FROM analytics.dirty_hours;
SELECT * FROM pg_temp.wrong;
SELECT status FROM analytics.health() WHERE check_name IN ('failed_days', 'failed_steps');

-- A backfill that mends a day forgets its failure.
ALTER TABLE analytics.daily_metrics ADD CONSTRAINT disturbed CHECK (workspace_id <> md5('failed w3')::uuid) NOT VALID;
CALL pg_temp.add(ARRAY[3], pg_temp.noon(3));
SET client_min_messages = error;
CALL analytics.maintain();
RESET client_min_messages;
SELECT count(*) FROM analytics.pending_buckets WHERE attempts > 0;
ALTER TABLE analytics.daily_metrics DROP CONSTRAINT disturbed;
CALL analytics.backfill(pg_temp.noon(3)::date, pg_temp.noon(3)::date);
SELECT count(*) FROM analytics.pending_buckets WHERE attempts > 0;

DELETE FROM analytics.settings WHERE name = 'import_grace_hours';
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.closed_days;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_users, analytics.users, analytics.user_cohorts;
