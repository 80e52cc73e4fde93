#include "pg/spi.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "storage/proc.h"
#include "utils/syscache.h"
}

namespace shadow::pg
{

static std::uint64_t abort_count = 0;

static void count_abort(SubXactEvent event, SubTransactionId, SubTransactionId, void *)
{
    if (event == SUBXACT_EVENT_ABORT_SUB)
        ++abort_count;
}

std::uint64_t aborted_subtransactions()
{
    static bool is_registered = false;
    if (!is_registered) {
        RegisterSubXactCallback(count_abort, nullptr);
        is_registered = true;
    }
    return abort_count;
}

bool current_statement(statement_key &out)
{
    if (!ActiveSnapshotSet())
        return false;
    Snapshot const snapshot = GetActiveSnapshot();
    out = {GetUserId(),
           local_transaction_id(),
           aborted_subtransactions(),
           snapshot->snapXactCompletionCount,
           snapshot->xmin,
           snapshot->xmax,
           snapshot->xcnt,
           snapshot->subxcnt,
           snapshot->curcid};
    return true;
}

Oid relation_owner(Oid relation)
{
    HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE), errmsg("a table of the extension does not exist"),
                errhint("Create the extension again, or ALTER EXTENSION shadow_analytics UPDATE."));
    Oid const owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

user_switch become(Oid user, int flags)
{
    user_switch caller;
    GetUserIdAndSecContext(&caller.user, &caller.security);
    SetUserIdAndSecContext(user, caller.security | flags);
    return caller;
}

void become_caller(const user_switch &caller)
{
    SetUserIdAndSecContext(caller.user, caller.security);
}

} // namespace shadow::pg
