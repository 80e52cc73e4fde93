// An event as JSON to the row of analytics.user_activity that it becomes: what track() and track_batch() take.

#include "core/event/names.hpp"
#include "core/ingest/deep_events.hpp"
#include "core/ingest/event_keys.hpp"
#include "core/ingest/times.hpp"

#include "entry/access/membership.hpp"
#include "entry/event/metadata.hpp"
#include "entry/event/privacy.hpp"
#include "pg/settings.hpp"
#include "pg/tuple.hpp"

extern "C" {
#include "access/xact.h"
#include "funcapi.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"
#include "utils/timestamp.h"
}

using namespace shadow;

static constexpr int shown_characters = 100;

namespace
{

// The values by key, into the event; jbvNull where there is none.
struct incoming_event {
    JsonbValue values[event_key_count];

    const JsonbValue &operator[](event_key key) const { return values[static_cast<int>(key)]; }
    bool has(event_key key) const { return (*this)[key].type != jbvNull; }
};

} // namespace

static std::string_view shown(std::string_view text)
{
    return text.substr(0, entry::clip_text(text.data(), text.size(), shown_characters));
}

static void read_values(Jsonb *event, incoming_event &out)
{
    for (auto &value : out.values)
        value.type = jbvNull;
    if (!JB_ROOT_IS_OBJECT(event))
        refuse_event_kind();
    JsonbIterator *position = JsonbIteratorInit(&event->root);
    JsonbValue key;
    JsonbIteratorNext(&position, &key, true);
    while (JsonbIteratorNext(&position, &key, true) == WJB_KEY) {
        std::string_view const name(key.val.string.val, static_cast<std::size_t>(key.val.string.len));
        event_key const known = find_event_key(name);
        if (known == event_key::none)
            refuse_event_key(shown(name));
        JsonbIteratorNext(&position, &out.values[static_cast<int>(known)], true);
    }
}

// As ->> gives it.
static std::string_view text_of(const JsonbValue &value)
{
    switch (value.type) {
    case jbvString:
        return {value.val.string.val, static_cast<std::size_t>(value.val.string.len)};
    case jbvNumeric:
        return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
    case jbvBool:
        return value.val.boolean ? "true" : "false";
    default:
        return JsonbToCString(nullptr, value.val.binary.data, value.val.binary.len);
    }
}

static NullableDatum some(Datum value)
{
    return {value, false};
}

static constexpr NullableDatum none = {Datum{0}, true};

static NullableDatum text_column(const incoming_event &event, event_key key)
{
    return event.has(key) ? some(pg::text_datum(text_of(event[key]))) : none;
}

static uuid read_uuid(const incoming_event &event, event_key key)
{
    auto const text = text_of(event[key]);
    auto const id = parse_uuid(text);
    if (!id)
        refuse_id(key, shown(text));
    return *id;
}

[[noreturn]] static void raise_no_user()
{
    ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("the event has no user"),
            errhint("Pass user_id, or call with the claims of a signed-in user."));
}

[[noreturn]] static void raise_refused_subject()
{
    entry::note_refused_subject();
    ereport(
        ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the subject of the claims is no uuid"),
        errdetail("The setting text_subjects is off, so the caller is nobody."),
        errhint("INSERT INTO analytics.settings VALUES ('text_subjects', 'true'), as the owner, takes the "
                "subjects of the identity provider as users."));
}

static uuid workspace_of(const incoming_event &event)
{
    return event.has(event_key::workspace_id) ? read_uuid(event, event_key::workspace_id) : uuid{0, 0};
}

// Of a user or session, by its uuid or by what it is named.
static uuid read_name(const incoming_event &event, event_key key,
                      uuid (*id_of)(const uuid &, std::string_view))
{
    auto const text = text_of(event[key]);
    if (!parse_uuid(text) && !pg::setting_boolean("text_ids"))
        refuse_text_id(key, shown(text));
    if (text.empty())
        refuse_id(key, text);
    return id_of(key == event_key::user_id ? entry::user_space(workspace_of(event)) : workspace_of(event),
                 text);
}

static uuid user_of(const incoming_event &event)
{
    uuid user;
    bool const has_user = event.has(event_key::user_id);
    if (entry::has_refused_subject() &&
        (!has_user || entry::is_under_row_security(pg::extension_relation("user_activity"))))
        raise_refused_subject();
    if (has_user)
        user = read_name(event, event_key::user_id, user_id_of);
    else if (!entry::current_user(user))
        raise_no_user();
    return user;
}

