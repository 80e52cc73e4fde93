#pragma once
// A definition as a tree: what a caller asks arrives as the text of a jsonb value.

#include "core/event/metadata.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace shadow::questions
{

inline constexpr std::size_t longest_definition = 65536; // bytes of text
inline constexpr int deepest_definition = 64;

struct json {
    json_type type = json_type::null;
    bool boolean = false;
    std::string text;              // of a string; a number as it was written
    std::vector<json> items;       // elements of an array, values of an object
    std::vector<std::string> keys; // of an object, one for each item

    bool is_object() const noexcept { return type == json_type::object; }
    bool is_array() const noexcept { return type == json_type::array; }
    bool is_string() const noexcept { return type == json_type::string; }
    bool is_number() const noexcept { return type == json_type::number; }
    bool is_null() const noexcept { return type == json_type::null; }
    // The value of a key; nullptr without it.
    const json *find(std::string_view key) const noexcept;
};

// Throws error: invalid_text, or limit_exceeded for what is too long or too deep.
json parse_json(std::string_view text);

// Compact text.
std::string to_text(const json &value);

} // namespace shadow::questions
