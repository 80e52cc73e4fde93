#include "core/rollup/state.hpp"

#include "core/event/named_sessions.hpp"
#include "core/event/run_order.hpp"

#include <algorithm>

namespace shadow
{

rollup_state::rollup_state(std::pmr::memory_resource *memory, interner *interned) noexcept
    : memory_(memory), interned_(interned), sessions_(memory), session_index_(memory), users_(memory),
      user_index_(memory), keyed_runs_(memory), keyed_run_index_(memory), runs_(memory), failures_(memory),
      run_events_(memory), usages_(memory), names_(memory), name_index_(memory), models_(memory),
      model_index_(memory), errors_(memory), error_index_(memory), feedbacks_(memory),
      feedback_index_(memory), big_amounts_(memory), call_runtimes_(memory)
{
}

// Times are kept as differences from the first.
void rollup_state::set_origin(std::int64_t origin) noexcept
{
    sessions_.set_origin(origin);
    keyed_runs_.set_origin(origin);
    run_events_.set_origin(origin);
}

std::uint32_t rollup_state::user_of(const uuid &id)
{
    return user_index_.find_or_add(
        id.hash(),
        [&](std::uint32_t i) {
            return users_.column(i, user_entry::id_high) == id.high &&
                   users_.column(i, user_entry::id_low) == id.low;
        },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < users_.size(); ++i)
                insert(users_[i].id.hash(), i);
        },
        [&] {
            return users_.push({id, npos, npos});
        });
}

rollup_state::name_entry &rollup_state::name_of(std::uint32_t name)
{
    return names_[name_index_.find_or_add(
        mixed(name), [&](std::uint32_t i) { return names_[i].name == name; },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < names_.size(); ++i)
                insert(mixed(names_[i].name), i);
        },
        [&] {
            return names_.push({name, 0, {}});
        })];
}

rollup_state::model_entry &rollup_state::model_of(std::uint32_t name)
{
    return models_[model_index_.find_or_add(
        mixed(name), [&](std::uint32_t i) { return models_[i].name == name; },
        [&] {
            return models_.push({name, 0, 0, false, false});
        })];
}

rollup_state::feedback_entry &rollup_state::feedback_of(std::uint32_t agent)
{
    return feedbacks_[feedback_index_.find_or_add(
        mixed(agent), [&](std::uint32_t i) { return feedbacks_[i].agent == agent; },
        [&] {
            return feedbacks_.push({agent, 0, 0, 0});
        })];
}

void rollup_state::count_error(const error_entry &added)
{
    bool is_new = false;
    std::uint32_t const i = error_index_.find_or_add(
        mixed(std::uint64_t{added.type} << 32 | added.agent, std::uint64_t{added.name} << 32 | added.message),
        [&](std::uint32_t e) {
            return errors_[e].type == added.type && errors_[e].agent == added.agent &&
                   errors_[e].name == added.name && errors_[e].message == added.message;
        },
        [&] {
            is_new = true;
            return errors_.push(added);
        });
    if (!is_new)
        errors_[i].events += added.events;
}

static constexpr std::int64_t largest_in_place = INT64_C(1) << 62;

amount rollup_state::pack(int128 value)
{
    if (value >= 0 && value < largest_in_place)
        return static_cast<amount>(value);
    return -1 - static_cast<amount>(big_amounts_.push({value}));
}

int128 rollup_state::unpack(amount value) const noexcept
{
    if (value == no_amount)
        return 0;
    return value >= 0 ? int128{value} : big_amounts_[static_cast<std::uint32_t>(-1 - value)].value;
}

void rollup_state::add_revenue(std::uint32_t user, int128 revenue)
{
    user_entry entry = users_[user];
    if (entry.revenue != npos) {
        big_amounts_.set(entry.revenue, {big_amounts_[entry.revenue].value + revenue});
        return;
    }
    entry.revenue = big_amounts_.push({revenue});
    users_.set(user, entry);
}

void rollup_state::note_currency(currency_code currency) noexcept
{
    if (currency == 0)
        return;
    has_currencies_ = has_currencies_ || (currency_ != 0 && currency_ != currency);
    currency_ = currency;
}

void rollup_state::join(session_entry &into, const session_entry &from) noexcept
{
    into.first = std::min(into.first, from.first);
    into.last = std::max(into.last, from.last);
    into.page_views = std::min(into.page_views + from.page_views, session_entry::many_events);
    into.other_events = std::min(into.other_events + from.other_events, session_entry::many_events);
    into.has_key_event = into.has_key_event || from.has_key_event;
}

static bool is_key_event(event_type type) noexcept
{
    return type == event_type::agent_run || type == event_type::export_ || type == event_type::report_view ||
           type == event_type::feature_use;
}

std::uint32_t rollup_state::add_to_session(const rollup_rules &rules, const decoded_head &event)
{
    if (sessions_.size() == 0)
        set_origin(event.at);
    session_entry added{};
    bool const is_mark = event.type == event_type::session_start || event.type == event_type::session_end;
    added.first = added.last = event.at;
    added.next = npos;
    added.page_views = event.type == event_type::page_view;
    added.other_events = !is_mark && event.type != event_type::page_view;
    added.has_key_event = is_key_event(event.type);
    if (event.has_session) {
        added.key = event.session;
        added.has_id = true;
        return add_identified(added, event.user);
    }
    added.user = user_of(event.user);
    add_interval(rules.session_gap, added);
    return added.user;
}

