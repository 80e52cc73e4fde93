-- cohorts: from the daily sets to analytics.user_cohorts.

CREATE FUNCTION analytics.user_retention(
    workspace_id uuid, period text, start_date date, end_date date, today date)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint, remaining_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_retention';
REVOKE EXECUTE ON FUNCTION analytics.user_retention(uuid, text, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.user_retention(uuid, text, date, date, date) IS
    'of each cohort first seen in a period that start_date to end_date touches, for each period that is over today: users active in it (retained) and in it or later (remaining). One pass over the sets of analytics.daily_users that the caller may see. A NULL gives no row; an unknown period or an infinite date is an error (22023)';

CREATE FUNCTION analytics.get_retention_matrix(
    workspace_id uuid, period text DEFAULT 'weekly', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint,
               retention_rate numeric, unbounded_rate numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_retention_matrix.workspace_id);
    first_day date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d
                       WHERE d.workspace_id = get_retention_matrix.workspace_id);
BEGIN
    RETURN QUERY
    SELECT r.cohort_date, r.initial_users, r.period_number, r.retained_users,
           (100.0 * r.retained_users / r.initial_users)::numeric(5, 2),
           (100.0 * r.remaining_users / r.initial_users)::numeric(5, 2)
    FROM analytics.user_retention(get_retention_matrix.workspace_id, period,
             greatest(coalesce(start_date, today - 90), first_day), least(coalesce(end_date, today - 1), today), today) AS r
    WHERE first_day IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) IS
    'retention of the cohorts first seen in the daily, weekly or monthly periods that the dates touch (default: the last 90 days): per period that is over, users active in it, in percent, and the percentage active in it or later. NULL or a foreign workspace: no row; an unknown period is an error (22023)';

CREATE FUNCTION analytics_internal.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_column
DECLARE
    unit text := CASE period WHEN 'daily' THEN 'day' WHEN 'weekly' THEN 'week' WHEN 'monthly' THEN 'month' END;
    first_day date;
    next_day date;
    grace integer;
    longest integer;
    discount_rate double precision;
    written bigint;
