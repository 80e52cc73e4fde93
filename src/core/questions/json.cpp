#include "core/questions/json.hpp"

#include "core/base/error.hpp"

namespace shadow::questions
{

namespace
{

class parser
{
public:
    explicit parser(std::string_view text) noexcept : text_(text) {}

    json parse()
    {
        json result = value(0);
        blanks();
        if (at_ != text_.size())
            refuse();
        return result;
    }

private:
    [[noreturn]] void refuse() const
    {
        throw error(errc::invalid_text, "invalid JSON", "At byte " + std::to_string(at_ + 1) + ".");
    }
    char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    void blanks() noexcept
    {
        while (at_ < text_.size() && (text_[at_] == ' ' || (text_[at_] >= '\t' && text_[at_] <= '\r')))
            ++at_;
    }
    bool take(char c) noexcept
    {
        blanks();
        if (peek() != c)
            return false;
        ++at_;
        return true;
    }
    void expect(char c)
    {
        if (!take(c))
            refuse();
    }

    json value(int depth)
    {
        if (depth > deepest_definition)
            throw error(errc::limit_exceeded, "the definition is nested too deeply",
                        "At most " + std::to_string(deepest_definition) + " levels are read.");
        blanks();
        switch (peek()) {
        case '{':
            return object(depth);
        case '[':
            return array(depth);
        case '"':
            return string();
        case 't':
            return word("true", json_type::boolean, true);
        case 'f':
            return word("false", json_type::boolean, false);
        case 'n':
            return word("null", json_type::null, false);
        default:
            return number();
        }
    }
    json object(int depth)
    {
        json result;
        result.type = json_type::object;
        expect('{');
        if (take('}'))
            return result;
        do {
            blanks();
            result.keys.push_back(string().text);
            expect(':');
            result.items.push_back(value(depth + 1));
        } while (take(','));
        expect('}');
        return result;
    }
    json array(int depth)
    {
        json result;
        result.type = json_type::array;
        expect('[');
        if (take(']'))
            return result;
        do
            result.items.push_back(value(depth + 1));
        while (take(','));
        expect(']');
        return result;
    }
    json word(std::string_view name, json_type type, bool boolean)
    {
        if (text_.substr(at_, name.size()) != name)
            refuse();
        at_ += name.size();
        json result;
        result.type = type;
        result.boolean = boolean;
        return result;
    }
    json number()
    {
        std::size_t const end = std::min(text_.find_first_not_of("+-.0123456789eE", at_), text_.size());
        if (end == at_)
            refuse();
        json result;
        result.type = json_type::number;
        result.text = text_.substr(at_, end - at_);
        at_ = end;
        return result;
    }
    json string()
    {
        json result;
        result.type = json_type::string;
        if (peek() != '"')
            refuse();
        for (++at_; peek() != '"'; ++at_) {
            if (at_ >= text_.size())
                refuse();
            if (text_[at_] == '\\')
                escaped(result.text);
            else
                result.text += text_[at_];
        }
        ++at_;
        return result;
    }
    // Leaves at_ on the last character of the escape.
    void escaped(std::string &out)
    {
        ++at_;
        static constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
        if (peek() == 'u') {
            code_point(out);
            return;
        }
        auto const i = at_ < text_.size() ? names.find(peek()) : std::string_view::npos;
        if (i == std::string_view::npos)
            refuse();
        out += values[i];
    }
    std::uint32_t hexadecimal()
    {
        std::uint32_t code = 0;
        for (int i = 0; i < 4; ++i) {
            ++at_;
            char const c = peek();
            if (c >= '0' && c <= '9')
                code = code * 16 + static_cast<std::uint32_t>(c - '0');
            else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                code = code * 16 + static_cast<std::uint32_t>((c | 0x20) - 'a' + 10);
            else
                refuse();
        }
        return code;
    }
    // jsonb escapes nothing but control characters; other writers may escape anything.
    void code_point(std::string &out)
    {
        std::uint32_t code = hexadecimal();
        if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_ + 1, 2) == "\\u") {
            at_ += 2;
            code = 0x10000 + ((code & 0x3FF) << 10) + (hexadecimal() & 0x3FF);
        }
        auto const put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
        if (code < 0x80) {
            put(code);
            return;
        }
        if (code < 0x800) {
            put(0xC0 | code >> 6);
        } else if (code < 0x10000) {
            put(0xE0 | code >> 12);
            put(0x80 | (code >> 6 & 0x3F));
        } else {
            put(0xF0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3F));
            put(0x80 | (code >> 6 & 0x3F));
        }
        put(0x80 | (code & 0x3F));
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

void write_string(std::string_view text, std::string &out)
{
    out += '"';
    for (char const c : text) {
        static constexpr char digits[] = "0123456789abcdef";
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            out += "\\u00";
            out += digits[c >> 4];
            out += digits[c & 15];
        } else {
            out += c;
        }
    }
    out += '"';
}

void write(const json &value, std::string &out)
{
    switch (value.type) {
    case json_type::null:
        out += "null";
        return;
    case json_type::boolean:
        out += value.boolean ? "true" : "false";
        return;
    case json_type::number:
        out += value.text;
        return;
    case json_type::string:
        write_string(value.text, out);
        return;
    default:
        break;
    }
    out += value.is_object() ? '{' : '[';
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0)
            out += ", ";
        if (value.is_object()) {
            write_string(value.keys[i], out);
            out += ": ";
        }
        write(value.items[i], out);
    }
    out += value.is_object() ? '}' : ']';
}

} // namespace

const json *json::find(std::string_view key) const noexcept
{
    for (std::size_t i = 0; i < keys.size(); ++i)
        if (keys[i] == key)
            return &items[i];
    return nullptr;
}

json parse_json(std::string_view text)
{
    if (text.size() > longest_definition)
        throw error(errc::limit_exceeded, "the definition is too long",
                    "It has " + std::to_string(text.size()) + " bytes as text, at most " +
                        std::to_string(longest_definition) + " are read.",
                    "Ask with fewer or shorter conditions, or save parts as segments.");
    return parser(text).parse();
}

std::string to_text(const json &value)
{
    std::string out;
    write(value, out);
    return out;
}

} // namespace shadow::questions
