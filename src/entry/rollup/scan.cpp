// The scan of a bucket's events: what a rollup is made of. Large days are shared
// out: each process of a parallel plan reads the day and forms the rows of the workspaces of its share. That beats a
// parallel scan below one aggregate, as the states of a workspace need not be combined
// (doc/performance.md). PostgreSQL calls and plain data only.

#include "entry/rollup/scan.hpp"
#include "entry/rollup/collector.hpp"
#include "entry/rollup/statements.hpp"
#include "entry/rollup/workspace_writer.hpp"

#include "pg/cells.hpp"
#include "pg/page_scan.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "optimizer/cost.h"
#include "optimizer/paths.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
}

#include "pg/settings.hpp"

using namespace shadow;
using namespace shadow::entry;

bool shadow::entry::has_time_zones(const bucket &b)
{
    return b.is_day && execute(statements::find_time_zone, b) > 0;
}

bool shadow::entry::has_begun_somewhere(const bucket &b)
{
    return execute(statements::find_begun_day, b) > 0;
}

namespace
{

// How a scan is divided: in processes, and in passes of each. The numbers are powers of two, which keeps hashing cheap.
struct division {
    int shares, share; // of processes: their number, and which one
    int passes;
    double bytes; // of events on disk, with those of the neighbouring days; 0: of one workspace
};

double bytes_near(const bucket &b)
{
    execute(statements::count_bytes, b);
    bool is_null;
    return static_cast<double>(
        DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null)));
}

double bytes_allowed()
{
    return static_cast<double>(pg::setting_integer("rollup_memory_mb")) * 1024 * 1024;
}

// Of the states of all workspaces at once. A state is smaller than its events on disk; neighbouring days are in the sum,
// hence a sixth rather than half of it.
double bytes_of_states(const bucket &b, double bytes)
{
    return b.is_day ? bytes / 6 : bytes / 48;
}

// States do not spill, so a bucket that may need more memory than allowed is done in several passes over hash ranges of
// workspaces.
int passes_needed(const bucket &b, double bytes)
{
    double const allowed = bytes_allowed(), needed = bytes_of_states(b, bytes);
    int passes = 1;
    while (passes < 1024 && needed / passes > allowed)
        passes *= 2;
    ereport(DEBUG1, errmsg_internal("the events are aggregated in passes: %d", passes));
    return passes;
}

// Events wait in the memory that the states leave, in each process; with less than this, workspaces among thousands had
// too few each time.
std::size_t bytes_to_wait(const bucket &b, const division &d)
{
    constexpr double least = 16 << 20;
    if (!b.all_workspaces)
        return static_cast<std::size_t>(least);
    double const left = bytes_allowed() - bytes_of_states(b, d.bytes) / d.passes;
    return static_cast<std::size_t>(Max(left / d.shares, least));
}

// As many as there are processes for it, the leader among them; but each reads the whole day.
int shares_wanted(const bucket &b, double bytes)
{
    if (!b.is_day || max_parallel_workers_per_gather == 0 ||
        bytes < static_cast<double>(min_parallel_table_scan_size) * BLCKSZ)
        return 1;
    return max_parallel_workers_per_gather < 3 ? 2 : 4;
}

// Of the row of select_local_days.
local_day read_local_day(const bucket &b, HeapTuple row, TupleDesc description)
{
    bool has_no_day, is_null;
    local_day day;
    day.workspace = *DatumGetUUIDP(SPI_getbinval(row, description, 1, &is_null));
    TimestampTz const first = DatumGetTimestampTz(SPI_getbinval(row, description, 2, &has_no_day));
    TimestampTz const last = DatumGetTimestampTz(SPI_getbinval(row, description, 3, &is_null));
    day.bounds =
        has_no_day ? event_bounds{DT_NOEND, DT_NOEND, false} : event_bounds{first, last, last <= b.now};
    return day;
}

void select_local_days(const bucket &b, event_selection &selection)
{
    std::uint64_t const n = execute(statements::select_local_days, b);
    auto *const days =
        static_cast<local_day *>(MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(local_day)));
    for (std::uint64_t i = 0; i < n; ++i)
        days[i] = read_local_day(b, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
    SPI_freetuptable(SPI_tuptable);
    selection.local_days = days;
    selection.local_day_count = static_cast<int>(n);
}

