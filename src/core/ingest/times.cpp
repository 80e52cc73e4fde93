#include "core/ingest/times.hpp"

#include "core/base/civil.hpp"
#include "core/base/decimal.hpp"

namespace shadow
{

static constexpr std::int64_t second = 1'000'000;
static constexpr std::int64_t day = 86'400 * second;
static constexpr std::int64_t unix_epoch = -10'957 * day; // 1970-01-01

static constexpr const char *unreadable = "a time that cannot be read";

namespace
{

// Reads from the front of a text.
class scanner
{
public:
    explicit scanner(std::string_view text) noexcept : text_(text) {}

    // Exactly so many digits.
    bool number(int digits, int &result) noexcept
    {
        result = 0;
        for (int i = 0; i < digits; ++i, text_.remove_prefix(1)) {
            if (!has_digit())
                return false;
            result = result * 10 + (text_.front() - '0');
        }
        return true;
    }
    bool any_of(std::string_view characters) noexcept
    {
        bool const is_there = !text_.empty() && characters.find(text_.front()) != std::string_view::npos;
        text_.remove_prefix(is_there ? 1 : 0);
        return is_there;
    }
    // Up to six digits count.
    std::int64_t fraction() noexcept
    {
        std::int64_t result = 0;
        for (std::int64_t unit = second / 10; has_digit(); text_.remove_prefix(1), unit /= 10)
            result += unit * (text_.front() - '0');
        return result;
    }
    bool has_digit() const noexcept { return !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; }
    std::string_view rest() const noexcept { return text_; }

private:
    std::string_view text_;
};

} // namespace

static written_time fail(const char *problem) noexcept
{
    return {0, false, false, problem};
}

static bool read_day(scanner &s, std::int64_t &at) noexcept
{
    civil_date date;
    if (!s.number(4, date.year) || !s.any_of("-") || !s.number(2, date.month) || !s.any_of("-") ||
        !s.number(2, date.day))
        return false;
    std::int32_t const number = day_of(date);
    civil_date const same = civil_of(number); // but for a 30th of February
    at = number * day;
    return same.year == date.year && same.month == date.month && same.day == date.day;
}

static bool read_clock(scanner &s, std::int64_t &at) noexcept
{
    int hours, minutes, seconds = 0;
    if (!s.number(2, hours) || !s.any_of(":") || !s.number(2, minutes))
        return false;
    if (s.any_of(":") && !s.number(2, seconds))
        return false;
    if (hours > 23 || minutes > 59 || seconds > 60)
        return false;
    at += ((hours * 60 + minutes) * std::int64_t{60} + seconds) * second;
    if (s.any_of(".,"))
        at += s.fraction();
    return true;
}

// Nothing, Z, UTC, +02, +02:00, +0200. False: there is something else.
static bool read_offset(scanner s, written_time &time) noexcept
{
    s.any_of(" ");
    time.has_zone = !s.rest().empty();
    if (!time.has_zone || s.rest() == "Z" || s.rest() == "z" || s.rest() == "UTC" || s.rest() == "GMT")
        return true;
    int const sign = s.any_of("+") ? 1 : s.any_of("-") ? -1 : 0;
    int hours, minutes = 0;
    if (sign == 0 || !s.number(2, hours))
        return false;
    s.any_of(":");
    if (!s.rest().empty() && !s.number(2, minutes))
        return false;
    time.at -= sign * (hours * 60 + minutes) * 60 * second;
    return s.rest().empty() && hours <= 15 && minutes <= 59;
}

// 3/11/2026, 03.11.26: a day or a month first?
static bool is_ambiguous(std::string_view text) noexcept
{
    auto const end = text.find_first_not_of("0123456789");
    return end != std::string_view::npos && end >= 1 && end <= 2 &&
           std::string_view("/.-").find(text[end]) != std::string_view::npos;
}

static written_time read_text(std::string_view text) noexcept
{
    if (is_ambiguous(text))
        return fail("an ambiguous date (use 2026-11-03)");
    scanner s(text);
    written_time result;
    if (!read_day(s, result.at) || (s.any_of("Tt ") && !read_clock(s, result.at)) || !read_offset(s, result))
        return fail(unreadable);
    return result;
}

static written_time read_epoch(std::string_view text) noexcept
{
    auto const number = parse_scaled(text, 6);
    if (!number.valid || number.value < 0)
        return fail(unreadable);
    constexpr int128 unit = int128{100'000'000'000} * second; // seconds are less than that, and so on
    int128 at = number.value;
    if (at >= unit * 1'000'000)
        at /= 1'000'000'000;
    else if (at >= unit * 1'000)
        at /= 1'000'000;
    else if (at >= unit)
        at /= 1'000;
    return at < unit ? written_time{static_cast<std::int64_t>(at) + unix_epoch, true, true, nullptr}
                     : fail(unreadable);
}

static bool is_epoch(std::string_view text) noexcept
{
    return text.size() >= 9 && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

written_time read_time(std::string_view text, bool is_number) noexcept
{
    return is_number || is_epoch(text) ? read_epoch(text) : read_text(text);
}

} // namespace shadow
