#include "core/questions/retention.hpp"

#include "core/questions/daily_sets.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

std::int64_t count_of(const user_set_view &set)
{
    return static_cast<std::int64_t>(set.cardinality());
}

owned_set difference(const user_set_view &a, const user_set_view &b, interrupt_check interrupted)
{
    roaring::writer set(std::pmr::new_delete_resource());
    subtract(a, b, set, interrupted);
    return owned_set(set);
}

class retention
{
public:
    retention(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        arguments const given(definition, place(),
                              {"start_event", "return_event", "period", "start_date", "end_date", "retention",
                               "rolling", "breakdown", "breakdown_limit", "segment", "filter"});
        const json &start = given.require("start_event");
        const json *const back = given.find("return_event");
        question_.events.add_selector(start, given.at("start_event"));
        question_.events.add_selector(back == nullptr ? start : *back, given.at("return_event"));
        is_recurring_ = given.choice("retention", {"first", "recurring"}) == 1;
        is_rolling_ = given.flag("rolling", false);
        limit_ = static_cast<std::size_t>(given.integer("breakdown_limit", 25, 1, most_groups));
        if (given.find("breakdown") != nullptr) {
            has_breakdown_ = true;
            details_.slots.push_back(
                question_.events.add_property(given.text("breakdown", {}), given.at("breakdown")));
            details_.ids = true;
        }
        // Sets do not tell which of a day's events was the first.
        is_plain_ = question_.is_plain(given) && !is_rolling_ && !has_breakdown_;
        question_.read_range(given, parse_period(given.text("period", "weekly"), false, given.at("period")),
                             is_plain_);
        if (!is_plain_)
            question_.require_raw_events(question_.range.first);
        read_periods();
        question_.read_common(given);
    }

    table answer()
    {
        if (is_plain_) {
            fill_from_sets();
            return rows();
        }
        stream_.emplace(question_.scan(is_recurring_ ? question_.range.from : INT64_MIN, INT64_MAX, details_,
                                       question::kept::matching));
        count_cohorts();
        fill();
        return rows();
    }

private:
    static constexpr std::size_t start_event = 0, return_event = 1;
    static constexpr std::size_t npos_period = SIZE_MAX; // before all

    struct cohort_cells {
        std::int64_t initial = 0;
        std::vector<std::int64_t> retained, later; // by the number of the period; later: in it or after
    };

