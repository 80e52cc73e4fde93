#include "core/ingest/event_keys.hpp"

#include "core/base/error.hpp"
#include "core/event/metadata.hpp"

#include <algorithm>
#include <iterator>

namespace shadow
{

static constexpr std::string_view key_names[event_key_count] = {
    "id",         "workspace_id", "user_id",    "event_type", "event_name", "page_path",
    "session_id", "ip_address",   "user_agent", "referrer",   "metadata",   "created_at"};

std::string_view name_of(event_key key) noexcept
{
    return key_names[static_cast<int>(key)];
}

event_key find_event_key(std::string_view name) noexcept
{
    auto const *const found = std::find(std::begin(key_names), std::end(key_names), name);
    return static_cast<event_key>(found - std::begin(key_names));
}

namespace
{

// A key in small letters without separators: createdAt and Created-At are createdat.
struct plain_key {
    static constexpr std::size_t longest = 32;
    char letters[longest];
    std::size_t length = 0;

    explicit plain_key(std::string_view name) noexcept
    {
        for (char const c : name.substr(0, longest))
            if (c != '_' && c != '-' && c != ' ' && c != '$')
                letters[length++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    std::string_view text() const noexcept { return {letters, length}; }
};

struct other_name {
    std::string_view name; // plain
    event_key key;
};

} // namespace

// What other tools, and people, call the keys.
static constexpr other_name other_names[] = {{"timestamp", event_key::created_at},
                                             {"time", event_key::created_at},
                                             {"ts", event_key::created_at},
                                             {"date", event_key::created_at},
                                             {"datetime", event_key::created_at},
                                             {"eventtime", event_key::created_at},
                                             {"occurredat", event_key::created_at},
                                             {"sentat", event_key::created_at},
                                             {"event", event_key::event_type},
                                             {"type", event_key::event_type},
                                             {"name", event_key::event_name},
                                             {"properties", event_key::metadata},
                                             {"props", event_key::metadata},
                                             {"data", event_key::metadata},
                                             {"attributes", event_key::metadata},
                                             {"context", event_key::metadata},
                                             {"payload", event_key::metadata},
                                             {"distinctid", event_key::user_id},
                                             {"user", event_key::user_id},
                                             {"uid", event_key::user_id},
                                             {"anonymousid", event_key::user_id},
                                             {"session", event_key::session_id},
                                             {"visitid", event_key::session_id},
                                             {"tenantid", event_key::workspace_id},
                                             {"workspace", event_key::workspace_id},
                                             {"organizationid", event_key::workspace_id},
                                             {"messageid", event_key::id},
                                             {"eventid", event_key::id},
                                             {"uuid", event_key::id},
                                             {"insertid", event_key::id},
                                             {"url", event_key::page_path},
                                             {"path", event_key::page_path},
                                             {"page", event_key::page_path},
                                             {"ip", event_key::ip_address},
                                             {"referer", event_key::referrer}};

// Levenshtein's distance, the last row of the table alone.
static std::size_t distance(std::string_view a, std::string_view b) noexcept
{
    std::size_t row[plain_key::longest + 1];
    for (std::size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            std::size_t const replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

event_key nearest_event_key(std::string_view name) noexcept
{
    plain_key const plain(name);
    for (auto const &other : other_names)
        if (other.name == plain.text())
            return other.key;
    event_key nearest = event_key::none;
    std::size_t least = std::min<std::size_t>(3, plain.length / 3 + 1);
    for (int i = 0; i < event_key_count; ++i) {
        std::size_t const d = distance(plain.text(), plain_key(key_names[i]).text());
        if (d < least) {
            least = d;
            nearest = static_cast<event_key>(i);
        }
    }
    // What events are counted by is in their metadata.
    return nearest == event_key::none && find_metadata_key(name) != metadata_key::none ? event_key::metadata
                                                                                       : nearest;
}

std::optional<std::int64_t> time_of(const uuid &id) noexcept
{
    if ((id.high >> 12 & 0xF) != 7 || id.low >> 62 != 2)
        return std::nullopt;
    constexpr std::int64_t year_2000 = 946'684'800'000; // milliseconds since 1970
    return (static_cast<std::int64_t>(id.high >> 16) - year_2000) * 1'000;
}

void refuse_event_kind()
{
    throw error(errc::invalid_argument, "an event must be a JSON object");
}

void refuse_event_key(std::string_view name)
{
    event_key const nearest = nearest_event_key(name);
    std::string detail = nearest == event_key::none
                             ? ""
                             : "The nearest known key is \"" + std::string(name_of(nearest)) + "\".";
    std::string keys;
    for (auto const known : key_names)
        keys.append(keys.empty() ? "" : ", ").append(known);
    throw error(errc::invalid_argument, "unknown key \"" + std::string(name) + "\" in an event", detail,
                "Keys of an event are: " + keys + ". Whatever else is known of it belongs into metadata.");
}

void refuse_written_time(std::string_view value, const char *problem)
{
    throw error(errc::invalid_argument, std::string("created_at is ") + problem,
                "The value is \"" + std::string(value) + "\".",
                "Send ISO 8601 with a zone, as 2026-11-03T10:00:00Z, or seconds or milliseconds since 1970.");
}

void refuse_time_of_retry()
{
    throw error(
        errc::invalid_argument, "an event with an id needs created_at",
        "An event is known again by workspace_id, created_at and id. Without its time a retry would be "
        "stored, and counted, a second time.",
        "Send created_at with it, the same in every retry, or an id of version 7, which has the time in it.");
}

void refuse_id(event_key key, std::string_view value)
{
    throw error(errc::invalid_text, std::string(name_of(key)) + " is no uuid",
                "The value is \"" + std::string(value) + "\".");
}

void refuse_text_id(event_key key, std::string_view value)
{
    throw error(errc::invalid_text, std::string(name_of(key)) + " is no uuid",
                "The value is \"" + std::string(value) + "\", and the setting text_ids is off.",
                "With INSERT INTO analytics.settings VALUES ('text_ids', 'true'), as the owner, users and "
                "sessions may be "
                "named by any text; analytics.user_uuid() tells the uuid of a user.");
}

} // namespace shadow
