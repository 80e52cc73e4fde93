#include "core/event/privacy.hpp"

#include <gtest/gtest.h>

#include <string>

namespace shadow
{
namespace
{

TEST(privacy, addresses_lose_their_last_bits)
{
    unsigned char v4[4] = {203, 0, 113, 255};
    truncate_address(v4, 4, kept_bits_ipv4);
    EXPECT_EQ(v4[2], 113);
    EXPECT_EQ(v4[3], 0);
    unsigned char v6[16];
    std::fill(std::begin(v6), std::end(v6), static_cast<unsigned char>(0xFF));
    truncate_address(v6, 16, kept_bits_ipv6);
    for (int i = 0; i < 16; ++i)
        EXPECT_EQ(v6[i], i < 6 ? 0xFF : 0) << i;
    unsigned char odd[2] = {0xFF, 0xFF};
    truncate_address(odd, 2, 11);
    EXPECT_EQ(odd[0], 0xFF);
    EXPECT_EQ(odd[1], 0xE0);
}

TEST(privacy, urls_lose_query_and_fragment)
{
    EXPECT_EQ(without_query("/a/b?token=x#y"), "/a/b");
    EXPECT_EQ(without_query("/a#token?x"), "/a");
    EXPECT_EQ(without_query("https://e.org/a"), "https://e.org/a");
    EXPECT_EQ(without_query("?x"), "");
}

TEST(privacy, user_agents_become_families)
{
    EXPECT_EQ(
        user_agent_family("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
                          "Chrome/120.0.0.0 Safari/537.36"),
        "Chrome");
    EXPECT_EQ(user_agent_family("Mozilla/5.0 AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/120.0"),
              "Edge");
    EXPECT_EQ(user_agent_family("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 Version/17.0 Safari/605.1.15"),
              "Safari");
    EXPECT_EQ(user_agent_family("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"),
              "Bot");
    EXPECT_EQ(user_agent_family("curl/8.4.0"), "Other");
    for (std::string const family : {"Bot", "Edge", "Opera", "Samsung Internet", "Yandex", "Vivaldi",
                                     "Firefox", "Chrome", "Safari", "Internet Explorer", "Other"})
        EXPECT_EQ(user_agent_family(family), family);
}

TEST(privacy, amounts_are_what_the_server_states)
{
    for (auto const *name : {"credits_consumed", "credits", "credits_used", "cost", "cost_usd", "tokens_used",
                             "tokens", "total_tokens", "prompt_tokens", "completion_tokens", "input_tokens",
                             "output_tokens", "revenue", "amount"})
        EXPECT_TRUE(is_amount(find_metadata_key(name))) << name;
    for (auto const *name : {"agent_id", "status", "runtime_seconds", "model", "rating", "comment", "x"})
        EXPECT_FALSE(is_amount(find_metadata_key(name))) << name;
}

} // namespace
} // namespace shadow
