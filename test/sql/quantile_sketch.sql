-- The type analytics.quantile_sketch: aggregates, functions, operators, input and output, errors.
SET search_path = analytics, analytics_internal, public;

-- Text form: readable, lossless, JSON
SELECT quantile_sketch_agg(x) AS sketch FROM (VALUES (1.5), (2), (2), (0), (-3), (NULL)) AS v(x) \gset
SELECT :'sketch'::quantile_sketch;
SELECT :'sketch'::quantile_sketch = :'sketch'::jsonb::text::quantile_sketch AS any_spelling,
       :'sketch'::jsonb ->> 'count' AS count;

-- Exact facts
SELECT quantile_sketch_count(s), quantile_sketch_sum(s), round(quantile_sketch_avg(s), 4) AS avg,
       quantile_sketch_min(s), quantile_sketch_max(s), s::text::jsonb ->> 'accuracy' AS accuracy, s::text::jsonb ->> 'collapsed' AS collapsed
FROM (SELECT :'sketch'::quantile_sketch) AS v(s);

-- No row, one row, all NULL; the sketch of one value answers that value
SELECT quantile_sketch_agg(x::float8) IS NULL AS float8_null, quantile_sketch_agg(x::numeric) IS NULL AS numeric_null
FROM generate_series(1, 0) AS x;
SELECT quantile_sketch_agg(NULL::float8) IS NULL AS float8_null, quantile_sketch_agg(NULL::numeric) IS NULL AS numeric_null
FROM generate_series(1, 3);
SELECT quantile(quantile_sketch_agg(12.345), ARRAY[0, 0.5, 1]);
SELECT quantile_sketch_merge(s) IS NULL AS merge_null FROM (VALUES (NULL::quantile_sketch)) AS v(s);
SELECT quantile_sketch_agg(-0.0::float8) = quantile_sketch_agg(0.0::float8) AS one_zero;

-- Strict functions
SELECT quantile(NULL::quantile_sketch, 0.5) IS NULL AND quantile(:'sketch'::quantile_sketch, NULL::float8) IS NULL
   AND quantile(:'sketch'::quantile_sketch, NULL::float8[]) IS NULL
   AND quantile_sketch_rank(:'sketch'::quantile_sketch, NULL) IS NULL
   AND :'sketch'::quantile_sketch + NULL IS NULL AS all_null;
SELECT quantile(:'sketch'::quantile_sketch, ARRAY[[1, NULL], [0, 1]]::float8[]), quantile(:'sketch'::quantile_sketch, '{}'::float8[]);

-- The promise: the lower quantile (rank floor(p * (n - 1))) within 1 %, at every percentile; exact ends
CREATE TABLE sketch_sample AS
SELECT i % 17 AS part, x
FROM generate_series(1, 20000) AS i, LATERAL (SELECT (i * 7919 % 20011)::float8 / 1000 AS u) AS a,
     LATERAL (VALUES (u), (exp(u)), (-exp(u / 4)), (0), (1e6 + u)) AS v(x);
WITH q AS (
    SELECT array_agg(p / 100.0::float8 ORDER BY p) AS fractions FROM generate_series(0, 100) AS p
), s AS (
    SELECT quantile_sketch_agg(x) AS sketch, array_agg(x ORDER BY x) AS sorted FROM sketch_sample
)
SELECT count(*) FILTER (WHERE abs(estimate - exact) <= 0.01 * abs(exact)) AS within_bound, count(*) AS percentiles,
       bool_and(estimate = exact) FILTER (WHERE fraction IN (0, 1)) AS ends_exact
FROM q, s, unnest(fractions, quantile(sketch, fractions)) AS u(fraction, estimate),
     LATERAL (SELECT sorted[1 + floor(fraction * (cardinality(sorted) - 1))::integer]) AS e(exact);

-- rank: the share of values <= x' for some x' in [x, 1.0203 x]
SELECT bool_and(rank BETWEEN low AND high) AS within_bound
FROM (VALUES (0.5), (1), (10), (1e3), (1e6)) AS v(x),
     LATERAL (SELECT quantile_sketch_rank(quantile_sketch_agg(s.x), v.x) AS rank,
                     avg((s.x <= v.x)::integer) AS low, avg((s.x <= v.x * 1.0203)::integer) AS high
              FROM sketch_sample AS s) AS r;
