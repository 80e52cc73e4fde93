// libFuzzer target: a gap of eight bytes, then instants of eight bytes each, which are split between two sets.
// The unit tests replay test/fuzz/corpus/sessions.

#include "core/users/sessions.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace sessions_fuzz
{

using shadow::session;
using shadow::session_set;
using shadow::session_totals;

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

inline std::vector<std::int64_t> instants(const std::uint8_t *data, std::size_t size)
{
    std::vector<std::int64_t> out(size / 8);
    if (!out.empty())
        std::memcpy(out.data(), data, out.size() * 8);
    return out;
}

// One pass over the sorted instants.
inline session_totals expected(std::uint64_t gap, std::vector<std::int64_t> at)
{
    std::sort(at.begin(), at.end());
    session_totals sum;
    for (std::size_t i = 0, end; i < at.size(); i = end) {
        auto const unsigned_at = [&](std::size_t k) { return static_cast<std::uint64_t>(at[k]); };
        for (end = i + 1; end < at.size(); ++end)
            if (at[end] != at[end - 1] && unsigned_at(end) - unsigned_at(end - 1) >= gap)
                break;
        ++sum.sessions;
        sum.single_event_sessions += end - i == 1 ? 1 : 0;
        sum.events += end - i;
        sum.duration += unsigned_at(end - 1) - unsigned_at(i);
    }
    return sum;
}

inline void require_equal(const session_totals &a, const session_totals &b)
{
    require(a.sessions == b.sessions && a.single_event_sessions == b.single_event_sessions &&
            a.events == b.events && a.duration == b.duration);
}

inline void check(std::uint64_t gap, const std::vector<std::int64_t> &at)
{
    auto *const memory = std::pmr::new_delete_resource();
    session_set whole(gap, memory), even(gap, memory), odd(gap, memory), copy(gap, memory);
    for (std::size_t i = 0; i < at.size(); ++i) {
        whole.add(at[i]);
        (i % 2 == 0 ? even : odd).add(at[i]);
    }
    even.merge(odd);
    for (session const &part : whole.parts())
        copy.add(part); // as a state that another process sends
    auto const totals = expected(gap, at);
    require_equal(whole.totals(), totals);
    require_equal(even.totals(), totals);
    require_equal(copy.totals(), totals);
    require(whole.parts().size() <= 2 * totals.sessions + 16);
}

} // namespace sessions_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    if (size < 8)
        return 0;
    std::uint64_t gap;
    std::memcpy(&gap, data, sizeof gap);
    if (gap > 0) // the aggregate refuses it
        sessions_fuzz::check(gap, sessions_fuzz::instants(data + 8, size - 8));
    return 0;
}
