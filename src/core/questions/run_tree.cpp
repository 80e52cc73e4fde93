#include "core/base/decimal.hpp"
#include "core/questions/run_metrics.hpp"
#include "core/questions/runs.hpp"

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
    run_tree(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        arguments const given(definition, place(), {"run_id", "start_date", "end_date"});
        given.require("run_id");
        root_ = given.text("run_id", {});
        runs_ = add_run_slots(question_.events, details_);
        place const where;
        for (std::string_view const name :
             {"metadata.parent_run_id", "metadata.parent_execution_id", "agent_id", "model", "error_type",
              "runtime_seconds", "tokens", "cost", "attempt"}) {
            details_.slots.push_back(question_.events.add_property(name, where));
        }
        parent_ = runs_.status + 1;
        question_.read_range(given, period::total);
        question_.require_raw_events(question_.range.first, question_.range.last);
    }

    table answer()
    {
        stream_.emplace(
            question_.scan(question_.range.from, question_.range.until, details_, question::kept::matching));
        decide();
        inherit();
        find_children();
        place_runs();
        std::vector<totals> sums = add_up();
        table out(14);
        for (std::size_t i = 0; i < placed_.size(); ++i)
            add_row(out, placed_[i], sums[i]);
        return out;
    }

private:
    enum fact {
        parent_run,
        parent_execution,
        agent,
        model,
        error_type,
        runtime,
        tokens,
        cost,
        attempt,
        fact_count
    };

    struct decided_run {
        const stream_event *event = nullptr;
        const stream_event *source[fact_count] =
            {}; // of each fact: the event, or an earlier one where it lacks it
        // Of each attempt: its last event that states them.
        std::map<value_number, const stream_event *> tokens_of, cost_of;
    };

    struct placed {
        value_number run;
        std::size_t parent; // among the placed; SIZE_MAX: the root
        std::int64_t depth;
    };
    struct totals {
        int128 tokens = 0, cost = 0;
        std::int64_t runs = 0; // with itself
    };

    const stream_event &event_of(value_number run) const { return *decided_.at(run).event; }
    value_number value_at(const stream_event &e, fact f) const { return stream_->value(e, parent_ + f); }
    value_number value_of(value_number run, fact f) const
    {
        decided_run const &r = decided_.at(run);
        return value_at(r.source[f] != nullptr ? *r.source[f] : *r.event, f);
    }
    value_number parent_of(value_number run) const
    {
        value_number const p = value_of(run, parent_run);
        return p != 0 ? p : value_of(run, parent_execution);
    }
    std::string_view text(value_number v) const
    {
        return v == 0 ? std::string_view{} : stream_->texts().text(v);
    }
    int128 number_of(value_number run, fact f)
    {
        value_number const v = value_of(run, f);
        return v == 0 ? int128{0} : stream_->texts().number(v).value;
    }
    // Of all attempts: a failed one was paid for too.
    int128 sum_of(value_number run, fact f)
    {
        int128 sum = 0;
        for (auto const &a : f == tokens ? decided_.at(run).tokens_of : decided_.at(run).cost_of)
            if (a.second != nullptr)
                sum += stream_->texts().number(value_at(*a.second, f)).value;
        return sum;
    }
    int rank_of(const stream_event &e) const
    {
        std::string_view const status = text(stream_->value(e, runs_.status));
        return status == name_of(run_status::unfinished) ? 0 : status == name_of(run_status::unknown) ? 1 : 2;
    }
    // A run is its deciding event, whatever the day; one that never ended is its last.
    void decide()
    {
        for (stream_event const &e : stream_->all()) {
            stream_->poll()();
            value_number const run = stream_->value(e, runs_.run_id);
            if (run == 0)
                continue;
            const stream_event *&best = decided_[run].event;
            if (best == nullptr || std::make_tuple(rank_of(*best), best->at, stream_->id(*best)) <
                                       std::make_tuple(rank_of(e), e.at, stream_->id(e)))
                best = &e;
        }
    }
    bool is_later(const stream_event &a, const stream_event &b) const
    {
        return std::make_tuple(a.at, stream_->id(a)) > std::make_tuple(b.at, stream_->id(b));
    }
    // What the deciding event lacks, as clients that send an update and then a bare end leave it.
    void inherit()
    {
        for (stream_event const &e : stream_->all()) {
            stream_->poll()();
            auto const found = decided_.find(stream_->value(e, runs_.run_id));
            if (found != decided_.end())
                inherit(found->second, e);
        }
    }
    void inherit(decided_run &run, const stream_event &e)
    {
        bool const is_after = is_later(e, *run.event);
        for (int f = 0; f < fact_count && !is_after; ++f)
            take(run.source[f], e, static_cast<fact>(f));
        value_number const own = value_at(e, attempt);
        if (is_after && own == value_at(*run.event, attempt))
            return;
        take(run.tokens_of[own], e, tokens);
        take(run.cost_of[own], e, cost);
    }
    void take(const stream_event *&source, const stream_event &e, fact f) const
    {
        if (states(e, f) && (source == nullptr || is_later(e, *source)))
            source = &e;
    }
    bool states(const stream_event &e, fact f) const
    {
        value_number const v = value_at(e, f);
        return v != 0 && (f != model || text(v) != "unknown");
    }
    void find_children()
    {
        for (auto const &d : decided_)
            if (value_number const p = parent_of(d.first); p != 0)
                children_[p].push_back(d.first);
        for (auto &c : children_)
            std::sort(c.second.begin(), c.second.end(),
                      [this](value_number a, value_number b) { return text(a) > text(b); });
    }
    // Depth first, siblings by run_id; a run is placed once, so a circle ends.
    void place_runs()
    {
        std::vector<placed> open;
        for (auto const &d : decided_)
            if (text(d.first) == root_)
                open.push_back({d.first, SIZE_MAX, 0});
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
            sums[i].tokens += sum_of(placed_[i].run, tokens);
            sums[i].cost += sum_of(placed_[i].run, cost);
            ++sums[i].runs;
            if (placed_[i].parent == SIZE_MAX)
                continue;
            totals &outer = sums[placed_[i].parent];
            outer.tokens += sums[i].tokens;
            outer.cost += sums[i].cost;
            outer.runs += sums[i].runs;
        }
        return sums;
    }
    void add_row(table &out, const placed &p, const totals &sum)
    {
        stream_event const &e = event_of(p.run);
        out << cell::integer(p.depth) << cell::of_text(text(p.run)) << text_cell(text(parent_of(p.run)))
            << text_cell(text(value_of(p.run, agent))) << text_cell(text(value_of(p.run, model)))
            << text_cell(text(stream_->value(e, runs_.status)))
            << text_cell(text(value_of(p.run, error_type))) << cell::instant(e.at)
            << (value_of(p.run, runtime) == 0 ? cell{} : cell::trimmed(number_of(p.run, runtime), nano_scale))
            << cell::trimmed(sum_of(p.run, tokens), nano_scale) << cell::trimmed(sum.tokens, nano_scale)
            << cell::trimmed(sum_of(p.run, cost), nano_scale) << cell::trimmed(sum.cost, nano_scale)
            << cell::integer(sum.runs - 1);
    }

    question question_;
    stream_details details_;
    run_slots runs_{};
    std::size_t parent_ = 0; // the first of the slots by `fact`
    std::string root_;
    std::optional<event_stream> stream_;
    std::map<value_number, decided_run> decided_;
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
