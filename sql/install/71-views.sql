-- Materialized views over the rollups, never over raw events. They know no row security, so they are granted to
-- nobody; tenants read the security-barrier views below. A window is the workspace's own last 30 complete local
-- days. Each has a unique index on plain columns: REFRESH MATERIALIZED VIEW CONCURRENTLY works on all of them.
-- REFRESH CONCURRENTLY sorts whole rows, column by column, to find equal ones: rows that come in that order cost
-- half, so the key's columns are the first ones and the rows come in their order.
-- The bound by now(), wide enough for every time zone, lets the planner and the index by date leave out history.

-- From workspace to workspace in the index, whatever the length of their history.
CREATE FUNCTION analytics_internal.last_complete_days() RETURNS TABLE (workspace_id uuid, first_date date, last_date date)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE first_day AS (
        (SELECT d.workspace_id, d.metric_date FROM analytics.daily_metrics AS d
         ORDER BY d.workspace_id, d.metric_date LIMIT 1)
        UNION ALL
        SELECT n.workspace_id, n.metric_date
        FROM first_day AS f
        CROSS JOIN LATERAL (SELECT d.workspace_id, d.metric_date FROM analytics.daily_metrics AS d
                            WHERE d.workspace_id > f.workspace_id
                            ORDER BY d.workspace_id, d.metric_date LIMIT 1) AS n
    )
    SELECT f.workspace_id, f.metric_date, analytics.workspace_today(f.workspace_id) - 1 FROM first_day AS f;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_complete_days() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_complete_days() IS
    'every workspace with a daily rollup, its first day and its last complete local day';

CREATE MATERIALIZED VIEW analytics.mv_error_trends AS
SELECT e.workspace_id, e.metric_date AS error_date, e.error_type, e.event_name, e.errors AS total_errors,
       cardinality(e.message_hashes)::bigint AS unique_error_messages, e.sample_messages
FROM analytics_internal.last_complete_days() AS w
JOIN analytics.daily_errors AS e ON e.workspace_id = w.workspace_id
WHERE e.metric_date BETWEEN w.last_date - 29 AND w.last_date
  AND e.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
ORDER BY e.workspace_id, e.metric_date, e.error_type COLLATE "C", e.event_name COLLATE "C";
COMMENT ON MATERIALIZED VIEW analytics.mv_error_trends IS
    'errors by day, type and event name over the last 30 complete days: error events and failed runs without one. Granted to nobody: read analytics.error_trends';
COMMENT ON COLUMN analytics.mv_error_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_error_trends.error_date IS
    'local day of the workspace';
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

CREATE FUNCTION analytics_internal.agent_usage()
RETURNS TABLE (metric_date date, agent_id uuid, workspace_id uuid, total_runs bigint, successful_runs bigint, failed_runs bigint,
               success_rate numeric, avg_runtime_seconds numeric, total_credits numeric, unique_users bigint,
               week_ago bigint, this_week bigint, week_before bigint)
LANGUAGE c STABLE ROWS 100000
AS 'MODULE_PATHNAME', 'shadow_agent_usage';
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_usage() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_usage() IS
    'agent_performance of the last 30 complete days, days without a row filled in from an agent''s first day on, with the runs of the day a week ago, of the 7 days up to the row''s and of the 7 before; agents without a row in 43 days are left out. One pass over 43 days of rollups';

CREATE MATERIALIZED VIEW analytics.mv_agent_usage_trends AS
SELECT u.workspace_id, u.agent_id, u.metric_date, u.total_runs, u.successful_runs, u.failed_runs, u.success_rate,
       u.avg_runtime_seconds, u.total_credits, u.unique_users,
       analytics.growth_rate(u.total_runs, u.week_ago) AS wow_growth_rate,
       analytics.trend_direction(u.this_week, u.week_before) AS trend_direction,
       n.name AS agent_name
FROM analytics_internal.agent_usage() AS u
LEFT JOIN analytics.agents AS n ON n.workspace_id = u.workspace_id AND n.agent_id = u.agent_id;
COMMENT ON MATERIALIZED VIEW analytics.mv_agent_usage_trends IS
    'every agent on every one of the last 30 complete days from its first day on, also days without a run (agents without activity for 6 weeks are left out). Granted to nobody: read analytics.agent_usage_trends';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.agent_id IS
    'agent';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.metric_date IS
    'local day of the workspace';
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
COMMENT ON COLUMN analytics.mv_agent_usage_trends.agent_name IS
    'name of the agent in analytics.agents; NULL without one';
