// Measures alert rules: reads the rules, scans the events of their windows once, and returns what every rule
// makes of them. Nothing is written here: analytics_internal.evaluate_alert_rules() applies the results.

#include "core/alerts/evaluator.hpp"
#include "core/base/decimal.hpp"
#include "entry/event/metadata.hpp"
#include "pg/memory.hpp"
#include "pg/row_receiver.hpp"
#include "pg/settings.hpp"
#include "pg/spi.hpp"
#include "pg/tuple.hpp"

extern "C" {
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/timestamp.h"
}

using namespace shadow;

namespace
{

// Everything one call works on; lives in a memory context of its own and is never destroyed.
struct evaluation {
    explicit evaluation(MemoryContext context) : memory_context(context), memory(context) {}

    MemoryContext memory_context;
    pg::palloc_resource memory;
    rollup_rules options{};
    TimestampTz now = 0;
    span<alert_rule> rules;          // those that can be evaluated
    pg_uuid_t *workspaces = nullptr; // by rule
    pg_uuid_t *ids = nullptr;
    Numeric *thresholds = nullptr;
    TimestampTz known_until = DT_NOBEGIN;
    alert_evaluator *evaluator = nullptr;
};

struct rule_row { // columns of the rules' query
    HeapTuple tuple;
    TupleDesc description;

    Datum value(int column, bool &is_null) const
    {
        return SPI_getbinval(tuple, description, column, &is_null);
    }
    std::string_view text_at(int column) const
    {
        bool is_null;
        Datum const datum = value(column, is_null);
        return is_null ? std::string_view{} : pg::text_view(datum);
    }
    int integer_at(int column) const
    {
        bool is_null;
        return DatumGetInt32(value(column, is_null));
    }
};

// In the order that the evaluator wants: by scope, platform rules last, then by delay and length of window.
constexpr const char *rules_query = R"sql(
WITH scored AS MATERIALIZED (
    SELECT d.workspace_id, d.scope, d.delay,
           analytics_internal.scored_hours(d.workspace_id, d.scope = 'platform', $1 - make_interval(mins => d.delay)) AS hours
    FROM (SELECT DISTINCT r.workspace_id, r.scope, r.evaluation_delay_minutes AS delay
          FROM analytics.alert_rules AS r, analytics_internal.alert_words() AS w
          WHERE r.condition = ANY (w.scored_conditions) AND ($2 IS NULL AND r.is_active OR r.id = $2)) AS d
)
SELECT r.workspace_id, r.id, r.scope, r.metric_type, r.condition, r.no_data, coalesce(s.state, 'ok'),
       r.evaluation_window_minutes, r.for_minutes, r.evaluation_delay_minutes, r.threshold_value, r.threshold_max,
       s.since, CASE WHEN r.condition = ANY (w.scored_conditions) THEN h.hours END
FROM analytics_internal.alert_words() AS w
CROSS JOIN analytics.alert_rules AS r
LEFT JOIN analytics.alert_rule_states AS s ON s.workspace_id = r.workspace_id AND s.alert_rule_id = r.id
LEFT JOIN scored AS h ON h.workspace_id = r.workspace_id AND h.scope = r.scope AND h.delay = r.evaluation_delay_minutes
WHERE $2 IS NULL AND r.is_active OR r.id = $2
ORDER BY r.scope = 'platform', CASE WHEN r.scope <> 'platform' THEN r.workspace_id END,
         r.evaluation_delay_minutes, r.evaluation_window_minutes, r.workspace_id, r.id
)sql";
enum rule_column {
    rule_workspace = 1,
    rule_id,
    rule_scope,
    rule_metric,
    rule_condition,
    rule_no_data,
    rule_state,
    rule_window,
    rule_for,
    rule_delay,
    rule_threshold,
    rule_threshold_max,
    rule_since,
    rule_hours
};

// Reads one word of a rule; false if this version does not know it.
template <typename Enum, std::size_t n>
bool read_name(const std::string_view (&names)[n], std::string_view name, Enum &out)
{
    auto const found = find_named<Enum>(names, name);
    out = found.value_or(Enum{});
    return found.has_value();
}

