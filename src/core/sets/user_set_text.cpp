// The text form of user_set.

#include "core/sets/user_set.hpp"

#include <algorithm>

namespace shadow
{

using roaring::writer;

static constexpr const char element_hint[] = "Elements are integers from 0 to 4294967295.";

std::uint32_t user_set_element(std::int64_t value)
{
    if (value < 0 || value > std::int64_t{0xffffffff})
        throw error(errc::out_of_range, "element out of range for type user_set",
                    "The value is " + std::to_string(value) + ".", element_hint);
    return static_cast<std::uint32_t>(value);
}

static std::size_t digits(std::uint32_t value) noexcept
{
    std::size_t n = 1;
    for (; value >= 10; value /= 10)
        ++n;
    return n;
}

static char *write_number(std::uint32_t value, char *out) noexcept
{
    std::size_t const n = digits(value);
    for (std::size_t i = n; i-- > 0; value /= 10)
        out[i] = static_cast<char>('0' + value % 10);
    return out + n;
}

// Two consecutive elements, "5,6", are as long as the range "5-6".
std::size_t text_size(const user_set_view &set, interrupt_check interrupted)
{
    std::size_t size = 0;
    set.for_each_range(
        [&size](std::uint32_t first, std::uint32_t last) {
            size += 1 + digits(first) + (last > first ? 1 + digits(last) : 0);
        },
        interrupted);
    return size + (size == 0 ? 2 : 1); // a separator fewer, two braces
}

char *write_text(const user_set_view &set, char *out, interrupt_check interrupted)
{
    char separator = '{';
    set.for_each_range(
        [&](std::uint32_t first, std::uint32_t last) {
            *out++ = separator;
            separator = ',';
            out = write_number(first, out);
            if (last > first) {
                *out++ = last - first > 1 ? '-' : ',';
                out = write_number(last, out);
            }
        },
        interrupted);
    if (separator == '{')
        *out++ = separator;
    *out++ = '}';
    return out;
}

namespace
{

class text_reader
{
public:
    explicit text_reader(std::string_view text) noexcept : text_(text) {}

    [[noreturn]] void fail(const char *expected) const
    {
        throw error(errc::invalid_text, "invalid input syntax for type user_set",
                    std::string("Expected ") + expected + " at character " + std::to_string(position_ + 1) +
                        (position_ == text_.size() ? ", where the text ends." : "."),
                    "A set is written like {1,2,5-9}; the empty set is {}.");
    }
    bool take(char wanted) noexcept
    {
        skip_blanks();
        bool const found = position_ < text_.size() && text_[position_] == wanted;
        position_ += found ? 1 : 0;
        return found;
    }
    std::uint32_t number()
    {
        skip_blanks();
        std::size_t const start = position_;
        bool const negative = position_ < text_.size() && text_[position_] == '-';
        position_ += negative ? 1 : 0;
        std::size_t const first_digit = position_;
        std::uint64_t value = 0;
        for (; position_ < text_.size() && is_digit(text_[position_]); ++position_)
            value =
                std::min<std::uint64_t>(10 * value + static_cast<unsigned>(text_[position_] - '0'), limit);
        if (position_ == first_digit) {
            position_ = start;
            fail("a number");
        }
        if (negative || value == limit)
            throw error(errc::out_of_range, "element out of range for type user_set",
                        "The number at character " + std::to_string(start + 1) +
                            (negative ? " is negative." : " is too large."),
                        element_hint);
        return static_cast<std::uint32_t>(value);
    }
    void end()
    {
        skip_blanks();
        if (position_ != text_.size())
            fail("the end");
    }

private:
    static constexpr std::uint64_t limit = std::uint64_t{1} << 32;
    static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
    void skip_blanks() noexcept
    {
        while (position_ < text_.size() &&
               std::string_view(" \t\n\r\v\f").find(text_[position_]) != std::string_view::npos)
            ++position_;
    }

    std::string_view text_;
    std::size_t position_ = 0;
};

// Sorts the ranges and joins those that overlap or touch.
void normalise(std::pmr::vector<value_range> &ranges, interrupt_check interrupted)
{
    interrupt_poll poll(interrupted);
    std::sort(ranges.begin(), ranges.end(), [&poll](value_range a, value_range b) {
        poll();
        return a.first < b.first;
    });
    std::size_t kept = 0;
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        if (ranges[i].first <= ranges[kept].last || ranges[i].first == ranges[kept].last + 1)
            ranges[kept].last = std::max(ranges[kept].last, ranges[i].last);
        else
            ranges[++kept] = ranges[i];
    }
    ranges.resize(kept + 1);
}

// What is read in ascending order stays joined on the way; false says that normalise() must follow.
bool append_range(std::pmr::vector<value_range> &ranges, value_range r)
{
    if (ranges.empty()) {
        ranges.push_back(r);
        return true;
    }
    value_range &back = ranges.back();
    if (r.first >= back.first && r.first <= back.last + std::uint64_t{1}) {
        back.last = std::max(back.last, r.last);
        return true;
    }
    bool const ascending = r.first > back.last;
    ranges.push_back(r);
    return ascending;
}

} // namespace

void parse_user_set(std::string_view text, writer &out, interrupt_check interrupted)
{
    interrupt_poll poll(interrupted);
    std::pmr::vector<value_range> ranges(out.memory());
    bool ascending = true;
    text_reader in(text);
    if (!in.take('{'))
        in.fail("\"{\"");
    if (!in.take('}')) {
        do {
            poll();
            std::uint32_t const first = in.number();
            std::uint32_t const last = in.take('-') ? in.number() : first;
            if (last < first)
                throw error(errc::invalid_text, "invalid input syntax for type user_set",
                            "The range " + std::to_string(first) + "-" + std::to_string(last) +
                                " ends before it starts.",
                            "Write the smaller bound first.");
            ascending = append_range(ranges, {first, last}) && ascending;
        } while (in.take(','));
        if (!in.take('}'))
            in.fail("\",\" or \"}\"");
    }
    in.end();
    if (!ascending)
        normalise(ranges, interrupted);
    write_sorted_ranges(ranges.data(), ranges.size(), out, interrupted);
}

} // namespace shadow
