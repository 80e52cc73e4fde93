// A table access method that does what heap does without being heap, for test/sql/access_method.sql.

#include "pg/boundary.hpp"

extern "C" {
#include "access/heapam.h"
#include "access/tableam.h"
#include "utils/rel.h"
}

// Heap builds indexes by a scan that refuses tables of other access methods.
static double build_index(Relation table, Relation index, struct IndexInfo *info, bool allow_sync,
                          bool anyvisible, bool progress, BlockNumber start, BlockNumber blocks,
                          IndexBuildCallback callback, void *state, TableScanDesc scan)
{
    TableAmRoutine const *const heap = GetHeapamTableAmRoutine();
    TableAmRoutine const *const own = table->rd_tableam;
    double rows = 0;
    table->rd_tableam = heap;
    PG_TRY();
    {
        rows = heap->index_build_range_scan(table, index, info, allow_sync, anyvisible, progress, start,
                                            blocks, callback, state, scan);
    }
    PG_FINALLY();
    {
        table->rd_tableam = own;
    }
    PG_END_TRY();
    return rows;
}

SHADOW_FUNCTION(test_table_access_method)
{
    static TableAmRoutine routine;
    (void)fcinfo;
    routine = *GetHeapamTableAmRoutine();
    routine.index_build_range_scan = build_index;
    PG_RETURN_POINTER(&routine);
}
