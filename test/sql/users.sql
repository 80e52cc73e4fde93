-- Users for ever: the dictionary, the daily sets, new/returning/total users against brute force over the raw events.
\set QUIET on
BEGIN;
SET LOCAL jit = off; -- compiling the brute force takes longer than running it
SET LOCAL timezone = 'UTC';
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.workspace_settings, analytics.credit_prices,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(name)::uuid $$;
CREATE FUNCTION pg_temp.put(workspace text, usr text, at timestamptz, metadata jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
    VALUES (pg_temp.id(workspace), pg_temp.id(usr), 'page_view', metadata, at)
$$;

-- Brute force: everything again from the raw events.
CREATE VIEW pg_temp.active AS
SELECT workspace_id, user_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS day,
       min(created_at) AS first_event, max(created_at) AS last_event, sum((metadata ->> 'revenue')::numeric) AS revenue
FROM analytics.user_activity GROUP BY 1, 2, 3;
CREATE VIEW pg_temp.brute_users AS
SELECT workspace_id, user_id, min(day) AS first_date, max(day) AS last_date,
       min(first_event) AS first_seen, max(last_event) AS last_seen
FROM pg_temp.active GROUP BY 1, 2;
CREATE VIEW pg_temp.brute_days AS
SELECT workspace_id, day, array_agg(user_id ORDER BY user_id) AS users, count(*) AS active_users,
       count(*) FILTER (WHERE u.first_date = day) AS new_users, count(*) FILTER (WHERE u.first_date < day) AS returning_users,
       (SELECT count(*) FROM pg_temp.brute_users AS t WHERE t.workspace_id = a.workspace_id AND t.first_date <= a.day) AS total_users
FROM pg_temp.active AS a JOIN pg_temp.brute_users AS u USING (workspace_id, user_id) GROUP BY 1, 2;
CREATE FUNCTION pg_temp.members(workspace uuid, numbers analytics.user_set) RETURNS uuid[] LANGUAGE sql AS $$
    SELECT array_agg(u.user_id ORDER BY u.user_id)
    FROM analytics.user_set_elements(numbers) AS e(n) JOIN analytics.users AS u ON u.workspace_id = workspace AND u.user_number = e.n
$$;
CREATE FUNCTION pg_temp.differences() RETURNS TABLE (relation text, only_in text, difference text) LANGUAGE sql AS $$
    WITH stored_users AS (SELECT workspace_id, user_id, first_date, last_date, first_seen, last_seen FROM analytics.users),
    stored_days AS (
        SELECT d.workspace_id, d.metric_date, pg_temp.members(d.workspace_id, d.users), m.active_users, m.new_users, m.returning_users, m.total_users
        FROM analytics.daily_users AS d JOIN analytics.daily_metrics AS m USING (workspace_id, metric_date)
    ),
    stored_revenue AS (
        SELECT r.workspace_id, u.user_id, r.metric_date, r.revenue
        FROM analytics.daily_user_revenue AS r JOIN analytics.users AS u USING (workspace_id, user_number)
    ),
    revenue AS (SELECT workspace_id, user_id, day, revenue FROM pg_temp.active WHERE revenue <> 0)
    SELECT 'users', 'stored', x::text FROM (TABLE stored_users EXCEPT ALL TABLE pg_temp.brute_users) AS x
    UNION ALL SELECT 'users', 'brute force', x::text FROM (TABLE pg_temp.brute_users EXCEPT ALL TABLE stored_users) AS x
    UNION ALL SELECT 'days', 'stored', x::text FROM (TABLE stored_days EXCEPT ALL TABLE pg_temp.brute_days) AS x
    UNION ALL SELECT 'days', 'brute force', x::text FROM (TABLE pg_temp.brute_days EXCEPT ALL TABLE stored_days) AS x
    UNION ALL SELECT 'revenue', 'stored', x::text FROM (TABLE stored_revenue EXCEPT ALL TABLE revenue) AS x
    UNION ALL SELECT 'revenue', 'brute force', x::text FROM (TABLE revenue EXCEPT ALL TABLE stored_revenue) AS x
    UNION ALL SELECT 'new users', 'sets', d.metric_date::text FROM analytics.daily_users AS d
    WHERE d.new_users OPERATOR(analytics.<>) (SELECT coalesce(analytics.user_set_agg(u.user_number), '{}') FROM analytics.users AS u
                          WHERE u.workspace_id = d.workspace_id AND u.first_date = d.metric_date)
    UNION ALL SELECT 'event counts', 'sets', c.metric_date::text FROM analytics.daily_event_counts AS c
    WHERE analytics.user_set_cardinality(c.users) <> c.unique_users
       OR pg_temp.members(c.workspace_id, c.users) <> (SELECT array_agg(DISTINCT e.user_id ORDER BY e.user_id)
            FROM analytics.user_activity AS e
            WHERE e.workspace_id = c.workspace_id AND e.event_type = c.event_type AND coalesce(e.event_name, '') = c.event_name
              AND (e.created_at AT TIME ZONE analytics.workspace_time_zone(e.workspace_id, e.created_at))::date = c.metric_date)
$$;

-- Three workspaces (one of them in New York, one nil), 60 users, 24 days; the days in an arbitrary order.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (pg_temp.id('w1'), 'America/New_York');
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT md5('e' || i)::uuid, CASE h[1] % 3 WHEN 0 THEN pg_temp.id('w0') WHEN 1 THEN pg_temp.id('w1') ELSE '00000000-0000-0000-0000-000000000000' END,
       pg_temp.id('u' || (h[2] % 60) * (h[3] % 60) / 60), 'feature_use', 'f' || h[4] % 3,
       CASE WHEN h[4] % 11 = 0 THEN jsonb_build_object('revenue', (h[4] % 500 - 200) / 10.0) ELSE '{}' END,
       '2025-02-20'::timestamptz + (h[5] % (24 * 1440)) * interval '1 minute'
FROM generate_series(1, 800) AS i,
     LATERAL (SELECT array_agg(('x' || substr(md5(i::text || '/' || k), 1, 7))::bit(28)::integer) AS h FROM generate_series(1, 5) AS k) AS r;
SELECT count(analytics.aggregate_daily_metrics(d::date)) FROM (
    SELECT d FROM generate_series('2025-02-19'::timestamptz, '2025-03-17', '1 day') AS d ORDER BY md5(d::text)) AS days;
ANALYZE analytics.user_activity, analytics.users, analytics.daily_users, analytics.daily_metrics, analytics.daily_event_usage; -- other tests left statistics
SELECT count(*) AS users, min(user_number), max(user_number) FROM analytics.users GROUP BY workspace_id ORDER BY 1;
SELECT * FROM pg_temp.differences();

-- Again: nothing changes, no row is even touched.
CREATE TABLE pg_temp.before AS
SELECT 'users' AS relation, ctid AS place, t::text AS content FROM analytics.users AS t
UNION ALL SELECT 'daily_users', ctid, t::text FROM analytics.daily_users AS t
UNION ALL SELECT 'daily_metrics', ctid, t::text FROM analytics.daily_metrics AS t
UNION ALL SELECT 'daily_event_usage', ctid, t::text FROM analytics.daily_event_usage AS t
UNION ALL SELECT 'daily_user_revenue', ctid, t::text FROM analytics.daily_user_revenue AS t;
SELECT relation, count(*) > 0 AS has_rows FROM pg_temp.before GROUP BY relation ORDER BY relation;
SELECT count(analytics.aggregate_daily_metrics(d::date)) FROM generate_series('2025-02-19'::timestamptz, '2025-03-17', '1 day') AS d;
SELECT relation, count(*) FROM (
    TABLE pg_temp.before EXCEPT (
    SELECT 'users' AS relation, ctid AS place, t::text AS content FROM analytics.users AS t
    UNION ALL SELECT 'daily_users', ctid, t::text FROM analytics.daily_users AS t
    UNION ALL SELECT 'daily_metrics', ctid, t::text FROM analytics.daily_metrics AS t
    UNION ALL SELECT 'daily_event_usage', ctid, t::text FROM analytics.daily_event_usage AS t
    UNION ALL SELECT 'daily_user_revenue', ctid, t::text FROM analytics.daily_user_revenue AS t)) AS changed GROUP BY relation;

-- A late event makes a user new on an earlier day; without it he is new on the next day that holds him.
CREATE VIEW pg_temp.story AS
SELECT m.metric_date, d.users, d.new_users AS new_set, m.active_users AS active, m.new_users AS new, m.returning_users AS returning, m.total_users AS total
FROM analytics.daily_metrics AS m JOIN analytics.daily_users AS d USING (workspace_id, metric_date)
WHERE workspace_id = pg_temp.id('story') ORDER BY metric_date;
CREATE VIEW pg_temp.cast AS
SELECT user_number, first_seen, last_seen FROM analytics.users WHERE workspace_id = pg_temp.id('story') ORDER BY user_number;
SELECT pg_temp.put('story', 'a', '2025-01-06 10:00'), pg_temp.put('story', 'a', '2025-01-08 09:00'),
       pg_temp.put('story', 'a', '2025-01-08 12:00'), pg_temp.put('story', 'b', '2025-01-08 11:00', '{"revenue": 7}');
SELECT sum(analytics.aggregate_daily_metrics(d, pg_temp.id('story'))) FROM unnest('{2025-01-06,2025-01-08}'::date[]) AS d;
TABLE pg_temp.story;
SELECT pg_temp.put('story', 'b', '2025-01-05 23:00');
SELECT analytics.aggregate_daily_metrics('2025-01-05', pg_temp.id('story'));
TABLE pg_temp.story;
TABLE pg_temp.cast;
SELECT * FROM pg_temp.differences();
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.id('story') AND created_at < '2025-01-07';
SELECT sum(analytics.aggregate_daily_metrics(d, pg_temp.id('story'))) FROM unnest('{2025-01-05,2025-01-06}'::date[]) AS d;
TABLE pg_temp.story;
TABLE pg_temp.cast;
SELECT * FROM pg_temp.differences();
-- Where the raw events are gone too, the instant is the start of the day; last_seen goes back likewise.
SELECT pg_temp.put('story', 'a', '2025-01-03 10:00'), pg_temp.put('story', 'a', '2025-01-10 10:00');
SELECT sum(analytics.aggregate_daily_metrics(d, pg_temp.id('story'))) FROM unnest('{2025-01-03,2025-01-10}'::date[]) AS d;
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.id('story');
SELECT sum(analytics.aggregate_daily_metrics(d, pg_temp.id('story'))) FROM unnest('{2025-01-03,2025-01-10}'::date[]) AS d;
TABLE pg_temp.story;
TABLE pg_temp.cast;
-- Who vanishes from the last day leaves the dictionary, with his revenue.
SELECT analytics.aggregate_daily_metrics('2025-01-08', pg_temp.id('story'));
SELECT count(*) FROM analytics.users WHERE workspace_id = pg_temp.id('story');
SELECT * FROM pg_temp.differences();
-- New workspaces beside one that has most of the users, whose table is not read once for each of them.
ALTER TABLE analytics.users ALTER COLUMN workspace_id SET (n_distinct = 1);
INSERT INTO analytics.users (workspace_id, user_id, user_number, first_date, last_date, first_seen, last_seen)
SELECT pg_temp.id('giant'), pg_temp.id('giant ' || i), i, '2025-01-01', '2025-01-01', '2025-01-01', '2025-01-01' FROM generate_series(0, 5000) AS i;
ANALYZE analytics.users;
SELECT pg_temp.put('new ' || i, 'a', '2025-02-03 10:00') FROM generate_series(1, 40) AS i \g /dev/null
SELECT pg_stat_get_xact_numscans('analytics.users'::regclass) AS scans_before \gset
SELECT analytics.aggregate_daily_metrics('2025-02-03');
SELECT pg_stat_get_xact_numscans('analytics.users'::regclass) - :scans_before < 20 AS few_scans;
SELECT count(*), min(total_users), max(total_users) FROM analytics.daily_metrics WHERE metric_date = '2025-02-03';
ALTER TABLE analytics.users ALTER COLUMN workspace_id RESET (n_distinct);
ROLLBACK;
