#pragma once
// Where in a definition something stands, for errors: steps[2].where."metadata.plan".

#include "core/base/error.hpp"

#include <string>
#include <string_view>

namespace shadow::questions
{

// A chain on the stack, from the inner place to the outer.
class place
{
public:
    // The outermost may be without a name: the arguments of a call.
    explicit place(std::string_view name = {}) noexcept : name_(name) {}
    place(const place &outer, std::string_view key, bool quoted = false) noexcept
        : outer_(&outer), name_(key), quoted_(quoted)
    {
    }
    place(const place &outer, std::size_t index) noexcept : outer_(&outer), index_(index) {}

    // Indexes count from 1, as steps do.
    std::string text() const
    {
        if (outer_ == nullptr)
            return std::string(name_);
        std::string result = outer_->text();
        if (name_.empty())
            return result + "[" + std::to_string(index_ + 1) + "]";
        if (!result.empty())
            result += ".";
        return result + (quoted_ ? '"' + shown(name_) + '"' : std::string(name_));
    }

    [[noreturn]] void refuse(const std::string &problem, const std::string &hint) const
    {
        throw error(errc::invalid_argument, problem, "At " + text() + ".", hint);
    }

    // Text of the caller's as part of a message: in the host's encoding, so it is shown whole or not at all.
    static std::string shown(std::string_view text)
    {
        return text.size() <= 120 ? std::string(text) : "(" + std::to_string(text.size()) + " bytes)";
    }

private:
    const place *outer_ = nullptr;
    std::string_view name_;
    std::size_t index_ = 0;
    bool quoted_ = false;
};

} // namespace shadow::questions
