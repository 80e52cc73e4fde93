#include "core/users/sessions.hpp"

#include "core/base/error.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>
#include <random>

using shadow::session_set;
using shadow::session_totals;
using instants = std::vector<std::int64_t>;

namespace
{

std::uint64_t distance(std::int64_t a, std::int64_t b)
{
    return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
}

// The definition: sort, cut where neighbours are the gap or more apart.
session_totals by_sorting(instants at, std::uint64_t gap)
{
    std::sort(at.begin(), at.end());
    session_totals sum;
    for (std::size_t i = 0; i < at.size();) {
        std::size_t end = i + 1;
        while (end < at.size() && distance(at[end - 1], at[end]) < gap)
            ++end;
        ++sum.sessions;
        sum.single_event_sessions += end - i == 1 ? 1 : 0;
        sum.events += end - i;
        sum.duration += distance(at[i], at[end - 1]);
        i = end;
    }
    return sum;
}

session_set set_of(const instants &at, std::uint64_t gap)
{
    session_set set(gap, std::pmr::get_default_resource());
    for (auto const each : at)
        set.add(each);
    return set;
}

void expect_equal(const session_totals &a, const session_totals &b)
{
    ASSERT_EQ(a.sessions, b.sessions);
    ASSERT_EQ(a.single_event_sessions, b.single_event_sessions);
    ASSERT_EQ(a.events, b.events);
    ASSERT_EQ(a.duration, b.duration);
}

instants random_instants(std::mt19937_64 &random)
{
    instants at(random() % 200);
    std::int64_t const span = std::int64_t(1) << (random() % 14);
    for (auto &each : at)
        each = static_cast<std::int64_t>(random()) % span;
    auto const order = random() % 4; // as it is, ascending, descending, nearly ascending
    if (order > 0)
        std::sort(at.begin(), at.end());
    if (order == 2)
        std::reverse(at.begin(), at.end());
    if (order == 3)
        for (std::size_t i = 0; i + 4 < at.size(); i += 3)
            std::swap(at[i], at[i + 1 + random() % 3]);
    return at;
}

} // namespace

TEST(Sessions, AgreeWithTheDefinition)
{
    std::mt19937_64 random(1);
    for (int i = 0; i < 20000; ++i) {
        auto const at = random_instants(random);
        std::uint64_t const gap = 1 + random() % 64;
        expect_equal(set_of(at, gap).totals(), by_sorting(at, gap));
    }
}

TEST(Sessions, MergingPartsIsTheWhole)
{
    std::mt19937_64 random(2);
    for (int i = 0; i < 5000; ++i) {
        auto const at = random_instants(random);
        std::uint64_t const gap = 1 + random() % 64;
        std::vector<session_set> parts(1 + random() % 5, session_set(gap, std::pmr::get_default_resource()));
        for (auto const each : at)
            parts[random() % parts.size()].add(each);
        session_set whole(gap, std::pmr::get_default_resource());
        for (auto const &part : parts)
            whole.merge(part);
        expect_equal(whole.totals(), by_sorting(at, gap));
        whole.add(7); // goes on after totals
        auto more = at;
        more.push_back(7);
        expect_equal(whole.totals(), by_sorting(more, gap));
    }
}

TEST(Sessions, AGapOfTheThresholdCuts)
{
    EXPECT_EQ(set_of({0, 30, 59}, 30).totals().sessions, 2u);
    EXPECT_EQ(set_of({0, 30, 60}, 31).totals().sessions, 1u);
    EXPECT_EQ(set_of({5, 5, 5}, 1).totals().sessions, 1u);
    EXPECT_EQ(set_of({5, 6}, 1).totals().sessions, 2u);
    EXPECT_EQ(set_of({}, 1).totals().sessions, 0u);
}

TEST(Sessions, EndsOfTheIntegers)
{
    constexpr auto low = std::numeric_limits<std::int64_t>::min();
    constexpr auto high = std::numeric_limits<std::int64_t>::max();
    constexpr auto longest = std::numeric_limits<std::uint64_t>::max();
    for (auto const &at : {instants{low, high}, instants{high, low}, instants{high, 0, low}}) {
        EXPECT_EQ(set_of(at, longest - 1).totals().duration, at.size() == 2 ? 0 : longest);
        EXPECT_EQ(set_of(at, longest).totals().sessions, at.size() == 2 ? 2u : 1u);
    }
}

TEST(Sessions, MemoryFollowsSessionsNotEvents)
{
    std::mt19937_64 random(3);
    session_set set(1000, std::pmr::get_default_resource());
    std::size_t most = 0;
    for (int i = 0; i < 200000; ++i) {
        set.add(static_cast<std::int64_t>(random() % 100) * 10000 +
                static_cast<std::int64_t>(random() % 100));
        most = std::max(most, set.parts().size());
    }
    EXPECT_EQ(set.totals().sessions, 100u);
    EXPECT_LE(most, 2 * 100 + 8u);
}

TEST(Sessions, DifferentGapsDoNotMerge)
{
    session_set a(1, std::pmr::get_default_resource());
    session_set const b(2, std::pmr::get_default_resource());
    EXPECT_THROW(a.merge(b), shadow::error);
}

TEST(Sessions, CanBeCancelled)
{
    instants at;
    for (std::int64_t i = 0; i < 100000; ++i)
        at.push_back(i * 7919 % 100003 * 10);
    auto const set = set_of(at, 5);
    EXPECT_THROW(set.totals([] { return true; }), shadow::cancelled);
    session_set other(5, std::pmr::get_default_resource());
    EXPECT_THROW(other.merge(set, [] { return true; }), shadow::cancelled);
}
