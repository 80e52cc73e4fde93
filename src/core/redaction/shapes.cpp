#include "core/redaction/shapes.hpp"

#include "core/base/uuid.hpp"
#include "core/redaction/spelling.hpp"

#include <algorithm>
#include <iterator>

namespace shadow::redaction
{

namespace
{

constexpr std::size_t least_number = 6; // digits
constexpr std::size_t least_number_in_word = 8;
constexpr std::size_t least_hex = 8;
constexpr std::size_t longest_code = 8; // digits of 0x…: an error's code, an address of 32 bits
constexpr std::size_t uuid_size = 36;

bool is_label_start(char c) noexcept
{
    return is(c, letter | foreign);
}

// ---- network addresses -----------------------------------------------------------------------------------

// 203.0.113.7
struct ipv4_parts {
    std::size_t next; // where reading came to
    int count = 0;

    ipv4_parts(const source_text &text, std::size_t at) noexcept : next(at)
    {
        while (count < 4) {
            auto const end = text.run(next, digit, next + 4);
            if (end == next || end == next + 4)
                return;
            ++count;
            if (count < 4 && text.at(end) != '.')
                return;
            next = count < 4 ? end + 1 : end;
        }
    }
};

// 0 if there is none.
std::size_t ipv4_end(const source_text &text, std::size_t at) noexcept
{
    ipv4_parts const parts(text, at);
    return parts.count == 4 ? parts.next : 0;
}

// A colon, also as in a URL; 0 if there is none.
std::size_t colon_size(const source_text &text, std::size_t at) noexcept
{
    char const c = text.at(at);
    if (c == ':')
        return 1;
    return c == '%' && text.at(at + 1) == '3' && (text.at(at + 2) | 0x20) == 'a' ? 3 : 0;
}

// One to `most` hexadecimal digits that are a whole word.
std::size_t hex_group(const source_text &text, std::size_t at, std::size_t most) noexcept
{
    std::size_t size = 0;
    while (size <= most && text.has(at + size, hex))
        ++size;
    return size > 0 && size <= most && !text.has(at + size, alnum | foreign) ? size : 0;
}

class ipv6_reader
{
public:
    ipv6_reader(const source_text &text, std::size_t at) noexcept : text_(text), at_(at) {}

    // 0 if there is none. Eight groups or more, or fewer around "::"; A::B alone is a name in a program.
    std::size_t read() noexcept
    {
        if (text_.at(at_) == ':')
            gap(2);
        else if (!group())
            return 0;
        while (!done_ && next()) {
        }
        bool const is_address = gaps_ == 1 && groups_ > 0 && (has_digit_ || colons_ > 0) && !ends_amid_name();
        return is_address || groups_ >= 8 ? at_ + zone() : 0;
    }

    // What was read from its start to there is no address from any later group on either.
    std::size_t none_before() const noexcept { return gaps_ > 0 ? gap_ : at_; }

private:
    bool next() noexcept
    {
        auto const colon = colon_size(text_, at_);
        if (colon == 0)
            return false;
        if (auto const second = colon_size(text_, at_ + colon); second > 0)
            return gap(colon + second);
        std::size_t const back = at_;
        at_ += colon;
        if (group()) {
            ++colons_;
            ends_in_gap_ = false;
            return true;
        }
        at_ = back;
        return false;
    }

    bool gap(std::size_t size) noexcept
    {
        if (gaps_ > 0) {
            is_name_ = true;
            return false;
        }
        ++gaps_;
        gap_ = at_;
        at_ += size;
        ends_in_gap_ = !group();
        return true;
    }

    // One to four hexadecimal digits that are a whole word, or an IPv4 address.
    bool group() noexcept
    {
        class_mask seen = 0;
        std::size_t end = text_.run(at_, hex, at_ + 5, &seen);
        char const next = text_.at(end);
        if (end == at_ || end > at_ + 4 || is(next, alnum | foreign))
            return false;
        ++groups_;
        has_digit_ = has_digit_ || (seen & digit) != 0;
        if (auto const ip_end = next == '.' ? ipv4_end(text_, at_) : 0; ip_end > 0) {
            end = ip_end;
            ++groups_;
            done_ = true;
        }
        at_ = end;
        return true;
    }

    // 1::text, a::b::c
    bool ends_amid_name() const noexcept
    {
        if (is_name_)
            return true;
        char const c = text_.at(at_);
        if (ends_in_gap_)
            return is(c, alnum | foreign) || c == '_' || c == '[' || colon_size(text_, at_) > 0;
        auto const colon = done_ ? colon_size(text_, at_) : 0;
        return colon > 0 && colon_size(text_, at_ + colon) > 0;
    }

