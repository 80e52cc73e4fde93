#include "core/alerts/rule.hpp"

#include "core/base/decimal.hpp"

#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>

#include <cmath>

namespace shadow
{

bool condition_holds(alert_condition condition, int128 value, int128 threshold, int128 threshold_max) noexcept
{
    constexpr int128 hundredth = nano / 100;
    bool const equal = divide_rounded(value, hundredth) == divide_rounded(threshold, hundredth);
    switch (condition) {
    case alert_condition::greater_than:
        return value > threshold;
    case alert_condition::less_than:
        return value < threshold;
    case alert_condition::equals:
        return equal;
    case alert_condition::not_equals:
        return !equal;
    case alert_condition::between:
        return value >= threshold && value <= threshold_max;
    default:
        return false;
    }
}

static double median_of_sorted(const double *sorted, std::size_t n) noexcept
{
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

std::optional<double> modified_z_score(double x, double *points, std::size_t n)
{
    std::sort(points, points + n);
    double const median = median_of_sorted(points, n);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        points[i] = std::fabs(points[i] - median);
        sum += points[i];
    }
    std::sort(points, points + n);
    double const mad = median_of_sorted(points, n);
    if (mad > 0)
        return 0.6745 * (x - median) / mad;
    if (sum > 0)
        return (x - median) / (1.253314 * (sum / static_cast<double>(n)));
    return std::nullopt;
}

// No exceptions and no errno: the arguments are inside the functions' domains.
using quiet = boost::math::policies::policy<
    boost::math::policies::promote_double<false>,
    boost::math::policies::domain_error<boost::math::policies::ignore_error>,
    boost::math::policies::overflow_error<boost::math::policies::ignore_error>,
    boost::math::policies::evaluation_error<boost::math::policies::ignore_error>>;

double poisson_tail(std::int64_t k, double mean)
{
    if (k <= 0)
        return 1;
    if (mean <= 0)
        return 0;
    return boost::math::gamma_p(static_cast<double>(k), mean, quiet());
}

double binomial_tail(std::int64_t k, std::int64_t n, double p)
{
    if (k <= 0 || p >= 1)
        return 1;
    if (k > n || p <= 0)
        return 0;
    return boost::math::ibeta(static_cast<double>(k), static_cast<double>(n - k) + 1, p, quiet());
}

alert_step next_state(alert_state state, std::int64_t since, std::optional<bool> holds,
                      no_data_policy no_data, std::int64_t for_microseconds, std::int64_t now) noexcept
{
    if (!holds && no_data == no_data_policy::keep)
        return {state, since, false, false};
    bool const is_bad = holds.value_or(no_data == no_data_policy::alert);
    if (!is_bad) {
        bool const was_firing = state == alert_state::firing;
        return {alert_state::ok, state == alert_state::ok ? since : now, false, was_firing};
    }
    if (state == alert_state::firing)
        return {state, since, false, false};
    std::int64_t const pending_since = state == alert_state::pending ? since : now;
    if (now - pending_since >= for_microseconds)
        return {alert_state::firing, now, true, false};
    return {alert_state::pending, pending_since, false, false};
}

} // namespace shadow
