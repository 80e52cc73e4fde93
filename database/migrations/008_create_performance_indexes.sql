-- Every table has a key, or its partitions have.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(c.relname, ', ') INTO missing FROM pg_class AS c
    WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'r'
      AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', missing
            USING HINT = 'Run database/migrations/001_create_analytics_schema.sql with a complete installation of shadow_analytics.';
    END IF;
END
$$;
