#include "core/redaction/secrets.hpp"

#include <algorithm>
#include <iterator>

namespace shadow::redaction
{

namespace
{

// ---- names -----------------------------------------------------------------------------------------------

enum class name_kind : unsigned char {
    none,
    password, // a person's: any word may be one, also without = or :
    secret,   // any word may be one
    token,    // no plain word is one
    header,   // Authorization: a scheme and its parts
    cookie,   // a=b; c=d
    scheme    // Bearer abc.def
};

struct announced_name {
    std::string_view text; // small letters without _ and -
    name_kind kind;
    bool alone; // not the end of a longer word: sid, but not "resid"
};

// By their last characters.
constexpr announced_name announced_names[] = {{"cvc", name_kind::token, true},
                                              {"basic", name_kind::scheme, true},
                                              {"password", name_kind::password, false},
                                              {"passwd", name_kind::password, false},
                                              {"pwd", name_kind::password, true},
                                              {"accesskeyid", name_kind::token, false},
                                              {"sessionid", name_kind::token, false},
                                              {"sessid", name_kind::token, false},
                                              {"sid", name_kind::token, true},
                                              {"passphrase", name_kind::password, false},
                                              {"passcode", name_kind::password, false},
                                              {"signature", name_kind::token, false},
                                              {"cookie", name_kind::cookie, false},
                                              {"csrf", name_kind::token, true},
                                              {"xsrf", name_kind::token, true},
                                              {"sig", name_kind::token, true},
                                              {"auth", name_kind::token, true},
                                              {"credential", name_kind::secret, false},
                                              {"token", name_kind::token, false},
                                              {"session", name_kind::token, true},
                                              {"pin", name_kind::token, true},
                                              {"ssn", name_kind::token, true},
                                              {"authorization", name_kind::header, false},
                                              {"otp", name_kind::token, true},
                                              {"bearer", name_kind::scheme, true},
                                              {"passwords", name_kind::password, false},
                                              {"secrets", name_kind::secret, false},
                                              {"credentials", name_kind::secret, false},
                                              {"pass", name_kind::secret, true},
                                              {"passwort", name_kind::password, false},
                                              {"secret", name_kind::secret, false},
                                              {"jwt", name_kind::token, true},
                                              {"cvv", name_kind::token, true},
                                              {"secretkey", name_kind::secret, false},
                                              {"privatekey", name_kind::secret, false},
                                              {"apikey", name_kind::token, false},
                                              {"accesskey", name_kind::token, false},
                                              {"accountkey", name_kind::token, false},
                                              {"signingkey", name_kind::token, false},
                                              {"encryptionkey", name_kind::token, false},
                                              {"authkey", name_kind::token, false},
                                              {"masterkey", name_kind::token, false},
                                              {"subscriptionkey", name_kind::token, false},
                                              {"consumerkey", name_kind::token, false},
                                              {"clientkey", name_kind::token, false},
                                              {"sharedkey", name_kind::token, false},
                                              {"servicekey", name_kind::token, false},
                                              {"rolekey", name_kind::token, false},
                                              {"storagekey", name_kind::token, false},
                                              {"licensekey", name_kind::token, false},
                                              {"sessionkey", name_kind::token, false}};

// [from, to) of announced_names for each last character.
struct name_index {
    unsigned char from[256] = {};
    unsigned char to[256] = {};

    constexpr name_index()
    {
        for (std::size_t i = 0; i < std::size(announced_names); ++i) {
            auto const last = static_cast<unsigned char>(announced_names[i].text.back());
            from[last] = to[last] == 0 ? static_cast<unsigned char>(i) : from[last];
            to[last] = static_cast<unsigned char>(i + 1);
        }
    }
};
constexpr name_index names_by_last;

// The last letters and digits of what was written, in small letters, without the _ and - among them.
class last_name
{
public:
    explicit last_name(std::string_view written) noexcept : written_(written)
    {
        auto end = written.size();
        read(written, end);
        // "api key", "private key"
        if (text() == "key" && end > 0 && written[end - 1] == ' ')
            read(written, --end);
        is_flag_ = written.substr(end, 2) == "--";
        is_element_ = end > 0 && (written[end - 1] == '<' || written[end - 1] == ':');
        is_quoted_ = end > 0 && is_quote(written[end - 1]);
        end_ = end;
    }

