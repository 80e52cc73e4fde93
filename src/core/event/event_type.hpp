#pragma once
// The event types that analytics.user_activity accepts.

#include <cstdint>
#include <optional>
#include <string_view>

namespace shadow
{

enum class event_type : std::uint8_t {
    page_view,
    agent_run,
    login,
    logout,
    workspace_switch,
    feature_use,
    error,
    api_call,
    export_, // "export" is a keyword
    report_view,
    custom,
    click,
    form_submit,
    session_start,
    session_end
};

inline constexpr std::string_view event_type_names[] = {
    "page_view",   "agent_run", "login",       "logout",        "workspace_switch",
    "feature_use", "error",     "api_call",    "export",        "report_view",
    "custom",      "click",     "form_submit", "session_start", "session_end"};
inline constexpr int event_type_count = static_cast<int>(std::size(event_type_names));

constexpr std::string_view name_of(event_type type) noexcept
{
    return event_type_names[static_cast<int>(type)];
}

constexpr std::optional<event_type> find_event_type(std::string_view name) noexcept
{
    for (int i = 0; i < event_type_count; ++i)
        // Most are told apart by the length and the first character, without a call.
        if (event_type_names[i].size() == name.size() && event_type_names[i].front() == name.front() &&
            event_type_names[i] == name)
            return static_cast<event_type>(i);
    return std::nullopt;
}

} // namespace shadow
