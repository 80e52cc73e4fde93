#pragma once
// The users of a day: their numbers and who is new, before the day's rows are formed; who has left the day, and the
// totals of later days, after they are written.

#include "entry/rollup/rows.hpp"
#include "pg/index_lookup.hpp"

namespace shadow::entry
{

// Reads the dictionary under the active snapshot, which must not be older than the lock of rollups. Plain data.
class user_reader
{
public:
    void open();
    void close();
    // Finds or numbers the users of a workspace; in the current memory context. Writes nothing.
    user_records read(const uuid &workspace, DateADT day, span<user_activity> seen);

private:
    user_record stored() const;
    void find_singly(Datum workspace, DateADT day, span<user_activity> seen, user_records &out);
    void find_by_range(Datum workspace, DateADT day, span<user_activity> seen, user_records &out);
    std::int64_t largest_number(Datum workspace);
    bool read_earlier_total(Datum workspace, DateADT day, std::int64_t &total);
    std::int64_t value_of(TupleTableSlot *row, int place) const;

    Relation users_, days_;
    pg::index_lookup by_id_, in_order_, by_number_, by_date_;
    TupleTableSlot *user_, *day_;
    int user_id_, number_, first_date_, last_date_, first_seen_, last_seen_, is_forgotten_, total_users_;
};

// Whom the day holds before it is written. Then, after its rows are: the dictionary of those who have left it, and
// the days on which somebody is new now or no longer.
void keep_users_before(run_relations &relations, const bucket &b);
void update_other_days(run_relations &relations, const bucket &b);

} // namespace shadow::entry
