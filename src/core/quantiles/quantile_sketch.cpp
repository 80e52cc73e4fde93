#include "core/quantiles/quantile_sketch.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "core/base/error.hpp"

namespace shadow
{

// ---- options ----------------------------------------------------------------------------------------------

std::string number_text(double value)
{
    if (std::isnan(value))
        return "NaN";
    if (std::isinf(value))
        return value > 0 ? "Infinity" : "-Infinity";
    char buffer[32];
    return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

sketch_options sketch_options::make(double accuracy, std::int64_t max_buckets)
{
    if (!(accuracy >= min_accuracy_ppm / 1e6 && accuracy <= max_accuracy_ppm / 1e6))
        throw error(errc::invalid_argument, "relative accuracy is out of range",
                    "The accuracy is " + number_text(accuracy) + ".", "Use a value from 0.0001 to 0.5.");
    if (max_buckets < std::int64_t{least_buckets} || max_buckets > std::int64_t{most_buckets})
        throw error(errc::invalid_argument, "number of buckets is out of range",
                    "The number is " + std::to_string(max_buckets) + ".", "Use a value from 16 to 65536.");
    sketch_options options;
    // The decimals nearest to a double may lie a hair above it: 0.29 * 1e6 is 289999.99999999994.
    options.accuracy_ppm = static_cast<std::uint32_t>(accuracy * 1e6 + 1e-6);
    options.max_buckets = static_cast<std::uint32_t>(max_buckets);
    return options;
}

// ---- mapping ----------------------------------------------------------------------------------------------

namespace
{

constexpr uint128 one_62 = static_cast<uint128>(1) << 62;
// The cubic's coefficients with 62 fractional bits.
constexpr auto cubic_a = static_cast<std::uint64_t>(6 * one_62 / 35);
constexpr auto cubic_b = static_cast<std::uint64_t>(3 * one_62 / 5);
constexpr auto cubic_c = static_cast<std::uint64_t>(10 * one_62 / 7);
constexpr std::uint64_t fraction_mask = (std::uint64_t{1} << 52) - 1;
constexpr int index_shift = 52 + 32; // fractional bits of k * L

constexpr std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b)
{
    return static_cast<std::uint64_t>(static_cast<uint128>(a) * b >> 64);
}

// f(fraction / 2^52), with 52 fractional bits. Rounding errs by a few 2^-62, one step of the argument moves f
// by at least f'(1) 2^-52 = 26/35 * 1024 of these: so the result is monotone.
constexpr std::uint64_t cubic(std::uint64_t fraction)
{
    std::uint64_t const s = fraction << 12; // 64 fractional bits
    std::uint64_t const inner = cubic_b - multiply_high(cubic_a, s);
    std::uint64_t const outer = cubic_c - multiply_high(inner, s);
    return multiply_high(outer, s) >> 10;
}
static_assert(cubic(0) == 0 && cubic(fraction_mask) == fraction_mask, "binades meet");

// k * 2^32 = 7 / (20 atanh(a)) * 2^32, as ln gamma = 2 atanh(a); by the power series of atanh, whose terms
// are all rounded down, so that k errs towards narrower buckets, as does the part in 2^32 added for the
// truncation of L.
constexpr std::uint64_t multiplier_of(std::uint32_t accuracy_ppm)
{
    uint128 const a = accuracy_ppm * one_62 / 1000000;
    uint128 power = a;
    uint128 atanh = 0;
    for (unsigned n = 1; power != 0; n += 2) {
        atanh += power / n;
        power = (power * a >> 62) * a >> 62;
    }
    auto const k = static_cast<std::uint64_t>((static_cast<uint128>(7) << (62 + 32)) / (20 * atanh));
    return k + (k >> 32) + 1;
}
constexpr std::uint64_t default_multiplier = multiplier_of(sketch_options{}.accuracy_ppm);

} // namespace

bucket_mapping::bucket_mapping(std::uint32_t accuracy_ppm) noexcept
    : multiplier_(accuracy_ppm == sketch_options{}.accuracy_ppm ? default_multiplier
                                                                : multiplier_of(accuracy_ppm))
{
}

// Inlined into the loop over many values.
[[gnu::always_inline]] static inline std::int32_t index_of(double positive, std::uint64_t multiplier) noexcept
{
    std::uint64_t bits;
    std::memcpy(&bits, &positive, sizeof bits);
    auto exponent = static_cast<std::int64_t>(bits >> 52) - 1023;
    std::uint64_t fraction = bits & fraction_mask;
    if (exponent == -1023) { // subnormal: shift the leading one to where normal numbers hide it
        int const shift = __builtin_clzll(fraction) - 11;
        exponent = -1022 - shift;
        fraction = fraction << shift & fraction_mask;
    }
    std::int64_t const log = exponent * (std::int64_t{1} << 52) + static_cast<std::int64_t>(cubic(fraction));
    return static_cast<std::int32_t>(static_cast<int128>(log) * static_cast<int128>(multiplier) >>
                                     index_shift);
}

std::int32_t bucket_mapping::index(double positive) const noexcept
{
    return index_of(positive, multiplier_);
}

// The inverse, exactly: the smallest number (of unlimited exponent) whose index is not below.
bucket_mapping::edge bucket_mapping::lower_edge(std::int32_t index) const noexcept
{
    int128 const numerator = static_cast<int128>(index) * (static_cast<int128>(1) << index_shift);
    auto const divisor = static_cast<int128>(multiplier_);
    auto log = static_cast<std::int64_t>(numerator / divisor);
    if (numerator % divisor > 0)
        ++log; // division truncates: upwards already if negative
    auto const target = static_cast<std::uint64_t>(log) & fraction_mask;
    std::uint64_t fraction = 0; // largest with cubic(fraction) < target, plus one
    for (int bit = 51; bit >= 0; --bit) {
        std::uint64_t const candidate = fraction | std::uint64_t{1} << bit;
        if (cubic(candidate - 1) < target)
            fraction = candidate;
    }
    return {static_cast<int>(log >> 52), 1 + static_cast<double>(fraction) / (fraction_mask + 1)};
}

double bucket_mapping::representative(std::int32_t index) const noexcept
{
    edge const low = lower_edge(index);
    edge const high = lower_edge(index + 1);
    // Relative to 2^low.exponent, so that nothing overflows on the way.
    double const lo = low.significand;
    double const hi = std::ldexp(high.significand, high.exponent - low.exponent);
    return std::ldexp(2 * lo * hi / (lo + hi), low.exponent);
}

// Asked for whenever a sketch is opened, nearly always with the default accuracy.
std::int32_t bucket_mapping::lowest() const noexcept
{
    constexpr double least = std::numeric_limits<double>::denorm_min();
    static std::int32_t const usual = index_of(least, default_multiplier);
    return multiplier_ == default_multiplier ? usual : index(least);
}

std::int32_t bucket_mapping::highest() const noexcept
{
    constexpr double most = std::numeric_limits<double>::max();
    static std::int32_t const usual = index_of(most, default_multiplier);
    return multiplier_ == default_multiplier ? usual : index(most);
}

// ---- buckets ----------------------------------------------------------------------------------------------

// In ascending order within the window, then the others in any.
template <typename Visit>
void bucket_store::for_each(Visit visit) const
{
    for (std::size_t i = 0; i < window_.size(); ++i)
        if (window_[i] != 0)
            visit(sketch_bucket{first_ + static_cast<std::int32_t>(i), window_[i]});
    for (const sketch_bucket &slot : slots_)
        if (slot.count != 0)
            visit(slot);
}

void bucket_store::merge(const bucket_store &other)
{
    other.for_each([this](const sketch_bucket &bucket) { add(bucket.index, bucket.count); });
    collapsed_ = collapsed_ || other.collapsed_;
}

// False: it would become wider than what may lie in it before some must collapse. It only grows, so what lies outside
// stays outside.
bool bucket_store::widen(std::int32_t first, std::int32_t last)
{
    std::int64_t low = first, high = std::int64_t{last} + 1;
    auto const size = static_cast<std::int64_t>(window_.size());
    if (size > 0) {
        low = std::min<std::int64_t>(low, first_);
        high = std::max(high, first_ + size);
    }
    std::int64_t const most = std::int64_t{2} * limit_;
    if (high - low > most)
        return false;
    std::int64_t const more = std::min(most, std::max(least_window, 2 * size)) - (high - low);
    if (more > 0 && high > first_ + size)
        high += more;
    else if (more > 0)
        low -= more;
    std::pmr::vector<std::uint64_t> wider(static_cast<std::size_t>(high - low), 0, window_.get_allocator());
    std::copy(window_.begin(), window_.end(), wider.begin() + (size > 0 ? first_ - low : 0));
    window_ = std::move(wider);
    first_ = static_cast<std::int32_t>(low);
    return true;
}

void bucket_store::add_outside(std::int32_t index, std::uint64_t count)
{
    index = std::max(index, floor_);
    if (place_of(index) < window_.size() || widen(index, index)) {
        window_[place_of(index)] += count;
        return;
    }
    if (slots_.empty())
        slots_.resize(initial_slots);
    sketch_bucket &slot = find(index);
    slot.index = index;
    bool const is_new = slot.count == 0;
    slot.count += count;
    if (is_new && ++used_ * 2 >= slots_.size())
        make_room();
}

sketch_buckets bucket_store::survivors(bool &collapsed) const
{
    sketch_buckets buckets(slots_.get_allocator());
    buckets.reserve(window_.size() + used_);
    for_each([&buckets](const sketch_bucket &bucket) { buckets.push_back(bucket); });
    if (used_ > 0)
        std::sort(buckets.begin(), buckets.end(),
                  [](const sketch_bucket &a, const sketch_bucket &b) { return a.index < b.index; });
    collapsed = collapsed_ || buckets.size() > limit_;
    if (buckets.size() > limit_) {
        auto const first = buckets.end() - static_cast<std::ptrdiff_t>(limit_);
        for (auto it = buckets.begin(); it != first; ++it)
            first->count += it->count;
        buckets.erase(buckets.begin(), first);
    }
    return buckets;
}

sketch_bucket &bucket_store::find(std::int32_t index) noexcept
{
    std::size_t const mask = slots_.size() - 1;
    std::size_t i = (static_cast<std::uint32_t>(index) * 0x9E3779B1U >> 8) & mask; // Fibonacci hashing
    while (slots_[i].count != 0 && slots_[i].index != index)
        i = (i + 1) & mask;
    return slots_[i];
}

void bucket_store::make_room()
{
    if (used_ <= 2 * limit_) {
        sketch_buckets const all = std::move(slots_);
        rebuild(all, all.size() * 2);
        return;
    }
    bool collapsed;
    sketch_buckets const kept = survivors(collapsed);
    collapsed_ = collapsed;
    floor_ = kept.front().index;
    window_.clear();
    rebuild({}, slots_.size());
    for (const sketch_bucket &bucket : kept)
        add(bucket.index, bucket.count);
}

void bucket_store::rebuild(const sketch_buckets &buckets, std::size_t slot_count)
{
    slots_.assign(slot_count, sketch_bucket{0, 0});
    used_ = 0;
    for (const sketch_bucket &bucket : buckets)
        if (bucket.count != 0) {
            find(bucket.index) = bucket;
            ++used_;
        }
}

// ---- builder ----------------------------------------------------------------------------------------------

static constexpr std::uint64_t max_count = INT64_MAX;

sketch_builder::sketch_builder(sketch_options options, std::pmr::memory_resource *memory)
    : options_(options), mapping_(options.accuracy_ppm), positive_(options.max_buckets, memory),
      negative_(options.max_buckets, memory)
{
}

static std::string describe(const sketch_options &options)
{
    std::string accuracy = std::to_string(options.accuracy_ppm);
    accuracy.insert(0, 7 - accuracy.size(), '0').insert(1, 1, '.');
    accuracy.erase(accuracy.find_last_not_of('0') + 1);
    return "accuracy " + accuracy + " and at most " + std::to_string(options.max_buckets) + " buckets";
}

// Everything but the buckets and the sum.
void sketch_builder::include(const sketch_options &options, std::uint64_t count, double min, double max)
{
    if (!(options == options_))
        throw error(errc::invalid_argument, "quantile sketches of different accuracy cannot be merged",
                    "One has " + describe(options_) + ", the other " + describe(options) + ".",
                    "Build all sketches that are to be merged with the same accuracy and number of buckets.");
    if (count > max_count - count_)
        throw error(errc::out_of_range, "quantile sketch would hold too many values",
                    "The limit is " + std::to_string(max_count) + " values.");
    min_ = count_ == 0 ? min : std::min(min_, min);
    max_ = count_ == 0 ? max : std::max(max_, max);
    count_ += count;
}

[[noreturn]] static void reject(double value)
{
    throw error(errc::invalid_argument, "quantile sketch takes finite values only",
                "The value is " + number_text(value) + ".",
                "Leave such values out, for example with FILTER (WHERE ...).");
}

[[gnu::always_inline]] inline void sketch_builder::count_in_bucket(double value)
{
    if (value > 0)
        positive_.add(index_of(value, mapping_.multiplier()), 1);
    else if (value < 0)
        negative_.add(index_of(-value, mapping_.multiplier()), 1);
    else
        ++zeros_;
}

void sketch_builder::add_to_bucket(double value)
{
    count_in_bucket(value);
    value += 0.0; // -0 is 0
    min_ = count_ == 0 || value < min_ ? value : min_;
    max_ = count_ == 0 || value > max_ ? value : max_;
    ++count_;
}

void sketch_builder::add(double value)
{
    add(&value, 1);
}

void sketch_builder::add(const double *values, std::size_t n)
{
    double min = HUGE_VAL;
    double max = -HUGE_VAL;
    for (std::size_t i = 0; i < n; ++i) {
        if (!std::isfinite(values[i]))
            reject(values[i]);
        min = std::min(min, values[i]);
        max = std::max(max, values[i]);
    }
    if (n > 0)
        include(options_, n, min + 0.0, max + 0.0); // -0 is 0
    for (std::size_t i = 0; i < n; ++i)
        sum_.add(values[i]);
    for (std::size_t i = 0; i < n; ++i)
        count_in_bucket(values[i]);
}

void sketch_builder::add_units(std::int64_t units)
{
    add_to_bucket(static_cast<double>(units) / 1e9);
    sum_.add_units(units);
}

void sketch_builder::add_units(const std::int64_t *units, std::size_t n, interrupt_check interrupted)
{
    interrupt_poll poll(interrupted);
    for (std::size_t i = 0; i < n; ++i, poll())
        add_units(units[i]);
}

void sketch_builder::add_decimal(const char *text)
{
    double const value = std::strtod(text, nullptr);
    exact_sum sum = sum_;
    if (!sum.add_decimal(text) || !std::isfinite(value))
        throw error(errc::out_of_range, "value is out of range for a quantile sketch", {},
                    "Values must be finite and within the range of double precision.");
    add_to_bucket(value);
    sum_ = sum;
}

void sketch_builder::merge(const sketch_view &other)
{
    include(other.options(), other.count(), other.min(), other.max());
    auto const take = [](bucket_store &store, const bucket_span &span) {
        if (span.size > 0)
            store.expect(span.first_index, span.last_index);
        visit_buckets(span, [&store](std::int32_t index, std::uint64_t count) {
            store.add(index, count);
            return true;
        });
        if (span.collapsed)
            store.mark_collapsed();
    };
    take(positive_, other.positive());
    take(negative_, other.negative());
    zeros_ += other.zeros();
    sum_.add(other.sum());
}

void sketch_builder::merge(const sketch_builder &other)
{
    include(other.options_, other.count_, other.min_, other.max_);
    positive_.merge(other.positive_);
    negative_.merge(other.negative_);
    zeros_ += other.zeros_;
    sum_.add(other.sum_);
}

std::pmr::vector<unsigned char> sketch_builder::serialize() const
{
    bool positive_collapsed, negative_collapsed;
    sketch_buckets positive = positive_.survivors(positive_collapsed);
    sketch_buckets negative = negative_.survivors(negative_collapsed);
    auto *const memory = positive.get_allocator().resource();
    return encode({options_, min_, max_, sum_, zeros_, std::move(positive), std::move(negative),
                   positive_collapsed, negative_collapsed},
                  memory);
}

} // namespace shadow
