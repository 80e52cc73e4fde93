#pragma once
// DDSketch: quantiles of a stream with a guaranteed relative error, fully mergeable.
// Masson, Rim & Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
// PVLDB 12(12), 2019. Section numbers below refer to it.
//
//   sketch_builder   takes values and other sketches in, in palloc'd or any other memory
//   sketch_view      reads the serialized form where it lies, after having checked every byte of it
//
// The serialized form is canonical: it depends on the values alone, not on their order nor on how they were
// split and merged, and is the same on every platform (all bucket arithmetic is on integers).
//
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

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/interrupt.hpp"
#include "core/quantiles/exact_sum.hpp"

namespace shadow
{

struct sketch_options {
    static constexpr std::uint32_t min_accuracy_ppm = 100, max_accuracy_ppm = 500000;
    static constexpr std::uint32_t least_buckets = 16, most_buckets = 65536;

    std::uint32_t accuracy_ppm = 10000; // relative accuracy in millionths
    std::uint32_t max_buckets = 2048;   // for each sign

    // Checks both; the accuracy is rounded down to whole millionths, which keeps its promise.
    static sketch_options make(double accuracy, std::int64_t max_buckets);
    double accuracy() const noexcept { return accuracy_ppm / 1e6; }
    bool operator==(const sketch_options &o) const noexcept
    {
        return accuracy_ppm == o.accuracy_ppm && max_buckets == o.max_buckets;
    }
};

// Positive doubles to bucket numbers: i = floor(k * L(x)), where L(2^e * (1 + s)) = e + f(s) and
// f(s) = 6/35 s^3 - 3/5 s^2 + 10/7 s approximates log2(1 + s) (the paper's section 2.4; the cubic is that
// of the authors' implementations). x * dL/dx, which is f'(s) (1 + s), is at least 10/7 on [0, 1] (at
// s = 0 and 2/3), so with k = 7 / (10 ln gamma), gamma = (1 + a) / (1 - a), no bucket is wider than a ratio
// of gamma; 2 lo hi / (lo + hi) is then within a of everything in it (lemma 2). Costs 1 % more buckets than
// exact logarithms. Fixed point throughout: monotone, exact inverse, and no libm to differ.
class bucket_mapping
{
public:
    explicit bucket_mapping(std::uint32_t accuracy_ppm) noexcept;

    std::int32_t index(double positive) const noexcept;
    double representative(std::int32_t index) const noexcept;
    std::int32_t lowest() const noexcept;  // bucket of the smallest subnormal
    std::int32_t highest() const noexcept; // bucket of the largest finite double
    std::uint64_t multiplier() const noexcept { return multiplier_; }

private:
    struct edge {
        int exponent;
        double significand; // 1 <= significand < 2
    };
    edge lower_edge(std::int32_t index) const noexcept;

    std::uint64_t multiplier_; // k * 2^32
};

struct sketch_bucket {
    std::int32_t index;
    std::uint64_t count;
};
using sketch_buckets = std::pmr::vector<sketch_bucket>; // ascending by index

// The buckets of one sign: a window of counts side by side, which holds what usual values have; beyond it a hash
// table, so that the distance between clusters costs nothing.
//
// At most `limit` buckets survive: those with the largest magnitudes; the counts of the others go into the
// smallest survivor (section 2.2, algorithm 3). The survivors' lower end can only rise as values come in, so
// whatever was collapsed earlier is collapsed in the end: the outcome does not depend on the order. This also
// allows to collapse in batches, when twice the limit is reached.
class bucket_store
{
public:
    bucket_store(std::uint32_t limit, std::pmr::memory_resource *memory)
        : window_(memory), slots_(memory), limit_(limit)
    {
    }

    void add(std::int32_t index, std::uint64_t count)
    {
        std::size_t const place = place_of(index);
        if (place < window_.size())
            window_[place] += count;
        else
            add_outside(index, count);
    }
    // Buckets from `first` to `last` will come: they get their room at once.
    void expect(std::int32_t first, std::int32_t last)
    {
        if (place_of(first) >= window_.size() || place_of(last) >= window_.size())
            widen(first, last);
    }
    void merge(const bucket_store &other);
    void mark_collapsed() noexcept { collapsed_ = true; }

    // The surviving buckets; `collapsed` tells whether others went into the first of them.
    sketch_buckets survivors(bool &collapsed) const;

private:
    static constexpr std::int64_t least_window = 64;
    static constexpr std::size_t initial_slots = 32;

    // Not below window_.size(): outside.
    std::size_t place_of(std::int32_t index) const noexcept
    {
        return static_cast<std::size_t>(std::int64_t{index} - first_);
    }
    bool widen(std::int32_t first, std::int32_t last);
    void add_outside(std::int32_t index, std::uint64_t count);
    template <typename Visit>
    void for_each(Visit visit) const;
    sketch_bucket &find(std::int32_t index) noexcept;
    void make_room();
    void rebuild(const sketch_buckets &buckets, std::size_t slot_count);

