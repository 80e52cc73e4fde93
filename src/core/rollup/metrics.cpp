#include "core/rollup/metrics.hpp"

#include "core/base/decimal.hpp"
#include "core/base/json_writer.hpp"
#include "core/base/selection.hpp"
#include "core/quantiles/quantile_sketch.hpp"
#include "core/rollup/resolved_run.hpp"
#include "core/sets/user_set.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <vector>

namespace shadow
{

namespace
{

constexpr int128 ns_per_unit = 10'000'000; // nanoseconds per 0.01 s
constexpr int cost_scale = 4;
constexpr std::size_t most_names = 1000;
constexpr std::size_t most_top_agents = 10;
constexpr std::size_t most_reasons = 5;
constexpr std::size_t most_errors = 1000; // pairs of type and event name
constexpr std::size_t most_message_hashes = 256;
constexpr std::size_t most_samples = 5;
constexpr std::string_view other_names = "(other)";

template <typename T>
using list = std::pmr::vector<T>;

std::int64_t to_seconds(int128 nanoseconds, int128 divisor = 1) noexcept
{
    return static_cast<std::int64_t>(divide_rounded(nanoseconds, ns_per_unit * divisor));
}

nullable<std::int64_t> percentage(int128 part, int128 whole) noexcept
{
    if (whole == 0)
        return {};
    return static_cast<std::int64_t>(divide_rounded(part * 10000, whole));
}

// Hyndman-Fan type 7 of nanoseconds in any order, exactly: times 100, as the fraction of a rank is a
// hundredth. `percents` ascend; value_at(0) … value_at(n - 1) >= 0.
template <int count, typename ValueAt>
void percentiles_times_100(ValueAt value_at, std::size_t n, const int (&percents)[count],
                           int128 (&results)[count], std::pmr::memory_resource *memory, interrupt_check check)
{
    std::size_t ranks[2 * count], wanted = 0;
    for (int const percent : percents)
        for (std::size_t const past : {0, 1}) {
            std::size_t const rank =
                std::min((n - 1) * static_cast<std::size_t>(percent) / 100 + past, n - 1);
            if (wanted == 0 || rank > ranks[wanted - 1])
                ranks[wanted++] = rank;
        }
    std::uint64_t found[2 * count];
    select_ranks<std::uint64_t>([&](std::size_t i) { return static_cast<std::uint64_t>(value_at(i)); }, n,
                                ranks, wanted, found, memory, check);
    for (int i = 0; i < count; ++i) {
        std::size_t const rank = (n - 1) * static_cast<std::size_t>(percents[i]);
        auto const *const at = found + (std::lower_bound(ranks, ranks + wanted, rank / 100) - ranks);
        int128 const below = at[0], above = rank % 100 == 0 ? at[0] : at[1];
        results[i] = below * 100 + (above - below) * static_cast<int128>(rank % 100);
    }
}

runtime_metrics describe_runtimes(const std::int64_t *runtimes, std::size_t n,
                                  std::pmr::memory_resource *memory, interrupt_check check)
{
    runtime_metrics result;
    if (n == 0)
        return result;
    int128 sum = 0;
    for (std::size_t i = 0; i < n; ++i)
        sum += runtimes[i];
    auto const [least, most] = std::minmax_element(runtimes, runtimes + n);
    int128 percentiles[4];
    percentiles_times_100([=](std::size_t i) { return runtimes[i]; }, n, {50, 75, 95, 99}, percentiles,
                          memory, check);
    result.average = to_seconds(sum, static_cast<int128>(n));
    result.minimum = to_seconds(*least);
    result.maximum = to_seconds(*most);
    result.p50 = to_seconds(percentiles[0], 100);
    result.p75 = to_seconds(percentiles[1], 100);
    result.p95 = to_seconds(percentiles[2], 100);
    result.p99 = to_seconds(percentiles[3], 100);
    return result;
}

void count_run(run_counts &counts, run_status status) noexcept
{
    ++counts.total;
    counts.successful += status == run_status::successful;
    counts.failed += status == run_status::failed;
    counts.cancelled += status == run_status::cancelled;
}

nullable<int128> average_credits(int128 credits, std::int64_t runs) noexcept
{
    if (runs == 0)
        return {};
    return divide_rounded(credits, int128{runs} * 10'000'000);
}

} // namespace

// Reads the state's private parts; one method per group of columns.
class metrics_builder
{
public:
    metrics_builder(const uuid &workspace, const rollup_state &state, const rollup_rules &rules,
                    std::pmr::memory_resource *memory, interrupt_check interrupted)
        : state_(state), rules_(rules), memory_(memory), result_(memory), poll_(interrupted),
          resolver_(state, rules, workspace, memory), agents_of_runs_(memory), given_runtimes_(memory),
          runtimes_(memory), cancelled_runtimes_(memory), failed_runs_(memory), agents_(memory),
          agent_positions_(memory), models_(memory), names_(memory), ranks_(memory), marks_(memory)
    {
    }

