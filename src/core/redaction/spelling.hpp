#pragma once
// Whether letters and digits are a word or a name that somebody wrote, or come from a generator.

#include <cstddef>
#include <string_view>

namespace shadow::redaction
{

// Of a whole run of letters and digits; a shorter one than this never does.
inline constexpr std::size_t least_random = 14;
bool looks_random(std::string_view word) noexcept;

// Whether less than two thirds of the run is spelled as words are; not if it is all digits.
bool is_irregular(std::string_view word) noexcept;

// As many characters of a run of letters and digits joined by - _ + /, as in base64; `has_small`: with small letters.
inline constexpr std::size_t joined_window = 20;
bool looks_random_joined(std::string_view window, bool has_small) noexcept;

// The part of a run before its first `digits` or more digits in a row that do not begin it, else nothing.
std::string_view before_long_number(std::string_view word, std::size_t digits) noexcept;

} // namespace shadow::redaction
