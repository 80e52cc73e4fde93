#pragma once
// One record of a source, whatever its format: a tree as of JSON. A row of a CSV file is an object of its
// cells.

#include <cstdint>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

namespace importer
{

enum class kind : std::uint8_t { null, boolean, number, text, array, object };

// Lives in its document. Members of objects and arrays are chained.
struct value {
    kind type = kind::null;
    bool truth = false;
    bool is_taken = false; // mapped already: not kept once more
    std::string_view key;  // within an object
    std::string_view text; // a text without escapes; a number as it was written
    value *first = nullptr;
    value *next = nullptr;

    value *find(std::string_view name) const noexcept;
    bool is_empty() const noexcept { return type == kind::null || (type == kind::text && text.empty()); }
};

class document
{
public:
    document() : memory_(block_, sizeof block_) {}
    document(const document &) = delete;
    document &operator=(const document &) = delete;

    value root;

    void clear() noexcept;
    std::string_view keep(std::string_view text);
    value *make(kind type, std::string_view text = {});

private:
    alignas(16) char block_[65536];
    std::pmr::monotonic_buffer_resource memory_;
};

// Appends children in the order they come.
class chain
{
public:
    explicit chain(value &parent) noexcept : end_(&parent.first) {}
    void add(value *child) noexcept
    {
        *end_ = child;
        end_ = &child->next;
    }

private:
    value **end_;
};

// As PostgreSQL writes jsonb, so that lengths agree; NUL, which it cannot store, is left out.
void append_json(std::string &out, const value &v);
void append_json(std::string &out, std::string_view text);

} // namespace importer