    // %eth0, %25eth0, %12; %20 and a word are something else.
    std::size_t zone() const noexcept
    {
        if (text_.at(at_) != '%')
            return 0;
        auto const end = text_.run(at_ + 1, alnum);
        bool const is_zone = text_.has(at_ + 1, letter) || text_.starts(at_ + 1, "25") ||
                             (end > at_ + 1 && text_.run(at_ + 1, digit) == end);
        return is_zone ? end - at_ : 0;
    }

    const source_text &text_;
    std::size_t at_;
    int groups_ = 0;
    int gaps_ = 0;
    std::size_t gap_ = 0;
    int colons_ = 0;
    bool ends_in_gap_ = false;
    bool is_name_ = false; // a second gap
    bool has_digit_ = false;
    bool done_ = false;
};

// Pairs of hexadecimal digits with one separator between them.
struct hex_pairs {
    std::size_t last; // where the last one begins
    int count = 0;
    bool has_letter = false;

    hex_pairs(const source_text &text, std::size_t at, char separator) noexcept : last(at)
    {
        for (std::size_t next = at; hex_group(text, next, 2) == 2; next += 3) {
            has_letter = has_letter || text.has(next, letter) || text.has(next + 1, letter);
            last = next;
            ++count;
            if (text.at(next + 2) != separator)
                break;
        }
    }
};

// 001a.2b3c.4d5e
std::size_t dotted_mac_end(const source_text &text, std::size_t at) noexcept
{
    bool has_digit = false;
    bool has_letter = false;
    for (int group = 0; group < 3; ++group, ++at) {
        if (hex_group(text, at, 4) != 4 || (group < 2 && text.at(at + 4) != '.'))
            return 0;
        for (int i = 0; i < 4; ++i, ++at) {
            has_digit = has_digit || text.has(at, digit);
            has_letter = has_letter || text.has(at, letter);
        }
    }
    return has_digit && has_letter ? at - 1 : 0;
}

// ---- numbers ---------------------------------------------------------------------------------------------

// Groups of digits with one separator between them, as far as they were read.
struct digit_groups {
    std::size_t end = 0;
    std::size_t digits = 0;
    char next = '\0'; // after the end
    bool open = false;

    // The group at `start`; false if it does not belong to a number. 2024-07-04T12 ends in one that does.
    bool add(const source_text &text, std::size_t start) noexcept
    {
        auto const group_end = text.run(start, digit);
        char const after = text.at(group_end);
        bool const before_time = after == 'T' && text.has(group_end + 1, digit);
        open = is(after, alnum) && !before_time;
        if (open || group_end == start)
            return false;
        digits += group_end - start;
        end = group_end;
        next = after;
        return true;
    }

    // What stands after the group from `start` joins it to another; a blank only groups of two or more.
    bool joins(const source_text &text, std::size_t start) const noexcept
    {
        if (next == ' ')
            return end - start >= 2 && text.has(end + 1, digit) && text.has(end + 2, digit);
        return (next == '-' || next == '.' || next == '/' || next == '_') && text.has(end + 1, digit);
    }