    const announced_name *announced() const noexcept
    {
        auto const last = static_cast<unsigned char>(text_[capacity - 1]);
        for (int i = names_by_last.from[last]; i < names_by_last.to[last]; ++i)
            if (ends_with(announced_names[i]))
                return announced_names + i;
        return nullptr;
    }
    bool is_flag() const noexcept { return is_flag_; }
    bool is_element() const noexcept { return is_element_; }
    bool is_quoted() const noexcept { return is_quoted_; }
    std::size_t visited() const noexcept { return visited_; }

    // "Unexpected token": of a language, not of a person.
    bool is_of_syntax() noexcept
    {
        read_word_before(written_, end_);
        auto const rest = text().substr(0, text().size() - std::min<std::size_t>(text().size(), 5));
        for (std::string_view const word : {"unexpected", "expected", "illegal", "near"})
            if (word_before() == word || rest == word)
                return true;
        return false;
    }

private:
    static constexpr std::size_t capacity = 24;

    // Adds the characters of a name that ends at `end`, from the back.
    void read(std::string_view written, std::size_t &end) noexcept
    {
        for (; end > 0 && is(written[end - 1], key) && visited_ < 2 * capacity; --end, ++visited_) {
            char const c = written[end - 1];
            if (!is(c, alnum) || first_ == 0)
                continue;
            char const before = end > 1 ? written[end - 2] : '\0';
            text_[--first_] = to_lower(c);
            starts_[first_] = !is(before, alnum) || (is_upper(c) && is(before, lower));
        }
    }

    void read_word_before(std::string_view written, std::size_t end) noexcept
    {
        while (end > 0 && (is(written[end - 1], blank) || is_quote(written[end - 1])) && visited_ < 80)
            --end, ++visited_;
        for (; end > 0 && is(written[end - 1], letter) && first_before_ > 0; --end, ++visited_)
            before_[--first_before_] = to_lower(written[end - 1]);
    }

    std::string_view text() const noexcept { return {text_ + first_, capacity - first_}; }
    std::string_view word_before() const noexcept
    {
        return {before_ + first_before_, sizeof before_ - first_before_};
    }

    bool ends_with(const announced_name &name) const noexcept
    {
        auto const all = text();
        if (all.size() < name.text.size() || all.substr(all.size() - name.text.size()) != name.text)
            return false;
        return !name.alone || starts_[capacity - name.text.size()];
    }

    std::string_view written_;
    char text_[capacity] = {};
    bool starts_[capacity] = {};
    std::size_t first_ = capacity;
    char before_[12] = {};
    std::size_t first_before_ = sizeof before_;
    std::size_t end_ = 0; // the name begins there
    std::size_t visited_ = 0;
    bool is_flag_ = false;
    bool is_element_ = false;
    bool is_quoted_ = false;
};

// ---- values ----------------------------------------------------------------------------------------------

bool equal_without_case(std::string_view a, std::string_view lower_b) noexcept
{
    return a.size() == lower_b.size() &&
           std::equal(a.begin(), a.end(), lower_b.begin(), [](char x, char y) { return to_lower(x) == y; });
}

template <std::size_t n>
bool is_one_of(std::string_view word, const std::string_view (&words)[n]) noexcept
{
    return std::any_of(std::begin(words), std::end(words),
                       [&](std::string_view w) { return equal_without_case(word, w); });
}

// What stands after "password:" when no password does.
constexpr std::string_view harmless_words[] = {
    "null",      "none",     "nil",          "undefined", "true",        "false",        "empty",
    "missing",   "required", "invalid",      "expired",   "incorrect",   "wrong",        "must",
    "is",        "was",      "are",          "has",       "have",        "had",          "should",
    "cannot",    "can",      "not",          "too",       "does",        "do",           "did",
    "may",       "unknown",  "failed",       "failure",   "error",       "rejected",     "mismatch",
    "malformed", "revoked",  "denied",       "disabled",  "unsupported", "blank",        "contains",
    "already",   "needs",    "need",         "will",      "would",       "token",        "password",
    "isn",       "doesn",    "didn",         "won",       "wasn",        "couldn",       "shouldn",
    "string",    "number",   "boolean",      "object",    "integer",     "attempt",      "attempts",
    "policy",    "minimum",  "unauthorized", "forbidden", "unable",      "could",        "redacted",
    "filtered",  "masked",   "hidden",       "expected",  "unexpected",  "at",           "please",
    "reset",     "changed",  "updated",      "provided",  "supplied",    "verification", "validation",
    "check",     "no",       "use",          "only"};

// Between a name and its value: "API key provided: …".
constexpr std::string_view fillers[] = {"provided", "supplied", "given", "received", "used",
                                        "entered",  "value",    "is",    "was",      "header"};

constexpr std::string_view schemes[] = {"bearer", "basic",     "digest", "token", "apikey",
                                        "ntlm",   "negotiate", "hawk",   "key",   "aws4-hmac-sha256"};

// What a value consists of.
struct contents {
    bool digits = false;
    bool letters = false;
    bool inner_capital = false;
    bool inner_dot = false;
    bool bracket = false;
    bool other = false; // than letters, digits, hyphens and underscores
    bool foreign_text = false;

