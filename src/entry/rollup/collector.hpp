#pragma once
// Collects the events of a SELECT into one rollup state per workspace, without what the executor spends on a
// group and a transition per row.

#include "entry/rollup/missing.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "tcop/dest.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

// A workspace's events [first, last).
struct event_bounds {
    TimestampTz first, last;
    bool is_final; // the bucket is over
};
struct local_day {
    pg_uuid_t workspace;
    event_bounds bounds;
};

// Which events are collected.
struct event_selection {
    event_bounds bounds;         // of workspaces that are not in the list
    const local_day *local_days; // by workspace
    int local_day_count;
    std::uint32_t mask, pattern; // uuid_hash(workspace_id) & mask = pattern
    std::size_t waiting_bytes;   // so many may wait to be added
    known_day known;             // an error unless its events are there
};

// Takes rows of analytics.user_activity as they lie there. Lives in the current memory context. The caller has connected
// to SPI.
DestReceiver *create_event_collector(const event_selection &selection);

// Gives it the rows of a heap, as the snapshot sees them, without the executor.
void collect_table(DestReceiver *collector, Oid table, Snapshot snapshot);

class workspace_writer;

// Writes what was collected, workspace by workspace in the order of their ids; their number. Frees it.
std::uint64_t write_collected(DestReceiver *collector, workspace_writer &to);

} // namespace shadow::entry
