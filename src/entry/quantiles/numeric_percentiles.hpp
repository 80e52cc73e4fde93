#pragma once
// Exact percentiles of numerics: selection on scaled integers where they fit 128 bits, else on the numerics
// themselves; positions and interpolation in PostgreSQL's numeric arithmetic, so exact.

#include "core/quantiles/percentiles.hpp"
#include "pg/array.hpp"
#include "pg/numeric.hpp"

namespace shadow::entry
{

// Numbers where they lie: the body of an array of numeric or bigint, or numerics one after another.
struct number_source {
    const char *data;
    const bits8 *nulls; // nullptr: no NULL
    std::size_t slots;
    bool is_bigint;
};

number_source numbers_of(ArrayType *array);

// {numeric}: the percentiles in the order of `fractions` (numerics or integers, NULLs kept).
Datum numeric_percentiles(const number_source &numbers, const pg::datum_span &fractions, quantile_type type);

// Fractions as numerics: integer elements are converted. Throws for one outside 0..1.
pg::datum_span numeric_fractions(ArrayType *array);

} // namespace shadow::entry
