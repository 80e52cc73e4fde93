#include "address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace notifier
{

// What IANA's special-purpose registries (RFC 6890) do not call globally reachable, multicast and class E.
static bool is_public4(std::uint32_t a) noexcept
{
    struct block {
        std::uint32_t network;
        int bits;
    };
    static constexpr block blocks[] = {
        {0x00000000, 8},  {0x0A000000, 8},  {0x64400000, 10}, {0x7F000000, 8},  {0xA9FE0000, 16},
        {0xAC100000, 12}, {0xC0000000, 24}, {0xC0000200, 24}, {0xC0586300, 24}, {0xC0A80000, 16},
        {0xC6120000, 15}, {0xC6336400, 24}, {0xCB007100, 24}, {0xE0000000, 4},  {0xF0000000, 4},
    };
    for (block const &b : blocks)
        if ((a ^ b.network) >> (32 - b.bits) == 0)
            return false;
    return true;
}

static std::uint32_t word(const unsigned char *a, int i) noexcept
{
    return std::uint32_t{a[i]} << 24 | std::uint32_t{a[i + 1]} << 16 | std::uint32_t{a[i + 2]} << 8 |
           a[i + 3];
}

struct prefix {
    unsigned char bytes[12];
    int length;   // in bytes
    int embedded; // where the IPv4 address begins
};

// Of NAT64's local-use prefix 64:ff9b:1::/48 (RFC 8215) each network cuts its own, which decides where the
// IPv4 address lies. Here it is the last word and all before it is 0: every other cut reads 0.0.0.x, which no
// router forwards. Other addresses of the prefix are not public.
static constexpr prefix translations[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 12, 12},    // IPv4-mapped (RFC 4291)
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0}, 12, 12},    // IPv4-translated (RFC 2765)
    {{0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0}, 12, 12}, // NAT64 (RFC 6052)
    {{0, 0x64, 0xFF, 0x9B, 0, 1, 0, 0, 0, 0, 0, 0}, 12, 12}, // NAT64, local use
    {{0x20, 0x02}, 2, 2},                                    // 6to4 (RFC 3056)
};

// RFC 5214: an interface identifier, under any prefix, that a site's routers tunnel to an IPv4 address.
static bool is_isatap(const unsigned char *a) noexcept
{
    return (word(a, 8) & 0xFDFFFFFF) == 0x00005EFE;
}

// Global unicast without 2001::/23 (IETF: Teredo, ORCHID, benchmarks) and the documentation's.
static bool is_global6(const unsigned char *a) noexcept
{
    std::uint32_t const first = word(a, 0);
    return first >> 29 == 1 && (first & 0xFFFFFE00) != 0x20010000 && first != 0x20010DB8 &&
           (first & 0xFFFFF000) != 0x3FFF0000;
}

static bool is_public6(const unsigned char *a) noexcept
{
    if (is_isatap(a) && !is_public4(word(a, 12)))
        return false;
    for (prefix const &p : translations)
        if (std::memcmp(a, p.bytes, p.length) == 0)
            return is_public4(word(a, p.embedded));
    return is_global6(a);
}

bool is_public(const sockaddr *address) noexcept
{
    if (address->sa_family == AF_INET)
        return is_public4(ntohl(reinterpret_cast<const sockaddr_in *>(address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_public6(reinterpret_cast<const sockaddr_in6 *>(address)->sin6_addr.s6_addr);
    return false;
}

// Both families have the port in the same place.
static std::uint16_t port_of(const sockaddr *address) noexcept
{
    return ntohs(reinterpret_cast<const sockaddr_in *>(address)->sin_port);
}

static bool is_allowed_port(std::uint16_t port, const options &o) noexcept
{
    return std::any_of(o.webhook_ports.begin(), o.webhook_ports.end(),
                       [port](auto range) { return range.first <= port && port <= range.second; });
}

const char *refusal(const sockaddr *address, const options &o) noexcept
{
    if (!is_allowed_port(port_of(address), o))
        return "this notifier does not connect to the port that the URL names";
    if (!o.allow_private && !is_public(address))
        return "the name leads to a loopback, link-local or private address";
    return nullptr;
}

} // namespace notifier
