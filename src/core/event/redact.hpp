#pragma once
// Takes out of an error message what may identify somebody or open something, before the message is kept:
// e-mail and network addresses, uuids, long numbers and hexadecimal strings, tokens, passwords, query
// strings. It rather takes too much: what stays must still tell one error from another.

#include <memory_resource>
#include <string>
#include <string_view>

namespace shadow
{

// `text` with "[email]", "[uuid]", "[number]", "[hex]", "[ip]", "[token]", "[secret]", "[query]" in place of
// such parts. Redacting again changes nothing.
std::pmr::string redact(std::string_view text,
                        std::pmr::memory_resource *memory = std::pmr::get_default_resource());

} // namespace shadow
