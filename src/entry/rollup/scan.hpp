#pragma once
// The scan of a bucket's events.

#include "entry/rollup/rows.hpp"

namespace shadow::entry
{

// Hands the rows of all workspaces to the receiver; the number of workspaces.
std::uint64_t scan_events(run_relations &relations, const bucket &b, row_types &types, row_receiver &to);
bool has_time_zones(const bucket &b);
// Whether the day has begun for a workspace that has a time zone.
bool has_begun_somewhere(const bucket &b);

} // namespace shadow::entry
