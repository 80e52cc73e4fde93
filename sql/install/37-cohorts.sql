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
    'one row per workspace, period and cohort of users first seen in it; written by analytics.aggregate_user_cohorts() from the daily sets, so that it outlives the raw events';
COMMENT ON COLUMN analytics.user_cohorts.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.user_cohorts.cohort_period IS
    'daily, weekly (ISO weeks) or monthly';
COMMENT ON COLUMN analytics.user_cohorts.cohort_date IS
    'first day of the period in which the users were first seen';
COMMENT ON COLUMN analytics.user_cohorts.initial_users IS
    'users of the cohort';
COMMENT ON COLUMN analytics.user_cohorts.retention_data IS
    '{"day_N": percent} (week_N, month_N): users active in the N-th period after the cohort''s; N = 0 is 100. A period that is not over is absent; N up to the settings cohort_max_days, _weeks, _months';
COMMENT ON COLUMN analytics.user_cohorts.retention_unbounded IS
    'the same of users active in the N-th period or later';
COMMENT ON COLUMN analytics.user_cohorts.churn_rate IS
    'percent of the cohort silent for the grace window (settings cohort_grace_days, _weeks, _months): 100 - unbounded retention at T - g, T the last period that is over; NULL while T <= g';
COMMENT ON COLUMN analytics.user_cohorts.avg_revenue_per_user IS
    'revenue of the cohort to date / initial_users, 2 decimals';
COMMENT ON COLUMN analytics.user_cohorts.ltv_estimate IS
    'discounted revenue expected of one user over ltv_horizon_periods: revenue per surviving user and period times the expected lifetime by the shifted-beta-geometric model (Fader & Hardie 2007), 2 decimals; NULL where ltv_reason says why';
COMMENT ON COLUMN analytics.user_cohorts.ltv_reason IS
    'why there is no ltv_estimate; NULL when there is';
COMMENT ON COLUMN analytics.user_cohorts.is_final IS
    'whether every period of retention_data up to its limit is over; from then on maintenance computes the row again only when one of those periods has changed';
COMMENT ON COLUMN analytics.user_cohorts.counted_until IS
    'start of the period that was running when the row was written: those before it are counted';
COMMENT ON COLUMN analytics.user_cohorts.source_state IS
    'checksum of the state of the days and settings that the row was computed from: another one means that the row is due';
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
