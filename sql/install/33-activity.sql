-- Activity: everything the rollups need of a workspace's events, from one scan.

CREATE TYPE analytics.credit_price_rule AS (
    workspace_id uuid,
    model text,
    price numeric,
    currency text,
    valid_from timestamptz
);
COMMENT ON TYPE analytics.credit_price_rule IS
    'price of a credit: of one workspace (nil uuid: of all) and one model (empty: all) from an instant on';

CREATE TYPE analytics.activity_rules AS (
    session_gap interval,
    bounce_rule text,
    currency text,
    details boolean,
    prices analytics.credit_price_rule[]
);
COMMENT ON TYPE analytics.activity_rules IS
    'settings that the rollups follow: session_gap (positive, no months), bounce_rule (single_event or engaged), currency of the key "cost", details (false leaves out agents, event_counts, errors, users and the sketches), prices';

CREATE TYPE analytics.agent_summary AS (
    agent_id uuid,
    total_runs bigint,
    successful_runs bigint,
    failed_runs bigint,
    cancelled_runs bigint,
    avg_runtime_seconds numeric,
    min_runtime_seconds numeric,
    max_runtime_seconds numeric,
    p50_runtime_seconds numeric,
    p75_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    total_credits numeric,
    avg_credits_per_run numeric,
    total_cost numeric,
    total_tokens_used numeric,
    avg_tokens_per_run bigint,
    unique_users bigint,
    avg_user_rating numeric,
    total_feedback_count bigint,
    error_types jsonb,
    common_failure_reasons jsonb,
    runtime_sketch analytics.quantile_sketch,
    user_positions analytics.user_set
);
COMMENT ON TYPE analytics.agent_summary IS
    'one agent in analytics.activity_result; columns as in analytics.agent_performance; user_positions: the users of its runs as positions, from 0, in user_ids';

CREATE TYPE analytics.event_usage AS (
    event_type text,
    event_names text[],
    events bigint[],
    user_positions analytics.user_set[]
);
COMMENT ON TYPE analytics.event_usage IS
    'one event type in analytics.activity_result; columns as in analytics.daily_event_usage; user_positions: the users of each name as positions, from 0, in user_ids';

CREATE TYPE analytics.error_count AS (
    event_name text,
    errors bigint,
    message_hashes bigint[],
    sample_messages text[]
);
COMMENT ON TYPE analytics.error_count IS
    'errors of one event name within an error type; columns as in analytics.daily_errors';

CREATE TYPE analytics.error_type_summary AS (
    error_type text,
    errors analytics.error_count[]
);
COMMENT ON TYPE analytics.error_type_summary IS
    'one error type in analytics.activity_result; columns as in analytics.daily_error_types';

CREATE TYPE analytics.activity_result AS (
    total_events bigint,
    events_by_type jsonb,
    active_users bigint,
    total_sessions bigint,
    avg_session_duration_seconds numeric,
    bounce_rate numeric,
    total_runs bigint,
    successful_runs bigint,
    failed_runs bigint,
    cancelled_runs bigint,
    avg_runtime_seconds numeric,
    median_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    total_credits_consumed numeric,
    avg_credits_per_run numeric,
    credits_by_model jsonb,
    total_cost numeric,
    cost_by_model jsonb,
    currency text,
    unique_agents_run bigint,
    top_agents jsonb,
    total_errors bigint,
    error_rate numeric,
    errors_by_type jsonb,
    ignored_values jsonb,
    avg_response_time_ms bigint,
    p95_response_time_ms bigint,
    agents analytics.agent_summary[],
    event_usage analytics.event_usage[],
    errors analytics.error_type_summary[],
    runtime_sketch analytics.quantile_sketch,
    user_ids uuid[],
    first_events timestamptz[],
    last_events timestamptz[],
    revenue_positions integer[],
    revenues numeric[]
);
COMMENT ON TYPE analytics.activity_result IS
    'all metrics of a workspace in a bucket; columns as in analytics.daily_metrics and hourly_metrics, agents, event_usage and errors beside them. user_ids: the users in ascending order, first_events and last_events: their first and last event; revenues: the users'' revenue where it is not zero, revenue_positions: whose, as positions from 1 in user_ids';

CREATE FUNCTION analytics_internal.activity_rules(details boolean DEFAULT true) RETURNS analytics.activity_rules
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ROW(make_interval(mins => analytics.setting('session_gap_minutes')::integer),
               analytics.setting('bounce_rule'),
               analytics.setting('currency'),
               details,
               ARRAY(SELECT ROW(p.workspace_id, p.model, p.price, p.currency, p.valid_from)::analytics.credit_price_rule
                     FROM analytics.credit_prices AS p))::analytics.activity_rules;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.activity_rules(boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.activity_rules(boolean) IS
    'rules of the rollups as configured now: from analytics.settings and analytics.credit_prices';

-- Dear enough that a plan gives each call a process of its own.
CREATE FUNCTION analytics_internal.collect_activity(
    target_date date, at timestamptz, first_instant timestamptz, last_instant timestamptz,
    shares integer, share integer, passes integer)
RETURNS TABLE (workspace_id uuid, is_final boolean, result analytics.activity_result)
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 1000
AS 'MODULE_PATHNAME', 'shadow_collect_activity';
REVOKE EXECUTE ON FUNCTION analytics_internal.collect_activity(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.collect_activity(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) IS
    'the activity of the workspaces of one share (0 .. shares - 1, by hash; a power of two) on a local day, as of the instant "at", collected in so many passes; first_instant and last_instant: the day in UTC. Called by analytics.aggregate_daily_metrics(), a process for each share. Shares or passes that are no powers of two up to 32768, and a share that is none of the shares, are an error (22023)';
