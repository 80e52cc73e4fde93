// analytics.quantile_sketch: input and output, aggregates, functions.

#include <cmath>
#include <type_traits>

#include "core/quantiles/quantile_sketch.hpp"
#include "pg/aggregate.hpp"
#include "pg/memory.hpp"
#include "pg/numeric.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
}

using shadow::sketch_builder;
using shadow::sketch_options;
using shadow::sketch_view;
using shadow::pg::palloc_resource;

namespace
{

// ---- values -----------------------------------------------------------------------------------------------

// A sketch argument, detoasted; plain data.
struct stored_sketch {
    const unsigned char *bytes;
    std::size_t size;

    explicit stored_sketch(Datum datum)
    {
        struct varlena *const value = PG_DETOAST_DATUM_PACKED(datum);
        bytes = reinterpret_cast<const unsigned char *>(VARDATA_ANY(value));
        size = VARSIZE_ANY_EXHDR(value);
    }
    sketch_view view() const { return sketch_view(bytes, size); }
    bool operator==(const stored_sketch &o) const noexcept
    {
        return size == o.size && std::memcmp(bytes, o.bytes, size) == 0;
    }
};

// Allocates without raising, so it may be called among C++ objects.
Datum make_varlena(const void *bytes, std::size_t size)
{
    palloc_resource memory(CurrentMemoryContext);
    auto *const value = static_cast<struct varlena *>(memory.allocate(VARHDRSZ + size, MAXIMUM_ALIGNOF));
    SET_VARSIZE(value, VARHDRSZ + size);
    std::memcpy(VARDATA(value), bytes, size);
    return PointerGetDatum(value);
}

Datum make_varlena(const std::pmr::vector<unsigned char> &bytes)
{
    return make_varlena(bytes.data(), bytes.size());
}

char *make_cstring(const std::string &text)
{
    palloc_resource memory(CurrentMemoryContext);
    return static_cast<char *>(
        std::memcpy(memory.allocate(text.size() + 1, 1), text.c_str(), text.size() + 1));
}

// ---- aggregate state --------------------------------------------------------------------------------------

// Lives in the aggregate's context and dies with it; nothing in it needs its destructor.
// Doubles wait until there are enough of them to be added quickly.
struct aggregate_state {
    aggregate_state(MemoryContext context, const sketch_options &options)
        : memory(context), builder(options, &memory)
    {
    }
    void add(double value)
    {
        waiting[waiting_count++] = value;
        if (waiting_count == waiting_limit || !std::isfinite(value)) // which the builder reports
            settle();
    }
    sketch_builder &settle()
    {
        std::size_t const n = waiting_count;
        waiting_count = 0;
        builder.add(waiting, n);
        return builder;
    }

    static constexpr std::size_t waiting_limit = 32;
    palloc_resource memory;
    sketch_builder builder;
    std::size_t waiting_count = 0;
    double waiting[waiting_limit];
};
static_assert(alignof(aggregate_state) <= MAXIMUM_ALIGNOF, "palloc aligns it");

aggregate_state *make_state(MemoryContext context, const sketch_options &options)
{
    palloc_resource memory(context);
    return new (memory.allocate(sizeof(aggregate_state), MAXIMUM_ALIGNOF)) aggregate_state(context, options);
}

aggregate_state *state_argument(FunctionCallInfo fcinfo, int i)
{
    return PG_ARGISNULL(i) ? nullptr : reinterpret_cast<aggregate_state *>(PG_GETARG_POINTER(i));
}

Datum state_result(FunctionCallInfo fcinfo, aggregate_state *state)
{
    if (state == nullptr)
        PG_RETURN_NULL();
    PG_RETURN_POINTER(state);
}

// The optional arguments after the value: accuracy, max_buckets.
sketch_options options_argument(FunctionCallInfo fcinfo)
{
    sketch_options const defaults;
    double accuracy = defaults.accuracy();
    std::int64_t max_buckets = defaults.max_buckets;
    for (int i = 2; i < PG_NARGS(); ++i)
        if (PG_ARGISNULL(i))
            throw shadow::error(shadow::errc::invalid_argument,
                                "accuracy and number of buckets must not be NULL", {},
                                "Leave the arguments out to use the defaults.");
    if (PG_NARGS() > 2)
        accuracy = PG_GETARG_FLOAT8(2);
    if (PG_NARGS() > 3)
        max_buckets = PG_GETARG_INT32(3);
    return sketch_options::make(accuracy, max_buckets);
}

// The state to add the row's value to; made by the first value.
aggregate_state *ready_state(FunctionCallInfo fcinfo, MemoryContext context)
{
    aggregate_state *const state = state_argument(fcinfo, 0);
    if (state == nullptr)
        return make_state(context, options_argument(fcinfo));
    if (PG_NARGS() > 2 && !(options_argument(fcinfo) == state->builder.options()))
        throw shadow::error(shadow::errc::invalid_argument,
                            "accuracy and number of buckets must be the same for all rows of a group", {},
                            "Pass constants, or group by them.");
    return state;
}

// Where a double holds the decimal exactly enough that dividing gives its nearest double.
constexpr std::int64_t exact_units = std::int64_t{1} << 53;

void add_numeric(sketch_builder &builder, std::int64_t units, const char *text)
{
    if (text == nullptr)
        builder.add_units(units);
    else
        builder.add_decimal(text);
}

// Takes a numeric of at most nine decimals as its units; of others, the text. Special values: `special`.
const char *fetch_numeric(Datum datum, std::int64_t &units, double &special)
{
    shadow::pg::numeric_view const value(PG_DETOAST_DATUM_PACKED(datum));
    if (!value.is_finite()) {
        special = value.kind() == shadow::pg::numeric_kind::nan ? std::numeric_limits<double>::quiet_NaN()
                  : value.kind() == shadow::pg::numeric_kind::positive_infinity ? HUGE_VAL
                                                                                : -HUGE_VAL;
        return nullptr;
    }
    if (value.needed_scale() <= shadow::exact_sum::decimals &&
        value.to_scaled(shadow::exact_sum::decimals, units) && units >= -exact_units && units <= exact_units)
        return nullptr;
    return DatumGetCString(DirectFunctionCall1(numeric_out, datum));
}

} // namespace

