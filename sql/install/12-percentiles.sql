-- Percentiles: the nine types of Hyndman and Fan, over arrays and as an aggregate.
--
-- Two implementations, numeric (exact) and double precision (fast). The other overloads of calculate_percentiles
-- are there so that untyped literals and integer arrays resolve instead of being ambiguous: PostgreSQL prefers a
-- text argument for an untyped literal.

CREATE FUNCTION analytics.calculate_percentiles(numbers numeric[], fractions numeric[], method text DEFAULT 'linear') RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric';
COMMENT ON FUNCTION analytics.calculate_percentiles(numeric[], numeric[], text) IS
    'percentiles of numbers (any order) at fractions (0..1), in the order of fractions. Exact: the result is exact when it is a finite decimal, else it has 20 significant digits or the decimals of its two neighbours if these are more; it shows at least as many decimals as any of numbers. NULL elements are ignored; no number left: NULLs, one per fraction; a NULL fraction gives NULL; NaN sorts last; -infinity interpolated with infinity is NaN; arrays of several dimensions are flattened; a NULL argument gives NULL; a fraction outside 0..1 or NaN and an unknown method raise 22023, more than 10 million digits of the widest number times fractions 54000. method: a name of numpy (inverted_cdf, averaged_inverted_cdf, closest_observation, interpolated_inverted_cdf, hazen, weibull, linear, median_unbiased, normal_unbiased) or the number of the same type of Hyndman and Fan (1996), ''1'' to ''9''; linear, ''7'', is percentile_cont and inverted_cdf, ''1'', is percentile_disc';

CREATE FUNCTION analytics.calculate_percentiles(numbers double precision[], fractions double precision[], method text DEFAULT 'linear') RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8';
COMMENT ON FUNCTION analytics.calculate_percentiles(double precision[], double precision[], text) IS
    'calculate_percentiles() in double precision, the fast one. Finite numbers give exactly what percentile_cont gives';

CREATE FUNCTION analytics.calculate_percentiles(numbers bigint[], fractions integer[], method text DEFAULT 'linear') RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric';
COMMENT ON FUNCTION analytics.calculate_percentiles(bigint[], integer[], text) IS
    'calculate_percentiles() of whole numbers, exact as for numeric[]. Integer fractions can only be 0 (minimum) and 1 (maximum)';

CREATE FUNCTION analytics.calculate_percentiles(numbers bigint[], fractions text, method text DEFAULT 'linear') RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_text';
COMMENT ON FUNCTION analytics.calculate_percentiles(bigint[], text, text) IS
    'calculate_percentiles() of whole numbers, exact as for numeric[]. For an untyped literal as fractions (''{0.5,0.95}''), which is read as numeric[]';

CREATE FUNCTION analytics.calculate_percentiles(numbers text, fractions text, method text DEFAULT 'linear') RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_text';
COMMENT ON FUNCTION analytics.calculate_percentiles(text, text, text) IS
    'calculate_percentiles() of untyped literals (''{1,2}'', ''{0.5}''), which are read as numeric[]. Cast one to double precision[] for the fast overload';

CREATE FUNCTION analytics_internal.percentiles_accum(internal, double precision, double precision[]) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_accum';
COMMENT ON FUNCTION analytics_internal.percentiles_accum(internal, double precision, double precision[]) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics_internal.percentiles_accum(internal, double precision, double precision[], text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_accum';
COMMENT ON FUNCTION analytics_internal.percentiles_accum(internal, double precision, double precision[], text) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics_internal.percentiles_float8_final(internal) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_float8_final';
COMMENT ON FUNCTION analytics_internal.percentiles_float8_final(internal) IS
    'final function of the aggregate analytics.percentiles(double precision, ...)';

CREATE FUNCTION analytics_internal.percentiles_accum(internal, numeric, numeric[]) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_accum';
COMMENT ON FUNCTION analytics_internal.percentiles_accum(internal, numeric, numeric[]) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics_internal.percentiles_accum(internal, numeric, numeric[], text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_accum';
COMMENT ON FUNCTION analytics_internal.percentiles_accum(internal, numeric, numeric[], text) IS
    'transition function of the aggregate analytics.percentiles: keeps the value';

CREATE FUNCTION analytics_internal.percentiles_numeric_final(internal) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_numeric_final';
COMMENT ON FUNCTION analytics_internal.percentiles_numeric_final(internal) IS
    'final function of the aggregate analytics.percentiles(numeric, ...)';

CREATE FUNCTION analytics_internal.percentiles_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_combine';
COMMENT ON FUNCTION analytics_internal.percentiles_combine(internal, internal) IS
    'joins two states of the aggregate analytics.percentiles';

CREATE FUNCTION analytics_internal.percentiles_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_serialize';
COMMENT ON FUNCTION analytics_internal.percentiles_serialize(internal) IS
    'state of the aggregate analytics.percentiles on its way between parallel workers';

CREATE FUNCTION analytics_internal.percentiles_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_percentiles_deserialize';
COMMENT ON FUNCTION analytics_internal.percentiles_deserialize(bytea, internal) IS
    'state of the aggregate analytics.percentiles from percentiles_serialize';

CREATE AGGREGATE analytics.percentiles(value double precision, fractions double precision[]) (
    SFUNC = analytics_internal.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics_internal.percentiles_float8_final,
    COMBINEFUNC = analytics_internal.percentiles_combine,
    SERIALFUNC = analytics_internal.percentiles_serialize,
    DESERIALFUNC = analytics_internal.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(double precision, double precision[]) IS
    'percentiles() in double precision, the fast one. Keeps 8 bytes per value in memory';

CREATE AGGREGATE analytics.percentiles(value double precision, fractions double precision[], method text) (
    SFUNC = analytics_internal.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics_internal.percentiles_float8_final,
    COMBINEFUNC = analytics_internal.percentiles_combine,
    SERIALFUNC = analytics_internal.percentiles_serialize,
    DESERIALFUNC = analytics_internal.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(double precision, double precision[], text) IS
    'percentiles() in double precision by another method than linear';

CREATE AGGREGATE analytics.percentiles(value numeric, fractions numeric[]) (
    SFUNC = analytics_internal.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics_internal.percentiles_numeric_final,
    COMBINEFUNC = analytics_internal.percentiles_combine,
    SERIALFUNC = analytics_internal.percentiles_serialize,
    DESERIALFUNC = analytics_internal.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(numeric, numeric[]) IS
    'percentiles of value at fractions (0..1). As calculate_percentiles(array_agg(value), fractions), without the array. NULL values are ignored; no row: NULL; only NULL values: NULLs, one per fraction; NULL fractions: NULL. Fractions must be the same in every row of a group, else 22023. Keeps every value in memory';

CREATE AGGREGATE analytics.percentiles(value numeric, fractions numeric[], method text) (
    SFUNC = analytics_internal.percentiles_accum,
    STYPE = internal,
    FINALFUNC = analytics_internal.percentiles_numeric_final,
    COMBINEFUNC = analytics_internal.percentiles_combine,
    SERIALFUNC = analytics_internal.percentiles_serialize,
    DESERIALFUNC = analytics_internal.percentiles_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(numeric, numeric[], text) IS
    'percentiles() by another method than linear, as in calculate_percentiles(). NULL: NULL. It must be the same in every row of a group, else 22023';
