#pragma once
// Who a request comes from, by the claims of its JSON web token as PostgREST hands them over. Whatever does
// not parse is nobody: a token must never raise an error in every query.

#include "core/base/uuid.hpp"

#include <cstddef>
#include <optional>
#include <string_view>

namespace shadow
{

// Characters of a subject (OpenID Connect Core 1.0: at most 255 of ASCII; those that can be printed).
inline constexpr std::size_t longest_subject = 255;

// `legacy_subject` is request.jwt.claim.sub (PostgREST < 12, tests by hand), `claims` is request.jwt.claims;
// empty means not set. Empty, which is nobody, if there is no subject that may be one, or if both are set and do not
// agree: a stale session setting in a pooled connection must not lend its identity to the next request. The result is
// in `legacy_subject` or in `buffer`.
std::string_view current_subject(std::string_view legacy_subject, std::string_view claims,
                                 char (&buffer)[longest_subject]) noexcept;

// The subject, if it is a uuid.
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
