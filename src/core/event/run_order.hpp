#pragma once
// Which of several events of one run decides (doc/metrics.md, the fact "run").

#include "core/event/event.hpp"

namespace shadow
{

// A terminal event beats one that says nothing; unfinished ones do not take part.
constexpr int decision_rank(run_status status) noexcept
{
    return status == run_status::unknown ? 1 : 2;
}

// Among equals the last by (created_at, id).
inline bool is_later(std::int64_t at, const uuid &id, std::int64_t other_at, const uuid &other_id) noexcept
{
    return at != other_at ? at > other_at : other_id < id;
}

} // namespace shadow
