#pragma once
// JSON texts to trees, by simdjson.

#include "document.hpp"

#include <simdjson.h>

namespace importer
{

class json_parser
{
public:
    // Fills `into`; SIMDJSON_PADDING bytes behind the text must be readable. False: malformed, problem() says
    // how.
    bool parse(std::string_view padded, document &d, value &into);
    // The same for any text, which is copied.
    bool parse_copy(std::string_view text, document &d, value &into);
    const char *problem() const noexcept { return problem_; }

private:
    simdjson::ondemand::parser parser_;
    std::string copy_;
    const char *problem_ = "";
};

// Whether a text is a number as JSON writes them.
bool is_json_number(std::string_view text) noexcept;

} // namespace importer
