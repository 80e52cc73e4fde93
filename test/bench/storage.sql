-- Bytes: of an event in the heap and in each index of an open and of a closed day, against the bare table with a uuid
-- key; of a user-day and of a row of each rollup.
\ir stage.sql
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_users,
         analytics.daily_error_types, analytics.daily_user_revenue, analytics.users;
SELECT analytics.create_partitions('2025-11-08', '2025-11-08') \g /dev/null
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT * FROM bench.stage;
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
SELECT what, round(bytes / (SELECT count(*) FROM bench.bare)::numeric, 1) AS bytes FROM relation ORDER BY place, what;
\echo bytes per row of what is kept of a day (heap with TOAST, indexes)
SELECT t.name, t.rows, round(pg_table_size(t.name::regclass) / t.rows::numeric, 1) AS heap, round(pg_indexes_size(t.name::regclass) / t.rows::numeric, 1) AS indexes
FROM (SELECT 'analytics.daily_metrics' AS name, count(*) AS rows FROM analytics.daily_metrics
      UNION ALL SELECT 'analytics.hourly_metrics', count(*) FROM analytics.hourly_metrics
      UNION ALL SELECT 'analytics.agent_performance', count(*) FROM analytics.agent_performance
      UNION ALL SELECT 'analytics.daily_event_usage', count(*) FROM analytics.daily_event_usage
      UNION ALL SELECT 'analytics.daily_error_types', count(*) FROM analytics.daily_error_types
      UNION ALL SELECT 'analytics.users', count(*) FROM analytics.users) AS t WHERE t.rows > 0;
\echo bytes per user and day in analytics.daily_users, all of it
SELECT round((pg_total_relation_size('analytics.daily_users'))::numeric / sum(analytics.user_set_cardinality(users)), 2) AS bytes,
       round(sum(pg_column_size(users))::numeric / sum(analytics.user_set_cardinality(users)), 2) AS "of which the sets"
FROM analytics.daily_users;
