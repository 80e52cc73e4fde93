#pragma once
// The rules and events of a scan as they come from PostgreSQL, the metrics of a state as they go there.

#include "core/rollup/batch.hpp"
#include "core/rollup/metrics.hpp"
#include "entry/event/metadata.hpp"
#include "pg/aggregate.hpp"

extern "C" {
#include "access/tupdesc.h"
}

namespace shadow::entry
{

// What the states of one query share.
struct rollup_query {
    explicit rollup_query(MemoryContext context);
    // From a value of analytics.activity_rules.
    void read_rules(HeapTupleHeader tuple, MemoryContext context);

    pg::palloc_resource memory;
    interner interned;
    event_batch batch;
    rollup_rules rules{};
    bool details = true;
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

// Decodes an event, with nothing of core alive while PostgreSQL may raise. False: a row without user, type or
// time, which is none. May leave a copy of the metadata in the current memory context.
bool read_event(rollup_query &query, const Datum *values, const bool *nulls, decoded_event &out);

// The row types of a result, looked up once per query.
struct result_types {
    TupleDesc summary, agent, usage, error_summary, error;
    Oid agent_type, usage_type, error_summary_type, error_type, user_set;
};
// `type` is analytics.activity_result.
result_types *find_result_types(Oid type, MemoryContext context);

// The metrics of a finished state as a value of analytics.activity_result. Its memory is freed before the
// rows are formed.
Datum metrics_datum(const result_types &types, rollup_state &data, const rollup_rules &rules, bool details);

} // namespace shadow::entry