    // The cohorts' periods and as many after them as are shown.
    void read_periods()
    {
        cohorts_ = question_.periods();
        period const unit = question_.unit;
        most_ = static_cast<std::size_t>(question_.settings.most_periods[static_cast<int>(unit)]);
        date const shown = question_.settings.today;
        std::vector<date> starts = cohorts_;
        date next = next_period(starts.back(), unit);
        for (std::size_t i = 0; i < most_ && next <= shown; ++i, next = next_period(next, unit))
            starts.push_back(next);
        question_.load_days(question_.range.first, next - 1);
        std::vector<instant> bounds;
        for (date const d : starts)
            bounds.push_back(question_.days.start_of(d));
        bounds.push_back(question_.days.start_of(next));
        finder_.emplace(std::move(bounds));
        length_ = day_length * (unit == period::daily ? 1 : unit == period::weekly ? 7 : 30);
    }
    bool has_cell(std::size_t cohort, std::size_t n) const noexcept
    {
        instant const now = question_.settings.as_of;
        if (is_rolling_)
            return finder_->end_of(cohort) + static_cast<std::int64_t>(n + 1) * length_ <= now;
        return cohort + n < finder_->size() && finder_->end_of(cohort + n) <= now;
    }
    // visit(cohort, first start event in it) for each cohort of the user.
    template <typename Visit>
    void for_each_cohort(const event_span &events, Visit visit)
    {
        std::ptrdiff_t last = -1;
        for (stream_event const &e : events) {
            stream_->poll()();
            if (!e.matches(start_event))
                continue;
            std::ptrdiff_t const p = e.at < question_.range.until ? finder_->of(e.at) : -1;
            if (p >= 0 && p != last)
                visit(static_cast<std::size_t>(p), e);
            if (!is_recurring_ || e.at >= question_.range.until)
                return;
            last = p;
        }
    }
    value_number value_of(const stream_event &e) const noexcept
    {
        return has_breakdown_ ? stream_->value(e, 0) : 0;
    }
    void count_cohorts()
    {
        std::vector<std::int64_t> sizes(stream_->texts().size());
        for (std::uint32_t u = 0; u < stream_->users(); ++u)
            for_each_cohort(stream_->events_of(u),
                            [&](std::size_t, const stream_event &e) { ++sizes[value_of(e)]; });
        groups_.emplace(sizes, stream_->texts(), limit_);
        make_cells(has_breakdown_ ? groups_->size() : 1);
    }
    void make_cells(std::size_t columns)
    {
        columns_ = columns;
        if (columns_ * cohorts_.size() * (most_ + 1) * 2 * sizeof(std::int64_t) >
            question_.settings.most_bytes)
            throw error(errc::memory_exceeded, "the question needs more memory than allowed", {},
                        "Ask for fewer cohorts or a smaller breakdown_limit, or raise the setting "
                        "analysis_memory_mb.");
        cells_.resize(columns_ * cohorts_.size());
        for (cohort_cells &c : cells_) {
            c.retained.resize(most_ + 1);
            c.later.resize(most_ + 1);
        }
    }
    void fill()
    {
        std::vector<bool> came(most_ + 1);
        for (std::uint32_t u = 0; u < stream_->users(); ++u) {
            event_span const events = stream_->events_of(u);
            for_each_cohort(events, [&](std::size_t cohort, const stream_event &first) {
                std::size_t const group = has_breakdown_ ? groups_->of(value_of(first)) : 0;
                cohort_cells &c = cells_[cohort * columns_ + group];
                ++c.initial;
                count_returns(c, cohort, first, events, came);
            });
        }
    }
    void count_returns(cohort_cells &c, std::size_t cohort, const stream_event &first,
                       const event_span &events, std::vector<bool> &came)
    {
        std::fill(came.begin(), came.end(), false);
        std::size_t last = 0;
        bool any = false;
        auto const begin = std::lower_bound(events.begin(), events.end(), finder_->begin_of(cohort),
                                            [](const stream_event &e, instant at) { return e.at < at; });
        for (auto e = begin; e != events.end(); ++e) {
            stream_->poll()();
            if (!e->matches(return_event) || (is_rolling_ && e->at <= first.at))
                continue;
            std::size_t const n =
                std::min(most_ + 1, is_rolling_ ? static_cast<std::size_t>((e->at - first.at) / length_)
                                                : period_number(e->at) - cohort);
            any = true;
            last = std::max(last, n);
            if (n <= most_)
                came[n] = true;
        }
        for (std::size_t n = 0; n <= most_; ++n) {
            c.retained[n] += came[n] ? 1 : 0;
            c.later[n] += any && last >= n ? 1 : 0;
        }
    }
    // Who started in each cohort's period and before them all; who came back in each period that is shown and
    // after them all.
    void fill_from_sets()
    {
        make_cells(1);
        limited_memory memory(question_.settings.most_bytes);
        set_row starts(cohorts_.size() + 1, memory), returns(finder_->size() + 1, memory);
        date const first_day = is_recurring_
                                   ? question_.range.first
                                   : std::min(question_.range.first, question_.host.first_known_day());
        read_daily_sets(question_, first_day, question_.settings.today, {}, [&](const day_usage &u) {
            std::size_t const p = u.day < question_.range.first ? npos_period
                                  : u.day > question_.days.last()
                                      ? finder_->size()
                                      : static_cast<std::size_t>(finder_->of(question_.days.start_of(u.day)));
            if ((u.mask >> start_event & 1) != 0 && (p == npos_period || p < cohorts_.size()))
                starts[p == npos_period ? cohorts_.size() : p].add(u.users, question_.settings.interrupted);
            if ((u.mask >> return_event & 1) != 0 && p != npos_period)
                returns[std::min(p, finder_->size())].add(u.users, question_.settings.interrupted);
        });
        count_sets(starts, returns);
    }
    void count_sets(set_row &starts, set_row &returns)
    {
        interrupt_check const interrupted = question_.settings.interrupted;
        user_set_builder &before = starts[cohorts_.size()];
        std::vector<owned_set> cohorts, came, later(finder_->size() + 1);
        for (std::size_t c = 0; c < cohorts_.size(); ++c) {
            owned_set const started = starts.finished(c, interrupted);
            cohorts.push_back(is_recurring_ ? started
                                            : difference(started.view(),
                                                         starts.finished(cohorts_.size(), interrupted).view(),
                                                         interrupted));
            if (!is_recurring_)
                before.add(started.view(), interrupted);
        }
        for (std::size_t p = 0; p <= finder_->size(); ++p)
            came.push_back(returns.finished(p, interrupted));
        user_set_builder &all = returns[finder_->size()];
        for (std::size_t p = finder_->size() + 1; p-- > 0;) {
            all.add(came[p].view(), interrupted);
            later[p] = returns.finished(finder_->size(), interrupted);
        }
        for (std::size_t c = 0; c < cohorts_.size(); ++c)
            count_cohort(cells_[c], c, cohorts[c].view(), came, later);
    }
    void count_cohort(cohort_cells &cells, std::size_t cohort, const user_set_view &users,
                      const std::vector<owned_set> &came, const std::vector<owned_set> &later) const
    {
        interrupt_check const interrupted = question_.settings.interrupted;
        cells.initial = count_of(users);
        for (std::size_t n = 0; cells.initial > 0 && n <= most_ && has_cell(cohort, n); ++n) {
            std::size_t const p = cohort + n;
            cells.retained[n] =
                static_cast<std::int64_t>(intersection_cardinality(users, came[p].view(), interrupted));
            cells.later[n] =
                static_cast<std::int64_t>(intersection_cardinality(users, later[p].view(), interrupted));
        }
    }
    // The number of periods stands for all later ones.
    std::size_t period_number(instant at) noexcept
    {
        return at >= finder_->end_of(finder_->size() - 1) ? finder_->size() + most_ + 1
                                                          : static_cast<std::size_t>(finder_->of(at));
    }
    table rows() const
    {
        table out(7);
        for (std::size_t p = 0; p < cohorts_.size(); ++p)
            for (std::size_t g = 0; g < columns_; ++g) {
                cohort_cells const &c = cells_[p * columns_ + g];
                for (std::size_t n = 0; c.initial > 0 && n <= most_ && has_cell(p, n); ++n)
                    out << cell::of_date(cohorts_[p]) << (has_breakdown_ ? groups_->name(g) : cell{})
                        << cell::integer(c.initial) << cell::integer(static_cast<std::int64_t>(n))
                        << cell::integer(c.retained[n]) << percent_cell(c.retained[n], c.initial)
                        << percent_cell(c.later[n], c.initial);
            }
        return out;
    }

