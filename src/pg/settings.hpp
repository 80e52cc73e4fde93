#pragma once
// Current values of the settings in core/settings.hpp, for entry functions. PostgreSQL calls only: they may
// raise, so call them in the fetch phase.

#include "pg/boundary.hpp"

namespace shadow::pg
{

// The value in force, palloc'd in the current context.
char *setting_value(const char *name);

std::int64_t setting_integer(const char *name);
double setting_real(const char *name);
bool setting_boolean(const char *name);

} // namespace shadow::pg
