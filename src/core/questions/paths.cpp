#include "core/questions/paths.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/session_split.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

namespace shadow::questions
{

namespace
{

// visit(user, unit): each session, or all events of a user.
template <typename Visit>
void for_each_unit(question &asked, event_stream &stream, bool by_session, Visit visit)
{
    session_splitter sessions(asked.days, asked.settings.session_gap);
    for (std::uint32_t u = 0; u < stream.users(); ++u) {
        if (by_session)
            sessions.for_each(stream.events_of(u), stream, [&](const event_span &s) { visit(u, s); });
        else
            visit(u, stream.events_of(u));
    }
}

class paths
{
public:
    paths(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        arguments const given(definition, place(),
                              {"start_date", "end_date", "events", "node", "node_groups", "start_at",
                               "end_at", "max_steps", "max_nodes", "within", "segment", "filter"});
        const json *const events = given.find("events");
        question_.events.add_selector(events == nullptr ? text_json("page_view") : *events,
                                      given.at("events"));
        details_.slots.push_back(
            question_.events.add_property(given.text("node", "page_path"), given.at("node")));
        details_.grouped = given.patterns("node_groups");
        details_.ids = true;
        start_at_ = given.text("start_at", {});
        end_at_ = given.text("end_at", {});
        is_backward_ = start_at_.empty() && !end_at_.empty();
        most_steps_ = static_cast<std::size_t>(given.integer("max_steps", 5, 1, 50));
        most_nodes_ = static_cast<std::size_t>(given.integer("max_nodes", 20, 1, most_groups));
        by_session_ = given.choice("within", {"session", "user"}) == 0;
        details_.sessions = by_session_;
        question_.read_range(given, period::total);
        question_.require_raw_events(question_.range.first, question_.range.last);
        question_.read_common(given);
    }

    table answer()
    {
        event_stream stream = question_.scan(question_.range.from, question_.range.until, details_,
                                             by_session_ ? question::kept::all : question::kept::matching);
        start_ = find_value(stream, start_at_);
        end_ = find_value(stream, end_at_);
        for_each_unit(question_, stream, by_session_,
                      [&](std::uint32_t user, const event_span &unit) { take(user, unit, stream); });
        rank(stream);
        for (path const &p : paths_)
            count(p);
        return rows(stream);
    }

private:
    struct node {
        value_number value;
        std::int64_t at;
    };
    struct path {
        std::size_t first, size; // within nodes_
        std::uint32_t user;
        bool is_cut;
    };
    static constexpr value_number none = 0; // the path began or ended
    static constexpr value_number others = UINT32_MAX;

    struct edge {
        std::int64_t paths = 0, users = 0;
        std::uint32_t last_user = UINT32_MAX;
        std::vector<std::int64_t> lengths;
    };
    using edge_key = std::tuple<std::ptrdiff_t, value_number, value_number>;

