#pragma once
// An append-only array of rows for aggregation states that hold millions of them: a column takes as many
// bytes as its widest value so far, none while all values are 0, and rows never move as a whole when one is
// added. A few thousand rows are kept as they are, which is faster.
//
// Row: `columns`, their number; `widths`, the bytes to begin with; pack(values, origin) and unpack(values,
// origin), which turn it into unsigned numbers, small ones where possible, and back. `origin` is an instant
// of the pool: times near it become small numbers (zigzag() of the difference).

#include "core/base/pool.hpp"

#include <utility>

namespace shadow
{

// Numbers near 0 become small unsigned ones (Protocol Buffers' encoding).
constexpr std::uint64_t zigzag(std::int64_t value) noexcept
{
    return (static_cast<std::uint64_t>(value) << 1) ^ (value < 0 ? ~std::uint64_t{0} : 0);
}
constexpr std::int64_t unzigzag(std::uint64_t value) noexcept
{
    return static_cast<std::int64_t>((value >> 1) ^ (0 - (value & 1)));
}
// Differences may overflow: they wrap around, and back.
constexpr std::uint64_t pack_time(std::int64_t at, std::int64_t origin) noexcept
{
    return zigzag(
        static_cast<std::int64_t>(static_cast<std::uint64_t>(at) - static_cast<std::uint64_t>(origin)));
}
constexpr std::int64_t unpack_time(std::uint64_t value, std::int64_t origin) noexcept
{
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(unzigzag(value)) +
                                     static_cast<std::uint64_t>(origin));
}
// A position, or none as 0.
constexpr std::uint64_t pack_position(std::uint32_t position) noexcept
{
    return static_cast<std::uint32_t>(position + 1);
}
constexpr std::uint32_t unpack_position(std::uint64_t value) noexcept
{
    return static_cast<std::uint32_t>(value) - 1;
}

template <typename Row>
class packed_pool
{
    using values = std::uint64_t[Row::columns];

public:
    explicit packed_pool(std::pmr::memory_resource *memory) noexcept : segments_(memory), memory_(memory)
    {
        layout_.take(Row::widths);
    }

    std::uint32_t size() const noexcept { return size_; }
    std::uint32_t row_bytes() const noexcept { return layout_.stride; }
    std::int64_t origin() const noexcept { return origin_; }
    // While it is empty.
    void set_origin(std::int64_t origin) noexcept { origin_ = origin; }

    Row operator[](std::uint32_t i) const noexcept
    {
        if (is_plain_)
            return plain_[i];
        values v;
        read(row_at(i), layout_, v);
        Row result;
        result.unpack(v, origin_);
        return result;
    }
    // One column, as pack() made it.
    std::uint64_t column(std::uint32_t i, int c) const noexcept
    {
        if (!is_plain_)
            return load(row_at(i) + layout_.offsets[c]) & layout_.masks[c];
        values v;
        plain_[i].pack(v, origin_);
        return v[c];
    }
    void set(std::uint32_t i, const Row &row)
    {
        if (is_plain_) {
            plain_[i] = row;
            return;
        }
        values v;
        row.pack(v, origin_);
        make_room_for(v);
        write(row_at(i), v);
    }
    std::uint32_t push(const Row &row)
    {
        if (is_plain_ && size_ == plain_capacity_)
            grow_plain();
        if (!is_plain_)
            return push_packed(row);
        plain_[size_] = row;
        return size_++;
    }
    void prefetch(std::uint32_t i) const noexcept
    {
        if (is_plain_)
            prefetch_lines(plain_ + i, sizeof(Row));
        else
            prefetch_lines(row_at(i), layout_.stride);
    }
    // Frees the memory.
    void release() noexcept
    {
        release_plain();
        is_plain_ = true;
        for (std::uint32_t s = 0; s < segments_.size(); ++s)
            memory_->deallocate(segments_[s], bytes_of(rows_of(s), layout_.stride), 1);
        segments_.release();
        size_ = capacity_ = 0;
    }

private:
    static constexpr std::uint32_t segment_rows = 4096;
    static constexpr std::uint32_t most_plain_rows = 4096;
    static_assert(std::is_trivially_copyable_v<Row>);

    std::uint32_t push_packed(const Row &row)
    {
        values v;
        row.pack(v, origin_);
        make_room_for(v);
        if (size_ == capacity_)
            grow();
        write(row_at(size_), v);
        return size_++;
    }
    void release_plain() noexcept
    {
        if (plain_ != nullptr)
            memory_->deallocate(plain_, plain_capacity_ * sizeof(Row), alignof(Row));
        plain_ = nullptr;
        plain_capacity_ = 0;
    }
    void grow_plain()
    {
        if (size_ == most_plain_rows) {
            pack_all();
            return;
        }
        std::uint32_t const wanted = std::max<std::uint32_t>(plain_capacity_ * 2, 4);
        auto *const bigger = static_cast<Row *>(memory_->allocate(wanted * sizeof(Row), alignof(Row)));
        if (size_ > 0)
            std::memcpy(static_cast<void *>(bigger), plain_, size_ * sizeof(Row));
        release_plain();
        plain_ = bigger;
        plain_capacity_ = wanted;
    }
    void pack_all()
    {
        std::uint32_t const n = size_;
        size_ = 0;
        is_plain_ = false;
        for (std::uint32_t i = 0; i < n; ++i)
            push_packed(plain_[i]);
        release_plain();
    }

