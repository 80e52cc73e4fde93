#pragma once
// Decoded events wait in a batch, so that those of one workspace are added one after the other.

#include "core/rollup/state.hpp"

namespace shadow
{

// Some waiting events of one state, one after the other: heads, each with its facts if it has any.
struct event_chunk {
    event_chunk *next;
    const char *end; // of its events, once it is not written to any more
};

// Events wait here until there are many, and are then added one state after the other: events of many
// workspaces come mixed, and so the tables of one stay in the processor's cache for all of its events.
class event_batch
{
public:
    explicit event_batch(std::pmr::memory_resource *memory) noexcept
        : blocks_(memory), queues_(memory), memory_(memory)
    {
    }

    // The queue in which the state's events wait.
    std::uint32_t open(rollup_state *target);
    void add(const rollup_rules &rules, std::uint32_t queue, const decoded_event &event);
    // Before anything is read from the states.
    void flush(const rollup_rules &rules);
    // After the last flush(): frees the room of waiting events.
    void release() noexcept;

private:
    // All that adding an event looks at: small, as the events of thousands of queues come mixed.
    struct queue {
        rollup_state *target;
        char *at;           // where the next event goes
        std::uint32_t room; // bytes there
        event_chunk *first, *last;
    };
    class reader;

    void append_chunk(const rollup_rules &rules, std::uint32_t queue);
    char *take(std::size_t bytes);

    pool<char *> blocks_;
    std::uint32_t block_ = 0; // the one in use
    std::size_t used_ = 0;    // bytes of it
    pool<queue> queues_;
    std::pmr::memory_resource *memory_;
};

} // namespace shadow
