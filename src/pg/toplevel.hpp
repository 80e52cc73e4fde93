#pragma once
// A statement as a client would send it, for background workers.

namespace shadow::pg
{

// Runs one statement in transactions of its own: a procedure that it calls may commit. An error is raised.
// The caller is in no transaction and its process ends soon, as the plan stays allocated.
void run_toplevel(const char *statement);

} // namespace shadow::pg
