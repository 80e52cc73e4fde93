#pragma once
// The texts, agents, event names and error messages of one query, each with a small number. Shared by the
// rollup states of all its workspaces: there are few of them, so the interner stays in the processor's cache
// while the states do not.

#include "core/base/arena.hpp"
#include "core/base/index.hpp"
#include "core/base/uuid.hpp"
#include "core/event/event.hpp"
#include "core/event/event_type.hpp"

namespace shadow
{

class interner
{
public:
    explicit interner(std::pmr::memory_resource *memory) noexcept
        : arena_(memory), texts_(memory), text_index_(memory), agents_(memory), agent_index_(memory),
          names_(memory), name_index_(memory), messages_(memory), message_index_(memory), memory_(memory)
    {
        std::fill(std::begin(recent_names_), std::end(recent_names_), npos);
    }

    struct event_name {
        event_type type;
        std::uint32_t text;
    };

    // An error message as it may be kept: redacted. Messages are the same if they are so after that.
    struct error_message {
        std::int64_t hash;     // of the whole
        std::string_view text; // at most 200 characters
    };

    std::uint32_t text_id(std::string_view text);
    std::uint32_t agent_id(const uuid &agent, std::string_view name = {});
    // Of an agent that a client of the workspace names by text.
    std::uint32_t named_agent_id(const uuid &workspace, std::string_view name);
    std::uint32_t name_id(event_type type, std::uint32_t text);
    std::uint32_t name_id(event_type type, std::string_view text);
    std::uint32_t message_id(const error_message &message);
    std::uint32_t message_id(std::string_view raw, text_clipper clip); // npos if empty
    // The text of a reason for failure, redacted too, at most 100 characters; npos if empty.
    std::uint32_t reason_id(std::string_view raw, text_clipper clip);

    std::string_view text(std::uint32_t id) const noexcept { return texts_[id]; }
    const uuid &agent(std::uint32_t id) const noexcept { return agents_[id].id; }
    std::string_view agent_name(std::uint32_t id) const noexcept { return agents_[id].name; } // empty: none
    const event_name &name(std::uint32_t id) const noexcept { return names_[id]; }
    const error_message &message(std::uint32_t id) const noexcept { return messages_[id]; }

private:
    arena arena_;
    pool<std::string_view> texts_;
    pool_index text_index_;
    struct known_agent {
        uuid id;
        std::string_view name;
    };
    pool<known_agent> agents_;
    pool_index agent_index_;
    pool<event_name> names_;
    pool_index name_index_;
    pool<error_message> messages_;
    pool_index message_index_;

    // Few messages make up most errors, and redacting one takes microseconds.
    struct redacted {
        std::uint64_t raw_hash;
        std::uint32_t id = npos;
    };
    using recently_redacted = redacted[512];
    template <typename Keep>
    std::uint32_t redacted_id(recently_redacted &recent, std::string_view raw, Keep keep);

    // Most events are of few agents, and a uuid v5 takes as long as the rest of an event.
    struct named_agent {
        std::uint64_t hash;
        std::uint32_t id = npos;
    };

    // Most events are of few names: one look at the name instead of a hash of it and two tables.
    std::uint32_t &recent_name(event_type type, std::string_view text) noexcept;

    std::uint32_t recent_names_[512];
    named_agent recent_agents_[64] = {};
    recently_redacted recent_messages_ = {};
    recently_redacted recent_reasons_ = {};
    std::pmr::memory_resource *memory_;
};

} // namespace shadow
