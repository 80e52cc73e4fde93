#include "core/activity_totals.hpp"

#include <vector>

namespace shadow
{

template <typename Visit>
void activity_reader::for_each_run(const activity &state, Visit visit)
{
    for (std::uint32_t i = 0; i < state.runs_.size(); ++i)
        visit(state.runs_[i], false);
    for (std::uint32_t i = 0; i < state.keyed_runs_.size(); ++i)
        if (auto const &keyed = state.keyed_runs_[i]; keyed.run.is_counted)
            visit(keyed.run, keyed.has_error_event);
}

void activity_reader::add_totals(const activity &state, activity_totals &into)
{
    state.name_users_.for_each(
        [&](std::uint32_t, std::uint32_t, std::uint32_t events) { into.events += events; });
    for (std::uint32_t i = 0; i < state.errors_.size(); ++i)
        into.errors += static_cast<std::int64_t>(state.errors_[i].events);
    for_each_run(state, [&](const activity::run_entry &run, bool has_error_event) {
        bool const failed = run.status == run_status::failed;
        ++into.runs.total;
        into.runs.successful += run.status == run_status::successful;
        into.runs.cancelled += run.status == run_status::cancelled;
        into.runs.failed += failed;
        into.errors += failed && !has_error_event; // else its error event stands for it
        into.credits += state.unpack(run.credits);
        into.responses += run.runtime >= 0;
        into.response_time += std::max<std::int64_t>(run.runtime, 0);
    });
    for (std::uint32_t i = 0; i < state.models_.size(); ++i)
        into.credits += state.models_[i].credits;
    for (std::uint32_t i = 0; i < state.call_runtimes_.size(); ++i)
        into.response_time += state.call_runtimes_[i];
    into.responses += state.call_runtimes_.size();
}

void activity_reader::add_sessions(const activity &state, std::int64_t since, session_totals &into) noexcept
{
    for (std::uint32_t i = 0; i < state.sessions_.size(); ++i) {
        auto const &session = state.sessions_[i];
        if (session.is_free || session.last < since)
            continue;
        ++into.sessions;
        into.duration += session.last - session.first;
    }
}

void activity_reader::list_users(const activity &state, std::pmr::vector<uuid> &out)
{
    for (std::uint32_t i = 0; i < state.users_.size(); ++i)
        out.push_back(state.users_[i].id);
}

void activity_reader::list_failing_agents(const activity &state, std::pmr::vector<failing_agent> &out)
{
    std::pmr::vector<std::int64_t> failed(state.words_->agent_count(), 0, out.get_allocator());
    auto const count = [&](const activity::run_entry &run, std::uint32_t agent) {
        if (run.status == run_status::failed && agent != npos)
            ++failed[agent];
    };
    for (std::uint32_t i = 0; i < state.runs_.size(); ++i)
        count(state.runs_[i], state.runs_[i].agent);
    for (std::uint32_t i = 0; i < state.keyed_runs_.size(); ++i)
        if (auto const &keyed = state.keyed_runs_[i]; keyed.run.is_counted)
            count(keyed.run, keyed.run.agent != npos ? keyed.run.agent : state.agent_from_trail(keyed));
    for (std::uint32_t i = 0; i < failed.size(); ++i)
        if (failed[i] != 0)
            out.push_back({state.words_->agent(i), failed[i]});
}

void activity_reader::list_error_types(const activity &state, std::pmr::vector<failing_type> &out)
{
    std::pmr::vector<std::int64_t> by_type(state.words_->text_count(), 0, out.get_allocator());
    for (std::uint32_t i = 0; i < state.errors_.size(); ++i)
        by_type[state.errors_[i].type] += static_cast<std::int64_t>(state.errors_[i].events);
    for_each_run(state, [&](const activity::run_entry &run, bool has_error_event) {
        if (run.failure != npos && !has_error_event)
            ++by_type[state.failures_[run.failure].type];
    });
    for (std::uint32_t i = 0; i < by_type.size(); ++i)
        if (by_type[i] != 0)
            out.push_back({state.words_->text(i), by_type[i]});
}

} // namespace shadow
