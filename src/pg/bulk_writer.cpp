#include <algorithm>

#include "pg/bulk_writer.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class_d.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
}

namespace shadow::pg
{

namespace
{

bool has_other_trigger(Relation table, Oid own)
{
    TriggerDesc const *const triggers = table->trigdesc;
    for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i)
        if (triggers->triggers[i].tgfoid != own)
            return true;
    return false;
}

bool is_given(const bulk_columns &columns, int place)
{
    return std::find(columns.places, columns.places + columns.count, place) != columns.places + columns.count;
}

// Of a column that rows do not come with.
bool has_other_default(Relation table, const bulk_columns &columns)
{
    TupleDesc const description = RelationGetDescr(table);
    for (int i = 0; i < description->natts; ++i) {
        Form_pg_attribute const a = TupleDescAttr(description, i);
        if (!a->attisdropped && (a->atthasdef || a->attidentity != '\0') && a->attgenerated == '\0' &&
            !is_given(columns, i))
            return true;
    }
    return false;
}

void check_privileges(Relation table)
{
    AclMode const needed = ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE;
    if (pg_class_aclmask(RelationGetRelid(table), GetUserId(), needed, ACLMASK_ALL) != needed)
        aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, RelationGetRelationName(table));
}

// Which are checked after the statement, or against other rows than equal ones.
bool has_special_index(Relation table)
{
    bool is_special = false;
    ListCell *item;
    foreach (item, RelationGetIndexList(table)) {
        Relation const index = index_open(lfirst_oid(item), AccessShareLock);
        is_special = is_special || index->rd_index->indisexclusion ||
                     (index->rd_index->indisunique && !index->rd_index->indimmediate);
        index_close(index, AccessShareLock);
    }
    return is_special;
}

Oid primary_key(Relation table)
{
    list_free(RelationGetIndexList(table));
    return table->rd_pkindex;
}

[[noreturn]] void raise_concurrent_change(Relation table)
{
    ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                    errmsg("could not serialize access due to concurrent update"),
                    errdetail("Another transaction has just changed a row of table \"%s\".",
                              RelationGetRelationName(table)),
                    errhint("Call the function again.")));
}

} // namespace

bool bulk_writer::can_write(Relation table, const bulk_columns &columns, Oid own_trigger)
{
    Form_pg_class const form = table->rd_rel;
    check_privileges(table);
    return form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID && !form->relispartition &&
           !form->relhassubclass && !form->relhasrules && OidIsValid(primary_key(table)) &&
           check_enable_rls(RelationGetRelid(table), InvalidOid, false) != RLS_ENABLED &&
           !has_special_index(table) && !has_other_trigger(table, own_trigger) &&
           !has_other_default(table, columns);
}

void bulk_writer::open(Relation table, const bulk_columns &columns, Snapshot snapshot)
{
    memset(static_cast<void *>(this), 0, sizeof *this);
    CheckCmdReplicaIdentity(table, CMD_UPDATE);
    CheckCmdReplicaIdentity(table, CMD_DELETE);
    table_ = table;
    columns_ = columns;
    context_ = CurrentMemoryContext;
    rows_.open(table);
    found_ = table_slot_create(table, nullptr);
    changed_ = table_slot_create(table, nullptr);
    TupleConstr const *const constraints = RelationGetDescr(table)->constr;
    has_generated_ = constraints != nullptr && constraints->has_generated_stored;
    key_ = index_open(primary_key(table), AccessShareLock);
    snapshot_ = snapshot;
    lookup_.open(table, key_, snapshot);
}

void bulk_writer::close()
{
    lookup_.close();
    index_close(key_, NoLock);
    ExecDropSingleTupleTableSlot(found_);
    ExecDropSingleTupleTableSlot(changed_);
    rows_.close();
}

// ---- old rows -----------------------------------------------------------------------------------------------

void bulk_writer::add_old(ItemPointer place)
{
    if (old_count_ == old_room_) {
        old_room_ = std::max<std::size_t>(2 * old_room_, 1024);
        Size const bytes = old_room_ * sizeof(old_row);
        old_ = static_cast<old_row *>(old_ == nullptr ? MemoryContextAllocHuge(context_, bytes)
                                                      : repalloc_huge(old_, bytes));
    }
    old_[old_count_++] = {*place, false};
    is_sorted_ = false;
}

void bulk_writer::meet(ItemPointer place)
{
    auto const is_before = [](const old_row &a, const old_row &b) {
        return ItemPointerCompare(const_cast<ItemPointer>(&a.place), const_cast<ItemPointer>(&b.place)) < 0;
    };
    if (!is_sorted_)
        std::sort(old_, old_ + old_count_, is_before);
    is_sorted_ = true;
    old_row *const found = std::lower_bound(old_, old_ + old_count_, old_row{*place, false}, is_before);
    if (found != old_ + old_count_ && ItemPointerEquals(&found->place, place))
        found->is_met = true;
}

// Into found_.
bool bulk_writer::find(index_lookup &lookup, const Datum *values)
{
    Datum key[index_lookup::most_columns];
    Form_pg_index const form = key_->rd_index;
    for (int i = 0; i < form->indnkeyatts; ++i)
        key[i] = values[form->indkey.values[i] - 1];
    return lookup.find(key, found_);
}

