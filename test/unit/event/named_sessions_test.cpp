#include "core/event/named_sessions.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

namespace
{

using shadow::named_sessions;

struct extent {
    std::int64_t first, last;
    std::uint64_t order;
};

named_sessions set_of(const std::vector<extent> &sessions)
{
    named_sessions set(std::pmr::get_default_resource());
    for (std::size_t i = 0; i < sessions.size(); ++i)
        set.add(sessions[i].first, sessions[i].last, sessions[i].order, i);
    set.sort();
    return set;
}

// All of them, one by one.
std::size_t by_trying(const std::vector<extent> &sessions, std::int64_t first, std::int64_t last,
                      std::int64_t gap)
{
    std::size_t best = named_sessions::none;
    auto const rank = [&](std::size_t i) {
        extent const &s = sessions[i];
        return std::make_tuple(std::max({s.first - last, first - s.last, std::int64_t{0}}), s.first, s.last,
                               s.order);
    };
    for (std::size_t i = 0; i < sessions.size(); ++i)
        if (std::get<0>(rank(i)) < gap && (best == named_sessions::none || rank(i) < rank(best)))
            best = i;
    return best;
}

TEST(NamedSessions, NearestByTryingAll)
{
    std::mt19937 random(7);
    auto const below = [&](unsigned limit) { return static_cast<std::int64_t>(random() % limit); };
    int found = 0;
    for (int round = 0; round < 2000; ++round) {
        std::vector<extent> sessions(random() % 6);
        for (std::size_t i = 0; i < sessions.size(); ++i) {
            sessions[i].first = below(40);
            sessions[i].last = sessions[i].first + below(12);
            sessions[i].order = i;
        }
        named_sessions const set = set_of(sessions);
        for (int n = 0; n < 20; ++n) {
            std::int64_t const first = below(50), last = first + below(6), gap = 1 + below(8);
            std::size_t const expected = by_trying(sessions, first, last, gap);
            ASSERT_EQ(set.find(first, last, static_cast<std::uint64_t>(gap)), expected);
            found += expected != named_sessions::none;
        }
    }
    EXPECT_GT(found, 10000);
}

TEST(NamedSessions, Extremes)
{
    named_sessions const set = set_of({{INT64_MIN, INT64_MIN, 0}, {INT64_MAX, INT64_MAX, 0}});
    EXPECT_EQ(set.find(0, 0, UINT64_MAX), 1u); // one less away
    EXPECT_EQ(set.find(-1, -1, UINT64_MAX), 0u);
    EXPECT_EQ(set.find(0, 0, std::uint64_t{1} << 62), named_sessions::none);
    EXPECT_EQ(set_of({}).find(0, 0, UINT64_MAX), named_sessions::none);
}

} // namespace
