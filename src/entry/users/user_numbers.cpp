// Sets of user numbers from the positions of users in a rollup.

#include <algorithm>

#include "entry/sets/user_set.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "utils/array.h"
}

#include "pg/array.hpp"

using namespace shadow;

namespace
{

// The numbers at the positions, as a set.
Datum number_users(const user_set_view &positions, const std::int64_t *numbers, std::size_t count)
{
    pg::palloc_resource memory(CurrentMemoryContext);
    std::pmr::vector<std::uint32_t> chosen(&memory);
    chosen.reserve(positions.cardinality());
    positions.for_each([&](std::uint32_t position) {
        if (position >= count)
            throw error(errc::invalid_argument, "position outside the array of user numbers");
        chosen.push_back(user_set_element(numbers[position]));
    });
    std::sort(chosen.begin(), chosen.end());
    chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
    roaring::writer set(&memory);
    write_sorted_values(chosen.data(), chosen.size(), set, pg::interrupted);
    return entry::make_user_set(set);
}

} // namespace

SHADOW_FUNCTION(shadow_number_users)
{
    varlena *const positions = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
    ArrayType *const numbers = PG_GETARG_ARRAYTYPE_P(1);
    if (ARR_HASNULL(numbers))
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("user numbers must not be null"));
    return number_users(entry::open_user_set(positions),
                        reinterpret_cast<const std::int64_t *>(ARR_DATA_PTR(numbers)),
                        pg::array_size(numbers));
}

SHADOW_FUNCTION(shadow_number_users_array)
{
    ArrayType *const sets = PG_GETARG_ARRAYTYPE_P(0);
    ArrayType *const numbers = PG_GETARG_ARRAYTYPE_P(1);
    if (ARR_HASNULL(sets) || ARR_HASNULL(numbers))
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("positions and user numbers must not be null"));
    pg::datum_span const elements = pg::deconstruct(sets);
    for (int i = 0; i < elements.count; ++i)
        elements.values[i] = number_users(entry::open_user_set(PG_DETOAST_DATUM_PACKED(elements.values[i])),
                                          reinterpret_cast<const std::int64_t *>(ARR_DATA_PTR(numbers)),
                                          pg::array_size(numbers));
    return pg::make_array(elements, ARR_ELEMTYPE(sets));
}
