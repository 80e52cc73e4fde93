#pragma once
// Times as the tools write them.

#include "document.hpp"

#include <cstdint>

namespace date
{
class time_zone;
}

namespace importer
{

inline constexpr std::int64_t microseconds_per_day = 86'400'000'000;
inline constexpr std::int64_t unix_epoch_days = 10957; // from 1970-01-01 to 2000-01-01

struct instant {
    std::int64_t at = 0;           // microseconds since 2000-01-01 00:00 UTC, as PostgreSQL counts
    const char *problem = nullptr; // why there is none
};

// Of texts without an offset and, on request, of numbers. Of two instants of one local time it is the first,
// and a local time that was left out is the instant of the change: always the same, as the time is part of an
// event's key.
class zone
{
public:
    zone() = default; // none: a time must say its own
    // A name of the IANA database; throws std::runtime_error for others.
    explicit zone(const std::string &name);
    explicit operator bool() const noexcept { return zone_ != nullptr; }
    std::int64_t to_utc(std::int64_t local) const;

private:
    const date::time_zone *zone_ = nullptr;
};

// What shadow::read_time() reads.
instant parse_time(const value &v, const zone &z, bool are_numbers_local = false);

// As 2024-01-15T10:30:00.123456Z.
std::string format_time(std::int64_t at);
// As 2024-01-15, of days since 2000-01-01.
std::string format_day(std::int64_t day);

} // namespace importer
