#include "entry/rollup/agent_names.hpp"

#include "entry/rollup/tables.hpp"

extern "C" {
#include "access/tableam.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"
}

using namespace shadow;
using namespace shadow::entry;

void agent_names::open()
{
    table_ = open_table("agents");
    lookup_.open(table_, {"workspace_id", "agent_id"}, 2, GetActiveSnapshot());
    of_workspace_.open(table_, {"workspace_id", "agent_id"}, 1, GetActiveSnapshot());
    row_ = table_slot_create(table_, nullptr);
    name_ = place_of(table_, "name");
}

void agent_names::close()
{
    lookup_.close();
    of_workspace_.close();
    ExecDropSingleTupleTableSlot(row_);
    table_close(table_, NoLock);
}

bool agent_names::read(const uuid &workspace, span<agent_metrics> agents)
{
    bool is_other = false;
    pg_uuid_t ids[2];
    workspace.to_bytes(ids[0].data);
    Datum const key[] = {UUIDPGetDatum(&ids[0]), UUIDPGetDatum(&ids[1])};
    if (!of_workspace_.find(key, row_)) // as in most workspaces: one search instead of one for each agent
        return false;
    for (agent_metrics &agent : agents) {
        agent.agent.to_bytes(ids[1].data);
        if (!lookup_.find(key, row_))
            continue;
        bool is_null;
        text *const name = DatumGetTextPCopy(slot_getattr(row_, name_ + 1, &is_null)); // never NULL
        std::string_view const stored(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
        is_other = is_other || stored != agent.name;
        agent.name = stored;
    }
    return is_other;
}
