-- Late changes, closing, repair, retention. Everything is dated by now(): outputs are counts and comparisons.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
INSERT INTO analytics.settings VALUES ('import_grace_hours', '0'); -- what is old goes at once
CREATE FUNCTION pg_temp.w(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('late w' || n)::uuid $$;
CREATE FUNCTION pg_temp.today() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT date_trunc('day', now(), 'UTC') $$;
CREATE PROCEDURE pg_temp.add(workspace int, at timestamptz, n int DEFAULT 1) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.w(workspace), md5('u' || i)::uuid, 'login', at FROM generate_series(1, n) AS i $$;
-- Every rollup equals a count of the events: nothing is listed. What is sealed keeps its number.
CREATE VIEW pg_temp.wrong AS
SELECT workspace_id, day AS bucket, events, total_events
FROM (SELECT workspace_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS day, count(*) AS events
      FROM analytics.user_activity GROUP BY 1, 2) AS e
FULL JOIN (SELECT workspace_id, metric_date AS day, total_events FROM analytics.daily_metrics) AS d USING (workspace_id, day)
WHERE events IS DISTINCT FROM total_events
  AND NOT analytics_internal.is_sealed(workspace_id, day::timestamp, (day + 1)::timestamp);

\getenv abs_srcdir PG_ABS_SRCDIR
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle
-- Of other tests.
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;

-- Nothing is noted before the first mark.
CALL pg_temp.add(1, pg_temp.today() - interval '3 days');
SELECT count(*) FROM analytics.dirty_hours;

-- Three transactions; one transaction does not skip a phase.
BEGIN;
SELECT analytics_internal.advance_watermark(pg_temp.today());
SELECT analytics_internal.advance_watermark(pg_temp.today());
COMMIT;
BEGIN;
SELECT analytics_internal.advance_watermark(pg_temp.today());
SELECT analytics_internal.advance_watermark(pg_temp.today());
COMMIT;
DO $$
DECLARE
    state text := 'waiting';
BEGIN
    WHILE state = 'waiting' LOOP
        state := analytics_internal.advance_watermark(pg_temp.today());
        PERFORM pg_sleep(0.05) WHERE state = 'waiting';
    END LOOP;
    RAISE NOTICE '%', state;
END
$$;
CALL pg_temp.settle();
SELECT closed_until >= pg_temp.today() AS closed FROM analytics.watermark;
SELECT * FROM pg_temp.wrong;
SELECT count(*) FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w(1) AND is_final;

-- Insert, update, delete, COPY and moves between days, each noted once per statement and hour.
CALL pg_temp.add(1, pg_temp.today() - interval '2 days', 100);
CALL pg_temp.add(2, pg_temp.today() - interval '2 days');
SELECT 'echo 00000000-0000-0000-0000-0000000000aa,login,' || to_char(pg_temp.today() - interval '2 days', 'YYYY-MM-DD"T00:30Z"') AS program \gset
COPY analytics.user_activity (user_id, event_type, created_at) FROM PROGRAM :'program' WITH (FORMAT csv);
SELECT right(workspace_id::text, 4) = '0000' AS nobody, count(*) FROM analytics.dirty_hours GROUP BY workspace_id ORDER BY workspace_id = pg_temp.w(1), 1;
SELECT count(*) > 0 AS wrong_before FROM pg_temp.wrong;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
UPDATE analytics.user_activity SET created_at = created_at - interval '1 day' WHERE workspace_id = pg_temp.w(2);
SELECT count(DISTINCT metric_hour) FROM analytics.dirty_hours WHERE workspace_id = pg_temp.w(2);
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(1) AND user_id = md5('u7')::uuid;
CALL pg_temp.settle();
SELECT count(*) FROM analytics.dirty_hours;
SELECT * FROM pg_temp.wrong;

-- What replication applies is an event like any other: late, protected and checked; sessions learn of a setting.
SET session_replication_role = replica;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, ip_address, page_path, created_at) VALUES
(pg_temp.w(1), md5('replicated')::uuid, 'login', '203.0.113.77', '/x?token=1', pg_temp.today() - interval '2 days');
SELECT count(*) FROM analytics.dirty_hours;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES (pg_temp.w(1), md5('r')::uuid, 'pageview', pg_temp.today());
INSERT INTO analytics.settings VALUES ('currency', 'EUR');
SELECT analytics.setting('currency');
DELETE FROM analytics.settings WHERE name = 'currency';
RESET session_replication_role;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
SELECT ip_address, page_path FROM analytics.user_activity WHERE user_id = md5('replicated')::uuid;
SET session_replication_role = replica;
DELETE FROM analytics.user_activity WHERE user_id = md5('replicated')::uuid;
RESET session_replication_role;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
SELECT t.tgname, t.tgenabled, count(*) > 5 AS on_partitions
FROM pg_trigger AS t WHERE t.tgrelid IN (SELECT relid FROM pg_partition_tree('analytics.user_activity')) AND NOT t.tgisinternal GROUP BY 1, 2 ORDER BY 1;

