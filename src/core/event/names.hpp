#pragma once
// Ids of what a client names by text: users, sessions, agents. Always the same ones, here and in the import.

#include "core/base/uuid.hpp"

namespace shadow
{

// A text that PostgreSQL reads as a uuid is that uuid. Of any other it is the uuid v5 (RFC 9562) in the namespace of
// `space`, usually the workspace's id, of the name `what`, a colon, and the text as it is: in SQL
//   uuid_generate_v5(workspace_id, 'user:' || text)
uuid id_of(const uuid &space, std::string_view what, std::string_view text);

inline uuid user_id_of(const uuid &workspace, std::string_view name)
{
    return id_of(workspace, "user", name);
}

inline uuid session_id_of(const uuid &workspace, std::string_view name)
{
    return id_of(workspace, "session", name);
}

inline uuid agent_id_of(const uuid &workspace, std::string_view name)
{
    return id_of(workspace, "agent", name);
}

} // namespace shadow
