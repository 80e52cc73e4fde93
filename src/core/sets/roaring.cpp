#include "core/sets/roaring.hpp"

#include <algorithm>

namespace shadow::roaring
{

// Bits of 16 words, counted in bytes side by side (a byte counts to 128): no dependence on a popcount
// instruction, and compilers vectorise it.
static std::uint32_t count_block(const std::uint64_t *words) noexcept
{
    std::uint64_t sums = 0;
    for (int i = 0; i < 16; ++i) {
        std::uint64_t w = words[i];
        w -= w >> 1 & 0x5555555555555555;
        w = (w & 0x3333333333333333) + (w >> 2 & 0x3333333333333333);
        sums += (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0f;
    }
    sums = (sums & 0x00ff00ff00ff00ff) + (sums >> 8 & 0x00ff00ff00ff00ff);
    return static_cast<std::uint32_t>(sums * 0x0001000100010001 >> 48);
}

template <typename WordAt>
static std::uint32_t count_words(WordAt word_at, std::uint32_t limit = chunk_size) noexcept
{
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < bitset_words && total <= limit; i += 16) {
        std::uint64_t block[16];
        std::uint64_t any = 0;
        for (std::size_t j = 0; j < 16; ++j)
            any |= block[j] = word_at(i + j);
        if (any != 0)
            total += count_block(block);
    }
    return total;
}

std::uint32_t bitset::count() const noexcept
{
    return count_words([this](std::size_t i) { return words_[i]; });
}

// A run starts at every bit whose lower neighbour is not set.
std::uint32_t bitset::count_runs(std::uint32_t limit) const noexcept
{
    return count_words(
        [this](std::size_t i) {
            std::uint64_t const below = i == 0 ? 0 : words_[i - 1] >> 63;
            return words_[i] & ~(words_[i] << 1 | below);
        },
        limit);
}

std::size_t container::payload_size() const noexcept
{
    switch (kind_) {
    case container_kind::array:
        return 2 * std::size_t{cardinality_};
    case container_kind::bitset:
        return bitset_bytes;
    case container_kind::run:
        break;
    }
    return 2 + 4 * std::size_t{runs_};
}

// The number of items that start at or before `low`, given the start of each.
template <typename StartAt>
static std::uint32_t items_up_to(std::uint32_t count, std::uint16_t low, StartAt start_at) noexcept
{
    std::uint32_t begin = 0;
    std::uint32_t end = count;
    while (begin < end) {
        std::uint32_t const middle = (begin + end) / 2;
        if (start_at(middle) <= low)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

bool container::contains(std::uint16_t low) const noexcept
{
    if (kind_ == container_kind::bitset)
        return (payload_[low / 8] >> (low % 8) & 1) != 0;
    if (kind_ == container_kind::array) {
        std::uint32_t const n =
            items_up_to(cardinality_, low, [this](std::uint32_t i) { return array_at(i); });
        return n > 0 && array_at(n - 1) == low;
    }
    std::uint32_t const n = items_up_to(runs_, low, [this](std::uint32_t i) { return run_at(i).first; });
    return n > 0 && low <= run_at(n - 1).last;
}

std::uint16_t container::min() const noexcept
{
    if (kind_ == container_kind::array)
        return array_at(0);
    if (kind_ == container_kind::run)
        return run_at(0).first;
    for (std::size_t i = 0; i < bitset_words; ++i)
        if (std::uint64_t const w = word_at(i); w != 0)
            return static_cast<std::uint16_t>(64 * i + static_cast<unsigned>(__builtin_ctzll(w)));
    return 0; // an empty bitset: damaged bytes
}

std::uint16_t container::max() const noexcept
{
    if (kind_ == container_kind::array)
        return array_at(cardinality_ - 1);
    if (kind_ == container_kind::run)
        return run_at(runs_ - 1).last;
    for (std::size_t i = bitset_words; i-- > 0;)
        if (std::uint64_t const w = word_at(i); w != 0)
            return static_cast<std::uint16_t>(64 * i + 63 - static_cast<unsigned>(__builtin_clzll(w)));
    return 0;
}

void container::assign_to(bitset &bits) const noexcept
{
    if (kind_ == container_kind::bitset) {
        for (std::size_t i = 0; i < bitset_words; ++i)
            bits.word(i) = word_at(i);
    } else {
        bits.clear();
        add_to(bits);
    }
}

void container::add_to(bitset &bits) const noexcept
{
    if (kind_ == container_kind::bitset)
        for (std::size_t i = 0; i < bitset_words; ++i)
            bits.word(i) |= word_at(i);
    else if (kind_ == container_kind::array)
        for_each([&](std::uint16_t low) { bits.set(low); });
    else
        for_each_run([&](run r) {
            bits.update_range(r.first, r.last, [](std::uint64_t &w, std::uint64_t mask) { w |= mask; });
        });
}

void container::keep_in(bitset &bits) const noexcept
{
    bitset mine;
    assign_to(mine);
    for (std::size_t i = 0; i < bitset_words; ++i)
        bits.word(i) &= mine.word(i);
}

void container::remove_from(bitset &bits) const noexcept
{
    if (kind_ == container_kind::bitset)
        for (std::size_t i = 0; i < bitset_words; ++i)
            bits.word(i) &= ~word_at(i);
    else if (kind_ == container_kind::array)
        for_each([&](std::uint16_t low) { bits.reset(low); });
    else
        for_each_run([&](run r) {
            bits.update_range(r.first, r.last, [](std::uint64_t &w, std::uint64_t mask) { w &= ~mask; });
        });
}

void container::flip_in(bitset &bits) const noexcept
{
    if (kind_ == container_kind::bitset)
        for (std::size_t i = 0; i < bitset_words; ++i)
            bits.word(i) ^= word_at(i);
    else if (kind_ == container_kind::array)
        for_each([&](std::uint16_t low) { bits.flip(low); });
    else
        for_each_run([&](run r) {
            bits.update_range(r.first, r.last, [](std::uint64_t &w, std::uint64_t mask) { w ^= mask; });
        });
}

static std::uint32_t count_common(const container &array, const container &other) noexcept
{
    std::uint32_t common = 0;
    array.for_each([&](std::uint16_t low) { common += other.contains(low) ? 1 : 0; });
    return common;
}

static std::uint32_t merge_count(const container &a, const container &b) noexcept
{
    std::uint32_t common = 0;
    std::uint32_t i = 0;
    std::uint32_t j = 0;
    while (i < a.cardinality() && j < b.cardinality()) {
        std::uint16_t const x = a.array_at(i);
        std::uint16_t const y = b.array_at(j);
        common += x == y ? 1 : 0;
        i += x <= y ? 1 : 0;
        j += y <= x ? 1 : 0;
    }
    return common;
}

std::uint32_t intersection_count(const container &a, const container &b) noexcept
{
    bool const a_is_array = a.kind() == container_kind::array;
    bool const b_is_array = b.kind() == container_kind::array;
    if (a_is_array && b_is_array) {
        std::uint32_t const smaller = std::min(a.cardinality(), b.cardinality());
        if (std::max(a.cardinality(), b.cardinality()) / 32 > smaller) // far apart: look the few up
            return smaller == a.cardinality() ? count_common(a, b) : count_common(b, a);
        return merge_count(a, b);
    }
    if (a_is_array)
        return count_common(a, b);
    if (b_is_array)
        return count_common(b, a);
    bitset both;
    a.assign_to(both);
    b.keep_in(both);
    return both.count();
}

std::uint8_t *writer::add_entry(std::uint16_t key, std::uint32_t cardinality, container_kind kind,
                                std::size_t size)
{
    std::size_t const at = payload_.size();
    payload_.resize(at + size);
    bool const is_run = kind == container_kind::run;
    entries_.push_back(
        {static_cast<std::uint32_t>(size), key, static_cast<std::uint16_t>(cardinality - 1), is_run});
    cardinality_ += cardinality;
    has_runs_ = has_runs_ || is_run;
    return payload_.data() + at;
}

void writer::put_array(std::uint16_t key, const std::uint16_t *sorted, std::uint32_t count)
{
    std::uint8_t *out = add_entry(key, count, container_kind::array, 2 * std::size_t{count});
    for (std::uint32_t i = 0; i < count; ++i, out += 2)
        store(out, sorted[i]);
}

void writer::append_array(std::uint16_t key, const std::uint16_t *sorted, std::uint32_t count)
{
    if (count == 0)
        return;
    std::uint32_t runs = 1;
    for (std::uint32_t i = 1; i < count; ++i)
        runs += sorted[i] != sorted[i - 1] + 1 ? 1 : 0;
    container_kind const kind = canonical_kind(count, runs);
    if (kind == container_kind::array)
        return put_array(key, sorted, count);
    if (kind == container_kind::bitset) {
        bitset bits;
        bits.clear();
        for (std::uint32_t i = 0; i < count; ++i)
            bits.set(sorted[i]);
        return append_bitset(key, bits);
    }
    std::uint8_t *out = add_entry(key, count, kind, 2 + 4 * std::size_t{runs});
    store(out, static_cast<std::uint16_t>(runs));
    for (std::uint32_t i = 0; i < count;) {
        std::uint32_t const first = i++;
        while (i < count && sorted[i] == sorted[i - 1] + 1)
            ++i;
        store(out += 2, sorted[first]);
        store(out += 2, static_cast<std::uint16_t>(i - first - 1));
    }
}

void writer::append_bitset(std::uint16_t key, const bitset &bits)
{
    std::uint32_t const count = bits.count();
    if (count == 0)
        return;
    auto const word_at = [&bits](std::size_t i) { return bits.word(i); };
    std::uint32_t const runs = bits.count_runs(bitset_bytes / 4);
    container_kind const kind = canonical_kind(count, runs);
    if (kind == container_kind::array) {
        std::uint8_t *out = add_entry(key, count, kind, 2 * std::size_t{count});
        detail::each_bit(word_at, [&out](std::uint16_t low) { store(out, low), out += 2; });
    } else if (kind == container_kind::bitset) {
        std::uint8_t *const out = add_entry(key, count, kind, bitset_bytes);
        for (std::size_t i = 0; i < bitset_words; ++i)
            store(out + 8 * i, bits.word(i));
    } else {
        std::uint8_t *out = add_entry(key, count, kind, 2 + 4 * std::size_t{runs});
        store(out, static_cast<std::uint16_t>(runs));
        detail::each_bit_run(word_at, [&out](run r) {
            store(out += 2, r.first);
            store(out += 2, static_cast<std::uint16_t>(r.last - r.first));
        });
    }
}

void writer::append_runs(std::uint16_t key, const run *runs, std::uint32_t count)
{
    std::uint32_t cardinality = 0;
    for (std::uint32_t i = 0; i < count; ++i)
        cardinality += std::uint32_t{runs[i].last} - runs[i].first + 1;
    if (cardinality == 0)
        return;
    container_kind const kind = canonical_kind(cardinality, count);
    if (kind == container_kind::run) {
        std::uint8_t *out = add_entry(key, cardinality, kind, 2 + 4 * std::size_t{count});
        store(out, static_cast<std::uint16_t>(count));
        for (std::uint32_t i = 0; i < count; ++i) {
            store(out += 2, runs[i].first);
            store(out += 2, static_cast<std::uint16_t>(runs[i].last - runs[i].first));
        }
    } else if (kind == container_kind::array) {
        std::uint8_t *out = add_entry(key, cardinality, kind, 2 * std::size_t{cardinality});
        for (std::uint32_t i = 0; i < count; ++i)
            for (std::uint32_t low = runs[i].first; low <= runs[i].last; ++low, out += 2)
                store(out, static_cast<std::uint16_t>(low));
    } else {
        bitset bits;
        bits.clear();
        for (std::uint32_t i = 0; i < count; ++i)
            bits.update_range(runs[i].first, runs[i].last,
                              [](std::uint64_t &w, std::uint64_t mask) { w |= mask; });
        append_bitset(key, bits);
    }
}

void writer::append(const container &canonical)
{
    std::size_t const size = canonical.payload_size();
    std::uint8_t *const out = add_entry(canonical.key(), canonical.cardinality(), canonical.kind(), size);
    std::memcpy(out, canonical.payload(), size);
}

bool writer::has_offsets() const noexcept
{
    return !has_runs_ || entries_.size() >= offsets_from;
}

std::size_t writer::portable_size() const noexcept
{
    std::size_t const n = entries_.size();
    std::size_t const start = has_runs_ ? 4 + (n + 7) / 8 : 8;
    return start + n * (has_offsets() ? 8 : 4) + payload_.size();
}

void writer::write_portable(std::uint8_t *out) const noexcept
{
    std::uint8_t *p = out;
    std::size_t const n = entries_.size();
    if (has_runs_) {
        store(p, static_cast<std::uint32_t>(n - 1) << 16 | cookie_with_runs);
        std::memset(p += 4, 0, (n + 7) / 8);
        for (std::size_t i = 0; i < n; ++i)
            p[i / 8] = static_cast<std::uint8_t>(p[i / 8] | (entries_[i].is_run ? 1U << (i % 8) : 0U));
        p += (n + 7) / 8;
    } else {
        store(p, cookie_without_runs);
        store(p + 4, static_cast<std::uint32_t>(n));
        p += 8;
    }
    for (const entry &e : entries_) {
        store(p, e.key);
        store(p + 2, e.cardinality_minus_1);
        p += 4;
    }
    if (has_offsets()) {
        auto offset = static_cast<std::uint32_t>(p - out + 4 * static_cast<std::ptrdiff_t>(n));
        for (const entry &e : entries_) {
            store(p, offset);
            offset += e.size;
            p += 4;
        }
    }
    if (!payload_.empty())
        std::memcpy(p, payload_.data(), payload_.size());
}

} // namespace shadow::roaring
