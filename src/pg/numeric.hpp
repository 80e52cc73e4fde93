#pragma once
// PostgreSQL's numeric read and written in place, without numeric_out's strings or palloc'd copies.
//
// The layout (src/backend/utils/adt/numeric.c, unchanged since 9.1; it is what tables on disk hold):
//   uint16 header, then, in the long form only, int16 weight, then int16 digits in base 10,000.
//   header 11xx….: special (1100 NaN, 1101 infinity, 1111 -infinity)
//   header 10…..:  short form: sign (1 bit), display scale (6), weight (7, two's complement)
//   header 0s…..:  long form: sign, display scale (14); the weight follows
//   value = sign * sum(digit[i] * 10000^(weight - i)); no digits: zero
// The regression test "numeric" compares with numeric's own functions over every form.

#include "core/base/int128.hpp"
#include "pg/prelude.hpp"

extern "C" {
#include "utils/numeric.h"
}

namespace shadow::pg
{

enum class numeric_kind : std::uint8_t { finite, nan, positive_infinity, negative_infinity };

// A numeric where it lies: any alignment, short or long varlena header (a packed tuple, an array, jsonb).
// It must not be compressed or out of line: PG_DETOAST_DATUM_PACKED is enough. Pure: no palloc, no error.
class numeric_view
{
public:
    explicit numeric_view(const void *varlena) noexcept
    {
        Assert(!VARATT_IS_COMPRESSED(varlena) && !VARATT_IS_EXTERNAL(varlena));
        const char *const data = VARDATA_ANY(varlena);
        auto const size = static_cast<int>(VARSIZE_ANY_EXHDR(varlena));
        header_ = static_cast<std::uint16_t>(load(data));
        bool const is_long = (header_ & 0x8000) == 0;
        if (is_long)
            weight_ = load(data + 2);
        else
            weight_ = static_cast<std::int16_t>((header_ & 0x3F) - (header_ & 0x40));
        int const prefix = is_long ? 4 : 2;
        digits_ = data + prefix;
        digit_count_ = (header_ & 0xC000) == 0xC000 ? 0 : (size - prefix) / 2;
    }

    numeric_kind kind() const noexcept
    {
        if ((header_ & 0xC000) != 0xC000)
            return numeric_kind::finite;
        switch (header_ & 0xF000) {
        case 0xD000:
            return numeric_kind::positive_infinity;
        case 0xF000:
            return numeric_kind::negative_infinity;
        default:
            return numeric_kind::nan;
        }
    }
    bool is_finite() const noexcept { return (header_ & 0xC000) != 0xC000; }
    bool is_negative() const noexcept
    {
        return (header_ & 0x8000) != 0 ? (header_ & 0x2000) != 0 : (header_ & 0x4000) != 0;
    }
    // Decimals that numeric_out shows.
    int display_scale() const noexcept
    {
        if (!is_finite())
            return 0;
        return (header_ & 0x8000) != 0 ? (header_ & 0x1F80) >> 7 : header_ & 0x3FFF;
    }
    int weight() const noexcept { return weight_; }
    int digit_count() const noexcept { return digit_count_; }
    int digit(int i) const noexcept { return load(digits_ + 2 * i); }

    // Decimal places before and after the point that are enough to hold the value exactly.
    int integer_places() const noexcept;
    int fraction_places() const noexcept
    {
        return digit_count_ > 0 && digit_count_ - 1 > weight_ ? 4 * (digit_count_ - 1 - weight_) : 0;
    }

    // Decimals that the value needs; at least 0. The last digit of a stored numeric is never zero.
    int needed_scale() const noexcept;

    // value * 10^scale, rounded half away from zero. False, and `out` untouched, for NaN, infinities and
    // results of 10^18 or more (int64), 10^38 or more (int128) before rounding.
    bool to_scaled(int scale, std::int64_t &out) const noexcept
    {
        return scaled<std::uint64_t, 18>(scale, out);
    }
    bool to_scaled(int scale, int128 &out) const noexcept
    {
        std::int64_t small;
        if (!scaled<std::uint64_t, 18>(scale, small))
            return scaled<uint128, 38>(scale, out);
        out = small; // nearly always
        return true;
    }

