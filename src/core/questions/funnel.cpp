#include "core/questions/funnel.hpp"

#include <algorithm>
#include <unordered_map>

namespace shadow::questions
{

event_mask funnel_rules::relevant_mask() const noexcept
{
    event_mask mask = step_mask();
    for (exclusion const &x : exclusions)
        mask |= event_mask{1} << x.selector;
    return mask;
}

// Only what the level fills is copied: this is the innermost step.
void funnel_chain::copy(const funnel_chain &from) noexcept
{
    level = from.level;
    std::copy_n(from.at.begin(), level, at.begin());
    std::copy_n(from.index.begin(), level, index.begin());
}

void funnel_chain::append(std::int64_t time, std::uint32_t event) noexcept
{
    at[static_cast<std::size_t>(level)] = time;
    index[static_cast<std::size_t>(level)] = event;
    ++level;
}

event_group group_at(const event_span &unit, std::size_t first) noexcept
{
    event_group g{unit[first].at, first, 1, unit[first].mask, unit[first].mask};
    for (; first + g.size < unit.size && unit[first + g.size].at == g.at; ++g.size) {
        g.any |= unit[first + g.size].mask;
        g.all &= unit[first + g.size].mask;
    }
    return g;
}

namespace
{

// Which steps can be done by distinct events, one each: a matching of steps to events that grows by
// augmenting paths. An event may stand for `count` equal ones.
class step_matching
{
public:
    void clear() noexcept
    {
        events_.clear();
        std::fill(std::begin(done_by_), std::end(done_by_), none);
    }
    void add_event(event_mask mask, std::size_t count = 1) { events_.push_back({mask, count, 0}); }
    void forget_steps() noexcept
    {
        for (entry &e : events_)
            e.used = 0;
        std::fill(std::begin(done_by_), std::end(done_by_), none);
    }
    // False if the step cannot be done beside the others.
    bool add_step(int step)
    {
        seen_.assign(events_.size(), false);
        return place(step);
    }

private:
    static constexpr std::size_t none = SIZE_MAX;
    struct entry {
        event_mask mask;
        std::size_t count, used;
    };

    // Depth at most the number of steps.
    bool place(int step)
    {
        for (std::size_t e = 0; e < events_.size(); ++e) {
            if ((events_[e].mask >> step & 1) == 0 || seen_[e])
                continue;
            seen_[e] = true;
            if (events_[e].used < events_[e].count) {
                ++events_[e].used;
                done_by_[step] = e;
                return true;
            }
            for (int other = 0; other < most_steps; ++other)
                if (done_by_[other] == e && place(other)) {
                    done_by_[step] = e;
                    return true;
                }
        }
        return false;
    }

    std::vector<entry> events_;
    std::vector<bool> seen_;
    std::size_t done_by_[most_steps];
};

// Ordered and strict: of the chains of each length the one that began last is kept.
class chain_machine
{
public:
    chain_machine(const funnel_rules &rules, const event_span &unit) : rules_(rules), unit_(unit) {}

    funnel_chain run(interrupt_poll &poll)
    {
        event_mask const relevant = rules_.relevant_mask();
        bool const is_strict = rules_.order == step_order::strict;
        for (std::size_t first = 0; first < unit_.size && best_.level < rules_.steps;) {
            poll();
            event_group const g = group_at(unit_, first);
            first += g.size;
            if ((g.any & relevant) == 0 && !is_strict)
                continue;
            if (g.size == 1)
                find_single(g);
            else
                find_several(g, poll);
            settle(g);
        }
        best_.in_progress = best_.level < rules_.steps && is_open();
        return best_;
    }

private:
    funnel_chain &chain(int length) noexcept { return chains_[static_cast<std::size_t>(length)]; }
    funnel_chain &candidate(int length) noexcept { return candidates_[static_cast<std::size_t>(length)]; }

