#pragma once
// Where the rows of a bucket go: into the tables, of which they replace the bucket's rows.

#include "entry/rollup/rows.hpp"

namespace shadow::entry
{

struct rollup_output;

// Looks at what the tables hold of the bucket. Under the active snapshot, after the lock of rollups was taken.
rollup_output *open_output(run_relations &relations, const bucket &b, row_types &types);
row_receiver &receiver_of(rollup_output &output);
// Whether the bucket had users.
bool had_users(const rollup_output &output);
// Writes what is still to be written, and deletes the rows of the bucket that did not come again. Leaves the relations
// "agents", "newcomers" and "counted".
void close_output(rollup_output &output);

} // namespace shadow::entry
