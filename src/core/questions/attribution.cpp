#include "core/questions/attribution.hpp"

#include "core/base/decimal.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

class attribution
{
public:
    attribution(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        arguments const given(definition, place(),
                              {"conversion", "property", "start_date", "end_date", "model", "lookback",
                               "touches", "ignore", "max_values", "segment", "filter"});
        question_.events.add_selector(given.require("conversion"), given.at("conversion"));
        const json *const touches = given.find("touches");
        question_.events.add_selector(touches == nullptr ? text_json("*") : *touches, given.at("touches"));
        details_.slots.push_back(
            question_.events.add_property(given.text("property", "referrer_host"), given.at("property")));
        details_.slots.push_back(question_.events.add_property("revenue", given.where()));
        details_.ignored = given.patterns("ignore");
        details_.ids = true;
        is_first_ = given.choice("model", {"last", "first"}) == 1;
        lookback_ = given.length("lookback", "30 days");
        limit_ = static_cast<std::size_t>(given.integer("max_values", 25, 1, most_groups));
        question_.read_range(given, period::total);
        question_.read_common(given);
    }

    table answer()
    {
        instant const from = question_.range.from - lookback_;
        question_.require_raw_events(question_.range.first -
                                         static_cast<date>((lookback_ + day_length - 1) / day_length),
                                     question_.range.last);
        event_stream stream = question_.scan(from, question_.range.until, details_, question::kept::matching);
        for (std::uint32_t u = 0; u < stream.users(); ++u)
            credit(u, stream.events_of(u), stream);
        return rows(stream);
    }

private:
    static constexpr int conversion = 0, touch = 1;

    struct credited {
        std::uint32_t user;
        value_number value;
        int128 revenue;
    };
    struct tally {
        std::int64_t conversions = 0, users = 0;
        std::uint32_t last_user = UINT32_MAX;
        int128 revenue = 0;
    };

    static bool is_touch(const stream_event &e, const event_stream &stream) noexcept
    {
        return e.matches(touch) && stream.value(e, 0) != 0;
    }
    // Touches up to the conversion's instant count, whatever their order within it. `first` and `next` only
    // go forward.
    void credit(std::uint32_t user, const event_span &events, event_stream &stream)
    {
        std::size_t first = 0, next = 0;
        const stream_event *last = nullptr;
        for (stream_event const &e : events) {
            stream.poll()();
            if (!e.matches(conversion) || e.at < question_.range.from)
                continue;
            for (; next < events.size && events[next].at <= e.at; ++next)
                if (is_touch(events[next], stream))
                    last = &events[next];
            auto const is_too_old = [&](const stream_event &t) { return e.at - t.at > lookback_; };
            while (first < next && (is_too_old(events[first]) || !is_touch(events[first], stream)))
                ++first;
            const stream_event *const best = is_first_ ? (first < next ? &events[first] : nullptr)
                                             : last != nullptr && !is_too_old(*last) ? last
                                                                                     : nullptr;
            value_number const paid = stream.value(e, 1);
            auto const revenue = paid == 0 ? nullable<int128>() : stream.texts().number(paid);
            credits_.push_back({user, best == nullptr ? 0 : stream.value(*best, 0), revenue.value});
        }
    }
    table rows(const event_stream &stream) const
    {
        std::vector<std::int64_t> sizes(stream.texts().size());
        for (credited const &c : credits_)
            ++sizes[c.value];
        breakdown_groups const groups(sizes, stream.texts(), limit_);
        std::vector<tally> tallies(groups.size());
        for (credited const &c : credits_) {
            tally &t = tallies[groups.of(c.value)];
            ++t.conversions;
            t.users += t.last_user != c.user ? 1 : 0;
            t.last_user = c.user;
            t.revenue += c.revenue;
        }
        table out(4);
        for (std::size_t g = 0; g < groups.size(); ++g)
            out << groups.name(g) << cell::integer(tallies[g].conversions) << cell::integer(tallies[g].users)
                << cell::trimmed(tallies[g].revenue, nano_scale);
        return out;
    }

    question question_;
    stream_details details_;
    bool is_first_ = false;
    std::int64_t lookback_ = 0;
    std::size_t limit_ = 25;
    std::vector<credited> credits_; // by user
};

} // namespace

table answer_attribution(question_host &host, const question_settings &settings, const json &definition)
{
    attribution a(host, settings);
    a.read(definition);
    return a.answer();
}

} // namespace shadow::questions
