-- plain settings only: plans are shown
-- Years of history have few partitions, so that PostgreSQL's default settings suffice; retention, late events and
-- maintenance know them. Everything is dated by now().
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET client_min_messages = error; -- what is older than the retention is warned of
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users;
\getenv abs_srcdir PG_ABS_SRCDIR
\set drop_old_partitions :abs_srcdir '/sql/include/drop_old_partitions.sql'
-- The days of other tests have partitions too.
\i :drop_old_partitions
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.sealed_days;
INSERT INTO analytics.settings VALUES ('import_grace_hours', '0');
CREATE FUNCTION pg_temp.day(age int) RETURNS date LANGUAGE sql STABLE AS $$ SELECT (now() AT TIME ZONE 'UTC')::date - age $$;
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle

-- An event every twentieth day of 30 years, the newest first, waits in the default partition; half of them of another workspace.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT md5('history w' || n % 2)::uuid, md5('u' || n % 9)::uuid, 'login', pg_temp.day(n) + interval '12 hours' FROM generate_series(99, 10957, 20) AS n;
SELECT analytics.create_partitions(pg_temp.day(10957), pg_temp.day(95)) BETWEEN 63 AND 110 AS made;
SELECT analytics.create_partitions(pg_temp.day(10957), pg_temp.day(95));
SELECT count(*) FROM analytics.user_activity_default;
SELECT count(*) AS misplaced FROM analytics.user_activity AS e
LEFT JOIN analytics_internal.partitions() AS p ON p.relation = e.tableoid WHERE (e.created_at >= p.from_time AND e.created_at < p.to_time) IS NOT TRUE;
SELECT to_time - from_time > interval '300 days' AS year, to_time - from_time BETWEEN interval '28 days' AND interval '31 days' AS month,
       CASE WHEN to_time - from_time > interval '300 days' THEN count(*) BETWEEN 27 AND 28
            WHEN to_time - from_time >= interval '28 days' THEN count(*) BETWEEN 32 AND 45
            ELSE count(*) < 50 END AS as_many_as_expected,
       bool_and(CASE WHEN to_time - from_time > interval '300 days' THEN to_time <= now() - interval '3 years'
                     WHEN to_time - from_time >= interval '28 days' THEN to_time <= now() - interval '100 days' ELSE true END) AS old_enough
FROM analytics_internal.partitions() GROUP BY 1, 2, to_time - from_time > interval '300 days', to_time - from_time >= interval '28 days' ORDER BY 1, 2;
-- Far less than the 64 locks for each of 100 connections of the default settings, for a query that rules out nothing.
BEGIN;
SELECT count(*) FROM analytics.user_activity;
SELECT count(*) < 400 AS few FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
-- Nor does indexing or analyzing take more.
BEGIN;
SELECT built > 180 AS built FROM analytics_internal.index_closed_partitions();
SELECT count(*) < 1200 AS few FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
BEGIN;
SELECT count(*) FROM analytics.user_activity WHERE user_id = md5('u1')::uuid;
SELECT count(*) < 700 AS few FROM pg_locks WHERE pid = pg_backend_pid();
COMMIT;
-- A day is found by the index by time, in a year as in a month.
SET enable_seqscan = off;
CREATE FUNCTION pg_temp.reads(age int) RETURNS TABLE (plan text) LANGUAGE plpgsql AS $$
BEGIN
    FOR plan IN EXECUTE format('EXPLAIN (COSTS OFF) SELECT * FROM analytics.user_activity WHERE created_at >= %L AND created_at < %L', pg_temp.day(age), pg_temp.day(age - 1)) LOOP
        IF plan ~ 'user_activity_' THEN
            RETURN QUERY SELECT regexp_replace(plan, '\d{4,8}', '<bounds>', 'g');
        END IF;
    END LOOP;
END $$;
SELECT * FROM pg_temp.reads(6000);
SELECT * FROM pg_temp.reads(600);
RESET enable_seqscan;

