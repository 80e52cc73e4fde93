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

constexpr const char *select_credit_prices = R"sql(
    SELECT p.workspace_id, p.model, p.valid_from, p.currency, p.price
    FROM analytics.credit_prices AS p)sql";
constexpr const char *select_token_prices = R"sql(
    SELECT p.workspace_id, p.model, p.valid_from, p.currency, p.input_price, p.output_price,
        coalesce(p.cache_read_price, p.input_price), coalesce(p.cache_write_price, p.input_price)
    FROM analytics.token_prices AS p)sql";

// A row of these, which has no NULLs.
struct price_row {
    HeapTuple row;
    TupleDesc description;

    Datum field(int number) const
    {
        bool is_null;
        return SPI_getbinval(row, description, number, &is_null);
    }
    shadow::int128 price(int number) const
    {
        shadow::int128 result;
        if (!pg::to_scaled_int128(DatumGetNumeric(field(number)), 9, result))
            elog(ERROR, "price out of range");
        return result;
    }
};

void read_amounts(const price_row &row, credit_price &price)
{
    price.price = row.price(5);
}
void read_amounts(const price_row &row, token_price &price)
{
    price.input = row.price(5);
    price.output = row.price(6);
    price.cache_read = row.price(7);
    price.cache_write = row.price(8);
}

template <typename Price>
span<Price> read_prices(const char *select, MemoryContext context)
{
    std::uint64_t const n = pg::execute(select, {}, IsInParallelMode());
    // palloc aligns to 8 bytes, an int128 wants 16.
    void *const space = MemoryContextAllocHuge(context, n * sizeof(Price) + alignof(Price));
    span<Price> const prices{reinterpret_cast<Price *>(TYPEALIGN(alignof(Price), space)), n};
    for (std::uint64_t i = 0; i < n; ++i) {
        price_row const row{SPI_tuptable->vals[i], SPI_tuptable->tupdesc};
        Price &price = prices[i];
        price.workspace = uuid::from_bytes(DatumGetUUIDP(row.field(1))->data);
        price.model = kept_text(row.field(2), context);
        price.valid_from = DatumGetTimestampTz(row.field(3));
        text *const currency = DatumGetTextPP(row.field(4));
        price.currency = pack_currency({VARDATA_ANY(currency), VARSIZE_ANY_EXHDR(currency)});
        read_amounts(row, price);
    }
    sort_prices(prices);
    return prices;
}

} // namespace

rollup_query::rollup_query(MemoryContext context)
    : memory(context), interned(&memory), batch(&memory, rules, pg::interrupted)
{
}

void rollup_query::read_rules(MemoryContext context)
{
    rules.currency = pack_currency(pg::setting_value("currency"));
    rules.clip = clip_text;
    rules.session_gap = pg::setting_integer("session_gap_minutes") * 60 * USECS_PER_SEC;
    rules.engaged_bounce = strcmp(pg::setting_value("bounce_rule"), "engaged") == 0;
    rules.prices.credits = read_prices<credit_price>(select_credit_prices, context);
    rules.prices.tokens = read_prices<token_price>(select_token_prices, context);
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

void shadow::entry::read_event(rollup_query &query, const Datum *values, const bool *nulls,
                               decoded_event &out)
{
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
}
