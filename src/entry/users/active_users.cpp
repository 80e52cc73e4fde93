// Reading a workspace's daily sets in order: get_active_users(), get_lifecycle() and the counts of cohorts.
// What is computed lies in a memory context and needs no destructor, so errors may pass at any time.

#include "core/users/active_users.hpp"
#include "core/base/limits.hpp"
#include "core/users/cohorts.hpp"
#include "core/users/periods.hpp"

#include <algorithm>

#include "entry/sets/user_set.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
}

using namespace shadow;

namespace
{

template <typename T, typename... Arguments>
T *make(Arguments... arguments)
{
    auto *const memory = new (palloc(sizeof(pg::palloc_resource))) pg::palloc_resource(CurrentMemoryContext);
    return new (palloc(sizeof(T))) T(arguments..., memory);
}

struct day_range {
    std::int32_t first, last;
};

DateADT date_argument(FunctionCallInfo fcinfo, int argument)
{
    DateADT const date = PG_GETARG_DATEADT(argument);
    if (DATE_NOT_FINITE(date))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("dates must be finite"),
                errhint("Give the first and the last day."));
    return date;
}

day_range range_of(FunctionCallInfo fcinfo, int first_argument)
{
    day_range const range = {date_argument(fcinfo, first_argument),
                             date_argument(fcinfo, first_argument + 1)};
    if (range.first <= range.last)
        limits::check_days(range.first, range.last);
    return range;
}

period_kind period_argument(FunctionCallInfo fcinfo, int argument)
{
    text *const name = PG_GETARG_TEXT_PP(argument);
    return parse_period({VARDATA_ANY(name), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(name))});
}

struct stored_day {
    std::int32_t day;
    const varlena *users;
    const varlena *new_users;
};

// visit(stored_day) for the workspace's days from..to in ascending order; the caller is connected to SPI.
template <typename Visit>
void for_each_day(Datum workspace, std::int32_t from, std::int32_t to, Visit visit)
{
    Oid types[] = {UUIDOID, DATEOID, DATEOID};
    Datum values[] = {workspace, DateADTGetDatum(from), DateADTGetDatum(to)};
    Portal const portal =
        SPI_cursor_open_with_args(nullptr,
                                  "SELECT d.metric_date, d.users, d.new_users FROM analytics.daily_users AS d"
                                  " WHERE d.workspace_id OPERATOR(pg_catalog.=) $1"
                                  " AND d.metric_date OPERATOR(pg_catalog.>=) $2"
                                  " AND d.metric_date OPERATOR(pg_catalog.<=) $3 ORDER BY d.metric_date",
                                  3, types, values, nullptr, true, 0);
    MemoryContext const scratch =
        AllocSetContextCreate(CurrentMemoryContext, "sets of a day", ALLOCSET_DEFAULT_SIZES);
    for (;;) {
        SPI_cursor_fetch(portal, true, 100);
        if (SPI_processed == 0)
            break;
        for (uint64 i = 0; i < SPI_processed; ++i) {
            MemoryContext const caller = MemoryContextSwitchTo(scratch);
            bool is_null;
            HeapTuple const row = SPI_tuptable->vals[i];
            TupleDesc const shape = SPI_tuptable->tupdesc;
            stored_day const day = {DatumGetDateADT(SPI_getbinval(row, shape, 1, &is_null)),
                                    PG_DETOAST_DATUM_PACKED(SPI_getbinval(row, shape, 2, &is_null)),
                                    PG_DETOAST_DATUM_PACKED(SPI_getbinval(row, shape, 3, &is_null))};
            MemoryContextSwitchTo(caller);
            visit(day);
            MemoryContextReset(scratch);
        }
        SPI_freetuptable(SPI_tuptable);
    }
    SPI_cursor_close(portal);
}

ReturnSetInfo *result_of(FunctionCallInfo fcinfo)
{
    InitMaterializedSRF(fcinfo, 0);
    return reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
}

