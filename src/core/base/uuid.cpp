#include "core/base/uuid.hpp"

namespace shadow
{

namespace
{

struct hex_table {
    signed char values[256];
    constexpr hex_table() : values()
    {
        for (int c = 0; c < 256; ++c)
            values[c] = static_cast<signed char>(c >= '0' && c <= '9'   ? c - '0'
                                                 : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                                        : -1);
    }
};
constexpr hex_table hex_digits;

int hex_digit(char c) noexcept
{
    return hex_digits.values[static_cast<unsigned char>(c)];
}

// The usual form, 8-4-4-4-12: all digits at once, one test at the end.
bool parse_usual(std::string_view text, std::uint64_t (&words)[2]) noexcept
{
    if (text.size() != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
        return false;
    static constexpr unsigned char places[32] = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11,
                                                 12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25,
                                                 26, 27, 28, 29, 30, 31, 32, 33, 34, 35};
    int bad = 0;
    for (int i = 0; i < 32; ++i) {
        int const value = hex_digit(text[places[i]]);
        bad |= value;
        words[i / 16] = words[i / 16] << 4 | static_cast<unsigned>(value & 15);
    }
    return bad >= 0;
}

} // namespace

std::optional<uuid> parse_uuid(std::string_view text) noexcept
{
    std::uint64_t usual[2] = {0, 0};
    if (parse_usual(text, usual))
        return uuid{usual[0], usual[1]};
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
