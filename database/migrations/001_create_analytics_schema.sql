-- Installs the extension, or brings it to the version of the library and grants the roles what is new. The files
-- 002 to 008 check that what their names say is there.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS shadow_analytics;
DO $$
DECLARE
    version_before text := (SELECT extversion FROM pg_extension WHERE extname = 'shadow_analytics');
BEGIN
    ALTER EXTENSION shadow_analytics UPDATE;
    IF version_before <> (SELECT extversion FROM pg_extension WHERE extname = 'shadow_analytics') THEN
        PERFORM analytics.post_restore();
    END IF;
END
$$;
COMMIT;
