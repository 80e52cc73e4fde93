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

// Events of many workspaces come mixed: each waits in the queue of its state, so that the tables of one state stay in
// the processor's cache for all of its events. A queue of many events is added at once, all of them when too many
// wait.
class event_batch
{
public:
    // The rules outlive the batch.
    event_batch(std::pmr::memory_resource *memory, const rollup_rules &rules,
                interrupt_check interrupted) noexcept
        : blocks_(memory), queues_(memory), rules_(rules), poll_(interrupted), memory_(memory)
    {
    }

    // How many bytes may wait.
    void limit(std::size_t bytes) noexcept { most_waiting_ = bytes; }
    // The queue in which the state's events wait.
    std::uint32_t open(rollup_state *target);
    void add(std::uint32_t queue, const decoded_event &event);
    // Before anything is read from the state: adds what waits in its queue.
    void flush(std::uint32_t queue);
    // After the last flush(): frees the room of waiting events.
    void release() noexcept;

private:
    // All that adding an event looks at: small, as the events of thousands of queues come mixed.
    struct queue {
        rollup_state *target;
        char *at;            // where the next event goes
        std::uint32_t room;  // bytes there
        std::uint32_t bytes; // of its chunks
        event_chunk *first, *last;
    };
    class reader;

    void append_chunk(std::uint32_t place);
    void add_waiting(const queue &q);
    void flush_all();
    char *take(std::uint32_t bytes);
    char *new_block();
    char *take_from_block(std::uint32_t bytes);

    pool<char *> blocks_;
    std::uint32_t block_ = 0;     // the one in use
    std::size_t used_ = 0;        // bytes of it
    event_chunk *free_ = nullptr; // whole chunks
    std::size_t waiting_ = 0;     // bytes of all queues
    std::size_t most_waiting_ = SIZE_MAX;
    pool<queue> queues_;
    const rollup_rules &rules_;
    interrupt_poll poll_;
    std::pmr::memory_resource *memory_;
};

} // namespace shadow
