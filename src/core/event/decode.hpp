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
    currency_code currency;    // of the key "cost"
    span<credit_price> prices; // sorted by sort_prices()
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
};

// What only some events have.
struct decoded_facts {
    uuid id;
    hash128 run; // of the run_id, if has_run
    int128 credits;
    int128 cost; // if has_cost
    int128 revenue;
    std::int64_t runtime, tokens, rating; // -1: none
    std::uint64_t ignored;
    std::uint32_t agent, model, error_type, reason, message; // in the interner, npos: none
    currency_code currency;                                  // of the cost
    run_status status;
    bool has_run, has_cost, is_feedback;
};

struct decoded_event : decoded_head {
    decoded_facts facts; // if has_facts
};

// Interprets the metadata, looks texts up, prices credits.
void decode(const decoding_rules &rules, interner &interned, const raw_event &event, const metadata &values,
            decoded_event &out);

} // namespace shadow
