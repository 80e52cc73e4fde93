// libFuzzer target: any bytes as a portable set, as a stored value whose contents were not checked, and as
// text. The unit tests replay test/fuzz/corpus/user_set.

#include "core/sets/user_set.hpp"

#include <cstdlib>
#include <string>

namespace user_set_fuzz
{

using shadow::user_set_view;
using shadow::roaring::writer;
using bytes = std::vector<std::uint8_t>;

inline void require(bool condition)
{
    if (!condition)
        std::abort();
}

inline bytes portable(const writer &set)
{
    bytes out(set.portable_size());
    set.write_portable(out.data());
    return out;
}

// A set that was accepted is canonical from then on, and every form gives it back.
inline void check_accepted(const bytes &canonical)
{
    user_set_view const set = user_set_view::portable(canonical.data(), canonical.size());
    writer again(std::pmr::new_delete_resource());
    shadow::decode_portable(canonical.data(), canonical.size(), again);
    require(portable(again) == canonical);
    if (set.cardinality() > 100000)
        return;
    std::string text(shadow::text_size(set), '?');
    require(shadow::write_text(set, text.data()) == text.data() + text.size());
    writer parsed(std::pmr::new_delete_resource());
    shadow::parse_user_set(text, parsed);
    require(portable(parsed) == canonical);
    shadow::user_set_builder builder(std::pmr::new_delete_resource());
    shadow::user_set_cursor cursor(set);
    for (std::uint32_t element = 0; cursor.next(element);) {
        require(set.contains(element));
        builder.add(element);
    }
    writer built(std::pmr::new_delete_resource());
    builder.write(built);
    require(portable(built) == canonical);
}

// Contents may be nonsense, but no function leaves the value or its own buffers.
inline void read_unchecked(const user_set_view &set)
{
    std::uint64_t visited = 0;
    set.for_each([&visited](std::uint32_t) { ++visited; });
    std::string text(shadow::text_size(set), '?');
    shadow::write_text(set, text.data());
    if (!set.empty())
        (void)set.contains(set.min() ^ set.max());
    static constexpr std::uint32_t few[] = {0, 1, 65535, 65536, 4294967295};
    writer other_set(std::pmr::new_delete_resource());
    shadow::write_sorted_values(few, 5, other_set);
    bytes const kept = portable(other_set);
    user_set_view const other = user_set_view::portable(kept.data(), kept.size());
    for (auto operation :
         {shadow::unite, shadow::intersect, shadow::subtract, shadow::symmetric_difference}) {
        writer out(std::pmr::new_delete_resource());
        operation(set, other, out, nullptr);
        writer reversed(std::pmr::new_delete_resource());
        operation(other, set, reversed, nullptr);
        writer self(std::pmr::new_delete_resource());
        operation(set, set, self, nullptr);
    }
    (void)shadow::compare(set, other);
    (void)shadow::includes(set, other);
    shadow::user_set_builder builder(std::pmr::new_delete_resource());
    builder.add(set);
    builder.add(other);
    builder.add(set);
    writer built(std::pmr::new_delete_resource());
    builder.write(built);
}

template <typename Body>
inline void allow_errors(Body body)
{
    try {
        body();
    } catch (const shadow::error &) {
    }
}

} // namespace user_set_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace user_set_fuzz;
    allow_errors([&] {
        writer set(std::pmr::new_delete_resource());
        shadow::decode_portable(data, size, set);
        check_accepted(portable(set));
    });
    allow_errors([&] { read_unchecked(user_set_view::portable(data, size)); });
    allow_errors([&] { (void)user_set_view::stored(data, size); });
    allow_errors([&] {
        writer set(std::pmr::new_delete_resource());
        shadow::parse_user_set({reinterpret_cast<const char *>(data), size}, set);
        check_accepted(portable(set));
    });
    return 0;
}
