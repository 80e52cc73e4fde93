\echo Use "ALTER EXTENSION shadow_analytics UPDATE" to load this file. \quit
SET LOCAL search_path = pg_catalog, pg_temp;
