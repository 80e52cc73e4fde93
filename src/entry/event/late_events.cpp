#include "entry/event/late_events.hpp"

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
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace shadow::entry
{

// A scan of one row without a plan: it costs less than the insert of an event. With the latest snapshot, as
// that of the statement, or of a REPEATABLE READ transaction, may be older than the mark.
static TimestampTz read_watermark()
{
    Relation const relation =
        table_open(get_relname_relid("watermark", get_namespace_oid("analytics", false)), AccessShareLock);
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
// out before the mark was seen to be committed. A restore, and what removes events for retention, run with
// row_security off and note nothing.
void open_late_log(late_log &log, MemoryContext context)
{
    log = {DT_NOBEGIN, nullptr, context};
    if (!row_security)
        return;
    (void)GetTopTransactionId();
    log.watermark = read_watermark();
}

namespace
{

struct workspace_hour {
    pg_uuid_t workspace;
    TimestampTz hour;
};

} // namespace

static TimestampTz hour_of(TimestampTz time)
{
    TimestampTz const rest = time % USECS_PER_HOUR;
    return time - (rest < 0 ? rest + USECS_PER_HOUR : rest);
}

static bool note(late_log &log, const workspace_hour &key)
{
    if (log.logged == nullptr) {
        HASHCTL control;
        memset(&control, 0, sizeof control);
        control.keysize = control.entrysize = sizeof(workspace_hour);
        control.hcxt = log.context;
        log.logged = hash_create("late events", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    }
    bool is_known;
    (void)hash_search(log.logged, &key, HASH_ENTER, &is_known);
    return !is_known;
}

static SPIPlanPtr appending_plan()
{
    static SPIPlanPtr plan = nullptr;
    if (plan == nullptr) {
        Oid types[] = {UUIDOID, TIMESTAMPTZOID};
        plan = pg::keep_plan("INSERT INTO analytics.dirty_hours (workspace_id, metric_hour) VALUES ($1, $2)",
                             2, types);
    }
    return plan;
}

static Oid log_owner()
{
    return pg::relation_owner(pg::extension_relation("dirty_hours"));
}

// As the owner, since writers of events have no rights on the log.
void append_late_event(late_log &log, const pg_uuid_t &workspace, TimestampTz time)
{
    workspace_hour key = {workspace, hour_of(time)};
    if (!note(log, key))
        return;
    auto const caller = pg::become(log_owner(), SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    SPI_connect();
    Datum values[] = {UUIDPGetDatum(&key.workspace), TimestampTzGetDatum(key.hour)};
    int const result = SPI_execute_plan(appending_plan(), values, nullptr, false, 0);
    if (result != SPI_OK_INSERT)
        elog(ERROR, "SPI could not note a late event: %s", SPI_result_code_string(result));
    SPI_finish();
    pg::become_caller(caller);
}

} // namespace shadow::entry
