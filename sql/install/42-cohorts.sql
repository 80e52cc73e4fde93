-- Cohorts: users first seen in the same period, and who of them came back.

CREATE TABLE analytics.user_cohorts (
    workspace_id uuid NOT NULL,
    cohort_period text NOT NULL,
    cohort_date date NOT NULL,
    initial_users bigint NOT NULL,
    retention_data jsonb NOT NULL,
    retention_unbounded jsonb NOT NULL,
    churn_rate numeric(5, 2),
    avg_revenue_per_user numeric NOT NULL,
    ltv_estimate numeric,
    ltv_reason text,
    is_final boolean NOT NULL,
    counted_until date NOT NULL,
    source_state numeric NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, cohort_period, cohort_date),
    CONSTRAINT user_cohorts_cohort_period_check CHECK (cohort_period IN ('daily', 'weekly', 'monthly'))
);
COMMENT ON TABLE analytics.user_cohorts IS
    'one row per workspace, period and cohort of users first seen in it. Written by analytics.aggregate_user_cohorts() from the daily sets, so that it outlives the raw events';
COMMENT ON COLUMN analytics.user_cohorts.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.user_cohorts.cohort_period IS
    'daily, weekly (ISO weeks) or monthly';
COMMENT ON COLUMN analytics.user_cohorts.cohort_date IS
    'first day of the period in which the users were first seen';
COMMENT ON COLUMN analytics.user_cohorts.initial_users IS
    'users of the cohort';
COMMENT ON COLUMN analytics.user_cohorts.retention_data IS
    '{"day_N": percent} (week_N, month_N): users active in the N-th period after the cohort''s. N = 0 is 100. A period that is not over is absent; N up to the settings cohort_max_days, _weeks, _months';
COMMENT ON COLUMN analytics.user_cohorts.retention_unbounded IS
    'the same of users active in the N-th period or later';
COMMENT ON COLUMN analytics.user_cohorts.churn_rate IS
    'percent of the cohort silent for the grace window (settings cohort_grace_days, _weeks, _months). 100 - unbounded retention at T - g, T the last period that is over; NULL while T <= g';
COMMENT ON COLUMN analytics.user_cohorts.avg_revenue_per_user IS
    'revenue of the cohort to date / initial_users, 2 decimals';
COMMENT ON COLUMN analytics.user_cohorts.ltv_estimate IS
    'discounted revenue expected of one user over ltv_horizon_periods. Revenue per surviving user and period times the expected lifetime by the shifted-beta-geometric model (Fader & Hardie 2007), 2 decimals; NULL where ltv_reason says why';
COMMENT ON COLUMN analytics.user_cohorts.ltv_reason IS
    'why there is no ltv_estimate; NULL when there is';
COMMENT ON COLUMN analytics.user_cohorts.is_final IS
    'whether every period of retention_data up to its limit is over. From then on maintenance computes the row again only when one of those periods has changed';
COMMENT ON COLUMN analytics.user_cohorts.counted_until IS
    'start of the period that was running when the row was written: those before it are counted';
COMMENT ON COLUMN analytics.user_cohorts.source_state IS
    'checksum of the state of the days and settings that the row was computed from. Another one means that the row is due';
COMMENT ON COLUMN analytics.user_cohorts.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.user_cohorts.updated_at IS
    'when the row was last written';
COMMENT ON INDEX analytics.user_cohorts_pkey IS
    'serves: the cohorts of a workspace, WHERE workspace_id = ... AND cohort_period = ... AND cohort_date >= ...';
COMMENT ON CONSTRAINT user_cohorts_cohort_period_check ON analytics.user_cohorts IS
    'the periods of analytics.aggregate_user_cohorts()';

ALTER TABLE analytics.user_cohorts ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.user_cohorts', '');

CREATE POLICY member_reads ON analytics.user_cohorts FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.user_cohorts IS
    'members read their workspaces';

-- From the daily sets to analytics.user_cohorts.

