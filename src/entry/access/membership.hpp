#pragma once
// Who is asking, and the workspaces of that user. The answers are cached; the first reads no table, the second
// costs one read of the membership relation per statement. Plain data only: the functions may raise.

#include "core/base/uuid.hpp"
#include "pg/spi.hpp"

namespace shadow::entry
{

// False: nobody, as far as the claims say.
bool current_user(uuid &out);

// Whether the claims name somebody by a text that is no uuid, and the setting text_subjects does not let them.
bool has_refused_subject();

// Notes that such claims came, for analytics.security_audit(); also if the transaction fails.
void note_refused_subject();

// In which users that are named by text have their uuids: the workspace's id or, where tokens name them so, nil for all.
uuid user_space(const uuid &workspace);

struct workspace_list {
    const uuid *items; // sorted, without duplicates and without the nil uuid
    int count;
};

struct memberships {
    workspace_list all;     // workspaces the current user is a member of
    workspace_list managed; // those where the role is one of the manager roles; all without a role column
    bool has_roles;         // a role column is configured, so `managed` means something
    bool is_reader;         // `all` are those of a database role in analytics.readers, nobody's memberships
    bool reads_all;         // that role reads every workspace; `all` is empty
};

// Valid until the next call. Empty for nobody (but a reader), and whenever the membership relation is missing, malformed
// or itself under row security: fail closed.
const memberships &current_memberships();

// The workspaces whose raw events the current user may read beside the user's own, by the setting raw_events_visible_to.
const workspace_list &raw_event_workspaces();

// Whether views over what knows no row security show every workspace: to the table owner, to who bypasses row
// security and to a reader of all. Never to somebody with claims, and never within a function that runs with
// another user's rights, as that may act for a tenant.
bool sees_all_workspaces();

// Why current_memberships() has nothing to read, for analytics.security_audit(); nullptr if it does.
const char *membership_problem();

} // namespace shadow::entry
