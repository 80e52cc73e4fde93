// The text form: one JSON object with fixed keys, and nothing lost:
//   {"accuracy": 0.01, "max_buckets": 2048, "count": 3, "sum": 3.5, "min": 0, "max": 2.5,
//    "negative": {}, "zeros": 1, "positive": {"0": 1, "46": 1}, "collapsed": "none"}

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>

#include "core/base/error.hpp"
#include "core/quantiles/quantile_sketch.hpp"

namespace shadow
{

static constexpr std::string_view collapse_names[] = {"none", "positive", "negative", "both"};

// ---- writing ----------------------------------------------------------------------------------------------

template <typename Number>
static void append(std::string &out, Number value)
{
    char buffer[32];
    std::to_chars_result const result = std::to_chars(buffer, buffer + sizeof buffer, value);
    out.append(buffer, result.ptr);
}

static void append_buckets(std::string &out, const bucket_span &span)
{
    out += '{';
    char const *separator = "\"";
    visit_buckets(span, [&](std::int32_t index, std::uint64_t count) {
        out += separator;
        append(out, index);
        out += "\": ";
        append(out, count);
        separator = ", \"";
        return true;
    });
    out += '}';
}

std::string sketch_to_text(const sketch_view &sketch)
{
    std::string out = "{\"accuracy\": ";
    append(out, sketch.options().accuracy());
    out += ", \"max_buckets\": ";
    append(out, sketch.options().max_buckets);
    out += ", \"count\": ";
    append(out, sketch.count());
    out += ", \"sum\": " + sketch.sum().to_text() + ", \"min\": ";
    append(out, sketch.min());
    out += ", \"max\": ";
    append(out, sketch.max());
    out += ", \"negative\": ";
    append_buckets(out, sketch.negative());
    out += ", \"zeros\": ";
    append(out, sketch.zeros());
    out += ", \"positive\": ";
    append_buckets(out, sketch.positive());
    out += ", \"collapsed\": \"";
    out += collapse_names[(sketch.positive().collapsed ? 1 : 0) + (sketch.negative().collapsed ? 2 : 0)];
    return out += "\"}";
}

// ---- reading ----------------------------------------------------------------------------------------------

namespace
{

[[noreturn]] void reject(std::string detail)
{
    throw error(errc::invalid_text, "invalid input syntax for type quantile_sketch", std::move(detail),
                "Use the output of the type, or build sketches with analytics.quantile_sketch_agg().");
}

// Just enough JSON for what the output writes; blanks are free.
class text_parser
{
public:
    explicit text_parser(std::string_view text) noexcept : text_(text) {}

