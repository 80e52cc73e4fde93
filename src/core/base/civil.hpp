#pragma once
// The proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms"). A day is counted from
// 2000-01-01, as PostgreSQL counts.

#include <cstdint>

namespace shadow
{

struct civil_date {
    std::int32_t year;
    std::int32_t month; // 1 to 12
    std::int32_t day;   // 1 to 31
};

civil_date civil_of(std::int32_t day) noexcept;
std::int32_t day_of(const civil_date &date) noexcept;

} // namespace shadow
