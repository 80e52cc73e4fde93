-- Rollups: what aggregate_daily_metrics() and aggregate_hourly_metrics() write. Keyed by workspace first.

CREATE TABLE analytics.daily_metrics (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    total_events bigint NOT NULL DEFAULT 0,
    events_by_type jsonb NOT NULL DEFAULT '{}',
    active_users bigint NOT NULL DEFAULT 0,
    new_users bigint NOT NULL DEFAULT 0,
    returning_users bigint NOT NULL DEFAULT 0,
    total_users bigint NOT NULL DEFAULT 0,
    total_sessions bigint NOT NULL DEFAULT 0,
    avg_session_duration_seconds numeric,
    bounce_rate numeric(5, 2),
    total_runs bigint NOT NULL DEFAULT 0,
    successful_runs bigint NOT NULL DEFAULT 0,
    failed_runs bigint NOT NULL DEFAULT 0,
    cancelled_runs bigint NOT NULL DEFAULT 0,
    success_rate numeric(5, 2) GENERATED ALWAYS AS
        (100.0 * successful_runs / nullif(successful_runs + failed_runs, 0)) STORED,
    avg_runtime_seconds numeric,
    median_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    runtime_sketch analytics.quantile_sketch,
    total_credits_consumed numeric NOT NULL DEFAULT 0,
    avg_credits_per_run numeric,
    credits_by_model jsonb NOT NULL DEFAULT '{}',
    total_cost numeric,
    cost_by_model jsonb,
    currency text,
    cost_reason text,
    total_tokens_used numeric NOT NULL DEFAULT 0,
    tokens_by_model jsonb NOT NULL DEFAULT '{}',
    unique_agents_run bigint NOT NULL DEFAULT 0,
    top_agents jsonb NOT NULL DEFAULT '[]',
    total_errors bigint NOT NULL DEFAULT 0,
    error_rate numeric(5, 2),
    errors_by_type jsonb NOT NULL DEFAULT '{}',
    ignored_values jsonb NOT NULL DEFAULT '{}',
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date)
);

CREATE TABLE analytics.hourly_metrics (
    workspace_id uuid NOT NULL,
    metric_hour timestamptz NOT NULL,
    active_users bigint NOT NULL DEFAULT 0,
    total_runs bigint NOT NULL DEFAULT 0,
    successful_runs bigint NOT NULL DEFAULT 0,
    failed_runs bigint NOT NULL DEFAULT 0,
    total_credits numeric NOT NULL DEFAULT 0,
    avg_response_time_ms bigint,
    p95_response_time_ms bigint,
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_hour),
    CONSTRAINT hourly_metrics_full_hour CHECK (metric_hour = date_trunc('hour', metric_hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')
);

CREATE TABLE analytics.agent_performance (
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    metric_date date NOT NULL,
    total_runs bigint NOT NULL DEFAULT 0,
    successful_runs bigint NOT NULL DEFAULT 0,
    failed_runs bigint NOT NULL DEFAULT 0,
    cancelled_runs bigint NOT NULL DEFAULT 0,
    success_rate numeric(5, 2) GENERATED ALWAYS AS
        (100.0 * successful_runs / nullif(successful_runs + failed_runs, 0)) STORED,
    avg_runtime_seconds numeric,
    min_runtime_seconds numeric,
    max_runtime_seconds numeric,
    p50_runtime_seconds numeric,
    p75_runtime_seconds numeric,
    p95_runtime_seconds numeric,
    p99_runtime_seconds numeric,
    runtime_sketch analytics.quantile_sketch,
    total_credits numeric NOT NULL DEFAULT 0,
    avg_credits_per_run numeric,
    total_cost numeric,
    currency text,
    cost_reason text,
    total_tokens_used numeric NOT NULL DEFAULT 0,
    avg_tokens_per_run bigint,
    unique_users bigint NOT NULL DEFAULT 0,
    users analytics.user_set NOT NULL DEFAULT '{}',
    avg_user_rating numeric(3, 2),
    total_feedback_count bigint NOT NULL DEFAULT 0,
    error_types jsonb NOT NULL DEFAULT '{}',
    common_failure_reasons jsonb NOT NULL DEFAULT '[]',
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, agent_id, metric_date)
);

