-- Reporting time zones and what a local day is.
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Names as the server knows them, in their proper case; nothing else.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone)
VALUES ('10000000-0000-0000-0000-000000000001', 'europe/berlin'),
       ('10000000-0000-0000-0000-000000000002', 'etc/gmt+3'),
       (NULL, 'utc')
RETURNING workspace_id, time_zone, valid_from;
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('CEST');
\set VERBOSITY terse
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('cet');
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('FOO+3');
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('+02');
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('localtime');
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('Europe/Atlantis');
INSERT INTO analytics.workspace_settings (time_zone) VALUES ('');
INSERT INTO analytics.workspace_settings (time_zone) VALUES (repeat('x', 300));
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES ('10000000-0000-0000-0000-000000000003', NULL);
\set VERBOSITY default
UPDATE analytics.workspace_settings SET time_zone = 'Europe/Berlin' RETURNING created_at = updated_at AS unchanged;

-- A day begins at its first instant, also where midnight comes twice (Havana) or not at all (Sao Paulo),
-- and the day that Samoa left out is empty.
SELECT z, d, analytics.day_start(d, z), analytics.day_start(d + 1, z) - analytics.day_start(d, z) AS length
FROM (VALUES ('Europe/Berlin', DATE '2025-03-30'), ('Europe/Berlin', '2025-10-26'),
             ('Australia/Lord_Howe', '2025-04-06'), ('Australia/Lord_Howe', '2025-10-05'),
             ('America/Havana', '2025-11-02'), ('America/Sao_Paulo', '2018-11-04'),
             ('Pacific/Apia', '2011-12-30'), ('Asia/Kathmandu', '2025-01-01')) AS v (z, d);

-- Property: in zones with all kinds of changes an instant lies in the day of
-- its local date and in no other. (St John's and Goose Bay went back from 00:01 to 23:01 until 2011.)
WITH instants AS (
    SELECT z.name, t, (t AT TIME ZONE z.name)::date AS d
    FROM (VALUES ('America/Havana'), ('Atlantic/Azores'), ('Asia/Gaza'), ('Asia/Amman'), ('America/Sao_Paulo'),
                 ('Australia/Lord_Howe'), ('Pacific/Apia'), ('Europe/Berlin'), ('Asia/Kathmandu'),
                 ('America/Scoresbysund'), ('Africa/Casablanca'), ('America/St_Johns')) AS z (name),
         generate_series(TIMESTAMPTZ '2020-09-01', '2021-12-01', interval '29 minutes 59 seconds') AS t
), days AS (
    SELECT name, d, min(t) AS first, max(t) AS last, analytics.day_start(d, name) AS day_start,
           analytics.day_start(d + 1, name) AS day_end
    FROM instants GROUP BY name, d
)
SELECT count(*) > 5000 AS enough, count(*) FILTER (WHERE first < day_start OR last >= day_end) AS outside FROM days;

-- Without a row: UTC. With one from -infinity: that zone's day.
SELECT analytics.workspace_time_zone('10000000-0000-0000-0000-00000000000a');
SELECT * FROM analytics_internal.workspace_day_bounds('10000000-0000-0000-0000-00000000000a', '2025-11-08');
SELECT * FROM analytics_internal.workspace_day_bounds('10000000-0000-0000-0000-000000000001', '2025-10-26');
SELECT analytics.workspace_today('10000000-0000-0000-0000-000000000001', '2025-11-08 23:00+00');

-- Changes: east, west, over the date line both ways, at explicit midnights.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES
    ('20000000-0000-0000-0000-000000000001', 'America/New_York', '-infinity'),
    ('20000000-0000-0000-0000-000000000001', 'Asia/Tokyo', analytics.day_start('2025-05-02', 'Asia/Tokyo')),
    ('20000000-0000-0000-0000-000000000001', 'America/New_York', analytics.day_start('2025-06-01', 'America/New_York')),
    ('20000000-0000-0000-0000-000000000002', 'Pacific/Pago_Pago', '-infinity'),
    ('20000000-0000-0000-0000-000000000002', 'Pacific/Kiritimati', analytics.day_start('2025-05-03', 'Pacific/Kiritimati')),
    ('20000000-0000-0000-0000-000000000002', 'UTC', '2025-06-01 00:00+00'),
    ('20000000-0000-0000-0000-000000000002', 'Pacific/Pago_Pago', analytics.day_start('2025-06-02', 'Pacific/Pago_Pago'));
SELECT right(w::text, 1) AS w, d, b.day_start, b.day_end, b.day_end - b.day_start AS length
FROM (VALUES (uuid '20000000-0000-0000-0000-000000000001'), ('20000000-0000-0000-0000-000000000002')) AS v (w),
     (VALUES (DATE '2025-04-30'), ('2025-05-01'), ('2025-05-02'), ('2025-05-03'),
             ('2025-05-31'), ('2025-06-01'), ('2025-06-02')) AS days (d)
LEFT JOIN LATERAL analytics_internal.workspace_day_bounds(w, d) AS b ON true
ORDER BY 1, 2;

-- Property: every instant is in exactly one day, the one workspace_today says.
SELECT count(*) AS instants,
       count(*) FILTER (WHERE days <> ARRAY[analytics.workspace_today(w, t)]) AS wrong
FROM (SELECT w, t, ARRAY(SELECT d FROM generate_series(t::date - 2, t::date + 2, interval '1 day') AS g (g)
                         CROSS JOIN LATERAL (SELECT g::date AS d) AS x
                         CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(w, d) AS b
                         WHERE t >= b.day_start AND t < b.day_end) AS days
      FROM (VALUES (uuid '20000000-0000-0000-0000-000000000001'), ('20000000-0000-0000-0000-000000000002')) AS v (w),
           (SELECT generate_series(TIMESTAMPTZ '2025-04-29', '2025-05-05', interval '1 hour') AS t
            UNION ALL SELECT generate_series(TIMESTAMPTZ '2025-05-30', '2025-06-05', interval '1 hour')) AS s) AS a;

-- Not at a midnight; a day twice; a row whose removal would repeat one; no instant at all.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES ('20000000-0000-0000-0000-000000000001', 'Europe/Berlin', '2025-07-01 00:00+00');
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES ('20000000-0000-0000-0000-000000000003', 'Pacific/Kiritimati', '-infinity'),
       ('20000000-0000-0000-0000-000000000003', 'Pacific/Pago_Pago', analytics.day_start('2025-06-01', 'Pacific/Pago_Pago') - interval '1 day');
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES ('20000000-0000-0000-0000-000000000001', 'Europe/Berlin', 'infinity');

-- Left out, valid_from is the next midnight at which no date goes back, for every pair of distant zones;
-- more than 24 hours back there is none.
CREATE TABLE pairs AS
SELECT md5(a || b)::uuid AS w, a, b
FROM unnest(ARRAY['Pacific/Kiritimati', 'Pacific/Pago_Pago', 'UTC', 'Asia/Kathmandu']) AS a,
     unnest(ARRAY['Pacific/Kiritimati', 'Pacific/Pago_Pago', 'UTC', 'Australia/Lord_Howe']) AS b;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) SELECT w, a FROM pairs;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone)
