// The days of every agent for analytics.mv_agent_usage_trends, in one pass over the rollups of six weeks in
// the order of agents and days: days without a row are filled in, and what a trend compares is at hand.
// Everything on the stack is plain data, so errors may pass at any time.

#include <cstring>

#include "core/users/trends.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
}

using namespace shadow;

namespace
{

constexpr auto shown_days = static_cast<DateADT>(run_trend::shown);
constexpr auto longest_days = static_cast<DateADT>(run_trend::longest);
static_assert(longest_days == 43, "the query below reads last_date - 42 to last_date");

// The bound by now() is for the index by date; no workspace's day is more than one off UTC's. As a subquery it is
// computed once.
constexpr const char *select_days =
    "SELECT p.workspace_id, p.agent_id, p.metric_date, w.last_date, p.total_runs, p.successful_runs,"
    " p.failed_runs, p.success_rate, p.avg_runtime_seconds, p.total_credits, p.unique_users, w.from_date"
    " FROM (SELECT DISTINCT ON (s.workspace_id) s.* FROM analytics_internal.shown_days($1, $2) AS s ORDER BY "
    "s.workspace_id) AS w"
    " JOIN analytics.agent_performance AS p"
    " ON p.workspace_id OPERATOR(pg_catalog.=) w.workspace_id"
    " AND p.metric_date OPERATOR(pg_catalog.>=) GREATEST(w.last_date OPERATOR(pg_catalog.-) 42,"
    "  w.from_date OPERATOR(pg_catalog.-) 13)"
    " AND p.metric_date OPERATOR(pg_catalog.<=) w.last_date"
    " WHERE p.metric_date OPERATOR(pg_catalog.>=)"
    "  (SELECT GREATEST((pg_catalog.now() AT TIME ZONE 'UTC')::pg_catalog.date OPERATOR(pg_catalog.-) 45,"
    "    pg_catalog.min(f.day) OPERATOR(pg_catalog.-) 13) FROM pg_catalog.unnest($2) AS f (day))"
    " ORDER BY p.workspace_id, p.agent_id, p.metric_date";

constexpr const char *select_earlier =
    "SELECT FROM analytics.agent_performance AS p WHERE p.workspace_id OPERATOR(pg_catalog.=) $1"
    " AND p.agent_id OPERATOR(pg_catalog.=) $2 AND p.metric_date OPERATOR(pg_catalog.<) $3 LIMIT 1";

// Result columns; those of a rollup come in the order of select_days.
enum column {
    metric_date,
    agent_id,
    workspace_id,
    total_runs,
    successful_runs,
    failed_runs,
    success_rate,
    avg_runtime_seconds,
    total_credits,
    unique_users,
    week_ago,
    this_week,
    week_before,
    column_count
};

class usage_pass
{
public:
    explicit usage_pass(ReturnSetInfo *result)
        : result_(result), no_credits_(NumericGetDatum(int64_to_numeric(0)))
    {
        Oid types[] = {UUIDOID, UUIDOID, DATEOID};
        earlier_ = SPI_prepare(select_earlier, lengthof(types), types);
        if (earlier_ == nullptr)
            elog(ERROR, "SPI could not prepare: %s", SPI_result_code_string(SPI_result));
    }

    void add(HeapTuple row, TupleDesc shape)
    {
        auto const field = [&](int i, bool &is_null) { return SPI_getbinval(row, shape, i, &is_null); };
        bool is_null;
        Datum const workspace = field(1, is_null), agent = field(2, is_null);
        DateADT const day = DatumGetDateADT(field(3, is_null));
        if (!is_open_ || !is_current(workspace, agent)) {
            finish();
            begin(workspace, agent, day, DatumGetDateADT(field(4, is_null)),
                  DatumGetDateADT(field(12, is_null)));
        }
        while (next_ < day)
            put_empty();
        Datum values[column_count];
        bool nulls[column_count] = {};
        for (int i = total_runs; i <= unique_users; ++i)
            values[i] = field(i + 2, nulls[i]);
        put(DatumGetInt64(values[total_runs]), values, nulls);
    }

