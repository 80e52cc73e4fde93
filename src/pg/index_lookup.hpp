#pragma once
// Rows of a table by the leading columns of an index, without a statement. PostgreSQL calls and plain data only.

#include "pg/prelude.hpp"

extern "C" {
#include "access/genam.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/snapshot.h"
}

namespace shadow::pg
{

// Which rows, by the values of the columns that are compared, and in which order.
enum class lookup_order { ascending, descending, descending_before }; // before: the last column is less

class index_lookup
{
public:
    static constexpr int most_columns = 4;

    // The index has all the columns first; only `compared` of them are compared, the others order the rows. An error
    // (42704) without such an index.
    void open(Relation table, std::initializer_list<const char *> columns, int compared, Snapshot snapshot,
              lookup_order order = lookup_order::ascending);
    // By all columns of a unique index.
    void open(Relation table, Relation index, Snapshot snapshot);
    void close();

    // Starts again, with one value per compared column; next() gives the rows.
    void start(const Datum *values);
    bool next(TupleTableSlot *row);
    bool find(const Datum *values, TupleTableSlot *row)
    {
        start(values);
        return next(row);
    }

private:
    void begin(Relation table, int compared, Snapshot snapshot, lookup_order order);

    Relation index_;
    IndexScanDesc scan_;
    MemoryContext context_; // of all that the scan keeps between two calls
    ScanDirection direction_;
    int compared_;
    ScanKeyData keys_[most_columns];
};

} // namespace shadow::pg
