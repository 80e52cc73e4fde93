#pragma once
// Events that are known to be there and are not.

#include "entry/rollup/bucket.hpp"

extern "C" {
#include "utils/uuid.h"
}

namespace shadow::entry
{

// Of a workspace's UTC day.
struct known_events {
    pg_uuid_t workspace;
    std::int64_t events, removed; // removed: of these, with the rollups not yet repaired

    std::int64_t least() const { return events - removed; }
};
struct known_day {
    TimestampTz first, last;
    const known_events *workspaces; // by id
    int count;
};
// Of the bucket's UTC day; none of an hour. Under the active snapshot, in the current memory context.
known_day read_known_day(const bucket &b);

[[noreturn]] void raise_missing(bool is_day, const char *workspace, const char *day, const char *known,
                                const char *present);
[[noreturn]] void raise_missing(const known_day &day, const known_events &known, std::int64_t present);

} // namespace shadow::entry
