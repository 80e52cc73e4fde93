#pragma once
// The portable Roaring format (github.com/RoaringBitmap/RoaringFormatSpec): a set of 32-bit unsigned integers
// cut into chunks of 65,536; each chunk that is not empty is one container: a sorted array of the low 16 bits
// (at most 4,096 of them), a bitset of 8 kB, or a list of runs. Everything is little-endian on every machine.
//
// Reading happens where the bytes lie, at any alignment. Two levels of trust:
//   - the structure (sizes, keys, offsets) is checked whenever a value is opened, so no read leaves the value;
//   - the contents of containers are checked when a value comes from outside (decode_portable). Code that reads
//     contents stays within its buffers whatever they are.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <vector>

namespace shadow::roaring
{

// 12346: arrays and bitsets only; 12347: the low half of a word whose high half is the number of containers - 1.
constexpr std::uint32_t cookie_without_runs = 12346;
constexpr std::uint32_t cookie_with_runs = 12347;
constexpr std::size_t offsets_from = 4; // with runs, smaller values carry no offsets

constexpr std::uint32_t chunk_size = 65536;
constexpr std::uint32_t array_limit = 4096; // more elements than this need a bitset (or runs)
constexpr std::size_t bitset_words = chunk_size / 64;
constexpr std::size_t bitset_bytes = chunk_size / 8;

// Little-endian on disk, whatever the machine; its own inverse.
template <typename T>
inline T swap_if_big_endian(T value) noexcept
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    if constexpr (sizeof value == 2)
        return __builtin_bswap16(value);
    else if constexpr (sizeof value == 4)
        return __builtin_bswap32(value);
    else
        return __builtin_bswap64(value);
#else
    return value;
#endif
}

// At any alignment.
template <typename T>
inline T load(const std::uint8_t *p) noexcept
{
    T value;
    std::memcpy(&value, p, sizeof value);
    return swap_if_big_endian(value);
}

template <typename T>
inline void store(std::uint8_t *p, T value) noexcept
{
    value = swap_if_big_endian(value);
    std::memcpy(p, &value, sizeof value);
}

inline std::uint16_t high_half(std::uint32_t value) noexcept
{
    return static_cast<std::uint16_t>(value >> 16);
}
inline std::uint16_t low_half(std::uint32_t value) noexcept
{
    return static_cast<std::uint16_t>(value);
}

// first..last, both inside; the format stores last - first instead of last.
struct run {
    std::uint16_t first;
    std::uint16_t last;
};

enum class container_kind : std::uint8_t { array, bitset, run };

// The canonical kind of a container with this many elements and runs: the smallest, at a tie runs (as
// CRoaring's run_optimize takes them). Equal sets therefore have equal bytes.
constexpr container_kind canonical_kind(std::uint32_t cardinality, std::uint32_t runs) noexcept
{
    std::uint32_t const plain = cardinality <= array_limit ? 2 * cardinality : bitset_bytes;
    if (2 + 4 * runs <= plain)
        return container_kind::run;
    return cardinality <= array_limit ? container_kind::array : container_kind::bitset;
}

// A chunk as 1,024 words: the scratch on which containers of any kind meet.
class bitset
{
public:
    void clear() noexcept { words_.fill(0); }
    bool test(std::uint16_t low) const noexcept { return (words_[low / 64] >> (low % 64) & 1) != 0; }
    void set(std::uint16_t low) noexcept { words_[low / 64] |= std::uint64_t{1} << (low % 64); }
    void reset(std::uint16_t low) noexcept { words_[low / 64] &= ~(std::uint64_t{1} << (low % 64)); }
    void flip(std::uint16_t low) noexcept { words_[low / 64] ^= std::uint64_t{1} << (low % 64); }

    std::uint64_t &word(std::size_t i) noexcept { return words_[i]; }
    std::uint64_t word(std::size_t i) const noexcept { return words_[i]; }
    std::uint32_t count() const noexcept;
    // Counting stops beyond `limit`: the exact number does not matter then.
    std::uint32_t count_runs(std::uint32_t limit) const noexcept;

