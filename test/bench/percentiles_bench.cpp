#include "core/quantiles/percentiles.hpp"

#include <benchmark/benchmark.h>
#include <cmath>
#include <random>
#include <vector>

// Four percentiles of `n` values: uniform (0), log-uniform (1), few distinct (2), one huge outlier (3).
static void four_percentiles(benchmark::State &state)
{
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0, 1000);
    std::vector<double> values(static_cast<std::size_t>(state.range(0)));
    for (double &value : values) {
        double const x = uniform(random);
        value = state.range(1) == 1 ? std::exp(x / 50) : state.range(1) == 2 ? std::floor(x / 100) : x;
    }
    if (state.range(1) == 3)
        values.front() = 1e300;
    const double fractions[] = {0.5, 0.75, 0.95, 0.99};
    double out[4];
    for (auto _ : state) {
        shadow::compute_percentiles(values.data(), values.size(), shadow::quantile_type::linear, fractions, 4,
                                    out, std::pmr::new_delete_resource(), nullptr);
        benchmark::DoNotOptimize(out);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(four_percentiles)
    ->ArgsProduct({{100, 10000, 1000000}, {0, 1, 2, 3}})
    ->Unit(benchmark::kMicrosecond);

BENCHMARK_MAIN();
