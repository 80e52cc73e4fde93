#include "pg/toplevel.hpp"

#include "pg/prelude.hpp"

extern "C" {
#include "access/xact.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
}

namespace shadow::pg
{

// In TopMemoryContext, which a commit inside of the statement leaves alone.
static List *plan(RawStmt *parsed, const char *statement)
{
    PushActiveSnapshot(GetTransactionSnapshot());
    List *const queries = pg_analyze_and_rewrite_fixedparams(parsed, statement, nullptr, 0, nullptr);
    List *const plans = pg_plan_queries(queries, statement, 0, nullptr);
    PopActiveSnapshot();
    return plans;
}

// SPI would not do: after a commit inside of the statement PL/pgSQL wants a portal that holds the snapshot.
static void run_portal(List *plans, const char *statement, CommandTag tag)
{
    Portal const portal = CreatePortal("", true, true);
    PortalDefineQuery(portal, nullptr, statement, tag, plans, nullptr);
    PortalStart(portal, nullptr, 0, InvalidSnapshot);
    run_whole_portal(portal, None_Receiver);
    PortalDrop(portal, false);
}

void run_toplevel(const char *statement)
{
    debug_query_string = statement;
    pgstat_report_activity(STATE_RUNNING, statement);
    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    MemoryContextSwitchTo(TopMemoryContext);
    auto *const parsed = linitial_node(RawStmt, pg_parse_query(statement));
    run_portal(plan(parsed, statement), statement, CreateCommandTag(parsed->stmt));
    CommitTransactionCommand();
    pgstat_report_stat(true);
    pgstat_report_activity(STATE_IDLE, nullptr);
    debug_query_string = nullptr;
}

} // namespace shadow::pg