// ---- input and output -------------------------------------------------------------------------------------

SHADOW_FUNCTION(shadow_quantile_sketch_in)
{
    const char *const text = PG_GETARG_CSTRING(0);
    palloc_resource memory(CurrentMemoryContext);
    return make_varlena(shadow::sketch_from_text(text, &memory));
}

SHADOW_FUNCTION(shadow_quantile_sketch_out)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    PG_RETURN_CSTRING(make_cstring(shadow::sketch_to_text(sketch.view())));
}

SHADOW_FUNCTION(shadow_quantile_sketch_recv)
{
    auto *const message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    int const size = message->len - message->cursor;
    const char *const bytes = pq_getmsgbytes(message, size);
    sketch_view(reinterpret_cast<const unsigned char *>(bytes), static_cast<std::size_t>(size));
    return make_varlena(bytes, static_cast<std::size_t>(size));
}

SHADOW_FUNCTION(shadow_quantile_sketch_send)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    return make_varlena(sketch.bytes, sketch.size);
}

// ---- aggregates -------------------------------------------------------------------------------------------

SHADOW_FUNCTION(shadow_quantile_sketch_accum)
{
    aggregate_state *state = state_argument(fcinfo, 0);
    if (state == nullptr || PG_NARGS() > 2) {
        MemoryContext const context = shadow::pg::aggregate_context(fcinfo);
        if (PG_ARGISNULL(1))
            return state_result(fcinfo, state);
        state = ready_state(fcinfo, context);
    }
    if (!PG_ARGISNULL(1))
        state->add(PG_GETARG_FLOAT8(1));
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_quantile_sketch_accum_numeric)
{
    MemoryContext const context = shadow::pg::aggregate_context(fcinfo);
    if (PG_ARGISNULL(1))
        return state_result(fcinfo, state_argument(fcinfo, 0));
    std::int64_t units = 0;
    double special = 0;
    const char *const text = fetch_numeric(PG_GETARG_DATUM(1), units, special);
    aggregate_state *const state = ready_state(fcinfo, context);
    if (special != 0)
        state->builder.add(special); // reports it
    add_numeric(state->builder, units, text);
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_quantile_sketch_merge_accum)
{
    MemoryContext const context = shadow::pg::aggregate_context(fcinfo);
    aggregate_state *state = state_argument(fcinfo, 0);
    if (PG_ARGISNULL(1))
        return state_result(fcinfo, state);
    stored_sketch const sketch(PG_GETARG_DATUM(1));
    sketch_view const view = sketch.view();
    if (state == nullptr)
        state = make_state(context, view.options());
    state->builder.merge(view);
    PG_RETURN_POINTER(state);
}

SHADOW_FUNCTION(shadow_quantile_sketch_combine)
{
    MemoryContext const context = shadow::pg::aggregate_context(fcinfo);
    aggregate_state *state = state_argument(fcinfo, 0);
    aggregate_state *const other = state_argument(fcinfo, 1);
    if (other == nullptr)
        return state_result(fcinfo, state);
    if (state == nullptr) // the other's memory may be a worker's message: always copy
        state = make_state(context, other->builder.options());
    state->settle().merge(other->settle());
    PG_RETURN_POINTER(state);
}

