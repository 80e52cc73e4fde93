#include "core/event/redact.hpp"

#include <gtest/gtest.h>

namespace shadow
{
namespace
{

struct example {
    const char *text;
    const char *redacted;
};

TEST(redact, takes_out_what_identifies)
{
    static constexpr example examples[] = {
        {"", ""},
        {"connection refused", "connection refused"},
        {"What happened? Nothing", "What happened? Nothing"},
        {"user ann.b+x@example.co.uk not found", "user [email] not found"},
        {"jörg@bücher.example", "[email]"},
        {"run 3f2b8c1e-90ab-4cde-8f01-23456789abcd failed", "run [uuid] failed"},
        {"{3f2b8c1e-90ab-4cde-8f01-23456789abcd}", "{[uuid]}"},
        {"card 4111 1111 1111 1111 declined", "card [number] declined"},
        {"call +49-151-2345678", "call +[number]"},
        {"id 123456", "id [number]"},
        {"HTTP 503 after 12345 ms", "HTTP 503 after 12345 ms"},
        {"at 0x7ffdeadbeef0", "at [hex]"},
        {"commit deadbeef12345678", "commit [hex]"},
        {"facade", "facade"},
        {"from 203.0.113.77:443", "from [ip]:443"},
        {"GET /a?token=abc&x=1 failed", "GET /a?[query] failed"},
        {"Authorization: Bearer abc.def", "Authorization: Bearer [secret]"},
        {"authorization: Basic dXNlcg==", "authorization: Basic [secret]"},
        {"password=hunter2, retry", "password=[secret], retry"},
        {"\"api_key\": \"k\"", "\"api_key\": \"[secret]\""},
        {"invalid token", "invalid token"},
        {"postgres://app:s3cr3t@db.local/x", "postgres://[secret]@db.local/x"},
        {"key sk_live_51Habcdefghijklmnop", "key [token]"},
        {"jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "jwt [token]"},
        {"a_very_long_function_name_indeed", "a_very_long_function_name_indeed"},
    };
    for (auto const &e : examples) {
        EXPECT_EQ(redact(e.text), e.redacted) << e.text;
        EXPECT_EQ(redact(e.redacted), e.redacted) << "again: " << e.redacted;
    }
}

TEST(redact, planted_secrets_never_survive)
{
    static constexpr const char *secrets[] = {
        "ann@example.org",    "3f2b8c1e-90ab-4cde-8f01-23456789abcd",     "4111111111111111",
        "deadbeefdeadbeef01", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "198.51.100.23"};
    static constexpr const char *frames[] = {"{}",      "x {} y", "({})", "\"{}\"",      "id={}",
                                             "id: {};", "<{}>",   "[{}]", "/users/{}/x", "{}, {}"};
    for (std::string const secret : secrets) {
        for (std::string text : frames) {
            for (auto at = text.find("{}"); at != std::string::npos; at = text.find("{}"))
                text.replace(at, 2, secret);
            EXPECT_EQ(redact(text).find(secret), std::string::npos) << text;
        }
    }
}

TEST(redact, survives_any_bytes)
{
    std::string text;
    for (int i = 0; i < 5000; ++i)
        text.push_back(static_cast<char>((i * 7919 + i / 13) & 0xFF));
    EXPECT_FALSE(redact(text).empty());
    EXPECT_EQ(redact(std::string(100000, 'a')).size(), 100000u);
    // 10 kB, the most that metadata holds, made of words that begin again and again.
    std::string dashes;
    for (int i = 0; i < 3400; ++i)
        dashes += "-a.";
    EXPECT_EQ(redact(dashes), std::string_view(dashes));
    EXPECT_EQ(redact("x eyJ01" + std::string(5000, 'b') + "1.z y"), "x [token] y");
}

} // namespace
} // namespace shadow
