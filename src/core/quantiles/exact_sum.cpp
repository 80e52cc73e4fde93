#include "core/quantiles/exact_sum.hpp"

#include <algorithm>
#include <cstring>

namespace shadow
{

void exact_sum::add_any(double finite) noexcept
{
    std::uint64_t bits;
    std::memcpy(&bits, &finite, sizeof bits);
    bool const negative = (bits >> 63) != 0;
    int const field = static_cast<int>((bits >> 52) & 0x7FF);
    std::uint64_t const fraction = bits & ((std::uint64_t{1} << 52) - 1);
    std::uint64_t const significand = field == 0 ? fraction : fraction | std::uint64_t{1} << 52;
    // |finite| = significand * 2^exponent, and the product below is under 2^83
    int const exponent = std::max(field, 1) - 1075;
    uint128 const product = static_cast<uint128>(significand) * units_per_one;
    if (exponent >= 0) {
        add_shifted(negative, product, exponent);
        return;
    }
    if (exponent < -84)
        return; // less than half a unit
    uint128 const units = (product + (static_cast<uint128>(1) << (-exponent - 1))) >> -exponent;
    if (units <= INT64_MAX)
        add_units(negative ? -static_cast<std::int64_t>(units) : static_cast<std::int64_t>(units));
    else
        add_shifted(negative, units, 0);
}

void exact_sum::add_far(int128 units) noexcept
{
    bool const negative = units < 0;
    add_shifted(negative, negative ? -static_cast<uint128>(units) : static_cast<uint128>(units), 0);
}

void exact_sum::add_shifted(bool negative, uint128 units, int shift) noexcept
{
    limbs value{};
    auto const word = static_cast<std::size_t>(shift / 64);
    int const bit = shift % 64;
    auto const low = static_cast<std::uint64_t>(units);
    auto const high = static_cast<std::uint64_t>(units >> 64);
    value[word] = low << bit;
    value[word + 1] = high << bit | (bit == 0 ? 0 : low >> (64 - bit));
    if (word + 2 < limb_count)
        value[word + 2] = bit == 0 ? 0 : high >> (64 - bit);
    add_limbs(negative, value);
}

void exact_sum::add_limbs(bool negative, const limbs &other) noexcept
{
    has_far_ = true;
    // a - b = a + ~b + 1
    std::uint64_t const flip = negative ? ~std::uint64_t{0} : 0;
    uint128 carry = negative ? 1 : 0;
    for (std::size_t i = 0; i < limb_count; ++i) {
        carry += static_cast<uint128>(far_[i]) + (other[i] ^ flip);
        far_[i] = static_cast<std::uint64_t>(carry);
        carry >>= 64;
    }
}

void exact_sum::add(const exact_sum &other) noexcept
{
    if (other.has_far_)
        add_limbs(false, other.far_);
    add_units(other.near_);
}

exact_sum::limbs exact_sum::total() const noexcept
{
    exact_sum copy;
    copy.far_ = far_;
    copy.add_far(near_);
    return copy.far_;
}

// Returns whether the value was negative.
bool exact_sum::make_absolute(limbs &value) noexcept
{
    if (value[limb_count - 1] >> 63 == 0)
        return false;
    exact_sum negated;
    negated.add_limbs(true, value);
    value = negated.far_;
    return true;
}

exact_sum::limbs exact_sum::absolute(bool &negative) const noexcept
{
    if (!has_far_) {
        negative = near_ < 0;
        auto const bits = static_cast<std::uint64_t>(near_);
        return {negative ? 0 - bits : bits};
    }
    limbs value = total();
    negative = make_absolute(value);
    return value;
}

// The words that are not zero.
std::size_t exact_sum::length(const limbs &value) noexcept
{
    std::size_t n = limb_count;
    while (n > 0 && value[n - 1] == 0)
        --n;
    return n;
}

exact_sum::magnitude exact_sum::to_magnitude() const noexcept
{
    magnitude result{false, 0, {}};
    limbs const value = absolute(result.negative);
    std::size_t const used = length(value) * 8;
    for (std::size_t i = 0; i < used; ++i) {
        result.bytes[i] = static_cast<unsigned char>(value[i / 8] >> (8 * (i % 8)));
        if (result.bytes[i] != 0)
            result.size = i + 1;
    }
    return result;
}

void exact_sum::add_magnitude(bool negative, const unsigned char *bytes, std::size_t size) noexcept
{
    if (size < 8) {
        std::int64_t units = 0;
        for (std::size_t i = 0; i < size; ++i)
            units |= std::int64_t{bytes[i]} << (8 * i);
        add_units(negative ? -units : units);
        return;
    }
    limbs value{};
    for (std::size_t i = 0; i < size; ++i)
        value[i / 8] |= static_cast<std::uint64_t>(bytes[i]) << (8 * (i % 8));
    add_limbs(negative, value);
}

bool exact_sum::add_decimal(std::string_view text) noexcept
{
    bool const negative = !text.empty() && text.front() == '-';
    if (negative)
        text.remove_prefix(1);
    std::size_t const point = std::min(text.find('.'), text.size());
    if (point == 0 || point > 320 || point + 1 == text.size())
        return false;
    limbs value{};
    auto const append = [&value](unsigned digit) {
        uint128 carry = digit;
        for (auto &limb : value) {
            carry += static_cast<uint128>(limb) * 10;
            limb = static_cast<std::uint64_t>(carry);
            carry >>= 64;
        }
    };
    bool round_up = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (i == point)
            continue;
        auto const digit = static_cast<unsigned>(text[i] - '0');
        if (digit > 9)
            return false;
        if (i <= point + decimals)
            append(digit);
        else if (i == point + decimals + 1)
            round_up = digit >= 5;
    }
    for (std::size_t have = text.size() - std::min(point + 1, text.size()); have < decimals; ++have)
        append(0);
    add_limbs(negative, value);
    add_units(std::int64_t{round_up ? (negative ? -1 : 1) : 0});
    return true;
}

std::string exact_sum::to_text() const
{
    bool negative;
    limbs value = absolute(negative);
    std::string digits; // least significant first
    for (std::size_t used = length(value); digits.size() <= decimals || used > 0; used = length(value)) {
        uint128 rest = 0;
        for (std::size_t i = used; i-- > 0;) {
            rest = rest << 64 | value[i];
            value[i] = static_cast<std::uint64_t>(rest / 10);
            rest %= 10;
        }
        digits += static_cast<char>('0' + static_cast<int>(rest));
    }
    std::size_t const trailing = std::min(digits.find_first_not_of('0'), std::size_t{decimals});
    std::string text(negative ? "-" : "");
    text.append(digits.rbegin(), digits.rend() - decimals);
    if (trailing < decimals)
        text.append(1, '.').append(digits.rend() - decimals,
                                   digits.rend() - static_cast<std::ptrdiff_t>(trailing));
    return text;
}

bool exact_sum::is_bounded_by(std::uint64_t count, int exponent) const noexcept
{
    if (!has_far_) {
        auto const bits = static_cast<std::uint64_t>(near_);
        uint128 const size = near_ < 0 ? 0 - bits : bits;
        return exponent >= 63 ? count > 0 || size == 0 : size <= static_cast<uint128>(count) << exponent;
    }
    limbs value = total();
    make_absolute(value);
    exact_sum bound;
    bound.add_shifted(false, count, exponent);
    return !std::lexicographical_compare(bound.far_.rbegin(), bound.far_.rend(), value.rbegin(),
                                         value.rend());
}

} // namespace shadow
