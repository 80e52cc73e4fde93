#include "input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace importer
{

static constexpr std::size_t chunk = 1 << 18;

[[noreturn]] static void fail(const std::string &what)
{
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

source_file::~source_file()
{
    if (copy_ >= 0)
        close(copy_);
}

static void write_all(int to, const char *bytes, std::size_t count)
{
    while (count > 0) {
        ssize_t const written = write(to, bytes, count);
        if (written < 0 && errno != EINTR)
            fail("cannot copy standard input to a temporary file");
        std::size_t const done = written < 0 ? 0 : static_cast<std::size_t>(written);
        bytes += done;
        count -= done;
    }
}

void source_file::copy_standard_input()
{
    const char *const directory = std::getenv("TMPDIR");
    std::string name =
        std::string(directory != nullptr ? directory : "/tmp") + "/shadow-analytics-import-XXXXXX";
    copy_ = mkstemp(name.data());
    if (copy_ < 0)
        fail("cannot make a temporary file for standard input");
    unlink(name.c_str());
    std::vector<char> buffer(chunk);
    for (ssize_t count; (count = ::read(STDIN_FILENO, buffer.data(), buffer.size())) != 0;) {
        if (count < 0 && errno != EINTR)
            fail("cannot read standard input");
        if (count > 0)
            write_all(copy_, buffer.data(), static_cast<std::size_t>(count));
    }
}

int source_file::open() const
{
    int descriptor;
    if (copy_ >= 0) {
        lseek(copy_, 0, SEEK_SET);
        descriptor = dup(copy_);
    } else {
        descriptor = is_standard_input() ? dup(STDIN_FILENO) : ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    }
    if (descriptor < 0)
        fail("cannot open " + path_);
    return descriptor;
}

std::string source_file::identity() const
{
    struct stat s;
    if (is_standard_input() || stat(path_.c_str(), &s) != 0)
        return {};
    return std::to_string(s.st_size) + " " + std::to_string(s.st_mtime);
}

std::uint64_t source_file::size() const noexcept
{
    struct stat s;
    bool const is_known =
        copy_ >= 0 ? fstat(copy_, &s) == 0 : !is_standard_input() && stat(path_.c_str(), &s) == 0;
    return is_known && S_ISREG(s.st_mode) ? static_cast<std::uint64_t>(s.st_size) : 0;
}

input::input(const source_file &file, const std::string &encoding)
    : path_(file.path()), size_(file.size()), pending_(chunk)
{
    int const descriptor = file.open();
    file_ = gzdopen(descriptor, "rb");
    if (file_ == nullptr) {
        close(descriptor);
        throw std::runtime_error("cannot read " + path_);
    }
    gzbuffer(file_, chunk);
    try {
        end_ = read_bytes(pending_.data(), pending_.size());
        detect(encoding);
    } catch (...) {
        gzclose(file_);
        throw;
    }
}

input::~input()
{
    if (converter_ != iconv_t(-1))
        iconv_close(converter_);
    gzclose(file_);
}

std::uint64_t input::position() const noexcept
{
    z_off_t const at = gzoffset(file_);
    return at < 0 ? 0 : static_cast<std::uint64_t>(at);
}

std::size_t input::read_bytes(char *to, std::size_t most)
{
    int const count = gzread(file_, to, static_cast<unsigned>(most));
    int code = Z_OK;
    const char *const reason = gzerror(file_, &code);
    if (count < 0 || (count == 0 && code != Z_OK && code != Z_STREAM_END))
        throw std::runtime_error(path_ + ": " +
                                 (code == Z_ERRNO       ? std::strerror(errno)
                                  : code == Z_BUF_ERROR ? "the compressed file is cut off"
                                                        : reason));
    return static_cast<std::size_t>(count);
}

// A mark at the beginning decides; without one every second byte of UTF-16 is zero where the text is ASCII.
static const char *utf16_kind(std::string_view start) noexcept
{
    auto const begins = [&](std::string_view mark) { return start.substr(0, mark.size()) == mark; };
    if (begins("\xFF\xFE"))
        return "UTF-16LE";
    if (begins("\xFE\xFF"))
        return "UTF-16BE";
    if (start.size() < 4)
        return nullptr;
    if (start[0] != 0 && start[1] == 0 && start[2] != 0 && start[3] == 0)
        return "UTF-16LE";
    if (start[0] == 0 && start[1] != 0 && start[2] == 0 && start[3] != 0)
        return "UTF-16BE";
    return nullptr;
}

void input::detect(const std::string &encoding)
{
    std::string_view const start(pending_.data(), end_);
    const char *const utf16 = utf16_kind(start);
    std::string const from = !encoding.empty() ? encoding : utf16 != nullptr ? utf16 : "UTF-8";
    bool const is_marked16 = start.substr(0, 2) == "\xFF\xFE" || start.substr(0, 2) == "\xFE\xFF";
    if (start.substr(0, 3) == "\xEF\xBB\xBF")
        begin_ = 3;
    else if (utf16 != nullptr && is_marked16)
        begin_ = 2;
    if (from == "UTF-8" || from == "utf-8" || from == "utf8")
        return;
    unit_ = utf16 != nullptr ? 2 : 1;
    converter_ = iconv_open("UTF-8", from.c_str());
    if (converter_ == iconv_t(-1))
        throw std::runtime_error("unknown encoding \"" + from + "\"; iconv --list names them");
}

std::size_t input::read(char *to, std::size_t most)
{
    if (converter_ != iconv_t(-1))
        return convert(to, most);
    if (begin_ == end_)
        return read_bytes(to, most);
    std::size_t const count = std::min(most, end_ - begin_);
    std::memcpy(to, pending_.data() + begin_, count);
    begin_ += count;
    return count;
}

// What is no character of the encoding becomes U+FFFD. A half one at the very end is lost with the half line
// it is in.
std::size_t input::convert(char *to, std::size_t most)
{
    char *out = to;
    std::size_t room = most;
    while (out == to) {
        char *in = pending_.data() + begin_;
        std::size_t left = end_ - begin_;
        std::size_t const result = left == 0 ? 0 : iconv(converter_, &in, &left, &out, &room);
        begin_ = end_ - left;
        if (result == std::size_t(-1) && errno == EILSEQ && room >= 3) {
            std::memcpy(out, "\xEF\xBF\xBD", 3);
            out += 3;
            room -= 3;
            begin_ += std::min(unit_, left);
        } else if (out == to) {
            std::memmove(pending_.data(), pending_.data() + begin_, left);
            begin_ = 0;
            end_ = left;
            std::size_t const more = read_bytes(pending_.data() + end_, pending_.size() - end_);
            end_ += more;
            if (more == 0)
                return 0;
        }
    }
    return static_cast<std::size_t>(out - to);
}

} // namespace importer
