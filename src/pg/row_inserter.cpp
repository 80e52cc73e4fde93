#include "pg/row_inserter.hpp"

extern "C" {
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
}

namespace shadow::pg
{

void row_inserter::open(Relation table)
{
    table_ = table;
    context_ = CurrentMemoryContext;
    state_ = CreateExecutorState();
    target_ = makeNode(ResultRelInfo);
    InitResultRelInfo(target_, table, 0, nullptr, 0);
    ExecOpenIndices(target_, false);
    waiting_ = static_cast<TupleTableSlot **>(palloc0(most_waiting * sizeof(TupleTableSlot *)));
    waiting_count_ = 0;
    waiting_bytes_ = 0;
}

void row_inserter::close()
{
    flush();
    for (int i = 0; i < most_waiting && waiting_[i] != nullptr; ++i)
        ExecDropSingleTupleTableSlot(waiting_[i]);
    ExecCloseIndices(target_);
    FreeExecutorState(state_);
}

TupleTableSlot *row_inserter::next()
{
    TupleTableSlot *&slot = waiting_[waiting_count_];
    if (slot == nullptr) {
        MemoryContext const old = MemoryContextSwitchTo(context_);
        slot = table_slot_create(table_, nullptr);
        MemoryContextSwitchTo(old);
    }
    return slot;
}

void row_inserter::add(TupleTableSlot *row)
{
    CHECK_FOR_INTERRUPTS();
    waiting_bytes_ += ExecFetchSlotHeapTuple(row, false, nullptr)->t_len;
    if (++waiting_count_ == most_waiting || waiting_bytes_ >= most_waiting_bytes)
        flush();
}

void row_inserter::flush()
{
    if (waiting_count_ == 0)
        return;
    MemoryContext const old = MemoryContextSwitchTo(GetPerTupleMemoryContext(state_));
    table_multi_insert(table_, waiting_, waiting_count_, GetCurrentCommandId(true), 0, nullptr);
    MemoryContextSwitchTo(old);
    for (int i = 0; i < target_->ri_NumIndices; ++i)
        index_waiting(i);
    for (int i = 0; i < waiting_count_; ++i)
        ExecClearTuple(waiting_[i]);
    waiting_count_ = 0;
    waiting_bytes_ = 0;
}

// Of all waiting rows in one index, whose pages stay in the processor's cache meanwhile.
void row_inserter::index_waiting(int number)
{
    Relation const index = target_->ri_IndexRelationDescs[number];
    IndexInfo *const info = target_->ri_IndexRelationInfo[number];
    auto const unique = index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
    if (!info->ii_ReadyForInserts)
        return;
    for (int i = 0; i < waiting_count_; ++i) {
        MemoryContext const old = MemoryContextSwitchTo(GetPerTupleMemoryContext(state_));
        Datum values[INDEX_MAX_KEYS];
        bool nulls[INDEX_MAX_KEYS];
        if (has_entry(info, waiting_[i])) {
            FormIndexDatum(info, waiting_[i], state_, values, nulls);
            index_insert(index, values, nulls, &waiting_[i]->tts_tid, table_, unique, false, info);
        }
        MemoryContextSwitchTo(old);
        ResetPerTupleExprContext(state_);
    }
}

bool row_inserter::has_entry(IndexInfo *index, TupleTableSlot *row)
{
    ExprContext *const context = GetPerTupleExprContext(state_);
    context->ecxt_scantuple = row;
    if (index->ii_Predicate == NIL)
        return true;
    if (index->ii_PredicateState == nullptr)
        index->ii_PredicateState = ExecPrepareQual(index->ii_Predicate, state_);
    return ExecQual(index->ii_PredicateState, context);
}

} // namespace shadow::pg
