#pragma once
// The texts, agents and event names of one query, each with a small number. Shared by the activities of all
// its workspaces: there are few of them, so the dictionary stays in the processor's cache while the
// activities do not.

#include "core/containers.hpp"
#include "core/event_type.hpp"
#include "core/uuid.hpp"

namespace shadow
{

class dictionary
{
public:
    explicit dictionary(std::pmr::memory_resource *memory) noexcept
        : arena_(memory), texts_(memory), text_index_(memory), agents_(memory), agent_index_(memory),
          names_(memory), name_index_(memory)
    {
    }

    struct event_name {
        event_type type;
        std::uint32_t text;
    };

    std::uint32_t text_id(std::string_view text);
    std::uint32_t agent_id(const uuid &agent);
    std::uint32_t name_id(event_type type, std::uint32_t text);

    std::string_view text(std::uint32_t id) const noexcept { return texts_[id]; }
    const uuid &agent(std::uint32_t id) const noexcept { return agents_[id]; }
    const event_name &name(std::uint32_t id) const noexcept { return names_[id]; }

    std::uint32_t text_count() const noexcept { return texts_.size(); }
    std::uint32_t agent_count() const noexcept { return agents_.size(); }
    std::uint32_t name_count() const noexcept { return names_.size(); }

private:
    arena arena_;
    pool<std::string_view> texts_;
    pool_index text_index_;
    pool<uuid> agents_;
    pool_index agent_index_;
    pool<event_name> names_;
    pool_index name_index_;
};

} // namespace shadow