    std::pmr::vector<std::uint64_t> window_; // counts of the buckets from first_ on
    std::int32_t first_ = 0;
    sketch_buckets slots_; // outside the window; power of two, at most half full; count 0 marks a free one
    std::uint32_t limit_;
    std::uint32_t used_ = 0;         // slots
    std::int32_t floor_ = INT32_MIN; // values below are counted here
    bool collapsed_ = false;
};

class sketch_view;

class sketch_builder
{
public:
    explicit sketch_builder(sketch_options options = {},
                            std::pmr::memory_resource *memory = std::pmr::get_default_resource());

    const sketch_options &options() const noexcept { return options_; }
    std::uint64_t count() const noexcept { return count_; }

    void add(double value); // NaN and infinities are errors
    // Several at a time are quicker: what one waits for overlaps with the next.
    void add(const double *values, std::size_t n);
    // The value units * 1e-9, with exactly that in the sum; for a runtime these are nanoseconds.
    void add_units(std::int64_t units);
    void add_units(const std::int64_t *units, std::size_t n, interrupt_check interrupted = nullptr);
    // Text in plain decimal notation, as numeric_out gives it.
    void add_decimal(const char *text);
    void merge(const sketch_view &other);
    void merge(const sketch_builder &other);

    // Needs at least one value. The result's memory is the builder's.
    std::pmr::vector<unsigned char> serialize() const;

private:
    void count_in_bucket(double value);
    void add_to_bucket(double value);
    void include(const sketch_options &options, std::uint64_t count, double min, double max);

    sketch_options options_;
    bucket_mapping mapping_;
    bucket_store positive_;
    bucket_store negative_;
    std::uint64_t zeros_ = 0;
    std::uint64_t count_ = 0;
    double min_ = 0;
    double max_ = 0;
    exact_sum sum_;
};

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

// One sign's buckets in their serialized form.
struct bucket_span {
    const unsigned char *begin = nullptr;
    const unsigned char *end = nullptr;
    std::uint32_t size = 0;
    std::int32_t first_index = 0; // smallest magnitude
    std::int32_t last_index = 0;
    std::uint64_t total = 0;
    bool collapsed = false;
};

class sketch_view
{
public:
    // Throws errc::corrupt_data unless the bytes are exactly what some builder serializes to.
    sketch_view(const unsigned char *bytes, std::size_t size);

    const sketch_options &options() const noexcept { return options_; }
    std::uint64_t count() const noexcept { return count_; }
    double min() const noexcept { return min_; }
    double max() const noexcept { return max_; }
    std::uint64_t zeros() const noexcept { return zeros_; }
    const exact_sum &sum() const noexcept { return sum_; }
    bool is_collapsed() const noexcept { return positive_.collapsed || negative_.collapsed; }
    const bucket_span &positive() const noexcept { return positive_; }
    const bucket_span &negative() const noexcept { return negative_; }

    // The value of rank floor(fraction * (count - 1)), counted from 0 (section 2.1: the lower quantile),
    // within the accuracy; rank 0 is the exact minimum, the last rank the exact maximum. Errors: a fraction
    // outside [0, 1].
    double quantile(double fraction) const;
    // Between the neighbouring ranks by the fraction's place (Hyndman-Fan type 7).
    double interpolated_quantile(double fraction) const;
    // Share of values <= value, where values in the same bucket as `value` count as equal to it. Errors: NaN.
    double rank(double value) const;

private:
    double place_of(double fraction) const;
    double at_rank(std::uint64_t rank) const;

    sketch_options options_;
    double min_ = 0;
    double max_ = 0;
    exact_sum sum_;
    std::uint64_t zeros_ = 0;
    std::uint64_t count_ = 0;
    bucket_span positive_;
    bucket_span negative_;
};

// The shortest decimal of a double, for messages.
std::string number_text(double value);

// A JSON object that says everything; from_text(to_text(s)) gives the same bytes.
std::string sketch_to_text(const sketch_view &sketch);
std::pmr::vector<unsigned char> sketch_from_text(std::string_view text, std::pmr::memory_resource *memory);

// Everything that is serialized, apart. Written by the builder and the text parser, checked by sketch_view.
struct sketch_parts {
    sketch_options options;
    double min;
    double max;
    exact_sum sum;
    std::uint64_t zeros;
    sketch_buckets positive;
    sketch_buckets negative;
    bool positive_collapsed;
    bool negative_collapsed;
};
std::pmr::vector<unsigned char> encode(const sketch_parts &parts, std::pmr::memory_resource *memory);

// Calls visit(index, count) for each bucket, smallest magnitude first, while it returns true.
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
