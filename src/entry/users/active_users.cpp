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
#include "miscadmin.h"
#include "utils/date.h"
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

// The first day that runs or is provisional; the caller is connected to SPI.
DateADT first_open_day(Datum workspace)
{
    Oid types[] = {UUIDOID};
    if (SPI_execute_with_args(
            "SELECT least(analytics.workspace_today($1), (SELECT pg_catalog.min(d.metric_date)"
            " FROM analytics.daily_users AS d WHERE d.workspace_id OPERATOR(pg_catalog.=) $1 AND NOT "
            "d.is_final))",
            1, types, &workspace, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the first open day: %s", SPI_result_code_string(SPI_result));
    bool is_null;
    return DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
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
    Datum const workspace = PG_GETARG_DATUM(0);
    period_kind const kind = period_argument(fcinfo, 1);
    day_range const range = range_of(fcinfo, 2);
    DateADT const today = std::min(date_argument(fcinfo, 4), limits::last_day);
    if (range.first > std::min(range.last, today))
        return Datum{0};
    std::int32_t const first = period_of(kind, range.first);
    std::int32_t const end = period_of(kind, today) - 1; // the last period that has ended
    std::int32_t const last = std::min(period_of(kind, range.last), end);
    if (first > last)
        return Datum{0};
    SPI_connect();
    auto *const counts = make<user_retention>(first, last, end);
    for_each_day(workspace, period_start(kind, first), today, [&](const stored_day &day) {
        counts->add(period_of(kind, day.day), entry::open_user_set(day.users),
                    entry::open_user_set(day.new_users), pg::interrupted);
    });
    counts->finish();
    for (std::int32_t cohort = first; cohort <= last; ++cohort) {
        for (std::int32_t number = 0; counts->size(cohort) > 0 && number <= end - cohort; ++number) {
            Datum values[] = {DateADTGetDatum(period_start(kind, cohort)),
                              Int64GetDatum(counts->size(cohort)), Int32GetDatum(number),
                              Int64GetDatum(counts->retained(cohort, number)),
                              Int64GetDatum(counts->survivors(cohort, number))};
            put_row(result, values);
        }
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
