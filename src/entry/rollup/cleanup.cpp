// cleanup_old_data(): what is past its retention goes. Small tables by DELETE; events by whole partitions,
// whose locks are only ever taken if they are free: whoever waited for an exclusive lock on user_activity
// would make every reader and writer wait behind itself. PostgreSQL calls and plain data only.

#include "entry/locks.hpp"
#include "entry/rollup/cleanup_statements.hpp"

#include "pg/cells.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"
}

using namespace shadow;

namespace
{

// A table whose rows age one by one. condition: which old rows may go; nullptr: a rollup, whose workspaces
// may have a retention of their own (analytics.workspace_retention).
struct aged_table {
    char *name;
    char *column;
    bool is_date; // else an instant
    char *condition;
};

using pg::parameter;

// The number of rows.
std::uint64_t run(const char *sql, std::initializer_list<parameter> parameters)
{
    return pg::execute(sql, parameters, false);
}

// Column 1 of the first row, a value that is passed by value or nothing.
Datum first_value(bool *is_null)
{
    *is_null = true;
    return SPI_processed == 0 ? Datum{0}
                              : SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, is_null);
}

std::uint64_t first_count()
{
    bool is_null;
    Datum const value = first_value(&is_null);
    return is_null ? 0 : static_cast<std::uint64_t>(DatumGetInt64(value));
}

// Column 1 of the first row as text, in the caller's memory context; nullptr for NULL.
char *first_text(MemoryContext context)
{
    char const *const value =
        SPI_processed == 0 ? nullptr : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    return value == nullptr ? nullptr : MemoryContextStrdup(context, value);
}

struct aged_tables {
    aged_table *items;
    int count;
};

aged_tables find_aged_tables()
{
    run(entry::statements::select_aged_tables, {});
    auto const count = static_cast<int>(SPI_processed);
    auto *const items = static_cast<aged_table *>(palloc(static_cast<Size>(count) * sizeof(aged_table)));
    for (int i = 0; i < count; ++i) {
        auto const text_of = [i](int column) {
            return SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column);
        };
        items[i] = {text_of(1), text_of(2), text_of(3)[0] == 't', text_of(4)};
    }
    return {items, count};
}

// Days in force; NULL: for ever.
parameter keep_days(const char *table)
{
    run(entry::statements::select_keep_days, {parameter{TEXTOID, CStringGetTextDatum(table), false}});
    parameter days{INT4OID, 0, true};
    days.value = first_value(&days.is_null);
    return days;
}

const char *age_limit(bool is_date)
{
    return is_date ? "(now() AT TIME ZONE 'UTC')::date - (%s)" : "now() - make_interval(days => (%s))";
}

// "t.column < limit", where days is an expression.
void append_is_older(StringInfo sql, const aged_table &table, const char *days)
{
    appendStringInfo(sql, "t.%s < ", table.column);
    char *const limit = psprintf(age_limit(table.is_date), days);
    appendStringInfoString(sql, limit);
}

// $1: the days that workspaces without a row of their own keep.
std::uint64_t remove_rollups(const aged_table &table, const parameter &days)
{
    parameter const name{TEXTOID, CStringGetTextDatum(table.name), false};
    run(entry::statements::select_shortest_days, {days, name});
    parameter shortest{INT4OID, 0, true};
    shortest.value = first_value(&shortest.is_null);
    if (shortest.is_null)
        return 0; // everything is kept for ever: nothing to read
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "DELETE FROM analytics.%s AS t WHERE ", table.name);
    append_is_older(&sql, table, "$3");
    appendStringInfoString(&sql, " AND ");
    append_is_older(&sql, table, entry::statements::days_of_workspace);
    return run(sql.data, {days, name, shortest});
}

// Rows that somebody else is changing are left for the next call: nobody waits for another here.
std::uint64_t remove_rows(const aged_table &table)
{
    parameter const days = keep_days(table.name);
    if (table.condition == nullptr)
        return remove_rollups(table, days);
    if (days.is_null)
        return 0;
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(
        &sql, "DELETE FROM analytics.%s AS d USING (SELECT t.ctid AS row FROM analytics.%s AS t WHERE ",
        table.name, table.name);
    append_is_older(&sql, table, "$1");
    appendStringInfo(&sql, " AND %s FOR UPDATE SKIP LOCKED) AS old WHERE d.ctid = old.row", table.condition);
    return run(sql.data, {days});
}