    bool accept(char c) noexcept
    {
        skip_blanks();
        if (at_ == text_.size() || text_[at_] != c)
            return false;
        ++at_;
        return true;
    }
    void expect(char c)
    {
        if (!accept(c))
            fail(std::string("\"") + c + "\"");
    }
    std::string_view string()
    {
        expect('"');
        std::size_t const end = text_.find('"', at_);
        if (end == std::string_view::npos)
            fail("a closing quote after");
        std::string_view const content = text_.substr(at_, end - at_);
        at_ = end + 1;
        return content;
    }
    template <typename Number>
    void number(Number &value)
    {
        skip_blanks();
        char const *const end = text_.data() + text_.size();
        std::from_chars_result const result = std::from_chars(text_.data() + at_, end, value);
        if (result.ec != std::errc{})
            fail("a number in range");
        at_ = static_cast<std::size_t>(result.ptr - text_.data());
    }
    void sum(exact_sum &value)
    {
        skip_blanks();
        std::size_t const end = std::min(text_.find_first_not_of("-.0123456789", at_), text_.size());
        if (!value.add_decimal(text_.substr(at_, end - at_)))
            fail("a decimal number");
        at_ = end;
    }
    void buckets(sketch_buckets &out);
    void collapsed(unsigned &code);
    void end()
    {
        skip_blanks();
        if (at_ != text_.size())
            fail("the end");
    }
    [[noreturn]] void fail(const std::string &expected) const
    {
        reject("Expected " + expected + " at byte " + std::to_string(at_ + 1) + ".");
    }

private:
    void skip_blanks() noexcept { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

    std::string_view text_;
    std::size_t at_ = 0;
};

void text_parser::buckets(sketch_buckets &out)
{
    expect('{');
    if (accept('}'))
        return;
    do {
        sketch_bucket bucket{};
        expect('"');
        number(bucket.index);
        expect('"');
        expect(':');
        number(bucket.count);
        if (bucket.count == 0)
            fail("a positive count before");
        out.push_back(bucket);
    } while (accept(','));
    expect('}');
    auto const before = [](const sketch_bucket &a, const sketch_bucket &b) { return a.index < b.index; };
    auto const not_before = [](const sketch_bucket &a, const sketch_bucket &b) { return a.index >= b.index; };
    std::sort(out.begin(), out.end(), before); // jsonb has an order of its own
    if (std::adjacent_find(out.begin(), out.end(), not_before) != out.end())
        fail("each bucket once before");
}

void text_parser::collapsed(unsigned &code)
{
    auto const *const found = std::find(std::begin(collapse_names), std::end(collapse_names), string());
    if (found == std::end(collapse_names))
        fail("none, positive, negative or both before");
    code = static_cast<unsigned>(found - std::begin(collapse_names));
}

constexpr std::string_view keys[] = {"accuracy", "max_buckets", "count", "sum",      "min",
                                     "max",      "negative",    "zeros", "positive", "collapsed"};

// What the text says, before it is checked as a whole.
struct parsed_text {
    explicit parsed_text(std::pmr::memory_resource *memory)
        : parts{{}, 0, 0, {}, 0, sketch_buckets(memory), sketch_buckets(memory), false, false}
    {
    }
    double accuracy = 0;
    std::int64_t max_buckets = 0;
    std::uint64_t count = 0;
    unsigned collapsed = 0;
    sketch_parts parts;
};

void parse_value(text_parser &parser, std::size_t key, parsed_text &out)
{
    switch (key) {
    case 0:
        return parser.number(out.accuracy);
    case 1:
        return parser.number(out.max_buckets);
    case 2:
        return parser.number(out.count);
    case 3:
        return parser.sum(out.parts.sum);
    case 4:
        return parser.number(out.parts.min);
    case 5:
        return parser.number(out.parts.max);
    case 6:
        return parser.buckets(out.parts.negative);
    case 7:
        return parser.number(out.parts.zeros);
    case 8:
        return parser.buckets(out.parts.positive);
    default:
        return parser.collapsed(out.collapsed);
    }
}

} // namespace

// Every key exactly once, in any order.
static void parse(std::string_view text, parsed_text &out)
{
    text_parser parser(text);
    unsigned seen = 0;
    parser.expect('{');
    do {
        auto const *const key = std::find(std::begin(keys), std::end(keys), parser.string());
        auto const number = static_cast<std::size_t>(key - std::begin(keys));
        if (key == std::end(keys) || (seen >> number & 1) != 0)
            parser.fail("a known key, and each key once, before");
        seen |= 1U << number;
        parser.expect(':');
        parse_value(parser, number, out);
    } while (parser.accept(','));
    parser.expect('}');
    parser.end();
    for (std::size_t i = 0; i < std::size(keys); ++i)
        if ((seen >> i & 1) == 0)
            reject("The key \"" + std::string(keys[i]) + "\" is missing.");
    out.parts.options = sketch_options::make(out.accuracy, out.max_buckets);
    out.parts.positive_collapsed = (out.collapsed & 1) != 0;
    out.parts.negative_collapsed = (out.collapsed & 2) != 0;
}

std::pmr::vector<unsigned char> sketch_from_text(std::string_view text, std::pmr::memory_resource *memory)
{
    parsed_text parsed(memory);
    parse(text, parsed);
    std::pmr::vector<unsigned char> bytes = encode(parsed.parts, memory);
    try {
        if (sketch_view(bytes.data(), bytes.size()).count() != parsed.count)
            reject("\"count\" is not the sum of the buckets' counts.");
    } catch (const error &e) {
        if (e.code() != errc::corrupt_data)
            throw;
        reject(e.detail());
    }
    return bytes;
}

} // namespace shadow
