// shadow-analytics-import: events that other tools exported. One thread reads and maps, the other loads.

#include "job.hpp"

#include <csignal>
#include <cstdio>
#include <exception>

static void install_signals()
{
    struct sigaction stop = {}, ignore = {};
    stop.sa_handler = [](int) { importer::stop_asked = 1; };
    stop.sa_flags = SA_RESETHAND; // a second one ends it at once
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &stop, nullptr);
    sigaction(SIGTERM, &stop, nullptr);
    sigaction(SIGPIPE, &ignore, nullptr);
}

int main(int argc, char **argv)
{
    importer::options const o = importer::read_options(argc, argv);
    try {
        install_signals();
        return importer::job(o).run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "shadow-analytics-import: %s\n", e.what());
        return 1;
    }
}