// The numbers stay and with them all counts; nobody knows any longer whose they were. A user whose events are
// still there would come back under a new number when their day is aggregated again, so its turn is later.
std::uint64_t forget_identities()
{
    parameter const days = keep_days("identities");
    parameter const events = keep_days("user_activity");
    if (days.is_null || events.is_null)
        return 0;
    return run(entry::statements::forget_identities, {days, events});
}

struct event_partition {
    Oid relation;
    char *name;           // qualified and quoted
    TimestampTz from, to; // of the default partition all there is
    bool is_default;
    bool is_expired; // goes as a whole; else its rows before the limit are deleted
    bool is_locked;  // against writers; else it is left for the next call
};

struct event_partitions {
    event_partition *items;
    int count;
    bool has_more;  // than one call drops
    int busy;       // not locked
    int unfinished; // with rollups that could not be made
};

// A drop takes some twenty locks per partition, and the server's table of locks has room for a few thousand.
constexpr int partitions_per_call = 150;

bool bool_value(int row, int column)
{
    bool is_null;
    return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &is_null));
}

event_partitions find_partitions(const parameter &before, MemoryContext context)
{
    run(entry::statements::select_partitions, {before});
    int const found = static_cast<int>(SPI_processed);
    event_partitions all{nullptr, Min(found, partitions_per_call), false, 0, 0};
    all.has_more = found > all.count && !bool_value(all.count, 7);
    all.items = static_cast<event_partition *>(
        MemoryContextAllocZero(context, sizeof(event_partition) * static_cast<Size>(all.count + 1)));
    for (int i = 0; i < all.count; ++i) {
        bool is_null;
        HeapTuple const row = SPI_tuptable->vals[i];
        TupleDesc const columns = SPI_tuptable->tupdesc;
        event_partition &item = all.items[i];
        item.relation = DatumGetObjectId(SPI_getbinval(row, columns, 1, &is_null));
        item.name = MemoryContextStrdup(context, SPI_getvalue(row, columns, 2));
        item.from = DatumGetTimestampTz(SPI_getbinval(row, columns, 3, &is_null));
        item.to = DatumGetTimestampTz(SPI_getbinval(row, columns, 4, &is_null));
        item.is_default = bool_value(i, 5);
        item.is_expired = bool_value(i, 6);
    }
    return all;
}

parameter instant(TimestampTz time)
{
    return {TIMESTAMPTZOID, TimestampTzGetDatum(time), false};
}

bool exists(Oid relation)
{
    return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation));
}

// What is read from then on is all there is.
void lock_out_writers(event_partitions &all)
{
    for (int i = 0; i < all.count; ++i) {
        event_partition &item = all.items[i];
        item.is_locked =
            ConditionalLockRelationOid(pg::local_relation(item.relation), ShareRowExclusiveLock) &&
            exists(item.relation);
        all.busy += !item.is_locked;
    }
}

// What its rollups still need stays.
void leave_unfinished(event_partitions &all, const parameter &before)
{
    for (int i = 0; i < all.count; ++i) {
        event_partition &item = all.items[i];
        if (!item.is_locked)
            continue;
        TimestampTz const to = item.is_default ? DatumGetTimestampTz(before.value) : item.to;
        item.is_locked = run(entry::statements::is_finished, {instant(item.from), instant(to), before}) > 0;
        all.unfinished += !item.is_locked;
    }
}

bool has_archive_function()
{
    return run(entry::statements::has_archive_function, {}) > 0;
}

// A partition with events that are kept is not dropped but trimmed. What is to be archived is neither: the
// archive function gets whole partitions.
void spare_kept(event_partitions &all, const parameter &before)
{
    bool const is_archived = has_archive_function();
    for (int i = 0; i < all.count; ++i) {
        event_partition &item = all.items[i];
        if (item.is_expired && item.is_locked)
            item.is_expired =
                run(entry::statements::find_kept_day, {before, instant(item.from), instant(item.to)}) == 0;
        if (is_archived && !item.is_expired && !item.is_default)
            item.is_locked = false;
    }
}

