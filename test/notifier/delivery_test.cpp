// What needs no server: which addresses are public, what a mail and a signature look like, what options are refused.

#include "address.hpp"
#include "delivery.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <getopt.h>
#include <gtest/gtest.h>

#include <stdexcept>

using namespace notifier;

namespace
{

bool is_public_text(const char *text)
{
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    v4.sin_family = AF_INET;
    v6.sin6_family = AF_INET6;
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return is_public(reinterpret_cast<const sockaddr *>(&v4));
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        return is_public(reinterpret_cast<const sockaddr *>(&v6));
    throw std::invalid_argument(text);
}

TEST(addresses, of_the_internet_are_public)
{
    for (const char *const text : {"1.1.1.1",
                                   "8.8.8.8",
                                   "9.255.255.255",
                                   "11.0.0.1",
                                   "100.63.255.255",
                                   "100.128.0.0",
                                   "126.255.255.255",
                                   "128.0.0.1",
                                   "169.253.255.255",
                                   "169.255.0.0",
                                   "172.15.255.255",
                                   "172.32.0.0",
                                   "192.167.255.255",
                                   "192.169.0.0",
                                   "198.17.255.255",
                                   "198.20.0.0",
                                   "223.255.255.255",
                                   "2600::1",
                                   "2a00:1450::1",
                                   "::ffff:8.8.8.8",
                                   "64:ff9b::808:808",
                                   "64:ff9b:1::808:808",
                                   "::ffff:0:808:808",
                                   "2002:808:808::1",
                                   "2600::5efe:808:808",
                                   "2001:200::1",
                                   "2001:db9::1"})
        EXPECT_TRUE(is_public_text(text)) << text;
}

// RFC 6890 and its successors, and what hides such an address in another one.
TEST(addresses, of_special_purpose_are_not)
{
    for (const char *const text : {"0.0.0.0",
                                   "0.1.2.3",
                                   "10.0.0.0",
                                   "10.255.255.255",
                                   "100.64.0.0",
                                   "100.127.255.255",
                                   "127.0.0.1",
                                   "127.255.255.255",
                                   "169.254.0.1",
                                   "169.254.169.254",
                                   "172.16.0.0",
                                   "172.31.255.255",
                                   "192.0.0.1",
                                   "192.0.2.1",
                                   "192.88.99.1",
                                   "192.168.0.1",
                                   "192.168.255.255",
                                   "198.18.0.1",
                                   "198.19.255.255",
                                   "198.51.100.1",
                                   "203.0.113.1",
                                   "224.0.0.1",
                                   "239.255.255.255",
                                   "240.0.0.1",
                                   "255.255.255.255",
                                   "::",
                                   "::1",
                                   "::127.0.0.1",
                                   "::ffff:127.0.0.1",
                                   "::ffff:10.0.0.1",
                                   "64:ff9b::7f00:1",
                                   "64:ff9b::a9fe:a9fe",
                                   "64:ff9b:1::1",
                                   "64:ff9b:1::a00:1",
                                   "64:ff9b:1:a00:0:1::", // 10.0.0.1 under a /48
                                   "64:ff9b:1:a00:0:1:808:808",
                                   "64:ff9b:1:7f::100:0", // 127.0.0.1 under a /56
                                   "64:ff9b:1:7f:0:1:808:808",
                                   "64:ff9b:1:0:a9:fea9:fe08:808", // 169.254.169.254 under a /64
                                   "64:ff9b:2::808:808",
                                   "64:ff9b:0:1::808:808",
                                   "::ffff:0:7f00:1",
                                   "::ffff:0:a9fe:a9fe",
                                   "::8.8.8.8",
                                   "2001:0:808:808::f7f7:f7f7", // Teredo
                                   "2600::5efe:a00:1",          // ISATAP
                                   "2600::200:5efe:7f00:1",
                                   "2002:808:808::5efe:a00:1",
                                   "2001:2::1",
                                   "3fff::1",
                                   "100::1",
                                   "2001::1",
                                   "2001:db8::1",
                                   "2002:7f00:1::1",
                                   "2002:a00:1::1",
                                   "fc00::1",
                                   "fd12::1",
                                   "fe80::1",
                                   "fec0::1",
                                   "ff02::1",
                                   "4000::1"})
        EXPECT_FALSE(is_public_text(text)) << text;
}

TEST(addresses, of_other_families_are_not)
{
    sockaddr unix{};
    unix.sa_family = AF_UNIX;
    EXPECT_FALSE(is_public(&unix));
}

notification make(const char *subject, const char *body)
{
    return {"w", "2f0c1d7e-0000-4000-8000-000000000001", 1, "email", "oncall@example.org", "", subject, body};
}

TEST(mail, no_text_breaks_out_of_its_place)
{
    std::string const mail = mail_message(
        make("x\r\nBcc: all@example.org\r\n\r\nbody", "\r\n.\r\nMAIL FROM:<x>"), "alerts@example.org", 0);
    EXPECT_EQ(mail.find("Bcc:"), std::string::npos);
    EXPECT_EQ(mail.find("MAIL FROM"), std::string::npos);
    EXPECT_NE(mail.find("Message-ID: <2f0c1d7e-0000-4000-8000-000000000001@example.org>\r\n"),
              std::string::npos);
    EXPECT_NE(mail.find("Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"), std::string::npos);
    std::size_t line = 0;
    for (char const c : mail) {
        line = c == '\n' ? 0 : line + 1;
        ASSERT_LE(line, 999u); // RFC 5321: 1000 with CRLF
    }
}

TEST(mail, subjects_are_cut_between_characters)
{
    std::string subject;
    for (int i = 0; i < 60; ++i)
        subject += "\u00e9"; // two bytes each, so 45 falls into the middle of one
    std::string const mail = mail_message(make(subject.c_str(), ""), "alerts@example.org", 0);
    std::size_t words = 0;
    for (std::size_t at = 0; (at = mail.find("=?UTF-8?B?", at)) != std::string::npos; ++at) {
        std::size_t const begin = at + 10, end = mail.find("?=", begin);
        EXPECT_LE(end + 2 - at, 75u);             // RFC 2047
        EXPECT_EQ(mail.substr(begin, 4), "w6nD"); // each begins with a whole character
        ++words;
    }
    EXPECT_GT(words, 1u);
}

// $ printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a signing secret of mine'
TEST(signatures, are_hmac_sha256_of_time_and_body)
{
    EXPECT_EQ(signature("a signing secret of mine", 1700000000, "{\"a\":1}"),
              "t=1700000000,v1=b7ff24e9c7938791e5e1c4c4868b99c0bc951d4adecab05cc34d3d24cfbd89d8");
}

options read(std::vector<const char *> arguments)
{
    arguments.insert(arguments.begin(), "shadow-analytics-notifier");
    optind = 0;
    return read_options(static_cast<int>(arguments.size()), const_cast<char **>(arguments.data()));
}

TEST(options, that_make_no_sense_are_refused)
{
    EXPECT_THROW(read({"--dbname", "dbname=x password=y"}), std::runtime_error);
    EXPECT_THROW(read({"--dbname", "postgresql://u:p@host/x"}), std::runtime_error);
    EXPECT_THROW(read({"--smtp-url", "smtp://u:p@host", "--sender", "a@b"}), std::runtime_error);
    EXPECT_THROW(read({"--smtp-url", "http://host", "--sender", "a@b"}), std::runtime_error);
    EXPECT_THROW(read({"--smtp-url", "smtp://host"}), std::runtime_error);
    EXPECT_THROW(read({"--smtp-url", "smtp://host", "--sender", "a@b\r\nBcc: c@d"}), std::runtime_error);
    EXPECT_THROW(read({"--timeout", "0"}), std::runtime_error);
    EXPECT_THROW(read({"--timeout", "soon"}), std::runtime_error);
    EXPECT_THROW(read({"--smtp-password-file", "/nonexistent"}), std::runtime_error);
    EXPECT_THROW(read({"extra"}), std::runtime_error);
    EXPECT_EQ(read({"--timeout", "10"}).lease_seconds, 50);
    for (const char *const list : {"", ",", "0", "65536", "443,x", "90-80", "80-", "-80", "https"})
        EXPECT_THROW(read({"--webhook-ports", list}), std::runtime_error) << list;
}

bool is_refused(const options &o, const char *address, std::uint16_t port)
{
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    inet_pton(AF_INET, address, &v4.sin_addr);
    return refusal(reinterpret_cast<const sockaddr *>(&v4), o) != nullptr;
}

TEST(ports, are_those_of_https_unless_others_are_allowed)
{
    options const usual = read({}), others = read({"--webhook-ports", "8080,9000-9010"});
    for (std::uint16_t const port : {443, 8443})
        EXPECT_FALSE(is_refused(usual, "8.8.8.8", port)) << port;
    for (std::uint16_t const port : {0, 22, 25, 80, 442, 444, 5432, 6379, 65535})
        EXPECT_TRUE(is_refused(usual, "8.8.8.8", port)) << port;
    for (std::uint16_t const port : {8080, 9000, 9005, 9010})
        EXPECT_FALSE(is_refused(others, "8.8.8.8", port)) << port;
    for (std::uint16_t const port : {443, 8999, 9011})
        EXPECT_TRUE(is_refused(others, "8.8.8.8", port)) << port;
    EXPECT_TRUE(is_refused(usual, "10.0.0.1", 443));
    EXPECT_FALSE(is_refused(read({"--allow-private"}), "10.0.0.1", 443));
    EXPECT_TRUE(is_refused(read({"--allow-private"}), "10.0.0.1", 22));
}

} // namespace
