// calculate_percentiles: one C function per overload, each a line over the two implementations.

#include "core/quantiles/percentiles.hpp"

#include "entry/quantiles/float8_percentiles.hpp"
#include "entry/quantiles/numeric_percentiles.hpp"
#include "pg/boundary.hpp"

namespace entry = shadow::entry;
namespace pg = shadow::pg;
using shadow::quantile_type;

static quantile_type method_argument(FunctionCallInfo fcinfo)
{
    const text *const method = PG_GETARG_TEXT_PP(2);
    return shadow::quantile_type_from_text({VARDATA_ANY(method), VARSIZE_ANY_EXHDR(method)});
}

// The numeric[] that a text argument spells: an untyped literal in the call arrives as text.
static ArrayType *numeric_array_of_text(FunctionCallInfo fcinfo, int argument)
{
    char *const spelled = text_to_cstring(PG_GETARG_TEXT_PP(argument));
    return DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN, spelled, NUMERICOID, -1));
}

static Datum float8_percentiles(ArrayType *numbers, ArrayType *fractions, quantile_type type)
{
    return entry::float8_percentiles(pg::non_null_float8(numbers), entry::float8_fractions(fractions), type);
}

static Datum numeric_percentiles(ArrayType *numbers, ArrayType *fractions, quantile_type type)
{
    return entry::numeric_percentiles(entry::numbers_of(numbers), entry::numeric_fractions(fractions), type);
}

SHADOW_FUNCTION(shadow_percentiles_float8)
{
    return float8_percentiles(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), method_argument(fcinfo));
}

// Numbers are numeric[] or bigint[], fractions numeric[] or integer[].
SHADOW_FUNCTION(shadow_percentiles_numeric)
{
    return numeric_percentiles(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1), method_argument(fcinfo));
}

// The fractions are spelled as text.
SHADOW_FUNCTION(shadow_percentiles_numeric_text)
{
    return numeric_percentiles(PG_GETARG_ARRAYTYPE_P(0), numeric_array_of_text(fcinfo, 1),
                               method_argument(fcinfo));
}

// Both are spelled as text.
SHADOW_FUNCTION(shadow_percentiles_text)
{
    return numeric_percentiles(numeric_array_of_text(fcinfo, 0), numeric_array_of_text(fcinfo, 1),
                               method_argument(fcinfo));
}
