// Writing a bucket's rows. PostgreSQL calls and plain data only.

#include "entry/rollup/output.hpp"

#include "entry/rollup/statements.hpp"
#include "pg/bulk_writer.hpp"
#include "pg/cells.hpp"
#include "pg/row_receiver.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

struct table_of_rows {
    const char *name;
    const char *key[3];
    const char *bucket_column; // whose rows are replaced; nullptr: rows are only added and changed
    bool is_written;           // else it stays a relation of the run
    bool is_noted;             // as the triggers of 43-changes.sql do
};
// In the order of rollup_table.
constexpr table_of_rows tables[rollup_table_count] = {
    {"daily_metrics", {"workspace_id", "metric_date", nullptr}, "metric_date", true, true},
    {"agent_performance", {"workspace_id", "agent_id", "metric_date"}, "metric_date", true, true},
    {"daily_event_usage", {"workspace_id", "metric_date", "event_type"}, "metric_date", true, false},
    {"daily_error_types", {"workspace_id", "metric_date", "error_type"}, "metric_date", true, true},
    {"daily_users", {"workspace_id", "metric_date", nullptr}, "metric_date", true, true},
    {"daily_user_revenue", {"workspace_id", "metric_date", "user_number"}, "metric_date", true, false},
    {"hourly_metrics", {"workspace_id", "metric_hour", nullptr}, "metric_hour", true, false},
    {"users", {"workspace_id", "user_id", nullptr}, nullptr, true, false},
    {"agents", {nullptr, nullptr, nullptr}, nullptr, false, false},
    {"newcomers", {nullptr, nullptr, nullptr}, nullptr, false, false},
    {"counted", {nullptr, nullptr, nullptr}, nullptr, false, false},
};

struct target {
    Relation table;
    pg::bulk_writer *writer; // nullptr: the rows are kept, and SQL writes them
    bool had_rows;           // of the bucket
    Tuplestorestate *store;
    std::uint64_t stored;
};

} // namespace

struct shadow::entry::rollup_output {
    row_receiver receiver;
    run_relations *relations;
    const bucket *b;
    row_types *types;
    target targets[rollup_table_count];
    ArrayBuildState *changed; // workspaces to be noted
    uuid last_changed;
    MemoryContext context;
};

namespace
{

// ---- changes ------------------------------------------------------------------------------------------------

void note_change(rollup_output &output, const table_of_rows &table, Datum workspace)
{
    uuid const id = uuid::from_bytes(DatumGetUUIDP(workspace)->data);
    if (!table.is_noted || (output.changed != nullptr && output.last_changed == id))
        return;
    output.changed = accumArrayResult(output.changed, workspace, false, UUIDOID, output.context);
    output.last_changed = id;
}

void write_changes(const rollup_output &output)
{
    if (output.changed == nullptr)
        return;
    pg::execute(statements::note_changes,
                {{DATEOID, output.b->key}, {UUIDARRAYOID, makeArrayResult(output.changed, output.context)}},
                false);
}

Oid noting_function()
{
    List *const name =
        list_make2(makeString(pstrdup("analytics_internal")), makeString(pstrdup("note_changes")));
    return LookupFuncName(name, 0, nullptr, true);
}

// ---- old rows -----------------------------------------------------------------------------------------------

struct place_receiver {
    DestReceiver base;
    pg::bulk_writer *writer;
};

bool receive_place(TupleTableSlot *slot, DestReceiver *self)
{
    bool is_null;
    reinterpret_cast<place_receiver *>(self)->writer->add_old(
        reinterpret_cast<ItemPointer>(DatumGetPointer(slot_getattr(slot, 1, &is_null))));
    return true;
}

bool find_old_rows(const table_of_rows &table, const bucket &b, pg::bulk_writer *writer)
{
    if (table.bucket_column == nullptr)
        return false;
    place_receiver receiver = {{receive_place, pg::start_nothing, pg::end_nothing, pg::end_nothing, DestNone},
                               writer};
    char const *const sql = psprintf(
        "SELECT t.ctid FROM analytics.%s AS t WHERE t.%s = $1 AND ($2 IS NULL OR t.workspace_id = $2)%s",
        table.name, table.bucket_column, writer == nullptr ? " LIMIT 1" : "");
    return execute(sql, b, writer == nullptr ? nullptr : &receiver.base, true) > 0;
}

// ---- by SQL -------------------------------------------------------------------------------------------------

// The columns that rows come with, but the key's: visit(name).
template <typename Visit>
void for_each_column(const table_of_rows &table, const row_type &row, Visit visit)
{
    for (int i = 0; i < row.count; ++i) {
        char const *const name = NameStr(TupleDescAttr(row.description, row.places[i])->attname);
        bool is_key = false;
        for (char const *const key : table.key)
            is_key = is_key || (key != nullptr && strcmp(key, name) == 0);
        if (!is_key)
            visit(name);
    }
}

void append_key(StringInfo sql, const table_of_rows &table, const char *qualifier)
{
    for (char const *const key : table.key)
        if (key != nullptr)
            appendStringInfo(sql, "%s%s%s", key == table.key[0] ? "" : ", ", qualifier, key);
}

// All but created_at, and perhaps updated_at.
void append_values(StringInfo sql, const table_of_rows &table, const row_type &row, const char *qualifier,
                   bool with_updated)
{
    for_each_column(table, row, [&](const char *name) {
        if (strcmp(name, "created_at") != 0 && (with_updated || strcmp(name, "updated_at") != 0))
            appendStringInfo(sql, ", %s%s", qualifier, name);
    });
}

// A row is touched only when a value differs, so updated_at tells of changes. Compared as stored: the operators of some
// types are not in the search path.
void append_on_conflict(StringInfo sql, const table_of_rows &table, const row_type &row)
{
    appendStringInfoString(sql, " ON CONFLICT (");
    append_key(sql, table, "");
    appendStringInfo(sql, ") DO UPDATE SET (%s", table.key[0]);
    append_values(sql, table, row, "", true);
    appendStringInfo(sql, ") = ROW(EXCLUDED.%s", table.key[0]);
    append_values(sql, table, row, "EXCLUDED.", true);
    appendStringInfoString(sql, ") WHERE ROW(NULL");
    append_values(sql, table, row, "t.", false);
    appendStringInfoString(sql, ")::record *<> ROW(NULL");
    append_values(sql, table, row, "EXCLUDED.", false);
    appendStringInfoString(sql, ")::record");
}

char *make_insert(const table_of_rows &table, const row_type &row)
{
    StringInfoData sql, columns;
    initStringInfo(&sql);
    initStringInfo(&columns);
    append_key(&columns, table, "");
    for_each_column(table, row, [&](const char *name) { appendStringInfo(&columns, ", %s", name); });
    appendStringInfo(&sql, "INSERT INTO analytics.%s AS t (%s) SELECT %s FROM %s ORDER BY ", table.name,
                     columns.data, columns.data, table.name);
    append_key(&sql, table, "");
    return sql.data;
}

char *make_delete(const table_of_rows &table)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql,
                     "DELETE FROM analytics.%s AS t WHERE t.%s = $1 AND ($2 IS NULL OR t.workspace_id = $2)"
                     " AND NOT EXISTS (SELECT FROM %s AS s WHERE true",
                     table.name, table.bucket_column, table.name);
    for (char const *const key : table.key)
        if (key != nullptr)
            appendStringInfo(&sql, " AND s.%s = t.%s", key, key);
    appendStringInfoChar(&sql, ')');
    return sql.data;
}

