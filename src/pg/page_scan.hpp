#pragma once
// The rows of a heap page by page, without the executor: they are handed out where they lie, and only the wanted columns
// are found. PostgreSQL calls and plain data only.

#include "pg/spi.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/tupmacs.h"
#include "datatype/timestamp.h"
#include "utils/rel.h"
#include "utils/snapshot.h"
}

namespace shadow::pg
{

// Partitions that may hold rows of a time range.
struct leaf_list {
    static constexpr int most = 16;
    Oid leaves[most];
    int count;
    BlockNumber pages; // of all
};

// Those of a table that is partitioned by ranges of this column, a timestamptz. False: there is one that the executor
// reads better, since it spans more than the range and an index finds the rows, or since it is no heap; or the table is
// not partitioned so, the caller may not read it, or row security applies.
bool find_leaves(Oid table, const char *column, TimestampTz first, TimestampTz last, leaf_list &out);

// The heaps that a query of one table reads whole, if that is its plan, and needs no more than their rows. False: the
// executor knows better, has an index or reads something that is no heap.
bool reads_whole_heaps(const char *sql, std::initializer_list<parameter> parameters, leaf_list &out);

// Where the wanted columns of a table's rows lie.
class row_reader
{
public:
    // `wanted[i]`: the number of the attribute that becomes the value i.
    row_reader(TupleDesc description, const int *wanted, int count);

    // Values by reference point into the row, or into the current memory context.
    void read(HeapTupleHeader row, Datum *values, bool *nulls) const;

private:
    static constexpr int most_attributes = 64;
    struct step {
        std::int16_t length;
        char align;
        bool by_value;
        std::int8_t target; // -1: not wanted
    };
    void read_all(HeapTupleHeader row, Datum *values, bool *nulls) const;

    TupleDesc description_;
    step steps_[most_attributes];
    int last_ = 0; // of the wanted
};

inline HeapTupleHeader row_of(HeapScanDesc scan, Page page, int i)
{
    return reinterpret_cast<HeapTupleHeader>(PageGetItem(page, PageGetItemId(page, scan->rs_vistuples[i])));
}

// visit(scan): the visible rows of the page are scan->rs_vistuples[0 .. rs_ntuples), pinned.
template <typename Visit>
void scan_pages(Relation table, Snapshot snapshot, Visit visit)
{
    TableScanDesc const scan = table_beginscan(table, snapshot, 0, nullptr);
    auto *const heap = reinterpret_cast<HeapScanDesc>(scan);
    for (BlockNumber page = 0; next_page(heap, page); ++page)
        visit(heap);
    table_endscan(scan);
}

} // namespace shadow::pg
