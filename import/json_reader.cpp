#include "json_reader.hpp"

#include <algorithm>

namespace importer
{

static constexpr const char *too_long = "longer than 16 MB";

static std::string_view trimmed(std::string_view text) noexcept
{
    std::size_t const begin = text.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos)
        return {};
    return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

// A file that begins with a bracket, or with a line of a brace alone, is no JSON lines.
json_reader::json_reader(text_buffer text) : text_(std::move(text))
{
    std::size_t end = text_.view().find('\n');
    while (end == std::string_view::npos && text_.view().size() < longest_record && text_.fill())
        end = text_.view().find('\n');
    std::string_view const line = trimmed(text_.view().substr(0, end));
    is_per_line_ = line.substr(0, 1) != "[" && line != "{";
}

bool json_reader::find_line(record &r)
{
    if (!text_.skip_blanks())
        return false;
    std::size_t seen = 0;
    std::size_t end;
    while ((end = text_.view().find('\n', seen)) == std::string_view::npos) {
        seen = text_.view().size();
        if (seen > longest_record) {
            r.problem = too_long;
            text_.drop(seen);
            seen = 0;
        }
        if (!text_.fill()) {
            end = text_.view().size();
            break;
        }
    }
    if (end > longest_record)
        r.problem = too_long;
    if (r.problem == nullptr)
        r.raw = trimmed(text_.view().substr(0, end));
    done_ = std::min(end + 1, text_.view().size());
    return true;
}

namespace
{

// Finds the end of a value by its brackets; what they hold is the parser's business.
struct bracket_counter {
    int depth = 0;
    bool is_text = false, is_escaped = false;

    // Whether the value ends with this character.
    bool ends_with(char c) noexcept
    {
        if (is_text) {
            is_text = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            return false;
        }
        is_text = c == '"';
        depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        return depth == 0 && (c == '}' || c == ']');
    }
};

} // namespace

bool json_reader::find_value(record &r)
{
    do {
        if (!text_.skip_blanks())
            return false;
        if (text_.front() == '{')
            break;
        text_.drop(1); // brackets and commas between
    } while (true);
    bracket_counter brackets;
    for (std::size_t at = 0;; ++at) {
        if (at > longest_record)
            throw std::runtime_error("record " + std::to_string(count_ + 1) +
                                     " does not end within 16 MB: is a bracket or a quote missing?");
        if (at == text_.view().size() && !text_.fill()) {
            r.raw = text_.view();
            done_ = at;
            return true;
        }
        if (brackets.ends_with(text_.view()[at])) {
            r.raw = text_.view().substr(0, at + 1);
            done_ = at + 1;
            return true;
        }
    }
}

void json_reader::parse(record &r)
{
    if (!parser_.parse(r.raw, r.tree, r.tree.root)) {
        bool const is_utf8 = simdjson::validate_utf8(r.raw.data(), r.raw.size());
        r.problem = is_utf8 ? "not valid JSON" : "not valid UTF-8 (see --encoding)";
        r.detail = is_utf8 ? parser_.problem() : "";
    } else if (r.tree.root.type != kind::object) {
        r.problem = "not a JSON object";
    }
}

bool json_reader::next(record &r, bool is_skipped)
{
    text_.drop(done_);
    done_ = 0;
    r.tree.clear();
    r.problem = nullptr;
    r.detail.clear();
    r.raw = {};
    if (!(is_per_line_ ? find_line(r) : find_value(r)))
        return false;
    r.number = ++count_;
    if (!is_skipped && r.problem == nullptr)
        parse(r);
    return true;
}

} // namespace importer
