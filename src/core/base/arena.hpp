#pragma once
// The few containers an aggregation state is made of. All memory comes from a std::pmr::memory_resource
// (palloc in the backend); elements are trivially copyable and nothing needs a destructor: the state dies
// with its memory.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <stdexcept>
#include <string_view>
#include <type_traits>

namespace shadow
{

inline constexpr std::uint32_t npos = UINT32_MAX;

// Asks for an object's cache lines ahead of their use.
inline void prefetch_lines(const void *object, std::size_t size) noexcept
{
    auto const *const first = static_cast<const char *>(object);
    __builtin_prefetch(first, 1);
    if (size > 1)
        __builtin_prefetch(first + size - 1, 1);
}

// A plain array handed out by an arena or a result.
template <typename T>
struct span {
    T *data = nullptr;
    std::size_t size = 0;

    T *begin() const noexcept { return data; }
    T *end() const noexcept { return data + size; }
    T &operator[](std::size_t i) const noexcept { return data[i]; }
};

// Bump allocation for texts and results; freed with the resource only.
class arena
{
public:
    explicit arena(std::pmr::memory_resource *memory) noexcept : memory_(memory) {}

    void *allocate(std::size_t bytes, std::size_t alignment)
    {
        std::size_t const skip = (alignment - used_ % alignment) % alignment;
        if (block_ == nullptr || used_ + skip + bytes > capacity_)
            return allocate_in_new_block(bytes);
        used_ += skip;
        void *const p = block_ + used_;
        used_ += bytes;
        return p;
    }
    template <typename T>
    span<T> make(std::size_t n)
    {
        static_assert(std::is_trivially_copyable_v<T>);
        if (n > SIZE_MAX / sizeof(T))
            throw std::bad_alloc();
        return {static_cast<T *>(allocate(n * sizeof(T), alignof(T))), n};
    }
    std::string_view copy(std::string_view text)
    {
        if (text.empty())
            return {};
        auto *const p = static_cast<char *>(allocate(text.size(), 1));
        std::memcpy(p, text.data(), text.size());
        return {p, text.size()};
    }

private:
    void *allocate_in_new_block(std::size_t bytes)
    {
        std::size_t const wanted = capacity_ == 0 ? 512 : std::min<std::size_t>(capacity_ * 2, 65536);
        if (bytes > wanted / 4) // large pieces get a block of their own
            return memory_->allocate(bytes, alignof(std::max_align_t));
        block_ = static_cast<char *>(memory_->allocate(wanted, alignof(std::max_align_t)));
        capacity_ = wanted;
        used_ = bytes;
        return block_;
    }

    std::pmr::memory_resource *memory_;
    char *block_ = nullptr;
    std::size_t used_ = 0;
    std::size_t capacity_ = 0;
};

// An append-only array; push() may move the elements. Grows by doubling while it is small, then by a quarter,
// so that large activities waste little.
template <typename T>
class pool
{
    static_assert(std::is_trivially_copyable_v<T>);

public:
    explicit pool(std::pmr::memory_resource *memory) noexcept : memory_(memory) {}

    std::uint32_t size() const noexcept { return size_; }
    T &operator[](std::uint32_t i) noexcept { return data_[i]; }
    const T &operator[](std::uint32_t i) const noexcept { return data_[i]; }

    std::uint32_t push(const T &value)
    {
        if (size_ == capacity_)
            grow();
        data_[size_] = value;
        return size_++;
    }
    void clear() noexcept { size_ = 0; }
    // Frees the memory.
    void release() noexcept
    {
        if (data_ != nullptr)
            memory_->deallocate(data_, capacity_ * sizeof(T), alignof(T));
        data_ = nullptr;
        size_ = capacity_ = 0;
    }
    void prefetch(std::uint32_t i) const noexcept { prefetch_lines(data_ + i, sizeof(T)); }

private:
    void grow()
    {
        std::uint64_t const wanted = capacity_ < 1024
                                         ? std::max<std::uint64_t>(std::uint64_t{capacity_} * 2, 4)
                                         : capacity_ + capacity_ / 4;
        if (wanted >= npos)
            throw std::length_error("too many distinct values in one workspace and bucket");
        auto *const bigger = static_cast<T *>(memory_->allocate(wanted * sizeof(T), alignof(T)));
        if (data_ != nullptr) {
            std::memcpy(static_cast<void *>(bigger), data_, size_ * sizeof(T));
            memory_->deallocate(data_, capacity_ * sizeof(T), alignof(T));
        }
        data_ = bigger;
        capacity_ = static_cast<std::uint32_t>(wanted);
    }

