-- users: reading the sets of active users.

CREATE FUNCTION analytics_internal.number_users(positions analytics.user_set, user_numbers bigint[])
RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_number_users';
REVOKE EXECUTE ON FUNCTION analytics_internal.number_users(analytics.user_set, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.number_users(analytics.user_set, bigint[]) IS
    'the user numbers at the given positions (from 0) of an array';

CREATE FUNCTION analytics_internal.number_users(positions analytics.user_set[], user_numbers bigint[])
RETURNS analytics.user_set[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_number_users_array';
REVOKE EXECUTE ON FUNCTION analytics_internal.number_users(analytics.user_set[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.number_users(analytics.user_set[], bigint[]) IS
    'number_users() of each element';

CREATE FUNCTION analytics.trailing_users(workspace_id uuid, start_date date, end_date date)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_trailing_users';
REVOKE EXECUTE ON FUNCTION analytics.trailing_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.trailing_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days ending with each day from start_date to end_date, in one pass over the sets of analytics.daily_users that the caller may see; get_active_users() without its bounds. A NULL gives no row, an infinite date is an error (22023)';

CREATE FUNCTION analytics.get_active_users(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint,
               stickiness numeric, is_final boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_active_users.workspace_id);
    first_day date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d WHERE d.workspace_id = get_active_users.workspace_id);
    last_day date := (SELECT max(d.metric_date) FROM analytics.daily_users AS d WHERE d.workspace_id = get_active_users.workspace_id);
    provisional date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d
                         WHERE d.workspace_id = get_active_users.workspace_id AND NOT d.is_final);
BEGIN
    RETURN QUERY
    SELECT t.activity_date, t.daily_active_users, t.weekly_active_users, t.monthly_active_users,
           (100.0 * t.daily_active_users / nullif(t.monthly_active_users, 0))::numeric(5, 2),
           t.activity_date < least(today, provisional)
    FROM analytics.trailing_users(get_active_users.workspace_id,
             greatest(coalesce(start_date, today - 30), first_day),
             least(coalesce(end_date, today - 1), greatest(last_day, today - 1))) AS t
    WHERE first_day IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_active_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_active_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days that end with each date (trailing, so also on dates without an event), stickiness = 100 * daily / monthly; from the workspace''s first event to its last complete day, at the end a running day that was aggregated (is_final = false). Dates inclusive, default: the last 30 complete days. NULL or a foreign workspace: no row';

CREATE FUNCTION analytics.user_lifecycle(workspace_id uuid, period text, start_date date, end_date date)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_lifecycle';
REVOKE EXECUTE ON FUNCTION analytics.user_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.user_lifecycle(uuid, text, date, date) IS
    'get_lifecycle() without its bounds: every period that start_date to end_date touches. A NULL gives no row; an unknown period is an error (22023)';

CREATE FUNCTION analytics.get_lifecycle(
    workspace_id uuid, period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_lifecycle.workspace_id);
    first_day date := (SELECT min(d.metric_date) FROM analytics.daily_users AS d WHERE d.workspace_id = get_lifecycle.workspace_id);
BEGIN
    RETURN QUERY
    SELECT l.* FROM analytics.user_lifecycle(get_lifecycle.workspace_id, period,
             greatest(coalesce(start_date, today - 30), first_day), least(coalesce(end_date, today - 1), today)) AS l
    WHERE first_day IS NOT NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) IS
    'per daily, weekly (ISO) or monthly period that start_date to end_date touches: users first seen in it (new), active in it and the one before (returning), active in it, not in the one before and first seen earlier (resurrecting), active in the one before only (dormant). Active = new + returning + resurrecting. Default: the periods of the last 30 complete days. NULL or a foreign workspace: no row; an unknown period is an error (22023)';

CREATE FUNCTION analytics.get_feature_usage(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (event_type text, event_name text, events bigint, distinct_users bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    today date := analytics.workspace_today(get_feature_usage.workspace_id);
BEGIN
    RETURN QUERY
    SELECT c.event_type, c.event_name, sum(c.events)::bigint,
           analytics.user_set_cardinality(analytics.user_set_union_agg(c.users))
    FROM analytics.daily_event_counts AS c
    WHERE c.workspace_id = get_feature_usage.workspace_id
      AND c.metric_date BETWEEN coalesce(start_date, today - 30) AND coalesce(end_date, today - 1)
    GROUP BY c.event_type, c.event_name
    ORDER BY sum(c.events) DESC, c.event_type, c.event_name;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_feature_usage(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_feature_usage(uuid, date, date) IS
    'events and distinct users per event type and name over the dates (inclusive, default: the last 30 complete days), by events descending; event_name is empty where it was missing, (other) beyond the 1,000 most frequent names of a day. NULL or a foreign workspace: no row';
