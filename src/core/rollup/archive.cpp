// Copies of a state for other processes of the server. Bytes that serialize() did not write are refused: every
// number that names a place is below the count of such places, every amount as large as events can make it.

#include "core/rollup/state.hpp"

#include "core/base/decimal.hpp"
#include "core/base/error.hpp"

namespace shadow
{

namespace
{

void require(bool condition)
{
    if (!condition)
        throw error(errc::corrupt_data, "serialized activity is damaged");
}

struct write_archive {
    std::pmr::string &out;
    void bytes(const void *data, std::size_t n) { out.append(static_cast<const char *>(data), n); }
    template <typename Number>
    void number(Number &n)
    {
        bytes(&n, sizeof n);
    }
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
    template <typename Number>
    void number(Number &n)
    {
        bytes(&n, sizeof n);
    }
    void number(bool &b) { b = take(1).front() != 0; }
};

// A packed_pool, row by row as numbers: any of them is a row.
template <typename Row>
void archive_rows(write_archive &a, const packed_pool<Row> &rows)
{
    std::uint32_t const n = rows.size();
    a.number(n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::uint64_t values[Row::columns];
        rows[i].pack(values, 0);
        a.number(values);
    }
}

template <typename Row>
void archive_rows(read_archive &a, packed_pool<Row> &rows)
{
    std::uint32_t n;
    a.number(n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::uint64_t values[Row::columns];
        a.number(values);
        Row row;
        row.unpack(values, 0);
        rows.push(row);
    }
}

// A pool; `archive` writes or reads the parts of one entry.
template <typename Entry, typename Archive>
void archive_entries(write_archive &a, const pool<Entry> &entries, Archive archive)
{
    std::uint32_t const n = entries.size();
    a.number(n);
    for (std::uint32_t i = 0; i < n; ++i)
        archive(entries[i]);
}

template <typename Entry, typename Archive>
void archive_entries(read_archive &a, pool<Entry> &entries, Archive archive)
{
    std::uint32_t n;
    a.number(n);
    for (std::uint32_t i = 0; i < n; ++i) {
        Entry entry{};
        archive(entry);
        entries.push(entry);
    }
}

void archive_interner(write_archive &a, const interner &interned)
{
    std::uint32_t const counts[] = {interned.text_count(), interned.agent_count(), interned.name_count(),
                                    interned.message_count()};
    a.number(counts);
    auto const archive_text = [&a](std::string_view text) {
        auto const size = static_cast<std::uint32_t>(text.size());
        a.number(size);
        a.bytes(text.data(), size);
    };
    for (std::uint32_t i = 0; i < counts[0]; ++i)
        archive_text(interned.text(i));
    for (std::uint32_t i = 0; i < counts[1]; ++i)
        a.bytes(&interned.agent(i), sizeof(uuid));
    for (std::uint32_t i = 0; i < counts[2]; ++i) {
        a.number(interned.name(i).type);
        a.number(interned.name(i).text);
    }
    for (std::uint32_t i = 0; i < counts[3]; ++i) {
        a.number(interned.message(i).hash);
        archive_text(interned.message(i).text);
    }
}

// Read in the order in which they were numbered, texts get the same numbers again.
void archive_interner(read_archive &a, interner &interned)
{
    std::uint32_t counts[4];
    a.number(counts);
    auto const archive_text = [&a] {
        std::uint32_t size;
        a.number(size);
        return a.take(size);
    };
    for (std::uint32_t i = 0; i < counts[0]; ++i)
        require(interned.text_id(archive_text()) == i);
    for (std::uint32_t i = 0; i < counts[1]; ++i) {
        uuid agent;
        a.number(agent);
        require(interned.agent_id(agent) == i);
    }
    for (std::uint32_t i = 0; i < counts[2]; ++i) {
        std::uint8_t type;
        std::uint32_t text;
        a.number(type);
        a.number(text);
        require(type < event_type_count && text < counts[0]);
        require(interned.name_id(static_cast<event_type>(type), text) == i);
    }
    for (std::uint32_t i = 0; i < counts[3]; ++i) {
        std::int64_t hash;
        a.number(hash);
        require(interned.message_id({hash, archive_text()}) == i);
    }
}

template <typename Names>
void archive_names(write_archive &a, const Names &names, std::uint32_t, std::pmr::memory_resource *)
{
    std::uint32_t const n = names.size();
    a.number(n);
    for (std::uint32_t i = 0; i < n; ++i) {
        std::uint32_t const users = names[i].users.size();
        a.number(names[i].name);
        a.number(names[i].events);
        a.number(users);
        names[i].users.for_each([&](std::uint32_t user) { a.number(user); });
    }
}

template <typename Names>
void archive_names(read_archive &a, Names &names, std::uint32_t user_count, std::pmr::memory_resource *memory)
{
    std::uint32_t n, users;
    a.number(n);
    for (std::uint32_t i = 0; i < n; ++i) {
        auto &entry = names[names.push({})];
        a.number(entry.name);
        a.number(entry.events);
        a.number(users);
        for (std::uint32_t user; users > 0; --users) {
            a.number(user);
            require(user < user_count);
            entry.users.add(user, user + 1, memory);
        }
    }
}

// More than any events add up to, and far from what overflows when two are added or one is multiplied.
constexpr int128 most_amount = int128{1} << 100;
constexpr std::uint64_t most_events = std::uint64_t{1} << 48;

bool is_amount(int128 value) noexcept
{
    return value > -most_amount && value < most_amount;
}

} // namespace

// Whether what the rows of a state say can be followed.
class rollup_state::row_check
{
public:
    explicit row_check(const rollup_state &state) noexcept : state_(state), interned_(*state.interned_) {}

