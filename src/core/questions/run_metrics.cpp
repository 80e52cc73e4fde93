#include "core/questions/run_metrics.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/run_consumption.hpp"

#include <algorithm>
#include <map>

namespace shadow::questions
{

namespace
{

struct run_tally {
    consumption_sum consumed;
    std::int64_t runs = 0, successful = 0, failed = 0, cancelled = 0, users = 0;
    std::uint32_t last_user = UINT32_MAX;
    std::vector<int128> runtimes;
    std::map<value_number, std::int64_t> errors;
};

class run_metrics
{
public:
    run_metrics(question_host &host, const question_settings &settings)
        : question_(host, settings), consumptions_(host)
    {
    }

    void read(const json &definition)
    {
        arguments const given(
            definition, place(),
            {"breakdown", "period", "start_date", "end_date", "breakdown_limit", "segment", "filter"});
        runs_ = add_run_slots(question_.events, details_);
        facts_ = add_fact_slots(question_.events, details_);
        has_breakdown_ = given.find("breakdown") != nullptr;
        if (has_breakdown_) {
            breakdown_ = details_.slots.size();
            may_be_given_ =
                given.text("breakdown", {}) == "model" || given.text("breakdown", {}) == "agent_id";
            details_.slots.push_back(
                question_.events.add_property(given.text("breakdown", {}), given.at("breakdown")));
        }
        limit_ = static_cast<std::size_t>(given.integer("breakdown_limit", 25, 1, most_groups));
        has_period_ = given.find("period") != nullptr;
        question_.read_range(given, has_period_
                                        ? parse_period(given.text("period", {}), false, given.at("period"))
                                        : period::total);
        question_.require_raw_events(question_.range.first, question_.range.last);
        question_.read_common(given);
    }

