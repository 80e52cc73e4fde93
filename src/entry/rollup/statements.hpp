#pragma once
// The statements of a bucket's aggregation. Parameters are those of execute(): $1 the date or hour, $2 the
// workspace or NULL, $3 now, $4 and $5 the bounds of workspaces without a time zone of their own. The relations
// agents, newcomers, counted, before, departed, moved and changed live for one run.

namespace shadow::entry::statements
{

// Scan.

inline constexpr const char *find_time_zone = R"sql(
SELECT FROM analytics.workspace_settings AS s WHERE $2 IS NULL OR s.workspace_id = $2 LIMIT 1
)sql";

inline constexpr const char *find_begun_day = R"sql(
SELECT FROM analytics_internal.local_day_bounds($1, $1, CASE WHEN $2 IS NOT NULL THEN ARRAY[$2] END) AS b
WHERE b.day_start <= $3 LIMIT 1
)sql";

// The local days of the workspaces that have chosen a time zone; NULL: the workspace has no such day, or it has not
// begun. The others' day is the UTC day $4..$5.
inline constexpr const char *select_local_days = R"sql(
SELECT c.workspace_id, b.day_start, b.day_end
FROM (SELECT DISTINCT s.workspace_id FROM analytics.workspace_settings AS s
      WHERE $2 IS NULL OR s.workspace_id = $2) AS c
LEFT JOIN analytics_internal.local_day_bounds($1, $1, CASE WHEN $2 IS NOT NULL THEN ARRAY[$2] END) AS b
    ON b.workspace_id = c.workspace_id AND b.day_start <= $3
ORDER BY c.workspace_id
)sql";

// Nothing but the rows as they lie, which spares the executor a projection.
inline constexpr const char *select_events = R"sql(
SELECT e.* FROM analytics.user_activity AS e WHERE e.created_at >= $4 AND e.created_at < $5
)sql";
inline constexpr const char *select_events_of_workspace = R"sql(
SELECT e.* FROM analytics.user_activity AS e WHERE e.created_at >= $4 AND e.created_at < $5 AND e.workspace_id = $2
)sql";

// Of the events on disk, with those of the neighbouring days.
inline constexpr const char *count_bytes = R"sql(
SELECT analytics_internal.event_bytes($4 - interval '1 day', $5 + interval '1 day')
)sql";

// Checks.

inline constexpr const char *find_missing_of_day = R"sql(
SELECT m.workspace_id, to_char(m.event_day, 'YYYY-MM-DD'), m.known, m.present
FROM analytics_internal.missing_events($1, NULL, $2, false) AS m LIMIT 1
)sql";

inline constexpr const char *find_missing_of_neighbours = R"sql(
SELECT m.workspace_id, to_char(m.event_day, 'YYYY-MM-DD'), m.known, m.present
FROM analytics_internal.missing_events($1, NULL, $2, true) AS m LIMIT 1
)sql";

// Of the UTC day itself, which the scan compares with what it finds; with the conditions of
// analytics_internal.missing_events(). A day that has not begun has none.
inline constexpr const char *select_known_events = R"sql(
SELECT c.workspace_id, c.events, coalesce(r.removed, 0)
FROM analytics.closed_days AS c
LEFT JOIN (SELECT h.workspace_id, sum(h.removed)::bigint AS removed FROM analytics.dirty_hours AS h
           WHERE h.metric_hour >= $4 AND h.metric_hour < $5 AND ($2 IS NULL OR h.workspace_id = $2)
           GROUP BY h.workspace_id) AS r ON r.workspace_id = c.workspace_id
WHERE c.event_day = $1 AND c.counted_at < $3 AND $4 < $5 AND ($2 IS NULL OR c.workspace_id = $2)
ORDER BY c.workspace_id
)sql";

inline constexpr const char *find_missing_of_hour = R"sql(
SELECT m.workspace_id, to_char(m.event_day, 'YYYY-MM-DD'), m.known, m.present
FROM analytics_internal.missing_events(NULL, $4, $2, false) AS m LIMIT 1
)sql";