// PostgreSQL has an int128 too, of another alignment.
bool read_amount(const rule_row &row, int column, shadow::int128 &out)
{
    bool is_null;
    Datum const value = row.value(column, is_null);
    out = 0;
    return is_null || pg::to_scaled_int128(DatumGetNumeric(value), nano_scale, out);
}

span<std::int64_t> read_hours(const rule_row &row, MemoryContext context)
{
    bool is_null;
    Datum const value = row.value(rule_hours, is_null);
    if (is_null)
        return {};
    Datum *elements;
    int n;
    deconstruct_array(DatumGetArrayTypeP(value), TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
                      TYPALIGN_DOUBLE, &elements, nullptr, &n);
    auto *const hours = static_cast<std::int64_t *>(
        MemoryContextAlloc(context, static_cast<Size>(Max(n, 1)) * sizeof(std::int64_t)));
    for (int i = 0; i < n; ++i)
        hours[i] = DatumGetTimestampTz(elements[i]);
    return {hours, static_cast<std::size_t>(n)};
}

// False for a rule that the table's trigger would not have let in.
bool read_rule(const rule_row &row, MemoryContext context, alert_rule &out)
{
    bool is_null;
    out.workspace = uuid::from_bytes(DatumGetUUIDP(row.value(rule_workspace, is_null))->data);
    out.is_platform = row.text_at(rule_scope) == "platform";
    out.window_minutes = row.integer_at(rule_window);
    out.for_minutes = row.integer_at(rule_for);
    out.delay_minutes = row.integer_at(rule_delay);
    Datum const since = row.value(rule_since, is_null);
    out.since = is_null ? INT64CONST(0) : DatumGetTimestampTz(since);
    out.hours = read_hours(row, context);
    return read_name(alert_metric_names, row.text_at(rule_metric), out.metric) &&
           read_name(alert_condition_names, row.text_at(rule_condition), out.condition) &&
           read_name(no_data_policy_names, row.text_at(rule_no_data), out.no_data) &&
           read_name(alert_state_names, row.text_at(rule_state), out.state) &&
           read_amount(row, rule_threshold, out.threshold) &&
           read_amount(row, rule_threshold_max, out.threshold_max) && out.window_minutes >= 1 &&
           out.window_minutes <= 1440 && out.for_minutes >= 0 && out.delay_minutes >= 0;
}

enum result_column { column_count = 11 };

