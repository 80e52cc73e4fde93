#pragma once
// Collects the events of a SELECT into one rollup state per workspace, without what the executor spends on a
// group and a transition per row.

#include "pg/prelude.hpp"

extern "C" {
#include "tcop/dest.h"
}

namespace shadow::entry
{

// For rows of analytics.user_activity, as they lie there if the SELECT adds nothing. A column "is_final" says
// whether the workspace's bucket is over; without one, `is_final` holds. So many bytes of events may wait to be added.
// Lives in the current memory context. The caller has connected to SPI.
DestReceiver *create_event_collector(bool is_final, std::size_t waiting_bytes);

class workspace_writer;

// Writes what was collected, workspace by workspace in the order of their ids; their number. Frees it.
std::uint64_t write_collected(DestReceiver *collector, workspace_writer &to);

} // namespace shadow::entry
