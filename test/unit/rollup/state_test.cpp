// The state of a workspace: independent of the order of its events, and of how they are split and merged.

#include "core/base/decimal.hpp"
#include "core/base/error.hpp"
#include "core/rollup/batch.hpp"
#include "core/rollup/metrics.hpp"

#include "../../fuzz/text_numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

using namespace shadow;

namespace
{

std::size_t clip(const char *, std::size_t length, int characters)
{
    return std::min(length, static_cast<std::size_t>(characters));
}

const text_numbers host;

struct test_event {
    raw_event event{};
    std::string name;
    std::vector<std::pair<metadata_key, std::pair<json_type, std::string>>> values;

    void set(metadata_key key, json_type type, std::string text)
    {
        values.push_back({key, {type, std::move(text)}});
    }
    void text(metadata_key key, std::string value) { set(key, json_type::string, std::move(value)); }
    void number(metadata_key key, std::string value) { set(key, json_type::number, std::move(value)); }
};

rollup_rules rules()
{
    return {{pack_currency("USD"), {}, clip}, std::int64_t{30} * 60 * 1'000'000, false};
}

struct workspace {
    std::pmr::monotonic_buffer_resource memory;
    interner interned{&memory};
    rollup_state state{&memory, &interned};
    rollup_rules const held = rules();
    event_batch batch{&memory, held, nullptr};
    std::uint32_t queue = batch.open(&state);

