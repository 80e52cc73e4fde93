// Users for ever: the dictionary analytics.users and the sets analytics.daily_users, kept right whichever day
// is aggregated again. A day's run knows the users that it saw; it moves the first and last days of those
// and of those whom the day held before and holds no longer.

#include <algorithm>

#include "entry/rollup/users.hpp"

#include "entry/rollup/statements.hpp"
#include "entry/rollup/tables.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/tableam.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

// ---- numbers ------------------------------------------------------------------------------------------------

namespace
{

// An instant belongs to its day: it changes only when that day is aggregated, or another becomes the first or last.
void see(user_record &user, const user_activity &seen, DateADT day)
{
    user_record const before = user;
    user.known_first = before.first_date;
    if (before.first_date >= day) {
        user.first_date = day;
        user.first_seen = seen.first;
    }
    if (before.last_date <= day) {
        user.last_date = day;
        user.last_seen = seen.last;
    }
    user.is_changed = user.first_date != before.first_date || user.last_date != before.last_date ||
                      user.first_seen != before.first_seen || user.last_seen != before.last_seen;
}

// New users get the next numbers of their workspace, in the order of user_id.
void number_new(span<user_activity> seen, DateADT day, std::int64_t next, span<user_record> users)
{
    for (std::size_t i = 0; i < seen.size; ++i) {
        if (users[i].is_known)
            continue;
        users[i] = {};
        users[i].user = seen[i].user;
        users[i].number = next++;
        users[i].first_date = users[i].last_date = day;
        users[i].first_seen = seen[i].first;
        users[i].last_seen = seen[i].last;
    }
}

} // namespace

void user_reader::open()
{
    Snapshot const snapshot = GetActiveSnapshot();
    users_ = open_table("users");
    days_ = open_table("daily_metrics");
    by_id_.open(users_, {"workspace_id", "user_id"}, 2, snapshot);
    in_order_.open(users_, {"workspace_id", "user_id"}, 1, snapshot);
    by_number_.open(users_, {"workspace_id", "user_number"}, 1, snapshot, pg::lookup_order::descending);
    by_date_.open(days_, {"workspace_id", "metric_date"}, 2, snapshot, pg::lookup_order::descending_before);
    user_ = table_slot_create(users_, nullptr);
    day_ = table_slot_create(days_, nullptr);
    user_id_ = place_of(users_, "user_id");
    number_ = place_of(users_, "user_number");
    first_date_ = place_of(users_, "first_date");
    last_date_ = place_of(users_, "last_date");
    first_seen_ = place_of(users_, "first_seen");
    last_seen_ = place_of(users_, "last_seen");
    is_forgotten_ = place_of(users_, "is_forgotten");
    total_users_ = place_of(days_, "total_users");
}

void user_reader::close()
{
    for (pg::index_lookup *const lookup : {&by_id_, &in_order_, &by_number_, &by_date_})
        lookup->close();
    ExecDropSingleTupleTableSlot(user_);
    ExecDropSingleTupleTableSlot(day_);
    table_close(days_, NoLock);
    table_close(users_, NoLock);
}

// None of these columns may be NULL.
std::int64_t user_reader::value_of(TupleTableSlot *row, int place) const
{
    bool is_null;
    return DatumGetInt64(slot_getattr(row, place + 1, &is_null));
}

user_record user_reader::stored() const
{
    slot_getallattrs(user_);
    Datum const *const values = user_->tts_values;
    user_record user = {};
    user.user = uuid::from_bytes(DatumGetUUIDP(values[user_id_])->data);
    user.number = DatumGetInt64(values[number_]);
    user.first_date = DatumGetDateADT(values[first_date_]);
    user.last_date = DatumGetDateADT(values[last_date_]);
    user.first_seen = DatumGetTimestampTz(values[first_seen_]);
    user.last_seen = DatumGetTimestampTz(values[last_seen_]);
    user.is_forgotten = DatumGetBool(values[is_forgotten_]);
    user.is_known = true;
    user.place = user_->tts_tid;
    return user;
}

// -1: no users.
std::int64_t user_reader::largest_number(Datum workspace)
{
    return by_number_.find(&workspace, user_) ? value_of(user_, number_) : -1;
}

