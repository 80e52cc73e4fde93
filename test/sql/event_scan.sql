-- The events of a day are read page by page where that is possible, else by a SELECT: the same numbers. A message of
-- the level DEBUG1 tells which.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SELECT count(analytics_internal.create_partition(b.name, b.from_time, b.to_time)) AS partitions
FROM generate_series('2025-11-06', '2025-11-10', interval '1 day') AS day, analytics_internal.partition_bounds(day::date, 'day') AS b;
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
VALUES (md5('east')::uuid, 'Asia/Tokyo', '-infinity'), (md5('west')::uuid, 'America/Los_Angeles', '-infinity'), (md5('nothing')::uuid, 'Asia/Tokyo', '-infinity');
-- An event every 15 minutes; without user and session now and then; metadata short, long and out of line.
CREATE TEMP TABLE event AS
SELECT md5('e' || w || i)::uuid AS id, md5(w)::uuid AS workspace_id, md5('u' || i % 7)::uuid AS user_id, 'agent_run' AS event_type,
       CASE WHEN i % 3 > 0 THEN repeat('n', i % 150) END AS event_name, CASE WHEN i % 4 = 0 THEN md5('s' || i % 9)::uuid END AS session_id,
       CASE i % 5 WHEN 0 THEN '{}' WHEN 1 THEN jsonb_build_object('credits', i)
            WHEN 2 THEN jsonb_build_object('credits', i, 'note', repeat('x', 3000))
            ELSE jsonb_build_object('credits', i, 'note', (SELECT string_agg(md5(w || i || n), '') FROM generate_series(1, 90) AS n)) END AS metadata,
       '2025-11-07'::timestamptz + i * interval '15 minutes' AS created_at
FROM unnest('{utc,east,west}'::text[]) AS w, generate_series(0, 96 * 3 - 1) AS i;
CREATE FUNCTION pg_temp.fill() RETURNS void LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, session_id, metadata, created_at) SELECT * FROM event
$$;
SELECT pg_temp.fill();
DELETE FROM analytics.user_activity WHERE id = md5('eutc100')::uuid;
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, session_id, metadata, created_at)
SELECT * FROM event WHERE id = md5('eutc100')::uuid;

-- What the day should be, from the local days of each workspace.
SELECT w AS workspace, count(*) AS events, count(DISTINCT user_id) AS users, sum((metadata ->> 'credits')::numeric) AS credits
FROM event JOIN (VALUES ('utc', 'UTC'), ('east', 'Asia/Tokyo'), ('west', 'America/Los_Angeles')) AS z (w, zone) ON workspace_id = md5(w)::uuid
WHERE (created_at AT TIME ZONE zone)::date = '2025-11-08' GROUP BY w ORDER BY w;
-- What it becomes, and how: once before without messages, as PostgreSQL too has some of this level, about its caches.
CREATE PROCEDURE pg_temp.check() LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    DELETE FROM analytics.daily_metrics;
    PERFORM analytics.aggregate_daily_metrics('2025-11-08');
    SELECT string_agg(concat_ws(' ', w, m.total_events, m.active_users, m.total_credits_consumed, m.is_final), ', ' ORDER BY w) INTO found
    FROM unnest('{utc,east,west,nothing}'::text[]) AS w JOIN analytics.daily_metrics AS m ON m.workspace_id = md5(w)::uuid AND m.metric_date = '2025-11-08';
    RAISE WARNING '%', found;
END
$$;
\set scan 'SELECT count(*) > 0 AS found FROM analytics_internal.collect_rollups(''2025-11-08'', now(), ''2025-11-08'', ''2025-11-09'', 1, 0, 1);'
\set check 'CALL pg_temp.check(); ' :scan ' SET LOCAL client_min_messages = debug1; ' :scan ' SET LOCAL client_min_messages = warning;'
BEGIN;
:check
ROLLBACK;

