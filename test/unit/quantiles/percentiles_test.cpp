#include "core/base/error.hpp"
#include "core/base/selection.hpp"
#include "core/quantiles/percentiles.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

using namespace shadow;

namespace
{

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

std::vector<double> percentiles(const std::vector<double> &values, const std::vector<double> &fractions,
                                int type = 7)
{
    std::vector<double> out(fractions.size());
    compute_percentiles(values.data(), values.size(), static_cast<quantile_type>(type), fractions.data(),
                        fractions.size(), out.data(), std::pmr::new_delete_resource(), nullptr);
    return out;
}

double percentile(const std::vector<double> &values, double fraction, int type = 7)
{
    return percentiles(values, {fraction}, type)[0];
}

// Inputs that hurt a selection which trusts its data.
std::vector<std::vector<double>> hostile_inputs(std::size_t n)
{
    std::mt19937_64 random(7);
    std::vector<std::vector<double>> inputs(9, std::vector<double>(n));
    for (std::size_t i = 0; i < n; ++i) {
        double const x = static_cast<double>(i);
        double const any = static_cast<double>(random() % 1000000);
        inputs[0][i] = 3.25;
        inputs[1][i] = x;
        inputs[2][i] = -x;
        inputs[3][i] = std::fmod(any, 3);
        inputs[4][i] = i == n / 2 ? 1e300 : 1 + any * 1e-18;
        inputs[5][i] = x * 5e-324;
        inputs[6][i] = std::exp(std::fmod(any, 1400) - 700);
        inputs[7][i] = i % 3 == 0 ? nan_value : i % 3 == 1 ? infinity : -infinity;
        inputs[8][i] = order_key(any) % 2 == 0 ? -any : any;
    }
    return inputs;
}

} // namespace

TEST(OrderKey, OrdersAsPostgresqlDoes)
{
    const double ascending[] = {-infinity, -1e308, -1,    -5e-324,  -0.0,     0.0,
                                5e-324,    1,      1e308, infinity, nan_value};
    for (std::size_t i = 1; i < std::size(ascending); ++i)
        EXPECT_LT(order_key(ascending[i - 1]), order_key(ascending[i])) << i;
    EXPECT_EQ(order_key(-nan_value), order_key(nan_value));
    for (double const value : ascending)
        EXPECT_EQ(order_key(value_of_order_key(order_key(value))), order_key(value));
}

TEST(Selection, FindsWhatSortingFinds)
{
    for (std::size_t const n : {1, 2, 100, 2048, 2049, 5000, 100000})
        for (const auto &input : hostile_inputs(n)) {
            std::vector<std::uint64_t> sorted(n);
            std::transform(input.begin(), input.end(), sorted.begin(), order_key);
            std::sort(sorted.begin(), sorted.end());
            std::vector<std::size_t> ranks;
            for (std::size_t const r : {std::size_t{0}, n / 4, n / 2, n / 2 + 1, n - n / 100 - 1, n - 1})
                if (r < n && (ranks.empty() || r > ranks.back()))
                    ranks.push_back(r);
            std::vector<std::uint64_t> found(ranks.size());
            select_ranks([&](std::size_t i) { return order_key(input[i]); }, n, ranks.data(), ranks.size(),
                         found.data(), std::pmr::new_delete_resource(), nullptr);
            for (std::size_t i = 0; i < ranks.size(); ++i)
                EXPECT_EQ(found[i], sorted[ranks[i]]);
        }
}

TEST(Selection, StopsWhenAsked)
{
    std::vector<double> const values(100000, 1.5);
    double const fraction = 0.5;
    double out;
    EXPECT_THROW(compute_percentiles(values.data(), values.size(), quantile_type::linear, &fraction, 1, &out,
                                     std::pmr::new_delete_resource(), [] { return true; }),
                 cancelled);
}

