-- calculate_percentiles over arrays against percentile_cont over unnest.
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';
SET jit = off;
CREATE TABLE bench.numbers AS
SELECT (SELECT array_agg(random() * 1000) FROM generate_series(1, 1000000)) AS floats,
       (SELECT array_agg(round((random() * 1000)::numeric, 3)) FROM generate_series(1, 100000)) AS decimals;
ALTER TABLE bench.numbers ALTER floats SET STORAGE EXTERNAL, ALTER decimals SET STORAGE EXTERNAL;
UPDATE bench.numbers SET floats = floats || '{}'::float8[], decimals = decimals || '{}'::numeric[];
DO $$
BEGIN
    IF (SELECT analytics.calculate_percentiles(floats, '{0.5,0.75,0.95,0.99}'::float8[]) FROM bench.numbers)
       <> (SELECT percentile_cont('{0.5,0.75,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY u) FROM bench.numbers, unnest(floats) AS u) THEN
        RAISE EXCEPTION 'the answers differ';
    END IF;
END
$$;
INSERT INTO bench.statement VALUES
('percentile_cont, float8', '', $$SELECT percentile_cont('{0.5,0.75,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY u) FROM bench.numbers, unnest(floats) AS u$$),
('percentiles, float8', '', $$SELECT analytics.calculate_percentiles(floats, '{0.5,0.75,0.95,0.99}'::float8[]) FROM bench.numbers$$),
('percentile_cont, numeric', '', $$SELECT percentile_cont('{0.5,0.75,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY u) FROM bench.numbers, unnest(decimals) AS u$$),
('percentiles, numeric', '', $$SELECT analytics.calculate_percentiles(decimals, '{0.5,0.75,0.95,0.99}'::numeric[]) FROM bench.numbers$$);
CALL bench.run(5);
CALL bench.compare('calculate_percentiles, 1,000,000 float8', 'percentiles, float8', 'percentile_cont, float8', 1 / 25.0);
CALL bench.compare('calculate_percentiles, 100,000 numeric', 'percentiles, numeric', 'percentile_cont, numeric', 0.1);
DROP TABLE bench.numbers;
