// Sets of users against CRoaring: time per operation, and bytes stored. Arguments: elements drawn, and the
// range of ids they are drawn from, as for the active users of a day among all users of a workspace.

#include "core/sets/user_set.hpp"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <random>
#include <roaring/roaring.h>

namespace
{

using bytes = std::vector<std::uint8_t>;
using shadow::user_set_view;
using shadow::roaring::writer;

std::vector<std::uint32_t> draw(benchmark::State &state, unsigned seed)
{
    std::mt19937 random(seed);
    std::uniform_int_distribution<std::uint32_t> id(0, static_cast<std::uint32_t>(state.range(1) - 1));
    std::vector<std::uint32_t> ids(static_cast<std::size_t>(state.range(0)));
    std::generate(ids.begin(), ids.end(), [&] { return id(random); });
    return ids;
}

bytes pack(const std::vector<std::uint32_t> &ids)
{
    shadow::user_set_builder builder(std::pmr::new_delete_resource());
    for (std::uint32_t id : ids)
        builder.add(id);
    writer set(std::pmr::new_delete_resource());
    builder.write(set);
    bytes out(shadow::stored_size(set));
    shadow::write_stored(set, out.data());
    return out;
}

user_set_view view(const bytes &b)
{
    return user_set_view::stored(b.data(), b.size());
}

void build_ours(benchmark::State &state)
{
    auto const ids = draw(state, 1);
    for (auto _ : state)
        benchmark::DoNotOptimize(pack(ids));
    state.counters["bytes"] = static_cast<double>(pack(ids).size());
}

void build_croaring(benchmark::State &state)
{
    auto const ids = draw(state, 1);
    std::size_t size = 0;
    for (auto _ : state) {
        roaring_bitmap_t *const r = roaring_bitmap_create();
        for (std::uint32_t id : ids)
            roaring_bitmap_add(r, id);
        roaring_bitmap_run_optimize(r);
        bytes out(size = roaring_bitmap_portable_size_in_bytes(r));
        roaring_bitmap_portable_serialize(r, reinterpret_cast<char *>(out.data()));
        benchmark::DoNotOptimize(out);
        roaring_bitmap_free(r);
    }
    state.counters["bytes"] = static_cast<double>(size);
}

// The walk of the active-user functions: open a stored set, visit each id.
void iterate_ours(benchmark::State &state)
{
    bytes const set = pack(draw(state, 1));
    std::vector<std::uint8_t> last_active(static_cast<std::size_t>(state.range(1)));
    for (auto _ : state) {
        view(set).for_each([&last_active](std::uint32_t id) { last_active[id] = 1; });
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(view(set).cardinality()));
}

void iterate_croaring(benchmark::State &state)
{
    bytes const set = pack(draw(state, 1));
    std::vector<std::uint8_t> last_active(static_cast<std::size_t>(state.range(1)));
    std::uint64_t count = 0;
    for (auto _ : state) {
        roaring_bitmap_t *const r =
            roaring_bitmap_portable_deserialize(reinterpret_cast<const char *>(set.data() + 1));
        count = roaring_bitmap_get_cardinality(r);
        roaring_iterate(
            r,
            [](std::uint32_t id, void *out) {
                static_cast<std::uint8_t *>(out)[id] = 1;
                return true;
            },
            last_active.data());
        roaring_bitmap_free(r);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
}

// 30 stored days to one number.
std::vector<bytes> month(benchmark::State &state)
{
    std::vector<bytes> days;
    for (unsigned day = 0; day < 30; ++day)
        days.push_back(pack(draw(state, day)));
    return days;
}

void month_ours(benchmark::State &state)
{
    auto const days = month(state);
    for (auto _ : state) {
        std::vector<user_set_view> views;
        for (const bytes &day : days)
            views.push_back(view(day));
        benchmark::DoNotOptimize(
            shadow::union_cardinality(views.data(), views.size(), std::pmr::new_delete_resource()));
    }
}

void month_croaring(benchmark::State &state)
{
    auto const days = month(state);
    for (auto _ : state) {
        roaring_bitmap_t *const all = roaring_bitmap_create();
        for (const bytes &day : days) {
            roaring_bitmap_t *const r =
                roaring_bitmap_portable_deserialize(reinterpret_cast<const char *>(day.data() + 1));
            roaring_bitmap_or_inplace(all, r);
            roaring_bitmap_free(r);
        }
        benchmark::DoNotOptimize(roaring_bitmap_get_cardinality(all));
        roaring_bitmap_free(all);
    }
}

void sizes(benchmark::internal::Benchmark *b)
{
    b->Args({200000, 1000000})->Args({20000, 1000000})->Args({2000, 1000000})->Args({50000, 4000000000});
}
void days(benchmark::internal::Benchmark *b)
{
    b->Args({200000, 1000000})->Args({2000, 1000000});
}

BENCHMARK(build_ours)->Apply(sizes)->Unit(benchmark::kMicrosecond);
BENCHMARK(build_croaring)->Apply(sizes)->Unit(benchmark::kMicrosecond);
BENCHMARK(iterate_ours)->Apply(days)->Unit(benchmark::kMicrosecond);
BENCHMARK(iterate_croaring)->Apply(days)->Unit(benchmark::kMicrosecond);
BENCHMARK(month_ours)->Apply(days)->Unit(benchmark::kMicrosecond);
BENCHMARK(month_croaring)->Apply(days)->Unit(benchmark::kMicrosecond);

} // namespace
