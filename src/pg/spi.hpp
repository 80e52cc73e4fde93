#pragma once
// Queries of our own: plans that stay, the rights they run with, and how long an answer holds. PostgreSQL
// calls: they may raise.

#include "pg/boundary.hpp"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"
}

namespace shadow::pg
{

// When an answer computed from tables may be given again: to the same database user, in the same transaction,
// under a snapshot that sees the same rows. Planning and execution of a statement share it unless somebody
// commits in between. Call-site caches (fn_extra) are not enough: PL/pgSQL keeps its simple expressions
// over a change of the user.
struct statement_key {
    Oid user;
    LocalTransactionId transaction;
    std::uint64_t aborted_subtransactions; // a rolled-back write is unseen again without a new command id
    std::uint64_t completed_transactions;
    TransactionId xmin;
    TransactionId xmax;
    std::uint32_t running;
    std::int32_t running_subtransactions;
    CommandId command;

    friend bool operator==(const statement_key &a, const statement_key &b) noexcept
    {
        return a.user == b.user && a.transaction == b.transaction &&
               a.aborted_subtransactions == b.aborted_subtransactions &&
               a.completed_transactions == b.completed_transactions && a.xmin == b.xmin && a.xmax == b.xmax &&
               a.running == b.running && a.running_subtransactions == b.running_subtransactions &&
               a.command == b.command;
    }
};

// False without an active snapshot: then nothing can be read, let alone cached.
bool current_statement(statement_key &out);

// How many subtransactions of this session were rolled back: what they wrote is gone.
std::uint64_t aborted_subtransactions();

// A table of the extension, by its name in the schema analytics; InvalidOid when there is none.
Oid extension_relation(const char *name);

// The number of a column, from 1; an error when the relation has none of this name.
int column_number(TupleDesc description, const char *relation, const char *column);

// A type by its qualified name in SQL; an error when there is none.
Oid type_named(const char *name);

// The owner of a relation. When there is none: InvalidOid, or an error.
Oid find_relation_owner(Oid relation);
Oid relation_owner(Oid relation);

// A plan for the rest of the session. The caller has connected to SPI.
SPIPlanPtr keep_plan(const char *query, int argument_count = 0, Oid *types = nullptr);

// $1, $2, … of a query.
struct parameter {
    Oid type;
    Datum value;
    bool is_null = false;
};

ParamListInfo parameter_list(std::initializer_list<parameter> parameters);

// Rows go to `receiver`, or to SPI_tuptable without one; how many. With read_only the query sees the active snapshot.
std::uint64_t execute(const char *sql, std::initializer_list<parameter> parameters, bool read_only,
                      DestReceiver *receiver = nullptr);

// Another database user for a few reads, as foreign-key triggers do it. After an error the end of the
// (sub)transaction returns to the caller by itself.
struct user_switch {
    Oid user;
    int security;
};
user_switch become(Oid user, int flags);
void become_caller(const user_switch &caller);

} // namespace shadow::pg
