#include "csv_reader.hpp"
#include "json_reader.hpp"

#include <cstring>

namespace importer
{

text_buffer::text_buffer(input &in) : in_(in), bytes_((1 << 20) + simdjson::SIMDJSON_PADDING) {}

bool text_buffer::fill()
{
    if (begin_ > 0) {
        std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    std::size_t const room = bytes_.size() - simdjson::SIMDJSON_PADDING;
    if (end_ == room)
        bytes_.resize(2 * room + simdjson::SIMDJSON_PADDING);
    std::size_t const count =
        in_.read(bytes_.data() + end_, bytes_.size() - simdjson::SIMDJSON_PADDING - end_);
    end_ += count;
    return count > 0;
}

bool text_buffer::skip_blanks()
{
    do {
        while (begin_ < end_) {
            if (std::strchr(" \t\r\n", bytes_[begin_]) == nullptr || bytes_[begin_] == '\0')
                return true;
            ++begin_;
        }
    } while (fill());
    return false;
}

std::unique_ptr<reader> open_reader(input &in, const format &f)
{
    text_buffer text(in);
    bool const is_json = text.skip_blanks() && (text.front() == '{' || text.front() == '[');
    if (f.kind == format::json || (f.kind == format::detected && is_json))
        return std::make_unique<json_reader>(std::move(text));
    return std::make_unique<csv_reader>(std::move(text), f);
}

} // namespace importer
