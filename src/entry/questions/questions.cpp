// Questions about events: who may ask, what is asked, the rows of the answer.

#include "core/questions/answer.hpp"
#include "core/questions/experiment.hpp"

#include <algorithm>
#include <cmath>

#include "entry/access/membership.hpp"
#include "entry/event/metadata.hpp"
#include "entry/questions/host.hpp"
#include "entry/sets/user_set.hpp"
#include "pg/cells.hpp"
#include "pg/numeric.hpp"
#include "pg/settings.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "executor/tstoreReceiver.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
}

using namespace shadow;

namespace
{

enum class permission { none, counts, persons };

// What a call gives core: plain data, fetched before anything of core is alive.
struct asked {
    Datum workspace;
    const char *function;
    const char *arguments; // JSON
    TimestampTz as_of;
    permission granted;
    questions::question_settings settings;
    user_set_view users;
};

bool is_listed(const entry::workspace_list &list, const uuid &workspace)
{
    return std::binary_search(list.items, list.items + list.count, workspace);
}

// The role outside all definers decides where it stands above row security; else the claims do.
permission permission_for(const uuid &workspace)
{
    Oid const role = GetOuterUserId();
    Oid const events = pg::extension_relation("user_activity");
    if (has_bypassrls_privilege(role) || has_privs_of_role(role, pg::relation_owner(events)))
        return permission::persons;
    entry::memberships const &mine = entry::current_memberships();
    bool const is_for_all = strcmp(pg::setting_value("analyses_visible_to"), "members") == 0;
    if (!is_listed(is_for_all ? mine.all : mine.managed, workspace))
        return permission::none;
    return is_listed(entry::raw_event_workspaces(), workspace) ? permission::persons : permission::counts;
}

questions::date today_of(Datum workspace, TimestampTz at)
{
    Oid const function_arguments[] = {UUIDOID, TIMESTAMPTZOID};
    Datum values[] = {workspace, TimestampTzGetDatum(at)};
    SPI_execute_with_args("SELECT analytics.workspace_today($1, $2)", 2,
                          const_cast<Oid *>(function_arguments), values, nullptr, true, 1);
    bool is_null;
    return DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

void fetch_settings(asked &a)
{
    questions::question_settings &s = a.settings;
    memset(static_cast<void *>(&s), 0, sizeof s);
    s.as_of = a.as_of;
    s.today = today_of(a.workspace, a.as_of);
    s.session_gap = pg::setting_integer("session_gap_minutes") * USECS_PER_MINUTE;
    s.engaged_bounce = strcmp(pg::setting_value("bounce_rule"), "engaged") == 0;
    s.most_periods[0] = static_cast<int>(pg::setting_integer("cohort_max_days"));
    s.most_periods[1] = static_cast<int>(pg::setting_integer("cohort_max_weeks"));
    s.most_periods[2] = static_cast<int>(pg::setting_integer("cohort_max_months"));
    s.most_bytes = static_cast<std::size_t>(pg::setting_integer("analysis_memory_mb")) << 20;
    s.may_read_persons = a.granted == permission::persons;
    s.fewest_users = pg::setting_integer("segment_min_users");
    s.clip = entry::clip_text;
    s.currency = pack_currency(pg::setting_value("currency"));
    s.interrupted = pg::interrupted;
}

const char *jsonb_text(Jsonb *json)
{
    return JsonbToCString(nullptr, &json->root, static_cast<int>(VARSIZE(json)));
}

[[noreturn]] void refuse_persons()
{
    throw error(errc::not_allowed,
                "only those who may read a workspace's raw events may read persons out of them", {},
                "Use it as segment in a reader, which only counts.");
}

Datum numeric_datum(int128 value, int scale, bool is_trimmed)
{
    for (; is_trimmed && scale > 0 && value % 10 == 0; --scale)
        value /= 10;
    return NumericGetDatum(pg::numeric_from_scaled(value, scale));
}

Datum cell_datum(const questions::cell &c, bool &is_null)
{
    is_null = c.kind == questions::cell_kind::null;
    switch (c.kind) {
    case questions::cell_kind::integer:
        return Int64GetDatum(static_cast<int64>(c.number));
    case questions::cell_kind::decimal:
    case questions::cell_kind::trimmed:
        return numeric_datum(c.number, c.scale, c.kind == questions::cell_kind::trimmed);
    case questions::cell_kind::text:
        return PointerGetDatum(cstring_to_text_with_len(c.text.data(), static_cast<int>(c.text.size())));
    case questions::cell_kind::json: {
        char *const text = pnstrdup(c.text.data(), c.text.size());
        return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
    }
    case questions::cell_kind::instant:
        return TimestampTzGetDatum(static_cast<TimestampTz>(c.number));
    case questions::cell_kind::date:
        return DateADTGetDatum(static_cast<DateADT>(c.number));
    case questions::cell_kind::boolean:
        return BoolGetDatum(c.number != 0);
    default:
        return Datum{0};
    }
}

Oid type_of(questions::cell_kind kind)
{
    switch (kind) {
    case questions::cell_kind::integer:
        return INT8OID;
    case questions::cell_kind::decimal:
    case questions::cell_kind::trimmed:
        return NUMERICOID;
    case questions::cell_kind::text:
        return TEXTOID;
    case questions::cell_kind::json:
        return JSONBOID;
    case questions::cell_kind::instant:
        return TIMESTAMPTZOID;
    case questions::cell_kind::date:
        return DATEOID;
    case questions::cell_kind::boolean:
        return BOOLOID;
    default:
        return InvalidOid;
    }
}

// Whoever calls names the columns.
void check_columns(const questions::table &rows, TupleDesc shape)
{
    bool are_equal = shape->natts == static_cast<int>(rows.width());
    for (std::size_t r = 0; are_equal && r < rows.rows(); ++r) {
        CHECK_FOR_INTERRUPTS();
        for (std::size_t c = 0; are_equal && c < rows.width(); ++c) {
            auto const kind = rows.at(r, c).kind;
            are_equal = kind == questions::cell_kind::null ||
                        TupleDescAttr(shape, static_cast<int>(c))->atttypid == type_of(kind);
        }
    }
    if (!are_equal)
        ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                errmsg("the columns that are named are not those of the answer"));
}

void store_rows(const questions::table &rows, Tuplestorestate *store, TupleDesc shape)
{
    check_columns(rows, shape);
    auto *const values = static_cast<Datum *>(palloc(rows.width() * sizeof(Datum)));
    auto *const nulls = static_cast<bool *>(palloc(rows.width() * sizeof(bool)));
    MemoryContext const row =
        AllocSetContextCreate(CurrentMemoryContext, "row of an answer", ALLOCSET_DEFAULT_SIZES);
    MemoryContext const old = MemoryContextSwitchTo(row);
    for (std::size_t r = 0; r < rows.rows(); ++r) {
        CHECK_FOR_INTERRUPTS();
        for (std::size_t c = 0; c < rows.width(); ++c)
            values[c] = cell_datum(rows.at(r, c), nulls[c]);
        tuplestore_putvalues(store, shape, values, nulls);
        MemoryContextReset(row);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(row);
}

// Core answers; every query of its host and the rows are PostgreSQL's again.
void answer_into(const asked &a, Tuplestorestate *store, TupleDesc shape)
{
    entry::question_host host(a.workspace, a.settings.today);
    questions::table const rows = questions::answer(a.function, a.arguments, host, a.settings);
    pg::call([&] { store_rows(rows, store, shape); });
}

Datum who(const asked &a, MemoryContext result_context)
{
    entry::question_host host(a.workspace, a.settings.today);
    std::vector<std::uint32_t> const numbers = questions::users_who(a.arguments, host, a.settings);
    pg::palloc_resource memory(CurrentMemoryContext);
    roaring::writer set(&memory);
    write_sorted_values(numbers.data(), numbers.size(), set, pg::interrupted);
    varlena *const value = pg::allocate_varlena(stored_size(set), result_context);
    write_stored(set, reinterpret_cast<std::uint8_t *>(VARDATA(value)));
    return PointerGetDatum(value);
}

// Where the tables are spread over servers, a question is answered where the workspace is.
bool is_elsewhere()
{
    if (!pg::has_citus() || pg::cell_key() != 0)
        return false;
    pg::execute("SELECT analytics_internal.is_distributed()", {}, true);
    bool is_null;
    return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

const char *column_list(TupleDesc shape)
{
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < shape->natts; ++i) {
        Form_pg_attribute const column = TupleDescAttr(shape, i);
        appendStringInfo(&list, "%s%s %s", i == 0 ? "" : ", ", quote_identifier(NameStr(column->attname)),
                         format_type_be_qualified(column->atttypid));
    }
    return list.data;
}

void answer_elsewhere(const asked &a, const varlena *users, Tuplestorestate *store, TupleDesc shape,
                      MemoryContext store_context)
{
    const char *const columns = column_list(shape);
    DestReceiver *const receiver = CreateTuplestoreDestReceiver();
    SetTuplestoreDestReceiverParams(receiver, store, store_context, false, nullptr, nullptr);
    pg::execute(
        psprintf("SELECT * FROM analytics_internal.answer_in_cell($1, $2, $3, $4, $5, $6, $7) AS a (%s)",
                 columns),
        {{UUIDOID, a.workspace},
         {TEXTOID, CStringGetTextDatum(a.function)},
         {TEXTOID, CStringGetTextDatum(a.arguments)},
         {pg::type_named("analytics.user_set"), PointerGetDatum(users), users == nullptr},
         {TIMESTAMPTZOID, TimestampTzGetDatum(a.as_of)},
         {BOOLOID, BoolGetDatum(a.granted == permission::persons)},
         {TEXTOID, CStringGetTextDatum(columns)}},
        true, receiver);
    receiver->rDestroy(receiver);
}

Datum who_elsewhere(const asked &a, MemoryContext result_context)
{
    pg::execute("SELECT analytics_internal.users_who_in_cell($1, $2, $3)",
                {{UUIDOID, a.workspace},
                 {TEXTOID, CStringGetTextDatum(a.arguments)},
                 {TIMESTAMPTZOID, TimestampTzGetDatum(a.as_of)}},
                true);
    bool is_null;
    Datum const set = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    MemoryContext const old = MemoryContextSwitchTo(result_context);
    Datum const copy = datumCopy(set, false, -1);
    MemoryContextSwitchTo(old);
    return copy;
}

// The instant up to which events count; the transaction's start where none is given.
TimestampTz as_of_argument(FunctionCallInfo fcinfo, int argument)
{
    if (PG_ARGISNULL(argument))
        return GetCurrentTransactionStartTimestamp();
    TimestampTz const at = PG_GETARG_TIMESTAMPTZ(argument);
    if (TIMESTAMP_NOT_FINITE(at))
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("as_of must be finite"),
                errhint("Leave it out for now."));
    return at;
}

} // namespace

