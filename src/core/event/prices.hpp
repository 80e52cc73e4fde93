#pragma once
// Credit prices: which one is in force for an event.

#include "core/base/arena.hpp"
#include "core/base/int128.hpp"
#include "core/base/uuid.hpp"

namespace shadow
{

// A currency's three capital letters as an integer that orders like its text; 0: none.
using currency_code = std::uint16_t;

currency_code pack_currency(std::string_view code) noexcept;
std::string_view unpack_currency(currency_code code, char (&buffer)[4]) noexcept;

struct credit_price {
    uuid workspace;          // nil: every workspace
    std::string_view model;  // empty: every model
    std::int64_t valid_from; // microseconds, PostgreSQL's epoch
    int128 price;            // 10^-9 per credit
    currency_code currency;
};

void sort_prices(span<credit_price> prices) noexcept;

// The most specific price in force: of the workspace and model, of the workspace, of the model, of all;
// nullptr without one.
const credit_price *price_in_force(span<credit_price> prices, const uuid &workspace, std::string_view model,
                                   std::int64_t at) noexcept;

} // namespace shadow
