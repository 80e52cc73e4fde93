-- No rollup shrinks because events are missing, and no event is removed that nobody counted: such days are frozen
-- until somebody decides. Everything is dated by now(): outputs are counts and ages in days.
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET timezone = 'UTC';
SET client_min_messages = error; -- warnings name workspaces and days
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.sealed_days;
CREATE FUNCTION pg_temp.w(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('missing w' || n)::uuid $$;
CREATE FUNCTION pg_temp.day(age int) RETURNS date LANGUAGE sql STABLE AS $$ SELECT (now() AT TIME ZONE 'UTC')::date - age $$;
CREATE PROCEDURE pg_temp.add(workspace int, age int, n int, tag text DEFAULT 'u') LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.w(workspace), md5(tag || i)::uuid, 'login', pg_temp.day(age) + i * interval '7 minutes' FROM generate_series(1, n) AS i $$;
CREATE VIEW pg_temp.days AS
SELECT w AS workspace, pg_temp.day(0) - d.metric_date AS age, d.total_events, d.active_users,
       (SELECT count(*) FROM analytics.user_activity AS e WHERE e.workspace_id = d.workspace_id AND e.created_at::date = d.metric_date) AS events,
       s.missing, s.kept_events AS kept
FROM generate_series(1, 9) AS w
JOIN analytics.daily_metrics AS d ON d.workspace_id = pg_temp.w(w)
LEFT JOIN analytics.sealed_days AS s ON (s.workspace_id, s.event_day) = (d.workspace_id, d.metric_date);
CREATE FUNCTION pg_temp.unhealthy() RETURNS TABLE (check_name text, status text, told text) LANGUAGE sql AS $$
SELECT h.check_name, h.status, regexp_replace(h.detail, ': workspace.*| from .* on$', '') FROM analytics.health() AS h
WHERE h.status <> 'ok' AND h.check_name IN ('frozen_days', 'expiring_imports', 'failed_steps') $$;
-- The partition as it is detached and attached by hand.
CREATE PROCEDURE pg_temp.detach(age int) LANGUAGE plpgsql AS $$
BEGIN EXECUTE format('ALTER TABLE analytics.user_activity DETACH PARTITION analytics.user_activity_%s', to_char(pg_temp.day(age), 'YYYYMMDD')); END $$;
CREATE PROCEDURE pg_temp.attach(age int) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE analytics.user_activity ATTACH PARTITION analytics.user_activity_%s FOR VALUES FROM (%L) TO (%L)',
                   to_char(pg_temp.day(age), 'YYYYMMDD'), pg_temp.day(age), pg_temp.day(age - 1));