-- One row per event type holds the counts of all its names: a workspace may have hundreds of names a day, and
-- a row for each takes 20 times as long to write and three times the room (test/bench/aggregation.sql).
CREATE TABLE analytics.daily_event_usage (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    event_type text NOT NULL,
    event_names text[] NOT NULL,
    events bigint[] NOT NULL,
    users analytics.user_set[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, event_type)
);

CREATE VIEW analytics.daily_event_counts WITH (security_invoker = true) AS
SELECT u.workspace_id, u.metric_date, u.event_type, n.event_name, n.events,
       analytics.user_set_cardinality(n.users) AS unique_users, n.users, u.created_at, u.updated_at
FROM analytics.daily_event_usage AS u,
    LATERAL unnest(u.event_names, u.events, u.users) AS n (event_name, events, users);

-- Errors likewise: one row per error type.
CREATE TYPE analytics.error_count AS (
    event_name text,
    errors bigint,
    message_hashes bigint[],
    sample_messages text[]
);
COMMENT ON TYPE analytics.error_count IS
    'errors of one event name within an error type; columns as in analytics.daily_errors';

CREATE TABLE analytics.daily_error_types (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    error_type text NOT NULL,
    errors analytics.error_count[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, error_type)
);

CREATE VIEW analytics.daily_errors WITH (security_invoker = true) AS
SELECT t.workspace_id, t.metric_date, t.error_type, e.event_name, e.errors, e.message_hashes, e.sample_messages,
       t.created_at, t.updated_at
FROM analytics.daily_error_types AS t, LATERAL unnest(t.errors) AS e;

COMMENT ON TABLE analytics.daily_metrics IS
    'one row per workspace and local day. Written by analytics.aggregate_daily_metrics(), replaced as a whole when the day is aggregated again';
COMMENT ON COLUMN analytics.daily_metrics.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_metrics.metric_date IS
    'local day of the workspace (half-open, 23 to 25 hours) in the time zone in force then';
COMMENT ON COLUMN analytics.daily_metrics.total_events IS
    'events of the day';
COMMENT ON COLUMN analytics.daily_metrics.events_by_type IS
    '{event_type: events}';
COMMENT ON COLUMN analytics.daily_metrics.active_users IS
    'distinct users with at least one event of any type';
COMMENT ON COLUMN analytics.daily_metrics.new_users IS
    'active users first seen on this day';
COMMENT ON COLUMN analytics.daily_metrics.returning_users IS
    'active users first seen before this day, resurrected ones included; new + returning = active';
COMMENT ON COLUMN analytics.daily_metrics.total_users IS
    'users first seen on or before this day';
COMMENT ON COLUMN analytics.daily_metrics.total_sessions IS
    'sessions of the day: (user, session_id), or by inactivity where session_id is missing. Those are part of a session that they touch. Sessions end at midnight (Universal Analytics)';
COMMENT ON COLUMN analytics.daily_metrics.avg_session_duration_seconds IS
    'mean of last minus first event over all sessions, single-event sessions being 0; seconds, 2 decimals. NULL without a session';
COMMENT ON COLUMN analytics.daily_metrics.bounce_rate IS
    'percent of sessions that bounced, by the setting bounce_rule; NULL without a session';
COMMENT ON COLUMN analytics.daily_metrics.total_runs IS
    'agent runs, de-duplicated by run_id, unfinished ones left out';
COMMENT ON COLUMN analytics.daily_metrics.successful_runs IS
    'runs whose deciding event reports success';
COMMENT ON COLUMN analytics.daily_metrics.failed_runs IS
    'runs whose deciding event reports failure';
COMMENT ON COLUMN analytics.daily_metrics.cancelled_runs IS
    'runs cancelled by the user';
COMMENT ON COLUMN analytics.daily_metrics.success_rate IS
    '100 * successful / (successful + failed). Cancelled runs are the users'' doing (SRE: valid events only); NULL without either';
