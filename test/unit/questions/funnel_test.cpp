// The one-pass funnels against their definition: every chain of distinct events is enumerated.

#include "core/questions/funnel.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

using namespace shadow;
using namespace shadow::questions;

namespace
{

using events = std::vector<stream_event>;

// How many random funnels are tried; the target check-funnels of the Makefile asks for 100,000.
int case_count()
{
    const char *const asked = std::getenv("FUNNEL_CASES");
    return asked == nullptr ? 2000 : std::atoi(asked);
}

struct enumerated {
    std::size_t level = 0;
    std::vector<std::int64_t> times; // of the decisive chain
    bool in_progress = false;
};

// Ordered and strict, by definition (doc/questions.md).
class chain_enumeration
{
public:
    chain_enumeration(const funnel_rules &rules, const events &unit) : rules_(rules), unit_(unit) {}

    enumerated run()
    {
        for (std::size_t i = 0; i < unit_.size(); ++i)
            if (unit_[i].matches(0) && unit_[i].at >= rules_.from && unit_[i].at < rules_.until)
                grow({i});
        if (best_.level == static_cast<std::size_t>(rules_.steps))
            best_.in_progress = false;
        return best_;
    }

private:
    using chain = std::vector<std::size_t>;

    std::vector<std::int64_t> times(const chain &c) const
    {
        std::vector<std::int64_t> t;
        for (std::size_t const i : c)
            t.push_back(unit_[i].at);
        return t;
    }
    // `until`: the end of the time after the last event that counts too; -1: none.
    bool is_valid(const chain &c, std::int64_t until) const
    {
        auto const t = times(c);
        auto const k = static_cast<int>(c.size());
        std::int64_t const end = until < 0 ? t.back() : until + 1;
        if (t.back() - t.front() > rules_.window)
            return false;
        for (exclusion const &x : rules_.exclusions) {
            if (k < x.after)
                continue;
            std::int64_t const begin = t[static_cast<std::size_t>(x.after) - 1];
            std::int64_t const limit = k >= x.before ? t[static_cast<std::size_t>(x.before) - 1] : end;
            for (stream_event const &e : unit_)
                if (e.matches(x.selector) && e.at > begin && e.at < limit &&
                    std::find(t.begin(), t.end(), e.at) == t.end())
                    return false;
        }
        if (rules_.order != step_order::strict)
            return true;
        for (std::size_t i = 0; i < t.size(); ++i)
            for (stream_event const &e : unit_)
                if (e.at > t[i] && e.at < (i + 1 < t.size() ? t[i + 1] : end) &&
                    !e.matches(static_cast<int>(i)))
                    return false;
        return true;
    }
    void grow(const chain &c)
    {
        judge(c);
        auto const k = c.size();
        if (k == static_cast<std::size_t>(rules_.steps))
            return;
        for (std::size_t i = 0; i < unit_.size(); ++i) {
            if (!unit_[i].matches(static_cast<int>(k)) || unit_[i].at < unit_[c.back()].at ||
                std::find(c.begin(), c.end(), i) != c.end())
                continue;
            chain longer = c;
            longer.push_back(i);
            if (is_valid(longer, -1))
                grow(longer);
        }
    }
    void judge(const chain &c)
    {
        auto const t = times(c);
        auto const key = [](const std::vector<std::int64_t> &x) {
            return std::make_tuple(x.back(), -x.front(), x);
        };
        if (c.size() > best_.level || (c.size() == best_.level && key(t) < key(best_.times))) {
            best_.level = c.size();
            best_.times = t;
        }
        if (c.size() < static_cast<std::size_t>(rules_.steps) && t.front() + rules_.window >= rules_.as_of &&
            is_valid(c, rules_.as_of))
            best_.in_progress = true;
    }

    const funnel_rules &rules_;
    const events &unit_;
    enumerated best_;
};

// In any order: every set of distinct events that can do as many steps.
class any_enumeration
{
public:
    any_enumeration(const funnel_rules &rules, const events &unit) : rules_(rules), unit_(unit) {}

