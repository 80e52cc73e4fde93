-- reading: functions over the rollups. They run as the caller, so row security decides which workspaces count.

-- Wilson (1927), J. Am. Stat. Assoc. 22(158):209-212: lower end of the score interval,
-- (p + z^2/2n - z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.959964.
CREATE FUNCTION analytics.wilson_lower_bound(successes bigint, trials bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN trials > 0 AND successes BETWEEN 0 AND trials THEN
    round(((successes + 1.920729410347062
            - 1.959963984540054 * sqrt(successes::double precision * (trials - successes) / trials + 0.960364705173531))
           / (trials + 3.841458820694124))::numeric, 4)
END;
COMMENT ON FUNCTION analytics.wilson_lower_bound(bigint, bigint) IS
    'lower bound of a rate at 95 % (Wilson 1927), 0 to 1, 4 decimals: ranks 98 of 100 (0.9300) above 1 of 1 (0.2065). NULL without a trial, for counts that are no rate and for NULL';

CREATE FUNCTION analytics.trend_direction(current_total bigint, previous_total bigint) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN previous_total = 0 AND current_total > 0 THEN 'new'
    WHEN 100 * current_total > 105 * previous_total THEN 'growing'
    WHEN 100 * current_total < 95 * previous_total THEN 'declining'
    ELSE 'stable'
END;
COMMENT ON FUNCTION analytics.trend_direction(bigint, bigint) IS
    'growing or declining where the totals of two periods of equal length differ by more than 5 %, else stable; new where the previous one is 0 and the current one is not; NULL for NULL';

CREATE FUNCTION analytics.growth_rate(current_value numeric, previous_value numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(100 * (current_value - previous_value) / nullif(previous_value, 0), 2);
COMMENT ON FUNCTION analytics.growth_rate(numeric, numeric) IS
    'growth from the previous to the current value in percent, 2 decimals; NULL where the previous one is 0 or either is NULL';

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
    is_final boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    today date := analytics.workspace_today(workspace_id);
    last_date date := coalesce(end_date, today - 1);
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
    END IF;

    RETURN QUERY
    SELECT d.metric_date, d.active_users, d.total_runs, d.successful_runs, d.failed_runs, d.success_rate::numeric,
           d.total_credits_consumed, d.avg_runtime_seconds, d.unique_agents_run, d.total_sessions, d.total_events,
           d.total_errors, d.error_rate::numeric, d.total_cost, d.is_final
    FROM analytics.daily_metrics AS d
    WHERE d.workspace_id = get_workspace_metrics.workspace_id AND d.metric_date BETWEEN first_date AND last_date
    UNION ALL
    SELECT first_date + g.i, 0, 0, 0, 0, NULL, 0, NULL, 0, 0, 0, 0, NULL, NULL, first_date + g.i < today
    FROM generate_series(0, CASE WHEN fill_gaps THEN least(last_date, today) - first_date ELSE -1 END) AS g (i)
    WHERE EXISTS (SELECT FROM analytics.daily_metrics AS w WHERE w.workspace_id = get_workspace_metrics.workspace_id)
      AND NOT EXISTS (SELECT FROM analytics.daily_metrics AS m
                      WHERE m.workspace_id = get_workspace_metrics.workspace_id AND m.metric_date = first_date + g.i)
    ORDER BY 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_workspace_metrics(uuid, date, date, boolean) IS
    'daily metrics of a workspace from start_date to end_date, both included (default: the last 30 complete days), ascending. A day without an event has no row, or with fill_gaps one with counts 0 and rates NULL (none in the future). No row for a workspace that the caller may not see. Errors (22023): start_date after end_date, an infinite range with fill_gaps';
