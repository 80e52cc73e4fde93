#include "core/base/decimal.hpp"
#include "core/event/run_order.hpp"
#include "core/questions/run_consumption.hpp"
#include "core/questions/run_metrics.hpp"

#include <algorithm>
#include <map>

namespace shadow::questions
{

namespace
{

constexpr std::size_t most_tree_runs = 100'000;

class run_tree
{
public:
    run_tree(question_host &host, const question_settings &settings)
        : question_(host, settings), consumptions_(host)
    {
    }

    void read(const json &definition)
    {
        arguments const given(definition, place(), {"run_id", "start_date", "end_date"});
        given.require("run_id");
        root_ = given.text("run_id", {});
        runs_ = add_run_slots(question_.events, details_);
        facts_ = add_fact_slots(question_.events, details_);
        place const where;
        parent_ = details_.slots.size();
        for (std::string_view const name :
             {"metadata.parent_run_id", "metadata.parent_execution_id", "agent_id"})
            details_.slots.push_back(question_.events.add_property(name, where));
        question_.read_range(given, period::total);
        question_.require_raw_events(question_.range.first, question_.range.last);
    }

    table answer()
    {
        stream_.emplace(
            question_.scan(question_.range.from, question_.range.until, details_, question::kept::matching));
        gather();
        find_children();
        place_runs();
        std::vector<totals> const sums = add_up();
        table out(16);
        for (std::size_t i = 0; i < placed_.size(); ++i)
            add_row(out, placed_[i], sums[i]);
        return out;
    }

private:
    // Its events, the latest first, whatever the day. The deciding one of a run that never ended is its last.
    struct run_of_tree {
        std::vector<const stream_event *> events;
        std::vector<const stream_event *>::const_iterator decider;
    };
    struct placed {
        value_number run;
        std::size_t parent; // among the placed; SIZE_MAX: the root
        std::int64_t depth;
    };
    struct totals {
        consumption_sum own, all; // all: with its descendants
        std::int64_t runs = 0;    // with itself
    };

    // Also of what the deciding event lacks and an earlier one has, as clients that send an update and then a
    // bare end leave it.
    value_number value_of(const run_of_tree &run, std::size_t slot) const
    {
        const stream_event *const e = first_with(run.decider, run.events.end(), [&](const stream_event &x) {
            return slot == facts_.model ? names_model(*stream_, x, facts_) : stream_->value(x, slot) != 0;
        });
        return stream_->value(e == nullptr ? **run.decider : *e, slot);
    }
    value_number parent_of(const run_of_tree &run) const
    {
        value_number const p = value_of(run, parent_);
        return p != 0 ? p : value_of(run, parent_ + 1);
    }
    std::string_view text(value_number v) const
    {
        return v == 0 ? std::string_view{} : stream_->texts().text(v);
    }
    void gather()
    {
        for (stream_event const &e : stream_->all()) {
            stream_->poll()();
            if (value_number const run = stream_->value(e, runs_.run_id); run != 0)
                found_[run].events.push_back(&e);
        }
        for (auto &f : found_) {
            stream_->poll()();
            auto &events = f.second.events;
            std::sort(events.begin(), events.end(), [&](const stream_event *a, const stream_event *b) {
                return is_later(a->at, stream_->id(*a), b->at, stream_->id(*b));
            });
            f.second.decider = find_decider(events.cbegin(), events.cend(), [&](const stream_event *e) {
                return decision_rank(status_of(*stream_, *e, runs_));
            });
        }
    }
    void find_children()
    {
        for (auto const &f : found_)
            if (value_number const p = parent_of(f.second); p != 0)
                children_[p].push_back(f.first);
        for (auto &c : children_)
            std::sort(c.second.begin(), c.second.end(),
                      [this](value_number a, value_number b) { return text(a) > text(b); });
    }
    // Depth first, siblings by run_id; a run is placed once, so a circle ends.
    void place_runs()
    {
        std::vector<placed> open;
        for (auto const &f : found_)
            if (text(f.first) == root_)
                open.push_back({f.first, SIZE_MAX, 0});
        std::vector<bool> seen(stream_->texts().size());
        while (!open.empty()) {
            placed const p = open.back();
            open.pop_back();
            if (seen[p.run])
                continue;
            seen[p.run] = true;
            placed_.push_back(p);
            if (placed_.size() > most_tree_runs)
                throw error(errc::limit_exceeded, "the tree has too many runs", "There are more than 100000.",
                            "Ask for a run further down.");
            auto const inner = children_.find(p.run);
            if (inner != children_.end())
                for (value_number const run : inner->second)
                    open.push_back({run, placed_.size() - 1, p.depth + 1});
        }
    }
    std::vector<totals> add_up()
    {
        std::vector<totals> sums(placed_.size());
        for (std::size_t i = placed_.size(); i-- > 0;) {
            stream_->poll()();
            totals &t = sums[i];
            t.own = consumptions_.read(*stream_, runs_, facts_, found_.at(placed_[i].run).events);
            t.all.add(t.own);
            ++t.runs;
            if (placed_[i].parent == SIZE_MAX)
                continue;
            totals &outer = sums[placed_[i].parent];
            outer.all.add(t.all);
            outer.runs += t.runs;
        }
        return sums;
    }
    // Who consumed nothing cost nothing.
    static cell cost_cell(const consumption_sum &c)
    {
        bool const is_known = c.is_priced() || (!c.has_cost && c.tokens == 0 && c.credits == 0);
        return is_known ? cell::trimmed(c.cost, nano_scale) : cell{};
    }
    void add_row(table &out, const placed &p, const totals &t)
    {
        run_of_tree const &run = found_.at(p.run);
        value_number const runtime = value_of(run, facts_.runtime);
        consumption_sum const &priced = t.own.is_in_one_currency() ? t.own : t.all;
        char code[4];
        out << cell::integer(p.depth) << cell::of_text(text(p.run)) << text_cell(text(parent_of(run)))
            << text_cell(text(value_of(run, parent_ + 2))) << text_cell(text(value_of(run, facts_.model)))
            << text_cell(text(stream_->value(**run.decider, runs_.status)))
            << text_cell(text(value_of(run, facts_.error_type))) << cell::instant((*run.decider)->at)
            << (runtime == 0 ? cell{} : cell::trimmed(stream_->texts().number(runtime).value, nano_scale))
            << cell::trimmed(t.own.tokens, nano_scale) << cell::trimmed(t.all.tokens, nano_scale)
            << cost_cell(t.own) << cost_cell(t.all)
            << (priced.is_in_one_currency() ? cell::of_text(unpack_currency(priced.currency, code)) : cell{})
            << text_cell(t.all.cost_reason()) << cell::integer(t.runs - 1);
    }

    question question_;
    stream_details details_;
    consumption_reader consumptions_;
    run_slots runs_{};
    fact_slots facts_{};
    std::size_t parent_ = 0; // slot: metadata.parent_run_id, then parent_execution_id and agent_id
    std::string root_;
    std::optional<event_stream> stream_;
    std::map<value_number, run_of_tree> found_;
    std::map<value_number, std::vector<value_number>> children_;
    std::vector<placed> placed_;
};

} // namespace

table answer_run_tree(question_host &host, const question_settings &settings, const json &definition)
{
    if (!settings.may_read_persons)
        throw error(errc::not_allowed,
                    "only those who may read a workspace's raw events may read single runs", {},
                    "get_run_metrics() counts them.");
    run_tree r(host, settings);
    r.read(definition);
    return r.answer();
}

} // namespace shadow::questions
