// libFuzzer target: the first byte is an event's type, the rest its metadata as JSON. The unit tests replay
// test/fuzz/corpus/event.

#include "core/base/decimal.hpp"
#include "core/base/error.hpp"
#include "core/event/decode.hpp"
#include "core/questions/json.hpp"

#include "text_numbers.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory_resource>

namespace event_fuzz
{

using namespace shadow;
using questions::json;

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

inline json_value value_of(const json &v)
{
    return {v.type, v.boolean, &v, v.text};
}

class json_host final : public text_numbers
{
public:
    void read_object(const json_value &object, metadata &out) const noexcept override
    {
        json const &tree = *static_cast<const json *>(object.host);
        for (std::size_t i = 0; i < tree.items.size(); ++i)
            if (metadata_key const key = find_metadata_key(tree.keys[i]); key != metadata_key::none)
                out.set(key, value_of(tree.items[i]));
    }
};

inline std::size_t clip(const char *, std::size_t length, int characters)
{
    return std::min(length, static_cast<std::size_t>(characters));
}

// Every value is in the range that doc/metrics.md gives it, whatever the event says.
inline void check_ranges(const event_facts &facts)
{
    constexpr int128 most = int128{1'000'000'000'000} * nano;
    require(facts.runtime >= -1 && facts.runtime <= 1'000'000'000 * nano);
    require(facts.tokens >= -1 && facts.tokens <= std::int64_t{1} << 53);
    token_usage const &u = facts.usage;
    for (std::int64_t const part : {u.input, u.output, u.cache_read, u.cache_write})
        require(part >= 0 && part <= std::int64_t{1} << 53);
    require(u.input + u.output + u.cache_read + u.cache_write <= std::int64_t{1} << 53);
    require(facts.tokens >= 0 || u.input + u.output + u.cache_read + u.cache_write == 0);
    require(facts.attempt >= 1);
    require(facts.rating == -1 || (facts.rating >= nano && facts.rating <= 5 * nano));
    require(facts.credits >= 0 && facts.credits < most && (facts.has_credits || facts.credits == 0));
    require(facts.cost >= 0 && facts.cost < most && (facts.has_cost || facts.cost == 0));
    require(facts.revenue > -most && facts.revenue < most && (facts.has_revenue || facts.revenue == 0));
    require(!facts.model.empty() && facts.model.size() <= longest_text_key);
    require(!facts.error_type.empty() && facts.error_type.size() <= longest_text_key);
}

inline void check_counts(event_type type, const decoded_event &event)
{
    if (!event.has_facts)
        return;
    bool const is_run = type == event_type::agent_run;
    require(is_run || (event.facts.tokens == -1 && event.facts.reason == npos));
    require(is_run || type == event_type::api_call || event.facts.runtime == -1);
    require(is_run || type == event_type::error || !event.facts.has_run);
}

inline void check(event_type type, const metadata &values)
{
    event_facts facts;
    interpret(type, values, {clip, pack_currency("USD")}, facts);
    check_ranges(facts);
    std::pmr::monotonic_buffer_resource memory;
    interner interned(&memory);
    decoding_rules const rules{pack_currency("USD"), {}, clip};
    raw_event event{};
    event.type = type;
    decoded_event decoded;
    decode(rules, interned, event, values, decoded);
    check_counts(type, decoded);
}

} // namespace event_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace event_fuzz;
    if (size == 0)
        return 0;
    json tree;
    try {
        tree = questions::parse_json({reinterpret_cast<const char *>(data) + 1, size - 1});
        require(questions::to_text(questions::parse_json(questions::to_text(tree))) ==
                questions::to_text(tree));
    } catch (const shadow::error &) {
        return 0;
    }
    event_fuzz::json_host const host;
    metadata values(host);
    if (tree.is_object())
        host.read_object(value_of(tree), values);
    check(static_cast<event_type>(data[0] % event_type_count), values);
    return 0;
}
