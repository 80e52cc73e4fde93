#pragma once
// Writes small JSON texts (maps of counts and amounts) into an arena.

#include "core/base/arena.hpp"
#include "core/base/int128.hpp"

#include <memory_resource>
#include <string>
#include <vector>

namespace shadow
{

class json_writer
{
public:
    explicit json_writer(std::pmr::memory_resource *memory) : text_(memory) {}

    json_writer &raw(std::string_view text)
    {
        text_.append(text);
        return *this;
    }
    json_writer &string(std::string_view text);
    json_writer &number(int128 value, int scale = 0);
    std::string_view text() const noexcept { return text_; }

private:
    std::pmr::string text_;
};

struct map_entry {
    std::string_view key;
    int128 value;
};

// {key: value * 10^-scale} of the `limit` largest values (ties: smaller key first), the rest summed under
// "other"; `output_scale` rounds each entry.
std::string_view json_map(std::pmr::vector<map_entry> &entries, int scale, int output_scale, arena &result);

inline constexpr std::size_t longest_map = 100;

} // namespace shadow