-- Closed like any other; late events and deletions, also of a day that had none.
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('user_activity', NULL);
CREATE VIEW pg_temp.wrong AS
SELECT pg_temp.day(0) - COALESCE(e.day, d.day) AS age, e.events, d.total_events
FROM (SELECT workspace_id, created_at::date AS day, count(*) AS events FROM analytics.user_activity GROUP BY 1, 2) AS e
FULL JOIN (SELECT workspace_id, metric_date AS day, total_events FROM analytics.daily_metrics) AS d USING (workspace_id, day)
WHERE e.events IS DISTINCT FROM d.total_events AND NOT analytics_internal.is_sealed(workspace_id, day::timestamp, (day + 1)::timestamp);
-- The closing of years is left out: what closes the last of them closes all.
INSERT INTO analytics.watermark (marked_until, marked_by, closed_until) VALUES (pg_temp.day(500), '3', pg_temp.day(500));
CALL analytics.backfill(pg_temp.day(4019), pg_temp.day(3999));
CALL pg_temp.settle();
SELECT count(*) FROM pg_temp.wrong WHERE age <= 500 OR age BETWEEN 3999 AND 4019;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT md5('history w0')::uuid, md5('late')::uuid, 'login', pg_temp.day(age) + interval '1 hour' FROM unnest('{4002,4003,4004,302,303,20}'::int[]) AS age;
DELETE FROM analytics.user_activity WHERE created_at::date = pg_temp.day(4019);
CALL pg_temp.settle();
SELECT count(*) FROM pg_temp.wrong WHERE age <= 500 OR age BETWEEN 3999 AND 4019;
SELECT pg_temp.day(0) - metric_date AS age, total_events FROM analytics.daily_metrics WHERE metric_date BETWEEN pg_temp.day(4019) AND pg_temp.day(3998) ORDER BY 1;

-- Retention drops whole years and months and trims the one that the limit lies in, to the second.
DELETE FROM analytics.user_activity WHERE created_at < pg_temp.day(1300);
UPDATE analytics.retention_policies SET keep_days = 400;
SELECT count(*) AS expired FROM analytics.user_activity WHERE created_at < now() - interval '400 days' \gset
SELECT count(*) AS months_before FROM analytics_internal.partitions() WHERE to_time <= now() - interval '400 days' \gset
SELECT :expired > 30 AS some, :months_before > 20 AS partitions;
-- An autovacuum of one of many partitions gives way to who waits for the lock; the cleanup would wait for nobody.
BEGIN;
LOCK TABLE analytics.user_activity;
SELECT rows_deleted = :expired AS exact, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
COMMIT;
SELECT count(*) FROM analytics.user_activity WHERE created_at < now() - interval '401 days';
SELECT count(*) AS left_over FROM analytics_internal.partitions() WHERE to_time <= now() - interval '400 days';
SELECT count(*) FROM analytics_internal.partitions() WHERE from_time < now() - interval '400 days';
SELECT sum(events) = :expired AS sealed FROM analytics.sealed_days;
SELECT count(*) FROM pg_temp.wrong WHERE age <= 500;

-- A partition that the owner attached, of another name and another schema.
CREATE TABLE public.events_of_2015 (LIKE analytics.user_activity INCLUDING ALL);
INSERT INTO public.events_of_2015 (workspace_id, user_id, event_type, created_at)
SELECT md5('history own')::uuid, md5('u' || n)::uuid, 'login', TIMESTAMPTZ '2015-02-01 10:00Z' + n * interval '1 hour' FROM generate_series(0, 29) AS n;
ALTER TABLE analytics.user_activity ATTACH PARTITION public.events_of_2015 FOR VALUES FROM ('2015-01-01Z') TO ('2015-07-01Z');
SELECT analytics.create_partitions('2015-01-01', '2015-06-30');
BEGIN;
LOCK TABLE analytics.user_activity;
SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity'; -- aggregated before
COMMIT;
SELECT metric_date, total_events FROM analytics.daily_metrics WHERE workspace_id = md5('history own')::uuid ORDER BY 1;
SELECT to_regclass('public.events_of_2015') IS NULL AS gone;

DELETE FROM analytics.retention_policies;
DELETE FROM analytics.settings WHERE name = 'import_grace_hours';
\i :drop_old_partitions
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.job_runs;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.daily_users, analytics.daily_user_revenue, analytics.users, analytics.user_cohorts;
