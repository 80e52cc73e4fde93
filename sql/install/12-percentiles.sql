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
