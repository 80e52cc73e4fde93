#pragma once
// A bar on a terminal; nothing where nobody looks.

#include <chrono>
#include <cstdint>

namespace importer
{

class progress
{
public:
    // what: "loading". size: bytes in all; 0: unknown.
    progress(const char *what, std::uint64_t size, bool is_quiet);
    ~progress();
    void show(std::uint64_t position, std::uint64_t records);

private:
    const char *what_;
    std::uint64_t size_;
    bool is_shown_, is_begun_ = false;
    std::chrono::steady_clock::time_point const started_;
    std::chrono::steady_clock::time_point last_;
};

} // namespace importer
