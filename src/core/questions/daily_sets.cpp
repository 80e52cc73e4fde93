#include "core/questions/daily_sets.hpp"

#include <algorithm>
#include <map>

namespace shadow::questions
{

owned_set::owned_set(const roaring::writer &set) : bytes_(stored_size(set))
{
    write_stored(set, bytes_.data());
}

static roaring::writer written(const std::vector<std::uint32_t> &numbers)
{
    roaring::writer set(std::pmr::new_delete_resource());
    write_sorted_values(numbers.data(), numbers.size(), set);
    return set;
}

owned_set::owned_set(const std::vector<std::uint32_t> &numbers) : owned_set(written(numbers)) {}

user_set_view owned_set::view() const
{
    return bytes_.empty() ? user_set_view() : user_set_view::stored(bytes_.data(), bytes_.size());
}

void *limited_memory::do_allocate(std::size_t bytes, std::size_t alignment)
{
    if (bytes > left_)
        throw error(errc::memory_exceeded, "the question needs more memory than allowed", {},
                    "Ask about fewer periods or a smaller breakdown_limit, or raise the setting "
                    "analysis_memory_mb.");
    left_ -= bytes;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
}

void limited_memory::do_deallocate(void *p, std::size_t bytes, std::size_t alignment)
{
    left_ += bytes;
    std::pmr::new_delete_resource()->deallocate(p, bytes, alignment);
}

set_row::set_row(std::size_t size, std::pmr::memory_resource &memory)
{
    for (std::size_t i = 0; i < size; ++i)
        sets_.push_back(std::make_unique<user_set_builder>(&memory));
}

owned_set set_row::finished(std::size_t i, interrupt_check interrupted)
{
    roaring::writer set(std::pmr::new_delete_resource());
    sets_[i]->write(set, interrupted);
    return owned_set(set);
}

namespace
{

class no_json final : public json_host
{
public:
    bool to_scaled(const json_value &, int, int128 &) const noexcept override { return false; }
    bool is_whole(const json_value &) const noexcept override { return false; }
    std::string_view to_text(const json_value &, char *, std::size_t) const noexcept override { return {}; }
    void read_object(const json_value &, metadata &) const noexcept override {}
};

// An event of which only type and name are known.
class named_event final : public event_source
{
public:
    named_event(event_type of, std::string_view called)
    {
        at = 0;
        type = of;
        has_session = false;
        name = called;
    }
    json_value find(std::string_view) const noexcept override
    {
        return {json_type::null, false, nullptr, {}};
    }
    void read(metadata &) const noexcept override {}
    const json_host &host() const noexcept override
    {
        static const no_json none;
        return none;
    }
    std::string text_of(const json_value &) const override { return {}; }
};

class reader
{
public:
    reader(question &asked, const usage_details &details, const std::function<void(const day_usage &)> &visit)
        : asked_(asked), details_(details), visit_(visit)
    {
        if (asked.users)
            chosen_.emplace(asked.users->numbers());
        for (int i = 0; i < asked.events.selectors(); ++i)
            if ((details.selectors >> i & 1) != 0) {
                types_ |= asked.events.types_of(i);
                is_any_ = is_any_ && asked.events.is_any(i);
            }
        is_any_ = is_any_ && !details.needs_events && !details.needs_types && !details.needs_names;
    }

    void read(date first, date last)
    {
        last = std::min(last, asked_.settings.today);
        if (first > last)
            return;
        find_raw_days(first, last);
        if (!raw_.empty())
            asked_.require_raw_events(raw_.front(), raw_.back());
        stored_sink sink(*this);
        if (is_any_)
            asked_.host.active_users(first, last, sink);
        else
            asked_.host.usage({first, last, types_, details_.needs_users, false}, sink);
        read_raw_days();
    }

private:
    class stored_sink final : public usage_sink
    {
    public:
        explicit stored_sink(reader &whose) : reader_(whose) {}
        void add(date day, event_type type, span<const stored_name> names) override
        {
            if (!reader_.is_raw(day))
                for (stored_name const &n : names)
                    reader_.add_stored(day, type, n);
        }

    private:
        reader &reader_;
    };
    // Notes days on which names that are asked for are among the others.
    class crowded_sink final : public usage_sink
    {
    public:
        crowded_sink(reader &whose, std::vector<date> &days) : reader_(whose), days_(days) {}
        void add(date day, event_type type, span<const stored_name> names) override
        {
            usage_details const &d = reader_.details_;
            if (d.needs_names || reader_.asked_.events.names_another(d.selectors, type, names))
                days_.push_back(day);
        }

    private:
        reader &reader_;
        std::vector<date> &days_;
    };
    // Events of a day that count alike.
    struct tally {
        event_mask mask = 0;
        std::int64_t events = 0;
        std::vector<std::uint32_t> users;
    };
    using key = std::tuple<date, event_type, std::string, event_mask>;
    class raw_sink final : public event_sink
    {
    public:
        explicit raw_sink(reader &whose) : reader_(whose) {}
        void add(const event_source &event) override { reader_.add_raw(event); }

