#include "core/report/page.hpp"

#include "core/base/error.hpp"

#include <gtest/gtest.h>

using namespace shadow;

static std::string embedded(std::string_view json)
{
    std::pmr::string out;
    embed_json(json, out, nullptr);
    return std::string(out);
}

static std::string page(std::string_view page, std::string_view json)
{
    return std::string(report_page(page, json, std::pmr::get_default_resource(), nullptr));
}

TEST(report_page, leaves_no_character_that_is_markup)
{
    EXPECT_EQ(embedded(R"({"a": "</script><!--&amp;"})"),
              R"({"a": "\u003c/script\u003e\u003c!--\u0026amp;"})");
    EXPECT_EQ(embedded(R"("\"'\\ \u0000 @REPORT@")"), R"("\"'\\ \u0000 @REPORT@")");
}

TEST(report_page, is_ascii_whatever_the_data_are)
{
    EXPECT_EQ(embedded("\xc3\xa4 \xe2\x80\xa8 \xe2\x80\xa9 \x7f \xd7\xa9"),
              "\\u00e4 \\u2028 \\u2029 \\u007f \\u05e9");
    EXPECT_EQ(embedded("\xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf"), "\\ud83d\\ude00 \\udbff\\udfff");
    EXPECT_EQ(embedded("\xef\xbf\xbf"), "\\uffff");
}

TEST(report_page, replaces_what_is_not_utf8)
{
    EXPECT_EQ(embedded("a\xffz"), "a\\ufffdz");
    EXPECT_EQ(embedded("\xc0\xbc"), "\\ufffd\\ufffd");            // overlong <
    EXPECT_EQ(embedded("\xe0\x80\xbc"), "\\ufffd\\ufffd\\ufffd"); // the same in three bytes
    EXPECT_EQ(embedded("\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd"); // half a surrogate pair
    EXPECT_EQ(embedded("\xf4\x90\x80\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd");
    EXPECT_EQ(embedded("\xe2\x80"), "\\ufffd\\ufffd"); // cut short
    EXPECT_EQ(embedded("\xe2<\x80"), "\\ufffd\\u003c\\ufffd");
}

TEST(report_page, puts_the_data_in_the_place_of_the_placeholder)
{
    EXPECT_EQ(page("<x>@REPORT@</x>", "{\"@REPORT@\": \"$&\"}"), "<x>{\"@REPORT@\": \"$\\u0026\"}</x>");
    EXPECT_EQ(page("@REPORT@", ""), "");
}

TEST(report_page, refuses_another_page)
{
    EXPECT_THROW(page("<x></x>", "{}"), error);
    EXPECT_THROW(page("", "{}"), error);
    EXPECT_THROW(page("@REPORT@@REPORT@", "{}"), error);
    EXPECT_THROW(page("@REPORT@\xe4", "{}"), error);
}

TEST(report_page, can_be_cancelled)
{
    std::string const json(200000, 'x');
    std::pmr::string out;
    EXPECT_THROW(embed_json(json, out, [] { return true; }), cancelled);
}
