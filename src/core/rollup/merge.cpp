// Merging two states.

#include "core/rollup/state.hpp"

#include <vector>

namespace shadow
{

// Ids and positions of another state in ours. Texts are translated when they are first met: a
// shared interner holds many that this state never used.
class rollup_state::translation
{
public:
    translation(const rollup_state &from, rollup_state &to)
        : users(from.users_.size(), to.memory_), from_(*from.interned_), to_(*to.interned_),
          texts_(to.memory_), agents_(to.memory_), names_(to.memory_), messages_(to.memory_)
    {
    }
    std::uint32_t text(std::uint32_t id)
    {
        return id == npos ? npos : texts_.find_or_add(id, [&] { return to_.text_id(from_.text(id)); });
    }
    std::uint32_t agent(std::uint32_t id)
    {
        return id == npos ? npos : agents_.find_or_add(id, [&] { return to_.agent_id(from_.agent(id)); });
    }
    std::uint32_t name(std::uint32_t id)
    {
        return names_.find_or_add(
            id, [&] { return to_.name_id(from_.name(id).type, text(from_.name(id).text)); });
    }
    std::uint32_t message(std::uint32_t id)
    {
        return id == npos ? npos
                          : messages_.find_or_add(id, [&] { return to_.message_id(from_.message(id)); });
    }

    std::pmr::vector<std::uint32_t> users; // positions

private:
    const interner &from_;
    interner &to_;
    id_map texts_, agents_, names_, messages_;
};

void rollup_state::merge(const rollup_rules &rules, const rollup_state &other)
{
    translation to(other, *this);
    if (sessions_.size() == 0)
        set_origin(other.sessions_.origin());
    for (std::uint32_t i = 0; i < other.users_.size(); ++i) {
        user_entry const from = other.users_[i];
        to.users[i] = user_of(from.id);
        if (from.revenue != npos)
            add_revenue(to.users[i], other.big_amounts_[from.revenue].value);
    }
    merge_sessions(rules.session_gap, other, to);
    merge_runs(other, to);
    merge_counts(other, to);
}

void rollup_state::merge_sessions(std::int64_t gap, const rollup_state &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.sessions_.size(); ++i) {
        session_entry added = other.sessions_[i];
        if (added.is_free)
            continue;
        uuid const user = other.users_[added.user].id;
        added.user = to.users[added.user];
        if (added.has_id)
            add_identified(added, user);
        else
            add_interval(gap, added);
    }
}

run_entry rollup_state::translate(const rollup_state &other, const run_entry &from, translation &to)
{
    run_entry run = from;
    run.credits = pack(other.unpack(from.credits));
    run.cost = from.cost == no_amount ? no_amount : pack(other.unpack(from.cost));
    run.agent = to.agent(from.agent);
    run.user = to.users[from.user];
    run.model = to.text(from.model);
    if (from.failure != npos) {
        failure_entry const f = other.failures_[from.failure];
        run.failure =
            failures_.push({to.text(f.type), to.text(f.reason), to.text(f.name), to.message(f.message)});
    }
    return run;
}

void rollup_state::merge_runs(const rollup_state &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.keyed_runs_.size(); ++i) {
        keyed_run const from = other.keyed_runs_[i];
        change_run(from.key, [&](keyed_run &keyed) {
            keyed.has_error_event = keyed.has_error_event || from.has_error_event;
            if (from.is_counted)
                decide(keyed, translate(other, from.run, to), from.at, from.id);
            for (std::uint32_t t = from.earlier_agents; t != npos; t = other.earlier_agents_[t].next) {
                earlier_agent const left = other.earlier_agents_[t];
                note_earlier_agent(keyed, to.agent(left.agent), left.at, left.id);
            }
        });
    }
    for (std::uint32_t i = 0; i < other.runs_.size(); ++i)
        runs_.push(translate(other, other.runs_[i], to));
}

void rollup_state::merge_counts(const rollup_state &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.names_.size(); ++i) {
        name_entry const &from = other.names_[i];
        name_entry &into = name_of(to.name(from.name));
        into.events += from.events;
        from.users.for_each(
            [&](std::uint32_t user) { into.users.add(to.users[user], users_.size(), memory_); });
    }
    for (std::uint32_t i = 0; i < other.errors_.size(); ++i) {
        error_entry const &e = other.errors_[i];
        count_error({to.text(e.type), to.agent(e.agent), to.text(e.name), to.message(e.message), e.events});
    }
    for (std::uint32_t i = 0; i < other.models_.size(); ++i) {
        model_entry const &from = other.models_[i];
        model_entry &into = model_of(to.text(from.name));
        into.credits += from.credits;
        into.cost += from.cost;
        into.has_cost = into.has_cost || from.has_cost;
    }
    for (std::uint32_t i = 0; i < other.feedbacks_.size(); ++i) {
        feedback_entry const &from = other.feedbacks_[i];
        feedback_entry &into = feedback_of(to.agent(from.agent));
        into.feedbacks += from.feedbacks;
        into.ratings += from.ratings;
        into.rating_sum += from.rating_sum;
    }
    for (std::uint32_t i = 0; i < other.call_runtimes_.size(); ++i)
        call_runtimes_.push(other.call_runtimes_[i]);
    for (int i = 0; i < metadata_key_count; ++i)
        ignored_[i] += other.ignored_[i];
    note_currency(other.currency_);
    has_currencies_ = has_currencies_ || other.has_currencies_;
}

} // namespace shadow