    question question_;
    bool is_plain_ = false;
    bool is_recurring_ = false, is_rolling_ = false, has_breakdown_ = false;
    std::size_t limit_ = 25;
    stream_details details_;
    std::size_t most_ = 0; // the last number of a period
    std::vector<date> cohorts_;
    std::optional<period_finder> finder_;
    std::int64_t length_ = 0; // of a rolling period
    std::optional<event_stream> stream_;
    std::optional<breakdown_groups> groups_;
    std::size_t columns_ = 1;
    std::vector<cohort_cells> cells_;
};

// One event by period: what stickiness and lifecycle read.
struct event_question {
    bool is_plain;
    std::vector<date> starts; // of the periods, with `more` before those that are shown
};

event_question read_event(question &asked, const json &definition, std::size_t more)
{
    arguments const given(definition, place(),
                          {"event", "period", "start_date", "end_date", "segment", "filter"});
    const json *const event = given.find("event");
    asked.events.add_selector(event == nullptr ? text_json("*") : *event, given.at("event"));
    event_question result{asked.is_plain(given), {}};
    asked.read_range(given, parse_period(given.text("period", "daily"), false, given.at("period")),
                     result.is_plain);
    result.starts = asked.periods();
    for (; more > 0; --more)
        result.starts.insert(result.starts.begin(), period_start(result.starts.front() - 1, asked.unit));
    if (!result.is_plain)
        asked.require_raw_events(asked.range.first, asked.range.last);
    asked.read_common(given);
    asked.load_days(result.starts.front(), asked.range.last);
    return result;
}

