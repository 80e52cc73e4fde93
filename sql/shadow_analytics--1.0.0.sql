-- shadow_analytics: product and agent analytics inside PostgreSQL.
-- This script is assembled from sql/install; edit the modules there.

\echo Use "CREATE EXTENSION shadow_analytics" to load this file. \quit

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;

-- The schema is not a member of the extension (or pg_dump --schema would lose its data), so nothing else may
-- live in it: objects planted there beforehand would be trusted by our functions.
DO $$
DECLARE
    owner_name name;
    object_count bigint;
BEGIN
    SELECT pg_catalog.pg_get_userbyid(n.nspowner) INTO owner_name
    FROM pg_catalog.pg_namespace AS n
    JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
    WHERE n.nspname OPERATOR(pg_catalog.=) 'analytics'
      AND NOT r.rolsuper; -- who may do anything anyway; a dump may be restored by another superuser than it belongs to

    IF owner_name OPERATOR(pg_catalog.<>) CURRENT_USER THEN
        RAISE EXCEPTION 'schema "analytics" is owned by another role'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = pg_catalog.format('Its owner is "%s", the extension is being created by "%s".',
                                             owner_name, CURRENT_USER),
                  HINT = 'Drop the schema or change its owner, then create the extension again.';
    END IF;

    SELECT pg_catalog.count(*) INTO object_count
    FROM pg_catalog.pg_depend AS d
    WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
      AND d.refobjid OPERATOR(pg_catalog.=) 'analytics'::pg_catalog.regnamespace
      AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass;

    IF object_count OPERATOR(pg_catalog.>) 0 THEN
        RAISE EXCEPTION 'schema "analytics" is not empty'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = pg_catalog.format('It holds %s objects that do not belong to the extension.', object_count),
                  HINT = 'Move them to another schema or drop them, then create the extension again.';
    END IF;
END
$$;

COMMENT ON SCHEMA analytics IS
    'product and agent analytics (extension shadow_analytics): events, rollups and the functions to read them';

CREATE SCHEMA analytics_internal;
COMMENT ON SCHEMA analytics_internal IS
    'functions that shadow_analytics runs with its owner''s rights; never expose this schema to clients';
REVOKE ALL ON SCHEMA analytics_internal FROM PUBLIC;

CREATE FUNCTION analytics.version() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_version';
COMMENT ON FUNCTION analytics.version() IS
    'version of the loaded library; it may be newer than the installed SQL until ALTER EXTENSION shadow_analytics UPDATE';
-- Percentiles: the nine types of Hyndman and Fan, over arrays and as an aggregate.
--
-- Two implementations, numeric (exact) and double precision (fast). The other overloads of calculate_percentiles
-- are there so that untyped literals and integer arrays resolve instead of being ambiguous: PostgreSQL prefers a
-- text argument for an untyped literal.

CREATE FUNCTION analytics.calculate_percentiles(numbers numeric[], fractions numeric[], method integer DEFAULT 7) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric';
COMMENT ON FUNCTION analytics.calculate_percentiles(numeric[], numeric[], integer) IS
    'percentiles of numbers (any order) at fractions (0..1), in the order of fractions. Exact: the result is exact when it is a finite decimal, else it has 20 significant digits or the decimals of its two neighbours if these are more; it shows at least as many decimals as any of numbers. method: type of Hyndman and Fan (1996), 1..9; 7 (the default) is percentile_cont, 1 is percentile_disc. NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers numeric[], fractions numeric[], method text) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_named';
COMMENT ON FUNCTION analytics.calculate_percentiles(numeric[], numeric[], text) IS
    'percentiles of numbers (any order) at fractions (0..1), in the order of fractions. Exact: the result is exact when it is a finite decimal, else it has 20 significant digits or the decimals of its two neighbours if these are more; it shows at least as many decimals as any of numbers. method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers double precision[], fractions double precision[], method integer DEFAULT 7) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8';
COMMENT ON FUNCTION analytics.calculate_percentiles(double precision[], double precision[], integer) IS
    'percentiles of numbers (any order) at fractions (0..1), in the order of fractions. The fast one; finite numbers give exactly what percentile_cont gives. method: type of Hyndman and Fan (1996), 1..9; 7 (the default) is percentile_cont, 1 is percentile_disc. NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers double precision[], fractions double precision[], method text) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_named';
COMMENT ON FUNCTION analytics.calculate_percentiles(double precision[], double precision[], text) IS
    'percentiles of numbers (any order) at fractions (0..1), in the order of fractions. The fast one; finite numbers give exactly what percentile_cont gives. method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers bigint[], fractions integer[], method integer DEFAULT 7) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric';
COMMENT ON FUNCTION analytics.calculate_percentiles(bigint[], integer[], integer) IS
    'percentiles of whole numbers, exact as for numeric[]; integer fractions can only be 0 (minimum) and 1 (maximum). method: type of Hyndman and Fan (1996), 1..9; 7 (the default) is percentile_cont, 1 is percentile_disc. NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers bigint[], fractions integer[], method text) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_named';
COMMENT ON FUNCTION analytics.calculate_percentiles(bigint[], integer[], text) IS
    'percentiles of whole numbers, exact as for numeric[]; integer fractions can only be 0 (minimum) and 1 (maximum). method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers bigint[], fractions text, method integer DEFAULT 7) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_text';
COMMENT ON FUNCTION analytics.calculate_percentiles(bigint[], text, integer) IS
    'percentiles of whole numbers, exact as for numeric[]; for an untyped literal as fractions (''{0.5,0.95}''), which is read as numeric[]. method: type of Hyndman and Fan (1996), 1..9; 7 (the default) is percentile_cont, 1 is percentile_disc. NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers bigint[], fractions text, method text) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_text_named';
COMMENT ON FUNCTION analytics.calculate_percentiles(bigint[], text, text) IS
    'percentiles of whole numbers, exact as for numeric[]; for an untyped literal as fractions (''{0.5,0.95}''), which is read as numeric[]. method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers text, fractions text, method integer DEFAULT 7) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_text';
COMMENT ON FUNCTION analytics.calculate_percentiles(text, text, integer) IS
    'percentiles of untyped literals (''{1,2}'', ''{0.5}''), which are read as numeric[]; cast one to double precision[] for the fast overload. method: type of Hyndman and Fan (1996), 1..9; 7 (the default) is percentile_cont, 1 is percentile_disc. NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.calculate_percentiles(numbers text, fractions text, method text) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_text_named';
COMMENT ON FUNCTION analytics.calculate_percentiles(text, text, text) IS
    'percentiles of untyped literals (''{1,2}'', ''{0.5}''), which are read as numeric[]; cast one to double precision[] for the fast overload. method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023';

CREATE FUNCTION analytics.percentiles_accum(internal, double precision, double precision[]) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_accum';
COMMENT ON FUNCTION analytics.percentiles_accum(internal, double precision, double precision[]) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics.percentiles_accum(internal, double precision, double precision[], integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_accum';
COMMENT ON FUNCTION analytics.percentiles_accum(internal, double precision, double precision[], integer) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics.percentiles_accum(internal, double precision, double precision[], text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_accum_named';
COMMENT ON FUNCTION analytics.percentiles_accum(internal, double precision, double precision[], text) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics.percentiles_float8_final(internal) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_final';
COMMENT ON FUNCTION analytics.percentiles_float8_final(internal) IS
    'final function of the aggregate analytics.percentiles(double precision, ...)';

CREATE FUNCTION analytics.percentiles_accum(internal, numeric, numeric[]) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_accum';
COMMENT ON FUNCTION analytics.percentiles_accum(internal, numeric, numeric[]) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics.percentiles_accum(internal, numeric, numeric[], integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_accum';
COMMENT ON FUNCTION analytics.percentiles_accum(internal, numeric, numeric[], integer) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics.percentiles_accum(internal, numeric, numeric[], text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_accum_named';
COMMENT ON FUNCTION analytics.percentiles_accum(internal, numeric, numeric[], text) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics.percentiles_numeric_final(internal) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_final';
COMMENT ON FUNCTION analytics.percentiles_numeric_final(internal) IS
    'final function of the aggregate analytics.percentiles(numeric, ...)';

CREATE FUNCTION analytics.percentiles_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_combine';
COMMENT ON FUNCTION analytics.percentiles_combine(internal, internal) IS
    'joins two states of the aggregate analytics.percentiles';

CREATE FUNCTION analytics.percentiles_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_serialize';
COMMENT ON FUNCTION analytics.percentiles_serialize(internal) IS
    'state of the aggregate analytics.percentiles on its way between parallel workers';

CREATE FUNCTION analytics.percentiles_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_deserialize';
COMMENT ON FUNCTION analytics.percentiles_deserialize(bytea, internal) IS
    'state of the aggregate analytics.percentiles from percentiles_serialize';

CREATE AGGREGATE analytics.percentiles(value double precision, fractions double precision[]) (
    SFUNC = analytics.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics.percentiles_float8_final,
    COMBINEFUNC = analytics.percentiles_combine,
    SERIALFUNC = analytics.percentiles_serialize,
    DESERIALFUNC = analytics.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(double precision, double precision[]) IS
    'percentiles of value at fractions: calculate_percentiles(array_agg(value), fractions, method) without the array. Method 7, percentile_cont''s. NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions or method: NULL. Fractions and method must be the same in every row of a group, else 22023. Keeps every value in memory (8 bytes for double precision)';

CREATE AGGREGATE analytics.percentiles(value double precision, fractions double precision[], method integer) (
    SFUNC = analytics.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics.percentiles_float8_final,
    COMBINEFUNC = analytics.percentiles_combine,
    SERIALFUNC = analytics.percentiles_serialize,
    DESERIALFUNC = analytics.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(double precision, double precision[], integer) IS
    'percentiles of value at fractions: calculate_percentiles(array_agg(value), fractions, method) without the array. Method: type of Hyndman and Fan (1996), 1..9; 7 is percentile_cont, 1 is percentile_disc. NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions or method: NULL. Fractions and method must be the same in every row of a group, else 22023. Keeps every value in memory (8 bytes for double precision)';

CREATE AGGREGATE analytics.percentiles(value double precision, fractions double precision[], method text) (
    SFUNC = analytics.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics.percentiles_float8_final,
    COMBINEFUNC = analytics.percentiles_combine,
    SERIALFUNC = analytics.percentiles_serialize,
    DESERIALFUNC = analytics.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(double precision, double precision[], text) IS
    'percentiles of value at fractions: calculate_percentiles(array_agg(value), fractions, method) without the array. Method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions or method: NULL. Fractions and method must be the same in every row of a group, else 22023. Keeps every value in memory (8 bytes for double precision)';

CREATE AGGREGATE analytics.percentiles(value numeric, fractions numeric[]) (
    SFUNC = analytics.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics.percentiles_numeric_final,
    COMBINEFUNC = analytics.percentiles_combine,
    SERIALFUNC = analytics.percentiles_serialize,
    DESERIALFUNC = analytics.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(numeric, numeric[]) IS
    'percentiles of value at fractions: calculate_percentiles(array_agg(value), fractions, method) without the array. Method 7, percentile_cont''s. NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions or method: NULL. Fractions and method must be the same in every row of a group, else 22023. Keeps every value in memory (8 bytes for double precision)';

CREATE AGGREGATE analytics.percentiles(value numeric, fractions numeric[], method integer) (
    SFUNC = analytics.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics.percentiles_numeric_final,
    COMBINEFUNC = analytics.percentiles_combine,
    SERIALFUNC = analytics.percentiles_serialize,
    DESERIALFUNC = analytics.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(numeric, numeric[], integer) IS
    'percentiles of value at fractions: calculate_percentiles(array_agg(value), fractions, method) without the array. Method: type of Hyndman and Fan (1996), 1..9; 7 is percentile_cont, 1 is percentile_disc. NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions or method: NULL. Fractions and method must be the same in every row of a group, else 22023. Keeps every value in memory (8 bytes for double precision)';

CREATE AGGREGATE analytics.percentiles(value numeric, fractions numeric[], method text) (
    SFUNC = analytics.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics.percentiles_numeric_final,
    COMBINEFUNC = analytics.percentiles_combine,
    SERIALFUNC = analytics.percentiles_serialize,
    DESERIALFUNC = analytics.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(numeric, numeric[], text) IS
    'percentiles of value at fractions: calculate_percentiles(array_agg(value), fractions, method) without the array. Method: numpy''s name (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased). NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions or method: NULL. Fractions and method must be the same in every row of a group, else 22023. Keeps every value in memory (8 bytes for double precision)';
-- analytics.user_set: a compressed set of 32-bit unsigned integers. The stored form is a version byte and the portable
-- Roaring format in its canonical shape (src/core/roaring.hpp), the same on every machine.

CREATE TYPE analytics.user_set;

CREATE FUNCTION analytics.user_set_in(cstring) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_in';
COMMENT ON FUNCTION analytics.user_set_in(cstring) IS
    'text input, like {1,2,5-9}: elements and ranges in any order; a malformed text or an element outside 0..4294967295 is an error';

CREATE FUNCTION analytics.user_set_out(analytics.user_set) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_out';
COMMENT ON FUNCTION analytics.user_set_out(analytics.user_set) IS
    'text output: elements ascending, three or more consecutive ones as first-last; an error if the text would exceed 1 GB';

CREATE FUNCTION analytics.user_set_recv(internal) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_recv';
COMMENT ON FUNCTION analytics.user_set_recv(internal) IS
    'binary input: the portable Roaring format, checked completely; anything else is an error';

CREATE FUNCTION analytics.user_set_send(analytics.user_set) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_send';
COMMENT ON FUNCTION analytics.user_set_send(analytics.user_set) IS
    'binary output: the portable Roaring format';

-- Storage external, not extended: the value is compressed already. pglz makes none of the sets measured in
-- doc/user_set.md smaller by one byte, and would try at every write.
CREATE TYPE analytics.user_set (
    INPUT = analytics.user_set_in,
    OUTPUT = analytics.user_set_out,
    RECEIVE = analytics.user_set_recv,
    SEND = analytics.user_set_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = external
);
COMMENT ON TYPE analytics.user_set IS
    'compressed set of integers from 0 to 4294967295 (shown as bigint), in the portable Roaring format';

-- Casts. All explicit: each direction forgets something (order and repetition) or costs much more room.

CREATE FUNCTION analytics.user_set(integer[]) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_from_integers';
COMMENT ON FUNCTION analytics.user_set(integer[]) IS
    'the set of the elements of an array of any shape; NULL elements are ignored, negative ones are an error';

CREATE CAST (integer[] AS analytics.user_set) WITH FUNCTION analytics.user_set(integer[]);
COMMENT ON CAST (integer[] AS analytics.user_set) IS
    'the set of the elements of an array of any shape; NULL elements are ignored, negative ones are an error';

CREATE FUNCTION analytics.user_set(bigint[]) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_from_bigints';
COMMENT ON FUNCTION analytics.user_set(bigint[]) IS
    'the set of the elements of an array of any shape; NULL elements are ignored, those outside 0..4294967295 are an error';

CREATE CAST (bigint[] AS analytics.user_set) WITH FUNCTION analytics.user_set(bigint[]);
COMMENT ON CAST (bigint[] AS analytics.user_set) IS
    'the set of the elements of an array of any shape; NULL elements are ignored, those outside 0..4294967295 are an error';

CREATE FUNCTION analytics.user_set(bytea) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_from_bytea';
COMMENT ON FUNCTION analytics.user_set(bytea) IS
    'a set in the portable Roaring format, checked completely; anything else is an error';

CREATE CAST (bytea AS analytics.user_set) WITH FUNCTION analytics.user_set(bytea);
COMMENT ON CAST (bytea AS analytics.user_set) IS
    'a set in the portable Roaring format, checked completely; anything else is an error';

CREATE FUNCTION analytics.integers(analytics.user_set) RETURNS integer[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_to_integers';
COMMENT ON FUNCTION analytics.integers(analytics.user_set) IS
    'the elements ascending; an error if one exceeds 2147483647 or the array would exceed 1 GB';

CREATE CAST (analytics.user_set AS integer[]) WITH FUNCTION analytics.integers(analytics.user_set);
COMMENT ON CAST (analytics.user_set AS integer[]) IS
    'the elements ascending; an error if one exceeds 2147483647 or the array would exceed 1 GB';

CREATE FUNCTION analytics.bigints(analytics.user_set) RETURNS bigint[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_to_bigints';
COMMENT ON FUNCTION analytics.bigints(analytics.user_set) IS
    'the elements ascending; an error if the array would exceed 1 GB';

CREATE CAST (analytics.user_set AS bigint[]) WITH FUNCTION analytics.bigints(analytics.user_set);
COMMENT ON CAST (analytics.user_set AS bigint[]) IS
    'the elements ascending; an error if the array would exceed 1 GB';

CREATE FUNCTION analytics.portable_bytes(analytics.user_set) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_send';
COMMENT ON FUNCTION analytics.portable_bytes(analytics.user_set) IS
    'the portable Roaring format, as CRoaring and its bindings read it';

CREATE CAST (analytics.user_set AS bytea) WITH FUNCTION analytics.portable_bytes(analytics.user_set);
COMMENT ON CAST (analytics.user_set AS bytea) IS
    'the portable Roaring format, as CRoaring and its bindings read it';

-- Reading a set.

CREATE FUNCTION analytics.user_set_cardinality(analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_cardinality';
COMMENT ON FUNCTION analytics.user_set_cardinality(analytics.user_set) IS
    'number of elements; 0 for the empty set';

CREATE FUNCTION analytics.user_set_is_empty(analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_is_empty';
COMMENT ON FUNCTION analytics.user_set_is_empty(analytics.user_set) IS
    'whether the set has no element';

CREATE FUNCTION analytics.user_set_min(analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_min';
COMMENT ON FUNCTION analytics.user_set_min(analytics.user_set) IS
    'smallest element; NULL for the empty set';

CREATE FUNCTION analytics.user_set_max(analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_max';
COMMENT ON FUNCTION analytics.user_set_max(analytics.user_set) IS
    'largest element; NULL for the empty set';

CREATE FUNCTION analytics.user_set_elements(analytics.user_set) RETURNS SETOF bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 1000
AS 'MODULE_PATHNAME', 'shadow_user_set_elements';
COMMENT ON FUNCTION analytics.user_set_elements(analytics.user_set) IS
    'the elements, ascending, one row each; no row for the empty set';

CREATE FUNCTION analytics.user_set_union_cardinality(analytics.user_set, analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_cardinality';
COMMENT ON FUNCTION analytics.user_set_union_cardinality(analytics.user_set, analytics.user_set) IS
    'number of elements that at least one of two sets has, counted without building the result';

CREATE FUNCTION analytics.user_set_intersection_cardinality(analytics.user_set, analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_cardinality';
COMMENT ON FUNCTION analytics.user_set_intersection_cardinality(analytics.user_set, analytics.user_set) IS
    'number of elements that both sets have, counted without building the result';

CREATE FUNCTION analytics.user_set_difference_cardinality(analytics.user_set, analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_difference_cardinality';
COMMENT ON FUNCTION analytics.user_set_difference_cardinality(analytics.user_set, analytics.user_set) IS
    'number of elements of the first set that the second does not have, counted without building the result';

-- Algebra: | & - and # (symmetric difference, as for bit strings).

CREATE FUNCTION analytics.user_set_union(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union';
COMMENT ON FUNCTION analytics.user_set_union(analytics.user_set, analytics.user_set) IS
    'elements of either set';

CREATE OPERATOR analytics.| (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_union,
    COMMUTATOR = OPERATOR(analytics.|)
);
COMMENT ON OPERATOR analytics.| (analytics.user_set, analytics.user_set) IS 'elements of either set';

CREATE FUNCTION analytics.user_set_intersection(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection';
COMMENT ON FUNCTION analytics.user_set_intersection(analytics.user_set, analytics.user_set) IS
    'elements of both sets';

CREATE OPERATOR analytics.& (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_intersection,
    COMMUTATOR = OPERATOR(analytics.&)
);
COMMENT ON OPERATOR analytics.& (analytics.user_set, analytics.user_set) IS 'elements of both sets';

CREATE FUNCTION analytics.user_set_difference(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_difference';
COMMENT ON FUNCTION analytics.user_set_difference(analytics.user_set, analytics.user_set) IS
    'elements of the left set that the right one does not have';

CREATE OPERATOR analytics.- (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_difference
);
COMMENT ON OPERATOR analytics.- (analytics.user_set, analytics.user_set) IS 'elements of the left set that the right one does not have';

CREATE FUNCTION analytics.user_set_symmetric_difference(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_symmetric_difference';
COMMENT ON FUNCTION analytics.user_set_symmetric_difference(analytics.user_set, analytics.user_set) IS
    'elements of exactly one of the two sets';

CREATE OPERATOR analytics.# (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_symmetric_difference,
    COMMUTATOR = OPERATOR(analytics.#)
);
COMMENT ON OPERATOR analytics.# (analytics.user_set, analytics.user_set) IS 'elements of exactly one of the two sets';

-- Tests.

CREATE FUNCTION analytics.user_set_contains(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_contains';
COMMENT ON FUNCTION analytics.user_set_contains(analytics.user_set, analytics.user_set) IS
    'whether the first set has all elements of the second';

CREATE FUNCTION analytics.user_set_contains(analytics.user_set, bigint) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_contains_element';
COMMENT ON FUNCTION analytics.user_set_contains(analytics.user_set, bigint) IS
    'whether the set has the element; false for a number that cannot be one';

CREATE FUNCTION analytics.user_set_contained(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_contained';
COMMENT ON FUNCTION analytics.user_set_contained(analytics.user_set, analytics.user_set) IS
    'whether the second set has all elements of the first';

CREATE FUNCTION analytics.user_set_contained(bigint, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_element_contained';
COMMENT ON FUNCTION analytics.user_set_contained(bigint, analytics.user_set) IS
    'whether the set has the element; false for a number that cannot be one';

CREATE FUNCTION analytics.user_set_overlaps(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_overlaps';
COMMENT ON FUNCTION analytics.user_set_overlaps(analytics.user_set, analytics.user_set) IS
    'whether the sets have an element in common';

CREATE OPERATOR analytics.@> (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_contains,
    COMMUTATOR = OPERATOR(analytics.<@),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.@> (analytics.user_set, analytics.user_set) IS 'contains all elements of';

CREATE OPERATOR analytics.<@ (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_contained,
    COMMUTATOR = OPERATOR(analytics.@>),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.<@ (analytics.user_set, analytics.user_set) IS 'is contained in';

CREATE OPERATOR analytics.@> (
    LEFTARG = analytics.user_set, RIGHTARG = bigint, FUNCTION = analytics.user_set_contains,
    COMMUTATOR = OPERATOR(analytics.<@),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.@> (analytics.user_set, bigint) IS 'contains the element';

CREATE OPERATOR analytics.<@ (
    LEFTARG = bigint, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_contained,
    COMMUTATOR = OPERATOR(analytics.@>),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.<@ (bigint, analytics.user_set) IS 'is an element of';

CREATE OPERATOR analytics.&& (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_overlaps,
    COMMUTATOR = OPERATOR(analytics.&&),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.&& (analytics.user_set, analytics.user_set) IS 'have an element in common';

-- Comparison: equality and hash look at the canonical bytes; the order is that of the sorted arrays of elements.

CREATE FUNCTION analytics.user_set_eq(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_eq';
COMMENT ON FUNCTION analytics.user_set_eq(analytics.user_set, analytics.user_set) IS
    'equal';

CREATE OPERATOR analytics.= (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_eq,
    COMMUTATOR = OPERATOR(analytics.=),
    NEGATOR = OPERATOR(analytics.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);
COMMENT ON OPERATOR analytics.= (analytics.user_set, analytics.user_set) IS 'equal';

CREATE FUNCTION analytics.user_set_ne(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_ne';
COMMENT ON FUNCTION analytics.user_set_ne(analytics.user_set, analytics.user_set) IS
    'not equal';

CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_ne,
    COMMUTATOR = OPERATOR(analytics.<>),
    NEGATOR = OPERATOR(analytics.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR analytics.<> (analytics.user_set, analytics.user_set) IS 'not equal';

CREATE FUNCTION analytics.user_set_lt(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_lt';
COMMENT ON FUNCTION analytics.user_set_lt(analytics.user_set, analytics.user_set) IS
    'less than, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.< (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_lt,
    COMMUTATOR = OPERATOR(analytics.>),
    NEGATOR = OPERATOR(analytics.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR analytics.< (analytics.user_set, analytics.user_set) IS 'less than, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics.user_set_le(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_le';
COMMENT ON FUNCTION analytics.user_set_le(analytics.user_set, analytics.user_set) IS
    'less than or equal, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.<= (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_le,
    COMMUTATOR = OPERATOR(analytics.>=),
    NEGATOR = OPERATOR(analytics.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR analytics.<= (analytics.user_set, analytics.user_set) IS 'less than or equal, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics.user_set_gt(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_gt';
COMMENT ON FUNCTION analytics.user_set_gt(analytics.user_set, analytics.user_set) IS
    'greater than, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.> (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_gt,
    COMMUTATOR = OPERATOR(analytics.<),
    NEGATOR = OPERATOR(analytics.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR analytics.> (analytics.user_set, analytics.user_set) IS 'greater than, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics.user_set_ge(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_ge';
COMMENT ON FUNCTION analytics.user_set_ge(analytics.user_set, analytics.user_set) IS
    'greater than or equal, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.>= (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics.user_set_ge,
    COMMUTATOR = OPERATOR(analytics.<=),
    NEGATOR = OPERATOR(analytics.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR analytics.>= (analytics.user_set, analytics.user_set) IS 'greater than or equal, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics.user_set_cmp(analytics.user_set, analytics.user_set) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_cmp';
COMMENT ON FUNCTION analytics.user_set_cmp(analytics.user_set, analytics.user_set) IS
    'negative, 0 or positive: btree comparison in the order of the sorted arrays of elements';

CREATE FUNCTION analytics.user_set_hash(analytics.user_set) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_hash';
COMMENT ON FUNCTION analytics.user_set_hash(analytics.user_set) IS
    'hash of the canonical bytes';

CREATE FUNCTION analytics.user_set_hash_extended(analytics.user_set, bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_hash_extended';
COMMENT ON FUNCTION analytics.user_set_hash_extended(analytics.user_set, bigint) IS
    '64-bit hash of the canonical bytes with a seed';

CREATE OPERATOR CLASS analytics.user_set_ops
DEFAULT FOR TYPE analytics.user_set USING btree AS
    OPERATOR 1 analytics.<,
    OPERATOR 2 analytics.<=,
    OPERATOR 3 analytics.=,
    OPERATOR 4 analytics.>=,
    OPERATOR 5 analytics.>,
    FUNCTION 1 analytics.user_set_cmp(analytics.user_set, analytics.user_set);
COMMENT ON OPERATOR CLASS analytics.user_set_ops USING btree IS
    'sorting, DISTINCT and small unique keys of user_set; btree entries are limited to 2,704 bytes';
COMMENT ON OPERATOR FAMILY analytics.user_set_ops USING btree IS
    'sorting, DISTINCT and small unique keys of user_set; btree entries are limited to 2,704 bytes';

CREATE OPERATOR CLASS analytics.user_set_ops
DEFAULT FOR TYPE analytics.user_set USING hash AS
    OPERATOR 1 analytics.=,
    FUNCTION 1 analytics.user_set_hash(analytics.user_set),
    FUNCTION 2 analytics.user_set_hash_extended(analytics.user_set, bigint);
COMMENT ON OPERATOR CLASS analytics.user_set_ops USING hash IS
    'hash joins, hash aggregation and hash indexes of user_set, of any size';
COMMENT ON OPERATOR FAMILY analytics.user_set_ops USING hash IS
    'hash joins, hash aggregation and hash indexes of user_set, of any size';

-- Aggregates. NULL input is ignored; without any other input the result is NULL, as for PostgreSQL's own.

CREATE FUNCTION analytics.user_set_accum(internal, bigint) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_accum';
COMMENT ON FUNCTION analytics.user_set_accum(internal, bigint) IS
    'transition of user_set_agg';

CREATE FUNCTION analytics.user_set_union_accum(internal, analytics.user_set) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_accum';
COMMENT ON FUNCTION analytics.user_set_union_accum(internal, analytics.user_set) IS
    'transition of user_set_union_agg';

CREATE FUNCTION analytics.user_set_union_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_combine';
COMMENT ON FUNCTION analytics.user_set_union_combine(internal, internal) IS
    'joins two states of user_set_agg and user_set_union_agg';

CREATE FUNCTION analytics.user_set_union_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_serialize';
COMMENT ON FUNCTION analytics.user_set_union_serialize(internal) IS
    'state of user_set_agg and user_set_union_agg for another process';

CREATE FUNCTION analytics.user_set_union_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_deserialize';
COMMENT ON FUNCTION analytics.user_set_union_deserialize(bytea, internal) IS
    'state of user_set_agg and user_set_union_agg from another process';

CREATE FUNCTION analytics.user_set_union_final(internal) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_final';
COMMENT ON FUNCTION analytics.user_set_union_final(internal) IS
    'result of user_set_agg and user_set_union_agg; NULL without input';

CREATE FUNCTION analytics.user_set_intersection_accum(internal, analytics.user_set) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_accum';
COMMENT ON FUNCTION analytics.user_set_intersection_accum(internal, analytics.user_set) IS
    'transition of user_set_intersect_agg';

CREATE FUNCTION analytics.user_set_intersection_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_combine';
COMMENT ON FUNCTION analytics.user_set_intersection_combine(internal, internal) IS
    'joins two states of user_set_intersect_agg';

CREATE FUNCTION analytics.user_set_intersection_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_serialize';
COMMENT ON FUNCTION analytics.user_set_intersection_serialize(internal) IS
    'state of user_set_intersect_agg for another process';

CREATE FUNCTION analytics.user_set_intersection_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_deserialize';
COMMENT ON FUNCTION analytics.user_set_intersection_deserialize(bytea, internal) IS
    'state of user_set_intersect_agg from another process';

CREATE FUNCTION analytics.user_set_intersection_final(internal) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_final';
COMMENT ON FUNCTION analytics.user_set_intersection_final(internal) IS
    'result of user_set_intersect_agg; NULL without input';

CREATE AGGREGATE analytics.user_set_agg(bigint) (
    SFUNC = analytics.user_set_accum,
    STYPE = internal,
    SSPACE = 8192,
    FINALFUNC = analytics.user_set_union_final,
    COMBINEFUNC = analytics.user_set_union_combine,
    SERIALFUNC = analytics.user_set_union_serialize,
    DESERIALFUNC = analytics.user_set_union_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.user_set_agg(bigint) IS
    'the set of the integers of a column (smallint and integer convert); NULLs are ignored, NULL without input; an integer outside 0..4294967295 is an error';

CREATE AGGREGATE analytics.user_set_union_agg(analytics.user_set) (
    SFUNC = analytics.user_set_union_accum,
    STYPE = internal,
    SSPACE = 8192,
    FINALFUNC = analytics.user_set_union_final,
    COMBINEFUNC = analytics.user_set_union_combine,
    SERIALFUNC = analytics.user_set_union_serialize,
    DESERIALFUNC = analytics.user_set_union_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.user_set_union_agg(analytics.user_set) IS
    'elements that at least one of the sets has; NULLs are ignored, NULL without input';

CREATE AGGREGATE analytics.user_set_intersect_agg(analytics.user_set) (
    SFUNC = analytics.user_set_intersection_accum,
    STYPE = internal,
    SSPACE = 8192,
    FINALFUNC = analytics.user_set_intersection_final,
    COMBINEFUNC = analytics.user_set_intersection_combine,
    SERIALFUNC = analytics.user_set_intersection_serialize,
    DESERIALFUNC = analytics.user_set_intersection_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.user_set_intersect_agg(analytics.user_set) IS
    'elements that all of the sets have; NULLs are ignored, NULL without input';
-- analytics.quantile_sketch: quantiles with a guaranteed relative error, mergeable over days and workers
-- (DDSketch; doc/quantile_sketch.md).

CREATE TYPE analytics.quantile_sketch;

CREATE FUNCTION analytics.quantile_sketch_in(cstring) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_in';
COMMENT ON FUNCTION analytics.quantile_sketch_in(cstring) IS
    'text input of quantile_sketch: the JSON object that its output writes';

CREATE FUNCTION analytics.quantile_sketch_out(analytics.quantile_sketch) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_out';
COMMENT ON FUNCTION analytics.quantile_sketch_out(analytics.quantile_sketch) IS
    'text output of quantile_sketch: a JSON object that loses nothing';

CREATE FUNCTION analytics.quantile_sketch_recv(internal) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_recv';
COMMENT ON FUNCTION analytics.quantile_sketch_recv(internal) IS
    'binary input of quantile_sketch; every byte is checked';

CREATE FUNCTION analytics.quantile_sketch_send(analytics.quantile_sketch) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_send';
COMMENT ON FUNCTION analytics.quantile_sketch_send(analytics.quantile_sketch) IS
    'binary output of quantile_sketch: the versioned stored form, the same on every platform';

CREATE TYPE analytics.quantile_sketch (
    INPUT = analytics.quantile_sketch_in,
    OUTPUT = analytics.quantile_sketch_out,
    RECEIVE = analytics.quantile_sketch_recv,
    SEND = analytics.quantile_sketch_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = extended
);
COMMENT ON TYPE analytics.quantile_sketch IS
    'DDSketch of at least one number: any quantile within a relative error (default 0.01), exact count, sum, minimum and maximum; merging is exact and independent of order';

-- Functions

CREATE FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fraction double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile';
COMMENT ON FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fraction double precision) IS
    'value of rank floor(fraction * (count - 1)) within the relative accuracy of the sketch; 0 gives the exact minimum, 1 the exact maximum; NULL for a NULL argument; error: a fraction outside [0, 1]';

CREATE FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fractions double precision[]) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_array';
COMMENT ON FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fractions double precision[]) IS
    'quantile() of each element of fractions, in their order, as a one-dimensional array; a NULL element gives NULL; NULL for a NULL argument; error: a fraction outside [0, 1]';

CREATE FUNCTION analytics.quantile_sketch_rank(sketch analytics.quantile_sketch, value double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_rank';
COMMENT ON FUNCTION analytics.quantile_sketch_rank(sketch analytics.quantile_sketch, value double precision) IS
    'share of values <= value, 0 to 1, where those in the same bucket (relative distance up to twice the accuracy) count as equal; infinities are allowed; NULL for a NULL argument; error: NaN';

CREATE FUNCTION analytics.quantile_sketch_count(sketch analytics.quantile_sketch) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_count';
COMMENT ON FUNCTION analytics.quantile_sketch_count(sketch analytics.quantile_sketch) IS
    'number of values, exact, at least 1; NULL for NULL';

CREATE FUNCTION analytics.quantile_sketch_sum(sketch analytics.quantile_sketch) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_sum';
COMMENT ON FUNCTION analytics.quantile_sketch_sum(sketch analytics.quantile_sketch) IS
    'exact sum of the values, each rounded to 9 decimals; NULL for NULL';

CREATE FUNCTION analytics.quantile_sketch_avg(sketch analytics.quantile_sketch) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_avg';
COMMENT ON FUNCTION analytics.quantile_sketch_avg(sketch analytics.quantile_sketch) IS
    'quantile_sketch_sum / quantile_sketch_count; NULL for NULL';

CREATE FUNCTION analytics.quantile_sketch_min(sketch analytics.quantile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_min';
COMMENT ON FUNCTION analytics.quantile_sketch_min(sketch analytics.quantile_sketch) IS
    'smallest value, exact; NULL for NULL';

CREATE FUNCTION analytics.quantile_sketch_max(sketch analytics.quantile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_max';
COMMENT ON FUNCTION analytics.quantile_sketch_max(sketch analytics.quantile_sketch) IS
    'largest value, exact; NULL for NULL';

CREATE FUNCTION analytics.quantile_sketch_accuracy(sketch analytics.quantile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accuracy';
COMMENT ON FUNCTION analytics.quantile_sketch_accuracy(sketch analytics.quantile_sketch) IS
    'relative accuracy of the quantiles, 0.01 = 1 percent; NULL for NULL';

CREATE FUNCTION analytics.quantile_sketch_is_collapsed(sketch analytics.quantile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_is_collapsed';
COMMENT ON FUNCTION analytics.quantile_sketch_is_collapsed(sketch analytics.quantile_sketch) IS
    'whether there were more different buckets than max_buckets, so that quantiles among the values nearest to zero have lost their accuracy (the others keep it); NULL for NULL';

-- Operators

CREATE FUNCTION analytics.quantile_sketch_add(a analytics.quantile_sketch, b analytics.quantile_sketch) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_add';
COMMENT ON FUNCTION analytics.quantile_sketch_add(a analytics.quantile_sketch, b analytics.quantile_sketch) IS
    'sketch of the values of both (operator +); NULL if either is NULL; error: different accuracy or max_buckets';

CREATE FUNCTION analytics.quantile_sketch_eq(a analytics.quantile_sketch, b analytics.quantile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_eq';
COMMENT ON FUNCTION analytics.quantile_sketch_eq(a analytics.quantile_sketch, b analytics.quantile_sketch) IS
    'whether both hold the same content (operator =)';

CREATE FUNCTION analytics.quantile_sketch_ne(a analytics.quantile_sketch, b analytics.quantile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_ne';
COMMENT ON FUNCTION analytics.quantile_sketch_ne(a analytics.quantile_sketch, b analytics.quantile_sketch) IS
    'whether the contents differ (operator <>)';

CREATE FUNCTION analytics.quantile_sketch_hash(sketch analytics.quantile_sketch) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_hash';
COMMENT ON FUNCTION analytics.quantile_sketch_hash(sketch analytics.quantile_sketch) IS
    'hash of the content, for hash joins and GROUP BY';

CREATE OPERATOR analytics.+ (
    LEFTARG = analytics.quantile_sketch, RIGHTARG = analytics.quantile_sketch,
    FUNCTION = analytics.quantile_sketch_add, COMMUTATOR = OPERATOR(analytics.+)
);
COMMENT ON OPERATOR analytics.+ (analytics.quantile_sketch, analytics.quantile_sketch) IS
    'sketch of the values of both; error: different accuracy or max_buckets';

CREATE OPERATOR analytics.= (
    LEFTARG = analytics.quantile_sketch, RIGHTARG = analytics.quantile_sketch,
    FUNCTION = analytics.quantile_sketch_eq,
    COMMUTATOR = OPERATOR(analytics.=), NEGATOR = OPERATOR(analytics.<>),
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
COMMENT ON OPERATOR analytics.= (analytics.quantile_sketch, analytics.quantile_sketch) IS
    'same content: sketches of the same values are equal however they were merged';

CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.quantile_sketch, RIGHTARG = analytics.quantile_sketch,
    FUNCTION = analytics.quantile_sketch_ne,
    COMMUTATOR = OPERATOR(analytics.<>), NEGATOR = OPERATOR(analytics.=),
    RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR analytics.<> (analytics.quantile_sketch, analytics.quantile_sketch) IS 'different content';

CREATE OPERATOR CLASS analytics.quantile_sketch_ops
DEFAULT FOR TYPE analytics.quantile_sketch USING hash AS
    OPERATOR 1 analytics.=,
    FUNCTION 1 analytics.quantile_sketch_hash(analytics.quantile_sketch);
COMMENT ON OPERATOR CLASS analytics.quantile_sketch_ops USING hash IS 'equality of content';
COMMENT ON OPERATOR FAMILY analytics.quantile_sketch_ops USING hash IS 'equality of content';

-- Aggregates

CREATE FUNCTION analytics.quantile_sketch_accum(internal, value double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum';
COMMENT ON FUNCTION analytics.quantile_sketch_accum(internal, value double precision) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics.quantile_sketch_accum(internal, value double precision, accuracy double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum';
COMMENT ON FUNCTION analytics.quantile_sketch_accum(internal, value double precision, accuracy double precision) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics.quantile_sketch_accum(internal, value double precision, accuracy double precision, max_buckets integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum';
COMMENT ON FUNCTION analytics.quantile_sketch_accum(internal, value double precision, accuracy double precision, max_buckets integer) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics.quantile_sketch_accum(internal, value numeric) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum_numeric';
COMMENT ON FUNCTION analytics.quantile_sketch_accum(internal, value numeric) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics.quantile_sketch_accum(internal, value numeric, accuracy double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum_numeric';
COMMENT ON FUNCTION analytics.quantile_sketch_accum(internal, value numeric, accuracy double precision) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics.quantile_sketch_accum(internal, value numeric, accuracy double precision, max_buckets integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum_numeric';
COMMENT ON FUNCTION analytics.quantile_sketch_accum(internal, value numeric, accuracy double precision, max_buckets integer) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics.quantile_sketch_merge_accum(internal, sketch analytics.quantile_sketch) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_merge_accum';
COMMENT ON FUNCTION analytics.quantile_sketch_merge_accum(internal, sketch analytics.quantile_sketch) IS
    'adds a sketch to the state of quantile_sketch_merge';

CREATE FUNCTION analytics.quantile_sketch_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_combine';
COMMENT ON FUNCTION analytics.quantile_sketch_combine(internal, internal) IS
    'merges two states of quantile_sketch_agg or quantile_sketch_merge';

CREATE FUNCTION analytics.quantile_sketch_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_serialize';
COMMENT ON FUNCTION analytics.quantile_sketch_serialize(internal) IS
    'state of a parallel worker as bytes';

CREATE FUNCTION analytics.quantile_sketch_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_deserialize';
COMMENT ON FUNCTION analytics.quantile_sketch_deserialize(bytea, internal) IS
    'bytes of a parallel worker as a state';

CREATE FUNCTION analytics.quantile_sketch_final(internal) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_serialize';
COMMENT ON FUNCTION analytics.quantile_sketch_final(internal) IS
    'the sketch of a state; NULL if there was no value';

CREATE AGGREGATE analytics.quantile_sketch_agg(value double precision) (
    SFUNC = analytics.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value double precision) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity';

CREATE AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision) (
    SFUNC = analytics.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity; accuracy from 0.0001 to 0.5, default 0.01, the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision, max_buckets integer) (
    SFUNC = analytics.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision, max_buckets integer) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity; accuracy from 0.0001 to 0.5, default 0.01; max_buckets, for each sign, from 16 to 65536, default 2048; both must be the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_agg(value numeric) (
    SFUNC = analytics.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value numeric) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity';

CREATE AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision) (
    SFUNC = analytics.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity; accuracy from 0.0001 to 0.5, default 0.01, the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision, max_buckets integer) (
    SFUNC = analytics.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision, max_buckets integer) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity; accuracy from 0.0001 to 0.5, default 0.01; max_buckets, for each sign, from 16 to 65536, default 2048; both must be the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_merge(sketch analytics.quantile_sketch) (
    SFUNC = analytics.quantile_sketch_merge_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics.quantile_sketch_final,
    COMBINEFUNC = analytics.quantile_sketch_combine,
    SERIALFUNC = analytics.quantile_sketch_serialize,
    DESERIALFUNC = analytics.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_merge(sketch analytics.quantile_sketch) IS
    'sketch of all values of the sketches; NULLs are ignored, no sketch at all gives NULL; error: different accuracy or max_buckets';
-- Sessions by inactivity, as an aggregate over timestamps.

CREATE TYPE analytics.session_totals AS (
    sessions bigint,
    single_event_sessions bigint,
    events bigint,
    total_duration interval
);
COMMENT ON TYPE analytics.session_totals IS
    'what analytics.session_summary says of a group of events; all columns may be summed over groups';
COMMENT ON COLUMN analytics.session_totals.sessions IS 'number of sessions';
COMMENT ON COLUMN analytics.session_totals.single_event_sessions IS
    'sessions of one event; divided by sessions this is the bounce rate';
COMMENT ON COLUMN analytics.session_totals.events IS 'number of events';
COMMENT ON COLUMN analytics.session_totals.total_duration IS
    'sum over the sessions of last minus first event, in hours and less; divided by sessions this is the mean duration';

CREATE FUNCTION analytics.session_summary_accum(state internal, at timestamptz)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_accum';
COMMENT ON FUNCTION analytics.session_summary_accum(internal, timestamptz) IS
    'adds an event; support of the aggregate session_summary(timestamptz)';

CREATE FUNCTION analytics.session_summary_accum(state internal, at timestamptz, gap interval)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_accum';
COMMENT ON FUNCTION analytics.session_summary_accum(internal, timestamptz, interval) IS
    'adds an event; support of the aggregate session_summary(timestamptz, interval)';

CREATE FUNCTION analytics.session_summary_combine(state internal, other internal)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_combine';
COMMENT ON FUNCTION analytics.session_summary_combine(internal, internal) IS
    'merges two sets of sessions; support of the aggregates session_summary';

CREATE FUNCTION analytics.session_summary_serialize(state internal)
RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_serialize';
COMMENT ON FUNCTION analytics.session_summary_serialize(internal) IS
    'a set of sessions as bytes, for parallel plans; support of the aggregates session_summary';

CREATE FUNCTION analytics.session_summary_deserialize(bytes bytea, state internal)
RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_deserialize';
COMMENT ON FUNCTION analytics.session_summary_deserialize(bytea, internal) IS
    'a set of sessions from bytes, for parallel plans; support of the aggregates session_summary';

CREATE FUNCTION analytics.session_summary_final(state internal)
RETURNS analytics.session_totals
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_final';
COMMENT ON FUNCTION analytics.session_summary_final(internal) IS
    'counts the sessions of a set; support of the aggregates session_summary';

CREATE AGGREGATE analytics.session_summary(at timestamptz) (
    SFUNC = analytics.session_summary_accum,
    STYPE = internal,
    SSPACE = 300,
    COMBINEFUNC = analytics.session_summary_combine,
    SERIALFUNC = analytics.session_summary_serialize,
    DESERIALFUNC = analytics.session_summary_deserialize,
    FINALFUNC = analytics.session_summary_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.session_summary(timestamptz) IS
    'sessions by inactivity of 30 minutes; otherwise as session_summary(timestamptz, interval)';

CREATE AGGREGATE analytics.session_summary(at timestamptz, gap interval) (
    SFUNC = analytics.session_summary_accum,
    STYPE = internal,
    SSPACE = 300,
    COMBINEFUNC = analytics.session_summary_combine,
    SERIALFUNC = analytics.session_summary_serialize,
    DESERIALFUNC = analytics.session_summary_deserialize,
    FINALFUNC = analytics.session_summary_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.session_summary(timestamptz, interval) IS
    'sessions by inactivity of the events at these times, usually grouped by user: a pause of the gap or more '
    'starts a new session. The order of rows does not matter; several events at one time are several events of one '
    'session. gap: positive, without months, a day being 24 hours, the same for all rows of a group, else an error '
    '(22023). NULL times are left out, infinite ones are an error (22023); without events all columns are 0';
-- The shifted-beta-geometric model of retention (Fader & Hardie 2007).

CREATE FUNCTION analytics.fit_sbg(
    survivors bigint[],
    OUT alpha double precision,
    OUT beta double precision,
    OUT log_likelihood double precision,
    OUT converged boolean,
    OUT reason text)
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000
AS 'MODULE_PATHNAME', 'shadow_fit_sbg';
COMMENT ON FUNCTION analytics.fit_sbg(bigint[]) IS
    'maximum-likelihood estimates of the shifted-beta-geometric model of retention (Fader & Hardie 2007). '
    'survivors: the users of a cohort still there at period 0, 1, 2, ... (unbounded retention, as counts); NULLs at '
    'the end are periods to come. Where there is no estimate alpha, beta and log_likelihood are NULL, converged is '
    'false and reason says why: an empty cohort, a NULL before a count, everybody lost in the first period, fewer '
    'than two periods after period 0, no losses, or estimates outside 0.0001 to 10000. '
    'Negative or increasing counts are errors (22023)';

CREATE FUNCTION analytics.sbg_survival(alpha double precision, beta double precision, period integer)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sbg_survival';
COMMENT ON FUNCTION analytics.sbg_survival(double precision, double precision, integer) IS
    'share (0 to 1) of a cohort that is still there after so many periods, by the shifted-beta-geometric model; '
    'alpha and beta from 0.0001 to 10000 as analytics.fit_sbg finds them, period >= 0, else an error (22023); '
    'NULL if an argument is NULL';

CREATE FUNCTION analytics.sbg_lifetime(
    alpha double precision, beta double precision, discount_rate double precision, horizon integer)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sbg_lifetime';
COMMENT ON FUNCTION analytics.sbg_lifetime(double precision, double precision, double precision, integer) IS
    'discounted expected lifetime of a new user in periods: the sum of sbg_survival(alpha, beta, t) / '
    '(1 + discount_rate)^t over t = 0 to horizon - 1. discount_rate is a fraction per period, >= 0; horizon >= 0; '
    'else an error (22023); NULL if an argument is NULL';

CREATE FUNCTION analytics.sbg_lifetime(
    alpha double precision, beta double precision, discount_rate double precision)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sbg_lifetime_unbounded';
COMMENT ON FUNCTION analytics.sbg_lifetime(double precision, double precision, double precision) IS
    'discounted expected lifetime of a new user in periods, without horizon; discount_rate 0 (then Infinity where '
    'alpha <= 1) or at least 1e-9, else an error (22023); NULL if an argument is NULL';
-- activity aggregate: everything the rollups need of a workspace's events, from one scan.

CREATE TYPE analytics.credit_price_rule AS (
    workspace_id uuid,
    model text,
    price numeric,
    currency text,
    valid_from timestamptz
);
COMMENT ON TYPE analytics.credit_price_rule IS
    'price of a credit: of one workspace (nil uuid: of all) and one model (empty: all) from an instant on';

CREATE TYPE analytics.activity_rules AS (
    session_gap interval,
    bounce_rule text,
    currency text,
    details boolean,
    prices analytics.credit_price_rule[]
);
COMMENT ON TYPE analytics.activity_rules IS
    'settings that activity_summary() follows: session_gap (positive, no months), bounce_rule (single_event or engaged), currency of the key "cost", details (false leaves out agents, event_counts, errors, users and the sketches), prices';

CREATE TYPE analytics.agent_summary AS (
    agent_id uuid,
    total_runs bigint,
    successful_runs bigint,
    failed_runs bigint,
    cancelled_runs bigint,
    avg_runtime_seconds numeric,
    min_runtime_seconds numeric,
    max_runtime_seconds numeric,
    p50_runtime_seconds numeric,
    p75_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    total_credits numeric,
    avg_credits_per_run numeric,
    total_cost numeric,
    total_tokens_used numeric,
    avg_tokens_per_run bigint,
    unique_users bigint,
    avg_user_rating numeric,
    total_feedback_count bigint,
    error_types jsonb,
    common_failure_reasons jsonb,
    runtime_sketch analytics.quantile_sketch,
    user_positions analytics.user_set
);
COMMENT ON TYPE analytics.agent_summary IS
    'one agent in the result of activity_summary(); columns as in analytics.agent_performance; user_positions: the users of its runs as positions, from 0, in user_ids';

CREATE TYPE analytics.event_usage AS (
    event_type text,
    event_names text[],
    events bigint[],
    user_positions analytics.user_set[]
);
COMMENT ON TYPE analytics.event_usage IS
    'one event type in the result of activity_summary(); columns as in analytics.daily_event_usage; user_positions: the users of each name as positions, from 0, in user_ids';

CREATE TYPE analytics.error_count AS (
    event_name text,
    errors bigint,
    message_hashes bigint[],
    sample_messages text[]
);
COMMENT ON TYPE analytics.error_count IS
    'errors of one event name within an error type; columns as in analytics.daily_errors';

CREATE TYPE analytics.error_type_summary AS (
    error_type text,
    errors analytics.error_count[]
);
COMMENT ON TYPE analytics.error_type_summary IS
    'one error type in the result of activity_summary(); columns as in analytics.daily_error_types';

CREATE TYPE analytics.activity_result AS (
    total_events bigint,
    events_by_type jsonb,
    active_users bigint,
    total_sessions bigint,
    avg_session_duration_seconds numeric,
    bounce_rate numeric,
    total_runs bigint,
    successful_runs bigint,
    failed_runs bigint,
    cancelled_runs bigint,
    avg_runtime_seconds numeric,
    median_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    total_credits_consumed numeric,
    avg_credits_per_run numeric,
    credits_by_model jsonb,
    total_cost numeric,
    cost_by_model jsonb,
    currency text,
    unique_agents_run bigint,
    top_agents jsonb,
    total_errors bigint,
    error_rate numeric,
    errors_by_type jsonb,
    ignored_values jsonb,
    avg_response_time_ms bigint,
    p95_response_time_ms bigint,
    agents analytics.agent_summary[],
    event_usage analytics.event_usage[],
    errors analytics.error_type_summary[],
    runtime_sketch analytics.quantile_sketch,
    user_ids uuid[],
    first_events timestamptz[],
    last_events timestamptz[],
    revenue_positions integer[],
    revenues numeric[]
);
COMMENT ON TYPE analytics.activity_result IS
    'result of activity_summary(); columns as in analytics.daily_metrics and hourly_metrics, agents, event_usage and errors beside them. user_ids: the users in ascending order, first_events and last_events: their first and last event; revenues: the users'' revenue where it is not zero, revenue_positions: whose, as positions from 1 in user_ids';

CREATE FUNCTION analytics.activity_summary_accum(
    internal, uuid, uuid, uuid, text, text, jsonb, timestamptz, uuid, analytics.activity_rules)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_activity_accum';
COMMENT ON FUNCTION analytics.activity_summary_accum(
    internal, uuid, uuid, uuid, text, text, jsonb, timestamptz, uuid, analytics.activity_rules) IS
    'transition function of the aggregate activity_summary()';

CREATE FUNCTION analytics.activity_summary_accum(internal, uuid, uuid, uuid, text, text, jsonb, timestamptz, uuid)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_activity_accum';
COMMENT ON FUNCTION analytics.activity_summary_accum(
    internal, uuid, uuid, uuid, text, text, jsonb, timestamptz, uuid) IS
    'transition function of the aggregate activity_summary() without rules';

CREATE FUNCTION analytics.activity_summary_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_activity_combine';
COMMENT ON FUNCTION analytics.activity_summary_combine(internal, internal) IS
    'combine function of the aggregate activity_summary()';

CREATE FUNCTION analytics.activity_summary_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_activity_serialize';
COMMENT ON FUNCTION analytics.activity_summary_serialize(internal) IS
    'serialization function of the aggregate activity_summary(), for parallel plans';

CREATE FUNCTION analytics.activity_summary_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_activity_deserialize';
COMMENT ON FUNCTION analytics.activity_summary_deserialize(bytea, internal) IS
    'deserialization function of the aggregate activity_summary(), for parallel plans';

CREATE FUNCTION analytics.activity_summary_final(internal) RETURNS analytics.activity_result
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_activity_final';
COMMENT ON FUNCTION analytics.activity_summary_final(internal) IS
    'final function of the aggregate activity_summary(); does not change the state';

CREATE AGGREGATE analytics.activity_summary(
    workspace_id uuid, user_id uuid, session_id uuid, event_type text, event_name text, metadata jsonb,
    created_at timestamptz, id uuid, rules analytics.activity_rules) (
    SFUNC = analytics.activity_summary_accum,
    STYPE = internal,
    SSPACE = 16384,
    FINALFUNC = analytics.activity_summary_final,
    COMBINEFUNC = analytics.activity_summary_combine,
    SERIALFUNC = analytics.activity_summary_serialize,
    DESERIALFUNC = analytics.activity_summary_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.activity_summary(
    uuid, uuid, uuid, text, text, jsonb, timestamptz, uuid, analytics.activity_rules) IS
    'all numbers of a set of events of one workspace (GROUP BY workspace_id), whatever their order: users, sessions, runs, percentiles, credits, cost, errors, agents. Rows without user_id, event_type or created_at are ignored; no row gives NULL. The rules must be the same for all rows: take them from (SELECT analytics.activity_rules()). An unknown event type or an infinite time is an error';

CREATE AGGREGATE analytics.activity_summary(
    workspace_id uuid, user_id uuid, session_id uuid, event_type text, event_name text, metadata jsonb,
    created_at timestamptz, id uuid) (
    SFUNC = analytics.activity_summary_accum,
    STYPE = internal,
    SSPACE = 16384,
    FINALFUNC = analytics.activity_summary_final,
    COMBINEFUNC = analytics.activity_summary_combine,
    SERIALFUNC = analytics.activity_summary_serialize,
    DESERIALFUNC = analytics.activity_summary_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.activity_summary(uuid, uuid, uuid, text, text, jsonb, timestamptz, uuid) IS
    'as activity_summary() with rules, with the defaults: sessions end after 30 minutes, single-event bounces, no prices';
CREATE TABLE analytics.settings (
    name text PRIMARY KEY,
    value text NOT NULL
);
ALTER TABLE analytics.settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.settings', '');

COMMENT ON TABLE analytics.settings IS
    'settings changed from their defaults, by the owner only; analytics.setting_values lists all there are';
COMMENT ON COLUMN analytics.settings.name IS
    'name of a setting; unknown names are refused (22023)';
COMMENT ON COLUMN analytics.settings.value IS
    'the value, checked against the setting''s type and range (22023); delete the row to return to the default';
CREATE TABLE analytics.workspace_settings (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    time_zone text NOT NULL,
    valid_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (workspace_id, valid_from)
);
ALTER TABLE analytics.workspace_settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.workspace_settings', '');

COMMENT ON TABLE analytics.workspace_settings IS
    'reporting time zones: the day of an instant is its date in the zone in force then, the one with the greatest valid_from that is not later; UTC without one';
COMMENT ON COLUMN analytics.workspace_settings.workspace_id IS
    'workspace; the nil uuid is the group of events without a workspace, not a default for the others';
COMMENT ON COLUMN analytics.workspace_settings.time_zone IS
    'name as in pg_timezone_names, stored in its proper case; abbreviations and offsets are refused (22023)';
COMMENT ON COLUMN analytics.workspace_settings.valid_from IS
    'since when: -infinity or a local midnight of the zone (22023). NULL or left out: -infinity for a workspace without settings and daily metrics, else the next local midnight at which the date does not go back';
COMMENT ON COLUMN analytics.workspace_settings.created_at IS
    'when the row was made';
COMMENT ON COLUMN analytics.workspace_settings.updated_at IS
    'when a value of the row last changed';
-- The parent has no key and no index: pg_dump would restore its partitions with errors. Each partition gets
-- its own (analytics.create_partitions). The columns keep the order of the published schema: another order
-- saves no byte, because a row's length is rounded up to 8 wherever created_at stands.
CREATE TABLE analytics.user_activity (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    user_id uuid NOT NULL,
    event_type text NOT NULL,
    event_name text,
    page_path text,
    session_id uuid,
    ip_address inet,
    ip_hash bytea,
    user_agent text,
    referrer text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) PARTITION BY RANGE (created_at);
ALTER TABLE analytics.user_activity ENABLE ROW LEVEL SECURITY;

COMMENT ON TABLE analytics.user_activity IS
    'raw events, one partition per UTC day of created_at; what a row means is interpreted by the extension alone';
COMMENT ON COLUMN analytics.user_activity.id IS
    'the event; unique together with workspace_id and created_at, so a retry must send both again';
COMMENT ON COLUMN analytics.user_activity.workspace_id IS
    'workspace (tenant); NULL becomes the nil uuid: an event before a workspace was chosen';
COMMENT ON COLUMN analytics.user_activity.user_id IS
    'who did it';
COMMENT ON COLUMN analytics.user_activity.event_type IS
    'page_view, agent_run, login, logout, workspace_switch, feature_use, error, api_call, export, report_view, custom, click, form_submit, session_start or session_end; others are refused (22023)';
COMMENT ON COLUMN analytics.user_activity.event_name IS
    'name within the type, cut to 100 characters';
COMMENT ON COLUMN analytics.user_activity.page_path IS
    'path of the page, cut to 255 characters';
COMMENT ON COLUMN analytics.user_activity.session_id IS
    'session given by the client; NULL: sessions are found by inactivity';
COMMENT ON COLUMN analytics.user_activity.ip_address IS
    'address of the client: personal data';
COMMENT ON COLUMN analytics.user_activity.ip_hash IS
    'keyed hash of the address, where addresses are not kept';
COMMENT ON COLUMN analytics.user_activity.user_agent IS
    'the client''s User-Agent, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.referrer IS
    'the page before, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.metadata IS
    'JSON object with the facts of the event, at most 10,240 bytes as text or as stored, whichever is less (54000); NULL becomes {}';
COMMENT ON COLUMN analytics.user_activity.created_at IS
    'when it happened, between 2000-01-01 and one day ahead (the table''s owner may store any finite time); decides the partition, so NULL is refused (23502)';
-- credit_prices: what a credit costs.

CREATE TABLE analytics.credit_prices (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    model text NOT NULL DEFAULT '',
    price numeric NOT NULL,
    currency text NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, model, valid_from),
    CONSTRAINT credit_prices_price CHECK (price >= 0 AND price < 1000000000 AND scale(price) <= 9),
    CONSTRAINT credit_prices_currency CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE analytics.credit_prices IS
    'prices of credits; the most specific one in force wins: workspace and model, workspace, model, all';
COMMENT ON COLUMN analytics.credit_prices.workspace_id IS
    'workspace the price is for; the nil uuid means every workspace';
COMMENT ON COLUMN analytics.credit_prices.model IS
    'model the price is for; empty means every model';
COMMENT ON COLUMN analytics.credit_prices.price IS
    'price of one credit, 0 to less than 1000000000, at most 9 decimals';
COMMENT ON COLUMN analytics.credit_prices.currency IS
    'ISO 4217 code';
COMMENT ON COLUMN analytics.credit_prices.valid_from IS
    'first instant at which the price is in force, until the next row of the same workspace and model';
COMMENT ON COLUMN analytics.credit_prices.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.credit_prices.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.credit_prices_pkey IS
    'serves: the price in force of a workspace and model, WHERE workspace_id = ... AND model = ... AND valid_from <= ...';
COMMENT ON CONSTRAINT credit_prices_price ON analytics.credit_prices IS
    'prices are exact to 9 decimals, as credits are';
COMMENT ON CONSTRAINT credit_prices_currency ON analytics.credit_prices IS
    'three capital letters';
ALTER TABLE analytics.credit_prices ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.credit_prices', '');
-- Rollups: what aggregate_daily_metrics() and aggregate_hourly_metrics() write. Keyed by workspace first.

CREATE TABLE analytics.daily_metrics (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    total_events bigint NOT NULL DEFAULT 0,
    events_by_type jsonb NOT NULL DEFAULT '{}',
    active_users bigint NOT NULL DEFAULT 0,
    new_users bigint NOT NULL DEFAULT 0,
    returning_users bigint NOT NULL DEFAULT 0,
    total_users bigint NOT NULL DEFAULT 0,
    total_sessions bigint NOT NULL DEFAULT 0,
    avg_session_duration_seconds numeric,
    bounce_rate numeric(5, 2),
    total_runs bigint NOT NULL DEFAULT 0,
    successful_runs bigint NOT NULL DEFAULT 0,
    failed_runs bigint NOT NULL DEFAULT 0,
    cancelled_runs bigint NOT NULL DEFAULT 0,
    success_rate numeric(5, 2) GENERATED ALWAYS AS
        (100.0 * successful_runs / nullif(successful_runs + failed_runs, 0)) STORED,
    avg_runtime_seconds numeric,
    median_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    runtime_sketch analytics.quantile_sketch,
    total_credits_consumed numeric NOT NULL DEFAULT 0,
    avg_credits_per_run numeric,
    credits_by_model jsonb NOT NULL DEFAULT '{}',
    total_cost numeric,
    cost_by_model jsonb,
    currency text,
    unique_agents_run bigint NOT NULL DEFAULT 0,
    top_agents jsonb NOT NULL DEFAULT '[]',
    total_errors bigint NOT NULL DEFAULT 0,
    error_rate numeric(5, 2),
    errors_by_type jsonb NOT NULL DEFAULT '{}',
    ignored_values jsonb NOT NULL DEFAULT '{}',
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date)
);

CREATE TABLE analytics.hourly_metrics (
    workspace_id uuid NOT NULL,
    metric_hour timestamptz NOT NULL,
    active_users bigint NOT NULL DEFAULT 0,
    total_runs bigint NOT NULL DEFAULT 0,
    successful_runs bigint NOT NULL DEFAULT 0,
    failed_runs bigint NOT NULL DEFAULT 0,
    total_credits numeric NOT NULL DEFAULT 0,
    avg_response_time_ms bigint,
    p95_response_time_ms bigint,
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_hour),
    CONSTRAINT hourly_metrics_full_hour CHECK (metric_hour = date_trunc('hour', metric_hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')
);

CREATE TABLE analytics.agent_performance (
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    metric_date date NOT NULL,
    total_runs bigint NOT NULL DEFAULT 0,
    successful_runs bigint NOT NULL DEFAULT 0,
    failed_runs bigint NOT NULL DEFAULT 0,
    cancelled_runs bigint NOT NULL DEFAULT 0,
    success_rate numeric(5, 2) GENERATED ALWAYS AS
        (100.0 * successful_runs / nullif(successful_runs + failed_runs, 0)) STORED,
    avg_runtime_seconds numeric,
    min_runtime_seconds numeric,
    max_runtime_seconds numeric,
    p50_runtime_seconds numeric,
    p75_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    runtime_sketch analytics.quantile_sketch,
    total_credits numeric NOT NULL DEFAULT 0,
    avg_credits_per_run numeric,
    total_cost numeric,
    total_tokens_used numeric NOT NULL DEFAULT 0,
    avg_tokens_per_run bigint,
    unique_users bigint NOT NULL DEFAULT 0,
    users analytics.user_set NOT NULL DEFAULT '{}',
    avg_user_rating numeric(3, 2),
    total_feedback_count bigint NOT NULL DEFAULT 0,
    error_types jsonb NOT NULL DEFAULT '{}',
    common_failure_reasons jsonb NOT NULL DEFAULT '[]',
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, agent_id, metric_date)
);

-- One row per event type holds the counts of all its names: a workspace may have hundreds of names a day, and
-- a row for each takes 20 times as long to write and three times the room (test/bench/aggregation.sql).
CREATE TABLE analytics.daily_event_usage (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    event_type text NOT NULL,
    event_names text[] NOT NULL,
    events bigint[] NOT NULL,
    users analytics.user_set[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, event_type)
);

CREATE VIEW analytics.daily_event_counts WITH (security_invoker = true) AS
SELECT u.workspace_id, u.metric_date, u.event_type, n.event_name, n.events,
       analytics.user_set_cardinality(n.users) AS unique_users, n.users, u.created_at, u.updated_at
FROM analytics.daily_event_usage AS u,
    LATERAL unnest(u.event_names, u.events, u.users) AS n (event_name, events, users);

-- Errors likewise: one row per error type.
CREATE TABLE analytics.daily_error_types (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    error_type text NOT NULL,
    errors analytics.error_count[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, error_type)
);

CREATE VIEW analytics.daily_errors WITH (security_invoker = true) AS
SELECT t.workspace_id, t.metric_date, t.error_type, e.event_name, e.errors, e.message_hashes, e.sample_messages,
       t.created_at, t.updated_at
FROM analytics.daily_error_types AS t, LATERAL unnest(t.errors) AS e;

COMMENT ON TABLE analytics.daily_metrics IS
    'one row per workspace and local day; written by analytics.aggregate_daily_metrics(), replaced as a whole when the day is aggregated again';
COMMENT ON COLUMN analytics.daily_metrics.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_metrics.metric_date IS
    'local day of the workspace (half-open, 23 to 25 hours) in the time zone in force then';
COMMENT ON COLUMN analytics.daily_metrics.total_events IS
    'events of the day';
COMMENT ON COLUMN analytics.daily_metrics.events_by_type IS
    '{event_type: events}';
COMMENT ON COLUMN analytics.daily_metrics.active_users IS
    'distinct users with at least one event of any type';
COMMENT ON COLUMN analytics.daily_metrics.new_users IS
    'active users first seen on this day';
COMMENT ON COLUMN analytics.daily_metrics.returning_users IS
    'active users first seen before this day, resurrected ones included; new + returning = active';
COMMENT ON COLUMN analytics.daily_metrics.total_users IS
    'users first seen on or before this day';
COMMENT ON COLUMN analytics.daily_metrics.total_sessions IS
    'sessions of the day: (user, session_id), or by inactivity where session_id is missing; sessions end at midnight (Universal Analytics)';
COMMENT ON COLUMN analytics.daily_metrics.avg_session_duration_seconds IS
    'mean of last minus first event over all sessions, single-event sessions being 0; seconds, 2 decimals; NULL without a session';
COMMENT ON COLUMN analytics.daily_metrics.bounce_rate IS
    'percent of sessions that bounced, by the setting bounce_rule; NULL without a session';
COMMENT ON COLUMN analytics.daily_metrics.total_runs IS
    'agent runs, de-duplicated by run_id, unfinished ones left out';
COMMENT ON COLUMN analytics.daily_metrics.successful_runs IS
    'runs whose deciding event reports success';
COMMENT ON COLUMN analytics.daily_metrics.failed_runs IS
    'runs whose deciding event reports failure';
COMMENT ON COLUMN analytics.daily_metrics.cancelled_runs IS
    'runs cancelled by the user';
COMMENT ON COLUMN analytics.daily_metrics.success_rate IS
    '100 * successful / (successful + failed): cancelled runs are the users doing (SRE: valid events only); NULL without either';
COMMENT ON COLUMN analytics.daily_metrics.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled and have one; seconds, 2 decimals; NULL without any';
COMMENT ON COLUMN analytics.daily_metrics.median_runtime_seconds IS
    'median (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.p95_runtime_seconds IS
    '95th percentile (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.p99_runtime_seconds IS
    '99th percentile (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.runtime_sketch IS
    'sketch of the same runtimes in seconds, for percentiles over several days (relative error 1 %); NULL without any';
COMMENT ON COLUMN analytics.daily_metrics.total_credits_consumed IS
    'credits of the runs, each once, and of all other events';
COMMENT ON COLUMN analytics.daily_metrics.avg_credits_per_run IS
    'credits of runs / total_runs, 2 decimals; NULL without a run';
COMMENT ON COLUMN analytics.daily_metrics.credits_by_model IS
    '{model: credits}, zero entries left out; sums to total_credits_consumed';
COMMENT ON COLUMN analytics.daily_metrics.total_cost IS
    'exact cost rounded to 4 decimals, in currency; NULL where no price is known or currencies are mixed';
COMMENT ON COLUMN analytics.daily_metrics.cost_by_model IS
    '{model: cost} over the same events; NULL like total_cost';
COMMENT ON COLUMN analytics.daily_metrics.currency IS
    'ISO 4217 code of the costs; NULL without a cost or with several currencies';
COMMENT ON COLUMN analytics.daily_metrics.unique_agents_run IS
    'distinct agents with a counted run';
COMMENT ON COLUMN analytics.daily_metrics.top_agents IS
    'up to 10 of {agent_id, runs, success_rate, credits}, by runs descending, agent_id';
COMMENT ON COLUMN analytics.daily_metrics.total_errors IS
    'error events and failed runs that have no error event of the same run_id that day';
COMMENT ON COLUMN analytics.daily_metrics.error_rate IS
    '100 * total_errors / total_events: the share of events, not of runs';
COMMENT ON COLUMN analytics.daily_metrics.errors_by_type IS
    '{error_type: errors}; sums to total_errors';
COMMENT ON COLUMN analytics.daily_metrics.ignored_values IS
    '{metadata key: malformed values that were ignored} (data quality)';
COMMENT ON COLUMN analytics.daily_metrics.is_final IS
    'false while the day is not over: provisional, never a comparison point';
COMMENT ON COLUMN analytics.daily_metrics.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_metrics.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.hourly_metrics IS
    'one row per workspace and UTC hour with events; written by analytics.aggregate_hourly_metrics()';
COMMENT ON COLUMN analytics.hourly_metrics.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.hourly_metrics.metric_hour IS
    'start of the UTC hour';
COMMENT ON COLUMN analytics.hourly_metrics.active_users IS
    'distinct users with at least one event of any type';
COMMENT ON COLUMN analytics.hourly_metrics.total_runs IS
    'agent runs, de-duplicated by run_id within the hour (so hours may sum to more runs than the day)';
COMMENT ON COLUMN analytics.hourly_metrics.successful_runs IS
    'runs whose deciding event of the hour reports success';
COMMENT ON COLUMN analytics.hourly_metrics.failed_runs IS
    'runs whose deciding event of the hour reports failure';
COMMENT ON COLUMN analytics.hourly_metrics.total_credits IS
    'credits of the runs, each once, and of all other events';
COMMENT ON COLUMN analytics.hourly_metrics.avg_response_time_ms IS
    'mean duration of api_call events and runs (each once); whole milliseconds; NULL without any';
COMMENT ON COLUMN analytics.hourly_metrics.p95_response_time_ms IS
    '95th percentile (Hyndman-Fan type 7) of the same durations; whole milliseconds; NULL without any';
COMMENT ON COLUMN analytics.hourly_metrics.is_final IS
    'false while the hour is not over';
COMMENT ON COLUMN analytics.hourly_metrics.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.hourly_metrics.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.agent_performance IS
    'one row per workspace, agent and local day with a counted run, an error event or a feedback; written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.agent_performance.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.agent_performance.agent_id IS
    'agent named by metadata.agent_id';
COMMENT ON COLUMN analytics.agent_performance.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.agent_performance.total_runs IS
    'runs of the agent, de-duplicated by run_id, unfinished ones left out';
COMMENT ON COLUMN analytics.agent_performance.successful_runs IS
    'runs whose deciding event reports success';
COMMENT ON COLUMN analytics.agent_performance.failed_runs IS
    'runs whose deciding event reports failure';
COMMENT ON COLUMN analytics.agent_performance.cancelled_runs IS
    'runs cancelled by the user';
COMMENT ON COLUMN analytics.agent_performance.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.agent_performance.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled and have one; seconds, 2 decimals; NULL without any';
COMMENT ON COLUMN analytics.agent_performance.min_runtime_seconds IS
    'shortest of the same runtimes';
COMMENT ON COLUMN analytics.agent_performance.max_runtime_seconds IS
    'longest of the same runtimes';
COMMENT ON COLUMN analytics.agent_performance.p50_runtime_seconds IS
    'median (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.agent_performance.p75_runtime_seconds IS
    '75th percentile (Hyndman-Fan type 7)';
COMMENT ON COLUMN analytics.agent_performance.p95_runtime_seconds IS
    '95th percentile (Hyndman-Fan type 7)';
COMMENT ON COLUMN analytics.agent_performance.p99_runtime_seconds IS
    '99th percentile (Hyndman-Fan type 7)';
COMMENT ON COLUMN analytics.agent_performance.runtime_sketch IS
    'sketch of the same runtimes in seconds, for percentiles over several days (relative error 1 %); NULL without any';
COMMENT ON COLUMN analytics.agent_performance.total_credits IS
    'credits of the runs, each once';
COMMENT ON COLUMN analytics.agent_performance.avg_credits_per_run IS
    'total_credits / total_runs, 2 decimals; NULL without a run';
COMMENT ON COLUMN analytics.agent_performance.total_cost IS
    'cost of the runs, 4 decimals; NULL where no price is known or currencies are mixed';
COMMENT ON COLUMN analytics.agent_performance.total_tokens_used IS
    'tokens of the runs, each once';
COMMENT ON COLUMN analytics.agent_performance.avg_tokens_per_run IS
    'total_tokens_used / total_runs, rounded half away from zero; NULL without a run';
COMMENT ON COLUMN analytics.agent_performance.unique_users IS
    'distinct users with a counted run of the agent';
COMMENT ON COLUMN analytics.agent_performance.users IS
    'user_number of those users (analytics.users)';
COMMENT ON COLUMN analytics.agent_performance.avg_user_rating IS
    'mean of the ratings 1 to 5 that name the agent; NULL without any';
COMMENT ON COLUMN analytics.agent_performance.total_feedback_count IS
    'events with a rating or a feedback text that name the agent';
COMMENT ON COLUMN analytics.agent_performance.error_types IS
    '{error_type: errors} of the agents error events and of its failed runs without an error event of the same run_id';
COMMENT ON COLUMN analytics.agent_performance.common_failure_reasons IS
    'up to 5 of {reason, count} of failed runs, by count descending, reason; the reasons are redacted as error messages are and cut to 100 characters';
COMMENT ON COLUMN analytics.agent_performance.is_final IS
    'false while the day is not over';
COMMENT ON COLUMN analytics.agent_performance.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.agent_performance.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.daily_event_usage IS
    'what analytics.daily_event_counts shows, one row per workspace, local day and event type; written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.daily_event_usage.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_event_usage.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_event_usage.event_type IS
    'event type';
COMMENT ON COLUMN analytics.daily_event_usage.event_names IS
    'event names in ascending order of their bytes; empty where it was missing, (other) beyond the 1,000 most frequent of the workspace and day';
COMMENT ON COLUMN analytics.daily_event_usage.events IS
    'events of each name';
COMMENT ON COLUMN analytics.daily_event_usage.users IS
    'user_number of the users of each name (analytics.users)';
COMMENT ON COLUMN analytics.daily_event_usage.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_event_usage.updated_at IS
    'when a value of the row last changed';

COMMENT ON VIEW analytics.daily_event_counts IS
    'events per workspace, local day, event type and event name: feature usage that outlives the raw events; the 1,000 most frequent names of a workspace and day, the rest as (other)';
COMMENT ON COLUMN analytics.daily_event_counts.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_event_counts.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_event_counts.event_type IS
    'event type';
COMMENT ON COLUMN analytics.daily_event_counts.event_name IS
    'event name; empty where it was missing, (other) beyond the 1,000 most frequent';
COMMENT ON COLUMN analytics.daily_event_counts.events IS
    'events of that type and name';
COMMENT ON COLUMN analytics.daily_event_counts.unique_users IS
    'distinct users among them';
COMMENT ON COLUMN analytics.daily_event_counts.users IS
    'user_number of those users (analytics.users)';
COMMENT ON COLUMN analytics.daily_event_counts.created_at IS
    'when the row of analytics.daily_event_usage was first written';
COMMENT ON COLUMN analytics.daily_event_counts.updated_at IS
    'when a value of that row last changed';

COMMENT ON TABLE analytics.daily_error_types IS
    'what analytics.daily_errors shows, one row per workspace, local day and error type; written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.daily_error_types.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_error_types.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_error_types.error_type IS
    'error type; unknown where it was missing, (other) for the rest beyond the 1,000 most frequent pairs with event_name';
COMMENT ON COLUMN analytics.daily_error_types.errors IS
    'errors by event name, in ascending order of its bytes';
COMMENT ON COLUMN analytics.daily_error_types.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_error_types.updated_at IS
    'when a value of the row last changed';

COMMENT ON VIEW analytics.daily_errors IS
    'errors per workspace, local day, error type and event name; sums to daily_metrics.total_errors. The 1,000 most frequent pairs of a workspace and day, the rest as (other), (other)';
COMMENT ON COLUMN analytics.daily_errors.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_errors.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_errors.error_type IS
    'error type; unknown where it was missing';
COMMENT ON COLUMN analytics.daily_errors.event_name IS
    'name of the error event or of the failed run''s event; empty where it was missing';
COMMENT ON COLUMN analytics.daily_errors.errors IS
    'error events and failed runs that have no error event of the same run_id that day';
COMMENT ON COLUMN analytics.daily_errors.message_hashes IS
    'hashes of the distinct messages (of a run without one: its failure reason) after redaction, ascending; the 256 smallest, so that sets of several days can be united';
COMMENT ON COLUMN analytics.daily_errors.sample_messages IS
    'the messages with the smallest hashes: at most 5 of 200 characters, redacted (e-mail and network addresses, ids, numbers, tokens)';
COMMENT ON COLUMN analytics.daily_errors.created_at IS
    'when the row of analytics.daily_error_types was first written';
COMMENT ON COLUMN analytics.daily_errors.updated_at IS
    'when a value of that row last changed';

-- Time-range scans over all workspaces and lookups by content; everything else goes through the primary keys.
CREATE INDEX daily_metrics_metric_date_brin ON analytics.daily_metrics USING brin (metric_date);
COMMENT ON INDEX analytics.daily_metrics_metric_date_brin IS
    'serves: SELECT ... FROM analytics.daily_metrics WHERE metric_date >= ... over all workspaces (refresh of the materialized views)';
CREATE INDEX daily_metrics_provisional ON analytics.daily_metrics (metric_date) WHERE NOT is_final;
COMMENT ON INDEX analytics.daily_metrics_provisional IS
    'serves: the days that are still to be finished, WHERE NOT is_final';
CREATE INDEX hourly_metrics_provisional ON analytics.hourly_metrics (metric_hour) WHERE NOT is_final;
COMMENT ON INDEX analytics.hourly_metrics_provisional IS
    'serves: the hours that are still to be finished, WHERE NOT is_final';
CREATE INDEX agent_performance_metric_date_brin ON analytics.agent_performance USING brin (metric_date);
COMMENT ON INDEX analytics.agent_performance_metric_date_brin IS
    'serves: SELECT ... FROM analytics.agent_performance WHERE metric_date >= ... over all workspaces (refresh of the materialized views)';
CREATE INDEX daily_event_usage_metric_date_brin ON analytics.daily_event_usage USING brin (metric_date);
COMMENT ON INDEX analytics.daily_event_usage_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces';
CREATE INDEX daily_error_types_metric_date_brin ON analytics.daily_error_types USING brin (metric_date);
COMMENT ON INDEX analytics.daily_error_types_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces, and mv_error_trends';
CREATE INDEX hourly_metrics_metric_hour_brin ON analytics.hourly_metrics USING brin (metric_hour);
COMMENT ON INDEX analytics.hourly_metrics_metric_hour_brin IS
    'serves: the rows of one hour over all workspaces, which analytics.aggregate_hourly_metrics(target_hour) replaces, and their retention';
CREATE INDEX agent_performance_agent_id ON analytics.agent_performance (agent_id, metric_date);
COMMENT ON INDEX analytics.agent_performance_agent_id IS
    'serves: analytics.get_agent_insights(agent_id, days), one agent over a range of days in every visible workspace';
CREATE INDEX agent_performance_error_types_gin ON analytics.agent_performance USING gin (error_types);
COMMENT ON INDEX analytics.agent_performance_error_types_gin IS
    'serves: SELECT ... FROM analytics.agent_performance WHERE error_types ? ''timeout'', for the owner and service role (the operator is not leakproof, so row security keeps tenants from using the index)';
COMMENT ON INDEX analytics.daily_metrics_pkey IS
    'serves: a workspace''s days, analytics.get_workspace_metrics(workspace_id, start_date, end_date)';
COMMENT ON INDEX analytics.hourly_metrics_pkey IS
    'serves: a workspace''s hours, WHERE workspace_id = ... AND metric_hour >= ...';
COMMENT ON INDEX analytics.agent_performance_pkey IS
    'serves: an agent''s days within a workspace, WHERE workspace_id = ... AND agent_id = ... AND metric_date >= ...';
COMMENT ON INDEX analytics.daily_error_types_pkey IS
    'serves: errors of a workspace, WHERE workspace_id = ... AND metric_date BETWEEN ... AND ...';
COMMENT ON INDEX analytics.daily_event_usage_pkey IS
    'serves: feature usage of a workspace, WHERE workspace_id = ... AND metric_date BETWEEN ... AND ...';

ALTER TABLE analytics.daily_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.hourly_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.agent_performance ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_event_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_error_types ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.hourly_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.agent_performance', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_event_usage', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_error_types', '');
-- Users for ever: who was active when, in a few bytes per user and day, independent of the raw events' retention.

-- user_number is dense and small, so that a set of users is a few bytes per user. Updates of last_seen stay on the page.
CREATE TABLE analytics.users (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_number bigint NOT NULL,
    first_date date NOT NULL,
    last_date date NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    is_forgotten boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT users_user_number_key UNIQUE (workspace_id, user_number),
    CONSTRAINT users_user_number_check CHECK (user_number BETWEEN 0 AND 4294967295)
) WITH (fillfactor = 80);
COMMENT ON TABLE analytics.users IS
    'dictionary of a workspace''s users: written by analytics.aggregate_daily_metrics() and kept when the raw events go. A user whose last active day is aggregated again without him leaves it';
COMMENT ON COLUMN analytics.users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.users.user_id IS
    'user, as in analytics.user_activity';
COMMENT ON COLUMN analytics.users.user_number IS
    'the user in the sets of this workspace (analytics.user_set): from 0, ascending in the order of first aggregation';
COMMENT ON COLUMN analytics.users.first_date IS
    'local day of the workspace on which the user was first active: the day of which he is a new user';
COMMENT ON COLUMN analytics.users.last_date IS
    'last local day of the workspace on which the user was active';
COMMENT ON COLUMN analytics.users.first_seen IS
    'first event; the start of first_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.last_seen IS
    'last event; the start of last_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.is_forgotten IS
    'whether user_id was replaced by a random one, by analytics.forget_user() or the retention of identities: the number and all counts stay';
COMMENT ON INDEX analytics.users_pkey IS
    'serves: the numbers of a day''s users while it is aggregated';
COMMENT ON INDEX analytics.users_user_number_key IS
    'serves: the next free number of a workspace, and the users of a set';
COMMENT ON CONSTRAINT users_user_number_check ON analytics.users IS
    'what analytics.user_set holds';

CREATE TABLE analytics.daily_users (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    users analytics.user_set NOT NULL,
    new_users analytics.user_set NOT NULL,
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date)
);
COMMENT ON TABLE analytics.daily_users IS
    'the active users of each workspace and local day as sets of user_number; a day without an event has no row';
COMMENT ON COLUMN analytics.daily_users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_users.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_users.users IS
    'user_number of the users with at least one event of any type';
COMMENT ON COLUMN analytics.daily_users.new_users IS
    'those of them first seen on this day';
COMMENT ON COLUMN analytics.daily_users.is_final IS
    'false while the day is not over';
COMMENT ON COLUMN analytics.daily_users.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_users.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_users_pkey IS
    'serves: a workspace''s days in order, analytics.get_active_users(), get_lifecycle(), cohorts';

CREATE TABLE analytics.daily_user_revenue (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    user_number bigint NOT NULL,
    revenue numeric NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, user_number)
);
COMMENT ON TABLE analytics.daily_user_revenue IS
    'revenue per user and local day where it is not zero; cohorts read it, never raw events';
COMMENT ON COLUMN analytics.daily_user_revenue.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_user_revenue.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_user_revenue.user_number IS
    'user, as in analytics.users';
COMMENT ON COLUMN analytics.daily_user_revenue.revenue IS
    'sum of the metadata key revenue of his events, signed, exact';
COMMENT ON COLUMN analytics.daily_user_revenue.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_user_revenue.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_user_revenue_pkey IS
    'serves: the revenue of a workspace''s days in order, analytics.aggregate_user_cohorts()';

ALTER TABLE analytics.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_user_revenue ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_user_revenue', '');
-- Cohorts: users first seen in the same period, and who of them came back.

CREATE TABLE analytics.user_cohorts (
    workspace_id uuid NOT NULL,
    cohort_period text NOT NULL,
    cohort_date date NOT NULL,
    initial_users bigint NOT NULL,
    retention_data jsonb NOT NULL,
    retention_unbounded jsonb NOT NULL,
    churn_rate numeric(5, 2),
    avg_revenue_per_user numeric NOT NULL,
    ltv_estimate numeric,
    ltv_reason text,
    is_final boolean NOT NULL,
    counted_until date NOT NULL,
    source_state numeric NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, cohort_period, cohort_date),
    CONSTRAINT user_cohorts_cohort_period_check CHECK (cohort_period IN ('daily', 'weekly', 'monthly'))
);
COMMENT ON TABLE analytics.user_cohorts IS
    'one row per workspace, period and cohort of users first seen in it; written by analytics.aggregate_user_cohorts() from the daily sets, so that it outlives the raw events';
COMMENT ON COLUMN analytics.user_cohorts.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.user_cohorts.cohort_period IS
    'daily, weekly (ISO weeks) or monthly';
COMMENT ON COLUMN analytics.user_cohorts.cohort_date IS
    'first day of the period in which the users were first seen';
COMMENT ON COLUMN analytics.user_cohorts.initial_users IS
    'users of the cohort';
COMMENT ON COLUMN analytics.user_cohorts.retention_data IS
    '{"day_N": percent} (week_N, month_N): users active in the N-th period after the cohort''s; N = 0 is 100. A period that is not over is absent; N up to the settings cohort_max_days, _weeks, _months';
COMMENT ON COLUMN analytics.user_cohorts.retention_unbounded IS
    'the same of users active in the N-th period or later';
COMMENT ON COLUMN analytics.user_cohorts.churn_rate IS
    'percent of the cohort silent for the grace window (settings cohort_grace_days, _weeks, _months): 100 - unbounded retention at T - g, T the last period that is over; NULL while T <= g';
COMMENT ON COLUMN analytics.user_cohorts.avg_revenue_per_user IS
    'revenue of the cohort to date / initial_users, 2 decimals';
COMMENT ON COLUMN analytics.user_cohorts.ltv_estimate IS
    'discounted revenue expected of one user over ltv_horizon_periods: revenue per surviving user and period times the expected lifetime by the shifted-beta-geometric model (Fader & Hardie 2007), 2 decimals; NULL where ltv_reason says why';
COMMENT ON COLUMN analytics.user_cohorts.ltv_reason IS
    'why there is no ltv_estimate; NULL when there is';
COMMENT ON COLUMN analytics.user_cohorts.is_final IS
    'whether every period of retention_data up to its limit is over; from then on maintenance computes the row again only when one of those periods has changed';
COMMENT ON COLUMN analytics.user_cohorts.counted_until IS
    'start of the period that was running when the row was written: those before it are counted';
COMMENT ON COLUMN analytics.user_cohorts.source_state IS
    'checksum of the state of the days and settings that the row was computed from: another one means that the row is due';
COMMENT ON COLUMN analytics.user_cohorts.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.user_cohorts.updated_at IS
    'when the row was last written';
COMMENT ON INDEX analytics.user_cohorts_pkey IS
    'serves: the cohorts of a workspace, WHERE workspace_id = ... AND cohort_period = ... AND cohort_date >= ...';
COMMENT ON CONSTRAINT user_cohorts_cohort_period_check ON analytics.user_cohorts IS
    'the periods of analytics.aggregate_user_cohorts()';

ALTER TABLE analytics.user_cohorts ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.user_cohorts', '');
-- Where memberships come from. No row: the defaults, which are those of the columns.
CREATE TABLE analytics.membership (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT membership_single_row CHECK (id),
    source text NOT NULL DEFAULT 'relation' CONSTRAINT membership_source CHECK (source IN ('relation', 'claim')),
    relation text NOT NULL DEFAULT 'public.workspace_members'
        CONSTRAINT membership_relation_qualified CHECK (cardinality(parse_ident(relation)) = 2),
    workspace_column text NOT NULL DEFAULT 'workspace_id',
    user_column text NOT NULL DEFAULT 'user_id',
    role_column text,
    manager_roles text[] NOT NULL DEFAULT '{owner,admin}'
);
ALTER TABLE analytics.membership ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.membership', '');
COMMENT ON TABLE analytics.membership IS
    'where analytics.workspace_ids() finds who is a member of which workspace; at most one row, changed by the owner only; without one the defaults hold';
COMMENT ON COLUMN analytics.membership.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.membership.source IS
    'relation: read the relation; claim: the array app_metadata.workspaces in request.jwt.claims (never user_metadata, which users edit)';
COMMENT ON COLUMN analytics.membership.relation IS
    'schema-qualified table or view with one row per member, as SQL writes it; read with its owner''s rights; missing or malformed: nobody has workspaces';
COMMENT ON COLUMN analytics.membership.workspace_column IS
    'its column with the workspace (uuid, or text that is one), as it is stored, without quotes';
COMMENT ON COLUMN analytics.membership.user_column IS
    'its column with the user (uuid or text), as it is stored, without quotes';
COMMENT ON COLUMN analytics.membership.role_column IS
    'its column with the role of the member in the workspace; NULL: members have no roles, each manages alert rules and none sees others'' raw events by role';
COMMENT ON COLUMN analytics.membership.manager_roles IS
    'roles that may manage a workspace''s alert rules and, with raw_events_visible_to = roles, read its raw events';

CREATE TABLE analytics.access_roles (
    role_name text PRIMARY KEY,
    audience text NOT NULL CONSTRAINT access_roles_audience CHECK (audience IN ('anonymous', 'member', 'service', 'operator'))
);
ALTER TABLE analytics.access_roles ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.access_roles', '');
COMMENT ON TABLE analytics.access_roles IS
    'database roles that analytics.setup_roles() and analytics.grant_operator() have granted something, for analytics.security_audit()';
COMMENT ON COLUMN analytics.access_roles.role_name IS
    'name of the database role';
COMMENT ON COLUMN analytics.access_roles.audience IS
    'anonymous (nothing), member (its workspaces), service (everything but settings), operator (maintenance functions)';

CREATE TABLE analytics.ip_secret (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT ip_secret_single_row CHECK (id),
    version integer NOT NULL DEFAULT 1 CONSTRAINT ip_secret_version CHECK (version > 0),
    secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
        CONSTRAINT ip_secret_length CHECK (length(secret) = 48),
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE analytics.ip_secret ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.ip_secret', '');
COMMENT ON TABLE analytics.ip_secret IS
    'the key of user_activity.ip_hash, made on first use; read by nobody but the owner; analytics.rotate_ip_secret() replaces it';
COMMENT ON COLUMN analytics.ip_secret.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.ip_secret.version IS
    'counts the keys there have been; the first four bytes of an ip_hash';
COMMENT ON COLUMN analytics.ip_secret.secret IS
    'random bytes (from the server''s cryptographic generator)';
COMMENT ON COLUMN analytics.ip_secret.created_at IS
    'when this key was made';
-- Who changed what: filled by triggers (69-audit.sql), changed by nobody but analytics.forget_user().
CREATE TABLE analytics.audit_log (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    database_role text NOT NULL,
    user_id uuid,
    action text NOT NULL,
    object text NOT NULL,
    old_values jsonb,
    new_values jsonb,
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE analytics.audit_log ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.audit_log', '');
COMMENT ON TABLE analytics.audit_log IS
    'changes of settings, memberships'' configuration, access roles, workspace settings, prices, retention, alert rules and the like, acknowledgments and erasures; appended by triggers, no role may change it';
COMMENT ON COLUMN analytics.audit_log.workspace_id IS
    'workspace concerned; the nil uuid: the whole installation';
COMMENT ON COLUMN analytics.audit_log.id IS
    'the entry';
COMMENT ON COLUMN analytics.audit_log.happened_at IS
    'by the clock, not the start of the transaction';
COMMENT ON COLUMN analytics.audit_log.database_role IS
    'role that was in force: the one of SET ROLE, else that of the session';
COMMENT ON COLUMN analytics.audit_log.user_id IS
    'user that the claims named; NULL: nobody';
COMMENT ON COLUMN analytics.audit_log.action IS
    'insert, update, delete, truncate, or the name of what was done';
COMMENT ON COLUMN analytics.audit_log.object IS
    'table, or what the action was about';
COMMENT ON COLUMN analytics.audit_log.old_values IS
    'row before, secrets masked; NULL where there was none';
COMMENT ON COLUMN analytics.audit_log.new_values IS
    'row after, secrets masked; NULL where there is none';
-- Alerts: rules, what they have found, and what has to be told to whom.

CREATE TABLE analytics.alert_rules (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL,
    description text,
    is_active boolean NOT NULL DEFAULT true,
    scope text NOT NULL DEFAULT 'workspace',
    metric_type text NOT NULL,
    condition text NOT NULL,
    threshold_value numeric NOT NULL,
    threshold_max numeric,
    evaluation_window_minutes integer NOT NULL DEFAULT 5,
    for_minutes integer NOT NULL DEFAULT 0,
    cooldown_minutes integer NOT NULL DEFAULT 60,
    severity text NOT NULL DEFAULT 'warning',
    no_data text NOT NULL DEFAULT 'ok',
    notification_channels jsonb NOT NULL DEFAULT '[]',
    notification_recipients jsonb NOT NULL DEFAULT '[]',
    last_triggered_at timestamptz,
    trigger_count bigint NOT NULL DEFAULT 0,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE analytics.alert_rules ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.alert_rules', '');
COMMENT ON TABLE analytics.alert_rules IS
    'what to watch: a metric over a window, a condition, whom to tell; evaluated by analytics.evaluate_alert_rules(). A change of metric, condition, thresholds, window, scope or workspace, and switching off, end an open episode';
COMMENT ON COLUMN analytics.alert_rules.workspace_id IS
    'workspace whose events are watched; the nil uuid: events without a workspace, or every workspace where scope = platform';
COMMENT ON COLUMN analytics.alert_rules.id IS
    'the rule';
COMMENT ON COLUMN analytics.alert_rules.name IS
    'name shown to people, 1 to 200 characters';
COMMENT ON COLUMN analytics.alert_rules.description IS
    'what it means and what to do about it';
COMMENT ON COLUMN analytics.alert_rules.is_active IS
    'false: not evaluated';
COMMENT ON COLUMN analytics.alert_rules.scope IS
    'workspace, or platform: all workspaces together, only with the nil workspace, so only for the service role';
COMMENT ON COLUMN analytics.alert_rules.metric_type IS
    'error_rate, failure_rate (percent), response_time (mean, ms), active_users, failed_runs, credits_consumed, agent_failures (agents with a failed run), user_signups (users whose first event this is), session_duration (mean, seconds)';
COMMENT ON COLUMN analytics.alert_rules.condition IS
    'greater_than, less_than, equals, not_equals (both after rounding to 2 decimals), between (inclusive, with threshold_max); anomaly, poisson (counts of users, runs and agents) and binomial (rates) score the last full hour against the same hour of earlier days';
COMMENT ON COLUMN analytics.alert_rules.threshold_value IS
    'bound in the metric''s unit; for anomaly the modified z-score above which it fires (default 3.5), for poisson and binomial the probability below which it fires';
COMMENT ON COLUMN analytics.alert_rules.threshold_max IS
    'upper bound of between; NULL for other conditions';
COMMENT ON COLUMN analytics.alert_rules.evaluation_window_minutes IS
    'length of the window before the evaluation, 1 to 1440 minutes; unused by anomaly, poisson and binomial';
COMMENT ON COLUMN analytics.alert_rules.for_minutes IS
    'how long the condition must hold before the rule fires, 0 to 1440 minutes; until then it is pending';
COMMENT ON COLUMN analytics.alert_rules.cooldown_minutes IS
    'after a notification no new episode is notified for so long, 0 to 10080 minutes; an episode that outlasts it is notified then';
COMMENT ON COLUMN analytics.alert_rules.severity IS
    'info, warning or critical';
COMMENT ON COLUMN analytics.alert_rules.no_data IS
    'what a window without data, or an hour that cannot be scored, means: ok, alert, or keep the state';
COMMENT ON COLUMN analytics.alert_rules.notification_channels IS
    'array of email, slack and webhook';
COMMENT ON COLUMN analytics.alert_rules.notification_recipients IS
    'array of names in analytics.notification_destinations of the same workspace, each of one of the channels';
COMMENT ON COLUMN analytics.alert_rules.last_triggered_at IS
    'start of the last episode';
COMMENT ON COLUMN analytics.alert_rules.trigger_count IS
    'episodes so far';
COMMENT ON COLUMN analytics.alert_rules.created_by IS
    'user who made the rule; any manager of the workspace may change it';
COMMENT ON COLUMN analytics.alert_rules.created_at IS
    'when the rule was made';
COMMENT ON COLUMN analytics.alert_rules.updated_at IS
    'when a user last changed it';
COMMENT ON INDEX analytics.alert_rules_pkey IS
    'serves: a workspace''s rules, WHERE workspace_id = ...';

CREATE TABLE analytics.alert_rule_states (
    workspace_id uuid NOT NULL,
    alert_rule_id uuid NOT NULL,
    state text NOT NULL,
    since timestamptz NOT NULL,
    alert_id uuid,
    last_notified_at timestamptz,
    PRIMARY KEY (workspace_id, alert_rule_id),
    CONSTRAINT alert_rule_states_state CHECK (state IN ('ok', 'pending', 'firing'))
);
ALTER TABLE analytics.alert_rule_states ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.alert_rule_states', '');
COMMENT ON TABLE analytics.alert_rule_states IS
    'where each rule stands; written by analytics.evaluate_alert_rules() when a state changes, no row: ok since ever';
COMMENT ON COLUMN analytics.alert_rule_states.workspace_id IS 'workspace of the rule';
COMMENT ON COLUMN analytics.alert_rule_states.alert_rule_id IS 'the rule';
COMMENT ON COLUMN analytics.alert_rule_states.state IS 'ok, pending or firing';
COMMENT ON COLUMN analytics.alert_rule_states.since IS 'when it entered the state';
COMMENT ON COLUMN analytics.alert_rule_states.alert_id IS 'the open episode while firing, else NULL';
COMMENT ON COLUMN analytics.alert_rule_states.last_notified_at IS 'last notification of an episode''s start; the cooldown counts from here';
COMMENT ON CONSTRAINT alert_rule_states_state ON analytics.alert_rule_states IS
    'the states of Prometheus; resolved is the step from firing to ok';

CREATE TABLE analytics.alert_history (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    alert_rule_id uuid NOT NULL,
    rule_name text NOT NULL,
    severity text NOT NULL,
    triggered_at timestamptz NOT NULL,
    resolved_at timestamptz,
    state text NOT NULL GENERATED ALWAYS AS (CASE WHEN resolved_at IS NULL THEN 'firing' ELSE 'resolved' END) STORED,
    metric_type text NOT NULL,
    condition text NOT NULL,
    metric_value numeric,
    threshold_value numeric,
    reason text NOT NULL,
    evaluation_context jsonb NOT NULL DEFAULT '{}',
    resolved_reason text,
    acknowledged_by uuid,
    acknowledged_at timestamptz,
    notes text,
    snoozed_until timestamptz,
    notified_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT alert_history_order CHECK (resolved_at >= triggered_at),
    CONSTRAINT alert_history_acknowledgment CHECK (acknowledged_by IS NULL OR acknowledged_at IS NOT NULL),
    CONSTRAINT alert_history_notes CHECK (length(notes) <= 10000)
);
ALTER TABLE analytics.alert_history ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.alert_history', '');
COMMENT ON TABLE analytics.alert_history IS
    'one row per episode: from the evaluation at which a rule fired to the one at which it resolved';
COMMENT ON COLUMN analytics.alert_history.workspace_id IS 'workspace of the rule';
COMMENT ON COLUMN analytics.alert_history.id IS 'the episode';
COMMENT ON COLUMN analytics.alert_history.alert_rule_id IS 'the rule, which may have been deleted since';
COMMENT ON COLUMN analytics.alert_history.rule_name IS 'name of the rule then';
COMMENT ON COLUMN analytics.alert_history.severity IS 'severity of the rule then';
COMMENT ON COLUMN analytics.alert_history.triggered_at IS 'evaluation at which it fired';
COMMENT ON COLUMN analytics.alert_history.resolved_at IS 'evaluation at which it resolved; NULL: still firing';
COMMENT ON COLUMN analytics.alert_history.state IS 'firing or resolved';
COMMENT ON COLUMN analytics.alert_history.metric_type IS 'metric of the rule then';
COMMENT ON COLUMN analytics.alert_history.condition IS 'condition of the rule then';
COMMENT ON COLUMN analytics.alert_history.metric_value IS 'value that made it fire, in the metric''s unit; NULL where missing data did';
COMMENT ON COLUMN analytics.alert_history.threshold_value IS 'threshold of the rule then';
COMMENT ON COLUMN analytics.alert_history.reason IS 'why it fired, for people';
COMMENT ON COLUMN analytics.alert_history.evaluation_context IS
    'what the window held: window_start, window_end, counts of events, users, runs and errors, the agents and error types with most failures, samples of errors (the latest different messages, redacted); for scores the baseline';
COMMENT ON COLUMN analytics.alert_history.resolved_reason IS 'why it resolved; NULL while firing';
COMMENT ON COLUMN analytics.alert_history.acknowledged_by IS
    'who has taken it up, always the one who writes; NULL: nobody. Setting it to NULL takes the acknowledgment back';
COMMENT ON COLUMN analytics.alert_history.acknowledged_at IS 'when it was taken up; says nothing about delivery';
COMMENT ON COLUMN analytics.alert_history.notes IS 'notes of people, at most 10,000 characters';
COMMENT ON COLUMN analytics.alert_history.snoozed_until IS 'no notification about the rule before this instant';
COMMENT ON COLUMN analytics.alert_history.notified_at IS
    'when its start was handed to the outbox; NULL: withheld so far by cooldown or snooze';
COMMENT ON CONSTRAINT alert_history_order ON analytics.alert_history IS 'an episode ends after it starts';
COMMENT ON CONSTRAINT alert_history_acknowledgment ON analytics.alert_history IS 'who and when go together';
COMMENT ON CONSTRAINT alert_history_notes ON analytics.alert_history IS 'notes are short';
COMMENT ON INDEX analytics.alert_history_pkey IS 'serves: one episode of a workspace';
CREATE UNIQUE INDEX alert_history_one_open ON analytics.alert_history (workspace_id, alert_rule_id) WHERE resolved_at IS NULL;
COMMENT ON INDEX analytics.alert_history_one_open IS
    'a rule has at most one open episode; serves: analytics.active_alerts';
CREATE INDEX alert_history_triggered ON analytics.alert_history (workspace_id, triggered_at);
COMMENT ON INDEX analytics.alert_history_triggered IS
    'serves: a workspace''s episodes by time, and their removal by age';
CREATE INDEX alert_history_snoozed ON analytics.alert_history (workspace_id, alert_rule_id, snoozed_until) WHERE snoozed_until IS NOT NULL;
COMMENT ON INDEX analytics.alert_history_snoozed IS
    'serves: is the rule snoozed, asked when a notification is due';

CREATE TABLE analytics.notification_destinations (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    name text NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    signing_secret text,
    is_verified boolean NOT NULL DEFAULT false,
    verification_hash bytea,
    verification_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, name),
    CONSTRAINT notification_destinations_channel CHECK (channel IN ('email', 'slack', 'webhook')),
    CONSTRAINT notification_destinations_name CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$')
);
ALTER TABLE analytics.notification_destinations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.notification_destinations', '');
COMMENT ON TABLE analytics.notification_destinations IS
    'where notifications go, by name; addresses and secrets are never readable through the API, see analytics.notification_destination_list';
COMMENT ON COLUMN analytics.notification_destinations.workspace_id IS 'workspace that may use it';
COMMENT ON COLUMN analytics.notification_destinations.name IS 'name that rules refer to';
COMMENT ON COLUMN analytics.notification_destinations.channel IS 'email, slack (incoming webhook) or webhook';
COMMENT ON COLUMN analytics.notification_destinations.address IS 'mail address, or URL beginning with https://; secret';
COMMENT ON COLUMN analytics.notification_destinations.signing_secret IS 'key of the HMAC-SHA-256 signature of a webhook; secret';
COMMENT ON COLUMN analytics.notification_destinations.is_verified IS 'false: nothing but the verification code is sent there';
COMMENT ON COLUMN analytics.notification_destinations.verification_hash IS 'SHA-256 of the code that was sent; NULL: none is open';
COMMENT ON COLUMN analytics.notification_destinations.verification_expires_at IS 'until when the code is good';
COMMENT ON COLUMN analytics.notification_destinations.created_at IS 'when it was made';
COMMENT ON COLUMN analytics.notification_destinations.updated_at IS 'when it last changed';
COMMENT ON CONSTRAINT notification_destinations_channel ON analytics.notification_destinations IS 'the channels that the notifier serves';
COMMENT ON CONSTRAINT notification_destinations_name ON analytics.notification_destinations IS
    'a short name, so that nobody uses the address itself';
COMMENT ON INDEX analytics.notification_destinations_pkey IS 'serves: a rule''s recipients, WHERE workspace_id = ... AND name = ...';

CREATE TABLE analytics.notification_outbox (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    alert_id uuid,
    alert_rule_id uuid,
    destination_name text NOT NULL,
    channel text NOT NULL,
    message jsonb NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    leased_by text,
    leased_until timestamptz,
    last_error text,
    response_status integer,
    latency_ms bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT notification_outbox_once UNIQUE (workspace_id, alert_id, kind, destination_name),
    CONSTRAINT notification_outbox_kind CHECK (kind IN ('firing', 'resolved', 'verification')),
    CONSTRAINT notification_outbox_status CHECK (status IN ('waiting', 'sending', 'delivered', 'dead', 'suppressed'))
);
ALTER TABLE analytics.notification_outbox ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.notification_outbox', '');
COMMENT ON TABLE analytics.notification_outbox IS
    'messages to be delivered by shadow-analytics-notifier, written in the transaction of the episode; delivered at least once';
COMMENT ON COLUMN analytics.notification_outbox.workspace_id IS 'workspace of the message';
COMMENT ON COLUMN analytics.notification_outbox.id IS 'the message; sent along as its idempotency key, the same at every attempt';
COMMENT ON COLUMN analytics.notification_outbox.kind IS 'firing, resolved or verification';
COMMENT ON COLUMN analytics.notification_outbox.alert_id IS 'the episode; NULL for verification';
COMMENT ON COLUMN analytics.notification_outbox.alert_rule_id IS 'the rule; NULL for verification';
COMMENT ON COLUMN analytics.notification_outbox.destination_name IS 'name in analytics.notification_destinations';
COMMENT ON COLUMN analytics.notification_outbox.channel IS 'channel of the destination then';
COMMENT ON COLUMN analytics.notification_outbox.message IS 'what to say, without address or secret';
COMMENT ON COLUMN analytics.notification_outbox.status IS
    'waiting, sending (leased), delivered, dead (given up), suppressed (over the workspace''s hourly budget)';
COMMENT ON COLUMN analytics.notification_outbox.attempts IS 'deliveries tried so far';
COMMENT ON COLUMN analytics.notification_outbox.next_attempt_at IS 'not to be tried before; grows exponentially with jitter';
COMMENT ON COLUMN analytics.notification_outbox.leased_by IS 'notifier that is sending it';
COMMENT ON COLUMN analytics.notification_outbox.leased_until IS 'after this instant another notifier may take it';
COMMENT ON COLUMN analytics.notification_outbox.last_error IS 'what the last attempt failed with, without address';
COMMENT ON COLUMN analytics.notification_outbox.response_status IS 'HTTP or SMTP status of the last attempt';
COMMENT ON COLUMN analytics.notification_outbox.latency_ms IS 'duration of the last attempt';
COMMENT ON COLUMN analytics.notification_outbox.created_at IS 'when it was written';
COMMENT ON COLUMN analytics.notification_outbox.delivered_at IS 'when the destination accepted it';
COMMENT ON CONSTRAINT notification_outbox_once ON analytics.notification_outbox IS
    'an episode''s start and end are told to a destination once';
COMMENT ON CONSTRAINT notification_outbox_kind ON analytics.notification_outbox IS 'the kinds of messages';
COMMENT ON CONSTRAINT notification_outbox_status ON analytics.notification_outbox IS 'the life of a message';
COMMENT ON INDEX analytics.notification_outbox_pkey IS 'serves: the notifier''s note of an outcome';
COMMENT ON INDEX analytics.notification_outbox_once IS 'serves: an episode''s messages, and that there is one of each';
CREATE INDEX notification_outbox_due ON analytics.notification_outbox (next_attempt_at) WHERE status IN ('waiting', 'sending');
COMMENT ON INDEX analytics.notification_outbox_due IS
    'serves: analytics_internal.claim_notifications(), the messages that are due';
CREATE INDEX notification_outbox_created ON analytics.notification_outbox (workspace_id, created_at);
COMMENT ON INDEX analytics.notification_outbox_created IS
    'serves: the workspace''s hourly budget, and removal by age';
-- Until when rollups are final, and what changed before that.

CREATE TABLE analytics.watermark (
    id smallint PRIMARY KEY DEFAULT 1,
    marked_until timestamptz NOT NULL, -- the library reads this column by its place
    marked_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    closing_xid xid8,
    closed_until timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT watermark_one_row CHECK (id = 1),
    CONSTRAINT watermark_order CHECK (closed_until <= marked_until)
);
ALTER TABLE analytics.watermark ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.watermark', '');
COMMENT ON TABLE analytics.watermark IS
    'one row, from the first maintenance on: how far rollups are final. Delete it to have everything aggregated again';
COMMENT ON COLUMN analytics.watermark.id IS 'always 1';
COMMENT ON CONSTRAINT watermark_one_row ON analytics.watermark IS 'there is one watermark';
COMMENT ON CONSTRAINT watermark_order ON analytics.watermark IS 'what is closed was marked before';
COMMENT ON COLUMN analytics.watermark.marked_until IS
    'changes of events before this instant are noted in analytics.dirty_hours';
COMMENT ON COLUMN analytics.watermark.marked_by IS
    'transaction that moved marked_until; the next phase must be another one';
COMMENT ON COLUMN analytics.watermark.closing_xid IS
    'taken after the mark was committed: when all older transactions are over, everything before marked_until is visible or noted. NULL: not taken yet';
COMMENT ON COLUMN analytics.watermark.closed_until IS
    'hours and local days that ended by this instant are aggregated for good, but for those in analytics.dirty_hours';

-- Append-only, so that no writer ever waits for another or for the repair.
CREATE TABLE analytics.dirty_hours (
    workspace_id uuid NOT NULL,
    metric_hour timestamptz NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (workspace_id, metric_hour, id)
);
CREATE INDEX dirty_hours_metric_hour ON analytics.dirty_hours (metric_hour);
COMMENT ON INDEX analytics.dirty_hours_metric_hour IS
    'serves: the newest dirty hour, ORDER BY metric_hour DESC LIMIT 1, and those of one day';
ALTER TABLE analytics.dirty_hours ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.dirty_hours', '');
COMMENT ON TABLE analytics.dirty_hours IS
    'hours whose events were changed after they were marked as closed; their rollups are to be computed again. An hour may stand here several times';
COMMENT ON COLUMN analytics.dirty_hours.workspace_id IS 'workspace of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.metric_hour IS 'start of the UTC hour of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.id IS 'makes the entry unique without a sequence';

CREATE TABLE analytics.failed_days (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, metric_date)
);
ALTER TABLE analytics.failed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.failed_days', '');
COMMENT ON TABLE analytics.failed_days IS
    'local days of workspaces that could not be aggregated: set aside, so that nobody else waits for them, and tried again after a minute, two, four and so on up to a day. analytics.retry_failed_days() has them tried at once';
COMMENT ON COLUMN analytics.failed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.failed_days.metric_date IS 'local day of the workspace; the day itself or one of its hours failed';
COMMENT ON COLUMN analytics.failed_days.day_start IS 'start of that day';
COMMENT ON COLUMN analytics.failed_days.day_end IS 'end of that day';
COMMENT ON COLUMN analytics.failed_days.error IS 'SQLSTATE and message of the last attempt';
COMMENT ON COLUMN analytics.failed_days.attempts IS 'attempts that failed';
COMMENT ON COLUMN analytics.failed_days.first_failed_at IS 'first of them';
COMMENT ON COLUMN analytics.failed_days.last_failed_at IS 'last of them';
COMMENT ON COLUMN analytics.failed_days.next_attempt_at IS 'not tried again before';

CREATE TABLE analytics.stale_totals (
    workspace_id uuid PRIMARY KEY,
    from_date date NOT NULL
);
ALTER TABLE analytics.stale_totals ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.stale_totals', '');
COMMENT ON TABLE analytics.stale_totals IS
    'workspaces whose users changed on a day while earlier days wait for repair: new_users, returning_users and total_users of later days are brought up to date once, when those are repaired';
COMMENT ON COLUMN analytics.stale_totals.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.stale_totals.from_date IS 'the local day; those after it are stale';

CREATE TABLE analytics.closed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.closed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.closed_days', '');
CREATE INDEX closed_days_event_day ON analytics.closed_days (event_day);
COMMENT ON INDEX analytics.closed_days_event_day IS
    'serves: the events of an expired day, WHERE event_day = ...';
COMMENT ON TABLE analytics.closed_days IS
    'events of each workspace and UTC day, counted when the day was closed and again when it was repaired, so that cleanup need not count what it drops';
COMMENT ON COLUMN analytics.closed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.closed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.closed_days.events IS 'its events in analytics.user_activity';

CREATE TABLE analytics.sealed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.sealed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.sealed_days', '');
CREATE INDEX sealed_days_event_day ON analytics.sealed_days (event_day);
COMMENT ON INDEX analytics.sealed_days_event_day IS
    'serves: is a bucket sealed for any workspace, WHERE event_day BETWEEN ... AND ...';
COMMENT ON TABLE analytics.sealed_days IS
    'days from which retention removed events: their rollups can no longer be computed and are not overwritten';
COMMENT ON COLUMN analytics.sealed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.sealed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.sealed_days.events IS 'events of the workspace that were removed from the day';
COMMENT ON COLUMN analytics.sealed_days.sealed_at IS 'when';
CREATE TABLE analytics.retention_policies (
    table_name text PRIMARY KEY,
    keep_days integer,
    archive_function text,
    CONSTRAINT retention_policies_keep_days CHECK (keep_days BETWEEN 1 AND 36500),
    CONSTRAINT retention_policies_archive CHECK (archive_function IS NULL OR table_name = 'user_activity')
);
ALTER TABLE analytics.retention_policies ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.retention_policies', '');
COMMENT ON TABLE analytics.retention_policies IS
    'retention changed from its default, by the owner only; analytics.retention_policy_values lists what is in force';
COMMENT ON COLUMN analytics.retention_policies.table_name IS
    'a table of analytics.retention_policy_values; others are refused (22023)';
COMMENT ON COLUMN analytics.retention_policies.keep_days IS
    'days, 1 to 36500, that rows are kept; NULL: for ever. Delete the row to return to the default';
COMMENT ON COLUMN analytics.retention_policies.archive_function IS
    'user_activity only: schema-qualified name of a function (partition regclass) that cleanup calls, as the extension''s owner, before it drops a partition; if the function detaches the partition, it is kept; if it fails, so is the partition, and the next cleanup calls it again. NULL: none';
COMMENT ON CONSTRAINT retention_policies_keep_days ON analytics.retention_policies IS 'a number of days';
COMMENT ON CONSTRAINT retention_policies_archive ON analytics.retention_policies IS 'only partitions are archived';

CREATE TABLE analytics.workspace_retention (
    workspace_id uuid NOT NULL,
    table_name text NOT NULL,
    keep_days integer,
    PRIMARY KEY (workspace_id, table_name),
    CONSTRAINT workspace_retention_keep_days CHECK (keep_days BETWEEN 1 AND 36500),
    CONSTRAINT workspace_retention_table CHECK
        (table_name IN ('hourly_metrics', 'daily_metrics', 'agent_performance', 'daily_event_usage', 'daily_error_types',
                        'daily_users', 'daily_user_revenue', 'user_cohorts'))
);
ALTER TABLE analytics.workspace_retention ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.workspace_retention', '');
COMMENT ON TABLE analytics.workspace_retention IS
    'retention of a workspace''s rollups where it differs from analytics.retention_policy_values';
COMMENT ON COLUMN analytics.workspace_retention.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.workspace_retention.table_name IS
    'hourly_metrics, daily_metrics, agent_performance, daily_event_usage, daily_error_types, daily_users, daily_user_revenue or user_cohorts';
COMMENT ON COLUMN analytics.workspace_retention.keep_days IS 'days, 1 to 36500; NULL: for ever';
COMMENT ON CONSTRAINT workspace_retention_keep_days ON analytics.workspace_retention IS 'a number of days';
COMMENT ON CONSTRAINT workspace_retention_table ON analytics.workspace_retention IS 'rollups only';
CREATE TABLE analytics.job_runs (
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    step text NOT NULL,
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT 'running',
    rows bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    detail text,
    error text,
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    PRIMARY KEY (started_at, step),
    CONSTRAINT job_runs_outcome CHECK (outcome IN ('running', 'done', 'partial', 'failed', 'interrupted'))
);
CREATE INDEX job_runs_step ON analytics.job_runs (step, started_at);
COMMENT ON INDEX analytics.job_runs_step IS
    'serves: the last run of a step';
CREATE INDEX job_runs_running ON analytics.job_runs (step) WHERE outcome = 'running';
COMMENT ON INDEX analytics.job_runs_running IS
    'serves: analytics.job_progress, and runs that were killed';
ALTER TABLE analytics.job_runs ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.job_runs', '');
COMMENT ON TABLE analytics.job_runs IS
    'what analytics.maintain() and analytics.backfill() did; steps that are always due and found nothing to do are not kept';
COMMENT ON COLUMN analytics.job_runs.started_at IS 'by the clock';
COMMENT ON COLUMN analytics.job_runs.step IS 'maintain (the whole run), one of its steps, or backfill';
COMMENT ON COLUMN analytics.job_runs.finished_at IS 'by the clock; NULL while running';
COMMENT ON COLUMN analytics.job_runs.outcome IS
    'running; done; partial: the time budget was used up, the next run goes on, or (error) days of single workspaces were set aside in analytics.failed_days; failed: see error; interrupted: cancelled or killed';
COMMENT ON COLUMN analytics.job_runs.rows IS 'what the step counts: partitions, hours, days, rollups, rows removed, alerts';
COMMENT ON COLUMN analytics.job_runs.done IS 'units committed so far';
COMMENT ON COLUMN analytics.job_runs.total IS 'units there were to do at the last count; NULL: not counted';
COMMENT ON COLUMN analytics.job_runs.detail IS 'backfill: the range of days; aggregate_open: the changes of events it has seen; else what the step has to say';
COMMENT ON COLUMN analytics.job_runs.error IS 'SQLSTATE and message; of a partial run those of the first day set aside';
COMMENT ON COLUMN analytics.job_runs.pid IS 'server process';
COMMENT ON CONSTRAINT job_runs_outcome ON analytics.job_runs IS 'how a run may end';
CREATE FUNCTION analytics_internal.settings_check() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_settings_check';
REVOKE EXECUTE ON FUNCTION analytics_internal.settings_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.settings_check() IS
    'row trigger: refuses unknown settings and values that are not allowed (22023)';

CREATE TRIGGER check_setting BEFORE INSERT OR UPDATE ON analytics.settings
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.settings_check();
COMMENT ON TRIGGER check_setting ON analytics.settings IS
    'refuses unknown settings and values that are not allowed';

CREATE FUNCTION analytics_internal.settings_announce() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_settings_announce';
REVOKE EXECUTE ON FUNCTION analytics_internal.settings_announce() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.settings_announce() IS
    'statement trigger: lets every session read the settings again once the change is committed';

CREATE TRIGGER announce_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON analytics.settings
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.settings_announce();
COMMENT ON TRIGGER announce_change ON analytics.settings IS
    'lets every session read the settings again';

CREATE FUNCTION analytics.setting(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_setting';
REVOKE EXECUTE ON FUNCTION analytics.setting(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.setting(text) IS
    'value of a setting in force: the owner''s or the default; unknown names are an error (22023), NULL gives NULL';

CREATE FUNCTION analytics.setting_definitions(
    OUT name text, OUT default_value text, OUT type text, OUT allowed text, OUT description text)
RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_setting_definitions';
COMMENT ON FUNCTION analytics.setting_definitions() IS
    'every setting this version knows: name, default_value, type, allowed (range or choices), description';

CREATE VIEW analytics.setting_values WITH (security_invoker = true) AS
SELECT d.name,
       COALESCE(s.value, d.default_value) AS value,
       d.default_value,
       s.value IS NULL AS is_default,
       d.type,
       d.allowed,
       d.description
FROM analytics.setting_definitions() AS d
LEFT JOIN analytics.settings AS s ON s.name OPERATOR(pg_catalog.=) d.name;
COMMENT ON VIEW analytics.setting_values IS
    'every setting with its value in force; change one by INSERT INTO analytics.settings (name, value), as the owner';
COMMENT ON COLUMN analytics.setting_values.name IS 'name of the setting';
COMMENT ON COLUMN analytics.setting_values.value IS 'value in force';
COMMENT ON COLUMN analytics.setting_values.default_value IS 'value without a row in analytics.settings';
COMMENT ON COLUMN analytics.setting_values.is_default IS 'true where analytics.settings has no row';
COMMENT ON COLUMN analytics.setting_values.type IS 'integer, real, boolean, choice, currency or text';
COMMENT ON COLUMN analytics.setting_values.allowed IS 'range (inclusive) or choices';
COMMENT ON COLUMN analytics.setting_values.description IS 'what it does, with its unit';
CREATE FUNCTION analytics_internal.time_zone_name(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_time_zone_name';
REVOKE EXECUTE ON FUNCTION analytics_internal.time_zone_name(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.time_zone_name(text) IS
    'name of a time zone in its proper case; NULL when the server has no zone of that name';

-- A zone may repeat an hour around midnight (Havana, the Azores): AT TIME ZONE then takes the second midnight,
-- but the day began at the first. At a midnight that is left out it takes the instant of the change.
CREATE FUNCTION analytics.day_start(day date, time_zone text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    midnight timestamptz := day::timestamp AT TIME ZONE time_zone;
    local_before timestamp := (midnight - interval '1 microsecond') AT TIME ZONE time_zone;
BEGIN
    IF local_before >= day::timestamp THEN
        RETURN midnight - interval '1 microsecond' - (local_before - day::timestamp);
    END IF;
    RETURN midnight;
END
$$;
COMMENT ON FUNCTION analytics.day_start(date, text) IS
    'first instant of a local day in a time zone; a day is from its start to the next day''s, 23 to 25 hours as a rule. A day the zone left out has the next day''s start. An unknown zone is an error (22023), NULL gives NULL';

CREATE FUNCTION analytics.workspace_time_zone(workspace_id uuid, at timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN COALESCE((SELECT s.time_zone FROM analytics.workspace_settings AS s
                     WHERE s.workspace_id = workspace_time_zone.workspace_id AND s.valid_from <= at
                     ORDER BY s.valid_from DESC LIMIT 1), 'UTC');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.workspace_time_zone(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_time_zone(uuid, timestamptz) IS
    'the workspace''s reporting time zone in force at an instant (default: now); UTC where none is set, also for NULL';

CREATE FUNCTION analytics.workspace_today(workspace_id uuid, at timestamptz DEFAULT now()) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (at AT TIME ZONE analytics.workspace_time_zone(workspace_id, at))::date;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.workspace_today(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_today(uuid, timestamptz) IS
    'the workspace''s local day of an instant (default: now)';

CREATE FUNCTION analytics.workspace_day_bounds(workspace_id uuid, day date)
RETURNS TABLE (day_start timestamptz, day_end timestamptz)
LANGUAGE plpgsql STABLE ROWS 1 PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH zones AS (
        SELECT 'UTC' AS time_zone, '-infinity'::timestamptz AS valid_from
        WHERE analytics.workspace_time_zone(workspace_day_bounds.workspace_id, '-infinity') = 'UTC'
        UNION
        SELECT s.time_zone, s.valid_from FROM analytics.workspace_settings AS s
        WHERE s.workspace_id = workspace_day_bounds.workspace_id
    ), segments AS (
        SELECT z.time_zone, z.valid_from, lead(z.valid_from, 1, 'infinity') OVER (ORDER BY z.valid_from) AS valid_to
        FROM zones AS z
    ), parts AS (
        SELECT greatest(s.valid_from, analytics.day_start(day, s.time_zone)) AS part_start,
               least(s.valid_to, analytics.day_start(day + 1, s.time_zone)) AS part_end
        FROM segments AS s
    )
    SELECT min(p.part_start), max(p.part_end) FROM parts AS p WHERE p.part_start < p.part_end HAVING count(*) > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.workspace_day_bounds(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_day_bounds(uuid, date) IS
    'the instants of a workspace''s local day, day_start <= t < day_end, over a change of its time zone; no row for a day that a change left out';

-- The first local midnight of the new zone after now at which the date does not go back. Rows that are already
-- planned count: the old zone is the one in force just before that midnight.
CREATE FUNCTION analytics_internal.next_change(workspace_id uuid, time_zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    local_today date := (now() AT TIME ZONE time_zone)::date;
    midnight timestamptz;
BEGIN
    FOR i IN 1..3 LOOP
        midnight := analytics.day_start(local_today + i, time_zone);
        IF local_today + i >= analytics.workspace_today(workspace_id, midnight - interval '1 microsecond') THEN
            RETURN midnight;
        END IF;
    END LOOP;
    -- From Kiritimati (+14) to Pago Pago (-11) it is always tomorrow.
    RAISE EXCEPTION 'no midnight in % is free of a repeated day', time_zone
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = 'The zone is more than 24 hours behind the one in force.',
              HINT = 'Change to a zone between the two, such as UTC, first.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_change(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_change(uuid, text) IS
    'when a workspace may next change to a time zone without any date going back; none for a zone more than 24 hours behind (22023)';

CREATE FUNCTION analytics_internal.workspace_settings_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone_name text := analytics_internal.time_zone_name(NEW.time_zone);
BEGIN
    -- AT TIME ZONE reads an abbreviation as a fixed offset even where a zone has the same name (CET).
    IF NEW.time_zone IS NOT NULL
       AND (zone_name IS NULL OR zone_name IN ('localtime', 'posixrules', 'Factory')
            OR (zone_name NOT IN ('UTC', 'GMT')
                AND EXISTS (SELECT FROM pg_timezone_abbrevs WHERE abbrev = upper(zone_name)))) THEN
        RAISE EXCEPTION 'unknown time zone "%"', NEW.time_zone
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Abbreviations and offsets are not names: they do not know summer time.',
                  HINT = 'Use a name from pg_timezone_names, such as Europe/Berlin.';
    END IF;
    NEW.time_zone := zone_name;
    NEW.workspace_id := COALESCE(NEW.workspace_id, '00000000-0000-0000-0000-000000000000');

    IF NEW.valid_from IS NULL THEN
        NEW.valid_from := CASE
            WHEN EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = NEW.workspace_id)
              OR EXISTS (SELECT FROM analytics.daily_metrics AS m WHERE m.workspace_id = NEW.workspace_id)
            THEN analytics_internal.next_change(NEW.workspace_id, NEW.time_zone)
            ELSE '-infinity' END;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        NEW.updated_at := CASE WHEN NEW IS DISTINCT FROM OLD THEN now() ELSE OLD.updated_at END;
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_settings_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_settings_check() IS
    'row trigger: checks the zone''s name (22023) and finds valid_from where it is left out';

-- Looks at a workspace's whole history after the statement, so that the order of its rows does not matter.
-- Dumps are restored with row_security off and perhaps under other time zone data: they are taken as they are.
CREATE FUNCTION analytics_internal.workspace_settings_sequence() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO'
AS $$
DECLARE
    changed_workspace uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END;
    change record;
BEGIN
    IF NOT current_setting('row_security')::boolean THEN
        RETURN NULL;
    END IF;
    FOR change IN
        SELECT s.time_zone, s.valid_from,
               (s.valid_from AT TIME ZONE s.time_zone)::date AS new_day,
               ((s.valid_from - interval '1 microsecond')
                   AT TIME ZONE lag(s.time_zone, 1, 'UTC') OVER (ORDER BY s.valid_from))::date AS old_day
        FROM analytics.workspace_settings AS s
        WHERE s.workspace_id = changed_workspace
    LOOP
        CONTINUE WHEN change.valid_from = '-infinity';
        IF change.valid_from = 'infinity'
           OR change.valid_from <> analytics.day_start(change.new_day, change.time_zone) THEN
            RAISE EXCEPTION 'a time zone must take effect at a local midnight'
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('%s is not the start of a day in %s.', change.valid_from, change.time_zone),
                      HINT = 'Leave valid_from out, or use -infinity or analytics.day_start(day, time_zone).';
        ELSIF change.new_day < change.old_day THEN
            RAISE EXCEPTION 'a change of time zone must not repeat a day'
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('At %s the date would go back from %s to %s.',
                                      change.valid_from, change.old_day, change.new_day),
                      HINT = 'Leave valid_from out, or let the change take effect a day later.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_settings_sequence() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_settings_sequence() IS
    'row trigger: every change of a workspace''s zone is at a local midnight and repeats no day (22023)';

CREATE TRIGGER check_zone BEFORE INSERT OR UPDATE ON analytics.workspace_settings
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.workspace_settings_check();
COMMENT ON TRIGGER check_zone ON analytics.workspace_settings IS
    'checks the zone''s name and finds valid_from where it is left out';
CREATE TRIGGER check_sequence AFTER INSERT OR UPDATE OR DELETE ON analytics.workspace_settings
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.workspace_settings_sequence();
COMMENT ON TRIGGER check_sequence ON analytics.workspace_settings IS
    'every change of a workspace''s zone is at a local midnight and repeats no day';
CREATE FUNCTION analytics_internal.user_activity_check() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_check';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_check() IS
    'row trigger of user_activity: refuses unknown event types, metadata that is no object or too long, and impossible times; cuts long texts; replaces NULL workspace_id and metadata';

CREATE TRIGGER check_event BEFORE INSERT OR UPDATE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
COMMENT ON TRIGGER check_event ON analytics.user_activity IS
    'refuses what cannot be counted and normalises the rest; leaves a valid row as it is';
-- Partitions of user_activity: made ahead by CREATE TABLE LIKE and ATTACH, which never waits for a reader or
-- writer of other partitions; never members of the extension, or pg_dump would lose their rows.

CREATE FUNCTION analytics_internal.create_standalone_partition(partition_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee_name text;
BEGIN
    EXECUTE format('CREATE TABLE analytics.%I (LIKE analytics.user_activity INCLUDING ALL EXCLUDING COMMENTS, PRIMARY KEY (workspace_id, created_at, id))',
                   partition_name);
    IF EXISTS (SELECT FROM pg_depend
               WHERE classid = 'pg_class'::regclass
                 AND objid = format('analytics.%I', partition_name)::regclass
                 AND deptype = 'e') THEN
        EXECUTE format('ALTER EXTENSION shadow_analytics DROP TABLE analytics.%I', partition_name);
    END IF;

    -- Default privileges may have granted something.
    FOR grantee_name IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_class AS c, aclexplode(c.relacl) AS a
        WHERE c.oid = format('analytics.%I', partition_name)::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON analytics.%I FROM %s', partition_name, grantee_name);
    END LOOP;

    EXECUTE format('CREATE INDEX %I ON analytics.%I USING brin (created_at)',
                   partition_name || '_created_at_brin', partition_name);
    EXECUTE format('COMMENT ON INDEX analytics.%I IS %L', partition_name || '_created_at_brin',
                   'range scans by created_at: one hour''s or one local day''s events of every workspace');
    EXECUTE format('COMMENT ON INDEX analytics.%I IS %L', partition_name || '_pkey',
                   'one workspace''s events by time; makes a retry of an event a no-op');
    EXECUTE format('ALTER TABLE analytics.%I ENABLE ROW LEVEL SECURITY', partition_name);
    EXECUTE format('CREATE POLICY no_direct_access ON analytics.%I FOR SELECT USING (false)', partition_name);
    EXECUTE format('COMMENT ON POLICY no_direct_access ON analytics.%I IS %L', partition_name,
                   'events are read through analytics.user_activity, whose policies apply');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_standalone_partition(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_standalone_partition(name) IS
    'makes a table like user_activity with its own key, BRIN index and deny policy, without grants and outside the extension';

CREATE FUNCTION analytics_internal.create_default_partition() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM analytics_internal.create_standalone_partition('user_activity_default');
    COMMENT ON TABLE analytics.user_activity_default IS
        'events of days without a partition; analytics.create_partitions moves them';
    ALTER TABLE analytics.user_activity ATTACH PARTITION analytics.user_activity_default DEFAULT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_default_partition() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_default_partition() IS
    'makes the partition that takes events of days without one; does nothing when it exists';

-- The caller holds a lock on user_activity that excludes other callers.
CREATE FUNCTION analytics_internal.create_day_partition(partition_name name, partition_day date) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET row_security = off -- rows that move are not late
AS $$
DECLARE
    day_start timestamptz := partition_day;
    day_end timestamptz := partition_day + 1;
BEGIN
    PERFORM analytics_internal.create_standalone_partition(partition_name);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', partition_name,
                   format('events of %s (UTC)', to_char(partition_day, 'YYYY-MM-DD')));

    IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
        LOCK TABLE analytics.user_activity_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM analytics.user_activity_default WHERE created_at >= $1 AND created_at < $2 RETURNING *) INSERT INTO analytics.%I SELECT * FROM moved',
                       partition_name) USING day_start, day_end;
    END IF;
    EXECUTE format('ALTER TABLE analytics.user_activity ATTACH PARTITION analytics.%I FOR VALUES FROM (%L) TO (%L)',
                   partition_name, day_start, day_end);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_day_partition(name, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_day_partition(name, date) IS
    'makes the partition of one UTC day and moves the day''s rows out of the default partition; the caller holds the lock';

CREATE FUNCTION analytics_internal.has_partition(partition_name name) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition_oid regclass := to_regclass(format('analytics.%I', partition_name));
BEGIN
    IF partition_oid IS NULL THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_inherits
                   WHERE inhrelid = partition_oid AND inhparent = 'analytics.user_activity'::regclass) THEN
        RAISE EXCEPTION 'relation "analytics.%" is not a partition of user_activity', partition_name
            USING ERRCODE = 'duplicate_table',
                  HINT = 'Attach it again, or rename or drop it.';
    END IF;
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_partition(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_partition(name) IS
    'true when the partition exists; an error (42P07) when something else has its name';

CREATE FUNCTION analytics_internal.create_partitions(from_date date, to_date date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_days CONSTANT integer := 3700;
    made integer := 0;
    partition_day date;
    partition_name name;
BEGIN
    IF from_date IS NULL OR to_date IS NULL THEN
        RAISE EXCEPTION 'from_date and to_date must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    ELSIF from_date > to_date THEN
        RAISE EXCEPTION 'from_date is after to_date'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('From %s to %s.', to_char(from_date, 'YYYY-MM-DD'), to_char(to_date, 'YYYY-MM-DD'));
    ELSIF from_date < DATE '1970-01-01' OR to_date > DATE '9999-12-31' THEN
        RAISE EXCEPTION 'date out of range for a partition'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Partitions are for days from 1970-01-01 to 9999-12-31.';
    ELSIF to_date - from_date >= most_days THEN
        RAISE EXCEPTION 'too many partitions'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('%s days were asked for, a call makes at most %s.', to_date - from_date + 1, most_days),
                  HINT = 'Make them in several calls.';
    END IF;

    FOR partition_day IN SELECT from_date + i FROM generate_series(0, to_date - from_date) AS i LOOP
        partition_name := 'user_activity_' || to_char(partition_day, 'YYYYMMDD');
        CONTINUE WHEN analytics_internal.has_partition(partition_name);
        -- Excludes other callers, and no reader or writer; then look again, as the lock may have waited.
        LOCK TABLE ONLY analytics.user_activity IN SHARE UPDATE EXCLUSIVE MODE;
        CONTINUE WHEN analytics_internal.has_partition(partition_name);
        PERFORM analytics_internal.create_day_partition(partition_name, partition_day);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_partitions(date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_partitions(date, date) IS
    'analytics.create_partitions with the rights of the owner';

CREATE FUNCTION analytics.create_partitions(from_date date, to_date date) RETURNS integer
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.create_partitions(from_date, to_date)';
REVOKE EXECUTE ON FUNCTION analytics.create_partitions(date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.create_partitions(date, date) IS
    'makes the missing partitions of user_activity for the UTC days from_date to to_date (inclusive, 1970-01-01 to 9999-12-31, at most 3,700 days: 22023, 54000) and returns how many it made; rows of those days move out of the default partition in the same transaction. Writers of other days do not wait; a statement that was writing rows of such a day at that moment may fail once (23514) and can be repeated. NULL is an error (22004)';

-- An open day carries only its key and BRIN, because every further index slows each insert; the others are
-- built in bulk when the day is over. At most six in all.
CREATE FUNCTION analytics_internal.index_partition(partition_name name) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    built integer := 0;
    wanted record;
BEGIN
    FOR wanted IN
        SELECT partition_name || '_' || w.suffix AS index_name, w.definition, w.purpose
        FROM (VALUES
            ('metadata_gin', 'USING gin (metadata jsonb_path_ops)',
             'events by what their metadata contain: WHERE metadata @> ''{"agent_id": "..."}''; for the owner and the service role only, as @> is not leakproof and row security keeps tenants'' queries from it'),
            ('failures', '(workspace_id, created_at) WHERE event_type = ''error'' OR (event_type = ''agent_run'' AND metadata ->> ''status'' IN (''failed'', ''failure'', ''error'', ''timeout'', ''timed_out''))',
             'a workspace''s latest errors (WHERE workspace_id = ... AND event_type = ''error'' ORDER BY created_at DESC) and failed runs'),
            ('users', '(workspace_id, user_id, created_at) INCLUDE (event_type, event_name)',
             'funnels and a user''s history from the index alone: SELECT user_id, created_at, event_type, event_name WHERE workspace_id = ... ORDER BY user_id, created_at')
        ) AS w (suffix, definition, purpose)
    LOOP
        CONTINUE WHEN to_regclass(format('analytics.%I', wanted.index_name)) IS NOT NULL;
        EXECUTE format('CREATE INDEX %I ON analytics.%I %s', wanted.index_name, partition_name, wanted.definition);
        EXECUTE format('COMMENT ON INDEX analytics.%I IS %L', wanted.index_name, wanted.purpose);
        built := built + 1;
    END LOOP;
    RETURN built;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.index_partition(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.index_partition(name) IS
    'builds the indexes of a closed day''s partition that it lacks and returns how many';

CREATE FUNCTION analytics_internal.index_closed_partitions() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    built integer := 0;
    partition_name name;
BEGIN
    FOR partition_name IN
        SELECT c.relname
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'analytics.user_activity'::regclass
          AND c.relname ~ '^user_activity_[0-9]{8}$'
          AND c.relname < 'user_activity_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        built := built + analytics_internal.index_partition(partition_name);
    END LOOP;
    RETURN built;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.index_closed_partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.index_closed_partitions() IS
    'analytics.index_closed_partitions with the rights of the owner';

CREATE FUNCTION analytics.index_closed_partitions() RETURNS integer
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.index_closed_partitions()';
REVOKE EXECUTE ON FUNCTION analytics.index_closed_partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics.index_closed_partitions() IS
    'builds the indexes that partitions of past UTC days lack and returns how many it built; late events for a day wait while its indexes are being built';
ALTER TABLE analytics.credit_prices ALTER COLUMN currency SET DEFAULT analytics.setting('currency');

CREATE FUNCTION analytics.credit_price(workspace_id uuid, model text, at timestamptz,
                                       OUT price numeric, OUT currency text)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT p.price, p.currency INTO credit_price.price, credit_price.currency
    FROM analytics.credit_prices AS p
    WHERE p.workspace_id IN (credit_price.workspace_id, '00000000-0000-0000-0000-000000000000')
      AND p.model IN (credit_price.model, '')
      AND p.valid_from <= at
    ORDER BY p.workspace_id <> '00000000-0000-0000-0000-000000000000' DESC, p.model <> '' DESC, p.valid_from DESC
    LIMIT 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.credit_price(uuid, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.credit_price(uuid, text, timestamptz) IS
    'price of a credit and its currency for a workspace and model at an instant; both NULL where no price is known. A NULL workspace or model finds the prices for all';
-- aggregation: from raw events to the rollup tables.

CREATE FUNCTION analytics.activity_rules(details boolean DEFAULT true) RETURNS analytics.activity_rules
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ROW(make_interval(mins => analytics.setting('session_gap_minutes')::integer),
               analytics.setting('bounce_rule'),
               analytics.setting('currency'),
               details,
               ARRAY(SELECT ROW(p.workspace_id, p.model, p.price, p.currency, p.valid_from)::analytics.credit_price_rule
                     FROM analytics.credit_prices AS p))::analytics.activity_rules;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.activity_rules(boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics.activity_rules(boolean) IS
    'rules of activity_summary() as configured now: from analytics.settings and analytics.credit_prices';

-- Dear enough that a plan gives each call a process of its own.
CREATE FUNCTION analytics_internal.collect_activity(
    target_date date, at timestamptz, first_instant timestamptz, last_instant timestamptz,
    shares integer, share integer, passes integer)
RETURNS TABLE (workspace_id uuid, is_final boolean, result analytics.activity_result)
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 1000
AS 'MODULE_PATHNAME', 'shadow_collect_activity';
REVOKE EXECUTE ON FUNCTION analytics_internal.collect_activity(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.collect_activity(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) IS
    'the activity of the workspaces of one share (0 .. shares - 1, by hash; a power of two) on a local day, as of the instant "at", collected in so many passes; first_instant and last_instant: the day in UTC. Called by analytics.aggregate_daily_metrics(), a process for each share';

-- Without JIT: estimates of arrays' elements make small statements look dear, and compiling one takes half a second.
CREATE FUNCTION analytics_internal.aggregate_daily_metrics(
    target_date date, target_workspace_id uuid, is_repair boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS 'MODULE_PATHNAME', 'shadow_aggregate_daily';
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_daily_metrics(date, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_daily_metrics(date, uuid, boolean) IS
    'does the work of analytics.aggregate_daily_metrics() as the owner, without row security; is_repair: of workspaces whose earlier days are dirty, counts of users of later days are left to analytics_internal.update_stale_totals()';

CREATE FUNCTION analytics.aggregate_daily_metrics(target_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    written := analytics_internal.aggregate_daily_metrics(target_date, target_workspace_id);
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up(target_date, true);
        PERFORM analytics_internal.keep_partitions_ahead();
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) IS
    'computes daily_metrics, agent_performance, daily_event_counts and daily_errors of a local day for every workspace, or for one, from the raw events; replaces what was there and returns the number of workspaces written. A day that is not over is provisional (is_final = false); one later than the workspace''s today is an error (22023). NULL date: error (22004). For every workspace it also does what is due of maintenance: it makes partitions ahead and finishes provisional and changed days and hours, for at most the setting catch_up_seconds; so a daily call keeps the rollups right';

CREATE FUNCTION analytics_internal.aggregate_hourly_metrics(target_hour timestamptz, target_workspace_id uuid)
RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS 'MODULE_PATHNAME', 'shadow_aggregate_hourly';
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_hourly_metrics(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_hourly_metrics(timestamptz, uuid) IS
    'does the work of analytics.aggregate_hourly_metrics() as the owner, without row security';

CREATE FUNCTION analytics.aggregate_hourly_metrics(target_hour timestamptz, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    written := analytics_internal.aggregate_hourly_metrics(target_hour, target_workspace_id);
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up((target_hour AT TIME ZONE 'UTC')::date, false);
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) IS
    'computes hourly_metrics of the UTC hour that contains the instant, for every workspace or for one; replaces what was there and returns the number of workspaces written. A running hour is provisional; one that has not begun is an error (22023). NULL: error (22004). For every workspace it also finishes provisional and changed days and hours, for at most the setting catch_up_seconds';
-- Events through functions, with the caller's rights.

CREATE FUNCTION analytics.track(
    event_type text,
    metadata jsonb DEFAULT '{}',
    workspace_id uuid DEFAULT NULL,
    user_id uuid DEFAULT NULL,
    event_name text DEFAULT NULL,
    page_path text DEFAULT NULL,
    session_id uuid DEFAULT NULL,
    ip_address inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    referrer text DEFAULT NULL,
    created_at timestamptz DEFAULT NULL,
    id uuid DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    user_id := COALESCE(user_id, analytics.current_user_id());
    IF user_id IS NULL THEN
        RAISE EXCEPTION 'the event has no user'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'Pass user_id, or call with the claims of a signed-in user.';
    END IF;
    id := COALESCE(id, gen_random_uuid());
    INSERT INTO analytics.user_activity AS a
        (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
         metadata, created_at)
    VALUES (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
            metadata, COALESCE(created_at, now()))
    ON CONFLICT DO NOTHING;
    RETURN id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid) IS
    'stores an event with the caller''s rights and returns its id. user_id NULL: the current user of the request, an error without one (22004); workspace_id NULL: none; created_at NULL: now. A retry with the same workspace_id, created_at and id stores nothing. What the table refuses is an error (22023, 54000)';

-- One event of a batch; a refusal is undone alone. Errors that are not the event's fault end the call.
CREATE FUNCTION analytics.try_track(event jsonb, OUT stored boolean, OUT error_code text, OUT reason text)
RETURNS record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    detail text;
    stored_rows bigint;
BEGIN
    IF jsonb_typeof(event) <> 'object' THEN
        error_code := '22023';
        reason := 'an event must be a JSON object';
        RETURN;
    END IF;
    INSERT INTO analytics.user_activity
        (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
         metadata, created_at)
    SELECT COALESCE(e.id, gen_random_uuid()), e.workspace_id, COALESCE(e.user_id, analytics.current_user_id()),
           e.event_type, e.event_name, e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer,
           e.metadata, COALESCE(e.created_at, now())
    FROM jsonb_to_record(event) AS e
        (id uuid, workspace_id uuid, user_id uuid, event_type text, event_name text, page_path text, session_id uuid,
         ip_address inet, user_agent text, referrer text, metadata jsonb, created_at timestamptz)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS stored_rows = ROW_COUNT;
    stored := stored_rows = 1;
EXCEPTION
    WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR insufficient_privilege THEN
        GET STACKED DIAGNOSTICS error_code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        IF error_code NOT LIKE '23%' AND detail <> '' THEN -- those would repeat the whole row
            reason := reason || ': ' || detail;
        END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.try_track(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics.try_track(jsonb) IS
    'stores one event of a batch: stored is true, false for a duplicate, NULL when it was refused; then error_code (SQLSTATE) and reason say why';

CREATE FUNCTION analytics.track_batch(events jsonb, OUT accepted bigint, OUT duplicates bigint, OUT rejected jsonb)
RETURNS SETOF record
LANGUAGE plpgsql ROWS 1
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    most_events CONSTANT integer := 10000;
BEGIN
    IF events IS NULL OR jsonb_typeof(events) <> 'array' THEN
        RAISE EXCEPTION 'events must be a JSON array'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass [{"event_type": "page_view", "user_id": ..., "metadata": {...}}, ...].';
    ELSIF jsonb_array_length(events) > most_events THEN
        RAISE EXCEPTION 'too many events in a batch'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s events, the limit is %s.', jsonb_array_length(events), most_events),
                  HINT = 'Send them in several batches.';
    END IF;

    BEGIN
        INSERT INTO analytics.user_activity
            (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent,
             referrer, metadata, created_at)
        SELECT COALESCE(e.id, gen_random_uuid()), e.workspace_id, COALESCE(e.user_id, analytics.current_user_id()),
               e.event_type, e.event_name, e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer,
               e.metadata, COALESCE(e.created_at, now())
        FROM jsonb_to_recordset(events) AS e
            (id uuid, workspace_id uuid, user_id uuid, event_type text, event_name text, page_path text,
             session_id uuid, ip_address inet, user_agent text, referrer text, metadata jsonb, created_at timestamptz)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS accepted = ROW_COUNT;
        duplicates := jsonb_array_length(events) - accepted;
        rejected := '[]';
    EXCEPTION
        -- Something in the batch is wrong: one by one, so that only that is refused.
        WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR insufficient_privilege THEN
            SELECT count(*) FILTER (WHERE t.stored), count(*) FILTER (WHERE NOT t.stored),
                   COALESCE(jsonb_agg(jsonb_build_object('index', e.position - 1, 'sqlstate', t.error_code, 'reason', t.reason)
                                      ORDER BY e.position) FILTER (WHERE t.stored IS NULL), '[]')
            INTO accepted, duplicates, rejected
            FROM jsonb_array_elements(events) WITH ORDINALITY AS e (event, position),
                 LATERAL analytics.try_track(e.event) AS t;
    END;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track_batch(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track_batch(jsonb) IS
    'stores a JSON array of at most 10,000 events (54000) with the caller''s rights; the keys are the arguments of analytics.track, others are ignored, times without a zone are UTC. Returns how many were stored, how many were there already (same workspace_id, created_at and id), and the refused ones as [{index, sqlstate, reason}], index counting from 0; one bad event refuses only itself. NULL and what is no array are an error (22023)';
-- users: reading the sets of active users.

CREATE FUNCTION analytics_internal.number_users(positions analytics.user_set, user_numbers bigint[])
RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_number_users';
REVOKE EXECUTE ON FUNCTION analytics_internal.number_users(analytics.user_set, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.number_users(analytics.user_set, bigint[]) IS
    'the user numbers at the given positions (from 0) of an array';

CREATE FUNCTION analytics_internal.number_users(positions analytics.user_set[], user_numbers bigint[])
RETURNS analytics.user_set[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_number_users_array';
REVOKE EXECUTE ON FUNCTION analytics_internal.number_users(analytics.user_set[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.number_users(analytics.user_set[], bigint[]) IS
    'number_users() of each element';

CREATE FUNCTION analytics.trailing_users(workspace_id uuid, start_date date, end_date date)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_trailing_users';
REVOKE EXECUTE ON FUNCTION analytics.trailing_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.trailing_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days ending with each day from start_date to end_date, in one pass over the sets of analytics.daily_users that the caller may see; get_active_users() without its bounds. A NULL gives no row, an infinite date is an error (22023)';

CREATE FUNCTION analytics.get_active_users(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint,
               stickiness numeric, is_final boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_active_users.workspace_id);
    first_day date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d WHERE d.workspace_id = get_active_users.workspace_id);
    last_day date := (SELECT max(d.metric_date) FROM analytics.daily_users AS d WHERE d.workspace_id = get_active_users.workspace_id);
    provisional date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d
                         WHERE d.workspace_id = get_active_users.workspace_id AND NOT d.is_final);
BEGIN
    RETURN QUERY
    SELECT t.activity_date, t.daily_active_users, t.weekly_active_users, t.monthly_active_users,
           (100.0 * t.daily_active_users / nullif(t.monthly_active_users, 0))::numeric(5, 2),
           t.activity_date < least(today, provisional)
    FROM analytics.trailing_users(get_active_users.workspace_id,
             greatest(coalesce(start_date, today - 30), first_day),
             least(coalesce(end_date, today - 1), greatest(last_day, today - 1))) AS t
    WHERE first_day IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_active_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_active_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days that end with each date (trailing, so also on dates without an event), stickiness = 100 * daily / monthly; from the workspace''s first event to its last complete day, at the end a running day that was aggregated (is_final = false). Dates inclusive, default: the last 30 complete days. NULL or a foreign workspace: no row';

CREATE FUNCTION analytics.user_lifecycle(workspace_id uuid, period text, start_date date, end_date date)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_lifecycle';
REVOKE EXECUTE ON FUNCTION analytics.user_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.user_lifecycle(uuid, text, date, date) IS
    'get_lifecycle() without its bounds: every period that start_date to end_date touches. A NULL gives no row; an unknown period is an error (22023)';

CREATE FUNCTION analytics.get_lifecycle(
    workspace_id uuid, period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_lifecycle.workspace_id);
    first_day date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d WHERE d.workspace_id = get_lifecycle.workspace_id);
BEGIN
    RETURN QUERY
    SELECT l.* FROM analytics.user_lifecycle(get_lifecycle.workspace_id, period,
             greatest(coalesce(start_date, today - 30), first_day), least(coalesce(end_date, today - 1), today)) AS l
    WHERE first_day IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) IS
    'per daily, weekly (ISO) or monthly period that start_date to end_date touches: users first seen in it (new), active in it and the one before (returning), active in it, not in the one before and first seen earlier (resurrecting), active in the one before only (dormant). Active = new + returning + resurrecting. Default: the periods of the last 30 complete days. NULL or a foreign workspace: no row; an unknown period is an error (22023)';

CREATE FUNCTION analytics.get_feature_usage(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (event_type text, event_name text, events bigint, distinct_users bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_feature_usage.workspace_id);
BEGIN
    RETURN QUERY
    SELECT c.event_type, c.event_name, sum(c.events)::bigint,
           analytics.user_set_cardinality(analytics.user_set_union_agg(c.users))
    FROM analytics.daily_event_counts AS c
    WHERE c.workspace_id = get_feature_usage.workspace_id
      AND c.metric_date BETWEEN coalesce(start_date, today - 30) AND coalesce(end_date, today - 1)
    GROUP BY c.event_type, c.event_name
    ORDER BY sum(c.events) DESC, c.event_type, c.event_name;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_feature_usage(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_feature_usage(uuid, date, date) IS
    'events and distinct users per event type and name over the dates (inclusive, default: the last 30 complete days), by events descending; event_name is empty where it was missing, (other) beyond the 1,000 most frequent names of a day. NULL or a foreign workspace: no row';
-- cohorts: from the daily sets to analytics.user_cohorts.

CREATE FUNCTION analytics.user_retention(
    workspace_id uuid, period text, start_date date, end_date date, today date)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint, remaining_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_retention';
REVOKE EXECUTE ON FUNCTION analytics.user_retention(uuid, text, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.user_retention(uuid, text, date, date, date) IS
    'of each cohort first seen in a period that start_date to end_date touches, for each period that is over today: users active in it (retained) and in it or later (remaining). One pass over the sets of analytics.daily_users that the caller may see. A NULL gives no row; an unknown period or an infinite date is an error (22023)';

CREATE FUNCTION analytics.cohort_limit(period text) RETURNS integer
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_cohort_limit';
REVOKE EXECUTE ON FUNCTION analytics.cohort_limit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.cohort_limit(text) IS
    'number of the last period for which retention of daily, weekly or monthly cohorts is reported: the setting cohort_max_days, cohort_max_weeks or cohort_max_months. NULL gives NULL; an unknown period is an error (22023)';

CREATE FUNCTION analytics.get_retention_matrix(
    workspace_id uuid, period text DEFAULT 'weekly', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint,
               retention_rate numeric, unbounded_rate numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_retention_matrix.workspace_id);
    first_day date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d
                       WHERE d.workspace_id = get_retention_matrix.workspace_id);
BEGIN
    RETURN QUERY
    SELECT r.cohort_date, r.initial_users, r.period_number, r.retained_users,
           (100.0 * r.retained_users / r.initial_users)::numeric(5, 2),
           (100.0 * r.remaining_users / r.initial_users)::numeric(5, 2)
    FROM analytics.user_retention(get_retention_matrix.workspace_id, period,
             greatest(coalesce(start_date, today - 90), first_day), least(coalesce(end_date, today - 1), today), today) AS r
    WHERE first_day IS NOT NULL AND r.period_number <= analytics.cohort_limit(period);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) IS
    'retention of the cohorts first seen in the daily, weekly or monthly periods that the dates touch (default: the last 90 days): per period that is over, users active in it, in percent, and the percentage active in it or later, up to the settings cohort_max_days, _weeks, _months. NULL or a foreign workspace: no row; an unknown period is an error (22023)';

CREATE FUNCTION analytics_internal.cohort_unit(period text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE period WHEN 'daily' THEN 'day' WHEN 'weekly' THEN 'week' WHEN 'monthly' THEN 'month' END;
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_unit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_unit(text) IS
    'day, week or month for daily, weekly or monthly; NULL for anything else';

-- What a cohort is computed from, as a checksum: the days from the cohort's first to its last reported period,
-- as far as their periods are over, and the settings. Rows that are written, changed or removed change it.
CREATE FUNCTION analytics_internal.cohort_sources(
    period text, start_date date, end_date date, target_workspace_id uuid,
    OUT workspace_id uuid, OUT cohort_date date, OUT has_users boolean, OUT counted_until date, OUT state numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    unit text := analytics_internal.cohort_unit(period);
    span interval := (analytics.cohort_limit(period) || ' ' || unit)::interval;
    settings bigint := (SELECT hashtextextended(string_agg(analytics.setting(s.name), ' ' ORDER BY s.place), 0)
                        FROM unnest(ARRAY['cohort_grace_' || unit || 's', 'cohort_max_' || unit || 's',
                                          'discount_rate_annual', 'ltv_horizon_periods']) WITH ORDINALITY AS s (name, place));
BEGIN
    RETURN QUERY
    WITH workspace AS MATERIALIZED (
        SELECT w.workspace_id, date_trunc(unit, analytics.workspace_today(w.workspace_id)::timestamp)::date AS running
        FROM (SELECT DISTINCT d.workspace_id FROM analytics.daily_users AS d
              WHERE target_workspace_id IS NULL OR d.workspace_id = target_workspace_id) AS w
    ), day AS (
        SELECT d.workspace_id, date_trunc(unit, d.metric_date::timestamp)::date AS cohort_date, w.running,
               coalesce(m.new_users > 0, NOT analytics.user_set_is_empty(d.new_users)) AS has_users,
               timestamp_hash_extended(d.updated_at AT TIME ZONE 'UTC',
                   timestamp_hash_extended(coalesce(m.updated_at, '-infinity') AT TIME ZONE 'UTC', d.metric_date - date '2000-01-01')) AS state
        FROM workspace AS w
        JOIN analytics.daily_users AS d ON d.workspace_id = w.workspace_id AND d.metric_date < w.running
        LEFT JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.metric_date
        WHERE d.metric_date >= start_date AND d.metric_date < end_date + span
    ), summed AS (
        SELECT d.workspace_id, d.cohort_date, d.running, bool_or(d.has_users) AS has_users, sum(d.state) AS state
        FROM day AS d GROUP BY d.workspace_id, d.cohort_date, d.running
    )
    SELECT s.workspace_id, s.cohort_date, s.has_users, s.running,
           settings + sum(s.state) OVER (PARTITION BY s.workspace_id ORDER BY s.cohort_date
                                         RANGE BETWEEN CURRENT ROW AND span FOLLOWING)
    FROM summed AS s;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_sources(text, date, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_sources(text, date, date, uuid) IS
    'the periods from start_date to before end_date, both the first days of periods, that are over and in which a workspace (NULL: each) was active: whether users were first seen in it, the start of the running period, and the state of what a cohort is computed from';

-- Cohorts of several periods in one pass over a workspace's days.
CREATE FUNCTION analytics_internal.aggregate_cohorts(period text, cohort_dates date[], target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    unit text := analytics_internal.cohort_unit(period);
    step interval := ('1 ' || unit)::interval;
    first_day date := (SELECT min(c.day) FROM unnest(cohort_dates) AS c (day));
    next_day date := ((SELECT max(c.day) FROM unnest(cohort_dates) AS c (day)) + step)::date;
    grace integer := analytics.setting('cohort_grace_' || unit || 's')::integer;
    longest integer := analytics.cohort_limit(period);
    horizon integer := analytics.setting('ltv_horizon_periods')::integer;
    discount_rate double precision := power(1 + analytics.setting('discount_rate_annual')::double precision,
                           CASE unit WHEN 'day' THEN 1 / 365.25 WHEN 'week' THEN 7 / 365.25 ELSE 1 / 12.0 END) - 1;
    written bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics.user_cohorts', 0));

    WITH source AS MATERIALIZED (
        SELECT s.* FROM analytics_internal.cohort_sources(period, first_day, next_day, target_workspace_id) AS s
        WHERE s.has_users AND s.cohort_date = ANY (cohort_dates)
    ), periods AS MATERIALIZED (
        SELECT w.workspace_id, r.*, max(r.period_number) OVER (PARTITION BY w.workspace_id, r.cohort_date) AS last_number
        FROM (SELECT DISTINCT s.workspace_id FROM source AS s) AS w,
             LATERAL analytics.user_retention(w.workspace_id, period, first_day, next_day - 1, analytics.workspace_today(w.workspace_id)) AS r
        WHERE r.cohort_date = ANY (cohort_dates)
    ), retention AS (
        SELECT p.workspace_id, p.cohort_date, p.initial_users, p.last_number,
               jsonb_object_agg(unit || '_' || p.period_number, round(100.0 * p.retained_users / p.initial_users, 2))
                   FILTER (WHERE p.period_number <= longest) AS retention_data,
               jsonb_object_agg(unit || '_' || p.period_number, round(100.0 * p.remaining_users / p.initial_users, 2))
                   FILTER (WHERE p.period_number <= longest) AS retention_unbounded,
               round(100 - 100.0 * max(p.remaining_users) FILTER (WHERE p.period_number = p.last_number - grace
                   AND p.last_number > grace) / p.initial_users, 2) AS churn_rate,
               array_agg(p.remaining_users ORDER BY p.period_number)
                   FILTER (WHERE p.period_number <= p.last_number - grace) AS survivors,
               sum(p.remaining_users) FILTER (WHERE p.period_number <= p.last_number - grace) AS user_periods
        FROM periods AS p GROUP BY p.workspace_id, p.cohort_date, p.initial_users, p.last_number
    ), member AS (
        SELECT s.workspace_id, s.cohort_date, e.user_number
        FROM source AS s
        JOIN analytics.daily_users AS d ON d.workspace_id = s.workspace_id AND d.metric_date >= s.cohort_date
            AND d.metric_date < (s.cohort_date + step)::date
        CROSS JOIN LATERAL analytics.user_set_elements(d.new_users) AS e (user_number)
        WHERE EXISTS (SELECT FROM analytics.daily_user_revenue AS r WHERE r.workspace_id = s.workspace_id)
    ), money AS (
        SELECT t.workspace_id, t.cohort_date, sum(r.revenue) AS total,
               sum(r.revenue) FILTER (WHERE r.metric_date < (t.cohort_date + (t.last_number - grace + 1) * step)::date) AS settled
        FROM retention AS t
        JOIN member AS m USING (workspace_id, cohort_date)
        JOIN analytics.daily_user_revenue AS r USING (workspace_id, user_number)
        GROUP BY t.workspace_id, t.cohort_date
    ), estimate AS (
        SELECT t.*, s.counted_until, s.state, coalesce(m.total, 0) AS revenue, m.settled, f.alpha, f.beta,
               CASE WHEN t.last_number <= grace THEN 'the cohort is not older than the grace window'
                    WHEN f.reason IS NOT NULL THEN f.reason
                    WHEN m.settled IS NULL THEN 'no revenue' END AS reason
        FROM retention AS t JOIN source AS s USING (workspace_id, cohort_date)
        LEFT JOIN money AS m USING (workspace_id, cohort_date)
        CROSS JOIN LATERAL analytics.fit_sbg(t.survivors) AS f
    ), upserted AS (
        INSERT INTO analytics.user_cohorts AS u (workspace_id, cohort_period, cohort_date, initial_users, retention_data,
            retention_unbounded, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final, counted_until, source_state)
        SELECT e.workspace_id, period, e.cohort_date, e.initial_users, e.retention_data, e.retention_unbounded, e.churn_rate,
               round(e.revenue / e.initial_users, 2),
               CASE WHEN e.reason IS NULL THEN round(e.settled / e.user_periods
                   * analytics.sbg_lifetime(e.alpha, e.beta, discount_rate, horizon)::numeric, 2) END,
               e.reason, e.last_number >= longest, e.counted_until, e.state
        FROM estimate AS e ORDER BY e.workspace_id, e.cohort_date
        ON CONFLICT (workspace_id, cohort_period, cohort_date) DO UPDATE
        SET (initial_users, retention_data, retention_unbounded, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final,
             counted_until, source_state, updated_at)
          = ROW(EXCLUDED.initial_users, EXCLUDED.retention_data, EXCLUDED.retention_unbounded, EXCLUDED.churn_rate,
                EXCLUDED.avg_revenue_per_user, EXCLUDED.ltv_estimate, EXCLUDED.ltv_reason, EXCLUDED.is_final,
                EXCLUDED.counted_until, EXCLUDED.source_state, EXCLUDED.updated_at)
        RETURNING u.workspace_id
    ), vanished AS (
        DELETE FROM analytics.user_cohorts AS u
        WHERE u.cohort_period = period AND u.cohort_date = ANY (cohort_dates)
          AND (target_workspace_id IS NULL OR u.workspace_id = target_workspace_id)
          AND NOT EXISTS (SELECT FROM retention AS t WHERE t.workspace_id = u.workspace_id AND t.cohort_date = u.cohort_date)
    )
    SELECT count(*) INTO written FROM upserted;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_cohorts(text, date[], uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_cohorts(text, date[], uuid) IS
    'computes user_cohorts of the periods with the given first days, for a workspace or, for NULL, for each; returns the rows written';

CREATE FUNCTION analytics_internal.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    IF analytics_internal.cohort_unit(period) IS NULL OR cohort_date IS NULL OR NOT isfinite(cohort_date) THEN
        RAISE EXCEPTION 'invalid cohort'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The period is %s, the date %s.', coalesce(quote_literal(period), 'null'),
                                  coalesce(cohort_date::text, 'null')),
                  HINT = 'Give daily, weekly or monthly, and a day of the cohort''s period.';
    END IF;
    RETURN analytics_internal.aggregate_cohorts(
        period, ARRAY[date_trunc(analytics_internal.cohort_unit(period), cohort_date::timestamp)::date], target_workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) IS
    'does the work of analytics.aggregate_user_cohorts() as the owner, without row security';

CREATE FUNCTION analytics_internal.due_cohorts(OUT workspace_id uuid, OUT period text, OUT cohort_dates date[])
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH source AS (
    SELECT p.period, s.*
    FROM (VALUES ('daily'), ('weekly'), ('monthly')) AS p (period)
    CROSS JOIN LATERAL analytics_internal.cohort_sources(p.period, '-infinity', 'infinity', NULL) AS s
)
SELECT workspace_id, period, array_agg(cohort_date ORDER BY cohort_date)
FROM source AS s
FULL JOIN (SELECT u.workspace_id, u.cohort_period AS period, u.cohort_date, u.source_state, u.is_final,
                  u.counted_until AS counted_before
           FROM analytics.user_cohorts AS u) AS c USING (workspace_id, period, cohort_date)
WHERE CASE WHEN NOT coalesce(s.has_users, false) THEN c.counted_before IS NOT NULL
           ELSE c.counted_before IS NULL OR c.source_state <> s.state OR (NOT c.is_final AND c.counted_before < s.counted_until) END
GROUP BY workspace_id, period
ORDER BY workspace_id, period
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_cohorts() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_cohorts() IS
    'cohorts whose row is missing, lacks a period that is over by now, was computed from days or settings that have changed, or has lost its users';

-- One workspace's failure does not stop the others; what failed stays due.
CREATE FUNCTION analytics_internal.aggregate_due_cohorts(
    budget interval DEFAULT '10 seconds', OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + budget;
    due record;
BEGIN
    rows := 0;
    total := 0;
    FOR due IN SELECT d.* FROM analytics_internal.due_cohorts() AS d LOOP
        IF clock_timestamp() >= deadline AND rows > 0 THEN
            total := total + 1;
            CONTINUE;
        END IF;
        BEGIN
            PERFORM analytics_internal.aggregate_cohorts(due.period, due.cohort_dates, due.workspace_id);
            rows := rows + cardinality(due.cohort_dates);
        EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
            RAISE WARNING 'the % cohorts of workspace % could not be computed: %', due.period, due.workspace_id, SQLERRM;
        END;
    END LOOP;
    again := total > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_due_cohorts(interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_due_cohorts(interval) IS
    'computes the rows of user_cohorts that are due, workspace by workspace, until none is left or the budget is used up; rows: how many, total: workspaces and periods left, again: whether there are any';

CREATE FUNCTION analytics.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT analytics_internal.aggregate_user_cohorts(period, cohort_date, target_workspace_id) $$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) IS
    'computes user_cohorts of the daily, weekly or monthly period that holds cohort_date, for every workspace or for one, from the daily sets and never from raw events; replaces what was there and returns the number of workspaces written. A period that is not over has no row. Another period or no date is an error (22023)';
-- Identity of the caller. Used in the policies (88-policies.sql), so the functions are C and cached.

CREATE FUNCTION analytics.current_user_id() RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_current_user_id';
REVOKE EXECUTE ON FUNCTION analytics.current_user_id() FROM PUBLIC;
COMMENT ON FUNCTION analytics.current_user_id() IS
    'the user that the claims name: request.jwt.claim.sub, or the key sub of request.jwt.claims. NULL (nobody) when neither is set, what is set is not a uuid or not JSON, or both are set and do not agree; never an error';

CREATE FUNCTION analytics.workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_ids() IS
    'workspaces of the current user, sorted, without the nil uuid; empty for nobody and when analytics.membership names nothing readable. Reads the membership relation once per statement';

CREATE FUNCTION analytics.managed_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_managed_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.managed_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.managed_workspace_ids() IS
    'those of analytics.workspace_ids() in which the current user''s role is one of analytics.membership.manager_roles; all of them where members have no roles';

CREATE FUNCTION analytics.raw_event_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_raw_event_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.raw_event_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.raw_event_workspace_ids() IS
    'workspaces whose raw events the current user may read beside his own: none, by role or all he is a member of (setting raw_events_visible_to)';

CREATE FUNCTION analytics.get_user_workspaces() RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'SELECT unnest(analytics.workspace_ids())';
REVOKE EXECUTE ON FUNCTION analytics.get_user_workspaces() FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_user_workspaces() IS
    'workspaces of the current user, one a row; the same as analytics.workspace_ids()';

CREATE FUNCTION analytics.earliest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_earliest_event_time';
REVOKE EXECUTE ON FUNCTION analytics.earliest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics.earliest_event_time() IS
    'oldest created_at that a role under row security may insert now (setting event_max_age_days, before the start of the statement)';

CREATE FUNCTION analytics.latest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_latest_event_time';
REVOKE EXECUTE ON FUNCTION analytics.latest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics.latest_event_time() IS
    'latest created_at that a role under row security may insert now (setting event_max_future_minutes, after the start of the statement)';

CREATE FUNCTION analytics_internal.membership_problem() RETURNS text
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_membership_problem';
REVOKE EXECUTE ON FUNCTION analytics_internal.membership_problem() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.membership_problem() IS
    'what is wrong with the membership relation, so that nobody has workspaces; NULL if nothing is';

-- Roles. Whatever a role of an audience may do stands in analytics_internal.role_grants(), one line per
-- object; a test fails when an object of the schema is missing there.

CREATE FUNCTION analytics_internal.role_grants(
    OUT audience text, OUT privileges text, OUT object_type text, OUT object text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
    -- Members: what row security leaves them of the tables, their own events, functions that read.
    ('member', 'USAGE', 'SCHEMA', 'analytics'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.current_user_id()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.managed_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.raw_event_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_workspaces()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.earliest_event_time()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.latest_event_time()'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_activity'),
    ('member', 'INSERT (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)',
        'TABLE', 'analytics.user_activity'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_day_bounds(uuid, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('member', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_user_revenue'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.trailing_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_retention(uuid, text, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.cohort_limit(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.credit_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.audit_log'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_user(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_self()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_self()'), -- no use without the schema
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_retention'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.credit_price(uuid, text, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track_batch(jsonb)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.try_track(jsonb)'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('member', 'INSERT (workspace_id, id, name, description, is_active, scope, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'UPDATE (name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('member', 'SELECT, UPDATE (acknowledged_by, acknowledged_at, notes, snoozed_until)', 'TABLE', 'analytics.alert_history'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_alerts'),
    ('member', 'SELECT (workspace_id, name, channel, is_verified, created_at, updated_at), INSERT (workspace_id, name, channel, address, signing_secret), UPDATE (channel, address, signing_secret, verification_hash), DELETE',
        'TABLE', 'analytics.notification_destinations'),
    ('member', 'SELECT (workspace_id, id, kind, alert_id, alert_rule_id, destination_name, channel, status, attempts, next_attempt_at, last_error, response_status, latency_ms, created_at, delivered_at)',
        'TABLE', 'analytics.notification_outbox'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.acknowledge_alert(uuid, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.unacknowledge_alert(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.snooze_alert(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.set_notification_destination(uuid, text, text, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.verify_notification_destination(uuid, text, text)'),
    ('member', 'SELECT', 'TABLE', 'analytics.notification_destination_list'),

    -- The service role (BYPASSRLS), beside what members may: changes every tenant table, configures nothing.
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_user(uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.setting(text)'),
    ('service', 'SELECT', 'TABLE', 'analytics.setting_values'),
    ('service', 'SELECT', 'TABLE', 'analytics.settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_activity'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.hourly_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agent_performance'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_event_usage'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_error_types'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_user_revenue'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_cohorts'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.credit_prices'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_runs'),
    ('service', 'SELECT', 'TABLE', 'analytics.watermark'),
    ('service', 'SELECT', 'TABLE', 'analytics.dirty_hours'),
    ('service', 'SELECT', 'TABLE', 'analytics.failed_days'),
    ('service', 'SELECT', 'TABLE', 'analytics.table_sizes'),
    ('service', 'SELECT', 'TABLE', 'analytics.index_usage'),
    ('service', 'SELECT', 'TABLE', 'analytics.slow_queries'),
    ('service', 'SELECT', 'TABLE', 'analytics.freshness'),
    ('service', 'SELECT', 'TABLE', 'analytics.data_quality'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_progress'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.read_slow_queries()'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policies'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policy_values'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_retention'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.activity_rules(boolean)'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_history'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.notification_destinations'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.test_alert_rule(uuid, timestamptz)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.test_alert_rule(uuid, timestamptz)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.claim_notifications(text, integer, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval)'),

    -- Maintenance: the service role and whoever analytics.grant_operator() names. A function of the schema
    -- analytics that calls one of analytics_internal needs both.
    ('operator', 'USAGE', 'SCHEMA', 'analytics'),
    ('operator', 'USAGE', 'SCHEMA', 'analytics_internal'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.index_closed_partitions()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.index_closed_partitions()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_daily_metrics(date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_daily_metrics(date, uuid, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.evaluate_alert_rules()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.evaluate_alert_rules(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.catch_up(date, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keep_partitions_ahead()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.due_steps()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.begin_step(text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.run_step(text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.end_step(text, timestamptz, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.backfill_day(date, timestamptz, integer)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.resume_backfill(text, timestamptz)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.maintain(interval, boolean)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.backfill(date, date)')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.role_grants() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.role_grants() IS
    'what the audiences member, service and operator may do: privileges, object_type, object; the service role belongs to all three';

CREATE FUNCTION analytics_internal.grant_audience(audience text, role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT g.privileges, g.object_type, g.object
        FROM analytics_internal.role_grants() AS g
        WHERE g.audience = grant_audience.audience
    LOOP
        EXECUTE format('GRANT %s ON %s %s TO %I', granted.privileges, granted.object_type, granted.object, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.grant_audience(text, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.grant_audience(text, name) IS
    'grants a role what its audience may do';

CREATE FUNCTION analytics_internal.record_access(role_name name, audience text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.access_roles (role_name, audience)
VALUES (record_access.role_name, record_access.audience)
ON CONFLICT (role_name) DO UPDATE SET audience = EXCLUDED.audience
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.record_access(name, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.record_access(name, text) IS
    'remembers which audience a role belongs to';

CREATE FUNCTION analytics_internal.ensure_role(role_name name, bypasses_row_security boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    existing record;
BEGIN
    IF role_name IS NULL THEN
        RAISE EXCEPTION 'role name must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role_name);
    END IF;

    SELECT r.rolsuper, r.rolbypassrls INTO existing FROM pg_roles AS r WHERE r.rolname = role_name;
    IF bypasses_row_security THEN
        IF NOT (existing.rolsuper OR existing.rolbypassrls) THEN
            EXECUTE format('ALTER ROLE %I BYPASSRLS', role_name);
        END IF;
    ELSIF existing.rolsuper OR existing.rolbypassrls THEN
        RAISE EXCEPTION 'role "%" is not subject to row security', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is a superuser or has BYPASSRLS, so it would see every workspace.',
                  HINT = 'Name another role, or take these attributes from it.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ensure_role(name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ensure_role(name, boolean) IS
    'creates a missing role; sees to it that it bypasses row security, or refuses one that does';

CREATE FUNCTION analytics.setup_roles(
    anonymous_role name DEFAULT 'anon',
    member_role name DEFAULT 'authenticated',
    service_role name DEFAULT 'service_role')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF anonymous_role = member_role OR anonymous_role = service_role OR member_role = service_role THEN
        RAISE EXCEPTION 'the three roles must differ'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The names are "%s", "%s" and "%s".', anonymous_role, member_role, service_role);
    END IF;
    PERFORM analytics_internal.ensure_role(anonymous_role, false);
    PERFORM analytics_internal.ensure_role(member_role, false);
    PERFORM analytics_internal.ensure_role(service_role, true);

    -- Default privileges may have granted something to the roles of the API.
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);
    EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);
    EXECUTE format('REVOKE ALL ON SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);

    PERFORM analytics_internal.grant_audience('member', member_role);
    PERFORM analytics_internal.grant_audience('member', service_role);
    PERFORM analytics_internal.grant_audience('service', service_role);
    PERFORM analytics_internal.grant_audience('operator', service_role);
    PERFORM analytics_internal.record_access(anonymous_role, 'anonymous');
    PERFORM analytics_internal.record_access(member_role, 'member');
    PERFORM analytics_internal.record_access(service_role, 'service');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.setup_roles(name, name, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.setup_roles(name, name, name) IS
    'grants the roles of PostgREST and Supabase what they need: anonymous_role nothing, member_role its workspaces'' rows and its own events, service_role every row (BYPASSRLS) and maintenance. Missing roles are created (NOLOGIN NOINHERIT). For the owner; to be repeated after ALTER EXTENSION UPDATE; grants nothing outside the extension''s schemas. Errors: equal names, an anonymous or member role that row security does not apply to (22023), NULL (22004), lacking rights to create or alter roles (42501)';

CREATE FUNCTION analytics.grant_operator(role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM analytics.access_roles AS a
               WHERE a.role_name = grant_operator.role_name AND a.audience IN ('anonymous', 'member')) THEN
        RAISE EXCEPTION 'role "%" belongs to the API', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Every client of the API would be able to run maintenance.',
                  HINT = 'Create a role of its own for scheduled jobs.';
    END IF;
    PERFORM analytics_internal.grant_audience('operator', role_name);
    INSERT INTO analytics.access_roles (role_name, audience) VALUES (grant_operator.role_name, 'operator')
    ON CONFLICT DO NOTHING;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.grant_operator(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.grant_operator(name) IS
    'lets a role run the maintenance functions (scheduled jobs); it reads no tenant''s rows thereby. For the owner; errors: a role of the API (22023), an unknown role (42704)';

CREATE FUNCTION analytics.revoke_operator(role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted record;
BEGIN
    DELETE FROM analytics.access_roles AS a
    WHERE a.role_name = revoke_operator.role_name AND a.audience = 'operator';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" is not an operator', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.access_roles lists the operators.';
    END IF;
    FOR granted IN
        SELECT g.privileges, g.object_type, g.object
        FROM analytics_internal.role_grants() AS g
        WHERE g.audience = 'operator'
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %I', granted.privileges, granted.object_type, granted.object, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.revoke_operator(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.revoke_operator(name) IS
    'takes back what analytics.grant_operator() granted; for the owner; an error (22023) for a role that is no operator';

CREATE FUNCTION analytics.rotate_ip_secret() RETURNS integer
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.ip_secret AS s DEFAULT VALUES
ON CONFLICT (id) DO UPDATE SET version = s.version + 1, secret = EXCLUDED.secret, created_at = EXCLUDED.created_at
RETURNING version
$$;
REVOKE EXECUTE ON FUNCTION analytics.rotate_ip_secret() FROM PUBLIC;
COMMENT ON FUNCTION analytics.rotate_ip_secret() IS
    'replaces the key of user_activity.ip_hash and returns its version; the old key is gone, so older hashes can no longer be traced to an address. For the owner';
-- The audit log and the audit of the installation's security.

CREATE FUNCTION analytics_internal.mask_secrets(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'object' THEN
        RETURN (SELECT coalesce(jsonb_object_agg(e.key, CASE WHEN e.key ~* 'secret|passw|token|api_?key|authorization'
                                                                  AND e.value <> 'null'
                                                             THEN '"***"' ELSE analytics_internal.mask_secrets(e.value) END), '{}')
                FROM jsonb_each(value) AS e);
    ELSIF jsonb_typeof(value) = 'array' THEN
        RETURN (SELECT coalesce(jsonb_agg(analytics_internal.mask_secrets(e.value) ORDER BY e.ordinality), '[]')
                FROM jsonb_array_elements(value) WITH ORDINALITY AS e);
    ELSIF jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^[A-Za-z][A-Za-z0-9+.-]*://' THEN
        -- The paths of webhooks are their passwords.
        RETURN to_jsonb(regexp_replace(value #>> '{}', '^([^:]+://)(?:[^/@]*@)?([^/?#]*).*$', '\1\2/***'));
    END IF;
    RETURN value;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.mask_secrets(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.mask_secrets(jsonb) IS
    'the value with *** in place of what stands under keys like secret, password, token, api_key and of everything behind the host of a URL';

CREATE FUNCTION analytics_internal.invoking_role() RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN current_setting('role') = 'none' THEN session_user ELSE current_setting('role')::name END $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.invoking_role() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.invoking_role() IS
    'the role of SET ROLE, else that of the session: whose statement it is, also within functions of the owner';

CREATE FUNCTION analytics_internal.is_restore(table_id oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT NOT current_setting('row_security')::boolean
       AND pg_has_role(analytics_internal.invoking_role(), (SELECT c.relowner FROM pg_class AS c WHERE c.oid = table_id), 'USAGE')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_restore(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_restore(oid) IS
    'whether a dump is being restored: its scripts switch row_security off. So may others, but only the owner of the table is believed';

CREATE FUNCTION analytics_internal.write_audit(
    target_workspace_id uuid, action text, object text, old_values jsonb, new_values jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
INSERT INTO analytics.audit_log (workspace_id, database_role, user_id, action, object, old_values, new_values)
VALUES (coalesce(target_workspace_id, '00000000-0000-0000-0000-000000000000'),
        analytics_internal.invoking_role(), analytics.current_user_id(), action, object,
        analytics_internal.mask_secrets(old_values), analytics_internal.mask_secrets(new_values))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.write_audit(uuid, text, text, jsonb, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.write_audit(uuid, text, text, jsonb, jsonb) IS
    'appends an entry to the audit log, with the role and user of the moment';

CREATE FUNCTION analytics_internal.audit_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old_values jsonb;
    new_values jsonb;
BEGIN
    -- A restore brings its own log.
    IF analytics_internal.is_restore(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        old_values := to_jsonb(OLD);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        new_values := to_jsonb(NEW);
    END IF;
    IF old_values IS DISTINCT FROM new_values OR TG_OP = 'TRUNCATE' THEN
        PERFORM analytics_internal.write_audit((coalesce(new_values, old_values) ->> 'workspace_id')::uuid,
                                               lower(TG_OP), TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME, old_values, new_values);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_change() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_change() IS
    'AFTER trigger (row: insert, update, delete; statement: truncate) that logs changes of a table, but not a restore';

-- A table is audited by two triggers; add a line here.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY '{settings,membership,access_roles,ip_secret,workspace_settings,credit_prices,retention_policies,workspace_retention}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON analytics.%I FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change()', table_name);
        EXECUTE format('COMMENT ON TRIGGER audit_change ON analytics.%I IS %L', table_name, 'writes changes to analytics.audit_log');
        EXECUTE format('CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.%I FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change()', table_name);
        EXECUTE format('COMMENT ON TRIGGER audit_truncate ON analytics.%I IS %L', table_name, 'writes truncation to analytics.audit_log');
    END LOOP;
END
$$;

-- One function per question, so that each stays short.

CREATE FUNCTION analytics_internal.audit_tables(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'row security is off', 'error', c.oid::regclass::text,
       format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.oid::regclass)
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
UNION ALL
SELECT 'table has no policy', 'warning', c.oid::regclass::text,
       'Every table of the extension has one: it was dropped, or the table was made by hand'
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid)
UNION ALL
SELECT DISTINCT 'materialized view is granted, but knows no row security', 'error', c.oid::regclass::text,
       format('REVOKE ALL ON %s FROM %s; read it through its view', c.oid::regclass,
              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
FROM pg_class AS c, aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm' AND a.grantee <> c.relowner
UNION ALL
SELECT DISTINCT 'relation is granted to PUBLIC or the anonymous role', 'error', c.oid::regclass::text,
       format('REVOKE ALL ON %s FROM %s', c.oid::regclass, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.role_name) END)
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
LEFT JOIN analytics.access_roles AS r ON r.role_name = pg_get_userbyid(a.grantee) AND r.audience = 'anonymous'
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
  AND (a.grantee = 0 OR r.role_name IS NOT NULL)
UNION ALL
SELECT 'API role may do what row security does not restrict', 'error', c.oid::regclass::text,
       format('REVOKE TRUNCATE, TRIGGER, REFERENCES ON %s FROM PUBLIC, %I', c.oid::regclass, r.role_name)
FROM pg_class AS c
CROSS JOIN analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND r.audience IN ('anonymous', 'member')
  AND has_table_privilege(g.oid, c.oid, 'TRUNCATE, TRIGGER, REFERENCES')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_tables() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_tables() IS
    'findings about tables, partitions and views';

CREATE FUNCTION analytics_internal.audit_functions(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'internal function can be executed by an API role', 'error', p.oid::regprocedure::text,
       format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %I', p.oid::regprocedure, r.role_name)
FROM pg_proc AS p
CROSS JOIN analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE p.pronamespace = 'analytics_internal'::regnamespace AND r.audience IN ('anonymous', 'member')
  AND has_function_privilege(g.oid, p.oid, 'EXECUTE')
  AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                  WHERE e.audience = r.audience AND e.object_type = 'FUNCTION' AND to_regprocedure(e.object) = p.oid)
UNION ALL
SELECT 'search_path of a function is not pinned', 'error', p.oid::regprocedure::text,
       format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', p.oid::regprocedure)
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
  AND p.prokind = 'f' AND p.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search\_path=%')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_functions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_functions() IS
    'findings about functions';

CREATE FUNCTION analytics_internal.audit_membership(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text := analytics_internal.membership_problem();
    relation_name text := coalesce((SELECT m.relation FROM analytics.membership AS m), 'public.workspace_members');
BEGIN
    IF EXISTS (SELECT FROM analytics.membership AS m WHERE m.source = 'claim') THEN
        RETURN;
    END IF;
    IF problem IS NOT NULL THEN
        RETURN QUERY SELECT 'membership relation cannot be read, nobody has workspaces: ' || problem, 'warning', relation_name,
                            'Create it, or name another in analytics.membership';
        RETURN;
    END IF;
    RETURN QUERY
    SELECT DISTINCT 'membership relation can be written by an API role', 'error', relation_name,
           format('REVOKE INSERT, UPDATE, DELETE ON %s FROM PUBLIC, %I, or allow it by no policy', relation_name, r.role_name)
    FROM analytics.access_roles AS r
    JOIN pg_roles AS g ON g.rolname = r.role_name
    JOIN pg_class AS c ON c.oid = to_regclass(relation_name)
    CROSS JOIN (VALUES ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS command (name, letter)
    WHERE r.audience IN ('anonymous', 'member')
      AND (has_table_privilege(g.oid, c.oid, command.name)
           OR command.name <> 'DELETE' AND has_any_column_privilege(g.oid, c.oid, command.name))
      AND (NOT c.relrowsecurity
           OR EXISTS (SELECT FROM pg_policy AS p
                      WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', command.letter::"char")
                        AND (p.polroles && ARRAY[0::oid] OR EXISTS (SELECT FROM unnest(p.polroles) AS x WHERE pg_has_role(g.oid, x, 'USAGE')))));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_membership() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_membership() IS
    'findings about the membership relation';

CREATE FUNCTION analytics_internal.audit_roles(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'API role is not subject to row security', 'error', r.role_name,
       format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS', r.role_name)
FROM analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE r.audience IN ('anonymous', 'member') AND (g.rolsuper OR g.rolbypassrls)
UNION ALL
SELECT 'service role is subject to row security', 'warning', r.role_name, format('ALTER ROLE %I BYPASSRLS', r.role_name)
FROM analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE r.audience = 'service' AND NOT (g.rolsuper OR g.rolbypassrls)
UNION ALL
SELECT DISTINCT 'API role may use the internal schema', 'error', r.role_name,
       format('REVOKE USAGE ON SCHEMA analytics_internal FROM PUBLIC, %I', r.role_name)
FROM analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE r.audience IN ('anonymous', 'member') AND has_schema_privilege(g.oid, 'analytics_internal', 'USAGE')
  AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                  WHERE e.audience = r.audience AND e.object_type = 'SCHEMA' AND e.object = 'analytics_internal')
UNION ALL
SELECT DISTINCT 'API role is connected without encryption', 'warning', a.usename::text,
       'Use hostssl in pg_hba.conf for it'
FROM pg_stat_activity AS a
JOIN pg_stat_ssl AS s ON s.pid = a.pid AND NOT s.ssl
WHERE a.client_addr IS NOT NULL
  AND EXISTS (SELECT FROM analytics.access_roles AS r
              JOIN pg_roles AS g ON g.rolname = r.role_name
              JOIN pg_roles AS u ON u.oid = a.usesysid AND NOT u.rolsuper
              WHERE pg_has_role(a.usesysid, g.oid, 'MEMBER'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_roles() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_roles() IS
    'findings about roles and their connections';

CREATE FUNCTION analytics_internal.security_audit(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT * FROM analytics_internal.audit_tables()
UNION ALL SELECT * FROM analytics_internal.audit_functions()
UNION ALL SELECT * FROM analytics_internal.audit_membership()
UNION ALL SELECT * FROM analytics_internal.audit_roles()
ORDER BY 2, 1, 3
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.security_audit() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.security_audit() IS
    'analytics.security_audit() with the rights of the owner';

CREATE FUNCTION analytics.security_audit(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS 'SELECT * FROM analytics_internal.security_audit()';
REVOKE EXECUTE ON FUNCTION analytics.security_audit() FROM PUBLIC;
COMMENT ON FUNCTION analytics.security_audit() IS
    'what is wrong with the installation''s security: finding, severity (error, warning), object, remedy; no row when nothing is. Looks for tables without row security or policies, materialized views and internal functions that API roles may use, tables that they may truncate, functions without pinned search_path, a membership relation that is missing or that API roles may write, API roles that bypass row security or are connected without encryption';
-- The rights of a person: to be forgotten, and to know what is stored.

CREATE FUNCTION analytics_internal.metadata_without_person(metadata jsonb) RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_metadata_without_person';
REVOKE EXECUTE ON FUNCTION analytics_internal.metadata_without_person(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.metadata_without_person(jsonb) IS
    'the keys of an event''s metadata that are counted, with (erased) in place of free text, so that every count stays; NULL for anything but an object';

CREATE FUNCTION analytics_internal.has_event(target_workspace_id uuid, target_user_id uuid, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM analytics.user_activity AS e
               WHERE e.user_id = target_user_id AND e.created_at >= date_trunc('second', at) AND e.created_at < date_trunc('second', at) + interval '1 second'
                 AND (e.workspace_id = target_workspace_id OR target_workspace_id = '00000000-0000-0000-0000-000000000000'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_event(uuid, uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_event(uuid, uuid, timestamptz) IS
    'whether the user has an event in that second in the workspace, for the nil uuid in any';

-- Where others' rows name him: alerts, the audit log, and events of others ("invited_user": ...), which stay
-- theirs. A text that names him in another way than by his id is not found.
CREATE FUNCTION analytics_internal.forget_mentions(target_user_id uuid, target_workspace_id uuid, tombstone uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named CONSTANT text := target_user_id::text;
BEGIN
    UPDATE analytics.user_activity AS e
    SET page_path = replace(e.page_path, named, tombstone::text),
        referrer = replace(e.referrer, named, tombstone::text),
        metadata = replace(e.metadata::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR e.workspace_id = target_workspace_id)
      AND strpos(concat_ws(' ', e.page_path, e.referrer, e.metadata::text), named) > 0;

    -- His notes are his; in those of others only his id is.
    UPDATE analytics.alert_history AS h
    SET notes = CASE WHEN h.acknowledged_by = target_user_id THEN NULL ELSE replace(h.notes, named, tombstone::text) END,
        acknowledged_by = CASE WHEN h.acknowledged_by = target_user_id THEN tombstone ELSE h.acknowledged_by END,
        evaluation_context = replace(h.evaluation_context::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR h.workspace_id = target_workspace_id)
      AND (h.acknowledged_by = target_user_id OR strpos(concat_ws(' ', h.notes, h.evaluation_context::text), named) > 0);
    -- Samples of errors are those of a moment: whose they were is found by his events, which have the tombstone by now.
    UPDATE analytics.alert_history AS h
    SET evaluation_context = jsonb_set(h.evaluation_context, '{samples}', coalesce(
            (SELECT jsonb_agg(s.value ORDER BY s.ordinality)
             FROM jsonb_array_elements(h.evaluation_context -> 'samples') WITH ORDINALITY AS s
             WHERE NOT analytics_internal.has_event(h.workspace_id, tombstone, (s.value ->> 'at')::timestamptz)), '[]'))
    WHERE (target_workspace_id IS NULL OR h.workspace_id IN (target_workspace_id, '00000000-0000-0000-0000-000000000000'))
      AND EXISTS (SELECT FROM jsonb_path_query(h.evaluation_context, '$.samples[*].at') AS s (at)
                  WHERE analytics_internal.has_event(h.workspace_id, tombstone, (s.at #>> '{}')::timestamptz));
    UPDATE analytics.alert_rules AS r SET created_by = tombstone
    WHERE r.created_by = target_user_id AND (target_workspace_id IS NULL OR r.workspace_id = target_workspace_id);
    UPDATE analytics.notification_outbox AS o
    SET message = replace(o.message::text, named, tombstone::text)::jsonb, last_error = replace(o.last_error, named, tombstone::text)
    WHERE (target_workspace_id IS NULL OR o.workspace_id = target_workspace_id)
      AND strpos(concat_ws(' ', o.message::text, o.last_error), named) > 0;

    UPDATE analytics.audit_log AS a
    SET user_id = nullif(a.user_id, target_user_id),
        old_values = replace(a.old_values::text, named, tombstone::text)::jsonb,
        new_values = replace(a.new_values::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR a.workspace_id = target_workspace_id)
      AND (a.user_id = target_user_id OR strpos(concat_ws(' ', a.old_values::text, a.new_values::text), named) > 0);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_mentions(uuid, uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_mentions(uuid, uuid, uuid) IS
    'a step of analytics_internal.forget_user(): puts the tombstone in place of the user''s id in alerts, notifications, the audit log and other users'' events';

-- A table that comes to hold something about a person is cleared here.
CREATE FUNCTION analytics_internal.forget_user(target_user_id uuid, target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    tombstone uuid := gen_random_uuid();
    salt text := gen_random_uuid()::text;
    events bigint;
    days jsonb;
BEGIN
    IF target_user_id IS NULL THEN
        RAISE EXCEPTION 'user_id must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;

    -- Sessions stay apart from each other, but are no longer those that the client knew.
    WITH changed AS (
        UPDATE analytics.user_activity AS e
        SET user_id = tombstone,
            session_id = md5(salt || e.session_id)::uuid,
            ip_address = NULL,
            ip_hash = NULL,
            user_agent = NULL,
            referrer = NULL,
            page_path = NULL,
            metadata = analytics_internal.metadata_without_person(e.metadata)
        WHERE e.user_id = target_user_id
          AND (target_workspace_id IS NULL OR e.workspace_id = target_workspace_id)
        RETURNING e.workspace_id, (e.created_at AT TIME ZONE analytics.workspace_time_zone(e.workspace_id, e.created_at))::date AS day)
    SELECT count(*), jsonb_agg(DISTINCT jsonb_build_object('workspace_id', c.workspace_id, 'day', c.day)) INTO events, days
    FROM changed AS c;

    -- The number stays, and with it all counts, but nobody knows whose it was.
    UPDATE analytics.users AS u SET user_id = tombstone, is_forgotten = true
    WHERE u.user_id = target_user_id AND (target_workspace_id IS NULL OR u.workspace_id = target_workspace_id);

    PERFORM analytics_internal.forget_mentions(target_user_id, target_workspace_id, tombstone);

    -- The reasons of failures and the messages of errors are free text that the rollup of a day keeps; a day
    -- whose events retention has removed keeps redacted texts of nobody in particular.
    PERFORM analytics_internal.aggregate_unsealed_day(m.metric_date, m.workspace_id)
    FROM jsonb_to_recordset(coalesce(days, '[]')) AS d (workspace_id uuid, day date)
    JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.day;
    IF events > 0 AND (SELECT c.relispopulated FROM pg_class AS c WHERE c.oid = 'analytics.mv_error_trends'::regclass) THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_error_trends;
    END IF;

    PERFORM analytics_internal.write_audit(target_workspace_id, 'forget_user', 'analytics.user_activity', NULL,
                                           jsonb_build_object('events', events));
    RETURN events;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_user(uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_user(uuid, uuid) IS
    'analytics.forget_user() with the rights of the owner';

CREATE FUNCTION analytics.forget_user(user_id uuid, workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.forget_user(user_id, workspace_id)';
REVOKE EXECUTE ON FUNCTION analytics.forget_user(uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.forget_user(uuid, uuid) IS
    'makes a user unknowable, in one workspace or in all, and changes no count: his events get a random user and sessions, and lose addresses, user agent, paths, referrer, free text and unknown metadata; the audit log is cleared of him. Returns the number of events. For the service role and the owner; NULL user: error (22004)';

-- A table that comes to hold something about a person is listed here.
CREATE FUNCTION analytics_internal.export_user(target_user_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
WITH person AS (
    SELECT u.* FROM analytics.users AS u WHERE u.user_id = target_user_id
)
SELECT jsonb_build_object(
    'user_id', target_user_id,
    'events', (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.created_at, e.id), '[]')
               FROM analytics.user_activity AS e WHERE e.user_id = target_user_id),
    'users', (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.workspace_id), '[]') FROM person AS p),
    'daily_users', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', d.workspace_id, 'metric_date', d.metric_date)
                                              ORDER BY d.workspace_id, d.metric_date), '[]')
                    FROM person AS p JOIN analytics.daily_users AS d ON d.workspace_id = p.workspace_id
                    WHERE d.users OPERATOR(analytics.@>) p.user_number),
    'agents_used', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', a.workspace_id, 'agent_id', a.agent_id, 'metric_date', a.metric_date)
                                              ORDER BY a.workspace_id, a.agent_id, a.metric_date), '[]')
                    FROM person AS p JOIN analytics.agent_performance AS a ON a.workspace_id = p.workspace_id
                    WHERE a.users OPERATOR(analytics.@>) p.user_number),
    'events_by_day', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', c.workspace_id, 'metric_date', c.metric_date,
                                                                   'event_type', c.event_type, 'event_name', c.event_name)
                                                ORDER BY c.workspace_id, c.metric_date, c.event_type, c.event_name), '[]')
                      FROM person AS p JOIN analytics.daily_event_counts AS c ON c.workspace_id = p.workspace_id
                      WHERE c.users OPERATOR(analytics.@>) p.user_number),
    'revenue', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.workspace_id, r.metric_date), '[]')
                FROM person AS p JOIN analytics.daily_user_revenue AS r USING (workspace_id, user_number)),
    'alert_rules', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.created_at, r.id), '[]')
                    FROM analytics.alert_rules AS r WHERE r.created_by = target_user_id),
    'acknowledged_alerts', (SELECT coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.triggered_at, h.id), '[]')
                            FROM analytics.alert_history AS h WHERE h.acknowledged_by = target_user_id),
    'audit_log', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.happened_at, a.id), '[]')
                  FROM analytics.audit_log AS a WHERE a.user_id = target_user_id))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.export_user(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.export_user(uuid) IS
    'analytics.export_user() with the rights of the owner, for anybody';

CREATE FUNCTION analytics_internal.export_self() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.export_user(analytics.current_user_id()) WHERE analytics.current_user_id() IS NOT NULL';
REVOKE EXECUTE ON FUNCTION analytics_internal.export_self() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.export_self() IS
    'analytics.export_self() with the rights of the owner: also of workspaces that the user has left';

-- Bound when it is created, so that members need no right on the schema analytics_internal.
CREATE FUNCTION analytics.export_self() RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analytics_internal.export_self();
END;
REVOKE EXECUTE ON FUNCTION analytics.export_self() FROM PUBLIC;
COMMENT ON FUNCTION analytics.export_self() IS
    'analytics.export_user() of the current user; NULL for nobody';

CREATE FUNCTION analytics.export_user(user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id = analytics.current_user_id() THEN
        RETURN analytics.export_self();
    ELSIF row_security_active('analytics.user_activity') THEN
        RETURN NULL;
    END IF;
    RETURN analytics_internal.export_user(user_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.export_user(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.export_user(uuid) IS
    'everything stored about a user as one JSON object: user_id, events (raw), users (his number, first and last seen per workspace), daily_users (days active), agents_used and events_by_day (rollups that count him), revenue, alert_rules (made by him), acknowledged_alerts, audit_log (what he changed). The user himself gets it, of every workspace, the service role and the owner; anybody else NULL';
-- Alerts: validation, evaluation, acknowledgment, and the outbox that the notifier empties.

CREATE FUNCTION analytics_internal.is_text_array(value jsonb, pattern text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN jsonb_typeof(value) = 'array' AND jsonb_array_length(value) <= 20
            THEN (SELECT coalesce(bool_and(jsonb_typeof(e.element) = 'string' AND e.element #>> '{}' ~ pattern)
                                  AND count(*) = count(DISTINCT e.element), true)
                  FROM jsonb_array_elements(value) AS e (element))
            ELSE false END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_text_array(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_text_array(jsonb, text) IS
    'whether a value is an array of at most 20 different strings that match the pattern';

CREATE FUNCTION analytics_internal.threshold_problem(rule analytics.alert_rules) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN rule.condition = 'anomaly' THEN
            CASE WHEN rule.threshold_value > 0 AND rule.threshold_value <= 1000 THEN NULL
                 ELSE 'a modified z-score, more than 0 and at most 1000; 3.5 is usual' END
        WHEN rule.condition IN ('poisson', 'binomial') THEN
            CASE WHEN rule.threshold_value > 0 AND rule.threshold_value < 1 AND scale(rule.threshold_value) <= 9 THEN NULL
                 ELSE 'a probability between 0 and 1, with at most 9 decimals' END
        WHEN rule.metric_type IN ('error_rate', 'failure_rate') THEN
            CASE WHEN rule.threshold_value BETWEEN 0 AND 100 AND scale(rule.threshold_value) <= 9 THEN NULL
                 ELSE 'a percentage from 0 to 100, with at most 9 decimals' END
        ELSE
            CASE WHEN rule.threshold_value >= 0 AND rule.threshold_value < 1e12 AND scale(rule.threshold_value) <= 9 THEN NULL
                 ELSE 'a number from 0 to less than 1000000000000, with at most 9 decimals' END
    END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.threshold_problem(analytics.alert_rules) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.threshold_problem(analytics.alert_rules) IS
    'what threshold_value should be instead; NULL if it is right';

CREATE FUNCTION analytics_internal.rule_problem(
    rule analytics.alert_rules, OUT field text, OUT value text, OUT allowed text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.field, c.value, c.allowed INTO field, value, allowed
    FROM (VALUES
        (1, 'name', rule.name, length(btrim(rule.name)) BETWEEN 1 AND 200, '1 to 200 characters'),
        (2, 'description', rule.description, rule.description IS NULL OR length(rule.description) <= 10000,
            'at most 10000 characters'),
        (3, 'is_active', rule.is_active::text, rule.is_active IS NOT NULL, 'true, false'),
        (4, 'scope', rule.scope,
            rule.scope = 'workspace' OR rule.scope = 'platform' AND rule.workspace_id = '00000000-0000-0000-0000-000000000000',
            'workspace; platform only with the nil workspace_id'),
        (5, 'metric_type', rule.metric_type,
            rule.metric_type IN ('error_rate', 'failure_rate', 'response_time', 'active_users', 'failed_runs',
                                 'credits_consumed', 'agent_failures', 'user_signups', 'session_duration'),
            'error_rate, failure_rate, response_time, active_users, failed_runs, credits_consumed, agent_failures, user_signups, session_duration'),
        (6, 'condition', rule.condition,
            rule.condition IN ('greater_than', 'less_than', 'equals', 'not_equals', 'between', 'anomaly', 'poisson', 'binomial'),
            'greater_than, less_than, equals, not_equals, between, anomaly, poisson, binomial'),
        (7, 'condition', rule.condition,
            rule.condition <> 'poisson' OR rule.metric_type IN ('active_users', 'failed_runs', 'agent_failures', 'user_signups'),
            'poisson only for active_users, failed_runs, agent_failures, user_signups'),
        (8, 'condition', rule.condition,
            rule.condition <> 'binomial' OR rule.metric_type IN ('error_rate', 'failure_rate'),
            'binomial only for error_rate, failure_rate'),
        (9, 'threshold_value', rule.threshold_value::text,
            rule.threshold_value IS NOT NULL AND analytics_internal.threshold_problem(rule) IS NULL,
            analytics_internal.threshold_problem(rule)),
        (10, 'threshold_max', rule.threshold_max::text,
            CASE WHEN rule.condition = 'between'
                 THEN rule.threshold_max >= rule.threshold_value AND rule.threshold_max < 1e12 AND scale(rule.threshold_max) <= 9
                 ELSE rule.threshold_max IS NULL END,
            'for between a number not below threshold_value, else NULL'),
        (11, 'evaluation_window_minutes', rule.evaluation_window_minutes::text,
            rule.evaluation_window_minutes BETWEEN 1 AND 1440, '1 to 1440'),
        (12, 'for_minutes', rule.for_minutes::text, rule.for_minutes BETWEEN 0 AND 1440, '0 to 1440'),
        (13, 'cooldown_minutes', rule.cooldown_minutes::text, rule.cooldown_minutes BETWEEN 0 AND 10080, '0 to 10080'),
        (14, 'severity', rule.severity, rule.severity IN ('info', 'warning', 'critical'), 'info, warning, critical'),
        (15, 'no_data', rule.no_data, rule.no_data IN ('ok', 'alert', 'keep'), 'ok, alert, keep'),
        (16, 'notification_channels', rule.notification_channels::text,
            analytics_internal.is_text_array(rule.notification_channels, '^(email|slack|webhook)$'),
            'an array of email, slack, webhook, each once'),
        (17, 'notification_recipients', rule.notification_recipients::text,
            analytics_internal.is_text_array(rule.notification_recipients, '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$'),
            'an array of at most 20 names of destinations, each once')
    ) AS c (place, field, value, is_right, allowed)
    WHERE c.is_right IS NOT TRUE
    ORDER BY c.place
    LIMIT 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.rule_problem(analytics.alert_rules) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.rule_problem(analytics.alert_rules) IS
    'the first field of a rule that is wrong, its value and what is allowed; NULLs if none is';

-- The channels of a rule and its destinations go together; destinations may be dropped later.
CREATE FUNCTION analytics_internal.missing_recipient(rule analytics.alert_rules) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT n.name
            FROM jsonb_array_elements_text(rule.notification_recipients) AS n (name)
            WHERE NOT EXISTS (SELECT FROM analytics.notification_destinations AS d
                              WHERE d.workspace_id = rule.workspace_id AND d.name = n.name
                                AND rule.notification_channels ? d.channel)
            ORDER BY 1 LIMIT 1);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.missing_recipient(analytics.alert_rules) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.missing_recipient(analytics.alert_rules) IS
    'the first recipient of a rule that is no destination of its workspace in one of its channels; NULL if none';

CREATE FUNCTION analytics_internal.alert_rule_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem record;
    missing text;
BEGIN
    NEW.workspace_id := coalesce(NEW.workspace_id, '00000000-0000-0000-0000-000000000000');
    IF NEW.condition = 'anomaly' THEN
        NEW.threshold_value := coalesce(NEW.threshold_value, 3.5);
    END IF;
    problem := analytics_internal.rule_problem(NEW);
    IF problem.field IS NOT NULL THEN
        RAISE EXCEPTION 'invalid % of an alert rule', problem.field
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('%s is %s.', problem.field, coalesce(quote_literal(left(problem.value, 200)), 'NULL')),
                  HINT = format('Allowed is: %s.', problem.allowed);
    END IF;
    -- A dump's destinations come after its rules; dumps are restored with row_security off.
    IF current_setting('row_security')::boolean THEN
        missing := analytics_internal.missing_recipient(NEW);
        IF missing IS NOT NULL THEN
            RAISE EXCEPTION 'invalid notification_recipients of an alert rule'
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('The workspace has no destination %s in one of the rule''s channels.', quote_literal(missing)),
                      HINT = 'Make it with analytics.set_notification_destination(), and name its channel in notification_channels.';
        END IF;
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.created_by := coalesce(analytics.current_user_id(), NEW.created_by);
    ELSE
        NEW.created_by := OLD.created_by;
        NEW.updated_at := CASE WHEN NEW IS DISTINCT FROM OLD THEN now() ELSE OLD.updated_at END;
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.alert_rule_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.alert_rule_check() IS
    'row trigger: refuses a rule that could not be evaluated, naming the field, its value and what is allowed (22023)';

CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE OF workspace_id, name, description, is_active, scope, metric_type,
        condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity,
        no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.alert_rule_check();
COMMENT ON TRIGGER check_rule ON analytics.alert_rules IS
    'refuses a rule that could not be evaluated';

CREATE FUNCTION analytics_internal.alert_rule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.is_active
       AND (OLD.workspace_id, OLD.id, OLD.scope, OLD.metric_type, OLD.condition, OLD.threshold_value, OLD.threshold_max,
            OLD.evaluation_window_minutes)
           IS NOT DISTINCT FROM
           (NEW.workspace_id, NEW.id, NEW.scope, NEW.metric_type, NEW.condition, NEW.threshold_value, NEW.threshold_max,
            NEW.evaluation_window_minutes) THEN
        RETURN NULL;
    END IF;
    UPDATE analytics.alert_history AS h
    SET resolved_at = greatest(now(), h.triggered_at),
        resolved_reason = CASE WHEN TG_OP = 'DELETE' THEN 'the rule was deleted'
                               WHEN NEW.is_active THEN 'the rule was changed' ELSE 'the rule was switched off' END
    WHERE h.workspace_id = OLD.workspace_id AND h.alert_rule_id = OLD.id AND h.resolved_at IS NULL;
    DELETE FROM analytics.alert_rule_states AS s
    WHERE s.workspace_id = OLD.workspace_id AND s.alert_rule_id = OLD.id;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.alert_rule_changed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.alert_rule_changed() IS
    'row trigger: a rule that becomes another one, is switched off or deleted ends its episode';
CREATE TRIGGER end_episode AFTER UPDATE OF workspace_id, id, is_active, scope, metric_type, condition, threshold_value,
        threshold_max, evaluation_window_minutes OR DELETE ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.alert_rule_changed();
COMMENT ON TRIGGER end_episode ON analytics.alert_rules IS
    'a rule that becomes another one, is switched off or deleted ends its episode';

-- Evaluation

CREATE FUNCTION analytics_internal.scored_hours(workspace_id uuid, all_workspaces boolean, at timestamptz)
RETURNS timestamptz[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone_name text := analytics.workspace_time_zone(workspace_id, at);
    scored timestamptz := date_trunc('hour', at, 'UTC') - interval '1 hour';
    scored_local timestamp := scored AT TIME ZONE zone_name;
    hours timestamptz[];
    oldest timestamptz;
    first_event timestamptz := '-infinity';
BEGIN
    SELECT array_agg(b.start ORDER BY b.start DESC), min(b.start) INTO hours, oldest
    FROM (SELECT (scored_local - make_interval(days => i)) AT TIME ZONE zone_name AS start
          FROM generate_series(1, 28) AS i
          WHERE (extract(isodow FROM scored_local - make_interval(days => i)) >= 6)
              = (extract(isodow FROM scored_local) >= 6)) AS b;
    -- The events have no index by time alone: rather a look for each hour, which ends at the first event found.
    IF all_workspaces THEN
        RETURN scored || ARRAY(SELECT h.start FROM unnest(hours) AS h (start)
                               WHERE EXISTS (SELECT FROM analytics.user_activity AS e WHERE e.created_at <= h.start)
                               ORDER BY h.start DESC);
    END IF;
    IF NOT EXISTS (SELECT FROM analytics.daily_metrics AS d
                   WHERE d.workspace_id = scored_hours.workspace_id AND d.metric_date < (oldest AT TIME ZONE zone_name)::date)
       AND NOT EXISTS (SELECT FROM analytics.user_activity AS e
                       WHERE e.workspace_id = scored_hours.workspace_id AND e.created_at <= oldest) THEN
        SELECT min(e.created_at) INTO first_event
        FROM analytics.user_activity AS e
        WHERE e.workspace_id = scored_hours.workspace_id AND e.created_at > oldest AND e.created_at < at;
    END IF;
    RETURN scored || ARRAY(SELECT h.start FROM unnest(hours) AS h (start) WHERE h.start >= first_event ORDER BY h.start DESC);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.scored_hours(uuid, boolean, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.scored_hours(uuid, boolean, timestamptz) IS
    'starts of the last full UTC hour and of the same local hour on those of the 28 days before that are of the same kind (working day or weekend) and not before the first event, latest first';

CREATE FUNCTION analytics_internal.measure_alert_rules(
    at timestamptz, rule_id uuid,
    OUT workspace_id uuid, OUT alert_rule_id uuid, OUT metric_value numeric, OUT threshold_value numeric,
    OUT holds boolean, OUT state text, OUT since timestamptz, OUT fires boolean, OUT resolves boolean,
    OUT reason text, OUT evaluation_context jsonb)
RETURNS SETOF record
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_measure_alert_rules';
REVOKE EXECUTE ON FUNCTION analytics_internal.measure_alert_rules(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.measure_alert_rules(timestamptz, uuid) IS
    'what every active rule, or one rule whether active or not (NULL: all), measures at a moment and which step its state would take; writes nothing. A NULL or infinite moment is an error (22023)';

CREATE FUNCTION analytics_internal.apply_alert_verdicts(at timestamptz)
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH verdict AS MATERIALIZED (
        SELECT m.*, r.name, r.severity, r.metric_type, r.condition,
               m.state IS DISTINCT FROM coalesce(s.state, 'ok') AS is_changed,
               CASE WHEN m.fires THEN gen_random_uuid() ELSE s.alert_id END AS alert_id
        FROM analytics_internal.measure_alert_rules(at, NULL) AS m
        JOIN analytics.alert_rules AS r ON r.workspace_id = m.workspace_id AND r.id = m.alert_rule_id
        LEFT JOIN analytics.alert_rule_states AS s
          ON s.workspace_id = m.workspace_id AND s.alert_rule_id = m.alert_rule_id
    ), opened AS (
        INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at,
            metric_type, condition, metric_value, threshold_value, reason, evaluation_context)
        SELECT v.workspace_id, v.alert_id, v.alert_rule_id, v.name, v.severity, at,
               v.metric_type, v.condition, v.metric_value, v.threshold_value, v.reason, v.evaluation_context
        FROM verdict AS v WHERE v.fires
    ), counted AS (
        UPDATE analytics.alert_rules AS r
        SET last_triggered_at = at, trigger_count = r.trigger_count + 1
        FROM verdict AS v
        WHERE v.fires AND r.workspace_id = v.workspace_id AND r.id = v.alert_rule_id
    ), closed AS (
        UPDATE analytics.alert_history AS h
        SET resolved_at = greatest(at, h.triggered_at), resolved_reason = v.reason
        FROM verdict AS v
        WHERE v.resolves AND h.workspace_id = v.workspace_id AND h.id = v.alert_id AND h.resolved_at IS NULL
    ), stepped AS (
        INSERT INTO analytics.alert_rule_states AS s (workspace_id, alert_rule_id, state, since, alert_id)
        SELECT v.workspace_id, v.alert_rule_id, v.state, v.since, CASE WHEN v.state = 'firing' THEN v.alert_id END
        FROM verdict AS v WHERE v.is_changed
        ON CONFLICT (workspace_id, alert_rule_id) DO UPDATE
        SET state = EXCLUDED.state, since = EXCLUDED.since, alert_id = EXCLUDED.alert_id
    )
    SELECT v.alert_rule_id, v.state = 'firing', v.metric_value, v.threshold_value,
           CASE WHEN v.resolves THEN 'resolved' ELSE v.state END, v.reason, v.workspace_id,
           CASE WHEN v.state = 'firing' OR v.resolves THEN v.alert_id END
    FROM verdict AS v;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.apply_alert_verdicts(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.apply_alert_verdicts(timestamptz) IS
    'evaluates the active rules as of a moment and writes episodes and states; the caller holds the lock';

-- Notifications

CREATE FUNCTION analytics_internal.notification_message(alert analytics.alert_history, kind text) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object(
    'kind', kind,
    'alert_id', alert.id,
    'alert_rule_id', alert.alert_rule_id,
    'workspace_id', alert.workspace_id,
    'rule_name', alert.rule_name,
    'severity', alert.severity,
    'metric_type', alert.metric_type,
    'condition', alert.condition,
    'metric_value', alert.metric_value,
    'threshold_value', alert.threshold_value,
    'reason', CASE kind WHEN 'resolved' THEN alert.resolved_reason ELSE alert.reason END,
    'triggered_at', to_char(alert.triggered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'resolved_at', to_char(alert.resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_message(analytics.alert_history, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_message(analytics.alert_history, text) IS
    'what a notification says about an episode; the notifier makes mail, Slack blocks or JSON of it';

CREATE FUNCTION analytics_internal.send_notifications(kind text, workspace_ids uuid[], alert_ids uuid[], at timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    budget CONSTANT integer := analytics.setting('alert_notifications_per_hour')::integer;
    written bigint;
BEGIN
    INSERT INTO analytics.notification_outbox AS o (workspace_id, kind, alert_id, alert_rule_id, destination_name, channel,
        message, status, last_error, next_attempt_at, created_at)
    SELECT m.workspace_id, kind, m.alert_id, m.alert_rule_id, m.destination_name, m.channel, m.message,
           CASE WHEN m.place + m.used > budget THEN 'suppressed' ELSE 'waiting' END,
           CASE WHEN m.place + m.used > budget THEN 'over the hourly budget of the workspace' END, at, at
    FROM (SELECT h.workspace_id, h.id AS alert_id, h.alert_rule_id, d.name AS destination_name, d.channel,
                 analytics_internal.notification_message(h, kind) AS message,
                 row_number() OVER (PARTITION BY h.workspace_id
                                    ORDER BY array_position('{critical,warning,info}', h.severity), h.id, d.name) AS place,
                 (SELECT count(*) FROM analytics.notification_outbox AS p
                  WHERE p.workspace_id = h.workspace_id AND p.created_at > at - interval '1 hour'
                    AND p.status <> 'suppressed') AS used
          FROM unnest(workspace_ids, alert_ids) AS a (workspace_id, id)
          JOIN analytics.alert_history AS h ON h.workspace_id = a.workspace_id AND h.id = a.id
          JOIN analytics.alert_rules AS r ON r.workspace_id = h.workspace_id AND r.id = h.alert_rule_id
          JOIN analytics.notification_destinations AS d
            ON d.workspace_id = r.workspace_id AND r.notification_recipients ? d.name
               AND r.notification_channels ? d.channel AND d.is_verified
          -- Who was not told of the start is not told of the end.
          WHERE kind <> 'resolved'
             OR NOT EXISTS (SELECT FROM analytics.notification_outbox AS f
                            WHERE f.workspace_id = h.workspace_id AND f.alert_id = h.id AND f.kind = 'firing'
                              AND f.destination_name = d.name AND f.status = 'suppressed')) AS m
    ON CONFLICT ON CONSTRAINT notification_outbox_once DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written > 0 THEN
        PERFORM pg_notify('shadow_analytics', '');
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.send_notifications(text, uuid[], uuid[], timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.send_notifications(text, uuid[], uuid[], timestamptz) IS
    'writes messages about episodes to the outbox, one per verified destination of the rule, within the workspace''s hourly budget, and wakes the notifiers; returns their number';

CREATE FUNCTION analytics_internal.queue_notifications(at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspaces uuid[];
    alerts uuid[];
    written bigint := 0;
BEGIN
    -- Starts: also of episodes that a cooldown or snooze has held back until now.
    WITH due AS (
        SELECT h.workspace_id, h.id, h.alert_rule_id
        FROM analytics.alert_history AS h
        JOIN analytics.alert_rules AS r ON r.workspace_id = h.workspace_id AND r.id = h.alert_rule_id
        JOIN analytics.alert_rule_states AS s ON s.workspace_id = h.workspace_id AND s.alert_rule_id = h.alert_rule_id
        WHERE h.resolved_at IS NULL AND h.notified_at IS NULL AND h.acknowledged_at IS NULL
          AND (s.last_notified_at IS NULL OR s.last_notified_at + make_interval(mins => r.cooldown_minutes) <= at)
          AND NOT EXISTS (SELECT FROM analytics.alert_history AS z
                          WHERE z.workspace_id = h.workspace_id AND z.alert_rule_id = h.alert_rule_id
                            AND z.snoozed_until > at)
    ), marked AS (
        UPDATE analytics.alert_history AS h SET notified_at = at
        FROM due AS d WHERE h.workspace_id = d.workspace_id AND h.id = d.id
    ), cooled AS (
        UPDATE analytics.alert_rule_states AS s SET last_notified_at = at
        FROM due AS d WHERE s.workspace_id = d.workspace_id AND s.alert_rule_id = d.alert_rule_id
    )
    SELECT array_agg(d.workspace_id), array_agg(d.id) INTO workspaces, alerts FROM due AS d;
    IF alerts IS NOT NULL THEN
        written := analytics_internal.send_notifications('firing', workspaces, alerts, at);
    END IF;

    -- Ends of what was notified.
    SELECT array_agg(h.workspace_id), array_agg(h.id) INTO workspaces, alerts
    FROM analytics.alert_history AS h
    JOIN analytics.alert_rule_states AS s ON s.workspace_id = h.workspace_id AND s.alert_rule_id = h.alert_rule_id
    WHERE s.state = 'ok' AND s.since = at AND h.resolved_at >= at AND h.notified_at IS NOT NULL;
    IF alerts IS NOT NULL THEN
        written := written + analytics_internal.send_notifications('resolved', workspaces, alerts, at);
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.queue_notifications(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.queue_notifications(timestamptz) IS
    'after an evaluation: messages about episodes that started, unless acknowledged, snoozed or cooling down, and about the ends of those that were notified';

CREATE FUNCTION analytics_internal.evaluate_alert_rules(at timestamptz)
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    -- One evaluation at a time; whoever waited sees what the other has written.
    PERFORM pg_advisory_xact_lock(1523621891, 3); -- 1 and 2: closing and maintenance
    RETURN QUERY SELECT v.* FROM analytics_internal.apply_alert_verdicts(at) AS v;
    PERFORM analytics_internal.queue_notifications(at);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.evaluate_alert_rules(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.evaluate_alert_rules(timestamptz) IS
    'analytics.evaluate_alert_rules() as of a moment, with the rights of the owner; for simulations';

CREATE FUNCTION analytics.evaluate_alert_rules()
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT e.* FROM analytics_internal.evaluate_alert_rules(now()) AS e $$;
REVOKE EXECUTE ON FUNCTION analytics.evaluate_alert_rules() FROM PUBLIC;
COMMENT ON FUNCTION analytics.evaluate_alert_rules() IS
    'evaluates every active rule as of now, from one scan of the events of their windows: opens and ends episodes (alert_history), writes notifications. One row per rule: alert_rule_id, triggered (the rule is firing), metric_value (NULL: no data), threshold_value, state (ok, pending, firing, or resolved just now), reason, workspace_id, alert_id (the episode). To be run every minute or so, for instance by pg_cron; concurrent calls wait for each other. In REPEATABLE READ it may fail with 40001';

CREATE FUNCTION analytics_internal.test_alert_rule(rule_id uuid, at timestamptz)
RETURNS TABLE (triggered boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_column
BEGIN
    IF rule_id IS NULL OR at IS NULL THEN
        RAISE EXCEPTION 'id and at must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    RETURN QUERY
    SELECT m.holds, m.metric_value, m.threshold_value, m.reason, m.evaluation_context
    FROM analytics_internal.measure_alert_rules(at, rule_id) AS m;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert rule "%" does not exist', rule_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.test_alert_rule(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.test_alert_rule(uuid, timestamptz) IS
    'analytics.test_alert_rule with the rights of the owner';

CREATE FUNCTION analytics.test_alert_rule(id uuid, at timestamptz DEFAULT now())
RETURNS TABLE (triggered boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT t.* FROM analytics_internal.test_alert_rule(id, at) AS t $$;
REVOKE EXECUTE ON FUNCTION analytics.test_alert_rule(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.test_alert_rule(uuid, timestamptz) IS
    'what a rule, active or not, would have found at a moment, without effects: triggered (its condition held; for_minutes is not waited for), the value, why, and what the window held. An unknown rule is an error (P0002), NULL too (22004)';

-- Acknowledging

CREATE FUNCTION analytics_internal.alert_history_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT current_setting('row_security')::boolean THEN
        RETURN NEW; -- analytics.forget_user()
    END IF;
    IF NEW.acknowledged_by IS DISTINCT FROM OLD.acknowledged_by
       OR NEW.acknowledged_at IS DISTINCT FROM OLD.acknowledged_at THEN
        IF NEW.acknowledged_by IS NULL AND (OLD.acknowledged_by IS NOT NULL OR NEW.acknowledged_at IS NULL) THEN
            NEW.acknowledged_at := NULL;
        ELSE
            NEW.acknowledged_by := coalesce(analytics.current_user_id(), NEW.acknowledged_by);
            NEW.acknowledged_at := now();
        END IF;
    END IF;
    IF NEW.snoozed_until > now() + interval '30 days' THEN
        RAISE EXCEPTION 'alert snoozed for too long'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It would be silent until %s.', NEW.snoozed_until),
                  HINT = 'Snooze it for at most 30 days, or switch the rule off.';
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.alert_history_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.alert_history_check() IS
    'row trigger: an acknowledgment is by the current user and dated now; a snooze is for at most 30 days (22023)';
CREATE TRIGGER check_acknowledgment BEFORE UPDATE OF acknowledged_by, acknowledged_at, snoozed_until ON analytics.alert_history
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.alert_history_check();
COMMENT ON TRIGGER check_acknowledgment ON analytics.alert_history IS
    'an acknowledgment is by the current user and dated now';

CREATE FUNCTION analytics.acknowledge_alert(alert_id uuid, notes text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.alert_history AS h
    SET acknowledged_by = analytics.current_user_id(), acknowledged_at = now(), notes = coalesce(notes, h.notes)
    WHERE h.id = alert_id AND h.acknowledged_at IS NULL;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM analytics.alert_history AS h WHERE h.id = alert_id) THEN
        RAISE EXCEPTION 'alert "%" does not exist', alert_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.acknowledge_alert(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.acknowledge_alert(uuid, text) IS
    'notes that the current user has taken up an episode; nothing happens if somebody already has. An episode that the caller cannot see is an error (P0002)';

CREATE FUNCTION analytics.unacknowledge_alert(alert_id uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.alert_history AS h SET acknowledged_by = NULL, acknowledged_at = NULL WHERE h.id = alert_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert "%" does not exist', alert_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.unacknowledge_alert(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.unacknowledge_alert(uuid) IS
    'takes an acknowledgment back, whoever made it. An episode that the caller cannot see is an error (P0002)';

CREATE FUNCTION analytics.snooze_alert(alert_id uuid, until timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.alert_history AS h SET snoozed_until = until WHERE h.id = alert_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert "%" does not exist', alert_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.snooze_alert(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.snooze_alert(uuid, timestamptz) IS
    'no notification about the episode''s rule before an instant, at most 30 days ahead (22023); NULL ends the snooze. An episode that the caller cannot see is an error (P0002)';

CREATE VIEW analytics.active_alerts WITH (security_invoker = true) AS
SELECT s.workspace_id, s.alert_rule_id, s.alert_id, r.name AS rule_name, r.severity,
       CASE WHEN s.state = 'pending' THEN 'pending'
            WHEN h.snoozed_until > now() THEN 'snoozed'
            WHEN h.acknowledged_at IS NOT NULL THEN 'acknowledged'
            ELSE 'firing' END AS state,
       s.since, r.metric_type, h.metric_value, h.threshold_value, h.reason, h.evaluation_context,
       h.acknowledged_by, h.acknowledged_at, h.snoozed_until, h.notes, h.notified_at
FROM analytics.alert_rule_states AS s
JOIN analytics.alert_rules AS r ON r.workspace_id = s.workspace_id AND r.id = s.alert_rule_id
LEFT JOIN analytics.alert_history AS h ON h.workspace_id = s.workspace_id AND h.id = s.alert_id
WHERE s.state <> 'ok';
COMMENT ON VIEW analytics.active_alerts IS
    'rules that are pending or firing, with their open episodes; members see their workspaces''';
COMMENT ON COLUMN analytics.active_alerts.workspace_id IS 'workspace of the rule';
COMMENT ON COLUMN analytics.active_alerts.alert_rule_id IS 'the rule';
COMMENT ON COLUMN analytics.active_alerts.alert_id IS 'the episode; NULL while pending';
COMMENT ON COLUMN analytics.active_alerts.rule_name IS 'name of the rule';
COMMENT ON COLUMN analytics.active_alerts.severity IS 'info, warning or critical';
COMMENT ON COLUMN analytics.active_alerts.state IS 'pending, firing, acknowledged or snoozed';
COMMENT ON COLUMN analytics.active_alerts.since IS 'when it became pending or fired';
COMMENT ON COLUMN analytics.active_alerts.metric_type IS 'metric of the rule';
COMMENT ON COLUMN analytics.active_alerts.metric_value IS 'value that made it fire';
COMMENT ON COLUMN analytics.active_alerts.threshold_value IS 'threshold of the rule then';
COMMENT ON COLUMN analytics.active_alerts.reason IS 'why it fired';
COMMENT ON COLUMN analytics.active_alerts.evaluation_context IS 'what the window held';
COMMENT ON COLUMN analytics.active_alerts.acknowledged_by IS 'who has taken it up';
COMMENT ON COLUMN analytics.active_alerts.acknowledged_at IS 'when';
COMMENT ON COLUMN analytics.active_alerts.snoozed_until IS 'until when the rule is silent';
COMMENT ON COLUMN analytics.active_alerts.notes IS 'notes of people';
COMMENT ON COLUMN analytics.active_alerts.notified_at IS 'when its start was handed to the outbox; NULL: withheld';
-- Destinations of notifications, and the functions of shadow-analytics-notifier.

CREATE FUNCTION analytics_internal.address_problem(channel text, address text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
    WHEN channel = 'email' AND (address !~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$'
                                OR length(address) > 254)
        THEN 'an address such as oncall@example.org, in ASCII'
    WHEN channel IN ('slack', 'webhook') AND (address !~ '^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?$' OR length(address) > 2000)
        THEN 'a URL that begins with https://, without user name, in ASCII'
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.address_problem(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.address_problem(text, text) IS
    'what an address of a channel should look like; NULL if it does';

CREATE FUNCTION analytics_internal.is_mail_allowed(address text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    domains text[] := regexp_split_to_array(lower(analytics.setting('email_domains_allowed')), '\s*,\s*');
BEGIN
    RETURN '*' = ANY (domains) OR lower(split_part(address, '@', 2)) = ANY (domains);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_mail_allowed(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_mail_allowed(text) IS
    'whether tenants may have mail sent to the address''s domain (setting email_domains_allowed)';

-- Mail that asks its reader to confirm the address: the only mail that an unverified address gets.
CREATE FUNCTION analytics_internal.send_verification(workspace_id uuid, destination_name text) RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code CONSTANT text := upper(left(replace(gen_random_uuid()::text, '-', ''), 12));
BEGIN
    IF (SELECT count(*) FROM analytics.notification_outbox AS o
        WHERE o.workspace_id = send_verification.workspace_id AND o.kind = 'verification'
          AND o.created_at > now() - interval '1 hour') >= 5 THEN
        RAISE EXCEPTION 'too many mail addresses to verify'
            USING ERRCODE = 'program_limit_exceeded', HINT = 'At most 5 an hour and workspace; try again later.';
    END IF;
    INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message)
    VALUES (send_verification.workspace_id, 'verification', destination_name, 'email',
            jsonb_build_object('kind', 'verification', 'destination_name', destination_name, 'code', code));
    PERFORM pg_notify('shadow_analytics', '');
    RETURN sha256(convert_to(code, 'UTF8'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.send_verification(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.send_verification(uuid, text) IS
    'queues the mail with the code that verifies an address, at most 5 an hour and workspace (54000); returns the code''s SHA-256';

CREATE FUNCTION analytics_internal.check_address(destination analytics.notification_destinations) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed CONSTANT text := analytics_internal.address_problem(destination.channel, destination.address);
BEGIN
    -- The values themselves are secret and stay out of errors, which are logged.
    IF allowed IS NOT NULL THEN
        RAISE EXCEPTION 'invalid address of a notification destination'
            USING ERRCODE = 'invalid_parameter_value', HINT = format('Allowed is: %s.', allowed);
    ELSIF length(destination.signing_secret) NOT BETWEEN 16 AND 200 THEN
        RAISE EXCEPTION 'invalid signing_secret of a notification destination'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Allowed is: 16 to 200 characters, or NULL.';
    ELSIF destination.channel = 'email' AND analytics.current_user_id() IS NOT NULL
          AND NOT analytics_internal.is_mail_allowed(destination.address) THEN
        RAISE EXCEPTION 'mail to this domain is not allowed'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'The operator allows domains with the setting email_domains_allowed.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_address(analytics.notification_destinations) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_address(analytics.notification_destinations) IS
    'refuses a wrong address or secret (22023), without repeating it, and a tenant''s mail to a domain that is not allowed (42501)';

CREATE FUNCTION analytics_internal.destination_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_tenant CONSTANT boolean := analytics.current_user_id() IS NOT NULL;
BEGIN
    IF NOT current_setting('row_security')::boolean THEN
        RETURN NEW; -- a dump is restored
    END IF;
    PERFORM analytics_internal.check_address(NEW);
    IF TG_OP = 'INSERT' OR (NEW.channel, NEW.address) IS DISTINCT FROM (OLD.channel, OLD.address) THEN
        NEW.is_verified := NOT is_tenant OR NEW.channel <> 'email';
        NEW.verification_hash := NULL;
        NEW.verification_expires_at := NULL;
        IF NOT NEW.is_verified THEN
            NEW.verification_hash := analytics_internal.send_verification(NEW.workspace_id, NEW.name);
            NEW.verification_expires_at := now() + interval '1 day';
        END IF;
    END IF;
    NEW.updated_at := CASE WHEN TG_OP = 'INSERT' THEN NEW.updated_at ELSE now() END;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.destination_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.destination_check() IS
    'row trigger: checks address and secret; what tenants enter as mail address is unverified, and gets a code to confirm it';
CREATE TRIGGER check_destination BEFORE INSERT OR UPDATE OF workspace_id, name, channel, address, signing_secret
    ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.destination_check();
COMMENT ON TRIGGER check_destination ON analytics.notification_destinations IS
    'checks address and secret; mail addresses of tenants start unverified';

-- To write a code's hash is to claim knowledge of the code: the right one verifies, others are refused.
CREATE FUNCTION analytics_internal.verification_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.is_verified THEN
        NEW.verification_hash := OLD.verification_hash;
        RETURN NEW;
    END IF;
    IF OLD.verification_expires_at > now() AND NEW.verification_hash = OLD.verification_hash THEN
        NEW.is_verified := true;
        NEW.verification_hash := NULL;
        NEW.verification_expires_at := NULL;
        NEW.updated_at := now();
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'wrong or expired verification code'
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Set the address again to get a new code.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.verification_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.verification_check() IS
    'row trigger: verifies a destination when the hash of its code is written; another one is an error (22023)';
CREATE TRIGGER check_verification BEFORE UPDATE OF verification_hash ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.verification_check();
COMMENT ON TRIGGER check_verification ON analytics.notification_destinations IS
    'verifies a destination when the hash of its code is written';

-- What people change is audited; what the evaluation counts is not, nor any address or secret.
CREATE TRIGGER audit_change AFTER INSERT OR DELETE OR UPDATE OF workspace_id, name, description, is_active, scope,
        metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes,
        cooldown_minutes, severity, no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_change ON analytics.alert_rules IS
    'writes changes to analytics.audit_log';
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_truncate ON analytics.alert_rules IS
    'writes truncation to analytics.audit_log';

-- Whose an acknowledgment or snooze is, and what it replaced; what was found stands in the episode itself.
CREATE FUNCTION analytics_internal.audit_acknowledgment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.write_audit(
        NEW.workspace_id,
        CASE WHEN NEW.acknowledged_at IS NOT DISTINCT FROM OLD.acknowledged_at THEN 'snooze'
             WHEN NEW.acknowledged_at IS NULL THEN 'unacknowledge' ELSE 'acknowledge' END,
        'analytics.alert_history',
        jsonb_build_object('id', OLD.id, 'acknowledged_by', OLD.acknowledged_by, 'acknowledged_at', OLD.acknowledged_at, 'snoozed_until', OLD.snoozed_until),
        jsonb_build_object('id', NEW.id, 'acknowledged_by', NEW.acknowledged_by, 'acknowledged_at', NEW.acknowledged_at, 'snoozed_until', NEW.snoozed_until));
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_acknowledgment() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_acknowledgment() IS
    'row trigger: notes in analytics.audit_log who acknowledged or snoozed an episode, or took that back';
CREATE TRIGGER audit_acknowledgment AFTER UPDATE OF acknowledged_at, snoozed_until ON analytics.alert_history
    FOR EACH ROW
    WHEN (OLD.acknowledged_at IS DISTINCT FROM NEW.acknowledged_at OR OLD.snoozed_until IS DISTINCT FROM NEW.snoozed_until)
    EXECUTE FUNCTION analytics_internal.audit_acknowledgment();
COMMENT ON TRIGGER audit_acknowledgment ON analytics.alert_history IS
    'notes acknowledgments and snoozes in analytics.audit_log';

CREATE FUNCTION analytics_internal.audited_destination(destination analytics.notification_destinations) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('name', destination.name, 'channel', destination.channel, 'is_verified', destination.is_verified)
WHERE destination.name IS NOT NULL
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audited_destination(analytics.notification_destinations) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audited_destination(analytics.notification_destinations) IS
    'what the audit log may know of a destination: name, channel, is_verified';

CREATE FUNCTION analytics_internal.audit_destination() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.is_restore(TG_RELID) THEN
        PERFORM analytics_internal.write_audit(
            CASE WHEN TG_OP = 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END, lower(TG_OP),
            'analytics.notification_destinations', analytics_internal.audited_destination(OLD),
            analytics_internal.audited_destination(NEW));
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_destination() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_destination() IS
    'row trigger: notes in analytics.audit_log that a destination has changed, but neither address nor secret; not a restore';
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_destination();
COMMENT ON TRIGGER audit_change ON analytics.notification_destinations IS
    'notes changes in analytics.audit_log, without address and secret';

CREATE FUNCTION analytics.set_notification_destination(
    workspace_id uuid, name text, channel text, address text, signing_secret text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    -- Not ON CONFLICT: that would need the right to read the address.
    UPDATE analytics.notification_destinations AS d
    SET channel = channel, address = address, signing_secret = signing_secret
    WHERE d.workspace_id = workspace_id AND d.name = name;
    IF NOT FOUND THEN
        INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address, signing_secret)
        VALUES (workspace_id, name, channel, address, signing_secret);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.set_notification_destination(uuid, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.set_notification_destination(uuid, text, text, text, text) IS
    'makes or replaces a destination: channel email, slack or webhook; address or https URL, which nobody can read back through the API; signing_secret (16 to 200 characters) signs webhooks. A mail address set by a tenant must be of an allowed domain (42501) and be verified by the code mailed to it. A wrong value is an error (22023, 23514)';

CREATE FUNCTION analytics.verify_notification_destination(workspace_id uuid, name text, code text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.notification_destinations AS d
    SET verification_hash = sha256(convert_to(upper(btrim(code)), 'UTF8'))
    WHERE d.workspace_id = workspace_id AND d.name = name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'notification destination "%" does not exist', name USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.verify_notification_destination(uuid, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.verify_notification_destination(uuid, text, text) IS
    'confirms a mail address with the code mailed to it, within a day; a wrong code is an error (22023), an unknown destination too (P0002)';

CREATE VIEW analytics.notification_destination_list WITH (security_barrier = true) AS
SELECT d.workspace_id, d.name, d.channel,
       CASE d.channel WHEN 'email' THEN left(d.address, 1) || '***@' || split_part(d.address, '@', 2)
                      ELSE 'https://' || split_part(d.address, '/', 3) || '/***' END AS masked_address,
       d.signing_secret IS NOT NULL AS is_signed, d.is_verified, d.created_at, d.updated_at
FROM analytics.notification_destinations AS d
WHERE d.workspace_id = ANY (analytics.managed_workspace_ids());
COMMENT ON VIEW analytics.notification_destination_list IS
    'destinations of the workspaces that the current user manages, with masked addresses';
COMMENT ON COLUMN analytics.notification_destination_list.workspace_id IS 'workspace that may use it';
COMMENT ON COLUMN analytics.notification_destination_list.name IS 'name that rules refer to';
COMMENT ON COLUMN analytics.notification_destination_list.channel IS 'email, slack or webhook';
COMMENT ON COLUMN analytics.notification_destination_list.masked_address IS 'first letter and domain of a mail address, host of a URL';
COMMENT ON COLUMN analytics.notification_destination_list.is_signed IS 'whether a signing secret is set';
COMMENT ON COLUMN analytics.notification_destination_list.is_verified IS 'false: gets nothing but its verification code';
COMMENT ON COLUMN analytics.notification_destination_list.created_at IS 'when it was made';
COMMENT ON COLUMN analytics.notification_destination_list.updated_at IS 'when it last changed';

-- The notifier's side

CREATE FUNCTION analytics_internal.notification_subject(message jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE message ->> 'kind'
    WHEN 'verification' THEN 'Confirm this address for notifications'
    WHEN 'resolved' THEN format('[resolved] %s', message ->> 'rule_name')
    ELSE format('[%s] %s', message ->> 'severity', message ->> 'rule_name') END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_subject(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_subject(jsonb) IS
    'one line that says what a notification is about';

CREATE FUNCTION analytics_internal.notification_text(message jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN message ->> 'kind' = 'verification' THEN
    format(E'Somebody wants alerts to be sent to this address, as destination "%s".\nIf that is you, confirm it within a day with the code %s.\nOtherwise do nothing: no other mail will come.\n',
           message ->> 'destination_name', message ->> 'code')
ELSE
    format(E'%s\n\nRule: %s\nSeverity: %s\nCondition: %s %s %s\nValue when it fired: %s\nFired: %s\n',
           message ->> 'reason', message ->> 'rule_name', message ->> 'severity', message ->> 'metric_type',
           message ->> 'condition', message ->> 'threshold_value', coalesce(message ->> 'metric_value', 'no data'),
           message ->> 'triggered_at')
    || coalesce('Resolved: ' || (message ->> 'resolved_at') || E'\n', '')
    || format(E'Alert: %s\nWorkspace: %s\n', message ->> 'alert_id', message ->> 'workspace_id')
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_text(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_text(jsonb) IS
    'a notification as plain text, for mail';

-- Slack's markup knows three special characters (Slack API, "Formatting text for app surfaces").
CREATE FUNCTION analytics_internal.slack_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.slack_text(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.slack_text(text) IS
    'text that means itself in Slack''s markup; nobody is mentioned by the name of a rule';

CREATE FUNCTION analytics_internal.notification_body(id uuid, channel text, message jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE channel
    WHEN 'email' THEN analytics_internal.notification_text(message)
    WHEN 'webhook' THEN (message || jsonb_build_object('id', id))::text
    ELSE jsonb_build_object(
        'text', analytics_internal.slack_text(analytics_internal.notification_subject(message)),
        'blocks', jsonb_build_array(
            jsonb_build_object('type', 'header', 'text', jsonb_build_object(
                'type', 'plain_text', 'text', left(analytics_internal.notification_subject(message), 150))),
            jsonb_build_object('type', 'section', 'text', jsonb_build_object(
                'type', 'mrkdwn', 'text', analytics_internal.slack_text(left(message ->> 'reason', 2000)))),
            jsonb_build_object('type', 'context', 'elements', jsonb_build_array(jsonb_build_object(
                'type', 'mrkdwn', 'text', format('%s, alert %s',
                    coalesce(message ->> 'resolved_at', message ->> 'triggered_at'), message ->> 'alert_id'))))))::text
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_body(uuid, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_body(uuid, text, jsonb) IS
    'what is sent: plain text for mail, blocks for Slack, the message with its id as JSON for a webhook';

-- The due messages, at most so many of one destination at a time: a slow one holds up its own only.
CREATE FUNCTION analytics_internal.due_notifications(most integer, most_of_one integer)
RETURNS TABLE (workspace_id uuid, id uuid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
SELECT r.workspace_id, r.id
FROM (SELECT o.workspace_id, o.id, o.next_attempt_at, o.leased_until > now() AS is_leased,
             row_number() OVER (PARTITION BY o.workspace_id, o.destination_name
                                ORDER BY o.leased_until > now() DESC NULLS LAST, o.next_attempt_at, o.id) AS place
      FROM analytics.notification_outbox AS o
      WHERE o.status IN ('waiting', 'sending') AND o.next_attempt_at <= clock_timestamp()) AS r
WHERE r.place <= most_of_one AND r.is_leased IS NOT TRUE
ORDER BY r.next_attempt_at
LIMIT most
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_notifications(integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_notifications(integer, integer) IS
    'up to so many messages that may be sent now, oldest first; of one destination at most most_of_one, those being sent included';

CREATE FUNCTION analytics_internal.claim_notifications(worker text, most integer, lease interval)
RETURNS TABLE (workspace_id uuid, id uuid, attempt integer, channel text, address text, signing_secret text, subject text, body text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_column
DECLARE
    last_attempt CONSTANT integer := analytics.setting('alert_delivery_attempts')::integer;
BEGIN
    -- What cannot be delivered any more: its destination is gone, or the notifier died each time it tried.
    UPDATE analytics.notification_outbox AS o
    SET status = 'dead', leased_by = NULL, leased_until = NULL,
        last_error = CASE WHEN o.attempts >= last_attempt THEN coalesce(o.last_error, 'the notifier ended while sending')
                          ELSE 'the destination does not exist or is not verified' END
    WHERE (o.workspace_id, o.id) IN (
        SELECT d.workspace_id, d.id FROM analytics.notification_outbox AS d
        WHERE d.status IN ('waiting', 'sending') AND d.next_attempt_at <= clock_timestamp()
          AND coalesce(d.leased_until <= clock_timestamp(), true)
          AND (d.attempts >= last_attempt
               OR NOT EXISTS (SELECT FROM analytics.notification_destinations AS n
                              WHERE n.workspace_id = d.workspace_id AND n.name = d.destination_name
                                AND n.channel = d.channel AND (n.is_verified OR d.kind = 'verification')))
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT o.workspace_id, o.id
        FROM analytics_internal.due_notifications(most, 4) AS d
        JOIN analytics.notification_outbox AS o ON o.workspace_id = d.workspace_id AND o.id = d.id
        WHERE o.status IN ('waiting', 'sending') AND coalesce(o.leased_until <= clock_timestamp(), true)
        FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE analytics.notification_outbox AS o
    SET status = 'sending', leased_by = worker, leased_until = clock_timestamp() + lease, attempts = o.attempts + 1
    FROM due, analytics.notification_destinations AS n
    WHERE o.workspace_id = due.workspace_id AND o.id = due.id
      AND n.workspace_id = o.workspace_id AND n.name = o.destination_name
    RETURNING o.workspace_id, o.id, o.attempts, o.channel, n.address, n.signing_secret,
              analytics_internal.notification_subject(o.message),
              analytics_internal.notification_body(o.id, o.channel, o.message);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.claim_notifications(text, integer, interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.claim_notifications(text, integer, interval) IS
    'leases up to so many due messages to a notifier, with what it needs to send them (secrets included); those whose lease ran out are due again. Messages that cannot be delivered become dead';

CREATE FUNCTION analytics_internal.record_delivery(
    worker text, workspace_id uuid, id uuid, is_delivered boolean, is_final boolean, response_status integer,
    latency_ms bigint, error text, retry_after interval)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_variable
DECLARE
    new_status text;
BEGIN
    UPDATE analytics.notification_outbox AS o
    SET status = CASE WHEN is_delivered THEN 'delivered'
                      WHEN is_final OR o.attempts >= analytics.setting('alert_delivery_attempts')::integer THEN 'dead'
                      ELSE 'waiting' END,
        delivered_at = CASE WHEN is_delivered THEN clock_timestamp() END,
        -- Exponential backoff from 5 seconds to an hour, half of it random so that retries spread.
        next_attempt_at = CASE WHEN is_delivered THEN o.next_attempt_at
            ELSE clock_timestamp() + greatest(retry_after,
                least(interval '5 seconds' * 2 ^ least(o.attempts - 1, 20), interval '1 hour') * (0.5 + random() / 2)) END,
        leased_by = NULL, leased_until = NULL,
        last_error = CASE WHEN is_delivered THEN NULL ELSE left(error, 500) END,
        response_status = record_delivery.response_status, latency_ms = record_delivery.latency_ms
    WHERE o.workspace_id = workspace_id AND o.id = id AND o.status = 'sending' AND o.leased_by = worker
    RETURNING o.status INTO new_status;
    RETURN new_status;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval) IS
    'notes the outcome of an attempt: delivered, dead (is_final, or attempts used up), or waiting for the next one, not before retry_after; returns the new status, NULL if the lease was no longer the worker''s';
-- Late changes of events, and closing buckets. A bucket is closed in three transactions (advance_watermark):
-- the mark is set; then a transaction id is taken; when every older transaction is over, whoever had not seen
-- the mark is over, so its events are counted, and whoever comes later notes what he changes.

CREATE FUNCTION analytics_internal.user_activity_deleted() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_deleted';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_deleted() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_deleted() IS
    'row trigger of user_activity: notes deleted events of closed hours in analytics.dirty_hours';
CREATE TRIGGER note_deleted BEFORE DELETE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_deleted();
COMMENT ON TRIGGER note_deleted ON analytics.user_activity IS
    'notes deleted events of closed hours';

CREATE FUNCTION analytics_internal.user_activity_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT h.workspace_id, h.metric_hour
    FROM analytics.hourly_metrics AS h, analytics.watermark AS w
    WHERE h.metric_hour < w.marked_until
    UNION
    SELECT d.workspace_id, date_trunc('hour', b.day_start, 'UTC')
    FROM analytics.daily_metrics AS d, analytics.watermark AS w,
         analytics.workspace_day_bounds(d.workspace_id, d.metric_date) AS b
    WHERE b.day_start < w.marked_until;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_truncated() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_truncated() IS
    'statement trigger of user_activity: notes every closed hour and day that has rollups in analytics.dirty_hours';
CREATE TRIGGER note_truncated BEFORE TRUNCATE ON analytics.user_activity
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.user_activity_truncated();
COMMENT ON TRIGGER note_truncated ON analytics.user_activity IS
    'notes every closed bucket that has rollups; not fired by TRUNCATE of a single partition';

CREATE FUNCTION analytics_internal.advance_watermark(mark timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w analytics.watermark;
BEGIN
    SELECT * INTO w FROM analytics.watermark FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO analytics.watermark (marked_until) VALUES (mark) ON CONFLICT DO NOTHING;
        RETURN CASE WHEN FOUND THEN 'marked' ELSE 'waiting' END;
    ELSIF w.closed_until = w.marked_until THEN
        IF mark <= w.marked_until THEN
            RETURN 'idle';
        END IF;
        UPDATE analytics.watermark SET marked_until = mark, marked_by = pg_current_xact_id(), closing_xid = NULL;
        RETURN 'marked';
    ELSIF w.closing_xid IS NULL OR w.closing_xid > pg_current_xact_id() THEN -- of another server, before a restore
        IF w.marked_by = pg_current_xact_id() THEN
            RETURN 'marked';
        END IF;
        UPDATE analytics.watermark SET closing_xid = pg_current_xact_id();
        RETURN 'taken';
    ELSIF w.closing_xid = pg_current_xact_id() OR pg_snapshot_xmin(pg_current_snapshot()) < w.closing_xid THEN
        RETURN 'waiting';
    END IF;
    RETURN 'ready';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.advance_watermark(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.advance_watermark(timestamptz) IS
    'one phase of closing what ended by mark, each in a transaction of its own: idle (nothing to close), marked, taken (the transaction id), waiting (for older transactions), ready (buckets up to marked_until may be aggregated for good)';

-- The mark stays a minute behind, so that events on their way are not taken for late ones.
CREATE FUNCTION analytics_internal.next_mark() RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT date_trunc('hour', now() - interval '1 minute', 'UTC') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_mark() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_mark() IS 'up to where buckets may be closed now';

CREATE FUNCTION analytics_internal.is_sealed(workspace_id uuid, from_time timestamptz, to_time timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM analytics.sealed_days AS s
               WHERE (is_sealed.workspace_id IS NULL OR s.workspace_id = is_sealed.workspace_id)
                 AND s.event_day BETWEEN (from_time AT TIME ZONE 'UTC')::date
                                     AND ((to_time - interval '1 microsecond') AT TIME ZONE 'UTC')::date)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_sealed(uuid, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_sealed(uuid, timestamptz, timestamptz) IS
    'true when retention removed events between the instants, of the workspace or, for NULL, of any';

-- Aggregates a day of one workspace, or of all; what is sealed is left as it is.
CREATE FUNCTION analytics_internal.aggregate_unsealed_day(day date, target_workspace_id uuid, is_repair boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    id uuid;
    day_start timestamptz;
    day_end timestamptz;
BEGIN
    IF target_workspace_id IS NOT NULL THEN
        SELECT b.day_start, b.day_end INTO day_start, day_end
        FROM analytics.workspace_day_bounds(target_workspace_id, day) AS b;
        IF day_start IS NULL OR analytics_internal.is_sealed(target_workspace_id, day_start, day_end) THEN
            RETURN 0;
        END IF;
        RETURN analytics_internal.aggregate_daily_metrics(day, target_workspace_id, is_repair);
    ELSIF NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.event_day BETWEEN day - 1 AND day + 1) THEN
        RETURN analytics_internal.aggregate_daily_metrics(day, NULL, is_repair);
    END IF;
    FOR id IN
        SELECT DISTINCT e.workspace_id FROM analytics.user_activity AS e
        WHERE e.created_at >= (day - 1)::timestamp AT TIME ZONE 'UTC'
          AND e.created_at < (day + 2)::timestamp AT TIME ZONE 'UTC'
        UNION
        SELECT d.workspace_id FROM analytics.daily_metrics AS d WHERE d.metric_date = day
        ORDER BY 1
    LOOP
        written := written + analytics_internal.aggregate_unsealed_day(day, id, is_repair);
    END LOOP;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_unsealed_day(date, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_unsealed_day(date, uuid, boolean) IS
    'analytics.aggregate_daily_metrics() for the workspaces whose day is not sealed; is_repair: as there; the number of workspaces written';

CREATE FUNCTION analytics_internal.aggregate_unsealed_hour(hour timestamptz, target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    id uuid;
BEGIN
    -- Older ones would only be made to be removed.
    IF hour < now() - analytics_internal.retention('hourly_metrics') THEN
        RETURN 0;
    ELSIF NOT analytics_internal.is_sealed(target_workspace_id, hour, hour + interval '1 hour') THEN
        RETURN analytics_internal.aggregate_hourly_metrics(hour, target_workspace_id);
    ELSIF target_workspace_id IS NOT NULL THEN
        RETURN 0;
    END IF;
    FOR id IN
        SELECT DISTINCT e.workspace_id FROM analytics.user_activity AS e
        WHERE e.created_at >= hour AND e.created_at < hour + interval '1 hour'
    LOOP
        written := written + analytics_internal.aggregate_unsealed_hour(hour, id);
    END LOOP;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_unsealed_hour(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_unsealed_hour(timestamptz, uuid) IS
    'analytics.aggregate_hourly_metrics() for the workspaces whose hour is not sealed and not past its retention; the number of workspaces written';

-- Where the data of one workspace are to blame, the others are aggregated. A full disk, a lock, a shutdown or a
-- serialization failure are nobody's fault: the whole step fails and is tried again.
CREATE FUNCTION analytics_internal.is_fault_of_data(state text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT state !~ '^(25|40|57|58)' AND state NOT IN ('53100', '53300', '53400', '55006', '55P03') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_fault_of_data(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_fault_of_data(text) IS
    'whether an error of this SQLSTATE may concern a single bucket; else others would fail too';

CREATE FUNCTION analytics_internal.note_failure(target_workspace_id uuid, day date, hour timestamptz, reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failed record;
BEGIN
    SELECT b.day_start, b.day_end INTO failed FROM analytics.workspace_day_bounds(target_workspace_id, day) AS b;
    INSERT INTO analytics.failed_days AS f (workspace_id, metric_date, day_start, day_end, error, next_attempt_at)
    VALUES (target_workspace_id, day, failed.day_start, failed.day_end, reason, now() + interval '1 minute')
    ON CONFLICT (workspace_id, metric_date) DO UPDATE
    SET attempts = f.attempts + 1, error = EXCLUDED.error, last_failed_at = now(),
        next_attempt_at = now() + least(interval '1 minute' * 2 ^ least(f.attempts, 11), interval '1 day')
    WHERE f.last_failed_at < now(); -- the day and several of its hours are one attempt
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT target_workspace_id, d.metric_hour
    FROM (SELECT COALESCE(hour, date_trunc('hour', failed.day_start + interval '1 hour' - interval '1 microsecond', 'UTC')) AS metric_hour) AS d
    WHERE d.metric_hour < (SELECT w.marked_until FROM analytics.watermark AS w)
      AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS n
                      WHERE n.workspace_id = target_workspace_id AND n.metric_hour = d.metric_hour);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.note_failure(uuid, date, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.note_failure(uuid, date, timestamptz, text) IS
    'sets a local day that could not be aggregated, or its hour, aside in analytics.failed_days, and notes what is closed in analytics.dirty_hours, so that repair tries it again';

CREATE FUNCTION analytics_internal.try_aggregate(day date, hour timestamptz, target_workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    reason text;
    first_time timestamptz := COALESCE(hour, (day - 1)::timestamp AT TIME ZONE 'UTC');
    last_time timestamptz := COALESCE(hour + interval '1 hour', (day + 2)::timestamp AT TIME ZONE 'UTC');
    id uuid;
BEGIN
    BEGIN
        IF day IS NULL THEN
            RETURN analytics_internal.aggregate_unsealed_hour(hour, target_workspace_id);
        END IF;
        RETURN analytics_internal.aggregate_unsealed_day(day, target_workspace_id);
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
        reason := concat(SQLSTATE, ': ', SQLERRM);
    END;
    IF target_workspace_id IS NOT NULL THEN
        PERFORM analytics_internal.note_failure(target_workspace_id,
                                                COALESCE(day, analytics.workspace_today(target_workspace_id, hour)), hour, reason);
        RETURN 0;
    END IF;
    FOR id IN
        SELECT e.workspace_id FROM analytics.user_activity AS e WHERE e.created_at >= first_time AND e.created_at < last_time
        UNION SELECT d.workspace_id FROM analytics.daily_metrics AS d WHERE d.metric_date = day
        UNION SELECT h.workspace_id FROM analytics.hourly_metrics AS h WHERE h.metric_hour = hour
        ORDER BY 1
    LOOP
        written := written + analytics_internal.try_aggregate(day, hour, id);
    END LOOP;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_aggregate(date, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_aggregate(date, timestamptz, uuid) IS
    'aggregates a local day or (day NULL) an hour, of one workspace or of all, but what is sealed; of all, if that fails, one after the other. Who fails is noted in analytics.failed_days. The number of workspaces written';

-- Locks out other closers and repairers to the end of the transaction. Whoever aggregates several buckets in one
-- transaction takes it first, or, holding locks of the aggregation already, only tries: so nobody deadlocks.
CREATE FUNCTION analytics_internal.lock_closing() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT pg_advisory_xact_lock(1523621891, 3)';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_closing() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_closing() IS
    'lets one transaction at a time close or repair buckets';

CREATE FUNCTION analytics_internal.try_lock_closing() RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT pg_try_advisory_xact_lock(1523621891, 3)';
REVOKE EXECUTE ON FUNCTION analytics_internal.try_lock_closing() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_lock_closing() IS
    'lock_closing() without waiting: false while another transaction closes or repairs buckets';

CREATE FUNCTION analytics_internal.report_progress(work text, at timestamptz) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$ SELECT set_config('application_name', format('shadow_analytics: %s %s', work, to_char(at, 'YYYY-MM-DD HH24:MI')), true) $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_progress(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_progress(text, timestamptz) IS
    'shows in application_name, until the transaction ends, what a long transaction is at';

CREATE FUNCTION analytics_internal.count_day(day date, target_workspace_id uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- one partition, and one workspace or all
AS $$
BEGIN
    DELETE FROM analytics.closed_days AS c
    WHERE c.event_day = day AND (target_workspace_id IS NULL OR c.workspace_id = target_workspace_id);
    INSERT INTO analytics.closed_days (workspace_id, event_day, events)
    SELECT e.workspace_id, day, count(*) FROM analytics.user_activity AS e
    WHERE e.created_at >= day::timestamp AT TIME ZONE 'UTC' AND e.created_at < (day + 1)::timestamp AT TIME ZONE 'UTC'
      AND (target_workspace_id IS NULL OR e.workspace_id = target_workspace_id)
    GROUP BY e.workspace_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_day(date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_day(date, uuid) IS
    'counts the events of a UTC day, of one workspace or of all, into analytics.closed_days';

-- Entries are taken before the events are read, so an entry that comes meanwhile stays for the next repair.
CREATE FUNCTION analytics_internal.repair_day(target_workspace_id uuid, day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day_start timestamptz;
    day_end timestamptz;
    hours timestamptz[];
    hour timestamptz;
    other_day date;
BEGIN
    SELECT b.day_start, b.day_end INTO day_start, day_end
    FROM analytics.workspace_day_bounds(target_workspace_id, day) AS b;
    WITH taken AS (
        DELETE FROM analytics.dirty_hours AS d
        WHERE d.workspace_id = target_workspace_id
          AND d.metric_hour > day_start - interval '1 hour' AND d.metric_hour < day_end
        RETURNING d.metric_hour
    )
    SELECT array_agg(DISTINCT t.metric_hour) INTO hours FROM taken AS t;

    FOREACH hour IN ARRAY COALESCE(hours, '{}') LOOP
        PERFORM analytics_internal.aggregate_unsealed_hour(hour, target_workspace_id);
    END LOOP;
    -- Where days do not begin on a full UTC hour, one hour belongs to two days.
    FOR other_day IN
        SELECT DISTINCT analytics.workspace_today(target_workspace_id, h.hour + offsets.since)
        FROM unnest(hours) AS h (hour), (VALUES (interval '0'), (interval '1 hour' - interval '1 microsecond')) AS offsets (since)
        WHERE h.hour + offsets.since <= now()
        ORDER BY 1
    LOOP
        PERFORM analytics_internal.aggregate_unsealed_day(other_day, target_workspace_id, true);
    END LOOP;
    PERFORM analytics_internal.count_day(d.day, target_workspace_id)
    FROM (SELECT DISTINCT (h.hour AT TIME ZONE 'UTC')::date AS day FROM unnest(hours) AS h (hour)) AS d, analytics.watermark AS w
    WHERE (d.day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
    RETURN COALESCE(cardinality(hours), 0);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_day(uuid, date) IS
    'computes the dirty hours of a workspace''s local day and that day again, and returns the number of hours; what is sealed stays as it is';

-- When events of many workspaces have changed, as after an import, a scan of the whole day does it at once.
CREATE FUNCTION analytics_internal.repair_utc_day(utc_day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hours timestamptz[];
    days date[];
    repaired bigint;
    hour timestamptz;
    day date;
BEGIN
    WITH taken AS (
        DELETE FROM analytics.dirty_hours AS d
        WHERE d.metric_hour >= utc_day::timestamp AT TIME ZONE 'UTC'
          AND d.metric_hour < (utc_day + 1)::timestamp AT TIME ZONE 'UTC'
        RETURNING d.workspace_id, d.metric_hour
    ), dirty AS MATERIALIZED (
        SELECT DISTINCT t.workspace_id, t.metric_hour FROM taken AS t
    ), local AS (
        SELECT analytics.workspace_today(d.workspace_id, d.metric_hour + o.since) AS day
        FROM dirty AS d, (VALUES (interval '0'), (interval '1 hour' - interval '1 microsecond')) AS o (since)
        WHERE d.workspace_id IN (SELECT s.workspace_id FROM analytics.workspace_settings AS s)
          AND d.metric_hour + o.since <= now()
        UNION SELECT utc_day
    )
    SELECT count(*), array_agg(DISTINCT d.metric_hour), ARRAY(SELECT l.day FROM local AS l ORDER BY 1)
    INTO repaired, hours, days FROM dirty AS d;

    IF repaired = 0 THEN
        RETURN 0;
    END IF;
    FOREACH hour IN ARRAY hours LOOP
        PERFORM analytics_internal.report_progress('repairing', hour);
        PERFORM analytics_internal.aggregate_unsealed_hour(hour, NULL);
    END LOOP;
    FOREACH day IN ARRAY days LOOP
        PERFORM analytics_internal.aggregate_unsealed_day(day, NULL, true);
    END LOOP;
    PERFORM analytics_internal.count_day(utc_day, NULL) FROM analytics.watermark AS w
    WHERE (utc_day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_utc_day(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_utc_day(date) IS
    'computes the dirty hours of a UTC day and the local days that they belong to again, for all workspaces, and returns how many hours were dirty; what is sealed stays as it is';

CREATE FUNCTION analytics_internal.try_repair_day(target_workspace_id uuid, day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    repaired bigint;
    reason text;
BEGIN
    BEGIN
        repaired := analytics_internal.repair_day(target_workspace_id, day);
        DELETE FROM analytics.failed_days AS f WHERE f.workspace_id = target_workspace_id AND f.metric_date = day;
        RETURN repaired;
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
        reason := concat(SQLSTATE, ': ', SQLERRM);
    END;
    PERFORM analytics_internal.note_failure(target_workspace_id, day, NULL, reason);
    RETURN -1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_repair_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_repair_day(uuid, date) IS
    'repair_day(); -1 when it failed and the day was set aside';

-- When a whole day fails, one workspace after the other until who is to blame is set aside; the next calls know him.
CREATE FUNCTION analytics_internal.try_repair_utc_day(utc_day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day_start CONSTANT timestamptz := utc_day::timestamp AT TIME ZONE 'UTC';
    repaired bigint := 0;
    dirty record;
    hours bigint;
BEGIN
    BEGIN
        RETURN analytics_internal.repair_utc_day(utc_day);
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
    END;
    FOR dirty IN
        SELECT d.workspace_id, analytics.workspace_today(d.workspace_id, d.metric_hour) AS day
        FROM (SELECT DISTINCT n.workspace_id, n.metric_hour FROM analytics.dirty_hours AS n
              WHERE n.metric_hour >= day_start AND n.metric_hour < day_start + interval '1 day') AS d
        GROUP BY 1, 2
    LOOP
        hours := analytics_internal.try_repair_day(dirty.workspace_id, dirty.day);
        repaired := repaired + abs(hours);
        EXIT WHEN hours < 0;
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_repair_utc_day(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_repair_utc_day(date) IS
    'repair_utc_day(); where it fails, days of single workspaces up to the one to blame, which is set aside';

CREATE FUNCTION analytics_internal.next_dirty_hour(
    before timestamptz DEFAULT 'infinity', OUT workspace_id uuid, OUT metric_hour timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT d.workspace_id, d.metric_hour
FROM analytics.dirty_hours AS d
WHERE d.metric_hour < before
  AND NOT EXISTS (SELECT FROM analytics.failed_days AS f
                  WHERE f.workspace_id = d.workspace_id AND f.next_attempt_at > now()
                    AND d.metric_hour > f.day_start - interval '1 hour' AND d.metric_hour < f.day_end)
ORDER BY d.metric_hour DESC LIMIT 1
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_dirty_hour(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_dirty_hour(timestamptz) IS
    'the newest dirty hour before an instant, but for days set aside in analytics.failed_days; no row without';

-- Against whoever aggregates meanwhile: the lock that a run over all workspaces takes.
CREATE FUNCTION analytics_internal.update_stale_totals() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspaces bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1523621889, 0);
    WITH stale AS (
        DELETE FROM analytics.stale_totals AS s
        WHERE s.workspace_id IN (SELECT c.workspace_id FROM analytics.stale_totals AS c ORDER BY c.workspace_id LIMIT 1000)
        RETURNING s.workspace_id, s.from_date
    ), later AS (
        SELECT d.workspace_id, d.metric_date, analytics.user_set_cardinality(d.users) AS active_users,
               analytics.user_set_cardinality(d.new_users) AS new_users,
               COALESCE((SELECT m.total_users FROM analytics.daily_metrics AS m
                         WHERE m.workspace_id = s.workspace_id AND m.metric_date <= s.from_date
                         ORDER BY m.metric_date DESC LIMIT 1),
                        (SELECT count(*) FROM analytics.users AS u
                         WHERE u.workspace_id = s.workspace_id AND u.first_date <= s.from_date)) AS users_before
        FROM stale AS s
        JOIN analytics.daily_users AS d ON d.workspace_id = s.workspace_id AND d.metric_date > s.from_date
    ), counted AS (
        SELECT l.workspace_id, l.metric_date, l.new_users, l.active_users - l.new_users AS returning_users,
               l.users_before + sum(l.new_users) OVER (PARTITION BY l.workspace_id ORDER BY l.metric_date) AS total_users
        FROM later AS l
    ), updated AS (
        UPDATE analytics.daily_metrics AS t
        SET new_users = c.new_users, returning_users = c.returning_users, total_users = c.total_users, updated_at = now()
        FROM counted AS c
        WHERE t.workspace_id = c.workspace_id AND t.metric_date = c.metric_date
          AND (t.new_users, t.returning_users, t.total_users) <> (c.new_users, c.returning_users, c.total_users)
    )
    SELECT count(*) INTO workspaces FROM stale;
    RETURN workspaces;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.update_stale_totals() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.update_stale_totals() IS
    'brings the counts of users of the days that analytics.stale_totals names up to date, of 1,000 workspaces at a time; how many';

CREATE FUNCTION analytics_internal.repair_newest(before timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    few CONSTANT integer := 8;
    dirty record;
    utc_day timestamptz;
    workspaces bigint;
BEGIN
    PERFORM analytics_internal.lock_closing();
    SELECT d.workspace_id, d.metric_hour INTO dirty FROM analytics_internal.next_dirty_hour(before) AS d;
    IF NOT FOUND THEN
        RETURN analytics_internal.update_stale_totals();
    END IF;
    utc_day := date_trunc('day', dirty.metric_hour, 'UTC');
    SELECT count(DISTINCT d.workspace_id) INTO workspaces FROM analytics.dirty_hours AS d
    WHERE d.metric_hour >= utc_day AND d.metric_hour < utc_day + interval '1 day';
    IF workspaces > few AND NOT EXISTS (SELECT FROM analytics.failed_days AS f
                                        WHERE f.day_start < utc_day + interval '1 day' AND f.day_end > utc_day) THEN
        RETURN analytics_internal.try_repair_utc_day((utc_day AT TIME ZONE 'UTC')::date);
    END IF;
    RETURN abs(analytics_internal.try_repair_day(dirty.workspace_id,
                                                 analytics.workspace_today(dirty.workspace_id, dirty.metric_hour)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_newest(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_newest(timestamptz) IS
    'repairs the workspace and local day of the newest dirty hour before an instant, or that UTC day of all workspaces when many are dirty; the number of hours (1 for a day that failed and was set aside), at last of workspaces whose totals were stale; 0 when nothing is left to be repaired now';

CREATE FUNCTION analytics_internal.forget_mended_days(after_time timestamptz, until_time timestamptz) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
DELETE FROM analytics.failed_days AS f
WHERE f.day_end > after_time AND f.day_end <= until_time AND f.last_failed_at < now()
  AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS d
                  WHERE d.workspace_id = f.workspace_id
                    AND d.metric_hour > f.day_start - interval '1 hour' AND d.metric_hour < f.day_end)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_mended_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_mended_days(timestamptz, timestamptz) IS
    'to be called when the days that end between the instants were aggregated: forgets the failures of those that did not fail this time';

CREATE FUNCTION analytics_internal.new_failures() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('%s (workspace %s, %s)', f.error, f.workspace_id, to_char(f.metric_date, 'YYYY-MM-DD'))
    || CASE WHEN count(*) OVER () > 1 THEN format(' and %s more in analytics.failed_days', count(*) OVER () - 1) ELSE '' END
FROM analytics.failed_days AS f WHERE f.last_failed_at = now()
ORDER BY f.metric_date DESC, f.workspace_id LIMIT 1
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.new_failures() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.new_failures() IS
    'what this transaction has set aside in analytics.failed_days; NULL: nothing';

CREATE FUNCTION analytics_internal.retry_failed_days(target_workspace_id uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
WITH retried AS (
    UPDATE analytics.failed_days AS f SET next_attempt_at = now()
    WHERE target_workspace_id IS NULL OR f.workspace_id = target_workspace_id RETURNING 1
)
SELECT count(*) FROM retried
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retry_failed_days(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retry_failed_days(uuid) IS
    'analytics.retry_failed_days() with the rights of the owner';

CREATE FUNCTION analytics.retry_failed_days(target_workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.retry_failed_days(target_workspace_id)';
REVOKE EXECUTE ON FUNCTION analytics.retry_failed_days(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.retry_failed_days(uuid) IS
    'lets the next analytics.maintain() try the days of analytics.failed_days again, of one workspace or (NULL) of all, instead of waiting for next_attempt_at; returns how many there are';

-- Of partitions the first row tells, of rollups the index by date: only what lies before the first event is looked at.
CREATE FUNCTION analytics_internal.next_used_day(from_time timestamptz, to_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    first_time timestamptz;
    partition record;
    is_used boolean;
BEGIN
    SELECT least(to_time, min(e.created_at)) INTO first_time
    FROM analytics.user_activity_default AS e WHERE e.created_at >= from_time;
    FOR partition IN
        SELECT p.name, p.day::timestamp AT TIME ZONE 'UTC' AS day_start FROM analytics_internal.day_partitions() AS p
        WHERE p.day >= (from_time AT TIME ZONE 'UTC')::date ORDER BY p.day
    LOOP
        EXIT WHEN partition.day_start >= first_time;
        EXECUTE format('SELECT EXISTS (SELECT FROM analytics.%I)', partition.name) INTO is_used;
        IF is_used THEN
            first_time := partition.day_start;
            EXIT;
        END IF;
    END LOOP;
    SELECT least(first_time, min(h.metric_hour)) INTO first_time FROM analytics.hourly_metrics AS h
    WHERE h.metric_hour >= from_time AND h.metric_hour < first_time;
    -- A local day may begin on the UTC day before.
    SELECT least(first_time, (min(d.metric_date) - 1)::timestamp AT TIME ZONE 'UTC') INTO first_time FROM analytics.daily_metrics AS d
    WHERE d.metric_date > (from_time AT TIME ZONE 'UTC')::date AND d.metric_date <= (first_time AT TIME ZONE 'UTC')::date;
    RETURN date_trunc('day', first_time, 'UTC');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_used_day(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_used_day(timestamptz, timestamptz) IS
    'start of the first UTC day between the instants with an event or a rollup; that of to_time if there is none';

-- Days without events are jumped over, but for the two after one with events: there its local days end.
CREATE FUNCTION analytics_internal.first_unclosed_time() RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w analytics.watermark;
BEGIN
    SELECT * INTO w FROM analytics.watermark;
    IF w.marked_until <= w.closed_until + interval '1 day' THEN
        RETURN w.closed_until;
    END IF;
    RETURN greatest(w.closed_until, analytics_internal.next_used_day(w.closed_until - interval '2 days', w.marked_until));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.first_unclosed_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.first_unclosed_time() IS
    'where closing goes on: at closed_until of the watermark or the next day with events or rollups';

CREATE FUNCTION analytics_internal.day_partitions(OUT name name, OUT day date) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.relname, to_date(right(c.relname, 8), 'YYYYMMDD')
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = 'analytics.user_activity'::regclass AND c.relname ~ '^user_activity_[0-9]{8}$'
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.day_partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.day_partitions() IS
    'attached partitions of user_activity and their UTC days, the default partition left out';

-- Local days that end after from_time and not after to_time, of the workspaces with a time zone of their own.
CREATE FUNCTION analytics_internal.ended_days(
    from_time timestamptz, to_time timestamptz, OUT workspace_id uuid, OUT day date)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT w.workspace_id, d.day
FROM (SELECT DISTINCT s.workspace_id FROM analytics.workspace_settings AS s) AS w,
     (SELECT (from_time AT TIME ZONE 'UTC')::date + n AS day
      FROM generate_series(-2, (to_time AT TIME ZONE 'UTC')::date - (from_time AT TIME ZONE 'UTC')::date + 1) AS n) AS d,
     analytics.workspace_day_bounds(w.workspace_id, d.day) AS b
WHERE b.day_end > from_time AND b.day_end <= to_time
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ended_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ended_days(timestamptz, timestamptz) IS
    'workspaces with a time zone of their own and their local days with from_time < end <= to_time';

-- Limits are parameters of custom plans, so that only the partitions concerned are planned.
CREATE FUNCTION analytics_internal.aggregate_for_good(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    written bigint := 0;
    few CONSTANT integer := 8; -- workspaces that are aggregated one by one
    oldest timestamptz := greatest(from_time, now() - analytics_internal.retention('hourly_metrics'));
    utc_day date;
    hour timestamptz;
    ended record;
    id uuid;
BEGIN
    FOR hour IN
        SELECT date_trunc('hour', e.created_at, 'UTC') FROM analytics.user_activity AS e
        WHERE e.created_at >= oldest AND e.created_at < to_time
        UNION
        SELECT h.metric_hour FROM analytics.hourly_metrics AS h
        WHERE h.metric_hour >= from_time AND h.metric_hour < to_time
        ORDER BY 1
    LOOP
        PERFORM analytics_internal.report_progress('closing', hour);
        written := written + analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    IF to_time = date_trunc('day', to_time, 'UTC') THEN
        utc_day := (to_time AT TIME ZONE 'UTC')::date - 1;
        written := written + analytics_internal.try_aggregate(utc_day, NULL);
        PERFORM analytics_internal.count_day(utc_day, NULL);
    END IF;
    FOR ended IN
        SELECT d.day, CASE WHEN count(*) <= few THEN array_agg(d.workspace_id ORDER BY d.workspace_id)
                           ELSE ARRAY[NULL]::uuid[] END AS workspaces
        FROM analytics_internal.ended_days(from_time, to_time) AS d
        WHERE d.day IS DISTINCT FROM utc_day GROUP BY d.day ORDER BY d.day
    LOOP
        FOREACH id IN ARRAY ended.workspaces LOOP
            written := written + analytics_internal.try_aggregate(ended.day, NULL, id);
        END LOOP;
    END LOOP;
    PERFORM analytics_internal.forget_mended_days(from_time, to_time);
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_for_good(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_for_good(timestamptz, timestamptz) IS
    'aggregates the hours between the instants and the local days that ended between them; at most one UTC midnight may lie in from_time < t <= to_time, and that at to_time. What fails is set aside in analytics.failed_days';

CREATE FUNCTION analytics_internal.close_next() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    marked_until timestamptz;
    from_time timestamptz;
    to_time timestamptz;
    written bigint;
BEGIN
    PERFORM analytics_internal.lock_closing();
    IF analytics_internal.advance_watermark('-infinity') <> 'ready' THEN
        RETURN NULL;
    END IF;
    SELECT w.marked_until INTO marked_until FROM analytics.watermark AS w;
    from_time := analytics_internal.first_unclosed_time();
    to_time := least(date_trunc('day', from_time, 'UTC') + interval '1 day', marked_until);
    written := analytics_internal.aggregate_for_good(from_time, to_time);
    UPDATE analytics.watermark SET closed_until = to_time;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.close_next() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.close_next() IS
    'closes what ended between closed_until and marked_until of the watermark, at most to the next UTC midnight; rollups written, NULL when nothing is ready to be closed';
-- reading: functions over the rollups. They run as the caller, so row security decides which workspaces count.

-- Functions that a refresh calls per row are not STRICT: PostgreSQL would not inline them.

-- Wilson (1927), J. Am. Stat. Assoc. 22(158):209-212: lower end of the score interval,
-- (p + z^2/2n - z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.959964.
CREATE FUNCTION analytics.wilson_lower_bound(successes bigint, trials bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN trials > 0 AND successes BETWEEN 0 AND trials THEN
    round(((successes + 1.920729410347062
            - 1.959963984540054 * sqrt(successes::double precision * (trials - successes) / trials + 0.960364705173531))
           / (trials + 3.841458820694124))::numeric, 4)
END;
COMMENT ON FUNCTION analytics.wilson_lower_bound(bigint, bigint) IS
    'lower bound of a rate at 95 % (Wilson 1927), 0 to 1, 4 decimals: ranks 98 of 100 (0.9300) above 1 of 1 (0.2065). NULL without a trial, for counts that are no rate and for NULL';

CREATE FUNCTION analytics.trend_direction(current_total bigint, previous_total bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN current_total IS NULL OR previous_total IS NULL THEN NULL
    WHEN previous_total = 0 AND current_total > 0 THEN 'new'
    WHEN 100 * current_total > 105 * previous_total THEN 'growing'
    WHEN 100 * current_total < 95 * previous_total THEN 'declining'
    ELSE 'stable'
END;
COMMENT ON FUNCTION analytics.trend_direction(bigint, bigint) IS
    'growing or declining where the totals of two periods of equal length differ by more than 5 %, else stable; new where the previous one is 0 and the current one is not; NULL for NULL';

CREATE FUNCTION analytics.growth_rate(current_value numeric, previous_value numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(100 * (current_value - previous_value) / nullif(previous_value, 0), 2);
COMMENT ON FUNCTION analytics.growth_rate(numeric, numeric) IS
    'growth from the previous to the current value in percent, 2 decimals; NULL where the previous one is 0 or either is NULL';

CREATE FUNCTION analytics.interpolated_quantile(sketch analytics.quantile_sketch, fraction double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_interpolated_quantile';
COMMENT ON FUNCTION analytics.interpolated_quantile(analytics.quantile_sketch, double precision) IS
    'as percentile_cont (Hyndman-Fan type 7): interpolates between neighbouring ranks, each within the relative accuracy of the sketch; NULL for a NULL argument; error: a fraction outside [0, 1]';

CREATE FUNCTION analytics.get_workspace_metrics(
    workspace_id uuid,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL,
    fill_gaps boolean DEFAULT false)
RETURNS TABLE (
    metric_date date,
    active_users bigint,
    total_runs bigint,
    successful_runs bigint,
    failed_runs bigint,
    success_rate numeric,
    total_credits numeric,
    avg_runtime numeric,
    unique_agents bigint,
    total_sessions bigint,
    total_events bigint,
    total_errors bigint,
    error_rate numeric,
    total_cost numeric,
    is_final boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, today - 1);
    first_date date := coalesce(start_date, last_date - 29);
BEGIN
    IF first_date > last_date THEN
        RAISE EXCEPTION 'start_date must not be later than end_date'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Both days are included; left out, they are the last 30 complete days.';
    END IF;
    IF fill_gaps AND NOT (isfinite(first_date) AND isfinite(last_date)) THEN
        RAISE EXCEPTION 'cannot fill the gaps of an infinite range'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give finite dates, or leave fill_gaps out.';
    END IF;

    RETURN QUERY
    SELECT d.metric_date, d.active_users, d.total_runs, d.successful_runs, d.failed_runs, d.success_rate::numeric,
           d.total_credits_consumed, d.avg_runtime_seconds, d.unique_agents_run, d.total_sessions, d.total_events,
           d.total_errors, d.error_rate::numeric, d.total_cost, d.is_final
    FROM analytics.daily_metrics AS d
    WHERE d.workspace_id = get_workspace_metrics.workspace_id AND d.metric_date BETWEEN first_date AND last_date
    UNION ALL
    SELECT first_date + g.i, 0, 0, 0, 0, NULL, 0, NULL, 0, 0, 0, 0, NULL, NULL, first_date + g.i < today
    FROM generate_series(0, CASE WHEN fill_gaps THEN least(last_date, today) - first_date ELSE -1 END) AS g (i)
    WHERE EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_metrics.workspace_id)
      AND NOT EXISTS (SELECT FROM analytics.daily_metrics AS m
                      WHERE m.workspace_id = get_workspace_metrics.workspace_id AND m.metric_date = first_date + g.i)
    ORDER BY 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) IS
    'daily metrics of a workspace from start_date to end_date, both included (default: the last 30 complete days), ascending. A day without an event has no row, or with fill_gaps one with counts 0 and rates NULL (none in the future). No row for a workspace that the caller may not see. Errors (22023): start_date after end_date, an infinite range with fill_gaps';

CREATE FUNCTION analytics.get_agent_insights(agent_id uuid, days integer DEFAULT 30)
RETURNS TABLE (
    total_runs bigint,
    success_rate numeric,
    avg_runtime numeric,
    p50_runtime numeric,
    p95_runtime numeric,
    p99_runtime numeric,
    total_credits numeric,
    unique_users bigint,
    trend_direction text,
    top_error_types jsonb,
    successful_runs bigint,
    failed_runs bigint,
    cancelled_runs bigint,
    total_cost numeric,
    total_tokens_used numeric,
    total_feedback_count bigint,
    last_active_date date)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL OR days NOT BETWEEN 1 AND 36500 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s.', coalesce(days::text, 'NULL')),
                  HINT = 'get_agent_insights(agent_id, 7) covers the last 7 complete days.';
    END IF;

    RETURN QUERY
    WITH workspace AS MATERIALIZED (
        SELECT w.workspace_id, analytics.workspace_today(w.workspace_id) - 1 AS last_date
        FROM (SELECT DISTINCT p.workspace_id FROM analytics.agent_performance AS p
              WHERE p.agent_id = get_agent_insights.agent_id) AS w
    ), covered AS MATERIALIZED (
        SELECT p.*
        FROM workspace AS w
        JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id AND p.agent_id = get_agent_insights.agent_id
        WHERE p.metric_date BETWEEN w.last_date - days + 1 AND w.last_date
    ), total AS (
        SELECT coalesce(sum(c.total_runs), 0)::bigint AS runs, coalesce(sum(c.successful_runs), 0)::bigint AS successful,
               coalesce(sum(c.failed_runs), 0)::bigint AS failed, coalesce(sum(c.cancelled_runs), 0)::bigint AS cancelled,
               coalesce(sum(c.total_credits), 0) AS credits, sum(c.total_cost) AS cost,
               coalesce(sum(c.total_tokens_used), 0) AS tokens, coalesce(sum(c.total_feedback_count), 0)::bigint AS feedbacks,
               max(c.metric_date) FILTER (WHERE c.total_runs > 0) AS last_active,
               analytics.quantile_sketch_merge(c.runtime_sketch) AS sketch
        FROM covered AS c
    ), trend AS (
        SELECT coalesce(sum(p.total_runs) FILTER (WHERE p.metric_date > w.last_date - 7), 0)::bigint AS this_week,
               coalesce(sum(p.total_runs) FILTER (WHERE p.metric_date <= w.last_date - 7), 0)::bigint AS week_before
        FROM workspace AS w
        JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id AND p.agent_id = get_agent_insights.agent_id
        WHERE p.metric_date BETWEEN w.last_date - 13 AND w.last_date
    ), visitor AS MATERIALIZED (
        SELECT c.workspace_id, analytics.user_set_union_agg(c.users) AS users FROM covered AS c GROUP BY c.workspace_id
    ), error AS (
        SELECT e.key, sum(e.value::numeric) AS errors
        FROM covered AS c, jsonb_each_text(c.error_types) AS e
        GROUP BY e.key ORDER BY errors DESC, e.key COLLATE "C" LIMIT 10
    )
    SELECT t.runs, round(100.0 * t.successful / nullif(t.successful + t.failed, 0), 2),
           round(analytics.quantile_sketch_avg(t.sketch), 2),
           round(analytics.interpolated_quantile(t.sketch, 0.5)::numeric, 2), round(analytics.interpolated_quantile(t.sketch, 0.95)::numeric, 2),
           round(analytics.interpolated_quantile(t.sketch, 0.99)::numeric, 2), t.credits,
           (SELECT CASE WHEN count(*) <= 1 THEN coalesce(max(analytics.user_set_cardinality(v.users)), 0)
                    ELSE (SELECT count(DISTINCT u.user_id)
                          FROM visitor AS x
                          CROSS JOIN LATERAL analytics.user_set_elements(x.users) AS e (user_number)
                          JOIN analytics.users AS u ON u.workspace_id = x.workspace_id AND u.user_number = e.user_number) END
            FROM visitor AS v),
           analytics.trend_direction(r.this_week, r.week_before),
           coalesce((SELECT jsonb_object_agg(e.key, e.errors) FROM error AS e), '{}'),
           t.successful, t.failed, t.cancelled, t.cost, t.tokens, t.feedbacks, t.last_active
    FROM total AS t, trend AS r
    WHERE EXISTS (SELECT FROM workspace);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_agent_insights(uuid, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_agent_insights(uuid, integer) IS
    'one row about an agent over the last complete local days (default 30) of every workspace that the caller may see: sums, percentiles (Hyndman-Fan type 7) from the merged sketches (relative error 1 %), distinct users, top_error_types {type: errors} (the 10 most frequent). trend_direction compares the last 7 complete days with the 7 before. Without a run: counts 0, rates and runtimes NULL. No row for an agent without data; error (22023) for days below 1 or above 36500';

-- One row: the range, then the range of equal length before it.
CREATE FUNCTION analytics.get_workspace_summary(
    workspace_id uuid,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL)
RETURNS TABLE (
    period_start date,
    period_end date,
    active_users bigint, previous_active_users bigint, active_users_change numeric,
    total_sessions bigint, previous_total_sessions bigint, total_sessions_change numeric,
    total_events bigint, previous_total_events bigint, total_events_change numeric,
    total_runs bigint, previous_total_runs bigint, total_runs_change numeric,
    successful_runs bigint, previous_successful_runs bigint, successful_runs_change numeric,
    failed_runs bigint, previous_failed_runs bigint, failed_runs_change numeric,
    success_rate numeric, previous_success_rate numeric, success_rate_change numeric,
    failure_rate numeric, previous_failure_rate numeric, failure_rate_change numeric,
    avg_runtime numeric, previous_avg_runtime numeric, avg_runtime_change numeric,
    p50_runtime numeric, previous_p50_runtime numeric, p50_runtime_change numeric,
    p95_runtime numeric, previous_p95_runtime numeric, p95_runtime_change numeric,
    p99_runtime numeric, previous_p99_runtime numeric, p99_runtime_change numeric,
    total_credits numeric, previous_total_credits numeric, total_credits_change numeric,
    total_cost numeric, previous_total_cost numeric, total_cost_change numeric,
    total_errors bigint, previous_total_errors bigint, total_errors_change numeric,
    error_rate numeric, previous_error_rate numeric, error_rate_change numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_date date := coalesce(end_date, analytics.workspace_today(workspace_id) - 1);
    first_date date := coalesce(start_date, last_date - 29);
BEGIN
    IF first_date > last_date OR NOT (isfinite(first_date) AND isfinite(last_date)) THEN
        RAISE EXCEPTION 'invalid range of days'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Give finite dates with start_date not later than end_date; left out, they are the last 30 complete days.';
    END IF;

    RETURN QUERY
    WITH period (is_current, first_date, last_date) AS (
        VALUES (true, first_date, last_date), (false, first_date - (last_date - first_date + 1), first_date - 1)
    ), metrics AS (
        SELECT p.is_current, coalesce(sum(d.total_events), 0)::bigint AS events, coalesce(sum(d.total_sessions), 0)::bigint AS sessions,
               coalesce(sum(d.total_runs), 0)::bigint AS runs, coalesce(sum(d.successful_runs), 0)::bigint AS successful,
               coalesce(sum(d.failed_runs), 0)::bigint AS failed, coalesce(sum(d.total_errors), 0)::bigint AS errors,
               coalesce(sum(d.total_credits_consumed), 0) AS credits,
               CASE WHEN count(DISTINCT d.currency) = 1 THEN sum(d.total_cost) END AS cost,
               analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch
        FROM period AS p
        LEFT JOIN analytics.daily_metrics AS d
            ON d.workspace_id = get_workspace_summary.workspace_id AND d.metric_date BETWEEN p.first_date AND p.last_date
        GROUP BY p.is_current
    ), people AS (
        SELECT p.is_current, coalesce(analytics.user_set_cardinality(analytics.user_set_union_agg(u.users)), 0) AS users
        FROM period AS p
        LEFT JOIN analytics.daily_users AS u
            ON u.workspace_id = get_workspace_summary.workspace_id AND u.metric_date BETWEEN p.first_date AND p.last_date
        GROUP BY p.is_current
    ), value AS (
        SELECT m.is_current, p.users, m.sessions, m.events, m.runs, m.successful, m.failed,
               round(100.0 * m.successful / nullif(m.successful + m.failed, 0), 2) AS success_rate,
               round(100.0 * m.failed / nullif(m.successful + m.failed, 0), 2) AS failure_rate,
               round(analytics.quantile_sketch_avg(m.sketch), 2) AS average,
               round(analytics.interpolated_quantile(m.sketch, 0.5)::numeric, 2) AS p50, round(analytics.interpolated_quantile(m.sketch, 0.95)::numeric, 2) AS p95,
               round(analytics.interpolated_quantile(m.sketch, 0.99)::numeric, 2) AS p99, m.credits, m.cost, m.errors,
               round(100.0 * m.errors / nullif(m.events, 0), 2) AS error_rate
        FROM metrics AS m JOIN people AS p ON p.is_current = m.is_current
    )
    SELECT first_date, last_date,
           c.users, b.users, analytics.growth_rate(c.users, b.users),
           c.sessions, b.sessions, analytics.growth_rate(c.sessions, b.sessions),
           c.events, b.events, analytics.growth_rate(c.events, b.events),
           c.runs, b.runs, analytics.growth_rate(c.runs, b.runs),
           c.successful, b.successful, analytics.growth_rate(c.successful, b.successful),
           c.failed, b.failed, analytics.growth_rate(c.failed, b.failed),
           c.success_rate, b.success_rate, analytics.growth_rate(c.success_rate, b.success_rate),
           c.failure_rate, b.failure_rate, analytics.growth_rate(c.failure_rate, b.failure_rate),
           c.average, b.average, analytics.growth_rate(c.average, b.average),
           c.p50, b.p50, analytics.growth_rate(c.p50, b.p50),
           c.p95, b.p95, analytics.growth_rate(c.p95, b.p95),
           c.p99, b.p99, analytics.growth_rate(c.p99, b.p99),
           c.credits, b.credits, analytics.growth_rate(c.credits, b.credits),
           c.cost, b.cost, analytics.growth_rate(c.cost, b.cost),
           c.errors, b.errors, analytics.growth_rate(c.errors, b.errors),
           c.error_rate, b.error_rate, analytics.growth_rate(c.error_rate, b.error_rate)
    FROM value AS c, value AS b
    WHERE c.is_current AND NOT b.is_current
      AND EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_summary.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_summary(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_summary(uuid, date, date) IS
    'one row about a workspace from start_date to end_date, both included (default: the last 30 complete days): distinct users and percentiles from the merged sets and sketches (relative error 1 %), beside each value that of the range of equal length before it (previous_) and the change in percent (_change; NULL where the previous value is 0 or NULL). Rates and runtimes are NULL without data, cost also where currencies differ. No row for a workspace without data or that the caller may not see; error (22023) for a range that is reversed or infinite';
-- Retention. Defaults are here; the tables hold only what was changed.
CREATE FUNCTION analytics.retention_defaults(OUT table_name text, OUT keep_days integer) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('user_activity', 90), ('hourly_metrics', 30), ('daily_metrics', NULL), ('agent_performance', NULL),
       ('daily_event_usage', NULL), ('daily_error_types', NULL), ('daily_users', NULL), ('daily_user_revenue', NULL),
       ('user_cohorts', NULL), ('identities', NULL), ('alert_history', 180), ('notification_outbox', 30), ('audit_log', 400),
       ('job_runs', 30)
$$;
COMMENT ON FUNCTION analytics.retention_defaults() IS
    'tables with a retention period and its default: table_name, keep_days (NULL: for ever); identities: after how many days of absence the ids of users in analytics.users are replaced by random ones';

CREATE VIEW analytics.retention_policy_values WITH (security_invoker = true) AS
SELECT d.table_name,
       CASE WHEN p.table_name IS NULL THEN d.keep_days ELSE p.keep_days END AS keep_days,
       d.keep_days AS default_keep_days,
       p.table_name IS NULL AS is_default,
       p.archive_function
FROM analytics.retention_defaults() AS d
LEFT JOIN analytics.retention_policies AS p ON p.table_name OPERATOR(pg_catalog.=) d.table_name;
COMMENT ON VIEW analytics.retention_policy_values IS
    'how long each table keeps its rows; change it by INSERT INTO analytics.retention_policies, as the owner';
COMMENT ON COLUMN analytics.retention_policy_values.table_name IS 'table of the schema analytics; identities: user_id in analytics.users';
COMMENT ON COLUMN analytics.retention_policy_values.keep_days IS 'days in force; NULL: for ever';
COMMENT ON COLUMN analytics.retention_policy_values.default_keep_days IS 'days without a row in analytics.retention_policies; NULL: for ever';
COMMENT ON COLUMN analytics.retention_policy_values.is_default IS 'true where analytics.retention_policies has no row';
COMMENT ON COLUMN analytics.retention_policy_values.archive_function IS 'function called before a partition is dropped; NULL: none';

CREATE FUNCTION analytics_internal.retention_policy_check() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM analytics.retention_defaults() AS d WHERE d.table_name = NEW.table_name) THEN
        RAISE EXCEPTION 'table "%" has no retention policy', NEW.table_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.retention_policy_values lists the tables that have one.';
    ELSIF NEW.archive_function IS NOT NULL AND current_setting('row_security')::boolean
          AND to_regprocedure(NEW.archive_function || '(regclass)') IS NULL THEN
        RAISE EXCEPTION 'function %(regclass) does not exist', NEW.archive_function
            USING ERRCODE = 'undefined_function',
                  HINT = 'Create it first and give its name with its schema.';
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retention_policy_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retention_policy_check() IS
    'row trigger: refuses tables without retention (22023) and archive functions that do not exist (42883)';
CREATE TRIGGER check_policy BEFORE INSERT OR UPDATE ON analytics.retention_policies
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.retention_policy_check();
COMMENT ON TRIGGER check_policy ON analytics.retention_policies IS 'refuses unknown tables and functions';

CREATE FUNCTION analytics_internal.retention(table_name text) RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT make_interval(days => v.keep_days) FROM analytics.retention_policy_values AS v
WHERE v.table_name = retention.table_name
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retention(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retention(text) IS
    'how long a table keeps its rows; NULL: for ever';

-- The caller has locked writers out of the expired partitions, so that what is read here is all there is.
CREATE FUNCTION analytics_internal.aggregate_expiring(before timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day date;
    closed_until timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w);
BEGIN
    WHILE analytics_internal.repair_newest(before) > 0 LOOP END LOOP;
    FOR day IN
        SELECT p.day FROM analytics_internal.day_partitions() AS p
        WHERE p.day < (before AT TIME ZONE 'UTC')::date
          AND ((p.day + 1)::timestamp AT TIME ZONE 'UTC' <= closed_until
               AND EXISTS (SELECT FROM analytics.closed_days AS c WHERE c.event_day = p.day)) IS NOT TRUE
    LOOP
        PERFORM analytics_internal.count_day(day, NULL);
    END LOOP;
    -- No local day that contains such an event ends later.
    IF closed_until >= before + interval '26 hours' THEN
        RETURN;
    END IF;
    FOR day IN
        SELECT DISTINCT (e.created_at AT TIME ZONE 'UTC')::date + n
        FROM analytics.user_activity AS e, generate_series(0, 1) AS n -- a local day may end on the next UTC day
        WHERE e.created_at < before
        ORDER BY 1
    LOOP
        PERFORM analytics_internal.aggregate_for_good(day::timestamp AT TIME ZONE 'UTC',
                                                      (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) IS
    'sees to it that the rollups of all events before an instant are right before these events are removed';

CREATE FUNCTION analytics_internal.try_aggregate_expiring(before timestamptz) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.aggregate_expiring(before);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('nothing was removed, as expiring events could not be aggregated: %s (%s)', SQLERRM, SQLSTATE);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_aggregate_expiring(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_aggregate_expiring(timestamptz) IS
    'aggregate_expiring(); NULL, or why it failed';

-- Local days begin and end within 26 hours of any instant in them.
CREATE FUNCTION analytics_internal.is_unfinished(day date, before timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT EXISTS (SELECT FROM analytics.failed_days AS f WHERE f.day_start < b.to_time AND f.day_end > b.from_time)
    OR EXISTS (SELECT FROM analytics.dirty_hours AS d
               WHERE d.metric_hour < before AND d.metric_hour > b.from_time - interval '26 hours' AND d.metric_hour < b.to_time + interval '26 hours')
FROM (SELECT COALESCE(day::timestamp AT TIME ZONE 'UTC', '-infinity') AS from_time,
             COALESCE((day + 1)::timestamp AT TIME ZONE 'UTC', before) AS to_time) AS b
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_unfinished(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_unfinished(date, timestamptz) IS
    'whether rollups of a UTC day, or (NULL) of any before an instant, wait for its events: they failed, or are dirty';

CREATE FUNCTION analytics_internal.try_archive(partition_name name) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms' -- detaching locks user_activity: nobody shall queue behind us for long
AS $$
DECLARE
    archive_function text := (SELECT v.archive_function FROM analytics.retention_policy_values AS v
                              WHERE v.table_name = 'user_activity');
BEGIN
    IF archive_function IS NOT NULL THEN
        EXECUTE format('SELECT %s($1)', to_regprocedure(archive_function || '(regclass)')::regproc)
        USING format('analytics.%I', partition_name)::regclass;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('%s was kept, as the archive function failed: %s (%s)', partition_name, SQLERRM, SQLSTATE);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_archive(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_archive(name) IS
    'calls the archive function of user_activity, if there is one, for a partition that is about to be dropped; NULL, or why it failed';

CREATE FUNCTION analytics_internal.has_old_default_rows(before timestamptz) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN to_regclass('analytics.user_activity_default') IS NOT NULL
       AND EXISTS (SELECT FROM analytics.user_activity_default AS e WHERE e.created_at < before);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_old_default_rows(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_old_default_rows(timestamptz) IS
    'whether the default partition, if there is one, holds events before an instant';

CREATE FUNCTION analytics_internal.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_cleanup_old_data';
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup_old_data() IS
    'analytics.cleanup_old_data with the rights of the owner, without noting what it removes as a late change';

CREATE FUNCTION analytics.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.catch_up((now() AT TIME ZONE 'UTC')::date, true);
    RETURN QUERY SELECT * FROM analytics_internal.cleanup_old_data();
    PERFORM analytics_internal.keep_partitions_ahead();
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics.cleanup_old_data() IS
    'removes rows past their retention (analytics.retention_policy_values); one row per table: table_name, the exact rows_deleted (identities: users made unknowable), and a note where it had to leave some. Events go after their rollups were completed, whole UTC days by dropping their partition, never queueing behind readers and writers; their days are then sealed. Before, other days are finished as by aggregate_daily_metrics()';
-- Materialized views over the rollups, never over raw events. They know no row security, so they are granted to
-- nobody; tenants read the security-barrier views below. A window is the workspace's own last 30 complete local
-- days. Each has a unique index on plain columns: REFRESH MATERIALIZED VIEW CONCURRENTLY works on all of them.
-- REFRESH CONCURRENTLY sorts whole rows, column by column, to find equal ones: rows that come in that order cost
-- half, so the key's columns are the first ones and the rows come in their order.
-- The bound by now(), wide enough for every time zone, lets the planner and the index by date leave out history.

-- From workspace to workspace in the index, whatever the length of their history.
CREATE FUNCTION analytics_internal.last_complete_days() RETURNS TABLE (workspace_id uuid, first_date date, last_date date)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE first_day AS (
        (SELECT d.workspace_id, d.metric_date FROM analytics.daily_metrics AS d
         ORDER BY d.workspace_id, d.metric_date LIMIT 1)
        UNION ALL
        SELECT n.workspace_id, n.metric_date
        FROM first_day AS f
        CROSS JOIN LATERAL (SELECT d.workspace_id, d.metric_date FROM analytics.daily_metrics AS d
                            WHERE d.workspace_id > f.workspace_id
                            ORDER BY d.workspace_id, d.metric_date LIMIT 1) AS n
    )
    SELECT f.workspace_id, f.metric_date, analytics.workspace_today(f.workspace_id) - 1 FROM first_day AS f;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_complete_days() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_complete_days() IS
    'every workspace with a daily rollup, its first day and its last complete local day';

CREATE MATERIALIZED VIEW analytics.mv_error_trends AS
SELECT e.workspace_id, e.metric_date AS error_date, e.error_type, e.event_name, e.errors AS total_errors,
       cardinality(e.message_hashes)::bigint AS unique_error_messages, e.sample_messages
FROM analytics_internal.last_complete_days() AS w
JOIN analytics.daily_errors AS e ON e.workspace_id = w.workspace_id
WHERE e.metric_date BETWEEN w.last_date - 29 AND w.last_date
  AND e.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
ORDER BY e.workspace_id, e.metric_date, e.error_type COLLATE "C", e.event_name COLLATE "C";
COMMENT ON MATERIALIZED VIEW analytics.mv_error_trends IS
    'errors by day, type and event name over the last 30 complete days: error events and failed runs without one. Granted to nobody: read analytics.error_trends';
COMMENT ON COLUMN analytics.mv_error_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_error_trends.error_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_error_trends.error_type IS
    'error type; unknown where it was missing, (other) beyond the 1,000 most frequent pairs with event_name';
COMMENT ON COLUMN analytics.mv_error_trends.event_name IS
    'event name; empty where it was missing';
COMMENT ON COLUMN analytics.mv_error_trends.total_errors IS
    'error events and failed runs that have no error event of the same run_id that day';
COMMENT ON COLUMN analytics.mv_error_trends.unique_error_messages IS
    'distinct messages after redaction; counted up to 256';
COMMENT ON COLUMN analytics.mv_error_trends.sample_messages IS
    'at most 5 messages of at most 200 characters, redacted';
CREATE UNIQUE INDEX mv_error_trends_key ON analytics.mv_error_trends (workspace_id, error_date, error_type, event_name);
COMMENT ON INDEX analytics.mv_error_trends_key IS
    'serves: the errors of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE FUNCTION analytics_internal.agent_usage()
RETURNS TABLE (metric_date date, agent_id uuid, workspace_id uuid, total_runs bigint, successful_runs bigint, failed_runs bigint,
               success_rate numeric, avg_runtime_seconds numeric, total_credits numeric, unique_users bigint,
               week_ago bigint, this_week bigint, week_before bigint)
LANGUAGE c STABLE ROWS 100000
AS 'MODULE_PATHNAME', 'shadow_agent_usage';
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_usage() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_usage() IS
    'agent_performance of the last 30 complete days, days without a row filled in from an agent''s first day on, with the runs of the day a week ago, of the 7 days up to the row''s and of the 7 before; agents without a row in 43 days are left out. One pass over 43 days of rollups';

CREATE MATERIALIZED VIEW analytics.mv_agent_usage_trends AS
SELECT u.workspace_id, u.agent_id, u.metric_date, u.total_runs, u.successful_runs, u.failed_runs, u.success_rate,
       u.avg_runtime_seconds, u.total_credits, u.unique_users,
       analytics.growth_rate(u.total_runs, u.week_ago) AS wow_growth_rate,
       analytics.trend_direction(u.this_week, u.week_before) AS trend_direction
FROM analytics_internal.agent_usage() AS u;
COMMENT ON MATERIALIZED VIEW analytics.mv_agent_usage_trends IS
    'every agent on every one of the last 30 complete days from its first day on, also days without a run (agents without activity for 6 weeks are left out). Granted to nobody: read analytics.agent_usage_trends';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.agent_id IS
    'agent';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.total_runs IS
    'runs of the day; 0 without any';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.successful_runs IS
    'runs that succeeded';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.failed_runs IS
    'runs that failed';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled; NULL without any';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.total_credits IS
    'credits of the runs';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.unique_users IS
    'distinct users with a run on that day';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.wow_growth_rate IS
    '100 * (runs - runs 7 calendar days before) / runs 7 days before; NULL where that is 0 or before the agent''s first day';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.trend_direction IS
    'the 7 days up to this one against the 7 before: growing, declining, stable (within 5 %), new';
CREATE UNIQUE INDEX mv_agent_usage_trends_key ON analytics.mv_agent_usage_trends (workspace_id, agent_id, metric_date);
COMMENT ON INDEX analytics.mv_agent_usage_trends_key IS
    'serves: the days of an agent, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE MATERIALIZED VIEW analytics.mv_active_users AS
SELECT w.workspace_id, u.activity_date, u.daily_active_users, u.weekly_active_users, u.monthly_active_users,
       round(100.0 * u.daily_active_users / nullif(u.monthly_active_users, 0), 2) AS stickiness
FROM analytics_internal.last_complete_days() AS w
CROSS JOIN LATERAL analytics.trailing_users(w.workspace_id, w.first_date, w.last_date) AS u;
COMMENT ON MATERIALIZED VIEW analytics.mv_active_users IS
    'active users of every date from the workspace''s first event to its last complete day, also dates without any. Granted to nobody: read analytics.active_users';
COMMENT ON COLUMN analytics.mv_active_users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_active_users.activity_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_active_users.daily_active_users IS
    'distinct users of the day';
COMMENT ON COLUMN analytics.mv_active_users.weekly_active_users IS
    'distinct users of the 7 days up to this one';
COMMENT ON COLUMN analytics.mv_active_users.monthly_active_users IS
    'distinct users of the 30 days up to this one';
COMMENT ON COLUMN analytics.mv_active_users.stickiness IS
    '100 * daily / monthly active users; NULL without any in 30 days';
CREATE UNIQUE INDEX mv_active_users_key ON analytics.mv_active_users (workspace_id, activity_date);
COMMENT ON INDEX analytics.mv_active_users_key IS
    'serves: the days of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE MATERIALIZED VIEW analytics.mv_top_agents AS
WITH agent AS (
    SELECT p.agent_id, p.workspace_id, sum(p.total_runs)::bigint AS total_runs_30d,
           sum(p.successful_runs)::bigint AS successful_runs_30d, sum(p.failed_runs)::bigint AS failed_runs_30d,
           analytics.quantile_sketch_merge(p.runtime_sketch) AS sketch, sum(p.total_credits) AS total_credits_30d,
           analytics.user_set_cardinality(analytics.user_set_union_agg(p.users)) AS unique_users_30d,
           max(p.metric_date) FILTER (WHERE p.total_runs > 0) AS last_active_date
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id
    WHERE p.metric_date BETWEEN w.last_date - 29 AND w.last_date
      AND p.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
    GROUP BY p.agent_id, p.workspace_id
    HAVING sum(p.total_runs) > 0
), bound AS (
    SELECT a.*, analytics.wilson_lower_bound(a.successful_runs_30d, a.successful_runs_30d + a.failed_runs_30d) AS success_rate_lower_bound
    FROM agent AS a
)
SELECT b.agent_id, b.workspace_id, b.total_runs_30d, b.successful_runs_30d, b.failed_runs_30d,
       round(100.0 * b.successful_runs_30d / nullif(b.successful_runs_30d + b.failed_runs_30d, 0), 2) AS success_rate,
       round(analytics.quantile_sketch_avg(b.sketch), 2) AS avg_runtime,
       round(analytics.interpolated_quantile(b.sketch, 0.5)::numeric, 2) AS median_runtime,
       b.total_credits_30d, b.unique_users_30d, b.last_active_date,
       row_number() OVER (PARTITION BY b.workspace_id ORDER BY b.total_runs_30d DESC, b.agent_id) AS rank,
       row_number() OVER (PARTITION BY b.workspace_id
                          ORDER BY b.success_rate_lower_bound DESC NULLS LAST, b.total_runs_30d DESC, b.agent_id) AS success_rank,
       b.success_rate_lower_bound
FROM bound AS b;
COMMENT ON MATERIALIZED VIEW analytics.mv_top_agents IS
    'agents with a run in the last 30 complete days, ranked within their workspace. Granted to nobody: read analytics.top_agents';
COMMENT ON COLUMN analytics.mv_top_agents.agent_id IS
    'agent';
COMMENT ON COLUMN analytics.mv_top_agents.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_top_agents.total_runs_30d IS
    'runs, unfinished ones left out';
COMMENT ON COLUMN analytics.mv_top_agents.successful_runs_30d IS
    'runs that succeeded';
COMMENT ON COLUMN analytics.mv_top_agents.failed_runs_30d IS
    'runs that failed';
COMMENT ON COLUMN analytics.mv_top_agents.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.mv_top_agents.avg_runtime IS
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means); NULL without any';
COMMENT ON COLUMN analytics.mv_top_agents.median_runtime IS
    'their median, from the merged sketches (relative error 1 %); NULL without any';
COMMENT ON COLUMN analytics.mv_top_agents.total_credits_30d IS
    'credits of the runs';
COMMENT ON COLUMN analytics.mv_top_agents.unique_users_30d IS
    'distinct users with a run, over all days';
COMMENT ON COLUMN analytics.mv_top_agents.last_active_date IS
    'last day with a run';
COMMENT ON COLUMN analytics.mv_top_agents.rank IS
    'place within the workspace by runs, then agent_id';
COMMENT ON COLUMN analytics.mv_top_agents.success_rank IS
    'place within the workspace by success_rate_lower_bound, then runs, agent_id';
COMMENT ON COLUMN analytics.mv_top_agents.success_rate_lower_bound IS
    'Wilson''s lower bound of the success rate at 95 %, 0 to 1: few runs prove little; NULL without a successful or failed run';
CREATE UNIQUE INDEX mv_top_agents_key ON analytics.mv_top_agents (workspace_id, agent_id);
COMMENT ON INDEX analytics.mv_top_agents_key IS
    'serves: the agents of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE MATERIALIZED VIEW analytics.mv_workspace_summary AS
WITH recent AS (
    SELECT d.*
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.daily_metrics AS d ON d.workspace_id = w.workspace_id
    WHERE d.metric_date BETWEEN w.last_date - 29 AND w.last_date
      AND d.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
), metrics AS (
    SELECT d.workspace_id, count(*) AS days_active, sum(d.active_users) AS user_days, sum(d.total_events) AS events,
           sum(d.total_errors) AS errors, sum(d.total_runs)::bigint AS runs, sum(d.successful_runs)::bigint AS successful,
           sum(d.failed_runs)::bigint AS failed, sum(d.total_credits_consumed) AS credits,
           CASE WHEN count(DISTINCT d.currency) = 1 THEN sum(d.total_cost) END AS cost,
           analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch
    FROM recent AS d GROUP BY d.workspace_id
), agents AS (
    SELECT p.workspace_id, count(DISTINCT p.agent_id) AS agents
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id
    WHERE p.metric_date BETWEEN w.last_date - 29 AND w.last_date AND p.total_runs > 0
      AND p.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
    GROUP BY p.workspace_id
), people AS (
    SELECT u.workspace_id, analytics.user_set_cardinality(analytics.user_set_union_agg(u.users)) AS users
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.daily_users AS u ON u.workspace_id = w.workspace_id
    WHERE u.metric_date BETWEEN w.last_date - 29 AND w.last_date
      AND u.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
    GROUP BY u.workspace_id
)
SELECT w.workspace_id, coalesce(m.days_active, 0) AS days_active,
       coalesce((SELECT d.total_users FROM analytics.daily_metrics AS d
                 WHERE d.workspace_id = w.workspace_id AND d.metric_date <= w.last_date
                 ORDER BY d.metric_date DESC LIMIT 1), 0) AS total_users,
       round(coalesce(m.user_days, 0) / least(w.last_date - w.first_date + 1, 30), 2) AS avg_daily_active_users,
       coalesce(a.agents, 0) AS total_agents, coalesce(m.runs, 0) AS total_runs_30d,
       coalesce(m.successful, 0) AS successful_runs_30d, coalesce(m.failed, 0) AS failed_runs_30d,
       round(100.0 * m.successful / nullif(m.successful + m.failed, 0), 2) AS success_rate,
       coalesce(m.credits, 0) AS total_credits_30d, round(analytics.quantile_sketch_avg(m.sketch), 2) AS avg_runtime_30d,
       round(100.0 * m.errors / nullif(m.events, 0), 2) AS error_rate_30d,
       round(100.0 * m.failed / nullif(m.successful + m.failed, 0), 2) AS failure_rate_30d,
       m.cost AS total_cost_30d, coalesce(p.users, 0) AS active_users_30d
FROM analytics_internal.last_complete_days() AS w
LEFT JOIN metrics AS m ON m.workspace_id = w.workspace_id
LEFT JOIN agents AS a ON a.workspace_id = w.workspace_id
LEFT JOIN people AS p ON p.workspace_id = w.workspace_id
WHERE w.first_date <= w.last_date;
COMMENT ON MATERIALIZED VIEW analytics.mv_workspace_summary IS
    'each workspace over its last 30 complete days. Granted to nobody: read analytics.workspace_summary';
COMMENT ON COLUMN analytics.mv_workspace_summary.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_workspace_summary.days_active IS
    'days with an event, 0 to 30';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_users IS
    'users first seen on or before the last complete day';
COMMENT ON COLUMN analytics.mv_workspace_summary.avg_daily_active_users IS
    'mean of the daily active users over all 30 days, or over those since the workspace''s first event; days without one count as 0';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_agents IS
    'distinct agents with a run';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_runs_30d IS
    'runs, unfinished ones left out';
COMMENT ON COLUMN analytics.mv_workspace_summary.successful_runs_30d IS
    'runs that succeeded';
COMMENT ON COLUMN analytics.mv_workspace_summary.failed_runs_30d IS
    'runs that failed';
COMMENT ON COLUMN analytics.mv_workspace_summary.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_credits_30d IS
    'credits of runs and other events';
COMMENT ON COLUMN analytics.mv_workspace_summary.avg_runtime_30d IS
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means); NULL without any';
COMMENT ON COLUMN analytics.mv_workspace_summary.error_rate_30d IS
    '100 * errors / events; NULL without an event';
COMMENT ON COLUMN analytics.mv_workspace_summary.failure_rate_30d IS
    '100 * failed / (successful + failed) runs; NULL without either';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_cost_30d IS
    'known cost; NULL without any and where currencies differ';
COMMENT ON COLUMN analytics.mv_workspace_summary.active_users_30d IS
    'distinct users over all days';
CREATE UNIQUE INDEX mv_workspace_summary_key ON analytics.mv_workspace_summary (workspace_id);
COMMENT ON INDEX analytics.mv_workspace_summary_key IS
    'serves: the summary of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

-- What tenants read.
CREATE VIEW analytics.active_users WITH (security_barrier) AS
SELECT v.activity_date, v.workspace_id, v.daily_active_users, v.weekly_active_users, v.monthly_active_users,
       v.stickiness
FROM analytics.mv_active_users AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.active_users IS
    'analytics.mv_active_users of the caller''s workspaces';
COMMENT ON COLUMN analytics.active_users.activity_date IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.workspace_id IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.daily_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.weekly_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.monthly_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.stickiness IS 'as in analytics.mv_active_users';

CREATE VIEW analytics.top_agents WITH (security_barrier) AS
SELECT v.agent_id, v.workspace_id, v.total_runs_30d, v.successful_runs_30d, v.failed_runs_30d, v.success_rate,
       v.avg_runtime, v.median_runtime, v.total_credits_30d, v.unique_users_30d, v.last_active_date, v.rank,
       v.success_rank, v.success_rate_lower_bound
FROM analytics.mv_top_agents AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.top_agents IS
    'analytics.mv_top_agents of the caller''s workspaces';
COMMENT ON COLUMN analytics.top_agents.agent_id IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.workspace_id IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.total_runs_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.successful_runs_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.failed_runs_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.success_rate IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.avg_runtime IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.median_runtime IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.total_credits_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.unique_users_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.last_active_date IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.rank IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.success_rank IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.success_rate_lower_bound IS 'as in analytics.mv_top_agents';

CREATE VIEW analytics.workspace_summary WITH (security_barrier) AS
SELECT v.workspace_id, v.days_active, v.total_users, v.avg_daily_active_users, v.total_agents, v.total_runs_30d,
       v.successful_runs_30d, v.failed_runs_30d, v.success_rate, v.total_credits_30d, v.avg_runtime_30d,
       v.error_rate_30d, v.failure_rate_30d, v.total_cost_30d, v.active_users_30d
FROM analytics.mv_workspace_summary AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.workspace_summary IS
    'analytics.mv_workspace_summary of the caller''s workspaces';
COMMENT ON COLUMN analytics.workspace_summary.workspace_id IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.days_active IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_users IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.avg_daily_active_users IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_agents IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_runs_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.successful_runs_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.failed_runs_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.success_rate IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_credits_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.avg_runtime_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.error_rate_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.failure_rate_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_cost_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.active_users_30d IS 'as in analytics.mv_workspace_summary';

CREATE VIEW analytics.error_trends WITH (security_barrier) AS
SELECT v.error_date, v.workspace_id, v.error_type, v.event_name, v.total_errors, v.unique_error_messages,
       v.sample_messages
FROM analytics.mv_error_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.error_trends IS
    'analytics.mv_error_trends of the caller''s workspaces';
COMMENT ON COLUMN analytics.error_trends.error_date IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.workspace_id IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.error_type IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.event_name IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.total_errors IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.unique_error_messages IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.sample_messages IS 'as in analytics.mv_error_trends';

CREATE VIEW analytics.agent_usage_trends WITH (security_barrier) AS
SELECT v.metric_date, v.agent_id, v.workspace_id, v.total_runs, v.successful_runs, v.failed_runs, v.success_rate,
       v.avg_runtime_seconds, v.total_credits, v.unique_users, v.wow_growth_rate, v.trend_direction
FROM analytics.mv_agent_usage_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.agent_usage_trends IS
    'analytics.mv_agent_usage_trends of the caller''s workspaces';
COMMENT ON COLUMN analytics.agent_usage_trends.metric_date IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.agent_id IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.workspace_id IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.total_runs IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.successful_runs IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.failed_runs IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.success_rate IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.avg_runtime_seconds IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.total_credits IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.unique_users IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.wow_growth_rate IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.trend_direction IS 'as in analytics.mv_agent_usage_trends';

-- One view at a time: one that fails is reported and does not stop the others.
CREATE FUNCTION analytics_internal.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off -- compiling the views' expressions takes longer than computing them
SET work_mem = '256MB'
AS $$
DECLARE
    started timestamptz;
    populated boolean;
BEGIN
    -- Two refreshes at a time would only wait for each other, view by view.
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics.refresh_all_materialized_views', 0));
    FOR view, populated IN
        SELECT c.relname::text, c.relispopulated FROM pg_class AS c
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm'
          AND c.relname IN ('mv_active_users', 'mv_top_agents', 'mv_workspace_summary', 'mv_error_trends', 'mv_agent_usage_trends')
        ORDER BY c.relname
    LOOP
        started := clock_timestamp();
        rows := NULL;
        error := NULL;
        BEGIN
            EXECUTE format('REFRESH MATERIALIZED VIEW %s analytics.%I', CASE WHEN populated THEN 'CONCURRENTLY' ELSE '' END, view);
            EXECUTE format('SELECT count(*) FROM analytics.%I', view) INTO rows;
        EXCEPTION
            WHEN read_only_sql_transaction THEN
                RAISE; -- on a standby none can be refreshed
            WHEN OTHERS THEN
                error := SQLERRM || ' (' || SQLSTATE || ')';
        END;
        milliseconds := round(extract(epoch FROM clock_timestamp() - started) * 1000, 1);
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_all_materialized_views() IS
    'does the work of analytics.refresh_all_materialized_views() as the owner, without row security';

CREATE FUNCTION analytics.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.refresh_all_materialized_views() $$;
REVOKE EXECUTE ON FUNCTION analytics.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics.refresh_all_materialized_views() IS
    'refreshes the materialized views mv_active_users, mv_top_agents, mv_workspace_summary, mv_error_trends and mv_agent_usage_trends, each on its own: concurrently where it is populated, plainly where not. One row per view: rows afterwards, milliseconds, and the error of one that failed (the others are refreshed all the same). Waits for another refresh in progress';
-- maintain(): whatever is due, step by step. The procedure commits, so it carries neither SET nor SECURITY
-- DEFINER; everything it does is done by functions with both, under a lock that each transaction takes anew.

CREATE FUNCTION analytics_internal.try_lock_maintenance() RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS 'SELECT pg_try_advisory_xact_lock(1523621891, 2)';
REVOKE EXECUTE ON FUNCTION analytics_internal.try_lock_maintenance() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_lock_maintenance() IS
    'false while another session is in a transaction of maintain() or backfill()';

CREATE FUNCTION analytics_internal.last_run(step text) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max(r.started_at) FROM analytics.job_runs AS r WHERE r.step = last_run.step AND r.outcome IN ('done', 'partial')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_run(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_run(text) IS 'when a step last succeeded; NULL: never';

-- In the order in which they run.
CREATE FUNCTION analytics_internal.steps(OUT step text, OUT every interval) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('create_partitions', NULL::interval),
       ('close_buckets', NULL),
       ('repair_buckets', NULL),
       ('aggregate_cohorts', interval '1 hour'),
       ('aggregate_open', make_interval(mins => analytics.setting('open_day_interval_minutes')::integer)),
       ('index_partitions', interval '1 hour'),
       ('refresh_views', make_interval(mins => analytics.setting('view_refresh_minutes')::integer)),
       ('cleanup', interval '1 day'),
       ('evaluate_alerts', NULL),
       ('analyze', interval '1 day')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.steps() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.steps() IS
    'steps of maintain() in their order, and how often each is due; NULL: at every call';

-- The counters of the statistics follow within seconds; what they do not show yet they show at the next call.
CREATE FUNCTION analytics_internal.open_changes() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN current_setting('track_counts')::boolean
            THEN format('%s changes of the events since %s', sum(pg_stat_get_tuples_inserted(p.oid) + pg_stat_get_tuples_updated(p.oid)
                        + pg_stat_get_tuples_deleted(p.oid)), o.first_day)
            ELSE clock_timestamp()::text END
FROM (SELECT (greatest((SELECT w.closed_until FROM analytics.watermark AS w), now() - interval '26 hours') AT TIME ZONE 'UTC')::date - 1 AS first_day) AS o,
     (SELECT c.oid, to_date(substring(c.relname FROM '_([0-9]{8})$'), 'YYYYMMDD') AS day
      FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'analytics.user_activity'::regclass) AS p
WHERE (p.day < o.first_day) IS NOT TRUE
GROUP BY o.first_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.open_changes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.open_changes() IS
    'differs from an earlier value when events of days that are not closed were changed since';

CREATE FUNCTION analytics_internal.has_work(step text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    CASE step
        WHEN 'create_partitions' THEN
            IF to_regclass('analytics.user_activity_default') IS NULL THEN
                RETURN true;
            END IF;
            RETURN EXISTS (SELECT FROM generate_series(-1, analytics.setting('partitions_ahead_days')::integer) AS n
                           WHERE to_regclass('analytics.user_activity_' || to_char(today + n, 'YYYYMMDD')) IS NULL)
                OR EXISTS (SELECT FROM analytics_internal.default_days());
        WHEN 'close_buckets' THEN
            RETURN NOT EXISTS (SELECT FROM analytics.watermark AS w
                               WHERE w.closed_until = w.marked_until AND w.marked_until >= analytics_internal.next_mark());
        WHEN 'repair_buckets' THEN
            RETURN EXISTS (SELECT FROM analytics_internal.next_dirty_hour()) OR EXISTS (SELECT FROM analytics.stale_totals);
        WHEN 'aggregate_open' THEN
            RETURN analytics_internal.open_changes() IS DISTINCT FROM (
                SELECT r.detail FROM analytics.job_runs AS r WHERE r.step = 'aggregate_open' AND r.outcome = 'done'
                ORDER BY r.started_at DESC LIMIT 1);
        WHEN 'evaluate_alerts' THEN
            RETURN EXISTS (SELECT FROM analytics.alert_rules);
        ELSE
            RETURN true;
    END CASE;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.has_work(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_work(text) IS
    'whether a step of maintain() would do anything; true where only the step itself can tell';

CREATE FUNCTION analytics_internal.is_cleanup_waiting() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT COALESCE((SELECT r.detail LIKE '%could not be aggregated%' FROM analytics.job_runs AS r WHERE r.step = 'cleanup'
                 ORDER BY r.started_at DESC LIMIT 1), false)
   AND NOT EXISTS (SELECT FROM analytics.failed_days AS f WHERE f.next_attempt_at > now())
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_cleanup_waiting() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_cleanup_waiting() IS
    'whether the last cleanup kept events that could not be aggregated and no failed day waits for its next attempt: then it is due before its time';

CREATE FUNCTION analytics_internal.due_steps() RETURNS text[]
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT COALESCE(array_agg(s.step ORDER BY s.place), '{}')
FROM analytics_internal.steps() WITH ORDINALITY AS s (step, every, place)
WHERE CASE WHEN s.every IS NULL OR COALESCE(analytics_internal.last_run(s.step) <= clock_timestamp() - s.every, true)
                OR s.step = 'cleanup' AND analytics_internal.is_cleanup_waiting()
           THEN analytics_internal.has_work(s.step) END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_steps() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_steps() IS 'steps of maintain() that are due now and have something to do';

-- What is only told of a run need not have reached the disk before it goes on.
CREATE FUNCTION analytics_internal.begin_step(step text, detail text DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started timestamptz;
BEGIN
    IF NOT analytics_internal.try_lock_maintenance() THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE analytics.job_runs AS r SET outcome = 'interrupted', finished_at = clock_timestamp()
    WHERE r.outcome = 'running' AND (r.step = begin_step.step OR r.pid <> pg_backend_pid());
    INSERT INTO analytics.job_runs (step, detail) VALUES (begin_step.step, begin_step.detail)
    RETURNING started_at INTO started;
    RETURN started;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.begin_step(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.begin_step(text, text) IS
    'records the start of a step and returns it; NULL when another session is at work';

-- What was set aside on the way stays in error.
CREATE FUNCTION analytics_internal.end_step(step text, started timestamptz, outcome text, error text DEFAULT NULL)
RETURNS text
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT set_config('synchronous_commit', 'off', true);
DELETE FROM analytics.job_runs AS r
WHERE r.started_at = end_step.started AND r.step = end_step.step AND end_step.outcome = 'done' AND r.rows = 0 AND r.error IS NULL
  AND EXISTS (SELECT FROM analytics_internal.steps() AS s WHERE s.step = end_step.step AND s.every IS NULL);
UPDATE analytics.job_runs AS r
SET outcome = CASE WHEN end_step.outcome = 'done' AND r.error IS NOT NULL THEN 'partial' ELSE end_step.outcome END,
    error = COALESCE(end_step.error, r.error),
    finished_at = clock_timestamp()
WHERE r.started_at = end_step.started AND r.step = end_step.step
RETURNING r.error
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.end_step(text, timestamptz, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.end_step(text, timestamptz, text, text) IS
    'records the end of a step and returns its error, or NULL; forgets one that is always due and found nothing to do';

CREATE FUNCTION analytics_internal.default_days(OUT day date) RETURNS SETOF date
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT (e.created_at AT TIME ZONE 'UTC')::date FROM analytics.user_activity_default AS e
    WHERE e.created_at >= COALESCE(date_trunc('day', now() - analytics_internal.retention('user_activity'), 'UTC'),
                                   '1970-01-01 UTC')
      AND e.created_at < now() + interval '366 days';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.default_days() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.default_days() IS
    'days whose events wait in the default partition and are to get a partition: within the retention, at most a year ahead';

CREATE FUNCTION analytics_internal.make_partitions() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    made bigint;
    day date;
BEGIN
    PERFORM analytics_internal.create_default_partition();
    made := analytics_internal.create_partitions(today - 1, today + analytics.setting('partitions_ahead_days')::integer);
    FOR day IN SELECT d.day FROM analytics_internal.default_days() AS d ORDER BY 1 DESC LIMIT 100 LOOP
        made := made + analytics_internal.create_partitions(day, day);
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.make_partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.make_partitions() IS
    'makes the partitions ahead and those of days whose events wait in the default partition, at most 100 of these; how many';

CREATE FUNCTION analytics_internal.close_buckets(OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    state text;
BEGIN
    rows := 0;
    again := false;
    IF NOT analytics_internal.try_lock_closing() THEN
        RETURN;
    END IF;
    state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    again := state IN ('marked', 'taken', 'ready');
    IF state = 'ready' THEN
        rows := analytics_internal.close_next();
        SELECT ceil(extract(epoch FROM w.marked_until - w.closed_until) / 86400) INTO total FROM analytics.watermark AS w;
        again := total > 0;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.close_buckets() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.close_buckets() IS
    'one transaction''s worth of closing; total: days left. Nothing while another transaction closes or repairs';

CREATE FUNCTION analytics_internal.repair_buckets(OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    rows := 0;
    IF analytics_internal.try_lock_closing() THEN
        rows := analytics_internal.repair_newest();
    END IF;
    SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) INTO total FROM analytics.dirty_hours AS d;
    again := rows > 0 AND analytics_internal.has_work('repair_buckets');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_buckets() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_buckets() IS
    'repairs one workspace and day; total: dirty hours left';

CREATE FUNCTION analytics_internal.aggregate_open() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    closed_until timestamptz := greatest((SELECT w.closed_until FROM analytics.watermark AS w), now() - interval '26 hours');
    hour timestamptz;
    day date;
BEGIN
    IF NOT analytics_internal.try_lock_closing() THEN
        RETURN 0;
    END IF;
    UPDATE analytics.job_runs AS r SET detail = analytics_internal.open_changes()
    WHERE r.step = 'aggregate_open' AND r.outcome = 'running';
    FOR hour IN
        SELECT DISTINCT date_trunc('hour', e.created_at, 'UTC') FROM analytics.user_activity AS e
        WHERE e.created_at >= date_trunc('hour', closed_until, 'UTC') AND e.created_at <= now()
    LOOP
        written := written + analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    FOR day IN
        SELECT (closed_until AT TIME ZONE 'UTC')::date + n
        FROM generate_series(0, (now() AT TIME ZONE 'UTC')::date - (closed_until AT TIME ZONE 'UTC')::date) AS n
        UNION
        SELECT analytics.workspace_today(s.workspace_id, t.at)
        FROM (SELECT DISTINCT w.workspace_id FROM analytics.workspace_settings AS w) AS s, (VALUES (now()), (closed_until)) AS t (at)
        ORDER BY 1
    LOOP
        written := written + analytics_internal.try_aggregate(day, NULL);
    END LOOP;
    PERFORM analytics_internal.forget_mended_days(closed_until, 'infinity');
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_open() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_open() IS
    'writes provisional rollups of the hours and local days that are not closed yet, at most of the last 26 hours; how many';

-- What other topics bring; a step without them does nothing.
CREATE FUNCTION analytics_internal.run_optional(function_name text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted bigint := 0;
BEGIN
    IF to_regprocedure(function_name) IS NOT NULL THEN
        EXECUTE format('SELECT count(*) FROM %s', function_name) INTO counted;
    END IF;
    RETURN counted;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.run_optional(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.run_optional(text) IS
    'calls a function without arguments if it exists; the number of rows it returned';

-- One view's failure is reported by the function itself and leaves the others refreshed; raising it would undo them.
CREATE FUNCTION analytics_internal.refresh_views() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refreshed bigint;
    failures text;
BEGIN
    SELECT count(*) FILTER (WHERE v.error IS NULL), string_agg(concat(v.view, ': ', v.error), '; ') FILTER (WHERE v.error IS NOT NULL)
    INTO refreshed, failures
    FROM analytics_internal.refresh_all_materialized_views() AS v;
    UPDATE analytics.job_runs AS r SET detail = failures WHERE r.step = 'refresh_views' AND r.outcome = 'running';
    IF refreshed = 0 AND failures IS NOT NULL THEN
        RAISE EXCEPTION 'no view could be refreshed' USING DETAIL = failures;
    END IF;
    RETURN refreshed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_views() IS
    'refreshes the materialized views and returns how many; failures of some go into detail of analytics.job_runs, of all are an error';

CREATE FUNCTION analytics_internal.analyze_tables() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Autovacuum never analyzes a partitioned table.
    ANALYZE analytics.user_activity;
    RETURN 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.analyze_tables() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.analyze_tables() IS 'collects statistics of user_activity as a whole';

CREATE FUNCTION analytics_internal.cleanup(OUT rows bigint, OUT again boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    notes text;
BEGIN
    SELECT sum(c.rows_deleted), string_agg(concat(c.table_name, ': ', c.note), '; ') FILTER (WHERE c.note IS NOT NULL)
    INTO rows, notes FROM analytics_internal.cleanup_old_data() AS c;
    UPDATE analytics.job_runs AS r SET detail = notes WHERE r.step = 'cleanup' AND r.outcome = 'running';
    again := COALESCE(notes LIKE '%the next call goes on%', false);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup() IS
    'one call of cleanup_old_data(), its notes in detail of analytics.job_runs; again: more partitions have expired than it drops';

CREATE FUNCTION analytics_internal.run_unit(step text, OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    again := false;
    CASE step
        WHEN 'create_partitions' THEN rows := analytics_internal.make_partitions();
        WHEN 'close_buckets' THEN SELECT * INTO rows, again, total FROM analytics_internal.close_buckets();
        WHEN 'repair_buckets' THEN SELECT * INTO rows, again, total FROM analytics_internal.repair_buckets();
        WHEN 'aggregate_cohorts' THEN SELECT c.* INTO rows, again, total FROM analytics_internal.aggregate_due_cohorts() AS c;
        WHEN 'aggregate_open' THEN rows := analytics_internal.aggregate_open();
        WHEN 'index_partitions' THEN rows := analytics_internal.index_closed_partitions();
        WHEN 'refresh_views' THEN rows := analytics_internal.refresh_views();
        WHEN 'cleanup' THEN SELECT c.* INTO rows, again FROM analytics_internal.cleanup() AS c;
        WHEN 'evaluate_alerts' THEN rows := analytics_internal.run_optional('analytics.evaluate_alert_rules()');
        WHEN 'analyze' THEN rows := analytics_internal.analyze_tables();
    END CASE;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.run_unit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.run_unit(text) IS
    'does as much of a step as belongs into one transaction; again: there may be more; total: units left';

CREATE FUNCTION analytics_internal.run_step(step text, started timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unit record;
BEGIN
    IF NOT analytics_internal.try_lock_maintenance() THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('application_name', 'shadow_analytics: ' || step, true);
    PERFORM set_config('lock_timeout', '2s', true); -- never make others queue behind us for long
    SELECT u.rows, u.again, u.total INTO unit FROM analytics_internal.run_unit(step) AS u;
    UPDATE analytics.job_runs AS r
    SET rows = r.rows + COALESCE(unit.rows, 0), done = r.done + 1, total = r.done + 1 + unit.total,
        error = COALESCE(r.error, analytics_internal.new_failures())
    WHERE r.started_at = run_step.started AND r.step = run_step.step;
    RETURN unit.again;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.run_step(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.run_step(text, timestamptz) IS
    'one transaction of a step, with its progress; true: there is more to do, NULL: another session is at work';

CREATE PROCEDURE analytics.maintain(time_budget interval DEFAULT '00:05:00', show_steps boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) time_budget;
    run_started pg_catalog.timestamptz;
    step_started pg_catalog.timestamptz;
    steps pg_catalog.text[];
    step pg_catalog.text;
    is_more boolean;
    is_late boolean;
    code pg_catalog.text;
    reason pg_catalog.text;
    error_seen pg_catalog.text;
    failures pg_catalog.text;
BEGIN
    IF time_budget IS NULL THEN
        RAISE EXCEPTION 'time_budget must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    run_started := analytics_internal.begin_step('maintain');
    steps := analytics_internal.due_steps();
    COMMIT;
    IF run_started IS NULL THEN
        RAISE NOTICE 'maintenance is already running in another session';
        RETURN;
    END IF;

    FOREACH step IN ARRAY steps LOOP
        step_started := analytics_internal.begin_step(step);
        COMMIT;
        IF step_started IS NULL THEN
            RAISE NOTICE 'maintenance goes on in another session';
            RETURN;
        END IF;
        reason := NULL;
        LOOP
            BEGIN
                is_more := analytics_internal.run_step(step, step_started);
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                reason := pg_catalog.concat(code, ': ', reason);
                is_more := false;
            END;
            COMMIT;
            IF is_more IS NULL THEN
                RAISE NOTICE 'maintenance goes on in another session';
                RETURN;
            END IF;
            is_late := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
            EXIT WHEN NOT is_more OR is_late;
        END LOOP;
        IF reason IS NOT NULL THEN
            failures := pg_catalog.concat_ws(', ', failures, step);
        END IF;
        reason := analytics_internal.end_step(step, step_started,
            CASE WHEN reason IS NOT NULL THEN 'failed' WHEN is_more THEN 'partial' ELSE 'done' END, reason);
        COMMIT;
        error_seen := COALESCE(error_seen, reason);
        IF show_steps THEN
            RAISE NOTICE '%: %', step, COALESCE(reason, CASE WHEN is_more THEN 'to be continued' ELSE 'done' END);
        END IF;
    END LOOP;

    PERFORM analytics_internal.end_step('maintain', run_started,
        CASE WHEN failures IS NULL THEN 'done' ELSE 'failed' END, failures);
    COMMIT;
    IF failures IS NOT NULL THEN
        RAISE WARNING 'steps of maintenance failed: %', failures
            USING HINT = 'See the column error of analytics.job_runs.';
    ELSIF error_seen IS NOT NULL THEN
        RAISE WARNING 'days of single workspaces could not be aggregated: %', error_seen
            USING HINT = 'See analytics.failed_days; they are tried again.';
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics.maintain(interval, boolean) FROM PUBLIC;
COMMENT ON PROCEDURE analytics.maintain(interval, boolean) IS
    'does whatever is due: partitions, closing and repairing rollups (newest first), cohorts, provisional rollups of today, indexes, views, cleanup, alerts, statistics; commits between steps, so not inside a transaction block. Steps are isolated: a failing one is recorded in analytics.job_runs and the others run. time_budget: after it no further unit of a step is begun. show_steps: a notice per step. Call it every minute; a second call at the same time returns at once';

CREATE FUNCTION analytics_internal.backfill_day(day date, started timestamptz, days integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- only the day's partition is planned
AS $$
DECLARE
    written bigint;
    oldest timestamptz := greatest(day::timestamp AT TIME ZONE 'UTC', now() - analytics_internal.retention('hourly_metrics'));
    day_end timestamptz := least((day + 1)::timestamp AT TIME ZONE 'UTC', now());
BEGIN
    IF NOT analytics_internal.try_lock_maintenance() THEN
        RETURN false;
    END IF;
    PERFORM set_config('application_name', 'shadow_analytics: backfill ' || to_char(day, 'YYYY-MM-DD'), true);
    PERFORM analytics_internal.lock_closing();
    PERFORM analytics_internal.create_partitions(day, day);
    -- What was noted while the events were loaded is done with the rest.
    written := analytics_internal.try_repair_utc_day(day);
    IF written = 0 THEN
        written := analytics_internal.try_aggregate(day, NULL);
        PERFORM analytics_internal.count_day(day, NULL) FROM analytics.watermark AS w
        WHERE (day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
    END IF;
    written := written + COALESCE(sum(analytics_internal.try_aggregate(NULL, h.hour)), 0)
    FROM (SELECT DISTINCT date_trunc('hour', e.created_at, 'UTC') AS hour FROM analytics.user_activity AS e
          WHERE e.created_at >= oldest AND e.created_at < day_end) AS h;
    UPDATE analytics.job_runs AS r
    SET rows = r.rows + written, done = r.done + 1, total = days, error = COALESCE(r.error, analytics_internal.new_failures())
    WHERE r.started_at = started AND r.step = 'backfill';
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.backfill_day(date, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.backfill_day(date, timestamptz, integer) IS
    'partition and rollups of one day of a backfill; false when another session is at work';

CREATE FUNCTION analytics_internal.resume_backfill(range text, started timestamptz) RETURNS integer
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE analytics.job_runs AS r
SET done = COALESCE((SELECT p.done FROM analytics.job_runs AS p
                     WHERE p.step = 'backfill' AND p.detail = range AND p.started_at < started AND p.done < p.total
                       AND NOT EXISTS (SELECT FROM analytics.job_runs AS later
                                       WHERE later.step = 'backfill' AND later.detail = range
                                         AND later.started_at > p.started_at AND later.started_at < started)), 0)
WHERE r.started_at = started AND r.step = 'backfill'
RETURNING r.done::integer
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.resume_backfill(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.resume_backfill(text, timestamptz) IS
    'how many days the last run of the same backfill finished, if it was broken off; else 0';

CREATE PROCEDURE analytics.backfill(start_date date, end_date date)
LANGUAGE plpgsql
AS $$
DECLARE
    days pg_catalog.int4 := end_date OPERATOR(pg_catalog.-) start_date OPERATOR(pg_catalog.+) 1;
    range pg_catalog.text := pg_catalog.concat(pg_catalog.to_char(start_date, 'YYYY-MM-DD'), ' to ',
                                               pg_catalog.to_char(end_date, 'YYYY-MM-DD'));
    started pg_catalog.timestamptz;
    finished pg_catalog.int4;
    reason pg_catalog.text;
BEGIN
    IF start_date IS NULL OR end_date IS NULL THEN
        RAISE EXCEPTION 'start_date and end_date must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    ELSIF days OPERATOR(pg_catalog.<) 1 THEN
        RAISE EXCEPTION 'start_date is after end_date'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = pg_catalog.concat('The range is ', range, '.');
    END IF;
    started := analytics_internal.begin_step('backfill', range);
    IF started IS NULL THEN
        RAISE NOTICE 'maintenance is running in another session; call backfill again';
        RETURN;
    END IF;
    finished := analytics_internal.resume_backfill(range, started);
    COMMIT;
    WHILE finished OPERATOR(pg_catalog.<) days LOOP
        IF analytics_internal.backfill_day(start_date OPERATOR(pg_catalog.+) finished, started, days) THEN
            finished := finished OPERATOR(pg_catalog.+) 1;
        ELSE
            PERFORM pg_catalog.pg_sleep(0.1);
        END IF;
        COMMIT;
    END LOOP;
    reason := analytics_internal.end_step('backfill', started, 'done');
    COMMIT;
    IF reason IS NOT NULL THEN
        RAISE WARNING 'days of single workspaces could not be aggregated: %', reason
            USING HINT = 'See analytics.failed_days; analytics.maintain() tries them again.';
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics.backfill(date, date) FROM PUBLIC;
COMMENT ON PROCEDURE analytics.backfill(date, date) IS
    'makes the partitions and rollups of imported history, day by day in date order, committing after each (not inside a transaction block); progress in analytics.job_progress. Called again with the same dates after a break it goes on where it was. Days later than today are an error (22023), NULL too (22004)';

CREATE FUNCTION analytics_internal.require_cron() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RAISE EXCEPTION 'extension "pg_cron" is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Without it PostgreSQL runs nothing by itself.',
                  HINT = 'Install pg_cron, or let any scheduler run every minute: psql -c ''CALL analytics.maintain()''.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.require_cron() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.require_cron() IS
    'an error (55000) where pg_cron is not installed';

CREATE FUNCTION analytics.schedule_jobs(OUT job_name text, OUT schedule text, OUT command text) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_cron();
    job_name := 'shadow-analytics-maintain';
    schedule := '* * * * *';
    command := 'CALL analytics.maintain()';
    EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job_name, schedule, command;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.schedule_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics.schedule_jobs() IS
    'lets pg_cron call analytics.maintain() every minute, in whatever time zone; maintain() knows itself what is due. May be repeated. Without pg_cron an error (55000) that says what to do instead';

CREATE FUNCTION analytics.unschedule_jobs() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM analytics_internal.require_cron();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j WHERE j.jobname = ''shadow-analytics-maintain'''
    INTO removed;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.unschedule_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics.unschedule_jobs() IS
    'takes back analytics.schedule_jobs(); the number of jobs removed, 0 when none was scheduled';
-- What an operator looks at. The views run with their reader's rights: for the owner and the service role.

CREATE VIEW analytics.table_sizes WITH (security_invoker = true) AS
SELECT t.name AS table_name,
       count(*)::integer AS partitions,
       sum(greatest(c.reltuples, 0))::bigint AS estimated_rows,
       sum(pg_table_size(c.oid))::bigint AS table_bytes,
       sum(pg_indexes_size(c.oid))::bigint AS index_bytes,
       sum(pg_total_relation_size(c.oid))::bigint AS total_bytes,
       pg_size_pretty(sum(pg_total_relation_size(c.oid))) AS total_size
FROM pg_class AS c
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid
LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
CROSS JOIN LATERAL (SELECT COALESCE(parent.relname, c.relname) AS name) AS t
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'm')
GROUP BY t.name;
COMMENT ON VIEW analytics.table_sizes IS
    'sizes of the tables and materialized views of the schema analytics, partitions summed; ORDER BY total_bytes DESC';
COMMENT ON COLUMN analytics.table_sizes.table_name IS 'table, or the one that it is a partition of';
COMMENT ON COLUMN analytics.table_sizes.partitions IS 'tables that store its rows: 1 without partitions';
COMMENT ON COLUMN analytics.table_sizes.estimated_rows IS 'rows as of the last ANALYZE';
COMMENT ON COLUMN analytics.table_sizes.table_bytes IS 'bytes without indexes';
COMMENT ON COLUMN analytics.table_sizes.index_bytes IS 'bytes of the indexes';
COMMENT ON COLUMN analytics.table_sizes.total_bytes IS 'bytes of both';
COMMENT ON COLUMN analytics.table_sizes.total_size IS 'total_bytes for people';

CREATE VIEW analytics.index_usage WITH (security_invoker = true) AS
SELECT t.name AS table_name,
       regexp_replace(s.indexrelname, '^user_activity_([0-9]{8}|default)_', 'user_activity_*_') AS index_name,
       count(*)::integer AS partitions,
       sum(s.idx_scan)::bigint AS scans,
       sum(s.idx_tup_read)::bigint AS rows_read,
       sum(s.idx_tup_fetch)::bigint AS rows_fetched,
       sum(pg_relation_size(s.indexrelid))::bigint AS bytes
FROM pg_stat_user_indexes AS s
LEFT JOIN pg_inherits AS i ON i.inhrelid = s.relid
LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
CROSS JOIN LATERAL (SELECT COALESCE(parent.relname, s.relname) AS name) AS t
WHERE s.schemaname = 'analytics'
GROUP BY 1, 2;
COMMENT ON VIEW analytics.index_usage IS
    'how often the indexes of the schema analytics were used since the statistics were reset, partitions summed; ORDER BY scans DESC';
COMMENT ON COLUMN analytics.index_usage.table_name IS 'table, or the one that it is a partition of';
COMMENT ON COLUMN analytics.index_usage.index_name IS 'index; * stands for the day of a partition';
COMMENT ON COLUMN analytics.index_usage.partitions IS 'indexes summed here';
COMMENT ON COLUMN analytics.index_usage.scans IS 'scans';
COMMENT ON COLUMN analytics.index_usage.rows_read IS 'entries read';
COMMENT ON COLUMN analytics.index_usage.rows_fetched IS 'rows fetched by plain index scans';
COMMENT ON COLUMN analytics.index_usage.bytes IS 'size in bytes';

CREATE FUNCTION analytics_internal.read_slow_queries(
    OUT query text, OUT calls bigint, OUT mean_exec_time double precision, OUT max_exec_time double precision,
    OUT total_exec_time double precision, OUT rows bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    home text := (SELECT e.extnamespace::regnamespace::text FROM pg_extension AS e WHERE e.extname = 'pg_stat_statements');
BEGIN
    IF home IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT s.query, s.calls, s.mean_exec_time, s.max_exec_time, s.total_exec_time, s.rows FROM %s.pg_stat_statements AS s WHERE s.query LIKE ''%%analytics.%%'' AND s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())',
        home);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.read_slow_queries() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.read_slow_queries() IS
    'statements of this database that name the schema analytics, from pg_stat_statements; no row without that extension';

CREATE VIEW analytics.slow_queries WITH (security_invoker = true) AS
SELECT q.query, q.calls, q.mean_exec_time, q.max_exec_time, q.total_exec_time, q.rows
FROM analytics_internal.read_slow_queries() AS q;
COMMENT ON VIEW analytics.slow_queries IS
    'statements that name the schema analytics, from pg_stat_statements (empty without it); ORDER BY mean_exec_time DESC';
COMMENT ON COLUMN analytics.slow_queries.query IS 'text with constants replaced';
COMMENT ON COLUMN analytics.slow_queries.calls IS 'executions';
COMMENT ON COLUMN analytics.slow_queries.mean_exec_time IS 'mean time of an execution, ms';
COMMENT ON COLUMN analytics.slow_queries.max_exec_time IS 'longest execution, ms';
COMMENT ON COLUMN analytics.slow_queries.total_exec_time IS 'time of all executions, ms';
COMMENT ON COLUMN analytics.slow_queries.rows IS 'rows returned or changed';

CREATE VIEW analytics.freshness WITH (security_invoker = true) AS
SELECT r.rollup,
       r.newest_bucket,
       (SELECT nullif(w.closed_until, '-infinity') FROM analytics.watermark AS w) AS closed_until,
       now() - (SELECT nullif(w.closed_until, '-infinity') FROM analytics.watermark AS w) AS lag,
       (SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) FROM analytics.dirty_hours AS d) AS dirty_hours,
       (SELECT count(*) FROM analytics.failed_days) AS failed_days
FROM (SELECT 'hourly_metrics' AS rollup, max(h.metric_hour) AS newest_bucket FROM analytics.hourly_metrics AS h
      UNION ALL
      SELECT 'daily_metrics', max(d.metric_date)::timestamp AT TIME ZONE 'UTC' FROM analytics.daily_metrics AS d
      UNION ALL
      SELECT 'agent_performance', max(a.metric_date)::timestamp AT TIME ZONE 'UTC' FROM analytics.agent_performance AS a) AS r;
COMMENT ON VIEW analytics.freshness IS
    'how recent the rollups are';
COMMENT ON COLUMN analytics.freshness.rollup IS 'rollup table';
COMMENT ON COLUMN analytics.freshness.newest_bucket IS 'start of its newest hour or (as if in UTC) day; NULL: empty';
COMMENT ON COLUMN analytics.freshness.closed_until IS 'up to here rollups are final, but for dirty_hours; NULL: nothing was ever closed';
COMMENT ON COLUMN analytics.freshness.lag IS 'how long ago that is; about an hour and a minute at most when all is well';
COMMENT ON COLUMN analytics.freshness.dirty_hours IS 'closed hours, per workspace, with late changes that wait for repair';
COMMENT ON COLUMN analytics.freshness.failed_days IS 'days of workspaces that could not be aggregated: analytics.failed_days';

CREATE VIEW analytics.data_quality WITH (security_invoker = true) AS
SELECT d.metric_date, v.key AS metadata_key, sum(v.value::bigint)::bigint AS ignored_values, count(*) AS workspaces
FROM analytics.daily_metrics AS d, jsonb_each_text(d.ignored_values) AS v
GROUP BY 1, 2;
COMMENT ON VIEW analytics.data_quality IS
    'malformed values of metadata that were ignored, by day and key, over the workspaces the reader sees';
COMMENT ON COLUMN analytics.data_quality.metric_date IS 'local day';
COMMENT ON COLUMN analytics.data_quality.metadata_key IS 'key in metadata';
COMMENT ON COLUMN analytics.data_quality.ignored_values IS 'values ignored';
COMMENT ON COLUMN analytics.data_quality.workspaces IS 'workspaces concerned';

CREATE VIEW analytics.job_progress WITH (security_invoker = true) AS
SELECT r.step, r.detail, r.started_at, clock_timestamp() - r.started_at AS elapsed, r.rows, r.done, r.total,
       round(100.0 * r.done / nullif(r.total, 0), 2) AS percent_done, r.pid
FROM analytics.job_runs AS r
WHERE r.outcome = 'running';
COMMENT ON VIEW analytics.job_progress IS
    'runs of maintain() and backfill() in progress; a killed one stays until the next run';
COMMENT ON COLUMN analytics.job_progress.step IS 'step';
COMMENT ON COLUMN analytics.job_progress.detail IS 'backfill: the range of days';
COMMENT ON COLUMN analytics.job_progress.started_at IS 'when it began';
COMMENT ON COLUMN analytics.job_progress.elapsed IS 'since then';
COMMENT ON COLUMN analytics.job_progress.rows IS 'what the step counts, so far';
COMMENT ON COLUMN analytics.job_progress.done IS 'units committed';
COMMENT ON COLUMN analytics.job_progress.total IS 'units in all, as far as known';
COMMENT ON COLUMN analytics.job_progress.percent_done IS 'share done; NULL where the total is not known';
COMMENT ON COLUMN analytics.job_progress.pid IS 'server process';

CREATE FUNCTION analytics_internal.watermark_holders() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT string_agg(h.who, '; ') FROM (
    SELECT format('prepared transaction %L since %s', p.gid, p.prepared) AS who
    FROM pg_prepared_xacts AS p, analytics.watermark AS w
    WHERE p.transaction::text::bigint < (w.closing_xid::text::numeric % 4294967296)
    UNION ALL
    SELECT format('process %s (%s) in a transaction since %s', a.pid, a.usename, a.xact_start)
    FROM pg_stat_activity AS a, analytics.watermark AS w
    WHERE a.backend_xid::text::bigint < (w.closing_xid::text::numeric % 4294967296)) AS h
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.watermark_holders() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.watermark_holders() IS
    'transactions older than the one taken for closing, for which closing waits; NULL: none';

CREATE FUNCTION analytics_internal.health() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_run timestamptz := analytics_internal.last_run('maintain');
    closed timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w);
    today date := (now() AT TIME ZONE 'UTC')::date;
    ahead integer := (SELECT count(*) FROM analytics_internal.day_partitions() AS p WHERE p.day > today);
    lingering bigint;
    dirty bigint;
    failed text;
    failed_days bigint;
BEGIN
    check_name := 'maintenance';
    status := CASE WHEN last_run > now() - interval '1 hour' THEN 'ok' WHEN last_run IS NULL THEN 'fail' ELSE 'warn' END;
    detail := COALESCE('last run ' || last_run::text, 'analytics.maintain() has never succeeded');
    hint := CASE WHEN status <> 'ok' THEN 'Schedule it: SELECT analytics.schedule_jobs(), or any cron calling psql -c ''CALL analytics.maintain()''.' END;
    RETURN NEXT;

    check_name := 'failed_steps';
    SELECT string_agg(f.step || ' (' || f.error || ')', ', ' ORDER BY f.step) INTO failed
    FROM (SELECT DISTINCT ON (r.step) r.step, r.outcome, r.error FROM analytics.job_runs AS r
          WHERE r.step <> 'maintain' AND r.started_at > now() - interval '1 day' AND r.outcome <> 'running'
          ORDER BY r.step, r.started_at DESC) AS f
    WHERE f.outcome = 'failed';
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'fail' END;
    detail := COALESCE('failed: ' || failed, 'no step failed when it last ran');
    hint := CASE WHEN failed IS NOT NULL THEN 'See analytics.job_runs; the step is tried again whenever it is due.' END;
    RETURN NEXT;

    check_name := 'partitions_ahead';
    status := CASE WHEN ahead >= 2 THEN 'ok' WHEN ahead >= 1 THEN 'warn' ELSE 'fail' END;
    detail := format('%s days ahead have a partition', ahead);
    hint := CASE WHEN ahead < 2 THEN 'analytics.maintain() makes them; events of other days wait in the default partition.' END;
    RETURN NEXT;

    check_name := 'default_partition';
    SELECT count(*) INTO lingering FROM analytics.user_activity_default AS e
    WHERE e.created_at < now() - interval '1 day';
    status := CASE WHEN lingering = 0 THEN 'ok' ELSE 'warn' END;
    detail := format('%s events older than a day', lingering);
    hint := CASE WHEN lingering > 0 THEN 'analytics.maintain() moves those within the retention and cleanup removes the others.' END;
    RETURN NEXT;

    check_name := 'closing';
    status := CASE WHEN closed > now() - interval '3 hours' THEN 'ok' WHEN closed IS NULL THEN 'warn'
                   WHEN closed > now() - interval '1 day' THEN 'warn' ELSE 'fail' END;
    detail := COALESCE('rollups are final until ' || closed::text || '; held by: ' || COALESCE(analytics_internal.watermark_holders(), 'nobody'),
                       'nothing was closed yet');
    hint := CASE WHEN status <> 'ok' THEN 'End long transactions and prepared ones; maintain() then goes on by itself.' END;
    RETURN NEXT;

    check_name := 'failed_days';
    SELECT string_agg(format('workspace %s, %s: %s (attempts: %s, next at %s)', f.workspace_id, to_char(f.metric_date, 'YYYY-MM-DD'), f.error, f.attempts, f.next_attempt_at), '; '
                      ORDER BY f.metric_date DESC, f.workspace_id) FILTER (WHERE f.place <= 3), count(*)
    INTO failed, failed_days
    FROM (SELECT d.*, row_number() OVER (ORDER BY d.metric_date DESC, d.workspace_id) AS place FROM analytics.failed_days AS d) AS f;
    status := CASE WHEN failed_days = 0 THEN 'ok' ELSE 'fail' END;
    detail := format('%s days of workspaces could not be aggregated', failed_days) || COALESCE(': ' || failed, '');
    hint := CASE WHEN failed_days > 0 THEN 'Mend the cause and SELECT analytics.retry_failed_days(), or wait for the next attempt; others are not held up. See analytics.failed_days.' END;
    RETURN NEXT;

    check_name := 'dirty_hours';
    SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) INTO dirty FROM analytics.dirty_hours AS d;
    status := CASE WHEN dirty < 10000 THEN 'ok' ELSE 'warn' END;
    detail := format('%s hours wait for repair', dirty);
    hint := CASE WHEN dirty >= 10000 THEN 'Call analytics.maintain() with a larger time_budget.' END;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.health() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.health() IS 'analytics.health() with the rights of the owner';

CREATE FUNCTION analytics.health() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS 'SELECT * FROM analytics_internal.health()';
REVOKE EXECUTE ON FUNCTION analytics.health() FROM PUBLIC;
COMMENT ON FUNCTION analytics.health() IS
    'one row per check: check_name, status (ok, warn, fail), detail, hint (NULL when ok). For a probe: SELECT count(*) FROM analytics.health() WHERE status = ''fail''';

CREATE FUNCTION analytics.prepare_restore() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition regclass;
    dropped integer := 0;
BEGIN
    LOCK TABLE analytics.user_activity IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM analytics.user_activity) THEN
        RAISE EXCEPTION 'analytics.user_activity is not empty'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Its partitions make room for those of a dump, so they must hold no event.',
                  HINT = 'Restore into a database in which the extension was just created.';
    END IF;
    FOR partition IN SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'analytics.user_activity'::regclass LOOP
        EXECUTE format('DROP TABLE %s', partition);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.prepare_restore() FROM PUBLIC;
COMMENT ON FUNCTION analytics.prepare_restore() IS
    'to be called by the owner in a fresh extension before a dump made with --schema=analytics alone is restored: drops the empty partitions, which the dump brings along, and returns how many. An error (55000) when there are events. Dumps that contain the extension do not need it';

CREATE FUNCTION analytics.post_restore() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    made integer;
BEGIN
    PERFORM analytics_internal.create_default_partition();
    made := analytics.create_partitions(today - 1, today + analytics.setting('partitions_ahead_days')::integer);
    -- Transaction ids of another server mean nothing here.
    UPDATE analytics.watermark SET closing_xid = NULL, marked_by = '3' WHERE closed_until < marked_until;
    UPDATE analytics.job_runs SET outcome = 'interrupted', finished_at = clock_timestamp() WHERE outcome = 'running';
    -- A dump without the extension carries no privileges on its objects.
    PERFORM analytics_internal.grant_audience(g.audience, r.rolname)
    FROM analytics.access_roles AS a
    JOIN pg_roles AS r ON r.rolname = a.role_name
    CROSS JOIN LATERAL unnest(CASE a.audience WHEN 'service' THEN '{member,service,operator}'::text[]
                                              WHEN 'anonymous' THEN '{}' ELSE ARRAY[a.audience] END) AS g (audience);
    PERFORM analytics_internal.run_optional('analytics.refresh_all_materialized_views()');
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.post_restore() FROM PUBLIC;
COMMENT ON FUNCTION analytics.post_restore() IS
    'to be called once by the owner after a restore: makes missing partitions (returns how many), forgets transaction ids of the old server, grants the roles of analytics.access_roles what they had, refreshes the materialized views';
-- What the scheduled functions do beside their own work, so that rollups stay right where nobody calls maintain().

CREATE FUNCTION analytics_internal.finish_provisional(deadline timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hour timestamptz;
    day date;
BEGIN
    FOR hour IN
        SELECT DISTINCT h.metric_hour FROM analytics.hourly_metrics AS h
        WHERE NOT h.is_final AND h.metric_hour <= now() - interval '1 hour' ORDER BY 1
    LOOP
        EXIT WHEN clock_timestamp() >= deadline;
        PERFORM analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    FOR day IN
        SELECT DISTINCT d.metric_date FROM analytics.daily_metrics AS d
        WHERE NOT d.is_final
          AND CASE WHEN EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = d.workspace_id)
                   THEN (SELECT b.day_end FROM analytics.workspace_day_bounds(d.workspace_id, d.metric_date) AS b) <= now()
                   ELSE d.metric_date < (now() AT TIME ZONE 'UTC')::date END
        ORDER BY 1
    LOOP
        EXIT WHEN clock_timestamp() >= deadline;
        PERFORM analytics_internal.try_aggregate(day, NULL);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.finish_provisional(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.finish_provisional(timestamptz) IS
    'aggregates hours and local days that are over but were last aggregated before, until an instant';

-- The caller may hold locks of the aggregation, so the lock of closing is only tried; whoever has it does the same.
-- Closing takes three calls. Its scans of old days are left to calls for recent ones: whoever aggregates history
-- day by day is not made to aggregate all of it in one call.
CREATE FUNCTION analytics_internal.catch_up(target_date date, with_cohorts boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds integer := analytics.setting('catch_up_seconds')::integer;
    deadline timestamptz := clock_timestamp() + make_interval(secs => seconds);
    is_recent boolean := target_date >= (now() AT TIME ZONE 'UTC')::date - 2;
    state text;
BEGIN
    IF seconds = 0 OR NOT analytics_internal.try_lock_closing() THEN
        RETURN;
    END IF;
    state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    WHILE is_recent AND state = 'ready' AND clock_timestamp() < deadline LOOP
        PERFORM analytics_internal.close_next();
        state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    END LOOP;
    WHILE clock_timestamp() < deadline LOOP
        EXIT WHEN analytics_internal.repair_newest() = 0;
    END LOOP;
    PERFORM analytics_internal.finish_provisional(deadline);
    IF with_cohorts AND is_recent AND clock_timestamp() < deadline THEN
        PERFORM analytics_internal.aggregate_due_cohorts(deadline - clock_timestamp());
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'other days could not be finished: %', SQLERRM
        USING ERRCODE = SQLSTATE, HINT = 'What was asked for is done; the next call tries again.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.catch_up(date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.catch_up(date, boolean) IS
    'closes what is ready to be closed, repairs what has changed and finishes what was provisional, for at most the setting catch_up_seconds; a failure is a warning. target_date: the day that was aggregated; for older ones than the day before yesterday nothing is closed. with_cohorts: then cohorts that are due are computed too';

CREATE FUNCTION analytics_internal.keep_partitions_ahead() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s' -- nobody shall queue behind us for long
AS $$
BEGIN
    PERFORM analytics_internal.make_partitions();
EXCEPTION WHEN lock_not_available THEN
    RAISE NOTICE 'no partition was made, as user_activity is in use; the next call tries again';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.keep_partitions_ahead() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.keep_partitions_ahead() IS
    'makes the partitions ahead; to be called last in a transaction, as its locks last to the end';
-- Who sees which rows: every policy of the extension. Rules for a new table:
--   * ENABLE ROW LEVEL SECURITY beside its CREATE TABLE, policies here, privileges in role_grants().
--   * No TO clause: roles need not exist when the extension is created. What a role may do at all is a matter
--     of privileges; which rows, of these policies. Owner and service role bypass them.
--   * One permissive policy per command; no sub-select: compare with the functions below, which are cached.
--   * Rows of a tenant:  USING (workspace_id = ANY (analytics.workspace_ids()))
--   * Rows of nobody:    FOR SELECT USING (false), so that the intention is visible
--   * Materialized views know no row security: grant them to nobody and read them through a view
--     WITH (security_barrier) AS SELECT ... WHERE workspace_id = ANY (analytics.workspace_ids())
-- Partitions have a policy of their own kind, see 63-partitions.sql.

CREATE POLICY member_reads ON analytics.daily_metrics FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_metrics IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.hourly_metrics FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.hourly_metrics IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.agent_performance FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.agent_performance IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_event_usage FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_event_usage IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_error_types FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_error_types IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.users FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.users IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_users FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_users IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_user_revenue FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_user_revenue IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.user_cohorts FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.user_cohorts IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.workspace_settings FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_settings IS
    'members read their workspaces';

CREATE POLICY member_reads ON analytics.credit_prices FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.credit_prices IS
    'members read their workspaces'' own prices';

CREATE POLICY manager_reads ON analytics.audit_log FOR SELECT
    USING (workspace_id = ANY (analytics.managed_workspace_ids()) OR user_id = analytics.current_user_id());
COMMENT ON POLICY manager_reads ON analytics.audit_log IS
    'managers read what concerns their workspaces, users what they did themselves';

CREATE POLICY user_reads ON analytics.user_activity FOR SELECT
    USING (user_id = analytics.current_user_id() OR workspace_id = ANY (analytics.raw_event_workspace_ids()));
COMMENT ON POLICY user_reads ON analytics.user_activity IS
    'users read their own events, and others'' where the setting raw_events_visible_to says so';
CREATE POLICY user_inserts ON analytics.user_activity FOR INSERT
    WITH CHECK (user_id = analytics.current_user_id()
                AND (workspace_id = '00000000-0000-0000-0000-000000000000'
                     OR workspace_id = ANY (analytics.workspace_ids()))
                AND created_at BETWEEN analytics.earliest_event_time() AND analytics.latest_event_time());
COMMENT ON POLICY user_inserts ON analytics.user_activity IS
    'users insert their own events, in their workspaces or none, dated within the limits of the settings';

CREATE POLICY no_access ON analytics.settings FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.settings IS
    'for the owner and the service role only';
CREATE POLICY no_access ON analytics.membership FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.membership IS
    'for the owner only';
CREATE POLICY no_access ON analytics.access_roles FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.access_roles IS
    'for the owner only';
CREATE POLICY no_access ON analytics.ip_secret FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.ip_secret IS
    'for the owner only';

CREATE POLICY member_reads ON analytics.alert_rules FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rules IS
    'members read their workspaces';
CREATE POLICY manager_inserts ON analytics.alert_rules FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.alert_rules IS
    'managers make rules for their workspaces';
CREATE POLICY manager_updates ON analytics.alert_rules FOR UPDATE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.alert_rules IS
    'managers change any rule of their workspaces, whoever made it';
CREATE POLICY manager_deletes ON analytics.alert_rules FOR DELETE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.alert_rules IS
    'managers delete any rule of their workspaces';
CREATE POLICY member_reads ON analytics.alert_rule_states FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rule_states IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.alert_history FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_history IS
    'members read their workspaces';
CREATE POLICY member_updates ON analytics.alert_history FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_updates ON analytics.alert_history IS
    'members acknowledge, snooze and note; other columns are not granted';
CREATE POLICY manager_reads ON analytics.notification_destinations FOR SELECT
    USING (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_reads ON analytics.notification_destinations IS
    'managers read the names; addresses and secrets are not granted';
CREATE POLICY manager_inserts ON analytics.notification_destinations FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.notification_destinations IS
    'managers make destinations for their workspaces';
CREATE POLICY manager_updates ON analytics.notification_destinations FOR UPDATE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.notification_destinations IS
    'managers change destinations of their workspaces';
CREATE POLICY manager_deletes ON analytics.notification_destinations FOR DELETE
    USING (workspace_id = ANY (analytics.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.notification_destinations IS
    'managers delete destinations of their workspaces';
CREATE POLICY member_reads ON analytics.notification_outbox FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.notification_outbox IS
    'members see what became of their workspaces'' notifications; the messages are not granted';
CREATE POLICY no_access ON analytics.watermark FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.watermark IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.dirty_hours FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.dirty_hours IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.failed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.failed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.stale_totals FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.stale_totals IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.closed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.closed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.sealed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.sealed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.retention_policies FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.retention_policies IS
    'for the owner only';
CREATE POLICY no_access ON analytics.job_runs FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.job_runs IS
    'for maintenance only';
CREATE POLICY member_reads ON analytics.workspace_retention FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_retention IS
    'members read their workspaces''';
-- A dump carries its partitions with it and turns row_security off: then none are made, or they would be in
-- the way of those to be restored.
DO $$
BEGIN
    IF current_setting('row_security')::boolean THEN
        PERFORM analytics_internal.create_default_partition();
        PERFORM analytics_internal.create_partitions((now() AT TIME ZONE 'UTC')::date - 1,
                                                     (now() AT TIME ZONE 'UTC')::date + 7);
    END IF;
END
$$;