BEGIN
    IF unit IS NULL OR aggregate_user_cohorts.cohort_date IS NULL OR NOT isfinite(aggregate_user_cohorts.cohort_date) THEN
        RAISE EXCEPTION 'invalid cohort'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The period is %s, the date %s.', coalesce(quote_literal(period), 'null'),
                                  coalesce(aggregate_user_cohorts.cohort_date::text, 'null')),
                  HINT = 'Give daily, weekly or monthly, and a day of the cohort''s period.';
    END IF;
    first_day := date_trunc(unit, aggregate_user_cohorts.cohort_date::timestamp)::date;
    next_day := (first_day + ('1 ' || unit)::interval)::date;
    grace := analytics.setting('cohort_grace_' || unit || 's')::integer;
    longest := analytics.setting('cohort_max_' || unit || 's')::integer;
    discount_rate := power(1 + analytics.setting('discount_rate_annual')::double precision,
                           CASE unit WHEN 'day' THEN 1 / 365.25 WHEN 'week' THEN 7 / 365.25 ELSE 1 / 12.0 END) - 1;
    PERFORM pg_advisory_xact_lock(hashtextextended('analytics.user_cohorts ' || unit || first_day, 0));

    WITH cohort AS MATERIALIZED (
        SELECT d.workspace_id, analytics.user_set_union_agg(d.new_users) AS users
        FROM analytics.daily_users AS d
        WHERE d.metric_date >= first_day AND d.metric_date < next_day
          AND (target_workspace_id IS NULL OR d.workspace_id = target_workspace_id)
        GROUP BY d.workspace_id
    ), periods AS MATERIALIZED (
        SELECT c.workspace_id, r.*, max(r.period_number) OVER (PARTITION BY c.workspace_id) AS last_number
        FROM cohort AS c, LATERAL analytics.user_retention(
            c.workspace_id, period, first_day, first_day, analytics.workspace_today(c.workspace_id)) AS r
    ), retention AS (
        SELECT p.workspace_id, p.initial_users, p.last_number,
               jsonb_object_agg(unit || '_' || p.period_number, round(100.0 * p.retained_users / p.initial_users, 2))
                   FILTER (WHERE p.period_number <= longest) AS retention_data,
               jsonb_object_agg(unit || '_' || p.period_number, round(100.0 * p.remaining_users / p.initial_users, 2))
                   FILTER (WHERE p.period_number <= longest) AS retention_unbounded,
               round(100 - 100.0 * max(p.remaining_users) FILTER (WHERE p.period_number = p.last_number - grace
                   AND p.last_number > grace) / p.initial_users, 2) AS churn_rate,
               array_agg(p.remaining_users ORDER BY p.period_number)
                   FILTER (WHERE p.period_number <= p.last_number - grace) AS survivors,
               sum(p.remaining_users) FILTER (WHERE p.period_number <= p.last_number - grace) AS user_periods
        FROM periods AS p GROUP BY p.workspace_id, p.initial_users, p.last_number
    ), money AS (
        SELECT t.workspace_id, sum(r.revenue) AS total,
               sum(r.revenue) FILTER (WHERE r.metric_date <
                   (first_day + (t.last_number - grace + 1) * ('1 ' || unit)::interval)::date) AS settled
        FROM retention AS t JOIN cohort AS c USING (workspace_id)
        JOIN analytics.daily_user_revenue AS r ON r.workspace_id = t.workspace_id AND r.metric_date >= first_day
             AND analytics.user_set_contains(c.users, r.user_number)
        GROUP BY t.workspace_id
    ), estimate AS (
        SELECT t.*, coalesce(m.total, 0) AS revenue, m.settled, f.alpha, f.beta,
               CASE WHEN t.last_number <= grace THEN 'the cohort is not older than the grace window'
                    WHEN f.reason IS NOT NULL THEN f.reason
                    WHEN m.settled IS NULL THEN 'no revenue' END AS reason
        FROM retention AS t LEFT JOIN money AS m USING (workspace_id),
             LATERAL analytics.fit_sbg(t.survivors) AS f
    ), upserted AS (
        INSERT INTO analytics.user_cohorts AS u (workspace_id, cohort_period, cohort_date, initial_users, retention_data,
            retention_unbounded, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final)
        SELECT e.workspace_id, period, first_day, e.initial_users, e.retention_data, e.retention_unbounded, e.churn_rate,
               round(e.revenue / e.initial_users, 2),
               CASE WHEN e.reason IS NULL THEN round(e.settled / e.user_periods
                   * analytics.sbg_lifetime(e.alpha, e.beta, discount_rate, analytics.setting('ltv_horizon_periods')::integer)::numeric, 2) END,
               e.reason, e.last_number >= longest
        FROM estimate AS e ORDER BY e.workspace_id
        ON CONFLICT (workspace_id, cohort_period, cohort_date) DO UPDATE
        SET (initial_users, retention_data, retention_unbounded, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final, updated_at)
          = ROW(EXCLUDED.initial_users, EXCLUDED.retention_data, EXCLUDED.retention_unbounded, EXCLUDED.churn_rate,
                EXCLUDED.avg_revenue_per_user, EXCLUDED.ltv_estimate, EXCLUDED.ltv_reason, EXCLUDED.is_final, EXCLUDED.updated_at)
        RETURNING u.workspace_id
    ), vanished AS (
        DELETE FROM analytics.user_cohorts AS u
        WHERE u.cohort_period = period AND u.cohort_date = first_day
          AND (target_workspace_id IS NULL OR u.workspace_id = target_workspace_id)
          AND NOT EXISTS (SELECT FROM periods AS p WHERE p.workspace_id = u.workspace_id)
    )
    SELECT count(*) INTO written FROM upserted;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) IS
    'does the work of analytics.aggregate_user_cohorts() as the owner, without row security';

CREATE FUNCTION analytics.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT analytics_internal.aggregate_user_cohorts(period, cohort_date, target_workspace_id) $$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) IS
    'computes user_cohorts of the daily, weekly or monthly period that holds cohort_date, for every workspace or for one, from the daily sets and never from raw events; replaces what was there and returns the number of workspaces written. A period that is not over has no row. Another period or no date is an error (22023)';