    // Whether a chain of this length can go on at the instant; 0: whether one may begin.
    bool can_extend(int length, std::int64_t at) noexcept
    {
        if (length == 0)
            return at >= rules_.from && at < rules_.until;
        return chain(length).level > 0 && at - chain(length).at[0] <= rules_.window;
    }
    void find_single(const event_group &g)
    {
        for (int length = 0; length < rules_.steps; ++length) {
            candidate(length + 1).level = 0;
            if ((g.any >> length & 1) == 0 || !can_extend(length, g.at))
                continue;
            candidate(length + 1).copy(chain(length));
            candidate(length + 1).append(g.at, static_cast<std::uint32_t>(g.first));
        }
    }
    void find_several(const event_group &g, interrupt_poll &poll)
    {
        for (int length = 1; length <= rules_.steps; ++length)
            candidate(length).level = 0;
        if ((g.any & rules_.step_mask()) == 0)
            return;
        read_events(g, poll);
        for (int base = 0; base < rules_.steps; ++base)
            if (can_extend(base, g.at))
                extend(base, g.at);
    }
    // Of the events of an instant as many as there are steps are enough for each step.
    void read_events(const event_group &g, interrupt_poll &poll)
    {
        int counts[most_steps] = {};
        matching_.clear();
        for (std::size_t i = g.first; i < g.first + g.size; ++i) {
            poll();
            bool is_needed = false;
            for (int step = 0; step < rules_.steps; ++step)
                if (unit_[i].matches(step)) {
                    if (counts[step] == 0)
                        first_of_step_[step] = static_cast<std::uint32_t>(i);
                    is_needed = is_needed || counts[step] < rules_.steps;
                }
            if (!is_needed)
                continue;
            matching_.add_event(unit_[i].mask & rules_.step_mask());
            for (int step = 0; step < rules_.steps; ++step)
                counts[step] += unit_[i].matches(step) ? 1 : 0;
        }
    }
    void extend(int base, std::int64_t at)
    {
        matching_.forget_steps();
        funnel_chain longer;
        longer.copy(chain(base));
        longer.level = base;
        for (int step = base; step < rules_.steps && matching_.add_step(step); ++step) {
            longer.append(at, first_of_step_[step]);
            funnel_chain &known = candidate(step + 1);
            if (known.level == 0 || is_preferred(longer, known))
                known.copy(longer);
        }
    }
    // The one that began last, of these the one whose 2nd, 3rd, .. event came first.
    static bool is_preferred(const funnel_chain &a, const funnel_chain &b) noexcept
    {
        if (a.at[0] != b.at[0])
            return a.at[0] > b.at[0];
        return std::lexicographical_compare(a.at.begin(), a.at.begin() + a.level, b.at.begin(),
                                            b.at.begin() + b.level);
    }
    bool is_ended(int length, const event_group &g) const noexcept
    {
        if (rules_.order == step_order::strict && (g.all >> (length - 1) & 1) == 0)
            return true;
        return std::any_of(rules_.exclusions.begin(), rules_.exclusions.end(), [&](const exclusion &x) {
            return (g.any >> x.selector & 1) != 0 && x.after <= length && length < x.before;
        });
    }
    // The instant's own chains are not ended by what else happens at it.
    void settle(const event_group &g)
    {
        for (int length = 1; length <= rules_.steps; ++length) {
            funnel_chain &known = chain(length);
            if (known.level > 0 && is_ended(length, g))
                known.level = 0;
            funnel_chain const &c = candidate(length);
            if (c.level == 0)
                continue;
            if (known.level == 0 || c.at[0] > known.at[0])
                known.copy(c);
            if (length > best_.level)
                best_.copy(c);
        }
    }
    bool is_open() noexcept
    {
        for (int length = 1; length < rules_.steps; ++length)
            if (chain(length).level > 0 && chain(length).at[0] + rules_.window >= rules_.as_of)
                return true;
        return false;
    }

    const funnel_rules &rules_;
    const event_span unit_;
    std::array<funnel_chain, most_steps + 1> chains_;     // of each length, the one that began last
    std::array<funnel_chain, most_steps + 1> candidates_; // those that end at the instant at hand
    funnel_chain best_;
    step_matching matching_;
    std::uint32_t first_of_step_[most_steps];
};

// The events of a window, for steps in any order.
class any_machine
{
public:
    any_machine(const funnel_rules &rules, const event_span &unit) : rules_(rules), unit_(unit) {}

