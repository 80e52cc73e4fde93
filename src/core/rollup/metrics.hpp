#pragma once
// The metrics of one rollup state: what doc/metrics.md defines, ready to be stored. Everything points into
// the arena that was given to compute_metrics().

#include "core/base/interrupt.hpp"
#include "core/base/nullable.hpp"
#include "core/rollup/state.hpp"

namespace shadow
{

struct run_counts {
    std::int64_t total, successful, failed, cancelled;
};

// Of the runtimes of runs that were not cancelled; seconds with 2 decimals.
struct runtime_metrics {
    nullable<std::int64_t> average, minimum, maximum, p50, p75, p95, p99;
};

struct agent_metrics {
    uuid agent;
    std::string_view name; // of an agent that is named by text; empty: none
    run_counts runs;
    runtime_metrics runtime;
    int128 credits;                   // 10^-9
    nullable<int128> average_credits; // 10^-2
    nullable<int128> cost;            // 10^-4
    currency_code currency;           // 0: NULL
    std::string_view cost_reason;     // why the cost is NULL; empty: NULL
    int128 tokens;
    nullable<int128> average_tokens;
    std::int64_t unique_users;
    nullable<std::int64_t> average_rating; // 10^-2
    std::int64_t feedbacks;
    std::string_view error_types;     // JSON
    std::string_view failure_reasons; // JSON
    std::string_view runtime_sketch;  // a serialized quantile sketch; empty: no runtime
    std::string_view user_positions;  // a stored user_set of positions in user_list
};

struct event_count {
    event_type type;
    std::string_view name;
    std::int64_t events, users;
    std::string_view user_positions; // a stored user_set of positions in user_list
};

// Errors (error events, and failed runs without one) of one type and event name.
struct error_count {
    std::string_view type, name;
    std::int64_t errors;
    span<std::int64_t> message_hashes; // the smallest of the distinct messages', ascending
    span<std::string_view> samples;    // the messages with the smallest hashes
};

struct user_activity {
    uuid user;
    std::int64_t first, last;
    int128 revenue; // 10^-9
};

struct rollup_metrics {
    std::int64_t events;
    std::string_view events_by_type; // JSON
    std::int64_t users;
    std::int64_t sessions;
    nullable<int128> average_session;   // seconds, 10^-2
    nullable<std::int64_t> bounce_rate; // percent, 10^-2
    run_counts runs;
    runtime_metrics runtime;
    std::string_view runtime_sketch;   // as of an agent
    int128 credits;                    // 10^-9
    nullable<int128> average_credits;  // 10^-2
    std::string_view credits_by_model; // JSON
    nullable<int128> cost;             // 10^-4
    std::string_view cost_by_model;    // JSON, empty: NULL
    currency_code currency;            // 0: NULL
    std::string_view cost_reason;      // as of an agent
    int128 tokens;
    std::string_view tokens_by_model; // JSON
    std::int64_t agents_run;
    span<agent_metrics> leaders; // the agents of top_agents
    std::string_view top_agents; // JSON
    std::int64_t errors;
    nullable<std::int64_t> error_rate;                     // percent, 10^-2
    std::string_view errors_by_type;                       // JSON
    std::string_view ignored_values;                       // JSON
    nullable<std::int64_t> average_response, p95_response; // milliseconds
    span<agent_metrics> agents;                            // by agent
    span<event_count> event_counts;                        // by type, name
    span<error_count> error_counts;                        // by type, name
    span<user_activity> user_list;                         // by user
};

// `details` = false leaves out what only the daily rollup needs: agents, sketches, event counts, errors, users.
rollup_metrics compute_metrics(const uuid &workspace, const rollup_state &state, const rollup_rules &rules,
                               bool details, std::pmr::memory_resource *memory, interrupt_check interrupted);

// JSON of agents by rank, in the memory.
std::string_view describe_leaders(span<agent_metrics> agents, std::pmr::memory_resource *memory);

} // namespace shadow
