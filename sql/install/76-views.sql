-- Materialized views over the rollups, never over raw events. They know no row security, so they are granted to
-- nobody; tenants read the security-barrier views below. A window is the workspace's own last 30 complete local
-- days. Each has a unique index on plain columns: REFRESH MATERIALIZED VIEW CONCURRENTLY works on all of them.

CREATE FUNCTION analytics_internal.last_complete_days() RETURNS TABLE (workspace_id uuid, first_date date, last_date date)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT w.workspace_id, w.first_date, analytics.workspace_today(w.workspace_id) - 1
    FROM (SELECT d.workspace_id, min(d.metric_date) AS first_date FROM analytics.daily_metrics AS d GROUP BY d.workspace_id) AS w;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_complete_days() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_complete_days() IS
    'every workspace with a daily rollup, its first day and its last complete local day';

CREATE MATERIALIZED VIEW analytics.mv_error_trends AS
SELECT e.metric_date AS error_date, e.workspace_id, e.error_type, e.event_name, e.errors AS total_errors,
       cardinality(e.message_hashes)::bigint AS unique_error_messages, e.sample_messages
FROM analytics_internal.last_complete_days() AS w
JOIN analytics.daily_errors AS e ON e.workspace_id = w.workspace_id
WHERE e.metric_date BETWEEN w.last_date - 29 AND w.last_date;
COMMENT ON MATERIALIZED VIEW analytics.mv_error_trends IS
    'errors by day, type and event name over the last 30 complete days: error events and failed runs without one. Granted to nobody: read analytics.error_trends';
COMMENT ON COLUMN analytics.mv_error_trends.error_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_error_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_error_trends.error_type IS
    'error type; unknown where it was missing, (other) beyond the 1,000 most frequent pairs with event_name';
COMMENT ON COLUMN analytics.mv_error_trends.event_name IS
    'event name; empty where it was missing';
COMMENT ON COLUMN analytics.mv_error_trends.total_errors IS
    'error events and failed runs that have no error event of the same run_id that day';
COMMENT ON COLUMN analytics.mv_error_trends.unique_error_messages IS
    'distinct messages after redaction; counted up to 256';
COMMENT ON COLUMN analytics.mv_error_trends.sample_messages IS
    'at most 5 messages of at most 200 characters, redacted';
CREATE UNIQUE INDEX mv_error_trends_key ON analytics.mv_error_trends (workspace_id, error_date, error_type, event_name);
COMMENT ON INDEX analytics.mv_error_trends_key IS
    'serves: the errors of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

-- Every calendar day from the agent's first one on, 13 more than are shown, so that 7 rows are 7 days.
CREATE MATERIALIZED VIEW analytics.mv_agent_usage_trends AS
WITH agent AS (
    SELECT p.workspace_id, p.agent_id, min(p.metric_date) AS first_date, max(p.metric_date) AS latest_date
    FROM analytics.agent_performance AS p GROUP BY p.workspace_id, p.agent_id
), day AS (
    SELECT a.workspace_id, a.agent_id, d.metric_date::date AS metric_date, w.last_date
    FROM agent AS a
    JOIN analytics_internal.last_complete_days() AS w ON w.workspace_id = a.workspace_id,
         LATERAL generate_series(greatest(a.first_date, w.last_date - 42)::timestamp, w.last_date::timestamp, interval '1 day') AS d (metric_date)
    WHERE a.latest_date >= w.last_date - 42
), usage AS (
    SELECT d.metric_date, d.agent_id, d.workspace_id, d.last_date, coalesce(p.total_runs, 0) AS total_runs,
           coalesce(p.successful_runs, 0) AS successful_runs, coalesce(p.failed_runs, 0) AS failed_runs,
           p.success_rate, p.avg_runtime_seconds, coalesce(p.total_credits, 0) AS total_credits,
           coalesce(p.unique_users, 0) AS unique_users
    FROM day AS d
    LEFT JOIN analytics.agent_performance AS p
        ON p.workspace_id = d.workspace_id AND p.agent_id = d.agent_id AND p.metric_date = d.metric_date
), trend AS (
    SELECT u.*, lag(u.total_runs, 7) OVER agent_days AS week_ago,
           (sum(u.total_runs) OVER (agent_days ROWS 6 PRECEDING))::bigint AS this_week,
           coalesce(sum(u.total_runs) OVER (agent_days ROWS BETWEEN 13 PRECEDING AND 7 PRECEDING), 0)::bigint AS week_before
    FROM usage AS u
    WINDOW agent_days AS (PARTITION BY u.workspace_id, u.agent_id ORDER BY u.metric_date)
)
SELECT t.metric_date, t.agent_id, t.workspace_id, t.total_runs, t.successful_runs, t.failed_runs, t.success_rate,
       t.avg_runtime_seconds, t.total_credits, t.unique_users,
       analytics.growth_rate(t.total_runs, t.week_ago) AS wow_growth_rate,
       analytics.trend_direction(t.this_week, t.week_before) AS trend_direction
