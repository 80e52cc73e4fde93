// The serialized form: writing, and reading with every byte checked.

#include "core/quantiles/quantile_sketch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/base/error.hpp"

namespace shadow
{

static constexpr unsigned char format_version = 1;
static constexpr unsigned char positive_flag = 1, negative_flag = 2;

// ---- writing ----------------------------------------------------------------------------------------------

namespace
{

class sketch_writer
{
public:
    explicit sketch_writer(std::pmr::vector<unsigned char> &out) noexcept : out_(out) {}

    void byte(unsigned char value) { out_.push_back(value); }
    void varint(std::uint64_t value)
    {
        for (; value >= 0x80; value >>= 7)
            byte(static_cast<unsigned char>(value | 0x80));
        byte(static_cast<unsigned char>(value));
    }
    void number(double value)
    {
        std::uint64_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        for (int i = 0; i < 8; ++i)
            byte(static_cast<unsigned char>(bits >> (8 * i)));
    }
    void sum(const exact_sum &value)
    {
        exact_sum::magnitude const m = value.to_magnitude();
        varint(m.size * 2 + (m.negative ? 1 : 0));
        out_.insert(out_.end(), m.bytes.begin(), m.bytes.begin() + static_cast<std::ptrdiff_t>(m.size));
    }
    void buckets(const sketch_buckets &values)
    {
        varint(values.size());
        if (values.empty())
            return;
        std::int64_t index = values.front().index;
        varint(index < 0 ? static_cast<std::uint64_t>(-index) * 2 - 1
                         : static_cast<std::uint64_t>(index) * 2);
        --index;
        for (const sketch_bucket &b : values) {
            auto const distance = static_cast<std::uint64_t>(b.index - index - 1);
            varint(distance * 4 + std::min<std::uint64_t>(b.count, 4) - 1);
            if (b.count >= 4)
                varint(b.count - 4);
            index = b.index;
        }
    }

private:
    std::pmr::vector<unsigned char> &out_;
};

} // namespace

std::pmr::vector<unsigned char> encode(const sketch_parts &parts, std::pmr::memory_resource *memory)
{
    std::pmr::vector<unsigned char> out(memory);
    out.reserve(48 + 2 * (parts.positive.size() + parts.negative.size()));
    sketch_writer writer(out);
    writer.byte(format_version);
    writer.byte(static_cast<unsigned char>((parts.positive_collapsed ? positive_flag : 0) |
                                           (parts.negative_collapsed ? negative_flag : 0)));
    writer.varint(parts.options.accuracy_ppm);
    writer.varint(parts.options.max_buckets);
    writer.number(parts.min);
    writer.number(parts.max);
    writer.sum(parts.sum);
    writer.varint(parts.zeros);
    writer.buckets(parts.positive);
    writer.buckets(parts.negative);
    return out;
}

// ---- reading ----------------------------------------------------------------------------------------------

void sketch_reader::fail(const char *detail)
{
    throw error(errc::corrupt_data, "invalid quantile sketch", detail,
                "The value was damaged, or made by something other than shadow_analytics.");
}

static void require(bool condition, const char *detail)
{
    if (!condition)
        sketch_reader::fail(detail);
}

const unsigned char *sketch_reader::skip(std::size_t n)
{
    if (n > static_cast<std::size_t>(end_ - at_))
        fail("The value ends too early.");
    const unsigned char *const start = at_;
    at_ += n;
    return start;
}

double sketch_reader::number()
{
    const unsigned char *const bytes = skip(8);
    std::uint64_t bits = 0;
    for (int i = 0; i < 8; ++i)
        bits |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    double value;
    std::memcpy(&value, &bits, sizeof value);
    require(std::isfinite(value) && !(value == 0 && bits != 0),
            "A number is not finite or is a negative zero.");
    return value;
}

static sketch_options read_options(sketch_reader &reader)
{
    std::uint64_t const accuracy = reader.varint();
    std::uint64_t const buckets = reader.varint();
    require(accuracy >= sketch_options::min_accuracy_ppm && accuracy <= sketch_options::max_accuracy_ppm,
            "The accuracy is out of range.");
    require(buckets >= sketch_options::least_buckets && buckets <= sketch_options::most_buckets,
            "The limit of buckets is out of range.");
    sketch_options options;
    options.accuracy_ppm = static_cast<std::uint32_t>(accuracy);
    options.max_buckets = static_cast<std::uint32_t>(buckets);
    return options;
}

static exact_sum read_sum(sketch_reader &reader)
{
    std::uint64_t const header = reader.varint();
    require(header / 2 <= exact_sum::max_bytes && header != 1, "The sum is malformed.");
    auto const size = static_cast<std::size_t>(header / 2);
    const unsigned char *const bytes = reader.skip(size);
    require(size == 0 || bytes[size - 1] != 0, "The sum is malformed.");
    exact_sum sum;
    sum.add_magnitude(header % 2 == 1, bytes, size);
    return sum;
}

static void add_count(std::uint64_t &total, std::uint64_t count)
{
    require(count <= INT64_MAX && total <= INT64_MAX - count, "The count is too large.");
    total += count;
}

static bucket_span read_buckets(sketch_reader &reader, const sketch_options &options, bool collapsed)
{
    bucket_span span;
    std::uint64_t const size = reader.varint();
    require(size <= options.max_buckets && (!collapsed || size == options.max_buckets),
            "The number of buckets is wrong.");
    span.size = static_cast<std::uint32_t>(size);
    span.collapsed = collapsed;
    if (size == 0)
        return span;
    bucket_mapping const mapping(options.accuracy_ppm);
    std::uint64_t const zigzag = reader.varint();
    require(zigzag <= UINT32_MAX, "A bucket is out of range.");
    std::int64_t index = static_cast<std::int64_t>(zigzag >> 1) ^ -static_cast<std::int64_t>(zigzag & 1);
    std::int32_t const highest = mapping.highest();
    require(index >= mapping.lowest() && index <= highest, "A bucket is out of range.");
    span.first_index = static_cast<std::int32_t>(index--);
    span.begin = reader.position();
    for (std::uint64_t i = 0; i < size; ++i) {
        std::uint64_t const token = reader.varint();
        require(token >> 2 <= UINT32_MAX && (i > 0 || token >> 2 == 0), "A bucket is out of range.");
        index += static_cast<std::int64_t>(token >> 2) + 1;
        require(index <= highest, "A bucket is out of range.");
        std::uint64_t const count = (token & 3) < 3 ? (token & 3) + 1 : reader.varint();
        add_count(span.total, count);
        if ((token & 3) == 3)
            add_count(span.total, 4);
    }
    span.last_index = static_cast<std::int32_t>(index);
    span.end = reader.position();
    return span;
}

// The extreme value with the largest magnitude of its sign.
static bool is_outermost(double magnitude, const bucket_span &span, const bucket_mapping &mapping)
{
    return magnitude > 0 && mapping.index(magnitude) == span.last_index;
}

// The extreme value with the smallest magnitude of its sign; if it was collapsed, its bucket is gone.
static bool is_innermost(double magnitude, const bucket_span &span, const bucket_mapping &mapping)
{
    if (!(magnitude > 0))
        return false;
    std::int32_t const index = mapping.index(magnitude);
    return span.collapsed ? index < span.first_index : index == span.first_index;
}

static bool extremes_fit(const sketch_view &v)
{
    bucket_mapping const mapping(v.options().accuracy_ppm);
    bool const has_positive = v.positive().size > 0;
    bool const has_negative = v.negative().size > 0;
    bool const max_fits = has_positive    ? is_outermost(v.max(), v.positive(), mapping)
                          : v.zeros() > 0 ? v.max() == 0
                                          : is_innermost(-v.max(), v.negative(), mapping);
    bool const min_fits = has_negative    ? is_outermost(-v.min(), v.negative(), mapping)
                          : v.zeros() > 0 ? v.min() == 0
                                          : is_innermost(v.min(), v.positive(), mapping);
    return max_fits && min_fits && (v.count() > 1 ? v.min() <= v.max() : v.min() == v.max());
}

// No value is further from zero than 2^exponent (in units, and rounded to one).
static bool sum_fits(const sketch_view &v)
{
    double const largest = std::max(std::abs(v.min()), std::abs(v.max()));
    int const exponent = largest == 0 ? -31 : std::max(std::ilogb(largest) + 1, -31);
    return v.sum().is_bounded_by(v.count(), exponent + 31);
}

sketch_view::sketch_view(const unsigned char *bytes, std::size_t size)
{
    sketch_reader reader(bytes, bytes + size);
    require(reader.byte() == format_version, "Its format version is unknown to this release.");
    unsigned char const flags = reader.byte();
    require((flags & ~(positive_flag | negative_flag)) == 0, "Unknown flags are set.");
    options_ = read_options(reader);
    min_ = reader.number();
    max_ = reader.number();
    sum_ = read_sum(reader);
    zeros_ = reader.varint();
    positive_ = read_buckets(reader, options_, (flags & positive_flag) != 0);
    negative_ = read_buckets(reader, options_, (flags & negative_flag) != 0);
    require(reader.at_end(), "There are bytes after its end.");
    add_count(count_, zeros_);
    add_count(count_, positive_.total);
    add_count(count_, negative_.total);
    require(count_ > 0, "It holds no value.");
    require(extremes_fit(*this), "Its minimum or maximum contradicts its buckets.");
    require(sum_fits(*this), "Its sum contradicts its minimum and maximum.");
}

// ---- answers ----------------------------------------------------------------------------------------------

// Bucket of the value that has `skip` smaller magnitudes before it.
static std::int32_t bucket_at(const bucket_span &span, std::uint64_t skip)
{
    std::int32_t found = span.last_index;
    visit_buckets(span, [&](std::int32_t index, std::uint64_t count) {
        found = index;
        if (skip < count)
            return false;
        skip -= count;
        return true;
    });
    return found;
}

double sketch_view::at_rank(std::uint64_t rank) const
{
    if (rank == 0)
        return min_;
    if (rank >= count_ - 1)
        return max_;
    bucket_mapping const mapping(options_.accuracy_ppm);
    double value = 0;
    if (rank < negative_.total)
        value = -mapping.representative(bucket_at(negative_, negative_.total - 1 - rank));
    else if (rank - negative_.total >= zeros_)
        value = mapping.representative(bucket_at(positive_, rank - negative_.total - zeros_));
    return std::min(std::max(value, min_), max_);
}

// Past 2^53 values the product is rounded, by less than the count's last bits matter.
double sketch_view::place_of(double fraction) const
{
    if (!(fraction >= 0 && fraction <= 1))
        throw error(errc::invalid_argument, "fraction must be between 0 and 1",
                    "The fraction is " + number_text(fraction) + ".", "Write 0.95 for the 95th percentile.");
    return fraction * static_cast<double>(count_ - 1);
}

double sketch_view::quantile(double fraction) const
{
    return at_rank(static_cast<std::uint64_t>(place_of(fraction)));
}

double sketch_view::interpolated_quantile(double fraction) const
{
    double const place = place_of(fraction);
    auto const rank = static_cast<std::uint64_t>(place);
    double const below = at_rank(rank);
    double const weight = place - static_cast<double>(rank);
    return weight == 0 ? below : (1 - weight) * below + weight * at_rank(rank + 1);
}

static std::uint64_t count_up_to(const bucket_span &span, std::int32_t last)
{
    std::uint64_t total = 0;
    visit_buckets(span, [&](std::int32_t index, std::uint64_t count) {
        if (index > last)
            return false;
        total += count;
        return true;
    });
    return total;
}

double sketch_view::rank(double value) const
{
    if (std::isnan(value))
        throw error(errc::invalid_argument, "rank of NaN is not defined", {}, "Pass a number.");
    if (value < min_)
        return 0;
    if (value >= max_)
        return 1;
    bucket_mapping const mapping(options_.accuracy_ppm);
    std::uint64_t below = negative_.total;
    if (value < 0)
        below -= count_up_to(negative_, mapping.index(-value) - 1);
    else
        below += zeros_;
    if (value > 0)
        below += count_up_to(positive_, mapping.index(value));
    return static_cast<double>(below) / static_cast<double>(count_);
}

} // namespace shadow
