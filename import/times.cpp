#include "times.hpp"

#include <date/tz.h>

#include <cstdlib>
#include <stdexcept>

namespace importer
{

using std::chrono::microseconds;

static constexpr const char *malformed = "a time that cannot be read";
static constexpr std::int64_t microseconds_of_epoch = unix_epoch_days * microseconds_per_day;

zone::zone(const std::string &name)
{
    try {
        zone_ = date::locate_zone(name);
    } catch (const std::exception &) {
        throw std::runtime_error("unknown time zone \"" + name + "\"; names are as in Europe/Berlin");
    }
}

std::int64_t zone::to_utc(std::int64_t local) const
{
    date::local_time<microseconds> const time{microseconds(local + microseconds_of_epoch)};
    auto const utc = zone_->to_sys(time, date::choose::earliest);
    return utc.time_since_epoch().count() - microseconds_of_epoch;
}

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
        for (std::int64_t unit = 100'000; has_digit(); text_.remove_prefix(1), unit /= 10)
            result += unit * (text_.front() - '0');
        return result;
    }
    bool has_digit() const noexcept { return !text_.empty() && text_.front() >= '0' && text_.front() <= '9'; }
    std::string_view rest() const noexcept { return text_; }

private:
    std::string_view text_;
};

} // namespace

static bool read_clock(scanner &s, std::int64_t &microseconds_of_day) noexcept
{
    int hour, minute, second = 0;
    if (!s.number(2, hour) || !s.any_of(":") || !s.number(2, minute))
        return false;
    if (s.any_of(":") && !s.number(2, second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    microseconds_of_day = ((hour * 60 + minute) * std::int64_t{60} + second) * 1'000'000;
    if (s.any_of(".,"))
        microseconds_of_day += s.fraction();
    return true;
}

// Z, UTC, +02, +02:00, +0200. False: there is something else.
static bool read_offset(scanner s, bool &is_there, int &minutes) noexcept
{
    s.any_of(" ");
    minutes = 0;
    is_there = !s.rest().empty();
    if (!is_there || s.rest() == "Z" || s.rest() == "z" || s.rest() == "UTC" || s.rest() == "GMT")
        return true;
    int const sign = s.any_of("+") ? 1 : s.any_of("-") ? -1 : 0;
    int hours, rest = 0;
    if (sign == 0 || !s.number(2, hours))
        return false;
    s.any_of(":");
    if (!s.rest().empty() && !s.number(2, rest))
        return false;
    minutes = sign * (hours * 60 + rest);
    return s.rest().empty() && hours <= 15 && rest <= 59;
}

static instant fail(const char *problem) noexcept
{
    instant result;
    result.problem = problem;
    return result;
}

static instant parse_text(std::string_view text, const zone &z)
{
    scanner s(text);
    int year, month, day;
    if (!s.number(4, year))
        return fail(text.find('/') != std::string_view::npos ? "an ambiguous date (use 2026-11-03)"
                                                             : malformed);
    if (!s.any_of("-") || !s.number(2, month) || !s.any_of("-") || !s.number(2, day))
        return fail(malformed);
    auto const ymd = date::year(year) / month / day;
    std::int64_t clock = 0;
    if (!ymd.ok() || (s.any_of("Tt ") && !read_clock(s, clock)))
        return fail(malformed);
    bool has_offset;
    int minutes;
    if (!read_offset(s, has_offset, minutes))
        return fail(malformed);
    instant result;
    std::int64_t const days = date::sys_days(ymd).time_since_epoch().count() - unix_epoch_days;
    result.at = days * microseconds_per_day + clock;
    if (has_offset)
        result.at -= std::int64_t{minutes} * 60'000'000;
    else if (!z)
        return fail("a time without a zone (see --time-zone)");
    else
        result.at = z.to_utc(result.at);
    return result;
}

// Digits and a fraction exactly; with an exponent as near as a double comes.
static bool read_epoch(std::string_view text, std::int64_t &microseconds)
{
    char *end = nullptr;
    std::string const copy(text.substr(0, 40));
    std::int64_t whole = std::strtoll(copy.c_str(), &end, 10);
    std::int64_t millionths = 0;
    if (*end == '.')
        millionths = scanner(std::string_view(end + 1)).fraction();
    if (copy.find_first_of("eE") != std::string::npos) {
        double const d = std::strtod(copy.c_str(), &end);
        if (!(d > 0 && d < 9e18))
            return false;
        whole = static_cast<std::int64_t>(d);
        millionths = static_cast<std::int64_t>((d - static_cast<double>(whole)) * 1e6);
    }
    if (whole < 0 || copy[0] == '-')
        return false;
    constexpr std::int64_t most_seconds = 100'000'000'000;
    if (whole < most_seconds)
        microseconds = whole * 1'000'000 + millionths;
    else if (whole < most_seconds * 1000)
        microseconds = whole * 1000 + millionths / 1000;
    else
        microseconds = whole < most_seconds * 1'000'000 ? whole : whole / 1000;
    return true;
}

static bool is_epoch_text(std::string_view text) noexcept
{
    return text.size() >= 9 && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

instant parse_time(const value &v, const zone &z, bool are_numbers_local)
{
    if (v.type != kind::number && !is_epoch_text(v.text))
        return v.type == kind::text ? parse_text(v.text, z) : fail(malformed);
    instant result;
    if (!read_epoch(v.text, result.at))
        return fail(malformed);
    result.at -= microseconds_of_epoch;
    if (are_numbers_local && z)
        result.at = z.to_utc(result.at);
    return result;
}

std::string format_time(std::int64_t at)
{
    date::sys_time<microseconds> const time{microseconds(at + microseconds_of_epoch)};
    return date::format("%FT%TZ", time);
}

std::string format_day(std::int64_t day)
{
    return date::format("%F", date::sys_days(date::days(day + unix_epoch_days)));
}

} // namespace importer
