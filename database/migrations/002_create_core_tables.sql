-- The core tables are there.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(n, ', ') INTO missing FROM unnest(ARRAY['user_activity', 'daily_metrics', 'hourly_metrics', 'agent_performance']) AS n WHERE to_regclass('analytics.' || n) IS NULL;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', missing
            USING HINT = 'Run database/migrations/001_create_analytics_schema.sql with a complete installation of shadow_analytics.';
    END IF;
END
$$;