// The bounds of the periods.
std::vector<instant> bounds_of(question &asked, const std::vector<date> &starts)
{
    std::vector<instant> bounds;
    for (date const d : starts)
        bounds.push_back(asked.days.start_of(d));
    bounds.push_back(asked.range.until);
    return bounds;
}

// A user's periods: those before the first of `finder` count as -1.
template <typename Visit>
void for_each_period(const event_span &events, period_finder &finder, interrupt_poll &poll, Visit visit)
{
    std::ptrdiff_t last = -2;
    for (stream_event const &e : events) {
        poll();
        std::ptrdiff_t const p = finder.of(e.at);
        if (p != last)
            visit(p);
        last = p;
    }
}

} // namespace

table answer_event_retention(question_host &host, const question_settings &settings, const json &definition)
{
    retention r(host, settings);
    r.read(definition);
    return r.answer();
}

namespace
{

// Users of each period; sets[starts.size()] are those before.
set_row period_users(question &asked, const std::vector<date> &starts, date first_day, limited_memory &memory)
{
    set_row sets(starts.size() + 1, memory);
    read_daily_sets(asked, first_day, asked.range.last, {}, [&](const day_usage &u) {
        auto const next = std::upper_bound(starts.begin(), starts.end(), u.day);
        std::size_t const p =
            next == starts.begin() ? starts.size() : static_cast<std::size_t>(next - starts.begin()) - 1;
        sets[p].add(u.users, asked.settings.interrupted);
    });
    return sets;
}

// users[k]: who did it in k periods.
std::vector<std::int64_t> stickiness_of_sets(question &asked, const std::vector<date> &starts)
{
    limited_memory memory(asked.settings.most_bytes);
    set_row sets = period_users(asked, starts, starts.front(), memory);
    std::pmr::vector<std::uint16_t> active(&memory);
    std::vector<std::int64_t> users(starts.size() + 1);
    for (std::size_t p = 0; p < starts.size(); ++p) {
        owned_set const set = sets.finished(p, asked.settings.interrupted);
        user_set_view const view = set.view();
        if (!view.empty() && view.max() >= active.size())
            active.resize(std::size_t{view.max()} + 1);
        view.for_each(
            [&](std::uint32_t user) {
                --users[active[user]];
                ++users[++active[user]];
            },
            asked.settings.interrupted);
    }
    return users;
}

std::vector<std::int64_t> stickiness_of_events(question &asked, const std::vector<date> &starts)
{
    period_finder finder(bounds_of(asked, starts));
    std::vector<std::int64_t> users(starts.size() + 1);
    asked.scan_in_passes(asked.range.from, asked.range.until, {}, question::kept::matching,
                         [&](event_stream &stream) {
                             for (std::uint32_t u = 0; u < stream.users(); ++u) {
                                 std::size_t active = 0;
                                 for_each_period(stream.events_of(u), finder, stream.poll(),
                                                 [&](std::ptrdiff_t) { ++active; });
                                 ++users[active];
                             }
                         });
    return users;
}

} // namespace

table answer_stickiness(question_host &host, const question_settings &settings, const json &definition)
{
    question asked(host, settings);
    event_question const about = read_event(asked, definition, 0);
    std::vector<std::int64_t> const users =
        about.is_plain ? stickiness_of_sets(asked, about.starts) : stickiness_of_events(asked, about.starts);
    std::vector<std::int64_t> at_least(users.size() + 1);
    for (std::size_t k = users.size(); k-- > 1;)
        at_least[k] = at_least[k + 1] + users[k];
    table out(3);
    for (std::size_t k = 1; k < users.size(); ++k)
        out << cell::integer(static_cast<std::int64_t>(k)) << cell::integer(users[k])
            << cell::integer(at_least[k]);
    return out;
}