    // change(word, mask) for the words that first..last touches.
    template <typename Change>
    void update_range(std::uint16_t first, std::uint16_t last, Change change) noexcept
    {
        for (std::size_t i = first / 64U; i <= last / 64U; ++i) {
            std::uint64_t mask = ~std::uint64_t{0};
            if (i == first / 64U)
                mask &= ~std::uint64_t{0} << (first % 64);
            if (i == last / 64U)
                mask &= ~std::uint64_t{0} >> (63 - last % 64);
            change(words_[i], mask);
        }
    }

private:
    std::array<std::uint64_t, bitset_words> words_;
};

namespace detail
{

// visit(low) for each bit, ascending; word_at(i) yields the words.
template <typename WordAt, typename Visit>
inline void each_bit(WordAt word_at, Visit visit)
{
    for (std::size_t i = 0; i < bitset_words; ++i)
        for (std::uint64_t w = word_at(i); w != 0; w &= w - 1)
            visit(static_cast<std::uint16_t>(64 * i + static_cast<unsigned>(__builtin_ctzll(w))));
}

// visit(first, last) for each maximal run of bits: runs begin and end where neighbouring bits differ.
template <typename WordAt, typename Visit>
inline void each_bit_run(WordAt word_at, Visit visit)
{
    std::uint64_t previous = 0; // the highest bit of the word before
    std::uint32_t first = 0;
    bool inside = false;
    for (std::size_t i = 0; i < bitset_words; ++i) {
        std::uint64_t const word = word_at(i);
        for (std::uint64_t edges = word ^ (word << 1 | previous); edges != 0; edges &= edges - 1) {
            std::uint32_t const at =
                static_cast<std::uint32_t>(64 * i) + static_cast<unsigned>(__builtin_ctzll(edges));
            if (inside)
                visit(run{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(at - 1)});
            else
                first = at;
            inside = !inside;
        }
        previous = word >> 63;
    }
    if (inside)
        visit(run{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(chunk_size - 1)});
}

} // namespace detail

// One container inside a value; plain data, valid as long as the value's bytes.
class container
{
public:
    container() = default;
    container(std::uint16_t key, container_kind kind, std::uint32_t cardinality, std::uint32_t runs,
              const std::uint8_t *payload) noexcept
        : payload_(payload), cardinality_(cardinality), runs_(runs), key_(key), kind_(kind)
    {
    }

    std::uint16_t key() const noexcept { return key_; }
    std::uint32_t base() const noexcept { return std::uint32_t{key_} << 16; }
    container_kind kind() const noexcept { return kind_; }
    std::uint32_t cardinality() const noexcept { return cardinality_; } // as its header says
    bool is_full() const noexcept { return cardinality_ == chunk_size; }
    std::uint32_t runs() const noexcept { return runs_; } // 0 unless a list of runs
    const std::uint8_t *payload() const noexcept { return payload_; }
    std::size_t payload_size() const noexcept;

    std::uint16_t array_at(std::uint32_t i) const noexcept { return load<std::uint16_t>(payload_ + 2 * i); }
    std::uint64_t word_at(std::size_t i) const noexcept { return load<std::uint64_t>(payload_ + 8 * i); }
    run run_at(std::uint32_t i) const noexcept
    {
        const std::uint8_t *const p = payload_ + 2 + 4 * i;
        std::uint32_t const first = load<std::uint16_t>(p);
        std::uint32_t const last = first + load<std::uint16_t>(p + 2);
        // The clamp only matters for damaged bytes.
        return {static_cast<std::uint16_t>(first),
                static_cast<std::uint16_t>(last < chunk_size ? last : chunk_size - 1)};
    }

    bool contains(std::uint16_t low) const noexcept;
    std::uint16_t min() const noexcept;
    std::uint16_t max() const noexcept;

