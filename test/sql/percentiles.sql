-- calculate_percentiles and the aggregate percentiles (doc/percentiles.md).
\getenv directory PG_ABS_SRCDIR

-- The README's example.
SELECT analytics.calculate_percentiles(ARRAY[1.2, 2.3, 3.4, 4.5], ARRAY[0.5, 0.95, 0.99]);

-- R's answers, all nine types; R printed 10 digits.
CREATE TEMP TABLE series (series text, numbers text);
CREATE TEMP TABLE reference (series text, type text, fraction text, value text);
\set file :directory '/data/quantiles_values.csv'
COPY series FROM :'file' (FORMAT csv, HEADER);
\set file :directory '/data/quantiles_reference.csv'
COPY reference FROM :'file' (FORMAT csv, HEADER);
CREATE TEMP TABLE answer AS
SELECT r.*, (analytics.calculate_percentiles(numbers::numeric[], ARRAY[fraction::numeric], type))[1] AS exact,
       (analytics.calculate_percentiles(numbers::float8[], ARRAY[fraction::float8], type))[1] AS fast
FROM reference AS r JOIN series USING (series);
SELECT count(*) AS answers,
       count(*) FILTER (WHERE exact <> value::numeric AND type <> '8') AS exact_different,
       count(*) FILTER (WHERE abs(exact - value::numeric) > 5.1e-10 * abs(value::numeric)) AS exact_wrong,
       count(*) FILTER (WHERE abs(fast - exact::float8) > 1e-12 * abs(exact)) AS fast_wrong
FROM answer;
-- On float8, type 7 is percentile_cont and type 1 percentile_disc, bit for bit.
SELECT count(*) AS compared,
       count(*) FILTER (WHERE float8send(c) <> float8send((analytics.calculate_percentiles(n, ARRAY[p]))[1])) AS cont,
       count(*) FILTER (WHERE float8send(d) <> float8send((analytics.calculate_percentiles(n, ARRAY[p], '1'))[1])) AS disc
FROM (SELECT numbers::float8[] AS n, p,
             (SELECT percentile_cont(p) WITHIN GROUP (ORDER BY u) FROM unnest(numbers::float8[]) AS u) AS c,
             (SELECT percentile_disc(p) WITHIN GROUP (ORDER BY u) FROM unnest(numbers::float8[]) AS u) AS d
      FROM series, (SELECT i / 32::float8 FROM generate_series(0, 32) AS i) AS f (p)) AS x;

-- numpy's names and its published table: 40 % of 15 20 35 40 50.
SELECT name, analytics.calculate_percentiles('{15,20,35,40,50}'::numeric[], '{0.4}', name) AS exact,
       analytics.calculate_percentiles('{15,20,35,40,50}'::float8[], '{0.4}', name) AS fast
FROM unnest('{inverted_cdf,averaged_inverted_cdf,closest_observation,interpolated_inverted_cdf,hazen,weibull,linear,
              median_unbiased,normal_unbiased}'::text[]) AS name;

-- NULL elements, NULL fractions, no numbers, no fractions, several dimensions, order of fractions.
SELECT analytics.calculate_percentiles('{4,NULL,2,NULL}'::float8[], '{1,NULL,0.5,0}') AS fast,
       analytics.calculate_percentiles('{4,NULL,2,NULL}'::numeric[], '{1,NULL,0.5,0}') AS exact,
       analytics.calculate_percentiles('{4,NULL,2,NULL}'::bigint[], '{1,NULL,0.5,0}') AS whole;
SELECT analytics.calculate_percentiles('{}'::float8[], '{0.5,1}') AS fast,
       analytics.calculate_percentiles('{NULL}'::numeric[], '{0.5,1}') AS exact,
       analytics.calculate_percentiles('{1}'::float8[], '{}') AS no_fractions,
       analytics.calculate_percentiles(NULL::float8[], '{0.5}') IS NULL AS null_numbers,
       analytics.calculate_percentiles('{1}'::numeric[], NULL) IS NULL AS null_fractions;
SELECT analytics.calculate_percentiles('{{1,2},{3,4}}'::float8[], '{{0,1},{0.5,0.25}}') AS fast,
       analytics.calculate_percentiles('{{1,2},{3,4}}'::numeric[], '{{0,1},{0.5,0.25}}') AS exact;

-- NaN sorts last; only -infinity with infinity has no value in between.
SELECT analytics.calculate_percentiles('{NaN,1,2}'::float8[], '{0,0.5,0.75,1}') AS fast,
       analytics.calculate_percentiles('{NaN,1,2}'::numeric[], '{0,0.5,0.75,1}') AS exact;
SELECT analytics.calculate_percentiles('{-Infinity,Infinity}'::float8[], '{0,0.5,1}') AS fast,
       analytics.calculate_percentiles('{-Infinity,Infinity}'::numeric[], '{0,0.5,1}') AS exact;
