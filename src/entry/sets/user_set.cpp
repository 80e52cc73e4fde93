// analytics.user_set: input and output, casts, operators, aggregates.

#include "entry/sets/user_set.hpp"
#include "pg/aggregate.hpp"
#include "pg/array.hpp"

extern "C" {
#include "access/detoast.h"
#include "catalog/pg_type_d.h"
#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
}

using shadow::user_set_builder;
using shadow::user_set_view;
using shadow::entry::make_user_set;
using shadow::entry::open_user_set;
using shadow::pg::aggregate_context;
using shadow::pg::interrupted;
using shadow::pg::new_state;
using shadow::pg::palloc_resource;
using shadow::pg::return_state;
using shadow::pg::state_argument;
using shadow::roaring::writer;

static varlena *fetch(FunctionCallInfo fcinfo, int argument)
{
    return PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(argument));
}

// Index builds and sorts compare within one long-lived context: detoasted copies must go.
static void release(FunctionCallInfo fcinfo, int argument, varlena *value)
{
    if (PointerGetDatum(value) != PG_GETARG_DATUM(argument))
        pfree(value);
}

static const std::uint8_t *bytes_of(const varlena *value)
{
    return reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(value));
}

// ---- Input and output -------------------------------------------------------------------------------------

SHADOW_FUNCTION(shadow_user_set_in)
{
    palloc_resource memory(CurrentMemoryContext);
    writer set(&memory);
    shadow::parse_user_set(PG_GETARG_CSTRING(0), set, interrupted);
    return make_user_set(set);
}

SHADOW_FUNCTION(shadow_user_set_out)
{
    const varlena *const value = fetch(fcinfo, 0);
    user_set_view const set = open_user_set(value);
    std::size_t const size = shadow::text_size(set, interrupted);
    if (size >= MaxAllocSize)
        throw shadow::error(shadow::errc::limit_exceeded, "text form of the user_set is too long",
                            "It has " + std::to_string(size) + " bytes, a value has at most 1 GB.",
                            "Use the binary form, or analytics.user_set_elements(user_set).");
    auto *const text = static_cast<char *>(palloc_resource(CurrentMemoryContext).allocate(size + 1, 1));
    *shadow::write_text(set, text, interrupted) = '\0';
    PG_RETURN_CSTRING(text);
}

static Datum decode(const std::uint8_t *bytes, std::size_t size)
{
    palloc_resource memory(CurrentMemoryContext);
    writer set(&memory);
    shadow::decode_portable(bytes, size, set, interrupted);
    return make_user_set(set);
}

SHADOW_FUNCTION(shadow_user_set_recv)
{
    auto *const message = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
    int const size = message->len - message->cursor;
    return decode(reinterpret_cast<const std::uint8_t *>(pq_getmsgbytes(message, size)),
                  static_cast<std::size_t>(size));
}

SHADOW_FUNCTION(shadow_user_set_from_bytea)
{
    const varlena *const bytes = fetch(fcinfo, 0);
    return decode(bytes_of(bytes), VARSIZE_ANY_EXHDR(bytes));
}

// Both send and the cast to bytea.
SHADOW_FUNCTION(shadow_user_set_send)
{
    const varlena *const value = fetch(fcinfo, 0);
    user_set_view const set = open_user_set(value);
    varlena *const bytes = shadow::pg::allocate_varlena(set.portable_size());
    memcpy(VARDATA(bytes), set.portable_bytes(), set.portable_size());
    PG_RETURN_BYTEA_P(bytes);
}

// ---- Arrays -----------------------------------------------------------------------------------------------

// An array of any shape; NULL elements are ignored, as in the aggregate.
template <typename ToInteger>
static Datum from_array(FunctionCallInfo fcinfo, int width, bool by_value, ToInteger to_integer)
{
    ArrayType *const array = PG_GETARG_ARRAYTYPE_P(0);
    Datum *elements;
    bool *nulls;
    int count;
    deconstruct_array(array, ARR_ELEMTYPE(array), width, by_value,
                      width == 8 ? TYPALIGN_DOUBLE : TYPALIGN_INT, &elements, &nulls, &count);

    palloc_resource memory(CurrentMemoryContext);
    user_set_builder builder(&memory);
    shadow::interrupt_poll poll(interrupted);
    for (int i = 0; i < count; ++i) {
        poll();
        if (!nulls[i])
            builder.add(shadow::user_set_element(to_integer(elements[i])));
    }
    writer set(&memory);
    builder.write(set, interrupted);
    return make_user_set(set);
}

