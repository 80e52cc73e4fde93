#pragma once
// What all questions share: who answers core's own (the host), the arguments, the range of days, the events.

#include "core/event/prices.hpp"
#include "core/questions/calendar.hpp"
#include "core/questions/event_stream.hpp"
#include "core/questions/table.hpp"
#include "core/sets/user_set.hpp"

#include <functional>
#include <initializer_list>
#include <list>

namespace shadow::questions
{

// What is scanned: from <= created_at < until.
struct scan_request {
    instant from, until;
    std::uint32_t types; // a bit for each event_type
    bool needs_metadata;
    bool needs_texts; // other than event_name
};

// What of the daily sets is read, of types as a bit for each event_type.
struct usage_request {
    date first, last;
    std::uint32_t types;
    bool needs_users;
    bool is_crowded; // only where names are among the others
};

class usage_sink
{
public:
    virtual void add(date day, event_type type, span<const stored_name> names) = 0;

protected:
    ~usage_sink() = default;
};

class event_sink
{
public:
    virtual void add(const event_source &event) = 0;

protected:
    ~event_sink() = default;
};

// A user of the workspace's dictionary.
struct known_user {
    uuid id;
    std::uint32_t number; // in sets
    instant first_seen;
};

// A saved segment: its definition as JSON or, where that is empty, a set in stored form.
struct stored_segment {
    std::string definition;
    std::vector<std::uint8_t> users;
};

// What credits cost in the workspace.
struct price_list {
    uuid workspace;
    currency_code currency;           // of costs that name none
    std::vector<credit_price> prices; // sorted by sort_prices()
    std::list<std::string> models;    // what the models of both point to
    std::vector<token_price> token_prices;
};

// The workspace that is asked about.
class question_host
{
public:
    virtual void scan(const scan_request &request, event_sink &sink) = 0;
    // The first instants of the local days first..last.
    virtual std::vector<instant> day_starts(date first, date last) = 0;
    virtual std::vector<known_user> users() = 0;
    // The local day of the workspace's first raw event; `today` without any.
    virtual date first_event_day() = 0;
    // The first local day whose raw events are all still there.
    virtual date raw_events_since() = 0;
    // The first of the days up to `last` of which no raw event is gone. Those of a day between may be missing.
    virtual date complete_since(date last) = 0;
    virtual price_list prices() = 0;
    // The first local day of which the daily sets or raw events tell something; `today` without any.
    virtual date first_known_day() = 0;
    // Days of a range that the daily sets do not tell: not over, not aggregated yet, or removed. Ascending.
    virtual std::vector<date> unstored_days(date first, date last) = 0;
    // The daily sets by event type, or the users of a day whatever they did (as of any one type), by day.
    virtual void usage(const usage_request &request, usage_sink &sink) = 0;
    virtual void active_users(date first, date last, usage_sink &sink) = 0;
    // numbers[i]: of users[i]; untouched where he has none yet. Returns a number above all.
    virtual std::uint32_t number_users(const user_list &users, std::vector<std::uint32_t> &numbers) = 0;
    // False without one of that name.
    virtual bool saved_segment(std::string_view name, stored_segment &out) = 0;

protected:
    ~question_host() = default;
};

class user_choice;
class question_host;
struct question_settings;

// Which users a segment chooses. A question knows no segments, as a segment may be made of questions.
using segment_evaluation = user_choice (*)(const json &definition, const place &where, question_host &host,
                                           const question_settings &settings);

struct question_settings {
    instant as_of;
    date today; // the local day of as_of
    std::int64_t session_gap;
    bool engaged_bounce;        // how a bounce is told: by seconds and key events too
    int most_periods[3];        // of cohorts: days, weeks, months
    std::size_t most_bytes;     // memory of one question
    bool may_read_persons;      // the caller may read raw events; else
    std::int64_t fewest_users;  // a segment chooses at least so many, and leaves out none or so many
    const user_set_view *users; // the argument of that name; nullptr: none
    text_clipper clip;
    interrupt_check interrupted;
    segment_evaluation segment; // core's own
    currency_code currency;     // of revenue
};

// Users that are asked about, of the workspace's dictionary.
class user_choice
{
public:
    explicit user_choice(const std::vector<known_user> &users); // all
    std::uint32_t size() const noexcept { return index_.size(); }
    // npos: not in the dictionary.
    std::uint32_t find(const uuid &user) const noexcept { return index_.find(user); }
    bool has(const uuid &user) const noexcept
    {
        std::uint32_t const i = find(user);
        return i != npos && chosen[i];
    }
    // The numbers of those who are chosen.
    std::vector<std::uint32_t> numbers() const;
    std::vector<bool> chosen; // in the order of the dictionary

private:
    user_list index_;
    std::vector<std::uint32_t> numbers_;
};

// Which users have numbers in a set.
std::vector<bool> are_in(const std::vector<known_user> &users, const user_set_view &set);

// Named arguments, of a call or inside a definition. A null is as good as none.
class arguments
{
public:
    arguments(const json &values, const place &where, std::initializer_list<std::string_view> names);

