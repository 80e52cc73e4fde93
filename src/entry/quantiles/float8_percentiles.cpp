#include "entry/quantiles/float8_percentiles.hpp"
#include "pg/boundary.hpp"
#include "pg/memory.hpp"

namespace shadow::entry
{

static double *plain_fractions(const pg::datum_span &fractions)
{
    auto const count = static_cast<std::size_t>(fractions.count);
    auto *const plain = static_cast<double *>(palloc((count + 1) * sizeof(double)));
    for (std::size_t i = 0; i < count; ++i)
        plain[i] = fractions.nulls[i] ? 0 : DatumGetFloat8(fractions.values[i]);
    return plain;
}

pg::datum_span float8_fractions(ArrayType *array)
{
    pg::datum_span const fractions = pg::deconstruct(array);
    check_fractions(plain_fractions(fractions), static_cast<std::size_t>(fractions.count));
    return fractions;
}

Datum float8_percentiles(const pg::float8_span &values, const pg::datum_span &fractions, quantile_type type)
{
    double *const results = plain_fractions(fractions);
    auto const count = static_cast<std::size_t>(fractions.count);
    if (values.count > 0) {
        pg::palloc_resource memory(CurrentMemoryContext);
        compute_percentiles(values.data, values.count, type, results, count, results, &memory,
                            pg::interrupted);
    }
    for (std::size_t i = 0; i < count; ++i) {
        fractions.nulls[i] |= values.count == 0;
        fractions.values[i] = Float8GetDatum(results[i]);
    }
    return make_array(fractions, FLOAT8OID);
}

} // namespace shadow::entry
