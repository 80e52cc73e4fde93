// Every setting the extension knows: names, defaults, ranges, and what is refused.

#include "core/access/settings.hpp"
#include "core/base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

using namespace shadow;
using testing::HasSubstr;

static bool is_accepted(const setting &known, std::string_view value)
{
    try {
        check_setting(known, value);
        return true;
    } catch (const error &) {
        return false;
    }
}

static void expect_values(const char *name, const std::vector<std::string> &accepted,
                          const std::vector<std::string> &refused)
{
    const setting &known = known_setting(name);
    for (auto const &value : accepted)
        EXPECT_TRUE(is_accepted(known, value)) << name << " = '" << value << "'";
    for (auto const &value : refused)
        EXPECT_FALSE(is_accepted(known, value)) << name << " = '" << value << "'";
}

// Sorted, which also makes names unique.
TEST(Settings, AreSortedAndDescribed)
{
    std::string_view last;
    for (auto const &s : settings) {
        EXPECT_LT(last, s.name);
        EXPECT_FALSE(s.description.empty()) << s.name;
        EXPECT_FALSE(type_name(s.type).empty()) << s.name;
        EXPECT_FALSE(allowed_values(s).empty()) << s.name;
        last = s.name;
    }
}

TEST(Settings, DefaultsAreAllowed)
{
    for (auto const &s : settings)
        EXPECT_TRUE(is_accepted(s, s.default_value)) << s.name;
}

TEST(Settings, AreFoundByTheirExactName)
{
    for (auto const &s : settings)
        EXPECT_EQ(find_setting(s.name), &s);
    EXPECT_EQ(find_setting(""), nullptr);
    EXPECT_EQ(find_setting("Currency"), nullptr);
    EXPECT_EQ(find_setting("currency "), nullptr);
    EXPECT_EQ(find_setting("currenc"), nullptr);
}

TEST(Settings, AnUnknownNameIsAnsweredWithAllNames)
{
    try {
        known_setting("session_gap");
        FAIL();
    } catch (const error &e) {
        EXPECT_EQ(e.code(), errc::invalid_argument);
        EXPECT_STREQ(e.what(), "unknown setting \"session_gap\"");
        for (auto const &s : settings)
            EXPECT_THAT(e.detail(), HasSubstr(std::string(s.name)));
    }
}

// The bounds themselves are allowed, the numbers beside them are not.
TEST(Settings, IntegersEndAtTheirBounds)
{
    for (auto const &s : settings) {
        if (s.type != setting_type::integer)
            continue;
        auto const lowest = static_cast<long long>(s.lowest);
        auto const highest = static_cast<long long>(s.highest);
        EXPECT_TRUE(is_accepted(s, std::to_string(lowest))) << s.name;
        EXPECT_TRUE(is_accepted(s, std::to_string(highest))) << s.name;
        EXPECT_FALSE(is_accepted(s, std::to_string(lowest - 1))) << s.name;
        EXPECT_FALSE(is_accepted(s, std::to_string(highest + 1))) << s.name;
    }
}

TEST(Settings, ValuesAreReadStrictly)
{
    expect_values("session_gap_minutes", {"1", "45", "1440", "007"},
                  {"", " 45", "45 ", "+45", "4.5", "45.0", "1e2", "0x10", "-1", "99999999999999999999"});
    expect_values("discount_rate_annual", {"0", "0.1", "10", "1e-3", ".5"},
                  {"", "-0.1", "10.01", "nan", "inf", "0,1", "10 %", "1e999"});
    expect_values("keep_query", {"true", "false"}, {"", "TRUE", "t", "1", "on", "true "});
    expect_values("bounce_rule", {"single_event", "engaged"},
                  {"", "single", "single_event, engaged", ", ", "engaged,", "Engaged"});
    expect_values("ip_policy", {"keep", "truncate", "hash", "drop"}, {"none"});
    expect_values("currency", {"USD", "SEK"}, {"", "usd", "US", "USDT", "U D"});
    expect_values("email_domains_allowed", {"", "*", "example.com, example.org"}, {});
}

TEST(Settings, ARefusalNamesValueRangeAndDefault)
{
    try {
        check_setting(known_setting("session_gap_minutes"), "0");
        FAIL();
    } catch (const error &e) {
        EXPECT_EQ(e.code(), errc::invalid_argument);
        EXPECT_STREQ(e.what(), "invalid value for setting \"session_gap_minutes\"");
        EXPECT_EQ(e.detail(), "The value is \"0\"; allowed is: 1..1440.");
        EXPECT_EQ(e.hint(), "Delete the row to return to the default, \"30\".");
    }
}

TEST(Settings, RangesArePlainNumbers)
{
    EXPECT_EQ(allowed_values(known_setting("discount_rate_annual")), "0..10");
    EXPECT_EQ(allowed_values(known_setting("alert_notifications_per_hour")), "0..100000");
    EXPECT_EQ(allowed_values(known_setting("keep_query")), "true, false");
    EXPECT_EQ(allowed_values(known_setting("bounce_rule")), "single_event, engaged");
    EXPECT_EQ(allowed_values(known_setting("currency")), "three capital letters");
}