SHADOW_FUNCTION(shadow_user_set_from_integers)
{
    return from_array(fcinfo, 4, true, [](Datum d) -> std::int64_t { return DatumGetInt32(d); });
}

SHADOW_FUNCTION(shadow_user_set_from_bigints)
{
    return from_array(fcinfo, 8, FLOAT8PASSBYVAL, [](Datum d) -> std::int64_t { return DatumGetInt64(d); });
}

template <typename Element>
static Datum to_array(FunctionCallInfo fcinfo, Oid type)
{
    user_set_view const set = open_user_set(fetch(fcinfo, 0));
    std::uint64_t const count = set.cardinality();
    if (count > MaxArraySize || count > (MaxAllocSize - ARR_OVERHEAD_NONULLS(1)) / sizeof(Element))
        throw shadow::error(shadow::errc::limit_exceeded, "user_set has too many elements for an array",
                            "It has " + std::to_string(count) + " elements.",
                            "Use analytics.user_set_elements(user_set).");
    if (count > 0 && set.max() > static_cast<std::uint64_t>(std::numeric_limits<Element>::max()))
        throw shadow::error(shadow::errc::out_of_range, "integer out of range",
                            "The largest element is " + std::to_string(set.max()) + ".",
                            "Cast to bigint[] instead.");
    if (count == 0)
        PG_RETURN_ARRAYTYPE_P(construct_empty_array(type));

    ArrayType *const array = shadow::pg::new_fixed_array(count, sizeof(Element), type);
    auto *out = reinterpret_cast<Element *>(ARR_DATA_PTR(array));
    Element *const end = out + count; // damaged bytes may hold more than they announce
    set.for_each(
        [&out, end](std::uint32_t value) {
            if (out < end)
                *out++ = static_cast<Element>(value);
        },
        interrupted);
    PG_RETURN_ARRAYTYPE_P(array);
}

SHADOW_FUNCTION(shadow_user_set_to_integers)
{
    return to_array<std::int32_t>(fcinfo, INT4OID);
}

SHADOW_FUNCTION(shadow_user_set_to_bigints)
{
    return to_array<std::int64_t>(fcinfo, INT8OID);
}

// ---- Reading a set ----------------------------------------------------------------------------------------

SHADOW_FUNCTION(shadow_user_set_cardinality)
{
    PG_RETURN_INT64(static_cast<int64>(open_user_set(fetch(fcinfo, 0)).cardinality()));
}

SHADOW_FUNCTION(shadow_user_set_min)
{
    user_set_view const set = open_user_set(fetch(fcinfo, 0));
    if (set.empty())
        PG_RETURN_NULL();
    PG_RETURN_INT64(set.min());
}

SHADOW_FUNCTION(shadow_user_set_max)
{
    user_set_view const set = open_user_set(fetch(fcinfo, 0));
    if (set.empty())
        PG_RETURN_NULL();
    PG_RETURN_INT64(set.max());
}

// What cannot be an element is not in the set; that is no error.
static bool holds(const user_set_view &set, int64 value)
{
    return value >= 0 && value <= std::int64_t{0xffffffff} && set.contains(static_cast<std::uint32_t>(value));
}

SHADOW_FUNCTION(shadow_user_set_contains_element)
{
    PG_RETURN_BOOL(holds(open_user_set(fetch(fcinfo, 0)), PG_GETARG_INT64(1)));
}

SHADOW_FUNCTION(shadow_user_set_element_contained)
{
    PG_RETURN_BOOL(holds(open_user_set(fetch(fcinfo, 1)), PG_GETARG_INT64(0)));
}

