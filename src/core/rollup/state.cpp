#include "core/rollup/state.hpp"

#include "core/base/decimal.hpp"
#include "core/base/error.hpp"
#include "core/event/run_order.hpp"

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

activity::activity(std::pmr::memory_resource *memory, dictionary *words) noexcept
    : memory_(memory), words_(words), sessions_(memory), session_index_(memory), users_(memory),
      user_index_(memory), keyed_runs_(memory), keyed_run_index_(memory), runs_(memory), failures_(memory),
      trails_(memory), names_(memory), name_index_(memory), models_(memory), model_index_(memory),
      errors_(memory), error_index_(memory), feedbacks_(memory), feedback_index_(memory),
      big_amounts_(memory), call_runtimes_(memory)
{
}

static constexpr run_entry no_run = {-1, -1, 0, no_amount, npos, npos, npos, npos, 0, run_status::unknown};

static std::uint64_t mix(std::uint64_t a, std::uint64_t b = 0) noexcept
{
    std::uint64_t h = (a ^ 0x9E3779B97F4A7C15u) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    return (h ^ b) * 0x9E3779B97F4A7C15u;
}

static hash128 hash_of(const void *bytes, std::size_t size) noexcept
{
    XXH128_hash_t const h = XXH3_128bits_withSeed(bytes, size, secret_hash_key.first);
    return {h.low64, h.high64};
}

// Times are kept as differences from the first.
void activity::set_origin(std::int64_t origin) noexcept
{
    sessions_.set_origin(origin);
    keyed_runs_.set_origin(origin);
    trails_.set_origin(origin);
}

std::uint32_t activity::user_of(const uuid &id)
{
    return user_index_.find_or_add(
        id.hash(),
        [&](std::uint32_t i) {
            return users_.column(i, user_entry::id_high) == id.high &&
                   users_.column(i, user_entry::id_low) == id.low;
        },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < users_.size(); ++i)
                insert(users_[i].id.hash(), i);
        },
        [&] {
            return users_.push({id, npos, npos});
        });
}

// change(run), of the one with this key or of a new one.
template <typename Change>
void activity::change_run(const hash128 &key, Change change)
{
    bool is_new = false;
    std::uint32_t const position = keyed_run_index_.find_or_add(
        key.high,
        [&](std::uint32_t i) {
            return keyed_runs_.column(i, keyed_run::key_high) == key.high &&
                   keyed_runs_.column(i, keyed_run::key_low) == key.low;
        },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < keyed_runs_.size(); ++i)
                insert(keyed_runs_.column(i, keyed_run::key_high), i);
        },
        [&] {
            is_new = true;
            keyed_run added{no_run, key, {0, 0}, keyed_runs_.origin(), npos, false, false};
            change(added);
            return keyed_runs_.push(added);
        });
    if (is_new)
        return;
    keyed_run known = keyed_runs_[position];
    change(known);
    keyed_runs_.set(position, known);
}

activity::name_entry &activity::name_of(std::uint32_t name)
{
    return names_[name_index_.find_or_add(
        mix(name), [&](std::uint32_t i) { return names_[i].name == name; },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < names_.size(); ++i)
                insert(mix(names_[i].name), i);
        },
        [&] {
            return names_.push({name, 0, {}});
        })];
}

activity::model_entry &activity::model_of(std::uint32_t name)
{
    return models_[model_index_.find_or_add(
        mix(name), [&](std::uint32_t i) { return models_[i].name == name; },
        [&] {
            return models_.push({name, 0, 0, false});
        })];
}

activity::feedback_entry &activity::feedback_of(std::uint32_t agent)
{
    return feedbacks_[feedback_index_.find_or_add(
        mix(agent), [&](std::uint32_t i) { return feedbacks_[i].agent == agent; },
        [&] {
            return feedbacks_.push({agent, 0, 0, 0});
        })];
}

void activity::count_error(const error_entry &added)
{
    bool is_new = false;
    std::uint32_t const i = error_index_.find_or_add(
        mix(std::uint64_t{added.type} << 32 | added.agent, std::uint64_t{added.name} << 32 | added.message),
        [&](std::uint32_t e) {
            return errors_[e].type == added.type && errors_[e].agent == added.agent &&
                   errors_[e].name == added.name && errors_[e].message == added.message;
        },
        [&] {
            is_new = true;
            return errors_.push(added);
        });
    if (!is_new)
        errors_[i].events += added.events;
}

