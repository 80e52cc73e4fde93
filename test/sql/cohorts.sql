-- Reading the daily sets: active users, lifecycle, feature usage, cohorts; the vectors of doc/metrics.md and brute force.
\set QUIET on
BEGIN;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.workspace_settings, analytics.credit_prices,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts;
DELETE FROM analytics.pending_buckets WHERE kind = 'cohorts'; -- of other tests
DELETE FROM analytics.rollup_changes;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(name)::uuid $$;
CREATE FUNCTION pg_temp.put(workspace text, usr text, day date, metadata jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
    VALUES (pg_temp.id(workspace), pg_temp.id(usr), 'page_view', metadata, day + time '12:00')
$$;
-- A on day 1, A and B on day 5, C on day 9.
SELECT count(pg_temp.put('w', u, '2025-01-01'::date + d - 1)) FROM (VALUES ('A', 1), ('A', 5), ('B', 5), ('C', 9)) AS v (u, d);
-- Three users on day 0; A returns on day 1, B on day 5, C never.
SELECT count(pg_temp.put('c', u, '2025-01-01'::date + d, CASE u WHEN 'A' THEN '{"revenue": 3}' ELSE '{}' END::jsonb))
FROM (VALUES ('A', 0), ('B', 0), ('C', 0), ('A', 1), ('B', 5)) AS v (u, d);
-- 40 users, sparse, for brute force.
SELECT count(pg_temp.put('b', 'u' || h % 40 * (h / 64 % 40) / 40, '2025-01-01'::date + (h / 4096) % 75))
FROM generate_series(1, 400) AS i, LATERAL (SELECT ('x' || substr(md5(i::text), 1, 7))::bit(28)::integer) AS r (h);
-- Parallel plans of the aggregation are tried elsewhere.
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT count(analytics.aggregate_daily_metrics(d::date)) FROM generate_series('2025-01-01'::timestamptz, '2025-03-17', '1 day') AS d;
RESET max_parallel_workers_per_gather;

-- DAU(9)=1, WAU(9)=3, DAU(8)=0 with WAU(8)=2, MAU(9)=3, MAU(35)=1.
SELECT activity_date - '2024-12-31'::date AS day, daily_active_users, weekly_active_users, monthly_active_users, stickiness, is_final
FROM analytics.get_active_users(pg_temp.id('w'), '2024-01-01', '2025-02-04') WHERE activity_date - '2024-12-31'::date IN (1, 8, 9, 35);
SELECT min(activity_date) AS from_first, count(*) FROM analytics.get_active_users(pg_temp.id('w'), '2024-01-01', '2025-02-04');
SELECT count(*) AS last_30_days FROM analytics.get_active_users(pg_temp.id('w'));
SELECT * FROM analytics.get_lifecycle(pg_temp.id('w'), 'weekly', '2025-01-01', '2025-01-20');
-- Who has not come yet in a period that runs, or has a provisional day, is not gone.
SELECT p.period, bool_and(l.is_final = (b.next <= (now() AT TIME ZONE 'UTC')::date)) AS told, bool_and((l.dormant_users IS NULL) = NOT l.is_final) AS right,
       count(*) FILTER (WHERE NOT l.is_final) > 0 AS some_run
FROM (VALUES ('daily', interval '1 day'), ('weekly', '7 days'), ('monthly', '1 month')) AS p (period, length),
     analytics_internal.user_lifecycle(pg_temp.id('w'), p.period, (now() AT TIME ZONE 'UTC')::date - 40, (now() AT TIME ZONE 'UTC')::date + 2) AS l,
     LATERAL (SELECT (l.period_start + p.length)::date AS next) AS b
GROUP BY 1 ORDER BY 1;
UPDATE analytics.daily_users SET is_final = false WHERE workspace_id = pg_temp.id('w') AND metric_date = '2025-01-05';
SELECT * FROM analytics.get_lifecycle(pg_temp.id('w'), 'weekly', '2025-01-01', '2025-01-12');
UPDATE analytics.daily_users SET is_final = true WHERE workspace_id = pg_temp.id('w');
SELECT period_number, retained_users, retention_rate, unbounded_rate
FROM analytics.get_retention_matrix(pg_temp.id('c'), 'daily', '2025-01-01', '2025-01-01') WHERE period_number <= 6;
SELECT * FROM analytics.get_feature_usage(pg_temp.id('c'), '2025-01-01', '2025-01-31');

-- Brute force over the raw events: no row differs.
SELECT (SELECT count(*) FROM analytics.get_active_users(pg_temp.id('b'), '2025-01-01', '2025-04-30')) AS days,
       (SELECT count(*) > 100 FROM analytics.get_lifecycle(pg_temp.id('b'), 'daily', '2025-01-01', '2025-04-30')) AS has_lifecycle,
       (SELECT count(*) > 100 FROM analytics.get_retention_matrix(pg_temp.id('b'), 'weekly', '2025-01-01', '2025-04-30')) AS has_retention;
CREATE TEMP TABLE active AS
SELECT DISTINCT user_id, (created_at AT TIME ZONE 'UTC')::date AS day FROM analytics.user_activity WHERE workspace_id = pg_temp.id('b');
CREATE TEMP TABLE first AS SELECT user_id, min(day) AS day FROM active GROUP BY user_id;
SELECT * FROM analytics.get_active_users(pg_temp.id('b'), '2025-01-01', '2025-04-30') AS g
WHERE (daily_active_users, weekly_active_users, monthly_active_users) <> (
    SELECT count(DISTINCT user_id) FILTER (WHERE day = g.activity_date),
           count(DISTINCT user_id) FILTER (WHERE day BETWEEN g.activity_date - 6 AND g.activity_date),
           count(DISTINCT user_id) FILTER (WHERE day BETWEEN g.activity_date - 29 AND g.activity_date) FROM active)
   OR NOT (daily_active_users <= weekly_active_users AND weekly_active_users <= monthly_active_users);
CREATE FUNCTION pg_temp.users(unit text, period date) RETURNS SETOF uuid LANGUAGE sql AS $$
    SELECT DISTINCT user_id FROM active WHERE date_trunc(unit, day::timestamp)::date = period $$;
SELECT p.period, g.* FROM (VALUES ('daily', 'day'), ('weekly', 'week'), ('monthly', 'month')) AS p (period, unit),
     analytics.get_lifecycle(pg_temp.id('b'), p.period, '2025-01-01', '2025-04-30') AS g,
     LATERAL (SELECT (g.period_start - ('1 ' || p.unit)::interval)::date AS before) AS e
WHERE (new_users, returning_users, resurrecting_users, dormant_users) <> (
    SELECT count(*) FILTER (WHERE n AND date_trunc(p.unit, f.day::timestamp) = g.period_start),
           count(*) FILTER (WHERE n AND b), count(*) FILTER (WHERE n AND NOT b AND date_trunc(p.unit, f.day::timestamp) < g.period_start),
           count(*) FILTER (WHERE b AND NOT n)
    FROM first AS f, LATERAL (SELECT f.user_id IN (SELECT pg_temp.users(p.unit, g.period_start)) AS n,
                                     f.user_id IN (SELECT pg_temp.users(p.unit, e.before)) AS b) AS a);
SELECT p.period, g.* FROM (VALUES ('daily', 'day'), ('weekly', 'week'), ('monthly', 'month')) AS p (period, unit),
     analytics.get_retention_matrix(pg_temp.id('b'), p.period, '2025-01-01', '2025-04-30') AS g,
     LATERAL (SELECT (g.cohort_date + g.period_number * ('1 ' || p.unit)::interval)::date AS start) AS e
WHERE g.period_number < 80 AND (initial_users, retained_users, unbounded_rate) <> (
    SELECT count(DISTINCT f.user_id), count(DISTINCT f.user_id) FILTER (WHERE date_trunc(p.unit, a.day::timestamp) = e.start),
           (100.0 * count(DISTINCT f.user_id) FILTER (WHERE a.day >= e.start) / count(DISTINCT f.user_id))::numeric(5, 2)
    FROM first AS f JOIN active AS a USING (user_id) WHERE date_trunc(p.unit, f.day::timestamp) = g.cohort_date);

-- Cohorts; the same after the raw events are gone.
SELECT analytics.aggregate_user_cohorts('daily', '2025-01-01', pg_temp.id('c'));
SELECT initial_users, retention_data -> 'day_1' AS day_1, retention_data -> 'day_5' AS day_5,
       retention_unbounded -> 'day_1' AS from_1, retention_unbounded -> 'day_5' AS from_5, retention_unbounded -> 'day_6' AS from_6,
       retention_data ? 'day_90' AS has_90, retention_data ? 'day_91' AS has_91, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final
FROM analytics.user_cohorts WHERE workspace_id = pg_temp.id('c');
SELECT analytics.aggregate_user_cohorts('weekly', '2025-01-08'), analytics.aggregate_user_cohorts('monthly', '2025-01-31');
SELECT cohort_period, cohort_date, sum(initial_users) FROM analytics.user_cohorts GROUP BY 1, 2 ORDER BY 1;
CREATE TEMP TABLE before AS SELECT to_jsonb(c) - 'updated_at' AS cohort FROM analytics.user_cohorts AS c;
TRUNCATE analytics.user_activity;
SELECT sum(analytics.aggregate_user_cohorts(cohort_period, cohort_date)) > 0 AS again
FROM (SELECT DISTINCT cohort_period, cohort_date FROM analytics.user_cohorts) AS c;
SELECT count(*) AS differences FROM (SELECT to_jsonb(c) - 'updated_at' FROM analytics.user_cohorts AS c WHERE cohort_period <> 'daily' OR workspace_id = pg_temp.id('c')
    EXCEPT TABLE before) AS d;

-- What is due is found by its state: nothing twice; a day that changed or vanished, a longer limit, a lost row.
CREATE FUNCTION pg_temp.due() RETURNS TABLE (workspace text, period text, cohorts integer, first date, last date) LANGUAGE sql AS $$
    SELECT CASE d.workspace_id WHEN pg_temp.id('w') THEN 'w' WHEN pg_temp.id('b') THEN 'b' WHEN pg_temp.id('c') THEN 'c' END,
           d.period, cardinality(d.cohort_dates), d.cohort_dates[1], d.cohort_dates[cardinality(d.cohort_dates)]
    FROM analytics_internal.due_cohorts() AS d ORDER BY 1, 2
$$;
SELECT * FROM pg_temp.due() WHERE workspace <> 'b';
SELECT again, total FROM analytics_internal.aggregate_due_cohorts('0 seconds');
SELECT rows > 0 AS found, again, total FROM analytics_internal.aggregate_due_cohorts();
SELECT * FROM analytics_internal.aggregate_due_cohorts();
SELECT count(*) AS differences FROM (TABLE before EXCEPT SELECT to_jsonb(c) - 'updated_at' FROM analytics.user_cohorts AS c) AS d;
SELECT cohort_period, count(*) AS cohorts, sum(initial_users) = (SELECT count(*) FROM analytics.users AS u WHERE u.workspace_id = c.workspace_id) AS all_users
FROM analytics.user_cohorts AS c WHERE workspace_id = pg_temp.id('b') GROUP BY cohort_period, workspace_id ORDER BY 1;
UPDATE analytics.daily_metrics SET updated_at = updated_at + '1 s' WHERE workspace_id = pg_temp.id('w') AND metric_date = '2025-01-05';
SELECT * FROM pg_temp.due();
DELETE FROM analytics.daily_users WHERE workspace_id = pg_temp.id('w') AND metric_date = '2025-01-09';
DELETE FROM analytics.user_cohorts WHERE workspace_id = pg_temp.id('c') AND cohort_period = 'weekly';
SELECT * FROM pg_temp.due();
SELECT rows, again FROM analytics_internal.aggregate_due_cohorts();
SELECT cohort_period, cohort_date, initial_users FROM analytics.user_cohorts WHERE workspace_id = pg_temp.id('w') ORDER BY 1, 2;
INSERT INTO analytics.settings (name, value) VALUES ('cohort_max_weeks', '3');
SELECT period, count(*) AS workspaces FROM pg_temp.due() GROUP BY period;
SELECT again FROM analytics_internal.aggregate_due_cohorts();
SELECT retention_data ? 'week_3' AS has_3, retention_data ? 'week_4' AS has_4, is_final FROM analytics.user_cohorts
WHERE workspace_id = pg_temp.id('c') AND cohort_period = 'weekly';
SELECT max(period_number) AS limited FROM analytics.get_retention_matrix(pg_temp.id('c'), 'weekly', '2025-01-01', '2025-01-01');
SELECT analytics_internal.cohort_limit('daily') AS days, analytics_internal.cohort_limit('weekly') AS weeks, analytics_internal.cohort_limit('monthly') AS months, analytics_internal.cohort_limit(NULL);
-- A period that came to its end since.
UPDATE analytics.user_cohorts SET is_final = false, counted_until = counted_until - 31 WHERE workspace_id = pg_temp.id('w') AND cohort_period = 'monthly';
SELECT * FROM pg_temp.due();
DELETE FROM analytics.settings WHERE name = 'cohort_max_weeks';

-- 1,000 users active on 20 % of random days for 120 days, none leaving: churn_rate < 1. A cohort younger than the grace window has none.
SELECT setseed(0.5);
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT pg_temp.id('churn'), current_date - 121 + d, analytics.user_set_agg(u) FILTER (WHERE d = 0 OR random() < 0.2),
       CASE d WHEN 0 THEN '{0-999}' ELSE '{}' END::analytics.user_set, true
FROM generate_series(0, 120) AS d, generate_series(0, 999) AS u GROUP BY d;
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
VALUES (pg_temp.id('young'), current_date - 10, '{1}', '{1}', true);
SELECT analytics.aggregate_user_cohorts('daily', current_date - 121), analytics.aggregate_user_cohorts('daily', current_date - 10, pg_temp.id('young'));
SELECT initial_users, churn_rate < 1 AS nearly_none FROM analytics.user_cohorts WHERE workspace_id = pg_temp.id('churn');
SELECT churn_rate, retention_data ? 'day_9' AS mature, retention_data ? 'day_10' AS running, ltv_reason FROM analytics.user_cohorts WHERE workspace_id = pg_temp.id('young');

-- Users that leave by the shifted-beta-geometric model: the estimate is that of the survivors (the published data "Regular").
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT pg_temp.id('sbg'), current_date - 39 + n::int, ('{0-' || s - 1 || '}')::analytics.user_set,
       CASE n WHEN 1 THEN '{0-999}' ELSE '{}' END::analytics.user_set, true
FROM unnest('{1000,631,468,382,326,289,262,241}'::int[]) WITH ORDINALITY AS r (s, n);
INSERT INTO analytics.daily_user_revenue (workspace_id, metric_date, user_number, revenue)
SELECT pg_temp.id('sbg'), current_date - 38, u, 3.599 FROM generate_series(0, 999) AS u;
SELECT analytics.aggregate_user_cohorts('daily', current_date - 38, pg_temp.id('sbg'));
SELECT churn_rate, avg_revenue_per_user, ltv_reason,
       abs(ltv_estimate - analytics.sbg_lifetime(0.704077, 1.182043, power(1.1, 1 / 365.25) - 1, 36)::numeric) < 0.01 AS right_ltv
FROM analytics.user_cohorts WHERE workspace_id = pg_temp.id('sbg');

-- Simulated users, each leaving by chance as the model says (always the same ones): the sets of their days give the
-- truth back within the sampling error. Twice the log-likelihood ratio to the truth is chi-squared with 2 degrees of
-- freedom: below 9.21 in 99 of 100 samples.
CREATE TEMP TABLE truth (name text, alpha float8, beta float8);
INSERT INTO truth VALUES ('sticky', 0.5, 3), ('regular', 0.704077, 1.182043), ('alike', 6, 20);
CREATE TEMP TABLE simulated AS
SELECT t.name, n AS user_number, (('x' || substr(md5(t.name || n), 1, 8))::bit(32)::bigint + 0.5) / 4294967296 AS luck
FROM truth AS t, generate_series(0, 4999) AS n;
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT pg_temp.id(t.name), current_date - 50 + d, analytics.user_set_agg(s.user_number), CASE d WHEN 0 THEN '{0-4999}' ELSE '{}' END::analytics.user_set, true
FROM truth AS t JOIN simulated AS s USING (name), generate_series(0, 20) AS d
WHERE s.luck < analytics.sbg_survival(t.alpha, t.beta, d) GROUP BY t.name, d;
SELECT t.name, f.converged, abs(f.alpha / t.alpha - 1) < 0.15 AS alpha_near, abs(f.beta / t.beta - 1) < 0.15 AS beta_near,
       2 * (f.log_likelihood - l.of_truth) BETWEEN 0 AND 9.21 AS within_sampling_error
FROM truth AS t,
LATERAL (SELECT array_agg(r.retained_users ORDER BY r.period_number) AS survivors
         FROM analytics.get_retention_matrix(pg_temp.id(t.name), 'daily', current_date - 50, current_date - 50) AS r WHERE r.period_number <= 20) AS r,
LATERAL analytics.fit_sbg(r.survivors) AS f,
LATERAL (SELECT sum((r.survivors[i] - r.survivors[i + 1]) * ln(analytics.sbg_survival(t.alpha, t.beta, i - 1) - analytics.sbg_survival(t.alpha, t.beta, i)))
                + r.survivors[21] * ln(analytics.sbg_survival(t.alpha, t.beta, 20)) AS of_truth FROM generate_series(1, 20) AS i) AS l;
ROLLBACK;

-- Maintenance looks through those workspaces alone whose days have changed or ended since it last did, from then on.
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.queued() RETURNS TABLE (workspace text, days_ago integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM analytics_internal.enqueue_cohorts();
    RETURN QUERY
    WITH queued AS (DELETE FROM analytics.pending_buckets WHERE kind = 'cohorts' RETURNING workspace_id, metric_date AS from_date)
    SELECT w.name, CASE WHEN isfinite(q.from_date) THEN current_date - q.from_date END
    FROM queued AS q JOIN unnest('{quiet,late}'::text[]) AS w (name) ON q.workspace_id = md5(w.name)::uuid ORDER BY 1;
END $$;
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT md5(w)::uuid, current_date - 7, '{1}', '{1}', true FROM unnest('{quiet,late}'::text[]) AS w;
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, new_users, is_final)
SELECT md5(w)::uuid, current_date - 7, 1, true FROM unnest('{quiet,late}'::text[]) AS w;
SELECT rows >= 2 AS are_found FROM analytics_internal.aggregate_due_cohorts('1 minute');
SELECT * FROM pg_temp.queued();
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
VALUES (md5('late')::uuid, current_date - 5, '{1}', '{}', true), (md5('quiet')::uuid, current_date + 1, '{1}', '{}', false);
UPDATE analytics.daily_users SET users = '{1,2}' WHERE workspace_id = md5('late')::uuid AND metric_date = current_date - 5;
BEGIN;
DELETE FROM analytics.daily_users WHERE workspace_id = md5('quiet')::uuid;
ROLLBACK;
SELECT * FROM pg_temp.queued();
SELECT * FROM pg_temp.queued();
-- A transaction reads its own changes once more when it is over, as it may change the same day again.
BEGIN;
DELETE FROM analytics.daily_users WHERE workspace_id = md5('late')::uuid AND metric_date = current_date - 5;
SELECT * FROM pg_temp.queued();
DELETE FROM analytics.daily_users WHERE workspace_id = md5('late')::uuid AND metric_date = current_date - 7;
COMMIT;
SELECT * FROM pg_temp.queued();
SELECT * FROM pg_temp.queued();
-- Days that have ended, another zone, another setting, and a table that is emptied.
UPDATE analytics.change_readers SET read_at = read_at - interval '2 days' WHERE reader = 'cohorts';
SELECT * FROM pg_temp.queued();
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (md5('late')::uuid, 'Asia/Tokyo', '-infinity');
SELECT * FROM pg_temp.queued();
INSERT INTO analytics.settings (name, value) VALUES ('cohort_max_weeks', '3');
SELECT * FROM pg_temp.queued();
BEGIN;
TRUNCATE analytics.daily_users;
SELECT * FROM pg_temp.queued();
ROLLBACK;
-- What all have seen is forgotten.
SELECT count(*) FROM analytics.rollup_changes AS c WHERE changed_by < (SELECT min(pg_snapshot_xmin(seen)) FROM analytics.change_readers);
DELETE FROM analytics.settings WHERE name = 'cohort_max_weeks';
DELETE FROM analytics.workspace_settings WHERE workspace_id = md5('late')::uuid;
-- A workspace whose cohorts cannot be computed is quarantined, others are not.
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE data_exception USING MESSAGE = 'refused'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON analytics.user_cohorts FOR EACH ROW WHEN (NEW.workspace_id = md5('quiet')::uuid) EXECUTE FUNCTION pg_temp.refuse();
DELETE FROM analytics.user_cohorts WHERE workspace_id IN (md5('late')::uuid, md5('quiet')::uuid);
UPDATE analytics.daily_users SET updated_at = now() WHERE workspace_id IN (md5('late')::uuid, md5('quiet')::uuid);
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
VALUES (md5('late')::uuid, current_date - 6, '{1}', '{1}', true);
CREATE VIEW pg_temp.state AS
SELECT w.name, p.attempts, p.error, p.next_attempt_at - p.last_failed_at AS wait,
       EXISTS (SELECT FROM analytics.user_cohorts AS c WHERE c.workspace_id = md5(w.name)::uuid) AS has_cohorts
FROM unnest('{quiet,late}'::text[]) AS w (name)
LEFT JOIN analytics.pending_buckets AS p ON p.workspace_id = md5(w.name)::uuid AND p.kind = 'cohorts' ORDER BY 1;
SET client_min_messages = error; -- the warnings name the workspace
SELECT again FROM analytics_internal.aggregate_due_cohorts('1 minute');
SELECT * FROM pg_temp.state;
SELECT rows FROM analytics_internal.aggregate_due_cohorts('1 minute');
UPDATE analytics.pending_buckets SET next_attempt_at = now() WHERE kind = 'cohorts';
SELECT rows FROM analytics_internal.aggregate_due_cohorts('1 minute');
SELECT * FROM pg_temp.state;
DROP TRIGGER refuse ON analytics.user_cohorts;
UPDATE analytics.pending_buckets SET next_attempt_at = now() WHERE kind = 'cohorts';
SELECT rows > 0 AS are_mended FROM analytics_internal.aggregate_due_cohorts('1 minute');
SELECT * FROM pg_temp.state;
DROP VIEW pg_temp.state;
RESET client_min_messages;
DELETE FROM analytics.user_cohorts WHERE workspace_id IN (md5('late')::uuid, md5('quiet')::uuid);
DELETE FROM analytics.daily_users WHERE workspace_id IN (md5('late')::uuid, md5('quiet')::uuid);
DELETE FROM analytics.daily_metrics WHERE workspace_id IN (md5('late')::uuid, md5('quiet')::uuid);
RESET timezone;

\set VERBOSITY default
SELECT analytics.aggregate_user_cohorts('yearly', '2025-01-01');
SELECT * FROM analytics_internal.user_lifecycle(pg_catalog.gen_random_uuid(), 'yearly', '2025-01-01', '2025-01-02');
SELECT * FROM analytics_internal.trailing_users(pg_catalog.gen_random_uuid(), '-infinity', '2025-01-02');
SELECT analytics_internal.cohort_limit('yearly');
