#pragma once
// States of aggregates: C++ objects in the aggregate's memory context, freed with it and never destroyed. A
// state type is constructible from a MemoryContext and keeps all its memory there (palloc_resource).

#include "pg/memory.hpp"

namespace shadow::pg
{

inline MemoryContext aggregate_context(FunctionCallInfo fcinfo)
{
    MemoryContext context;
    if (!AggCheckCallContext(fcinfo, &context))
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("function called outside an aggregate"));
    return context;
}

// NULL stands for "no input yet".
template <typename State>
State *state_argument(FunctionCallInfo fcinfo, int argument)
{
    return PG_ARGISNULL(argument) ? nullptr : reinterpret_cast<State *>(PG_GETARG_POINTER(argument));
}

template <typename State>
Datum return_state(FunctionCallInfo fcinfo, State *state)
{
    fcinfo->isnull = state == nullptr;
    return PointerGetDatum(state);
}

template <typename State, typename... Arguments>
State *new_state(MemoryContext context, Arguments... arguments)
{
    return new (palloc_resource(context).allocate(sizeof(State), alignof(State)))
        State(context, arguments...);
}

} // namespace shadow::pg
