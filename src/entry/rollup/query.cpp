#include "entry/rollup/query.hpp"

#include "entry/event/metadata.hpp"
#include "pg/numeric.hpp"

extern "C" {
#include "common/int.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

using namespace shadow;
using namespace shadow::entry;

constexpr std::int64_t default_gap = INT64CONST(30) * 60 * USECS_PER_SEC;

namespace
{

// Fields of analytics.activity_rules and analytics.credit_price_rule, in the order of the types.
enum rules_field { field_gap = 1, field_bounce, field_currency, field_details, field_prices };
enum price_field { field_workspace = 1, field_model, field_price, field_price_currency, field_valid_from };

std::string_view kept_text(Datum value, MemoryContext context)
{
    text *const t = DatumGetTextPP(value);
    auto const length = VARSIZE_ANY_EXHDR(t);
    auto *const copy = static_cast<char *>(MemoryContextAlloc(context, length + 1));
    memcpy(copy, VARDATA_ANY(t), length);
    return {copy, length};
}

Datum required_field(HeapTupleHeader tuple, int field, const char *name)
{
    bool is_null;
    Datum const value = GetAttributeByNum(tuple, static_cast<AttrNumber>(field), &is_null);
    if (is_null)
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name),
                        errhint("Take the rules from analytics_internal.activity_rules().")));
    return value;
}

currency_code read_currency(Datum value)
{
    text *const t = DatumGetTextPP(value);
    return pack_currency({VARDATA_ANY(t), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(t))});
}

credit_price read_price(Datum element, MemoryContext context)
{
    HeapTupleHeader const tuple = DatumGetHeapTupleHeader(element);
    credit_price price;
    price.workspace = uuid::from_bytes(
        DatumGetUUIDP(required_field(tuple, field_workspace, "a price's workspace_id"))->data);
    price.model = kept_text(required_field(tuple, field_model, "a price's model"), context);
    Numeric const number = DatumGetNumeric(required_field(tuple, field_price, "a price"));
    if (!pg::to_scaled_int128(number, 9, price.price) || price.price < 0 ||
        price.price >= int128{1'000'000'000} * 1'000'000'000)
        ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("credit price out of range"),
                        errhint("Prices are from 0 to less than 1000000000.")));
    price.currency = read_currency(required_field(tuple, field_price_currency, "a price's currency"));
    price.valid_from = DatumGetTimestampTz(required_field(tuple, field_valid_from, "a price's valid_from"));
    return price;
}

span<credit_price> read_prices(Datum array, MemoryContext context)
{
    ArrayType *const prices = DatumGetArrayTypeP(array);
    Datum *elements;
    bool *nulls;
    int n;
    deconstruct_array(prices, ARR_ELEMTYPE(prices), -1, false, TYPALIGN_DOUBLE, &elements, &nulls, &n);
    // palloc aligns to 8 bytes, an int128 wants 16.
    void *const space =
        MemoryContextAllocHuge(context, static_cast<Size>(n) * sizeof(credit_price) + alignof(credit_price));
    span<credit_price> result{reinterpret_cast<credit_price *>(TYPEALIGN(alignof(credit_price), space)), 0};
    for (int i = 0; i < n; ++i)
        if (!nulls[i])
            result.data[result.size++] = read_price(elements[i], context);
    sort_prices(result);
    return result;
}

std::int64_t read_gap(Datum value)
{
    Interval const *const gap = DatumGetIntervalP(value);
    std::int64_t microseconds;
    if (gap->month != 0 || pg_mul_s64_overflow(gap->day, USECS_PER_DAY, &microseconds) ||
        pg_add_s64_overflow(microseconds, gap->time, &microseconds) || microseconds <= 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid session gap"),
                        errhint("Give a positive interval without months, such as '30 minutes'.")));
    return microseconds;
}

} // namespace

rollup_query::rollup_query(MemoryContext context) : memory(context), interned(&memory), batch(&memory)
{
    rules = {{pack_currency("USD"), {}, clip_text}, default_gap, false};
}

void rollup_query::read_rules(HeapTupleHeader tuple, MemoryContext context)
{
    rules.session_gap = read_gap(required_field(tuple, field_gap, "session_gap"));
    text *const bounce = DatumGetTextPP(required_field(tuple, field_bounce, "bounce_rule"));
    rules.engaged_bounce = std::string_view(VARDATA_ANY(bounce), VARSIZE_ANY_EXHDR(bounce)) == "engaged";
    rules.currency = read_currency(required_field(tuple, field_currency, "currency"));
    details = DatumGetBool(required_field(tuple, field_details, "details"));
    bool no_prices;
    Datum const prices = GetAttributeByNum(tuple, field_prices, &no_prices);
    if (!no_prices)
        rules.prices = read_prices(prices, context);
}

namespace
{

std::string_view view_of(text *t)
{
    return {VARDATA_ANY(t), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(t))};
}

event_type type_of(std::string_view name)
{
    auto const type = find_event_type(name);
    if (!type)
        throw error(errc::invalid_argument, "unknown event type", "",
                    "analytics.user_activity lists the event types.");
    return *type;
}

uuid uuid_value(const Datum *values, const bool *nulls, int argument)
{
    return nulls[argument] ? uuid{0, 0} : uuid::from_bytes(DatumGetUUIDP(values[argument])->data);
}

} // namespace

bool shadow::entry::read_event(rollup_query &query, const Datum *values, const bool *nulls,
                               decoded_event &out)
{
    if (nulls[event_user] || nulls[event_type_name] || nulls[event_at])
        return false;
    text *const type = DatumGetTextPP(values[event_type_name]);
    text *const name = nulls[event_name] ? nullptr : DatumGetTextPP(values[event_name]);
    void *const json = nulls[event_metadata] ? nullptr : PG_DETOAST_DATUM_PACKED(values[event_metadata]);
    TimestampTz const at = DatumGetTimestampTz(values[event_at]);
    if (TIMESTAMP_NOT_FINITE(at))
        ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("event time must be finite")));

    raw_event event;
    event.workspace = uuid_value(values, nulls, event_workspace);
    event.user = uuid_value(values, nulls, event_user);
    event.session = uuid_value(values, nulls, event_session);
    event.has_session = !nulls[event_session];
    event.id = uuid_value(values, nulls, event_id);
    event.at = at;
    event.name = name == nullptr ? std::string_view{} : view_of(name);
    if (event.name.size() > longest_text_key)
        event.name = event.name.substr(0, clip_text(event.name.data(), event.name.size(), longest_text_key));
    event.type = type_of(view_of(type));
    metadata facts(entry::jsonb_host());
    if (json != nullptr)
        entry::read_metadata(json, facts);
    decode(query.rules, query.interned, event, facts, out);
    return true;
}
