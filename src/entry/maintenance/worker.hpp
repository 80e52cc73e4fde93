#pragma once
// What PostgreSQL runs by itself when the library is preloaded: analytics.maintain() in the databases of a
// list.

namespace shadow::entry
{

// Called by the postmaster while it loads its libraries: settings, shared memory, the launcher.
void register_worker();

} // namespace shadow::entry
