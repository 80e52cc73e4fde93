-- Tables of another access method than heap: whoever sets default_table_access_method before CREATE EXTENSION gets
-- the same rollups, and late events are noted.
\getenv srcdir PG_ABS_SRCDIR
\set test_module :srcdir '/module/test_module.so'
\set SHOW_CONTEXT never
CREATE DATABASE regress_access_method;
\c regress_access_method
CREATE FUNCTION public.handler(internal) RETURNS table_am_handler LANGUAGE c AS :'test_module', 'test_table_access_method';
CREATE ACCESS METHOD other TYPE TABLE HANDLER public.handler;
SET default_table_access_method = other;
SET timezone = 'UTC';
CREATE EXTENSION shadow_analytics;
SELECT a.amname FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam WHERE c.oid = 'analytics.watermark'::regclass;
CREATE PROCEDURE pg_temp.add(users int) LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT md5('w')::uuid, md5(n::text)::uuid, 'login', date_trunc('day', now()) - interval '1 day' FROM generate_series(1, users) AS n $$;
CALL pg_temp.add(3);
-- Three transactions close a bucket; whatever else is at work may hold it up for a moment.
DO $$
BEGIN
    FOR i IN 1..200 LOOP
        EXIT WHEN EXISTS (SELECT FROM analytics.watermark AS w WHERE w.closed_until = w.marked_until);
        CALL analytics.maintain();
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT active_users, total_events, is_final FROM analytics.daily_metrics;
CALL pg_temp.add(5);
SELECT count(*) FROM analytics.dirty_hours;
CALL analytics.maintain();
SELECT active_users, total_events, is_final FROM analytics.daily_metrics;
SELECT step, error FROM analytics.job_runs WHERE outcome = 'failed';
\c contrib_regression
DROP DATABASE regress_access_method;
