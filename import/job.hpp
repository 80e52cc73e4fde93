#pragma once
// An import from the first look at the files to the rollups.

#include "checkpoint.hpp"
#include "database.hpp"
#include "options.hpp"
#include "progress.hpp"

#include <csignal>
#include <cstdio>
#include <memory>

namespace importer
{

// Set by a signal: what is being loaded is committed, then the program ends.
extern volatile std::sig_atomic_t stop_asked;

class job
{
public:
    explicit job(const options &o);
    // The program's status: 0, or 3 if records were refused, 1 if it was stopped.
    int run();

private:
    void connect();
    bool survey();
    fate preview(record &r, event &e, counts &c);
    void report_expired(std::uint64_t expired, std::int64_t earliest) const;
    void show_plan(const counts &c) const;
    bool load();
    void read_all(batch_queue &queue);
    bool read_file(std::size_t index, batch &b, batch_queue &queue);
    void add_record(const record &r, const event &e, fate f, std::size_t file, batch &b);
    void reject(batch &b, std::size_t file, std::uint64_t number, const char *reason, std::string_view detail,
                const record *r) const;
    void load_batch(batch &b);
    void load_rows(batch &b, std::size_t first, std::size_t last);
    bool try_rows(batch &b, std::size_t first, std::size_t last);
    void make_partitions(const counts &c);
    void settle(const batch &b);
    bool backfill();
    void report() const;
    std::string identity() const;
    std::uint64_t total_size() const;

    options options_;
    mapping mapping_;
    mapper mapper_;
    std::vector<source_file> files_;
    std::unique_ptr<database> database_;
    std::optional<int> keep_days_;
    checkpoint_file state_;
    checkpoint done_;
    std::FILE *rejects_ = nullptr;
    std::set<std::int64_t> partitions_; // days that have one
};

} // namespace importer
