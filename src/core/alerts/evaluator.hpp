#pragma once
// Alert rules: what they measure, their conditions, their states, and an evaluation of many rules from one
// scan of the events (doc/metrics.md, "Alerts"). Pure: time is an argument.

#include "core/base/interrupt.hpp"
#include "core/rollup/state.hpp"

#include <optional>

namespace shadow
{

enum class alert_metric : std::uint8_t {
    error_rate,
    failure_rate,
    response_time,
    active_users,
    failed_runs,
    credits_consumed,
    agent_failures,
    user_signups,
    session_duration
};
inline constexpr std::string_view alert_metric_names[] = {
    "error_rate",       "failure_rate",   "response_time", "active_users",    "failed_runs",
    "credits_consumed", "agent_failures", "user_signups",  "session_duration"};
inline constexpr int alert_metric_count = static_cast<int>(std::size(alert_metric_names));

enum class alert_condition : std::uint8_t {
    greater_than,
    less_than,
    equals,
    not_equals,
    between,
    anomaly,
    poisson,
    binomial
};
inline constexpr std::string_view alert_condition_names[] = {
    "greater_than", "less_than", "equals", "not_equals", "between", "anomaly", "poisson", "binomial"};

enum class no_data_policy : std::uint8_t { ok, alert, keep };
inline constexpr std::string_view no_data_policy_names[] = {"ok", "alert", "keep"};

enum class alert_state : std::uint8_t { ok, pending, firing };
inline constexpr std::string_view alert_state_names[] = {"ok", "pending", "firing"};

// The enumerator with that name.
template <typename Enum, std::size_t n>
constexpr std::optional<Enum> find_named(const std::string_view (&names)[n], std::string_view name) noexcept
{
    for (std::size_t i = 0; i < n; ++i)
        if (names[i] == name)
            return static_cast<Enum>(i);
    return std::nullopt;
}

constexpr bool is_scored(alert_condition c) noexcept
{
    return c >= alert_condition::anomaly;
}

// Conditions ------------------------------------------------------------------------------------------------

// Amounts are in units of 10^-9. Equality is compared after rounding to 2 decimals.
bool condition_holds(alert_condition condition, int128 value, int128 threshold,
                     int128 threshold_max) noexcept;

inline constexpr std::size_t fewest_baseline_points = 8;
inline constexpr std::int64_t fewest_scored_events = 10;

// Iglewicz & Hoaglin (1993), How to Detect and Handle Outliers: 0.6745 (x - median) / MAD; with MAD = 0 the
// mean absolute deviation about the median, (x - median) / (1.253314 meanAD). Empty if that is 0 too: every
// point of the baseline is the same. `points` is sorted by the call and not empty.
std::optional<double> modified_z_score(double x, double *points, std::size_t n);
// P(X >= k) for X ~ Poisson(mean).
double poisson_tail(std::int64_t k, double mean);
// P(X >= k) for X ~ Binomial(n, p).
double binomial_tail(std::int64_t k, std::int64_t n, double p);

// States ----------------------------------------------------------------------------------------------------

struct alert_step {
    alert_state state;
    std::int64_t since;
    bool fires;    // a new episode begins
    bool resolves; // the episode ends
};

// As Prometheus: ok -> pending until the condition has held for so long -> firing -> resolved, which is ok
// again. `holds` is empty without data.
alert_step next_state(alert_state state, std::int64_t since, std::optional<bool> holds,
                      no_data_policy no_data, std::int64_t for_microseconds, std::int64_t now) noexcept;

// Evaluation ------------------------------------------------------------------------------------------------

struct alert_rule {
    uuid workspace;
    bool is_platform; // every workspace together
    alert_metric metric;
    alert_condition condition;
    no_data_policy no_data;
    alert_state state;
    int window_minutes;
    int for_minutes;
    int128 threshold, threshold_max; // 10^-9
    std::int64_t since;
    // For scored conditions: starts of the scored hour, then of the hours it is compared with, latest first.
    // The same for every rule of a scope.
    span<std::int64_t> hours;
};

struct alert_verdict {
    bool has_value;
    bool holds; // of the data at hand, whatever the state; missing data count as the rule's no_data says
    int128 value;
    alert_step step;
    std::string_view reason;
    std::string_view context; // JSON; "{}" unless the condition holds
};

// An interval of events that an evaluation needs of one workspace, or of all.
struct alert_range {
    std::uint32_t scope;
    std::int64_t first, last; // half-open
};

class alert_scope; // the rules of one workspace, or of the platform
class alert_pipeline;

// A user whose first event at hand may be the first ever.
struct alert_newcomer {
    std::uint32_t scope;
    uuid user;
};

// Collects the events of all rules' windows, each once per scope, and judges the rules. Needs no destructor.
class alert_board
{
public:
    // `rules` are sorted by sort_alert_rules() and outlive the board, as `options` does. Users first seen
    // before `known_until` are known to whoever asks for newcomers().
    alert_board(span<alert_rule> rules, const activity_rules &options, std::int64_t now,
                std::int64_t known_until, std::pmr::memory_resource *memory);

    std::uint32_t scope_count() const noexcept { return static_cast<std::uint32_t>(scopes_.size); }
    bool is_platform(std::uint32_t scope) const noexcept;
    uuid workspace(std::uint32_t scope) const noexcept;
    // What to feed: the windows' events to add(…, false), those of the scored hours to add(…, true).
    span<alert_range> window_ranges() const noexcept { return window_ranges_; }
    span<alert_range> hour_ranges() const noexcept { return hour_ranges_; }

    // The scope of a workspace whose window range holds that instant; npos without one.
    std::uint32_t find_window_scope(const uuid &workspace, std::int64_t at) const noexcept;

    void add(std::uint32_t scope, bool to_hours, const activity_event &event, const metadata &values);

    // After the last event: who would be a sign-up, and what is known of his earlier events.
    span<alert_newcomer> newcomers(bool platform);
    void add_known(std::uint32_t scope, const uuid &user, std::int64_t first_seen);

    // One verdict per rule, in their order.
    span<alert_verdict> judge(interrupt_check interrupted);

private:
    arena arena_;
    std::pmr::memory_resource *memory_;
    const activity_rules &options_;
    dictionary words_;
    alert_pipeline *pipeline_;
    span<alert_scope *> scopes_;
    span<alert_range> window_ranges_, hour_ranges_;
    struct workspace_range {
        uuid workspace;
        alert_range range;
    };
    pool<workspace_range> workspace_ranges_; // those of windows, without the platform's
    pool_index workspace_index_;
};

// By scope, then by length of window.
void sort_alert_rules(span<alert_rule> rules) noexcept;
bool precedes(const alert_rule &a, const alert_rule &b) noexcept;

} // namespace shadow