std::uint64_t trim(const event_partition &item, const parameter &before)
{
    char *const sql = psprintf(entry::statements::trim_partition, item.name);
    run(sql, {before});
    return first_count();
}

std::uint64_t seal(const event_partition &item)
{
    run("SELECT analytics_internal.seal_days($1, $2)", {instant(item.from), instant(item.to)});
    return first_count();
}

// Calls the archive function, if there is one, for what is about to be dropped; why it failed, if it did.
char *archive(event_partitions &all, MemoryContext context)
{
    char *failure = nullptr;
    for (int i = 0; i < all.count; ++i) {
        event_partition &item = all.items[i];
        if (!item.is_expired || !item.is_locked)
            continue;
        run("SELECT analytics_internal.try_archive($1::regclass)",
            {parameter{OIDOID, ObjectIdGetDatum(item.relation), false}});
        char *const reason = first_text(context);
        item.is_locked = reason == nullptr;
        failure = failure == nullptr ? reason : failure;
    }
    return failure;
}

// Every relation that DROP locks, the parent last; all or none, and without waiting.
bool try_lock_for_drop(const event_partitions &all, const Oid (&parents)[2])
{
    int taken = 0;
    bool is_free = true;
    auto const relation = [&](int i) {
        return i < all.count ? all.items[i].relation : parents[i - all.count];
    };
    auto const is_wanted = [&](int i) {
        return i < all.count ? all.items[i].is_expired && all.items[i].is_locked : OidIsValid(relation(i));
    };
    int const last = all.count + static_cast<int>(lengthof(parents));
    while (is_free && taken < last) {
        is_free = !is_wanted(taken) || ConditionalLockRelationOid(relation(taken), AccessExclusiveLock);
        taken += is_free;
    }
    while (!is_free && taken > 0)
        if (is_wanted(--taken))
            UnlockRelationOid(relation(taken), AccessExclusiveLock);
    return is_free;
}