SELECT quantile_sketch_rank(s, '-Infinity'), quantile_sketch_rank(s, -3.1), quantile_sketch_rank(s, 0),
       quantile_sketch_rank(s, 2), quantile_sketch_rank(s, 'Infinity')
FROM (SELECT :'sketch'::quantile_sketch) AS v(s);

-- Combining parts gives the whole, bit for bit, in any order; sum exact
WITH whole AS (SELECT quantile_sketch_agg(x) AS s FROM sketch_sample),
parts AS (SELECT part, quantile_sketch_agg(x) AS s FROM sketch_sample GROUP BY part)
SELECT quantile_sketch_merge(parts.s ORDER BY part) = (SELECT s FROM whole) AS ascending,
       quantile_sketch_merge(parts.s ORDER BY part DESC) = (SELECT s FROM whole) AS descending,
       (SELECT a.s + b.s = b.s + a.s FROM parts AS a, parts AS b WHERE a.part = 0 AND b.part = 1) AS commutative
FROM parts;
SELECT quantile_sketch_sum(quantile_sketch_agg(0.1::float8)) AS tenths, sum(0.1::float8) AS naive FROM generate_series(1, 1000);

-- numeric and float8 input build the same sketch of decimals of nine places below 2^23; the sum is theirs
SELECT quantile_sketch_agg(n) = quantile_sketch_agg(n::float8) AS same, quantile_sketch_sum(quantile_sketch_agg(n)) = sum(n) AS exact
FROM (SELECT round(x::numeric, 9) AS n FROM sketch_sample WHERE abs(x) < 2 ^ 23) AS t;
SELECT quantile_sketch_sum(quantile_sketch_agg(x)) FROM (VALUES (1e300), (1), (-1e300), (123456789012.123456789), (0.0000000005)) AS v(x);
-- what is too small for a double counts as zero
SELECT quantile_sketch_max(quantile_sketch_agg(1e-400::numeric));

-- GROUP BY and window use the same state; the final function does not change it
SELECT i, quantile_sketch_count(quantile_sketch_agg(i) OVER (ORDER BY i)) AS running FROM generate_series(1, 3) AS i;
SELECT count(*) AS different
FROM (SELECT quantile_sketch_agg(x) AS s FROM generate_series(1, 4) AS x GROUP BY x % 2
      UNION SELECT quantile_sketch_agg(x) FROM (VALUES (1), (3)) AS v(x)) AS t;
SELECT :'sketch'::quantile_sketch <> quantile_sketch_agg(1) AS differs;

-- A parallel plan gives the same bytes
CREATE TABLE sketch_parallel AS SELECT * FROM sketch_sample;
SELECT quantile_sketch_agg(x)::text AS serial, quantile_sketch_merge(s)::text AS serial_merge
FROM (SELECT x, quantile_sketch_agg(x) OVER (PARTITION BY x) AS s FROM sketch_parallel WHERE part = 3) AS t \gset
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
ALTER TABLE sketch_parallel SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT quantile_sketch_agg(x) FROM sketch_parallel WHERE part = 3;
SELECT quantile_sketch_agg(x)::text = :'serial' AS same FROM sketch_parallel WHERE part = 3;
ALTER TABLE sketch_parallel ADD COLUMN s quantile_sketch;
CREATE TABLE sketch_parts AS SELECT quantile_sketch_agg(x) OVER (PARTITION BY x) AS s FROM sketch_parallel WHERE part = 3;
ALTER TABLE sketch_parts SET (parallel_workers = 2);
SELECT quantile_sketch_merge(s)::text = :'serial_merge' AS same FROM sketch_parts;
SELECT quantile_sketch_agg(x) IS NULL AS null_in_parallel FROM sketch_parallel WHERE part < 0;
ROLLBACK;

-- Accuracy and bounded size: only the buckets nearest to zero collapse, and the sketch says so
SELECT a.accuracy, max(abs(quantile(s, f) / (1 + floor(f * 9999)) - 1)) <= a.accuracy AS within_bound,
       (s::text::jsonb ->> 'accuracy')::float8 = a.accuracy AS kept
FROM (VALUES (0.0001), (0.001), (0.05), (0.5)) AS a(accuracy),
     LATERAL (SELECT quantile_sketch_agg(x, a.accuracy, 65536) AS s FROM generate_series(1, 10000) AS x) AS g,
     LATERAL (SELECT p / 1000.0::float8 AS f FROM generate_series(0, 1000) AS p) AS p
