#include "options.hpp"

#include <CLI/CLI.hpp>

namespace importer
{

static void define(CLI::App &app, options &o)
{
    app.set_version_flag("--version", "shadow-analytics-import " SHADOW_VERSION);
    app.add_option("files", o.files, "exported files, plain or gzip; - or none: standard input");
    app.add_option("--from", o.tool, "what the files are: csv and jsonl have our columns or a mapping file")
        ->required()
        ->check(CLI::IsMember(tool_names()));
    app.add_option("--database", o.database,
                   "connection URL or string, without a password; PGHOST etc. work too");
    app.add_option("--workspace", o.workspace, "uuid of the workspace that the events belong to");
    app.add_option("--mapping", o.mapping_file, "JSON file: what goes where (doc/import.md)");
    app.add_option("--event-type", o.event_types,
                   "NAME=TYPE: the type of events with this name; '*' for all others")
        ->allow_extra_args(false);
    app.add_option("--default-user", o.default_user,
                   "whose events are those without a user; else they are refused");
    app.add_option("--time-zone", o.time_zone,
                   "of times that say none, and of Mixpanel projects before 2023");
    app.add_option("--encoding", o.encoding, "of the files, as iconv names it (UTF-8; UTF-16 is recognised)");
    app.add_option("--delimiter", o.delimiter, "of CSV, one character or 'tab' (found in the header)");
    app.add_flag("--dry-run", o.is_dry_run,
                 "show the first mapped rows and what would be refused; change nothing");
    app.add_option("--show", o.shown, "how many rows a dry run shows")->capture_default_str();
    app.add_option("--rejects", o.rejects,
                   "write what is refused to this file, as JSON lines with the reasons");
    app.add_option("--state", o.state,
                   "note in this file how far the import is; a later run goes on from there");
    app.add_option("--keep-days", o.keep_days,
                   "keep raw events so long from now on, if that is longer than now")
        ->check(CLI::Range(1, 36500));
    app.add_flag("--allow-expired", o.allows_expired,
                 "load events older than the retention too: they are counted and removed a day later");
    app.add_flag("--no-backfill", o.skips_backfill, "do not compute the rollups of the imported days");
    app.add_flag("--quiet", o.is_quiet, "no progress bar");
    app.add_option("--batch", o.batch_rows, "rows per transaction")
        ->capture_default_str()
        ->check(CLI::Range(1, 1'000'000));
}

static void check(options &o)
{
    if (o.files.empty())
        o.files.emplace_back("-");
    if (std::count(o.files.begin(), o.files.end(), "-") > 1)
        throw CLI::ValidationError("files", "standard input can be read once");
    if (!o.workspace.empty() && !shadow::parse_uuid(o.workspace))
        throw CLI::ValidationError("--workspace", "\"" + o.workspace + "\" is no uuid");
    if (o.workspace.empty() && o.tool != "csv" && o.tool != "jsonl")
        throw CLI::RequiredError("--workspace");
    if (o.delimiter == "tab")
        o.delimiter = "\t";
    if (o.delimiter.size() > 1)
        throw CLI::ValidationError("--delimiter", "must be one character");
}

options read_options(int argc, char **argv)
{
    options o;
    CLI::App app("Loads events that other tools exported into analytics.user_activity of the extension\n"
                 "shadow_analytics. Running it again adds nothing twice.\n",
                 "shadow-analytics-import");
    define(app, o);
    try {
        app.parse(argc, argv);
        check(o);
    } catch (const CLI::ParseError &e) {
        std::exit(app.exit(e) == 0 ? 0 : 2);
    }
    return o;
}

mapping read_mapping(const options &o)
{
    mapping m = mapping_of(o.tool);
    if (!o.mapping_file.empty())
        read_mapping_file(o.mapping_file, m);
    for (std::string const &rule : o.event_types) {
        std::size_t const sign = rule.rfind('=');
        if (sign == std::string::npos)
            throw std::runtime_error("--event-type must be NAME=TYPE");
        set_event_type(m, rule.substr(0, sign), rule.substr(sign + 1));
    }
    if (!o.encoding.empty())
        m.container.encoding = o.encoding;
    if (!o.delimiter.empty())
        m.container.delimiter = o.delimiter[0];
    return m;
}

} // namespace importer