    std::pmr::memory_resource *memory_;
    T *data_ = nullptr;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = 0;
};

// Open addressing with linear probing over trivially copyable slots; `Slot` says whether it is empty and
// gives its hash. Power-of-two sizes, at most three quarters full.
template <typename Slot>
class probing_table
{
    static_assert(std::is_trivially_copyable_v<Slot>);

public:
    explicit probing_table(std::pmr::memory_resource *memory) noexcept : memory_(memory) {}

    std::uint32_t size() const noexcept { return size_; }
    std::uint32_t capacity() const noexcept { return capacity_; }
    const Slot &slot(std::uint32_t i) const noexcept { return slots_[i]; }

    // The slot for which matches(slot) holds, or the empty slot where it belongs; room for one more is made.
    template <typename Matches>
    Slot &find(std::uint32_t hash, Matches matches)
    {
        if ((size_ + 1) * 4ull > capacity_ * 3ull)
            grow();
        return *probe(slots_, capacity_, hash, matches);
    }
    void count_new() noexcept { ++size_; }
    // The slot for which matches(slot) holds; `missing` without one.
    template <typename Matches>
    Slot find_present(std::uint32_t hash, Matches matches, const Slot &missing) const noexcept
    {
        return capacity_ == 0 ? missing : *probe(slots_, capacity_, hash, matches);
    }

    // Where a search would begin; nullptr while the table is empty.
    const Slot *first_slot(std::uint32_t hash) const noexcept
    {
        return capacity_ == 0 ? nullptr : slots_ + (hash & (capacity_ - 1));
    }
    void prefetch(std::uint32_t hash) const noexcept
    {
        if (capacity_ != 0)
            __builtin_prefetch(first_slot(hash), 1);
    }

private:
    template <typename Matches>
    static Slot *probe(Slot *slots, std::uint32_t capacity, std::uint32_t hash, Matches matches) noexcept
    {
        for (std::uint32_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1))
            if (slots[i].is_empty() || matches(slots[i]))
                return &slots[i];
    }
    void grow()
    {
        if (capacity_ > UINT32_MAX / 4)
            throw std::length_error("too many distinct values in one workspace and bucket");
        std::uint32_t const wanted = capacity_ == 0 ? 8 : capacity_ * 2;
        auto *const bigger = static_cast<Slot *>(memory_->allocate(wanted * sizeof(Slot), alignof(Slot)));
        std::fill(bigger, bigger + wanted, Slot{});
        for (std::uint32_t i = 0; i < capacity_; ++i)
            if (!slots_[i].is_empty())
                *probe(bigger, wanted, slots_[i].hash(), [](const Slot &) { return false; }) = slots_[i];
        if (slots_ != nullptr)
            memory_->deallocate(slots_, capacity_ * sizeof(Slot), alignof(Slot));
        slots_ = bigger;
        capacity_ = wanted;
    }

    std::pmr::memory_resource *memory_;
    Slot *slots_ = nullptr;
    std::uint32_t capacity_ = 0;
    std::uint32_t size_ = 0;
};

// Finds elements of a pool by content.
class pool_index
{
    struct position_slot {
        std::uint32_t tag = 0;
        std::uint32_t position = npos;
        bool is_empty() const noexcept { return position == npos; }
        std::uint32_t hash() const noexcept { return tag; }
    };

public:
    explicit pool_index(std::pmr::memory_resource *memory) noexcept : table_(memory) {}

