#include "core/questions/funnel_question.hpp"

#include "core/questions/session_split.hpp"

#include <algorithm>
#include <map>

namespace shadow::questions
{

namespace
{

constexpr std::int64_t default_edges[] = {
    0,          60 * second,    300 * second,   900 * second,    3600 * second,  6 * 3600 * second,
    day_length, 3 * day_length, 7 * day_length, 14 * day_length, 30 * day_length};
constexpr std::size_t most_edges = 100;
constexpr int most_held = 3;

} // namespace

void funnel_question::read(const json &definition, const place &where, bool is_times)
{
    arguments const given =
        is_times
            ? arguments(definition, where,
                        {"steps", "start_date", "end_date", "conversion_window", "step_order", "exclusions",
                         "hold_constant", "count_by", "from_step", "to_step", "edges", "segment", "filter"})
            : arguments(definition, where,
                        {"steps", "start_date", "end_date", "conversion_window", "step_order", "exclusions",
                         "hold_constant", "count_by", "breakdown", "attribution", "breakdown_limit", "period",
                         "segment", "filter"});
    read_steps(given);
    read_exclusions(given);
    for (std::string const &name : given.texts("hold_constant", most_held)) {
        held_.push_back(details_.slots.size());
        details_.slots.push_back(question_.events.add_property(name, given.at("hold_constant")));
    }
    if (is_times)
        read_times(given);
    else
        read_breakdown(given);
    has_period_ = given.find("period") != nullptr;
    period const unit =
        has_period_ ? parse_period(given.text("period", {}), false, given.at("period")) : period::total;
    question_.read_range(given, unit);
    question_.require_raw_events(question_.range.first, question_.last_day_after(rules_.window));
    periods_ = question_.periods();
    for (date const p : periods_)
        bounds_.push_back(question_.days.start_of(p));
    bounds_.push_back(question_.range.until);
    question_.read_common(given);
}

void funnel_question::read_steps(const arguments &given)
{
    const json &steps = given.require("steps");
    place const at = given.at("steps");
    if (!steps.is_array() || steps.items.empty() || steps.items.size() > most_steps)
        at.refuse("a list of 1 to 16 events is expected here",
                  "Write [\"page_view\", \"form_submit:signup\"].");
    for (std::size_t i = 0; i < steps.items.size(); ++i)
        question_.events.add_selector(steps.items[i], place(at, i));
    rules_.steps = static_cast<int>(steps.items.size());
    rules_.window = given.length("conversion_window", "7 days");
    rules_.order = static_cast<step_order>(given.choice("step_order", {"ordered", "strict", "any"}));
    counted_ = static_cast<unit_kind>(given.choice("count_by", {"user", "session", "attempt"}));
    if (counted_ == unit_kind::attempt && rules_.order == step_order::any)
        given.at("count_by").refuse("attempts have an order", "Use step_order ordered or strict.");
}

void funnel_question::read_exclusions(const arguments &given)
{
    const json *const list = given.find("exclusions");
    if (list == nullptr)
        return;
    place const at = given.at("exclusions");
    if (!list->is_array() || list->items.size() > most_exclusions)
        at.refuse("a list of at most 8 exclusions is expected here",
                  "Write [{\"event\": \"logout\", \"after\": 1, \"before\": 2}].");
    for (std::size_t i = 0; i < list->items.size(); ++i) {
        place const inner(at, i);
        arguments const x(list->items[i], inner, {"event", "after", "before"});
        exclusion e{};
        if (rules_.order == step_order::any && (x.find("after") != nullptr || x.find("before") != nullptr))
            inner.refuse("with steps in any order an exclusion applies between the first and the last event",
                         "Leave out after and before.");
        e.after = x.integer("after", 1, 1, rules_.steps);
        e.before = x.integer("before", rules_.steps, 1, rules_.steps);
        if (e.after >= e.before)
            inner.refuse("an exclusion lies between two steps", "after is less than before.");
        e.selector = question_.events.add_selector(x.require("event"), x.at("event"));
        rules_.exclusions.push_back(e);
    }
}

void funnel_question::read_breakdown(const arguments &given)
{
    limit_ = given.integer("breakdown_limit", 25, 1, most_groups);
    std::string_view const by = given.text("attribution", "first_step");
    if (by.substr(0, 5) == "step_" && by.size() >= 6 && by.size() <= 7 && rules_.order != step_order::any) {
        attributed_ = attribution::step_n;
        int n = 0;
        for (char const c : by.substr(5))
            n = c >= '0' && c <= '9' ? n * 10 + (c - '0') : 100;
        if (n < 1 || n > rules_.steps)
            given.at("attribution").refuse("there is no such step", "Steps count from 1.");
        attributed_step_ = n;
    } else {
        int const choice = given.choice("attribution", {"first_step", "last_step", "each_value"});
        attributed_ = choice == 2 ? attribution::each_value : static_cast<attribution>(choice);
    }
    if (given.find("breakdown") == nullptr)
        return;
    has_breakdown_ = true;
    breakdown_ = details_.slots.size();
    details_.slots.push_back(
        question_.events.add_property(given.text("breakdown", {}), given.at("breakdown")));
}

void funnel_question::read_times(const arguments &given)
{
    from_step_ = given.integer("from_step", 1, 1, rules_.steps);
    to_step_ = given.integer("to_step", rules_.steps, 1, rules_.steps);
    if (from_step_ >= to_step_)
        given.at("to_step").refuse("the time is from one step to a later one",
                                   "from_step is less than to_step.");
    if (rules_.order == step_order::any && (from_step_ != 1 || to_step_ != rules_.steps))
        given.at("from_step")
            .refuse("with steps in any order there is only the time from the first to the last",
                    "Leave out from_step and to_step.");
    for (std::string const &edge : given.texts("edges", most_edges)) {
        std::int64_t const length =
            edge == "0" || edge == "00:00:00" ? 0 : parse_length(edge, given.at("edges"));
        if (!edges_.empty() && length <= edges_.back())
            given.at("edges").refuse("the edges of the bins ascend", "Write the shortest first.");
        edges_.push_back(length);
    }
    if (given.find("edges") == nullptr)
        for (std::int64_t const edge : default_edges)
            if (edge < rules_.window)
                edges_.push_back(edge);
}

void funnel_question::for_each_result(const std::function<void(const funnel_result &)> &visit)
{
    rules_.as_of = question_.settings.as_of;
    details_.ids = !details_.slots.empty();
    details_.sessions = counted_ == unit_kind::session;
    // No session goes over midnight.
    instant const until = question_.range.until + (counted_ == unit_kind::session ? 0 : rules_.window);
    auto const which = counted_ == unit_kind::session       ? question::kept::all
                       : rules_.order == step_order::strict ? question::kept::filtered
                                                            : question::kept::matching;
    question_.scan_in_passes(question_.range.from, until, details_, which,
                             [&](event_stream &stream) { answer_stream(stream, visit); });
}

void funnel_question::answer_stream(event_stream &stream,
                                    const std::function<void(const funnel_result &)> &visit)
{
    stream_ = &stream;
    poll_ = &stream.poll();
    session_splitter sessions(question_.days, question_.settings.session_gap);
    for (std::uint32_t u = 0; u < stream.users(); ++u) {
        user_ = stream.user(u);
        if (counted_ == unit_kind::session)
            sessions.for_each(stream.events_of(u), stream,
                              [&](const event_span &s) { answer_unit(s, visit); });
        else
            answer_unit(stream.events_of(u), visit);
    }
    stream_ = nullptr;
}

// The unit's periods with an entry are looked at one by one.
void funnel_question::answer_unit(const event_span &unit,
                                  const std::function<void(const funnel_result &)> &visit)
{
    split(unit);
    for (std::size_t p = 0; p < periods_.size(); ++p) {
        rules_.from = bounds_[p];
        rules_.until = bounds_[p + 1];
        answer_period(p, visit);
    }
}

// The events that take part, by the values that are held constant or told apart.
void funnel_question::split(const event_span &unit)
{
    used_parts_ = 0;
    bool const is_whole = held_.empty() && !(has_breakdown_ && attributed_ == attribution::each_value);
    if (is_whole && counted_ != unit_kind::session) { // the filter has left all of them
        parts_.resize(std::max<std::size_t>(parts_.size(), 1));
        parts_[0].span = unit;
        used_parts_ = 1;
        return;
    }
    std::map<std::vector<value_number>, std::size_t> known;
    std::vector<value_number> key;
    for (stream_event const &e : unit) {
        if ((e.mask & filter_bit) == 0)
            continue;
        if (!is_whole && !part_key(e, key))
            continue;
        std::size_t &place = known.try_emplace(key, used_parts_).first->second;
        if (place == used_parts_) {
            if (++used_parts_ > parts_.size())
                parts_.emplace_back();
            parts_[place].events.clear();
            parts_[place].value = is_whole || key.size() == held_.size() ? 0 : key.back();
        }
        parts_[place].events.push_back(e);
    }
    for (std::size_t i = 0; i < used_parts_; ++i)
        parts_[i].span = {parts_[i].events.data(), parts_[i].events.size()};
}

// False: the event lacks a value that is held constant.
bool funnel_question::part_key(const stream_event &e, std::vector<value_number> &key) const
{
    key.clear();
    for (std::size_t const slot : held_) {
        key.push_back(stream_->value(e, slot));
        if (key.back() == 0)
            return false;
    }
    if (has_breakdown_ && attributed_ == attribution::each_value)
        key.push_back(stream_->value(e, breakdown_));
    return true;
}

bool funnel_question::has_entry(const part &of) const noexcept
{
    event_mask const entry = rules_.order == step_order::any ? rules_.step_mask() : 1;
    auto const is_before = [](const stream_event &e, instant at) { return e.at < at; };
    auto const first = std::lower_bound(of.span.begin(), of.span.end(), rules_.from, is_before);
    return std::any_of(first, std::lower_bound(first, of.span.end(), rules_.until, is_before),
                       [entry](const stream_event &e) { return (e.mask & entry) != 0; });
}

// A user counts once for each value told apart, by the best of the values held constant.
void funnel_question::answer_period(std::size_t p, const std::function<void(const funnel_result &)> &visit)
{
    struct best {
        funnel_chain chain;
        const part *from;
    };
    std::map<value_number, best> bests;
    for (std::size_t i = 0; i < used_parts_; ++i) {
        part const &from = parts_[i];
        (*poll_)();
        if (!has_entry(from))
            continue;
        if (counted_ == unit_kind::attempt) {
            attempts_.clear();
            run_attempts(rules_, from.span, attempts_, *poll_);
            for (funnel_chain const &c : attempts_)
                report(p, from, c, visit);
            continue;
        }
        funnel_chain const c = run_funnel(rules_, from.span, *poll_);
        if (c.level == 0)
            continue;
        if (used_parts_ == 1) {
            report(p, from, c, visit);
            return;
        }
        auto const [known, is_new] = bests.try_emplace(from.value, best{c, &from});
        if (is_new)
            continue;
        if (take_better(known->second.chain, c))
            known->second.from = &from;
    }
    for (auto &b : bests) {
        funnel_chain &c = b.second.chain;
        c.in_progress = c.in_progress && c.level < rules_.steps;
        report(p, *b.second.from, c, visit);
    }
}

void funnel_question::report(std::size_t p, const part &from, const funnel_chain &c,
                             const std::function<void(const funnel_result &)> &visit) const
{
    visit({user_, p, has_breakdown_ ? value_of(from, c) : 0, c});
}

value_number funnel_question::value_of(const part &from, const funnel_chain &c) const
{
    int step = 1;
    if (attributed_ == attribution::each_value)
        return from.value;
    if (attributed_ == attribution::last_step)
        step = c.level;
    if (attributed_ == attribution::step_n)
        step = attributed_step_;
    if (c.level < step)
        return 0;
    return stream_->value(from.span[c.index[static_cast<std::size_t>(step) - 1]], breakdown_);
}

// Of a group of a period.
struct funnel_question::counts {
    std::int64_t entrants[most_steps + 1] = {}; // [k]: level >= k
    std::int64_t open[most_steps + 1] = {};     // [k]: level k, in progress
    std::vector<std::int64_t> from_previous[most_steps];
    std::vector<std::int64_t> from_first[most_steps];

