#include "core/alerts.hpp"

#include "core/activity_totals.hpp"
#include "core/decimal.hpp"
#include "core/json_writer.hpp"

#include <cmath>
#include <vector>

namespace shadow
{

namespace
{

constexpr std::int64_t minute = INT64_C(60'000'000);
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t session_reach = 24 * hour; // sessions are followed back so far before a window
constexpr std::size_t most_examples = 5;          // agents and error types in a context

template <typename T>
using list = std::pmr::vector<T>;

// What is known of one metric over one interval.
struct sample {
    bool is_known = false;
    bool has_value = false;
    int128 value = 0;       // 10^-9
    std::int64_t part = 0;  // of a rate: bad ones
    std::int64_t whole = 0; // of a rate: all
};

// The activities of an interval: one per workspace.
struct interval_view {
    span<const activity *> events;
    span<const activity *> sessions;
    std::int64_t first, last;
    std::int64_t signups;
};

int128 nanos(int128 value, int scale) noexcept
{
    for (; scale < nano_scale; ++scale)
        value *= 10;
    return value;
}

sample count_sample(int128 n) noexcept
{
    sample s;
    s.has_value = true;
    s.value = n * nano;
    return s;
}

// A percentage with 2 decimals, as the rollups store it.
sample rate_sample(std::int64_t part, std::int64_t whole) noexcept
{
    sample s;
    s.part = part;
    s.whole = whole;
    s.has_value = whole != 0;
    if (s.has_value)
        s.value = nanos(divide_rounded(int128{part} * 10000, whole), 2);
    return s;
}

sample mean_sample(int128 sum, int128 divisor, int scale) noexcept
{
    sample s;
    s.has_value = divisor != 0;
    if (s.has_value)
        s.value = nanos(divide_rounded(sum, divisor), scale);
    return s;
}

// Measures an interval; every metric at most once.
class measurement
{
public:
    measurement(const interval_view &view, std::pmr::memory_resource *memory) : view_(view), memory_(memory)
    {
        for (const activity *const a : view.events)
            activity_reader::add_totals(*a, totals_);
    }

    const sample &operator[](alert_metric metric)
    {
        sample &s = samples_[static_cast<int>(metric)];
        if (!s.is_known) {
            s = measure(metric);
            s.is_known = true;
        }
        return s;
    }
    std::int64_t events() const noexcept { return totals_.events; }

    void describe(json_writer &json);

private:
    sample measure(alert_metric metric);
    std::int64_t count_users() const;
    list<failing_agent> failing_agents() const;
    list<failing_type> error_types() const;

