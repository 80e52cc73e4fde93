#include "core/event/redact.hpp"

#include "core/base/uuid.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace shadow
{

namespace
{

constexpr std::size_t least_number = 6; // digits
constexpr std::size_t least_hex = 8;
constexpr std::size_t least_token = 20;
constexpr std::size_t uuid_size = 36;

bool is_digit(char c) noexcept
{
    return c >= '0' && c <= '9';
}
bool is_letter(char c) noexcept
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) noexcept
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
// Letters of other alphabets are bytes beyond ASCII, whatever the encoding.
bool is_foreign(char c) noexcept
{
    return (static_cast<unsigned char>(c) & 0x80) != 0;
}
bool is_word(char c) noexcept
{
    return is_digit(c) || is_letter(c) || is_foreign(c) || c == '_';
}
bool is_address(char c) noexcept
{
    return is_word(c) || c == '.' || c == '-' || c == '+' || c == '%';
}
bool is_token(char c) noexcept
{
    return is_digit(c) || is_letter(c) || c == '_' || c == '-';
}
bool is_space(char c) noexcept
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}
bool ends_value(char c) noexcept
{
    return is_space(c) || c == '"' || c == '\'' || c == '<' || c == '>' || c == ')' || c == '}' || c == ',' ||
           c == ';';
}

template <typename Predicate>
std::size_t run(std::string_view text, Predicate belongs) noexcept
{
    return static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), belongs) - text.begin());
}

struct match {
    std::size_t size; // 0: none
    std::string_view replacement;
};

// All of these look at the start of a word.

match match_uuid(std::string_view text) noexcept
{
    if (text.size() < uuid_size || text[8] != '-' || !parse_uuid(text.substr(0, uuid_size)))
        return {};
    return {uuid_size, "[uuid]"};
}

match match_email(std::string_view text) noexcept
{
    auto const local = run(text.substr(0, 256), is_address); // longer is no address (RFC 5321)
    if (local == 0 || local + 1 >= text.size() || text[local] != '@')
        return {};
    auto const domain = run(text.substr(local + 1), is_address);
    return domain == 0 ? match{} : match{local + 1 + domain, "[email]"};
}

match match_ip(std::string_view text) noexcept
{
    std::size_t size = 0;
    for (int part = 0; part < 4; ++part) {
        if (part > 0 && (size >= text.size() || text[size++] != '.'))
            return {};
        auto const digits = run(text.substr(size), is_digit);
        if (digits == 0 || digits > 3)
            return {};
        size += digits;
    }
    return {size, "[ip]"};
}

// Groups of digits with one separator between them count as one number: cards, phones, dates.
match match_number(std::string_view text) noexcept
{
    std::size_t size = 0;
    std::size_t digits = 0;
    while (size < text.size() && is_digit(text[size])) {
        auto const group = run(text.substr(size), is_digit);
        digits += group;
        size += group;
        bool const goes_on =
            size + 1 < text.size() && is_digit(text[size + 1]) &&
            (text[size] == ' ' || text[size] == '-' || text[size] == '.' || text[size] == '/');
        if (!goes_on)
            break;
        ++size;
    }
    bool const is_whole = size == text.size() || !is_word(text[size]);
    return digits >= least_number && is_whole ? match{size, "[number]"} : match{};
}

match match_hex(std::string_view text) noexcept
{
    auto const prefix = text.substr(0, 2) == "0x" ? 2u : 0u;
    auto const size = run(text.substr(prefix), is_hex);
    auto const value = text.substr(prefix, size);
    bool const is_whole = prefix + size == text.size() || !is_word(text[prefix + size]);
    bool const has_digit = std::any_of(value.begin(), value.end(), is_digit);
    return size >= least_hex && is_whole && has_digit ? match{prefix + size, "[hex]"} : match{};
}

bool is_dotted_token(char c) noexcept
{
    return is_token(c) || c == '.' || c == '/' || c == '+' || c == '=';
}

// A long run of letters and digits, also in dotted parts (JSON web tokens).
match match_token(std::string_view text) noexcept
{
    auto const window = text.substr(0, 512); // so that text without a match is not read over and over
    auto const value = window.substr(0, run(window, is_dotted_token));
    auto const digits = std::count_if(value.begin(), value.end(), is_digit);
    bool const is_long = run(window, is_token) >= least_token;
    return is_long && digits >= 2 ? match{run(text, is_dotted_token), "[token]"} : match{};
}

