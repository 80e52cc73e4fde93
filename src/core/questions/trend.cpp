#include "core/questions/trend.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/daily_sets.hpp"
#include "core/questions/runs.hpp"
#include "core/questions/session_split.hpp"

#include <algorithm>
#include <cmath>

namespace shadow::questions
{

namespace
{

constexpr std::size_t most_series = 10;

enum class measure : std::uint8_t {
    events,
    users,
    sessions,
    runs,
    success_rate,
    failure_rate,
    sum,
    avg,
    min,
    max,
    quantile
};

struct series {
    int selector = 0;
    measure kind = measure::events;
    int percent = 50;     // of a quantile
    std::size_t slot = 0; // of the property, among the details'
    bool by_run = false;  // each run counts once
};

// What is counted for a series, period and group.
struct tally {
    std::int64_t count = 0;
    std::int64_t successful = 0, failed = 0;
    std::uint32_t last = 0; // user or session counted last
    int128 sum = 0, low = 0, high = 0;
    std::vector<int128> values;      // for quantiles
    std::vector<std::uint64_t> seen; // a bit for each user, where they come in no order
};

nullable<int128> value_of(tally &t, const series &s)
{
    switch (s.kind) {
    case measure::events:
    case measure::users:
    case measure::sessions:
    case measure::runs:
        return int128{t.count} * nano;
    case measure::success_rate:
    case measure::failure_rate: {
        std::int64_t const part = s.kind == measure::success_rate ? t.successful : t.failed;
        if (t.successful + t.failed == 0)
            return {};
        return divide_rounded(int128{part} * 10000, t.successful + t.failed) * (nano / 100);
    }
    case measure::sum:
        return t.sum;
    default:
        break;
    }
    if (t.count == 0)
        return {};
    constexpr int128 cent = nano / 100;
    if (s.kind == measure::avg)
        return divide_rounded(t.sum, t.count * cent) * cent;
    if (s.kind == measure::quantile)
        return divide_rounded(quantile(t.values, s.percent).value, cent) * cent;
    return s.kind == measure::min ? t.low : t.high;
}

// NULL without one of them or against zero.
cell change_cell(const nullable<int128> &value, const nullable<int128> &previous)
{
    if (value.is_null || previous.value == 0)
        return {};
    int128 const sign = previous.value < 0 ? -1 : 1;
    constexpr int128 large =
        int128{1'000'000'000'000'000} * 1'000'000'000'000'000; // beyond it 18 digits will do
    if (value.value > large || value.value < -large || previous.value * sign > large) {
        double const ratio = static_cast<double>(value.value) / static_cast<double>(previous.value);
        return std::fabs(ratio) < 1e12 ? cell::trimmed(std::llround((ratio - 1) * 10000), 2) : cell{};
    }
    return cell::trimmed(divide_rounded((value.value - previous.value) * 10000 * sign, previous.value * sign),
                         2);
}

class trend
{
public:
    trend(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        place const where;
        arguments const given(definition, where,
                              {"series", "period", "start_date", "end_date", "breakdown", "breakdown_limit",
                               "compare", "segment", "filter"});
        read_series(given);
        limit_ = static_cast<std::size_t>(given.integer("breakdown_limit", 25, 1, most_groups));
        if (given.find("breakdown") != nullptr) {
            has_breakdown_ = true;
            breakdown_ = add_slot(given.text("breakdown", {}), given.at("breakdown"));
        }
        if (uses(measure::sessions))
            details_.sessions = true;
        if (by_run_)
            runs_ = add_run_slots(question_.events, details_);
        is_plain_ = question_.is_plain(given) && is_of_sets(question_.chooses_users(given));
        question_.read_range(given, parse_period(given.text("period", "daily"), true, given.at("period")),
                             is_plain_);
        read_periods(given.flag("compare", false));
        if (!is_plain_)
            question_.require_raw_events(first_, question_.range.last);
        question_.read_common(given);
    }

    table answer()
    {
        if (is_plain_)
            return answer_from_sets();
        // Only sessions and runs are told by the order of a user's events.
        event_stream stream = question_.scan(
            bounds_.front(), bounds_.back(), details_,
            details_.sessions ? question::kept::all : question::kept::matching, details_.sessions || by_run_);
        if (by_run_)
            parts_ = decide_runs(stream, runs_, question_.days);
        table out(7);
        for (std::size_t i = 0; i < series_.size(); ++i)
            add_series(out, i, stream);
        return out;
    }

private:
    // Sets know who, but not how many events are whose.
    bool is_of_sets(bool is_of_some) const noexcept
    {
        return std::all_of(series_.begin(), series_.end(),
                           [&](const series &s) {
                               return s.kind == measure::users || (s.kind == measure::events && !is_of_some);
                           }) &&
               !(is_of_some && has_breakdown_);
    }
    std::size_t add_slot(std::string_view name, const place &where)
    {
        details_.slots.push_back(question_.events.add_property(name, where));
        return details_.slots.size() - 1;
    }
    bool uses(measure m) const noexcept
    {
        return std::any_of(series_.begin(), series_.end(), [m](const series &s) { return s.kind == m; });
    }
    void read_series(const arguments &given)
    {
        place const at = given.at("series");
        const json *const list = given.find("series");
        json const any = text_json("*");
        const json &asked = list == nullptr ? any : *list;
        // A list of events is one series: any of them; a list of series has measures or events in it.
        bool const is_list =
            asked.is_array() && std::any_of(asked.items.begin(), asked.items.end(), [](const json &j) {
                return j.find("event") != nullptr || j.find("measure") != nullptr;
            });
        if (!is_list) {
            add_series(asked, at);
            return;
        }
        if (asked.items.size() > most_series)
            at.refuse("too many series", "At most 10 are answered together.");
        for (std::size_t i = 0; i < asked.items.size(); ++i)
            add_series(asked.items[i], place(at, i));
    }
    void add_series(const json &definition, const place &where)
    {
        series s;
        bool const has_measure = definition.find("event") != nullptr || definition.find("measure") != nullptr;
        if (!has_measure) {
            s.selector = question_.events.add_selector(definition, where);
        } else {
            arguments const given(definition, where, {"event", "measure"});
            s.selector = question_.events.add_selector(given.require("event"), given.at("event"));
            read_measure(s, given.text("measure", "events"), given.at("measure"));
        }
        by_run_ = by_run_ || s.by_run;
        series_.push_back(s);
    }
    void read_measure(series &s, std::string_view text, const place &where)
    {
        static constexpr std::string_view counts[] = {"events", "users",        "sessions",
                                                      "runs",   "success_rate", "failure_rate"};
        for (std::size_t i = 0; i < std::size(counts); ++i)
            if (counts[i] == text) {
                s.kind = static_cast<measure>(i);
                s.by_run = s.kind >= measure::runs;
                return;
            }
        auto const open = text.find('(');
        if (open == std::string_view::npos || text.back() != ')')
            refuse_measure(text, where);
        read_function(s, text.substr(0, open), where);
        std::string_view const name = text.substr(open + 1, text.size() - open - 2);
        s.by_run = parse_property(name, where).is_fact();
        s.slot = add_slot(name, where);
    }
    static void read_function(series &s, std::string_view name, const place &where)
    {
        static constexpr std::string_view functions[] = {"sum", "avg", "min", "max"};
        for (std::size_t i = 0; i < std::size(functions); ++i)
            if (functions[i] == name) {
                s.kind = static_cast<measure>(static_cast<int>(measure::sum) + static_cast<int>(i));
                return;
            }
        s.kind = measure::quantile;
        if (name == "median")
            return;
        s.percent = 0;
        for (char const c : name.substr(std::min<std::size_t>(name.size(), 1)))
            s.percent = c >= '0' && c <= '9' && s.percent < 100 ? s.percent * 10 + (c - '0') : 1000;
        if (name.size() < 2 || name.front() != 'p' || s.percent < 1 || s.percent > 99)
            refuse_measure(name, where);
    }
    [[noreturn]] static void refuse_measure(std::string_view text, const place &where)
    {
        where.refuse(
            "unknown measure \"" + place::shown(text) + "\"",
            "The measures are events, users, sessions, runs, success_rate, failure_rate, and sum, avg, min, "
            "max, median and p1 to p99 of a property: p95(runtime_seconds).");
    }
    // The periods, those to compare with first.
    void read_periods(bool compare)
    {
        std::vector<date> starts = question_.periods();
        first_ = question_.range.first;
        current_ = 0;
        if (compare && question_.unit == period::total) {
            first_ -= question_.range.last - question_.range.first + 1;
            starts.insert(starts.begin(), first_);
            current_ = 1;
        } else if (compare) {
            current_ = starts.size();
            for (std::size_t i = 0; i < current_; ++i)
                first_ = period_start(first_ - 1, question_.unit);
            std::vector<date> all;
            for (date d = first_; d <= question_.range.last; d = next_period(d, question_.unit))
                all.push_back(d);
            starts = std::move(all);
        }
        if (first_ != question_.range.first)
            question_.load_days(first_, question_.range.last);
        for (date const d : starts)
            bounds_.push_back(question_.days.start_of(d));
        bounds_.push_back(question_.range.until);
        starts_ = std::move(starts);
    }
    std::size_t periods() const noexcept { return starts_.size(); }
    std::size_t period_of(instant at) noexcept
    {
        if (at < bounds_[cached_] || at >= bounds_[cached_ + 1])
            cached_ = static_cast<std::size_t>(std::upper_bound(bounds_.begin(), bounds_.end(), at) -
                                               bounds_.begin()) -
                      1;
        return cached_;
    }
    bool counts(const series &s, const stream_event &e) const noexcept
    {
        return e.matches(s.selector) && !(s.by_run && parts_[e.position] == run_part::counts_not);
    }
    value_number group_value(const event_stream &stream, const stream_event &e) const noexcept
    {
        return has_breakdown_ ? stream.value(e, breakdown_) : 0;
    }

    // Values are ranked by the events of the periods that are shown; others there were before are among the
    // others.
    breakdown_groups find_groups(const series &s, event_stream &stream)
    {
        std::vector<std::int64_t> sizes(stream.texts().size());
        stream.for_each([&](const stream_event &e, std::uint32_t) {
            if (!counts(s, e))
                return;
            std::int64_t &n = sizes[group_value(stream, e)];
            if (period_of(e.at) >= current_)
                n = std::max<std::int64_t>(n, 0) + 1;
            else if (n == 0)
                n = -1;
        });
        return breakdown_groups(sizes, stream.texts(), limit_);
    }
    void require_room(std::size_t bytes) const
    {
        if (bytes > question_.settings.most_bytes)
            throw error(errc::memory_exceeded, "the question needs more memory than allowed", {},
                        "Ask for fewer periods or a smaller breakdown_limit, or raise the setting "
                        "analysis_memory_mb.");
    }
    void add_series(table &out, std::size_t i, event_stream &stream)
    {
        series const &s = series_[i];
        breakdown_groups const groups = find_groups(s, stream);
        std::size_t const columns = has_breakdown_ ? groups.size() : 1;
        require_room(columns * periods() * sizeof(tally));
        words_ = stream.users() / 64 + std::size_t{1};
        if (s.kind == measure::users && !stream.is_sorted() &&
            columns * periods() * words_ * sizeof(std::uint64_t) > question_.settings.most_bytes / 4)
            stream.finish();
        std::vector<tally> tallies(columns * periods());
        auto const add = [&](const stream_event &e, std::uint32_t unit) {
            std::size_t const group = has_breakdown_ ? groups.of(group_value(stream, e)) : 0;
            count(tallies[group * periods() + period_of(e.at)], s, stream, e, unit);
        };
        if (s.kind == measure::sessions)
            for_each_session_event(s, stream, add);
        else
            for_each_event(s, stream, add);
        for (std::size_t g = 0; g < columns; ++g)
            add_rows(out, i, has_breakdown_ ? groups.name(g) : cell{}, &tallies[g * periods()]);
    }
    template <typename Add>
    void for_each_event(const series &s, event_stream &stream, Add add)
    {
        stream.for_each([&](const stream_event &e, std::uint32_t user) {
            if (counts(s, e))
                add(e, user + 1);
        });
    }
    template <typename Add>
    void for_each_session_event(const series &s, event_stream &stream, Add add)
    {
        session_splitter sessions(question_.days, question_.settings.session_gap);
        std::uint32_t number = 0;
        for (std::uint32_t u = 0; u < stream.users(); ++u)
            sessions.for_each(stream.events_of(u), stream, [&](const event_span &session) {
                ++number;
                for (stream_event const &e : session) {
                    stream.poll()();
                    if (counts(s, e))
                        add(e, number);
                }
            });
    }
    void count(tally &t, const series &s, event_stream &stream, const stream_event &e, std::uint32_t unit)
    {
        switch (s.kind) {
        case measure::events:
            ++t.count;
            return;
        case measure::users:
            if (!stream.is_sorted()) {
                t.count += is_new(t, unit) ? 1 : 0;
                return;
            }
            [[fallthrough]];
        case measure::sessions:
            t.count += t.last != unit ? 1 : 0;
            t.last = unit;
            return;
        case measure::runs:
        case measure::success_rate:
        case measure::failure_rate:
            count_run(t, stream, e);
            return;
        default:
            count_number(t, s, stream, e);
        }
    }
    bool is_new(tally &t, std::uint32_t user) const
    {
        if (t.seen.empty())
            t.seen.resize(words_);
        std::uint64_t const bit = std::uint64_t{1} << user % 64;
        std::uint64_t &word = t.seen[user / 64];
        bool const is_first = (word & bit) == 0;
        word |= bit;
        return is_first;
    }
    void count_run(tally &t, const event_stream &stream, const stream_event &e) const
    {
        if (parts_[e.position] != run_part::decides)
            return;
        ++t.count;
        std::string_view const status = stream.texts().text(stream.value(e, runs_.status));
        t.successful += status == name_of(run_status::successful) ? 1 : 0;
        t.failed += status == name_of(run_status::failed) ? 1 : 0;
    }
    static void count_number(tally &t, const series &s, event_stream &stream, const stream_event &e)
    {
        value_number const v = stream.value(e, s.slot);
        if (v == 0)
            return;
        nullable<int128> const &number = stream.texts().number(v);
        if (number.is_null)
            return;
        t.low = t.count == 0 ? number.value : std::min(t.low, number.value);
        t.high = t.count == 0 ? number.value : std::max(t.high, number.value);
        ++t.count;
        if (__builtin_add_overflow(t.sum, number.value, &t.sum))
            throw error(errc::out_of_range, "a sum is out of range");
        if (s.kind == measure::quantile)
            t.values.push_back(number.value);
    }
    // The columns of the answer, one after the other: series, group, period.
    struct columns {
        std::vector<breakdown_groups> groups; // of each series
        std::vector<std::size_t> begins;      // of each series, and the end
        std::vector<tally> tallies;
    };
    usage_details details_of_sets(bool needs_users) const
    {
        usage_details d;
        d.needs_users = needs_users && uses(measure::users);
        d.needs_events = uses(measure::events) || has_breakdown_;
        d.needs_types = d.needs_names = has_breakdown_;
        return d;
    }
    template <typename Visit>
    void for_each_usage(bool needs_users, Visit visit)
    {
        usage_details const details = details_of_sets(needs_users);
        read_daily_sets(question_, first_, question_.range.last, details, [&](const day_usage &u) {
            value_number const value =
                has_breakdown_
                    ? values_.add(question_.events.value(details_.slots[breakdown_]), question_.events.clip())
                    : 0;
            for (std::size_t i = 0; i < series_.size(); ++i)
                if ((u.mask >> series_[i].selector & 1) != 0)
                    visit(i, value, period_of(question_.days.start_of(u.day)), u);
        });
    }
    // As find_groups() does it.
    columns groups_of_sets()
    {
        std::vector<std::vector<std::int64_t>> sizes(series_.size());
        if (has_breakdown_)
            for_each_usage(false, [&](std::size_t i, value_number value, std::size_t p, const day_usage &u) {
                sizes[i].resize(std::max<std::size_t>(sizes[i].size(), value + std::size_t{1}));
                std::int64_t &n = sizes[i][value];
                if (p >= current_)
                    n = std::max<std::int64_t>(n, 0) + u.events;
                else if (n == 0)
                    n = -1;
            });
        columns result;
        for (std::size_t i = 0; i < series_.size(); ++i) {
            result.groups.emplace_back(sizes[i], values_, limit_);
            result.begins.push_back(result.tallies.size());
            std::size_t const size =
                result.tallies.size() + (has_breakdown_ ? result.groups[i].size() : 1) * periods();
            require_room(size * (sizeof(tally) + sizeof(user_set_builder)));
            result.tallies.resize(size);
        }
        return result;
    }
    table answer_from_sets()
    {
        columns all = groups_of_sets();
        limited_memory memory(question_.settings.most_bytes);
        set_row users(all.tallies.size(), memory);
        for_each_usage(true, [&](std::size_t i, value_number value, std::size_t p, const day_usage &u) {
            std::size_t const group = has_breakdown_ ? all.groups[i].of(value) : 0;
            std::size_t const column = all.begins[i] + group * periods() + p;
            if (series_[i].kind == measure::users)
                users[column].add(u.users, question_.settings.interrupted);
            else
                all.tallies[column].count += u.events;
        });
        table out(7);
        for (std::size_t i = 0; i < series_.size(); ++i) {
            std::size_t const groups = has_breakdown_ ? all.groups[i].size() : 1;
            for (std::size_t g = 0; g < groups; ++g) {
                std::size_t const begin = all.begins[i] + g * periods();
                for (std::size_t c = begin; series_[i].kind == measure::users && c < begin + periods(); ++c)
                    all.tallies[c].count = static_cast<std::int64_t>(
                        users.finished(c, question_.settings.interrupted).view().cardinality());
                add_rows(out, i, has_breakdown_ ? all.groups[i].name(g) : cell{}, &all.tallies[begin]);
            }
        }
        return out;
    }
    void add_rows(table &out, std::size_t series_index, const cell &group, tally *tallies)
    {
        series const &s = series_[series_index];
        auto const number = [](const nullable<int128> &v) {
            return v.is_null ? cell{} : cell::trimmed(v.value, nano_scale);
        };
        for (std::size_t p = current_; p < periods(); ++p) {
            nullable<int128> const value = value_of(tallies[p], s);
            nullable<int128> const previous =
                current_ == 0 ? nullable<int128>{} : value_of(tallies[p - current_], s);
            bool const is_over = bounds_[p + 1] <= question_.settings.as_of;
            out << cell::integer(static_cast<std::int64_t>(series_index) + 1) << cell::of_date(starts_[p])
                << group << number(value) << number(previous)
                << (is_over ? change_cell(value, previous) : cell{}) << cell::boolean(is_over);
        }
    }

    question question_;
    std::vector<series> series_;
    bool is_plain_ = false;
    value_list values_; // of the breakdown, from sets
    bool by_run_ = false;
    run_slots runs_{};
    std::vector<run_part> parts_;
    bool has_breakdown_ = false;
    std::size_t breakdown_ = 0;
    std::size_t limit_ = 25;
    std::size_t words_ = 0; // of a bit for each user
    stream_details details_;
    date first_ = 0;          // of all periods
    std::size_t current_ = 0; // the first period that is shown
    std::vector<date> starts_;
    std::vector<instant> bounds_;
    std::size_t cached_ = 0;
};

} // namespace

table answer_trend(question_host &host, const question_settings &settings, const json &definition)
{
    trend t(host, settings);
    t.read(definition);
    return t.answer();
}

} // namespace shadow::questions
