#pragma once
// Several order statistics of many keys at once, without sorting and without changing the input.
//
// Most-significant-digit radix selection: count the keys in equal slices of their range, keep only the keys
// of the slices that hold a wanted rank, and go on inside those. Each level reads its keys three times in
// order (range, counts, gathering) and narrows the range by up to 2^16, so 64-bit keys take at most four
// levels whatever the data: linear, never quadratic. Slices that are small are finished by std::nth_element
// (introselect).

#include "core/base/interrupt.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <vector>

namespace shadow
{

// A number that orders doubles as PostgreSQL does: -infinity … -0, 0 … infinity, and every NaN after them.
// -0 and 0 are equal for PostgreSQL; -0 first makes the answer independent of the order of the input.
inline std::uint64_t order_key(double value) noexcept
{
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    bits ^= (bits & sign) != 0 ? ~std::uint64_t{0} : sign;
    return value == value ? bits : ~std::uint64_t{0};
}

inline double value_of_order_key(std::uint64_t key) noexcept
{
    constexpr std::uint64_t sign = std::uint64_t{1} << 63;
    if (key == ~std::uint64_t{0})
        return std::numeric_limits<double>::quiet_NaN();
    key ^= (key & sign) != 0 ? sign : ~std::uint64_t{0};
    double value;
    std::memcpy(&value, &key, sizeof value);
    return value;
}

namespace detail
{

// Ranks to find, ascending, counted from `base`; values[i] receives the key of ranks[i].
template <typename Key>
struct wanted_ranks {
    const std::size_t *ranks;
    std::size_t count;
    Key *values;
    std::size_t base;

    wanted_ranks part(std::size_t first, std::size_t last, std::size_t new_base) const
    {
        return {ranks + first, last - first, values + first, new_base};
    }
};

constexpr std::size_t selection_leaf = 2048;   // below: nth_element is faster than counting
constexpr std::size_t selection_block = 65536; // elements between two interrupt checks
constexpr int selection_max_bits = 16;

// Calls body(first, last) for blocks of 0..count, asking for interrupts between them.
template <typename Body>
void for_each_block(std::size_t count, const interrupt_poll &poll, Body body)
{
    for (std::size_t first = 0; first < count; first += selection_block) {
        poll.now();
        body(first, std::min(count, first + selection_block));
    }
}

// Rearranges [first, last); the wanted ranks in the middle first, so each half has half of them.
template <typename Key, typename Less>
void select_in_place(Key *first, Key *last, const wanted_ranks<Key> &wanted, Less less)
{
    if (wanted.count == 0)
        return;
    std::size_t const middle = wanted.count / 2;
    std::size_t const rank = wanted.ranks[middle];
    Key *const target = first + (rank - wanted.base);
    std::nth_element(first, target, last, less);
    wanted.values[middle] = *target;
    select_in_place(first, target, wanted.part(0, middle, wanted.base), less);
    select_in_place(target + 1, last, wanted.part(middle + 1, wanted.count, rank + 1), less);
}

template <typename Key>
struct key_range {
    Key low;
    Key high;
};

template <typename Key, typename KeyAt>
key_range<Key> range_of(KeyAt key_at, std::size_t count, const interrupt_poll &poll)
{
    key_range<Key> range{key_at(0), key_at(0)};
    for_each_block(count, poll, [&](std::size_t first, std::size_t last) {
        Key low = range.low, high = range.high;
        for (std::size_t i = first; i < last; ++i) {
            Key const key = key_at(i);
            low = std::min(low, key);
            high = std::max(high, key);
        }
        range = {low, high};
    });
    return range;
}

// Equal slices of a range of keys: slice = (key - low) >> shift. About 16 keys a slice, at most 2^16 slices.
template <typename Key>
struct slicing {
    Key low;
    int shift;
    std::size_t slices;

