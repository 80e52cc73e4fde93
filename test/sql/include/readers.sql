-- Everything that is read from the daily sets against brute force over the raw events of the database. Prints
-- what differs: nothing. The days are aggregated and analytics.user_cohorts is filled.
CREATE TEMP TABLE active AS
SELECT DISTINCT e.workspace_id, e.user_id, (e.created_at AT TIME ZONE coalesce(s.time_zone, 'UTC'))::date AS day
FROM analytics.user_activity AS e LEFT JOIN analytics.workspace_settings AS s USING (workspace_id);
CREATE TEMP TABLE workspace AS
SELECT workspace_id, min(day) AS first_day, max(day) AS last_day, max(day) + 40 AS end_day FROM active GROUP BY workspace_id;
CREATE TEMP TABLE unit (period text, unit text, step interval);
INSERT INTO unit VALUES ('daily', 'day', '1 day'), ('weekly', 'week', '1 week'), ('monthly', 'month', '1 month');
CREATE TEMP TABLE active_period AS
SELECT DISTINCT u.period, u.step, a.workspace_id, a.user_id, date_trunc(u.unit, a.day::timestamp)::date AS start FROM active AS a, unit AS u;
CREATE TEMP TABLE span AS
SELECT period, step, workspace_id, user_id, min(start) AS cohort, max(start) AS last_start FROM active_period GROUP BY 1, 2, 3, 4;
ANALYZE active, workspace, active_period, span;

\echo active users of every day from the first event to 40 days after the last
CREATE TEMP TABLE read_active AS
SELECT w.workspace_id, g.* FROM workspace AS w, LATERAL analytics.get_active_users(w.workspace_id, w.first_day - 5, w.end_day) AS g;
CREATE TEMP TABLE true_active AS
SELECT a.workspace_id, a.day + i AS activity_date, count(*) FILTER (WHERE i = 0) AS dau,
       count(DISTINCT a.user_id) FILTER (WHERE i <= 6) AS wau, count(DISTINCT a.user_id) AS mau
FROM active AS a, generate_series(0, 29) AS i GROUP BY 1, 2;
SELECT count(*) > 0 AS compared FROM read_active;
SELECT r.* FROM read_active AS r FULL JOIN true_active AS t USING (workspace_id, activity_date)
WHERE (r.daily_active_users, r.weekly_active_users, r.monthly_active_users)
      IS DISTINCT FROM (coalesce(t.dau, 0), coalesce(t.wau, 0), coalesce(t.mau, 0))
   OR r.stickiness IS DISTINCT FROM round(100.0 * r.daily_active_users / nullif(r.monthly_active_users, 0), 2)
   OR NOT (r.daily_active_users <= r.weekly_active_users AND r.weekly_active_users <= r.monthly_active_users) LIMIT 20;
SELECT workspace_id FROM workspace AS w WHERE (SELECT count(*) FROM read_active AS r WHERE r.workspace_id = w.workspace_id) <> w.end_day - w.first_day + 1;

\echo lifecycle by day, week and month
CREATE TEMP TABLE read_lifecycle AS
SELECT u.period, w.workspace_id, g.* FROM workspace AS w, unit AS u, LATERAL analytics.get_lifecycle(w.workspace_id, u.period, w.first_day, w.end_day) AS g;
CREATE TEMP TABLE true_lifecycle AS
SELECT period, workspace_id, coalesce(a.start, b.start) AS period_start, count(*) FILTER (WHERE s.cohort = a.start) AS fresh,
       count(*) FILTER (WHERE a.start = b.start) AS returning,
       count(*) FILTER (WHERE b.start IS NULL AND s.cohort < a.start) AS resurrecting, count(*) FILTER (WHERE a.start IS NULL) AS dormant
