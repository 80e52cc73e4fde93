#pragma once
// Takes out of an error message what may identify somebody or open something, before the message is kept:
// e-mail, network and hardware addresses, uuids, long numbers and hexadecimal strings, keys, tokens,
// passwords, query strings. It rather takes too much: what stays must still tell one error from another.

#include <cstddef>
#include <memory_resource>
#include <string>
#include <string_view>

namespace shadow
{

// `text` with "[email]", "[uuid]", "[number]", "[hex]", "[ip]", "[mac]", "[token]", "[secret]", "[query]" in
// place of such parts. Redacting again changes nothing; the work is at most three times that of words, whatever the
// text, and a long one that would take more becomes "[message]"; the result is at most three times as long, and valid
// UTF-8 if the text is.
std::pmr::string redact(std::string_view text,
                        std::pmr::memory_resource *memory = std::pmr::get_default_resource());

// The same, and how often a character was looked at.
struct redacted_text {
    std::pmr::string text;
    std::size_t visited;
};
redacted_text redact_counting(std::string_view text,
                              std::pmr::memory_resource *memory = std::pmr::get_default_resource());

} // namespace shadow
