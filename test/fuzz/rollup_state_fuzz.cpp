// libFuzzer target: any bytes as the copy of a rollup state that another process sends. The unit tests replay
// test/fuzz/corpus/rollup_state.

#include "core/base/error.hpp"
#include "core/rollup/metrics.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <string>

namespace rollup_state_fuzz
{

using namespace shadow;

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

inline std::size_t clip(const char *, std::size_t length, int characters)
{
    return std::min(length, static_cast<std::size_t>(characters));
}

struct workspace {
    std::pmr::monotonic_buffer_resource memory;
    interner interned{&memory};
    rollup_state state{&memory, &interned};
};

inline bool is_accepted(workspace &copy, std::string_view bytes)
{
    try {
        copy.state.deserialize(bytes);
        return true;
    } catch (const error &e) {
        require(e.code() == errc::corrupt_data);
        return false;
    }
}

// What was accepted can be merged, twice, computed, and copied again (sums may have become too large by then).
inline void check(std::string_view bytes)
{
    workspace copy;
    if (!is_accepted(copy, bytes))
        return;
    rollup_rules const rules{{pack_currency("USD"), {}, clip}, std::int64_t{30} * 60 * 1'000'000, false};
    workspace whole;
    whole.state.merge(rules, copy.state);
    whole.state.merge(rules, copy.state);
    std::pmr::string again;
    whole.state.serialize(rules, again);
    workspace third;
    if (is_accepted(third, again))
        whole.state.merge(rules, third.state);
    std::pmr::monotonic_buffer_resource memory;
    auto const metrics = compute_metrics(whole.state, rules, true, &memory, nullptr);
    require(metrics.users >= 0 && metrics.sessions >= 0);
}

} // namespace rollup_state_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    rollup_state_fuzz::check({reinterpret_cast<const char *>(data), size});
    return 0;
}
