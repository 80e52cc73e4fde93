// The aggregate analytics.activity_summary: one transition per event, everything of a workspace's bucket out.

#include "core/activity_report.hpp"
#include "pg/aggregate.hpp"
#include "pg/jsonb.hpp"
#include "pg/memory.hpp"
#include "pg/tuple.hpp"

extern "C" {
#include "access/tupmacs.h"
#include "common/int.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
}

using namespace shadow;

namespace
{

constexpr std::int64_t default_gap = INT64CONST(30) * 60 * USECS_PER_SEC;

std::size_t clip_text(const char *text, std::size_t length, int characters)
{
    return static_cast<std::size_t>(pg_mbcharcliplen(text, static_cast<int>(length), characters));
}

// What final and combine functions need of the rules; the prices stay with the accumulating query.
struct summary_options {
    std::int64_t session_gap;
    bool engaged_bounce;
    bool details;
};

// What the activities of one query share: in fn_extra of the accumulating or combining call.
struct query_cache {
    explicit query_cache(MemoryContext context) : memory(context), words(&memory), batch(&memory) {}

    pg::palloc_resource memory;
    dictionary words;
    activity_batch batch;
    activity_rules rules{};
    bool details = true;
};

struct summary_state {
    summary_state(MemoryContext context, query_cache *shared)
        : memory(context), cache(shared), data(&memory, &shared->words)
    {
    }

    pg::palloc_resource memory;
    query_cache *cache;
    summary_options options{};
    MemoryContextCallback on_reset{};
    activity data;
};

activity_rules rules_of(const summary_options &options)
{
    return {options.session_gap, options.engaged_bounce, 0, {}, clip_text};
}

// Events of a state that is gone without having been read (a rescan, a LIMIT) must not reach its memory.
void forget_state(void *state)
{
    auto *const gone = static_cast<summary_state *>(state);
    gone->cache->batch.drop(&gone->data);
}

summary_state *new_state(MemoryContext context, query_cache *cache, const summary_options &options)
{
    auto *const state = pg::new_state<summary_state>(context, cache);
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
    state->cache->batch.flush(state->cache->rules);
    return state;
}

// Fields of analytics.activity_rules and analytics.credit_price_rule, in the order of the types.
enum rules_field { field_gap = 1, field_bounce, field_currency, field_details, field_prices };
enum price_field { field_workspace = 1, field_model, field_price, field_price_currency, field_valid_from };

std::string_view kept_text(Datum value, MemoryContext context)
{
    text *const t = DatumGetTextPP(value);
    auto const length = VARSIZE_ANY_EXHDR(t);
    auto *const copy = static_cast<char *>(MemoryContextAlloc(context, length + 1));
    memcpy(copy, VARDATA_ANY(t), length);
    return {copy, length};
}

Datum required_field(HeapTupleHeader tuple, int field, const char *name)
{
    bool is_null;
    Datum const value = GetAttributeByNum(tuple, static_cast<AttrNumber>(field), &is_null);
    if (is_null)
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name),
                        errhint("Take the rules from analytics.activity_rules().")));
    return value;
}

currency_code read_currency(Datum value)
{
    text *const t = DatumGetTextPP(value);
    return pack_currency({VARDATA_ANY(t), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(t))});
}

credit_price read_price(Datum element, MemoryContext context)
{
    HeapTupleHeader const tuple = DatumGetHeapTupleHeader(element);
    credit_price price;
    price.workspace = uuid::from_bytes(
        DatumGetUUIDP(required_field(tuple, field_workspace, "a price's workspace_id"))->data);
    price.model = kept_text(required_field(tuple, field_model, "a price's model"), context);
    Numeric const number = DatumGetNumeric(required_field(tuple, field_price, "a price"));
    if (!pg::to_scaled_int128(number, 9, price.price) || price.price < 0 ||
        price.price >= int128{1'000'000'000} * 1'000'000'000)
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("credit price out of range"),
                        errhint("Prices are from 0 to less than 1000000000.")));
    price.currency = read_currency(required_field(tuple, field_price_currency, "a price's currency"));
    price.valid_from = DatumGetTimestampTz(required_field(tuple, field_valid_from, "a price's valid_from"));
    return price;
}

