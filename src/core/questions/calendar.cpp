#include "core/questions/calendar.hpp"

#include "core/base/civil.hpp"
#include "core/base/decimal.hpp"

#include <algorithm>
#include <cstdio>

namespace shadow::questions
{

namespace
{

bool read_digits(std::string_view text, int &out) noexcept
{
    out = 0;
    for (char const c : text) {
        if (c < '0' || c > '9')
            return false;
        out = out * 10 + (c - '0');
    }
    return !text.empty() && text.size() <= 4;
}

// "3", "1.5" or "-2" times `unit`, in microseconds; false for what is no number.
bool scaled_length(std::string_view number, std::int64_t unit, int128 &out) noexcept
{
    scaled_number const n = parse_scaled(number, nano_scale);
    if (!n.valid || n.value > int128{1'000'000'000'000} * nano || n.value < -int128{1'000'000'000'000} * nano)
        return false;
    out += n.value * unit / nano;
    return true;
}

bool clock_length(std::string_view text, int128 &out) noexcept
{
    bool const negative = !text.empty() && text.front() == '-';
    text.remove_prefix(!text.empty() && (text.front() == '-' || text.front() == '+') ? 1 : 0);
    int128 sum = 0;
    std::int64_t unit = 3600 * second;
    for (; unit > 0; unit = unit == second ? 0 : unit / 60) {
        auto const end = std::min(text.find(':'), text.size());
        if (!scaled_length(text.substr(0, end), unit, sum))
            return false;
        if (end == text.size())
            break;
        text.remove_prefix(end + 1);
    }
    out += negative ? -sum : sum;
    return unit > 0;
}

std::int64_t unit_length(std::string_view name) noexcept
{
    struct unit {
        std::string_view name;
        std::int64_t length;
    };
    static constexpr unit units[] = {
        {"second", second},      {"sec", second},     {"minute", 60 * second}, {"min", 60 * second},
        {"hour", 3600 * second}, {"day", day_length}, {"week", 7 * day_length}};
    if (name.size() > 1 && name.back() == 's')
        name.remove_suffix(1);
    for (unit const &u : units)
        if (u.name == name)
            return u.length;
    return 0;
}

std::string_view next_word(std::string_view &text) noexcept
{
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    std::string_view const word = text.substr(0, std::min(text.find(' '), text.size()));
    text.remove_prefix(word.size());
    return word;
}

} // namespace

period parse_period(std::string_view name, bool with_total, const place &where)
{
    static constexpr std::string_view names[] = {"daily", "weekly", "monthly", "total"};
    for (int i = 0; i < (with_total ? 4 : 3); ++i)
        if (names[i] == name)
            return static_cast<period>(i);
    where.refuse("unknown period \"" + place::shown(name) + "\"",
                 with_total ? "Use daily, weekly, monthly or total." : "Use daily, weekly or monthly.");
}

date parse_date(std::string_view text, const place &where)
{
    int year, month, day;
    if (text.size() == 10 && text[4] == '-' && text[7] == '-' && read_digits(text.substr(0, 4), year) &&
        read_digits(text.substr(5, 2), month) && read_digits(text.substr(8, 2), day) && year >= 1 &&
        month >= 1 && month <= 12 && day >= 1) {
        date const result = shadow::day_of({year, month, day});
        civil_date const back = civil_of(result);
        if (back.month == month && back.day == day)
            return result;
    }
    where.refuse("invalid date \"" + place::shown(text) + "\"", "Write a day as 2025-03-31.");
}

std::string date_text(date day)
{
    civil_date const c = civil_of(day);
    char text[40];
    std::snprintf(text, sizeof text, "%04d-%02d-%02d", c.year, c.month, c.day);
    return text;
}

date period_start(date day, period unit) noexcept
{
    if (unit == period::weekly)
        return day - ((day + 5) % 7 + 7) % 7; // 2000-01-01 was a Saturday
    if (unit == period::monthly)
        return day - civil_of(day).day + 1;
    return day;
}

date next_period(date start, period unit) noexcept
{
    if (unit == period::weekly)
        return start + 7;
    if (unit == period::monthly)
        return period_start(start + 31, period::monthly);
    return start + 1;
}

std::int64_t parse_length(std::string_view text, const place &where)
{
    std::string_view rest = text;
    int128 sum = 0;
    bool valid = false;
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
        if (word.find(':') != std::string_view::npos) {
            valid = clock_length(word, sum);
        } else {
            std::int64_t const unit = unit_length(next_word(rest));
            valid = unit > 0 && scaled_length(word, unit, sum);
        }
        if (!valid)
            break;
    }
    if (!valid)
        where.refuse(
            "invalid length of time \"" + place::shown(text) + "\"",
            "Write it in seconds, minutes, hours, days or weeks; months and years have no fixed length.");
    if (sum <= 0 || sum > int128{366} * day_length)
        where.refuse("length of time \"" + place::shown(text) + "\" is out of range",
                     "It is more than zero and at most 366 days.");
    return static_cast<std::int64_t>(sum);
}

date calendar::day_of(instant at) const noexcept
{
    auto const after = std::upper_bound(starts_.begin(), starts_.end(), at);
    return first_ + static_cast<date>(after - starts_.begin()) - 1;
}

} // namespace shadow::questions
