// Users for ever: the dictionary analytics.users and the sets analytics.daily_users, kept right whichever day
// is aggregated again. A day's run knows the users of "summary"; it moves the first and last days of those
// it saw and of those whom the day held before and holds no longer.

#include "entry/rollup/users.hpp"

#include "entry/rollup/rows.hpp"
#include "entry/rollup/statements.hpp"

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

constexpr column numbers_columns[] = {
    {"workspace_id", "uuid"}, {"user_numbers", "bigint[]"}, {"new_users", "analytics.user_set"}};
constexpr temporary_relation numbers = {"numbers", numbers_columns, lengthof(numbers_columns)};

constexpr column departed_columns[] = {{"workspace_id", "uuid"}, {"user_number", "bigint"}};
constexpr temporary_relation departed = {"departed", departed_columns, lengthof(departed_columns)};

constexpr column moved_columns[] = {
    {"workspace_id", "uuid"}, {"user_number", "bigint"}, {"user_id", "uuid"},  {"was_first", "boolean"},
    {"was_last", "boolean"},  {"first_date", "date"},    {"last_date", "date"}};
constexpr temporary_relation moved = {"moved", moved_columns, lengthof(moved_columns)};

constexpr column changed_columns[] = {{"workspace_id", "uuid"}};
constexpr temporary_relation changed = {"changed", changed_columns, lengthof(changed_columns)};

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

} // namespace

// Numbers the users of "summary", brings the dictionary up to date and counts them. Leaves "activities"; how
// many have left the day.
std::uint64_t update_users(run_relations &relations, const bucket &b)
{
    materialize(relations, seen, statements::select_seen, b);
    materialize(relations, numbers, statements::select_numbers, b);
    std::uint64_t const departures = materialize(relations, departed, statements::select_departed, b);
    execute(statements::insert_users, b);
    execute(statements::take_back_new, b);
    execute(statements::update_dictionary, b);
    materialize(relations, describe_activities(), statements::select_daily_activities, b);
    return departures;
}

// After the day's rollups and sets are written.
void update_later_days(run_relations &relations, const bucket &b, bool has_departed)
{
    if (has_departed) {
        materialize(relations, moved, statements::select_moved, b);
        execute(statements::delete_departed, b);
        execute(statements::update_departed, b);
        execute(statements::give_new, b);
    }
    if (materialize(relations, changed, statements::select_changed, b) == 0)
        return;
    if (b.is_repair)
        execute(statements::put_off_later_totals, b);
    execute(statements::update_later_totals, b);
}

} // namespace shadow::entry
