#include "core/base/decimal.hpp"

#include <algorithm>

namespace shadow
{

namespace
{

bool is_blank(char c) noexcept
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_digit(char c) noexcept
{
    return c >= '0' && c <= '9';
}

std::string_view trim(std::string_view text) noexcept
{
    while (!text.empty() && is_blank(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back()))
        text.remove_suffix(1);
    return text;
}

// The grammar's parts: digits before and after the point as they stand, and the exponent.
struct number_parts {
    bool valid = false;
    bool negative = false;
    std::string_view whole, fraction;
    long exponent = 0;
};

std::string_view take_digits(std::string_view &text) noexcept
{
    std::size_t n = 0;
    while (n < text.size() && is_digit(text[n]))
        ++n;
    std::string_view const digits = text.substr(0, n);
    text.remove_prefix(n);
    return digits;
}

bool take_sign(std::string_view &text) noexcept
{
    bool const negative = !text.empty() && text.front() == '-';
    if (negative || (!text.empty() && text.front() == '+'))
        text.remove_prefix(1);
    return negative;
}

// Exponents beyond a million decide nothing that a million does not; text is at most 10 kB long.
bool take_exponent(std::string_view &text, long &exponent) noexcept
{
    text.remove_prefix(1);
    bool const negative = take_sign(text);
    std::string_view const digits = take_digits(text);
    for (char const c : digits)
        exponent = std::min(exponent * 10 + (c - '0'), 1'000'000L);
    if (negative)
        exponent = -exponent;
    return !digits.empty();
}

number_parts split(std::string_view text) noexcept
{
    number_parts parts;
    text = trim(text);
    parts.negative = take_sign(text);
    parts.whole = take_digits(text);
    if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        parts.fraction = take_digits(text);
    }
    if (parts.whole.empty() && parts.fraction.empty())
        return parts;
    if (!text.empty() && (text.front() == 'e' || text.front() == 'E') && !take_exponent(text, parts.exponent))
        return parts;
    parts.valid = text.empty();
    return parts;
}

// The digits of whole and fraction as one sequence.
class digit_sequence
{
public:
    explicit digit_sequence(const number_parts &parts) noexcept : parts_(parts) {}
    long size() const noexcept { return static_cast<long>(parts_.whole.size() + parts_.fraction.size()); }
    int operator[](long i) const noexcept
    {
        auto const n = static_cast<std::size_t>(i);
        std::size_t const w = parts_.whole.size();
        return (n < w ? parts_.whole[n] : parts_.fraction[n - w]) - '0';
    }
    long first_nonzero() const noexcept
    {
        long i = 0;
        while (i < size() && (*this)[i] == 0)
            ++i;
        return i;
    }
    // True if every digit from position `from` on is zero.
    bool is_zero_from(long from) const noexcept
    {
        for (long i = std::max(from, 0L); i < size(); ++i)
            if ((*this)[i] != 0)
                return false;
        return true;
    }

private:
    const number_parts &parts_;
};

} // namespace

scaled_number parse_scaled(std::string_view text, int scale) noexcept
{
    number_parts const parts = split(text);
    if (!parts.valid)
        return {false, false, 0};
    digit_sequence const digits(parts);
    long const point = static_cast<long>(parts.whole.size()) + parts.exponent; // digits before the point
    long const end = point + scale;                                            // digits that are kept
    long const first = digits.first_nonzero();
    if (first == digits.size())
        return {true, true, 0};
    if (end - first > 38)
        return {false, false, 0};
    int128 value = 0;
    for (long i = first; i < end; ++i)
        value = value * 10 + (i < digits.size() ? digits[i] : 0);
    if (end >= first && end < digits.size() && digits[end] >= 5)
        ++value;
    return {true, digits.is_zero_from(point), parts.negative ? -value : value};
}

std::string_view format_scaled(int128 value, int scale, char *buffer) noexcept
{
    bool const negative = value < 0;
    uint128 rest = negative ? -static_cast<uint128>(value) : static_cast<uint128>(value);
    while (scale > 0 && rest % 10 == 0) {
        rest /= 10;
        --scale;
    }
    char *const end = buffer + 64;
    char *at = end;
    for (int written = 0; rest != 0 || written <= scale; ++written) {
        if (written == scale && scale > 0)
            *--at = '.';
        *--at = static_cast<char>('0' + static_cast<int>(rest % 10));
        rest /= 10;
    }
    if (negative)
        *--at = '-';
    return {at, static_cast<std::size_t>(end - at)};
}

} // namespace shadow
