#pragma once
// Differences between the supported PostgreSQL versions (15 and later) live here and nowhere else.
// Included by pg/prelude.hpp, after postgres.h.

#if PG_VERSION_NUM < 150000
#error "shadow_analytics needs PostgreSQL 15 or later"
#endif

// 16 folded the ownership checks into one.
#if PG_VERSION_NUM >= 160000
#define pg_class_ownercheck(relation, role) object_ownercheck(RelationRelationId, relation, role)
#define pg_extension_ownercheck(extension, role) object_ownercheck(ExtensionRelationId, extension, role)
#endif
// 16 finds settings by a hash table; before that they stand in an array, sorted by name.
#define SHADOW_OPTIONS_ARE_SORTED (PG_VERSION_NUM < 160000)

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_relation.h"
#include "storage/bufmgr.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#if PG_VERSION_NUM >= 170000
#include "storage/read_stream.h"
#endif
}

namespace shadow::pg
{

inline LocalTransactionId local_transaction_id()
{
#if PG_VERSION_NUM >= 170000
    return MyProc->vxid.lxid;
#else
    return MyProc->lxid;
#endif
}

inline bool may_use_schema(Oid schema, Oid user)
{
#if PG_VERSION_NUM >= 160000
    return object_aclcheck(NamespaceRelationId, schema, user, ACL_USAGE) == ACLCHECK_OK;
#else
    return pg_namespace_aclcheck(schema, user, ACL_USAGE) == ACLCHECK_OK;
#endif
}

// Declared without arguments before 16, which C++ takes at its word.
inline bool walk_expression(Node *node, bool (*walker)(Node *, void *), void *context)
{
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker(node, walker, context);
#else
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)),
                                  context);
#endif
}
inline bool walk_query(Query *query, bool (*walker)(Node *, void *), void *context)
{
#if PG_VERSION_NUM >= 160000
    return query_tree_walker(query, walker, context, 0);
#else
    return query_tree_walker(query, reinterpret_cast<bool (*)()>(reinterpret_cast<void *>(walker)), context,
                             0);
#endif
}

// 16 keeps the relation whose privileges are checked beside the one that is read.
inline void set_permission_relation([[maybe_unused]] Query *query, [[maybe_unused]] RangeTblEntry *entry,
                                    [[maybe_unused]] Oid relation)
{
#if PG_VERSION_NUM >= 160000
    if (entry->perminfoindex != 0)
        getRTEPermissionInfo(query->rteperminfos, entry)->relid = relation;
#endif
}

// As a client's statement, to its end.
inline void run_whole_portal(Portal portal, DestReceiver *receiver)
{
#if PG_VERSION_NUM >= 180000
    (void)PortalRun(portal, FETCH_ALL, true, receiver, receiver, nullptr);
#else
    (void)PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, nullptr);
#endif
}

// Of a new version of a row, in all indexes of its table; 16 and later: or in those that summarize only.
inline void insert_index_entries(ResultRelInfo *table, TupleTableSlot *row, EState *state,
                                 [[maybe_unused]] bool only_summarizing)
{
#if PG_VERSION_NUM >= 160000
    list_free(ExecInsertIndexTuples(table, row, state, false, false, nullptr, NIL, only_summarizing));
#else
    list_free(ExecInsertIndexTuples(table, row, state, false, false, nullptr, NIL));
#endif
}

// Before 16 a new version of a row has entries in all indexes or none.
#if PG_VERSION_NUM >= 160000
using index_updates = TU_UpdateIndexes;
inline bool are_needed(index_updates updates)
{
    return updates != TU_None;
}
inline bool are_summaries(index_updates updates)
{
    return updates == TU_Summarizing;
}
#else
using index_updates = bool;
inline bool are_needed(index_updates updates)
{
    return updates;
}
inline bool are_summaries(index_updates)
{
    return false;
}
#endif

// 18 can count what a scan does.
inline IndexScanDesc begin_index_scan(Relation table, Relation index, Snapshot snapshot, int keys)
{
#if PG_VERSION_NUM >= 180000
    return index_beginscan(table, index, snapshot, nullptr, keys, 0);
#else
    return index_beginscan(table, index, snapshot, keys, 0);
#endif
}

// Pins the next page of a scan and finds its visible rows; pages are counted from 0. 17 reads ahead by a stream, which
// knows the next one itself.
inline bool next_page(HeapScanDesc scan, [[maybe_unused]] BlockNumber page)
{
#if PG_VERSION_NUM >= 170000
    if (BufferIsValid(scan->rs_cbuf))
        ReleaseBuffer(scan->rs_cbuf);
    scan->rs_cbuf = InvalidBuffer;
    CHECK_FOR_INTERRUPTS();
    scan->rs_cbuf = read_stream_next_buffer(scan->rs_read_stream, nullptr);
    if (!BufferIsValid(scan->rs_cbuf))
        return false;
    scan->rs_cblock = BufferGetBlockNumber(scan->rs_cbuf);
    heap_prepare_pagescan(reinterpret_cast<TableScanDesc>(scan));
    return true;
#else
    if (page >= scan->rs_nblocks)
        return false;
    heapgetpage(reinterpret_cast<TableScanDesc>(scan), page);
    return true;
#endif
}

} // namespace shadow::pg
