#pragma once
// JSON: a value per line, or values one after the other in an array or indented.

#include "text_buffer.hpp"

namespace importer
{

class json_reader : public reader
{
public:
    explicit json_reader(text_buffer text);
    bool next(record &r, bool is_skipped) override;

private:
    bool find_line(record &r);
    bool find_value(record &r);
    void parse(record &r);

    text_buffer text_;
    bool is_per_line_;
    std::size_t done_ = 0; // bytes of the last record, still in the buffer
    std::uint64_t count_ = 0;
    json_parser parser_;
};

} // namespace importer
