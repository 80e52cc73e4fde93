-- Questions about events: readers that compile a definition and answer it from the raw events of one workspace.

CREATE FUNCTION analytics_internal.day_starts(workspace_id uuid, first_day date, last_day date) RETURNS timestamptz[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zones text[] := ARRAY(SELECT s.time_zone FROM analytics.workspace_settings AS s
                          WHERE s.workspace_id = day_starts.workspace_id LIMIT 2);
    is_constant boolean := NOT EXISTS (SELECT FROM analytics.workspace_settings AS s
                                       WHERE s.workspace_id = day_starts.workspace_id AND s.valid_from > '-infinity');
BEGIN
    IF is_constant THEN
        RETURN ARRAY(SELECT analytics.day_start(first_day + n, COALESCE(zones[1], 'UTC'))
                     FROM generate_series(0, last_day - first_day) AS n ORDER BY n);
    END IF;
    -- A day that a change left out begins where the next one does.
    RETURN ARRAY(
        SELECT min(b.day_start) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)
        FROM generate_series(0, last_day - first_day + 3) AS n
        LEFT JOIN LATERAL analytics_internal.workspace_day_bounds(workspace_id, first_day + n) AS b ON true
        ORDER BY n LIMIT last_day - first_day + 1);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.day_starts(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.day_starts(uuid, date, date) IS
    'first instants of a workspace''s local days, ascending. A day that a change of zone left out has the next day''s';

CREATE FUNCTION analytics_internal.first_whole_day(workspace_id uuid, last_sealed_day date) RETURNS date
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept_from timestamptz := (last_sealed_day + 1)::timestamp AT TIME ZONE 'UTC';
    local_day date := analytics.workspace_today(workspace_id, kept_from);
BEGIN
    IF kept_from IS NULL THEN
        RETURN '-infinity';
    ELSIF (SELECT b.day_start FROM analytics_internal.workspace_day_bounds(workspace_id, local_day) AS b) < kept_from THEN
        RETURN local_day + 1;
    END IF;
    RETURN local_day;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.first_whole_day(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.first_whole_day(uuid, date) IS
    'the first local day that begins after a UTC day; -infinity for NULL';

-- What retention has removed lies before all that is there; a frozen day has days with events before it.
CREATE FUNCTION analytics_internal.raw_events_since(workspace_id uuid) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT analytics_internal.first_whole_day(raw_events_since.workspace_id, max(s.event_day))
FROM analytics.sealed_days AS s
WHERE s.workspace_id = raw_events_since.workspace_id
  AND s.event_day < COALESCE((SELECT min(c.event_day) FROM analytics.closed_days AS c
                              WHERE c.workspace_id = raw_events_since.workspace_id AND c.events > 0
                                AND NOT EXISTS (SELECT FROM analytics.sealed_days AS n
                                                WHERE n.workspace_id = c.workspace_id AND n.event_day = c.event_day)), 'infinity')
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.raw_events_since(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.raw_events_since(uuid) IS
    'analytics.raw_events_since() of any workspace';

CREATE FUNCTION analytics_internal.complete_since(workspace_id uuid, last_date date) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT greatest(analytics_internal.raw_events_since(complete_since.workspace_id),
                analytics_internal.first_whole_day(complete_since.workspace_id, max(s.event_day)))
FROM analytics.sealed_days AS s
WHERE s.workspace_id = complete_since.workspace_id
  AND s.event_day::timestamp AT TIME ZONE 'UTC'
      < COALESCE((SELECT b.day_end FROM analytics_internal.workspace_day_bounds(complete_since.workspace_id, last_date) AS b),
                 (last_date + 2)::timestamp AT TIME ZONE 'UTC') -- a day that a change of zone left out
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.complete_since(uuid, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.complete_since(uuid, date) IS
    'the local day from which on no raw event is gone, of those up to last_date; -infinity: none is';

-- A day without an event has no row in daily_users: closing has then passed it, and nothing is noted for it.
CREATE FUNCTION analytics_internal.unstored_days(workspace_id uuid, first_day date, last_day date) RETURNS date[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    closed_until timestamptz := (SELECT w.closed_until FROM analytics.watermark AS w WHERE isfinite(w.closed_until));
    open_from date := analytics.workspace_today(workspace_id, closed_until);
    -- Retention takes the sets from the oldest day on.
    sets_from date := (SELECT min(e.metric_date) FROM analytics.daily_event_usage AS e WHERE e.workspace_id = unstored_days.workspace_id);
    gone_from date := (SELECT min(s.event_day) FROM analytics.sealed_days AS s WHERE s.workspace_id = unstored_days.workspace_id);
    noted date[];
BEGIN
    IF open_from IS NOT NULL THEN
        noted := ARRAY(
            SELECT p.metric_date FROM analytics.pending_buckets AS p WHERE p.workspace_id = unstored_days.workspace_id AND p.kind = 'day'
            UNION ALL
            SELECT analytics.workspace_today(unstored_days.workspace_id, h.metric_hour)
            FROM (SELECT DISTINCT d.metric_hour FROM analytics.dirty_hours AS d WHERE d.workspace_id = unstored_days.workspace_id) AS h);
    END IF;
    RETURN ARRAY(
        SELECT day
        FROM generate_series(0, last_day - first_day) AS n, LATERAL (SELECT first_day + n) AS d (day)
        LEFT JOIN analytics.daily_users AS u ON u.workspace_id = unstored_days.workspace_id AND u.metric_date = d.day
        WHERE CASE WHEN u.is_final THEN sets_from IS NULL OR day < sets_from
                   WHEN u.is_final IS NOT NULL OR open_from IS NULL OR day >= open_from THEN true
                   ELSE day = ANY (noted) OR (day >= gone_from - 1 AND (sets_from IS NULL OR day < sets_from)) END
        ORDER BY day);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.unstored_days(uuid, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.unstored_days(uuid, date, date) IS
    'local days that the daily sets do not tell: not over, not aggregated yet, or removed';

-- Cheap, so that rows of other types are left out first: the conditions on created_at need all columns before it.
CREATE FUNCTION analytics_internal.is_type_among(event_type text, types integer) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 0.1
AS 'MODULE_PATHNAME', 'shadow_is_type_among';
REVOKE EXECUTE ON FUNCTION analytics_internal.is_type_among(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_type_among(text, integer) IS
    'whether an event type is one of a question''s, which are a bit each';

-- The one way from all readers to the engine. It checks itself what the caller may ask, as row security cannot.
CREATE FUNCTION analytics_internal.answer(
    workspace_id uuid, question text, arguments jsonb, user_set analytics.user_set, as_of timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_answer_question';
REVOKE EXECUTE ON FUNCTION analytics_internal.answer(uuid, text, jsonb, analytics.user_set, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.answer(uuid, text, jsonb, analytics.user_set, timestamptz) IS
    'answers the reader of this name with the rights of the owner. A workspace that the caller may not ask about, or NULL, has no row';

CREATE FUNCTION analytics_internal.permitted_answer(
    workspace_id uuid, question text, arguments jsonb, user_set analytics.user_set, as_of timestamptz, may_read_persons boolean)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'shadow_answer_permitted';
REVOKE EXECUTE ON FUNCTION analytics_internal.permitted_answer(uuid, text, jsonb, analytics.user_set, timestamptz, boolean) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.permitted_answer(uuid, text, jsonb, analytics.user_set, timestamptz, boolean) IS
    'analytics_internal.answer() in the cell of the workspace, for a caller who was found permitted to ask, and to read persons or only counts';

CREATE FUNCTION analytics_internal.users_who(workspace_id uuid, segment jsonb, as_of timestamptz) RETURNS analytics.user_set
LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS 'MODULE_PATHNAME', 'shadow_users_who';
REVOKE EXECUTE ON FUNCTION analytics_internal.users_who(uuid, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.users_who(uuid, jsonb, timestamptz) IS
    'analytics.users_who() with the rights of the owner';

CREATE FUNCTION analytics.raw_events_since(workspace_id uuid) RETURNS date
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.day FROM analytics_internal.answer(raw_events_since.workspace_id, 'raw_events_since', '{}', NULL, NULL) AS a (day date);
END;
REVOKE EXECUTE ON FUNCTION analytics.raw_events_since(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.raw_events_since(uuid) IS
    'first local day of a workspace whose raw events are all still there; -infinity while none were removed. Frozen days (analytics.sealed_days) later on lack some all the same, and a question that needs one is an error (55000). NULL for a workspace that the caller may not ask about';

CREATE FUNCTION analytics.users_who(workspace_id uuid, segment jsonb, as_of timestamptz DEFAULT NULL) RETURNS analytics.user_set
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT analytics_internal.users_who(users_who.workspace_id, users_who.segment, users_who.as_of);
END;
REVOKE EXECUTE ON FUNCTION analytics.users_who(uuid, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.users_who(uuid, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: the users of a segment as a set of user_number. Users whose first event is not aggregated yet are in no set. Only for those who may read the workspace''s raw events, else 42501; other workspaces and NULL: NULL. A malformed segment is an error (22023) that names the place, raw events that are gone are one (55000)';

CREATE FUNCTION analytics.get_trend(
    workspace_id uuid, series jsonb DEFAULT '"*"', period text DEFAULT 'daily', start_date date DEFAULT NULL,
    end_date date DEFAULT NULL, breakdown text DEFAULT NULL, breakdown_limit integer DEFAULT 25, compare boolean DEFAULT false,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (series_number bigint, period_start date, breakdown_value text, value numeric, previous_value numeric,
               change numeric, is_final boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_trend.workspace_id, 'get_trend',
        jsonb_build_object('series', series, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'breakdown', breakdown, 'breakdown_limit', breakdown_limit, 'compare', compare,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (series_number bigint, period_start date, breakdown_value text, value numeric, previous_value numeric,
              change numeric, is_final boolean);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_trend(uuid, jsonb, text, date, date, text, integer, boolean, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_trend(uuid, jsonb, text, date, date, text, integer, boolean, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: counts, sums and quantiles of events per period. With a breakdown and the periods before. series: an event, or up to 10 {event, measure}; measure: events, users, sessions, runs, success_rate, failure_rate, sum(p), avg(p), min(p), max(p), median(p), p1(p) to p99(p) of a property; rates and change in percent, NULL without data; no change of a period that runs (is_final = false). period: daily, weekly, monthly or total. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_funnel(
    workspace_id uuid, steps jsonb, start_date date DEFAULT NULL, end_date date DEFAULT NULL, conversion_window interval DEFAULT '7 days',
    step_order text DEFAULT 'ordered', exclusions jsonb DEFAULT NULL, hold_constant text[] DEFAULT NULL, count_by text DEFAULT 'user',
    breakdown text DEFAULT NULL, attribution text DEFAULT 'first_step', breakdown_limit integer DEFAULT 25, period text DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (period_start date, breakdown_value text, step bigint, step_name text, entrants bigint, conversion_rate numeric,
               step_conversion_rate numeric, dropped bigint, in_progress bigint, median_seconds numeric, median_seconds_from_first numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_funnel.workspace_id, 'get_funnel',
        jsonb_build_object('steps', steps, 'start_date', start_date, 'end_date', end_date, 'conversion_window', conversion_window::text,
                           'step_order', step_order, 'exclusions', exclusions, 'hold_constant', hold_constant, 'count_by', count_by,
                           'breakdown', breakdown, 'attribution', attribution, 'breakdown_limit', breakdown_limit, 'period', period,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (period_start date, breakdown_value text, step bigint, step_name text, entrants bigint, conversion_rate numeric,
              step_conversion_rate numeric, dropped bigint, in_progress bigint, median_seconds numeric, median_seconds_from_first numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_funnel(uuid, jsonb, date, date, interval, text, jsonb, text[], text, text, text, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_funnel(uuid, jsonb, date, date, interval, text, jsonb, text[], text, text, text, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: how many users (sessions, attempts) get how far through 1 to 16 steps. All within conversion_window. step_order: ordered, strict, any; exclusions: up to 8 {event, after, before}; count_by: user, session, attempt; attribution of a breakdown: first_step, last_step, step_N, each_value; period of entry: daily, weekly, monthly. Rates in percent, times in seconds of the decisive chains. The range chooses entries; default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_conversion_times(
    workspace_id uuid, steps jsonb, start_date date DEFAULT NULL, end_date date DEFAULT NULL, conversion_window interval DEFAULT '7 days',
    step_order text DEFAULT 'ordered', exclusions jsonb DEFAULT NULL, hold_constant text[] DEFAULT NULL, count_by text DEFAULT 'user',
    from_step integer DEFAULT 1, to_step integer DEFAULT NULL, edges interval[] DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (from_seconds numeric, to_seconds numeric, entrants bigint, cumulative_rate numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_conversion_times.workspace_id, 'get_conversion_times',
        jsonb_build_object('steps', steps, 'start_date', start_date, 'end_date', end_date, 'conversion_window', conversion_window::text,
                           'step_order', step_order, 'exclusions', exclusions, 'hold_constant', hold_constant, 'count_by', count_by,
                           'from_step', from_step, 'to_step', to_step, 'edges', edges::text[],
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (from_seconds numeric, to_seconds numeric, entrants bigint, cumulative_rate numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_conversion_times(uuid, jsonb, date, date, interval, text, jsonb, text[], text, integer, integer, interval[], jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_conversion_times(uuid, jsonb, date, date, interval, text, jsonb, text[], text, integer, integer, interval[], jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: the time between two steps of a funnel as a histogram. Bins are [from_seconds, to_seconds), the last one open. Arguments as of get_funnel(); edges ascend, by default from 0 to 30 days below the window. cumulative_rate in percent of those who reach to_step. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_event_retention(
    workspace_id uuid, start_event jsonb, return_event jsonb DEFAULT NULL, period text DEFAULT 'weekly', start_date date DEFAULT NULL,
    end_date date DEFAULT NULL, retention text DEFAULT 'first', rolling boolean DEFAULT false, breakdown text DEFAULT NULL,
    breakdown_limit integer DEFAULT 25,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (cohort_date date, breakdown_value text, initial_users bigint, period_number bigint, retained_users bigint,
               retention_rate numeric, unbounded_rate numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_event_retention.workspace_id, 'get_event_retention',
        jsonb_build_object('start_event', start_event, 'return_event', return_event, 'period', period, 'start_date', start_date,
                           'end_date', end_date, 'retention', retention, 'rolling', rolling, 'breakdown', breakdown,
                           'breakdown_limit', breakdown_limit, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (cohort_date date, breakdown_value text, initial_users bigint, period_number bigint, retained_users bigint,
              retention_rate numeric, unbounded_rate numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_event_retention(uuid, jsonb, jsonb, text, date, date, text, boolean, text, integer, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_event_retention(uuid, jsonb, jsonb, text, date, date, text, boolean, text, integer, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: retention by event. Who does return_event (default: start_event) again in the periods after start_event. retention: first (the cohort is the period of the first start_event known) or recurring (of every one); rolling: periods of 24 hours, 7 or 30 days from the event itself. unbounded_rate: in the period or later, in percent. Periods that are not over have no row. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_stickiness(
    workspace_id uuid, event jsonb DEFAULT '"*"', period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (periods_active bigint, users bigint, users_at_least bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_stickiness.workspace_id, 'get_stickiness',
        jsonb_build_object('event', event, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (periods_active bigint, users bigint, users_at_least bigint);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_stickiness(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_stickiness(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: in how many periods users did an event. Users with exactly (with at least) k of the range''s periods, for every k, zeros included. period: daily, weekly or monthly. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_event_lifecycle(
    workspace_id uuid, event jsonb DEFAULT '"*"', period text DEFAULT 'daily', start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_event_lifecycle.workspace_id, 'get_event_lifecycle',
        jsonb_build_object('event', event, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (period_start date, new_users bigint, returning_users bigint, resurrecting_users bigint, dormant_users bigint, is_final boolean);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_event_lifecycle(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_event_lifecycle(uuid, jsonb, text, date, date, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From daily sets where plain, else raw events: get_lifecycle() of one event. Users who did it for the first time in a period (new), in it and the one before (returning), in it after a pause (resurrecting), in the one before only (dormant; NULL while the period runs: is_final = false). Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_paths(
    workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL, events jsonb DEFAULT '"page_view"',
    node text DEFAULT 'page_path', node_groups text[] DEFAULT NULL, start_at text DEFAULT NULL, end_at text DEFAULT NULL,
    max_steps integer DEFAULT 5, max_nodes integer DEFAULT 20, within text DEFAULT 'session',
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (step bigint, source text, target text, paths bigint, users bigint, median_seconds numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_paths.workspace_id, 'get_paths',
        jsonb_build_object('start_date', start_date, 'end_date', end_date, 'events', events, 'node', node, 'node_groups', node_groups,
                           'start_at', start_at, 'end_at', end_at, 'max_steps', max_steps, 'max_nodes', max_nodes, 'within', within,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (step bigint, source text, target text, paths bigint, users bigint, median_seconds numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_paths(uuid, date, date, jsonb, text, text[], text, text, integer, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_paths(uuid, date, date, jsonb, text, text[], text, text, integer, integer, text, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: transitions between the nodes of paths, each a session or (within user) a user''s range. node: a property; node_groups: LIKE patterns that stand for the values they match; start_at, end_at: nodes where paths begin and end. step counts from 1, or with end_at alone down from 0; source NULL: the path began there, target NULL: it ended there. Beyond max_nodes of a position: (other). Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_pages(
    workspace_id uuid, start_date date DEFAULT NULL, end_date date DEFAULT NULL, page_groups text[] DEFAULT NULL,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (page_path text, views bigint, users bigint, sessions bigint, entries bigint, exits bigint, bounces bigint,
               exit_rate numeric, bounce_rate numeric, avg_seconds numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_pages.workspace_id, 'get_pages',
        jsonb_build_object('start_date', start_date, 'end_date', end_date, 'page_groups', page_groups,
                           'segment', segment, 'filter', filter), user_set, as_of)
        AS a (page_path text, views bigint, users bigint, sessions bigint, entries bigint, exits bigint, bounces bigint,
              exit_rate numeric, bounce_rate numeric, avg_seconds numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_pages(uuid, date, date, text[], jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_pages(uuid, date, date, text[], jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: page views by path. With the sessions that began (entries), ended (exits) and bounced there (setting bounce_rule). page_groups: LIKE patterns that stand for the paths they match. exit_rate of views, bounce_rate of entries, in percent; avg_seconds to the next event of the session. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_attribution(
    workspace_id uuid, conversion jsonb, property text DEFAULT 'referrer_host', start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    model text DEFAULT 'last', lookback interval DEFAULT '30 days', touches jsonb DEFAULT '"*"', ignore text[] DEFAULT NULL,
    max_values integer DEFAULT 25,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (value text, conversions bigint, users bigint, revenue numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_attribution.workspace_id, 'get_attribution',
        jsonb_build_object('conversion', conversion, 'property', property, 'start_date', start_date, 'end_date', end_date,
                           'model', model, 'lookback', lookback::text, 'touches', touches, 'ignore', ignore,
                           'max_values', max_values, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (value text, conversions bigint, users bigint, revenue numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_attribution(uuid, jsonb, text, date, date, text, interval, jsonb, text[], integer, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_attribution(uuid, jsonb, text, date, date, text, interval, jsonb, text[], integer, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: which value of a property the first or last touch before each conversion had. touches: the events that count; ignore: LIKE patterns of values that do not; lookback: how old a touch may be. value NULL: no touch; sums over all values are those of all conversions. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_experiment(
    workspace_id uuid, exposure jsonb, variant_property text, goal jsonb, start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    control text DEFAULT 'control', conversion_window interval DEFAULT '14 days', expected_effect numeric DEFAULT 0.05,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (variant text, users bigint, conversions bigint, in_progress bigint, conversion_rate numeric, rate_low numeric,
               rate_high numeric, difference numeric, difference_low numeric, difference_high numeric, lift numeric, p_value numeric,
               probability_better numeric, sequential_p_value numeric, sequential_low numeric, sequential_high numeric, srm_p_value numeric)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
BEGIN ATOMIC
    SELECT a.* FROM analytics_internal.answer(
        get_experiment.workspace_id, 'get_experiment',
        jsonb_build_object('exposure', exposure, 'variant', variant_property, 'goal', goal, 'start_date', start_date,
                           'end_date', end_date, 'control', control, 'conversion_window', conversion_window::text,
                           'expected_effect', expected_effect, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (variant text, users bigint, conversions bigint, in_progress bigint, conversion_rate numeric, rate_low numeric,
              rate_high numeric, difference numeric, difference_low numeric, difference_high numeric, lift numeric, p_value numeric,
              probability_better numeric, sequential_p_value numeric, sequential_low numeric, sequential_high numeric, srm_p_value numeric);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_experiment(uuid, jsonb, text, jsonb, date, date, text, interval, numeric, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_experiment(uuid, jsonb, text, jsonb, date, date, text, interval, numeric, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: users by the variant of their first exposure, and how many reach the goal. Within conversion_window, compared with control as analytics.compare_conversions() does. variant_property holds the variant; users exposed to several are counted in the row (several) alone. rate_low, rate_high: Wilson 95 %; srm_p_value: chi-square of equal shares, small where the assignment is broken. Default: the last 30 complete days. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

-- PL/pgSQL, as Citus plans no table in an SQL function with parameters.
CREATE FUNCTION analytics_internal.agent_name(workspace_id uuid, agent_id text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT n.name FROM analytics.agents AS n
            WHERE n.workspace_id = agent_name.workspace_id AND n.agent_id::text = agent_name.agent_id);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.agent_name(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.agent_name(uuid, text) IS
    'name of an agent, with the caller''s rights; NULL without';

CREATE FUNCTION analytics.get_run_metrics(
    workspace_id uuid, breakdown text DEFAULT 'model', period text DEFAULT NULL, start_date date DEFAULT NULL, end_date date DEFAULT NULL,
    breakdown_limit integer DEFAULT 25,
    segment jsonb DEFAULT NULL, user_set analytics.user_set DEFAULT NULL, filter jsonb DEFAULT NULL, as_of timestamptz DEFAULT NULL)
RETURNS TABLE (period_start date, breakdown_value text, runs bigint, successful_runs bigint, failed_runs bigint, cancelled_runs bigint,
               success_rate numeric, errors_by_type jsonb, tokens numeric, credits numeric, cost numeric, currency text, cost_reason text,
               avg_runtime_seconds numeric, p50_runtime_seconds numeric, p95_runtime_seconds numeric, p99_runtime_seconds numeric,
               unique_users bigint, agent_name text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.*, CASE breakdown WHEN 'agent_id' THEN analytics_internal.agent_name(get_run_metrics.workspace_id, a.breakdown_value) END
    FROM analytics_internal.answer(
        get_run_metrics.workspace_id, 'get_run_metrics',
        jsonb_build_object('breakdown', breakdown, 'period', period, 'start_date', start_date, 'end_date', end_date,
                           'breakdown_limit', breakdown_limit, 'segment', segment, 'filter', filter), user_set, as_of)
        AS a (period_start date, breakdown_value text, runs bigint, successful_runs bigint, failed_runs bigint, cancelled_runs bigint,
              success_rate numeric, errors_by_type jsonb, tokens numeric, credits numeric, cost numeric, currency text, cost_reason text,
              avg_runtime_seconds numeric, p50_runtime_seconds numeric, p95_runtime_seconds numeric, p99_runtime_seconds numeric,
              unique_users bigint);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_run_metrics(uuid, text, text, date, date, integer, jsonb, analytics.user_set, jsonb, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_run_metrics(uuid, text, text, date, date, integer, jsonb, analytics.user_set, jsonb, timestamptz) IS
    'From raw events: runs of agents by a property (model, agent_id, metadata.tool, ...). Each run once per local day by its deciding event. success_rate in percent of successful and failed runs; errors_by_type: failed runs by error type; cost, currency and cost_reason as in daily_metrics; runtimes in seconds of runs that were not cancelled, percentiles exact; agent_name with the breakdown agent_id. Other workspaces and NULL: no row; malformed: 22023 with the place, raw events gone: 55000';

CREATE FUNCTION analytics.get_run_tree(workspace_id uuid, run_id text, start_date date DEFAULT NULL, end_date date DEFAULT NULL)
RETURNS TABLE (depth bigint, run text, parent_run_id text, agent_id text, model text, status text, error_type text, created_at timestamptz,
               runtime_seconds numeric, tokens numeric, total_tokens numeric, cost numeric, total_cost numeric, currency text,
               cost_reason text, descendants bigint, agent_name text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT a.*, analytics_internal.agent_name(get_run_tree.workspace_id, a.agent_id)
    FROM analytics_internal.answer(
        get_run_tree.workspace_id, 'get_run_tree',
        jsonb_build_object('run_id', run_id, 'start_date', start_date, 'end_date', end_date), NULL, NULL)
        AS a (depth bigint, run text, parent_run_id text, agent_id text, model text, status text, error_type text, created_at timestamptz,
              runtime_seconds numeric, tokens numeric, total_tokens numeric, cost numeric, total_cost numeric, currency text,
              cost_reason text, descendants bigint);
END;
REVOKE EXECUTE ON FUNCTION analytics.get_run_tree(uuid, text, date, date) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_run_tree(uuid, text, date, date) IS
    'From raw events: a run and its descendants by metadata.parent_run_id (parent_execution_id), depth first, each run once by its deciding event; what that lacks comes from the latest earlier event of the run that has it. tokens and cost are a run''s own, each attempt once; a cost that is not stated comes from the prices in force, as in daily_metrics, and is NULL where they tell none of what was consumed. The totals are its own and those of its descendants; total_cost is NULL, and cost_reason says why, where it would be a partial sum. Only for those who may read the workspace''s raw events, else 42501; other workspaces and NULL: no row. Raw events gone: 55000';

CREATE FUNCTION analytics_internal.session_gap() RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT make_interval(mins => analytics.setting('session_gap_minutes')::integer) $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.session_gap() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.session_gap() IS
    'setting session_gap_minutes, for everybody';

CREATE FUNCTION analytics_internal.checked_page_size(max_events integer) RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_events IS NULL OR max_events NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'max_events is out of range'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = format('It is %s.', coalesce(max_events::text, 'NULL')),
                  HINT = 'Between 1 and 1000; ask for the next ones with before.';
    END IF;
    RETURN max_events;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.checked_page_size(integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.checked_page_size(integer) IS
    'max_events of analytics.get_user_timeline(); an error (22023) unless 1 to 1000';

CREATE FUNCTION analytics_internal.timeline_page(
    workspace_id uuid, user_id uuid, before timestamptz, max_events integer, OUT id uuid, OUT created_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.id, e.created_at FROM analytics.user_activity AS e
    WHERE e.workspace_id = timeline_page.workspace_id AND e.user_id = timeline_page.user_id
      AND e.created_at < coalesce(timeline_page.before, 'infinity')
    ORDER BY e.created_at DESC FETCH FIRST (max_events) ROWS WITH TIES;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.timeline_page(uuid, uuid, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.timeline_page(uuid, uuid, timestamptz, integer) IS
    'a user''s last events before an instant, with the caller''s rights';

CREATE FUNCTION analytics_internal.timeline_events(
    workspace_id uuid, user_id uuid, from_time timestamptz, to_time timestamptz, OUT id uuid, OUT created_at timestamptz, OUT event_type text,
    OUT event_name text, OUT page_path text, OUT referrer text, OUT session_id uuid, OUT metadata jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT e.id, e.created_at, e.event_type, e.event_name, e.page_path, e.referrer, e.session_id, e.metadata
    FROM analytics.user_activity AS e
    WHERE e.workspace_id = timeline_events.workspace_id AND e.user_id = timeline_events.user_id
      AND e.created_at >= from_time AND e.created_at < to_time;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.timeline_events(uuid, uuid, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.timeline_events(uuid, uuid, timestamptz, timestamptz) IS
    'a user''s events between two instants, with the caller''s rights';

-- With the caller's rights, so that row security tells whose events are shown. A day's sessions are numbered from its first
-- event on.
CREATE FUNCTION analytics.get_user_timeline(
    workspace_id uuid, user_id uuid, before timestamptz DEFAULT NULL, max_events integer DEFAULT 100)
RETURNS TABLE (created_at timestamptz, id uuid, event_type text, event_name text, page_path text, referrer text,
               session_number bigint, is_session_start boolean, seconds_since_previous numeric, metadata jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH page AS MATERIALIZED (
        SELECT p.id, p.created_at
        FROM analytics_internal.timeline_page(get_user_timeline.workspace_id, get_user_timeline.user_id, get_user_timeline.before,
                                              analytics_internal.checked_page_size(max_events)) AS p
    ), span AS (
        SELECT min(p.created_at) AS oldest, max(p.created_at) AS newest FROM page AS p
    ), events AS (
        SELECT e.*, d.day, lag(e.created_at) OVER (PARTITION BY d.day, e.session_id ORDER BY e.created_at, e.id) AS previous
        FROM span AS s
        CROSS JOIN LATERAL (SELECT analytics.workspace_today(get_user_timeline.workspace_id, s.oldest) AS first_day,
                                   analytics.workspace_today(get_user_timeline.workspace_id, s.newest) AS last_day) AS r
        CROSS JOIN analytics_internal.workspace_day_bounds(get_user_timeline.workspace_id, r.first_day) AS f
        CROSS JOIN analytics_internal.workspace_day_bounds(get_user_timeline.workspace_id, r.last_day) AS l
        CROSS JOIN LATERAL analytics_internal.timeline_events(get_user_timeline.workspace_id, get_user_timeline.user_id, f.day_start, l.day_end) AS e
        CROSS JOIN LATERAL (SELECT analytics.workspace_today(get_user_timeline.workspace_id, e.created_at) AS day) AS d
    ), split AS ( -- the client's sessions, and those by inactivity of what has none
        SELECT e.*, count(*) FILTER (WHERE e.previous IS NULL
                                           OR e.session_id IS NULL AND e.created_at - e.previous >= analytics_internal.session_gap())
                        OVER (PARTITION BY e.day, e.session_id ORDER BY e.created_at, e.id) AS piece
        FROM events AS e
    ), pieces AS MATERIALIZED (
        SELECT s.day, s.session_id, s.piece, min(s.created_at) AS first_time, max(s.created_at) AS last_time,
               (array_agg(s.id ORDER BY s.created_at, s.id))[1] AS first_id
        FROM split AS s GROUP BY s.day, s.session_id, s.piece
    ), wholes AS ( -- one by inactivity is part of the client's session that it touches, the nearest
        SELECT p.day, p.session_id, p.piece, coalesce(p.session_id, t.session_id) AS whole_session,
               CASE WHEN coalesce(p.session_id, t.session_id) IS NULL THEN p.piece END AS whole_piece
        FROM pieces AS p
        LEFT JOIN LATERAL (
            SELECT n.session_id
            FROM pieces AS n
            CROSS JOIN LATERAL (SELECT greatest(n.first_time - p.last_time, p.first_time - n.last_time, interval '0') AS gap) AS d
            WHERE p.session_id IS NULL AND n.session_id IS NOT NULL AND n.day = p.day AND d.gap < analytics_internal.session_gap()
            ORDER BY d.gap, n.first_time, n.last_time, n.first_id LIMIT 1) AS t ON true
    ), joined AS (
        SELECT s.*, w.whole_session, w.whole_piece, lag(s.created_at) OVER whole AS event_before,
               min(s.created_at) OVER (PARTITION BY s.day, w.whole_session, w.whole_piece) AS began
        FROM split AS s
        JOIN wholes AS w ON w.day = s.day AND w.session_id IS NOT DISTINCT FROM s.session_id AND w.piece = s.piece
        WINDOW whole AS (PARTITION BY s.day, w.whole_session, w.whole_piece ORDER BY s.created_at, s.id)
    ), numbered AS (
        SELECT j.*, dense_rank() OVER (PARTITION BY j.day ORDER BY j.began, j.whole_session NULLS FIRST, j.whole_piece) AS number FROM joined AS j
    )
    SELECT n.created_at, n.id, n.event_type, n.event_name, n.page_path, n.referrer, n.number, n.event_before IS NULL,
           round(extract(epoch FROM n.created_at - n.event_before), 2), n.metadata
    FROM numbered AS n JOIN page AS p ON p.id = n.id AND p.created_at = n.created_at
    ORDER BY n.created_at DESC, n.id DESC;
END;
REVOKE EXECUTE ON FUNCTION analytics.get_user_timeline(uuid, uuid, timestamptz, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics.get_user_timeline(uuid, uuid, timestamptz, integer) IS
    'From raw events: a user''s last max_events (1 to 1000) events before an instant, newest first. Those at the instant of the last one come along, so before => created_at of the last row asks for the next page. session_number counts the sessions of daily_metrics within the local day; seconds_since_previous: within the session, NULL for its first event. Rows are those that the caller may read in user_activity: own ones, others'' by the setting raw_events_visible_to; NULL or nobody: no row. Another max_events is an error (22023)';

CREATE FUNCTION analytics.compare_conversions(
    control_users bigint, control_conversions bigint, variant_users bigint, variant_conversions bigint, expected_effect numeric DEFAULT 0.05,
    OUT difference numeric, OUT difference_low numeric, OUT difference_high numeric, OUT lift numeric, OUT p_value numeric,
    OUT probability_better numeric, OUT sequential_p_value numeric, OUT sequential_low numeric, OUT sequential_high numeric)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_compare_conversions';
COMMENT ON FUNCTION analytics.compare_conversions(bigint, bigint, bigint, bigint, numeric) IS
    'compares two conversion rates: difference, lift, p-value and probability. The difference has Newcombe''s hybrid score interval (1998, method 10), the lift is in percent, the z-test two-sided and pooled, the probability that the variant is better of uniform priors. The mixture sequential test (Johari et al. 2022) has a p-value and an interval that hold however often one looks; expected_effect is the standard deviation of its mixture. NULL where there is no variance or an argument is NULL; counts that are none are an error (22023)';
