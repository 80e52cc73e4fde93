#pragma once
// The server: what it keeps for how long, and loading batches of rows.

#include "core/base/uuid.hpp"

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace importer
{

class server_error : public std::runtime_error
{
public:
    explicit server_error(const PGresult *r);
    // About the data, so that other rows may well be fine.
    bool is_about_data() const noexcept;
    bool may_pass() const noexcept;
    const std::string &state() const noexcept { return state_; }

private:
    std::string state_;
};

class database
{
public:
    // A connection string or URL without a password; throws std::runtime_error.
    explicit database(const std::string &conninfo);

    // How many days raw events are kept; none: for ever.
    std::optional<int> keep_days();
    // The setting text_subjects.
    bool are_users_everywhere();
    // Keeps them at least so long.
    void keep_for(int days);
    // (workspace, days since 2000-01-01) whose events are gone, of one workspace or of all.
    std::vector<std::pair<shadow::uuid, std::int64_t>>
    sealed_days(const std::optional<shadow::uuid> &workspace);
    // While this connection lives, expired events are not removed. Waits for maintenance to end its
    // transaction.
    bool try_hold_back_cleanup();
    void let_cleanup_go();

    void make_partition(const std::string &day);
    // Rows in COPY's binary format, without head and tail; how many were new. Faster by time, as an insertion that
    // changes partitions from row to row takes twice as long.
    std::uint64_t load(std::string_view rows);
    // The local days of workspaces in which hours of UTC days lie: pairs of first and last day.
    std::vector<std::pair<std::string, std::string>> local_ranges(const std::vector<std::string> &days,
                                                                  const std::string &workspaces);
    // False: another session is at it.
    bool backfill(const std::string &first, const std::string &last);

private:
    struct finish {
        void operator()(PGconn *c) const noexcept { PQfinish(c); }
    };
    struct clear {
        void operator()(PGresult *r) const noexcept { PQclear(r); }
    };
    using result = std::unique_ptr<PGresult, clear>;
    result run(const char *sql, const std::vector<const char *> &parameters = {});
    std::string value_of(const char *sql, const std::vector<const char *> &parameters = {});
    std::uint64_t copy(const char *sql, std::string_view rows);
    // None: some of them may be there.
    std::optional<std::uint64_t> load_new(std::string_view rows);

    std::unique_ptr<PGconn, finish> connection_;
    int batches_to_go_ = 0, pause_ = 1; // until new rows are expected again
};

} // namespace importer
