#include "entry/questions/host.hpp"

#include "pg/boundary.hpp"
#include "pg/numeric.hpp"
#include "pg/row_receiver.hpp"
#include "pg/settings.hpp"
#include "pg/spi.hpp"
#include "pg/tuple.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

using questions::date;
using questions::instant;
using questions::known_user;

namespace
{

using pg::parameter;

// Under the statement's snapshot: all queries of a question see the same rows.
void execute(const char *sql, std::initializer_list<parameter> given, DestReceiver *receiver)
{
    (void)pg::execute(sql, given, true, receiver);
}

// The single value of a query without parameters beyond these.
Datum query_value(const char *sql, std::initializer_list<parameter> given, bool &is_null)
{
    execute(sql, given, nullptr);
    if (SPI_processed == 0) {
        is_null = true;
        return Datum{0};
    }
    return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
}

struct user_receiver {
    pg::row_receiver rows;
    std::vector<known_user> *users;

    void take(const TupleTableSlot &slot)
    {
        known_user const user = {uuid::from_bytes(DatumGetUUIDP(slot.tts_values[0])->data),
                                 static_cast<std::uint32_t>(DatumGetInt64(slot.tts_values[1])),
                                 DatumGetTimestampTz(slot.tts_values[2])};
        pg::enter_callback([this, &user] { users->push_back(user); });
    }
};

// workspace_id, model, valid_from, currency, then one price of a credit or four of tokens
struct price_receiver {
    pg::row_receiver rows;
    questions::price_list *list;

    static int128 amount(const TupleTableSlot &slot, int column)
    {
        int128 result;
        if (!pg::to_scaled_int128(DatumGetNumeric(slot.tts_values[column]), 9, result))
            ereport(ERROR, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE), errmsg("price out of range"));
        return result;
    }
    void take(const TupleTableSlot &slot)
    {
        price_key key{};
        key.workspace = uuid::from_bytes(DatumGetUUIDP(slot.tts_values[0])->data);
        std::string_view const model = pg::text_view(slot.tts_values[1]);
        key.valid_from = DatumGetTimestampTz(slot.tts_values[2]);
        currency_code const currency = pack_currency(pg::text_view(slot.tts_values[3]));
        bool const is_of_tokens = slot.tts_tupleDescriptor->natts > 5;
        int128 prices[4] = {};
        for (int i = 0; i < (is_of_tokens ? 4 : 1); ++i)
            prices[i] = amount(slot, 4 + i);
        pg::enter_callback([&] {
            key.model = list->models.emplace_back(model);
            if (is_of_tokens)
                list->token_prices.push_back({key, prices[0], prices[1], prices[2], prices[3], currency});
            else
                list->prices.push_back({key, prices[0], currency});
        });
    }
};

// A row of daily_event_usage.
struct usage_receiver {
    pg::row_receiver rows;
    questions::usage_sink *sink;

    void take(const TupleTableSlot &slot)
    {
        auto const type = find_event_type(pg::text_view(slot.tts_values[1]));
        if (!type)
            return;
        ArrayType *const names = DatumGetArrayTypeP(slot.tts_values[2]);
        ArrayType *const events = DatumGetArrayTypeP(slot.tts_values[3]);
        Datum *name, *set = nullptr;
        int count, sets = 0;
        deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &name, nullptr, &count);
        if (!slot.tts_isnull[4]) {
            ArrayType *const users = DatumGetArrayTypeP(slot.tts_values[4]);
            deconstruct_array(users, ARR_ELEMTYPE(users), -1, false, TYPALIGN_INT, &set, nullptr, &sets);
        }
        if (ArrayGetNItems(ARR_NDIM(events), ARR_DIMS(events)) != count || (set != nullptr && sets != count))
            elog(ERROR, "arrays of analytics.daily_event_usage differ in length");
        auto const *const amounts = reinterpret_cast<const std::int64_t *>(ARR_DATA_PTR(events));
        auto *const all = static_cast<questions::stored_name *>(
            palloc((static_cast<std::size_t>(count) + 1) * sizeof(questions::stored_name)));
        for (int i = 0; i < count; ++i) {
            all[i] = {pg::text_view(name[i]), amounts[i], nullptr, 0};
            if (set != nullptr) {
                auto const *const bytes = PG_DETOAST_DATUM_PACKED(set[i]);
                all[i].users = reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(bytes));
                all[i].users_size = VARSIZE_ANY_EXHDR(bytes);
            }
        }
        date const day = DatumGetDateADT(slot.tts_values[0]);
        pg::enter_callback([&] { sink->add(day, *type, {all, static_cast<std::size_t>(count)}); });
    }
};