    explicit contents(std::string_view text) noexcept
    {
        for (std::size_t i = 0; i < text.size(); ++i) {
            char const c = text[i];
            digits = digits || is(c, digit);
            letters = letters || is(c, letter);
            foreign_text = foreign_text || is(c, foreign);
            inner_capital = inner_capital || (i > 0 && is_upper(c) && is(text[i - 1], lower | digit));
            inner_dot = inner_dot || (i > 0 && c == '.' && i + 1 < text.size());
            bracket = bracket || c == '[';
            other = other || !is(c, key);
        }
    }
    bool has_any() const noexcept { return digits || letters || foreign_text; }
};

// The secret after a name; `at_` moves forward from the end of the name.
class value_reader
{
public:
    value_reader(const source_text &text, bracket_ends &brackets, last_name &name,
                 const announced_name &announced, std::size_t at) noexcept
        : text_(text), brackets_(brackets), name_(name), kind_(announced.kind),
          is_pass_(announced.text == "pass"), at_(at)
    {
    }

    secret_range read() noexcept
    {
        if (text_.has(at_, key | foreign))
            return {};
        std::size_t const end_of_name = at_;
        bool const is_separated = separator();
        if (kind_ == name_kind::token && !is_tight_ && is_of_syntax())
            return {};
        if (is_separated)
            return separated();
        at_ = end_of_name;
        return following();
    }

private:
    bool is_of_syntax() noexcept
    {
        auto const before = name_.visited();
        bool const result = name_.is_of_syntax();
        text_.count(name_.visited() - before);
        return result;
    }

    // ---- what stands between

    std::size_t encoded(std::size_t at, char last) const noexcept
    {
        return text_.at(at) == '%' && text_.at(at + 1) == '2' && text_.at(at + 2) == last ? 3 : 0;
    }
    // Quotes and brackets that close a name, also escaped or as in a URL.
    void skip_closers() noexcept
    {
        for (;;) {
            char const c = text_.at(at_);
            auto const size =
                is_quote(c) || c == '\\' || c == ')' || c == ']' ? 1 : encoded(at_, '2') + encoded(at_, '7');
            if (size == 0)
                return;
            at_ += size;
        }
    }
    void skip_blanks() noexcept { at_ = text_.run(at_, blank); }

    void skip_filler() noexcept
    {
        auto const end = text_.run(at_, letter);
        if (end == at_ || !is_one_of(text_.part(at_, std::min(end, at_ + 12)), fillers))
            return;
        at_ = end;
        skip_blanks();
    }

    bool accept(std::string_view what) noexcept
    {
        if (!text_.starts(at_, what))
            return false;
        at_ += what.size();
        return true;
    }

    // = : => := == and as in a URL; > of an element. Not ::, which joins names of programs.
    bool separator() noexcept
    {
        std::size_t const end_of_name = at_;
        skip_closers();
        if (at_ == end_of_name && name_.is_element() && accept(">"))
            return is_tight_ = true;
        skip_blanks();
        skip_filler();
        skip_closers();
        bool const found = accept("=>") || accept(":=") || accept("==") || accept("=") ||
                           (!text_.starts(at_, "::") && accept(":")) || accept("%3D") || accept("%3d") ||
                           accept("%3A") || accept("%3a");
        is_prose_ = found && text_.part(at_ - 1, at_) == ":" && text_.has(at_, blank);
        is_tight_ = found && !text_.has(at_, blank);
        return found;
    }

    // ---- values after a separator

