#pragma once
// Evaluates many alert rules from one scan of the events (doc/metrics.md, "Alerts"). Pure: time is an argument.

#include "core/alerts/rule_result.hpp"
#include "core/base/interrupt.hpp"

namespace shadow
{

// An interval of events that an evaluation needs of one workspace, or of all.
struct alert_range {
    std::uint32_t scope;
    std::int64_t first, last; // half-open
};

class alert_scope; // the rules of one workspace, or of the platform, with the same delay
class alert_pipeline;

// A user whose first event at hand may be the first ever.
struct alert_newcomer {
    std::uint32_t scope;
    uuid user;
};

// Collects the events of all rules' windows, each once per scope, and evaluates the rules. Needs no destructor.
class alert_evaluator
{
public:
    // `rules` are in the order of workspaces, delays and lengths of windows; they outlive the evaluator, as `options`
    // does. Users first seen before `known_until` are known to whoever asks for newcomers().
    alert_evaluator(span<alert_rule> rules, const rollup_rules &options, std::int64_t now,
                    std::int64_t known_until, std::pmr::memory_resource *memory);

    bool is_platform(std::uint32_t scope) const noexcept;
    uuid workspace(std::uint32_t scope) const noexcept;
    // What to feed: the windows' events to add(…, false), those of the scored hours to add(…, true).
    span<alert_range> window_ranges() const noexcept { return window_ranges_; }
    span<alert_range> hour_ranges() const noexcept { return hour_ranges_; }

    // Whether a workspace may have several scopes, as rules differ in their delay: then an event is fed to each.
    bool has_delays() const noexcept { return has_delays_; }

    // The scope of a workspace whose window range holds that instant; npos without one. Not with has_delays().
    std::uint32_t find_window_scope(const uuid &workspace, std::int64_t at) const noexcept;

    void add(std::uint32_t scope, bool to_hours, const raw_event &event, const metadata &values);

    // After the last event: who would be a sign-up, and what is known of earlier events.
    span<alert_newcomer> newcomers(bool platform);
    void add_known(std::uint32_t scope, const uuid &user, std::int64_t first_seen);

    // One result per rule, in their order.
    span<rule_result> evaluate(interrupt_check interrupted);

private:
    arena arena_;
    std::pmr::memory_resource *memory_;
    const rollup_rules &options_;
    interner interned_;
    alert_pipeline *pipeline_;
    span<alert_scope *> scopes_;
    bool has_delays_ = false;
    span<alert_range> window_ranges_, hour_ranges_;
    struct workspace_range {
        uuid workspace;
        alert_range range;
    };
    pool<workspace_range> workspace_ranges_; // those of windows, without the platform's
    pool_index workspace_index_;
};

} // namespace shadow