COMMENT ON COLUMN analytics.daily_metrics.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled and have one; seconds, 2 decimals; NULL without any';
COMMENT ON COLUMN analytics.daily_metrics.median_runtime_seconds IS
    'median (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.p95_runtime_seconds IS
    '95th percentile (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.p99_runtime_seconds IS
    '99th percentile (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.daily_metrics.runtime_sketch IS
    'sketch of the same runtimes in seconds, for percentiles over several days (relative error 1 %). NULL without any';
COMMENT ON COLUMN analytics.daily_metrics.total_credits_consumed IS
    'credits of the runs, each once, and of all other events';
COMMENT ON COLUMN analytics.daily_metrics.avg_credits_per_run IS
    'credits of runs / total_runs, 2 decimals; NULL without a run';
COMMENT ON COLUMN analytics.daily_metrics.credits_by_model IS
    '{model: credits}, zero entries left out; sums to total_credits_consumed';
COMMENT ON COLUMN analytics.daily_metrics.total_cost IS
    'exact cost rounded to 4 decimals, in currency. NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.daily_metrics.cost_by_model IS
    '{model: cost} over the same events; NULL like total_cost';
COMMENT ON COLUMN analytics.daily_metrics.currency IS
    'ISO 4217 code of the costs; NULL without a cost or with several currencies';
COMMENT ON COLUMN analytics.daily_metrics.cost_reason IS
    'why total_cost is NULL: "several currencies", "credits without a price" or (where tokens have prices) "tokens without a price"; NULL where it is not, or nothing had a cost or credits';
COMMENT ON COLUMN analytics.daily_metrics.total_tokens_used IS
    'tokens of the runs, each attempt once';
COMMENT ON COLUMN analytics.daily_metrics.tokens_by_model IS
    '{model: tokens} of the runs, zero entries left out; the 100 largest and "other". Sums to total_tokens_used';
COMMENT ON COLUMN analytics.daily_metrics.unique_agents_run IS
    'distinct agents with a counted run';
COMMENT ON COLUMN analytics.daily_metrics.top_agents IS
    'up to 10 of {agent_id, runs, success_rate, credits}, by runs descending, agent_id. name beside agent_id as in analytics.agents when the day was computed, where the agent has one';
COMMENT ON COLUMN analytics.daily_metrics.total_errors IS
    'error events and failed runs that have no error event of the same run_id that day';
COMMENT ON COLUMN analytics.daily_metrics.error_rate IS
    '100 * total_errors / total_events: the share of events, not of runs';
COMMENT ON COLUMN analytics.daily_metrics.errors_by_type IS
    '{error_type: errors}; sums to total_errors';
COMMENT ON COLUMN analytics.daily_metrics.ignored_values IS
    '{metadata key: malformed values that were ignored} (data quality)';
COMMENT ON COLUMN analytics.daily_metrics.is_final IS
    'false while the day is not over: provisional, never a comparison point';
COMMENT ON COLUMN analytics.daily_metrics.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_metrics.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.hourly_metrics IS
    'one row per workspace and UTC hour with events; written by analytics.aggregate_hourly_metrics()';
COMMENT ON COLUMN analytics.hourly_metrics.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.hourly_metrics.metric_hour IS
    'start of the UTC hour';
COMMENT ON COLUMN analytics.hourly_metrics.active_users IS
    'distinct users with at least one event of any type';
COMMENT ON COLUMN analytics.hourly_metrics.total_runs IS
    'agent runs, de-duplicated by run_id within the hour (so hours may sum to more runs than the day)';
COMMENT ON COLUMN analytics.hourly_metrics.successful_runs IS
    'runs whose deciding event of the hour reports success';
COMMENT ON COLUMN analytics.hourly_metrics.failed_runs IS
    'runs whose deciding event of the hour reports failure';
COMMENT ON COLUMN analytics.hourly_metrics.total_credits IS
    'credits of the runs, each once, and of all other events';