    void add(const funnel_chain &c, const funnel_rules &rules)
    {
        for (int k = 1; k <= c.level; ++k)
            ++entrants[k];
        open[c.level] += c.in_progress ? 1 : 0;
        bool const is_any = rules.order == step_order::any;
        for (int k = is_any ? std::max(rules.steps - 1, 1) : 1; k < c.level; ++k) {
            auto const i = static_cast<std::size_t>(k);
            if (!is_any)
                from_previous[i].push_back(c.at[i] - c.at[i - 1]);
            from_first[i].push_back(c.at[i] - c.at[0]);
        }
    }
};

// Results are kept until the most frequent values are known.
table funnel_question::rows()
{
    struct entry {
        value_number value;
        std::uint32_t period;
        funnel_chain chain;
    };
    std::vector<entry> results;
    std::vector<std::int64_t> sizes(1);
    value_list texts;
    for_each_result([&](const funnel_result &r) {
        value_number const v =
            r.value == 0 ? 0 : texts.add(stream_->texts().text(r.value), question_.settings.clip);
        sizes.resize(std::max<std::size_t>(sizes.size(), v + std::size_t{1}));
        ++sizes[v];
        results.push_back({v, static_cast<std::uint32_t>(r.period), r.chain});
    });
    breakdown_groups const groups(sizes, texts, static_cast<std::size_t>(limit_));
    std::size_t const columns = has_breakdown_ ? groups.size() : 1;
    std::vector<counts> all(periods_.size() * columns);
    for (entry const &e : results)
        all[e.period * columns + (has_breakdown_ ? groups.of(e.value) : 0)].add(e.chain, rules_);
    table out(11);
    for (std::size_t p = 0; p < periods_.size(); ++p)
        for (std::size_t g = 0; g < columns; ++g)
            add_rows(out, p, has_breakdown_ ? groups.name(g) : cell{}, all[p * columns + g]);
    return out;
}

void funnel_question::add_rows(table &out, std::size_t p, const cell &group, counts &c) const
{
    for (int k = 1; k <= rules_.steps; ++k) {
        bool const is_last = k == rules_.steps;
        std::int64_t const next = is_last ? c.entrants[k] : c.entrants[k + 1];
        std::int64_t const open = is_last ? 0 : c.open[k];
        auto const i = static_cast<std::size_t>(k) - 1;
        out << (has_period_ ? cell::of_date(periods_[p]) : cell{}) << group << cell::integer(k)
            << (rules_.order == step_order::any ? cell{} : cell::of_text(question_.events.label(k - 1)))
            << cell::integer(c.entrants[k]) << percent_cell(c.entrants[k], c.entrants[1])
            << (k == 1 ? cell{} : percent_cell(c.entrants[k], c.entrants[k - 1]))
            << cell::integer(c.entrants[k] - next - open) << cell::integer(open)
            << median_seconds(c.from_previous[i]) << median_seconds(c.from_first[i]);
    }
}

table funnel_question::time_rows()
{
    std::vector<std::int64_t> bins(edges_.size());
    std::int64_t total = 0;
    bool const is_any = rules_.order == step_order::any;
    for_each_result([&](const funnel_result &r) {
        if (r.chain.level < to_step_)
            return;
        ++total;
        auto const first = is_any ? 0 : static_cast<std::size_t>(from_step_) - 1;
        std::int64_t const length = r.chain.at[static_cast<std::size_t>(to_step_) - 1] - r.chain.at[first];
        auto const after = std::upper_bound(edges_.begin(), edges_.end(), length);
        if (after != edges_.begin())
            ++bins[static_cast<std::size_t>(after - edges_.begin()) - 1];
    });
    table out(4);
    std::int64_t so_far = 0;
    for (std::size_t i = 0; i < bins.size(); ++i) {
        so_far += bins[i];
        out << cell::trimmed(edges_[i], 6)
            << (i + 1 < edges_.size() ? cell::trimmed(edges_[i + 1], 6) : cell{}) << cell::integer(bins[i])
            << percent_cell(so_far, total);
    }
    return out;
}

} // namespace shadow::questions
