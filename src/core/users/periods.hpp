#pragma once
// Calendar periods by number: days, weeks from Monday, months.

#include <cstdint>
#include <string_view>

namespace shadow
{

// A calendar period by its number; days are counted from 2000-01-01.
enum class period_kind { daily, weekly, monthly };
period_kind parse_period(std::string_view name); // throws errc::invalid_argument
std::int32_t period_of(period_kind kind, std::int32_t day) noexcept;
std::int32_t period_start(period_kind kind, std::int32_t period) noexcept; // its first day

} // namespace shadow