span<credit_price> read_prices(Datum array, MemoryContext context)
{
    ArrayType *const prices = DatumGetArrayTypeP(array);
    Datum *elements;
    bool *nulls;
    int n;
    deconstruct_array(prices, ARR_ELEMTYPE(prices), -1, false, TYPALIGN_DOUBLE, &elements, &nulls, &n);
    // palloc aligns to 8 bytes, an int128 wants 16.
    void *const space =
        MemoryContextAllocHuge(context, static_cast<Size>(n) * sizeof(credit_price) + alignof(credit_price));
    span<credit_price> result{reinterpret_cast<credit_price *>(TYPEALIGN(alignof(credit_price), space)), 0};
    for (int i = 0; i < n; ++i)
        if (!nulls[i])
            result.data[result.size++] = read_price(elements[i], context);
    sort_prices(result);
    return result;
}

std::int64_t read_gap(Datum value)
{
    Interval const *const gap = DatumGetIntervalP(value);
    std::int64_t microseconds;
    if (gap->month != 0 || pg_mul_s64_overflow(gap->day, USECS_PER_DAY, &microseconds) ||
        pg_add_s64_overflow(microseconds, gap->time, &microseconds) || microseconds <= 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid session gap"),
                        errhint("Give a positive interval without months, such as '30 minutes'.")));
    return microseconds;
}

query_cache *cache_of(FunctionCallInfo fcinfo)
{
    auto *cache = static_cast<query_cache *>(fcinfo->flinfo->fn_extra);
    if (cache == nullptr) {
        MemoryContext const context = fcinfo->flinfo->fn_mcxt;
        cache = pg::new_state<query_cache>(context);
        cache->rules = {default_gap, false, pack_currency("USD"), {}, clip_text};
        fcinfo->flinfo->fn_extra = cache;
    }
    return cache;
}

// The rules are the same for all rows: read once per query, from the first row.
void read_rules(query_cache &cache, HeapTupleHeader tuple, MemoryContext context)
{
    cache.rules.session_gap = read_gap(required_field(tuple, field_gap, "session_gap"));
    text *const bounce = DatumGetTextPP(required_field(tuple, field_bounce, "bounce_rule"));
    cache.rules.engaged_bounce =
        std::string_view(VARDATA_ANY(bounce), VARSIZE_ANY_EXHDR(bounce)) == "engaged";
    cache.rules.currency = read_currency(required_field(tuple, field_currency, "currency"));
    cache.details = DatumGetBool(required_field(tuple, field_details, "details"));
    bool no_prices;
    Datum const prices = GetAttributeByNum(tuple, field_prices, &no_prices);
    if (!no_prices)
        cache.rules.prices = read_prices(prices, context);
}

query_cache *accum_cache(FunctionCallInfo fcinfo, int rules_argument)
{
    bool const is_first = fcinfo->flinfo->fn_extra == nullptr;
    query_cache *const cache = cache_of(fcinfo);
    if (is_first && PG_NARGS() > rules_argument && !PG_ARGISNULL(rules_argument))
        read_rules(*cache, PG_GETARG_HEAPTUPLEHEADER(rules_argument), fcinfo->flinfo->fn_mcxt);
    return cache;
}

std::string_view view_of(text *t)
{
    return {VARDATA_ANY(t), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(t))};
}

event_type type_of(std::string_view name)
{
    auto const type = find_event_type(name);
    if (!type)
        throw error(errc::invalid_argument, "unknown event type", "",
                    "analytics.user_activity lists the event types.");
    return *type;
}

enum accum_argument {
    arg_state,
    arg_workspace,
    arg_user,
    arg_session,
    arg_type,
    arg_name,
    arg_metadata,
    arg_at,
    arg_id,
    arg_rules
};

