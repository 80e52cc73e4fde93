// A window is the sum of its slots, whatever the order of the events and however many windows there are.

#include "core/alerts/collector.hpp"
#include "core/alerts/window_metrics.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

using namespace shadow;

namespace
{

struct fed_event {
    std::size_t slot;
    uuid workspace;
    decoded_event event;
};

decoded_event make_event(std::mt19937 &random, std::int64_t at)
{
    auto const pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    decoded_event e{};
    e.user = {1, static_cast<std::uint64_t>(pick(9))};
    e.facts.id = {random(), random()};
    e.at = at;
    e.type = std::vector{event_type::agent_run, event_type::error, event_type::api_call,
                         event_type::click}[pick(4)];
    e.has_facts = e.type != event_type::click;
    e.facts.has_run = e.has_facts && pick(4) != 0;
    e.facts.run.low = e.facts.run.high = static_cast<std::uint64_t>(pick(12));
    e.facts.status = std::vector{run_status::successful, run_status::failed, run_status::cancelled,
                                 run_status::unfinished, run_status::unknown}[pick(5)];
    e.facts.has_credits = pick(3) != 0;
    e.facts.credits = e.facts.has_credits ? pick(100) : 0;
    e.facts.attempt = 1 + pick(3) % 2;
    e.facts.runtime = pick(3) == 0 ? -1 : pick(1000);
    e.facts.agent = pick(3) == 0 ? npos : static_cast<std::uint32_t>(pick(4));
    e.facts.error_type = static_cast<std::uint32_t>(pick(3));
    e.facts.message = e.type == event_type::error ? static_cast<std::uint32_t>(pick(5)) : npos;
    return e;
}

std::vector<fed_event> make_events(std::mt19937 &random, std::size_t n, std::size_t slots)
{
    std::vector<fed_event> events;
    for (std::size_t i = 0; i < n; ++i) // the later the event, the lower its slot
        events.push_back({slots - 1 - i / 2 * 2 * slots / n,
                          {7, random() % 2},
                          make_event(random, static_cast<std::int64_t>(i / 2))});
    return events;
}

// The numbers and what can be told of them, as text.
std::string show(const alert_collector &c, std::size_t first, std::size_t last)
{
    interner interned(std::pmr::get_default_resource());
    for (std::uint64_t i = 0; i < 5; ++i) {
        interned.agent_id({0, i});
        interned.text_id("type " + std::to_string(i));
        interned.message_id({static_cast<std::int64_t>(i), "message"});
    }
    window_metrics window(interned, std::pmr::get_default_resource());
    for (std::size_t i = first; i <= last; ++i)
        window.add(c, i);
    json_writer json(std::pmr::get_default_resource());
    window.describe(0, 0, {}, json);
    for (alert_metric const m : {alert_metric::failure_rate, alert_metric::response_time,
                                 alert_metric::credits_consumed, alert_metric::agent_failures})
        json.raw(" ").number(window[m].has_value ? window[m].value : -1);
    return std::string(json.text());
}

TEST(alert_collector, a_window_is_the_sum_of_its_slots)
{
    std::mt19937 random(11);
    for (int round = 0; round < 60; ++round) {
        std::size_t const slots = 1 + random() % 9;
        auto events = make_events(random, 1 + random() % 120, slots);
        std::shuffle(events.begin(), events.end(), random);
        alert_collector nested(slots, true, std::pmr::get_default_resource());
        alert_collector apart(slots, false, std::pmr::get_default_resource());
        for (fed_event const &e : events) {
            nested.add(e.slot, e.workspace, e.event);
            for (std::size_t window = e.slot; window < slots; ++window) // a slot of its own for each window
                apart.add(window, e.workspace, e.event);
        }
        interrupt_poll poll(nullptr);
        nested.finish(poll);
        apart.finish(poll);
        for (std::size_t window = 0; window < slots; ++window)
            ASSERT_EQ(show(nested, 0, window), show(apart, window, window)) << "round " << round;
    }
}

TEST(alert_collector, what_the_end_lacks_comes_from_before_and_attempts_add_up)
{
    alert_collector c(1, true, std::pmr::get_default_resource());
    auto const add = [&](std::int64_t at, run_status status, int attempt, int credits, std::int64_t runtime) {
        decoded_event e{};
        e.at = at;
        e.type = event_type::agent_run;
        e.has_facts = e.facts.has_run = true;
        e.facts.status = status;
        e.facts.attempt = attempt;
        e.facts.has_credits = credits >= 0;
        e.facts.credits = std::max(credits, 0);
        e.facts.runtime = runtime;
        e.facts.agent = e.facts.message = npos;
        c.add(0, {0, 0}, e);
    };
    add(1, run_status::failed, 1, 3, -1);
    add(2, run_status::unfinished, 2, 4, 70);
    add(3, run_status::successful, 2, -1, -1);
    add(4, run_status::unfinished, 2, 50, 90);
    interrupt_poll poll(nullptr);
    c.finish(poll);
    EXPECT_EQ(c.totals(0).runs.total, 1);
    EXPECT_EQ(c.totals(0).credits, 7);
    EXPECT_EQ(c.totals(0).response_time, 70);
}

TEST(alert_collector, samples_are_the_latest_different_messages)
{
    std::mt19937 random(5);
    for (int round = 0; round < 60; ++round) {
        alert_collector c(1, true, std::pmr::get_default_resource());
        std::vector<std::int64_t> latest(6, -1);
        for (int i = 0; i < 30; ++i) {
            decoded_event e = make_event(random, static_cast<std::int64_t>(random() % 100000));
            e.type = event_type::error;
            e.has_facts = true;
            e.facts.has_run = false;
            e.facts.message = static_cast<std::uint32_t>(random() % 6);
            latest[e.facts.message] = std::max(latest[e.facts.message], e.at);
            c.add(0, {0, 0}, e);
        }
        std::sort(latest.rbegin(), latest.rend());
        ASSERT_EQ(c.samples().size, most_samples);
        for (std::size_t i = 0; i < most_samples; ++i)
            EXPECT_EQ(c.samples()[i].at, latest[i]);
    }
}

} // namespace