// numpy/lib/tests/test_function_base.py, which R's answers equal.
TEST(Percentiles, AgreeWithNumpysTable)
{
    const double expected[] = {20, 27.5, 20, 20, 27.5, 26, 29, 27, 27.125};
    for (int type = 1; type <= 9; ++type)
        EXPECT_DOUBLE_EQ(percentile({15, 20, 35, 40, 50}, 0.4, type), expected[type - 1]) << type;
    EXPECT_EQ(percentiles({0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5}, {0, 0.5, 1}),
              (std::vector<double>{0, 1.75, 3.5}));
    EXPECT_EQ(percentiles({11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, {0.25, 0.5, 1}),
              (std::vector<double>{2.75, 5.5, 11}));
}

TEST(Percentiles, MedianOfAnOddNumberIsItsMiddle)
{
    for (int type = 5; type <= 9; ++type) // type 4 is not symmetric: it gives 4 here
        EXPECT_EQ(percentile({9, 1, 5, 3, 7}, 0.5, type), 5) << type;
    EXPECT_EQ(percentile({9, 1, 5, 3, 7}, 0.5, 4), 4);
}

TEST(Percentiles, AreMonotoneEquivariantAndSymmetric)
{
    std::mt19937_64 random(11);
    std::vector<double> values(101), moved(101), mirrored(101);
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<double>(random() % 4096) / 8;
        moved[i] = 4 * values[i] + 16;
        mirrored[i] = -values[i];
    }
    for (int type = 1; type <= 9; ++type) {
        double before = -infinity;
        for (int i = 0; i <= 64; ++i) {
            double const p = i / 64.0;
            double const q = percentile(values, p, type);
            EXPECT_GE(q, before) << type << " at " << p;
            EXPECT_NEAR(percentile(moved, p, type), 4 * q + 16, 1e-9);
            if (type >= 5) {
                EXPECT_NEAR(percentile(mirrored, 1 - p, type), -q, 1e-9);
            }
            before = q;
        }
        EXPECT_EQ(percentile(values, 1, type), *std::max_element(values.begin(), values.end()));
        EXPECT_EQ(percentile(values, 0, type), *std::min_element(values.begin(), values.end()));
    }
}

TEST(Percentiles, DoNotDependOnTheOrder)
{
    std::mt19937_64 random(13);
    for (auto input : hostile_inputs(3000)) {
        auto const fractions = std::vector<double>{0, 0.1, 0.5, 0.99, 1};
        auto const before = percentiles(input, fractions);
        std::shuffle(input.begin(), input.end(), random);
        auto const after = percentiles(input, fractions);
        for (std::size_t i = 0; i < before.size(); ++i)
            EXPECT_EQ(order_key(before[i]), order_key(after[i]));
    }
}

TEST(Percentiles, KeepInfinities)
{
    EXPECT_TRUE(std::isnan(interpolate(-infinity, infinity, 0.5)));
    EXPECT_EQ(interpolate(-infinity, 1, 0.5), -infinity);
    EXPECT_EQ(interpolate(1, infinity, 0.5), infinity);
    EXPECT_EQ(interpolate(infinity, infinity, 0.5), infinity);
    EXPECT_TRUE(std::isnan(interpolate(1, nan_value, 0.5)));
    EXPECT_EQ(interpolate(-1.7e308, 1.7e308, 0.5), 0);
}

TEST(Percentiles, RefuseWhatIsNotAFractionOrAMethod)
{
    for (double const bad : {-0.1, 1.1, nan_value, infinity})
        EXPECT_THROW(check_fractions(&bad, 1), error) << bad;
    for (char const *const bad : {"", "0", "10", "-1", "7.0", "nearest"})
        EXPECT_THROW(quantile_type_from_text(bad), error) << bad;
    EXPECT_EQ(quantile_type_from_text("linear"), quantile_type::linear);
    EXPECT_EQ(quantile_type_from_text("7"), quantile_type::linear);
    EXPECT_EQ(quantile_type_from_text("normal_unbiased"), quantile_type::normal_unbiased);
    EXPECT_EQ(quantile_type_from_text("9"), quantile_type::normal_unbiased);
}