inline constexpr const char *find_sealed_of_day = R"sql(
SELECT s.workspace_id, to_char(s.event_day, 'YYYY-MM-DD')
FROM analytics.sealed_days AS s, analytics_internal.workspace_day_bounds(s.workspace_id, $1) AS b
WHERE s.event_day BETWEEN $1 - 1 AND $1 + 1 AND ($2 IS NULL OR s.workspace_id = $2)
  AND b.day_start < (s.event_day + 1)::timestamp AT TIME ZONE 'UTC'
  AND b.day_end > s.event_day::timestamp AT TIME ZONE 'UTC'
ORDER BY s.event_day, s.workspace_id LIMIT 1
)sql";

inline constexpr const char *find_sealed_of_hour = R"sql(
SELECT s.workspace_id, to_char(s.event_day, 'YYYY-MM-DD')
FROM analytics.sealed_days AS s
WHERE s.event_day = ($4 AT TIME ZONE 'UTC')::date AND ($2 IS NULL OR s.workspace_id = $2)
ORDER BY s.workspace_id LIMIT 1
)sql";

// What is written by SQL.

// As analytics_internal.note_changes() does it. $1: the day, $2: workspaces.
inline constexpr const char *note_changes = R"sql(
INSERT INTO analytics.rollup_changes (workspace_id, metric_date)
SELECT DISTINCT w.workspace_id, $1 FROM unnest($2) AS w (workspace_id) ON CONFLICT DO NOTHING
)sql";

// Agents that clients name by text. A name that is there stays: people may have changed it.
inline constexpr const char *insert_agent_names = R"sql(
INSERT INTO analytics.agents AS t (workspace_id, agent_id, name, first_seen)
SELECT a.workspace_id, a.agent_id, a.name, a.first_seen FROM agents AS a
ON CONFLICT (workspace_id, agent_id) DO UPDATE SET first_seen = EXCLUDED.first_seen
WHERE EXCLUDED.first_seen < t.first_seen
)sql";

// As analytics_internal.count_day() does it where nothing is missing.
inline constexpr const char *note_counts = R"sql(
UPDATE analytics.closed_days AS d
SET events = c.events, counted_at = $3, grown_at = CASE WHEN c.events > d.events THEN $3 ELSE d.grown_at END
FROM counted AS c
WHERE d.workspace_id = c.workspace_id AND d.event_day = $1 AND c.events > 0
)sql";
inline constexpr const char *forget_counts = R"sql(
DELETE FROM analytics.closed_days AS d USING counted AS c
WHERE d.workspace_id = c.workspace_id AND d.event_day = $1 AND c.events = 0
  AND NOT EXISTS (SELECT FROM before AS b WHERE b.workspace_id = c.workspace_id)
)sql";

inline constexpr const char *select_before = R"sql(
SELECT t.workspace_id, t.users FROM analytics.daily_users AS t
WHERE t.metric_date = $1 AND ($2 IS NULL OR t.workspace_id = $2)
)sql";

inline constexpr const char *select_departed = R"sql(
SELECT b.workspace_id, d.user_number
FROM before AS b
LEFT JOIN analytics.daily_users AS t ON t.workspace_id = b.workspace_id AND t.metric_date = $1
CROSS JOIN LATERAL analytics.user_set_elements(
    analytics_internal.user_set_difference(b.users, coalesce(t.users, '{}'))) AS d (user_number)
)sql";

// A user seen earlier than known is no longer new on the day that was the first.
inline constexpr const char *take_back_new = R"sql(
UPDATE analytics.daily_users AS t
SET new_users = analytics_internal.user_set_difference(t.new_users, n.users), updated_at = $3
FROM newcomers AS n
WHERE n.metric_date > $1 AND t.workspace_id = n.workspace_id AND t.metric_date = n.metric_date
)sql";

