-- plain settings only: no plan matters here, and the database is another one
-- DROP EXTENSION in a database of its own: refused while there are data, whole with CASCADE.
SELECT current_database() AS home \gset
CREATE DATABASE regress_removal;
\connect regress_removal
SET client_min_messages = warning;
CREATE EXTENSION shadow_analytics;

-- Empty it goes; it comes back; the statement may name others, in any spelling.
DROP EXTENSION shadow_analytics;
SELECT count(*) FROM pg_event_trigger;
CREATE EXTENSION shadow_analytics;

-- Whoever may not drop it learns nothing.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type)
SELECT md5('w')::uuid, md5('u' || i % 3)::uuid, 'login' FROM generate_series(1, 12) AS i;
CREATE ROLE regress_nobody;
SET ROLE regress_nobody;
DROP EXTENSION shadow_analytics;
DROP EXTENSION shadow_analytics CASCADE;
RESET ROLE;
DROP ROLE regress_nobody;

-- Events, rollups, both.
\set VERBOSITY sqlstate
DROP EXTENSION shadow_analytics;
\set VERBOSITY default
\set SHOW_CONTEXT never
DROP EXTENSION shadow_analytics;
SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date);
DROP EXTENSION IF EXISTS plperl, "shadow_analytics", plpgsql RESTRICT;
TRUNCATE analytics.user_activity;
DROP EXTENSION shadow_analytics;
SELECT count(*) FROM analytics.daily_metrics;

-- Other extensions and other statements are none of its business.
DROP EXTENSION IF EXISTS plperl;
CREATE TABLE public.mine (s analytics.user_set);
DROP TABLE public.mine;

-- A million is counted no further.
SELECT analytics_internal.count_up_to('pg_catalog.generate_series(1, 12)', 10), analytics_internal.count_up_to('pg_catalog.generate_series(1, 0)', 10);

-- CASCADE is the word. The schema stays, empty, and can be used again.
CREATE VIEW public.depends AS SELECT * FROM analytics.daily_metrics;
DROP EXTENSION shadow_analytics CASCADE;
SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'analytics'::regnamespace;
SELECT to_regnamespace('analytics_internal') IS NULL AS is_gone, to_regclass('public.depends') IS NULL AS dependent_is_gone;
SELECT count(*) FROM pg_event_trigger;
CREATE EXTENSION shadow_analytics;
DROP EXTENSION shadow_analytics;

-- Not a function to call.
CREATE EXTENSION shadow_analytics;
SELECT analytics_internal.extension_removal();

\connect :"home"
DROP DATABASE regress_removal;
