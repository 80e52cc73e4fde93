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
SELECT * FROM analytics.workspace_day_bounds('10000000-0000-0000-0000-00000000000a', '2025-11-08');
SELECT * FROM analytics.workspace_day_bounds('10000000-0000-0000-0000-000000000001', '2025-10-26');
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
LEFT JOIN LATERAL analytics.workspace_day_bounds(w, d) AS b ON true
ORDER BY 1, 2;

-- Property: every instant is in exactly one day, the one workspace_today says.
SELECT count(*) AS instants,
       count(*) FILTER (WHERE days <> ARRAY[analytics.workspace_today(w, t)]) AS wrong
FROM (SELECT w, t, ARRAY(SELECT d FROM generate_series(t::date - 2, t::date + 2, interval '1 day') AS g (g)
                         CROSS JOIN LATERAL (SELECT g::date AS d) AS x
                         CROSS JOIN LATERAL analytics.workspace_day_bounds(w, d) AS b
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
LEFT JOIN analytics.workspace_day_bounds(w.workspace_id, d.day) AS b ON true
LEFT JOIN analytics_internal.local_day_bounds((now() AT TIME ZONE 'UTC')::date - 3, (now() AT TIME ZONE 'UTC')::date + 6, NULL) AS l
    ON l.workspace_id = w.workspace_id AND l.day = d.day;

-- A workspace that has been counted in UTC keeps its days.
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, is_final)
VALUES ('30000000-0000-0000-0000-000000000001', '2025-01-01', true);
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES ('30000000-0000-0000-0000-000000000001', 'UTC')
RETURNING valid_from > now() AS later;

TRUNCATE analytics.workspace_settings, analytics.daily_metrics;
DROP TABLE pairs;
