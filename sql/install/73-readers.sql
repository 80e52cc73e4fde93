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
