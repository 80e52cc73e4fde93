#include "core/questions/runs.hpp"

#include "core/event/run_order.hpp"

#include <algorithm>
#include <unordered_map>

namespace shadow::questions
{

run_slots add_run_slots(program &events, stream_details &details)
{
    place const where("runs");
    run_slots result{events.add_selector(text_json("agent_run"), where), details.slots.size(),
                     details.slots.size() + 1};
    details.slots.push_back(events.add_property("run_id", where));
    details.slots.push_back(events.add_property("status", where));
    details.ids = true;
    return result;
}

run_status status_of(const event_stream &stream, const stream_event &e, const run_slots &slots)
{
    std::string_view const text = stream.texts().text(stream.value(e, slots.status));
    for (run_status const s :
         {run_status::successful, run_status::failed, run_status::cancelled, run_status::unfinished})
        if (name_of(s) == text)
            return s;
    return run_status::unknown;
}

namespace
{

struct decision {
    const stream_event *event;
    int rank;
};

std::uint64_t run_key(const calendar &days, const stream_event &e, value_number run)
{
    return std::uint64_t{static_cast<std::uint32_t>(days.day_of(e.at))} << 32 | run;
}

} // namespace

run_events gather_runs(event_stream &stream, const run_slots &slots, const calendar &days,
                       const std::vector<run_part> &parts)
{
    std::unordered_map<std::uint64_t, std::vector<const stream_event *>> runs;
    for (stream_event const &e : stream.all()) {
        stream.poll()();
        if (value_number const run = stream.value(e, slots.run_id); run != 0 && e.matches(slots.selector))
            runs[run_key(days, e, run)].push_back(&e);
    }
    run_events result;
    for (auto &run : runs) {
        auto &events = run.second;
        auto const decider = std::find_if(events.begin(), events.end(), [&](const stream_event *e) {
            return parts[e->position] == run_part::decides;
        });
        if (events.size() == 1 || decider == events.end())
            continue;
        std::uint32_t const position = (*decider)->position;
        std::sort(events.begin(), events.end(), [&](const stream_event *a, const stream_event *b) {
            return is_later(a->at, stream.id(*a), b->at, stream.id(*b));
        });
        result.emplace(position, std::move(events));
    }
    return result;
}

std::vector<run_part> decide_runs(event_stream &stream, const run_slots &slots, const calendar &days)
{
    std::vector<run_part> parts(stream.size(), run_part::no_run);
    std::unordered_map<std::uint64_t, decision> decided; // by day and run id
    for (stream_event const &e : stream.all()) {
        stream.poll()();
        if (!e.matches(slots.selector))
            continue;
        run_status const status = status_of(stream, e, slots);
        value_number const run = stream.value(e, slots.run_id);
        parts[e.position] = status == run_status::unfinished ? run_part::counts_not : run_part::decides;
        if (run == 0 || status == run_status::unfinished)
            continue;
        std::uint64_t const key = run_key(days, e, run);
        int const rank = decision_rank(status);
        auto const [known, is_new] = decided.try_emplace(key, decision{&e, rank});
        if (is_new)
            continue;
        decision &best = known->second;
        bool const wins = rank != best.rank
                              ? rank > best.rank
                              : is_later(e.at, stream.id(e), best.event->at, stream.id(*best.event));
        parts[(wins ? *best.event : e).position] = run_part::counts_not;
        if (wins)
            best = {&e, rank};
    }
    return parts;
}

} // namespace shadow::questions
