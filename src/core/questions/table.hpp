#pragma once
// The rows of an answer, whatever its columns.

#include "core/base/int128.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shadow::questions
{

enum class cell_kind : std::uint8_t { null, integer, decimal, trimmed, text, json, date, instant, boolean };

struct cell {
    cell_kind kind = cell_kind::null;
    int scale = 0;     // decimal: number * 10^-scale; trimmed: the same without trailing zeros
    int128 number = 0; // also days since 2000-01-01, and 0 or 1
    std::string text;

    static cell integer(std::int64_t value) { return {cell_kind::integer, 0, value, {}}; }
    static cell decimal(int128 value, int scale) { return {cell_kind::decimal, scale, value, {}}; }
    static cell trimmed(int128 value, int scale) { return {cell_kind::trimmed, scale, value, {}}; }
    static cell of_text(std::string_view value) { return {cell_kind::text, 0, 0, std::string(value)}; }
    static cell of_json(std::string_view value) { return {cell_kind::json, 0, 0, std::string(value)}; }
    static cell instant(std::int64_t value) { return {cell_kind::instant, 0, value, {}}; }
    static cell of_date(std::int32_t value) { return {cell_kind::date, 0, value, {}}; }
    static cell boolean(bool value) { return {cell_kind::boolean, 0, value ? 1 : 0, {}}; }
};

// Rows of `width` cells, one after the other.
class table
{
public:
    explicit table(std::size_t width) : width_(width) {}
    table &operator<<(cell c)
    {
        cells_.push_back(std::move(c));
        return *this;
    }
    std::size_t width() const noexcept { return width_; }
    std::size_t rows() const noexcept { return cells_.size() / width_; }
    const cell &at(std::size_t row, std::size_t column) const noexcept
    {
        return cells_[row * width_ + column];
    }

private:
    std::size_t width_;
    std::vector<cell> cells_;
};

} // namespace shadow::questions
