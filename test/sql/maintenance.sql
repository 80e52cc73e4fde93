-- maintain(): steps that fail, that have nothing to do, that catch up; what is recorded and seen meanwhile.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET client_min_messages = warning;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
INSERT INTO analytics.settings VALUES ('import_grace_hours', '0'); -- what is old goes at once
DELETE FROM analytics.closed_days;
DELETE FROM analytics.sealed_days;
\getenv abs_srcdir PG_ABS_SRCDIR
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle
CREATE PROCEDURE pg_temp.add(workspace text, at timestamptz) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES (md5(workspace)::uuid, md5('u')::uuid, 'login', at) $$;

-- After an outage of days everything is caught up: partitions, rollups, cohorts.
DO $$ BEGIN
    FOR n IN 0..9 LOOP CALL pg_temp.add('maintained', now() - n * interval '1 day'); END LOOP;
END $$;
DO $$ BEGIN
    EXECUTE format('DROP TABLE analytics.user_activity_%s', to_char(now() + interval '3 days', 'YYYYMMDD'));
END $$;
CALL pg_temp.settle();
SELECT count(*) AS days, count(*) FILTER (WHERE NOT is_final) AS provisional, sum(total_events) AS events FROM analytics.daily_metrics WHERE workspace_id = md5('maintained')::uuid;
DELETE FROM analytics.job_runs WHERE step = 'aggregate_cohorts';
CALL analytics.maintain();
SELECT count(*) FROM analytics.user_cohorts WHERE workspace_id = md5('maintained')::uuid AND cohort_period = 'daily';
SELECT count(*) > 0 AS made_again FROM analytics_internal.partition_of((now() + interval '3 days')::date);
SELECT step, outcome FROM analytics.job_runs WHERE step IN ('create_partitions', 'close_buckets') AND rows > 0 GROUP BY 1, 2 ORDER BY 1;

-- With nothing to do nothing is done, and nothing but the run itself is recorded.
SELECT pg_stat_force_next_flush();
DELETE FROM analytics.job_runs WHERE step = 'aggregate_open';
CALL analytics.maintain();
DELETE FROM analytics.job_runs WHERE step NOT IN (SELECT step FROM analytics_internal.steps() WHERE every IS NOT NULL);
CALL analytics.maintain();
SELECT step, outcome, error FROM analytics.job_runs WHERE step NOT IN (SELECT step FROM analytics_internal.steps() WHERE every IS NOT NULL);

-- Its notes do not wait for the disk.
BEGIN;
SELECT analytics_internal.begin_step('maintain') IS NOT NULL AS begun;
SHOW synchronous_commit;
ROLLBACK;
BEGIN;
SELECT analytics_internal.end_step('maintain', now(), 'done');
SHOW synchronous_commit;
ROLLBACK;

-- The open day: not before its time, and only if events have changed.
SELECT count(*) FROM unnest(analytics_internal.due_steps()) AS s WHERE s = 'aggregate_open';
UPDATE analytics.job_runs SET started_at = started_at - interval '16 minutes' WHERE step = 'aggregate_open';
SELECT count(*) FROM unnest(analytics_internal.due_steps()) AS s WHERE s = 'aggregate_open';
CALL pg_temp.add('maintained', now());
SELECT pg_stat_force_next_flush();
SELECT count(*) FROM unnest(analytics_internal.due_steps()) AS s WHERE s = 'aggregate_open';
CALL analytics.maintain();
SELECT total_events, is_final FROM analytics.daily_metrics WHERE workspace_id = md5('maintained')::uuid ORDER BY metric_date DESC LIMIT 1;

-- One step fails by nobody's fault: it says why, the others run, and the next run makes good for it.
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disturbed' USING ERRCODE = 'io_error'; END $$;
CREATE TRIGGER fail BEFORE DELETE ON analytics.dirty_hours FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.fail();
CALL pg_temp.add('maintained', now() - interval '3 days');
DELETE FROM analytics.job_runs WHERE step IN ('refresh_views', 'analyze', 'maintain');
CALL analytics.maintain();
SELECT step, outcome, error FROM analytics.job_runs WHERE step IN ('repair_buckets', 'refresh_views', 'analyze', 'maintain') ORDER BY started_at;
SELECT status, detail FROM analytics.health() WHERE check_name = 'failed_steps';
DROP TRIGGER fail ON analytics.dirty_hours;
CALL analytics.maintain();
SELECT step, outcome, rows FROM analytics.job_runs WHERE step IN ('repair_buckets') ORDER BY started_at DESC LIMIT 1;
SELECT total_events FROM analytics.daily_metrics WHERE workspace_id = md5('maintained')::uuid AND metric_date = (now() - interval '3 days')::date;
SELECT status FROM analytics.health() WHERE check_name = 'failed_steps';

