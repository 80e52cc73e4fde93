-- Workspaces take turns: whose events change without end, or on many days, delays nobody else. Idle ones cost nothing.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users, analytics.daily_event_usage;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.pending_buckets;
SELECT count(analytics.create_partitions(now()::date - 40, now()::date - 2)) \g /dev/null
CREATE PROCEDURE pg_temp.add(workspace text, days_ago int) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
VALUES (md5(workspace)::uuid, md5('u')::uuid, 'login', date_trunc('day', now(), 'UTC') - make_interval(days => days_ago) + interval '12 hours') $$;
CREATE FUNCTION pg_temp.total(workspace text, days_ago int) RETURNS bigint LANGUAGE sql AS $$
SELECT total_events FROM analytics.daily_metrics WHERE workspace_id = md5(workspace)::uuid AND metric_date = now()::date - days_ago $$;
CREATE FUNCTION pg_temp.place(workspace text) RETURNS bigint LANGUAGE sql AS $$
SELECT min(p.place) FROM (SELECT workspace_id, row_number() OVER (ORDER BY turn, noted_at, metric_date DESC) AS place FROM analytics.pending_buckets WHERE kind = 'day') AS p
WHERE workspace_id = md5(workspace)::uuid $$;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value)
VALUES (md5('victim')::uuid, 'quiet', 'active_users', 'greater_than', 1000);
CALL pg_temp.add('busy', 1);
CALL pg_temp.add('victim', 4);
CALL pg_temp.settle();

-- A late event of one workspace after each repair: a day is repaired once in a run, and who was noted first comes first.
CREATE TABLE public.repairs (n integer);
CREATE FUNCTION pg_temp.trickle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM gone) THEN
        INSERT INTO public.repairs VALUES (1);
        INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
        VALUES (md5('busy')::uuid, md5('u')::uuid, 'login', date_trunc('day', now(), 'UTC') - interval '1 day' + interval '13 hours');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER trickle AFTER DELETE ON analytics.dirty_hours REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.trickle();
CALL pg_temp.add('busy', 1);
CALL pg_temp.add('victim', 4);
DELETE FROM analytics.job_runs;
CALL analytics.maintain('1 minute');
SELECT pg_temp.total('victim', 4) AS victim, count(*) AS repairs FROM repairs;
-- Alerts do not wait for it.
SELECT step FROM analytics.job_runs WHERE step IN ('evaluate_alerts', 'repair_buckets') ORDER BY started_at;
DROP TRIGGER trickle ON analytics.dirty_hours;
CALL analytics.maintain();
SELECT pg_temp.total('busy', 1) AS busy, count(*) + 2 AS events FROM repairs;

-- Many days of one workspace, and who comes later: next to its first, and in the midst of its backlog.
DO $$ BEGIN FOR d IN 2..31 LOOP CALL pg_temp.add('busy', d); END LOOP; END $$;
CALL pg_temp.add('victim', 4);
SELECT analytics_internal.enqueue_repairs() \g /dev/null
SELECT count(*) AS days, pg_temp.place('busy') AS busy, pg_temp.place('victim') AS victim FROM analytics.pending_buckets WHERE kind = 'day';
SELECT count(analytics_internal.repair_next()) FROM generate_series(1, 10);
CALL pg_temp.add('victim', 7);
CALL pg_temp.add('busy', 32);
SELECT analytics_internal.enqueue_repairs() \g /dev/null
SELECT count(*) AS days, pg_temp.place('busy') AS busy, pg_temp.place('victim') AS victim FROM analytics.pending_buckets WHERE kind = 'day';
-- A turn ends, whoever comes meanwhile.
SELECT max(turn) - min(turn) + 1 = count(*) FILTER (WHERE workspace_id = md5('busy')::uuid) AS one_a_turn FROM analytics.pending_buckets WHERE kind = 'day';
SELECT analytics_internal.repair_all() >= 22 AS all;
SELECT count(*) FROM analytics.pending_buckets WHERE kind = 'day';
SELECT count(*) AS wrong FROM
    (SELECT workspace_id, created_at::date AS metric_date, count(*) AS n FROM analytics.user_activity GROUP BY 1, 2) AS e
    FULL JOIN (SELECT workspace_id, metric_date, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, metric_date)
WHERE e.n IS DISTINCT FROM d.n;

-- Closing, what is provisional and the views cost as much as there are events, not by workspace; all the same days end.
BEGIN;
ALTER TABLE analytics.workspace_settings DISABLE TRIGGER USER;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT md5('idle ' || i)::uuid, (ARRAY['America/New_York', 'Europe/Berlin', 'Asia/Kolkata', 'Pacific/Kiritimati'])[1 + i % 4], '-infinity' FROM generate_series(1, 1000) AS i;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (md5('busy')::uuid, 'Asia/Kolkata', '-infinity');
SET LOCAL track_functions = 'all';
SELECT count(*) FROM analytics_internal.ended_days(date_trunc('day', now(), 'UTC') - interval '12 hours', date_trunc('day', now(), 'UTC'));
SELECT analytics_internal.aggregate_open() \g /dev/null
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
SELECT sum(calls) < 500 AS few_calls FROM pg_stat_xact_user_functions WHERE schemaname LIKE 'analytics%';
ROLLBACK;
-- Nor by year: the view has the last days, the function answers for older ones.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT md5(w)::uuid, md5('u')::uuid, 'login', '2000-01-01 12:00' FROM unnest('{busy,gone}'::text[]) AS w;
SELECT analytics_internal.aggregate_daily_metrics('2000-01-01', NULL);
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
SELECT workspace_id = md5('busy')::uuid AS is_busy, count(*), max(activity_date) = now()::date - 1 AS until_yesterday FROM analytics.mv_active_users
WHERE workspace_id IN (md5('busy')::uuid, md5('gone')::uuid) GROUP BY 1;
SELECT activity_date, daily_active_users, monthly_active_users FROM analytics.get_active_users(md5('busy')::uuid, '2000-01-01', '2000-01-02');
INSERT INTO analytics.settings VALUES ('active_users_days', '7');
SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;
SELECT count(*) FROM analytics.mv_active_users WHERE workspace_id = md5('busy')::uuid;
DELETE FROM analytics.settings WHERE name = 'active_users_days';

DROP TABLE public.repairs;
DELETE FROM analytics.alert_rules;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.closed_days;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users, analytics.daily_event_usage,
         analytics.alert_rule_states;
