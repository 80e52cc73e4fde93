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
#include "catalog/pg_namespace.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
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

// As a client's statement, to its end.
inline void run_whole_portal(Portal portal, DestReceiver *receiver)
{
#if PG_VERSION_NUM >= 180000
    (void)PortalRun(portal, FETCH_ALL, true, receiver, receiver, nullptr);
#else
    (void)PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, nullptr);
#endif
}

} // namespace shadow::pg
