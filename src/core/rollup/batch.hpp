#pragma once
// Decoded events wait in a batch, so that those of one workspace are added one after the other.

#include "core/rollup/state.hpp"

namespace shadow
{

// Some waiting events of one activity, one after the other: heads, each with its facts if it has any.
struct event_chunk {
    event_chunk *next;
    const char *end; // of its events, once it is not written to any more
};

// Events wait here until there are many, and are then added one activity after the other: events of many
// workspaces come mixed, and so the tables of one stay in the processor's cache for all of its events.
class activity_batch
{
public:
    explicit activity_batch(std::pmr::memory_resource *memory) noexcept
        : blocks_(memory), lanes_(memory), memory_(memory)
    {
    }

    // The lane in which the activity's events wait.
    std::uint32_t open(activity *target);
    // The activity is going away: its events are forgotten.
    void close(std::uint32_t lane) noexcept;
    void add(const activity_rules &rules, std::uint32_t lane, const digested_event &event);
    // Before anything is read from the activities.
    void flush(const activity_rules &rules);
    // After the last flush(): frees the room of waiting events.
    void release() noexcept;

private:
    // All that adding an event looks at: small, as the events of thousands of lanes come mixed.
    struct lane {
        activity *target;        // nullptr: closed
        char *at;                // where the next event goes
        std::uint32_t room;      // bytes there
        std::uint32_t next_free; // of a closed one: the next
        event_chunk *first, *last;
    };
    class reader;

    void append_chunk(const activity_rules &rules, std::uint32_t lane);
    char *take(std::size_t bytes);

    pool<char *> blocks_;
    std::uint32_t block_ = 0; // the one in use
    std::size_t used_ = 0;    // bytes of it
    pool<lane> lanes_;
    std::uint32_t free_lane_ = npos;
    std::pmr::memory_resource *memory_;
};

} // namespace shadow