    funnel_chain run(interrupt_poll &poll)
    {
        event_mask const relevant = rules_.relevant_mask();
        for (std::size_t first = 0; first < unit_.size;) {
            poll();
            event_group const g = group_at(unit_, first);
            first += g.size;
            if ((g.any & relevant) == 0)
                continue;
            take(g);
            drop_before(g.at - rules_.window);
            if (best_.level < rules_.steps && (g.any & rules_.step_mask()) != 0 && !window_.empty())
                look(g, poll);
            if (is_excluded(g))
                drop_before(g.at);
        }
        best_.in_progress = best_.level > 0 && best_.level < rules_.steps && is_open();
        return best_;
    }

private:
    using counts = std::unordered_map<event_mask, std::size_t>; // events by the steps they match

    event_mask steps_of(std::size_t i) const noexcept { return unit_[i].mask & rules_.step_mask(); }

    void take(const event_group &g)
    {
        if (g.at < rules_.from)
            return;
        for (std::size_t i = g.first; i < g.first + g.size; ++i)
            if (steps_of(i) != 0) {
                window_.push_back(i);
                ++counts_[steps_of(i)];
            }
    }
    void drop_before(std::int64_t at)
    {
        while (begin_ < window_.size() && unit_[window_[begin_]].at < at)
            leave(counts_, window_[begin_++]);
        if (begin_ > 1024 && begin_ * 2 > window_.size()) {
            window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(begin_));
            begin_ = 0;
        }
    }
    void leave(counts &from, std::size_t event) const
    {
        auto const known = from.find(steps_of(event));
        if (--known->second == 0)
            from.erase(known);
    }
    bool is_excluded(const event_group &g) const noexcept
    {
        return std::any_of(rules_.exclusions.begin(), rules_.exclusions.end(),
                           [&](const exclusion &x) { return (g.any >> x.selector & 1) != 0; });
    }
    int level_of(const counts &events)
    {
        event_mask any = 0;
        for (auto const &e : events)
            any |= e.first;
        int possible = 0;
        for (int step = 0; step < rules_.steps; ++step)
            possible += any >> step & 1;
        if (possible <= best_.level)
            return possible;
        matching_.clear();
        for (auto const &e : events)
            matching_.add_event(e.first, e.second);
        int level = 0;
        for (int step = 0; step < rules_.steps; ++step)
            level += matching_.add_step(step) ? 1 : 0;
        return level;
    }
    // Whether the window reaches a new level, and the latest possible first event of it.
    void look(const event_group &g, interrupt_poll &poll)
    {
        if (begin_ == window_.size() || unit_[window_[begin_]].at >= rules_.until)
            return;
        int const level = level_of(counts_);
        if (level <= best_.level)
            return;
        std::size_t first = begin_; // in window_
        counts rest = counts_;
        for (std::size_t next = begin_;;) {
            poll();
            std::int64_t const at = unit_[window_[next]].at;
            while (next < window_.size() && unit_[window_[next]].at == at)
                leave(rest, window_[next++]);
            if (next == window_.size() || unit_[window_[next]].at >= rules_.until || level_of(rest) < level)
                break;
            first = next;
        }
        best_.level = level;
        set_end(0, window_[first]);
        set_end(static_cast<std::size_t>(level) - 1,
                *std::find_if(window_.begin() + static_cast<std::ptrdiff_t>(begin_), window_.end(),
                              [&](std::size_t i) { return unit_[i].at == g.at; }));
    }
    void set_end(std::size_t end, std::size_t event) noexcept
    {
        best_.at[end] = unit_[event].at;
        best_.index[end] = static_cast<std::uint32_t>(event);
    }
    bool is_open() const noexcept
    {
        return std::any_of(
            window_.begin() + static_cast<std::ptrdiff_t>(begin_), window_.end(), [this](std::size_t i) {
                return unit_[i].at < rules_.until && unit_[i].at + rules_.window >= rules_.as_of;
            });
    }