// A row of daily_users.
struct active_receiver {
    pg::row_receiver rows;
    questions::usage_sink *sink;

    void take(const TupleTableSlot &slot)
    {
        auto const *const bytes = PG_DETOAST_DATUM_PACKED(slot.tts_values[1]);
        questions::stored_name const all = {
            {}, 0, reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(bytes)), VARSIZE_ANY_EXHDR(bytes)};
        date const day = DatumGetDateADT(slot.tts_values[0]);
        pg::enter_callback([&] { sink->add(day, event_type::page_view, {&all, 1}); });
    }
};

struct number_receiver {
    pg::row_receiver rows;
    const questions::user_list *users;
    std::uint32_t *numbers;

    void take(const TupleTableSlot &slot)
    {
        std::uint32_t const user = users->find(uuid::from_bytes(DatumGetUUIDP(slot.tts_values[0])->data));
        if (user != npos)
            numbers[user] = static_cast<std::uint32_t>(DatumGetInt64(slot.tts_values[1]));
    }
};

Datum type_array(std::uint32_t types)
{
    Datum names[event_type_count];
    int n = 0;
    for (int i = 0; i < event_type_count; ++i)
        if ((types >> i & 1) != 0)
            names[n++] = PointerGetDatum(cstring_to_text_with_len(
                event_type_names[i].data(), static_cast<int>(event_type_names[i].size())));
    return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

} // namespace

std::vector<instant> question_host::day_starts(date first, date last)
{
    std::vector<instant> starts(static_cast<std::size_t>(last - first) + 1);
    instant *const out = starts.data();
    auto const wanted = static_cast<int>(starts.size());
    pg::call([&] {
        bool is_null;
        Datum const value = query_value(
            "SELECT analytics_internal.day_starts($1, $2, $3)",
            {{UUIDOID, workspace_}, {DATEOID, DateADTGetDatum(first)}, {DATEOID, DateADTGetDatum(last)}},
            is_null);
        ArrayType *const array = DatumGetArrayTypeP(value);
        if (is_null || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) != wanted || ARR_HASNULL(array))
            elog(ERROR, "the days from %d to %d have no beginning", first, last);
        memcpy(out, ARR_DATA_PTR(array), static_cast<std::size_t>(wanted) * sizeof(instant));
    });
    return starts;
}

std::vector<known_user> question_host::users()
{
    std::vector<known_user> users;
    pg::call([&] {
        user_receiver receiver;
        pg::begin_rows(receiver);
        receiver.users = &users;
        execute("SELECT u.user_id, u.user_number, u.first_seen FROM analytics.users AS u WHERE "
                "u.workspace_id = $1",
                {{UUIDOID, workspace_}}, &receiver.rows.base);
        MemoryContextDelete(receiver.rows.row_context);
    });
    return users;
}

date question_host::first_event_day()
{
    return pg::call([&] {
        bool is_null;
        Datum const day =
            query_value("SELECT analytics.workspace_today($1, min(e.created_at))"
                        " FROM analytics.user_activity AS e WHERE e.workspace_id = $1 HAVING count(*) > 0",
                        {{UUIDOID, workspace_}}, is_null);
        return is_null ? today_ : DatumGetDateADT(day);
    });
}

static date day_or_earliest(const char *sql, std::initializer_list<parameter> parameters)
{
    bool is_null;
    DateADT const day = DatumGetDateADT(query_value(sql, parameters, is_null));
    return is_null || DATE_NOT_FINITE(day) ? questions::earliest_date : day;
}