-- Many workspaces with late events at once, as after an import: done by day, with the same result.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (md5('late 1')::uuid, 'Pacific/Kiritimati'), (md5('late 2')::uuid, 'America/Los_Angeles');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT md5('late ' || i % 20)::uuid, md5('u' || i)::uuid, 'login', date_trunc('day', now()) - interval '5 days' + i * interval '30 minutes' FROM generate_series(0, 95) AS i;
SELECT count(DISTINCT workspace_id) FROM analytics.dirty_hours;
SELECT analytics_internal.enqueue_repairs() \g /dev/null
SELECT analytics_internal.repair_next(max(metric_hour)::date) = count(DISTINCT (workspace_id, metric_hour)) AS a_whole_day FROM analytics.dirty_hours WHERE metric_hour >= (SELECT date_trunc('day', max(metric_hour)) FROM analytics.dirty_hours);
CALL pg_temp.settle();
SELECT * FROM
    (SELECT workspace_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS metric_date, count(*) AS n FROM analytics.user_activity GROUP BY 1, 2) AS e
    FULL JOIN (SELECT workspace_id, metric_date, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, metric_date)
WHERE e.n IS DISTINCT FROM d.n;
-- The counts that cleanup relies on follow.
SELECT * FROM
    (SELECT workspace_id, (created_at AT TIME ZONE 'UTC')::date AS event_day, count(*) AS events FROM analytics.user_activity
     WHERE created_at < (SELECT date_trunc('day', closed_until) FROM analytics.watermark) GROUP BY 1, 2) AS e
    FULL JOIN (SELECT workspace_id, event_day, events FROM analytics.closed_days) AS c USING (workspace_id, event_day)
WHERE COALESCE(e.events, 0) IS DISTINCT FROM c.events;

-- A new day's counts of users are right at once; when several days have changed, those of later days are written once.
CREATE TEMP TABLE change (metric_date date, old bigint, new bigint);
CREATE FUNCTION pg_temp.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO change VALUES (NEW.metric_date, OLD.total_users, NEW.total_users); RETURN NULL; END $$;
CREATE TRIGGER note_change AFTER UPDATE ON analytics.daily_metrics FOR EACH ROW
    WHEN (OLD.total_users <> NEW.total_users) EXECUTE FUNCTION pg_temp.note_change();
CREATE PROCEDURE pg_temp.add_new_users(n int) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT md5('counted')::uuid, md5(d || ' of ' || n || ',' || i)::uuid, 'login', date_trunc('day', now()) - d * interval '1 day'
FROM generate_series(2, 9) AS d, generate_series(1, n) AS i $$;
CALL pg_temp.add_new_users(1);
CALL pg_temp.settle();
SELECT count(*), sum(total_users) FROM analytics.daily_metrics WHERE workspace_id = md5('counted')::uuid;
TRUNCATE change;
CALL pg_temp.add_new_users(2);
SELECT analytics_internal.enqueue_repairs() \g /dev/null
SELECT analytics_internal.repair_next(), analytics_internal.repair_next();
SELECT now()::date - metric_date AS put_off FROM analytics.pending_buckets WHERE kind = 'totals';
CALL pg_temp.settle();
SELECT now()::date - metric_date AS age, total_users FROM analytics.daily_metrics WHERE workspace_id = md5('counted')::uuid ORDER BY 1;
SELECT max(n) <= 2 AS own_repair_and_once_more FROM (SELECT count(*) AS n FROM change GROUP BY metric_date) AS c;
SELECT count(*) FROM analytics.pending_buckets WHERE kind = 'totals';
TRUNCATE change;
CALL pg_temp.add('counted for the first time', now() - interval '2 days');
SELECT analytics.aggregate_daily_metrics((now() - interval '2 days')::date, md5('counted for the first time')::uuid);
SELECT total_users, (SELECT count(*) FROM change) AS updates FROM analytics.daily_metrics WHERE workspace_id = md5('counted for the first time')::uuid;
DROP TRIGGER note_change ON analytics.daily_metrics;
CALL pg_temp.settle();

