#pragma once
// The events a question is about, by user and in order of time, whatever the order in which they came.

#include "core/base/index.hpp"
#include "core/base/interrupt.hpp"
#include "core/questions/selector.hpp"

namespace shadow::questions
{

using value_number = std::uint32_t; // 0: missing

struct stream_event {
    std::int64_t at;
    event_mask mask;
    std::uint32_t position; // in order of arrival: where the details are

    bool matches(int selector) const noexcept { return (mask >> selector & 1) != 0; }
};

// Events of one user, or a part of them.
struct event_span {
    const stream_event *data;
    std::size_t size;

    const stream_event *begin() const noexcept { return data; }
    const stream_event *end() const noexcept { return data + size; }
    const stream_event &operator[](std::size_t i) const noexcept { return data[i]; }
};

// Texts by number, each once, cut to 100 characters where they are longer.
class value_list
{
public:
    value_list() : texts_(1) {}
    value_number add(std::string_view text, text_clipper clip);
    const std::string &text(value_number value) const noexcept { return texts_[value]; }
    const nullable<int128> &number(value_number value);
    std::size_t size() const noexcept { return texts_.size(); }
    std::size_t bytes() const noexcept { return bytes_; }

private:
    struct parsed {
        bool is_known = false;
        nullable<int128> amount;
    };
    owned_index<pool_index> index_;
    std::vector<std::string> texts_;
    std::vector<parsed> numbers_; // as far as they were asked for
    std::size_t bytes_ = 0;
};

// Users by number, in order of arrival. A search touches one place of memory: the table has the ids too.
class user_list
{
    struct slot {
        uuid id{};
        std::uint32_t number = npos;
        bool is_empty() const noexcept { return number == npos; }
        std::uint32_t hash() const noexcept { return folded(id.hash()); }
    };

public:
    static constexpr std::size_t bytes_each = sizeof(uuid) + 2 * sizeof(slot);

    std::uint32_t add(const uuid &user, std::uint64_t hash);
    std::uint32_t add(const uuid &user) { return add(user, user.hash()); }
    std::uint32_t find(const uuid &user) const noexcept;
    // Soon this user is added.
    void prefetch(std::uint64_t hash) const noexcept { table_.prefetch(folded(hash)); }
    const uuid &operator[](std::uint32_t user) const noexcept { return users_[user]; }
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(users_.size()); }
    // No user is looked for any more.
    void forget_table() noexcept { table_.release(); }

private:
    static std::uint32_t folded(std::uint64_t hash) noexcept
    {
        return static_cast<std::uint32_t>(hash >> 32);
    }

    owned_index<probing_table<slot>> table_;
    std::vector<uuid> users_;
};

// What of each event is kept beside its instant and mask.
struct stream_details {
    bool ids = false; // simultaneous events are in order of their ids
    bool sessions = false;
    std::vector<int> slots; // of properties
    // Of the first slot: a value is replaced by the first pattern that it matches; missing if it matches any
    // of `ignored`.
    std::vector<std::string> grouped, ignored;
};

class event_stream
{
public:
    // Beyond `most_bytes` it takes no more events.
    event_stream(stream_details details, std::size_t most_bytes, interrupt_check check)
        : details_(std::move(details)), most_bytes_(most_bytes), poll_(check)
    {
    }
    // The event that `p` has open.
    void add(const event_source &event, event_mask mask, program &p);
    bool fits() const noexcept { return fits_; }
    // All events have come. Throws error(memory_exceeded) if not all were taken. settle() leaves them as they
    // came, finish() puts them in order, also after settle().
    void settle();
    void finish();
    bool is_sorted() const noexcept { return !begins_.empty(); }

    std::uint32_t users() const noexcept { return users_.size(); }
    const uuid &user(std::uint32_t number) const noexcept { return users_[number]; }
    event_span events_of(std::uint32_t user) const noexcept
    {
        return {events_.data() + begins_[user], begins_[user + 1] - begins_[user]};
    }
    event_span all() const noexcept { return {events_.data(), events_.size()}; }
    // visit(event, user) for all, user by user or, where they are not in order, as they came.
    template <typename Visit>
    void for_each(Visit visit)
    {
        if (!is_sorted())
            for (std::size_t i = 0; i < arrived_.size(); ++i) {
                poll_();
                arrival const &a = arrived_[i];
                visit(stream_event{a.at, a.mask, static_cast<std::uint32_t>(i)}, a.user);
            }
        else
            for (std::uint32_t u = 0; u < users(); ++u)
                for (stream_event const &e : events_of(u)) {
                    poll_();
                    visit(e, u);
                }
    }
    std::size_t size() const noexcept { return arrived_.size() + events_.size(); }

    // The value of the details' slot i.
    value_number value(const stream_event &event, std::size_t i) const noexcept
    {
        return values_[event.position * details_.slots.size() + i];
    }
    const uuid &id(const stream_event &event) const noexcept { return ids_[event.position]; }
    // 0: without a session of the client's.
    value_number session(const stream_event &event) const noexcept { return sessions_[event.position]; }
    value_list &texts() noexcept { return texts_; }
    const value_list &texts() const noexcept { return texts_; }
    interrupt_poll &poll() noexcept { return poll_; }

private:
    struct arrival {
        std::int64_t at;
        event_mask mask;
        std::uint32_t user;
    };

    std::size_t bytes() const noexcept;
    void number_users();
    std::string_view first_value(std::string_view text, text_clipper clip) const;
    void sort_user(std::size_t begin, std::size_t end);

    stream_details details_;
    std::size_t most_bytes_;
    bool fits_ = true;
    interrupt_poll poll_;
    user_list users_;
    // Users of the last arrivals, who are looked up together: memory is slower than everything else here.
    static constexpr std::size_t most_waiting = 32;
    struct waiting_user {
        uuid id;
        std::uint64_t hash;
    };
    waiting_user waiting_[most_waiting];
    std::size_t waiting_count_ = 0;
    user_list session_ids_;
    value_list texts_;
    std::vector<arrival> arrived_;
    std::vector<stream_event> events_;
    std::vector<std::size_t> begins_; // of each user's events, and the end
    std::vector<uuid> ids_;
    std::vector<value_number> sessions_;
    std::vector<value_number> values_;
};

} // namespace shadow::questions
