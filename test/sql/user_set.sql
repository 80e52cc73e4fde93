-- analytics.user_set: input and output, casts, algebra, comparison, aggregates.
SET search_path = analytics, analytics_internal, public;

-- Text: any order in, ascending out; three or more in a row are a range.
SELECT t, t::user_set FROM unnest(ARRAY['{}', '{5}', ' { 9,1 - 3 , 2,7,8 } ', '{0,4294967295}', '{65534-65537}']) AS t;

-- Malformed text and elements out of range.
SELECT '{1,x}'::user_set;
SELECT '{1,2'::user_set;
SELECT '{9-3}'::user_set;
SELECT '{-1}'::user_set;
SELECT '{4294967296}'::user_set;

-- Casts. NULL elements are ignored; order and repetition go.
SELECT ARRAY[3, 1, NULL, 3]::user_set, ARRAY[4294967295, 0]::user_set, ARRAY[[1, 2], [2, 3]]::user_set,
       '{}'::bigint[]::user_set;
SELECT '{1-3,9}'::user_set::integer[], '{4294967295}'::user_set::bigint[], '{}'::user_set::integer[];
SELECT ARRAY[-5]::user_set;
SELECT ARRAY[4294967296]::user_set;
SELECT '{4294967295}'::user_set::integer[];
SELECT '{0-4294967295}'::user_set::bigint[];

-- bytea is the portable Roaring format: cookie 12346 with an array, cookie 12347 with runs.
SELECT '{1,3}'::user_set::bytea, '{1-5}'::user_set::bytea, '{}'::user_set::bytea;
SELECT '\x3a300000010000000000010010000000010003 00'::bytea::user_set;
-- Not canonical, but legal: runs 1-2 and 3-4. The same set has the same bytes afterwards.
SELECT '\x3b30000001000003000200010001000300 0100'::bytea::user_set = '{1-4}'::user_set AS same,
       '\x3b30000001000003000200010001000300 0100'::bytea::user_set::bytea;

-- Whatever the bytes: an error, never a crash.
SELECT '\x'::bytea::user_set;
SELECT '\x00112233'::bytea::user_set;
SELECT '\x3a3000000100000000000100100000000100'::bytea::user_set;
SELECT '\x3a300000010000000000010010000000030001 00'::bytea::user_set;
SELECT '\x3a300000010000000000010010000000010003 0000'::bytea::user_set;

-- Every truncation of a value with all kinds of containers is refused.
DO $$
DECLARE
    whole bytea := (SELECT user_set_agg(i) FROM generate_series(0, 20000, 2) AS i)::bytea;
    refused integer := 0;
BEGIN
    FOR n IN 0 .. length(whole) - 1 BY 7 LOOP
        BEGIN
            PERFORM substr(whole, 1, n)::user_set;
            RAISE WARNING 'accepted % bytes', n;
        EXCEPTION WHEN invalid_binary_representation THEN
            refused := refused + 1;
        END;
    END LOOP;
    RAISE NOTICE 'all refused: %', refused = (length(whole) + 6) / 7;
END
$$;

-- Reading.
SELECT s, user_set_cardinality(s) AS n, s = '{}' AS empty, user_set_min(s), user_set_max(s)
FROM unnest(ARRAY['{}', '{0-4294967295}', '{5,70000}']::user_set[]) AS s;
SELECT array_agg(e) FROM user_set_elements('{3,65535-65537,4294967295}') AS e;
SELECT count(*) FROM user_set_elements('{}');
SELECT e FROM (SELECT user_set_elements('{0-4294967295}') AS e) AS lazy LIMIT 3;
SELECT user_set_elements('{3-5}') AS e LIMIT 2;

-- Algebra and tests.
SELECT '{1-5}'::user_set | '{4-9}' AS either, '{1-5}'::user_set & '{4-9}' AS both,
       '{1-5}'::user_set - '{4-9}' AS left_only, '{1-5}'::user_set # '{4-9}' AS one_of_them;
SELECT user_set_union_cardinality('{1-5}', '{4-9}') AS either, user_set_intersection_cardinality('{1-5}', '{4-9}') AS both,
       user_set_difference_cardinality('{1-5}', '{4-9}') AS left_only;
SELECT '{1-5}'::user_set @> '{2,3}' AS t, '{2,3}'::user_set <@ '{1-5}' AS t, '{1-5}'::user_set @> '{}' AS t,
       '{}'::user_set @> '{1}' AS f, '{1-5}'::user_set @> 5 AS t, 6 <@ '{1-5}'::user_set AS f,
       '{1-5}'::user_set @> -1 AS f, '{1}'::user_set @> 4294967297 AS f,
       '{1,2}'::user_set && '{2}' AS t, '{1}'::user_set && '{}' AS f;
SELECT NULL::user_set | '{1}' AS "null", '{1}'::user_set @> NULL::bigint AS "null";

