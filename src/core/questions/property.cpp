#include "core/questions/property.hpp"

#include "core/base/decimal.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

constexpr std::string_view names[] = {"event_type",
                                      "event_name",
                                      "page_path",
                                      "referrer",
                                      "referrer_host",
                                      "session_id",
                                      "user_agent",
                                      "agent_id",
                                      "run_id",
                                      "status",
                                      "model",
                                      "error_type",
                                      "runtime_seconds",
                                      "tokens",
                                      "credits",
                                      "cost",
                                      "revenue",
                                      "rating",
                                      "cost_currency",
                                      "attempt",
                                      "input_tokens",
                                      "output_tokens",
                                      "cache_read_tokens",
                                      "cache_write_tokens"};
static_assert(std::size(names) == static_cast<std::size_t>(property_kind::metadata));

// Sums of as many as there can be fit.
constexpr int128 largest_number = int128{1'000'000'000'000'000'000} * nano;

constexpr std::string_view metadata_prefix = "metadata.";

std::string_view nano_text(int128 value, std::string &buffer)
{
    char text[64];
    buffer = format_scaled(value, nano_scale, text);
    return buffer;
}

std::string_view uuid_text(const uuid &id, std::string &buffer)
{
    char text[37];
    buffer = format_uuid(id, text);
    return buffer;
}

} // namespace

property parse_property(std::string_view name, const place &where)
{
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (names[i] == name)
            return {static_cast<property_kind>(i), {}};
    if (name.substr(0, metadata_prefix.size()) == metadata_prefix && name.size() > metadata_prefix.size())
        return {property_kind::metadata, std::string(name.substr(metadata_prefix.size()))};
    where.refuse(
        "unknown property \"" + place::shown(name) + "\"",
        "Metadata keys are written metadata.plan; the others are event_type, event_name, page_path, "
        "referrer, referrer_host, session_id, user_agent, agent_id, run_id, status, model, error_type, "
        "runtime_seconds, tokens, credits, cost, revenue and rating.");
}

std::string host_of(std::string_view referrer)
{
    auto const is_scheme = [](char c) {
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '+' || c == '.' ||
               c == '-';
    };
    std::size_t at = 0;
    while (at < referrer.size() && is_scheme(referrer[at]))
        ++at;
    bool const has_scheme = at > 0 && (referrer[0] | 0x20) >= 'a' && (referrer[0] | 0x20) <= 'z';
    if (at > 0) {
        if (!has_scheme || referrer.substr(at, 1) != ":")
            return {};
        ++at;
    }
    if (referrer.substr(at, 2) != "//")
        return {};
    std::string_view rest = referrer.substr(at + 2);
    rest = rest.substr(0, std::min(rest.find_first_of("/?#"), rest.size()));
    if (auto const user = rest.find('@'); user != std::string_view::npos)
        rest.remove_prefix(user + 1);
    std::string host(rest.substr(0, std::min(rest.find(':'), rest.size())));
    for (char &c : host)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c + ('a' - 'A'));
    return host.compare(0, 4, "www.") == 0 ? host.substr(4) : host;
}

nullable<int128> number_of(std::string_view text) noexcept
{
    scaled_number const n = parse_scaled(text, nano_scale);
    bool const is_number = n.valid && n.value < largest_number && n.value > -largest_number;
    return is_number ? nullable<int128>(n.value) : nullable<int128>();
}

std::string_view name_of(run_status status) noexcept
{
    static constexpr std::string_view texts[] = {"successful", "failed", "cancelled", "unfinished",
                                                 "unknown"};
    return texts[static_cast<int>(status)];
}

const event_facts &property_reader::facts(const reading_rules &rules)
{
    if (!has_facts_) {
        metadata values(event_->host());
        event_->read(values);
        interpret(event_->type, values, rules, facts_);
        has_facts_ = true;
    }
    return facts_;
}

std::string_view property_reader::read(const property &what, const reading_rules &rules, std::string &buffer)
{
    switch (what.kind) {
    case property_kind::event_type:
        return name_of(event_->type);
    case property_kind::event_name:
        return event_->name;
    case property_kind::page_path:
        return event_->page_path;
    case property_kind::referrer:
        return event_->referrer;
    case property_kind::referrer_host:
        return buffer = host_of(event_->referrer);
    case property_kind::session_id:
        return event_->has_session ? uuid_text(event_->session, buffer) : std::string_view{};
    case property_kind::user_agent:
        return event_->user_agent;
    case property_kind::metadata:
        return metadata_text(what.key, buffer);
    default:
        return fact_text(what.kind, rules, buffer);
    }
}

std::string_view property_reader::metadata_text(const std::string &key, std::string &buffer) const
{
    json_value const value = event_->find(key);
    switch (value.type) {
    case json_type::null:
        return {};
    case json_type::boolean:
        return value.boolean ? "true" : "false";
    case json_type::string:
        return value.text;
    case json_type::number:
        buffer.resize(metadata_number_bytes);
        return event_->host().to_text(value, buffer.data(), buffer.size());
    default:
        return buffer = event_->text_of(value);
    }
}

std::string_view property_reader::fact_text(property_kind kind, const reading_rules &rules,
                                            std::string &buffer)
{
    event_facts const &f = facts(rules);
    bool const is_run = event_->type == event_type::agent_run;
    switch (kind) {
    case property_kind::agent_id:
        return f.has_agent ? uuid_text(agent_of(f, event_->workspace), buffer) : std::string_view{};
    case property_kind::run_id:
        return f.run_id;
    case property_kind::status:
        return is_run ? name_of(f.status) : std::string_view{};
    case property_kind::model:
        return f.model;
    case property_kind::error_type:
        return is_run || event_->type == event_type::error ? f.error_type : std::string_view{};
    case property_kind::runtime_seconds:
        return f.runtime < 0 ? std::string_view{} : nano_text(f.runtime, buffer);
    case property_kind::tokens:
        return f.tokens < 0 ? std::string_view{} : nano_text(int128{f.tokens} * nano, buffer);
    case property_kind::credits:
        return f.has_credits ? nano_text(f.credits, buffer) : std::string_view{};
    case property_kind::cost:
        return f.has_cost ? nano_text(f.cost, buffer) : std::string_view{};
    case property_kind::revenue:
        return f.has_revenue ? nano_text(f.revenue, buffer) : std::string_view{};
    case property_kind::cost_currency:
        return !f.has_cost ? std::string_view{} : f.cost_in_usd ? "USD" : "-";
    case property_kind::attempt:
        return nano_text(int128{f.attempt} * nano, buffer);
    case property_kind::input_tokens:
        return nano_text(int128{f.usage.input} * nano, buffer);
    case property_kind::output_tokens:
        return nano_text(int128{f.usage.output} * nano, buffer);
    case property_kind::cache_read_tokens:
        return nano_text(int128{f.usage.cache_read} * nano, buffer);
    case property_kind::cache_write_tokens:
        return nano_text(int128{f.usage.cache_write} * nano, buffer);
    default:
        return f.rating < 0 ? std::string_view{} : nano_text(f.rating, buffer);
    }
}

} // namespace shadow::questions