// Of the latest day before; false: there is none.
bool user_reader::read_earlier_total(Datum workspace, DateADT day, std::int64_t &total)
{
    Datum const key[] = {workspace, DateADTGetDatum(day)};
    if (!by_date_.find(key, day_))
        return false;
    total = value_of(day_, total_users_);
    return true;
}

void user_reader::find_singly(Datum workspace, DateADT day, span<user_activity> seen, user_records &out)
{
    pg_uuid_t id;
    Datum const key[] = {workspace, UUIDPGetDatum(&id)};
    for (std::size_t i = 0; i < seen.size; ++i) {
        CHECK_FOR_INTERRUPTS();
        seen[i].user.to_bytes(id.data);
        out.users[i].is_known = by_id_.find(key, user_);
        if (!out.users[i].is_known)
            continue;
        out.users[i] = stored();
        see(out.users[i], seen[i], day);
    }
}

// All users of the workspace, in the order of those seen; counts those of earlier days.
void user_reader::find_by_range(Datum workspace, DateADT day, span<user_activity> seen, user_records &out)
{
    std::size_t i = 0;
    for (in_order_.start(&workspace); in_order_.next(user_);) {
        CHECK_FOR_INTERRUPTS();
        user_record const user = stored();
        out.earlier += user.first_date < day;
        while (i < seen.size && seen[i].user < user.user)
            out.users[i++].is_known = false;
        if (i == seen.size || !(seen[i].user == user.user))
            continue;
        out.users[i] = user;
        see(out.users[i], seen[i], day);
        ++i;
    }
    while (i < seen.size)
        out.users[i++].is_known = false;
}

user_records user_reader::read(const uuid &workspace, DateADT day, span<user_activity> seen)
{
    // A lookup costs as much as reading so many users in order.
    constexpr std::int64_t users_per_lookup = 8;

    pg_uuid_t id;
    workspace.to_bytes(id.data);
    Datum const key = UUIDPGetDatum(&id);
    auto *const users =
        static_cast<user_record *>(palloc_extended((seen.size + 1) * sizeof(user_record), MCXT_ALLOC_HUGE));
    user_records out = {{users, seen.size}, 0};
    std::int64_t const largest = largest_number(key);
    std::int64_t earlier = 0;
    bool const has_total = read_earlier_total(key, day, earlier);
    if (largest < 0)
        std::for_each(users, users + seen.size, [](user_record &user) { user.is_known = false; });
    else if (has_total && largest / users_per_lookup > static_cast<std::int64_t>(seen.size))
        find_singly(key, day, seen, out);
    else
        find_by_range(key, day, seen, out);
    if (has_total)
        out.earlier = earlier;
    number_new(seen, day, largest + 1, out.users);
    return out;
}

// ---- other days ---------------------------------------------------------------------------------------------

namespace
{

constexpr column before_columns[] = {{"workspace_id", "uuid"}, {"users", "analytics.user_set"}};
constexpr temporary_relation before = {"before", before_columns, lengthof(before_columns)};

constexpr column departed_columns[] = {{"workspace_id", "uuid"}, {"user_number", "bigint"}};
constexpr temporary_relation departed = {"departed", departed_columns, lengthof(departed_columns)};

constexpr column moved_columns[] = {
    {"workspace_id", "uuid"}, {"user_number", "bigint"}, {"user_id", "uuid"},  {"was_first", "boolean"},
    {"was_last", "boolean"},  {"first_date", "date"},    {"last_date", "date"}};
constexpr temporary_relation moved = {"moved", moved_columns, lengthof(moved_columns)};

constexpr column changed_columns[] = {{"workspace_id", "uuid"}};
constexpr temporary_relation changed = {"changed", changed_columns, lengthof(changed_columns)};

} // namespace

void keep_users_before(run_relations &relations, const bucket &b)
{
    materialize(relations, before, statements::select_before, b);
}

void update_other_days(run_relations &relations, const bucket &b)
{
    bool const has_departed = materialize(relations, departed, statements::select_departed, b) > 0;
    execute(statements::take_back_new, b);
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
