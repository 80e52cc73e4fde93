#include "core/questions/runs.hpp"

#include "core/event/run_order.hpp"

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

namespace
{

struct decision {
    const stream_event *event;
    int rank;
};

run_status status_of(const event_stream &stream, const stream_event &e, const run_slots &slots)
{
    std::string_view const text = stream.texts().text(stream.value(e, slots.status));
    for (run_status const s :
         {run_status::successful, run_status::failed, run_status::cancelled, run_status::unfinished})
        if (name_of(s) == text)
            return s;
    return run_status::unknown;
}

} // namespace

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
        std::uint64_t const key = std::uint64_t{static_cast<std::uint32_t>(days.day_of(e.at))} << 32 | run;
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
