#pragma once
// The serialized form, version 1. Integers are LEB128 varints in their shortest form unless said otherwise.
//
//   version        1 byte, 1
//   flags          1 byte: 1 = the positive buckets are collapsed, 2 = the negative ones
//   accuracy       millionths
//   max_buckets
//   min, max       8 bytes each: IEEE 754 bits, little-endian; no NaN, infinity or negative zero
//   sum            (length * 2 + is_negative), then `length` bytes of magnitude in 1e-9, little-endian
//   zeros          number of zero values
//   positive       buckets, ascending by magnitude
//   negative       buckets, ascending by magnitude
// where buckets are
//   size, and if it is not 0: first index (zigzag), then per bucket
//   (distance from the index before - 1) * 4 + min(count, 4) - 1 (distance 1 for the first), and if
//   count >= 4: count - 4.
// Most buckets of a small sketch thus take one byte.

#include "core/quantiles/quantile_sketch.hpp"

namespace shadow
{

// Reads bytes that may be anything; every read is checked.
class sketch_reader
{
public:
    sketch_reader(const unsigned char *begin, const unsigned char *end) noexcept : at_(begin), end_(end) {}

    const unsigned char *position() const noexcept { return at_; }
    bool at_end() const noexcept { return at_ == end_; }
    unsigned char byte()
    {
        if (at_ == end_)
            fail("The value ends too early.");
        return *at_++;
    }
    std::uint64_t varint()
    {
        std::uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            std::uint64_t const b = byte();
            if (shift == 63 && b > 1)
                break;
            value |= (b & 0x7F) << shift;
            if (b < 0x80) {
                if (b == 0 && shift > 0)
                    break;
                return value;
            }
        }
        fail("An integer is not in its shortest form or too large.");
    }
    double number();
    const unsigned char *skip(std::size_t n);

    [[noreturn]] static void fail(const char *detail);

private:
    const unsigned char *at_;
    const unsigned char *end_;
};

template <typename Visit>
void visit_buckets(const bucket_span &span, Visit visit)
{
    sketch_reader reader(span.begin, span.end);
    std::int64_t index = std::int64_t{span.first_index} - 1;
    for (std::uint32_t i = 0; i < span.size; ++i) {
        std::uint64_t const token = reader.varint();
        index += static_cast<std::int64_t>(token >> 2) + 1;
        std::uint64_t const count = (token & 3) < 3 ? (token & 3) + 1 : reader.varint() + 4;
        if (!visit(static_cast<std::int32_t>(index), count))
            return;
    }
}

} // namespace shadow
