#include "json.hpp"

namespace importer
{

using namespace simdjson;

static constexpr int deepest = 64;

static std::size_t skip_digits(std::string_view text, std::size_t at) noexcept
{
    while (at < text.size() && text[at] >= '0' && text[at] <= '9')
        ++at;
    return at;
}

bool is_json_number(std::string_view text) noexcept
{
    std::size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
    std::size_t end = skip_digits(text, at);
    if (end == at || (text[at] == '0' && end > at + 1))
        return false;
    at = end;
    if (at < text.size() && text[at] == '.') {
        end = skip_digits(text, at + 1);
        if (end == at + 1)
            return false;
        at = end;
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
        ++at;
        at += at < text.size() && (text[at] == '+' || text[at] == '-') ? 1 : 0;
        end = skip_digits(text, at);
        if (end == at)
            return false;
        at = end;
    }
    return at == text.size();
}

static std::string_view without_blanks_behind(std::string_view text) noexcept
{
    std::size_t const end = text.find_last_not_of(" \t\r\n");
    return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

// Numbers that PostgreSQL's numeric might not hold become texts.
static void read_number(std::string_view token, document &d, value &into)
{
    token = without_blanks_behind(token);
    if (!is_json_number(token))
        throw simdjson_error(NUMBER_ERROR);
    std::size_t const exponent = token.find_first_of("eE");
    bool const is_huge =
        token.size() > 1000 || (exponent != std::string_view::npos && token.size() - exponent > 5);
    into.type = is_huge ? kind::text : kind::number;
    into.text = d.keep(token);
}

static void read_value(ondemand::value from, document &d, value &into, int depth);

static void read_object(ondemand::object object, document &d, value &into, int depth)
{
    into.type = kind::object;
    chain members(into);
    for (auto field : object) {
        value *const member = d.make(kind::null);
        member->key = d.keep(field.unescaped_key());
        read_value(field.value(), d, *member, depth);
        members.add(member);
    }
}

static void read_value(ondemand::value from, document &d, value &into, int depth)
{
    if (depth > deepest)
        throw simdjson_error(DEPTH_ERROR);
    switch (ondemand::json_type(from.type())) {
    case ondemand::json_type::object:
        read_object(from.get_object(), d, into, depth + 1);
        break;
    case ondemand::json_type::array: {
        into.type = kind::array;
        chain members(into);
        for (auto element : ondemand::array(from.get_array())) {
            value *const member = d.make(kind::null);
            read_value(element.value(), d, *member, depth + 1);
            members.add(member);
        }
        break;
    }
    case ondemand::json_type::string:
        into.type = kind::text;
        into.text = d.keep(from.get_string());
        break;
    case ondemand::json_type::number:
        read_number(from.raw_json_token(), d, into);
        break;
    case ondemand::json_type::boolean:
        into.type = kind::boolean;
        into.truth = from.get_bool();
        break;
    case ondemand::json_type::null:
        if (!from.is_null())
            throw simdjson_error(N_ATOM_ERROR);
        break;
    default: // simdjson 4 has a type for what is none of these, before it was an error of type()
        throw simdjson_error(TAPE_ERROR);
    }
}

static int hex_quad(std::string_view text, std::size_t at) noexcept
{
    int code = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
        char const c = i < text.size() ? text[i] : '\0';
        int const digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

// JavaScript cuts texts between the halves of a pair of surrogates and writes the half; it becomes U+FFFD.
static void mend_surrogates(std::string &text)
{
    for (std::size_t at = text.find('\\'); at != std::string::npos; at = text.find('\\', at)) {
        int const code = at + 1 < text.size() && text[at + 1] == 'u' ? hex_quad(text, at + 2) : -1;
        bool const is_high = code >= 0xD800 && code < 0xDC00;
        int const low = is_high && text.compare(at + 6, 2, "\\u") == 0 ? hex_quad(text, at + 8) : -1;
        if (low >= 0xDC00 && low < 0xE000) {
            at += 12;
        } else if (code >= 0xD800 && code < 0xE000) {
            text.replace(at + 2, 4, "fffd");
            at += 6;
        } else {
            at += 2;
        }
    }
}

static bool parse_padded(ondemand::parser &parser, std::string_view text, document &d, value &into)
{
    ondemand::document source = parser.iterate(text.data(), text.size(), text.size() + SIMDJSON_PADDING);
    if (source.type() != ondemand::json_type::object) {
        if (source.type() != ondemand::json_type::array)
            throw simdjson_error(INCORRECT_TYPE);
        read_value(source.get_value(), d, into, 0);
    } else {
        read_object(source.get_object(), d, into, 1);
    }
    return source.current_location().error() == OUT_OF_BOUNDS;
}

bool json_parser::parse(std::string_view padded, document &d, value &into)
{
    if (padded.find("\\u") != std::string_view::npos)
        return parse_copy(padded, d, into);
    try {
        problem_ = "something follows the end of the value";
        return parse_padded(parser_, padded, d, into);
    } catch (const simdjson_error &e) {
        problem_ = e.what();
        return false;
    }
}

bool json_parser::parse_copy(std::string_view text, document &d, value &into)
{
    copy_.assign(text);
    mend_surrogates(copy_);
    std::size_t const length = copy_.size();
    copy_.append(SIMDJSON_PADDING, ' ');
    try {
        problem_ = "something follows the end of the value";
        return parse_padded(parser_, std::string_view(copy_).substr(0, length), d, into);
    } catch (const simdjson_error &e) {
        problem_ = e.what();
        return false;
    }
}

} // namespace importer
