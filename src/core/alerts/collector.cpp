#include "core/alerts/collector.hpp"

#include "core/event/run_order.hpp"

#include <algorithm>
#include <iterator>

namespace shadow
{

void alert_totals::add(const alert_totals &other) noexcept
{
    events += other.events;
    errors += other.errors;
    users += other.users;
    signups += other.signups;
    responses += other.responses;
    sessions += other.sessions;
    runs.total += other.runs.total;
    runs.successful += other.runs.successful;
    runs.failed += other.runs.failed;
    runs.cancelled += other.runs.cancelled;
    credits += other.credits;
    response_time += other.response_time;
    session_time += other.session_time;
}

alert_collector::alert_collector(std::size_t slots, bool nested, std::pmr::memory_resource *memory)
    : nested_(nested), memory_(memory), totals_(slots, alert_totals{}, memory), users_(memory),
      user_index_(memory), runs_(memory), run_index_(memory), run_events_(memory), attempts_(memory),
      agent_marks_(memory), type_marks_(memory)
{
}

void alert_collector::add(std::size_t slot, const uuid &workspace, const decoded_event &event)
{
    auto const number = static_cast<std::uint32_t>(slot);
    ++totals_[slot].events;
    note_user(number, event.user, event.at);
    if (event.has_facts)
        add_facts(number, workspace, event);
}

static constexpr std::uint64_t group_factor = 0x9E3779B97F4A7C15u;

static std::uint64_t run_hash(const uuid &workspace, const decoded_event &event) noexcept
{
    return event.facts.run.high + workspace.hash();
}

void alert_collector::note_user(std::uint32_t slot, const uuid &id, std::int64_t at)
{
    std::uint32_t const group = group_of(slot);
    user_entry &user = users_[user_index_.find_or_add(
        id.hash() + group * group_factor,
        [&](std::uint32_t i) { return users_[i].id == id && users_[i].group == group; },
        [&] {
            return users_.push({id, at, group, slot});
        })];
    user.first = std::min(user.first, at);
    user.slot = std::min(user.slot, slot);
}

void alert_collector::prefetch(int step, const uuid &workspace, const decoded_event &event) const noexcept
{
    if (step == 0) {
        user_index_.prefetch(event.user.hash());
        if (event.has_facts && event.facts.has_run)
            run_index_.prefetch(run_hash(workspace, event));
        return;
    }
    if (std::uint32_t const user = user_index_.guess(event.user.hash()); user != npos)
        users_.prefetch(user);
    if (event.has_facts && event.facts.has_run)
        if (std::uint32_t const run = run_index_.guess(run_hash(workspace, event)); run != npos)
            runs_.prefetch(run);
}

void alert_collector::count_error(std::uint32_t slot, std::uint32_t type, int change)
{
    totals_[slot].errors += change;
    type_marks_.push_back({slot, type, change});
}

// Everything but agent_run counts as it stands.
void alert_collector::add_facts(std::uint32_t slot, const uuid &workspace, const decoded_event &event)
{
    if (event.facts.message != npos)
        note_sample(slot, event);
    if (event.type == event_type::agent_run) {
        add_run_event(slot, workspace, event);
        return;
    }
    alert_totals &totals = totals_[slot];
    totals.credits += event.facts.credits;
    if (event.type == event_type::api_call && event.facts.runtime >= 0) {
        ++totals.responses;
        totals.response_time += event.facts.runtime;
    } else if (event.type == event_type::error) {
        count_error(slot, event.facts.error_type, 1);
        if (event.facts.has_run)
            add_run_event(slot, workspace, event);
    }
}

alert_collector::run_event alert_collector::make_run_event(std::uint32_t slot,
                                                           const decoded_event &event) noexcept
{
    run_event made{};
    made.id = event.facts.id;
    made.at = event.at;
    made.runtime = event.facts.runtime;
    made.credits = event.facts.credits;
    made.agent = event.facts.agent;
    made.error_type = event.facts.error_type;
    made.slot = slot;
    made.next = npos;
    made.attempt = event.facts.attempt;
    made.has_credits = event.facts.has_credits;
    made.status = event.facts.status;
    made.is_error = event.type == event_type::error;
    return made;
}

void alert_collector::add_run_event(std::uint32_t slot, const uuid &workspace, const decoded_event &event)
{
    run_event added = make_run_event(slot, event);
    if (!event.facts.has_run) {
        run_share alone;
        alone.see_older(added);
        alone.credits = added.credits;
        apply(slot, alone, 1);
        return;
    }
    // Runs of different workspaces or groups have nothing in common but their names.
    std::uint32_t const group = group_of(slot);
    run_entry &run = runs_[run_index_.find_or_add(
        run_hash(workspace, event) + group * group_factor,
        [&](std::uint32_t i) {
            run_entry const &r = runs_[i];
            return r.key == event.facts.run && r.workspace == workspace && r.group == group;
        },
        [&] {
            return runs_.push({event.facts.run, workspace, group, npos});
        })];
    added.next = run.events;
    run.events = run_events_.push(added);
}

void alert_collector::run_share::see_older(const run_event &event) noexcept
{
    if (event.is_error) {
        has_error_event = true;
    } else if (event.status != run_status::unfinished &&
               (decider == nullptr || decision_rank(event.status) > decision_rank(decider->status))) {
        decider = &event;
        agent = event.agent;
        runtime = event.runtime;
    } else if (decider != nullptr) { // what it lacks comes from the latest one before it
        agent = agent == npos ? event.agent : agent;
        runtime = runtime < 0 ? event.runtime : runtime;
    }
}

// Adds what the run is worth to the slot's numbers, or takes it out of them.
void alert_collector::apply(std::uint32_t slot, const run_share &share, int sign)
{
    if (share.decider == nullptr)
        return;
    run_event const &run = *share.decider;
    bool const failed = run.status == run_status::failed;
    alert_totals &totals = totals_[slot];
    totals.runs.total += sign;
    totals.runs.successful += sign * (run.status == run_status::successful);
    totals.runs.cancelled += sign * (run.status == run_status::cancelled);
    totals.runs.failed += sign * failed;
    totals.credits += sign * share.credits;
    if (share.runtime >= 0) {
        totals.responses += sign;
        totals.response_time += sign * int128{share.runtime};
    }
    if (failed && share.agent != npos)
        agent_marks_.push_back({slot, share.agent, sign});
    if (failed && !share.has_error_event) // else its error event stands for it
        count_error(slot, run.error_type, sign);
}

// Of events of a run, the latest first: each attempt's own last ones.
int128 alert_collector::credits_of(const run_event *const *first, const run_event *const *last)
{
    attempts_.clear();
    std::copy_if(first, last, std::back_inserter(attempts_), [](const run_event *e) { return !e->is_error; });
    std::stable_sort(attempts_.begin(), attempts_.end(),
                     [](const run_event *a, const run_event *b) { return a->attempt < b->attempt; });
    int128 sum = 0;
    for (auto at = attempts_.begin(); at != attempts_.end();) {
        auto const end = std::find_if(at, attempts_.end(),
                                      [&](const run_event *e) { return e->attempt != (*at)->attempt; });
        auto const decider =
            find_decider(at, end, [](const run_event *e) { return decision_rank(e->status); });
        auto const paid = std::find_if(decider, end, [](const run_event *e) { return e->has_credits; });
        sum += paid == end ? 0 : (*paid)->credits;
        at = end;
    }
    return sum;
}

// Goes back in time over a run's events; where a window begins, the run is worth what is known by then.
void alert_collector::decide(std::uint32_t first, std::pmr::vector<const run_event *> &events)
{
    events.clear();
    for (std::uint32_t i = first; i != npos; i = run_events_[i].next)
        events.push_back(&run_events_[i]);
    if (events.size() > 1)
        std::sort(events.begin(), events.end(), [](const run_event *a, const run_event *b) {
            return is_later(a->at, a->id, b->at, b->id);
        });
    run_share applied, now;
    for (std::size_t i = 0; i < events.size();) {
        std::uint32_t const slot = events[i]->slot;
        for (; i < events.size() && events[i]->slot == slot; ++i)
            now.see_older(*events[i]);
        now.credits = credits_of(events.data(), events.data() + i);
        apply(slot, applied, -1);
        apply(slot, now, 1);
        applied = now;
    }
}

void alert_collector::finish(interrupt_poll &poll)
{
    std::pmr::vector<const run_event *> events(memory_);
    for (std::uint32_t i = 0; i < runs_.size(); ++i) {
        poll();
        decide(runs_[i].events, events);
    }
    for (std::uint32_t i = 0; i < users_.size(); ++i)
        if (users_[i].slot != npos)
            ++totals_[users_[i].slot].users;
    for (mark_list *const marks : {&agent_marks_, &type_marks_})
        std::sort(marks->begin(), marks->end(),
                  [](const alert_mark &a, const alert_mark &b) { return a.slot < b.slot; });
}

span<const alert_mark> alert_collector::marks_of(const mark_list &marks, std::size_t slot) noexcept
{
    auto const first = std::lower_bound(marks.begin(), marks.end(), slot,
                                        [](const alert_mark &m, std::size_t s) { return m.slot < s; });
    auto const last = std::upper_bound(first, marks.end(), slot,
                                       [](std::size_t s, const alert_mark &m) { return s < m.slot; });
    return {marks.data() + (first - marks.begin()), static_cast<std::size_t>(last - first)};
}

void alert_collector::note_sample(std::size_t slot, const decoded_event &event) noexcept
{
    if (!nested_ && slot != 0)
        return;
    alert_sample *const end = samples_ + sample_count_;
    alert_sample *place =
        std::find_if(samples_, end, [&](const alert_sample &s) { return s.message == event.facts.message; });
    if (place == end && sample_count_ < most_samples)
        samples_[sample_count_++] = {event.at, event.facts.error_type, event.facts.message};
    else if (place == end)
        --place; // the oldest makes room
    if (event.at > place->at)
        *place = {event.at, event.facts.error_type, event.facts.message};
    while (place != samples_ && place[-1].at < place->at) {
        std::swap(place[-1], *place);
        --place;
    }
}

} // namespace shadow
