#pragma once
// Rows of a CSV file, by libcsv.

#include "text_buffer.hpp"

#include <csv.h>

namespace importer
{

class csv_reader : public reader
{
public:
    csv_reader(text_buffer text, const format &f);
    csv_reader(const csv_reader &) = delete;
    csv_reader &operator=(const csv_reader &) = delete;
    ~csv_reader() override { csv_free(&parser_); }
    bool next(record &r, bool is_skipped) override;
    std::vector<std::string> header() const override { return header_; }

private:
    struct cell {
        std::size_t begin, length;
        bool is_null;
    };
    static void end_cell(void *bytes, std::size_t length, void *self);
    static void end_row(int, void *self);
    bool parse_more();
    bool next_row();
    void read_header();
    void read_cell(record &r, const cell &c, std::size_t column, chain &cells);
    void read_row(record &r);

    text_buffer text_;
    csv_parser parser_;
    json_parser json_;
    std::vector<std::string> header_;
    std::string bytes_;             // of the cells
    std::vector<cell> cells_;       // of the rows that are parsed
    std::vector<std::size_t> rows_; // where each row's cells end
    std::size_t row_ = 0;           // of rows_, the next one
    bool is_ended_ = false, is_cut_off_ = false;
    std::uint64_t count_ = 0;
};

} // namespace importer