bool bulk_writer::is_same(const Datum *values, const bool *nulls)
{
    slot_getallattrs(found_);
    for (int i = 0; i < columns_.count; ++i) {
        int const c = columns_.places[i];
        if (c == columns_.created || c == columns_.updated)
            continue;
        Form_pg_attribute const a = TupleDescAttr(RelationGetDescr(table_), c);
        if (found_->tts_isnull[c] != nulls[c] ||
            (!nulls[c] && !datum_image_eq(found_->tts_values[c], values[c], a->attbyval, a->attlen)))
            return false;
    }
    return true;
}

// ---- new ones and versions ----------------------------------------------------------------------------------

void bulk_writer::fill(TupleTableSlot *row, const Datum *values, const bool *nulls)
{
    for (int i = 0; i < columns_.count; ++i) {
        int const c = columns_.places[i];
        row->tts_values[c] = values[c];
        row->tts_isnull[c] = nulls[c];
    }
}

// As every row is before it goes into a table; then it holds copies of its values.
void bulk_writer::complete(TupleTableSlot *row)
{
    ExecStoreVirtualTuple(row);
    row->tts_tableOid = RelationGetRelid(table_);
    if (has_generated_)
        ExecComputeStoredGenerated(rows_.target(), rows_.state(), row, CMD_INSERT);
    if (RelationGetDescr(table_)->constr != nullptr)
        ExecConstraints(rows_.target(), row, rows_.state());
    ExecMaterializeSlot(row);
    ResetPerTupleExprContext(rows_.state());
}

void bulk_writer::insert(const Datum *values, const bool *nulls)
{
    TupleTableSlot *const row = rows_.next();
    memset(row->tts_isnull, true, static_cast<Size>(RelationGetDescr(table_)->natts));
    fill(row, values, nulls);
    complete(row);
    rows_.add(row);
}

bool bulk_writer::put(const Datum *values, const bool *nulls)
{
    if (old_count_ == 0 || !find(lookup_, values)) {
        insert(values, nulls);
        return true;
    }
    meet(&found_->tts_tid);
    if (is_same(values, nulls))
        return false;
    if (!update(&found_->tts_tid, values, nulls))
        put_latest(values, nulls);
    return true;
}

// Somebody else has changed the row since the snapshot: until it is as it should be.
void bulk_writer::put_latest(const Datum *values, const bool *nulls)
{
    bool is_there, is_done;
    do {
        if (IsolationUsesXactSnapshot())
            raise_concurrent_change(table_);
        Snapshot const latest = RegisterSnapshot(GetLatestSnapshot());
        index_lookup lookup;
        lookup.open(table_, key_, latest);
        is_there = find(lookup, values);
        is_done = !is_there || is_same(values, nulls) || update(&found_->tts_tid, values, nulls);
        lookup.close();
        UnregisterSnapshot(latest);
    } while (!is_done);
    if (!is_there)
        insert(values, nulls);
}

void bulk_writer::replace(ItemPointer place, const Datum *values, const bool *nulls)
{
    if (!table_tuple_fetch_row_version(table_, place, snapshot_, found_) || !update(place, values, nulls))
        raise_concurrent_change(table_);
}

// Of the row in found_; false: somebody else has changed it.
bool bulk_writer::update(ItemPointer place, const Datum *values, const bool *nulls)
{
    CHECK_FOR_INTERRUPTS();
    int const width = RelationGetDescr(table_)->natts;
    slot_getallattrs(found_);
    ExecClearTuple(changed_);
    memcpy(changed_->tts_values, found_->tts_values, static_cast<Size>(width) * sizeof(Datum));
    memcpy(changed_->tts_isnull, found_->tts_isnull, static_cast<Size>(width));
    fill(changed_, values, nulls);
    if (columns_.created >= 0) {
        changed_->tts_values[columns_.created] = found_->tts_values[columns_.created];
        changed_->tts_isnull[columns_.created] = found_->tts_isnull[columns_.created];
    }
    complete(changed_);
    TM_FailureData failure;
    LockTupleMode mode;
    index_updates updates;
    TM_Result const result = table_tuple_update(table_, place, changed_, GetCurrentCommandId(true), snapshot_,
                                                InvalidSnapshot, true, &failure, &mode, &updates);
    if (result == TM_Updated || result == TM_Deleted)
        return false;
    if (result != TM_Ok)
        elog(ERROR, "a row of \"%s\" was written twice", RelationGetRelationName(table_));
    if (are_needed(updates))
        insert_index_entries(rows_.target(), changed_, rows_.state(), are_summaries(updates));
    ResetPerTupleExprContext(rows_.state());
    return true;
}

// The row, as it was.
TupleTableSlot *bulk_writer::delete_row(ItemPointer place)
{
    CHECK_FOR_INTERRUPTS();
    TM_FailureData failure;
    if (!table_tuple_fetch_row_version(table_, place, snapshot_, found_) ||
        table_tuple_delete(table_, place, GetCurrentCommandId(true), snapshot_, InvalidSnapshot, true,
                           &failure, false) != TM_Ok)
        raise_concurrent_change(table_);
    slot_getallattrs(found_);
    return found_;
}

} // namespace shadow::pg
