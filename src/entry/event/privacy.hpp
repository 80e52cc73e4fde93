#pragma once
// What the row trigger of user_activity asks about an event's personal data and amounts. PostgreSQL calls:
// they may raise.

#include "core/event/privacy.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "utils/inet.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
}

namespace shadow::entry
{

// The settings in force, derived once per change.
struct privacy_rules {
    ip_policy ip;
    user_agent_policy user_agent;
    bool keep_query;
    bool trust_client_amounts;
    std::int64_t most_age;    // microseconds, for roles under row security
    std::int64_t most_future; // microseconds
};
const privacy_rules &current_privacy_rules();

// Whether the current user is subject to row security on the table: a client of the API.
bool is_under_row_security(Oid relation);

// Whether triggers take the rows of a table as they are: scripts of dumps turn row_security off, and so do
// functions of the extension that change rows as they stand. So may anybody, but only the owner is believed. So are
// the rows of a shard that moves here.
bool is_taken_as_is(Oid relation);

// The network of the address.
inet *truncated_address(const inet *address);

// Four bytes of the secret's version, big endian, then HMAC-SHA-256 of family and address; the secret is made
// on first use.
bytea *hashed_address(const inet *address);

// Without the amounts that a client may not state, naming them in dropped_values; nullptr if there are none.
Jsonb *without_amounts(Jsonb *metadata);

// The names of these, text[], if the current user is such a client; 0 if none is dropped.
Datum dropped_amounts(Jsonb *metadata);

// What of an event's metadata stays when its user is forgotten: the keys that are counted, without free text.
// Every count computed from it is the same.
Jsonb *without_person(Jsonb *metadata);

} // namespace shadow::entry
