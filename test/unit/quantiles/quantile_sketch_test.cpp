#include "core/quantiles/quantile_sketch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "../../fuzz/quantile_sketch_check.hpp"
#include "core/base/error.hpp"

namespace
{

using namespace shadow;
using bytes = std::pmr::vector<unsigned char>;
using values = std::vector<double>;

constexpr double largest = std::numeric_limits<double>::max();
constexpr double smallest = std::numeric_limits<double>::denorm_min();

sketch_options with(double accuracy, int max_buckets)
{
    return sketch_options::make(accuracy, max_buckets);
}

bytes sketch_of(const values &v, sketch_options options = {})
{
    sketch_builder builder(options);
    for (double x : v)
        builder.add(x);
    return builder.serialize();
}

sketch_view view_of(const bytes &b)
{
    return sketch_view(b.data(), b.size());
}

// The double-precision definition of the promise; half a step of the subnormals is all a double can do.
bool is_within(double estimate, double exact, double accuracy)
{
    return std::abs(estimate - exact) <= accuracy * std::abs(exact) + smallest / 2;
}

// At every rank that a percentile or permille can ask for.
void expect_within_bound(values v, sketch_options options, const std::string &what)
{
    bytes const stored = sketch_of(v, options);
    sketch_view const view = view_of(stored);
    ASSERT_FALSE(view.is_collapsed()) << what;
    std::sort(v.begin(), v.end());
    for (int i = 0; i <= 1000; ++i) {
        double const fraction = i / 1000.0;
        double const exact = v[static_cast<std::size_t>(fraction * static_cast<double>(v.size() - 1))];
        ASSERT_TRUE(is_within(view.quantile(fraction), exact, options.accuracy()))
            << what << " at " << fraction << ": " << view.quantile(fraction) << " for " << exact;
    }
    EXPECT_EQ(view.quantile(0), v.front());
    EXPECT_EQ(view.quantile(1), v.back());
}

// The smallest double of a bucket, by bisection over the bits of the doubles.
double first_of(const bucket_mapping &mapping, std::int32_t index)
{
    std::uint64_t low = 1;
    std::uint64_t high = 0x7FF0000000000000;
    auto const value = [](std::uint64_t bits) {
        double d;
        std::memcpy(&d, &bits, sizeof d);
        return d;
    };
    while (low < high) {
        std::uint64_t const middle = low + (high - low) / 2;
        if (mapping.index(value(middle)) < index)
            low = middle + 1;
        else
            high = middle;
    }
    return value(low);
}

// ---- mapping ----------------------------------------------------------------------------------------------

// The bound holds for both ends of each `stride`-th bucket, and so for all that is between them.
void expect_buckets_within_bound(std::uint32_t ppm, std::int32_t stride)
{
    bucket_mapping const mapping(ppm);
    for (std::int32_t i = mapping.lowest(); i <= mapping.highest(); i += stride) {
        double const first = first_of(mapping, i);
        double const next = i < mapping.highest() ? first_of(mapping, i + 1) : HUGE_VAL;
        if (next == first)
            continue; // several buckets between two neighbouring subnormals
        double const last = std::nextafter(next, 0);
        ASSERT_EQ(mapping.index(first), i);
        ASSERT_EQ(mapping.index(last), i);
        double const middle = std::min(mapping.representative(i), largest);
        ASSERT_TRUE(is_within(middle, first, ppm / 1e6)) << ppm << " " << i;
        ASSERT_TRUE(is_within(middle, last, ppm / 1e6)) << ppm << " " << i;
    }
}

TEST(QuantileSketchMapping, EveryBucketKeepsThePromise)
{
    for (std::uint32_t ppm : {10000U, 50000U, 123456U, 500000U})
        expect_buckets_within_bound(ppm, 1);
    expect_buckets_within_bound(1000, 23);
    expect_buckets_within_bound(100, 499);
}

TEST(QuantileSketchMapping, NeighboursOfPowersOfTwoAreMonotone)
{
    for (std::uint32_t ppm : {100U, 10000U, 500000U}) {
        bucket_mapping const mapping(ppm);
        for (int e = -1074; e < 1024; ++e) {
            double const x = std::ldexp(1.0, e);
            EXPECT_LE(mapping.index(std::max(std::nextafter(x, 0), smallest)), mapping.index(x));
            EXPECT_LE(mapping.index(x), mapping.index(std::min(std::nextafter(x, HUGE_VAL), largest)));
        }
    }
}

// The cubic costs at most 1 % more buckets than the logarithm: 1 / (ln 2 * 10/7) = 1.0099.
TEST(QuantileSketchMapping, NeedsFewBuckets)
{
    bucket_mapping const mapping(10000);
    double const ideal = std::log(std::ldexp(1.0, 1000)) / std::log(1.01 / 0.99);
    EXPECT_LT(mapping.index(std::ldexp(1.0, 1000)), ideal * 1.01);
    EXPECT_GE(mapping.index(std::ldexp(1.0, 1000)), ideal);
    EXPECT_EQ(mapping.index(1.0), 0);
}

// Stored sketches must mean the same for ever: these numbers may not change.
TEST(QuantileSketchMapping, StaysAsPublished)
{
    bucket_mapping const mapping(10000);
    std::vector<std::int32_t> const got = {mapping.index(1e-3), mapping.index(0.5),  mapping.index(1.5),
                                           mapping.index(60),   mapping.index(3600), mapping.index(1e9)};
    EXPECT_EQ(got, (std::vector<std::int32_t>{-349, -35, 20, 206, 413, 1046}));
}

// ---- accuracy ---------------------------------------------------------------------------------------------

TEST(QuantileSketch, RealRunTimes)
{
    std::ifstream file(TEST_DATA_DIR "/kth_runtimes.csv");
    std::string line;
    std::map<std::string, values> series;
    for (std::getline(file, line); std::getline(file, line);)
        series[line.substr(0, line.find(','))].push_back(std::stod(line.substr(line.find(',') + 1)));
    ASSERT_GE(series.size(), 4U);
    for (const auto &[name, v] : series)
        for (double accuracy : {0.001, 0.01, 0.05})
            expect_within_bound(v, with(accuracy, 65536), name);
}

TEST(QuantileSketch, ExtremeDistributions)
{
    std::mt19937_64 random(1);
    std::uniform_real_distribution<double> uniform(0, 1);
    values log_uniform, everywhere, subnormal, alternating, clusters;
    for (int i = 0; i < 1000000; ++i)
        log_uniform.push_back(std::pow(10, 12 * uniform(random) - 6));
    for (int i = 0; i < 20000; ++i) {
        everywhere.push_back(std::pow(10, 600 * uniform(random) - 300));
        subnormal.push_back(smallest * std::ceil(1e6 * uniform(random)));
        alternating.push_back((i % 2 == 0 ? 1 : -1) * std::exp(20 * uniform(random) - 10));
        clusters.push_back(uniform(random) < 0.5 ? 1e-300 * (1 + uniform(random))
                                                 : 1e300 * (1 + uniform(random)));
    }
    expect_within_bound(log_uniform, {}, "log-uniform");
    expect_within_bound(everywhere, with(0.01, 65536), "1e-300 to 1e300");
    expect_within_bound(subnormal, {}, "subnormal");
    expect_within_bound(alternating, {}, "alternating signs");
    expect_within_bound(clusters, {}, "two far clusters"); // distance costs no buckets
    expect_within_bound({smallest, largest, -smallest, -largest, 0}, {}, "the ends");
    expect_within_bound(values(5000, 0.1), {}, "all equal");
    expect_within_bound(values(10, 0.0), {}, "all zero");
    expect_within_bound({42.5}, {}, "one value");
}

TEST(QuantileSketch, RankIsAShareWithinTheBound)
{
    std::mt19937_64 random(2);
    std::normal_distribution<double> normal(0, 100);
    values v(5000);
    std::generate(v.begin(), v.end(), [&] { return std::round(normal(random)); });
    bytes const stored = sketch_of(v);
    std::sort(v.begin(), v.end());
    auto const share = [&v](double x) {
        return static_cast<double>(std::upper_bound(v.begin(), v.end(), x) - v.begin()) /
               static_cast<double>(v.size());
    };
    for (double x = -400; x <= 400; x += 0.5) {
        double const rank = view_of(stored).rank(x);
        double const reach = x * (x > 0 ? 1.01 / 0.99 : 0.99 / 1.01);
        EXPECT_GE(rank, share(x));
        EXPECT_LE(rank, share(reach));
    }
    for (double fraction = 0; fraction <= 1; fraction += 0.01)
        EXPECT_GE(view_of(stored).rank(view_of(stored).quantile(fraction)), fraction - 1e-12);
}

// ---- merging ----------------------------------------------------------------------------------------------

// Splits the values at random, then merges pairs at random, half of them in serialized form.
bytes by_random_tree(values v, sketch_options options, std::mt19937_64 &random)
{
    std::shuffle(v.begin(), v.end(), random);
    std::vector<sketch_builder> forest;
    for (std::size_t at = 0; at < v.size();) {
        forest.emplace_back(options);
        std::size_t const end = std::min(v.size(), at + 1 + random() % 200);
        for (; at < end; ++at)
            forest.back().add(v[at]);
    }
    while (forest.size() > 1) {
        std::swap(forest[random() % forest.size()], forest.back());
        sketch_builder const taken = std::move(forest.back());
        forest.pop_back();
        sketch_builder &target = forest[random() % forest.size()];
        if (random() % 2 == 0) {
            target.merge(taken);
        } else {
            bytes const stored = taken.serialize();
            target.merge(view_of(stored));
        }
    }
    return forest.front().serialize();
}

// The buckets of positive values as a map has them, the smallest beyond the limit collapsed into the first kept.
static std::map<std::int32_t, std::uint64_t> buckets_of(const std::vector<double> &values,
                                                        const sketch_options &options)
{
    bucket_mapping const mapping(options.accuracy_ppm);
    std::map<std::int32_t, std::uint64_t> buckets;
    for (double const value : values)
        ++buckets[mapping.index(value)];
    while (buckets.size() > options.max_buckets) {
        auto const count = buckets.begin()->second;
        buckets.erase(buckets.begin());
        buckets.begin()->second += count;
    }
    return buckets;
}

// Narrow and wide, so that all, some or hardly any of the buckets lie in the store's window, and with few and many buckets,
// so that they do and do not collapse; added and merged.
TEST(QuantileSketch, BucketsAreThoseOfAMap)
{
    std::mt19937_64 random(7);
    for (std::uint32_t const limit : {16U, 64U, 2048U})
        for (double const width : {0.1, 1.0, 10.0, 100.0, 600.0})
            for (int round = 0; round < 4; ++round) {
                sketch_options options;
                options.max_buckets = limit;
                std::uniform_real_distribution<double> exponent(-width, width);
                std::vector<double> values(3000);
                for (double &value : values)
                    value = std::exp(exponent(random));
                sketch_builder added(options), merged(options);
                for (std::size_t i = 0; i < values.size(); i += 100) {
                    sketch_builder part(options);
                    part.add(&values[i], 100);
                    added.add(&values[i], 100);
                    bytes const stored = part.serialize();
                    merged.merge(view_of(stored));
                }
                bytes const stored = added.serialize();
                ASSERT_EQ(merged.serialize(), stored);
                std::map<std::int32_t, std::uint64_t> found;
                visit_buckets(view_of(stored).positive(), [&](std::int32_t index, std::uint64_t count) {
                    found[index] = count;
                    return true;
                });
                ASSERT_EQ(found, buckets_of(values, options)) << limit << ", " << width;
            }
}

TEST(QuantileSketch, MergingInAnyOrderGivesTheSameBytes)
{
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> uniform(-1, 1);
    values v;
    for (int i = 0; i < 4000; ++i)
        v.push_back(std::floor(1e6 * uniform(random)) * std::pow(10, std::floor(8 * uniform(random))));
    v.insert(v.end(), {1e300, -1e300, smallest, 0, 0});
    for (int max_buckets : {16, 17, 100, 2048}) { // all but the last collapse
        sketch_options const options = with(0.01, max_buckets);
        bytes const whole = sketch_of(v, options);
        EXPECT_EQ(view_of(whole).is_collapsed(), max_buckets < 2048);
        for (int tree = 0; tree < 30; ++tree)
            ASSERT_EQ(by_random_tree(v, options, random), whole) << max_buckets << " tree " << tree;
    }
}

// What is said of a collapsed sketch: the max_buckets largest magnitudes of each sign keep the promise.
TEST(QuantileSketch, CollapseSparesTheLargestBuckets)
{
    values v;
    for (int i = 1; i <= 20000; ++i)
        v.push_back(std::pow(1.003, i % 5000));
    std::mt19937_64 random(4);
    std::shuffle(v.begin(), v.end(), random);
    sketch_options const options = with(0.01, 64);
    bytes const stored = sketch_of(v, options);
    sketch_view const view = view_of(stored);
    ASSERT_TRUE(view.is_collapsed());
    EXPECT_EQ(view.positive().size, 64U);
    bucket_mapping const mapping(options.accuracy_ppm);
    std::set<std::int32_t> used;
    for (double x : v)
        used.insert(mapping.index(x));
    EXPECT_EQ(view.positive().first_index, *std::prev(used.end(), 64));
    std::sort(v.begin(), v.end());
    int kept = 0;
    for (int i = 0; i <= 1000; ++i) {
        double const exact = v[static_cast<std::size_t>(i / 1000.0 * static_cast<double>(v.size() - 1))];
        if (mapping.index(exact) <= view.positive().first_index)
            continue;
        EXPECT_TRUE(is_within(view.quantile(i / 1000.0), exact, 0.01));
        ++kept;
    }
    EXPECT_GT(kept, 80);
}

TEST(QuantileSketch, SketchesOfDifferentAccuracyDoNotMerge)
{
    sketch_builder fine(with(0.001, 2048));
    fine.add(1);
    sketch_builder wide(with(0.01, 4096));
    wide.add(1);
    for (const sketch_builder *other : {&fine, &wide}) {
        sketch_builder builder;
        try {
            builder.merge(*other);
            FAIL();
        } catch (const error &e) {
            EXPECT_EQ(e.code(), errc::invalid_argument);
            EXPECT_FALSE(e.detail().empty() || e.hint().empty());
        }
    }
}

TEST(QuantileSketch, CountHasALimit)
{
    bytes stored = sketch_of({1, 2});
    bool refused = false;
    for (int doubling = 0; doubling < 63 && !refused; ++doubling)
        try {
            sketch_builder builder;
            builder.merge(view_of(stored));
            builder.merge(view_of(stored));
            stored = builder.serialize();
        } catch (const error &e) {
            EXPECT_EQ(e.code(), errc::out_of_range);
            refused = true;
        }
    EXPECT_TRUE(refused);
    EXPECT_EQ(view_of(stored).count(), std::uint64_t{1} << 62);
}

TEST(QuantileSketch, RefusesWhatIsNotFinite)
{
    sketch_builder builder;
    for (double x : {std::nan(""), HUGE_VAL, -HUGE_VAL})
        EXPECT_THROW(builder.add(x), error);
    EXPECT_THROW(builder.add_decimal(("1" + std::string(309, '0')).c_str()), error);
    EXPECT_EQ(builder.count(), 0U);
    EXPECT_THROW(sketch_options::make(std::nan(""), 2048), error);
    EXPECT_THROW(sketch_options::make(0.00009, 2048), error);
    EXPECT_THROW(sketch_options::make(0.01, 15), error);
    EXPECT_EQ(sketch_options::make(0.29, 2048).accuracy_ppm, 290000U);
}

// ---- sum --------------------------------------------------------------------------------------------------

TEST(QuantileSketchSum, DecimalsAddUpExactly)
{
    exact_sum tenths;
    for (int i = 0; i < 1000000; ++i)
        tenths.add(0.1);
    EXPECT_EQ(tenths.to_text(), "100000");
    exact_sum large;
    for (double x : {1e300, 0.25, -1e300, 9e15, -9e15, 1e-9, 4e-10, 5e-10})
        large.add(x);
    EXPECT_EQ(large.to_text(), "0.250000002");
    exact_sum text;
    for (const char *x : {"123456789012345678901234567890.123456789", "-0.0000000005", "-0.00000000049", "7"})
        EXPECT_TRUE(text.add_decimal(x));
    EXPECT_EQ(text.to_text(), "123456789012345678901234567897.123456788");
    for (const char *x : {"", "-", ".5", "1.", "1e5", "0x1", "1.5.2", " 1"})
        EXPECT_FALSE(text.add_decimal(x)) << x;
}

TEST(QuantileSketchSum, DoesNotDependOnOrder)
{
    std::mt19937_64 random(5);
    std::vector<double> v;
    for (int i = 0; i < 2000; ++i)
        v.push_back(std::ldexp(static_cast<double>(random()) - 9e18, static_cast<int>(random() % 900) - 200));
    v.insert(v.end(), 20, largest);
    std::string first;
    for (int round = 0; round < 5; ++round) {
        exact_sum parts[3];
        for (double x : v)
            parts[random() % 3].add(x);
        parts[0].add(parts[1]);
        parts[0].add(parts[2]);
        auto const m = parts[0].to_magnitude();
        exact_sum read;
        read.add_magnitude(m.negative, m.bytes.data(), m.size);
        EXPECT_EQ(read.to_text(), parts[0].to_text());
        first = round == 0 ? read.to_text() : first;
        EXPECT_EQ(read.to_text(), first);
        std::shuffle(v.begin(), v.end(), random);
    }
}

TEST(QuantileSketch, ManyAtATimeAreTheSame)
{
    std::mt19937_64 random(9);
    values v = {0.0,     -0.0,    smallest, -smallest, largest, -largest,
                0x1p-31, 0x1p-32, 0x1p33,   -0x1p34,   5e-10,   4.9e-10};
    for (int i = 0; i < 1000; ++i)
        v.push_back(
            std::ldexp(static_cast<double>(random()) - 0x1p63, static_cast<int>(random() % 1000) - 600));
    std::shuffle(v.begin(), v.end(), random);
    for (std::size_t batch : {1U, 2U, 31U, 1012U}) {
        sketch_builder builder;
        for (std::size_t i = 0; i < v.size(); i += batch)
            builder.add(v.data() + i, std::min(batch, v.size() - i));
        builder.add(v.data(), 0);
        EXPECT_EQ(builder.serialize(), sketch_of(v)) << batch;
    }
    values const zeros = {-0.0, -0.0};
    EXPECT_FALSE(std::signbit(view_of(sketch_of(zeros)).min()));
    v.push_back(largest * 2);
    sketch_builder builder;
    EXPECT_THROW(builder.add(v.data(), v.size()), error);
}

TEST(QuantileSketch, InterpolatesBetweenRanks)
{
    bytes const four = sketch_of({1, 2, 3, 4}, with(0.0001, 2048));
    EXPECT_EQ(view_of(four).interpolated_quantile(0), 1);
    EXPECT_EQ(view_of(four).interpolated_quantile(1), 4);
    EXPECT_NEAR(view_of(four).interpolated_quantile(0.5), 2.5, 2.5e-4);
    EXPECT_NEAR(view_of(four).interpolated_quantile(0.9), 3.7, 3.7e-4);
    EXPECT_EQ(view_of(sketch_of({7.5})).interpolated_quantile(0.3), 7.5);
    EXPECT_EQ(view_of(sketch_of({-largest, largest})).interpolated_quantile(0.5), 0);
    EXPECT_THROW(view_of(four).interpolated_quantile(1.01), error);
    EXPECT_THROW(view_of(four).interpolated_quantile(std::nan("")), error);
}

TEST(QuantileSketch, UnitsAreNanoseconds)
{
    std::vector<std::int64_t> const ns = {1500000000, 1, 0, 86400000000000, INT64_MAX, -2500000000};
    sketch_builder builder;
    builder.add_units(ns.data(), ns.size());
    bytes const stored = builder.serialize();
    EXPECT_EQ(view_of(stored).sum().to_text(), "9223458435.854775808");
    EXPECT_EQ(view_of(stored).min(), -2.5);
    EXPECT_EQ(view_of(stored).max(), 9223372036.854775807);
    sketch_builder decimals;
    for (const char *x : {"1.5", "0.000000001", "0", "86400", "9223372036.854775807", "-2.5"})
        decimals.add_decimal(x);
    EXPECT_EQ(decimals.serialize(), stored);
}

// ---- stored form ------------------------------------------------------------------------------------------

// Version 1 byte by byte, as the format's description says; it must be readable for ever.
TEST(QuantileSketchFormat, IsVersionOne)
{
    bytes const stored = sketch_of({-2, 0, 0.5, 1, 1, 1, 1, 1});
    // clang-format off
    std::vector<unsigned char> const expected = {
        1, 0,                           // version, flags
        0x90, 0x4E, 0x80, 0x10,         // 10000 millionths, 2048 buckets
        0, 0, 0, 0, 0, 0, 0x00, 0xC0,   // min -2
        0, 0, 0, 0, 0, 0, 0xF0, 0x3F,   // max 1
        4 * 2, 0x00, 0xC3, 0x9D, 0xD0,  // sum 3,500,000,000 units
        1,                              // zeros
        2, 69, 0, 0x8B, 0x01, 1,        // -35 once; 35 further on, 4 + 1 times
        1, 68, 0,                       // 34 once
    };
    // clang-format on
    EXPECT_TRUE(is_same(stored, expected.data(), expected.size()));
    EXPECT_EQ(sketch_to_text(view_of(stored)),
              R"({"accuracy": 0.01, "max_buckets": 2048, "count": 8, "sum": 3.5, "min": -2, "max": 1, )"
              R"("negative": {"34": 1}, "zeros": 1, "positive": {"-35": 1, "0": 5}, "collapsed": "none"})");
}

TEST(QuantileSketchFormat, IsSmall)
{
    std::mt19937_64 random(6);
    std::lognormal_distribution<double> runtime(3, 1);
    for (std::size_t runs : {20U, 100U, 300U}) {
        sketch_builder builder;
        for (std::size_t i = 0; i < runs; ++i)
            builder.add_units(static_cast<std::int64_t>(1000 * runtime(random)) * 1000000);
        EXPECT_LT(builder.serialize().size(), 40 + runs / 2 + 30) << runs;
        EXPECT_LT(builder.serialize().size(), 220U);
    }
}

std::vector<bytes> samples()
{
    std::vector<bytes> all = {sketch_of({1}), sketch_of({-1, 0, 1}),
                              sketch_of({1e300, smallest, -5}, with(0.5, 16))};
    values v;
    for (int i = 0; i < 3000; ++i)
        v.push_back((i % 3 - 1) * std::pow(1.01, i % 700));
    all.push_back(sketch_of(v));
    all.push_back(sketch_of(v, with(0.001, 32)));
    return all;
}

TEST(QuantileSketchFormat, EveryTruncationIsAnError)
{
    for (const bytes &stored : samples()) {
        EXPECT_TRUE(check_quantile_sketch(stored.data(), stored.size()));
        for (std::size_t size = 0; size < stored.size(); ++size) {
            bytes const cut(stored.begin(), stored.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_THROW(view_of(cut), error);
        }
        bytes longer = stored;
        longer.push_back(0);
        EXPECT_THROW(view_of(longer), error);
    }
}

// The fuzz target on mutations of real sketches, stored and as text.
TEST(QuantileSketchFormat, DamageIsAnErrorOrAnotherSketch)
{
    std::mt19937_64 random(7);
    int accepted = 0;
    for (const bytes &stored : samples()) {
        std::string const text = sketch_to_text(view_of(stored));
        for (const bytes &original : {stored, bytes(text.begin(), text.end())})
            for (int round = 0; round < 1500; ++round) {
                bytes damaged = original;
                for (auto changes = 1 + random() % 4; changes > 0; --changes)
                    damaged[random() % damaged.size()] ^= static_cast<unsigned char>(1U << random() % 8);
                if (random() % 4 == 0)
                    damaged.erase(damaged.begin() + static_cast<std::ptrdiff_t>(random() % damaged.size()));
                accepted += check_quantile_sketch(damaged.data(), damaged.size()) ? 1 : 0;
            }
    }
    EXPECT_GT(accepted, 10); // counts and sums may change and still make sense
}

} // namespace
