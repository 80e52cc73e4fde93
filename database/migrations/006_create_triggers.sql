-- The triggers are there.
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(n, ', ') INTO missing FROM unnest(ARRAY['check_event', 'note_deleted', 'note_truncated']) AS n
    WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'analytics.user_activity'::regclass AND t.tgname = n);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', missing
            USING HINT = 'Run database/migrations/001_create_analytics_schema.sql with a complete installation of shadow_analytics.';
    END IF;
END
$$;
