#pragma once
// How the program is called.

#include "event.hpp"
#include "input.hpp"

#include <optional>
#include <string>
#include <vector>

namespace importer
{

struct options {
    std::string tool, database, workspace, mapping_file, rejects, state, time_zone, encoding, delimiter,
        default_user;
    std::vector<std::string> files, event_types;
    std::optional<int> keep_days;
    bool is_dry_run = false, allows_expired = false, skips_backfill = false, is_quiet = false;
    std::size_t shown = 5, batch_rows = 20'000;
};

// Ends the program for --help, --version and what makes no sense; the status is 2 then.
options read_options(int argc, char **argv);

// What the options and the mapping file make of the tool's mapping.
mapping read_mapping(const options &o);

} // namespace importer
