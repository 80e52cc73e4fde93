#pragma once
// The shifted-beta-geometric model of retention: each user leaves at the end of a period with a
// constant probability of its own, and these probabilities are Beta(alpha, beta) distributed over the cohort.
// Fader, P. S. & Hardie, B. G. S. (2007), "How to project customer retention", Journal of Interactive Marketing
// 21(1), 76-90.

#include "core/base/interrupt.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace shadow::sbg
{

// The parameters that are estimated and accepted; outside them the model is a limiting case with one
// parameter less, and its estimates mean nothing.
constexpr double least_parameter = 1e-4;
constexpr double greatest_parameter = 1e4;

enum class outcome {
    converged,
    no_cohort,       // nobody at period 0
    unknown_period,  // a count is missing before the last known one
    all_lost,        // nobody reached period 1
    too_few_periods, // one transition cannot determine two parameters
    no_losses,
    flat_retention, // alpha or beta above greatest_parameter
    alpha_vanishes,
    beta_vanishes,
    no_convergence
};

// Why there is no estimate, for people; nullptr for converged.
const char *explain(outcome result) noexcept;

struct estimate {
    outcome result;
    double alpha; // this and the following: only if converged
    double beta;
    double log_likelihood;
};

// Maximum likelihood from the users still there at the beginning (period 0) and after 1, 2, ... periods.
// Unknown counts at the end are periods to come. Negative or increasing counts are errors; whatever else
// prevents an estimate is an outcome. Invariant under multiplication of all counts.
estimate fit(const std::vector<std::optional<std::int64_t>> &survivors, interrupt_check check = nullptr);

// S(period): the share of the cohort that is still there after so many periods.
double survival(double alpha, double beta, std::int64_t period);

// The sum of S(t) / (1 + rate)^t over t = 0 .. horizon - 1: periods that a new user is expected to stay, as
// of today's worth. `rate` is per period.
double discounted_lifetime(double alpha, double beta, double rate, std::int64_t horizon,
                           interrupt_check check = nullptr);

// The same without horizon; needs rate >= 0, and is infinite for rate = 0 and alpha <= 1.
double discounted_lifetime(double alpha, double beta, double rate);

} // namespace shadow::sbg