    const funnel_rules &rules_;
    const event_span unit_;
    std::vector<std::size_t> window_; // events that match a step, from begin_ on
    std::size_t begin_ = 0;
    counts counts_; // of those in the window
    funnel_chain best_;
    step_matching matching_;
};

class attempt_machine
{
public:
    attempt_machine(const funnel_rules &rules, const event_span &unit, std::vector<funnel_chain> &out)
        : rules_(rules), unit_(unit), out_(out)
    {
    }

    void run(interrupt_poll &poll)
    {
        event_mask const relevant = rules_.relevant_mask();
        for (std::size_t first = 0; first < unit_.size;) {
            event_group const g = group_at(unit_, first);
            first += g.size;
            for (std::size_t i = 0; i < g.size; ++i)
                poll();
            if ((g.any & relevant) != 0 || rules_.order == step_order::strict)
                handle(g);
        }
        if (current_.level > 0)
            end(current_.at[0] + rules_.window >= rules_.as_of);
    }

private:
    void end(bool in_progress)
    {
        out_.push_back(current_);
        out_.back().in_progress = in_progress;
        current_.level = 0;
    }
    void handle(const event_group &g)
    {
        used_.assign(g.size, false);
        std::fill(std::begin(next_), std::end(next_), 0);
        if (current_.level > 0 && g.at - current_.at[0] > rules_.window)
            end(false);
        bool const moved = advance(g);
        if (current_.level > 0 && !moved && (use_excluded(g) || breaks_order(g)))
            end(false);
        while (current_.level == 0 && g.at >= rules_.from && g.at < rules_.until && do_step(g, 0)) {
            if (rules_.steps == 1)
                end(false);
            advance(g);
        }
    }
    // Does the step by the first event that is not used yet.
    bool do_step(const event_group &g, int step)
    {
        std::size_t &i = next_[step];
        while (i < g.size && (used_[i] || !unit_[g.first + i].matches(step)))
            ++i;
        if (i == g.size)
            return false;
        used_[i] = true;
        current_.append(g.at, static_cast<std::uint32_t>(g.first + i));
        return true;
    }
    bool advance(const event_group &g)
    {
        bool moved = false;
        while (current_.level > 0 && do_step(g, current_.level)) {
            moved = true;
            if (current_.level == rules_.steps)
                end(false);
        }
        return moved;
    }
    bool use_excluded(const event_group &g)
    {
        bool found = false;
        for (exclusion const &x : rules_.exclusions) {
            if (x.after > current_.level || current_.level >= x.before)
                continue;
            for (std::size_t i = 0; i < g.size; ++i)
                if (unit_[g.first + i].matches(x.selector))
                    found = used_[i] = true;
        }
        return found;
    }
    bool breaks_order(const event_group &g) const noexcept
    {
        return rules_.order == step_order::strict && (g.all >> (current_.level - 1) & 1) == 0;
    }

    const funnel_rules &rules_;
    const event_span unit_;
    std::vector<funnel_chain> &out_;
    funnel_chain current_; // the open attempt
    std::vector<bool> used_;
    std::size_t next_[most_steps]; // where the search for each step goes on
};

} // namespace

funnel_chain run_funnel(const funnel_rules &rules, const event_span &unit, interrupt_poll &poll)
{
    return rules.order == step_order::any ? any_machine(rules, unit).run(poll)
                                          : chain_machine(rules, unit).run(poll);
}

void run_attempts(const funnel_rules &rules, const event_span &unit, std::vector<funnel_chain> &out,
                  interrupt_poll &poll)
{
    attempt_machine(rules, unit, out).run(poll);
}

static std::size_t end_of(const funnel_chain &c) noexcept
{
    return static_cast<std::size_t>(c.level) - 1;
}

bool take_better(funnel_chain &into, const funnel_chain &other) noexcept
{
    bool const in_progress = into.in_progress || other.in_progress;
    bool const is_further = other.level > into.level;
    bool const wins = is_further || (other.level > 0 && other.level == into.level &&
                                     std::make_pair(other.at[end_of(other)], -other.at[0]) <
                                         std::make_pair(into.at[end_of(into)], -into.at[0]));
    if (wins)
        into = other;
    into.in_progress = in_progress;
    return wins;
}

} // namespace shadow::questions
