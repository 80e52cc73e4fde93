#pragma once
// When an answer computed from tables may be given again: to the same database user, in the same transaction,
// under a snapshot that sees the same rows. Planning and execution of a statement share it unless somebody
// commits in between. Call-site caches (fn_extra) are not enough: PL/pgSQL keeps its simple expressions
// over a change of the user.

#include "pg/boundary.hpp"

extern "C" {
#include "access/xact.h"
#include "utils/snapmgr.h"
}

namespace shadow::pg
{

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

// Owner of a relation; an error when there is none.
Oid relation_owner(Oid relation);

// Another database user for a few reads, as foreign-key triggers do it. After an error the end of the
// (sub)transaction returns to the caller by itself.
struct user_switch {
    Oid user;
    int security;
};
user_switch become(Oid user, int flags);
void become_caller(const user_switch &caller);

} // namespace shadow::pg
