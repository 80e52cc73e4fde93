// The aggregate analytics.percentiles(value, fractions [, method]): keeps the non-NULL values as they come.

#include <algorithm>

#include "core/base/error.hpp"
#include "core/quantiles/percentiles.hpp"

#include "entry/quantiles/float8_percentiles.hpp"
#include "entry/quantiles/numeric_percentiles.hpp"
#include "pg/aggregate.hpp"
#include "pg/boundary.hpp"

namespace entry = shadow::entry;
namespace pg = shadow::pg;

namespace
{

constexpr std::uint32_t state_version = 1;

// Plain data in the aggregate's context. `values` holds doubles, or numerics one after another, each padded
// to 4 bytes, which is how the body of a numeric[] looks.
struct percentiles_state {
    MemoryContext context;
    ArrayType *fractions; // nullptr: NULL fractions or method, and so is the result
    std::int32_t method;
    std::size_t count;
    std::size_t size;
    std::size_t capacity;
    char *values;
};

// What goes over the wire before the fractions (padded to 8 bytes) and the values.
struct wire_header {
    std::uint32_t version;
    std::int32_t method;
    std::uint64_t fractions_size; // 0: NULL
    std::uint64_t count;
    std::uint64_t size;
};

[[noreturn]] void refuse_change(const char *what)
{
    throw shadow::error(shadow::errc::invalid_argument, std::string(what) + " must be the same in every row",
                        std::string("The aggregate \"percentiles\" got two different values of ") + what +
                            ".",
                        std::string("Group by ") + what + ", or give a constant.");
}

[[noreturn]] void refuse_bytes()
{
    throw shadow::error(shadow::errc::corrupt_data, "invalid state of the aggregate \"percentiles\"",
                        "It was written by another version or is damaged.");
}

percentiles_state *new_state(MemoryContext context, const ArrayType *fractions, std::int32_t method)
{
    auto *const state =
        static_cast<percentiles_state *>(MemoryContextAllocZero(context, sizeof(percentiles_state)));
    state->context = context;
    state->method = method;
    if (fractions != nullptr) {
        state->fractions = static_cast<ArrayType *>(MemoryContextAlloc(context, VARSIZE(fractions)));
        std::memcpy(state->fractions, fractions, VARSIZE(fractions));
    }
    return state;
}

// Room for `more` bytes at the end of the values.
char *extend(percentiles_state *state, std::size_t more)
{
    if (state->capacity - state->size < more) {
        std::size_t const capacity = std::max({state->capacity * 2, state->size + more, std::size_t{512}});
        state->values =
            static_cast<char *>(state->values == nullptr ? MemoryContextAllocHuge(state->context, capacity)
                                                         : repalloc_huge(state->values, capacity));
        state->capacity = capacity;
    }
    char *const end = state->values + state->size;
    state->size += more;
    return end;
}

bool same_fractions(const ArrayType *a, const ArrayType *b)
{
    if (a == nullptr || b == nullptr)
        return a == b;
    return VARSIZE(a) == VARSIZE(b) && std::memcmp(a, b, VARSIZE(a)) == 0;
}

std::int32_t method_number(FunctionCallInfo fcinfo)
{
    const text *const method = PG_GETARG_TEXT_PP(3);
    return static_cast<std::int32_t>(
        shadow::quantile_type_from_text({VARDATA_ANY(method), VARSIZE_ANY_EXHDR(method)}));
}

// The group's state: made, and its fractions checked, at the first row; the same arguments in all others.
percentiles_state *current_state(FunctionCallInfo fcinfo)
{
    MemoryContext const context = pg::aggregate_context(fcinfo);
    bool const has_method = PG_NARGS() > 3;
    bool const is_null = PG_ARGISNULL(2) || (has_method && PG_ARGISNULL(3));
    std::int32_t const method = has_method && !is_null ? method_number(fcinfo) : 7;
    ArrayType *const fractions = is_null ? nullptr : PG_GETARG_ARRAYTYPE_P(2);
    if (percentiles_state *const state = pg::state_argument<percentiles_state>(fcinfo, 0)) {
        if (!same_fractions(state->fractions, fractions))
            refuse_change("fractions");
        if (state->method != method)
            refuse_change("method");
        return state;
    }
    if (fractions != nullptr && ARR_ELEMTYPE(fractions) == NUMERICOID) {
        entry::numeric_fractions(fractions);
    } else if (fractions != nullptr) {
        entry::float8_fractions(fractions);
    }
    return new_state(context, fractions, method);
}

Datum accumulate_float8(FunctionCallInfo fcinfo)
{
    percentiles_state *const state = current_state(fcinfo);
    if (!PG_ARGISNULL(1) && state->fractions != nullptr) {
        double const value = PG_GETARG_FLOAT8(1);
        std::memcpy(extend(state, sizeof value), &value, sizeof value);
        ++state->count;
    }
    PG_RETURN_POINTER(state);
}

Datum accumulate_numeric(FunctionCallInfo fcinfo)
{
    percentiles_state *const state = current_state(fcinfo);
    if (!PG_ARGISNULL(1) && state->fractions != nullptr) {
        Numeric const value = PG_GETARG_NUMERIC(1);
        std::size_t const size = VARSIZE(value);
        std::size_t const padded = INTALIGN(size);
        char *const end = extend(state, padded);
        std::memset(end + padded - 4, 0, 4);
        std::memcpy(end, value, size);
        ++state->count;
    }
    PG_RETURN_POINTER(state);
}

// Every numeric must end inside the values.
bool are_numerics(const char *at, std::size_t size, std::size_t count)
{
    for (; count > 0; --count) {
        if (size < 6 || !VARATT_IS_4B_U(at))
            return false;
        std::size_t const own = INTALIGN(VARSIZE(at));
        if (VARSIZE(at) < 6 || own > size)
            return false;
        at += own;
        size -= own;
    }
    return size == 0;
}

void check_header(const wire_header &header, std::size_t available)
{
    bool const is_sane = header.version == state_version && header.method >= 1 && header.method <= 9 &&
                         header.fractions_size <= available && header.size <= available &&
                         MAXALIGN(header.fractions_size) + header.size == available &&
                         (header.fractions_size == 0 || header.fractions_size >= sizeof(ArrayType));
    if (!is_sane)
        refuse_bytes();
}

} // namespace