    secret_range separated() noexcept
    {
        if (is_pass_ && is_prose_ && !name_.is_quoted())
            return {};
        skip_blanks();
        std::size_t const start = at_;
        while (text_.at(at_) == '\\')
            ++at_;
        if (is_quote(text_.at(at_)))
            return quoted(at_ - start);
        at_ = start;
        char const c = text_.at(at_);
        if (c == '{')
            return {};
        if (c == '[' || (c == '(' && is_tight_))
            return bracketed(c == '[' ? ']' : ')', (c == '[' ? brackets_.square : brackets_.round)(at_ + 1));
        return kind_ == name_kind::header || kind_ == name_kind::cookie ? parts() : bare();
    }

    std::size_t value_end() const noexcept { return value_end(at_); }
    std::size_t value_end(std::size_t from) const noexcept
    {
        auto end = text_.run(from, value);
        while (is(text_.at(end), solid) && !ends_value(end))
            end = text_.run(end + 1, value);
        return without_closers(text_, std::max(from, at_ + 1) - 1, end);
    }
    // ; and & before a blank or the next name=, not within a password.
    bool ends_value(std::size_t at) const noexcept
    {
        auto const end = text_.run(at + 1, key, at + 40);
        return !text_.has(at + 1, solid) || (end > at + 1 && text_.at(end) == '=');
    }
    bool is_mark(std::size_t end) const noexcept
    {
        auto const size = mark_size(text_.part(at_, text_.size()));
        return size > 0 && end <= at_ + size;
    }

    // The first word says that there is no value, and no digit follows it at once.
    bool is_harmless() const noexcept
    {
        std::size_t const most = at_ + 32;
        class_mask seen = 0;
        auto const end = text_.run(at_, value, most, &seen);
        if (end == at_ || end >= most || (seen & digit) != 0)
            return false;
        auto const word = text_.run(at_, letter, most);
        return word > at_ && !text_.has(word, foreign) && is_one_of(text_.part(at_, word), harmless_words);
    }

    secret_range range(std::size_t end) const noexcept
    {
        return end > at_ && !is_mark(end) ? secret_range{at_, end} : secret_range{};
    }

    secret_range quoted(std::size_t escapes) noexcept
    {
        char const quote = text_.at(at_++);
        if (is_harmless())
            return {};
        auto const end = closing_quote(quote, escapes, text_.size());
        text_.count(end - at_);
        return contents(text_.part(at_, end)).has_any() ? range(end) : secret_range{};
    }

    // The next quote that no more backslashes escape than the first, and no letter follows; else the end of
    // the line, or `most`.
    std::size_t closing_quote(char quote, std::size_t escapes, std::size_t most) const noexcept
    {
        std::size_t before = 0;
        for (std::size_t i = at_; i < most; ++i) {
            char const c = text_.at(i);
            bool const closes = before <= escapes || (escapes == 0 && before % 2 == 0);
            if (c == '\n' || (c == quote && closes && !text_.has(i + 1, alnum | foreign)))
                return c == '\n' ? i : i - std::min(before, escapes);
            before = c == '\\' ? before + 1 : 0;
        }
        return most;
    }

    // (abc), [a b], ["abc"]c. A mark, or brackets within, are a value like any other.
    secret_range bracketed(char close, std::size_t end) noexcept
    {
        if (auto const mark = mark_size(text_.part(at_, text_.size())); mark > 0)
            return text_.has(at_ + mark, alnum | foreign) ? bare() : secret_range{};
        std::size_t const start = at_++;
        skip_closers();
        bool const harmless = is_harmless();
        at_ = start;
        if (harmless || text_.run(at_, punctuation, end) == end)
            return {};
        return text_.at(end) == close ? range(value_end(end + 1)) : bare();
    }

    static bool is_placeholder(std::string_view run) noexcept // $1
    {
        return run.size() == 2 && run.front() == '$' && is(run.back(), digit);
    }

    secret_range bare() noexcept
    {
        if (is_harmless())
            return {};
        auto const end = value_end();
        std::string_view const run = text_.part(at_, end);
        contents const found(run);
        text_.count(run.size());
        return found.has_any() && !is_placeholder(run) && !is_word(found) ? range(end) : secret_range{};
    }

    // In prose a token is no plain word: "invalid token: signature …".
    bool is_word(const contents &found) const noexcept
    {
        bool const may_be = kind_ != name_kind::password && kind_ != name_kind::secret;
        return may_be && is_prose_ && !found.digits && !found.inner_capital && !found.other;
    }