// What an error event or a failed run tells the user: a run without a message may give a reason.
static std::uint32_t message_of(const activity_rules &rules, dictionary &words, const event_facts &facts)
{
    return words.message_id(facts.error_message.empty() ? facts.failure_reason : facts.error_message,
                            rules.clip);
}

static constexpr std::int64_t largest_in_place = INT64_C(1) << 62;

amount activity::pack(int128 value)
{
    if (value >= 0 && value < largest_in_place)
        return static_cast<amount>(value);
    return -1 - static_cast<amount>(big_amounts_.push({value}));
}

int128 activity::unpack(amount value) const noexcept
{
    return value >= 0 ? int128{value} : big_amounts_[static_cast<std::uint32_t>(-1 - value)].value;
}

void activity::add_revenue(std::uint32_t user, int128 revenue)
{
    user_entry entry = users_[user];
    if (entry.revenue != npos) {
        big_amounts_.set(entry.revenue, {big_amounts_[entry.revenue].value + revenue});
        return;
    }
    entry.revenue = big_amounts_.push({revenue});
    users_.set(user, entry);
}

void activity::note_currency(currency_code currency) noexcept
{
    if (currency == 0)
        return;
    has_currencies_ = has_currencies_ || (currency_ != 0 && currency_ != currency);
    currency_ = currency;
}

void activity::join(session_entry &into, const session_entry &from) noexcept
{
    into.first = std::min(into.first, from.first);
    into.last = std::max(into.last, from.last);
    into.page_views = std::min(into.page_views + from.page_views, session_entry::many_events);
    into.other_events = std::min(into.other_events + from.other_events, session_entry::many_events);
    into.has_key_event = into.has_key_event || from.has_key_event;
}

static bool is_key_event(event_type type) noexcept
{
    return type == event_type::agent_run || type == event_type::export_ || type == event_type::report_view ||
           type == event_type::feature_use;
}

std::uint32_t activity::add_to_session(const activity_rules &rules, const digested_head &event)
{
    if (sessions_.size() == 0)
        set_origin(event.at);
    session_entry added{};
    bool const is_mark = event.type == event_type::session_start || event.type == event_type::session_end;
    added.first = added.last = event.at;
    added.next = npos;
    added.page_views = event.type == event_type::page_view;
    added.other_events = !is_mark && event.type != event_type::page_view;
    added.has_key_event = is_key_event(event.type);
    if (event.has_session) {
        added.key = event.session;
        added.has_id = true;
        return add_identified(added, event.user);
    }
    added.user = user_of(event.user);
    add_interval(rules.session_gap, added);
    return added.user;
}

// The session knows its user: for an event of a known session the table of users is not searched.
std::uint32_t activity::add_identified(const session_entry &added, const uuid &user)
{
    std::uint32_t new_user = npos;
    std::uint32_t const position = session_index_.find_or_add(
        added.key.high,
        [&](std::uint32_t i) {
            return sessions_.column(i, session_entry::key_high) == added.key.high &&
                   sessions_.column(i, session_entry::key_low) == added.key.low;
        },
        [&](auto insert) {
            for (std::uint32_t i = 0; i < sessions_.size(); ++i)
                if (session_entry const session = sessions_[i]; session.has_id)
                    insert(session.key.high, i);
        },
        [&] {
            session_entry entry = added;
            entry.user = new_user = user_of(user);
            return take_session(entry);
        });
    if (new_user != npos)
        return new_user;
    session_entry session = sessions_[position];
    join(session, added);
    sessions_.set(position, session);
    return session.user;
}

// Sessions by inactivity are the connected components of a user's events under "less than the gap apart", so
// the order in which they arrive does not matter: an added interval swallows those that it touches.
void activity::add_interval(std::int64_t gap, const session_entry &added)
{
    user_entry user = users_[added.user];
    session_entry merged = added;
    std::uint32_t before = npos; // in the user's list
    for (std::uint32_t position = user.intervals; position != npos;) {
        session_entry other = sessions_[position];
        std::uint32_t const next = other.next;
        if (merged.first - other.last >= gap || other.first - merged.last >= gap) {
            before = position;
            position = next;
            continue;
        }
        join(merged, other);
        unlink_interval(user, before, next);
        other.is_free = true;
        other.next = free_session_;
        sessions_.set(position, other);
        free_session_ = position;
        position = user.intervals; // the grown interval may touch one that was passed
        before = npos;
    }
    merged.next = user.intervals;
    merged.is_free = false;
    user.intervals = take_session(merged);
    users_.set(added.user, user);
}