FROM trend AS t
WHERE t.metric_date > t.last_date - 30;
COMMENT ON MATERIALIZED VIEW analytics.mv_agent_usage_trends IS
    'every agent on every one of the last 30 complete days from its first day on, also days without a run (agents without activity for 6 weeks are left out). Granted to nobody: read analytics.agent_usage_trends';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.agent_id IS
    'agent';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.total_runs IS
    'runs of the day; 0 without any';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.successful_runs IS
    'runs that succeeded';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.failed_runs IS
    'runs that failed';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled; NULL without any';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.total_credits IS
    'credits of the runs';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.unique_users IS
    'distinct users with a run on that day';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.wow_growth_rate IS
    '100 * (runs - runs 7 calendar days before) / runs 7 days before; NULL where that is 0 or before the agent''s first day';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.trend_direction IS
    'the 7 days up to this one against the 7 before: growing, declining, stable (within 5 %), new';
CREATE UNIQUE INDEX mv_agent_usage_trends_key ON analytics.mv_agent_usage_trends (workspace_id, agent_id, metric_date);
COMMENT ON INDEX analytics.mv_agent_usage_trends_key IS
    'serves: the days of an agent, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

-- What tenants read.
CREATE VIEW analytics.error_trends WITH (security_barrier) AS
SELECT v.error_date, v.workspace_id, v.error_type, v.event_name, v.total_errors, v.unique_error_messages,
       v.sample_messages
FROM analytics.mv_error_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.error_trends IS
    'analytics.mv_error_trends of the caller''s workspaces';
COMMENT ON COLUMN analytics.error_trends.error_date IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.workspace_id IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.error_type IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.event_name IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.total_errors IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.unique_error_messages IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.sample_messages IS 'as in analytics.mv_error_trends';

CREATE VIEW analytics.agent_usage_trends WITH (security_barrier) AS
SELECT v.metric_date, v.agent_id, v.workspace_id, v.total_runs, v.successful_runs, v.failed_runs, v.success_rate,
       v.avg_runtime_seconds, v.total_credits, v.unique_users, v.wow_growth_rate, v.trend_direction
FROM analytics.mv_agent_usage_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids());
COMMENT ON VIEW analytics.agent_usage_trends IS
    'analytics.mv_agent_usage_trends of the caller''s workspaces';
COMMENT ON COLUMN analytics.agent_usage_trends.metric_date IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.agent_id IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.workspace_id IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.total_runs IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.successful_runs IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.failed_runs IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.success_rate IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.avg_runtime_seconds IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.total_credits IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.unique_users IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.wow_growth_rate IS 'as in analytics.mv_agent_usage_trends';
COMMENT ON COLUMN analytics.agent_usage_trends.trend_direction IS 'as in analytics.mv_agent_usage_trends';

-- One view at a time: one that fails is reported and does not stop the others.
CREATE FUNCTION analytics_internal.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
DECLARE
    started timestamptz;
    populated boolean;
BEGIN
    -- Two refreshes at a time would only wait for each other, view by view.
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics.refresh_all_materialized_views', 0));
    FOR view, populated IN
        SELECT c.relname::text, c.relispopulated FROM pg_class AS c
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm'
          AND c.relname IN ('mv_active_users', 'mv_top_agents', 'mv_workspace_summary', 'mv_error_trends', 'mv_agent_usage_trends')
        ORDER BY c.relname
    LOOP
        started := clock_timestamp();
        rows := NULL;
        error := NULL;
        BEGIN
            EXECUTE format('REFRESH MATERIALIZED VIEW %s analytics.%I', CASE WHEN populated THEN 'CONCURRENTLY' ELSE '' END, view);
            EXECUTE format('SELECT count(*) FROM analytics.%I', view) INTO rows;
        EXCEPTION WHEN OTHERS THEN
            error := SQLERRM || ' (' || SQLSTATE || ')';
        END;
        milliseconds := round(extract(epoch FROM clock_timestamp() - started) * 1000, 1);
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_all_materialized_views() IS
    'does the work of analytics.refresh_all_materialized_views() as the owner, without row security';

CREATE FUNCTION analytics.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.refresh_all_materialized_views() $$;
REVOKE EXECUTE ON FUNCTION analytics.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics.refresh_all_materialized_views() IS
    'refreshes the materialized views mv_active_users, mv_top_agents, mv_workspace_summary, mv_error_trends and mv_agent_usage_trends, each on its own: concurrently where it is populated, plainly where not. One row per view: rows afterwards, milliseconds, and the error of one that failed (the others are refreshed all the same). Waits for another refresh in progress';
