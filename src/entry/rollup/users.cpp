// Users for ever: the dictionary analytics.users and the sets analytics.daily_users, kept right whichever day
// is aggregated again. A day's run knows the users of "summary"; it moves the first and last days of those
// it saw and of those whom the day held before and holds no longer.

#include "entry/rollup/users.hpp"

#include "entry/rollup/rows.hpp"
#include "pg/settings.hpp"

#include <algorithm>

namespace shadow::entry
{

namespace
{

constexpr column seen_columns[] = {
    {"workspace_id", "uuid"},
    {"place", "bigint"},
    {"user_id", "uuid"},
    {"first_event", "timestamp with time zone"},
    {"last_event", "timestamp with time zone"},
    {"user_number", "bigint"},
    {"is_new", "boolean"},
    {"first_date", "date"},
    {"last_date", "date"},
};
constexpr temporary_relation seen = {"seen", seen_columns, lengthof(seen_columns)};

// New users get the next numbers of their workspace, in the order of user_id.
constexpr const char *select_seen =
    "SELECT s.workspace_id, a.place, a.user_id, a.first_event, a.last_event,"
    " coalesce(u.user_number, next.user_number - 1"
    "  + count(*) FILTER (WHERE u.user_number IS NULL) OVER (PARTITION BY s.workspace_id ORDER BY a.place)),"
    " u.user_number IS NULL, u.first_date, u.last_date "
    "FROM summary AS s"
    " CROSS JOIN LATERAL (SELECT coalesce(max(l.user_number) + 1, 0) AS user_number FROM analytics.users AS l"
    "  WHERE l.workspace_id = s.workspace_id) AS next"
    " CROSS JOIN LATERAL unnest(s.user_ids, s.first_events, s.last_events)"
    "  WITH ORDINALITY AS a(user_id, first_event, last_event, place)"
    " LEFT JOIN analytics.users AS u ON u.workspace_id = s.workspace_id AND u.user_id = a.user_id";

constexpr column numbers_columns[] = {
    {"workspace_id", "uuid"}, {"user_numbers", "bigint[]"}, {"new_users", "analytics.user_set"}};
constexpr temporary_relation numbers = {"numbers", numbers_columns, lengthof(numbers_columns)};

constexpr const char *select_numbers =
    "SELECT v.workspace_id, array_agg(v.user_number ORDER BY v.place),"
    " coalesce(analytics.user_set_agg(v.user_number) FILTER (WHERE v.is_new OR v.first_date >= $1), '{}') "
    "FROM seen AS v GROUP BY v.workspace_id";

// Those whom the day held until now.
constexpr column departed_columns[] = {{"workspace_id", "uuid"}, {"user_number", "bigint"}};
constexpr temporary_relation departed = {"departed", departed_columns, lengthof(departed_columns)};

constexpr const char *select_departed =
    "SELECT t.workspace_id, d.user_number FROM analytics.daily_users AS t"
    " LEFT JOIN numbers AS n ON n.workspace_id = t.workspace_id"
    " CROSS JOIN LATERAL analytics.user_set_elements(analytics_internal.user_set_difference(t.users,"
    "  coalesce(analytics.user_set(n.user_numbers), '{}'))) AS d(user_number) "
    "WHERE t.metric_date = $1 AND ($2 IS NULL OR t.workspace_id = $2)";

constexpr const char *insert_users =
    "INSERT INTO analytics.users"
    " (workspace_id, user_id, user_number, first_date, last_date, first_seen, last_seen) "
    "SELECT v.workspace_id, v.user_id, v.user_number, $1, $1, v.first_event, v.last_event"
    " FROM seen AS v WHERE v.is_new ORDER BY v.workspace_id, v.user_id";

// A user seen earlier than known is no longer new on the day that was the first.
constexpr const char *take_back_new =
    "UPDATE analytics.daily_users AS t"
    " SET new_users = analytics_internal.user_set_difference(t.new_users, m.users), updated_at = $3 "
    "FROM (SELECT v.workspace_id, v.first_date, analytics.user_set_agg(v.user_number) AS users"
    "  FROM seen AS v WHERE v.first_date > $1 GROUP BY v.workspace_id, v.first_date) AS m "
    "WHERE t.workspace_id = m.workspace_id AND t.metric_date = m.first_date";

// An instant belongs to its day: it changes only when that day is aggregated, or another becomes the first or last.
constexpr const char *update_dictionary =
    "UPDATE analytics.users AS u SET first_date = least(u.first_date, $1), last_date = greatest(u.last_date, "
    "$1),"
    " first_seen = CASE WHEN u.first_date >= $1 THEN v.first_event ELSE u.first_seen END,"
    " last_seen = CASE WHEN u.last_date <= $1 THEN v.last_event ELSE u.last_seen END "
    "FROM seen AS v WHERE NOT v.is_new AND u.workspace_id = v.workspace_id AND u.user_id = v.user_id"
    " AND ((v.first_date >= $1 AND (u.first_date, u.first_seen) <> ($1, v.first_event))"
    "  OR (v.last_date <= $1 AND (u.last_date, u.last_seen) <> ($1, v.last_event)))";

// The nearest days that still hold the departed; NULL: none.
constexpr column returned_columns[] = {
    {"workspace_id", "uuid"}, {"user_number", "bigint"}, {"user_id", "uuid"},  {"was_first", "boolean"},
    {"was_last", "boolean"},  {"first_date", "date"},    {"last_date", "date"}};
constexpr temporary_relation moved = {"moved", returned_columns, lengthof(returned_columns)};

constexpr const char *select_moved =
    "SELECT d.workspace_id, d.user_number, u.user_id, u.first_date = $1, u.last_date = $1,"
    " CASE WHEN u.first_date < $1 THEN u.first_date ELSE ("
    "  SELECT t.metric_date FROM analytics.daily_users AS t WHERE t.workspace_id = d.workspace_id"
    "  AND t.metric_date > $1 AND analytics_internal.user_set_contains(t.users, d.user_number)"
    "  ORDER BY t.metric_date LIMIT 1) END,"
    " CASE WHEN u.last_date > $1 THEN u.last_date ELSE ("
    "  SELECT t.metric_date FROM analytics.daily_users AS t WHERE t.workspace_id = d.workspace_id"
    "  AND t.metric_date < $1 AND analytics_internal.user_set_contains(t.users, d.user_number)"
    "  ORDER BY t.metric_date DESC LIMIT 1) END "
    "FROM departed AS d JOIN analytics.users AS u"
    " ON u.workspace_id = d.workspace_id AND u.user_number = d.user_number "
    "WHERE u.first_date = $1 OR u.last_date = $1";

constexpr const char *delete_departed =
    "DELETE FROM analytics.users AS u USING moved AS m"
    " WHERE u.workspace_id = m.workspace_id AND u.user_number = m.user_number"
    " AND (m.first_date IS NULL OR m.last_date IS NULL)";

// The instants of the day that has become the first or last: from its raw events, or its start without them.
#define SHADOW_INSTANT_OF(function, day)                                                                     \
    "(SELECT coalesce((SELECT " function "(e.created_at) FROM analytics.user_activity AS e"                  \
    "  WHERE e.workspace_id = m.workspace_id AND e.user_id = m.user_id"                                      \
    "  AND e.created_at >= b.day_start AND e.created_at < b.day_end), b.day_start)"                          \
    " FROM analytics.workspace_day_bounds(m.workspace_id, " day ") AS b)"
constexpr const char *update_departed =
    "UPDATE analytics.users AS u SET first_date = m.first_date, last_date = m.last_date,"
    " first_seen = CASE WHEN m.was_first THEN " SHADOW_INSTANT_OF(
        "min", "m.first_date") " ELSE u.first_seen END,"
                               " last_seen = CASE WHEN m.was_last THEN " SHADOW_INSTANT_OF(
                                   "max", "m.last_date") " ELSE u.last_seen END "
                                                         "FROM moved AS m WHERE u.workspace_id = "
                                                         "m.workspace_id AND u.user_number = m.user_number";
#undef SHADOW_INSTANT_OF

constexpr const char *give_new =
    "UPDATE analytics.daily_users AS t"
    " SET new_users = analytics_internal.user_set_union(t.new_users, g.users), updated_at = $3 "
    "FROM (SELECT m.workspace_id, m.first_date, analytics.user_set_agg(m.user_number) AS users"
    "  FROM moved AS m WHERE m.was_first AND m.last_date IS NOT NULL GROUP BY m.workspace_id, m.first_date) "
    "AS g "
    "WHERE t.workspace_id = g.workspace_id AND t.metric_date = g.first_date";

// The summary in key order with the numbers of its users, for the statements of all rollups.
constexpr column user_columns[] = {
    {"user_numbers", "bigint[]"},
    {"new_users", "analytics.user_set"},
    {"new_user_count", "bigint"},
    {"total_users", "bigint"},
};

// The summary with these columns.
temporary_relation describe_activities()
{
    constexpr int added = lengthof(user_columns);
    int const count = daily_summary.column_count + added;
    auto *const columns = static_cast<column *>(palloc(static_cast<Size>(count) * sizeof(column)));
    std::copy_n(daily_summary.columns, daily_summary.column_count, columns);
    std::copy_n(user_columns, added, columns + daily_summary.column_count);
    return {"activities", columns, count};
}

// Users first seen until the last day before a limit: as its row says, or counted where there is none.
#define SHADOW_USERS_UNTIL(workspace, limit)                                                                 \
    "coalesce((SELECT m.total_users FROM analytics.daily_metrics AS m"                                       \
    "  WHERE m.workspace_id = " workspace " AND m.metric_date " limit                                        \
    "  ORDER BY m.metric_date DESC LIMIT 1),"                                                                \
    " (SELECT count(*) FROM analytics.users AS u"                                                            \
    "  WHERE u.workspace_id = " workspace " AND u.first_date " limit "))"
constexpr const char *select_activities =
    "SELECT s.*, n.user_numbers, n.new_users, "
    "analytics.user_set_cardinality(n.new_users)," SHADOW_USERS_UNTIL(
        "n.workspace_id", "< $1") " + analytics.user_set_cardinality(n.new_users) "
                                  "FROM summary AS s JOIN numbers AS n ON n.workspace_id = s.workspace_id "
                                  "ORDER BY s.workspace_id";

// First days move to and from the bucket's day and later ones only, so earlier days keep their counts; later
// ones too in a workspace without users who came or went.
constexpr column changed_columns[] = {{"workspace_id", "uuid"}, {"total_users", "bigint"}};
constexpr temporary_relation changed = {"changed", changed_columns, lengthof(changed_columns)};

constexpr const char *select_changed = "SELECT w.workspace_id," SHADOW_USERS_UNTIL(
    "w.workspace_id",
    "<= $1") " FROM (SELECT v.workspace_id FROM seen AS v WHERE v.is_new OR v.first_date > $1"
             " UNION SELECT d.workspace_id FROM departed AS d) AS w "
             "WHERE EXISTS (SELECT FROM analytics.daily_users AS l"
             " WHERE l.workspace_id = w.workspace_id AND l.metric_date > $1)";
#undef SHADOW_USERS_UNTIL

// While earlier days of a workspace wait for repair, each would move the later ones once more: that is put
// off until they are done.
constexpr const char *put_off_later_counts =
    "INSERT INTO analytics.stale_totals AS t (workspace_id, from_date)"
    " SELECT w.workspace_id, $1 FROM changed AS w"
    " WHERE EXISTS (SELECT FROM analytics.dirty_hours AS h"
    "  WHERE h.workspace_id = w.workspace_id AND h.metric_hour < $4)"
    " ON CONFLICT (workspace_id) DO UPDATE SET from_date = EXCLUDED.from_date"
    " WHERE t.from_date > EXCLUDED.from_date";

constexpr const char *update_later_counts =
    "UPDATE analytics.daily_metrics AS t SET (new_users, returning_users, total_users, updated_at) ="
    " ROW(c.new_users, c.active_users - c.new_users, c.total_users, $3) "
    "FROM (SELECT p.workspace_id, p.metric_date, p.active_users, p.new_users, p.total_users"
    "   + sum(p.new_users) OVER (PARTITION BY p.workspace_id ORDER BY p.metric_date) AS total_users"
    "  FROM (SELECT d.workspace_id, d.metric_date, analytics.user_set_cardinality(d.users) AS active_users,"
    "    analytics.user_set_cardinality(d.new_users) AS new_users, w.total_users"
    "    FROM changed AS w JOIN analytics.daily_users AS d"
    "     ON d.workspace_id = w.workspace_id AND d.metric_date > $1"
    "    WHERE NOT EXISTS (SELECT FROM analytics.stale_totals AS o"
    "     WHERE o.workspace_id = w.workspace_id AND o.from_date <= $1)) AS p) AS c "
    "WHERE t.workspace_id = c.workspace_id AND t.metric_date = c.metric_date"
    " AND (t.new_users, t.returning_users, t.total_users)"
    "  <> (c.new_users, c.active_users - c.new_users, c.total_users)";

// Counting the users of a workspace: where one has most of them, the planner takes each for as large and
// would read the whole table once for every workspace.
std::uint64_t materialize_by_index(run_relations &relations, const temporary_relation &relation,
                                   const char *sql, const bucket &b)
{
    int const guc_level = NewGUCNestLevel();
    pg::set_parameter("enable_seqscan", "off");
    std::uint64_t const rows = materialize(relations, relation, sql, b);
    AtEOXact_GUC(true, guc_level);
    return rows;
}

} // namespace

// Numbers the users of "summary", brings the dictionary up to date and counts them. Leaves "activities"; how
// many have left the day.
std::uint64_t update_users(run_relations &relations, const bucket &b)
{
    materialize(relations, seen, select_seen, b);
    materialize(relations, numbers, select_numbers, b);
    std::uint64_t const departures = materialize(relations, departed, select_departed, b);
    execute(insert_users, b);
    execute(take_back_new, b);
    execute(update_dictionary, b);
    materialize_by_index(relations, describe_activities(), select_activities, b);
    return departures;
}

// After the day's rollups and sets are written.
void update_later_days(run_relations &relations, const bucket &b, bool has_departed)
{
    if (has_departed) {
        materialize(relations, moved, select_moved, b);
        execute(delete_departed, b);
        execute(update_departed, b);
        execute(give_new, b);
    }
    if (materialize_by_index(relations, changed, select_changed, b) == 0)
        return;
    if (b.is_repair)
        execute(put_off_later_counts, b);
    execute(update_later_counts, b);
}

} // namespace shadow::entry
