// Names of time zones, as the server itself looks them up.

#include "pg/boundary.hpp"

extern "C" {
#include "pgtime.h"
}

// POSIX specifications ("FOO+3") are accepted by pg_tzset, and need a digit; names of files may have one too
// ("Etc/GMT+3"), so those are looked for in the server's list.
static bool is_listed(const char *name)
{
    pg_tzenum *const list = pg_tzenumerate_start();
    bool found = false;
    for (pg_tz *zone = pg_tzenumerate_next(list); zone != nullptr && !found;
         zone = pg_tzenumerate_next(list)) {
        found = strcmp(pg_get_timezone_name(zone), name) == 0;
        CHECK_FOR_INTERRUPTS();
    }
    pg_tzenumerate_end(list);
    return found;
}

// The zone's name in its proper case, or NULL.
SHADOW_FUNCTION(shadow_time_zone_name)
{
    pg_tz *const zone = pg_tzset(text_to_cstring(PG_GETARG_TEXT_PP(0)));
    if (zone == nullptr || !pg_tz_acceptable(zone))
        PG_RETURN_NULL();
    char const *const name = pg_get_timezone_name(zone);
    if (strpbrk(name, "0123456789") != nullptr && !is_listed(name))
        PG_RETURN_NULL();
    PG_RETURN_TEXT_P(cstring_to_text(name));
}