SHADOW_FUNCTION(shadow_user_set_elements)
{
    static_assert(std::is_trivially_destructible_v<shadow::user_set_cursor>,
                  "lives across calls in palloc memory");
    if (SRF_IS_FIRSTCALL()) {
        FuncCallContext *const context = SRF_FIRSTCALL_INIT();
        MemoryContext const caller = MemoryContextSwitchTo(context->multi_call_memory_ctx);
        const varlena *const value = PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0));
        void *const space = palloc(sizeof(shadow::user_set_cursor));
        MemoryContextSwitchTo(caller);
        context->user_fctx = new (space) shadow::user_set_cursor(open_user_set(value));
    }
    FuncCallContext *const context = SRF_PERCALL_SETUP();
    std::uint32_t element;
    if (!static_cast<shadow::user_set_cursor *>(context->user_fctx)->next(element))
        SRF_RETURN_DONE(context);
    SRF_RETURN_NEXT(context, Int64GetDatum(element));
}

// ---- Algebra ----------------------------------------------------------------------------------------------

using set_operation = void (*)(const user_set_view &, const user_set_view &, writer &,
                               shadow::interrupt_check);
using set_predicate = bool (*)(const user_set_view &, const user_set_view &, shadow::interrupt_check);

static Datum combine(FunctionCallInfo fcinfo, set_operation operation)
{
    const varlena *const left = fetch(fcinfo, 0);
    const varlena *const right = fetch(fcinfo, 1);
    palloc_resource memory(CurrentMemoryContext);
    writer set(&memory);
    operation(open_user_set(left), open_user_set(right), set, interrupted);
    return make_user_set(set);
}

static bool test(FunctionCallInfo fcinfo, set_predicate predicate, int first = 0)
{
    const varlena *const left = fetch(fcinfo, first);
    const varlena *const right = fetch(fcinfo, 1 - first);
    return predicate(open_user_set(left), open_user_set(right), interrupted);
}

SHADOW_FUNCTION(shadow_user_set_union)
{
    return combine(fcinfo, shadow::unite);
}

SHADOW_FUNCTION(shadow_user_set_intersection)
{
    return combine(fcinfo, shadow::intersect);
}

SHADOW_FUNCTION(shadow_user_set_difference)
{
    return combine(fcinfo, shadow::subtract);
}

SHADOW_FUNCTION(shadow_user_set_symmetric_difference)
{
    return combine(fcinfo, shadow::symmetric_difference);
}

SHADOW_FUNCTION(shadow_user_set_contains)
{
    PG_RETURN_BOOL(test(fcinfo, shadow::includes));
}

SHADOW_FUNCTION(shadow_user_set_contained)
{
    PG_RETURN_BOOL(test(fcinfo, shadow::includes, 1));
}

SHADOW_FUNCTION(shadow_user_set_overlaps)
{
    PG_RETURN_BOOL(test(fcinfo, shadow::overlaps));
}

// The sizes of results that nobody needs to see: |A & B| and what follows from it.
struct pair_counts {
    std::uint64_t left;
    std::uint64_t right;
    std::uint64_t common;
};

static pair_counts count_pair(FunctionCallInfo fcinfo)
{
    const varlena *const left = fetch(fcinfo, 0);
    const varlena *const right = fetch(fcinfo, 1);
    user_set_view const a = open_user_set(left);
    user_set_view const b = open_user_set(right);
    return {a.cardinality(), b.cardinality(), shadow::intersection_cardinality(a, b, interrupted)};
}

SHADOW_FUNCTION(shadow_user_set_intersection_cardinality)
{
    PG_RETURN_INT64(static_cast<int64>(count_pair(fcinfo).common));
}

SHADOW_FUNCTION(shadow_user_set_union_cardinality)
{
    pair_counts const n = count_pair(fcinfo);
    PG_RETURN_INT64(static_cast<int64>(n.left + n.right - n.common));
}

SHADOW_FUNCTION(shadow_user_set_difference_cardinality)
{
    pair_counts const n = count_pair(fcinfo);
    PG_RETURN_INT64(static_cast<int64>(n.left - n.common));
}

