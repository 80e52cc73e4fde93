// aggregate_daily_metrics() and aggregate_hourly_metrics(): one scan of the bucket's events, collected
// workspace by workspace into a tuplestore, from which set-based statements replace the rollups' rows.
// PostgreSQL calls and plain data only.

#include "entry/locks.hpp"
#include "entry/rollup/rows.hpp"
#include "entry/rollup/scan.hpp"
#include "entry/rollup/statements.hpp"
#include "entry/rollup/users.hpp"
#include "pg/settings.hpp"

#include <algorithm>

extern "C" {
#include "catalog/pg_type_d.h"
#include "lib/stringinfo.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
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

// A column whose value SQL gives, from a row of "activities" as s and one of the source as v.
struct computed_column {
    const char *name;
    const char *value;
};

// A rollup table and where its rows come from: the rows that were formed of a workspace, with the columns that
// were filled in them; those that SQL computes come instead or are added.
struct rollup {
    const char *table;
    const char *bucket_column;
    computed_column key;  // after workspace_id and the bucket; nullptr: none
    column_names columns; // of v
    computed_column computed[3];
    const char *source;    // FROM item v over "activities AS s"
    const char *row_count; // rows of the source, over "activities AS s"
    bool has_final = true;
};

const rollup daily_rollups[] = {
    {"analytics.daily_metrics",
     "metric_date",
     {nullptr, nullptr},
     daily_columns,
     {{"new_users", "s.new_user_count"},
      {"returning_users", "v.active_users - s.new_user_count"},
      {"total_users", "s.total_users"}},
     "LATERAL (SELECT (s.metrics).*) AS v",
     "count(*)"},
    {"analytics.agent_performance",
     "metric_date",
     {"agent_id", "v.agent_id"},
     agent_columns,
     {{"users", "analytics_internal.number_users(v.users, s.user_numbers)"}},
     "LATERAL unnest(s.agents) AS v",
     "sum(cardinality(s.agents))"},
    {"analytics.daily_event_usage",
     "metric_date",
     {"event_type", "v.event_type"},
     event_usage_columns,
     {{"users", "analytics_internal.number_users(v.users, s.user_numbers)"}},
     "LATERAL unnest(s.event_usage) AS v",
     "sum(cardinality(s.event_usage))",
     false},
    {"analytics.daily_error_types",
     "metric_date",
     {"error_type", "v.error_type"},
     error_type_columns,
     {},
     "LATERAL unnest(s.error_types) AS v",
     "sum(cardinality(s.error_types))",
     false},
    {"analytics.daily_users",
     "metric_date",
     {nullptr, nullptr},
     {nullptr, 0},
     {{"users", "analytics.user_set(s.user_numbers)"}, {"new_users", "s.new_users"}},
     "LATERAL (SELECT) AS v",
     "count(*)"},
    {"analytics.daily_user_revenue",
     "metric_date",
     {"user_number", "s.user_numbers[v.place]"},
     {nullptr, 0},
     {{"revenue", "v.revenue"}},
     "LATERAL unnest(s.revenue_places, s.revenues) AS v (place, revenue)",
     "sum(cardinality(s.revenues))",
     false},
};

const rollup hourly_rollups[] = {
    {"analytics.hourly_metrics",
     "metric_hour",
     {nullptr, nullptr},
     hourly_columns,
     {},
     "LATERAL (SELECT (s.metrics).*) AS v",
     "count(*)"},
};

bool is_same(const char *a, const char *b)
{
    return a != nullptr && b != nullptr && strcmp(a, b) == 0;
}

bool is_computed(const rollup &r, const char *column)
{
    return is_same(r.key.name, column) ||
           std::any_of(std::begin(r.computed), std::end(r.computed),
                       [column](const computed_column &c) { return is_same(c.name, column); });
}

// The columns besides key and times with their values: visit(name, qualifier, value).
template <typename Visit>
void for_each_value(const rollup &r, Visit visit)
{
    for (int i = 0; i < r.columns.count; ++i)
        if (!is_computed(r, r.columns.names[i]))
            visit(r.columns.names[i], "v.", r.columns.names[i]);
    for (computed_column const &c : r.computed)
        if (c.name != nullptr)
            visit(c.name, "", c.value);
    if (r.has_final)
        visit("is_final", "s.", "is_final");
}

// ", PREFIXcolumn" for each.
void append_columns(StringInfo sql, const rollup &r, const char *prefix)
{
    for_each_value(r, [=](const char *name, const char *, const char *) {
        appendStringInfo(sql, ", %s%s", prefix, name);
    });
}

void append_values(StringInfo sql, const rollup &r)
{
    for_each_value(r, [=](const char *, const char *qualifier, const char *value) {
        appendStringInfo(sql, ", %s%s", qualifier, value);
    });
}

bool has_rows(const rollup &r, const bucket &b)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql,
                     "SELECT FROM %s AS t WHERE t.%s = $1 AND ($2 IS NULL OR t.workspace_id = $2) LIMIT 1",
                     r.table, r.bucket_column);
    return execute(sql.data, b) > 0;
}

