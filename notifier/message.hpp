#pragma once
// A claimed notification, and what it looks like on the wire.

#include <cstdint>
#include <string>
#include <string_view>

namespace notifier
{

struct notification {
    std::string workspace;
    std::string id; // the idempotency key: the same at every attempt
    int attempt;
    std::string channel; // email, slack, webhook
    std::string address; // secret
    std::string signing_secret;
    std::string subject;
    std::string body;
};

// RFC 5322 with MIME: any text, no line can break out of a header.
std::string mail_message(const notification &n, std::string_view sender, std::int64_t unix_time);

// "t=…,v1=…": the time, and HMAC-SHA-256 of "time.body" in hexadecimal.
std::string signature(std::string_view secret, std::int64_t unix_time, std::string_view body);

} // namespace notifier
