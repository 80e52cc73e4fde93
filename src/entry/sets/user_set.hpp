#pragma once
// analytics.user_set values as core sees them. The type is a varlena that holds the stored form.

#include "core/sets/user_set.hpp"
#include "pg/memory.hpp"

namespace shadow::entry
{

// A detoasted value, possibly with a short header: what PG_DETOAST_DATUM_PACKED returns. Detoast first, open
// afterwards: detoasting may raise, opening throws.
inline user_set_view open_user_set(const varlena *value)
{
    return user_set_view::stored(reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(value)),
                                 VARSIZE_ANY_EXHDR(value));
}

// The value that a writer collected, in the current memory context.
inline Datum make_user_set(const roaring::writer &set)
{
    static_assert(max_stored_size + VARHDRSZ < 0x3fffffff, "every set fits into a value");
    varlena *const value = pg::allocate_varlena(stored_size(set));
    write_stored(set, reinterpret_cast<std::uint8_t *>(VARDATA(value)));
    return PointerGetDatum(value);
}

} // namespace shadow::entry
