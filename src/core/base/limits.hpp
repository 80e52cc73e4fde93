#pragma once
// What one call may ask for at most. Every function that a member may call stays below half a gigabyte and
// within seconds whatever its arguments are; the comments of the functions name the limits.

#include <cstdint>
#include <string>

#include "core/base/error.hpp"

namespace shadow::limits
{

constexpr std::int64_t days = 36'525; // of one reading: a hundred years; also periods of a cohort
constexpr std::int64_t retention_cells = 20'000'000;   // cohorts times periods, 16 bytes each
constexpr std::int64_t percentile_digits = 10'000'000; // digits of the numbers times fractions
// Days since 2000-01-01 of 0001-01-01 and 9999-12-31: months are counted from year 0.
constexpr std::int32_t first_day = -730'119, last_day = 2'921'939;

inline void check(std::int64_t asked, std::int64_t most, const char *what, const char *hint)
{
    if (asked > most)
        throw error(errc::limit_exceeded, std::string("too many ") + what,
                    "The call asks for " + std::to_string(asked) + ".",
                    "At most " + std::to_string(most) + " are allowed; " + hint);
}

inline void check_days(std::int32_t first, std::int32_t last)
{
    if (first < first_day || last > last_day)
        throw error(errc::invalid_argument, "dates out of range", "",
                    "Give dates from 0001-01-01 to 9999-12-31.");
    check(std::int64_t{last} - first + 1, days, "days", "ask for shorter ranges.");
}

} // namespace shadow::limits
