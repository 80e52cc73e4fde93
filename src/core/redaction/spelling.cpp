#include "core/redaction/spelling.hpp"

#include "core/redaction/source_text.hpp"

#include <algorithm>

namespace shadow::redaction
{

namespace
{

std::size_t run(std::string_view text, std::size_t from, class_mask mask) noexcept
{
    while (from < text.size() && is(text[from], mask))
        ++from;
    return from;
}

bool has_vowel(std::string_view letters) noexcept
{
    return letters.find_first_of("aeiouyAEIOUY") != std::string_view::npos;
}

// How runs of letters and digits are spelled. `plain` letters are in words as people write them: three or
// more letters with a vowel, small but for the first, or many capitals; or letters of one case alone.
struct spelling {
    std::size_t size = 0;
    std::size_t digits = 0;
    std::size_t small = 0;
    std::size_t capitals = 0;
    std::size_t plain = 0;
    std::size_t turns = 0; // from letter to digit or back

    bool has_letters() const noexcept { return small + capitals > 0; }
    bool is_mixed() const noexcept { return small > 0 && capitals > 0; }

    // Digits alone say nothing and count for nothing. `has_small`: small letters stand in another run.
    void add(std::string_view word, bool has_small = false) noexcept
    {
        std::size_t counts[3] = {};
        for (char const c : word)
            ++counts[is(c, digit) ? 0 : is(c, lower) ? 1 : 2];
        if (counts[0] == word.size())
            return;
        size += word.size();
        digits += counts[0];
        small += counts[1];
        capitals += counts[2];
        if (counts[1] == word.size() || counts[2] == word.size())
            plain += word.size();
        else
            read_mixed(word, has_small || counts[1] > 0);
    }

private:
    void read_mixed(std::string_view word, bool has_small) noexcept
    {
        for (std::size_t at = 0; at < word.size();) {
            auto const first_small = run(word, at, upper);
            auto const end = run(word, first_small, lower);
            read_letters(word.substr(at, end - at), first_small - at, has_small ? 6 : 3);
            auto const next = run(word, end, digit);
            turns += next > end && end > 0 ? 1 : 0;
            turns += next > end && next < word.size() ? 1 : 0;
            at = next;
        }
    }

    // Capitals, the last of which may begin a word, then small letters.
    void read_letters(std::string_view letters, std::size_t first_small, std::size_t least_capitals) noexcept
    {
        std::size_t const first = first_small - (first_small > 0 && letters.size() > first_small ? 1 : 0);
        std::string_view const word = letters.substr(first);
        bool const is_word = letters.size() > first_small && word.size() >= 3 && has_vowel(word);
        std::string_view const rest = letters.substr(0, is_word ? first : first_small);
        plain += is_word ? word.size() : 0;
        plain += rest.size() >= least_capitals && has_vowel(rest) ? rest.size() : 0;
    }
};

} // namespace

bool looks_random(std::string_view word) noexcept
{
    constexpr std::size_t long_word = 20;
    if (word.size() < least_random)
        return false;
    spelling all;
    all.add(word);
    if (all.digits == 0)
        return all.is_mixed() && word.size() >= long_word && 3 * all.plain < word.size();
    return all.has_letters() &&
           (2 * all.plain < word.size() || (all.turns >= 4 && 4 * all.turns >= word.size()) ||
            (all.digits >= 4 && word.size() >= long_word));
}

bool is_irregular(std::string_view word) noexcept
{
    spelling all;
    all.add(word);
    return all.has_letters() && 3 * all.plain < 2 * word.size();
}

bool looks_random_joined(std::string_view window, bool has_small) noexcept
{
    spelling all;
    for (std::size_t at = 0; at < joined_window;) {
        auto const end = run(window, at, alnum);
        all.add(window.substr(at, end - at), has_small);
        at = end + 1;
    }
    if (all.size < least_random || (all.digits == 0 && !all.is_mixed()))
        return false;
    return (all.digits > 0 ? 2 : 3) * all.plain < all.size;
}

std::string_view before_long_number(std::string_view word, std::size_t digits) noexcept
{
    for (std::size_t at = 0; at < word.size();) {
        auto const start = std::min(run(word, at, letter), word.size());
        auto const end = run(word, start, digit);
        if (start > 0 && end - start >= digits)
            return word.substr(0, start);
        at = end;
    }
    return {};
}

} // namespace shadow::redaction
