#include "core/base/json_writer.hpp"

#include "core/base/decimal.hpp"

#include <algorithm>

namespace shadow
{

json_writer &json_writer::string(std::string_view text)
{
    static constexpr char hex[] = "0123456789abcdef";
    text_.push_back('"');
    for (char const c : text) {
        if (c == '"' || c == '\\') {
            text_.push_back('\\');
            text_.push_back(c);
        } else if (static_cast<unsigned char>(c) < 0x20) {
            text_.append("\\u00");
            text_.push_back(hex[c >> 4]);
            text_.push_back(hex[c & 15]);
        } else {
            text_.push_back(c);
        }
    }
    text_.push_back('"');
    return *this;
}

json_writer &json_writer::number(int128 value, int scale)
{
    char buffer[64];
    text_.append(format_scaled(value, scale, buffer));
    return *this;
}

// Keeps the largest entries and adds up the others under "other", which may be a key already.
static void fold_rest(std::pmr::vector<map_entry> &entries)
{
    auto const larger = [](const map_entry &a, const map_entry &b) {
        return a.value != b.value ? a.value > b.value : a.key < b.key;
    };
    if (entries.size() <= longest_map)
        return;
    std::nth_element(entries.begin(), entries.begin() + longest_map, entries.end(), larger);
    int128 rest = 0;
    for (std::size_t i = longest_map; i < entries.size(); ++i)
        rest += entries[i].value;
    entries.resize(longest_map);
    for (map_entry &e : entries)
        if (e.key == "other") {
            e.value += rest;
            return;
        }
    entries.push_back({"other", rest});
}

std::string_view json_map(std::pmr::vector<map_entry> &entries, int scale, int output_scale, arena &result)
{
    fold_rest(entries);
    json_writer json(entries.get_allocator().resource());
    int128 unit = 1;
    for (int i = output_scale; i < scale; ++i)
        unit *= 10;
    std::string_view separator = "{";
    for (map_entry const &e : entries) {
        json.raw(separator).string(e.key).raw(":").number(divide_rounded(e.value, unit), output_scale);
        separator = ",";
    }
    json.raw(entries.empty() ? "{}" : "}");
    return result.copy(json.text());
}

} // namespace shadow