GROUP BY a.accuracy, s ORDER BY 1;
SELECT s::text::jsonb ->> 'collapsed' AS collapsed, quantile_sketch_count(s) AS count, quantile_sketch_sum(s) AS sum,
       quantile(s, 0) AS min, abs(quantile(s, 0.99) / 9900 - 1) < 0.01 AS upper_kept,
       quantile(s, 0.01) > 1000 AS lower_lost
FROM (SELECT quantile_sketch_agg(x, 0.01, 16) AS s FROM generate_series(1, 10000) AS x) AS t;

-- Binary form, through COPY
\getenv directory PG_ABS_BUILDDIR
\set file :directory '/results/quantile_sketch.bin'
CREATE TABLE sketch_store (s quantile_sketch);
INSERT INTO sketch_store SELECT quantile_sketch_agg(x) FROM sketch_sample GROUP BY part;
INSERT INTO sketch_store VALUES (:'sketch');
SELECT bool_and(s::text::quantile_sketch = s) AS text_lossless, min(octet_length(quantile_sketch_send(s))) AS smallest FROM sketch_store;

COPY sketch_store TO :'file' (FORMAT binary);
CREATE TEMPORARY TABLE sketch_restored (LIKE sketch_store);
COPY sketch_restored FROM :'file' (FORMAT binary);
SELECT count(*) AS different FROM (SELECT s FROM sketch_store EXCEPT ALL SELECT s FROM sketch_restored) AS d;

-- Errors
SELECT quantile_sketch_agg(x) FROM (VALUES (1::float8), ('NaN')) AS v(x);
SELECT quantile_sketch_agg(x) FROM (VALUES (1::float8), ('-Infinity')) AS v(x);
SELECT quantile_sketch_agg(x) FROM (VALUES (1::numeric), ('NaN')) AS v(x);
SELECT quantile_sketch_agg(1e309);
SELECT quantile_sketch_agg(1, 0.9);
SELECT quantile_sketch_agg(1, 'NaN');
SELECT quantile_sketch_agg(1, 0.01, 4);
SELECT quantile_sketch_agg(1, NULL);
SELECT quantile_sketch_agg(1, x) FROM (VALUES (0.01), (0.02)) AS v(x);
SELECT quantile_sketch_agg(1, 0.01) + quantile_sketch_agg(1, 0.02, 64);
SELECT quantile(:'sketch'::quantile_sketch, 1.5);
SELECT quantile(:'sketch'::quantile_sketch, ARRAY[0.5, 'NaN']);
SELECT quantile_sketch_rank(:'sketch'::quantile_sketch, 'NaN');
SELECT ''::quantile_sketch;
SELECT '{"accuracy": 0.01, "max_buckets": 2048, "total": 1}'::quantile_sketch;
SELECT replace(:'sketch', '"count": 5', '"count": 6')::quantile_sketch;
SELECT replace(:'sketch', '"min": -3', '"min": -4')::quantile_sketch;
SELECT replace(:'sketch', '"sum": 2.5', '"sum": 1000')::quantile_sketch;
SELECT replace(:'sketch', '"none"', '"both"')::quantile_sketch;
SELECT replace(:'sketch', '"none"', '"some"')::quantile_sketch;
SELECT replace(:'sketch', '"34"', '"20"')::quantile_sketch;
SELECT '{"accuracy": 0.01, "max_buckets": 2048}'::quantile_sketch;

-- Damaged binary input: bytea's binary form is its bytes, so they reach the type's receive function
CREATE TABLE sketch_damage (b bytea);
INSERT INTO sketch_damage SELECT substr(quantile_sketch_send(:'sketch'::quantile_sketch), 1, 30);
COPY sketch_damage TO :'file' (FORMAT binary);
COPY sketch_store FROM :'file' (FORMAT binary);
UPDATE sketch_damage SET b = set_byte(quantile_sketch_send(:'sketch'::quantile_sketch), 0, 9);
COPY sketch_damage TO :'file' (FORMAT binary);
COPY sketch_store FROM :'file' (FORMAT binary);

DROP TABLE sketch_sample, sketch_parallel, sketch_store, sketch_damage;
