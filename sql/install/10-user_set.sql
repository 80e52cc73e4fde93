-- analytics.user_set: a compressed set of 32-bit unsigned integers. The stored form is a version byte and the portable
-- Roaring format in its canonical shape (src/core/sets/roaring.hpp), the same on every machine.

CREATE TYPE analytics.user_set;

CREATE FUNCTION analytics_internal.user_set_in(cstring) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_in';
COMMENT ON FUNCTION analytics_internal.user_set_in(cstring) IS
    'text input, like {1,2,5-9}: elements and ranges in any order. A malformed text or an element outside 0..4294967295 is an error';

CREATE FUNCTION analytics_internal.user_set_out(analytics.user_set) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_out';
COMMENT ON FUNCTION analytics_internal.user_set_out(analytics.user_set) IS
    'text output: elements ascending, three or more consecutive ones as first-last. An error if the text would exceed 1 GB';

CREATE FUNCTION analytics_internal.user_set_recv(internal) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_recv';
COMMENT ON FUNCTION analytics_internal.user_set_recv(internal) IS
    'binary input: the portable Roaring format, checked completely; anything else is an error';

CREATE FUNCTION analytics_internal.user_set_send(analytics.user_set) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_send';
COMMENT ON FUNCTION analytics_internal.user_set_send(analytics.user_set) IS
    'binary output: the portable Roaring format';