SELECT analytics.calculate_percentiles('{-Infinity,-Infinity,0,Infinity}'::float8[], '{0.1,0.5,0.7,0.9}') AS fast,
       analytics.calculate_percentiles('{-Infinity,-Infinity,0,Infinity}'::numeric[], '{0.1,0.5,0.7,0.9}') AS exact;
SELECT analytics.calculate_percentiles('{-1.7e308,1.7e308}'::float8[], '{0.5}') AS no_overflow,
       analytics.calculate_percentiles('{0,-0,5e-324,-5e-324}'::float8[], '{0,1}') AS denormals;

-- Numeric: exact when finite, else 20 significant digits; the decimals of the input are kept.
SELECT analytics.calculate_percentiles('{1.00,2.50}'::numeric[], '{0,0.5,0.123}') AS money,
       analytics.calculate_percentiles('{0,1}'::numeric[], '{0.5,0.6,0.4}', '8') AS thirds,
       analytics.calculate_percentiles('{0,0.01}'::numeric[], '{0.6}', '8') AS small_third;
SELECT analytics.calculate_percentiles(ARRAY[1e30 + 1, 1e30 + 2, 1e-30], '{0.5,0.75}') AS wide,
       analytics.calculate_percentiles(ARRAY[12345678901234567.891, 12345678901234567.893], '{0.5}') AS bits_128,
       analytics.calculate_percentiles('{9223372036854775807,-9223372036854775808}'::bigint[], '{0,0.5,1}') AS bigints;

-- The three ways through numeric (64 bits, 128 bits, as they lie) agree on the same numbers scaled.
SELECT count(*) AS compared, count(*) FILTER (WHERE narrow[1] * 1e25 <> middle[1] OR narrow[1] * 1e60 + 1e-60 <> wide[1]) AS different
FROM (SELECT analytics.calculate_percentiles(array_agg(v), ARRAY[p], t) AS narrow,
             analytics.calculate_percentiles(array_agg(v * 1e25), ARRAY[p], t) AS middle,
             analytics.calculate_percentiles(array_agg(v * 1e60 + 1e-60), ARRAY[p], t) AS wide
      FROM (SELECT ((i * 7919) % 5003 - 2500)::numeric / 8 AS v FROM generate_series(1, 3000) AS i) AS x,
           unnest('{0,0.013,0.5,0.77,1}'::numeric[]) AS p, unnest('{1,2,3,4,5,6,7,9}'::text[]) AS t
      GROUP BY p, t) AS y;

-- Inputs that hurt a naive selection, against percentile_cont.
SELECT kind, bool_and(analytics.calculate_percentiles(a, f) = p) AS same
FROM (SELECT kind, array_agg(v) AS a, f, percentile_cont(f) WITHIN GROUP (ORDER BY v) AS p
      FROM (SELECT i::float8 AS i, kind, CASE kind
                WHEN 'equal' THEN 7 WHEN 'sorted' THEN i WHEN 'reversed' THEN -i WHEN 'few' THEN i % 3
                WHEN 'outlier' THEN CASE i WHEN 77 THEN 1e300 ELSE i % 1009 END
                WHEN 'nan' THEN CASE WHEN i % 3 = 0 THEN 'NaN'::float8 ELSE i % 577 END
                WHEN 'tiny' THEN i * 5e-324 ELSE exp((i * 7919) % 691) END AS v
            FROM generate_series(1, 20000) AS i,
                 unnest('{equal,sorted,reversed,few,outlier,nan,tiny,exponential}'::text[]) AS kind) AS x,
           (VALUES ('{0,0.001,0.25,0.5,0.6,0.95,0.999,1}'::float8[])) AS fractions (f)
      GROUP BY kind, f) AS y
GROUP BY kind ORDER BY kind;

-- Untyped literals and integers resolve; the type of the answer says how.
SELECT pg_typeof(analytics.calculate_percentiles('{1,2}', '{0.5}')) AS literals,
       pg_typeof(analytics.calculate_percentiles('{1,2}', '{0.5}', '6')) AS literals_type,
       pg_typeof(analytics.calculate_percentiles('{1,2}', '{0.5}', 'hazen')) AS literals_name,
       pg_typeof(analytics.calculate_percentiles('{1,2}', ARRAY[0.5])) AS left_literal,
       pg_typeof(analytics.calculate_percentiles('{1,2}', '{0.5}'::float8[])) AS left_literal_float;
SELECT analytics.calculate_percentiles(ARRAY[1, 2], ARRAY[0, 1]) AS integers,
       analytics.calculate_percentiles(ARRAY[1, 2], ARRAY[0, 1], 'weibull') AS integers_name,
       analytics.calculate_percentiles(ARRAY[1, 2]::smallint[], '{0.5}') AS smallint,
       analytics.calculate_percentiles(ARRAY[1, 2], '{0.5}', 'hazen') AS integer,
       analytics.calculate_percentiles(ARRAY[1, 2], ARRAY[0.5]) AS integer_numeric,
       analytics.calculate_percentiles(ARRAY[1, 2]::real[], '{0.5}') AS "real",
       pg_typeof(analytics.calculate_percentiles(ARRAY[1.5, 2], '{0.5}'::float8[])) AS numeric_float;

