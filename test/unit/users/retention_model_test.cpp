#include "core/users/retention_model.hpp"

#include "core/base/error.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace sbg = shadow::sbg;
using counts = std::vector<std::optional<std::int64_t>>;

namespace
{

const counts regular = {1000, 631, 468, 382, 326, 289, 262, 241};
const counts high_end = {1000, 869, 743, 653, 593, 551, 517, 491};

// As the paper has it: the sum of lost ln P(T = t), and the survivors' ln S(n), by beta functions.
double log_likelihood(const counts &survivors, double alpha, double beta)
{
    auto const log_beta = [](double a, double b) {
        return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
    };
    auto const log_base = log_beta(alpha, beta);
    double sum = 0;
    for (std::size_t t = 1; t < survivors.size(); ++t) {
        auto const lost = static_cast<double>(*survivors[t - 1] - *survivors[t]);
        sum += lost * (log_beta(alpha + 1, beta + static_cast<double>(t) - 1) - log_base);
    }
    auto const n = static_cast<double>(survivors.size() - 1);
    return sum + static_cast<double>(*survivors.back()) * (log_beta(alpha, beta + n) - log_base);
}

// A cohort in which each user has a probability to leave of his own.
counts simulate(std::mt19937_64 &random, double alpha, double beta, int users, int periods)
{
    std::gamma_distribution<double> first(alpha, 1);
    std::gamma_distribution<double> second(beta, 1);
    std::vector<std::int64_t> staying(static_cast<std::size_t>(periods) + 1);
    for (int user = 0; user < users; ++user) {
        double const x = first(random);
        std::bernoulli_distribution leave(x / (x + second(random)));
        for (auto &count : staying) {
            ++count;
            if (leave(random))
                break;
        }
    }
    return {staying.begin(), staying.end()};
}

counts random_cohort(std::mt19937_64 &random)
{
    std::uniform_real_distribution<double> share(0, 1);
    std::int64_t const sizes[] = {1, 3, 20, 1000, 1'000'000, INT64_MAX};
    counts survivors = {sizes[random() % 6]};
    double const hold = share(random);
    auto const periods = random() % 40;
    for (std::uint64_t i = 0; i < periods; ++i) {
        double const keep = share(random) < hold ? 1 : share(random);
        auto const next = static_cast<double>(*survivors.back()) * keep;
        survivors.push_back(keep == 1 ? *survivors.back() : static_cast<std::int64_t>(next));
    }
    return survivors;
}

sbg::outcome outcome_of(const counts &survivors)
{
    return sbg::fit(survivors).result;
}

} // namespace

TEST(Sbg, PublishedEstimates)
{
    auto const r = sbg::fit(regular);
    ASSERT_EQ(r.result, sbg::outcome::converged);
    EXPECT_NEAR(r.alpha, 0.704077, 1e-6);
    EXPECT_NEAR(r.beta, 1.182043, 1e-6);
    EXPECT_NEAR(r.log_likelihood, -1680.2652, 1e-4);
    auto const h = sbg::fit(high_end);
    ASSERT_EQ(h.result, sbg::outcome::converged);
    EXPECT_NEAR(h.alpha, 0.668088, 1e-6);
    EXPECT_NEAR(h.beta, 3.806095, 1e-6);
    EXPECT_NEAR(h.log_likelihood, -1611.1581, 1e-4);
}

// Fitted survival in percent, periods 1 to 12 (the last five are forecasts).
TEST(Sbg, PublishedSurvival)
{
    double const published[2][12] = {
        {62.671, 47.382, 38.797, 33.207, 29.235, 26.246, 23.902, 22.008, 20.441, 19.119, 17.986, 17.004},
        {85.068, 74.686, 66.979, 60.992, 56.183, 52.222, 48.891, 46.044, 43.578, 41.417, 39.506, 37.800}};
    for (int i = 0; i < 2; ++i) {
        auto const e = sbg::fit(i == 0 ? regular : high_end);
        for (int t = 1; t <= 12; ++t)
            EXPECT_NEAR(100 * sbg::survival(e.alpha, e.beta, t), published[i][t - 1], 6e-4) << i << ' ' << t;
    }
}

TEST(Sbg, PublishedLifetimes)
{
    auto const r = sbg::fit(regular);
    EXPECT_NEAR(sbg::discounted_lifetime(r.alpha, r.beta, 0.1), 3.694908, 1e-6);
    EXPECT_NEAR(sbg::discounted_lifetime(r.alpha, r.beta, 0.1, 36), 3.669812, 1e-6);
    auto const h = sbg::fit(high_end);
    EXPECT_NEAR(sbg::discounted_lifetime(h.alpha, h.beta, 0.1), 5.922253, 1e-6);
    EXPECT_NEAR(sbg::discounted_lifetime(h.alpha, h.beta, 0.1, 36), 5.858832, 1e-6);
}

