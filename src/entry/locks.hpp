#pragma once
// The locks of the extension, kept to the end of the transaction. All names are here, so that no two purposes
// can share one. They lock an object of this database rather than an advisory number: nobody can take them by
// SQL but through the extension's own functions. pg_locks shows them as locktype object, classid
// pg_extension, objid the key, objsubid the number of the name.
//
// Whoever takes several takes them in this order, and holding a later one only tries for an earlier one.

#include "pg/prelude.hpp"

extern "C" {
#include "storage/lockdefs.h"
}

namespace shadow::entry
{

// Numbers are for pg_locks only; they need not stay.
enum class lock_name : std::uint16_t {
    maintenance = 1,  // a transaction of maintain() or backfill()
    finalization = 2, // closes or repairs buckets
    daily_rollups = 3,
    hourly_rollups = 4,
    cohorts = 5,
    views = 6,
    alerts = 7, // an evaluation of alert rules
};

// key: 0 for the whole, else a number for what is locked inside the name. False: not free, and wait is false.
bool take_lock(lock_name name, std::uint32_t key, LOCKMODE mode, bool wait);

} // namespace shadow::entry
