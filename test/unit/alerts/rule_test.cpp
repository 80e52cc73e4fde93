// Conditions, scores and states of alert rules, against published numbers and rules of doc/metrics.md.

#include "core/alerts/rule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

using namespace shadow;

namespace
{

constexpr std::int64_t minute = 60'000'000;
constexpr int128 unit = 1'000'000'000;

std::optional<double> score(double x, std::vector<double> points)
{
    return modified_z_score(x, points.data(), points.size());
}

TEST(alert_conditions, compare_exactly_but_equality_in_hundredths)
{
    int128 const five = 5 * unit;
    EXPECT_TRUE(condition_holds(alert_condition::greater_than, five + 1, five, 0));
    EXPECT_FALSE(condition_holds(alert_condition::greater_than, five, five, 0));
    EXPECT_TRUE(condition_holds(alert_condition::less_than, five - 1, five, 0));
    EXPECT_FALSE(condition_holds(alert_condition::less_than, five, five, 0));
    int128 const almost_half = unit / 200 - 1; // rounds down to the same hundredth
    EXPECT_TRUE(condition_holds(alert_condition::equals, five + almost_half, five, 0));
    EXPECT_FALSE(condition_holds(alert_condition::equals, five + almost_half + 1, five, 0));
    EXPECT_TRUE(condition_holds(alert_condition::not_equals, five + almost_half + 1, five, 0));
    EXPECT_TRUE(condition_holds(alert_condition::between, five, five, five));
    EXPECT_FALSE(condition_holds(alert_condition::between, five + 1, 0, five));
    EXPECT_FALSE(condition_holds(alert_condition::between, -1, 0, five));
}

// median 3, deviations 2 1 0 1 2, MAD 1: Iglewicz & Hoaglin's 0.6745 (x - 3)
TEST(alert_scores, modified_z_score)
{
    EXPECT_DOUBLE_EQ(*score(10, {5, 3, 1, 2, 4}), 0.6745 * 7);
    EXPECT_DOUBLE_EQ(*score(3, {1, 2, 3, 4, 5}), 0);
    EXPECT_LT(*score(0, {1, 2, 3, 4, 5}), 0);
    // an even number of points: median 2.5, deviations 1.5 .5 .5 1.5, MAD 1
    EXPECT_DOUBLE_EQ(*score(10, {1, 2, 3, 4}), 0.6745 * 7.5);
}

TEST(alert_scores, zero_mad_uses_the_mean_absolute_deviation_and_a_constant_baseline_has_no_score)
{
    EXPECT_DOUBLE_EQ(*score(13, {5, 5, 5, 5, 13}), (13 - 5) / (1.253314 * 8 / 5));
    EXPECT_FALSE(score(99, {5, 5, 5}).has_value());
}

// P(X >= 1) = 1 - exp(-mean); P(X >= 2) = 1 - exp(-mean) (1 + mean)
TEST(alert_scores, poisson_tail)
{
    for (double const mean : {0.01, 0.5, 3.0, 40.0}) {
        EXPECT_EQ(poisson_tail(0, mean), 1);
        EXPECT_NEAR(poisson_tail(1, mean), 1 - std::exp(-mean), 1e-14);
        EXPECT_NEAR(poisson_tail(2, mean), 1 - std::exp(-mean) * (1 + mean), 1e-14);
    }
    EXPECT_EQ(poisson_tail(3, 0), 0);
    // a sum far out in the tail, where 1 - cdf would be 0
    double sum = 0, term = std::exp(-2.0);
    for (int k = 1; k <= 120; ++k) {
        term *= 2.0 / k;
        sum += k >= 40 ? term : 0;
    }
    EXPECT_NEAR(poisson_tail(40, 2) / sum, 1, 1e-10);
}

TEST(alert_scores, binomial_tail_is_the_sum_of_its_terms)
{
    for (int const n : {1, 7, 30})
        for (double const p : {0.001, 0.3, 0.9}) {
            double sum = 0;
            for (int k = n; k >= 0; --k) {
                sum += std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0)) *
                       std::pow(p, k) * std::pow(1 - p, n - k);
                EXPECT_NEAR(binomial_tail(k, n, p) / sum, 1, 1e-10) << k << " of " << n << ", " << p;
            }
        }
    EXPECT_EQ(binomial_tail(0, 10, 0), 1);
    EXPECT_EQ(binomial_tail(1, 10, 0), 0);
    EXPECT_EQ(binomial_tail(10, 10, 1), 1);
    EXPECT_EQ(binomial_tail(11, 10, 0.5), 0);
}

// A run of the state machine: one letter per minute, y condition holds, n does not, - no data.
std::string states(const char *conditions, int for_minutes, no_data_policy policy, int *fired = nullptr)
{
    std::string result;
    alert_state state = alert_state::ok;
    std::int64_t since = 0, now = 0;
    for (const char *c = conditions; *c != '\0'; ++c, now += minute) {
        auto const holds = *c == '-' ? std::nullopt : std::optional<bool>(*c == 'y');
        alert_step const step = next_state(state, since, holds, policy, for_minutes * minute, now);
        if (fired != nullptr)
            *fired += step.fires;
        result += step.resolves ? 'R' : "opf"[static_cast<int>(step.state)];
        state = step.state;
        since = step.since;
    }
    return result;
}

TEST(alert_states, fire_once_per_episode)
{
    int fired = 0;
    EXPECT_EQ(states("nnyyynnyn", 0, no_data_policy::ok, &fired), "oofffRofR");
    EXPECT_EQ(fired, 2);
}

TEST(alert_states, are_pending_until_the_condition_has_held_long_enough)
{
    EXPECT_EQ(states("yyyyn", 3, no_data_policy::ok), "pppfR");
    EXPECT_EQ(states("yynyyyy", 3, no_data_policy::ok), "ppopppf");
}

TEST(alert_states, follow_the_rule_for_missing_data)
{
    EXPECT_EQ(states("y--n", 0, no_data_policy::ok), "fRoo");
    EXPECT_EQ(states("y--n", 0, no_data_policy::keep), "fffR");
    EXPECT_EQ(states("n--n", 0, no_data_policy::keep), "oooo");
    EXPECT_EQ(states("n--n", 0, no_data_policy::alert), "offR");
    EXPECT_EQ(states("y--n", 2, no_data_policy::keep), "pppo"); // missing data do not make it fire
}

TEST(alert_states, an_earlier_clock_neither_fires_nor_fails)
{
    alert_step const step =
        next_state(alert_state::pending, 10 * minute, true, no_data_policy::ok, 5 * minute, 3 * minute);
    EXPECT_EQ(step.state, alert_state::pending);
}

} // namespace
