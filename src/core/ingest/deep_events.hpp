#pragma once
// A batch whose JSON is nested so deeply that PostgreSQL's parser, which recurses, refuses all of it.

#include "core/base/interrupt.hpp"

#include <cstddef>
#include <string_view>

namespace shadow
{

inline constexpr int most_levels_of_event = 1000;
inline constexpr std::string_view deep_event = "\"nested too deeply\"";

// Writes `batch`, a JSON array, to `out` with `deep_event` in the place of each element that is nested more than
// most_levels_of_event deep; how many characters, no more than there were.
std::size_t replace_deep_events(std::string_view batch, char *out, interrupt_check check = nullptr);

} // namespace shadow