// The first five arguments are those of analytics_internal.answer().
static void answer_call(FunctionCallInfo fcinfo, permission granted)
{
    auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    asked a;
    a.workspace = PG_GETARG_DATUM(0);
    a.function = text_to_cstring(PG_GETARG_TEXT_PP(1));
    a.arguments = jsonb_text(PG_GETARG_JSONB_P(2));
    const varlena *const users = PG_ARGISNULL(3) ? nullptr : PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(3));
    a.as_of = as_of_argument(fcinfo, 4);
    a.granted = granted;
    if (users != nullptr && granted != permission::persons)
        refuse_persons();
    SPI_connect();
    if (is_elsewhere()) {
        answer_elsewhere(a, users, result->setResult, result->setDesc,
                         result->econtext->ecxt_per_query_memory);
        SPI_finish();
        return;
    }
    fetch_settings(a);
    if (users != nullptr) {
        a.users = entry::open_user_set(users);
        a.settings.users = &a.users;
    }
    answer_into(a, result->setResult, result->setDesc);
    SPI_finish();
}

static bool is_question(FunctionCallInfo fcinfo)
{
    InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
    return !PG_ARGISNULL(0) && !PG_ARGISNULL(1) && !PG_ARGISNULL(2);
}

static permission permission_argument(FunctionCallInfo fcinfo)
{
    return permission_for(uuid::from_bytes(DatumGetUUIDP(PG_GETARG_DATUM(0))->data));
}

