#pragma once
// Receivers of the rows of a query. PostgreSQL calls: they may raise.

#include "pg/boundary.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "tcop/dest.h"
}

namespace shadow::pg
{

// The first member, `rows`, of a receiver that takes one row at a time: Receiver::take(slot). What a row needs in memory
// is mostly a detoasted value, and few have one: it is enough to let them go now and then.
struct row_receiver {
    DestReceiver base;
    MemoryContext row_context;
    std::uint32_t count;
};
constexpr std::uint32_t rows_between_resets = 1024;

template <typename Receiver>
bool receive(TupleTableSlot *slot, DestReceiver *self)
{
    auto *const receiver = reinterpret_cast<Receiver *>(self);
    slot_getallattrs(slot);
    MemoryContext const old = MemoryContextSwitchTo(receiver->rows.row_context);
    receiver->take(*slot);
    MemoryContextSwitchTo(old);
    if (++receiver->rows.count % rows_between_resets == 0)
        MemoryContextReset(receiver->rows.row_context);
    return true;
}
inline void start_nothing(DestReceiver *, int, TupleDesc) {}
inline void end_nothing(DestReceiver *) {}

template <typename Receiver>
void begin_rows(Receiver &receiver, void (*start)(DestReceiver *, int, TupleDesc) = start_nothing,
                MemoryContext parent = CurrentMemoryContext)
{
    receiver.rows.base = {receive<Receiver>, start, end_nothing, end_nothing, DestNone};
    receiver.rows.row_context = AllocSetContextCreate(parent, "received row", ALLOCSET_DEFAULT_SIZES);
    receiver.rows.count = 0;
}

} // namespace shadow::pg
