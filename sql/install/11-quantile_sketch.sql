-- analytics.quantile_sketch: quantiles with a guaranteed relative error, mergeable over days and workers
-- (DDSketch; doc/quantile_sketch.md).

CREATE TYPE analytics.quantile_sketch;

CREATE FUNCTION analytics_internal.quantile_sketch_in(cstring) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_in';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_in(cstring) IS
    'text input of quantile_sketch: the JSON object that its output writes';

CREATE FUNCTION analytics_internal.quantile_sketch_out(analytics.quantile_sketch) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_out';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_out(analytics.quantile_sketch) IS
    'text output of quantile_sketch: a JSON object that loses nothing';

CREATE FUNCTION analytics_internal.quantile_sketch_recv(internal) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_recv';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_recv(internal) IS
    'binary input of quantile_sketch; every byte is checked';

CREATE FUNCTION analytics_internal.quantile_sketch_send(analytics.quantile_sketch) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_send';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_send(analytics.quantile_sketch) IS
    'binary output of quantile_sketch: the versioned stored form, the same on every platform';

CREATE TYPE analytics.quantile_sketch (
    INPUT = analytics_internal.quantile_sketch_in,
    OUTPUT = analytics_internal.quantile_sketch_out,
    RECEIVE = analytics_internal.quantile_sketch_recv,
    SEND = analytics_internal.quantile_sketch_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = extended
);
COMMENT ON TYPE analytics.quantile_sketch IS
    'DDSketch of at least one number: any quantile within a relative error (default 0.01). Count, sum, minimum and maximum are exact. Merging is exact and independent of order';

-- Functions

CREATE FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fraction double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile';
COMMENT ON FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fraction double precision) IS
    'value of rank floor(fraction * (count - 1)) within the relative accuracy of the sketch. 0 gives the exact minimum, 1 the exact maximum; NULL for a NULL argument; error: a fraction outside [0, 1]';

CREATE FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fraction double precision, interpolated boolean) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_interpolated_quantile';
COMMENT ON FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fraction double precision, interpolated boolean) IS
    'quantile(sketch, fraction), or interpolated as by percentile_cont (Hyndman-Fan type 7). It lies between neighbouring ranks, each within the relative accuracy of the sketch. NULL for a NULL argument; error: a fraction outside [0, 1]';

CREATE FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fractions double precision[]) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_array';
COMMENT ON FUNCTION analytics.quantile(sketch analytics.quantile_sketch, fractions double precision[]) IS
    'quantile() of each element of fractions, in their order, as a one-dimensional array. A NULL element gives NULL; NULL for a NULL argument; error: a fraction outside [0, 1]';

CREATE FUNCTION analytics.quantile_sketch_rank(sketch analytics.quantile_sketch, value double precision) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_rank';
COMMENT ON FUNCTION analytics.quantile_sketch_rank(sketch analytics.quantile_sketch, value double precision) IS
    'share of values <= value, 0 to 1. Values in the same bucket (relative distance up to twice the accuracy) count as equal; infinities are allowed; NULL for a NULL argument; error: NaN';

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

-- Operators

CREATE FUNCTION analytics_internal.quantile_sketch_add(a analytics.quantile_sketch, b analytics.quantile_sketch) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_add';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_add(a analytics.quantile_sketch, b analytics.quantile_sketch) IS
    'sketch of the values of both (operator +); NULL if either is NULL. Error: different accuracy or max_buckets';