    void all() const
    {
        each(state_.users_, &row_check::user);
        each(state_.sessions_, &row_check::session);
        each(state_.keyed_runs_, &row_check::keyed);
        each(state_.runs_, &row_check::run);
        each(state_.failures_, &row_check::failure);
        for (std::uint32_t i = 0; i < state_.earlier_agents_.size(); ++i)
            earlier(state_.earlier_agents_[i], i);
        each(state_.models_, &row_check::model);
        each(state_.errors_, &row_check::error);
        each(state_.feedbacks_, &row_check::feedback);
        each(state_.names_, &row_check::name);
        for (std::uint32_t i = 0; i < state_.big_amounts_.size(); ++i)
            require(is_amount(state_.big_amounts_[i].value));
        for (std::uint32_t i = 0; i < state_.call_runtimes_.size(); ++i)
            require(is_runtime(state_.call_runtimes_[i].value) && state_.call_runtimes_[i].value >= 0);
        for (std::uint64_t const ignored : state_.ignored_)
            require(ignored <= most_events);
    }

private:
    template <typename Rows, typename Row>
    void each(const Rows &rows, void (row_check::*check)(const Row &) const) const
    {
        for (std::uint32_t i = 0; i < rows.size(); ++i)
            (this->*check)(rows[i]);
    }

    bool is_text(std::uint32_t id) const noexcept { return id < interned_.text_count(); }
    bool is_agent(std::uint32_t id) const noexcept { return id == npos || id < interned_.agent_count(); }
    bool is_message(std::uint32_t id) const noexcept { return id == npos || id < interned_.message_count(); }
    static bool is_runtime(std::int64_t runtime) noexcept { return runtime >= -1 && runtime <= most_runtime; }
    bool is_packed(amount value) const noexcept
    {
        return value >= 0 || static_cast<std::uint64_t>(-1 - value) < state_.big_amounts_.size();
    }

