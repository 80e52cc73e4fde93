#include "core/base/uuid.hpp"

#include <cstring>

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

// Eight digits at once; what is none sets a bit of `bad`.
std::uint64_t eight_digits(const char *text, std::uint64_t &bad) noexcept
{
    constexpr std::uint64_t ones = 0x0101010101010101u, high = 0x80 * ones;
    std::uint64_t word;
    std::memcpy(&word, text, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    // In bytes below 0x80 nothing carries over, and bit 7 of the sum says "at least c".
    auto const at_least = [](std::uint64_t w, unsigned c) { return (w + (0x80u - c) * ones) & high; };
    std::uint64_t const plain = word & ~high, lower = plain | 0x20 * ones;
    std::uint64_t const digits = at_least(plain, '0') & ~at_least(plain, '9' + 1);
    std::uint64_t const letters = at_least(lower, 'a') & ~at_least(lower, 'f' + 1);
    bad |= (word & high) | (high & ~(digits | letters));
    std::uint64_t values = (word & 0x0F * ones) + (letters >> 7) * 9;
    // Pairs, fours, eights: the first digit is the highest.
    values = (values << 4 | values >> 8) & 0x00FF00FF00FF00FFu;
    values = (values << 8 | values >> 16) & 0x0000FFFF0000FFFFu;
    return (values << 16 | values >> 32) & 0xFFFFFFFFu;
}

// The usual form, 8-4-4-4-12: all digits at once, one test at the end.
bool parse_usual(std::string_view text, std::uint64_t (&words)[2]) noexcept
{
    if (text.size() != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
        return false;
    char middle[16];
    std::memcpy(middle, text.data() + 9, 4);
    std::memcpy(middle + 4, text.data() + 14, 4);
    std::memcpy(middle + 8, text.data() + 19, 4);
    std::memcpy(middle + 12, text.data() + 24, 4);
    std::uint64_t bad = 0;
    words[0] = eight_digits(text.data(), bad) << 32 | eight_digits(middle, bad);
    words[1] = eight_digits(middle + 8, bad) << 32 | eight_digits(text.data() + 28, bad);
    return bad == 0;
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
