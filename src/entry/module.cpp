// The module itself: magic block and version.

#include "pg/boundary.hpp"

extern "C" {
PG_MODULE_MAGIC;
}

SHADOW_FUNCTION(shadow_version)
{
    PG_RETURN_TEXT_P(cstring_to_text(SHADOW_VERSION));
}
