// analytics.session_summary: sessions by inactivity as an aggregate over timestamps.

#include "core/users/sessions.hpp"
#include "core/base/int128.hpp"

#include <algorithm>

#include "pg/aggregate.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "utils/timestamp.h"
}

using shadow::errc;
using shadow::error;
using shadow::session;
using shadow::session_totals;
using namespace shadow::pg;

namespace
{

constexpr std::uint64_t default_gap = 30 * std::uint64_t(USECS_PER_MINUTE);

struct state {
    state(MemoryContext context, std::uint64_t gap) : memory(context), sessions(gap, &memory) {}
    palloc_resource memory;
    shadow::session_set sessions;
};

// The state between processes: this, then the parts. Both ends run the same binary.
struct header {
    std::uint64_t gap;
    std::uint64_t parts;
};

std::uint64_t to_gap(const Interval &interval)
{
    constexpr char hint[] = "Pass a positive interval of days or less, such as interval '30 minutes'.";
    if (interval.month != 0)
        throw error(errc::invalid_argument, "gap must not contain months or years",
                    "Months: " + std::to_string(interval.month) + ". A month has no fixed length.", hint);
    shadow::int128 const gap = shadow::int128(interval.day) * USECS_PER_DAY + interval.time;
    if (gap <= 0)
        throw error(errc::invalid_argument, "gap must be positive", {}, hint);
    constexpr shadow::int128 longest =
        std::numeric_limits<std::uint64_t>::max(); // than any timestamps' distance
    return static_cast<std::uint64_t>(std::min(gap, longest));
}

std::uint64_t fetch_gap(FunctionCallInfo fcinfo)
{
    if (PG_NARGS() < 3)
        return default_gap;
    if (PG_ARGISNULL(2))
        throw error(errc::invalid_argument, "gap must not be null", {},
                    "Leave it out for the default of 30 minutes.");
    return to_gap(*PG_GETARG_INTERVAL_P(2));
}

} // namespace

SHADOW_FUNCTION(shadow_session_summary_accum)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *known = state_argument<state>(fcinfo, 0);
    if (PG_ARGISNULL(1))
        return return_state(fcinfo, known);
    TimestampTz const at = PG_GETARG_TIMESTAMPTZ(1);
    if (TIMESTAMP_NOT_FINITE(at))
        throw error(errc::invalid_argument, "timestamps of events must be finite", {},
                    "Leave the others out: FILTER (WHERE isfinite(at)).");
    std::uint64_t const gap = fetch_gap(fcinfo);
    if (known == nullptr)
        known = new_state<state>(context, gap);
    if (known->sessions.gap() != gap)
        throw error(errc::invalid_argument, "gap must be the same for all rows of a group",
                    "It is " + std::to_string(known->sessions.gap()) + " and " + std::to_string(gap) +
                        " microseconds.");
    known->sessions.add(at, interrupted);
    return return_state(fcinfo, known);
}

SHADOW_FUNCTION(shadow_session_summary_combine)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *into = state_argument<state>(fcinfo, 0);
    auto *const from = state_argument<state>(fcinfo, 1);
    if (from == nullptr)
        return return_state(fcinfo, into);
    if (into == nullptr)
        into = new_state<state>(context, from->sessions.gap());
    into->sessions.merge(from->sessions, interrupted);
    return return_state(fcinfo, into);
}

SHADOW_FUNCTION(shadow_session_summary_serialize)
{
    aggregate_context(fcinfo);
    auto const &sessions = state_argument<state>(fcinfo, 0)->sessions;
    header const head{sessions.gap(), sessions.parts().size()};
    std::size_t const body = head.parts * sizeof(session);
    if (body > MaxAllocSize - VARHDRSZ - sizeof head)
        throw error(errc::limit_exceeded, "too many sessions to pass between processes",
                    std::to_string(head.parts) + " sessions in one group.",
                    "Group by user, or set max_parallel_workers_per_gather to 0.");
    auto *const out = static_cast<bytea *>(palloc(VARHDRSZ + sizeof head + body));
    SET_VARSIZE(out, VARHDRSZ + sizeof head + body);
    memcpy(VARDATA(out), &head, sizeof head);
    memcpy(VARDATA(out) + sizeof head, sessions.parts().data(), body);
    PG_RETURN_BYTEA_P(out);
}

SHADOW_FUNCTION(shadow_session_summary_deserialize)
{
    aggregate_context(fcinfo);
    bytea *const in = PG_GETARG_BYTEA_PP(0);
    header head;
    if (VARSIZE_ANY_EXHDR(in) < sizeof head)
        throw error(errc::corrupt_data, "invalid state of session_summary");
    memcpy(&head, VARDATA_ANY(in), sizeof head);
    std::size_t const body = VARSIZE_ANY_EXHDR(in) - sizeof head;
    if (head.gap == 0 || body % sizeof(session) != 0 || body / sizeof(session) != head.parts)
        throw error(errc::corrupt_data, "invalid state of session_summary");
    auto *const out = new_state<state>(CurrentMemoryContext, head.gap);
    for (std::size_t i = 0; i < head.parts; ++i) {
        session part;
        memcpy(&part, VARDATA_ANY(in) + sizeof head + i * sizeof part, sizeof part);
        if (part.first > part.last || part.events == 0)
            throw error(errc::corrupt_data, "invalid state of session_summary");
        out->sessions.add(part, interrupted);
    }
    return return_state(fcinfo, out);
}

SHADOW_FUNCTION(shadow_session_summary_final)
{
    aggregate_context(fcinfo);
    TupleDesc shape;
    if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    auto const *const known = state_argument<state>(fcinfo, 0);

    session_totals const sum = known == nullptr ? session_totals{} : known->sessions.totals(interrupted);
    if (sum.duration > static_cast<std::uint64_t>(PG_INT64_MAX))
        throw error(errc::out_of_range, "total duration of sessions out of range");

    Interval duration{static_cast<TimeOffset>(sum.duration), 0, 0};
    Datum values[] = {Int64GetDatum(static_cast<int64>(sum.sessions)),
                      Int64GetDatum(static_cast<int64>(sum.single_event_sessions)),
                      Int64GetDatum(static_cast<int64>(sum.events)), IntervalPGetDatum(&duration)};
    bool nulls[] = {false, false, false, false};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls)));
}
