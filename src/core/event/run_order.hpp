#pragma once
// Which of several events of one run decides, and which gives what that one lacks (doc/metrics.md, the fact "run").

#include "core/event/event.hpp"

#include <algorithm>
#include <cstddef>

namespace shadow
{

// A terminal event beats one that says nothing, and that beats an unfinished one, which decides no run.
constexpr int decision_rank(run_status status) noexcept
{
    return status == run_status::unfinished ? 0 : status == run_status::unknown ? 1 : 2;
}

// Among equals the last by (created_at, id).
inline bool is_later(std::int64_t at, const uuid &id, std::int64_t other_at, const uuid &other_id) noexcept
{
    return at != other_at ? at > other_at : other_id < id;
}

// Of events of a run or of one attempt, the latest first; rank_of(event).
template <typename Iterator, typename Rank>
Iterator find_decider(Iterator first, Iterator last, Rank rank_of)
{
    Iterator best = first;
    for (Iterator e = first; e != last; ++e)
        if (rank_of(*e) > rank_of(*best))
            best = e;
    return best;
}

} // namespace shadow
