-- Leaves no event, partition, rollup or mark of another topic.
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_users, analytics.daily_error_types, analytics.daily_user_revenue, analytics.users, analytics.user_cohorts,
         analytics.dirty_hours, analytics.closed_days, analytics.sealed_days, analytics.pending_buckets;
DELETE FROM analytics.watermark;
DELETE FROM analytics.alert_rules;
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT p.relation FROM analytics_internal.partitions() AS p LOOP
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
END
$$;
