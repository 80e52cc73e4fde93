// The metrics of a state as a value of analytics.activity_result.

#include "entry/rollup/query.hpp"

#include "pg/tuple.hpp"

extern "C" {
#include "access/tupmacs.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

TupleDesc row_type_of(TupleDesc outer, const char *column, Oid *type, MemoryContext context)
{
    for (int i = 0; i < outer->natts; ++i) {
        Form_pg_attribute const attribute = TupleDescAttr(outer, i);
        if (strcmp(NameStr(attribute->attname), column) != 0)
            continue;
        *type = get_element_type(attribute->atttypid);
        TupleDesc const shared = lookup_rowtype_tupdesc(*type, -1);
        MemoryContext const old = MemoryContextSwitchTo(context);
        TupleDesc const copy = BlessTupleDesc(CreateTupleDescCopy(shared));
        MemoryContextSwitchTo(old);
        ReleaseTupleDesc(shared);
        return copy;
    }
    elog(ERROR, "analytics.activity_result has no column \"%s\"", column);
}

void add_run_counts(pg::tuple_builder &row, const run_counts &runs)
{
    row.add_bigint(runs.total);
    row.add_bigint(runs.successful);
    row.add_bigint(runs.failed);
    row.add_bigint(runs.cancelled);
}

Datum agent_datum(const result_types &types, const agent_metrics &agent)
{
    pg::tuple_builder row;
    row.add_uuid(agent.agent);
    add_run_counts(row, agent.runs);
    for (auto const &seconds : {agent.runtime.average, agent.runtime.minimum, agent.runtime.maximum,
                                agent.runtime.p50, agent.runtime.p75, agent.runtime.p95, agent.runtime.p99})
        row.add_numeric(seconds, 2);
    row.add_amount(agent.credits);
    row.add_numeric(agent.average_credits, 2);
    row.add_numeric(agent.cost, 4);
    row.add(pg::trimmed_numeric_datum(agent.tokens, 0));
    agent.average_tokens.is_null ? row.add_null()
                                 : row.add_bigint(static_cast<std::int64_t>(agent.average_tokens.value));
    row.add_bigint(agent.unique_users);
    row.add_numeric(agent.average_rating, 2);
    row.add_bigint(agent.feedbacks);
    row.add_jsonb(agent.error_types);
    row.add_jsonb(agent.failure_reasons);
    row.add_bytes_or_null(agent.runtime_sketch);
    row.add_bytes_or_null(agent.user_positions);
    return row.form(types.agent);
}

Datum *new_elements(std::size_t n)
{
    return static_cast<Datum *>(palloc_extended((n + 1) * sizeof(Datum), MCXT_ALLOC_HUGE));
}

// The names of one event type as parallel arrays.
Datum usage_datum(const result_types &types, const event_count *first, std::size_t n)
{
    auto *const names = static_cast<Datum *>(palloc(n * sizeof(Datum)));
    auto *const events = static_cast<Datum *>(palloc(n * sizeof(Datum)));
    auto *const users = static_cast<Datum *>(palloc(n * sizeof(Datum)));
    for (std::size_t i = 0; i < n; ++i) {
        names[i] = pg::text_datum(first[i].name);
        events[i] = Int64GetDatum(first[i].events);
        users[i] = pg::bytes_datum(first[i].user_positions);
    }
    auto const count = static_cast<int>(n);
    pg::tuple_builder row;
    row.add_text(name_of(first->type));
    row.add(PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT)));
    row.add(PointerGetDatum(construct_array(events, count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
    row.add(PointerGetDatum(construct_array(users, count, types.user_set, -1, false, TYPALIGN_INT)));
    return row.form(types.usage);
}

Datum event_usage_datum(const result_types &types, span<event_count> counts)
{
    Datum elements[event_type_count];
    std::size_t n = 0;
    for (std::size_t first = 0, last = 0; first < counts.size; first = last) {
        while (last < counts.size && counts[last].type == counts[first].type)
            ++last;
        elements[n++] = usage_datum(types, &counts[first], last - first);
    }
    return pg::composite_array_datum(elements, n, types.usage_type);
}

Datum error_datum(const result_types &types, const error_count &error)
{
    pg::tuple_builder row;
    row.add_text(error.name);
    row.add_bigint(error.errors);
    row.add(pg::bigint_array_datum(error.message_hashes));
    row.add(pg::text_array_datum(error.samples));
    return row.form(types.error);
}

// An array of rows: one(types, item) makes the row of an item.
template <typename T>
Datum rows_datum(const result_types &types, span<T> items, Oid row_type,
                 Datum (*one)(const result_types &, const T &))
{
    Datum *const elements = new_elements(items.size);
    for (std::size_t i = 0; i < items.size; ++i) {
        CHECK_FOR_INTERRUPTS();
        elements[i] = one(types, items[i]);
    }
    return pg::composite_array_datum(elements, items.size, row_type);
}

// The errors, which are in the order of their types, as one row per type.
Datum errors_datum(const result_types &types, span<error_count> errors)
{
    Datum *const elements = new_elements(errors.size);
    std::size_t n = 0;
    for (std::size_t first = 0, last = 0; first < errors.size; first = last) {
        while (last < errors.size && errors[last].type == errors[first].type)
            ++last;
        span<error_count> const names{&errors[first], last - first};
        pg::tuple_builder row;
        row.add_text(errors[first].type);
        row.add(rows_datum(types, names, types.error_type, error_datum));
        elements[n++] = row.form(types.error_summary);
    }
    return pg::composite_array_datum(elements, n, types.error_summary_type);
}

// An array of elements of fixed width without NULLs: write(element, i) fills them in.
template <typename Write>
Datum fixed_array_datum(std::size_t n, std::size_t width, Oid type, Write write)
{
    if (n == 0)
        return PointerGetDatum(construct_empty_array(type));
    Size const size = ARR_OVERHEAD_NONULLS(1) + n * width;
    auto *const array = static_cast<ArrayType *>(palloc0(size));
    SET_VARSIZE(array, size);
    array->ndim = 1;
    array->elemtype = type;
    ARR_DIMS(array)[0] = static_cast<int>(n);
    ARR_LBOUND(array)[0] = 1;
    for (std::size_t i = 0; i < n; ++i)
        write(ARR_DATA_PTR(array) + i * width, i);
    return PointerGetDatum(array);
}

Datum times_datum(span<user_activity> users, std::int64_t user_activity::*time)
{
    return fixed_array_datum(users.size, sizeof(TimestampTz), TIMESTAMPTZOID, [&](char *out, std::size_t i) {
        memcpy(out, &(users[i].*time), sizeof(TimestampTz));
    });
}

// Parallel arrays, which take a third of the room of an array of rows; revenue only where there is some.
void add_users(pg::tuple_builder &row, span<user_activity> users)
{
    row.add(fixed_array_datum(users.size, UUID_LEN, UUIDOID, [&](char *out, std::size_t i) {
        users[i].user.to_bytes(reinterpret_cast<unsigned char *>(out));
    }));
    row.add(times_datum(users, &user_activity::first));
    row.add(times_datum(users, &user_activity::last));
    Datum *const positions = new_elements(users.size);
    Datum *const revenues = new_elements(users.size);
    int n = 0;
    for (std::size_t i = 0; i < users.size; ++i) {
        if (users[i].revenue == 0)
            continue;
        positions[n] = Int32GetDatum(static_cast<int>(i + 1));
        revenues[n++] = pg::trimmed_numeric_datum(users[i].revenue, 9);
    }
    row.add(PointerGetDatum(construct_array(positions, n, INT4OID, 4, true, TYPALIGN_INT)));
    row.add(PointerGetDatum(construct_array(revenues, n, NUMERICOID, -1, false, TYPALIGN_INT)));
}

void add_currency(pg::tuple_builder &row, currency_code code)
{
    char letters[4];
    code == 0 ? row.add_null() : row.add_text(unpack_currency(code, letters));
}

Datum summary_datum(const result_types &types, const rollup_metrics &n)
{
    pg::tuple_builder row;
    row.add_bigint(n.events);
    row.add_jsonb(n.events_by_type);
    row.add_bigint(n.users);
    row.add_bigint(n.sessions);
    row.add_numeric(n.average_session, 2);
    row.add_numeric(n.bounce_rate, 2);
    add_run_counts(row, n.runs);
    for (auto const &seconds : {n.runtime.average, n.runtime.p50, n.runtime.p95, n.runtime.p99})
        row.add_numeric(seconds, 2);
    row.add_amount(n.credits);
    row.add_numeric(n.average_credits, 2);
    row.add_jsonb(n.credits_by_model);
    row.add_numeric(n.cost, 4);
    n.cost_by_model.empty() ? row.add_null() : row.add_jsonb(n.cost_by_model);
    add_currency(row, n.currency);
    row.add_bigint(n.agents_run);
    row.add_jsonb(n.top_agents);
    row.add_bigint(n.errors);
    row.add_numeric(n.error_rate, 2);
    row.add_jsonb(n.errors_by_type);
    row.add_jsonb(n.ignored_values);
    row.add_bigint(n.average_response);
    row.add_bigint(n.p95_response);
    row.add(rows_datum(types, n.agents, types.agent_type, agent_datum));
    row.add(event_usage_datum(types, n.event_counts));
    row.add(errors_datum(types, n.error_counts));
    row.add_bytes_or_null(n.runtime_sketch);
    add_users(row, n.user_list);
    return row.form(types.summary);
}

// Computed apart, so that no object of core is alive while the datums are built.
void compute(const rollup_state &data, const rollup_rules &rules, bool details, MemoryContext context,
             rollup_metrics &out)
{
    pg::palloc_resource memory(context);
    out = compute_metrics(data, rules, details, &memory, pg::interrupted);
}

} // namespace

result_types *shadow::entry::find_result_types(Oid type, MemoryContext context)
{
    auto *const types = static_cast<result_types *>(MemoryContextAlloc(context, sizeof(result_types)));
    TupleDesc const shared = lookup_rowtype_tupdesc(type, -1);
    MemoryContext const old = MemoryContextSwitchTo(context);
    types->summary = BlessTupleDesc(CreateTupleDescCopy(shared));
    MemoryContextSwitchTo(old);
    ReleaseTupleDesc(shared);
    types->agent = row_type_of(types->summary, "agents", &types->agent_type, context);
    types->usage = row_type_of(types->summary, "event_usage", &types->usage_type, context);
    types->user_set = get_element_type(TupleDescAttr(types->usage, types->usage->natts - 1)->atttypid);
    types->error_summary = row_type_of(types->summary, "errors", &types->error_summary_type, context);
    types->error = row_type_of(types->error_summary, "errors", &types->error_type, context);
    return types;
}

Datum shadow::entry::metrics_datum(const result_types &types, rollup_state &data, const rollup_rules &rules,
                                   bool details)
{
    MemoryContext const scratch =
        AllocSetContextCreate(CurrentMemoryContext, "rollup metrics", ALLOCSET_DEFAULT_SIZES);
    rollup_metrics numbers;
    compute(data, rules, details, scratch, numbers);
    data.release();
    Datum const result = summary_datum(types, numbers);
    MemoryContextDelete(scratch);
    return result;
}
