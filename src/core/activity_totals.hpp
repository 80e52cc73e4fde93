#pragma once
// The few sums of an activity that alerts need, in one pass without sorting; the same numbers as
// make_report()'s. Several activities (workspaces) can be added up.

#include "core/activity_report.hpp"

namespace shadow
{

struct activity_totals {
    std::int64_t events = 0;
    std::int64_t errors = 0;
    run_counts runs{};
    int128 credits = 0;       // 10^-9
    int128 response_time = 0; // nanoseconds, sum
    std::int64_t responses = 0;
};

struct session_totals {
    std::int64_t sessions = 0;
    int128 duration = 0; // microseconds, sum
};

// Counts by position in an activity; what is not needed any more dies with the memory.
struct failing_agent {
    uuid agent;
    std::int64_t failed_runs;
};
struct failing_type {
    std::string_view name;
    std::int64_t errors;
};

class activity_reader
{
public:
    static void add_totals(const activity &state, activity_totals &into);
    // Sessions whose last event is not before `since`.
    static void add_sessions(const activity &state, std::int64_t since, session_totals &into) noexcept;
    static void list_users(const activity &state, std::pmr::vector<uuid> &out);
    // Each agent with a failed run once.
    static void list_failing_agents(const activity &state, std::pmr::vector<failing_agent> &out);
    // Each type of error once; the views live as long as the activity.
    static void list_error_types(const activity &state, std::pmr::vector<failing_type> &out);

private:
    // visit(run, whether an error event tells of it too)
    template <typename Visit>
    static void for_each_run(const activity &state, Visit visit);
};

} // namespace shadow