    private:
        reader &reader_;
    };

    bool is_raw(date day) const noexcept { return std::binary_search(raw_.begin(), raw_.end(), day); }

    void find_raw_days(date first, date last)
    {
        raw_ = asked_.host.unstored_days(first, last);
        // The day of as_of is over only as far as that.
        if (last == asked_.settings.today && !is_raw(last))
            raw_.push_back(last);
        if (is_any_)
            return;
        crowded_sink sink(*this, raw_);
        asked_.host.usage({first, last, types_, false, true}, sink);
        std::sort(raw_.begin(), raw_.end());
        raw_.erase(std::unique(raw_.begin(), raw_.end()), raw_.end());
    }
    void add_stored(date day, event_type type, const stored_name &n)
    {
        named_event const event(type, n.name);
        asked_.events.open(event);
        event_mask const mask = asked_.events.match(details_.selectors) & ~filter_bit;
        if (mask != 0)
            pass_on(day, mask, n.events,
                    n.users == nullptr ? user_set_view() : user_set_view::stored(n.users, n.users_size));
    }
    void pass_on(date day, event_mask mask, std::int64_t events, const user_set_view &users)
    {
        if (!chosen_ || !details_.needs_users) {
            visit_({day, mask, events, users});
            return;
        }
        roaring::writer both(std::pmr::new_delete_resource());
        intersect(users, chosen_->view(), both, asked_.settings.interrupted);
        owned_set const set(both);
        visit_({day, mask, events, set.view()});
    }

    void read_raw_days()
    {
        if (raw_.empty())
            return;
        days_ = calendar(raw_.front(), asked_.host.day_starts(raw_.front(), raw_.back() + 1));
        raw_sink sink(*this);
        for (std::size_t i = 0; i < raw_.size();) {
            std::size_t end = i + 1;
            while (end < raw_.size() && raw_[end] == raw_[end - 1] + 1)
                ++end;
            instant const from = days_.start_of(raw_[i]);
            instant const until = std::min(days_.start_of(raw_[end - 1] + 1), asked_.settings.as_of + 1);
            if (from < until)
                asked_.host.scan({from, until, types_, false, false}, sink);
            i = end;
        }
        pass_on_raw_days();
    }
    void add_raw(const event_source &event)
    {
        if (asked_.users && !asked_.users->has(event.user))
            return;
        named_event const named(event.type, event.name);
        asked_.events.open(named);
        event_mask const mask = asked_.events.match(details_.selectors) & ~filter_bit;
        if (mask == 0)
            return;
        tally &t = tally_of({days_.day_of(event.at), details_.needs_types ? event.type : event_type{},
                             std::string(details_.needs_names ? event.name : std::string_view()), mask});
        t.mask = mask;
        ++t.events;
        if (!details_.needs_users)
            return;
        t.users.push_back(users_.add(event.user));
        if (++held_ % 65536 == 0 &&
            held_ * 8 + users_.size() * user_list::bytes_each > asked_.settings.most_bytes)
            throw error(errc::memory_exceeded, "the question needs more memory than allowed", {},
                        "Ask about fewer days, or raise the setting analysis_memory_mb.");
    }
    tally &tally_of(key wanted)
    {
        if (last_ == nullptr || last_->first != wanted)
            last_ = &*tallies_.try_emplace(std::move(wanted)).first;
        return last_->second;
    }
    void pass_on_raw_days()
    {
        std::vector<std::uint32_t> numbers(users_.size(), npos);
        std::uint32_t next = asked_.host.number_users(users_, numbers);
        for (std::uint32_t &n : numbers)
            if (n == npos)
                n = next++;
        for (auto &[where, t] : tallies_) {
            for (std::uint32_t &user : t.users)
                user = numbers[user];
            std::sort(t.users.begin(), t.users.end());
            t.users.erase(std::unique(t.users.begin(), t.users.end()), t.users.end());
            owned_set const set(t.users);
            named_event const event(std::get<event_type>(where), std::get<std::string>(where));
            asked_.events.open(event);
            pass_on(std::get<date>(where), t.mask, t.events, set.view());
        }
    }

    question &asked_;
    usage_details const &details_;
    const std::function<void(const day_usage &)> &visit_;
    std::optional<owned_set> chosen_;
    std::uint32_t types_ = 0;
    bool is_any_ = true;
    std::vector<date> raw_;
    calendar days_;
    user_list users_;
    std::size_t held_ = 0;
    std::map<key, tally> tallies_;
    std::pair<const key, tally> *last_ = nullptr;
};

} // namespace

void read_daily_sets(question &asked, date first, date last, const usage_details &details,
                     const std::function<void(const day_usage &)> &visit)
{
    reader(asked, details, visit).read(first, last);
}

} // namespace shadow::questions
