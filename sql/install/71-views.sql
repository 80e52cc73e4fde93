-- Materialized views over the rollups, never over raw events. They know no row security, so they are granted to
-- nobody; tenants read the security-barrier views below. A window is the workspace's own last 30 complete local
-- days. Each has a unique index on plain columns: REFRESH MATERIALIZED VIEW CONCURRENTLY works on all of them.
-- REFRESH CONCURRENTLY sorts whole rows, column by column, to find equal ones: rows that come in that order cost
-- half, so the key's columns are the first ones and the rows come in their order. analytics.refresh_all_materialized_views()
-- computes and writes only what has changed, below.
-- The bound by now(), wide enough for every time zone, lets the planner and the index by date leave out history; as a
-- subquery it is computed once and not for each row.

-- In one pass: workspaces that have a time zone and nothing else are to cost next to nothing.
CREATE FUNCTION analytics_internal.todays(at timestamptz DEFAULT now()) RETURNS TABLE (workspace_id uuid, today date)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (s.workspace_id) s.workspace_id,
           (todays.at AT TIME ZONE CASE WHEN s.valid_from <= todays.at THEN s.time_zone ELSE 'UTC' END)::date
    FROM analytics.workspace_settings AS s
    ORDER BY s.workspace_id, s.valid_from <= todays.at DESC, s.valid_from DESC;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.todays(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.todays(timestamptz) IS
    'analytics.workspace_today() of the workspaces with a time zone; the others have that of NULL';

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
    SELECT f.workspace_id, f.metric_date, coalesce(t.today, (SELECT analytics.workspace_today(NULL))) - 1
    FROM first_day AS f LEFT JOIN analytics_internal.todays() AS t ON t.workspace_id = f.workspace_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.last_complete_days() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.last_complete_days() IS
    'every workspace with a daily rollup, its first day and its last complete local day';

-- The planner takes a function's rows for repeated, and would put the rollups into the hash table of a join with
-- them: DISTINCT ON tells that each workspace comes once.
-- What a view shows it takes from a function of these workspaces and days, so that a refresh can compute a part.
CREATE FUNCTION analytics_internal.shown_days(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, first_date date, last_date date, from_date date)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF workspace_ids IS NULL THEN
        RETURN QUERY SELECT w.*, date '-infinity' FROM analytics_internal.last_complete_days() AS w;
    ELSE
        RETURN QUERY
        SELECT s.workspace_id, f.first_date, coalesce(t.today, (SELECT analytics.workspace_today(NULL))) - 1, s.from_date
        FROM unnest(workspace_ids, from_dates) AS s (workspace_id, from_date)
        LEFT JOIN analytics_internal.todays() AS t ON t.workspace_id = s.workspace_id
        CROSS JOIN LATERAL (SELECT min(d.metric_date) FROM analytics.daily_metrics AS d
                            WHERE d.workspace_id = s.workspace_id) AS f (first_date)
        WHERE f.first_date IS NOT NULL;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.shown_days(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.shown_days(uuid[], date[]) IS
    'analytics_internal.last_complete_days() of these workspaces, with the first day to compute of each. NULL: of all, and every day';

-- The table and not its view daily_errors, which workers of Citus do not have.
CREATE FUNCTION analytics_internal.error_trends(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, error_date date, error_type text, event_name text, total_errors bigint, unique_error_messages bigint, sample_messages text[])
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.workspace_id, t.metric_date AS error_date, t.error_type, e.event_name, e.errors AS total_errors,
           cardinality(e.message_hashes)::bigint AS unique_error_messages, e.sample_messages
    FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM analytics_internal.shown_days(workspace_ids, from_dates) AS s ORDER BY s.workspace_id) AS w
    JOIN analytics.daily_error_types AS t ON t.workspace_id = w.workspace_id
    CROSS JOIN LATERAL unnest(t.errors) AS e
    WHERE t.metric_date >= greatest(w.last_date - 29, w.from_date) AND t.metric_date <= w.last_date
      AND t.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
    ORDER BY t.workspace_id, t.metric_date, t.error_type COLLATE "C", e.event_name COLLATE "C";
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.error_trends(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.error_trends(uuid[], date[]) IS
    'rows of analytics.mv_error_trends: of these workspaces those of a first day and later; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_error_trends AS
SELECT * FROM analytics_internal.error_trends(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_error_trends IS
    'errors by day, type and event name over the last 30 complete days. Error events and failed runs without one. Granted to nobody: read analytics.error_trends';
COMMENT ON COLUMN analytics.mv_error_trends.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_error_trends.error_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.mv_error_trends.error_type IS
    'error type. Unknown where it was missing, (other) beyond the 1,000 most frequent pairs with event_name';
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

CREATE FUNCTION analytics_internal.agent_usage(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (metric_date date, agent_id uuid, workspace_id uuid, total_runs bigint, successful_runs bigint, failed_runs bigint,
               success_rate numeric, avg_runtime_seconds numeric, total_credits numeric, unique_users bigint,
               week_ago bigint, this_week bigint, week_before bigint)
LANGUAGE c STABLE ROWS 100000
AS 'MODULE_PATHNAME', 'shadow_agent_usage';
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_usage(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_usage(uuid[], date[]) IS
    'agent_performance of the last 30 complete days, days without a row filled in from an agent''s first day on, with the runs of the day a week ago, of the 7 days up to the row''s and of the 7 before; agents without a row in 43 days are left out. One pass over 43 days of rollups. Of these workspaces those of a first day and later, by the 13 days before it: agents without a row in these are left out; NULL: all';

CREATE FUNCTION analytics_internal.agent_usage_trends(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, agent_id uuid, metric_date date, total_runs bigint, successful_runs bigint, failed_runs bigint, success_rate numeric,
               avg_runtime_seconds numeric, total_credits numeric, unique_users bigint, wow_growth_rate numeric, trend_direction text,
               agent_name text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT u.workspace_id, u.agent_id, u.metric_date, u.total_runs, u.successful_runs, u.failed_runs, u.success_rate,
           u.avg_runtime_seconds, u.total_credits, u.unique_users,
           analytics.growth_rate(u.total_runs, u.week_ago) AS wow_growth_rate,
           analytics.trend_direction(u.this_week, u.week_before) AS trend_direction,
           n.name AS agent_name
    FROM analytics_internal.agent_usage(workspace_ids, from_dates) AS u
    LEFT JOIN analytics.agents AS n ON n.workspace_id = u.workspace_id AND n.agent_id = u.agent_id;
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_usage_trends(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_usage_trends(uuid[], date[]) IS
    'rows of analytics.mv_agent_usage_trends as analytics_internal.agent_usage() has them';

CREATE MATERIALIZED VIEW analytics.mv_agent_usage_trends AS
SELECT * FROM analytics_internal.agent_usage_trends(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_agent_usage_trends IS
    'every agent on every one of the last 30 complete days from its first day on. Also days without a run; agents without activity for 6 weeks are left out. Granted to nobody: read analytics.agent_usage_trends';
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
    '100 * (runs - runs 7 calendar days before) / runs 7 days before. NULL where that is 0 or before the agent''s first day';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.trend_direction IS
    'the 7 days up to this one against the 7 before: growing, declining, stable (within 5 %), new';
COMMENT ON COLUMN analytics.mv_agent_usage_trends.agent_name IS
    'name of the agent in analytics.agents; NULL without one';
CREATE UNIQUE INDEX mv_agent_usage_trends_key ON analytics.mv_agent_usage_trends (workspace_id, agent_id, metric_date);
COMMENT ON INDEX analytics.mv_agent_usage_trends_key IS
    'serves: the days of an agent, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE FUNCTION analytics_internal.active_users(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint, stickiness numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT w.workspace_id, u.activity_date, u.daily_active_users, u.weekly_active_users, u.monthly_active_users,
           round(100.0 * u.daily_active_users / nullif(u.monthly_active_users, 0), 2) AS stickiness
    FROM (SELECT analytics.setting('active_users_days')::integer AS days) AS s
    CROSS JOIN analytics_internal.shown_days(workspace_ids, from_dates) AS w
    CROSS JOIN LATERAL analytics_internal.trailing_users(w.workspace_id, greatest(w.first_date, w.last_date - s.days + 1, w.from_date), w.last_date) AS u
    WHERE EXISTS (SELECT FROM analytics.daily_users AS d
                  WHERE d.workspace_id = w.workspace_id AND d.metric_date > w.last_date - s.days - 29 AND d.metric_date <= w.last_date);
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.active_users(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.active_users(uuid[], date[]) IS
    'rows of analytics.mv_active_users: of these workspaces those of a first day and later; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_active_users AS
SELECT * FROM analytics_internal.active_users(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_active_users IS
    'active users of the last complete days of each workspace, from its first event on. As many days as the setting active_users_days, also dates without any; a workspace without users in that time has none. Granted to nobody: read analytics.active_users';
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

CREATE FUNCTION analytics_internal.top_agents(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (agent_id uuid, workspace_id uuid, total_runs_30d bigint, successful_runs_30d bigint, failed_runs_30d bigint, success_rate numeric,
               avg_runtime numeric, median_runtime numeric, total_credits_30d numeric, unique_users_30d bigint, last_active_date date,
               rank bigint, success_rank bigint, success_rate_lower_bound numeric, agent_name text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH agent AS (
        -- In the order of agents: a state for each of them at once would not fit into the processor's cache, nor into
        -- work_mem.
        SELECT p.agent_id, p.workspace_id, sum(p.total_runs)::bigint AS total_runs_30d,
               sum(p.successful_runs)::bigint AS successful_runs_30d, sum(p.failed_runs)::bigint AS failed_runs_30d,
               analytics.quantile_sketch_merge(p.runtime_sketch) AS sketch, sum(p.total_credits) AS total_credits_30d,
               analytics.user_set_cardinality(analytics.user_set_union_agg(p.users)) AS unique_users_30d,
               max(p.metric_date) FILTER (WHERE p.total_runs > 0) AS last_active_date
        FROM (SELECT d.workspace_id, d.agent_id, d.metric_date, d.total_runs, d.successful_runs, d.failed_runs, d.total_credits,
                     d.runtime_sketch, d.users
              FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM analytics_internal.shown_days(workspace_ids, from_dates) AS s ORDER BY s.workspace_id) AS w
              JOIN analytics.agent_performance AS d ON d.workspace_id = w.workspace_id
              WHERE d.metric_date >= w.last_date - 29 AND d.metric_date <= w.last_date
                AND d.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
              ORDER BY d.workspace_id, d.agent_id) AS p
        GROUP BY p.workspace_id, p.agent_id
        HAVING sum(p.total_runs) > 0
    ), bound AS (
        SELECT a.*, analytics_internal.wilson_lower_bound(a.successful_runs_30d, a.successful_runs_30d + a.failed_runs_30d) AS success_rate_lower_bound
        FROM agent AS a
    )
    SELECT b.agent_id, b.workspace_id, b.total_runs_30d, b.successful_runs_30d, b.failed_runs_30d,
           round(100.0 * b.successful_runs_30d / nullif(b.successful_runs_30d + b.failed_runs_30d, 0), 2) AS success_rate,
           round(analytics.quantile_sketch_avg(b.sketch), 2) AS avg_runtime,
           round(analytics.quantile(b.sketch, 0.5, true)::numeric, 2) AS median_runtime,
           b.total_credits_30d, b.unique_users_30d, b.last_active_date,
           row_number() OVER (PARTITION BY b.workspace_id ORDER BY b.total_runs_30d DESC, b.agent_id) AS rank,
           row_number() OVER (PARTITION BY b.workspace_id
                              ORDER BY b.success_rate_lower_bound DESC NULLS LAST, b.total_runs_30d DESC, b.agent_id) AS success_rank,
           b.success_rate_lower_bound, n.name AS agent_name
    FROM bound AS b
    LEFT JOIN analytics.agents AS n ON n.workspace_id = b.workspace_id AND n.agent_id = b.agent_id;
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.top_agents(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.top_agents(uuid[], date[]) IS
    'rows of analytics.mv_top_agents: of these workspaces, whatever the days; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_top_agents AS
SELECT * FROM analytics_internal.top_agents(NULL, NULL);
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
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means). NULL without any';
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
    'Wilson''s lower bound of the success rate at 95 %, 0 to 1: few runs prove little. NULL without a successful or failed run';
COMMENT ON COLUMN analytics.mv_top_agents.agent_name IS
    'name of the agent in analytics.agents; NULL without one';
CREATE UNIQUE INDEX mv_top_agents_key ON analytics.mv_top_agents (workspace_id, agent_id);
COMMENT ON INDEX analytics.mv_top_agents_key IS
    'serves: the agents of a workspace, and REFRESH MATERIALIZED VIEW CONCURRENTLY';

CREATE FUNCTION analytics_internal.workspace_summary(workspace_ids uuid[], from_dates date[])
RETURNS TABLE (workspace_id uuid, days_active bigint, total_users bigint, avg_daily_active_users numeric, total_agents bigint, total_runs_30d bigint,
               successful_runs_30d bigint, failed_runs_30d bigint, success_rate numeric, total_credits_30d numeric, avg_runtime_30d numeric,
               error_rate_30d numeric, failure_rate_30d numeric, total_cost_30d numeric, active_users_30d bigint,
                currency text, cost_reason text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH shown AS MATERIALIZED (
        SELECT s.* FROM analytics_internal.shown_days(workspace_ids, from_dates) AS s
    ), recent AS (
        SELECT d.*
        FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM shown AS s ORDER BY s.workspace_id) AS w
        JOIN analytics.daily_metrics AS d ON d.workspace_id = w.workspace_id
        WHERE d.metric_date >= w.last_date - 29 AND d.metric_date <= w.last_date
          AND d.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
    ), metrics AS (
        SELECT d.workspace_id, count(*) AS days_active, sum(d.active_users) AS user_days, sum(d.total_events) AS events,
               sum(d.total_errors) AS errors, sum(d.total_runs)::bigint AS runs, sum(d.successful_runs)::bigint AS successful,
               sum(d.failed_runs)::bigint AS failed, sum(d.total_credits_consumed) AS credits,
               sum(d.total_cost) AS cost,
               CASE WHEN count(DISTINCT d.currency) = 1 AND bool_or(d.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(d.currency) END AS currency,
               CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
               analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch
        FROM recent AS d GROUP BY d.workspace_id
    ), agents AS (
        -- From the index alone, and one row of each agent: with all rows this was most of the view's time.
        SELECT a.workspace_id, count(*) AS agents
        FROM (SELECT DISTINCT p.workspace_id, p.agent_id, w.last_date
              FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM shown AS s ORDER BY s.workspace_id) AS w
              JOIN analytics.agent_performance AS p ON p.workspace_id = w.workspace_id
              WHERE p.metric_date >= w.last_date - 29 AND p.metric_date <= w.last_date
                AND p.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)) AS a
        WHERE EXISTS (SELECT FROM analytics.agent_performance AS p
                      WHERE p.workspace_id = a.workspace_id AND p.agent_id = a.agent_id
                        AND p.metric_date >= a.last_date - 29 AND p.metric_date <= a.last_date AND p.total_runs > 0)
        GROUP BY a.workspace_id
    ), people AS (
        SELECT u.workspace_id, analytics.user_set_cardinality(analytics.user_set_union_agg(u.users)) AS users
        FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM shown AS s ORDER BY s.workspace_id) AS w
        JOIN analytics.daily_users AS u ON u.workspace_id = w.workspace_id
        WHERE u.metric_date >= w.last_date - 29 AND u.metric_date <= w.last_date
          AND u.metric_date >= (SELECT (now() AT TIME ZONE 'UTC')::date - 32)
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
    FROM shown AS w
    LEFT JOIN metrics AS m ON m.workspace_id = w.workspace_id
    LEFT JOIN agents AS a ON a.workspace_id = w.workspace_id
    LEFT JOIN people AS p ON p.workspace_id = w.workspace_id
    WHERE w.first_date <= w.last_date;
END;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_summary(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_summary(uuid[], date[]) IS
    'rows of analytics.mv_workspace_summary: of these workspaces, whatever the days; NULL: all';

CREATE MATERIALIZED VIEW analytics.mv_workspace_summary AS
SELECT * FROM analytics_internal.workspace_summary(NULL, NULL);
COMMENT ON MATERIALIZED VIEW analytics.mv_workspace_summary IS
    'each workspace over its last 30 complete days. Granted to nobody: read analytics.workspace_summary';
COMMENT ON COLUMN analytics.mv_workspace_summary.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.mv_workspace_summary.days_active IS
    'days with an event, 0 to 30';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_users IS
    'users first seen on or before the last complete day';
COMMENT ON COLUMN analytics.mv_workspace_summary.avg_daily_active_users IS
    'mean of the daily active users over all 30 days, or over those since the workspace''s first event. Days without one count as 0';
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
    'mean runtime in seconds of all runs that were not cancelled and have one (not of daily means). NULL without any';
COMMENT ON COLUMN analytics.mv_workspace_summary.error_rate_30d IS
    '100 * errors / events; NULL without an event';
COMMENT ON COLUMN analytics.mv_workspace_summary.failure_rate_30d IS
    '100 * failed / (successful + failed) runs; NULL without either';
COMMENT ON COLUMN analytics.mv_workspace_summary.total_cost_30d IS
    'cost; NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.mv_workspace_summary.currency IS
    'ISO 4217 code of the cost; NULL without any and where days have several';
COMMENT ON COLUMN analytics.mv_workspace_summary.cost_reason IS
    'why total_cost_30d is NULL: "several currencies" or "credits without a price". NULL where it is not, or nothing had a cost or credits';
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
    'analytics.mv_active_users of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
    'analytics.mv_top_agents of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
    'analytics.mv_workspace_summary of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
    'analytics.mv_error_trends of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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
    'analytics.mv_agent_usage_trends of the caller''s workspaces. Of all to whoever sees them all (analytics_internal.sees_all_workspaces())';
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

-- What a refresh computes.

-- A change touches the rows of its day and later ones: a week's runs, a month's users, the days that an agent without
-- runs still has. Days before the window can do so too, as an agent's or a workspace's first ones.
CREATE FUNCTION analytics_internal.view_scope(view text, basis text, OUT workspace_ids uuid[], OUT from_dates date[], OUT is_everything boolean)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT array_agg(c.workspace_id ORDER BY c.workspace_id) FILTER (WHERE c.is_shown),
       array_agg(CASE WHEN c.from_date <= c.last_date - c.days + 1 OR c.was_left_out THEN '-infinity' ELSE c.from_date END
                 ORDER BY c.workspace_id) FILTER (WHERE c.is_shown),
       coalesce(bool_or(c.workspace_id IS NULL), false)
FROM (SELECT r.*, w.last_date, r.workspace_id IS NOT NULL AND r.from_date <= w.last_date AS is_shown,
             CASE view WHEN 'mv_active_users' THEN analytics.setting('active_users_days')::integer ELSE 30 END AS days,
             -- for want of users, and may have some now
             view = 'mv_active_users' AND NOT EXISTS (SELECT FROM analytics.mv_active_users AS v WHERE v.workspace_id = r.workspace_id
                                                      AND v.activity_date = r.from_date - 1) AS was_left_out
      FROM analytics_internal.read_changes(view, basis, view IN ('mv_top_agents', 'mv_agent_usage_trends')) AS r
      LEFT JOIN analytics_internal.todays() AS t ON t.workspace_id = r.workspace_id
      CROSS JOIN LATERAL (SELECT coalesce(t.today, (SELECT analytics.workspace_today(NULL))) - 1 AS last_date) AS w) AS c
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.view_scope(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.view_scope(text, text) IS
    'what has changed for a view since it was last refreshed: workspaces and the first day of each, -infinity: all that are shown; is_everything: it is to be computed as a whole';

-- $1 and $2: workspaces and their first days. The rows that the view has of them are compared with those it should
-- have, by its key. Rows of days that have left the window go, and all of a workspace that is not shown any more.
CREATE FUNCTION analytics_internal.view_differences(view text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT format($query$
WITH scope AS MATERIALIZED (
    SELECT s.workspace_id, s.from_date, w.last_date, coalesce(%3$s, 'infinity') AS first_shown
    FROM unnest($1, $2) AS s (workspace_id, from_date)
    LEFT JOIN analytics_internal.shown_days($1, $2) AS w ON w.workspace_id = s.workspace_id
), %4$s
SELECT o.place, CASE WHEN n.workspace_id IS NOT NULL THEN ROW(n.*)::analytics.%1$I END
FROM fresh AS n
FULL JOIN (%5$s) AS o
    ON %2$s
WHERE o.place IS NULL OR n.workspace_id IS NULL OR ROW(n.*)::analytics.%1$I *<> ROW(%6$s)::analytics.%1$I
$query$, view,
    (SELECT string_agg(format('n.%1$I = o.%1$I', k.name), ' AND ') FROM unnest(v.keys) AS k (name)),
    v.first_shown, v.fresh,
    CASE WHEN view = 'mv_agent_usage_trends' THEN 'TABLE old'
         ELSE format('SELECT v.ctid AS place, v.* FROM analytics.%I AS v JOIN scope AS s ON s.workspace_id = v.workspace_id WHERE ', view)
              || CASE WHEN v.day IS NULL THEN 'true' ELSE format('v.%1$I >= s.from_date OR v.%1$I < s.first_shown', v.day) END END,
    (SELECT string_agg(format('o.%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
     WHERE a.attrelid = format('analytics.%I', view)::regclass AND a.attnum > 0))
FROM (VALUES
    ('mv_error_trends', 'error_date', '{workspace_id,error_date,error_type,event_name}'::text[], 'w.last_date - 29',
     'fresh AS (SELECT * FROM analytics_internal.error_trends($1, $2))'),
    ('mv_active_users', 'activity_date', '{workspace_id,activity_date}',
     $days$(SELECT CASE WHEN EXISTS (SELECT FROM analytics.daily_users AS d WHERE d.workspace_id = s.workspace_id
                                     AND d.metric_date > w.last_date - x.days - 29 AND d.metric_date <= w.last_date)
                        THEN greatest(w.first_date, w.last_date - x.days + 1) END
            FROM (SELECT analytics.setting('active_users_days')::integer) AS x (days))$days$,
     'fresh AS (SELECT * FROM analytics_internal.active_users($1, $2))'),
    ('mv_top_agents', NULL, '{workspace_id,agent_id}', 'NULL::date',
     'fresh AS (SELECT * FROM analytics_internal.top_agents($1, $2))'),
    ('mv_workspace_summary', NULL, '{workspace_id}', 'NULL::date',
     'fresh AS (SELECT * FROM analytics_internal.workspace_summary($1, $2))'),
    -- Days without runs of agents that were shown the day before the first one (before) and those that were not:
    -- without a row in the days that are read, until the last one is 43 days old; back after such a time. DISTINCT ON
    -- tells the planner that a workspace comes once.
    ('mv_agent_usage_trends', 'metric_date', '{workspace_id,agent_id,metric_date}', 'w.last_date - 29',
     $idle$running AS MATERIALIZED (SELECT * FROM analytics_internal.agent_usage_trends($1, $2)
    ), near AS MATERIALIZED (
        SELECT v.ctid AS place, v.*, s.from_date, s.first_shown, s.last_date
        FROM (SELECT DISTINCT ON (d.workspace_id) d.* FROM scope AS d ORDER BY d.workspace_id) AS s
        JOIN analytics.mv_agent_usage_trends AS v ON v.workspace_id = s.workspace_id
        WHERE v.metric_date >= s.from_date - 1 OR v.metric_date < s.first_shown
    ), before AS MATERIALIZED (
        SELECT v.workspace_id, v.agent_id, v.from_date, v.first_shown, v.last_date
        FROM near AS v WHERE v.metric_date = v.from_date - 1 AND isfinite(v.from_date)
    ), idle AS MATERIALIZED (
        SELECT b.*, (SELECT max(p.metric_date) FROM analytics.agent_performance AS p
                     WHERE p.workspace_id = b.workspace_id AND p.agent_id = b.agent_id
                       AND p.metric_date BETWEEN b.last_date - 42 AND b.last_date) AS last_row
        FROM before AS b
        WHERE NOT EXISTS (SELECT FROM running AS r WHERE r.workspace_id = b.workspace_id AND r.agent_id = b.agent_id)
    ), old AS (
        SELECT v.* FROM near AS v WHERE v.metric_date >= v.from_date OR v.metric_date < v.first_shown
        UNION ALL
        SELECT v.ctid, v.*, i.from_date, i.first_shown, i.last_date
        FROM idle AS i JOIN analytics.mv_agent_usage_trends AS v ON v.workspace_id = i.workspace_id AND v.agent_id = i.agent_id
        WHERE i.last_row IS NULL AND v.metric_date < i.from_date AND v.metric_date >= i.first_shown
    ), empty AS (
        SELECT i.workspace_id, i.agent_id, i.from_date, i.last_date FROM idle AS i WHERE i.last_row IS NOT NULL
        UNION ALL
        SELECT r.workspace_id, r.agent_id, s.first_shown, s.from_date - 1
        FROM scope AS s JOIN running AS r ON r.workspace_id = s.workspace_id AND r.metric_date = s.last_date
        WHERE isfinite(s.from_date)
          AND NOT EXISTS (SELECT FROM before AS b WHERE b.workspace_id = r.workspace_id AND b.agent_id = r.agent_id)
          AND EXISTS (SELECT FROM analytics.agent_performance AS p WHERE p.workspace_id = r.workspace_id
                      AND p.agent_id = r.agent_id AND p.metric_date < s.from_date)
    ), fresh AS (
        SELECT * FROM running
        UNION ALL
        SELECT e.workspace_id, e.agent_id, e.from_date + d, 0, 0, 0, NULL, NULL, 0, 0,
               analytics.growth_rate(0, 0), analytics.trend_direction(0, 0), a.name
        FROM empty AS e CROSS JOIN LATERAL generate_series(0, e.last_date - e.from_date) AS d
        LEFT JOIN analytics.agents AS a ON a.workspace_id = e.workspace_id AND a.agent_id = e.agent_id
    )$idle$)) AS v (name, day, keys, first_shown, fresh)
WHERE v.name = view
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.view_differences(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.view_differences(text) IS
    'query for the differences between a view and what it should hold: ctid of a row that goes, row that comes. $1, $2: workspaces and their first days';

CREATE FUNCTION analytics_internal.write_view_changes(view regclass, differences text, workspace_ids uuid[], from_dates date[]) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'shadow_write_view_changes';
REVOKE EXECUTE ON FUNCTION analytics_internal.write_view_changes(regclass, text, uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.write_view_changes(regclass, text, uuid[], date[]) IS
    'writes into a populated materialized view of the caller''s: deletes and inserts what the query (ctid, row; $1 and $2 are the arrays) says, under the lock of REFRESH MATERIALIZED VIEW CONCURRENTLY; how many rows. Another relation is an error (42809), another owner''s too (42501)';

-- In a cell of Citus the view is a table. All of the DELETE comes before the first row of the INSERT, which needs the
-- count.
CREATE FUNCTION analytics_internal.write_table_changes(view text, workspace_ids uuid[], from_dates date[]) RETURNS void
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('WITH change (place, fresh) AS MATERIALIZED (%s), gone AS (DELETE FROM analytics.%I AS v USING change AS c WHERE v.ctid = c.place RETURNING 1)
                    INSERT INTO analytics.%2$I
                    SELECT (c.fresh).* FROM (SELECT count(*) AS rows FROM gone) AS g, change AS c WHERE g.rows >= 0 AND (c.fresh).workspace_id IS NOT NULL',
                   analytics_internal.view_differences(view), view)
    USING workspace_ids, from_dates;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.write_table_changes(text, uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.write_table_changes(text, uuid[], date[]) IS
    'analytics_internal.write_view_changes() for a table in place of a view';

CREATE FUNCTION analytics_internal.refresh_view(view text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known CONSTANT record := (SELECT c FROM pg_class AS c WHERE c.oid = format('analytics.%I', view)::regclass);
    basis text := (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'shadow_analytics')
        || CASE view WHEN 'mv_active_users' THEN ' ' || analytics.setting('active_users_days') ELSE '' END;
    scope record;
BEGIN
    IF NOT known.relispopulated THEN
        PERFORM analytics_internal.read_changes(view, basis, false);
        EXECUTE format('REFRESH MATERIALIZED VIEW analytics.%I', view);
        RETURN;
    END IF;
    SELECT s.* INTO scope FROM analytics_internal.view_scope(view, basis) AS s;
    IF known.relkind = 'm' AND scope.is_everything THEN
        EXECUTE format('REFRESH MATERIALIZED VIEW CONCURRENTLY analytics.%I', view);
    ELSIF known.relkind = 'm' THEN
        PERFORM analytics_internal.write_view_changes(format('analytics.%I', view)::regclass, analytics_internal.view_differences(view),
                                                      scope.workspace_ids, scope.from_dates);
    ELSIF scope.is_everything THEN
        EXECUTE format('DELETE FROM analytics.%I', view);
        EXECUTE format('INSERT INTO analytics.%I SELECT * FROM analytics_internal.%I(NULL, NULL)', view, substr(view, 4));
    ELSE
        PERFORM analytics_internal.write_table_changes(view, scope.workspace_ids, scope.from_dates);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_view(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_view(text) IS
    'brings a materialized view up to date: the workspaces whose rollups or days have changed since it last did, else as a whole, concurrently where it is populated';

-- One view at a time: one that fails is reported and does not stop the others.
CREATE FUNCTION analytics_internal.refresh_all_materialized_views(is_counting boolean)
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
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY
        SELECT r.view, sum(r.rows)::bigint, max(r.milliseconds), string_agg(DISTINCT r.error, '; '), bool_or(r.is_busy)
        FROM analytics_internal.rows_of_cells(format('SELECT * FROM analytics_internal.refresh_all_materialized_views(%L)', is_counting))
                 AS found (row),
             jsonb_to_record(found.row) AS r (view text, rows bigint, milliseconds numeric, error text, is_busy boolean)
        GROUP BY r.view ORDER BY r.view;
        RETURN;
    END IF;
    -- Two refreshes at a time would only wait for each other, view by view.
    PERFORM analytics_internal.lock('views');
    FOR view IN
        SELECT c.relname::text FROM pg_class AS c
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('m', 'r') -- on Citus tables
          AND c.relname IN ('mv_active_users', 'mv_top_agents', 'mv_workspace_summary', 'mv_error_trends', 'mv_agent_usage_trends')
        ORDER BY c.relname
    LOOP
        started := clock_timestamp();
        rows := NULL;
        error := NULL;
        is_busy := false;
        BEGIN
            PERFORM analytics_internal.refresh_view(view);
            IF is_counting THEN
                EXECUTE format('SELECT count(*) FROM analytics.%I', view) INTO rows;
            END IF;
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
REVOKE EXECUTE ON FUNCTION analytics_internal.refresh_all_materialized_views(boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refresh_all_materialized_views(boolean) IS
    'does the work of analytics.refresh_all_materialized_views() as the owner, without row security; rows only if is_counting, as a count reads the whole view; is_busy: the view could not be locked';

CREATE FUNCTION analytics.refresh_all_materialized_views()
RETURNS TABLE (view text, rows bigint, milliseconds numeric, error text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT r.view, r.rows, r.milliseconds, r.error FROM analytics_internal.refresh_all_materialized_views(true) AS r $$;
REVOKE EXECUTE ON FUNCTION analytics.refresh_all_materialized_views() FROM PUBLIC;
COMMENT ON FUNCTION analytics.refresh_all_materialized_views() IS
    'refreshes the five materialized views mv_*, each on its own, as far as rollups have changed. Of workspaces whose rollups have changed or whose day has ended since the last call, from that day on; as a whole the first time and after REFRESH ... WITH NO DATA. One row per view: rows afterwards, milliseconds, and the error of one that failed (the others are refreshed all the same). Waits for another refresh in progress';
