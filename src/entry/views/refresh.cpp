// Writing the rows of a materialized view that differ. PostgreSQL calls and plain data only, so errors may pass
// at any time.
//
// SQL may not write into a materialized view; REFRESH ... CONCURRENTLY does it by a switch of its own that no
// extension can reach. So rows go through the table access method and the indexes' own, as COPY writes a table.
// That is safe as REFRESH ... CONCURRENTLY is:
// - ExclusiveLock: one writer at a time, also against REFRESH, VACUUM FULL and new indexes; readers go on. Whoever
//   read under an older snapshot still sees the old versions: rows are deleted and inserted, never overwritten.
// - WAL, crash, standby: heap and index insertion log each row as for a table; an error or a crash in the middle
//   leaves an aborted transaction's rows, which nobody sees and VACUUM removes. The view stays populated throughout.
// - All indexes are kept, also those that a user added. All deletions come before the first insertion, so that
//   values of a unique index may move between rows.
// - Row security, triggers and rules do not exist on materialized views; constraints neither. Publications leave
//   them out, pg_dump dumps no rows of theirs.
// - Values too long for a row go to the view's TOAST table by the same functions.
// What is left out is the rewrite of the file, so dead rows wait for autovacuum, which counts these changes too.

#include "pg/boundary.hpp"
#include "pg/row_inserter.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
}

using namespace shadow;

namespace
{

// Rows of a cursor's fetch.
constexpr long batch = 1000;

Relation open_view(Oid oid)
{
    if (!pg_class_ownercheck(oid, GetUserId()))
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_MATVIEW, get_rel_name(oid));
    Relation const view = table_open(oid, ExclusiveLock);
    if (view->rd_rel->relkind != RELKIND_MATVIEW || !RelationIsPopulated(view))
        ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
                errmsg("\"%s\" is not a populated materialized view", RelationGetRelationName(view)));
    CheckTableNotInUse(view, "REFRESH MATERIALIZED VIEW");
    return view;
}

// The row as it comes from a column of the view's row type.
HeapTuple row_of(Datum composite, Relation view)
{
    HeapTupleHeader const header = DatumGetHeapTupleHeader(composite);
    if (HeapTupleHeaderGetTypeId(header) != view->rd_rel->reltype)
        elog(ERROR, "rows of \"%s\" must be of its type", RelationGetRelationName(view));
    auto *const row = static_cast<HeapTuple>(palloc0(sizeof(HeapTupleData)));
    row->t_len = HeapTupleHeaderGetDatumLength(header);
    row->t_data = header;
    ItemPointerSetInvalid(&row->t_self);
    return row;
}

struct counted {
    std::int64_t deleted, inserted;
};

// Takes the differences (ctid of a row that goes, row that comes): deletes the ones and keeps the others.
counted delete_rows(Relation view, Portal differences, Tuplestorestate *fresh)
{
    counted count = {0, 0};
    for (;;) {
        SPI_cursor_fetch(differences, true, batch);
        SPITupleTable *const rows = SPI_tuptable;
        std::uint64_t const size = SPI_processed;
        if (size == 0)
            return count;
        for (std::uint64_t i = 0; i < size; ++i) {
            CHECK_FOR_INTERRUPTS();
            bool is_new, is_gone;
            Datum const place = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &is_new);
            Datum const row = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &is_gone);
            if (!is_new) {
                simple_table_tuple_delete(view, reinterpret_cast<ItemPointer>(DatumGetPointer(place)),
                                          GetActiveSnapshot());
                ++count.deleted;
            }
            if (!is_gone) {
                tuplestore_puttuple(fresh, row_of(row, view));
                ++count.inserted;
            }
        }
        SPI_freetuptable(rows);
    }
}

void insert_rows(Relation view, Tuplestorestate *fresh)
{
    pg::row_inserter rows;
    rows.open(view);
    TupleTableSlot *const from = MakeSingleTupleTableSlot(RelationGetDescr(view), &TTSOpsMinimalTuple);
    while (tuplestore_gettupleslot(fresh, true, false, from)) {
        TupleTableSlot *const row = rows.next();
        ExecCopySlot(row, from);
        rows.add(row);
    }
    ExecDropSingleTupleTableSlot(from);
    rows.close();
}

} // namespace

// (view, query of the differences, its $1 and $2: workspaces and their first days); how many rows were written
SHADOW_FUNCTION(shadow_write_view_changes)
{
    Relation const view = open_view(PG_GETARG_OID(0));
    char *const query = text_to_cstring(PG_GETARG_TEXT_PP(1));
    Oid types[] = {UUIDARRAYOID, DATEARRAYOID};
    Datum arguments[] = {PG_GETARG_DATUM(2), PG_GETARG_DATUM(3)};
    SPI_connect();
    Tuplestorestate *const fresh = tuplestore_begin_heap(false, false, work_mem);
    // Not read only: a snapshot of its own, taken under the lock.
    Portal const differences =
        SPI_cursor_open_with_args(nullptr, query, lengthof(types), types, arguments, nullptr, false, 0);
    counted const count = delete_rows(view, differences, fresh);
    SPI_cursor_close(differences);
    insert_rows(view, fresh);
    tuplestore_end(fresh);
    SPI_finish();
    table_close(view, NoLock);
    CommandCounterIncrement();
    PG_RETURN_INT64(count.deleted + count.inserted);
}