CREATE UNIQUE INDEX mv_agent_usage_trends_key ON analytics.mv_agent_usage_trends (workspace_id, agent_id, metric_date);
COMMENT ON INDEX analytics.mv_agent_usage_trends_key IS
    'serves: the days of an agent, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE MATERIALIZED VIEW analytics.mv_active_users AS
SELECT w.workspace_id, u.activity_date, u.daily_active_users, u.weekly_active_users, u.monthly_active_users,
       round(100.0 * u.daily_active_users / nullif(u.monthly_active_users, 0), 2) AS stickiness
FROM (SELECT analytics.setting('active_users_days')::integer AS days) AS s
CROSS JOIN analytics_internal.last_complete_days() AS w
CROSS JOIN LATERAL analytics.trailing_users(w.workspace_id, greatest(w.first_date, w.last_date - s.days + 1), w.last_date) AS u
WHERE EXISTS (SELECT FROM analytics.daily_users AS d
              WHERE d.workspace_id = w.workspace_id AND d.metric_date > w.last_date - s.days - 29 AND d.metric_date <= w.last_date);
COMMENT ON MATERIALIZED VIEW analytics.mv_active_users IS
    'active users of the last complete days of each workspace, as many as the setting active_users_days, from its first event on, also dates without any; a workspace without users in that time has none. Granted to nobody: read analytics.active_users';
COMMENT ON COLUMN analytics.mv_active_users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_active_users.activity_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_active_users.daily_active_users IS
    'distinct users of the day';
COMMENT ON COLUMN analytics.mv_active_users.weekly_active_users IS
    'distinct users of the 7 days up to this one';
COMMENT ON COLUMN analytics.mv_active_users.monthly_active_users IS
    'distinct users of the 30 days up to this one';
COMMENT ON COLUMN analytics.mv_active_users.stickiness IS
    '100 * daily / monthly active users; NULL without any in 30 days';
CREATE UNIQUE INDEX mv_active_users_key ON analytics.mv_active_users (workspace_id, activity_date);
COMMENT ON INDEX analytics.mv_active_users_key IS
    'serves: the days of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE MATERIALIZED VIEW analytics.mv_top_agents AS
WITH agent AS (
    SELECT p.agent_id, p.workspace_id, sum(p.total_runs)::bigint AS total_runs_30d,
           sum(p.successful_runs)::bigint AS successful_runs_30d, sum(p.failed_runs)::bigint AS failed_runs_30d,
           analytics.quantile_sketch_merge(p.runtime_sketch) AS sketch, sum(p.total_credits) AS total_credits_30d,
           analytics.user_set_cardinality(analytics.user_set_union_agg(p.users)) AS unique_users_30d,
           max(p.metric_date) FILTER (WHERE p.total_runs > 0) AS last_active_date
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id
    WHERE p.metric_date BETWEEN w.last_date - 29 AND w.last_date
      AND p.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
    GROUP BY p.agent_id, p.workspace_id
    HAVING sum(p.total_runs) > 0
), bound AS (
    SELECT a.*, analytics_internal.wilson_lower_bound(a.successful_runs_30d, a.successful_runs_30d + a.failed_runs_30d) AS success_rate_lower_bound
    FROM agent AS a
)
SELECT b.agent_id, b.workspace_id, b.total_runs_30d, b.successful_runs_30d, b.failed_runs_30d,
       round(100.0 * b.successful_runs_30d / nullif(b.successful_runs_30d + b.failed_runs_30d, 0), 2) AS success_rate,
       round(analytics.quantile_sketch_avg(b.sketch), 2) AS avg_runtime,
       round(analytics.interpolated_quantile(b.sketch, 0.5)::numeric, 2) AS median_runtime,
       b.total_credits_30d, b.unique_users_30d, b.last_active_date,
       row_number() OVER (PARTITION BY b.workspace_id ORDER BY b.total_runs_30d DESC, b.agent_id) AS rank,
       row_number() OVER (PARTITION BY b.workspace_id
                          ORDER BY b.success_rate_lower_bound DESC NULLS LAST, b.total_runs_30d DESC, b.agent_id) AS success_rank,
       b.success_rate_lower_bound, n.name AS agent_name
