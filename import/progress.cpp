#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace importer
{

using std::chrono::steady_clock;

progress::progress(const char *what, std::uint64_t size, bool is_quiet)
    : what_(what), size_(size), is_shown_(!is_quiet && isatty(STDERR_FILENO) == 1),
      started_(steady_clock::now()), last_(started_)
{
}

progress::~progress()
{
    if (is_begun_)
        std::fputs("\n", stderr);
}

void progress::show(std::uint64_t position, std::uint64_t records)
{
    auto const now = steady_clock::now();
    if (!is_shown_ || now - last_ < std::chrono::milliseconds(200))
        return;
    last_ = now;
    is_begun_ = true;
    double const seconds = std::chrono::duration<double>(now - started_).count();
    double const share =
        size_ == 0 ? 0 : std::min(1.0, static_cast<double>(position) / static_cast<double>(size_));
    std::string const bar(static_cast<std::size_t>(share * 30), '#');
    std::fprintf(stderr, "\r%s [%-30s] %3.0f %%, %llu records, %.0f/s", what_, bar.c_str(), 100 * share,
                 static_cast<unsigned long long>(records), static_cast<double>(records) / seconds);
    if (share > 0.01)
        std::fprintf(stderr, ", %.0f s left  ", seconds / share - seconds);
}

} // namespace importer
