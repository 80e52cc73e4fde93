\echo Use "ALTER EXTENSION shadow_analytics UPDATE" to load this file. \quit
SET LOCAL search_path = pg_catalog, pg_temp;

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
AS $$
DECLARE
    last_date date := coalesce(end_date, analytics.workspace_today(workspace_id) - 1);
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
    WITH hour AS (
        SELECT g.metric_hour, g.metric_hour AT TIME ZONE analytics.workspace_time_zone(get_usage_by_hour.workspace_id, g.metric_hour) AS local_time
        FROM generate_series(greatest(first_hour, (first_date - 1)::timestamp AT TIME ZONE 'UTC'),
                             least(date_trunc('hour', now(), 'UTC') - interval '1 hour', (last_date + 2)::timestamp AT TIME ZONE 'UTC'),
                             interval '1 hour') AS g (metric_hour)
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
    'when a workspace is used: 168 rows, day_of_week (1 = Monday to 7 = Sunday) by hour_of_day (0 to 23) of its time zone, over the local days from start_date to end_date, both included (default: the last 28 complete days). hours: how many such hours are over, counted from the workspace''s first row in hourly_metrics, which are kept for 30 days unless retention says otherwise; avg_active_users: mean over those hours, NULL without one; then the most active users of one hour, and sums. An hour of UTC belongs to the local hour that it begins in. No row for a workspace without hourly metrics or that the caller may not see; error (22023): start_date after end_date';

CREATE OR REPLACE FUNCTION analytics_internal.role_grants(
    OUT audience text, OUT privileges text, OUT object_type text, OUT object text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
VALUES
    -- Members: what row security leaves them of the tables, their own events, functions that read.
    ('member', 'USAGE', 'SCHEMA', 'analytics'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.current_user_id()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.managed_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.raw_event_workspace_ids()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_user_workspaces()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.earliest_event_time()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.latest_event_time()'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_activity'),
    ('member', 'INSERT (id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)',
        'TABLE', 'analytics.user_activity'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_settings'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_time_zone(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_today(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.workspace_day_bounds(uuid, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.hourly_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_metrics'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_performance'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_usage'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_event_counts'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_error_types'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_errors'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_metrics(uuid, date, date, boolean)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_workspace_summary(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_usage_by_hour(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_agent_insights(uuid, integer)'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.top_agents'),
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_summary'),
    ('member', 'SELECT', 'TABLE', 'analytics.error_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.agent_usage_trends'),
    ('member', 'SELECT', 'TABLE', 'analytics.users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_users'),
    ('member', 'SELECT', 'TABLE', 'analytics.daily_user_revenue'),
    ('member', 'SELECT', 'TABLE', 'analytics.user_cohorts'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.trailing_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_active_users(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_lifecycle(uuid, text, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_feature_usage(uuid, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.user_retention(uuid, text, date, date, date)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.cohort_limit(text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.get_retention_matrix(uuid, text, date, date)'),
    ('member', 'SELECT', 'TABLE', 'analytics.credit_prices'),
    ('member', 'SELECT', 'TABLE', 'analytics.audit_log'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_user(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.export_self()'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_self()'), -- no use without the schema
    ('member', 'SELECT', 'TABLE', 'analytics.workspace_retention'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.credit_price(uuid, text, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track(text, jsonb, uuid, uuid, text, text, uuid, inet, text, text, timestamptz, uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.track_batch(jsonb)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.try_track(jsonb)'),
    ('member', 'SELECT, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('member', 'INSERT (workspace_id, id, name, description, is_active, scope, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'UPDATE (name, description, is_active, metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes, cooldown_minutes, severity, no_data, notification_channels, notification_recipients)',
        'TABLE', 'analytics.alert_rules'),
    ('member', 'SELECT', 'TABLE', 'analytics.alert_rule_states'),
    ('member', 'SELECT, UPDATE (acknowledged_by, acknowledged_at, notes, snoozed_until)', 'TABLE', 'analytics.alert_history'),
    ('member', 'SELECT', 'TABLE', 'analytics.active_alerts'),
    ('member', 'SELECT (workspace_id, name, channel, is_verified, created_at, updated_at), INSERT (workspace_id, name, channel, address, signing_secret), UPDATE (channel, address, signing_secret, verification_hash), DELETE',
        'TABLE', 'analytics.notification_destinations'),
    ('member', 'SELECT (workspace_id, id, kind, alert_id, alert_rule_id, destination_name, channel, status, attempts, next_attempt_at, last_error, response_status, latency_ms, created_at, delivered_at)',
        'TABLE', 'analytics.notification_outbox'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.acknowledge_alert(uuid, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.unacknowledge_alert(uuid)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.snooze_alert(uuid, timestamptz)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.set_notification_destination(uuid, text, text, text, text)'),
    ('member', 'EXECUTE', 'FUNCTION', 'analytics.verify_notification_destination(uuid, text, text)'),
    ('member', 'SELECT', 'TABLE', 'analytics.notification_destination_list'),

    -- The service role (BYPASSRLS), beside what members may: changes every tenant table, configures nothing.
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.forget_user(uuid, uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.export_user(uuid)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.setting(text)'),
    ('service', 'SELECT', 'TABLE', 'analytics.setting_values'),
    ('service', 'SELECT', 'TABLE', 'analytics.settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_activity'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.hourly_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_metrics'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.agent_performance'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_event_usage'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_error_types'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_users'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.daily_user_revenue'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.user_cohorts'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_settings'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.credit_prices'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_runs'),
    ('service', 'SELECT', 'TABLE', 'analytics.watermark'),
    ('service', 'SELECT', 'TABLE', 'analytics.dirty_hours'),
    ('service', 'SELECT', 'TABLE', 'analytics.failed_days'),
    ('service', 'SELECT', 'TABLE', 'analytics.table_sizes'),
    ('service', 'SELECT', 'TABLE', 'analytics.index_usage'),
    ('service', 'SELECT', 'TABLE', 'analytics.slow_queries'),
    ('service', 'SELECT', 'TABLE', 'analytics.freshness'),
    ('service', 'SELECT', 'TABLE', 'analytics.data_quality'),
    ('service', 'SELECT', 'TABLE', 'analytics.job_progress'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.read_slow_queries()'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policies'),
    ('service', 'SELECT', 'TABLE', 'analytics.retention_policy_values'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.workspace_retention'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.activity_rules(boolean)'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_rules'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.alert_history'),
    ('service', 'INSERT, UPDATE, DELETE', 'TABLE', 'analytics.notification_destinations'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics.test_alert_rule(uuid, timestamptz)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.test_alert_rule(uuid, timestamptz)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.claim_notifications(text, integer, interval)'),
    ('service', 'EXECUTE', 'FUNCTION', 'analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval)'),

    -- Maintenance: the service role and whoever analytics.grant_operator() names. A function of the schema
    -- analytics that calls one of analytics_internal needs both.
    ('operator', 'USAGE', 'SCHEMA', 'analytics'),
    ('operator', 'USAGE', 'SCHEMA', 'analytics_internal'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.security_audit()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.create_partitions(date, date)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.index_closed_partitions()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.index_closed_partitions()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.refresh_all_materialized_views()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_daily_metrics(date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_daily_metrics(date, uuid, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_user_cohorts(text, date, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.aggregate_hourly_metrics(timestamptz, uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.evaluate_alert_rules()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.evaluate_alert_rules(timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.catch_up(date, boolean)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.keep_partitions_ahead()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.cleanup_old_data()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.retry_failed_days(uuid)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.health()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.due_steps()'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.begin_step(text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.run_step(text, timestamptz)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.end_step(text, timestamptz, text, text)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.backfill_day(date, timestamptz, integer)'),
    ('operator', 'EXECUTE', 'FUNCTION', 'analytics_internal.resume_backfill(text, timestamptz)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.maintain(interval, boolean)'),
    ('operator', 'EXECUTE', 'PROCEDURE', 'analytics.backfill(date, date)')
$$;

-- A cleanup computes cohorts only where what they are made of goes.
CREATE OR REPLACE FUNCTION analytics_internal.catch_up(target_date date, with_cohorts boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds integer := analytics.setting('catch_up_seconds')::integer;
    deadline timestamptz := clock_timestamp() + make_interval(secs => seconds);
    is_recent boolean := target_date >= (now() AT TIME ZONE 'UTC')::date - 2;
    -- Cohorts are made of the sets of users.
    cohorts boolean := coalesce(with_cohorts, analytics_internal.retention('daily_users') IS NOT NULL OR EXISTS (
        SELECT FROM analytics.workspace_retention AS w WHERE w.table_name = 'daily_users' AND w.keep_days IS NOT NULL));
    state text;
BEGIN
    IF seconds = 0 OR NOT analytics_internal.try_lock_closing() THEN
        RETURN;
    END IF;
    state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    WHILE is_recent AND state = 'ready' AND clock_timestamp() < deadline LOOP
        PERFORM analytics_internal.close_next();
        state := analytics_internal.advance_watermark(analytics_internal.next_mark());
    END LOOP;
    WHILE clock_timestamp() < deadline LOOP
        EXIT WHEN analytics_internal.repair_newest() = 0;
    END LOOP;
    PERFORM analytics_internal.finish_provisional(deadline);
    IF cohorts AND is_recent AND clock_timestamp() < deadline THEN
        PERFORM analytics_internal.aggregate_due_cohorts(deadline - clock_timestamp());
    END IF;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'other days could not be finished: %', SQLERRM
        USING ERRCODE = SQLSTATE, HINT = 'What was asked for is done; the next call tries again.';
END
$$;
COMMENT ON FUNCTION analytics_internal.catch_up(date, boolean) IS
    'closes what is ready to be closed, repairs what has changed and finishes what was provisional, for at most the setting catch_up_seconds; a failure is a warning. target_date: the day that was aggregated; for older ones than the day before yesterday nothing is closed. with_cohorts: then cohorts that are due are computed too; NULL: if sets of users are removed at some age';

CREATE OR REPLACE FUNCTION analytics.cleanup_old_data(OUT table_name text, OUT rows_deleted bigint, OUT note text)
RETURNS SETOF record
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.catch_up((now() AT TIME ZONE 'UTC')::date, NULL);
    RETURN QUERY SELECT * FROM analytics_internal.cleanup_old_data();
    PERFORM analytics_internal.keep_partitions_ahead();
END
$$;

-- Reading what is asked for, with a plan that is made once.
CREATE OR REPLACE FUNCTION analytics.get_workspace_metrics(
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
SET plan_cache_mode = force_generic_plan -- always the key's range: planning would take as long as reading
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

CREATE OR REPLACE FUNCTION analytics.get_agent_insights(agent_id uuid, days integer DEFAULT 30)
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
    last_active_date date)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL OR days NOT BETWEEN 1 AND 36500 THEN
        RAISE EXCEPTION 'days must be from 1 to 36500'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is %s.', coalesce(days::text, 'NULL')),
                  HINT = 'get_agent_insights(agent_id, 7) covers the last 7 complete days.';
    END IF;

    RETURN QUERY
    WITH workspace AS MATERIALIZED (
        SELECT w.workspace_id, w.today - greatest(days, 14) AS first_date, w.today - 1 AS last_date
        FROM (SELECT p.workspace_id, analytics.workspace_today(p.workspace_id) AS today
              FROM analytics.agent_performance AS p
              WHERE p.agent_id = get_agent_insights.agent_id
              GROUP BY p.workspace_id) AS w
    ), agent_day AS MATERIALIZED (
        -- OFFSET 0: one range of the key for each workspace, however many the planner expects.
        SELECT w.last_date, p.*
        FROM workspace AS w
        CROSS JOIN LATERAL (
            SELECT a.workspace_id, a.metric_date, a.total_runs, a.successful_runs, a.failed_runs, a.cancelled_runs, a.total_credits,
                   a.total_cost, a.total_tokens_used, a.total_feedback_count, a.runtime_sketch, a.users, a.error_types
            FROM analytics.agent_performance AS a
            WHERE a.workspace_id = w.workspace_id AND a.agent_id = get_agent_insights.agent_id
              AND a.metric_date BETWEEN w.first_date AND w.last_date
            OFFSET 0) AS p
    ), covered AS NOT MATERIALIZED (
        SELECT r.* FROM agent_day AS r WHERE r.metric_date > r.last_date - days
    ), total AS (
        SELECT coalesce(sum(c.total_runs), 0)::bigint AS runs, coalesce(sum(c.successful_runs), 0)::bigint AS successful,
               coalesce(sum(c.failed_runs), 0)::bigint AS failed, coalesce(sum(c.cancelled_runs), 0)::bigint AS cancelled,
               coalesce(sum(c.total_credits), 0) AS credits, sum(c.total_cost) AS cost,
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
           round(analytics.interpolated_quantile(t.sketch, 0.5)::numeric, 2), round(analytics.interpolated_quantile(t.sketch, 0.95)::numeric, 2),
           round(analytics.interpolated_quantile(t.sketch, 0.99)::numeric, 2), t.credits,
           (SELECT CASE WHEN count(*) <= 1 THEN coalesce(max(analytics.user_set_cardinality(v.users)), 0)
                    ELSE (SELECT count(DISTINCT u.user_id)
                          FROM visitor AS x
                          CROSS JOIN LATERAL analytics.user_set_elements(x.users) AS e (user_number)
                          JOIN analytics.users AS u ON u.workspace_id = x.workspace_id AND u.user_number = e.user_number) END
            FROM visitor AS v),
           analytics.trend_direction(r.this_week, r.week_before),
           coalesce((SELECT jsonb_object_agg(e.key, e.errors) FROM error AS e), '{}'),
           t.successful, t.failed, t.cancelled, t.cost, t.tokens, t.feedbacks, t.last_active
    FROM total AS t, trend AS r
    WHERE EXISTS (SELECT FROM workspace);
END
$$;

-- A refresh analyzes the new rows, and needs little more than their number.
ALTER FUNCTION analytics_internal.refresh_all_materialized_views() SET default_statistics_target = 10;
