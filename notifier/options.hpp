#pragma once
// How the notifier is run. Secrets come from files or the environment, never from the command line.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace notifier
{

struct options {
    std::string conninfo; // besides libpq's environment; without a password
    bool once = false;
    bool dry_run = false;
    bool allow_private = false;
    // Of webhooks and Slack; first and last of each range.
    std::vector<std::pair<std::uint16_t, std::uint16_t>> webhook_ports = {{443, 443}, {8443, 8443}};
    bool plaintext_smtp = false;
    std::string ca_file;
    std::string smtp_url; // empty: mail cannot be sent
    std::string smtp_user;
    std::string smtp_password;
    std::string sender;
    long timeout = 30; // seconds for one delivery
    int most = 64;     // deliveries at a time
    int poll_seconds = 5;
    int lease_seconds = 0; // 0: twice the timeout and half a minute
};

// Throws std::runtime_error for options that make no sense; ends the program for --help and --version.
options read_options(int argc, char **argv);

} // namespace notifier
