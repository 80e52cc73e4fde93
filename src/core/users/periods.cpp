#include "core/users/periods.hpp"

#include "core/base/error.hpp"

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

} // namespace shadow
