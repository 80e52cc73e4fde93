-- Bytes: of an event in the heap and in each index of an open and of a closed day, against the bare table with a uuid
-- key; of a user-day and of a row of each rollup.
\ir empty.sql
\ir day.sql
SELECT analytics_internal.index_partition('user_activity_20251108') \g /dev/null
SELECT analytics.aggregate_daily_metrics('2025-11-08') \g /dev/null
SELECT analytics.aggregate_hourly_metrics('2025-11-08 12:00') \g /dev/null
VACUUM ANALYZE analytics.user_activity;
\echo bytes per event
WITH relation AS (
    SELECT 1 AS place, 'bare table: heap' AS what, pg_relation_size('bench.bare') AS bytes
    UNION ALL SELECT 2, 'bare table: uuid key', pg_relation_size('bench.bare_pkey')
    UNION ALL SELECT 3, 'partition: heap', pg_relation_size('analytics.user_activity_20251108')
    UNION ALL SELECT CASE WHEN c.relname ~ '(pkey|brin)$' THEN 4 ELSE 5 END,
                     CASE WHEN c.relname ~ '(pkey|brin)$' THEN 'partition, open: ' ELSE 'partition, closed: ' END || substr(c.relname, 24),
                     pg_relation_size(c.oid)
              FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = 'analytics.user_activity_20251108'::regclass)
SELECT what, place, round(bytes / (SELECT count(*) FROM bench.bare)::numeric, 1) AS bytes INTO TEMPORARY event_bytes FROM relation;
SELECT what, bytes FROM event_bytes ORDER BY place, what;
CREATE TEMPORARY TABLE rollup_bytes AS
SELECT t.name, t.rows, CASE WHEN t.name = 'hourly_metrics' THEN (SELECT count(*) FROM bench.stage WHERE created_at >= '2025-11-08 12:00Z' AND created_at < '2025-11-08 13:00Z')
                            ELSE (SELECT count(*) FROM bench.stage) END AS events,
       pg_table_size(format('analytics.%I', t.name)::regclass) / t.rows::numeric AS heap,
       pg_indexes_size(format('analytics.%I', t.name)::regclass) / t.rows::numeric AS indexes
FROM (SELECT 'daily_metrics' AS name, count(*) AS rows FROM analytics.daily_metrics
      UNION ALL SELECT 'hourly_metrics', count(*) FROM analytics.hourly_metrics
      UNION ALL SELECT 'agent_performance', count(*) FROM analytics.agent_performance
      UNION ALL SELECT 'daily_event_usage', count(*) FROM analytics.daily_event_usage
      UNION ALL SELECT 'daily_error_types', count(*) FROM analytics.daily_error_types
      UNION ALL SELECT 'users', count(*) FROM analytics.users) AS t WHERE t.rows > 0;
-- What a table of who was active on which day would take.
CREATE TABLE bench.user_day (workspace_id uuid, user_id uuid, day date, PRIMARY KEY (workspace_id, day, user_id));
INSERT INTO bench.user_day SELECT DISTINCT workspace_id, user_id, created_at::date FROM bench.stage ORDER BY 1, 3, 2;
SELECT pg_total_relation_size('analytics.daily_users')::numeric / sum(analytics.user_set_cardinality(users)) AS user_day,
       sum(pg_column_size(users))::numeric / sum(analytics.user_set_cardinality(users)) AS of_set,
       (SELECT pg_total_relation_size('bench.user_day')::numeric / count(*) FROM bench.user_day) AS plain_user_day
FROM analytics.daily_users \gset
\echo a user-day takes :user_day bytes in analytics.daily_users, :of_set of them the set

SELECT sum(bytes) FILTER (WHERE place <= 2) AS bare, sum(bytes) FILTER (WHERE place IN (3, 4)) AS open,
       sum(bytes) FILTER (WHERE place >= 3) AS closed FROM event_bytes \gset
CALL bench.record('bytes of an event: heap, key, BRIN', :'open', 'a bare table with a uuid key', :'bare', :open / :bare, '', NULL);
SELECT format('CALL bench.record(%L, %L, %L, %L, %s, %L, NULL)', '  of which ' || o.what, o.bytes, coalesce(r.what, ''), r.bytes, coalesce((o.bytes / r.bytes)::text, 'NULL'), '')
FROM event_bytes AS o
LEFT JOIN event_bytes AS r ON r.what = CASE WHEN o.what = 'partition: heap' THEN 'bare table: heap' WHEN o.what ~ 'pkey$' THEN 'bare table: uuid key' END
WHERE o.place >= 3 ORDER BY o.place, o.what \gexec
CALL bench.record('bytes of an event of a closed day, all indexes', :'closed', 'a bare table with a uuid key', :'bare', :closed / :bare, '', NULL);
CALL bench.record('bytes of a user''s day, all of daily_users', round(:user_day, 2)::text, 'a row (workspace, user, day) with its key', round(:plain_user_day, 1)::text, :user_day / :plain_user_day, '', NULL);
SELECT format('CALL bench.record(%L, %L, %L, %L, %s, %L, NULL)', 'bytes of a row of ' || name, round(heap + indexes) || ' (indexes ' || round(indexes) || ')',
              'the events of one row', round(:bare * events / rows), (heap + indexes) * rows / (:bare * events), '')
FROM rollup_bytes ORDER BY name \gexec
DROP TABLE bench.user_day;
