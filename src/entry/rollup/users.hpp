#pragma once
// The users of a day: their numbers, who is new, and the totals of later days.

#include "entry/rollup/bucket.hpp"

namespace shadow::entry
{

// In this order around the upsert of the rollups, which need "activities".
std::uint64_t update_users(run_relations &relations, const bucket &b);
void update_later_days(run_relations &relations, const bucket &b, bool has_departed);

} // namespace shadow::entry
