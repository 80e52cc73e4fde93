-- The specialized tables are there.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(n, ', ') INTO missing FROM unnest(ARRAY['alert_rules', 'alert_history', 'retention_policies', 'job_runs']) AS n WHERE to_regclass('analytics.' || n) IS NULL;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', missing
            USING HINT = 'Run database/migrations/001_create_analytics_schema.sql with a complete installation of shadow_analytics.';
    END IF;
END
$$;
