#pragma once
// A number or NULL.

namespace shadow
{

// An integer in units of 10^-scale, or NULL. The field that holds it documents the scale.
template <typename T>
struct nullable {
    bool is_null = true;
    T value = 0;

    nullable() = default;
    nullable(T v) noexcept : is_null(false), value(v) {}
};

} // namespace shadow