// ---- Comparison -------------------------------------------------------------------------------------------

// Stored bytes are canonical, so equality and hash need not look inside. Values of different sizes differ,
// which is known before they are fetched from TOAST.
static bool equal(FunctionCallInfo fcinfo)
{
    if (toast_raw_datum_size(PG_GETARG_DATUM(0)) != toast_raw_datum_size(PG_GETARG_DATUM(1)))
        return false;
    varlena *const left = fetch(fcinfo, 0);
    varlena *const right = fetch(fcinfo, 1);
    bool const same = memcmp(VARDATA_ANY(left), VARDATA_ANY(right), VARSIZE_ANY_EXHDR(left)) == 0;
    release(fcinfo, 0, left);
    release(fcinfo, 1, right);
    return same;
}

SHADOW_FUNCTION(shadow_user_set_eq)
{
    PG_RETURN_BOOL(equal(fcinfo));
}

SHADOW_FUNCTION(shadow_user_set_ne)
{
    PG_RETURN_BOOL(!equal(fcinfo));
}

static int order(FunctionCallInfo fcinfo)
{
    varlena *const left = fetch(fcinfo, 0);
    varlena *const right = fetch(fcinfo, 1);
    int const result = shadow::compare(open_user_set(left), open_user_set(right), interrupted);
    release(fcinfo, 0, left);
    release(fcinfo, 1, right);
    return result;
}

SHADOW_FUNCTION(shadow_user_set_cmp)
{
    PG_RETURN_INT32(order(fcinfo));
}

SHADOW_FUNCTION(shadow_user_set_lt)
{
    PG_RETURN_BOOL(order(fcinfo) < 0);
}

SHADOW_FUNCTION(shadow_user_set_le)
{
    PG_RETURN_BOOL(order(fcinfo) <= 0);
}

SHADOW_FUNCTION(shadow_user_set_gt)
{
    PG_RETURN_BOOL(order(fcinfo) > 0);
}

SHADOW_FUNCTION(shadow_user_set_ge)
{
    PG_RETURN_BOOL(order(fcinfo) >= 0);
}

SHADOW_FUNCTION(shadow_user_set_hash)
{
    varlena *const value = fetch(fcinfo, 0);
    uint32 const hash = hash_bytes(bytes_of(value), static_cast<int>(VARSIZE_ANY_EXHDR(value)));
    release(fcinfo, 0, value);
    PG_RETURN_UINT32(hash);
}

SHADOW_FUNCTION(shadow_user_set_hash_extended)
{
    varlena *const value = fetch(fcinfo, 0);
    uint64 const hash = hash_bytes_extended(bytes_of(value), static_cast<int>(VARSIZE_ANY_EXHDR(value)),
                                            static_cast<uint64>(PG_GETARG_INT64(1)));
    release(fcinfo, 0, value);
    PG_RETURN_UINT64(hash);
}

// ---- Aggregates -------------------------------------------------------------------------------------------

namespace
{

// Lives in the aggregate's memory context with all that it refers to; freed with it, never destroyed. Writing
// a set out settles the builder's pending elements: the set that the state stands for does not change.
struct union_state {
    explicit union_state(MemoryContext context) : memory(context), builder(&memory) {}
    palloc_resource memory;
    user_set_builder builder;
};

// The stored form is the state: an intersection only shrinks.
struct intersection_state {
    explicit intersection_state(MemoryContext context) : memory(context), bytes(&memory) {}
    user_set_view view() const { return user_set_view::stored(bytes.data(), bytes.size()); }
    palloc_resource memory;
    std::pmr::vector<std::uint8_t> bytes;
};

} // namespace

SHADOW_FUNCTION(shadow_user_set_accum)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *state = state_argument<union_state>(fcinfo, 0);
    if (PG_ARGISNULL(1))
        return return_state(fcinfo, state);
    std::uint32_t const element = shadow::user_set_element(PG_GETARG_INT64(1));
    if (state == nullptr)
        state = new_state<union_state>(context);
    state->builder.add(element);
    return PointerGetDatum(state);
}

