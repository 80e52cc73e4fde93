#include "entry/locks.hpp"

#include "pg/boundary.hpp"
#include "pg/cells.hpp"

extern "C" {
#include "catalog/pg_extension_d.h"
#include "common/hashfn.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/uuid.h"
#include "utils/wait_event.h"
}

using namespace shadow;
using entry::lock_name;

namespace
{

constexpr struct {
    const char *text;
    lock_name name;
} names[] = {
    {"maintenance", lock_name::maintenance},
    {"rollups", lock_name::rollups},
    {"views", lock_name::views},
    {"alerts", lock_name::alerts},
};

// The last in the order that a transaction took, even if it was rolled back to a savepoint since.
struct {
    LocalTransactionId transaction;
    lock_name name;
} last_taken;

bool acquire(lock_name name, bool wait)
{
    LOCKTAG tag;
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, pg::cell_key(),
                       static_cast<std::uint16_t>(name));
    if (LockAcquire(&tag, ExclusiveLock, false, !wait) == LOCKACQUIRE_NOT_AVAIL)
        return false;
    LocalTransactionId const transaction = pg::local_transaction_id();
    if (last_taken.transaction != transaction || last_taken.name < name)
        last_taken = {transaction, name};
    return true;
}

bool holds_later_than(lock_name name)
{
    return last_taken.transaction == pg::local_transaction_id() && last_taken.name > name;
}

const char *text_of(lock_name name)
{
    for (auto const &known : names)
        if (known.name == name)
            return known.text;
    pg_unreachable();
}

// About two seconds. Nobody queues behind somebody who does not queue.
void acquire_out_of_order(lock_name name)
{
    constexpr int attempts = 40;
    constexpr long pause = 50;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, pause, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (acquire(name, false))
            return;
    }
    ereport(
        ERROR,
        (errcode(ERRCODE_LOCK_NOT_AVAILABLE), errmsg("lock \"%s\" is in use", text_of(name)),
         errdetail("This transaction has a lock that is taken after it, so it waits for two seconds only."),
         errhint("Call the function in a transaction of its own, or first.")));
}

lock_name name_argument(FunctionCallInfo fcinfo)
{
    char const *const given = text_to_cstring(PG_GETARG_TEXT_PP(0));
    for (auto const &known : names)
        if (strcmp(known.text, given) == 0)
            return known.name;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("lock \"%s\" does not exist", given)));
}

} // namespace

bool shadow::entry::try_lock(lock_name name)
{
    PreventCommandIfReadOnly("maintenance of shadow_analytics");
    pg::hold_cell();
    return acquire(name, false);
}

void shadow::entry::lock(lock_name name)
{
    if (try_lock(name))
        return;
    if (holds_later_than(name))
        acquire_out_of_order(name);
    else
        (void)acquire(name, true);
}

// (name text)
SHADOW_FUNCTION(shadow_lock)
{
    entry::lock(name_argument(fcinfo));
    PG_RETURN_VOID();
}

// (name text)
SHADOW_FUNCTION(shadow_try_lock)
{
    PG_RETURN_BOOL(entry::try_lock(name_argument(fcinfo)));
}

// (name text): objsubid in pg_locks.
SHADOW_FUNCTION(shadow_lock_number)
{
    PG_RETURN_INT32(static_cast<std::int32_t>(name_argument(fcinfo)));
}

// (workspace_id uuid)
SHADOW_FUNCTION(shadow_lock_workspace)
{
    LOCKTAG tag;
    std::uint32_t const workspace = hash_bytes(PG_GETARG_UUID_P(0)->data, UUID_LEN);
    SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, workspace,
                       static_cast<std::uint16_t>(lock_name::workspace));
    (void)LockAcquire(&tag, ExclusiveLock, false, false);
    PG_RETURN_VOID();
}
