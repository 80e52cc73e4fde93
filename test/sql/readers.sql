-- Active users, lifecycle, retention, feature usage, summaries and agents of real events against brute force
-- (include/readers.sql): jobs in Stockholm's time around both clock changes, repositories, readers.
\set QUIET on
\pset format unaligned
SET client_min_messages = warning;
SET jit = off;
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set readers :abs_srcdir '/sql/include/readers.sql'
\set columns 'analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)'
\set load_kth_jobs '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/kth_jobs.csv' '''' ' CSV HEADER'
\set load_github_events '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/github_events.csv' '''' ' CSV HEADER'
\set load_reader_sessions '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/reader_sessions.csv' '''' ' CSV HEADER'
BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts, analytics.workspace_settings;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day is asked for
:load_kth_jobs
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT DISTINCT workspace_id, 'Europe/Stockholm', '-infinity'::timestamptz FROM analytics.user_activity;
:load_github_events
:load_reader_sessions
SET LOCAL max_parallel_workers_per_gather = 0; -- exactness tries parallel plans of the aggregation
SELECT sum(analytics.aggregate_daily_metrics(day)) > 0 AS aggregated
FROM (SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date + i AS day FROM analytics.user_activity, generate_series(0, 1) AS i ORDER BY 1) AS d;
RESET max_parallel_workers_per_gather;
SELECT rows > 0 AS computed, again FROM analytics_internal.aggregate_due_cohorts('1 hour');
\set ECHO none
\i :readers
\set ECHO all
ROLLBACK;
