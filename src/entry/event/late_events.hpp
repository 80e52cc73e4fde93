#pragma once
// Changes of events in buckets that are already closed. A statement that changes events reads the watermark
// once per partition; what lies before it is noted in analytics.dirty_hours, from which maintenance repairs
// the rollups. PostgreSQL calls and plain data only.

#include "pg/prelude.hpp"

extern "C" {
#include "datatype/timestamp.h"
#include "utils/hsearch.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

struct late_log {
    TimestampTz came_before; // events before it that come are late; DT_NOBEGIN: none is
    TimestampTz left_before; // the same of events that leave
    HTAB *logged;            // what this statement has noted, by (workspace, hour)
    MemoryContext context;
};

// Once per statement and partition of the events. `context` lives as long as the statement.
void open_late_log(late_log &log, Oid partition, MemoryContext context);

enum class late_change { came, left }; // into the hour, or out of it

inline bool is_late(const late_log &log, TimestampTz time, late_change change)
{
    return time < (change == late_change::came ? log.came_before : log.left_before);
}

// Of a changed row that is late.
void append_late_event(late_log &log, const pg_uuid_t &workspace, TimestampTz time, late_change change);

} // namespace shadow::entry
