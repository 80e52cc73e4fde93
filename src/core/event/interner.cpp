#include "core/event/interner.hpp"

#include "core/event/names.hpp"
#include "core/redaction/redact.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shadow
{

std::uint32_t interner::text_id(std::string_view text)
{
    return text_index_.find_or_add(
        XXH3_64bits_withSeed(text.data(), text.size(), secret_hash_key.first),
        [&](std::uint32_t i) { return texts_[i] == text; }, [&] { return texts_.push(arena_.copy(text)); });
}

std::uint32_t interner::agent_id(const uuid &agent, std::string_view name)
{
    std::uint32_t const id = agent_index_.find_or_add(
        agent.hash(), [&](std::uint32_t i) { return agents_[i].id == agent; },
        [&] {
            return agents_.push({agent, {}});
        });
    if (agents_[id].name.empty() && !name.empty())
        agents_[id].name = arena_.copy(name);
    return id;
}

std::uint32_t interner::named_agent_id(const uuid &workspace, std::string_view name)
{
    std::uint64_t const hash =
        XXH3_64bits_withSeed(name.data(), name.size(), secret_hash_key.first) ^ workspace.hash();
    named_agent &known = recent_agents_[hash % std::size(recent_agents_)];
    if (known.id == npos || known.hash != hash)
        known = {hash, agent_id(agent_id_of(workspace, name), name)};
    return known.id;
}

std::uint32_t interner::name_id(event_type type, std::uint32_t text)
{
    std::uint64_t const key = std::uint64_t{text} << 8 | static_cast<std::uint64_t>(type);
    return name_index_.find_or_add(
        key * 0x9E3779B97F4A7C15u,
        [&](std::uint32_t i) { return names_[i].text == text && names_[i].type == type; },
        [&] {
            return names_.push({type, text});
        });
}

// The first and the last bytes tell most names apart.
static std::uint64_t edges_of(std::string_view text) noexcept
{
    if (text.empty())
        return 0;
    std::uint64_t first = 0, last = 0;
    std::size_t const n = std::min(text.size(), sizeof first);
    std::memcpy(&first, text.data(), n);
    std::memcpy(&last, text.data() + text.size() - n, n);
    return first * 31 + last + text.size();
}

std::uint32_t &interner::recent_name(event_type type, std::string_view text) noexcept
{
    std::uint64_t const key = edges_of(text) * 0x9E3779B97F4A7C15u + static_cast<std::uint64_t>(type);
    return recent_names_[(key * 0xD6E8FEB86659FD93u) >> 55];
}

std::uint32_t interner::name_id(event_type type, std::string_view text)
{
    std::uint32_t &recent = recent_name(type, text);
    if (recent == npos || names_[recent].type != type || texts_[names_[recent].text] != text)
        recent = name_id(type, text_id(text));
    return recent;
}

static constexpr int longest_message = 200; // characters

std::uint32_t interner::message_id(const error_message &message)
{
    return message_index_.find_or_add(
        keyed_hash(static_cast<std::uint64_t>(message.hash), 0),
        [&](std::uint32_t i) {
            return messages_[i].hash == message.hash && messages_[i].text == message.text;
        },
        [&] {
            return messages_.push({message.hash, arena_.copy(message.text)});
        });
}

// keep(text): the number of a text that was redacted.
template <typename Keep>
std::uint32_t interner::redacted_id(recently_redacted &recent, std::string_view raw, Keep keep)
{
    if (raw.empty())
        return npos;
    // Keyed, so that nobody can make a message that is taken for another.
    std::uint64_t const hash = XXH3_64bits_withSeed(raw.data(), raw.size(), secret_hash_key.first);
    redacted &known = recent[hash % std::size(recent)];
    if (known.id == npos || known.raw_hash != hash)
        known = {hash, keep(redact(raw, memory_))};
    return known.id;
}

std::uint32_t interner::message_id(std::string_view raw, text_clipper clip)
{
    return redacted_id(recent_messages_, raw, [&](std::string_view text) {
        auto const whole = static_cast<std::int64_t>(XXH3_64bits(text.data(), text.size()));
        return message_id({whole, text.substr(0, clip(text.data(), text.size(), longest_message))});
    });
}

std::uint32_t interner::reason_id(std::string_view raw, text_clipper clip)
{
    return redacted_id(recent_reasons_, raw, [&](std::string_view text) {
        return text_id(text.substr(0, clip(text.data(), text.size(), longest_text_key)));
    });
}

} // namespace shadow