-- Storage external, not extended: the value is compressed already. pglz makes none of the sets measured in
-- doc/user_set.md smaller by one byte, and would try at every write.
CREATE TYPE analytics.user_set (
    INPUT = analytics_internal.user_set_in,
    OUTPUT = analytics_internal.user_set_out,
    RECEIVE = analytics_internal.user_set_recv,
    SEND = analytics_internal.user_set_send,
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
    'the set of the elements of an array of any shape. NULL elements are ignored, negative ones are an error';

CREATE CAST (integer[] AS analytics.user_set) WITH FUNCTION analytics.user_set(integer[]);
COMMENT ON CAST (integer[] AS analytics.user_set) IS
    'the set of the elements of an array of any shape. NULL elements are ignored, negative ones are an error';

CREATE FUNCTION analytics.user_set(bigint[]) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_from_bigints';
COMMENT ON FUNCTION analytics.user_set(bigint[]) IS
    'the set of the elements of an array of any shape. NULL elements are ignored, those outside 0..4294967295 are an error';

CREATE CAST (bigint[] AS analytics.user_set) WITH FUNCTION analytics.user_set(bigint[]);
COMMENT ON CAST (bigint[] AS analytics.user_set) IS
    'the set of the elements of an array of any shape. NULL elements are ignored, those outside 0..4294967295 are an error';

CREATE FUNCTION analytics.user_set(bytea) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_from_bytea';
COMMENT ON FUNCTION analytics.user_set(bytea) IS
    'a set in the portable Roaring format, checked completely; anything else is an error';

CREATE CAST (bytea AS analytics.user_set) WITH FUNCTION analytics.user_set(bytea);
COMMENT ON CAST (bytea AS analytics.user_set) IS
    'a set in the portable Roaring format, checked completely; anything else is an error';

CREATE FUNCTION analytics_internal.integers(analytics.user_set) RETURNS integer[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_to_integers';
COMMENT ON FUNCTION analytics_internal.integers(analytics.user_set) IS
    'the elements ascending; an error if one exceeds 2147483647 or the array would exceed 1 GB';

CREATE CAST (analytics.user_set AS integer[]) WITH FUNCTION analytics_internal.integers(analytics.user_set);
COMMENT ON CAST (analytics.user_set AS integer[]) IS
    'the elements ascending; an error if one exceeds 2147483647 or the array would exceed 1 GB';

CREATE FUNCTION analytics_internal.bigints(analytics.user_set) RETURNS bigint[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_to_bigints';
COMMENT ON FUNCTION analytics_internal.bigints(analytics.user_set) IS
    'the elements ascending; an error if the array would exceed 1 GB';

CREATE CAST (analytics.user_set AS bigint[]) WITH FUNCTION analytics_internal.bigints(analytics.user_set);
COMMENT ON CAST (analytics.user_set AS bigint[]) IS
    'the elements ascending; an error if the array would exceed 1 GB';

CREATE FUNCTION analytics_internal.portable_bytes(analytics.user_set) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_send';
COMMENT ON FUNCTION analytics_internal.portable_bytes(analytics.user_set) IS
    'the portable Roaring format, as CRoaring and its bindings read it';

CREATE CAST (analytics.user_set AS bytea) WITH FUNCTION analytics_internal.portable_bytes(analytics.user_set);
COMMENT ON CAST (analytics.user_set AS bytea) IS
    'the portable Roaring format, as CRoaring and its bindings read it';

-- Reading a set.

CREATE FUNCTION analytics.user_set_cardinality(analytics.user_set) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_cardinality';
COMMENT ON FUNCTION analytics.user_set_cardinality(analytics.user_set) IS
    'number of elements; 0 for the empty set';

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
    'number of elements of the first set that the second does not have. The result is not built';

-- Algebra: | & - and # (symmetric difference, as for bit strings).

CREATE FUNCTION analytics_internal.user_set_union(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union';
COMMENT ON FUNCTION analytics_internal.user_set_union(analytics.user_set, analytics.user_set) IS
    'elements of either set';

CREATE OPERATOR analytics.| (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_union,
    COMMUTATOR = OPERATOR(analytics.|)
);
COMMENT ON OPERATOR analytics.| (analytics.user_set, analytics.user_set) IS 'elements of either set';

CREATE FUNCTION analytics_internal.user_set_intersection(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection';
COMMENT ON FUNCTION analytics_internal.user_set_intersection(analytics.user_set, analytics.user_set) IS
    'elements of both sets';

CREATE OPERATOR analytics.& (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_intersection,
    COMMUTATOR = OPERATOR(analytics.&)
);
COMMENT ON OPERATOR analytics.& (analytics.user_set, analytics.user_set) IS 'elements of both sets';

CREATE FUNCTION analytics_internal.user_set_difference(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_difference';
COMMENT ON FUNCTION analytics_internal.user_set_difference(analytics.user_set, analytics.user_set) IS
    'elements of the left set that the right one does not have';

CREATE OPERATOR analytics.- (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_difference
);
COMMENT ON OPERATOR analytics.- (analytics.user_set, analytics.user_set) IS 'elements of the left set that the right one does not have';

CREATE FUNCTION analytics_internal.user_set_symmetric_difference(analytics.user_set, analytics.user_set) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_symmetric_difference';
COMMENT ON FUNCTION analytics_internal.user_set_symmetric_difference(analytics.user_set, analytics.user_set) IS
    'elements of exactly one of the two sets';

CREATE OPERATOR analytics.# (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_symmetric_difference,
    COMMUTATOR = OPERATOR(analytics.#)
);
COMMENT ON OPERATOR analytics.# (analytics.user_set, analytics.user_set) IS 'elements of exactly one of the two sets';

-- Tests.

CREATE FUNCTION analytics_internal.user_set_contains(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_contains';
COMMENT ON FUNCTION analytics_internal.user_set_contains(analytics.user_set, analytics.user_set) IS
    'whether the first set has all elements of the second';

CREATE FUNCTION analytics_internal.user_set_contains(analytics.user_set, bigint) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_contains_element';
COMMENT ON FUNCTION analytics_internal.user_set_contains(analytics.user_set, bigint) IS
    'whether the set has the element; false for a number that cannot be one';

CREATE FUNCTION analytics_internal.user_set_contained(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_contained';
COMMENT ON FUNCTION analytics_internal.user_set_contained(analytics.user_set, analytics.user_set) IS
    'whether the second set has all elements of the first';

CREATE FUNCTION analytics_internal.user_set_contained(bigint, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_element_contained';
COMMENT ON FUNCTION analytics_internal.user_set_contained(bigint, analytics.user_set) IS
    'whether the set has the element; false for a number that cannot be one';

CREATE FUNCTION analytics_internal.user_set_overlaps(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_overlaps';
COMMENT ON FUNCTION analytics_internal.user_set_overlaps(analytics.user_set, analytics.user_set) IS
    'whether the sets have an element in common';

CREATE OPERATOR analytics.@> (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_contains,
    COMMUTATOR = OPERATOR(analytics.<@),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.@> (analytics.user_set, analytics.user_set) IS 'contains all elements of';

CREATE OPERATOR analytics.<@ (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_contained,
    COMMUTATOR = OPERATOR(analytics.@>),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.<@ (analytics.user_set, analytics.user_set) IS 'is contained in';

CREATE OPERATOR analytics.@> (
    LEFTARG = analytics.user_set, RIGHTARG = bigint, FUNCTION = analytics_internal.user_set_contains,
    COMMUTATOR = OPERATOR(analytics.<@),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.@> (analytics.user_set, bigint) IS 'contains the element';

CREATE OPERATOR analytics.<@ (
    LEFTARG = bigint, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_contained,
    COMMUTATOR = OPERATOR(analytics.@>),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.<@ (bigint, analytics.user_set) IS 'is an element of';

CREATE OPERATOR analytics.&& (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_overlaps,
    COMMUTATOR = OPERATOR(analytics.&&),
    RESTRICT = pg_catalog.contsel,
    JOIN = pg_catalog.contjoinsel
);
COMMENT ON OPERATOR analytics.&& (analytics.user_set, analytics.user_set) IS 'have an element in common';

-- Comparison: equality and hash look at the canonical bytes; the order is that of the sorted arrays of elements.

CREATE FUNCTION analytics_internal.user_set_eq(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_eq';
COMMENT ON FUNCTION analytics_internal.user_set_eq(analytics.user_set, analytics.user_set) IS
    'equal';

CREATE OPERATOR analytics.= (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_eq,
    COMMUTATOR = OPERATOR(analytics.=),
    NEGATOR = OPERATOR(analytics.<>),
    RESTRICT = pg_catalog.eqsel,
    JOIN = pg_catalog.eqjoinsel,
    HASHES,
    MERGES
);
COMMENT ON OPERATOR analytics.= (analytics.user_set, analytics.user_set) IS 'equal';

CREATE FUNCTION analytics_internal.user_set_ne(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_ne';
COMMENT ON FUNCTION analytics_internal.user_set_ne(analytics.user_set, analytics.user_set) IS
    'not equal';

CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_ne,
    COMMUTATOR = OPERATOR(analytics.<>),
    NEGATOR = OPERATOR(analytics.=),
    RESTRICT = pg_catalog.neqsel,
    JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR analytics.<> (analytics.user_set, analytics.user_set) IS 'not equal';

CREATE FUNCTION analytics_internal.user_set_lt(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_lt';
COMMENT ON FUNCTION analytics_internal.user_set_lt(analytics.user_set, analytics.user_set) IS
    'less than, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.< (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_lt,
    COMMUTATOR = OPERATOR(analytics.>),
    NEGATOR = OPERATOR(analytics.>=),
    RESTRICT = pg_catalog.scalarltsel,
    JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR analytics.< (analytics.user_set, analytics.user_set) IS 'less than, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics_internal.user_set_le(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_le';
COMMENT ON FUNCTION analytics_internal.user_set_le(analytics.user_set, analytics.user_set) IS
    'less than or equal, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.<= (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_le,
    COMMUTATOR = OPERATOR(analytics.>=),
    NEGATOR = OPERATOR(analytics.>),
    RESTRICT = pg_catalog.scalarlesel,
    JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR analytics.<= (analytics.user_set, analytics.user_set) IS 'less than or equal, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics_internal.user_set_gt(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_gt';
COMMENT ON FUNCTION analytics_internal.user_set_gt(analytics.user_set, analytics.user_set) IS
    'greater than, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.> (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_gt,
    COMMUTATOR = OPERATOR(analytics.<),
    NEGATOR = OPERATOR(analytics.<=),
    RESTRICT = pg_catalog.scalargtsel,
    JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR analytics.> (analytics.user_set, analytics.user_set) IS 'greater than, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics_internal.user_set_ge(analytics.user_set, analytics.user_set) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_ge';
COMMENT ON FUNCTION analytics_internal.user_set_ge(analytics.user_set, analytics.user_set) IS
    'greater than or equal, in the order of the sorted arrays of elements';

CREATE OPERATOR analytics.>= (
    LEFTARG = analytics.user_set, RIGHTARG = analytics.user_set, FUNCTION = analytics_internal.user_set_ge,
    COMMUTATOR = OPERATOR(analytics.<=),
    NEGATOR = OPERATOR(analytics.<),
    RESTRICT = pg_catalog.scalargesel,
    JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR analytics.>= (analytics.user_set, analytics.user_set) IS 'greater than or equal, in the order of the sorted arrays of elements';

CREATE FUNCTION analytics_internal.user_set_cmp(analytics.user_set, analytics.user_set) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_cmp';
COMMENT ON FUNCTION analytics_internal.user_set_cmp(analytics.user_set, analytics.user_set) IS
    'negative, 0 or positive: btree comparison in the order of the sorted arrays of elements';

CREATE FUNCTION analytics_internal.user_set_hash(analytics.user_set) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_hash';
COMMENT ON FUNCTION analytics_internal.user_set_hash(analytics.user_set) IS
    'hash of the canonical bytes';

CREATE FUNCTION analytics_internal.user_set_hash_extended(analytics.user_set, bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_hash_extended';
COMMENT ON FUNCTION analytics_internal.user_set_hash_extended(analytics.user_set, bigint) IS
    '64-bit hash of the canonical bytes with a seed';

CREATE OPERATOR CLASS analytics.user_set_ops
DEFAULT FOR TYPE analytics.user_set USING btree AS
    OPERATOR 1 analytics.<,
    OPERATOR 2 analytics.<=,
    OPERATOR 3 analytics.=,
    OPERATOR 4 analytics.>=,
    OPERATOR 5 analytics.>,
    FUNCTION 1 analytics_internal.user_set_cmp(analytics.user_set, analytics.user_set);
COMMENT ON OPERATOR CLASS analytics.user_set_ops USING btree IS
    'sorting, DISTINCT and small unique keys of user_set; btree entries are limited to 2,704 bytes';
COMMENT ON OPERATOR FAMILY analytics.user_set_ops USING btree IS
    'sorting, DISTINCT and small unique keys of user_set; btree entries are limited to 2,704 bytes';

CREATE OPERATOR CLASS analytics.user_set_ops
DEFAULT FOR TYPE analytics.user_set USING hash AS
    OPERATOR 1 analytics.=,
    FUNCTION 1 analytics_internal.user_set_hash(analytics.user_set),
    FUNCTION 2 analytics_internal.user_set_hash_extended(analytics.user_set, bigint);
COMMENT ON OPERATOR CLASS analytics.user_set_ops USING hash IS
    'hash joins, hash aggregation and hash indexes of user_set, of any size';
COMMENT ON OPERATOR FAMILY analytics.user_set_ops USING hash IS
    'hash joins, hash aggregation and hash indexes of user_set, of any size';

-- Aggregates. NULL input is ignored; without any other input the result is NULL, as for PostgreSQL's own.

CREATE FUNCTION analytics_internal.user_set_accum(internal, bigint) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_accum';
COMMENT ON FUNCTION analytics_internal.user_set_accum(internal, bigint) IS
    'transition of user_set_agg';

CREATE FUNCTION analytics_internal.user_set_union_accum(internal, analytics.user_set) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_accum';
COMMENT ON FUNCTION analytics_internal.user_set_union_accum(internal, analytics.user_set) IS
    'transition of user_set_union_agg';

CREATE FUNCTION analytics_internal.user_set_union_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_combine';
COMMENT ON FUNCTION analytics_internal.user_set_union_combine(internal, internal) IS
    'joins two states of user_set_agg and user_set_union_agg';

CREATE FUNCTION analytics_internal.user_set_union_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_serialize';
COMMENT ON FUNCTION analytics_internal.user_set_union_serialize(internal) IS
    'state of user_set_agg and user_set_union_agg for another process';

CREATE FUNCTION analytics_internal.user_set_union_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_deserialize';
COMMENT ON FUNCTION analytics_internal.user_set_union_deserialize(bytea, internal) IS
    'state of user_set_agg and user_set_union_agg from another process';

CREATE FUNCTION analytics_internal.user_set_union_final(internal) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_union_final';
COMMENT ON FUNCTION analytics_internal.user_set_union_final(internal) IS
    'result of user_set_agg and user_set_union_agg; NULL without input';

CREATE FUNCTION analytics_internal.user_set_intersection_accum(internal, analytics.user_set) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_accum';
COMMENT ON FUNCTION analytics_internal.user_set_intersection_accum(internal, analytics.user_set) IS
    'transition of user_set_intersect_agg';

CREATE FUNCTION analytics_internal.user_set_intersection_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_combine';
COMMENT ON FUNCTION analytics_internal.user_set_intersection_combine(internal, internal) IS
    'joins two states of user_set_intersect_agg';

CREATE FUNCTION analytics_internal.user_set_intersection_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_serialize';
COMMENT ON FUNCTION analytics_internal.user_set_intersection_serialize(internal) IS
    'state of user_set_intersect_agg for another process';

CREATE FUNCTION analytics_internal.user_set_intersection_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_deserialize';
COMMENT ON FUNCTION analytics_internal.user_set_intersection_deserialize(bytea, internal) IS
    'state of user_set_intersect_agg from another process';

CREATE FUNCTION analytics_internal.user_set_intersection_final(internal) RETURNS analytics.user_set
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_set_intersection_final';
COMMENT ON FUNCTION analytics_internal.user_set_intersection_final(internal) IS
    'result of user_set_intersect_agg; NULL without input';

CREATE AGGREGATE analytics.user_set_agg(bigint) (
    SFUNC = analytics_internal.user_set_accum,
    STYPE = internal,
    SSPACE = 8192,
    FINALFUNC = analytics_internal.user_set_union_final,
    COMBINEFUNC = analytics_internal.user_set_union_combine,
    SERIALFUNC = analytics_internal.user_set_union_serialize,
    DESERIALFUNC = analytics_internal.user_set_union_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.user_set_agg(bigint) IS
    'the set of the integers of a column (smallint and integer convert). NULLs are ignored, NULL without input; an integer outside 0..4294967295 is an error';

CREATE AGGREGATE analytics.user_set_union_agg(analytics.user_set) (
    SFUNC = analytics_internal.user_set_union_accum,
    STYPE = internal,
    SSPACE = 8192,
    FINALFUNC = analytics_internal.user_set_union_final,
    COMBINEFUNC = analytics_internal.user_set_union_combine,
    SERIALFUNC = analytics_internal.user_set_union_serialize,
    DESERIALFUNC = analytics_internal.user_set_union_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.user_set_union_agg(analytics.user_set) IS
    'elements that at least one of the sets has; NULLs are ignored, NULL without input';

CREATE AGGREGATE analytics.user_set_intersect_agg(analytics.user_set) (
    SFUNC = analytics_internal.user_set_intersection_accum,
    STYPE = internal,
    SSPACE = 8192,
    FINALFUNC = analytics_internal.user_set_intersection_final,
    COMBINEFUNC = analytics_internal.user_set_intersection_combine,
    SERIALFUNC = analytics_internal.user_set_intersection_serialize,
    DESERIALFUNC = analytics_internal.user_set_intersection_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.user_set_intersect_agg(analytics.user_set) IS
    'elements that all of the sets have; NULLs are ignored, NULL without input';
