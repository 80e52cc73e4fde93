-- Every column of the rollups against an independent calculation in plain SQL (include/oracle.sql), on real events
-- (hostile ones: exactness). Prints what differs: nothing.
-- plain settings only: exactness has them all, at a third of the time
\getenv abs_srcdir PG_ABS_SRCDIR
\set begin :abs_srcdir '/sql/include/begin_exactness.sql'
\set columns 'analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)'
\set load_kth_jobs '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/kth_jobs.csv' '''' ' CSV HEADER'
\set load_github_events '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/github_events.csv' '''' ' CSV HEADER'
\set load_reader_sessions '\\copy ' :columns ' FROM ' '''' :abs_srcdir '/data/reader_sessions.csv' '''' ' CSV HEADER'
\i :begin

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
SELECT * FROM oracle.user_differences LIMIT 20;
SELECT * FROM oracle.size;

-- The same with GA4's bounces, a gap of a quarter of an hour, and prices in another currency.
INSERT INTO analytics.settings VALUES ('bounce_rule', 'engaged'), ('session_gap_minutes', '15'), ('currency', 'SEK');
SELECT * FROM oracle.aggregate('2014-01-09', '2014-01-12');
SELECT oracle.load('2014-01-09 00:00+00', '2014-01-13 00:00+00');
SELECT * FROM oracle.difference_by_column WHERE (key ->> 'date')::date BETWEEN '2014-01-09' AND '2014-01-12' LIMIT 20;
SELECT sum(total_sessions) FROM oracle.daily;
DELETE FROM analytics.settings WHERE name IN ('bounce_rule', 'session_gap_minutes', 'currency');
ROLLBACK;