    const interval_view &view_;
    std::pmr::memory_resource *memory_;
    activity_totals totals_;
    sample samples_[alert_metric_count];
};

sample measurement::measure(alert_metric metric)
{
    activity_totals const &t = totals_;
    switch (metric) {
    case alert_metric::error_rate:
        return rate_sample(t.errors, t.events);
    case alert_metric::failure_rate:
        return rate_sample(t.runs.failed, t.runs.successful + t.runs.failed);
    case alert_metric::response_time:
        return mean_sample(t.response_time, int128{t.responses} * 1'000'000, 0);
    case alert_metric::active_users:
        return count_sample(count_users());
    case alert_metric::failed_runs:
        return count_sample(t.runs.failed);
    case alert_metric::credits_consumed:
        return mean_sample(t.credits, 1, nano_scale);
    case alert_metric::agent_failures:
        return count_sample(static_cast<int128>(failing_agents().size()));
    case alert_metric::user_signups:
        return count_sample(view_.signups);
    case alert_metric::session_duration: {
        session_totals sessions;
        for (const activity *const a : view_.sessions)
            activity_reader::add_sessions(*a, view_.first, sessions);
        return mean_sample(sessions.duration, int128{sessions.sessions} * 10'000, 2);
    }
    }
    return {};
}

// Over several workspaces a user counts once.
template <typename T, typename Key>
std::size_t unite(list<T> &values, Key key)
{
    std::sort(values.begin(), values.end(), [&](const T &a, const T &b) { return key(a) < key(b); });
    auto const end =
        std::unique(values.begin(), values.end(), [&](const T &a, const T &b) { return key(a) == key(b); });
    return static_cast<std::size_t>(end - values.begin());
}

std::int64_t measurement::count_users() const
{
    list<uuid> users(memory_);
    for (const activity *const a : view_.events)
        activity_reader::list_users(*a, users);
    if (view_.events.size > 1)
        return static_cast<std::int64_t>(unite(users, [](const uuid &u) { return u; }));
    return static_cast<std::int64_t>(users.size());
}

// Adds up what several workspaces say about the same key.
template <typename T, typename Key, typename Count>
void add_up(list<T> &values, Key key, Count count)
{
    std::sort(values.begin(), values.end(), [&](const T &a, const T &b) { return key(a) < key(b); });
    std::size_t n = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (n != 0 && key(values[n - 1]) == key(values[i]))
            count(values[n - 1]) += count(values[i]);
        else
            values[n++] = values[i];
    }
    values.resize(n);
}

list<failing_agent> measurement::failing_agents() const
{
    list<failing_agent> agents(memory_);
    for (const activity *const a : view_.events)
        activity_reader::list_failing_agents(*a, agents);
    add_up(
        agents, [](const failing_agent &a) { return a.agent; },
        [](failing_agent &a) -> std::int64_t & { return a.failed_runs; });
    std::stable_sort(agents.begin(), agents.end(), [](const failing_agent &a, const failing_agent &b) {
        return a.failed_runs > b.failed_runs;
    });
    return agents;
}

list<failing_type> measurement::error_types() const
{
    list<failing_type> types(memory_);
    for (const activity *const a : view_.events)
        activity_reader::list_error_types(*a, types);
    add_up(
        types, [](const failing_type &t) { return t.name; },
        [](failing_type &t) -> std::int64_t & { return t.errors; });
    std::stable_sort(types.begin(), types.end(),
                     [](const failing_type &a, const failing_type &b) { return a.errors > b.errors; });
    return types;
}

// ISO 8601 in UTC from microseconds since 2000-01-01. The calendar: H. Hinnant, chrono-compatible low-level
// date algorithms, civil_from_days.
std::string_view iso_time(std::int64_t at, char (&buffer)[32]) noexcept
{
    constexpr std::int64_t day = 24 * hour;
    std::int64_t const days = at >= 0 ? at / day : -((-at + day - 1) / day);
    auto const seconds = static_cast<long>((at - days * day) / 1'000'000);
    std::int64_t const z = days + 10957 + 719468; // days since 0000-03-01
    std::int64_t const era = (z >= 0 ? z : z - 146096) / 146097;
    auto const doe = static_cast<unsigned>(z - era * 146097);
    unsigned const yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned const doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned const mp = (5 * doy + 2) / 153;
    unsigned const month = mp < 10 ? mp + 3 : mp - 9;
    std::int64_t const year = static_cast<std::int64_t>(yoe) + era * 400 + (month <= 2);
    int const n = std::snprintf(buffer, sizeof buffer, "%04lld-%02u-%02uT%02ld:%02ld:%02ldZ",
                                static_cast<long long>(year), month, doy - (153 * mp + 2) / 5 + 1,
                                seconds / 3600, seconds / 60 % 60, seconds % 60);
    return {buffer, static_cast<std::size_t>(n)};
}

void measurement::describe(json_writer &json)
{
    char text[37], time[32];
    json.raw("\"window_start\":").string(iso_time(view_.first, time));
    json.raw(",\"window_end\":").string(iso_time(view_.last, time));
    json.raw(",\"events\":").number(totals_.events);
    json.raw(",\"active_users\":").number((*this)[alert_metric::active_users].value, nano_scale);
    json.raw(",\"total_runs\":").number(totals_.runs.total);
    json.raw(",\"successful_runs\":").number(totals_.runs.successful);
    json.raw(",\"failed_runs\":").number(totals_.runs.failed);
    json.raw(",\"cancelled_runs\":").number(totals_.runs.cancelled);
    json.raw(",\"errors\":").number(totals_.errors);
    auto const agents = failing_agents();
    json.raw(",\"failing_agents\":[");
    for (std::size_t i = 0; i < std::min(agents.size(), most_examples); ++i)
        json.raw(i == 0 ? "{\"agent_id\":" : ",{\"agent_id\":")
            .string(format_uuid(agents[i].agent, text))
            .raw(",\"failed_runs\":")
            .number(agents[i].failed_runs)
            .raw("}");
    auto const types = error_types();
    json.raw("],\"error_types\":[");
    for (std::size_t i = 0; i < std::min(types.size(), most_examples); ++i)
        json.raw(i == 0 ? "{\"type\":" : ",{\"type\":")
            .string(types[i].name)
            .raw(",\"count\":")
            .number(types[i].errors)
            .raw("}");
    json.raw("]");
}

// The activities of one workspace in one scope.
struct part {
    uuid workspace;
    activity **rings;         // by window
    activity **hours;         // by scored hour
    activity **hour_sessions; // those of the day before as well
    activity *sessions;       // of the longest window and the day before
    activity *total;          // while judging: the rings so far
};

// A sentence, built from pieces.
class sentence
{
public:
    explicit sentence(std::pmr::memory_resource *memory) : text_(memory) {}
    sentence &operator<<(std::string_view piece)
    {
        text_.append(piece);
        return *this;
    }
    sentence &operator<<(int128 amount) // 10^-9
    {
        char buffer[64];
        return *this << format_scaled(amount, nano_scale, buffer);
    }
    sentence &operator<<(double number)
    {
        char buffer[32];
        int const n = std::snprintf(buffer, sizeof buffer, "%.4g", number);
        return *this << std::string_view(buffer, static_cast<std::size_t>(n));
    }
    std::string_view text() const noexcept { return text_; }

private:
    std::pmr::string text_;
};

} // namespace

// What a scored hour is compared with.
struct baseline {
    explicit baseline(std::pmr::memory_resource *memory) : points(memory) {}

