-- Every column of the rollups against an independent calculation in plain SQL (include/oracle.sql), on hostile events
-- (real ones: exactness_real). Prints what differs: nothing.
\getenv abs_srcdir PG_ABS_SRCDIR
\set begin :abs_srcdir '/sql/include/begin_exactness.sql'
\set hostile_events :abs_srcdir '/sql/include/hostile_events.sql'
\i :begin

-- Hostile events.
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
