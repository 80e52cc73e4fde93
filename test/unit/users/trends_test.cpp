#include "core/users/trends.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

using shadow::run_trend;

TEST(RunTrend, SumsTheLastTwoWeeks)
{
    std::vector<std::int64_t> runs(run_trend::longest);
    std::iota(runs.begin(), runs.end(), 1);
    auto const sum = [&](int from, int to) { // days ago, to < from
        std::int64_t total = 0;
        for (int i = std::max(from, 0); i < to; ++i)
            total += runs[static_cast<std::size_t>(i)];
        return total;
    };
    run_trend trend;
    for (int round = 0; round < 2; ++round, trend.clear()) {
        EXPECT_EQ(trend.this_week() + trend.week_before() + trend.week_ago(), 0);
        for (int n = 1; n <= static_cast<int>(runs.size()); ++n) {
            trend.append(runs[static_cast<std::size_t>(n - 1)]);
            EXPECT_EQ(trend.this_week(), sum(n - 7, n)) << n;
            EXPECT_EQ(trend.week_before(), sum(n - 14, n - 7)) << n;
            EXPECT_EQ(trend.week_ago(), n > 7 ? runs[static_cast<std::size_t>(n - 8)] : 0) << n;
        }
    }
}
