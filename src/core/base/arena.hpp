#pragma once
// Bump allocation from a std::pmr::memory_resource (palloc in the backend), and the arrays it hands out.
// Nothing needs a destructor: what was allocated dies with its memory.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <new>
#include <string_view>
#include <type_traits>

namespace shadow
{

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

} // namespace shadow
