#include "entry/quantiles/float8_percentiles.hpp"
#include "pg/boundary.hpp"
#include "pg/memory.hpp"

namespace shadow::pg
{

static double *plain_fractions(const datum_span &fractions)
{
    auto const count = static_cast<std::size_t>(fractions.count);
    auto *const plain = static_cast<double *>(palloc((count + 1) * sizeof(double)));
    for (std::size_t i = 0; i < count; ++i)
        plain[i] = fractions.nulls[i] ? 0 : DatumGetFloat8(fractions.values[i]);
    return plain;
}

datum_span float8_fractions(ArrayType *array)
{
    datum_span const fractions = deconstruct(array);
    check_fractions(plain_fractions(fractions), static_cast<std::size_t>(fractions.count));
    return fractions;
}

Datum float8_percentiles(const float8_span &values, const datum_span &fractions, quantile_type type)
{
    double *const results = plain_fractions(fractions);
    auto const count = static_cast<std::size_t>(fractions.count);
    if (values.count > 0) {
        palloc_resource memory(CurrentMemoryContext);
        compute_percentiles(values.data, values.count, type, results, count, results, &memory, interrupted);
    }
    for (std::size_t i = 0; i < count; ++i) {
        fractions.nulls[i] |= values.count == 0;
        fractions.values[i] = Float8GetDatum(results[i]);
    }
    return make_array(fractions, FLOAT8OID);
}

} // namespace shadow::pg
