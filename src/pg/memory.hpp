#pragma once
// palloc as a std::pmr memory resource: core's containers live in a memory context, are accounted to it
// and die with it, also after a longjmp. Failure is std::bad_alloc, never a longjmp through C++ frames.

#include "pg/boundary.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace shadow::pg
{

class palloc_resource final : public std::pmr::memory_resource
{
public:
    explicit palloc_resource(MemoryContext context) noexcept : context_(context) {}

private:
    // palloc aligns to MAXIMUM_ALIGNOF (8). A stricter block is cut out of a larger one, whose address stands
    // in front of it.
    void *do_allocate(std::size_t bytes, std::size_t alignment) override
    {
        if (alignment <= MAXIMUM_ALIGNOF)
            return allocate_plain(bytes);
        std::size_t const extra = alignment + sizeof(void *);
        if (bytes > MaxAllocHugeSize - extra)
            throw std::bad_alloc();
        void *const block = allocate_plain(bytes + extra);
        void *aligned = static_cast<char *>(block) + sizeof(void *);
        std::size_t space = bytes + alignment;
        std::align(alignment, bytes, aligned, space);
        static_cast<void **>(aligned)[-1] = block;
        return aligned;
    }
    void do_deallocate(void *p, std::size_t, std::size_t alignment) noexcept override
    {
        pfree(alignment <= MAXIMUM_ALIGNOF ? p : static_cast<void **>(p)[-1]);
    }
    void *allocate_plain(std::size_t bytes) const
    {
        if (!AllocHugeSizeIsValid(bytes))
            throw std::bad_alloc();
        void *const p = MemoryContextAllocExtended(context_, bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
        if (p == nullptr)
            throw std::bad_alloc();
        return p;
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        auto const *const o = dynamic_cast<const palloc_resource *>(&other);
        return o != nullptr && o->context_ == context_;
    }

    MemoryContext context_;
};

// A varlena to be filled. Throws instead of raising, so it may be called while C++ objects live.
inline varlena *allocate_varlena(std::size_t payload, MemoryContext context = CurrentMemoryContext)
{
    auto *const value =
        static_cast<varlena *>(palloc_resource(context).allocate(VARHDRSZ + payload, MAXIMUM_ALIGNOF));
    SET_VARSIZE(value, VARHDRSZ + payload);
    return value;
}

// Free memory goes back to the operating system. The C library keeps what lies between blocks in use: after a
// large state that would be most of it, for as long as the session lasts.
inline void return_free_memory() noexcept
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

} // namespace shadow::pg