FROM active_period AS a
FULL JOIN (SELECT period, workspace_id, user_id, (start + step)::date AS start FROM active_period) AS b USING (period, workspace_id, user_id, start)
JOIN span AS s USING (period, workspace_id, user_id)
GROUP BY 1, 2, 3;
SELECT count(*) > 0 AS compared FROM read_lifecycle;
SELECT r.* FROM read_lifecycle AS r FULL JOIN true_lifecycle AS t USING (period, workspace_id, period_start)
WHERE (r.new_users, r.returning_users, r.resurrecting_users, r.dormant_users)
      IS DISTINCT FROM (coalesce(t.fresh, 0), coalesce(t.returning, 0), coalesce(t.resurrecting, 0), coalesce(t.dormant, 0)) LIMIT 20;
\echo |A(p)| = |A(p-1)| - dormant + new + resurrecting
SELECT * FROM (
    SELECT period, workspace_id, period_start, dormant_users, new_users, resurrecting_users, new_users + returning_users + resurrecting_users AS active,
           lag(new_users + returning_users + resurrecting_users) OVER (PARTITION BY period, workspace_id ORDER BY period_start) AS active_before
    FROM read_lifecycle) AS l
WHERE active <> active_before - dormant_users + new_users + resurrecting_users LIMIT 20;

\echo retention of daily, weekly and monthly cohorts, and what user_cohorts holds
CREATE TEMP TABLE read_retention AS
SELECT u.period, u.unit, u.step, w.workspace_id, g.* FROM workspace AS w, unit AS u, LATERAL analytics.get_retention_matrix(w.workspace_id, u.period, w.first_day, w.end_day) AS g;
CREATE TEMP TABLE true_retention AS
SELECT s.period, s.workspace_id, s.cohort AS cohort_date, a.start, count(*) AS retained
FROM span AS s JOIN active_period AS a USING (period, workspace_id, user_id) GROUP BY 1, 2, 3, 4;
CREATE TEMP TABLE true_cohort AS
SELECT period, workspace_id, cohort AS cohort_date, last_start, count(*) AS users FROM span GROUP BY 1, 2, 3, 4;
CREATE INDEX ON true_cohort (workspace_id, cohort_date, period);
ANALYZE read_retention, true_retention, true_cohort;
SELECT count(*) > 0 AS compared FROM read_retention;
SELECT r.period, r.workspace_id, r.cohort_date, r.period_number, r.initial_users, r.retained_users, r.unbounded_rate, t.retained, c.users
FROM (SELECT *, (cohort_date + period_number * step)::date AS start FROM read_retention) AS r
LEFT JOIN true_retention AS t USING (period, workspace_id, cohort_date, start)
CROSS JOIN LATERAL (SELECT sum(c.users) AS users, coalesce(sum(c.users) FILTER (WHERE c.last_start >= r.start), 0) AS staying FROM true_cohort AS c
    WHERE (c.period, c.workspace_id, c.cohort_date) = (r.period, r.workspace_id, r.cohort_date)) AS c
WHERE (r.initial_users, r.retained_users, r.retention_rate, r.unbounded_rate)
      IS DISTINCT FROM (c.users, coalesce(t.retained, 0), round(100.0 * coalesce(t.retained, 0) / c.users, 2), round(100.0 * c.staying / c.users, 2)) LIMIT 20;
SELECT period, workspace_id, cohort_date FROM true_cohort EXCEPT SELECT period, workspace_id, cohort_date FROM read_retention LIMIT 20;
SELECT * FROM (
    SELECT period, workspace_id, cohort_date, initial_users, jsonb_object_agg(unit || '_' || period_number, retention_rate) AS bounded,
           jsonb_object_agg(unit || '_' || period_number, unbounded_rate) AS unbounded
    FROM read_retention GROUP BY 1, 2, 3, 4) AS r
FULL JOIN analytics.user_cohorts AS c ON (c.cohort_period, c.workspace_id, c.cohort_date) = (r.period, r.workspace_id, r.cohort_date)
WHERE (c.initial_users, c.retention_data, c.retention_unbounded) IS DISTINCT FROM (r.initial_users, r.bounded, r.unbounded) LIMIT 20;