void activity::unlink_interval(user_entry &user, std::uint32_t before, std::uint32_t next)
{
    if (before == npos) {
        user.intervals = next;
        return;
    }
    session_entry previous = sessions_[before];
    previous.next = next;
    sessions_.set(before, previous);
}

std::uint32_t activity::take_session(const session_entry &value)
{
    if (free_session_ == npos)
        return sessions_.push(value);
    std::uint32_t const position = free_session_;
    free_session_ = sessions_[position].next;
    sessions_.set(position, value);
    return position;
}

void activity::leave_trail(keyed_run &keyed, std::uint32_t agent, std::int64_t at, const uuid &id)
{
    if (agent != npos)
        keyed.trail = trails_.push({at, id, agent, keyed.trail});
}

// Among the run's events with an agent, the latest one before the deciding event.
std::uint32_t activity::agent_from_trail(const keyed_run &keyed) const noexcept
{
    trail_entry best{INT64_MIN, {0, 0}, npos, npos};
    for (std::uint32_t i = keyed.trail; i != npos;) {
        trail_entry const t = trails_[i];
        i = t.next;
        if (is_later(keyed.at, keyed.id, t.at, t.id) &&
            (best.agent == npos || is_later(t.at, t.id, best.at, best.id)))
            best = t;
    }
    return best.agent;
}

void activity::decide(keyed_run &keyed, const run_entry &run, std::int64_t at, const uuid &id)
{
    int const rank = decision_rank(run.status), current = decision_rank(keyed.run.status);
    bool const wins =
        !keyed.is_counted || rank > current || (rank == current && is_later(at, id, keyed.at, keyed.id));
    if (!wins) {
        leave_trail(keyed, run.agent, at, id);
        return;
    }
    if (keyed.is_counted)
        leave_trail(keyed, keyed.run.agent, keyed.at, keyed.id);
    keyed.run = run;
    keyed.is_counted = true;
    keyed.at = at;
    keyed.id = id;
}

run_entry activity::make_run(const digested_head &event, const digested_facts &facts, std::uint32_t user)
{
    run_entry run{};
    run.runtime = facts.runtime;
    run.tokens = facts.tokens;
    run.credits = pack(facts.credits);
    run.cost = facts.has_cost ? pack(facts.cost) : no_amount;
    run.currency = facts.currency;
    run.agent = facts.agent;
    run.user = user;
    run.model = facts.model;
    run.failure = npos;
    run.status = facts.status;
    if (facts.status == run_status::failed)
        run.failure =
            failures_.push({facts.error_type, facts.reason, words_->name(event.name).text, facts.message});
    return run;
}

void activity::add_run(const digested_head &event, const digested_facts &facts, std::uint32_t user)
{
    bool const decides = facts.status != run_status::unfinished;
    if (!facts.has_run) {
        if (decides)
            runs_.push(make_run(event, facts, user));
        return;
    }
    change_run(facts.run, [&](keyed_run &keyed) {
        if (decides)
            decide(keyed, make_run(event, facts, user), event.at, facts.id);
        else
            leave_trail(keyed, facts.agent, event.at, facts.id);
    });
}

// Everything but agent_run: its credits and cost count as they stand.
void activity::add_other(const digested_head &event, const digested_facts &facts)
{
    if (event.type == event_type::api_call && facts.runtime >= 0)
        call_runtimes_.push({facts.runtime});
    if (facts.credits != 0 || facts.has_cost) {
        model_entry &model = model_of(facts.model);
        model.credits += facts.credits;
        model.cost += facts.cost;
        model.has_cost = model.has_cost || facts.has_cost;
        note_currency(facts.currency);
    }
    if (event.type != event_type::error)
        return;
    count_error({facts.error_type, facts.agent, words_->name(event.name).text, facts.message, 1});
    if (facts.has_run)
        change_run(facts.run, [](keyed_run &keyed) { keyed.has_error_event = true; });
}

