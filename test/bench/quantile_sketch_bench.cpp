// Cost per value of building, per sketch of merging, and per answer of reading.

#include <cmath>
#include <random>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/quantiles/quantile_sketch.hpp"

static std::vector<double> lognormal(std::size_t n)
{
    std::mt19937_64 random(1);
    std::lognormal_distribution<double> distribution(3, 1);
    std::vector<double> values(n);
    for (double &value : values)
        value = distribution(random);
    return values;
}

static auto sketch_of(const std::vector<double> &values)
{
    shadow::sketch_builder builder;
    for (double value : values)
        builder.add(value);
    return builder.serialize();
}

static void add(benchmark::State &state)
{
    auto const values = lognormal(1 << 16);
    for (auto _ : state) {
        shadow::sketch_builder builder;
        for (double value : values)
            builder.add(value);
        benchmark::DoNotOptimize(builder.count());
    }
    state.SetItemsProcessed(state.iterations() * (1 << 16));
}
BENCHMARK(add);

static void merge(benchmark::State &state)
{
    auto const stored = sketch_of(lognormal(static_cast<std::size_t>(state.range(0))));
    shadow::sketch_builder builder;
    for (auto _ : state)
        builder.merge(shadow::sketch_view(stored.data(), stored.size()));
    state.SetItemsProcessed(state.iterations());
    state.counters["bytes"] = static_cast<double>(stored.size());
}
BENCHMARK(merge)->Arg(20)->Arg(300)->Arg(1000000);

static void quantile(benchmark::State &state)
{
    auto const stored = sketch_of(lognormal(static_cast<std::size_t>(state.range(0))));
    for (auto _ : state)
        benchmark::DoNotOptimize(shadow::sketch_view(stored.data(), stored.size()).quantile(0.95));
}
BENCHMARK(quantile)->Arg(300)->Arg(1000000);