    list<double> points;
    double sum = 0;
    std::int64_t part = 0, whole = 0; // of a rate, pooled

    double mean() const noexcept { return sum / static_cast<double>(points.size()); }
};

static double plain(int128 amount) noexcept
{
    return static_cast<double>(amount) / static_cast<double>(nano);
}

bool precedes(const alert_rule &a, const alert_rule &b) noexcept
{
    if (a.is_platform != b.is_platform)
        return b.is_platform;
    if (!a.is_platform && !(a.workspace == b.workspace))
        return a.workspace < b.workspace;
    return a.window_minutes < b.window_minutes;
}

void sort_alert_rules(span<alert_rule> rules) noexcept
{
    std::sort(rules.begin(), rules.end(), precedes);
}

class alert_scope
{
public:
    alert_scope(span<alert_rule> rules, const activity_rules &options, dictionary &words,
                activity_batch &batch, std::int64_t now, arena &memory, std::pmr::memory_resource *resource);

    const alert_rule &first_rule() const noexcept { return rules_[0]; }
    std::size_t rule_count() const noexcept { return rules_.size; }
    std::optional<std::int64_t> signups_since() const noexcept;
    void list_ranges(std::uint32_t number, list<alert_range> &windows, list<alert_range> &scored) const;

    void add_to_window(const uuid &workspace, const digested_event &event);
    void add_to_hours(const uuid &workspace, const digested_event &event);
    void add_signup(std::int64_t at) { signups_.push(at); }

    void judge(alert_verdict *out, interrupt_poll &poll);

private:
    part &part_of(const uuid &workspace);
    void feed(activity *&target, const digested_event &event);
    void feed_session(activity *&target, const digested_event &event);
    activity *make_activity()
    {
        return new (resource_->allocate(sizeof(activity), alignof(activity))) activity(resource_, &words_);
    }

    void extend_windows(std::size_t window);
    template <typename Choose>
    span<const activity *> gather(Choose choose);
    std::int64_t count_signups(std::int64_t first, std::int64_t last) const noexcept;
    void judge_windows(alert_verdict *out, interrupt_poll &poll);
    void judge_hours(alert_verdict *out, interrupt_poll &poll);
    void judge_threshold(const alert_rule &rule, measurement &m, alert_verdict &out);
    void judge_score(const alert_rule &rule, measurement *const *hours, alert_verdict &out);
    baseline collect(alert_metric metric, measurement *const *hours, json_writer &context) const;
    std::optional<bool> score(const alert_rule &rule, measurement *const *hours, sentence &reason,
                              json_writer &context);
    void finish(const alert_rule &rule, std::optional<bool> holds, const sentence &reason,
                alert_verdict &out);

