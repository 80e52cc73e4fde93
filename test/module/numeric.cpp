// Shows what pg::numeric_view reads, which SQL cannot reach otherwise, for test/sql/numeric.sql.

#include "pg/numeric.hpp"
#include "pg/boundary.hpp"

// (numeric, scale integer) -> round(numeric, scale) through a scaled integer and back; NULL where there is none.
SHADOW_FUNCTION(test_scaled_numeric)
{
    shadow::pg::numeric_view const value(PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)));
    int const scale = PG_GETARG_INT32(1);
    shadow::int128 wide;
    if (!value.to_scaled(scale, wide))
        PG_RETURN_NULL();
    std::int64_t narrow;
    if (value.to_scaled(scale, narrow) && narrow != wide)
        throw std::logic_error("int64 and int128 disagree");
    PG_RETURN_NUMERIC(shadow::pg::numeric_from_scaled(wide, scale));
}

// (numeric) -> what the view reads: kind, sign, decimals shown, decimals needed.
SHADOW_FUNCTION(test_describe_numeric)
{
    shadow::pg::numeric_view const value(PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)));
    static const char *const kinds[] = {"finite", "NaN", "Infinity", "-Infinity"};
    char *const text = psprintf("%s %s %d %d", kinds[static_cast<int>(value.kind())],
                                value.is_negative() ? "-" : "+", value.display_scale(), value.needed_scale());
    PG_RETURN_TEXT_P(cstring_to_text(text));
}
