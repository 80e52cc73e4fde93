#pragma once
// The keys of an event that comes as JSON, and what is wrong with one that cannot be stored.

#include "core/base/uuid.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace shadow
{

// As the columns of analytics.user_activity that a client may set, in their order.
enum class event_key : std::uint8_t {
    id,
    workspace_id,
    user_id,
    event_type,
    event_name,
    page_path,
    session_id,
    ip_address,
    user_agent,
    referrer,
    metadata,
    created_at,
    none
};
inline constexpr int event_key_count = static_cast<int>(event_key::none);

std::string_view name_of(event_key key) noexcept;
event_key find_event_key(std::string_view name) noexcept;

// The known key that is meant by an unknown one, by its spelling or as other tools say it; none if it is like none.
event_key nearest_event_key(std::string_view name) noexcept;

// Microseconds since 2000-01-01 00:00 UTC, of a uuid v7 (RFC 9562): nullopt for any other.
std::optional<std::int64_t> time_of(const uuid &id) noexcept;

// Texts are of the client, at most 100 characters long.
[[noreturn]] void refuse_event_kind();
[[noreturn]] void refuse_event_key(std::string_view name);
[[noreturn]] void refuse_written_time(std::string_view value, const char *problem);
[[noreturn]] void refuse_time_of_retry();
[[noreturn]] void refuse_id(event_key key, std::string_view value);
[[noreturn]] void refuse_text_id(event_key key, std::string_view value); // that a setting would allow

} // namespace shadow