    table answer()
    {
        event_stream stream =
            question_.scan(question_.range.from, question_.range.until, details_, question::kept::matching);
        std::vector<run_part> const parts = decide_runs(stream, runs_, question_.days);
        events_ = gather_runs(stream, runs_, question_.days, parts);
        unknown_ = stream.texts().add(unknown_text, question_.settings.clip);
        std::vector<date> const starts = question_.periods();
        std::vector<instant> bounds;
        for (date const d : starts)
            bounds.push_back(question_.days.start_of(d));
        bounds.push_back(question_.range.until);
        period_finder finder(bounds);
        breakdown_groups const groups = find_groups(stream, parts);
        std::size_t const columns = has_breakdown_ ? groups.size() : 1;
        std::vector<run_tally> tallies(columns * starts.size());
        for (std::uint32_t u = 0; u < stream.users(); ++u)
            for (stream_event const &e : stream.events_of(u)) {
                stream.poll()();
                if (parts[e.position] != run_part::decides)
                    continue;
                std::size_t const group = has_breakdown_ ? groups.of(group_of(stream, e)) : 0;
                add(tallies[static_cast<std::size_t>(finder.of(e.at)) * columns + group], u, e, stream);
            }
        table out(18);
        for (std::size_t p = 0; p < starts.size(); ++p)
            for (std::size_t g = 0; g < columns; ++g)
                add_row(out, has_period_ ? cell::of_date(starts[p]) : cell{},
                        has_breakdown_ ? groups.name(g) : cell{}, tallies[p * columns + g], stream.texts());
        return out;
    }

private:
    breakdown_groups find_groups(event_stream &stream, const std::vector<run_part> &parts) const
    {
        std::vector<std::int64_t> sizes(stream.texts().size());
        for (stream_event const &e : stream.all())
            if (has_breakdown_ && parts[e.position] == run_part::decides)
                ++sizes[group_of(stream, e)];
        return breakdown_groups(sizes, stream.texts(), limit_);
    }
    value_number group_of(const event_stream &stream, const stream_event &e) const
    {
        value_number const own = stream.value(e, breakdown_);
        auto const known = events_.find(e.position);
        if (!may_be_given_ || known == events_.end())
            return own;
        auto const decider = std::find(known->second.begin(), known->second.end(), &e);
        auto const giver = std::find_if(decider, known->second.end(), [&](const stream_event *x) {
            value_number const v = stream.value(*x, breakdown_);
            return v != 0 && v != unknown_;
        });
        return giver == known->second.end() ? own : stream.value(**giver, breakdown_);
    }
    void add(run_tally &t, std::uint32_t user, const stream_event &e, event_stream &stream)
    {
        std::string_view const status = stream.texts().text(stream.value(e, runs_.status));
        ++t.runs;
        t.successful += status == name_of(run_status::successful) ? 1 : 0;
        t.cancelled += status == name_of(run_status::cancelled) ? 1 : 0;
        if (status == name_of(run_status::failed)) {
            ++t.failed;
            ++t.errors[stream.value(e, facts_.error_type)];
        }
        t.users += t.last_user != user ? 1 : 0;
        t.last_user = user;
        const stream_event *const alone = &e;
        auto const known = events_.find(e.position);
        std::vector<const stream_event *> const events =
            known == events_.end() ? std::vector<const stream_event *>{alone} : known->second;
        t.consumed.add(consumptions_.read(stream, runs_, facts_, events));
        auto const decider = std::find(events.begin(), events.end(), alone);
        auto const timed = std::find_if(decider, events.end(), [&](const stream_event *x) {
            return stream.value(*x, facts_.runtime) != 0;
        });
        if (timed != events.end() && status != name_of(run_status::cancelled))
            t.runtimes.push_back(number_at(stream, **timed, facts_.runtime));
    }
    static std::string errors_json(const run_tally &t, const value_list &texts)
    {
        json out;
        out.type = json_type::object;
        for (auto const &e : t.errors) {
            out.keys.push_back(texts.text(e.first));
            json count;
            count.type = json_type::number;
            count.text = std::to_string(e.second);
            out.items.push_back(std::move(count));
        }
        return to_text(out);
    }
    static cell seconds(const nullable<int128> &value)
    {
        return value.is_null ? cell{} : cell::decimal(divide_rounded(value.value, nano / 100), 2);
    }
    static void add_row(table &out, cell start, cell group, run_tally &t, const value_list &texts)
    {
        nullable<int128> mean;
        if (!t.runtimes.empty()) {
            int128 sum = 0;
            for (int128 const r : t.runtimes)
                sum += r;
            mean = divide_rounded(sum, static_cast<int128>(t.runtimes.size()));
        }
        consumption_sum const &c = t.consumed;
        char code[4];
        out << std::move(start) << std::move(group) << cell::integer(t.runs) << cell::integer(t.successful)
            << cell::integer(t.failed) << cell::integer(t.cancelled)
            << percent_cell(t.successful, t.successful + t.failed) << cell::of_json(errors_json(t, texts))
            << cell::trimmed(c.tokens, nano_scale) << cell::trimmed(c.credits, nano_scale)
            << (c.is_priced() ? cell::trimmed(divide_rounded(c.cost, nano / 10'000), 4) : cell{})
            << (c.is_in_one_currency() ? cell::of_text(unpack_currency(c.currency, code)) : cell{})
            << text_cell(c.cost_reason()) << seconds(mean) << seconds(quantile(t.runtimes, 50))
            << seconds(quantile(t.runtimes, 95)) << seconds(quantile(t.runtimes, 99))
            << cell::integer(t.users);
    }

    question question_;
    consumption_reader consumptions_;
    run_events events_;
    value_number unknown_ = 0;
    stream_details details_;
    run_slots runs_{};
    fact_slots facts_{};
    bool has_breakdown_ = false, has_period_ = false;
    bool may_be_given_ = false; // the value that the deciding event lacks, by an earlier one
    std::size_t breakdown_ = 0, limit_ = 25;
};

} // namespace

table answer_run_metrics(question_host &host, const question_settings &settings, const json &definition)
{
    run_metrics r(host, settings);
    r.read(definition);
    return r.answer();
}

} // namespace shadow::questions