    void add(const test_event &e)
    {
        metadata values(host);
        for (auto const &[key, value] : e.values)
            values.set(key, {value.first, value.second == "true", nullptr, value.second});
        raw_event event = e.event;
        event.name = e.name;
        decoded_event decoded;
        decode(rules(), interned, event, values, decoded);
        batch.add(queue, decoded);
    }
    void flush() { batch.flush(queue); }
};

template <typename T>
std::string shown(const nullable<T> &value)
{
    return value.is_null ? "null" : std::to_string(static_cast<long double>(value.value));
}

std::string shown(const run_counts &r)
{
    std::ostringstream out;
    out << r.total << '/' << r.successful << '/' << r.failed << '/' << r.cancelled;
    return out.str();
}

std::string shown(const runtime_metrics &r)
{
    return shown(r.average) + ' ' + shown(r.minimum) + ' ' + shown(r.maximum) + ' ' + shown(r.p50) + ' ' +
           shown(r.p75) + ' ' + shown(r.p95) + ' ' + shown(r.p99);
}

std::string shown(int128 value)
{
    char buffer[64];
    return std::string(format_scaled(value, 9, buffer));
}

// JSON maps come in the order in which keys were met: sorted by their characters they compare as sets do.
std::string sorted(std::string_view json)
{
    std::vector<std::string> entries;
    std::string entry;
    for (char const c : json.substr(1, json.size() - 2)) {
        if (c == ',') {
            entries.push_back(entry);
            entry.clear();
        } else {
            entry.push_back(c);
        }
    }
    entries.push_back(entry);
    std::sort(entries.begin(), entries.end());
    std::string all;
    for (auto const &e : entries)
        all += e + ",";
    return all;
}

std::string report_of(workspace &w)
{
    w.flush();
    std::pmr::monotonic_buffer_resource memory;
    rollup_metrics const n = compute_metrics({1, 1}, w.state, rules(), true, &memory, nullptr);
    std::ostringstream out;
    out << n.events << ' ' << sorted(n.events_by_type) << n.users << ' ' << n.sessions << ' '
        << shown(n.average_session) << ' ' << shown(n.bounce_rate) << '\n'
        << shown(n.runs) << ' ' << shown(n.runtime) << '\n'
        << shown(n.credits) << ' ' << shown(n.average_credits) << ' ' << sorted(n.credits_by_model) << ' '
        << shown(n.cost) << ' ' << n.currency << n.cost_reason << sorted(n.tokens_by_model) << '\n'
        << n.agents_run << ' ' << n.top_agents << '\n'
        << n.errors << ' ' << shown(n.error_rate) << ' ' << sorted(n.errors_by_type)
        << sorted(n.ignored_values) << shown(n.average_response) << ' ' << shown(n.p95_response) << '\n';
    for (agent_metrics const &a : n.agents) {
        char id[37];
        out << format_uuid(a.agent, id) << ' ' << shown(a.runs) << ' ' << shown(a.runtime) << ' '
            << shown(a.credits) << ' ' << shown(a.tokens) << ' ' << a.unique_users << ' '
            << shown(a.average_rating) << ' ' << a.feedbacks << ' ' << sorted(a.error_types)
            << a.failure_reasons << '\n';
    }
    for (event_count const &c : n.event_counts)
        out << name_of(c.type) << ' ' << c.name << ' ' << c.events << ' ' << c.users << '\n';
    for (user_activity const &u : n.user_list)
        out << u.user.low << ' ' << u.first << ' ' << u.last << ' ' << shown(u.revenue) << '\n';
    return out.str();
}

// Few users, sessions, runs and agents, so that everything collides with everything.
std::vector<test_event> random_events(unsigned seed, int n)
{
    std::mt19937 random(seed);
    auto const below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    std::vector<test_event> events(static_cast<std::size_t>(n));
    for (auto &e : events) {
        e.event.workspace = {1, 1};
        e.event.user = {7, below(6)};
        e.event.id = {below(1000), random()};
        e.event.at = std::int64_t{below(200)} * 7 * 60 * 1'000'000;
        e.event.has_session = below(2) == 0;
        e.event.session = {9, below(4)};
        e.event.type = static_cast<event_type>(below(event_type_count));
        if (below(2) == 0)
            e.event.type = event_type::agent_run;
        e.name = "n" + std::to_string(below(5));
        if (below(3) != 0)
            e.text(metadata_key::agent_id, "00000000-0000-0000-0000-00000000000" + std::to_string(below(4)));
        if (below(4) != 0)
            e.text(metadata_key::run_id, "r" + std::to_string(below(20)));
        static const char *const statuses[] = {"completed", "failed", "cancelled", "running", "nonsense"};
        if (below(5) != 0)
            e.text(metadata_key::status, statuses[below(5)]);
        if (below(2) == 0)
            e.number(metadata_key::runtime_seconds,
                     std::to_string(below(1000)) + "." + std::to_string(below(100)));
        if (below(2) == 0)
            e.number(metadata_key::credits, below(10) == 0 ? "99999999999" : "0.1");
        if (below(2) == 0)
            e.text(metadata_key::model, "m" + std::to_string(below(3)));
        if (below(3) == 0)
            e.text(metadata_key::error_type, "e" + std::to_string(below(3)));
        if (below(3) == 0)
            e.text(metadata_key::failure_reason, "because " + std::to_string(below(3)));
        if (below(5) == 0)
            e.number(metadata_key::rating, std::to_string(1 + below(5)));
        if (below(5) == 0)
            e.number(metadata_key::revenue, std::to_string(static_cast<int>(below(50)) - 10));
        if (below(9) == 0)
            e.number(metadata_key::tokens, "-5");
        if (below(3) == 0)
            e.number(metadata_key::input_tokens, std::to_string(below(900)));
        if (below(4) == 0)
            e.number(metadata_key::attempt, std::to_string(below(4)));
        if (below(9) == 0)
            e.number(metadata_key::cost_usd, std::to_string(below(7)));
    }
    return events;
}

std::string report_in_order(const std::vector<test_event> &events)
{
    workspace w;
    for (auto const &e : events)
        w.add(e);
    return report_of(w);
}

// Counts what is in use.
class counting_resource final : public std::pmr::memory_resource
{
public:
    std::size_t used = 0, peak = 0;

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        used += bytes;
        peak = std::max(peak, used);
        return upstream_.allocate(bytes, alignment);
    }
    void do_deallocate(void *p, std::size_t bytes, std::size_t alignment) override
    {
        used -= bytes;
        upstream_.deallocate(p, bytes, alignment);
    }
    bool do_is_equal(const memory_resource &other) const noexcept override { return this == &other; }

