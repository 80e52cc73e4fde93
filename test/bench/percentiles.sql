-- Ratio of percentile_cont's time to ours, in one backend, serial; the best of several runs of each.
--   psql -X -f test/bench/percentiles.sql
\set QUIET on
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';
SET jit = off;

CREATE TEMP TABLE bench_input AS
SELECT (SELECT array_agg(random() * 1000) FROM generate_series(1, 1000000)) AS floats,
       (SELECT array_agg(round((random() * 1000)::numeric, 3)) FROM generate_series(1, 100000)) AS decimals;
ALTER TABLE bench_input ALTER floats SET STORAGE EXTERNAL, ALTER decimals SET STORAGE EXTERNAL;
CREATE TEMP TABLE bench_result (what text, millis numeric);

DO $$
DECLARE
    floats float8[];
    decimals numeric[];
    fractions float8[] := '{0.5,0.75,0.95,0.99}';
    started timestamptz;
    ours_floats float8[];
    ours_decimals numeric[];
    rival float8[];
BEGIN
    SELECT b.floats, b.decimals INTO floats, decimals FROM bench_input AS b;
    FOR run IN 1..5 LOOP
        started := clock_timestamp();
        rival := (SELECT percentile_cont(fractions) WITHIN GROUP (ORDER BY u) FROM unnest(floats) AS u);
        INSERT INTO bench_result VALUES ('float8 rival', extract(epoch FROM clock_timestamp() - started) * 1000);
        started := clock_timestamp();
        ours_floats := analytics.calculate_percentiles(floats, fractions);
        INSERT INTO bench_result VALUES ('float8 ours', extract(epoch FROM clock_timestamp() - started) * 1000);
        IF ours_floats <> rival THEN
            RAISE EXCEPTION 'float8 results differ';
        END IF;
        started := clock_timestamp();
        rival := (SELECT percentile_cont(fractions) WITHIN GROUP (ORDER BY u) FROM unnest(decimals) AS u);
        INSERT INTO bench_result VALUES ('numeric rival', extract(epoch FROM clock_timestamp() - started) * 1000);
        started := clock_timestamp();
        ours_decimals := analytics.calculate_percentiles(decimals, fractions::numeric[]);
        INSERT INTO bench_result VALUES ('numeric ours', extract(epoch FROM clock_timestamp() - started) * 1000);
    END LOOP;
END
$$;

SELECT split_part(what, ' ', 1) AS input,
       round(min(millis) FILTER (WHERE what LIKE '% rival'), 1) AS percentile_cont_ms,
       round(min(millis) FILTER (WHERE what LIKE '% ours'), 2) AS calculate_percentiles_ms,
       round(min(millis) FILTER (WHERE what LIKE '% rival') / min(millis) FILTER (WHERE what LIKE '% ours'), 1) AS ratio
FROM bench_result GROUP BY 1 ORDER BY 1;
