#pragma once
// Current values of the settings in core/access/settings.hpp, for entry functions. PostgreSQL calls only: they may
// raise, so call them in the fetch phase.

#include "pg/boundary.hpp"

extern "C" {
#include "utils/guc.h"
}

namespace shadow::pg
{

// The value in force, palloc'd in the current context. Values are read once per session and again when
// somebody has committed a change (a trigger announces it), whatever snapshot the caller has.
char *setting_value(const char *name);

// Changes whenever the values may have: what was derived from them is to be derived again.
std::uint64_t settings_generation();

std::int64_t setting_integer(const char *name);
bool setting_boolean(const char *name);

// Sets a parameter of PostgreSQL until AtEOXact_GUC() ends the caller's NewGUCNestLevel(), as the SET clause
// of a function does.
inline void set_parameter(const char *name, const char *value)
{
    (void)set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

} // namespace shadow::pg
