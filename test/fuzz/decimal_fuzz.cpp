// libFuzzer target: the first byte is a scale, the rest a text that may be a decimal number. The unit tests
// replay test/fuzz/corpus/decimal.

#include "core/base/decimal.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace decimal_fuzz
{

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

inline bool equal(const shadow::scaled_number &a, const shadow::scaled_number &b)
{
    return a.valid == b.valid && (!a.valid || (a.value == b.value && a.is_whole == b.is_whole));
}

// The C library reads the same number, if less exactly; it knows more forms, so only of accepted texts.
inline void check_value(const std::string &text, int scale, const shadow::scaled_number &number)
{
    char *end;
    long double const expected = std::strtold(text.c_str(), &end) * std::pow(10.0L, scale);
    auto const value = static_cast<long double>(number.value);
    require(std::fabs(value - expected) <= 0.5L + std::fabs(expected) * 1e-15L);
}

inline void check(std::string_view text, int scale)
{
    auto const number = shadow::parse_scaled(text, scale);
    require(equal(number, shadow::parse_scaled(" \t" + std::string(text) + "\n ", scale)));
    if (!number.valid)
        return;
    require(!shadow::parse_scaled(std::string(text) + "x", scale).valid);
    require(!shadow::parse_scaled("x" + std::string(text), scale).valid);
    check_value(std::string(text), scale, number);
    char buffer[64];
    auto const formatted = shadow::format_scaled(number.value, scale, buffer);
    auto const again = shadow::parse_scaled(formatted, scale);
    require(again.valid && again.value == number.value);
    require(formatted.size() < 2 || formatted.find('.') == formatted.npos || formatted.back() != '0');
}

} // namespace decimal_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    if (size > 0)
        decimal_fuzz::check({reinterpret_cast<const char *>(data) + 1, size - 1}, data[0] % 10);
    return 0;
}
