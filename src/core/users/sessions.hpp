#pragma once
// Sessions by inactivity: events belong together when less than a gap lies between neighbours. These are the
// connected components of the events' instants, so neither the order of events nor the grouping of partial
// sets makes a difference.

#include "core/base/interrupt.hpp"

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace shadow
{

// Instants and durations are microseconds; an instant may be any 64-bit number.
struct session {
    std::int64_t first;
    std::int64_t last;
    std::uint64_t events;
};

struct session_totals {
    std::uint64_t sessions = 0;
    std::uint64_t single_event_sessions = 0;
    std::uint64_t events = 0;
    std::uint64_t duration = 0; // sum of last - first; fits, as sessions do not overlap
};

// Events in (nearly) chronological order cost O(1); in any order O(log n) each, amortised. Holds at most
// twice as many parts as there are sessions, and a few. Needs no destructor if its memory resource needs
// none.
class session_set
{
public:
    session_set(std::uint64_t gap, std::pmr::memory_resource *memory) : parts_(memory), gap_(gap) {}

    // Adds an event, or part of a session: events without a gap between them.
    void add(std::int64_t at, interrupt_check check = nullptr) { add(session{at, at, 1}, check); }
    void add(const session &part, interrupt_check check = nullptr);
    // Adds all of the other set, which must have the same gap.
    void merge(const session_set &other, interrupt_check check = nullptr);

    session_totals totals(interrupt_check check = nullptr) const;

    std::uint64_t gap() const noexcept { return gap_; }
    // Parts of sessions in no particular order; adding them to an empty set gives an equal set.
    const std::pmr::vector<session> &parts() const noexcept { return parts_; }

private:
    bool touch(const session &a, const session &b) const noexcept;
    void settle(std::pmr::vector<session> &parts, interrupt_check check) const;

    std::pmr::vector<session> parts_;
    std::size_t settled_ = 0; // so many at the front are in order, with gaps between them
    std::uint64_t gap_;
};

} // namespace shadow