SHADOW_FUNCTION(shadow_user_set_union_accum)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *state = state_argument<union_state>(fcinfo, 0);
    if (PG_ARGISNULL(1))
        return return_state(fcinfo, state);
    user_set_view const set = open_user_set(fetch(fcinfo, 1));
    if (state == nullptr)
        state = new_state<union_state>(context);
    state->builder.add(set, interrupted);
    return PointerGetDatum(state);
}

SHADOW_FUNCTION(shadow_user_set_union_combine)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *state = state_argument<union_state>(fcinfo, 0);
    auto *const other = state_argument<union_state>(fcinfo, 1);
    if (other == nullptr)
        return return_state(fcinfo, state);
    if (state == nullptr)
        state = new_state<union_state>(context);
    state->builder.add(other->builder, interrupted);
    return PointerGetDatum(state);
}

static Datum union_value(FunctionCallInfo fcinfo)
{
    aggregate_context(fcinfo);
    auto *const state = state_argument<union_state>(fcinfo, 0);
    if (state == nullptr)
        PG_RETURN_NULL();
    palloc_resource memory(CurrentMemoryContext);
    writer set(&memory);
    state->builder.write(set, interrupted);
    return make_user_set(set);
}

SHADOW_FUNCTION(shadow_user_set_union_serialize)
{
    return union_value(fcinfo);
}

SHADOW_FUNCTION(shadow_user_set_union_final)
{
    return union_value(fcinfo);
}

SHADOW_FUNCTION(shadow_user_set_union_deserialize)
{
    MemoryContext const context = aggregate_context(fcinfo);
    user_set_view const set = open_user_set(fetch(fcinfo, 0));
    auto *const state = new_state<union_state>(context);
    state->builder.add(set, interrupted);
    return PointerGetDatum(state);
}

// Intersects the state with a set; the first set is taken as it is (united with nothing).
static intersection_state *narrow(intersection_state *state, const user_set_view &set, MemoryContext context)
{
    bool const is_first = state == nullptr;
    if (is_first)
        state = new_state<intersection_state>(context);
    else if (state->view().empty())
        return state;
    palloc_resource memory(CurrentMemoryContext);
    writer result(&memory);
    if (is_first)
        shadow::unite(set, user_set_view(), result, interrupted);
    else
        shadow::intersect(state->view(), set, result, interrupted);
    state->bytes.resize(shadow::stored_size(result));
    shadow::write_stored(result, state->bytes.data());
    return state;
}

SHADOW_FUNCTION(shadow_user_set_intersection_accum)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *const state = state_argument<intersection_state>(fcinfo, 0);
    if (PG_ARGISNULL(1))
        return return_state(fcinfo, state);
    return PointerGetDatum(narrow(state, open_user_set(fetch(fcinfo, 1)), context));
}

SHADOW_FUNCTION(shadow_user_set_intersection_combine)
{
    MemoryContext const context = aggregate_context(fcinfo);
    auto *const state = state_argument<intersection_state>(fcinfo, 0);
    auto *const other = state_argument<intersection_state>(fcinfo, 1);
    if (other == nullptr)
        return return_state(fcinfo, state);
    return PointerGetDatum(narrow(state, other->view(), context));
}

static Datum intersection_value(FunctionCallInfo fcinfo)
{
    aggregate_context(fcinfo);
    auto *const state = state_argument<intersection_state>(fcinfo, 0);
    if (state == nullptr)
        PG_RETURN_NULL();
    varlena *const value = shadow::pg::allocate_varlena(state->bytes.size());
    memcpy(VARDATA(value), state->bytes.data(), state->bytes.size());
    return PointerGetDatum(value);
}

SHADOW_FUNCTION(shadow_user_set_intersection_serialize)
{
    return intersection_value(fcinfo);
}

SHADOW_FUNCTION(shadow_user_set_intersection_final)
{
    return intersection_value(fcinfo);
}

SHADOW_FUNCTION(shadow_user_set_intersection_deserialize)
{
    MemoryContext const context = aggregate_context(fcinfo);
    return PointerGetDatum(narrow(nullptr, open_user_set(fetch(fcinfo, 0)), context));
}
