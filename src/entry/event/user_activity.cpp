// The row trigger of analytics.user_activity: refuses what cannot be counted, normalises the rest. It runs for every
// event, so it does no SPI (but for the first hash of an address in a transaction, and for late events) and returns
// the row as it came unless something changes.

#include <algorithm>

#include "core/event/event_rules.hpp"
#include "core/event/event_type.hpp"

#include "entry/event/late_events.hpp"
#include "entry/event/privacy.hpp"

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
    ip_address,
    ip_hash,
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
    {"ip_address", INETOID, 0},
    {"ip_hash", BYTEAOID, 0},
    {"user_agent", TEXTOID, user_agent_characters},
    {"referrer", TEXTOID, referrer_characters},
    {"metadata", JSONBOID, 0},
    {"created_at", TIMESTAMPTZOID, 0},
};

// Where the columns are in one partition; found once per statement and partition.
struct layout {
    Oid relation;
    AttrNumber number[column::count];
    entry::late_log late;
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

static layout *find_layout(FunctionCallInfo fcinfo, Relation relation)
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
    entry::open_late_log(known->late, RelationGetRelid(relation), fcinfo->flinfo->fn_mcxt);
    known->relation = RelationGetRelid(relation);
    return known;
}

static Datum get(const event_row &row, column::id which, bool *is_null)
{
    return slot_getattr(row.slot, row.columns->number[which], is_null);
}

