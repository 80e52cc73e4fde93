#pragma once
// A set of positions: a bitmap where it holds many of them, else a hash table of 4 bytes an entry. Plain
// data: the memory is its owner's, who gives the resource to each call.

#include "core/base/pool.hpp"

namespace shadow
{

class position_set
{
public:
    std::uint32_t size() const noexcept { return size_; }

    // False if the position was there. All positions are below `bound`.
    bool add(std::uint32_t position, std::uint32_t bound, std::pmr::memory_resource *memory)
    {
        if (!has_room(position))
            rebuild(bound, memory);
        return insert(position);
    }
    // Asks for the beginning: of a small set that is all.
    void prefetch() const noexcept { __builtin_prefetch(words_, 1); }
    template <typename Visit>
    void for_each(Visit visit) const
    {
        for (std::uint32_t i = 0; i < length_; ++i) {
            if (!is_bitmap_) {
                if (words_[i] != 0)
                    visit(words_[i] - 1);
                continue;
            }
            for (std::uint32_t rest = words_[i]; rest != 0; rest &= rest - 1)
                visit(i * 32 + static_cast<std::uint32_t>(__builtin_ctz(rest)));
        }
    }
    // Frees the memory.
    void release(std::pmr::memory_resource *memory) noexcept
    {
        if (words_ != nullptr)
            memory->deallocate(words_, std::size_t{length_} * sizeof(std::uint32_t), alignof(std::uint32_t));
        *this = {};
    }

private:
    bool has_room(std::uint32_t position) const noexcept
    {
        return is_bitmap_ ? position / 32 < length_ : std::uint64_t{size_} * 4 < std::uint64_t{length_} * 3;
    }
    bool insert(std::uint32_t position) noexcept
    {
        std::uint32_t &word = is_bitmap_ ? words_[position / 32] : *slot_of(position);
        std::uint32_t const present = is_bitmap_ ? word & (1u << position % 32) : word;
        if (present != 0)
            return false;
        word = is_bitmap_ ? word | 1u << position % 32 : position + 1;
        ++size_;
        return true;
    }
    // The position's slot, or the empty one where it belongs.
    std::uint32_t *slot_of(std::uint32_t position) const noexcept
    {
        std::uint64_t const hash = (position * UINT64_C(0x9E3779B97F4A7C15)) >> 32;
        auto i = static_cast<std::uint32_t>(hash * length_ >> 32);
        while (words_[i] != 0 && words_[i] != position + 1)
            i = i + 1 == length_ ? 0 : i + 1;
        return &words_[i];
    }
    // Larger, as whichever of the two is smaller.
    void rebuild(std::uint32_t bound, std::pmr::memory_resource *memory)
    {
        std::uint64_t const slots = std::uint64_t{size_} * 2 + 4;
        std::uint64_t const words = std::uint64_t{bound} / 32 + bound / 128 + 4;
        position_set larger;
        larger.is_bitmap_ = words <= slots;
        larger.length_ = static_cast<std::uint32_t>(std::min(words, slots));
        std::size_t const bytes = std::size_t{larger.length_} * sizeof(std::uint32_t);
        larger.words_ = static_cast<std::uint32_t *>(memory->allocate(bytes, alignof(std::uint32_t)));
        std::memset(larger.words_, 0, bytes);
        for_each([&](std::uint32_t position) { larger.insert(position); });
        release(memory);
        *this = larger;
    }

    std::uint32_t *words_ = nullptr;
    std::uint32_t length_ = 0; // of words_
    std::uint32_t size_ = 0;
    bool is_bitmap_ = false;
};

} // namespace shadow