// The session knows its user: for an event of a known session the table of users is not searched.
std::uint32_t rollup_state::add_identified(const session_entry &added, const uuid &user)
{
    std::uint32_t new_user = npos;
    std::uint32_t const position = session_index_.find_or_add(
        added.key.high,
        [&](std::uint32_t i) {
            return sessions_.column(i, session_entry::key_high) == added.key.high &&
                   sessions_.column(i, session_entry::key_low) == added.key.low;
        },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < sessions_.size(); ++i)
                if (session_entry const session = sessions_[i]; session.has_id)
                    insert(session.key.high, i);
        },
        [&] {
            session_entry entry = added;
            entry.user = new_user = user_of(user);
            has_named_sessions_ = true;
            return take_session(entry);
        });
    if (new_user != npos)
        return new_user;
    session_entry session = sessions_[position];
    join(session, added);
    sessions_.set(position, session);
    return session.user;
}

// Sessions by inactivity are the connected components of a user's events under "less than the gap apart", so
// the order in which they arrive does not matter: an added interval swallows those that it touches.
void rollup_state::add_interval(std::int64_t gap, const session_entry &added)
{
    has_intervals_ = true;
    user_entry user = users_[added.user];
    session_entry merged = added;
    std::uint32_t before = npos; // in the user's list
    for (std::uint32_t position = user.intervals; position != npos;) {
        session_entry other = sessions_[position];
        std::uint32_t const next = other.next;
        if (merged.is_apart(other, gap)) {
            before = position;
            position = next;
            continue;
        }
        join(merged, other);
        unlink_interval(user, before, next);
        other.is_free = true;
        other.next = free_session_;
        sessions_.set(position, other);
        free_session_ = position;
        position = user.intervals; // the grown interval may touch one that was passed
        before = npos;
    }
    merged.next = user.intervals;
    merged.is_free = false;
    user.intervals = take_session(merged);
    users_.set(added.user, user);
}

void rollup_state::unlink_interval(user_entry &user, std::uint32_t before, std::uint32_t next)
{
    if (before == npos) {
        user.intervals = next;
        return;
    }
    session_entry previous = sessions_[before];
    previous.next = next;
    sessions_.set(before, previous);
}

std::uint32_t rollup_state::take_session(const session_entry &value)
{
    if (free_session_ == npos)
        return sessions_.push(value);
    std::uint32_t const position = free_session_;
    free_session_ = sessions_[position].next;
    sessions_.set(position, value);
    return position;
}

// Which sessions by inactivity are parts of which with an id. Only users who have both take time.
rollup_state::session_joins rollup_state::find_joins(std::int64_t gap, interrupt_check interrupted) const
{
    session_joins joins(memory_);
    if (!has_named_sessions_ || !has_intervals_)
        return joins;
    interrupt_poll poll(interrupted);
    std::pmr::vector<std::pair<std::uint32_t, std::uint32_t>> named(memory_); // user, session
    for (std::uint32_t i = 0; i < sessions_.size(); ++i, poll()) {
        auto const user = static_cast<std::uint32_t>(sessions_.column(i, session_entry::user_position));
        if (sessions_[i].has_id && users_.column(user, user_entry::intervals_position) != 0)
            named.emplace_back(user, i);
    }
    std::sort(named.begin(), named.end());
    named_sessions of_user(memory_);
    for (auto at = named.begin(); at != named.end();) {
        std::uint32_t const user = at->first;
        of_user.clear();
        for (; at != named.end() && at->first == user; ++at, poll()) {
            session_entry const s = sessions_[at->second];
            of_user.add(s.first, s.last, sessions_.column(at->second, session_entry::facts), at->second);
        }
        of_user.sort();
        for (std::uint32_t i = users_[user].intervals; i != npos; i = sessions_[i].next, poll()) {
            session_entry const s = sessions_[i];
            std::size_t const whole = of_user.find(s.first, s.last, static_cast<std::uint64_t>(gap));
            if (whole == named_sessions::none)
                continue;
            joins.parts.push_back(i);
            joins.wholes.emplace_back(static_cast<std::uint32_t>(whole), i);
        }
    }
    std::sort(joins.parts.begin(), joins.parts.end());
    std::sort(joins.wholes.begin(), joins.wholes.end());
    return joins;
}

void rollup_state::note_other(keyed_run &keyed, const run_event &event)
{
    if (event.run.status == run_status::unfinished && !event.run.says_something())
        return;
    run_event other = event;
    other.run.user = other.run.failure = npos;
    other.next = keyed.others;
    keyed.others = run_events_.push(other);
}

