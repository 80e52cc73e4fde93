#pragma once
// How far a unit (a user's events, a session's, or those of one value) gets in a funnel, and by which chain
// of events. Only instants order events: what happens at one instant happens in any order.

#include "core/questions/event_stream.hpp"

#include <array>

namespace shadow::questions
{

inline constexpr int most_steps = 16;
inline constexpr int most_exclusions = 8;

enum class step_order : std::uint8_t { ordered, strict, any };

// Event `selector` after step i and before step j ends a chain; steps count from 1.
struct exclusion {
    int selector;
    int after, before;
};

struct funnel_rules {
    int steps = 0; // the selectors 0..steps - 1
    step_order order = step_order::ordered;
    std::vector<exclusion> exclusions;
    std::int64_t window = 0;          // microseconds, inclusive
    std::int64_t from = 0, until = 0; // where step 1 must be: from <= t < until
    std::int64_t as_of = 0;           // what is open then is in progress

    event_mask step_mask() const noexcept { return (event_mask{1} << steps) - 1; }
    // Steps and excluded events.
    event_mask relevant_mask() const noexcept;
};

// The decisive chain: its events by step; in any order only the first and the last of `level` events.
struct funnel_chain {
    int level = 0; // 0: no entry
    bool in_progress = false;
    std::array<std::int64_t, most_steps> at;
    std::array<std::uint32_t, most_steps> index; // within the unit

    void copy(const funnel_chain &from) noexcept;
    void append(std::int64_t time, std::uint32_t event) noexcept;
};

// Events of one instant: unit[first] .. unit[first + size - 1].
struct event_group {
    std::int64_t at;
    std::size_t first, size;
    event_mask any, all; // of their masks
};
event_group group_at(const event_span &unit, std::size_t first) noexcept;

funnel_chain run_funnel(const funnel_rules &rules, const event_span &unit, interrupt_poll &poll);

// Counting by attempts, one after the other; not with step_order any. Appends to `out`.
void run_attempts(const funnel_rules &rules, const event_span &unit, std::vector<funnel_chain> &out,
                  interrupt_poll &poll);

// A unit of several parts counts once: by the furthest, which got there first, which began last; it is in
// progress if any part is. True if the other one is it.
bool take_better(funnel_chain &into, const funnel_chain &other) noexcept;

} // namespace shadow::questions
