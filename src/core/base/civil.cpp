#include "core/base/civil.hpp"

namespace shadow
{

static constexpr std::int32_t days_before_2000 = 730425; // since 0000-03-01

civil_date civil_of(std::int32_t day) noexcept
{
    std::int32_t const z = day + days_before_2000;
    std::int32_t const era = (z >= 0 ? z : z - 146096) / 146097;
    std::int32_t const of_era = z - era * 146097;
    std::int32_t const year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    std::int32_t const of_year = of_era - (365 * year + year / 4 - year / 100);
    std::int32_t const from_march = (5 * of_year + 2) / 153;
    std::int32_t const month = from_march < 10 ? from_march + 3 : from_march - 9;
    return {year + era * 400 + (month <= 2 ? 1 : 0), month, of_year - (153 * from_march + 2) / 5 + 1};
}

std::int32_t day_of(const civil_date &date) noexcept
{
    std::int32_t const year = date.month <= 2 ? date.year - 1 : date.year;
    std::int32_t const era = (year >= 0 ? year : year - 399) / 400;
    std::int32_t const of_era = year - era * 400;
    std::int32_t const of_year =
        (153 * (date.month > 2 ? date.month - 3 : date.month + 9) + 2) / 5 + date.day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - days_before_2000;
}

} // namespace shadow
