#pragma once
// The text that is redacted, as its parts read it: classes of characters, runs of them, and a count of the
// characters that were looked at, by which the tests bound the work.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shadow::redaction
{

// Sets of these are masks.
enum char_class : std::uint16_t {
    digit = 1,
    lower = 2,
    upper = 4,
    hex = 8,
    address = 16,          // of a mail address
    key = 32,              // of the name of a value
    joined = 64,           // of base64
    dotted = 128,          // of a token in parts
    solid = 256,           // neither blank nor quote nor angle bracket
    value = 512,           // solid, and neither ; nor &
    blank = 1024,          // space and tab
    foreign = 2048,        // bytes of other alphabets, whatever the encoding
    unmarked = 4096,       // of a name that is no key: small letters, _ and -
    within_round = 8192,   // what may stand between ( and )
    within_square = 16384, // and between [ and ]
    punctuation = 32768    // neither letter nor digit nor foreign
};
using class_mask = std::uint16_t;

inline constexpr class_mask letter = lower | upper;
inline constexpr class_mask alnum = letter | digit;

struct class_table {
    class_mask of[256] = {};

    constexpr class_table()
    {
        for (int c = 0; c < 256; ++c)
            of[c] = classes_of(c);
    }

private:
    static constexpr bool is_any(int c, std::string_view set)
    {
        for (char const s : set)
            if (c == s)
                return true;
        return false;
    }
    static constexpr class_mask classes_of(int c)
    {
        if (c >= 0x80)
            return foreign | address | solid | value | within_round | within_square;
        int mask = c >= '0' && c <= '9'   ? digit | hex
                   : c >= 'a' && c <= 'z' ? (c <= 'f' ? lower | hex : lower)
                   : c >= 'A' && c <= 'Z' ? (c <= 'F' ? upper | hex : upper)
                                          : 0;
        bool const is_alnum = mask != 0;
        mask |= is_alnum || is_any(c, "_.-+%") ? address : 0;
        mask |= is_alnum || is_any(c, "_-") ? key : 0;
        mask |= is_alnum || is_any(c, "_-+/") ? joined : 0;
        mask |= is_alnum || is_any(c, "_-+/.=~") ? dotted : 0;
        mask |= c > ' ' && !is_any(c, "\"'`<>") ? solid : 0;
        mask |= (mask & solid) != 0 && !is_any(c, ";&") ? value : 0;
        mask |= is_any(c, " \t") ? blank : 0;
        mask |= is_alnum ? 0 : punctuation;
        mask |= (mask & lower) != 0 || is_any(c, "_-") ? unmarked : 0;
        mask |= is_any(c, ")[\n") ? 0 : within_round;
        mask |= is_any(c, "][\n") ? 0 : within_square;
        return static_cast<class_mask>(mask);
    }
};
inline constexpr class_table classes;

constexpr bool is(char c, class_mask mask) noexcept
{
    return (classes.of[static_cast<unsigned char>(c)] & mask) != 0;
}
constexpr bool is_quote(char c) noexcept
{
    return c == '"' || c == '\'' || c == '`';
}
constexpr bool is_upper(char c) noexcept
{
    return is(c, upper);
}
constexpr char to_lower(char c) noexcept
{
    return is_upper(c) ? static_cast<char>(c | 0x20) : c;
}

class source_text
{
public:
    explicit source_text(std::string_view text) noexcept : text_(text) {}

    std::size_t size() const noexcept { return text_.size(); }
    std::string_view part(std::size_t from, std::size_t to) const noexcept
    {
        return text_.substr(from, to - from);
    }
    // A zero, which belongs to no class, after the end.
    char at(std::size_t i) const noexcept
    {
        ++visited_;
        return i < text_.size() ? text_[i] : '\0';
    }
    bool has(std::size_t i, class_mask mask) const noexcept { return is(at(i), mask); }
    bool starts(std::size_t i, std::string_view what) const noexcept
    {
        std::size_t same = 0;
        while (same < what.size() && i + same < text_.size() && text_[i + same] == what[same])
            ++same;
        visited_ += same + 1;
        return same == what.size();
    }
    // The end of the characters of these classes from `i` on, no later than `most`.
    std::size_t run(std::size_t i, class_mask mask, std::size_t most = std::string_view::npos) const noexcept
    {
        std::size_t const last = most < text_.size() ? most : text_.size();
        std::size_t end = i;
        while (end < last && is(text_[end], mask))
            ++end;
        visited_ += end - i + 1;
        return end;
    }
    // The same, and all their classes.
    std::size_t run(std::size_t i, class_mask mask, std::size_t most, class_mask *seen) const noexcept
    {
        std::size_t const last = most < text_.size() ? most : text_.size();
        std::size_t end = i;
        for (; end < last; ++end) {
            class_mask const of_this = classes.of[static_cast<unsigned char>(text_[end])];
            if ((of_this & mask) == 0)
                break;
            *seen |= of_this;
        }
        visited_ += end - i + 1;
        return end;
    }
    // The place of `c` in [from, to), or `to`.
    std::size_t find(char c, std::size_t from, std::size_t to) const noexcept
    {
        std::size_t const found = text_.substr(0, to).find(c, from);
        std::size_t const end = found == std::string_view::npos ? to : found;
        visited_ += end - from + 1;
        return end;
    }
    // Looked at by other means.
    void count(std::size_t characters) const noexcept { visited_ += characters; }
    std::size_t visited() const noexcept { return visited_; }

private:
    std::string_view text_;
    mutable std::size_t visited_ = 0;
};

// Runs of one class, asked for from ever later places, but for short steps back: each is read once.
class run_ends
{
public:
    run_ends(const source_text &text, class_mask mask) noexcept : text_(text), mask_(mask) {}

    std::size_t operator()(std::size_t i) noexcept
    {
        if (i < from_) {
            auto const end = text_.run(i, mask_, from_);
            return end == from_ && from_ < end_ ? end_ : end;
        }
        if (i >= end_) {
            from_ = i;
            end_ = text_.run(i, mask_);
        }
        return end_;
    }

private:
    const source_text &text_;
    class_mask mask_;
    std::size_t from_ = 0;
    std::size_t end_ = 0;
};

// The size of a mark that redaction leaves, "[email]", at the start of `text`; 0 if there is none.
std::size_t mark_size(std::string_view text) noexcept;

} // namespace shadow::redaction