-- A restore notes nothing.
SET row_security = off;
CALL pg_temp.add(3, pg_temp.today() - interval '2 days');
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(3);
RESET row_security;
SELECT count(*) FROM analytics.dirty_hours;

-- A zone in which an hour belongs to two days.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (pg_temp.w(4), 'Asia/Kolkata');
CALL pg_temp.add(4, pg_temp.today() - interval '2 days' + interval '18:20');
CALL pg_temp.add(4, pg_temp.today() - interval '2 days' + interval '18:40');
CALL pg_temp.settle();
SELECT count(*) FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w(4);
SELECT * FROM pg_temp.wrong;

-- What was done.
SELECT step, outcome, error FROM analytics.job_runs WHERE step <> 'create_partitions' GROUP BY step, outcome, error ORDER BY step;

-- Retention: the default partition and whole partitions go; rollups are right first, exact numbers, sealed.
SELECT analytics.create_partitions(d, d) FROM (SELECT (pg_temp.today() - interval '100 days')::date AS d) AS x;
CALL pg_temp.add(1, pg_temp.today() - interval '100 days', 3);
CALL pg_temp.add(2, pg_temp.today() - interval '90 days 1 second', 5);
CALL pg_temp.add(2, pg_temp.today() - interval '90 days', 7);
CALL pg_temp.add(2, pg_temp.today() - interval '89 days 1 microsecond', 2);
SELECT * FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
SELECT * FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
SELECT count(*) FILTER (WHERE created_at < now() - interval '90 days') AS older, count(*) FILTER (WHERE workspace_id = pg_temp.w(2) AND created_at < now() - interval '80 days') AS younger
FROM analytics.user_activity;
SELECT pg_temp.today()::date - metric_date AS age, total_events FROM analytics.daily_metrics WHERE metric_date < pg_temp.today() - interval '90 days' ORDER BY 1;
SELECT pg_temp.today()::date - event_day AS age, events FROM analytics.sealed_days ORDER BY 1;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;

-- Sealed days are not overwritten; the others of that date are.
\set ON_ERROR_STOP off
DO $$ BEGIN
    PERFORM analytics.aggregate_daily_metrics((pg_temp.today() - interval '100 days')::date, pg_temp.w(1));
EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE '%', SQLERRM; END $$;
DO $$ BEGIN
    PERFORM analytics.aggregate_hourly_metrics(pg_temp.today() - interval '100 days');
EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE NOTICE '%', SQLERRM; END $$;
INSERT INTO analytics.sealed_days VALUES (pg_temp.w(9), '2020-01-01', 1);
SELECT analytics.aggregate_daily_metrics('2020-01-01');
SELECT analytics.aggregate_daily_metrics('2020-01-01', pg_temp.w(9));
SELECT analytics.aggregate_daily_metrics('2020-01-01', pg_temp.w(8));
CALL pg_temp.add(3, pg_temp.today() - interval '100 days', 2);
CALL pg_temp.settle();
SELECT total_events FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w(3);
SELECT sum(total_events) FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w(1) AND metric_date = (pg_temp.today() - interval '100 days')::date;

