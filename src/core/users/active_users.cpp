#include "core/users/active_users.hpp"

#include <algorithm>

namespace shadow
{

trailing_users::trailing_users(std::int32_t first, std::int32_t last, std::pmr::memory_resource *memory)
    : origin_(first - longest + 1), last_(last), next_(first),
      by_last_day_(static_cast<std::size_t>(last - origin_ + 2), 0, memory), last_day_(memory),
      result_(memory)
{
}

void trailing_users::add(std::int32_t day, const user_set_view &users, interrupt_check interrupted)
{
    if (day < origin_ || day > last_)
        return;
    report_until(day - 1);
    std::int32_t const today = day - origin_ + 1;
    std::int64_t *const by_last_day = by_last_day_.data();
    users.for_each(
        [by_last_day, today,
         last_day = user_map<std::int32_t>::cursor(last_day_)](std::uint32_t number) mutable {
            std::int32_t &last = last_day[number];
            --by_last_day[last];
            last = today;
        },
        interrupted);
    by_last_day[today] += static_cast<std::int64_t>(users.cardinality());
}

void trailing_users::report_until(std::int32_t day)
{
    for (; next_ <= day; ++next_) {
        active_counts counts{next_, 0, 0, 0};
        for (std::int32_t age = 0; age < longest; ++age) {
            std::int64_t const users = by_last_day_[static_cast<std::size_t>(next_ - origin_ - age + 1)];
            counts.daily += age < 1 ? users : 0;
            counts.weekly += age < 7 ? users : 0;
            counts.monthly += users;
        }
        result_.push_back(counts);
    }
}

const std::pmr::vector<active_counts> &trailing_users::finish()
{
    report_until(last_);
    return result_;
}

user_lifecycle::user_lifecycle(std::int32_t first, std::int32_t last, std::pmr::memory_resource *memory)
    : origin_(first - 1), sums_(static_cast<std::size_t>(last - origin_ + 1), sums{}, memory),
      last_period_(memory)
{
}

void user_lifecycle::add(std::int32_t period, const user_set_view &users, const user_set_view &new_users,
                         interrupt_check interrupted)
{
    std::int32_t const now = period - origin_ + 1;
    if (now < 1 || now > static_cast<std::int32_t>(sums_.size()))
        return;
    sums &s = sums_[static_cast<std::size_t>(now - 1)];
    s.fresh += static_cast<std::int64_t>(new_users.cardinality());
    user_map<std::int32_t>::cursor last_period(last_period_);
    users.for_each(
        [&](std::uint32_t number) {
            std::int32_t &last = last_period[number];
            s.active += last != now;
            s.stayed += last != 0 && last == now - 1;
            last = now;
        },
        interrupted);
}

lifecycle_counts user_lifecycle::at(std::int32_t period) const noexcept
{
    sums const &s = sums_[static_cast<std::size_t>(period - origin_)];
    sums const &before = sums_[static_cast<std::size_t>(period - origin_ - 1)];
    return {period, s.fresh, s.stayed, s.active - s.fresh - s.stayed, before.active - s.stayed};
}

} // namespace shadow
