#include "core/uuid.hpp"

namespace shadow
{

static int hex_digit(char c) noexcept
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

std::optional<uuid> parse_uuid(std::string_view text) noexcept
{
    if (text.size() >= 2 && text.front() == '{' && text.back() == '}')
        text = text.substr(1, text.size() - 2);
    std::uint64_t words[2] = {0, 0};
    std::size_t at = 0;
    for (int digits = 0; digits < 32; ++digits) {
        // A hyphen may follow every fourth digit but the last.
        if (digits > 0 && digits % 4 == 0 && at < text.size() && text[at] == '-')
            ++at;
        int const value = at < text.size() ? hex_digit(text[at]) : -1;
        if (value < 0)
            return std::nullopt;
        words[digits / 16] = words[digits / 16] << 4 | static_cast<unsigned>(value);
        ++at;
    }
    if (at != text.size())
        return std::nullopt;
    return uuid{words[0], words[1]};
}

std::string_view format_uuid(const uuid &id, char (&buffer)[37]) noexcept
{
    static constexpr char hex[] = "0123456789abcdef";
    std::size_t at = 0;
    for (int i = 0; i < 32; ++i) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            buffer[at++] = '-';
        std::uint64_t const word = i < 16 ? id.high : id.low;
        buffer[at++] = hex[word >> (60 - 4 * (i % 16)) & 15];
    }
    buffer[at] = '\0';
    return {buffer, at};
}

} // namespace shadow
