-- Questions about real events (test/data) against the same computed in plain SQL: repositories, where whole seconds and exact
-- duplicates make ties common, readers, and jobs in Stockholm's time around both clock changes.
SET client_min_messages = warning;
SET jit = off;
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set columns 'analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)'
\set load_kth_jobs '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/kth_jobs.csv' '''' ' CSV HEADER'
\set load_github_events '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/github_events.csv' '''' ' CSV HEADER'
\set load_reader_sessions '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/reader_sessions.csv' '''' ' CSV HEADER'
BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.workspace_settings;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
:load_kth_jobs
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT DISTINCT workspace_id, 'Europe/Stockholm', '-infinity'::timestamptz FROM analytics.user_activity;
:load_github_events
:load_reader_sessions
CREATE TEMP TABLE e AS
SELECT u.id, u.workspace_id AS w, u.user_id AS u, u.event_type AS type, COALESCE(u.event_name, '') AS name, u.page_path AS page, u.metadata, u.created_at AS at,
       (u.created_at AT TIME ZONE COALESCE(s.time_zone, 'UTC'))::date AS day
FROM analytics.user_activity AS u LEFT JOIN analytics.workspace_settings AS s USING (workspace_id);
CREATE INDEX ON e (w, u, name, at);
ANALYZE e;
-- Sessions: within a local day, a gap of 30 minutes begins another.
CREATE TEMP TABLE s AS
SELECT x.*, count(*) FILTER (WHERE is_start) OVER (PARTITION BY w, u ORDER BY at, id) AS session
FROM (SELECT e.*, COALESCE(at - lag(at) OVER d >= '30 minutes', true) AS is_start FROM e WINDOW d AS (PARTITION BY w, u, day ORDER BY at, id)) AS x;
CREATE TEMP TABLE workspace AS SELECT w, min(day) AS first, max(day) AS last, min(name) FILTER (WHERE name = 'PushEvent') IS NOT NULL AS is_repository FROM e GROUP BY w;

-- Rows that only one side has.
CREATE FUNCTION pg_temp.compare(what text, ours text, theirs text, OUT question text, OUT "rows" bigint, OUT differ bigint) LANGUAGE plpgsql AS $$
BEGIN
    question := what;
    EXECUTE format('WITH a AS (SELECT (x)::text AS r FROM (%s) AS x), b AS (SELECT (x)::text AS r FROM (%s) AS x)
                    SELECT (SELECT count(*) FROM b), (SELECT count(*) FROM (TABLE a EXCEPT ALL TABLE b) AS d) + (SELECT count(*) FROM (TABLE b EXCEPT ALL TABLE a) AS d)',
                   ours, theirs) INTO "rows", differ;
END
$$;

-- A chain is three distinct events in order of time within 3 days of the first.
SELECT * FROM pg_temp.compare('get_funnel', $$
    SELECT w, step, entrants FROM workspace, analytics.get_funnel(w, '["page_view:WatchEvent", "feature_use:ForkEvent", "form_submit:PullRequestEvent"]', first, last, conversion_window => '3 days') WHERE is_repository
$$, $$
    WITH a AS (SELECT w, u, at FROM e WHERE name = 'WatchEvent'),
         b AS (SELECT DISTINCT a.w, a.u, a.at, e.at AS at2 FROM a JOIN e USING (w, u) WHERE e.name = 'ForkEvent' AND e.at BETWEEN a.at AND a.at + interval '72 hours'),
         c AS (SELECT DISTINCT b.w, b.u FROM b JOIN e USING (w, u) WHERE e.name = 'PullRequestEvent' AND e.at BETWEEN b.at2 AND b.at + interval '72 hours')
    SELECT w, step::bigint, count(DISTINCT u) FROM workspace CROSS JOIN generate_series(1, 3) AS step LEFT JOIN (
        SELECT w, 1 AS step, u FROM a UNION ALL SELECT w, 2, u FROM b UNION ALL SELECT w, 3, u FROM c) AS x USING (w, step)
    WHERE is_repository GROUP BY w, step
$$);
-- The same event twice, without another in between: an exact duplicate is another event.
SELECT * FROM pg_temp.compare('get_funnel, exclusion', $$
    SELECT w, step, entrants FROM workspace, analytics.get_funnel(w, '["form_submit:PullRequestEvent", "form_submit:PullRequestEvent"]', first, last, conversion_window => '1 day',
        exclusions => '[{"event": "form_submit:PullRequestReviewCommentEvent"}]') WHERE is_repository
$$, $$
    WITH a AS (SELECT * FROM e WHERE name = 'PullRequestEvent'),
         b AS (SELECT DISTINCT a.w, a.u FROM a JOIN a AS b ON b.w = a.w AND b.u = a.u AND b.id <> a.id AND b.at BETWEEN a.at AND a.at + interval '24 hours'
               WHERE NOT EXISTS (SELECT FROM e AS x WHERE x.w = a.w AND x.u = a.u AND x.name = 'PullRequestReviewCommentEvent' AND x.at > a.at AND x.at < b.at))
    SELECT w, step::bigint, count(DISTINCT u) FROM workspace CROSS JOIN generate_series(1, 2) AS step LEFT JOIN (SELECT w, 1 AS step, u FROM a UNION ALL SELECT w, 2, u FROM b) AS x USING (w, step)
    WHERE is_repository GROUP BY w, step
$$);
SELECT * FROM pg_temp.compare('get_trend, users by name', $$
    SELECT w, period_start, breakdown_value, value::bigint FROM workspace, analytics.get_trend(w, '{"event": "*", "measure": "users"}', 'weekly', first, last, breakdown => 'event_name', breakdown_limit => 100) WHERE is_repository
$$, $$
    SELECT w, p::date, n.name, (SELECT count(DISTINCT u) FROM e WHERE e.w = k.w AND e.name = n.name AND date_trunc('week', e.day::timestamp) = p)
    FROM workspace AS k CROSS JOIN LATERAL generate_series(date_trunc('week', first::timestamp), last, '7 days') AS p
    JOIN LATERAL (SELECT DISTINCT name FROM e WHERE e.w = k.w) AS n ON true WHERE is_repository
$$);
SELECT * FROM pg_temp.compare('get_trend, runs of local days', $$
    SELECT w, period_start, breakdown_value, value::numeric FROM workspace, analytics.get_trend(w, '{"event": "agent_run", "measure": "sum(metadata.runtime_seconds)"}', 'daily', first, last, breakdown => 'metadata.status') WHERE value > 0
$$, $$
    SELECT w, day, metadata ->> 'status', trim_scale(sum((metadata ->> 'runtime_seconds')::numeric)) FROM e WHERE type = 'agent_run' GROUP BY 1, 2, 3 HAVING sum((metadata ->> 'runtime_seconds')::numeric) > 0
$$);
SELECT * FROM pg_temp.compare('get_run_metrics', $$
    SELECT w, breakdown_value, runs, successful_runs, failed_runs, avg_runtime_seconds, p50_runtime_seconds, p95_runtime_seconds, unique_users
    FROM workspace, analytics.get_run_metrics(w, 'metadata.agent_id', start_date => first, end_date => last, breakdown_limit => 1000)
$$, $$
    SELECT w, metadata ->> 'agent_id', count(*), count(*) FILTER (WHERE metadata ->> 'status' = 'completed'), count(*) FILTER (WHERE metadata ->> 'status' = 'failed'), round(avg(r), 2),
           round(percentile_cont(0.5) WITHIN GROUP (ORDER BY r)::numeric, 2), round(percentile_cont(0.95) WITHIN GROUP (ORDER BY r)::numeric, 2), count(DISTINCT u)
    FROM e, LATERAL (SELECT (metadata ->> 'runtime_seconds')::numeric AS r) AS x WHERE type = 'agent_run' GROUP BY 1, 2
$$);
SELECT * FROM pg_temp.compare('get_event_retention, daily', $$
    SELECT w, cohort_date, period_number, initial_users, retained_users FROM workspace, analytics.get_event_retention(w, '"*"', '["form_submit", "feature_use"]', 'daily', first, last, as_of => (last + 1)::timestamptz) WHERE is_repository
$$, $$
    WITH first AS (SELECT w, u, min(day) AS cohort FROM e GROUP BY w, u), size AS (SELECT w, cohort, count(*) AS users FROM first GROUP BY w, cohort)
    SELECT w, cohort, n::bigint, users, (SELECT count(DISTINCT e.u) FROM first AS f JOIN e USING (w, u) WHERE f.w = z.w AND f.cohort = z.cohort AND e.type IN ('form_submit', 'feature_use') AND e.day = z.cohort + n)
    FROM size AS z JOIN workspace USING (w) CROSS JOIN LATERAL generate_series(0, last - cohort) AS n WHERE is_repository
$$);
SELECT * FROM pg_temp.compare('get_stickiness', $$
    SELECT k.w, periods_active, users FROM workspace AS k, analytics.get_stickiness(k.w, '"*"', 'daily', first, last)
$$, $$
    SELECT k.w, n::bigint, count(x.u) FROM workspace AS k CROSS JOIN LATERAL generate_series(1, last - first + 1) AS n
    LEFT JOIN (SELECT w, u, count(DISTINCT day) AS days FROM e GROUP BY w, u) AS x ON x.w = k.w AND x.days = n GROUP BY 1, 2
$$);
SELECT * FROM pg_temp.compare('get_event_lifecycle', $$
    SELECT w, period_start, new_users, returning_users, resurrecting_users, dormant_users FROM workspace, analytics.get_event_lifecycle(w, '"*"', 'daily', first, last)
$$, $$
    WITH a AS (SELECT DISTINCT w, u, day FROM e), f AS (SELECT w, u, min(day) AS first FROM a GROUP BY w, u)
    SELECT k.w, d::date, count(*) FILTER (WHERE a.day = d AND f.first = d), count(*) FILTER (WHERE a.day = d AND f.first < d AND b.day IS NOT NULL),
           count(*) FILTER (WHERE a.day = d AND f.first < d AND b.day IS NULL), count(*) FILTER (WHERE a.day IS NULL AND b.day IS NOT NULL)
    FROM workspace AS k CROSS JOIN LATERAL generate_series(first::timestamp, last, '1 day') AS d
    JOIN f ON f.w = k.w LEFT JOIN a ON a.w = k.w AND a.u = f.u AND a.day = d LEFT JOIN a AS b ON b.w = k.w AND b.u = f.u AND b.day = d - interval '1 day' GROUP BY 1, 2
$$);
SELECT * FROM pg_temp.compare('get_pages', $$
    SELECT w, page_path, views, users, sessions, entries, exits, bounces, avg_seconds FROM workspace, analytics.get_pages(w, first, last)
$$, $$
    SELECT w, page, count(*), count(DISTINCT u), count(DISTINCT (u, session)), count(*) FILTER (WHERE nth = 1), count(*) FILTER (WHERE nth = n), count(*) FILTER (WHERE nth = 1 AND all_events = 1),
           round(avg(extract(epoch FROM next - at)), 2)
    FROM (SELECT v.*, row_number() OVER o AS nth, count(*) OVER p AS n FROM (
            SELECT s.*, lead(at) OVER o AS next, count(*) OVER p AS all_events FROM s WINDOW p AS (PARTITION BY w, u, session), o AS (p ORDER BY at, id)) AS v
          WHERE type = 'page_view' AND page <> '' WINDOW p AS (PARTITION BY w, u, session), o AS (p ORDER BY at, id)) AS x GROUP BY w, page
$$);
SELECT * FROM pg_temp.compare('get_paths', $$
    SELECT w, step, source, target, paths, users FROM workspace, analytics.get_paths(w, first, last, '"*"', 'event_name', max_steps => 4, max_nodes => 1000) WHERE is_repository
$$, $$
    WITH v AS (SELECT x.*, row_number() OVER (PARTITION BY w, u, session ORDER BY at, id) AS step
               FROM (SELECT s.*, name IS DISTINCT FROM lag(name) OVER (PARTITION BY w, u, session ORDER BY at, id) AS is_new FROM s WHERE name <> '') AS x WHERE is_new)
    SELECT w, step, name, next, count(*), count(DISTINCT u)
    FROM (SELECT v.*, lead(name) OVER (PARTITION BY w, u, session ORDER BY step) AS next FROM v) AS x JOIN workspace USING (w)
    WHERE is_repository AND (step < 4 OR step = 4 AND next IS NULL) GROUP BY 1, 2, 3, 4
$$);
SELECT * FROM pg_temp.compare('get_attribution', $$
    SELECT w, value, conversions, users FROM workspace, analytics.get_attribution(w, '"form_submit:PullRequestEvent"', 'event_name', first, last, lookback => '2 days', touches => '["page_view", "feature_use"]') WHERE is_repository
$$, $$
    SELECT c.w, t.name, count(*), count(DISTINCT c.u) FROM e AS c LEFT JOIN LATERAL (
        SELECT name FROM e WHERE e.w = c.w AND e.u = c.u AND e.type IN ('page_view', 'feature_use') AND e.at BETWEEN c.at - interval '48 hours' AND c.at ORDER BY e.at DESC, e.id DESC LIMIT 1) AS t ON true
    WHERE c.name = 'PullRequestEvent' GROUP BY 1, 2
$$);
-- Users, once rollups have numbered them.
SELECT count(analytics.aggregate_daily_metrics(day::date)) AS days FROM generate_series('2015-03-21'::timestamp, '2015-04-05', '1 day') AS day;
SELECT * FROM pg_temp.compare('users_who', $$
    SELECT k.w, n.user_id FROM workspace AS k CROSS JOIN LATERAL analytics.user_set_elements(analytics.users_who(k.w, '{"all": [{"did": "form_submit:PullRequestEvent", "times": 3, "from": "2015-03-23", "to": "2015-04-03"},
        {"any": [{"did": "*", "on_days": {"lt": 9}, "from": "2015-01-01"}, {"not": {"did": "feature_use", "from": "2015-03-25"}}]}]}')) AS m JOIN analytics.users AS n ON n.workspace_id = k.w AND n.user_number = m WHERE is_repository
$$, $$
    SELECT w, u FROM e JOIN workspace USING (w) WHERE is_repository GROUP BY w, u
    HAVING count(*) FILTER (WHERE name = 'PullRequestEvent' AND day BETWEEN '2015-03-23' AND '2015-04-03') >= 3
       AND (count(DISTINCT day) < 9 OR count(*) FILTER (WHERE type = 'feature_use' AND day >= '2015-03-25') = 0)
$$);
SELECT * FROM pg_temp.compare('get_event_lifecycle, from sets', $$
    SELECT w, l.* FROM workspace, analytics.get_event_lifecycle(w, '"form_submit"', 'weekly', '2015-03-23', '2015-04-04') AS l WHERE is_repository
$$, $$
    SELECT w, l.* FROM workspace, analytics.get_event_lifecycle(w, '"form_submit"', 'weekly', '2015-03-23', '2015-04-04', filter => '{}') AS l WHERE is_repository
$$);
-- What holds whatever the events are: how many rows it was checked on, and on how many it does not hold.
CREATE TEMP TABLE f AS
SELECT k.w, v.variant, f.step, f.breakdown_value AS b, f.entrants, f.dropped, f.in_progress, COALESCE(lead(f.entrants) OVER (PARTITION BY k.w, v.variant, f.breakdown_value ORDER BY f.step), 0) AS next
FROM workspace AS k CROSS JOIN (VALUES
    ('plain', interval '2 days', 'ordered', NULL::jsonb, NULL), ('longer', '5 days', 'ordered', NULL, NULL), ('strict', '2 days', 'strict', NULL, NULL), ('any', '2 days', 'any', NULL, NULL),
    ('excluded', '2 days', 'ordered', '[{"event": "form_submit:IssuesEvent"}]', NULL), ('by name', '2 days', 'ordered', NULL, 'event_name')) AS v (variant, lasts, step_order, exclusions, breakdown)
CROSS JOIN LATERAL analytics.get_funnel(k.w, '[["page_view", "form_submit"], "feature_use", "form_submit:PullRequestEvent"]', first, last, v.lasts, v.step_order, v.exclusions, breakdown => v.breakdown,
                                        as_of => '2015-04-04 12:00Z') AS f WHERE k.is_repository;
SELECT i.invariant, count(*) AS checked, count(*) FILTER (WHERE NOT i.holds) AS violated FROM (
    SELECT 1, 'entrants: the next step, dropped, in progress', step = 3 AND dropped + in_progress = 0 OR entrants = next + dropped + in_progress AND next <= entrants FROM f
    UNION ALL SELECT 2, 'groups sum to the whole', sum(g.entrants) = max(p.entrants) FROM f AS g JOIN f AS p USING (w, step) WHERE g.variant = 'by name' AND p.variant = 'plain' GROUP BY w, step
    UNION ALL SELECT 3, 'longer, any >= plain >= strict, excluded', CASE WHEN g.variant IN ('longer', 'any') THEN g.entrants >= p.entrants ELSE g.entrants <= p.entrants END
    FROM f AS g JOIN f AS p USING (w, step) WHERE g.variant <> 'by name' AND p.variant = 'plain'
    UNION ALL SELECT 4, 'stickiness sums to users', sum(s.users) = (SELECT count(DISTINCT u) FROM e WHERE e.w = k.w) FROM workspace AS k, analytics.get_stickiness(k.w, '"*"', 'weekly', first, last) AS s WHERE is_repository GROUP BY k.w
    UNION ALL SELECT 5, 'retention at once is 100', r.retention_rate = 100 FROM workspace AS k, analytics.get_event_retention(k.w, '"*"', NULL, 'daily', first, last) AS r WHERE is_repository AND r.period_number = 0
    UNION ALL SELECT 6, 'paths into a node are paths out of it', sum(p.paths * CASE WHEN p.is_out THEN 1 ELSE -1 END) = 0 FROM (
        SELECT k.w, p.step, p.source AS node, p.paths, true AS is_out FROM workspace AS k, analytics.get_paths(k.w, first, last, '"*"', 'event_name', max_steps => 50, max_nodes => 3) AS p WHERE is_repository AND p.step > 1
        UNION ALL SELECT k.w, p.step + 1, p.target, p.paths, false FROM workspace AS k, analytics.get_paths(k.w, first, last, '"*"', 'event_name', max_steps => 50, max_nodes => 3) AS p WHERE is_repository AND p.target IS NOT NULL) AS p
    WHERE p.step < 50 GROUP BY p.w, p.step, p.node
    UNION ALL SELECT 7, 'conversions sum to all', sum(a.conversions) = (SELECT count(*) FROM e WHERE e.w = k.w AND name = 'PullRequestEvent')
    FROM workspace AS k, analytics.get_attribution(k.w, '"form_submit:PullRequestEvent"', 'page_path', first, last) AS a WHERE is_repository GROUP BY k.w) AS i (n, invariant, holds)
GROUP BY i.n, i.invariant ORDER BY i.n;
-- The order of rows and their ids change nothing.
CREATE TEMP TABLE before AS SELECT k.w, f.* FROM workspace AS k, analytics.get_funnel(k.w, '["page_view", "feature_use", "form_submit"]', first, last, step_order => 'strict') AS f WHERE is_repository;
CREATE TEMP TABLE copied AS SELECT * FROM analytics.user_activity WHERE workspace_id IN (SELECT w FROM workspace WHERE is_repository) ORDER BY md5(id::text);
DELETE FROM analytics.user_activity WHERE workspace_id IN (SELECT w FROM workspace WHERE is_repository);
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, metadata, created_at)
SELECT md5(id::text)::uuid, user_id, workspace_id, event_type, event_name, page_path, metadata, created_at FROM copied;
SELECT count(*) AS rows, count(*) FILTER (WHERE b.* IS DISTINCT FROM a.*) AS differ
FROM before AS b FULL JOIN (SELECT k.w, f.* FROM workspace AS k, analytics.get_funnel(k.w, '["page_view", "feature_use", "form_submit"]', first, last, step_order => 'strict') AS f WHERE is_repository) AS a USING (w, step);
ROLLBACK;
