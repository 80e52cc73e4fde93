#include "core/questions/segment.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/daily_sets.hpp"
#include "core/questions/funnel_question.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

constexpr int longest_window = 36'500; // days

} // namespace

segment_evaluator::segment_evaluator(question_host &host, const question_settings &settings)
    : host_(host), settings_(settings), question_(host, settings), users_(host.users()), all_(users_)
{
}

bool segment_evaluator::count_test::holds(std::int64_t n) const noexcept
{
    return n >= lowest && n <= highest && std::find(but.begin(), but.end(), n) == but.end();
}

user_choice segment_evaluator::evaluate(const json &definition, const place &where)
{
    node const root = parse(definition, where, 1);
    for (leaf &l : leaves_)
        l.users.assign(users_.size(), false);
    read_plain_leaves();
    scan_leaves();
    all_.chosen = combine(root);
    return std::move(all_);
}

segment_evaluator::node segment_evaluator::parse(const json &definition, const place &where, int depth)
{
    static constexpr char forms[] = "Write {\"did\": \"page_view\", \"times\": 3}, {\"first_did\": ..}, "
                                    "{\"first_seen\": {..}}, {\"funnel\": {..}, "
                                    "\"step\": 2, \"outcome\": \"dropped\"}, {\"all\": [..]}, {\"any\": "
                                    "[..]}, {\"not\": {..}}, {\"segment\": "
                                    "\"name\"} or {\"users\": \"{1,2,5-9}\"}.";
    if (depth > deepest_segment)
        where.refuse("the segment is nested too deeply",
                     "At most " + std::to_string(deepest_segment) + " levels are read.");
    if (++nodes_ > most_segments)
        where.refuse("too many segments in one question", "At most " + std::to_string(most_segments) +
                                                              " are combined, saved ones as often as named.");
    if (!definition.is_object())
        where.refuse("a segment is expected here", forms);
    if (definition.find("all") != nullptr)
        return parse_list(node_kind::all, definition, where, depth);
    if (definition.find("any") != nullptr)
        return parse_list(node_kind::any, definition, where, depth);
    if (definition.find("not") != nullptr)
        return parse_list(node_kind::negation, definition, where, depth);
    if (definition.find("segment") != nullptr)
        return parse_saved(definition, where, depth);
    if (definition.find("did") != nullptr || definition.find("first_did") != nullptr)
        return parse_did(definition, where);
    if (definition.find("first_seen") != nullptr)
        return parse_first_seen(definition, where);
    if (definition.find("funnel") != nullptr)
        return parse_funnel(definition, where);
    if (definition.find("users") != nullptr)
        return parse_users(definition, where);
    where.refuse("unknown form of a segment", forms);
}

segment_evaluator::node segment_evaluator::parse_list(node_kind kind, const json &definition,
                                                      const place &where, int depth)
{
    std::string_view const name = kind == node_kind::all ? "all" : kind == node_kind::any ? "any" : "not";
    arguments const given(definition, where, {name});
    node result{kind, {}, 0, {}};
    place const at = given.at(name);
    const json &inner = given.require(name);
    if (kind == node_kind::negation) {
        result.inner.push_back(parse(inner, at, depth + 1));
        return result;
    }
    if (!inner.is_array() || inner.items.empty())
        at.refuse("a list of segments is expected here", "Write {\"all\": [{..}, {..}]}.");
    for (std::size_t i = 0; i < inner.items.size(); ++i)
        result.inner.push_back(parse(inner.items[i], place(at, i), depth + 1));
    return result;
}

segment_evaluator::node segment_evaluator::parse_saved(const json &definition, const place &where, int depth)
{
    arguments const given(definition, where, {"segment"});
    std::string const name(given.text("segment", {}));
    place const at = given.at("segment");
    stored_segment saved;
    if (!host_.saved_segment(name, saved))
        at.refuse("there is no segment \"" + place::shown(name) + "\"",
                  "The table analytics.segments has them.");
    if (std::find(saved_names_.begin(), saved_names_.end(), name) != saved_names_.end())
        at.refuse("the segment \"" + place::shown(name) + "\" contains itself", "Break the circle of names.");
    if (saved.definition.empty()) {
        user_set_view const set = user_set_view::stored(saved.users.data(), saved.users.size());
        return {node_kind::users, {}, 0, are_in(users_, set)};
    }
    saved_names_.push_back(name);
    node result = parse(parse_json(saved.definition), place(at, name, true), depth + 1);
    saved_names_.pop_back();
    return result;
}

