// Rows come back as they were put in, whatever their numbers, and take what the widest of them take.

#include "core/rollup/rows.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

using namespace shadow;

namespace
{

// A number of up to so many bits, often fewer.
std::int64_t number(std::mt19937_64 &random, int bits)
{
    return static_cast<std::int64_t>(random() >> (64 - bits) >> random() % static_cast<unsigned>(bits));
}

session_entry random_session(std::mt19937_64 &random, int bits)
{
    session_entry s{};
    s.key = {static_cast<std::uint64_t>(number(random, 63)), random()};
    s.first = number(random, bits) - number(random, bits);
    s.last = s.first + number(random, bits);
    s.user = static_cast<std::uint32_t>(number(random, std::min(bits, 31)));
    s.next = random() % 2 == 0 ? npos : s.user;
    s.page_views = random() % 4;
    s.other_events = random() % 4;
    s.has_id = random() % 2 == 0;
    s.has_key_event = random() % 2 == 0;
    s.is_free = random() % 2 == 0;
    return s;
}

void expect_same(const session_entry &a, const session_entry &b)
{
    ASSERT_EQ(a.key, b.key);
    ASSERT_EQ(std::tie(a.first, a.last, a.user, a.next, a.page_views, a.other_events),
              std::tie(b.first, b.last, b.user, b.next, b.page_views, b.other_events));
    ASSERT_EQ(std::tie(a.has_id, a.has_key_event, a.is_free), std::tie(b.has_id, b.has_key_event, b.is_free));
}

// Few rows are not packed.
template <typename Row>
void add_many(packed_pool<Row> &pool, const Row &row)
{
    for (int i = 0; i < 5000; ++i)
        pool.push(row);
}

amount_entry stored(int128 value)
{
    packed_pool<amount_entry> pool(std::pmr::get_default_resource());
    add_many(pool, {value});
    amount_entry const result = pool[4999];
    pool.release();
    return result;
}

} // namespace

TEST(PackedPool, HoldsWhatWasPutIn)
{
    std::mt19937_64 random(1);
    packed_pool<session_entry> pool(std::pmr::get_default_resource());
    pool.set_origin(number(random, 62));
    std::vector<session_entry> expected;
    for (int i = 0; i < 20000; ++i) {
        expected.push_back(random_session(random, 1 + i / 400)); // wider and wider
        ASSERT_EQ(pool.push(expected.back()), expected.size() - 1);
        std::size_t const changed = random() % expected.size();
        expected[changed] = random_session(random, 1 + i / 400);
        pool.set(static_cast<std::uint32_t>(changed), expected[changed]);
    }
    for (std::uint32_t i = 0; i < expected.size(); ++i)
        expect_same(pool[i], expected[i]);
    pool.release();
    EXPECT_EQ(pool.size(), 0u);
}

TEST(PackedPool, TimesMayBeAnyDistanceApart)
{
    packed_pool<session_entry> pool(std::pmr::get_default_resource());
    pool.set_origin(INT64_MIN);
    session_entry wide{};
    wide.first = INT64_MIN;
    wide.last = INT64_MAX;
    add_many(pool, wide);
    expect_same(pool[0], wide);
    wide.first = INT64_MAX;
    pool.set(0, wide);
    expect_same(pool[0], wide);
    pool.release();
}

TEST(PackedPool, AmountsHaveTheirSign)
{
    int128 const most = static_cast<int128>(~uint128{0} >> 1);
    for (int128 const value : {int128{0}, int128{1}, int128{-1}, int128{INT64_MIN}, most, -most, -most - 1})
        EXPECT_TRUE(stored(value).value == value);
}

TEST(PackedPool, RunsWithoutACostTakeNoRoomForIt)
{
    packed_pool<run_entry> pool(std::pmr::get_default_resource());
    run_entry run{1'500'000'000, 800, 2'500'000'000,      no_amount, 3, 4, npos, npos,
                  npos,          0,   run_status::failed, false};
    add_many(pool, run);
    EXPECT_EQ(pool.row_bytes(), 5u + 2 + 5 + 1 + 1 + 1 + 1);
    run.cost = 70'000;
    pool.set(1, run);
    EXPECT_EQ(pool.row_bytes(), 5u + 2 + 5 + 3 + 1 + 1 + 1 + 1);
    EXPECT_EQ(pool[0].cost, no_amount);
    EXPECT_EQ(pool[1].cost, 70'000);
    EXPECT_EQ(pool[1].model, npos);
    pool.release();
}
