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