TEST(Sbg, LikelihoodIsThatOfThePaper)
{
    for (auto const &survivors : {regular, high_end}) {
        auto const e = sbg::fit(survivors);
        EXPECT_NEAR(e.log_likelihood, log_likelihood(survivors, e.alpha, e.beta), 1e-9);
    }
}

TEST(Sbg, OnePairOfTransitionsIsMatchedExactly)
{
    // two transitions determine two parameters: the fit must reproduce 80 % and 90 %
    auto const e = sbg::fit({1000, 800, 720});
    ASSERT_EQ(e.result, sbg::outcome::converged);
    EXPECT_NEAR(sbg::survival(e.alpha, e.beta, 1), 0.80, 1e-12);
    EXPECT_NEAR(sbg::survival(e.alpha, e.beta, 2), 0.72, 1e-12);
}

TEST(Sbg, RecoversTheTruthFromExpectedCounts)
{
    for (double const alpha : {0.01, 0.3, 1.0, 5.0, 300.0})
        for (double const beta : {0.01, 0.7, 2.0, 40.0, 2000.0}) {
            counts survivors;
            for (int t = 0; t <= 24; ++t)
                survivors.push_back(std::llround(1e15 * sbg::survival(alpha, beta, t)));
            auto const e = sbg::fit(survivors);
            ASSERT_EQ(e.result, sbg::outcome::converged) << alpha << ' ' << beta;
            EXPECT_NEAR(e.alpha / alpha, 1, 1e-6) << alpha << ' ' << beta;
            EXPECT_NEAR(e.beta / beta, 1, 1e-6) << alpha << ' ' << beta;
        }
}

TEST(Sbg, RecoversTheTruthFromSimulatedUsers)
{
    std::mt19937_64 random(2007);
    double bias = 0;
    constexpr int repetitions = 20;
    for (int i = 0; i < repetitions; ++i) {
        auto const e = sbg::fit(simulate(random, 0.7, 1.2, 20000, 12));
        ASSERT_EQ(e.result, sbg::outcome::converged);
        EXPECT_NEAR(e.alpha, 0.7, 5 * 0.0131); // five standard errors, as measured over 100 cohorts
        EXPECT_NEAR(e.beta, 1.2, 5 * 0.0343);
        bias += (e.alpha - 0.7) / repetitions;
    }
    EXPECT_NEAR(bias, 0, 0.012);
}

TEST(Sbg, NoPointOfAGridIsBetter)
{
    std::mt19937_64 random(1);
    int fitted = 0;
    for (int i = 0; i < 300; ++i) {
        auto survivors = random_cohort(random);
        survivors.resize(std::min<std::size_t>(survivors.size(), 14));
        if (*survivors.front() > 1'000'000)
            continue; // lgamma's own rounding would be larger than the differences
        auto const e = sbg::fit(survivors);
        if (e.result != sbg::outcome::converged)
            continue;
        ++fitted;
        double const tolerance = 1e-11 * std::fabs(e.log_likelihood) + 1e-7;
        for (double a = -4; a <= 4; a += 0.25)
            for (double b = -4; b <= 4; b += 0.25)
                ASSERT_LE(log_likelihood(survivors, std::pow(10, a), std::pow(10, b)),
                          e.log_likelihood + tolerance)
                    << a << ' ' << b;
    }
    EXPECT_GT(fitted, 30);
}