namespace
{

struct lifecycle_counts {
    std::int64_t fresh = 0, returning = 0, resurrecting = 0, dormant = 0;
};

// all[0] is the period before those that are shown.
void count_lifecycle(const event_span &events, period_finder &finder, interrupt_poll &poll,
                     std::vector<lifecycle_counts> &all)
{
    std::ptrdiff_t last = -2; // none
    for_each_period(events, finder, poll, [&](std::ptrdiff_t p) {
        lifecycle_counts &c = all[static_cast<std::size_t>(std::max<std::ptrdiff_t>(p, 0))];
        if (last == -2)
            ++c.fresh;
        else if (last == p - 1 && last >= 0)
            ++c.returning;
        else
            ++c.resurrecting;
        if (last >= 0 && last < p - 1)
            ++all[static_cast<std::size_t>(last) + 1].dormant;
        last = p;
    });
    if (last >= 0 && last + 1 < static_cast<std::ptrdiff_t>(all.size()))
        ++all[static_cast<std::size_t>(last) + 1].dormant;
}

std::vector<lifecycle_counts> lifecycle_of_sets(question &asked, const std::vector<date> &starts)
{
    limited_memory memory(asked.settings.most_bytes);
    interrupt_check const interrupted = asked.settings.interrupted;
    set_row sets =
        period_users(asked, starts, std::min(starts.front(), asked.host.first_known_day()), memory);
    std::vector<lifecycle_counts> all(starts.size());
    user_set_builder &before = sets[starts.size()];
    owned_set last;
    for (std::size_t p = 0; p < starts.size(); ++p) {
        owned_set const now = sets.finished(p, interrupted);
        owned_set const known = sets.finished(starts.size(), interrupted);
        lifecycle_counts &c = all[p];
        c.fresh = count_of(difference(now.view(), known.view(), interrupted).view());
        c.returning =
            static_cast<std::int64_t>(intersection_cardinality(now.view(), last.view(), interrupted));
        c.resurrecting = count_of(now.view()) - c.fresh - c.returning;
        c.dormant = count_of(difference(last.view(), now.view(), interrupted).view());
        before.add(now.view(), interrupted);
        last = now;
    }
    return all;
}

std::vector<lifecycle_counts> lifecycle_of_events(question &asked, const std::vector<date> &starts)
{
    period_finder finder(bounds_of(asked, starts));
    std::vector<lifecycle_counts> all(starts.size());
    asked.scan_in_passes(INT64_MIN, asked.range.until, {}, question::kept::matching,
                         [&](event_stream &stream) {
                             for (std::uint32_t u = 0; u < stream.users(); ++u)
                                 count_lifecycle(stream.events_of(u), finder, stream.poll(), all);
                         });
    return all;
}

} // namespace

table answer_event_lifecycle(question_host &host, const question_settings &settings, const json &definition)
{
    question asked(host, settings);
    // The period before them tells who returns in the first.
    event_question const about = read_event(asked, definition, 1);
    std::vector<lifecycle_counts> const all =
        about.is_plain ? lifecycle_of_sets(asked, about.starts) : lifecycle_of_events(asked, about.starts);
    std::vector<instant> const bounds = bounds_of(asked, about.starts);
    table out(6);
    for (std::size_t p = 1; p < about.starts.size(); ++p) {
        bool const is_over = bounds[p + 1] <= settings.as_of; // who has not come yet is not gone
        out << cell::of_date(about.starts[p]) << cell::integer(all[p].fresh)
            << cell::integer(all[p].returning) << cell::integer(all[p].resurrecting)
            << (is_over ? cell::integer(all[p].dormant) : cell{}) << cell::boolean(is_over);
    }
    return out;
}

} // namespace shadow::questions