    span<alert_rule> rules_;
    const activity_rules &options_;
    dictionary &words_;
    activity_batch &batch_;
    std::int64_t now_;
    arena &arena_;
    std::pmr::memory_resource *resource_;
    span<int> windows_; // distinct lengths in minutes, ascending
    span<std::int64_t> hours_;
    int session_window_ = 0; // longest window of a rule on sessions
    bool scores_sessions_ = false;
    pool<part> parts_;
    pool_index part_index_;
    pool<std::int64_t> signups_;
};

alert_scope::alert_scope(span<alert_rule> rules, const activity_rules &options, dictionary &words,
                         activity_batch &batch, std::int64_t now, arena &memory,
                         std::pmr::memory_resource *resource)
    : rules_(rules), options_(options), words_(words), batch_(batch), now_(now), arena_(memory),
      resource_(resource), parts_(resource), part_index_(resource), signups_(resource)
{
    windows_ = memory.make<int>(rules.size);
    windows_.size = 0;
    for (alert_rule const &rule : rules) {
        bool const on_sessions = rule.metric == alert_metric::session_duration;
        if (is_scored(rule.condition)) {
            hours_ = rule.hours;
            scores_sessions_ = scores_sessions_ || on_sessions;
            continue;
        }
        if (windows_.size == 0 || windows_[windows_.size - 1] != rule.window_minutes)
            windows_[windows_.size++] = rule.window_minutes;
        if (on_sessions)
            session_window_ = std::max(session_window_, rule.window_minutes);
    }
}

std::optional<std::int64_t> alert_scope::signups_since() const noexcept
{
    std::optional<std::int64_t> since;
    for (alert_rule const &rule : rules_) {
        if (rule.metric != alert_metric::user_signups)
            continue;
        std::int64_t first = now_ - rule.window_minutes * minute;
        if (is_scored(rule.condition) && hours_.size != 0)
            first = hours_[hours_.size - 1];
        since = std::min(since.value_or(first), first);
    }
    return since;
}

void alert_scope::list_ranges(std::uint32_t number, list<alert_range> &windows,
                              list<alert_range> &scored) const
{
    if (windows_.size != 0) {
        std::int64_t first = now_ - windows_[windows_.size - 1] * minute;
        if (session_window_ != 0)
            first = std::min(first, now_ - session_window_ * minute - session_reach);
        windows.push_back({number, first, now_});
    }
    // Latest first; hours that touch become one range, so that no event is fed twice.
    std::size_t const before = scored.size();
    for (std::int64_t const start : hours_) {
        std::int64_t const first = start - (scores_sessions_ ? session_reach : 0);
        if (scored.size() > before && scored.back().first <= start + hour)
            scored.back().first = std::min(scored.back().first, first);
        else
            scored.push_back({number, first, start + hour});
    }
}

part &alert_scope::part_of(const uuid &workspace)
{
    std::uint32_t const position = part_index_.find_or_add(
        workspace.hash(), [&](std::uint32_t i) { return parts_[i].workspace == workspace; },
        [&] {
            auto const places = arena_.make<activity *>(windows_.size + 2 * hours_.size);
            std::fill(places.begin(), places.end(), nullptr);
            activity **const hours = places.data + windows_.size;
            return parts_.push({workspace, places.data, hours, hours + hours_.size, nullptr, nullptr});
        });
    return parts_[position];
}

void alert_scope::feed(activity *&target, const digested_event &event)
{
    if (target == nullptr)
        target = make_activity();
    batch_.add(options_, target, event);
}

// Only who and when matters.
void alert_scope::feed_session(activity *&target, const digested_event &event)
{
    digested_event bare = event;
    bare.has_facts = false;
    feed(target, bare);
}

void alert_scope::add_to_window(const uuid &workspace, const digested_event &event)
{
    part &p = part_of(workspace);
    auto const *const ring = std::find_if(windows_.begin(), windows_.end(),
                                          [&](int minutes) { return event.at >= now_ - minutes * minute; });
    if (ring != windows_.end())
        feed(p.rings[ring - windows_.begin()], event);
    if (session_window_ != 0)
        feed_session(p.sessions, event);
}

void alert_scope::add_to_hours(const uuid &workspace, const digested_event &event)
{
    part &p = part_of(workspace);
    for (std::size_t i = 0; i < hours_.size; ++i) {
        if (event.at >= hours_[i] + hour)
            continue;
        if (event.at >= hours_[i])
            feed(p.hours[i], event);
        if (scores_sessions_ && event.at >= hours_[i] - session_reach)
            feed_session(p.hour_sessions[i], event);
    }
}

// Brings every workspace's total up to the window.
void alert_scope::extend_windows(std::size_t window)
{
    for (std::uint32_t i = 0; i < parts_.size(); ++i) {
        part &p = parts_[i];
        activity *const ring = p.rings[window];
        if (ring == nullptr)
            continue;
        if (p.total == nullptr)
            p.total = ring;
        else
            p.total->merge(options_, *ring);
    }
}

template <typename Choose>
span<const activity *> alert_scope::gather(Choose choose)
{
    auto result = arena_.make<const activity *>(parts_.size());
    result.size = 0;
    for (std::uint32_t i = 0; i < parts_.size(); ++i)
        if (const activity *const a = choose(parts_[i]))
            result[result.size++] = a;
    return result;
}

std::int64_t alert_scope::count_signups(std::int64_t first, std::int64_t last) const noexcept
{
    std::int64_t n = 0;
    for (std::uint32_t i = 0; i < signups_.size(); ++i)
        n += signups_[i] >= first && signups_[i] < last;
    return n;
}

void alert_scope::finish(const alert_rule &rule, std::optional<bool> holds, const sentence &reason,
                         alert_verdict &out)
{
    out.holds = holds.value_or(rule.no_data == no_data_policy::alert);
    out.step = next_state(rule.state, rule.since, holds, rule.no_data, rule.for_minutes * minute, now_);
    out.reason = arena_.copy(reason.text());
}

static std::string_view in_words(alert_condition condition) noexcept
{
    switch (condition) {
    case alert_condition::greater_than:
        return "greater than ";
    case alert_condition::less_than:
        return "less than ";
    case alert_condition::equals:
    case alert_condition::not_equals:
        return "equal to ";
    default:
        return "between ";
    }
}

void alert_scope::judge_threshold(const alert_rule &rule, measurement &m, alert_verdict &out)
{
    sample const &s = m[rule.metric];
    sentence reason(resource_);
    out.has_value = s.has_value;
    out.value = s.value;
    reason << alert_metric_names[static_cast<int>(rule.metric)];
    if (!s.has_value) {
        reason << ": no data in the window";
        finish(rule, std::nullopt, reason, out);
        return;
    }
    bool const holds = condition_holds(rule.condition, s.value, rule.threshold, rule.threshold_max);
    bool const says_not = holds == (rule.condition == alert_condition::not_equals);
    reason << " is " << s.value << ", " << (says_not ? "not " : "") << in_words(rule.condition)
           << rule.threshold;
    if (rule.condition == alert_condition::between)
        reason << " and " << rule.threshold_max;
    finish(rule, holds, reason, out);
}

void alert_scope::judge_windows(alert_verdict *out, interrupt_poll &poll)
{
    std::size_t rule = 0;
    for (std::size_t window = 0; window < windows_.size; ++window) {
        poll.now();
        extend_windows(window);
        std::int64_t const first = now_ - windows_[window] * minute;
        interval_view const view{gather([](const part &p) { return p.total; }),
                                 gather([](const part &p) { return p.sessions; }), first, now_,
                                 count_signups(first, now_)};
        measurement m(view, resource_);
        std::string_view context;
        for (; rule < rules_.size && rules_[rule].window_minutes <= windows_[window]; ++rule) {
            if (is_scored(rules_[rule].condition))
                continue;
            judge_threshold(rules_[rule], m, out[rule]);
            if (out[rule].holds && context.empty()) {
                json_writer json(resource_);
                json.raw("{");
                m.describe(json);
                context = arena_.copy(json.raw("}").text());
            }
            out[rule].context = out[rule].holds ? context : "{}";
        }
    }
}

// Hours in which the metric has no value are no points.
baseline alert_scope::collect(alert_metric metric, measurement *const *hours, json_writer &context) const
{
    baseline b(resource_);
    context.raw(",\"baseline\":[");
    for (std::size_t i = 1; i < hours_.size; ++i) {
        sample const &s = (*hours[i])[metric];
        if (!s.has_value)
            continue;
        context.raw(b.points.empty() ? "" : ",").number(s.value, nano_scale);
        b.points.push_back(plain(s.value));
        b.sum += b.points.back();
        b.part += s.part;
        b.whole += s.whole;
    }
    context.raw("]");
    return b;
}

static bool score_anomaly(double x, double bound, list<double> &points, sentence &reason)
{
    std::sort(points.begin(), points.end());
    double const middle = (points[(points.size() - 1) / 2] + points[points.size() / 2]) / 2;
    reason << " is " << x << ", usually " << middle;
    auto const z = modified_z_score(x, points.data(), points.size());
    if (z) {
        reason << ", modified z-score " << *z << (*z > bound ? " > " : " <= ") << bound;
        return *z > bound;
    }
    double const enough = middle + static_cast<double>(fewest_scored_events);
    reason << " without exception; fires from " << enough;
    return x >= enough;
}

static bool score_probability(const alert_rule &rule, const sample &s, const baseline &b, sentence &reason)
{
    double probability;
    if (rule.condition == alert_condition::poisson) {
        probability = poisson_tail(static_cast<std::int64_t>(s.value / nano), b.mean());
        reason << " is " << plain(s.value) << ", on average " << b.mean();
    } else {
        double const p = static_cast<double>(b.part) / static_cast<double>(b.whole);
        probability = binomial_tail(s.part, s.whole, p);
        reason << ": " << static_cast<double>(s.part) << " of " << static_cast<double>(s.whole)
               << " are bad, usually " << 100 * p << " %";
    }
    double const bound = plain(rule.threshold);
    reason << ", probability " << probability << (probability < bound ? " < " : " >= ") << bound;
    return probability < bound;
}

// The verdict of a scored condition, empty if the hour cannot be scored; says why and on what grounds.
std::optional<bool> alert_scope::score(const alert_rule &rule, measurement *const *hours, sentence &reason,
                                       json_writer &context)
{
    if (hours_.size == 0) {
        reason << "not scored: no hour to score";
        return std::nullopt;
    }
    sample const &scored = (*hours[0])[rule.metric];
    baseline b = collect(rule.metric, hours, context);
    if (hours[0]->events() < fewest_scored_events)
        reason << "not scored: " << static_cast<double>(hours[0]->events()) << " events in the hour, "
               << static_cast<double>(fewest_scored_events) << " are needed";
    else if (!scored.has_value)
        reason << "not scored: no data in the hour";
    else if (b.points.size() < fewest_baseline_points)
        reason << "not scored: " << static_cast<double>(b.points.size()) << " earlier hours to compare with, "
               << static_cast<double>(fewest_baseline_points) << " are needed";
    else {
        reason << alert_metric_names[static_cast<int>(rule.metric)];
        if (rule.condition == alert_condition::anomaly)
            return score_anomaly(plain(scored.value), plain(rule.threshold), b.points, reason);
        return score_probability(rule, scored, b, reason);
    }
    return std::nullopt;
}

void alert_scope::judge_score(const alert_rule &rule, measurement *const *hours, alert_verdict &out)
{
    sentence reason(resource_);
    json_writer grounds(resource_);
    auto const holds = score(rule, hours, reason, grounds);
    if (hours_.size != 0) {
        sample const &s = (*hours[0])[rule.metric];
        out.has_value = s.has_value;
        out.value = s.value;
    }
    finish(rule, holds, reason, out);
    out.context = "{}";
    if (!out.holds || hours_.size == 0)
        return;
    json_writer json(resource_);
    json.raw("{");
    hours[0]->describe(json);
    out.context = arena_.copy(json.raw(grounds.text()).raw("}").text());
}

void alert_scope::judge_hours(alert_verdict *out, interrupt_poll &poll)
{
    auto const views = arena_.make<interval_view>(hours_.size);
    auto const hours = arena_.make<measurement *>(hours_.size);
    for (std::size_t i = 0; i < hours_.size; ++i) {
        poll.now();
        views[i] = {gather([i](const part &p) { return p.hours[i]; }),
                    gather([i](const part &p) { return p.hour_sessions[i]; }), hours_[i], hours_[i] + hour,
                    count_signups(hours_[i], hours_[i] + hour)};
        hours[i] =
            new (arena_.allocate(sizeof(measurement), alignof(measurement))) measurement(views[i], resource_);
    }
    for (std::size_t i = 0; i < rules_.size; ++i)
        if (is_scored(rules_[i].condition))
            judge_score(rules_[i], hours.data, out[i]);
}

void alert_scope::judge(alert_verdict *out, interrupt_poll &poll)
{
    judge_windows(out, poll);
    judge_hours(out, poll);
}

// The board -------------------------------------------------------------------------------------------------

template <typename T>
static span<T> keep(const list<T> &values, arena &memory)
{
    span<T> const result = memory.make<T>(values.size());
    std::copy(values.begin(), values.end(), result.begin());
    return result;
}

alert_board::alert_board(span<alert_rule> rules, const activity_rules &options, std::int64_t now,
                         std::pmr::memory_resource *memory)
    : arena_(memory), options_(options), words_(memory), batch_(memory)
{
    scopes_ = arena_.make<alert_scope *>(rules.size);
    scopes_.size = 0;
    list<alert_range> windows(memory), hours(memory);
    for (std::size_t first = 0, last; first < rules.size; first = last) {
        for (last = first; last < rules.size && rules[last].is_platform == rules[first].is_platform &&
                           (rules[first].is_platform || rules[last].workspace == rules[first].workspace);)
            ++last;
        auto *const scope = new (arena_.allocate(sizeof(alert_scope), alignof(alert_scope)))
            alert_scope({rules.data + first, last - first}, options_, words_, batch_, now, arena_, memory);
        scope->list_ranges(static_cast<std::uint32_t>(scopes_.size), windows, hours);
        scopes_[scopes_.size++] = scope;
    }
    window_ranges_ = keep(windows, arena_);
    hour_ranges_ = keep(hours, arena_);
}

bool alert_board::is_platform(std::uint32_t scope) const noexcept
{
    return scopes_[scope]->first_rule().is_platform;
}

uuid alert_board::workspace(std::uint32_t scope) const noexcept
{
    return scopes_[scope]->first_rule().workspace;
}

std::optional<std::int64_t> alert_board::signups_since(std::uint32_t scope) const noexcept
{
    return scopes_[scope]->signups_since();
}

void alert_board::add(std::uint32_t scope, bool to_hours, const activity_event &event, const metadata &values)
{
    digested_event digested;
    digest(options_, words_, event, values, digested);
    to_hours ? scopes_[scope]->add_to_hours(event.workspace, digested)
             : scopes_[scope]->add_to_window(event.workspace, digested);
}

void alert_board::add_signup(std::uint32_t scope, std::int64_t first_seen)
{
    scopes_[scope]->add_signup(first_seen);
}

span<alert_verdict> alert_board::judge(interrupt_check interrupted)
{
    interrupt_poll poll(interrupted);
    batch_.flush(options_);
    std::size_t count = 0;
    for (alert_scope *const scope : scopes_)
        count += scope->rule_count();
    auto const verdicts = arena_.make<alert_verdict>(count);
    std::fill(verdicts.begin(), verdicts.end(), alert_verdict{});
    alert_verdict *next = verdicts.data;
    for (alert_scope *const scope : scopes_) {
        scope->judge(next, poll);
        next += scope->rule_count();
    }
    return verdicts;
}

} // namespace shadow