uuid uuid_argument(FunctionCallInfo fcinfo, int argument)
{
    return PG_ARGISNULL(argument) ? uuid{0, 0} : uuid::from_bytes(PG_GETARG_UUID_P(argument)->data);
}

} // namespace

SHADOW_FUNCTION(shadow_activity_accum)
{
    MemoryContext const context = pg::aggregate_context(fcinfo);
    query_cache *const cache = accum_cache(fcinfo, arg_rules);
    auto *state =
        PG_ARGISNULL(arg_state) ? nullptr : reinterpret_cast<summary_state *>(PG_GETARG_POINTER(arg_state));
    if (state == nullptr)
        state = new_state(context, cache,
                          {cache->rules.session_gap, cache->rules.engaged_bounce, cache->details});
    if (PG_ARGISNULL(arg_user) || PG_ARGISNULL(arg_type) || PG_ARGISNULL(arg_at))
        PG_RETURN_POINTER(state);

    text *const type = PG_GETARG_TEXT_PP(arg_type);
    text *const name = PG_ARGISNULL(arg_name) ? nullptr : PG_GETARG_TEXT_PP(arg_name);
    void *const json =
        PG_ARGISNULL(arg_metadata) ? nullptr : PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(arg_metadata));
    TimestampTz const at = PG_GETARG_TIMESTAMPTZ(arg_at);
    if (TIMESTAMP_NOT_FINITE(at))
        ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("event time must be finite")));

    activity_event event;
    event.workspace = uuid_argument(fcinfo, arg_workspace);
    event.user = uuid_argument(fcinfo, arg_user);
    event.session = uuid_argument(fcinfo, arg_session);
    event.has_session = !PG_ARGISNULL(arg_session);
    event.id = uuid_argument(fcinfo, arg_id);
    event.at = at;
    event.name = name == nullptr ? std::string_view{} : view_of(name);
    if (event.name.size() > longest_text_key)
        event.name = event.name.substr(0, clip_text(event.name.data(), event.name.size(), longest_text_key));
    event.type = type_of(view_of(type));
    metadata values(pg::jsonb_host());
    if (json != nullptr)
        pg::read_metadata(json, values);
    digested_event digested;
    digest(cache->rules, cache->words, event, values, digested);
    cache->batch.add(cache->rules, &state->data, digested);
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_activity_combine)
{
    MemoryContext const context = pg::aggregate_context(fcinfo);
    if (PG_ARGISNULL(1))
        return PG_ARGISNULL(0) ? ((fcinfo)->isnull = true, Datum{0}) : PG_GETARG_DATUM(0);
    summary_state const *const other = complete_state(PG_GETARG_DATUM(1));
    auto *const state = PG_ARGISNULL(0) ? new_state(context, cache_of(fcinfo), other->options)
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
    summary_options options;
    if (size < sizeof options)
        throw error(errc::corrupt_data, "serialized activity is truncated");
    memcpy(&options, VARDATA_ANY(bytes), sizeof options);
    // The copy and its dictionary live until it has been combined: the current context is reset after that.
    MemoryContext const context = CurrentMemoryContext;
    auto *const own = pg::new_state<query_cache>(context);
    summary_state *const state = new_state(context, own, options);
    state->data.deserialize({VARDATA_ANY(bytes) + sizeof options, size - sizeof options});
    PG_RETURN_POINTER(state);
}

namespace
{

// The row types of the result, looked up once per query.
struct result_types {
    TupleDesc summary, agent, usage, error;
    Oid agent_type, usage_type, error_type, user_set;
};

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
    elog(ERROR, "analytics.activity_summary has no column \"%s\"", column);
}

