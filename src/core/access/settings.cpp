#include "core/access/settings.hpp"

#include "core/base/error.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>

namespace shadow
{

const setting *find_setting(std::string_view name) noexcept
{
    auto const *const found = std::find_if(std::begin(settings), std::end(settings),
                                           [&](const setting &s) { return s.name == name; });
    return found == std::end(settings) ? nullptr : found;
}

const setting &known_setting(std::string_view name)
{
    if (auto const *const found = find_setting(name))
        return *found;
    std::string names;
    for (auto const &s : settings)
        names.append(names.empty() ? "" : ", ").append(s.name);
    throw error(errc::invalid_argument, "unknown setting \"" + std::string(name) + "\"",
                "Settings are: " + names + ".", "SELECT * FROM analytics.setting_values describes them.");
}

// The whole text must be a number: no blanks, no sign but '-', no NaN or infinity.
template <typename Number>
static bool is_number_within(std::string_view value, double lowest, double highest) noexcept
{
    Number number{};
    auto const *const end = value.data() + value.size();
    auto const [rest, failure] = std::from_chars(value.data(), end, number);
    if (failure != std::errc{} || rest != end)
        return false;
    auto const x = static_cast<double>(number);
    return std::isfinite(x) && x >= lowest && x <= highest;
}

static bool is_choice(std::string_view value, std::string_view choices) noexcept
{
    constexpr std::string_view separator = ", ";
    while (true) {
        auto const end = choices.find(separator);
        if (value == choices.substr(0, end))
            return true;
        if (end == std::string_view::npos)
            return false;
        choices.remove_prefix(end + separator.size());
    }
}

static bool is_currency_code(std::string_view value) noexcept
{
    return value.size() == 3 &&
           std::all_of(value.begin(), value.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

static bool is_allowed(const setting &known, std::string_view value) noexcept
{
    switch (known.type) {
    case setting_type::integer:
        return is_number_within<std::int64_t>(value, known.lowest, known.highest);
    case setting_type::real:
        return is_number_within<double>(value, known.lowest, known.highest);
    case setting_type::boolean:
        return value == "true" || value == "false";
    case setting_type::choice:
        return is_choice(value, known.choices);
    case setting_type::currency:
        return is_currency_code(value);
    case setting_type::text:
        return true;
    }
    return false;
}

void check_setting(const setting &known, std::string_view value)
{
    if (is_allowed(known, value))
        return;
    throw error(errc::invalid_argument, "invalid value for setting \"" + std::string(known.name) + "\"",
                "The value is \"" + std::string(value) + "\"; allowed is: " + allowed_values(known) + ".",
                "Delete the row to return to the default, \"" + std::string(known.default_value) + "\".");
}

std::string_view type_name(setting_type type) noexcept
{
    switch (type) {
    case setting_type::integer:
        return "integer";
    case setting_type::real:
        return "real";
    case setting_type::boolean:
        return "boolean";
    case setting_type::choice:
        return "choice";
    case setting_type::currency:
        return "currency";
    case setting_type::text:
        return "text";
    }
    return "";
}

// Shortest form: 1440, 0.1.
static std::string plain(double number)
{
    char text[32];
    auto const [end, failure] =
        std::to_chars(std::begin(text), std::end(text), number, std::chars_format::fixed);
    return failure == std::errc{} ? std::string(text, end) : std::string{};
}

std::string allowed_values(const setting &known)
{
    switch (known.type) {
    case setting_type::integer:
    case setting_type::real:
        return plain(known.lowest) + ".." + plain(known.highest);
    case setting_type::boolean:
        return "true, false";
    case setting_type::choice:
        return std::string(known.choices);
    case setting_type::currency:
        return "three capital letters";
    case setting_type::text:
        return "any text";
    }
    return {};
}

} // namespace shadow
