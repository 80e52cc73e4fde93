// libFuzzer target: any bytes as the text of a uuid, and as one. The unit tests replay test/fuzz/corpus/uuid.

#include "core/base/uuid.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace uuid_fuzz
{

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

inline bool is_one_of(char c, std::string_view characters)
{
    return characters.find(c) != characters.npos;
}

// Whatever its form, an accepted text is 32 digits with hyphens and braces among them, and they are the uuid's.
inline void check_text(std::string_view text)
{
    auto const id = shadow::parse_uuid(text);
    if (!id)
        return;
    char usual[37];
    std::string_view const formatted = shadow::format_uuid(*id, usual);
    require(formatted.size() == 36 && shadow::parse_uuid(formatted) == id);
    std::string digits, expected;
    for (char const c : text) {
        require(is_one_of(c, "0123456789abcdefABCDEF-{}"));
        if (!is_one_of(c, "-{}"))
            digits += is_one_of(c, "ABCDEF") ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    for (char const c : formatted)
        if (c != '-')
            expected += c;
    require(digits == expected);
    require(!shadow::parse_uuid(std::string(text) + "0"));
}

inline void check_bytes(const std::uint8_t *bytes)
{
    auto const id = shadow::uuid::from_bytes(bytes);
    std::uint8_t again[16];
    id.to_bytes(again);
    require(std::memcmp(bytes, again, sizeof again) == 0);
    char text[37];
    require(shadow::parse_uuid(shadow::format_uuid(id, text)) == id);
}

} // namespace uuid_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    uuid_fuzz::check_text({reinterpret_cast<const char *>(data), size});
    if (size >= 16)
        uuid_fuzz::check_bytes(data);
    return 0;
}
