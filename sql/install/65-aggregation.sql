-- aggregation: from raw events to the rollup tables.

CREATE FUNCTION analytics.activity_rules(details boolean DEFAULT true) RETURNS analytics.activity_rules
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
REVOKE EXECUTE ON FUNCTION analytics.activity_rules(boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics.activity_rules(boolean) IS
    'rules of activity_summary() as configured now: from analytics.settings and analytics.credit_prices';

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
    'the activity of the workspaces of one share (0 .. shares - 1, by hash; a power of two) on a local day, as of the instant "at", collected in so many passes; first_instant and last_instant: the day in UTC. Called by analytics.aggregate_daily_metrics(), a process for each share';

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
    'does the work of analytics.aggregate_daily_metrics() as the owner, without row security; is_repair: of workspaces whose earlier days are dirty, counts of users of later days are left to analytics_internal.update_stale_totals()';

CREATE FUNCTION analytics.aggregate_daily_metrics(target_date date, target_workspace_id uuid DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    written := analytics_internal.aggregate_daily_metrics(target_date, target_workspace_id);
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up(target_date, true);
        PERFORM analytics_internal.keep_partitions_ahead();
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_daily_metrics(date, uuid) IS
    'computes daily_metrics, agent_performance, daily_event_counts and daily_errors of a local day for every workspace, or for one, from the raw events; replaces what was there and returns the number of workspaces written. A day that is not over is provisional (is_final = false); one later than the workspace''s today is an error (22023). NULL date: error (22004). For every workspace it also does what is due of maintenance: it makes partitions ahead and finishes provisional and changed days and hours, for at most the setting catch_up_seconds; so a daily call keeps the rollups right';

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
    written := analytics_internal.aggregate_hourly_metrics(target_hour, target_workspace_id);
    IF target_workspace_id IS NULL THEN
        PERFORM analytics_internal.catch_up((target_hour AT TIME ZONE 'UTC')::date, false);
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.aggregate_hourly_metrics(timestamptz, uuid) IS
    'computes hourly_metrics of the UTC hour that contains the instant, for every workspace or for one; replaces what was there and returns the number of workspaces written. A running hour is provisional; one that has not begun is an error (22023). NULL: error (22004). For every workspace it also finishes provisional and changed days and hours, for at most the setting catch_up_seconds';
