#pragma once
// The outbox: claims notifications and notes what became of them. Survives restarts of the server.

#include "message.hpp"

#include <libpq-fe.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace notifier
{

struct outcome {
    std::string workspace, id;
    bool delivered = false;
    bool is_final = false; // no use in trying again
    long status = 0;       // HTTP or SMTP, 0: none
    std::int64_t latency_ms = 0;
    std::string error;
    long retry_after = 0; // seconds
};

class database
{
public:
    database(std::string conninfo, int lease_seconds);

    // Connects if need be, and looks whether this is a server and a role that a notifier can work with; false
    // while it is not.
    bool is_ready();
    // Of the last call that returned false or nothing: one line or more, without DETAIL.
    const std::string &last_error() const noexcept { return error_; }
    int socket() const noexcept { return connection_ ? PQsocket(connection_.get()) : -1; }
    // Reads what LISTEN has brought.
    void consume() noexcept;

    // Nothing if the server refuses; then the connection is made anew by is_ready().
    std::optional<std::vector<notification>> claim(int most);
    // What would be claimed, without claiming it.
    std::optional<std::vector<notification>> preview(int most);
    // Kept until the server has noted it, also over a restart.
    void record(outcome o) { unrecorded_.push_back(std::move(o)); }
    bool flush(); // false if something could not be noted
    bool has_unrecorded() const noexcept { return !unrecorded_.empty(); }

private:
    struct finish {
        void operator()(PGconn *c) const noexcept { PQfinish(c); }
    };
    struct clear {
        void operator()(PGresult *r) const noexcept { PQclear(r); }
    };
    using result = std::unique_ptr<PGresult, clear>;
    result run(const char *sql, const std::vector<const char *> &parameters);
    bool connect();
    bool has_privileges();
    bool fail(std::string error);
    bool flush_one(const outcome &o);

    std::string conninfo_, worker_, lease_;
    std::unique_ptr<PGconn, finish> connection_;
    std::string error_;
    std::deque<outcome> unrecorded_;
};

} // namespace notifier
