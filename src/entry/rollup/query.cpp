#include "entry/rollup/query.hpp"

#include "pg/numeric.hpp"
#include "pg/settings.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

std::string_view kept_text(Datum value, MemoryContext context)
{
    text *const t = DatumGetTextPP(value);
    auto const length = VARSIZE_ANY_EXHDR(t);
    auto *const copy = static_cast<char *>(MemoryContextAlloc(context, length + 1));
    memcpy(copy, VARDATA_ANY(t), length);
    return {copy, length};
}

constexpr const char *select_prices = R"sql(
    SELECT p.workspace_id, p.model, p.price, p.currency, p.valid_from
    FROM analytics.credit_prices AS p)sql";

// A row of select_prices; the table has no NULLs.
credit_price read_price(HeapTuple row, TupleDesc description, MemoryContext context)
{
    auto const field = [=](int number) {
        bool is_null;
        return SPI_getbinval(row, description, number, &is_null);
    };
    credit_price price;
    price.workspace = uuid::from_bytes(DatumGetUUIDP(field(1))->data);
    price.model = kept_text(field(2), context);
    if (!pg::to_scaled_int128(DatumGetNumeric(field(3)), 9, price.price))
        elog(ERROR, "credit price out of range");
    text *const currency = DatumGetTextPP(field(4));
    price.currency = pack_currency({VARDATA_ANY(currency), VARSIZE_ANY_EXHDR(currency)});
    price.valid_from = DatumGetTimestampTz(field(5));
    return price;
}

span<credit_price> read_prices(MemoryContext context)
{
    std::uint64_t const n = pg::execute(select_prices, {}, IsInParallelMode());
    // palloc aligns to 8 bytes, an int128 wants 16.
    void *const space = MemoryContextAllocHuge(context, n * sizeof(credit_price) + alignof(credit_price));
    span<credit_price> const prices{reinterpret_cast<credit_price *>(TYPEALIGN(alignof(credit_price), space)),
                                    n};
    for (std::uint64_t i = 0; i < n; ++i)
        prices[i] = read_price(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, context);
    sort_prices(prices);
    return prices;
}

} // namespace

rollup_query::rollup_query(MemoryContext context) : memory(context), interned(&memory), batch(&memory) {}

void rollup_query::read_rules(MemoryContext context)
{
    rules.currency = pack_currency(pg::setting_value("currency"));
    rules.clip = clip_text;
    rules.session_gap = pg::setting_integer("session_gap_minutes") * 60 * USECS_PER_SEC;
    rules.engaged_bounce = strcmp(pg::setting_value("bounce_rule"), "engaged") == 0;
    rules.prices = read_prices(context);
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