-- The scheduled functions alone: partitions, late and provisional days. In three calls, as closing takes three transactions.
UPDATE analytics.daily_metrics SET is_final = false, total_events = 0 WHERE metric_date = (now() - interval '2 days')::date;
UPDATE analytics.hourly_metrics SET is_final = false, active_users = 0 WHERE metric_hour = (SELECT max(metric_hour) FROM analytics.hourly_metrics WHERE metric_hour < now() - interval '2 days');
CALL pg_temp.add('maintained', now() - interval '7 days');
DO $$ BEGIN
    EXECUTE format('DROP TABLE analytics.user_activity_%s', to_char(now() + interval '3 days', 'YYYYMMDD'));
END $$;
SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1) > 0 AS written;
SELECT count(*) AS wrong FROM
    (SELECT workspace_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS metric_date, count(*) AS n FROM analytics.user_activity GROUP BY 1, 2) AS e
    FULL JOIN (SELECT workspace_id, metric_date, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, metric_date)
WHERE e.n IS DISTINCT FROM d.n AND metric_date < CURRENT_DATE - 1;
SELECT count(*) AS unfinished FROM analytics.hourly_metrics WHERE NOT is_final AND metric_hour < now() - interval '2 hours';
SELECT count(*) > 0 AS made_again FROM analytics_internal.partition_of((now() + interval '3 days')::date);
-- Not at all where the setting says so; never for one workspace.
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
CALL pg_temp.add('maintained', now() - interval '7 days');
SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1) > 0 AS written;
DELETE FROM analytics.settings WHERE name = 'catch_up_seconds';
SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1, md5('maintained')::uuid);
SELECT count(*) AS dirty FROM analytics.dirty_hours;
-- A failure is a warning: what was asked for is done.
CREATE TRIGGER fail BEFORE DELETE ON analytics.dirty_hours FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.fail();
SELECT analytics.aggregate_hourly_metrics(now() - interval '1 day') IS NOT NULL AS written;
DROP TRIGGER fail ON analytics.dirty_hours;
SELECT note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
SELECT count(*) AS dirty FROM analytics.dirty_hours;

-- Events of other ages: closing jumps over the days without events, also of zones, and over none with rollups alone.
DELETE FROM analytics.watermark;
DELETE FROM analytics.job_runs;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (md5('ancient')::uuid, 'Pacific/Kiritimati');
CALL pg_temp.add('ancient', '0001-01-01 12:00');
CALL pg_temp.add('ancient', '1980-01-01 12:00');
CALL pg_temp.add('ancient', '2099-01-01 12:00');
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, total_events, is_final) VALUES (md5('ancient')::uuid, '1990-01-01', 1, false);
-- Views and cohorts of two thousand years take seconds: not due.
INSERT INTO analytics.job_runs (step, outcome) VALUES ('aggregate_cohorts', 'done'), ('refresh_views', 'done');
CALL pg_temp.settle();
SELECT max(done) < 60 AS few_days FROM analytics.job_runs WHERE step = 'close_buckets';
SELECT metric_date, total_events, is_final FROM analytics.daily_metrics WHERE workspace_id = md5('ancient')::uuid ORDER BY 1;
DELETE FROM analytics.users WHERE workspace_id = md5('ancient')::uuid;
DELETE FROM analytics.daily_users WHERE workspace_id = md5('ancient')::uuid;

