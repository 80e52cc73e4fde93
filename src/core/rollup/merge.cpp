// Merging two states, and their copies for other processes.

#include "core/rollup/state.hpp"

#include "core/base/error.hpp"

#include <vector>

namespace shadow
{

// Ids and positions of another state in ours. Texts are translated when they are first met: a
// shared interner holds many that this state never used.
class rollup_state::translation
{
public:
    translation(const rollup_state &from, rollup_state &to)
        : users(from.users_.size(), to.memory_), from_(*from.interned_), to_(*to.interned_),
          texts_(to.memory_), agents_(to.memory_), names_(to.memory_), messages_(to.memory_)
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
    const interner &from_;
    interner &to_;
    id_map texts_, agents_, names_, messages_;
};

void rollup_state::merge(const rollup_rules &rules, const rollup_state &other)
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

void rollup_state::merge_sessions(std::int64_t gap, const rollup_state &other, translation &to)
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

run_entry rollup_state::translate(const rollup_state &other, const run_entry &from, translation &to)
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

void rollup_state::merge_runs(const rollup_state &other, translation &to)
{
    for (std::uint32_t i = 0; i < other.keyed_runs_.size(); ++i) {
        keyed_run const from = other.keyed_runs_[i];
        change_run(from.key, [&](keyed_run &keyed) {
            keyed.has_error_event = keyed.has_error_event || from.has_error_event;
            if (from.is_counted)
                decide(keyed, translate(other, from.run, to), from.at, from.id);
            for (std::uint32_t t = from.earlier_agents; t != npos; t = other.earlier_agents_[t].next) {
                earlier_agent const left = other.earlier_agents_[t];
                note_earlier_agent(keyed, to.agent(left.agent), left.at, left.id);
            }
        });
    }
    for (std::uint32_t i = 0; i < other.runs_.size(); ++i)
        runs_.push(translate(other, other.runs_[i], to));
}

void rollup_state::merge_counts(const rollup_state &other, translation &to)
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

void archive_interner(write_archive &a, const interner &interned)
{
    std::uint32_t const counts[] = {interned.text_count(), interned.agent_count(), interned.name_count(),
                                    interned.message_count()};
    a.bytes(counts, sizeof counts);
    for (std::uint32_t i = 0; i < counts[0]; ++i) {
        std::string_view const text = interned.text(i);
        auto const size = static_cast<std::uint32_t>(text.size());
        a.bytes(&size, sizeof size);
        a.bytes(text.data(), size);
    }
    for (std::uint32_t i = 0; i < counts[1]; ++i)
        a.bytes(&interned.agent(i), sizeof(uuid));
    for (std::uint32_t i = 0; i < counts[2]; ++i)
        a.bytes(&interned.name(i), sizeof(interner::event_name));
    for (std::uint32_t i = 0; i < counts[3]; ++i) {
        auto const &message = interned.message(i);
        auto const size = static_cast<std::uint32_t>(message.text.size());
        a.bytes(&message.hash, sizeof message.hash);
        a.bytes(&size, sizeof size);
        a.bytes(message.text.data(), size);
    }
}

// Read in the order in which they were numbered, texts get the same numbers again.
void archive_interner(read_archive &a, interner &interned)
{
    std::uint32_t counts[4];
    a.bytes(counts, sizeof counts);
    for (std::uint32_t i = 0; i < counts[0]; ++i) {
        std::uint32_t size;
        a.bytes(&size, sizeof size);
        interned.text_id(a.take(size));
    }
    for (std::uint32_t i = 0; i < counts[1]; ++i) {
        uuid agent;
        a.bytes(&agent, sizeof agent);
        interned.agent_id(agent);
    }
    for (std::uint32_t i = 0; i < counts[2]; ++i) {
        interner::event_name name;
        a.bytes(&name, sizeof name);
        interned.name_id(name.type, name.text);
    }
    for (std::uint32_t i = 0; i < counts[3]; ++i) {
        std::int64_t hash;
        std::uint32_t size;
        a.bytes(&hash, sizeof hash);
        a.bytes(&size, sizeof size);
        interned.message_id({hash, a.take(size)});
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
void rollup_state::archive(Self &self, Archive &a)
{
    archive_interner(a, *self.interned_);
    archive_pool(a, self.users_);
    archive_pool(a, self.sessions_);
    archive_pool(a, self.keyed_runs_);
    archive_pool(a, self.runs_);
    archive_pool(a, self.failures_);
    archive_pool(a, self.earlier_agents_);
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

// Written from a copy with a interner of its own, which holds the texts of this state only.
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
}

} // namespace shadow