    void user(const user_entry &u) const
    {
        require(u.revenue == npos || u.revenue < state_.big_amounts_.size());
    }
    void session(const session_entry &s) const
    {
        require(s.is_free || (s.user < state_.users_.size() && s.first <= s.last));
    }
    void keyed(const keyed_run &k) const
    {
        require(k.earlier_agents == npos || k.earlier_agents < state_.earlier_agents_.size());
        if (k.is_counted)
            run(k.run);
    }
    void run(const run_entry &r) const
    {
        require(r.user < state_.users_.size() && is_agent(r.agent) && is_text(r.model));
        require(r.failure == npos || r.failure < state_.failures_.size());
        require(r.status <= run_status::unknown && is_runtime(r.runtime) && r.tokens >= -1 &&
                r.tokens <= most_tokens);
        require(is_packed(r.credits) && (r.cost == no_amount || is_packed(r.cost)));
    }
    void failure(const failure_entry &f) const
    {
        require(is_text(f.type) && (f.reason == npos || is_text(f.reason)) && is_text(f.name) &&
                is_message(f.message));
    }
    // The next was there before: the chain ends.
    void earlier(const earlier_agent &e, std::uint32_t place) const
    {
        require(e.agent < interned_.agent_count() && (e.next == npos || e.next < place));
    }
    void model(const model_entry &m) const
    {
        require(is_text(m.name) && is_amount(m.credits) && is_amount(m.cost));
    }
    void error(const error_entry &e) const
    {
        require(is_text(e.type) && is_agent(e.agent) && is_text(e.name) && is_message(e.message) &&
                e.events <= most_events);
    }
    void feedback(const feedback_entry &f) const
    {
        require(is_agent(f.agent) && f.feedbacks <= most_events && f.ratings <= most_events &&
                is_amount(f.rating_sum));
    }
    void name(const name_entry &n) const
    {
        require(n.name < interned_.name_count() && n.events <= most_events);
    }

    static constexpr std::int64_t most_runtime = std::int64_t{1'000'000'000} * nano;
    static constexpr std::int64_t most_tokens = std::int64_t{1} << 53;
    const rollup_state &state_;
    const interner &interned_;
};

template <typename Self, typename Archive>
void rollup_state::archive(Self &self, Archive &a)
{
    archive_interner(a, *self.interned_);
    archive_rows(a, self.users_);
    archive_rows(a, self.sessions_);
    archive_rows(a, self.keyed_runs_);
    archive_rows(a, self.runs_);
    archive_rows(a, self.failures_);
    archive_rows(a, self.earlier_agents_);
    archive_entries(a, self.models_, [&a](auto &m) {
        a.number(m.name), a.number(m.credits), a.number(m.cost), a.number(m.has_cost);
    });
    archive_entries(a, self.errors_, [&a](auto &e) {
        a.number(e.type), a.number(e.agent), a.number(e.name), a.number(e.message), a.number(e.events);
    });
    archive_entries(a, self.feedbacks_, [&a](auto &f) {
        a.number(f.agent), a.number(f.feedbacks), a.number(f.ratings), a.number(f.rating_sum);
    });
    archive_rows(a, self.big_amounts_);
    archive_rows(a, self.call_runtimes_);
    archive_names(a, self.names_, self.users_.size(), self.memory_);
    a.number(self.currency_);
    a.number(self.has_currencies_);
    a.number(self.ignored_);
}

// Written from a copy with an interner of its own, which holds the texts of this state only.
void rollup_state::serialize(const rollup_rules &rules, std::pmr::string &out) const
{
    interner interned(memory_);
    rollup_state compact(memory_, &interned);
    compact.merge(rules, *this);
    write_archive a{out};
    archive(compact, a);
}

// Only what merge() reads from the other side is rebuilt: the indexes stay empty.
void rollup_state::deserialize(std::string_view bytes)
{
    read_archive a{bytes};
    archive(*this, a);
    if (!a.in.empty())
        throw error(errc::corrupt_data, "serialized activity is longer than its content");
    row_check(*this).all();
}

} // namespace shadow
