-- The lines that compare with DuckDB (duckdb.mjs): what is missing is timed first.
\ir stage.sql
SELECT NOT EXISTS (SELECT FROM bench.timing WHERE name = 'a new day') AS missing \gset
\if :missing
\ir aggregation.sql
\endif
SELECT NOT EXISTS (SELECT FROM bench.timing WHERE name = 'percentiles, float8') AS missing \gset
\if :missing
\ir percentiles.sql
\endif
CALL bench.bar('aggregate_daily_metrics against DuckDB', 'a new day', 'DuckDB, one thread', 1.0);
CALL bench.compare('calculate_percentiles against DuckDB', 'percentiles, float8', 'DuckDB quantile_cont', 0.25);