    enumerated run()
    {
        for (std::uint32_t chosen = 1; chosen < (1u << unit_.size()); ++chosen)
            judge(chosen);
        for (stream_event const &e : unit_)
            if (best_.level > 0 && best_.level < static_cast<std::size_t>(rules_.steps) && is_entry(e) &&
                e.at + rules_.window >= rules_.as_of && !is_excluded(e.at, INT64_MAX))
                best_.in_progress = true;
        return best_;
    }

private:
    bool is_entry(const stream_event &e) const
    {
        return (e.mask & rules_.step_mask()) != 0 && e.at >= rules_.from && e.at < rules_.until;
    }
    bool is_excluded(std::int64_t after, std::int64_t before) const
    {
        for (exclusion const &x : rules_.exclusions)
            for (stream_event const &e : unit_)
                if (e.matches(x.selector) && e.at > after && e.at < before)
                    return true;
        return false;
    }
    // Whether each of the chosen events can do a step of its own.
    bool can_do(std::uint32_t chosen, event_mask free) const
    {
        if (chosen == 0)
            return true;
        auto const first = static_cast<std::size_t>(__builtin_ctz(chosen));
        for (int step = 0; step < rules_.steps; ++step)
            if ((free >> step & 1) != 0 && unit_[first].matches(step) &&
                can_do(chosen & (chosen - 1), free & ~(event_mask{1} << step)))
                return true;
        return false;
    }
    void judge(std::uint32_t chosen)
    {
        auto const size = static_cast<std::size_t>(__builtin_popcount(chosen));
        if (size > static_cast<std::size_t>(rules_.steps) || size < best_.level)
            return;
        std::int64_t const first = unit_[static_cast<std::size_t>(__builtin_ctz(chosen))].at;
        std::int64_t const last = unit_[31 - static_cast<std::size_t>(__builtin_clz(chosen))].at;
        bool const is_better = size > best_.level ||
                               std::make_pair(last, -first) < std::make_pair(best_.times[1], -best_.times[0]);
        if (!is_better || first < rules_.from || first >= rules_.until || last - first > rules_.window ||
            is_excluded(first, last) || !can_do(chosen, rules_.step_mask()))
            return;
        best_.level = size;
        best_.times = {first, last};
    }

    const funnel_rules &rules_;
    const events &unit_;
    enumerated best_;
};

class random_funnel
{
public:
    explicit random_funnel(std::uint32_t seed) : random_(seed)
    {
        rules.steps = number(1, 4);
        rules.order = static_cast<step_order>(number(0, 2));
        rules.window = number(1, 12);
        rules.from = number(0, 3);
        rules.until = rules.from + number(1, 12);
        rules.as_of = number(6, 16);
        for (int i = number(0, 2); i > 0 && rules.steps > 1; --i) {
            int const after = number(1, rules.steps - 1);
            bool const is_any = rules.order == step_order::any;
            rules.exclusions.push_back({rules.steps + static_cast<int>(rules.exclusions.size()),
                                        is_any ? 1 : after,
                                        is_any ? rules.steps : number(after + 1, rules.steps)});
        }
        int const density = number(1, 3);
        for (int i = number(0, 9); i > 0; --i)
            add_event(density);
        std::sort(unit.begin(), unit.end(), [](auto const &a, auto const &b) { return a.at < b.at; });
    }

    funnel_rules rules;
    events unit;

private:
    int number(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }
    void add_event(int density)
    {
        event_mask mask = 0;
        for (int bit = 0; bit < rules.steps + static_cast<int>(rules.exclusions.size()); ++bit)
            if (number(1, 4) <= density)
                mask |= event_mask{1} << bit;
        std::int64_t const at = number(0, 12);
        if (at <= rules.as_of)
            unit.push_back({at, mask | filter_bit, 0});
    }

    std::mt19937 random_;
};

} // namespace

TEST(Funnel, IsWhatTheEnumerationOfAllChainsSays)
{
    interrupt_poll poll(nullptr);
    int reached = 0, in_progress = 0, complete = 0;
    for (int i = 0; i < case_count(); ++i) {
        random_funnel const f(static_cast<std::uint32_t>(i));
        SCOPED_TRACE("case " + std::to_string(i));
        bool const is_any = f.rules.order == step_order::any;
        enumerated const want =
            is_any ? any_enumeration(f.rules, f.unit).run() : chain_enumeration(f.rules, f.unit).run();
        funnel_chain const got = run_funnel(f.rules, {f.unit.data(), f.unit.size()}, poll);
        ASSERT_EQ(got.level, static_cast<int>(want.level));
        ASSERT_EQ(got.in_progress, want.in_progress);
        for (std::size_t k = 0; k < want.level; ++k) {
            if (is_any && k > 0 && k + 1 < want.level)
                continue;
            ASSERT_EQ(got.at[k], want.times[is_any && k > 0 ? 1 : k]);
        }
        reached += got.level > 0 ? 1 : 0;
        complete += got.level == f.rules.steps ? 1 : 0;
        in_progress += got.in_progress ? 1 : 0;
    }
    // The cases are of all kinds.
    EXPECT_GT(reached, case_count() / 4);
    EXPECT_GT(complete, case_count() / 10);
    EXPECT_GT(in_progress, case_count() / 20);
}

// A unit that nothing but the number of its simultaneous events makes hard.
TEST(Funnel, BearsManyEventsAtOneInstant)
{
    interrupt_poll poll(nullptr);
    funnel_rules rules;
    rules.steps = most_steps;
    rules.window = 10;
    rules.until = 10;
    rules.as_of = 10;
    events unit(200'000, {1, rules.step_mask() | filter_bit, 0});
    EXPECT_EQ(run_funnel(rules, {unit.data(), unit.size()}, poll).level, most_steps);
    rules.order = step_order::any;
    EXPECT_EQ(run_funnel(rules, {unit.data(), unit.size()}, poll).level, most_steps);
    std::vector<funnel_chain> attempts;
    rules.order = step_order::ordered;
    run_attempts(rules, {unit.data(), unit.size()}, attempts, poll);
    EXPECT_EQ(attempts.size(), unit.size() / most_steps);
}
