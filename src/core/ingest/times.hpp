#pragma once
// Times as clients and other tools write them.

#include <cstdint>
#include <string_view>

namespace shadow
{

// Microseconds since 2000-01-01 00:00, as PostgreSQL counts.
struct written_time {
    std::int64_t at = 0;           // UTC, or of an unknown clock
    bool has_zone = false;         // it says where it is from: `at` is UTC
    bool is_epoch = false;         // a number, also as a text
    const char *problem = nullptr; // why there is none
};

// ISO 8601 (a blank instead of the T is fine), or a number of seconds, milliseconds, microseconds or nanoseconds since
// 1970, told apart by their size: each reaches to the year 5138.
written_time read_time(std::string_view text, bool is_number) noexcept;

} // namespace shadow
