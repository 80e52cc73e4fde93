#include "core/users/retention_model.hpp"

#include "core/base/error.hpp"

#include <algorithm>
#include <boost/math/policies/policy.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <boost/math/tools/fraction.hpp>
#include <boost/math/tools/toms748_solve.hpp>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

namespace shadow::sbg
{
namespace
{

namespace bp = boost::math::policies;

// Arguments are validated before Boost sees them, so it never has to complain.
using quiet = bp::policy<bp::promote_double<false>, bp::domain_error<bp::ignore_error>,
                         bp::pole_error<bp::ignore_error>, bp::overflow_error<bp::ignore_error>,
                         bp::evaluation_error<bp::ignore_error>>;

std::string to_text(double value)
{
    std::ostringstream out;
    out.imbue(std::locale::classic());
    out.precision(std::numeric_limits<double>::max_digits10 - 2);
    out << value;
    return out.str();
}

[[noreturn]] void refuse(const char *message, const std::string &detail, const char *hint = "")
{
    throw error(errc::invalid_argument, message, detail, hint);
}

void check_parameters(double alpha, double beta)
{
    constexpr char hint[] = "Pass the estimates of analytics.fit_sbg.";
    if (!(alpha >= least_parameter && alpha <= greatest_parameter))
        refuse("alpha must be between 0.0001 and 10000", "It is " + to_text(alpha) + ".", hint);
    if (!(beta >= least_parameter && beta <= greatest_parameter))
        refuse("beta must be between 0.0001 and 10000", "It is " + to_text(beta) + ".", hint);
}

void check_rate(double rate)
{
    if (!(rate >= 0 && std::isfinite(rate)))
        refuse("discount rate must not be negative", "It is " + to_text(rate) + ".",
               "Pass it per period and as a fraction: 0.1 is ten percent.");
}

// --- estimation --------------------------------------------------------------------------------------------

// A root of `f`, whose signs at the two ends differ; NaN if it is not reached.
template <typename F>
double find_root(F f, double low, double high)
{
    constexpr double resolution = 1e-14;
    std::uintmax_t iterations = 200;
    auto const close = [](double a, double b) { return b - a <= resolution * std::max(1.0, std::fabs(a)); };
    auto const bracket = boost::math::tools::toms748_solve(f, low, high, close, iterations, quiet());
    if (!close(bracket.first, bracket.second))
        return std::numeric_limits<double>::quiet_NaN();
    return bracket.first + (bracket.second - bracket.first) / 2;
}

// The likelihood in terms of the mean probability to leave, p = alpha / (alpha + beta), and the polarisation
// h = 1 / (alpha + beta). As the retention rate S(t) / S(t-1) is (beta + t - 1) / (alpha + beta + t - 1), the
// logarithm of the paper's likelihood is, without a special function and without cancellation,
//     sum over k = 0, 1, ... of lost_k ln p + kept_k ln(1 - p + k h) - at_risk_k ln(1 + k h)
// where at_risk_k = lost_k + kept_k users begin period k. For a given h it is concave in p.
class likelihood
{
public:
    // Counts as shares of the cohort: the estimates do not depend on its size.
    likelihood(const std::vector<std::int64_t> &survivors, interrupt_check check) : poll_(check)
    {
        auto const size = static_cast<double>(survivors.front());
        for (std::size_t k = 0; k + 1 < survivors.size(); ++k) {
            at_risk_.push_back(static_cast<double>(survivors[k]) / size);
            kept_.push_back(static_cast<double>(survivors[k + 1]) / size);
        }
        lost_ = static_cast<double>(survivors.front() - survivors.back()) / size;
    }

    // The logit of the best p for this h: the root of p (1 - p) times the derivative with respect to p.
    double best_logit(double h)
    {
        constexpr double far = 60; // 1e-26 is a smaller share than one user of 2^63
        return find_root([this, h](double logit) { return slope_in_logit(logit, h); }, -far, far);
    }

    // The derivative of the likelihood's maximum over p with respect to h (envelope theorem).
    double slope_in_polarisation(double h, double logit)
    {
        double const stay = 1 / (1 + std::exp(logit));
        double sum = 0;
        for (std::size_t i = 1; i < kept_.size(); ++i) {
            poll_();
            auto const k = static_cast<double>(i);
            sum += k * (kept_[i] / (stay + k * h) - at_risk_[i] / (1 + k * h));
        }
        return sum;
    }

