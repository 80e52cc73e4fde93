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
// whether the workspace's bucket is over; without one, `is_final` holds. `rules`: a value of
// analytics.activity_rules. Lives in the current memory context.
DestReceiver *create_event_collector(HeapTupleHeader rules, bool is_final);

// Appends (workspace_id, is_final, result) for each workspace, by workspace_id; their number. Frees what was collected.
std::uint64_t store_collected(DestReceiver *collector, Tuplestorestate *store, TupleDesc description);

} // namespace shadow::entry
