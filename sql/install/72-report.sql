-- report: all that a page about a workspace shows, in one document, and the page itself.
-- Each section is a function of its own, run with the caller's rights. analytics.report() is of the standard's form, whose
-- names are resolved when it is created: callers need EXECUTE on the sections, but not USAGE of their schema. Where they
-- have that, on Citus, they may call a section by itself, which then stops at the report's 1100 days, too.

CREATE FUNCTION analytics_internal.report_range(
    workspace_id uuid, start_date date, end_date date,
    OUT first_date date, OUT last_date date, OUT today date, OUT is_visible boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    today := analytics.workspace_today(workspace_id);
    last_date := coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END);
    first_date := coalesce(start_date, last_date - 29);
    IF first_date > last_date OR NOT (isfinite(first_date) AND isfinite(last_date)) OR last_date - first_date >= 1100 THEN
        RAISE EXCEPTION 'invalid range of days for a report'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The range is %s to %s.', first_date, last_date),
                  HINT = 'Give finite dates with start_date not later than end_date, at most 1100 days; left out, they are the last 30 complete days.';
    END IF;
    is_visible := workspace_id IS NOT NULL
        AND (NOT row_security_active('analytics.daily_metrics') OR workspace_id = ANY (analytics.workspace_ids())
             OR EXISTS (SELECT FROM analytics.daily_metrics AS d WHERE d.workspace_id = report_range.workspace_id));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_range(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_range(uuid, date, date) IS
    'the days of a report, the workspace''s today, and whether the caller may see it. Error (22023): a range that is reversed, infinite or longer than 1100 days';

CREATE FUNCTION analytics_internal.report_workspace(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    time_zone CONSTANT text := analytics.workspace_time_zone(workspace_id);
BEGIN
    RETURN jsonb_build_object(
        'workspace_id', workspace_id,
        'name', (SELECT w.name FROM analytics.workspaces AS w WHERE w.workspace_id = report_workspace.workspace_id),
        'time_zone', time_zone,
        'currency', (SELECT CASE WHEN min(d.currency) = max(d.currency) THEN min(d.currency) END
                     FROM analytics.daily_metrics AS d
                     WHERE d.workspace_id = report_workspace.workspace_id AND d.metric_date BETWEEN first_date AND last_date));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_workspace(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_workspace(uuid, date, date) IS
    'section "workspace" of analytics.report()';

CREATE FUNCTION analytics_internal.report_headline(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_object_agg(v.key, jsonb_build_object('value', v.value, 'previous', v.previous,
                                                          'difference', CASE WHEN v.is_comparable AND last_date < today THEN v.value - v.previous END,
                                                          'change', v.change)
                                       || CASE WHEN v.key = 'total_cost'
                                               THEN jsonb_build_object('reason', s.cost_reason, 'previous_reason', s.previous_cost_reason,
                                                                       'previous_currency', s.previous_currency)
                                               ELSE '{}' END)
        FROM (VALUES (1)) AS one
        LEFT JOIN analytics.get_workspace_summary(workspace_id, first_date, last_date) AS s ON true
        CROSS JOIN LATERAL (VALUES
            ('active_users', s.active_users::numeric, s.previous_active_users::numeric, s.active_users_change, true),
            ('total_sessions', s.total_sessions, s.previous_total_sessions, s.total_sessions_change, true),
            ('total_events', s.total_events, s.previous_total_events, s.total_events_change, true),
            ('total_runs', s.total_runs, s.previous_total_runs, s.total_runs_change, true),
            ('success_rate', s.success_rate, s.previous_success_rate, s.success_rate_change, true),
            ('p95_runtime_seconds', s.p95_runtime, s.previous_p95_runtime, s.p95_runtime_change, true),
            ('total_credits', s.total_credits, s.previous_total_credits, s.total_credits_change, true),
            ('total_cost', s.total_cost, s.previous_total_cost, s.total_cost_change, s.currency = s.previous_currency),
            ('error_rate', s.error_rate, s.previous_error_rate, s.error_rate_change, true)) AS v (key, value, previous, change, is_comparable));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_headline(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_headline(uuid, date, date, date) IS
    'section "headline" of analytics.report()';

CREATE FUNCTION analytics_internal.report_daily(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Read by itself: on Citus a function runs elsewhere with the tables that it is joined with.
    users CONSTANT jsonb := (SELECT jsonb_agg(to_jsonb(u)) FROM analytics.get_active_users(workspace_id, first_date, last_date) AS u);
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'date', g.day, 'is_final', g.day < today AND coalesce(d.is_final, u.is_final, true),
                   'daily_active_users', u.daily_active_users, 'weekly_active_users', u.weekly_active_users,
                   'monthly_active_users', u.monthly_active_users, 'stickiness', u.stickiness,
                   'total_sessions', coalesce(d.total_sessions, 0), 'total_events', coalesce(d.total_events, 0),
                   'total_runs', coalesce(d.total_runs, 0), 'successful_runs', coalesce(d.successful_runs, 0),
                   'failed_runs', coalesce(d.failed_runs, 0), 'cancelled_runs', coalesce(d.cancelled_runs, 0),
                   'success_rate', d.success_rate, 'median_runtime_seconds', round(d.median_runtime_seconds, 2),
                   'p95_runtime_seconds', round(d.p95_runtime_seconds, 2),
                   'total_credits', coalesce(d.total_credits_consumed, 0), 'total_cost', d.total_cost, 'cost_reason', d.cost_reason,
                   'total_errors', coalesce(d.total_errors, 0), 'error_rate', d.error_rate) ORDER BY g.day)
        FROM (SELECT first_date + i AS day FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i) AS g
        LEFT JOIN analytics.daily_metrics AS d ON d.workspace_id = report_daily.workspace_id AND d.metric_date = g.day
        LEFT JOIN jsonb_to_recordset(users) AS u (activity_date date, daily_active_users bigint, weekly_active_users bigint,
                                                  monthly_active_users bigint, stickiness numeric, is_final boolean) ON u.activity_date = g.day), '[]');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_daily(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_daily(uuid, date, date, date) IS
    'section "daily" of analytics.report()';

CREATE FUNCTION analytics_internal.report_lifecycle(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    period text := CASE WHEN last_date - first_date < 14 THEN 'daily' WHEN last_date - first_date < 184 THEN 'weekly' ELSE 'monthly' END;
BEGIN
    RETURN jsonb_build_object('period', period, 'items', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'period_start', l.period_start, 'new_users', l.new_users, 'returning_users', l.returning_users,
                   'resurrecting_users', l.resurrecting_users, 'dormant_users', l.dormant_users,
                   'is_final', l.is_final) ORDER BY l.period_start)
        FROM analytics.get_lifecycle(workspace_id, period, first_date, least(last_date, today)) AS l), '[]'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_lifecycle(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_lifecycle(uuid, date, date, date) IS
    'section "lifecycle" of analytics.report()';

CREATE FUNCTION analytics_internal.report_retention(workspace_id uuid, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object('period', 'weekly', 'items', coalesce((
        SELECT jsonb_agg(jsonb_build_object('cohort_date', c.cohort_date, 'initial_users', c.initial_users,
                                            'retained_users', c.retained, 'retention_rates', c.rates) ORDER BY c.cohort_date)
        FROM (SELECT r.cohort_date, r.initial_users, jsonb_agg(r.retained_users ORDER BY r.period_number) AS retained,
                     jsonb_agg(r.retention_rate ORDER BY r.period_number) AS rates
              FROM analytics.get_retention_matrix(workspace_id, 'weekly', last_date - 83, last_date) AS r
              WHERE r.period_number <= 12
              GROUP BY r.cohort_date, r.initial_users) AS c), '[]'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_retention(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_retention(uuid, date) IS
    'section "retention" of analytics.report()';

CREATE FUNCTION analytics_internal.report_models(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH amount AS (
            SELECT m.key AS model, d.metric_date, m.value::numeric AS credits, (d.cost_by_model ->> m.key)::numeric AS cost
            FROM analytics.daily_metrics AS d, jsonb_each_text(d.credits_by_model) AS m
            WHERE d.workspace_id = report_models.workspace_id
              AND d.metric_date BETWEEN first_date - (last_date - first_date + 1) AND last_date
        ), model AS (
            SELECT a.model, coalesce(sum(a.credits) FILTER (WHERE a.metric_date >= first_date), 0) AS credits,
                   coalesce(sum(a.credits) FILTER (WHERE a.metric_date < first_date), 0) AS previous_credits,
                   CASE WHEN count(*) FILTER (WHERE a.metric_date >= first_date AND a.cost IS NULL) = 0
                        THEN sum(a.cost) FILTER (WHERE a.metric_date >= first_date) END AS cost
            FROM amount AS a
            GROUP BY a.model
        ), ranked AS (
            SELECT m.*, row_number() OVER (ORDER BY m.credits DESC, m.model COLLATE "C") AS place FROM model AS m WHERE m.credits > 0
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'model', r.model, 'credits', r.credits, 'previous_credits', r.previous_credits, 'cost', r.cost,
                         'daily_credits', (SELECT jsonb_agg(coalesce(a.credits, 0) ORDER BY i)
                                           FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i
                                           LEFT JOIN amount AS a ON a.metric_date = first_date + i AND a.model = r.model))
                         ORDER BY r.place) FROM ranked AS r WHERE r.place <= 6), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'credits', coalesce(sum(r.credits), 0)) FROM ranked AS r WHERE r.place > 6)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_models(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_models(uuid, date, date, date) IS
    'section "models" of analytics.report()';

CREATE FUNCTION analytics_internal.report_features(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH feature AS (
            SELECT f.*, row_number() OVER (ORDER BY f.events DESC, f.event_type, f.event_name COLLATE "C") AS place
            FROM analytics.get_feature_usage(workspace_id, first_date, last_date) AS f
            WHERE f.event_name <> ''
        ), previous AS (
            SELECT p.event_type, p.event_name, p.events
            FROM analytics.get_feature_usage(workspace_id, first_date - (last_date - first_date + 1), first_date - 1) AS p
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'event_type', f.event_type, 'event_name', f.event_name, 'events', f.events,
                         'distinct_users', f.distinct_users, 'previous_events', coalesce(p.events, 0)) ORDER BY f.place)
                     FROM feature AS f LEFT JOIN previous AS p USING (event_type, event_name) WHERE f.place <= 20), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'events', coalesce(sum(f.events), 0)) FROM feature AS f WHERE f.place > 20)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_features(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_features(uuid, date, date) IS
    'section "features" of analytics.report()';

CREATE FUNCTION analytics_internal.report_hours(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('day_of_week', h.day_of_week, 'hour_of_day', h.hour_of_day, 'hours', h.hours,
                                            'avg_active_users', h.avg_active_users, 'max_active_users', h.max_active_users,
                                            'total_runs', h.total_runs) ORDER BY h.day_of_week, h.hour_of_day)
        FROM analytics.get_usage_by_hour(workspace_id, first_date, last_date) AS h), '[]');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_hours(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_hours(uuid, date, date) IS
    'section "hours" of analytics.report()';

CREATE FUNCTION analytics_internal.report_agents(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH day AS MATERIALIZED (
            SELECT a.agent_id, a.metric_date, a.total_runs, a.successful_runs, a.failed_runs, a.cancelled_runs, a.runtime_sketch,
                   a.total_credits, a.total_cost, a.currency, a.cost_reason, a.users
            FROM analytics.agent_performance AS a
            WHERE a.workspace_id = report_agents.workspace_id AND a.metric_date BETWEEN first_date AND last_date
        ), ranked AS (
            SELECT d.agent_id, sum(d.total_runs) AS runs, row_number() OVER (ORDER BY sum(d.total_runs) DESC, d.agent_id) AS place
            FROM day AS d GROUP BY d.agent_id HAVING sum(d.total_runs) > 0
        ), agent AS (
            SELECT r.agent_id, r.place, r.runs, sum(d.successful_runs) AS successful, sum(d.failed_runs) AS failed,
                   sum(d.cancelled_runs) AS cancelled, analytics.quantile_sketch_merge(d.runtime_sketch) AS sketch,
                   sum(d.total_credits) AS credits,
                   sum(d.total_cost) AS cost,
                   CASE WHEN count(DISTINCT d.currency) > 1 OR bool_or(d.cost_reason = 'several currencies') THEN 'several currencies'
                    ELSE max(d.cost_reason) END AS cost_reason,
                   analytics.user_set_cardinality(analytics.user_set_union_agg(d.users)) AS users
            FROM ranked AS r JOIN day AS d USING (agent_id)
            WHERE r.place <= 20
            GROUP BY r.agent_id, r.place, r.runs
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'agent_id', a.agent_id,
                         'name', (SELECT n.name FROM analytics.agents AS n
                                  WHERE n.workspace_id = report_agents.workspace_id AND n.agent_id = a.agent_id),
                         'total_runs', a.runs,
                         'previous_total_runs', (SELECT coalesce(sum(p.total_runs), 0) FROM analytics.agent_performance AS p
                                                 WHERE p.workspace_id = report_agents.workspace_id AND p.agent_id = a.agent_id
                                                   AND p.metric_date BETWEEN first_date - (last_date - first_date + 1) AND first_date - 1),
                         'successful_runs', a.successful, 'failed_runs', a.failed, 'cancelled_runs', a.cancelled,
                         'success_rate', round(100.0 * a.successful / nullif(a.successful + a.failed, 0), 2),
                         'median_runtime_seconds', round(analytics.quantile(a.sketch, 0.5, true)::numeric, 2),
                         'p95_runtime_seconds', round(analytics.quantile(a.sketch, 0.95, true)::numeric, 2),
                         'total_credits', a.credits, 'total_cost', CASE WHEN a.cost_reason IS NULL THEN a.cost END,
                         'cost_reason', a.cost_reason, 'distinct_users', a.users,
                         'daily_runs', (SELECT jsonb_agg(coalesce(d.total_runs, 0) ORDER BY i)
                                        FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i
                                        LEFT JOIN day AS d ON d.metric_date = first_date + i AND d.agent_id = a.agent_id))
                         ORDER BY a.place) FROM agent AS a), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'total_runs', coalesce(sum(r.runs), 0)) FROM ranked AS r WHERE r.place > 20)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_agents(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_agents(uuid, date, date, date) IS
    'section "agents" of analytics.report()';

CREATE FUNCTION analytics_internal.report_errors(workspace_id uuid, first_date date, last_date date, today date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH day AS MATERIALIZED (
            SELECT e.key AS error_type, d.metric_date, e.value::bigint AS errors
            FROM analytics.daily_metrics AS d, jsonb_each_text(d.errors_by_type) AS e
            WHERE d.workspace_id = report_errors.workspace_id
              AND d.metric_date BETWEEN first_date - (last_date - first_date + 1) AND last_date
        ), ranked AS (
            SELECT d.error_type, sum(d.errors) FILTER (WHERE d.metric_date >= first_date) AS errors,
                   coalesce(sum(d.errors) FILTER (WHERE d.metric_date < first_date), 0) AS previous_errors,
                   row_number() OVER (ORDER BY sum(d.errors) FILTER (WHERE d.metric_date >= first_date) DESC, d.error_type COLLATE "C") AS place
            FROM day AS d GROUP BY d.error_type
            HAVING sum(d.errors) FILTER (WHERE d.metric_date >= first_date) > 0
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(jsonb_build_object(
                         'error_type', r.error_type, 'errors', r.errors, 'previous_errors', r.previous_errors,
                         'daily_errors', (SELECT jsonb_agg(coalesce(d.errors, 0) ORDER BY i)
                                          FROM generate_series(0, least(last_date, today, first_date + 1099) - first_date) AS i
                                          LEFT JOIN day AS d ON d.metric_date = first_date + i AND d.error_type = r.error_type))
                         ORDER BY r.place) FROM ranked AS r WHERE r.place <= 12), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*), 'errors', coalesce(sum(r.errors), 0)) FROM ranked AS r WHERE r.place > 12)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_errors(uuid, date, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_errors(uuid, date, date, date) IS
    'section "errors" of analytics.report()';

CREATE FUNCTION analytics_internal.report_alerts(workspace_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        WITH alert AS (
            SELECT r.name, r.severity, s.state, s.since, r.metric_type, r.condition, r.threshold_value, r.threshold_max,
                   h.metric_value, h.reason,
                   row_number() OVER (ORDER BY s.state, array_position('{critical,warning,info}', r.severity), s.since, r.name COLLATE "C") AS place
            FROM analytics.alert_rule_states AS s
            JOIN analytics.alert_rules AS r ON r.workspace_id = s.workspace_id AND r.id = s.alert_rule_id
            LEFT JOIN analytics.alert_history AS h ON h.workspace_id = s.workspace_id AND h.id = s.alert_id
            WHERE s.workspace_id = report_alerts.workspace_id AND s.state <> 'ok'
        )
        SELECT jsonb_build_object(
            'items', coalesce((SELECT jsonb_agg(to_jsonb(a) - 'place' ORDER BY a.place) FROM alert AS a WHERE a.place <= 20), '[]'),
            'more', (SELECT jsonb_build_object('items', count(*)) FROM alert AS a WHERE a.place > 20)));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_alerts(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_alerts(uuid) IS
    'section "alerts" of analytics.report()';

CREATE FUNCTION analytics_internal.report_freshness(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT jsonb_build_object(
            'first_day', min(d.metric_date), 'newest_day', max(d.metric_date),
            'newest_final_day', max(d.metric_date) FILTER (WHERE d.is_final),
            'provisional_days', count(*) FILTER (WHERE NOT d.is_final AND d.metric_date BETWEEN first_date AND last_date),
            'computed_at', max(d.updated_at),
            'newest_hour', (SELECT max(h.metric_hour) FROM analytics.hourly_metrics AS h WHERE h.workspace_id = report_freshness.workspace_id))
        FROM analytics.daily_metrics AS d WHERE d.workspace_id = report_freshness.workspace_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_freshness(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_freshness(uuid, date, date) IS
    'section "freshness" of analytics.report()';

CREATE FUNCTION analytics_internal.report_annotations(workspace_id uuid, first_date date, last_date date) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(jsonb_build_object('date', f.day, 'title', f.title) ORDER BY f.starts_at, f.id)
        FROM (SELECT d.day, a.title, a.starts_at, a.id
              FROM analytics.annotations AS a, LATERAL (SELECT analytics.workspace_today(a.workspace_id, a.starts_at) AS day) AS d
              WHERE a.workspace_id = report_annotations.workspace_id AND d.day BETWEEN first_date AND last_date
              ORDER BY a.starts_at DESC, a.id DESC LIMIT 100) AS f), '[]');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.report_annotations(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_annotations(uuid, date, date) IS
    'section "annotations" of analytics.report()';

CREATE FUNCTION analytics.report(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT CASE WHEN r.is_visible THEN jsonb_build_object(
        'version', 1,
        'workspace', analytics_internal.report_workspace(report.workspace_id, r.first_date, r.last_date),
        'range', jsonb_build_object('start_date', r.first_date, 'end_date', r.last_date, 'days', r.last_date - r.first_date + 1,
                                    'previous_start_date', r.first_date - (r.last_date - r.first_date + 1),
                                    'previous_end_date', r.first_date - 1, 'today', r.today),
        'generated_at', now(),
        'freshness', analytics_internal.report_freshness(report.workspace_id, r.first_date, r.last_date),
        'headline', analytics_internal.report_headline(report.workspace_id, r.first_date, r.last_date, r.today),
        'daily', analytics_internal.report_daily(report.workspace_id, r.first_date, r.last_date, r.today),
        'lifecycle', analytics_internal.report_lifecycle(report.workspace_id, r.first_date, r.last_date, r.today),
        'retention', analytics_internal.report_retention(report.workspace_id, r.last_date),
        'models', analytics_internal.report_models(report.workspace_id, r.first_date, r.last_date, r.today),
        'features', analytics_internal.report_features(report.workspace_id, r.first_date, r.last_date),
        'hours', analytics_internal.report_hours(report.workspace_id, r.first_date, r.last_date),
        'agents', analytics_internal.report_agents(report.workspace_id, r.first_date, r.last_date, r.today),
        'errors', analytics_internal.report_errors(report.workspace_id, r.first_date, r.last_date, r.today),
        'alerts', analytics_internal.report_alerts(report.workspace_id),
        'annotations', analytics_internal.report_annotations(report.workspace_id, r.first_date, r.last_date)) END
    FROM analytics_internal.report_range(report.workspace_id, report.start_date, report.end_date) AS r;
END;
REVOKE EXECUTE ON FUNCTION analytics.report(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.report(uuid, date, date) IS
    'everything that a page about a workspace shows, as one document. Headline figures with those of the previous period, daily users and runs, lifecycle, retention, models, features, hours, agents, errors, alerts and how fresh the numbers are. Dates inclusive (default: the last 30 complete days, at most 1100). report/README.md describes each field. With the caller''s rights: NULL for a workspace that the caller may not see; error (22023) for a range that is reversed, infinite or too long';

CREATE FUNCTION analytics_internal.report_page(document text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_report_page';
REVOKE EXECUTE ON FUNCTION analytics_internal.report_page(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.report_page(text) IS
    'the page of make install-report with a JSON text in it. analytics.report_page() without its query';

CREATE FUNCTION analytics.report_page(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analytics_internal.report_page(analytics.report(report_page.workspace_id, report_page.start_date, report_page.end_date)::text);
END;
REVOKE EXECUTE ON FUNCTION analytics.report_page(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.report_page(uuid, date, date) IS
    'analytics.report() as a web page: one HTML file that makes no request, in ASCII. Arguments and rights as there; NULL for a workspace that the caller may not see. Errors: 58P01 where the page was not installed (make report, make install-report), 22023 as analytics.report()';
