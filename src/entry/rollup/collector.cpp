#include "entry/rollup/collector.hpp"

#include "entry/rollup/query.hpp"
#include "entry/rollup/workspace_writer.hpp"
#include "pg/aggregate.hpp"

extern "C" {
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "utils/uuid.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

constexpr int final_column = event_argument_count;
// In the order of the event arguments.
constexpr const char *columns[] = {"workspace_id", "user_id",    "session_id", "event_type", "event_name",
                                   "metadata",     "created_at", "id",         "is_final"};

class event_collector
{
public:
    event_collector(MemoryContext context, std::size_t waiting_bytes)
        : query_(context), index_(&query_.memory), workspaces_(&query_.memory)
    {
        query_.read_rules(context);
        query_.batch.limit(waiting_bytes);
    }

    void add(const Datum *values, const bool *nulls)
    {
        decoded_event event;
        if (!read_event(query_, values, nulls, event))
            return;
        uuid const id = uuid::from_bytes(DatumGetUUIDP(values[event_workspace])->data);
        query_.batch.add(queue_of(id, DatumGetBool(values[final_column])), event);
    }

    // After all events.
    std::uint64_t write(workspace_writer &to);

private:
    struct workspace {
        uuid id;
        rollup_state *data;
        std::uint32_t queue; // in the batch
        bool is_final;
    };

    std::uint32_t queue_of(const uuid &id, bool is_final)
    {
        return workspaces_[index_.find_or_add(
                               id.hash(), [&](std::uint32_t i) { return workspaces_[i].id == id; },
                               [&] { return workspaces_.push(make_workspace(id, is_final)); })]
            .queue;
    }
    rollup_metrics take_metrics(const workspace &w, bool is_day, MemoryContext context);
    workspace make_workspace(const uuid &id, bool is_final)
    {
        auto *const data = new (query_.memory.allocate(sizeof(rollup_state), alignof(rollup_state)))
            rollup_state(&query_.memory, &query_.interned);
        return {id, data, query_.batch.open(data), is_final};
    }

    rollup_query query_;
    pool_index index_;
    pool<workspace> workspaces_;
};

// Adds what waits of the workspace, computes and frees its state: one after the other, so that it is still in the
// processor's cache. Apart, so that no object of core is alive while the rows are formed.
rollup_metrics event_collector::take_metrics(const workspace &w, bool is_day, MemoryContext context)
{
    query_.batch.flush(w.queue);
    w.data->finish();
    pg::palloc_resource memory(context);
    rollup_metrics const metrics =
        compute_metrics(w.id, *w.data, query_.rules, is_day, &memory, pg::interrupted);
    w.data->release();
    return metrics;
}

std::uint64_t event_collector::write(workspace_writer &to)
{
    std::uint32_t const n = workspaces_.size();
    if (n == 0)
        return 0;
    std::sort(&workspaces_[0], &workspaces_[0] + n,
              [](const workspace &a, const workspace &b) { return a.id < b.id; });
    MemoryContext const context =
        AllocSetContextCreate(CurrentMemoryContext, "collected workspace", ALLOCSET_DEFAULT_SIZES);
    MemoryContext const old = MemoryContextSwitchTo(context);
    for (std::uint32_t i = 0; i < n; ++i) {
        CHECK_FOR_INTERRUPTS();
        workspace const &w = workspaces_[i];
        rollup_metrics metrics = take_metrics(w, to.is_day(), context);
        to.write(w.id, w.is_final, metrics);
        MemoryContextReset(context);
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
    query_.batch.release();
    return n;
}

struct collecting_receiver {
    DestReceiver base;
    MemoryContext context; // everything
    MemoryContext row_context;
    event_collector *collector;
    std::uint32_t rows;
    bool is_final;                  // without a column that says it
    int numbers[lengthof(columns)]; // of the attributes; of the last <= 0: none
};

void read_columns(const collecting_receiver &receiver, const TupleTableSlot &slot, Datum *values, bool *nulls)
{
    for (int i = 0; i < event_argument_count; ++i) {
        values[i] = slot.tts_values[receiver.numbers[i] - 1];
        nulls[i] = slot.tts_isnull[receiver.numbers[i] - 1];
    }
    int const number = receiver.numbers[final_column];
    values[final_column] = number > 0 ? slot.tts_values[number - 1] : BoolGetDatum(receiver.is_final);
}

// Detoasted copies are few: it is enough to let them go now and then.
constexpr std::uint32_t rows_between_resets = 1024;

bool receive(TupleTableSlot *slot, DestReceiver *self)
{
    auto *const receiver = reinterpret_cast<collecting_receiver *>(self);
    slot_getallattrs(slot);
    MemoryContext const old = MemoryContextSwitchTo(receiver->row_context);
    Datum values[lengthof(columns)];
    bool nulls[lengthof(columns)];
    read_columns(*receiver, *slot, values, nulls);
    pg::enter_callback([&] { receiver->collector->add(values, nulls); });
    MemoryContextSwitchTo(old);
    if (++receiver->rows % rows_between_resets == 0)
        MemoryContextReset(receiver->row_context);
    return true;
}

void start(DestReceiver *self, int, TupleDesc description)
{
    auto *const receiver = reinterpret_cast<collecting_receiver *>(self);
    for (int i = 0; i <= final_column; ++i) {
        receiver->numbers[i] = SPI_fnumber(description, columns[i]);
        if (i != final_column && receiver->numbers[i] <= 0)
            elog(ERROR, "analytics.user_activity has no column \"%s\"", columns[i]);
    }
}
void ignore(DestReceiver *) {}

} // namespace

DestReceiver *shadow::entry::create_event_collector(bool is_final, std::size_t waiting_bytes)
{
    MemoryContext const context =
        AllocSetContextCreate(CurrentMemoryContext, "activity collector", ALLOCSET_DEFAULT_SIZES);
    auto *const receiver =
        static_cast<collecting_receiver *>(MemoryContextAllocZero(context, sizeof(collecting_receiver)));
    receiver->base = {receive, start, ignore, ignore, DestNone};
    receiver->context = context;
    receiver->is_final = is_final;
    receiver->row_context = AllocSetContextCreate(context, "collected row", ALLOCSET_DEFAULT_SIZES);
    receiver->collector = pg::new_state<event_collector>(context, waiting_bytes);
    return &receiver->base;
}

constexpr Size large_state = Size{64} << 20;

std::uint64_t shadow::entry::write_collected(DestReceiver *collector, workspace_writer &to)
{
    auto *const receiver = reinterpret_cast<collecting_receiver *>(collector);
    bool const is_large = MemoryContextMemAllocated(receiver->context, true) >= large_state;
    std::uint64_t const workspaces = receiver->collector->write(to);
    MemoryContextDelete(receiver->context);
    if (is_large)
        pg::return_free_memory();
    return workspaces;
}
