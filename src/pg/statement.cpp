#include "pg/statement.hpp"

extern "C" {
#include "storage/proc.h"
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