    rollup_metrics make(bool details)
    {
        details_ = details;
        read_runs();
        place_runtimes();
        sum_names();
        count_events();
        describe_sessions();
        describe_runs();
        describe_money();
        describe_errors();
        describe_response();
        describe_agents();
        if (!details) {
            out_.agents = {};
            return out_;
        }
        list_event_counts();
        list_errors();
        return out_;
    }

private:
    struct failed_run {
        std::uint32_t agent; // its place, npos: none
        failure_entry said;
        bool has_error_event;
    };
    struct cost_state {
        bool is_known = false, lacks_credit_price = false, lacks_token_price = false;

        void add(const run_payment &p) noexcept
        {
            is_known = is_known || p.has_cost;
            lacks_credit_price = lacks_credit_price || p.lacks_credit_price;
            lacks_token_price = lacks_token_price || p.lacks_token_price;
        }
    };
    struct agent_sums {
        std::uint32_t agent = 0; // in the interner
        run_counts runs{};
        int128 credits = 0;
        int128 cost = 0;
        int128 tokens = 0;
        std::size_t runtimes = 0; // number of them, then their place
        cost_state costs{};
    };
    struct model_sums {
        std::uint32_t model; // in the interner
        int128 credits, cost, tokens;
    };
    // Sums per model, found by the model's id.
    class model_table
    {
    public:
        explicit model_table(std::pmr::memory_resource *memory) : sums(memory), positions_(memory) {}
        model_sums &operator[](std::uint32_t model)
        {
            // npos, an unknown model, is no key of the map.
            return sums[positions_.find_or_add(model + 1, [&] {
                sums.push_back({model, 0, 0, 0});
                return static_cast<std::uint32_t>(sums.size() - 1);
            })];
        }

        list<model_sums> sums;

    private:
        id_map positions_;
    };
    struct name_sums {
        event_type type;
        std::string_view name;
        std::int64_t events;
        const position_set *users;
        std::uint32_t row; // of the result
    };

    void read_runs();
    void read_run(bool has_error_event);
    void add_to_agent(agent_sums &agent, const run_payment &paid);
    void add_to_model(const run_payment &paid);
    void place_runtimes();
    void count_events();
    void describe_sessions();
    bool bounced(const session_entry &session) const noexcept;
    void describe_runs();
    void describe_money();
    std::string_view reason_of(const cost_state &costs) const noexcept;
    void describe_errors();
    void describe_agents();
    void describe_runtimes_of_agents();
    void list_users_of_agents();
    span<agent_metrics> leaders();
    struct keyed_count {
        std::uint32_t agent, key; // positions in state_.agents_ and state_.texts_
        std::int64_t count;
    };
    template <typename Visit>
    void for_each_agent(list<keyed_count> &counts, Visit visit);
    void add_feedback();
    void describe_errors_of_agents();
    void describe_reasons_of_agents();
    std::string_view reasons(list<map_entry> &entries);
    void describe_response();
    void sum_names();
    list<event_count> fold_names(list<name_sums *> &order);
    void list_users_of(list<event_count> &rows, const list<name_sums *> &order);
    void sort_distinct(list<std::uint32_t> &ranks);
    std::string_view set_of(const std::uint32_t *sorted, std::size_t n);
    void list_event_counts();
    struct error_sum {
        std::uint32_t type, name, message; // in the interner; type and name npos: the folded rest
        std::int64_t errors;
    };
    struct error_group {
        std::size_t first, last; // of the counts
        std::int64_t errors;
    };
    list<error_sum> sum_errors();
    list<error_group> group_errors(list<error_sum> &counts);
    void fold_errors(list<error_sum> &counts, list<error_group> &groups);
    error_count describe_error(const error_sum *first, const error_sum *last, std::int64_t errors);
    void list_errors();
    std::string_view sketch_of(const std::int64_t *runtimes, std::size_t n);
    void rank_users();
    void list_users();

    std::string_view text(std::uint32_t id) const noexcept { return state_.interned_->text(id); }
    std::string_view model_text(std::uint32_t id) const noexcept
    {
        return id == npos ? unknown_text : text(id);
    }
    std::uint32_t position_of(std::uint32_t agent)
    {
        return agent_positions_.find_or_add(agent, [&] {
            agents_.emplace_back();
            agents_.back().agent = agent;
            return static_cast<std::uint32_t>(agents_.size() - 1);
        });
    }

