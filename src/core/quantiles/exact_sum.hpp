#pragma once
// A sum that has no rounding error and does not depend on the order of its terms.
//
// The unit is 1e-9, so decimals with up to nine places add up to exactly the decimal one expects, and
// nanoseconds are whole. A double is taken as the nearest multiple of the unit (half away from zero):
// below 2^23 (97 days in seconds) that recovers any decimal of nine places, above it the double itself is
// coarser than the unit and counts with the value it has. The range covers 2^63 terms of the largest double.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base/int128.hpp"

namespace shadow
{

class exact_sum
{
public:
    static constexpr int decimals = 9;
    static constexpr int limb_count = 18;
    // |sum| < 2^1119: 2^63 terms below 2^1024, in units (< 2^30 of them to one) and rounded.
    static constexpr std::size_t max_bytes = 140;

    struct magnitude {
        bool negative;
        std::size_t size;                                // bytes without leading zeros; 0 for zero
        std::array<unsigned char, limb_count * 8> bytes; // little-endian
    };

    void add(double finite) noexcept
    {
        std::uint64_t bits;
        std::memcpy(&bits, &finite, sizeof bits);
        // From 2^-31 to 2^33, |finite| is a significand of 53 bits times 2^-shift, and units fit in 64 bits.
        int const shift = 1075 - static_cast<int>(bits >> 52 & 0x7FF);
        if (shift < 20 || shift > 84) {
            add_any(finite);
            return;
        }
        std::uint64_t const significand = (bits & 0xFFFFFFFFFFFFF) | std::uint64_t{1} << 52;
        uint128 const product = static_cast<uint128>(significand) * units_per_one;
        auto const units = static_cast<std::int64_t>((product + (uint128{1} << (shift - 1))) >> shift);
        add_units(bits >> 63 != 0 ? -units : units);
    }
    void add_units(std::int64_t units) noexcept
    {
        std::int64_t sum;
        if (__builtin_add_overflow(near_, units, &sum)) {
            add_far(units);
            return;
        }
        near_ = sum;
    }
    void add(const exact_sum &other) noexcept;
    // Plain decimal notation, [-]digits[.digits], below 10^320; rounded half away from zero. False, and
    // nothing added, if the text is something else.
    bool add_decimal(std::string_view text) noexcept;
    void add_magnitude(bool negative, const unsigned char *bytes, std::size_t size) noexcept;

    magnitude to_magnitude() const noexcept;
    std::string to_text() const; // shortest decimal
    // |sum| <= count * 2^exponent units
    bool is_bounded_by(std::uint64_t count, int exponent) const noexcept;

private:
    static constexpr std::uint64_t units_per_one = 1000000000;
    using limbs = std::array<std::uint64_t, limb_count>; // two's complement, least significant first

    void add_any(double finite) noexcept;
    void add_far(int128 units) noexcept;
    void add_shifted(bool negative, uint128 units, int shift) noexcept;
    void add_limbs(bool negative, const limbs &other) noexcept;
    limbs total() const noexcept;
    static bool make_absolute(limbs &value) noexcept;
    limbs absolute(bool &negative) const noexcept;
    static std::size_t length(const limbs &value) noexcept;

    // Nearly every sum fits in 64 bits (292 years of seconds); the rest spills over.
    std::int64_t near_ = 0;
    bool has_far_ = false; // else far_ is zero, and need not be looked at
    limbs far_{};
};

} // namespace shadow
