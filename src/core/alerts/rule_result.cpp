#include "core/alerts/rule_result.hpp"

#include "core/base/decimal.hpp"

#include <cstdio>

namespace shadow
{

sentence &sentence::operator<<(int128 amount)
{
    char buffer[64];
    return *this << format_scaled(amount, nano_scale, buffer);
}

sentence &sentence::operator<<(double number)
{
    char buffer[32];
    int const n = std::snprintf(buffer, sizeof buffer, "%.4g", number);
    return *this << std::string_view(buffer, static_cast<std::size_t>(n));
}

static double plain(int128 amount) noexcept
{
    return static_cast<double>(amount) / static_cast<double>(nano);
}

static std::string_view name_of(alert_metric metric) noexcept
{
    return alert_metric_names[static_cast<int>(metric)];
}

static std::string_view in_words(alert_condition condition) noexcept
{
    switch (condition) {
    case alert_condition::greater_than:
        return "greater than ";
    case alert_condition::less_than:
        return "less than ";
    case alert_condition::equals:
    case alert_condition::not_equals:
        return "equal to ";
    default:
        return "between ";
    }
}

std::optional<bool> evaluate_threshold(const alert_rule &rule, const metric_sample &sample, sentence &reason)
{
    reason << name_of(rule.metric);
    if (!sample.has_value) {
        reason << ": no data in the window";
        return std::nullopt;
    }
    bool const holds = condition_holds(rule.condition, sample.value, rule.threshold, rule.threshold_max);
    bool const says_not = holds == (rule.condition == alert_condition::not_equals);
    reason << " is " << sample.value << ", " << (says_not ? "not " : "") << in_words(rule.condition)
           << rule.threshold;
    if (rule.condition == alert_condition::between)
        reason << " and " << rule.threshold_max;
    return holds;
}

namespace
{

// What a scored hour is compared with.
struct baseline {
    explicit baseline(std::pmr::memory_resource *memory) : points(memory) {}

    std::pmr::vector<double> points;
    double sum = 0;
    std::int64_t part = 0, whole = 0; // of a rate, pooled

    double mean() const noexcept { return sum / static_cast<double>(points.size()); }
};

} // namespace

static baseline collect(alert_metric metric, span<window_metrics *> hours, json_writer &grounds,
                        std::pmr::memory_resource *memory)
{
    baseline b(memory);
    grounds.raw(",\"baseline\":[");
    for (std::size_t i = 1; i < hours.size; ++i) {
        metric_sample const s = (*hours[i])[metric];
        if (!s.has_value)
            continue;
        grounds.raw(b.points.empty() ? "" : ",").number(s.value, nano_scale);
        b.points.push_back(plain(s.value));
        b.sum += b.points.back();
        b.part += s.part;
        b.whole += s.whole;
    }
    grounds.raw("]");
    return b;
}

static bool score_anomaly(double x, double bound, std::pmr::vector<double> &points, sentence &reason)
{
    std::sort(points.begin(), points.end());
    double const middle = (points[(points.size() - 1) / 2] + points[points.size() / 2]) / 2;
    reason << " is " << x << ", usually " << middle;
    if (auto const z = modified_z_score(x, points.data(), points.size())) {
        reason << ", modified z-score " << *z << (*z > bound ? " > " : " <= ") << bound;
        return *z > bound;
    }
    double const enough = middle + static_cast<double>(fewest_scored_events);
    reason << " without exception; fires from " << enough;
    return x >= enough;
}

static double poisson_score(const metric_sample &s, const baseline &b, sentence &reason)
{
    reason << " is " << plain(s.value) << ", on average " << b.mean();
    return poisson_tail(static_cast<std::int64_t>(s.value / nano), b.mean());
}

static double binomial_score(const metric_sample &s, const baseline &b, sentence &reason)
{
    double const p = static_cast<double>(b.part) / static_cast<double>(b.whole);
    reason << ": " << static_cast<double>(s.part) << " of " << static_cast<double>(s.whole)
           << " are bad, usually " << 100 * p << " %";
    return binomial_tail(s.part, s.whole, p);
}

static bool is_improbable(double probability, double bound, sentence &reason)
{
    reason << ", probability " << probability << (probability < bound ? " < " : " >= ") << bound;
    return probability < bound;
}

// Whether the hour can be scored; if not, why.
static bool is_scorable(std::int64_t events, const metric_sample &scored, const baseline &b, sentence &reason)
{
    if (events < fewest_scored_events)
        reason << "not scored: " << static_cast<double>(events) << " events in the hour, "
               << static_cast<double>(fewest_scored_events) << " are needed";
    else if (!scored.has_value)
        reason << "not scored: no data in the hour";
    else if (b.points.size() < fewest_baseline_points)
        reason << "not scored: " << static_cast<double>(b.points.size()) << " earlier hours to compare with, "
               << static_cast<double>(fewest_baseline_points) << " are needed";
    else
        return true;
    return false;
}

std::optional<bool> evaluate_score(const alert_rule &rule, span<window_metrics *> hours, sentence &reason,
                                   json_writer &grounds, std::pmr::memory_resource *memory)
{
    if (hours.size == 0) {
        reason << "not scored: no hour to score";
        return std::nullopt;
    }
    metric_sample const scored = (*hours[0])[rule.metric];
    baseline b = collect(rule.metric, hours, grounds, memory);
    if (!is_scorable(hours[0]->events(), scored, b, reason))
        return std::nullopt;
    reason << name_of(rule.metric);
    double const bound = plain(rule.threshold);
    if (rule.condition == alert_condition::anomaly)
        return score_anomaly(plain(scored.value), bound, b.points, reason);
    double const probability = rule.condition == alert_condition::poisson ? poisson_score(scored, b, reason)
                                                                          : binomial_score(scored, b, reason);
    return is_improbable(probability, bound, reason);
}

} // namespace shadow
