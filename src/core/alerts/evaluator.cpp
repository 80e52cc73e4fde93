#include "core/alerts/evaluator.hpp"

namespace shadow
{

namespace
{

constexpr std::int64_t minute = INT64_C(60'000'000);
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t session_reach = 24 * hour; // sessions are followed back so far before a window

template <typename T>
using list = std::pmr::vector<T>;

// Numbers the users of all workspaces, one of each workspace.
class member_numbers
{
public:
    explicit member_numbers(std::pmr::memory_resource *memory) : members_(memory), index_(memory) {}

    std::uint32_t number(const uuid &workspace, const uuid &user)
    {
        return index_.find_or_add(
            workspace.hash() * 3 + user.hash(),
            [&](std::uint32_t i) { return members_[i].user == user && members_[i].workspace == workspace; },
            [&] {
                return members_.push({workspace, user});
            });
    }

private:
    struct member {
        uuid workspace, user;
    };
    pool<member> members_;
    pool_index index_;
};

} // namespace

// Whose events a rule watches, and how late: rules of one scope share windows.
static bool share_scope(const alert_rule &a, const alert_rule &b) noexcept
{
    return a.is_platform == b.is_platform && (a.is_platform || a.workspace == b.workspace) &&
           a.delay_minutes == b.delay_minutes;
}

class alert_scope
{
public:
    alert_scope(span<alert_rule> rules, const rollup_rules &options, std::int64_t now,
                std::int64_t known_until, interner &interned, arena &memory,
                std::pmr::memory_resource *resource);

    const alert_rule &first_rule() const noexcept { return rules_[0]; }
    std::size_t rule_count() const noexcept { return rules_.size; }
    void list_ranges(std::uint32_t number, list<alert_range> &windows, list<alert_range> &scored) const;

    void prefetch(int step, const uuid &workspace, const decoded_event &event) const noexcept
    {
        in_windows_->prefetch(step, workspace, event);
        if (sessions_ == nullptr)
            return;
        if (step == 0)
            sessions_->prefetch_tables(event, nullptr);
        else
            sessions_->prefetch_entries(event);
    }
    void add_to_window(const uuid &workspace, const decoded_event &event);
    void add_to_hours(const uuid &workspace, const decoded_event &event);
    void list_newcomers(std::uint32_t number, list<alert_newcomer> &out) const;
    void add_known(const uuid &user, std::int64_t first_seen) { in_windows_->note_visit(user, first_seen); }

    void evaluate(rule_result *out, interrupt_poll &poll);

private:
    void read_rules();
    std::size_t window_of(std::int64_t at) const noexcept;
    std::size_t hour_of(std::int64_t at) const noexcept;
    rollup_state *make_state()
    {
        return new (resource_->allocate(sizeof(rollup_state), alignof(rollup_state)))
            rollup_state(resource_, &interned_);
    }
    void visit(rollup_state *sessions, const uuid &workspace, const decoded_event &event);

    void finish(interrupt_poll &poll);
    void evaluate_windows(rule_result *out, interrupt_poll &poll);
    void evaluate_hours(rule_result *out, interrupt_poll &poll);
    void evaluate_hour_rule(const alert_rule &rule, span<window_metrics *> hours, rule_result &out);
    void conclude(const alert_rule &rule, const metric_sample &sample, std::optional<bool> holds,
                  const sentence &reason, rule_result &out);

