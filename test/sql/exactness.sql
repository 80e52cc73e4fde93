-- Every column of the rollups against an independent calculation in plain SQL (include/oracle.sql), on real events
-- and on hostile ones. Prints what differs: nothing.
\set QUIET on
\pset format unaligned
SET client_min_messages = warning;
SET jit = off;
-- Compares new_users, returning_users and total_users too.
\set with_users true
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/sql/include/oracle.sql'
\set hostile_events :abs_srcdir '/sql/include/hostile_events.sql'
\set columns 'analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)'
\set load_kth_jobs '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/kth_jobs.csv' '''' ' CSV HEADER'
\set load_github_events '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/github_events.csv' '''' ' CSV HEADER'
\set load_reader_sessions '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/reader_sessions.csv' '''' ' CSV HEADER'

BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.workspace_settings, analytics.credit_prices, analytics.token_prices;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day and hour is asked for
\set ECHO none
\i :oracle
\set ECHO all

-- Real events: jobs in Stockholm's time around both clock changes, repositories, readers. Some in partitions of
-- their own, some in the default partition.
SELECT count(analytics.create_partitions(day, day)) AS partitions
FROM unnest('{1996-10-26,1996-10-27,1997-03-30,2015-03-25,2015-03-26,2014-01-10,2014-01-11}'::date[]) AS day;
:load_kth_jobs
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT DISTINCT workspace_id, 'Europe/Stockholm', '-infinity'::timestamptz FROM analytics.user_activity;
:load_github_events
:load_reader_sessions
SELECT * FROM oracle.aggregate(every_hours => 5);
SELECT oracle.load(every_hours => 5);
SELECT * FROM oracle.difference_by_column LIMIT 20;
\if :with_users
SELECT * FROM oracle.user_differences LIMIT 20;
\endif
SELECT * FROM oracle.size;

-- The same with GA4's bounces, a gap of a quarter of an hour, and prices in another currency.
INSERT INTO analytics.settings VALUES ('bounce_rule', 'engaged'), ('session_gap_minutes', '15'), ('currency', 'SEK');
SELECT * FROM oracle.aggregate('2014-01-09', '2014-01-12');
SELECT oracle.load('2014-01-09 00:00+00', '2014-01-13 00:00+00');
SELECT * FROM oracle.difference_by_column WHERE (key ->> 'date')::date BETWEEN '2014-01-09' AND '2014-01-12' LIMIT 20;
SELECT sum(total_sessions) FROM oracle.daily;
DELETE FROM analytics.settings WHERE name IN ('bounce_rule', 'session_gap_minutes', 'currency');

-- Hostile events.
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.workspace_settings;
\set ECHO none
\o /dev/null
\i :hostile_events
\o
\set ECHO all
SELECT * FROM oracle.aggregate();
SELECT oracle.load();
SELECT * FROM oracle.difference_by_column LIMIT 20;
SELECT * FROM oracle.size;

-- Random ones.
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.workspace_settings;
SELECT setseed(0.4711);
SELECT hostile.put_random(6000, '2024-08-01');
SELECT * FROM oracle.aggregate();
SELECT oracle.load();
SELECT * FROM oracle.difference_by_column LIMIT 20;
SELECT events, days > 10 AS days, hours > 200 AS hours, agents > 100 AS agents, names > 1000 AS names, runs > 1000 AS runs, sessions > 1000 AS sessions FROM oracle.size;

-- Aggregating again rewrites nothing.
CREATE VIEW oracle.place AS
SELECT 'daily_metrics' AS relation, ctid AS at FROM analytics.daily_metrics UNION ALL SELECT 'hourly_metrics', ctid FROM analytics.hourly_metrics
UNION ALL SELECT 'agent_performance', ctid FROM analytics.agent_performance UNION ALL SELECT 'daily_event_usage', ctid FROM analytics.daily_event_usage;
CREATE TABLE oracle.old_place AS TABLE oracle.place;
SELECT * FROM oracle.aggregate();
SELECT count(*) > 500 AS rows, count(*) - (SELECT count(*) FROM oracle.old_place) AS more, count(*) FILTER (WHERE o.at IS NULL) AS moved
FROM oracle.place LEFT JOIN oracle.old_place AS o USING (relation, at);

-- The order of arrival does not matter.
SELECT oracle.digest() AS digest \gset
CREATE TABLE oracle.shuffled AS SELECT * FROM analytics.user_activity ORDER BY md5(id::text);
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue;
INSERT INTO analytics.user_activity SELECT * FROM oracle.shuffled;
ANALYZE analytics.user_activity;
SELECT * FROM oracle.aggregate();
SELECT oracle.digest() = :'digest' AS same;

-- Nor do the session's settings.
TRUNCATE analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue;
SET LOCAL TimeZone = 'Pacific/Marquesas';
SET LOCAL DateStyle = 'SQL, DMY';
SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL extra_float_digits = -15;
SET LOCAL bytea_output = 'escape';
SET LOCAL search_path = oracle;
SELECT * FROM aggregate();
RESET TimeZone;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;
RESET search_path;
SELECT oracle.digest() = :'digest' AS same;

-- Workspaces and agents that vanish from a day vanish from its rollups.
DELETE FROM analytics.user_activity WHERE workspace_id = hostile.id('w:random 1');
DELETE FROM analytics.user_activity WHERE workspace_id = hostile.id('w:random 2') AND (event_type IN ('agent_run', 'error') OR user_id < '80000000-0000-0000-0000-000000000000');
SELECT count(analytics.aggregate_daily_metrics(day::date)) AS days FROM generate_series(timestamp '2024-08-01', '2024-08-04', '1 day') AS day;
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT count(analytics.aggregate_hourly_metrics(hour)) AS hours FROM generate_series(timestamptz '2024-08-01 00:00+00', '2024-08-04 23:00+00', '1 hour') AS hour;
RESET max_parallel_workers_per_gather;
SELECT oracle.load() < 6000 AS fewer;
SELECT * FROM oracle.difference_by_column LIMIT 20;
ROLLBACK;