void activity::add_feedback(std::uint32_t agent, std::int64_t rating)
{
    feedback_entry &entry = feedback_of(agent);
    ++entry.feedbacks;
    entry.ratings += rating >= 0;
    entry.rating_sum += std::max<std::int64_t>(rating, 0);
}

static void digest_facts(const activity_rules &rules, dictionary &words, const activity_event &event,
                         const event_facts &facts, digested_facts &out)
{
    event_cost const cost = cost_of(rules, event, facts);
    out.id = event.id;
    out.credits = facts.credits;
    out.cost = cost.value;
    out.has_cost = cost.is_known;
    out.currency = cost.currency;
    out.revenue = facts.revenue;
    out.runtime = facts.runtime;
    out.tokens = facts.tokens;
    out.rating = facts.rating;
    out.is_feedback = facts.is_feedback;
    out.ignored = facts.ignored;
    out.status = facts.status;
    out.agent = facts.has_agent ? words.agent_id(facts.agent) : npos;
    // Only what add() will ask for is looked up.
    bool const is_run = event.type == event_type::agent_run;
    bool const is_error = event.type == event_type::error || facts.status == run_status::failed;
    out.model = is_run || facts.has_credits || cost.is_known ? words.text_id(facts.model) : npos;
    out.error_type = is_error ? words.text_id(facts.error_type) : npos;
    out.reason = is_error ? words.reason_id(facts.failure_reason, rules.clip) : npos;
    out.message = is_error ? message_of(rules, words, facts) : npos;
    out.has_run = !facts.run_id.empty();
    if (out.has_run)
        out.run = hash_of(facts.run_id.data(), facts.run_id.size());
}

void digest(const activity_rules &rules, dictionary &words, const activity_event &event,
            const metadata &values, digested_event &out)
{
    out.user = event.user;
    if (event.has_session) {
        uuid const session_of_user[] = {event.session, event.user};
        out.session = hash_of(session_of_user, sizeof session_of_user);
    }
    out.at = event.at;
    out.name = words.name_id(event.type, words.text_id(event.name));
    out.type = event.type;
    out.has_session = event.has_session;
    out.has_facts =
        !values.is_empty() || event.type == event_type::agent_run || event.type == event_type::error;
    if (!out.has_facts)
        return;
    event_facts facts;
    interpret(event.type, values, rules.clip, facts);
    digest_facts(rules, words, event, facts, out.facts);
}

void activity::add_visit(const activity_rules &rules, const digested_head &event)
{
    add_to_session(rules, event);
}

void activity::add(const activity_rules &rules, const digested_head &event, const digested_facts *facts)
{
    std::uint32_t const user = add_to_session(rules, event);
    name_entry &name = name_of(event.name);
    ++name.events;
    name.users.add(user, users_.size(), memory_);
    if (facts == nullptr)
        return;
    for (std::uint64_t rest = facts->ignored; rest != 0; rest &= rest - 1)
        ++ignored_[__builtin_ctzll(rest)];
    if (facts->revenue != 0)
        add_revenue(user, facts->revenue);
    if (facts->is_feedback && facts->agent != npos)
        add_feedback(facts->agent, facts->rating);
    if (event.type == event_type::agent_run)
        add_run(event, *facts, user);
    else
        add_other(event, *facts);
}

void activity::prefetch_tables(const digested_head &event, const digested_facts *facts) const noexcept
{
    name_index_.prefetch(mix(event.name));
    if (event.has_session)
        session_index_.prefetch(event.session.high);
    else
        user_index_.prefetch(event.user.hash());
    if (facts != nullptr && facts->has_run)
        keyed_run_index_.prefetch(facts->run.high);
}

void activity::prefetch_entries(const digested_head &event) const noexcept
{
    std::uint32_t const name = name_index_.guess(mix(event.name));
    if (name != npos)
        names_.prefetch(name);
    std::uint32_t const session = event.has_session ? session_index_.guess(event.session.high) : npos;
    if (session != npos)
        sessions_.prefetch(session);
    else
        user_index_.prefetch(event.user.hash());
}

void activity::prefetch_sets(const digested_head &event) const noexcept
{
    std::uint32_t const name = name_index_.guess(mix(event.name));
    if (name != npos)
        names_[name].users.prefetch();
}

void activity::finish() noexcept
{
    session_index_.release();
    user_index_.release();
    keyed_run_index_.release();
    name_index_.release();
}

