#pragma once
// The activity of one workspace in one bucket (a local day, an hour, any set of events): what one scan
// collects from which every rollup is computed. Independent of the order of the events; two activities can be
// merged. Memory: a fixed number of bytes per distinct user, session, run and name, from the given resource;
// nothing needs a destructor.

#include "core/containers.hpp"
#include "core/event.hpp"

namespace shadow
{

// A currency's three capital letters as an integer that orders like its text; 0: none.
using currency_code = std::uint16_t;
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

class activity_report; // core/activity_report.hpp: computes the numbers

class activity
{
public:
    explicit activity(std::pmr::memory_resource *memory) noexcept;

    void add(const activity_rules &rules, const activity_event &event, const metadata &values);
    // Adds what the other activity of the same workspace holds.
    void merge(const activity_rules &rules, const activity &other);

    // A flat copy for another process of the same server (parallel query); not for disk.
    std::size_t serialized_size() const;
    void serialize(char *out) const;
    // Fills an empty activity; throws corrupt_data if the bytes are not what serialize() wrote.
    void deserialize(const char *bytes, std::size_t size);

private:
    friend class activity_report;

    // Amounts that fit are kept in place, others in big_amounts_ (credits beyond 4.6e9).
    using amount = std::int64_t;
    static constexpr amount no_amount = INT64_MIN;

    struct text_entry {
        const char *data;
        std::uint32_t size;
    };
    struct user_entry {
        uuid id;
        std::int64_t first, last; // events
        std::uint32_t intervals;  // first of its sessions by inactivity, npos: none
        std::uint32_t revenue;    // npos: none
    };
    struct failure_entry {                // what a failed run says
        std::uint32_t type, reason, name; // reason: npos if none
    };
    struct session_entry {
        uuid id; // of session_id; unused for sessions by inactivity
        std::int64_t first, last;
        std::uint32_t user;
        std::uint32_t next; // sessions by inactivity: the user's next, or the next free entry
        std::uint32_t page_views;
        std::uint32_t other_events : 29; // neither page view nor session_start/_end; saturates
        std::uint32_t has_id : 1;
        std::uint32_t has_key_event : 1;
        std::uint32_t is_free : 1;
    };
    struct agent_entry {
        uuid id;
        std::uint64_t feedbacks;
        std::uint64_t ratings;
        int128 rating_sum;
    };
    struct run_entry {        // one counted run, or the deciding event of a run so far
        std::int64_t runtime; // nanoseconds, -1: none
        std::int64_t tokens;  // -1: none
        amount credits;
        amount cost;                               // no_amount: unknown
        std::uint32_t agent, user, model, failure; // npos: none
        currency_code currency;                    // of the cost
        run_status status;
        bool is_counted; // false: no deciding event yet
    };
    struct run_key { // a run with a run_id
        std::uint64_t hash[2];
        std::int64_t at; // of the deciding event
        uuid id;
        std::uint32_t run;
        std::uint32_t trail; // events that named an agent and do not decide, npos: none
        bool has_error_event;
    };
    struct trail_entry {
        std::int64_t at;
        uuid id;
        std::uint32_t agent;
        std::uint32_t next;
    };
    struct model_entry {
        std::uint32_t name;
        int128 credits; // of events that are not agent_run
        int128 cost;
        bool has_cost;
    };
    struct error_entry { // error events by type, agent (npos: none) and event name
        std::uint32_t type, agent, name;
        std::uint64_t events;
    };
    struct name_entry { // events by type and name
        std::uint32_t name;
        event_type type;
        std::uint64_t events;
    };

    std::uint32_t intern(std::string_view text);
    std::string_view text(std::uint32_t i) const noexcept { return {texts_[i].data, texts_[i].size}; }
    std::uint32_t user_of(const uuid &id);
    std::uint32_t agent_of(const uuid &id);
    std::uint32_t name_of_event(event_type type, std::uint32_t name);
    std::uint32_t key_of(const std::uint64_t (&hash)[2]);
    model_entry &model_of(std::uint32_t name);
    void count_error(std::uint32_t type, std::uint32_t agent, std::uint32_t name, std::uint64_t events);
    void add_revenue(std::uint32_t user, int128 revenue);

    amount pack(int128 value);
    int128 unpack(amount value) const noexcept;

    void add_to_session(const activity_rules &rules, const activity_event &event, std::uint32_t user);
    void add_identified(const session_entry &added);
    void add_interval(std::int64_t gap, const session_entry &added);
    std::uint32_t take_session(const session_entry &value);
    static void join(session_entry &into, const session_entry &from) noexcept;

    void add_run(const activity_rules &rules, const activity_event &event, const event_facts &facts,
                 std::uint32_t user);
    run_entry make_run(const activity_rules &rules, const activity_event &event, const event_facts &facts,
                       std::uint32_t user);
    void add_other(const activity_rules &rules, const activity_event &event, const event_facts &facts);
    void decide(run_key &key, const run_entry &run, std::int64_t at, const uuid &id);
    void leave_trail(run_key &key, std::uint32_t agent, std::int64_t at, const uuid &id);
    std::uint32_t agent_from_trail(const run_key &key) const noexcept;
    void note_currency(currency_code currency) noexcept;

    struct translation; // positions in another activity -> positions here
    void merge_sessions(std::int64_t gap, const activity &other, const translation &to);
    void merge_runs(const activity &other, const translation &to);
    void merge_counts(const activity &other, const translation &to);
    run_entry translate(const activity &other, const run_entry &run, const translation &to);
    template <typename Self, typename Archive>
    static void archive(Self &self, Archive &a);
    template <typename Archive>
    void archive_out(Archive &a) const;

    std::pmr::memory_resource *memory_;
    arena arena_;
    pool<text_entry> texts_;
    pool_index text_index_;
    pool<user_entry> users_;
    pool_index user_index_;
    pool<session_entry> sessions_;
    pool_index session_index_;
    pool<agent_entry> agents_;
    pool_index agent_index_;
    pool<failure_entry> failures_;
    pool<run_entry> runs_;
    pool<run_key> keys_;
    pool_index key_index_;
    pool<trail_entry> trails_;
    pool<model_entry> models_;
    pool_index model_index_;
    pool<error_entry> errors_;
    pool_index error_index_;
    pool<name_entry> names_;
    pool_index name_index_;
    pair_set name_users_;
    pool<int128> big_amounts_;
    pool<std::int64_t> call_runtimes_; // of api_call events, nanoseconds
    std::uint32_t free_session_ = npos;
    std::uint32_t free_sessions_ = 0;
    currency_code currency_ = 0;
    bool has_currencies_ = false; // more than one
    std::uint64_t events_by_type_[event_type_count] = {};
    std::uint64_t ignored_[metadata_key_count] = {};
};

} // namespace shadow
