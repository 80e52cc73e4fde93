-- The materialized views that this version has are filled.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(c.relname, ', ') INTO missing FROM pg_class AS c
    WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm' AND NOT c.relispopulated;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', missing
            USING HINT = 'Run database/migrations/001_create_analytics_schema.sql with a complete installation of shadow_analytics.';
    END IF;
END
$$;
