#include "entry/rollup/collector.hpp"

#include "entry/rollup/query.hpp"
#include "entry/rollup/workspace_writer.hpp"
#include "pg/aggregate.hpp"
#include "pg/page_scan.hpp"
#include "pg/row_receiver.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/table.h"
#include "common/hashfn.h"
#include "executor/spi.h"
}

using namespace shadow;
using namespace shadow::entry;

namespace
{

// In the order of the event arguments.
constexpr const char *columns[] = {"workspace_id", "user_id",  "session_id", "event_type",
                                   "event_name",   "metadata", "created_at", "id"};
static_assert(lengthof(columns) == event_argument_count);

class event_collector
{
public:
    event_collector(MemoryContext context, const event_selection &selection)
        : query_(context), selection_(selection), index_(&query_.memory), workspaces_(&query_.memory)
    {
        query_.read_rules(context);
        query_.batch.limit(selection.waiting_bytes);
    }

    void add(const Datum *values, const bool *nulls)
    {
        if (!is_event(nulls) || !is_selected(values[event_workspace]))
            return;
        workspace &w = workspace_of(uuid::from_bytes(DatumGetUUIDP(values[event_workspace])->data));
        TimestampTz const at = DatumGetTimestampTz(values[event_at]);
        w.present += at >= selection_.known.first && at < selection_.known.last;
        if (at < w.bounds.first || at >= w.bounds.last)
            return;
        decoded_event event;
        read_event(query_, values, nulls, event);
        if (w.data == nullptr)
            open(w);
        query_.batch.add(w.queue, event);
    }

    // After all events.
    std::uint64_t write(workspace_writer &to);

private:
    struct workspace {
        uuid id;
        event_bounds bounds;
        rollup_state *data;   // nullptr: no event yet
        std::uint32_t queue;  // in the batch
        std::int64_t present; // events of the UTC day
    };

    bool is_selected(Datum id) const
    {
        return selection_.mask == 0 ||
               (hash_bytes(DatumGetUUIDP(id)->data, UUID_LEN) & selection_.mask) == selection_.pattern;
    }
    event_bounds bounds_of(const uuid &id) const
    {
        const local_day *const end = selection_.local_days + selection_.local_day_count;
        auto const at_of = [](const local_day &d) { return uuid::from_bytes(d.workspace.data); };
        const local_day *const found =
            std::lower_bound(selection_.local_days, end, id,
                             [&](const local_day &d, const uuid &wanted) { return at_of(d) < wanted; });
        return found != end && at_of(*found) == id ? found->bounds : selection_.bounds;
    }
    workspace &workspace_of(const uuid &id)
    {
        return workspaces_[index_.find_or_add(
            id.hash(), [&](std::uint32_t i) { return workspaces_[i].id == id; },
            [&] {
                return workspaces_.push({id, bounds_of(id), nullptr, 0, 0});
            })];
    }
    std::int64_t present_of(const uuid &id) const
    {
        std::uint32_t const i =
            index_.find(id.hash(), [&](std::uint32_t w) { return workspaces_[w].id == id; });
        return i == npos ? 0 : workspaces_[i].present;
    }
    void write_counts(workspace_writer &to) const;
    void open(workspace &w)
    {
        w.data = new (query_.memory.allocate(sizeof(rollup_state), alignof(rollup_state)))
            rollup_state(&query_.memory, &query_.interned);
        w.queue = query_.batch.open(w.data);
    }
    rollup_metrics take_metrics(const workspace &w, bool is_day, MemoryContext context);

