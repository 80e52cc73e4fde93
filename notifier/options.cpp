#include "options.hpp"

#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace notifier
{

static constexpr const char *usage =
    "shadow-analytics-notifier delivers the notifications of the extension shadow_analytics.\n"
    "\n"
    "  -d, --dbname CONNINFO   connection string without password; PGHOST, PGPASSFILE etc. work too\n"
    "      --once              deliver what is due, then end (for cron)\n"
    "      --dry-run           show what is due, deliver nothing, change nothing\n"
    "      --timeout SECONDS   for one delivery (30)\n"
    "      --concurrency N     deliveries at a time (64)\n"
    "      --poll SECONDS      look for due notifications at least so often (5)\n"
    "      --lease SECONDS     how long a notification is reserved (twice the timeout and 30)\n"
    "      --ca-file FILE      trust these certificates instead of the system's\n"
    "      --smtp-url URL      smtp://host:port (STARTTLS is required) or smtps://host:port\n"
    "      --smtp-user NAME    its password: environment SHADOW_SMTP_PASSWORD, or a file, see next\n"
    "      --smtp-password-file FILE\n"
    "      --smtp-plaintext    allow an SMTP server without TLS\n"
    "      --sender ADDRESS    of mails\n"
    "      --allow-private     deliver also to loopback, link-local and private addresses\n"
    "      --webhook-ports LIST  of URLs (443,8443); ranges such as 8000-8999 too\n"
    "\n"
    "SIGTERM ends it after the deliveries under way, SIGUSR1 prints counters.\n";

static long positive(const char *name, const char *text, long highest)
{
    char *end;
    long const n = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < 1 || n > highest)
        throw std::runtime_error(std::string(name) + " must be a number from 1 to " +
                                 std::to_string(highest));
    return n;
}

static auto port_ranges(const char *name, const std::string &text)
{
    decltype(options::webhook_ports) ranges;
    bool is_valid = true;
    std::istringstream list(text);
    for (std::string item; std::getline(list, item, ',');) {
        auto const dash = item.find('-');
        auto const port = [&](const std::string &s) {
            return static_cast<std::uint16_t>(positive(name, s.c_str(), 65535));
        };
        std::uint16_t const first = port(item.substr(0, dash));
        std::uint16_t const last = dash == std::string::npos ? first : port(item.substr(dash + 1));
        is_valid = is_valid && first <= last;
        ranges.emplace_back(first, last);
    }
    if (ranges.empty() || !is_valid)
        throw std::runtime_error(std::string(name) + " must be a list such as 443,8443,9000-9010");
    return ranges;
}

static std::string first_line(const char *path)
{
    std::ifstream file(path);
    std::string line;
    if (!std::getline(file, line))
        throw std::runtime_error(std::string("cannot read ") + path);
    return line;
}

static void check(const options &o)
{
    if (o.conninfo.find("password") != std::string::npos || o.conninfo.find("://") != std::string::npos)
        throw std::runtime_error(
            "the connection string must be key=value without a password, which every user of "
            "the machine could see: use PGPASSFILE");
    bool const is_smtp = o.smtp_url.rfind("smtp://", 0) == 0 || o.smtp_url.rfind("smtps://", 0) == 0;
    if (!o.smtp_url.empty() && (!is_smtp || o.smtp_url.find('@') != std::string::npos))
        throw std::runtime_error("--smtp-url must be smtp://host:port or smtps://host:port");
    if (!o.smtp_url.empty() && o.sender.find('@') == std::string::npos)
        throw std::runtime_error("--smtp-url needs --sender");
    if (o.sender.find_first_of("\r\n<> ") != std::string::npos)
        throw std::runtime_error("--sender must be a mail address");
}

enum option_number {
    once = 1000,
    dry_run,
    timeout,
    concurrency,
    poll_,
    lease,
    ca_file,
    smtp_url,
    smtp_user,
    smtp_password_file,
    smtp_plaintext,
    sender,
    allow_private,
    webhook_ports
};

static constexpr option long_options[] = {
    {"dbname", required_argument, nullptr, 'd'},
    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'V'},
    {"once", no_argument, nullptr, once},
    {"dry-run", no_argument, nullptr, dry_run},
    {"timeout", required_argument, nullptr, timeout},
    {"concurrency", required_argument, nullptr, concurrency},
    {"poll", required_argument, nullptr, poll_},
    {"lease", required_argument, nullptr, lease},
    {"ca-file", required_argument, nullptr, ca_file},
    {"smtp-url", required_argument, nullptr, smtp_url},
    {"smtp-user", required_argument, nullptr, smtp_user},
    {"smtp-password-file", required_argument, nullptr, smtp_password_file},
    {"smtp-plaintext", no_argument, nullptr, smtp_plaintext},
    {"sender", required_argument, nullptr, sender},
    {"allow-private", no_argument, nullptr, allow_private},
    {"webhook-ports", required_argument, nullptr, webhook_ports},
    {nullptr, 0, nullptr, 0},
};

static void apply(options &o, int option, const char *value)
{
    switch (option) {
    case 'd':
        o.conninfo = value;
        break;
    case 'h':
        std::fputs(usage, stdout);
        std::exit(0);
    case 'V':
        std::puts("shadow-analytics-notifier " SHADOW_VERSION);
        std::exit(0);
    case once:
        o.once = true;
        break;
    case dry_run:
        o.dry_run = true;
        break;
    case timeout:
        o.timeout = positive("--timeout", value, 600);
        break;
    case concurrency:
        o.most = static_cast<int>(positive("--concurrency", value, 1000));
        break;
    case poll_:
        o.poll_seconds = static_cast<int>(positive("--poll", value, 3600));
        break;
    case lease:
        o.lease_seconds = static_cast<int>(positive("--lease", value, 86400));
        break;
    case ca_file:
        o.ca_file = value;
        break;
    case smtp_url:
        o.smtp_url = value;
        break;
    case smtp_user:
        o.smtp_user = value;
        break;
    case smtp_password_file:
        o.smtp_password = first_line(value);
        break;
    case smtp_plaintext:
        o.plaintext_smtp = true;
        break;
    case sender:
        o.sender = value;
        break;
    case allow_private:
        o.allow_private = true;
        break;
    case webhook_ports:
        o.webhook_ports = port_ranges("--webhook-ports", value);
        break;
    default:
        throw std::runtime_error("see --help");
    }
}

options read_options(int argc, char **argv)
{
    options o;
    if (const char *const password = std::getenv("SHADOW_SMTP_PASSWORD"))
        o.smtp_password = password;
    for (int c; (c = getopt_long(argc, argv, "d:hV", long_options, nullptr)) != -1;)
        apply(o, c, optarg);
    if (optind != argc)
        throw std::runtime_error("unexpected argument; see --help");
    check(o);
    if (o.lease_seconds == 0)
        o.lease_seconds = static_cast<int>(2 * o.timeout + 30);
    return o;
}

} // namespace notifier
