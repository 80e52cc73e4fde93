#include "core/access/claims.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shadow
{
namespace
{

constexpr char first[] = "b0000000-0000-0000-0000-000000000001";
constexpr char second[] = "b0000000-0000-0000-0000-000000000002";

std::string subject(const std::string &id)
{
    return "{\"sub\":\"" + id + "\"}";
}

TEST(claims, either_form_names_the_user)
{
    auto const id = parse_uuid(first);
    EXPECT_EQ(current_user(first, ""), id);
    EXPECT_EQ(current_user("", subject(first)), id);
    EXPECT_EQ(current_user(first, subject(first)), id);
    EXPECT_EQ(current_user("", ""), std::nullopt);
}

TEST(claims, disagreement_is_nobody)
{
    EXPECT_EQ(current_user(first, subject(second)), std::nullopt);
    EXPECT_EQ(current_user("x", subject(first)), std::nullopt);
    EXPECT_EQ(current_user(first, "{}"), std::nullopt);
    EXPECT_EQ(current_user(first, "{\"sub\":null}"), std::nullopt);
}

TEST(claims, subject_may_be_a_text)
{
    char buffer[longest_subject];
    EXPECT_EQ(current_subject("", subject("auth0|5f7c8ec7"), buffer), "auth0|5f7c8ec7");
    EXPECT_EQ(current_subject("auth0|5f7c8ec7", "", buffer), "auth0|5f7c8ec7");
    EXPECT_EQ(current_subject("a b", subject("a b"), buffer), "a b");
    EXPECT_EQ(current_subject("", subject("a\\/\\u0062\\\""), buffer), "a/b\"");
    EXPECT_EQ(current_subject("", subject(std::string(longest_subject, 'x')), buffer),
              std::string(longest_subject, 'x'));
    EXPECT_EQ(current_user("", subject("auth0|5f7c8ec7")), std::nullopt);
}

TEST(claims, what_is_no_subject)
{
    char buffer[longest_subject];
    for (std::string const &text :
         {std::string(), std::string(longest_subject + 1, 'x'), std::string("Zo\xc3\xab"),
          std::string("Zo\\u00eb"), std::string("a\\tb"), std::string("a\\u0001")})
        EXPECT_EQ(current_subject("", subject(text), buffer), "") << text;
    EXPECT_EQ(current_subject("", "{\"sub\":17}", buffer), "");
    EXPECT_EQ(current_subject("", "{\"sub\":\"a\",\"sub\":null}", buffer), "");
    EXPECT_EQ(current_subject("a", subject("b"), buffer), "");
    EXPECT_EQ(current_subject("a", "{}", buffer), "");
}

// No prefix of a valid token names anybody, nor does one with a byte too many.
TEST(claims, whole_document_must_parse)
{
    std::string const token = "{\"a\":[1,-2.5e3,true,null,{\"\\u00e9\":\"\\n\"}],\"sub\":\"" +
                              std::string(first) + "\",\"exp\":17}";
    ASSERT_EQ(current_user("", token), parse_uuid(first));
    for (std::size_t size = 1; size < token.size(); ++size)
        EXPECT_EQ(current_user("", token.substr(0, size)), std::nullopt) << size;
    EXPECT_EQ(current_user("", token + "}"), std::nullopt);
    EXPECT_EQ(current_user("", token + " \n"), parse_uuid(first));
}

// Any byte replaced by any other: it parses or it does not, but never as somebody else's token.
TEST(claims, survives_every_byte)
{
    std::string const token = subject(first);
    for (std::size_t i = 0; i < token.size(); ++i) {
        for (int byte = 0; byte < 256; ++byte) {
            std::string changed = token;
            changed[i] = static_cast<char>(byte);
            auto const user = current_user("", changed);
            if (i < 8 || i >= token.size() - 2) {
                EXPECT_TRUE(!user || user == parse_uuid(first)) << changed;
            }
        }
    }
}

TEST(claims, depth_is_bounded)
{
    auto const nested = [](std::size_t depth) {
        return "{\"sub\":\"" + std::string(first) + "\",\"x\":" + std::string(depth, '[') +
               std::string(depth, ']') + "}";
    };
    EXPECT_EQ(current_user("", nested(10)), parse_uuid(first));
    EXPECT_EQ(current_user("", nested(1000000)), std::nullopt);
}

TEST(claims, workspaces_come_from_app_metadata_alone)
{
    std::vector<uuid> found(10);
    auto const read = [&](const std::string &text) {
        return claimed_workspaces(text, found.data(), found.size());
    };
    std::string const list =
        std::string("[\"") + first + "\",7,\"x\",[\"" + second + "\"],\"" + second + "\"]";
    EXPECT_EQ(read("{\"app_metadata\":{\"workspaces\":" + list + "}}"), 2u);
    EXPECT_EQ(found[0], *parse_uuid(first));
    EXPECT_EQ(found[1], *parse_uuid(second));
    EXPECT_EQ(read("{\"user_metadata\":{\"workspaces\":" + list + "}}"), 0u);
    EXPECT_EQ(read("{\"workspaces\":" + list + "}"), 0u);
    EXPECT_EQ(read("{\"app_metadata\":{\"workspaces\":" + list + "},\"app_metadata\":{}}"), 0u);
    EXPECT_EQ(read("{\"app_metadata\":{\"workspaces\":" + list + "}"), 0u);
}

TEST(claims, no_more_workspaces_than_there_is_room)
{
    uuid only;
    std::string const text =
        std::string("{\"app_metadata\":{\"workspaces\":[\"") + first + "\",\"" + second + "\"]}}";
    EXPECT_EQ(claimed_workspaces(text, &only, 1), 1u);
    EXPECT_GE(workspace_capacity(text.size()), 2u);
}

} // namespace
} // namespace shadow
