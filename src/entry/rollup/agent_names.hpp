#pragma once
// Names that people gave agents: they go before those that events have.

#include "core/rollup/metrics.hpp"
#include "pg/index_lookup.hpp"

namespace shadow::entry
{

// Reads analytics.agents under the active snapshot. Plain data.
class agent_names
{
public:
    void open();
    void close();
    // Names in the current memory context; whether any is another than before.
    bool read(const uuid &workspace, span<agent_metrics> agents);

private:
    Relation table_;
    pg::index_lookup lookup_, of_workspace_;
    TupleTableSlot *row_;
    int name_;
};

} // namespace shadow::entry
