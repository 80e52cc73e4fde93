#pragma once
// Each run counts once per local day, by its deciding event (doc/metrics.md, "Runs").

#include "core/questions/question.hpp"

namespace shadow::questions
{

// What a question about runs keeps of its events.
struct run_slots {
    int selector;       // all agent_run events
    std::size_t run_id; // places among the details' slots
    std::size_t status;
};
run_slots add_run_slots(program &events, stream_details &details);

enum class run_part : std::uint8_t {
    no_run,  // an event of another type
    decides, // for its run
    counts_not
};

// By the events' positions.
std::vector<run_part> decide_runs(event_stream &stream, const run_slots &slots, const calendar &days);

} // namespace shadow::questions