    rollup_query query_;
    event_selection selection_;
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

// Fewer events than are known to be there would make the rollups too small.
void event_collector::write_counts(workspace_writer &to) const
{
    for (int i = 0; i < selection_.known.count; ++i) {
        known_events const &known = selection_.known.workspaces[i];
        if (!is_selected(UUIDPGetDatum(&known.workspace)))
            continue;
        uuid const id = uuid::from_bytes(known.workspace.data);
        std::int64_t const present = present_of(id);
        if (present < known.least())
            raise_missing(selection_.known, known, present);
        to.write_count(id, present + known.removed);
    }
}

std::uint64_t event_collector::write(workspace_writer &to)
{
    write_counts(to);
    std::uint32_t const n = workspaces_.size();
    if (n == 0)
        return 0;
    std::sort(&workspaces_[0], &workspaces_[0] + n,
              [](const workspace &a, const workspace &b) { return a.id < b.id; });
    MemoryContext const context =
        AllocSetContextCreate(CurrentMemoryContext, "collected workspace", ALLOCSET_DEFAULT_SIZES);
    MemoryContext const old = MemoryContextSwitchTo(context);
    std::uint64_t written = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
        CHECK_FOR_INTERRUPTS();
        workspace const &w = workspaces_[i];
        if (w.data == nullptr)
            continue;
        rollup_metrics metrics = take_metrics(w, to.is_day(), context);
        to.write(w.id, w.bounds.is_final, metrics);
        MemoryContextReset(context);
        ++written;
    }
    MemoryContextSwitchTo(old);
    MemoryContextDelete(context);
    query_.batch.release();
    return written;
}

struct collecting_receiver {
    pg::row_receiver rows;
    MemoryContext context; // everything
    event_collector *collector;
    int numbers[lengthof(columns)]; // of the attributes

    void take(const TupleTableSlot &slot)
    {
        Datum values[lengthof(columns)];
        bool nulls[lengthof(columns)];
        for (int i = 0; i < event_argument_count; ++i) {
            values[i] = slot.tts_values[numbers[i] - 1];
            nulls[i] = slot.tts_isnull[numbers[i] - 1];
        }
        pg::enter_callback([&] { collector->add(values, nulls); });
    }
};

void start_collecting(DestReceiver *self, int, TupleDesc description)
{
    auto *const receiver = reinterpret_cast<collecting_receiver *>(self);
    for (int i = 0; i < event_argument_count; ++i)
        receiver->numbers[i] = pg::column_number(description, "analytics.user_activity", columns[i]);
}

} // namespace

DestReceiver *shadow::entry::create_event_collector(const event_selection &selection)
{
    MemoryContext const context =
        AllocSetContextCreate(CurrentMemoryContext, "activity collector", ALLOCSET_DEFAULT_SIZES);
    auto *const receiver =
        static_cast<collecting_receiver *>(MemoryContextAllocZero(context, sizeof(collecting_receiver)));
    pg::begin_rows(*receiver, start_collecting, context);
    receiver->context = context;
    receiver->collector = pg::new_state<event_collector>(context, selection);
    return &receiver->rows.base;
}

namespace
{

// Rows are as long as some cache lines, and not in the cache yet.
void prefetch_row(HeapTupleHeader row)
{
    for (int line = 0; line < 320; line += 64)
        __builtin_prefetch(reinterpret_cast<const char *>(row) + line);
}

void collect_page(collecting_receiver &receiver, HeapScanDesc scan, const pg::row_reader &reader)
{
    Page const page = BufferGetPage(scan->rs_cbuf);
    int const n = static_cast<int>(scan->rs_ntuples);
    constexpr int ahead = 2;
    for (int i = 0; i < n; ++i) {
        if (i + ahead < n)
            prefetch_row(pg::row_of(scan, page, i + ahead));
        Datum values[event_argument_count];
        bool nulls[event_argument_count];
        reader.read(pg::row_of(scan, page, i), values, nulls);
        receiver.collector->add(values, nulls);
    }
}

} // namespace

void shadow::entry::collect_table(DestReceiver *collector, Oid table, Snapshot snapshot)
{
    auto *const receiver = reinterpret_cast<collecting_receiver *>(collector);
    Relation const relation = table_open(table, AccessShareLock);
    start_collecting(collector, 0, RelationGetDescr(relation));
    pg::row_reader const reader(RelationGetDescr(relation), receiver->numbers, event_argument_count);
    pg::scan_pages(relation, snapshot, [&](HeapScanDesc scan) {
        MemoryContext const old = MemoryContextSwitchTo(receiver->rows.row_context);
        pg::enter_callback([&] { collect_page(*receiver, scan, reader); });
        MemoryContextSwitchTo(old);
        MemoryContextReset(receiver->rows.row_context);
    });
    table_close(relation, NoLock);
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