void rollup_state::decide(keyed_run &keyed, const run_event &event)
{
    run_event const known{keyed.run, keyed.id, keyed.at, keyed.attempt, npos};
    int const rank = decision_rank(event.run.status), current = decision_rank(known.run.status);
    bool const wins = !keyed.is_counted || rank > current ||
                      (rank == current && is_later(event.at, event.id, known.at, known.id));
    if (!wins) {
        note_other(keyed, event);
        return;
    }
    if (keyed.is_counted)
        note_other(keyed, known);
    keyed.run = event.run;
    keyed.is_counted = true;
    keyed.at = event.at;
    keyed.id = event.id;
    keyed.attempt = event.attempt;
}

std::uint32_t rollup_state::agent_of(const decoded_facts &facts) const
{
    return facts.has_agent ? interned_->agent_id(facts.agent_id) : npos;
}

run_entry rollup_state::make_run(const rollup_rules &rules, const decoded_head &event,
                                 const decoded_facts &facts, std::uint32_t user)
{
    run_entry run = no_run;
    run.runtime = facts.runtime;
    run.tokens = facts.tokens;
    run.credits = facts.has_credits ? pack(facts.credits) : no_amount;
    run.cost = facts.has_cost ? pack(facts.cost) : no_amount;
    run.states_cost = facts.states_cost;
    run.currency = facts.currency;
    run.agent = agent_of(facts);
    run.user = user;
    run.model = facts.model;
    run.status = facts.status;
    if (rules.prices.tokens.size != 0 && facts.tokens > 0)
        run.usage = usages_.push({facts.usage});
    if (facts.status == run_status::failed)
        run.failure =
            failures_.push({facts.error_type, facts.reason, interned_->name(event.name).text, facts.message});
    return run;
}

void rollup_state::add_run(const rollup_rules &rules, const decoded_head &event, const decoded_facts &facts,
                           std::uint32_t user)
{
    bool const decides = facts.status != run_status::unfinished;
    if (!facts.has_run) {
        if (decides)
            runs_.push(make_run(rules, event, facts, user));
        return;
    }
    run_event const made{make_run(rules, event, facts, user), facts.id, event.at, facts.attempt, npos};
    change_run(facts.run, [&](keyed_run &keyed) {
        if (decides)
            decide(keyed, made);
        else
            note_other(keyed, made);
    });
}

// Everything but agent_run: its credits and cost count as they stand.
void rollup_state::add_other(const decoded_head &event, const decoded_facts &facts)
{
    if (event.type == event_type::api_call && facts.runtime >= 0)
        call_runtimes_.push({facts.runtime});
    if (facts.credits != 0 || facts.has_cost) {
        model_entry &model = model_of(facts.model);
        model.credits += facts.credits;
        model.cost += facts.cost;
        model.has_cost = model.has_cost || facts.has_cost;
        model.lacks_cost = model.lacks_cost || !facts.has_cost;
        note_currency(facts.currency);
    }
    if (event.type != event_type::error)
        return;
    count_error({facts.error_type, agent_of(facts), interned_->name(event.name).text, facts.message, 1});
    if (facts.has_run)
        change_run(facts.run, [](keyed_run &keyed) { keyed.has_error_event = true; });
}

void rollup_state::add_feedback(std::uint32_t agent, std::int64_t rating)
{
    feedback_entry &entry = feedback_of(agent);
    ++entry.feedbacks;
    entry.ratings += rating >= 0;
    entry.rating_sum += std::max<std::int64_t>(rating, 0);
}

void rollup_state::add_visit(const rollup_rules &rules, const decoded_head &event)
{
    add_to_session(rules, event);
}

void rollup_state::add(const rollup_rules &rules, const decoded_head &event, const decoded_facts *facts)
{
    std::uint32_t const user = add_to_session(rules, event);
    name_entry &name = name_of(event.name);
    ++name.events;
    name.users.add(user, users_.size(), memory_);
    if (facts == nullptr)
        return;
    for (std::uint64_t rest = facts->ignored; rest != 0; rest &= rest - 1)
        ++ignored_[__builtin_ctzll(rest)];
    if (facts->revenue != 0)
        add_revenue(user, facts->revenue);
    if (facts->is_feedback && facts->has_agent)
        add_feedback(agent_of(*facts), facts->rating);
    if (event.type == event_type::agent_run)
        add_run(rules, event, *facts, user);
    else
        add_other(event, *facts);
}

void rollup_state::expect(std::uint32_t events)
{
    constexpr std::uint32_t most_names = 128;
    session_index_.reserve(events / 4);
    keyed_run_index_.reserve(events / 4);
    name_index_.reserve(std::min(events / 4, most_names));
}

void rollup_state::finish() noexcept
{
    session_index_.release();
    user_index_.release();
    keyed_run_index_.release();
    name_index_.release();
}

void rollup_state::release() noexcept
{
    finish();
    for (std::uint32_t i = 0; i < names_.size(); ++i)
        names_[i].users.release(memory_);
    names_.release();
    models_.release();
    model_index_.release();
    errors_.release();
    error_index_.release();
    feedbacks_.release();
    feedback_index_.release();
    sessions_.release();
    users_.release();
    keyed_runs_.release();
    runs_.release();
    failures_.release();
    run_events_.release();
    usages_.release();
    big_amounts_.release();
    call_runtimes_.release();
}

} // namespace shadow
