#pragma once
// Receivers of the rows of a query. PostgreSQL calls: they may raise.

#include "pg/boundary.hpp"

extern "C" {
#include "executor/tuptable.h"
#include "tcop/dest.h"
}

namespace shadow::entry
{

// A receiver that hands rows to a function; detoasted copies are let go now and then.
struct row_receiver {
    DestReceiver base;
    MemoryContext row_context;
    std::uint32_t rows;
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
    if (++receiver->rows.rows % rows_between_resets == 0)
        MemoryContextReset(receiver->rows.row_context);
    return true;
}
inline void start_nothing(DestReceiver *, int, TupleDesc) {}
inline void ignore(DestReceiver *) {}

template <typename Receiver>
void begin(Receiver &receiver, void (*start)(DestReceiver *, int, TupleDesc))
{
    receiver.rows.base = {receive<Receiver>, start, ignore, ignore, DestNone};
    receiver.rows.row_context =
        AllocSetContextCreate(CurrentMemoryContext, "row of a question", ALLOCSET_DEFAULT_SIZES);
    receiver.rows.rows = 0;
}

inline std::string_view text_view(Datum value)
{
    auto const *const text = PG_DETOAST_DATUM_PACKED(value);
    return {VARDATA_ANY(text), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(text))};
}

} // namespace shadow::entry