TEST(Sbg, OnlyProportionsMatter)
{
    for (std::int64_t const factor : {2, 3, 1000, 1'000'000'000}) {
        counts scaled;
        for (auto const &count : regular)
            scaled.push_back(*count * factor);
        auto const one = sbg::fit(regular);
        auto const many = sbg::fit(scaled);
        EXPECT_EQ(one.alpha, many.alpha);
        EXPECT_EQ(one.beta, many.beta);
        EXPECT_NEAR(many.log_likelihood / one.log_likelihood / static_cast<double>(factor), 1, 1e-14);
    }
}

TEST(Sbg, RandomCohortsNeverFail)
{
    std::mt19937_64 random(3);
    int fitted = 0;
    for (int i = 0; i < 20000; ++i) {
        auto const e = sbg::fit(random_cohort(random));
        ASSERT_NE(e.result, sbg::outcome::no_convergence);
        if (e.result != sbg::outcome::converged)
            continue;
        ++fitted;
        ASSERT_TRUE(e.alpha >= sbg::least_parameter && e.alpha <= sbg::greatest_parameter);
        ASSERT_TRUE(e.beta >= sbg::least_parameter && e.beta <= sbg::greatest_parameter);
        ASSERT_TRUE(std::isfinite(e.log_likelihood) && e.log_likelihood < 0);
    }
    EXPECT_GT(fitted, 2000);
}

TEST(Sbg, OutcomesWithoutEstimate)
{
    using o = sbg::outcome;
    EXPECT_EQ(outcome_of({}), o::no_cohort);
    EXPECT_EQ(outcome_of({0, 0, 0}), o::no_cohort);
    EXPECT_EQ(outcome_of({std::nullopt}), o::no_cohort);
    EXPECT_EQ(outcome_of({9, std::nullopt, 8}), o::unknown_period);
    EXPECT_EQ(outcome_of({std::nullopt, 8, 7, 6}), o::unknown_period);
    EXPECT_EQ(outcome_of({9, 0, 0}), o::all_lost);
    EXPECT_EQ(outcome_of({9, 8}), o::too_few_periods);
    EXPECT_EQ(outcome_of({9, 8, std::nullopt}), o::too_few_periods);
    EXPECT_EQ(outcome_of({9, 9, 9}), o::no_losses);
    EXPECT_EQ(outcome_of({1000, 500, 250, 125}), o::flat_retention);
    EXPECT_EQ(outcome_of({1000, 500, 500, 500}), o::alpha_vanishes);
    EXPECT_EQ(outcome_of({1000, 1, 1, 1}), o::beta_vanishes);
    EXPECT_EQ(sbg::explain(o::converged), nullptr);
    for (int i = 1; i <= static_cast<int>(o::no_convergence); ++i)
        EXPECT_NE(sbg::explain(static_cast<o>(i)), nullptr);
}

TEST(Sbg, ImpossibleArgumentsAreErrors)
{
    EXPECT_THROW(sbg::fit({9, -1}), shadow::error);
    EXPECT_THROW(sbg::fit({9, 5, 6}), shadow::error);
    EXPECT_THROW(sbg::fit({9, std::nullopt, 10}), shadow::error);
    for (double const bad : {0.0, -1.0, 1e-5, 1e5, HUGE_VAL, std::nan("")}) {
        EXPECT_THROW(sbg::survival(bad, 1, 1), shadow::error);
        EXPECT_THROW(sbg::survival(1, bad, 1), shadow::error);
        EXPECT_THROW(sbg::discounted_lifetime(bad, 1, 0.1), shadow::error);
    }
    for (double const bad : {-0.1, HUGE_VAL, std::nan("")}) {
        EXPECT_THROW(sbg::discounted_lifetime(1, 1, bad), shadow::error);
        EXPECT_THROW(sbg::discounted_lifetime(1, 1, bad, 1), shadow::error);
    }
    EXPECT_THROW(sbg::survival(1, 1, -1), shadow::error);
    EXPECT_THROW(sbg::discounted_lifetime(1, 1, 0.1, -1), shadow::error);
}

// S(t) = S(t-1) (beta + t - 1) / (alpha + beta + t - 1), the paper's retention rate.
TEST(Sbg, SurvivalIsTheProductOfRetentions)
{
    for (double const alpha : {1e-4, 0.3, 16.0, 40.0, 1e4})
        for (double const beta : {1e-4, 0.5, 3.0, 1e4}) {
            long double product = 1;
            for (int t = 0; t < 5000 && product > 1e-300; ++t) {
                ASSERT_NEAR(sbg::survival(alpha, beta, t) / static_cast<double>(product), 1, 1e-13);
                product *=
                    (static_cast<long double>(beta) + t) / (static_cast<long double>(alpha) + beta + t);
            }
        }
    EXPECT_EQ(sbg::survival(1e4, 1e-4, INT64_MAX), 0);
    EXPECT_NEAR(sbg::survival(1e-4, 1e4, INT64_MAX), std::pow(9223372036854775807.0 / 1e4, -1e-4), 1e-8);
}

TEST(Sbg, UnboundedLifetimeIsTheLimit)
{
    for (double const alpha : {1e-4, 0.3, 0.9, 1.5, 40.0, 1e4})
        for (double const beta : {1e-4, 0.5, 3.0, 1e4})
            for (double const rate : {1e-4, 0.01, 0.1, 3.0})
                EXPECT_NEAR(sbg::discounted_lifetime(alpha, beta, rate) /
                                sbg::discounted_lifetime(alpha, beta, rate, INT64_MAX),
                            1, 1e-11)
                    << alpha << ' ' << beta << ' ' << rate;
    EXPECT_EQ(sbg::discounted_lifetime(3, 5, 0), 3.5); // the mean of 1 / p
    EXPECT_NEAR(sbg::discounted_lifetime(3, 5, 1e-9), 3.5, 1e-7);
    EXPECT_EQ(sbg::discounted_lifetime(1, 5, 0), INFINITY);
    EXPECT_EQ(sbg::discounted_lifetime(1, 5, 0.1, 0), 0);
    EXPECT_EQ(sbg::discounted_lifetime(1, 5, 0.1, 1), 1);
}

TEST(Sbg, CanBeCancelled)
{
    counts survivors;
    for (std::int64_t i = 0; i < 20000; ++i)
        survivors.push_back(1'000'000 - i);
    EXPECT_THROW(sbg::fit(survivors, [] { return true; }), shadow::cancelled);
    EXPECT_THROW(sbg::discounted_lifetime(1e-4, 1e4, 0, INT64_MAX, [] { return true; }), shadow::cancelled);
}
