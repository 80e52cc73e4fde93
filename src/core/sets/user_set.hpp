#pragma once
// Sets of 32-bit unsigned integers, compressed. Stored form: one version byte, then the portable Roaring
// format (core/sets/roaring.hpp). Stored bytes are canonical: equal sets have equal bytes.
//
//   user_set_view      reads a stored set where it lies: iteration, membership, cardinality without decoding
//   user_set_builder   collects elements in any order and whole sets
//   roaring::writer    receives results; stored_size(), write_stored()
//
// Memory comes from the std::pmr resource that the caller hands in.

#include "core/base/error.hpp"
#include "core/base/interrupt.hpp"
#include "core/sets/roaring.hpp"

#include <string_view>

namespace shadow
{

class user_set_view
{
public:
    user_set_view() = default; // the empty set

    // Open a value. Throw errc::corrupt_data unless its structure (cookie, keys, sizes, offsets, length) is
    // sound; the contents of containers are taken as they are. Cost: one step per container (65,536 ids).
    static user_set_view stored(const std::uint8_t *bytes, std::size_t size);
    static user_set_view portable(const std::uint8_t *bytes, std::size_t size);

    const std::uint8_t *portable_bytes() const noexcept { return bytes_; }
    std::size_t portable_size() const noexcept { return size_; }

    std::uint32_t container_count() const noexcept { return count_; }
    roaring::container container_at(std::uint32_t i) const noexcept;

    bool empty() const noexcept { return count_ == 0; }
    std::uint64_t cardinality() const noexcept;
    bool contains(std::uint32_t value) const noexcept;
    std::uint32_t min() const noexcept; // of a set that is not empty
    std::uint32_t max() const noexcept;

    // visit(std::uint32_t) for each element, ascending. The fast way to walk a set.
    template <typename Visit>
    void for_each(Visit visit, interrupt_check interrupted = nullptr) const
    {
        interrupt_poll const poll(interrupted);
        for (std::uint32_t i = 0; i < count_; ++i) {
            poll.now();
            roaring::container const c = container_at(i);
            c.for_each([&visit, base = c.base()](std::uint16_t low) { visit(base | low); });
        }
    }

    // visit(first, last) for each maximal range of consecutive elements, ascending.
    template <typename Visit>
    void for_each_range(Visit visit, interrupt_check interrupted = nullptr) const
    {
        interrupt_poll const poll(interrupted);
        bool pending = false;
        std::uint32_t first = 0;
        std::uint32_t last = 0;
        for (std::uint32_t i = 0; i < count_; ++i) {
            poll.now();
            roaring::container const c = container_at(i);
            c.for_each_run([&, base = c.base()](roaring::run r) {
                if (pending && (base | r.first) == last + 1) {
                    last = base | r.last;
                    return;
                }
                if (pending)
                    visit(first, last);
                pending = true;
                first = base | r.first;
                last = base | r.last;
            });
        }
        if (pending)
            visit(first, last);
    }

private:
    std::uint16_t key_at(std::uint32_t i) const noexcept
    {
        return roaring::load<std::uint16_t>(headers_ + 4 * i);
    }
    bool is_run_at(std::uint32_t i) const noexcept
    {
        return run_flags_ != nullptr && (run_flags_[i / 8] >> (i % 8) & 1) != 0;
    }
    roaring::container container_with(std::uint32_t i, const std::uint8_t *payload) const noexcept;

    const std::uint8_t *bytes_ = nullptr;
    const std::uint8_t *run_flags_ = nullptr; // nullptr: no runs
    const std::uint8_t *headers_ = nullptr;   // key and cardinality - 1 of each container
    const std::uint8_t *offsets_ = nullptr;   // nullptr: three containers or fewer; walk
    const std::uint8_t *payloads_ = nullptr;
    std::size_t size_ = 0;
    std::uint32_t count_ = 0;
};

// A position in a set, for callers that take one element at a time. Plain data, as is the view.
class user_set_cursor
{
public:
    explicit user_set_cursor(const user_set_view &set) noexcept : set_(set) { open(0); }
    // False at the end; then `value` is untouched.
    bool next(std::uint32_t &value) noexcept;

private:
    void open(std::uint32_t container) noexcept;
    bool next_low(std::uint16_t &low) noexcept;

