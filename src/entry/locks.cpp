#include "entry/locks.hpp"

#include "pg/boundary.hpp"

extern "C" {
#include "catalog/pg_extension_d.h"
#include "storage/lock.h"
}

using namespace shadow;
using entry::lock_name;

bool shadow::entry::take_lock(lock_name name, std::uint32_t key, LOCKMODE mode, bool wait)
{
    PreventCommandIfReadOnly("maintenance of shadow_analytics");
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, key, static_cast<std::uint16_t>(name));
    return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

namespace
{

constexpr struct {
    const char *text;
    lock_name name;
} names[] = {
    {"maintenance", lock_name::maintenance},
    {"finalization", lock_name::finalization},
    {"daily_rollups", lock_name::daily_rollups},
    {"hourly_rollups", lock_name::hourly_rollups},
    {"cohorts", lock_name::cohorts},
    {"views", lock_name::views},
    {"alerts", lock_name::alerts},
};

lock_name name_argument(FunctionCallInfo fcinfo)
{
    char const *const given = text_to_cstring(PG_GETARG_TEXT_PP(0));
    for (auto const &known : names)
        if (strcmp(known.text, given) == 0)
            return known.name;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("lock \"%s\" does not exist", given)));
}

} // namespace

// (name text)
SHADOW_FUNCTION(shadow_lock)
{
    (void)entry::take_lock(name_argument(fcinfo), 0, ExclusiveLock, true);
    PG_RETURN_VOID();
}

// (name text): false when another transaction has it.
SHADOW_FUNCTION(shadow_try_lock)
{
    PG_RETURN_BOOL(entry::take_lock(name_argument(fcinfo), 0, ExclusiveLock, false));
}
