#include "core/redaction/redact.hpp"

#include "core/redaction/secrets.hpp"
#include "core/redaction/shapes.hpp"
#include "core/redaction/source_text.hpp"

#include <algorithm>
#include <utility>

namespace shadow
{

namespace
{

using namespace redaction;

// Reads the text once from front to back. What stands before a place is looked up in the result, so that the
// next pass, which meets that result, mostly decides the same.
class redactor
{
public:
    redactor(std::string_view text, std::pmr::memory_resource *memory)
        : text_(text), shapes_(text_), authority_(text_, solid), out_(memory)
    {
        out_.reserve(text.size());
    }

    redacted_text run()
    {
        while (at_ < text_.size())
            step();
        return {std::move(out_), text_.visited()};
    }

private:
    void keep(std::size_t end)
    {
        out_.append(text_.part(at_, end));
        text_.count(end - at_);
        at_ = end;
    }
    void replace(const match &found)
    {
        if (found.mark.empty())
            return keep(found.end);
        out_.append(found.mark);
        at_ = found.end;
    }
    char last() const noexcept { return out_.empty() ? '\0' : out_.back(); }

    void step()
    {
        if (auto const size = mark_size(text_.part(at_, text_.size())); size > 0)
            return keep(at_ + size);
        if (auto const found = find(); found.end > 0)
            return replace(found);
        if (text_.starts(at_, "://"))
            return authority();
        unit();
    }

    match find()
    {
        char const c = text_.at(at_);
        if (is_quote(c))
            return may_open_quote() ? shapes_.quoted_email(at_) : match{};
        if (is(c, address))
            if (auto const found = shapes_.email(at_); found.end > 0)
                return found;
        if (is(c, alnum) || (c == ':' && text_.at(at_ + 1) == ':'))
            return word(c);
        if (c == '?')
            return query();
        return c == '-' && text_.starts(at_, "-----BEGIN ") ? private_key() : match{};
    }

    bool may_open_quote() const noexcept
    {
        return !is(last(), alnum | foreign) && last() != ']' && !is_quote(last());
    }

    match word(char c)
    {
        if (!is(last(), alnum))
            return shapes_.at_start(at_, last(), is_after_name());
        return is(c, digit) && !is(last(), digit) ? shapes_.inside(at_) : match{};
    }
    bool is_after_name() const noexcept
    {
        return last() == '-' && out_.size() > 1 && is(out_[out_.size() - 2], alnum);
    }

    // Letters, digits, or one other character; a name may announce a secret when it ends.
    void unit()
    {
        char const c = text_.at(at_);
        class_mask const kind = is(c, letter) ? letter : is(c, digit) ? digit : is(c, foreign) ? foreign : 0;
        keep(kind != 0 ? text_.run(at_, kind) : at_ + 1);
        if (is(c, key) && !text_.has(at_, key))
            secret();
    }

    void secret()
    {
        auto const found = find_secret(text_, out_, at_);
        if (found.from == found.to)
            return;
        keep(found.from);
        replace({found.to, "[secret]"});
    }

    // ?a=b after a path; not "really ?", not (?i).
    match query() const
    {
        char const c = text_.at(at_ + 1);
        bool const is_query = (is(c, alnum | foreign) || c == '_' || c == '%' || c == '&') &&
                              is(last(), solid) && last() != '(' && last() != '?';
        if (!is_query)
            return {};
        return {without_closers(text_, at_, text_.run(at_, solid)), "?[query]"};
    }

    match private_key() const
    {
        // The label, up to the next hyphen.
        auto const label = at_ + 11;
        auto const label_end = text_.run(label, upper | digit | blank, label + 40);
        if (text_.part(label, label_end).find("PRIVATE KEY") == std::string_view::npos)
            return {};
        std::string_view const rest = text_.part(at_, text_.size());
        auto const foot = rest.find("-----END ");
        auto const end = foot == std::string_view::npos ? foot : rest.find("-----", foot + 9);
        return {end == std::string_view::npos ? text_.size() : at_ + end + 5, "[secret]"};
    }

    // https://name:password@host
    void authority()
    {
        keep(at_ + 3);
        auto const end = user_end();
        if (end > at_ && !holds_mark(text_.part(at_, end)))
            replace({end, "[secret]"});
    }

    static bool holds_mark(std::string_view text) noexcept
    {
        for (auto at = text.find('['); at != text.npos; at = text.find('[', at + 1))
            if (mark_size(text.substr(at)) > 0)
                return true;
        return false;
    }

    // Of the user and the password before @; the password may hold a slash.
    std::size_t user_end()
    {
        auto const end = authority_(at_);
        std::size_t path = at_;
        while (path < end && text_.at(path) != '/' && text_.at(path) != '?' && text_.at(path) != '#')
            ++path;
        std::string_view const host = text_.part(at_, path);
        if (auto const sign = host.rfind('@'); sign != std::string_view::npos)
            return at_ + sign;
        auto const colon = host.find(':');
        bool const has_port = colon == std::string_view::npos || colon + 1 == host.size() ||
                              is(host[colon + 1], digit) || host[colon + 1] == '[' || host.front() == '[';
        return has_port ? at_ : last_sign(end);
    }

    std::size_t last_sign(std::size_t end)
    {
        if (sign_run_ != end) {
            sign_run_ = end;
            auto const found = text_.part(at_, end).rfind('@');
            text_.count(end - at_);
            sign_ = found == std::string_view::npos ? 0 : at_ + found;
        }
        return std::max(sign_, at_);
    }

    source_text text_;
    shapes shapes_;
    run_ends authority_;
    std::size_t sign_run_ = 0;
    std::size_t sign_ = 0;
    std::size_t at_ = 0;
    std::pmr::string out_;
};

} // namespace

std::pmr::string redact(std::string_view text, std::pmr::memory_resource *memory)
{
    return redact_counting(text, memory).text;
}

// A mark ends or joins what stands beside it, so a rule may then find what it could not before. What was changed is
// read again until nothing changes. A text that does not come to rest was made for that: nothing of it is kept.
redacted_text redact_counting(std::string_view text, std::pmr::memory_resource *memory)
{
    constexpr int most_passes = 4;
    redacted_text result = redactor(text, memory).run();
    if (result.text == text)
        return result;
    for (int pass = 1; pass < most_passes; ++pass) {
        redacted_text again = redactor(result.text, memory).run();
        again.visited += result.visited;
        if (again.text == result.text)
            return again;
        result = std::move(again);
    }
    result.text = "[message]";
    return result;
}

} // namespace shadow
