#pragma once
// Collects the events of a SELECT into one rollup state per workspace, without what the executor spends on a
// group and a transition per row.

#include "pg/prelude.hpp"

extern "C" {
#include "tcop/dest.h"
#include "utils/tuplestore.h"
}

namespace shadow::entry
{

// For rows of analytics.user_activity, as they lie there if the SELECT adds nothing. A column "is_final" says
// whether the workspace's bucket is over; without one, `is_final` holds. Lives in the current memory context. The
// caller has connected to SPI.
DestReceiver *create_event_collector(bool is_final);

// Appends a row of the day's or hour's summary for each workspace, by workspace_id; their number. Frees what was
// collected.
std::uint64_t store_collected(DestReceiver *collector, bool is_day, Tuplestorestate *store,
                              TupleDesc description);

} // namespace shadow::entry