static std::int64_t written_time_of(const incoming_event &event)
{
    auto const &value = event[event_key::created_at];
    auto const text = text_of(value);
    auto const time = read_time(text, value.type == jbvNumeric);
    if (time.problem != nullptr || !time.has_zone)
        refuse_written_time(shown(text), time.problem != nullptr ? time.problem : "a time without a zone");
    return time.at;
}

// When it happened. An event that may be sent again must say so, else its retry is another event.
static std::int64_t time_of(const incoming_event &event)
{
    if (event.has(event_key::created_at))
        return written_time_of(event);
    if (!event.has(event_key::id))
        return GetCurrentTransactionStartTimestamp();
    auto const time = time_of(read_uuid(event, event_key::id));
    if (!time)
        refuse_time_of_retry();
    return *time;
}

static NullableDatum uuid_column(const incoming_event &event, event_key key)
{
    return event.has(key) ? some(pg::uuid_datum(read_uuid(event, key))) : none;
}

static NullableDatum session_column(const incoming_event &event)
{
    return event.has(event_key::session_id)
               ? some(pg::uuid_datum(read_name(event, event_key::session_id, session_id_of)))
               : none;
}

static NullableDatum address_column(const incoming_event &event)
{
    if (!event.has(event_key::ip_address))
        return none;
    auto const text = text_of(event[event_key::ip_address]);
    return some(DirectFunctionCall1(inet_in, CStringGetDatum(pnstrdup(text.data(), text.size()))));
}

static Jsonb *metadata_of(const incoming_event &event)
{
    JsonbValue copy = event[event_key::metadata];
    return event.has(event_key::metadata) ? JsonbValueToJsonb(&copy) : nullptr;
}

static NullableDatum dropped_column(Jsonb *metadata)
{
    Datum const names = metadata == nullptr ? Datum{0} : entry::dropped_amounts(metadata);
    return names == Datum{0} ? none : some(names);
}

static Datum form_row(TupleDesc shape, const NullableDatum *columns, int count)
{
    if (shape->natts != count)
        elog(ERROR, "composite type has %d columns, %d were computed", shape->natts, count);
    auto *const values = static_cast<Datum *>(palloc(static_cast<Size>(count) * sizeof(Datum)));
    auto *const nulls = static_cast<bool *>(palloc(static_cast<Size>(count) * sizeof(bool)));
    for (int i = 0; i < count; ++i) {
        values[i] = columns[i].value;
        nulls[i] = columns[i].isnull;
    }
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls));
}

SHADOW_FUNCTION(shadow_read_event)
{
    TupleDesc shape;
    if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    incoming_event event;
    read_values(PG_GETARG_JSONB_P(0), event);
    Jsonb *const metadata = metadata_of(event);
    NullableDatum const columns[] = {
        uuid_column(event, event_key::id),
        some(pg::uuid_datum(workspace_of(event))),
        some(pg::uuid_datum(user_of(event))),
        text_column(event, event_key::event_type),
        text_column(event, event_key::event_name),
        text_column(event, event_key::page_path),
        session_column(event),
        address_column(event),
        text_column(event, event_key::user_agent),
        text_column(event, event_key::referrer),
        metadata == nullptr ? none : some(JsonbPGetDatum(metadata)),
        some(TimestampTzGetDatum(time_of(event))),
        dropped_column(metadata),
    };
    return form_row(shape, columns, lengthof(columns));
}

// (workspace_id, user_id)
SHADOW_FUNCTION(shadow_user_uuid)
{
    if (PG_ARGISNULL(1))
        PG_RETURN_NULL();
    uuid const workspace = PG_ARGISNULL(0) ? uuid{0, 0} : uuid::from_bytes(PG_GETARG_UUID_P(0)->data);
    text const *const name = PG_GETARG_TEXT_PP(1);
    return pg::uuid_datum(
        user_id_of(entry::user_space(workspace), {VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)}));
}

// (batch any_text)
SHADOW_FUNCTION(shadow_shallow_json)
{
    text const *const batch = PG_GETARG_TEXT_PP(0);
    std::size_t const most = VARSIZE_ANY_EXHDR(batch);
    auto *const result = static_cast<char *>(palloc(most + 1));
    auto const size = replace_deep_events({VARDATA_ANY(batch), most}, result, pg::interrupted);
    result[size] = '\0';
    return DirectFunctionCall1(json_in, CStringGetDatum(result)); // checks it
}