    // visit(low) for each element, ascending.
    template <typename Visit>
    void for_each(Visit visit) const
    {
        switch (kind_) {
        case container_kind::array:
            for (std::uint32_t i = 0; i < cardinality_; ++i)
                visit(array_at(i));
            break;
        case container_kind::bitset:
            detail::each_bit([this](std::size_t i) { return word_at(i); }, visit);
            break;
        case container_kind::run:
            for (std::uint32_t i = 0; i < runs_; ++i) {
                run const r = run_at(i);
                for (std::uint32_t low = r.first; low <= r.last; ++low)
                    visit(static_cast<std::uint16_t>(low));
            }
            break;
        }
    }

    // visit(run) ascending; neighbouring elements of an array come as runs of their own.
    template <typename Visit>
    void for_each_run(Visit visit) const
    {
        switch (kind_) {
        case container_kind::array:
            for (std::uint32_t i = 0; i < cardinality_; ++i)
                visit(run{array_at(i), array_at(i)});
            break;
        case container_kind::bitset:
            detail::each_bit_run([this](std::size_t i) { return word_at(i); }, visit);
            break;
        case container_kind::run:
            for (std::uint32_t i = 0; i < runs_; ++i)
                visit(run_at(i));
            break;
        }
    }

    void assign_to(bitset &bits) const noexcept;
    void add_to(bitset &bits) const noexcept;
    void keep_in(bitset &bits) const noexcept;
    void remove_from(bitset &bits) const noexcept;
    void flip_in(bitset &bits) const noexcept;

private:
    const std::uint8_t *payload_ = nullptr;
    std::uint32_t cardinality_ = 0;
    std::uint32_t runs_ = 0;
    std::uint16_t key_ = 0;
    container_kind kind_ = container_kind::array;
};

// Elements of one chunk, as much as two arrays can hold.
struct low_values {
    std::uint16_t values[2 * array_limit];
    std::uint32_t count = 0;

    low_values() = default;
    explicit low_values(const container &array) noexcept : count(array.cardinality())
    {
        for (std::uint32_t i = 0; i < count; ++i)
            values[i] = array.array_at(i);
    }
    void push(std::uint16_t low) noexcept { values[count++] = low; }
    const std::uint16_t *begin() const noexcept { return values; }
    const std::uint16_t *end() const noexcept { return values + count; }
};

// Number of elements that both have.
std::uint32_t intersection_count(const container &a, const container &b) noexcept;

// Collects containers with ascending keys and writes them as one canonical value.
class writer
{
public:
    explicit writer(std::pmr::memory_resource *memory) : entries_(memory), payload_(memory) {}

    void append_array(std::uint16_t key, const std::uint16_t *sorted, std::uint32_t count);
    void append_bitset(std::uint16_t key, const bitset &bits);
    void append_runs(std::uint16_t key, const run *runs, std::uint32_t count); // maximal, ascending
    void append(const container &canonical);

    std::pmr::memory_resource *memory() const noexcept { return payload_.get_allocator().resource(); }
    std::uint64_t cardinality() const noexcept { return cardinality_; }
    std::size_t portable_size() const noexcept;
    void write_portable(std::uint8_t *out) const noexcept;

private:
    struct entry {
        std::uint32_t size;
        std::uint16_t key;
        std::uint16_t cardinality_minus_1;
        bool is_run;
    };
    std::uint8_t *add_entry(std::uint16_t key, std::uint32_t cardinality, container_kind kind,
                            std::size_t size);
    void put_array(std::uint16_t key, const std::uint16_t *sorted, std::uint32_t count);
    bool has_offsets() const noexcept;

    std::pmr::vector<entry> entries_;
    std::pmr::vector<std::uint8_t> payload_;
    std::uint64_t cardinality_ = 0;
    bool has_runs_ = false;
};

} // namespace shadow::roaring
