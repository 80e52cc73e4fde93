#pragma once
// A uuid as two machine words; < is the order of its bytes, which is PostgreSQL's order of uuid.

#include "core/base/hash.hpp"

#include <cstring>
#include <optional>
#include <string_view>
#include <tuple>

namespace shadow
{

struct uuid {
    std::uint64_t high;
    std::uint64_t low;

    static uuid from_bytes(const void *bytes) noexcept
    {
        std::uint64_t words[2];
        std::memcpy(words, bytes, sizeof words);
        return {big_endian(words[0]), big_endian(words[1])};
    }
    void to_bytes(void *bytes) const noexcept
    {
        std::uint64_t const words[2] = {big_endian(high), big_endian(low)};
        std::memcpy(bytes, words, sizeof words);
    }
    std::uint64_t hash() const noexcept { return keyed_hash(high, low); }
    friend bool operator==(const uuid &a, const uuid &b) noexcept
    {
        return a.high == b.high && a.low == b.low;
    }
    friend bool operator<(const uuid &a, const uuid &b) noexcept
    {
        return std::tie(a.high, a.low) < std::tie(b.high, b.low);
    }

private:
    static std::uint64_t big_endian(std::uint64_t v) noexcept
    {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return __builtin_bswap64(v);
#else
        return v;
#endif
    }
};

// Reads what PostgreSQL reads: 32 hexadecimal digits in any case, a hyphen after any group of four, braces
// around the whole. Anything else is no uuid.
std::optional<uuid> parse_uuid(std::string_view text) noexcept;

// Writes the usual 36 characters and a zero.
std::string_view format_uuid(const uuid &id, char (&buffer)[37]) noexcept;

} // namespace shadow
