#include "core/questions/retention.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

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
        question_.read_range(given, parse_period(given.text("period", "weekly"), false, given.at("period")));
        question_.require_raw_events(question_.range.first);
        read_periods();
        question_.read_common(given);
    }

    table answer()
    {
        stream_.emplace(question_.scan(is_recurring_ ? question_.range.from : INT64_MIN, INT64_MAX, details_,
                                       question::kept::matching));
        count_cohorts();
        fill();
        return rows();
    }

private:
    static constexpr std::size_t start_event = 0, return_event = 1;

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
        columns_ = has_breakdown_ ? groups_->size() : 1;
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
void read_event(question &asked, const json &definition)
{
    arguments const given(definition, place(),
                          {"event", "period", "start_date", "end_date", "segment", "filter"});
    const json *const event = given.find("event");
    asked.events.add_selector(event == nullptr ? text_json("*") : *event, given.at("event"));
    asked.read_range(given, parse_period(given.text("period", "daily"), false, given.at("period")));
    asked.require_raw_events(asked.range.first);
    asked.read_common(given);
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

table answer_stickiness(question_host &host, const question_settings &settings, const json &definition)
{
    question asked(host, settings);
    read_event(asked, definition);
    std::vector<date> const starts = asked.periods();
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
    std::vector<std::int64_t> at_least(users.size() + 1);
    for (std::size_t k = users.size(); k-- > 0;)
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

} // namespace

table answer_event_lifecycle(question_host &host, const question_settings &settings, const json &definition)
{
    question asked(host, settings);
    read_event(asked, definition);
    std::vector<date> starts = asked.periods();
    // The period before them tells who returns in the first.
    starts.insert(starts.begin(), period_start(starts.front() - 1, asked.unit));
    asked.load_days(starts.front(), asked.range.last);
    std::vector<instant> const bounds = bounds_of(asked, starts);
    period_finder finder(bounds);
    std::vector<lifecycle_counts> all(starts.size());
    asked.scan_in_passes(INT64_MIN, asked.range.until, {}, question::kept::matching,
                         [&](event_stream &stream) {
                             for (std::uint32_t u = 0; u < stream.users(); ++u)
                                 count_lifecycle(stream.events_of(u), finder, stream.poll(), all);
                         });
    table out(6);
    for (std::size_t p = 1; p < starts.size(); ++p) {
        bool const is_over = bounds[p + 1] <= settings.as_of; // who has not come yet is not gone
        out << cell::of_date(starts[p]) << cell::integer(all[p].fresh) << cell::integer(all[p].returning)
            << cell::integer(all[p].resurrecting) << (is_over ? cell::integer(all[p].dormant) : cell{})
            << cell::boolean(is_over);
    }
    return out;
}

} // namespace shadow::questions