// A bucket without rows needs neither.
void write_by_sql(const table_of_rows &table, const row_type &row, const bucket &b, bool had_rows)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, make_insert(table, row));
    bool const is_replaced = table.bucket_column != nullptr;
    if (had_rows || !is_replaced)
        append_on_conflict(&sql, table, row);
    execute(sql.data, b);
    if (had_rows && is_replaced)
        execute(make_delete(table), b);
}

// ---- targets ------------------------------------------------------------------------------------------------

int place_or_none(const row_type &row, const char *column)
{
    int const number = SPI_fnumber(row.description, column);
    return number > 0 ? number - 1 : -1;
}

void open_target(rollup_output &output, int i, Oid own_trigger)
{
    table_of_rows const &table = tables[i];
    row_type const &row = output.types->tables[i];
    target &to = output.targets[i];
    if (row.count == 0)
        return;
    if (table.is_written) {
        pg::bulk_columns const columns = {row.places, row.count, place_or_none(row, "created_at"),
                                          place_or_none(row, "updated_at")};
        to.table = table_open(pg::local_relation(pg::extension_relation(table.name)), RowExclusiveLock);
        if (pg::bulk_writer::can_write(to.table, columns, own_trigger)) {
            to.writer = static_cast<pg::bulk_writer *>(palloc(sizeof(pg::bulk_writer)));
            to.writer->open(to.table, columns, GetActiveSnapshot());
        }
        to.had_rows = find_old_rows(table, *output.b, to.writer);
    }
    if (to.writer == nullptr)
        to.store = new_store(*output.relations);
}

void take_row(row_receiver &self, rollup_table table, const row_type &row, ItemPointer place)
{
    auto &output = reinterpret_cast<rollup_output &>(self);
    auto const i = static_cast<int>(table);
    target &to = output.targets[i];
    if (to.writer == nullptr) {
        tuplestore_putvalues(to.store, row.description, row.values, row.nulls);
        ++to.stored;
    } else if (place != nullptr) {
        to.writer->replace(place, row.values, row.nulls);
    } else if (to.writer->put(row.values, row.nulls)) {
        note_change(output, tables[i], row.values[row.places[0]]);
    }
}

void close_target(rollup_output &output, int i)
{
    row_type const &row = output.types->tables[i];
    target &to = output.targets[i];
    if (to.writer != nullptr) {
        to.writer->delete_unmet(
            [&](TupleTableSlot *gone) { note_change(output, tables[i], gone->tts_values[row.places[0]]); });
        to.writer->close();
        CommandCounterIncrement();
    } else if (to.store != nullptr) {
        register_relation(tables[i].name, CreateTupleDescCopy(row.description), to.store, to.stored);
        if (tables[i].is_written)
            write_by_sql(tables[i], row, *output.b, to.had_rows);
    }
    if (to.table != nullptr)
        table_close(to.table, NoLock);
}

} // namespace

namespace shadow::entry
{

rollup_output *open_output(run_relations &relations, const bucket &b, row_types &types)
{
    auto *const output = static_cast<rollup_output *>(palloc0(sizeof(rollup_output)));
    output->receiver.take = take_row;
    output->relations = &relations;
    output->b = &b;
    output->types = &types;
    output->context = CurrentMemoryContext;
    Oid const own_trigger = noting_function();
    for (int i = 0; i < rollup_table_count; ++i)
        open_target(*output, i, own_trigger);
    return output;
}

row_receiver &receiver_of(rollup_output &output)
{
    return output.receiver;
}

bool had_users(const rollup_output &output)
{
    return output.targets[static_cast<int>(rollup_table::daily_users)].had_rows;
}

void close_output(rollup_output &output)
{
    for (int i = 0; i < rollup_table_count; ++i)
        close_target(output, i);
    write_changes(output);
}

} // namespace shadow::entry