    // The position of the element for which equals(position) holds; without one, add() makes it.
    template <typename Equals, typename Add>
    std::uint32_t find_or_add(std::uint64_t hash, Equals equals, Add add)
    {
        auto const tag = static_cast<std::uint32_t>(hash >> 32);
        position_slot &slot =
            table_.find(tag, [&](const position_slot &s) { return s.tag == tag && equals(s.position); });
        if (slot.is_empty()) {
            slot.position = add();
            slot.tag = tag;
            table_.count_new();
        }
        return slot.position;
    }
    // The position of the element for which equals(position) holds; npos without one.
    template <typename Equals>
    std::uint32_t find(std::uint64_t hash, Equals equals) const noexcept
    {
        auto const tag = static_cast<std::uint32_t>(hash >> 32);
        return table_
            .find_present(
                tag, [&](const position_slot &s) { return s.tag == tag && equals(s.position); },
                position_slot{})
            .position;
    }
    void prefetch(std::uint64_t hash) const noexcept
    {
        table_.prefetch(static_cast<std::uint32_t>(hash >> 32));
    }
    // Where the element probably is; npos if it is not at the first place looked at.
    std::uint32_t guess(std::uint64_t hash) const noexcept
    {
        auto const tag = static_cast<std::uint32_t>(hash >> 32);
        const position_slot *const slot = table_.first_slot(tag);
        return slot != nullptr && slot->tag == tag ? slot->position : npos;
    }

private:
    probing_table<position_slot> table_;
};

// Counts per pair of positions; used as a set where the counts do not matter. The caller gives the pair's
// hash.
class pair_counts
{
    struct pair_slot {
        std::uint32_t first = npos;
        std::uint32_t second = npos;
        std::uint32_t tag = 0;
        std::uint32_t count = 0;
        bool is_empty() const noexcept { return first == npos; }
        std::uint32_t hash() const noexcept { return tag; }
    };

public:
    explicit pair_counts(std::pmr::memory_resource *memory) noexcept : table_(memory) {}

    // Adds to the pair's count; true if the pair is new.
    bool add(std::uint64_t hash, std::uint32_t first, std::uint32_t second, std::uint32_t count = 1)
    {
        auto const tag = static_cast<std::uint32_t>(hash >> 32);
        pair_slot &slot = table_.find(
            tag, [=](const pair_slot &s) { return s.tag == tag && s.first == first && s.second == second; });
        bool const is_new = slot.is_empty();
        if (is_new)
            table_.count_new();
        if (count > UINT32_MAX - slot.count)
            throw std::length_error("too many events of one name and user in one bucket");
        slot = {first, second, tag, slot.count + count};
        return is_new;
    }
    void prefetch(std::uint64_t hash) const noexcept
    {
        table_.prefetch(static_cast<std::uint32_t>(hash >> 32));
    }
    // visit(first, second, count)
    template <typename Visit>
    void for_each(Visit visit) const
    {
        for (std::uint32_t i = 0; i < table_.capacity(); ++i)
            if (pair_slot const &s = table_.slot(i); !s.is_empty())
                visit(s.first, s.second, s.count);
    }
    std::uint32_t size() const noexcept { return table_.size(); }

private:
    probing_table<pair_slot> table_;
};

// Maps sparse ids to whatever the caller assigns to them, once each.
class id_map
{
    struct id_slot {
        std::uint32_t id = npos;
        std::uint32_t value = 0;
        bool is_empty() const noexcept { return id == npos; }
        std::uint32_t hash() const noexcept { return spread(id); }
    };

public:
    explicit id_map(std::pmr::memory_resource *memory) noexcept : table_(memory) {}

    // The value of the id; without one, add() makes it.
    template <typename Add>
    std::uint32_t find_or_add(std::uint32_t id, Add add)
    {
        id_slot &slot = table_.find(spread(id), [id](const id_slot &s) { return s.id == id; });
        if (slot.is_empty()) {
            slot.value = add();
            slot.id = id;
            table_.count_new();
        }
        return slot.value;
    }

private:
    static std::uint32_t spread(std::uint32_t id) noexcept
    {
        return static_cast<std::uint32_t>((id * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
    }
    probing_table<id_slot> table_;
};

} // namespace shadow