match match_any(std::string_view text) noexcept
{
    static constexpr std::array matchers = {match_uuid,   match_email, match_ip,
                                            match_number, match_hex,   match_token};
    for (auto const matcher : matchers)
        if (auto const found = matcher(text); found.size > 0)
            return found;
    return {};
}

bool equal_without_case(std::string_view a, std::string_view lower) noexcept
{
    return a.size() == lower.size() && std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
               return (is_letter(x) ? static_cast<char>(x | 0x20) : x) == y;
           });
}

bool announces_secret(std::string_view word) noexcept
{
    static constexpr std::string_view words[] = {
        "bearer",  "basic",  "token",         "password",     "passwd",        "pwd",          "secret",
        "api_key", "apikey", "authorization", "access_token", "refresh_token", "client_secret"};
    return std::any_of(std::begin(words), std::end(words),
                       [&](std::string_view w) { return equal_without_case(word, w); });
}

// The value after "password=", "token: " or "Bearer ": [start, end) in `rest`, which follows the word.
struct span {
    std::size_t start;
    std::size_t end;
};
span secret_after(std::string_view word, std::string_view rest) noexcept
{
    bool const is_scheme = equal_without_case(word, "bearer") || equal_without_case(word, "basic");
    auto const blanks = [](char c) { return c == ' ' || c == '"' || c == '\''; };
    std::size_t start = run(rest, blanks);
    if (start < rest.size() && (rest[start] == '=' || rest[start] == ':'))
        start = start + 1 + run(rest.substr(start + 1), blanks);
    else if (!is_scheme || start == 0)
        return {0, 0};
    auto const size = run(rest.substr(start), [](char c) { return !ends_value(c); });
    return {start, start + size};
}

class redactor
{
public:
    redactor(std::string_view text, std::pmr::memory_resource *memory) : rest_(text), out_(memory)
    {
        out_.reserve(text.size());
    }

    std::pmr::string run_all()
    {
        while (!rest_.empty())
            step();
        return std::move(out_);
    }

private:
    void keep(std::size_t size)
    {
        out_.append(rest_.substr(0, size));
        rest_.remove_prefix(size);
    }
    void replace(std::size_t size, std::string_view replacement)
    {
        out_.append(replacement);
        rest_.remove_prefix(size);
    }

    void step()
    {
        if (is_word(rest_.front()) || rest_.front() == '+' || rest_.front() == '-')
            word();
        else if (rest_.front() == '?')
            query();
        else if (rest_.substr(0, 3) == "://")
            authority();
        else
            keep(1);
    }

    void word()
    {
        if (auto const found = match_any(rest_); found.size > 0)
            return replace(found.size, found.replacement);
        auto const size = std::max<std::size_t>(run(rest_, is_word), 1);
        auto const word = rest_.substr(0, size);
        keep(size);
        if (announces_secret(word))
            secret(word);
    }

    void secret(std::string_view word)
    {
        auto const value = secret_after(word, rest_);
        if (value.start == value.end)
            return;
        auto const text = rest_.substr(value.start, value.end - value.start);
        // "Authorization: Bearer …": the next word takes care of the rest.
        if (text.front() == '[' || equal_without_case(text, "bearer") || equal_without_case(text, "basic"))
            return;
        keep(value.start);
        replace(text.size(), "[secret]");
    }

    void query()
    {
        auto const size = run(rest_, [](char c) { return !ends_value(c); });
        bool const is_query = size > 1 && (is_word(rest_[1]) || rest_[1] == '%' || rest_[1] == '&');
        if (is_query)
            replace(size, "?[query]");
        else
            keep(1);
    }

    // https://name:password@host
    void authority()
    {
        keep(3);
        auto const size = run(rest_, [](char c) { return !ends_value(c) && c != '/'; });
        auto const at = rest_.substr(0, size).rfind('@');
        if (at != std::string_view::npos && rest_.substr(0, at) != "[secret]")
            replace(at, "[secret]");
    }

    std::string_view rest_;
    std::pmr::string out_;
};

} // namespace

std::pmr::string redact(std::string_view text, std::pmr::memory_resource *memory)
{
    return redactor(text, memory).run_all();
}

} // namespace shadow