segment_evaluator::node segment_evaluator::parse_did(const json &definition, const place &where)
{
    bool const is_first = definition.find("first_did") != nullptr;
    std::string_view const name = is_first ? "first_did" : "did";
    arguments const given =
        is_first ? arguments(definition, where, {name, "within_days", "from", "to"})
                 : arguments(definition, where, {name, "times", "on_days", "within_days", "from", "to"});
    leaf l{};
    l.is_first = is_first;
    l.days = parse_window(given);
    if (!is_first) {
        l.times = parse_count(given, "times");
        l.on_days = parse_count(given, "on_days");
    }
    l.selector = question_.events.add_selector(given.require(name), given.at(name));
    l.is_plain = question_.events.is_plain(l.selector) && l.times.is_trivial();
    if (!l.is_plain && (l.days.has_first() || !is_first))
        question_.require_raw_events(l.days.first, l.days.last);
    l.from = l.days.has_first() ? question_.start_of(l.days.first) : INT64_MIN;
    l.until = l.days.last < latest_date ? question_.start_of(l.days.last + 1) : INT64_MAX;
    leaves_.push_back(std::move(l));
    return {node_kind::leaf, {}, leaves_.size() - 1, {}};
}

segment_evaluator::node segment_evaluator::parse_first_seen(const json &definition, const place &where)
{
    arguments const outer(definition, where, {"first_seen"});
    place const at = outer.at("first_seen");
    arguments const given(outer.require("first_seen"), at, {"within_days", "from", "to"});
    window const days = parse_window(given);
    instant const from = days.has_first() ? question_.start_of(days.first) : INT64_MIN;
    instant const until = days.last < latest_date ? question_.start_of(days.last + 1) : INT64_MAX;
    node result{node_kind::users, {}, 0, std::vector<bool>(users_.size())};
    for (std::size_t i = 0; i < users_.size(); ++i) {
        instant const seen = users_[i].first_seen;
        result.users[i] = seen >= from && seen < until && seen <= settings_.as_of;
    }
    return result;
}

segment_evaluator::node segment_evaluator::parse_funnel(const json &definition, const place &where)
{
    arguments const given(definition, where, {"funnel", "step", "outcome"});
    question_settings inner = settings_;
    inner.users = nullptr;
    place const at = given.at("funnel");
    funnel_question asked(host_, inner);
    asked.read(given.require("funnel"), at);
    int const step = given.integer("step", asked.steps(), 1, asked.steps());
    int const outcome = given.choice("outcome", {"reached", "dropped", "in_progress"});
    node result{node_kind::users, {}, 0, std::vector<bool>(users_.size())};
    asked.for_each_result([&](const funnel_result &r) {
        std::uint32_t const user = all_.find(r.user);
        int const level = r.chain.level;
        bool const stopped = level == step && level < asked.steps();
        if (user != npos && (outcome == 0   ? level >= step
                             : outcome == 1 ? stopped && !r.chain.in_progress
                                            : stopped && r.chain.in_progress))
            result.users[user] = true;
    });
    return result;
}

segment_evaluator::node segment_evaluator::parse_users(const json &definition, const place &where)
{
    arguments const given(definition, where, {"users"});
    if (!settings_.may_read_persons)
        throw error(
            errc::not_allowed, "users of raw events may only be named by those who may read these events",
            "At " + given.at("users").text() + ".", "Say who is meant by what they did, or by a funnel.");
    roaring::writer set(std::pmr::new_delete_resource());
    parse_user_set(given.text("users", {}), set, settings_.interrupted);
    return {node_kind::users, {}, 0, are_in(users_, owned_set(set).view())};
}

segment_evaluator::window segment_evaluator::parse_window(const arguments &given)
{
    bool const is_span = given.find("from") != nullptr || given.find("to") != nullptr;
    if (is_span && given.find("within_days") != nullptr)
        given.at("within_days")
            .refuse("a window has either within_days or from and to", "Leave one of them out.");
    window result;
    if (is_span) {
        result.first = given.day("from", earliest_date);
        result.last = given.day("to", latest_date);
        return result;
    }
    result.first = settings_.today - given.integer("within_days", 30, 1, longest_window);
    result.last = settings_.today - 1;
    return result;
}