-- Events of the local day in the default partition, and others.
BEGIN;
CREATE TEMP TABLE moved AS SELECT * FROM analytics.user_activity WHERE created_at >= '2025-11-09' AND created_at < '2025-11-10';
ALTER TABLE analytics.user_activity DETACH PARTITION analytics.user_activity_20251109;
INSERT INTO analytics.user_activity SELECT * FROM moved;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES (md5('utc')::uuid, md5('u')::uuid, 'login', '2001-01-01');
:check
ROLLBACK;

-- A partition with its columns in another order, whose rows are older than two of them.
BEGIN;
DELETE FROM analytics.user_activity WHERE created_at >= '2025-11-08' AND created_at < '2025-11-09' AND workspace_id <> md5('utc')::uuid;
CREATE TABLE analytics.turned AS SELECT created_at, id, workspace_id, user_id, event_type, event_name, page_path, ip_address, ip_hash, user_agent, referrer
FROM analytics.user_activity WHERE false;
INSERT INTO analytics.turned SELECT created_at, id, workspace_id, user_id, event_type, event_name FROM analytics.user_activity WHERE created_at >= '2025-11-08' AND created_at < '2025-11-09';
ALTER TABLE analytics.turned ADD session_id uuid, ADD metadata jsonb NOT NULL DEFAULT '{"credits": 5}';
ALTER TABLE analytics.turned ALTER id SET NOT NULL, ALTER workspace_id SET NOT NULL, ALTER user_id SET NOT NULL, ALTER event_type SET NOT NULL, ALTER created_at SET NOT NULL;
ALTER TABLE analytics.user_activity DETACH PARTITION analytics.user_activity_20251108;
ALTER TABLE analytics.user_activity ATTACH PARTITION analytics.turned FOR VALUES FROM ('2025-11-08') TO ('2025-11-09');
DELETE FROM analytics.closed_days;
:check
ROLLBACK;

-- Another access method, a partition of many days, a partition with partitions of its own: not page by page.
CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
CREATE PROCEDURE pg_temp.replace(VARIADIC definitions text[]) LANGUAGE plpgsql AS $$
DECLARE
    definition text;
BEGIN
    ALTER TABLE analytics.user_activity DETACH PARTITION analytics.user_activity_20251107;
    ALTER TABLE analytics.user_activity DETACH PARTITION analytics.user_activity_20251108;
    FOREACH definition IN ARRAY definitions LOOP
        EXECUTE definition;
    END LOOP;
    INSERT INTO analytics.user_activity SELECT * FROM analytics.user_activity_20251107;
    INSERT INTO analytics.user_activity SELECT * FROM analytics.user_activity_20251108;
END
$$;
BEGIN;
CALL pg_temp.replace('CREATE TABLE analytics.before PARTITION OF analytics.user_activity FOR VALUES FROM (''2025-11-07'') TO (''2025-11-08'')',
                        'CREATE TABLE analytics.other PARTITION OF analytics.user_activity FOR VALUES FROM (''2025-11-08'') TO (''2025-11-09'') USING heap_too');
:check
ROLLBACK;
BEGIN;
CALL pg_temp.replace('CREATE TABLE analytics.two_days PARTITION OF analytics.user_activity FOR VALUES FROM (''2025-11-07'') TO (''2025-11-09'')');
:check
ROLLBACK;
BEGIN;
CALL pg_temp.replace('CREATE TABLE analytics.before PARTITION OF analytics.user_activity FOR VALUES FROM (''2025-11-07'') TO (''2025-11-08'')',
                        'CREATE TABLE analytics.divided PARTITION OF analytics.user_activity FOR VALUES FROM (''2025-11-08'') TO (''2025-11-09'') PARTITION BY LIST (workspace_id)',
                        'CREATE TABLE analytics.part PARTITION OF analytics.divided DEFAULT');
:check
ROLLBACK;
DROP ACCESS METHOD heap_too;

-- Nor a default partition that holds much else.
BEGIN;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at, page_path)
SELECT md5('utc')::uuid, md5('u')::uuid, 'login', '2001-01-01', repeat('p', 1000) FROM generate_series(1, 1000);
:check
ROLLBACK;

