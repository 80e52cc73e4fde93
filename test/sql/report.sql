-- analytics.report(): each section against events and rollups, what a range without data gives, who may ask.
\set QUIET on
\pset format unaligned
\pset null NULL
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = ISO;
BEGIN; -- one instant is now throughout
CREATE FUNCTION pg_temp.id(kind text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || '0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts,
         analytics.workspace_settings, analytics.alert_rules;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for
-- Workspace 1: 12 users over the four weeks up to today, each in a way of its own; runs of 25 agents, 25 names, 9 models and 16 types of errors.
-- Workspace 2: one user, one page view. Workspace 3: nothing.
CREATE TEMP TABLE day AS SELECT (now() AT TIME ZONE 'UTC')::date AS today;
CREATE TEMP VIEW generated AS
SELECT u, d, n, (today - d)::timestamp AT TIME ZONE 'UTC' + ((n * 37 + u) % 1440) * interval '1 minute' AS at
FROM day, generate_series(1, 12) AS u, generate_series(0, 27) AS d, generate_series(1, 6) AS n
WHERE (u * 7 + d * 5) % (u % 4 + 2) = 0 AND d < 31 - u;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT pg_temp.id('a', 1), pg_temp.id('b', u), v.type, v.name, v.metadata, at
FROM generated, LATERAL (VALUES
    (1, 'page_view', NULL, '{}'::jsonb),
    (2, 'feature_use', 'feature ' || (u * d) % 25, '{}'),
    (3, 'agent_run', NULL, jsonb_strip_nulls(jsonb_build_object('agent_id', pg_temp.id('c', (u + d) % 25), 'status', (ARRAY['ok', 'failed', 'ok', 'cancelled', 'ok', 'odd'])[1 + (u + d) % 6],
        'runtime', 1 + (u * d) % 90, 'credits', 0.25 * (1 + u % 3), 'model', 'model ' || d % 9, 'error_type', CASE WHEN (u + d) % 6 = 1 THEN 'type ' || (u + d) % 16 END))),
    (4, 'error', NULL, jsonb_build_object('error_type', 'type ' || (u + 2 * d) % 16)),
    (5, 'feature_use', 'search', '{}'),
    (6, 'agent_run', NULL, jsonb_build_object('agent_id', pg_temp.id('c', 1), 'status', 'ok', 'runtime', 5, 'credits', 1, 'model', 'model 1'))) AS v (n, type, name, metadata)
WHERE v.n = generated.n AND at <= now();
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.id('a', 2), pg_temp.id('b', 20), 'page_view', (today - 3)::timestamp AT TIME ZONE 'UTC' + interval '12 hours' FROM day;
SELECT count(analytics.aggregate_daily_metrics(today - d)) AS days FROM day, generate_series(0, 27) AS d;
SELECT count(analytics.aggregate_hourly_metrics(date_trunc('hour', now()) - h * interval '1 hour')) AS hours FROM generate_series(0, 28 * 24) AS h;
INSERT INTO analytics.workspaces VALUES (pg_temp.id('a', 1), 'Wörks </script>');
INSERT INTO analytics.agents VALUES (pg_temp.id('a', 1), pg_temp.id('c', 1), 'One'), (pg_temp.id('a', 2), pg_temp.id('c', 2), 'of another workspace');
INSERT INTO analytics.alert_rules (workspace_id, id, name, metric_type, condition, threshold_value, severity)
SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'rule ' || w, 'error_rate', 'greater_than', 5, 'critical' FROM generate_series(1, 2) AS w;
INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, metric_value, threshold_value, reason)
VALUES (pg_temp.id('a', 1), pg_temp.id('e', 1), pg_temp.id('d', 1), 'rule 1', 'critical', '2025-10-01', 'error_rate', 'greater_than', 7.5, 5, 'error_rate 7.50 > 5');
INSERT INTO analytics.alert_rule_states AS s (workspace_id, alert_rule_id, state, since, alert_id)
SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'firing', '2025-10-01', CASE w WHEN 1 THEN pg_temp.id('e', 1) END FROM generate_series(1, 2) AS w
ON CONFLICT (workspace_id, alert_rule_id) DO UPDATE SET state = EXCLUDED.state, since = EXCLUDED.since, alert_id = EXCLUDED.alert_id;