    const json *find(std::string_view name) const noexcept;
    const json &require(std::string_view name) const;
    place at(std::string_view name) const noexcept { return place(where_, name); }
    std::string_view text(std::string_view name, std::string_view missing) const;
    bool flag(std::string_view name, bool missing) const;
    int integer(std::string_view name, int missing, int lowest, int highest) const;
    date day(std::string_view name, date missing) const;
    std::int64_t length(std::string_view name, std::string_view missing) const;
    // The place of the text among the choices.
    int choice(std::string_view name, std::initializer_list<std::string_view> choices) const;
    std::vector<std::string> texts(std::string_view name, std::size_t most) const;
    std::vector<std::string> patterns(std::string_view name) const;
    const place &where() const noexcept { return where_; }

private:
    const json &values_;
    place where_;
};

// Local days with their instants: what the question's periods are made of.
struct day_range {
    date first, last;    // inclusive
    instant from, until; // from <= t < until
};

class question
{
public:
    question(question_host &asked, const question_settings &options)
        : host(asked), settings(options), events({options.clip, options.currency})
    {
    }

    // start_date and end_date, widened to whole periods. A plain question is answered from daily sets and may
    // begin before the raw events do.
    void read_range(const arguments &given, period unit, bool is_plain = false);
    // Compiles filter; evaluates segment and users.
    void read_common(const arguments &given);
    // Refuses what would tell those who may only count about single persons.
    void require_many(const user_choice &segment, const place &where) const;
    // Loads the days first..last, with the day after them.
    void load_days(date first, date last);
    instant start_of(date day);
    std::vector<date> periods() const;

    // Refuses a scan of days whose raw events are gone; without `last` up to today.
    void require_raw_events(date from, date last = latest_date);
    // The day that so many microseconds after the range reach to.
    date last_day_after(std::int64_t length) const noexcept
    {
        return range.last + static_cast<date>((length + day_length - 1) / day_length);
    }
    // Nothing but types and names is asked for, and no filter is given.
    bool is_plain(const arguments &given) const noexcept;
    bool chooses_users(const arguments &given) const noexcept;
    // Scans from <= t < until, and t <= as_of. `keep` says which events are kept by their masks.
    enum class kept { matching, filtered, all };
    event_stream scan(instant from, instant until, stream_details details, kept which, bool is_sorted = true);
    // The same in several passes, each over a share of the users, where one needs more memory than allowed.
    void scan_in_passes(instant from, instant until, const stream_details &details, kept which,
                        const std::function<void(event_stream &)> &visit);

    question_host &host;
    const question_settings &settings;
    program events;
    day_range range{};
    period unit = period::daily;
    calendar days;
    std::optional<user_choice> users; // nullopt: all

private:
    event_stream scan_share(instant from, instant until, stream_details details, kept which,
                            std::uint64_t shares, std::uint64_t share);
};

// A mark for the events of a question: the selector that is meant by a missing argument, as JSON.
json text_json(std::string_view text);

// The names of what all readers take.
inline constexpr std::string_view start_date = "start_date", end_date = "end_date", segment_name = "segment",
                                  filter_name = "filter";

// Which of the periods between ascending bounds an instant lies in; it is asked for neighbours in a row.
class period_finder
{
public:
    explicit period_finder(std::vector<instant> bounds) : bounds_(std::move(bounds)) {}
    // -1: before the first.
    std::ptrdiff_t of(instant at) noexcept
    {
        if (cached_ < 0 || at < bounds_[static_cast<std::size_t>(cached_)] ||
            at >= bounds_[static_cast<std::size_t>(cached_) + 1])
            find(at);
        return cached_;
    }
    std::size_t size() const noexcept { return bounds_.size() - 1; } // which stands for all after the last
    instant begin_of(std::size_t period) const noexcept { return bounds_[period]; }
    instant end_of(std::size_t period) const noexcept { return bounds_[period + 1]; }

private:
    void find(instant at) noexcept;

    std::vector<instant> bounds_; // one more than there are periods, and the end of time
    std::ptrdiff_t cached_ = -1;
};

// Rates in percent, counts and seconds as cells. NULL where there is nothing to divide by.
cell percent_cell(std::int64_t part, std::int64_t whole);
cell text_cell(std::string_view text); // empty: NULL
// The quantile of exact numbers by type 7 of Hyndman & Fan, in units of 10^-9 if the values are; orders them.
nullable<int128> quantile(std::vector<int128> &values, int percent);
// The median of lengths of time, in seconds with 2 decimals; orders them.
cell median_seconds(std::vector<std::int64_t> &lengths);

// The groups of a breakdown: the most frequent values, then the others together, then the missing value.
class breakdown_groups
{
public:
    // counts[v]: of value v; below 0: it is among the others, however few there are. limit: how many are
    // shown. Ties by value in byte order.
    breakdown_groups(const std::vector<std::int64_t> &counts, const value_list &texts, std::size_t limit);
    std::size_t size() const noexcept { return names_.size(); }
    // The group of a value; size() for one that was not counted.
    std::size_t of(value_number value) const noexcept
    {
        return value < group_.size() ? group_[value] : size();
    }
    const cell &name(std::size_t group) const noexcept { return names_[group]; }

private:
    std::vector<std::size_t> group_;
    std::vector<cell> names_;
};

inline constexpr std::string_view other_group = "(other)";
inline constexpr int most_groups = 1000; // of a breakdown_limit

} // namespace shadow::questions
