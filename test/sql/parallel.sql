-- Every aggregate of the extension runs in parallel workers, each on its part, and gives what one process gives.
\set QUIET on
CREATE TABLE parallel_input AS SELECT i, i % 7 AS g FROM generate_series(1, 20000) AS i;
ALTER TABLE parallel_input SET (parallel_workers = 2);
ANALYZE parallel_input;

-- A call of an aggregate with arguments made from the column i, constants where they must not vary.
CREATE FUNCTION pg_temp.argument(name text, type text, place integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE type
        WHEN 'bigint' THEN 'i::bigint'
        WHEN 'double precision' THEN CASE place WHEN 1 THEN 'i::double precision' ELSE '0.02::double precision' END
        WHEN 'double precision[]' THEN '''{0.5,0.9}''::double precision[]'
        WHEN 'numeric' THEN '(i / 8.0)'
        WHEN 'numeric[]' THEN '''{0.5,0.9}''::numeric[]'
        WHEN 'integer' THEN CASE name WHEN 'percentiles' THEN '6' ELSE '100' END
        WHEN 'text' THEN '''linear'''
        WHEN 'timestamp with time zone' THEN '(''2025-01-01 UTC''::timestamptz + i * i * interval ''1 second'')'
        WHEN 'interval' THEN 'interval ''1 hour'''
        WHEN 'analytics.user_set' THEN 'analytics.user_set(ARRAY[i % 100, 100000]::bigint[])'
        WHEN 'analytics.quantile_sketch' THEN '(''{"accuracy": 0.01, "max_buckets": 2048, "count": 1, "sum": 0, "min": 0, "max": 0, "negative": {}, "zeros": 1, "positive": {}, "collapsed": "none"}'')::analytics.quantile_sketch'
    END
$$;
CREATE TEMP TABLE call AS
SELECT p.oid::regprocedure AS aggregate, format('SELECT (analytics.%I(%s))::text FROM parallel_input', p.proname,
       (SELECT string_agg(pg_temp.argument(p.proname, t.type::regtype::text, t.place::integer), ', ' ORDER BY t.place)
        FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (type, place))) AS query
FROM pg_proc AS p WHERE p.pronamespace = 'analytics'::regnamespace AND p.prokind = 'a';

-- Leaves of the plan that did the aggregation: Partial, and how many processes returned a state.
CREATE FUNCTION pg_temp.partial_states(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF, FORMAT JSON) ' || query INTO plan;
    RETURN coalesce((SELECT (p ->> 'Actual Loops') || ' partial' FROM jsonb_path_query(plan, '$.**') AS p
                     WHERE p ->> 'Partial Mode' = 'Partial' LIMIT 1), 'not parallel');
END
$$;
CREATE FUNCTION pg_temp.answer(query text, workers integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('max_parallel_workers_per_gather', workers::text, true);
    EXECUTE query INTO result;
    RETURN result;
END
$$;
BEGIN;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off;
SELECT aggregate, pg_temp.answer(query, 0) = pg_temp.answer(query, 2) AS same, pg_temp.partial_states(query) FROM call ORDER BY aggregate::text COLLATE "C";
COMMIT;
DROP TABLE parallel_input;
