-- Installs the extension, or brings it to the version of the library. The files 002 to 008 check that what
-- their names say is there.
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS shadow_analytics;
ALTER EXTENSION shadow_analytics UPDATE;
COMMIT;
