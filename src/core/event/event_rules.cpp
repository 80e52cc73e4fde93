#include "core/event/event_rules.hpp"

#include "core/base/error.hpp"
#include "core/event/event_type.hpp"

namespace shadow
{

void refuse_event_type(std::string_view value)
{
    std::string types;
    for (auto const type : event_type_names)
        types.append(types.empty() ? "" : ", ").append(type);
    throw error(errc::invalid_argument, "unknown event_type", "The value is \"" + std::string(value) + "\".",
                "Event types are: " + types + ". For others use custom and event_name.");
}

void refuse_metadata_kind(std::string_view kind)
{
    throw error(errc::invalid_argument, "metadata must be a JSON object",
                "The value is " + std::string(kind) + ".", "Wrap it: {\"value\": ...}.");
}

void refuse_metadata_size(std::size_t bytes)
{
    throw error(errc::limit_exceeded, "metadata is too long",
                "It has " + std::to_string(bytes) + " bytes, the limit is " + std::to_string(metadata_bytes) +
                    ".",
                "Keep large documents in a table of your own and store their key.");
}

void refuse_time(std::string_view value)
{
    throw error(errc::invalid_argument, "created_at is out of range",
                "The value is " + std::string(value) + ".",
                "Events may be dated from 2000-01-01 to one day ahead; only the owner of the table may store "
                "others, and nobody an infinite time.");
}

void refuse_client_time(std::string_view value, std::int64_t most_days, std::int64_t most_minutes)
{
    throw error(errc::invalid_argument, "created_at is out of range for clients",
                "The value is " + std::string(value) + ".",
                "Clients may date an event from " + std::to_string(most_days) + " days ago to " +
                    std::to_string(most_minutes) +
                    " minutes ahead (settings event_max_age_days, event_max_future_minutes).");
}

} // namespace shadow