SELECT w, b FROM pairs WHERE (a, b) <> ('Pacific/Kiritimati', 'Pacific/Pago_Pago');
SELECT count(*) AS changes, bool_and(valid_from < now() + interval '51 hours') AS soon
FROM analytics.workspace_settings WHERE workspace_id IN (SELECT w FROM pairs) AND valid_from > now();
INSERT INTO analytics.workspace_settings (workspace_id, time_zone)
SELECT w, b FROM pairs WHERE (a, b) = ('Pacific/Kiritimati', 'Pacific/Pago_Pago');

-- The bounds of many workspaces at once are those of each.
SELECT count(*) > 0 AS compared, count(*) FILTER (WHERE (l.day_start, l.day_end) IS DISTINCT FROM (b.day_start, b.day_end)) AS wrong
FROM (SELECT DISTINCT workspace_id FROM analytics.workspace_settings) AS w
CROSS JOIN (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(-3, 6) AS n) AS d
LEFT JOIN analytics_internal.workspace_day_bounds(w.workspace_id, d.day) AS b ON true
LEFT JOIN analytics_internal.local_day_bounds((now() AT TIME ZONE 'UTC')::date - 3, (now() AT TIME ZONE 'UTC')::date + 6, NULL) AS l
    ON l.workspace_id = w.workspace_id AND l.day = d.day;

-- A workspace that has been counted in UTC keeps its days.
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, is_final)
VALUES ('30000000-0000-0000-0000-000000000001', '2025-01-01', true);
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES ('30000000-0000-0000-0000-000000000001', 'UTC')
RETURNING valid_from > now() AS later;

TRUNCATE analytics.workspace_settings, analytics.daily_metrics;
DROP TABLE pairs;

