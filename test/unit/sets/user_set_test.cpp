// The Roaring format and the algebra of sets, against CRoaring and against std::set.

#include "core/sets/user_set.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <random>
#include <roaring/roaring.h>
#include <string>

namespace
{

using shadow::errc;
using shadow::user_set_view;
using shadow::roaring::writer;
using values = std::vector<std::uint32_t>;
using bytes = std::vector<std::uint8_t>;

std::pmr::memory_resource *memory()
{
    return std::pmr::new_delete_resource();
}

bytes stored(const writer &set)
{
    bytes out(shadow::stored_size(set));
    shadow::write_stored(set, out.data());
    return out;
}

user_set_view view(const bytes &stored)
{
    return user_set_view::stored(stored.data(), stored.size());
}

bytes portable(const bytes &stored)
{
    return {stored.begin() + 1, stored.end()};
}

bytes encode(const values &sorted)
{
    writer out(memory());
    shadow::write_sorted_values(sorted.data(), sorted.size(), out);
    return stored(out);
}

bytes decode(const bytes &portable)
{
    writer out(memory());
    shadow::decode_portable(portable.data(), portable.size(), out);
    return stored(out);
}

bytes parse(std::string_view text)
{
    writer out(memory());
    shadow::parse_user_set(text, out);
    return stored(out);
}

std::string text(const bytes &set)
{
    std::string out(shadow::text_size(view(set)), '?');
    EXPECT_EQ(shadow::write_text(view(set), out.data()), out.data() + out.size());
    return out;
}

values elements(const bytes &set)
{
    values out;
    view(set).for_each([&out](std::uint32_t v) { out.push_back(v); });
    return out;
}

template <typename Operation>
bytes apply(Operation operation, const bytes &a, const bytes &b)
{
    writer out(memory());
    operation(view(a), view(b), out, nullptr);
    return stored(out);
}

values distinct(values v)
{
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
    return v;
}

values range(std::uint32_t first, std::uint32_t last)
{
    values out;
    for (std::uint64_t v = first; v <= last; ++v)
        out.push_back(static_cast<std::uint32_t>(v));
    return out;
}

values random_values(std::mt19937 &random, std::size_t count, std::uint32_t limit)
{
    std::uniform_int_distribution<std::uint32_t> draw(0, limit);
    values out(count);
    std::generate(out.begin(), out.end(), [&] { return draw(random); });
    return distinct(out);
}

values random_runs(std::mt19937 &random, int count, std::uint32_t limit, std::uint32_t length)
{
    std::uniform_int_distribution<std::uint32_t> draw(0, limit);
    values out;
    for (int i = 0; i < count; ++i) {
        std::uint32_t const first = draw(random);
        values const one = range(first, first + draw(random) % length);
        out.insert(out.end(), one.begin(), one.end());
    }
    return distinct(out);
}

// Every kind of container, alone and mixed, and every boundary.
const std::map<std::string, values> &samples()
{
    static const std::map<std::string, values> all = [] {
        std::mt19937 random(20150101);
        std::map<std::string, values> s;
        s["empty"] = {};
        s["zero"] = {0};
        s["largest"] = {0xffffffff};
        s["ends"] = {0, 0xffffffff};
        s["chunk boundary"] = {65534, 65535, 65536, 65537};
        s["three in a row"] = {7, 8, 9};
        s["array of 4096"] = random_values(random, 4096, 60000);
        s["array full"] = [] {
            values v;
            for (std::uint32_t i = 0; i < 4096; ++i)
                v.push_back(3 * i);
            return v;
        }();
        s["one more than an array"] = [] {
            values v;
            for (std::uint32_t i = 0; i < 4097; ++i)
                v.push_back(3 * i);
            return v;
        }();
        s["full chunk"] = range(65536, 131071);
        s["full chunk but one"] = range(65536, 131070);
        s["every second"] = [] {
            values v;
            for (std::uint32_t i = 0; i < 200000; i += 2)
                v.push_back(i);
            return v;
        }();
        s["range over chunks"] = range(60000, 300000);
        s["sparse"] = random_values(random, 3000, 0xffffffff);
        s["dense"] = random_values(random, 150000, 400000);
        s["middling"] = random_values(random, 20000, 1000000);
        s["runs"] = random_runs(random, 300, 500000, 900);
        s["few runs"] = random_runs(random, 3, 100000, 5000);
        values mixed = s["runs"];
        for (const char *part : {"sparse", "dense", "full chunk"})
            mixed.insert(mixed.end(), s[part].begin(), s[part].end());
        s["mixed"] = distinct(mixed);
        return s;
    }();
    return all;
}

struct croaring {
    explicit croaring(const values &v) : r(roaring_bitmap_of_ptr(v.size(), v.data())) {}
    explicit croaring(const bytes &b)
        : r(roaring_bitmap_portable_deserialize_safe(reinterpret_cast<const char *>(b.data()), b.size()))
    {
    }
    ~croaring() { roaring_bitmap_free(r); }
    croaring(const croaring &) = delete;
    croaring &operator=(const croaring &) = delete;
    bytes portable() const
    {
        bytes out(roaring_bitmap_portable_size_in_bytes(r));
        roaring_bitmap_portable_serialize(r, reinterpret_cast<char *>(out.data()));
        return out;
    }
    values elements() const
    {
        values out(roaring_bitmap_get_cardinality(r));
        roaring_bitmap_to_uint32_array(r, out.data());
        return out;
    }
    roaring_bitmap_t *r;
};

template <typename Body>
errc code_of(Body body)
{
    try {
        body();
    } catch (const shadow::error &e) {
        EXPECT_FALSE(e.detail().empty()) << e.what();
        EXPECT_FALSE(e.hint().empty()) << e.what();
        return e.code();
    }
    ADD_FAILURE() << "no error";
    return errc::invalid_argument;
}

TEST(UserSetFormat, HoldsWhatWasPutIn)
{
    for (const auto &[name, v] : samples()) {
        bytes const set = encode(v);
        EXPECT_EQ(elements(set), v) << name;
        EXPECT_EQ(view(set).cardinality(), v.size()) << name;
        EXPECT_EQ(view(set).empty(), v.empty()) << name;
        if (!v.empty()) {
            EXPECT_EQ(view(set).min(), v.front()) << name;
            EXPECT_EQ(view(set).max(), v.back()) << name;
        }
    }
}

// The bytes of roaring_bitmap_of + run_optimize: same cookie, kinds, offsets.
TEST(UserSetFormat, EqualsCRoaringByteForByte)
{
    for (const auto &[name, v] : samples()) {
        croaring theirs(v);
        roaring_bitmap_run_optimize(theirs.r);
        EXPECT_EQ(portable(encode(v)), theirs.portable()) << name;
    }
}

TEST(UserSetFormat, CRoaringReadsOurs)
{
    for (const auto &[name, v] : samples()) {
        croaring const theirs(portable(encode(v)));
        ASSERT_NE(theirs.r, nullptr) << name;
        EXPECT_EQ(theirs.elements(), v) << name;
    }
}

// Without run_optimize, and with runs everywhere: other bytes, the same set, hence our canonical bytes.
TEST(UserSetFormat, ReadsCRoaringAndMakesItCanonical)
{
    for (const auto &[name, v] : samples()) {
        bytes const ours = encode(v);
        croaring plain(v);
        roaring_bitmap_remove_run_compression(plain.r);
        EXPECT_EQ(decode(plain.portable()), ours) << name;
        croaring by_range({values{}});
        for (std::size_t i = 0; i < v.size();) {
            std::size_t j = i;
            while (j + 1 < v.size() && v[j + 1] == v[j] + 1)
                ++j;
            roaring_bitmap_add_range_closed(by_range.r, v[i], v[j]);
            i = j + 1;
        }
        EXPECT_EQ(decode(by_range.portable()), ours) << name;
    }
}

// A list of runs where an array is smaller, runs that touch, a run cookie without runs: all legal, none canonical.
TEST(UserSetFormat, AcceptsWhatIsOnlyNotCanonical)
{
    bytes const touching = {0x3b, 0x30, 0, 0, 1, 0, 0, 3, 0, 2,
                            0,    1,    0, 1, 0, 3, 0, 1, 0}; // runs 1-2 and 3-4
    EXPECT_EQ(elements(decode(touching)), (values{1, 2, 3, 4}));
    EXPECT_EQ(decode(touching), encode({1, 2, 3, 4}));
    // CRoaring keeps two runs of two elements each as runs, here an array is smaller.
    bytes const pairs = {0x3b, 0x30, 0, 0, 1, 0, 0, 3, 0, 2, 0, 1, 0, 1, 0, 5, 0, 1, 0};
    EXPECT_EQ(decode(pairs), encode({1, 2, 5, 6}));
    EXPECT_EQ(decode(pairs).size(), 1 + 16 + 2 * 4U);
    bytes const single = {0x3b, 0x30, 0, 0, 1, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0};
    EXPECT_EQ(decode(single), encode({9}));
    bytes const flagless = {0x3b, 0x30, 0, 0, 0, 0, 0, 0, 0, 9, 0};
    EXPECT_EQ(decode(flagless), encode({9}));
}

TEST(UserSetFormat, TheEmptySetIsEightBytesAndAVersion)
{
    EXPECT_EQ(encode({}), (bytes{1, 0x3a, 0x30, 0, 0, 0, 0, 0, 0}));
}

TEST(UserSetFormat, FullSetIsSmall)
{
    bytes const all = parse("{0-4294967295}");
    EXPECT_EQ(view(all).cardinality(), std::uint64_t{1} << 32);
    EXPECT_LT(all.size(), 1000000U);
    EXPECT_TRUE(view(all).contains(0xffffffff));
    EXPECT_EQ(text(all), "{0-4294967295}");
}

// Every prefix is refused, every changed byte is refused or gives another set, and nothing reads outside.
TEST(UserSetDamage, TruncationIsAnError)
{
    for (const auto &[name, v] : samples()) {
        bytes const whole = portable(encode(v));
        std::size_t const step = std::max<std::size_t>(1, whole.size() / 100);
        for (std::size_t n = 0; n < whole.size(); n += step)
            EXPECT_EQ(code_of([&] { decode(bytes(whole.begin(), whole.begin() + static_cast<long>(n))); }),
                      errc::corrupt_data)
                << name << " cut to " << n;
        bytes longer = whole;
        longer.push_back(0);
        EXPECT_EQ(code_of([&] { decode(longer); }), errc::corrupt_data) << name;
    }
}

TEST(UserSetDamage, ChangedBytesNeverReadOutside)
{
    std::mt19937 random(7);
    for (const auto &[name, v] : samples()) {
        bytes const good = encode(v);
        for (int round = 0; round < 100; ++round) {
            bytes bad = good;
            for (int i = 0; i < 3; ++i)
                bad[random() % std::min<std::size_t>(bad.size(), 64)] = static_cast<std::uint8_t>(random());
            try {
                bytes const other = decode(portable(bad));
                EXPECT_EQ(decode(portable(other)), other) << name;
            } catch (const shadow::error &e) {
                EXPECT_EQ(e.code(), errc::corrupt_data) << name;
            }
            try {
                (void)text(bad); // structure only
                (void)shadow::compare(view(bad), view(good));
                (void)apply(shadow::unite, bad, good);
                (void)apply(shadow::subtract, bad, good);
            } catch (const shadow::error &e) {
                EXPECT_EQ(e.code(), errc::corrupt_data) << name;
            }
        }
    }
}

TEST(UserSetDamage, EachKindIsNamed)
{
    std::map<std::string, bytes> const bad = {
        {"no cookie", {1, 2, 3, 4, 0, 0, 0, 0}},
        {"too many containers", {0x3a, 0x30, 0, 0, 1, 0, 1, 0}},
        {"keys descend",
         {0x3a, 0x30, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 26, 0, 0, 0, 1, 0, 1, 0}},
        {"wrong offset", {0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 1, 0}},
        {"array descends", {0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 2, 0, 1, 0}},
        {"array repeats", {0x3a, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 2, 0, 2, 0}},
        {"no runs", {0x3b, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0}},
        {"runs overlap", {0x3b, 0x30, 0, 0, 1, 0, 0, 4, 0, 2, 0, 1, 0, 2, 0, 3, 0, 1, 0}},
        {"run leaves the chunk", {0x3b, 0x30, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0xff, 0xff, 1, 0}},
        {"wrong number in runs", {0x3b, 0x30, 0, 0, 1, 0, 0, 5, 0, 1, 0, 1, 0, 1, 0}},
    };
    for (const auto &[name, b] : bad)
        EXPECT_EQ(code_of([&b = b] { decode(b); }), errc::corrupt_data) << name;
    bytes bits = portable(encode(samples().at("one more than an array")));
    bits.back() ^= 1;
    EXPECT_EQ(code_of([&] { decode(bits); }), errc::corrupt_data);
    bytes newer = encode({1});
    newer[0] = 2;
    EXPECT_EQ(code_of([&] { view(newer); }), errc::corrupt_data);
    EXPECT_EQ(code_of([&] { view({}); }), errc::corrupt_data);
}

TEST(UserSetReading, MembershipCursorAndRangesAgree)
{
    for (const auto &[name, v] : samples()) {
        bytes const set = encode(v);
        user_set_view const opened = view(set);
        for (std::size_t i = 0; i < v.size(); i += 1 + v.size() / 5000)
            for (std::uint32_t near : {v[i] - 1, v[i], v[i] + 1})
                ASSERT_EQ(opened.contains(near), std::binary_search(v.begin(), v.end(), near))
                    << name << ' ' << near;
        values walked;
        shadow::user_set_cursor cursor(view(set));
        for (std::uint32_t element = 0; cursor.next(element);)
            walked.push_back(element);
        EXPECT_EQ(walked, v) << name;
        values expanded;
        std::uint64_t end_of_previous = 0;
        view(set).for_each_range([&, &name = name](std::uint32_t first, std::uint32_t last) {
            EXPECT_TRUE(expanded.empty() || first > end_of_previous + 1) << name << ": ranges touch";
            end_of_previous = last;
            for (std::uint64_t e = first; e <= last; ++e)
                expanded.push_back(static_cast<std::uint32_t>(e));
        });
        EXPECT_EQ(expanded, v) << name;
    }
}

TEST(UserSetAlgebra, AgreesWithStdAndCRoaringOnEveryPair)
{
    for (const auto &[name_a, va] : samples()) {
        for (const auto &[name_b, vb] : samples()) {
            SCOPED_TRACE(name_a + " / " + name_b);
            bytes const a = encode(va);
            bytes const b = encode(vb);
            values both;
            std::set_intersection(va.begin(), va.end(), vb.begin(), vb.end(), std::back_inserter(both));
            values either;
            std::set_union(va.begin(), va.end(), vb.begin(), vb.end(), std::back_inserter(either));
            values left;
            std::set_difference(va.begin(), va.end(), vb.begin(), vb.end(), std::back_inserter(left));
            values one;
            std::set_symmetric_difference(va.begin(), va.end(), vb.begin(), vb.end(),
                                          std::back_inserter(one));
            EXPECT_EQ(apply(shadow::intersect, a, b), encode(both));
            EXPECT_EQ(apply(shadow::unite, a, b), encode(either));
            EXPECT_EQ(apply(shadow::subtract, a, b), encode(left));
            EXPECT_EQ(apply(shadow::symmetric_difference, a, b), encode(one));
            EXPECT_EQ(shadow::intersection_cardinality(view(a), view(b)), both.size());
            EXPECT_EQ(shadow::overlaps(view(a), view(b)), !both.empty());
            EXPECT_EQ(shadow::includes(view(a), view(b)), both.size() == vb.size());
            int const order = shadow::compare(view(a), view(b));
            EXPECT_EQ(order < 0, va < vb);
            EXPECT_EQ(order == 0, va == vb);
            croaring ra(va);
            croaring const rb(vb);
            roaring_bitmap_or_inplace(ra.r, rb.r);
            EXPECT_EQ(decode(ra.portable()), encode(either));
        }
    }
}

TEST(UserSetAlgebra, Laws)
{
    std::mt19937 random(42);
    for (int round = 0; round < 60; ++round) {
        std::uint32_t const limit = round % 3 == 0 ? 0xffffffff : 300000;
        auto const draw = [&] {
            return encode(random() % 2 == 0 ? random_values(random, random() % 9000, limit)
                                            : random_runs(random, 40, 300000, 2000));
        };
        bytes const a = draw();
        bytes const b = draw();
        bytes const c = draw();
        auto const unite = [](const bytes &x, const bytes &y) { return apply(shadow::unite, x, y); };
        auto const meet = [](const bytes &x, const bytes &y) { return apply(shadow::intersect, x, y); };
        auto const minus = [](const bytes &x, const bytes &y) { return apply(shadow::subtract, x, y); };
        auto const flip = [](const bytes &x, const bytes &y) {
            return apply(shadow::symmetric_difference, x, y);
        };
        EXPECT_EQ(unite(a, b), unite(b, a));
        EXPECT_EQ(meet(a, b), meet(b, a));
        EXPECT_EQ(unite(unite(a, b), c), unite(a, unite(b, c)));
        EXPECT_EQ(meet(meet(a, b), c), meet(a, meet(b, c)));
        EXPECT_EQ(meet(a, unite(b, c)), unite(meet(a, b), meet(a, c)));
        EXPECT_EQ(unite(a, meet(a, b)), a);
        EXPECT_EQ(meet(a, unite(a, b)), a);
        EXPECT_EQ(minus(a, unite(b, c)), meet(minus(a, b), minus(a, c))); // De Morgan
        EXPECT_EQ(minus(a, meet(b, c)), unite(minus(a, b), minus(a, c)));
        EXPECT_EQ(flip(a, b), unite(minus(a, b), minus(b, a)));
        EXPECT_EQ(flip(flip(a, b), b), a);
        EXPECT_EQ(unite(minus(a, b), meet(a, b)), a);
        EXPECT_EQ(minus(a, a), encode({}));
        EXPECT_EQ(unite(a, a), a);
    }
}

TEST(UserSetAlgebra, UnionOfMany)
{
    std::vector<bytes> sets;
    values all;
    for (const auto &sample : samples()) {
        sets.push_back(encode(sample.second));
        all.insert(all.end(), sample.second.begin(), sample.second.end());
    }
    all = distinct(all);
    std::vector<user_set_view> views;
    shadow::user_set_builder builder(memory());
    for (const bytes &set : sets) {
        views.push_back(view(set));
        builder.add(view(set));
    }
    EXPECT_EQ(shadow::union_cardinality(views.data(), views.size(), memory()), all.size());
    EXPECT_EQ(shadow::union_cardinality(nullptr, 0, memory()), 0U);
    writer built(memory());
    builder.write(built);
    EXPECT_EQ(stored(built), encode(all));
}

TEST(UserSetBuilder, AnyOrderGivesTheSameBytes)
{
    std::mt19937 random(3);
    for (const auto &[name, v] : samples()) {
        bytes const expected = encode(v);
        values shuffled = v;
        shuffled.insert(shuffled.end(), v.begin(), v.begin() + static_cast<long>(v.size() / 3)); // repeats
        std::shuffle(shuffled.begin(), shuffled.end(), random);
        for (const values &order : {v, values(v.rbegin(), v.rend()), shuffled}) {
            shadow::user_set_builder builder(memory());
            for (std::uint32_t e : order)
                builder.add(e);
            writer out(memory());
            builder.write(out);
            EXPECT_EQ(stored(out), expected) << name;
        }
    }
}

TEST(UserSetBuilder, SpreadOverAllChunks)
{
    std::mt19937 random(5);
    values v(300000);
    std::generate(v.begin(), v.end(), [&] { return static_cast<std::uint32_t>(random()); });
    shadow::user_set_builder builder(memory());
    for (std::uint32_t e : v)
        builder.add(e);
    writer out(memory());
    builder.write(out);
    EXPECT_EQ(stored(out), encode(distinct(v)));
}

TEST(UserSetBuilder, PartsMakeTheWhole)
{
    std::mt19937 random(11);
    for (const auto &[name, v] : samples()) {
        shadow::user_set_builder parts[2] = {shadow::user_set_builder(memory()),
                                             shadow::user_set_builder(memory())};
        for (std::uint32_t e : v)
            parts[random() % 2].add(e);
        parts[0].add(parts[1]);
        for (std::uint32_t e : v) // still usable afterwards
            parts[0].add(e);
        writer out(memory());
        parts[0].write(out);
        EXPECT_EQ(stored(out), encode(v)) << name;
    }
}

TEST(UserSetBuilder, MixesElementsAndSets)
{
    for (const auto &[name_a, a] : samples())
        for (const auto &[name_b, b] : samples()) {
            shadow::user_set_builder builder(memory());
            builder.add(view(encode(a)));
            for (std::uint32_t e : b)
                builder.add(e);
            builder.add(view(encode(a)));
            values both = a;
            both.insert(both.end(), b.begin(), b.end());
            writer out(memory());
            builder.write(out);
            EXPECT_EQ(stored(out), encode(distinct(both))) << name_a << " / " << name_b;
        }
}

TEST(UserSetText, RoundTrip)
{
    for (const auto &[name, v] : samples())
        EXPECT_EQ(parse(text(encode(v))), encode(v)) << name;
    EXPECT_EQ(text(encode({})), "{}");
    EXPECT_EQ(text(encode({1, 2, 5, 6, 7, 8, 9, 4294967295})), "{1,2,5-9,4294967295}");
    EXPECT_EQ(text(encode(range(65530, 65540))), "{65530-65540}");
}

TEST(UserSetText, AnyOrderOverlapAndBlanks)
{
    EXPECT_EQ(parse(" { 9 , 1 - 3,2,3-4 , 9 } "), encode({1, 2, 3, 4, 9}));
    EXPECT_EQ(parse("{5-9,0-4294967295,7}"), parse("{0-4294967295}"));
    EXPECT_EQ(parse("{4294967295,4294967294,0}"), encode({0, 4294967294, 4294967295}));
    EXPECT_EQ(parse("{0001}"), encode({1}));
    EXPECT_EQ(parse("{131072-196607,0-65535,65536-131071}"), parse("{0-196607}"));
}

TEST(UserSetText, Errors)
{
    for (const char *bad : {"", "{", "}", "1", "{1", "{1,}", "{,1}", "{1 2}", "{1-}", "{a}", "{1}x",
                            "{1-2-3}", "{5-3}", "{+1}", "{1.5}", "{{1}}", "{-}"})
        EXPECT_EQ(code_of([bad] { parse(bad); }), errc::invalid_text) << bad;
    for (const char *bad : {"{-1}", "{4294967296}", "{1,99999999999999999999999999}", "{1--3}"})
        EXPECT_EQ(code_of([bad] { parse(bad); }), errc::out_of_range) << bad;
    EXPECT_EQ(code_of([] { shadow::user_set_element(-1); }), errc::out_of_range);
    EXPECT_EQ(code_of([] { shadow::user_set_element(std::int64_t{1} << 32); }), errc::out_of_range);
}

// A fault in memory passes as an exception and leaves nothing behind (run under a leak checker).
class failing_resource final : public std::pmr::memory_resource
{
public:
    explicit failing_resource(int after) : left_(after) {}
    std::size_t in_use = 0;

private:
    void *do_allocate(std::size_t n, std::size_t alignment) override
    {
        if (left_-- == 0)
            throw std::bad_alloc();
        in_use += n;
        return memory()->allocate(n, alignment);
    }
    void do_deallocate(void *p, std::size_t n, std::size_t alignment) override
    {
        in_use -= n;
        memory()->deallocate(p, n, alignment);
    }
    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
        return this == &other;
    }
    int left_;
};