template <std::size_t n>
void put_row(ReturnSetInfo *result, Datum (&values)[n], bool (&nulls)[n])
{
    CHECK_FOR_INTERRUPTS();
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

template <std::size_t n>
void put_row(ReturnSetInfo *result, Datum (&values)[n])
{
    bool nulls[n] = {};
    put_row(result, values, nulls);
}

DateADT date_of(const char *query, Datum workspace, bool &is_null)
{
    Oid types[] = {UUIDOID};
    if (SPI_execute_with_args(query, 1, types, &workspace, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read a day: %s", SPI_result_code_string(SPI_result));
    return DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

// The first day that runs or is provisional; the caller is connected to SPI. Two queries: with the table in it the first
// would be run on another server on Citus, where the function cannot read the settings.
DateADT first_open_day(Datum workspace)
{
    bool is_null;
    DateADT const today = date_of("SELECT analytics.workspace_today($1)", workspace, is_null);
    DateADT const provisional = date_of("SELECT pg_catalog.min(d.metric_date) FROM analytics.daily_users AS d"
                                        " WHERE d.workspace_id OPERATOR(pg_catalog.=) $1 AND NOT d.is_final",
                                        workspace, is_null);
    return is_null ? today : std::min(today, provisional);
}

// The cohorts first..last, of whose periods those up to `end` are over.
struct cohort_range {
    period_kind kind;
    std::int32_t first, last, end;
    DateADT today;
};

// (workspace_id, period, first day, last day of cohorts, today); empty: first > last.
cohort_range cohort_arguments(FunctionCallInfo fcinfo)
{
    period_kind const kind = period_argument(fcinfo, 1);
    day_range const range = range_of(fcinfo, 2);
    DateADT const today = std::min(date_argument(fcinfo, 4), limits::last_day);
    if (range.first > std::min(range.last, today))
        return {kind, 1, 0, 0, today};
    std::int32_t const end = period_of(kind, today) - 1;
    return {kind, period_of(kind, range.first), std::min(period_of(kind, range.last), end), end, today};
}

// The caller is connected to SPI and its context lives as long as the counts are needed.
const user_retention &count_cohorts(Datum workspace, const cohort_range &range)
{
    auto *const counts = make<user_retention>(range.first, range.last, range.end);
    for_each_day(workspace, period_start(range.kind, range.first), range.today, [&](const stored_day &day) {
        counts->add(period_of(range.kind, day.day), entry::open_user_set(day.users),
                    entry::open_user_set(day.new_users), pg::interrupted);
    });
    counts->finish();
    return *counts;
}

const char *unit_of(period_kind kind)
{
    switch (kind) {
    case period_kind::weekly:
        return "week";
    case period_kind::monthly:
        return "month";
    default:
        return "day";
    }
}

// {"day_0": 100.00, ...} of the periods 0 to `last`, in percent of the cohort to two decimals.
template <typename Count>
Datum percentages(const cohort_range &range, std::int32_t last, std::int64_t total, Count users_in)
{
    StringInfoData json;
    initStringInfo(&json);
    for (std::int32_t number = 0; number <= last; ++number) {
        std::int64_t const hundredths = (20000 * users_in(number) + total) / (2 * total);
        appendStringInfo(&json, "%c\"%s_%d\": " INT64_FORMAT ".%02d", number == 0 ? '{' : ',',
                         unit_of(range.kind), number, hundredths / 100, static_cast<int>(hundredths % 100));
    }
    appendStringInfoChar(&json, '}');
    return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

void put_cohort(ReturnSetInfo *result, const user_retention &counts, const cohort_range &range,
                std::int32_t cohort, std::int32_t shown, std::int32_t grace)
{
    std::int32_t const last = range.end - cohort;
    std::int64_t const size = counts.size(cohort);
    auto const retained = [&](std::int32_t number) { return counts.retained(cohort, number); };
    auto const remaining = [&](std::int32_t number) { return counts.survivors(cohort, number); };
    std::int32_t const settled =
        std::max(last - grace + 1, 0); // periods that no silent user can come back to
    auto *const survivors = static_cast<Datum *>(palloc(static_cast<Size>(settled) * sizeof(Datum)));
    std::int64_t user_periods = 0;
    for (std::int32_t number = 0; number < settled; ++number) {
        survivors[number] = Int64GetDatum(remaining(number));
        user_periods += remaining(number);
    }
    Datum values[] = {DateADTGetDatum(period_start(range.kind, cohort)),
                      Int64GetDatum(size),
                      Int32GetDatum(last),
                      PointerGetDatum(construct_array(survivors, settled, INT8OID, sizeof(int64),
                                                      FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)),
                      Int64GetDatum(user_periods),
                      percentages(range, std::min(last, shown), size, retained),
                      percentages(range, std::min(last, shown), size, remaining)};
    bool nulls[] = {false, false, false, settled == 0, settled == 0, false, false};
    CHECK_FOR_INTERRUPTS();
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

} // namespace

// (workspace_id, first day, last day)
SHADOW_FUNCTION(shadow_trailing_users)
{
    ReturnSetInfo *const result = result_of(fcinfo);
    Datum const workspace = PG_GETARG_DATUM(0);
    day_range const range = range_of(fcinfo, 1);
    if (range.first > range.last)
        return Datum{0};
    SPI_connect();
    auto *const counts = make<trailing_users>(range.first, range.last);
    for_each_day(workspace, range.first - trailing_users::longest + 1, range.last,
                 [&](const stored_day &day) {
                     counts->add(day.day, entry::open_user_set(day.users), pg::interrupted);
                 });
    for (active_counts const &c : counts->finish()) {
        Datum values[] = {DateADTGetDatum(c.day), Int64GetDatum(c.daily), Int64GetDatum(c.weekly),
                          Int64GetDatum(c.monthly)};
        put_row(result, values);
    }
    SPI_finish();
    return Datum{0};
}

// (workspace_id, period, first day, last day)
SHADOW_FUNCTION(shadow_user_lifecycle)
{
    ReturnSetInfo *const result = result_of(fcinfo);
    Datum const workspace = PG_GETARG_DATUM(0);
    period_kind const kind = period_argument(fcinfo, 1);
    day_range const range = range_of(fcinfo, 2);
    if (range.first > range.last)
        return Datum{0};
    std::int32_t const first = period_of(kind, range.first), last = period_of(kind, range.last);
    SPI_connect();
    auto *const counts = make<user_lifecycle>(first, last);
    for_each_day(workspace, period_start(kind, first - 1), period_start(kind, last + 1) - 1,
                 [&](const stored_day &day) {
                     counts->add(period_of(kind, day.day), entry::open_user_set(day.users),
                                 entry::open_user_set(day.new_users), pg::interrupted);
                 });
    DateADT const open = first_open_day(workspace);
    for (std::int32_t p = first; p <= last; ++p) {
        lifecycle_counts const c = counts->at(p);
        bool const is_final = period_start(kind, p + 1) <= open;
        Datum values[] = {
            DateADTGetDatum(period_start(kind, p)), Int64GetDatum(c.fresh),   Int64GetDatum(c.returning),
            Int64GetDatum(c.resurrecting),          Int64GetDatum(c.dormant), BoolGetDatum(is_final)};
        bool nulls[] = {false, false, false, false, !is_final, false}; // who has not come yet is not gone
        put_row(result, values, nulls);
    }
    SPI_finish();
    return Datum{0};
}

// (workspace_id, period, first day, last day of cohorts, today)
SHADOW_FUNCTION(shadow_user_retention)
{
    ReturnSetInfo *const result = result_of(fcinfo);
    cohort_range const range = cohort_arguments(fcinfo);
    if (range.first > range.last)
        return Datum{0};
    SPI_connect();
    user_retention const &counts = count_cohorts(PG_GETARG_DATUM(0), range);
    for (std::int32_t cohort = range.first; cohort <= range.last; ++cohort) {
        for (std::int32_t number = 0; counts.size(cohort) > 0 && number <= range.end - cohort; ++number) {
            Datum values[] = {DateADTGetDatum(period_start(range.kind, cohort)),
                              Int64GetDatum(counts.size(cohort)), Int32GetDatum(number),
                              Int64GetDatum(counts.retained(cohort, number)),
                              Int64GetDatum(counts.survivors(cohort, number))};
            put_row(result, values);
        }
    }
    SPI_finish();
    return Datum{0};
}

// As user_retention with (..., number of the last period to show, grace window in periods), one row per cohort.
SHADOW_FUNCTION(shadow_cohort_counts)
{
    ReturnSetInfo *const result = result_of(fcinfo);
    cohort_range const range = cohort_arguments(fcinfo);
    std::int32_t const shown = PG_GETARG_INT32(5), grace = PG_GETARG_INT32(6);
    if (range.first > range.last)
        return Datum{0};
    SPI_connect();
    user_retention const &counts = count_cohorts(PG_GETARG_DATUM(0), range);
    MemoryContext const scratch =
        AllocSetContextCreate(CurrentMemoryContext, "a cohort", ALLOCSET_DEFAULT_SIZES);
    for (std::int32_t cohort = range.first; cohort <= range.last; ++cohort)
        if (counts.size(cohort) > 0) {
            MemoryContext const caller = MemoryContextSwitchTo(scratch);
            put_cohort(result, counts, range, cohort, shown, grace);
            MemoryContextSwitchTo(caller);
            MemoryContextReset(scratch);
        }
    SPI_finish();
    return Datum{0};
}

// (period)
SHADOW_FUNCTION(shadow_cohort_limit)
{
    switch (period_argument(fcinfo, 0)) {
    case period_kind::weekly:
        return Int32GetDatum(static_cast<std::int32_t>(pg::setting_integer("cohort_max_weeks")));
    case period_kind::monthly:
        return Int32GetDatum(static_cast<std::int32_t>(pg::setting_integer("cohort_max_months")));
    default:
        return Int32GetDatum(static_cast<std::int32_t>(pg::setting_integer("cohort_max_days")));
    }
}