-- Errors.
SELECT analytics.calculate_percentiles('{1,2}'::float8[], '{0.5,1.5}');
SELECT analytics.calculate_percentiles('{1,2}'::float8[], '{NaN}');
SELECT analytics.calculate_percentiles('{}'::float8[], '{-0.1}');
SELECT analytics.calculate_percentiles('{1,2}'::numeric[], '{0.5,1.0000000000000000000000000001}');
SELECT analytics.calculate_percentiles('{1,2}'::numeric[], '{NaN}');
SELECT analytics.calculate_percentiles(ARRAY[1, 2], ARRAY[0, 95]);
SELECT analytics.calculate_percentiles('{1,2}'::float8[], '{0.5}', '10');
SELECT analytics.calculate_percentiles('{1,2}'::numeric[], '{0.5}', 'nearest');
SELECT analytics.calculate_percentiles('{1,two}', '{0.5}');

-- The aggregate is calculate_percentiles(array_agg(value), fractions, method).
SELECT analytics.percentiles(v, '{0.5}') AS no_row FROM (VALUES (1.5)) AS x (v) WHERE false;
SELECT analytics.percentiles(v, '{0.5,1}') AS one_row FROM (VALUES (1.5)) AS x (v);
SELECT analytics.percentiles(NULL::float8, '{0.5,1}') AS only_nulls, analytics.percentiles(1::float8, NULL) AS null_fractions,
       analytics.percentiles(1, '{0.5}', NULL) AS null_method
FROM generate_series(1, 3);
SELECT analytics.percentiles(v::float8, '{1,0.5,NULL}', '6') AS fast, analytics.percentiles(v, '{1,0.5,NULL}', 'weibull') AS exact,
       analytics.percentiles(v::float8, '{1,0.5,NULL}', 'weibull') AS fast_name, analytics.percentiles(v, '{1,0.5,NULL}', '6') AS exact_type
FROM unnest('{3,NULL,NaN,-Infinity,2.50,1}'::numeric[]) AS v;
SELECT count(*) AS groups, bool_and(a = b AND c = d) AS same
FROM (SELECT analytics.percentiles(v::float8, '{0.1,0.5,0.9}') AS a,
             analytics.calculate_percentiles(array_agg(v::float8), '{0.1,0.5,0.9}') AS b,
             analytics.percentiles(v, '{0.1,0.5,0.9}', '8') AS c,
             analytics.calculate_percentiles(array_agg(v), '{0.1,0.5,0.9}', '8') AS d
      FROM (SELECT i % 7 AS g, ((i * 7919) % 1000003) / 1000.0 AS v FROM generate_series(1, 5000) AS i) AS x
      GROUP BY g) AS y;
SELECT analytics.percentiles(v::float8, ARRAY[f]) FROM (VALUES (1, 0.5::float8), (2, 0.6)) AS x (v, f);
SELECT analytics.percentiles(v::numeric, '{0.5}', m) FROM (VALUES (1, '6'), (2, '7')) AS x (v, m);
SELECT analytics.percentiles(1.5, '{95}');
SELECT analytics.percentiles(1.5::float8, '{0.5}', 'median');

-- A parallel plan gives the same.
CREATE TABLE percentile_input AS
SELECT CASE WHEN i % 10 <> 0 THEN ((i * 7919) % 1000003) / 1000.0 END AS v FROM generate_series(1, 30000) AS i;
CREATE TEMP TABLE serial_answer AS
SELECT analytics.percentiles(v, '{0.1,0.5,0.9}', '9') AS exact, analytics.percentiles(v::float8, '{0.1,0.5,0.9}') AS fast,
       analytics.percentiles(v, NULL) AS none, analytics.percentiles(v, '{0.5}') FILTER (WHERE v < 0) AS nothing
FROM percentile_input;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT analytics.percentiles(v, '{0.1,0.5,0.9}') FROM percentile_input;
SELECT p.exact::text = s.exact::text AND p.fast = s.fast AND p.none IS NULL AND p.nothing IS NULL AS same
FROM (SELECT analytics.percentiles(v, '{0.1,0.5,0.9}', '9') AS exact, analytics.percentiles(v::float8, '{0.1,0.5,0.9}') AS fast,
             analytics.percentiles(v, NULL) AS none, analytics.percentiles(v, '{0.5}') FILTER (WHERE v < 0) AS nothing
      FROM percentile_input) AS p, serial_answer AS s;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
DROP TABLE percentile_input;