    // The days after an agent's last row.
    void finish()
    {
        while (is_open_ && next_ <= last_)
            put_empty();
        is_open_ = false;
    }

private:
    bool is_current(Datum workspace, Datum agent) const
    {
        return std::memcmp(&workspace_, DatumGetUUIDP(workspace), UUID_LEN) == 0 &&
               std::memcmp(&agent_, DatumGetUUIDP(agent), UUID_LEN) == 0;
    }

    // Days from `from` on are shown, and read with those that the trend of the first takes.
    void begin(Datum workspace, Datum agent, DateADT first_row, DateADT last, DateADT from)
    {
        workspace_ = *DatumGetUUIDP(workspace);
        agent_ = *DatumGetUUIDP(agent);
        is_open_ = true;
        last_ = last;
        shown_from_ = std::max(last - shown_days + 1, from);
        next_ = shown_from_ - (longest_days - shown_days);
        if (first_row > shown_from_ && !has_rows_before(next_))
            shown_from_ = first_row;
        runs_.clear();
    }

    bool has_rows_before(DateADT day)
    {
        Datum values[] = {UUIDPGetDatum(&workspace_), UUIDPGetDatum(&agent_), DateADTGetDatum(day)};
        if (SPI_execute_plan(earlier_, values, nullptr, true, 1) != SPI_OK_SELECT)
            elog(ERROR, "SPI could not read the days of an agent");
        SPI_freetuptable(SPI_tuptable);
        return SPI_processed > 0;
    }

    void put_empty()
    {
        Datum values[column_count] = {};
        bool nulls[column_count] = {};
        nulls[success_rate] = nulls[avg_runtime_seconds] = true;
        values[total_credits] = no_credits_;
        put(0, values, nulls);
    }

    // The next day, if it is one of those to be shown.
    void put(std::int64_t runs, Datum (&values)[column_count], bool (&nulls)[column_count])
    {
        runs_.append(runs);
        if (next_ >= shown_from_) {
            values[metric_date] = DateADTGetDatum(next_);
            values[agent_id] = UUIDPGetDatum(&agent_);
            values[workspace_id] = UUIDPGetDatum(&workspace_);
            values[week_ago] = Int64GetDatum(runs_.week_ago());
            values[this_week] = Int64GetDatum(runs_.this_week());
            values[week_before] = Int64GetDatum(runs_.week_before());
            tuplestore_putvalues(result_->setResult, result_->setDesc, values, nulls);
        }
        ++next_;
    }

    ReturnSetInfo *result_;
    Datum no_credits_;
    SPIPlanPtr earlier_;
    bool is_open_ = false;
    pg_uuid_t workspace_{}, agent_{};
    DateADT next_ = 0, last_ = 0, shown_from_ = 0;
    run_trend runs_;
};
static_assert(std::is_trivially_destructible_v<usage_pass>, "errors pass it");

} // namespace

// (workspaces, the first day to show of each); NULL: all, and all days
SHADOW_FUNCTION(shadow_agent_usage)
{
    InitMaterializedSRF(fcinfo, 0);
    SPI_connect();
    usage_pass pass(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo));
    Oid types[] = {UUIDARRAYOID, DATEARRAYOID};
    Datum values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
    char const nulls[] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' '};
    Portal const portal =
        SPI_cursor_open_with_args(nullptr, select_days, lengthof(types), types, values, nulls, true, 0);
    for (;;) {
        SPI_cursor_fetch(portal, true, 1000);
        SPITupleTable *const rows = SPI_tuptable;
        std::uint64_t const count = SPI_processed;
        if (count == 0)
            break;
        for (std::uint64_t i = 0; i < count; ++i)
            pass.add(rows->vals[i], rows->tupdesc);
        SPI_freetuptable(rows);
        CHECK_FOR_INTERRUPTS();
    }
    pass.finish();
    SPI_cursor_close(portal);
    SPI_finish();
    return Datum{0};
}