// The nearest days that still hold the departed; NULL: none.
inline constexpr const char *select_moved = R"sql(
SELECT d.workspace_id, d.user_number, u.user_id, u.first_date = $1, u.last_date = $1,
       CASE WHEN u.first_date < $1 THEN u.first_date
            ELSE (SELECT t.metric_date FROM analytics.daily_users AS t
                  WHERE t.workspace_id = d.workspace_id AND t.metric_date > $1
                    AND analytics_internal.user_set_contains(t.users, d.user_number)
                  ORDER BY t.metric_date LIMIT 1) END,
       CASE WHEN u.last_date > $1 THEN u.last_date
            ELSE (SELECT t.metric_date FROM analytics.daily_users AS t
                  WHERE t.workspace_id = d.workspace_id AND t.metric_date < $1
                    AND analytics_internal.user_set_contains(t.users, d.user_number)
                  ORDER BY t.metric_date DESC LIMIT 1) END
FROM departed AS d
JOIN analytics.users AS u ON u.workspace_id = d.workspace_id AND u.user_number = d.user_number
WHERE u.first_date = $1 OR u.last_date = $1
)sql";

inline constexpr const char *delete_departed = R"sql(
DELETE FROM analytics.users AS u USING moved AS m
WHERE u.workspace_id = m.workspace_id AND u.user_number = m.user_number
  AND (m.first_date IS NULL OR m.last_date IS NULL)
)sql";

// The instants of the day that has become the first or last: from its raw events, or its start without them.
inline constexpr const char *update_departed = R"sql(
UPDATE analytics.users AS u
SET first_date = m.first_date, last_date = m.last_date,
    first_seen = CASE WHEN NOT m.was_first THEN u.first_seen
        ELSE (SELECT coalesce((SELECT min(e.created_at) FROM analytics.user_activity AS e
                               WHERE e.workspace_id = m.workspace_id AND e.user_id = m.user_id
                                 AND e.created_at >= b.day_start AND e.created_at < b.day_end), b.day_start)
              FROM analytics_internal.workspace_day_bounds(m.workspace_id, m.first_date) AS b) END,
    last_seen = CASE WHEN NOT m.was_last THEN u.last_seen
        ELSE (SELECT coalesce((SELECT max(e.created_at) FROM analytics.user_activity AS e
                               WHERE e.workspace_id = m.workspace_id AND e.user_id = m.user_id
                                 AND e.created_at >= b.day_start AND e.created_at < b.day_end), b.day_start)
              FROM analytics_internal.workspace_day_bounds(m.workspace_id, m.last_date) AS b) END
FROM moved AS m
WHERE u.workspace_id = m.workspace_id AND u.user_number = m.user_number
)sql";

inline constexpr const char *give_new = R"sql(
UPDATE analytics.daily_users AS t
SET new_users = analytics_internal.user_set_union(t.new_users, g.users), updated_at = $3
FROM (SELECT m.workspace_id, m.first_date, analytics.user_set_agg(m.user_number) AS users
      FROM moved AS m WHERE m.was_first AND m.last_date IS NOT NULL GROUP BY m.workspace_id, m.first_date) AS g
WHERE t.workspace_id = g.workspace_id AND t.metric_date = g.first_date
)sql";

// First days move to and from the bucket's day and later ones only, so earlier days keep their counts; later
// ones too in a workspace without users who came or went.
inline constexpr const char *select_changed = R"sql(
SELECT w.workspace_id
FROM (SELECT n.workspace_id FROM newcomers AS n UNION SELECT d.workspace_id FROM departed AS d) AS w
WHERE EXISTS (SELECT FROM analytics.daily_users AS l WHERE l.workspace_id = w.workspace_id AND l.metric_date > $1)
)sql";

// While earlier days of a workspace wait for repair, each would move the later ones once more: that is put
// off until they are done.
inline constexpr const char *put_off_later_totals = R"sql(
INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date)
SELECT w.workspace_id, 'totals', $1 FROM changed AS w
WHERE EXISTS (SELECT FROM analytics.dirty_hours AS h WHERE h.workspace_id = w.workspace_id AND h.metric_hour < $4)
ON CONFLICT DO NOTHING
)sql";

inline constexpr const char *update_later_totals = R"sql(
SELECT analytics_internal.update_later_totals(array_agg(w.workspace_id), array_agg($1))
FROM changed AS w
WHERE NOT EXISTS (SELECT FROM analytics.pending_buckets AS o
                  WHERE o.workspace_id = w.workspace_id AND o.kind = 'totals' AND o.metric_date <= $1)
)sql";

} // namespace shadow::entry::statements
