// Active users over time: periods, trailing windows, lifecycle and retention against brute force.

#include "core/users/active_users.hpp"
#include "core/users/cohorts.hpp"
#include "core/users/periods.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace
{

using namespace shadow;

constexpr int days = 120;
using day_sets = std::vector<std::set<std::uint32_t>>;

struct stored_set {
    explicit stored_set(const std::set<std::uint32_t> &users)
    {
        std::vector<std::uint32_t> const sorted(users.begin(), users.end());
        roaring::writer out(std::pmr::new_delete_resource());
        write_sorted_values(sorted.data(), sorted.size(), out);
        bytes.resize(stored_size(out));
        write_stored(out, bytes.data());
    }
    user_set_view view() const { return user_set_view::stored(bytes.data(), bytes.size()); }
    std::vector<std::uint8_t> bytes;
};

day_sets random_days()
{
    std::mt19937 random(7);
    day_sets result(days);
    for (auto &users : result)
        for (std::uint32_t n = random() % 12; n > 0; --n)
            users.insert(random() % 3 == 0 ? random() % 40 : 4000000 + random() % 40);
    return result;
}

std::set<std::uint32_t> active(const day_sets &all, int first, int last)
{
    std::set<std::uint32_t> result;
    for (int d = std::max(first, 0); d <= std::min(last, days - 1); ++d)
        result.insert(all[static_cast<std::size_t>(d)].begin(), all[static_cast<std::size_t>(d)].end());
    return result;
}

std::set<std::uint32_t> minus(std::set<std::uint32_t> a, const std::set<std::uint32_t> &b)
{
    for (auto const u : b)
        a.erase(u);
    return a;
}

std::int64_t size_of(const std::set<std::uint32_t> &users)
{
    return static_cast<std::int64_t>(users.size());
}

TEST(Periods, AreCalendarPeriods)
{
    EXPECT_EQ(period_start(period_kind::weekly, 0), 2); // 2000-01-03 is a Monday
    EXPECT_EQ(period_of(period_kind::weekly, 1), -1);
    EXPECT_EQ(period_start(period_kind::monthly, 2000 * 12), 0);
    EXPECT_EQ(period_start(period_kind::monthly, 2025 * 12 + 2) -
                  period_start(period_kind::monthly, 2025 * 12 + 1),
              28);
    for (std::int32_t day = -800000; day < 800000; day += 13)
        for (auto const kind : {period_kind::daily, period_kind::weekly, period_kind::monthly}) {
            std::int32_t const p = period_of(kind, day);
            ASSERT_LE(period_start(kind, p), day);
            ASSERT_GT(period_start(kind, p + 1), day);
        }
    EXPECT_THROW(parse_period("yearly"), error);
}

TEST(TrailingUsers, AgreeWithUnions)
{
    day_sets const all = random_days();
    trailing_users counts(20, days + 40, std::pmr::new_delete_resource());
    for (int d = 0; d < days; ++d)
        if (!all[static_cast<std::size_t>(d)].empty())
            counts.add(d, stored_set(all[static_cast<std::size_t>(d)]).view());
    auto const &result = counts.finish();
    ASSERT_EQ(result.size(), static_cast<std::size_t>(days + 40 - 20 + 1));
    for (auto const &c : result) {
        EXPECT_EQ(c.daily, size_of(active(all, c.day, c.day)));
        EXPECT_EQ(c.weekly, size_of(active(all, c.day - 6, c.day)));
        EXPECT_EQ(c.monthly, size_of(active(all, c.day - 29, c.day)));
    }
}

TEST(UserLifecycle, AgreesWithSetsAndIdentities)
{
    day_sets const all = random_days();
    user_lifecycle counts(1, days, std::pmr::new_delete_resource());
    for (int d = 0; d < days; ++d) {
        auto const &now = all[static_cast<std::size_t>(d)];
        counts.add(d, stored_set(now).view(), stored_set(minus(now, active(all, 0, d - 1))).view());
    }
    for (int d = 1; d <= days; ++d) {
        auto const c = counts.at(d);
        auto const now = active(all, d, d), before = active(all, d - 1, d - 1);
        EXPECT_EQ(c.fresh, size_of(minus(now, active(all, 0, d - 1))));
        EXPECT_EQ(c.dormant, size_of(minus(before, now)));
        EXPECT_EQ(c.fresh + c.returning + c.resurrecting, size_of(now));
        EXPECT_EQ(size_of(before) - c.dormant + c.fresh + c.resurrecting, size_of(now));
    }
}

TEST(UserRetention, AgreesWithSets)
{
    day_sets const all = random_days();
    int const end = days - 10; // the last ten days count as "later" only
    user_retention counts(0, end, end, std::pmr::new_delete_resource());
    for (int d = 0; d < days; ++d) {
        auto const &now = all[static_cast<std::size_t>(d)];
        counts.add(d, stored_set(now).view(), stored_set(minus(now, active(all, 0, d - 1))).view());
    }
    counts.finish();
    for (int c = 0; c <= end; ++c) {
        auto const cohort = minus(active(all, c, c), active(all, 0, c - 1));
        ASSERT_EQ(counts.size(c), size_of(cohort));
        for (int n = 0; n <= end - c; ++n) {
            EXPECT_EQ(counts.retained(c, n),
                      size_of(cohort) - size_of(minus(cohort, active(all, c + n, c + n))));
            EXPECT_EQ(counts.survivors(c, n),
                      size_of(cohort) - size_of(minus(cohort, active(all, c + n, days))));
        }
    }
}

} // namespace
