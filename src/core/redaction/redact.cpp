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
        : text_(text), shapes_(text_), brackets_(text_), authority_(text_, solid), out_(memory)
    {
        out_.reserve(text.size());
    }

    // Whether the end was reached within `most` looks at characters.
    bool run(std::size_t most)
    {
        while (at_ < text_.size() && text_.visited() <= most)
            step();
        return text_.visited() <= most;
    }
    std::size_t visited() const noexcept { return text_.visited(); }
    std::pmr::string result() { return std::move(out_); }

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
        char const c = text_.at(at_);
        if (auto const size = c == '[' ? mark_size(text_.part(at_, text_.size())) : 0; size > 0)
            return keep(at_ + size);
        if (auto const found = find(c); found.end > 0)
            return replace(found);
        if (c == ':' && text_.starts(at_ + 1, "//"))
            return authority();
        unit(c);
    }

    match find(char c)
    {
        if (is_quote(c))
            return may_open_quote() ? shapes_.quoted_email(at_) : match{};
        if (is(c, address))
            if (auto const found = shapes_.email(at_); found.end > 0)
                return found;
        if (is(c, alnum) || (c == ':' && !is(last(), alnum) && text_.at(at_ + 1) == ':'))
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
            return shapes_.at_start(at_, c, last(), is_after_name());
        return is(c, digit) && !is(last(), digit) ? shapes_.inside(at_) : match{};
    }
    bool is_after_name() const noexcept
    {
        return last() == '-' && out_.size() > 1 && is(out_[out_.size() - 2], alnum);
    }

    // Letters, digits, or one other character; a name may announce a secret when it ends.
    void unit(char c)
    {
        class_mask const kind = is(c, letter) ? letter : is(c, digit) ? digit : is(c, foreign) ? foreign : 0;
        keep(kind != 0 ? text_.run(at_, kind) : at_ + 1);
        if (is(c, key) && !text_.has(at_, key))
            secret();
    }

    void secret()
    {
        auto const found = find_secret(text_, brackets_, out_, at_);
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
        if (end > at_ && !holds_mark(end))
            replace({end, "[secret]"});
    }

    // Whether a mark stands from here to `end`.
    bool holds_mark(std::size_t end) noexcept
    {
        if (mark_run_ != end) {
            mark_run_ = end;
            after_mark_ = 0;
            for (std::size_t i = text_.find('[', at_, end); i < end; i = text_.find('[', i + 1, end))
                if (mark_size(text_.part(i, end)) > 0)
                    after_mark_ = i + 1;
        }
        return after_mark_ > at_;
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
    bracket_ends brackets_;
    run_ends authority_;
    std::size_t sign_run_ = 0;
    std::size_t sign_ = 0;
    std::size_t mark_run_ = 0;
    std::size_t after_mark_ = 0; // past the start of the last one
    std::size_t at_ = 0;
    std::pmr::string out_;
};

} // namespace

std::pmr::string redact(std::string_view text, std::pmr::memory_resource *memory)
{
    return redact_counting(text, memory).text;
}

// A mark ends or joins what stands beside it, so a rule may then find what it could not before. What was changed is
// read again until nothing changes. A text that does not come to rest, or takes three times the work of words, was
// made for that: nothing of it is kept.
redacted_text redact_counting(std::string_view text, std::pmr::memory_resource *memory)
{
    constexpr int most_passes = 4;
    auto const most_work = [](std::size_t size) { return 20 * size + 4000; };
    std::size_t visited = 0;
    std::pmr::string now(text, memory);
    for (int pass = 0; pass < most_passes && visited <= most_work(text.size()); ++pass) {
        redactor reader(now, memory);
        // By its own size too, so that what was redacted comes to rest when it is redacted again.
        bool const is_whole = reader.run(std::min(most_work(now.size()), most_work(text.size()) - visited));
        visited += reader.visited();
        if (!is_whole)
            break;
        std::pmr::string next = reader.result();
        if (next == now)
            return {std::move(next), visited};
        now = std::move(next);
    }
    return {std::pmr::string("[message]", memory), visited};
}

} // namespace shadow