    static value_number find_value(const event_stream &stream, const std::string &text)
    {
        if (text.empty())
            return none;
        for (value_number v = 1; v < stream.texts().size(); ++v)
            if (stream.texts().text(v) == text)
                return v;
        return others;
    }
    void take(std::uint32_t user, const event_span &unit, event_stream &stream)
    {
        std::vector<node> &all = unit_nodes_;
        all.clear();
        for (stream_event const &e : unit) {
            stream.poll()();
            value_number const v = e.matches(0) ? stream.value(e, 0) : 0;
            if (v != 0 && (all.empty() || all.back().value != v))
                all.push_back({v, e.at});
        }
        auto first = all.begin();
        auto last = all.end();
        auto const is = [](value_number v) { return [v](const node &n) { return n.value == v; }; };
        if (!start_at_.empty() && (first = std::find_if(first, last, is(start_))) == last)
            return;
        if (!end_at_.empty()) {
            auto const end = std::find_if(first, last, is(end_));
            if (end == last)
                return;
            last = end + 1;
        }
        auto const size = static_cast<std::size_t>(last - first);
        if (size == 0)
            return;
        std::size_t const kept = std::min(size, most_steps_);
        if (is_backward_)
            first = last - static_cast<std::ptrdiff_t>(kept);
        paths_.push_back({nodes_.size(), kept, user, size > kept});
        nodes_.insert(nodes_.end(), first, first + static_cast<std::ptrdiff_t>(kept));
    }
    std::ptrdiff_t position(const path &p, std::size_t i) const noexcept
    {
        return static_cast<std::ptrdiff_t>(i) + 1 - (is_backward_ ? static_cast<std::ptrdiff_t>(p.size) : 0);
    }
    // The most frequent nodes of each position are shown.
    void rank(const event_stream &stream)
    {
        std::map<std::ptrdiff_t, std::map<value_number, std::int64_t>> counts;
        for (path const &p : paths_)
            for (std::size_t i = 0; i < p.size; ++i)
                ++counts[position(p, i)][nodes_[p.first + i].value];
        for (auto const &c : counts) {
            std::vector<std::pair<value_number, std::int64_t>> order(c.second.begin(), c.second.end());
            std::sort(order.begin(), order.end(), [&](auto const &a, auto const &b) {
                return a.second != b.second ? a.second > b.second
                                            : stream.texts().text(a.first) < stream.texts().text(b.first);
            });
            order.resize(std::min(order.size(), most_nodes_));
            for (auto const &shown : order)
                shown_.emplace(c.first, shown.first);
        }
    }
    value_number shown(const path &p, std::size_t i) const
    {
        value_number const v = nodes_[p.first + i].value;
        return shown_.count({position(p, i), v}) > 0 ? v : others;
    }
    void add_edge(std::ptrdiff_t step, value_number source, value_number target, const path &p,
                  std::int64_t length)
    {
        edge &e = edges_[{step, source, target}];
        ++e.paths;
        e.users += e.last_user != p.user ? 1 : 0; // paths come by user
        e.last_user = p.user;
        if (length >= 0)
            e.lengths.push_back(length);
    }
    void count(const path &p)
    {
        if (is_backward_ && !p.is_cut)
            add_edge(position(p, 0) - 1, none, shown(p, 0), p, -1);
        for (std::size_t i = 0; i + 1 < p.size; ++i)
            add_edge(position(p, i), shown(p, i), shown(p, i + 1), p,
                     nodes_[p.first + i + 1].at - nodes_[p.first + i].at);
        if (!is_backward_ && !p.is_cut)
            add_edge(position(p, p.size - 1), shown(p, p.size - 1), none, p, -1);
    }
    table rows(const event_stream &stream)
    {
        auto const text = [&](value_number v) {
            return v == others ? std::string(other_group)
                   : v == none ? std::string()
                               : stream.texts().text(v);
        };
        std::vector<std::pair<const edge_key, edge> *> order;
        for (auto &e : edges_)
            order.push_back(&e);
        std::sort(order.begin(), order.end(), [&](auto const *a, auto const *b) {
            auto const key = [&](auto const *e) {
                auto const [step, source, target] = e->first;
                return std::make_tuple(step, -e->second.paths, source == none, text(source), target == none,
                                       text(target));
            };
            return key(a) < key(b);
        });
        table out(6);
        for (auto *const e : order) {
            auto const [step, source, target] = e->first;
            out << cell::integer(step) << text_cell(text(source)) << text_cell(text(target))
                << cell::integer(e->second.paths) << cell::integer(e->second.users)
                << median_seconds(e->second.lengths);
        }
        return out;
    }

    question question_;
    stream_details details_;
    std::string start_at_, end_at_;
    value_number start_ = none, end_ = none;
    bool is_backward_ = false, by_session_ = true;
    std::size_t most_steps_ = 5, most_nodes_ = 20;
    std::vector<node> unit_nodes_, nodes_;
    std::vector<path> paths_;
    std::map<edge_key, edge> edges_;
    std::set<std::pair<std::ptrdiff_t, value_number>> shown_; // position and node
};

struct page {
    std::int64_t views = 0, users = 0, sessions = 0, entries = 0, exits = 0, bounces = 0;
    std::uint32_t last_user = 0, last_session = 0;
    int128 seconds = 0; // microseconds to the next event, summed
    std::int64_t timed = 0;
};

class pages
{
public:
    pages(question_host &host, const question_settings &settings) : question_(host, settings) {}

