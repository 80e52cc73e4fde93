-- quantile_sketch against the tdigest extension and percentile_cont: time, size and error in one run.
-- The scan of the table is common to all, so ratios are shown with it and without it. Needs the extension tdigest
-- (Debian: postgresql-15-tdigest).
\set ON_ERROR_STOP on
\pset footer off
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tdigest;
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';
SET jit = off;

CREATE UNLOGGED TABLE bench.sample (lognormal float8, loguniform float8);
INSERT INTO bench.sample
SELECT exp(sqrt(-2 * ln(a)) * cos(2 * pi() * b)), 1e-6 * power(1e12, c)
FROM (SELECT ((i * 7919::bigint) % 1000003 + 0.5) / 1000003 AS a,
             ((i * 104729::bigint) % 1000033 + 0.5) / 1000033 AS b,
             ((i * 15485863::bigint) % 1000037 + 0.5) / 1000037 AS c
      FROM generate_series(1, 1000000) AS i) AS s;
VACUUM (FREEZE, ANALYZE) bench.sample;

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

-- One million values into one aggregate
INSERT INTO bench.statement VALUES
('a scan of 1,000,000 values', '', 'SELECT count(lognormal) FROM bench.sample'),
('quantile_sketch_agg', '', 'SELECT analytics.quantile_sketch_agg(lognormal) FROM bench.sample'),
('tdigest', '', 'SELECT tdigest(lognormal, 100) FROM bench.sample'),
('percentile_cont over rows', '', 'SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY lognormal) FROM bench.sample');
CALL bench.run(5);
INSERT INTO bench.timing SELECT name || ', without the scan', ms - bench.ms('a scan of 1,000,000 values') FROM bench.timing
WHERE name IN ('quantile_sketch_agg', 'tdigest', 'percentile_cont over rows')
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
CALL bench.compare('quantile_sketch aggregate, 1,000,000 values', 'quantile_sketch_agg', 'tdigest', 1 / 3.0);
CALL bench.compare('the same against an exact percentile', 'quantile_sketch_agg', 'percentile_cont over rows', 1 / 6.0);
CALL bench.compare('the two without the scan that all share', 'quantile_sketch_agg, without the scan', 'tdigest, without the scan', 1 / 3.0);
CALL bench.compare('and', 'quantile_sketch_agg, without the scan', 'percentile_cont over rows, without the scan', 1 / 6.0);

\echo -- 10,000 sketches of 100 values each: building, merging, size
CREATE TEMPORARY TABLE parts AS
SELECT g, analytics.quantile_sketch_agg(lognormal) AS sketch, tdigest(lognormal, 100) AS digest
FROM (SELECT lognormal, row_number() OVER () % 10000 AS g FROM bench.sample) AS s GROUP BY g;
ANALYZE parts;
SELECT round(pg_temp.milliseconds('SELECT analytics.quantile_sketch_merge(sketch) FROM parts')) AS sketch_merge_ms,
       round(pg_temp.milliseconds('SELECT tdigest(digest) FROM parts')) AS tdigest_merge_ms,
       round(avg(pg_column_size(sketch))) AS sketch_bytes, round(avg(pg_column_size(digest))) AS tdigest_bytes,
       (SELECT octet_length(analytics_internal.quantile_sketch_send(analytics.quantile_sketch_agg(lognormal)))
        FROM bench.sample) AS sketch_bytes_1m,
       (SELECT pg_column_size(tdigest(lognormal, 100)) FROM bench.sample) AS tdigest_bytes_1m
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
                   FROM bench.sample)
        SELECT %1$L, round(max(abs(s / e - 1))::numeric, 5), round(max(abs(d / e - 1))::numeric, 5)
        FROM q, unnest(exact, sketch, digest) AS u(e, s, d)$query$, source);
END
$$;
SELECT * FROM pg_temp.errors('lognormal')
UNION ALL SELECT * FROM pg_temp.errors('loguniform');
DROP TABLE bench.sample;
