-- Users for ever: who was active when, in a few bytes per user and day, independent of the raw events' retention.

-- user_number is dense and small, so that a set of users is a few bytes per user. Updates of last_seen stay on the page.
CREATE TABLE analytics.users (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_number bigint NOT NULL,
    first_date date NOT NULL,
    last_date date NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    is_forgotten boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT users_user_number_key UNIQUE (workspace_id, user_number),
    CONSTRAINT users_user_number_check CHECK (user_number BETWEEN 0 AND 4294967295)
) WITH (fillfactor = 80);
COMMENT ON TABLE analytics.users IS
    'dictionary of a workspace''s users. Written by analytics.aggregate_daily_metrics() and kept when the raw events go. A user whose last active day is aggregated again without that user leaves it';
COMMENT ON COLUMN analytics.users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.users.user_id IS
    'user, as in analytics.user_activity';
COMMENT ON COLUMN analytics.users.user_number IS
    'the user in the sets of this workspace (analytics.user_set). From 0, ascending in the order of first aggregation';
COMMENT ON COLUMN analytics.users.first_date IS
    'local day of the workspace on which the user was first active, and counts as new';
COMMENT ON COLUMN analytics.users.last_date IS
    'last local day of the workspace on which the user was active';
COMMENT ON COLUMN analytics.users.first_seen IS
    'first event; the start of first_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.last_seen IS
    'last event; the start of last_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.is_forgotten IS
    'whether user_id was replaced by a random one. analytics.forget_user() and the retention of identities do so; the number and all counts stay';
COMMENT ON INDEX analytics.users_pkey IS
    'serves: the numbers of a day''s users while it is aggregated';
COMMENT ON INDEX analytics.users_user_number_key IS
    'serves: the next free number of a workspace, and the users of a set';
COMMENT ON CONSTRAINT users_user_number_check ON analytics.users IS
    'what analytics.user_set holds';

CREATE TABLE analytics.daily_users (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    users analytics.user_set NOT NULL,
    new_users analytics.user_set NOT NULL,
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date)
);
COMMENT ON TABLE analytics.daily_users IS
    'the active users of each workspace and local day as sets of user_number. A day without an event has no row';
COMMENT ON COLUMN analytics.daily_users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_users.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_users.users IS
    'user_number of the users with at least one event of any type';
COMMENT ON COLUMN analytics.daily_users.new_users IS
    'those of them first seen on this day';
COMMENT ON COLUMN analytics.daily_users.is_final IS
    'false while the day is not over';
COMMENT ON COLUMN analytics.daily_users.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_users.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_users_pkey IS
    'serves: a workspace''s days in order, analytics.get_active_users(), get_lifecycle(), cohorts';
CREATE INDEX daily_users_metric_date_brin ON analytics.daily_users USING brin (metric_date);
COMMENT ON INDEX analytics.daily_users_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces';

CREATE TABLE analytics.daily_user_revenue (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    user_number bigint NOT NULL,
    revenue numeric NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, user_number)
);
COMMENT ON TABLE analytics.daily_user_revenue IS
    'revenue per user and local day where it is not zero; cohorts read it, never raw events';
COMMENT ON COLUMN analytics.daily_user_revenue.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_user_revenue.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_user_revenue.user_number IS
    'user, as in analytics.users';
COMMENT ON COLUMN analytics.daily_user_revenue.revenue IS
    'sum of the metadata key revenue of the user''s events, signed, exact';
COMMENT ON COLUMN analytics.daily_user_revenue.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_user_revenue.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_user_revenue_pkey IS
    'serves: the revenue of a workspace''s days in order, analytics.aggregate_user_cohorts()';
CREATE INDEX daily_user_revenue_metric_date_brin ON analytics.daily_user_revenue USING brin (metric_date);
COMMENT ON INDEX analytics.daily_user_revenue_metric_date_brin IS
    'serves: the rows of one day over all workspaces, which analytics.aggregate_daily_metrics(target_date) replaces';

ALTER TABLE analytics.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_user_revenue ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_user_revenue', '');

CREATE POLICY member_reads ON analytics.users FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.users IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_users FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_users IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.daily_user_revenue FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.daily_user_revenue IS
    'members read their workspaces';

-- The totals of users, whichever day is aggregated.

