// The aggregate analytics.activity_summary: one transition per event, everything of a workspace's bucket out.

#include "entry/rollup/state.hpp"

extern "C" {
#include "utils/lsyscache.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

// What final and combine functions need of the rules; the prices stay with the accumulating query.
struct summary_options {
    std::int64_t session_gap;
    bool engaged_bounce;
    bool details;
};

struct summary_state {
    summary_state(MemoryContext context, rollup_query *shared)
        : memory(context), query(shared), data(&memory, &shared->interned), queue(shared->batch.open(&data))
    {
    }

    pg::palloc_resource memory;
    rollup_query *query;
    summary_options options{};
    MemoryContextCallback on_reset{};
    rollup_state data;
    std::uint32_t queue; // in the query's batch
};

rollup_rules rules_of(const summary_options &options)
{
    return {{0, {}, clip_text}, options.session_gap, options.engaged_bounce};
}

// Events of a state that is gone without having been read (a rescan, a LIMIT) must not reach its memory.
void forget_state(void *state)
{
    auto *const gone = static_cast<summary_state *>(state);
    gone->query->batch.close(gone->queue);
}

summary_state *new_state(MemoryContext context, rollup_query *query, const summary_options &options)
{
    auto *const state = pg::new_state<summary_state>(context, query);
    state->options = options;
    state->on_reset.func = forget_state;
    state->on_reset.arg = state;
    MemoryContextRegisterResetCallback(context, &state->on_reset);
    return state;
}

// A state to read: with all of its events.
summary_state *complete_state(Datum datum)
{
    auto *const state = reinterpret_cast<summary_state *>(DatumGetPointer(datum));
    state->query->batch.flush(state->query->rules);
    return state;
}

// Of the accumulating or combining call, in its fn_extra.
rollup_query *query_of(FunctionCallInfo fcinfo)
{
    if (fcinfo->flinfo->fn_extra == nullptr)
        fcinfo->flinfo->fn_extra = pg::new_state<rollup_query>(fcinfo->flinfo->fn_mcxt);
    return static_cast<rollup_query *>(fcinfo->flinfo->fn_extra);
}

constexpr int first_event_argument = 1; // after the state
constexpr int rules_argument = first_event_argument + event_argument_count;

// The rules are the same for all rows: read once per query, from the first row.
rollup_query *accumulating_query(FunctionCallInfo fcinfo)
{
    bool const is_first = fcinfo->flinfo->fn_extra == nullptr;
    rollup_query *const query = query_of(fcinfo);
    if (is_first && PG_NARGS() > rules_argument && !PG_ARGISNULL(rules_argument))
        query->read_rules(PG_GETARG_HEAPTUPLEHEADER(rules_argument), fcinfo->flinfo->fn_mcxt);
    return query;
}

} // namespace

SHADOW_FUNCTION(shadow_activity_accum)
{
    MemoryContext const context = pg::aggregate_context(fcinfo);
    rollup_query *const query = accumulating_query(fcinfo);
    auto *state = pg::state_argument<summary_state>(fcinfo, 0);
    if (state == nullptr)
        state = new_state(context, query,
                          {query->rules.session_gap, query->rules.engaged_bounce, query->details});
    Datum values[event_argument_count];
    bool nulls[event_argument_count];
    for (int i = 0; i < event_argument_count; ++i) {
        values[i] = PG_GETARG_DATUM(first_event_argument + i);
        nulls[i] = PG_ARGISNULL(first_event_argument + i);
    }
    decoded_event event;
    if (read_event(*query, values, nulls, event))
        query->batch.add(query->rules, state->queue, event);
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_activity_combine)
{
    MemoryContext const context = pg::aggregate_context(fcinfo);
    if (PG_ARGISNULL(1))
        return PG_ARGISNULL(0) ? ((fcinfo)->isnull = true, Datum{0}) : PG_GETARG_DATUM(0);
    summary_state const *const other = complete_state(PG_GETARG_DATUM(1));
    auto *const state = PG_ARGISNULL(0) ? new_state(context, query_of(fcinfo), other->options)
                                        : complete_state(PG_GETARG_DATUM(0));
    state->data.merge(rules_of(state->options), other->data);
    PG_RETURN_POINTER(state);
}

namespace
{

// The string is never destroyed: its memory goes with the context.
std::string_view serialize(const summary_state &state, MemoryContext context)
{
    pg::palloc_resource memory(context);
    auto *const out = new (MemoryContextAlloc(context, sizeof(std::pmr::string))) std::pmr::string(&memory);
    state.data.serialize(rules_of(state.options), *out);
    return *out;
}

// Any byte but 0 is true: a bool of other bytes is none.
summary_options read_options(std::string_view bytes)
{
    summary_options options{};
    if (bytes.size() < sizeof options)
        throw error(errc::corrupt_data, "serialized activity is truncated");
    memcpy(&options.session_gap, bytes.data() + offsetof(summary_options, session_gap),
           sizeof options.session_gap);
    options.engaged_bounce = bytes[offsetof(summary_options, engaged_bounce)] != 0;
    options.details = bytes[offsetof(summary_options, details)] != 0;
    return options;
}

} // namespace

SHADOW_FUNCTION(shadow_activity_serialize)
{
    pg::aggregate_context(fcinfo);
    summary_state const *const state = complete_state(PG_GETARG_DATUM(0));
    MemoryContext const scratch =
        AllocSetContextCreate(CurrentMemoryContext, "serialized activity", ALLOCSET_DEFAULT_SIZES);
    std::string_view const flat = serialize(*state, scratch);
    Size const size = VARHDRSZ + sizeof(summary_options) + flat.size();
    if (!AllocSizeIsValid(size))
        throw error(errc::limit_exceeded, "the activity of one workspace is too large for a parallel plan",
                    "", "Set max_parallel_workers_per_gather to 0.");
    auto *const result = static_cast<bytea *>(palloc(size));
    SET_VARSIZE(result, size);
    memcpy(VARDATA(result), &state->options, sizeof(summary_options));
    memcpy(VARDATA(result) + sizeof(summary_options), flat.data(), flat.size());
    MemoryContextDelete(scratch);
    PG_RETURN_BYTEA_P(result);
}

SHADOW_FUNCTION(shadow_activity_deserialize)
{
    pg::aggregate_context(fcinfo);
    bytea *const bytes = PG_GETARG_BYTEA_PP(0);
    Size const size = VARSIZE_ANY_EXHDR(bytes);
    summary_options const options = read_options({VARDATA_ANY(bytes), size});
    // The copy and its interner live until it has been combined: the current context is reset after that.
    MemoryContext const context = CurrentMemoryContext;
    auto *const own = pg::new_state<rollup_query>(context);
    summary_state *const state = new_state(context, own, options);
    state->data.deserialize({VARDATA_ANY(bytes) + sizeof options, size - sizeof options});
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_activity_final)
{
    pg::aggregate_context(fcinfo);
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    summary_state const *const state = complete_state(PG_GETARG_DATUM(0));
    if (fcinfo->flinfo->fn_extra == nullptr)
        fcinfo->flinfo->fn_extra =
            find_result_types(get_func_rettype(fcinfo->flinfo->fn_oid), fcinfo->flinfo->fn_mcxt);
    auto const *const types = static_cast<const result_types *>(fcinfo->flinfo->fn_extra);
    PG_RETURN_DATUM(metrics_datum(*types, state->data, rules_of(state->options), state->options.details));
}
