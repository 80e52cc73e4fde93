#pragma once
// Errors that core raises on purpose. They know nothing of SQLSTATEs: pg/boundary.cpp maps the code.

#include <exception>
#include <string>
#include <utility>

namespace shadow
{

enum class errc {
    invalid_argument, // the caller passed a value outside the documented domain
    invalid_text,     // text input that does not parse
    out_of_range,     // a number that the result type cannot hold
    limit_exceeded,   // an input larger than a documented limit
    memory_exceeded,  // a computation that needs more memory than a setting allows
    data_gone,        // an answer needs events that are no longer kept
    not_allowed,      // the caller may not see what the answer would show
    corrupt_data      // stored or received bytes that are not a valid value
};

// Message, detail and hint follow PostgreSQL's style: lower case, no full stop in the message;
// the detail names the offending value, the hint says what to do. All three must be valid in the
// server encoding, so never put foreign bytes into them unescaped.
class error : public std::exception
{
public:
    explicit error(errc code, std::string message, std::string detail = {}, std::string hint = {})
        : code_(code), message_(std::move(message)), detail_(std::move(detail)), hint_(std::move(hint))
    {
    }
    const char *what() const noexcept override { return message_.c_str(); }
    errc code() const noexcept { return code_; }
    const std::string &detail() const noexcept { return detail_; }
    const std::string &hint() const noexcept { return hint_; }

private:
    errc code_;
    std::string message_;
    std::string detail_;
    std::string hint_;
};

} // namespace shadow
