// The row trigger of analytics.user_activity: refuses what cannot be counted, normalises the rest. It runs
// for every event, so it does no SPI and returns the row as it came unless something changes.

#include "core/event_rules.hpp"
#include "core/event_type.hpp"

#include "pg/boundary.hpp"

extern "C" {
#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

using namespace shadow;

namespace
{

namespace column
{
enum id {
    workspace_id,
    event_type,
    event_name,
    page_path,
    user_agent,
    referrer,
    metadata,
    created_at,
    count
};
}

struct column_rule {
    char name[16];
    Oid type;
    int most_characters; // 0: not cut
};

constexpr column_rule rules[column::count] = {
    {"workspace_id", UUIDOID, 0},
    {"event_type", TEXTOID, 0},
    {"event_name", TEXTOID, event_name_characters},
    {"page_path", TEXTOID, page_path_characters},
    {"user_agent", TEXTOID, user_agent_characters},
    {"referrer", TEXTOID, referrer_characters},
    {"metadata", JSONBOID, 0},
    {"created_at", TIMESTAMPTZOID, 0},
};

// Where the columns are in one partition; found once per statement and partition.
struct layout {
    Oid relation;
    AttrNumber number[column::count];
};

// The new row and what of it changes.
struct event_row {
    TupleTableSlot *slot;
    const layout *columns;
    int changes;
    int numbers[column::count];
    Datum values[column::count];
    bool nulls[column::count];
};

} // namespace

static AttrNumber find_column(TupleDesc columns, const column_rule &rule)
{
    for (int i = 0; i < columns->natts; ++i) {
        Form_pg_attribute const attribute = TupleDescAttr(columns, i);
        if (!attribute->attisdropped && attribute->atttypid == rule.type &&
            strcmp(NameStr(attribute->attname), rule.name) == 0)
            return attribute->attnum;
    }
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
            errmsg("column \"%s\" is missing or has another type", rule.name),
            errhint("The trigger is for partitions of analytics.user_activity only."));
}

static const layout *find_layout(FunctionCallInfo fcinfo, Relation relation)
{
    auto *known = static_cast<layout *>(fcinfo->flinfo->fn_extra);
    if (known != nullptr && known->relation == RelationGetRelid(relation))
        return known;
    if (known == nullptr)
        known = static_cast<layout *>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(layout)));
    known->relation = InvalidOid; // should a column be missing
    fcinfo->flinfo->fn_extra = known;
    for (int i = 0; i < column::count; ++i)
        known->number[i] = find_column(RelationGetDescr(relation), rules[i]);
    known->relation = RelationGetRelid(relation);
    return known;
}

static Datum get(const event_row &row, column::id which, bool *is_null)
{
    return slot_getattr(row.slot, row.columns->number[which], is_null);
}

static void set(event_row &row, column::id which, Datum value)
{
    row.numbers[row.changes] = row.columns->number[which];
    row.values[row.changes] = value;
    row.nulls[row.changes] = false;
    ++row.changes;
}

static void check_workspace(event_row &row)
{
    static pg_uuid_t nil = {};
    bool is_null;
    get(row, column::workspace_id, &is_null);
    if (is_null)
        set(row, column::workspace_id, UUIDPGetDatum(&nil));
}

// A NULL is left to the column's constraint.
static void check_event_type(const event_row &row)
{
    bool is_null;
    Datum const value = get(row, column::event_type, &is_null);
    if (is_null)
        return;
    text const *const name = DatumGetTextPP(value);
    int const length = static_cast<int>(VARSIZE_ANY_EXHDR(name));
    if (!find_event_type({VARDATA_ANY(name), static_cast<std::size_t>(length)}))
        refuse_event_type(
            {VARDATA_ANY(name), static_cast<std::size_t>(pg_mbcliplen(VARDATA_ANY(name), length, 200))});
}

// No more bytes than characters allowed: nothing to do, and nothing to detoast.
static void cut_text(event_row &row, column::id which)
{
    bool is_null;
    Datum const value = get(row, which, &is_null);
    int const most = rules[which].most_characters;
    if (is_null || toast_raw_datum_size(value) - VARHDRSZ <= static_cast<Size>(most))
        return;
    text const *const whole = DatumGetTextPP(value);
    int const length = static_cast<int>(VARSIZE_ANY_EXHDR(whole));
    int const kept = pg_mbcharcliplen(VARDATA_ANY(whole), length, most);
    if (kept < length)
        set(row, which, PointerGetDatum(cstring_to_text_with_len(VARDATA_ANY(whole), kept)));
}

static std::size_t text_bytes(Jsonb *value, std::size_t stored)
{
    StringInfoData text;
    initStringInfo(&text);
    JsonbToCString(&text, &value->root, static_cast<int>(stored));
    return static_cast<std::size_t>(text.len);
}

static void check_metadata(event_row &row)
{
    bool is_null;
    Datum const value = get(row, column::metadata, &is_null);
    if (is_null) {
        set(row, column::metadata, DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
        return;
    }
    std::size_t const stored = toast_raw_datum_size(value) - VARHDRSZ;
    if (stored > metadata_bytes_as_stored)
        refuse_metadata_size(stored);
    Jsonb *const document = DatumGetJsonbP(value);
    if (!JB_ROOT_IS_OBJECT(document))
        refuse_metadata_kind(JB_ROOT_IS_SCALAR(document) ? "a scalar" : "an array");
    if (stored > metadata_bytes) {
        auto const as_text = text_bytes(document, stored);
        if (as_text > metadata_bytes)
            refuse_metadata_size(as_text);
    }
}

// Rows are routed to their partition before a row trigger runs, so no trigger can supply created_at.
[[noreturn]] static void raise_null_time(Relation relation)
{
    ereport(ERROR, errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("created_at must not be NULL"),
            errdetail("It decides the partition of an event."),
            errhint("Leave the column out: it defaults to now()."), errtable(relation));
}

static void check_time(const event_row &row, Relation relation)
{
    bool is_null;
    TimestampTz const time = DatumGetTimestampTz(get(row, column::created_at, &is_null));
    if (is_null)
        raise_null_time(relation);
    if (is_client_time(time, GetCurrentStatementStartTimestamp()))
        return;
    if (!is_finite_time(time) || !pg_class_ownercheck(RelationGetRelid(relation), GetUserId()))
        refuse_time(timestamptz_to_str(time));
}

static TriggerData *row_trigger(FunctionCallInfo fcinfo)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(
            ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"%s\" was not called by the trigger manager", "shadow_user_activity_check"));
    auto *const trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
        TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" must be fired before insert or update for each row",
                       "shadow_user_activity_check"));
    return trigger;
}

SHADOW_FUNCTION(shadow_user_activity_check)
{
    TriggerData *const trigger = row_trigger(fcinfo);
    bool const is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    HeapTuple const tuple = is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
    event_row row;
    row.slot = is_update ? trigger->tg_newslot : trigger->tg_trigslot;
    row.columns = find_layout(fcinfo, trigger->tg_relation);
    row.changes = 0;
    check_time(row, trigger->tg_relation);
    check_event_type(row);
    check_workspace(row);
    check_metadata(row);
    for (auto const which : {column::event_name, column::page_path, column::user_agent, column::referrer})
        cut_text(row, which);
    if (row.changes == 0)
        return PointerGetDatum(tuple);
    return PointerGetDatum(heap_modify_tuple_by_cols(tuple, RelationGetDescr(trigger->tg_relation),
                                                     row.changes, row.numbers, row.values, row.nulls));
}