// Also the final function of both aggregates: a sketch is its serialized state.
SHADOW_FUNCTION(shadow_quantile_sketch_serialize)
{
    shadow::pg::aggregate_context(fcinfo);
    aggregate_state *const state = state_argument(fcinfo, 0);
    if (state == nullptr)
        PG_RETURN_NULL();
    return make_varlena(state->settle().serialize());
}

SHADOW_FUNCTION(shadow_quantile_sketch_deserialize)
{
    shadow::pg::aggregate_context(fcinfo);
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    sketch_view const view = sketch.view();
    aggregate_state *const state = make_state(CurrentMemoryContext, view.options());
    state->builder.merge(view);
    PG_RETURN_POINTER(state);
}

// ---- operators --------------------------------------------------------------------------------------------

SHADOW_FUNCTION(shadow_quantile_sketch_add)
{
    stored_sketch const a(PG_GETARG_DATUM(0));
    stored_sketch const b(PG_GETARG_DATUM(1));
    palloc_resource memory(CurrentMemoryContext);
    sketch_view const view = a.view();
    sketch_builder builder(view.options(), &memory);
    builder.merge(view);
    builder.merge(b.view());
    return make_varlena(builder.serialize());
}

SHADOW_FUNCTION(shadow_quantile_sketch_eq)
{
    stored_sketch const a(PG_GETARG_DATUM(0));
    stored_sketch const b(PG_GETARG_DATUM(1));
    PG_RETURN_BOOL(a == b);
}

SHADOW_FUNCTION(shadow_quantile_sketch_ne)
{
    stored_sketch const a(PG_GETARG_DATUM(0));
    stored_sketch const b(PG_GETARG_DATUM(1));
    PG_RETURN_BOOL(!(a == b));
}

SHADOW_FUNCTION(shadow_quantile_sketch_hash)
{
    stored_sketch const a(PG_GETARG_DATUM(0));
    return hash_any(a.bytes, static_cast<int>(a.size));
}

// ---- functions --------------------------------------------------------------------------------------------

SHADOW_FUNCTION(shadow_quantile)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    PG_RETURN_FLOAT8(sketch.view().quantile(PG_GETARG_FLOAT8(1)));
}

SHADOW_FUNCTION(shadow_interpolated_quantile)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    double const fraction = PG_GETARG_FLOAT8(1);
    PG_RETURN_FLOAT8(PG_GETARG_BOOL(2) ? sketch.view().interpolated_quantile(fraction)
                                       : sketch.view().quantile(fraction));
}

SHADOW_FUNCTION(shadow_quantile_array)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    Datum *values;
    bool *nulls;
    int count;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
                      &values, &nulls, &count);
    if (count == 0)
        PG_RETURN_ARRAYTYPE_P(construct_empty_array(FLOAT8OID));
    sketch_view const view = sketch.view();
    static_assert(FLOAT8PASSBYVAL && std::is_trivially_destructible_v<sketch_view>,
                  "the return phase may raise");
    for (int i = 0; i < count; ++i)
        if (!nulls[i])
            values[i] = Float8GetDatum(view.quantile(DatumGetFloat8(values[i])));
    int lower_bound = 1;
    PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, &count, &lower_bound, FLOAT8OID,
                                             sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

SHADOW_FUNCTION(shadow_quantile_sketch_rank)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    PG_RETURN_FLOAT8(sketch.view().rank(PG_GETARG_FLOAT8(1)));
}

SHADOW_FUNCTION(shadow_quantile_sketch_count)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    PG_RETURN_INT64(static_cast<int64>(sketch.view().count()));
}

static Datum numeric_from_text(char *text)
{
    return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                               Int32GetDatum(-1));
}

SHADOW_FUNCTION(shadow_quantile_sketch_sum)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    char *const text = make_cstring(sketch.view().sum().to_text());
    return numeric_from_text(text);
}

SHADOW_FUNCTION(shadow_quantile_sketch_avg)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    sketch_view const view = sketch.view();
    char *const text = make_cstring(view.sum().to_text());
    Datum const count = NumericGetDatum(int64_to_numeric(static_cast<int64>(view.count())));
    return DirectFunctionCall2(numeric_div, numeric_from_text(text), count);
}

SHADOW_FUNCTION(shadow_quantile_sketch_min)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    PG_RETURN_FLOAT8(sketch.view().min());
}

SHADOW_FUNCTION(shadow_quantile_sketch_max)
{
    stored_sketch const sketch(PG_GETARG_DATUM(0));
    PG_RETURN_FLOAT8(sketch.view().max());
}
