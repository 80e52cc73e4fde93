-- Reading and writing PostgreSQL's numeric in place (src/pg/numeric.hpp), against numeric's own functions.
\getenv srcdir PG_ABS_SRCDIR
\set test_module :srcdir '/module/test_module.so'
CREATE FUNCTION pg_temp.scaled(numeric, integer) RETURNS numeric
LANGUAGE c STRICT AS :'test_module', 'test_scaled_numeric';
CREATE FUNCTION pg_temp.describe(numeric) RETURNS text
LANGUAGE c STRICT AS :'test_module', 'test_describe_numeric';

SELECT n, pg_temp.describe(n), pg_temp.scaled(n, 2)
FROM unnest('{0,0.000,-1.005,1.005,0.005,0.0049999,-0.005,9999.995,10000,0.99995,NaN,Infinity,-Infinity}'::numeric[]) AS n;

-- Every length, place of the decimal point and sign: short and long forms, 1-byte headers (from the table, so
-- unaligned too) and 4-byte ones (from the expression).
CREATE TEMP TABLE number (filler "char" NOT NULL, n numeric);
INSERT INTO number
SELECT 'x', s * round(d::numeric * 10::numeric ^ e, 90)::numeric
FROM unnest('{0,1,5,49,50,99,4999,5000,9999,10001,99995,12345678,100000000,999999999999,123456789012345678,
              999999999999999999,1234567890123456789012345,99999999999999999999999999999999999999,
              100000000000000000000000000000000000000,1e270}'::numeric[]) AS d,
     generate_series(-45, 70) AS e, unnest('{1,-1}'::int[]) AS s;
INSERT INTO number SELECT 'x', trim_scale(n) FROM number;
INSERT INTO number SELECT 'x', (n::text || repeat('0', 200))::numeric FROM number WHERE scale(n) > 0 LIMIT 100;

SELECT count(*) > 8000 AS enough,
       count(*) FILTER (WHERE pg_column_size(n) < 10) > 1000 AS has_short_values,
       count(*) FILTER (WHERE split_part(pg_temp.describe(n), ' ', 2) <> CASE WHEN n < 0 THEN '-' ELSE '+' END) AS sign,
       count(*) FILTER (WHERE split_part(pg_temp.describe(n), ' ', 3)::int <> scale(n)) AS display_scale,
       count(*) FILTER (WHERE split_part(pg_temp.describe(n), ' ', 4)::int <> min_scale(n)) AS needed_scale
FROM number;

-- NULL exactly where |n| * 10^scale is 10^38 or more, and the same text as round() elsewhere.
SELECT scale, count(*) > 8000 AS enough, count(*) FILTER (WHERE is_wrong) AS wrong
FROM (SELECT scale,
             CASE WHEN abs(n) * 10::numeric ^ scale >= 10::numeric ^ 38 THEN pg_temp.scaled(n, scale) IS NOT NULL
                  ELSE pg_temp.scaled(n, scale)::text IS DISTINCT FROM round(n, scale)::text
                       OR pg_temp.scaled(n + 0, scale)::text IS DISTINCT FROM round(n, scale)::text END AS is_wrong
      FROM number, unnest('{0,1,2,3,4,5,6,8,9,15,38,60}'::int[]) AS scale) AS x
GROUP BY scale ORDER BY scale;

-- What is written is what numeric itself would store: equal bytes through the binary output.
SELECT count(*) AS different
FROM number, unnest('{0,2,9,70}'::int[]) AS scale
WHERE numeric_send(pg_temp.scaled(n, scale)) <> numeric_send(round(n, scale))
   OR hash_numeric(pg_temp.scaled(n, scale)) <> hash_numeric(round(n, scale));