    user_set_view set_;
    roaring::container current_;
    std::uint32_t container_ = 0;
    std::uint32_t position_ = 0; // index of the array element, word or run
    std::uint32_t next_in_run_ = 0;
    std::uint64_t word_ = 0;
};

// The stored form of what a writer collected.
std::size_t stored_size(const roaring::writer &set) noexcept;
void write_stored(const roaring::writer &set, std::uint8_t *out) noexcept;

// The largest stored set (every second integer): 65,536 bitsets. So a set always fits into a PostgreSQL value.
constexpr std::size_t max_stored_size = 1 + 8 + std::size_t{65536} * (8 + roaring::bitset_bytes);

// Checks foreign portable bytes completely (also the contents) and appends the set in canonical form. Accepts
// what any implementation of the format writes; throws errc::corrupt_data for everything else.
void decode_portable(const std::uint8_t *bytes, std::size_t size, roaring::writer &out,
                     interrupt_check interrupted = nullptr);

// Appends a set given by ascending distinct values, or by ascending ranges that neither overlap nor touch.
struct value_range {
    std::uint32_t first;
    std::uint32_t last;
};
void write_sorted_values(const std::uint32_t *values, std::size_t count, roaring::writer &out,
                         interrupt_check interrupted = nullptr);
void write_sorted_ranges(const value_range *ranges, std::size_t count, roaring::writer &out,
                         interrupt_check interrupted = nullptr);

// Algebra. Results go to an empty writer.
void unite(const user_set_view &a, const user_set_view &b, roaring::writer &out, interrupt_check = nullptr);
void intersect(const user_set_view &a, const user_set_view &b, roaring::writer &out,
               interrupt_check = nullptr);
void subtract(const user_set_view &a, const user_set_view &b, roaring::writer &out,
              interrupt_check = nullptr);
void symmetric_difference(const user_set_view &a, const user_set_view &b, roaring::writer &out,
                          interrupt_check = nullptr);
std::uint64_t intersection_cardinality(const user_set_view &a, const user_set_view &b,
                                       interrupt_check = nullptr);
bool includes(const user_set_view &whole, const user_set_view &part, interrupt_check = nullptr);
bool overlaps(const user_set_view &a, const user_set_view &b, interrupt_check = nullptr);

// Many sets at once, chunk by chunk: no memory beyond one chunk and one counter per set.
std::uint64_t union_cardinality(const user_set_view *sets, std::size_t count,
                                std::pmr::memory_resource *memory, interrupt_check = nullptr);

// Negative, zero, positive: the order of the sorted arrays of elements, {} < {1} < {1,2} < {2}.
int compare(const user_set_view &a, const user_set_view &b, interrupt_check = nullptr);

// The element as the set holds it; throws errc::out_of_range outside 0..4294967295.
std::uint32_t user_set_element(std::int64_t value);

// Text form: {1,2,5-9}; three or more consecutive elements are a range.
std::size_t text_size(const user_set_view &set, interrupt_check = nullptr);
char *write_text(const user_set_view &set, char *out, interrupt_check = nullptr); // the end; no NUL
void parse_user_set(std::string_view text, roaring::writer &out, interrupt_check = nullptr);

// Elements in any order, repeated at will, and whole sets. Never needs its destructor when its memory is
// freed otherwise.
class user_set_builder
{
public:
    explicit user_set_builder(std::pmr::memory_resource *memory)
        : memory_(memory), chunks_(memory), pending_(memory)
    {
    }
    ~user_set_builder();
    user_set_builder(const user_set_builder &) = delete;
    user_set_builder &operator=(const user_set_builder &) = delete;

    void add(std::uint32_t value)
    {
        if (recent_ < chunks_.size() && chunks_[recent_].key == roaring::high_half(value) &&
            chunks_[recent_].kind == roaring::container_kind::bitset)
            bits_of(chunks_[recent_]).set(roaring::low_half(value));
        else
            add_elsewhere(value);
    }
    void add(const user_set_view &set, interrupt_check interrupted = nullptr); // set must be canonical
    void add(user_set_builder &other, interrupt_check interrupted = nullptr);

    // Settles what is pending first; the set that the builder stands for does not change.
    void write(roaring::writer &out, interrupt_check interrupted = nullptr);

private:
    // One container. Arrays and bitsets grow in place; runs are kept as they came and never changed.
    struct chunk {
        std::uint8_t *data;
        std::uint32_t capacity;    // bytes of data
        std::uint32_t cardinality; // not kept for bitsets
        std::uint32_t runs;
        std::uint16_t key;
        roaring::container_kind kind;
    };
    static roaring::bitset &bits_of(chunk &c) noexcept
    {
        return *reinterpret_cast<roaring::bitset *>(c.data);
    }
    static std::uint16_t *array_of(const chunk &c) noexcept
    {
        return reinterpret_cast<std::uint16_t *>(c.data);
    }
    static roaring::container runs_of(const chunk &c) noexcept
    {
        return {c.key, roaring::container_kind::run, c.cardinality, c.runs, c.data};
    }

    void add_elsewhere(std::uint32_t value);
    void settle();
    std::size_t find(std::uint16_t key) const noexcept;
    void add_lows(chunk &c, const std::uint32_t *values, std::size_t count);
    void add_container(chunk &c, const roaring::container &other);
    void adopt(chunk &c, const roaring::container &other);
    void merge_array(chunk &c, const std::uint16_t *lows, std::uint32_t count);
    void become_bitset(chunk &c);
    std::uint8_t *allocate(std::size_t bytes);
    void replace(chunk &c, std::uint8_t *data, std::size_t bytes) noexcept;
    template <typename KeyAt>
    void insert_keys(std::size_t count, KeyAt key_at);

    std::pmr::memory_resource *memory_;
    std::pmr::vector<chunk> chunks_;          // ascending keys
    std::pmr::vector<std::uint32_t> pending_; // elements not yet in a chunk
    std::size_t recent_ = 0;                  // the chunk hit last
    std::size_t bitsets_ = 0;
};

} // namespace shadow
