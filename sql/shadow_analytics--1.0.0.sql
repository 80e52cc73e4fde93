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
                  HINT = 'Move them to another schema or drop them, then create the extension again. doc/migrate.md does so with tables of your own that have events.';
    END IF;
END
$$;

COMMENT ON SCHEMA analytics IS
    'product and agent analytics (extension shadow_analytics). Events, rollups and the functions to read them';

CREATE SCHEMA analytics_internal;
COMMENT ON SCHEMA analytics_internal IS
    'functions that shadow_analytics runs with its owner''s rights; never expose this schema to clients';
REVOKE ALL ON SCHEMA analytics_internal FROM PUBLIC;

CREATE FUNCTION analytics.version() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_version';
COMMENT ON FUNCTION analytics.version() IS
    'version of the loaded library. It may be newer than the installed SQL until ALTER EXTENSION shadow_analytics UPDATE';
-- Where rows are. Citus may have spread the tables over several servers (90-distribution.sql): then the rows of a
-- range of workspaces are in a cell, the shards of all tables with that range, on one server (src/pg/cells.hpp).

CREATE FUNCTION analytics_internal.local_relation(relation oid) RETURNS oid
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_local_relation';
REVOKE EXECUTE ON FUNCTION analytics_internal.local_relation(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.local_relation(oid) IS
    'where the rows of a table are on this server: the table itself, or on Citus its shard of the cell that was entered, or the copy of a reference table';

CREATE FUNCTION analytics_internal.cell_key() RETURNS integer
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_cell_key';
REVOKE EXECUTE ON FUNCTION analytics_internal.cell_key() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cell_key() IS
    'number of the cell that was entered, a group of shards on a worker of Citus. 0 outside and on a single server';

CREATE FUNCTION analytics_internal.has_citus() RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_has_citus';
REVOKE EXECUTE ON FUNCTION analytics_internal.has_citus() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_citus() IS
    'whether this database has the catalogs of Citus';

CREATE FUNCTION analytics_internal.citus_group() RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number integer;
BEGIN
    IF analytics_internal.has_citus() THEN
        EXECUTE 'SELECT g.groupid FROM pg_dist_local_group AS g' INTO number;
    END IF;
    RETURN number;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.citus_group() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.citus_group() IS
    'NULL without Citus, 0 on its coordinator, more on a worker';

CREATE FUNCTION analytics_internal.is_distributed() RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer boolean;
BEGIN
    IF NOT analytics_internal.has_citus() THEN
        RETURN false;
    END IF;
    EXECUTE 'SELECT EXISTS (SELECT FROM pg_dist_partition AS p WHERE p.logicalrelid = to_regclass(''analytics.sealed_days''))' INTO answer;
    RETURN answer;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_distributed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_distributed() IS
    'whether analytics.distribute() has spread the tables';

CREATE FUNCTION analytics_internal.has_cells() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'SELECT analytics_internal.cell_key() = 0 AND analytics_internal.is_distributed()';
REVOKE EXECUTE ON FUNCTION analytics_internal.has_cells() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.has_cells() IS
    'whether the tables are distributed and no cell was entered: then what maintains rollups is to be run in the cells';

CREATE FUNCTION analytics_internal.refuse_distributed(what text, instead text) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.has_cells() THEN
        RAISE EXCEPTION '% is not offered where the tables are distributed', what
            USING ERRCODE = 'feature_not_supported', HINT = instead;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refuse_distributed(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refuse_distributed(text, text) IS
    'an error (0A000), with what to do instead as its hint, where the tables are distributed. Nothing on a single server';

-- What was moved from the default partition went through a table here.
CREATE FUNCTION analytics_internal.remove_local_rows(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.is_distributed() THEN
        EXECUTE 'SELECT truncate_local_data_after_distributing_table($1)' USING relation;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_local_rows(regclass) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_local_rows(regclass) IS
    'removes what Citus left on the coordinator of a table whose rows it has spread. Nothing on a single server';

CREATE FUNCTION analytics_internal.logical_table(relation oid) RETURNS regclass
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found regclass;
BEGIN
    IF analytics_internal.has_citus() THEN
        EXECUTE 'SELECT s.logicalrelid FROM pg_dist_shard AS s
                 WHERE s.shardid = substring($1 FROM ''_([0-9]{1,18})$'')::bigint AND to_regclass(shard_name(s.logicalrelid, s.shardid)) = $1::regclass'
        INTO found USING relation::regclass::text;
    END IF;
    RETURN coalesce(found, relation::regclass);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.logical_table(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.logical_table(oid) IS
    'the table that a relation is a shard of; the relation itself where it is none';

CREATE FUNCTION analytics_internal.logical_name(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('%s.%s', c.relnamespace::regnamespace, c.relname) FROM pg_class AS c WHERE c.oid = analytics_internal.logical_table(relation)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.logical_name(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.logical_name(oid) IS
    'schema and name of a table, also where its shard is given';

CREATE FUNCTION analytics_internal.is_copy(relation oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer boolean := false;
BEGIN
    IF analytics_internal.citus_group() > 0 THEN
        EXECUTE 'SELECT p.partmethod = ''n'' FROM pg_dist_partition AS p WHERE p.logicalrelid = $1'
        INTO answer USING analytics_internal.logical_table(relation);
    END IF;
    RETURN coalesce(answer, false);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_copy(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_copy(oid) IS
    'whether a relation is a worker''s copy of a reference table, whose changes the coordinator logs';

CREATE FUNCTION analytics_internal.enter_cell(cell bigint, is_local boolean) RETURNS void
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_enter_cell';
REVOKE EXECUTE ON FUNCTION analytics_internal.enter_cell(bigint, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.enter_cell(bigint, boolean) IS
    'lets the names of tables mean the shards of a cell, for the transaction or (is_local false) the session; NULL: no longer. Its shards do not move until the end of the transaction; an error (55000) if they are not on this server';

CREATE FUNCTION analytics_internal.cell_of(shard text) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cell bigint;
BEGIN
    EXECUTE 'SELECT a.shardid FROM pg_dist_shard AS s JOIN pg_dist_shard AS a ON a.shardminvalue = s.shardminvalue
             WHERE a.logicalrelid = ''analytics.workspace_settings''::regclass AND s.shardid = substring($1 FROM ''_([0-9]+)"?$'')::bigint'
    INTO STRICT cell USING shard;
    RETURN cell;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cell_of(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cell_of(text) IS 'the cell that a shard, given by its name, belongs to';

CREATE FUNCTION analytics_internal.enter_cell_beside(relation oid) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.cell_key() > 0 OR NOT analytics_internal.has_citus()
       OR analytics_internal.logical_table(relation) = relation THEN
        RETURN false;
    END IF;
    PERFORM analytics_internal.enter_cell(analytics_internal.cell_of(relation::regclass::text), true);
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.enter_cell_beside(oid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.enter_cell_beside(oid) IS
    'for triggers that read or write other tables: enters the cell of the shard that is being changed. False where that is no shard, or its cell was entered before';

CREATE FUNCTION analytics_internal.workspace_of_shard(shard bigint) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace_id uuid;
BEGIN
    IF analytics_internal.cell_key() > 0 THEN
        SELECT e.workspace_id INTO workspace_id FROM analytics.user_activity AS e LIMIT 1;
    ELSE
        EXECUTE $q$
            SELECT min(r.result)::uuid FROM run_command_on_shards('analytics.user_activity', 'SELECT e.workspace_id FROM %s AS e LIMIT 1') AS r
            JOIN pg_dist_shard AS s ON s.shardid = r.shardid JOIN pg_dist_shard AS w ON w.shardminvalue = s.shardminvalue
            WHERE r.success AND r.result <> '' AND w.shardid = $1 $q$
        INTO workspace_id USING shard;
    END IF;
    RETURN workspace_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_of_shard(bigint) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_of_shard(bigint) IS
    'a workspace with events in the cell of a shard of analytics.watermark, which is that of the cell that was entered, if one was. NULL: none has any';

CREATE FUNCTION analytics_internal.key_of_shard(shard bigint) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key uuid;
    found bigint;
BEGIN
    FOR number IN 0 .. 20000 LOOP
        key := md5(number::text)::uuid;
        EXECUTE 'SELECT get_shard_id_for_distribution_column(''analytics.watermark'', $1)' INTO found USING key;
        IF found = shard THEN
            RETURN key;
        END IF;
    END LOOP;
    RETURN analytics_internal.workspace_of_shard(shard); -- the shard of one workspace, which was isolated
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.key_of_shard(bigint) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.key_of_shard(bigint) IS
    'a key for the row of analytics.watermark in one of its shards, one that leads there. NULL: none is known, so the cell has no event';

CREATE FUNCTION analytics_internal.watermark_key() RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.cell_key() = 0 THEN
        RETURN '00000000-0000-0000-0000-000000000000';
    END IF;
    RETURN coalesce((SELECT w.cell FROM analytics.watermark AS w), analytics_internal.key_of_shard(
        substring(analytics_internal.local_relation('analytics.watermark'::regclass)::regclass::text FROM '_([0-9]+)$')::bigint));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.watermark_key() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.watermark_key() IS
    'key of the rows of the cell that was entered, or of the single server, in analytics.watermark and analytics.change_readers; NULL: a cell without events';

CREATE FUNCTION analytics_internal.show_progress(what text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT set_config('application_name', 'shadow_analytics: ' || what, true)
WHERE analytics_internal.cell_key() = 0 -- by this name Citus knows its own sessions, which may commit in two phases
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.show_progress(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.show_progress(text) IS
    'says in pg_stat_activity what the transaction is at; not in a cell, whose sessions are those of Citus';
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
    'sum over the sessions of last minus first event, in hours and less. Divided by sessions this is the mean duration';

CREATE FUNCTION analytics_internal.session_summary_accum(state internal, at timestamptz)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_accum';
COMMENT ON FUNCTION analytics_internal.session_summary_accum(internal, timestamptz) IS
    'adds an event; support of the aggregate session_summary(timestamptz)';

CREATE FUNCTION analytics_internal.session_summary_accum(state internal, at timestamptz, gap interval)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_accum';
COMMENT ON FUNCTION analytics_internal.session_summary_accum(internal, timestamptz, interval) IS
    'adds an event; support of the aggregate session_summary(timestamptz, interval)';

CREATE FUNCTION analytics_internal.session_summary_combine(state internal, other internal)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_combine';
COMMENT ON FUNCTION analytics_internal.session_summary_combine(internal, internal) IS
    'merges two sets of sessions; support of the aggregates session_summary';

CREATE FUNCTION analytics_internal.session_summary_serialize(state internal)
RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_serialize';
COMMENT ON FUNCTION analytics_internal.session_summary_serialize(internal) IS
    'a set of sessions as bytes, for parallel plans; support of the aggregates session_summary';

CREATE FUNCTION analytics_internal.session_summary_deserialize(bytes bytea, state internal)
RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_deserialize';
COMMENT ON FUNCTION analytics_internal.session_summary_deserialize(bytea, internal) IS
    'a set of sessions from bytes, for parallel plans; support of the aggregates session_summary';

CREATE FUNCTION analytics_internal.session_summary_final(state internal)
RETURNS analytics.session_totals
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_final';
COMMENT ON FUNCTION analytics_internal.session_summary_final(internal) IS
    'counts the sessions of a set; support of the aggregates session_summary';

CREATE AGGREGATE analytics.session_summary(at timestamptz) (
    SFUNC = analytics_internal.session_summary_accum,
    STYPE = internal,
    SSPACE = 300,
    COMBINEFUNC = analytics_internal.session_summary_combine,
    SERIALFUNC = analytics_internal.session_summary_serialize,
    DESERIALFUNC = analytics_internal.session_summary_deserialize,
    FINALFUNC = analytics_internal.session_summary_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.session_summary(timestamptz) IS
    'sessions by inactivity of 30 minutes; otherwise as session_summary(timestamptz, interval)';

CREATE AGGREGATE analytics.session_summary(at timestamptz, gap interval) (
    SFUNC = analytics_internal.session_summary_accum,
    STYPE = internal,
    SSPACE = 300,
    COMBINEFUNC = analytics_internal.session_summary_combine,
    SERIALFUNC = analytics_internal.session_summary_serialize,
    DESERIALFUNC = analytics_internal.session_summary_deserialize,
    FINALFUNC = analytics_internal.session_summary_final,
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
    'Negative or increasing counts are errors (22023), more than 36,525 of them too (54000)';

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
-- Settings: what the owner may change. The defaults are in the library, the table holds only what differs.

CREATE TABLE analytics.settings (
    name text PRIMARY KEY,
    value text NOT NULL
);
ALTER TABLE analytics.settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.settings', '');

COMMENT ON TABLE analytics.settings IS
    'settings changed from their defaults, by the owner only. analytics.setting_values lists all there are';
COMMENT ON COLUMN analytics.settings.name IS
    'name of a setting; unknown names are refused (22023)';
COMMENT ON COLUMN analytics.settings.value IS
    'the value, checked against the setting''s type and range (22023). Delete the row to return to the default';

CREATE POLICY no_access ON analytics.settings FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.settings IS
    'for the owner and the service role only';

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
ALTER TABLE analytics.settings ENABLE ALWAYS TRIGGER announce_change; -- whoever writes it, sessions keep the old value
COMMENT ON TRIGGER announce_change ON analytics.settings IS
    'lets every session read the settings again';

CREATE FUNCTION analytics.setting(name text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_setting';
REVOKE EXECUTE ON FUNCTION analytics.setting(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.setting(text) IS
    'value of a setting in force: the owner''s or the default. Unknown names are an error (22023), NULL gives NULL';

CREATE FUNCTION analytics_internal.setting_definitions(
    OUT name text, OUT default_value text, OUT type text, OUT allowed text, OUT description text)
RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_setting_definitions';
COMMENT ON FUNCTION analytics_internal.setting_definitions() IS
    'every setting this version knows: name, default_value, type, allowed (range or choices), description';

CREATE VIEW analytics.setting_values WITH (security_invoker = true) AS
SELECT d.name,
       COALESCE(s.value, d.default_value) AS value,
       d.default_value,
       s.value IS NULL AS is_default,
       d.type,
       d.allowed,
       d.description
FROM analytics_internal.setting_definitions() AS d
LEFT JOIN analytics.settings AS s ON s.name OPERATOR(pg_catalog.=) d.name;
COMMENT ON VIEW analytics.setting_values IS
    'every setting with its value in force. Change one by INSERT INTO analytics.settings (name, value), as the owner';
COMMENT ON COLUMN analytics.setting_values.name IS 'name of the setting';
COMMENT ON COLUMN analytics.setting_values.value IS 'value in force';
COMMENT ON COLUMN analytics.setting_values.default_value IS 'value without a row in analytics.settings';
COMMENT ON COLUMN analytics.setting_values.is_default IS 'true where analytics.settings has no row';
COMMENT ON COLUMN analytics.setting_values.type IS 'integer, real, boolean, choice, currency or text';
COMMENT ON COLUMN analytics.setting_values.allowed IS 'range (inclusive) or choices';
COMMENT ON COLUMN analytics.setting_values.description IS 'what it does, with its unit';
-- Access: who the caller is, which rows the caller sees, and what the roles of the API may do at all.
--
-- Rules for the policies of a new table, which stand beside it in its module:
--   * ENABLE ROW LEVEL SECURITY after CREATE TABLE; what roles may do is a line in role_grants() below.
--   * No TO clause: roles need not exist when the extension is created. What a role may do at all is a matter
--     of privileges; which rows, of the policies. Owner and service role bypass them.
--   * One permissive policy per command; no sub-select: compare with the functions below, which are cached.
--   * Rows of a tenant:  USING (workspace_id = ANY (analytics.workspace_ids()))
--   * Rows of nobody:    FOR SELECT USING (false), so that the intention is visible
--   * Materialized views know no row security: grant them to nobody but readers of all, and read them through a view
--     WITH (security_barrier) of two branches: WHERE workspace_id = ANY (analytics.workspace_ids()), and all of it
--     WHERE analytics_internal.sees_all_workspaces(). Never are both true.
-- Partitions have a policy of their own kind, see 31-partitions.sql.

-- Scripts of dumps turn row_security off, and so do functions of the extension that change rows as they stand. So may
-- anybody, by set_config() even within a statement that row security applies to: only the owner is believed. Triggers ask
-- in WHEN, where the current user is still the one who changes the row, so the roles of the API may call it.
CREATE FUNCTION analytics_internal.is_taken_as_is(table_name text) RETURNS boolean
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_is_taken_as_is';
REVOKE EXECUTE ON FUNCTION analytics_internal.is_taken_as_is(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_taken_as_is(text) IS
    'whether triggers take the rows of a table as they are: the current user has row_security off and the rights of the owner';

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
    'where analytics.workspace_ids() finds who is a member of which workspace. At most one row, changed by the owner only; without one the defaults hold';
COMMENT ON COLUMN analytics.membership.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.membership.source IS
    'relation: read the relation; claim: the array app_metadata.workspaces in request.jwt.claims (never user_metadata, which users edit)';
COMMENT ON COLUMN analytics.membership.relation IS
    'schema-qualified table or view with one row per member, as SQL writes it. Read with its owner''s rights; missing or malformed: nobody has workspaces';
COMMENT ON COLUMN analytics.membership.workspace_column IS
    'its column with the workspace (uuid, or text that is one), as it is stored, without quotes';
COMMENT ON COLUMN analytics.membership.user_column IS
    'its column with the user (uuid or text), as it is stored, without quotes. Text is compared with the subject of the claims, with the setting text_subjects any';
COMMENT ON COLUMN analytics.membership.role_column IS
    'its column with the role of the member in the workspace. NULL: members have no roles, each manages alert rules and none sees others'' raw events by role';
COMMENT ON COLUMN analytics.membership.manager_roles IS
    'roles that may manage a workspace''s alert rules. With raw_events_visible_to = roles they read its raw events, too';

CREATE TABLE analytics.access_roles (
    role_name text PRIMARY KEY,
    audience text NOT NULL CONSTRAINT access_roles_audience CHECK (audience IN ('anonymous', 'member', 'service', 'operator'))
);
ALTER TABLE analytics.access_roles ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.access_roles', '');
COMMENT ON TABLE analytics.access_roles IS
    'database roles that analytics.setup_roles() and analytics.grant_operator() have granted something. Read by analytics.security_audit()';
COMMENT ON COLUMN analytics.access_roles.role_name IS
    'name of the database role';
COMMENT ON COLUMN analytics.access_roles.audience IS
    'what a role may see: anonymous (nothing), member (its workspaces), service (everything but settings), operator (maintenance functions)';

CREATE POLICY no_access ON analytics.membership FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.membership IS
    'for the owner only';
CREATE POLICY no_access ON analytics.access_roles FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.access_roles IS
    'for the owner only';

-- When tokens came whose subject is no uuid. A sequence, as its value stays when the transaction fails.
CREATE SEQUENCE analytics.refused_subjects MINVALUE 0 START 0;
SELECT pg_catalog.pg_extension_config_dump('analytics.refused_subjects', '');
COMMENT ON SEQUENCE analytics.refused_subjects IS
    'when an event was last refused because the subject of the claims is no uuid, in seconds since 2000. 0: never. For analytics.security_audit()';

-- Identity of the caller. The policies call these for every statement, so the functions are C and cached.

CREATE FUNCTION analytics.current_user_id() RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_current_user_id';
REVOKE EXECUTE ON FUNCTION analytics.current_user_id() FROM PUBLIC;
COMMENT ON FUNCTION analytics.current_user_id() IS
    'the user that the claims name: request.jwt.claim.sub, or the key sub of request.jwt.claims. NULL (nobody) when neither is set, what is set is not a uuid or not JSON, or both are set and do not agree; never an error. With the setting text_subjects any subject of 1 to 255 printable ASCII characters names a user: analytics.user_uuid(NULL, subject)';

CREATE FUNCTION analytics.workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics.workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics.workspace_ids() IS
    'workspaces of the current user, sorted, without the nil uuid. Where the claims name nobody, those of a role that analytics.grant_reader() named. Empty for nobody and when analytics.membership names nothing readable. Reads the membership relation once per statement';

CREATE FUNCTION analytics_internal.managed_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_managed_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics_internal.managed_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.managed_workspace_ids() IS
    'those of analytics.workspace_ids() in which the current user''s role is one of analytics.membership.manager_roles; all of them where members have no roles';

CREATE FUNCTION analytics_internal.raw_event_workspace_ids() RETURNS uuid[]
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_raw_event_workspace_ids';
REVOKE EXECUTE ON FUNCTION analytics_internal.raw_event_workspace_ids() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.raw_event_workspace_ids() IS
    'workspaces whose raw events the current user may read beside their own: none, by role or all of which they are a member (setting raw_events_visible_to)';

CREATE FUNCTION analytics.get_user_workspaces() RETURNS SETOF uuid
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS 'SELECT unnest(analytics.workspace_ids())';
REVOKE EXECUTE ON FUNCTION analytics.get_user_workspaces() FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_user_workspaces() IS
    'workspaces of the current user, one a row; the same as analytics.workspace_ids()';

CREATE FUNCTION analytics_internal.sees_all_workspaces() RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sees_all_workspaces';
REVOKE EXECUTE ON FUNCTION analytics_internal.sees_all_workspaces() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.sees_all_workspaces() IS
    'whether the views show the caller every workspace. So they do to the owner, to who bypasses row security and to a reader of all, without claims and outside of functions with another''s rights';

CREATE FUNCTION analytics_internal.membership_problem() RETURNS text
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_membership_problem';
REVOKE EXECUTE ON FUNCTION analytics_internal.membership_problem() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.membership_problem() IS
    'what is wrong with the membership relation, so that nobody has workspaces; NULL if nothing is';

-- Roles. They may not exist when the extension is created, so no module can GRANT: setup_roles() and
-- grant_operator() do, from this list. It is one list, so that what an audience may do can be reviewed in one place;
-- objects stand in the order of their modules. A test fails when an object of the schema is missing.

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
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.managed_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.raw_event_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_workspaces()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.sees_all_workspaces()'), -- the views ask it
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.is_taken_as_is(text)'), -- triggers ask as the role
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.workspace_day_bounds(uuid, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspaces'),
    ('member', 'SELECT', 'TABLE', 'analytics.agents'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.earliest_event_time()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.latest_event_time()'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_activity'),
    ('member', 'INSERT (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)',
        'TABLE', 'analytics.user_activity'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track(text, jsonb, uuid, analytics.any_text, text, text, analytics.any_text, inet, text, text, timestamptz, uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track_batch(analytics.any_text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.read_event(jsonb)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.shallow_json(analytics.any_text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_uuid(uuid, text)'),
    ('member', 'SELECT', 'TABLE', 'analytics.credit_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.token_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('member', 'SELECT', 'TABLE', 'analytics.users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_user_revenue'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.trailing_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_days(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_retention(uuid, text, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.cohort_limit(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_retention'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('member', 'INSERT (workspace_id, id, name, description, is_active, scope, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'UPDATE (name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.segments'),
    ('member', 'INSERT (workspace_id, name, definition, users, description), UPDATE (name, definition, users, description)', 'TABLE', 'analytics.segments'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.annotations'),
    ('member', 'INSERT (workspace_id, id, starts_at, ends_at, title, details), UPDATE (starts_at, ends_at, title, details)', 'TABLE', 'analytics.annotations'),
    ('member', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('member', 'SELECT, UPDATE (acknowledged_by, acknowledged_at, notes, snoozed_until)', 'TABLE', 'analytics.alert_history'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_alerts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.test_alert_rule(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.test_alert_rule(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.acknowledge_alert(uuid, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.unacknowledge_alert(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.snooze_alert(uuid, timestamptz)'),
    ('member', 'SELECT (workspace_id, name, channel, is_verified, created_at, updated_at), INSERT (workspace_id, name, channel, address, signing_secret), UPDATE (channel, address, signing_secret, verification_hash), DELETE',
        'TABLE', 'analytics.notification_destinations'),
    ('member', 'SELECT (workspace_id, id, kind, alert_id, alert_rule_id, destination_name, channel, status, attempts, next_attempt_at, last_error, response_status, latency_ms, created_at, delivered_at)',
        'TABLE', 'analytics.notification_outbox'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.set_notification_destination(uuid, text, text, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.verify_notification_destination(uuid, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.managed_destinations()'), -- the view asks it
    ('member', 'SELECT', 'TABLE', 'analytics.notification_destination_list'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_usage_by_hour(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('member', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.answer(uuid, text, jsonb, analytics.user_set, timestamptz)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.users_who(uuid, jsonb, timestamptz)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.raw_events_since(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.users_who(uuid, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.agent_name(uuid, text)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_run_metrics(uuid, text, text, date, date, integer, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_run_tree(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.timeline_page(uuid, uuid, timestamptz, integer)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.timeline_events(uuid, uuid, timestamptz, timestamptz)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_timeline(uuid, uuid, timestamptz, integer)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.session_gap()'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.checked_page_size(integer)'), -- no use without the schema
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_trend(uuid, jsonb, text, date, date, text, integer, boolean, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_funnel(uuid, jsonb, date, date, interval, text, jsonb, text[], text, text, text, integer, text, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_conversion_times(uuid, jsonb, date, date, interval, text, jsonb, text[], text, integer, integer, interval[], jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_event_retention(uuid, jsonb, jsonb, text, date, date, text, boolean, text, integer, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_stickiness(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_event_lifecycle(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_paths(uuid, date, date, jsonb, text, text[], text, text, integer, integer, text, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_pages(uuid, date, date, text[], jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_attribution(uuid, jsonb, text, date, date, text, interval, jsonb, text[], integer, jsonb, analytics.user_set, jsonb, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_experiment(uuid, jsonb, text, jsonb, date, date, text, interval, numeric, jsonb, analytics.user_set, jsonb, timestamptz)'),
    -- The sections: of no use without the schema, but analytics.report() calls them as its caller.
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_range(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_annotations(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_workspace(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_headline(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_daily(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_lifecycle(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_retention(uuid, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_models(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_features(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_hours(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_agents(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_errors(uuid, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_alerts(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_freshness(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.report(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_page(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.report_page(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_user(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_self()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_self()'), -- no use without the schema
    ('member', 'SELECT', 'TABLE', 'analytics.audit_log'),

    -- The service role (BYPASSRLS), beside what members may: changes every tenant table, configures nothing.
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.setting(text)'),
    ('service', 'SELECT', 'TABLE', 'analytics.setting_values'),
    ('service', 'SELECT', 'TABLE', 'analytics.settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspaces'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agents'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_activity'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.credit_prices'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.token_prices'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.hourly_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agent_performance'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_event_usage'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_error_types'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_user_revenue'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_cohorts'),
    ('service', 'SELECT', 'TABLE', 'analytics.watermark'),
    ('service', 'SELECT', 'TABLE', 'analytics.dirty_hours'),
    ('service', 'SELECT', 'TABLE', 'analytics.pending_buckets'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policies'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policy_values'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_retention'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_runs'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.segments'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.annotations'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_history'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.notification_destinations'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.claim_notifications(text, integer, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_user(uuid)'),
    ('service', 'SELECT', 'TABLE', 'analytics.table_sizes'),
    ('service', 'SELECT', 'TABLE', 'analytics.index_usage'),
    ('service', 'SELECT', 'TABLE', 'analytics.slow_queries'),
    ('service', 'SELECT', 'TABLE', 'analytics.freshness'),
    ('service', 'SELECT', 'TABLE', 'analytics.data_quality'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_progress'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.read_slow_queries()'),

    -- Maintenance: the service role and whoever analytics.grant_operator() names. A function of the schema
    -- analytics that calls one of analytics_internal needs both.
    ('operator', 'USAGE', 'SCHEMA', 'analytics'),
    ('operator', 'USAGE', 'SCHEMA', 'analytics_internal'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keep_partitions_ahead()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_despite_missing(date, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.has_cells()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_in_cells(date, timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refuse_distributed(text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_daily_metrics(date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_daily_metrics(date, uuid, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.catch_up(date, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.remove_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.due_steps()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.begin_step(text, date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.run_step(text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.lock_holders(interval)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.latest_day()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.expiry_notice(date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keeping_statement()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.end_step(text, timestamptz, text, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.backfill_day(timestamptz)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.maintain(interval, boolean)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.backfill(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.evaluate_alert_rules()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.evaluate_alert_rules(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refresh_all_materialized_views(boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.health()'),

    -- Readers (analytics.grant_reader()): what is aggregated, nothing about persons. Row security says of which workspaces.
    ('reader', 'USAGE', 'SCHEMA', 'analytics'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.workspace_ids()'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.sees_all_workspaces()'),
    ('reader', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.workspace_day_bounds(uuid, date)'),
    ('reader', 'SELECT', 'TABLE', 'analytics.workspaces'),
    ('reader', 'SELECT', 'TABLE', 'analytics.agents'),
    ('reader', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('reader', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('reader', 'SELECT', 'TABLE', 'analytics.daily_users'), -- sets of numbers: who is behind them is in analytics.users
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.trailing_users(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_days(uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_lifecycle(uuid, text, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('reader', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.user_retention(uuid, text, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.cohort_limit(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('reader', 'SELECT (workspace_id, id, name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, severity)',
        'TABLE', 'analytics.alert_rules'),
    ('reader', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('reader', 'SELECT (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, resolved_at, state, metric_type, condition, metric_value, threshold_value, reason)',
        'TABLE', 'analytics.alert_history'),
    ('reader', 'SELECT (workspace_id, id, starts_at, ends_at, title, details)', 'TABLE', 'analytics.annotations'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_annotations(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.get_usage_by_hour(uuid, date, date)'),
    ('reader', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('reader', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('reader', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('reader', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('reader', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_range(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_workspace(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_headline(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_daily(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_lifecycle(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_retention(uuid, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_models(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_features(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_hours(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_agents(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_errors(uuid, date, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_alerts(uuid)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_freshness(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics_internal.report_page(text)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.report(uuid, date, date)'),
    ('reader', 'EXECUTE', 'FUNCTION', 'analytics.report_page(uuid, date, date)'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_active_users'), -- these know no row security
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_top_agents'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_workspace_summary'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_error_trends'),
    ('reader of all', 'SELECT', 'TABLE', 'analytics.mv_agent_usage_trends')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.role_grants() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.role_grants() IS
    'what the audiences member, service, operator and reader may do. The service role belongs to the first three, a reader of all also to "reader of all"';

-- What computes from its arguments alone is everybody's, unless default privileges keep functions from PUBLIC.
CREATE FUNCTION analytics_internal.restricted_computations() RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.oid::regprocedure FROM pg_proc AS p
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND p.provolatile = 'i' AND NOT p.prosecdef
  AND NOT has_function_privilege('public', 'analytics.trend_direction(bigint, bigint)', 'EXECUTE')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.restricted_computations() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.restricted_computations() IS
    'functions without access to data, where ALTER DEFAULT PRIVILEGES has kept them from PUBLIC. Else none';

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
    FOR granted IN SELECT c.* FROM analytics_internal.restricted_computations() AS c (routine) LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', granted.routine, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.grant_audience(text, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.grant_audience(text, name) IS
    'grants a role what its audience may do';

CREATE FUNCTION analytics_internal.revoke_audience(audience text, role_name name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted record;
BEGIN
    FOR granted IN
        SELECT g.privileges, g.object_type, g.object
        FROM analytics_internal.role_grants() AS g
        WHERE g.audience = revoke_audience.audience
    LOOP
        EXECUTE format('REVOKE %s ON %s %s FROM %I', granted.privileges, granted.object_type, granted.object, role_name);
    END LOOP;
    FOR granted IN SELECT c.* FROM analytics_internal.restricted_computations() AS c (routine)
                   WHERE NOT has_schema_privilege(role_name, 'analytics', 'USAGE') LOOP
        EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM %I', granted.routine, role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.revoke_audience(text, name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.revoke_audience(text, name) IS
    'takes from a role what its audience may do';

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

    -- Default privileges may have granted something to the roles of the API, or tables to everybody.
    REVOKE ALL ON ALL TABLES IN SCHEMA analytics, analytics_internal FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA analytics, analytics_internal FROM PUBLIC;
    REVOKE ALL ON SCHEMA analytics, analytics_internal FROM PUBLIC;
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA analytics, analytics_internal FROM %I, %I', anonymous_role, member_role);
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
    'grants the roles of PostgREST and Supabase what they need. anonymous_role: nothing; member_role: its workspaces'' rows and its own events; service_role: every row (BYPASSRLS) and maintenance. Missing roles are created (NOLOGIN NOINHERIT). Nothing outside the extension''s schemas is granted. For the owner; to be repeated after ALTER EXTENSION UPDATE. Errors: equal names, an anonymous or member role that row security does not apply to (22023), NULL (22004), lacking rights to create or alter roles (42501)';

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
BEGIN
    DELETE FROM analytics.access_roles AS a
    WHERE a.role_name = revoke_operator.role_name AND a.audience = 'operator';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" is not an operator', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.access_roles lists the operators.';
    END IF;
    PERFORM analytics_internal.revoke_audience('operator', role_name);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.revoke_operator(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics.revoke_operator(name) IS
    'takes back what analytics.grant_operator() granted; for the owner. An error (22023) for a role that is no operator';

-- security_audit(): whether the installation keeps to that. One function per question, so that each stays short.

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
  AND NOT EXISTS (SELECT FROM analytics.readers AS r WHERE r.role_name = pg_get_userbyid(a.grantee) AND r.workspace_ids IS NULL)
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
-- What operators and aggregates are made of computes from its arguments alone, and everybody may.
SELECT 'internal function can be executed by an API role', 'error', p.oid::regprocedure::text,
       format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, %I', p.oid::regprocedure, r.role_name)
FROM pg_proc AS p
CROSS JOIN analytics.access_roles AS r
JOIN pg_roles AS g ON g.rolname = r.role_name
WHERE p.pronamespace = 'analytics_internal'::regnamespace AND r.audience IN ('anonymous', 'member')
  AND has_function_privilege(g.oid, p.oid, 'EXECUTE') AND (p.provolatile <> 'i' OR p.prosecdef)
  AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                  WHERE e.audience = r.audience AND e.object_type = 'FUNCTION' AND to_regprocedure(e.object) = p.oid)
UNION ALL
SELECT 'search_path of a function is not pinned', 'error', p.oid::regprocedure::text,
       format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', p.oid::regprocedure)
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
  AND p.prokind = 'f' AND p.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE starts_with(c, 'search_path='))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_functions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_functions() IS
    'findings about functions';

CREATE FUNCTION analytics_internal.audit_claims(
    OUT finding text, OUT severity text, OUT object text, OUT remedy text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('subjects of tokens are no uuids (last at %s): their users are nobody', s.at), 'warning', 'setting text_subjects',
       $remedy$INSERT INTO analytics.settings VALUES ('text_subjects', 'true'), or have the identity provider send uuids$remedy$
FROM (SELECT to_timestamp(r.last_value + 946684800) AS at FROM analytics.refused_subjects AS r) AS s
WHERE s.at > now() - interval '7 days' AND analytics.setting('text_subjects') = 'false'
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_claims() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_claims() IS
    'part of analytics.security_audit(): events refused in the last 7 days because the subject of the claims is no uuid';

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
-- What default privileges give others, who are none of ours.
SELECT 'another role has privileges on secrets or internal functions', 'warning', g.rolname::text,
       format('REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM %1$I; REVOKE ALL ON ALL ROUTINES IN SCHEMA analytics, analytics_internal FROM %1$I; and see ALTER DEFAULT PRIVILEGES', g.rolname)
FROM pg_roles AS g
WHERE NOT g.rolsuper AND NOT EXISTS (SELECT FROM analytics.access_roles AS r WHERE r.role_name = g.rolname)
  AND (EXISTS (SELECT FROM pg_class AS c, aclexplode(c.relacl) AS x
               WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname IN ('ip_secret', 'notification_destinations', 'notification_outbox')
                 AND x.grantee = g.oid AND x.grantee <> c.relowner)
       OR EXISTS (SELECT FROM pg_proc AS p, aclexplode(p.proacl) AS x
                  WHERE p.pronamespace = 'analytics_internal'::regnamespace AND p.prosecdef AND x.grantee = g.oid AND x.grantee <> p.proowner
                    AND NOT EXISTS (SELECT FROM analytics_internal.role_grants() AS e
                                    WHERE e.audience LIKE 'reader%' AND e.object_type = 'FUNCTION' AND to_regprocedure(e.object) = p.oid)))
UNION ALL
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
UNION ALL SELECT * FROM analytics_internal.audit_claims()
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
    'what is wrong with the installation''s security: finding, severity (error, warning), object, remedy. No row when nothing is. Looks for tables without row security or policies, materialized views and internal functions that API roles may use, tables that they may truncate, functions without pinned search_path, a membership relation that is missing or that API roles may write, tokens whose subject is no uuid and the setting text_subjects off, API roles that bypass row security or are connected without encryption, and privileges that default privileges gave to other roles';
-- Time zones: the local day of a workspace. What is aggregated by day is aggregated by this one.

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
    'reporting time zones of workspaces. The day of an instant is its date in the zone in force then, the one with the greatest valid_from that is not later; UTC without one. After a change for the past the days it touches are aggregated again; where events of one are gone it is refused (55000)';
COMMENT ON COLUMN analytics.workspace_settings.workspace_id IS
    'workspace; the nil uuid is the group of events without a workspace, not a default for the others';
COMMENT ON COLUMN analytics.workspace_settings.time_zone IS
    'name as in pg_timezone_names, stored in its proper case. Abbreviations and offsets are refused (22023)';
COMMENT ON COLUMN analytics.workspace_settings.valid_from IS
    'since when: -infinity or a local midnight of the zone (22023). NULL or left out: -infinity for a workspace without settings and daily metrics, else the next local midnight at which the date does not go back';
COMMENT ON COLUMN analytics.workspace_settings.created_at IS
    'when the row was made';
COMMENT ON COLUMN analytics.workspace_settings.updated_at IS
    'when a value of the row last changed';

CREATE POLICY member_reads ON analytics.workspace_settings FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_settings IS
    'members read their workspaces';

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
    'first instant of a local day in a time zone. A day is from its start to the next day''s, 23 to 25 hours as a rule. A day the zone left out has the next day''s start. An unknown zone is an error (22023), NULL gives NULL';

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
    'the workspace''s reporting time zone in force at an instant (default: now). UTC where none is set, also for NULL';

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

CREATE FUNCTION analytics_internal.workspace_day_bounds(workspace_id uuid, day date)
RETURNS TABLE (day_start timestamptz, day_end timestamptz)
LANGUAGE plpgsql STABLE ROWS 1 PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_zone text := analytics.workspace_time_zone(workspace_id, '-infinity');
BEGIN
    RETURN QUERY
    WITH zones AS (
        SELECT 'UTC' AS time_zone, '-infinity'::timestamptz AS valid_from
        WHERE first_zone = 'UTC'
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
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_day_bounds(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_day_bounds(uuid, date) IS
    'the instants of a workspace''s local day, day_start <= t < day_end, over a change of its time zone. No row for a day that a change left out';

-- Midnights are computed once per zone, not per workspace.
CREATE FUNCTION analytics_internal.local_day_bounds(
    first_day date, last_day date, workspaces uuid[], OUT workspace_id uuid, OUT day date, OUT day_start timestamptz, OUT day_end timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
WITH chosen AS (
    SELECT s.workspace_id, s.time_zone, s.valid_from FROM analytics.workspace_settings AS s
    WHERE workspaces IS NULL OR s.workspace_id = ANY (workspaces)
), zone AS (
    SELECT s.workspace_id, s.time_zone, s.valid_from,
           lead(s.valid_from, 1, 'infinity') OVER (PARTITION BY s.workspace_id ORDER BY s.valid_from) AS valid_to
    FROM (SELECT c.* FROM chosen AS c
          UNION ALL
          SELECT c.workspace_id, 'UTC', '-infinity' FROM chosen AS c GROUP BY c.workspace_id HAVING min(c.valid_from) > '-infinity') AS s
), midnight AS MATERIALIZED (
    SELECT z.time_zone, first_day + n AS day, analytics.day_start(first_day + n, z.time_zone) AS day_start,
           analytics.day_start(first_day + n + 1, z.time_zone) AS day_end
    FROM (SELECT DISTINCT c.time_zone FROM chosen AS c UNION SELECT 'UTC') AS z, generate_series(0, last_day - first_day) AS n
)
SELECT z.workspace_id, m.day, min(greatest(z.valid_from, m.day_start)), max(least(z.valid_to, m.day_end))
FROM zone AS z JOIN midnight AS m ON m.time_zone = z.time_zone
WHERE greatest(z.valid_from, m.day_start) < least(z.valid_to, m.day_end)
GROUP BY z.workspace_id, m.day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.local_day_bounds(date, date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.local_day_bounds(date, date, uuid[]) IS
    'analytics_internal.workspace_day_bounds() of some days, of some workspaces or (NULL) of all that have chosen a time zone, at a cost per zone rather than per workspace';

CREATE FUNCTION analytics_internal.zones_in_force(at timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT DISTINCT z.time_zone
FROM (SELECT s.time_zone, s.valid_from, lead(s.valid_from, 1, 'infinity') OVER (PARTITION BY s.workspace_id ORDER BY s.valid_from) AS valid_to
      FROM analytics.workspace_settings AS s) AS z
WHERE at >= z.valid_from AND at < z.valid_to
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.zones_in_force(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.zones_in_force(timestamptz) IS
    'the time zones, each once, that workspaces have chosen for an instant';

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
    'when a workspace may next change to a time zone without any date going back. None for a zone more than 24 hours behind (22023)';

CREATE FUNCTION analytics_internal.workspace_settings_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off -- planned while the table is empty, kept while a statement fills it
AS $$
DECLARE
    zone_name text := analytics_internal.time_zone_name(NEW.time_zone);
BEGIN
    -- AT TIME ZONE reads an abbreviation as a fixed offset even where a zone has the same name (CET).
    IF NEW.time_zone IS NOT NULL
       AND (zone_name IS NULL OR zone_name IN ('localtime', 'posixrules', 'Factory')
            OR (zone_name NOT IN ('UTC', 'GMT')
                AND EXISTS (SELECT FROM pg_timezone_abbrevs WHERE abbrev = upper(zone_name COLLATE "C")))) THEN
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
-- Dumps may be restored under other time zone data: the trigger leaves them as they are.
CREATE FUNCTION analytics_internal.workspace_settings_sequence() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO'
AS $$
DECLARE
    changed_workspace uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END;
    change record;
BEGIN
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
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_sequence();
COMMENT ON TRIGGER check_sequence ON analytics.workspace_settings IS
    'every change of a workspace''s zone is at a local midnight and repeats no day';
-- Names of workspaces and agents, for people. Ids decide everything else.

CREATE TABLE analytics.workspaces (
    workspace_id uuid PRIMARY KEY,
    name text NOT NULL CONSTRAINT workspaces_name CHECK (length(name) BETWEEN 1 AND 200)
);
ALTER TABLE analytics.workspaces ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.workspaces', '');
COMMENT ON TABLE analytics.workspaces IS
    'names of workspaces, for reports; a workspace needs no row. Written by the owner and the service role';
COMMENT ON COLUMN analytics.workspaces.workspace_id IS
    'workspace; the nil uuid is the group of events without a workspace';
COMMENT ON COLUMN analytics.workspaces.name IS
    'any text of 1 to 200 characters';
CREATE POLICY member_reads ON analytics.workspaces FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspaces IS
    'members read their workspaces';

CREATE TABLE analytics.agents (
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    name text NOT NULL CONSTRAINT agents_name CHECK (length(name) BETWEEN 1 AND 200),
    first_seen timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (workspace_id, agent_id)
);
ALTER TABLE analytics.agents ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.agents', '');
COMMENT ON TABLE analytics.agents IS
    'names of agents, for reports; an agent needs no row. Agents that events name by text get theirs when their day is aggregated; the owner and the service role may change names and add others';
COMMENT ON COLUMN analytics.agents.workspace_id IS
    'workspace of the agent';
COMMENT ON COLUMN analytics.agents.agent_id IS
    'agent. Of one that events name by text the uuid v5 of "agent:" and the text in the namespace of workspace_id';
COMMENT ON COLUMN analytics.agents.name IS
    'any text of 1 to 200 characters';
COMMENT ON COLUMN analytics.agents.first_seen IS
    'start of the first UTC day whose events named the agent by text; of other rows when they were made';
CREATE POLICY member_reads ON analytics.agents FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.agents IS
    'members read their workspaces';
-- Events: the table, what an event must be, and who may store one.

-- The parent has no key and no index: pg_dump would restore its partitions with errors. Each partition gets
-- its own (analytics.create_partitions). The columns keep the order of the published schema: another order
-- saves no byte, because a row's length is rounded up to 8 wherever created_at stands.
CREATE TABLE analytics.user_activity (
    id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    user_id uuid NOT NULL DEFAULT analytics.current_user_id(),
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
    'raw events, one partition per UTC day of created_at. What a row means is interpreted by the extension alone';
COMMENT ON COLUMN analytics.user_activity.id IS
    'the event; unique together with workspace_id and created_at, so a retry must send both again';
COMMENT ON COLUMN analytics.user_activity.workspace_id IS
    'workspace (tenant); NULL becomes the nil uuid: an event before a workspace was chosen';
COMMENT ON COLUMN analytics.user_activity.user_id IS
    'who did it; defaults to the user that the claims of the request name';
COMMENT ON COLUMN analytics.user_activity.event_type IS
    'page_view, agent_run, login, logout, workspace_switch, feature_use, error, api_call, export, report_view, custom, click, form_submit, session_start or session_end; others are refused (22023)';
COMMENT ON COLUMN analytics.user_activity.event_name IS
    'name within the type, cut to 100 characters';
COMMENT ON COLUMN analytics.user_activity.page_path IS
    'path of the page, cut to 255 characters';
COMMENT ON COLUMN analytics.user_activity.session_id IS
    'session given by the client. NULL: part of the visit that it touches, else of one found by inactivity';
COMMENT ON COLUMN analytics.user_activity.ip_address IS
    'address of the client: personal data';
COMMENT ON COLUMN analytics.user_activity.ip_hash IS
    'keyed hash of the address, where addresses are not kept';
COMMENT ON COLUMN analytics.user_activity.user_agent IS
    'the client''s User-Agent, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.referrer IS
    'the page before, cut to 500 characters';
COMMENT ON COLUMN analytics.user_activity.metadata IS
    'JSON object with the facts of the event. At most 10,240 bytes as text or as stored, whichever is less (54000); NULL becomes {}';
COMMENT ON COLUMN analytics.user_activity.created_at IS
    'when it happened, between 2000-01-01 and one day ahead (the table''s owner may store any finite time). Decides the partition, so NULL is refused (23502)';

CREATE FUNCTION analytics_internal.earliest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_earliest_event_time';
REVOKE EXECUTE ON FUNCTION analytics_internal.earliest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.earliest_event_time() IS
    'oldest created_at that a role under row security may insert now (setting event_max_age_days, before the start of the statement)';

CREATE FUNCTION analytics_internal.latest_event_time() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_latest_event_time';
REVOKE EXECUTE ON FUNCTION analytics_internal.latest_event_time() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.latest_event_time() IS
    'latest created_at that a role under row security may insert now (setting event_max_future_minutes, after the start of the statement)';

CREATE POLICY user_reads ON analytics.user_activity FOR SELECT
    USING (user_id = analytics.current_user_id() OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids()));
COMMENT ON POLICY user_reads ON analytics.user_activity IS
    'users read their own events, and others'' where the setting raw_events_visible_to says so';
CREATE POLICY user_inserts ON analytics.user_activity FOR INSERT
    WITH CHECK (user_id = analytics.current_user_id()
                AND (workspace_id = '00000000-0000-0000-0000-000000000000'
                     OR workspace_id = ANY (analytics.workspace_ids()))
                AND created_at BETWEEN analytics_internal.earliest_event_time() AND analytics_internal.latest_event_time());
COMMENT ON POLICY user_inserts ON analytics.user_activity IS
    'users insert their own events, in their workspaces or none, dated within the limits of the settings';

CREATE FUNCTION analytics_internal.user_activity_check() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_check';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_check() IS
    'row trigger of user_activity: refuses unknown event types, metadata that is no object or too long, and impossible times; cuts long texts; replaces NULL workspace_id and metadata';

-- The triggers of user_activity always fire: what a subscription, or a tool that sets session_replication_role,
-- writes is late, personal and impossible as any other event may be. A valid row stays as it is.
CREATE TRIGGER check_event BEFORE INSERT OR UPDATE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
ALTER TABLE analytics.user_activity ENABLE ALWAYS TRIGGER check_event;
COMMENT ON TRIGGER check_event ON analytics.user_activity IS
    'refuses what cannot be counted and normalises the rest; leaves a valid row as it is';

CREATE FUNCTION analytics_internal.user_activity_deleted() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_user_activity_deleted';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_deleted() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_deleted() IS
    'row trigger of user_activity: notes deleted events of closed hours in analytics.dirty_hours';
CREATE TRIGGER note_deleted BEFORE DELETE ON analytics.user_activity
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_deleted();
ALTER TABLE analytics.user_activity ENABLE ALWAYS TRIGGER note_deleted;
COMMENT ON TRIGGER note_deleted ON analytics.user_activity IS
    'notes deleted events of closed hours';

CREATE FUNCTION analytics_internal.user_activity_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.refuse_distributed('TRUNCATE of analytics.user_activity', 'DELETE FROM analytics.user_activity, or truncate single partitions.');
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT h.workspace_id, h.metric_hour
    FROM analytics.hourly_metrics AS h, analytics.watermark AS w
    WHERE h.metric_hour < w.marked_until
    UNION
    SELECT d.workspace_id, date_trunc('hour', b.day_start, 'UTC')
    FROM analytics.daily_metrics AS d, analytics.watermark AS w,
         analytics_internal.workspace_day_bounds(d.workspace_id, d.metric_date) AS b
    WHERE b.day_start < w.marked_until;
    INSERT INTO analytics.closed_days AS c (workspace_id, event_day, events)
    SELECT d.workspace_id, d.metric_date, 0 FROM analytics.daily_metrics AS d
    WHERE NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.workspace_id = d.workspace_id AND s.event_day = d.metric_date)
    UNION SELECT k.workspace_id, k.event_day, 0 FROM analytics.closed_days AS k
    ON CONFLICT (workspace_id, event_day) DO UPDATE SET events = 0, counted_at = now();
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.user_activity_truncated() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_activity_truncated() IS
    'statement trigger of user_activity: notes every closed hour and day that has rollups in analytics.dirty_hours; no event is known to be there any more';
CREATE TRIGGER note_truncated BEFORE TRUNCATE ON analytics.user_activity
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.user_activity_truncated();
ALTER TABLE analytics.user_activity ENABLE ALWAYS TRIGGER note_truncated;
COMMENT ON TRIGGER note_truncated ON analytics.user_activity IS
    'notes every closed bucket that has rollups; not fired by TRUNCATE of a single partition';
-- Partitions of user_activity: a UTC day each, and of history, whose days would be too many, a month or a year;
-- partition_bounds() and partitions() alone know their names and bounds. They are made ahead by CREATE TABLE LIKE and ATTACH, which never waits for a reader or
-- writer of other partitions; never members of the extension, or pg_dump would lose their rows.

CREATE FUNCTION analytics_internal.create_standalone_partition(partition_name name, has_many_days boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee_name text;
    index_name name;
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

    -- BRIN costs next to nothing and finds hours in what came in the order of time, as live events do.
    index_name := partition_name || CASE WHEN has_many_days THEN '_created_at' ELSE '_created_at_brin' END;
    EXECUTE format('CREATE INDEX %I ON analytics.%I USING %s (created_at)',
                   index_name, partition_name, CASE WHEN has_many_days THEN 'btree' ELSE 'brin' END);
    EXECUTE format('COMMENT ON INDEX analytics.%I IS %L', index_name,
                   'range scans by created_at: one hour''s or one local day''s events of every workspace');
    EXECUTE format('COMMENT ON INDEX analytics.%I IS %L', partition_name || '_pkey',
                   'one workspace''s events by time; makes a retry of an event a no-op');
    EXECUTE format('ALTER TABLE analytics.%I ENABLE ROW LEVEL SECURITY', partition_name);
    EXECUTE format('CREATE POLICY no_direct_access ON analytics.%I FOR SELECT USING (false)', partition_name);
    EXECUTE format('COMMENT ON POLICY no_direct_access ON analytics.%I IS %L', partition_name,
                   'events are read through analytics.user_activity, whose policies apply');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_standalone_partition(name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_standalone_partition(name, boolean) IS
    'makes a table like user_activity with its own key, index by time and deny policy, without grants and outside the extension';

-- Whoever waited for an exclusive lock would make every reader and writer wait behind itself; and two who have
-- read events already and wait for each other's end would never get it. So nobody queues, and between two tries
-- nothing is held.
CREATE FUNCTION analytics_internal.try_to_lock(lock_statements text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    deadline CONSTANT timestamptz := clock_timestamp() + interval '2 seconds';
BEGIN
    LOOP
        BEGIN
            EXECUTE lock_statements;
            RETURN true;
        EXCEPTION WHEN lock_not_available THEN
            IF clock_timestamp() >= deadline THEN
                RETURN false;
            END IF;
        END;
        PERFORM pg_sleep(0.02 + random() / 10); -- differently, so that two who retry do not keep meeting
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_to_lock(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_to_lock(text) IS
    'executes LOCK ... NOWAIT statements, all or none of them, again and again for two seconds; whether the locks were free';

CREATE FUNCTION analytics_internal.lock_partitions() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.try_to_lock(
        'LOCK TABLE ONLY analytics.user_activity IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;'
        || CASE WHEN to_regclass('analytics.user_activity_default') IS NULL THEN ''
                ELSE 'LOCK TABLE analytics.user_activity_default IN ACCESS EXCLUSIVE MODE NOWAIT' END) THEN
        RAISE EXCEPTION 'no partition can be made while user_activity is in use'
            USING ERRCODE = 'lock_not_available',
                  DETAIL = 'Nobody shall queue behind this, so the locks were only tried for two seconds.',
                  HINT = 'End long transactions that have read or written events, or try again later.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_partitions() IS
    'locks out others who make partitions, and everybody from the default partition. An error (55P03) after two seconds of trying';

CREATE FUNCTION analytics_internal.create_default_partition() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
        RETURN;
    END IF;
    IF NOT analytics_internal.try_to_lock('LOCK TABLE ONLY analytics.user_activity IN SHARE UPDATE EXCLUSIVE MODE NOWAIT') THEN
        RAISE EXCEPTION 'no partition can be made while another session makes one' USING ERRCODE = 'lock_not_available';
    ELSIF to_regclass('analytics.user_activity_default') IS NOT NULL THEN -- made meanwhile
        RETURN;
    END IF;
    PERFORM analytics_internal.create_standalone_partition('user_activity_default', false);
    COMMENT ON TABLE analytics.user_activity_default IS
        'events of days without a partition; analytics.create_partitions moves them';
    ALTER TABLE analytics.user_activity ATTACH PARTITION analytics.user_activity_default DEFAULT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_default_partition() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_default_partition() IS
    'makes the partition that takes events of days without one; does nothing when it exists';

CREATE FUNCTION analytics_internal.partition_bounds(
    day date, unit text, OUT name name, OUT from_time timestamptz, OUT to_time timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'user_activity_' || to_char(day, CASE unit WHEN 'day' THEN 'YYYYMMDD' WHEN 'month' THEN 'YYYYMM' ELSE 'YYYY' END),
       b.start AT TIME ZONE 'UTC', (b.start + ('1 ' || unit)::interval) AT TIME ZONE 'UTC'
FROM (SELECT date_trunc(unit, day::timestamp) AS start) AS b
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.partition_bounds(date, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.partition_bounds(date, text) IS
    'name and bounds of the partition of a UTC day, or of the month or year (unit) that contains it';

-- Whatever their names: the owner may attach others.
CREATE FUNCTION analytics_internal.partitions(OUT relation regclass, OUT from_time timestamptz, OUT to_time timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO'
AS $$
SELECT b.oid::regclass,
       CASE b.bounds[2] WHEN 'MINVALUE' THEN '-infinity' ELSE btrim(b.bounds[2], '''')::timestamptz END,
       CASE b.bounds[4] WHEN 'MAXVALUE' THEN 'infinity' ELSE btrim(b.bounds[4], '''')::timestamptz END
FROM (SELECT c.oid, string_to_array(replace(pg_get_expr(c.relpartbound, c.oid), ')', '('), '(') AS bounds -- FOR VALUES FROM ('...') TO ('...')
      FROM (SELECT r.oid, r.relpartbound FROM pg_inherits AS i JOIN pg_class AS r ON r.oid = i.inhrelid
            WHERE i.inhparent = 'analytics.user_activity'::regclass
              AND r.oid <> (SELECT t.partdefid FROM pg_partitioned_table AS t WHERE t.partrelid = i.inhparent)
            OFFSET 0) AS c -- first: pg_get_expr() would wait for whoever has the default partition locked
      OFFSET 0) AS b -- each bound is read once
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.partitions() IS
    'attached partitions of user_activity, the default one left out: from_time (inclusive) and to_time (exclusive)';

CREATE FUNCTION analytics_internal.partition_of(day date, OUT relation regclass, OUT from_time timestamptz, OUT to_time timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT p.* FROM analytics_internal.partitions() AS p
WHERE p.from_time <= day::timestamp AT TIME ZONE 'UTC' AND p.to_time > day::timestamp AT TIME ZONE 'UTC'
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.partition_of(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.partition_of(date) IS
    'the partition that contains the start of a UTC day, the default one left out; no row without';

-- A query locks every partition that it cannot rule out, and each of its indexes; PostgreSQL's table of locks has
-- room for some six thousand by default. So old days share a partition, if none of theirs has one.
CREATE FUNCTION analytics_internal.partition_to_make(day date, OUT name name, OUT from_time timestamptz, OUT to_time timestamptz)
RETURNS record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT b.name, b.from_time, b.to_time
FROM (VALUES ('year', now() - interval '3 years'), ('month', now() - interval '100 days'), ('day', 'infinity')) AS u (unit, latest_end),
     analytics_internal.partition_bounds(day, u.unit) AS b
WHERE b.to_time <= u.latest_end
  AND NOT EXISTS (SELECT FROM analytics_internal.partitions() AS p WHERE p.from_time < b.to_time AND p.to_time > b.from_time)
ORDER BY b.from_time LIMIT 1
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.partition_to_make(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.partition_to_make(date) IS
    'the partition to be made for a UTC day: of its year or month where these are old enough and no other partition is in the way, else of the day alone; NULL where the day has one';

CREATE FUNCTION analytics_internal.empty_default(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off -- rows that move are not late
SET DateStyle = 'ISO' -- cells are told the times as text
AS $$
DECLARE
    removed bigint;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN (SELECT sum((r ->> 'removed')::bigint) FROM analytics_internal.rows_of_cells(
            format('SELECT analytics_internal.empty_default(%L, %L) AS removed', from_time, to_time)) AS r);
    END IF;
    DELETE FROM analytics.user_activity_default AS e WHERE e.created_at >= from_time AND e.created_at < to_time;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.empty_default(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.empty_default(timestamptz, timestamptz) IS
    'removes events from the default partition that stand in another one by now, and notes nothing; how many';

-- The caller holds the locks.
CREATE FUNCTION analytics_internal.create_partition(partition_name name, from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO' -- workers of Citus get the command as it is written here
SET row_security = off
SET citus.multi_shard_modify_mode = 'sequential' -- one connection per worker, which sees what was moved
SET client_min_messages = 'warning' -- Citus speaks of local data, which is removed below
AS $$
DECLARE
    has_many_days boolean := to_time > from_time + interval '24 hours';
BEGIN
    PERFORM analytics_internal.create_standalone_partition(partition_name, has_many_days);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', partition_name,
                   format('events of %s (UTC)', concat_ws(' to ', to_char(from_time, 'YYYY-MM-DD'),
                                                          CASE WHEN has_many_days THEN to_char(to_time - interval '24 hours', 'YYYY-MM-DD') END)));

    IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
        EXECUTE format('INSERT INTO analytics.%I SELECT e.* FROM analytics.user_activity_default AS e WHERE e.created_at >= $1 AND e.created_at < $2 ORDER BY e.created_at',
                       partition_name) USING from_time, to_time;
        PERFORM analytics_internal.empty_default(from_time, to_time);
    END IF;
    EXECUTE format('ALTER TABLE analytics.user_activity ATTACH PARTITION analytics.%I FOR VALUES FROM (%L) TO (%L)',
                   partition_name, from_time, to_time);
    PERFORM analytics_internal.remove_local_rows(format('analytics.%I', partition_name)::regclass);
    IF has_many_days THEN
        EXECUTE format('ANALYZE analytics.%I', partition_name); -- or a day would be taken for a large part of it
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.create_partition(name, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.create_partition(name, timestamptz, timestamptz) IS
    'makes a partition and moves its rows out of the default partition. The caller holds the locks of lock_partitions()';

CREATE FUNCTION analytics_internal.ensure_partition(day date, OUT is_new boolean, OUT first_day date, OUT end_day date)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_bounds record;
BEGIN
    is_new := false;
    SELECT p.from_time, p.to_time INTO found_bounds FROM analytics_internal.partition_of(day) AS p;
    IF NOT FOUND THEN
        PERFORM analytics_internal.lock_partitions(); -- then look again, as another may have made it meanwhile
        SELECT p.from_time, p.to_time INTO found_bounds FROM analytics_internal.partition_of(day) AS p;
    END IF;
    IF NOT FOUND THEN
        SELECT p.name, p.from_time, p.to_time INTO found_bounds FROM analytics_internal.partition_to_make(day) AS p;
        IF to_regclass(format('analytics.%I', found_bounds.name)) IS NOT NULL THEN
            RAISE EXCEPTION 'relation "analytics.%" is not a partition of user_activity', found_bounds.name
                USING ERRCODE = 'duplicate_table',
                      HINT = 'Attach it again, or rename or drop it.';
        END IF;
        PERFORM analytics_internal.create_partition(found_bounds.name, found_bounds.from_time, found_bounds.to_time);
        is_new := true;
    END IF;
    first_day := (found_bounds.from_time AT TIME ZONE 'UTC')::date;
    end_day := greatest((found_bounds.to_time AT TIME ZONE 'UTC')::date, day + 1);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ensure_partition(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ensure_partition(date) IS
    'makes the partition of a UTC day if it has none; its days, first_day to the one before end_day. An error (42P07) when something else has its name';

CREATE FUNCTION analytics_internal.create_partitions(from_date date, to_date date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT integer := 400;
    newer CONSTANT date := greatest(from_date, (now() AT TIME ZONE 'UTC')::date - 131); -- the month may not be old enough from there on
    made integer := 0;
    day date := from_date;
    ensured record;
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
    ELSIF to_date - newer >= most THEN
        RAISE EXCEPTION 'too many partitions'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('%s days, each of which needs one, were asked for, a call makes at most %s.', to_date - newer + 1, most),
                  HINT = 'Make them in several calls.';
    END IF;

    WHILE day <= to_date LOOP
        ensured := analytics_internal.ensure_partition(day);
        made := made + ensured.is_new::integer;
        day := ensured.end_day;
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
    'makes the missing partitions of user_activity for the UTC days from_date to to_date, inclusive. Returns how many it made. Each day gets a partition; a month that ended more than 100 days ago, or a year that ended more than three years ago, gets one as a whole if none of its days has one. Rows of those days move out of the default partition in the same transaction. Writers of other days do not wait; a statement that is writing rows of such a day may fail once (23514) and can be repeated. While the default partition is in use elsewhere it tries for two seconds, then fails (55P03), so that no session queues behind it. Errors: dates not from 1970-01-01 to 9999-12-31 (22023), more than 400 recent or future days (54000), NULL (22004)';

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
    'builds the indexes of a partition of closed days that it lacks and returns how many';

-- Building locks out the writers of a day. Whoever holds several days locked waits for none of them.
CREATE FUNCTION analytics_internal.index_closed_partitions(
    most integer DEFAULT NULL, OUT built integer, OUT again boolean, OUT busy text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition_name name;
    done integer := 0;
BEGIN
    built := 0;
    again := false;
    FOR partition_name IN
        SELECT c.relname
        FROM analytics_internal.partitions() AS p JOIN pg_class AS c ON c.oid = p.relation
        WHERE p.to_time <= now() AND c.relnamespace = 'analytics'::regnamespace
          AND EXISTS (SELECT FROM unnest(ARRAY['metadata_gin', 'failures', 'users']) AS i (suffix)
                      WHERE to_regclass(format('analytics.%I', c.relname || '_' || i.suffix)) IS NULL)
        ORDER BY p.from_time
    LOOP
        again := done >= most;
        EXIT WHEN again;
        IF analytics_internal.try_to_lock(format('LOCK TABLE analytics.%I IN SHARE MODE NOWAIT', partition_name)) THEN
            built := built + analytics_internal.index_partition(partition_name);
            done := done + 1;
        ELSE
            busy := concat_ws(', ', busy, partition_name);
        END IF;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.index_closed_partitions(integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.index_closed_partitions(integer) IS
    'builds the indexes that partitions of past UTC days lack, of at most so many partitions: built: how many; again: there are more; busy: names of those left because they are being written. Late events for a day wait while its indexes are being built';

CREATE FUNCTION analytics_internal.event_bytes(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bytes numeric := 0;
    part record;
    events bigint;
BEGIN
    FOR part IN
        SELECT p.relation, p.to_time - p.from_time > interval '24 hours' AS has_many_days,
               pg_relation_size(c.oid) AS bytes, c.reltuples AS events
        FROM analytics_internal.partitions() AS p JOIN pg_class AS c ON c.oid = analytics_internal.local_relation(p.relation)
        WHERE p.from_time < event_bytes.to_time AND p.to_time > event_bytes.from_time
        UNION ALL
        SELECT c.oid, false, pg_relation_size(c.oid), 0 FROM pg_class AS c
        WHERE c.oid = analytics_internal.local_relation(to_regclass('analytics.user_activity_default'))
    LOOP
        IF part.has_many_days AND part.events > 0 THEN -- counted by the index; rarely evenly spread
            EXECUTE format('SELECT count(*) FROM %s AS e WHERE e.created_at >= $1 AND e.created_at < $2', part.relation)
            INTO events USING from_time, to_time;
            part.bytes := part.bytes * events / greatest(part.events, events);
        END IF;
        bytes := bytes + part.bytes;
    END LOOP;
    RETURN bytes;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.event_bytes(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.event_bytes(timestamptz, timestamptz) IS
    'about how many bytes the events between two instants have on disk, and those of the default partition';

CREATE FUNCTION analytics_internal.default_days(OUT day date) RETURNS SETOF date
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET citus.multi_shard_modify_mode = 'sequential' -- or Citus makes no partition in this transaction
AS $$
DECLARE
    oldest timestamptz := COALESCE(date_trunc('day', now() - analytics_internal.retention('user_activity'), 'UTC'), '1970-01-01 UTC');
BEGIN
    RETURN QUERY
    SELECT DISTINCT (e.created_at AT TIME ZONE 'UTC')::date FROM analytics.user_activity_default AS e
    WHERE e.created_at >= oldest
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
    most CONSTANT integer := 100;
    made bigint;
    last_made bigint;
    day date;
    last_from date := 'infinity'; -- first day of the partition made last
    ensured record;
BEGIN
    PERFORM analytics_internal.create_default_partition();
    made := analytics_internal.create_partitions(today - 1, today + analytics.setting('partitions_ahead_days')::integer);
    last_made := made + most;
    FOR day IN SELECT d.day FROM analytics_internal.default_days() AS d ORDER BY 1 DESC LOOP
        CONTINUE WHEN day >= last_from;
        EXIT WHEN made >= last_made;
        ensured := analytics_internal.ensure_partition(day);
        made := made + ensured.is_new::integer;
        last_from := ensured.first_day;
    END LOOP;
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.make_partitions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.make_partitions() IS
    'makes the partitions ahead and those of days whose events wait in the default partition, at most 100 of these; how many';

CREATE FUNCTION analytics_internal.keep_partitions_ahead() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.cell_key() = 0 THEN -- else the coordinator makes them
        PERFORM analytics_internal.make_partitions();
    END IF;
EXCEPTION
    WHEN lock_not_available THEN
        RAISE NOTICE 'no partition was made, as user_activity is in use; the next call tries again';
    WHEN duplicate_table THEN -- one was detached by hand
        RAISE WARNING 'no partition was made: %', SQLERRM USING HINT = 'Attach it again, or rename or drop it.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.keep_partitions_ahead() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.keep_partitions_ahead() IS
    'makes the partitions ahead; to be called last in a transaction, as its locks last to the end';

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
-- Prices: what a credit or a token costs, for whom, for which model and since when.

CREATE FUNCTION analytics_internal.touch_updated_at() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := CASE WHEN NEW IS DISTINCT FROM OLD THEN now() ELSE OLD.updated_at END;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.touch_updated_at() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.touch_updated_at() IS
    'row trigger: updated_at is when a value of the row last changed';

CREATE TABLE analytics.credit_prices (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    model text NOT NULL DEFAULT '',
    price numeric NOT NULL,
    currency text NOT NULL DEFAULT analytics.setting('currency'),
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

CREATE POLICY member_reads ON analytics.credit_prices FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.credit_prices IS
    'members read their workspaces'' own prices';

CREATE TABLE analytics.token_prices (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    model text NOT NULL DEFAULT '',
    input_price numeric NOT NULL,
    output_price numeric NOT NULL,
    cache_read_price numeric,
    cache_write_price numeric,
    currency text NOT NULL DEFAULT analytics.setting('currency'),
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, model, valid_from),
    CONSTRAINT token_prices_price CHECK (
        least(input_price, output_price, cache_read_price, cache_write_price) >= 0
        AND greatest(input_price, output_price, cache_read_price, cache_write_price) < 1000000000
        AND greatest(scale(input_price), scale(output_price), scale(cache_read_price), scale(cache_write_price)) <= 9),
    CONSTRAINT token_prices_currency CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE analytics.token_prices IS
    'prices of a million tokens, for runs that state neither a cost nor credits with a price. The most specific one in force wins, as in analytics.credit_prices';
COMMENT ON COLUMN analytics.token_prices.workspace_id IS
    'workspace the price is for; the nil uuid means every workspace';
COMMENT ON COLUMN analytics.token_prices.model IS
    'model the price is for; empty means every model';
COMMENT ON COLUMN analytics.token_prices.input_price IS
    'price of a million input tokens that are not from a cache. From 0 to less than 1000000000, at most 9 decimals';
COMMENT ON COLUMN analytics.token_prices.output_price IS
    'price of a million output tokens';
COMMENT ON COLUMN analytics.token_prices.cache_read_price IS
    'price of a million tokens read from a cache; NULL: that of input';
COMMENT ON COLUMN analytics.token_prices.cache_write_price IS
    'price of a million tokens written to a cache; NULL: that of input';
COMMENT ON COLUMN analytics.token_prices.currency IS
    'ISO 4217 code';
COMMENT ON COLUMN analytics.token_prices.valid_from IS
    'first instant at which the price is in force, until the next row of the same workspace and model';
COMMENT ON COLUMN analytics.token_prices.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.token_prices.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.token_prices_pkey IS
    'serves: the price in force of a workspace and model, WHERE workspace_id = ... AND model = ... AND valid_from <= ...';
COMMENT ON CONSTRAINT token_prices_price ON analytics.token_prices IS
    'prices are exact to 9 decimals';
COMMENT ON CONSTRAINT token_prices_currency ON analytics.token_prices IS
    'three capital letters';
ALTER TABLE analytics.token_prices ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.token_prices', '');

CREATE POLICY member_reads ON analytics.token_prices FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.token_prices IS
    'members read their workspaces'' own prices';

-- A day is computed again by an entry for one of its hours. Days whose events are gone stay as they are.
CREATE FUNCTION analytics_internal.invalidate_priced_days(priced_workspace_id uuid, model text, from_time timestamptz, to_time timestamptz)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT d.workspace_id, date_trunc('hour', b.day_start, 'UTC')
    FROM analytics.daily_metrics AS d
    CROSS JOIN analytics.watermark AS w
    CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(d.workspace_id, d.metric_date) AS b
    WHERE priced_workspace_id IN (d.workspace_id, '00000000-0000-0000-0000-000000000000')
      AND d.metric_date BETWEEN from_time::date - 2 AND to_time::date + 2
      AND (d.total_credits_consumed > 0 OR d.total_tokens_used > 0)
      AND (invalidate_priced_days.model = '' OR (d.credits_by_model || d.tokens_by_model) ?| ARRAY[invalidate_priced_days.model, 'other'])
      AND b.day_start < to_time AND b.day_end > from_time AND b.day_start < w.marked_until;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.invalidate_priced_days(uuid, text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.invalidate_priced_days(uuid, text, timestamptz, timestamptz) IS
    'has the closed days computed again on which a price was or comes into force. The nil uuid means every workspace, an empty model every model';

CREATE FUNCTION analytics_internal.prices_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM analytics_internal.invalidate_priced_days('00000000-0000-0000-0000-000000000000', '', '-infinity', 'infinity');
        RETURN NULL;
    END IF;
    PERFORM analytics_internal.invalidate_priced_days(c.workspace_id, c.model, min(c.valid_from), max(c.valid_to))
    FROM (SELECT n.workspace_id, n.model, n.valid_from,
                 coalesce((SELECT min(p.valid_from)
                           FROM (SELECT p.workspace_id, p.model, p.valid_from FROM analytics.credit_prices AS p
                                 WHERE TG_RELID = 'analytics.credit_prices'::regclass
                                 UNION ALL
                                 SELECT p.workspace_id, p.model, p.valid_from FROM analytics.token_prices AS p
                                 WHERE TG_RELID = 'analytics.token_prices'::regclass) AS p
                           WHERE p.workspace_id = n.workspace_id AND p.model = n.model AND p.valid_from > n.valid_from),
                          'infinity') AS valid_to
          FROM changed AS n) AS c
    GROUP BY c.workspace_id, c.model;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.prices_changed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.prices_changed() IS
    'statement trigger: has the days computed again on which a changed price was or comes into force';

-- Whoever aggregates at this moment has not seen the price, and its rollups are not seen here: one waits for the
-- other. Before the rows are touched, as every lock of ours.
CREATE FUNCTION analytics_internal.await_rollups() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        RAISE EXCEPTION 'prices cannot be changed in a transaction that is %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state',
                  DETAIL = 'It does not see what was aggregated since its snapshot, so days would keep the old price.',
                  HINT = 'Change prices in a transaction of their own: BEGIN ISOLATION LEVEL READ COMMITTED.';
    ELSIF TG_OP <> 'TRUNCATE' THEN
        PERFORM analytics_internal.lock('rollups');
    ELSIF NOT analytics_internal.try_lock('rollups') THEN -- which reads the table that is locked already
        RAISE EXCEPTION 'lock "rollups" is in use'
            USING ERRCODE = 'lock_not_available',
                  DETAIL = 'Rollups are being written, by the prices in the table.',
                  HINT = format('Try again, or DELETE FROM %I.%I, which waits.', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.await_rollups() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.await_rollups() IS
    'statement trigger: waits until nobody writes rollups, so that a day has the price or is computed again. An error in REPEATABLE READ (25000), and for TRUNCATE while the lock is in use (55P03)';

-- What is restored was noted before.
DO $$
DECLARE
    table_name text;
    name text;
    event text;
    comment text;
BEGIN
    FOREACH table_name IN ARRAY '{credit_prices,token_prices}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER await_rollups BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON analytics.%I
                            FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is(%L))
                            EXECUTE FUNCTION analytics_internal.await_rollups()', table_name, table_name);
        EXECUTE format('COMMENT ON TRIGGER await_rollups ON analytics.%I IS %L', table_name,
                       'who aggregates has seen the price, or is seen by the triggers that have days computed again');
        EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON analytics.%I
                            FOR EACH ROW EXECUTE FUNCTION analytics_internal.touch_updated_at()', table_name);
        EXECUTE format('COMMENT ON TRIGGER touch_updated_at ON analytics.%I IS %L', table_name, 'keeps updated_at');
        FOR name, event, comment IN
            VALUES ('price_entered', format('INSERT ON analytics.%I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is(%L))', table_name, table_name),
                    'a price that is entered later has its days computed again'),
                   ('price_replaced', format('UPDATE ON analytics.%I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT', table_name),
                    'a price that is changed has the days computed again on which it was in force'),
                   ('price_updated', format('UPDATE ON analytics.%I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT', table_name),
                    'a price that is changed has the days computed again on which it comes into force'),
                   ('price_deleted', format('DELETE ON analytics.%I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT', table_name),
                    'a price that is deleted has the days computed again on which it was in force'),
                   ('prices_truncated', format('TRUNCATE ON analytics.%I FOR EACH STATEMENT', table_name),
                    'where all prices go, all days that may have had one are computed again')
        LOOP
            EXECUTE format('CREATE TRIGGER %I AFTER %s EXECUTE FUNCTION analytics_internal.prices_changed()', name, event);
            EXECUTE format('COMMENT ON TRIGGER %I ON analytics.%I IS %L', name, table_name, comment);
        END LOOP;
    END LOOP;
END
$$;
-- Events through functions, with the caller's rights: what a client sends, read right or refused with a reason.

-- Arguments that take more than one type. Functions of one name for each type would not do: a literal without a type
-- would be ambiguous, and so would every call to PostgREST.
CREATE TYPE analytics.any_text;
CREATE FUNCTION analytics_internal.any_text_in(cstring) RETURNS analytics.any_text
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
AS 'textin';
COMMENT ON FUNCTION analytics_internal.any_text_in(cstring) IS 'input function of analytics.any_text';
CREATE FUNCTION analytics_internal.any_text_out(analytics.any_text) RETURNS cstring
LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE
AS 'textout';
COMMENT ON FUNCTION analytics_internal.any_text_out(analytics.any_text) IS 'output function of analytics.any_text';
CREATE TYPE analytics.any_text (
    INPUT = analytics_internal.any_text_in,
    OUTPUT = analytics_internal.any_text_out,
    LIKE = pg_catalog.text
);
COMMENT ON TYPE analytics.any_text IS
    'text that uuid, json and jsonb become without a cast: only for arguments of functions';
CREATE CAST (text AS analytics.any_text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (text AS analytics.any_text) IS 'the text as it is';
CREATE CAST (varchar AS analytics.any_text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (varchar AS analytics.any_text) IS 'the text as it is';
CREATE CAST (json AS analytics.any_text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (json AS analytics.any_text) IS 'the document as it was written';
CREATE CAST (jsonb AS analytics.any_text) WITH INOUT AS IMPLICIT;
COMMENT ON CAST (jsonb AS analytics.any_text) IS 'the document as PostgreSQL writes it';
CREATE CAST (uuid AS analytics.any_text) WITH INOUT AS IMPLICIT;
COMMENT ON CAST (uuid AS analytics.any_text) IS 'the uuid as PostgreSQL writes it';
CREATE CAST (analytics.any_text AS text) WITHOUT FUNCTION AS ASSIGNMENT;
COMMENT ON CAST (analytics.any_text AS text) IS 'the text as it is';

CREATE FUNCTION analytics.user_uuid(workspace_id uuid, user_id text) RETURNS uuid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_uuid';
REVOKE EXECUTE ON FUNCTION analytics.user_uuid(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.user_uuid(uuid, text) IS
    'the user_id of a user whom events of a workspace name by text. shadow-analytics-import gives the same. A text that is a uuid is that uuid; any other gives the uuid v5 of "user:" and the text in the namespace of workspace_id. workspace_id NULL: events without one; with the setting text_subjects the namespace is the nil uuid for all; user_id NULL: NULL';

CREATE FUNCTION analytics.read_event(
    event jsonb, OUT id uuid, OUT workspace_id uuid, OUT user_id uuid, OUT event_type text, OUT event_name text,
    OUT page_path text, OUT session_id uuid, OUT ip_address inet, OUT user_agent text, OUT referrer text,
    OUT metadata jsonb, OUT created_at timestamptz, OUT dropped text[])
RETURNS record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_read_event';
REVOKE EXECUTE ON FUNCTION analytics.read_event(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics.read_event(jsonb) IS
    'the row that track_batch() stores of an event, and the amounts of it that are dropped. id is NULL for a new one. The keys are the arguments of analytics.track; any other is an error (22023). user_id and session_id are uuids or, with the setting text_ids, any text (else 22P02). user_id defaults to the current user, an error without one (22004, 22023). created_at is ISO 8601 with a zone, or seconds or milliseconds since 1970 (22023); without it: the time of an id of version 7, an error with any other id (22023), else now';

CREATE FUNCTION analytics.track(
    event_type text,
    metadata jsonb DEFAULT '{}',
    workspace_id uuid DEFAULT NULL,
    user_id analytics.any_text DEFAULT NULL,
    event_name text DEFAULT NULL,
    page_path text DEFAULT NULL,
    session_id analytics.any_text DEFAULT NULL,
    ip_address inet DEFAULT NULL,
    user_agent text DEFAULT NULL,
    referrer text DEFAULT NULL,
    created_at timestamptz DEFAULT NULL,
    id uuid DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stored_id CONSTANT uuid := COALESCE(id, gen_random_uuid());
BEGIN
    INSERT INTO analytics.user_activity
        (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer,
         metadata, created_at)
    SELECT stored_id, e.workspace_id, e.user_id, track.event_type, track.event_name, track.page_path, e.session_id,
           track.ip_address, track.user_agent, track.referrer, track.metadata, e.created_at
    -- Only what has to be decided: the rest of an event is stored as it is.
    FROM analytics.read_event(jsonb_build_object(
        'id', track.id, 'workspace_id', track.workspace_id, 'user_id', track.user_id::text,
        'session_id', track.session_id::text, 'created_at', track.created_at)) AS e
    ON CONFLICT DO NOTHING;
    RETURN stored_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track(text, jsonb, uuid, analytics.any_text, text, text, analytics.any_text, inet, text, text, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track(text, jsonb, uuid, analytics.any_text, text, text, analytics.any_text, inet, text, text, timestamptz, uuid) IS
    'stores an event with the caller''s rights and returns its id. user_id and session_id are uuids or, with the setting text_ids, any text (else 22P02). user_id NULL: the current user of the request, an error without one (22004, 22023); workspace_id NULL: none; created_at NULL: now, or the time of an id of version 7; with any other id it must be given (22023). A retry with the same workspace_id, created_at and id stores nothing. What the table refuses is an error (22023, 54000)';

CREATE FUNCTION analytics_internal.shallow_json(batch analytics.any_text) RETURNS json
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_shallow_json';
REVOKE EXECUTE ON FUNCTION analytics_internal.shallow_json(analytics.any_text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.shallow_json(analytics.any_text) IS
    'a JSON array with the text "nested too deeply" in the place of each element that is nested more than 1,000 levels deep, which PostgreSQL may be unable to parse';
-- track_batch() runs with the rights of callers who may not use the schema analytics_internal; a cast finds its function
-- without that.
CREATE CAST (analytics.any_text AS json) WITH FUNCTION analytics_internal.shallow_json(analytics.any_text);
COMMENT ON CAST (analytics.any_text AS json) IS
    'what is nested too deeply in an array becomes a text that says so';

CREATE FUNCTION analytics.track_batch(
    events analytics.any_text, OUT accepted bigint, OUT duplicates bigint, OUT rejected jsonb, OUT warnings jsonb)
RETURNS SETOF record
LANGUAGE plpgsql ROWS 1
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    most_events CONSTANT integer := 10000;
    batch json;
    parts json[]; -- its events, once they are stored one by one
    first_index integer := 0; -- of the event that is stored next
    size integer;
    stored bigint;
    dropped jsonb;
    code text;
    reason text;
    detail text;
    hint text;
BEGIN
    BEGIN
        batch := events::text;
    EXCEPTION WHEN statement_too_complex THEN -- one deep event, and nothing of the batch is parsed
        batch := events::json;
        parts := '{}';
    END;
    IF batch IS NULL OR json_typeof(batch) <> 'array' THEN
        RAISE EXCEPTION 'events must be a JSON array'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass [{"event_type": "page_view", "user_id": ..., "metadata": {...}}, ...].';
    ELSIF json_array_length(batch) > most_events THEN
        RAISE EXCEPTION 'too many events in a batch'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s events, the limit is %s.', json_array_length(batch), most_events),
                  HINT = 'Send them in several batches.';
    END IF;

    accepted := 0;
    duplicates := 0;
    rejected := '[]';
    warnings := '[]';
    -- All at once. If something in the batch is wrong: one by one, so that only that is refused. An error that is not
    -- the event's fault ends the call.
    size := json_array_length(batch);
    IF parts IS NOT NULL THEN
        parts := ARRAY(SELECT j.value FROM json_array_elements(batch) AS j (value));
        size := 1;
    END IF;
    WHILE first_index < COALESCE(cardinality(parts), size) LOOP
        BEGIN
            IF parts[first_index + 1]::text = '"nested too deeply"' THEN
                RAISE EXCEPTION 'the event is nested too deeply'
                    USING ERRCODE = 'program_limit_exceeded', HINT = 'Send at most 1,000 levels of arrays and objects.';
            END IF;
            WITH e AS MATERIALIZED (
                SELECT first_index + j.position - 1 AS index, r.*
                FROM jsonb_array_elements(CASE WHEN parts IS NULL THEN batch::jsonb ELSE jsonb_build_array(parts[first_index + 1]::jsonb) END)
                         WITH ORDINALITY AS j (event, position),
                     LATERAL analytics.read_event(j.event) AS r
            ), s AS (
                INSERT INTO analytics.user_activity
                    (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent,
                     referrer, metadata, created_at)
                SELECT COALESCE(e.id, gen_random_uuid()), e.workspace_id, e.user_id, e.event_type, e.event_name,
                       e.page_path, e.session_id, e.ip_address, e.user_agent, e.referrer, e.metadata, e.created_at
                FROM e
                ON CONFLICT DO NOTHING
                RETURNING true
            )
            SELECT (SELECT count(*) FROM s),
                   (SELECT COALESCE(jsonb_agg(jsonb_build_object('index', e.index, 'dropped', e.dropped) ORDER BY e.index), '[]')
                    FROM e WHERE e.dropped IS NOT NULL)
            INTO stored, dropped;
            accepted := accepted + stored;
            duplicates := duplicates + size - stored;
            warnings := warnings || dropped;
            first_index := first_index + size;
        EXCEPTION
            WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded OR insufficient_privilege THEN
                IF size = 1 THEN
                    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
                        hint = PG_EXCEPTION_HINT;
                    rejected := rejected || jsonb_strip_nulls(jsonb_build_object(
                        'index', first_index,
                        'sqlstate', code,
                        -- The detail of a constraint would repeat the whole row.
                        'reason', concat_ws(': ', reason, CASE WHEN code NOT LIKE '23%' THEN NULLIF(detail, '') END),
                        'hint', NULLIF(hint, '')));
                    first_index := first_index + 1;
                ELSE
                    parts := ARRAY(SELECT j.value FROM json_array_elements(batch) AS j (value));
                    size := 1;
                END IF;
        END;
    END LOOP;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.track_batch(analytics.any_text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.track_batch(analytics.any_text) IS
    'stores a JSON array of at most 10,000 events (54000) with the caller''s rights. analytics.read_event() says how they are read. Returns how many were stored, how many were there already (same workspace_id, created_at and id), the refused ones as [{index, sqlstate, reason, hint}], and those whose amounts are dropped (setting trust_client_amounts) as [{index, dropped}], index counting from 0; one bad event refuses only itself. NULL and what is no JSON array are an error (22023, 22P02)';
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
    cost_reason text,
    total_tokens_used numeric NOT NULL DEFAULT 0,
    tokens_by_model jsonb NOT NULL DEFAULT '{}',
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
    currency text,
    cost_reason text,
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
CREATE TYPE analytics.error_count AS (
    event_name text,
    errors bigint,
    message_hashes bigint[],
    sample_messages text[]
);
COMMENT ON TYPE analytics.error_count IS
    'errors of one event name within an error type; columns as in analytics.daily_errors';

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
    'one row per workspace and local day. Written by analytics.aggregate_daily_metrics(), replaced as a whole when the day is aggregated again';
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
    'sessions of the day: (user, session_id), or by inactivity where session_id is missing. Those are part of a session that they touch. Sessions end at midnight (Universal Analytics)';
COMMENT ON COLUMN analytics.daily_metrics.avg_session_duration_seconds IS
    'mean of last minus first event over all sessions, single-event sessions being 0; seconds, 2 decimals. NULL without a session';
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
    '100 * successful / (successful + failed). Cancelled runs are the users'' doing (SRE: valid events only); NULL without either';
COMMENT ON COLUMN analytics.daily_metrics.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled and have one; seconds, 2 decimals; NULL without any';
COMMENT ON COLUMN analytics.daily_metrics.median_runtime_seconds IS
    'median (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.p95_runtime_seconds IS
    '95th percentile (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.p99_runtime_seconds IS
    '99th percentile (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.runtime_sketch IS
    'sketch of the same runtimes in seconds, for percentiles over several days (relative error 1 %). NULL without any';
COMMENT ON COLUMN analytics.daily_metrics.total_credits_consumed IS
    'credits of the runs, each once, and of all other events';
COMMENT ON COLUMN analytics.daily_metrics.avg_credits_per_run IS
    'credits of runs / total_runs, 2 decimals; NULL without a run';
COMMENT ON COLUMN analytics.daily_metrics.credits_by_model IS
    '{model: credits}, zero entries left out; sums to total_credits_consumed';
COMMENT ON COLUMN analytics.daily_metrics.total_cost IS
    'exact cost rounded to 4 decimals, in currency. NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.daily_metrics.cost_by_model IS
    '{model: cost} over the same events; NULL like total_cost';
COMMENT ON COLUMN analytics.daily_metrics.currency IS
    'ISO 4217 code of the costs; NULL without a cost or with several currencies';
COMMENT ON COLUMN analytics.daily_metrics.cost_reason IS
    'why total_cost is NULL: "several currencies", "credits without a price" or (where tokens have prices) "tokens without a price"; NULL where it is not, or nothing had a cost or credits';
COMMENT ON COLUMN analytics.daily_metrics.total_tokens_used IS
    'tokens of the runs, each attempt once';
COMMENT ON COLUMN analytics.daily_metrics.tokens_by_model IS
    '{model: tokens} of the runs, zero entries left out; the 100 largest and "other". Sums to total_tokens_used';
COMMENT ON COLUMN analytics.daily_metrics.unique_agents_run IS
    'distinct agents with a counted run';
COMMENT ON COLUMN analytics.daily_metrics.top_agents IS
    'up to 10 of {agent_id, runs, success_rate, credits}, by runs descending, agent_id. name beside agent_id as in analytics.agents when the day was computed, where the agent has one';
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
    'one row per workspace, agent and local day with a counted run, an error event or a feedback. Written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.agent_performance.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.agent_performance.agent_id IS
    'agent named by metadata.agent_id (agentId, agent); analytics.agents has its name';
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
    'sketch of the same runtimes in seconds, for percentiles over several days (relative error 1 %). NULL without any';
COMMENT ON COLUMN analytics.agent_performance.total_credits IS
    'credits of the runs, each once';
COMMENT ON COLUMN analytics.agent_performance.avg_credits_per_run IS
    'total_credits / total_runs, 2 decimals; NULL without a run';
COMMENT ON COLUMN analytics.agent_performance.total_cost IS
    'cost of the runs, 4 decimals, in currency. NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.agent_performance.currency IS
    'ISO 4217 code of the costs. NULL without a cost or where the day of the workspace has several currencies';
COMMENT ON COLUMN analytics.agent_performance.cost_reason IS
    'why total_cost is NULL, as in analytics.daily_metrics';
COMMENT ON COLUMN analytics.agent_performance.total_tokens_used IS
    'tokens of the runs, each attempt once';
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
    '{error_type: errors} of the agent''s error events and of its failed runs without one of the same run_id';
COMMENT ON COLUMN analytics.agent_performance.common_failure_reasons IS
    'up to 5 of {reason, count} of failed runs, by count descending, reason. The reasons are redacted as error messages are and cut to 100 characters';
COMMENT ON COLUMN analytics.agent_performance.is_final IS
    'false while the day is not over';
COMMENT ON COLUMN analytics.agent_performance.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.agent_performance.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.daily_event_usage IS
    'what analytics.daily_event_counts shows, one row per workspace, local day and event type. Written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.daily_event_usage.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_event_usage.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_event_usage.event_type IS
    'event type';
COMMENT ON COLUMN analytics.daily_event_usage.event_names IS
    'event names in ascending order of their bytes. Empty where it was missing, (other) beyond the 1,000 most frequent of the workspace and day';
COMMENT ON COLUMN analytics.daily_event_usage.events IS
    'events of each name';
COMMENT ON COLUMN analytics.daily_event_usage.users IS
    'user_number of the users of each name (analytics.users)';
COMMENT ON COLUMN analytics.daily_event_usage.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_event_usage.updated_at IS
    'when a value of the row last changed';

COMMENT ON VIEW analytics.daily_event_counts IS
    'events per workspace, local day, event type and event name. Feature usage outlives the raw events so. The 1,000 most frequent names of a workspace and day, the rest as (other)';
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
    'what analytics.daily_errors shows, one row per workspace, local day and error type. Written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.daily_error_types.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_error_types.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_error_types.error_type IS
    'error type. Unknown where it was missing, (other) for the rest beyond the 1,000 most frequent pairs with event_name';
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
    'hashes of the distinct messages (of a run without one: its failure reason) after redaction. Ascending; the 256 smallest, so that sets of several days can be united';
COMMENT ON COLUMN analytics.daily_errors.sample_messages IS
    'the messages with the smallest hashes, at most 5 of 200 characters. Redacted: addresses, ids, long numbers, keys, passwords';
COMMENT ON COLUMN analytics.daily_errors.created_at IS
    'when the row of analytics.daily_error_types was first written';
COMMENT ON COLUMN analytics.daily_errors.updated_at IS
    'when a value of that row last changed';

-- Time-range scans over all workspaces, and an agent's in all; everything else goes through the primary keys.
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

-- From raw events to the rollup tables.

-- Dear enough that a plan gives each call a process of its own.
CREATE FUNCTION analytics_internal.collect_rollups(
    target_date date, at timestamptz, first_instant timestamptz, last_instant timestamptz,
    shares integer, share integer, passes integer)
RETURNS TABLE (rollup integer, contents record, place tid)
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 1000
AS 'MODULE_PATHNAME', 'shadow_collect_rollups';
REVOKE EXECUTE ON FUNCTION analytics_internal.collect_rollups(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.collect_rollups(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) IS
    'rows for the rollups of one share''s workspaces on a local day. Shares: 0 .. shares - 1, by hash; a power of two. As of the instant "at", collected in so many passes; first_instant and last_instant: the day in UTC. Called by analytics.aggregate_daily_metrics(), a process for each share. rollup: the number of the table (src/entry/rollup/rows.hpp), contents: a row of its type; place: where the row lies that it replaces, NULL: nowhere, or not known. Shares or passes that are no powers of two up to 32768, and a share that is none of the shares, are an error (22023)';

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
    'does the work of analytics.aggregate_daily_metrics() as the owner, without row security; is_repair: of workspaces whose earlier days are dirty, counts of users of later days are left to analytics_internal.repair_next()';

CREATE FUNCTION analytics.aggregate_daily_metrics(target_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.aggregate_in_cells(target_date, NULL, target_workspace_id);
    ELSIF target_workspace_id IS NULL THEN
        written := analytics_internal.aggregate_despite_missing(target_date, NULL);
    END IF;
    written := COALESCE(written, analytics_internal.aggregate_daily_metrics(target_date, target_workspace_id));
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up(target_date, true);
        PERFORM analytics_internal.keep_partitions_ahead();
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) IS
    'computes the daily rollups of a local day, for every workspace or for one, from the raw events. They are daily_metrics, agent_performance, daily_event_counts and daily_errors. Replaces what was there and returns the number of workspaces written. A day that is not over is provisional (is_final = false); one later than the workspace''s today is an error (22023). NULL date: error (22004). For every workspace it also does what is due of maintenance: it makes partitions ahead and finishes provisional and changed days and hours, for at most the setting catch_up_seconds; so a daily call keeps the rollups right';

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
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.aggregate_in_cells(NULL, target_hour, target_workspace_id);
    ELSIF target_workspace_id IS NULL THEN
        written := analytics_internal.aggregate_despite_missing(NULL, target_hour);
    END IF;
    written := COALESCE(written, analytics_internal.aggregate_hourly_metrics(target_hour, target_workspace_id));
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up((target_hour AT TIME ZONE 'UTC')::date, false);
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) IS
    'computes hourly_metrics of the UTC hour that contains the instant, for every workspace or for one. Replaces what was there and returns the number of workspaces written. A running hour is provisional; one that has not begun is an error (22023). NULL: error (22004). For every workspace it also finishes provisional and changed days and hours, for at most the setting catch_up_seconds';
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
    'dictionary of a workspace''s users. Written by analytics.aggregate_daily_metrics() and kept when the raw events go. A user whose last active day is aggregated again without that user leaves it';
COMMENT ON COLUMN analytics.users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.users.user_id IS
    'user, as in analytics.user_activity';
COMMENT ON COLUMN analytics.users.user_number IS
    'the user in the sets of this workspace (analytics.user_set). From 0, ascending in the order of first aggregation';
COMMENT ON COLUMN analytics.users.first_date IS
    'local day of the workspace on which the user was first active, and counts as new';
COMMENT ON COLUMN analytics.users.last_date IS
    'last local day of the workspace on which the user was active';
COMMENT ON COLUMN analytics.users.first_seen IS
    'first event; the start of first_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.last_seen IS
    'last event; the start of last_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.is_forgotten IS
    'whether user_id was replaced by a random one. analytics.forget_user() and the retention of identities do so; the number and all counts stay';
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
    'the active users of each workspace and local day as sets of user_number. A day without an event has no row';
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
CREATE INDEX daily_users_metric_date_brin ON analytics.daily_users USING brin (metric_date);
COMMENT ON INDEX analytics.daily_users_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces';

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
    'sum of the metadata key revenue of the user''s events, signed, exact';
COMMENT ON COLUMN analytics.daily_user_revenue.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_user_revenue.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_user_revenue_pkey IS
    'serves: the revenue of a workspace''s days in order, analytics.aggregate_user_cohorts()';
CREATE INDEX daily_user_revenue_metric_date_brin ON analytics.daily_user_revenue USING brin (metric_date);
COMMENT ON INDEX analytics.daily_user_revenue_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces';

ALTER TABLE analytics.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_user_revenue ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_user_revenue', '');

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

-- The totals of users, whichever day is aggregated.

-- Without sequential scans: where one workspace has most of the users, the planner takes each for as large and would
-- read the whole table once for every workspace.
CREATE FUNCTION analytics_internal.count_users(workspace_ids uuid[], last_dates date[])
RETURNS TABLE (workspace_id uuid, total_users bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
SELECT w.workspace_id,
       COALESCE((SELECT m.total_users FROM analytics.daily_metrics AS m
                 WHERE m.workspace_id = w.workspace_id AND m.metric_date <= w.last_date
                 ORDER BY m.metric_date DESC LIMIT 1),
                (SELECT count(*) FROM analytics.users AS u
                 WHERE u.workspace_id = w.workspace_id AND u.first_date <= w.last_date))
FROM unnest(workspace_ids, last_dates) AS w (workspace_id, last_date)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_users(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_users(uuid[], date[]) IS
    'users of each workspace first seen until its date: as the row of the last day says, or counted where there is none';

CREATE FUNCTION analytics_internal.update_later_totals(workspace_ids uuid[], from_dates date[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE analytics.daily_metrics AS t
SET new_users = l.new_users, returning_users = l.active_users - l.new_users, total_users = l.total_users, updated_at = now()
FROM (SELECT d.workspace_id, d.metric_date, d.active_users, d.new_users,
             c.total_users + sum(d.new_users) OVER (PARTITION BY d.workspace_id ORDER BY d.metric_date) AS total_users
      FROM analytics_internal.count_users(workspace_ids, from_dates) AS c
      JOIN (SELECT s.workspace_id, s.metric_date, analytics.user_set_cardinality(s.users) AS active_users,
                   analytics.user_set_cardinality(s.new_users) AS new_users
            FROM unnest(workspace_ids, from_dates) AS w (workspace_id, from_date)
            JOIN analytics.daily_users AS s ON s.workspace_id = w.workspace_id AND s.metric_date > w.from_date) AS d
          ON d.workspace_id = c.workspace_id) AS l
WHERE t.workspace_id = l.workspace_id AND t.metric_date = l.metric_date
  AND (t.new_users, t.returning_users, t.total_users) <> (l.new_users, l.active_users - l.new_users, l.total_users)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.update_later_totals(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.update_later_totals(uuid[], date[]) IS
    'brings the counts of users of the days after the given ones up to date';

-- Reading the sets of active users.

CREATE FUNCTION analytics_internal.trailing_users(workspace_id uuid, start_date date, end_date date)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_trailing_users';
REVOKE EXECUTE ON FUNCTION analytics_internal.trailing_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.trailing_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days ending with each day from start_date to end_date, in one pass over the sets of analytics.daily_users that the caller may see; get_active_users() without bounds by the data. A NULL gives no row. Errors: dates that are infinite or not from 0001-01-01 to 9999-12-31 (22023), more than 36,525 days (54000)';

-- Tables are read by PL/pgSQL: Citus cannot plan what a function of SQL asks of them by its parameters.
CREATE FUNCTION analytics_internal.user_days(workspace_id uuid, OUT today date, OUT first_day date, OUT last_day date, OUT provisional date)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    today := analytics.workspace_today(user_days.workspace_id);
    SELECT min(d.metric_date), max(d.metric_date), min(d.metric_date) FILTER (WHERE NOT d.is_final) INTO first_day, last_day, provisional
    FROM analytics.daily_users AS d WHERE d.workspace_id = user_days.workspace_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.user_days(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_days(uuid) IS
    'days of a workspace: today, the first and the last in analytics.daily_users, and the first that is not final; NULL where there is none, or the caller sees none';

CREATE FUNCTION analytics.get_active_users(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint,
               stickiness numeric, is_final boolean)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.activity_date, t.daily_active_users, t.weekly_active_users, t.monthly_active_users,
           (100.0 * t.daily_active_users / nullif(t.monthly_active_users, 0))::numeric(5, 2),
           t.activity_date < least(w.today, w.provisional)
    FROM analytics_internal.user_days(get_active_users.workspace_id) AS w
    CROSS JOIN LATERAL analytics_internal.trailing_users(
        get_active_users.workspace_id, greatest(coalesce(start_date, w.today - 30), w.first_day),
        least(coalesce(end_date, CASE start_date WHEN w.today THEN w.today ELSE w.today - 1 END), greatest(w.last_day, w.today - 1))) AS t
    WHERE w.first_day IS NOT NULL;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_active_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_active_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days that end with each date, also with dates without an event. stickiness = 100 * daily / monthly. From the workspace''s first event to its last complete day, or to a running day that was aggregated (is_final = false). Dates inclusive, default: the last 30 complete days. NULL or a foreign workspace: no row; more than 36,525 days are an error (54000)';

CREATE FUNCTION analytics_internal.user_lifecycle(workspace_id uuid, period text, start_date date, end_date date)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_lifecycle';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_lifecycle(uuid, text, date, date) IS
    'get_lifecycle() without bounds by the data: every period that start_date to end_date touches, also those that run or are to come (is_final = false, dormant_users NULL). A NULL gives no row. Errors: an unknown period, dates that are infinite or not from 0001-01-01 to 9999-12-31 (22023), more than 36,525 days (54000)';

CREATE FUNCTION analytics.get_lifecycle(
    workspace_id uuid, period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT l.period_start, l.new_users, l.returning_users, l.resurrecting_users, l.dormant_users, l.is_final
    FROM analytics_internal.user_days(get_lifecycle.workspace_id) AS w
    CROSS JOIN LATERAL analytics_internal.user_lifecycle(
        get_lifecycle.workspace_id, get_lifecycle.period, greatest(coalesce(start_date, w.today - 30), w.first_day),
        least(coalesce(end_date, CASE start_date WHEN w.today THEN w.today ELSE w.today - 1 END), w.today)) AS l
    WHERE w.first_day IS NOT NULL;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) IS
    'new, returning, resurrecting and dormant users per daily, weekly (ISO) or monthly period. Of each period that the dates touch: users first seen in it (new), active in it and the one before (returning), active in it, not in the one before and first seen earlier (resurrecting), active in the one before only (dormant). Active = new + returning + resurrecting. is_final = false: the period runs or has provisional days, so dormant_users is NULL. Default: the periods of the last 30 complete days. NULL or a foreign workspace: no row. Errors: an unknown period (22023), more than 36,525 days (54000)';

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
      AND c.metric_date BETWEEN coalesce(start_date, today - 30) AND coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END)
    GROUP BY c.event_type, c.event_name
    ORDER BY sum(c.events) DESC, c.event_type, c.event_name;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_feature_usage(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_feature_usage(uuid, date, date) IS
    'events and distinct users per event type and name over the dates, by events descending. Dates inclusive, default: the last 30 complete days. event_name is empty where it was missing, (other) beyond the 1,000 most frequent names of a day. NULL or a foreign workspace: no row';
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
    'one row per workspace, period and cohort of users first seen in it. Written by analytics.aggregate_user_cohorts() from the daily sets, so that it outlives the raw events';
COMMENT ON COLUMN analytics.user_cohorts.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.user_cohorts.cohort_period IS
    'daily, weekly (ISO weeks) or monthly';
COMMENT ON COLUMN analytics.user_cohorts.cohort_date IS
    'first day of the period in which the users were first seen';
COMMENT ON COLUMN analytics.user_cohorts.initial_users IS
    'users of the cohort';
COMMENT ON COLUMN analytics.user_cohorts.retention_data IS
    '{"day_N": percent} (week_N, month_N): users active in the N-th period after the cohort''s. N = 0 is 100. A period that is not over is absent; N up to the settings cohort_max_days, _weeks, _months';
COMMENT ON COLUMN analytics.user_cohorts.retention_unbounded IS
    'the same of users active in the N-th period or later';
COMMENT ON COLUMN analytics.user_cohorts.churn_rate IS
    'percent of the cohort silent for the grace window (settings cohort_grace_days, _weeks, _months). 100 - unbounded retention at T - g, T the last period that is over; NULL while T <= g';
COMMENT ON COLUMN analytics.user_cohorts.avg_revenue_per_user IS
    'revenue of the cohort to date / initial_users, 2 decimals';
COMMENT ON COLUMN analytics.user_cohorts.ltv_estimate IS
    'discounted revenue expected of one user over ltv_horizon_periods. Revenue per surviving user and period times the expected lifetime by the shifted-beta-geometric model (Fader & Hardie 2007), 2 decimals; NULL where ltv_reason says why';
COMMENT ON COLUMN analytics.user_cohorts.ltv_reason IS
    'why there is no ltv_estimate; NULL when there is';
COMMENT ON COLUMN analytics.user_cohorts.is_final IS
    'whether every period of retention_data up to its limit is over. From then on maintenance computes the row again only when one of those periods has changed';
COMMENT ON COLUMN analytics.user_cohorts.counted_until IS
    'start of the period that was running when the row was written: those before it are counted';
COMMENT ON COLUMN analytics.user_cohorts.source_state IS
    'checksum of the state of the days and settings that the row was computed from. Another one means that the row is due';
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

CREATE POLICY member_reads ON analytics.user_cohorts FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.user_cohorts IS
    'members read their workspaces';

-- From the daily sets to analytics.user_cohorts.

CREATE FUNCTION analytics_internal.user_retention(
    workspace_id uuid, period text, start_date date, end_date date, today date)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint, remaining_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_retention';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_retention(uuid, text, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_retention(uuid, text, date, date, date) IS
    'of each cohort first seen in a period that start_date to end_date touches, for each period that is over today: users active in it (retained) and in it or later (remaining). One pass over the sets of analytics.daily_users that the caller may see. A NULL gives no row. Errors: an unknown period, dates that are infinite or not from 0001-01-01 to 9999-12-31 (22023); more than 36,525 days, or more than 20 million cohorts times periods up to today (54000)';

CREATE FUNCTION analytics_internal.cohort_limit(period text) RETURNS integer
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_cohort_limit';
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_limit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_limit(text) IS
    'number of the last period for which retention of daily, weekly or monthly cohorts is reported: the setting cohort_max_days, cohort_max_weeks or cohort_max_months. NULL gives NULL; an unknown period is an error (22023)';

CREATE FUNCTION analytics_internal.cohort_counts(
    workspace_id uuid, period text, start_date date, end_date date, today date, shown integer, grace integer)
RETURNS TABLE (cohort_date date, initial_users bigint, last_number integer, survivors bigint[], user_periods bigint,
               retention_data jsonb, retention_unbounded jsonb)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_cohort_counts';
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_counts(uuid, text, date, date, date, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_counts(uuid, text, date, date, date, integer, integer) IS
    'of each cohort of analytics_internal.user_retention(): the last period that is over, users active in each period or later that lies the grace window before it (survivors; NULL without one) and their sum (user_periods), and both retentions up to the period number shown as analytics.user_cohorts has them. Errors as there';

CREATE FUNCTION analytics.get_retention_matrix(
    workspace_id uuid, period text DEFAULT 'weekly', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint,
               retention_rate numeric, unbounded_rate numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT r.cohort_date, r.initial_users, r.period_number, r.retained_users,
           (100.0 * r.retained_users / r.initial_users)::numeric(5, 2),
           (100.0 * r.remaining_users / r.initial_users)::numeric(5, 2)
    FROM analytics_internal.user_days(get_retention_matrix.workspace_id) AS w
    CROSS JOIN analytics_internal.cohort_limit(get_retention_matrix.period) AS last_number
    CROSS JOIN LATERAL analytics_internal.user_retention(
        get_retention_matrix.workspace_id, get_retention_matrix.period, greatest(coalesce(start_date, w.today - 90), w.first_day),
        least(coalesce(end_date, w.today - 1), w.today), w.today) AS r
    WHERE w.first_day IS NOT NULL AND r.period_number <= last_number;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) IS
    'retention of the cohorts of the daily, weekly or monthly periods that the dates touch. A cohort is the users first seen in a period. For each later period that is over: users active in it, their percentage, and the percentage active in it or later, up to the settings cohort_max_days, _weeks, _months. Default: the last 90 days. NULL or a foreign workspace: no row. Errors: an unknown period (22023); more than 36,525 days, or more than 20 million cohorts times periods up to today (54000)';

CREATE FUNCTION analytics_internal.cohort_unit(period text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE period WHEN 'daily' THEN 'day' WHEN 'weekly' THEN 'week' WHEN 'monthly' THEN 'month' END;
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_unit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_unit(text) IS
    'day, week or month for daily, weekly or monthly; NULL for anything else';

-- What a cohort is computed from, as a checksum: the days from the cohort's first to its last reported period,
-- as far as their periods are over, and the settings. Rows that are written, changed or removed change it.
CREATE FUNCTION analytics_internal.cohort_sources(
    period text, start_date date, end_date date, workspace_ids uuid[],
    OUT workspace_id uuid, OUT cohort_date date, OUT has_users boolean, OUT counted_until date, OUT state numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    unit text := analytics_internal.cohort_unit(period);
    span interval := (analytics_internal.cohort_limit(period) || ' ' || unit)::interval;
    settings bigint := (SELECT hashtextextended(string_agg(analytics.setting(s.name), ' ' ORDER BY s.place), 0)
                        FROM unnest(ARRAY['cohort_grace_' || unit || 's', 'cohort_max_' || unit || 's',
                                          'discount_rate_annual', 'ltv_horizon_periods']) WITH ORDINALITY AS s (name, place));
BEGIN
    RETURN QUERY
    WITH workspace AS MATERIALIZED (
        SELECT w.workspace_id, date_trunc(unit, analytics.workspace_today(w.workspace_id)::timestamp)::date AS running
        FROM (SELECT DISTINCT d.workspace_id FROM analytics.daily_users AS d WHERE workspace_ids IS NULL
              UNION SELECT unnest(workspace_ids)) AS w
    ), day AS (
        SELECT d.workspace_id, date_trunc(unit, d.metric_date::timestamp)::date AS cohort_date, w.running,
               coalesce(m.new_users > 0, analytics.user_set_cardinality(d.new_users) > 0) AS has_users,
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
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_sources(text, date, date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_sources(text, date, date, uuid[]) IS
    'the periods from start_date to before end_date, both the first days of periods, that are over and in which one of the workspaces (NULL: of all) was active: whether users were first seen in it, the start of the running period, and the state of what a cohort is computed from';

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
    longest integer := analytics_internal.cohort_limit(period);
    horizon integer := analytics.setting('ltv_horizon_periods')::integer;
    discount_rate double precision := power(1 + analytics.setting('discount_rate_annual')::double precision,
                           CASE unit WHEN 'day' THEN 1 / 365.25 WHEN 'week' THEN 7 / 365.25 ELSE 1 / 12.0 END) - 1;
    written bigint;
BEGIN
    PERFORM analytics_internal.lock('rollups');

    WITH source AS MATERIALIZED (
        SELECT s.* FROM analytics_internal.cohort_sources(period, first_day, next_day,
                                                          CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END) AS s
        WHERE s.has_users AND s.cohort_date = ANY (cohort_dates)
    ), retention AS MATERIALIZED (
        SELECT w.workspace_id, c.*,
               CASE WHEN c.last_number > grace
                    THEN round(100 - 100.0 * c.survivors[c.last_number - grace + 1] / c.initial_users, 2) END AS churn_rate
        FROM (SELECT DISTINCT s.workspace_id FROM source AS s) AS w,
             LATERAL analytics_internal.cohort_counts(w.workspace_id, period, first_day, next_day - 1,
                                                      analytics.workspace_today(w.workspace_id), longest, grace) AS c
        WHERE c.cohort_date = ANY (cohort_dates)
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
    ELSIF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cells(format('SELECT analytics_internal.aggregate_user_cohorts(%L, %L, %L)', period, to_jsonb(cohort_date) #>> '{}', target_workspace_id),
                                           target_workspace_id);
    END IF;
    RETURN analytics_internal.aggregate_cohorts(
        period, ARRAY[date_trunc(analytics_internal.cohort_unit(period), cohort_date::timestamp)::date], target_workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) IS
    'does the work of analytics.aggregate_user_cohorts() as the owner, without row security';

CREATE FUNCTION analytics_internal.due_cohorts(
    workspace_ids uuid[] DEFAULT NULL, from_date date DEFAULT '-infinity',
    OUT workspace_id uuid, OUT period text, OUT cohort_dates date[])
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH start AS MATERIALIZED (
        SELECT p.period, CASE WHEN isfinite(from_date)
                              THEN (date_trunc(p.unit, from_date::timestamp) - (analytics_internal.cohort_limit(p.period) || ' ' || p.unit)::interval)::date
                              ELSE from_date END AS first_cohort
        FROM (SELECT n.period, analytics_internal.cohort_unit(n.period) AS unit
              FROM unnest('{daily,weekly,monthly}'::text[]) AS n (period)) AS p
    ), source AS (
        SELECT p.period, s.*
        FROM start AS p
        CROSS JOIN LATERAL analytics_internal.cohort_sources(p.period, p.first_cohort, 'infinity', workspace_ids) AS s
    ), cohort AS (
        SELECT u.workspace_id, u.cohort_period AS period, u.cohort_date, u.source_state, u.is_final,
               u.counted_until AS counted_before
        FROM start AS p JOIN analytics.user_cohorts AS u ON u.cohort_period = p.period AND u.cohort_date >= p.first_cohort
        WHERE workspace_ids IS NULL OR u.workspace_id = ANY (workspace_ids)
    )
    SELECT workspace_id, period, array_agg(cohort_date ORDER BY cohort_date)
    FROM source AS s FULL JOIN cohort AS c USING (workspace_id, period, cohort_date)
    WHERE CASE WHEN NOT coalesce(s.has_users, false) THEN c.counted_before IS NOT NULL
               ELSE c.counted_before IS NULL OR c.source_state <> s.state OR c.counted_before > s.counted_until -- the clock was ahead
                OR (NOT c.is_final AND c.counted_before < s.counted_until) END
    GROUP BY workspace_id, period
    ORDER BY workspace_id, period;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_cohorts(uuid[], date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_cohorts(uuid[], date) IS
    'cohorts whose row is missing, lacks a period that is over by now, was computed from days or settings that have changed, or has lost its users: of some workspaces (NULL: all), those that a change of from_date or later can have touched';

-- A day that is not over counts for no cohort; it is noted when it ends.
CREATE FUNCTION analytics_internal.enqueue_cohorts() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    basis text := (SELECT string_agg(analytics.setting(n.name), ' ' ORDER BY n.name)
                   FROM (SELECT 'discount_rate_annual' UNION ALL SELECT 'ltv_horizon_periods'
                         UNION ALL SELECT 'cohort_' || s.what || '_' || u.unit
                         FROM unnest('{max,grace}'::text[]) AS s (what), unnest('{days,weeks,months}'::text[]) AS u (unit)) AS n (name));
BEGIN
    INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date)
    SELECT w.workspace_id, 'cohorts', min(w.from_date)
    FROM (SELECT c.workspace_id, c.from_date FROM analytics_internal.read_changes('cohorts', basis, false) AS c) AS r
    CROSS JOIN LATERAL (
        SELECT r.workspace_id, r.from_date
        WHERE r.from_date < analytics.workspace_today(r.workspace_id)
        UNION ALL
        (SELECT d.workspace_id, date '-infinity' FROM analytics.daily_users AS d WHERE r.workspace_id IS NULL
         UNION SELECT u.workspace_id, date '-infinity' FROM analytics.user_cohorts AS u WHERE r.workspace_id IS NULL)) AS w
    WHERE w.workspace_id IS NOT NULL
    GROUP BY w.workspace_id
    ON CONFLICT DO NOTHING;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.enqueue_cohorts() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.enqueue_cohorts() IS
    'queues the workspaces whose days have changed or ended since the last call in analytics.pending_buckets';

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
    pending record;
    due record;
    not_done uuid[]; -- of the workspaces looked through
BEGIN
    rows := 0;
    total := 0;
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.enqueue_cohorts();
    FOR pending IN
        SELECT array_agg(p.workspace_id) AS workspace_ids, p.from_date
        FROM (SELECT w.*, (row_number() OVER (PARTITION BY w.from_date ORDER BY w.workspace_id) - 1) / 200 AS part
              FROM (SELECT q.workspace_id, min(q.metric_date) AS from_date FROM analytics.pending_buckets AS q
                    WHERE q.kind = 'cohorts' GROUP BY q.workspace_id
                    HAVING (max(q.next_attempt_at) > now()) IS NOT TRUE) AS w) AS p
        GROUP BY p.from_date, p.part ORDER BY p.from_date, p.part
    LOOP
        IF clock_timestamp() >= deadline AND rows > 0 THEN
            total := total + cardinality(pending.workspace_ids);
            CONTINUE;
        END IF;
        not_done := '{}';
        FOR due IN SELECT d.* FROM analytics_internal.due_cohorts(pending.workspace_ids, pending.from_date) AS d LOOP
            IF clock_timestamp() >= deadline AND rows > 0 THEN
                total := total + CASE WHEN due.workspace_id = ANY (not_done) THEN 0 ELSE 1 END;
                not_done := not_done || due.workspace_id;
                CONTINUE;
            END IF;
            BEGIN
                PERFORM analytics_internal.aggregate_cohorts(due.period, due.cohort_dates, due.workspace_id);
                rows := rows + cardinality(due.cohort_dates);
            EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
                RAISE WARNING 'the % cohorts of workspace % could not be computed: %', due.period, due.workspace_id, SQLERRM;
                PERFORM analytics_internal.quarantine(due.workspace_id, 'cohorts', pending.from_date, NULL, concat(SQLSTATE, ': ', SQLERRM));
                not_done := not_done || due.workspace_id;
            END;
        END LOOP;
        DELETE FROM analytics.pending_buckets AS p
        WHERE p.kind = 'cohorts' AND p.workspace_id = ANY (pending.workspace_ids) AND p.workspace_id <> ALL (not_done);
    END LOOP;
    again := total > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_due_cohorts(interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_due_cohorts(interval) IS
    'computes the rows of user_cohorts that are due since days changed or ended, workspace by workspace, until none is left or the budget is used up; rows: how many, total: workspaces left, again: whether there are any';

CREATE FUNCTION analytics.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT analytics_internal.aggregate_user_cohorts(period, cohort_date, target_workspace_id) $$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) IS
    'computes user_cohorts of the daily, weekly or monthly period that holds cohort_date. For every workspace or for one, from the daily sets and never from raw events; replaces what was there and returns the number of workspaces written. A period that is not over has no row. Another period or no date is an error (22023)';
-- Which days' rollups have changed since somebody read them: whoever computes from them computes only that anew.

CREATE TABLE analytics.rollup_changes (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    changed_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (workspace_id, metric_date, changed_by)
);
CREATE INDEX rollup_changes_changed_by ON analytics.rollup_changes (changed_by);
COMMENT ON INDEX analytics.rollup_changes_changed_by IS
    'serves: the changes since a reader''s last look, and their removal once all have seen them';
COMMENT ON INDEX analytics.rollup_changes_pkey IS
    'serves: whether a transaction has noted a day already';
ALTER TABLE analytics.rollup_changes ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE analytics.rollup_changes IS
    'days of workspaces whose rollups were changed, one row per transaction. The rollups: daily_metrics, agent_performance, daily_error_types and daily_users. Written by triggers, removed when all of analytics.change_readers have seen them';
COMMENT ON COLUMN analytics.rollup_changes.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.rollup_changes.metric_date IS
    'local day; -infinity: any of the workspace''s; infinity: none, but names of its agents';
COMMENT ON COLUMN analytics.rollup_changes.changed_by IS 'the transaction';
CREATE POLICY no_access ON analytics.rollup_changes FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.rollup_changes IS
    'for maintenance only';

CREATE TABLE analytics.change_readers (
    reader text NOT NULL,
    seen pg_snapshot NOT NULL,
    read_by xid8 NOT NULL,
    read_at timestamptz NOT NULL,
    basis text NOT NULL,
    cell uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    PRIMARY KEY (cell, reader)
);
ALTER TABLE analytics.change_readers ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE analytics.change_readers IS
    'how far each of those who compute from the rollups has read them. One that is not here, or has not read for a week, reads everything';
COMMENT ON COLUMN analytics.change_readers.reader IS 'cohorts, or the name of a materialized view';
COMMENT ON COLUMN analytics.change_readers.seen IS 'the transactions whose changes it has seen';
COMMENT ON COLUMN analytics.change_readers.read_by IS
    'the transaction in which it read. What that has changed it reads once more, as it may have changed it again';
COMMENT ON COLUMN analytics.change_readers.read_at IS 'when: days that have ended since are new to it';
COMMENT ON COLUMN analytics.change_readers.basis IS 'what else its rows depend on: another one means that it reads everything';
COMMENT ON COLUMN analytics.change_readers.cell IS
    'the nil uuid; on Citus each group of shards has rows of its own';
CREATE POLICY no_access ON analytics.change_readers FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.change_readers IS
    'for maintenance only';

-- Transactions of one cluster mean nothing in another, and views are not dumped: after a restore everything is read.
SELECT pg_catalog.pg_extension_config_dump('analytics.rollup_changes', 'WHERE false');
SELECT pg_catalog.pg_extension_config_dump('analytics.change_readers', 'WHERE false');

-- A row that moves to another day changes both. Rows of workspace_settings and agents have no day: a zone may move all,
-- a name is shown on all but changes no number.
CREATE FUNCTION analytics_internal.note_changes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
DECLARE
    day CONSTANT text := TG_ARGV[0];
    is_shard CONSTANT boolean := analytics_internal.enter_cell_beside(TG_RELID);
    rows text := CASE WHEN TG_OP = 'TRUNCATE' THEN format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME)
                      WHEN TG_OP <> 'UPDATE' THEN 'changed'
                      ELSE '(TABLE changed UNION ALL TABLE changed_before)' END;
BEGIN
    EXECUTE format('INSERT INTO analytics.rollup_changes (workspace_id, metric_date)
                    SELECT DISTINCT c.workspace_id, %s FROM %s AS c ON CONFLICT DO NOTHING', day, rows);
    PERFORM analytics_internal.enter_cell(NULL, true) WHERE is_shard;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.note_changes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.note_changes() IS
    'statement trigger of the rollups, workspace_settings and agents: notes the days that were changed in analytics.rollup_changes';

-- Always, so that restores and what sets session_replication_role are noted too. A subscription notes its first copy
-- and TRUNCATE only: PostgreSQL fires no statement triggers for the rows that it applies later (doc/operations.md).
DO $$
DECLARE
    name text;
    event text;
    tables text;
BEGIN
    FOREACH name IN ARRAY '{daily_metrics,agent_performance,daily_error_types,daily_users,workspace_settings,agents}'::text[] LOOP
        FOR event, tables IN
            VALUES ('INSERT', 'REFERENCING NEW TABLE AS changed'), ('DELETE', 'REFERENCING OLD TABLE AS changed'),
                   ('UPDATE', 'REFERENCING NEW TABLE AS changed OLD TABLE AS changed_before'), ('TRUNCATE', '')
        LOOP
            EXECUTE format('CREATE TRIGGER note_%s %s %s ON analytics.%I %s FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_changes(%L)',
                           lower(event), CASE event WHEN 'TRUNCATE' THEN 'BEFORE' ELSE 'AFTER' END, event, name, tables,
                           CASE name WHEN 'workspace_settings' THEN 'date ''-infinity''' WHEN 'agents' THEN 'date ''infinity''' ELSE 'c.metric_date' END);
            EXECUTE format('ALTER TABLE analytics.%I ENABLE ALWAYS TRIGGER note_%s', name, lower(event));
            EXECUTE format('COMMENT ON TRIGGER note_%s ON analytics.%I IS %L', lower(event), name, 'notes the days in analytics.rollup_changes');
        END LOOP;
    END LOOP;
END
$$;

-- Whatever day has ended for a workspace since an instant: the first of them. Nobody's, as long as no zone's day has.
CREATE FUNCTION analytics_internal.ended_days(since timestamptz, OUT workspace_id uuid, OUT metric_date date) RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT 'UTC' UNION SELECT analytics_internal.zones_in_force(since)
                            UNION SELECT analytics_internal.zones_in_force(now())) AS z (name)
               WHERE (since AT TIME ZONE z.name)::date <> (now() AT TIME ZONE z.name)::date) THEN
        RETURN QUERY
        SELECT w.workspace_id, least(b.today, w.last_date + 1)
        FROM analytics_internal.last_complete_days() AS w
        LEFT JOIN analytics_internal.todays(since) AS t ON t.workspace_id = w.workspace_id
        CROSS JOIN LATERAL (SELECT coalesce(t.today, (SELECT analytics.workspace_today(NULL, since))) AS today) AS b
        WHERE b.today <> w.last_date + 1;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ended_days(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ended_days(timestamptz) IS
    'workspaces whose today is another one than at an instant, and the earlier of the two days';

-- One snapshot tells what was read and what was seen, so that no change falls between two readings.
CREATE FUNCTION analytics_internal.read_changes(reader text, basis text, with_names boolean, OUT workspace_id uuid, OUT from_date date) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    known analytics.change_readers;
    -- A cell may move to another server, where transactions have other numbers.
    known_basis CONSTANT text := read_changes.basis || CASE WHEN analytics_internal.cell_key() > 0 THEN ' ' || (SELECT c.system_identifier FROM pg_control_system() AS c) ELSE '' END;
BEGIN
    DELETE FROM analytics.change_readers AS r WHERE r.read_at < now() - interval '7 days';
    SELECT * INTO known FROM analytics.change_readers AS r
    WHERE r.reader = read_changes.reader AND r.basis = known_basis;
    RETURN QUERY
    WITH moved AS (
        INSERT INTO analytics.change_readers AS r (cell, reader, seen, read_by, read_at, basis)
        VALUES (coalesce(analytics_internal.watermark_key(), '00000000-0000-0000-0000-000000000000'), read_changes.reader, pg_current_snapshot(), pg_current_xact_id(), now(), known_basis)
        ON CONFLICT (cell, reader) DO UPDATE
        SET seen = EXCLUDED.seen, read_by = EXCLUDED.read_by, read_at = EXCLUDED.read_at, basis = EXCLUDED.basis
    )
    SELECT NULL::uuid, date '-infinity' WHERE known.reader IS NULL
    UNION ALL
    SELECT c.workspace_id, min(c.metric_date)
    FROM (SELECT n.workspace_id, CASE WHEN n.metric_date < 'infinity' THEN n.metric_date ELSE '-infinity' END AS metric_date
          FROM analytics.rollup_changes AS n
          WHERE (with_names OR n.metric_date < 'infinity') AND n.changed_by >= pg_snapshot_xmin(known.seen)
            AND (n.changed_by = known.read_by OR NOT pg_visible_in_snapshot(n.changed_by, known.seen))
          UNION ALL
          SELECT e.workspace_id, e.metric_date FROM analytics_internal.ended_days(known.read_at) AS e) AS c
    WHERE known.reader IS NOT NULL
    GROUP BY c.workspace_id;
    DELETE FROM analytics.rollup_changes AS n
    WHERE n.changed_by < (SELECT min(pg_snapshot_xmin(r.seen)) FROM analytics.change_readers AS r);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.read_changes(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.read_changes(text, text, boolean) IS
    'the workspaces whose rollups have changed, or whose day has ended, since the reader last asked, and the first day of each; one row with NULL: everything is new to it. with_names: also where names of agents have, -infinity. What it has read it need not ask for again';
-- Finalization: how far rollups are final, and what changed before that. A bucket becomes final in three transactions
-- (advance_watermark): the pending watermark moves and is committed; a transaction id is taken; once every older
-- transaction has ended, all that had not seen the watermark have ended, so their events are counted, and every later
-- one notes what it changes.

CREATE TABLE analytics.watermark (
    id smallint NOT NULL DEFAULT 1,
    marked_until timestamptz NOT NULL,
    marked_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    closing_xid xid8,
    closed_until timestamptz NOT NULL DEFAULT '-infinity',
    cell uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    PRIMARY KEY (cell, id),
    CONSTRAINT watermark_one_row CHECK (id = 1),
    CONSTRAINT watermark_order CHECK (closed_until <= marked_until)
);
ALTER TABLE analytics.watermark ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.watermark', '');
COMMENT ON TABLE analytics.watermark IS
    'one row, made by the first maintenance: how far rollups are final. Delete it to have everything aggregated again';
COMMENT ON COLUMN analytics.watermark.id IS 'always 1';
COMMENT ON COLUMN analytics.watermark.cell IS
    'the nil uuid; on Citus each group of shards has a row of its own, under a uuid of its own';
COMMENT ON CONSTRAINT watermark_one_row ON analytics.watermark IS 'there is one watermark';
COMMENT ON CONSTRAINT watermark_order ON analytics.watermark IS 'the final watermark is not ahead of the pending one';
COMMENT ON COLUMN analytics.watermark.marked_until IS
    'pending watermark: changes of events before it are noted in analytics.dirty_hours';
COMMENT ON COLUMN analytics.watermark.marked_by IS
    'transaction that moved marked_until; the next phase needs another one';
COMMENT ON COLUMN analytics.watermark.closing_xid IS
    'transaction id taken after marked_until was committed. When all older transactions have ended, every event before marked_until is visible or noted. NULL: not taken yet';
COMMENT ON COLUMN analytics.watermark.closed_until IS
    'final watermark: hours and local days that ended by it are final, except those in analytics.dirty_hours';

-- Append-only, so that no writer ever waits for another or for the repair.
CREATE TABLE analytics.dirty_hours (
    workspace_id uuid NOT NULL,
    metric_hour timestamptz NOT NULL,
    removed bigint NOT NULL DEFAULT 0,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    noted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_hour, id)
);
CREATE INDEX dirty_hours_metric_hour ON analytics.dirty_hours (metric_hour);
COMMENT ON INDEX analytics.dirty_hours_metric_hour IS
    'serves: the newest dirty hour, ORDER BY metric_hour DESC LIMIT 1, and those of one day';
ALTER TABLE analytics.dirty_hours ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.dirty_hours', '');
COMMENT ON TABLE analytics.dirty_hours IS
    'invalidation log: hours whose events changed after the pending watermark had passed them. Their rollups are computed again. An hour may be noted several times';
COMMENT ON COLUMN analytics.dirty_hours.workspace_id IS 'workspace of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.metric_hour IS 'start of the UTC hour of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.removed IS
    'events that were deleted or moved out of the hour. Of a statement that removes many, up to an eighth more';
COMMENT ON COLUMN analytics.dirty_hours.id IS 'makes the entry unique without a sequence';
COMMENT ON COLUMN analytics.dirty_hours.noted_at IS 'start of the transaction that changed the event';

-- The queue. enqueue_repairs(), enqueue_cohorts() and the aggregation add to it, repair_next() and
-- aggregate_due_cohorts() take from it, quarantine() puts back what failed.
CREATE TABLE analytics.pending_buckets (
    workspace_id uuid NOT NULL,
    kind text NOT NULL,
    metric_date date NOT NULL,
    turn bigint,
    noted_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    error text,
    last_failed_at timestamptz,
    next_attempt_at timestamptz,
    day_start timestamptz,
    day_end timestamptz,
    PRIMARY KEY (workspace_id, kind, metric_date),
    CONSTRAINT pending_buckets_kind CHECK (kind IN ('day', 'totals', 'cohorts')),
    CONSTRAINT pending_buckets_failure CHECK ((attempts > 0) = (next_attempt_at IS NOT NULL))
);
CREATE INDEX pending_buckets_turn ON analytics.pending_buckets (kind, turn, noted_at, metric_date DESC);
COMMENT ON INDEX analytics.pending_buckets_turn IS
    'serves: the day whose turn it is, and whether anything of a kind is pending';
CREATE INDEX pending_buckets_metric_date ON analytics.pending_buckets (metric_date) WHERE turn IS NOT NULL;
COMMENT ON INDEX analytics.pending_buckets_metric_date IS
    'serves: whether a day is pending for many workspaces';
CREATE INDEX pending_buckets_failed ON analytics.pending_buckets (day_start) WHERE attempts > 0;
COMMENT ON INDEX analytics.pending_buckets_failed IS
    'serves: failed days, WHERE attempts > 0';
ALTER TABLE analytics.pending_buckets ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.pending_buckets', '');
COMMENT ON TABLE analytics.pending_buckets IS
    'the queue of maintenance: what is to be computed again. Workspaces take turns. A day that fails (attempts > 0) is quarantined, so that no other day waits for it, and tried again after a minute, two, four and so on up to a day, or at once by analytics.retry_failed_days()';
COMMENT ON COLUMN analytics.pending_buckets.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.pending_buckets.kind IS
    'day: its hours in analytics.dirty_hours, and the day; totals: new_users, returning_users and total_users of later days, once no day of the workspace is pending; cohorts: those that a change of this day or a later one can touch';
COMMENT ON COLUMN analytics.pending_buckets.metric_date IS
    'local day of the workspace; of cohorts -infinity: any';
COMMENT ON COLUMN analytics.pending_buckets.turn IS
    'of a day: one more for each day of a workspace. A day that comes while a turn is under way gets the next one, so each turn ends. NULL: of another kind, or it failed and is not due';
COMMENT ON COLUMN analytics.pending_buckets.noted_at IS 'when the first of the changes was noted, or the first attempt failed';
COMMENT ON COLUMN analytics.pending_buckets.attempts IS 'attempts that failed; of a day: the day itself or one of its hours';
COMMENT ON COLUMN analytics.pending_buckets.error IS 'SQLSTATE and message of the last failed attempt';
COMMENT ON COLUMN analytics.pending_buckets.last_failed_at IS 'when the last attempt failed';
COMMENT ON COLUMN analytics.pending_buckets.next_attempt_at IS 'not tried again before this instant; NULL: nothing has failed';
COMMENT ON COLUMN analytics.pending_buckets.day_start IS 'start of a day that failed';
COMMENT ON COLUMN analytics.pending_buckets.day_end IS 'end of a day that failed';
COMMENT ON CONSTRAINT pending_buckets_kind ON analytics.pending_buckets IS 'what can be pending';
COMMENT ON CONSTRAINT pending_buckets_failure ON analytics.pending_buckets IS 'what failed has a time for its next attempt';

CREATE TABLE analytics.closed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT now(),
    grown_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.closed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.closed_days', '');
CREATE INDEX closed_days_event_day ON analytics.closed_days (event_day);
COMMENT ON INDEX analytics.closed_days_event_day IS
    'serves: the events of an expired day, WHERE event_day = ...';
COMMENT ON TABLE analytics.closed_days IS
    'events of each workspace and final UTC day, counted when the day became final and at each repair. A rollup is not recomputed from fewer events than are known here, and cleanup need not count what it drops. A final day without a row here has total_events of analytics.daily_metrics as its known number; analytics.settle_day(day, ''recount'') has its rollups computed from the events that are there';
COMMENT ON COLUMN analytics.closed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.closed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.closed_days.events IS
    'its events in analytics.user_activity, plus those whose deletion is noted in analytics.dirty_hours';
COMMENT ON COLUMN analytics.closed_days.counted_at IS 'start of the transaction that counted them last';
COMMENT ON COLUMN analytics.closed_days.grown_at IS 'start of the last transaction that counted more than before';

CREATE TABLE analytics.sealed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    missing bigint NOT NULL DEFAULT 0,
    kept_events bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.sealed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.sealed_days', '');
CREATE INDEX sealed_days_event_day ON analytics.sealed_days (event_day);
COMMENT ON INDEX analytics.sealed_days_event_day IS
    'serves: is a bucket frozen for any workspace, WHERE event_day BETWEEN ... AND ...';
CREATE INDEX sealed_days_unsettled ON analytics.sealed_days (event_day) WHERE missing > 0 OR kept_events > 0;
COMMENT ON INDEX analytics.sealed_days_unsettled IS
    'serves: days that wait for a decision, WHERE missing > 0 OR kept_events > 0';
COMMENT ON TABLE analytics.sealed_days IS
    'frozen days: retention has removed events of theirs, or events are missing. Their rollups can no longer be computed and are not overwritten';
COMMENT ON COLUMN analytics.sealed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.sealed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.sealed_days.events IS
    'events of the workspace that retention removed from the day, or that were missing when the day expired';
COMMENT ON COLUMN analytics.sealed_days.sealed_at IS 'when the row was made or last changed';
COMMENT ON COLUMN analytics.sealed_days.missing IS
    'events that the rollups count but that are gone, and neither retention nor a noted deletion removed them';
COMMENT ON COLUMN analytics.sealed_days.kept_events IS
    'events of the day in analytics.user_activity that the rollups do not count or (where some are missing) may not count; cleanup keeps them';

CREATE POLICY no_access ON analytics.watermark FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.watermark IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.dirty_hours FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.dirty_hours IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.pending_buckets FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.pending_buckets IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.closed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.closed_days IS
    'for maintenance only';
CREATE POLICY no_access ON analytics.sealed_days FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.sealed_days IS
    'for maintenance only';

CREATE FUNCTION analytics_internal.advance_watermark(mark timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    w analytics.watermark;
BEGIN
    SELECT * INTO w FROM analytics.watermark FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO analytics.watermark (cell, marked_until)
        SELECT k.key, mark FROM analytics_internal.watermark_key() AS k (key) WHERE k.key IS NOT NULL ON CONFLICT DO NOTHING;
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
    'one phase of finalizing what ended by mark, each in its own transaction: idle (nothing to finalize), marked, taken (the transaction id), waiting (for older transactions), ready (buckets up to marked_until may be finalized)';

-- A minute behind the clock, so that events on their way are not taken for late ones.
CREATE FUNCTION analytics_internal.next_mark() RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT date_trunc('hour', now() - interval '1 minute', 'UTC') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.next_mark() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.next_mark() IS 'the instant up to which buckets may be finalized now';

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
    'whether a UTC day between the instants is frozen, for the workspace or (NULL) for any';

-- Known events against present ones, in one snapshot: a deletion and its note are seen together.
CREATE FUNCTION analytics_internal.compare_day(
    day date, workspaces uuid[], OUT workspace_id uuid, OUT known bigint, OUT present bigint, OUT removed bigint, OUT is_expired boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- one partition, and some workspaces or all
AS $$
BEGIN
    RETURN QUERY
    SELECT COALESCE(p.workspace_id, c.workspace_id, s.workspace_id), c.events, COALESCE(p.events, 0), COALESCE(r.events, 0),
           COALESCE(s.events, 0) > 0
    FROM (SELECT e.workspace_id, count(*) AS events FROM analytics.user_activity AS e
          WHERE e.created_at >= day::timestamp AT TIME ZONE 'UTC' AND e.created_at < (day + 1)::timestamp AT TIME ZONE 'UTC'
            AND (workspaces IS NULL OR e.workspace_id = ANY (workspaces))
          GROUP BY e.workspace_id) AS p
    FULL JOIN (SELECT d.workspace_id, d.events FROM analytics.closed_days AS d
               WHERE d.event_day = day AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))) AS c
        ON c.workspace_id = p.workspace_id
    FULL JOIN (SELECT d.workspace_id, d.events FROM analytics.sealed_days AS d
               WHERE d.event_day = day AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))) AS s
        ON s.workspace_id = COALESCE(p.workspace_id, c.workspace_id)
    LEFT JOIN (SELECT d.workspace_id, sum(d.removed)::bigint AS events FROM analytics.dirty_hours AS d
               WHERE d.metric_hour >= day::timestamp AT TIME ZONE 'UTC' AND d.metric_hour < (day + 1)::timestamp AT TIME ZONE 'UTC'
                 AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))
               GROUP BY d.workspace_id) AS r
        ON r.workspace_id = COALESCE(p.workspace_id, c.workspace_id, s.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.compare_day(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.compare_day(date, uuid[]) IS
    'events of a UTC day, of some workspaces or (NULL) of all: known (NULL: never counted), present, removed by changes that are not repaired yet, and whether retention removed some';

-- Of rollups that came without their events, or whose count was lost, the rollup tells how many there were. Before
-- the mark deletions are not noted, so there nothing is known. What is missing of a local day is missing of the UTC
-- day of the same date.
CREATE FUNCTION analytics_internal.adopt_uncounted(day date, workspaces uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- three partitions
AS $$
BEGIN
    -- Materialized, or the bounds may be asked for with each event.
    WITH rollup AS MATERIALIZED (
        SELECT m.workspace_id, m.total_events, b.day_start, b.day_end
        FROM analytics.daily_metrics AS m
        CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(m.workspace_id, m.metric_date) AS b
        WHERE m.metric_date = adopt_uncounted.day AND m.workspace_id = ANY (workspaces)
    )
    INSERT INTO analytics.closed_days (workspace_id, event_day, events, counted_at, grown_at)
    SELECT c.workspace_id, day, c.present + c.removed + greatest(c.lost, 0), '-infinity', CASE WHEN c.present > 0 THEN now() ELSE '-infinity' END
    FROM (SELECT m.workspace_id,
                 COALESCE(sum(e.n) FILTER (WHERE e.day = adopt_uncounted.day AND NOT e.is_removed), 0) AS present,
                 COALESCE(sum(e.n) FILTER (WHERE e.day = adopt_uncounted.day AND e.is_removed), 0) AS removed,
                 m.total_events - COALESCE(sum(e.n) FILTER (WHERE e.is_local), 0) AS lost,
                 (m.day_start AT TIME ZONE 'UTC')::date::timestamp AS first_day, m.day_end AT TIME ZONE 'UTC' - interval '1 microsecond' AS last_day
          FROM rollup AS m
          LEFT JOIN (SELECT a.workspace_id, a.created_at AS at, 1 AS n, false AS is_removed FROM analytics.user_activity AS a
                     WHERE a.workspace_id = ANY (workspaces)
                       AND a.created_at >= (day - 1)::timestamp AT TIME ZONE 'UTC' AND a.created_at < (day + 2)::timestamp AT TIME ZONE 'UTC'
                     UNION ALL
                     SELECT d.workspace_id, d.metric_hour, d.removed, true FROM analytics.dirty_hours AS d
                     WHERE d.workspace_id = ANY (workspaces) AND d.removed > 0
                       AND d.metric_hour >= (day - 1)::timestamp AT TIME ZONE 'UTC' AND d.metric_hour < (day + 2)::timestamp AT TIME ZONE 'UTC')
              AS r ON r.workspace_id = m.workspace_id
          CROSS JOIN LATERAL (SELECT (r.at AT TIME ZONE 'UTC')::date AS day, r.n, r.is_removed,
                                     r.at >= m.day_start AND r.at < m.day_end AS is_local) AS e
          GROUP BY m.workspace_id, m.total_events, m.day_start, m.day_end) AS c
    -- With nothing, too: then a deletion that is being repaired is not taken for a loss.
    WHERE c.lost <= 0 OR NOT EXISTS ( -- another UTC day of it is known to lack events
          SELECT FROM generate_series(c.first_day, c.last_day, interval '1 day') AS n, analytics_internal.compare_day(n::date, ARRAY[c.workspace_id]) AS o
          WHERE o.known - o.removed > o.present);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.adopt_uncounted(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.adopt_uncounted(date, uuid[]) IS
    'does the work of adopt_day() for workspaces that have such a rollup';

CREATE FUNCTION analytics_internal.adopt_day(day date, workspaces uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    uncounted CONSTANT uuid[] := ARRAY(
        SELECT m.workspace_id
        -- Nearly always none: OFFSET keeps what asks for each workspace until then.
        FROM (SELECT d.workspace_id FROM analytics.daily_metrics AS d
              WHERE d.metric_date = day AND d.is_final AND d.total_events > 0 AND (workspaces IS NULL OR d.workspace_id = ANY (workspaces))
                AND NOT EXISTS (SELECT FROM analytics.closed_days AS c WHERE c.workspace_id = d.workspace_id AND c.event_day = day)
              OFFSET 0) AS m
        CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(m.workspace_id, day) AS b
        CROSS JOIN analytics.watermark AS w
        WHERE b.day_end <= w.marked_until AND NOT analytics_internal.is_sealed(m.workspace_id, b.day_start, b.day_end));
BEGIN
    IF uncounted <> '{}' THEN
        PERFORM analytics_internal.adopt_uncounted(day, uncounted);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.adopt_day(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.adopt_day(date, uuid[]) IS
    'enters into analytics.closed_days what final rollups of a day, of some workspaces or (NULL) of all, say about days that were never counted';

CREATE FUNCTION analytics_internal.count_day(day date, workspaces uuid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.adopt_day(day, workspaces);
    WITH compared AS MATERIALIZED (
        SELECT c.workspace_id, c.known, c.present + c.removed AS events, c.is_expired,
               greatest(COALESCE(c.known, 0) - c.removed - c.present, 0) AS missing,
               CASE WHEN COALESCE(c.known, 0) - c.removed > c.present THEN c.present
                    WHEN c.is_expired THEN c.present - greatest(COALESCE(c.known, 0) - c.removed, 0)
                    ELSE 0 END AS kept_events
        FROM analytics_internal.compare_day(day, workspaces) AS c
    ), sealed AS (
        INSERT INTO analytics.sealed_days AS s (workspace_id, event_day, events, missing, kept_events)
        SELECT c.workspace_id, day, 0, c.missing, c.kept_events FROM compared AS c WHERE c.is_expired OR c.missing > 0
        ON CONFLICT (workspace_id, event_day) DO UPDATE
        SET missing = EXCLUDED.missing, kept_events = EXCLUDED.kept_events, sealed_at = now()
        WHERE (s.missing, s.kept_events) <> (EXCLUDED.missing, EXCLUDED.kept_events)
    ), unsealed AS ( -- the missing events are back
        DELETE FROM analytics.sealed_days AS s USING compared AS c
        WHERE s.workspace_id = c.workspace_id AND s.event_day = day AND NOT c.is_expired AND c.missing = 0
    ), gone AS (
        DELETE FROM analytics.closed_days AS d USING compared AS c
        WHERE d.workspace_id = c.workspace_id AND d.event_day = day AND NOT c.is_expired AND c.missing = 0 AND c.events = 0
          AND NOT EXISTS (SELECT FROM analytics.daily_metrics AS m WHERE m.workspace_id = d.workspace_id AND m.metric_date = day)
    )
    INSERT INTO analytics.closed_days AS d (workspace_id, event_day, events)
    SELECT c.workspace_id, day, CASE WHEN c.is_expired OR c.missing > 0 THEN c.known ELSE c.events END
    FROM compared AS c
    WHERE CASE WHEN c.is_expired OR c.missing > 0 THEN c.known IS NOT NULL ELSE c.events > 0 END
    ON CONFLICT (workspace_id, event_day) DO UPDATE
    SET events = EXCLUDED.events, counted_at = now(),
        grown_at = CASE WHEN EXCLUDED.events > d.events THEN now() ELSE d.grown_at END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_day(date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_day(date, uuid[]) IS
    'counts the events of a UTC day, of some workspaces or (NULL) of all, into analytics.closed_days. Freezes the day where fewer are present than known, and releases it where they are back';

-- A local day contains events of the neighbouring UTC days where the workspace has a time zone of its own.
CREATE FUNCTION analytics_internal.days_to_compare(
    day date, hour timestamptz, target_workspace_id uuid, OUT event_day date, OUT workspaces uuid[])
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.event_day, array_agg(c.workspace_id)
FROM analytics.closed_days AS c
WHERE c.counted_at < now() AND (target_workspace_id IS NULL OR c.workspace_id = target_workspace_id)
  AND (c.event_day = COALESCE(day, (hour AT TIME ZONE 'UTC')::date)
       OR c.event_day IN (day - 1, day + 1)
          AND c.workspace_id IN (SELECT s.workspace_id FROM analytics.workspace_settings AS s))
GROUP BY c.event_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.days_to_compare(date, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.days_to_compare(date, timestamptz, uuid) IS
    'UTC days whose events were counted, but not in this transaction, and that a local day or (day NULL) an hour contains events of, with their workspaces';

CREATE FUNCTION analytics_internal.missing_events(
    day date, hour timestamptz, target_workspace_id uuid, neighbours_only boolean,
    OUT workspace_id uuid, OUT event_day date, OUT known bigint, OUT present bigint)
RETURNS SETOF record
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT analytics_internal.adopt_day(COALESCE(day, (hour AT TIME ZONE 'UTC')::date),
                                    CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END);
SELECT c.workspace_id, d.event_day, c.known - c.removed, c.present
FROM analytics_internal.days_to_compare(day, hour, target_workspace_id) AS d, analytics_internal.compare_day(d.event_day, d.workspaces) AS c
WHERE c.known - c.removed > c.present AND NOT (neighbours_only AND d.event_day = day)
ORDER BY d.event_day, c.workspace_id
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.missing_events(date, timestamptz, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.missing_events(date, timestamptz, uuid, boolean) IS
    'where fewer events are there than are known to be: UTC days that a local day or (day NULL) an hour contains events of; but for those counted in this transaction and, if neighbours_only, for the day itself, whose events the aggregation counts';

CREATE FUNCTION analytics_internal.bucket_workspaces(day date, hour timestamptz) RETURNS SETOF uuid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT e.workspace_id FROM analytics.user_activity AS e
WHERE e.created_at >= COALESCE(hour, (day - 1)::timestamp AT TIME ZONE 'UTC')
  AND e.created_at < COALESCE(hour + interval '1 hour', (day + 2)::timestamp AT TIME ZONE 'UTC')
UNION SELECT d.workspace_id FROM analytics.daily_metrics AS d WHERE d.metric_date = day
UNION SELECT h.workspace_id FROM analytics.hourly_metrics AS h WHERE h.metric_hour = hour
ORDER BY 1
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.bucket_workspaces(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.bucket_workspaces(date, timestamptz) IS
    'workspaces with a rollup of a local day or (day NULL) an hour, or perhaps events';

-- Aggregates a bucket of one workspace, or of all; what is frozen is left as it is.
CREATE FUNCTION analytics_internal.aggregate_unsealed(
    day date, hour timestamptz, target_workspace_id uuid, is_repair boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    id uuid;
    from_time timestamptz := COALESCE(hour, (day - 1)::timestamp AT TIME ZONE 'UTC');
    to_time timestamptz := COALESCE(hour + interval '1 hour', (day + 2)::timestamp AT TIME ZONE 'UTC');
BEGIN
    -- Older hours would only be made to be removed.
    IF hour < now() - analytics_internal.retention('hourly_metrics') THEN
        RETURN 0;
    END IF;
    PERFORM analytics_internal.adopt_day(COALESCE(day, (hour AT TIME ZONE 'UTC')::date), CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END);
    PERFORM analytics_internal.count_day(c.event_day, c.workspaces)
    FROM analytics_internal.days_to_compare(day, hour, target_workspace_id) AS c;
    IF day IS NOT NULL AND target_workspace_id IS NOT NULL THEN
        SELECT b.day_start, b.day_end INTO from_time, to_time
        FROM analytics_internal.workspace_day_bounds(target_workspace_id, day) AS b;
    END IF;
    IF from_time IS NULL THEN -- a day that a change of zone left out
        RETURN 0;
    ELSIF NOT analytics_internal.is_sealed(target_workspace_id, from_time, to_time) THEN
        IF day IS NULL THEN
            RETURN analytics_internal.aggregate_hourly_metrics(hour, target_workspace_id);
        END IF;
        RETURN analytics_internal.aggregate_daily_metrics(day, target_workspace_id, is_repair);
    ELSIF target_workspace_id IS NULL THEN
        FOR id IN SELECT w.* FROM analytics_internal.bucket_workspaces(day, hour) AS w LOOP
            written := written + analytics_internal.aggregate_unsealed(day, hour, id, is_repair);
        END LOOP;
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_unsealed(date, timestamptz, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_unsealed(date, timestamptz, uuid, boolean) IS
    'aggregates a local day or (day NULL) an hour for the workspaces that are not frozen there. The number written. Hours past their retention are left. is_repair: as in aggregate_daily_metrics()';

-- A call for all workspaces does all the others, rather than fail.
CREATE FUNCTION analytics_internal.aggregate_despite_missing(day date, hour timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first_day date := COALESCE(day - 1, (hour AT TIME ZONE 'UTC')::date);
    last_day date := COALESCE(day + 1, (hour AT TIME ZONE 'UTC')::date);
BEGIN
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.count_day(c.event_day, c.workspaces)
    FROM analytics_internal.days_to_compare(day, hour, NULL) AS c WHERE c.event_day IS DISTINCT FROM day;
    IF day IS NOT NULL
        AND NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.missing > 0 AND s.event_day BETWEEN first_day AND last_day) THEN
        BEGIN -- which counts the day's events as it reads them
            RETURN analytics_internal.aggregate_daily_metrics(day, NULL);
        EXCEPTION WHEN object_not_in_prerequisite_state THEN -- some are missing
        END;
    END IF;
    PERFORM analytics_internal.count_day(c.event_day, c.workspaces)
    FROM analytics_internal.days_to_compare(day, NULL, NULL) AS c WHERE c.event_day = day;
    IF NOT EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.missing > 0 AND s.event_day BETWEEN first_day AND last_day) THEN
        RETURN NULL;
    END IF;
    RAISE WARNING 'workspaces whose events are missing were left as they are'
        USING HINT = 'See analytics.health().';
    RETURN analytics_internal.aggregate_unsealed(day, hour, NULL);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_despite_missing(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_despite_missing(date, timestamptz) IS
    'aggregates a local day or (day NULL) an hour of all workspaces except those whose events are missing, for which it warns. NULL: it could not, or need not, as no event of an hour is missing; the caller aggregates then';

-- Where the data of one workspace cause the error, the others are aggregated. A full disk, a lock, a shutdown or a
-- serialization failure concern all: the whole step fails and is tried again.
CREATE FUNCTION analytics_internal.is_fault_of_data(state text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT state !~ '^(25|40|57|58)' AND state NOT IN ('53100', '53300', '53400', '55006', '55P03') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_fault_of_data(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_fault_of_data(text) IS
    'whether an error of this SQLSTATE may concern a single bucket. Otherwise other buckets would fail too';

CREATE FUNCTION analytics_internal.quarantine(
    target_workspace_id uuid, kind text, day date, hour timestamptz, reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    failed record;
BEGIN
    SELECT b.day_start, b.day_end INTO failed
    FROM analytics_internal.workspace_day_bounds(target_workspace_id, day) AS b WHERE quarantine.kind = 'day';
    INSERT INTO analytics.pending_buckets AS p
        (workspace_id, kind, metric_date, attempts, error, last_failed_at, next_attempt_at, day_start, day_end)
    VALUES (target_workspace_id, quarantine.kind, day, 1, reason, now(), now() + interval '1 minute', failed.day_start, failed.day_end)
    ON CONFLICT (workspace_id, kind, metric_date) DO UPDATE
    SET turn = NULL, attempts = p.attempts + 1, error = EXCLUDED.error, last_failed_at = now(),
        next_attempt_at = now() + least(interval '1 minute' * 2 ^ least(p.attempts, 11), interval '1 day'),
        day_start = EXCLUDED.day_start, day_end = EXCLUDED.day_end
    WHERE (p.last_failed_at >= now()) IS NOT TRUE; -- the day and several of its hours are one attempt
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT target_workspace_id, d.metric_hour
    FROM (SELECT COALESCE(hour, date_trunc('hour', failed.day_start + interval '1 hour' - interval '1 microsecond', 'UTC')) AS metric_hour) AS d
    WHERE d.metric_hour < (SELECT w.marked_until FROM analytics.watermark AS w)
      AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS n
                      WHERE n.workspace_id = target_workspace_id AND n.metric_hour = d.metric_hour);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.quarantine(uuid, text, date, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.quarantine(uuid, text, date, timestamptz, text) IS
    'notes in analytics.pending_buckets that a bucket could not be computed and when it is tried again. Of a closed day, or its hour, also in analytics.dirty_hours, so that repair has it again';

CREATE FUNCTION analytics_internal.try_aggregate(day date, hour timestamptz, target_workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint := 0;
    reason text;
    id uuid;
BEGIN
    BEGIN
        RETURN analytics_internal.aggregate_unsealed(day, hour, target_workspace_id);
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
        reason := concat(SQLSTATE, ': ', SQLERRM);
    END;
    IF target_workspace_id IS NOT NULL THEN
        PERFORM analytics_internal.quarantine(target_workspace_id, 'day',
                                              COALESCE(day, analytics.workspace_today(target_workspace_id, hour)), hour, reason);
        RETURN 0;
    END IF;
    FOR id IN SELECT w.* FROM analytics_internal.bucket_workspaces(day, hour) AS w LOOP
        written := written + analytics_internal.try_aggregate(day, hour, id);
    END LOOP;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_aggregate(date, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_aggregate(date, timestamptz, uuid) IS
    'aggregates a local day or (day NULL) an hour, of one workspace or of all, except where it is frozen. If all workspaces together fail, one after the other; one that fails is quarantined. Returns the number of workspaces written';

-- Entries are taken before the events are read, so an entry that comes meanwhile stays for the next repair. When events
-- of many workspaces have changed, as after an import, a scan of the whole day does it at once.
CREATE FUNCTION analytics_internal.repair_day(target_workspace_id uuid, day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- one workspace or all
AS $$
DECLARE
    day_start timestamptz := day::timestamp AT TIME ZONE 'UTC';
    day_end timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    repaired bigint;
    hours timestamptz[];
    days date[];
    hour timestamptz;
    other_day date;
BEGIN
    IF target_workspace_id IS NOT NULL THEN
        SELECT b.day_start, b.day_end INTO day_start, day_end
        FROM analytics_internal.workspace_day_bounds(target_workspace_id, day) AS b;
    END IF;
    PERFORM analytics_internal.adopt_day(day + n, CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END)
    FROM generate_series(-1, 1) AS n;
    DELETE FROM analytics.pending_buckets AS p
    WHERE p.kind = 'day' AND p.metric_date = day
      AND CASE WHEN target_workspace_id IS NOT NULL THEN p.workspace_id = target_workspace_id
               ELSE NOT EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = p.workspace_id) END;
    WITH taken AS (
        DELETE FROM analytics.dirty_hours AS d
        WHERE (target_workspace_id IS NULL OR d.workspace_id = target_workspace_id)
          AND d.metric_hour > day_start - interval '1 hour' AND d.metric_hour < day_end
        RETURNING d.workspace_id, d.metric_hour, d.removed
    ), counted AS (
        UPDATE analytics.closed_days AS c SET events = greatest(c.events - r.events, 0)
        FROM (SELECT t.workspace_id, (t.metric_hour AT TIME ZONE 'UTC')::date AS event_day, sum(t.removed) AS events
              FROM taken AS t GROUP BY 1, 2) AS r
        WHERE c.workspace_id = r.workspace_id AND c.event_day = r.event_day AND r.events > 0
    ), dirty AS MATERIALIZED (
        SELECT DISTINCT t.workspace_id, t.metric_hour FROM taken AS t
    ), local AS ( -- where days do not begin on a full UTC hour, one hour belongs to two days
        SELECT analytics.workspace_today(d.workspace_id, d.metric_hour + o.since) AS day
        FROM dirty AS d, (VALUES (interval '0'), (interval '1 hour' - interval '1 microsecond')) AS o (since)
        WHERE (target_workspace_id IS NOT NULL OR d.workspace_id IN (SELECT s.workspace_id FROM analytics.workspace_settings AS s))
          AND d.metric_hour + o.since <= now()
        UNION SELECT repair_day.day WHERE target_workspace_id IS NULL
    )
    SELECT count(*), array_agg(DISTINCT d.metric_hour), ARRAY(SELECT l.day FROM local AS l ORDER BY 1)
    INTO repaired, hours, days FROM dirty AS d;

    IF repaired = 0 THEN
        RETURN 0;
    END IF;
    PERFORM analytics_internal.count_day(d.day, CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END)
    FROM (SELECT DISTINCT (h.hour AT TIME ZONE 'UTC')::date AS day FROM unnest(hours) AS h (hour)) AS d, analytics.watermark AS w
    WHERE (d.day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
    FOREACH hour IN ARRAY hours LOOP
        PERFORM analytics_internal.show_progress('repairing ' || to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
        PERFORM analytics_internal.aggregate_unsealed(NULL, hour, target_workspace_id);
    END LOOP;
    FOREACH other_day IN ARRAY days LOOP
        PERFORM analytics_internal.aggregate_unsealed(other_day, NULL, target_workspace_id, true);
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_day(uuid, date) IS
    'recomputes the dirty hours of a workspace''s local day, or (NULL) of a UTC day of all workspaces, and the local days they belong to. Returns the number of hours; frozen days stay as they are';

-- When a whole day fails: one workspace after the other, until the one that causes it is quarantined; the next calls
-- go on with single workspaces.
CREATE FUNCTION analytics_internal.try_repair_day(target_workspace_id uuid, day date) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    repaired bigint := 0;
    reason text;
    dirty record;
    hours bigint;
BEGIN
    BEGIN
        RETURN analytics_internal.repair_day(target_workspace_id, day);
    EXCEPTION WHEN OTHERS THEN
        IF NOT analytics_internal.is_fault_of_data(SQLSTATE) THEN
            RAISE;
        END IF;
        reason := concat(SQLSTATE, ': ', SQLERRM);
    END;
    IF target_workspace_id IS NOT NULL THEN
        PERFORM analytics_internal.quarantine(target_workspace_id, 'day', day, NULL, reason);
        RETURN -1;
    END IF;
    FOR dirty IN
        SELECT d.workspace_id, analytics.workspace_today(d.workspace_id, d.metric_hour) AS day
        FROM (SELECT DISTINCT n.workspace_id, n.metric_hour FROM analytics.dirty_hours AS n
              WHERE n.metric_hour >= try_repair_day.day::timestamp AT TIME ZONE 'UTC'
                AND n.metric_hour < (try_repair_day.day + 1)::timestamp AT TIME ZONE 'UTC') AS d
        GROUP BY 1, 2
    LOOP
        hours := analytics_internal.try_repair_day(dirty.workspace_id, dirty.day);
        repaired := repaired + abs(hours);
        IF hours < 0 THEN
            RETURN -repaired;
        END IF;
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_repair_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_repair_day(uuid, date) IS
    'repair_day(). Where it fails, a day of one workspace is quarantined, of all workspaces days are repaired one by one up to the one to blame: then the number is negative';

CREATE FUNCTION analytics_internal.due_dirty_hours(OUT workspace_id uuid, OUT metric_hour timestamptz, OUT noted_at timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT d.workspace_id, d.metric_hour, min(d.noted_at)
FROM analytics.dirty_hours AS d
WHERE NOT EXISTS (SELECT FROM analytics.pending_buckets AS f
                  WHERE f.workspace_id = d.workspace_id AND f.kind = 'day' AND f.next_attempt_at > now()
                    AND d.metric_hour > f.day_start - interval '1 hour' AND d.metric_hour < f.day_end)
GROUP BY d.workspace_id, d.metric_hour
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_dirty_hours() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_dirty_hours() IS
    'dirty hours, each once, except those of quarantined days whose next attempt is not due';

-- Once per run: a day that changes again meanwhile is repaired by the next one.
CREATE FUNCTION analytics_internal.enqueue_repairs() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.lock('rollups');
    INSERT INTO analytics.pending_buckets AS p (workspace_id, kind, metric_date, turn, noted_at)
    SELECT n.workspace_id, 'day', n.metric_date,
           greatest((SELECT min(q.turn) FROM analytics.pending_buckets AS q WHERE q.kind = 'day'),
                    (SELECT max(q.turn) FROM analytics.pending_buckets AS q WHERE q.workspace_id = n.workspace_id AND q.kind = 'day'), 0)
               + row_number() OVER (PARTITION BY n.workspace_id ORDER BY n.noted_at, n.metric_date DESC),
           n.noted_at
    FROM (SELECT d.workspace_id, l.metric_date, min(d.noted_at) AS noted_at
          FROM analytics_internal.due_dirty_hours() AS d
          CROSS JOIN LATERAL (SELECT CASE WHEN EXISTS (SELECT FROM analytics.workspace_settings AS s WHERE s.workspace_id = d.workspace_id)
                                          THEN analytics.workspace_today(d.workspace_id, d.metric_hour)
                                          ELSE (d.metric_hour AT TIME ZONE 'UTC')::date END AS metric_date) AS l
          GROUP BY d.workspace_id, l.metric_date) AS n
    WHERE NOT EXISTS (SELECT FROM analytics.pending_buckets AS q
                      WHERE q.workspace_id = n.workspace_id AND q.kind = 'day' AND q.metric_date = n.metric_date AND q.turn IS NOT NULL)
    ON CONFLICT (workspace_id, kind, metric_date) DO UPDATE SET turn = EXCLUDED.turn; -- it failed, and may be tried again
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.enqueue_repairs() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.enqueue_repairs() IS
    'gives the days that analytics.dirty_hours names a turn in analytics.pending_buckets';

CREATE FUNCTION analytics_internal.repair_next(last_date date DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    few CONSTANT integer := 8;
    next analytics.pending_buckets;
    repaired bigint := 0;
    stale_ids uuid[];
    stale_dates date[];
BEGIN
    PERFORM analytics_internal.lock('rollups');
    WHILE repaired = 0 LOOP -- its hours may have been repaired along with another day
        SELECT p.* INTO next FROM analytics.pending_buckets AS p
        WHERE p.kind = 'day' AND p.turn IS NOT NULL AND p.metric_date <= last_date
        ORDER BY p.turn, p.noted_at, p.metric_date DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        IF (SELECT count(*) FROM (SELECT FROM analytics.pending_buckets AS p
                                  WHERE p.turn IS NOT NULL AND p.metric_date = next.metric_date LIMIT few + 1) AS p) > few
           AND NOT EXISTS (SELECT FROM analytics.pending_buckets AS f
                           WHERE f.attempts > 0
                             AND f.day_start < (next.metric_date + 1)::timestamp AT TIME ZONE 'UTC'
                             AND f.day_end > next.metric_date::timestamp AT TIME ZONE 'UTC') THEN
            repaired := analytics_internal.try_repair_day(NULL, next.metric_date);
            -- Where one is to blame, the others are repaired one by one.
            DELETE FROM analytics.pending_buckets AS p
            WHERE p.workspace_id = next.workspace_id AND p.kind = 'day' AND p.metric_date = next.metric_date AND repaired >= 0;
        ELSE
            repaired := analytics_internal.try_repair_day(next.workspace_id, next.metric_date);
        END IF;
    END LOOP;

    WITH stale AS (
        DELETE FROM analytics.pending_buckets AS s
        WHERE s.kind = 'totals'
          AND s.workspace_id IN (SELECT c.workspace_id FROM analytics.pending_buckets AS c
                                 WHERE c.kind = 'totals'
                                   AND NOT EXISTS (SELECT FROM analytics.pending_buckets AS p
                                                   WHERE p.workspace_id = c.workspace_id AND p.kind = 'day' AND p.turn IS NOT NULL)
                                 ORDER BY c.workspace_id LIMIT 1000)
        RETURNING s.workspace_id, s.metric_date
    )
    SELECT array_agg(w.workspace_id), array_agg(w.from_date) INTO stale_ids, stale_dates
    FROM (SELECT s.workspace_id, min(s.metric_date) AS from_date FROM stale AS s GROUP BY s.workspace_id) AS w;
    PERFORM analytics_internal.update_later_totals(stale_ids, stale_dates);
    RETURN abs(repaired) + COALESCE(cardinality(stale_ids), 0);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_next(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_next(date) IS
    'repairs the pending day whose turn it is, of those up to a date, or that UTC day of all workspaces when it is pending for many; then brings the totals of up to 1,000 workspaces without pending days up to date. The number of hours (1 for a day that failed and was quarantined) and of such workspaces; 0 when nothing is pending';

CREATE FUNCTION analytics_internal.repair_all(last_date date DEFAULT 'infinity', deadline timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    repaired bigint := 0;
    unit bigint;
BEGIN
    PERFORM analytics_internal.enqueue_repairs();
    WHILE clock_timestamp() < deadline LOOP
        unit := analytics_internal.repair_next(last_date);
        EXIT WHEN unit = 0;
        repaired := repaired + unit;
    END LOOP;
    RETURN repaired;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_all(date, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_all(date, timestamptz) IS
    'repairs the hours that are dirty now, of local days up to a date and until an instant, in one transaction; the sum of repair_next()';

CREATE FUNCTION analytics_internal.release_days(after_time timestamptz, until_time timestamptz) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
DELETE FROM analytics.pending_buckets AS f
WHERE f.attempts > 0 AND f.day_end > after_time AND f.day_end <= until_time AND f.last_failed_at < now()
  AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS d
                  WHERE d.workspace_id = f.workspace_id
                    AND d.metric_hour > f.day_start - interval '1 hour' AND d.metric_hour < f.day_end)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.release_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.release_days(timestamptz, timestamptz) IS
    'to be called when the days that end between the instants were aggregated: ends the quarantine of those that did not fail this time';

CREATE FUNCTION analytics_internal.new_failures() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT nullif(concat_ws('; ',
    (SELECT format('%s (workspace %s, %s)', f.error, f.workspace_id, to_char(f.metric_date, 'YYYY-MM-DD'))
         || CASE WHEN count(*) OVER () > 1 THEN format(' and %s more in analytics.pending_buckets', count(*) OVER () - 1) ELSE '' END
     FROM analytics.pending_buckets AS f WHERE f.kind = 'day' AND f.last_failed_at = now()
     ORDER BY f.metric_date DESC, f.workspace_id LIMIT 1),
    (SELECT format('a frozen day: events missing: %s, events kept but not counted: %s (workspace %s, %s)',
                   s.missing, s.kept_events, s.workspace_id, to_char(s.event_day, 'YYYY-MM-DD'))
         || CASE WHEN count(*) OVER () > 1 THEN format(' and %s more in analytics.sealed_days', count(*) OVER () - 1) ELSE '' END
     FROM analytics.sealed_days AS s WHERE s.sealed_at = now() AND (s.missing > 0 OR s.kept_events > 0)
     ORDER BY s.event_day DESC, s.workspace_id LIMIT 1)), '')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.new_failures() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.new_failures() IS
    'the days that this transaction has quarantined, and the frozen ones that wait for a decision. NULL: none';

CREATE FUNCTION analytics_internal.retry_failed_days(target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    retried bigint;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cells(format('SELECT analytics_internal.retry_failed_days(%L)', target_workspace_id), target_workspace_id);
    END IF;
    UPDATE analytics.pending_buckets AS f SET next_attempt_at = now()
    FROM (SELECT d.workspace_id, d.metric_date FROM analytics.pending_buckets AS d
          WHERE d.kind = 'day' AND d.attempts > 0 AND (target_workspace_id IS NULL OR d.workspace_id = target_workspace_id)
          FOR UPDATE SKIP LOCKED) AS w -- those being tried at this moment
    WHERE f.workspace_id = w.workspace_id AND f.kind = 'day' AND f.metric_date = w.metric_date;
    GET DIAGNOSTICS retried = ROW_COUNT;
    RETURN retried;
END
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
    'lets the next analytics.maintain() try quarantined days again, of one workspace or (NULL) of all. Returns how many there are. They stand in analytics.pending_buckets, with attempts > 0; without this call each waits for its next_attempt_at';

-- By the indexes, which a plan for any one row would not use: events day by day, and of rollups only what lies before
-- the first event.
CREATE FUNCTION analytics_internal.next_used_day(from_time timestamptz, to_time timestamptz) RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
DECLARE
    first_time timestamptz;
    found_time timestamptz;
    last_time timestamptz;
    partition record;
    is_used boolean;
BEGIN
    first_time := to_time;
    IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
        SELECT least(to_time, min(e.created_at)) INTO first_time
        FROM analytics.user_activity_default AS e WHERE e.created_at >= from_time;
    END IF;
    FOR partition IN
        SELECT p.relation, p.from_time, p.to_time FROM analytics_internal.partitions() AS p
        WHERE p.to_time > date_trunc('day', next_used_day.from_time, 'UTC') ORDER BY p.from_time
    LOOP
        EXIT WHEN partition.from_time >= first_time;
        IF NOT isfinite(partition.from_time) AND NOT isfinite(from_time) THEN
            EXECUTE format('SELECT min(e.created_at) FROM %s AS e', partition.relation) INTO found_time;
        ELSE
            found_time := date_trunc('day', greatest(partition.from_time, from_time), 'UTC');
            last_time := least(partition.to_time, first_time);
            is_used := false;
            WHILE NOT is_used AND found_time < last_time LOOP
                EXECUTE format('SELECT EXISTS (SELECT FROM %s AS e WHERE e.created_at >= $1 AND e.created_at < $2)', partition.relation)
                INTO is_used USING found_time, found_time + interval '24 hours';
                found_time := CASE WHEN is_used THEN found_time ELSE found_time + interval '24 hours' END;
            END LOOP;
            found_time := CASE WHEN is_used THEN found_time END;
        END IF;
        first_time := least(first_time, found_time);
        EXIT WHEN found_time IS NOT NULL;
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
    'start of the first UTC day between the instants with an event or a rollup. That of to_time if there is none';

-- Hours are aggregated before the days that they belong to, so hourly rollups tell who had events; where those are
-- past their retention, the events do.
CREATE FUNCTION analytics_internal.ended_days(
    from_time timestamptz, to_time timestamptz, OUT workspace_id uuid, OUT day date)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    since CONSTANT timestamptz := from_time - interval '2 days';
    has_hours CONSTANT boolean := since >= now() - least(
        analytics_internal.retention('hourly_metrics'),
        (SELECT make_interval(days => min(r.keep_days)) FROM analytics.workspace_retention AS r WHERE r.table_name = 'hourly_metrics'));
    active uuid[];
BEGIN
    IF has_hours IS NOT FALSE THEN
        active := ARRAY(SELECT DISTINCT h.workspace_id FROM analytics.hourly_metrics AS h
                        WHERE h.metric_hour > since - interval '1 hour' AND h.metric_hour < to_time);
    ELSE
        active := ARRAY(SELECT DISTINCT e.workspace_id FROM analytics.user_activity AS e WHERE e.created_at >= since AND e.created_at < to_time);
    END IF;
    RETURN QUERY
    SELECT b.workspace_id, b.day
    FROM analytics_internal.local_day_bounds(
        (from_time AT TIME ZONE 'UTC')::date - 2, (to_time AT TIME ZONE 'UTC')::date + 1,
        ARRAY(SELECT a.id FROM unnest(active) AS a (id)
              UNION
              SELECT d.workspace_id FROM analytics.daily_metrics AS d
              WHERE d.metric_date BETWEEN (since AT TIME ZONE 'UTC')::date AND (to_time AT TIME ZONE 'UTC')::date)) AS b
    WHERE b.day_end > from_time AND b.day_end <= to_time;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.ended_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.ended_days(timestamptz, timestamptz) IS
    'workspaces with a time zone of their own and events or rollups, and their local days with from_time < end <= to_time; their hours are aggregated by then';

-- Limits are parameters of custom plans, so that only the partitions concerned are planned.
CREATE FUNCTION analytics_internal.aggregate_for_good(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    written bigint := 0;
    few CONSTANT integer := 50; -- workspaces that are aggregated one by one
    oldest timestamptz := greatest(from_time, now() - analytics_internal.retention('hourly_metrics'));
    utc_day date;
    hour timestamptz;
    ended record;
    id uuid;
BEGIN
    IF to_time = date_trunc('day', to_time, 'UTC') THEN
        utc_day := (to_time AT TIME ZONE 'UTC')::date - 1;
        PERFORM analytics_internal.count_day(utc_day, NULL);
    END IF;
    FOR hour IN
        SELECT date_trunc('hour', e.created_at, 'UTC') FROM analytics.user_activity AS e
        WHERE e.created_at >= oldest AND e.created_at < to_time
        UNION
        SELECT h.metric_hour FROM analytics.hourly_metrics AS h
        WHERE h.metric_hour >= from_time AND h.metric_hour < to_time
        ORDER BY 1
    LOOP
        PERFORM analytics_internal.show_progress('closing ' || to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'));
        written := written + analytics_internal.try_aggregate(NULL, hour);
    END LOOP;
    IF utc_day IS NOT NULL THEN
        written := written + analytics_internal.try_aggregate(utc_day, NULL);
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
    PERFORM analytics_internal.release_days(from_time, to_time);
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_for_good(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_for_good(timestamptz, timestamptz) IS
    'aggregates the hours between the instants and the local days that ended between them. At most one UTC midnight may lie in from_time < t <= to_time, and only at to_time. A day that fails is quarantined';

CREATE FUNCTION analytics_internal.close_next(mark timestamptz DEFAULT '-infinity', OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    marked_until timestamptz;
    from_time timestamptz;
    to_time timestamptz;
    state text;
BEGIN
    PERFORM analytics_internal.lock('rollups');
    state := analytics_internal.advance_watermark(mark);
    again := state IN ('marked', 'taken');
    IF state <> 'ready' THEN
        RETURN;
    END IF;
    SELECT w.marked_until, w.closed_until INTO marked_until, from_time FROM analytics.watermark AS w;
    -- Days without events are jumped over, but for the two after one with events: there its local days end.
    IF marked_until > from_time + interval '1 day' THEN
        from_time := greatest(from_time, analytics_internal.next_used_day(from_time - interval '2 days', marked_until));
    END IF;
    to_time := least(date_trunc('day', from_time, 'UTC') + interval '1 day', marked_until);
    rows := analytics_internal.aggregate_for_good(from_time, to_time);
    UPDATE analytics.watermark SET closed_until = to_time;
    total := ceil(extract(epoch FROM marked_until - to_time) / 86400);
    again := total > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.close_next(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.close_next(timestamptz) IS
    'one transaction of finalization. It moves the pending watermark to mark, or when that is done finalizes what ended between the two, at most to the next UTC midnight. rows: the rollups written, NULL when nothing was ready; total: days left';

-- A time zone changed for the past: what was aggregated in another zone is aggregated again.

-- Another zone moves events by a day at most. Whoever aggregates at this moment may write the last days yet.
CREATE FUNCTION analytics_internal.rezoned_days(
    removed analytics.workspace_settings[], added analytics.workspace_settings[], OUT workspace_id uuid, OUT day date)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
WITH old AS (
    SELECT r.workspace_id, r.time_zone, r.valid_from FROM unnest(removed) AS r
), new AS (
    SELECT a.workspace_id, a.time_zone, a.valid_from FROM unnest(added) AS a
), changed AS (
    SELECT w.workspace_id FROM (SELECT o.workspace_id FROM old AS o UNION SELECT n.workspace_id FROM new AS n) AS w
    WHERE EXISTS (SELECT FROM analytics.daily_metrics AS m WHERE m.workspace_id = w.workspace_id)
), present AS (
    SELECT s.workspace_id, s.time_zone, s.valid_from FROM analytics.workspace_settings AS s JOIN changed AS c ON c.workspace_id = s.workspace_id
), zone AS (
    SELECT z.is_new, z.workspace_id, z.time_zone, z.valid_from,
           lead(z.valid_from, 1, 'infinity') OVER (PARTITION BY z.is_new, z.workspace_id ORDER BY z.valid_from, z.is_chosen) AS valid_to
    FROM (SELECT true AS is_new, true AS is_chosen, p.* FROM present AS p
          UNION ALL SELECT false, true, b.* FROM ((SELECT * FROM present EXCEPT SELECT * FROM new) UNION SELECT * FROM old) AS b
          UNION ALL SELECT n.is_new, false, c.workspace_id, 'UTC', '-infinity' FROM changed AS c, (VALUES (true), (false)) AS n (is_new)) AS z
), change AS (
    SELECT a.workspace_id, greatest(a.valid_from, b.valid_from) AS from_time, least(a.valid_to, b.valid_to, now()) AS to_time
    FROM zone AS a JOIN zone AS b ON b.workspace_id = a.workspace_id AND NOT b.is_new
    WHERE a.is_new AND a.time_zone <> b.time_zone AND greatest(a.valid_from, b.valid_from) < least(a.valid_to, b.valid_to, now())
)
SELECT DISTINCT c.workspace_id, d.day + n
FROM change AS c
CROSS JOIN LATERAL (SELECT (c.from_time AT TIME ZONE 'UTC')::date - 1 AS first_day, (c.to_time AT TIME ZONE 'UTC')::date + 1 AS last_day) AS r
CROSS JOIN LATERAL (SELECT m.metric_date AS day FROM analytics.daily_metrics AS m WHERE m.workspace_id = c.workspace_id
                    UNION SELECT (now() AT TIME ZONE 'UTC')::date - g FROM generate_series(0, 2) AS g) AS d,
     generate_series(-1, 1) AS n
WHERE d.day BETWEEN r.first_day AND r.last_day AND d.day + n BETWEEN r.first_day AND r.last_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.rezoned_days(analytics.workspace_settings[], analytics.workspace_settings[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.rezoned_days(analytics.workspace_settings[], analytics.workspace_settings[]) IS
    'local days up to now that have, or may have, other events after a statement that removed and added these rows; of workspaces that have daily rollups';

CREATE FUNCTION analytics_internal.workspace_settings_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed analytics.workspace_settings[];
    added analytics.workspace_settings[];
    frozen record;
    is_shard CONSTANT boolean := analytics_internal.enter_cell_beside(TG_RELID);
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format('DELETE FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME); -- comes back here with the rows
        PERFORM analytics_internal.enter_cell(NULL, true) WHERE is_shard;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        removed := ARRAY(SELECT o FROM old_rows AS o);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        added := ARRAY(SELECT n FROM new_rows AS n);
    END IF;
    SELECT r.workspace_id, max(s.event_day) AS last_day INTO frozen
    FROM analytics_internal.rezoned_days(removed, added) AS r
    JOIN analytics.sealed_days AS s ON s.workspace_id = r.workspace_id AND s.event_day BETWEEN r.day - 1 AND r.day + 1
    GROUP BY r.workspace_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the time zone of days whose events are gone cannot be changed'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('The last of these days of workspace %s is %s.', frozen.workspace_id, to_char(frozen.last_day, 'YYYY-MM-DD')),
                  HINT = format('Insert a row: without valid_from the change is from the next local midnight on; valid_from may be analytics.day_start(%L, <time zone>) or later.',
                                to_char(frozen.last_day + 4, 'YYYY-MM-DD'));
    END IF;
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT r.workspace_id, date_trunc('hour', b.day_start + interval '1 hour' - interval '1 microsecond', 'UTC')
    FROM analytics_internal.rezoned_days(removed, added) AS r
    CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(r.workspace_id, r.day) AS b
    WHERE b.day_start <= now();
    -- Days that have not begun there, or that the change leaves out, have no hour: what they had goes now.
    PERFORM analytics_internal.aggregate_daily_metrics(m.metric_date, m.workspace_id)
    FROM analytics_internal.rezoned_days(removed, added) AS r
    JOIN analytics.daily_metrics AS m ON m.workspace_id = r.workspace_id AND m.metric_date = r.day
    LEFT JOIN LATERAL analytics_internal.workspace_day_bounds(r.workspace_id, r.day) AS b ON true
    WHERE (b.day_start <= now()) IS NOT TRUE;
    PERFORM analytics_internal.enter_cell(NULL, true) WHERE is_shard;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_settings_changed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_settings_changed() IS
    'statement trigger: days that a change of time zone touches are aggregated again, or the change is refused (55000)';

CREATE TRIGGER note_inserted_zones AFTER INSERT ON analytics.workspace_settings REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_inserted_zones ON analytics.workspace_settings IS
    'days that a time zone for the past touches are aggregated again';
CREATE TRIGGER note_updated_zones AFTER UPDATE ON analytics.workspace_settings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_updated_zones ON analytics.workspace_settings IS
    'days that a time zone for the past touches are aggregated again';
CREATE TRIGGER note_deleted_zones AFTER DELETE ON analytics.workspace_settings REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_deleted_zones ON analytics.workspace_settings IS
    'days that a time zone for the past touches are aggregated again';
CREATE TRIGGER note_truncated_zones BEFORE TRUNCATE ON analytics.workspace_settings
    FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is('workspace_settings'))
    EXECUTE FUNCTION analytics_internal.workspace_settings_changed();
COMMENT ON TRIGGER note_truncated_zones ON analytics.workspace_settings IS
    'TRUNCATE is to time zones what DELETE is';

-- What the scheduled functions do beside their own work, so that rollups stay right without maintain().

-- Finalization takes three calls. It is left to calls for recent days, so that a call for one old day does not
-- aggregate all history.
CREATE FUNCTION analytics_internal.catch_up(target_date date, with_cohorts boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds integer := analytics.setting('catch_up_seconds')::integer;
    deadline timestamptz := clock_timestamp() + make_interval(secs => seconds);
    is_recent boolean := target_date >= (now() AT TIME ZONE 'UTC')::date - 2;
    -- Cohorts are made of the sets of users.
    cohorts boolean := coalesce(with_cohorts, analytics_internal.retention('daily_users') IS NOT NULL OR EXISTS (
        SELECT FROM analytics.workspace_retention AS w WHERE w.table_name = 'daily_users' AND w.keep_days IS NOT NULL));
    state text;
    hour timestamptz;
    day date;
BEGIN
    IF seconds = 0 THEN
        RETURN;
    END IF;
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.mend_clock();
    state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    WHILE is_recent AND state = 'ready' AND clock_timestamp() < deadline LOOP
        PERFORM analytics_internal.close_next();
        state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    END LOOP;
    PERFORM analytics_internal.repair_all(deadline => deadline);
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
                   THEN (SELECT b.day_end FROM analytics_internal.workspace_day_bounds(d.workspace_id, d.metric_date) AS b) <= now()
                   ELSE d.metric_date < (now() AT TIME ZONE 'UTC')::date END
        ORDER BY 1
    LOOP
        EXIT WHEN clock_timestamp() >= deadline;
        PERFORM analytics_internal.try_aggregate(day, NULL);
    END LOOP;
    IF cohorts AND is_recent AND clock_timestamp() < deadline THEN
        PERFORM analytics_internal.aggregate_due_cohorts(deadline - clock_timestamp());
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'other days could not be finished: %', SQLERRM
        USING ERRCODE = SQLSTATE, HINT = 'What was asked for is done; the next call tries again.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.catch_up(date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.catch_up(date, boolean) IS
    'finalizes what is ready, repairs what has changed and finishes provisional buckets that are over, for at most the setting catch_up_seconds; a failure is a warning. target_date: the day that was aggregated; for days before the day before yesterday nothing is finalized. with_cohorts: due cohorts are computed too; NULL: only if retention removes sets of users';
-- Cleanup: how long rows are kept, and what removes them. The tables hold only what differs from the defaults.

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

CREATE POLICY no_access ON analytics.retention_policies FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.retention_policies IS
    'for the owner only';
CREATE POLICY member_reads ON analytics.workspace_retention FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.workspace_retention IS
    'members read their workspaces''';

-- The one list of tables whose rows age. time_column and removable tell how a table's old rows are found and which of
-- them may go; without time_column it is not by rows. Of rollups (removable NULL) workspaces may keep days of their own.
CREATE FUNCTION analytics_internal.retention_defaults(
    OUT table_name text, OUT keep_days integer, OUT time_column text, OUT removable text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('user_activity', 90, NULL, NULL),
       ('hourly_metrics', 30, 'metric_hour', NULL),
       ('daily_metrics', NULL, 'metric_date', NULL),
       ('agent_performance', NULL, 'metric_date', NULL),
       ('daily_event_usage', NULL, 'metric_date', NULL),
       ('daily_error_types', NULL, 'metric_date', NULL),
       ('daily_users', NULL, 'metric_date', NULL),
       ('daily_user_revenue', NULL, 'metric_date', NULL),
       ('user_cohorts', NULL, 'cohort_date', NULL),
       ('identities', NULL, NULL, NULL),
       -- Firing episodes have no resolved_at; critical ones stay until somebody has seen them.
       ('alert_history', 180, 'resolved_at', '(t.severity <> ''critical'' OR t.acknowledged_at IS NOT NULL)'),
       ('notification_outbox', 30, 'created_at', 't.status NOT IN (''waiting'', ''sending'')'),
       ('audit_log', 400, 'happened_at', 'true'),
       ('job_runs', 30, 'started_at', 'true')
$$;
COMMENT ON FUNCTION analytics_internal.retention_defaults() IS
    'tables with a retention period and its default: table_name, keep_days (NULL: for ever); identities: after how many days of absence the ids of users in analytics.users are replaced by random ones, not before their events are gone. time_column: a date or an instant that tells a row''s age; removable: condition on the row t';

CREATE VIEW analytics.retention_policy_values WITH (security_invoker = true) AS
SELECT d.table_name,
       CASE WHEN p.table_name IS NULL THEN d.keep_days ELSE p.keep_days END AS keep_days,
       d.keep_days AS default_keep_days,
       p.table_name IS NULL AS is_default,
       p.archive_function
FROM analytics_internal.retention_defaults() AS d
LEFT JOIN analytics.retention_policies AS p ON p.table_name OPERATOR(pg_catalog.=) d.table_name;
COMMENT ON VIEW analytics.retention_policy_values IS
    'how long each table keeps its rows. Change it by INSERT INTO analytics.retention_policies, as the owner';
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
    IF NOT EXISTS (SELECT FROM analytics_internal.retention_defaults() AS d WHERE d.table_name = NEW.table_name) THEN
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

-- A user whose events are there would come back under a new number when their day is aggregated again.
CREATE FUNCTION analytics_internal.identities_notice() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('identities are kept as long as events may name them: %s instead of %s days',
              COALESCE((e.keep_days + 2)::text, 'for ever'), i.keep_days)
FROM analytics.retention_policy_values AS i, analytics.retention_policy_values AS e
WHERE i.table_name = 'identities' AND e.table_name = 'user_activity' AND (i.keep_days >= e.keep_days + 2) IS NOT TRUE AND i.keep_days IS NOT NULL
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.identities_notice() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.identities_notice() IS
    'what to say where the retention of identities is shorter than that of events; NULL: it is not';

CREATE FUNCTION analytics_internal.retention_policy_notice() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    notice text := analytics_internal.identities_notice();
BEGIN
    IF notice IS NOT NULL THEN
        RAISE WARNING '%', notice
            USING HINT = 'Shorten the retention of user_activity too; analytics.forget_user() forgets one person at once.';
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.retention_policy_notice() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.retention_policy_notice() IS
    'row trigger: warns where the retention of identities acts later than it says';
CREATE TRIGGER warn_of_identities AFTER INSERT OR UPDATE ON analytics.retention_policies
    FOR EACH ROW WHEN (NEW.table_name IN ('identities', 'user_activity') AND NOT analytics_internal.is_taken_as_is('retention_policies'))
    EXECUTE FUNCTION analytics_internal.retention_policy_notice();
COMMENT ON TRIGGER warn_of_identities ON analytics.retention_policies IS
    'warns where the retention of identities acts later than it says';

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

-- Of a partition of one day, whose events need not be read for it, the bounds tell.
CREATE FUNCTION analytics_internal.expiring_days(before timestamptz, OUT day date) RETURNS SETOF date
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass;
BEGIN
    RETURN QUERY SELECT (p.from_time AT TIME ZONE 'UTC')::date FROM analytics_internal.partitions() AS p
                 WHERE p.from_time < before AND p.to_time = p.from_time + interval '24 hours';
    FOR relation IN
        SELECT p.relation FROM analytics_internal.partitions() AS p
        WHERE p.from_time < before AND p.to_time <> p.from_time + interval '24 hours'
        UNION ALL SELECT r.default_partition FROM to_regclass('analytics.user_activity_default') AS r (default_partition)
                  WHERE r.default_partition IS NOT NULL
    LOOP
        RETURN QUERY EXECUTE format('SELECT DISTINCT (e.created_at AT TIME ZONE ''UTC'')::date FROM %s AS e WHERE e.created_at < $1', relation)
                     USING before;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.expiring_days(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.expiring_days(timestamptz) IS
    'UTC days up to that of an instant that have a partition of their own, or events before the instant in another; some perhaps twice';

-- The caller has locked writers out of the expired partitions, so that what is read here is all there is.
CREATE FUNCTION analytics_internal.aggregate_expiring(before timestamptz) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day date;
    closed_until timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w);
BEGIN
    PERFORM analytics_internal.repair_all((before AT TIME ZONE 'UTC')::date + 1);
    -- What was not counted, and what came for sealed days.
    FOR day IN
        SELECT DISTINCT d.day FROM analytics_internal.expiring_days(before) AS d
        WHERE EXISTS (SELECT FROM analytics.sealed_days AS s WHERE s.event_day = d.day)
           OR d.day < (before AT TIME ZONE 'UTC')::date
              AND ((d.day + 1)::timestamp AT TIME ZONE 'UTC' <= closed_until
                   AND EXISTS (SELECT FROM analytics.closed_days AS c WHERE c.event_day = d.day)) IS NOT TRUE
    LOOP
        PERFORM analytics_internal.count_day(day, NULL);
    END LOOP;
    -- What came to closed days without a note: in a partition that was attached, or from a restore.
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT c.workspace_id, c.event_day::timestamp AT TIME ZONE 'UTC' + n * interval '1 hour'
    FROM analytics.closed_days AS c, generate_series(0, 23) AS n
    WHERE c.grown_at = now() AND c.event_day <= (before AT TIME ZONE 'UTC')::date AND (c.event_day + 1)::timestamp AT TIME ZONE 'UTC' <= closed_until;
    PERFORM analytics_internal.repair_all((before AT TIME ZONE 'UTC')::date + 1);
    -- No local day that contains such an event ends later.
    IF closed_until >= before + interval '26 hours' THEN
        RETURN NULL;
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
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('nothing was removed, as expiring events could not be aggregated: %s (%s)', SQLERRM, SQLSTATE);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_expiring(timestamptz) IS
    'sees to it that the rollups of all events before an instant are right before these events are removed; NULL, or why it failed';

CREATE FUNCTION analytics_internal.keeping_statement() RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT 'INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES (''user_activity'', NULL) ON CONFLICT (table_name) DO UPDATE SET keep_days = NULL'
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.keeping_statement() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.keeping_statement() IS 'the statement that keeps events for ever';

CREATE FUNCTION analytics_internal.expiry_notice(first_day date) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('events older than %s days are past the retention of user_activity: their rollups stay, they themselves are removed by cleanup, at the earliest %s hours after they were loaded',
              v.keep_days, analytics.setting('import_grace_hours'))
FROM analytics.retention_policy_values AS v
WHERE v.table_name = 'user_activity' AND first_day < (now() AT TIME ZONE 'UTC')::date - v.keep_days
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.expiry_notice(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.expiry_notice(date) IS
    'notice for those who load events from a day on, if cleanup is going to remove some of them. NULL: none';

-- An import: what counting found when, without it, the day's events would have been expired already. A day is
-- counted an hour after its end.
CREATE FUNCTION analytics_internal.kept_days(
    before timestamptz, OUT workspace_id uuid, OUT event_day date, OUT events bigint, OUT kept_until timestamptz)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.workspace_id, s.event_day, s.kept_events, timestamptz 'infinity' FROM analytics.sealed_days AS s
WHERE s.kept_events > 0 AND s.event_day <= (before AT TIME ZONE 'UTC')::date
UNION ALL
SELECT c.workspace_id, c.event_day, c.events, c.grown_at + g.grace
FROM analytics.closed_days AS c, (SELECT make_interval(hours => analytics.setting('import_grace_hours')::integer) AS grace) AS g
WHERE c.event_day <= (before AT TIME ZONE 'UTC')::date AND c.events > 0 AND c.grown_at + g.grace > now()
  AND c.grown_at >= c.event_day::timestamp AT TIME ZONE 'UTC' + greatest(now() - before, interval '2 days')
  AND NOT EXISTS (SELECT FROM analytics.sealed_days AS s
                  WHERE s.workspace_id = c.workspace_id AND s.event_day = c.event_day AND s.kept_events > 0)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.kept_days(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.kept_days(timestamptz) IS
    'days whose events cleanup keeps though they are older than the instant: those that no rollup counts (kept_until infinity), and, for the setting import_grace_hours, those loaded when they were expired already';

CREATE FUNCTION analytics.settle_day(event_day date, decision text, workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO' -- cells are told the day as text
AS $$
DECLARE
    settled bigint := 0;
    sealed record;
BEGIN
    IF event_day IS NULL THEN
        RAISE EXCEPTION 'event_day must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    ELSIF decision IS NULL OR decision NOT IN ('keep', 'recount') THEN
        RAISE EXCEPTION 'decision must be keep or recount'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s.', COALESCE(quote_literal(decision), 'NULL')),
                  HINT = 'keep leaves the rollups as they are, recount makes them of the events that are there.';
    END IF;
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cells(format('SELECT analytics.settle_day(%L, %L, %L)', event_day, decision, workspace_id), workspace_id);
    END IF;
    PERFORM analytics_internal.lock('rollups');
    FOR sealed IN
        SELECT s.workspace_id, s.event_day FROM analytics.sealed_days AS s
        WHERE s.event_day = settle_day.event_day AND (settle_day.workspace_id IS NULL OR s.workspace_id = settle_day.workspace_id)
    LOOP
        DELETE FROM analytics.closed_days AS c WHERE c.workspace_id = sealed.workspace_id AND c.event_day = sealed.event_day;
        IF decision = 'keep' THEN
            UPDATE analytics.sealed_days AS s SET events = s.events + s.missing, missing = 0, kept_events = 0, sealed_at = now()
            WHERE s.workspace_id = sealed.workspace_id AND s.event_day = sealed.event_day;
            INSERT INTO analytics.closed_days (workspace_id, event_day, events, grown_at)
            SELECT c.workspace_id, sealed.event_day, c.present, '-infinity'
            FROM analytics_internal.compare_day(sealed.event_day, ARRAY[sealed.workspace_id]) AS c WHERE c.present > 0;
        ELSE
            DELETE FROM analytics.sealed_days AS s WHERE s.workspace_id = sealed.workspace_id AND s.event_day = sealed.event_day;
            INSERT INTO analytics.closed_days (workspace_id, event_day, events, grown_at)
            SELECT sealed.workspace_id, sealed.event_day, COALESCE(sum(c.present), 0), '-infinity'
            FROM analytics_internal.compare_day(sealed.event_day, ARRAY[sealed.workspace_id]) AS c;
            INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
            SELECT sealed.workspace_id, sealed.event_day::timestamp AT TIME ZONE 'UTC' + n * interval '1 hour' FROM generate_series(0, 23) AS n;
        END IF;
        settled := settled + 1;
    END LOOP;
    RETURN settled;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.settle_day(date, text, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.settle_day(date, text, uuid) IS
    'decides about a frozen UTC day (analytics.sealed_days) of one workspace or (NULL) of all. keep: its rollups stay and cleanup may remove its events; recount: the next analytics.maintain() computes the rollups from the events that are there, however few. Returns the number of workspaces whose day was settled. For the owner; another decision is an error (22023), a NULL day too (22004)';

CREATE FUNCTION analytics_internal.try_archive(partition regclass) RETURNS text
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
        USING partition;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN format('%s was kept, as the archive function failed: %s (%s)', (SELECT c.relname FROM pg_class AS c WHERE c.oid = partition), SQLERRM, SQLSTATE);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.try_archive(regclass) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_archive(regclass) IS
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

-- The numbers were counted when the day was closed. What was missing by then has not been removed now.
CREATE FUNCTION analytics_internal.seal_days(from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
WITH counts AS (
    DELETE FROM analytics.closed_days AS c
    WHERE c.event_day >= (from_time AT TIME ZONE 'UTC')::date AND c.event_day < (to_time AT TIME ZONE 'UTC')::date
    RETURNING c.workspace_id, c.event_day, c.events
), sealed AS (
    INSERT INTO analytics.sealed_days AS s (workspace_id, event_day, events)
    SELECT c.workspace_id, c.event_day, c.events FROM counts AS c WHERE c.events > 0
    ON CONFLICT (workspace_id, event_day)
    DO UPDATE SET events = s.events + EXCLUDED.events, missing = 0, sealed_at = now()
)
SELECT coalesce(sum(c.events - coalesce(s.missing, 0)), 0)::bigint
FROM counts AS c LEFT JOIN analytics.sealed_days AS s USING (workspace_id, event_day)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.seal_days(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.seal_days(timestamptz, timestamptz) IS
    'seals the days of a partition that is being dropped; how many events go with it';

CREATE FUNCTION analytics_internal.cleanup_old_data(
    OUT table_name text, OUT rows_deleted bigint, OUT note text, OUT has_more boolean, OUT kept_unaggregated boolean,
    OUT is_busy boolean, OUT ready text[])
RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_cleanup_old_data';
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup_old_data() IS
    'the work of analytics.cleanup_old_data(), as the owner, without noting what it removes as a late change; has_more: more partitions have expired than one call drops, kept_unaggregated: events were kept, as rollups of theirs could not be made, is_busy: partitions were left because they are in use, ready: in a cell of Citus the partitions that may be dropped as far as the cell is concerned';

CREATE FUNCTION analytics_internal.remove_old_data(
    OUT table_name text, OUT rows_deleted bigint, OUT note text, OUT has_more boolean, OUT kept_unaggregated boolean, OUT is_busy boolean)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY SELECT c.* FROM analytics_internal.cleanup_in_cells() AS c;
    ELSE
        RETURN QUERY SELECT c.table_name, c.rows_deleted, c.note, c.has_more, c.kept_unaggregated, c.is_busy
                     FROM analytics_internal.cleanup_old_data() AS c;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_old_data() IS
    'analytics_internal.cleanup_old_data() here, or where the tables are distributed in all cells, with the rights of the owner';

CREATE FUNCTION analytics.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.has_cells() THEN
        PERFORM analytics_internal.catch_up((now() AT TIME ZONE 'UTC')::date, NULL);
    END IF;
    RETURN QUERY SELECT c.table_name, c.rows_deleted, c.note FROM analytics_internal.remove_old_data() AS c;
    PERFORM analytics_internal.keep_partitions_ahead();
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.cleanup_old_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics.cleanup_old_data() IS
    'removes rows past their retention (analytics.retention_policy_values). One row per table: table_name, the exact rows_deleted (identities: users made unknowable), and a note where some had to stay. Events are removed after their rollups were completed, whole UTC days by dropping their partition, without queueing behind readers and writers; their days are then frozen. Before that, other days are finished as by aggregate_daily_metrics()';
-- maintain(): whatever is due, step by step. The procedure commits, so it carries neither SET nor SECURITY
-- DEFINER; everything it does is done by functions with both, under a lock that each transaction takes anew.

CREATE TABLE analytics.job_runs (
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    step text NOT NULL,
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT 'running',
    rows bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    first_day date,
    last_day date,
    event_changes numeric,
    kept_unaggregated boolean NOT NULL DEFAULT false,
    detail text,
    error text,
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    cell integer NOT NULL DEFAULT analytics_internal.cell_key(),
    PRIMARY KEY (cell, started_at, step),
    CONSTRAINT job_runs_outcome CHECK (outcome IN ('running', 'done', 'partial', 'skipped', 'failed', 'interrupted'))
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
    'what analytics.maintain() and analytics.backfill() did. Steps that are always due and found nothing to do are not kept';
COMMENT ON COLUMN analytics.job_runs.started_at IS 'by the clock';
COMMENT ON COLUMN analytics.job_runs.step IS 'maintain (the whole run), one of its steps, or backfill';
COMMENT ON COLUMN analytics.job_runs.finished_at IS 'by the clock; NULL while running';
COMMENT ON COLUMN analytics.job_runs.outcome IS
    'running; done; partial: the time budget was used up or something was in use (detail), the next run goes on, or (error) days of single workspaces were quarantined (analytics.pending_buckets); skipped: nothing was done, as something was in use (detail), the next run tries again; failed: see error; interrupted: cancelled or killed';
COMMENT ON COLUMN analytics.job_runs.rows IS 'what the step counts: partitions, hours, days, rollups, rows removed, alerts';
COMMENT ON COLUMN analytics.job_runs.done IS 'units committed so far';
COMMENT ON COLUMN analytics.job_runs.total IS 'units there were to do at the last count; NULL: not counted';
COMMENT ON COLUMN analytics.job_runs.first_day IS 'backfill: first day of the range; aggregate_open: first UTC day whose changes event_changes counts. Else NULL';
COMMENT ON COLUMN analytics.job_runs.last_day IS 'backfill: last day of the range; else NULL';
COMMENT ON COLUMN analytics.job_runs.event_changes IS
    'aggregate_open: changes of events of first_day and later that it has seen, by the statistics. While they do not grow it has nothing to do. NULL: another step, or not counted (track_counts is off)';
COMMENT ON COLUMN analytics.job_runs.kept_unaggregated IS
    'cleanup: events past their retention were kept, as rollups of theirs could not be made';
COMMENT ON COLUMN analytics.job_runs.detail IS 'what the step has to say, for people';
COMMENT ON COLUMN analytics.job_runs.error IS 'SQLSTATE and message; of a partial run those of the first quarantined day';
COMMENT ON COLUMN analytics.job_runs.pid IS 'server process';
COMMENT ON COLUMN analytics.job_runs.cell IS '0; on a worker of Citus the group of shards whose maintenance it was';
COMMENT ON CONSTRAINT job_runs_outcome ON analytics.job_runs IS 'how a run may end';

CREATE POLICY no_access ON analytics.job_runs FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.job_runs IS
    'for maintenance only';

CREATE FUNCTION analytics_internal.lock(name text) RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'shadow_lock';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock(text) IS
    'waits for a lock and keeps it to the end of the transaction. In the order in which they are taken, before any row or partition is locked: maintenance (maintain(), backfill()), rollups (every writer of rollups and users, and whatever removes events), views, alerts; another name is an error (22023). Out of order it waits for two seconds at most (55P03)';

CREATE FUNCTION analytics_internal.try_lock(name text) RETURNS boolean
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'shadow_try_lock';
REVOKE EXECUTE ON FUNCTION analytics_internal.try_lock(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.try_lock(text) IS
    'lock() without waiting: false while another transaction has the lock';

CREATE FUNCTION analytics_internal.lock_number(name text) RETURNS integer
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_lock_number';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_number(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_number(text) IS
    'objsubid of a lock in pg_locks, where locktype is object and classid pg_extension';

CREATE FUNCTION analytics_internal.lock_holders(min_age interval DEFAULT '0') RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT string_agg(format('%s is held by %s', n.name,
                         COALESCE(format('process %s (%s, %s) in a transaction since %s', a.pid, a.usename, a.application_name, a.xact_start),
                                  'a prepared transaction')), '; ' ORDER BY n.name)
FROM unnest('{maintenance,rollups,views,alerts}'::text[]) AS n (name)
JOIN pg_locks AS l ON l.locktype = 'object' AND l.classid = 'pg_extension'::regclass AND l.objsubid = analytics_internal.lock_number(n.name)
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.objid = analytics_internal.cell_key()::oid AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND COALESCE(a.xact_start <= now() - min_age, l.pid IS NULL)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_holders(interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_holders(interval) IS
    'who holds the locks of lock() in transactions at least as old as min_age, this session left out. NULL: nobody';

CREATE FUNCTION analytics_internal.last_run(step text) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max(r.started_at) FROM analytics.job_runs AS r
WHERE r.cell = analytics_internal.cell_key() AND r.step = last_run.step AND (r.outcome = 'done' OR r.outcome = 'partial' AND (r.error IS NOT NULL OR r.step = 'maintain'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_run(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_run(text) IS
    'when a step last succeeded, possibly with quarantined days. Of maintain, the last run that was not broken off. NULL: never';

-- In the order in which they run.
CREATE FUNCTION analytics_internal.steps(OUT step text, OUT every interval) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES ('mend_clock', NULL::interval),
       ('create_partitions', NULL),
       ('maintain_cells', NULL),
       ('evaluate_alerts', NULL),
       ('close_buckets', NULL),
       ('repair_buckets', NULL),
       ('aggregate_cohorts', interval '1 hour'),
       ('aggregate_open', make_interval(mins => analytics.setting('open_day_interval_minutes')::integer)),
       ('index_partitions', interval '1 hour'),
       ('refresh_views', make_interval(mins => analytics.setting('view_refresh_minutes')::integer)),
       ('cleanup', interval '1 day'),
       ('analyze', interval '1 day')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.steps() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.steps() IS
    'steps of maintain() in their order, and how often each is due; NULL: at every call';

-- A mark is at least a minute behind the clock that set it. Smaller steps back do no harm.
CREATE FUNCTION analytics_internal.clock_lead() RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max(r.at) - now()
FROM (SELECT w.marked_until AS at FROM analytics.watermark AS w WHERE w.marked_until > now()
      UNION ALL
      SELECT max(j.started_at) FROM analytics.job_runs AS j
      WHERE j.cell = analytics_internal.cell_key() AND j.started_at > clock_timestamp() + interval '1 minute') AS r
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.clock_lead() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.clock_lead() IS
    'by how much the clock has gone back: how far records of maintenance lie in the future. NULL: none does';

-- What ended while the clock was ahead was closed too early, and what changed since was repaired while it ran:
-- closing begins anew at the oldest provisional bucket. Records of the future would make others wait for it.
CREATE FUNCTION analytics_internal.mend_clock() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
DECLARE
    lead CONSTANT interval := analytics_internal.clock_lead();
    mark CONSTANT timestamptz := analytics_internal.next_mark();
    found_lead text;
BEGIN
    IF lead IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.lock('alerts');
    UPDATE analytics.watermark AS w
    SET marked_until = least(w.marked_until, mark), marked_by = pg_current_xact_id(), closing_xid = NULL,
        closed_until = least(w.closed_until, mark,
                             (SELECT min(h.metric_hour) FROM analytics.hourly_metrics AS h WHERE NOT h.is_final),
                             (SELECT min(d.metric_date - 1)::timestamp AT TIME ZONE 'UTC' FROM analytics.daily_metrics AS d WHERE NOT d.is_final));
    UPDATE analytics.closed_days AS d SET counted_at = least(d.counted_at, now()), grown_at = least(d.grown_at, now())
    WHERE d.counted_at > now() OR d.grown_at > now();
    UPDATE analytics.pending_buckets AS f
    SET noted_at = least(f.noted_at, now()), last_failed_at = least(f.last_failed_at, now()), next_attempt_at = now()
    WHERE f.next_attempt_at > now();
    UPDATE analytics.alert_rule_states AS s SET since = least(s.since, now()), last_notified_at = least(s.last_notified_at, now())
    WHERE s.since > now() OR s.last_notified_at > now();
    UPDATE analytics.notification_outbox AS o SET next_attempt_at = now() WHERE o.next_attempt_at > now();
    UPDATE analytics.notification_outbox AS o SET leased_until = now() WHERE o.leased_until > now() + interval '1 hour';
    -- The last look at the open days was at what seemed to be over.
    DELETE FROM analytics.job_runs AS r
    WHERE r.cell = analytics_internal.cell_key() AND (r.started_at > clock_timestamp() + interval '1 minute' OR r.step = 'aggregate_open');
    UPDATE analytics.job_runs AS r SET finished_at = now()
    WHERE r.cell = analytics_internal.cell_key() AND r.finished_at > clock_timestamp() + interval '1 minute';

    found_lead := format('the clock has gone back: records of maintenance were up to %s ahead of it', date_trunc('second', lead));
    UPDATE analytics.job_runs AS r SET detail = found_lead
    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'mend_clock' AND r.outcome = 'running';
    IF NOT FOUND THEN
        INSERT INTO analytics.job_runs (step, finished_at, outcome, rows, detail) VALUES ('mend_clock', clock_timestamp(), 'done', 1, found_lead);
    END IF;
    RAISE WARNING '%', found_lead
        USING HINT = 'Rollups that were final too early are computed again. Look after the server''s time synchronization, and at events of the future.';
    RETURN 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.mend_clock() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.mend_clock() IS
    'where the clock has gone back, puts back the watermark and whatever else of maintenance is dated in the future, warns, and records that in analytics.job_runs; 1, or 0 when all is well';

-- The counters of the statistics follow within seconds; what they do not show yet they show at the next call.
CREATE FUNCTION analytics_internal.open_changes(OUT first_day date, OUT event_changes numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT o.first_day,
       CASE WHEN current_setting('track_counts')::boolean
            THEN sum(pg_stat_get_tuples_inserted(p.oid) + pg_stat_get_tuples_updated(p.oid) + pg_stat_get_tuples_deleted(p.oid)) END
FROM (SELECT (greatest((SELECT w.closed_until FROM analytics.watermark AS w), now() - interval '26 hours') AT TIME ZONE 'UTC')::date - 1 AS first_day) AS o,
     (SELECT analytics_internal.local_relation(b.relation) AS oid, b.to_time FROM analytics_internal.partitions() AS b
      UNION ALL SELECT analytics_internal.local_relation(to_regclass('analytics.user_activity_default')), 'infinity') AS p
WHERE p.to_time > o.first_day::timestamp AT TIME ZONE 'UTC'
GROUP BY o.first_day
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.open_changes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.open_changes() IS
    'changes of events of days that are not final, by the statistics: first_day (UTC) and event_changes, NULL where track_counts is off';

CREATE FUNCTION analytics_internal.has_work(step text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    CASE step
        WHEN 'mend_clock' THEN
            RETURN analytics_internal.clock_lead() IS NOT NULL;
        WHEN 'create_partitions' THEN
            IF to_regclass('analytics.user_activity_default') IS NULL THEN
                RETURN true;
            END IF;
            RETURN EXISTS (SELECT FROM generate_series(-1, analytics.setting('partitions_ahead_days')::integer) AS n
                           WHERE NOT EXISTS (SELECT FROM analytics_internal.partitions() AS p
                                             WHERE p.from_time <= (today + n)::timestamp AT TIME ZONE 'UTC'
                                               AND p.to_time > (today + n)::timestamp AT TIME ZONE 'UTC'))
                OR EXISTS (SELECT FROM analytics_internal.default_days());
        WHEN 'close_buckets' THEN
            RETURN NOT EXISTS (SELECT FROM analytics.watermark AS w
                               WHERE w.closed_until = w.marked_until AND w.marked_until >= analytics_internal.next_mark());
        WHEN 'repair_buckets' THEN
            RETURN EXISTS (SELECT FROM analytics.pending_buckets AS p WHERE p.kind = 'day' AND p.turn IS NOT NULL OR p.kind = 'totals')
                OR EXISTS (SELECT FROM analytics_internal.due_dirty_hours());
        WHEN 'aggregate_open' THEN
            RETURN (SELECT (r.first_day, r.event_changes) = (c.first_day, c.event_changes)
                    FROM analytics.job_runs AS r, analytics_internal.open_changes() AS c
                    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'aggregate_open' AND r.outcome = 'done'
                    ORDER BY r.started_at DESC LIMIT 1) IS NOT TRUE;
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

CREATE FUNCTION analytics_internal.due_steps() RETURNS text[]
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT COALESCE(array_agg(s.step ORDER BY s.place), '{}')
FROM analytics_internal.steps() WITH ORDINALITY AS s (step, every, place)
WHERE s.step = ANY (analytics_internal.steps_here())
  AND (analytics_internal.clock_lead() IS NOT NULL
   OR CASE WHEN s.every IS NULL OR COALESCE(analytics_internal.last_run(s.step) <= clock_timestamp() - s.every, true)
                OR s.step = 'cleanup' -- it kept events that could not be aggregated, and no failed day waits for its next attempt
                   AND (SELECT r.kept_unaggregated FROM analytics.job_runs AS r
                        WHERE r.cell = analytics_internal.cell_key() AND r.step = 'cleanup' ORDER BY r.started_at DESC LIMIT 1)
                   AND NOT EXISTS (SELECT 1 FROM analytics.pending_buckets AS f WHERE f.kind = 'day' AND f.next_attempt_at > now())
           THEN analytics_internal.has_work(s.step) END)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_steps() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_steps() IS
    'steps of maintain() that are due here and now and have something to do. All of them when the clock has gone back';

-- What is only told of a run need not have reached the disk before it goes on.
CREATE FUNCTION analytics_internal.begin_step(step text, first_day date DEFAULT NULL, last_day date DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started timestamptz;
BEGIN
    IF NOT analytics_internal.try_lock('maintenance') THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE analytics.job_runs AS r SET outcome = 'interrupted', finished_at = clock_timestamp()
    WHERE r.outcome = 'running' AND r.cell = analytics_internal.cell_key()
      AND (r.step = begin_step.step OR begin_step.step = 'maintain' OR r.pid <> pg_backend_pid());
    INSERT INTO analytics.job_runs AS r (step, first_day, last_day, done)
    VALUES (begin_step.step, begin_step.first_day, begin_step.last_day,
            COALESCE((SELECT CASE WHEN p.done < p.total THEN p.done END FROM analytics.job_runs AS p
                      WHERE p.cell = analytics_internal.cell_key() AND p.step = begin_step.step
                        AND (p.first_day, p.last_day) = (begin_step.first_day, begin_step.last_day)
                      ORDER BY p.started_at DESC LIMIT 1), 0))
    RETURNING r.started_at INTO started;
    RETURN started;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.begin_step(text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.begin_step(text, date, date) IS
    'records the start of a step and returns it; NULL when another session is at work. The same days again go on after those that the last run had finished when it was broken off';

-- What was quarantined on the way stays in error.
CREATE FUNCTION analytics_internal.end_step(step text, started timestamptz, outcome text, error text DEFAULT NULL, busy text DEFAULT NULL)
RETURNS text
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT set_config('synchronous_commit', 'off', true);
DELETE FROM analytics.job_runs AS r
WHERE r.cell = analytics_internal.cell_key() AND r.started_at = end_step.started AND r.step = end_step.step AND end_step.outcome = 'done' AND r.rows = 0 AND r.error IS NULL
  AND EXISTS (SELECT FROM analytics_internal.steps() AS s WHERE s.step = end_step.step AND s.every IS NULL);
UPDATE analytics.job_runs AS r
SET outcome = CASE WHEN end_step.outcome = 'done' AND r.error IS NOT NULL OR end_step.outcome = 'skipped' AND r.rows > 0 THEN 'partial'
                   ELSE end_step.outcome END,
    error = COALESCE(end_step.error, r.error),
    detail = CASE WHEN end_step.busy IS NULL OR strpos(r.detail, end_step.busy) > 0 THEN r.detail ELSE concat_ws('; ', r.detail, end_step.busy) END,
    finished_at = clock_timestamp()
WHERE r.cell = analytics_internal.cell_key() AND r.started_at = end_step.started AND r.step = end_step.step
RETURNING r.error
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.end_step(text, timestamptz, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.end_step(text, timestamptz, text, text, text) IS
    'records the end of a step and returns its error, or NULL; busy: what was in use (skipped). Forgets one that is always due and found nothing to do';

-- The first unit of a run queues what is dirty by then.
CREATE FUNCTION analytics_internal.repair_buckets(OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM analytics.job_runs AS r WHERE r.cell = analytics_internal.cell_key() AND r.step = 'repair_buckets' AND r.outcome = 'running' AND r.done = 0) THEN
        PERFORM analytics_internal.enqueue_repairs();
    END IF;
    rows := analytics_internal.repair_next();
    SELECT count(*) INTO total FROM analytics.pending_buckets AS p WHERE p.kind = 'day' AND p.turn IS NOT NULL;
    again := rows > 0 AND (total > 0 OR EXISTS (SELECT FROM analytics.pending_buckets AS p WHERE p.kind = 'totals'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.repair_buckets() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.repair_buckets() IS
    'repairs the workspace and day whose turn it is; total: days left';

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
    PERFORM analytics_internal.lock('rollups');
    UPDATE analytics.job_runs AS r SET (first_day, event_changes) = (SELECT c.first_day, c.event_changes FROM analytics_internal.open_changes() AS c)
    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'aggregate_open' AND r.outcome = 'running';
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
        SELECT (t.at AT TIME ZONE z.time_zone)::date
        FROM (VALUES (now()), (closed_until)) AS t (at), analytics_internal.zones_in_force(t.at) AS z (time_zone)
        ORDER BY 1
    LOOP
        written := written + analytics_internal.try_aggregate(day, NULL);
    END LOOP;
    PERFORM analytics_internal.release_days(closed_until, 'infinity');
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_open() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_open() IS
    'writes provisional rollups of the hours and local days that are not final yet, at most of the last 26 hours; returns how many';

-- One view's failure is reported by the function itself and leaves the others refreshed; raising it would undo them.
CREATE FUNCTION analytics_internal.refresh_views(OUT rows bigint, OUT busy text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failures text;
BEGIN
    SELECT count(*) FILTER (WHERE v.error IS NULL),
           string_agg(concat(v.view, ': ', v.error), '; ') FILTER (WHERE v.error IS NOT NULL AND NOT v.is_busy),
           string_agg(v.view || ' is in use', '; ') FILTER (WHERE v.is_busy)
    INTO rows, failures, busy
    FROM analytics_internal.refresh_all_materialized_views(false) AS v;
    UPDATE analytics.job_runs AS r SET detail = failures WHERE r.cell = analytics_internal.cell_key() AND r.step = 'refresh_views' AND r.outcome = 'running';
    IF rows = 0 AND failures IS NOT NULL THEN
        RAISE EXCEPTION 'no view could be refreshed' USING DETAIL = failures;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_views() IS
    'refreshes the materialized views and returns how many, and those in use. Failures of some go into detail of analytics.job_runs, of all are an error';

CREATE FUNCTION analytics_internal.cleanup(OUT rows bigint, OUT again boolean, OUT busy text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed record;
BEGIN
    SELECT sum(c.rows_deleted) AS rows, bool_or(c.has_more) AS has_more, bool_or(c.kept_unaggregated) AS kept_unaggregated,
           string_agg(c.note, '; ') FILTER (WHERE c.is_busy) AS busy,
           string_agg(concat(c.table_name, ': ', c.note), '; ') FILTER (WHERE c.note IS NOT NULL) AS notes
    INTO removed FROM analytics_internal.remove_old_data() AS c;
    UPDATE analytics.job_runs AS r SET detail = removed.notes, kept_unaggregated = removed.kept_unaggregated
    WHERE r.cell = analytics_internal.cell_key() AND r.step = 'cleanup' AND r.outcome = 'running';
    rows := removed.rows;
    again := removed.has_more AND removed.busy IS NULL;
    busy := removed.busy;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup() IS
    'one call of cleanup_old_data(), its notes in detail of analytics.job_runs; again: more partitions have expired than it drops; busy: partitions were in use';

CREATE FUNCTION analytics_internal.run_step(step text, started timestamptz, OUT again boolean, OUT busy text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
    units_left bigint;
BEGIN
    IF NOT analytics_internal.try_lock('maintenance') THEN
        RETURN;
    END IF;
    PERFORM analytics_internal.show_progress(step);
    PERFORM set_config('lock_timeout', '2s', true); -- never make others queue behind us for long
    again := false;
    CASE step
        WHEN 'mend_clock' THEN written := analytics_internal.mend_clock();
        WHEN 'create_partitions' THEN written := analytics_internal.make_partitions();
        WHEN 'maintain_cells' THEN SELECT c.* INTO written, again FROM analytics_internal.maintain_cells() AS c;
        WHEN 'close_buckets' THEN SELECT c.* INTO written, again, units_left FROM analytics_internal.close_next(analytics_internal.next_mark()) AS c;
        WHEN 'repair_buckets' THEN SELECT * INTO written, again, units_left FROM analytics_internal.repair_buckets();
        WHEN 'aggregate_cohorts' THEN SELECT c.* INTO written, again, units_left FROM analytics_internal.aggregate_due_cohorts() AS c;
        WHEN 'aggregate_open' THEN written := analytics_internal.aggregate_open();
        WHEN 'index_partitions' THEN SELECT i.* INTO written, again, busy FROM analytics_internal.index_closed_partitions(1) AS i;
        WHEN 'refresh_views' THEN SELECT v.* INTO written, busy FROM analytics_internal.refresh_views() AS v;
        WHEN 'cleanup' THEN SELECT c.* INTO written, again, busy FROM analytics_internal.cleanup() AS c;
        WHEN 'evaluate_alerts' THEN SELECT count(*) INTO written FROM analytics.evaluate_alert_rules();
        WHEN 'analyze' THEN
            ANALYZE analytics.user_activity; -- autovacuum never analyzes a partitioned table
            written := 1;
        ELSE
            RAISE EXCEPTION 'unknown step of maintenance'
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = format('It is %s.', COALESCE(quote_literal(left(step, 100)), 'NULL')),
                      HINT = (SELECT format('Steps are: %s.', string_agg(s.step, ', ' ORDER BY s.step)) FROM analytics_internal.steps() AS s);
    END CASE;
    UPDATE analytics.job_runs AS r
    SET rows = r.rows + COALESCE(written, 0), done = r.done + 1, total = r.done + 1 + units_left,
        error = COALESCE(r.error, analytics_internal.new_failures())
    WHERE r.cell = analytics_internal.cell_key() AND r.started_at = run_step.started AND r.step = run_step.step;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.run_step(text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.run_step(text, timestamptz) IS
    'does as much of a step as belongs into one transaction, and records its progress; again: there is more to do, NULL: another session is at work; busy: what was left because it is in use. An unknown step is an error (22023)';

-- Steps with more than one unit take turns, each for its share of the time that is left, so that none of them
-- waits for the end of another's backlog. Alerts, which cannot wait, are evaluated again every minute.
CREATE PROCEDURE analytics.maintain(time_budget interval DEFAULT '00:05:00', show_steps boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    deadline pg_catalog.timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) time_budget;
    run_started pg_catalog.timestamptz;
    steps pg_catalog.text[]; -- not finished, in turn
    starts pg_catalog.timestamptz[]; -- of each; NULL: not begun
    step pg_catalog.text;
    step_started pg_catalog.timestamptz;
    turn_end pg_catalog.timestamptz;
    alerts_until pg_catalog.timestamptz := 'infinity'; -- when alerts are due again
    is_more boolean;
    is_late boolean;
    code pg_catalog.text;
    reason pg_catalog.text;
    busy pg_catalog.text;
    error_seen pg_catalog.text;
    failures pg_catalog.text;
    unfinished boolean := false;
BEGIN
    IF time_budget IS NULL THEN
        RAISE EXCEPTION 'time_budget must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    run_started := analytics_internal.begin_step('maintain');
    steps := analytics_internal.due_steps();
    starts := pg_catalog.array_fill(NULL::pg_catalog.timestamptz, ARRAY[pg_catalog.cardinality(steps)]);
    COMMIT;
    IF run_started IS NULL THEN
        RAISE NOTICE 'maintenance is already running in another session';
        RETURN;
    END IF;

    WHILE pg_catalog.cardinality(steps) OPERATOR(pg_catalog.>) 0 LOOP
        IF alerts_until OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() THEN
            steps := pg_catalog.array_prepend('evaluate_alerts'::pg_catalog.text, steps);
            starts := pg_catalog.array_prepend(NULL::pg_catalog.timestamptz, starts);
            alerts_until := 'infinity';
        END IF;
        step := steps[1];
        step_started := COALESCE(starts[1], analytics_internal.begin_step(step));
        COMMIT;
        IF step_started IS NULL THEN
            RAISE NOTICE 'maintenance goes on in another session';
            RETURN;
        END IF;
        turn_end := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) LEAST(
            (deadline OPERATOR(pg_catalog.-) pg_catalog.clock_timestamp()) OPERATOR(pg_catalog./) pg_catalog.cardinality(steps),
            '20 seconds'::pg_catalog.interval);
        reason := NULL;
        busy := NULL;
        is_more := true;
        is_late := starts[1] IS NOT NULL AND pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
        WHILE NOT is_late LOOP
            BEGIN
                SELECT u.again, u.busy INTO is_more, busy FROM analytics_internal.run_step(step, step_started) AS u;
            EXCEPTION
                WHEN lock_not_available THEN
                    GET STACKED DIAGNOSTICS busy = MESSAGE_TEXT, code = PG_EXCEPTION_DETAIL;
                    IF code OPERATOR(pg_catalog.=) '' THEN -- not one of our own errors
                        busy := pg_catalog.concat_ws('; ', busy, analytics_internal.lock_holders());
                    END IF;
                    is_more := false;
                WHEN OTHERS THEN
                    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, reason = MESSAGE_TEXT;
                    reason := pg_catalog.concat(code, ': ', reason);
                    is_more := false;
            END;
            COMMIT;
            IF is_more IS NULL THEN
                RAISE NOTICE 'maintenance goes on in another session';
                RETURN;
            END IF;
            EXIT WHEN NOT is_more OR pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) turn_end;
        END LOOP;
        is_late := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) deadline;
        steps := steps[2:];
        starts := starts[2:];
        IF is_more AND NOT is_late THEN
            steps := pg_catalog.array_append(steps, step);
            starts := pg_catalog.array_append(starts, step_started);
            CONTINUE;
        END IF;
        IF step OPERATOR(pg_catalog.=) 'evaluate_alerts' THEN
            alerts_until := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) '1 minute'::pg_catalog.interval;
        END IF;
        IF reason IS NOT NULL THEN
            failures := pg_catalog.concat_ws(', ', failures, step);
        END IF;
        unfinished := unfinished OR is_more OR busy IS NOT NULL;
        reason := analytics_internal.end_step(step, step_started,
            CASE WHEN reason IS NOT NULL THEN 'failed' WHEN busy IS NOT NULL THEN 'skipped' WHEN is_more THEN 'partial' ELSE 'done' END,
            reason, busy);
        COMMIT;
        error_seen := COALESCE(error_seen, reason);
        IF show_steps THEN
            RAISE NOTICE '%: %', step, COALESCE(reason, 'skipped: ' OPERATOR(pg_catalog.||) busy,
                                                CASE WHEN is_more THEN 'to be continued' ELSE 'done' END);
        END IF;
    END LOOP;

    PERFORM analytics_internal.end_step('maintain', run_started,
        CASE WHEN failures IS NOT NULL THEN 'failed' WHEN unfinished THEN 'partial' ELSE 'done' END, failures);
    COMMIT;
    IF failures IS NOT NULL THEN
        RAISE WARNING 'steps of maintenance failed: %', failures
            USING HINT = 'See the column error of analytics.job_runs.';
    ELSIF error_seen IS NOT NULL THEN
        RAISE WARNING 'days of single workspaces could not be aggregated: %', error_seen
            USING HINT = 'See analytics.health(); those days are tried again.';
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics.maintain(interval, boolean) FROM PUBLIC;
COMMENT ON PROCEDURE analytics.maintain(interval, boolean) IS
    'does whatever is due, and returns. Partitions, alerts, finalization and repair of rollups, cohorts, provisional rollups of today, indexes, views, cleanup, statistics, and repairs after a clock that was ahead. It commits between units of work, so it cannot run inside a transaction block. Steps take turns, each for its share of the time, and are isolated: a step that fails is recorded in analytics.job_runs and the others run; a step that meets a lock is skipped until the next call. time_budget: when it is over, each step that has not begun does one unit. show_steps: a notice per step. Call it every minute; a second call at the same time returns at once';

CREATE FUNCTION analytics_internal.backfill_rollups(day date, OUT written bigint, OUT failures text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- only the day's partition is planned
SET DateStyle = 'ISO' -- cells are told the day as text
AS $$
DECLARE
    oldest timestamptz := greatest(day::timestamp AT TIME ZONE 'UTC', now() - analytics_internal.retention('hourly_metrics'));
    day_end timestamptz := least((day + 1)::timestamp AT TIME ZONE 'UTC', now());
BEGIN
    IF analytics_internal.has_cells() THEN
        SELECT sum((r ->> 'written')::bigint), string_agg(DISTINCT r ->> 'failures', '; ') INTO written, failures
        FROM analytics_internal.rows_of_cells(format('SELECT b.* FROM analytics_internal.backfill_rollups(%L) AS b', day)) AS r;
        RETURN;
    END IF;
    PERFORM analytics_internal.lock('rollups');
    -- What was noted while the events were loaded is done with the rest.
    written := analytics_internal.try_repair_day(NULL, day);
    IF written = 0 THEN
        PERFORM analytics_internal.count_day(day, NULL) FROM analytics.watermark AS w
        WHERE (day + 1)::timestamp AT TIME ZONE 'UTC' <= w.closed_until;
        written := analytics_internal.try_aggregate(day, NULL);
    END IF;
    written := written + COALESCE(sum(analytics_internal.try_aggregate(NULL, h.hour)), 0)
    FROM (SELECT DISTINCT date_trunc('hour', e.created_at, 'UTC') AS hour FROM analytics.user_activity AS e
          WHERE e.created_at >= oldest AND e.created_at < day_end) AS h;
    PERFORM analytics_internal.release_days(day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    failures := analytics_internal.new_failures();
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.backfill_rollups(date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.backfill_rollups(date) IS
    'rollups of one day of a backfill: how many were written, and what failed';

CREATE FUNCTION analytics_internal.backfill_day(started timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET citus.multi_shard_modify_mode = 'sequential' -- the rollups are made on the connections that have made the partition
AS $$
DECLARE
    day date;
    days_left integer;
    made record;
BEGIN
    IF NOT analytics_internal.try_lock('maintenance') THEN
        RETURN NULL;
    END IF;
    SELECT r.first_day + r.done::integer, r.last_day - r.first_day - r.done::integer INTO STRICT day, days_left FROM analytics.job_runs AS r
    WHERE r.cell = analytics_internal.cell_key() AND r.started_at = started AND r.step = 'backfill';
    PERFORM analytics_internal.show_progress('backfill ' || to_char(day, 'YYYY-MM-DD'));
    PERFORM set_config('lock_timeout', '2s', true); -- never make others queue behind us for long
    PERFORM analytics_internal.lock('rollups');
    BEGIN
        PERFORM analytics_internal.create_partitions(day, day);
    EXCEPTION WHEN duplicate_table THEN
        NULL; -- its partition was detached: what came since waits in the default partition
    END;
    made := analytics_internal.backfill_rollups(day);
    UPDATE analytics.job_runs AS r
    SET rows = r.rows + made.written, done = r.done + 1, total = r.done + 1 + days_left, error = COALESCE(r.error, made.failures)
    WHERE r.cell = analytics_internal.cell_key() AND r.started_at = started AND r.step = 'backfill';
    RETURN days_left;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.backfill_day(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.backfill_day(timestamptz) IS
    'partition and rollups of the next day of the backfill that began then; how many days are left. NULL when another session is at work, an error (55P03) when something is in use for two seconds';

CREATE FUNCTION analytics_internal.latest_day() RETURNS date
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
SELECT max((now() AT TIME ZONE z.time_zone)::date)
FROM (SELECT 'UTC' AS time_zone UNION SELECT s.time_zone FROM analytics.workspace_settings AS s WHERE s.valid_from <= now()) AS z
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.latest_day() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.latest_day() IS
    'the latest local day that has begun, in UTC or in the time zone of any workspace';

CREATE PROCEDURE analytics.backfill(start_date date, end_date date)
LANGUAGE plpgsql
AS $$
DECLARE
    started pg_catalog.timestamptz;
    days_left pg_catalog.int4;
    busy pg_catalog.text;
    reason pg_catalog.text;
BEGIN
    IF start_date IS NULL OR end_date IS NULL THEN
        RAISE EXCEPTION 'start_date and end_date must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF start_date OPERATOR(pg_catalog.>) end_date THEN
        RAISE EXCEPTION 'start_date is after end_date'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = pg_catalog.concat('The range is ', pg_catalog.to_char(start_date, 'YYYY-MM-DD'), ' to ',
                                                pg_catalog.to_char(end_date, 'YYYY-MM-DD'), '.');
    ELSIF end_date OPERATOR(pg_catalog.>) analytics_internal.latest_day() THEN
        RAISE EXCEPTION 'end_date is in the future'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = pg_catalog.concat(pg_catalog.to_char(end_date, 'YYYY-MM-DD'), ' is later than ',
                                             pg_catalog.to_char(analytics_internal.latest_day(), 'YYYY-MM-DD'), ', the latest day that has begun anywhere.'),
                  HINT = 'Backfill days up to today; partitions ahead are made by analytics.maintain().';
    END IF;
    reason := analytics_internal.expiry_notice(start_date);
    IF reason IS NOT NULL THEN
        RAISE WARNING '%', reason
            USING HINT = pg_catalog.concat('To keep them for ever: ', analytics_internal.keeping_statement());
    END IF;
    started := analytics_internal.begin_step('backfill', start_date, end_date);
    IF started IS NULL THEN
        RAISE NOTICE 'maintenance is running in another session; call backfill again';
        RETURN;
    END IF;
    COMMIT;
    LOOP
        BEGIN
            days_left := analytics_internal.backfill_day(started);
        EXCEPTION WHEN lock_not_available THEN
            GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT;
            days_left := NULL;
            IF busy IS NULL THEN
                RAISE NOTICE 'backfill goes on when the lock is free: %', reason;
            END IF;
            busy := reason;
        END;
        COMMIT;
        EXIT WHEN days_left OPERATOR(pg_catalog.=) 0;
        IF days_left IS NOT NULL THEN
            busy := NULL;
        ELSE
            PERFORM pg_catalog.pg_sleep(0.1);
        END IF;
    END LOOP;
    reason := analytics_internal.end_step('backfill', started, 'done');
    COMMIT;
    IF reason IS NOT NULL THEN
        RAISE WARNING 'days of single workspaces could not be aggregated: %', reason
            USING HINT = 'See analytics.health(); analytics.maintain() tries those days again.';
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics.backfill(date, date) FROM PUBLIC;
COMMENT ON PROCEDURE analytics.backfill(date, date) IS
    'makes the partitions and rollups of imported history, day by day in date order. It commits after each day, so it cannot run inside a transaction block; progress in analytics.job_progress. Called again with the same dates after an interruption it continues where it stopped. Days later than today are an error (22023), NULL too (22004)';

-- Who calls maintain(), and what keeps them from it.

CREATE FUNCTION analytics_internal.worker_interval() RETURNS interval
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_worker_interval';
REVOKE EXECUTE ON FUNCTION analytics_internal.worker_interval() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.worker_interval() IS
    'how often the background worker calls maintain() in this database; NULL: it does not';

CREATE FUNCTION analytics_internal.cron_elsewhere() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format('In database %I, where pg_cron is: SELECT cron.schedule_in_database(%L, ''* * * * *'', ''CALL analytics.maintain()'', %L).',
              home, 'shadow-analytics-maintain-' || current_database(), current_database())
FROM current_setting('cron.database_name', true) AS home
WHERE home <> current_database()
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cron_elsewhere() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cron_elsewhere() IS
    'how to schedule maintain() where pg_cron is in another database; NULL: it is in none';

CREATE FUNCTION analytics_internal.require_cron() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RAISE EXCEPTION 'extension "pg_cron" is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Jobs are scheduled in the database that pg_cron is installed in.',
                  HINT = COALESCE(analytics_internal.cron_elsewhere(),
                                  'Install pg_cron, preload shadow_analytics, or let any scheduler run every minute: psql -c ''CALL analytics.maintain()''.');
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.require_cron() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.require_cron() IS
    'an error (55000) where pg_cron is not installed';

CREATE FUNCTION analytics_internal.cron_obstacle(user_name name, OUT obstacle text, OUT cure text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    host CONSTANT text := current_setting('cron.host', true);
    method text;
BEGIN
    cure := format('ALTER SYSTEM SET cron.use_background_workers = on, and restart PostgreSQL. Or ALTER SYSTEM SET cron.host = %L, restart, and schedule again; or keep the password in .pgpass of the server''s user.',
                   split_part(current_setting('unix_socket_directories'), ',', 1));
    IF current_setting('cron.use_background_workers', true)::boolean OR host = '' OR host LIKE '/%' THEN
        RETURN;
    ELSIF current_setting('listen_addresses') = '' THEN
        obstacle := format('pg_cron connects to "%s" by TCP, and the server listens to no address', host);
    ELSIF has_function_privilege('pg_hba_file_rules()', 'EXECUTE') THEN
        -- By the first rule for a connection from the server to itself, as it stands in the file.
        SELECT COALESCE((SELECT r.auth_method
                         FROM (SELECT h.*, row_number() OVER () AS place FROM pg_hba_file_rules() AS h) AS r
                         WHERE r.type IN ('host', 'hostssl', 'hostnossl')
                           AND r.database && ARRAY['all', current_database()::text]
                           AND r.user_name && ARRAY['all', cron_obstacle.user_name::text]
                           AND r.address IN ('127.0.0.1', '127.0.0.0', '::1', '0.0.0.0', '::', 'localhost', 'all', 'samehost', 'samenet')
                         ORDER BY r.place LIMIT 1), 'reject') INTO method;
    END IF;
    IF method <> 'trust' THEN
        obstacle := format('pg_cron connects to "%s" by TCP as "%s", for whom pg_hba.conf says %s', host, user_name, method);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cron_obstacle(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cron_obstacle(name) IS
    'why pg_cron cannot connect for a user, by its settings and pg_hba.conf (NULL: it can, or nobody may tell), and what lets it connect';

CREATE FUNCTION analytics.schedule_jobs(OUT job_name text, OUT schedule text, OUT command text) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cron record;
BEGIN
    PERFORM analytics_internal.require_cron();
    job_name := 'shadow-analytics-maintain';
    schedule := '* * * * *';
    command := 'CALL analytics.maintain()';
    EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job_name, schedule, command;
    RETURN NEXT;
    cron := analytics_internal.cron_obstacle(current_user);
    IF cron.obstacle IS NOT NULL THEN
        RAISE NOTICE 'scheduled, but the runs will fail: %', cron.obstacle
            USING HINT = cron.cure;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.schedule_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics.schedule_jobs() IS
    'lets pg_cron call analytics.maintain() every minute, in whatever time zone. maintain() knows itself what is due. May be repeated. A notice says what to do where the settings of pg_cron cannot work. Without pg_cron in this database an error (55000) that says what to do instead';

CREATE FUNCTION analytics.unschedule_jobs() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM analytics_internal.require_cron();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j WHERE j.jobname = ''shadow-analytics-maintain'' AND j.database = current_database()'
    INTO removed;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.unschedule_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics.unschedule_jobs() IS
    'takes back analytics.schedule_jobs(); the number of jobs removed, 0 when none was scheduled';
-- Alerts: rules, what they have found, their evaluation and acknowledgment.

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
    evaluation_delay_minutes integer NOT NULL DEFAULT 0,
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
    'what to watch: a metric over a window, a condition, whom to tell. Evaluated by analytics.evaluate_alert_rules(). A change of metric, condition, thresholds, window, delay, scope or workspace, and switching off, end an open episode';
COMMENT ON COLUMN analytics.alert_rules.workspace_id IS
    'workspace whose events are watched. The nil uuid: events without a workspace, or every workspace where scope = platform';
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
    'bound in the metric''s unit. For anomaly the modified z-score above which it fires (default 3.5), for poisson and binomial the probability below which it fires';
COMMENT ON COLUMN analytics.alert_rules.threshold_max IS
    'upper bound of between; NULL for other conditions';
COMMENT ON COLUMN analytics.alert_rules.evaluation_window_minutes IS
    'length of the window, 1 to 1440 minutes; unused by anomaly, poisson and binomial';
COMMENT ON COLUMN analytics.alert_rules.evaluation_delay_minutes IS
    'how long before the evaluation the window ends, 0 to 60 minutes: for events that arrive late. Scores look at the last hour that is over by then';
COMMENT ON COLUMN analytics.alert_rules.for_minutes IS
    'how long the condition must hold before the rule fires, 0 to 1440 minutes; until then it is pending';
COMMENT ON COLUMN analytics.alert_rules.cooldown_minutes IS
    'after a notification no new episode is notified for so long, 0 to 10080 minutes. An episode that outlasts it is notified then';
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
    'where each rule stands. Written by analytics.evaluate_alert_rules() when a state changes, no row: ok since ever';
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
    'what the window held. window_start, window_end, counts of events, users, runs and errors, the agents and error types with most failures, samples of errors (the latest different messages, redacted); for scores the baseline';
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

CREATE POLICY member_reads ON analytics.alert_rules FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rules IS
    'members read their workspaces';
CREATE POLICY manager_inserts ON analytics.alert_rules FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.alert_rules IS
    'managers make rules for their workspaces';
CREATE POLICY manager_updates ON analytics.alert_rules FOR UPDATE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.alert_rules IS
    'managers change any rule of their workspaces, whoever made it';
CREATE POLICY manager_deletes ON analytics.alert_rules FOR DELETE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
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

CREATE FUNCTION analytics_internal.threshold_problem(rule record) RETURNS text
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
REVOKE EXECUTE ON FUNCTION analytics_internal.threshold_problem(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.threshold_problem(record) IS
    'what threshold_value of a row of analytics.alert_rules should be instead; NULL if it is right';

CREATE FUNCTION analytics_internal.alert_words(
    OUT metrics text[], OUT conditions text[], OUT scored_conditions text[], OUT no_data text[])
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_alert_words';
COMMENT ON FUNCTION analytics_internal.alert_words() IS
    'the words that rules may use: metric_type, condition, of these the ones that compare with earlier hours, no_data';

CREATE FUNCTION analytics_internal.rule_problem(
    rule record, OUT field text, OUT value text, OUT allowed text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words record;
BEGIN
    SELECT * INTO words FROM analytics_internal.alert_words();
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
            rule.metric_type = ANY (words.metrics), array_to_string(words.metrics, ', ')),
        (6, 'condition', rule.condition,
            rule.condition = ANY (words.conditions), array_to_string(words.conditions, ', ')),
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
        (12, 'evaluation_delay_minutes', rule.evaluation_delay_minutes::text,
            rule.evaluation_delay_minutes BETWEEN 0 AND 60, '0 to 60'),
        (13, 'for_minutes', rule.for_minutes::text, rule.for_minutes BETWEEN 0 AND 1440, '0 to 1440'),
        (14, 'cooldown_minutes', rule.cooldown_minutes::text, rule.cooldown_minutes BETWEEN 0 AND 10080, '0 to 10080'),
        (15, 'severity', rule.severity, rule.severity IN ('info', 'warning', 'critical'), 'info, warning, critical'),
        (16, 'no_data', rule.no_data, rule.no_data = ANY (words.no_data), array_to_string(words.no_data, ', ')),
        (17, 'notification_channels', rule.notification_channels::text,
            analytics_internal.is_text_array(rule.notification_channels, '^(email|slack|webhook)$'),
            'an array of email, slack, webhook, each once'),
        (18, 'notification_recipients', rule.notification_recipients::text,
            analytics_internal.is_text_array(rule.notification_recipients, '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$'),
            'an array of at most 20 names of destinations, each once')
    ) AS c (place, field, value, is_right, allowed)
    WHERE c.is_right IS NOT TRUE
    ORDER BY c.place
    LIMIT 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.rule_problem(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.rule_problem(record) IS
    'the first field of a row of analytics.alert_rules that is wrong, its value and what is allowed. NULLs if none is';

-- The channels of a rule and its destinations go together; destinations may be dropped later.
CREATE FUNCTION analytics_internal.missing_recipient(rule record) RETURNS text
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
REVOKE EXECUTE ON FUNCTION analytics_internal.missing_recipient(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.missing_recipient(record) IS
    'the first recipient of a row of analytics.alert_rules that is no destination of its workspace in one of its channels; NULL if none';

CREATE FUNCTION analytics_internal.alert_rule_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    NEW.workspace_id := coalesce(NEW.workspace_id, '00000000-0000-0000-0000-000000000000');
    IF NEW.condition = 'anomaly' THEN
        NEW.threshold_value := coalesce(NEW.threshold_value, 3.5);
    END IF;
    IF NEW.scope = 'platform' THEN
        PERFORM analytics_internal.refuse_distributed('a rule of the whole platform', 'Make a rule for each workspace; each is evaluated where its events are.');
    END IF;
    problem := analytics_internal.rule_problem(NEW);
    IF problem.field IS NOT NULL THEN
        RAISE EXCEPTION 'invalid % of an alert rule', problem.field
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('%s is %s.', problem.field, coalesce(quote_literal(left(problem.value, 200)), 'NULL')),
                  HINT = format('Allowed is: %s.', problem.allowed);
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.created_by := coalesce(analytics.current_user_id(), NEW.created_by);
        NEW.trigger_count := coalesce(NEW.trigger_count, 0); -- without default on Citus, as the dates are
        NEW.created_at := coalesce(NEW.created_at, now());
        NEW.updated_at := coalesce(NEW.updated_at, now());
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
        condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity,
        no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.alert_rule_check();
COMMENT ON TRIGGER check_rule ON analytics.alert_rules IS
    'refuses a rule that could not be evaluated';

-- After row security has judged the row: who has no part in a workspace learns nothing about its destinations. A dump's
-- destinations come after its rules.
CREATE FUNCTION analytics_internal.recipients_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text := analytics_internal.missing_recipient(NEW);
BEGIN
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'invalid notification_recipients of an alert rule'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The workspace has no destination %s in one of the rule''s channels.', quote_literal(missing)),
                  HINT = 'Make it with analytics.set_notification_destination(), and name its channel in notification_channels.';
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.recipients_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.recipients_check() IS
    'row trigger: refuses a rule whose recipients are no destinations of its workspace (22023)';
CREATE TRIGGER check_recipients AFTER INSERT OR UPDATE OF workspace_id, name, is_active, notification_channels,
        notification_recipients ON analytics.alert_rules
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('alert_rules'))
    EXECUTE FUNCTION analytics_internal.recipients_check();
COMMENT ON TRIGGER check_recipients ON analytics.alert_rules IS
    'refuses a rule whose recipients are no destinations of its workspace';

CREATE FUNCTION analytics_internal.lock_workspace(workspace_id uuid) RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'shadow_lock_workspace';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_workspace(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_workspace(uuid) IS
    'waits until no other transaction counts what the workspace has, and keeps others waiting to the end of this one';

-- After row security has judged the row, or the error would tell strangers how many there are.
CREATE FUNCTION analytics_internal.workspace_limit_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT bigint := analytics.setting(TG_ARGV[0])::bigint;
    present bigint;
BEGIN
    PERFORM analytics_internal.lock_workspace(NEW.workspace_id); -- before the count, whose snapshot is taken then
    EXECUTE format('SELECT count(*) FROM (SELECT FROM analytics.%I AS t WHERE t.workspace_id = $1 LIMIT $2) AS c', TG_TABLE_NAME)
    INTO present USING NEW.workspace_id, most + 1;
    IF present > most THEN
        RAISE EXCEPTION 'too many rows of a workspace in table "%"', TG_TABLE_NAME
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = format('At most %s are allowed; the operator allows more with the setting %s.', most, TG_ARGV[0]);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_limit_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_limit_check() IS
    'row trigger: a workspace has at most as many rows as the setting that is its argument says (54000)';
CREATE TRIGGER limit_rules AFTER INSERT ON analytics.alert_rules
    FOR EACH ROW WHEN (row_security_active('analytics.alert_rules'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('alert_rules_per_workspace');
COMMENT ON TRIGGER limit_rules ON analytics.alert_rules IS
    'roles under row security make so many rules in a workspace at most. Setting alert_rules_per_workspace';

CREATE FUNCTION analytics_internal.alert_rule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.is_active
       AND (OLD.workspace_id, OLD.id, OLD.scope, OLD.metric_type, OLD.condition, OLD.threshold_value, OLD.threshold_max,
            OLD.evaluation_window_minutes, OLD.evaluation_delay_minutes)
           IS NOT DISTINCT FROM
           (NEW.workspace_id, NEW.id, NEW.scope, NEW.metric_type, NEW.condition, NEW.threshold_value, NEW.threshold_max,
            NEW.evaluation_window_minutes, NEW.evaluation_delay_minutes) THEN
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
        threshold_max, evaluation_window_minutes, evaluation_delay_minutes OR DELETE ON analytics.alert_rules
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

-- PL/pgSQL, as on several servers the query must not become a part of another.
CREATE FUNCTION analytics_internal.with_agent_names(workspace_id uuid, context jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named jsonb := (SELECT jsonb_agg(CASE WHEN n.name IS NULL THEN a.agent ELSE a.agent || jsonb_build_object('name', n.name) END ORDER BY a.place)
                    FROM jsonb_array_elements(context -> 'failing_agents') WITH ORDINALITY AS a (agent, place)
                    LEFT JOIN analytics.agents AS n
                      ON n.workspace_id = with_agent_names.workspace_id AND n.agent_id = (a.agent ->> 'agent_id')::uuid);
BEGIN
    RETURN CASE WHEN named IS NULL THEN context ELSE jsonb_set(context, '{failing_agents}', named) END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.with_agent_names(uuid, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.with_agent_names(uuid, jsonb) IS
    'evaluation_context with the names of analytics.agents beside the uuids of failing_agents; one without agents as it is';

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
               v.metric_type, v.condition, v.metric_value, v.threshold_value, v.reason,
               analytics_internal.with_agent_names(v.workspace_id, v.evaluation_context)
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

CREATE FUNCTION analytics_internal.evaluate_alert_rules(at timestamptz)
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    PERFORM analytics_internal.refuse_distributed('evaluating alert rules by hand', 'CALL analytics.maintain(), which evaluates them on each server.');
    -- At any other moment the windows are empty and every episode would end.
    IF (at < now() - interval '1 hour' OR at > clock_timestamp() + interval '1 minute') AND isfinite(at)
       AND NOT pg_has_role(analytics_internal.invoking_role(), current_user, 'USAGE') THEN
        RAISE EXCEPTION 'alert rules are evaluated as of now'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The moment is %s.', at),
                  HINT = 'Give a moment of the last hour, or ask analytics.test_alert_rule() about another.';
    END IF;
    -- One evaluation at a time; whoever waited sees what the other has written.
    PERFORM analytics_internal.lock('alerts');
    RETURN QUERY SELECT v.* FROM analytics_internal.apply_alert_verdicts(at) AS v;
    PERFORM analytics_internal.queue_notifications(at);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.evaluate_alert_rules(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.evaluate_alert_rules(timestamptz) IS
    'analytics.evaluate_alert_rules() as of a moment, with the rights of the owner; for simulations. But for the owner the moment must be within the last hour (22023)';

CREATE FUNCTION analytics.evaluate_alert_rules()
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT e.* FROM analytics_internal.evaluate_alert_rules(now()) AS e $$;
REVOKE EXECUTE ON FUNCTION analytics.evaluate_alert_rules() FROM PUBLIC;
COMMENT ON FUNCTION analytics.evaluate_alert_rules() IS
    'evaluates every active rule as of now, from one scan of the events of their windows. Opens and ends episodes (alert_history), writes notifications. One row per rule: alert_rule_id, triggered (the rule is firing), metric_value (NULL: no data), threshold_value, state (ok, pending, firing, or resolved just now), reason, workspace_id, alert_id (the episode). To be run every minute or so, for instance by pg_cron; concurrent calls wait for each other. In REPEATABLE READ it may fail with 40001';

CREATE FUNCTION analytics_internal.test_alert_rule(rule_id uuid, at timestamptz)
RETURNS TABLE (triggered boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_column
DECLARE
    sees_all boolean := (SELECT r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, current_user, 'USAGE')
                         FROM pg_roles AS r WHERE r.rolname = analytics_internal.invoking_role());
    managed CONSTANT uuid[] := analytics_internal.managed_workspace_ids();
    place uuid;
BEGIN
    IF rule_id IS NULL OR at IS NULL THEN
        RAISE EXCEPTION 'id and at must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT r.workspace_id INTO place FROM analytics.alert_rules AS r WHERE r.id = rule_id AND (sees_all OR r.workspace_id = ANY (managed));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert rule "%" does not exist', rule_id USING ERRCODE = 'no_data_found';
    ELSIF analytics_internal.has_cells() THEN
        RETURN QUERY
        SELECT m.* FROM jsonb_to_recordset(analytics_internal.in_cell_of(place, format(
            'SELECT jsonb_agg(to_jsonb(m)) FROM analytics_internal.measure_alert_rules(%L, %L) AS m', to_jsonb(at) #>> '{}', rule_id)))
            AS m (holds boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb);
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.holds, m.metric_value, m.threshold_value, m.reason, analytics_internal.with_agent_names(m.workspace_id, m.evaluation_context)
    FROM analytics_internal.measure_alert_rules(at, rule_id) AS m;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.test_alert_rule(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.test_alert_rule(uuid, timestamptz) IS
    'analytics.test_alert_rule with the rights of the owner, for who may change the rule';

CREATE FUNCTION analytics.test_alert_rule(id uuid, at timestamptz DEFAULT now())
RETURNS TABLE (triggered boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.* FROM analytics_internal.test_alert_rule(test_alert_rule.id, test_alert_rule.at) AS t;
END;
REVOKE EXECUTE ON FUNCTION analytics.test_alert_rule(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.test_alert_rule(uuid, timestamptz) IS
    'what a rule, active or not, would have found at a moment, without effects. triggered (its condition held; for_minutes is not waited for), the value, why, and what the window held. For the service role and for managers of the rule''s workspace; another''s rule is as unknown as one that does not exist (P0002), NULL too (22004)';

-- Acknowledging

CREATE FUNCTION analytics_internal.alert_history_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
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
    'row trigger: an acknowledgment is by the current user and dated now. A snooze is for at most 30 days (22023)';
CREATE TRIGGER check_acknowledgment BEFORE UPDATE OF acknowledged_by, acknowledged_at, snoozed_until ON analytics.alert_history
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('alert_history')) -- not analytics.forget_user()
    EXECUTE FUNCTION analytics_internal.alert_history_check();
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
    IF NOT FOUND AND NOT EXISTS (SELECT 1 FROM analytics.alert_history AS h WHERE h.id = alert_id) THEN
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
    'no notification about the episode''s rule before an instant, at most 30 days ahead (22023). NULL ends the snooze. An episode that the caller cannot see is an error (P0002)';

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
-- Notifications: where they go, the outbox that the evaluation fills, and the functions of
-- shadow-analytics-notifier, which empties it.

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
    'where notifications go, by name. Addresses and secrets are never readable through the API, see analytics.notification_destination_list';
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
    'messages to be delivered by shadow-analytics-notifier, written in the transaction of the episode. Delivered at least once';
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

CREATE POLICY manager_reads ON analytics.notification_destinations FOR SELECT
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_reads ON analytics.notification_destinations IS
    'managers read the names; addresses and secrets are not granted';
CREATE POLICY manager_inserts ON analytics.notification_destinations FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.notification_destinations IS
    'managers make destinations for their workspaces';
CREATE POLICY manager_updates ON analytics.notification_destinations FOR UPDATE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.notification_destinations IS
    'managers change destinations of their workspaces';
CREATE POLICY manager_deletes ON analytics.notification_destinations FOR DELETE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.notification_destinations IS
    'managers delete destinations of their workspaces';
CREATE POLICY member_reads ON analytics.notification_outbox FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.notification_outbox IS
    'members see what became of their workspaces'' notifications; the messages are not granted';

-- The outbox

CREATE FUNCTION analytics_internal.notification_message(alert record, kind text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
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
        'resolved_at', to_char(alert.resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_message(record, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_message(record, text) IS
    'what a notification says about an episode, a row of analytics.alert_history. The notifier makes mail, Slack blocks or JSON of it';

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
    ON CONFLICT DO NOTHING;
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

-- Destinations

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
    domains text[] := regexp_split_to_array(lower(analytics.setting('email_domains_allowed') COLLATE "C"), '[[:space:]]*,[[:space:]]*'); -- not Turkish: I is i
BEGIN
    RETURN '*' = ANY (domains) OR lower(split_part(address, '@', 2) COLLATE "C") = ANY (domains);
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
    'queues the mail with the code that verifies an address, at most 5 an hour and workspace (54000). Returns the code''s SHA-256';

CREATE FUNCTION analytics_internal.check_address(destination record) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed CONSTANT text := analytics_internal.address_problem(destination.channel, destination.address);
BEGIN
    -- The values themselves are secret and stay out of errors, which are logged: a constraint would show the whole row.
    IF destination.workspace_id IS NULL OR destination.name IS NULL OR destination.channel IS NULL OR destination.address IS NULL THEN
        RAISE EXCEPTION 'workspace_id, name, channel and address of a notification destination must not be NULL'
            USING ERRCODE = 'not_null_violation';
    ELSIF destination.channel NOT IN ('email', 'slack', 'webhook') THEN
        RAISE EXCEPTION 'invalid channel of a notification destination'
            USING ERRCODE = 'check_violation', HINT = 'Allowed is: email, slack, webhook.';
    ELSIF destination.name !~ '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$' THEN
        RAISE EXCEPTION 'invalid name of a notification destination'
            USING ERRCODE = 'check_violation', HINT = 'Allowed is: up to 63 ASCII letters, digits, spaces, dots, hyphens and underscores.';
    ELSIF allowed IS NOT NULL THEN
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
REVOKE EXECUTE ON FUNCTION analytics_internal.check_address(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_address(record) IS
    'refuses NULLs (23502), a wrong channel or name (23514), address or secret (22023), without repeating them, and a tenant''s mail to a domain that is not allowed (42501)';

-- Before the other triggers, which ask what the workspace has: what they find would tell strangers.
CREATE FUNCTION analytics_internal.refuse_stranger() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'new row violates row-level security policy for table "%"', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refuse_stranger() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refuse_stranger() IS
    'row trigger: refuses as a policy does (42501)';
CREATE TRIGGER allow_managers BEFORE INSERT OR UPDATE OF workspace_id ON analytics.notification_destinations
    FOR EACH ROW WHEN (row_security_active('analytics.notification_destinations'::text)
                       AND (coalesce(NEW.workspace_id, '00000000-0000-0000-0000-000000000000')
                            = ANY (analytics_internal.managed_workspace_ids())) IS NOT TRUE)
    EXECUTE FUNCTION analytics_internal.refuse_stranger();
COMMENT ON TRIGGER allow_managers ON analytics.notification_destinations IS
    'membership is judged before anything that depends on the workspace';

CREATE FUNCTION analytics_internal.destination_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_tenant CONSTANT boolean := analytics.current_user_id() IS NOT NULL;
BEGIN
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
    NEW.created_at := coalesce(NEW.created_at, now()); -- no default on Citus
    NEW.updated_at := CASE WHEN TG_OP = 'INSERT' THEN coalesce(NEW.updated_at, now()) ELSE now() END;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.destination_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.destination_check() IS
    'row trigger: checks address and secret. What tenants enter as mail address is unverified, and gets a code to confirm it';
CREATE TRIGGER check_destination BEFORE INSERT OR UPDATE OF workspace_id, name, channel, address, signing_secret
    ON analytics.notification_destinations
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('notification_destinations'))
    EXECUTE FUNCTION analytics_internal.destination_check();
COMMENT ON TRIGGER check_destination ON analytics.notification_destinations IS
    'checks address and secret; mail addresses of tenants start unverified';

CREATE TRIGGER limit_destinations AFTER INSERT ON analytics.notification_destinations
    FOR EACH ROW WHEN (row_security_active('analytics.notification_destinations'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('destinations_per_workspace');
COMMENT ON TRIGGER limit_destinations ON analytics.notification_destinations IS
    'roles under row security make so many destinations in a workspace at most. Setting destinations_per_workspace';

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
    'row trigger: verifies a destination when the hash of its code is written. Another one is an error (22023)';
CREATE TRIGGER check_verification BEFORE UPDATE OF verification_hash ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.verification_check();
COMMENT ON TRIGGER check_verification ON analytics.notification_destinations IS
    'verifies a destination when the hash of its code is written';

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
    'makes or replaces a destination: channel email, slack or webhook. Address or https URL, which nobody can read back through the API; signing_secret (16 to 200 characters) signs webhooks. A mail address set by a tenant must be of an allowed domain (42501) and be verified by the code mailed to it. A wrong value is an error (22023, 23514)';

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
    'confirms a mail address with the code mailed to it, within a day. A wrong code is an error (22023), an unknown destination too (P0002)';

-- A function, as on Citus the view itself would read the addresses with the rights of who asks.
CREATE FUNCTION analytics_internal.managed_destinations(
    OUT workspace_id uuid, OUT name text, OUT channel text, OUT masked_address text, OUT is_signed boolean, OUT is_verified boolean,
    OUT created_at timestamptz, OUT updated_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    managed CONSTANT uuid[] := analytics_internal.managed_workspace_ids();
BEGIN
    RETURN QUERY
    SELECT d.workspace_id, d.name, d.channel,
           CASE d.channel WHEN 'email' THEN left(d.address, 1) || '***@' || split_part(d.address, '@', 2)
                          ELSE 'https://' || split_part(d.address, '/', 3) || '/***' END,
           d.signing_secret IS NOT NULL, d.is_verified, d.created_at, d.updated_at
    FROM analytics.notification_destinations AS d
    WHERE d.workspace_id = ANY (managed);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.managed_destinations() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.managed_destinations() IS
    'rows of analytics.notification_destination_list';

CREATE VIEW analytics.notification_destination_list WITH (security_barrier = true) AS
SELECT d.workspace_id, d.name, d.channel, d.masked_address, d.is_signed, d.is_verified, d.created_at, d.updated_at
FROM analytics_internal.managed_destinations() AS d;
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
    'up to so many messages that may be sent now, oldest first. Of one destination at most most_of_one, those being sent included';

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
    IF analytics_internal.has_cells() THEN
        RETURN QUERY
        SELECT r.* FROM analytics_internal.rows_of_cells(format(
                 'SELECT c.* FROM analytics_internal.claim_notifications(%L, %s, %L) AS c', worker,
                 greatest(most / greatest((SELECT count(*) FROM analytics.watermark), 1), 1), lease)) AS found (row),
             jsonb_to_record(found.row) AS r (workspace_id uuid, id uuid, attempt integer, channel text, address text, signing_secret text, subject text, body text);
        RETURN;
    END IF;
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
    'leases up to so many due messages to a notifier, with what it needs to send them (secrets included). Those whose lease ran out are due again. Messages that cannot be delivered become dead';

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
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cell_of(workspace_id, format('SELECT to_jsonb(analytics_internal.record_delivery(%L, %L, %L, %L, %L, %L, %L, %L, %L))',
            worker, workspace_id, id, is_delivered, is_final, response_status, latency_ms, error, retry_after)) #>> '{}';
    END IF;
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
-- Reading: functions over the rollups. They run as the caller, so row security decides which workspaces count.

-- Functions that a refresh calls per row are not STRICT: PostgreSQL would not inline them.

-- Wilson (1927), J. Am. Stat. Assoc. 22(158):209-212: lower end of the score interval,
-- (p + z^2/2n - z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.959964.
CREATE FUNCTION analytics_internal.wilson_lower_bound(successes bigint, trials bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN trials > 0 AND successes BETWEEN 0 AND trials THEN
    round(((successes + 1.920729410347062
            - 1.959963984540054 * sqrt(successes::double precision * (trials - successes) / trials + 0.960364705173531))
           / (trials + 3.841458820694124))::numeric, 4)
END;
COMMENT ON FUNCTION analytics_internal.wilson_lower_bound(bigint, bigint) IS
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
    'growing or declining where the totals of two periods of equal length differ by more than 5 %. Else stable; new where the previous one is 0 and the current one is not; NULL for NULL';

CREATE FUNCTION analytics.growth_rate(current_value numeric, previous_value numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(100 * (current_value - previous_value) / nullif(previous_value, 0), 2);
COMMENT ON FUNCTION analytics.growth_rate(numeric, numeric) IS
    'growth from the previous to the current value in percent, 2 decimals. NULL where the previous one is 0 or either is NULL';

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
    is_final boolean,
    currency text,
    cost_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- always the key's range: planning would take as long as reading
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
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
    ELSIF fill_gaps AND last_date - first_date >= 36525 THEN
        RAISE EXCEPTION 'too many days'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('The call asks for %s.', last_date - first_date + 1),
                  HINT = 'At most 36525 are allowed; ask for shorter ranges, or leave fill_gaps out.';
    END IF;

    RETURN QUERY
    SELECT d.metric_date, d.active_users, d.total_runs, d.successful_runs, d.failed_runs, d.success_rate::numeric,
           d.total_credits_consumed, d.avg_runtime_seconds, d.unique_agents_run, d.total_sessions, d.total_events,
           d.total_errors, d.error_rate::numeric, d.total_cost, d.is_final, d.currency, d.cost_reason
    FROM analytics.daily_metrics AS d
    WHERE d.workspace_id = get_workspace_metrics.workspace_id AND d.metric_date BETWEEN first_date AND last_date
    UNION ALL
    SELECT first_date + g.i, 0, 0, 0, 0, NULL, 0, NULL, 0, 0, 0, 0, NULL, NULL, first_date + g.i < today, NULL, NULL
    FROM generate_series(0, CASE WHEN fill_gaps THEN least(last_date, today) - first_date ELSE -1 END) AS g (i)
    WHERE EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_metrics.workspace_id)
      AND NOT EXISTS (SELECT FROM analytics.daily_metrics AS m
                      WHERE m.workspace_id = get_workspace_metrics.workspace_id AND m.metric_date = first_date + g.i)
    ORDER BY 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) IS
    'daily metrics of a workspace from start_date to end_date, both included, ascending. Default: the last 30 complete days. A day without an event has no row, or with fill_gaps one with counts 0 and rates NULL (none in the future). No row for a workspace that the caller may not see. Errors: start_date after end_date, an infinite range with fill_gaps (22023); more than 36,525 days with fill_gaps (54000)';

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
    last_active_date date,
    agent_name text,
    currency text,
    cost_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- as get_workspace_metrics()
AS $$
DECLARE
    agent_workspaces uuid[] := ARRAY(SELECT DISTINCT p.workspace_id FROM analytics.agent_performance AS p
                                     WHERE p.agent_id = get_agent_insights.agent_id);
    last_dates date[] := ARRAY(SELECT analytics.workspace_today(w.id) - 1 FROM unnest(agent_workspaces) WITH ORDINALITY AS w (id, place) ORDER BY w.place);
    first_date date; -- of the first of them
    workspaces uuid[];
    user_sets analytics.user_set[]; -- of each workspace
BEGIN
    IF days IS NULL OR days NOT BETWEEN 1 AND 36500 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s.', coalesce(days::text, 'NULL')),
                  HINT = 'get_agent_insights(agent_id, 7) covers the last 7 complete days.';
    END IF;

    first_date := (SELECT min(l.last_date) FROM unnest(last_dates) AS l (last_date)) - (greatest(days, 14) - 1);
    WITH agent_day AS MATERIALIZED (
        -- The array: one range of the key for each workspace, however many the planner expects.
        SELECT w.last_date, a.workspace_id, a.metric_date, a.total_runs, a.successful_runs, a.failed_runs, a.cancelled_runs,
               a.total_credits, a.total_cost, a.currency, a.cost_reason, a.total_tokens_used, a.total_feedback_count, a.runtime_sketch, a.users, a.error_types
        FROM analytics.agent_performance AS a
        JOIN unnest(agent_workspaces, last_dates) AS w (workspace_id, last_date) ON w.workspace_id = a.workspace_id
        WHERE a.workspace_id = ANY (agent_workspaces) AND a.agent_id = get_agent_insights.agent_id AND a.metric_date >= first_date
          AND a.metric_date BETWEEN w.last_date - (greatest(days, 14) - 1) AND w.last_date
    ), covered AS NOT MATERIALIZED (
        SELECT r.* FROM agent_day AS r WHERE r.metric_date > r.last_date - days
    ), total AS (
        SELECT coalesce(sum(c.total_runs), 0)::bigint AS runs, coalesce(sum(c.successful_runs), 0)::bigint AS successful,
               coalesce(sum(c.failed_runs), 0)::bigint AS failed, coalesce(sum(c.cancelled_runs), 0)::bigint AS cancelled,
               coalesce(sum(c.total_credits), 0) AS credits, sum(c.total_cost) AS cost,
               CASE WHEN count(DISTINCT c.currency) = 1 AND bool_or(c.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(c.currency) END AS currency,
               CASE WHEN count(DISTINCT c.currency) > 1 OR bool_or(c.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(c.cost_reason) END AS cost_reason,
               coalesce(sum(c.total_tokens_used), 0) AS tokens, coalesce(sum(c.total_feedback_count), 0)::bigint AS feedbacks,
               max(c.metric_date) FILTER (WHERE c.total_runs > 0) AS last_active,
               analytics.quantile_sketch_merge(c.runtime_sketch) AS sketch
        FROM covered AS c
    ), trend AS (
        SELECT coalesce(sum(r.total_runs) FILTER (WHERE r.metric_date > r.last_date - 7), 0)::bigint AS this_week,
               coalesce(sum(r.total_runs) FILTER (WHERE r.metric_date <= r.last_date - 7), 0)::bigint AS week_before
        FROM agent_day AS r
        WHERE r.metric_date > r.last_date - 14
    ), visitor AS MATERIALIZED (
        SELECT c.workspace_id, analytics.user_set_union_agg(c.users) AS users FROM covered AS c GROUP BY c.workspace_id
    ), error AS (
        SELECT e.key, sum(e.value::numeric) AS errors
        FROM covered AS c, jsonb_each_text(c.error_types) AS e
        GROUP BY e.key ORDER BY errors DESC, e.key COLLATE "C" LIMIT 10
    )
    SELECT t.runs, round(100.0 * t.successful / nullif(t.successful + t.failed, 0), 2),
           round(analytics.quantile_sketch_avg(t.sketch), 2),
           round(analytics.quantile(t.sketch, 0.5, true)::numeric, 2), round(analytics.quantile(t.sketch, 0.95, true)::numeric, 2),
           round(analytics.quantile(t.sketch, 0.99, true)::numeric, 2), t.credits,
           v.largest, v.workspaces, v.user_sets, analytics.trend_direction(r.this_week, r.week_before),
           coalesce((SELECT jsonb_object_agg(e.key, e.errors) FROM error AS e), '{}'),
           t.successful, t.failed, t.cancelled, CASE WHEN t.cost_reason IS NULL THEN t.cost END, t.tokens, t.feedbacks, t.last_active,
           (SELECT min(n.name) FROM analytics.agents AS n
            WHERE n.workspace_id = ANY (agent_workspaces) AND n.agent_id = get_agent_insights.agent_id),
           t.currency, t.cost_reason
    INTO total_runs, success_rate, avg_runtime, p50_runtime, p95_runtime, p99_runtime, total_credits, unique_users, workspaces, user_sets,
         trend_direction, top_error_types, successful_runs, failed_runs, cancelled_runs, total_cost, total_tokens_used, total_feedback_count,
         last_active_date, agent_name, currency, cost_reason
    FROM total AS t, trend AS r,
         (SELECT array_agg(x.workspace_id) AS workspaces, array_agg(x.users) AS user_sets,
                 coalesce(max(analytics.user_set_cardinality(x.users)), 0) AS largest
          FROM visitor AS x) AS v
    WHERE cardinality(agent_workspaces) > 0;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Numbers are a workspace's own. A statement of its own, as a reader may not ask who has them.
    IF cardinality(workspaces) > 1 THEN
        unique_users := NULL;
        IF has_column_privilege('analytics.users', 'user_id', 'SELECT') THEN
            SELECT count(DISTINCT u.user_id) INTO unique_users
            FROM unnest(workspaces, user_sets) AS x (workspace_id, users)
            CROSS JOIN LATERAL analytics.user_set_elements(x.users) AS e (user_number)
            JOIN analytics.users AS u ON u.workspace_id = x.workspace_id AND u.user_number = e.user_number;
        END IF;
    END IF;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_agent_insights(uuid, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_agent_insights(uuid, integer) IS
    'one row about an agent over the last complete local days (default 30). It covers every workspace that the caller may see: sums, percentiles (Hyndman-Fan type 7) from the merged sketches (relative error 1 %), distinct users (NULL to a reader who sees the agent in several workspaces), top_error_types {type: errors} (the 10 most frequent), agent_name as in analytics.agents (NULL without one). The cost is NULL, and cost_reason says why, where it would be a partial sum: in several currencies, or of credits without a price. trend_direction compares the last 7 complete days with the 7 before. Without a run: counts 0, rates and runtimes NULL. No row for an agent without data; error (22023) for days below 1 or above 36500';

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
    error_rate numeric, previous_error_rate numeric, error_rate_change numeric,
    currency text, previous_currency text,
    cost_reason text, previous_cost_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date date := coalesce(start_date, last_date - 29);
    is_over boolean := last_date < today;
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
               sum(d.total_cost) AS cost,
               CASE WHEN count(DISTINCT d.currency) = 1 AND bool_or(d.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(d.currency) END AS currency,
               CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
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
               round(analytics.quantile(m.sketch, 0.5, true)::numeric, 2) AS p50, round(analytics.quantile(m.sketch, 0.95, true)::numeric, 2) AS p95,
               round(analytics.quantile(m.sketch, 0.99, true)::numeric, 2) AS p99, m.credits, m.errors,
               CASE WHEN m.cost_reason IS NULL THEN m.cost END AS cost, m.currency, m.cost_reason,
               round(100.0 * m.errors / nullif(m.events, 0), 2) AS error_rate
        FROM metrics AS m JOIN people AS p ON p.is_current = m.is_current
    )
    SELECT first_date, last_date,
           c.users, b.users, analytics.growth_rate(c.users, v.users),
           c.sessions, b.sessions, analytics.growth_rate(c.sessions, v.sessions),
           c.events, b.events, analytics.growth_rate(c.events, v.events),
           c.runs, b.runs, analytics.growth_rate(c.runs, v.runs),
           c.successful, b.successful, analytics.growth_rate(c.successful, v.successful),
           c.failed, b.failed, analytics.growth_rate(c.failed, v.failed),
           c.success_rate, b.success_rate, analytics.growth_rate(c.success_rate, v.success_rate),
           c.failure_rate, b.failure_rate, analytics.growth_rate(c.failure_rate, v.failure_rate),
           c.average, b.average, analytics.growth_rate(c.average, v.average),
           c.p50, b.p50, analytics.growth_rate(c.p50, v.p50),
           c.p95, b.p95, analytics.growth_rate(c.p95, v.p95),
           c.p99, b.p99, analytics.growth_rate(c.p99, v.p99),
           c.credits, b.credits, analytics.growth_rate(c.credits, v.credits),
           c.cost, b.cost, CASE WHEN c.currency = v.currency THEN analytics.growth_rate(c.cost, v.cost) END,
           c.errors, b.errors, analytics.growth_rate(c.errors, v.errors),
           c.error_rate, b.error_rate, analytics.growth_rate(c.error_rate, v.error_rate),
           c.currency, b.currency, c.cost_reason, b.cost_reason
    FROM value AS c
    CROSS JOIN value AS b
    LEFT JOIN value AS v ON NOT v.is_current AND is_over -- what runs is not compared with what is over
    WHERE c.is_current AND NOT b.is_current
      AND EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_summary.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_summary(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_summary(uuid, date, date) IS
    'one row about a workspace from start_date to end_date, both included, with the range before. Default: the last 30 complete days. Distinct users and percentiles come from the merged sets and sketches (relative error 1 %). Beside each value stand that of the range of equal length before it (previous_) and the change in percent (_change; NULL where the previous value is 0 or NULL, and while the range is not over). Rates and runtimes are NULL without data. A cost is NULL, and cost_reason says why, where it would be a partial sum: in several currencies, or of credits without a price; its change also where the two ranges have different currencies. No row for a workspace without data or that the caller may not see; error (22023) for a range that is reversed or infinite';

-- The week as a grid: what an hour of it brings on average.
CREATE FUNCTION analytics.get_usage_by_hour(
    workspace_id uuid,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL)
RETURNS TABLE (
    day_of_week integer,
    hour_of_day integer,
    hours bigint,
    avg_active_users numeric,
    max_active_users bigint,
    total_runs bigint,
    failed_runs bigint,
    total_credits numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- as get_workspace_metrics()
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date date := coalesce(start_date, last_date - 27);
    first_hour timestamptz := (SELECT min(m.metric_hour) FROM analytics.hourly_metrics AS m
                               WHERE m.workspace_id = get_usage_by_hour.workspace_id);
BEGIN
    IF first_date > last_date THEN
        RAISE EXCEPTION 'start_date must not be later than end_date'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Both days are included; left out, they are the last 28 complete days.';
    END IF;

    -- Local days begin up to 14 hours before UTC's and end up to 12 hours after.
    RETURN QUERY
    WITH zone AS (
        SELECT z.time_zone, z.valid_from, lead(z.valid_from, 1, 'infinity') OVER (ORDER BY z.valid_from, z.is_chosen) AS valid_to
        FROM (SELECT 'UTC' AS time_zone, '-infinity'::timestamptz AS valid_from, false AS is_chosen
              UNION ALL
              SELECT s.time_zone, s.valid_from, true FROM analytics.workspace_settings AS s
              WHERE s.workspace_id = get_usage_by_hour.workspace_id) AS z
    ), hour AS (
        SELECT g.metric_hour, g.metric_hour AT TIME ZONE z.time_zone AS local_time
        FROM generate_series(greatest(first_hour, (first_date - 1)::timestamp AT TIME ZONE 'UTC'),
                             least(date_trunc('hour', now(), 'UTC') - interval '1 hour', (last_date + 2)::timestamp AT TIME ZONE 'UTC'),
                             interval '1 hour') AS g (metric_hour)
        JOIN zone AS z ON g.metric_hour >= z.valid_from AND g.metric_hour < z.valid_to
        WHERE first_hour IS NOT NULL
    ), cell AS (
        SELECT extract(isodow FROM h.local_time)::integer AS day, extract(hour FROM h.local_time)::integer AS hour, count(*) AS hours,
               coalesce(sum(m.active_users), 0) AS users, max(m.active_users) AS most_users, sum(m.total_runs)::bigint AS runs,
               sum(m.failed_runs)::bigint AS failed, sum(m.total_credits) AS credits
        FROM hour AS h
        LEFT JOIN analytics.hourly_metrics AS m
            ON m.workspace_id = get_usage_by_hour.workspace_id AND m.metric_hour = h.metric_hour
        WHERE h.local_time::date BETWEEN first_date AND last_date
        GROUP BY 1, 2
    )
    SELECT d.day, t.hour, coalesce(c.hours, 0), round(c.users / c.hours, 2), coalesce(c.most_users, 0), coalesce(c.runs, 0),
           coalesce(c.failed, 0), coalesce(c.credits, 0)
    FROM generate_series(1, 7) AS d (day)
    CROSS JOIN generate_series(0, 23) AS t (hour)
    LEFT JOIN cell AS c USING (day, hour)
    WHERE first_hour IS NOT NULL
    ORDER BY d.day, t.hour;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_usage_by_hour(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_usage_by_hour(uuid, date, date) IS
    'use of a workspace by day of the week and hour of the day: 168 rows. day_of_week (1 = Monday to 7 = Sunday) by hour_of_day (0 to 23) of its time zone, over the local days from start_date to end_date, both included (default: the last 28 complete days). hours: how many such hours are over, counted from the workspace''s first row in hourly_metrics, which are kept for 30 days unless retention says otherwise; avg_active_users: mean over those hours, NULL without one; then the most active users of one hour, and sums. An hour of UTC belongs to the local hour that it begins in. No row for a workspace without hourly metrics or that the caller may not see; error (22023): start_date after end_date';
-- Materialized views over the rollups, never over raw events. They know no row security, so they are granted to
-- nobody; tenants read the security-barrier views below. A window is the workspace's own last 30 complete local
-- days. Each has a unique index on plain columns: REFRESH MATERIALIZED VIEW CONCURRENTLY works on all of them.
-- REFRESH CONCURRENTLY sorts whole rows, column by column, to find equal ones: rows that come in that order cost
-- half, so the key's columns are the first ones and the rows come in their order. analytics.refresh_all_materialized_views()
-- computes and writes only what has changed, below.
-- The bound by now(), wide enough for every time zone, lets the planner and the index by date leave out history; as a
-- subquery it is computed once and not for each row.

-- In one pass: workspaces that have a time zone and nothing else are to cost next to nothing.
CREATE FUNCTION analytics_internal.todays(at timestamptz DEFAULT now()) RETURNS TABLE (workspace_id uuid, today date)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (s.workspace_id) s.workspace_id,
           (todays.at AT TIME ZONE CASE WHEN s.valid_from <= todays.at THEN s.time_zone ELSE 'UTC' END)::date
    FROM analytics.workspace_settings AS s
    ORDER BY s.workspace_id, s.valid_from <= todays.at DESC, s.valid_from DESC;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.todays(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.todays(timestamptz) IS
    'analytics.workspace_today() of the workspaces with a time zone; the others have that of NULL';

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
    SELECT f.workspace_id, f.metric_date, coalesce(t.today, (SELECT analytics.workspace_today(NULL))) - 1
    FROM first_day AS f LEFT JOIN analytics_internal.todays() AS t ON t.workspace_id = f.workspace_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_complete_days() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_complete_days() IS
    'every workspace with a daily rollup, its first day and its last complete local day';

-- The planner takes a function's rows for repeated, and would put the rollups into the hash table of a join with
-- them: DISTINCT ON tells that each workspace comes once.
-- What a view shows it takes from a function of these workspaces and days, so that a refresh can compute a part.
CREATE FUNCTION analytics_internal.shown_days(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, first_date date, last_date date, from_date date)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF workspace_ids IS NULL THEN
        RETURN QUERY SELECT w.*, date '-infinity' FROM analytics_internal.last_complete_days() AS w;
    ELSE
        RETURN QUERY
        SELECT s.workspace_id, f.first_date, coalesce(t.today, (SELECT analytics.workspace_today(NULL))) - 1, s.from_date
        FROM unnest(workspace_ids, from_dates) AS s (workspace_id, from_date)
        LEFT JOIN analytics_internal.todays() AS t ON t.workspace_id = s.workspace_id
        CROSS JOIN LATERAL (SELECT min(d.metric_date) FROM analytics.daily_metrics AS d
                            WHERE d.workspace_id = s.workspace_id) AS f (first_date)
        WHERE f.first_date IS NOT NULL;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.shown_days(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.shown_days(uuid[], date[]) IS
    'analytics_internal.last_complete_days() of these workspaces, with the first day to compute of each. NULL: of all, and every day';

-- The table and not its view daily_errors, which workers of Citus do not have.
CREATE FUNCTION analytics_internal.error_trends(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, error_date date, error_type text, event_name text, total_errors bigint, unique_error_messages bigint, sample_messages text[])
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.workspace_id, t.metric_date AS error_date, t.error_type, e.event_name, e.errors AS total_errors,
           cardinality(e.message_hashes)::bigint AS unique_error_messages, e.sample_messages
    FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM analytics_internal.shown_days(workspace_ids, from_dates) AS s ORDER BY s.workspace_id) AS w
    JOIN analytics.daily_error_types AS t ON t.workspace_id = w.workspace_id
    CROSS JOIN LATERAL unnest(t.errors) AS e
    WHERE t.metric_date >= greatest(w.last_date - 29, w.from_date) AND t.metric_date <= w.last_date
      AND t.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
    ORDER BY t.workspace_id, t.metric_date, t.error_type COLLATE "C", e.event_name COLLATE "C";
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.error_trends(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.error_trends(uuid[], date[]) IS
    'rows of analytics.mv_error_trends: of these workspaces those of a first day and later; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_error_trends AS
SELECT * FROM analytics_internal.error_trends(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_error_trends IS
    'errors by day, type and event name over the last 30 complete days. Error events and failed runs without one. Granted to nobody: read analytics.error_trends';
COMMENT ON COLUMN analytics.mv_error_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_error_trends.error_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_error_trends.error_type IS
    'error type. Unknown where it was missing, (other) beyond the 1,000 most frequent pairs with event_name';
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

CREATE FUNCTION analytics_internal.agent_usage(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (metric_date date, agent_id uuid, workspace_id uuid, total_runs bigint, successful_runs bigint, failed_runs bigint,
               success_rate numeric, avg_runtime_seconds numeric, total_credits numeric, unique_users bigint,
               week_ago bigint, this_week bigint, week_before bigint)
LANGUAGE c STABLE ROWS 100000
AS 'MODULE_PATHNAME', 'shadow_agent_usage';
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_usage(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_usage(uuid[], date[]) IS
    'agent_performance of the last 30 complete days, days without a row filled in from an agent''s first day on, with the runs of the day a week ago, of the 7 days up to the row''s and of the 7 before; agents without a row in 43 days are left out. One pass over 43 days of rollups. Of these workspaces those of a first day and later, by the 13 days before it: agents without a row in these are left out; NULL: all';

CREATE FUNCTION analytics_internal.agent_usage_trends(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, agent_id uuid, metric_date date, total_runs bigint, successful_runs bigint, failed_runs bigint, success_rate numeric,
               avg_runtime_seconds numeric, total_credits numeric, unique_users bigint, wow_growth_rate numeric, trend_direction text,
               agent_name text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT u.workspace_id, u.agent_id, u.metric_date, u.total_runs, u.successful_runs, u.failed_runs, u.success_rate,
           u.avg_runtime_seconds, u.total_credits, u.unique_users,
           analytics.growth_rate(u.total_runs, u.week_ago) AS wow_growth_rate,
           analytics.trend_direction(u.this_week, u.week_before) AS trend_direction,
           n.name AS agent_name
    FROM analytics_internal.agent_usage(workspace_ids, from_dates) AS u
    LEFT JOIN analytics.agents AS n ON n.workspace_id = u.workspace_id AND n.agent_id = u.agent_id;
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_usage_trends(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_usage_trends(uuid[], date[]) IS
    'rows of analytics.mv_agent_usage_trends as analytics_internal.agent_usage() has them';

CREATE MATERIALIZED VIEW analytics.mv_agent_usage_trends AS
SELECT * FROM analytics_internal.agent_usage_trends(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_agent_usage_trends IS
    'every agent on every one of the last 30 complete days from its first day on. Also days without a run; agents without activity for 6 weeks are left out. Granted to nobody: read analytics.agent_usage_trends';
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
    '100 * (runs - runs 7 calendar days before) / runs 7 days before. NULL where that is 0 or before the agent''s first day';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.trend_direction IS
    'the 7 days up to this one against the 7 before: growing, declining, stable (within 5 %), new';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.agent_name IS
    'name of the agent in analytics.agents; NULL without one';
CREATE UNIQUE INDEX mv_agent_usage_trends_key ON analytics.mv_agent_usage_trends (workspace_id, agent_id, metric_date);
COMMENT ON INDEX analytics.mv_agent_usage_trends_key IS
    'serves: the days of an agent, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE FUNCTION analytics_internal.active_users(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint, stickiness numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT w.workspace_id, u.activity_date, u.daily_active_users, u.weekly_active_users, u.monthly_active_users,
           round(100.0 * u.daily_active_users / nullif(u.monthly_active_users, 0), 2) AS stickiness
    FROM (SELECT analytics.setting('active_users_days')::integer AS days) AS s
    CROSS JOIN analytics_internal.shown_days(workspace_ids, from_dates) AS w
    CROSS JOIN LATERAL analytics_internal.trailing_users(w.workspace_id, greatest(w.first_date, w.last_date - s.days + 1, w.from_date), w.last_date) AS u
    WHERE EXISTS (SELECT FROM analytics.daily_users AS d
                  WHERE d.workspace_id = w.workspace_id AND d.metric_date > w.last_date - s.days - 29 AND d.metric_date <= w.last_date);
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.active_users(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.active_users(uuid[], date[]) IS
    'rows of analytics.mv_active_users: of these workspaces those of a first day and later; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_active_users AS
SELECT * FROM analytics_internal.active_users(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_active_users IS
    'active users of the last complete days of each workspace, from its first event on. As many days as the setting active_users_days, also dates without any; a workspace without users in that time has none. Granted to nobody: read analytics.active_users';
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

CREATE FUNCTION analytics_internal.top_agents(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (agent_id uuid, workspace_id uuid, total_runs_30d bigint, successful_runs_30d bigint, failed_runs_30d bigint, success_rate numeric,
               avg_runtime numeric, median_runtime numeric, total_credits_30d numeric, unique_users_30d bigint, last_active_date date,
               rank bigint, success_rank bigint, success_rate_lower_bound numeric, agent_name text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH agent AS (
        -- In the order of agents: a state for each of them at once would not fit into the processor's cache, nor into
        -- work_mem.
        SELECT p.agent_id, p.workspace_id, sum(p.total_runs)::bigint AS total_runs_30d,
               sum(p.successful_runs)::bigint AS successful_runs_30d, sum(p.failed_runs)::bigint AS failed_runs_30d,
               analytics.quantile_sketch_merge(p.runtime_sketch) AS sketch, sum(p.total_credits) AS total_credits_30d,
               analytics.user_set_cardinality(analytics.user_set_union_agg(p.users)) AS unique_users_30d,
               max(p.metric_date) FILTER (WHERE p.total_runs > 0) AS last_active_date
        FROM (SELECT d.workspace_id, d.agent_id, d.metric_date, d.total_runs, d.successful_runs, d.failed_runs, d.total_credits,
                     d.runtime_sketch, d.users
              FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM analytics_internal.shown_days(workspace_ids, from_dates) AS s ORDER BY s.workspace_id) AS w
              JOIN analytics.agent_performance AS d ON d.workspace_id = w.workspace_id
              WHERE d.metric_date >= w.last_date - 29 AND d.metric_date <= w.last_date
                AND d.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
              ORDER BY d.workspace_id, d.agent_id) AS p
        GROUP BY p.workspace_id, p.agent_id
        HAVING sum(p.total_runs) > 0
    ), bound AS (
        SELECT a.*, analytics_internal.wilson_lower_bound(a.successful_runs_30d, a.successful_runs_30d + a.failed_runs_30d) AS success_rate_lower_bound
        FROM agent AS a
    )
    SELECT b.agent_id, b.workspace_id, b.total_runs_30d, b.successful_runs_30d, b.failed_runs_30d,
           round(100.0 * b.successful_runs_30d / nullif(b.successful_runs_30d + b.failed_runs_30d, 0), 2) AS success_rate,
           round(analytics.quantile_sketch_avg(b.sketch), 2) AS avg_runtime,
           round(analytics.quantile(b.sketch, 0.5, true)::numeric, 2) AS median_runtime,
           b.total_credits_30d, b.unique_users_30d, b.last_active_date,
           row_number() OVER (PARTITION BY b.workspace_id ORDER BY b.total_runs_30d DESC, b.agent_id) AS rank,
           row_number() OVER (PARTITION BY b.workspace_id
                              ORDER BY b.success_rate_lower_bound DESC NULLS LAST, b.total_runs_30d DESC, b.agent_id) AS success_rank,
           b.success_rate_lower_bound, n.name AS agent_name
    FROM bound AS b
    LEFT JOIN analytics.agents AS n ON n.workspace_id = b.workspace_id AND n.agent_id = b.agent_id;
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.top_agents(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.top_agents(uuid[], date[]) IS
    'rows of analytics.mv_top_agents: of these workspaces, whatever the days; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_top_agents AS
SELECT * FROM analytics_internal.top_agents(NULL, NULL);
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
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means). NULL without any';
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
    'Wilson''s lower bound of the success rate at 95 %, 0 to 1: few runs prove little. NULL without a successful or failed run';
COMMENT ON COLUMN analytics.mv_top_agents.agent_name IS
    'name of the agent in analytics.agents; NULL without one';
CREATE UNIQUE INDEX mv_top_agents_key ON analytics.mv_top_agents (workspace_id, agent_id);
COMMENT ON INDEX analytics.mv_top_agents_key IS
    'serves: the agents of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE FUNCTION analytics_internal.workspace_summary(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, days_active bigint, total_users bigint, avg_daily_active_users numeric, total_agents bigint, total_runs_30d bigint,
               successful_runs_30d bigint, failed_runs_30d bigint, success_rate numeric, total_credits_30d numeric, avg_runtime_30d numeric,
               error_rate_30d numeric, failure_rate_30d numeric, total_cost_30d numeric, active_users_30d bigint,
                currency text, cost_reason text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH shown AS MATERIALIZED (
        SELECT s.* FROM analytics_internal.shown_days(workspace_ids, from_dates) AS s
    ), recent AS (
        SELECT d.*
        FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM shown AS s ORDER BY s.workspace_id) AS w
        JOIN analytics.daily_metrics AS d ON d.workspace_id = w.workspace_id
        WHERE d.metric_date >= w.last_date - 29 AND d.metric_date <= w.last_date
          AND d.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
    ), metrics AS (
        SELECT d.workspace_id, count(*) AS days_active, sum(d.active_users) AS user_days, sum(d.total_events) AS events,
               sum(d.total_errors) AS errors, sum(d.total_runs)::bigint AS runs, sum(d.successful_runs)::bigint AS successful,
               sum(d.failed_runs)::bigint AS failed, sum(d.total_credits_consumed) AS credits,
               sum(d.total_cost) AS cost,
               CASE WHEN count(DISTINCT d.currency) = 1 AND bool_or(d.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(d.currency) END AS currency,
               CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
               analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch
        FROM recent AS d GROUP BY d.workspace_id
    ), agents AS (
        -- From the index alone, and one row of each agent: with all rows this was most of the view's time.
        SELECT a.workspace_id, count(*) AS agents
        FROM (SELECT DISTINCT p.workspace_id, p.agent_id, w.last_date
              FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM shown AS s ORDER BY s.workspace_id) AS w
              JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id
              WHERE p.metric_date >= w.last_date - 29 AND p.metric_date <= w.last_date
                AND p.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)) AS a
        WHERE EXISTS (SELECT FROM analytics.agent_performance AS p
                      WHERE p.workspace_id = a.workspace_id AND p.agent_id = a.agent_id
                        AND p.metric_date >= a.last_date - 29 AND p.metric_date <= a.last_date AND p.total_runs > 0)
        GROUP BY a.workspace_id
    ), people AS (
        SELECT u.workspace_id, analytics.user_set_cardinality(analytics.user_set_union_agg(u.users)) AS users
        FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM shown AS s ORDER BY s.workspace_id) AS w
        JOIN analytics.daily_users AS u ON u.workspace_id = w.workspace_id
        WHERE u.metric_date >= w.last_date - 29 AND u.metric_date <= w.last_date
          AND u.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
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
           CASE WHEN m.cost_reason IS NULL THEN m.cost END AS total_cost_30d, coalesce(p.users, 0) AS active_users_30d,
           m.currency, m.cost_reason
    FROM shown AS w
    LEFT JOIN metrics AS m ON m.workspace_id = w.workspace_id
    LEFT JOIN agents AS a ON a.workspace_id = w.workspace_id
    LEFT JOIN people AS p ON p.workspace_id = w.workspace_id
    WHERE w.first_date <= w.last_date;
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_summary(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_summary(uuid[], date[]) IS
    'rows of analytics.mv_workspace_summary: of these workspaces, whatever the days; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_workspace_summary AS
SELECT * FROM analytics_internal.workspace_summary(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_workspace_summary IS
    'each workspace over its last 30 complete days. Granted to nobody: read analytics.workspace_summary';
COMMENT ON COLUMN analytics.mv_workspace_summary.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_workspace_summary.days_active IS
    'days with an event, 0 to 30';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_users IS
    'users first seen on or before the last complete day';
COMMENT ON COLUMN analytics.mv_workspace_summary.avg_daily_active_users IS
    'mean of the daily active users over all 30 days, or over those since the workspace''s first event. Days without one count as 0';
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
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means). NULL without any';
COMMENT ON COLUMN analytics.mv_workspace_summary.error_rate_30d IS
    '100 * errors / events; NULL without an event';
COMMENT ON COLUMN analytics.mv_workspace_summary.failure_rate_30d IS
    '100 * failed / (successful + failed) runs; NULL without either';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_cost_30d IS
    'cost; NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.mv_workspace_summary.currency IS
    'ISO 4217 code of the cost; NULL without any and where days have several';
COMMENT ON COLUMN analytics.mv_workspace_summary.cost_reason IS
    'why total_cost_30d is NULL: "several currencies" or "credits without a price". NULL where it is not, or nothing had a cost or credits';
COMMENT ON COLUMN analytics.mv_workspace_summary.active_users_30d IS
    'distinct users over all days';
CREATE UNIQUE INDEX mv_workspace_summary_key ON analytics.mv_workspace_summary (workspace_id);
COMMENT ON INDEX analytics.mv_workspace_summary_key IS
    'serves: the summary of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

-- What tenants read.
-- OFFSET 0 keeps the planner from flattening the union, with which the barrier would be lost: a condition of the
-- reader's would see rows of others before they are filtered.
CREATE VIEW analytics.active_users WITH (security_barrier) AS
(SELECT v.activity_date, v.workspace_id, v.daily_active_users, v.weekly_active_users, v.monthly_active_users,
       v.stickiness
FROM analytics.mv_active_users AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.activity_date, v.workspace_id, v.daily_active_users, v.weekly_active_users, v.monthly_active_users,
       v.stickiness
FROM analytics.mv_active_users AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.active_users IS
    'analytics.mv_active_users of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
COMMENT ON COLUMN analytics.active_users.activity_date IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.workspace_id IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.daily_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.weekly_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.monthly_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.stickiness IS 'as in analytics.mv_active_users';

CREATE VIEW analytics.top_agents WITH (security_barrier) AS
(SELECT v.agent_id, v.workspace_id, v.total_runs_30d, v.successful_runs_30d, v.failed_runs_30d, v.success_rate,
       v.avg_runtime, v.median_runtime, v.total_credits_30d, v.unique_users_30d, v.last_active_date, v.rank,
       v.success_rank, v.success_rate_lower_bound, v.agent_name
FROM analytics.mv_top_agents AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.agent_id, v.workspace_id, v.total_runs_30d, v.successful_runs_30d, v.failed_runs_30d, v.success_rate,
       v.avg_runtime, v.median_runtime, v.total_credits_30d, v.unique_users_30d, v.last_active_date, v.rank,
       v.success_rank, v.success_rate_lower_bound, v.agent_name
FROM analytics.mv_top_agents AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.top_agents IS
    'analytics.mv_top_agents of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
COMMENT ON COLUMN analytics.top_agents.agent_name IS 'as in analytics.mv_top_agents';

CREATE VIEW analytics.workspace_summary WITH (security_barrier) AS
(SELECT v.workspace_id, v.days_active, v.total_users, v.avg_daily_active_users, v.total_agents, v.total_runs_30d,
       v.successful_runs_30d, v.failed_runs_30d, v.success_rate, v.total_credits_30d, v.avg_runtime_30d,
       v.error_rate_30d, v.failure_rate_30d, v.total_cost_30d, v.active_users_30d, v.currency,
       v.cost_reason
FROM analytics.mv_workspace_summary AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.workspace_id, v.days_active, v.total_users, v.avg_daily_active_users, v.total_agents, v.total_runs_30d,
       v.successful_runs_30d, v.failed_runs_30d, v.success_rate, v.total_credits_30d, v.avg_runtime_30d,
       v.error_rate_30d, v.failure_rate_30d, v.total_cost_30d, v.active_users_30d, v.currency,
       v.cost_reason
FROM analytics.mv_workspace_summary AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.workspace_summary IS
    'analytics.mv_workspace_summary of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
COMMENT ON COLUMN analytics.workspace_summary.currency IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.cost_reason IS 'as in analytics.mv_workspace_summary';

CREATE VIEW analytics.error_trends WITH (security_barrier) AS
(SELECT v.error_date, v.workspace_id, v.error_type, v.event_name, v.total_errors, v.unique_error_messages,
       v.sample_messages
FROM analytics.mv_error_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.error_date, v.workspace_id, v.error_type, v.event_name, v.total_errors, v.unique_error_messages,
       v.sample_messages
FROM analytics.mv_error_trends AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.error_trends IS
    'analytics.mv_error_trends of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
COMMENT ON COLUMN analytics.error_trends.error_date IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.workspace_id IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.error_type IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.event_name IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.total_errors IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.unique_error_messages IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.sample_messages IS 'as in analytics.mv_error_trends';

CREATE VIEW analytics.agent_usage_trends WITH (security_barrier) AS
(SELECT v.metric_date, v.agent_id, v.workspace_id, v.total_runs, v.successful_runs, v.failed_runs, v.success_rate,
       v.avg_runtime_seconds, v.total_credits, v.unique_users, v.wow_growth_rate, v.trend_direction, v.agent_name
FROM analytics.mv_agent_usage_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.metric_date, v.agent_id, v.workspace_id, v.total_runs, v.successful_runs, v.failed_runs, v.success_rate,
       v.avg_runtime_seconds, v.total_credits, v.unique_users, v.wow_growth_rate, v.trend_direction, v.agent_name
FROM analytics.mv_agent_usage_trends AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.agent_usage_trends IS
    'analytics.mv_agent_usage_trends of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
COMMENT ON COLUMN analytics.agent_usage_trends.agent_name IS 'as in analytics.mv_agent_usage_trends';

-- What a refresh computes.

-- A change touches the rows of its day and later ones: a week's runs, a month's users, the days that an agent without
-- runs still has. Days before the window can do so too, as an agent's or a workspace's first ones.
CREATE FUNCTION analytics_internal.view_scope(view text, basis text, OUT workspace_ids uuid[], OUT from_dates date[], OUT is_everything boolean)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(c.workspace_id ORDER BY c.workspace_id) FILTER (WHERE c.is_shown),
       array_agg(CASE WHEN c.from_date <= c.last_date - c.days + 1 OR c.was_left_out THEN '-infinity' ELSE c.from_date END
                 ORDER BY c.workspace_id) FILTER (WHERE c.is_shown),
       coalesce(bool_or(c.workspace_id IS NULL), false)
FROM (SELECT r.*, w.last_date, r.workspace_id IS NOT NULL AND r.from_date <= w.last_date AS is_shown,
             CASE view WHEN 'mv_active_users' THEN analytics.setting('active_users_days')::integer ELSE 30 END AS days,
             -- for want of users, and may have some now
             view = 'mv_active_users' AND NOT EXISTS (SELECT FROM analytics.mv_active_users AS v WHERE v.workspace_id = r.workspace_id
                                                      AND v.activity_date = r.from_date - 1) AS was_left_out
      FROM analytics_internal.read_changes(view, basis, view IN ('mv_top_agents', 'mv_agent_usage_trends')) AS r
      LEFT JOIN analytics_internal.todays() AS t ON t.workspace_id = r.workspace_id
      CROSS JOIN LATERAL (SELECT coalesce(t.today, (SELECT analytics.workspace_today(NULL))) - 1 AS last_date) AS w) AS c
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.view_scope(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.view_scope(text, text) IS
    'what has changed for a view since it was last refreshed: workspaces and the first day of each, -infinity: all that are shown; is_everything: it is to be computed as a whole';

-- $1 and $2: workspaces and their first days. The rows that the view has of them are compared with those it should
-- have, by its key. Rows of days that have left the window go, and all of a workspace that is not shown any more.
CREATE FUNCTION analytics_internal.view_differences(view text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format($query$
WITH scope AS MATERIALIZED (
    SELECT s.workspace_id, s.from_date, w.last_date, coalesce(%3$s, 'infinity') AS first_shown
    FROM unnest($1, $2) AS s (workspace_id, from_date)
    LEFT JOIN analytics_internal.shown_days($1, $2) AS w ON w.workspace_id = s.workspace_id
), %4$s
SELECT o.place, CASE WHEN n.workspace_id IS NOT NULL THEN ROW(n.*)::analytics.%1$I END
FROM fresh AS n
FULL JOIN (%5$s) AS o
    ON %2$s
WHERE o.place IS NULL OR n.workspace_id IS NULL OR ROW(n.*)::analytics.%1$I *<> ROW(%6$s)::analytics.%1$I
$query$, view,
    (SELECT string_agg(format('n.%1$I = o.%1$I', k.name), ' AND ') FROM unnest(v.keys) AS k (name)),
    v.first_shown, v.fresh,
    CASE WHEN view = 'mv_agent_usage_trends' THEN 'TABLE old'
         ELSE format('SELECT v.ctid AS place, v.* FROM analytics.%I AS v JOIN scope AS s ON s.workspace_id = v.workspace_id WHERE ', view)
              || CASE WHEN v.day IS NULL THEN 'true' ELSE format('v.%1$I >= s.from_date OR v.%1$I < s.first_shown', v.day) END END,
    (SELECT string_agg(format('o.%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
     WHERE a.attrelid = format('analytics.%I', view)::regclass AND a.attnum > 0))
FROM (VALUES
    ('mv_error_trends', 'error_date', '{workspace_id,error_date,error_type,event_name}'::text[], 'w.last_date - 29',
     'fresh AS (SELECT * FROM analytics_internal.error_trends($1, $2))'),
    ('mv_active_users', 'activity_date', '{workspace_id,activity_date}',
     $days$(SELECT CASE WHEN EXISTS (SELECT FROM analytics.daily_users AS d WHERE d.workspace_id = s.workspace_id
                                     AND d.metric_date > w.last_date - x.days - 29 AND d.metric_date <= w.last_date)
                        THEN greatest(w.first_date, w.last_date - x.days + 1) END
            FROM (SELECT analytics.setting('active_users_days')::integer) AS x (days))$days$,
     'fresh AS (SELECT * FROM analytics_internal.active_users($1, $2))'),
    ('mv_top_agents', NULL, '{workspace_id,agent_id}', 'NULL::date',
     'fresh AS (SELECT * FROM analytics_internal.top_agents($1, $2))'),
    ('mv_workspace_summary', NULL, '{workspace_id}', 'NULL::date',
     'fresh AS (SELECT * FROM analytics_internal.workspace_summary($1, $2))'),
    -- Days without runs of agents that were shown the day before the first one (before) and those that were not:
    -- without a row in the days that are read, until the last one is 43 days old; back after such a time. DISTINCT ON
    -- tells the planner that a workspace comes once.
    ('mv_agent_usage_trends', 'metric_date', '{workspace_id,agent_id,metric_date}', 'w.last_date - 29',
     $idle$running AS MATERIALIZED (SELECT * FROM analytics_internal.agent_usage_trends($1, $2)
    ), near AS MATERIALIZED (
        SELECT v.ctid AS place, v.*, s.from_date, s.first_shown, s.last_date
        FROM (SELECT DISTINCT ON (d.workspace_id) d.* FROM scope AS d ORDER BY d.workspace_id) AS s
        JOIN analytics.mv_agent_usage_trends AS v ON v.workspace_id = s.workspace_id
        WHERE v.metric_date >= s.from_date - 1 OR v.metric_date < s.first_shown
    ), before AS MATERIALIZED (
        SELECT v.workspace_id, v.agent_id, v.from_date, v.first_shown, v.last_date
        FROM near AS v WHERE v.metric_date = v.from_date - 1 AND isfinite(v.from_date)
    ), idle AS MATERIALIZED (
        SELECT b.*, (SELECT max(p.metric_date) FROM analytics.agent_performance AS p
                     WHERE p.workspace_id = b.workspace_id AND p.agent_id = b.agent_id
                       AND p.metric_date BETWEEN b.last_date - 42 AND b.last_date) AS last_row
        FROM before AS b
        WHERE NOT EXISTS (SELECT FROM running AS r WHERE r.workspace_id = b.workspace_id AND r.agent_id = b.agent_id)
    ), old AS (
        SELECT v.* FROM near AS v WHERE v.metric_date >= v.from_date OR v.metric_date < v.first_shown
        UNION ALL
        SELECT v.ctid, v.*, i.from_date, i.first_shown, i.last_date
        FROM idle AS i JOIN analytics.mv_agent_usage_trends AS v ON v.workspace_id = i.workspace_id AND v.agent_id = i.agent_id
        WHERE i.last_row IS NULL AND v.metric_date < i.from_date AND v.metric_date >= i.first_shown
    ), empty AS (
        SELECT i.workspace_id, i.agent_id, i.from_date, i.last_date FROM idle AS i WHERE i.last_row IS NOT NULL
        UNION ALL
        SELECT r.workspace_id, r.agent_id, s.first_shown, s.from_date - 1
        FROM scope AS s JOIN running AS r ON r.workspace_id = s.workspace_id AND r.metric_date = s.last_date
        WHERE isfinite(s.from_date)
          AND NOT EXISTS (SELECT FROM before AS b WHERE b.workspace_id = r.workspace_id AND b.agent_id = r.agent_id)
          AND EXISTS (SELECT FROM analytics.agent_performance AS p WHERE p.workspace_id = r.workspace_id
                      AND p.agent_id = r.agent_id AND p.metric_date < s.from_date)
    ), fresh AS (
        SELECT * FROM running
        UNION ALL
        SELECT e.workspace_id, e.agent_id, e.from_date + d, 0, 0, 0, NULL, NULL, 0, 0,
               analytics.growth_rate(0, 0), analytics.trend_direction(0, 0), a.name
        FROM empty AS e CROSS JOIN LATERAL generate_series(0, e.last_date - e.from_date) AS d
        LEFT JOIN analytics.agents AS a ON a.workspace_id = e.workspace_id AND a.agent_id = e.agent_id
    )$idle$)) AS v (name, day, keys, first_shown, fresh)
WHERE v.name = view
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.view_differences(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.view_differences(text) IS
    'query for the differences between a view and what it should hold: ctid of a row that goes, row that comes. $1, $2: workspaces and their first days';

CREATE FUNCTION analytics_internal.write_view_changes(view regclass, differences text, workspace_ids uuid[], from_dates date[]) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'shadow_write_view_changes';
REVOKE EXECUTE ON FUNCTION analytics_internal.write_view_changes(regclass, text, uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.write_view_changes(regclass, text, uuid[], date[]) IS
    'writes into a populated materialized view of the caller''s: deletes and inserts what the query (ctid, row; $1 and $2 are the arrays) says, under the lock of REFRESH MATERIALIZED VIEW CONCURRENTLY; how many rows. Another relation is an error (42809), another owner''s too (42501)';

-- In a cell of Citus the view is a table. All of the DELETE comes before the first row of the INSERT, which needs the
-- count.
CREATE FUNCTION analytics_internal.write_table_changes(view text, workspace_ids uuid[], from_dates date[]) RETURNS void
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('WITH change (place, fresh) AS MATERIALIZED (%s), gone AS (DELETE FROM analytics.%I AS v USING change AS c WHERE v.ctid = c.place RETURNING 1)
                    INSERT INTO analytics.%2$I
                    SELECT (c.fresh).* FROM (SELECT count(*) AS rows FROM gone) AS g, change AS c WHERE g.rows >= 0 AND (c.fresh).workspace_id IS NOT NULL',
                   analytics_internal.view_differences(view), view)
    USING workspace_ids, from_dates;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.write_table_changes(text, uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.write_table_changes(text, uuid[], date[]) IS
    'analytics_internal.write_view_changes() for a table in place of a view';

CREATE FUNCTION analytics_internal.refresh_view(view text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known CONSTANT record := (SELECT c FROM pg_class AS c WHERE c.oid = format('analytics.%I', view)::regclass);
    basis text := (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'shadow_analytics')
        || CASE view WHEN 'mv_active_users' THEN ' ' || analytics.setting('active_users_days') ELSE '' END;
    scope record;
BEGIN
    IF NOT known.relispopulated THEN
        PERFORM analytics_internal.read_changes(view, basis, false);
        EXECUTE format('REFRESH MATERIALIZED VIEW analytics.%I', view);
        RETURN;
    END IF;
    SELECT s.* INTO scope FROM analytics_internal.view_scope(view, basis) AS s;
    IF known.relkind = 'm' AND scope.is_everything THEN
        EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.%I', view);
    ELSIF known.relkind = 'm' THEN
        PERFORM analytics_internal.write_view_changes(format('analytics.%I', view)::regclass, analytics_internal.view_differences(view),
                                                      scope.workspace_ids, scope.from_dates);
    ELSIF scope.is_everything THEN
        EXECUTE format('DELETE FROM analytics.%I', view);
        EXECUTE format('INSERT INTO analytics.%I SELECT * FROM analytics_internal.%I(NULL, NULL)', view, substr(view, 4));
    ELSE
        PERFORM analytics_internal.write_table_changes(view, scope.workspace_ids, scope.from_dates);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_view(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_view(text) IS
    'brings a materialized view up to date: the workspaces whose rollups or days have changed since it last did, else as a whole, concurrently where it is populated';

-- One view at a time: one that fails is reported and does not stop the others.
CREATE FUNCTION analytics_internal.refresh_all_materialized_views(is_counting boolean)
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text, is_busy boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off -- compiling the views' expressions takes longer than computing them
SET quote_all_identifiers = off -- PostgreSQL's REFRESH CONCURRENTLY fails with it
SET work_mem = '256MB'
SET default_statistics_target = 10 -- a refresh analyzes the new rows, and needs little more than their number
AS $$
DECLARE
    started timestamptz;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY
        SELECT r.view, sum(r.rows)::bigint, max(r.milliseconds), string_agg(DISTINCT r.error, '; '), bool_or(r.is_busy)
        FROM analytics_internal.rows_of_cells(format('SELECT * FROM analytics_internal.refresh_all_materialized_views(%L)', is_counting))
                 AS found (row),
             jsonb_to_record(found.row) AS r (view text, rows bigint, milliseconds numeric, error text, is_busy boolean)
        GROUP BY r.view ORDER BY r.view;
        RETURN;
    END IF;
    -- Two refreshes at a time would only wait for each other, view by view.
    PERFORM analytics_internal.lock('views');
    FOR view IN
        SELECT c.relname::text FROM pg_class AS c
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('m', 'r') -- on Citus tables
          AND c.relname IN ('mv_active_users', 'mv_top_agents', 'mv_workspace_summary', 'mv_error_trends', 'mv_agent_usage_trends')
        ORDER BY c.relname
    LOOP
        started := clock_timestamp();
        rows := NULL;
        error := NULL;
        is_busy := false;
        BEGIN
            PERFORM analytics_internal.refresh_view(view);
            IF is_counting THEN
                EXECUTE format('SELECT count(*) FROM analytics.%I', view) INTO rows;
            END IF;
        EXCEPTION
            WHEN read_only_sql_transaction THEN
                RAISE; -- on a standby none can be refreshed
            WHEN OTHERS THEN
                error := SQLERRM || ' (' || SQLSTATE || ')';
                is_busy := SQLSTATE = '55P03';
        END;
        milliseconds := round(extract(epoch FROM clock_timestamp() - started) * 1000, 1);
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_all_materialized_views(boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_all_materialized_views(boolean) IS
    'does the work of analytics.refresh_all_materialized_views() as the owner, without row security; rows only if is_counting, as a count reads the whole view; is_busy: the view could not be locked';

CREATE FUNCTION analytics.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT r.view, r.rows, r.milliseconds, r.error FROM analytics_internal.refresh_all_materialized_views(true) AS r $$;
REVOKE EXECUTE ON FUNCTION analytics.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics.refresh_all_materialized_views() IS
    'refreshes the five materialized views mv_*, each on its own, as far as rollups have changed. Of workspaces whose rollups have changed or whose day has ended since the last call, from that day on; as a whole the first time and after REFRESH ... WITH NO DATA. One row per view: rows afterwards, milliseconds, and the error of one that failed (the others are refreshed all the same). Waits for another refresh in progress';
-- report: all that a page about a workspace shows, in one document, and the page itself.
-- Each section is a function of its own, run with the caller's rights. analytics.report() is of the standard's form, whose
-- names are resolved when it is created: callers need EXECUTE on the sections, but not USAGE of their schema. Where they
-- have that, on Citus, they may call a section by itself, which then stops at the report's 1100 days, too.

CREATE FUNCTION analytics_internal.report_range(
    workspace_id uuid, start_date date, end_date date,
    OUT first_date date, OUT last_date date, OUT today date, OUT is_visible boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    today := analytics.workspace_today(workspace_id);
    last_date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date := coalesce(start_date, last_date - 29);
    IF first_date > last_date OR NOT (isfinite(first_date) AND isfinite(last_date)) OR last_date - first_date >= 1100 THEN
        RAISE EXCEPTION 'invalid range of days for a report'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Give finite dates with start_date not later than end_date, at most 1100 days; left out, they are the last 30 complete days.';
    END IF;
    is_visible := workspace_id IS NOT NULL
        AND (NOT row_security_active('analytics.daily_metrics') OR workspace_id = ANY (analytics.workspace_ids())
             OR EXISTS (SELECT FROM analytics.daily_metrics AS d WHERE d.workspace_id = report_range.workspace_id));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_range(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_range(uuid, date, date) IS
    'the days of a report, the workspace''s today, and whether the caller may see it. Error (22023): a range that is reversed, infinite or longer than 1100 days';

CREATE FUNCTION analytics_internal.report_workspace(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    time_zone CONSTANT text := analytics.workspace_time_zone(workspace_id);
BEGIN
    RETURN jsonb_build_object(
        'workspace_id', workspace_id,
        'name', (SELECT w.name FROM analytics.workspaces AS w WHERE w.workspace_id = report_workspace.workspace_id),
        'time_zone', time_zone,
        'currency', (SELECT CASE WHEN min(d.currency) = max(d.currency) THEN min(d.currency) END
                     FROM analytics.daily_metrics AS d
                     WHERE d.workspace_id = report_workspace.workspace_id AND d.metric_date BETWEEN first_date AND last_date));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_workspace(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_workspace(uuid, date, date) IS
    'section "workspace" of analytics.report()';

CREATE FUNCTION analytics_internal.report_headline(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(v.key, jsonb_build_object('value', v.value, 'previous', v.previous,
                                                          'difference', CASE WHEN v.is_comparable AND last_date < today THEN v.value - v.previous END,
                                                          'change', v.change)
                                       || CASE WHEN v.key = 'total_cost'
                                               THEN jsonb_build_object('reason', s.cost_reason, 'previous_reason', s.previous_cost_reason,
                                                                       'previous_currency', s.previous_currency)
                                               ELSE '{}' END)
        FROM (VALUES (1)) AS one
        LEFT JOIN analytics.get_workspace_summary(workspace_id, first_date, last_date) AS s ON true
        CROSS JOIN LATERAL (VALUES
            ('active_users', s.active_users::numeric, s.previous_active_users::numeric, s.active_users_change, true),
            ('total_sessions', s.total_sessions, s.previous_total_sessions, s.total_sessions_change, true),
            ('total_events', s.total_events, s.previous_total_events, s.total_events_change, true),
            ('total_runs', s.total_runs, s.previous_total_runs, s.total_runs_change, true),
            ('success_rate', s.success_rate, s.previous_success_rate, s.success_rate_change, true),
            ('p95_runtime_seconds', s.p95_runtime, s.previous_p95_runtime, s.p95_runtime_change, true),
            ('total_credits', s.total_credits, s.previous_total_credits, s.total_credits_change, true),
            ('total_cost', s.total_cost, s.previous_total_cost, s.total_cost_change, s.currency = s.previous_currency),
            ('error_rate', s.error_rate, s.previous_error_rate, s.error_rate_change, true)) AS v (key, value, previous, change, is_comparable));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_headline(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_headline(uuid, date, date, date) IS
    'section "headline" of analytics.report()';

CREATE FUNCTION analytics_internal.report_daily(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Read by itself: on Citus a function runs elsewhere with the tables that it is joined with.
    users CONSTANT jsonb := (SELECT jsonb_agg(to_jsonb(u)) FROM analytics.get_active_users(workspace_id, first_date, last_date) AS u);
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'date', g.day, 'is_final', g.day < today AND coalesce(d.is_final, u.is_final, true),
                   'daily_active_users', u.daily_active_users, 'weekly_active_users', u.weekly_active_users,
                   'monthly_active_users', u.monthly_active_users, 'stickiness', u.stickiness,
                   'total_sessions', coalesce(d.total_sessions, 0), 'total_events', coalesce(d.total_events, 0),
                   'total_runs', coalesce(d.total_runs, 0), 'successful_runs', coalesce(d.successful_runs, 0),
                   'failed_runs', coalesce(d.failed_runs, 0), 'cancelled_runs', coalesce(d.cancelled_runs, 0),
                   'success_rate', d.success_rate, 'median_runtime_seconds', round(d.median_runtime_seconds, 2),
                   'p95_runtime_seconds', round(d.p95_runtime_seconds, 2),
                   'total_credits', coalesce(d.total_credits_consumed, 0), 'total_cost', d.total_cost, 'cost_reason', d.cost_reason,
                   'total_errors', coalesce(d.total_errors, 0), 'error_rate', d.error_rate) ORDER BY g.day)
        FROM (SELECT first_date + i AS day FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i) AS g
        LEFT JOIN analytics.daily_metrics AS d ON d.workspace_id = report_daily.workspace_id AND d.metric_date = g.day
        LEFT JOIN jsonb_to_recordset(users) AS u (activity_date date, daily_active_users bigint, weekly_active_users bigint,
                                                  monthly_active_users bigint, stickiness numeric, is_final boolean) ON u.activity_date = g.day), '[]');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_daily(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_daily(uuid, date, date, date) IS
    'section "daily" of analytics.report()';

CREATE FUNCTION analytics_internal.report_lifecycle(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    period text := CASE WHEN last_date - first_date < 14 THEN 'daily' WHEN last_date - first_date < 184 THEN 'weekly' ELSE 'monthly' END;
BEGIN
    RETURN jsonb_build_object('period', period, 'items', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'period_start', l.period_start, 'new_users', l.new_users, 'returning_users', l.returning_users,
                   'resurrecting_users', l.resurrecting_users, 'dormant_users', l.dormant_users,
                   'is_final', l.is_final) ORDER BY l.period_start)
        FROM analytics.get_lifecycle(workspace_id, period, first_date, least(last_date, today)) AS l), '[]'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_lifecycle(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_lifecycle(uuid, date, date, date) IS
    'section "lifecycle" of analytics.report()';

CREATE FUNCTION analytics_internal.report_retention(workspace_id uuid, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('period', 'weekly', 'items', coalesce((
        SELECT jsonb_agg(jsonb_build_object('cohort_date', c.cohort_date, 'initial_users', c.initial_users,
                                            'retained_users', c.retained, 'retention_rates', c.rates) ORDER BY c.cohort_date)
        FROM (SELECT r.cohort_date, r.initial_users, jsonb_agg(r.retained_users ORDER BY r.period_number) AS retained,
                     jsonb_agg(r.retention_rate ORDER BY r.period_number) AS rates
              FROM analytics.get_retention_matrix(workspace_id, 'weekly', last_date - 83, last_date) AS r
              WHERE r.period_number <= 12
              GROUP BY r.cohort_date, r.initial_users) AS c), '[]'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_retention(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_retention(uuid, date) IS
    'section "retention" of analytics.report()';

CREATE FUNCTION analytics_internal.report_models(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH amount AS (
            SELECT m.key AS model, d.metric_date, m.value::numeric AS credits, (d.cost_by_model ->> m.key)::numeric AS cost
            FROM analytics.daily_metrics AS d, jsonb_each_text(d.credits_by_model) AS m
            WHERE d.workspace_id = report_models.workspace_id
              AND d.metric_date BETWEEN first_date - (last_date - first_date + 1) AND last_date
        ), model AS (
            SELECT a.model, coalesce(sum(a.credits) FILTER (WHERE a.metric_date >= first_date), 0) AS credits,
                   coalesce(sum(a.credits) FILTER (WHERE a.metric_date < first_date), 0) AS previous_credits,
                   CASE WHEN count(*) FILTER (WHERE a.metric_date >= first_date AND a.cost IS NULL) = 0
                        THEN sum(a.cost) FILTER (WHERE a.metric_date >= first_date) END AS cost
            FROM amount AS a
            GROUP BY a.model
        ), ranked AS (
            SELECT m.*, row_number() OVER (ORDER BY m.credits DESC, m.model COLLATE "C") AS place FROM model AS m WHERE m.credits > 0
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'model', r.model, 'credits', r.credits, 'previous_credits', r.previous_credits, 'cost', r.cost,
                         'daily_credits', (SELECT jsonb_agg(coalesce(a.credits, 0) ORDER BY i)
                                           FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i
                                           LEFT JOIN amount AS a ON a.metric_date = first_date + i AND a.model = r.model))
                         ORDER BY r.place) FROM ranked AS r WHERE r.place <= 6), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'credits', coalesce(sum(r.credits), 0)) FROM ranked AS r WHERE r.place > 6)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_models(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_models(uuid, date, date, date) IS
    'section "models" of analytics.report()';

CREATE FUNCTION analytics_internal.report_features(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH feature AS (
            SELECT f.*, row_number() OVER (ORDER BY f.events DESC, f.event_type, f.event_name COLLATE "C") AS place
            FROM analytics.get_feature_usage(workspace_id, first_date, last_date) AS f
            WHERE f.event_name <> ''
        ), previous AS (
            SELECT p.event_type, p.event_name, p.events
            FROM analytics.get_feature_usage(workspace_id, first_date - (last_date - first_date + 1), first_date - 1) AS p
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'event_type', f.event_type, 'event_name', f.event_name, 'events', f.events,
                         'distinct_users', f.distinct_users, 'previous_events', coalesce(p.events, 0)) ORDER BY f.place)
                     FROM feature AS f LEFT JOIN previous AS p USING (event_type, event_name) WHERE f.place <= 20), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'events', coalesce(sum(f.events), 0)) FROM feature AS f WHERE f.place > 20)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_features(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_features(uuid, date, date) IS
    'section "features" of analytics.report()';

CREATE FUNCTION analytics_internal.report_hours(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('day_of_week', h.day_of_week, 'hour_of_day', h.hour_of_day, 'hours', h.hours,
                                            'avg_active_users', h.avg_active_users, 'max_active_users', h.max_active_users,
                                            'total_runs', h.total_runs) ORDER BY h.day_of_week, h.hour_of_day)
        FROM analytics.get_usage_by_hour(workspace_id, first_date, last_date) AS h), '[]');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_hours(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_hours(uuid, date, date) IS
    'section "hours" of analytics.report()';

CREATE FUNCTION analytics_internal.report_agents(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH day AS MATERIALIZED (
            SELECT a.agent_id, a.metric_date, a.total_runs, a.successful_runs, a.failed_runs, a.cancelled_runs, a.runtime_sketch,
                   a.total_credits, a.total_cost, a.currency, a.cost_reason, a.users
            FROM analytics.agent_performance AS a
            WHERE a.workspace_id = report_agents.workspace_id AND a.metric_date BETWEEN first_date AND last_date
        ), ranked AS (
            SELECT d.agent_id, sum(d.total_runs) AS runs, row_number() OVER (ORDER BY sum(d.total_runs) DESC, d.agent_id) AS place
            FROM day AS d GROUP BY d.agent_id HAVING sum(d.total_runs) > 0
        ), agent AS (
            SELECT r.agent_id, r.place, r.runs, sum(d.successful_runs) AS successful, sum(d.failed_runs) AS failed,
                   sum(d.cancelled_runs) AS cancelled, analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch,
                   sum(d.total_credits) AS credits,
                   sum(d.total_cost) AS cost,
                   CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
                   analytics.user_set_cardinality(analytics.user_set_union_agg(d.users)) AS users
            FROM ranked AS r JOIN day AS d USING (agent_id)
            WHERE r.place <= 20
            GROUP BY r.agent_id, r.place, r.runs
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'agent_id', a.agent_id,
                         'name', (SELECT n.name FROM analytics.agents AS n
                                  WHERE n.workspace_id = report_agents.workspace_id AND n.agent_id = a.agent_id),
                         'total_runs', a.runs,
                         'previous_total_runs', (SELECT coalesce(sum(p.total_runs), 0) FROM analytics.agent_performance AS p
                                                 WHERE p.workspace_id = report_agents.workspace_id AND p.agent_id = a.agent_id
                                                   AND p.metric_date BETWEEN first_date - (last_date - first_date + 1) AND first_date - 1),
                         'successful_runs', a.successful, 'failed_runs', a.failed, 'cancelled_runs', a.cancelled,
                         'success_rate', round(100.0 * a.successful / nullif(a.successful + a.failed, 0), 2),
                         'median_runtime_seconds', round(analytics.quantile(a.sketch, 0.5, true)::numeric, 2),
                         'p95_runtime_seconds', round(analytics.quantile(a.sketch, 0.95, true)::numeric, 2),
                         'total_credits', a.credits, 'total_cost', CASE WHEN a.cost_reason IS NULL THEN a.cost END,
                         'cost_reason', a.cost_reason, 'distinct_users', a.users,
                         'daily_runs', (SELECT jsonb_agg(coalesce(d.total_runs, 0) ORDER BY i)
                                        FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i
                                        LEFT JOIN day AS d ON d.metric_date = first_date + i AND d.agent_id = a.agent_id))
                         ORDER BY a.place) FROM agent AS a), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'total_runs', coalesce(sum(r.runs), 0)) FROM ranked AS r WHERE r.place > 20)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_agents(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_agents(uuid, date, date, date) IS
    'section "agents" of analytics.report()';

CREATE FUNCTION analytics_internal.report_errors(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH day AS MATERIALIZED (
            SELECT e.key AS error_type, d.metric_date, e.value::bigint AS errors
            FROM analytics.daily_metrics AS d, jsonb_each_text(d.errors_by_type) AS e
            WHERE d.workspace_id = report_errors.workspace_id
              AND d.metric_date BETWEEN first_date - (last_date - first_date + 1) AND last_date
        ), ranked AS (
            SELECT d.error_type, sum(d.errors) FILTER (WHERE d.metric_date >= first_date) AS errors,
                   coalesce(sum(d.errors) FILTER (WHERE d.metric_date < first_date), 0) AS previous_errors,
                   row_number() OVER (ORDER BY sum(d.errors) FILTER (WHERE d.metric_date >= first_date) DESC, d.error_type COLLATE "C") AS place
            FROM day AS d GROUP BY d.error_type
            HAVING sum(d.errors) FILTER (WHERE d.metric_date >= first_date) > 0
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'error_type', r.error_type, 'errors', r.errors, 'previous_errors', r.previous_errors,
                         'daily_errors', (SELECT jsonb_agg(coalesce(d.errors, 0) ORDER BY i)
                                          FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i
                                          LEFT JOIN day AS d ON d.metric_date = first_date + i AND d.error_type = r.error_type))
                         ORDER BY r.place) FROM ranked AS r WHERE r.place <= 12), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'errors', coalesce(sum(r.errors), 0)) FROM ranked AS r WHERE r.place > 12)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_errors(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_errors(uuid, date, date, date) IS
    'section "errors" of analytics.report()';

CREATE FUNCTION analytics_internal.report_alerts(workspace_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH alert AS (
            SELECT r.name, r.severity, s.state, s.since, r.metric_type, r.condition, r.threshold_value, r.threshold_max,
                   h.metric_value, h.reason,
                   row_number() OVER (ORDER BY s.state, array_position('{critical,warning,info}', r.severity), s.since, r.name COLLATE "C") AS place
            FROM analytics.alert_rule_states AS s
            JOIN analytics.alert_rules AS r ON r.workspace_id = s.workspace_id AND r.id = s.alert_rule_id
            LEFT JOIN analytics.alert_history AS h ON h.workspace_id = s.workspace_id AND h.id = s.alert_id
            WHERE s.workspace_id = report_alerts.workspace_id AND s.state <> 'ok'
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(to_jsonb(a) - 'place' ORDER BY a.place) FROM alert AS a WHERE a.place <= 20), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*)) FROM alert AS a WHERE a.place > 20)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_alerts(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_alerts(uuid) IS
    'section "alerts" of analytics.report()';

CREATE FUNCTION analytics_internal.report_freshness(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'first_day', min(d.metric_date), 'newest_day', max(d.metric_date),
            'newest_final_day', max(d.metric_date) FILTER (WHERE d.is_final),
            'provisional_days', count(*) FILTER (WHERE NOT d.is_final AND d.metric_date BETWEEN first_date AND last_date),
            'computed_at', max(d.updated_at),
            'newest_hour', (SELECT max(h.metric_hour) FROM analytics.hourly_metrics AS h WHERE h.workspace_id = report_freshness.workspace_id))
        FROM analytics.daily_metrics AS d WHERE d.workspace_id = report_freshness.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_freshness(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_freshness(uuid, date, date) IS
    'section "freshness" of analytics.report()';

CREATE FUNCTION analytics_internal.report_annotations(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('date', f.day, 'title', f.title) ORDER BY f.starts_at, f.id)
        FROM (SELECT d.day, a.title, a.starts_at, a.id
              FROM analytics.annotations AS a, LATERAL (SELECT analytics.workspace_today(a.workspace_id, a.starts_at) AS day) AS d
              WHERE a.workspace_id = report_annotations.workspace_id AND d.day BETWEEN first_date AND last_date
              ORDER BY a.starts_at DESC, a.id DESC LIMIT 100) AS f), '[]');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_annotations(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_annotations(uuid, date, date) IS
    'section "annotations" of analytics.report()';

CREATE FUNCTION analytics.report(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN r.is_visible THEN jsonb_build_object(
        'version', 1,
        'workspace', analytics_internal.report_workspace(report.workspace_id, r.first_date, r.last_date),
        'range', jsonb_build_object('start_date', r.first_date, 'end_date', r.last_date, 'days', r.last_date - r.first_date + 1,
                                    'previous_start_date', r.first_date - (r.last_date - r.first_date + 1),
                                    'previous_end_date', r.first_date - 1, 'today', r.today),
        'generated_at', now(),
        'freshness', analytics_internal.report_freshness(report.workspace_id, r.first_date, r.last_date),
        'headline', analytics_internal.report_headline(report.workspace_id, r.first_date, r.last_date, r.today),
        'daily', analytics_internal.report_daily(report.workspace_id, r.first_date, r.last_date, r.today),
        'lifecycle', analytics_internal.report_lifecycle(report.workspace_id, r.first_date, r.last_date, r.today),
        'retention', analytics_internal.report_retention(report.workspace_id, r.last_date),
        'models', analytics_internal.report_models(report.workspace_id, r.first_date, r.last_date, r.today),
        'features', analytics_internal.report_features(report.workspace_id, r.first_date, r.last_date),
        'hours', analytics_internal.report_hours(report.workspace_id, r.first_date, r.last_date),
        'agents', analytics_internal.report_agents(report.workspace_id, r.first_date, r.last_date, r.today),
        'errors', analytics_internal.report_errors(report.workspace_id, r.first_date, r.last_date, r.today),
        'alerts', analytics_internal.report_alerts(report.workspace_id),
        'annotations', analytics_internal.report_annotations(report.workspace_id, r.first_date, r.last_date)) END
    FROM analytics_internal.report_range(report.workspace_id, report.start_date, report.end_date) AS r;
END;
REVOKE EXECUTE ON FUNCTION analytics.report(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.report(uuid, date, date) IS
    'everything that a page about a workspace shows, as one document. Headline figures with those of the previous period, daily users and runs, lifecycle, retention, models, features, hours, agents, errors, alerts and how fresh the numbers are. Dates inclusive (default: the last 30 complete days, at most 1100). report/README.md describes each field. With the caller''s rights: NULL for a workspace that the caller may not see; error (22023) for a range that is reversed, infinite or too long';

CREATE FUNCTION analytics_internal.report_page(document text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_report_page';
REVOKE EXECUTE ON FUNCTION analytics_internal.report_page(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_page(text) IS
    'the page of make install-report with a JSON text in it. analytics.report_page() without its query';

CREATE FUNCTION analytics.report_page(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analytics_internal.report_page(analytics.report(report_page.workspace_id, report_page.start_date, report_page.end_date)::text);
END;
REVOKE EXECUTE ON FUNCTION analytics.report_page(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.report_page(uuid, date, date) IS
    'analytics.report() as a web page: one HTML file that makes no request, in ASCII. Arguments and rights as there; NULL for a workspace that the caller may not see. Errors: 58P01 where the page was not installed (make report, make install-report), 22023 as analytics.report()';
-- Readers: database roles for dashboards, which read what is aggregated, of all workspaces or of some, and nothing about
-- persons. A reader of some workspaces has them in analytics.workspace_ids(). A reader of all is named in a policy
-- "reader_reads" of each table: USING (true) costs nothing, a list of all workspaces would.

CREATE TABLE analytics.readers (
    role_name text PRIMARY KEY,
    workspace_ids uuid[] CONSTRAINT readers_workspace_ids CHECK (cardinality(workspace_ids) > 0 AND array_position(workspace_ids, NULL) IS NULL),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE analytics.readers ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.readers', '');
COMMENT ON TABLE analytics.readers IS
    'roles that may read rollups. Changed by analytics.grant_reader() and analytics.revoke_reader() only';
COMMENT ON COLUMN analytics.readers.role_name IS
    'name of the database role';
COMMENT ON COLUMN analytics.readers.workspace_ids IS
    'the workspaces that it reads; NULL: all of them';
COMMENT ON COLUMN analytics.readers.created_at IS
    'when it was first granted something';
CREATE POLICY no_access ON analytics.readers FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.readers IS
    'for the owner only';

CREATE FUNCTION analytics_internal.make_reader_policies() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    read_all text := (SELECT string_agg(quote_ident(r.role_name), ', ' ORDER BY r.role_name COLLATE "C")
                      FROM analytics.readers AS r JOIN pg_roles AS g ON g.rolname = r.role_name
                      WHERE r.workspace_ids IS NULL);
    granted record;
BEGIN
    FOR granted IN
        SELECT DISTINCT c.oid::regclass AS relation
        FROM analytics_internal.role_grants() AS g
        JOIN pg_class AS c ON c.oid = to_regclass(g.object) AND c.relrowsecurity
        WHERE g.audience IN ('reader', 'reader of all') AND g.object_type = 'TABLE'
          AND read_all IS DISTINCT FROM (
              SELECT string_agg(quote_ident(r.rolname), ', ' ORDER BY r.rolname COLLATE "C")
              FROM pg_policy AS p JOIN pg_roles AS r ON r.oid = ANY (p.polroles) WHERE p.polrelid = c.oid AND p.polname = 'reader_reads')
    LOOP
        IF EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = granted.relation AND p.polname = 'reader_reads') THEN
            EXECUTE format('DROP POLICY reader_reads ON %s', granted.relation);
        END IF;
        IF read_all IS NOT NULL THEN
            EXECUTE format('CREATE POLICY reader_reads ON %s FOR SELECT TO %s USING (true)', granted.relation, read_all);
            EXECUTE format('COMMENT ON POLICY reader_reads ON %s IS %L', granted.relation, 'roles of analytics.grant_reader() read all workspaces');
        END IF;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.make_reader_policies() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.make_reader_policies() IS
    'makes the policies for readers of all workspaces anew';

-- A policy is no member of an extension, so pg_dump leaves it out; but the rows of this table bring it back. Where Citus
-- has copied the table the trigger is at a copy, and policies are made by the coordinator.
CREATE FUNCTION analytics_internal.apply_readers() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.is_distributed() THEN
        PERFORM analytics_internal.make_reader_policies();
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.apply_readers() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.apply_readers() IS
    'AFTER trigger: policies follow the rows on a single server';
CREATE TRIGGER apply_readers AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON analytics.readers
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.apply_readers();
COMMENT ON TRIGGER apply_readers ON analytics.readers IS
    'keeps the policies in step with the rows, also when a dump is restored';

CREATE FUNCTION analytics_internal.check_reader(role_name name) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    existing record;
BEGIN
    IF role_name IS NULL THEN
        RAISE EXCEPTION 'role name must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT r.rolsuper OR r.rolbypassrls AS sees_everything INTO existing FROM pg_roles AS r WHERE r.rolname = role_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" does not exist', role_name
            USING ERRCODE = 'undefined_object',
                  HINT = format('CREATE ROLE %I LOGIN PASSWORD ''...'';', role_name);
    END IF;
    IF existing.sees_everything THEN
        RAISE EXCEPTION 'role "%" is not subject to row security', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It is a superuser or has BYPASSRLS, so it sees every workspace anyway.',
                  HINT = 'Create a role of its own for dashboards.';
    END IF;
    IF EXISTS (SELECT FROM analytics.access_roles AS a WHERE a.role_name = check_reader.role_name) THEN
        RAISE EXCEPTION 'role "%" belongs to the API or runs maintenance', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'Whoever uses that role would read what its users may not see.',
                  HINT = 'Create a role of its own for dashboards.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_reader(name) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_reader(name) IS
    'raises an error for a role that must not become a reader';

CREATE FUNCTION analytics.grant_reader(role_name name, workspace_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.check_reader(role_name);
    INSERT INTO analytics.readers AS r (role_name, workspace_ids)
    VALUES (grant_reader.role_name, CASE WHEN workspace_id IS NOT NULL THEN ARRAY[workspace_id] END)
    ON CONFLICT (role_name) DO UPDATE
        SET workspace_ids = CASE WHEN r.workspace_ids IS NULL OR grant_reader.workspace_id = ANY (r.workspace_ids) THEN r.workspace_ids
                                 WHEN grant_reader.workspace_id IS NOT NULL THEN r.workspace_ids || grant_reader.workspace_id END;
    PERFORM analytics_internal.grant_audience('reader', role_name);
    IF workspace_id IS NULL THEN
        PERFORM analytics_internal.grant_audience('reader of all', role_name);
    END IF;
    IF analytics_internal.is_distributed() THEN
        PERFORM analytics_internal.make_reader_policies();
        PERFORM analytics_internal.grant_view_tables();
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.grant_reader(name, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.grant_reader(name, uuid) IS
    'lets a database role read what is aggregated of a workspace, or of all (the default). For dashboards: rollups, views and the functions over them. Never events, users, destinations or the audit log; through row security, without BYPASSRLS. Again with another workspace adds it; of all stays of all. For the owner; audited; briefly locks the rollup tables. Errors: an unknown role (42704), a superuser, a role with BYPASSRLS, of the API or of maintenance (22023), NULL (22004)';

CREATE FUNCTION analytics.revoke_reader(role_name name, workspace_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    remaining uuid[];
    existing analytics.readers;
BEGIN
    SELECT r.* INTO existing FROM analytics.readers AS r WHERE r.role_name = revoke_reader.role_name;
    IF NOT FOUND OR workspace_id <> ALL (existing.workspace_ids) THEN
        RAISE EXCEPTION 'role "%" is no reader of that', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'analytics.readers lists the readers.';
    ELSIF workspace_id IS NOT NULL AND existing.workspace_ids IS NULL THEN
        RAISE EXCEPTION 'role "%" reads all workspaces', role_name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Revoke all of it, then grant single workspaces.';
    END IF;
    remaining := nullif(array_remove(existing.workspace_ids, workspace_id), '{}');
    IF workspace_id IS NOT NULL AND remaining IS NOT NULL THEN
        UPDATE analytics.readers AS r SET workspace_ids = remaining WHERE r.role_name = revoke_reader.role_name;
    ELSE
        DELETE FROM analytics.readers AS r WHERE r.role_name = revoke_reader.role_name;
        IF EXISTS (SELECT FROM pg_roles AS g WHERE g.rolname = role_name) THEN -- not dropped meanwhile
            PERFORM analytics_internal.revoke_audience('reader', role_name);
            PERFORM analytics_internal.revoke_audience('reader of all', role_name);
        END IF;
        IF analytics_internal.is_distributed() THEN
            PERFORM analytics_internal.make_reader_policies();
        END IF;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.revoke_reader(name, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.revoke_reader(name, uuid) IS
    'takes back what analytics.grant_reader() granted: one workspace, or everything (the default). For the owner; audited. Errors (22023): a role that does not read that, one workspace of a reader of all';
-- What members save in their workspaces: segments by name, and annotations of what happened.

CREATE TABLE analytics.segments (
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    definition jsonb,
    users analytics.user_set,
    description text NOT NULL DEFAULT '',
    created_by uuid DEFAULT analytics.current_user_id(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, name),
    CONSTRAINT segments_name CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT segments_description CHECK (char_length(description) <= 2000),
    CONSTRAINT segments_definition CHECK (jsonb_typeof(definition) = 'object' AND octet_length(definition::text) <= 65536),
    CONSTRAINT segments_meaning CHECK (num_nonnulls(definition, users) = 1)
);
COMMENT ON TABLE analytics.segments IS
    'saved segments of a workspace: {"segment": "name"} in a question. Either a definition, evaluated when it is asked, or a set that stays as it is';
COMMENT ON COLUMN analytics.segments.workspace_id IS
    'workspace';
COMMENT ON COLUMN analytics.segments.name IS
    'what questions call it, 1 to 100 characters';
COMMENT ON COLUMN analytics.segments.definition IS
    'segment as in doc/questions.md, an object of at most 65,536 bytes; NULL where users are given';
COMMENT ON COLUMN analytics.segments.users IS
    'user_number of its users, for those who may read the workspace''s raw events. NULL where a definition is given';
COMMENT ON COLUMN analytics.segments.description IS
    'free text, at most 2,000 characters';
COMMENT ON COLUMN analytics.segments.created_by IS
    'user who made it; NULL: nobody known';
COMMENT ON COLUMN analytics.segments.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.segments.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.segments_pkey IS
    'serves: the segment of a name, WHERE workspace_id = ... AND name = ...';
COMMENT ON CONSTRAINT segments_name ON analytics.segments IS
    'names are short texts';
COMMENT ON CONSTRAINT segments_description ON analytics.segments IS
    'descriptions are bounded';
COMMENT ON CONSTRAINT segments_definition ON analytics.segments IS
    'as large as a question may be';
COMMENT ON CONSTRAINT segments_meaning ON analytics.segments IS
    'a definition or a set';
ALTER TABLE analytics.segments ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.segments', '');

CREATE FUNCTION analytics_internal.sign_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.created_by := coalesce(NEW.created_by, analytics.current_user_id());
    NEW.created_at := coalesce(NEW.created_at, now());
    NEW.updated_at := coalesce(NEW.updated_at, now());
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.sign_row() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.sign_row() IS
    'row trigger: who made a row and when. On Citus these columns have no default, see drop_defaults()';

-- Who is in a stored set is about persons: it is stored and seen by those who may read raw events. By its name all members
-- ask about it.
CREATE POLICY member_reads ON analytics.segments FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids())
           AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_reads ON analytics.segments IS
    'members read definitions of their workspaces, sets where they may read raw events';
CREATE POLICY member_inserts ON analytics.segments FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids())
                AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_inserts ON analytics.segments IS
    'members save definitions in their workspaces, sets where they may read raw events';
CREATE POLICY member_updates ON analytics.segments FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids())
           AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids())
                AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_updates ON analytics.segments IS
    'members change what they may save, whoever made it';
CREATE POLICY member_deletes ON analytics.segments FOR DELETE
    USING (workspace_id = ANY (analytics.workspace_ids())
           AND (users IS NULL OR workspace_id = ANY (analytics_internal.raw_event_workspace_ids())));
COMMENT ON POLICY member_deletes ON analytics.segments IS
    'members delete what they may save, whoever made it';

CREATE TRIGGER sign_row BEFORE INSERT ON analytics.segments
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.sign_row();
COMMENT ON TRIGGER sign_row ON analytics.segments IS
    'notes who made a row and when';
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON analytics.segments
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.touch_updated_at();
COMMENT ON TRIGGER touch_updated_at ON analytics.segments IS
    'keeps updated_at';
CREATE TRIGGER limit_segments AFTER INSERT ON analytics.segments
    FOR EACH ROW WHEN (row_security_active('analytics.segments'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('segments_per_workspace');
COMMENT ON TRIGGER limit_segments ON analytics.segments IS
    'roles under row security save so many segments in a workspace at most. Setting segments_per_workspace';

CREATE TABLE analytics.annotations (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    starts_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz,
    title text NOT NULL,
    details text NOT NULL DEFAULT '',
    created_by uuid DEFAULT analytics.current_user_id(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT annotations_title CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT annotations_details CHECK (char_length(details) <= 5000),
    CONSTRAINT annotations_span CHECK (isfinite(starts_at) AND ends_at >= starts_at)
);
COMMENT ON TABLE analytics.annotations IS
    'what happened in or around a workspace: releases, campaigns, outages. analytics.report() shows them on their days';
COMMENT ON COLUMN analytics.annotations.workspace_id IS
    'workspace';
COMMENT ON COLUMN analytics.annotations.id IS
    'the annotation';
COMMENT ON COLUMN analytics.annotations.starts_at IS
    'when it happened, or began';
COMMENT ON COLUMN analytics.annotations.ends_at IS
    'when it was over; NULL: a moment, or not over yet';
COMMENT ON COLUMN analytics.annotations.title IS
    'one line, 1 to 200 characters';
COMMENT ON COLUMN analytics.annotations.details IS
    'free text, at most 5,000 characters';
COMMENT ON COLUMN analytics.annotations.created_by IS
    'user who made it; NULL: nobody known';
COMMENT ON COLUMN analytics.annotations.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.annotations.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.annotations_pkey IS
    'serves: the annotations of a workspace, which are few (setting annotations_per_workspace)';
COMMENT ON CONSTRAINT annotations_title ON analytics.annotations IS
    'titles are short texts';
COMMENT ON CONSTRAINT annotations_details ON analytics.annotations IS
    'details are bounded';
COMMENT ON CONSTRAINT annotations_span ON analytics.annotations IS
    'nothing ends before it began';
ALTER TABLE analytics.annotations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.annotations', '');

CREATE POLICY member_reads ON analytics.annotations FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.annotations IS
    'members read their workspaces';
CREATE POLICY member_inserts ON analytics.annotations FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_inserts ON analytics.annotations IS
    'members annotate their workspaces';
CREATE POLICY member_updates ON analytics.annotations FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_updates ON analytics.annotations IS
    'members change the annotations of their workspaces, whoever made them';
CREATE POLICY member_deletes ON analytics.annotations FOR DELETE
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_deletes ON analytics.annotations IS
    'members delete the annotations of their workspaces, whoever made them';

CREATE TRIGGER sign_row BEFORE INSERT ON analytics.annotations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.sign_row();
COMMENT ON TRIGGER sign_row ON analytics.annotations IS
    'notes who made a row and when';
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON analytics.annotations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.touch_updated_at();
COMMENT ON TRIGGER touch_updated_at ON analytics.annotations IS
    'keeps updated_at';
CREATE TRIGGER limit_annotations AFTER INSERT ON analytics.annotations
    FOR EACH ROW WHEN (row_security_active('analytics.annotations'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('annotations_per_workspace');
COMMENT ON TRIGGER limit_annotations ON analytics.annotations IS
    'roles under row security make so many annotations in a workspace at most. Setting annotations_per_workspace';
-- Questions about events: readers that compile a definition and answer it from the raw events of one workspace.

CREATE FUNCTION analytics_internal.day_starts(workspace_id uuid, first_day date, last_day date) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zones text[] := ARRAY(SELECT s.time_zone FROM analytics.workspace_settings AS s
                          WHERE s.workspace_id = day_starts.workspace_id LIMIT 2);
    is_constant boolean := NOT EXISTS (SELECT FROM analytics.workspace_settings AS s
                                       WHERE s.workspace_id = day_starts.workspace_id AND s.valid_from > '-infinity');
BEGIN
    IF is_constant THEN
        RETURN ARRAY(SELECT analytics.day_start(first_day + n, COALESCE(zones[1], 'UTC'))
                     FROM generate_series(0, last_day - first_day) AS n ORDER BY n);
    END IF;
    -- A day that a change left out begins where the next one does.
    RETURN ARRAY(
        SELECT min(b.day_start) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
        FROM generate_series(0, last_day - first_day + 3) AS n
        LEFT JOIN LATERAL analytics_internal.workspace_day_bounds(workspace_id, first_day + n) AS b ON true
        ORDER BY n LIMIT last_day - first_day + 1);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.day_starts(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.day_starts(uuid, date, date) IS
    'first instants of a workspace''s local days, ascending. A day that a change of zone left out has the next day''s';

CREATE FUNCTION analytics_internal.first_whole_day(workspace_id uuid, last_sealed_day date) RETURNS date
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from timestamptz := (last_sealed_day + 1)::timestamp AT TIME ZONE 'UTC';
    local_day date := analytics.workspace_today(workspace_id, kept_from);
BEGIN
    IF kept_from IS NULL THEN
        RETURN '-infinity';
    ELSIF (SELECT b.day_start FROM analytics_internal.workspace_day_bounds(workspace_id, local_day) AS b) < kept_from THEN
        RETURN local_day + 1;
    END IF;
    RETURN local_day;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.first_whole_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.first_whole_day(uuid, date) IS
    'the first local day that begins after a UTC day; -infinity for NULL';

-- What retention has removed lies before all that is there; a frozen day has days with events before it.
CREATE FUNCTION analytics_internal.raw_events_since(workspace_id uuid) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT analytics_internal.first_whole_day(raw_events_since.workspace_id, max(s.event_day))
FROM analytics.sealed_days AS s
WHERE s.workspace_id = raw_events_since.workspace_id
  AND s.event_day < COALESCE((SELECT min(c.event_day) FROM analytics.closed_days AS c
                              WHERE c.workspace_id = raw_events_since.workspace_id AND c.events > 0
                                AND NOT EXISTS (SELECT FROM analytics.sealed_days AS n
                                                WHERE n.workspace_id = c.workspace_id AND n.event_day = c.event_day)), 'infinity')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.raw_events_since(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.raw_events_since(uuid) IS
    'analytics.raw_events_since() of any workspace';

CREATE FUNCTION analytics_internal.complete_since(workspace_id uuid, last_date date) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT greatest(analytics_internal.raw_events_since(complete_since.workspace_id),
                analytics_internal.first_whole_day(complete_since.workspace_id, max(s.event_day)))
FROM analytics.sealed_days AS s
WHERE s.workspace_id = complete_since.workspace_id
  AND s.event_day::timestamp AT TIME ZONE 'UTC'
      < COALESCE((SELECT b.day_end FROM analytics_internal.workspace_day_bounds(complete_since.workspace_id, last_date) AS b),
                 (last_date + 2)::timestamp AT TIME ZONE 'UTC') -- a day that a change of zone left out
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.complete_since(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.complete_since(uuid, date) IS
    'the local day from which on no raw event is gone, of those up to last_date; -infinity: none is';

-- A day without an event has no row in daily_users: closing has then passed it, and nothing is noted for it.
CREATE FUNCTION analytics_internal.unstored_days(workspace_id uuid, first_day date, last_day date) RETURNS date[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed_until timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w WHERE isfinite(w.closed_until));
    open_from date := analytics.workspace_today(workspace_id, closed_until);
    -- Retention takes the sets from the oldest day on.
    sets_from date := (SELECT min(e.metric_date) FROM analytics.daily_event_usage AS e WHERE e.workspace_id = unstored_days.workspace_id);
    gone_from date := (SELECT min(s.event_day) FROM analytics.sealed_days AS s WHERE s.workspace_id = unstored_days.workspace_id);
    noted date[];
BEGIN
    IF open_from IS NOT NULL THEN
        noted := ARRAY(
            SELECT p.metric_date FROM analytics.pending_buckets AS p WHERE p.workspace_id = unstored_days.workspace_id AND p.kind = 'day'
            UNION ALL
            SELECT analytics.workspace_today(unstored_days.workspace_id, h.metric_hour)
            FROM (SELECT DISTINCT d.metric_hour FROM analytics.dirty_hours AS d WHERE d.workspace_id = unstored_days.workspace_id) AS h);
    END IF;
    RETURN ARRAY(
        SELECT day
        FROM generate_series(0, last_day - first_day) AS n, LATERAL (SELECT first_day + n) AS d (day)
        LEFT JOIN analytics.daily_users AS u ON u.workspace_id = unstored_days.workspace_id AND u.metric_date = d.day
        WHERE CASE WHEN u.is_final THEN sets_from IS NULL OR day < sets_from
                   WHEN u.is_final IS NOT NULL OR open_from IS NULL OR day >= open_from THEN true
                   ELSE day = ANY (noted) OR (day >= gone_from - 1 AND (sets_from IS NULL OR day < sets_from)) END
        ORDER BY day);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.unstored_days(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.unstored_days(uuid, date, date) IS
    'local days that the daily sets do not tell: not over, not aggregated yet, or removed';

-- Cheap, so that rows of other types are left out first: the conditions on created_at need all columns before it.
CREATE FUNCTION analytics_internal.is_type_among(event_type text, types integer) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 0.1
AS 'MODULE_PATHNAME', 'shadow_is_type_among';
REVOKE EXECUTE ON FUNCTION analytics_internal.is_type_among(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_type_among(text, integer) IS
    'whether an event type is one of a question''s, which are a bit each';

-- The one way from all readers to the engine. It checks itself what the caller may ask, as row security cannot.
CREATE FUNCTION analytics_internal.answer(
    workspace_id uuid, question text, arguments jsonb, user_set analytics.user_set, as_of timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_answer_question';
REVOKE EXECUTE ON FUNCTION analytics_internal.answer(uuid, text, jsonb, analytics.user_set, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.answer(uuid, text, jsonb, analytics.user_set, timestamptz) IS
    'answers the reader of this name with the rights of the owner. A workspace that the caller may not ask about, or NULL, has no row';

CREATE FUNCTION analytics_internal.permitted_answer(
    workspace_id uuid, question text, arguments jsonb, user_set analytics.user_set, as_of timestamptz, may_read_persons boolean)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'shadow_answer_permitted';
REVOKE EXECUTE ON FUNCTION analytics_internal.permitted_answer(uuid, text, jsonb, analytics.user_set, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.permitted_answer(uuid, text, jsonb, analytics.user_set, timestamptz, boolean) IS
    'analytics_internal.answer() in the cell of the workspace, for a caller who was found permitted to ask, and to read persons or only counts';

CREATE FUNCTION analytics_internal.users_who(workspace_id uuid, segment jsonb, as_of timestamptz) RETURNS analytics.user_set
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_users_who';
REVOKE EXECUTE ON FUNCTION analytics_internal.users_who(uuid, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.users_who(uuid, jsonb, timestamptz) IS
    'analytics.users_who() with the rights of the owner';

CREATE FUNCTION analytics.raw_events_since(workspace_id uuid) RETURNS date
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.day FROM analytics_internal.answer(raw_events_since.workspace_id, 'raw_events_since', '{}', NULL, NULL) AS a (day date);
END;
REVOKE EXECUTE ON FUNCTION analytics.raw_events_since(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.raw_events_since(uuid) IS
    'first local day of a workspace whose raw events are all still there; -infinity while none were removed. Frozen days (analytics.sealed_days) later on lack some all the same, and a question that needs one is an error (55000). NULL for a workspace that the caller may not ask about';

CREATE FUNCTION analytics.users_who(workspace_id uuid, segment jsonb, as_of timestamptz DEFAULT NULL) RETURNS analytics.user_set
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analytics_internal.users_who(users_who.workspace_id, users_who.segment, users_who.as_of);
END;
REVOKE EXECUTE ON FUNCTION analytics.users_who(uuid, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.users_who(uuid, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: the users of a segment as a set of user_number. Users whose first event is not aggregated yet are in no set. Only for those who may read the workspace''s raw events, else 42501; other workspaces and NULL: NULL. A malformed segment is an error (22023) that names the place, raw events that are gone are one (55000)';

CREATE FUNCTION analytics.get_trend(
    workspace_id uuid, series jsonb DEFAULT '"*"', period text DEFAULT 'daily', start_date date DEFAULT NULL,
    end_date date DEFAULT NULL, breakdown text DEFAULT NULL, breakdown_limit integer DEFAULT 25, compare boolean DEFAULT false,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (series_number bigint, period_start date, breakdown_value text, value numeric, previous_value numeric,
               change numeric, is_final boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_trend.workspace_id, 'get_trend',
        jsonb_build_object('series', series, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'breakdown', breakdown, 'breakdown_limit', breakdown_limit, 'compare', compare,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (series_number bigint, period_start date, breakdown_value text, value numeric, previous_value numeric,
              change numeric, is_final boolean);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_trend(uuid, jsonb, text, date, date, text, integer, boolean, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_trend(uuid, jsonb, text, date, date, text, integer, boolean, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: counts, sums and quantiles of events per period. With a breakdown and the periods before. series: an event, or up to 10 {event, measure}; measure: events, users, sessions, runs, success_rate, failure_rate, sum(p), avg(p), min(p), max(p), median(p), p1(p) to p99(p) of a property; rates and change in percent, NULL without data; no change of a period that runs (is_final = false). period: daily, weekly, monthly or total. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_funnel(
    workspace_id uuid, steps jsonb, start_date date DEFAULT NULL, end_date date DEFAULT NULL, conversion_window interval DEFAULT '7 days',
    step_order text DEFAULT 'ordered', exclusions jsonb DEFAULT NULL, hold_constant text[] DEFAULT NULL, count_by text DEFAULT 'user',
    breakdown text DEFAULT NULL, attribution text DEFAULT 'first_step', breakdown_limit integer DEFAULT 25, period text DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (period_start date, breakdown_value text, step bigint, step_name text, entrants bigint, conversion_rate numeric,
               step_conversion_rate numeric, dropped bigint, in_progress bigint, median_seconds numeric, median_seconds_from_first numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_funnel.workspace_id, 'get_funnel',
        jsonb_build_object('steps', steps, 'start_date', start_date, 'end_date', end_date, 'conversion_window', conversion_window::text,
                           'step_order', step_order, 'exclusions', exclusions, 'hold_constant', hold_constant, 'count_by', count_by,
                           'breakdown', breakdown, 'attribution', attribution, 'breakdown_limit', breakdown_limit, 'period', period,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (period_start date, breakdown_value text, step bigint, step_name text, entrants bigint, conversion_rate numeric,
              step_conversion_rate numeric, dropped bigint, in_progress bigint, median_seconds numeric, median_seconds_from_first numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_funnel(uuid, jsonb, date, date, interval, text, jsonb, text[], text, text, text, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_funnel(uuid, jsonb, date, date, interval, text, jsonb, text[], text, text, text, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: how many users (sessions, attempts) get how far through 1 to 16 steps. All within conversion_window. step_order: ordered, strict, any; exclusions: up to 8 {event, after, before}; count_by: user, session, attempt; attribution of a breakdown: first_step, last_step, step_N, each_value; period of entry: daily, weekly, monthly. Rates in percent, times in seconds of the decisive chains. The range chooses entries; default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_conversion_times(
    workspace_id uuid, steps jsonb, start_date date DEFAULT NULL, end_date date DEFAULT NULL, conversion_window interval DEFAULT '7 days',
    step_order text DEFAULT 'ordered', exclusions jsonb DEFAULT NULL, hold_constant text[] DEFAULT NULL, count_by text DEFAULT 'user',
    from_step integer DEFAULT 1, to_step integer DEFAULT NULL, edges interval[] DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (from_seconds numeric, to_seconds numeric, entrants bigint, cumulative_rate numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_conversion_times.workspace_id, 'get_conversion_times',
        jsonb_build_object('steps', steps, 'start_date', start_date, 'end_date', end_date, 'conversion_window', conversion_window::text,
                           'step_order', step_order, 'exclusions', exclusions, 'hold_constant', hold_constant, 'count_by', count_by,
                           'from_step', from_step, 'to_step', to_step, 'edges', edges::text[],
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (from_seconds numeric, to_seconds numeric, entrants bigint, cumulative_rate numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_conversion_times(uuid, jsonb, date, date, interval, text, jsonb, text[], text, integer, integer, interval[], jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_conversion_times(uuid, jsonb, date, date, interval, text, jsonb, text[], text, integer, integer, interval[], jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: the time between two steps of a funnel as a histogram. Bins are [from_seconds, to_seconds), the last one open. Arguments as of get_funnel(); edges ascend, by default from 0 to 30 days below the window. cumulative_rate in percent of those who reach to_step. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_event_retention(
    workspace_id uuid, start_event jsonb, return_event jsonb DEFAULT NULL, period text DEFAULT 'weekly', start_date date DEFAULT NULL,
    end_date date DEFAULT NULL, retention text DEFAULT 'first', rolling boolean DEFAULT false, breakdown text DEFAULT NULL,
    breakdown_limit integer DEFAULT 25,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (cohort_date date, breakdown_value text, initial_users bigint, period_number bigint, retained_users bigint,
               retention_rate numeric, unbounded_rate numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_event_retention.workspace_id, 'get_event_retention',
        jsonb_build_object('start_event', start_event, 'return_event', return_event, 'period', period, 'start_date', start_date,
                           'end_date', end_date, 'retention', retention, 'rolling', rolling, 'breakdown', breakdown,
                           'breakdown_limit', breakdown_limit, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (cohort_date date, breakdown_value text, initial_users bigint, period_number bigint, retained_users bigint,
              retention_rate numeric, unbounded_rate numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_event_retention(uuid, jsonb, jsonb, text, date, date, text, boolean, text, integer, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_event_retention(uuid, jsonb, jsonb, text, date, date, text, boolean, text, integer, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: retention by event. Who does return_event (default: start_event) again in the periods after start_event. retention: first (the cohort is the period of the first start_event known) or recurring (of every one); rolling: periods of 24 hours, 7 or 30 days from the event itself. unbounded_rate: in the period or later, in percent. Periods that are not over have no row. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_stickiness(
    workspace_id uuid, event jsonb DEFAULT '"*"', period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (periods_active bigint, users bigint, users_at_least bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_stickiness.workspace_id, 'get_stickiness',
        jsonb_build_object('event', event, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (periods_active bigint, users bigint, users_at_least bigint);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_stickiness(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_stickiness(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: in how many periods users did an event. Users with exactly (with at least) k of the range''s periods, for every k, zeros included. period: daily, weekly or monthly. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_event_lifecycle(
    workspace_id uuid, event jsonb DEFAULT '"*"', period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_event_lifecycle.workspace_id, 'get_event_lifecycle',
        jsonb_build_object('event', event, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_event_lifecycle(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_event_lifecycle(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: get_lifecycle() of one event. Users who did it for the first time in a period (new), in it and the one before (returning), in it after a pause (resurrecting), in the one before only (dormant; NULL while the period runs: is_final = false). Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_paths(
    workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL, events jsonb DEFAULT '"page_view"',
    node text DEFAULT 'page_path', node_groups text[] DEFAULT NULL, start_at text DEFAULT NULL, end_at text DEFAULT NULL,
    max_steps integer DEFAULT 5, max_nodes integer DEFAULT 20, within text DEFAULT 'session',
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (step bigint, source text, target text, paths bigint, users bigint, median_seconds numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_paths.workspace_id, 'get_paths',
        jsonb_build_object('start_date', start_date, 'end_date', end_date, 'events', events, 'node', node, 'node_groups', node_groups,
                           'start_at', start_at, 'end_at', end_at, 'max_steps', max_steps, 'max_nodes', max_nodes, 'within', within,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (step bigint, source text, target text, paths bigint, users bigint, median_seconds numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_paths(uuid, date, date, jsonb, text, text[], text, text, integer, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_paths(uuid, date, date, jsonb, text, text[], text, text, integer, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: transitions between the nodes of paths, each a session or (within user) a user''s range. node: a property; node_groups: LIKE patterns that stand for the values they match; start_at, end_at: nodes where paths begin and end. step counts from 1, or with end_at alone down from 0; source NULL: the path began there, target NULL: it ended there. Beyond max_nodes of a position: (other). Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_pages(
    workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL, page_groups text[] DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (page_path text, views bigint, users bigint, sessions bigint, entries bigint, exits bigint, bounces bigint,
               exit_rate numeric, bounce_rate numeric, avg_seconds numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_pages.workspace_id, 'get_pages',
        jsonb_build_object('start_date', start_date, 'end_date', end_date, 'page_groups', page_groups,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (page_path text, views bigint, users bigint, sessions bigint, entries bigint, exits bigint, bounces bigint,
              exit_rate numeric, bounce_rate numeric, avg_seconds numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_pages(uuid, date, date, text[], jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_pages(uuid, date, date, text[], jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: page views by path. With the sessions that began (entries), ended (exits) and bounced there (setting bounce_rule). page_groups: LIKE patterns that stand for the paths they match. exit_rate of views, bounce_rate of entries, in percent; avg_seconds to the next event of the session. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_attribution(
    workspace_id uuid, conversion jsonb, property text DEFAULT 'referrer_host', start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    model text DEFAULT 'last', lookback interval DEFAULT '30 days', touches jsonb DEFAULT '"*"', ignore text[] DEFAULT NULL,
    max_values integer DEFAULT 25,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (value text, conversions bigint, users bigint, revenue numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_attribution.workspace_id, 'get_attribution',
        jsonb_build_object('conversion', conversion, 'property', property, 'start_date', start_date, 'end_date', end_date,
                           'model', model, 'lookback', lookback::text, 'touches', touches, 'ignore', ignore,
                           'max_values', max_values, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (value text, conversions bigint, users bigint, revenue numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_attribution(uuid, jsonb, text, date, date, text, interval, jsonb, text[], integer, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_attribution(uuid, jsonb, text, date, date, text, interval, jsonb, text[], integer, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: which value of a property the first or last touch before each conversion had. touches: the events that count; ignore: LIKE patterns of values that do not; lookback: how old a touch may be. value NULL: no touch; sums over all values are those of all conversions. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_experiment(
    workspace_id uuid, exposure jsonb, variant_property text, goal jsonb, start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    control text DEFAULT 'control', conversion_window interval DEFAULT '14 days', expected_effect numeric DEFAULT 0.05,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (variant text, users bigint, conversions bigint, in_progress bigint, conversion_rate numeric, rate_low numeric,
               rate_high numeric, difference numeric, difference_low numeric, difference_high numeric, lift numeric, p_value numeric,
               probability_better numeric, sequential_p_value numeric, sequential_low numeric, sequential_high numeric, srm_p_value numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_experiment.workspace_id, 'get_experiment',
        jsonb_build_object('exposure', exposure, 'variant', variant_property, 'goal', goal, 'start_date', start_date,
                           'end_date', end_date, 'control', control, 'conversion_window', conversion_window::text,
                           'expected_effect', expected_effect, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (variant text, users bigint, conversions bigint, in_progress bigint, conversion_rate numeric, rate_low numeric,
              rate_high numeric, difference numeric, difference_low numeric, difference_high numeric, lift numeric, p_value numeric,
              probability_better numeric, sequential_p_value numeric, sequential_low numeric, sequential_high numeric, srm_p_value numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_experiment(uuid, jsonb, text, jsonb, date, date, text, interval, numeric, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_experiment(uuid, jsonb, text, jsonb, date, date, text, interval, numeric, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: users by the variant of their first exposure, and how many reach the goal. Within conversion_window, compared with control as analytics.compare_conversions() does. variant_property holds the variant; users exposed to several are counted in the row (several) alone. rate_low, rate_high: Wilson 95 %; srm_p_value: chi-square of equal shares, small where the assignment is broken. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

-- PL/pgSQL, as Citus plans no table in an SQL function with parameters.
CREATE FUNCTION analytics_internal.agent_name(workspace_id uuid, agent_id text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT n.name FROM analytics.agents AS n
            WHERE n.workspace_id = agent_name.workspace_id AND n.agent_id::text = agent_name.agent_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_name(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_name(uuid, text) IS
    'name of an agent, with the caller''s rights; NULL without';

CREATE FUNCTION analytics.get_run_metrics(
    workspace_id uuid, breakdown text DEFAULT 'model', period text DEFAULT NULL, start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    breakdown_limit integer DEFAULT 25,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (period_start date, breakdown_value text, runs bigint, successful_runs bigint, failed_runs bigint, cancelled_runs bigint,
               success_rate numeric, errors_by_type jsonb, tokens numeric, credits numeric, cost numeric, currency text, cost_reason text,
               avg_runtime_seconds numeric, p50_runtime_seconds numeric, p95_runtime_seconds numeric, p99_runtime_seconds numeric,
               unique_users bigint, agent_name text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.*, CASE breakdown WHEN 'agent_id' THEN analytics_internal.agent_name(get_run_metrics.workspace_id, a.breakdown_value) END
    FROM analytics_internal.answer(
        get_run_metrics.workspace_id, 'get_run_metrics',
        jsonb_build_object('breakdown', breakdown, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'breakdown_limit', breakdown_limit, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (period_start date, breakdown_value text, runs bigint, successful_runs bigint, failed_runs bigint, cancelled_runs bigint,
              success_rate numeric, errors_by_type jsonb, tokens numeric, credits numeric, cost numeric, currency text, cost_reason text,
              avg_runtime_seconds numeric, p50_runtime_seconds numeric, p95_runtime_seconds numeric, p99_runtime_seconds numeric,
              unique_users bigint);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_run_metrics(uuid, text, text, date, date, integer, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_run_metrics(uuid, text, text, date, date, integer, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: runs of agents by a property (model, agent_id, metadata.tool, ...). Each run once per local day by its deciding event. success_rate in percent of successful and failed runs; errors_by_type: failed runs by error type; cost, currency and cost_reason as in daily_metrics; runtimes in seconds of runs that were not cancelled, percentiles exact; agent_name with the breakdown agent_id. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_run_tree(workspace_id uuid, run_id text, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (depth bigint, run text, parent_run_id text, agent_id text, model text, status text, error_type text, created_at timestamptz,
               runtime_seconds numeric, tokens numeric, total_tokens numeric, cost numeric, total_cost numeric, currency text,
               cost_reason text, descendants bigint, agent_name text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.*, analytics_internal.agent_name(get_run_tree.workspace_id, a.agent_id)
    FROM analytics_internal.answer(
        get_run_tree.workspace_id, 'get_run_tree',
        jsonb_build_object('run_id', run_id, 'start_date', start_date, 'end_date', end_date), NULL, NULL)
        AS a (depth bigint, run text, parent_run_id text, agent_id text, model text, status text, error_type text, created_at timestamptz,
              runtime_seconds numeric, tokens numeric, total_tokens numeric, cost numeric, total_cost numeric, currency text,
              cost_reason text, descendants bigint);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_run_tree(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_run_tree(uuid, text, date, date) IS
    'From raw events: a run and its descendants by metadata.parent_run_id (parent_execution_id), depth first, each run once by its deciding event; what that lacks comes from the latest earlier event of the run that has it. tokens and cost are a run''s own, each attempt once; a cost that is not stated comes from the prices in force, as in daily_metrics, and is NULL where they tell none of what was consumed. The totals are its own and those of its descendants; total_cost is NULL, and cost_reason says why, where it would be a partial sum. Only for those who may read the workspace''s raw events, else 42501; other workspaces and NULL: no row. Raw events gone: 55000';

CREATE FUNCTION analytics_internal.session_gap() RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT make_interval(mins => analytics.setting('session_gap_minutes')::integer) $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.session_gap() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.session_gap() IS
    'setting session_gap_minutes, for everybody';

CREATE FUNCTION analytics_internal.checked_page_size(max_events integer) RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_events IS NULL OR max_events NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_events is out of range'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(max_events::text, 'NULL')),
                  HINT = 'Between 1 and 1000; ask for the next ones with before.';
    END IF;
    RETURN max_events;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.checked_page_size(integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.checked_page_size(integer) IS
    'max_events of analytics.get_user_timeline(); an error (22023) unless 1 to 1000';

CREATE FUNCTION analytics_internal.timeline_page(
    workspace_id uuid, user_id uuid, before timestamptz, max_events integer, OUT id uuid, OUT created_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.id, e.created_at FROM analytics.user_activity AS e
    WHERE e.workspace_id = timeline_page.workspace_id AND e.user_id = timeline_page.user_id
      AND e.created_at < coalesce(timeline_page.before, 'infinity')
    ORDER BY e.created_at DESC FETCH FIRST (max_events) ROWS WITH TIES;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.timeline_page(uuid, uuid, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.timeline_page(uuid, uuid, timestamptz, integer) IS
    'a user''s last events before an instant, with the caller''s rights';

CREATE FUNCTION analytics_internal.timeline_events(
    workspace_id uuid, user_id uuid, from_time timestamptz, to_time timestamptz, OUT id uuid, OUT created_at timestamptz, OUT event_type text,
    OUT event_name text, OUT page_path text, OUT referrer text, OUT session_id uuid, OUT metadata jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.id, e.created_at, e.event_type, e.event_name, e.page_path, e.referrer, e.session_id, e.metadata
    FROM analytics.user_activity AS e
    WHERE e.workspace_id = timeline_events.workspace_id AND e.user_id = timeline_events.user_id
      AND e.created_at >= from_time AND e.created_at < to_time;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.timeline_events(uuid, uuid, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.timeline_events(uuid, uuid, timestamptz, timestamptz) IS
    'a user''s events between two instants, with the caller''s rights';

-- With the caller's rights, so that row security tells whose events are shown. A day's sessions are numbered from its first
-- event on.
CREATE FUNCTION analytics.get_user_timeline(
    workspace_id uuid, user_id uuid, before timestamptz DEFAULT NULL, max_events integer DEFAULT 100)
RETURNS TABLE (created_at timestamptz, id uuid, event_type text, event_name text, page_path text, referrer text,
               session_number bigint, is_session_start boolean, seconds_since_previous numeric, metadata jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH page AS MATERIALIZED (
        SELECT p.id, p.created_at
        FROM analytics_internal.timeline_page(get_user_timeline.workspace_id, get_user_timeline.user_id, get_user_timeline.before,
                                              analytics_internal.checked_page_size(max_events)) AS p
    ), span AS (
        SELECT min(p.created_at) AS oldest, max(p.created_at) AS newest FROM page AS p
    ), events AS (
        SELECT e.*, d.day, lag(e.created_at) OVER (PARTITION BY d.day, e.session_id ORDER BY e.created_at, e.id) AS previous
        FROM span AS s
        CROSS JOIN LATERAL (SELECT analytics.workspace_today(get_user_timeline.workspace_id, s.oldest) AS first_day,
                                   analytics.workspace_today(get_user_timeline.workspace_id, s.newest) AS last_day) AS r
        CROSS JOIN analytics_internal.workspace_day_bounds(get_user_timeline.workspace_id, r.first_day) AS f
        CROSS JOIN analytics_internal.workspace_day_bounds(get_user_timeline.workspace_id, r.last_day) AS l
        CROSS JOIN LATERAL analytics_internal.timeline_events(get_user_timeline.workspace_id, get_user_timeline.user_id, f.day_start, l.day_end) AS e
        CROSS JOIN LATERAL (SELECT analytics.workspace_today(get_user_timeline.workspace_id, e.created_at) AS day) AS d
    ), split AS ( -- the client's sessions, and those by inactivity of what has none
        SELECT e.*, count(*) FILTER (WHERE e.previous IS NULL
                                           OR e.session_id IS NULL AND e.created_at - e.previous >= analytics_internal.session_gap())
                        OVER (PARTITION BY e.day, e.session_id ORDER BY e.created_at, e.id) AS piece
        FROM events AS e
    ), pieces AS MATERIALIZED (
        SELECT s.day, s.session_id, s.piece, min(s.created_at) AS first_time, max(s.created_at) AS last_time,
               (array_agg(s.id ORDER BY s.created_at, s.id))[1] AS first_id
        FROM split AS s GROUP BY s.day, s.session_id, s.piece
    ), wholes AS ( -- one by inactivity is part of the client's session that it touches, the nearest
        SELECT p.day, p.session_id, p.piece, coalesce(p.session_id, t.session_id) AS whole_session,
               CASE WHEN coalesce(p.session_id, t.session_id) IS NULL THEN p.piece END AS whole_piece
        FROM pieces AS p
        LEFT JOIN LATERAL (
            SELECT n.session_id
            FROM pieces AS n
            CROSS JOIN LATERAL (SELECT greatest(n.first_time - p.last_time, p.first_time - n.last_time, interval '0') AS gap) AS d
            WHERE p.session_id IS NULL AND n.session_id IS NOT NULL AND n.day = p.day AND d.gap < analytics_internal.session_gap()
            ORDER BY d.gap, n.first_time, n.last_time, n.first_id LIMIT 1) AS t ON true
    ), joined AS (
        SELECT s.*, w.whole_session, w.whole_piece, lag(s.created_at) OVER whole AS event_before,
               min(s.created_at) OVER (PARTITION BY s.day, w.whole_session, w.whole_piece) AS began
        FROM split AS s
        JOIN wholes AS w ON w.day = s.day AND w.session_id IS NOT DISTINCT FROM s.session_id AND w.piece = s.piece
        WINDOW whole AS (PARTITION BY s.day, w.whole_session, w.whole_piece ORDER BY s.created_at, s.id)
    ), numbered AS (
        SELECT j.*, dense_rank() OVER (PARTITION BY j.day ORDER BY j.began, j.whole_session NULLS FIRST, j.whole_piece) AS number FROM joined AS j
    )
    SELECT n.created_at, n.id, n.event_type, n.event_name, n.page_path, n.referrer, n.number, n.event_before IS NULL,
           round(extract(epoch FROM n.created_at - n.event_before), 2), n.metadata
    FROM numbered AS n JOIN page AS p ON p.id = n.id AND p.created_at = n.created_at
    ORDER BY n.created_at DESC, n.id DESC;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_user_timeline(uuid, uuid, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_user_timeline(uuid, uuid, timestamptz, integer) IS
    'From raw events: a user''s last max_events (1 to 1000) events before an instant, newest first. Those at the instant of the last one come along, so before => created_at of the last row asks for the next page. session_number counts the sessions of daily_metrics within the local day; seconds_since_previous: within the session, NULL for its first event. Rows are those that the caller may read in user_activity: own ones, others'' by the setting raw_events_visible_to; NULL or nobody: no row. Another max_events is an error (22023)';

CREATE FUNCTION analytics.compare_conversions(
    control_users bigint, control_conversions bigint, variant_users bigint, variant_conversions bigint, expected_effect numeric DEFAULT 0.05,
    OUT difference numeric, OUT difference_low numeric, OUT difference_high numeric, OUT lift numeric, OUT p_value numeric,
    OUT probability_better numeric, OUT sequential_p_value numeric, OUT sequential_low numeric, OUT sequential_high numeric)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_compare_conversions';
COMMENT ON FUNCTION analytics.compare_conversions(bigint, bigint, bigint, bigint, numeric) IS
    'compares two conversion rates: difference, lift, p-value and probability. The difference has Newcombe''s hybrid score interval (1998, method 10), the lift is in percent, the z-test two-sided and pooled, the probability that the variant is better of uniform priors. The mixture sequential test (Johari et al. 2022) has a p-value and an interval that hold however often one looks; expected_effect is the standard deviation of its mixture. NULL where there is no variance or an argument is NULL; counts that are none are an error (22023)';
-- Privacy: the key of hashed addresses, and the rights of a person: to be forgotten, and to know what is stored.

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
    'the key of user_activity.ip_hash, made on first use, read by nobody but the owner. analytics.rotate_ip_secret() replaces it';
COMMENT ON COLUMN analytics.ip_secret.id IS
    'always true: there is one row';
COMMENT ON COLUMN analytics.ip_secret.version IS
    'counts the keys there have been; the first four bytes of an ip_hash';
COMMENT ON COLUMN analytics.ip_secret.secret IS
    'random bytes (from the server''s cryptographic generator)';
COMMENT ON COLUMN analytics.ip_secret.created_at IS
    'when this key was made';

CREATE POLICY no_access ON analytics.ip_secret FOR SELECT USING (false);
COMMENT ON POLICY no_access ON analytics.ip_secret IS
    'for the owner only';

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
    'replaces the key of user_activity.ip_hash and returns its version. The old key is gone, so older hashes can no longer be traced to an address. For the owner';

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

-- Where others' rows name the user: events of others ("invited_user": ...), which stay theirs, alerts and the
-- audit log. A text that names the user in another way than by the id is not found.
CREATE FUNCTION analytics_internal.forget_mentions_in_events(target_user_id uuid, target_workspace_id uuid, tombstone uuid) RETURNS void
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
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.forget_mentions_in_events(uuid, uuid, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.forget_mentions_in_events(uuid, uuid, uuid) IS
    'a step of analytics_internal.forget_user(): puts the tombstone in place of the user''s id in other users'' events';

CREATE FUNCTION analytics_internal.forget_mentions(target_user_id uuid, target_workspace_id uuid, tombstone uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named CONSTANT text := target_user_id::text;
BEGIN
    -- Notes by the user go; in those of others only the user's id is replaced.
    UPDATE analytics.alert_history AS h
    SET notes = CASE WHEN h.acknowledged_by = target_user_id THEN NULL ELSE replace(h.notes, named, tombstone::text) END,
        acknowledged_by = CASE WHEN h.acknowledged_by = target_user_id THEN tombstone ELSE h.acknowledged_by END,
        evaluation_context = replace(h.evaluation_context::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR h.workspace_id = target_workspace_id)
      AND (h.acknowledged_by = target_user_id OR strpos(concat_ws(' ', h.notes, h.evaluation_context::text), named) > 0);
    -- Samples of errors are those of a moment: whose they were is found by the user's events, which have the tombstone by now.
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
    UPDATE analytics.segments AS s
    SET created_by = CASE WHEN s.created_by = target_user_id THEN tombstone ELSE s.created_by END,
        name = replace(s.name, named, tombstone::text),
        description = replace(s.description, named, tombstone::text),
        definition = replace(s.definition::text, named, tombstone::text)::jsonb
    WHERE (target_workspace_id IS NULL OR s.workspace_id = target_workspace_id)
      AND (s.created_by = target_user_id OR strpos(concat_ws(' ', s.name, s.description, s.definition::text), named) > 0);
    UPDATE analytics.annotations AS n
    SET created_by = CASE WHEN n.created_by = target_user_id THEN tombstone ELSE n.created_by END,
        title = replace(n.title, named, tombstone::text),
        details = replace(n.details, named, tombstone::text)
    WHERE (target_workspace_id IS NULL OR n.workspace_id = target_workspace_id)
      AND (n.created_by = target_user_id OR strpos(concat_ws(' ', n.title, n.details), named) > 0);
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
    'a step of analytics_internal.forget_user(): puts the tombstone in place of the user''s id in alerts, notifications, segments, annotations and the audit log; the caller holds the lock alerts';

CREATE FUNCTION analytics_internal.audit_forgetting(target_workspace_id uuid, events bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
SELECT analytics_internal.write_audit(target_workspace_id, 'forget_user', 'analytics.user_activity', NULL, jsonb_build_object('events', events))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_forgetting(uuid, bigint) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_forgetting(uuid, bigint) IS
    'the last step of analytics_internal.forget_user(): notes in the audit log that somebody was forgotten, but not who';

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
    IF analytics_internal.has_cells() THEN
        events := analytics_internal.in_cells(format('SELECT analytics_internal.forget_user(%L, %L)', target_user_id, target_workspace_id), target_workspace_id);
        PERFORM analytics_internal.audit_forgetting(target_workspace_id, events);
        RETURN events;
    END IF;

    -- Before any row is locked, and those of alerts last: nobody evaluates alerts while it is held.
    PERFORM analytics_internal.lock('rollups');

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

    PERFORM analytics_internal.forget_mentions_in_events(target_user_id, target_workspace_id, tombstone);

    -- The reasons of failures and the messages of errors are free text that the rollup of a day keeps; a day
    -- whose events retention has removed keeps redacted texts of nobody in particular.
    PERFORM analytics_internal.aggregate_unsealed(m.metric_date, NULL, m.workspace_id)
    FROM jsonb_to_recordset(coalesce(days, '[]')) AS d (workspace_id uuid, day date)
    JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.day;
    IF events > 0 AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = to_regclass('analytics.mv_error_trends') AND c.relispopulated) THEN
        PERFORM analytics_internal.lock('views');
        IF analytics_internal.cell_key() > 0 THEN
            PERFORM analytics_internal.refresh_view('mv_error_trends');
        ELSE
            REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.mv_error_trends;
        END IF;
    END IF;

    PERFORM analytics_internal.lock('alerts');
    PERFORM analytics_internal.forget_mentions(target_user_id, target_workspace_id, tombstone);
    IF analytics_internal.cell_key() = 0 THEN -- else the coordinator does
        PERFORM analytics_internal.audit_forgetting(target_workspace_id, events);
    END IF;
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
    'makes a user unknowable, in one workspace or in all, and changes no count. The user''s events get a random user and sessions, and lose addresses, user agent, paths, referrer, free text and unknown metadata; the audit log is cleared of the user. Returns the number of events. For the service role and the owner; NULL user: error (22004)';

-- A table that comes to hold something about a person is listed here.
CREATE FUNCTION analytics_internal.export_user(target_user_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    RETURN (WITH person AS (
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
        -- Not a saved set's other users.
        'segments', (SELECT coalesce(jsonb_agg(to_jsonb(s) - 'users' ORDER BY s.workspace_id, s.name), '[]')
                     FROM analytics.segments AS s WHERE s.created_by = target_user_id),
        'in_segments', (SELECT coalesce(jsonb_agg(jsonb_build_object('workspace_id', s.workspace_id, 'name', s.name) ORDER BY s.workspace_id, s.name), '[]')
                        FROM person AS p JOIN analytics.segments AS s ON s.workspace_id = p.workspace_id
                        WHERE s.users OPERATOR(analytics.@>) p.user_number),
        'annotations', (SELECT coalesce(jsonb_agg(to_jsonb(n) ORDER BY n.created_at, n.id), '[]')
                        FROM analytics.annotations AS n WHERE n.created_by = target_user_id),
        'alert_rules', (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.created_at, r.id), '[]')
                        FROM analytics.alert_rules AS r WHERE r.created_by = target_user_id),
        'acknowledged_alerts', (SELECT coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.triggered_at, h.id), '[]')
                                FROM analytics.alert_history AS h WHERE h.acknowledged_by = target_user_id),
        'audit_log', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.happened_at, a.id), '[]')
                      FROM analytics.audit_log AS a WHERE a.user_id = target_user_id)));
END
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
    'everything stored about a user, as one JSON object. user_id, events (raw), users (number, first and last seen per workspace), daily_users (days active), agents_used and events_by_day (rollups that count the user), revenue, segments, annotations and alert_rules (made by the user), in_segments (saved sets with the user), acknowledged_alerts, audit_log (what the user changed). For the user, of every workspace, the service role and the owner; NULL to others';
-- Audit: who changed what. Filled by the triggers below, changed by nobody but analytics.forget_user().

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
    'who changed what in the configuration. Settings, membership, access roles, workspace settings, prices, retention, alert rules, segments, annotations and the like, acknowledgments and erasures. Appended by triggers; no role may change it';
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

CREATE POLICY manager_reads ON analytics.audit_log FOR SELECT
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()) OR user_id = analytics.current_user_id());
COMMENT ON POLICY manager_reads ON analytics.audit_log IS
    'managers read what concerns their workspaces, users what they did themselves';

CREATE FUNCTION analytics_internal.mask_secrets(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'object' THEN
        RETURN (SELECT coalesce(jsonb_object_agg(e.key, CASE WHEN e.key COLLATE "C" ~* 'secret|passw|token|api_?key|authorization'
                                                                  AND e.value <> 'null'
                                                             THEN '"***"' ELSE analytics_internal.mask_secrets(e.value) END), '{}')
                FROM jsonb_each(value) AS e);
    ELSIF jsonb_typeof(value) = 'array' THEN
        RETURN (SELECT coalesce(jsonb_agg(analytics_internal.mask_secrets(e.value) ORDER BY e.ordinality), '[]')
                FROM jsonb_array_elements(value) WITH ORDINALITY AS e);
    ELSIF jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^[A-Za-z][A-Za-z0-9+.-]*://' THEN
        -- The paths of webhooks are their passwords.
        RETURN to_jsonb(regexp_replace(value #>> '{}', '^([^:]+://)(?:[^/@]*@)?([^/?#]*).*$', E'\\1\\2/***'));
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
    -- A restore brings its own log, and of several copies of a table one is enough.
    IF analytics_internal.is_restore(TG_RELID) OR analytics_internal.is_copy(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        old_values := to_jsonb(OLD) - coalesce(TG_ARGV[0], '');
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        new_values := to_jsonb(NEW) - coalesce(TG_ARGV[0], '');
    END IF;
    IF old_values IS DISTINCT FROM new_values OR TG_OP = 'TRUNCATE' THEN
        PERFORM analytics_internal.write_audit((coalesce(new_values, old_values) ->> 'workspace_id')::uuid,
                                               lower(TG_OP COLLATE "C"), analytics_internal.logical_name(TG_RELID), old_values, new_values);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_change() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_change() IS
    'AFTER trigger (row: insert, update, delete; statement: truncate) that logs changes of a table, but not a restore; its argument is a column that is left out';

-- A table is audited by two triggers; add a line here.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY '{settings,membership,access_roles,readers,ip_secret,workspace_settings,credit_prices,token_prices,retention_policies,workspace_retention,annotations}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON analytics.%I FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change()', table_name);
        EXECUTE format('COMMENT ON TRIGGER audit_change ON analytics.%I IS %L', table_name, 'writes changes to analytics.audit_log');
        EXECUTE format('CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.%I FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change()', table_name);
        EXECUTE format('COMMENT ON TRIGGER audit_truncate ON analytics.%I IS %L', table_name, 'writes truncation to analytics.audit_log');
    END LOOP;
END
$$;

-- What people change is audited; what the evaluation counts is not, nor any address or secret.
CREATE TRIGGER audit_change AFTER INSERT OR DELETE OR UPDATE OF workspace_id, name, description, is_active, scope,
        metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes,
        cooldown_minutes, severity, no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_change ON analytics.alert_rules IS
    'writes changes to analytics.audit_log';
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_truncate ON analytics.alert_rules IS
    'writes truncation to analytics.audit_log';

-- A saved set is not: it may be large, and who is in it is for those who may read raw events.
CREATE TRIGGER audit_change AFTER INSERT OR DELETE OR UPDATE OF workspace_id, name, definition, users, description ON analytics.segments
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change('users');
COMMENT ON TRIGGER audit_change ON analytics.segments IS
    'writes changes to analytics.audit_log';
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.segments
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_truncate ON analytics.segments IS
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

CREATE FUNCTION analytics_internal.audited_destination(destination record) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('name', destination.name, 'channel', destination.channel, 'is_verified', destination.is_verified);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audited_destination(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audited_destination(record) IS
    'what the audit log may know of a row of analytics.notification_destinations: name, channel, is_verified; NULL for NULL';

CREATE FUNCTION analytics_internal.audit_destination() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.is_restore(TG_RELID) THEN
        PERFORM analytics_internal.write_audit(
            CASE WHEN TG_OP = 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END, lower(TG_OP COLLATE "C"),
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
    'sizes of the tables and materialized views of the schema analytics, partitions summed. ORDER BY total_bytes DESC. On Citus over all servers';
COMMENT ON COLUMN analytics.table_sizes.table_name IS 'table, or the one that it is a partition of';
COMMENT ON COLUMN analytics.table_sizes.partitions IS 'tables that store its rows: 1 without partitions; on Citus its shards';
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
    'how often the indexes of the schema analytics were used since the statistics were reset. Partitions are summed. ORDER BY scans DESC';
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
    'statements of this database that name the schema analytics, from pg_stat_statements. No row without that extension';

CREATE VIEW analytics.slow_queries WITH (security_invoker = true) AS
SELECT q.query, q.calls, q.mean_exec_time, q.max_exec_time, q.total_exec_time, q.rows
FROM analytics_internal.read_slow_queries() AS q;
COMMENT ON VIEW analytics.slow_queries IS
    'statements that name the schema analytics, from pg_stat_statements (empty without it). ORDER BY mean_exec_time DESC';
COMMENT ON COLUMN analytics.slow_queries.query IS 'text with constants replaced';
COMMENT ON COLUMN analytics.slow_queries.calls IS 'executions';
COMMENT ON COLUMN analytics.slow_queries.mean_exec_time IS 'mean time of an execution, ms';
COMMENT ON COLUMN analytics.slow_queries.max_exec_time IS 'longest execution, ms';
COMMENT ON COLUMN analytics.slow_queries.total_exec_time IS 'time of all executions, ms';
COMMENT ON COLUMN analytics.slow_queries.rows IS 'rows returned or changed';

CREATE VIEW analytics.freshness WITH (security_invoker = true) AS
SELECT r.rollup,
       r.newest_bucket,
       (SELECT nullif(min(w.closed_until), '-infinity') FROM analytics.watermark AS w) AS closed_until,
       now() - (SELECT nullif(min(w.closed_until), '-infinity') FROM analytics.watermark AS w) AS lag,
       (SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) FROM analytics.dirty_hours AS d) AS dirty_hours,
       (SELECT count(*) FROM analytics.pending_buckets AS p WHERE p.kind = 'day' AND p.attempts > 0) AS failed_days
FROM (SELECT 'hourly_metrics' AS rollup, max(h.metric_hour) AS newest_bucket FROM analytics.hourly_metrics AS h
      UNION ALL
      SELECT 'daily_metrics' AS rollup, max(d.metric_date)::timestamp AT TIME ZONE 'UTC' FROM analytics.daily_metrics AS d
      UNION ALL
      SELECT 'agent_performance' AS rollup, max(a.metric_date)::timestamp AT TIME ZONE 'UTC' FROM analytics.agent_performance AS a) AS r;
COMMENT ON VIEW analytics.freshness IS
    'how recent the rollups are';
COMMENT ON COLUMN analytics.freshness.rollup IS 'rollup table';
COMMENT ON COLUMN analytics.freshness.newest_bucket IS 'start of its newest hour or (as if in UTC) day; NULL: empty';
COMMENT ON COLUMN analytics.freshness.closed_until IS 'up to here rollups are final, but for dirty_hours; NULL: nothing was ever closed';
COMMENT ON COLUMN analytics.freshness.lag IS 'how long ago that is; about an hour and a minute at most when all is well';
COMMENT ON COLUMN analytics.freshness.dirty_hours IS 'closed hours, per workspace, with late changes that wait for repair';
COMMENT ON COLUMN analytics.freshness.failed_days IS 'days of workspaces that could not be aggregated: analytics.pending_buckets';

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
SELECT r.step, r.first_day, r.last_day, r.started_at, clock_timestamp() - r.started_at AS elapsed, r.rows, r.done, r.total,
       round(100.0 * r.done / nullif(r.total, 0), 2) AS percent_done, r.pid
FROM analytics.job_runs AS r
WHERE r.outcome = 'running';
COMMENT ON VIEW analytics.job_progress IS
    'runs of maintain() and backfill() in progress; a killed one stays until the next run';
COMMENT ON COLUMN analytics.job_progress.step IS 'step';
COMMENT ON COLUMN analytics.job_progress.first_day IS 'backfill: first day of the range';
COMMENT ON COLUMN analytics.job_progress.last_day IS 'backfill: last day of the range';
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
    SELECT format('process %s (%s, database %s) in a transaction since %s', a.pid, a.usename, a.datname, a.xact_start)
    FROM pg_stat_activity AS a, analytics.watermark AS w
    WHERE a.backend_xid::text::bigint < (w.closing_xid::text::numeric % 4294967296)) AS h
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.watermark_holders() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.watermark_holders() IS
    'transactions older than the one taken for closing, for which closing waits; NULL: none';

-- A step that begins is a sign of life too: a run may take as long as its budget.
CREATE FUNCTION analytics_internal.last_sign() RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT greatest(
    (SELECT r.finished_at FROM analytics.job_runs AS r
     WHERE r.step = 'maintain' AND r.outcome IN ('done', 'partial', 'failed') ORDER BY r.started_at DESC LIMIT 1),
    (SELECT max(r.started_at) FROM analytics.job_runs AS r JOIN pg_stat_activity AS a ON a.pid = r.pid AND a.backend_start <= r.started_at
     WHERE r.outcome = 'running' AND r.step <> 'backfill'))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_sign() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_sign() IS
    'when maintain() was last heard of: the end of a run, or the beginning of a step that runs. NULL: never';

CREATE FUNCTION analytics_internal.cron_health(OUT finding text, OUT cure text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    job record;
    run record;
BEGIN
    IF NOT COALESCE(has_table_privilege(to_regclass('cron.job'), 'SELECT')
                    AND has_table_privilege(to_regclass('cron.job_run_details'), 'SELECT'), false) THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT j.jobid, j.active, j.username::name FROM cron.job AS j
             WHERE j.database = current_database() AND j.command COLLATE "C" ~* ''call[[:space:]]+analytics[.]maintain[(]'' ORDER BY j.active DESC, j.jobid LIMIT 1'
    INTO job;
    IF job.jobid IS NULL THEN
        cure := 'SELECT analytics.schedule_jobs().';
        RETURN;
    END IF;
    EXECUTE 'SELECT d.status, d.return_message, d.start_time FROM cron.job_run_details AS d WHERE d.jobid = $1 ORDER BY d.runid DESC LIMIT 1'
    INTO run USING job.jobid;
    IF NOT job.active THEN
        finding := format('job %s of pg_cron is switched off', job.jobid);
        cure := format('SELECT cron.alter_job(%s, active := true).', job.jobid);
    ELSIF run.status = 'failed' THEN
        finding := format('scheduled with pg_cron, but its runs fail: %s', COALESCE(run.return_message, 'no message'));
        cure := CASE WHEN run.return_message ~* 'connect' THEN
                         (SELECT concat(c.obstacle || '. ', c.cure) FROM analytics_internal.cron_obstacle(job.username) AS c)
                     ELSE format('SELECT * FROM cron.job_run_details WHERE jobid = %s ORDER BY runid DESC LIMIT 5.', job.jobid) END;
    ELSE
        finding := 'scheduled with pg_cron, which ' || COALESCE('last began a run at ' || run.start_time::text, 'has begun no run yet');
        cure := 'pg_cron must be in shared_preload_libraries, and cron.launch_active_jobs and cron.log_run be on; ALTER SYSTEM SET them, and restart PostgreSQL.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cron_health(OUT text, OUT text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cron_health(OUT text, OUT text) IS
    'what pg_cron tells of its calls of maintain() in this database, and what to do. Both NULL: pg_cron is not here';

CREATE FUNCTION analytics_internal.scheduler_health(OUT finding text, OUT cure text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.worker_interval() IS NOT NULL THEN
        finding := 'the background worker has this database on its list';
        cure := 'The server log says "shadow_analytics cannot maintain database" and why. Where no worker is free: ALTER SYSTEM SET max_worker_processes, and restart PostgreSQL.';
        RETURN;
    END IF;
    SELECT c.finding, c.cure INTO finding, cure FROM analytics_internal.cron_health() AS c;
    finding := COALESCE(finding, 'nothing is known to call it');
    cure := COALESCE(cure, analytics_internal.cron_elsewhere(),
        format('ALTER SYSTEM SET shared_preload_libraries = ''shadow_analytics'' (add what is there), ALTER SYSTEM SET shadow_analytics.databases = %L and restart PostgreSQL; or let any scheduler run every minute: psql -d %s -c ''CALL analytics.maintain()''.',
               quote_ident(current_database()), current_database()));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.scheduler_health(OUT text, OUT text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.scheduler_health(OUT text, OUT text) IS
    'who is to call maintain(), and what to do when it is silent';

CREATE FUNCTION analytics_internal.maintenance_health(OUT status text, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_sign CONSTANT timestamptz := analytics_internal.last_sign();
    every CONSTANT interval := COALESCE(analytics_internal.worker_interval(), '1 minute');
    running CONSTANT text := (SELECT string_agg(p.step || ' since ' || p.started_at, ', ' ORDER BY p.started_at) FROM analytics.job_progress AS p);
BEGIN
    status := CASE WHEN last_sign >= now() - 5 * every THEN 'ok'
                   WHEN last_sign >= now() - greatest(interval '1 hour', 10 * every) THEN 'warn'
                   ELSE 'fail' END;
    detail := COALESCE('last sign of maintain() ' || last_sign::text, 'analytics.maintain() has never run');
    IF status <> 'ok' THEN
        SELECT detail || ': alerts are not evaluated; ' || COALESCE('at work: ' || running || '; ', '') || s.finding, s.cure
        INTO detail, hint FROM analytics_internal.scheduler_health() AS s;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.maintenance_health(OUT text, OUT text, OUT text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.maintenance_health(OUT text, OUT text, OUT text) IS
    'the check "maintenance" of analytics.health(): warn after five intervals of silence, fail after an hour';

-- A query that reads all of user_activity locks each partition and its indexes.
CREATE FUNCTION analytics_internal.partitions_health(
    max_locks integer, OUT status text, OUT detail text, OUT hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    locks_each CONSTANT integer := 6;
    partitions CONSTANT bigint := (SELECT count(*) FROM pg_inherits AS i WHERE i.inhparent = 'analytics.user_activity'::regclass);
    needed CONSTANT bigint := locks_each * partitions;
BEGIN
    status := CASE WHEN needed <= max_locks / 2 THEN 'ok' ELSE 'warn' END;
    detail := format('%s partitions of user_activity: a query that reads all takes about %s locks, the server has room for %s', partitions, needed, max_locks);
    hint := CASE WHEN status <> 'ok' THEN format('ALTER SYSTEM SET max_locks_per_transaction = %s, and restart PostgreSQL; or shorten the retention of user_activity.',
                                                 2 * current_setting('max_locks_per_transaction')::integer) END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.partitions_health(integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.partitions_health(integer) IS
    'the check "partitions" of analytics.health(): warn where a query over all of them would take half of the locks';

CREATE FUNCTION analytics_internal.health_here() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
DECLARE
    has_rows CONSTANT boolean := NOT analytics_internal.has_cells();
    closed timestamptz := (SELECT min(w.closed_until) FROM analytics.watermark AS w);
    today date := (now() AT TIME ZONE 'UTC')::date;
    ahead integer := (SELECT count(*) FROM generate_series(1, 366) AS n JOIN analytics_internal.partitions() AS p
                      ON p.from_time <= (today + n)::timestamp AT TIME ZONE 'UTC' AND p.to_time > (today + n)::timestamp AT TIME ZONE 'UTC');
    lingering bigint;
    dirty bigint;
    failed text;
    failed_days bigint;
    missing numeric;
    kept numeric;
BEGIN
    check_name := 'maintenance';
    SELECT m.status, m.detail, m.hint INTO status, detail, hint FROM analytics_internal.maintenance_health() AS m;
    RETURN NEXT;

    check_name := 'clock';
    SELECT r.started_at || ': ' || r.detail INTO failed FROM analytics.job_runs AS r
    WHERE r.step = 'mend_clock' AND r.started_at > now() - interval '1 day' ORDER BY r.started_at DESC LIMIT 1;
    detail := format('records of maintenance are dated up to %s later than now', date_trunc('second', analytics_internal.clock_lead()));
    status := CASE WHEN analytics_internal.clock_lead() IS NOT NULL THEN 'fail' WHEN failed IS NOT NULL THEN 'warn' ELSE 'ok' END;
    detail := CASE status WHEN 'fail' THEN detail ELSE COALESCE(failed, 'no record of maintenance is dated later than now') END;
    hint := CASE status WHEN 'fail' THEN 'CALL analytics.maintain(), which mends what the clock has left behind, and look after the server''s time synchronization.'
                        WHEN 'warn' THEN 'It is mended; look after the server''s time synchronization, and at events dated in the future.' END;
    RETURN NEXT;

    check_name := 'failed_steps';
    SELECT string_agg(f.step || ' (' || f.error || ')', ', ' ORDER BY f.step) INTO failed
    FROM (SELECT DISTINCT ON (r.step) r.step, r.outcome, r.error FROM analytics.job_runs AS r
          WHERE r.step <> 'maintain' AND r.started_at > now() - interval '1 day' AND r.outcome <> 'running'
          ORDER BY r.step, r.started_at DESC) AS f
    WHERE f.outcome = 'failed';
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'fail' END;
    detail := COALESCE('failed: ' || failed, 'no step failed when it last ran');
    hint := CASE WHEN failed IS NOT NULL THEN 'SELECT step, error FROM analytics.job_runs WHERE outcome = ''failed'' ORDER BY started_at DESC; the step is tried again whenever it is due, or by CALL analytics.maintain().' END;
    RETURN NEXT;

    check_name := 'partitions_ahead';
    status := CASE WHEN ahead >= 2 THEN 'ok' WHEN ahead >= 1 THEN 'warn' ELSE 'fail' END;
    detail := format('%s days ahead have a partition', ahead);
    hint := CASE WHEN ahead < 2 THEN 'CALL analytics.maintain(); events of other days wait in the default partition.' END;
    RETURN NEXT;

    check_name := 'partitions';
    SELECT p.status, p.detail, p.hint INTO status, detail, hint
    FROM analytics_internal.partitions_health(current_setting('max_locks_per_transaction')::integer
        * (current_setting('max_connections')::integer + current_setting('max_prepared_transactions')::integer)) AS p;
    RETURN NEXT;

    IF has_rows THEN
        check_name := 'default_partition';
        IF to_regclass('analytics.user_activity_default') IS NOT NULL THEN
            SELECT count(*) INTO lingering FROM analytics.user_activity_default AS e
            WHERE e.created_at < now() - interval '1 day';
        END IF;
        status := CASE WHEN lingering = 0 THEN 'ok' ELSE 'warn' END;
        detail := COALESCE(lingering || ' events older than a day', 'there is none: events of days without a partition are refused');
        hint := CASE WHEN lingering IS NULL THEN 'CALL analytics.maintain(), which makes it.'
                     WHEN lingering > 0 THEN 'CALL analytics.maintain(), which moves those within the retention, and removes the others.' END;
        RETURN NEXT;

        check_name := 'closing';
        status := CASE WHEN closed > now() - interval '3 hours' THEN 'ok' WHEN closed IS NULL THEN 'warn'
                       WHEN closed > now() - interval '1 day' THEN 'warn' ELSE 'fail' END;
        detail := COALESCE('rollups are final until ' || closed::text || '; held by: ' || COALESCE(analytics_internal.watermark_holders(), 'nobody'),
                           'nothing was closed yet');
        hint := CASE WHEN closed IS NULL THEN 'CALL analytics.maintain().'
                     WHEN status <> 'ok' THEN 'End the transactions that hold it: SELECT pg_terminate_backend(<process>), ROLLBACK PREPARED <name>; then CALL analytics.maintain().' END;
        RETURN NEXT;

        check_name := 'failed_days';
        SELECT string_agg(format('workspace %s, %s: %s (attempts: %s, next at %s)', f.workspace_id, to_char(f.metric_date, 'YYYY-MM-DD'), f.error, f.attempts, f.next_attempt_at), '; '
                          ORDER BY f.metric_date DESC, f.workspace_id) FILTER (WHERE f.place <= 3), count(*)
        INTO failed, failed_days
        FROM (SELECT d.*, row_number() OVER (ORDER BY d.metric_date DESC, d.workspace_id) AS place
              FROM analytics.pending_buckets AS d WHERE d.kind = 'day' AND d.attempts > 0) AS f;
        status := CASE WHEN failed_days = 0 THEN 'ok' ELSE 'fail' END;
        detail := format('%s days of workspaces could not be aggregated', failed_days) || COALESCE(': ' || failed, '');
        hint := CASE WHEN failed_days > 0 THEN 'Mend the cause and SELECT analytics.retry_failed_days(), or wait for the next attempt; others are not held up. See analytics.pending_buckets.' END;
        RETURN NEXT;

        check_name := 'frozen_days';
        SELECT string_agg(format('workspace %s, %s: %s missing, %s kept', f.workspace_id, to_char(f.event_day, 'YYYY-MM-DD'), f.missing, f.kept_events), '; '
                          ORDER BY f.event_day DESC, f.workspace_id) FILTER (WHERE f.place <= 3), count(*), COALESCE(sum(f.missing), 0), COALESCE(sum(f.kept_events), 0)
        INTO failed, failed_days, missing, kept
        FROM (SELECT s.*, row_number() OVER (ORDER BY s.event_day DESC, s.workspace_id) AS place FROM analytics.sealed_days AS s
              WHERE s.missing > 0 OR s.kept_events > 0) AS f;
        status := CASE WHEN missing > 0 THEN 'fail' WHEN kept > 0 THEN 'warn' ELSE 'ok' END;
        detail := format('events that rollups count but are missing: %s, events kept that they may not count: %s', missing, kept) || COALESCE(': ' || failed, '');
        hint := CASE WHEN status <> 'ok' THEN 'Restore or attach missing events and CALL analytics.backfill() for the day, or decide by analytics.settle_day(). See analytics.sealed_days.' END;
        RETURN NEXT;

        check_name := 'expiring_imports';
        SELECT count(*), COALESCE(sum(k.events), 0), min(k.kept_until)::text INTO failed_days, kept, failed
        FROM analytics_internal.kept_days(now() - analytics_internal.retention('user_activity')) AS k WHERE k.kept_until < 'infinity';
        status := CASE WHEN kept = 0 THEN 'ok' ELSE 'warn' END;
        detail := format('%s events were past their retention when they were loaded', kept) || COALESCE('; cleanup removes them from ' || failed || ' on', '');
        hint := CASE WHEN kept > 0 THEN 'Their rollups stay. To keep them for ever: ' || analytics_internal.keeping_statement() END;
        RETURN NEXT;
    END IF;

    check_name := 'locks';
    failed := analytics_internal.lock_holders(interval '10 minutes');
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'warn' END;
    detail := COALESCE(failed, 'nobody holds up maintenance');
    hint := CASE WHEN failed IS NOT NULL THEN 'Wait for its end, or SELECT pg_terminate_backend(...); ROLLBACK PREPARED for a prepared one.' END;
    RETURN NEXT;

    check_name := 'skipped_steps';
    SELECT string_agg(format('%s (%s)', k.step, k.detail), ', ' ORDER BY k.step) INTO failed
    FROM (SELECT DISTINCT ON (r.step) r.step, r.outcome, r.detail FROM analytics.job_runs AS r
          WHERE r.started_at > now() - interval '1 day' AND r.outcome <> 'running' ORDER BY r.step, r.started_at DESC) AS k
    WHERE k.outcome = 'skipped'
      AND (SELECT min(r.started_at) FROM analytics.job_runs AS r
           WHERE r.step = k.step AND r.outcome = 'skipped'
             AND r.started_at > COALESCE(analytics_internal.last_run(k.step), '-infinity')) < now() - interval '1 hour';
    status := CASE WHEN failed IS NULL THEN 'ok' ELSE 'warn' END;
    detail := COALESCE('skipped for an hour: ' || failed, 'no step has been skipped for an hour');
    hint := CASE WHEN failed IS NOT NULL THEN 'End the transaction that holds the lock; maintain() then goes on by itself.' END;
    RETURN NEXT;

    IF has_rows THEN
        check_name := 'dirty_hours';
        SELECT count(DISTINCT (d.workspace_id, d.metric_hour)) INTO dirty FROM analytics.dirty_hours AS d;
        status := CASE WHEN dirty < 10000 THEN 'ok' ELSE 'warn' END;
        detail := format('%s hours wait for repair', dirty);
        hint := CASE WHEN dirty >= 10000 THEN 'CALL analytics.maintain(''1 hour'').' END;
        RETURN NEXT;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.health_here() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.health_here() IS
    'analytics.health() of this server or, in a cell of Citus, of the cell. Of the coordinator without what only cells know';

CREATE FUNCTION analytics_internal.health() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY SELECT h.* FROM analytics_internal.cluster_health() AS h;
    ELSE
        RETURN QUERY SELECT h.* FROM analytics_internal.health_here() AS h;
    END IF;
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
    PERFORM analytics_internal.refuse_distributed('restoring a dump', 'Restore it on a single server, then call analytics.distribute() there.');
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
    'drops the empty partitions of a fresh extension before a dump of the schema alone is restored. To be called by the owner; the dump, made with --schema=analytics, brings the partitions along. Returns how many. An error (55000) when there are events. Dumps that contain the extension do not need it';

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
    PERFORM analytics_internal.grant_audience(g.audience, r.role_name)
    FROM analytics.readers AS r
    JOIN pg_roles AS e ON e.rolname = r.role_name
    CROSS JOIN LATERAL unnest(CASE WHEN r.workspace_ids IS NULL THEN '{reader,reader of all}'::text[] ELSE '{reader}' END) AS g (audience);
    PERFORM analytics_internal.make_reader_policies(); -- of new tables too
    PERFORM count(*) FROM analytics.refresh_all_materialized_views();
    RETURN made;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.post_restore() FROM PUBLIC;
COMMENT ON FUNCTION analytics.post_restore() IS
    'finishes a restore; to be called once by the owner. It makes missing partitions (returns how many), forgets transaction ids of the old server, grants the roles of analytics.access_roles and analytics.readers what they had, and refreshes the materialized views';
-- DROP EXTENSION: nothing is lost without CASCADE, and nothing is left that would fail afterwards.

CREATE FUNCTION analytics_internal.count_up_to(query text, most bigint) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %s LIMIT %s) AS r', query, most) INTO counted;
    RETURN nullif(counted || CASE WHEN counted = most THEN ' or more' ELSE '' END, '0');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_up_to(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_up_to(text, bigint) IS
    'how many rows a relation has, as text, counting no further than most; NULL: none';

CREATE FUNCTION analytics_internal.refuse_removal_of_data() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counts text := (SELECT string_agg(format('%s in %s', c.counted, r.relation), ', ' ORDER BY r.place)
                    FROM unnest('{analytics.user_activity,analytics.hourly_metrics,analytics.daily_metrics,analytics.agent_performance}'::text[])
                             WITH ORDINALITY AS r (relation, place),
                         LATERAL (SELECT analytics_internal.count_up_to(r.relation, 1000000)) AS c (counted)
                    WHERE c.counted IS NOT NULL);
BEGIN
    IF counts IS NOT NULL THEN
        RAISE EXCEPTION 'cannot drop extension shadow_analytics because it holds data'
            USING ERRCODE = 'dependent_objects_still_exist',
                  DETAIL = format('Rows: %s.', counts),
                  HINT = 'Back up what is to stay (pg_dump --schema=analytics), then DROP EXTENSION shadow_analytics CASCADE.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refuse_removal_of_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refuse_removal_of_data() IS
    'an error (2BP01) with the numbers of rows while there are events or rollups';

CREATE FUNCTION analytics_internal.remove_cron_jobs() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j
                 WHERE j.database = current_database()
                   AND (j.jobname = ''shadow-analytics-maintain'' OR j.command COLLATE "C" ~* ''^[[:space:]]*(CALL|SELECT|SELECT [*] FROM)[[:space:]]+analytics[.][[:alnum:]_]+[[:space:]]*[(]'')'
        INTO removed;
    END IF;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_cron_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_cron_jobs() IS
    'takes the jobs of this database that call functions of the schema analytics from pg_cron; how many';

CREATE FUNCTION analytics_internal.extension_removal() RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_extension_removal';
REVOKE EXECUTE ON FUNCTION analytics_internal.extension_removal() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.extension_removal() IS
    'event trigger: DROP EXTENSION shadow_analytics is refused while there are data. With CASCADE it takes the jobs of pg_cron along';
CREATE EVENT TRIGGER shadow_analytics_removal ON ddl_command_start WHEN TAG IN ('DROP EXTENSION')
    EXECUTE FUNCTION analytics_internal.extension_removal();
COMMENT ON EVENT TRIGGER shadow_analytics_removal IS
    'refuses DROP EXTENSION shadow_analytics without CASCADE while there are events or rollups';
-- Beyond one server: Citus spreads the tables over several. Each group of shards with the same range of workspaces
-- is a cell: in it the names of our tables mean its shards, so a cell is maintained by the same statements as a
-- single server (src/pg/cells.hpp). Without Citus nothing here is used.

-- The coordinator makes a worker's tables, when they are distributed.
DO $$
DECLARE
    relation record;
BEGIN
    IF analytics_internal.citus_group() > 0 THEN
        FOR relation IN
            SELECT c.oid::regclass::text AS name, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind
            FROM pg_class AS c
            WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
              AND NOT c.relispartition AND c.relname <> 'job_runs'
            ORDER BY c.relkind = 'v' DESC, c.oid DESC
        LOOP
            EXECUTE format('DROP %s IF EXISTS %s CASCADE', relation.kind, relation.name);
        END LOOP;
    END IF;
END
$$;

CREATE FUNCTION analytics_internal.steps_here() RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.cell_key() > 0 THEN
        RETURN '{mend_clock,evaluate_alerts,close_buckets,repair_buckets,aggregate_cohorts,aggregate_open,refresh_views}';
    ELSIF NOT analytics_internal.is_distributed() THEN
        RETURN (SELECT array_agg(s.step) FROM analytics_internal.steps() AS s WHERE s.step <> 'maintain_cells');
    ELSIF analytics_internal.citus_group() > 0 THEN
        RAISE EXCEPTION 'the coordinator maintains this server''s cells'
            USING ERRCODE = 'feature_not_supported', HINT = 'CALL analytics.maintain() on the coordinator.';
    END IF;
    RETURN '{create_partitions,maintain_cells,index_partitions,cleanup,analyze}';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.steps_here() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.steps_here() IS
    'steps of maintain() that belong here: on a single server all, in a cell those that make rollups and evaluate alerts, on a coordinator the others; on a worker outside of a cell an error (0A000)';

-- How tables are spread. A table that is added stands here too.
CREATE FUNCTION analytics_internal.table_placements(OUT table_name text, OUT place_by text, OUT step integer) RETURNS SETOF record
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT t.name, NULL, 1
FROM unnest('{settings,membership,access_roles,readers,ip_secret,credit_prices,token_prices,retention_policies}'::text[]) AS t (name)
UNION ALL
SELECT 'workspace_settings', 'workspace_id', 2
UNION ALL
SELECT t.name, 'cell', 3 FROM unnest('{watermark,change_readers}'::text[]) AS t (name)
UNION ALL
SELECT t.name, 'workspace_id', 3
FROM unnest('{workspaces,agents,user_activity,hourly_metrics,daily_metrics,agent_performance,daily_event_usage,daily_error_types,
              users,daily_users,daily_user_revenue,user_cohorts,rollup_changes,segments,annotations,workspace_retention,alert_rules,alert_rule_states,alert_history,
              notification_destinations,notification_outbox,audit_log,dirty_hours,pending_buckets,closed_days,
              mv_active_users,mv_top_agents,mv_workspace_summary,mv_error_trends,mv_agent_usage_trends}'::text[]) AS t (name)
UNION ALL
SELECT 'sealed_days', 'workspace_id', 4
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.table_placements() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.table_placements() IS
    'how distribute() spreads the tables, in the order of step: place_by NULL: a copy on every server. Else the column whose hash decides, workspace_id or, of what each cell has for itself, cell. workspace_settings gives the others their shards; sealed_days, the last, shows that all is done';

-- What distribute() needs

CREATE FUNCTION analytics_internal.check_workers() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    version CONSTANT text := (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'shadow_analytics');
    other record;
BEGIN
    FOR other IN EXECUTE
        'SELECT r.nodename, r.nodeport, r.success, r.result FROM run_command_on_workers($1) AS r'
        USING $q$SELECT string_agg(v.default_version || ' ' || coalesce(v.installed_version, v.default_version), '') FROM pg_available_extensions AS v WHERE v.name = 'shadow_analytics'$q$
    LOOP
        IF NOT other.success OR other.result IS DISTINCT FROM format('%s %s', version, version) THEN
            RAISE EXCEPTION 'server %:% has another version of shadow_analytics', other.nodename, other.nodeport
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = format('The files and the extension there are %s, here %s.', coalesce(nullif(other.result, ''), 'missing'), version),
                      HINT = 'Install the same packages on every server and ALTER EXTENSION shadow_analytics UPDATE on the coordinator.';
        END IF;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_workers() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_workers() IS
    'an error (55000) unless every worker has the version of this server';

CREATE FUNCTION analytics_internal.check_cluster() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workers bigint;
    is_known boolean;
BEGIN
    IF analytics_internal.citus_group() IS DISTINCT FROM 0 THEN
        RAISE EXCEPTION 'this is not the coordinator of a Citus cluster'
            USING ERRCODE = CASE WHEN analytics_internal.citus_group() > 0 THEN 'feature_not_supported'::text
                                 ELSE 'object_not_in_prerequisite_state' END,
                  HINT = 'On the coordinator: CREATE EXTENSION citus, citus_set_coordinator_host(), citus_add_node() for each worker, then analytics.distribute().';
    END IF;
    EXECUTE 'SELECT count(*) FILTER (WHERE n.groupid > 0 AND n.isactive), coalesce(bool_or(n.groupid = 0), false) FROM pg_dist_node AS n'
    INTO workers, is_known;
    IF workers = 0 OR NOT is_known THEN
        RAISE EXCEPTION 'the Citus cluster is not complete'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('It has %s workers, and the coordinator is %s among its servers.', workers, CASE WHEN is_known THEN 'listed' ELSE 'not' END),
                  HINT = 'SELECT citus_set_coordinator_host(''...''), and citus_add_node(''...'', 5432) for each worker.';
    ELSIF current_setting('citus.shard_replication_factor')::integer <> 1 THEN
        RAISE EXCEPTION 'citus.shard_replication_factor must be 1'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'A cell is written on one server.',
                  HINT = 'RESET citus.shard_replication_factor; use streaming replication of each server.';
    END IF;
    PERFORM analytics_internal.check_workers();
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_cluster() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_cluster() IS
    'an error (55000; 0A000 on a worker) unless this is a coordinator with workers, listed among its servers, without replicated shards, and all have the same version';

CREATE FUNCTION analytics_internal.check_rules() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM analytics.alert_rules AS r WHERE r.scope = 'platform') THEN
        RAISE EXCEPTION 'a rule of the whole platform cannot be evaluated on several servers'
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'DELETE FROM analytics.alert_rules WHERE scope = ''platform'', and make a rule for each workspace.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_rules() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_rules() IS
    'an error (0A000) where an alert rule concerns all workspaces together';

-- Tenants' rows are judged where they are, so who is a member must be known there.
CREATE FUNCTION analytics_internal.check_membership_copies() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation regclass := to_regclass(coalesce((SELECT m.relation FROM analytics.membership AS m WHERE m.source <> 'claim'),
                                              CASE WHEN NOT EXISTS (SELECT 1 FROM analytics.membership) THEN 'public.workspace_members' END));
    is_copied boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM pg_dist_partition AS p WHERE p.logicalrelid = $1 AND p.partmethod = ''n'' AND p.repmodel = ''t'')'
    INTO is_copied USING relation;
    IF relation IS NOT NULL AND NOT is_copied THEN
        RAISE EXCEPTION 'relation "%" tells who is a member, but is on this server only', relation
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('SELECT create_reference_table(%L); of a view, of its tables and give their name in analytics.membership.', relation);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_membership_copies() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_membership_copies() IS
    'an error (55000) unless the membership relation, if there is one, is a reference table';

CREATE FUNCTION analytics_internal.release_relations() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT c.oid::regclass AS name, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind
        FROM pg_depend AS d
        JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadow_analytics'
        JOIN pg_class AS c ON c.oid = d.objid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
          AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relname <> 'job_runs'
    LOOP
        EXECUTE format('ALTER EXTENSION shadow_analytics DROP %s %s', member.kind, member.name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.release_relations() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.release_relations() IS
    'takes tables and views out of the extension: Citus neither moves nor changes its members';

-- Citus spreads no materialized view. A table takes its place, which each cell fills with what the view shows. Row
-- security knows it, as workers are asked by the role that reads and not by the owner of the tenants' view.

CREATE FUNCTION analytics_internal.make_view_table(view text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys CONSTANT text := (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place)
                           FROM pg_index AS i, unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, place), pg_attribute AS a
                           WHERE i.indexrelid = format('analytics.%I', view || '_key')::regclass AND a.attrelid = i.indrelid AND a.attnum = k.number);
    was CONSTANT text := view || '_before';
    command text;
    -- As the table has no row yet, the text is of the old names.
    commands CONSTANT text[] := ARRAY(
        SELECT DISTINCT format('CREATE OR REPLACE VIEW %s WITH (%s) AS %s', c.oid::regclass, array_to_string(c.reloptions, ', '), pg_get_viewdef(c.oid))
        FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'v'
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = format('analytics.%I', view)::regclass);
BEGIN
    EXECUTE format('ALTER MATERIALIZED VIEW analytics.%I RENAME TO %I', view, was);
    EXECUTE format('CREATE TABLE analytics.%I (LIKE analytics.%I INCLUDING COMMENTS, CONSTRAINT %I PRIMARY KEY (%s))', view, was, view || '_pkey', keys);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', view, obj_description(format('analytics.%I', was)::regclass, 'pg_class'));
    EXECUTE format('ALTER TABLE analytics.%I ENABLE ROW LEVEL SECURITY', view);
    EXECUTE format('CREATE POLICY member_reads ON analytics.%I FOR SELECT USING (workspace_id = ANY (analytics.workspace_ids()))', view);
    EXECUTE format('COMMENT ON POLICY member_reads ON analytics.%I IS %L', view, 'members read their workspaces');
    FOREACH command IN ARRAY commands LOOP
        EXECUTE command;
    END LOOP;
    EXECUTE format('DROP MATERIALIZED VIEW analytics.%I', was);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.make_view_table(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.make_view_table(text) IS
    'puts an empty table in the place of a materialized view, under the views over it';

CREATE FUNCTION analytics_internal.make_view_tables() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET citus.enable_ddl_propagation = off -- the tables are here only, until they are distributed
AS $$
BEGIN
    PERFORM analytics_internal.make_view_table(c.relname)
    FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm';
    IF FOUND THEN
        PERFORM analytics_internal.make_reader_policies();
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.make_view_tables() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.make_view_tables() IS
    'a step of distribute(): puts tables in the place of the materialized views';

CREATE FUNCTION analytics_internal.grant_view_tables() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('GRANT SELECT ON %s TO %s', t.oid::regclass, a.grantee::regrole)
        FROM pg_class AS t JOIN pg_class AS v ON v.relnamespace = t.relnamespace AND v.relkind = 'v' AND t.relname = 'mv_' || v.relname,
             aclexplode(v.relacl) AS a
        WHERE t.relnamespace = 'analytics'::regnamespace AND t.relkind = 'r' AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, v.relowner)
          AND NOT EXISTS (SELECT FROM aclexplode(t.relacl) AS h WHERE h.grantee = a.grantee AND h.privilege_type = 'SELECT')
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.grant_view_tables() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.grant_view_tables() IS
    'a step of distribute() and grant_reader(): lets who may read a tenants'' view read its table, where row security applies';

-- PostgreSQL puts a column's default into an INSERT, and Citus sends it on as if it had been written there: a member who
-- may not insert into the column would be refused. So triggers of the shards fill these columns.
CREATE FUNCTION analytics_internal.drop_defaults() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', a.attrelid::regclass, a.attname)
        FROM analytics_internal.role_grants() AS g
        JOIN pg_attribute AS a ON a.attrelid = to_regclass(g.object) AND a.atthasdef AND a.attgenerated = ''
        WHERE g.audience = 'member' AND g.object_type = 'TABLE'
          AND a.attname <> ALL (string_to_array(substring(g.privileges FROM 'INSERT [(]([^)]*)[)]'), ', '))
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.drop_defaults() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.drop_defaults() IS
    'a step of distribute(): columns that members may not insert into have no default, as Citus would insert it with the members'' rights';

-- Rows that move are neither new nor late, so no trigger of ours sees them.
CREATE FUNCTION analytics_internal.distribute_table(table_name text, place_by text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation CONSTANT regclass := format('analytics.%I', table_name);
    states CONSTANT text[] := ARRAY(
        SELECT format('ALTER TABLE %s %s TRIGGER %I', relation, CASE t.tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, t.tgname)
        FROM pg_trigger AS t WHERE t.tgrelid = relation AND NOT t.tgisinternal AND t.tgenabled <> 'O');
    command text;
BEGIN
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', relation);
    IF place_by IS NULL THEN
        EXECUTE 'SELECT create_reference_table($1)' USING relation;
    ELSE
        EXECUTE 'SELECT create_distributed_table($1, $2, colocate_with => $3)'
        USING relation, place_by, CASE table_name WHEN 'workspace_settings' THEN 'none' ELSE 'analytics.workspace_settings' END;
    END IF;
    EXECUTE 'SELECT truncate_local_data_after_distributing_table($1)' USING relation;
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', relation);
    FOREACH command IN ARRAY states LOOP
        EXECUTE command;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.distribute_table(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.distribute_table(text, text) IS
    'a step of distribute(): spreads a table by a column or (NULL) as copies, its rows with it';

-- Each cell begins where the single server was. A phase of closing that was under way begins again: transactions have
-- other numbers on each server. Of two cells that were one, before it was split, one has lost the watermark, and nobody
-- knows which events it got since: it begins from nothing.
CREATE FUNCTION analytics_internal.seed_watermarks(marked_until timestamptz DEFAULT '-infinity', closed_until timestamptz DEFAULT '-infinity')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing bigint[];
    key uuid;
BEGIN
    EXECUTE 'SELECT array_agg(s.shardid) FROM pg_dist_shard AS s WHERE s.logicalrelid = ''analytics.watermark''::regclass AND s.shardid NOT IN
                 (SELECT substring(w.shard FROM ''_([0-9]+)$'')::bigint FROM (SELECT t.tableoid::regclass::text AS shard FROM analytics.watermark AS t) AS w)'
    INTO missing;
    FOR i IN 1 .. coalesce(cardinality(missing), 0) LOOP
        key := analytics_internal.key_of_shard(missing[i]);
        IF key IS NOT NULL THEN
            INSERT INTO analytics.watermark (cell, marked_until, marked_by, closed_until) VALUES (key, marked_until, '3', closed_until)
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN coalesce(cardinality(missing), 0);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.seed_watermarks(timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.seed_watermarks(timestamptz, timestamptz) IS
    'gives each cell without a watermark this one, if it has events or came about by distribute(); how many had none';

-- Functions are members of the extension on each server, so Citus does not carry their grants over.
CREATE FUNCTION analytics_internal.function_grants() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT string_agg(g.command, '; ' ORDER BY g.command COLLATE "C")
FROM (SELECT format('GRANT EXECUTE ON ROUTINE %s TO %s', p.oid::regprocedure, a.grantee::regrole) AS command
      FROM pg_proc AS p, aclexplode(p.proacl) AS a
      WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
        AND a.grantee NOT IN (0, p.proowner) AND a.privilege_type = 'EXECUTE'
      UNION
      -- Workers get queries as text, in which members' views name functions of theirs in analytics_internal.
      SELECT format('GRANT USAGE ON SCHEMA %I TO %s', granted.name, a.grantee::regrole)
      FROM unnest('{analytics,analytics_internal}'::name[]) AS granted (name), pg_namespace AS n, aclexplode(n.nspacl) AS a
      WHERE n.nspname IN (granted.name, CASE WHEN analytics_internal.citus_group() = 0 THEN 'analytics'::name END)
        AND a.grantee NOT IN (0, n.nspowner) AND a.privilege_type = 'USAGE') AS g
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.function_grants() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.function_grants() IS
    'the statements that grant functions and schemas: on the coordinator as workers are to have them, on a worker as they are there. NULL: none are';

CREATE FUNCTION analytics_internal.revoke_functions() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    role_name text;
BEGIN
    FOR role_name IN
        SELECT a.grantee::regrole FROM pg_proc AS p, aclexplode(p.proacl) AS a
        WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND a.grantee NOT IN (0, p.proowner)
        UNION
        SELECT a.grantee::regrole FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
        WHERE n.nspname IN ('analytics', 'analytics_internal') AND a.grantee NOT IN (0, n.nspowner)
    LOOP
        EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA analytics, analytics_internal FROM %s', role_name);
        EXECUTE format('REVOKE ALL ON SCHEMA analytics, analytics_internal FROM %s', role_name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.revoke_functions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.revoke_functions() IS
    'on a worker, before function_grants() of the coordinator: takes functions and schemas from all roles but their owners and PUBLIC';

CREATE FUNCTION analytics_internal.run_on_workers(command text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failure text;
BEGIN
    EXECUTE 'SELECT min(format(''%s:%s: %s'', r.nodename, r.nodeport, r.result)) FROM run_command_on_workers($1) AS r WHERE NOT r.success'
    INTO failure USING command;
    IF failure IS NOT NULL THEN
        RAISE EXCEPTION 'a worker could not be prepared' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = failure;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.run_on_workers(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.run_on_workers(text) IS
    'runs a command on every worker; an error (55000) where one fails';

CREATE FUNCTION analytics_internal.view_statements(OUT view_name text, OUT command text) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT c.relname, format('CREATE OR REPLACE VIEW analytics.%I %s AS %s', c.relname, 'WITH (' || array_to_string(c.reloptions, ', ') || ')',
                         rtrim(pg_get_viewdef(c.oid), ';'))
                  || coalesce((SELECT string_agg(g.command, '' ORDER BY g.command COLLATE "C")
                               FROM (SELECT format('; GRANT %s ON analytics.%I TO %s', a.privilege_type, c.relname, a.grantee::regrole) AS command
                                     FROM aclexplode(c.relacl) AS a WHERE a.grantee NOT IN (0, c.relowner)) AS g), '')
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
ORDER BY c.oid
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.view_statements() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.view_statements() IS
    'the statements that make the views as they are here, with their grants, in an order in which they can be made';

-- Functions and views are made and granted anew only where something differs: a view that is replaced waits for who reads
-- it, and everybody else then waits for that.
CREATE FUNCTION analytics_internal.shared_digest() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT md5(concat_ws('; ', analytics_internal.function_grants(),
                     (SELECT string_agg(v.command, '; ' ORDER BY v.view_name COLLATE "C") FROM analytics_internal.view_statements() AS v),
                     (SELECT string_agg(f.signature, '; ' ORDER BY f.signature COLLATE "C")
                      FROM (SELECT p.oid::regprocedure::text AS signature FROM pg_proc AS p
                            WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)) AS f)))
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.shared_digest() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.shared_digest() IS
    'a digest of what prepare_workers() makes the same on every server: functions, views and who may use them';

CREATE FUNCTION analytics_internal.are_workers_prepared() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer boolean;
BEGIN
    EXECUTE 'SELECT bool_and(r.success AND r.result = $1) FROM run_command_on_workers(''SELECT analytics_internal.shared_digest()'') AS r'
    INTO answer USING analytics_internal.shared_digest();
    RETURN answer;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.are_workers_prepared() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.are_workers_prepared() IS
    'whether every worker has functions, views and grants as this server has them';

-- A worker is without its tables at first, and so without the functions that depend on them or on the types of
-- their rows.
CREATE FUNCTION analytics_internal.prepare_workers() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing record;
BEGIN
    IF analytics_internal.are_workers_prepared() THEN
        RETURN;
    END IF;
    FOR missing IN
        SELECT p.oid::regprocedure::text AS signature, pg_get_functiondef(p.oid) AS definition
        FROM pg_proc AS p
        WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND p.prokind = 'f'
          AND EXISTS (SELECT FROM pg_depend AS d
                      JOIN pg_class AS c ON c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p')
                      JOIN pg_type AS t ON t.oid = c.reltype
                      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                        AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
                             OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)))
        ORDER BY p.oid
    LOOP
        PERFORM analytics_internal.run_on_workers(format(
            'DO $do$ BEGIN IF to_regprocedure(%1$L) IS NULL THEN SET LOCAL citus.enable_ddl_propagation = off; EXECUTE %2$L; '
            'REVOKE EXECUTE ON FUNCTION %1$s FROM PUBLIC; ALTER EXTENSION shadow_analytics ADD FUNCTION %1$s; END IF; END $do$',
            missing.signature, missing.definition));
    END LOOP;
    PERFORM analytics_internal.run_on_workers(format(
        'DO $do$ BEGIN SET LOCAL citus.enable_ddl_propagation = off; PERFORM analytics_internal.revoke_functions(); %s; END $do$',
        concat_ws('; ', analytics_internal.function_grants(),
                  (SELECT string_agg(v.command, '; ') FROM analytics_internal.view_statements() AS v))));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.prepare_workers() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.prepare_workers() IS
    'makes the functions on the workers that went with the tables there, and grants all as they are granted here';

-- Changes of a reference table are logged by the coordinator, in another shard; a plan for any workspace is none for
-- one shard; and a function whose body the planner would put into a query must not be, or its tables were not those of
-- the cell.
CREATE FUNCTION analytics_internal.adapt_functions() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    free_plans CONSTANT text := $do$DO $body$
        DECLARE
            signature text;
        BEGIN
            SET LOCAL citus.enable_ddl_propagation = off;
            FOR signature IN
                SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc AS p
                WHERE p.pronamespace = 'analytics'::regnamespace AND 'plan_cache_mode=force_generic_plan' = ANY (p.proconfig)
            LOOP
                EXECUTE format('ALTER FUNCTION %s RESET plan_cache_mode', signature);
            END LOOP;
            SET LOCAL citus.enable_ddl_propagation = on;
        END
        $body$ $do$;
BEGIN
    ALTER FUNCTION analytics_internal.write_audit(uuid, text, text, jsonb, jsonb) SET citus.allow_nested_distributed_execution = on;
    EXECUTE free_plans;
    PERFORM analytics_internal.run_on_workers(free_plans);
    FOR name IN SELECT substr(t.table_name, 4) FROM analytics_internal.table_placements() AS t WHERE starts_with(t.table_name, 'mv_') LOOP
        EXECUTE format('ALTER FUNCTION analytics_internal.%I(uuid[], date[]) SET search_path = pg_catalog, pg_temp', name);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.adapt_functions() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.adapt_functions() IS
    'a step of distribute(): fits a few functions to Citus';

CREATE FUNCTION analytics.distribute(OUT table_name text, OUT place_by text) RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    marked timestamptz;
    closed timestamptz;
    next record;
BEGIN
    PERFORM analytics_internal.check_cluster();
    IF NOT analytics_internal.is_distributed() THEN
        SELECT w.marked_until, w.closed_until INTO marked, closed FROM analytics.watermark AS w;
    END IF;
    EXECUTE 'SELECT replicate_reference_tables(''block_writes'')'; -- to workers that were added
    PERFORM analytics_internal.lock('maintenance');
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.check_membership_copies();
    PERFORM analytics_internal.check_rules();
    PERFORM set_config('citus.enable_unsafe_triggers', 'on', true), set_config('client_min_messages', 'warning', true);
    PERFORM analytics_internal.release_relations();
    INSERT INTO analytics.ip_secret DEFAULT VALUES ON CONFLICT DO NOTHING;
    PERFORM analytics_internal.make_view_tables();
    PERFORM analytics_internal.drop_defaults();
    FOR next IN EXECUTE
        'SELECT t.* FROM analytics_internal.table_placements() AS t
         WHERE NOT EXISTS (SELECT FROM pg_dist_partition AS p WHERE p.logicalrelid = format(''analytics.%I'', t.table_name)::regclass)
         ORDER BY t.step'
    LOOP
        PERFORM analytics_internal.distribute_table(next.table_name, next.place_by);
        table_name := next.table_name;
        place_by := next.place_by;
        RETURN NEXT;
    END LOOP;
    PERFORM analytics_internal.seed_watermarks(coalesce(marked, '-infinity'), coalesce(closed, '-infinity'));
    PERFORM analytics_internal.grant_view_tables();
    PERFORM analytics_internal.sum_sizes();
    PERFORM analytics_internal.adapt_functions();
    IF table_name IS NULL THEN -- else the workers do not see the tables yet: maintain() does it
        PERFORM analytics_internal.prepare_workers();
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.distribute() FROM PUBLIC;
COMMENT ON FUNCTION analytics.distribute() IS
    'spreads the tables over the workers of a Citus cluster, by workspace, with the rows they have. To be called by the owner on the coordinator; again after a worker was added, setup_roles() or an update: what is spread stays. Returns what it spread: table_name and place_by (NULL: a copy on every server). Locks the tables while it runs. Errors: no complete cluster of Citus, other versions, or a membership relation that is no reference table (55000); on a worker, or with alert rules of the whole platform (0A000)';

-- Cells

-- The session is the coordinator's for this call and ends with it. First all cells get as far as they can without
-- long transactions, for which the closing of other cells would wait.
CREATE PROCEDURE analytics_internal.maintain_cell(shard text, time_budget interval, INOUT state text DEFAULT NULL)
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM analytics_internal.enter_cell(analytics_internal.cell_of(shard), false);
    COMMIT;
    IF time_budget IS NULL THEN
        FOR phase IN 1..3 LOOP
            state := analytics_internal.advance_cell();
            COMMIT;
        END LOOP;
    ELSE
        CALL analytics.maintain(time_budget);
        state := analytics_internal.last_outcome();
    END IF;
END
$$;
REVOKE EXECUTE ON PROCEDURE analytics_internal.maintain_cell(text, interval, text) FROM PUBLIC;
COMMENT ON PROCEDURE analytics_internal.maintain_cell(text, interval, text) IS
    'analytics.maintain() of the cell of a shard, on its worker, and how it ended; time_budget NULL: only the phases of the watermark';

CREATE FUNCTION analytics_internal.advance_cell() RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF analytics_internal.try_lock('maintenance') THEN
        RETURN analytics_internal.advance_watermark(analytics_internal.next_mark());
    END IF;
    RETURN 'busy';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.advance_cell() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.advance_cell() IS
    'a phase of closing of the cell that was entered; busy while its maintenance runs elsewhere';

CREATE FUNCTION analytics_internal.last_outcome() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT concat_ws(': ', r.outcome, r.error,
                 (SELECT string_agg(s.step || ': ' || s.error, '; ' ORDER BY s.started_at) FROM analytics.job_runs AS s
                  WHERE s.cell = r.cell AND s.started_at > r.started_at AND s.outcome = 'failed'))
FROM analytics.job_runs AS r
WHERE r.cell = analytics_internal.cell_key() AND r.step = 'maintain'
ORDER BY r.started_at DESC LIMIT 1
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_outcome() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_outcome() IS
    'how the last analytics.maintain() of the cell that was entered ended, with the errors of its steps';

CREATE FUNCTION analytics_internal.call_in_cells(time_budget interval, OUT cells bigint, OUT unfinished bigint, OUT failures text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE $q$
        SELECT count(*), count(*) FILTER (WHERE r.success AND r.result LIKE 'partial%'),
               string_agg(format('cell %s: %s', r.shardid, r.result), '; ' ORDER BY r.shardid) FILTER (WHERE NOT r.success OR r.result LIKE 'failed%')
        FROM run_command_on_shards('analytics.workspace_settings', $1) AS r $q$
    INTO cells, unfinished, failures
    USING format('CALL analytics_internal.maintain_cell(%%L, %L)', time_budget);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.call_in_cells(interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.call_in_cells(interval) IS
    'analytics_internal.maintain_cell() of every cell, all at once, each in a session of its own: how many, how many have more to do, and what failed';

CREATE FUNCTION analytics_internal.maintain_cells(OUT rows bigint, OUT again boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
BEGIN
    PERFORM analytics_internal.prepare_workers();
    PERFORM analytics_internal.call_in_cells(NULL);
    run := analytics_internal.call_in_cells('30 seconds');
    IF run.failures IS NOT NULL THEN
        RAISE EXCEPTION 'maintenance of cells failed: %', left(run.failures, 1000) USING HINT = 'See analytics.job_runs on the workers.';
    END IF;
    rows := run.cells;
    again := run.unfinished > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.maintain_cells() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.maintain_cells() IS
    'maintains every cell for up to half a minute; how many, and whether one has more to do. An error names the cells and steps that failed';

-- Within the caller's transaction: one row per cell, on its worker.

CREATE FUNCTION analytics_internal.in_cell(shard oid, command text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result jsonb;
BEGIN
    PERFORM analytics_internal.enter_cell(analytics_internal.cell_of(shard::regclass::text), true);
    EXECUTE command INTO result;
    PERFORM analytics_internal.enter_cell(NULL, true);
    RETURN result;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.in_cell(oid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.in_cell(oid, text) IS
    'runs a command that returns a number or jsonb in the cell of a shard, and returns that';

CREATE FUNCTION analytics_internal.in_cell_of(workspace_id uuid, command text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    find CONSTANT text := 'SELECT w.cell FROM (SELECT t.cell FROM analytics.watermark AS t OFFSET 0) AS w
         WHERE get_shard_id_for_distribution_column(''analytics.watermark'', w.cell) = get_shard_id_for_distribution_column(''analytics.watermark'', $1)';
    result jsonb;
    cell uuid;
BEGIN
    EXECUTE find INTO cell USING workspace_id;
    IF cell IS NULL THEN
        PERFORM analytics_internal.seed_watermarks();
        EXECUTE find INTO cell USING workspace_id;
    END IF;
    IF cell IS NULL THEN -- nobody has an event there
        INSERT INTO analytics.watermark (cell, marked_until, marked_by) VALUES (workspace_id, '-infinity', '3');
        cell := workspace_id;
    END IF;
    EXECUTE 'SELECT analytics_internal.in_cell(w.tableoid, $1) FROM analytics.watermark AS w WHERE w.cell = $2' INTO result USING command, cell;
    RETURN result;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.in_cell_of(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.in_cell_of(uuid, text) IS
    'runs a command that returns a number or jsonb in the cell of a workspace, in the caller''s transaction, and returns that';

CREATE FUNCTION analytics_internal.in_cells(command text, target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result bigint;
BEGIN
    PERFORM analytics_internal.lock('rollups');
    IF target_workspace_id IS NOT NULL THEN
        RETURN analytics_internal.in_cell_of(target_workspace_id, command)::bigint;
    END IF;
    PERFORM analytics_internal.seed_watermarks();
    EXECUTE 'SELECT sum(analytics_internal.in_cell(w.tableoid, $1)::bigint) FROM analytics.watermark AS w' INTO result USING command;
    RETURN result;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.in_cells(text, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.in_cells(text, uuid) IS
    'runs a command that returns a number in the cell of a workspace or (NULL) in every cell, as the owner and in the caller''s transaction; the sum';

CREATE FUNCTION analytics_internal.rows_of_cells(query text) RETURNS SETOF jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.seed_watermarks();
    RETURN QUERY EXECUTE
        'SELECT jsonb_array_elements(c.found)
         FROM (SELECT analytics_internal.in_cell(w.tableoid, $1) AS found FROM analytics.watermark AS w OFFSET 0) AS c'
    USING format('SELECT coalesce(jsonb_agg(to_jsonb(q)), ''[]'') FROM (%s) AS q', query);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.rows_of_cells(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.rows_of_cells(text) IS
    'the rows of a query that is run in every cell, in the caller''s transaction, as objects';

-- Questions read raw events, so they go to them.

CREATE FUNCTION analytics_internal.answer_in_cell(
    workspace_id uuid, question text, arguments text, user_set analytics.user_set, as_of timestamptz, may_read_persons boolean, columns text)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO'
AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT q.* FROM jsonb_to_recordset($1) AS q (%s)', columns)
    USING analytics_internal.in_cell_of(workspace_id, format(
        'SELECT coalesce(jsonb_agg(to_jsonb(a)), ''[]'') FROM analytics_internal.permitted_answer(%L, %L, %L, %L, %L, %L) AS a (%s)',
        workspace_id, question, arguments, user_set, as_of, may_read_persons, columns));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.answer_in_cell(uuid, text, text, analytics.user_set, timestamptz, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.answer_in_cell(uuid, text, text, analytics.user_set, timestamptz, boolean, text) IS
    'analytics_internal.permitted_answer() in the cell of the workspace; columns: names and types of those of the answer';

CREATE FUNCTION analytics_internal.users_who_in_cell(workspace_id uuid, segment text, as_of timestamptz) RETURNS analytics.user_set
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO'
AS $$
SELECT (analytics_internal.in_cell_of(workspace_id, format('SELECT to_jsonb(analytics_internal.users_who(%L, %L, %L)::text)', workspace_id, segment, as_of)) #>> '{}')::analytics.user_set
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.users_who_in_cell(uuid, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.users_who_in_cell(uuid, text, timestamptz) IS
    'analytics_internal.users_who() in the cell of the workspace, for who may read persons there';

CREATE FUNCTION analytics_internal.cluster_health() RETURNS TABLE (check_name text, status text, detail text, hint text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found jsonb;
    cells bigint;
    failure text;
BEGIN
    BEGIN
        found := (SELECT jsonb_agg(r) FROM analytics_internal.rows_of_cells(
            'SELECT h.*, analytics_internal.cell_key() AS cell FROM analytics_internal.health_here() AS h') AS r);
    EXCEPTION WHEN OTHERS THEN
        failure := SQLERRM;
    END;
    RETURN QUERY
    WITH row AS (
        SELECT h.check_name, h.status, h.detail, h.hint, CASE WHEN h.status <> 'ok' THEN format('cell %s: ', h.cell) ELSE '' END AS place, h.number
        FROM ROWS FROM (jsonb_to_recordset(found) AS (check_name text, status text, detail text, hint text, cell bigint))
             WITH ORDINALITY AS h (check_name, status, detail, hint, cell, number)
        UNION ALL
        SELECT l.check_name, l.status, l.detail, l.hint, '', NULL FROM analytics_internal.health_here() AS l
    ), judged AS (
        SELECT r.*, max(CASE r.status WHEN 'ok' THEN 0 WHEN 'warn' THEN 1 ELSE 2 END) OVER (PARTITION BY r.check_name) AS worst FROM row AS r
    )
    SELECT j.check_name, (ARRAY['ok', 'warn', 'fail'])[j.worst + 1],
           string_agg(DISTINCT j.place || j.detail, '; ') FILTER (WHERE (j.status = 'ok') = (j.worst = 0)), string_agg(DISTINCT j.hint, ' ')
    FROM judged AS j GROUP BY j.check_name, j.worst ORDER BY min(j.number);
    cells := (SELECT count(DISTINCT h ->> 'cell') FROM jsonb_array_elements(found) AS h);
    RETURN QUERY SELECT 'cells'::text, CASE WHEN failure IS NULL THEN 'ok'::text ELSE 'fail' END, coalesce(failure, format('%s cells answer', cells)),
                        CASE WHEN failure IS NOT NULL THEN 'Look after the servers of pg_dist_node; nothing is known of the cells.'::text END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cluster_health() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cluster_health() IS
    'analytics.health() of the coordinator and all cells: the worst status of each check, and whose it is. The check "cells" fails where they do not answer';

-- On each server, of the shards there and of what is not distributed.
CREATE FUNCTION analytics_internal.shard_sizes(
    OUT table_name text, OUT partitions bigint, OUT estimated_rows bigint, OUT table_bytes bigint, OUT index_bytes bigint, OUT total_bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE $q$
        SELECT coalesce(parent.relname, l.relname)::text, count(*), sum(greatest(c.reltuples, 0))::bigint, sum(pg_table_size(c.oid))::bigint,
               sum(pg_indexes_size(c.oid))::bigint, sum(pg_total_relation_size(c.oid))::bigint
        FROM (SELECT s.logicalrelid::oid AS table, to_regclass(shard_name(s.logicalrelid, s.shardid))::oid AS shard
              FROM pg_dist_shard AS s JOIN pg_dist_placement AS p ON p.shardid = s.shardid JOIN pg_dist_local_group AS g ON g.groupid = p.groupid
              UNION ALL SELECT r.oid, r.oid FROM to_regclass('analytics.job_runs') AS r (oid)) AS s
        JOIN pg_class AS l ON l.oid = s.table AND l.relnamespace = 'analytics'::regnamespace
        JOIN pg_class AS c ON c.oid = s.shard AND c.relkind = 'r'
        LEFT JOIN pg_inherits AS i ON i.inhrelid = l.oid
        LEFT JOIN pg_class AS parent ON parent.oid = i.inhparent
        GROUP BY 1 $q$;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.shard_sizes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.shard_sizes() IS
    'rows of analytics.table_sizes of the shards on this server';

CREATE FUNCTION analytics_internal.cluster_sizes(
    OUT table_name text, OUT partitions bigint, OUT estimated_rows bigint, OUT table_bytes bigint, OUT index_bytes bigint, OUT total_bytes bigint)
RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    answer record;
    found jsonb := '[]';
BEGIN
    FOR answer IN EXECUTE 'SELECT r.success, r.result FROM run_command_on_all_nodes($1) AS r'
        USING 'SELECT jsonb_agg(to_jsonb(s)) FROM analytics_internal.shard_sizes() AS s'
    LOOP
        IF NOT answer.success THEN
            RAISE EXCEPTION 'a server does not tell its sizes' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = answer.result;
        END IF;
        found := found || coalesce(answer.result::jsonb, '[]');
    END LOOP;
    RETURN QUERY
    SELECT s.table_name, sum(s.partitions)::bigint, sum(s.estimated_rows)::bigint, sum(s.table_bytes)::bigint, sum(s.index_bytes)::bigint, sum(s.total_bytes)::bigint
    FROM jsonb_to_recordset(found) AS s (table_name text, partitions bigint, estimated_rows bigint, table_bytes bigint, index_bytes bigint, total_bytes bigint)
    GROUP BY s.table_name;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cluster_sizes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cluster_sizes() IS
    'rows of analytics.table_sizes over all servers; an error (55000) where one does not answer';

CREATE FUNCTION analytics_internal.sum_sizes() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET citus.enable_ddl_propagation = off -- workers get views and grants by prepare_workers()
AS $$
DECLARE
    reader text;
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW analytics.table_sizes WITH (security_invoker = true) AS
    SELECT s.table_name::name COLLATE "C" AS table_name, s.partitions::integer AS partitions, s.estimated_rows, s.table_bytes, s.index_bytes, s.total_bytes,
           pg_size_pretty(s.total_bytes) AS total_size
    FROM analytics_internal.cluster_sizes() AS s';
    FOR reader IN
        SELECT a.grantee::regrole::text FROM pg_class AS c, aclexplode(c.relacl) AS a
        WHERE c.oid = 'analytics.table_sizes'::regclass AND a.privilege_type = 'SELECT' AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION analytics_internal.cluster_sizes() TO %s', reader);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.sum_sizes() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.sum_sizes() IS
    'a step of distribute(): analytics.table_sizes is of all servers from now on, for those who may read it';

-- Retention. A day's table of all cells is dropped at once, so all must be ready for it: each does in the transaction
-- of the coordinator what belongs to its rows, and keeps writers out of what may go.

CREATE FUNCTION analytics_internal.release_partitions(names text[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    parents CONSTANT oid[] := ARRAY[to_regclass('analytics.user_activity_default')::oid, 'analytics.user_activity'::regclass::oid];
BEGIN
    IF NOT analytics_internal.try_to_lock(
        (SELECT string_agg(format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE NOWAIT', analytics_internal.local_relation(t.relation)::regclass), '; ' ORDER BY t.place)
         FROM (SELECT n.name::regclass::oid AS relation, n.place FROM unnest(names) WITH ORDINALITY AS n (name, place)
               UNION ALL
               SELECT p.relation, 1000000 + p.place FROM unnest(parents) WITH ORDINALITY AS p (relation, place) WHERE p.relation IS NOT NULL) AS t)) THEN
        RAISE EXCEPTION 'user_activity is in use' USING ERRCODE = 'lock_not_available';
    END IF;
    RETURN (SELECT sum(analytics_internal.seal_days(p.from_time, p.to_time)) FROM analytics_internal.partitions() AS p
            WHERE p.relation::text = ANY (names));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.release_partitions(text[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.release_partitions(text[]) IS
    'in a cell: locks everybody out of its shards of partitions, which the coordinator then drops, and seals their days; how many events go. An error (55P03) if they are in use for two seconds';

CREATE FUNCTION analytics_internal.drop_in_cells(names text[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    removed bigint;
BEGIN
    removed := analytics_internal.in_cells(format('SELECT analytics_internal.release_partitions(%L)', names), NULL);
    FOREACH name IN ARRAY names LOOP
        IF EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = name::regclass AND i.inhparent = 'analytics.user_activity'::regclass) THEN
            EXECUTE format('DROP TABLE %s', name);
        END IF;
    END LOOP;
    RETURN removed;
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.drop_in_cells(text[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.drop_in_cells(text[]) IS
    'drops partitions of user_activity, but for those that the archive function has detached, and seals their days in all cells; how many events have gone, NULL: they are in use, and nothing was done';

CREATE FUNCTION analytics_internal.cleanup_in_cells(
    OUT table_name text, OUT rows_deleted bigint, OUT note text, OUT has_more boolean, OUT kept_unaggregated boolean, OUT is_busy boolean)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET citus.multi_shard_modify_mode = 'sequential' -- one connection per worker, so that what drops a table meets no lock of a cell
AS $$
#variable_conflict use_column
DECLARE
    run_days CONSTANT interval := analytics_internal.retention('job_runs');
    found jsonb;
    ready text[];
    dropped bigint := 0;
    failure text;
    removed_runs bigint;
BEGIN
    PERFORM analytics_internal.lock('rollups');
    found := (SELECT jsonb_agg(r) FROM analytics_internal.rows_of_cells('SELECT * FROM analytics_internal.cleanup_old_data()') AS r (r));
    SELECT array_agg(p.name ORDER BY p.name COLLATE "C") INTO ready
    FROM (SELECT n.name, count(*) AS cells FROM jsonb_array_elements(found) AS e, jsonb_array_elements_text(nullif(e -> 'ready', 'null')) AS n (name) GROUP BY 1) AS p
    WHERE p.cells = (SELECT count(*) FROM jsonb_array_elements(found) AS e WHERE e ->> 'table_name' = 'user_activity');
    SELECT min(a.failure), array_agg(a.name) FILTER (WHERE a.failure IS NULL) INTO failure, ready
    FROM (SELECT n.name, analytics_internal.try_archive(n.name::regclass) AS failure FROM unnest(ready) AS n (name)) AS a;
    IF ready IS NOT NULL THEN
        dropped := analytics_internal.drop_in_cells(ready);
        failure := CASE WHEN dropped IS NULL THEN 'no partition was dropped, as user_activity was in use; the next call tries again' ELSE failure END;
    END IF;
    DELETE FROM analytics.job_runs AS r WHERE r.started_at < now() - run_days;
    GET DIAGNOSTICS removed_runs = ROW_COUNT;
    RETURN QUERY
    SELECT c.table_name,
           c.rows + CASE c.table_name WHEN 'user_activity' THEN coalesce(dropped, 0) WHEN 'job_runs' THEN removed_runs ELSE 0 END,
           CASE c.table_name WHEN 'user_activity' THEN nullif(concat_ws('; ', failure, c.notes), '') ELSE c.notes END,
           c.more, c.kept, c.busy OR c.table_name = 'user_activity' AND dropped IS NULL
    FROM (SELECT r.table_name, sum(r.rows_deleted)::bigint AS rows, string_agg(DISTINCT r.note, '; ') AS notes,
                 bool_or(r.has_more) AS more, bool_or(r.kept_unaggregated) AS kept, bool_or(r.is_busy) AS busy
          FROM jsonb_to_recordset(found) AS r (table_name text, rows_deleted bigint, note text, has_more boolean, kept_unaggregated boolean, is_busy boolean)
          GROUP BY r.table_name) AS c;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cleanup_in_cells() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cleanup_in_cells() IS
    'analytics_internal.cleanup_old_data() in every cell; then the partitions go that all cells can spare';

CREATE FUNCTION analytics_internal.aggregate_in_cells(day date, hour timestamptz, target_workspace_id uuid) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET DateStyle = 'ISO'
AS $$
SELECT analytics_internal.in_cells(
    format('SELECT coalesce(CASE WHEN %3$L IS NULL THEN analytics_internal.aggregate_despite_missing(%1$L, %2$L) END,
                            CASE WHEN %2$L IS NULL THEN analytics_internal.aggregate_daily_metrics(%1$L, %3$L)
                                 ELSE analytics_internal.aggregate_hourly_metrics(%2$L, %3$L) END)', day, hour, target_workspace_id),
    target_workspace_id)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_in_cells(date, timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_in_cells(date, timestamptz, uuid) IS
    'aggregates a local day or (day NULL) an hour in the cell of a workspace or in every cell. The workspaces written';
