#include "entry/rollup/rows.hpp"

#include "pg/array.hpp"
#include "pg/spi.hpp"
#include "pg/tuple.hpp"

#include <array>

extern "C" {
#include "executor/spi.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

NullableDatum stored(Datum value)
{
    return {value, false};
}
NullableDatum stored(std::int64_t value)
{
    return stored(Int64GetDatum(value));
}
NullableDatum stored(const nullable<std::int64_t> &value)
{
    return {Int64GetDatum(value.value), value.is_null};
}
// In units of 10^-scale.
template <typename Number>
NullableDatum stored(const nullable<Number> &value, int scale)
{
    if (value.is_null)
        return {Datum{0}, true};
    return stored(NumericGetDatum(pg::numeric_from_scaled(value.value, scale)));
}
// An exact sum in units of 10^-scale, without trailing zeros.
NullableDatum stored_sum(int128 value, int scale)
{
    return stored(pg::trimmed_numeric_datum(value, scale));
}
NullableDatum stored_text(std::string_view text)
{
    return stored(pg::text_datum(text));
}
// Empty: NULL.
NullableDatum stored_json(std::string_view json)
{
    return json.empty() ? NullableDatum{Datum{0}, true} : stored(pg::jsonb_datum(json));
}
NullableDatum stored_bytes(std::string_view bytes)
{
    return bytes.empty() ? NullableDatum{Datum{0}, true} : stored(pg::bytes_datum(bytes));
}
// Empty: NULL.
NullableDatum stored_reason(std::string_view text)
{
    return text.empty() ? NullableDatum{Datum{0}, true} : stored_text(text);
}
NullableDatum stored_currency(currency_code code)
{
    char letters[4];
    return code == 0 ? NullableDatum{Datum{0}, true} : stored_text(unpack_currency(code, letters));
}

// A column and what an item gives for it.
template <typename Item>
struct field {
    const char *column;
    NullableDatum (*value)(const Item &);
};

constexpr field<rollup_metrics> daily_fields[] = {
    {"total_events", [](auto &m) { return stored(m.events); }},
    {"events_by_type", [](auto &m) { return stored_json(m.events_by_type); }},
    {"active_users", [](auto &m) { return stored(m.users); }},
    {"total_sessions", [](auto &m) { return stored(m.sessions); }},
    {"avg_session_duration_seconds", [](auto &m) { return stored(m.average_session, 2); }},
    {"bounce_rate", [](auto &m) { return stored(m.bounce_rate, 2); }},
    {"total_runs", [](auto &m) { return stored(m.runs.total); }},
    {"successful_runs", [](auto &m) { return stored(m.runs.successful); }},
    {"failed_runs", [](auto &m) { return stored(m.runs.failed); }},
    {"cancelled_runs", [](auto &m) { return stored(m.runs.cancelled); }},
    {"avg_runtime_seconds", [](auto &m) { return stored(m.runtime.average, 2); }},
    {"median_runtime_seconds", [](auto &m) { return stored(m.runtime.p50, 2); }},
    {"p95_runtime_seconds", [](auto &m) { return stored(m.runtime.p95, 2); }},
    {"p99_runtime_seconds", [](auto &m) { return stored(m.runtime.p99, 2); }},
    {"runtime_sketch", [](auto &m) { return stored_bytes(m.runtime_sketch); }},
    {"total_credits_consumed", [](auto &m) { return stored_sum(m.credits, 9); }},
    {"avg_credits_per_run", [](auto &m) { return stored(m.average_credits, 2); }},
    {"credits_by_model", [](auto &m) { return stored_json(m.credits_by_model); }},
    {"total_cost", [](auto &m) { return stored(m.cost, 4); }},
    {"cost_by_model", [](auto &m) { return stored_json(m.cost_by_model); }},
    {"currency", [](auto &m) { return stored_currency(m.currency); }},
    {"cost_reason", [](auto &m) { return stored_reason(m.cost_reason); }},
    {"total_tokens_used", [](auto &m) { return stored_sum(m.tokens, 0); }},
    {"tokens_by_model", [](auto &m) { return stored_json(m.tokens_by_model); }},
    {"unique_agents_run", [](auto &m) { return stored(m.agents_run); }},
    {"top_agents", [](auto &m) { return stored_json(m.top_agents); }},
    {"total_errors", [](auto &m) { return stored(m.errors); }},
    {"error_rate", [](auto &m) { return stored(m.error_rate, 2); }},
    {"errors_by_type", [](auto &m) { return stored_json(m.errors_by_type); }},
    {"ignored_values", [](auto &m) { return stored_json(m.ignored_values); }},
};

constexpr field<rollup_metrics> hourly_fields[] = {
    {"active_users", [](auto &m) { return stored(m.users); }},
    {"total_runs", [](auto &m) { return stored(m.runs.total); }},
    {"successful_runs", [](auto &m) { return stored(m.runs.successful); }},
    {"failed_runs", [](auto &m) { return stored(m.runs.failed); }},
    {"total_credits", [](auto &m) { return stored_sum(m.credits, 9); }},
    {"avg_response_time_ms", [](auto &m) { return stored(m.average_response); }},
    {"p95_response_time_ms", [](auto &m) { return stored(m.p95_response); }},
};

// `users` holds places in the workspace's users until these have their numbers.
constexpr field<agent_metrics> agent_fields[] = {
    {"agent_id", [](auto &a) { return stored(pg::uuid_datum(a.agent)); }},
    {"total_runs", [](auto &a) { return stored(a.runs.total); }},
    {"successful_runs", [](auto &a) { return stored(a.runs.successful); }},
    {"failed_runs", [](auto &a) { return stored(a.runs.failed); }},
    {"cancelled_runs", [](auto &a) { return stored(a.runs.cancelled); }},
    {"avg_runtime_seconds", [](auto &a) { return stored(a.runtime.average, 2); }},
    {"min_runtime_seconds", [](auto &a) { return stored(a.runtime.minimum, 2); }},
    {"max_runtime_seconds", [](auto &a) { return stored(a.runtime.maximum, 2); }},
    {"p50_runtime_seconds", [](auto &a) { return stored(a.runtime.p50, 2); }},
    {"p75_runtime_seconds", [](auto &a) { return stored(a.runtime.p75, 2); }},
    {"p95_runtime_seconds", [](auto &a) { return stored(a.runtime.p95, 2); }},
    {"p99_runtime_seconds", [](auto &a) { return stored(a.runtime.p99, 2); }},
    {"runtime_sketch", [](auto &a) { return stored_bytes(a.runtime_sketch); }},
    {"total_credits", [](auto &a) { return stored_sum(a.credits, 9); }},
    {"avg_credits_per_run", [](auto &a) { return stored(a.average_credits, 2); }},
    {"total_cost", [](auto &a) { return stored(a.cost, 4); }},
    {"currency", [](auto &a) { return stored_currency(a.currency); }},
    {"cost_reason", [](auto &a) { return stored_reason(a.cost_reason); }},
    {"total_tokens_used", [](auto &a) { return stored_sum(a.tokens, 0); }},
    {"avg_tokens_per_run",
     [](auto &a) {
         return NullableDatum{Int64GetDatum(static_cast<std::int64_t>(a.average_tokens.value)),
                              a.average_tokens.is_null};
     }},
    {"unique_users", [](auto &a) { return stored(a.unique_users); }},
    {"users", [](auto &a) { return stored_bytes(a.user_positions); }},
    {"avg_user_rating", [](auto &a) { return stored(a.average_rating, 2); }},
    {"total_feedback_count", [](auto &a) { return stored(a.feedbacks); }},
    {"error_types", [](auto &a) { return stored_json(a.error_types); }},
    {"common_failure_reasons", [](auto &a) { return stored_json(a.failure_reasons); }},
};

Datum *new_elements(std::size_t n)
{
    return static_cast<Datum *>(palloc_extended((n + 1) * sizeof(Datum), MCXT_ALLOC_HUGE));
}

// An array of one element per item: element(item).
template <typename Item, typename Element>
Datum array_of(span<Item> items, Oid type, Element element)
{
    Datum *const elements = new_elements(items.size);
    for (std::size_t i = 0; i < items.size; ++i) {
        CHECK_FOR_INTERRUPTS();
        elements[i] = element(items[i]);
    }
    return pg::make_array({elements, nullptr, static_cast<int>(items.size)}, type);
}

// The names of one event type; `users` as of an agent.
struct usage_of_type {
    span<event_count> names;
    Oid user_set;
};
constexpr field<usage_of_type> event_usage_fields[] = {
    {"event_type", [](auto &u) { return stored_text(name_of(u.names[0].type)); }},
    {"event_names",
     [](auto &u) {
         return stored(array_of(u.names, TEXTOID, [](auto &n) { return pg::text_datum(n.name); }));
     }},
    {"events",
     [](auto &u) {
         return stored(array_of(u.names, INT8OID, [](auto &n) { return Int64GetDatum(n.events); }));
     }},
    {"users",
     [](auto &u) {
         return stored(
             array_of(u.names, u.user_set, [](auto &n) { return pg::bytes_datum(n.user_positions); }));
     }},
};

constexpr field<error_count> error_count_fields[] = {
    {"event_name", [](auto &e) { return stored_text(e.name); }},
    {"errors", [](auto &e) { return stored(e.errors); }},
    {"message_hashes", [](auto &e) { return stored(pg::bigint_array_datum(e.message_hashes)); }},
    {"sample_messages", [](auto &e) { return stored(pg::text_array_datum(e.samples)); }},
};

template <typename Item, std::size_t n>
Datum form(const row_type &type, const field<Item> (&fields)[n], const Item &item)
{
    int const width = type.description->natts;
    auto *const values = static_cast<Datum *>(palloc0(static_cast<Size>(width) * sizeof(Datum)));
    auto *const nulls = static_cast<bool *>(palloc(static_cast<Size>(width)));
    memset(nulls, true, static_cast<Size>(width));
    for (std::size_t i = 0; i < n; ++i) {
        NullableDatum const value = fields[i].value(item);
        values[type.places[i]] = value.value;
        nulls[type.places[i]] = value.isnull;
    }
    return HeapTupleGetDatum(heap_form_tuple(type.description, values, nulls));
}

// The errors of one type.
struct errors_of_type {
    span<error_count> names;
    const row_type *one;
};
constexpr field<errors_of_type> error_type_fields[] = {
    {"error_type", [](auto &e) { return stored_text(e.names[0].type); }},
    {"errors",
     [](auto &e) {
         return stored(
             array_of(e.names, e.one->type, [&](auto &n) { return form(*e.one, error_count_fields, n); }));
     }},
};

template <typename Item, std::size_t n>
constexpr std::array<const char *, n> names_of(const field<Item> (&fields)[n])
{
    std::array<const char *, n> names{};
    for (std::size_t i = 0; i < n; ++i)
        names[i] = fields[i].column;
    return names;
}
constexpr auto daily_names = names_of(daily_fields);
constexpr auto hourly_names = names_of(hourly_fields);
constexpr auto agent_names = names_of(agent_fields);
constexpr auto event_usage_names = names_of(event_usage_fields);
constexpr auto error_type_names = names_of(error_type_fields);
constexpr auto error_count_names = names_of(error_count_fields);

template <std::size_t n>
constexpr column_names view_of(const std::array<const char *, n> &names)
{
    return {names.data(), static_cast<int>(n)};
}

// The row type of a table or another composite type.
row_type find_row_type(const char *name, const column_names &columns)
{
    Oid const type = pg::type_named(name);
    TupleDesc const shared = lookup_rowtype_tupdesc(type, -1);
    TupleDesc const description = BlessTupleDesc(CreateTupleDescCopy(shared));
    ReleaseTupleDesc(shared);
    auto *const places = static_cast<int *>(palloc(static_cast<Size>(columns.count) * sizeof(int)));
    for (int i = 0; i < columns.count; ++i) {
        int const number = SPI_fnumber(description, columns.names[i]);
        if (number <= 0)
            elog(ERROR, "%s has no column \"%s\"", name, columns.names[i]);
        places[i] = number - 1;
    }
    return {type, description, places};
}

constexpr column daily_summary_columns[] = {
    {"workspace_id", "uuid"},
    {"is_final", "boolean"},
    {"metrics", "analytics.daily_metrics"},
    {"agents", "analytics.agent_performance[]"},
    {"event_usage", "analytics.daily_event_usage[]"},
    {"error_types", "analytics.daily_error_types[]"},
    {"user_ids", "uuid[]"}, // ascending; the other arrays are about these users
    {"first_events", "timestamp with time zone[]"},
    {"last_events", "timestamp with time zone[]"},
    {"revenue_places", "integer[]"}, // from 1, of the users with a revenue
    {"revenues", "numeric[]"},
    {"named_agents", "uuid[]"}, // those that events name by text
    {"agent_names", "text[]"},
};
constexpr column hourly_summary_columns[] = {
    {"workspace_id", "uuid"}, {"is_final", "boolean"}, {"metrics", "analytics.hourly_metrics"}};
static_assert(lengthof(daily_summary_columns) <= most_summary_columns);

// An array of elements of fixed width without NULLs: write(element, i) fills them in.
template <typename Write>
Datum fixed_array_datum(std::size_t n, std::size_t width, Oid type, Write write)
{
    if (n == 0)
        return PointerGetDatum(construct_empty_array(type));
    ArrayType *const array = pg::new_fixed_array(n, width, type);
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
void form_users(span<user_activity> users, Datum *values)
{
    values[0] = fixed_array_datum(users.size, UUID_LEN, UUIDOID, [&](char *out, std::size_t i) {
        users[i].user.to_bytes(reinterpret_cast<unsigned char *>(out));
    });
    values[1] = times_datum(users, &user_activity::first);
    values[2] = times_datum(users, &user_activity::last);
    Datum *const places = new_elements(users.size);
    Datum *const revenues = new_elements(users.size);
    int n = 0;
    for (std::size_t i = 0; i < users.size; ++i) {
        if (users[i].revenue == 0)
            continue;
        places[n] = Int32GetDatum(static_cast<int>(i + 1));
        revenues[n++] = pg::trimmed_numeric_datum(users[i].revenue, 9);
    }
    values[3] = PointerGetDatum(construct_array(places, n, INT4OID, 4, true, TYPALIGN_INT));
    values[4] = PointerGetDatum(construct_array(revenues, n, NUMERICOID, -1, false, TYPALIGN_INT));
}

void form_agent_names(span<agent_metrics> agents, Datum *values)
{
    Datum *const ids = new_elements(agents.size);
    Datum *const names = new_elements(agents.size);
    int n = 0;
    for (std::size_t i = 0; i < agents.size; ++i) {
        if (agents[i].name.empty())
            continue;
        ids[n] = pg::uuid_datum(agents[i].agent);
        names[n++] = pg::text_datum(agents[i].name);
    }
    values[0] = pg::make_array({ids, nullptr, n}, UUIDOID);
    values[1] = pg::make_array({names, nullptr, n}, TEXTOID);
}

// One row for each run of items that are of one kind, as they are in the order of their kinds: row(items).
template <typename Item, typename IsSame, typename Row>
Datum rows_of_groups(span<Item> items, Oid type, IsSame is_same, Row row)
{
    Datum *const rows = new_elements(items.size);
    int n = 0;
    for (std::size_t first = 0, last = 0; first < items.size; first = last) {
        CHECK_FOR_INTERRUPTS();
        while (last < items.size && is_same(items[last], items[first]))
            ++last;
        rows[n++] = row(span<Item>{&items[first], last - first});
    }
    return pg::make_array({rows, nullptr, n}, type);
}

Datum event_usage_datum(const row_types &types, span<event_count> counts)
{
    return rows_of_groups(
        counts, types.event_usage.type, [](auto &a, auto &b) { return a.type == b.type; },
        [&](span<event_count> names) {
            return form(types.event_usage, event_usage_fields, {names, types.user_set});
        });
}

Datum error_types_datum(const row_types &types, span<error_count> errors)
{
    return rows_of_groups(
        errors, types.error_type.type, [](auto &a, auto &b) { return a.type == b.type; },
        [&](span<error_count> names) {
            return form(types.error_type, error_type_fields, {names, &types.error_count});
        });
}

} // namespace

namespace shadow::entry
{

const column_names daily_columns = view_of(daily_names), hourly_columns = view_of(hourly_names),
                   agent_columns = view_of(agent_names), event_usage_columns = view_of(event_usage_names),
                   error_type_columns = view_of(error_type_names);

const temporary_relation daily_summary = {"summary", daily_summary_columns, lengthof(daily_summary_columns)};
const temporary_relation hourly_summary = {"summary", hourly_summary_columns,
                                           lengthof(hourly_summary_columns)};

row_types *find_row_types(bool is_day)
{
    auto *const types = static_cast<row_types *>(palloc0(sizeof(row_types)));
    types->is_day = is_day;
    types->metrics = is_day ? find_row_type("analytics.daily_metrics", daily_columns)
                            : find_row_type("analytics.hourly_metrics", hourly_columns);
    if (!is_day)
        return types;
    types->agent = find_row_type("analytics.agent_performance", agent_columns);
    types->event_usage = find_row_type("analytics.daily_event_usage", event_usage_columns);
    types->error_type = find_row_type("analytics.daily_error_types", error_type_columns);
    types->error_count = find_row_type("analytics.error_count", view_of(error_count_names));
    types->user_set = pg::type_named("analytics.user_set");
    return types;
}

void form_summary(const row_types &types, const uuid &workspace, bool is_final, const rollup_metrics &metrics,
                  Datum *values)
{
    values[0] = pg::uuid_datum(workspace);
    values[1] = BoolGetDatum(is_final);
    if (!types.is_day) {
        values[2] = form(types.metrics, hourly_fields, metrics);
        return;
    }
    values[2] = form(types.metrics, daily_fields, metrics);
    values[3] = array_of(metrics.agents, types.agent.type,
                         [&](auto &agent) { return form(types.agent, agent_fields, agent); });
    values[4] = event_usage_datum(types, metrics.event_counts);
    values[5] = error_types_datum(types, metrics.error_counts);
    form_users(metrics.user_list, &values[6]);
    form_agent_names(metrics.agents, &values[11]);
}

} // namespace shadow::entry
