#include "core/event/prices.hpp"

namespace shadow
{

currency_code pack_currency(std::string_view code) noexcept
{
    if (code.size() != 3)
        return 0;
    unsigned packed = 0;
    for (char const c : code)
        packed = packed * 27 + static_cast<unsigned>(c >= 'A' && c <= 'Z' ? c - 'A' + 1 : 0);
    return static_cast<currency_code>(packed);
}

std::string_view unpack_currency(currency_code code, char (&buffer)[4]) noexcept
{
    unsigned rest = code;
    for (int i = 2; i >= 0; --i) {
        buffer[i] = static_cast<char>('A' + static_cast<int>(rest % 27) - 1);
        rest /= 27;
    }
    buffer[3] = '\0';
    return {buffer, 3};
}

static bool precedes(const price_key &a, const price_key &b) noexcept
{
    if (!(a.workspace == b.workspace))
        return a.workspace < b.workspace;
    if (a.model != b.model)
        return a.model < b.model;
    return a.valid_from > b.valid_from; // latest first
}

template <typename Price>
void sort_prices(span<Price> prices) noexcept
{
    std::sort(prices.begin(), prices.end(), precedes);
}

template <typename Price>
static const Price *find_price(span<Price> prices, const price_key &wanted) noexcept
{
    auto const *const found = std::lower_bound(prices.begin(), prices.end(), wanted, precedes);
    bool const matches =
        found != prices.end() && found->workspace == wanted.workspace && found->model == wanted.model;
    return matches ? found : nullptr;
}

template <typename Price>
const Price *price_in_force(span<Price> prices, const uuid &workspace, std::string_view model,
                            std::int64_t at) noexcept
{
    if (prices.size == 0)
        return nullptr;
    for (uuid const &owner : {workspace, uuid{0, 0}})
        for (std::string_view const m : {model, std::string_view{}})
            if (const Price *const price = find_price(prices, {owner, m, at}))
                return price;
    return nullptr;
}

template void sort_prices(span<credit_price>) noexcept;
template void sort_prices(span<token_price>) noexcept;
template const credit_price *price_in_force(span<credit_price>, const uuid &, std::string_view,
                                            std::int64_t) noexcept;
template const token_price *price_in_force(span<token_price>, const uuid &, std::string_view,
                                           std::int64_t) noexcept;

} // namespace shadow
