#pragma once
// Each run counts once per local day, by its deciding event (doc/metrics.md, "Runs").

#include "core/questions/question.hpp"

#include <unordered_map>

namespace shadow::questions
{

// What a question about runs keeps of its events.
struct run_slots {
    int selector;       // all agent_run events
    std::size_t run_id; // places among the details' slots
    std::size_t status;
};
run_slots add_run_slots(program &events, stream_details &details);

run_status status_of(const event_stream &stream, const stream_event &event, const run_slots &slots);

enum class run_part : std::uint8_t {
    no_run,  // an event of another type
    decides, // for its run
    counts_not
};

// The events of runs with several, the latest first, by the position of the deciding one.
using run_events = std::unordered_map<std::uint32_t, std::vector<const stream_event *>>;
run_events gather_runs(event_stream &stream, const run_slots &slots, const calendar &days,
                       const std::vector<run_part> &parts);

// By the events' positions.
std::vector<run_part> decide_runs(event_stream &stream, const run_slots &slots, const calendar &days);

} // namespace shadow::questions
