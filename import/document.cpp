#include "document.hpp"

namespace importer
{

value *value::find(std::string_view name) const noexcept
{
    for (value *v = first; v != nullptr; v = v->next)
        if (v->key == name)
            return v;
    return nullptr;
}

void document::clear() noexcept
{
    root = value{};
    memory_.release();
}

std::string_view document::keep(std::string_view text)
{
    if (text.empty())
        return {};
    char *const copy = static_cast<char *>(memory_.allocate(text.size(), 1));
    text.copy(copy, text.size());
    return {copy, text.size()};
}

value *document::make(kind type, std::string_view text)
{
    value *const v = new (memory_.allocate(sizeof(value), alignof(value))) value;
    v->type = type;
    v->text = text;
    return v;
}

static void append_escape(std::string &out, char c)
{
    static constexpr char digits[] = "0123456789abcdef";
    switch (c) {
    case '"':
        out += "\\\"";
        break;
    case '\\':
        out += "\\\\";
        break;
    case '\n':
        out += "\\n";
        break;
    case '\r':
        out += "\\r";
        break;
    case '\t':
        out += "\\t";
        break;
    case '\0':
        break;
    default:
        out += "\\u00";
        out += digits[c >> 4];
        out += digits[c & 15];
    }
}

void append_json(std::string &out, std::string_view text)
{
    out += '"';
    std::size_t plain = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto const c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        out.append(text, plain, i - plain);
        append_escape(out, text[i]);
        plain = i + 1;
    }
    out.append(text, plain);
    out += '"';
}

static void append_members(std::string &out, const value &v)
{
    bool const is_object = v.type == kind::object;
    out += is_object ? '{' : '[';
    for (const value *m = v.first; m != nullptr; m = m->next) {
        if (m != v.first)
            out += ", ";
        if (is_object) {
            append_json(out, m->key);
            out += ": ";
        }
        append_json(out, *m);
    }
    out += is_object ? '}' : ']';
}

void append_json(std::string &out, const value &v)
{
    switch (v.type) {
    case kind::null:
        out += "null";
        break;
    case kind::boolean:
        out += v.truth ? "true" : "false";
        break;
    case kind::number:
        out += v.text;
        break;
    case kind::text:
        append_json(out, v.text);
        break;
    case kind::array:
    case kind::object:
        append_members(out, v);
    }
}

} // namespace importer