-- The last 14 complete days; 'e' are their events.
CREATE TEMP VIEW bounds AS SELECT today - 14 AS first, today - 1 AS last, today - 28 AS previous FROM day;
CREATE TEMP TABLE r AS SELECT analytics.report(pg_temp.id('a', 1), first, last) AS doc FROM bounds;
CREATE TEMP VIEW e AS
SELECT a.*, (a.created_at AT TIME ZONE 'UTC')::date AS day FROM analytics.user_activity AS a, bounds
WHERE a.workspace_id = pg_temp.id('a', 1) AND (a.created_at AT TIME ZONE 'UTC')::date BETWEEN first AND last;
CREATE TEMP VIEW m AS
SELECT d.* FROM analytics.daily_metrics AS d, bounds WHERE d.workspace_id = pg_temp.id('a', 1) AND d.metric_date BETWEEN first AND last;
SELECT string_agg(k, ' ' ORDER BY k) AS sections FROM r, jsonb_object_keys(doc) AS k;
SELECT doc -> 'version' AS version, doc -> 'workspace' AS workspace, doc -> 'range' ->> 'days' AS days,
       doc -> 'range' @> jsonb_build_object('start_date', first, 'end_date', last, 'previous_start_date', previous, 'previous_end_date', first - 1, 'today', last + 1) AS range,
       (doc ->> 'generated_at')::timestamptz = now() AS generated_at
