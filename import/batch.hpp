#pragma once
// Rows on their way from the thread that reads to the one that loads, and what has been counted.

#include "event.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace importer
{

struct counts {
    std::uint64_t read = 0, loaded = 0, present = 0;
    std::map<std::string, std::uint64_t> refused, left_out; // by reason
    std::uint64_t shortened = 0;                            // events without their longest properties
    std::set<std::int64_t> days;                            // UTC, since 2000-01-01
    std::set<std::string> workspaces;

    void add(const counts &more);
    static std::uint64_t sum(const std::map<std::string, std::uint64_t> &of) noexcept;
};

struct batch {
    std::string rows;                   // in COPY's binary format
    std::vector<std::size_t> ends;      // of each row
    std::vector<std::uint64_t> records; // each row's number in its file
    std::vector<std::int64_t> times;    // created_at of each row
    std::string rejects;                // JSON lines
    counts counted;
    std::size_t file = 0;       // that the rows are from
    std::size_t source = 0;     // how far the reading is: this many files,
    std::uint64_t record = 0;   // and this many records of the next one
    std::uint64_t position = 0; // in bytes of all files

    void sort_by_time();
    bool is_full(std::size_t most_rows) const noexcept
    {
        return ends.size() >= most_rows || rows.size() + rejects.size() > (8 << 20);
    }
};

// Holds a few batches; the reader waits while it is full.
class batch_queue
{
public:
    // False: nobody will take it.
    bool put(batch b);
    // False: there are no more. Throws what the reader failed with.
    bool take(batch &b);
    void end(std::exception_ptr failure = nullptr);
    void give_up();

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<batch> batches_;
    std::exception_ptr failure_;
    bool is_ended_ = false, is_given_up_ = false;
};

} // namespace importer