result_types *find_result_types(FunctionCallInfo fcinfo)
{
    if (fcinfo->flinfo->fn_extra != nullptr)
        return static_cast<result_types *>(fcinfo->flinfo->fn_extra);
    MemoryContext const context = fcinfo->flinfo->fn_mcxt;
    auto *const types = static_cast<result_types *>(MemoryContextAlloc(context, sizeof(result_types)));
    Oid const type = get_func_rettype(fcinfo->flinfo->fn_oid);
    TupleDesc const shared = lookup_rowtype_tupdesc(type, -1);
    MemoryContext const old = MemoryContextSwitchTo(context);
    types->summary = BlessTupleDesc(CreateTupleDescCopy(shared));
    MemoryContextSwitchTo(old);
    ReleaseTupleDesc(shared);
    types->agent = row_type_of(types->summary, "agents", &types->agent_type, context);
    types->usage = row_type_of(types->summary, "event_usage", &types->usage_type, context);
    types->user_set = get_element_type(TupleDescAttr(types->usage, types->usage->natts - 1)->atttypid);
    types->error = row_type_of(types->summary, "errors", &types->error_type, context);
    fcinfo->flinfo->fn_extra = types;
    return types;
}

void add_run_counts(pg::tuple_builder &row, const run_counts &runs)
{
    row.add_bigint(runs.total);
    row.add_bigint(runs.successful);
    row.add_bigint(runs.failed);
    row.add_bigint(runs.cancelled);
}

Datum agent_datum(const result_types &types, const agent_numbers &agent)
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

Datum agents_datum(const result_types &types, span<agent_numbers> agents)
{
    auto *const elements =
        static_cast<Datum *>(palloc_extended((agents.size + 1) * sizeof(Datum), MCXT_ALLOC_HUGE));
    for (std::size_t i = 0; i < agents.size; ++i) {
        CHECK_FOR_INTERRUPTS();
        elements[i] = agent_datum(types, agents[i]);
    }
    return pg::composite_array_datum(elements, agents.size, types.agent_type);
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

Datum errors_datum(const result_types &types, span<error_count> errors)
{
    auto *const elements =
        static_cast<Datum *>(palloc_extended((errors.size + 1) * sizeof(Datum), MCXT_ALLOC_HUGE));
    for (std::size_t i = 0; i < errors.size; ++i) {
        pg::tuple_builder row;
        row.add_text(errors[i].type);
        row.add_text(errors[i].name);
        row.add_bigint(errors[i].errors);
        row.add(pg::bigint_array_datum(errors[i].message_hashes));
        row.add(pg::text_array_datum(errors[i].samples));
        elements[i] = row.form(types.error);
    }
    return pg::composite_array_datum(elements, errors.size, types.error_type);
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
    auto *const positions =
        static_cast<Datum *>(palloc_extended((users.size + 1) * sizeof(Datum), MCXT_ALLOC_HUGE));
    auto *const revenues =
        static_cast<Datum *>(palloc_extended((users.size + 1) * sizeof(Datum), MCXT_ALLOC_HUGE));
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

Datum summary_datum(const result_types &types, const activity_numbers &n)
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
    row.add(agents_datum(types, n.agents));
    row.add(event_usage_datum(types, n.event_counts));
    row.add(errors_datum(types, n.error_counts));
    row.add_bytes_or_null(n.runtime_sketch);
    add_users(row, n.user_list);
    return row.form(types.summary);
}

// Computed apart, so that no object of core is alive while the datums are built.
void compute(const summary_state &state, MemoryContext context, activity_numbers &out)
{
    pg::palloc_resource memory(context);
    out = make_report(state.data, rules_of(state.options), state.options.details, &memory, pg::interrupted);
}

} // namespace

SHADOW_FUNCTION(shadow_activity_final)
{
    pg::aggregate_context(fcinfo);
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    summary_state const *const state = complete_state(PG_GETARG_DATUM(0));
    result_types const *const types = find_result_types(fcinfo);
    MemoryContext const scratch =
        AllocSetContextCreate(CurrentMemoryContext, "activity summary", ALLOCSET_DEFAULT_SIZES);
    activity_numbers numbers;
    compute(*state, scratch, numbers);
    Datum const result = summary_datum(*types, numbers);
    MemoryContextDelete(scratch);
    PG_RETURN_DATUM(result);
}