COMMENT ON COLUMN analytics.hourly_metrics.avg_response_time_ms IS
    'mean duration of api_call events and runs (each once); whole milliseconds; NULL without any';
COMMENT ON COLUMN analytics.hourly_metrics.p95_response_time_ms IS
    '95th percentile (Hyndman-Fan type 7) of the same durations; whole milliseconds; NULL without any';
COMMENT ON COLUMN analytics.hourly_metrics.is_final IS
    'false while the hour is not over';
COMMENT ON COLUMN analytics.hourly_metrics.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.hourly_metrics.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.agent_performance IS
    'one row per workspace, agent and local day with a counted run, an error event or a feedback. Written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.agent_performance.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.agent_performance.agent_id IS
    'agent named by metadata.agent_id (agentId, agent); analytics.agents has its name';
COMMENT ON COLUMN analytics.agent_performance.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.agent_performance.total_runs IS
    'runs of the agent, de-duplicated by run_id, unfinished ones left out';
COMMENT ON COLUMN analytics.agent_performance.successful_runs IS
    'runs whose deciding event reports success';
COMMENT ON COLUMN analytics.agent_performance.failed_runs IS
    'runs whose deciding event reports failure';
COMMENT ON COLUMN analytics.agent_performance.cancelled_runs IS
    'runs cancelled by the user';
COMMENT ON COLUMN analytics.agent_performance.success_rate IS
    '100 * successful / (successful + failed); NULL without either';
COMMENT ON COLUMN analytics.agent_performance.avg_runtime_seconds IS
    'mean runtime of the runs that were not cancelled and have one; seconds, 2 decimals; NULL without any';
COMMENT ON COLUMN analytics.agent_performance.min_runtime_seconds IS
    'shortest of the same runtimes';
COMMENT ON COLUMN analytics.agent_performance.max_runtime_seconds IS
    'longest of the same runtimes';
COMMENT ON COLUMN analytics.agent_performance.p50_runtime_seconds IS
    'median (Hyndman-Fan type 7) of the same runtimes';
COMMENT ON COLUMN analytics.agent_performance.p75_runtime_seconds IS
    '75th percentile (Hyndman-Fan type 7)';
COMMENT ON COLUMN analytics.agent_performance.p95_runtime_seconds IS
    '95th percentile (Hyndman-Fan type 7)';
COMMENT ON COLUMN analytics.agent_performance.p99_runtime_seconds IS
    '99th percentile (Hyndman-Fan type 7)';
COMMENT ON COLUMN analytics.agent_performance.runtime_sketch IS
    'sketch of the same runtimes in seconds, for percentiles over several days (relative error 1 %). NULL without any';
COMMENT ON COLUMN analytics.agent_performance.total_credits IS
    'credits of the runs, each once';
COMMENT ON COLUMN analytics.agent_performance.avg_credits_per_run IS
    'total_credits / total_runs, 2 decimals; NULL without a run';
COMMENT ON COLUMN analytics.agent_performance.total_cost IS
    'cost of the runs, 4 decimals, in currency. NULL without any, and where it would be a partial sum (cost_reason)';
COMMENT ON COLUMN analytics.agent_performance.currency IS
    'ISO 4217 code of the costs. NULL without a cost or where the day of the workspace has several currencies';
COMMENT ON COLUMN analytics.agent_performance.cost_reason IS
    'why total_cost is NULL, as in analytics.daily_metrics';
COMMENT ON COLUMN analytics.agent_performance.total_tokens_used IS
    'tokens of the runs, each attempt once';
COMMENT ON COLUMN analytics.agent_performance.avg_tokens_per_run IS
    'total_tokens_used / total_runs, rounded half away from zero; NULL without a run';
COMMENT ON COLUMN analytics.agent_performance.unique_users IS
    'distinct users with a counted run of the agent';
COMMENT ON COLUMN analytics.agent_performance.users IS
    'user_number of those users (analytics.users)';
COMMENT ON COLUMN analytics.agent_performance.avg_user_rating IS
    'mean of the ratings 1 to 5 that name the agent; NULL without any';
