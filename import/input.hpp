#pragma once
// The bytes of a source: files and standard input, plain or gzip, in any encoding; read as UTF-8.

#include <iconv.h>
#include <zlib.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace importer
{

// A file as it is on disk. Standard input is copied to a temporary file if it is to be read twice.
class source_file
{
public:
    explicit source_file(std::string path) : path_(std::move(path)) {}
    source_file(source_file &&other) noexcept : path_(std::move(other.path_)), copy_(other.copy_)
    {
        other.copy_ = -1;
    }
    source_file &operator=(source_file &&) = delete;
    ~source_file();

    const std::string &path() const noexcept { return path_; }
    bool is_standard_input() const noexcept { return path_ == "-"; }
    void copy_standard_input();
    int open() const;
    // What tells this file from a changed one; empty for standard input.
    std::string identity() const;
    // In bytes; 0: unknown.
    std::uint64_t size() const noexcept;

private:
    std::string path_;
    int copy_ = -1;
};

class input
{
public:
    // encoding: as iconv names it; empty: UTF-8, or UTF-16 if the first bytes say so.
    input(const source_file &file, const std::string &encoding);
    input(const input &) = delete;
    input &operator=(const input &) = delete;
    ~input();

    // Up to `most` bytes; 0 at the end. Throws std::runtime_error.
    std::size_t read(char *to, std::size_t most);
    // Of the file's size, compressed as it may be: for a progress bar.
    std::uint64_t position() const noexcept;
    std::uint64_t size() const noexcept { return size_; }

private:
    void detect(const std::string &encoding);
    std::size_t read_bytes(char *to, std::size_t most);
    std::size_t convert(char *to, std::size_t most);

    std::string path_;
    std::uint64_t size_ = 0;
    gzFile file_ = nullptr;
    iconv_t converter_ = iconv_t(-1);
    std::size_t unit_ = 1;      // bytes of a character that cannot be read
    std::vector<char> pending_; // read, but not converted
    std::size_t begin_ = 0, end_ = 0;
};

} // namespace importer