    // Whether what follows makes the last group part of something else: 12ab, 12:30, 12-ab.
    bool goes_on(const source_text &text) const noexcept
    {
        if (next == '-' || next == '_')
            return text.has(end + 1, letter) || text.at(end + 1) == '[';
        return is(next, alnum) || next == ':' || next == '[';
    }
};

// 20241022 or 2024-10-22 from 2020 on; 0 if there is none.
std::size_t recent_date_end(const source_text &text, std::size_t at) noexcept
{
    std::size_t const year_end = at + 4;
    bool const is_year = text.at(at) == '2' && text.at(at + 1) == '0' &&
                         (text.at(at + 2) == '2' || text.at(at + 2) == '3') && text.has(at + 3, digit);
    if (!is_year)
        return 0;
    std::size_t const gap = text.at(year_end) == '-' ? 1 : 0;
    std::size_t const month = year_end + gap;
    std::size_t const day = month + 2 + gap;
    bool const is_date = text.run(month, digit) == (gap > 0 ? month + 2 : month + 4) &&
                         (gap == 0 || (text.at(month + 2) == '-' && text.run(day, digit) == day + 2)) &&
                         text.at(month) <= '1' && text.at(day) <= '3';
    return is_date ? day + 2 : 0;
}

// ---- keys of well-known services -------------------------------------------------------------------------

struct key_prefix {
    std::string_view text;
    std::size_t least; // characters that follow
    class_mask rest;   // and their classes
};

// By their first characters.
constexpr key_prefix key_prefixes[] = {{"AKIA", 12, digit | upper},
                                       {"ASIA", 12, digit | upper},
                                       {"ABIA", 12, digit | upper},
                                       {"ACCA", 12, digit | upper},
                                       {"AGPA", 12, digit | upper},
                                       {"AIDA", 12, digit | upper},
                                       {"AIPA", 12, digit | upper},
                                       {"ANPA", 12, digit | upper},
                                       {"ANVA", 12, digit | upper},
                                       {"APKA", 12, digit | upper},
                                       {"AROA", 12, digit | upper},
                                       {"ASCA", 12, digit | upper},
                                       {"ATATT3x", 8, key},
                                       {"AGE-SECRET-KEY-", 8, key},
                                       {"AIza", 16, key},
                                       {"GOCSPX-", 8, key},
                                       {"NRAK-", 8, key},
                                       {"SG.", 16, key},
                                       {"dop_v1_", 8, key},
                                       {"doo_v1_", 8, key},
                                       {"dor_v1_", 8, key},
                                       {"dapi", 30, key},
                                       {"dckr_pat_", 8, key},
                                       {"eyJ", 8, key},
                                       {"figd_", 8, key},
                                       {"ghp_", 8, key},
                                       {"gho_", 8, key},
                                       {"ghu_", 8, key},
                                       {"ghs_", 8, key},
                                       {"ghr_", 8, key},
                                       {"github_pat_", 8, key},
                                       {"glpat-", 8, key},
                                       {"gldt-", 8, key},
                                       {"glrt-", 8, key},
                                       {"glptt-", 8, key},
                                       {"glsa_", 8, key},
                                       {"gsk_", 16, key},
                                       {"hf_", 16, key},
                                       {"hvs.", 16, key},
                                       {"hvb.", 16, key},
                                       {"lin_api_", 8, key},
                                       {"lsv2_pt_", 8, key},
                                       {"lsv2_sk_", 8, key},
                                       {"npm_", 16, key},
                                       {"ntn_", 16, key},
                                       {"nvapi-", 8, key},
                                       {"pk_live_", 4, key},
                                       {"pk_test_", 4, key},
                                       {"pplx-", 16, key},
                                       {"pypi-", 16, key},
                                       {"pscale_tkn_", 8, key},
                                       {"pscale_pw_", 8, key},
                                       {"pcsk_", 8, key},
                                       {"rk_live_", 4, key},
                                       {"rk_test_", 4, key},
                                       {"r8_", 16, key},
                                       {"rnd_", 20, key},
                                       {"sk_live_", 4, key},
                                       {"sk_test_", 4, key},
                                       {"sk-proj-", 6, key},
                                       {"sk-svcacct-", 6, key},
                                       {"sk-admin-", 6, key},
                                       {"sk-ant-", 6, key},
                                       {"sk-or-", 6, key},
                                       {"sk-", 16, key},
                                       {"shpat_", 8, key},
                                       {"shpss_", 8, key},
                                       {"shpca_", 8, key},
                                       {"sq0atp-", 8, key},
                                       {"sq0csp-", 8, key},
                                       {"sbp_", 16, key},
                                       {"sb_secret_", 6, key},
                                       {"tvly-", 8, key},
                                       {"whsec_", 4, key},
                                       {"xoxb-", 6, key},
                                       {"xoxp-", 6, key},
                                       {"xoxa-", 6, key},
                                       {"xoxr-", 6, key},
                                       {"xoxs-", 6, key},
                                       {"xoxe-", 6, key},
                                       {"xoxe.", 6, key},
                                       {"xapp-", 6, key},
                                       {"xai-", 16, key},
                                       {"ya29.", 8, key}};

// [from, to) of key_prefixes for each first character.
struct prefix_index {
    unsigned char from[256] = {};
    unsigned char to[256] = {};