segment_evaluator::count_test segment_evaluator::parse_count(const arguments &given, std::string_view name)
{
    count_test result;
    const json *const count = given.find(name);
    if (count == nullptr)
        return result;
    place const at = given.at(name);
    auto const read = [](const json &value, const place &where) {
        scaled_number const n = value.is_number() ? parse_scaled(value.text, 0) : scaled_number{};
        if (!n.valid || !n.is_whole || n.value < 0 || n.value > INT32_MAX)
            where.refuse("a count is expected here",
                         "Write 3 for at least 3, {\"eq\": 1} or {\"gte\": 2, \"lt\": 5}.");
        return static_cast<std::int64_t>(n.value);
    };
    if (!count->is_object()) {
        result.lowest = std::max<std::int64_t>(read(*count, at), 1);
        return result;
    }
    for (std::size_t i = 0; i < count->items.size(); ++i) {
        place const inner(at, count->keys[i]);
        narrow(result, count->keys[i], read(count->items[i], inner), inner);
    }
    return result;
}

void segment_evaluator::narrow(count_test &test, std::string_view op, std::int64_t n, const place &where)
{
    if (op == "eq" || op == "gte")
        test.lowest = std::max(test.lowest, n);
    if (op == "gt")
        test.lowest = std::max(test.lowest, n + 1);
    if (op == "eq" || op == "lte")
        test.highest = std::min(test.highest, n);
    if (op == "lt")
        test.highest = std::min(test.highest, n - 1);
    if (op == "ne")
        test.but.push_back(n);
    if (op != "eq" && op != "ne" && op != "gt" && op != "gte" && op != "lt" && op != "lte")
        where.refuse("unknown comparison of a count", "The comparisons are eq, ne, lt, lte, gt and gte.");
}

// Users of a leaf as sets tell them.
struct segment_evaluator::plain_users {
    explicit plain_users(std::pmr::memory_resource &memory)
        : before(&memory), within(&memory), on_days(&memory)
    {
    }
    struct day_count {
        std::int32_t days = 0;
        date last = earliest_date;
    };
    user_set_builder before, within;     // the window
    std::pmr::vector<day_count> on_days; // by number, where days are counted
};

void segment_evaluator::read_plain_leaves()
{
    usage_details details;
    details.selectors = 0;
    date first = latest_date, last = earliest_date;
    for (leaf const &l : leaves_)
        if (l.is_plain) {
            details.selectors |= event_mask{1} << l.selector;
            first =
                std::min(first, l.is_first || !l.days.has_first() ? host_.first_known_day() : l.days.first);
            last = std::max(last, l.days.last);
        }
    if (details.selectors == 0)
        return;
    limited_memory memory(settings_.most_bytes);
    std::vector<std::unique_ptr<plain_users>> sets;
    for (std::size_t i = 0; i < leaves_.size(); ++i)
        sets.push_back(std::make_unique<plain_users>(memory));
    read_daily_sets(question_, first, last, details, [&](const day_usage &u) {
        for (std::size_t i = 0; i < leaves_.size(); ++i)
            if (leaves_[i].is_plain && (u.mask >> leaves_[i].selector & 1) != 0)
                add_day(*sets[i], leaves_[i], u);
    });
    for (std::size_t i = 0; i < leaves_.size(); ++i)
        if (leaves_[i].is_plain)
            judge(leaves_[i], *sets[i]);
}

void segment_evaluator::scan_leaves()
{
    instant from = INT64_MAX, until = INT64_MIN;
    for (leaf const &l : leaves_)
        if (!l.is_plain) {
            from = std::min(from, l.is_first ? INT64_MIN : l.from);
            until = std::max(until, l.until);
        }
    if (from >= until)
        return;
    load_days_of_leaves();
    question_.scan_in_passes(from, until, {}, question::kept::matching, [this](event_stream &stream) {
        for (leaf &l : leaves_)
            if (!l.is_plain)
                judge(l, stream);
    });
}

