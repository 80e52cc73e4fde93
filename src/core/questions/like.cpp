#include "core/questions/like.hpp"

#include <algorithm>

namespace shadow::questions
{

void check_pattern(std::string_view pattern, const place &where)
{
    if (pattern.size() > longest_pattern)
        where.refuse("the pattern is too long", "A pattern has at most 1000 bytes.");
    bool escaped = false;
    for (char const c : pattern)
        escaped = c == '\\' && !escaped;
    if (escaped)
        where.refuse("the pattern ends in an escape character", "Write a backslash as two.");
}

// Bytes of the first character.
static std::size_t character(std::string_view text, text_clipper clip) noexcept
{
    if (static_cast<unsigned char>(text.front()) < 0x80)
        return 1;
    return std::max<std::size_t>(clip(text.data(), text.size(), 1), 1);
}

// A % takes as little as it can: when the rest does not fit, the last one seen takes one more character.
bool is_like(std::string_view text, std::string_view pattern, text_clipper clip) noexcept
{
    std::size_t t = 0, p = 0, retry_text = 0, retry_pattern = std::string_view::npos;
    while (t < text.size() || p < pattern.size()) {
        if (p < pattern.size() && pattern[p] == '%') {
            retry_pattern = ++p;
            retry_text = t;
            continue;
        }
        bool const is_one = p < pattern.size() && pattern[p] == '_';
        std::size_t const literal = p + (p < pattern.size() && pattern[p] == '\\' ? 1 : 0);
        if (is_one && t < text.size()) {
            t += character(text.substr(t), clip);
            ++p;
        } else if (!is_one && literal < pattern.size() && t < text.size() && text[t] == pattern[literal]) {
            ++t;
            p = literal + 1;
        } else if (retry_pattern != std::string_view::npos && retry_text < text.size()) {
            retry_text += character(text.substr(retry_text), clip);
            t = retry_text;
            p = retry_pattern;
        } else {
            return false;
        }
    }
    return true;
}

} // namespace shadow::questions
