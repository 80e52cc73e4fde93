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
