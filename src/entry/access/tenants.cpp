// Identity of the caller, for the policies: the user and the user's workspaces.

#include "entry/access/membership.hpp"

#include "entry/event/privacy.hpp"
#include "pg/settings.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

using namespace shadow;

SHADOW_FUNCTION(shadow_current_user_id)
{
    uuid user;
    if (!entry::current_user(user))
        PG_RETURN_NULL();
    auto *const result = static_cast<pg_uuid_t *>(palloc(sizeof(pg_uuid_t)));
    user.to_bytes(result->data);
    PG_RETURN_UUID_P(result);
}

// A copy: the list may be replaced while the caller still looks at the array.
static Datum uuid_array(const entry::workspace_list &list)
{
    if (list.count == 0)
        PG_RETURN_ARRAYTYPE_P(construct_empty_array(UUIDOID));
    Size const size = ARR_OVERHEAD_NONULLS(1) + static_cast<Size>(list.count) * sizeof(pg_uuid_t);
    auto *const array = static_cast<ArrayType *>(palloc(size));
    SET_VARSIZE(array, size);
    array->ndim = 1;
    array->dataoffset = 0;
    array->elemtype = UUIDOID;
    ARR_DIMS(array)[0] = list.count;
    ARR_LBOUND(array)[0] = 1;
    auto *const items = reinterpret_cast<pg_uuid_t *>(ARR_DATA_PTR(array));
    for (int i = 0; i < list.count; ++i)
        list.items[i].to_bytes(items[i].data);
    PG_RETURN_ARRAYTYPE_P(array);
}

SHADOW_FUNCTION(shadow_workspace_ids)
{
    return uuid_array(entry::current_memberships().all);
}

SHADOW_FUNCTION(shadow_managed_workspace_ids)
{
    return uuid_array(entry::current_memberships().managed);
}

SHADOW_FUNCTION(shadow_raw_event_workspace_ids)
{
    return uuid_array(entry::raw_event_workspaces());
}

SHADOW_FUNCTION(shadow_sees_all_workspaces)
{
    PG_RETURN_BOOL(entry::sees_all_workspaces());
}

SHADOW_FUNCTION(shadow_membership_problem)
{
    const char *const problem = entry::membership_problem();
    if (problem == nullptr)
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text(problem));
}

// By the clock, not the transaction's start: a long import must not have its last events refused.
SHADOW_FUNCTION(shadow_earliest_event_time)
{
    PG_RETURN_TIMESTAMPTZ(GetCurrentStatementStartTimestamp() -
                          pg::setting_integer("event_max_age_days") * USECS_PER_DAY);
}

SHADOW_FUNCTION(shadow_latest_event_time)
{
    PG_RETURN_TIMESTAMPTZ(GetCurrentTimestamp() +
                          pg::setting_integer("event_max_future_minutes") * USECS_PER_MINUTE);
}

SHADOW_FUNCTION(shadow_metadata_without_person)
{
    Jsonb *const metadata = PG_GETARG_JSONB_P(0);
    if (!JB_ROOT_IS_OBJECT(metadata))
        PG_RETURN_NULL();
    PG_RETURN_JSONB_P(entry::without_person(metadata));
}
