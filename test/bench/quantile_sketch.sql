-- quantile_sketch against the tdigest extension and percentile_cont: time, size and error in one run.
--   psql -X -f test/bench/quantile_sketch.sql       (needs shadow_analytics and tdigest in the database)
-- Times are the best of several runs. The scan of the table is common to all, so ratios are shown with it and
-- without it; they are what counts, not this machine's milliseconds.
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tdigest;
SET max_parallel_workers_per_gather = 0;
SET temp_buffers = '256MB'; -- the sample stays in memory: no time for reading it
SET work_mem = '256MB';
SET jit = off;

CREATE TEMPORARY TABLE sample (lognormal float8, loguniform float8);
INSERT INTO sample
SELECT exp(sqrt(-2 * ln(a)) * cos(2 * pi() * b)), 1e-6 * power(1e12, c)
FROM (SELECT ((i * 7919::bigint) % 1000003 + 0.5) / 1000003 AS a,
             ((i * 104729::bigint) % 1000033 + 0.5) / 1000033 AS b,
             ((i * 15485863::bigint) % 1000037 + 0.5) / 1000037 AS c
      FROM generate_series(1, 1000000) AS i) AS s;
VACUUM (FREEZE, ANALYZE) sample;

CREATE FUNCTION pg_temp.milliseconds(query text, runs integer DEFAULT 9) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
    times float8[];
    started timestamptz;
BEGIN
    EXECUTE query;
    FOR i IN 1..runs LOOP
        started := clock_timestamp();
        EXECUTE query;
        times := times || extract(epoch FROM clock_timestamp() - started) * 1000;
    END LOOP;
    RETURN (SELECT min(t) FROM unnest(times) AS t);
END
$$;

\echo -- One million values into one aggregate
CREATE TEMPORARY TABLE timing AS
SELECT pg_temp.milliseconds('SELECT count(lognormal) FROM sample') AS scan,
       pg_temp.milliseconds('SELECT analytics.quantile_sketch_agg(lognormal) FROM sample') AS sketch,
       pg_temp.milliseconds('SELECT tdigest(lognormal, 100) FROM sample') AS tdigest,
       pg_temp.milliseconds('SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY lognormal) FROM sample') AS sort;
SELECT round(scan) AS scan_ms, round(sketch) AS sketch_ms, round(tdigest) AS tdigest_ms,
       round(sort) AS percentile_cont_ms
FROM timing;
SELECT round((sketch / tdigest)::numeric, 2) AS sketch_to_tdigest,
       round((sketch / sort)::numeric, 2) AS sketch_to_percentile_cont,
       round(((sketch - scan) / (tdigest - scan))::numeric, 2) AS to_tdigest_without_scan,
       round(((sketch - scan) / (sort - scan))::numeric, 2) AS to_percentile_cont_without_scan,
       sketch - scan <= (tdigest - scan) / 3 AND sketch - scan <= (sort - scan) / 6 AS targets_met_without_scan
FROM timing;

\echo -- 10,000 sketches of 100 values each: building, merging, size
CREATE TEMPORARY TABLE parts AS
SELECT g, analytics.quantile_sketch_agg(lognormal) AS sketch, tdigest(lognormal, 100) AS digest
FROM (SELECT lognormal, row_number() OVER () % 10000 AS g FROM sample) AS s GROUP BY g;
ANALYZE parts;
SELECT round(pg_temp.milliseconds('SELECT analytics.quantile_sketch_merge(sketch) FROM parts')) AS sketch_merge_ms,
       round(pg_temp.milliseconds('SELECT tdigest(digest) FROM parts')) AS tdigest_merge_ms,
       round(avg(pg_column_size(sketch))) AS sketch_bytes, round(avg(pg_column_size(digest))) AS tdigest_bytes,
       (SELECT octet_length(analytics.quantile_sketch_send(analytics.quantile_sketch_agg(lognormal)))
        FROM sample) AS sketch_bytes_1m,
       (SELECT pg_column_size(tdigest(lognormal, 100)) FROM sample) AS tdigest_bytes_1m
FROM parts;

\echo -- Largest relative error over 99 percentiles
CREATE FUNCTION pg_temp.errors(source text)
RETURNS TABLE (distribution text, sketch_error numeric, tdigest_error numeric)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
        WITH f AS (SELECT array_agg(i / 100.0::float8 ORDER BY i) AS fractions FROM generate_series(1, 99) AS i),
             q AS (SELECT percentile_disc((SELECT fractions FROM f)) WITHIN GROUP (ORDER BY %1$I) AS exact,
                          analytics.quantile(analytics.quantile_sketch_agg(%1$I), (SELECT fractions FROM f)) AS sketch,
                          tdigest_percentile(%1$I, 100, (SELECT fractions FROM f)) AS digest
                   FROM sample)
        SELECT %1$L, round(max(abs(s / e - 1))::numeric, 5), round(max(abs(d / e - 1))::numeric, 5)
        FROM q, unnest(exact, sketch, digest) AS u(e, s, d)$query$, source);
END
$$;
SELECT * FROM pg_temp.errors('lognormal')
UNION ALL SELECT * FROM pg_temp.errors('loguniform');
