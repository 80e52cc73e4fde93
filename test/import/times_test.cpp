// Times as the tools write them; the expected instants are `date -u -d ... +%s` of the same text.

#include "times.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

using namespace importer;

namespace
{

constexpr std::int64_t year_2000 = 946'684'800; // seconds since 1970

// Microseconds since 1970, or why there are none.
std::string read(std::string text, const std::string &zone_name = "", bool is_number = false,
                 bool is_local = false)
{
    value v;
    v.type = is_number ? kind::number : kind::text;
    v.text = text;
    instant const i = parse_time(v, zone_name.empty() ? zone() : zone(zone_name), is_local);
    return i.problem != nullptr ? i.problem : std::to_string(i.at + year_2000 * 1'000'000);
}
std::string read_number(const std::string &text, const std::string &zone_name = "", bool is_local = false)
{
    return read(text, zone_name, true, is_local);
}

TEST(times, iso_8601)
{
    for (const char *const text :
         {"2024-01-15T10:30:00Z", "2024-01-15 10:30:00Z", "2024-01-15T10:30Z", "2024-01-15t10:30:00z",
          "2024-01-15T11:30:00+01:00", "2024-01-15T11:30:00+0100", "2024-01-15T11:30:00+01",
          "2024-01-15 10:30:00 UTC", "2024-01-15T05:00:00-05:30", "2024-01-15T10:30:00.000000000Z"})
        EXPECT_EQ(read(text), "1705314600000000") << text;
    EXPECT_EQ(read("2024-01-15T10:30:00.123Z"), "1705314600123000");
    EXPECT_EQ(read("2024-01-15T10:30:00,123456789Z"), "1705314600123456");
    EXPECT_EQ(read("2024-02-29T23:59:60Z"), "1709251200000000");
    EXPECT_EQ(read("1999-12-31T23:59:59Z"), "946684799000000");
}

TEST(times, without_a_zone_need_one)
{
    EXPECT_EQ(read("2024-01-15 10:30:00"), "a time without a zone (see --time-zone)");
    EXPECT_EQ(read("2024-01-15"), "a time without a zone (see --time-zone)");
    EXPECT_EQ(read("2024-01-15 10:30:00", "UTC"), "1705314600000000");
    EXPECT_EQ(read("2024-01-15 10:30:00", "Europe/Berlin"), "1705311000000000");
    EXPECT_EQ(read("2024-07-15 10:30:00", "Europe/Berlin"), "1721032200000000");
    EXPECT_EQ(read("2024-01-15", "UTC"), "1705276800000000");
    EXPECT_EQ(read("2024-01-15T10:30:00Z", "Europe/Berlin"), "1705314600000000"); // says its own
}

// The hour of 2024-10-27 that Berlin has twice, and the one of 2024-03-31 that it leaves out.
TEST(times, of_a_change_of_clocks_are_always_the_same)
{
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(read("2024-10-27 02:30:00", "Europe/Berlin"), "1729989000000000");
        EXPECT_EQ(read("2024-03-31 02:30:00", "Europe/Berlin"), "1711846800000000");
        EXPECT_EQ(read("2024-01-01 00:00:00", "Europe/Berlin"), "1704063600000000");
    }
}

TEST(times, numbers_are_told_apart_by_their_size)
{
    for (const char *const text : {"1705314600", "1705314600000", "1705314600000000", "1705314600000000000",
                                   "1.7053146E9", "1705314600.0"})
        EXPECT_EQ(read_number(text), "1705314600000000") << text;
    EXPECT_EQ(read("1705314600"), "1705314600000000"); // as a text, too
    EXPECT_EQ(read_number("1705314600.123456"), "1705314600123456");
    EXPECT_EQ(read_number("1705314600123.5"), "1705314600123500");
}

// Mixpanel: seconds since 1970 of the project's wall clock.
TEST(times, numbers_may_be_local)
{
    EXPECT_EQ(read_number("1705314600", "America/Los_Angeles", true), "1705343400000000");
    EXPECT_EQ(read_number("1721032200", "America/Los_Angeles", true), "1721057400000000");
    EXPECT_EQ(read_number("1705314600", "America/Los_Angeles", false), "1705314600000000");
}

TEST(times, what_cannot_be_read)
{
    for (const char *const text :
         {"", "yesterday", "2024-13-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-01-15T25:00:00Z",
          "2024-01-15T10:30:00 EST", "2024-01-15T10:30:00+99:00", "2024-01-15T10:30:00Zx", "2024", "2024-1-5",
          "2024-01-15T", "20240115"})
        EXPECT_EQ(read(text, "UTC"), "a time that cannot be read") << text;
    EXPECT_EQ(read("03/11/2026 10:00", "UTC"), "an ambiguous date (use 2026-11-03)");
    EXPECT_EQ(read_number("-5"), "a time that cannot be read");
    EXPECT_EQ(read_number("1e300"), "a time that cannot be read");
    EXPECT_THROW(zone("Mars/Olympus"), std::runtime_error);
    EXPECT_THROW(zone("../etc/passwd"), std::runtime_error);
}

TEST(times, written)
{
    EXPECT_EQ(format_time(1705314600123456 - year_2000 * 1'000'000), "2024-01-15T10:30:00.123456Z");
    EXPECT_EQ(format_day(0), "2000-01-01");
    EXPECT_EQ(format_day(-1), "1999-12-31");
}

} // namespace