void activity::release() noexcept
{
    finish();
    for (std::uint32_t i = 0; i < names_.size(); ++i)
        names_[i].users.release(memory_);
    names_.release();
    sessions_.release();
    users_.release();
    keyed_runs_.release();
    runs_.release();
    failures_.release();
    trails_.release();
    big_amounts_.release();
    call_runtimes_.release();
}

// Of a batch: few enough bytes for the processor's cache, enough that a workspace among thousands has dozens
// of events.
constexpr std::size_t block_bytes = 1u << 18;
constexpr std::uint32_t most_blocks = 64;
constexpr std::uint32_t first_chunk_bytes = 256, chunk_bytes = 1024;

static std::uint32_t bytes_of(const digested_head &event) noexcept
{
    return sizeof(digested_head) + (event.has_facts ? sizeof(digested_facts) : 0);
}
static_assert(sizeof(digested_head) % alignof(digested_facts) == 0);
static_assert(sizeof(event_chunk) % alignof(digested_head) == 0);
static_assert(sizeof(event_chunk) + sizeof(digested_event) <= first_chunk_bytes);

// nullptr: the batch is full.
char *activity_batch::take(std::size_t bytes)
{
    if (blocks_.size() == 0 || used_ + bytes > block_bytes) {
        if (blocks_.size() != 0 && ++block_ == most_blocks)
            return nullptr;
        if (block_ == blocks_.size())
            blocks_.push(static_cast<char *>(memory_->allocate(block_bytes, alignof(std::max_align_t))));
        used_ = 0;
    }
    char *const taken = blocks_[block_] + used_;
    used_ += bytes;
    return taken;
}

std::uint32_t activity_batch::open(activity *target)
{
    lane const opened{target, nullptr, 0, npos, nullptr, nullptr};
    if (free_lane_ == npos)
        return lanes_.push(opened);
    std::uint32_t const place = free_lane_;
    free_lane_ = lanes_[place].next_free;
    lanes_[place] = opened;
    return place;
}

void activity_batch::close(std::uint32_t place) noexcept
{
    lanes_[place] = {nullptr, nullptr, 0, free_lane_, nullptr, nullptr};
    free_lane_ = place;
}

void activity_batch::append_chunk(const activity_rules &rules, std::uint32_t place)
{
    std::uint32_t size = lanes_[place].last == nullptr ? first_chunk_bytes : chunk_bytes;
    char *space = take(size);
    if (space == nullptr) {
        flush(rules);
        space = take(size = first_chunk_bytes);
    }
    lane &l = lanes_[place];
    auto *const chunk = new (space) event_chunk{nullptr, nullptr};
    if (l.last != nullptr) {
        l.last->end = l.at;
        l.last->next = chunk;
    } else {
        l.first = chunk;
    }
    l.last = chunk;
    l.at = space + sizeof(event_chunk);
    l.room = size - sizeof(event_chunk);
}

void activity_batch::add(const activity_rules &rules, std::uint32_t place, const digested_event &event)
{
    std::uint32_t const size = bytes_of(event);
    lane &l = lanes_[place];
    if (l.room < size)
        append_chunk(rules, place);
    new (l.at) digested_head(event);
    if (event.has_facts)
        new (l.at + sizeof(digested_head)) digested_facts(event.facts);
    l.at += size;
    l.room -= size;
}

// Goes through the waiting events, activity by activity.
class activity_batch::reader
{
public:
    explicit reader(const activity_batch &batch) noexcept : batch_(batch) {}

    bool next() noexcept
    {
        if (at_ != end_)
            at_ += bytes_of(*head());
        while (at_ == end_) {
            chunk_ = chunk_ == nullptr ? nullptr : chunk_->next;
            if (chunk_ == nullptr && !next_lane())
                return false;
            at_ = reinterpret_cast<const char *>(chunk_ + 1);
            end_ = chunk_->next == nullptr ? lane_->at : chunk_->end;
            prefetch_chunk(chunk_->next);
        }
        return true;
    }
    activity &target() const noexcept { return *lane_->target; }
    const digested_head *head() const noexcept { return reinterpret_cast<const digested_head *>(at_); }
    const digested_facts *facts() const noexcept
    {
        return head()->has_facts ? reinterpret_cast<const digested_facts *>(head() + 1) : nullptr;
    }

private:
    bool next_lane() noexcept
    {
        while (place_ < batch_.lanes_.size()) {
            lane_ = &batch_.lanes_[place_++];
            if (lane_->first == nullptr)
                continue;
            chunk_ = lane_->first;
            return true;
        }
        return false;
    }
    static void prefetch_chunk(const event_chunk *chunk) noexcept
    {
        if (chunk != nullptr)
            for (std::uint32_t line = 0; line < chunk_bytes; line += 64)
                __builtin_prefetch(reinterpret_cast<const char *>(chunk) + line);
    }

