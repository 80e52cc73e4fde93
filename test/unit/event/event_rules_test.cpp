// What an event must look like: the types, the times, and what a refusal says.

#include "core/base/error.hpp"
#include "core/event/event_rules.hpp"
#include "core/event/event_type.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

using namespace shadow;
using testing::HasSubstr;

// The error that `body` throws.
template <typename Body>
static error refusal(Body body)
{
    try {
        body();
    } catch (const error &e) {
        return e;
    }
    ADD_FAILURE() << "not refused";
    return error(errc::corrupt_data, "not refused");
}

TEST(EventTypes, NamesAndEnumeratorsAgree)
{
    EXPECT_EQ(std::set<std::string_view>(std::begin(event_type_names), std::end(event_type_names)).size(),
              std::size_t{event_type_count});
    for (int i = 0; i < event_type_count; ++i)
        EXPECT_EQ(find_event_type(event_type_names[i]), static_cast<event_type>(i));
    EXPECT_EQ(static_cast<int>(event_type::session_end), event_type_count - 1);
    EXPECT_EQ(name_of(event_type::page_view), "page_view");
    EXPECT_EQ(name_of(event_type::agent_run), "agent_run");
    EXPECT_EQ(name_of(event_type::login), "login");
    EXPECT_EQ(name_of(event_type::logout), "logout");
    EXPECT_EQ(name_of(event_type::workspace_switch), "workspace_switch");
    EXPECT_EQ(name_of(event_type::feature_use), "feature_use");
    EXPECT_EQ(name_of(event_type::error), "error");
    EXPECT_EQ(name_of(event_type::api_call), "api_call");
    EXPECT_EQ(name_of(event_type::export_), "export");
    EXPECT_EQ(name_of(event_type::report_view), "report_view");
    EXPECT_EQ(name_of(event_type::custom), "custom");
    EXPECT_EQ(name_of(event_type::click), "click");
    EXPECT_EQ(name_of(event_type::form_submit), "form_submit");
    EXPECT_EQ(name_of(event_type::session_start), "session_start");
    EXPECT_EQ(name_of(event_type::session_end), "session_end");
}

TEST(EventTypes, OtherNamesAreUnknown)
{
    for (auto const *name : {"", "Login", "login ", "logi", "page_view\n", "export_"})
        EXPECT_EQ(find_event_type(name), std::nullopt) << name;
}

// doc/metrics.md lists them in one paragraph, `like` `this`.
TEST(EventTypes, TheDocumentListsThem)
{
    std::ifstream file(TEST_DATA_DIR "/../../doc/metrics.md");
    std::string line;
    while (std::getline(file, line) && line != "## Event types") {
    }
    ASSERT_TRUE(file) << "no section \"Event types\"";
    std::set<std::string> listed;
    while (std::getline(file, line) && line.rfind("## ", 0) != 0) {
        std::istringstream parts(line);
        std::string part;
        for (bool quoted = false; std::getline(parts, part, '`'); quoted = !quoted)
            if (quoted)
                listed.insert(part);
    }
    EXPECT_EQ(listed, std::set<std::string>(std::begin(event_type_names), std::end(event_type_names)));
}

TEST(EventRules, AnUnknownTypeIsAnsweredWithAllTypes)
{
    error const e = refusal([] { refuse_event_type("Login"); });
    EXPECT_EQ(e.code(), errc::invalid_argument);
    EXPECT_EQ(e.detail(), "The value is \"Login\".");
    for (auto const name : event_type_names)
        EXPECT_THAT(e.hint(), HasSubstr(std::string(name)));
}

TEST(EventRules, MetadataRefusalsNameKindAndSize)
{
    error const kind = refusal([] { refuse_metadata_kind("an array"); });
    EXPECT_EQ(kind.code(), errc::invalid_argument);
    EXPECT_EQ(kind.detail(), "The value is an array.");
    error const size = refusal([] { refuse_metadata_size(10241); });
    EXPECT_EQ(size.code(), errc::limit_exceeded);
    EXPECT_EQ(size.detail(), "It has 10241 bytes, the limit is 10240.");
}

TEST(EventRules, TimeRefusalsNameTheLimitsInForce)
{
    EXPECT_EQ(refusal([] { refuse_time("infinity"); }).code(), errc::invalid_argument);
    error const client = refusal([] { refuse_client_time("1999-12-31", 7, 5); });
    EXPECT_EQ(client.code(), errc::invalid_argument);
    EXPECT_EQ(client.detail(), "The value is 1999-12-31.");
    EXPECT_THAT(client.hint(), HasSubstr("from 7 days ago to 5 minutes ahead"));
}

// From 2000-01-01 (0) to one day after now, both included; no infinity.
TEST(EventRules, ClientTimesAreBounded)
{
    constexpr std::int64_t now = 25 * 366 * microseconds_per_day;
    EXPECT_TRUE(is_client_time(0, now));
    EXPECT_FALSE(is_client_time(-1, now));
    EXPECT_TRUE(is_client_time(now + microseconds_per_day, now));
    EXPECT_FALSE(is_client_time(now + microseconds_per_day + 1, now));
    EXPECT_FALSE(is_client_time(INT64_MAX, now));
    EXPECT_FALSE(is_client_time(INT64_MIN, now));
    EXPECT_TRUE(is_finite_time(INT64_MIN + 1));
    EXPECT_TRUE(is_finite_time(INT64_MAX - 1));
    EXPECT_FALSE(is_finite_time(INT64_MIN));
    EXPECT_FALSE(is_finite_time(INT64_MAX));
}