\echo feature usage, and the summary of any range
CREATE TEMP TABLE period AS
SELECT w.workspace_id, (w.first_day + (w.last_day - w.first_day) * n / 5)::date AS from_day,
       (w.first_day + (w.last_day - w.first_day) * (n + 2) / 5)::date AS to_day, e.day_start AS from_time, f.day_end AS to_time
FROM workspace AS w CROSS JOIN generate_series(0, 4) AS n,
     analytics_internal.workspace_day_bounds(w.workspace_id, w.first_day + (w.last_day - w.first_day) * n / 5) AS e,
     analytics_internal.workspace_day_bounds(w.workspace_id, w.first_day + (w.last_day - w.first_day) * (n + 2) / 5) AS f;
SELECT count(*) > 0 AS compared FROM period;
SELECT p.*, r.* FROM period AS p, LATERAL (
    (SELECT event_type, event_name, events, distinct_users FROM analytics.get_feature_usage(p.workspace_id, p.from_day, p.to_day)
     EXCEPT SELECT event_type, coalesce(event_name, ''), count(*), count(DISTINCT user_id) FROM analytics.user_activity AS e
     WHERE e.workspace_id = p.workspace_id AND e.created_at >= p.from_time AND e.created_at < p.to_time GROUP BY 1, 2)
    UNION ALL
    (SELECT event_type, coalesce(event_name, ''), count(*), count(DISTINCT user_id) FROM analytics.user_activity AS e
     WHERE e.workspace_id = p.workspace_id AND e.created_at >= p.from_time AND e.created_at < p.to_time GROUP BY 1, 2
     EXCEPT SELECT event_type, event_name, events, distinct_users FROM analytics.get_feature_usage(p.workspace_id, p.from_day, p.to_day))) AS r LIMIT 20;
SELECT p.*, s.active_users, s.total_events, s.total_runs FROM period AS p,
LATERAL analytics.get_workspace_summary(p.workspace_id, p.from_day, p.to_day) AS s,
LATERAL (SELECT count(*) AS events, count(DISTINCT e.user_id) AS users, count(*) FILTER (WHERE e.metadata ->> 'status' IN ('completed', 'failed')) AS scored,
                count(*) FILTER (WHERE e.metadata ->> 'status' = 'completed') AS successful,
                percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY (e.metadata ->> 'runtime_seconds')::float8)
                    FILTER (WHERE coalesce(e.metadata ->> 'status', '') <> 'cancelled') AS p
         FROM analytics.user_activity AS e
         WHERE e.workspace_id = p.workspace_id AND e.created_at >= p.from_time AND e.created_at < p.to_time) AS b
WHERE (s.active_users, s.total_events, s.success_rate) IS DISTINCT FROM (b.users, b.events, round(100.0 * b.successful / nullif(b.scored, 0), 2))
   OR (SELECT bool_or(abs(x.sketch - x.exact) > 0.01 * x.exact + 0.005) FROM unnest(ARRAY[s.p50_runtime, s.p95_runtime, s.p99_runtime]::float8[], b.p) AS x (sketch, exact))
LIMIT 20;

\echo agents over everything
SELECT a.agent_id, i.total_runs, i.unique_users, i.avg_runtime FROM (
    SELECT (metadata ->> 'agent_id')::uuid AS agent_id, count(*) AS runs, count(DISTINCT user_id) AS users,
           round(avg((metadata ->> 'runtime_seconds')::numeric) FILTER (WHERE coalesce(metadata ->> 'status', '') <> 'cancelled'), 2) AS runtime
    FROM analytics.user_activity WHERE event_type = 'agent_run' GROUP BY 1) AS a,
LATERAL analytics.get_agent_insights(a.agent_id, 36500) AS i
WHERE (i.total_runs, i.unique_users, i.avg_runtime) IS DISTINCT FROM (a.runs, a.users, a.runtime) LIMIT 20;
