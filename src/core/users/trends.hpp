#pragma once
// Runs of an agent day by day, and what trends compare: the week up to the last day, the one before it, and
// the day a week ago. Days are given one after the other, without gaps.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace shadow
{

class run_trend
{
public:
    static constexpr std::size_t shown = 30; // days
    static constexpr std::size_t longest =
        shown + 13; // and those before them that the trend of the first takes

    void clear() noexcept { days_ = 0; }
    // At most `longest` days.
    void append(std::int64_t runs) noexcept
    {
        until_[days_ + 1] = until_[days_] + runs;
        ++days_;
    }
    std::size_t days() const noexcept { return days_; }
    std::int64_t this_week() const noexcept { return between(7, 0); }
    std::int64_t week_before() const noexcept { return between(14, 7); }
    std::int64_t week_ago() const noexcept { return between(8, 7); } // on that day alone

private:
    // Runs from so many days ago to so many days ago, the last day being 0 to 1.
    std::int64_t between(std::size_t from, std::size_t to) const noexcept
    {
        return until_[days_ - std::min(to, days_)] - until_[days_ - std::min(from, days_)];
    }

    std::size_t days_ = 0;
    std::array<std::int64_t, longest + 1> until_{}; // runs before each day
};

} // namespace shadow
