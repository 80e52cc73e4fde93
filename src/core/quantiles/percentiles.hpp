#pragma once
// Sample quantiles: the nine types of Hyndman & Fan, "Sample Quantiles in Statistical Packages",
// The American Statistician 50 (1996) 361-365, as R's quantile(type = 1..9) computes them.

#include "core/base/interrupt.hpp"

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <string_view>

namespace shadow
{

// The paper's numbers; the names are numpy's.
enum class quantile_type : std::uint8_t {
    inverted_cdf = 1, // PostgreSQL's percentile_disc
    averaged_inverted_cdf,
    closest_observation,
    interpolated_inverted_cdf,
    hazen,
    weibull,
    linear, // PostgreSQL's percentile_cont, and the default everywhere
    median_unbiased,
    normal_unbiased
};

// One of numpy's names or a digit 1 to 9; throws error for others.
quantile_type quantile_type_from_text(std::string_view method);

// Types 4 to 9 interpolate at position a + p * (n + 1 - a - b), counted from 1; a and b over the denominator.
struct plotting_position {
    int denominator;
    int a;
    int b;
};
plotting_position plotting_position_of(quantile_type type) noexcept; // types 4..9

// Two order statistics, counted from 0, and the share of the upper one in the answer.
struct quantile_position {
    std::size_t lower;
    std::size_t upper;
    double weight;
};

// Where the quantile lies among count >= 1 values; 0 <= fraction <= 1.
quantile_position locate_quantile(quantile_type type, double fraction, std::size_t count) noexcept;

// The order statistics `position` (counted from 1, any integer) and the one after it, held inside 1..count.
quantile_position hold_inside(std::int64_t position, double weight, std::size_t count) noexcept;

// lower + weight * (upper - lower), as percentile_cont computes it, but never NaN or infinite for finite
// values, and with infinities kept: only -infinity with infinity has no value in between.
double interpolate(double lower, double upper, double weight) noexcept;

// Throws the error for a fraction outside 0..1; `text` shows it, `place` counts from 1.
[[noreturn]] void refuse_fraction(std::string_view text, std::size_t place);
void check_fractions(const double *fractions, std::size_t count);

// out[i] = the quantile of fractions[i] (each checked) of count >= 1 values, which may be in any order.
void compute_percentiles(const double *values, std::size_t count, quantile_type type, const double *fractions,
                         std::size_t fraction_count, double *out, std::pmr::memory_resource *memory,
                         interrupt_check check);

} // namespace shadow