-- The clock was a year ahead: what was closed then is closed again in its time, steps are due, nobody waits a year.
DELETE FROM analytics.job_runs;
CALL pg_temp.add('ahead', now());
CALL analytics.maintain();
UPDATE analytics.watermark SET marked_until = marked_until + interval '1 year', closed_until = closed_until + interval '1 year';
UPDATE analytics.job_runs SET started_at = started_at + interval '1 year', finished_at = finished_at + interval '1 year';
UPDATE analytics.daily_metrics SET is_final = true WHERE workspace_id = md5('ahead')::uuid;
UPDATE analytics.closed_days SET counted_at = counted_at + interval '1 year';
INSERT INTO analytics.pending_buckets (workspace_id, kind, attempts, metric_date, day_start, day_end, error, last_failed_at, next_attempt_at)
VALUES (md5('ahead')::uuid, 'day', 1, '2020-01-01', '2020-01-01', '2020-01-02', 'x', now() + interval '1 year', now() + interval '1 year');
INSERT INTO analytics.alert_rule_states (workspace_id, alert_rule_id, state, since, last_notified_at)
VALUES (md5('ahead')::uuid, md5('rule')::uuid, 'pending', now() + interval '1 year', now() + interval '1 year');
INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message, next_attempt_at)
VALUES (md5('ahead')::uuid, 'verification', 'x', 'email', '{}', now() + interval '1 year');
SELECT status, detail LIKE '%up to 36_ days%' AS told, hint FROM analytics.health() WHERE check_name = 'clock';
SET client_min_messages = error; -- the warning counts the days
CALL analytics.maintain();
SET client_min_messages = warning;
SELECT marked_until <= now() AS marked, closed_until <= now() AS closed FROM analytics.watermark;
SELECT is_final FROM analytics.daily_metrics WHERE workspace_id = md5('ahead')::uuid AND metric_date = (now() AT TIME ZONE 'UTC')::date;
SELECT count(*) AS later FROM analytics.job_runs WHERE started_at > clock_timestamp() OR finished_at > clock_timestamp();
SELECT string_agg(DISTINCT step, ' ' ORDER BY step) AS steps FROM analytics.job_runs WHERE step IN ('mend_clock', 'refresh_views', 'cleanup', 'aggregate_open', 'aggregate_cohorts');
SELECT count(*) AS later FROM analytics.closed_days WHERE counted_at > now();
SELECT count(*) AS later FROM analytics.pending_buckets WHERE last_failed_at > now() OR next_attempt_at > now();
SELECT count(*) AS later FROM analytics.alert_rule_states WHERE since > now() OR last_notified_at > now();
SELECT count(*) AS later FROM analytics.notification_outbox WHERE next_attempt_at > now();
SELECT status, detail LIKE '%the clock has gone back%' AS told, hint FROM analytics.health() WHERE check_name = 'clock';
DELETE FROM analytics.job_runs WHERE step = 'mend_clock';
SELECT status, detail, hint FROM analytics.health() WHERE check_name = 'clock';
-- Where nobody calls maintain(), the scheduled statements do it.
UPDATE analytics.watermark SET marked_until = marked_until + interval '1 year', closed_until = closed_until + interval '1 year';
SET client_min_messages = error;
SELECT count(*) FROM analytics.aggregate_daily_metrics(CURRENT_DATE);
SET client_min_messages = warning;
SELECT closed_until <= now() AS closed FROM analytics.watermark;
SELECT rows, outcome FROM analytics.job_runs WHERE step = 'mend_clock';
DELETE FROM analytics.pending_buckets;
DELETE FROM analytics.alert_rule_states;
DELETE FROM analytics.notification_outbox;

-- Retention of identities: nobody is known any longer, nothing is counted otherwise.
INSERT INTO analytics.users (workspace_id, user_id, user_number, first_date, last_date, first_seen, last_seen)
SELECT md5('identities')::uuid, md5('u' || i)::uuid, i, CURRENT_DATE - 400, CURRENT_DATE - i, now() - interval '400 days', now() - i * interval '1 day' FROM unnest('{1,91,100,300,399}'::int[]) AS i;
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('identities', 200);
SELECT rows_deleted FROM analytics.cleanup_old_data() WHERE table_name = 'identities';
SELECT user_number, user_id = md5('u' || user_number)::uuid AS is_known, is_forgotten FROM analytics.users WHERE workspace_id = md5('identities')::uuid ORDER BY 1;
-- Not as long as events may name them, which is said.
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('user_activity', NULL);
SELECT note FROM analytics.cleanup_old_data() WHERE table_name = 'identities';
DELETE FROM analytics.retention_policies WHERE table_name = 'user_activity';
UPDATE analytics.retention_policies SET keep_days = 92 WHERE table_name = 'identities';
UPDATE analytics.retention_policies SET keep_days = 30 WHERE table_name = 'identities';
-- As long as events name him, a user keeps his number.
SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'identities';
SELECT user_number FROM analytics.users WHERE workspace_id = md5('identities')::uuid AND NOT is_forgotten ORDER BY 1;

-- An archive function that fails keeps its partition.
CREATE FUNCTION public.refuse(partition regclass) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$;
INSERT INTO analytics.retention_policies VALUES ('user_activity', 90, 'public.refuse');
SELECT analytics_internal.create_partition(b.name, b.from_time, b.to_time)
FROM (VALUES (DATE '2024-01-01'), ('2024-01-02')) AS d (day), analytics_internal.partition_bounds(d.day, 'day') AS b;
CALL pg_temp.add('archived', '2024-01-01 12:00');
SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
DROP FUNCTION public.refuse(regclass);
DELETE FROM analytics.retention_policies WHERE table_name = 'user_activity';
SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity';
SELECT total_events, is_final FROM analytics.daily_metrics WHERE workspace_id = md5('archived')::uuid;

DELETE FROM analytics.retention_policies;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.settings WHERE name = 'import_grace_hours';
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.workspace_settings WHERE workspace_id IN (md5('late 1')::uuid, md5('late 2')::uuid, md5('ancient')::uuid);
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.closed_days;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_users, analytics.users, analytics.user_cohorts;
