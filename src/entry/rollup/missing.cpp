#include "entry/rollup/missing.hpp"

#include "entry/rollup/statements.hpp"

extern "C" {
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
}

namespace shadow::entry
{

known_day read_known_day(const bucket &b)
{
    known_day day = {b.first, b.last, nullptr, 0};
    if (!b.is_day)
        return day;
    std::uint64_t const n = execute(statements::select_known_events, b, nullptr, true);
    auto *const known =
        static_cast<known_events *>(MemoryContextAllocHuge(CurrentMemoryContext, n * sizeof(known_events)));
    for (std::uint64_t i = 0; i < n; ++i) {
        auto const field = [i](int number) {
            bool is_null;
            return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, number, &is_null);
        };
        known[i] = {*DatumGetUUIDP(field(1)), DatumGetInt64(field(2)), DatumGetInt64(field(3))};
    }
    SPI_freetuptable(SPI_tuptable);
    day.workspaces = known;
    day.count = static_cast<int>(n);
    return day;
}

void raise_missing(bool is_day, const char *workspace, const char *day, const char *known,
                   const char *present)
{
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("cannot aggregate %s whose events are missing", is_day ? "a day" : "an hour"),
             errdetail("Workspace %s had %s events on %s (UTC), %s are there now; what was aggregated before "
                       "is kept.",
                       workspace, known, day, present),
             errhint("Restore or attach the missing events, or decide by analytics.settle_day().")));
}

void raise_missing(const known_day &day, const known_events &known, std::int64_t present)
{
    char const *const workspace =
        DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&known.workspace)));
    int year, month, mday;
    j2date(static_cast<int>(day.first / USECS_PER_DAY) + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
    raise_missing(true, workspace, psprintf("%04d-%02d-%02d", year, month, mday),
                  psprintf(INT64_FORMAT, known.least()), psprintf(INT64_FORMAT, present));
}

} // namespace shadow::entry
