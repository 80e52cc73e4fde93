#pragma once
// SQL's LIKE: % any text, _ one character, backslash takes the next character as it is; case-sensitive.

#include "core/event/event.hpp"
#include "core/questions/place.hpp"

namespace shadow::questions
{

inline constexpr std::size_t longest_pattern = 1000; // bytes

// Refuses patterns that end in a lone backslash or are too long.
void check_pattern(std::string_view pattern, const place &where);

// The pattern is one that check_pattern() has passed.
bool is_like(std::string_view text, std::string_view pattern, text_clipper clip) noexcept;

} // namespace shadow::questions
