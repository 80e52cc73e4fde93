#include "core/users/active_users.hpp"

#include <algorithm>

namespace shadow
{

namespace
{

// Days from 2000-01-01 to the first of a month and back (Hinnant, "chrono-compatible low-level date
// algorithms"); months are counted from year 0.
std::int32_t month_start(std::int32_t months) noexcept
{
    std::int32_t const month = months % 12 + 1;
    std::int32_t const year = months / 12 - (month <= 2);
    std::int32_t const era = year / 400;
    std::int32_t const year_of_era = year - era * 400;
    std::int32_t const day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 730425;
}

std::int32_t month_of(std::int32_t day) noexcept
{
    std::int32_t month = static_cast<std::int32_t>(24000 + day / 30.436875);
    while (month_start(month) > day)
        --month;
    while (month_start(month + 1) <= day)
        ++month;
    return month;
}

constexpr std::int32_t a_monday = 2; // 2000-01-03

std::int32_t floor_divide(std::int32_t a, std::int32_t b) noexcept
{
    return a / b - (a % b < 0);
}

} // namespace

period_kind parse_period(std::string_view name)
{
    if (name == "daily")
        return period_kind::daily;
    if (name == "weekly")
        return period_kind::weekly;
    if (name == "monthly")
        return period_kind::monthly;
    throw error(errc::invalid_argument, "unknown period", "", "Periods are daily, weekly and monthly.");
}

std::int32_t period_of(period_kind kind, std::int32_t day) noexcept
{
    switch (kind) {
    case period_kind::weekly:
        return floor_divide(day - a_monday, 7);
    case period_kind::monthly:
        return month_of(day);
    default:
        return day;
    }
}

std::int32_t period_start(period_kind kind, std::int32_t period) noexcept
{
    switch (kind) {
    case period_kind::weekly:
        return period * 7 + a_monday;
    case period_kind::monthly:
        return month_start(period);
    default:
        return period;
    }
}

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

user_retention::user_retention(std::int32_t first, std::int32_t last, std::int32_t end,
                               std::pmr::memory_resource *memory)
    : first_(first), last_(last), width_(static_cast<std::size_t>(std::max(end - first, 0)) + 2),
      cells_(static_cast<std::size_t>(last - first + 1) * width_, cell{}, memory),
      sizes_(static_cast<std::size_t>(last - first + 1), 0, memory), users_(memory)
{
}

void user_retention::add(std::int32_t period, const user_set_view &users, const user_set_view &new_users,
                         interrupt_check interrupted)
{
    if (period < first_)
        return;
    if (period <= last_) {
        new_users.for_each(
            [&](std::uint32_t number) {
                users_[number] = {period - first_ + 1, -1};
            },
            interrupted);
        sizes_[static_cast<std::size_t>(period - first_)] +=
            static_cast<std::int64_t>(new_users.cardinality());
    }
    // The last column holds whatever comes after the periods that are told apart.
    std::int32_t const beyond = static_cast<std::int32_t>(width_) - 1;
    user_map<user>::cursor known(users_);
    users.for_each(
        [&](std::uint32_t number) {
            user &u = known[number];
            if (u.cohort == 0)
                return;
            std::int32_t const since = std::min(period - first_ - (u.cohort - 1), beyond);
            if (since != u.last)
                ++at(u.cohort - 1, since).retained;
            u.last = since;
        },
        interrupted);
}

void user_retention::finish()
{
    users_.for_each([&](const user &u) {
        if (u.cohort != 0 && u.last >= 0)
            ++at(u.cohort - 1, u.last).survivors;
    });
    for (std::int32_t c = 0; c <= last_ - first_; ++c)
        for (auto number = static_cast<std::int32_t>(width_) - 1; number-- > 0;)
            at(c, number).survivors += at(c, number + 1).survivors;
}

std::int64_t user_retention::size(std::int32_t cohort) const noexcept
{
    return sizes_[static_cast<std::size_t>(cohort - first_)];
}

std::int64_t user_retention::retained(std::int32_t cohort, std::int32_t number) const noexcept
{
    return at(cohort - first_, number).retained;
}

std::int64_t user_retention::survivors(std::int32_t cohort, std::int32_t number) const noexcept
{
    return at(cohort - first_, number).survivors;
}

} // namespace shadow
