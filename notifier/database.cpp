#include "database.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <cstdlib>

namespace notifier
{

static constexpr const char *claim_function =
    "analytics_internal.claim_notifications(text, integer, interval)";
static constexpr const char *record_function =
    "analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval)";

// Unlike any other notifier's, also on other machines.
static std::string worker_name()
{
    unsigned char bytes[8];
    if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes))
        std::abort();
    std::string name = "notifier-" + std::to_string(getpid()) + "-";
    for (unsigned char const b : bytes) {
        name += "0123456789abcdef"[b >> 4];
        name += "0123456789abcdef"[b & 15];
    }
    return name;
}

database::database(std::string conninfo, int lease_seconds)
    : conninfo_(std::move(conninfo)), worker_(worker_name()),
      lease_(std::to_string(lease_seconds) + " seconds")
{
}

bool database::fail(std::string error)
{
    error_ = std::move(error);
    connection_.reset();
    return false;
}

bool database::connect()
{
    const char *const keys[] = {"dbname", "application_name", "client_encoding", "connect_timeout", nullptr};
    const char *const values[] = {conninfo_.c_str(), "shadow-analytics-notifier", "UTF8", "10", nullptr};
    connection_.reset(PQconnectdbParams(keys, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK)
        return fail(PQerrorMessage(connection_.get()));
    PQsetErrorVerbosity(connection_.get(), PQERRORS_TERSE); // a DETAIL could hold what is secret
    return true;
}

// Before anything is sent: what cannot be noted afterwards would be sent again and again.
bool database::has_privileges()
{
    for (const char *const function : {claim_function, record_function}) {
        result const r =
            run("SELECT pg_catalog.has_function_privilege(pg_catalog.to_regprocedure($1), 'EXECUTE')",
                {function});
        if (!r)
            return false;
        std::string const name = function;
        if (PQgetisnull(r.get(), 0, 0))
            return fail("ERROR:  this database has no function " + name +
                        ": the extension shadow_analytics is missing, or older than the notifier\n");
        if (PQgetvalue(r.get(), 0, 0)[0] != 't')
            return fail("ERROR:  permission denied for function " + name + "\n");
    }
    return true;
}

bool database::is_ready()
{
    if (connection_ && PQstatus(connection_.get()) == CONNECTION_OK)
        return true;
    return connect() && has_privileges() && run("LISTEN shadow_analytics", {}) != nullptr;
}

void database::consume() noexcept
{
    if (!connection_ || !PQconsumeInput(connection_.get()))
        return;
    while (PGnotify *const n = PQnotifies(connection_.get()))
        PQfreemem(n);
}

// nullptr if the statement failed; then the connection is made anew by is_ready().
database::result database::run(const char *sql, const std::vector<const char *> &parameters)
{
    result r(PQexecParams(connection_.get(), sql, static_cast<int>(parameters.size()), nullptr,
                          parameters.data(), nullptr, nullptr, 0));
    ExecStatusType const status = PQresultStatus(r.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return r;
    fail(PQerrorMessage(connection_.get()));
    return nullptr;
}

static std::vector<notification> read_notifications(const PGresult *r)
{
    std::vector<notification> out;
    for (int i = 0; i < PQntuples(r); ++i) {
        auto const text = [&](int column) { return std::string(PQgetvalue(r, i, column)); };
        out.push_back(
            {text(0), text(1), std::atoi(PQgetvalue(r, i, 2)), text(3), text(4), text(5), text(6), text(7)});
    }
    return out;
}

static constexpr const char *claim_query =
    "SELECT workspace_id, id, attempt, channel, address, signing_secret, subject, body"
    " FROM analytics_internal.claim_notifications($1, $2::integer, $3::interval)";

std::optional<std::vector<notification>> database::claim(int most)
{
    std::string const n = std::to_string(most);
    result const r = run(claim_query, {worker_.c_str(), n.c_str(), lease_.c_str()});
    if (!r)
        return std::nullopt;
    return read_notifications(r.get());
}

std::optional<std::vector<notification>> database::preview(int most)
{
    if (!run("BEGIN", {}))
        return std::nullopt;
    auto out = claim(most);
    if (out)
        run("ROLLBACK", {});
    return out;
}

bool database::flush_one(const outcome &o)
{
    std::string const status = std::to_string(o.status), latency = std::to_string(o.latency_ms),
                      retry = std::to_string(o.retry_after) + " seconds";
    return run("SELECT analytics_internal.record_delivery($1, $2::uuid, $3::uuid, $4::boolean, $5::boolean,"
               " nullif($6::integer, 0), $7::bigint, nullif($8, ''), nullif($9::interval, interval '0'))",
               {worker_.c_str(), o.workspace.c_str(), o.id.c_str(), o.delivered ? "true" : "false",
                o.is_final ? "true" : "false", status.c_str(), latency.c_str(), o.error.c_str(),
                retry.c_str()}) != nullptr;
}

bool database::flush()
{
    while (!unrecorded_.empty() && is_ready() && flush_one(unrecorded_.front()))
        unrecorded_.pop_front();
    return unrecorded_.empty();
}

} // namespace notifier
