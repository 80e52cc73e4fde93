#pragma once
// Differences between the supported PostgreSQL versions (15 and later) live here and nowhere else.
// Included by pg/prelude.hpp, after postgres.h.

#if PG_VERSION_NUM < 150000
#error "shadow_analytics needs PostgreSQL 15 or later"
#endif

// 16 folded the ownership checks into one.
#if PG_VERSION_NUM >= 160000
#define pg_class_ownercheck(relation, role) object_ownercheck(RelationRelationId, relation, role)
#endif
