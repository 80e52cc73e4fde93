#include "core/users/periods.hpp"

#include "core/base/civil.hpp"
#include "core/base/error.hpp"

namespace shadow
{

namespace
{

std::int32_t floor_divide(std::int32_t a, std::int32_t b) noexcept
{
    return a / b - (a % b < 0);
}

// Months are counted from year 0.
std::int32_t month_start(std::int32_t months) noexcept
{
    std::int32_t const year = floor_divide(months, 12);
    return day_of({year, months - year * 12 + 1, 1});
}

std::int32_t month_of(std::int32_t day) noexcept
{
    civil_date const date = civil_of(day);
    return date.year * 12 + date.month - 1;
}

constexpr std::int32_t a_monday = 2; // 2000-01-03

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
