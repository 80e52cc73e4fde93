#include "core/report/page.hpp"

#include "core/base/error.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace shadow
{

static constexpr std::uint32_t replacement = 0xfffd;

static std::uint8_t byte_at(std::string_view text, std::size_t at)
{
    return static_cast<std::uint8_t>(text[at]);
}

// How many bytes a character has by its first one; 0 for a byte that begins none.
static std::size_t length_of(std::uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return 2;
    if (first >= 0xe0 && first <= 0xef)
        return 3;
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

// False for a code point that has a shorter form, is half a surrogate pair or lies beyond Unicode.
static bool is_valid(std::uint32_t code, std::size_t length)
{
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    return code >= smallest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

// The character at `at`, which moves behind it; behind one byte where there is none.
static std::uint32_t next_character(std::string_view text, std::size_t &at)
{
    std::size_t const length = length_of(byte_at(text, at));
    std::size_t const begin = at++;
    if (length == 1)
        return byte_at(text, begin);
    if (length == 0 || text.size() - begin < length)
        return replacement;
    std::uint32_t code = byte_at(text, begin) & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte_at(text, begin + i) & 0xc0) != 0x80)
            return replacement;
        code = code << 6 | (byte_at(text, begin + i) & 0x3fu);
    }
    if (!is_valid(code, length))
        return replacement;
    at = begin + length;
    return code;
}

static void append_escape(std::pmr::string &out, std::uint32_t unit)
{
    char text[7];
    std::snprintf(text, sizeof text, "\\u%04x", unit & 0xffffu);
    out.append(text, 6);
}

static void append_character(std::pmr::string &out, std::uint32_t code)
{
    if (code >= 0x10000) {
        append_escape(out, 0xd800 + ((code - 0x10000) >> 10));
        append_escape(out, 0xdc00 + ((code - 0x10000) & 0x3ff));
    } else if (code >= 0x7f || code == '<' || code == '>' || code == '&') {
        append_escape(out, code);
    } else {
        out.push_back(static_cast<char>(code));
    }
}

void embed_json(std::string_view json, std::pmr::string &out, interrupt_check check)
{
    interrupt_poll poll(check);
    for (std::size_t at = 0; at < json.size(); poll())
        append_character(out, next_character(json, at));
}

static bool is_ascii(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<std::uint8_t>(c) < 0x80; });
}

std::pmr::string report_page(std::string_view page, std::string_view json, std::pmr::memory_resource *memory,
                             interrupt_check check)
{
    auto const begin = page.find(report_placeholder);
    if (begin == std::string_view::npos ||
        page.find(report_placeholder, begin + 1) != std::string_view::npos || !is_ascii(page))
        throw error(errc::corrupt_data, "the report page is damaged",
                    "It must be ASCII and hold its placeholder exactly once.",
                    "Build and install it again: make report, make install-report.");
    std::pmr::string out(memory);
    out.reserve(page.size() + json.size() + json.size() / 8);
    out.append(page.substr(0, begin));
    embed_json(json, out, check);
    out.append(page.substr(begin + report_placeholder.size()));
    return out;
}

} // namespace shadow
