#pragma once
// The rollup state of one workspace in one bucket (a local day, an hour, any set of events): what one scan
// collects, from which every rollup is computed. Independent of the order of the events. Memory: a fixed number of bytes per distinct user, session, run and name, from the given resource;
// nothing needs a destructor.

#include "core/base/interrupt.hpp"
#include "core/base/position_index.hpp"
#include "core/base/position_set.hpp"
#include "core/event/decode.hpp"
#include "core/rollup/rows.hpp"

#include <utility>
#include <vector>

namespace shadow
{

// What is the same for all events of a query; it outlives the states.
struct rollup_rules : decoding_rules {
    std::int64_t session_gap; // microseconds
    bool engaged_bounce;      // bounce_rule = 'engaged'
};

// A hash of one or two numbers of the interner.
inline std::uint64_t mixed(std::uint64_t a, std::uint64_t b = 0) noexcept
{
    std::uint64_t h = (a ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    return (h ^ b) * 0x9E3779B97F4A7C15u;
}

class metrics_builder; // metrics.hpp: computes the numbers
class run_resolver;    // resolved_run.hpp: what a run says by all of its events

class rollup_state
{
public:
    // Both outlive the state.
    rollup_state(std::pmr::memory_resource *memory, interner *interned) noexcept;

    // `facts`: nullptr for an event without.
    void add(const rollup_rules &rules, const decoded_head &event, const decoded_facts *facts);
    // About so many events will be added: indexes of an empty state get their room at once.
    void expect(std::uint32_t events);
    // For a state of which nothing but the sessions is asked.
    void add_visit(const rollup_rules &rules, const decoded_head &event);
    // visit(session): a session by inactivity that is part of one with an id is joined to it.
    template <typename Visit>
    void for_each_session(std::int64_t gap, interrupt_check interrupted, Visit visit) const;
    // The places that add() will touch are asked for in three steps some events ahead, each knowing what the
    // one before has brought in.
    void prefetch_tables(const decoded_head &event, const hash128 *run) const noexcept;
    void prefetch_entries(const decoded_head &event) const noexcept;
    void prefetch_sets(const decoded_head &event) const noexcept;

    // No more events will come: frees what only adding needs.
    void finish() noexcept;
    // Frees the rest; the state is empty then, and only good for that.
    void release() noexcept;

private:
    friend class metrics_builder;
    friend class run_resolver;

    struct name_entry { // events of one name, and who had them
        std::uint32_t name;
        std::uint64_t events;
        position_set users;
    };
    struct feedback_entry {
        std::uint32_t agent;
        std::uint64_t feedbacks;
        std::uint64_t ratings;
        int128 rating_sum;
    };
    struct model_entry { // events that are not agent_run
        std::uint32_t name;
        int128 credits;
        int128 cost;
        bool has_cost, lacks_cost; // lacks: credits without a price
    };
    struct error_entry { // error events by type, agent, event name and message (agent, message: npos if none)
        std::uint32_t type, agent, name, message;
        std::uint64_t events;
    };

    std::uint32_t user_of(const uuid &id);
    template <typename Change>
    void change_run(const hash128 &key, Change change);
    name_entry &name_of(std::uint32_t name);
    model_entry &model_of(std::uint32_t name);
    feedback_entry &feedback_of(std::uint32_t agent);
    void count_error(const error_entry &errors);
    void add_revenue(std::uint32_t user, int128 revenue);
    void add_feedback(std::uint32_t agent, std::int64_t rating);

    std::uint32_t agent_of(const decoded_facts &facts) const;
    amount pack(int128 value);
    int128 unpack(amount value) const noexcept;

    // Both return the position of the event's user.
    std::uint32_t add_to_session(const rollup_rules &rules, const decoded_head &event);
    std::uint32_t add_identified(const session_entry &added, const uuid &user);
    void add_interval(std::int64_t gap, const session_entry &added);
    struct session_joins { // places of sessions, both ascending
        explicit session_joins(std::pmr::memory_resource *memory) : parts(memory), wholes(memory) {}
        std::pmr::vector<std::uint32_t> parts;
        std::pmr::vector<std::pair<std::uint32_t, std::uint32_t>> wholes; // and a part of each
    };
    session_joins find_joins(std::int64_t gap, interrupt_check interrupted) const;
    void unlink_interval(user_entry &user, std::uint32_t before, std::uint32_t next);
    std::uint32_t take_session(const session_entry &value);
    static void join(session_entry &into, const session_entry &from) noexcept;
    void set_origin(std::int64_t origin) noexcept;

    void add_run(const rollup_rules &rules, const decoded_head &event, const decoded_facts &facts,
                 std::uint32_t user);
    run_entry make_run(const rollup_rules &rules, const decoded_head &event, const decoded_facts &facts,
                       std::uint32_t user);
    void add_other(const decoded_head &event, const decoded_facts &facts);
    void decide(keyed_run &keyed, const run_event &event);
    void note_other(keyed_run &keyed, const run_event &event);
    void note_currency(currency_code currency) noexcept;

    std::pmr::memory_resource *memory_;
    interner *interned_;
    packed_pool<session_entry> sessions_;
    position_index session_index_;
    packed_pool<user_entry> users_;
    position_index user_index_;
    packed_pool<keyed_run> keyed_runs_;
    position_index keyed_run_index_;
    packed_pool<run_entry> runs_; // without a run_id
    packed_pool<failure_entry> failures_;
    packed_pool<run_event> run_events_; // of keyed runs, but those that decide
    packed_pool<usage_entry> usages_;
    pool<name_entry> names_;
    position_index name_index_;
    pool<model_entry> models_;
    pool_index model_index_;
    pool<error_entry> errors_;
    pool_index error_index_;
    pool<feedback_entry> feedbacks_;
    pool_index feedback_index_;
    packed_pool<amount_entry> big_amounts_;
    packed_pool<runtime_entry> call_runtimes_; // of api_call events, nanoseconds
    std::uint32_t free_session_ = npos;
    bool has_named_sessions_ = false, has_intervals_ = false;
    currency_code currency_ = 0;
    bool has_currencies_ = false; // more than one
    std::uint64_t ignored_[metadata_key_count] = {};
};

// change(run), of the one with this key or of a new one.
template <typename Change>
void rollup_state::change_run(const hash128 &key, Change change)
{
    bool is_new = false;
    std::uint32_t const position = keyed_run_index_.find_or_add(
        key.high,
        [&](std::uint32_t i) {
            return keyed_runs_.column(i, keyed_run::key_high) == key.high &&
                   keyed_runs_.column(i, keyed_run::key_low) == key.low;
        },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < keyed_runs_.size(); ++i)
                insert(keyed_runs_.column(i, keyed_run::key_high), i);
        },
        [&] {
            is_new = true;
            keyed_run added{no_run, key, {0, 0}, keyed_runs_.origin(), npos, 1, false, false};
            change(added);
            return keyed_runs_.push(added);
        });
    if (is_new)
        return;
    keyed_run known = keyed_runs_[position];
    change(known);
    keyed_runs_.set(position, known);
}

