\getenv srcdir PG_ABS_SRCDIR
\set file :srcdir '/data/session_readers.csv'
-- No TEMP tables here: parallel workers cannot read them.
CREATE TABLE read_seconds (reader integer, epoch bigint);
COPY read_seconds FROM :'file' (FORMAT csv, HEADER);
CREATE TABLE requests AS SELECT reader, to_timestamp(epoch) AS at FROM read_seconds;
CREATE VIEW totals AS
SELECT sum((s).sessions) AS sessions, sum((s).single_event_sessions) AS single_event_sessions,
       sum((s).events) AS events, sum((s).total_duration) AS total_duration
FROM (SELECT analytics.session_summary(at) AS s FROM requests GROUP BY reader) AS r;

-- The figures of two independent calculations (lag() below, and a script): 693 and 381, 641 and 345.
SELECT * FROM totals;
SELECT sum((s).sessions) AS sessions, sum((s).single_event_sessions) AS single_event_sessions,
       sum((s).events) AS events, sum((s).total_duration) AS total_duration
FROM (SELECT analytics.session_summary(at, '1 hour') AS s FROM requests GROUP BY reader) AS r;

-- Each reader's sessions by lag(), over gaps from a second to months.
CREATE FUNCTION sessions_by_lag(gap interval)
RETURNS TABLE (reader integer, sessions bigint, single bigint, events bigint, duration interval)
LANGUAGE sql AS $$
    WITH marked AS (
        SELECT reader, at, CASE WHEN at - lag(at) OVER w < gap THEN 0 ELSE 1 END AS starts
        FROM requests WINDOW w AS (PARTITION BY reader ORDER BY at)
    ), numbered AS (
        SELECT reader, at, sum(starts) OVER (PARTITION BY reader ORDER BY at ROWS UNBOUNDED PRECEDING) AS number
        FROM marked
    ), session AS (
        SELECT reader, count(*) AS events, max(at) - min(at) AS duration FROM numbered GROUP BY reader, number
    )
    SELECT reader, count(*), count(*) FILTER (WHERE events = 1), sum(events)::bigint, sum(duration)
    FROM session GROUP BY reader;
$$;
SELECT gap, count(*) AS readers, count(*) FILTER (WHERE s = (l.sessions, l.single, l.events, l.duration)) AS equal
FROM (VALUES (interval '1 second'), ('30 seconds'), ('30 minutes'), ('29 minutes 60 seconds 1 microsecond'),
             ('1 hour'), ('1 day'), ('100 days')) AS v (gap),
     LATERAL (SELECT reader, analytics.session_summary(at, gap) AS s FROM requests GROUP BY reader) AS a
     JOIN LATERAL sessions_by_lag(gap) AS l USING (reader)
GROUP BY gap ORDER BY gap;

-- The order of events does not matter.
SELECT count(DISTINCT s) AS answers
FROM generate_series(1, 20) AS salt,
     LATERAL (SELECT analytics.session_summary(at, '10 minutes' ORDER BY md5(at::text || salt)) AS s
              FROM requests) AS a;
SELECT analytics.session_summary(at ORDER BY at) = analytics.session_summary(at ORDER BY at DESC) AS same
FROM requests;

-- Nor how they are spread over workers.
SET max_parallel_workers_per_gather = 4;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT analytics.session_summary(at, '10 minutes') FROM requests;
SELECT analytics.session_summary(at, '10 minutes') FROM requests;
SELECT analytics.session_summary(at) FROM requests WHERE reader < 0;
SET max_parallel_workers_per_gather = 0;
SELECT analytics.session_summary(at, '10 minutes') FROM requests;
SELECT * FROM totals;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;

-- A pause of exactly the gap starts a new session; events at one time are several events of one session.
CREATE VIEW small AS
SELECT n, timestamptz '2024-03-30 12:00+00' + at * interval '1 minute' AS at
FROM (VALUES (1, 0), (2, 30), (3, 59), (4, 59), (5, 89), (6, NULL)) AS v (n, at);
SELECT analytics.session_summary(at) FROM small;
SELECT analytics.session_summary(at, '29 minutes') FROM small;
SELECT analytics.session_summary(at) FROM small WHERE n IN (3, 4);
SELECT analytics.session_summary(at) FROM small WHERE n = 1;
SELECT analytics.session_summary(at) FROM small WHERE n = 6;
SELECT analytics.session_summary(at) FROM small WHERE false;

-- As a window function: reading the state does not change it.
SELECT n, analytics.session_summary(at) OVER (ORDER BY at DESC NULLS LAST, n ROWS UNBOUNDED PRECEDING) AS so_far,
       analytics.session_summary(at) OVER (ORDER BY at, n ROWS 1 PRECEDING) AS of_two
FROM small ORDER BY n;

-- The ends of time.
SELECT analytics.session_summary(at, '2147483647 days')
FROM (VALUES (timestamptz '4713-01-01 00:00+00 BC'), ('280000-01-01 00:00+00')) AS v (at);
SELECT analytics.session_summary(at, '1 day')
FROM (VALUES (timestamptz '4713-01-01 00:00+00 BC'), ('294276-12-31 00:00+00')) AS v (at);
SELECT analytics.session_summary(at, '2147483647 days')
FROM (VALUES (timestamptz '4713-01-01 00:00+00 BC'), ('294276-12-31 00:00+00')) AS v (at);

-- Errors.
SELECT analytics.session_summary('infinity');
SELECT analytics.session_summary(at, '1 month') FROM small;
SELECT analytics.session_summary(at, '0') FROM small;
SELECT analytics.session_summary(at, '1 day -25 hours') FROM small;
SELECT analytics.session_summary(at, NULL) FROM small;
SELECT analytics.session_summary(at, n * interval '1 minute') FROM small;

DROP VIEW small, totals;
DROP FUNCTION sessions_by_lag;
DROP TABLE requests, read_seconds;