// A column that was changed before is changed again.
static void set(event_row &row, column::id which, Datum value, bool is_null = false)
{
    AttrNumber const number = row.columns->number[which];
    int i = 0;
    while (i < row.changes && row.numbers[i] != number)
        ++i;
    row.numbers[i] = number;
    row.values[i] = value;
    row.nulls[i] = is_null;
    row.changes = Max(row.changes, i + 1);
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

static void protect_address(event_row &row, ip_policy policy)
{
    bool is_null;
    Datum const value = get(row, column::ip_address, &is_null);
    if (is_null || policy == ip_policy::keep)
        return;
    inet const *const address = DatumGetInetPP(value);
    if (policy == ip_policy::truncate) {
        set(row, column::ip_address, InetPGetDatum(entry::truncated_address(address)));
        return;
    }
    set(row, column::ip_address, Datum{0}, true);
    if (policy == ip_policy::hash)
        set(row, column::ip_hash, PointerGetDatum(entry::hashed_address(address)));
}

static void protect_user_agent(event_row &row, user_agent_policy policy)
{
    bool is_null;
    Datum const value = get(row, column::user_agent, &is_null);
    if (is_null || policy == user_agent_policy::keep)
        return;
    if (policy == user_agent_policy::drop) {
        set(row, column::user_agent, Datum{0}, true);
        return;
    }
    text const *const agent = DatumGetTextPP(value);
    auto const family = user_agent_family({VARDATA_ANY(agent), VARSIZE_ANY_EXHDR(agent)});
    set(row, column::user_agent,
        PointerGetDatum(cstring_to_text_with_len(family.data(), static_cast<int>(family.size()))));
}

static void strip_query(event_row &row, column::id which)
{
    bool is_null;
    Datum const value = get(row, which, &is_null);
    if (is_null)
        return;
    text const *const url = DatumGetTextPP(value);
    std::string_view const whole(VARDATA_ANY(url), VARSIZE_ANY_EXHDR(url));
    auto const kept = shadow::without_query(whole);
    if (kept.size() == whole.size())
        return;
    int const length =
        pg_mbcharcliplen(kept.data(), static_cast<int>(kept.size()), rules[which].most_characters);
    set(row, which, PointerGetDatum(cstring_to_text_with_len(kept.data(), length)));
}

static void protect_person(event_row &row, Relation relation)
{
    if (entry::is_taken_as_is(RelationGetRelid(relation)))
        return;
    auto const &policy = entry::current_privacy_rules();
    protect_address(row, policy.ip);
    protect_user_agent(row, policy.user_agent);
    if (!policy.keep_query)
        for (auto const which : {column::page_path, column::referrer})
            strip_query(row, which);
}

// Clients of the API date their events within narrow limits and state no amounts.
static void check_client(event_row &row, Relation relation)
{
    if (!entry::is_under_row_security(RelationGetRelid(relation)))
        return;
    auto const &policy = entry::current_privacy_rules();
    bool is_null;
    TimestampTz const time = DatumGetTimestampTz(get(row, column::created_at, &is_null));
    TimestampTz const now = GetCurrentStatementStartTimestamp();
    if (time < now - policy.most_age || time > now + policy.most_future)
        refuse_client_time(timestamptz_to_str(time), policy.most_age / USECS_PER_DAY,
                           policy.most_future / USECS_PER_MINUTE);
    Datum const value = get(row, column::metadata, &is_null);
    if (is_null || policy.trust_client_amounts)
        return;
    Jsonb *const kept = entry::without_amounts(DatumGetJsonbP(value));
    if (kept != nullptr)
        set(row, column::metadata, JsonbPGetDatum(kept));
}

// A row as it is stored: without a workspace it belongs to the nil uuid.
static pg_uuid_t stored_workspace(TupleTableSlot *slot, const layout &columns)
{
    bool is_null;
    Datum const workspace = slot_getattr(slot, columns.number[column::workspace_id], &is_null);
    return is_null ? pg_uuid_t{} : *DatumGetUUIDP(workspace);
}

static TimestampTz stored_time(TupleTableSlot *slot, const layout &columns)
{
    bool is_null;
    return DatumGetTimestampTz(slot_getattr(slot, columns.number[column::created_at], &is_null));
}

static void note_if_late(TupleTableSlot *slot, layout &columns, entry::late_change change)
{
    TimestampTz const time = stored_time(slot, columns);
    if (entry::is_late(columns.late, time, change))
        entry::append_late_event(columns.late, stored_workspace(slot, columns), time, change);
}

static bool is_of_same_day(TupleTableSlot *one, TupleTableSlot *other, const layout &columns)
{
    auto const day = [&](TupleTableSlot *slot) {
        TimestampTz const time = stored_time(slot, columns);
        return (time - (time < 0 ? USECS_PER_DAY - 1 : 0)) / USECS_PER_DAY;
    };
    pg_uuid_t const workspaces[] = {stored_workspace(one, columns), stored_workspace(other, columns)};
    return day(one) == day(other) && memcmp(&workspaces[0], &workspaces[1], sizeof(pg_uuid_t)) == 0;
}

// An update that moves the row to another partition also fires the trigger of its deletion: that it left is then
// noted twice, so a little less is known of its day.
static void note_change_if_late(TupleTableSlot *old_row, TupleTableSlot *new_row, layout &columns)
{
    note_if_late(new_row, columns, entry::late_change::came);
    bool const stays = is_of_same_day(old_row, new_row, columns);
    note_if_late(old_row, columns, stays ? entry::late_change::came : entry::late_change::left);
}

// As heap_modify_tuple() makes it; the slot has taken the row apart already.
static HeapTuple changed_tuple(const event_row &row, HeapTuple tuple)
{
    TupleTableSlot *const slot = row.slot;
    slot_getallattrs(slot);
    Datum values[MaxHeapAttributeNumber];
    bool nulls[MaxHeapAttributeNumber];
    int const columns = slot->tts_tupleDescriptor->natts;
    std::copy(slot->tts_values, slot->tts_values + columns, values);
    std::copy(slot->tts_isnull, slot->tts_isnull + columns, nulls);
    for (int i = 0; i < row.changes; ++i) {
        values[row.numbers[i] - 1] = row.values[i];
        nulls[row.numbers[i] - 1] = row.nulls[i];
    }
    HeapTuple const changed = heap_form_tuple(slot->tts_tupleDescriptor, values, nulls);
    changed->t_data->t_ctid = tuple->t_data->t_ctid;
    changed->t_self = tuple->t_self;
    changed->t_tableOid = tuple->t_tableOid;
    return changed;
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
    layout *const columns = find_layout(fcinfo, trigger->tg_relation);
    row.columns = columns;
    row.changes = 0;
    check_time(row, trigger->tg_relation);
    check_event_type(row);
    check_workspace(row);
    check_metadata(row);
    for (auto const which : {column::event_name, column::page_path, column::user_agent, column::referrer})
        cut_text(row, which);
    check_client(row, trigger->tg_relation);
    protect_person(row, trigger->tg_relation);
    if (is_update)
        note_change_if_late(trigger->tg_trigslot, row.slot, *columns);
    else
        note_if_late(row.slot, *columns, entry::late_change::came);
    return PointerGetDatum(row.changes == 0 ? tuple : changed_tuple(row, tuple));
}

SHADOW_FUNCTION(shadow_user_activity_deleted)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(
            ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"%s\" was not called by the trigger manager", "shadow_user_activity_deleted"));
    auto *const trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
    if (!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
        !TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" must be fired before delete for each row",
                       "shadow_user_activity_deleted"));
    note_if_late(trigger->tg_trigslot, *find_layout(fcinfo, trigger->tg_relation), entry::late_change::left);
    return PointerGetDatum(trigger->tg_trigtuple);
}