-- A zone changed for the past: every day it touches is aggregated again, by every statement that can change one.
\getenv abs_srcdir PG_ABS_SRCDIR
\set settle :abs_srcdir '/sql/include/settle.sql'
\i :settle
CREATE FUNCTION pg_temp.w() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('rezoned')::uuid $$;
CREATE FUNCTION pg_temp.today() RETURNS date LANGUAGE sql STABLE AS $$ SELECT (now() AT TIME ZONE 'UTC')::date $$;
CREATE VIEW pg_temp.wrong AS
SELECT day - pg_temp.today() AS day, events, total_events, users, new_users
FROM (SELECT (e.created_at AT TIME ZONE analytics.workspace_time_zone(pg_temp.w(), e.created_at))::date AS day, count(*) AS events,
             count(DISTINCT e.user_id) AS users, count(*) FILTER (WHERE e.is_first) AS firsts
      FROM (SELECT a.*, row_number() OVER (PARTITION BY a.user_id ORDER BY a.created_at) = 1 AS is_first FROM analytics.user_activity AS a
            WHERE a.workspace_id = pg_temp.w()) AS e GROUP BY 1) AS r
FULL JOIN (SELECT m.metric_date AS day, m.total_events, m.active_users, m.new_users FROM analytics.daily_metrics AS m WHERE m.workspace_id = pg_temp.w()) AS m USING (day)
WHERE (events, users, firsts) IS DISTINCT FROM (total_events, active_users, new_users);
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (pg_temp.w(), 'Europe/Berlin');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.w(), md5('u' || i % 7)::uuid, 'login', pg_temp.today()::timestamp AT TIME ZONE 'UTC' - interval '1 second' - i * interval '5 hours' FROM generate_series(0, 30) AS i;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
UPDATE analytics.workspace_settings SET time_zone = 'America/New_York';
SELECT count(*) > 0 AS wrong_before FROM pg_temp.wrong;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
SELECT count(*) FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w() AND NOT is_final AND metric_date < pg_temp.today() - 1;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES (pg_temp.w(), 'Pacific/Kiritimati', analytics.day_start(pg_temp.today() - 3, 'Pacific/Kiritimati'));
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
-- Over the date line a day is left out.
UPDATE analytics.workspace_settings SET time_zone = 'Pacific/Pago_Pago' WHERE valid_from = '-infinity';
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
DELETE FROM analytics.workspace_settings WHERE workspace_id = pg_temp.w();
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (pg_temp.w(), 'Asia/Tokyo', '-infinity');
CALL pg_temp.settle();
TRUNCATE analytics.workspace_settings;
SELECT count(*) > 0 AS wrong_before FROM pg_temp.wrong;
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;
-- What changes nothing touches nothing: the zone in force, the future, a workspace without rollups.
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES (pg_temp.w(), 'UTC', '-infinity'), (pg_temp.w(), 'Asia/Tokyo', analytics.day_start(pg_temp.today() + 9, 'Asia/Tokyo')), (md5('new')::uuid, 'Asia/Tokyo', '-infinity');
UPDATE analytics.workspace_settings SET time_zone = 'UTC' WHERE workspace_id = pg_temp.w() AND valid_from = '-infinity';
SELECT count(*) FROM analytics.dirty_hours;
-- Where events are gone it is refused, and from then on it is not.
INSERT INTO analytics.sealed_days (workspace_id, event_day, events) VALUES (pg_temp.w(), pg_temp.today() - 6, 1);
UPDATE analytics.workspace_settings SET time_zone = 'UTC' WHERE workspace_id = pg_temp.w() AND valid_from = '-infinity';
\set VERBOSITY sqlstate
UPDATE analytics.workspace_settings SET time_zone = 'Europe/Berlin' WHERE workspace_id = pg_temp.w() AND valid_from = '-infinity';
\set VERBOSITY terse
UPDATE analytics.workspace_settings SET time_zone = 'Europe/Berlin' WHERE workspace_id = pg_temp.w() AND valid_from = '-infinity';
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES (pg_temp.w(), 'Europe/Berlin', analytics.day_start(pg_temp.today() - 2, 'Europe/Berlin'));
\set VERBOSITY default
CALL pg_temp.settle();
SELECT * FROM pg_temp.wrong;

DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
DELETE FROM analytics.sealed_days;
DELETE FROM analytics.closed_days;
DELETE FROM analytics.job_runs;
SET row_security = off;
TRUNCATE analytics.workspace_settings, analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.daily_users, analytics.users, analytics.user_cohorts, analytics.daily_event_usage;
RESET row_security;

-- Each row is looked up by key, also where one statement fills an empty table.
BEGIN;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) SELECT md5(i::text)::uuid, 'Europe/Berlin' FROM generate_series(1, 500) AS i;
SELECT sum(seq_tup_read) <= 500 AS reads_by_key FROM pg_stat_xact_user_tables WHERE relname IN ('workspace_settings', 'daily_metrics');
ROLLBACK;