    const activity_batch &batch_;
    std::uint32_t place_ = 0; // of the next lane
    const lane *lane_ = nullptr;
    const event_chunk *chunk_ = nullptr;
    const char *at_ = nullptr, *end_ = nullptr;
};

// What an event will touch is asked for some events ahead, in three steps.
void activity_batch::flush(const activity_rules &rules)
{
    if (block_ == 0 && used_ == 0)
        return;
    constexpr int to_tables = 8, to_entries = 4, to_sets = 2;
    reader tables(*this), entries(*this), sets(*this), events(*this);
    for (int step = 0; step < to_tables || events.next(); ++step) {
        if (step >= to_tables)
            events.target().add(rules, *events.head(), events.facts());
        if (tables.next())
            tables.target().prefetch_tables(*tables.head(), tables.facts());
        if (step >= to_tables - to_entries && entries.next())
            entries.target().prefetch_entries(*entries.head());
        if (step >= to_tables - to_sets && sets.next())
            sets.target().prefetch_sets(*sets.head());
    }
    for (std::uint32_t i = 0; i < lanes_.size(); ++i)
        lanes_[i] = {lanes_[i].target, nullptr, 0, lanes_[i].next_free, nullptr, nullptr};
    block_ = 0;
    used_ = 0;
}

void activity_batch::release() noexcept
{
    for (std::uint32_t i = 0; i < blocks_.size(); ++i)
        memory_->deallocate(blocks_[i], block_bytes, alignof(std::max_align_t));
    blocks_.clear();
    block_ = 0;
    used_ = 0;
}

// Ids and positions of another activity in ours. Words are translated when they are first met: a shared
// dictionary holds many that this activity never used.
class activity::translation
{
public:
    translation(const activity &from, activity &to)
        : users(from.users_.size(), to.memory_), from_(*from.words_), to_(*to.words_), texts_(to.memory_),
          agents_(to.memory_), names_(to.memory_), messages_(to.memory_)
    {
    }
    std::uint32_t text(std::uint32_t id)
    {
        return id == npos ? npos : texts_.find_or_add(id, [&] { return to_.text_id(from_.text(id)); });
    }
    std::uint32_t agent(std::uint32_t id)
    {
        return id == npos ? npos : agents_.find_or_add(id, [&] { return to_.agent_id(from_.agent(id)); });
    }
    std::uint32_t name(std::uint32_t id)
    {
        return names_.find_or_add(
            id, [&] { return to_.name_id(from_.name(id).type, text(from_.name(id).text)); });
    }
    std::uint32_t message(std::uint32_t id)
    {
        return id == npos ? npos
                          : messages_.find_or_add(id, [&] { return to_.message_id(from_.message(id)); });
    }

    std::pmr::vector<std::uint32_t> users; // positions

private:
    const dictionary &from_;
    dictionary &to_;
    id_map texts_, agents_, names_, messages_;
};

void activity::merge(const activity_rules &rules, const activity &other)
{
    translation to(other, *this);
    if (sessions_.size() == 0)
        set_origin(other.sessions_.origin());
    for (std::uint32_t i = 0; i < other.users_.size(); ++i) {
        user_entry const from = other.users_[i];
        to.users[i] = user_of(from.id);
        if (from.revenue != npos)
            add_revenue(to.users[i], other.big_amounts_[from.revenue].value);
    }
    merge_sessions(rules.session_gap, other, to);
    merge_runs(other, to);
    merge_counts(other, to);
}

void activity::merge_sessions(std::int64_t gap, const activity &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.sessions_.size(); ++i) {
        session_entry added = other.sessions_[i];
        if (added.is_free)
            continue;
        uuid const user = other.users_[added.user].id;
        added.user = to.users[added.user];
        if (added.has_id)
            add_identified(added, user);
        else
            add_interval(gap, added);
    }
}