date question_host::raw_events_since()
{
    return pg::call([&] {
        return day_or_earliest("SELECT analytics_internal.raw_events_since($1)", {{UUIDOID, workspace_}});
    });
}

date question_host::complete_since(date last)
{
    return pg::call([&] {
        return day_or_earliest("SELECT analytics_internal.complete_since($1, $2)",
                               {{UUIDOID, workspace_}, {DATEOID, DateADTGetDatum(last)}});
    });
}

questions::price_list question_host::prices()
{
    questions::price_list list{uuid::from_bytes(DatumGetUUIDP(workspace_)->data), 0, {}, {}, {}};
    pg::call([&] {
        const char *const currency = pg::setting_value("currency");
        price_receiver receiver;
        pg::begin_rows(receiver);
        receiver.list = &list;
        execute("SELECT p.workspace_id, p.model, p.valid_from, p.currency, p.price FROM "
                "analytics.credit_prices AS p"
                " WHERE p.workspace_id = $1 OR p.workspace_id = '00000000-0000-0000-0000-000000000000'",
                {{UUIDOID, workspace_}}, &receiver.rows.base);
        execute("SELECT p.workspace_id, p.model, p.valid_from, p.currency, p.input_price, p.output_price,"
                " coalesce(p.cache_read_price, p.input_price), coalesce(p.cache_write_price, p.input_price)"
                " FROM analytics.token_prices AS p"
                " WHERE p.workspace_id = $1 OR p.workspace_id = '00000000-0000-0000-0000-000000000000'",
                {{UUIDOID, workspace_}}, &receiver.rows.base);
        MemoryContextDelete(receiver.rows.row_context);
        pg::enter_callback([&] {
            list.currency = pack_currency(currency);
            sort_prices(span<credit_price>{list.prices.data(), list.prices.size()});
            sort_prices(span<token_price>{list.token_prices.data(), list.token_prices.size()});
        });
    });
    return list;
}

date question_host::first_known_day()
{
    date const first_event = first_event_day();
    return pg::call([&] {
        bool is_null;
        Datum const day = query_value(
            "SELECT u.metric_date FROM analytics.daily_users AS u WHERE u.workspace_id = $1"
            " AND u.metric_date >= (SELECT min(e.metric_date) FROM analytics.daily_event_usage AS e"
            " WHERE e.workspace_id = $1) ORDER BY u.metric_date LIMIT 1",
            {{UUIDOID, workspace_}}, is_null);
        return is_null ? first_event : std::min(first_event, DatumGetDateADT(day));
    });
}

std::vector<date> question_host::unstored_days(date first, date last)
{
    std::vector<date> days;
    pg::call([&] {
        bool is_null;
        Datum const value = query_value(
            "SELECT analytics_internal.unstored_days($1, $2, $3)",
            {{UUIDOID, workspace_}, {DATEOID, DateADTGetDatum(first)}, {DATEOID, DateADTGetDatum(last)}},
            is_null);
        ArrayType *const array = DatumGetArrayTypeP(value);
        auto const *const data = reinterpret_cast<const DateADT *>(ARR_DATA_PTR(array));
        int const n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
        pg::enter_callback([&] { days.assign(data, data + n); });
    });
    return days;
}