// For counts of days.
void segment_evaluator::load_days_of_leaves()
{
    date first = latest_date, last = earliest_date;
    for (leaf const &l : leaves_) {
        if (l.is_plain || l.on_days.is_trivial())
            continue;
        first = std::min(first, l.days.first);
        last = std::max(last, l.days.last);
    }
    first = std::max(first, std::min(host_.first_event_day(), settings_.today));
    last = std::min(last, settings_.today);
    if (first <= last)
        question_.load_days(first, last);
}

void segment_evaluator::add_day(plain_users &sets, const leaf &l, const day_usage &u) const
{
    if (u.day > l.days.last)
        return;
    if (u.day < l.days.first) {
        if (l.is_first)
            sets.before.add(u.users, settings_.interrupted);
        return;
    }
    if (l.on_days.is_trivial()) {
        sets.within.add(u.users, settings_.interrupted);
        return;
    }
    if (!u.users.empty() && u.users.max() >= sets.on_days.size())
        sets.on_days.resize(std::size_t{u.users.max()} + 1);
    u.users.for_each(
        [&](std::uint32_t user) {
            plain_users::day_count &count = sets.on_days[user];
            count.days += count.last == u.day ? 0 : 1;
            count.last = u.day;
        },
        settings_.interrupted);
}

void segment_evaluator::judge(leaf &l, plain_users &sets) const
{
    roaring::writer within(std::pmr::new_delete_resource()), before(std::pmr::new_delete_resource());
    sets.within.write(within, settings_.interrupted);
    sets.before.write(before, settings_.interrupted);
    owned_set const inside(within), earlier(before);
    user_set_view const in_window = inside.view(), in_past = earlier.view();
    for (std::size_t i = 0; i < users_.size(); ++i) {
        std::uint32_t const user = users_[i].number;
        if (l.on_days.is_trivial())
            l.users[i] = in_window.contains(user) && !in_past.contains(user);
        else if (user < sets.on_days.size() && sets.on_days[user].days > 0)
            l.users[i] = l.on_days.holds(sets.on_days[user].days);
    }
}

void segment_evaluator::judge(leaf &l, const event_stream &stream)
{
    interrupt_poll poll(settings_.interrupted);
    for (std::uint32_t u = 0; u < stream.users(); ++u) {
        poll();
        std::uint32_t const user = all_.find(stream.user(u));
        if (user != npos)
            l.users[user] = did(l, stream.events_of(u));
    }
}

bool segment_evaluator::did(const leaf &l, const event_span &events) const
{
    std::int64_t times = 0, on_days = 0;
    instant day_end = INT64_MIN;
    bool const counts_days = !l.on_days.is_trivial();
    for (stream_event const &e : events) {
        if (!e.matches(l.selector))
            continue;
        if (l.is_first)
            return e.at >= l.from && e.at < l.until;
        if (e.at < l.from || e.at >= l.until)
            continue;
        ++times;
        if (counts_days && e.at >= day_end) {
            ++on_days;
            date const day = question_.days.day_of(e.at);
            day_end = question_.days.has(day) && day <= question_.days.last()
                          ? question_.days.start_of(day + 1)
                          : INT64_MAX;
        }
    }
    return times > 0 && l.times.holds(times) && (!counts_days || l.on_days.holds(on_days));
}

std::vector<bool> segment_evaluator::combine(const node &n) const
{
    if (n.kind == node_kind::users)
        return n.users;
    if (n.kind == node_kind::leaf)
        return leaves_[n.leaf].users;
    std::vector<bool> result = combine(n.inner.front());
    if (n.kind == node_kind::negation) {
        for (std::size_t i = 0; i < result.size(); ++i)
            result[i] = !result[i] && users_[i].first_seen <= settings_.as_of;
        return result;
    }
    for (std::size_t k = 1; k < n.inner.size(); ++k) {
        std::vector<bool> const next = combine(n.inner[k]);
        for (std::size_t i = 0; i < result.size(); ++i)
            result[i] = n.kind == node_kind::all ? result[i] && next[i] : result[i] || next[i];
    }
    return result;
}

user_choice evaluate_segment(const json &definition, const place &where, question_host &host,
                             const question_settings &settings)
{
    return segment_evaluator(host, settings).evaluate(definition, where);
}

} // namespace shadow::questions
