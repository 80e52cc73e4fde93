#pragma once
// Hash tables of positions and ids: no destructor, they die with their memory.

#include "core/base/pool.hpp"

#include <utility>

namespace shadow
{

// Open addressing with linear probing over trivially copyable slots; `Slot` says whether it is empty and
// gives its hash. Power-of-two sizes, at most three quarters full.
template <typename Slot>
class probing_table
{
    static_assert(std::is_trivially_copyable_v<Slot>);

public:
    explicit probing_table(std::pmr::memory_resource *memory) noexcept : memory_(memory) {}

    // The slot for which matches(slot) holds, or the empty slot where it belongs; room for one more is made.
    template <typename Matches>
    Slot &find(std::uint32_t hash, Matches matches)
    {
        if ((size_ + 1) * 4ull > capacity_ * 3ull)
            grow();
        return *probe(slots_, capacity_, hash, matches);
    }
    void count_new() noexcept { ++size_; }
    // Frees the memory.
    void release() noexcept
    {
        if (slots_ != nullptr)
            memory_->deallocate(slots_, capacity_ * sizeof(Slot), alignof(Slot));
        slots_ = nullptr;
        capacity_ = size_ = 0;
    }
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
    void release() noexcept { table_.release(); }

private:
    probing_table<position_slot> table_;
};

// An index in memory of its own, which it frees. It may be moved.
template <typename Index>
class owned_index : public Index
{
public:
    owned_index() noexcept : Index(std::pmr::new_delete_resource()) {}
    owned_index(owned_index &&other) noexcept : owned_index() { std::swap<Index>(*this, other); }
    owned_index &operator=(owned_index &&other) noexcept
    {
        std::swap<Index>(*this, other);
        return *this;
    }
    ~owned_index() { this->release(); }
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
