#pragma once
// Ids of users, sessions and events from the texts of a source, always the same ones.

#include "core/base/uuid.hpp"

namespace importer
{

// A text that PostgreSQL reads as a uuid is that uuid. Of any other it is the uuid v5 (RFC 9562) in the
// namespace of the workspace's id, of the name `what`, a colon, and the text as it is: in SQL
//   uuid_generate_v5(workspace_id, 'user:' || text)
shadow::uuid id_of(const shadow::uuid &workspace, std::string_view what, std::string_view text);

} // namespace importer