    // Per user of the cohort.
    double value(double h, double logit)
    {
        double const stay = 1 / (1 + std::exp(logit));
        double sum = -lost_ * std::log1p(std::exp(-logit));
        for (std::size_t i = 0; i < kept_.size(); ++i) {
            poll_();
            auto const k = static_cast<double>(i);
            sum += kept_[i] * std::log(stay + k * h) - at_risk_[i] * std::log1p(k * h);
        }
        return sum;
    }

private:
    double slope_in_logit(double logit, double h)
    {
        double const leave = 1 / (1 + std::exp(-logit));
        double const stay = 1 / (1 + std::exp(logit));
        double sum = 0;
        for (std::size_t i = 0; i < kept_.size(); ++i) {
            poll_();
            sum += kept_[i] * (stay / (stay + static_cast<double>(i) * h));
        }
        return lost_ * stay - leave * sum;
    }

    std::vector<double> at_risk_;
    std::vector<double> kept_;
    double lost_;
    interrupt_poll poll_;
};

// The best p for one polarisation.
struct point {
    double log_h;
    double logit;
    double slope; // of the maximum with respect to h
    double value;
};

point profile(likelihood &function, double log_h)
{
    double const h = std::exp(log_h);
    double const logit = function.best_logit(h);
    return {log_h, logit, function.slope_in_polarisation(h, logit), function.value(h, logit)};
}

// All h that parameters within the limits can have.
const double lowest_log_h = -std::log(2 * greatest_parameter);
const double highest_log_h = -std::log(2 * least_parameter);

// The maximum over h: at an end or on a summit between. There can be one of each (20 17 17 17 17 17 17 17
// 14), so the slope is looked at three times a decade.
point maximise(likelihood &function)
{
    constexpr int steps = 25;
    constexpr auto log_h_of = [](int i) { return lowest_log_h + (highest_log_h - lowest_log_h) * i / steps; };
    auto const slope = [&](double log_h) { return profile(function, log_h).slope; };

    point left = profile(function, lowest_log_h);
    point best = profile(function, highest_log_h);
    if (!(left.value < best.value))
        best = left;
    for (int i = 1; i <= steps; ++i) {
        point const right = profile(function, log_h_of(i));
        if (left.slope > 0 && right.slope <= 0) {
            point const summit = profile(function, find_root(slope, left.log_h, right.log_h));
            if (!(summit.value < best.value)) // NaN, not found, is passed on
                best = summit;
        }
        left = right;
    }
    return best;
}

void check_counts(const std::vector<std::optional<std::int64_t>> &survivors)
{
    std::int64_t previous = std::numeric_limits<std::int64_t>::max();
    for (std::size_t period = 0; period < survivors.size(); ++period) {
        if (!survivors[period].has_value())
            continue;
        std::int64_t const count = *survivors[period];
        auto const detail = [&] {
            return "Period " + std::to_string(period) + " has " + std::to_string(count);
        };
        if (count < 0)
            refuse("survivors must not be negative", detail() + ".",
                   "Count the users of the cohort still there.");
        if (count > previous)
            refuse("survivors must not increase",
                   detail() + ", an earlier period has " + std::to_string(previous) + ".",
                   "Count the users seen in or after each period (unbounded retention).");
        previous = count;
    }
}

// What can be told without estimating.
outcome examine(const std::vector<std::int64_t> &survivors)
{
    if (survivors.empty() || survivors[0] == 0)
        return outcome::no_cohort;
    if (survivors.size() > 1 && survivors[1] == 0)
        return outcome::all_lost;
    if (survivors.size() < 3)
        return outcome::too_few_periods;
    if (survivors.back() == survivors.front())
        return outcome::no_losses;
    return outcome::converged;
}

estimate judge(const point &best, double size)
{
    double const sum = std::exp(-best.log_h);
    double const alpha = sum / (1 + std::exp(-best.logit));
    double const beta = sum / (1 + std::exp(best.logit));
    if (!std::isfinite(best.value))
        return {outcome::no_convergence, 0, 0, 0};
    if (best.log_h <= lowest_log_h || alpha > greatest_parameter || beta > greatest_parameter)
        return {outcome::flat_retention, 0, 0, 0};
    if (alpha < least_parameter || (best.log_h >= highest_log_h && alpha <= beta))
        return {outcome::alpha_vanishes, 0, 0, 0};
    if (beta < least_parameter)
        return {outcome::beta_vanishes, 0, 0, 0};
    return {outcome::converged, alpha, beta, best.value * size};
}

} // namespace

const char *explain(outcome result) noexcept
{
    switch (result) {
    case outcome::converged:
        return nullptr;
    case outcome::no_cohort:
        return "the cohort is empty";
    case outcome::unknown_period:
        return "the survivors of a period are unknown";
    case outcome::all_lost:
        return "all users were lost in the first period";
    case outcome::too_few_periods:
        return "fewer than 2 usable periods after the first";
    case outcome::no_losses:
        return "no user was lost";
    case outcome::flat_retention:
        return "alpha or beta above 10000: retention does not rise with age";
    case outcome::alpha_vanishes:
        return "alpha below 0.0001: hardly any user is lost after the first period";
    case outcome::beta_vanishes:
        return "beta below 0.0001: hardly any user stays beyond the first period";
    case outcome::no_convergence:
        break;
    }
    return "the estimation did not converge";
}

estimate fit(const std::vector<std::optional<std::int64_t>> &survivors, interrupt_check check)
{
    check_counts(survivors);
    auto const unknown = std::find(survivors.begin(), survivors.end(), std::nullopt);
    std::vector<std::int64_t> counts;
    for (auto i = survivors.begin(); i != unknown; ++i)
        counts.push_back(**i);
    if (std::any_of(unknown, survivors.end(), [](const auto &count) { return count.has_value(); }))
        return {outcome::unknown_period, 0, 0, 0};

    outcome const result = examine(counts);
    if (result != outcome::converged)
        return {result, 0, 0, 0};
    likelihood function(counts, check);
    return judge(maximise(function), static_cast<double>(counts.front()));
}

// S(t) = B(alpha, beta + t) / B(alpha, beta) as ratios of gamma functions whose arguments differ by at most
// 16: none of them can overflow or underflow, and none needs a difference of logarithms.
double survival(double alpha, double beta, std::int64_t period)
{
    check_parameters(alpha, beta);
    if (period < 0)
        refuse("period must not be negative", "It is " + std::to_string(period) + ".");
    constexpr double stride = 16;
    auto const age = static_cast<double>(period);
    double share = 1;
    for (double done = 0; done < alpha; done += stride) {
        double const step = std::min(stride, alpha - done);
        share *= boost::math::tgamma_delta_ratio(beta + done + age, step, quiet()) /
                 boost::math::tgamma_delta_ratio(beta + done, step, quiet());
    }
    return share;
}

double discounted_lifetime(double alpha, double beta, double rate, std::int64_t horizon,
                           interrupt_check check)
{
    check_parameters(alpha, beta);
    check_rate(rate);
    if (horizon < 0)
        refuse("horizon must not be negative", "It is " + std::to_string(horizon) + ".");
    interrupt_poll poll(check);
    double sum = 0;
    double term = 1;
    for (std::int64_t period = 0; period < horizon; ++period) {
        poll();
        auto const t = static_cast<double>(period);
        sum += term;
        term *= (beta + t) / ((alpha + beta + t) * (1 + rate));
        if (term * static_cast<double>(horizon - period) < sum * 1e-18)
            break; // terms decrease: what is left cannot be seen in the sum
    }
    return sum;
}

namespace
{

// Gauss's continued fraction of F(a, 1; c + 1; z), https://dlmf.nist.gov/15.7.E1 with b = 0:
// c / (c - u1 z / (c + 1 - u2 z / (c + 2 - ...))), u of odd index (a + n)(c + n), of even n (c - a + n).
class gauss_fraction
{
public:
    using result_type = std::pair<double, double>; // what Boost asks of a generator

