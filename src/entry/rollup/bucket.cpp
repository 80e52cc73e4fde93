#include "entry/rollup/bucket.hpp"

#include "pg/spi.hpp"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/tstoreReceiver.h"
#include "utils/date.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

std::uint64_t execute(const char *sql, const bucket &b, DestReceiver *receiver, bool under_active_snapshot)
{
    Oid const key_type = b.is_day ? DATEOID : TIMESTAMPTZOID;
    // A share of a scan may not take a snapshot of its own.
    bool const read_only = under_active_snapshot || IsInParallelMode();
    return pg::execute(sql,
                       {{key_type, b.key},
                        {UUIDOID, b.workspace, b.all_workspaces},
                        {TIMESTAMPTZOID, TimestampTzGetDatum(b.now)},
                        {TIMESTAMPTZOID, TimestampTzGetDatum(b.first)},
                        {TIMESTAMPTZOID, TimestampTzGetDatum(b.last)}},
                       read_only, receiver);
}

static TupleDesc describe(const temporary_relation &relation)
{
    TupleDesc const description = CreateTemplateTupleDesc(relation.column_count);
    for (int i = 0; i < relation.column_count; ++i) {
        column const &c = relation.columns[i];
        TupleDescInitEntry(description, static_cast<AttrNumber>(i + 1), c.name, pg::type_named(c.type), -1,
                           0);
    }
    return description;
}

void register_relation(const char *name, TupleDesc description, Tuplestorestate *store, std::uint64_t rows)
{
    auto *const named = static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
    named->md.name = pstrdup(name);
    named->md.reliddesc = InvalidOid;
    named->md.tupdesc = description;
    named->md.enrtype = ENR_NAMED_TUPLESTORE;
    named->md.enrtuples = static_cast<double>(rows);
    named->reldata = store;
    if (SPI_register_relation(named) != SPI_OK_REL_REGISTER)
        elog(ERROR, "SPI could not register %s", name);
}

Tuplestorestate *new_store(run_relations &relations)
{
    Assert(relations.count < static_cast<int>(lengthof(relations.stores)));
    return relations.stores[relations.count++] = tuplestore_begin_heap(false, false, work_mem / 4);
}

std::uint64_t keep_rows(Tuplestorestate *store, const char *sql, const bucket &b)
{
    DestReceiver *const receiver = CreateDestReceiver(DestTuplestore);
    SetTuplestoreDestReceiverParams(receiver, store, CurrentMemoryContext, true, nullptr, nullptr);
    std::uint64_t const rows = execute(sql, b, receiver);
    receiver->rDestroy(receiver);
    return rows;
}

std::uint64_t materialize(run_relations &relations, const temporary_relation &relation, const char *sql,
                          const bucket &b)
{
    Tuplestorestate *const store = new_store(relations);
    std::uint64_t const rows = keep_rows(store, sql, b);
    register_relation(relation.name, describe(relation), store, rows);
    return rows;
}

} // namespace shadow::entry
