#include "core/activity.hpp"

#include "core/decimal.hpp"
#include "core/error.hpp"

#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shadow
{

currency_code pack_currency(std::string_view code) noexcept
{
    if (code.size() != 3)
        return 0;
    unsigned packed = 0;
    for (char const c : code)
        packed = packed * 27 + static_cast<unsigned>(c >= 'A' && c <= 'Z' ? c - 'A' + 1 : 0);
    return static_cast<currency_code>(packed);
}

std::string_view unpack_currency(currency_code code, char (&buffer)[4]) noexcept
{
    unsigned rest = code;
    for (int i = 2; i >= 0; --i) {
        buffer[i] = static_cast<char>('A' + static_cast<int>(rest % 27) - 1);
        rest /= 27;
    }
    buffer[3] = '\0';
    return {buffer, 3};
}

static bool precedes(const credit_price &a, const credit_price &b) noexcept
{
    if (!(a.workspace == b.workspace))
        return a.workspace < b.workspace;
    if (a.model != b.model)
        return a.model < b.model;
    return a.valid_from > b.valid_from; // latest first
}

void sort_prices(span<credit_price> prices) noexcept
{
    std::sort(prices.begin(), prices.end(), precedes);
}

static const credit_price *find_price(span<credit_price> prices, const uuid &workspace,
                                      std::string_view model, std::int64_t at) noexcept
{
    credit_price const wanted{workspace, model, at, 0, 0};
    auto const *const found = std::lower_bound(prices.begin(), prices.end(), wanted, precedes);
    bool const matches = found != prices.end() && found->workspace == workspace && found->model == model;
    return matches ? found : nullptr;
}

// The most specific price in force: of the workspace and model, of the workspace, of the model, of all.
static const credit_price *price_in_force(const activity_rules &rules, const activity_event &event,
                                          std::string_view model) noexcept
{
    if (rules.prices.size == 0)
        return nullptr;
    for (uuid const &workspace : {event.workspace, uuid{0, 0}})
        for (std::string_view const m : {model, std::string_view{}})
            if (const credit_price *const price = find_price(rules.prices, workspace, m, event.at))
                return price;
    return nullptr;
}

// What an event costs by rule 14 of doc/metrics.md.
struct event_cost {
    bool is_known;
    int128 value;
    currency_code currency;
};

static event_cost cost_of(const activity_rules &rules, const activity_event &event,
                          const event_facts &facts) noexcept
{
    if (facts.has_cost)
        return {true, facts.cost, facts.cost_in_usd ? pack_currency("USD") : rules.currency};
    const credit_price *const price = facts.has_credits ? price_in_force(rules, event, facts.model) : nullptr;
    if (price == nullptr)
        return {false, 0, 0};
    // Whole credits and their fraction apart, so that the product always fits.
    int128 const whole = facts.credits / nano * price->price;
    int128 const fraction = divide_rounded(facts.credits % nano * price->price, nano);
    return {true, whole + fraction, price->currency};
}

activity::activity(std::pmr::memory_resource *memory) noexcept
    : memory_(memory), arena_(memory), texts_(memory), text_index_(memory), users_(memory),
      user_index_(memory), sessions_(memory), session_index_(memory), agents_(memory), agent_index_(memory),
      failures_(memory), runs_(memory), keys_(memory), key_index_(memory), trails_(memory), models_(memory),
      model_index_(memory), errors_(memory), error_index_(memory), names_(memory), name_index_(memory),
      name_users_(memory), big_amounts_(memory), call_runtimes_(memory)
{
}

// Positions of distinct values ------------------------------------------------------------------------------

static std::uint64_t mix(std::uint64_t a, std::uint64_t b = 0) noexcept
{
    std::uint64_t h = (a ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    return (h ^ b) * 0x9E3779B97F4A7C15u;
}

std::uint32_t activity::intern(std::string_view value)
{
    return text_index_.find_or_add(
        XXH3_64bits(value.data(), value.size()), [&](std::uint32_t i) { return text(i) == value; },
        [&] {
            std::string_view const kept = arena_.copy(value);
            return texts_.push({kept.data(), static_cast<std::uint32_t>(kept.size())});
        });
}

std::uint32_t activity::user_of(const uuid &id)
{
    return user_index_.find_or_add(
        id.hash(), [&](std::uint32_t i) { return users_[i].id == id; },
        [&] {
            return users_.push({id, INT64_MAX, INT64_MIN, npos, npos});
        });
}

std::uint32_t activity::agent_of(const uuid &id)
{
    return agent_index_.find_or_add(
        id.hash(), [&](std::uint32_t i) { return agents_[i].id == id; },
        [&] {
            return agents_.push({id, 0, 0, 0});
        });
}

std::uint32_t activity::name_of_event(event_type type, std::uint32_t name)
{
    return name_index_.find_or_add(
        mix(name, static_cast<std::uint64_t>(type)),
        [&](std::uint32_t i) { return names_[i].name == name && names_[i].type == type; },
        [&] {
            return names_.push({name, type, 0});
        });
}

std::uint32_t activity::key_of(const std::uint64_t (&hash)[2])
{
    return key_index_.find_or_add(
        hash[1], [&](std::uint32_t i) { return keys_[i].hash[0] == hash[0] && keys_[i].hash[1] == hash[1]; },
        [&] {
            run_entry none{};
            none.is_counted = false;
            return keys_.push({{hash[0], hash[1]}, 0, {0, 0}, runs_.push(none), npos, false});
        });
}

activity::model_entry &activity::model_of(std::uint32_t name)
{
    return models_[model_index_.find_or_add(
        mix(name), [&](std::uint32_t i) { return models_[i].name == name; },
        [&] {
            return models_.push({name, 0, 0, false});
        })];
}

void activity::count_error(std::uint32_t type, std::uint32_t agent, std::uint32_t name, std::uint64_t events)
{
    std::uint32_t const i = error_index_.find_or_add(
        mix(std::uint64_t{type} << 32 | agent, name),
        [&](std::uint32_t e) {
            return errors_[e].type == type && errors_[e].agent == agent && errors_[e].name == name;
        },
        [&] {
            return errors_.push({type, agent, name, 0});
        });
    errors_[i].events += events;
}

// Amounts
// -----------------------------------------------------------------------------------------------------

static constexpr std::int64_t largest_in_place = INT64_C(1) << 62;

activity::amount activity::pack(int128 value)
{
    if (value >= 0 && value < largest_in_place)
        return static_cast<amount>(value);
    return -1 - static_cast<amount>(big_amounts_.push(value));
}

int128 activity::unpack(amount value) const noexcept
{
    return value >= 0 ? int128{value} : big_amounts_[static_cast<std::uint32_t>(-1 - value)];
}

void activity::add_revenue(std::uint32_t user, int128 revenue)
{
    std::uint32_t &position = users_[user].revenue;
    if (position == npos)
        position = big_amounts_.push(0);
    big_amounts_[position] += revenue;
}

void activity::note_currency(currency_code currency) noexcept
{
    if (currency == 0)
        return;
    has_currencies_ = has_currencies_ || (currency_ != 0 && currency_ != currency);
    currency_ = currency;
}

// Sessions
// ------------------------------------------------------------------------------------------------------

static constexpr std::uint32_t most_other_events = (1u << 29) - 1;

void activity::join(session_entry &into, const session_entry &from) noexcept
{
    into.first = std::min(into.first, from.first);
    into.last = std::max(into.last, from.last);
    into.page_views += from.page_views;
    into.other_events =
        std::min<std::uint64_t>(std::uint64_t{into.other_events} + from.other_events, most_other_events);
    into.has_key_event |= from.has_key_event;
}

static bool is_key_event(event_type type) noexcept
{
    return type == event_type::agent_run || type == event_type::export_ || type == event_type::report_view ||
           type == event_type::feature_use;
}

void activity::add_to_session(const activity_rules &rules, const activity_event &event, std::uint32_t user)
{
    session_entry added{};
    bool const is_mark = event.type == event_type::session_start || event.type == event_type::session_end;
    added.first = added.last = event.at;
    added.user = user;
    added.next = npos;
    added.page_views = event.type == event_type::page_view;
    added.other_events = !is_mark && event.type != event_type::page_view;
    added.has_key_event = is_key_event(event.type);
    if (event.has_session) {
        added.id = event.session;
        added.has_id = 1;
        add_identified(added);
    } else {
        add_interval(rules.session_gap, added);
    }
}

void activity::add_identified(const session_entry &added)
{
    bool is_new = false;
    std::uint32_t const i = session_index_.find_or_add(
        mix(added.id.hash(), added.user),
        [&](std::uint32_t s) { return sessions_[s].user == added.user && sessions_[s].id == added.id; },
        [&] {
            is_new = true;
            return take_session(added);
        });
    if (!is_new)
        join(sessions_[i], added);
}

// Sessions by inactivity are the connected components of a user's events under "less than the gap apart", so
// the order in which they arrive does not matter: an added interval swallows those that it touches.
void activity::add_interval(std::int64_t gap, const session_entry &added)
{
    session_entry merged = added;
    std::uint32_t *const head = &users_[added.user].intervals;
    for (std::uint32_t *link = head; *link != npos;) {
        std::uint32_t const position = *link;
        session_entry &other = sessions_[position];
        if (merged.first - other.last >= gap || other.first - merged.last >= gap) {
            link = &other.next;
            continue;
        }
        join(merged, other);
        *link = other.next;
        other.is_free = 1;
        other.next = free_session_;
        free_session_ = position;
        ++free_sessions_;
        link = head; // the grown interval may touch one that was passed
    }
    merged.next = *head;
    merged.is_free = 0;
    *head = take_session(merged);
}

std::uint32_t activity::take_session(const session_entry &value)
{
    if (free_session_ == npos)
        return sessions_.push(value);
    std::uint32_t const position = free_session_;
    free_session_ = sessions_[position].next;
    --free_sessions_;
    sessions_[position] = value;
    return position;
}

// Runs
// --------------------------------------------------------------------------------------------------------

static int rank(run_status status) noexcept
{
    return status == run_status::unknown ? 1 : 2; // a terminal event beats one that says nothing
}

static bool later(std::int64_t at, const uuid &id, std::int64_t other_at, const uuid &other_id) noexcept
{
    return at != other_at ? at > other_at : other_id < id;
}

void activity::leave_trail(run_key &key, std::uint32_t agent, std::int64_t at, const uuid &id)
{
    if (agent != npos)
        key.trail = trails_.push({at, id, agent, key.trail});
}

// Among the run's events with an agent, the latest one before the deciding event.
std::uint32_t activity::agent_from_trail(const run_key &key) const noexcept
{
    const trail_entry *best = nullptr;
    for (std::uint32_t i = key.trail; i != npos; i = trails_[i].next) {
        trail_entry const &t = trails_[i];
        if (later(key.at, key.id, t.at, t.id) && (best == nullptr || later(t.at, t.id, best->at, best->id)))
            best = &t;
    }
    return best == nullptr ? npos : best->agent;
}

void activity::decide(run_key &key, const run_entry &run, std::int64_t at, const uuid &id)
{
    run_entry &current = runs_[key.run];
    bool const wins = !current.is_counted || rank(run.status) > rank(current.status) ||
                      (rank(run.status) == rank(current.status) && later(at, id, key.at, key.id));
    if (!wins) {
        leave_trail(key, run.agent, at, id);
        return;
    }
    if (current.is_counted)
        leave_trail(key, current.agent, key.at, key.id);
    current = run;
    key.at = at;
    key.id = id;
}

activity::run_entry activity::make_run(const activity_rules &rules, const activity_event &event,
                                       const event_facts &facts, std::uint32_t user)
{
    event_cost const cost = cost_of(rules, event, facts);
    run_entry run{};
    run.runtime = facts.runtime;
    run.tokens = facts.tokens;
    run.credits = pack(facts.credits);
    run.cost = cost.is_known ? pack(cost.value) : no_amount;
    run.currency = cost.is_known ? cost.currency : 0;
    run.agent = facts.has_agent ? agent_of(facts.agent) : npos;
    run.user = user;
    run.model = intern(facts.model);
    run.failure = npos;
    run.status = facts.status;
    run.is_counted = true;
    if (facts.status == run_status::failed)
        run.failure = failures_.push({intern(facts.error_type),
                                      facts.failure_reason.empty() ? npos : intern(facts.failure_reason),
                                      intern(event.name)});
    return run;
}

static void hash_run_id(std::string_view run_id, std::uint64_t (&hash)[2]) noexcept
{
    XXH128_hash_t const h = XXH3_128bits(run_id.data(), run_id.size());
    hash[0] = h.low64;
    hash[1] = h.high64;
}

void activity::add_run(const activity_rules &rules, const activity_event &event, const event_facts &facts,
                       std::uint32_t user)
{
    bool const decides = facts.status != run_status::unfinished;
    if (facts.run_id.empty()) {
        if (decides)
            runs_.push(make_run(rules, event, facts, user));
        return;
    }
    std::uint64_t hash[2];
    hash_run_id(facts.run_id, hash);
    run_key &key = keys_[key_of(hash)];
    if (decides)
        decide(key, make_run(rules, event, facts, user), event.at, event.id);
    else if (facts.has_agent)
        leave_trail(key, agent_of(facts.agent), event.at, event.id);
}

// Events
// --------------------------------------------------------------------------------------------------------

// Everything but agent_run: its credits and cost count as they stand.
void activity::add_other(const activity_rules &rules, const activity_event &event, const event_facts &facts)
{
    if (event.type == event_type::api_call && facts.runtime >= 0)
        call_runtimes_.push(facts.runtime);
    event_cost const cost = cost_of(rules, event, facts);
    if (facts.credits != 0 || cost.is_known) {
        model_entry &model = model_of(intern(facts.model));
        model.credits += facts.credits;
        model.cost += cost.value;
        model.has_cost = model.has_cost || cost.is_known;
        note_currency(cost.currency);
    }
    if (event.type != event_type::error)
        return;
    count_error(intern(facts.error_type), facts.has_agent ? agent_of(facts.agent) : npos, intern(event.name),
                1);
    if (!facts.run_id.empty()) {
        std::uint64_t hash[2];
        hash_run_id(facts.run_id, hash);
        keys_[key_of(hash)].has_error_event = true;
    }
}

void activity::add(const activity_rules &rules, const activity_event &event, const metadata &values)
{
    std::uint32_t const user = user_of(event.user);
    users_[user].first = std::min(users_[user].first, event.at);
    users_[user].last = std::max(users_[user].last, event.at);
    ++events_by_type_[static_cast<int>(event.type)];
    std::uint32_t const name = name_of_event(event.type, intern(event.name));
    ++names_[name].events;
    name_users_.insert(name, user);
    add_to_session(rules, event, user);
    if (values.is_empty() && event.type != event_type::agent_run && event.type != event_type::error)
        return;

    event_facts facts;
    interpret(event.type, values, rules.clip, facts);
    for (std::uint64_t rest = facts.ignored; rest != 0; rest &= rest - 1)
        ++ignored_[__builtin_ctzll(rest)];
    if (facts.has_revenue)
        add_revenue(user, facts.revenue);
    if (facts.is_feedback && facts.has_agent) {
        agent_entry &agent = agents_[agent_of(facts.agent)];
        ++agent.feedbacks;
        agent.ratings += facts.rating >= 0;
        agent.rating_sum += std::max<std::int64_t>(facts.rating, 0);
    }
    if (event.type == event_type::agent_run)
        add_run(rules, event, facts, user);
    else
        add_other(rules, event, facts);
}

// Merging
// -------------------------------------------------------------------------------------------------------

struct activity::translation {
    std::pmr::vector<std::uint32_t> users, texts, agents;

    static std::uint32_t at(const std::pmr::vector<std::uint32_t> &map, std::uint32_t i) noexcept
    {
        return i == npos ? npos : map[i];
    }
};

void activity::merge(const activity_rules &rules, const activity &other)
{
    translation to{std::pmr::vector<std::uint32_t>(other.users_.size(), memory_),
                   std::pmr::vector<std::uint32_t>(other.texts_.size(), memory_),
                   std::pmr::vector<std::uint32_t>(other.agents_.size(), memory_)};
    for (std::uint32_t i = 0; i < other.texts_.size(); ++i)
        to.texts[i] = intern(other.text(i));
    for (std::uint32_t i = 0; i < other.users_.size(); ++i) {
        user_entry const &from = other.users_[i];
        std::uint32_t const user = to.users[i] = user_of(from.id);
        users_[user].first = std::min(users_[user].first, from.first);
        users_[user].last = std::max(users_[user].last, from.last);
        if (from.revenue != npos)
            add_revenue(user, other.big_amounts_[from.revenue]);
    }
    for (std::uint32_t i = 0; i < other.agents_.size(); ++i) {
        agent_entry const &from = other.agents_[i];
        agent_entry &into = agents_[to.agents[i] = agent_of(from.id)];
        into.feedbacks += from.feedbacks;
        into.ratings += from.ratings;
        into.rating_sum += from.rating_sum;
    }
    merge_sessions(rules.session_gap, other, to);
    merge_runs(other, to);
    merge_counts(other, to);
}

void activity::merge_sessions(std::int64_t gap, const activity &other, const translation &to)
{
    for (std::uint32_t i = 0; i < other.sessions_.size(); ++i) {
        session_entry added = other.sessions_[i];
        if (added.is_free)
            continue;
        added.user = to.users[added.user];
        if (added.has_id)
            add_identified(added);
        else
            add_interval(gap, added);
    }
}

activity::run_entry activity::translate(const activity &other, const run_entry &from, const translation &to)
{
    run_entry run = from;
    run.credits = pack(other.unpack(from.credits));
    run.cost = from.cost == no_amount ? no_amount : pack(other.unpack(from.cost));
    run.agent = translation::at(to.agents, from.agent);
    run.user = to.users[from.user];
    run.model = to.texts[from.model];
    if (from.failure != npos) {
        failure_entry const &f = other.failures_[from.failure];
        run.failure =
            failures_.push({to.texts[f.type], translation::at(to.texts, f.reason), to.texts[f.name]});
    }
    return run;
}

void activity::merge_runs(const activity &other, const translation &to)
{
    std::pmr::vector<bool> has_key(other.runs_.size(), false, memory_);
    for (std::uint32_t i = 0; i < other.keys_.size(); ++i) {
        run_key const &from = other.keys_[i];
        has_key[from.run] = true;
        run_key &key = keys_[key_of(from.hash)];
        key.has_error_event = key.has_error_event || from.has_error_event;
        if (other.runs_[from.run].is_counted)
            decide(key, translate(other, other.runs_[from.run], to), from.at, from.id);
        for (std::uint32_t t = from.trail; t != npos; t = other.trails_[t].next)
            leave_trail(key, to.agents[other.trails_[t].agent], other.trails_[t].at, other.trails_[t].id);
    }
    for (std::uint32_t i = 0; i < other.runs_.size(); ++i)
        if (!has_key[i])
            runs_.push(translate(other, other.runs_[i], to));
}

void activity::merge_counts(const activity &other, const translation &to)
{
    std::pmr::vector<std::uint32_t> names(other.names_.size(), memory_);
    for (std::uint32_t i = 0; i < other.names_.size(); ++i) {
        names[i] = name_of_event(other.names_[i].type, to.texts[other.names_[i].name]);
        names_[names[i]].events += other.names_[i].events;
    }
    other.name_users_.for_each(
        [&](std::uint32_t name, std::uint32_t user) { name_users_.insert(names[name], to.users[user]); });
    for (std::uint32_t i = 0; i < other.errors_.size(); ++i) {
        error_entry const &e = other.errors_[i];
        count_error(to.texts[e.type], translation::at(to.agents, e.agent), to.texts[e.name], e.events);
    }
    for (std::uint32_t i = 0; i < other.models_.size(); ++i) {
        model_entry const &from = other.models_[i];
        model_entry &into = model_of(to.texts[from.name]);
        into.credits += from.credits;
        into.cost += from.cost;
        into.has_cost = into.has_cost || from.has_cost;
    }
    for (std::uint32_t i = 0; i < other.call_runtimes_.size(); ++i)
        call_runtimes_.push(other.call_runtimes_[i]);
    for (int i = 0; i < event_type_count; ++i)
        events_by_type_[i] += other.events_by_type_[i];
    for (int i = 0; i < metadata_key_count; ++i)
        ignored_[i] += other.ignored_[i];
    note_currency(other.currency_);
    has_currencies_ = has_currencies_ || other.has_currencies_;
}

// A flat copy
// -----------------------------------------------------------------------------------------------------

namespace
{

struct size_archive {
    std::size_t size = 0;
    void bytes(const void *, std::size_t n) { size += n; }
};

struct write_archive {
    char *out;
    void bytes(const void *data, std::size_t n)
    {
        if (n != 0)
            std::memcpy(out, data, n);
        out += n;
    }
};

struct read_archive {
    const char *in;
    const char *end;
    void bytes(void *data, std::size_t n)
    {
        if (static_cast<std::size_t>(end - in) < n)
            throw error(errc::corrupt_data, "serialized activity is truncated");
        if (n != 0)
            std::memcpy(data, in, n);
        in += n;
    }
};

template <typename Archive, typename T>
void archive_pool(Archive &a, const pool<T> &elements)
{
    std::uint32_t const n = elements.size();
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i)
        a.bytes(&elements[i], sizeof(T));
}

template <typename T>
void archive_pool(read_archive &a, pool<T> &elements)
{
    std::uint32_t n;
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        T value;
        a.bytes(&value, sizeof value);
        elements.push(value);
    }
}

} // namespace

