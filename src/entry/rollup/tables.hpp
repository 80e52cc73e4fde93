#pragma once
// Tables that are read without statements. PostgreSQL calls and plain data only.

#include "pg/cells.hpp"
#include "pg/spi.hpp"

extern "C" {
#include "access/table.h"
#include "utils/rel.h"
}

namespace shadow::entry
{

inline Relation open_table(const char *name)
{
    return table_open(pg::local_relation(pg::extension_relation(name)), AccessShareLock);
}

// Of a column, from 0.
inline int place_of(Relation table, const char *column)
{
    return pg::column_number(RelationGetDescr(table), RelationGetRelationName(table), column) - 1;
}

} // namespace shadow::entry