    span<alert_rule> rules_;
    const rollup_rules &options_;
    std::int64_t now_;
    std::int64_t until_; // end of the windows
    std::int64_t known_until_;
    interner &interned_;
    arena &arena_;
    std::pmr::memory_resource *resource_;
    span<int> windows_;                 // distinct lengths in minutes, ascending
    span<std::uint16_t> window_by_age_; // the shortest window that holds an event of so many minutes
    span<std::int64_t> hours_;
    int session_window_ = 0; // longest window of a rule on sessions
    bool scores_sessions_ = false;
    std::optional<std::int64_t> signups_since_; // start of the first interval of a rule on sign-ups
    alert_collector *in_windows_, *in_hours_;
    rollup_state *sessions_ = nullptr; // of the longest window and the day before
    span<rollup_state *> hour_sessions_;
    member_numbers visitors_;
};

alert_scope::alert_scope(span<alert_rule> rules, const rollup_rules &options, std::int64_t now,
                         std::int64_t known_until, interner &interned, arena &memory,
                         std::pmr::memory_resource *resource)
    : rules_(rules), options_(options), now_(now), until_(now - rules[0].delay_minutes * minute),
      known_until_(known_until), interned_(interned), arena_(memory), resource_(resource), visitors_(resource)
{
    read_rules();
    auto const make_collector = [&](std::size_t slots, bool nested) {
        void *const place = arena_.allocate(sizeof(alert_collector), alignof(alert_collector));
        return new (place) alert_collector(slots, nested, resource_);
    };
    in_windows_ = make_collector(windows_.size, true);
    in_hours_ = make_collector(hours_.size, false);
    if (session_window_ != 0)
        sessions_ = make_state();
    hour_sessions_ = arena_.make<rollup_state *>(scores_sessions_ ? hours_.size : 0);
    std::generate(hour_sessions_.begin(), hour_sessions_.end(), [this] { return make_state(); });

    window_by_age_ = arena_.make<std::uint16_t>(windows_.size == 0 ? 1 : windows_[windows_.size - 1] + 1u);
    for (std::size_t age = 0, window = 0; age < window_by_age_.size; ++age) {
        if (windows_.size != 0 && static_cast<int>(age) > windows_[window])
            ++window;
        window_by_age_[age] = static_cast<std::uint16_t>(window);
    }
}

void alert_scope::read_rules()
{
    windows_ = arena_.make<int>(rules_.size);
    windows_.size = 0;
    for (alert_rule const &rule : rules_) {
        bool const on_sessions = rule.metric == alert_metric::session_duration;
        std::int64_t first = until_ - rule.window_minutes * minute;
        if (is_scored(rule.condition)) {
            hours_ = rule.hours;
            scores_sessions_ = scores_sessions_ || on_sessions;
            first = hours_.size == 0 ? until_ : hours_[hours_.size - 1];
        } else {
            if (windows_.size == 0 || windows_[windows_.size - 1] != rule.window_minutes)
                windows_[windows_.size++] = rule.window_minutes;
            if (on_sessions)
                session_window_ = rule.window_minutes; // rules are in the order of windows
        }
        if (rule.metric == alert_metric::user_signups)
            signups_since_ = std::min(signups_since_.value_or(first), first);
    }
}

void alert_scope::list_ranges(std::uint32_t number, list<alert_range> &windows,
                              list<alert_range> &scored) const
{
    std::int64_t first = until_;
    if (windows_.size != 0)
        first = until_ - windows_[windows_.size - 1] * minute;
    if (session_window_ != 0)
        first = std::min(first, until_ - session_window_ * minute - session_reach);
    if (signups_since_)
        first = std::min(first, known_until_);
    if (first < until_)
        windows.push_back({number, first, until_});
    // Latest first; hours that touch become one range, so that no event is fed twice.
    std::size_t const before = scored.size();
    for (std::int64_t const start : hours_) {
        std::int64_t const reach = start - (scores_sessions_ ? session_reach : 0);
        if (scored.size() > before && scored.back().first <= start + hour)
            scored.back().first = std::min(scored.back().first, reach);
        else
            scored.push_back({number, reach, start + hour});
    }
}

// windows_.size for an event that is in none.
std::size_t alert_scope::window_of(std::int64_t at) const noexcept
{
    if (windows_.size == 0 || at < until_ - windows_[windows_.size - 1] * minute || at >= until_)
        return windows_.size;
    return window_by_age_[static_cast<std::size_t>((until_ - at + minute - 1) / minute)];
}

// hours_.size for an event that is in none.
std::size_t alert_scope::hour_of(std::int64_t at) const noexcept
{
    auto const *const start =
        std::partition_point(hours_.begin(), hours_.end(), [at](std::int64_t h) { return h > at; });
    bool const is_inside = start != hours_.end() && at < *start + hour;
    return is_inside ? static_cast<std::size_t>(start - hours_.begin()) : hours_.size;
}

// Sessions are of one workspace: a user of two stands for two users.
void alert_scope::visit(rollup_state *sessions, const uuid &workspace, const decoded_event &event)
{
    decoded_head visitor = event;
    if (first_rule().is_platform) {
        visitor.user = {UINT64_MAX, visitors_.number(workspace, event.user)};
        if (event.has_session)
            visitor.session.low += visitor.user.low; // its other half tells sessions of different users apart
    }
    sessions->add_visit(options_, visitor);
}

void alert_scope::add_to_window(const uuid &workspace, const decoded_event &event)
{
    if (std::size_t const window = window_of(event.at); window < windows_.size)
        in_windows_->add(window, workspace, event);
    else if (signups_since_)
        in_windows_->note_visit(event.user, event.at);
    if (sessions_ != nullptr && event.at >= until_ - session_window_ * minute - session_reach)
        visit(sessions_, workspace, event);
}

void alert_scope::add_to_hours(const uuid &workspace, const decoded_event &event)
{
    if (std::size_t const i = hour_of(event.at); i < hours_.size)
        in_hours_->add(i, workspace, event);
    for (std::size_t i = 0; i < hour_sessions_.size; ++i)
        if (event.at < hours_[i] + hour && event.at >= hours_[i] - session_reach)
            visit(hour_sessions_[i], workspace, event);
    if (signups_since_)
        in_windows_->note_visit(event.user, event.at);
}

void alert_scope::list_newcomers(std::uint32_t number, list<alert_newcomer> &out) const
{
    if (signups_since_)
        in_windows_->for_each_user([&](const uuid &user, std::int64_t at) {
            if (at >= *signups_since_)
                out.push_back({number, user});
        });
}

void alert_scope::finish(interrupt_poll &poll)
{
    in_windows_->finish(poll);
    in_hours_->finish(poll);
    if (sessions_ != nullptr)
        sessions_->for_each_session(options_.session_gap, poll.check(), [this](const session_entry &s) {
            if (std::size_t const window = window_of(s.last); window < windows_.size)
                in_windows_->add_session(window, s.last - s.first);
        });
    for (std::size_t i = 0; i < hour_sessions_.size; ++i)
        hour_sessions_[i]->for_each_session(options_.session_gap, poll.check(), [&](const session_entry &s) {
            if (s.last >= hours_[i])
                in_hours_->add_session(i, s.last - s.first);
        });
    if (!signups_since_)
        return;
    in_windows_->for_each_user([this](const uuid &, std::int64_t at) {
        if (std::size_t const window = window_of(at); window < windows_.size)
            in_windows_->add_signup(window);
        if (std::size_t const i = hour_of(at); i < hours_.size)
            in_hours_->add_signup(i);
    });
}

void alert_scope::conclude(const alert_rule &rule, const metric_sample &sample, std::optional<bool> holds,
                           const sentence &reason, rule_result &out)
{
    out.has_value = sample.has_value;
    out.value = sample.value;
    out.holds = holds.value_or(rule.no_data == no_data_policy::alert);
    out.step = next_state(rule.state, rule.since, holds, rule.no_data, rule.for_minutes * minute, now_);
    out.reason = arena_.copy(reason.text());
    out.context = "{}";
}

void alert_scope::evaluate_windows(rule_result *out, interrupt_poll &poll)
{
    window_metrics metrics(interned_, resource_);
    std::size_t rule = 0;
    for (std::size_t window = 0; window < windows_.size; ++window) {
        poll.now();
        metrics.add(*in_windows_, window);
        std::string_view context; // the same for all rules of the window
        for (; rule < rules_.size && rules_[rule].window_minutes <= windows_[window]; ++rule) {
            if (is_scored(rules_[rule].condition))
                continue;
            sentence reason(resource_);
            metric_sample const sample = metrics[rules_[rule].metric];
            auto const holds = evaluate_threshold(rules_[rule], sample, reason);
            conclude(rules_[rule], sample, holds, reason, out[rule]);
            if (!out[rule].holds)
                continue;
            if (context.empty()) {
                json_writer json(resource_);
                metrics.describe(until_ - windows_[window] * minute, until_, in_windows_->samples(),
                                 json.raw("{"));
                context = arena_.copy(json.raw("}").text());
            }
            out[rule].context = context;
        }
    }
}

void alert_scope::evaluate_hour_rule(const alert_rule &rule, span<window_metrics *> hours, rule_result &out)
{
    sentence reason(resource_);
    json_writer grounds(resource_);
    auto const holds = evaluate_score(rule, hours, reason, grounds, resource_);
    conclude(rule, hours.size == 0 ? metric_sample{} : (*hours[0])[rule.metric], holds, reason, out);
    if (!out.holds || hours.size == 0)
        return;
    json_writer json(resource_);
    hours[0]->describe(hours_[0], hours_[0] + hour, in_hours_->samples(), json.raw("{"));
    out.context = arena_.copy(json.raw(grounds.text()).raw("}").text());
}

void alert_scope::evaluate_hours(rule_result *out, interrupt_poll &poll)
{
    auto const metrics = arena_.make<window_metrics *>(hours_.size);
    for (std::size_t i = 0; i < hours_.size; ++i) {
        poll.now();
        void *const place = arena_.allocate(sizeof(window_metrics), alignof(window_metrics));
        metrics[i] = new (place) window_metrics(interned_, resource_);
        metrics[i]->add(*in_hours_, i);
    }
    for (std::size_t i = 0; i < rules_.size; ++i)
        if (is_scored(rules_[i].condition))
            evaluate_hour_rule(rules_[i], metrics, out[i]);
}

void alert_scope::evaluate(rule_result *out, interrupt_poll &poll)
{
    finish(poll);
    evaluate_windows(out, poll);
    evaluate_hours(out, poll);
}

// The evaluator
// -------------------------------------------------------------------------------------------------

template <typename T>
static span<T> keep(const list<T> &values, arena &memory)
{
    span<T> const result = memory.make<T>(values.size());
    std::copy(values.begin(), values.end(), result.begin());
    return result;
}

// Delays the events of windows by a few places, so that memory is asked for ahead of its use.
class alert_pipeline
{
public:
    decoded_event &push(alert_scope *scope, const uuid &workspace)
    {
        if (next_ - done_ == depth)
            finish_one();
        step &added = steps_[next_++ % depth];
        added.scope = scope;
        added.workspace = workspace;
        return added.event;
    }
    // After the event returned by push() has been filled.
    void prefetch() noexcept
    {
        constexpr std::uint64_t distances[] = {1, 6};
        for (int i = 0; i < 2; ++i)
            if (next_ - done_ >= distances[i]) {
                step const &s = steps_[(next_ - distances[i]) % depth];
                s.scope->prefetch(i, s.workspace, s.event);
            }
    }
    void flush()
    {
        while (done_ != next_)
            finish_one();
    }

private:
    static constexpr std::uint64_t depth = 16; // a power of two
    struct step {
        alert_scope *scope;
        uuid workspace;
        decoded_event event;
    };
    void finish_one()
    {
        step &oldest = steps_[done_++ % depth];
        oldest.scope->add_to_window(oldest.workspace, oldest.event);
    }

