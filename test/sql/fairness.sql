-- Workspaces take turns: whose events change without end, or on many days, delays nobody else.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users, analytics.daily_event_usage;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.pending_days;
SELECT count(analytics.create_partitions(now()::date - 40, now()::date - 2)) \g /dev/null
CREATE PROCEDURE pg_temp.add(workspace text, days_ago int) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
VALUES (md5(workspace)::uuid, md5('u')::uuid, 'login', date_trunc('day', now(), 'UTC') - make_interval(days => days_ago) + interval '12 hours') $$;
CREATE FUNCTION pg_temp.total(workspace text, days_ago int) RETURNS bigint LANGUAGE sql AS $$
SELECT total_events FROM analytics.daily_metrics WHERE workspace_id = md5(workspace)::uuid AND metric_date = now()::date - days_ago $$;
CREATE FUNCTION pg_temp.place(workspace text) RETURNS bigint LANGUAGE sql AS $$
SELECT min(p.place) FROM (SELECT workspace_id, row_number() OVER (ORDER BY turn, noted_at, metric_date DESC) AS place FROM analytics.pending_days) AS p
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
CALL analytics.maintain('3 seconds');
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
SELECT count(*) AS days, pg_temp.place('busy') AS busy, pg_temp.place('victim') AS victim FROM analytics.pending_days;
SELECT count(analytics_internal.repair_next()) FROM generate_series(1, 10);
CALL pg_temp.add('victim', 7);
CALL pg_temp.add('busy', 32);
SELECT analytics_internal.enqueue_repairs() \g /dev/null
SELECT count(*) AS days, pg_temp.place('busy') AS busy, pg_temp.place('victim') AS victim FROM analytics.pending_days;
-- A turn ends, whoever comes meanwhile.
SELECT max(turn) - min(turn) + 1 = count(*) FILTER (WHERE workspace_id = md5('busy')::uuid) AS one_a_turn FROM analytics.pending_days;
SELECT analytics_internal.repair_all() >= 22 AS all;
SELECT count(*) FROM analytics.pending_days;
SELECT count(*) AS wrong FROM
    (SELECT workspace_id, created_at::date AS metric_date, count(*) AS n FROM analytics.user_activity GROUP BY 1, 2) AS e
    FULL JOIN (SELECT workspace_id, metric_date, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, metric_date)
WHERE e.n IS DISTINCT FROM d.n;

DROP TABLE public.repairs;
DELETE FROM analytics.alert_rules;
DELETE FROM analytics.job_runs;
DELETE FROM analytics.watermark;
DELETE FROM analytics.closed_days;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users, analytics.daily_event_usage,
         analytics.alert_rule_states;
