// DROP EXTENSION shadow_analytics: refused while there are data, unless CASCADE says that they may go.

#include "pg/boundary.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
}

using namespace shadow;

namespace
{

bool names_us(List *objects)
{
    ListCell *cell;
    foreach (cell, objects)
        if (strcmp(strVal(lfirst(cell)), "shadow_analytics") == 0)
            return true;
    return false;
}

// The statement drops the extension, and its user may: everybody else gets PostgreSQL's own error.
bool is_removal(const Node *statement)
{
    if (!IsA(statement, DropStmt))
        return false;
    auto const *const drop = reinterpret_cast<const DropStmt *>(statement);
    if (drop->removeType != OBJECT_EXTENSION || !names_us(drop->objects))
        return false;
    Oid const extension = get_extension_oid("shadow_analytics", true);
    return OidIsValid(extension) && pg_extension_ownercheck(extension, GetUserId());
}

} // namespace

// Event trigger on ddl_command_start.
SHADOW_FUNCTION(shadow_extension_removal)
{
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("shadow_extension_removal() is an event trigger function"));
    auto const *const event = reinterpret_cast<const EventTriggerData *>(fcinfo->context);
    if (is_removal(event->parsetree)) {
        bool const is_cascade =
            reinterpret_cast<const DropStmt *>(event->parsetree)->behavior == DROP_CASCADE;
        SPI_connect();
        SPI_execute(is_cascade ? "SELECT analytics_internal.remove_cron_jobs()"
                               : "SELECT analytics_internal.refuse_removal_of_data()",
                    false, 0);
        SPI_finish();
    }
    PG_RETURN_NULL();
}
