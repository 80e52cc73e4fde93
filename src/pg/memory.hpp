#pragma once
// palloc as a std::pmr memory resource: core's containers live in a memory context, are accounted to it
// and die with it, also after a longjmp. Failure is std::bad_alloc, never a longjmp through C++ frames.

#include "pg/boundary.hpp"

namespace shadow::pg
{

class palloc_resource final : public std::pmr::memory_resource
{
public:
    explicit palloc_resource(MemoryContext context) noexcept : context_(context) {}

private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        if (alignment > MAXIMUM_ALIGNOF || !AllocHugeSizeIsValid(bytes))
            throw std::bad_alloc();
        void *const p = MemoryContextAllocExtended(context_, bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
        if (p == nullptr)
            throw std::bad_alloc();
        return p;
    }
    void do_deallocate(void *p, std::size_t, std::size_t) noexcept override { pfree(p); }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        auto const *const o = dynamic_cast<const palloc_resource *>(&other);
        return o != nullptr && o->context_ == context_;
    }

    MemoryContext context_;
};

} // namespace shadow::pg
