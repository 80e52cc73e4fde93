#pragma once
// The records of a source one after the other: JSON lines, JSON arrays, CSV.

#include "input.hpp"
#include "json.hpp"

#include <memory>
#include <string>
#include <vector>

namespace importer
{

// No record is longer; it bounds the memory that a broken file costs.
inline constexpr std::size_t longest_record = 16 << 20;

struct record {
    document tree;
    std::uint64_t number = 0;      // from 1, without the header
    const char *problem = nullptr; // it cannot be read at all
    std::string detail;
    std::string_view raw; // its text, if it has one of its own
};

struct format {
    enum container { detected, csv, json } kind = detected;
    char delimiter = 0;              // 0: found in the header
    std::vector<std::string> header; // empty: the first row
    std::string encoding;
};

class reader
{
public:
    virtual ~reader() = default;
    // False at the end. With is_skipped the record is counted, not read.
    virtual bool next(record &r, bool is_skipped) = 0;
    // The names of columns; empty for JSON.
    virtual std::vector<std::string> header() const { return {}; }
};

std::unique_ptr<reader> open_reader(input &in, const format &f);

} // namespace importer
