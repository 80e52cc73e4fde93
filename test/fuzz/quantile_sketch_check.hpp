#pragma once
// What must hold of any bytes at all: they are refused with an error, or they are a sketch that behaves as
// one. Run by the fuzzer, and by the unit tests on mutations of real sketches.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/quantiles/quantile_sketch.hpp"

namespace shadow
{

#define SKETCH_MUST(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                             \
            std::abort();                                                                                    \
        }                                                                                                    \
    } while (0)

inline bool is_same(const std::pmr::vector<unsigned char> &a, const unsigned char *bytes, std::size_t size)
{
    return std::vector<unsigned char>(a.begin(), a.end()) == std::vector<unsigned char>(bytes, bytes + size);
}

inline void check_accepted(const sketch_view &view, const unsigned char *bytes, std::size_t size)
{
    auto *const memory = std::pmr::get_default_resource();
    double last = view.min();
    for (double fraction : {0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0}) {
        double const value = view.quantile(fraction);
        SKETCH_MUST(value >= last && value <= view.max());
        last = value;
    }
    for (double value : {view.min(), -1.0, 0.0, 1.0, view.max()})
        SKETCH_MUST(view.rank(value) >= 0 && view.rank(value) <= 1);
    SKETCH_MUST(is_same(sketch_from_text(sketch_to_text(view), memory), bytes, size));
    sketch_builder copy(view.options());
    copy.merge(view);
    SKETCH_MUST(is_same(copy.serialize(), bytes, size));
    if (view.count() <= INT64_MAX / 2) {
        copy.merge(view);
        auto const twice = copy.serialize();
        SKETCH_MUST(sketch_view(twice.data(), twice.size()).count() == 2 * view.count());
    }
}

// Returns whether the bytes were accepted as a stored sketch.
inline bool check_quantile_sketch(const unsigned char *bytes, std::size_t size)
{
    try {
        auto const parsed =
            sketch_from_text({reinterpret_cast<const char *>(bytes), size}, std::pmr::get_default_resource());
        check_accepted(sketch_view(parsed.data(), parsed.size()), parsed.data(), parsed.size());
    } catch (const error &e) {
        SKETCH_MUST(e.code() == errc::invalid_text || e.code() == errc::invalid_argument);
    }
    try {
        check_accepted(sketch_view(bytes, size), bytes, size);
        return true;
    } catch (const error &e) {
        SKETCH_MUST(e.code() == errc::corrupt_data);
        return false;
    }
}

} // namespace shadow
