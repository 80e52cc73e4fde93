#pragma once
// The scan of a bucket's events.

#include "entry/rollup/bucket.hpp"

namespace shadow::entry
{

// Collects the events into the relation "summary"; the number of workspaces.
std::uint64_t scan_events(run_relations &relations, const bucket &b);
bool has_time_zones(const bucket &b);
// Whether the day has begun for a workspace that has a time zone.
bool has_begun_somewhere(const bucket &b);

} // namespace shadow::entry
