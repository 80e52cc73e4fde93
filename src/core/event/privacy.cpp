#include "core/event/privacy.hpp"

#include <algorithm>
#include <iterator>

namespace shadow
{

ip_policy ip_policy_named(std::string_view name) noexcept
{
    return name == "keep"       ? ip_policy::keep
           : name == "truncate" ? ip_policy::truncate
           : name == "hash"     ? ip_policy::hash
                                : ip_policy::drop;
}

user_agent_policy user_agent_policy_named(std::string_view name) noexcept
{
    return name == "keep"     ? user_agent_policy::keep
           : name == "family" ? user_agent_policy::family
                              : user_agent_policy::drop;
}

void truncate_address(unsigned char *address, int size, int kept) noexcept
{
    for (int i = 0; i < size; ++i) {
        int const bits = std::clamp(kept - 8 * i, 0, 8);
        address[i] = static_cast<unsigned char>(address[i] & (0xFF00 >> bits));
    }
}

std::string_view without_query(std::string_view url) noexcept
{
    return url.substr(0, url.find_first_of("?#"));
}

std::string_view user_agent_family(std::string_view user_agent) noexcept
{
    struct sign {
        std::string_view part;
        std::string_view family;
    };
    // Browsers claim to be the ones they descend from, so the most specific name comes first.
    static constexpr sign signs[] = {
        {"bot", "Bot"},
        {"Bot", "Bot"},
        {"crawl", "Bot"},
        {"spider", "Bot"},
        {"Slurp", "Bot"},
        {"Edg", "Edge"},
        {"OPR/", "Opera"},
        {"Opera", "Opera"},
        {"SamsungBrowser", "Samsung Internet"},
        {"Samsung Internet", "Samsung Internet"},
        {"YaBrowser", "Yandex"},
        {"Yandex", "Yandex"},
        {"Vivaldi", "Vivaldi"},
        {"FxiOS", "Firefox"},
        {"Firefox", "Firefox"},
        {"CriOS", "Chrome"},
        {"Chrome", "Chrome"},
        {"Chromium", "Chrome"},
        {"Safari", "Safari"},
        {"MSIE", "Internet Explorer"},
        {"Trident/", "Internet Explorer"},
        {"Internet Explorer", "Internet Explorer"},
    };
    auto const *const found = std::find_if(std::begin(signs), std::end(signs), [&](const sign &s) {
        return user_agent.find(s.part) != std::string_view::npos;
    });
    return found == std::end(signs) ? "Other" : found->family;
}

bool is_amount(metadata_key key) noexcept
{
    using key_type = metadata_key;
    return (key >= key_type::credits_consumed && key <= key_type::usage_metadata) ||
           key == key_type::revenue || key == key_type::amount;
}

bool is_identifier(metadata_key key) noexcept
{
    using key_type = metadata_key;
    return key <= key_type::success || (key >= key_type::model && key <= key_type::exception) ||
           key == key_type::currency || key == key_type::dropped_values;
}

} // namespace shadow
