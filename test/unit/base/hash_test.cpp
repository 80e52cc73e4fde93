// Ids are spread whatever they are, also those that somebody made to meet.

#include "core/base/uuid.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace shadow;

namespace
{

constexpr std::size_t many = 100000;

// How many different values the highest 32 bits take: of that many random numbers about 99,999.
std::size_t different_places(const std::vector<uuid> &ids)
{
    std::vector<std::uint32_t> places;
    for (uuid const &id : ids)
        places.push_back(static_cast<std::uint32_t>(id.hash() >> 32));
    std::sort(places.begin(), places.end());
    return static_cast<std::size_t>(std::unique(places.begin(), places.end()) - places.begin());
}

// The highest 32 bits of (f(high, low) ^ low) * multiplier are 0: what a hash without a key was.
std::vector<uuid> made_to_meet()
{
    std::uint64_t const multiplier = 0xD6E8FEB86659FD93u;
    std::uint64_t inverse = 1;
    for (int i = 0; i < 6; ++i)
        inverse *= 2 - multiplier * inverse;
    std::mt19937_64 random(1);
    std::vector<uuid> ids;
    for (std::size_t i = 0; i < many; ++i) {
        std::uint64_t const mixed = random();
        std::uint64_t f = mixed * 0x9E3779B97F4A7C15u;
        f ^= f >> 32;
        std::uint64_t const low = f ^ (random() >> 32) * inverse;
        ids.push_back({mixed ^ (low >> 29) ^ (low << 35), low});
    }
    return ids;
}

} // namespace

TEST(Hash, SpreadsSequentialIds)
{
    std::vector<uuid> ids;
    for (std::size_t i = 0; i < many; ++i)
        ids.push_back({0, i});
    EXPECT_GT(different_places(ids), many - 100);
    for (uuid &id : ids)
        std::swap(id.high, id.low);
    EXPECT_GT(different_places(ids), many - 100);
}

TEST(Hash, SpreadsIdsThatWereMadeToMeet)
{
    EXPECT_GT(different_places(made_to_meet()), many - 100);
}

TEST(Hash, DependsOnTheKey)
{
    hash_key const before = secret_hash_key;
    uuid const id{1, 2};
    std::uint64_t const hash = id.hash();
    secret_hash_key = {3, 5};
    EXPECT_NE(id.hash(), hash);
    secret_hash_key = before;
    EXPECT_EQ(id.hash(), hash);
}
