// The scan of a question's events.

#include "entry/event/metadata.hpp"
#include "entry/questions/host.hpp"

#include "pg/page_scan.hpp"
#include "pg/row_receiver.hpp"
#include "pg/spi.hpp"
#include "pg/tuple.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/pg_type_d.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

namespace
{

class stored_event final : public questions::event_source
{
public:
    const varlena *values = nullptr; // metadata, if they are read

    json_value find(std::string_view key) const noexcept override
    {
        return values == nullptr ? json_value{json_type::null, false, nullptr, {}}
                                 : find_metadata_value(values, key);
    }
    void read(metadata &out) const noexcept override
    {
        if (values != nullptr)
            read_metadata(values, out);
    }
    const json_host &host() const noexcept override { return jsonb_host(); }
    std::string text_of(const json_value &structure) const override
    {
        std::string_view const bytes = structure.text;
        const char *const text = pg::call([bytes]() -> const char * {
            void *const aligned = palloc(bytes.size() + 1);
            memcpy(aligned, bytes.data(), bytes.size());
            return JsonbToCString(nullptr, static_cast<JsonbContainer *>(aligned),
                                  static_cast<int>(bytes.size()));
        });
        return text;
    }
};

enum column {
    workspace_id,
    event_type_column,
    id, // what only the events asked for are read for
    user_id,
    event_name,
    page_path,
    session_id,
    user_agent,
    referrer,
    metadata_column,
    created_at,
    column_count
};
constexpr const char *column_names[column_count] = {"workspace_id", "event_type", "id",         "user_id",
                                                    "event_name",   "page_path",  "session_id", "user_agent",
                                                    "referrer",     "metadata",   "created_at"};
constexpr int first_columns = 2;

struct event_receiver {
    pg::row_receiver rows;
    questions::event_sink *sink;
    questions::scan_request request;
    uuid workspace; // the rows of a page are of all workspaces and times
    int numbers[column_count];
    Datum values[column_count];
    bool nulls[column_count];

    Datum value(column c) const { return values[c]; }
    std::string_view text(column c) const { return nulls[c] ? std::string_view{} : pg::text_view(values[c]); }
    uuid uuid_of(column c) const { return uuid::from_bytes(DatumGetUUIDP(values[c])->data); }
    void take(const TupleTableSlot &slot)
    {
        for (int c = 0; c < column_count; ++c) {
            values[c] = slot.tts_values[numbers[c] - 1];
            nulls[c] = slot.tts_isnull[numbers[c] - 1];
        }
        if (auto const type = find_event_type(text(event_type_column)))
            pass_on(*type);
    }
    // Detoasting may raise, so it comes before core.
    void pass_on(event_type type)
    {
        stored_event event;
        event.id = uuid_of(id);
        event.workspace = uuid_of(workspace_id);
        event.user = uuid_of(user_id);
        event.has_session = !nulls[session_id];
        if (event.has_session)
            event.session = uuid_of(session_id);
        event.at = DatumGetTimestampTz(value(created_at));
        event.type = type;
        event.name = text(event_name);
        if (request.needs_texts) {
            event.page_path = text(page_path);
            event.referrer = text(referrer);
            event.user_agent = text(user_agent);
        }
        if (request.needs_metadata && !nulls[metadata_column])
            event.values = PG_DETOAST_DATUM_PACKED(value(metadata_column));
        pg::enter_callback([this, &event] { sink->add(event); });
    }
};

void start_events(DestReceiver *self, int, TupleDesc description)
{
    auto *const receiver = reinterpret_cast<event_receiver *>(self);
    for (int i = 0; i < column_count; ++i)
        receiver->numbers[i] = pg::column_number(description, "analytics.user_activity", column_names[i]);
}

// Of most rows the first columns say that they are not asked for.
void read_page(event_receiver &to, HeapScanDesc scan, const pg::row_reader &first, const pg::row_reader &all)
{
    Page const page = BufferGetPage(scan->rs_cbuf);
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(scan->rs_ntuples); ++i) {
        HeapTupleHeader const row = pg::row_of(scan, page, static_cast<int>(i));
        first.read(row, to.values, to.nulls);
        if (!(to.uuid_of(workspace_id) == to.workspace))
            continue;
        auto const type = find_event_type(to.text(event_type_column));
        if (!type || (to.request.types >> static_cast<int>(*type) & 1) == 0)
            continue;
        all.read(row, to.values, to.nulls);
        TimestampTz const at = DatumGetTimestampTz(to.value(created_at));
        if (at >= to.request.from && at < to.request.until)
            to.pass_on(*type);
    }
}

void read_table(event_receiver &to, Oid table)
{
    Relation const relation = table_open(table, AccessShareLock);
    start_events(&to.rows.base, 0, RelationGetDescr(relation));
    pg::row_reader const first(RelationGetDescr(relation), to.numbers, first_columns);
    pg::row_reader const all(RelationGetDescr(relation), to.numbers, column_count);
    pg::scan_pages(relation, GetActiveSnapshot(), [&](HeapScanDesc scan) {
        MemoryContext const old = MemoryContextSwitchTo(to.rows.row_context);
        read_page(to, scan, first, all);
        MemoryContextSwitchTo(old);
        MemoryContextReset(to.rows.row_context);
    });
    table_close(relation, NoLock);
}

} // namespace

void question_host::scan(const questions::scan_request &request, questions::event_sink &sink)
{
    pg::call([&] {
        event_receiver receiver;
        pg::begin_rows(receiver, start_events);
        receiver.sink = &sink;
        receiver.request = request;
        receiver.workspace = uuid::from_bytes(DatumGetUUIDP(workspace_)->data);
        // Nothing but the rows as they lie, which spares the executor a projection.
        constexpr char sql[] = "SELECT e.* FROM analytics.user_activity AS e"
                               " WHERE e.workspace_id = $1 AND e.created_at >= $2 AND e.created_at < $3"
                               " AND analytics_internal.is_type_among(e.event_type, $4)";
        std::initializer_list<pg::parameter> const given = {
            {UUIDOID, workspace_},
            {TIMESTAMPTZOID, TimestampTzGetDatum(request.from)},
            {TIMESTAMPTZOID, TimestampTzGetDatum(request.until)},
            {INT4OID, Int32GetDatum(static_cast<std::int32_t>(request.types))}};
        pg::leaf_list tables;
        if (pg::reads_whole_heaps(sql, given, tables)) {
            ereport(DEBUG1, errmsg_internal("the events are read page by page"));
            for (int i = 0; i < tables.count; ++i)
                read_table(receiver, tables.leaves[i]);
        } else {
            (void)pg::execute(sql, given, true, &receiver.rows.base);
        }
        MemoryContextDelete(receiver.rows.row_context);
    });
}

} // namespace shadow::entry

// (event_type, types). Called for each row, and nothing in it throws: it does without SHADOW_FUNCTION.
extern "C" {
PG_FUNCTION_INFO_V1(shadow_is_type_among);
Datum shadow_is_type_among(PG_FUNCTION_ARGS)
{
    const text *const value = PG_GETARG_TEXT_PP(0);
    std::string_view const name(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
    auto const types = static_cast<std::uint32_t>(PG_GETARG_INT32(1));
    for (int i = 0; i < shadow::event_type_count; ++i)
        if ((types >> i & 1) != 0 && name == shadow::event_type_names[i])
            PG_RETURN_BOOL(true);
    PG_RETURN_BOOL(false);
}
}
