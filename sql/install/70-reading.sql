-- Reading: functions over the rollups. They run as the caller, so row security decides which workspaces count.

-- Functions that a refresh calls per row are not STRICT: PostgreSQL would not inline them.

-- Wilson (1927), J. Am. Stat. Assoc. 22(158):209-212: lower end of the score interval,
-- (p + z^2/2n - z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.959964.
CREATE FUNCTION analytics_internal.wilson_lower_bound(successes bigint, trials bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN trials > 0 AND successes BETWEEN 0 AND trials THEN
    round(((successes + 1.920729410347062
            - 1.959963984540054 * sqrt(successes::double precision * (trials - successes) / trials + 0.960364705173531))
           / (trials + 3.841458820694124))::numeric, 4)
END;
COMMENT ON FUNCTION analytics_internal.wilson_lower_bound(bigint, bigint) IS
    'lower bound of a rate at 95 % (Wilson 1927), 0 to 1, 4 decimals: ranks 98 of 100 (0.9300) above 1 of 1 (0.2065). NULL without a trial, for counts that are no rate and for NULL';

CREATE FUNCTION analytics.trend_direction(current_total bigint, previous_total bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN current_total IS NULL OR previous_total IS NULL THEN NULL
    WHEN previous_total = 0 AND current_total > 0 THEN 'new'
    WHEN 100 * current_total > 105 * previous_total THEN 'growing'
    WHEN 100 * current_total < 95 * previous_total THEN 'declining'
    ELSE 'stable'
END;
COMMENT ON FUNCTION analytics.trend_direction(bigint, bigint) IS
    'growing or declining where the totals of two periods of equal length differ by more than 5 %. Else stable; new where the previous one is 0 and the current one is not; NULL for NULL';

CREATE FUNCTION analytics.growth_rate(current_value numeric, previous_value numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(100 * (current_value - previous_value) / nullif(previous_value, 0), 2);
COMMENT ON FUNCTION analytics.growth_rate(numeric, numeric) IS
    'growth from the previous to the current value in percent, 2 decimals. NULL where the previous one is 0 or either is NULL';

CREATE FUNCTION analytics.get_workspace_metrics(
    workspace_id uuid,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL,
    fill_gaps boolean DEFAULT false)
RETURNS TABLE (
    metric_date date,
    active_users bigint,
    total_runs bigint,
    successful_runs bigint,
    failed_runs bigint,
    success_rate numeric,
    total_credits numeric,
    avg_runtime numeric,
    unique_agents bigint,
    total_sessions bigint,
    total_events bigint,
    total_errors bigint,
    error_rate numeric,
    total_cost numeric,
    is_final boolean,
    currency text,
    cost_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- always the key's range: planning would take as long as reading
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date date := coalesce(start_date, last_date - 29);
BEGIN
    IF first_date > last_date THEN
        RAISE EXCEPTION 'start_date must not be later than end_date'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Both days are included; left out, they are the last 30 complete days.';
    END IF;
    IF fill_gaps AND NOT (isfinite(first_date) AND isfinite(last_date)) THEN
        RAISE EXCEPTION 'cannot fill the gaps of an infinite range'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give finite dates, or leave fill_gaps out.';
    ELSIF fill_gaps AND last_date - first_date >= 36525 THEN
        RAISE EXCEPTION 'too many days'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('The call asks for %s.', last_date - first_date + 1),
                  HINT = 'At most 36525 are allowed; ask for shorter ranges, or leave fill_gaps out.';
    END IF;

    RETURN QUERY
    SELECT d.metric_date, d.active_users, d.total_runs, d.successful_runs, d.failed_runs, d.success_rate::numeric,
           d.total_credits_consumed, d.avg_runtime_seconds, d.unique_agents_run, d.total_sessions, d.total_events,
           d.total_errors, d.error_rate::numeric, d.total_cost, d.is_final, d.currency, d.cost_reason
    FROM analytics.daily_metrics AS d
    WHERE d.workspace_id = get_workspace_metrics.workspace_id AND d.metric_date BETWEEN first_date AND last_date
    UNION ALL
    SELECT first_date + g.i, 0, 0, 0, 0, NULL, 0, NULL, 0, 0, 0, 0, NULL, NULL, first_date + g.i < today, NULL, NULL
    FROM generate_series(0, CASE WHEN fill_gaps THEN least(last_date, today) - first_date ELSE -1 END) AS g (i)
    WHERE EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_metrics.workspace_id)
      AND NOT EXISTS (SELECT FROM analytics.daily_metrics AS m
                      WHERE m.workspace_id = get_workspace_metrics.workspace_id AND m.metric_date = first_date + g.i)
    ORDER BY 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) IS
    'daily metrics of a workspace from start_date to end_date, both included, ascending. Default: the last 30 complete days. A day without an event has no row, or with fill_gaps one with counts 0 and rates NULL (none in the future). No row for a workspace that the caller may not see. Errors: start_date after end_date, an infinite range with fill_gaps (22023); more than 36,525 days with fill_gaps (54000)';

CREATE FUNCTION analytics.get_agent_insights(agent_id uuid, days integer DEFAULT 30)
RETURNS TABLE (
    total_runs bigint,
    success_rate numeric,
    avg_runtime numeric,
    p50_runtime numeric,
    p95_runtime numeric,
    p99_runtime numeric,
    total_credits numeric,
    unique_users bigint,
    trend_direction text,
    top_error_types jsonb,
    successful_runs bigint,
    failed_runs bigint,
    cancelled_runs bigint,
    total_cost numeric,
    total_tokens_used numeric,
    total_feedback_count bigint,
    last_active_date date,
    agent_name text,
    currency text,
    cost_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- as get_workspace_metrics()
AS $$
DECLARE
    agent_workspaces uuid[] := ARRAY(SELECT DISTINCT p.workspace_id FROM analytics.agent_performance AS p
                                     WHERE p.agent_id = get_agent_insights.agent_id);
    last_dates date[] := ARRAY(SELECT analytics.workspace_today(w.id) - 1 FROM unnest(agent_workspaces) WITH ORDINALITY AS w (id, place) ORDER BY w.place);
    first_date date; -- of the first of them
    workspaces uuid[];
    user_sets analytics.user_set[]; -- of each workspace
BEGIN
    IF days IS NULL OR days NOT BETWEEN 1 AND 36500 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s.', coalesce(days::text, 'NULL')),
                  HINT = 'get_agent_insights(agent_id, 7) covers the last 7 complete days.';
    END IF;

    first_date := (SELECT min(l.last_date) FROM unnest(last_dates) AS l (last_date)) - (greatest(days, 14) - 1);
    WITH agent_day AS MATERIALIZED (
        -- The array: one range of the key for each workspace, however many the planner expects.
        SELECT w.last_date, a.workspace_id, a.metric_date, a.total_runs, a.successful_runs, a.failed_runs, a.cancelled_runs,
               a.total_credits, a.total_cost, a.currency, a.cost_reason, a.total_tokens_used, a.total_feedback_count, a.runtime_sketch, a.users, a.error_types
        FROM analytics.agent_performance AS a
        JOIN unnest(agent_workspaces, last_dates) AS w (workspace_id, last_date) ON w.workspace_id = a.workspace_id
        WHERE a.workspace_id = ANY (agent_workspaces) AND a.agent_id = get_agent_insights.agent_id AND a.metric_date >= first_date
          AND a.metric_date BETWEEN w.last_date - (greatest(days, 14) - 1) AND w.last_date
    ), covered AS NOT MATERIALIZED (
        SELECT r.* FROM agent_day AS r WHERE r.metric_date > r.last_date - days
    ), total AS (
        SELECT coalesce(sum(c.total_runs), 0)::bigint AS runs, coalesce(sum(c.successful_runs), 0)::bigint AS successful,
               coalesce(sum(c.failed_runs), 0)::bigint AS failed, coalesce(sum(c.cancelled_runs), 0)::bigint AS cancelled,
               coalesce(sum(c.total_credits), 0) AS credits, sum(c.total_cost) AS cost,
               CASE WHEN count(DISTINCT c.currency) = 1 AND bool_or(c.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(c.currency) END AS currency,
               CASE WHEN count(DISTINCT c.currency) > 1 OR bool_or(c.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(c.cost_reason) END AS cost_reason,
               coalesce(sum(c.total_tokens_used), 0) AS tokens, coalesce(sum(c.total_feedback_count), 0)::bigint AS feedbacks,
               max(c.metric_date) FILTER (WHERE c.total_runs > 0) AS last_active,
               analytics.quantile_sketch_merge(c.runtime_sketch) AS sketch
        FROM covered AS c
    ), trend AS (
        SELECT coalesce(sum(r.total_runs) FILTER (WHERE r.metric_date > r.last_date - 7), 0)::bigint AS this_week,
               coalesce(sum(r.total_runs) FILTER (WHERE r.metric_date <= r.last_date - 7), 0)::bigint AS week_before
        FROM agent_day AS r
        WHERE r.metric_date > r.last_date - 14
    ), visitor AS MATERIALIZED (
        SELECT c.workspace_id, analytics.user_set_union_agg(c.users) AS users FROM covered AS c GROUP BY c.workspace_id
    ), error AS (
        SELECT e.key, sum(e.value::numeric) AS errors
        FROM covered AS c, jsonb_each_text(c.error_types) AS e
        GROUP BY e.key ORDER BY errors DESC, e.key COLLATE "C" LIMIT 10
    )
    SELECT t.runs, round(100.0 * t.successful / nullif(t.successful + t.failed, 0), 2),
           round(analytics.quantile_sketch_avg(t.sketch), 2),
           round(analytics.quantile(t.sketch, 0.5, true)::numeric, 2), round(analytics.quantile(t.sketch, 0.95, true)::numeric, 2),
           round(analytics.quantile(t.sketch, 0.99, true)::numeric, 2), t.credits,
           v.largest, v.workspaces, v.user_sets, analytics.trend_direction(r.this_week, r.week_before),
           coalesce((SELECT jsonb_object_agg(e.key, e.errors) FROM error AS e), '{}'),
           t.successful, t.failed, t.cancelled, CASE WHEN t.cost_reason IS NULL THEN t.cost END, t.tokens, t.feedbacks, t.last_active,
           (SELECT min(n.name) FROM analytics.agents AS n
            WHERE n.workspace_id = ANY (agent_workspaces) AND n.agent_id = get_agent_insights.agent_id),
           t.currency, t.cost_reason
    INTO total_runs, success_rate, avg_runtime, p50_runtime, p95_runtime, p99_runtime, total_credits, unique_users, workspaces, user_sets,
         trend_direction, top_error_types, successful_runs, failed_runs, cancelled_runs, total_cost, total_tokens_used, total_feedback_count,
         last_active_date, agent_name, currency, cost_reason
    FROM total AS t, trend AS r,
         (SELECT array_agg(x.workspace_id) AS workspaces, array_agg(x.users) AS user_sets,
                 coalesce(max(analytics.user_set_cardinality(x.users)), 0) AS largest
          FROM visitor AS x) AS v
    WHERE cardinality(agent_workspaces) > 0;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- Numbers are a workspace's own. A statement of its own, as a reader may not ask who has them.
    IF cardinality(workspaces) > 1 THEN
        unique_users := NULL;
        IF has_column_privilege('analytics.users', 'user_id', 'SELECT') THEN
            SELECT count(DISTINCT u.user_id) INTO unique_users
            FROM unnest(workspaces, user_sets) AS x (workspace_id, users)
            CROSS JOIN LATERAL analytics.user_set_elements(x.users) AS e (user_number)
            JOIN analytics.users AS u ON u.workspace_id = x.workspace_id AND u.user_number = e.user_number;
        END IF;
    END IF;
    RETURN NEXT;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_agent_insights(uuid, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_agent_insights(uuid, integer) IS
    'one row about an agent over the last complete local days (default 30). It covers every workspace that the caller may see: sums, percentiles (Hyndman-Fan type 7) from the merged sketches (relative error 1 %), distinct users (NULL to a reader who sees the agent in several workspaces), top_error_types {type: errors} (the 10 most frequent), agent_name as in analytics.agents (NULL without one). The cost is NULL, and cost_reason says why, where it would be a partial sum: in several currencies, or of credits without a price. trend_direction compares the last 7 complete days with the 7 before. Without a run: counts 0, rates and runtimes NULL. No row for an agent without data; error (22023) for days below 1 or above 36500';

-- One row: the range, then the range of equal length before it.
CREATE FUNCTION analytics.get_workspace_summary(
    workspace_id uuid,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL)
RETURNS TABLE (
    period_start date,
    period_end date,
    active_users bigint, previous_active_users bigint, active_users_change numeric,
    total_sessions bigint, previous_total_sessions bigint, total_sessions_change numeric,
    total_events bigint, previous_total_events bigint, total_events_change numeric,
    total_runs bigint, previous_total_runs bigint, total_runs_change numeric,
    successful_runs bigint, previous_successful_runs bigint, successful_runs_change numeric,
    failed_runs bigint, previous_failed_runs bigint, failed_runs_change numeric,
    success_rate numeric, previous_success_rate numeric, success_rate_change numeric,
    failure_rate numeric, previous_failure_rate numeric, failure_rate_change numeric,
    avg_runtime numeric, previous_avg_runtime numeric, avg_runtime_change numeric,
    p50_runtime numeric, previous_p50_runtime numeric, p50_runtime_change numeric,
    p95_runtime numeric, previous_p95_runtime numeric, p95_runtime_change numeric,
    p99_runtime numeric, previous_p99_runtime numeric, p99_runtime_change numeric,
    total_credits numeric, previous_total_credits numeric, total_credits_change numeric,
    total_cost numeric, previous_total_cost numeric, total_cost_change numeric,
    total_errors bigint, previous_total_errors bigint, total_errors_change numeric,
    error_rate numeric, previous_error_rate numeric, error_rate_change numeric,
    currency text, previous_currency text,
    cost_reason text, previous_cost_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date date := coalesce(start_date, last_date - 29);
    is_over boolean := last_date < today;
BEGIN
    IF first_date > last_date OR NOT (isfinite(first_date) AND isfinite(last_date)) THEN
        RAISE EXCEPTION 'invalid range of days'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Give finite dates with start_date not later than end_date; left out, they are the last 30 complete days.';
    END IF;

    RETURN QUERY
    WITH period (is_current, first_date, last_date) AS (
        VALUES (true, first_date, last_date), (false, first_date - (last_date - first_date + 1), first_date - 1)
    ), metrics AS (
        SELECT p.is_current, coalesce(sum(d.total_events), 0)::bigint AS events, coalesce(sum(d.total_sessions), 0)::bigint AS sessions,
               coalesce(sum(d.total_runs), 0)::bigint AS runs, coalesce(sum(d.successful_runs), 0)::bigint AS successful,
               coalesce(sum(d.failed_runs), 0)::bigint AS failed, coalesce(sum(d.total_errors), 0)::bigint AS errors,
               coalesce(sum(d.total_credits_consumed), 0) AS credits,
               sum(d.total_cost) AS cost,
               CASE WHEN count(DISTINCT d.currency) = 1 AND bool_or(d.cost_reason = 'several currencies') IS NOT TRUE
                    THEN min(d.currency) END AS currency,
               CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
               analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch
        FROM period AS p
        LEFT JOIN analytics.daily_metrics AS d
            ON d.workspace_id = get_workspace_summary.workspace_id AND d.metric_date BETWEEN p.first_date AND p.last_date
        GROUP BY p.is_current
    ), people AS (
        SELECT p.is_current, coalesce(analytics.user_set_cardinality(analytics.user_set_union_agg(u.users)), 0) AS users
        FROM period AS p
        LEFT JOIN analytics.daily_users AS u
            ON u.workspace_id = get_workspace_summary.workspace_id AND u.metric_date BETWEEN p.first_date AND p.last_date
        GROUP BY p.is_current
    ), value AS (
        SELECT m.is_current, p.users, m.sessions, m.events, m.runs, m.successful, m.failed,
               round(100.0 * m.successful / nullif(m.successful + m.failed, 0), 2) AS success_rate,
               round(100.0 * m.failed / nullif(m.successful + m.failed, 0), 2) AS failure_rate,
               round(analytics.quantile_sketch_avg(m.sketch), 2) AS average,
               round(analytics.quantile(m.sketch, 0.5, true)::numeric, 2) AS p50, round(analytics.quantile(m.sketch, 0.95, true)::numeric, 2) AS p95,
               round(analytics.quantile(m.sketch, 0.99, true)::numeric, 2) AS p99, m.credits, m.errors,
               CASE WHEN m.cost_reason IS NULL THEN m.cost END AS cost, m.currency, m.cost_reason,
               round(100.0 * m.errors / nullif(m.events, 0), 2) AS error_rate
        FROM metrics AS m JOIN people AS p ON p.is_current = m.is_current
    )
    SELECT first_date, last_date,
           c.users, b.users, analytics.growth_rate(c.users, v.users),
           c.sessions, b.sessions, analytics.growth_rate(c.sessions, v.sessions),
           c.events, b.events, analytics.growth_rate(c.events, v.events),
           c.runs, b.runs, analytics.growth_rate(c.runs, v.runs),
           c.successful, b.successful, analytics.growth_rate(c.successful, v.successful),
           c.failed, b.failed, analytics.growth_rate(c.failed, v.failed),
           c.success_rate, b.success_rate, analytics.growth_rate(c.success_rate, v.success_rate),
           c.failure_rate, b.failure_rate, analytics.growth_rate(c.failure_rate, v.failure_rate),
           c.average, b.average, analytics.growth_rate(c.average, v.average),
           c.p50, b.p50, analytics.growth_rate(c.p50, v.p50),
           c.p95, b.p95, analytics.growth_rate(c.p95, v.p95),
           c.p99, b.p99, analytics.growth_rate(c.p99, v.p99),
           c.credits, b.credits, analytics.growth_rate(c.credits, v.credits),
           c.cost, b.cost, CASE WHEN c.currency = v.currency THEN analytics.growth_rate(c.cost, v.cost) END,
           c.errors, b.errors, analytics.growth_rate(c.errors, v.errors),
           c.error_rate, b.error_rate, analytics.growth_rate(c.error_rate, v.error_rate),
           c.currency, b.currency, c.cost_reason, b.cost_reason
    FROM value AS c
    CROSS JOIN value AS b
    LEFT JOIN value AS v ON NOT v.is_current AND is_over -- what runs is not compared with what is over
    WHERE c.is_current AND NOT b.is_current
      AND EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_summary.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_summary(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_summary(uuid, date, date) IS
    'one row about a workspace from start_date to end_date, both included, with the range before. Default: the last 30 complete days. Distinct users and percentiles come from the merged sets and sketches (relative error 1 %). Beside each value stand that of the range of equal length before it (previous_) and the change in percent (_change; NULL where the previous value is 0 or NULL, and while the range is not over). Rates and runtimes are NULL without data. A cost is NULL, and cost_reason says why, where it would be a partial sum: in several currencies, or of credits without a price; its change also where the two ranges have different currencies. No row for a workspace without data or that the caller may not see; error (22023) for a range that is reversed or infinite';

-- The week as a grid: what an hour of it brings on average.
CREATE FUNCTION analytics.get_usage_by_hour(
    workspace_id uuid,
    start_date date DEFAULT NULL,
    end_date date DEFAULT NULL)
RETURNS TABLE (
    day_of_week integer,
    hour_of_day integer,
    hours bigint,
    avg_active_users numeric,
    max_active_users bigint,
    total_runs bigint,
    failed_runs bigint,
    total_credits numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan -- as get_workspace_metrics()
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date date := coalesce(start_date, last_date - 27);
    first_hour timestamptz := (SELECT min(m.metric_hour) FROM analytics.hourly_metrics AS m
                               WHERE m.workspace_id = get_usage_by_hour.workspace_id);
BEGIN
    IF first_date > last_date THEN
        RAISE EXCEPTION 'start_date must not be later than end_date'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Both days are included; left out, they are the last 28 complete days.';
    END IF;

    -- Local days begin up to 14 hours before UTC's and end up to 12 hours after.
    RETURN QUERY
    WITH zone AS (
        SELECT z.time_zone, z.valid_from, lead(z.valid_from, 1, 'infinity') OVER (ORDER BY z.valid_from, z.is_chosen) AS valid_to
        FROM (SELECT 'UTC' AS time_zone, '-infinity'::timestamptz AS valid_from, false AS is_chosen
              UNION ALL
              SELECT s.time_zone, s.valid_from, true FROM analytics.workspace_settings AS s
              WHERE s.workspace_id = get_usage_by_hour.workspace_id) AS z
    ), hour AS (
        SELECT g.metric_hour, g.metric_hour AT TIME ZONE z.time_zone AS local_time
        FROM generate_series(greatest(first_hour, (first_date - 1)::timestamp AT TIME ZONE 'UTC'),
                             least(date_trunc('hour', now(), 'UTC') - interval '1 hour', (last_date + 2)::timestamp AT TIME ZONE 'UTC'),
                             interval '1 hour') AS g (metric_hour)
        JOIN zone AS z ON g.metric_hour >= z.valid_from AND g.metric_hour < z.valid_to
        WHERE first_hour IS NOT NULL
    ), cell AS (
        SELECT extract(isodow FROM h.local_time)::integer AS day, extract(hour FROM h.local_time)::integer AS hour, count(*) AS hours,
               coalesce(sum(m.active_users), 0) AS users, max(m.active_users) AS most_users, sum(m.total_runs)::bigint AS runs,
               sum(m.failed_runs)::bigint AS failed, sum(m.total_credits) AS credits
        FROM hour AS h
        LEFT JOIN analytics.hourly_metrics AS m
            ON m.workspace_id = get_usage_by_hour.workspace_id AND m.metric_hour = h.metric_hour
        WHERE h.local_time::date BETWEEN first_date AND last_date
        GROUP BY 1, 2
    )
    SELECT d.day, t.hour, coalesce(c.hours, 0), round(c.users / c.hours, 2), coalesce(c.most_users, 0), coalesce(c.runs, 0),
           coalesce(c.failed, 0), coalesce(c.credits, 0)
    FROM generate_series(1, 7) AS d (day)
    CROSS JOIN generate_series(0, 23) AS t (hour)
    LEFT JOIN cell AS c USING (day, hour)
    WHERE first_hour IS NOT NULL
    ORDER BY d.day, t.hour;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_usage_by_hour(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_usage_by_hour(uuid, date, date) IS
    'use of a workspace by day of the week and hour of the day: 168 rows. day_of_week (1 = Monday to 7 = Sunday) by hour_of_day (0 to 23) of its time zone, over the local days from start_date to end_date, both included (default: the last 28 complete days). hours: how many such hours are over, counted from the workspace''s first row in hourly_metrics, which are kept for 30 days unless retention says otherwise; avg_active_users: mean over those hours, NULL without one; then the most active users of one hour, and sums. An hour of UTC belongs to the local hour that it begins in. No row for a workspace without hourly metrics or that the caller may not see; error (22023): start_date after end_date';
