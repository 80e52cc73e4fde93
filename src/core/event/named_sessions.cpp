#include "core/event/named_sessions.hpp"

#include <algorithm>
#include <tuple>

namespace shadow
{

// From a to a later b; any two 64-bit instants have an unsigned 64-bit distance.
static std::uint64_t distance(std::int64_t a, std::int64_t b) noexcept
{
    return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
}

void named_sessions::sort()
{
    std::sort(sessions_.begin(), sessions_.end(), [](const extent &a, const extent &b) {
        return std::tie(a.first, a.last, a.order) < std::tie(b.first, b.last, b.order);
    });
    latest_.clear();
    for (std::size_t i = 0; i < sessions_.size(); ++i)
        latest_.push_back(i > 0 && sessions_[latest_[i - 1]].last >= sessions_[i].last ? latest_[i - 1] : i);
}

std::size_t named_sessions::find(std::int64_t first, std::int64_t last, std::uint64_t gap) const noexcept
{
    // The first that does not end before: overlaps, or is the next one after.
    auto const next = static_cast<std::size_t>(
        std::partition_point(latest_.begin(), latest_.end(),
                             [&](std::size_t i) { return sessions_[i].last < first; }) -
        latest_.begin());
    bool const has_next = next < sessions_.size();
    if (has_next && sessions_[next].first <= last)
        return sessions_[next].place;
    std::uint64_t const after = has_next ? distance(last, sessions_[next].first) : UINT64_MAX;
    std::uint64_t const before = next > 0 ? distance(sessions_[latest_[next - 1]].last, first) : UINT64_MAX;
    if (std::min(before, after) >= gap)
        return none;
    return before <= after ? sessions_[latest_[next - 1]].place : sessions_[next].place;
}

} // namespace shadow
