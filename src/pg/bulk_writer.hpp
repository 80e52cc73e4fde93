#pragma once
// Writes many rows into a table without a statement, as COPY does: several per page and WAL record. Generated
// columns, NOT NULL and CHECK constraints, all indexes and TOAST are as with SQL; tables of which SQL does more are
// told by can_write(). Plain data only; lives in the memory context in which it was opened.

#include "pg/index_lookup.hpp"
#include "pg/row_inserter.hpp"

namespace shadow::pg
{

// The columns that rows come with; the others are generated, NULL in a new row and kept in an old one.
struct bulk_columns {
    const int *places; // from 0
    int count;
    int created = -1; // kept in an old row
    int updated = -1; // no difference by itself; -1: none
};

class bulk_writer
{
public:
    // Whether SQL would do no more than this writer: a plain table with a primary key, without triggers (but those
    // that call own_trigger, whose work the caller does), rules, row security for this user, exclusion or deferrable
    // constraints, or defaults of other columns. An error without the privileges.
    static bool can_write(Relation table, const bulk_columns &columns, Oid own_trigger);

    // Looks for rows under the snapshot. The caller keeps it, and locks the table for writing.
    void open(Relation table, const bulk_columns &columns, Snapshot snapshot);
    void close();

    // A row that is there, of those that the following ones replace.
    void add_old(ItemPointer place);

    // Rows hold a value for each column of the table. insert(): there is none with its key. put(): writes unless the
    // row is there, compared as stored; whether it differed. replace(): another version of the row at a place.
    void insert(const Datum *values, const bool *nulls);
    bool put(const Datum *values, const bool *nulls);
    void replace(ItemPointer place, const Datum *values, const bool *nulls);

    // Deletes the old rows that no put() has met: visit(row) before.
    template <typename Visit>
    void delete_unmet(Visit visit)
    {
        rows_.flush();
        for (std::size_t i = 0; i < old_count_; ++i)
            if (!old_[i].is_met) {
                visit(delete_row(&old_[i].place));
                ExecClearTuple(found_);
            }
    }

private:
    struct old_row {
        ItemPointerData place;
        bool is_met;
    };

    bool find(index_lookup &lookup, const Datum *values);
    void meet(ItemPointer place);
    bool is_same(const Datum *values, const bool *nulls);
    void fill(TupleTableSlot *row, const Datum *values, const bool *nulls);
    void complete(TupleTableSlot *row);
    void put_latest(const Datum *values, const bool *nulls);
    bool update(ItemPointer place, const Datum *values, const bool *nulls);
    TupleTableSlot *delete_row(ItemPointer place);

    Relation table_;
    Relation key_;
    bulk_columns columns_;
    MemoryContext context_;
    Snapshot snapshot_;
    index_lookup lookup_;
    TupleTableSlot *found_, *changed_;
    row_inserter rows_;
    old_row *old_;
    std::size_t old_count_, old_room_;
    bool is_sorted_;
    bool has_generated_;
};

} // namespace shadow::pg
