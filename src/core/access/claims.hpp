#pragma once
// Who a request comes from, by the claims of its JSON web token as PostgREST hands them over. Whatever does
// not parse is nobody: a token must never raise an error in every query.

#include "core/base/uuid.hpp"

#include <cstddef>
#include <optional>
#include <string_view>

namespace shadow
{

// `legacy_subject` is request.jwt.claim.sub (PostgREST < 12, tests by hand), `claims` is request.jwt.claims;
// empty means not set. Nobody if what is set is not a uuid, or if both are set and do not agree: a stale
// session setting in a pooled connection must not lend its identity to the next request.
std::optional<uuid> current_user(std::string_view legacy_subject, std::string_view claims) noexcept;

// Writes the uuids of the array app_metadata.workspaces to `out` and returns their number; other elements
// are left out. Never user_metadata, which users edit themselves.
std::size_t claimed_workspaces(std::string_view claims, uuid *out, std::size_t capacity) noexcept;

// As many uuids as fit into a text of that size.
constexpr std::size_t workspace_capacity(std::size_t claims_size) noexcept
{
    return claims_size / 32 + 1;
}

} // namespace shadow
