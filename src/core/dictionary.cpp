#include "core/dictionary.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shadow
{

std::uint32_t dictionary::text_id(std::string_view text)
{
    return text_index_.find_or_add(
        XXH3_64bits(text.data(), text.size()), [&](std::uint32_t i) { return texts_[i] == text; },
        [&] { return texts_.push(arena_.copy(text)); });
}

std::uint32_t dictionary::agent_id(const uuid &agent)
{
    return agent_index_.find_or_add(
        agent.hash(), [&](std::uint32_t i) { return agents_[i] == agent; },
        [&] { return agents_.push(agent); });
}

std::uint32_t dictionary::name_id(event_type type, std::uint32_t text)
{
    std::uint64_t const key = std::uint64_t{text} << 8 | static_cast<std::uint64_t>(type);
    return name_index_.find_or_add(
        key * 0x9E3779B97F4A7C15u,
        [&](std::uint32_t i) { return names_[i].text == text && names_[i].type == type; },
        [&] {
            return names_.push({type, text});
        });
}

} // namespace shadow
