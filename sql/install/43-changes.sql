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