SHADOW_FUNCTION(shadow_percentiles_float8_accum)
{
    return accumulate_float8(fcinfo);
}

SHADOW_FUNCTION(shadow_percentiles_numeric_accum)
{
    return accumulate_numeric(fcinfo);
}

SHADOW_FUNCTION(shadow_percentiles_combine)
{
    MemoryContext const context = pg::aggregate_context(fcinfo);
    percentiles_state *into = pg::state_argument<percentiles_state>(fcinfo, 0);
    const percentiles_state *const from = pg::state_argument<percentiles_state>(fcinfo, 1);
    if (from == nullptr) {
        if (into == nullptr)
            PG_RETURN_NULL();
        PG_RETURN_POINTER(into);
    }
    if (into == nullptr)
        into = new_state(context, from->fractions, from->method);
    if (!same_fractions(into->fractions, from->fractions))
        refuse_change("fractions");
    if (into->method != from->method)
        refuse_change("method");
    if (from->size > 0)
        std::memcpy(extend(into, from->size), from->values, from->size);
    into->count += from->count;
    PG_RETURN_POINTER(into);
}

SHADOW_FUNCTION(shadow_percentiles_serialize)
{
    pg::aggregate_context(fcinfo);
    const percentiles_state *const state = pg::state_argument<percentiles_state>(fcinfo, 0);
    std::size_t const fractions_size = state->fractions != nullptr ? VARSIZE(state->fractions) : 0;
    wire_header const header{state_version, state->method, fractions_size, state->count, state->size};
    std::size_t const size = VARHDRSZ + sizeof header + MAXALIGN(fractions_size) + state->size;
    if (!AllocSizeIsValid(size))
        throw shadow::error(shadow::errc::limit_exceeded, "too many values for a parallel aggregate",
                            "A worker's part has " + std::to_string(state->size) +
                                " bytes, the limit is 1 GB.",
                            "Set max_parallel_workers_per_gather to 0.");
    auto *const result = static_cast<bytea *>(palloc0(size));
    SET_VARSIZE(result, size);
    char *at = VARDATA(result);
    std::memcpy(at, &header, sizeof header);
    at += sizeof header;
    if (fractions_size > 0)
        std::memcpy(at, state->fractions, fractions_size);
    if (state->size > 0)
        std::memcpy(at + MAXALIGN(fractions_size), state->values, state->size);
    PG_RETURN_BYTEA_P(result);
}

SHADOW_FUNCTION(shadow_percentiles_deserialize)
{
    pg::aggregate_context(fcinfo);
    const bytea *const bytes = PG_GETARG_BYTEA_PP(0);
    std::size_t const available = VARSIZE_ANY_EXHDR(bytes);
    wire_header header;
    if (available < sizeof header)
        refuse_bytes();
    std::memcpy(&header, VARDATA_ANY(bytes), sizeof header);
    check_header(header, available - sizeof header);
    const char *const body = VARDATA_ANY(bytes) + sizeof header;
    ArrayType *fractions = nullptr;
    if (header.fractions_size > 0) {
        fractions = static_cast<ArrayType *>(palloc(header.fractions_size));
        std::memcpy(fractions, body, header.fractions_size);
        if (VARSIZE(fractions) != header.fractions_size)
            refuse_bytes();
    }
    percentiles_state *const state = new_state(CurrentMemoryContext, fractions, header.method);
    if (header.size > 0)
        std::memcpy(extend(state, header.size), body + MAXALIGN(header.fractions_size), header.size);
    state->count = header.count;
    bool const is_numeric = fractions != nullptr && ARR_ELEMTYPE(fractions) == NUMERICOID;
    if (is_numeric ? !are_numerics(state->values, state->size, state->count)
                   : state->size != state->count * sizeof(double))
        refuse_bytes();
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_percentiles_float8_final)
{
    pg::aggregate_context(fcinfo);
    const percentiles_state *const state = pg::state_argument<percentiles_state>(fcinfo, 0);
    if (state->fractions == nullptr)
        PG_RETURN_NULL();
    pg::float8_span const values{reinterpret_cast<const double *>(state->values), state->count};
    return entry::float8_percentiles(values, entry::float8_fractions(state->fractions),
                                     static_cast<shadow::quantile_type>(state->method));
}

SHADOW_FUNCTION(shadow_percentiles_numeric_final)
{
    pg::aggregate_context(fcinfo);
    const percentiles_state *const state = pg::state_argument<percentiles_state>(fcinfo, 0);
    if (state->fractions == nullptr)
        PG_RETURN_NULL();
    entry::number_source const values{state->values, nullptr, state->count, false};
    return entry::numeric_percentiles(values, entry::numeric_fractions(state->fractions),
                                      static_cast<shadow::quantile_type>(state->method));
}