// After the upsert the table holds every row of the source: it holds others only if it holds more.
bool has_vanished_rows(const rollup &r, const bucket &b)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(
        &sql,
        "SELECT WHERE (SELECT count(*) FROM %s AS t WHERE t.%s = $1"
        " AND ($2 IS NULL OR t.workspace_id = $2)) > (SELECT coalesce(%s, 0) FROM activities AS s)",
        r.table, r.bucket_column, r.row_count);
    return execute(sql.data, b) > 0;
}

// Rows whose workspace or agent or name is no longer in the bucket go.
void delete_vanished(const rollup &r, const bucket &b)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql,
                     "DELETE FROM %s AS t WHERE t.%s = $1 AND ($2 IS NULL OR t.workspace_id = $2)"
                     " AND NOT EXISTS (SELECT FROM activities AS s, %s WHERE s.workspace_id = t.workspace_id",
                     r.table, r.bucket_column, r.source);
    if (r.key.name != nullptr)
        appendStringInfo(&sql, " AND %s = t.%s", r.key.value, r.key.name);
    appendStringInfoString(&sql, ")");
    execute(sql.data, b);
}

// A row is touched only when a value differs, so updated_at tells of changes. Compared as stored: the
// operators of some types are not in the search path.
void append_on_conflict(StringInfo sql, const rollup &r)
{
    bool const has_key = r.key.name != nullptr;
    appendStringInfo(sql, " ON CONFLICT (workspace_id, %s%s%s) DO UPDATE SET (updated_at", r.bucket_column,
                     has_key ? ", " : "", has_key ? r.key.name : "");
    append_columns(sql, r, "");
    appendStringInfoString(sql, ") = ROW(EXCLUDED.updated_at");
    append_columns(sql, r, "EXCLUDED.");
    appendStringInfoString(sql, ") WHERE ROW(NULL");
    append_columns(sql, r, "t.");
    appendStringInfoString(sql, ")::record *<> ROW(NULL");
    append_columns(sql, r, "EXCLUDED.");
    appendStringInfoString(sql, ")::record");
}

// Inserts in key order (the activities and their arrays are in the order of theirs). A bucket without rows is
// filled by a plain INSERT, which costs half: the locks keep others from filling it meanwhile.
void write_rows(const rollup &r, const bucket &b, bool is_empty)
{
    StringInfoData sql;
    initStringInfo(&sql);
    bool const has_key = r.key.name != nullptr;
    appendStringInfo(&sql, "INSERT INTO %s AS t (workspace_id, %s, created_at, updated_at", r.table,
                     r.bucket_column);
    if (has_key)
        appendStringInfo(&sql, ", %s", r.key.name);
    append_columns(&sql, r, "");
    appendStringInfoString(&sql, ") SELECT s.workspace_id, $1, $3, $3");
    if (has_key)
        appendStringInfo(&sql, ", %s", r.key.value);
    append_values(&sql, r);
    appendStringInfo(&sql, " FROM activities AS s, %s", r.source);
    if (!is_empty)
        append_on_conflict(&sql, r);
    execute(sql.data, b);
}

void replace_rows(const rollup &r, const bucket &b)
{
    bool const is_empty = !has_rows(r, b);
    write_rows(r, b, is_empty);
    if (!is_empty && has_vanished_rows(r, b))
        delete_vanished(r, b);
}

// Hours are written as they were collected, in key order.
void sort_activities(run_relations &relations, const bucket &b)
{
    materialize(relations, {"activities", hourly_summary.columns, hourly_summary.column_count},
                statements::select_hourly_activities, b);
}

// A bucket of which fewer events are left than are known to be there would come out too small: refused.
void check_nothing_missing(const bucket &b)
{
    std::uint64_t const missing =
        execute(b.is_day ? statements::find_missing_of_day : statements::find_missing_of_hour, b);
    if (missing == 0)
        return;
    char const *found[4];
    for (int i = 0; i < 4; ++i)
        found[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1);
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("cannot aggregate %s whose events are missing", b.is_day ? "a day" : "an hour"),
             errdetail("Workspace %s had %s events on %s (UTC), %s are there now; what was aggregated before "
                       "is kept.",
                       found[0], found[2], found[1], found[3]),
             errhint("Restore or attach the missing events, or decide by analytics.settle_day().")));
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

// Scans the bucket and replaces its rows; the number of workspaces written.
template <std::size_t n>
std::uint64_t aggregate(const rollup (&rollups)[n], const bucket &b)
{
    int const guc_level = NewGUCNestLevel();
    allow_memory();
    run_relations relations;
    relations.count = 0;
    std::uint64_t const workspaces = scan_events(relations, b);
    std::uint64_t departures = 0;
    if (b.is_day)
        departures = update_users(relations, b);
    else
        sort_activities(relations, b);
    for (rollup const &r : rollups)
        replace_rows(r, b);
    if (b.is_day) {
        execute(statements::insert_agent_names, b);
        update_later_days(relations, b, departures > 0);
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
    std::uint64_t const workspaces = aggregate(daily_rollups, b);
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
    std::uint64_t const workspaces = aggregate(hourly_rollups, b);
    SPI_finish();
    PG_RETURN_INT64(static_cast<int64>(workspaces));
}
