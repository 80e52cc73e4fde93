// aggregate_daily_metrics() and aggregate_hourly_metrics(): one scan of the bucket's events, from which the rows of
// each workspace are formed and written.
// PostgreSQL calls and plain data only.

#include "entry/locks.hpp"
#include "entry/rollup/missing.hpp"
#include "entry/rollup/output.hpp"
#include "entry/rollup/scan.hpp"
#include "entry/rollup/statements.hpp"
#include "entry/rollup/users.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "access/xact.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

// Work memory for a run: as much as the rollup may take.
void allow_memory()
{
    char megabytes[32];
    snprintf(megabytes, sizeof megabytes, INT64_FORMAT "MB", pg::setting_integer("rollup_memory_mb"));
    pg::set_parameter("work_mem", megabytes);
}

void refuse_missing(const bucket &b, const char *statement)
{
    if (execute(statement, b) == 0)
        return;
    char const *found[4];
    for (int i = 0; i < 4; ++i)
        found[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);
    raise_missing(b.is_day, found[0], found[1], found[2], found[3]);
}

// A bucket of which fewer events are left than are known to be there would come out too small: refused. The events of
// the UTC day itself are counted by the scan.
void check_nothing_missing(const bucket &b)
{
    refuse_missing(b, b.is_day ? statements::find_missing_of_neighbours : statements::find_missing_of_hour);
}

// A bucket from which retention has removed events would come out too small: refused.
void check_not_sealed(const bucket &b)
{
    std::uint64_t const sealed =
        execute(b.is_day ? statements::find_sealed_of_day : statements::find_sealed_of_hour, b);
    if (sealed == 0)
        return;
    char const *const workspace = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
    char const *const day = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
    if (b.is_day) // what is missing is told first, and no scan will count
        refuse_missing(b, statements::find_missing_of_day);
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("cannot aggregate %s whose events were removed", b.is_day ? "a day" : "an hour"),
             errdetail("Retention removed events of workspace %s on %s (UTC); what was aggregated before "
                       "is kept.",
                       workspace, day),
             errhint(b.all_workspaces ? "Aggregate the other workspaces one by one, by target_workspace_id."
                                      : "Restore the events from a backup and call analytics.settle_day(day, "
                                        "'recount') first.")));
}

// Scans the bucket and replaces its rows; the number of workspaces written. Under a snapshot that sees what was written
// before the lock was given.
std::uint64_t aggregate(const bucket &b)
{
    int const guc_level = NewGUCNestLevel();
    allow_memory();
    CommandCounterIncrement();
    PushActiveSnapshot(GetTransactionSnapshot());
    run_relations relations;
    relations.count = 0;
    row_types *const types = find_row_types(b.is_day);
    rollup_output *const output = open_output(relations, b, *types);
    if (b.is_day)
        keep_users_before(relations, b);
    std::uint64_t const workspaces = scan_events(relations, b, *types, receiver_of(*output));
    close_output(*output);
    PopActiveSnapshot();
    if (b.is_day) {
        execute(statements::insert_agent_names, b);
        update_other_days(relations, b);
        if (b.all_workspaces) {
            execute(statements::note_counts, b);
            execute(statements::forget_counts, b);
        }
    }
    for (int i = 0; i < relations.count; ++i)
        tuplestore_end(relations.stores[i]);
    AtEOXact_GUC(true, guc_level);
    return workspaces;
}

// The UTC day as instants.
void set_utc_day(bucket &b, DateADT day)
{
    Datum const zone = PointerGetDatum(cstring_to_text("UTC"));
    auto const midnight = [zone](DateADT d) {
        return DatumGetTimestampTz(DirectFunctionCall2(
            timestamp_zone, zone, DirectFunctionCall1(date_timestamp, DateADTGetDatum(d))));
    };
    b.first = midnight(day);
    b.last = midnight(day + 1);
}

// A day that has begun nowhere is refused; one that has begun somewhere is done there only.
void check_day_has_begun(bucket &b)
{
    bool begun = b.first <= b.now;
    if (!begun)
        b.last = b.first = b.now; // nothing of the workspaces that keep UTC
    if (!(begun && b.all_workspaces) && has_time_zones(b))
        begun = has_begun_somewhere(b);
    if (!begun) // it may have begun in the time zone that the workspace had before
        begun = execute("SELECT FROM analytics.daily_metrics AS m WHERE m.metric_date = $1"
                        " AND m.workspace_id = $2 LIMIT 1",
                        b) > 0;
    if (!begun)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("cannot aggregate a day that has not begun"),
                        errdetail("It is later than the workspace's own today: %s.",
                                  DatumGetCString(DirectFunctionCall1(date_out, b.key))),
                        errhint("Aggregate days up to today; today itself is provisional.")));
}

Datum required_argument(FunctionCallInfo fcinfo, const char *name)
{
    if (PG_ARGISNULL(0))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
    return PG_GETARG_DATUM(0);
}

bucket make_bucket(FunctionCallInfo fcinfo, bool is_day)
{
    bucket b;
    memset(&b, 0, sizeof b);
    b.is_day = is_day;
    b.key = required_argument(fcinfo, is_day ? "target_date" : "target_hour");
    b.all_workspaces = PG_ARGISNULL(1);
    b.workspace = b.all_workspaces ? Datum{0} : PG_GETARG_DATUM(1);
    b.now = GetCurrentTransactionStartTimestamp();
    return b;
}

} // namespace

SHADOW_FUNCTION(shadow_aggregate_daily)
{
    bucket b = make_bucket(fcinfo, true);
    b.is_repair = PG_GETARG_BOOL(2);
    DateADT const day = DatumGetDateADT(b.key);
    if (DATE_NOT_FINITE(day) || DATE_NOT_FINITE(day + 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("target_date must be finite"),
                        errhint("Aggregate one day at a time.")));
    set_utc_day(b, day);
    SPI_connect();
    entry::lock(entry::lock_name::rollups);
    check_nothing_missing(b);
    check_not_sealed(b);
    check_day_has_begun(b);
    std::uint64_t const workspaces = aggregate(b);
    SPI_finish();
    PG_RETURN_INT64(static_cast<int64>(workspaces));
}

SHADOW_FUNCTION(shadow_aggregate_hourly)
{
    bucket b = make_bucket(fcinfo, false);
    TimestampTz const at = DatumGetTimestampTz(b.key);
    if (TIMESTAMP_NOT_FINITE(at))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("target_hour must be finite"),
                        errhint("Aggregate one hour at a time.")));
    TimestampTz const rest = at % USECS_PER_HOUR;
    b.first = at - (rest < 0 ? rest + USECS_PER_HOUR : rest);
    b.last = b.first + USECS_PER_HOUR;
    b.key = TimestampTzGetDatum(b.first);
    if (b.first > b.now)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("cannot aggregate an hour that has not begun"),
                        errdetail("It starts at %s.", timestamptz_to_str(b.first)),
                        errhint("Aggregate hours up to the running one, which is provisional.")));
    SPI_connect();
    entry::lock(entry::lock_name::rollups);
    check_nothing_missing(b);
    check_not_sealed(b);
    std::uint64_t const workspaces = aggregate(b);
    SPI_finish();
    PG_RETURN_INT64(static_cast<int64>(workspaces));
}
