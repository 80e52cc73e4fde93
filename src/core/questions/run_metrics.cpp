#include "core/questions/run_metrics.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/runs.hpp"

#include <algorithm>
#include <map>

namespace shadow::questions
{

namespace
{

// Numbers of runs, by slot.
struct fact_slots {
    std::size_t model, error_type, runtime, tokens, credits, cost, cost_currency;
};

fact_slots add_fact_slots(program &events, stream_details &details)
{
    place const where;
    auto const add = [&](std::string_view name) {
        details.slots.push_back(events.add_property(name, where));
        return details.slots.size() - 1;
    };
    fact_slots s{};
    s.model = add("model");
    s.error_type = add("error_type");
    s.runtime = add("runtime_seconds");
    s.tokens = add("tokens");
    s.credits = add("credits");
    s.cost = add("cost");
    s.cost_currency = add("cost_currency");
    return s;
}

int128 number_at(event_stream &stream, const stream_event &e, std::size_t slot)
{
    value_number const v = stream.value(e, slot);
    return v == 0 ? int128{0} : stream.texts().number(v).value;
}

// What an event costs (doc/metrics.md, "Money"): what it states, else its credits at the price in force.
struct priced {
    bool has_cost = false;
    int128 cost = 0;
    currency_code currency = 0;
};

class cost_reader
{
public:
    explicit cost_reader(question_host &host) : prices_(host.prices()) {}

    priced read(event_stream &stream, const stream_event &e, const fact_slots &slots)
    {
        if (stream.value(e, slots.cost) != 0) {
            bool const is_own = stream.texts().text(stream.value(e, slots.cost_currency)) == "-";
            return {true, number_at(stream, e, slots.cost), is_own ? prices_.currency : pack_currency("USD")};
        }
        if (stream.value(e, slots.credits) == 0)
            return {};
        const credit_price *const price =
            price_in_force({prices_.prices.data(), prices_.prices.size()}, prices_.workspace,
                           stream.texts().text(stream.value(e, slots.model)), e.at);
        if (price == nullptr)
            return {};
        return {true, divide_rounded(number_at(stream, e, slots.credits) * price->price, nano),
                price->currency};
    }

private:
    price_list prices_;
};

struct run_tally {
    std::int64_t runs = 0, successful = 0, failed = 0, cancelled = 0, users = 0;
    std::uint32_t last_user = UINT32_MAX;
    int128 tokens = 0, credits = 0, cost = 0;
    bool has_cost = false, is_mixed = false;
    currency_code currency = 0;
    std::vector<int128> runtimes;
    std::map<value_number, std::int64_t> errors;

    void add_cost(const priced &p)
    {
        if (!p.has_cost)
            return;
        is_mixed = is_mixed || (has_cost && currency != p.currency);
        has_cost = true;
        currency = p.currency;
        cost += p.cost;
    }
};

class run_metrics
{
public:
    run_metrics(question_host &host, const question_settings &settings)
        : question_(host, settings), costs_(host)
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
            details_.slots.push_back(
                question_.events.add_property(given.text("breakdown", {}), given.at("breakdown")));
        }
        limit_ = static_cast<std::size_t>(given.integer("breakdown_limit", 25, 1, most_groups));
        has_period_ = given.find("period") != nullptr;
        question_.read_range(given, has_period_
                                        ? parse_period(given.text("period", {}), false, given.at("period"))
                                        : period::total);
        question_.require_raw_events(question_.range.first);
        question_.read_common(given);
    }

    table answer()
    {
        event_stream stream =
            question_.scan(question_.range.from, question_.range.until, details_, question::kept::matching);
        std::vector<run_part> const parts = decide_runs(stream, runs_, question_.days);
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
                std::size_t const group = has_breakdown_ ? groups.of(stream.value(e, breakdown_)) : 0;
                add(tallies[static_cast<std::size_t>(finder.of(e.at)) * columns + group], u, e, stream);
            }
        table out(17);
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
                ++sizes[stream.value(e, breakdown_)];
        return breakdown_groups(sizes, stream.texts(), limit_);
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
        t.tokens += number_at(stream, e, facts_.tokens);
        t.credits += number_at(stream, e, facts_.credits);
        t.add_cost(costs_.read(stream, e, facts_));
        if (stream.value(e, facts_.runtime) != 0 && status != name_of(run_status::cancelled))
            t.runtimes.push_back(number_at(stream, e, facts_.runtime));
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
        bool const is_priced = t.has_cost && !t.is_mixed;
        char code[4];
        out << std::move(start) << std::move(group) << cell::integer(t.runs) << cell::integer(t.successful)
            << cell::integer(t.failed) << cell::integer(t.cancelled)
            << percent_cell(t.successful, t.successful + t.failed) << cell::of_json(errors_json(t, texts))
            << cell::trimmed(t.tokens, nano_scale) << cell::trimmed(t.credits, nano_scale)
            << (is_priced ? cell::trimmed(divide_rounded(t.cost, nano / 10'000), 4) : cell{})
            << (is_priced ? cell::of_text(unpack_currency(t.currency, code)) : cell{}) << seconds(mean)
            << seconds(quantile(t.runtimes, 50)) << seconds(quantile(t.runtimes, 95))
            << seconds(quantile(t.runtimes, 99)) << cell::integer(t.users);
    }

    question question_;
    cost_reader costs_;
    stream_details details_;
    run_slots runs_{};
    fact_slots facts_{};
    bool has_breakdown_ = false, has_period_ = false;
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
