#pragma once
// Variants of an experiment: get_experiment, and the statistics of two shares.

#include "core/questions/question.hpp"

namespace shadow::questions
{

// NaN: there is none.
struct comparison {
    double difference, difference_low, difference_high;         // Newcombe's hybrid score interval
    double lift;                                                // in percent
    double p_value;                                             // two-sided pooled z-test
    double probability_better;                                  // with uniform priors
    double sequential_p_value, sequential_low, sequential_high; // mixture SPRT: valid however often one looks
};

// Conversions among users of the control and of the variant; expected_effect > 0: standard deviation of the
// mixture. Throws error for counts that are none.
comparison compare_conversions(std::int64_t control_users, std::int64_t control_conversions,
                               std::int64_t variant_users, std::int64_t variant_conversions,
                               double expected_effect);

struct interval {
    double low, high;
};
// Wilson's score interval of a share, 95 %; NaN without users.
interval score_interval(std::int64_t conversions, std::int64_t users) noexcept;

// The p-value of equal shares by chi-square; NaN for fewer than two.
double equal_shares_p_value(const std::vector<std::int64_t> &users);

table answer_experiment(question_host &host, const question_settings &settings, const json &definition);

} // namespace shadow::questions