TEST(UserSetMemory, EveryAllocationMayFail)
{
    bytes const mixed = encode(samples().at("mixed"));
    bool finished = false;
    for (int n = 0; !finished; ++n) {
        failing_resource faulty(n);
        try {
            shadow::user_set_builder builder(&faulty);
            for (std::uint32_t e : samples().at("middling"))
                builder.add(e);
            builder.add(view(mixed));
            writer out(&faulty);
            builder.write(out);
            finished = true;
        } catch (const std::bad_alloc &) {
        }
        EXPECT_EQ(faulty.in_use, 0U) << n;
        n += n / 20;
    }
}

TEST(UserSetInterrupt, LoopsAnswer)
{
    auto const stop = [] { return true; };
    bytes const a = parse("{0-4294967295}");
    EXPECT_THROW(apply([&](auto &&x, auto &&y, auto &&out, auto) { shadow::unite(x, y, out, stop); }, a, a),
                 shadow::cancelled);
    EXPECT_THROW(shadow::intersection_cardinality(view(a), view(a), stop), shadow::cancelled);
    EXPECT_THROW(view(a).for_each([](std::uint32_t) {}, stop), shadow::cancelled);
    writer out(memory());
    EXPECT_THROW(shadow::decode_portable(a.data() + 1, a.size() - 1, out, stop), shadow::cancelled);
}

} // namespace