COMMENT ON COLUMN analytics.agent_performance.total_feedback_count IS
    'events with a rating or a feedback text that name the agent';
COMMENT ON COLUMN analytics.agent_performance.error_types IS
    '{error_type: errors} of the agent''s error events and of its failed runs without one of the same run_id';
COMMENT ON COLUMN analytics.agent_performance.common_failure_reasons IS
    'up to 5 of {reason, count} of failed runs, by count descending, reason. The reasons are redacted as error messages are and cut to 100 characters';
COMMENT ON COLUMN analytics.agent_performance.is_final IS
    'false while the day is not over';
COMMENT ON COLUMN analytics.agent_performance.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.agent_performance.updated_at IS
    'when a value of the row last changed';

COMMENT ON TABLE analytics.daily_event_usage IS
    'what analytics.daily_event_counts shows, one row per workspace, local day and event type. Written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.daily_event_usage.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_event_usage.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_event_usage.event_type IS
    'event type';
COMMENT ON COLUMN analytics.daily_event_usage.event_names IS
    'event names in ascending order of their bytes. Empty where it was missing, (other) beyond the 1,000 most frequent of the workspace and day';
COMMENT ON COLUMN analytics.daily_event_usage.events IS
    'events of each name';
COMMENT ON COLUMN analytics.daily_event_usage.users IS
    'user_number of the users of each name (analytics.users)';
COMMENT ON COLUMN analytics.daily_event_usage.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_event_usage.updated_at IS
    'when a value of the row last changed';

COMMENT ON VIEW analytics.daily_event_counts IS
    'events per workspace, local day, event type and event name. Feature usage outlives the raw events so. The 1,000 most frequent names of a workspace and day, the rest as (other)';
COMMENT ON COLUMN analytics.daily_event_counts.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_event_counts.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_event_counts.event_type IS
    'event type';
COMMENT ON COLUMN analytics.daily_event_counts.event_name IS
    'event name; empty where it was missing, (other) beyond the 1,000 most frequent';
COMMENT ON COLUMN analytics.daily_event_counts.events IS
    'events of that type and name';
COMMENT ON COLUMN analytics.daily_event_counts.unique_users IS
    'distinct users among them';
COMMENT ON COLUMN analytics.daily_event_counts.users IS
    'user_number of those users (analytics.users)';
COMMENT ON COLUMN analytics.daily_event_counts.created_at IS
    'when the row of analytics.daily_event_usage was first written';
COMMENT ON COLUMN analytics.daily_event_counts.updated_at IS
    'when a value of that row last changed';

COMMENT ON TABLE analytics.daily_error_types IS
    'what analytics.daily_errors shows, one row per workspace, local day and error type. Written by analytics.aggregate_daily_metrics()';
COMMENT ON COLUMN analytics.daily_error_types.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_error_types.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_error_types.error_type IS
    'error type. Unknown where it was missing, (other) for the rest beyond the 1,000 most frequent pairs with event_name';
COMMENT ON COLUMN analytics.daily_error_types.errors IS
    'errors by event name, in ascending order of its bytes';
COMMENT ON COLUMN analytics.daily_error_types.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_error_types.updated_at IS
    'when a value of the row last changed';

COMMENT ON VIEW analytics.daily_errors IS
    'errors per workspace, local day, error type and event name; sums to daily_metrics.total_errors. The 1,000 most frequent pairs of a workspace and day, the rest as (other), (other)';
COMMENT ON COLUMN analytics.daily_errors.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_errors.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_errors.error_type IS
    'error type; unknown where it was missing';
COMMENT ON COLUMN analytics.daily_errors.event_name IS
    'name of the error event or of the failed run''s event; empty where it was missing';
COMMENT ON COLUMN analytics.daily_errors.errors IS
    'error events and failed runs that have no error event of the same run_id that day';
COMMENT ON COLUMN analytics.daily_errors.message_hashes IS
    'hashes of the distinct messages (of a run without one: its failure reason) after redaction. Ascending; the 256 smallest, so that sets of several days can be united';