-- The order is that of the arrays of elements; equal sets are equal however they were written.
SELECT array_agg(s ORDER BY s), array_agg(s ORDER BY s) = array_agg(s ORDER BY s::bigint[]) AS as_arrays
FROM unnest(ARRAY['{2}', '{}', '{1,70000}', '{1,2}', '{1}', '{1-3}', '{70000}', '{1,3}']::user_set[]) AS s;
SELECT '{3,2,1}'::user_set = '{1-3}' AS t, '{1}'::user_set <> '{2}' AS t, '{1}'::user_set >= '{1}' AS t,
       '{1}'::user_set <= '{1}' AS t, '{2}'::user_set > '{1,9}' AS t, '{2}'::user_set < '{1,9}' AS f;
SELECT count(DISTINCT s) FROM (VALUES ('{1,2,3}'::user_set), ('{1-3}'), ('{4}')) AS v (s);
CREATE TABLE user_set_sample AS
SELECT i AS id, (SELECT user_set_agg(e) FROM generate_series(i, i * 100, i % 7 + 1) AS e) AS members
FROM generate_series(1, 500) AS i;
CREATE INDEX ON user_set_sample USING hash (members);
CREATE UNIQUE INDEX ON user_set_sample (members) WHERE user_set_cardinality(members) < 500;
SET enable_seqscan = off;
SELECT id FROM user_set_sample WHERE members = (SELECT members FROM user_set_sample AS s WHERE s.id = 321);
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT count(*) FROM user_set_sample AS a JOIN user_set_sample AS b USING (members);
RESET enable_hashjoin;
RESET enable_nestloop;
RESET enable_seqscan;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'user_set_ops' ORDER BY opcmethod;

-- Text and bytes give the value back.
SELECT bool_and(members::text::user_set = members AND members::bytea::user_set = members
                AND members::bigint[]::user_set = members) AS round_trip
FROM user_set_sample;
COPY (SELECT '{1-5}'::user_set) TO STDOUT;

-- The value in a table: not compressed, moved out of line when large.
SELECT attstorage FROM pg_attribute WHERE attrelid = 'user_set_sample'::regclass AND attname = 'members';

-- Aggregates: no row, only NULL, one row, several, empty sets among them.
SELECT user_set_agg(i), user_set_union_agg(s), user_set_intersect_agg(s)
FROM (SELECT NULL::bigint, NULL::user_set WHERE false) AS none (i, s);
SELECT user_set_agg(i), user_set_union_agg(s), user_set_intersect_agg(s)
FROM (VALUES (NULL::bigint, NULL::user_set), (NULL, NULL)) AS v (i, s);
SELECT user_set_agg(7::smallint), user_set_union_agg('{1,2}'), user_set_intersect_agg('{1,2}');
SELECT user_set_agg(i), user_set_union_agg(s), user_set_intersect_agg(s)
FROM (VALUES (3, '{1-5,70000}'::user_set), (NULL, NULL), (1, '{3-9,70000}'), (3, '{0,4,5,70000}')) AS v (i, s);
SELECT user_set_union_agg(s), user_set_intersect_agg(s) FROM (VALUES ('{1}'::user_set), ('{}')) AS v (s);
SELECT user_set_agg(-1);
SELECT user_set_agg(i) FILTER (WHERE i % 2 = 0), user_set_agg(i) OVER () AS whole FROM generate_series(1, 4) AS i GROUP BY i ORDER BY i;
SELECT i, user_set_agg(i % 3) OVER (ORDER BY i) FROM generate_series(1, 4) AS i;

-- A forced parallel plan gives what one process gives; the plan does use the combine function.
CREATE TABLE user_set_events AS
SELECT (i * 7919::bigint) % 100003 + (i % 3) * 4000000 AS user_number, i % 5 AS day FROM generate_series(1, 100000) AS i;
ALTER TABLE user_set_events SET (parallel_workers = 2);
ALTER TABLE user_set_sample SET (parallel_workers = 2);
ANALYZE user_set_events;
ANALYZE user_set_sample;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE alone AS
SELECT user_set_agg(user_number) AS a, (SELECT user_set_union_agg(members) FROM user_set_sample) AS u,
       (SELECT user_set_intersect_agg(members | '{7,100000}') FROM user_set_sample) AS i
FROM user_set_events;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) SELECT user_set_agg(user_number) FROM user_set_events;
SELECT user_set_agg(user_number) = (SELECT a FROM alone) AS same FROM user_set_events;
SELECT user_set_union_agg(members) = (SELECT u FROM alone) AS same,
       user_set_intersect_agg(members | '{7,100000}') = (SELECT i FROM alone) AS same
FROM user_set_sample;
RESET ALL;
SET search_path = analytics, analytics_internal, public;

-- Against the plain SQL answer; the union of parts is the whole.
SELECT user_set_cardinality(user_set_agg(user_number)) = count(DISTINCT user_number) AS same FROM user_set_events;
SELECT user_set_union_agg(part) = (SELECT user_set_agg(user_number) FROM user_set_events) AS same
FROM (SELECT user_set_agg(user_number) AS part FROM user_set_events GROUP BY day) AS parts;

DROP TABLE user_set_sample, user_set_events;
