// Cells, for SQL: 01-cells.sql and 90-distribution.sql.

#include "pg/cells.hpp"
#include "pg/boundary.hpp"

using namespace shadow;

// (cell bigint, is_local boolean): NULL leaves it.
SHADOW_FUNCTION(shadow_enter_cell)
{
    pg::enter_cell(PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0), PG_ARGISNULL(1) || PG_GETARG_BOOL(1));
    PG_RETURN_VOID();
}

// (relation oid)
SHADOW_FUNCTION(shadow_local_relation)
{
    PG_RETURN_OID(pg::local_relation(PG_GETARG_OID(0)));
}

SHADOW_FUNCTION(shadow_cell_key)
{
    PG_RETURN_INT32(static_cast<std::int32_t>(pg::cell_key()));
}

SHADOW_FUNCTION(shadow_has_citus)
{
    PG_RETURN_BOOL(pg::has_citus());
}
