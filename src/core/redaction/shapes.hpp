#pragma once
// What identifies somebody or opens something and is known by its shape: mail and network addresses, uuids,
// numbers, hexadecimal strings, keys and tokens.

#include "core/redaction/source_text.hpp"

namespace shadow::redaction
{

struct match {
    std::size_t end = 0;        // 0: none
    std::string_view mark = {}; // empty: the text stays as it is, up to `end`
};

class shapes
{
public:
    explicit shapes(const source_text &text) noexcept
        : text_(text), local_(text, address), hex_(text, hex), dotted_(text, dotted), joined_(text, joined),
          key_(text, key), unmarked_(text, unmarked)
    {
    }

    // At a character of a mail address.
    match email(std::size_t at) noexcept;
    // At a quote: "jane doe"@example.org.
    match quoted_email(std::size_t at) noexcept;
    // At `c`, after `before`, which is no letter or digit; `after_name`: it is a hyphen after one.
    match at_start(std::size_t at, char c, char before, bool after_name) noexcept;
    // A long number within a word.
    match inside(std::size_t at) const noexcept;

private:
    std::size_t sign_size(std::size_t at) const noexcept;
    std::size_t domain_end(std::size_t at) const noexcept;
    std::size_t encoded_sign(std::size_t from, std::size_t end) const noexcept;
    bool names_host(std::size_t from, std::size_t end) const noexcept;
    void read_address(std::size_t at, std::size_t end) noexcept;

    bool may_continue(std::size_t at, char c, char next) const noexcept;
    match hex_word(std::size_t at, std::size_t end, char next) noexcept;
    match uuid(std::size_t at) const noexcept;
    match hex_groups(std::size_t at) noexcept;
    match paired_mac(std::size_t at, char separator) noexcept;
    match ipv4(std::size_t at) noexcept;
    match ipv6(std::size_t at) noexcept;
    match number(std::size_t at) noexcept;
    match dated_name(std::size_t at) const noexcept;
    match long_word(std::size_t at) noexcept;
    match hexadecimal(std::size_t at) noexcept;
    match known_key(std::size_t at) noexcept;
    match token(std::size_t at) noexcept;
    bool is_random(std::string_view word) const noexcept;
    bool is_random_joined(std::size_t at, std::string_view word) noexcept;
    match number_before_letters(std::size_t at) const noexcept;
    std::size_t token_end(std::size_t at) noexcept;

    const source_text &text_;
    run_ends local_;
    run_ends hex_;
    run_ends dotted_;
    run_ends joined_;
    run_ends key_;
    run_ends unmarked_;
    // What was read up to there in vain would be read in vain again from a later group on.
    std::size_t no_hex_groups_before_ = 0;
    std::size_t no_pairs_before_ = 0;
    std::size_t no_ipv4_before_ = 0;
    std::size_t no_ipv6_before_ = 0;
    std::size_t no_number_before_ = 0;
    // What the last run of `local_` is: where an address begins at the latest, where it ends.
    std::size_t address_run_ = 0;
    std::size_t last_start_ = 0;
    std::size_t address_end_ = 0;
};

} // namespace shadow::redaction