// About two seconds in all; the pauses differ, so that two who retry do not keep meeting.
bool lock_for_drop(const event_partitions &all)
{
    constexpr int attempts = 20;
    Oid const schema = get_namespace_oid("analytics", false);
    Oid const parents[] = {get_relname_relid("user_activity_default", schema),
                           get_relname_relid("user_activity", schema)};
    for (int attempt = 0; attempt < attempts; ++attempt) {
        if (try_lock_for_drop(all, parents))
            return true;
        long const pause = 50 + static_cast<long>(pg_prng_uint64_range(&pg_global_prng_state, 0, 100));
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    return false;
}

bool is_attached(const event_partition &item)
{
    return run(entry::statements::find_attached,
               {parameter{OIDOID, ObjectIdGetDatum(item.relation), false}}) > 0;
}

// From here to the end of the transaction everybody waits. What the archive function detached is kept.
std::uint64_t drop_partitions(const event_partitions &all)
{
    std::uint64_t removed = 0;
    for (int i = 0; i < all.count; ++i) {
        event_partition const &item = all.items[i];
        if (!item.is_expired || !item.is_locked)
            continue;
        removed += seal(item);
        if (!is_attached(item))
            continue;
        char *const sql = psprintf("DROP TABLE %s", item.name);
        if (SPI_execute(sql, false, 0) < 0)
            elog(ERROR, "SPI failed: %s", SPI_result_code_string(SPI_result));
    }
    return removed;
}

void seal_missing(const parameter &before)
{
    run(entry::statements::seal_missing, {before});
}

bool has_expired(const event_partitions &all)
{
    for (int i = 0; i < all.count; ++i)
        if (all.items[i].is_expired && all.items[i].is_locked)
            return true;
    return false;
}

struct outcome {
    std::uint64_t removed;
    char const *note; // why some rows were left; nullptr: none was
    bool has_more;
    bool kept_unaggregated;
    bool is_busy;     // partitions that could not be locked were left
    ArrayType *ready; // in a cell: names of the partitions that the coordinator may drop; nullptr: none
};

char const *what_was_left(const event_partitions &all)
{
    return all.unfinished > 0
               ? "partitions were kept, as days of workspaces in them could not be aggregated; see "
                 "analytics.pending_buckets"
           : all.busy > 0 ? "partitions in use were left; the next call tries again"
           : all.has_more ? "more partitions have expired; the next call goes on"
                          : nullptr;
}

ArrayType *names_of_expired(const event_partitions &all, MemoryContext context)
{
    MemoryContext const before = MemoryContextSwitchTo(context);
    ArrayBuildState *names = initArrayResult(TEXTOID, context, false);
    for (int i = 0; i < all.count; ++i)
        if (all.items[i].is_expired && all.items[i].is_locked)
            names = accumArrayResult(names, CStringGetTextDatum(all.items[i].name), false, TEXTOID, context);
    auto *const result = DatumGetArrayTypeP(makeArrayResult(names, context));
    MemoryContextSwitchTo(before);
    return result;
}

void remove_expired(event_partitions &all, outcome &result, const parameter &before, MemoryContext context)
{
    for (int i = 0; i < all.count; ++i)
        if (!all.items[i].is_expired && all.items[i].is_locked)
            result.removed += trim(all.items[i], before);
    if (pg::cell_key() > 0) { // all cells must agree, before one table of all is dropped
        result.ready = names_of_expired(all, context);
        return;
    }
    char const *const failure = archive(all, context);
    if (failure != nullptr)
        result.note = failure;
    if (!has_expired(all))
        return;
    if (lock_for_drop(all)) {
        result.removed += drop_partitions(all);
        return;
    }
    result.is_busy = true;
    result.note = "no partition was dropped, as user_activity was in use; the next call tries again";
}

void add_kept_note(outcome &result, const parameter &before, MemoryContext context)
{
    run(entry::statements::describe_kept, {before});
    char const *const kept = first_text(context);
    if (kept != nullptr)
        result.note = result.note == nullptr ? kept : psprintf("%s; %s", result.note, kept);
}

void remove_events(outcome &result, MemoryContext context)
{
    parameter const days = keep_days("user_activity");
    if (days.is_null)
        return;
    parameter const before =
        instant(GetCurrentTransactionStartTimestamp() - DatumGetInt32(days.value) * USECS_PER_DAY);
    seal_missing(before);
    event_partitions all = find_partitions(before, context);
    if (all.count == 0)
        return;
    lock_out_writers(all);
    run("SELECT analytics_internal.aggregate_expiring($1)", {before});
    result.note = first_text(context);
    result.kept_unaggregated = result.note != nullptr;
    if (result.kept_unaggregated)
        return;
    leave_unfinished(all, before);
    spare_kept(all, before);
    result.has_more = all.has_more;
    result.kept_unaggregated = all.unfinished > 0;
    result.is_busy = all.busy > 0;
    result.note = what_was_left(all);
    remove_expired(all, result, before, context);
    add_kept_note(result, before, context);
}

void report(ReturnSetInfo *result, const char *table, const outcome &done)
{
    Datum values[] = {CStringGetTextDatum(table),
                      Int64GetDatum(static_cast<int64>(done.removed)),
                      done.note == nullptr ? Datum{0} : CStringGetTextDatum(done.note),
                      BoolGetDatum(done.has_more),
                      BoolGetDatum(done.kept_unaggregated),
                      BoolGetDatum(done.is_busy),
                      PointerGetDatum(done.ready)};
    bool nulls[] = {false, false, done.note == nullptr, false, false, false, done.ready == nullptr};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

} // namespace

// (table_name, rows_deleted, note, has_more, kept_unaggregated, is_busy, ready)
SHADOW_FUNCTION(shadow_cleanup_old_data)
{
    InitMaterializedSRF(fcinfo, 0);
    auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    MemoryContext const context = CurrentMemoryContext;
    SPI_connect();
    entry::lock(entry::lock_name::rollups);
    aged_tables const tables = find_aged_tables();
    for (int i = 0; i < tables.count; ++i)
        report(result, tables.items[i].name,
               {remove_rows(tables.items[i]), nullptr, false, false, false, nullptr});
    std::uint64_t const forgotten = forget_identities();
    run("SELECT analytics_internal.identities_notice()", {});
    report(result, "identities", {forgotten, first_text(context), false, false, false, nullptr});
    outcome events = {0, nullptr, false, false, false, nullptr};
    remove_events(events, context);
    report(result, "user_activity", events);
    SPI_finish();
    return Datum{0};
}
