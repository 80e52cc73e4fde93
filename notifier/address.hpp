#pragma once
// Which addresses a webhook may lead to.

#include <sys/socket.h>

namespace notifier
{

// Whether nothing but the public internet answers at this address. An IPv6 address that a translator or a
// tunnel turns into an IPv4 address is as public as that one.
bool is_public(const sockaddr *address) noexcept;

} // namespace notifier
