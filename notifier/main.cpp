// shadow-analytics-notifier: empties analytics.notification_outbox. One thread: waits on the database's
// socket and on all deliveries at once.

#include "delivery.hpp"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <exception>

namespace notifier
{

static volatile std::sig_atomic_t stop_asked = 0;
static volatile std::sig_atomic_t counters_asked = 0;

static void install_signals()
{
    struct sigaction stop = {}, show = {}, ignore = {};
    stop.sa_handler = [](int) { stop_asked = 1; };
    show.sa_handler = [](int) { counters_asked = 1; };
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGTERM, &stop, nullptr); // without SA_RESTART: waiting ends
    sigaction(SIGINT, &stop, nullptr);
    sigaction(SIGUSR1, &show, nullptr);
    sigaction(SIGPIPE, &ignore, nullptr);
}

struct counters {
    long claimed = 0, delivered = 0, failed = 0, refused = 0;
    std::int64_t latency_ms = 0;
};

class service
{
public:
    explicit service(const options &o) : options_(o), database_(o.conninfo, o.lease_seconds), deliveries_(o)
    {
    }

    int run();

private:
    int preview();
    bool take_more();
    bool serve();
    void be_away();
    void settle(const outcome &o);
    int milliseconds_to_wait() const;
    void show_counters() const;

    const options &options_;
    database database_;
    deliveries deliveries_;
    counters counters_;
    bool took_ = false;    // there was something to take
    int seconds_away_ = 0; // how long to wait for the server next time
    std::string told_;     // the error of the server that was told last
};

// No address, no secret, no text of a message is ever printed.
void service::settle(const outcome &o)
{
    counters_.latency_ms += o.latency_ms;
    ++(o.delivered ? counters_.delivered : o.is_final ? counters_.refused : counters_.failed);
    std::fprintf(stderr, "%s %s after %lld ms%s%s\n", o.id.c_str(),
                 o.delivered  ? "delivered"
                 : o.is_final ? "refused"
                              : "failed",
                 static_cast<long long>(o.latency_ms), o.error.empty() ? "" : ": ", o.error.c_str());
    database_.record(o);
}

void service::show_counters() const
{
    std::fprintf(stderr,
                 "claimed=%ld delivered=%ld failed=%ld refused=%ld in_flight=%zu latency_ms_sum=%lld\n",
                 counters_.claimed, counters_.delivered, counters_.failed, counters_.refused,
                 deliveries_.count(), static_cast<long long>(counters_.latency_ms));
}

// False if the server refuses.
bool service::take_more()
{
    int const room = options_.most - static_cast<int>(deliveries_.count());
    if (room <= 0 || stop_asked)
        return true;
    auto claimed = database_.claim(room);
    if (!claimed)
        return false;
    took_ = !claimed->empty();
    counters_.claimed += static_cast<long>(claimed->size());
    for (notification &n : *claimed)
        deliveries_.start(std::move(n));
    return true;
}

int service::preview()
{
    auto const due = database_.is_ready() ? database_.preview(1000) : std::nullopt;
    if (!due) {
        be_away();
        return 1;
    }
    for (notification const &n : *due)
        std::printf("%s %s attempt %d: %s\n", n.id.c_str(), n.channel.c_str(), n.attempt, n.subject.c_str());
    return 0;
}

int service::milliseconds_to_wait() const
{
    if (seconds_away_ > 0)
        return seconds_away_ * 1000;
    // Retries come due without a NOTIFY.
    return options_.poll_seconds * 1000;
}

// One round with the server; false if it is away or refuses.
bool service::serve()
{
    took_ = false;
    if (!database_.is_ready())
        return false;
    database_.consume();
    return database_.flush() && take_more();
}

// An error is told once, not at each try.
void service::be_away()
{
    if (told_ != database_.last_error()) {
        told_ = database_.last_error();
        std::fprintf(stderr, "%s%s",
                     options_.once || options_.dry_run ? "" : "waiting for the server: ", told_.c_str());
    }
    seconds_away_ = seconds_away_ == 0 ? 1 : seconds_away_ < 30 ? seconds_away_ * 2 : 30;
}

int service::run()
{
    if (options_.dry_run)
        return preview();
    bool has_failed = false;
    while (!(stop_asked || has_failed) || deliveries_.count() != 0) {
        if (serve()) {
            seconds_away_ = 0;
            told_.clear();
        } else {
            be_away();
            has_failed = options_.once;
        }
        if (options_.once && !took_ && deliveries_.count() == 0)
            break;
        for (outcome const &o : deliveries_.wait(database_.socket(), took_ ? 0 : milliseconds_to_wait()))
            settle(o);
        if (counters_asked) {
            counters_asked = 0;
            show_counters();
        }
    }
    if (!database_.flush()) {
        be_away();
        has_failed = true;
    }
    return has_failed ? 1 : 0;
}

} // namespace notifier

int main(int argc, char **argv)
{
    try {
        notifier::options const o = notifier::read_options(argc, argv);
        notifier::install_signals();
        return notifier::service(o).run();
    } catch (const std::exception &e) {
        std::fprintf(stderr, "shadow-analytics-notifier: %s\n", e.what());
        return 2;
    }
}
