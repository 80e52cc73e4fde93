#pragma once
// One bucket: its statements with their parameters, and the relations that only they see. PostgreSQL calls
// and plain data only.

#include "pg/boundary.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "executor/spi.h"
}

namespace shadow::entry
{

// One bucket of one or all workspaces, as the statements' parameters see it.
struct bucket {
    bool is_day;
    bool is_repair;  // of one of perhaps many days
    Datum key;       // $1: date or hour
    Datum workspace; // $2: NULL for all
    bool all_workspaces;
    TimestampTz now;   // $3
    TimestampTz first; // $4: bounds of workspaces without a time zone of their own
    TimestampTz last;  // $5
};

// The number of rows. A statement takes a snapshot of its own unless it may only read under the active one.
std::uint64_t execute(const char *sql, const bucket &b, DestReceiver *receiver = nullptr,
                      bool under_active_snapshot = false);

struct column {
    const char *name;
    const char *type;
};
struct temporary_relation {
    const char *name;
    const column *columns;
    int column_count;
};

// The relations of a run. They are plain data, so an error leaves them to the end of the transaction.
struct run_relations {
    Tuplestorestate *stores[20];
    int count;
};
Tuplestorestate *new_store(run_relations &relations);
// Makes a filled store known to the following statements of this connection to SPI.
void register_relation(const char *name, TupleDesc description, Tuplestorestate *store, std::uint64_t rows);
// Keeps the rows of a query; their number.
std::uint64_t keep_rows(Tuplestorestate *store, const char *sql, const bucket &b);
// Keeps the rows of a query as a relation; their number.
std::uint64_t materialize(run_relations &relations, const temporary_relation &relation, const char *sql,
                          const bucket &b);

} // namespace shadow::entry