event_selection select_events(const bucket &b, const division &d)
{
    event_selection selection;
    memset(&selection, 0, sizeof selection);
    selection.bounds = {b.first, b.last, b.last <= b.now};
    selection.mask = static_cast<std::uint32_t>(d.shares * d.passes - 1);
    selection.waiting_bytes = bytes_to_wait(b, d);
    selection.known = read_known_day(b);
    if (has_time_zones(b))
        select_local_days(b, selection);
    return selection;
}

// The bucket from the first to the last instant of any workspace.
bucket widened(const bucket &b, const event_selection &selection)
{
    bucket wide = b;
    for (int i = 0; i < selection.local_day_count; ++i) {
        event_bounds const &day = selection.local_days[i].bounds;
        if (day.first == DT_NOEND)
            continue;
        wide.first = Min(wide.first, day.first);
        wide.last = Max(wide.last, day.last);
    }
    return wide;
}

// In a cell of Citus: what lies in the cell. InvalidOid: only Citus knows where the events are.
Oid table_of_events()
{
    Oid const table = pg::extension_relation("user_activity");
    Oid const local = pg::local_relation(table);
    return pg::has_citus() && local == table ? InvalidOid : local;
}

// False: for the executor.
bool scan_directly(const bucket &wide, DestReceiver *collector)
{
    pg::leaf_list leaves;
    Oid const table = wide.all_workspaces ? table_of_events() : InvalidOid;
    if (!OidIsValid(table) || !pg::find_leaves(table, "created_at", wide.first, wide.last, leaves))
        return false;
    ereport(DEBUG1, errmsg_internal("the events are read page by page"));
    for (int i = 0; i < leaves.count; ++i)
        collect_table(collector, leaves.leaves[i], GetActiveSnapshot());
    return true;
}

// All of it in one snapshot: a deletion and its note are seen together.
std::uint64_t scan_share(const bucket &b, const division &d, row_types &types, row_receiver &to)
{
    event_selection selection = select_events(b, d);
    bucket const wide = widened(b, selection);
    workspace_writer writer;
    writer.open(b, types, to);
    std::uint64_t workspaces = 0;
    for (int pass = 0; pass < d.passes; ++pass) {
        selection.pattern = static_cast<std::uint32_t>(pass * d.shares + d.share);
        DestReceiver *const collector = create_event_collector(selection);
        if (!scan_directly(wide, collector))
            execute(b.all_workspaces ? statements::select_events : statements::select_events_of_workspace,
                    wide, collector, true);
        workspaces += write_collected(collector, writer);
    }
    writer.close();
    return workspaces;
}

// Rows on their way from a share to the leader: as rows of their tables, in a relation of three columns.
struct row_sender {
    row_receiver receiver;
    Tuplestorestate *store;
    TupleDesc description;
};

void send_row(row_receiver &self, rollup_table table, const row_type &row, ItemPointer place)
{
    auto &to = reinterpret_cast<row_sender &>(self);
    HeapTuple const tuple = heap_form_tuple(row.description, row.values, row.nulls);
    Datum values[] = {Int32GetDatum(static_cast<int>(table)), HeapTupleGetDatum(tuple),
                      PointerGetDatum(place)};
    bool nulls[] = {false, false, place == nullptr};
    tuplestore_putvalues(to.store, to.description, values, nulls);
}

TupleDesc describe_sent_rows()
{
    TupleDesc const description = CreateTemplateTupleDesc(3);
    TupleDescInitEntry(description, 1, "rollup", INT4OID, -1, 0);
    TupleDescInitEntry(description, 2, "contents", RECORDOID, -1, 0);
    TupleDescInitEntry(description, 3, "place", TIDOID, -1, 0);
    return description;
}