    gauss_fraction(double a, double c, double z) : a_(a), c_(c), z_(z) {}
    result_type operator()()
    {
        int const index = index_++;
        double const n = index / 2; // NOLINT: integer division is meant
        double const u = index % 2 != 0 ? (a_ + n) * (c_ + n) : n * (c_ - a_ + n);
        return {-u * z_, c_ + index};
    }

private:
    double a_;
    double c_;
    double z_;
    int index_ = 0;
};

} // namespace

// 1 + z S(1) F(beta + 1, 1; alpha + beta + 1; z), z = 1 / (1 + rate).
double discounted_lifetime(double alpha, double beta, double rate)
{
    constexpr double least_rate = 1e-9; // the fraction takes about 20 / sqrt(rate) terms
    check_parameters(alpha, beta);
    check_rate(rate);
    if (rate == 0)
        return alpha > 1 ? (alpha + beta - 1) / (alpha - 1) : std::numeric_limits<double>::infinity();
    if (rate < least_rate)
        refuse("discount rate must be 0 or at least 1e-9", "It is " + to_text(rate) + ".");
    double const z = 1 / (1 + rate);
    double const c = alpha + beta;
    gauss_fraction fraction(beta + 1, c, z);
    std::uintmax_t terms = 10'000'000;
    double const value =
        c / boost::math::tools::continued_fraction_b(fraction, std::numeric_limits<double>::epsilon(), terms);
    return 1 + z * (beta / c) * value;
}

} // namespace shadow::sbg