COMMENT ON COLUMN analytics.daily_errors.sample_messages IS
    'the messages with the smallest hashes, at most 5 of 200 characters. Redacted: addresses, ids, long numbers, keys, passwords';
COMMENT ON COLUMN analytics.daily_errors.created_at IS
    'when the row of analytics.daily_error_types was first written';
COMMENT ON COLUMN analytics.daily_errors.updated_at IS
    'when a value of that row last changed';

-- Time-range scans over all workspaces, and an agent's in all; everything else goes through the primary keys.
CREATE INDEX daily_metrics_metric_date_brin ON analytics.daily_metrics USING brin (metric_date);
COMMENT ON INDEX analytics.daily_metrics_metric_date_brin IS
    'serves: SELECT ... FROM analytics.daily_metrics WHERE metric_date >= ... over all workspaces (refresh of the materialized views)';
CREATE INDEX daily_metrics_provisional ON analytics.daily_metrics (metric_date) WHERE NOT is_final;
COMMENT ON INDEX analytics.daily_metrics_provisional IS
    'serves: the days that are still to be finished, WHERE NOT is_final';
CREATE INDEX hourly_metrics_provisional ON analytics.hourly_metrics (metric_hour) WHERE NOT is_final;
COMMENT ON INDEX analytics.hourly_metrics_provisional IS
    'serves: the hours that are still to be finished, WHERE NOT is_final';
CREATE INDEX agent_performance_metric_date_brin ON analytics.agent_performance USING brin (metric_date);
COMMENT ON INDEX analytics.agent_performance_metric_date_brin IS
    'serves: SELECT ... FROM analytics.agent_performance WHERE metric_date >= ... over all workspaces (refresh of the materialized views)';
CREATE INDEX daily_event_usage_metric_date_brin ON analytics.daily_event_usage USING brin (metric_date);
COMMENT ON INDEX analytics.daily_event_usage_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces';
CREATE INDEX daily_error_types_metric_date_brin ON analytics.daily_error_types USING brin (metric_date);
COMMENT ON INDEX analytics.daily_error_types_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces, and mv_error_trends';
CREATE INDEX hourly_metrics_metric_hour_brin ON analytics.hourly_metrics USING brin (metric_hour);
COMMENT ON INDEX analytics.hourly_metrics_metric_hour_brin IS
    'serves: the rows of one hour over all workspaces, which analytics.aggregate_hourly_metrics(target_hour) replaces, and their retention';
CREATE INDEX agent_performance_agent_id ON analytics.agent_performance (agent_id, metric_date);
COMMENT ON INDEX analytics.agent_performance_agent_id IS
    'serves: analytics.get_agent_insights(agent_id, days), one agent over a range of days in every visible workspace';
COMMENT ON INDEX analytics.daily_metrics_pkey IS
    'serves: a workspace''s days, analytics.get_workspace_metrics(workspace_id, start_date, end_date)';
COMMENT ON INDEX analytics.hourly_metrics_pkey IS
    'serves: a workspace''s hours, WHERE workspace_id = ... AND metric_hour >= ...';
COMMENT ON INDEX analytics.agent_performance_pkey IS
    'serves: an agent''s days within a workspace, WHERE workspace_id = ... AND agent_id = ... AND metric_date >= ...';
COMMENT ON INDEX analytics.daily_error_types_pkey IS
    'serves: errors of a workspace, WHERE workspace_id = ... AND metric_date BETWEEN ... AND ...';
COMMENT ON INDEX analytics.daily_event_usage_pkey IS
    'serves: feature usage of a workspace, WHERE workspace_id = ... AND metric_date BETWEEN ... AND ...';

ALTER TABLE analytics.daily_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.hourly_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.agent_performance ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_event_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_error_types ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.hourly_metrics', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.agent_performance', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_event_usage', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_error_types', '');

CREATE POLICY member_reads ON analytics.daily_metrics FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_metrics IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.hourly_metrics FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.hourly_metrics IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.agent_performance FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.agent_performance IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_event_usage FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_event_usage IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_error_types FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_error_types IS
    'members read their workspaces';

