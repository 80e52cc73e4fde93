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