FROM bound AS b
LEFT JOIN analytics.agents AS n ON n.workspace_id = b.workspace_id AND n.agent_id = b.agent_id;
COMMENT ON MATERIALIZED VIEW analytics.mv_top_agents IS
    'agents with a run in the last 30 complete days, ranked within their workspace. Granted to nobody: read analytics.top_agents';
COMMENT ON COLUMN analytics.mv_top_agents.agent_id IS
    'agent';
COMMENT ON COLUMN analytics.mv_top_agents.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_top_agents.total_runs_30d IS
    'runs, unfinished ones left out';
COMMENT ON COLUMN analytics.mv_top_agents.successful_runs_30d IS
    'runs that succeeded';
COMMENT ON COLUMN analytics.mv_top_agents.failed_runs_30d IS
    'runs that failed';
COMMENT ON COLUMN analytics.mv_top_agents.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.mv_top_agents.avg_runtime IS
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means); NULL without any';
COMMENT ON COLUMN analytics.mv_top_agents.median_runtime IS
    'their median, from the merged sketches (relative error 1 %); NULL without any';
COMMENT ON COLUMN analytics.mv_top_agents.total_credits_30d IS
    'credits of the runs';
COMMENT ON COLUMN analytics.mv_top_agents.unique_users_30d IS
    'distinct users with a run, over all days';
COMMENT ON COLUMN analytics.mv_top_agents.last_active_date IS
    'last day with a run';
COMMENT ON COLUMN analytics.mv_top_agents.rank IS
    'place within the workspace by runs, then agent_id';
COMMENT ON COLUMN analytics.mv_top_agents.success_rank IS
    'place within the workspace by success_rate_lower_bound, then runs, agent_id';
COMMENT ON COLUMN analytics.mv_top_agents.success_rate_lower_bound IS
    'Wilson''s lower bound of the success rate at 95 %, 0 to 1: few runs prove little; NULL without a successful or failed run';
COMMENT ON COLUMN analytics.mv_top_agents.agent_name IS
    'name of the agent in analytics.agents; NULL without one';
CREATE UNIQUE INDEX mv_top_agents_key ON analytics.mv_top_agents (workspace_id, agent_id);
COMMENT ON INDEX analytics.mv_top_agents_key IS
    'serves: the agents of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE MATERIALIZED VIEW analytics.mv_workspace_summary AS