    void read(const json &definition)
    {
        arguments const given(definition, place(),
                              {"start_date", "end_date", "page_groups", "segment", "filter"});
        place const where;
        question_.events.add_selector(text_json("page_view"), where);
        details_.slots.push_back(question_.events.add_property("page_path", where));
        details_.slots.push_back(question_.events.add_property("event_type", where));
        details_.grouped = given.patterns("page_groups");
        details_.ids = details_.sessions = true;
        question_.read_range(given, period::total);
        question_.require_raw_events(question_.range.first, question_.range.last);
        question_.read_common(given);
    }

    table answer()
    {
        event_stream stream =
            question_.scan(question_.range.from, question_.range.until, details_, question::kept::all);
        pages_.resize(stream.texts().size());
        for_each_unit(question_, stream, true,
                      [&](std::uint32_t user, const event_span &s) { take(user, s, stream); });
        std::vector<value_number> order;
        for (value_number v = 1; v < pages_.size(); ++v)
            if (pages_[v].views > 0)
                order.push_back(v);
        std::sort(order.begin(), order.end(), [&](value_number a, value_number b) {
            return pages_[a].views != pages_[b].views ? pages_[a].views > pages_[b].views
                                                      : stream.texts().text(a) < stream.texts().text(b);
        });
        table out(10);
        for (value_number const v : order)
            add_row(out, stream.texts().text(v), pages_[v]);
        return out;
    }

private:
    void take(std::uint32_t user, const event_span &session, event_stream &stream)
    {
        ++session_;
        const stream_event *entry = nullptr, *exit = nullptr;
        for (std::size_t i = 0; i < session.size; ++i) {
            stream.poll()();
            stream_event const &e = session[i];
            value_number const v = e.matches(0) ? stream.value(e, 0) : 0;
            if (v == 0)
                continue;
            entry = entry == nullptr ? &e : entry;
            exit = &e;
            page &p = pages_[v];
            ++p.views;
            p.users += p.last_user != user + 1 ? 1 : 0;
            p.last_user = user + 1;
            p.sessions += p.last_session != session_ ? 1 : 0;
            p.last_session = session_;
            if (i + 1 < session.size) {
                p.seconds += session[i + 1].at - e.at;
                ++p.timed;
            }
        }
        if (entry == nullptr)
            return;
        ++pages_[stream.value(*entry, 0)].entries;
        ++pages_[stream.value(*exit, 0)].exits;
        pages_[stream.value(*entry, 0)].bounces += bounced(session, stream) ? 1 : 0;
    }
    // doc/metrics.md, "Sessions": by all events of the session, whatever the filter leaves.
    bool bounced(const event_span &session, const event_stream &stream) const
    {
        std::int64_t page_views = 0, key_events = 0, counted = 0;
        for (stream_event const &e : session) {
            auto const type = find_event_type(stream.texts().text(stream.value(e, 1)));
            page_views += type == event_type::page_view ? 1 : 0;
            counted += type != event_type::session_start && type != event_type::session_end ? 1 : 0;
            key_events += type == event_type::agent_run || type == event_type::export_ ||
                                  type == event_type::report_view || type == event_type::feature_use
                              ? 1
                              : 0;
        }
        if (!question_.settings.engaged_bounce)
            return counted <= 1;
        return session[session.size - 1].at - session[0].at <= 10 * second && key_events == 0 &&
               page_views < 2;
    }
    static void add_row(table &out, const std::string &path, const page &p)
    {
        cell const seconds =
            p.timed == 0 ? cell{} : cell::decimal(divide_rounded(p.seconds, int128{p.timed} * 10'000), 2);
        out << cell::of_text(path) << cell::integer(p.views) << cell::integer(p.users)
            << cell::integer(p.sessions) << cell::integer(p.entries) << cell::integer(p.exits)
            << cell::integer(p.bounces) << percent_cell(p.exits, p.views)
            << percent_cell(p.bounces, p.entries) << seconds;
    }

    question question_;
    stream_details details_;
    std::vector<page> pages_; // by value
    std::uint32_t session_ = 0;
};

} // namespace

table answer_paths(question_host &host, const question_settings &settings, const json &definition)
{
    paths p(host, settings);
    p.read(definition);
    return p.answer();
}

table answer_pages(question_host &host, const question_settings &settings, const json &definition)
{
    pages p(host, settings);
    p.read(definition);
    return p.answer();
}

} // namespace shadow::questions