// (workspace_id, function, arguments, users, as_of)
SHADOW_FUNCTION(shadow_answer_question)
{
    if (!is_question(fcinfo))
        return Datum{0};
    permission const granted = permission_argument(fcinfo);
    if (granted != permission::none)
        answer_call(fcinfo, granted);
    return Datum{0};
}

// (workspace_id, function, arguments, users, as_of, may_read_persons): in a cell, for who was permitted to ask outside.
SHADOW_FUNCTION(shadow_answer_permitted)
{
    if (is_question(fcinfo))
        answer_call(fcinfo, PG_GETARG_BOOL(5) ? permission::persons : permission::counts);
    return Datum{0};
}

// (workspace_id, segment, as_of)
SHADOW_FUNCTION(shadow_users_who)
{
    MemoryContext const result_context = CurrentMemoryContext;
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        PG_RETURN_NULL();
    asked a;
    a.workspace = PG_GETARG_DATUM(0);
    a.granted = permission_argument(fcinfo);
    if (a.granted == permission::none)
        PG_RETURN_NULL();
    if (a.granted != permission::persons)
        refuse_persons();
    a.arguments = jsonb_text(PG_GETARG_JSONB_P(1));
    a.as_of = as_of_argument(fcinfo, 2);
    SPI_connect();
    if (is_elsewhere()) {
        Datum const set = who_elsewhere(a, result_context);
        SPI_finish();
        return set;
    }
    fetch_settings(a);
    Datum const set = who(a, result_context);
    SPI_finish();
    return set;
}

// (control_users, control_conversions, variant_users, variant_conversions, expected_effect)
SHADOW_FUNCTION(shadow_compare_conversions)
{
    TupleDesc shape;
    if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    double const effect = DatumGetFloat8(DirectFunctionCall1(numeric_float8, PG_GETARG_DATUM(4)));
    questions::comparison const c = questions::compare_conversions(
        PG_GETARG_INT64(0), PG_GETARG_INT64(1), PG_GETARG_INT64(2), PG_GETARG_INT64(3), effect);
    double const numbers[] = {c.difference,     c.difference_low,     c.difference_high,    c.lift,
                              c.p_value,        c.probability_better, c.sequential_p_value, c.sequential_low,
                              c.sequential_high};
    Datum values[lengthof(numbers)];
    bool nulls[lengthof(numbers)];
    for (std::size_t i = 0; i < lengthof(numbers); ++i) {
        nulls[i] = std::isnan(numbers[i]);
        values[i] = nulls[i] ? Datum{0}
                             : numeric_datum(static_cast<int128>(std::llround(numbers[i] * 1e6)), 6, false);
    }
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls)));
}