template <typename Self, typename Archive>
void activity::archive(Self &self, Archive &a)
{
    archive_pool(a, self.users_);
    archive_pool(a, self.sessions_);
    archive_pool(a, self.agents_);
    archive_pool(a, self.failures_);
    archive_pool(a, self.runs_);
    archive_pool(a, self.keys_);
    archive_pool(a, self.trails_);
    archive_pool(a, self.models_);
    archive_pool(a, self.errors_);
    archive_pool(a, self.names_);
    archive_pool(a, self.big_amounts_);
    archive_pool(a, self.call_runtimes_);
    a.bytes(&self.currency_, sizeof self.currency_);
    a.bytes(&self.has_currencies_, sizeof self.has_currencies_);
    a.bytes(self.events_by_type_, sizeof self.events_by_type_);
    a.bytes(self.ignored_, sizeof self.ignored_);
}

template <typename Archive>
void activity::archive_out(Archive &a) const
{
    archive(*this, a);
    std::uint32_t const texts = texts_.size();
    a.bytes(&texts, sizeof texts);
    for (std::uint32_t i = 0; i < texts; ++i) {
        a.bytes(&texts_[i].size, sizeof texts_[i].size);
        a.bytes(texts_[i].data, texts_[i].size);
    }
    std::uint32_t const pairs = name_users_.size();
    a.bytes(&pairs, sizeof pairs);
    name_users_.for_each([&](std::uint32_t name, std::uint32_t user) {
        std::uint32_t const pair[] = {name, user};
        a.bytes(pair, sizeof pair);
    });
}

std::size_t activity::serialized_size() const
{
    size_archive a;
    archive_out(a);
    return a.size;
}

void activity::serialize(char *out) const
{
    write_archive a{out};
    archive_out(a);
}

// Only what merge() reads from the other side is rebuilt: the indexes stay empty.
void activity::deserialize(const char *bytes, std::size_t size)
{
    read_archive a{bytes, bytes + size};
    archive(*this, a);
    std::uint32_t n;
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::uint32_t length;
        a.bytes(&length, sizeof length);
        if (static_cast<std::size_t>(a.end - a.in) < length)
            throw error(errc::corrupt_data, "serialized activity is truncated");
        std::string_view const kept = arena_.copy({a.in, length});
        a.in += length;
        texts_.push({kept.data(), length});
    }
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::uint32_t pair[2];
        a.bytes(pair, sizeof pair);
        name_users_.insert(pair[0], pair[1]);
    }
    if (a.in != a.end)
        throw error(errc::corrupt_data, "serialized activity is longer than its content");
}

} // namespace shadow
