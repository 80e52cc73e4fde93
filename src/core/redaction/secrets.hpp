#pragma once
// Secrets that have no shape of their own but are announced: password=…, "api_key": "…", Bearer ….

#include "core/redaction/source_text.hpp"

namespace shadow::redaction
{

// [from, to) of the text; from == to if there is none.
struct secret_range {
    std::size_t from = 0;
    std::size_t to = 0;
};

// Where what stands in brackets ends, at the latest before the next [ or the end of the line.
struct bracket_ends {
    explicit bracket_ends(const source_text &text) noexcept
        : round(text, within_round), square(text, within_square)
    {
    }
    run_ends round;
    run_ends square;
};

// The secret that a name announces which ends at `at`. `written` ends with the name, as far as it was kept.
secret_range find_secret(const source_text &text, bracket_ends &brackets, std::string_view written,
                         std::size_t at) noexcept;

// `end` without what closes a sentence or a bracket: "abc)." ends at "abc"; not before `from`.
std::size_t without_closers(const source_text &text, std::size_t from, std::size_t end) noexcept;

} // namespace shadow::redaction