CREATE FUNCTION analytics_internal.user_retention(
    workspace_id uuid, period text, start_date date, end_date date, today date)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint, remaining_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_retention';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_retention(uuid, text, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_retention(uuid, text, date, date, date) IS
    'of each cohort first seen in a period that start_date to end_date touches, for each period that is over today: users active in it (retained) and in it or later (remaining). One pass over the sets of analytics.daily_users that the caller may see. A NULL gives no row. Errors: an unknown period, dates that are infinite or not from 0001-01-01 to 9999-12-31 (22023); more than 36,525 days, or more than 20 million cohorts times periods up to today (54000)';

CREATE FUNCTION analytics_internal.cohort_limit(period text) RETURNS integer
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_cohort_limit';
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_limit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_limit(text) IS
    'number of the last period for which retention of daily, weekly or monthly cohorts is reported: the setting cohort_max_days, cohort_max_weeks or cohort_max_months. NULL gives NULL; an unknown period is an error (22023)';

CREATE FUNCTION analytics_internal.cohort_counts(
    workspace_id uuid, period text, start_date date, end_date date, today date, shown integer, grace integer)
RETURNS TABLE (cohort_date date, initial_users bigint, last_number integer, survivors bigint[], user_periods bigint,
               retention_data jsonb, retention_unbounded jsonb)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'shadow_cohort_counts';
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_counts(uuid, text, date, date, date, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_counts(uuid, text, date, date, date, integer, integer) IS
    'of each cohort of analytics_internal.user_retention(): the last period that is over, users active in each period or later that lies the grace window before it (survivors; NULL without one) and their sum (user_periods), and both retentions up to the period number shown as analytics.user_cohorts has them. Errors as there';

CREATE FUNCTION analytics.get_retention_matrix(
    workspace_id uuid, period text DEFAULT 'weekly', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (cohort_date date, initial_users bigint, period_number integer, retained_users bigint,
               retention_rate numeric, unbounded_rate numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT r.cohort_date, r.initial_users, r.period_number, r.retained_users,
           (100.0 * r.retained_users / r.initial_users)::numeric(5, 2),
           (100.0 * r.remaining_users / r.initial_users)::numeric(5, 2)
    FROM analytics_internal.user_days(get_retention_matrix.workspace_id) AS w
    CROSS JOIN analytics_internal.cohort_limit(get_retention_matrix.period) AS last_number
    CROSS JOIN LATERAL analytics_internal.user_retention(
        get_retention_matrix.workspace_id, get_retention_matrix.period, greatest(coalesce(start_date, w.today - 90), w.first_day),
        least(coalesce(end_date, w.today - 1), w.today), w.today) AS r
    WHERE w.first_day IS NOT NULL AND r.period_number <= last_number;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_retention_matrix(uuid, text, date, date) IS
    'retention of the cohorts of the daily, weekly or monthly periods that the dates touch. A cohort is the users first seen in a period. For each later period that is over: users active in it, their percentage, and the percentage active in it or later, up to the settings cohort_max_days, _weeks, _months. Default: the last 90 days. NULL or a foreign workspace: no row. Errors: an unknown period (22023); more than 36,525 days, or more than 20 million cohorts times periods up to today (54000)';

CREATE FUNCTION analytics_internal.cohort_unit(period text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE period WHEN 'daily' THEN 'day' WHEN 'weekly' THEN 'week' WHEN 'monthly' THEN 'month' END;
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_unit(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_unit(text) IS
    'day, week or month for daily, weekly or monthly; NULL for anything else';

-- What a cohort is computed from, as a checksum: the days from the cohort's first to its last reported period,
-- as far as their periods are over, and the settings. Rows that are written, changed or removed change it.
CREATE FUNCTION analytics_internal.cohort_sources(
    period text, start_date date, end_date date, workspace_ids uuid[],
    OUT workspace_id uuid, OUT cohort_date date, OUT has_users boolean, OUT counted_until date, OUT state numeric)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    unit text := analytics_internal.cohort_unit(period);
    span interval := (analytics_internal.cohort_limit(period) || ' ' || unit)::interval;
    settings bigint := (SELECT hashtextextended(string_agg(analytics.setting(s.name), ' ' ORDER BY s.place), 0)
                        FROM unnest(ARRAY['cohort_grace_' || unit || 's', 'cohort_max_' || unit || 's',
                                          'discount_rate_annual', 'ltv_horizon_periods']) WITH ORDINALITY AS s (name, place));
BEGIN
    RETURN QUERY
    WITH workspace AS MATERIALIZED (
        SELECT w.workspace_id, date_trunc(unit, analytics.workspace_today(w.workspace_id)::timestamp)::date AS running
        FROM (SELECT DISTINCT d.workspace_id FROM analytics.daily_users AS d WHERE workspace_ids IS NULL
              UNION SELECT unnest(workspace_ids)) AS w
    ), day AS (
        SELECT d.workspace_id, date_trunc(unit, d.metric_date::timestamp)::date AS cohort_date, w.running,
               coalesce(m.new_users > 0, analytics.user_set_cardinality(d.new_users) > 0) AS has_users,
               timestamp_hash_extended(d.updated_at AT TIME ZONE 'UTC',
                   timestamp_hash_extended(coalesce(m.updated_at, '-infinity') AT TIME ZONE 'UTC', d.metric_date - date '2000-01-01')) AS state
        FROM workspace AS w
        JOIN analytics.daily_users AS d ON d.workspace_id = w.workspace_id AND d.metric_date < w.running
        LEFT JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.metric_date
        WHERE d.metric_date >= start_date AND d.metric_date < end_date + span
    ), summed AS (
        SELECT d.workspace_id, d.cohort_date, d.running, bool_or(d.has_users) AS has_users, sum(d.state) AS state
        FROM day AS d GROUP BY d.workspace_id, d.cohort_date, d.running
    )
    SELECT s.workspace_id, s.cohort_date, s.has_users, s.running,
           settings + sum(s.state) OVER (PARTITION BY s.workspace_id ORDER BY s.cohort_date
                                         RANGE BETWEEN CURRENT ROW AND span FOLLOWING)
    FROM summed AS s;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.cohort_sources(text, date, date, uuid[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.cohort_sources(text, date, date, uuid[]) IS
    'the periods from start_date to before end_date, both the first days of periods, that are over and in which one of the workspaces (NULL: of all) was active: whether users were first seen in it, the start of the running period, and the state of what a cohort is computed from';

-- Cohorts of several periods in one pass over a workspace's days.
CREATE FUNCTION analytics_internal.aggregate_cohorts(period text, cohort_dates date[], target_workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    unit text := analytics_internal.cohort_unit(period);
    step interval := ('1 ' || unit)::interval;
    first_day date := (SELECT min(c.day) FROM unnest(cohort_dates) AS c (day));
    next_day date := ((SELECT max(c.day) FROM unnest(cohort_dates) AS c (day)) + step)::date;
    grace integer := analytics.setting('cohort_grace_' || unit || 's')::integer;
    longest integer := analytics_internal.cohort_limit(period);
    horizon integer := analytics.setting('ltv_horizon_periods')::integer;
    discount_rate double precision := power(1 + analytics.setting('discount_rate_annual')::double precision,
                           CASE unit WHEN 'day' THEN 1 / 365.25 WHEN 'week' THEN 7 / 365.25 ELSE 1 / 12.0 END) - 1;
    written bigint;
BEGIN
    PERFORM analytics_internal.lock('rollups');

    WITH source AS MATERIALIZED (
        SELECT s.* FROM analytics_internal.cohort_sources(period, first_day, next_day,
                                                          CASE WHEN target_workspace_id IS NOT NULL THEN ARRAY[target_workspace_id] END) AS s
        WHERE s.has_users AND s.cohort_date = ANY (cohort_dates)
    ), retention AS MATERIALIZED (
        SELECT w.workspace_id, c.*,
               CASE WHEN c.last_number > grace
                    THEN round(100 - 100.0 * c.survivors[c.last_number - grace + 1] / c.initial_users, 2) END AS churn_rate
        FROM (SELECT DISTINCT s.workspace_id FROM source AS s) AS w,
             LATERAL analytics_internal.cohort_counts(w.workspace_id, period, first_day, next_day - 1,
                                                      analytics.workspace_today(w.workspace_id), longest, grace) AS c
        WHERE c.cohort_date = ANY (cohort_dates)
    ), member AS (
        SELECT s.workspace_id, s.cohort_date, e.user_number
        FROM source AS s
        JOIN analytics.daily_users AS d ON d.workspace_id = s.workspace_id AND d.metric_date >= s.cohort_date
            AND d.metric_date < (s.cohort_date + step)::date
        CROSS JOIN LATERAL analytics.user_set_elements(d.new_users) AS e (user_number)
        WHERE EXISTS (SELECT FROM analytics.daily_user_revenue AS r WHERE r.workspace_id = s.workspace_id)
    ), money AS (
        SELECT t.workspace_id, t.cohort_date, sum(r.revenue) AS total,
               sum(r.revenue) FILTER (WHERE r.metric_date < (t.cohort_date + (t.last_number - grace + 1) * step)::date) AS settled
        FROM retention AS t
        JOIN member AS m USING (workspace_id, cohort_date)
        JOIN analytics.daily_user_revenue AS r USING (workspace_id, user_number)
        GROUP BY t.workspace_id, t.cohort_date
    ), estimate AS (
        SELECT t.*, s.counted_until, s.state, coalesce(m.total, 0) AS revenue, m.settled, f.alpha, f.beta,
               CASE WHEN t.last_number <= grace THEN 'the cohort is not older than the grace window'
                    WHEN f.reason IS NOT NULL THEN f.reason
                    WHEN m.settled IS NULL THEN 'no revenue' END AS reason
        FROM retention AS t JOIN source AS s USING (workspace_id, cohort_date)
        LEFT JOIN money AS m USING (workspace_id, cohort_date)
        CROSS JOIN LATERAL analytics.fit_sbg(t.survivors) AS f
    ), upserted AS (
        INSERT INTO analytics.user_cohorts AS u (workspace_id, cohort_period, cohort_date, initial_users, retention_data,
            retention_unbounded, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final, counted_until, source_state)
        SELECT e.workspace_id, period, e.cohort_date, e.initial_users, e.retention_data, e.retention_unbounded, e.churn_rate,
               round(e.revenue / e.initial_users, 2),
               CASE WHEN e.reason IS NULL THEN round(e.settled / e.user_periods
                   * analytics.sbg_lifetime(e.alpha, e.beta, discount_rate, horizon)::numeric, 2) END,
               e.reason, e.last_number >= longest, e.counted_until, e.state
        FROM estimate AS e ORDER BY e.workspace_id, e.cohort_date
        ON CONFLICT (workspace_id, cohort_period, cohort_date) DO UPDATE
        SET (initial_users, retention_data, retention_unbounded, churn_rate, avg_revenue_per_user, ltv_estimate, ltv_reason, is_final,
             counted_until, source_state, updated_at)
          = ROW(EXCLUDED.initial_users, EXCLUDED.retention_data, EXCLUDED.retention_unbounded, EXCLUDED.churn_rate,
                EXCLUDED.avg_revenue_per_user, EXCLUDED.ltv_estimate, EXCLUDED.ltv_reason, EXCLUDED.is_final,
                EXCLUDED.counted_until, EXCLUDED.source_state, EXCLUDED.updated_at)
        RETURNING u.workspace_id
    ), vanished AS (
        DELETE FROM analytics.user_cohorts AS u
        WHERE u.cohort_period = period AND u.cohort_date = ANY (cohort_dates)
          AND (target_workspace_id IS NULL OR u.workspace_id = target_workspace_id)
          AND NOT EXISTS (SELECT FROM retention AS t WHERE t.workspace_id = u.workspace_id AND t.cohort_date = u.cohort_date)
    )
    SELECT count(*) INTO written FROM upserted;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_cohorts(text, date[], uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_cohorts(text, date[], uuid) IS
    'computes user_cohorts of the periods with the given first days, for a workspace or, for NULL, for each; returns the rows written';

CREATE FUNCTION analytics_internal.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    IF analytics_internal.cohort_unit(period) IS NULL OR cohort_date IS NULL OR NOT isfinite(cohort_date) THEN
        RAISE EXCEPTION 'invalid cohort'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The period is %s, the date %s.', coalesce(quote_literal(period), 'null'),
                                  coalesce(cohort_date::text, 'null')),
                  HINT = 'Give daily, weekly or monthly, and a day of the cohort''s period.';
    ELSIF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cells(format('SELECT analytics_internal.aggregate_user_cohorts(%L, %L, %L)', period, to_jsonb(cohort_date) #>> '{}', target_workspace_id),
                                           target_workspace_id);
    END IF;
    RETURN analytics_internal.aggregate_cohorts(
        period, ARRAY[date_trunc(analytics_internal.cohort_unit(period), cohort_date::timestamp)::date], target_workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_user_cohorts(text, date, uuid) IS
    'does the work of analytics.aggregate_user_cohorts() as the owner, without row security';

CREATE FUNCTION analytics_internal.due_cohorts(
    workspace_ids uuid[] DEFAULT NULL, from_date date DEFAULT '-infinity',
    OUT workspace_id uuid, OUT period text, OUT cohort_dates date[])
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH start AS MATERIALIZED (
        SELECT p.period, CASE WHEN isfinite(from_date)
                              THEN (date_trunc(p.unit, from_date::timestamp) - (analytics_internal.cohort_limit(p.period) || ' ' || p.unit)::interval)::date
                              ELSE from_date END AS first_cohort
        FROM (SELECT n.period, analytics_internal.cohort_unit(n.period) AS unit
              FROM unnest('{daily,weekly,monthly}'::text[]) AS n (period)) AS p
    ), source AS (
        SELECT p.period, s.*
        FROM start AS p
        CROSS JOIN LATERAL analytics_internal.cohort_sources(p.period, p.first_cohort, 'infinity', workspace_ids) AS s
    ), cohort AS (
        SELECT u.workspace_id, u.cohort_period AS period, u.cohort_date, u.source_state, u.is_final,
               u.counted_until AS counted_before
        FROM start AS p JOIN analytics.user_cohorts AS u ON u.cohort_period = p.period AND u.cohort_date >= p.first_cohort
        WHERE workspace_ids IS NULL OR u.workspace_id = ANY (workspace_ids)
    )
    SELECT workspace_id, period, array_agg(cohort_date ORDER BY cohort_date)
    FROM source AS s FULL JOIN cohort AS c USING (workspace_id, period, cohort_date)
    WHERE CASE WHEN NOT coalesce(s.has_users, false) THEN c.counted_before IS NOT NULL
               ELSE c.counted_before IS NULL OR c.source_state <> s.state OR c.counted_before > s.counted_until -- the clock was ahead
                OR (NOT c.is_final AND c.counted_before < s.counted_until) END
    GROUP BY workspace_id, period
    ORDER BY workspace_id, period;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_cohorts(uuid[], date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_cohorts(uuid[], date) IS
    'cohorts whose row is missing, lacks a period that is over by now, was computed from days or settings that have changed, or has lost its users: of some workspaces (NULL: all), those that a change of from_date or later can have touched';

-- A day that is not over counts for no cohort; it is noted when it ends.
CREATE FUNCTION analytics_internal.enqueue_cohorts() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    basis text := (SELECT string_agg(analytics.setting(n.name), ' ' ORDER BY n.name)
                   FROM (SELECT 'discount_rate_annual' UNION ALL SELECT 'ltv_horizon_periods'
                         UNION ALL SELECT 'cohort_' || s.what || '_' || u.unit
                         FROM unnest('{max,grace}'::text[]) AS s (what), unnest('{days,weeks,months}'::text[]) AS u (unit)) AS n (name));
BEGIN
    INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date)
    SELECT w.workspace_id, 'cohorts', min(w.from_date)
    FROM (SELECT c.workspace_id, c.from_date FROM analytics_internal.read_changes('cohorts', basis, false) AS c) AS r
    CROSS JOIN LATERAL (
        SELECT r.workspace_id, r.from_date
        WHERE r.from_date < analytics.workspace_today(r.workspace_id)
        UNION ALL
        (SELECT d.workspace_id, date '-infinity' FROM analytics.daily_users AS d WHERE r.workspace_id IS NULL
         UNION SELECT u.workspace_id, date '-infinity' FROM analytics.user_cohorts AS u WHERE r.workspace_id IS NULL)) AS w
    WHERE w.workspace_id IS NOT NULL
    GROUP BY w.workspace_id
    ON CONFLICT DO NOTHING;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.enqueue_cohorts() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.enqueue_cohorts() IS
    'queues the workspaces whose days have changed or ended since the last call in analytics.pending_buckets';

-- One workspace's failure does not stop the others; what failed stays due.
CREATE FUNCTION analytics_internal.aggregate_due_cohorts(
    budget interval DEFAULT '10 seconds', OUT rows bigint, OUT again boolean, OUT total bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + budget;
    pending record;
    due record;
    not_done uuid[]; -- of the workspaces looked through
BEGIN
    rows := 0;
    total := 0;
    PERFORM analytics_internal.lock('rollups');
    PERFORM analytics_internal.enqueue_cohorts();
    FOR pending IN
        SELECT array_agg(p.workspace_id) AS workspace_ids, p.from_date
        FROM (SELECT w.*, (row_number() OVER (PARTITION BY w.from_date ORDER BY w.workspace_id) - 1) / 200 AS part
              FROM (SELECT q.workspace_id, min(q.metric_date) AS from_date FROM analytics.pending_buckets AS q
                    WHERE q.kind = 'cohorts' GROUP BY q.workspace_id
                    HAVING (max(q.next_attempt_at) > now()) IS NOT TRUE) AS w) AS p
        GROUP BY p.from_date, p.part ORDER BY p.from_date, p.part
    LOOP
        IF clock_timestamp() >= deadline AND rows > 0 THEN
            total := total + cardinality(pending.workspace_ids);
            CONTINUE;
        END IF;
        not_done := '{}';
        FOR due IN SELECT d.* FROM analytics_internal.due_cohorts(pending.workspace_ids, pending.from_date) AS d LOOP
            IF clock_timestamp() >= deadline AND rows > 0 THEN
                total := total + CASE WHEN due.workspace_id = ANY (not_done) THEN 0 ELSE 1 END;
                not_done := not_done || due.workspace_id;
                CONTINUE;
            END IF;
            BEGIN
                PERFORM analytics_internal.aggregate_cohorts(due.period, due.cohort_dates, due.workspace_id);
                rows := rows + cardinality(due.cohort_dates);
            EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
                RAISE WARNING 'the % cohorts of workspace % could not be computed: %', due.period, due.workspace_id, SQLERRM;
                PERFORM analytics_internal.quarantine(due.workspace_id, 'cohorts', pending.from_date, NULL, concat(SQLSTATE, ': ', SQLERRM));
                not_done := not_done || due.workspace_id;
            END;
        END LOOP;
        DELETE FROM analytics.pending_buckets AS p
        WHERE p.kind = 'cohorts' AND p.workspace_id = ANY (pending.workspace_ids) AND p.workspace_id <> ALL (not_done);
    END LOOP;
    again := total > 0;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_due_cohorts(interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_due_cohorts(interval) IS
    'computes the rows of user_cohorts that are due since days changed or ended, workspace by workspace, until none is left or the budget is used up; rows: how many, total: workspaces left, again: whether there are any';

CREATE FUNCTION analytics.aggregate_user_cohorts(period text, cohort_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT analytics_internal.aggregate_user_cohorts(period, cohort_date, target_workspace_id) $$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_user_cohorts(text, date, uuid) IS
    'computes user_cohorts of the daily, weekly or monthly period that holds cohort_date. For every workspace or for one, from the daily sets and never from raw events; replaces what was there and returns the number of workspaces written. A period that is not over has no row. Another period or no date is an error (22023)';
