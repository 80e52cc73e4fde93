#pragma once
// What alerts need of the events of one scope (a workspace, or all). Every event goes to one slot; afterwards
// a slot knows its share of each number. A window is the sum of the slots up to its own, the newest first, so
// the cost grows with the events and not with the number of windows. What an event means, and which event of
// a run decides, is as in core/rollup.

#include "core/base/interrupt.hpp"
#include "core/rollup/metrics.hpp"
#include "core/rollup/state.hpp"

#include <vector>

namespace shadow
{

struct alert_totals {
    std::int64_t events = 0, errors = 0, users = 0, signups = 0, responses = 0, sessions = 0;
    run_counts runs{};
    int128 credits = 0;       // 10^-9
    int128 response_time = 0; // nanoseconds, sum
    int128 session_time = 0;  // microseconds, sum

    void add(const alert_totals &other) noexcept;
};

// A change of the number of failed runs of an agent, or of the errors of a type.
struct alert_mark {
    std::uint32_t slot;
    std::uint32_t key; // in the interner
    std::int32_t change;
};

// The latest of the errors with the same message.
struct alert_sample {
    std::int64_t at;
    std::uint32_t type, message; // in the interner
};
inline constexpr std::size_t most_samples = 3;

class alert_collector
{
public:
    // nested: a slot holds what a longer window has and a shorter one has not; later events are in slots of
    // lower numbers. Otherwise slots have nothing to do with each other.
    alert_collector(std::size_t slots, bool nested, std::pmr::memory_resource *memory);

    void add(std::size_t slot, const uuid &workspace, const decoded_event &event);
    // An event in no slot, of which only the user and the time matter. (If slots are nested.)
    void note_visit(const uuid &user, std::int64_t at) { note_user(npos, user, at); }
    // The places that add() will touch: asked for in two steps some events ahead.
    void prefetch(int step, const uuid &workspace, const decoded_event &event) const noexcept;
    // visit(user, the user's first event at hand)
    template <typename Visit>
    void for_each_user(Visit visit) const
    {
        for (std::uint32_t i = 0; i < users_.size(); ++i)
            visit(users_[i].id, users_[i].first);
    }
    void add_session(std::size_t slot, std::int64_t duration) noexcept
    {
        ++totals_[slot].sessions;
        totals_[slot].session_time += duration;
    }
    void add_signup(std::size_t slot) noexcept { ++totals_[slot].signups; }
    // After the last event: decides the runs.
    void finish(interrupt_poll &poll);

    const alert_totals &totals(std::size_t slot) const noexcept { return totals_[slot]; }
    // Of a slot; each key may occur several times.
    span<const alert_mark> failing_agents(std::size_t slot) const noexcept
    {
        return marks_of(agent_marks_, slot);
    }
    span<const alert_mark> error_types(std::size_t slot) const noexcept
    {
        return marks_of(type_marks_, slot);
    }
    // The latest different messages, the newest first: of all slots if they are nested, else of slot 0.
    span<const alert_sample> samples() const noexcept { return {samples_, sample_count_}; }

private:
    struct user_entry {
        uuid id;
        std::int64_t first;
        std::uint32_t group;
        std::uint32_t slot; // the newest, npos: none
    };
    struct run_event {
        uuid id;
        std::int64_t at, runtime;
        int128 credits;
        std::uint32_t agent, error_type, slot;
        std::uint32_t next; // of the same run
        std::int32_t attempt;
        run_status status;
        bool has_credits;
        bool is_error; // an error event that tells of the run
    };
    struct run_entry {
        hash128 key; // of the run_id
        uuid workspace;
        std::uint32_t group;
        std::uint32_t events;
    };
    // What a run is worth, as far as its events are known.
    struct run_share {
        const run_event *decider = nullptr; // none: no run yet
        std::uint32_t agent = npos;
        std::int64_t runtime = -1;
        int128 credits = 0; // of all attempts
        bool has_error_event = false;

        void see_older(const run_event &event) noexcept;
    };
    using mark_list = std::pmr::vector<alert_mark>;

    std::uint32_t group_of(std::size_t slot) const noexcept
    {
        return nested_ ? 0 : static_cast<std::uint32_t>(slot);
    }
    void note_user(std::uint32_t slot, const uuid &id, std::int64_t at);
    void note_sample(std::size_t slot, const decoded_event &event) noexcept;
    void add_facts(std::uint32_t slot, const uuid &workspace, const decoded_event &event);
    void add_run_event(std::uint32_t slot, const uuid &workspace, const decoded_event &event);
    static run_event make_run_event(std::uint32_t slot, const decoded_event &event) noexcept;
    void decide(std::uint32_t first, std::pmr::vector<const run_event *> &events);
    int128 credits_of(const run_event *const *first, const run_event *const *last);
    void apply(std::uint32_t slot, const run_share &share, int sign);
    void count_error(std::uint32_t slot, std::uint32_t type, int change);
    static span<const alert_mark> marks_of(const mark_list &marks, std::size_t slot) noexcept;

    bool nested_;
    std::pmr::memory_resource *memory_;
    std::pmr::vector<alert_totals> totals_; // by slot
    pool<user_entry> users_;
    pool_index user_index_;
    pool<run_entry> runs_;
    pool_index run_index_;
    pool<run_event> run_events_;
    std::pmr::vector<const run_event *> attempts_; // of one run, while it is decided
    mark_list agent_marks_, type_marks_;           // in the order of slots after finish()
    alert_sample samples_[most_samples];
    std::size_t sample_count_ = 0;
};

} // namespace shadow
