#pragma once
// Finds the rows of a packed_pool by content: buckets of a cache line, each with the positions of up to 12
// rows and 8 bits of their hashes. A bucket that is full overflows into the next. 6 to 8 bytes per row once
// there are many: to grow, the table is freed first and then built anew from the rows.

#include "core/base/pool.hpp"

namespace shadow
{

class position_index
{
public:
    explicit position_index(std::pmr::memory_resource *memory) noexcept : memory_(memory) {}

    // The position of the row for which equals(position) holds; without one, add() makes it.
    // for_each_row(insert) calls insert(hash, position) for every row that was added before.
    template <typename Equals, typename Rows, typename Add>
    std::uint32_t find_or_add(std::uint64_t hash, Equals equals, Rows for_each_row, Add add)
    {
        if (size_ >= most())
            grow(for_each_row);
        for (bucket *b = home(hash);; b = next(b)) {
            for (std::uint32_t i = 0; i < b->used; ++i)
                if (b->tags[i] == tag_of(hash) && equals(b->positions[i]))
                    return b->positions[i];
            if (b->used == bucket_rows)
                continue;
            std::uint32_t const position = add();
            put(*b, hash, position);
            return position;
        }
    }
    // Room for so many rows, while it is empty.
    void reserve(std::uint32_t rows)
    {
        std::uint32_t const wanted = rows / (bucket_rows * 2 / 3) + 1;
        if (size_ == 0 && wanted > count_)
            make(wanted);
    }
    void prefetch(std::uint64_t hash) const noexcept
    {
        if (buckets_ != nullptr)
            prefetch_lines(home(hash), sizeof(bucket));
    }
    // Where the row probably is; npos if it is not in the first bucket looked at.
    std::uint32_t guess(std::uint64_t hash) const noexcept
    {
        if (buckets_ == nullptr)
            return npos;
        const bucket &b = *home(hash);
        for (std::uint32_t i = 0; i < b.used; ++i)
            if (b.tags[i] == tag_of(hash))
                return b.positions[i];
        return npos;
    }
    // Frees the memory.
    void release() noexcept
    {
        if (buckets_ != nullptr)
            memory_->deallocate(buckets_, count_ * sizeof(bucket), alignof(bucket));
        buckets_ = nullptr;
        count_ = size_ = 0;
    }

private:
    static constexpr std::uint32_t bucket_rows = 12;

    struct bucket {
        std::uint8_t tags[bucket_rows];
        std::uint32_t used;
        std::uint32_t positions[bucket_rows];
    };
    static_assert(sizeof(bucket) == 64);

    static std::uint8_t tag_of(std::uint64_t hash) noexcept { return static_cast<std::uint8_t>(hash >> 24); }
    bucket *home(std::uint64_t hash) const noexcept { return buckets_ + ((hash >> 32) * count_ >> 32); }
    bucket *next(bucket *b) const noexcept { return ++b == buckets_ + count_ ? buckets_ : b; }
    // Nine tenths full: some buckets overflow then.
    std::uint32_t most() const noexcept
    {
        return static_cast<std::uint32_t>(std::uint64_t{count_} * bucket_rows * 9 / 10);
    }
    void put(bucket &b, std::uint64_t hash, std::uint32_t position) noexcept
    {
        b.tags[b.used] = tag_of(hash);
        b.positions[b.used++] = position;
        ++size_;
    }
    void make(std::uint64_t buckets)
    {
        release();
        buckets_ = static_cast<bucket *>(memory_->allocate(buckets * sizeof(bucket), alignof(bucket)));
        count_ = static_cast<std::uint32_t>(buckets);
        std::memset(static_cast<void *>(buckets_), 0, buckets * sizeof(bucket));
    }
    template <typename Rows>
    void grow(Rows for_each_row)
    {
        std::uint64_t const wanted = count_ < 64 ? std::max<std::uint64_t>(std::uint64_t{count_} * 2, 1)
                                                 : std::uint64_t{count_} + count_ / 4;
        make(wanted);
        for_each_row([this](std::uint64_t hash, std::uint32_t position) {
            bucket *b = home(hash);
            while (b->used == bucket_rows)
                b = next(b);
            put(*b, hash, position);
        });
    }

    std::pmr::memory_resource *memory_;
    bucket *buckets_ = nullptr;
    std::uint32_t count_ = 0; // of the buckets
    std::uint32_t size_ = 0;
};

} // namespace shadow
