#pragma once
// A value per user number. Memory comes from the given resource and nothing needs a destructor.

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <vector>

namespace shadow
{

// Pages of the numbers that occur.
template <typename T>
class user_map
{
public:
    explicit user_map(std::pmr::memory_resource *memory) : pages_(memory) {}

    // Value-initialised when the number is new.
    T &operator[](std::uint32_t number)
    {
        std::size_t const page = number / page_size;
        if (page >= pages_.size())
            pages_.resize(page + 1);
        if (pages_[page] == nullptr)
            pages_[page] = new (allocate()) T[page_size]();
        return pages_[page][number % page_size];
    }
    // For numbers in ascending order, most of which lie on the page of the one before.
    class cursor
    {
    public:
        explicit cursor(user_map &map) : map_(map) {}
        T &operator[](std::uint32_t number)
        {
            if (number / page_size != page_) {
                page_ = number / page_size;
                values_ = &map_[static_cast<std::uint32_t>(page_ * page_size)];
            }
            return values_[number % page_size];
        }

    private:
        user_map &map_;
        std::size_t page_ = SIZE_MAX;
        T *values_ = nullptr;
    };
    template <typename Visit>
    void for_each(Visit visit) const
    {
        for (T *const page : pages_)
            for (std::size_t i = 0; page != nullptr && i < page_size; ++i)
                visit(page[i]);
    }

private:
    static constexpr std::size_t page_size = 4096;
    void *allocate()
    {
        return pages_.get_allocator().resource()->allocate(page_size * sizeof(T), alignof(T));
    }
    std::pmr::vector<T *> pages_;
};

} // namespace shadow