template <typename Visit>
void rollup_state::for_each_session(std::int64_t gap, interrupt_check interrupted, Visit visit) const
{
    session_joins const joins = find_joins(gap, interrupted);
    auto part = joins.parts.begin();
    auto whole = joins.wholes.begin();
    interrupt_poll poll(interrupted);
    for (std::uint32_t i = 0; i < sessions_.size(); ++i, poll()) {
        session_entry session = sessions_[i];
        if (session.is_free)
            continue;
        if (part != joins.parts.end() && *part == i) {
            ++part;
            continue;
        }
        for (; whole != joins.wholes.end() && whole->first == i; ++whole)
            join(session, sessions_[whole->second]);
        visit(session);
    }
}

inline void rollup_state::prefetch_tables(const decoded_head &event, const hash128 *run) const noexcept
{
    name_index_.prefetch(mixed(event.name));
    if (event.has_session)
        session_index_.prefetch(event.session.high);
    else
        user_index_.prefetch(event.user.hash());
    if (run != nullptr)
        keyed_run_index_.prefetch(run->high);
}

inline void rollup_state::prefetch_entries(const decoded_head &event) const noexcept
{
    std::uint32_t const name = name_index_.guess(mixed(event.name));
    if (name != npos)
        names_.prefetch(name);
    std::uint32_t const session = event.has_session ? session_index_.guess(event.session.high) : npos;
    if (session != npos)
        sessions_.prefetch(session);
    else
        user_index_.prefetch(event.user.hash());
}

inline void rollup_state::prefetch_sets(const decoded_head &event) const noexcept
{
    std::uint32_t const name = name_index_.guess(mixed(event.name));
    if (name != npos)
        names_[name].users.prefetch();
}

} // namespace shadow
