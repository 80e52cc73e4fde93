#pragma once
// The activity of one workspace in one bucket (a local day, an hour, any set of events): what one scan
// collects from which every rollup is computed. Independent of the order of the events; two activities can be
// merged. Memory: a fixed number of bytes per distinct user, session, run and name, from the given resource;
// nothing needs a destructor.

#include "core/base/position_index.hpp"
#include "core/base/position_set.hpp"
#include "core/event/interner.hpp"
#include "core/rollup/rows.hpp"

namespace shadow
{

currency_code pack_currency(std::string_view code) noexcept;
std::string_view unpack_currency(currency_code code, char (&buffer)[4]) noexcept;

struct credit_price {
    uuid workspace;          // nil: every workspace
    std::string_view model;  // empty: every model
    std::int64_t valid_from; // microseconds, PostgreSQL's epoch
    int128 price;            // 10^-9 per credit
    currency_code currency;
};

// What is the same for all events of a query; it outlives the activities.
struct activity_rules {
    std::int64_t session_gap;  // microseconds
    bool engaged_bounce;       // bounce_rule = 'engaged'
    currency_code currency;    // of the key "cost"
    span<credit_price> prices; // sorted by sort_prices()
    text_clipper clip;
};
void sort_prices(span<credit_price> prices) noexcept;

struct activity_event {
    uuid workspace;
    uuid user;
    uuid session; // if has_session
    uuid id;
    std::int64_t at; // microseconds, PostgreSQL's epoch
    std::string_view name;
    event_type type;
    bool has_session;
};

// An event after its interpretation: numbers and ids only, nothing points into the event any more.
struct digested_head {
    uuid user;
    hash128 session; // of session_id and user_id, if has_session
    std::int64_t at;
    std::uint32_t name; // in the dictionary
    event_type type;
    bool has_session, has_facts;
};

// What only some events have.
struct digested_facts {
    uuid id;
    hash128 run; // of the run_id, if has_run
    int128 credits;
    int128 cost; // if has_cost
    int128 revenue;
    std::int64_t runtime, tokens, rating; // -1: none
    std::uint64_t ignored;
    std::uint32_t agent, model, error_type, reason, message; // in the dictionary, npos: none
    currency_code currency;                                  // of the cost
    run_status status;
    bool has_run, has_cost, is_feedback;
};

struct digested_event : digested_head {
    digested_facts facts; // if has_facts
};

// Everything of an event that needs no activity: interprets the metadata, looks words up, prices credits.
void digest(const activity_rules &rules, dictionary &words, const activity_event &event,
            const metadata &values, digested_event &out);

class activity_report; // core/activity_report.hpp: computes the numbers

// Some waiting events of one activity, one after the other: heads, each with its facts if it has any.
struct event_chunk {
    event_chunk *next;
    const char *end; // of its events, once it is not written to any more
};

class activity
{
public:
    // Both outlive the activity.
    activity(std::pmr::memory_resource *memory, dictionary *words) noexcept;

    // `facts`: nullptr for an event without.
    void add(const activity_rules &rules, const digested_head &event, const digested_facts *facts);
    // For an activity of which nothing but the sessions is asked.
    void add_visit(const activity_rules &rules, const digested_head &event);
    // visit(first, last)
    template <typename Visit>
    void for_each_session(Visit visit) const
    {
        for (std::uint32_t i = 0; i < sessions_.size(); ++i)
            if (session_entry const session = sessions_[i]; !session.is_free)
                visit(session.first, session.last);
    }
    // The places that add() will touch are asked for in three steps some events ahead, each knowing what the
    // one before has brought in.
    void prefetch_tables(const digested_head &event, const digested_facts *facts) const noexcept;
    void prefetch_entries(const digested_head &event) const noexcept;
    void prefetch_sets(const digested_head &event) const noexcept;
    // Adds what the other activity of the same workspace holds.
    void merge(const activity_rules &rules, const activity &other);

    // No more events will come: frees what only adding needs.
    void finish() noexcept;
    // Frees the rest; the activity is empty then, and only good for that.
    void release() noexcept;

    // A flat copy for another process of the same server (parallel query); not for disk.
    void serialize(const activity_rules &rules, std::pmr::string &out) const;
    // Fills an empty activity with an empty dictionary of its own; throws corrupt_data if the bytes are not
    // what serialize() wrote. The result can only be merged into another.
    void deserialize(std::string_view bytes);

private:
    friend class activity_report;

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
        bool has_cost;
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

    amount pack(int128 value);
    int128 unpack(amount value) const noexcept;

    // Both return the position of the event's user.
    std::uint32_t add_to_session(const activity_rules &rules, const digested_head &event);
    std::uint32_t add_identified(const session_entry &added, const uuid &user);
    void add_interval(std::int64_t gap, const session_entry &added);
    void unlink_interval(user_entry &user, std::uint32_t before, std::uint32_t next);
    std::uint32_t take_session(const session_entry &value);
    static void join(session_entry &into, const session_entry &from) noexcept;
    void set_origin(std::int64_t origin) noexcept;

    void add_run(const digested_head &event, const digested_facts &facts, std::uint32_t user);
    run_entry make_run(const digested_head &event, const digested_facts &facts, std::uint32_t user);
    void add_other(const digested_head &event, const digested_facts &facts);
    void decide(keyed_run &keyed, const run_entry &run, std::int64_t at, const uuid &id);
    void leave_trail(keyed_run &keyed, std::uint32_t agent, std::int64_t at, const uuid &id);
    std::uint32_t agent_from_trail(const keyed_run &keyed) const noexcept;
    void note_currency(currency_code currency) noexcept;

    class translation; // ids and positions of another activity -> ours
    void merge_sessions(std::int64_t gap, const activity &other, translation &to);
    void merge_runs(const activity &other, translation &to);
    void merge_counts(const activity &other, translation &to);
    run_entry translate(const activity &other, const run_entry &run, translation &to);
    template <typename Self, typename Archive>
    static void archive(Self &self, Archive &a);

    std::pmr::memory_resource *memory_;
    dictionary *words_;
    packed_pool<session_entry> sessions_;
    position_index session_index_;
    packed_pool<user_entry> users_;
    position_index user_index_;
    packed_pool<keyed_run> keyed_runs_;
    position_index keyed_run_index_;
    packed_pool<run_entry> runs_; // without a run_id
    packed_pool<failure_entry> failures_;
    packed_pool<trail_entry> trails_;
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
    currency_code currency_ = 0;
    bool has_currencies_ = false; // more than one
    std::uint64_t ignored_[metadata_key_count] = {};
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