run_entry activity::translate(const activity &other, const run_entry &from, translation &to)
{
    run_entry run = from;
    run.credits = pack(other.unpack(from.credits));
    run.cost = from.cost == no_amount ? no_amount : pack(other.unpack(from.cost));
    run.agent = to.agent(from.agent);
    run.user = to.users[from.user];
    run.model = to.text(from.model);
    if (from.failure != npos) {
        failure_entry const f = other.failures_[from.failure];
        run.failure =
            failures_.push({to.text(f.type), to.text(f.reason), to.text(f.name), to.message(f.message)});
    }
    return run;
}

void activity::merge_runs(const activity &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.keyed_runs_.size(); ++i) {
        keyed_run const from = other.keyed_runs_[i];
        change_run(from.key, [&](keyed_run &keyed) {
            keyed.has_error_event = keyed.has_error_event || from.has_error_event;
            if (from.is_counted)
                decide(keyed, translate(other, from.run, to), from.at, from.id);
            for (std::uint32_t t = from.trail; t != npos; t = other.trails_[t].next) {
                trail_entry const left = other.trails_[t];
                leave_trail(keyed, to.agent(left.agent), left.at, left.id);
            }
        });
    }
    for (std::uint32_t i = 0; i < other.runs_.size(); ++i)
        runs_.push(translate(other, other.runs_[i], to));
}

void activity::merge_counts(const activity &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.names_.size(); ++i) {
        name_entry const &from = other.names_[i];
        name_entry &into = name_of(to.name(from.name));
        into.events += from.events;
        from.users.for_each(
            [&](std::uint32_t user) { into.users.add(to.users[user], users_.size(), memory_); });
    }
    for (std::uint32_t i = 0; i < other.errors_.size(); ++i) {
        error_entry const &e = other.errors_[i];
        count_error({to.text(e.type), to.agent(e.agent), to.text(e.name), to.message(e.message), e.events});
    }
    for (std::uint32_t i = 0; i < other.models_.size(); ++i) {
        model_entry const &from = other.models_[i];
        model_entry &into = model_of(to.text(from.name));
        into.credits += from.credits;
        into.cost += from.cost;
        into.has_cost = into.has_cost || from.has_cost;
    }
    for (std::uint32_t i = 0; i < other.feedbacks_.size(); ++i) {
        feedback_entry const &from = other.feedbacks_[i];
        feedback_entry &into = feedback_of(to.agent(from.agent));
        into.feedbacks += from.feedbacks;
        into.ratings += from.ratings;
        into.rating_sum += from.rating_sum;
    }
    for (std::uint32_t i = 0; i < other.call_runtimes_.size(); ++i)
        call_runtimes_.push(other.call_runtimes_[i]);
    for (int i = 0; i < metadata_key_count; ++i)
        ignored_[i] += other.ignored_[i];
    note_currency(other.currency_);
    has_currencies_ = has_currencies_ || other.has_currencies_;
}

namespace
{

struct write_archive {
    std::pmr::string &out;
    void bytes(const void *data, std::size_t n) { out.append(static_cast<const char *>(data), n); }
};

struct read_archive {
    std::string_view in;
    std::string_view take(std::size_t n)
    {
        if (in.size() < n)
            throw error(errc::corrupt_data, "serialized activity is truncated");
        std::string_view const taken = in.substr(0, n);
        in.remove_prefix(n);
        return taken;
    }
    void bytes(void *data, std::size_t n) { std::memcpy(data, take(n).data(), n); }
};

// A pool or packed_pool.
template <typename Pool>
void archive_pool(write_archive &a, const Pool &elements)
{
    std::uint32_t const n = elements.size();
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        auto const element = elements[i];
        a.bytes(&element, sizeof element);
    }
}

template <typename Pool>
void archive_pool(read_archive &a, Pool &elements)
{
    std::uint32_t n;
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::decay_t<decltype(elements[0])> element;
        a.bytes(&element, sizeof element);
        elements.push(element);
    }
}

