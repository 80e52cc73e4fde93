#include "core/quantiles/percentiles.hpp"

#include "core/base/error.hpp"
#include "core/base/selection.hpp"

#include <charconv>
#include <cmath>

namespace shadow
{

static constexpr std::string_view type_names[] = {"inverted_cdf",
                                                  "averaged_inverted_cdf",
                                                  "closest_observation",
                                                  "interpolated_inverted_cdf",
                                                  "hazen",
                                                  "weibull",
                                                  "linear",
                                                  "median_unbiased",
                                                  "normal_unbiased"};

quantile_type quantile_type_from_text(std::string_view method)
{
    if (method.size() == 1 && method[0] >= '1' && method[0] <= '9')
        return static_cast<quantile_type>(method[0] - '0');
    auto const *const found = std::find(std::begin(type_names), std::end(type_names), method);
    if (found != std::end(type_names))
        return static_cast<quantile_type>(found - std::begin(type_names) + 1);
    std::string names;
    for (std::string_view const known : type_names)
        names.append(", ").append(known);
    throw error(
        errc::invalid_argument, "unknown percentile method",
        "Method is \"" + std::string(method.substr(0, 200)) + "\".",
        "Methods are 1 to 9, the types of Hyndman and Fan (1996), or their names: " + names.substr(2) + ".");
}

plotting_position plotting_position_of(quantile_type type) noexcept
{
    switch (type) {
    case quantile_type::interpolated_inverted_cdf:
        return {1, 0, 1};
    case quantile_type::hazen:
        return {2, 1, 1};
    case quantile_type::weibull:
        return {1, 0, 0};
    case quantile_type::median_unbiased:
        return {3, 1, 1};
    case quantile_type::normal_unbiased:
        return {8, 3, 3};
    default:
        return {1, 1, 1};
    }
}

quantile_position hold_inside(std::int64_t position, double weight, std::size_t count) noexcept
{
    auto const last = static_cast<std::int64_t>(count);
    auto const hold = [last](std::int64_t p) {
        return static_cast<std::size_t>(std::clamp<std::int64_t>(p, 1, last) - 1);
    };
    if (weight == 0)
        return {hold(position), hold(position), 0};
    if (weight == 1)
        return {hold(position + 1), hold(position + 1), 0};
    return {hold(position), hold(position + 1), weight};
}

// R accepts this much rounding in n * p before it takes the next order statistic.
static constexpr double fuzz = 4 * std::numeric_limits<double>::epsilon();

// Types 1 to 3 are steps: the weight is 0, 1/2 or 1.
static quantile_position locate_step(quantile_type type, double fraction, std::size_t count) noexcept
{
    bool const is_closest = type == quantile_type::closest_observation;
    double const place = static_cast<double>(count) * fraction - (is_closest ? 0.5 : 0.0);
    double const whole = std::floor(place + fuzz);
    double weight = place > whole ? 1 : 0;
    if (type == quantile_type::averaged_inverted_cdf)
        weight = (weight + 1) / 2;
    if (is_closest)
        weight = place != whole || std::fmod(whole, 2) != 0 ? 1 : 0; // a tie goes to the even one
    return hold_inside(static_cast<std::int64_t>(whole), weight, count);
}

quantile_position locate_quantile(quantile_type type, double fraction, std::size_t count) noexcept
{
    if (type <= quantile_type::closest_observation)
        return locate_step(type, fraction, count);
    if (type == quantile_type::linear) { // as percentile_cont, without the fuzz
        double const place = fraction * static_cast<double>(count - 1);
        double const whole = std::floor(place);
        return hold_inside(static_cast<std::int64_t>(whole) + 1, place - whole, count);
    }
    auto const rule = plotting_position_of(type);
    double const a = static_cast<double>(rule.a) / rule.denominator;
    double const b = static_cast<double>(rule.b) / rule.denominator;
    double const place = a + fraction * (static_cast<double>(count) + 1 - a - b);
    double const whole = std::floor(place + fuzz);
    double const weight = place - whole;
    return hold_inside(static_cast<std::int64_t>(whole), std::abs(weight) < fuzz ? 0 : weight, count);
}

double interpolate(double lower, double upper, double weight) noexcept
{
    double const distance = upper - lower;
    if (std::isfinite(distance))
        return lower + weight * distance;
    if (lower == upper)
        return lower;
    return (1 - weight) * lower + weight * upper; // infinities, NaN, or a distance beyond the largest double
}

void refuse_fraction(std::string_view text, std::size_t place)
{
    throw error(errc::invalid_argument, "fraction is not between 0 and 1",
                "Fraction number " + std::to_string(place) + " is " + std::string(text.substr(0, 200)) + ".",
                "Write 0.95 for the 95th percentile.");
}

void check_fractions(const double *fractions, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i) {
        if (fractions[i] >= 0 && fractions[i] <= 1)
            continue;
        char text[32];
        auto const end = std::to_chars(text, text + sizeof text, fractions[i]).ptr;
        if (std::isnan(fractions[i]))
            refuse_fraction("NaN", i + 1);
        refuse_fraction({text, static_cast<std::size_t>(end - text)}, i + 1);
    }
}

void compute_percentiles(const double *values, std::size_t count, quantile_type type, const double *fractions,
                         std::size_t fraction_count, double *out, std::pmr::memory_resource *memory,
                         interrupt_check check)
{
    std::pmr::vector<std::size_t> ranks(memory);
    ranks.reserve(2 * fraction_count);
    for (std::size_t i = 0; i < fraction_count; ++i) {
        auto const position = locate_quantile(type, fractions[i], count);
        ranks.push_back(position.lower);
        ranks.push_back(position.upper);
    }
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());

    std::pmr::vector<std::uint64_t> keys(ranks.size(), memory);
    select_ranks([values](std::size_t i) { return order_key(values[i]); }, count, ranks.data(), ranks.size(),
                 keys.data(), memory, check);
    auto const at = [&](std::size_t rank) {
        auto const found = std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin();
        return value_of_order_key(keys[static_cast<std::size_t>(found)]);
    };
    for (std::size_t i = 0; i < fraction_count; ++i) {
        auto const position = locate_quantile(type, fractions[i], count);
        double const lower = at(position.lower);
        out[i] = position.weight == 0 ? lower : interpolate(lower, at(position.upper), position.weight);
    }
}

} // namespace shadow
