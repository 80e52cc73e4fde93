#pragma once
// Percentiles of doubles between SQL arrays and core.

#include "core/quantiles/percentiles.hpp"
#include "pg/array.hpp"

namespace shadow::entry
{

// The elements of a float8[]; throws for a fraction outside 0..1.
pg::datum_span float8_fractions(ArrayType *array);

// {float8}: the percentiles in the order of `fractions` (NULLs kept).
Datum float8_percentiles(const pg::float8_span &values, const pg::datum_span &fractions, quantile_type type);

} // namespace shadow::entry
