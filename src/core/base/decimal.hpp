#pragma once
// Exact decimals as integers scaled by a power of ten: reading, rounding, writing.

#include "core/base/int128.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shadow
{

// Amounts (credits, cost, revenue, ratings) and seconds are kept in units of 10^-9.
inline constexpr int nano_scale = 9;
inline constexpr std::int64_t nano = 1'000'000'000;

// numerator / denominator rounded half away from zero, as numeric's round() does; denominator > 0.
constexpr int128 divide_rounded(int128 numerator, int128 denominator) noexcept
{
    int128 const quotient = numerator / denominator;
    int128 const rest = numerator % denominator;
    if (2 * (rest < 0 ? -rest : rest) >= denominator)
        return quotient + (numerator < 0 ? -1 : 1);
    return quotient;
}

// Result of reading a decimal number.
struct scaled_number {
    bool valid;    // it is a finite decimal number and fits
    bool is_whole; // it has no fraction before rounding
    int128 value;  // number * 10^scale, rounded half away from zero
};

// Reads "[blanks][sign]digits[.digits][e[sign]digits][blanks]"; invalid from 10^38 on after scaling.
scaled_number parse_scaled(std::string_view text, int scale) noexcept;

// Writes value * 10^-scale without trailing zeros into `buffer` (at least 64 bytes), returns the text.
std::string_view format_scaled(int128 value, int scale, char *buffer) noexcept;

} // namespace shadow
