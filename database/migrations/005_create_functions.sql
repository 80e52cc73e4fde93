-- The functions are there.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(n, ', ') INTO missing
    FROM unnest(ARRAY['aggregate_daily_metrics', 'aggregate_hourly_metrics', 'calculate_percentiles', 'cleanup_old_data',
                      'evaluate_alert_rules', 'maintain']) AS n
    WHERE NOT EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = 'analytics'::regnamespace AND p.proname = n);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', missing
            USING HINT = 'Run database/migrations/001_create_analytics_schema.sql with a complete installation of shadow_analytics.';
    END IF;
END
$$;
