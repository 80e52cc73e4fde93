#pragma once
// From an event's row to what is counted: everything of an event that needs no rollup state. The metadata is
// interpreted, texts and agents become numbers of the interner, credits get their price.

#include "core/base/hash.hpp"
#include "core/event/event.hpp"
#include "core/event/interner.hpp"
#include "core/event/prices.hpp"

namespace shadow
{

// What is the same for all events of a query; it outlives the decoded events.
struct decoding_rules {
    currency_code currency; // of the key "cost"
    price_lists prices;
    text_clipper clip;
};

struct raw_event {
    uuid workspace;
    uuid user;
    uuid session; // if has_session
    uuid id;
    std::int64_t at; // microseconds, PostgreSQL's epoch
    std::string_view name;
    event_type type;
    bool has_session;
};

// An event after its interpretation: numbers and ids only, nothing points into the event any more.
struct decoded_head {
    uuid user;
    hash128 session; // of session_id and user_id, if has_session
    std::int64_t at;
    std::uint32_t name; // in the interner
    event_type type;
    bool has_session, has_facts;
    bool has_brief_facts; // of one that waits: see batch.cpp
};

// What only some events have.
struct decoded_facts {
    uuid id;
    uuid agent_id; // if has_agent
    hash128 run;   // of the run_id, if has_run
    int128 credits;
    int128 cost; // if has_cost
    int128 revenue;
    std::int64_t runtime, tokens, rating; // -1: none
    std::uint64_t ignored;
    token_usage usage;
    std::int32_t attempt;
    std::uint32_t agent;                       // in the interner, npos: none, or not looked up
    std::uint32_t error_type, reason, message; // in the interner, npos: none
    std::uint32_t model;                       // npos: unknown
    currency_code currency;                    // of the cost
    run_status status;
    bool has_run, has_credits, has_cost, states_cost, is_feedback, has_agent;
};

struct decoded_event : decoded_head {
    decoded_facts facts; // if has_facts
};

// What an event or a run costs by rule 14 of doc/metrics.md.
struct paid_facts {
    bool has_credits;
    int128 credits;
    token_usage usage;
    std::string_view model;
};
struct priced {
    bool is_known;
    int128 cost;
    currency_code currency;
};
priced price_of(const price_lists &prices, const uuid &workspace, const paid_facts &facts,
                std::int64_t at) noexcept;

// Why a sum of costs would mislead; empty if it does not, or if nothing has a cost or needs one.
constexpr std::string_view cost_reason(bool is_mixed, bool lacks_credit_price,
                                       bool lacks_token_price) noexcept
{
    return is_mixed             ? "several currencies"
           : lacks_credit_price ? "credits without a price"
           : lacks_token_price  ? "tokens without a price"
                                : "";
}

// Interprets the metadata, looks texts up, prices credits and tokens. The agent is not looked up: a rollup does that
// when it adds the event, next to others of the same agents.
void decode(const decoding_rules &rules, interner &interned, const raw_event &event, const metadata &values,
            decoded_event &out);
// For those who add it at once.
inline void look_up_agent(interner &interned, decoded_event &event)
{
    if (event.has_facts && event.facts.has_agent)
        event.facts.agent = interned.agent_id(event.facts.agent_id);
}

} // namespace shadow
