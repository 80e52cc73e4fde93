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