    step steps_[depth];
    std::uint64_t done_ = 0, next_ = 0;
};

alert_evaluator::alert_evaluator(span<alert_rule> rules, const rollup_rules &options, std::int64_t now,
                                 std::int64_t known_until, std::pmr::memory_resource *memory)
    : arena_(memory), memory_(memory), options_(options), interned_(memory), workspace_ranges_(memory),
      workspace_index_(memory)
{
    pipeline_ = new (memory->allocate(sizeof(alert_pipeline), alignof(alert_pipeline))) alert_pipeline;
    scopes_ = arena_.make<alert_scope *>(rules.size);
    scopes_.size = 0;
    list<alert_range> windows(memory), hours(memory);
    for (std::size_t first = 0, last; first < rules.size; first = last) {
        for (last = first; last < rules.size && share_scope(rules[first], rules[last]);)
            ++last;
        has_delays_ = has_delays_ || rules[first].delay_minutes != rules[0].delay_minutes;
        auto *const scope = new (arena_.allocate(sizeof(alert_scope), alignof(alert_scope))) alert_scope(
            {rules.data + first, last - first}, options_, now, known_until, interned_, arena_, memory);
        scope->list_ranges(static_cast<std::uint32_t>(scopes_.size), windows, hours);
        scopes_[scopes_.size++] = scope;
    }
    window_ranges_ = keep(windows, arena_);
    hour_ranges_ = keep(hours, arena_);
    for (alert_range const &range : window_ranges_)
        if (!is_platform(range.scope))
            workspace_index_.find_or_add(
                workspace(range.scope).hash(), [](std::uint32_t) { return false; },
                [&] {
                    return workspace_ranges_.push({workspace(range.scope), range});
                });
}

std::uint32_t alert_evaluator::find_window_scope(const uuid &workspace, std::int64_t at) const noexcept
{
    std::uint32_t const found = workspace_index_.find(
        workspace.hash(), [&](std::uint32_t i) { return workspace_ranges_[i].workspace == workspace; });
    if (found == npos)
        return npos;
    alert_range const &range = workspace_ranges_[found].range;
    return at >= range.first && at < range.last ? range.scope : npos;
}

bool alert_evaluator::is_platform(std::uint32_t scope) const noexcept
{
    return scopes_[scope]->first_rule().is_platform;
}

uuid alert_evaluator::workspace(std::uint32_t scope) const noexcept
{
    return scopes_[scope]->first_rule().workspace;
}

void alert_evaluator::add(std::uint32_t scope, bool to_hours, const raw_event &event, const metadata &values)
{
    if (to_hours) {
        decoded_event decoded;
        decode(options_, interned_, event, values, decoded);
        look_up_agent(interned_, decoded);
        scopes_[scope]->add_to_hours(event.workspace, decoded);
        return;
    }
    decoded_event &decoded = pipeline_->push(scopes_[scope], event.workspace);
    decode(options_, interned_, event, values, decoded);
    look_up_agent(interned_, decoded);
    pipeline_->prefetch();
}

span<alert_newcomer> alert_evaluator::newcomers(bool platform)
{
    pipeline_->flush();
    list<alert_newcomer> found(memory_);
    for (std::uint32_t i = 0; i < scopes_.size; ++i)
        if (is_platform(i) == platform)
            scopes_[i]->list_newcomers(i, found);
    return keep(found, arena_);
}

void alert_evaluator::add_known(std::uint32_t scope, const uuid &user, std::int64_t first_seen)
{
    scopes_[scope]->add_known(user, first_seen);
}

span<rule_result> alert_evaluator::evaluate(interrupt_check interrupted)
{
    interrupt_poll poll(interrupted);
    pipeline_->flush();
    std::size_t count = 0;
    for (alert_scope *const scope : scopes_)
        count += scope->rule_count();
    auto const results = arena_.make<rule_result>(count);
    std::fill(results.begin(), results.end(), rule_result{});
    rule_result *next = results.data;
    for (alert_scope *const scope : scopes_) {
        scope->evaluate(next, poll);
        next += scope->rule_count();
    }
    return results;
}

} // namespace shadow
