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
    TimestampTz watermark; // events before it are late; DT_NOBEGIN: none is
    HTAB *logged;          // (workspace, hour) noted by this statement
    MemoryContext context;
};

// Once per statement and partition. `context` lives as long as the statement.
void open_late_log(late_log &log, MemoryContext context);

void append_late_event(late_log &log, const pg_uuid_t &workspace, TimestampTz time);

// For every changed row.
inline void log_if_late(late_log &log, const pg_uuid_t &workspace, TimestampTz time)
{
    if (time < log.watermark)
        append_late_event(log, workspace, time);
}

} // namespace shadow::entry
