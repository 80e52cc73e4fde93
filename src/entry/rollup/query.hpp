#pragma once
// The rules and events of a scan as they come from PostgreSQL.

#include "core/rollup/batch.hpp"
#include "entry/event/metadata.hpp"
#include "pg/memory.hpp"

namespace shadow::entry
{

// What the states of one query share.
struct rollup_query {
    explicit rollup_query(MemoryContext context);
    // From the settings and prices in force. The caller has connected to SPI.
    void read_rules(MemoryContext context);

    pg::palloc_resource memory;
    interner interned;
    rollup_rules rules{};
    event_batch batch;
};

// The columns of an event.
enum event_argument {
    event_workspace,
    event_user,
    event_session,
    event_type_name,
    event_name,
    event_metadata,
    event_at,
    event_id,
    event_argument_count
};

// False: a row without user, type or time, which is none.
inline bool is_event(const bool *nulls)
{
    return !nulls[event_user] && !nulls[event_type_name] && !nulls[event_at];
}

// Decodes an event, with nothing of core alive while PostgreSQL may raise. May leave a copy of the metadata in the current
// memory context.
void read_event(rollup_query &query, const Datum *values, const bool *nulls, decoded_event &out);

} // namespace shadow::entry
