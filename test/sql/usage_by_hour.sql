-- get_usage_by_hour on hourly metrics of fixed hours: half-hour zones, clock changes, ends of the range, errors.
\set QUIET on
\pset format unaligned
\pset null NULL
\set SHOW_CONTEXT never
SET datestyle = ISO;
BEGIN;
CREATE FUNCTION pg_temp.id(name text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(name)::uuid $$;
CREATE FUNCTION pg_temp.hour(workspace text, at timestamptz, users bigint, runs bigint, failed bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.hourly_metrics (workspace_id, metric_hour, active_users, total_runs, failed_runs, total_credits, is_final)
    VALUES (pg_temp.id(workspace), at, users, runs, failed, runs * 0.5, true) $$;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES
    (pg_temp.id('kolkata'), 'Asia/Kolkata', '-infinity'), (pg_temp.id('york'), 'America/New_York', '-infinity');

\echo Two Mondays in UTC; the hour before the first row is not counted, one without a row is
SELECT pg_temp.hour('utc', '2025-03-03 10:00+00', 4, 10, 1), pg_temp.hour('utc', '2025-03-10 10:00+00', 1, 2, 2), pg_temp.hour('utc', '2025-03-17 10:00+00', 9, 9, 9);
SELECT * FROM analytics.get_usage_by_hour(pg_temp.id('utc'), '2025-03-03', '2025-03-16') WHERE day_of_week = 1 AND hour_of_day BETWEEN 9 AND 11 OR max_active_users > 0;
SELECT count(*), min(day_of_week), max(day_of_week), min(hour_of_day), max(hour_of_day), sum(hours) AS hours, sum(total_runs) AS runs
FROM analytics.get_usage_by_hour(pg_temp.id('utc'), '2025-03-03', '2025-03-16');

\echo India is 5:30 ahead: 18:00 UTC of Sunday is 23:30, 19:00 is half past midnight on Monday
SELECT pg_temp.hour('kolkata', '2025-03-02 18:00+00', 1, 1, 0), pg_temp.hour('kolkata', '2025-03-02 19:00+00', 2, 2, 0);
SELECT * FROM analytics.get_usage_by_hour(pg_temp.id('kolkata'), '2025-03-02', '2025-03-03') WHERE max_active_users > 0;
SELECT * FROM analytics.get_usage_by_hour(pg_temp.id('kolkata'), '2025-03-03', '2025-03-03') WHERE max_active_users > 0;

\echo New York has the hour from 1 twice on 2 November and none from 2 on 9 March
SELECT pg_temp.hour('york', '2025-03-01 10:00+00', 1, 1, 0), pg_temp.hour('york', '2025-11-02 05:00+00', 3, 3, 0), pg_temp.hour('york', '2025-11-02 06:00+00', 4, 5, 0);
SELECT * FROM analytics.get_usage_by_hour(pg_temp.id('york'), '2025-11-02', '2025-11-02') WHERE day_of_week = 7 AND hour_of_day <= 2;
SELECT * FROM analytics.get_usage_by_hour(pg_temp.id('york'), '2025-03-09', '2025-03-09') WHERE day_of_week = 7 AND hour_of_day BETWEEN 1 AND 3;

\echo Any range: every run is in it once, and no hour that is not over
SELECT sum(total_runs) AS runs, sum(total_credits) AS credits FROM analytics.get_usage_by_hour(pg_temp.id('york'), '-infinity', 'infinity');
SELECT sum(hours) = floor(extract(epoch FROM now()) / 3600) - floor(extract(epoch FROM timestamptz '2025-03-01 10:00+00') / 3600) AS hours_until_now
FROM analytics.get_usage_by_hour(pg_temp.id('york'), '-infinity', 'infinity');
SELECT count(*), count(avg_active_users) AS averages FROM analytics.get_usage_by_hour(pg_temp.id('york'), '2024-01-01', '2024-12-31');
SELECT count(*) FROM analytics.get_usage_by_hour(pg_temp.id('none'));
SELECT count(*) FROM analytics.get_usage_by_hour(NULL);
-- By default the last 28 complete days.
SELECT pg_temp.hour('today', date_trunc('day', now(), 'UTC') - i * interval '24 hours', 1, 1, 0) FROM generate_series(0, 40) AS i \g /dev/null
SELECT sum(hours) = 28 * 24 AS all_hours, sum(total_runs) FROM analytics.get_usage_by_hour(pg_temp.id('today'));
SELECT * FROM analytics.get_usage_by_hour(pg_temp.id('utc'), '2025-01-02', '2025-01-01');
ROLLBACK;
