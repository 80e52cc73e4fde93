#pragma once
// Text settings that clients make up, like request.jwt.claims. Policies read them for every row, and looking
// two of them up by name cost as much as the rest of a scan (PostgreSQL 15: a binary search through all
// settings, each comparison folding case). So the place is remembered, and checked at every reading.

#include "pg/prelude.hpp"

namespace shadow::pg
{

class session_text
{
public:
    explicit constexpr session_text(const char *name) noexcept : name_(name) {}

    // "" when it is not set; valid until somebody sets it.
    const char *value();

private:
    const char *look_up() const;

    const char *name_;
    [[maybe_unused]] int place_ = 0; // of the first setting whose name is not less, when it was last read
};

} // namespace shadow::pg
