#pragma once
// Where the rows of a table are, once Citus has spread the tables over several servers. On a worker a table is an
// empty shell and its rows are in shards; the shards of one range of workspaces, of all tables, are a cell. In a
// cell the names of our tables mean its shards, so every statement of maintenance runs as on a single server.
// A cell is known by the number of its shard of analytics.workspace_settings. PostgreSQL calls and plain data only.

#include "pg/prelude.hpp"

namespace shadow::pg
{

// Without Citus: the relation itself. Else a distributed table's shard of the cell that was entered, and a
// reference table's copy on this server.
Oid local_relation(Oid relation);

// The shard of `table` in the cell of another table's shard; `table` itself where that is no shard.
Oid shard_beside(Oid other, Oid table);

// Whether a subscription is filling the shard while its cell is still on another server: Citus moves it here. What its
// triggers have to note was noted there and comes along.
bool is_arriving(Oid shard);

// Reference tables are read from their copies here until the level of settings ends, so that a query on a shard may
// read them too. The caller has begun a level and ends it.
void read_copies_here();

// Whether this database has the catalogs of Citus.
bool has_citus();

// What a lock is for besides its name: the cell; 0 outside.
std::uint32_t cell_key();

// Keeps the shards of the cell where they are to the end of the transaction; an error (55000) if they are on another
// server. Each transaction that writes in a cell calls it first.
void hold_cell();

// From now on names of tables mean the shards of this cell, for the transaction or the session; 0: no longer.
void enter_cell(std::int64_t number, bool is_local);

// Once, when the module is loaded.
void define_cells();

} // namespace shadow::pg