rollup_table take_sent_row(TupleTableSlot *slot, row_types &types, row_receiver &to)
{
    slot_getallattrs(slot);
    int const table = DatumGetInt32(slot->tts_values[0]);
    if (table < 0 || table >= rollup_table_count)
        elog(ERROR, "no such rollup: %d", table);
    row_type const &row = types.tables[table];
    HeapTupleHeader const contents = DatumGetHeapTupleHeader(slot->tts_values[1]);
    HeapTupleData tuple;
    memset(&tuple, 0, sizeof tuple);
    tuple.t_len = HeapTupleHeaderGetDatumLength(contents);
    tuple.t_data = contents;
    heap_deform_tuple(&tuple, row.description, row.values, row.nulls);
    to.take(to, static_cast<rollup_table>(table), row,
            slot->tts_isnull[2] ? nullptr
                                : reinterpret_cast<ItemPointer>(DatumGetPointer(slot->tts_values[2])));
    return static_cast<rollup_table>(table);
}

// The number of workspaces.
std::uint64_t take_sent_rows(Tuplestorestate *store, row_types &types, row_receiver &to)
{
    TupleTableSlot *const slot = MakeSingleTupleTableSlot(describe_sent_rows(), &TTSOpsMinimalTuple);
    std::uint64_t workspaces = 0;
    while (tuplestore_gettupleslot(store, true, false, slot)) {
        CHECK_FOR_INTERRUPTS();
        MemoryContext const old = MemoryContextSwitchTo(types.row_context);
        workspaces += take_sent_row(slot, types, to) == rollup_table::daily_metrics;
        MemoryContextSwitchTo(old);
        MemoryContextReset(types.row_context);
    }
    ExecDropSingleTupleTableSlot(slot);
    return workspaces;
}

// UNION ALL of functions becomes a parallel Append of one function per process. Nothing can be written before they
// have ended.
std::uint64_t scan_in_parallel(run_relations &relations, const bucket &b, const division &d, row_types &types,
                               row_receiver &to)
{
    StringInfoData sql;
    initStringInfo(&sql);
    for (int share = 0; share < d.shares; ++share)
        appendStringInfo(
            &sql, "%sSELECT c.* FROM analytics_internal.collect_rollups($1, $3, $4, $5, %d, %d, %d) AS c",
            share == 0 ? "" : " UNION ALL ", d.shares, share, d.passes);
    Tuplestorestate *const store = new_store(relations);
    keep_rows(store, sql.data, b);
    return take_sent_rows(store, types, to);
}

} // namespace

std::uint64_t shadow::entry::scan_events(run_relations &relations, const bucket &b, row_types &types,
                                         row_receiver &to)
{
    division d = {1, 0, 1, 0};
    if (b.all_workspaces) {
        d.bytes = bytes_near(b);
        d.passes = passes_needed(b, d.bytes);
        d.shares = shares_wanted(b, d.bytes);
    }
    return d.shares > 1 ? scan_in_parallel(relations, b, d, types, to) : scan_share(b, d, types, to);
}

// Hashes are masked by the product.
static void check_division(const division &d)
{
    constexpr int most = 1 << 15;
    auto const is_allowed = [](int n) { return n > 0 && n <= most && (n & (n - 1)) == 0; };
    if (!is_allowed(d.shares) || !is_allowed(d.passes) || d.share < 0 || d.share >= d.shares)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid division of a day"),
                errhint("Give shares and passes as powers of two, each at most %d, and a share below shares.",
                        most));
}

// collect_rollups(day, now, first, last, shares, share, passes): one share of scan_in_parallel(), under the
// settings of the aggregating function. The scan of a share is not divided again.
SHADOW_FUNCTION(shadow_collect_rollups)
{
    InitMaterializedSRF(fcinfo, 0);
    auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    bucket b;
    memset(&b, 0, sizeof b);
    b.is_day = b.all_workspaces = true;
    b.key = PG_GETARG_DATUM(0);
    b.now = PG_GETARG_TIMESTAMPTZ(1);
    b.first = PG_GETARG_TIMESTAMPTZ(2);
    b.last = PG_GETARG_TIMESTAMPTZ(3);
    division d = {PG_GETARG_INT32(4), PG_GETARG_INT32(5), PG_GETARG_INT32(6), 0};
    check_division(d);
    int const guc_level = NewGUCNestLevel();
    pg::set_parameter("max_parallel_workers_per_gather", "0");
    SPI_connect();
    d.bytes = bytes_near(b);
    row_sender to = {{send_row}, result->setResult, result->setDesc};
    scan_share(b, d, *find_row_types(true), to.receiver);
    SPI_finish();
    AtEOXact_GUC(true, guc_level);
    return Datum{0};
}
