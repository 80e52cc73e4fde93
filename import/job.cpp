#include "job.hpp"

#include "core/event/names.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <fstream>
#include <sstream>
#include <thread>

namespace importer
{

volatile std::sig_atomic_t stop_asked = 0;

static mapper_options mapper_options_of(const options &o)
{
    mapper_options m;
    if (!o.workspace.empty())
        m.workspace = shadow::parse_uuid(o.workspace);
    m.default_user = o.default_user;
    m.time_zone = o.time_zone;
    return m;
}

job::job(const options &o)
    : options_(o), mapping_(read_mapping(o)), mapper_(mapping_, mapper_options_of(o)),
      state_(o.state, identity())
{
    for (std::string const &file : o.files)
        files_.emplace_back(file);
}

// What decides which rows come of which records, and where the rejects are.
std::string job::identity() const
{
    std::ostringstream text;
    text << SHADOW_VERSION << '\n'
         << options_.tool << '\n'
         << options_.workspace << '\n'
         << options_.default_user << '\n'
         << options_.time_zone << '\n'
         << options_.encoding << '\n'
         << options_.delimiter << '\n'
         << options_.rejects << '\n';
    for (std::string const &rule : options_.event_types)
        text << rule << '\n';
    if (!options_.mapping_file.empty())
        text << std::ifstream(options_.mapping_file).rdbuf();
    for (std::string const &file : options_.files)
        text << file << ' ' << source_file(file).identity() << '\n';
    char buffer[37];
    return std::string(shadow::format_uuid(shadow::id_of({}, "import", text.str()), buffer));
}

std::uint64_t job::total_size() const
{
    std::uint64_t total = 0;
    for (source_file const &f : files_)
        total += f.size();
    return total;
}

void job::connect()
{
    if (options_.is_dry_run && options_.database.empty())
        return;
    database_ = std::make_unique<database>(options_.database);
    if (options_.keep_days && !options_.is_dry_run)
        database_->keep_for(*options_.keep_days);
    if (database_->are_users_everywhere())
        mapper_.name_users_everywhere();
    keep_days_ = database_->keep_days();
    if (keep_days_ && options_.keep_days && options_.is_dry_run)
        keep_days_ = std::max(*keep_days_, *options_.keep_days);
    auto const workspace = options_.tool == "csv" || options_.tool == "jsonl"
                               ? std::nullopt
                               : shadow::parse_uuid(options_.workspace);
    for (auto const &[id, day] : database_->sealed_days(workspace))
        mapper_.refuse_day(id, day);
}

// --- the first look ---

void job::report_expired(std::uint64_t expired, std::int64_t earliest) const
{
    std::printf("%llu events are older than the %d days for which raw events are kept, the first of %s.\n",
                static_cast<unsigned long long>(expired), *keep_days_, format_day(day_of(earliest)).c_str());
    std::int64_t const now = std::time(nullptr) / 86400 - unix_epoch_days;
    if (!options_.is_dry_run)
        std::printf("Nothing was loaded. Either\n"
                    "  --keep-days %lld    keeps raw events that long from now on, or\n"
                    "  --allow-expired    loads them, too: they are counted in the rollups and removed a day "
                    "later.\n",
                    static_cast<long long>(now - day_of(earliest) + 2));
}

static void print_reasons(const char *what, const std::map<std::string, std::uint64_t> &reasons)
{
    for (auto const &[reason, count] : reasons)
        std::printf("%s: %llu, %s\n", what, static_cast<unsigned long long>(count), reason.c_str());
}

void job::show_plan(const counts &c) const
{
    std::printf("%llu records: %llu would be loaded, %llu refused, %llu left out\n",
                static_cast<unsigned long long>(c.read), static_cast<unsigned long long>(c.loaded),
                static_cast<unsigned long long>(counts::sum(c.refused)),
                static_cast<unsigned long long>(counts::sum(c.left_out)));
    print_reasons("refused", c.refused);
    print_reasons("left out", c.left_out);
    if (c.shortened > 0)
        std::printf("%llu events lose their longest properties, as metadata is limited to 10 kB\n",
                    static_cast<unsigned long long>(c.shortened));
    if (!c.days.empty())
        std::printf("events of %zu days from %s to %s\n", c.days.size(), format_day(*c.days.begin()).c_str(),
                    format_day(*c.days.rbegin()).c_str());
}

fate job::preview(record &r, event &e, counts &c)
{
    fate const f = mapper_.map(r, e);
    if (f == fate::refused) {
        ++c.refused[mapper_.reason()];
    } else if (f == fate::left_out) {
        ++c.left_out[mapper_.reason()];
    } else {
        if (c.loaded < options_.shown)
            std::printf("%s\n", describe(e).c_str());
        ++c.loaded;
        c.shortened += e.dropped_properties > 0;
        c.days.insert(day_of(e.created_at));
    }
    return f;
}

// Reads all files once before anything is loaded; false: the import stops here.
bool job::survey()
{
    std::uint64_t expired = 0, before = 0;
    std::int64_t earliest = INT64_MAX;
    std::int64_t const now = (std::time(nullptr) - unix_epoch_days * 86400) * 1'000'000;
    std::int64_t const limit = keep_days_ ? now - *keep_days_ * microseconds_per_day : INT64_MIN;
    progress bar("checking", total_size(), options_.is_quiet);
    counts c;
    record r;
    event e;
    for (source_file const &f : files_) {
        input in(f, mapping_.container.encoding);
        auto const reader = open_reader(in, mapping_.container);
        while (!stop_asked && reader->next(r, false)) {
            fate const f = options_.is_dry_run ? preview(r, e, c) : mapper_.look(r, e);
            if (f == fate::mapped && e.created_at < limit) {
                ++expired;
                earliest = std::min(earliest, e.created_at);
            }
            if (++c.read % 1024 == 0)
                bar.show(before + in.position(), c.read);
        }
        before += in.size();
    }
    if (options_.is_dry_run)
        show_plan(c);
    if (expired > 0)
        report_expired(expired, earliest);
    return !options_.is_dry_run && expired == 0 && !stop_asked;
}

// --- reading ---

void job::reject(batch &b, std::size_t file, std::uint64_t number, const char *reason,
                 std::string_view detail, const record *r) const
{
    ++b.counted.refused[reason];
    if (options_.rejects.empty())
        return;
    b.rejects += "{\"file\": ";
    append_json(b.rejects, files_[file].path());
    b.rejects += ", \"record\": " + std::to_string(number) + ", \"reason\": ";
    append_json(b.rejects, reason);
    b.rejects += ", \"detail\": ";
    append_json(b.rejects, detail);
    if (r != nullptr && r->tree.root.type == kind::object) {
        b.rejects += ", \"data\": ";
        append_json(b.rejects, r->tree.root);
    } else if (r != nullptr) {
        b.rejects += ", \"text\": ";
        append_json(b.rejects, r->raw);
    }
    b.rejects += "}\n";
}

void job::add_record(const record &r, const event &e, fate f, std::size_t file, batch &b)
{
    ++b.counted.read;
    b.record = r.number;
    if (f == fate::refused) {
        reject(b, file, r.number, mapper_.reason(), mapper_.detail(), &r);
    } else if (f == fate::left_out) {
        ++b.counted.left_out[mapper_.reason()];
    } else {
        char buffer[37];
        append_row(b.rows, e);
        b.ends.push_back(b.rows.size());
        b.records.push_back(r.number);
        b.times.push_back(e.created_at);
        b.counted.shortened += e.dropped_properties > 0;
        b.counted.days.insert(day_of(e.created_at));
        b.counted.workspaces.emplace(shadow::format_uuid(e.workspace, buffer));
    }
}

// A batch holds records of one file. False: stopped.
bool job::read_file(std::size_t index, batch &b, batch_queue &queue)
{
    input in(files_[index], mapping_.container.encoding);
    auto const reader = open_reader(in, mapping_.container);
    record r;
    event e;
    std::uint64_t const before = b.position;
    b.file = index;
    std::uint64_t skipped = index == done_.source ? done_.record : 0;
    for (; skipped > 0 && reader->next(r, true); --skipped)
        b.record = r.number;
    while (reader->next(r, false)) {
        add_record(r, e, mapper_.map(r, e), index, b);
        if (!b.is_full(options_.batch_rows))
            continue;
        batch next;
        next.file = next.source = index;
        next.record = b.record;
        b.position = before + in.position();
        if (stop_asked || !queue.put(std::exchange(b, std::move(next))))
            return false;
    }
    b.source = index + 1;
    b.record = 0;
    b.position = before + in.size();
    batch next;
    next.source = b.source;
    next.position = b.position;
    return queue.put(std::exchange(b, std::move(next)));
}

void job::read_all(batch_queue &queue)
{
    try {
        batch b;
        b.source = done_.source;
        for (std::size_t i = done_.source; i < files_.size(); ++i)
            if (!read_file(i, b, queue))
                break;
        queue.end();
    } catch (...) {
        queue.end(std::current_exception());
    }
}

// --- loading ---

void job::make_partitions(const counts &c)
{
    for (std::int64_t const day : c.days)
        if (partitions_.insert(day).second)
            database_->make_partition(format_day(day));
}

// False: the server refuses one of the rows.
bool job::try_rows(batch &b, std::size_t first, std::size_t last)
{
    std::size_t const begin = first == 0 ? 0 : b.ends[first - 1];
    for (int attempt = 1;; ++attempt) {
        try {
            std::uint64_t const inserted =
                database_->load(std::string_view(b.rows).substr(begin, b.ends[last - 1] - begin));
            b.counted.loaded += inserted;
            b.counted.present += last - first - inserted;
            return true;
        } catch (const server_error &e) {
            if (e.may_pass() && attempt < 5) {
                std::this_thread::sleep_for(std::chrono::milliseconds(100 * attempt));
                continue;
            }
            if (!e.is_about_data())
                throw;
            if (last - first == 1)
                reject(b, b.file, b.records[first], "refused by the server", e.what(), nullptr);
            return false;
        }
    }
}

// A row that the server refuses is found by halving, so that the others are loaded.
void job::load_rows(batch &b, std::size_t first, std::size_t last)
{
    if (first == last || try_rows(b, first, last) || last - first == 1)
        return;
    std::size_t const middle = first + (last - first) / 2;
    load_rows(b, first, middle);
    load_rows(b, middle, last);
}

void job::load_batch(batch &b)
{
    make_partitions(b.counted);
    load_rows(b, 0, b.ends.size());
}

// The batch is committed: now it is noted. A program that dies in between loads it again, which adds nothing.
void job::settle(const batch &b)
{
    if (rejects_ != nullptr) {
        std::fwrite(b.rejects.data(), 1, b.rejects.size(), rejects_);
        if (std::fflush(rejects_) != 0)
            throw std::runtime_error("cannot write " + options_.rejects);
        done_.rejects += b.rejects.size();
    }
    done_.counted.add(b.counted);
    checkpoint note = done_;
    note.source = b.source;
    note.record = b.record;
    state_.write(note);
}

// False: stopped.
bool job::load()
{
    progress bar("loading", total_size(), options_.is_quiet);
    batch_queue queue;
    std::thread reading([&] { read_all(queue); });
    std::size_t finished = done_.source;
    try {
        for (batch b; queue.take(b);) {
            load_batch(b);
            settle(b);
            finished = b.source;
            bar.show(b.position, done_.counted.read);
        }
    } catch (...) {
        queue.give_up();
        reading.join();
        throw;
    }
    reading.join();
    return finished == files_.size();
}

// --- rollups and the end ---

bool job::backfill()
{
    std::string workspaces = "{";
    for (std::string const &id : done_.counted.workspaces)
        workspaces += (workspaces.size() > 1 ? "," : "") + id;
    workspaces += "}";
    std::vector<std::string> days;
    for (std::int64_t const day : done_.counted.days)
        days.push_back(format_day(day));
    auto const ranges = database_->local_ranges(days, workspaces);
    progress bar("aggregating", ranges.size(), options_.is_quiet);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        for (int seconds = 0; !stop_asked && !database_->backfill(ranges[i].first, ranges[i].second);
             ++seconds) {
            if (seconds == 600)
                throw std::runtime_error(
                    "all events are loaded, but maintenance has been at work for ten minutes: "
                    "CALL analytics.backfill(), or call this again");
            std::this_thread::sleep_for(std::chrono::seconds(1));
        }
        bar.show(i + 1, i + 1);
        if (stop_asked)
            return false;
    }
    return true;
}

