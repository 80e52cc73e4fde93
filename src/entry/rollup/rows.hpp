#pragma once
// Rows of the rollup tables: one table per rollup says by name which value each column gets. The rows have the
// types of the tables they are for; the columns that only SQL knows (users' numbers, times) are NULL in them.
// PostgreSQL calls and plain data only.

#include "core/rollup/metrics.hpp"
#include "entry/rollup/bucket.hpp"

namespace shadow::entry
{

// Names of the columns that the rows hold, for the statements that write them.
struct column_names {
    const char *const *names;
    int count;
};
extern const column_names daily_columns, hourly_columns, agent_columns, event_usage_columns,
    error_type_columns;

// The collected workspaces of a bucket with their rows, one row of the relation each.
extern const temporary_relation daily_summary, hourly_summary;
constexpr int most_summary_columns = 16;

// A row type of SQL, and which of its columns are filled.
struct row_type {
    Oid type;
    TupleDesc description;
    const int *places; // of the columns' values, from 0
};
struct row_types {
    bool is_day;
    row_type metrics; // of the day or hour
    row_type agent, event_usage, error_type, error_count;
    Oid user_set;
};
// Looked up once per scan; in the current memory context.
row_types *find_row_types(bool is_day);

// One row of the summary: values that are never NULL.
void form_summary(const row_types &types, const uuid &workspace, bool is_final, const rollup_metrics &metrics,
                  Datum *values);

} // namespace shadow::entry
