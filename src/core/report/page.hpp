#pragma once
// Writes data into the page of a report: one HTML file that holds a placeholder in an element of type application/json.

#include "core/base/interrupt.hpp"

#include <memory_resource>
#include <string>
#include <string_view>

namespace shadow
{

// Stands in the page exactly once.
inline constexpr std::string_view report_placeholder = "@REPORT@";

// Appends to `out` a JSON text that means the same, in ASCII without <, > and &: nothing in it ends the element or is
// markup, whatever encoding the file is read in. Bytes that are not UTF-8 become U+FFFD.
void embed_json(std::string_view json, std::pmr::string &out, interrupt_check check);

// The page with the data in it. Throws corrupt_data for a page that is not ASCII or lacks its placeholder.
std::pmr::string report_page(std::string_view page, std::string_view json, std::pmr::memory_resource *memory,
                             interrupt_check check);

} // namespace shadow
