#pragma once
// Which addresses and ports a webhook may lead to.

#include "options.hpp"

#include <sys/socket.h>

namespace notifier
{

// Whether nothing but the public internet answers at this address. An IPv6 address that a translator or a
// tunnel turns into an IPv4 address is as public as that one.
bool is_public(const sockaddr *address) noexcept;

// Why the options do not let a webhook connect there; nullptr if they do.
const char *refusal(const sockaddr *address, const options &o) noexcept;

} // namespace notifier
