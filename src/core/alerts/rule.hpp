#pragma once
// Alert rules: what they measure, their conditions and their states (doc/metrics.md, "Alerts"). Pure: time is
// an argument.

#include "core/base/arena.hpp"
#include "core/base/int128.hpp"
#include "core/base/uuid.hpp"

#include <iterator>
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

struct alert_rule {
    uuid workspace;
    bool is_platform; // every workspace together
    alert_metric metric;
    alert_condition condition;
    no_data_policy no_data;
    alert_state state;
    int window_minutes;
    int for_minutes;
    int delay_minutes;               // of the window's end
    int128 threshold, threshold_max; // 10^-9
    std::int64_t since;
    // For scored conditions: starts of the scored hour, then of the hours it is compared with, latest first.
    // The same for every rule of a scope.
    span<std::int64_t> hours;
};

} // namespace shadow
