#pragma once
// One-dimensional views of SQL arrays: elements in storage order whatever the dimensions. Plain data only.

#include "pg/prelude.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
}

namespace shadow::pg
{

struct float8_span {
    const double *data;
    std::size_t count;
};

inline std::size_t array_size(const ArrayType *array)
{
    return static_cast<std::size_t>(ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
}

inline bool is_null_slot(const bits8 *nulls, std::size_t i)
{
    return nulls != nullptr && (nulls[i / 8] & (1 << (i % 8))) == 0;
}

// The non-NULL elements: in place when there is no NULL, else a palloc'd copy without them.
inline float8_span non_null_float8(ArrayType *array)
{
    auto const *const data = reinterpret_cast<const double *>(ARR_DATA_PTR(array));
    std::size_t const slots = array_size(array);
    const bits8 *const nulls = ARR_NULLBITMAP(array);
    if (nulls == nullptr)
        return {data, slots};
    auto *const copy = static_cast<double *>(palloc_extended((slots + 1) * sizeof(double), MCXT_ALLOC_HUGE));
    std::size_t count = 0;
    for (std::size_t i = 0; i < slots; ++i)
        if (!is_null_slot(nulls, i)) {
            copy[count] = data[count];
            ++count;
        }
    return {copy, count};
}

// The elements as Datums with their null flags; both palloc'd.
struct datum_span {
    Datum *values;
    bool *nulls;
    int count;
};

inline datum_span deconstruct(ArrayType *array)
{
    datum_span result;
    int16 length;
    bool by_value;
    char alignment;
    get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
    deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &result.values, &result.nulls,
                      &result.count);
    return result;
}

// A one-dimensional array; empty when there are no elements.
inline Datum make_array(const datum_span &elements, Oid type)
{
    int16 length;
    bool by_value;
    char alignment;
    get_typlenbyvalalign(type, &length, &by_value, &alignment);
    int dimensions[] = {elements.count};
    int bounds[] = {1};
    return PointerGetDatum(construct_md_array(elements.values, elements.nulls, elements.count > 0 ? 1 : 0,
                                              dimensions, bounds, type, length, by_value, alignment));
}

// n > 0 elements of a fixed width without NULLs, all 0, to be filled in at ARR_DATA_PTR().
inline ArrayType *new_fixed_array(std::size_t n, std::size_t width, Oid type)
{
    Size const size = ARR_OVERHEAD_NONULLS(1) + n * width;
    auto *const array = static_cast<ArrayType *>(palloc0(size));
    SET_VARSIZE(array, size);
    array->ndim = 1;
    array->elemtype = type;
    ARR_DIMS(array)[0] = static_cast<int>(n);
    ARR_LBOUND(array)[0] = 1;
    return array;
}

} // namespace shadow::pg
