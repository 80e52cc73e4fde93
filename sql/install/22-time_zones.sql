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