    const rollup_state &state_;
    const rollup_rules &rules_;
    std::pmr::memory_resource *memory_;
    arena result_;
    interrupt_poll poll_;
    struct given_runtime {
        std::uint32_t run;
        std::int64_t runtime;
    };
    run_resolver resolver_;
    list<std::uint32_t> agents_of_runs_; // of each run with an agent its place, then of each keyed one
    list<given_runtime> given_runtimes_; // of keyed runs whose deciding event has none
    list<std::int64_t> runtimes_;        // not cancelled: each agent's together, then those without an agent
    list<std::int64_t> cancelled_runtimes_;
    list<failed_run> failed_runs_;
    list<agent_sums> agents_;
    id_map agent_positions_; // interner -> agents_
    model_table models_;
    list<name_sums> names_;
    list<std::uint32_t> ranks_; // of the state's users in user_list
    list<std::uint64_t> marks_; // of ranks; all 0 between two uses
    int128 credits_of_runs_ = 0;
    std::size_t timed_without_agent_ = 0; // not cancelled
    cost_state costs_{};
    int128 tokens_ = 0;
    std::int64_t shared_run_ids_ = 0; // of several agents
    currency_code currency_ = 0;
    bool mixed_currencies_ = false;
    bool details_ = true;
    rollup_metrics out_{};
};

// The counted runs with their agents: that of the deciding event, else the latest earlier one.
void metrics_builder::read_runs()
{
    currency_ = state_.currency_;
    mixed_currencies_ = state_.has_currencies_;
    std::size_t const most = std::size_t{state_.runs_.size()} + state_.keyed_runs_.size();
    agents_of_runs_.reserve(most);
    for (std::uint32_t i = 0; i < state_.runs_.size(); ++i, poll_()) {
        resolver_.resolve(state_.runs_[i]);
        read_run(false);
    }
    for (std::uint32_t i = 0; i < state_.keyed_runs_.size(); ++i, poll_()) {
        keyed_run const keyed = state_.keyed_runs_[i];
        if (!keyed.is_counted) {
            agents_of_runs_.push_back(npos);
            continue;
        }
        resolver_.resolve(keyed);
        if (keyed.run.runtime < 0 && resolver_.run().runtime >= 0)
            given_runtimes_.push_back({i, resolver_.run().runtime});
        shared_run_ids_ += resolver_.has_several_agents();
        read_run(keyed.has_error_event);
    }
    // Agents without a run get their places, too.
    for (std::uint32_t i = 0; i < state_.errors_.size(); ++i)
        if (state_.errors_[i].agent != npos)
            position_of(state_.errors_[i].agent);
    for (std::uint32_t i = 0; i < state_.feedbacks_.size(); ++i)
        position_of(state_.feedbacks_[i].agent);
}

void metrics_builder::read_run(bool has_error_event)
{
    run_entry const &run = resolver_.run();
    std::uint32_t const place = run.agent == npos ? npos : position_of(run.agent);
    agents_of_runs_.push_back(place);
    bool const is_timed = run.runtime >= 0 && run.status != run_status::cancelled;
    timed_without_agent_ += place == npos && is_timed;
    if (run.failure != npos)
        failed_runs_.push_back({place, state_.failures_[run.failure], has_error_event});
    count_run(out_.runs, run.status);
    if (place != npos) {
        count_run(agents_[place].runs, run.status);
        agents_[place].runtimes += is_timed;
    }
    for (run_payment const &paid : resolver_.payments()) {
        add_to_model(paid);
        if (place != npos)
            add_to_agent(agents_[place], paid);
    }
}

void metrics_builder::add_to_agent(agent_sums &agent, const run_payment &paid)
{
    agent.credits += paid.credits;
    agent.tokens += paid.tokens;
    agent.cost += paid.cost;
    agent.costs.add(paid);
}

void metrics_builder::add_to_model(const run_payment &paid)
{
    model_sums &model = models_[paid.model];
    model.credits += paid.credits;
    model.tokens += paid.tokens;
    model.cost += paid.cost;
    credits_of_runs_ += paid.credits;
    tokens_ += paid.tokens;
    costs_.add(paid);
    if (!paid.has_cost || paid.currency == 0)
        return;
    mixed_currencies_ = mixed_currencies_ || (currency_ != 0 && currency_ != paid.currency);
    currency_ = paid.currency;
}

// A counting sort by agent.
void metrics_builder::place_runtimes()
{
    list<std::size_t> next(memory_);
    std::size_t total = 0;
    for (agent_sums const &agent : agents_) {
        next.push_back(total);
        total += agent.runtimes;
    }
    next.push_back(total);
    runtimes_.resize(total + timed_without_agent_);
    auto given = given_runtimes_.begin();
    auto const place = [&](const auto &runs, std::size_t first_run, bool is_keyed) {
        for (std::uint32_t i = 0; i < runs.size(); ++i, poll_()) {
            auto runtime = static_cast<std::int64_t>(runs.column(i, run_entry::runtime_ns)) - 1;
            if (is_keyed && given != given_runtimes_.end() && given->run == i)
                runtime = given++->runtime;
            if (runtime < 0)
                continue;
            std::uint32_t const agent = agents_of_runs_[first_run + i];
            std::uint64_t const status = runs.column(i, run_entry::status_id) & run_entry::status_bits;
            if (status == static_cast<std::uint64_t>(run_status::cancelled))
                cancelled_runtimes_.push_back(runtime);
            else
                runtimes_[next[agent == npos ? agents_.size() : agent]++] = runtime;
        }
    };
    place(state_.runs_, 0, false);
    place(state_.keyed_runs_, state_.runs_.size(), true);
}

void metrics_builder::count_events()
{
    std::int64_t counts[event_type_count] = {};
    for (name_sums const &n : names_)
        counts[static_cast<int>(n.type)] += n.events;
    list<map_entry> by_type(memory_);
    for (int i = 0; i < event_type_count; ++i) {
        out_.events += counts[i];
        if (counts[i] != 0)
            by_type.push_back({event_type_names[i], counts[i]});
    }
    out_.events_by_type = json_map(by_type, 0, 0, result_);
    out_.users = state_.users_.size();
}

bool metrics_builder::bounced(const session_entry &session) const noexcept
{
    if (!rules_.engaged_bounce)
        return std::uint64_t{session.page_views} + session.other_events <= 1;
    return session.duration() <= 10'000'000 && !session.has_key_event && session.page_views < 2;
}

void metrics_builder::describe_sessions()
{
    int128 duration = 0;
    std::int64_t bounces = 0;
    state_.for_each_session(rules_.session_gap, poll_.check(), [&](const session_entry &session) {
        ++out_.sessions;
        duration += session.duration();
        bounces += bounced(session);
    });
    if (out_.sessions != 0)
        out_.average_session = divide_rounded(duration, int128{out_.sessions} * 10'000);
    out_.bounce_rate = percentage(bounces, out_.sessions);
}

void metrics_builder::describe_runs()
{
    out_.runtime = describe_runtimes(runtimes_.data(), runtimes_.size(), memory_, poll_.check());
    out_.runtime_sketch = sketch_of(runtimes_.data(), runtimes_.size());
}

std::string_view metrics_builder::sketch_of(const std::int64_t *runtimes, std::size_t n)
{
    if (n == 0 || !details_)
        return {};
    sketch_builder sketch({}, memory_);
    sketch.add_units(runtimes, n, poll_.check());
    auto const bytes = sketch.serialize();
    return result_.copy({reinterpret_cast<const char *>(bytes.data()), bytes.size()});
}

std::string_view metrics_builder::reason_of(const cost_state &costs) const noexcept
{
    return cost_reason(costs.is_known && mixed_currencies_, costs.lacks_credit_price,
                       costs.lacks_token_price);
}

void metrics_builder::describe_money()
{
    int128 cost = 0;
    for (std::uint32_t i = 0; i < state_.models_.size(); ++i, poll_()) {
        auto const &m = state_.models_[i];
        model_sums &model = models_[m.name];
        model.credits += m.credits;
        model.cost += m.cost;
        costs_.is_known = costs_.is_known || m.has_cost;
        costs_.lacks_credit_price = costs_.lacks_credit_price || m.lacks_cost;
    }
    list<map_entry> credits(memory_), costs(memory_), tokens(memory_);
    for (model_sums const &model : models_.sums) {
        out_.credits += model.credits;
        cost += model.cost;
        if (model.credits != 0)
            credits.push_back({model_text(model.model), model.credits});
        if (model.cost != 0)
            costs.push_back({model_text(model.model), model.cost});
        if (model.tokens != 0)
            tokens.push_back({model_text(model.model), model.tokens});
    }
    out_.average_credits = average_credits(credits_of_runs_, out_.runs.total);
    out_.credits_by_model = json_map(credits, nano_scale, nano_scale, result_);
    out_.tokens = tokens_;
    out_.tokens_by_model = json_map(tokens, 0, 0, result_);
    out_.cost_reason = reason_of(costs_);
    out_.currency = costs_.is_known && !mixed_currencies_ ? currency_ : 0;
    if (!costs_.is_known || !out_.cost_reason.empty())
        return;
    out_.cost = divide_rounded(cost, 100'000);
    out_.cost_by_model = json_map(costs, nano_scale, cost_scale, result_);
}

// Sorts, adds up equal keys and hands each agent's map to `visit`.
template <typename Visit>
void metrics_builder::for_each_agent(list<keyed_count> &counts, Visit visit)
{
    std::sort(counts.begin(), counts.end(), [this](const keyed_count &a, const keyed_count &b) {
        poll_();
        return a.agent != b.agent ? a.agent < b.agent : a.key < b.key;
    });
    list<map_entry> map(memory_);
    for (std::size_t i = 0; i < counts.size();) {
        std::uint32_t const agent = counts[i].agent;
        map.clear();
        while (i < counts.size() && counts[i].agent == agent) {
            std::uint32_t const key = counts[i].key;
            int128 count = 0;
            for (; i < counts.size() && counts[i].agent == agent && counts[i].key == key; ++i)
                count += counts[i].count;
            map.push_back({text(key), count});
        }
        visit(agent, map);
    }
}

void metrics_builder::describe_errors()
{
    list<keyed_count> counts(memory_);
    for (std::uint32_t i = 0; i < state_.errors_.size(); ++i, poll_())
        counts.push_back({0, state_.errors_[i].type, static_cast<std::int64_t>(state_.errors_[i].events)});
    for (failed_run const &r : failed_runs_)
        if (!r.has_error_event)
            counts.push_back({0, r.said.type, 1});
    for (keyed_count const &t : counts)
        out_.errors += t.count;
    out_.error_rate = percentage(out_.errors, out_.events);
    out_.errors_by_type = "{}";
    for_each_agent(counts, [this](std::uint32_t, list<map_entry> &map) {
        out_.errors_by_type = json_map(map, 0, 0, result_);
    });

    list<map_entry> ignored(memory_);
    for (int i = 0; i < metadata_key_count; ++i) {
        auto const key = static_cast<metadata_key>(i);
        int128 count = state_.ignored_[i];
        count += key == metadata_key::currency && mixed_currencies_ ? 1 : 0;
        count += key == metadata_key::run_id ? shared_run_ids_ : 0;
        if (count != 0)
            ignored.push_back({name_of(key), count});
    }
    out_.ignored_values = json_map(ignored, 0, 0, result_);
}

// Error events that name the agent and its failed runs without an error event.
void metrics_builder::describe_errors_of_agents()
{
    list<keyed_count> counts(memory_);
    for (std::uint32_t i = 0; i < state_.errors_.size(); ++i, poll_()) {
        auto const &e = state_.errors_[i];
        if (e.agent != npos)
            counts.push_back({position_of(e.agent), e.type, static_cast<std::int64_t>(e.events)});
    }
    for (failed_run const &r : failed_runs_)
        if (r.agent != npos && !r.has_error_event)
            counts.push_back({r.agent, r.said.type, 1});
    for_each_agent(counts, [this](std::uint32_t agent, list<map_entry> &map) {
        out_.agents[agent].error_types = json_map(map, 0, 0, result_);
    });
}

void metrics_builder::describe_reasons_of_agents()
{
    list<keyed_count> counts(memory_);
    for (failed_run const &r : failed_runs_)
        if (r.agent != npos && r.said.reason != npos)
            counts.push_back({r.agent, r.said.reason, 1});
    for_each_agent(counts, [this](std::uint32_t agent, list<map_entry> &map) {
        out_.agents[agent].failure_reasons = reasons(map);
    });
}

std::string_view metrics_builder::reasons(list<map_entry> &entries)
{
    std::sort(entries.begin(), entries.end(), [](const map_entry &a, const map_entry &b) {
        return a.value != b.value ? a.value > b.value : a.key < b.key;
    });
    json_writer json(memory_);
    json.raw("[");
    for (std::size_t i = 0; i < std::min(entries.size(), most_reasons); ++i)
        json.raw(i == 0 ? "{\"reason\":" : ",{\"reason\":")
            .string(entries[i].key)
            .raw(",\"count\":")
            .number(entries[i].value)
            .raw("}");
    json.raw("]");
    return result_.copy(json.text());
}

void metrics_builder::describe_runtimes_of_agents()
{
    const std::int64_t *first = runtimes_.data();
    for (std::size_t i = 0; i < agents_.size(); ++i) {
        std::size_t const n = agents_[i].runtimes;
        out_.agents[i].runtime = describe_runtimes(first, n, memory_, poll_.check());
        out_.agents[i].runtime_sketch = sketch_of(first, n);
        first += n;
    }
}

// The users of each agent's runs as a set, after a counting sort by agent.
void metrics_builder::list_users_of_agents()
{
    list<std::size_t> ends(agents_.size(), 0, memory_);
    std::size_t total = 0;
    for (std::size_t i = 0; i < agents_.size(); ++i) {
        ends[i] = total;
        total += static_cast<std::size_t>(agents_[i].runs.total);
    }
    list<std::uint32_t> all(total, 0, memory_);
    std::uint32_t const unkeyed = state_.runs_.size();
    for (std::uint32_t i = 0; i < agents_of_runs_.size(); ++i, poll_()) {
        std::uint32_t const agent = agents_of_runs_[i];
        if (agent == npos)
            continue;
        std::uint64_t const user = i < unkeyed
                                       ? state_.runs_.column(i, run_entry::user_position)
                                       : state_.keyed_runs_.column(i - unkeyed, run_entry::user_position);
        all[ends[agent]++] = ranks_[unpack_position(user)];
    }
    list<std::uint32_t> users(memory_);
    auto first = all.begin();
    for (std::size_t i = 0; i < agents_.size(); ++i) {
        auto const last = all.begin() + static_cast<std::ptrdiff_t>(ends[i]);
        users.assign(first, last);
        sort_distinct(users);
        out_.agents[i].unique_users = static_cast<std::int64_t>(users.size());
        out_.agents[i].user_positions = set_of(users.data(), users.size());
        first = last;
    }
}

// Few ranks are sorted, many marked and read off.
void metrics_builder::sort_distinct(list<std::uint32_t> &ranks)
{
    poll_();
    if (ranks.size() < ranks_.size() / 32) {
        std::sort(ranks.begin(), ranks.end());
        ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
        return;
    }
    marks_.resize(ranks_.size() / 64 + 1, 0);
    for (std::uint32_t const rank : ranks)
        marks_[rank / 64] |= std::uint64_t{1} << rank % 64;
    ranks.clear();
    for (std::size_t i = 0; i < marks_.size(); ++i) {
        for (std::uint64_t rest = marks_[i]; rest != 0; rest &= rest - 1)
            ranks.push_back(static_cast<std::uint32_t>(i * 64) +
                            static_cast<std::uint32_t>(__builtin_ctzll(rest)));
        marks_[i] = 0;
    }
}

void metrics_builder::describe_agents()
{
    out_.agents = result_.make<agent_metrics>(agents_.size());
    for (std::uint32_t i = 0; i < agents_.size(); ++i) {
        agent_sums const &sums = agents_[i];
        agent_metrics &agent = out_.agents[i] = {};
        agent.agent = state_.interned_->agent(sums.agent);
        agent.name = state_.interned_->agent_name(sums.agent);
        agent.runs = sums.runs;
        agent.credits = sums.credits;
        agent.average_credits = average_credits(sums.credits, sums.runs.total);
        agent.cost_reason = reason_of(sums.costs);
        agent.currency = sums.costs.is_known ? out_.currency : 0;
        if (sums.costs.is_known && agent.cost_reason.empty())
            agent.cost = divide_rounded(sums.cost, 100'000);
        agent.tokens = sums.tokens;
        if (sums.runs.total != 0)
            agent.average_tokens = divide_rounded(sums.tokens, sums.runs.total);
        agent.error_types = "{}";
        agent.failure_reasons = "[]";
        out_.agents_run += sums.runs.total != 0;
    }
    add_feedback();
    describe_errors_of_agents();
    describe_reasons_of_agents();
    describe_runtimes_of_agents();
    list<std::int64_t>(memory_).swap(runtimes_); // not asked for any more
    if (details_) {
        list_users();
        list_users_of_agents();
    }
    out_.leaders = leaders();
    out_.top_agents = describe_leaders(out_.leaders, memory_);
    std::sort(out_.agents.begin(), out_.agents.end(),
              [](const agent_metrics &a, const agent_metrics &b) { return a.agent < b.agent; });
}

void metrics_builder::add_feedback()
{
    for (std::uint32_t i = 0; i < state_.feedbacks_.size(); ++i) {
        auto const &entry = state_.feedbacks_[i];
        agent_metrics &agent = out_.agents[position_of(entry.agent)];
        agent.feedbacks = static_cast<std::int64_t>(entry.feedbacks);
        if (entry.ratings != 0)
            agent.average_rating = static_cast<std::int64_t>(
                divide_rounded(entry.rating_sum, static_cast<int128>(entry.ratings) * 10'000'000));
    }
}

span<agent_metrics> metrics_builder::leaders()
{
    list<const agent_metrics *> order(memory_);
    for (agent_metrics const &a : out_.agents)
        if (a.runs.total != 0)
            order.push_back(&a);
    auto const more_runs = [](const agent_metrics *a, const agent_metrics *b) {
        return a->runs.total != b->runs.total ? a->runs.total > b->runs.total : a->agent < b->agent;
    };
    std::size_t const n = std::min(order.size(), most_top_agents);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(), more_runs);
    auto const result = result_.make<agent_metrics>(n);
    for (std::size_t i = 0; i < n; ++i)
        result[i] = *order[i];
    return result;
}

void metrics_builder::describe_response()
{
    std::size_t const runs = runtimes_.size(), all_runs = runs + cancelled_runtimes_.size();
    std::size_t const n = all_runs + state_.call_runtimes_.size();
    if (n == 0)
        return;
    auto const duration_at = [&](std::size_t i) {
        return i < runs       ? runtimes_[i]
               : i < all_runs ? cancelled_runtimes_[i - runs]
                              : state_.call_runtimes_[static_cast<std::uint32_t>(i - all_runs)].value;
    };
    int128 sum = 0;
    for (std::size_t i = 0; i < n; ++i, poll_())
        sum += duration_at(i);
    int128 percentile[1];
    percentiles_times_100(duration_at, n, {95}, percentile, memory_, poll_.check());
    constexpr int128 ns_per_ms = 1'000'000;
    out_.average_response =
        static_cast<std::int64_t>(divide_rounded(sum, ns_per_ms * static_cast<int128>(n)));
    out_.p95_response = static_cast<std::int64_t>(divide_rounded(percentile[0], ns_per_ms * 100));
}

// Events and users per name of this workspace.
void metrics_builder::sum_names()
{
    for (std::uint32_t i = 0; i < state_.names_.size(); ++i, poll_()) {
        auto const &entry = state_.names_[i];
        auto const &name = state_.interned_->name(entry.name);
        names_.push_back(
            {name.type, text(name.text), static_cast<std::int64_t>(entry.events), &entry.users, npos});
    }
}

// The most frequent names as they are, the others of each event type as one row.
std::pmr::vector<event_count> metrics_builder::fold_names(list<name_sums *> &order)
{
    for (name_sums &n : names_)
        order.push_back(&n);
    auto const by_name = [](const name_sums *a, const name_sums *b) {
        return a->type != b->type ? name_of(a->type) < name_of(b->type) : a->name < b->name;
    };
    auto const by_events = [&](const name_sums *a, const name_sums *b) {
        poll_();
        return a->events != b->events ? a->events > b->events : by_name(a, b);
    };
    if (order.size() > most_names)
        std::nth_element(order.begin(), order.begin() + most_names, order.end(), by_events);
    for (std::size_t i = most_names; i < order.size(); ++i)
        order[i]->name = other_names;
    std::sort(order.begin(), order.end(), by_name);
    list<event_count> rows(memory_);
    for (name_sums *const n : order) {
        if (rows.empty() || rows.back().type != n->type || rows.back().name != n->name)
            rows.push_back({n->type, n->name, 0, 0, {}});
        n->row = static_cast<std::uint32_t>(rows.size() - 1);
        rows.back().events += n->events;
    }
    return rows;
}

void metrics_builder::list_event_counts()
{
    list<name_sums *> order(memory_);
    list<event_count> rows = fold_names(order);
    list_users_of(rows, order);
    out_.event_counts = result_.make<event_count>(rows.size());
    std::copy(rows.begin(), rows.end(), out_.event_counts.begin());
}

// The users of each row as a set. A user has a name once, but may have several of the folded ones.
void metrics_builder::list_users_of(list<event_count> &rows, const list<name_sums *> &order)
{
    list<std::uint32_t> users(memory_);
    auto name = order.begin();
    for (std::size_t row = 0; row < rows.size(); ++row) {
        users.clear();
        for (; name != order.end() && (*name)->row == row; ++name)
            (*name)->users->for_each([&](std::uint32_t user) { users.push_back(ranks_[user]); });
        sort_distinct(users);
        rows[row].users = static_cast<std::int64_t>(users.size());
        rows[row].user_positions = set_of(users.data(), users.size());
    }
}

std::string_view metrics_builder::set_of(const std::uint32_t *sorted, std::size_t n)
{
    roaring::writer set(memory_);
    write_sorted_values(sorted, n, set);
    std::size_t const size = stored_size(set);
    auto *const bytes = static_cast<std::uint8_t *>(result_.allocate(size, 1));
    write_stored(set, bytes);
    return {reinterpret_cast<const char *>(bytes), size};
}

std::pmr::vector<metrics_builder::error_sum> metrics_builder::sum_errors()
{
    list<error_sum> counts(memory_);
    for (std::uint32_t i = 0; i < state_.errors_.size(); ++i, poll_()) {
        auto const &e = state_.errors_[i];
        counts.push_back({e.type, e.name, e.message, static_cast<std::int64_t>(e.events)});
    }
    for (failed_run const &r : failed_runs_)
        if (!r.has_error_event)
            counts.push_back({r.said.type, r.said.name, r.said.message, 1});
    for (error_sum &t : counts)
        if (text(t.type) == other_names && text(t.name) == other_names)
            t.type = t.name = npos;
    return counts;
}

// Sorts the counts by type, name and hash of the message, those without a message last.
std::pmr::vector<metrics_builder::error_group> metrics_builder::group_errors(list<error_sum> &counts)
{
    auto const key = [this](const error_sum &t) {
        bool const is_silent = t.message == npos;
        return std::tuple(t.type, t.name, is_silent,
                          is_silent ? 0 : state_.interned_->message(t.message).hash);
    };
    std::sort(counts.begin(), counts.end(), [&](const error_sum &a, const error_sum &b) {
        poll_();
        return key(a) < key(b);
    });
    list<error_group> groups(memory_);
    for (std::size_t i = 0; i < counts.size();) {
        error_group group{i, i, 0};
        for (; i < counts.size() && counts[i].type == counts[group.first].type &&
               counts[i].name == counts[group.first].name;
             ++i)
            group.errors += counts[i].errors;
        group.last = i;
        groups.push_back(group);
    }
    return groups;
}

// The most frequent pairs of type and name as they are, the others as one.
void metrics_builder::fold_errors(list<error_sum> &counts, list<error_group> &groups)
{
    if (groups.size() <= most_errors)
        return;
    auto const key = [&](const error_group &g) {
        error_sum const &t = counts[g.first];
        bool const is_rest = t.type == npos;
        return std::tuple(-g.errors, is_rest ? other_names : text(t.type),
                          is_rest ? other_names : text(t.name));
    };
    std::sort(groups.begin(), groups.end(), [&](const error_group &a, const error_group &b) {
        poll_();
        return key(a) < key(b);
    });
    for (std::size_t g = most_errors; g < groups.size(); ++g)
        for (std::size_t i = groups[g].first; i < groups[g].last; ++i)
            counts[i].type = counts[i].name = npos;
    groups = group_errors(counts);
}

// Bottom-k of the messages' hashes: the same whatever the order, and the union of two such sets holds the
// bottom k of both (Cohen & Kaplan, PODC 2007).
error_count metrics_builder::describe_error(const error_sum *first, const error_sum *last,
                                            std::int64_t errors)
{
    bool const is_rest = first->type == npos;
    error_count result{
        is_rest ? other_names : text(first->type), is_rest ? other_names : text(first->name), errors, {}, {}};
    list<std::int64_t> hashes(memory_);
    list<std::string_view> samples(memory_);
    for (auto const *t = first; t != last && t->message != npos && hashes.size() < most_message_hashes; ++t) {
        auto const &message = state_.interned_->message(t->message);
        if (!hashes.empty() && hashes.back() == message.hash)
            continue;
        hashes.push_back(message.hash);
        bool const is_known = std::find(samples.begin(), samples.end(), message.text) != samples.end();
        if (samples.size() < most_samples && !is_known)
            samples.push_back(message.text);
    }
    result.message_hashes = result_.make<std::int64_t>(hashes.size());
    std::copy(hashes.begin(), hashes.end(), result.message_hashes.begin());
    result.samples = result_.make<std::string_view>(samples.size());
    std::copy(samples.begin(), samples.end(), result.samples.begin());
    return result;
}

void metrics_builder::list_errors()
{
    list<error_sum> counts = sum_errors();
    list<error_group> groups = group_errors(counts);
    fold_errors(counts, groups);
    out_.error_counts = result_.make<error_count>(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i)
        out_.error_counts[i] =
            describe_error(&counts[groups[i].first], counts.data() + groups[i].last, groups[i].errors);
    std::sort(out_.error_counts.begin(), out_.error_counts.end(),
              [](const error_count &a, const error_count &b) {
                  return std::tie(a.type, a.name) < std::tie(b.type, b.name);
              });
}

// The place of each user by id.
void metrics_builder::rank_users()
{
    std::uint32_t const n = state_.users_.size();
    struct ordered_user {
        std::uint64_t id_high;
        std::uint32_t position;
    };
    list<ordered_user> order(memory_);
    order.reserve(n);
    for (std::uint32_t i = 0; i < n; ++i)
        order.push_back({state_.users_.column(i, user_entry::id_high), i});
    std::sort(order.begin(), order.end(), [this](const ordered_user &a, const ordered_user &b) {
        poll_();
        return a.id_high != b.id_high ? a.id_high < b.id_high
                                      : state_.users_.column(a.position, user_entry::id_low) <
                                            state_.users_.column(b.position, user_entry::id_low);
    });
    ranks_.resize(n);
    for (std::uint32_t i = 0; i < n; ++i)
        ranks_[order[i].position] = i;
}

// First and last event of each user: those of its sessions, as every event is in one.
void metrics_builder::list_users()
{
    rank_users();
    out_.user_list = result_.make<user_activity>(ranks_.size());
    for (std::uint32_t i = 0; i < ranks_.size(); ++i, poll_()) {
        user_entry const user = state_.users_[i];
        out_.user_list[ranks_[i]] = {user.id, INT64_MAX, INT64_MIN,
                                     user.revenue == npos ? 0 : state_.big_amounts_[user.revenue].value};
    }
    for (std::uint32_t i = 0; i < state_.sessions_.size(); ++i, poll_()) {
        session_entry const session = state_.sessions_[i];
        if (session.is_free)
            continue;
        user_activity &user = out_.user_list[ranks_[session.user]];
        user.first = std::min(user.first, session.first);
        user.last = std::max(user.last, session.last);
    }
}

std::string_view describe_leaders(span<agent_metrics> agents, std::pmr::memory_resource *memory)
{
    json_writer json(memory);
    json.raw("[");
    for (agent_metrics const &a : agents) {
        auto const rate = percentage(a.runs.successful, a.runs.successful + a.runs.failed);
        char id[37];
        json.raw(&a == agents.begin() ? "{\"agent_id\":" : ",{\"agent_id\":")
            .string(format_uuid(a.agent, id));
        if (!a.name.empty())
            json.raw(",\"name\":").string(a.name);
        json.raw(",\"runs\":").number(a.runs.total).raw(",\"success_rate\":");
        rate.is_null ? json.raw("null") : json.number(rate.value, 2);
        json.raw(",\"credits\":").number(a.credits, nano_scale).raw("}");
    }
    json.raw("]");
    return arena(memory).copy(json.text());
}

rollup_metrics compute_metrics(const uuid &workspace, const rollup_state &state, const rollup_rules &rules,
                               bool details, std::pmr::memory_resource *memory, interrupt_check interrupted)
{
    return metrics_builder(workspace, state, rules, memory, interrupted).make(details);
}

} // namespace shadow
