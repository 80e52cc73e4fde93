#pragma once
// Rows of the rollup tables, formed once, as they are stored: one table per rollup says by name which value each
// column gets. PostgreSQL calls and plain data only.

#include "core/rollup/metrics.hpp"
#include "entry/rollup/bucket.hpp"

extern "C" {
#include "storage/itemptr.h"
#include "utils/date.h"
}

namespace shadow::entry
{

// Where a row goes. The last three are not written as they are (users.hpp).
enum class rollup_table {
    daily_metrics,
    agent_performance,
    daily_event_usage,
    daily_error_types,
    daily_users,
    daily_user_revenue,
    hourly_metrics,
    users,
    agents,    // named by text
    newcomers, // rows like those of daily_users: users new to the day, and the day on which they were new before
    counted, // rows like those of closed_days: events of the UTC day, where some are known
};
constexpr int rollup_table_count = static_cast<int>(rollup_table::counted) + 1;

// A row type of SQL, and the columns that rows come with. One row at a time: its values.
struct row_type {
    Oid type;
    TupleDesc description;
    int places[48]; // from 0
    int count;      // 0: the bucket has no such rows
    Datum *values;
    bool *nulls;
};

// Takes the rows. `place`: where the row lies that this one replaces; nullptr: unknown. A known user's is known, a new
// user has none.
struct row_receiver {
    void (*take)(row_receiver &self, rollup_table table, const row_type &row, ItemPointer place);
};

// A user of a bucket, as it will be in the dictionary.
struct user_record {
    uuid user;
    std::int64_t number;
    DateADT first_date, last_date;
    TimestampTz first_seen, last_seen;
    bool is_forgotten;
    bool is_known;       // is in the dictionary
    bool is_changed;     // differs there
    DateADT known_first; // first_date there
    ItemPointerData place;
};
struct user_records {
    span<user_record> users; // those of rollup_metrics::user_list
    std::int64_t earlier;    // users first seen on earlier days
};

struct row_types {
    row_type tables[rollup_table_count];
    row_type error_count;
    Oid user_set;
    MemoryContext row_context;
};
// Looked up once per scan; in the current memory context.
row_types *find_row_types(bool is_day);

// Hands all rows of a workspace to the receiver, each rollup's in the order of its key. Puts numbers for the positions
// in the metrics' sets of users.
void form_rows(row_types &types, const bucket &b, const uuid &workspace, bool is_final,
               rollup_metrics &metrics, const user_records &users, row_receiver &to);

void form_count(row_types &types, const uuid &workspace, std::int64_t events, row_receiver &to);

} // namespace shadow::entry
