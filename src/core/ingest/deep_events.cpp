#include "core/ingest/deep_events.hpp"

namespace shadow
{

namespace
{

class batch_copier
{
public:
    explicit batch_copier(char *out) noexcept : out_(out) {}

    void copy(char c) noexcept
    {
        out_[size_++] = c;
        if (in_string_)
            within_string(c);
        else if (c == '"')
            in_string_ = true;
        else if (c == '[' || c == '{')
            open();
        else if (c == ']' || c == '}')
            close(c);
        else if (c == ',' && levels_ == 1)
            end_element(c);
    }
    std::size_t finish() noexcept
    {
        if (is_deep_) // the array does not end
            size_ = element_;
        return size_;
    }

private:
    void within_string(char c) noexcept
    {
        in_string_ = is_escaped_ || c != '"';
        is_escaped_ = !is_escaped_ && c == '\\';
    }
    void open() noexcept
    {
        if (++levels_ == 1)
            element_ = size_;
        is_deep_ = is_deep_ || levels_ > most_levels_of_event + 1;
    }
    void close(char c) noexcept
    {
        if (levels_ == 1)
            end_element(c);
        --levels_;
    }
    void end_element(char c) noexcept
    {
        if (is_deep_) {
            size_ = element_ + deep_event.copy(out_ + element_, deep_event.size());
            out_[size_++] = c;
        }
        is_deep_ = false;
        element_ = size_;
    }

    char *out_;
    std::size_t size_ = 0;
    std::size_t element_ = 0; // where it starts in out_
    std::ptrdiff_t levels_ = 0;
    bool is_deep_ = false;
    bool in_string_ = false;
    bool is_escaped_ = false;
};

} // namespace

std::size_t replace_deep_events(std::string_view batch, char *out, interrupt_check check)
{
    batch_copier copier(out);
    interrupt_poll poll(check);
    for (char const c : batch) {
        poll();
        copier.copy(c);
    }
    return copier.finish();
}

} // namespace shadow