-- Who may not read the events gets an error; whom row security applies to, what it leaves.
BEGIN;
CREATE ROLE scan_tester;
GRANT USAGE ON SCHEMA analytics, analytics_internal TO scan_tester;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO scan_tester;
GRANT SELECT ON analytics.settings, analytics.workspace_settings, analytics.credit_prices, analytics.token_prices, analytics.closed_days, analytics.dirty_hours TO scan_tester;
CREATE POLICY scan_tester ON analytics.user_activity FOR SELECT TO scan_tester USING (workspace_id = md5('nothing')::uuid);
CREATE FUNCTION pg_temp.collected() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE scan_tester;
    RETURN (SELECT count(*) > 0 FROM analytics_internal.collect_rollups('2025-11-08', now(), '2025-11-08', '2025-11-09', 1, 0, 1));
EXCEPTION WHEN insufficient_privilege THEN
    RETURN SQLERRM;
END
$$;
SELECT pg_temp.collected();
RESET ROLE;
GRANT SELECT ON analytics.user_activity TO scan_tester;
SELECT pg_temp.collected();
RESET ROLE;
ALTER ROLE scan_tester BYPASSRLS;
SELECT pg_temp.collected();
ROLLBACK;

-- A question's events are read so where PostgreSQL would read whole tables for it: the answer is that by an index, with
-- events of other workspaces, types and days, in the default partition too.
BEGIN;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, created_at, metadata)
SELECT md5(w)::uuid, md5('u' || n)::uuid, 'agent_run', 'late', '2025-11-12T01:00Z'::timestamptz, '{"credits": 0.5}'::jsonb FROM unnest('{east,west}'::text[]) AS w, generate_series(1, 3) AS n
UNION ALL SELECT md5('east')::uuid, md5('u1')::uuid, 'login', 'n', '2025-11-08T01:00Z', '{"credits": 7}';
CREATE FUNCTION pg_temp.asked(whole boolean) RETURNS TABLE (answer jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('enable_seqscan', whole::text, true), set_config('enable_indexscan', (NOT whole)::text, true),
            set_config('enable_bitmapscan', (NOT whole)::text, true);
    RETURN QUERY SELECT to_jsonb(t) FROM analytics.get_trend(md5('east')::uuid, '[{"event": "agent_run", "measure": "sum(metadata.credits)"}, {"event": "*", "measure": "users"}]',
                                                             'daily', '2025-11-08', '2025-11-12', breakdown => 'event_type') AS t;
END
$$;
SELECT count(*) AS rows, sum((answer ->> 'value')::numeric) FILTER (WHERE answer ->> 'series_number' = '1') AS credits FROM pg_temp.asked(true);
CREATE TEMP TABLE whole AS SELECT answer FROM pg_temp.asked(true);
CREATE TEMP TABLE by_index AS SELECT answer FROM pg_temp.asked(false);
(TABLE whole EXCEPT ALL TABLE by_index) UNION ALL (TABLE by_index EXCEPT ALL TABLE whole);
SELECT sum((metadata ->> 'credits')::numeric) AS credits FROM analytics.user_activity
WHERE workspace_id = md5('east')::uuid AND event_type = 'agent_run' AND (created_at AT TIME ZONE 'Asia/Tokyo')::date BETWEEN '2025-11-08' AND '2025-11-12';
SET LOCAL client_min_messages = debug1;
SELECT count(*) FROM pg_temp.asked(true);
SELECT count(*) FROM pg_temp.asked(false);
ROLLBACK;

TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.daily_users, analytics.users;
DELETE FROM analytics.workspace_settings;
DELETE FROM analytics.dirty_hours;
DO $$
DECLARE
    p record;
BEGIN
    FOR p IN SELECT * FROM analytics_internal.partitions() WHERE from_time >= '2025-11-06' AND to_time <= '2025-11-11' LOOP
        EXECUTE format('DROP TABLE %s', p.relation);
    END LOOP;
END
$$;
