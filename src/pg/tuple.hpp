#pragma once
// Datums from the values of core. Plain data only.

#include "core/base/arena.hpp"
#include "core/base/nullable.hpp"
#include "core/base/uuid.hpp"
#include "pg/numeric.hpp"
#include "pg/prelude.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"
}

namespace shadow::pg
{

inline Datum uuid_datum(const uuid &id)
{
    auto *const result = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    id.to_bytes(result->data);
    return UUIDPGetDatum(result);
}

// Valid as long as the value is; a detoasted one lies in the current context.
inline std::string_view text_view(Datum text)
{
    auto const *const plain = PG_DETOAST_DATUM_PACKED(text);
    return {VARDATA_ANY(plain), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(plain))};
}

inline Datum text_datum(std::string_view text)
{
    return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
}

// A varlena of any type from its content.
inline Datum bytes_datum(std::string_view bytes)
{
    return text_datum(bytes);
}

// An object or array without elements, which is most of them.
inline Datum empty_jsonb_datum(std::uint32_t kind)
{
    auto *const result = static_cast<Jsonb *>(palloc(VARHDRSZ + sizeof(std::uint32_t)));
    SET_VARSIZE(result, VARHDRSZ + sizeof(std::uint32_t));
    result->root.header = kind;
    return JsonbPGetDatum(result);
}

inline Datum jsonb_datum(std::string_view json)
{
    if (json == "{}" || json == "[]")
        return empty_jsonb_datum(json[0] == '{' ? JB_FOBJECT : JB_FARRAY);
    char *const copy = pnstrdup(json.data(), json.size());
    Datum const result = DirectFunctionCall1(jsonb_in, CStringGetDatum(copy));
    pfree(copy);
    return result;
}

// value * 10^-scale without trailing zeros.
inline Datum trimmed_numeric_datum(int128 value, int scale)
{
    for (; scale > 0 && value % 10 == 0; --scale)
        value /= 10;
    return NumericGetDatum(numeric_from_scaled(value, scale));
}

inline Datum bigint_array_datum(span<std::int64_t> numbers)
{
    auto *const elements = static_cast<Datum *>(palloc((numbers.size + 1) * sizeof(Datum)));
    for (std::size_t i = 0; i < numbers.size; ++i)
        elements[i] = Int64GetDatum(numbers[i]);
    return PointerGetDatum(construct_array(elements, static_cast<int>(numbers.size), INT8OID, sizeof(int64),
                                           FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

inline Datum text_array_datum(span<std::string_view> texts)
{
    auto *const elements = static_cast<Datum *>(palloc((texts.size + 1) * sizeof(Datum)));
    for (std::size_t i = 0; i < texts.size; ++i)
        elements[i] = text_datum(texts[i]);
    return PointerGetDatum(
        construct_array(elements, static_cast<int>(texts.size), TEXTOID, -1, false, TYPALIGN_INT));
}

} // namespace shadow::pg
