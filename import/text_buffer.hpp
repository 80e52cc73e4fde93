#pragma once
// What is read ahead of a source.

#include "reader.hpp"

namespace importer
{

class text_buffer
{
public:
    explicit text_buffer(input &in);

    // Reads more behind what is there; false at the end. Views become invalid.
    bool fill();
    // False at the end.
    bool skip_blanks();
    // simdjson may read behind it.
    std::string_view view() const noexcept { return {bytes_.data() + begin_, end_ - begin_}; }
    char front() const noexcept { return bytes_[begin_]; }
    void drop(std::size_t count) noexcept { begin_ += count; }

private:
    input &in_;
    std::vector<char> bytes_;
    std::size_t begin_ = 0, end_ = 0;
};

} // namespace importer