    slicing(const key_range<Key> &range, std::size_t count) : low(range.low), shift(0)
    {
        int bits = 8;
        while (bits < selection_max_bits && count >> (bits + 4) != 0)
            ++bits;
        Key const width = range.high - range.low;
        while (width >> shift >= (Key{1} << bits))
            ++shift;
        slices = static_cast<std::size_t>(width >> shift) + 1;
    }
    std::size_t operator()(Key key) const { return static_cast<std::size_t>((key - low) >> shift); }
};

// A slice that holds wanted ranks: where its keys go in the gathered buffer, and which ranks it answers.
template <typename Key>
struct wanted_slice {
    std::size_t begin;
    std::size_t end;
    wanted_ranks<Key> wanted;
};

// A named type: a lambda would make every level of the recursion a new template instance.
template <typename Key>
struct gathered_keys {
    const Key *keys;
    Key operator()(std::size_t i) const { return keys[i]; }
};

constexpr std::size_t unwanted = 0;

// Finds the wanted slices; counts[s] becomes the number + 1 of the wanted slice that s is, or `unwanted`.
template <typename Key>
void find_wanted_slices(std::pmr::vector<std::size_t> &counts, const wanted_ranks<Key> &wanted,
                        std::pmr::vector<wanted_slice<Key>> &found)
{
    std::size_t before = wanted.base; // keys below the current slice
    std::size_t next = 0, gathered = 0;
    for (std::size_t &count : counts) {
        std::size_t const size = count;
        std::size_t const first = next;
        while (next < wanted.count && wanted.ranks[next] < before + size)
            ++next;
        count = unwanted;
        if (next > first) {
            found.push_back({gathered, gathered + size, wanted.part(first, next, before)});
            gathered += size;
            count = found.size();
        }
        before += size;
    }
}

template <typename Key, typename KeyAt>
void select(KeyAt key_at, std::size_t count, const wanted_ranks<Key> &wanted,
            std::pmr::memory_resource *memory, const interrupt_poll &poll);

// The keys of the wanted slices, and only they, slice by slice.
template <typename Key, typename KeyAt>
std::pmr::vector<Key> gather(KeyAt key_at, std::size_t count, const slicing<Key> &slice_of,
                             const std::pmr::vector<std::size_t> &number_of,
                             const std::pmr::vector<wanted_slice<Key>> &found, const interrupt_poll &poll)
{
    auto *const memory = number_of.get_allocator().resource();
    std::pmr::vector<Key> keys(found.back().end, memory);
    std::pmr::vector<Key *> place(memory);
    place.reserve(found.size() + 1);
    place.push_back(nullptr);
    for (const auto &slice : found)
        place.push_back(keys.data() + slice.begin);
    for_each_block(count, poll, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) {
            Key const key = key_at(i);
            std::size_t const number = number_of[slice_of(key)];
            if (number != unwanted)
                *place[number]++ = key;
        }
    });
    return keys;
}

template <typename Key, typename KeyAt>
void select_by_slices(KeyAt key_at, std::size_t count, const key_range<Key> &range,
                      const wanted_ranks<Key> &wanted, std::pmr::memory_resource *memory,
                      const interrupt_poll &poll)
{
    slicing<Key> const slice_of(range, count);
    std::pmr::vector<std::size_t> counts(slice_of.slices, 0, memory);
    for_each_block(count, poll, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i)
            ++counts[slice_of(key_at(i))];
    });
    std::pmr::vector<wanted_slice<Key>> found(memory);
    find_wanted_slices(counts, wanted, found);
    std::pmr::vector<Key> const keys = gather(key_at, count, slice_of, counts, found, poll);
    for (const auto &slice : found) {
        select<Key>(gathered_keys<Key>{keys.data() + slice.begin}, slice.end - slice.begin, slice.wanted,
                    memory, poll);
    }
}

template <typename Key, typename KeyAt>
void select(KeyAt key_at, std::size_t count, const wanted_ranks<Key> &wanted,
            std::pmr::memory_resource *memory, const interrupt_poll &poll)
{
    if (count <= selection_leaf) {
        std::pmr::vector<Key> keys(count, memory);
        for (std::size_t i = 0; i < count; ++i)
            keys[i] = key_at(i);
        select_in_place(keys.data(), keys.data() + count, wanted, std::less<Key>());
        return;
    }
    auto const range = range_of<Key>(key_at, count, poll);
    if (range.low == range.high)
        std::fill_n(wanted.values, wanted.count, range.low);
    else
        select_by_slices(key_at, count, range, wanted, memory, poll);
}

} // namespace detail

// values[i] = the ranks[i]-th smallest (from 0) of the unsigned keys key_at(0) … key_at(count - 1); ranks
// ascend strictly and are below count. Memory: the kept keys, at most one copy of all per level.
template <typename Key, typename KeyAt>
void select_ranks(KeyAt key_at, std::size_t count, const std::size_t *ranks, std::size_t rank_count,
                  Key *values, std::pmr::memory_resource *memory, interrupt_check check)
{
    if (rank_count > 0)
        detail::select<Key>(key_at, count, {ranks, rank_count, values, 0}, memory, interrupt_poll(check));
}

} // namespace shadow
