#include "entry/event/late_events.hpp"

#include "entry/event/privacy.hpp"
#include "pg/cells.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace shadow::entry
{

// A scan of one row without a plan: it costs less than the insert of an event. With the latest snapshot, as
// that of the statement, or of a REPEATABLE READ transaction, may be older than the mark. DT_NOBEGIN: there is
// none.
static TimestampTz read_watermark(Oid partition)
{
    Relation const relation =
        table_open(pg::shard_beside(partition, pg::extension_relation("watermark")), AccessShareLock);
    AttrNumber const marked_until = get_attnum(RelationGetRelid(relation), "marked_until");
    Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
    TableScanDesc const scan = table_beginscan(relation, snapshot, 0, nullptr);
    TupleTableSlot *const row = table_slot_create(relation, nullptr);
    TimestampTz watermark = DT_NOBEGIN;
    if (table_scan_getnextslot(scan, ForwardScanDirection, row)) {
        bool is_null;
        Datum const value = slot_getattr(row, marked_until, &is_null);
        if (!is_null)
            watermark = DatumGetTimestampTz(value);
    }
    ExecDropSingleTupleTableSlot(row);
    table_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(relation, AccessShareLock);
    return watermark;
}

// The transaction gets its id before the mark is read: whoever closes a day waits for all ids that were given
// out before the mark was seen to be committed. A restore, and what removes events for retention, note nothing.
// Without a mark events that leave are noted all the same: somebody may have deleted it, and the days that it
// closed would miss them.
void open_late_log(late_log &log, Oid partition, MemoryContext context)
{
    log = {DT_NOBEGIN, DT_NOBEGIN, nullptr, context};
    if (is_taken_as_is(partition))
        return;
    (void)GetTopTransactionId();
    log.came_before = read_watermark(partition);
    log.left_before = log.came_before == DT_NOBEGIN ? DT_NOEND : log.came_before;
}

namespace
{

struct workspace_hour {
    pg_uuid_t workspace;
    TimestampTz hour;
};

struct logged_hour {
    workspace_hour key;
    int64 removed; // events that left the hour
    int64 noted;   // of which the log knows; no fewer
};

} // namespace

static TimestampTz hour_of(TimestampTz time)
{
    TimestampTz const rest = time % USECS_PER_HOUR;
    return time - (rest < 0 ? rest + USECS_PER_HOUR : rest);
}

static logged_hour &find_logged(late_log &log, const workspace_hour &key, bool *is_known)
{
    if (log.logged == nullptr) {
        HASHCTL control;
        memset(&control, 0, sizeof control);
        control.keysize = sizeof(workspace_hour);
        control.entrysize = sizeof(logged_hour);
        control.hcxt = log.context;
        log.logged = hash_create("late events", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    }
    auto *const entry = static_cast<logged_hour *>(hash_search(log.logged, &key, HASH_ENTER, is_known));
    if (!*is_known)
        entry->removed = entry->noted = 0;
    return *entry;
}

static SPIPlanPtr appending_plan()
{
    static SPIPlanPtr plan = nullptr;
    if (plan == nullptr) {
        Oid types[] = {UUIDOID, TIMESTAMPTZOID, INT8OID};
        plan = pg::keep_plan(
            "INSERT INTO analytics.dirty_hours (workspace_id, metric_hour, removed) VALUES ($1, $2, $3)", 3,
            types);
    }
    return plan;
}

static Oid log_owner()
{
    return pg::relation_owner(pg::extension_relation("dirty_hours"));
}

// As the owner, since writers of events have no rights on the log.
static void append(const workspace_hour &key, int64 removed)
{
    auto const caller = pg::become(log_owner(), SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    SPI_connect();
    Datum values[] = {UUIDPGetDatum(&key.workspace), TimestampTzGetDatum(key.hour), Int64GetDatum(removed)};
    int const result = SPI_execute_plan(appending_plan(), values, nullptr, false, 0);
    if (result != SPI_OK_INSERT)
        elog(ERROR, "SPI could not note a late event: %s", SPI_result_code_string(result));
    SPI_finish();
    pg::become_caller(caller);
}

// A row trigger does not learn of the end of its statement. So events that leave are noted ahead, an eighth of
// those before and one more: few entries, and never fewer events than have left.
void append_late_event(late_log &log, const pg_uuid_t &workspace, TimestampTz time, late_change change)
{
    workspace_hour const key = {workspace, hour_of(time)};
    bool is_known;
    logged_hour &hour = find_logged(log, key, &is_known);
    hour.removed += change == late_change::left;
    int64 const more = hour.removed > hour.noted ? 1 + hour.noted / 8 : 0;
    if (is_known && more == 0)
        return;
    hour.noted += more;
    append(key, more);
}

} // namespace shadow::entry