CREATE FUNCTION analytics_internal.quantile_sketch_eq(a analytics.quantile_sketch, b analytics.quantile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_eq';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_eq(a analytics.quantile_sketch, b analytics.quantile_sketch) IS
    'whether both hold the same content (operator =)';

CREATE FUNCTION analytics_internal.quantile_sketch_ne(a analytics.quantile_sketch, b analytics.quantile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_ne';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_ne(a analytics.quantile_sketch, b analytics.quantile_sketch) IS
    'whether the contents differ (operator <>)';

CREATE FUNCTION analytics_internal.quantile_sketch_hash(sketch analytics.quantile_sketch) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_hash';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_hash(sketch analytics.quantile_sketch) IS
    'hash of the content, for hash joins and GROUP BY';

CREATE OPERATOR analytics.+ (
    LEFTARG = analytics.quantile_sketch, RIGHTARG = analytics.quantile_sketch,
    FUNCTION = analytics_internal.quantile_sketch_add, COMMUTATOR = OPERATOR(analytics.+)
);
COMMENT ON OPERATOR analytics.+ (analytics.quantile_sketch, analytics.quantile_sketch) IS
    'sketch of the values of both; error: different accuracy or max_buckets';

CREATE OPERATOR analytics.= (
    LEFTARG = analytics.quantile_sketch, RIGHTARG = analytics.quantile_sketch,
    FUNCTION = analytics_internal.quantile_sketch_eq,
    COMMUTATOR = OPERATOR(analytics.=), NEGATOR = OPERATOR(analytics.<>),
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
COMMENT ON OPERATOR analytics.= (analytics.quantile_sketch, analytics.quantile_sketch) IS
    'same content: sketches of the same values are equal however they were merged';

CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.quantile_sketch, RIGHTARG = analytics.quantile_sketch,
    FUNCTION = analytics_internal.quantile_sketch_ne,
    COMMUTATOR = OPERATOR(analytics.<>), NEGATOR = OPERATOR(analytics.=),
    RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR analytics.<> (analytics.quantile_sketch, analytics.quantile_sketch) IS 'different content';

CREATE OPERATOR CLASS analytics.quantile_sketch_ops
DEFAULT FOR TYPE analytics.quantile_sketch USING hash AS
    OPERATOR 1 analytics.=,
    FUNCTION 1 analytics_internal.quantile_sketch_hash(analytics.quantile_sketch);
COMMENT ON OPERATOR CLASS analytics.quantile_sketch_ops USING hash IS 'equality of content';
COMMENT ON OPERATOR FAMILY analytics.quantile_sketch_ops USING hash IS 'equality of content';

-- Aggregates

CREATE FUNCTION analytics_internal.quantile_sketch_accum(internal, value double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_accum(internal, value double precision) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics_internal.quantile_sketch_accum(internal, value double precision, accuracy double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_accum(internal, value double precision, accuracy double precision) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics_internal.quantile_sketch_accum(internal, value double precision, accuracy double precision, max_buckets integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_accum(internal, value double precision, accuracy double precision, max_buckets integer) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics_internal.quantile_sketch_accum(internal, value numeric) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum_numeric';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_accum(internal, value numeric) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics_internal.quantile_sketch_accum(internal, value numeric, accuracy double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum_numeric';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_accum(internal, value numeric, accuracy double precision) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics_internal.quantile_sketch_accum(internal, value numeric, accuracy double precision, max_buckets integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_accum_numeric';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_accum(internal, value numeric, accuracy double precision, max_buckets integer) IS
    'adds a value to the state of quantile_sketch_agg';

CREATE FUNCTION analytics_internal.quantile_sketch_merge_accum(internal, sketch analytics.quantile_sketch) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_merge_accum';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_merge_accum(internal, sketch analytics.quantile_sketch) IS
    'adds a sketch to the state of quantile_sketch_merge';

CREATE FUNCTION analytics_internal.quantile_sketch_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_combine';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_combine(internal, internal) IS
    'merges two states of quantile_sketch_agg or quantile_sketch_merge';

CREATE FUNCTION analytics_internal.quantile_sketch_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_serialize';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_serialize(internal) IS
    'state of a parallel worker as bytes';

CREATE FUNCTION analytics_internal.quantile_sketch_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_deserialize';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_deserialize(bytea, internal) IS
    'bytes of a parallel worker as a state';

CREATE FUNCTION analytics_internal.quantile_sketch_final(internal) RETURNS analytics.quantile_sketch
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_quantile_sketch_serialize';
COMMENT ON FUNCTION analytics_internal.quantile_sketch_final(internal) IS
    'the sketch of a state; NULL if there was no value';

CREATE AGGREGATE analytics.quantile_sketch_agg(value double precision) (
    SFUNC = analytics_internal.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value double precision) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity';

CREATE AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision) (
    SFUNC = analytics_internal.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity. Accuracy from 0.0001 to 0.5, default 0.01, the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision, max_buckets integer) (
    SFUNC = analytics_internal.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value double precision, accuracy double precision, max_buckets integer) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity. Accuracy from 0.0001 to 0.5, default 0.01; max_buckets, for each sign, from 16 to 65536, default 2048; both must be the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_agg(value numeric) (
    SFUNC = analytics_internal.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value numeric) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity';

CREATE AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision) (
    SFUNC = analytics_internal.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity. Accuracy from 0.0001 to 0.5, default 0.01, the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision, max_buckets integer) (
    SFUNC = analytics_internal.quantile_sketch_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_agg(value numeric, accuracy double precision, max_buckets integer) IS
    'sketch of the values; NULLs are ignored, no value at all gives NULL; errors: NaN, infinity. Accuracy from 0.0001 to 0.5, default 0.01; max_buckets, for each sign, from 16 to 65536, default 2048; both must be the same for all rows';

CREATE AGGREGATE analytics.quantile_sketch_merge(sketch analytics.quantile_sketch) (
    SFUNC = analytics_internal.quantile_sketch_merge_accum, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.quantile_sketch_final,
    COMBINEFUNC = analytics_internal.quantile_sketch_combine,
    SERIALFUNC = analytics_internal.quantile_sketch_serialize,
    DESERIALFUNC = analytics_internal.quantile_sketch_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.quantile_sketch_merge(sketch analytics.quantile_sketch) IS
    'sketch of all values of the sketches; NULLs are ignored, no sketch at all gives NULL. Error: different accuracy or max_buckets';