void archive_words(write_archive &a, const dictionary &words)
{
    std::uint32_t const counts[] = {words.text_count(), words.agent_count(), words.name_count(),
                                    words.message_count()};
    a.bytes(counts, sizeof counts);
    for (std::uint32_t i = 0; i < counts[0]; ++i) {
        std::string_view const text = words.text(i);
        auto const size = static_cast<std::uint32_t>(text.size());
        a.bytes(&size, sizeof size);
        a.bytes(text.data(), size);
    }
    for (std::uint32_t i = 0; i < counts[1]; ++i)
        a.bytes(&words.agent(i), sizeof(uuid));
    for (std::uint32_t i = 0; i < counts[2]; ++i)
        a.bytes(&words.name(i), sizeof(dictionary::event_name));
    for (std::uint32_t i = 0; i < counts[3]; ++i) {
        auto const &message = words.message(i);
        auto const size = static_cast<std::uint32_t>(message.text.size());
        a.bytes(&message.hash, sizeof message.hash);
        a.bytes(&size, sizeof size);
        a.bytes(message.text.data(), size);
    }
}

// Read in the order in which they were numbered, words get the same numbers again.
void archive_words(read_archive &a, dictionary &words)
{
    std::uint32_t counts[4];
    a.bytes(counts, sizeof counts);
    for (std::uint32_t i = 0; i < counts[0]; ++i) {
        std::uint32_t size;
        a.bytes(&size, sizeof size);
        words.text_id(a.take(size));
    }
    for (std::uint32_t i = 0; i < counts[1]; ++i) {
        uuid agent;
        a.bytes(&agent, sizeof agent);
        words.agent_id(agent);
    }
    for (std::uint32_t i = 0; i < counts[2]; ++i) {
        dictionary::event_name name;
        a.bytes(&name, sizeof name);
        words.name_id(name.type, name.text);
    }
    for (std::uint32_t i = 0; i < counts[3]; ++i) {
        std::int64_t hash;
        std::uint32_t size;
        a.bytes(&hash, sizeof hash);
        a.bytes(&size, sizeof size);
        words.message_id({hash, a.take(size)});
    }
}

template <typename Names>
void archive_names(write_archive &a, const Names &names, std::pmr::memory_resource *)
{
    std::uint32_t const n = names.size();
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::uint32_t const users = names[i].users.size();
        a.bytes(&names[i].name, sizeof names[i].name);
        a.bytes(&names[i].events, sizeof names[i].events);
        a.bytes(&users, sizeof users);
        names[i].users.for_each([&](std::uint32_t user) { a.bytes(&user, sizeof user); });
    }
}

template <typename Names>
void archive_names(read_archive &a, Names &names, std::pmr::memory_resource *memory)
{
    std::uint32_t n, users;
    a.bytes(&n, sizeof n);
    for (std::uint32_t i = 0; i < n; ++i) {
        auto &entry = names[names.push({})];
        a.bytes(&entry.name, sizeof entry.name);
        a.bytes(&entry.events, sizeof entry.events);
        a.bytes(&users, sizeof users);
        for (std::uint32_t user; users > 0; --users) {
            a.bytes(&user, sizeof user);
            entry.users.add(user, user + 1, memory);
        }
    }
}

} // namespace

template <typename Self, typename Archive>
void activity::archive(Self &self, Archive &a)
{
    archive_words(a, *self.words_);
    archive_pool(a, self.users_);
    archive_pool(a, self.sessions_);
    archive_pool(a, self.keyed_runs_);
    archive_pool(a, self.runs_);
    archive_pool(a, self.failures_);
    archive_pool(a, self.trails_);
    archive_pool(a, self.models_);
    archive_pool(a, self.errors_);
    archive_pool(a, self.feedbacks_);
    archive_pool(a, self.big_amounts_);
    archive_pool(a, self.call_runtimes_);
    archive_names(a, self.names_, self.memory_);
    a.bytes(&self.currency_, sizeof self.currency_);
    a.bytes(&self.has_currencies_, sizeof self.has_currencies_);
    a.bytes(self.ignored_, sizeof self.ignored_);
}

// Written from a copy with a dictionary of its own, which holds the words of this activity only.
void activity::serialize(const activity_rules &rules, std::pmr::string &out) const
{
    dictionary words(memory_);
    activity compact(memory_, &words);
    compact.merge(rules, *this);
    write_archive a{out};
    archive(compact, a);
}

// Only what merge() reads from the other side is rebuilt: the indexes stay empty.
void activity::deserialize(std::string_view bytes)
{
    read_archive a{bytes};
    archive(*this, a);
    if (!a.in.empty())
        throw error(errc::corrupt_data, "serialized activity is longer than its content");
}

} // namespace shadow
