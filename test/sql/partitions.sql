-- Partitions of user_activity and their indexes.
SET timezone = 'Asia/Tokyo'; -- days are UTC whatever the session's zone
SET datestyle = 'German';
\set SHOW_CONTEXT never

-- CREATE EXTENSION made yesterday to a week ahead, and the default; none belongs to the extension.
SELECT count(*) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE inhparent = 'analytics.user_activity'::regclass
  AND (relname = 'user_activity_default'
       OR relname IN (SELECT 'user_activity_' || to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD') FROM generate_series(-1, 7) AS n));
SELECT count(*) FROM pg_depend
WHERE deptype = 'e' AND classid = 'pg_class'::regclass
  AND objid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass);

-- Rows wait in the default partition and move when their partition is made.
INSERT INTO analytics.user_activity (user_id, event_type, created_at)
SELECT '00000000-0000-0000-0000-0000000000aa', 'login', t
FROM unnest(ARRAY[TIMESTAMPTZ '2020-03-01 23:59:59.999999+00', '2020-03-02 00:00+00', '2020-03-02 23:59:59.999999+00', '2020-03-03 00:00+00']) AS t;
SELECT analytics_internal.create_partition(b.name, b.from_time, b.to_time)
FROM generate_series(2, 4) AS n, analytics_internal.partition_bounds(make_date(2020, 3, n), 'day') AS b;
-- Where partitions of days are in the way, no month or year is made.
SELECT analytics.create_partitions('2020-03-01', '2020-03-04');
SELECT tableoid::regclass::text, count(*) FROM analytics.user_activity WHERE created_at < '2021-01-01' GROUP BY 1 ORDER BY 1;
SELECT analytics.create_partitions('2020-03-01', '2020-03-04');

-- Each has its own key, BRIN, deny policy and the trigger, and no grants, even where default privileges give some.
CREATE ROLE regress_partition_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT ALL ON TABLES TO regress_partition_reader;
SELECT analytics.create_partitions('2020-03-05', '2020-03-05');
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics REVOKE ALL ON TABLES FROM regress_partition_reader;
SELECT has_table_privilege('regress_partition_reader', 'analytics.user_activity_20200305', 'SELECT, INSERT, TRUNCATE') AS granted;
DROP ROLE regress_partition_reader;
SELECT relrowsecurity, relforcerowsecurity, pg_get_expr(relpartbound, oid) AS bound,
       (SELECT string_agg(polcmd::text || ' ' || pg_get_expr(polqual, polrelid), ',') FROM pg_policy WHERE polrelid = c.oid) AS policies,
       (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers
FROM pg_class AS c WHERE relname = 'user_activity_20200305';
SELECT indexname, regexp_replace(indexdef, '.* USING ', '') AS definition FROM pg_indexes WHERE tablename = 'user_activity_20200305' ORDER BY 1;

-- The parent has no key and no index: pg_dump needs it so.
SELECT count(*) FROM pg_index WHERE indrelid = 'analytics.user_activity'::regclass;

-- Limits.
SELECT analytics.create_partitions('2020-03-05', '2020-03-04');
SELECT analytics.create_partitions(NULL, '2020-03-04');
SELECT analytics.create_partitions('-infinity', '2020-03-04');
SELECT analytics.create_partitions('2020-03-04', 'infinity');
SELECT analytics.create_partitions('1969-12-31', '1969-12-31');
SELECT analytics.create_partitions('9990-01-01', '9992-01-01');
CREATE TABLE analytics.user_activity_20200306 (n integer);
SELECT analytics.create_partitions('2020-03-05', '2020-03-07');
DROP TABLE analytics.user_activity_20200306;

-- Indexes of closed days, built once; the open ones stay lean.
SELECT built > 0 AS built FROM analytics_internal.index_closed_partitions();
SELECT built FROM analytics_internal.index_closed_partitions();
SELECT indexname, obj_description(format('analytics.%I', indexname)::regclass, 'pg_class') AS serves
FROM pg_indexes WHERE tablename = 'user_activity_20200302' ORDER BY 1;
SELECT tablename < 'user_activity_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') AS closed, min(n), max(n)
FROM (SELECT tablename, count(*) AS n FROM pg_indexes WHERE tablename ~ '^user_activity_\d{8}$' GROUP BY 1) AS p GROUP BY 1 ORDER BY 1;

-- The queries named in the comments use them.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT md5('w' || i % 10)::uuid, md5('u' || i % 100)::uuid, CASE WHEN i % 100 = 0 THEN 'error' ELSE 'agent_run' END,
       jsonb_build_object('agent_id', i, 'filler', repeat('x', 200)), TIMESTAMPTZ '2020-03-04 00:00+00' + i * interval '5 seconds'
FROM generate_series(0, 9999) AS i;
VACUUM ANALYZE analytics.user_activity_20200304;
SET enable_bitmapscan = off;
SET enable_seqscan = off;
SET max_parallel_workers_per_gather = 0;
EXPLAIN (COSTS OFF) SELECT created_at, metadata FROM analytics.user_activity_20200304
WHERE workspace_id = md5('w0')::uuid AND event_type = 'error' ORDER BY created_at DESC LIMIT 10;
EXPLAIN (COSTS OFF) SELECT user_id, created_at, event_type, event_name FROM analytics.user_activity_20200304
WHERE workspace_id = md5('w1')::uuid ORDER BY user_id, created_at;
RESET enable_bitmapscan;
RESET enable_seqscan;
RESET max_parallel_workers_per_gather;
EXPLAIN (COSTS OFF) SELECT id FROM analytics.user_activity_20200304 WHERE metadata @> '{"agent_id": 17}';

DROP TABLE analytics.user_activity_20200301, analytics.user_activity_20200302, analytics.user_activity_20200303,
           analytics.user_activity_20200304, analytics.user_activity_20200305;
TRUNCATE analytics.user_activity;