END $$;
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS TABLE (state text, message text, detail text, hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    detail := regexp_replace(regexp_replace(detail, '[0-9a-f-]{36}', '...'), '\d{4}-\d\d-\d\d', '<day>', 'g');
    RETURN NEXT;
END $$;
\getenv abs_srcdir PG_ABS_SRCDIR
\set drop_old_partitions :abs_srcdir '/sql/include/drop_old_partitions.sql'
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle

INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (pg_temp.w(3), 'Asia/Tokyo', '-infinity');
DO $$ BEGIN
    FOR age IN 10..14 LOOP
        CALL pg_temp.add(1, age, 100);
        CALL pg_temp.add(2, age, 50);
        CALL pg_temp.add(3, age, 200);
    END LOOP;
END $$;
CALL pg_temp.settle();
CREATE TABLE pg_temp.before AS SELECT workspace_id, metric_date, total_events FROM analytics.daily_metrics;
CREATE VIEW pg_temp.shrunk AS
SELECT count(*) FROM pg_temp.before AS b LEFT JOIN analytics.daily_metrics AS d USING (workspace_id, metric_date)
WHERE (d.total_events >= b.total_events) IS NOT TRUE;

-- What is deleted by SQL lowers the numbers: single events, many, those of another day's workspace, all of a day.
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(1) AND created_at::date = pg_temp.day(14) AND user_id IN (md5('u1')::uuid, md5('u2')::uuid);
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(1) AND created_at::date = pg_temp.day(13) AND user_id <> md5('u50')::uuid;
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(2) AND created_at::date = pg_temp.day(14);
UPDATE analytics.user_activity SET workspace_id = pg_temp.w(1) WHERE workspace_id = pg_temp.w(2) AND created_at::date = pg_temp.day(13) AND user_id = md5('u7')::uuid;
UPDATE analytics.user_activity SET created_at = created_at - interval '1 day' WHERE workspace_id = pg_temp.w(2) AND created_at::date = pg_temp.day(12) AND user_id = md5('u8')::uuid;
CALL pg_temp.settle();
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE workspace < 3 AND age >= 12 ORDER BY 1, 2;
SELECT count(*) FROM analytics.sealed_days;
TRUNCATE pg_temp.before;
INSERT INTO pg_temp.before SELECT workspace_id, metric_date, total_events FROM analytics.daily_metrics;

-- A partition is dropped by hand, then a late event comes for one workspace, and deletions of it.
SELECT format('DROP TABLE analytics.user_activity_%s', to_char(pg_temp.day(10), 'YYYYMMDD')) AS drop \gset
:drop;
SELECT * FROM pg_temp.unhealthy();
CALL pg_temp.add(1, 10, 3, 'late');
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(1) AND created_at::date = pg_temp.day(10) AND user_id = md5('late1')::uuid;
CALL pg_temp.settle();
SELECT * FROM pg_temp.days WHERE age = 10 ORDER BY 1;
SELECT * FROM pg_temp.shrunk;
SELECT count(*) AS users FROM analytics.users WHERE workspace_id = pg_temp.w(1);
SELECT * FROM pg_temp.unhealthy();
-- Questions that do not need the frozen day are answered, before it too.
SELECT pg_temp.day(0) - nullif(analytics.raw_events_since(pg_temp.w(1)), '-infinity') AS since;
SELECT (SELECT sum(t.value) FROM analytics.get_trend(pg_temp.w(1), start_date => pg_temp.day(14), end_date => pg_temp.day(11), filter => '{}') AS t) AS before,
       (SELECT sum(t.value) FROM analytics.get_trend(pg_temp.w(1), start_date => pg_temp.day(9), end_date => pg_temp.day(1), filter => '{}') AS t) AS after,
       (SELECT pg_temp.day(0) - min(t.period_start) FROM analytics.get_trend(pg_temp.w(1), filter => '{}') AS t) AS first_by_default;
SELECT r.state, r.detail FROM unnest(ARRAY['get_trend(%L, start_date => %L, end_date => %L, filter => ''{}'')', 'get_stickiness(%L, start_date => %L, end_date => %L, filter => ''{}'')',
    'get_event_retention(%L, ''"login"'', start_date => %L, end_date => date %L - 3, filter => ''{}'')', 'get_funnel(%L, ''["login"]'', start_date => %L, end_date => date %L - 3)']) AS q (question),
    LATERAL pg_temp.refusal('SELECT * FROM analytics.' || format(q.question, pg_temp.w(1), pg_temp.day(14), pg_temp.day(9))) AS r;
SELECT r.state FROM pg_temp.refusal(format('SELECT * FROM analytics.get_funnel(%L, ''["login"]'', start_date => %L, end_date => %L, conversion_window => ''1 hour'')', pg_temp.w(1), pg_temp.day(14), pg_temp.day(12))) AS r;
SELECT outcome, regexp_replace(error, ' .workspace .*', '') AS error FROM analytics.job_runs WHERE step = 'repair_buckets' AND error IS NOT NULL;

-- Every other way: many workspaces at once, backfill(), a watermark deleted, one day asked for by hand.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.w(w), md5('late')::uuid, 'login', pg_temp.day(10) + interval '3 hours' FROM generate_series(1, 12) AS w;
CALL pg_temp.settle();
SELECT workspace, total_events, events, missing > 0 AS is_frozen FROM pg_temp.days WHERE age = 10 ORDER BY 1;
SELECT * FROM pg_temp.shrunk;
CALL pg_temp.detach(11);
CALL analytics.backfill(pg_temp.day(11), pg_temp.day(10));
SELECT outcome, regexp_replace(error, ' .workspace .*', '') AS error FROM analytics.job_runs WHERE step = 'backfill';
SELECT * FROM pg_temp.shrunk;
CALL pg_temp.detach(12);
DELETE FROM analytics.watermark;
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(1) AND created_at::date = pg_temp.day(14) AND user_id = md5('u3')::uuid; -- no loss
UPDATE pg_temp.before SET total_events = total_events - 1 WHERE workspace_id = pg_temp.w(1) AND metric_date = pg_temp.day(14);
CALL pg_temp.settle();
SELECT total_events, missing FROM pg_temp.days WHERE workspace = 1 AND age = 14;
SELECT * FROM pg_temp.shrunk;
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE age IN (11, 12) ORDER BY 1, 2;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
CALL pg_temp.detach(13);
SELECT * FROM pg_temp.refusal(format('SELECT analytics.aggregate_daily_metrics(%L, %L)', pg_temp.day(13), pg_temp.w(2)));
SELECT * FROM pg_temp.refusal(format('SELECT analytics.aggregate_hourly_metrics(%L, %L)', pg_temp.day(13) + interval '1 hour', pg_temp.w(2)));
-- Of all workspaces, those whose events are there are done.
DELETE FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w(4);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES (pg_temp.w(4), md5('u')::uuid, 'login', pg_temp.day(13) + interval '1 hour');
SELECT analytics.aggregate_daily_metrics(pg_temp.day(13)) > 0 AS some;
SELECT analytics.aggregate_hourly_metrics(pg_temp.day(13) + interval '1 hour') > 0 AS some;
SELECT workspace, total_events, events, missing FROM pg_temp.days WHERE age = 13 ORDER BY 1;
SELECT * FROM pg_temp.shrunk;
-- A day in another time zone has events of two UTC days; the one that is there is not missed.
SELECT count(*) FROM analytics.sealed_days WHERE missing > 0 AND event_day = pg_temp.day(14);
DELETE FROM analytics.settings WHERE name = 'catch_up_seconds';

-- Attached again, the days thaw by themselves.
DO $$ BEGIN
    CREATE TABLE pg_temp.meanwhile AS SELECT * FROM analytics.user_activity WHERE created_at::date BETWEEN pg_temp.day(13) AND pg_temp.day(11);
    DELETE FROM analytics.user_activity WHERE created_at::date BETWEEN pg_temp.day(13) AND pg_temp.day(11);
    FOR age IN 11..13 LOOP CALL pg_temp.attach(age); END LOOP;
    INSERT INTO analytics.user_activity SELECT * FROM pg_temp.meanwhile;
END $$;
CALL analytics.backfill(pg_temp.day(13), pg_temp.day(11));
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE age BETWEEN 11 AND 13 AND workspace <> 3 ORDER BY 1, 2;
SELECT * FROM pg_temp.shrunk;

-- Days to come are refused before anything is made.
SELECT * FROM pg_temp.refusal(format('CALL analytics.backfill(%L, %L)', pg_temp.day(2), pg_temp.day(-32)));
SELECT count(*) FROM analytics.pending_buckets WHERE attempts > 0;
SELECT max(to_time)::date - pg_temp.day(0) AS days_with_a_partition FROM analytics_internal.partitions();

-- Somebody decides: one workspace's rollups are made of what is there, the others' stay.
SELECT analytics.settle_day(pg_temp.day(10), 'recount', pg_temp.w(2));
SELECT analytics.settle_day(pg_temp.day(10), 'keep');
CALL pg_temp.settle();
CALL analytics.backfill(pg_temp.day(10), pg_temp.day(10));
SELECT * FROM pg_temp.days WHERE age = 10 AND workspace <= 3 ORDER BY 1;
SELECT * FROM pg_temp.unhealthy();
SELECT analytics.settle_day(NULL, 'keep');
SELECT analytics.settle_day(pg_temp.day(10), NULL);
SELECT analytics.settle_day(pg_temp.day(10), 'forget');

-- Loaded when they were past the retention: cleanup waits, says so, and says how they are kept.
DELETE FROM analytics.job_runs;
CALL pg_temp.add(5, 130, 10);
CALL pg_temp.add(6, 130, 10);
SET client_min_messages = warning;
CALL analytics.backfill(pg_temp.day(130), pg_temp.day(130));
SET client_min_messages = error;
CREATE VIEW pg_temp.cleanup AS
SELECT rows_deleted, regexp_replace(note, 'until [-0-9]* [:0-9]*', 'until ...') AS note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
SELECT * FROM pg_temp.cleanup;
CALL pg_temp.settle();
SELECT * FROM pg_temp.cleanup;
SELECT * FROM pg_temp.unhealthy();
SELECT count(*) FROM analytics.user_activity WHERE created_at::date = pg_temp.day(130);
-- A day later.
UPDATE analytics.closed_days SET grown_at = grown_at - interval '25 hours';
SELECT * FROM pg_temp.cleanup;
SELECT * FROM pg_temp.unhealthy();
SELECT workspace, total_events, events, missing, kept FROM pg_temp.days WHERE age = 130 ORDER BY 1;

-- What comes for a day whose events retention removed is kept, whatever brought it; others' go.
CALL pg_temp.add(5, 130, 4, 'second');
CALL pg_temp.add(7, 130, 5);
CALL analytics.backfill(pg_temp.day(130), pg_temp.day(130));
SELECT outcome, regexp_replace(error, ' .workspace .*', '') AS error FROM analytics.job_runs WHERE step = 'backfill' ORDER BY started_at;
SET row_security = off; -- not noted
CALL pg_temp.add(6, 130, 2, 'restored');
RESET row_security;
INSERT INTO analytics.settings VALUES ('import_grace_hours', '0');
SELECT * FROM pg_temp.cleanup;
SELECT * FROM pg_temp.cleanup;
SELECT * FROM pg_temp.unhealthy();
SELECT workspace, total_events, events, missing, kept FROM pg_temp.days WHERE age = 130 ORDER BY 1;
SELECT analytics.settle_day(pg_temp.day(130), 'keep', pg_temp.w(6));
SELECT analytics.settle_day(pg_temp.day(130), 'recount', pg_temp.w(5));
CALL pg_temp.settle();
SELECT * FROM pg_temp.cleanup;
SELECT workspace, total_events, events, missing, kept FROM pg_temp.days WHERE age = 130 ORDER BY 1;
SELECT * FROM pg_temp.unhealthy();

-- Events that are missing when their time is over need no decision any more.
CALL pg_temp.add(8, 20, 10);
CALL pg_temp.settle();
SELECT format('DROP TABLE analytics.user_activity_%s', to_char(pg_temp.day(20), 'YYYYMMDD')) AS drop \gset
:drop;
CALL analytics.backfill(pg_temp.day(20), pg_temp.day(20));
SELECT * FROM pg_temp.unhealthy();
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('user_activity', 18);
SELECT rows_deleted, note FROM pg_temp.cleanup;
SELECT * FROM pg_temp.unhealthy();
SELECT workspace, total_events, events, missing, kept FROM pg_temp.days WHERE age = 20 ORDER BY 1;

-- Rollups whose events were never counted here, as after an import of rollups alone: the rollup tells how many there
-- were. Closing from the start, a late event, noted deletions, one workspace and all.
DELETE FROM analytics.retention_policies;
DELETE FROM analytics.settings WHERE name = 'import_grace_hours';
TRUNCATE analytics.user_activity;
CALL pg_temp.settle();
DELETE FROM analytics.sealed_days;
DO $$ BEGIN
    FOR w IN 1..3 LOOP
        FOR age IN 3..5 LOOP CALL pg_temp.add(w, age, 100); END LOOP;
    END LOOP;
END $$;
CALL pg_temp.settle();
TRUNCATE pg_temp.before;
INSERT INTO pg_temp.before SELECT workspace_id, metric_date, total_events FROM analytics.daily_metrics WHERE metric_date >= pg_temp.day(5);
SELECT count(*), sum(total_events) FROM pg_temp.before;
CREATE TABLE pg_temp.gone AS SELECT * FROM analytics.user_activity WHERE created_at >= pg_temp.day(5) AND workspace_id <> pg_temp.w(2);
SET row_security = off; -- not noted
DELETE FROM analytics.user_activity AS a USING pg_temp.gone AS g WHERE g.id = a.id AND g.created_at = a.created_at;
RESET row_security;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.watermark;
CALL pg_temp.add(1, 4, 1, 'late');
CALL pg_temp.settle();
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(2) AND user_id = md5('u1')::uuid AND created_at >= pg_temp.day(4); -- no loss
UPDATE pg_temp.before SET total_events = 99 WHERE workspace_id = pg_temp.w(2) AND metric_date > pg_temp.day(5);
CALL pg_temp.add(3, 5, 2, 'late');
CALL pg_temp.settle();
CALL analytics.backfill(pg_temp.day(5), pg_temp.day(3));
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE age <= 5 ORDER BY 1, 2;
SELECT * FROM pg_temp.shrunk;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.closed_days;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
SELECT * FROM pg_temp.refusal(format('SELECT analytics.aggregate_daily_metrics(%L, %L)', pg_temp.day(3), pg_temp.w(3)));
DELETE FROM analytics.settings WHERE name = 'catch_up_seconds';
-- The events are back, or somebody decides.
INSERT INTO analytics.user_activity SELECT * FROM pg_temp.gone WHERE workspace_id = pg_temp.w(1);
CALL analytics.backfill(pg_temp.day(5), pg_temp.day(3));
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE age <= 5 ORDER BY 1, 2;
SELECT analytics.settle_day(pg_temp.day(3), 'recount'), analytics.settle_day(pg_temp.day(5), 'recount');
CALL pg_temp.settle();
CALL analytics.backfill(pg_temp.day(5), pg_temp.day(3));
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE age <= 5 ORDER BY 1, 2;
-- A call for all workspaces reads the day once, and enters what it finds: here events that nobody had counted.
CALL pg_temp.add(1, 8, 20);
CALL pg_temp.add(2, 8, 30);
CALL pg_temp.settle();
CREATE FUNCTION pg_temp.scans(age int) RETURNS bigint LANGUAGE sql VOLATILE AS $$
SELECT s.seq_scan + s.idx_scan FROM pg_stat_xact_user_tables AS s WHERE s.relname = format('user_activity_%s', to_char(pg_temp.day(age), 'YYYYMMDD')) $$;
BEGIN;
SET LOCAL max_parallel_workers_per_gather = 0;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
UPDATE analytics.closed_days SET events = events - 5 WHERE event_day = pg_temp.day(8) AND workspace_id = pg_temp.w(2);
SELECT pg_temp.scans(8) AS before \gset
SELECT analytics.aggregate_daily_metrics(pg_temp.day(8));
SELECT pg_temp.scans(8) - :before AS scans;
SELECT c.events, c.counted_at = now() AS is_new, c.grown_at = now() AS has_grown FROM analytics.closed_days AS c WHERE c.event_day = pg_temp.day(8) ORDER BY 1;
ROLLBACK;
-- All of a day deleted, or all there is, is no loss.
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(2) AND created_at::date = pg_temp.day(4);
CALL pg_temp.settle();
TRUNCATE analytics.user_activity;
CALL pg_temp.settle();
CALL analytics.backfill(pg_temp.day(5), pg_temp.day(3));
SELECT workspace, age, total_events, events, missing FROM pg_temp.days WHERE age <= 5 ORDER BY 1, 2;

\i :drop_old_partitions
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.workspace_settings WHERE workspace_id = pg_temp.w(3);
DELETE FROM analytics.closed_days;
DELETE FROM analytics.job_runs;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.daily_users, analytics.daily_user_revenue, analytics.users, analytics.user_cohorts;
DELETE FROM analytics.workspace_settings WHERE workspace_id = pg_temp.w(3);
