#pragma once
// The hashes of ids and texts in memory. Tenants choose their ids: were the hash known, one of them could
// make thousands that all fall into one place, and a scan that is everybody's would take the square of its
// time. So hashes depend on a key that nobody knows from outside. They are never stored.

#include "core/base/int128.hpp"

#include <cstdint>

namespace shadow
{

struct hash_key {
    std::uint64_t first, second;
};
// Set once, before anything is hashed, and the same in processes that exchange their states.
inline hash_key secret_hash_key = {0x9E3779B97F4A7C15u, 0xD6E8FEB86659FD93u};

// Every bit of the result depends on every bit of both (the multiplication of wyhash).
inline std::uint64_t keyed_hash(std::uint64_t a, std::uint64_t b) noexcept
{
    uint128 const product = uint128{a ^ secret_hash_key.first} * (b ^ secret_hash_key.second);
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Stands for what it was computed from (XXH3, 128 bits).
struct hash128 {
    std::uint64_t low, high;
    friend bool operator==(const hash128 &a, const hash128 &b) noexcept
    {
        return a.low == b.low && a.high == b.high;
    }
};

} // namespace shadow
