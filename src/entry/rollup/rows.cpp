#include <algorithm>

#include "core/sets/user_set.hpp"

#include "entry/rollup/rows.hpp"

#include "pg/array.hpp"
#include "pg/memory.hpp"
#include "pg/spi.hpp"
#include "pg/tuple.hpp"

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
NullableDatum stored(const uuid &id)
{
    return stored(pg::uuid_datum(id));
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

// What all rows of a workspace have in common.
struct row_head {
    uuid workspace;
    Datum key; // date or hour
    Datum now;
    bool is_final;
};
constexpr field<row_head> day_fields[] = {
    {"workspace_id", [](auto &h) { return stored(h.workspace); }},
    {"metric_date", [](auto &h) { return stored(h.key); }},
    {"created_at", [](auto &h) { return stored(h.now); }},
    {"updated_at", [](auto &h) { return stored(h.now); }},
};
constexpr field<row_head> hour_fields[] = {
    {"workspace_id", [](auto &h) { return stored(h.workspace); }},
    {"metric_hour", [](auto &h) { return stored(h.key); }},
    {"created_at", [](auto &h) { return stored(h.now); }},
    {"updated_at", [](auto &h) { return stored(h.now); }},
};
constexpr field<row_head> final_fields[] = {
    {"is_final", [](auto &h) { return stored(BoolGetDatum(h.is_final)); }},
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

constexpr field<agent_metrics> agent_fields[] = {
    {"agent_id", [](auto &a) { return stored(a.agent); }},
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

// The names of one event type.
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

// Fills in a row, field table by field table, in the order in which find_row_type() saw them.
class row_filler
{
public:
    explicit row_filler(const row_type &row) : row_(row) {}

    template <typename Item, std::size_t n>
    row_filler &add(const field<Item> (&fields)[n], const Item &item)
    {
        for (field<Item> const &f : fields) {
            NullableDatum const value = f.value(item);
            int const place = row_.places[at_++];
            row_.values[place] = value.value;
            row_.nulls[place] = value.isnull;
        }
        return *this;
    }

private:
    const row_type &row_;
    int at_ = 0;
};

// The errors of one type.
struct errors_of_type {
    span<error_count> names;
    const row_type *one;
};
constexpr field<errors_of_type> error_type_fields[] = {
    {"error_type", [](auto &e) { return stored_text(e.names[0].type); }},
    {"errors",
     [](auto &e) {
         return stored(array_of(e.names, e.one->type, [&](auto &n) {
             row_filler(*e.one).add(error_count_fields, n);
             return HeapTupleGetDatum(heap_form_tuple(e.one->description, e.one->values, e.one->nulls));
         }));
     }},
};

// The users of a day: who they are and how many.
struct day_users {
    std::int64_t active, joined, earlier;
    std::string_view all, joining; // stored sets of numbers
};
constexpr field<day_users> user_count_fields[] = {
    {"new_users", [](auto &u) { return stored(u.joined); }},
    {"returning_users", [](auto &u) { return stored(u.active - u.joined); }},
    {"total_users", [](auto &u) { return stored(u.earlier + u.joined); }},
};
constexpr field<day_users> user_set_fields[] = {
    {"users", [](auto &u) { return stored_bytes(u.all); }},
    {"new_users", [](auto &u) { return stored_bytes(u.joining); }},
};

struct user_revenue {
    std::int64_t number;
    int128 revenue; // 10^-9
};
constexpr field<user_revenue> revenue_fields[] = {
    {"user_number", [](auto &u) { return stored(u.number); }},
    {"revenue", [](auto &u) { return stored_sum(u.revenue, 9); }},
};

struct user_of_workspace {
    uuid workspace;
    const user_record *user;
};
constexpr field<user_of_workspace> user_fields[] = {
    {"workspace_id", [](auto &u) { return stored(u.workspace); }},
    {"user_id", [](auto &u) { return stored(u.user->user); }},
    {"user_number", [](auto &u) { return stored(u.user->number); }},
    {"first_date", [](auto &u) { return stored(DateADTGetDatum(u.user->first_date)); }},
    {"last_date", [](auto &u) { return stored(DateADTGetDatum(u.user->last_date)); }},
    {"first_seen", [](auto &u) { return stored(TimestampTzGetDatum(u.user->first_seen)); }},
    {"last_seen", [](auto &u) { return stored(TimestampTzGetDatum(u.user->last_seen)); }},
    {"is_forgotten", [](auto &u) { return stored(BoolGetDatum(u.user->is_forgotten)); }},
};

struct named_agent {
    uuid workspace, agent;
    std::string_view name;
    TimestampTz since;
};
constexpr field<named_agent> named_agent_fields[] = {
    {"workspace_id", [](auto &a) { return stored(a.workspace); }},
    {"agent_id", [](auto &a) { return stored(a.agent); }},
    {"name", [](auto &a) { return stored_text(a.name); }},
    {"first_seen", [](auto &a) { return stored(TimestampTzGetDatum(a.since)); }},
};

struct new_from {
    uuid workspace;
    DateADT day;
    std::string_view users; // a stored set of numbers
};
constexpr field<new_from> newcomer_fields[] = {
    {"workspace_id", [](auto &n) { return stored(n.workspace); }},
    {"metric_date", [](auto &n) { return stored(DateADTGetDatum(n.day)); }},
    {"users", [](auto &n) { return stored_bytes(n.users); }},
};

struct counted_events {
    uuid workspace;
    std::int64_t events;
};
constexpr field<counted_events> counted_fields[] = {
    {"workspace_id", [](auto &c) { return stored(c.workspace); }},
    {"events", [](auto &c) { return stored(c.events); }},
};

// ---- row types ----------------------------------------------------------------------------------------------

template <typename Item, std::size_t n>
void add_places(row_type &row, const char *name, const field<Item> (&fields)[n])
{
    if (row.count + n > lengthof(row.places))
        elog(ERROR, "%s has too many columns", name);
    for (field<Item> const &f : fields)
        row.places[row.count++] = pg::column_number(row.description, name, f.column) - 1;
}

// The row type of a table or another composite type. The columns without a field stay NULL.
template <typename... Fields>
row_type find_row_type(const char *name, const Fields &...fields)
{
    row_type row;
    memset(&row, 0, sizeof row);
    row.type = pg::type_named(name);
    TupleDesc const shared = lookup_rowtype_tupdesc(row.type, -1);
    row.description = BlessTupleDesc(CreateTupleDescCopyConstr(shared));
    ReleaseTupleDesc(shared);
    auto const width = static_cast<Size>(row.description->natts);
    row.values = static_cast<Datum *>(palloc0(width * sizeof(Datum)));
    row.nulls = static_cast<bool *>(palloc(width));
    memset(row.nulls, true, width);
    (add_places(row, name, fields), ...);
    return row;
}

// ---- rows ---------------------------------------------------------------------------------------------------

// Forms the rows of one workspace. Their values live for a row or a few more.
class row_former
{
public:
    row_former(const row_types &types, const row_head &head, row_receiver &to)
        : types_(types), head_(head), to_(to), rows_(0)
    {
    }

    row_filler begin(rollup_table table)
    {
        CHECK_FOR_INTERRUPTS();
        return row_filler(types_.tables[static_cast<int>(table)]);
    }
    void end(rollup_table table, ItemPointer place = nullptr)
    {
        to_.take(to_, table, types_.tables[static_cast<int>(table)], place);
        if (++rows_ % rows_between_resets == 0)
            MemoryContextReset(types_.row_context);
    }

    // In the memory context of rows, to which the caller has switched.
    void form_hour(const rollup_metrics &metrics);
    void form_day(const rollup_metrics &metrics, const day_users &users);
    void form_agents(span<agent_metrics> agents, TimestampTz since);
    void form_event_usage(span<event_count> counts);
    void form_error_types(span<error_count> errors);
    void form_revenues(span<user_activity> list, span<user_record> users);
    void form_users(span<user_record> users);

private:
    static constexpr std::uint32_t rows_between_resets = 64;

    const row_types &types_;
    const row_head &head_;
    row_receiver &to_;
    std::uint32_t rows_;
};

void row_former::form_hour(const rollup_metrics &metrics)
{
    begin(rollup_table::hourly_metrics)
        .add(hour_fields, head_)
        .add(final_fields, head_)
        .add(hourly_fields, metrics);
    end(rollup_table::hourly_metrics);
}

void row_former::form_day(const rollup_metrics &metrics, const day_users &users)
{
    begin(rollup_table::daily_metrics)
        .add(day_fields, head_)
        .add(final_fields, head_)
        .add(daily_fields, metrics)
        .add(user_count_fields, users);
    end(rollup_table::daily_metrics);
    begin(rollup_table::daily_users)
        .add(day_fields, head_)
        .add(final_fields, head_)
        .add(user_set_fields, users);
    end(rollup_table::daily_users);
}

void row_former::form_agents(span<agent_metrics> agents, TimestampTz since)
{
    for (agent_metrics const &agent : agents) {
        begin(rollup_table::agent_performance)
            .add(day_fields, head_)
            .add(final_fields, head_)
            .add(agent_fields, agent);
        end(rollup_table::agent_performance);
        if (agent.name.empty())
            continue;
        begin(rollup_table::agents)
            .add(named_agent_fields, {head_.workspace, agent.agent, agent.name, since});
        end(rollup_table::agents);
    }
}

// visit(items) for each run of items that are of one type, as they are in the order of their types.
template <typename Item, typename Visit>
void for_each_type(span<Item> items, Visit visit)
{
    for (std::size_t first = 0, last = 0; first < items.size; first = last) {
        while (last < items.size && items[last].type == items[first].type)
            ++last;
        visit(span<Item>{&items[first], last - first});
    }
}

void row_former::form_event_usage(span<event_count> counts)
{
    for_each_type(counts, [this](span<event_count> names) {
        begin(rollup_table::daily_event_usage)
            .add(day_fields, head_)
            .add(event_usage_fields, {names, types_.user_set});
        end(rollup_table::daily_event_usage);
    });
}

void row_former::form_error_types(span<error_count> errors)
{
    for_each_type(errors, [this](span<error_count> names) {
        begin(rollup_table::daily_error_types)
            .add(day_fields, head_)
            .add(error_type_fields, {names, &types_.error_count});
        end(rollup_table::daily_error_types);
    });
}

void row_former::form_revenues(span<user_activity> list, span<user_record> users)
{
    for (std::size_t i = 0; i < list.size; ++i) {
        if (list[i].revenue == 0)
            continue;
        begin(rollup_table::daily_user_revenue)
            .add(day_fields, head_)
            .add(revenue_fields, {users[i].number, list[i].revenue});
        end(rollup_table::daily_user_revenue);
    }
}

void row_former::form_users(span<user_record> users)
{
    for (user_record &user : users) {
        if (user.is_known && !user.is_changed)
            continue;
        begin(rollup_table::users).add(user_fields, {head_.workspace, &user});
        end(rollup_table::users, user.is_known ? &user.place : nullptr);
    }
}

// ---- sets of users ------------------------------------------------------------------------------------------

using number_list = std::pmr::vector<std::uint32_t>;

// The stored form; in `memory`.
std::string_view make_set(number_list &numbers, std::pmr::memory_resource &memory)
{
    std::sort(numbers.begin(), numbers.end());
    roaring::writer set(&memory);
    write_sorted_values(numbers.data(), numbers.size(), set, pg::interrupted);
    std::size_t const size = stored_size(set);
    auto *const bytes = static_cast<std::uint8_t *>(memory.allocate(size, 1));
    write_stored(set, bytes);
    return {reinterpret_cast<const char *>(bytes), size};
}

// The numbers of the users that `choose` chooses.
template <typename User, typename Choose>
std::string_view set_of_users(span<User> users, Choose choose)
{
    pg::palloc_resource memory(CurrentMemoryContext);
    number_list numbers(&memory);
    for (User const &user : users)
        if (choose(user))
            numbers.push_back(user_set_element(user.number));
    return make_set(numbers, memory);
}

// A stored set of positions as one of numbers.
std::string_view number_set(std::string_view positions, span<user_record> users)
{
    pg::palloc_resource memory(CurrentMemoryContext);
    user_set_view const view =
        user_set_view::stored(reinterpret_cast<const std::uint8_t *>(positions.data()), positions.size());
    number_list numbers(&memory);
    numbers.reserve(view.cardinality());
    view.for_each(
        [&](std::uint32_t position) { numbers.push_back(user_set_element(users[position].number)); });
    return make_set(numbers, memory);
}

// In a workspace's first day they are the positions.
void number_sets(rollup_metrics &metrics, span<user_record> users)
{
    std::size_t i = 0;
    while (i < users.size && users[i].number == static_cast<std::int64_t>(i))
        ++i;
    if (i == users.size)
        return;
    for (agent_metrics &agent : metrics.agents)
        agent.user_positions = number_set(agent.user_positions, users);
    for (event_count &count : metrics.event_counts)
        count.user_positions = number_set(count.user_positions, users);
}

bool is_new_on(const user_record &user, DateADT day)
{
    return !user.is_known || user.known_first >= day;
}

struct moved_user {
    DateADT from;
    std::int64_t number;
};

// Those whose first day was later until now, by that day.
span<moved_user> moved_users(DateADT day, span<user_record> users)
{
    span<moved_user> moved = {nullptr, 0};
    for (user_record const &user : users) {
        if (!user.is_known || user.known_first <= day)
            continue;
        if (moved.data == nullptr)
            moved.data =
                static_cast<moved_user *>(palloc_extended(users.size * sizeof(moved_user), MCXT_ALLOC_HUGE));
        moved.data[moved.size++] = {user.known_first, user.number};
    }
    std::sort(moved.begin(), moved.end(),
              [](const moved_user &a, const moved_user &b) { return a.from < b.from; });
    return moved;
}

// A row for each of those days, and one for the day itself if it has users who were in none before.
void form_newcomers(row_former &rows, const row_head &head, span<user_record> users, span<moved_user> moved)
{
    auto const form = [&](DateADT day, span<moved_user> group) {
        std::string_view const set = set_of_users(group, [](auto &) { return true; });
        rows.begin(rollup_table::newcomers).add(newcomer_fields, {head.workspace, day, set});
        rows.end(rollup_table::newcomers);
    };
    if (std::any_of(users.begin(), users.end(), [](auto &user) { return !user.is_known; }))
        form(DatumGetDateADT(head.key), {nullptr, 0});
    for (std::size_t first = 0, last = 0; first < moved.size; first = last) {
        while (last < moved.size && moved[last].from == moved[first].from)
            ++last;
        form(moved[first].from, {&moved[first], last - first});
    }
}

void form_all_of_day(row_former &rows, const row_types &types, const row_head &head, TimestampTz since,
                     const rollup_metrics &metrics, const user_records &users)
{
    DateADT const day = DatumGetDateADT(head.key);
    auto const joins = [day](auto &user) { return is_new_on(user, day); };
    day_users const counts = {metrics.users, std::count_if(users.users.begin(), users.users.end(), joins),
                              users.earlier, set_of_users(users.users, [](auto &) { return true; }),
                              set_of_users(users.users, joins)};
    span<moved_user> const moved = moved_users(day, users.users);
    MemoryContextSwitchTo(types.row_context);
    rows.form_day(metrics, counts);
    rows.form_agents(metrics.agents, since);
    rows.form_event_usage(metrics.event_counts);
    rows.form_error_types(metrics.error_counts);
    rows.form_revenues(metrics.user_list, users.users);
    rows.form_users(users.users);
    form_newcomers(rows, head, users.users, moved);
}

} // namespace

namespace shadow::entry
{

row_types *find_row_types(bool is_day)
{
    auto *const types = static_cast<row_types *>(palloc0(sizeof(row_types)));
    auto const set = [types](rollup_table table, const char *name, const auto &...fields) {
        types->tables[static_cast<int>(table)] = find_row_type(name, fields...);
    };
    types->row_context = AllocSetContextCreate(CurrentMemoryContext, "rollup rows", ALLOCSET_DEFAULT_SIZES);
    if (!is_day) {
        set(rollup_table::hourly_metrics, "analytics.hourly_metrics", hour_fields, final_fields,
            hourly_fields);
        return types;
    }
    set(rollup_table::daily_metrics, "analytics.daily_metrics", day_fields, final_fields, daily_fields,
        user_count_fields);
    set(rollup_table::agent_performance, "analytics.agent_performance", day_fields, final_fields,
        agent_fields);
    set(rollup_table::daily_event_usage, "analytics.daily_event_usage", day_fields, event_usage_fields);
    set(rollup_table::daily_error_types, "analytics.daily_error_types", day_fields, error_type_fields);
    set(rollup_table::daily_users, "analytics.daily_users", day_fields, final_fields, user_set_fields);
    set(rollup_table::daily_user_revenue, "analytics.daily_user_revenue", day_fields, revenue_fields);
    set(rollup_table::users, "analytics.users", user_fields);
    set(rollup_table::agents, "analytics.agents", named_agent_fields);
    set(rollup_table::newcomers, "analytics.daily_users", newcomer_fields);
    set(rollup_table::counted, "analytics.closed_days", counted_fields);
    types->error_count = find_row_type("analytics.error_count", error_count_fields);
    types->user_set = pg::type_named("analytics.user_set");
    return types;
}

void form_rows(row_types &types, const bucket &b, const uuid &workspace, bool is_final,
               rollup_metrics &metrics, const user_records &users, row_receiver &to)
{
    row_head const head = {workspace, b.key, TimestampTzGetDatum(b.now), is_final};
    row_former rows(types, head, to);
    MemoryContext const old = CurrentMemoryContext;
    if (b.is_day) {
        number_sets(metrics, users.users);
        form_all_of_day(rows, types, head, b.first, metrics, users);
    } else {
        MemoryContextSwitchTo(types.row_context);
        rows.form_hour(metrics);
    }
    MemoryContextSwitchTo(old);
    MemoryContextReset(types.row_context);
}

void form_count(row_types &types, const uuid &workspace, std::int64_t events, row_receiver &to)
{
    MemoryContext const old = MemoryContextSwitchTo(types.row_context);
    row_type const &row = types.tables[static_cast<int>(rollup_table::counted)];
    row_filler(row).add(counted_fields, {workspace, events});
    to.take(to, rollup_table::counted, row, nullptr);
    MemoryContextSwitchTo(old);
    MemoryContextReset(types.row_context);
}

} // namespace shadow::entry
