#pragma once
// Adds many rows to a table or materialized view without a statement, as COPY does: several per page and WAL record,
// then their entries in one index after the other. Plain data only; lives in the memory context in which it was opened.

#include "pg/prelude.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
}

namespace shadow::pg
{

class row_inserter
{
public:
    // The caller has locked the table for writing.
    void open(Relation table);
    void close();

    // A slot for the next row; once it holds copies of its values, add() takes it.
    TupleTableSlot *next();
    void add(TupleTableSlot *row);
    // Afterwards all rows are in the table.
    void flush();

    ResultRelInfo *target() const { return target_; }
    EState *state() const { return state_; }

private:
    static constexpr int most_waiting = 512;
    static constexpr std::size_t most_waiting_bytes = std::size_t{256} << 10;

    void index_waiting(int number);
    bool has_entry(IndexInfo *index, TupleTableSlot *row);

    Relation table_;
    EState *state_;
    ResultRelInfo *target_;
    MemoryContext context_;
    TupleTableSlot **waiting_;
    int waiting_count_;
    std::size_t waiting_bytes_;
};

} // namespace shadow::pg