WITH recent AS (
    SELECT d.*
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.daily_metrics AS d ON d.workspace_id = w.workspace_id
    WHERE d.metric_date BETWEEN w.last_date - 29 AND w.last_date
      AND d.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
), metrics AS (
    SELECT d.workspace_id, count(*) AS days_active, sum(d.active_users) AS user_days, sum(d.total_events) AS events,
           sum(d.total_errors) AS errors, sum(d.total_runs)::bigint AS runs, sum(d.successful_runs)::bigint AS successful,
           sum(d.failed_runs)::bigint AS failed, sum(d.total_credits_consumed) AS credits,
           sum(d.total_cost) AS cost, CASE WHEN count(DISTINCT d.currency) = 1 AND bool_or(d.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(d.currency) END AS currency,
           CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
           analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch
    FROM recent AS d GROUP BY d.workspace_id
), agents AS (
    SELECT p.workspace_id, count(DISTINCT p.agent_id) AS agents
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id
    WHERE p.metric_date BETWEEN w.last_date - 29 AND w.last_date AND p.total_runs > 0
      AND p.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
    GROUP BY p.workspace_id
), people AS (
    SELECT u.workspace_id, analytics.user_set_cardinality(analytics.user_set_union_agg(u.users)) AS users
    FROM analytics_internal.last_complete_days() AS w
    JOIN analytics.daily_users AS u ON u.workspace_id = w.workspace_id
    WHERE u.metric_date BETWEEN w.last_date - 29 AND w.last_date
      AND u.metric_date >= (now() AT TIME ZONE 'UTC')::date - 32
    GROUP BY u.workspace_id
)
SELECT w.workspace_id, coalesce(m.days_active, 0) AS days_active,
       coalesce((SELECT d.total_users FROM analytics.daily_metrics AS d
                 WHERE d.workspace_id = w.workspace_id AND d.metric_date <= w.last_date
                 ORDER BY d.metric_date DESC LIMIT 1), 0) AS total_users,
       round(coalesce(m.user_days, 0) / least(w.last_date - w.first_date + 1, 30), 2) AS avg_daily_active_users,
       coalesce(a.agents, 0) AS total_agents, coalesce(m.runs, 0) AS total_runs_30d,
       coalesce(m.successful, 0) AS successful_runs_30d, coalesce(m.failed, 0) AS failed_runs_30d,
       round(100.0 * m.successful / nullif(m.successful + m.failed, 0), 2) AS success_rate,
       coalesce(m.credits, 0) AS total_credits_30d, round(analytics.quantile_sketch_avg(m.sketch), 2) AS avg_runtime_30d,
       round(100.0 * m.errors / nullif(m.events, 0), 2) AS error_rate_30d,
       round(100.0 * m.failed / nullif(m.successful + m.failed, 0), 2) AS failure_rate_30d,
       CASE WHEN m.cost_reason IS NULL THEN m.cost END AS total_cost_30d, coalesce(p.users, 0) AS active_users_30d,
       m.currency, m.cost_reason
FROM analytics_internal.last_complete_days() AS w
LEFT JOIN metrics AS m ON m.workspace_id = w.workspace_id
LEFT JOIN agents AS a ON a.workspace_id = w.workspace_id
LEFT JOIN people AS p ON p.workspace_id = w.workspace_id
WHERE w.first_date <= w.last_date;
COMMENT ON MATERIALIZED VIEW analytics.mv_workspace_summary IS
    'each workspace over its last 30 complete days. Granted to nobody: read analytics.workspace_summary';
COMMENT ON COLUMN analytics.mv_workspace_summary.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_workspace_summary.days_active IS
    'days with an event, 0 to 30';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_users IS
    'users first seen on or before the last complete day';
COMMENT ON COLUMN analytics.mv_workspace_summary.avg_daily_active_users IS
    'mean of the daily active users over all 30 days, or over those since the workspace''s first event; days without one count as 0';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_agents IS
    'distinct agents with a run';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_runs_30d IS
    'runs, unfinished ones left out';
COMMENT ON COLUMN analytics.mv_workspace_summary.successful_runs_30d IS
    'runs that succeeded';
COMMENT ON COLUMN analytics.mv_workspace_summary.failed_runs_30d IS
    'runs that failed';
COMMENT ON COLUMN analytics.mv_workspace_summary.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_credits_30d IS
    'credits of runs and other events';
COMMENT ON COLUMN analytics.mv_workspace_summary.avg_runtime_30d IS
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means); NULL without any';
COMMENT ON COLUMN analytics.mv_workspace_summary.error_rate_30d IS
    '100 * errors / events; NULL without an event';
COMMENT ON COLUMN analytics.mv_workspace_summary.failure_rate_30d IS
    '100 * failed / (successful + failed) runs; NULL without either';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_cost_30d IS
    'cost; NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.mv_workspace_summary.currency IS
    'ISO 4217 code of the cost; NULL without any and where days have several';
COMMENT ON COLUMN analytics.mv_workspace_summary.cost_reason IS
    'why total_cost_30d is NULL: "several currencies" or "credits without a price"; NULL where it is not, or nothing had a cost or credits';
COMMENT ON COLUMN analytics.mv_workspace_summary.active_users_30d IS
    'distinct users over all days';
CREATE UNIQUE INDEX mv_workspace_summary_key ON analytics.mv_workspace_summary (workspace_id);
COMMENT ON INDEX analytics.mv_workspace_summary_key IS
    'serves: the summary of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