    constexpr prefix_index()
    {
        for (std::size_t i = 0; i < std::size(key_prefixes); ++i) {
            auto const first = static_cast<unsigned char>(key_prefixes[i].text.front());
            from[first] = to[first] == 0 ? static_cast<unsigned char>(i) : from[first];
            to[first] = static_cast<unsigned char>(i + 1);
        }
    }
};
constexpr prefix_index prefixes_by_first;

} // namespace

// ---- mail addresses --------------------------------------------------------------------------------------

// An @, also as JSON and HTML write it; 0 if there is none.
std::size_t shapes::sign_size(std::size_t at) const noexcept
{
    static constexpr std::string_view signs[] = {"@", "\\u0040", "&#64;", "&#x40;", "&commat;"};
    char const c = text_.at(at);
    if (c != '@' && c != '\\' && c != '&')
        return 0;
    for (auto const sign : signs)
        if (text_.starts(at, sign))
            return sign.size();
    return 0;
}

// A label that begins with a letter: foo@1.2.3 is a version.
bool shapes::names_host(std::size_t from, std::size_t end) const noexcept
{
    bool starts_label = true;
    for (std::size_t i = from; i < end; ++i) {
        char const c = text_.at(i);
        if (starts_label && is_label_start(c))
            return true;
        starts_label = c == '.';
    }
    return false;
}

// The end of the host at `at`; 0 if there is none.
std::size_t shapes::domain_end(std::size_t at) const noexcept
{
    if (text_.at(at) == '[') {
        std::size_t end = at + (text_.starts(at + 1, "IPv6:") ? 6 : 1);
        while (text_.has(end, hex) || text_.at(end) == '.' || text_.at(end) == ':')
            ++end;
        return text_.at(end) == ']' && end > at + 1 ? end + 1 : 0;
    }
    if (auto const end = ipv4_end(text_, at); end > 0)
        return end;
    std::size_t end = text_.run(at, address);
    if (!names_host(at, end))
        return 0;
    while (end > at && is(text_.part(end - 1, end).front(), address) &&
           !is(text_.part(end - 1, end).front(), alnum | foreign))
        --end;
    return end;
}

// The last "%40" or "%2540" in [from, end) after which a label begins with a letter; `end` if there is none.
std::size_t shapes::encoded_sign(std::size_t from, std::size_t end) const noexcept
{
    bool host_follows = false;
    for (std::size_t i = end; i-- > from;) {
        char const c = text_.at(i);
        auto const size = c != '%' ? 1u : text_.starts(i, "%40") ? 3u : text_.starts(i, "%2540") ? 5u : 0u;
        if ((c == '.' || size > 1) && i + size < end)
            host_follows = host_follows || is_label_start(text_.at(i + size));
        if (size > 1 && host_follows)
            return i;
    }
    return end;
}

void shapes::read_address(std::size_t at, std::size_t end) noexcept
{
    if (address_run_ == end)
        return;
    address_run_ = end;
    auto const sign = sign_size(end);
    address_end_ = sign > 0 ? domain_end(end + sign) : 0;
    last_start_ = end;
    if (address_end_ == 0) {
        last_start_ = encoded_sign(at, end);
        address_end_ = last_start_ < end ? end : 0;
    }
}

match shapes::email(std::size_t at) noexcept
{
    auto const end = local_(at);
    if (end == at)
        return {};
    read_address(at, end);
    return address_end_ > 0 && at < last_start_ ? match{address_end_, "[email]"} : match{};
}

match shapes::quoted_email(std::size_t at) noexcept
{
    auto const close = text_.find(text_.at(at), at + 1, text_.size());
    std::string_view const name = text_.part(at + 1, close);
    auto const sign = close < text_.size() && !name.empty() ? sign_size(close + 1) : 0;
    if (sign == 0 || name.find_first_of("[\n") != std::string_view::npos)
        return {};
    auto const end = domain_end(close + 1 + sign);
    return end > 0 ? match{end, "[email]"} : match{};
}

// ---- at the start of a word ------------------------------------------------------------------------------

match shapes::uuid(std::size_t at) const noexcept
{
    if (at + uuid_size > text_.size())
        return {};
    text_.count(uuid_size);
    return parse_uuid(text_.part(at, at + uuid_size)) ? match{at + uuid_size, "[uuid]"} : match{};
}

// Four or more hexadecimal digits between hyphens, as in uuids that are grouped in another way or damaged.
match shapes::hex_groups(std::size_t at) noexcept
{
    if (at < no_hex_groups_before_)
        return {};
    std::size_t digits = 0;
    class_mask seen = 0;
    std::size_t end = at;
    for (std::size_t start = at;; start = end + 1) {
        class_mask of_group = 0;
        auto const group_end = text_.run(start, hex, text_.size(), &of_group);
        if (group_end - start < 4)
            break;
        seen |= of_group;
        digits += group_end - start;
        end = group_end;
        if (text_.at(end) != '-')
            break;
    }
    bool const is_long = digits >= 16 && end - at > digits;
    if (is_long && (seen & digit) != 0 && (seen & letter) != 0)
        return {text_.run(end, alnum), "[hex]"};
    no_hex_groups_before_ = end;
    return {};
}

// Six or more pairs; with hyphens a letter among them.
match shapes::paired_mac(std::size_t at, char separator) noexcept
{
    if (at < no_pairs_before_)
        return {};
    hex_pairs const pairs(text_, at, separator);
    if (pairs.count >= 6 && (pairs.has_letter || separator == ':'))
        return {pairs.last + 2, "[mac]"};
    no_pairs_before_ = pairs.last;
    return {};
}

match shapes::ipv6(std::size_t at) noexcept
{
    if (at < no_ipv6_before_)
        return {};
    ipv6_reader reader(text_, at);
    auto const end = reader.read();
    if (end > 0)
        return {end, "[ip]"};
    no_ipv6_before_ = reader.none_before();
    return {};
}

// Groups of digits with one separator between them count as one number: cards, phones, dates. Digits after a
// blank that are part of something else do not belong to it.
match shapes::number(std::size_t at) noexcept
{
    if (at < no_number_before_)
        return {};
    digit_groups groups;
    digit_groups before_blank;
    for (std::size_t start = at; groups.add(text_, start); start = groups.end + 1) {
        if (!groups.joins(text_, start)) {
            groups.open = groups.goes_on(text_);
            break;
        }
        if (groups.next == ' ')
            before_blank = groups;
    }
    auto const &whole = groups.open && before_blank.digits > 0 ? before_blank : groups;
    if (whole.digits >= least_number)
        return {whole.end, "[number]"};
    no_number_before_ = whole.end;
    return {};
}

// 1234567ms
match shapes::number_before_letters(std::size_t at) const noexcept
{
    auto const end = text_.run(at, digit);
    return end - at >= least_number ? match{end, "[number]"} : match{};
}

match shapes::inside(std::size_t at) const noexcept
{
    auto const end = text_.run(at, digit);
    return end - at >= least_number_in_word ? match{end, "[number]"} : match{};
}

// The name of a model or a build may end in its date: sonnet-20241022, gpt-4o-2024-08-06.
match shapes::dated_name(std::size_t at) const noexcept
{
    std::size_t start = at;
    for (std::size_t end = text_.run(start, digit); end > start && end - start <= 2 && start - at <= 6;) {
        if (text_.at(end) != '-' && text_.at(end) != '.')
            return {};
        start = end + 1;
        end = text_.run(start, digit);
    }
    auto const end = recent_date_end(text_, start);
    return end > 0 && !text_.has(end, alnum) ? match{end, {}} : match{};
}

match shapes::hexadecimal(std::size_t at) noexcept
{
    char const c = text_.at(at);
    if (!is(c, hex))
        return {};
    if (c == '0' && text_.at(at + 1) == 'x') {
        auto const end = text_.run(at + 2, hex);
        return end - at - 2 > longest_code ? match{end, "[hex]"} : end > at + 2 ? match{end, {}} : match{};
    }
    auto const end = hex_(at);
    bool const is_whole = end - at >= least_hex && !text_.has(end, alnum);
    if (!is_whole)
        return {};
    std::string_view const value = text_.part(at, end);
    text_.count(value.size());
    bool const has_digit = std::any_of(value.begin(), value.end(), [](char d) { return is(d, digit); });
    return has_digit ? match{end, "[hex]"} : match{};
}

std::size_t shapes::token_end(std::size_t at) noexcept
{
    auto end = dotted_(at);
    while (end > at + 1 && (text_.at(end - 1) == '.' || text_.at(end - 1) == '/'))
        --end;
    return end;
}

match shapes::known_key(std::size_t at) noexcept
{
    auto const first = static_cast<unsigned char>(text_.at(at));
    if (prefixes_by_first.to[first] == 0)
        return {};
    char const second = text_.at(at + 1);
    for (int i = prefixes_by_first.from[first]; i < prefixes_by_first.to[first]; ++i) {
        auto const &prefix = key_prefixes[i];
        if (prefix.text[1] != second || !text_.starts(at + 2, prefix.text.substr(2)))
            continue;
        std::size_t const start = at + prefix.text.size();
        auto const end = std::min(
            prefix.rest == key ? key_(start) : text_.run(start, prefix.rest, start + 40), start + 40);
        if (end - start >= prefix.least && unmarked_(start) < end)
            return {token_end(at), "[token]"};
    }
    return {};
}

match shapes::token(std::size_t at) noexcept
{
    class_mask seen = 0;
    auto const end = text_.run(at, alnum, text_.size(), &seen);
    if ((seen & (digit | upper)) == 0)
        return {};
    std::string_view const word = text_.part(at, end);
    return is_random(word) || is_random_joined(at, word) ? match{token_end(at), "[token]"} : match{};
}

bool shapes::is_random(std::string_view word) const noexcept
{
    if (word.size() < least_random)
        return false;
    text_.count(4 * word.size());
    return looks_random(word) || looks_random(before_long_number(word, least_number_in_word));
}

bool shapes::is_random_joined(std::size_t at, std::string_view word) noexcept
{
    if (word.size() >= joined_window || joined_(at) < at + joined_window)
        return false;
    text_.count(2 * word.size());
    if (!is_irregular(word))
        return false;
    std::string_view const window = text_.part(at, at + joined_window);
    std::size_t known = 0;
    bool has_small = false;
    for (char const c : window) {
        known += is(c, alnum) ? 1 : 0;
        has_small = has_small || is(c, lower);
    }
    text_.count(joined_window);
    if (known < least_random)
        return false;
    text_.count(2 * joined_window);
    return looks_random_joined(window, has_small);
}

match shapes::ipv4(std::size_t at) noexcept
{
    if (at < no_ipv4_before_)
        return {};
    ipv4_parts const parts(text_, at);
    if (parts.count == 4)
        return {parts.next, "[ip]"};
    no_ipv4_before_ = parts.next;
    return {};
}

// Hexadecimal digits up to `end`; what stands there tells what they may begin.
match shapes::hex_word(std::size_t at, std::size_t end, char next) noexcept
{
    auto const size = end - at;
    if (next == '-' && size >= 4) {
        auto const found = size == 8 ? uuid(at) : match{};
        return found.end > 0 ? found : hex_groups(at);
    }
    if ((next == '-' || next == ':') && size == 2)
        if (auto const found = paired_mac(at, next); found.end > 0)
            return found;
    if (next == '.' && size == 4)
        if (auto const mac_end = dotted_mac_end(text_, at); mac_end > 0)
            return {mac_end, "[mac]"};
    if (next == '.' && size <= 3)
        return ipv4(at);
    return (next == ':' || next == '%') && size <= 4 ? ipv6(at) : match{};
}

// Whether a word of up to three characters, which ends before `next`, may begin something but an address.
bool shapes::may_continue(std::size_t at, char c, char next) const noexcept
{
    return next == '-' || next == '.' || next == '/' || next == '_' || next == '+' ||
           (next == ' ' && is(c, digit)) || (c == '0' && text_.at(at + 1) == 'x');
}

match shapes::at_start(std::size_t at, char c, char before, bool after_name) noexcept
{
    if (!is(c, alnum))
        return ipv6(at);
    auto end = is(c, hex) ? hex_(at) : at;
    char next = end > at ? text_.at(end) : c;
    if (end > at && before != '%')
        if (auto const found = hex_word(at, end, next); found.end > 0)
            return found;
    constexpr std::size_t longest_short = 3;
    if (is(next, alnum) && end - at <= longest_short) {
        end = text_.run(end, alnum, at + longest_short + 1);
        next = text_.at(end);
    }
    bool const is_short = end - at <= longest_short;
    if (is_short && !may_continue(at, c, next))
        return {};
    if (is(c, digit)) {
        auto const found = after_name ? dated_name(at) : match{};
        if (auto const whole = found.end > 0 ? found : number(at); whole.end > 0)
            return whole;
        return is_short && text_.run(at, digit, end) == end ? match{} : long_word(at);
    }
    return long_word(at);
}

match shapes::long_word(std::size_t at) noexcept
{
    for (auto const matcher : {&shapes::hexadecimal, &shapes::known_key, &shapes::token})
        if (auto const found = (this->*matcher)(at); found.end > 0)
            return found;
    return number_before_letters(at);
}

std::size_t mark_size(std::string_view text) noexcept
{
    static constexpr std::string_view marks[] = {"[email]", "[uuid]",  "[ip]",     "[mac]",  "[number]",
                                                 "[hex]",   "[token]", "[secret]", "[query]"};
    if (text.empty() || text.front() != '[')
        return 0;
    for (auto const mark : marks)
        if (text.substr(0, mark.size()) == mark)
            return mark.size();
    return 0;
}

} // namespace shadow::redaction
