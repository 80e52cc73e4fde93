#pragma once
// One event, and the one place where its metadata is interpreted (doc/metrics.md, rules 1 to 15): rollups,
// alerts, export and funnels all call interpret(), no SQL repeats it.

#include "core/base/uuid.hpp"
#include "core/event/event_type.hpp"
#include "core/event/metadata.hpp"
#include "core/event/prices.hpp"

#include <cstdint>
#include <string_view>

namespace shadow
{

// Cuts text to at most `characters` characters of the host's encoding; returns the length in bytes.
using text_clipper = std::size_t (*)(const char *text, std::size_t length, int characters);

inline constexpr int longest_number_text = 64; // a number that is read as text may be so long
inline constexpr int longest_text_key = 100;   // characters of a model, error type, reason or event name

inline constexpr std::string_view unknown_text = "unknown"; // a model or error type that is not named

enum class run_status : std::uint8_t { successful, failed, cancelled, unfinished, unknown };

// Tokens by what they cost; each at most 2^53.
struct token_usage {
    std::int64_t input; // not from a cache
    std::int64_t output;
    std::int64_t cache_read;
    std::int64_t cache_write;
};

// What an event says. Views point into the event and into `run_id_buffer`.
struct event_facts {
    bool has_agent;
    bool has_credits;
    bool has_cost;
    bool cost_in_usd; // cost_usd, not cost
    bool has_revenue;
    bool is_feedback;
    run_status status;               // of agent_run
    uuid agent;                      // if has_agent and without a name
    std::string_view agent_name;     // of an agent that is named by text; empty: none
    std::int64_t runtime;            // nanoseconds, -1: none
    std::int64_t tokens;             // -1: none
    token_usage usage;               // all 0: unknown
    std::int32_t attempt;            // 1 if none is named
    std::int64_t rating;             // 10^-9, -1: none
    int128 credits;                  // 10^-9, 0 if none
    int128 cost;                     // 10^-9, 0 if none
    int128 revenue;                  // 10^-9, 0 if none
    std::string_view run_id;         // empty: none
    std::string_view model;          // "unknown" if missing
    std::string_view error_type;     // "unknown" if missing
    std::string_view error_message;  // empty: none
    std::string_view failure_reason; // empty: none; whole, as it is clipped after redaction
    std::uint64_t ignored;           // malformed values: bit i for the key with number i
    // Numbers read as text: the longest, and what the host may need beyond it.
    char text_buffers[4][longest_number_text + 8];
};

// What an event is read by.
struct reading_rules {
    text_clipper clip;
    currency_code currency; // of the revenue that counts; 0: any
};

void interpret(event_type type, const metadata &values, const reading_rules &rules,
               event_facts &out) noexcept;

// The agent of facts that have one.
uuid agent_of(const event_facts &facts, const uuid &workspace);

} // namespace shadow