    std::pmr::unsynchronized_pool_resource upstream_; // frees what is left
};

// A day of one workspace: 10,000 users with five sessions each, 60,000 runs, 130 names.
decoded_event busy_event(std::mt19937_64 &random, std::uint32_t names, std::uint32_t number)
{
    decoded_event e{};
    std::uint64_t const user = random() % 10000, session = random() % 5;
    e.user = {user * 0x9E3779B97F4A7C15u, user};
    e.session = {user, (user * 5 + session + 1) * 0x9E3779B97F4A7C15u};
    e.at = INT64_C(800'000'000'000'000) + number * INT64_C(400'000);
    e.name = static_cast<std::uint32_t>(random() % names);
    e.type = number % 3 == 0 ? event_type::agent_run : event_type::page_view;
    e.has_session = true;
    e.has_facts = number % 3 == 0;
    decoded_facts &f = e.facts;
    f.id = {random(), random()};
    f.run = {random(), random()};
    f.credits = static_cast<int128>(random() % 500) * 10'000'000;
    f.runtime = static_cast<std::int64_t>(random() % 100'000) * 1'000'000;
    f.tokens = static_cast<std::int64_t>(random() % 8000);
    f.rating = -1;
    f.agent = static_cast<std::uint32_t>(random() % 20);
    f.model = 0;
    f.error_type = f.reason = f.message = npos;
    f.status = run_status::successful;
    f.has_run = true;
    return e;
}

} // namespace

TEST(RollupState, TakesFewBytesPerUserSessionAndRun)
{
    counting_resource memory;
    interner interned(&memory);
    rollup_state state(&memory, &interned);
    for (std::uint32_t i = 0; i < 130; ++i)
        interned.name_id(event_type::page_view, interned.text_id("name " + std::to_string(i)));
    for (std::uint64_t i = 0; i < 20; ++i)
        interned.agent_id({i, i});
    std::mt19937_64 random(3);
    for (std::uint32_t i = 0; i < 180000; ++i) {
        decoded_event const e = busy_event(random, 130, i);
        state.add(rules(), e, e.has_facts ? &e.facts : nullptr);
    }
    std::size_t const collecting = memory.peak;
    state.finish();
    rollup_metrics const n = compute_metrics({1, 1}, state, rules(), true, &memory, nullptr);
    auto const things = static_cast<double>(n.users + n.sessions + n.runs.total);
    EXPECT_GT(things, 115000);
    EXPECT_LE(static_cast<double>(collecting) / things, 64);
    EXPECT_LE(static_cast<double>(memory.peak) / things, 64);
    state.release();
    EXPECT_LE(static_cast<double>(memory.used) / things, 32); // the numbers
}

TEST(RollupState, OrderDoesNotMatter)
{
    for (unsigned seed = 0; seed < 40; ++seed) {
        std::vector<test_event> events = random_events(seed, 20 + static_cast<int>(seed) * 20);
        std::string const expected = report_in_order(events);
        std::mt19937 random(seed);
        for (int i = 0; i < 5; ++i) {
            std::shuffle(events.begin(), events.end(), random);
            ASSERT_EQ(report_in_order(events), expected) << "seed " << seed;
        }
    }
}

// Events of many workspaces, mixed, of which the first has half: what each says once the batch was flushed, and the most
// bytes that waited.
struct batch_result {
    std::vector<std::string> numbers;
    std::size_t peak;
};
batch_result add_in_batch(std::uint32_t workspaces, std::uint32_t events, std::size_t limit)
{
    std::pmr::monotonic_buffer_resource memory;
    counting_resource room;
    rollup_rules const held = rules();
    interner interned(&memory);
    event_batch batch(&room, held, nullptr);
    batch.limit(limit);
    std::vector<std::unique_ptr<rollup_state>> states;
    for (std::uint32_t i = 0; i < workspaces; ++i) {
        states.push_back(std::make_unique<rollup_state>(&memory, &interned));
        batch.open(states.back().get());
    }
    for (int i = 0; i < 9; ++i)
        interned.name_id(event_type::page_view, interned.text_id("name " + std::to_string(i)));
    for (std::uint64_t i = 0; i < 20; ++i)
        interned.agent_id({i, i});
    std::mt19937_64 random(5);
    for (std::uint32_t i = 0; i < events; ++i)
        batch.add(random() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random() % workspaces),
                  busy_event(random, 9, i));
    batch_result result{{}, room.peak};
    for (std::uint32_t i = 0; i < workspaces; ++i) {
        batch.flush(i);
        rollup_metrics const n = compute_metrics({1, 1}, *states[i], held, true, &memory, nullptr);
        result.numbers.push_back(std::to_string(n.events) + ' ' + std::to_string(n.users) + ' ' +
                                 std::to_string(n.sessions) + ' ' + shown(n.runs) + ' ' + shown(n.runtime) +
                                 ' ' + sorted(n.events_by_type));
    }
    return result;
}

