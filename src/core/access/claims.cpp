#include "core/access/claims.hpp"

#include <algorithm>
#include <cstring>

namespace shadow
{

namespace
{

bool is_subject(std::string_view text) noexcept
{
    return !text.empty() && text.size() <= longest_subject &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// What a value of the token's payload is to us.
enum class place { root, subject, app_metadata, workspaces, workspace, other };

// Validates JSON (RFC 8259) and picks out the claims in one pass, without allocation. As in jsonb, the last
// of several equal keys wins.
class claims_reader
{
public:
    claims_reader(std::string_view text, uuid *workspaces, std::size_t capacity) noexcept
        : at_(text.data()), end_(text.data() + text.size()), workspaces_(workspaces), capacity_(capacity)
    {
    }

    // False for anything but one JSON object.
    bool read() noexcept
    {
        skip_space();
        if (at_ == end_ || *at_ != '{' || !value(place::root, 0))
            return false;
        skip_space();
        return at_ == end_;
    }

    // Empty: none.
    std::string_view subject() const noexcept { return {subject_, subject_length_}; }
    std::size_t workspace_count() const noexcept { return workspace_count_; }

private:
    static constexpr int max_depth = 64;
    static constexpr char foreign = '\x01'; // stands for a character that occurs in no key or uuid

    static place member(place parent, std::string_view key) noexcept
    {
        if (parent == place::root && key == "sub")
            return place::subject;
        if (parent == place::root && key == "app_metadata")
            return place::app_metadata;
        if (parent == place::app_metadata && key == "workspaces")
            return place::workspaces;
        return place::other;
    }

    void skip_space() noexcept
    {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r'))
            ++at_;
    }

    bool accept(char c) noexcept
    {
        skip_space();
        if (at_ == end_ || *at_ != c)
            return false;
        ++at_;
        return true;
    }

    // A repeated key starts anew.
    void begin(place here) noexcept
    {
        if (here == place::subject) {
            subject_length_ = 0;
        } else if (here == place::app_metadata || here == place::workspaces) {
            workspace_count_ = 0;
        }
    }

    bool value(place here, int depth) noexcept
    {
        skip_space();
        if (at_ == end_ || depth > max_depth)
            return false;
        begin(here);
        switch (*at_) {
        case '{':
            return object(here, depth);
        case '[':
            return array(here, depth);
        case '"':
            return text_value(here);
        case 't':
            return literal("true");
        case 'f':
            return literal("false");
        case 'n':
            return literal("null");
        default:
            return number();
        }
    }

    bool object(place here, int depth) noexcept
    {
        ++at_;
        if (accept('}'))
            return true;
        do {
            skip_space();
            if (!string() || !accept(':') || !value(member(here, last_string()), depth + 1))
                return false;
        } while (accept(','));
        return accept('}');
    }

    bool array(place here, int depth) noexcept
    {
        ++at_;
        if (accept(']'))
            return true;
        do {
            if (!value(here == place::workspaces ? place::workspace : place::other, depth + 1))
                return false;
        } while (accept(','));
        return accept(']');
    }

    bool text_value(place here) noexcept
    {
        if (!string())
            return false;
        if (here == place::subject)
            keep_subject(last_string());
        if (here == place::workspace)
            add_workspace(parse_uuid(last_string()));
        return true;
    }

    void keep_subject(std::string_view text) noexcept
    {
        subject_length_ = is_subject(text) ? text.size() : 0;
        std::memcpy(subject_, text.data(), subject_length_);
    }

    void add_workspace(const std::optional<uuid> &id) noexcept
    {
        if (id && workspace_count_ < capacity_)
            workspaces_[workspace_count_++] = *id;
    }

    // Leaves the unescaped string in buffer_; what does not fit is neither a key we know nor a subject nor a uuid.
    bool string() noexcept
    {
        length_ = 0;
        if (at_ == end_ || *at_ != '"')
            return false;
        for (++at_; at_ != end_ && *at_ != '"'; ++at_) {
            if (static_cast<unsigned char>(*at_) < 0x20)
                return false;
            if (*at_ == '\\') {
                if (++at_ == end_ || !escape())
                    return false;
            } else {
                append(*at_);
            }
        }
        if (at_ == end_)
            return false;
        ++at_;
        return true;
    }

    // At the character after the backslash; stays on the last one of the escape.
    bool escape() noexcept
    {
        if (*at_ == 'u')
            return unicode_escape();
        append(*at_ == '"' || *at_ == '\\' || *at_ == '/' ? *at_ : foreign);
        return std::memchr("\"\\/bfnrt", *at_, 8) != nullptr;
    }

    bool unicode_escape() noexcept
    {
        unsigned code = 0;
        for (int i = 0; i < 4; ++i) {
            if (++at_ == end_)
                return false;
            auto const c = static_cast<unsigned char>(*at_);
            unsigned const letter = (c | 0x20u) - 'a';
            if (c >= '0' && c <= '9')
                code = code * 16 + (c - '0');
            else if (letter < 6)
                code = code * 16 + letter + 10;
            else
                return false;
        }
        append(code < 0x80 ? static_cast<char>(code) : foreign);
        return code != 0; // jsonb refuses \u0000
    }

    void append(char c) noexcept
    {
        if (length_ < sizeof buffer_)
            buffer_[length_] = c;
        ++length_;
    }

    std::string_view last_string() const noexcept
    {
        return length_ <= sizeof buffer_ ? std::string_view(buffer_, length_) : std::string_view();
    }

    bool literal(std::string_view word) noexcept
    {
        if (static_cast<std::size_t>(end_ - at_) < word.size() ||
            std::memcmp(at_, word.data(), word.size()) != 0)
            return false;
        at_ += word.size();
        return true;
    }

    bool digits() noexcept
    {
        auto const *const first = at_;
        while (at_ != end_ && *at_ >= '0' && *at_ <= '9')
            ++at_;
        return at_ != first;
    }

    bool number() noexcept
    {
        if (*at_ == '-')
            ++at_;
        bool const leading_zero = at_ != end_ && *at_ == '0';
        auto const *const first = at_;
        if (!digits() || (leading_zero && at_ - first > 1))
            return false;
        if (at_ != end_ && *at_ == '.' && (++at_, !digits()))
            return false;
        if (at_ == end_ || (*at_ != 'e' && *at_ != 'E'))
            return true;
        ++at_;
        if (at_ != end_ && (*at_ == '+' || *at_ == '-'))
            ++at_;
        return digits();
    }

    const char *at_;
    const char *end_;
    uuid *workspaces_;
    std::size_t capacity_;
    std::size_t workspace_count_ = 0;
    char subject_[longest_subject];
    std::size_t subject_length_ = 0;
    char buffer_[longest_subject + 1];
    std::size_t length_ = 0;
};

} // namespace

static bool are_same(std::string_view one, std::string_view other) noexcept
{
    auto const id = parse_uuid(one);
    return one == other || (id && id == parse_uuid(other));
}

std::string_view current_subject(std::string_view legacy_subject, std::string_view claims,
                                 char (&buffer)[longest_subject]) noexcept
{
    if (claims.empty())
        return is_subject(legacy_subject) ? legacy_subject : std::string_view{};
    claims_reader reader(claims, nullptr, 0);
    if (!reader.read())
        return {};
    auto const subject = reader.subject();
    if (!legacy_subject.empty() && !are_same(legacy_subject, subject))
        return {};
    std::memcpy(buffer, subject.data(), subject.size());
    return {buffer, subject.size()};
}

std::optional<uuid> current_user(std::string_view legacy_subject, std::string_view claims) noexcept
{
    char buffer[longest_subject];
    return parse_uuid(current_subject(legacy_subject, claims, buffer));
}

std::size_t claimed_workspaces(std::string_view claims, uuid *out, std::size_t capacity) noexcept
{
    claims_reader reader(claims, out, capacity);
    return reader.read() ? reader.workspace_count() : 0;
}

} // namespace shadow
