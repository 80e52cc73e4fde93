#pragma once
// What core reads numbers with where a test keeps them as text.

#include "core/base/decimal.hpp"
#include "core/event/metadata.hpp"

#include <algorithm>
#include <cstring>

namespace shadow
{

class text_numbers : public json_host
{
public:
    bool to_scaled(const json_value &number, int scale, int128 &out) const noexcept override
    {
        scaled_number const n = parse_scaled(number.text, scale);
        out = n.value;
        return n.valid;
    }
    bool is_whole(const json_value &number) const noexcept override
    {
        return parse_scaled(number.text, 0).is_whole;
    }
    std::string_view to_text(const json_value &number, char *buffer,
                             std::size_t capacity) const noexcept override
    {
        std::size_t const n = std::min(number.text.size(), capacity);
        std::memcpy(buffer, number.text.data(), n);
        return {buffer, n};
    }
    void read_object(const json_value &, metadata &) const noexcept override {}
};

} // namespace shadow
