#include "csv_reader.hpp"

#include <algorithm>
#include <stdexcept>

namespace importer
{

// The separator that the header has most of, outside of quotes.
static char find_delimiter(std::string_view text) noexcept
{
    static constexpr std::string_view candidates = ",;\t|";
    int counts[candidates.size()] = {};
    bool is_quoted = false;
    for (char const c : text) {
        if (c == '"')
            is_quoted = !is_quoted;
        if (c == '\n' && !is_quoted)
            break;
        std::size_t const which = is_quoted ? std::string_view::npos : candidates.find(c);
        if (which != std::string_view::npos)
            ++counts[which];
    }
    return candidates[static_cast<std::size_t>(std::max_element(counts, std::end(counts)) - counts)];
}

csv_reader::csv_reader(text_buffer text, const format &f) : text_(std::move(text)), header_(f.header)
{
    if (csv_init(&parser_, CSV_EMPTY_IS_NULL) != 0)
        throw std::runtime_error("libcsv could not be initialised");
    csv_set_blk_size(&parser_, 1 << 14);
    csv_set_delim(&parser_,
                  static_cast<unsigned char>(f.delimiter != 0 ? f.delimiter : find_delimiter(text_.view())));
    if (header_.empty())
        read_header();
}

void csv_reader::read_header()
{
    if (!next_row())
        return;
    for (std::size_t i = 0; i < rows_[0]; ++i)
        header_.emplace_back(bytes_, cells_[i].begin, cells_[i].length);
    for (std::size_t i = 0; i < header_.size(); ++i)
        if (std::find(header_.begin(), header_.begin() + static_cast<std::ptrdiff_t>(i), header_[i]) !=
            header_.begin() + static_cast<std::ptrdiff_t>(i))
            throw std::runtime_error("the header names \"" + header_[i] + "\" twice");
}

void csv_reader::end_cell(void *bytes, std::size_t length, void *self)
{
    auto *const r = static_cast<csv_reader *>(self);
    r->cells_.push_back({r->bytes_.size(), length, bytes == nullptr});
    if (bytes != nullptr)
        r->bytes_.append(static_cast<const char *>(bytes), length);
}

void csv_reader::end_row(int, void *self)
{
    auto *const r = static_cast<csv_reader *>(self);
    r->rows_.push_back(r->cells_.size());
}

// False at the end. What was read of a row that goes on is kept.
bool csv_reader::parse_more()
{
    if (is_ended_)
        return false;
    std::string_view const text = text_.view();
    if (csv_parse(&parser_, text.data(), text.size(), &end_cell, &end_row, this) != text.size())
        throw std::runtime_error(csv_strerror(csv_error(&parser_)));
    text_.drop(text.size());
    if (csv_get_buffer_size(&parser_) > longest_record || bytes_.size() > longest_record + text.size())
        throw std::runtime_error("row " + std::to_string(count_ + 1) +
                                 " does not end within 16 MB: is a quote missing?");
    if (!text_.fill()) {
        is_ended_ = true;
        csv_set_opts(&parser_,
                     CSV_EMPTY_IS_NULL | CSV_STRICT | CSV_STRICT_FINI); // an open quote is an error now
        is_cut_off_ = csv_fini(&parser_, &end_cell, &end_row, this) != 0;
        if (is_cut_off_)
            end_row(0, this);
    }
    return true;
}

bool csv_reader::next_row()
{
    if (row_ < rows_.size())
        ++row_;
    if (row_ < rows_.size())
        return true;
    std::size_t const used = rows_.empty() ? 0 : rows_.back();
    std::size_t const begin = used < cells_.size() ? cells_[used].begin : bytes_.size();
    bytes_.erase(0, begin);
    cells_.erase(cells_.begin(), cells_.begin() + static_cast<std::ptrdiff_t>(used));
    for (cell &c : cells_)
        c.begin -= begin;
    rows_.clear();
    row_ = 0;
    while (rows_.empty())
        if (!parse_more())
            return false;
    return true;
}

// Numbers, truth values and JSON in cells are what they look like; all else is text.
void csv_reader::read_cell(record &r, const cell &c, std::size_t column, chain &cells)
{
    std::string_view const text(bytes_.data() + c.begin, c.length);
    value *const v = r.tree.make(c.is_null ? kind::null : kind::text, text);
    v->key = header_[column];
    bool const may_be_number = text.size() <= 18 && text.find_first_of("eE") == std::string_view::npos;
    if (may_be_number && is_json_number(text)) {
        v->type = kind::number;
    } else if (text == "true" || text == "false") {
        v->type = kind::boolean;
        v->truth = text == "true";
    }
    cells.add(v);
}

void csv_reader::read_row(record &r)
{
    std::size_t const begin = row_ == 0 ? 0 : rows_[row_ - 1];
    std::size_t const count = rows_[row_] - begin;
    bool const is_last = is_ended_ && row_ + 1 == rows_.size();
    if (is_last && is_cut_off_) {
        r.problem = "the file ends within quotes";
        return;
    }
    chain cells(r.tree.root);
    r.tree.root.type = kind::object;
    for (std::size_t i = 0; i < std::min(count, header_.size()); ++i)
        read_cell(r, cells_[begin + i], i, cells);
    if (count != header_.size()) {
        r.problem = "another number of fields than the header";
        r.detail = std::to_string(count) + " instead of " + std::to_string(header_.size());
        return;
    }
    std::size_t const first = cells_[begin].begin;
    if (!simdjson::validate_utf8(bytes_.data() + first,
                                 cells_[begin + count - 1].begin + cells_[begin + count - 1].length - first))
        r.problem = "not valid UTF-8 (see --encoding)";
}

bool csv_reader::next(record &r, bool is_skipped)
{
    r.tree.clear();
    r.problem = nullptr;
    r.detail.clear();
    r.raw = {};
    if (!next_row())
        return false;
    r.number = ++count_;
    if (!is_skipped)
        read_row(r);
    return true;
}

} // namespace importer
