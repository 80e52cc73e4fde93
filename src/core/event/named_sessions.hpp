#pragma once
// Sessions that the client named, and which of them one by inactivity is part of (doc/metrics.md, rule 17).

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace shadow
{

// The named sessions of one user.
class named_sessions
{
public:
    static constexpr std::size_t none = SIZE_MAX;

    explicit named_sessions(std::pmr::memory_resource *memory) : sessions_(memory), latest_(memory) {}

    void clear() noexcept { sessions_.clear(); }
    // Of sessions that begin and end at the same instants, the least `order` is the earlier.
    void add(std::int64_t first, std::int64_t last, std::uint64_t order, std::size_t place)
    {
        sessions_.push_back({first, last, order, place});
    }
    // After the last add().
    void sort();
    // The place of the nearest that overlaps these instants or is less than the gap away from them; of several
    // the earlier.
    std::size_t find(std::int64_t first, std::int64_t last, std::uint64_t gap) const noexcept;

private:
    struct extent {
        std::int64_t first, last;
        std::uint64_t order;
        std::size_t place;
    };
    std::pmr::vector<extent> sessions_;    // by first, last, order
    std::pmr::vector<std::size_t> latest_; // of the first so many: which ends last
};

} // namespace shadow