TEST(EventBatch, SaysTheSameHoweverMuchMayWait)
{
    batch_result const all = add_in_batch(60, 60000, SIZE_MAX), few = add_in_batch(60, 60000, 1 << 20);
    EXPECT_EQ(all.numbers, few.numbers);
    EXPECT_GT(all.peak, 3u << 20);
    EXPECT_LE(few.peak, 3u << 19);
}

TEST(EventBatch, DoesNotLetManyEventsOfAWorkspaceWait)
{
    EXPECT_LE(add_in_batch(1, 60000, SIZE_MAX).peak, 1u << 20);
}

// From 4713 BC to AD 294276: further apart than a signed number of microseconds reaches.
TEST(RollupState, ASessionMayLastAsLongAsTimestampsReach)
{
    constexpr std::int64_t first = -211'813'488'000'000'000, last = 9'223'371'331'199'000'000;
    for (bool const has_session : {true, false}) {
        workspace w;
        for (std::int64_t const at : {last, first}) {
            test_event e;
            e.event.has_session = has_session;
            e.event.at = at;
            w.add(e);
        }
        w.flush();
        std::pmr::monotonic_buffer_resource memory;
        rollup_metrics const n = compute_metrics({1, 1}, w.state, rules(), true, &memory, nullptr);
        EXPECT_EQ(n.sessions, has_session ? 1 : 2);
        int128 const seconds = (int128{last} - first) / 1'000'000;
        EXPECT_EQ(n.average_session.value / 100, has_session ? seconds : 0);
    }
}

TEST(RollupState, EmptyHasNoRates)
{
    workspace w;
    std::pmr::monotonic_buffer_resource memory;
    rollup_metrics const n = compute_metrics({1, 1}, w.state, rules(), true, &memory, nullptr);
    EXPECT_EQ(n.events, 0);
    EXPECT_TRUE(n.bounce_rate.is_null);
    EXPECT_TRUE(n.error_rate.is_null);
    EXPECT_TRUE(n.runtime.p50.is_null);
    EXPECT_EQ(n.events_by_type, "{}");
    EXPECT_EQ(n.top_agents, "[]");
}

TEST(RollupState, ReportCanBeInterrupted)
{
    workspace w;
    for (auto const &e : random_events(3, 70000))
        w.add(e);
    w.flush();
    std::pmr::monotonic_buffer_resource memory;
    EXPECT_THROW(compute_metrics({1, 1}, w.state, rules(), true, &memory, [] { return true; }), cancelled);
}