-- From raw events to the rollup tables.

-- Dear enough that a plan gives each call a process of its own.
CREATE FUNCTION analytics_internal.collect_rollups(
    target_date date, at timestamptz, first_instant timestamptz, last_instant timestamptz,
    shares integer, share integer, passes integer)
RETURNS TABLE (rollup integer, contents record, place tid)
LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10000000 ROWS 1000
AS 'MODULE_PATHNAME', 'shadow_collect_rollups';
REVOKE EXECUTE ON FUNCTION analytics_internal.collect_rollups(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.collect_rollups(
    date, timestamptz, timestamptz, timestamptz, integer, integer, integer) IS
    'rows for the rollups of one share''s workspaces on a local day. Shares: 0 .. shares - 1, by hash; a power of two. As of the instant "at", collected in so many passes; first_instant and last_instant: the day in UTC. Called by analytics.aggregate_daily_metrics(), a process for each share. rollup: the number of the table (src/entry/rollup/rows.hpp), contents: a row of its type; place: where the row lies that it replaces, NULL: nowhere, or not known. Shares or passes that are no powers of two up to 32768, and a share that is none of the shares, are an error (22023)';

-- Without JIT: estimates of arrays' elements make small statements look dear, and compiling one takes half a second.
CREATE FUNCTION analytics_internal.aggregate_daily_metrics(
    target_date date, target_workspace_id uuid, is_repair boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS 'MODULE_PATHNAME', 'shadow_aggregate_daily';
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_daily_metrics(date, uuid, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_daily_metrics(date, uuid, boolean) IS
    'does the work of analytics.aggregate_daily_metrics() as the owner, without row security; is_repair: of workspaces whose earlier days are dirty, counts of users of later days are left to analytics_internal.repair_next()';

CREATE FUNCTION analytics.aggregate_daily_metrics(target_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.aggregate_in_cells(target_date, NULL, target_workspace_id);
    ELSIF target_workspace_id IS NULL THEN
        written := analytics_internal.aggregate_despite_missing(target_date, NULL);
    END IF;
    written := COALESCE(written, analytics_internal.aggregate_daily_metrics(target_date, target_workspace_id));
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up(target_date, true);
        PERFORM analytics_internal.keep_partitions_ahead();
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) IS
    'computes the daily rollups of a local day, for every workspace or for one, from the raw events. They are daily_metrics, agent_performance, daily_event_counts and daily_errors. Replaces what was there and returns the number of workspaces written. A day that is not over is provisional (is_final = false); one later than the workspace''s today is an error (22023). NULL date: error (22004). For every workspace it also does what is due of maintenance: it makes partitions ahead and finishes provisional and changed days and hours, for at most the setting catch_up_seconds; so a daily call keeps the rollups right';

CREATE FUNCTION analytics_internal.aggregate_hourly_metrics(target_hour timestamptz, target_workspace_id uuid)
RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS 'MODULE_PATHNAME', 'shadow_aggregate_hourly';
REVOKE EXECUTE ON FUNCTION analytics_internal.aggregate_hourly_metrics(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.aggregate_hourly_metrics(timestamptz, uuid) IS
    'does the work of analytics.aggregate_hourly_metrics() as the owner, without row security';

CREATE FUNCTION analytics.aggregate_hourly_metrics(target_hour timestamptz, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.aggregate_in_cells(NULL, target_hour, target_workspace_id);
    ELSIF target_workspace_id IS NULL THEN
        written := analytics_internal.aggregate_despite_missing(NULL, target_hour);
    END IF;
    written := COALESCE(written, analytics_internal.aggregate_hourly_metrics(target_hour, target_workspace_id));
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up((target_hour AT TIME ZONE 'UTC')::date, false);
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) IS
    'computes hourly_metrics of the UTC hour that contains the instant, for every workspace or for one. Replaces what was there and returns the number of workspaces written. A running hour is provisional; one that has not begun is an error (22023). NULL: error (22004). For every workspace it also finishes provisional and changed days and hours, for at most the setting catch_up_seconds';
