// libFuzzer target: the first line is the old setting of a subject, the rest the claims of a token. The unit
// tests replay test/fuzz/corpus/claims.

#include "core/access/claims.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace claims_fuzz
{

using shadow::uuid;

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

// As many as `capacity` on the heap, where a write beyond them is noticed.
inline std::vector<uuid> workspaces(std::string_view claims, std::size_t capacity)
{
    std::vector<uuid> out(capacity);
    auto const count = shadow::claimed_workspaces(claims, out.data(), capacity);
    require(count <= capacity);
    out.resize(count);
    return out;
}

// The claims are one JSON document: anything before or after them, or less of them, is nobody's.
inline void check_document(std::string_view claims)
{
    std::string const text(claims);
    require(shadow::current_user("", " \t\r\n" + text + " \t\r\n") == shadow::current_user("", claims));
    if (!shadow::current_user("", claims))
        return;
    for (char const *more : {"x", "{}", ",", "]"}) {
        require(!shadow::current_user("", text + more));
        require(!shadow::current_user("", more + text));
    }
    auto const last = text.find_last_of('}');
    for (std::size_t size = 1; size <= last; size += 1 + size / 16)
        require(!shadow::current_user("", claims.substr(0, size)));
}

inline void check(std::string_view legacy, std::string_view claims)
{
    auto const user = shadow::current_user(legacy, claims);
    auto const by_claims = shadow::current_user("", claims);
    require(claims.empty() || legacy.empty() || !user || user == by_claims);
    require(!claims.empty() || user == shadow::parse_uuid(legacy));
    auto const all = workspaces(claims, shadow::workspace_capacity(claims.size()));
    for (std::size_t capacity = 0; capacity <= std::min<std::size_t>(all.size(), 3); ++capacity)
        require(workspaces(claims, capacity) ==
                std::vector<uuid>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(capacity)));
    require(workspaces(claims, all.size()) == all);
    check_document(claims);
}

} // namespace claims_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    std::string_view const text(reinterpret_cast<const char *>(data), size);
    auto const line = text.find('\n');
    if (line == text.npos)
        claims_fuzz::check("", text);
    else
        claims_fuzz::check(text.substr(0, line), text.substr(line + 1));
    return 0;
}
