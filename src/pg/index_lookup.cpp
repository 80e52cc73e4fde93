#include "pg/index_lookup.hpp"

extern "C" {
#include "access/relscan.h"
#include "access/stratnum.h"
#include "catalog/pg_am_d.h"
#include "utils/lsyscache.h"
}

namespace shadow::pg
{

namespace
{

// Whether a B-tree over all rows begins with the columns.
bool has_columns(Relation index, Relation table, std::initializer_list<const char *> columns)
{
    Form_pg_index const form = index->rd_index;
    if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid ||
        form->indnkeyatts < static_cast<int>(columns.size()) || RelationGetIndexPredicate(index) != NIL)
        return false;
    int i = 0;
    for (char const *const column : columns) {
        if (index->rd_indoption[i] != 0 ||
            form->indkey.values[i++] != get_attnum(RelationGetRelid(table), column))
            return false;
    }
    return true;
}

Relation find_index(Relation table, std::initializer_list<const char *> columns)
{
    ListCell *item;
    foreach (item, RelationGetIndexList(table)) {
        Relation const index = index_open(lfirst_oid(item), AccessShareLock);
        if (has_columns(index, table, columns))
            return index;
        index_close(index, AccessShareLock);
    }
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("table \"%s\" lacks an index of the extension", RelationGetRelationName(table)),
                    errdetail("No valid B-tree index begins with its column \"%s\".", *(columns.end() - 1)),
                    errhint("Create the index or constraint that was dropped again.")));
}

void make_key(ScanKeyData &key, Relation index, int place, StrategyNumber strategy)
{
    Oid const type = index->rd_opcintype[place];
    Oid const compare =
        get_opfamily_member(index->rd_opfamily[place], type, type, static_cast<int16>(strategy));
    if (!OidIsValid(compare))
        elog(ERROR, "index \"%s\" has no operator %d", RelationGetRelationName(index), strategy);
    ScanKeyEntryInitialize(&key, 0, static_cast<AttrNumber>(place + 1), strategy, InvalidOid,
                           index->rd_indcollation[place], get_opcode(compare), Datum{0});
}

} // namespace

void index_lookup::open(Relation table, std::initializer_list<const char *> columns, int compared,
                        Snapshot snapshot, lookup_order order)
{
    index_ = find_index(table, columns);
    begin(table, compared, snapshot, order);
}

void index_lookup::open(Relation table, Relation index, Snapshot snapshot)
{
    index_ = index;
    RelationIncrementReferenceCount(index);
    begin(table, index->rd_index->indnkeyatts, snapshot, lookup_order::ascending);
}

void index_lookup::begin(Relation table, int compared, Snapshot snapshot, lookup_order order)
{
    if (compared > most_columns)
        elog(ERROR, "index \"%s\" has too many columns", RelationGetRelationName(index_));
    for (int i = 0; i < compared; ++i) {
        bool const is_less = order == lookup_order::descending_before && i == compared - 1;
        make_key(keys_[i], index_, i, is_less ? BTLessStrategyNumber : BTEqualStrategyNumber);
    }
    compared_ = compared;
    direction_ = order == lookup_order::ascending ? ForwardScanDirection : BackwardScanDirection;
    context_ = CurrentMemoryContext;
    scan_ = begin_index_scan(table, index_, snapshot, compared);
}

void index_lookup::start(const Datum *values)
{
    for (int i = 0; i < compared_; ++i)
        keys_[i].sk_argument = values[i];
    MemoryContext const old = MemoryContextSwitchTo(context_);
    index_rescan(scan_, keys_, compared_, nullptr, 0);
    MemoryContextSwitchTo(old);
}

// A scan may allocate at any time: the list of dead entries only when it meets the first.
bool index_lookup::next(TupleTableSlot *row)
{
    MemoryContext const old = MemoryContextSwitchTo(context_);
    bool const is_found = index_getnext_slot(scan_, direction_, row);
    MemoryContextSwitchTo(old);
    return is_found;
}

void index_lookup::close()
{
    index_endscan(scan_);
    index_close(index_, NoLock);
}

} // namespace shadow::pg
