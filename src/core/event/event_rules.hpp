#pragma once
// What an event must look like to be stored. What it means is interpreted elsewhere, when it is counted.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace shadow
{

// Longest values in characters; longer ones are cut.
inline constexpr int event_name_characters = 100;
inline constexpr int page_path_characters = 255;
inline constexpr int user_agent_characters = 500;
inline constexpr int referrer_characters = 500;

// metadata is refused when it is longer than this both as stored (uncompressed jsonb) and as text. The first
// costs nothing to ask; the second is what a client can count, and shorter for lists of small numbers.
inline constexpr std::size_t metadata_bytes = 10240;

// jsonb needs at most 16 bytes where text needs 3 ("0, "), so beyond this the text is too long as well.
inline constexpr std::size_t metadata_bytes_as_stored = 8 * metadata_bytes;

[[noreturn]] void refuse_event_type(std::string_view value);
[[noreturn]] void refuse_metadata_kind(std::string_view kind);
[[noreturn]] void refuse_metadata_size(std::size_t bytes);
[[noreturn]] void refuse_time(std::string_view value);
[[noreturn]] void refuse_client_time(std::string_view value, std::int64_t most_days,
                                     std::int64_t most_minutes);

// Microseconds since 2000-01-01 00:00 UTC, as PostgreSQL counts. Clients may date an event from then to one
// day after `now`; the two infinities are the extreme values of the type.
inline constexpr std::int64_t microseconds_per_day = 86'400'000'000;

constexpr bool is_finite_time(std::int64_t time) noexcept
{
    return time != INT64_MIN && time != INT64_MAX;
}

constexpr bool is_client_time(std::int64_t time, std::int64_t now) noexcept
{
    return time >= 0 && time <= now + microseconds_per_day;
}

} // namespace shadow