    struct layout {
        std::uint64_t masks[Row::columns];
        std::uint8_t offsets[Row::columns], widths[Row::columns];
        std::uint32_t stride;

        // At least these widths, and such that the values fit.
        void take(const std::uint8_t (&least)[Row::columns], const values &v = {}) noexcept
        {
            stride = 0;
            for (int c = 0; c < Row::columns; ++c) {
                widths[c] = least[c];
                while (widths[c] < 8 && v[c] >> (8 * widths[c]) != 0)
                    ++widths[c];
                offsets[c] = static_cast<std::uint8_t>(stride);
                masks[c] = widths[c] == 0 ? 0 : ~std::uint64_t{0} >> (64 - 8 * widths[c]);
                stride += widths[c];
            }
        }
    };

    // Little-endian, whatever the machine.
    static std::uint64_t little_endian(std::uint64_t v) noexcept
    {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return v;
#else
        return __builtin_bswap64(v);
#endif
    }
    static std::uint64_t load(const char *p) noexcept
    {
        std::uint64_t v;
        std::memcpy(&v, p, sizeof v);
        return little_endian(v);
    }
    static void store(char *p, std::uint64_t v) noexcept
    {
        v = little_endian(v);
        std::memcpy(p, &v, sizeof v);
    }
    // Every column is read and written as 8 bytes: the last one's reach beyond the row.
    static std::size_t bytes_of(std::uint32_t rows, std::uint32_t stride) noexcept
    {
        return std::size_t{rows} * stride + sizeof(std::uint64_t);
    }
    std::uint32_t rows_of(std::uint32_t segment) const noexcept
    {
        return std::min(capacity_ - segment * segment_rows, segment_rows);
    }
    char *row_at(std::uint32_t i) const noexcept
    {
        return segments_[i / segment_rows] + std::size_t{i % segment_rows} * layout_.stride;
    }
    // Not a loop, so that the values stay in registers and unused columns are not read.
    template <typename Visit>
    static void for_each_column(Visit visit) noexcept
    {
        visit_columns(visit, std::make_index_sequence<Row::columns>());
    }
    template <typename Visit, std::size_t... columns>
    static void visit_columns(Visit &visit, std::index_sequence<columns...>) noexcept
    {
        (visit(std::integral_constant<std::size_t, columns>()), ...);
    }
    static void read(const char *row, const layout &from, values &v) noexcept
    {
        for_each_column([&](auto c) { v[c] = load(row + from.offsets[c]) & from.masks[c]; });
    }
    // Each column's surplus bytes are overwritten by those of the next, the last one's put back.
    void write(char *row, const values &v) const noexcept
    {
        std::uint64_t const behind = load(row + layout_.stride);
        for_each_column([&](auto c) { store(row + layout_.offsets[c], v[c]); });
        store(row + layout_.stride, behind);
    }
    void make_room_for(const values &v)
    {
        std::uint64_t too_wide = 0;
        for_each_column([&](auto c) { too_wide |= v[c] & ~layout_.masks[c]; });
        if (too_wide != 0)
            widen(v);
    }
    // Rewrites the rows, segment by segment.
    void widen(const values &v)
    {
        layout const narrow = layout_;
        layout_.take(narrow.widths, v);
        for (std::uint32_t s = 0; s < segments_.size(); ++s) {
            char *const old = segments_[s];
            char *const wider = segments_[s] = allocate(rows_of(s));
            std::uint32_t const used = std::min(size_ - s * segment_rows, segment_rows);
            for (std::uint32_t i = 0; i < used; ++i) {
                values row;
                read(old + std::size_t{i} * narrow.stride, narrow, row);
                write(wider + std::size_t{i} * layout_.stride, row);
            }
            memory_->deallocate(old, bytes_of(rows_of(s), narrow.stride), 1);
        }
    }
    char *allocate(std::uint32_t rows)
    {
        auto *const segment = static_cast<char *>(memory_->allocate(bytes_of(rows, layout_.stride), 1));
        std::memset(segment + std::size_t{rows} * layout_.stride, 0, sizeof(std::uint64_t));
        return segment;
    }
    // The first segment grows by doubling, those after it come whole.
    void grow()
    {
        if (capacity_ >= npos - segment_rows)
            throw std::length_error("too many distinct values in one workspace and bucket");
        if (capacity_ >= segment_rows) {
            segments_.push(allocate(segment_rows));
            capacity_ += segment_rows;
            return;
        }
        std::uint32_t const wanted = std::max<std::uint32_t>(capacity_ * 2, 8);
        char *const bigger = allocate(wanted);
        if (capacity_ == 0) {
            segments_.push(bigger);
        } else {
            std::memcpy(bigger, segments_[0], std::size_t{size_} * layout_.stride);
            memory_->deallocate(segments_[0], bytes_of(capacity_, layout_.stride), 1);
            segments_[0] = bigger;
        }
        capacity_ = wanted;
    }

    layout layout_;
    pool<char *> segments_;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = 0;
    std::int64_t origin_ = 0;
    Row *plain_ = nullptr;
    std::uint32_t plain_capacity_ = 0;
    bool is_plain_ = true;
    std::pmr::memory_resource *memory_;
};

} // namespace shadow
