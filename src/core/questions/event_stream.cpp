#include "core/questions/event_stream.hpp"

#include "core/questions/like.hpp"

#include <algorithm>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shadow::questions
{

value_number value_list::add(std::string_view text, text_clipper clip)
{
    if (text.empty())
        return 0;
    if (text.size() > longest_text_key)
        text = text.substr(0, clip(text.data(), text.size(), longest_text_key));
    if (text == texts_.back()) // neighbours are often alike
        return static_cast<value_number>(texts_.size() - 1);
    return index_.find_or_add(
        XXH3_64bits_withSeed(text.data(), text.size(), secret_hash_key.first),
        [&](std::uint32_t i) { return texts_[i] == text; },
        [&] {
            texts_.emplace_back(text);
            bytes_ += text.size() + 100;
            return static_cast<std::uint32_t>(texts_.size() - 1);
        });
}

const nullable<int128> &value_list::number(value_number value)
{
    numbers_.resize(std::max(numbers_.size(), texts_.size()));
    parsed &p = numbers_[value];
    if (!p.is_known) {
        p.amount = number_of(texts_[value]);
        p.is_known = true;
    }
    return p.amount;
}

std::uint32_t user_list::add(const uuid &user, std::uint64_t hash)
{
    slot &s = table_.find(folded(hash), [&](const slot &other) { return other.id == user; });
    if (s.is_empty()) {
        users_.push_back(user);
        s = {user, size() - 1};
        table_.count_new();
    }
    return s.number;
}

std::uint32_t user_list::find(const uuid &user) const noexcept
{
    return table_
        .find_present(
            folded(user.hash()), [&](const slot &other) { return other.id == user; }, slot{})
        .number;
}

void event_stream::add(const event_source &event, event_mask mask, program &p)
{
    if (arrived_.size() % 4096 == 0)
        fits_ = fits_ && bytes() <= most_bytes_;
    if (!fits_)
        return;
    if (waiting_count_ == most_waiting)
        number_users();
    std::uint64_t const hash = event.user.hash();
    users_.prefetch(hash);
    waiting_[waiting_count_++] = {event.user, hash};
    arrived_.push_back({event.at, mask, 0});
    if (details_.ids)
        ids_.push_back(event.id);
    if (details_.sessions)
        sessions_.push_back(event.has_session ? session_ids_.add(event.session) + 1 : 0);
    for (std::size_t i = 0; i < details_.slots.size(); ++i) {
        std::string_view const text = p.value(details_.slots[i]);
        values_.push_back(texts_.add(i == 0 ? first_value(text, p.clip()) : text, p.clip()));
    }
}

std::string_view event_stream::first_value(std::string_view text, text_clipper clip) const
{
    if (text.empty())
        return text;
    for (std::string const &pattern : details_.ignored)
        if (is_like(text, pattern, clip))
            return {};
    for (std::string const &pattern : details_.grouped)
        if (is_like(text, pattern, clip))
            return pattern;
    return text;
}

// While events are sorted, they are there twice, but the tables of users are gone.
std::size_t event_stream::bytes() const noexcept
{
    std::size_t const details =
        (details_.ids ? sizeof(uuid) : 0) + (details_.sessions ? 4 : 0) + 4 * details_.slots.size();
    std::size_t const users = users_.size() + session_ids_.size();
    std::size_t const reading = arrived_.size() * sizeof(arrival) + users * user_list::bytes_each;
    std::size_t const sorting = arrived_.size() * (sizeof(arrival) + sizeof(stream_event)) +
                                users * (sizeof(uuid) + 2 * sizeof(std::size_t));
    return std::max(reading, sorting) + arrived_.size() * details + texts_.bytes();
}

void event_stream::number_users()
{
    auto const first = arrived_.end() - static_cast<std::ptrdiff_t>(waiting_count_);
    for (std::size_t i = 0; i < waiting_count_; ++i)
        first[static_cast<std::ptrdiff_t>(i)].user = users_.add(waiting_[i].id, waiting_[i].hash);
    waiting_count_ = 0;
}

void event_stream::settle()
{
    number_users();
    fits_ = fits_ && bytes() <= most_bytes_;
    if (!fits_)
        throw error(
            errc::memory_exceeded, "the question needs more memory than allowed",
            "After " + std::to_string(arrived_.size()) + " events it holds " + std::to_string(bytes() >> 20) +
                " MB.",
            "Ask about fewer days, narrower events or a segment, or raise the setting analysis_memory_mb.");
}

void event_stream::finish()
{
    settle();
    users_.forget_table();
    session_ids_.forget_table();
    begins_.assign(users() + std::size_t{1}, 0);
    for (arrival const &a : arrived_)
        ++begins_[a.user + 1];
    for (std::size_t u = 0; u < users(); ++u)
        begins_[u + 1] += begins_[u];
    events_.resize(arrived_.size());
    std::vector<std::size_t> next(begins_.begin(), begins_.end() - 1);
    for (std::size_t i = 0; i < arrived_.size(); ++i) {
        poll_();
        events_[next[arrived_[i].user]++] = {arrived_[i].at, arrived_[i].mask, static_cast<std::uint32_t>(i)};
    }
    std::vector<arrival>().swap(arrived_);
    for (std::uint32_t u = 0; u < users(); ++u)
        sort_user(begins_[u], begins_[u + 1]);
}

// Rows come nearly in order of time.
void event_stream::sort_user(std::size_t begin, std::size_t end)
{
    auto const before = [this](const stream_event &a, const stream_event &b) {
        poll_();
        if (a.at != b.at || !details_.ids)
            return a.at < b.at;
        return ids_[a.position] < ids_[b.position];
    };
    if (!std::is_sorted(events_.begin() + static_cast<std::ptrdiff_t>(begin),
                        events_.begin() + static_cast<std::ptrdiff_t>(end), before))
        std::sort(events_.begin() + static_cast<std::ptrdiff_t>(begin),
                  events_.begin() + static_cast<std::ptrdiff_t>(end), before);
}

} // namespace shadow::questions