void question_host::usage(const questions::usage_request &request, questions::usage_sink &sink)
{
    pg::call([&] {
        usage_receiver receiver;
        pg::begin_rows(receiver);
        receiver.sink = &sink;
        const char *const columns[] = {
            "SELECT e.metric_date, e.event_type, e.event_names, e.events, NULL FROM"
            " analytics.daily_event_usage AS e WHERE e.workspace_id = $1 AND e.metric_date BETWEEN $2 AND $3"
            " AND e.event_type = ANY ($4) ORDER BY e.metric_date",
            "SELECT e.metric_date, e.event_type, e.event_names, e.events, NULL FROM"
            " analytics.daily_event_usage AS e WHERE e.workspace_id = $1 AND e.metric_date BETWEEN $2 AND $3"
            " AND e.event_type = ANY ($4) AND '(other)' = ANY (e.event_names) ORDER BY e.metric_date",
            "SELECT e.metric_date, e.event_type, e.event_names, e.events, e.users FROM"
            " analytics.daily_event_usage AS e WHERE e.workspace_id = $1 AND e.metric_date BETWEEN $2 AND $3"
            " AND e.event_type = ANY ($4) ORDER BY e.metric_date"};
        execute(columns[request.is_crowded    ? 1
                        : request.needs_users ? 2
                                              : 0],
                {{UUIDOID, workspace_},
                 {DATEOID, DateADTGetDatum(request.first)},
                 {DATEOID, DateADTGetDatum(request.last)},
                 {TEXTARRAYOID, type_array(request.types)}},
                &receiver.rows.base);
        MemoryContextDelete(receiver.rows.row_context);
    });
}

void question_host::active_users(date first, date last, questions::usage_sink &sink)
{
    pg::call([&] {
        active_receiver receiver;
        pg::begin_rows(receiver);
        receiver.sink = &sink;
        execute("SELECT d.metric_date, d.users FROM analytics.daily_users AS d WHERE d.workspace_id = $1"
                " AND d.metric_date BETWEEN $2 AND $3 ORDER BY d.metric_date",
                {{UUIDOID, workspace_}, {DATEOID, DateADTGetDatum(first)}, {DATEOID, DateADTGetDatum(last)}},
                &receiver.rows.base);
        MemoryContextDelete(receiver.rows.row_context);
    });
}

std::uint32_t question_host::number_users(const questions::user_list &users,
                                          std::vector<std::uint32_t> &numbers)
{
    return pg::call([&] {
        auto *const ids = static_cast<Datum *>(palloc((users.size() + 1) * sizeof(Datum)));
        for (std::uint32_t i = 0; i < users.size(); ++i)
            ids[i] = pg::uuid_datum(users[i]);
        ArrayType *const wanted =
            construct_array(ids, static_cast<int>(users.size()), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
        number_receiver receiver;
        pg::begin_rows(receiver);
        receiver.users = &users;
        receiver.numbers = numbers.data();
        execute("SELECT u.user_id, u.user_number FROM analytics.users AS u"
                " WHERE u.workspace_id = $1 AND u.user_id = ANY ($2)",
                {{UUIDOID, workspace_}, {UUIDARRAYOID, PointerGetDatum(wanted)}}, &receiver.rows.base);
        MemoryContextDelete(receiver.rows.row_context);
        bool is_null;
        Datum const highest =
            query_value("SELECT max(u.user_number) FROM analytics.users AS u WHERE u.workspace_id = $1",
                        {{UUIDOID, workspace_}}, is_null);
        return is_null ? std::uint32_t{0} : static_cast<std::uint32_t>(DatumGetInt64(highest)) + 1;
    });
}

bool question_host::saved_segment(std::string_view name, questions::stored_segment &out)
{
    return pg::call([&] {
        Datum const asked =
            PointerGetDatum(cstring_to_text_with_len(name.data(), static_cast<int>(name.size())));
        execute("SELECT s.definition::text, s.users FROM analytics.segments AS s"
                " WHERE s.workspace_id = $1 AND s.name = $2",
                {{UUIDOID, workspace_}, {TEXTOID, asked}}, nullptr);
        if (SPI_processed == 0)
            return false;
        bool is_null;
        Datum const definition = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
        if (!is_null) {
            std::string_view const text = pg::text_view(definition);
            pg::enter_callback([&] { out.definition = text; });
            return true;
        }
        auto const *const users =
            PG_DETOAST_DATUM_PACKED(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &is_null));
        auto const *const bytes = reinterpret_cast<const std::uint8_t *>(VARDATA_ANY(users));
        pg::enter_callback([&] { out.users.assign(bytes, bytes + VARSIZE_ANY_EXHDR(users)); });
        return true;
    });
}

} // namespace shadow::entry