    // As numeric_out prints it; empty if it is not finite or does not fit into `capacity` bytes. `buffer`
    // must have room for 8 bytes more.
    std::string_view to_text(char *buffer, std::size_t capacity) const noexcept;

private:
    static std::int16_t load(const char *p) noexcept
    {
        std::int16_t v;
        std::memcpy(&v, p, sizeof v);
        return v;
    }
    template <typename Unsigned, int max_digits, typename Signed>
    bool scaled(int scale, Signed &out) const noexcept;

    const char *digits_;
    int digit_count_;
    std::uint16_t header_;
    std::int16_t weight_;
};

namespace detail
{

inline constexpr int small_powers[] = {1, 10, 100, 1000, 10000};

template <typename Unsigned>
constexpr Unsigned power_of_ten(int exponent) noexcept
{
    Unsigned result = 1;
    for (; exponent >= 4; exponent -= 4)
        result *= 10000;
    return result * static_cast<Unsigned>(small_powers[exponent]);
}

// Decimal digits of 0 <= digit < 10,000.
constexpr int decimal_length(int digit) noexcept
{
    return digit >= 1000 ? 4 : digit >= 100 ? 3 : digit >= 10 ? 2 : digit >= 1 ? 1 : 0;
}

} // namespace detail

// Negative for values below 0.1: minus the zeros after the point.
inline int numeric_view::integer_places() const noexcept
{
    return digit_count_ == 0 ? 0 : 4 * weight_ + detail::decimal_length(digit(0));
}

inline int numeric_view::needed_scale() const noexcept
{
    if (digit_count_ == 0)
        return 0;
    int scale = 4 * (digit_count_ - 1 - weight_);
    int last = digit(digit_count_ - 1);
    for (; scale > 0 && last != 0 && last % 10 == 0; last /= 10)
        --scale;
    return scale > 0 ? scale : 0;
}

inline std::string_view numeric_view::to_text(char *buffer, std::size_t capacity) const noexcept
{
    int const scale = display_scale();
    int const groups_before = weight_ + 1 > 0 ? weight_ + 1 : 1;
    if (!is_finite() || static_cast<std::size_t>(4 * groups_before + 2 + scale) > capacity)
        return {};
    char *out = buffer;
    if (is_negative() && digit_count_ > 0)
        *out++ = '-';
    auto const write_group = [&](int group, int places) {
        int const value = group >= 0 && group < digit_count_ ? digit(group) : 0;
        for (int i = 0; i < places; ++i)
            *out++ = static_cast<char>('0' + value / detail::small_powers[3 - i] % 10);
    };
    char *const first = out;
    for (int i = 0; i < groups_before; ++i)
        write_group(weight_ + 1 - groups_before + i, 4);
    // Without leading zeros, but for the last digit before the point.
    char *kept = first;
    while (kept < out - 1 && *kept == '0')
        ++kept;
    std::memmove(first, kept, static_cast<std::size_t>(out - kept));
    out -= kept - first;
    if (scale > 0)
        *out++ = '.';
    for (int rest = scale, group = weight_ + 1; rest > 0; rest -= 4, ++group)
        write_group(group, rest < 4 ? rest : 4);
    return {buffer, static_cast<std::size_t>(out - buffer)};
}

template <typename Unsigned, int max_digits, typename Signed>
bool numeric_view::scaled(int scale, Signed &out) const noexcept
{
    if (!is_finite())
        return false;
    // `exponent` is that of the digit's last decimal place, once multiplied by 10^scale.
    int exponent = 4 * weight_ + scale;
    if (digit_count_ > 0 && exponent + detail::decimal_length(digit(0)) > max_digits)
        return false;
    Unsigned sum = 0;
    int i = 0;
    for (; i < digit_count_ && exponent >= 0; ++i, exponent -= 4)
        sum = sum * 10000 + static_cast<Unsigned>(digit(i));
    if (i == digit_count_ && digit_count_ > 0) {
        sum *= detail::power_of_ten<Unsigned>(exponent + 4);
    } else if (i < digit_count_ && exponent >= -4) {
        // Only the first place cut off decides: half or more goes up, whatever follows.
        int const kept = detail::small_powers[exponent + 4];
        int const unit = detail::small_powers[-exponent];
        sum = sum * static_cast<Unsigned>(kept) + static_cast<Unsigned>(digit(i) / unit);
        sum += 2 * (digit(i) % unit) >= unit ? 1 : 0;
    }
    out = is_negative() ? -static_cast<Signed>(sum) : static_cast<Signed>(sum);
    return true;
}

// Three-way comparison in numeric's own order: -infinity, the finite, infinity, NaN (equal to itself).
inline int compare(const numeric_view &left, const numeric_view &right) noexcept
{
    auto const place = [](const numeric_view &v) {
        switch (v.kind()) {
        case numeric_kind::negative_infinity:
            return -2;
        case numeric_kind::positive_infinity:
            return 2;
        case numeric_kind::nan:
            return 3;
        default:
            return v.digit_count() == 0 ? 0 : v.is_negative() ? -1 : 1;
        }
    };
    int const sign = place(left);
    if (sign != place(right))
        return sign < place(right) ? -1 : 1;
    if (sign != 1 && sign != -1)
        return 0;
    if (left.weight() != right.weight())
        return left.weight() < right.weight() ? -sign : sign;
    int const common = left.digit_count() < right.digit_count() ? left.digit_count() : right.digit_count();
    for (int i = 0; i < common; ++i)
        if (left.digit(i) != right.digit(i))
            return left.digit(i) < right.digit(i) ? -sign : sign;
    if (left.digit_count() == right.digit_count())
        return 0;
    return left.digit_count() < right.digit_count() ? -sign : sign;
}

inline bool to_scaled_int128(Numeric value, int scale, int128 &out) noexcept
{
    return numeric_view(value).to_scaled(scale, out);
}

// Packs digits in base 10,000 (neither first nor last is zero) into a palloc'd numeric.
inline Numeric make_numeric(bool negative, int scale, int weight, const std::int16_t *digits, int count)
{
    bool const is_short = scale <= 0x3F && weight >= -0x40 && weight <= 0x3F;
    std::uint16_t const header =
        static_cast<std::uint16_t>(is_short ? 0x8000 | (negative ? 0x2000 : 0) | scale << 7 | (weight & 0x7F)
                                            : (negative ? 0x4000 : 0) | scale);
    auto const long_weight = static_cast<std::int16_t>(weight);
    Size const prefix = is_short ? 2 : 4;
    Size const size = VARHDRSZ + prefix + static_cast<Size>(count) * 2;
    auto *const result = static_cast<char *>(palloc(size));
    SET_VARSIZE(result, size);
    char *const data = result + VARHDRSZ;
    std::memcpy(data, &header, 2);
    if (!is_short)
        std::memcpy(data + 2, &long_weight, 2);
    std::memcpy(data + prefix, digits, static_cast<Size>(count) * 2);
    return reinterpret_cast<Numeric>(result);
}

// The numeric value * 10^-scale shown with `scale` decimals, 0 <= scale <= 1000; palloc'd.
inline Numeric numeric_from_scaled(int128 value, int scale)
{
    bool const negative = value < 0;
    uint128 rest = negative ? -static_cast<uint128>(value) : static_cast<uint128>(value);
    constexpr int capacity = 12; // 39 decimal digits and at most 3 zeros
    std::int16_t digits[capacity];
    int first = capacity;
    // The decimal point must fall between two digits, so the last may be filled up with zeros.
    int const padding = (4 - scale % 4) % 4;
    auto const unit = static_cast<unsigned>(detail::small_powers[4 - padding]);
    digits[--first] =
        static_cast<std::int16_t>(static_cast<int>(rest % unit) * detail::small_powers[padding]);
    for (rest /= unit; rest != 0; rest /= 10000)
        digits[--first] = static_cast<std::int16_t>(rest % 10000);
    int weight = capacity - first - 1 - (scale + padding) / 4;
    int last = capacity;
    while (last > first && digits[last - 1] == 0)
        --last;
    for (; first < last && digits[first] == 0; ++first)
        --weight;
    if (first == last)
        weight = 0;
    return make_numeric(negative, scale, weight, digits + first, last - first);
}

} // namespace shadow::pg
