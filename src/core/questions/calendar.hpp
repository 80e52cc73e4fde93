#pragma once
// Local days and periods of a workspace. A date is days since 2000-01-01, an instant microseconds since then
// in UTC, as PostgreSQL counts.

#include "core/questions/place.hpp"

#include <cstdint>
#include <vector>

namespace shadow::questions
{

using date = std::int32_t;
using instant = std::int64_t;

inline constexpr instant second = 1'000'000;
inline constexpr instant day_length = 86'400 * second;
inline constexpr date earliest_date = -365 * 2000;
inline constexpr date latest_date = 365 * 8000;

enum class period : std::uint8_t { daily, weekly, monthly, total };

period parse_period(std::string_view name, bool with_total, const place &where);
date parse_date(std::string_view text, const place &where);
std::string date_text(date day); // 2025-03-31

// ISO weeks begin on Monday. A total has no periods: it begins where the range does.
date period_start(date day, period unit) noexcept;
date next_period(date start, period unit) noexcept;

// A length of time in microseconds: "7 days", "1 day 12:00:00", "90 minutes". Months and years have no
// length; refuses what is not positive or above 366 days.
std::int64_t parse_length(std::string_view text, const place &where);

// The first instant of each local day of a span.
class calendar
{
public:
    calendar() = default;
    // starts[i] is the first instant of first + i; the last one ends the span.
    calendar(date first, std::vector<instant> starts) : first_(first), starts_(std::move(starts)) {}

    date first() const noexcept { return first_; }
    date last() const noexcept { return first_ + static_cast<date>(starts_.size()) - 2; }
    bool has(date day) const noexcept { return day >= first_ && day <= last() + 1; }
    // Of a day of the span, or the one after it.
    instant start_of(date day) const noexcept { return starts_[static_cast<std::size_t>(day - first_)]; }
    // The day before the span stands for all earlier ones, the day after it for all later ones.
    date day_of(instant at) const noexcept;

private:
    date first_ = 0;
    std::vector<instant> starts_;
};

} // namespace shadow::questions
