// Keys of events as clients spell them.

#include "core/ingest/event_keys.hpp"

#include <gtest/gtest.h>

using namespace shadow;

namespace
{

std::string_view nearest(std::string_view name)
{
    event_key const key = nearest_event_key(name);
    return key == event_key::none ? std::string_view("none") : name_of(key);
}

TEST(event_keys, known_ones_are_found)
{
    for (int i = 0; i < event_key_count; ++i)
        EXPECT_EQ(find_event_key(name_of(static_cast<event_key>(i))), static_cast<event_key>(i));
    for (std::string_view const name : {"", "timestamp", "User_id", "user_id "})
        EXPECT_EQ(find_event_key(name), event_key::none) << name;
}

TEST(event_keys, nearest_by_spelling)
{
    for (std::string_view const name : {"createdAt", "created-at", "CREATED_AT", "creatd_at", "create_at"})
        EXPECT_EQ(nearest(name), "created_at") << name;
    EXPECT_EQ(nearest("userId"), "user_id");
    EXPECT_EQ(nearest("eventtype"), "event_type");
    EXPECT_EQ(nearest("pagepath"), "page_path");
    EXPECT_EQ(nearest("meta_data"), "metadata");
    EXPECT_EQ(nearest("idd"), "id");
}

TEST(event_keys, nearest_by_other_names)
{
    EXPECT_EQ(nearest("timestamp"), "created_at");
    EXPECT_EQ(nearest("$timestamp"), "created_at");
    EXPECT_EQ(nearest("distinct_id"), "user_id");
    EXPECT_EQ(nearest("properties"), "metadata");
    EXPECT_EQ(nearest("credits"), "metadata");
    EXPECT_EQ(nearest("messageId"), "id");
}

TEST(event_keys, near_to_none)
{
    for (std::string_view const name :
         {"", "_", "colour", "library", "x", "an unbelievably long key that goes on and on and on"})
        EXPECT_EQ(nearest(name), "none") << name;
}

// The example of RFC 9562, A.6: 2022-02-22 19:22:22 UTC.
TEST(event_keys, time_of_version_7_alone)
{
    EXPECT_EQ(time_of(*parse_uuid("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")),
              (1645557742000 - 946684800000) * 1000);
    EXPECT_EQ(time_of(*parse_uuid("017F22E2-79B0-4CC3-98C4-DC0C0C07398F")), std::nullopt);
    EXPECT_EQ(time_of(*parse_uuid("017F22E2-79B0-7CC3-18C4-DC0C0C07398F")), std::nullopt);
    EXPECT_EQ(time_of(uuid{0, 0}), std::nullopt);
}

} // namespace
