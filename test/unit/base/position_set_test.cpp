// A set of positions, as a table and as a bitmap, and the index that finds positions by content.

#include "core/base/position_index.hpp"
#include "core/base/position_set.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

using namespace shadow;

namespace
{

std::pmr::memory_resource *const memory = std::pmr::get_default_resource();

// One in `spread` of the positions below a growing bound.
void expect_same_as_std_set(unsigned spread)
{
    std::mt19937 random(spread);
    position_set positions;
    std::set<std::uint32_t> expected;
    for (std::uint32_t i = 0; i < 20000; ++i) {
        std::uint32_t const bound = 1 + i * spread;
        auto const position = static_cast<std::uint32_t>(random() % bound);
        ASSERT_EQ(positions.add(position, bound, memory), expected.insert(position).second);
        ASSERT_FALSE(positions.add(position, bound, memory));
    }
    std::set<std::uint32_t> visited;
    positions.for_each([&](std::uint32_t position) { EXPECT_TRUE(visited.insert(position).second); });
    EXPECT_EQ(visited, expected);
    EXPECT_EQ(positions.size(), expected.size());
    positions.release(memory);
    EXPECT_EQ(positions.size(), 0u);
}

} // namespace

TEST(PositionSet, IsASetWhetherSparseOrDense)
{
    for (unsigned const spread : {1u, 3u, 20u, 1000u, 100000u})
        expect_same_as_std_set(spread);
}

TEST(PositionSet, TakesTheLargestPosition)
{
    position_set positions;
    EXPECT_TRUE(positions.add(npos - 1, npos, memory));
    EXPECT_FALSE(positions.add(npos - 1, npos, memory));
    positions.for_each([](std::uint32_t position) { EXPECT_EQ(position, npos - 1); });
    positions.release(memory);
}

TEST(PositionIndex, FindsEveryRow)
{
    std::mt19937_64 random(7);
    std::vector<std::uint64_t> hashes; // few different upper and lower halves, so that buckets overflow
    position_index index(memory);
    auto const find_or_add = [&](std::uint64_t hash) {
        return index.find_or_add(
            hash, [&](std::uint32_t i) { return hashes[i] == hash; },
            [&](auto insert) {
                for (std::uint32_t i = 0; i < hashes.size(); ++i)
                    insert(hashes[i], i);
            },
            [&] {
                hashes.push_back(hash);
                return static_cast<std::uint32_t>(hashes.size() - 1);
            });
    };
    for (int i = 0; i < 8000; ++i) {
        std::uint64_t const hash = random() % 50 << 32 | random() % 500 << 20;
        ASSERT_EQ(hashes[find_or_add(hash)], hash);
    }
    EXPECT_EQ((std::set<std::uint64_t>(hashes.begin(), hashes.end()).size()), hashes.size());
    for (std::uint32_t i = 0; i < hashes.size(); ++i)
        ASSERT_EQ(find_or_add(hashes[i]), i);
    index.release();
}
