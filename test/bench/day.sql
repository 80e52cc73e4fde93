-- The day of bench.stage in user_activity, also where another topic has emptied that.
\ir stage.sql
SELECT analytics_internal.create_partition(b.name, b.from_time, b.to_time) FROM analytics_internal.partition_bounds('2025-11-08', 'day') AS b
WHERE NOT EXISTS (SELECT FROM analytics_internal.partition_of('2025-11-08')) \g /dev/null
SELECT NOT EXISTS (SELECT FROM analytics.user_activity WHERE created_at >= '2025-11-08' AND created_at < '2025-11-09') AS missing \gset
\if :missing
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT * FROM bench.stage;
VACUUM ANALYZE analytics.user_activity_20251108;
\endif
