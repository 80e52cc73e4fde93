#pragma once
// Properties of an event that a definition may name, and how an event shows them.

#include "core/base/nullable.hpp"
#include "core/event/event.hpp"
#include "core/questions/place.hpp"

#include <optional>

namespace shadow::questions
{

// The event at hand, as the host has it. Views are valid until the host moves on.
class event_source
{
public:
    uuid id;
    uuid workspace;
    uuid user;
    uuid session; // if has_session
    std::int64_t at;
    event_type type;
    bool has_session;
    std::string_view name, page_path, referrer, user_agent; // empty: missing

    // A value of the metadata's first level; null without one.
    virtual json_value find(std::string_view key) const noexcept = 0;
    virtual void read(metadata &out) const noexcept = 0;
    virtual const json_host &host() const noexcept = 0;
    // An object or array as text.
    virtual std::string text_of(const json_value &structure) const = 0;

protected:
    ~event_source() = default;
};

// A JSON number as text is cut to so many bytes.
inline constexpr std::size_t metadata_number_bytes = 512;

enum class property_kind : std::uint8_t {
    event_type,
    event_name,
    page_path,
    referrer,
    referrer_host,
    session_id,
    user_agent,
    agent_id, // from here on facts, by interpret()
    run_id,
    status,
    model,
    error_type,
    runtime_seconds,
    tokens,
    credits,
    cost,
    revenue,
    rating,
    cost_currency, // of a stated cost: USD where it is cost_usd, else "-": the currency of the setting
    attempt,       // these are for questions about runs
    input_tokens,
    output_tokens,
    cache_read_tokens,
    cache_write_tokens,
    metadata // a key of the metadata
};

struct property {
    property_kind kind;
    std::string key; // of metadata

    bool is_fact() const noexcept
    {
        return kind >= property_kind::agent_id && kind != property_kind::metadata;
    }
    friend bool operator==(const property &a, const property &b) noexcept
    {
        return a.kind == b.kind && a.key == b.key;
    }
};

property parse_property(std::string_view name, const place &where);

// The host of a URL or of //host: lower case, without "www.", port and user; empty for local paths.
std::string host_of(std::string_view referrer);

// A number as conditions and sums see it: in units of 10^-9, below 10^18.
nullable<int128> number_of(std::string_view text) noexcept;

// Reads properties of one event after another.
class property_reader
{
public:
    void open(const event_source &event) noexcept
    {
        event_ = &event;
        has_facts_ = false;
    }
    // The value as text, `buffer` holds it where the event does not; empty: missing.
    std::string_view read(const property &what, const reading_rules &rules, std::string &buffer);
    const event_facts &facts(const reading_rules &rules);

private:
    std::string_view metadata_text(const std::string &key, std::string &buffer) const;
    std::string_view fact_text(property_kind kind, const reading_rules &rules, std::string &buffer);

    const event_source *event_ = nullptr;
    bool has_facts_ = false;
    event_facts facts_;
};

// The names of outcomes, as a condition on "status" writes them.
std::string_view name_of(run_status status) noexcept;

} // namespace shadow::questions
