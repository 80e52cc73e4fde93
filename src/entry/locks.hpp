#pragma once
// The locks of the extension, kept to the end of the transaction. All names are here, so that no two purposes
// can share one. They lock an object of this database rather than an advisory number: nobody can take them by
// SQL but through the extension's own functions. pg_locks shows them as locktype object, classid
// pg_extension, objid the cell on a worker of Citus, else 0 (pg/cells.hpp), objsubid the number of the name.
//
// Whoever takes several takes them in this order, and takes them before rows or partitions are locked. Waiting
// for an earlier one while holding a later one is bounded, so that of two who could wait for each other it is
// always the one out of order who fails.

#include "pg/prelude.hpp"

namespace shadow::entry
{

// Numbers are for pg_locks only; they need not stay.
enum class lock_name : std::uint16_t {
    maintenance = 1, // a transaction of maintain() or backfill()
    rollups = 2,     // writes rollups or users, or changes or removes events that were counted
    views = 3,       // refreshes the materialized views
    alerts = 4,      // writes states and episodes of alert rules
    workspace =
        5, // counts against a limit of a workspace; one for each (objid), and in no order with the others
};

void lock(lock_name name);
// False when another transaction has it.
bool try_lock(lock_name name);

} // namespace shadow::entry
