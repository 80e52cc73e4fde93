\set ECHO none
-- A transaction without the events of other tests, and the calculation to compare with.
\set QUIET on
\pset format unaligned
SET client_min_messages = warning;
SET jit = off;
\set oracle :abs_srcdir '/sql/include/oracle.sql'
BEGIN;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.workspace_settings, analytics.credit_prices, analytics.token_prices;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'); -- every day and hour is asked for
\i :oracle
\set ECHO all