-- What tenants read.
-- OFFSET 0 keeps the planner from flattening the union, with which the barrier would be lost: a condition of the
-- reader's would see rows of others before they are filtered.
CREATE VIEW analytics.active_users WITH (security_barrier) AS
(SELECT v.activity_date, v.workspace_id, v.daily_active_users, v.weekly_active_users, v.monthly_active_users,
       v.stickiness
FROM analytics.mv_active_users AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.activity_date, v.workspace_id, v.daily_active_users, v.weekly_active_users, v.monthly_active_users,
       v.stickiness
FROM analytics.mv_active_users AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.active_users IS
    'analytics.mv_active_users of the caller''s workspaces, of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
COMMENT ON COLUMN analytics.active_users.activity_date IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.workspace_id IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.daily_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.weekly_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.monthly_active_users IS 'as in analytics.mv_active_users';
COMMENT ON COLUMN analytics.active_users.stickiness IS 'as in analytics.mv_active_users';

CREATE VIEW analytics.top_agents WITH (security_barrier) AS
(SELECT v.agent_id, v.workspace_id, v.total_runs_30d, v.successful_runs_30d, v.failed_runs_30d, v.success_rate,
       v.avg_runtime, v.median_runtime, v.total_credits_30d, v.unique_users_30d, v.last_active_date, v.rank,
       v.success_rank, v.success_rate_lower_bound, v.agent_name
FROM analytics.mv_top_agents AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.agent_id, v.workspace_id, v.total_runs_30d, v.successful_runs_30d, v.failed_runs_30d, v.success_rate,
       v.avg_runtime, v.median_runtime, v.total_credits_30d, v.unique_users_30d, v.last_active_date, v.rank,
       v.success_rank, v.success_rate_lower_bound, v.agent_name
FROM analytics.mv_top_agents AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.top_agents IS
    'analytics.mv_top_agents of the caller''s workspaces, of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
COMMENT ON COLUMN analytics.top_agents.agent_id IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.workspace_id IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.total_runs_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.successful_runs_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.failed_runs_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.success_rate IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.avg_runtime IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.median_runtime IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.total_credits_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.unique_users_30d IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.last_active_date IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.rank IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.success_rank IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.success_rate_lower_bound IS 'as in analytics.mv_top_agents';
COMMENT ON COLUMN analytics.top_agents.agent_name IS 'as in analytics.mv_top_agents';

CREATE VIEW analytics.workspace_summary WITH (security_barrier) AS
(SELECT v.workspace_id, v.days_active, v.total_users, v.avg_daily_active_users, v.total_agents, v.total_runs_30d,
       v.successful_runs_30d, v.failed_runs_30d, v.success_rate, v.total_credits_30d, v.avg_runtime_30d,
       v.error_rate_30d, v.failure_rate_30d, v.total_cost_30d, v.active_users_30d, v.currency,
       v.cost_reason
FROM analytics.mv_workspace_summary AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.workspace_id, v.days_active, v.total_users, v.avg_daily_active_users, v.total_agents, v.total_runs_30d,
       v.successful_runs_30d, v.failed_runs_30d, v.success_rate, v.total_credits_30d, v.avg_runtime_30d,
       v.error_rate_30d, v.failure_rate_30d, v.total_cost_30d, v.active_users_30d, v.currency,
       v.cost_reason
FROM analytics.mv_workspace_summary AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.workspace_summary IS
    'analytics.mv_workspace_summary of the caller''s workspaces, of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
COMMENT ON COLUMN analytics.workspace_summary.workspace_id IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.days_active IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_users IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.avg_daily_active_users IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_agents IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_runs_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.successful_runs_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.failed_runs_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.success_rate IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_credits_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.avg_runtime_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.error_rate_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.failure_rate_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.total_cost_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.active_users_30d IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.currency IS 'as in analytics.mv_workspace_summary';
COMMENT ON COLUMN analytics.workspace_summary.cost_reason IS 'as in analytics.mv_workspace_summary';

CREATE VIEW analytics.error_trends WITH (security_barrier) AS
(SELECT v.error_date, v.workspace_id, v.error_type, v.event_name, v.total_errors, v.unique_error_messages,
       v.sample_messages
FROM analytics.mv_error_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.error_date, v.workspace_id, v.error_type, v.event_name, v.total_errors, v.unique_error_messages,
       v.sample_messages
FROM analytics.mv_error_trends AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.error_trends IS
    'analytics.mv_error_trends of the caller''s workspaces, of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
COMMENT ON COLUMN analytics.error_trends.error_date IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.workspace_id IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.error_type IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.event_name IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.total_errors IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.unique_error_messages IS 'as in analytics.mv_error_trends';
COMMENT ON COLUMN analytics.error_trends.sample_messages IS 'as in analytics.mv_error_trends';

CREATE VIEW analytics.agent_usage_trends WITH (security_barrier) AS
(SELECT v.metric_date, v.agent_id, v.workspace_id, v.total_runs, v.successful_runs, v.failed_runs, v.success_rate,
       v.avg_runtime_seconds, v.total_credits, v.unique_users, v.wow_growth_rate, v.trend_direction, v.agent_name
FROM analytics.mv_agent_usage_trends AS v
WHERE v.workspace_id = ANY (analytics.workspace_ids()) OFFSET 0)
UNION ALL
(SELECT v.metric_date, v.agent_id, v.workspace_id, v.total_runs, v.successful_runs, v.failed_runs, v.success_rate,
       v.avg_runtime_seconds, v.total_credits, v.unique_users, v.wow_growth_rate, v.trend_direction, v.agent_name
FROM analytics.mv_agent_usage_trends AS v
WHERE analytics_internal.sees_all_workspaces() OFFSET 0);
COMMENT ON VIEW analytics.agent_usage_trends IS
    'analytics.mv_agent_usage_trends of the caller''s workspaces, of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
COMMENT ON COLUMN analytics.agent_usage_trends.agent_name IS 'as in analytics.mv_agent_usage_trends';

-- One view at a time: one that fails is reported and does not stop the others.
CREATE FUNCTION analytics_internal.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text, is_busy boolean)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off -- compiling the views' expressions takes longer than computing them
SET quote_all_identifiers = off -- PostgreSQL's REFRESH CONCURRENTLY fails with it
SET work_mem = '256MB'
SET default_statistics_target = 10 -- a refresh analyzes the new rows, and needs little more than their number
AS $$
DECLARE
    started timestamptz;
    populated boolean;
BEGIN
    PERFORM analytics_internal.refuse_distributed('refreshing the materialized views', 'Read the rollups and the functions over them.');
    -- Two refreshes at a time would only wait for each other, view by view.
    PERFORM analytics_internal.lock('views');
    FOR view, populated IN
        SELECT c.relname::text, c.relispopulated FROM pg_class AS c
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'm'
          AND c.relname IN ('mv_active_users', 'mv_top_agents', 'mv_workspace_summary', 'mv_error_trends', 'mv_agent_usage_trends')
        ORDER BY c.relname
    LOOP
        started := clock_timestamp();
        rows := NULL;
        error := NULL;
        is_busy := false;
        BEGIN
            EXECUTE format('REFRESH MATERIALIZED VIEW %s analytics.%I', CASE WHEN populated THEN 'CONCURRENTLY' ELSE '' END, view);
            EXECUTE format('SELECT count(*) FROM analytics.%I', view) INTO rows;
        EXCEPTION
            WHEN read_only_sql_transaction THEN
                RAISE; -- on a standby none can be refreshed
            WHEN OTHERS THEN
                error := SQLERRM || ' (' || SQLSTATE || ')';
                is_busy := SQLSTATE = '55P03';
        END;
        milliseconds := round(extract(epoch FROM clock_timestamp() - started) * 1000, 1);
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_all_materialized_views() IS
    'does the work of analytics.refresh_all_materialized_views() as the owner, without row security; is_busy: the view could not be locked';

CREATE FUNCTION analytics.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT r.view, r.rows, r.milliseconds, r.error FROM analytics_internal.refresh_all_materialized_views() AS r $$;
REVOKE EXECUTE ON FUNCTION analytics.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics.refresh_all_materialized_views() IS
    'refreshes the materialized views mv_active_users, mv_top_agents, mv_workspace_summary, mv_error_trends and mv_agent_usage_trends, each on its own: concurrently where it is populated, plainly where not. One row per view: rows afterwards, milliseconds, and the error of one that failed (the others are refreshed all the same). Waits for another refresh in progress';
