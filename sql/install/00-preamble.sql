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