-- Other policies; an override of a workspace; what is refused.
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('daily_metrics', 50);
INSERT INTO analytics.workspace_retention VALUES (pg_temp.w(3), 'daily_metrics', NULL);
SELECT * FROM analytics.cleanup_old_data() WHERE rows_deleted > 0 ORDER BY 1;
SELECT workspace_id = pg_temp.w(3) AS kept FROM analytics.daily_metrics WHERE metric_date < pg_temp.today() - interval '50 days';
-- Cohorts that are due are computed before, but only where the sets go that they are made of.
DELETE FROM analytics.user_cohorts WHERE workspace_id = pg_temp.w(2);
SELECT count(*) FROM analytics.cleanup_old_data() WHERE note <> '';
SELECT count(*) FROM analytics.user_cohorts WHERE workspace_id = pg_temp.w(2);
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('daily_users', 3000);
SELECT count(*) FROM analytics.cleanup_old_data() WHERE note <> '';
SELECT count(*) > 0 AS computed FROM analytics.user_cohorts WHERE workspace_id = pg_temp.w(2);
DELETE FROM analytics.retention_policies WHERE table_name = 'daily_users';
INSERT INTO analytics.retention_policies VALUES ('webhooks', 1);
INSERT INTO analytics.retention_policies VALUES ('hourly_metrics', 0);
INSERT INTO analytics.retention_policies VALUES ('user_activity', 90, 'no_such_function');
INSERT INTO analytics.workspace_retention VALUES (pg_temp.w(3), 'user_activity', 3);
TABLE analytics.retention_policy_values ORDER BY 1;

-- An archive function may keep the partition.
CREATE FUNCTION public.keep_partition(partition regclass) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN EXECUTE format('ALTER TABLE analytics.user_activity DETACH PARTITION %s', partition); EXECUTE format('ALTER TABLE %s RENAME TO kept_events', partition); END $$;
INSERT INTO analytics.retention_policies VALUES ('user_activity', 90, 'public.keep_partition');
SELECT analytics.create_partitions(d, d) FROM (SELECT (pg_temp.today() - interval '101 days')::date AS d) AS x;
CALL pg_temp.add(1, pg_temp.today() - interval '101 days', 4);
SELECT * FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
SELECT count(*) FROM analytics.kept_events;
DROP TABLE analytics.kept_events;
DROP FUNCTION public.keep_partition(regclass);

-- TRUNCATE.
TRUNCATE analytics.user_activity;
CALL pg_temp.settle();
SELECT count(*) FROM analytics.daily_metrics AS d
WHERE NOT analytics_internal.is_sealed(d.workspace_id, metric_date::timestamp, (metric_date + 1)::timestamp);

-- Errors of the procedures.
BEGIN;
CALL analytics.maintain();
ROLLBACK;
CALL analytics.maintain(NULL);
CALL analytics.backfill('2020-01-02', '2020-01-01');
CALL analytics.backfill(NULL, '2020-01-01');
SELECT analytics.schedule_jobs();

-- Backfill, and again after a break.
INSERT INTO analytics.user_activity (user_id, event_type, created_at) SELECT md5('u')::uuid, 'login', t FROM generate_series(TIMESTAMPTZ '2020-03-01 12:00+00', '2020-03-04', '1 day') AS t;
CALL analytics.backfill('2020-03-01', '2020-03-03');
SELECT outcome, done, total, first_day, last_day FROM analytics.job_runs WHERE step = 'backfill';
SELECT metric_date, total_events, is_final FROM analytics.daily_metrics WHERE metric_date BETWEEN '2020-03-01' AND '2020-03-04' ORDER BY 1;
UPDATE analytics.job_runs SET outcome = 'interrupted', done = 1, detail = 'other words', started_at = started_at - interval '1 second' WHERE step = 'backfill';
DELETE FROM analytics.daily_metrics WHERE metric_date BETWEEN '2020-03-01' AND '2020-03-04';
CALL analytics.backfill('2020-03-01', '2020-03-03');
SELECT outcome, done, total FROM analytics.job_runs WHERE step = 'backfill' ORDER BY started_at;
SELECT metric_date FROM analytics.daily_metrics WHERE metric_date BETWEEN '2020-03-01' AND '2020-03-04' ORDER BY 1;

DO $$ DECLARE p record; BEGIN
    FOR p IN SELECT * FROM analytics_internal.partitions() WHERE from_time < now() - interval '2 days' LOOP
        EXECUTE format('DROP TABLE %s', p.relation);
    END LOOP;
END $$;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.settings WHERE name = 'import_grace_hours';
DELETE FROM analytics.job_runs;
DELETE FROM analytics.retention_policies;
DELETE FROM analytics.workspace_retention;
DELETE FROM analytics.workspace_settings WHERE workspace_id = pg_temp.w(4);
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_users, analytics.users;
