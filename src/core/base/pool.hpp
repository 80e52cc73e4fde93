#pragma once
// An append-only array of trivially copyable elements, which are known by their positions. It needs no
// destructor: it dies with its memory.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <stdexcept>
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

// An append-only array; push() may move the elements. Grows by doubling while it is small, then by a quarter,
// so that large states waste little.
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

} // namespace shadow
