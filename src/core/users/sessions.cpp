#include "core/users/sessions.hpp"

#include "core/base/error.hpp"

#include <algorithm>

namespace shadow
{

// From a to a later b; any two 64-bit instants have an unsigned 64-bit distance.
static std::uint64_t distance(std::int64_t a, std::int64_t b) noexcept
{
    return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
}

static void join(session &into, const session &from) noexcept
{
    into.first = std::min(into.first, from.first);
    into.last = std::max(into.last, from.last);
    into.events += from.events;
}

bool session_set::touch(const session &a, const session &b) const noexcept
{
    if (a.last < b.first)
        return distance(a.last, b.first) < gap_;
    if (b.last < a.first)
        return distance(b.last, a.first) < gap_;
    return true;
}

void session_set::add(const session &part, interrupt_check check)
{
    constexpr std::size_t least_pending = 8;
    bool const ordered = settled_ == parts_.size();
    if (!parts_.empty() && touch(parts_.back(), part)) {
        bool const extends_back = part.first < parts_.back().first;
        join(parts_.back(), part);
        if (ordered && extends_back)
            --settled_; // it may now touch the one before
        return;
    }
    bool const is_latest = parts_.empty() || parts_.back().last < part.first;
    parts_.push_back(part);
    if (ordered && is_latest) {
        ++settled_;
    } else if (parts_.size() - settled_ > std::max(settled_, least_pending)) {
        settle(parts_, check);
        settled_ = parts_.size();
    }
}

void session_set::merge(const session_set &other, interrupt_check check)
{
    if (other.gap_ != gap_)
        throw error(errc::invalid_argument, "sessions with different gaps cannot be merged",
                    "The gaps are " + std::to_string(gap_) + " and " + std::to_string(other.gap_) +
                        " microseconds.");
    interrupt_poll poll(check);
    for (auto const &part : other.parts_) {
        poll();
        add(part, check);
    }
}

// Sorts the parts and joins those that touch: afterwards each is a session.
void session_set::settle(std::pmr::vector<session> &parts, interrupt_check check) const
{
    interrupt_poll poll(check);
    std::sort(parts.begin(), parts.end(), [&poll](const session &a, const session &b) {
        poll();
        return a.first < b.first;
    });
    auto end = parts.begin();
    for (auto const &part : parts) {
        poll();
        if (end != parts.begin() && touch(end[-1], part))
            join(end[-1], part);
        else
            *end++ = part;
    }
    parts.erase(end, parts.end());
}

session_totals session_set::totals(interrupt_check check) const
{
    std::pmr::vector<session> copy(parts_.get_allocator());
    if (settled_ != parts_.size()) {
        copy = parts_;
        settle(copy, check);
    }
    interrupt_poll poll(check);
    session_totals sum;
    for (auto const &each : settled_ == parts_.size() ? parts_ : copy) {
        poll();
        ++sum.sessions;
        sum.single_event_sessions += each.events == 1 ? 1 : 0;
        sum.events += each.events;
        sum.duration += distance(each.first, each.last);
    }
    return sum;
}

} // namespace shadow
