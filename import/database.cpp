#include "database.hpp"

#include <algorithm>
#include <cstring>

namespace importer
{

server_error::server_error(const PGresult *r) : std::runtime_error(PQresultErrorMessage(r))
{
    const char *const state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    state_ = state == nullptr ? "" : state;
}

bool server_error::is_about_data() const noexcept
{
    return state_.compare(0, 2, "22") == 0 || state_.compare(0, 2, "23") == 0 ||
           state_.compare(0, 2, "54") == 0;
}

// Deadlock, serialization failure, lock timeout.
bool server_error::may_pass() const noexcept
{
    return state_ == "40P01" || state_ == "40001" || state_ == "55P03";
}

// Everybody on the machine can read a command line.
static void refuse_password(const std::string &conninfo)
{
    char *message = nullptr;
    PQconninfoOption *const options = PQconninfoParse(conninfo.c_str(), &message);
    if (options == nullptr) {
        std::string const text = message == nullptr ? "out of memory" : message;
        PQfreemem(message);
        throw std::runtime_error("--database: " + text);
    }
    bool has_password = false;
    for (const PQconninfoOption *o = options; o->keyword != nullptr; ++o)
        has_password |= std::strcmp(o->keyword, "password") == 0 && o->val != nullptr;
    PQconninfoFree(options);
    if (has_password)
        throw std::runtime_error(
            "--database must not contain a password, which every user of the machine could "
            "see: use PGPASSFILE or PGPASSWORD");
}

database::database(const std::string &conninfo)
{
    if (conninfo.find('=') != std::string::npos || conninfo.find("://") != std::string::npos)
        refuse_password(conninfo);
    const char *const keys[] = {"dbname", "application_name", "client_encoding", "connect_timeout", nullptr};
    const char *const values[] = {conninfo.c_str(), "shadow-analytics-import", "UTF8", "10", nullptr};
    connection_.reset(PQconnectdbParams(keys, values, 1));
    if (PQstatus(connection_.get()) != CONNECTION_OK)
        throw std::runtime_error(PQerrorMessage(connection_.get()));
    run("SET search_path = pg_catalog, pg_temp");
    run("SET TimeZone = 'UTC'");
    run("SET client_min_messages = warning");
    run("SET work_mem = '64MB'"); // sorts a batch
    run("SET jit = off");
    run("SET synchronous_commit = on"); // what is noted as loaded is loaded
    run("SET idle_in_transaction_session_timeout = 0");
    if (value_of("SELECT count(*) FROM pg_extension WHERE extname = 'shadow_analytics'") != "1")
        throw std::runtime_error("the extension shadow_analytics is not installed in this database");
    if (value_of("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = "
                 "'analytics.user_activity'::regclass") != "t")
        throw std::runtime_error("only the owner of the extension may import history, and superusers");
}

database::result database::run(const char *sql, const std::vector<const char *> &parameters)
{
    result r(PQexecParams(connection_.get(), sql, static_cast<int>(parameters.size()), nullptr,
                          parameters.data(), nullptr, nullptr, 0));
    ExecStatusType const status = PQresultStatus(r.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_IN)
        throw server_error(r.get());
    return r;
}

std::string database::value_of(const char *sql, const std::vector<const char *> &parameters)
{
    result const r = run(sql, parameters);
    return PQntuples(r.get()) == 0 ? "" : PQgetvalue(r.get(), 0, 0);
}

std::optional<int> database::keep_days()
{
    std::string const days = value_of(
        "SELECT keep_days FROM analytics.retention_policy_values WHERE table_name = 'user_activity'");
    return days.empty() ? std::nullopt : std::optional<int>(std::stoi(days));
}

bool database::are_users_everywhere()
{
    return value_of("SELECT analytics.setting('text_subjects')") == "true";
}

void database::keep_for(int days)
{
    std::optional<int> const now = keep_days();
    if (!now || *now >= days)
        return;
    std::string const text = std::to_string(days);
    run("INSERT INTO analytics.retention_policies AS p (table_name, keep_days) VALUES ('user_activity', $1)"
        " ON CONFLICT (table_name) DO UPDATE SET keep_days = excluded.keep_days",
        {text.c_str()});
}

static std::string text_of(const shadow::uuid &id)
{
    char buffer[37];
    return std::string(shadow::format_uuid(id, buffer));
}

std::vector<std::pair<shadow::uuid, std::int64_t>>
database::sealed_days(const std::optional<shadow::uuid> &workspace)
{
    std::string const id = workspace ? text_of(*workspace) : "";
    result const r = run("SELECT workspace_id, event_day - DATE '2000-01-01' FROM analytics.sealed_days"
                         " WHERE nullif($1, '') IS NULL OR workspace_id = nullif($1, '')::uuid",
                         {id.c_str()});
    std::vector<std::pair<shadow::uuid, std::int64_t>> days;
    for (int i = 0; i < PQntuples(r.get()); ++i)
        days.emplace_back(*shadow::parse_uuid(PQgetvalue(r.get(), i, 0)),
                          std::stoll(PQgetvalue(r.get(), i, 1)));
    return days;
}

bool database::try_hold_back_cleanup()
{
    run("BEGIN");
    if (value_of("SELECT analytics_internal.try_lock('maintenance')") == "t")
        return true;
    run("ROLLBACK");
    return false;
}

void database::let_cleanup_go()
{
    run("ROLLBACK");
}

void database::make_partition(const std::string &day)
{
    run("SELECT analytics.create_partitions($1::date, $1::date)", {day.c_str()});
}

// Most files are imported once, and COPY into the table takes two thirds of the time. It knows no ON CONFLICT: where rows
// are there already they go through a table of the session's own.
#define EVENT_COLUMNS                                                                                        \
    "id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, "     \
    "referrer, metadata, created_at"
static constexpr const char *copy_events =
    "COPY analytics.user_activity (" EVENT_COLUMNS ") FROM STDIN (FORMAT binary)";
static constexpr const char *copy_batch = "COPY pg_temp.import_batch FROM STDIN (FORMAT binary)";
static constexpr const char *make_batch_table =
    "CREATE TEMPORARY TABLE IF NOT EXISTS import_batch (id uuid, workspace_id uuid, user_id uuid, event_type "
    "text,"
    " event_name text, page_path text, session_id uuid, ip_address inet, user_agent text, referrer text,"
    " metadata jsonb, created_at timestamptz) ON COMMIT DELETE ROWS";
static constexpr const char *insert_batch =
    "INSERT INTO analytics.user_activity (" EVENT_COLUMNS ") SELECT " EVENT_COLUMNS
    " FROM pg_temp.import_batch ON CONFLICT DO NOTHING";

std::uint64_t database::copy(const char *sql, std::string_view rows)
{
    static constexpr std::string_view head{"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19}, tail{"\377\377", 2};
    static constexpr std::size_t piece = 1 << 18;
    run(sql);
    PGconn *const c = connection_.get();
    auto const put = [c](std::string_view part) {
        return PQputCopyData(c, part.data(), static_cast<int>(part.size())) == 1;
    };
    bool is_sent = put(head);
    for (; is_sent && !rows.empty(); rows.remove_prefix(std::min(piece, rows.size())))
        is_sent = put(rows.substr(0, piece));
    if (!is_sent || !put(tail) || PQputCopyEnd(c, nullptr) != 1)
        throw std::runtime_error(PQerrorMessage(c));
    result const r(PQgetResult(c));
    while (result const rest{PQgetResult(c)}) {
    }
    if (PQresultStatus(r.get()) != PGRES_COMMAND_OK)
        throw server_error(r.get());
    return std::stoull(PQcmdTuples(r.get()));
}

// A duplicate costs what was copied before it, so after one the table is left alone for a while, longer each time.
std::optional<std::uint64_t> database::load_new(std::string_view rows)
{
    static constexpr int longest_pause = 64;
    if (batches_to_go_ > 0) {
        --batches_to_go_;
        return std::nullopt;
    }
    try {
        std::uint64_t const inserted = copy(copy_events, rows);
        pause_ = 1;
        return inserted;
    } catch (const server_error &e) {
        bool const is_no_copy = e.state() == "0A000"; // a table that takes rows by INSERT only
        if (e.state() != "23505" && !is_no_copy)
            throw;
        batches_to_go_ = pause_;
        pause_ = std::min(2 * pause_, longest_pause);
        return std::nullopt;
    }
}

std::uint64_t database::load(std::string_view rows)
{
    if (auto const inserted = load_new(rows))
        return *inserted;
    run(make_batch_table);
    run("BEGIN");
    try {
        copy(copy_batch, rows);
        result const r = run(insert_batch);
        std::uint64_t const inserted = std::stoull(PQcmdTuples(r.get()));
        run("COMMIT");
        return inserted;
    } catch (const std::exception &) {
        if (PQstatus(connection_.get()) == CONNECTION_OK)
            run("ROLLBACK");
        throw;
    }
}

// An event lies in at most two local days that its UTC day touches, so some of these may have no event.
std::vector<std::pair<std::string, std::string>> database::local_ranges(const std::vector<std::string> &days,
                                                                        const std::string &workspaces)
{
    std::string list = "{";
    for (std::string const &day : days)
        list += (list.size() > 1 ? "," : "") + day;
    list += "}";
    result const r =
        run("SELECT min(day), max(day) FROM ("
            " SELECT day, day - (row_number() OVER (ORDER BY day))::integer AS island FROM ("
            "  SELECT DISTINCT (i.at AT TIME ZONE analytics.workspace_time_zone(w.id, i.at))::date AS day"
            "  FROM unnest($1::date[]) AS d (day), unnest($2::uuid[]) AS w (id),"
            "       unnest(ARRAY[d.day::timestamp AT TIME ZONE 'UTC',"
            "                    least((d.day + 1)::timestamp AT TIME ZONE 'UTC' - interval '1 microsecond', "
            "now())]) AS i (at)"
            " ) AS local_days WHERE day <= (now() AT TIME ZONE 'UTC')::date"
            ") AS islands GROUP BY island ORDER BY 1",
            {list.c_str(), workspaces.c_str()});
    std::vector<std::pair<std::string, std::string>> ranges;
    for (int i = 0; i < PQntuples(r.get()); ++i)
        ranges.emplace_back(PQgetvalue(r.get(), i, 0), PQgetvalue(r.get(), i, 1));
    return ranges;
}

// The procedure does nothing while maintenance is in a transaction; what it did is noted.
bool database::backfill(const std::string &first, const std::string &last)
{
    std::string const before = value_of("SELECT clock_timestamp()");
    run("CALL analytics.backfill($1::date, $2::date)", {first.c_str(), last.c_str()});
    return value_of("SELECT count(*) > 0 FROM analytics.job_runs WHERE step = 'backfill'"
                    " AND started_at >= $1::timestamptz AND first_day = $2::date AND last_day = $3::date",
                    {before.c_str(), first.c_str(), last.c_str()}) == "t";
}

} // namespace importer