-- Without sequential scans: where one workspace has most of the users, the planner takes each for as large and would
-- read the whole table once for every workspace.
CREATE FUNCTION analytics_internal.count_users(workspace_ids uuid[], last_dates date[])
RETURNS TABLE (workspace_id uuid, total_users bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
SELECT w.workspace_id,
       COALESCE((SELECT m.total_users FROM analytics.daily_metrics AS m
                 WHERE m.workspace_id = w.workspace_id AND m.metric_date <= w.last_date
                 ORDER BY m.metric_date DESC LIMIT 1),
                (SELECT count(*) FROM analytics.users AS u
                 WHERE u.workspace_id = w.workspace_id AND u.first_date <= w.last_date))
FROM unnest(workspace_ids, last_dates) AS w (workspace_id, last_date)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_users(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_users(uuid[], date[]) IS
    'users of each workspace first seen until its date: as the row of the last day says, or counted where there is none';

CREATE FUNCTION analytics_internal.update_later_totals(workspace_ids uuid[], from_dates date[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
UPDATE analytics.daily_metrics AS t
SET new_users = l.new_users, returning_users = l.active_users - l.new_users, total_users = l.total_users, updated_at = now()
FROM (SELECT d.workspace_id, d.metric_date, d.active_users, d.new_users,
             c.total_users + sum(d.new_users) OVER (PARTITION BY d.workspace_id ORDER BY d.metric_date) AS total_users
      FROM analytics_internal.count_users(workspace_ids, from_dates) AS c
      JOIN (SELECT s.workspace_id, s.metric_date, analytics.user_set_cardinality(s.users) AS active_users,
                   analytics.user_set_cardinality(s.new_users) AS new_users
            FROM unnest(workspace_ids, from_dates) AS w (workspace_id, from_date)
            JOIN analytics.daily_users AS s ON s.workspace_id = w.workspace_id AND s.metric_date > w.from_date) AS d
          ON d.workspace_id = c.workspace_id) AS l
WHERE t.workspace_id = l.workspace_id AND t.metric_date = l.metric_date
  AND (t.new_users, t.returning_users, t.total_users) <> (l.new_users, l.active_users - l.new_users, l.total_users)
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.update_later_totals(uuid[], date[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.update_later_totals(uuid[], date[]) IS
    'brings the counts of users of the days after the given ones up to date';

-- Reading the sets of active users.

CREATE FUNCTION analytics_internal.trailing_users(workspace_id uuid, start_date date, end_date date)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_trailing_users';
REVOKE EXECUTE ON FUNCTION analytics_internal.trailing_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.trailing_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days ending with each day from start_date to end_date, in one pass over the sets of analytics.daily_users that the caller may see; get_active_users() without bounds by the data. A NULL gives no row. Errors: dates that are infinite or not from 0001-01-01 to 9999-12-31 (22023), more than 36,525 days (54000)';

-- Tables are read by PL/pgSQL: Citus cannot plan what a function of SQL asks of them by its parameters.
CREATE FUNCTION analytics_internal.user_days(workspace_id uuid, OUT today date, OUT first_day date, OUT last_day date, OUT provisional date)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    today := analytics.workspace_today(user_days.workspace_id);
    SELECT min(d.metric_date), max(d.metric_date), min(d.metric_date) FILTER (WHERE NOT d.is_final) INTO first_day, last_day, provisional
    FROM analytics.daily_users AS d WHERE d.workspace_id = user_days.workspace_id;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.user_days(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_days(uuid) IS
    'days of a workspace: today, the first and the last in analytics.daily_users, and the first that is not final; NULL where there is none, or the caller sees none';

CREATE FUNCTION analytics.get_active_users(workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (activity_date date, daily_active_users bigint, weekly_active_users bigint, monthly_active_users bigint,
               stickiness numeric, is_final boolean)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.activity_date, t.daily_active_users, t.weekly_active_users, t.monthly_active_users,
           (100.0 * t.daily_active_users / nullif(t.monthly_active_users, 0))::numeric(5, 2),
           t.activity_date < least(w.today, w.provisional)
    FROM analytics_internal.user_days(get_active_users.workspace_id) AS w
    CROSS JOIN LATERAL analytics_internal.trailing_users(
        get_active_users.workspace_id, greatest(coalesce(start_date, w.today - 30), w.first_day),
        least(coalesce(end_date, CASE start_date WHEN w.today THEN w.today ELSE w.today - 1 END), greatest(w.last_day, w.today - 1))) AS t
    WHERE w.first_day IS NOT NULL;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_active_users(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_active_users(uuid, date, date) IS
    'distinct users of the 1, 7 and 30 days that end with each date, also with dates without an event. stickiness = 100 * daily / monthly. From the workspace''s first event to its last complete day, or to a running day that was aggregated (is_final = false). Dates inclusive, default: the last 30 complete days. NULL or a foreign workspace: no row; more than 36,525 days are an error (54000)';

CREATE FUNCTION analytics_internal.user_lifecycle(workspace_id uuid, period text, start_date date, end_date date)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean)
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_user_lifecycle';
REVOKE EXECUTE ON FUNCTION analytics_internal.user_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.user_lifecycle(uuid, text, date, date) IS
    'get_lifecycle() without bounds by the data: every period that start_date to end_date touches, also those that run or are to come (is_final = false, dormant_users NULL). A NULL gives no row. Errors: an unknown period, dates that are infinite or not from 0001-01-01 to 9999-12-31 (22023), more than 36,525 days (54000)';

CREATE FUNCTION analytics.get_lifecycle(
    workspace_id uuid, period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT l.period_start, l.new_users, l.returning_users, l.resurrecting_users, l.dormant_users, l.is_final
    FROM analytics_internal.user_days(get_lifecycle.workspace_id) AS w
    CROSS JOIN LATERAL analytics_internal.user_lifecycle(
        get_lifecycle.workspace_id, get_lifecycle.period, greatest(coalesce(start_date, w.today - 30), w.first_day),
        least(coalesce(end_date, CASE start_date WHEN w.today THEN w.today ELSE w.today - 1 END), w.today)) AS l
    WHERE w.first_day IS NOT NULL;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_lifecycle(uuid, text, date, date) IS
    'new, returning, resurrecting and dormant users per daily, weekly (ISO) or monthly period. Of each period that the dates touch: users first seen in it (new), active in it and the one before (returning), active in it, not in the one before and first seen earlier (resurrecting), active in the one before only (dormant). Active = new + returning + resurrecting. is_final = false: the period runs or has provisional days, so dormant_users is NULL. Default: the periods of the last 30 complete days. NULL or a foreign workspace: no row. Errors: an unknown period (22023), more than 36,525 days (54000)';

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
      AND c.metric_date BETWEEN coalesce(start_date, today - 30) AND coalesce(end_date, CASE start_date WHEN today THEN today ELSE today - 1 END)
    GROUP BY c.event_type, c.event_name
    ORDER BY sum(c.events) DESC, c.event_type, c.event_name;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.get_feature_usage(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_feature_usage(uuid, date, date) IS
    'events and distinct users per event type and name over the dates, by events descending. Dates inclusive, default: the last 30 complete days. event_name is empty where it was missing, (other) beyond the 1,000 most frequent names of a day. NULL or a foreign workspace: no row';