    // Authorization: Digest a="b", c=d; Cookie: a=b; c=d
    secret_range parts() noexcept
    {
        if (kind_ == name_kind::header)
            skip_scheme();
        if (is_harmless())
            return {};
        auto end = text_.run(at_, solid);
        if (end == at_ || (!has_scheme_ && is_word(contents(text_.part(at_, end)))))
            return {};
        for (;;) {
            end = part_end(end);
            char const last = text_.at(end - 1);
            auto const next = text_.run(end, blank);
            auto const next_end = text_.run(next, solid);
            if ((last != ',' && last != ';') || text_.find('=', next, next_end) == next_end)
                break;
            end = next_end;
        }
        return range(without_closers(text_, at_, end));
    }
    // With a quoted value: username="ann lee",
    std::size_t part_end(std::size_t end) const noexcept
    {
        if (text_.at(end - 1) != '=' || text_.at(end) != '"')
            return end;
        auto const close = text_.find('"', end + 1, text_.size());
        return text_.run(std::min(close + 1, text_.size()), solid);
    }
    void skip_scheme() noexcept
    {
        auto const end = text_.run(at_, key);
        has_scheme_ = text_.has(end, blank) && is_one_of(text_.part(at_, end), schemes);
        if (has_scheme_)
            at_ = text_.run(end, blank);
    }

    // ---- values without a separator

    secret_range following() noexcept
    {
        if (text_.at(at_) == '\\' || !text_.has(at_, blank))
            return {};
        skip_blanks();
        std::size_t const start = at_;
        while (text_.at(at_) == '\\')
            ++at_;
        if (is_quote(text_.at(at_)) && kind_ != name_kind::scheme && !is_pass_)
            return quoted_after_blank(at_ - start);
        at_ = start;
        if (kind_ != name_kind::password && kind_ != name_kind::scheme && !name_.is_flag())
            return {};
        if (kind_ == name_kind::password)
            skip_filler();
        auto const end = value_end();
        contents const found(text_.part(at_, end));
        text_.count(end - at_);
        bool const is_secret = name_.is_flag()              ? found.has_any() && text_.at(at_) != '-'
                               : kind_ == name_kind::scheme ? is_credential(found, end)
                               : kind_ == name_kind::password
                                   ? found.digits && found.letters && end - at_ >= 6
                                   : false;
        return is_secret && !found.bracket && !is_harmless() ? range(end) : secret_range{};
    }

    secret_range quoted_after_blank(std::size_t escapes) noexcept
    {
        char const quote = text_.at(at_++);
        auto const most = std::min(at_ + 64, text_.size());
        auto const end = closing_quote(quote, escapes, most);
        if (end >= most)
            return {};
        contents const inside(text_.part(at_, end));
        text_.count(end - at_);
        bool const is_secret = kind_ == name_kind::token || kind_ == name_kind::secret
                                   ? inside.digits && inside.letters
                                   : inside.has_any();
        return is_secret && !inside.bracket && !is_harmless() ? range(end) : secret_range{};
    }

    // Not Basic authentication, not Bearer realm="x".
    bool is_credential(const contents &found, std::size_t end) const noexcept
    {
        bool const is_parameter = text_.at(end) == '"' && text_.at(end - 1) == '=';
        return end - at_ >= 6 && !is_parameter &&
               (found.digits || found.inner_capital || found.inner_dot || text_.at(end - 1) == '=');
    }

    const source_text &text_;
    bracket_ends &brackets_;
    last_name &name_;
    name_kind kind_;
    bool is_pass_;
    std::size_t at_;
    bool is_prose_ = false;
    bool is_tight_ = false;
    bool has_scheme_ = false;
};

} // namespace

std::size_t without_closers(const source_text &text, std::size_t from, std::size_t end) noexcept
{
    static constexpr std::string_view closers = ")]}.,:;!?";
    while (end > from + 1 && closers.find(text.at(end - 1)) != std::string_view::npos)
        --end;
    return end;
}

secret_range find_secret(const source_text &text, bracket_ends &brackets, std::string_view written,
                         std::size_t at) noexcept
{
    auto const last = static_cast<unsigned char>(to_lower(written.back()));
    if (names_by_last.to[last] == 0 && is(written.back(), alnum))
        return {};
    last_name name(written);
    text.count(name.visited());
    auto const *const announced = name.announced();
    if (announced == nullptr)
        return {};
    return value_reader(text, brackets, name, *announced, at).read();
}

} // namespace shadow::redaction