FROM r, bounds;
SELECT doc -> 'freshness' @> jsonb_build_object('first_day', min(a.day), 'newest_day', max(a.day), 'newest_final_day', max(a.day) FILTER (WHERE a.day <= last),
                                                'provisional_days', 0) AS freshness,
       (doc #>> '{freshness,newest_hour}')::timestamptz <= now() AS newest_hour, (doc #>> '{freshness,computed_at}')::timestamptz <= clock_timestamp() AS computed_at
FROM r, bounds, (SELECT (created_at AT TIME ZONE 'UTC')::date AS day FROM analytics.user_activity WHERE workspace_id = pg_temp.id('a', 1)) AS a
GROUP BY doc;

\echo -- headline: distinct users, runs, rates from the events; the rest from the rollups
SELECT doc #> '{headline,active_users,value}' = to_jsonb((SELECT count(DISTINCT user_id) FROM e)) AS active_users,
       doc #> '{headline,total_events,value}' = to_jsonb((SELECT count(*) FROM e)) AS total_events,
       doc #> '{headline,total_runs,value}' = to_jsonb((SELECT count(*) FROM e WHERE event_type = 'agent_run')) AS total_runs,
       doc #> '{headline,success_rate,value}' = to_jsonb((SELECT round(100.0 * count(*) FILTER (WHERE metadata ->> 'status' = 'ok')
           / count(*) FILTER (WHERE metadata ->> 'status' IN ('ok', 'failed')), 2) FROM e WHERE event_type = 'agent_run')) AS success_rate,
       doc #> '{headline,total_sessions,value}' = to_jsonb((SELECT sum(total_sessions) FROM m)) AS total_sessions,
       doc #> '{headline,total_credits,value}' = to_jsonb((SELECT sum((metadata ->> 'credits')::numeric) FROM e)) AS total_credits,
       abs((doc #>> '{headline,p95_runtime_seconds,value}')::numeric / (SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY (metadata ->> 'runtime')::numeric) FROM e
           WHERE event_type = 'agent_run' AND metadata ->> 'status' <> 'cancelled')::numeric - 1) < 0.011 AS p95_runtime,
       (doc #>> '{headline,error_rate,value}')::numeric = (SELECT round(100.0 * sum(total_errors) / sum(total_events), 2) FROM m) AS error_rate
FROM r;
SELECT h.key, h.value ->> 'previous' = (p.doc -> 'headline' -> h.key ->> 'value') AS previous,
       (h.value ->> 'difference')::numeric = (h.value ->> 'value')::numeric - (h.value ->> 'previous')::numeric AS difference,
       (h.value ->> 'change')::numeric = round(100 * (h.value ->> 'difference')::numeric / (h.value ->> 'previous')::numeric, 2) AS change
FROM r, jsonb_each(r.doc -> 'headline') AS h, (SELECT analytics.report(pg_temp.id('a', 1), previous, first - 1) AS doc FROM bounds) AS p ORDER BY 1;

\echo -- days
SELECT count(*) AS days, count(*) FILTER (WHERE
           j.total_events = m.total_events AND j.total_runs = m.total_runs AND j.successful_runs = m.successful_runs AND j.failed_runs = m.failed_runs
           AND j.cancelled_runs = m.cancelled_runs AND j.total_sessions = m.total_sessions AND j.total_credits = m.total_credits_consumed AND j.total_errors = m.total_errors
           AND j.success_rate IS NOT DISTINCT FROM m.success_rate AND j.error_rate IS NOT DISTINCT FROM m.error_rate AND j.p95_runtime_seconds IS NOT DISTINCT FROM round(m.p95_runtime_seconds, 2)
           AND j.median_runtime_seconds IS NOT DISTINCT FROM round(m.median_runtime_seconds, 2) AND j.total_cost IS NOT DISTINCT FROM m.total_cost AND j.is_final = m.is_final) AS equal,
       count(*) FILTER (WHERE j.daily_active_users = (SELECT count(DISTINCT user_id) FROM e WHERE e.day = j.date)) AS users_equal
FROM r, jsonb_to_recordset(doc -> 'daily') AS j (date date, is_final boolean, daily_active_users bigint, total_events bigint, total_sessions bigint, total_runs bigint,
     successful_runs bigint, failed_runs bigint, cancelled_runs bigint, success_rate numeric, median_runtime_seconds numeric, p95_runtime_seconds numeric,
     total_credits numeric, total_cost numeric, total_errors bigint, error_rate numeric)
LEFT JOIN m ON m.metric_date = j.date;
SELECT jsonb_agg(j - '{date,is_final,daily_active_users,weekly_active_users,monthly_active_users,stickiness}'::text[]) IS NOT NULL AS has_days,
       count(*) FILTER (WHERE (j ->> 'weekly_active_users')::bigint = u.weekly_active_users AND (j ->> 'monthly_active_users')::bigint = u.monthly_active_users
                          AND (j ->> 'stickiness')::numeric = u.stickiness) AS equal
FROM r, bounds, jsonb_array_elements(doc -> 'daily') AS j, analytics.get_active_users(pg_temp.id('a', 1), first, last) AS u WHERE u.activity_date = (j ->> 'date')::date;

\echo -- lists: what is left out is counted
SELECT jsonb_array_length(doc #> '{agents,items}') AS agents, doc #> '{agents,more,items}' AS more,
       (SELECT sum((i ->> 'total_runs')::bigint) FROM jsonb_array_elements(doc #> '{agents,items}') AS i) + (doc #>> '{agents,more,total_runs}')::bigint
           = (SELECT count(*) FROM e WHERE event_type = 'agent_run') AS sum,
       jsonb_array_length(doc #> '{features,items}') AS features, doc #> '{features,more,items}' AS more,
       (SELECT sum((i ->> 'events')::bigint) FROM jsonb_array_elements(doc #> '{features,items}') AS i) + (doc #>> '{features,more,events}')::bigint
           = (SELECT count(*) FROM e WHERE event_name <> '') AS sum,
       jsonb_array_length(doc #> '{errors,items}') AS errors, doc #> '{errors,more,items}' AS more,
       (SELECT sum((i ->> 'errors')::bigint) FROM jsonb_array_elements(doc #> '{errors,items}') AS i) + (doc #>> '{errors,more,errors}')::bigint
           = (SELECT sum(total_errors) FROM m) AS sum,
       jsonb_array_length(doc #> '{models,items}') AS models, doc #> '{models,more,items}' AS more,
       (SELECT sum((i ->> 'credits')::numeric) FROM jsonb_array_elements(doc #> '{models,items}') AS i) + (doc #>> '{models,more,credits}')::numeric
           = (SELECT sum(total_credits_consumed) FROM m) AS sum
FROM r;
SELECT count(*) FILTER (WHERE i ->> 'total_runs' = x.runs::text AND i ->> 'failed_runs' = x.failed::text AND i ->> 'distinct_users' = x.users::text
                          AND (i ->> 'total_credits')::numeric = x.credits) AS agents_equal,
       count(*) FILTER (WHERE (SELECT sum(d::bigint) FROM jsonb_array_elements_text(i -> 'daily_runs') AS d)::text = i ->> 'total_runs'
                          AND jsonb_array_length(i -> 'daily_runs') = jsonb_array_length(doc -> 'daily')) AS sums,
       string_agg(i ->> 'name', ',') AS names
FROM r, jsonb_array_elements(doc #> '{agents,items}') AS i
LEFT JOIN (SELECT metadata ->> 'agent_id' AS agent, count(*) AS runs, count(*) FILTER (WHERE metadata ->> 'status' = 'failed') AS failed,
                  count(DISTINCT user_id) AS users, sum((metadata ->> 'credits')::numeric) AS credits
           FROM e WHERE event_type = 'agent_run' GROUP BY 1) AS x ON x.agent = i ->> 'agent_id';
SELECT count(*) FILTER (WHERE i ->> 'events' = x.events::text AND i ->> 'distinct_users' = x.users::text) AS features_equal
FROM r, jsonb_array_elements(doc #> '{features,items}') AS i
LEFT JOIN (SELECT event_type, event_name, count(*) AS events, count(DISTINCT user_id) AS users FROM e GROUP BY 1, 2) AS x
     ON x.event_type = i ->> 'event_type' AND x.event_name = i ->> 'event_name';
SELECT count(*) FILTER (WHERE (i ->> 'credits')::numeric = x.credits
                          AND (SELECT sum(d::numeric) FROM jsonb_array_elements_text(i -> 'daily_credits') AS d) = x.credits) AS models_equal
FROM r, jsonb_array_elements(doc #> '{models,items}') AS i
LEFT JOIN (SELECT metadata ->> 'model' AS model, sum((metadata ->> 'credits')::numeric) AS credits FROM e GROUP BY 1) AS x ON x.model = i ->> 'model';
SELECT count(*) FILTER (WHERE (i ->> 'errors')::bigint = x.errors
                          AND (SELECT sum(d::bigint) FROM jsonb_array_elements_text(i -> 'daily_errors') AS d) = x.errors) AS errors_equal
FROM r, jsonb_array_elements(doc #> '{errors,items}') AS i
LEFT JOIN (SELECT t.key, sum(t.value::bigint) AS errors FROM m, jsonb_each_text(m.errors_by_type) AS t GROUP BY 1) AS x ON x.key = i ->> 'error_type';
-- Previous values of a list are those of the previous days.
SELECT count(*) FILTER (WHERE (i ->> 'previous_total_runs')::bigint = (SELECT coalesce(sum(a.total_runs), 0) FROM analytics.agent_performance AS a, bounds
           WHERE a.workspace_id = pg_temp.id('a', 1) AND a.agent_id = (i ->> 'agent_id')::uuid AND a.metric_date BETWEEN previous AND first - 1)) AS agents_equal
FROM r, jsonb_array_elements(doc #> '{agents,items}') AS i;

\echo -- hours, lifecycle, retention as their readers give them; alerts of this workspace
SELECT jsonb_array_length(doc -> 'hours') AS hours, (SELECT count(*) FROM bounds, analytics.get_usage_by_hour(pg_temp.id('a', 1), first, last) AS h
       WHERE doc -> 'hours' @> jsonb_build_array(to_jsonb(h) - '{failed_runs,total_credits}'::text[])) AS equal FROM r;
SELECT doc #>> '{lifecycle,period}' AS period, jsonb_array_length(doc #> '{lifecycle,items}')
           = (SELECT count(*) FROM bounds, analytics.get_lifecycle(pg_temp.id('a', 1), 'daily', first, last) AS l
              WHERE doc #> '{lifecycle,items}' @> jsonb_build_array(to_jsonb(l))) AS equal,
       (SELECT bool_and((i ->> 'is_final')::boolean) FROM jsonb_array_elements(doc #> '{lifecycle,items}') AS i) AS is_final FROM r;
SELECT count(*) > 3 AS cells, bool_and(doc #> '{retention,items}' @> jsonb_build_array(jsonb_build_object('cohort_date', c.cohort_date, 'initial_users', c.initial_users)))
           AND bool_and((SELECT (i -> 'retention_rates' ->> c.period_number)::numeric = c.retention_rate AND (i -> 'retained_users' ->> c.period_number)::bigint = c.retained_users
                         FROM jsonb_array_elements(doc #> '{retention,items}') AS i WHERE (i ->> 'cohort_date')::date = c.cohort_date)) AS equal
FROM r, bounds, analytics.get_retention_matrix(pg_temp.id('a', 1), 'weekly', last - 83, last) AS c;
SELECT doc -> 'alerts' AS alerts, doc -> 'annotations' AS annotations FROM r;

\echo -- what is running is marked
SELECT doc #> '{daily,-1,is_final}' AS today, doc #> '{daily,-2,is_final}' AS yesterday, doc #> '{lifecycle,items,-1,is_final}' AS period,
       doc #> '{lifecycle,items,-1,dormant_users}' AS dormant, (doc #>> '{freshness,provisional_days}')::bigint = (SELECT count(*) FROM analytics.daily_metrics
           WHERE workspace_id = pg_temp.id('a', 1) AND NOT is_final) AS provisional
FROM day, analytics.report(pg_temp.id('a', 1), today - 1, today + 5) AS doc;
SELECT doc #>> '{lifecycle,period}' AS period, doc #> '{lifecycle,items,-1,is_final}' AS is_final FROM day, analytics.report(pg_temp.id('a', 1), today - 27, today) AS doc;
SELECT doc #>> '{lifecycle,period}' AS period, jsonb_array_length(doc -> 'daily') AS days FROM day, analytics.report(pg_temp.id('a', 1), today - 1099, today) AS doc;

\echo -- little, or nothing
SELECT doc #> '{headline,active_users,value}' AS users, doc #> '{headline,total_runs,value}' AS runs, doc #> '{headline,success_rate,value}' AS success_rate,
       jsonb_array_length(doc -> 'daily') AS days, doc #> '{agents}' AS agents, doc #> '{models}' AS models, doc #> '{features}' AS features, doc #> '{errors}' AS errors,
       doc #> '{alerts,items,0,reason}' AS reason, doc #> '{alerts,items,0,metric_value}' AS metric_value
FROM day, analytics.report(pg_temp.id('a', 2), today - 3, today - 3) AS doc;
SELECT jsonb_pretty(doc - '{range,generated_at,daily}'::text[]) AS an_empty_workspace, jsonb_array_length(doc -> 'daily') AS days, doc #> '{daily,0,daily_active_users}' AS users
FROM analytics.report(pg_temp.id('a', 3)) AS doc;
SELECT doc -> 'daily' AS a_range_in_the_future, doc #> '{headline,total_events,value}' AS events, doc #> '{lifecycle,items}' AS lifecycle FROM day, analytics.report(pg_temp.id('a', 1), today + 10, today + 20) AS doc;
SELECT analytics.report(NULL) AS of_null;
COMMIT;

\echo -- errors
SELECT analytics.report(pg_temp.id('a', 1), '2025-10-02', '2025-10-01');
SELECT analytics.report(pg_temp.id('a', 1), '2025-10-02', 'infinity');
SELECT analytics.report(pg_temp.id('a', 1), '2020-01-01', '2025-10-01');

\echo -- a member, without the schema of the sections; of another workspace NULL, of an own one without data a report
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members SELECT pg_temp.id('a', w), pg_temp.id('b', 1) FROM unnest('{1,3}'::integer[]) AS w;
SELECT analytics.setup_roles('regress_report_anon', 'regress_report_member', 'regress_report_service');
SELECT set_config('request.jwt.claims', json_build_object('sub', pg_temp.id('b', 1))::text, false) <> '' AS claims;
CREATE TEMP TABLE as_owner AS SELECT first, last, analytics.report(pg_temp.id('a', 1), first, last) - 'generated_at' AS doc FROM bounds;
GRANT SELECT ON as_owner, day, bounds TO regress_report_member;
SET ROLE regress_report_member;
SELECT analytics.report(pg_temp.id('a', 1), first, last) - 'generated_at' = doc AS own FROM as_owner;
SELECT analytics.report(pg_temp.id('a', 2)) AS foreign_one, analytics.report(pg_temp.id('a', 3)) #> '{freshness,first_day}' AS empty_one, analytics.report(pg_temp.id('a', 9)) AS unknown_one;
SELECT analytics_internal.report_headline(pg_temp.id('a', 1), first, last) FROM bounds;
RESET ROLE;
SELECT set_config('request.jwt.claims', '', false);
SET ROLE regress_report_anon;
SELECT analytics.report(pg_temp.id('a', 1));
RESET ROLE;

DROP TABLE public.workspace_members, as_owner;
DROP OWNED BY regress_report_anon, regress_report_member, regress_report_service;
DROP ROLE regress_report_anon, regress_report_member, regress_report_service;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts,
         analytics.alert_rules, analytics.alert_rule_states, analytics.alert_history, analytics.workspaces, analytics.agents, analytics.access_roles;
DELETE FROM analytics.settings;
