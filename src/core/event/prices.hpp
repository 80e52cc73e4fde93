#pragma once
// Prices of credits and tokens: which one is in force for an event.

#include "core/base/arena.hpp"
#include "core/base/int128.hpp"
#include "core/base/uuid.hpp"

namespace shadow
{

// A currency's three capital letters as an integer that orders like its text; 0: none.
using currency_code = std::uint16_t;

currency_code pack_currency(std::string_view code) noexcept;
std::string_view unpack_currency(currency_code code, char (&buffer)[4]) noexcept;

struct price_key {
    uuid workspace;          // nil: every workspace
    std::string_view model;  // empty: every model
    std::int64_t valid_from; // microseconds, PostgreSQL's epoch
};

struct credit_price : price_key {
    int128 price; // 10^-9 per credit
    currency_code currency;
};

struct token_price : price_key {
    int128 input, output, cache_read, cache_write; // 10^-9 per million tokens
    currency_code currency;
};

// As price_in_force() needs them.
template <typename Price>
void sort_prices(span<Price> prices) noexcept;

// The most specific price in force: of the workspace and model, of the workspace, of the model, of all;
// nullptr without one.
template <typename Price>
const Price *price_in_force(span<Price> prices, const uuid &workspace, std::string_view model,
                            std::int64_t at) noexcept;

// Prices of credits and tokens, sorted.
struct price_lists {
    span<credit_price> credits;
    span<token_price> tokens;
};

} // namespace shadow