void job::report() const
{
    counts const &c = done_.counted;
    std::printf("%llu records: %llu loaded, %llu there before, %llu refused, %llu left out\n",
                static_cast<unsigned long long>(c.read), static_cast<unsigned long long>(c.loaded),
                static_cast<unsigned long long>(c.present),
                static_cast<unsigned long long>(counts::sum(c.refused)),
                static_cast<unsigned long long>(counts::sum(c.left_out)));
    print_reasons("refused", c.refused);
    print_reasons("left out", c.left_out);
    if (c.shortened > 0)
        std::printf("%llu events lost their longest properties, as metadata is limited to 10 kB\n",
                    static_cast<unsigned long long>(c.shortened));
}

static std::FILE *open_rejects(const std::string &path, std::uint64_t length)
{
    if (path.empty())
        return nullptr;
    mode_t const before = umask(077); // they hold what the events hold
    std::FILE *const file = std::fopen(path.c_str(), length == 0 ? "w" : "r+");
    umask(before);
    if (file == nullptr || ftruncate(fileno(file), static_cast<off_t>(length)) != 0 ||
        std::fseek(file, 0, SEEK_END) != 0)
        throw std::runtime_error("cannot write " + path);
    return file;
}

static std::unique_ptr<database> hold_back_cleanup(const std::string &conninfo)
{
    auto holder = std::make_unique<database>(conninfo);
    while (!holder->try_hold_back_cleanup())
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return holder;
}

int job::run()
{
    connect();
    bool const is_resumed = !options_.is_dry_run && state_.read(done_);
    bool const is_surveyed = options_.is_dry_run || (keep_days_ && !options_.allows_expired && !is_resumed);
    for (source_file &f : files_)
        if (is_surveyed && f.is_standard_input())
            f.copy_standard_input();
    if (is_surveyed && !survey())
        return options_.is_dry_run && !stop_asked ? 0 : 1;
    rejects_ = open_rejects(options_.rejects, done_.rejects);
    {
        // Else the first events of a day could be counted and removed before its last ones are here.
        auto const holder = options_.allows_expired ? hold_back_cleanup(options_.database) : nullptr;
        if (!load()) {
            std::printf("stopped after %llu records; call it again to go on\n",
                        static_cast<unsigned long long>(done_.counted.read));
            return 1;
        }
    }
    if (!options_.skips_backfill && !backfill()) {
        std::printf("stopped before all rollups were computed; call it again to go on\n");
        return 1;
    }
    state_.remove();
    report();
    return done_.counted.refused.empty() ? 0 : 3;
}

} // namespace importer
