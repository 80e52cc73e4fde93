#pragma once
// What of an event's personal data is kept. The settings say which of these rules apply.

#include "core/event/metadata.hpp"

#include <cstdint>
#include <string_view>

namespace shadow
{

enum class ip_policy : std::uint8_t { keep, truncate, hash, drop };
enum class user_agent_policy : std::uint8_t { keep, family, drop };

// By the names of the settings' choices; anything else is `drop`.
ip_policy ip_policy_named(std::string_view name) noexcept;
user_agent_policy user_agent_policy_named(std::string_view name) noexcept;

// Bits of a network address that stay: the network of a provider's subnet, not of a household.
inline constexpr int kept_bits_ipv4 = 24;
inline constexpr int kept_bits_ipv6 = 48;

// Clears the bits after the first `kept` of an address of `size` bytes.
void truncate_address(unsigned char *address, int size, int kept) noexcept;

// The part of a URL or path before its query and fragment.
std::string_view without_query(std::string_view url) noexcept;

// "Chrome", "Firefox", "Safari", …, "Bot" or "Other"; the name of a family is of that family.
std::string_view user_agent_family(std::string_view user_agent) noexcept;

// Amounts that only a trusted server may state: credits, cost, tokens, revenue.
bool is_amount(metadata_key key) noexcept;

// Keys whose text names things rather than people: it stays when a person is forgotten.
bool is_identifier(metadata_key key) noexcept;

// Stands for text that was taken out; as malformed as any text where a number was expected.
inline constexpr std::string_view erased_text = "(erased)";

} // namespace shadow