// One row of the result for a rule that cannot be evaluated: its state stays as it is.
void put_broken(ReturnSetInfo *result, const rule_row &row)
{
    Datum values[column_count] = {};
    bool nulls[column_count];
    memset(nulls, true, sizeof nulls);
    bool is_null;
    values[0] = row.value(rule_workspace, is_null);
    values[1] = row.value(rule_id, is_null);
    values[5] = pg::text_datum(row.text_at(rule_state));
    values[6] = row.value(rule_since, nulls[6]);
    values[9] = pg::text_datum("the rule is invalid: save it again to see why");
    for (int const set : {0, 1, 4, 5, 7, 8, 9})
        nulls[set] = false;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

void fetch_rules(evaluation &e, FunctionCallInfo fcinfo)
{
    Oid types[] = {TIMESTAMPTZOID, UUIDOID};
    Datum values[] = {TimestampTzGetDatum(e.now), PG_ARGISNULL(1) ? Datum{0} : PG_GETARG_DATUM(1)};
    char const nulls[] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};
    if (SPI_execute_with_args(rules_query, 2, types, values, nulls, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the alert rules: %s", SPI_result_code_string(SPI_result));
    auto const n = static_cast<Size>(Max(SPI_processed, 1));
    auto const allocate = [&](Size size) { return MemoryContextAllocHuge(e.memory_context, n * size); };
    e.rules = {static_cast<alert_rule *>(e.memory.allocate(n * sizeof(alert_rule), alignof(alert_rule))), 0};
    e.workspaces = static_cast<pg_uuid_t *>(allocate(sizeof(pg_uuid_t)));
    e.ids = static_cast<pg_uuid_t *>(allocate(sizeof(pg_uuid_t)));
    e.thresholds = static_cast<Numeric *>(allocate(sizeof(Numeric)));
    for (uint64 i = 0; i < SPI_processed; ++i) {
        rule_row const row{SPI_tuptable->vals[i], SPI_tuptable->tupdesc};
        std::size_t const at = e.rules.size;
        bool is_null;
        if (!read_rule(row, e.memory_context, e.rules[at])) {
            put_broken(reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo), row);
            continue;
        }
        e.workspaces[at] = *DatumGetUUIDP(row.value(rule_workspace, is_null));
        e.ids[at] = *DatumGetUUIDP(row.value(rule_id, is_null));
        e.thresholds[at] =
            DatumGetNumeric(row.value(rule_threshold, is_null)); // lives as long as SPI's table
        ++e.rules.size;
    }
}

// ---- Events -----------------------------------------------------------------------------------------------

enum event_column {
    event_scope, // only of a join with the ranges
    event_workspace,
    event_user,
    event_session,
    event_kind,
    event_metadata,
    event_at,
    event_id,
    event_column_count
};
constexpr const char *event_columns[] = {"scope",      "workspace_id", "user_id",    "session_id",
                                         "event_type", "metadata",     "created_at", "id"};
static_assert(lengthof(event_columns) == event_column_count);

// Takes the rows of a scan as the executor makes them.
struct event_receiver {
    DestReceiver base;
    alert_evaluator *evaluator;
    MemoryContext scratch;
    bool to_hours;
    std::uint32_t platform;          // the scope of all rows, npos: see scope_of()
    int numbers[event_column_count]; // of the columns, from 1
    int last_number;
};

// The row of an event. It has the table's columns and maybe more, in any order: a scan that need not
// rearrange them costs less.
struct event_row {
    const event_receiver &receiver;
    const TupleTableSlot &slot;

    Datum operator[](event_column column) const { return slot.tts_values[receiver.numbers[column] - 1]; }
    bool is_null(event_column column) const { return slot.tts_isnull[receiver.numbers[column] - 1]; }
    uuid uuid_at(event_column column) const { return uuid::from_bytes(DatumGetUUIDP((*this)[column])->data); }
    std::int64_t at() const { return DatumGetTimestampTz((*this)[event_at]); }
};

std::uint32_t scope_of(const event_row &row)
{
    if (row.receiver.numbers[event_scope] > 0)
        return static_cast<std::uint32_t>(DatumGetInt32(row[event_scope]));
    if (row.receiver.platform != npos)
        return row.receiver.platform;
    return row.receiver.evaluator->find_window_scope(row.uuid_at(event_workspace), row.at());
}

void feed(const event_row &row)
{
    auto const type = find_event_type(pg::text_view(row[event_kind]));
    std::uint32_t const scope = scope_of(row);
    if (!type || scope == npos) // from a newer version; or older than the windows of its workspace
        return;
    raw_event event{};
    event.workspace = row.uuid_at(event_workspace);
    event.user = row.uuid_at(event_user);
    event.has_session = !row.is_null(event_session);
    if (event.has_session)
        event.session = row.uuid_at(event_session);
    event.id = row.uuid_at(event_id);
    event.at = row.at();
    event.type = *type;
    metadata json(entry::jsonb_host());
    entry::read_metadata(PG_DETOAST_DATUM_PACKED(row[event_metadata]), json);
    row.receiver.evaluator->add(scope, row.receiver.to_hours, event, json);
}

bool receive_event(TupleTableSlot *slot, DestReceiver *self)
{
    auto *const receiver = reinterpret_cast<event_receiver *>(self);
    MemoryContext const old = MemoryContextSwitchTo(receiver->scratch);
    slot_getsomeattrs(slot, receiver->last_number);
    pg::enter_callback([&] { feed({*receiver, *slot}); });
    MemoryContextSwitchTo(old);
    MemoryContextReset(receiver->scratch);
    return true;
}

void start_events(DestReceiver *self, int, TupleDesc description)
{
    auto *const receiver = reinterpret_cast<event_receiver *>(self);
    receiver->last_number = 0;
    for (int i = 0; i < event_column_count; ++i) {
        receiver->numbers[i] =
            i == event_scope ? SPI_fnumber(description, event_columns[i])
                             : pg::column_number(description, "analytics.user_activity", event_columns[i]);
        receiver->last_number = Max(receiver->last_number, receiver->numbers[i]);
    }
}

Datum array_of(const Datum *values, std::size_t n, Oid type)
{
    bool const is_uuid = type == UUIDOID;
    int const length = is_uuid ? UUID_LEN : type == INT4OID ? 4 : 8;
    char const alignment = is_uuid ? TYPALIGN_CHAR : type == INT4OID ? TYPALIGN_INT : TYPALIGN_DOUBLE;
    return PointerGetDatum(construct_array(const_cast<Datum *>(values), static_cast<int>(n), type, length,
                                           is_uuid ? false : type == INT4OID || FLOAT8PASSBYVAL, alignment));
}

// The parameters of a scan: which scope wants which interval of which workspace.
struct scan_parameters {
    Datum *columns[4]; // scope, workspace, first, last
    std::size_t count = 0;
    std::int64_t first = INT64_MAX, last = INT64_MIN;
    double length = 0; // of all intervals together

    // Most of what lies between the first and the last instant is wanted anyway.
    bool are_alike() const
    {
        return length * 2 >=
               static_cast<double>(count) * (static_cast<double>(last) - static_cast<double>(first));
    }
};

scan_parameters make_parameters(const evaluation &e, span<alert_range> ranges, bool platform)
{
    scan_parameters p;
    for (Datum *&column : p.columns)
        column = static_cast<Datum *>(palloc((ranges.size + 1) * sizeof(Datum)));
    for (alert_range const &r : ranges) {
        if (e.evaluator->is_platform(r.scope) != platform)
            continue;
        p.columns[0][p.count] = Int32GetDatum(static_cast<int32>(r.scope));
        p.columns[1][p.count] = pg::uuid_datum(e.evaluator->workspace(r.scope));
        p.columns[2][p.count] = TimestampTzGetDatum(r.first);
        p.columns[3][p.count] = TimestampTzGetDatum(r.last);
        p.first = Min(p.first, r.first);
        p.last = Max(p.last, r.last);
        p.length += static_cast<double>(r.last) - static_cast<double>(r.first); // first may be -infinity
        ++p.count;
    }
    return p;
}

void run_scan(const char *sql, const scan_parameters &p, DestReceiver *receiver)
{
    constexpr Oid types[] = {INT4OID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
    constexpr Oid arrays[] = {INT4ARRAYOID,        UUIDARRAYOID,   TIMESTAMPTZARRAYOID,
                              TIMESTAMPTZARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
    ParamListInfo const parameters = makeParamList(6);
    for (int i = 0; i < 6; ++i) {
        Datum const value = i < 4 ? array_of(p.columns[i], p.count, types[i])
                                  : TimestampTzGetDatum(i == 4 ? p.first : p.last);
        parameters->params[i] = {value, false, PARAM_FLAG_CONST, arrays[i]};
    }
    SPIExecuteOptions options;
    memset(&options, 0, sizeof options);
    options.params = parameters;
    options.read_only = true;
    options.dest = receiver;
    if (int const result = SPI_execute_extended(sql, &options); result < 0)
        elog(ERROR, "SPI could not scan the events: %s", SPI_result_code_string(result));
}

// Of intervals that are alike, the rows find their scopes by themselves: a plain scan of the table's columns
// is the cheapest.
#define BETWEEN "WHERE e.created_at >= $5 AND e.created_at < $6"
#define PLAIN_SCAN "SELECT e.* FROM analytics.user_activity AS e " BETWEEN
#define JOIN                                                                                                 \
    "SELECT r.scope, e.*"                                                                                    \
    " FROM unnest($1::integer[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])"                          \
    " AS r (scope, workspace_id, first_at, last_at) JOIN analytics.user_activity AS e"                       \
    " ON e.created_at >= r.first_at AND e.created_at < r.last_at "

const char *scan_query(bool is_plain, bool platform)
{
    if (is_plain)
        return platform ? PLAIN_SCAN : PLAIN_SCAN " AND e.workspace_id = ANY ($2)";
    return platform ? JOIN BETWEEN : JOIN "AND e.workspace_id = r.workspace_id " BETWEEN;
}

void scan_events(const evaluation &e, bool to_hours)
{
    auto *const receiver = static_cast<event_receiver *>(palloc0(sizeof(event_receiver)));
    receiver->base = {receive_event, start_events, pg::end_nothing, pg::end_nothing, DestNone};
    receiver->evaluator = e.evaluator;
    receiver->scratch = AllocSetContextCreate(e.memory_context, "alert event", ALLOCSET_SMALL_SIZES);
    receiver->to_hours = to_hours;
    span<alert_range> const ranges = to_hours ? e.evaluator->hour_ranges() : e.evaluator->window_ranges();
    for (bool const platform : {false, true}) {
        scan_parameters const p = make_parameters(e, ranges, platform);
        if (p.count == 0)
            continue;
        receiver->platform = platform ? static_cast<std::uint32_t>(DatumGetInt32(p.columns[0][0])) : npos;
        run_scan(scan_query(!to_hours && !e.evaluator->has_delays() && p.are_alike(), platform), p,
                 &receiver->base);
    }
}

// Events before this instant are in the dictionary of users: closed days are, and no local day is longer. The
// window's scan goes back so far where a rule asks for sign-ups; without maintenance, to the first event.
TimestampTz known_until()
{
    if (SPI_execute("SELECT w.closed_until - interval '26 hours' FROM analytics.watermark AS w", true, 1) !=
        SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the watermark: %s", SPI_result_code_string(SPI_result));
    if (SPI_processed == 0)
        return DT_NOBEGIN;
    bool is_null;
    return DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

#define NEWCOMERS "unnest($1::integer[], $2::uuid[], $3::uuid[]) AS n (scope, workspace_id, user_id)"
// What the dictionary knows, and the events of closed hours that it does not know yet. OFFSET 0 keeps the
// planner from reading the whole history instead of some hours.
#define KNOWN(same_user)                                                                                     \
    "SELECT n.scope, n.user_id, x.first_seen FROM " NEWCOMERS " JOIN analytics.users AS x ON " same_user     \
    " UNION ALL SELECT n.scope, n.user_id, x.created_at"                                                     \
    " FROM (SELECT DISTINCT d.workspace_id, d.metric_hour FROM analytics.dirty_hours AS d"                   \
    "  WHERE d.metric_hour < $4) AS h,"                                                                      \
    " LATERAL (SELECT e.workspace_id, e.user_id, e.created_at FROM analytics.user_activity AS e"             \
    "  WHERE e.workspace_id = h.workspace_id AND e.created_at >= h.metric_hour"                              \
    "  AND e.created_at < h.metric_hour + interval '1 hour' OFFSET 0) AS x, " NEWCOMERS " WHERE " same_user

// Reads what is known of the users who would be sign-ups by the events at hand.
void scan_newcomers(const evaluation &e, bool platform, span<alert_newcomer> newcomers)
{
    Datum *columns[3];
    for (Datum *&column : columns)
        column =
            static_cast<Datum *>(MemoryContextAllocHuge(e.memory_context, newcomers.size * sizeof(Datum)));
    for (std::size_t i = 0; i < newcomers.size; ++i) {
        columns[0][i] = Int32GetDatum(static_cast<int32>(newcomers[i].scope));
        columns[1][i] = pg::uuid_datum(e.evaluator->workspace(newcomers[i].scope));
        columns[2][i] = pg::uuid_datum(newcomers[i].user);
    }
    Oid types[] = {INT4ARRAYOID, UUIDARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID};
    Datum values[] = {array_of(columns[0], newcomers.size, INT4OID),
                      array_of(columns[1], newcomers.size, UUIDOID),
                      array_of(columns[2], newcomers.size, UUIDOID), TimestampTzGetDatum(e.known_until)};
    const char *const sql = platform ? KNOWN("x.user_id = n.user_id")
                                     : KNOWN("x.workspace_id = n.workspace_id AND x.user_id = n.user_id");
    if (SPI_execute_with_args(sql, 4, types, values, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the known users: %s", SPI_result_code_string(SPI_result));
    for (uint64 i = 0; i < SPI_processed; ++i) {
        bool is_null;
        auto const value = [&](int column) {
            return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column, &is_null);
        };
        e.evaluator->add_known(static_cast<std::uint32_t>(DatumGetInt32(value(1))),
                               uuid::from_bytes(DatumGetUUIDP(value(2))->data),
                               DatumGetTimestampTz(value(3)));
    }
}

// ---- Result -----------------------------------------------------------------------------------------------

void put_result(ReturnSetInfo *result, const evaluation &e, std::size_t i, const rule_result &v)
{
    bool const changed = v.step.state != e.rules[i].state;
    Datum values[column_count] = {
        UUIDPGetDatum(&e.workspaces[i]),
        UUIDPGetDatum(&e.ids[i]),
        v.has_value ? pg::trimmed_numeric_datum(v.value, nano_scale) : Datum{0},
        NumericGetDatum(e.thresholds[i]),
        BoolGetDatum(v.holds),
        pg::text_datum(alert_state_names[static_cast<int>(v.step.state)]),
        TimestampTzGetDatum(v.step.since),
        BoolGetDatum(v.step.fires),
        BoolGetDatum(v.step.resolves),
        pg::text_datum(v.reason),
        pg::jsonb_datum(v.context),
    };
    bool nulls[column_count] = {};
    nulls[2] = !v.has_value;
    nulls[6] = !changed && v.step.state == alert_state::ok;
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

// Feeds the evaluator with everything that its rules ask for.
void scan(evaluation &e)
{
    e.known_until = known_until();
    e.evaluator = new (e.memory.allocate(sizeof(alert_evaluator), alignof(alert_evaluator)))
        alert_evaluator(e.rules, e.options, e.now, e.known_until, &e.memory);
    scan_events(e, false);
    scan_events(e, true);
    for (bool const platform : {false, true})
        if (span<alert_newcomer> const newcomers = e.evaluator->newcomers(platform); newcomers.size != 0)
            scan_newcomers(e, platform, newcomers);
}

} // namespace

// (at timestamptz, rule_id uuid): every active rule, or one
SHADOW_FUNCTION(shadow_measure_alert_rules)
{
    if (PG_ARGISNULL(0) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the moment of an evaluation must be a finite time")));
    InitMaterializedSRF(fcinfo, 0);
    auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    MemoryContext const context =
        AllocSetContextCreate(CurrentMemoryContext, "alert evaluation", ALLOCSET_DEFAULT_SIZES);
    auto *const e = new (MemoryContextAlloc(context, sizeof(evaluation))) evaluation(context);
    e->now = PG_GETARG_TIMESTAMPTZ(0);
    e->options = {{0, {{}, {}}, entry::clip_text},
                  pg::setting_integer("session_gap_minutes") * 60 * USECS_PER_SEC,
                  false};

    SPI_connect();
    fetch_rules(*e, fcinfo);
    scan(*e);
    span<rule_result> const results = e->evaluator->evaluate(pg::interrupted);
    for (std::size_t i = 0; i < results.size; ++i)
        put_result(result, *e, i, results[i]);
    SPI_finish();
    MemoryContextDelete(context);
    return Datum{0};
}
