#pragma once
// A workspace in memory, for questions about events that are written down as JSON.

#include "core/questions/answer.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/daily_sets.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace questions_test
{

using namespace shadow;
using namespace shadow::questions;

inline std::string read_file(const std::string &name)
{
    std::ifstream in(std::string(TEST_DATA_DIR) + "/questions/" + name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

// The test data are longer than a definition may be: a list of cases, each parsed by itself.
inline std::vector<std::string> split_cases(const std::string &text)
{
    std::vector<std::string> cases;
    std::size_t begin = 0;
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = text.find('['); i < text.size(); ++i) {
        char const c = text[i];
        if (quoted) {
            if (c == '\\')
                ++i;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{') {
            if (depth++ == 0)
                begin = i;
        } else if (c == '}' && --depth == 0) {
            cases.push_back(text.substr(begin, i + 1 - begin));
        }
    }
    return cases;
}

constexpr std::int64_t epoch = 946684800; // 2000-01-01 in Unix time

inline instant parse_instant(const std::string &text)
{
    place const where("at");
    int hour = 0, minute = 0;
    double seconds = 0;
    std::sscanf(text.c_str() + 10, "T%d:%d:%lf", &hour, &minute, &seconds);
    return parse_date(text.substr(0, 10), where) * day_length + (hour * 60 + minute) * 60 * second +
           static_cast<instant>(seconds * 1e6 + 0.5);
}

class json_reader final : public json_host
{
public:
    static const json &tree(const json_value &v) { return *static_cast<const json *>(v.host); }
    bool to_scaled(const json_value &number, int scale, int128 &out) const noexcept override
    {
        scaled_number const n = parse_scaled(tree(number).text, scale);
        out = n.value;
        return n.valid;
    }
    bool is_whole(const json_value &number) const noexcept override
    {
        return parse_scaled(tree(number).text, 0).is_whole;
    }
    std::string_view to_text(const json_value &number, char *buffer,
                             std::size_t capacity) const noexcept override
    {
        std::size_t const n = std::min(tree(number).text.size(), capacity);
        std::copy_n(tree(number).text.data(), n, buffer);
        return {buffer, n};
    }
    void read_object(const json_value &object, metadata &out) const noexcept override
    {
        json const &tree = json_reader::tree(object);
        for (std::size_t i = 0; i < tree.items.size(); ++i)
            if (metadata_key const key = find_metadata_key(tree.keys[i]); key != metadata_key::none)
                out.set(key, value_of(tree.items[i]));
    }
    static json_value value_of(const json &v) { return {v.type, v.boolean, &v, v.text}; }
};

struct test_event final : event_source {
    json values; // of the metadata
    int workspace = 1;
    json_value find(std::string_view key) const noexcept override
    {
        const json *const v = values.find(key);
        return v == nullptr ? json_value{json_type::null, false, nullptr, {}} : json_reader::value_of(*v);
    }
    void read(metadata &out) const noexcept override
    {
        host().read_object(json_reader::value_of(values), out);
    }
    const json_host &host() const noexcept override
    {
        static const json_reader reader;
        return reader;
    }
    std::string text_of(const json_value &structure) const override
    {
        return to_text(json_reader::tree(structure));
    }
};

inline std::size_t clip_utf8(const char *text, std::size_t length, int characters)
{
    std::size_t i = 0;
    for (; i < length; ++i)
        if ((text[i] & 0xC0) != 0x80 && characters-- == 0)
            break;
    return i;
}

class test_workspace final : public question_host
{
public:
    void set_time_zone(const std::string &name)
    {
        setenv("TZ", name.c_str(), 1);
        tzset();
    }
    // Texts that events point to.
    const std::string &keep(const std::string &text)
    {
        texts_.push_back(std::make_unique<std::string>(text));
        return *texts_.back();
    }
    void add(test_event e) { events.push_back(std::move(e)); }

    void scan(const scan_request &request, event_sink &sink) override
    {
        for (test_event const &e : events)
            if (e.at >= request.from && e.at < request.until && e.workspace == 1 &&
                (request.types >> static_cast<int>(e.type) & 1) != 0)
                sink.add(e);
    }
    std::vector<instant> day_starts(date first, date last) override
    {
        std::vector<instant> starts;
        for (date d = first; d <= last; ++d) {
            time_t const noon = epoch + static_cast<time_t>(d) * 86400 + 43200;
            tm parts{};
            gmtime_r(&noon, &parts);
            parts.tm_hour = 0;
            parts.tm_isdst = -1;
            starts.push_back((static_cast<std::int64_t>(mktime(&parts)) - epoch) * second);
        }
        return starts;
    }
    std::vector<known_user> users() override
    {
        std::vector<known_user> result;
        for (test_event const &e : events) {
            if (e.workspace != 1)
                continue;
            auto const known = std::find_if(result.begin(), result.end(),
                                            [&](const known_user &u) { return u.id == e.user; });
            if (known == result.end())
                result.push_back({e.user, static_cast<std::uint32_t>(e.user.low), e.at});
            else
                known->first_seen = std::min(known->first_seen, e.at);
        }
        return result;
    }
    date first_event_day() override
    {
        instant first = INT64_MAX;
        for (test_event const &e : events)
            first = std::min(first, e.at);
        return first == INT64_MAX ? 0 : local_day(first);
    }
    date raw_events_since() override { return earliest_date; }
    date complete_since(date) override { return earliest_date; }
    date first_known_day() override { return first_event_day(); }
    std::vector<date> unstored_days(date first, date last) override
    {
        std::vector<date> days;
        for (date d = first; !is_stored && d <= last; ++d)
            days.push_back(d);
        return days;
    }
    void usage(const usage_request &request, usage_sink &sink) override
    {
        // Of each type of a day: events and users by name.
        using names = std::map<std::string, std::pair<std::int64_t, std::set<std::uint32_t>>>;
        std::map<std::pair<date, event_type>, names> all;
        for (test_event const &e : events) {
            date const day = local_day(e.at);
            if (e.workspace != 1 || day < request.first || day > request.last ||
                (request.types >> static_cast<int>(e.type) & 1) == 0)
                continue;
            auto &counts = all[{day, e.type}][std::string(e.name)];
            ++counts.first;
            counts.second.insert(static_cast<std::uint32_t>(e.user.low));
        }
        for (auto const &[where, by_name] : all)
            if (!request.is_crowded)
                tell(where.first, where.second, by_name, sink);
    }
    void active_users(date first, date last, usage_sink &sink) override
    {
        std::map<date, std::set<std::uint32_t>> all;
        for (test_event const &e : events)
            if (date const day = local_day(e.at); e.workspace == 1 && day >= first && day <= last)
                all[day].insert(static_cast<std::uint32_t>(e.user.low));
        for (auto const &[day, users] : all)
            tell(day, event_type::page_view,
                 std::map<std::string, std::pair<std::int64_t, std::set<std::uint32_t>>>{{"", {0, users}}},
                 sink);
    }
    std::uint32_t number_users(const user_list &users, std::vector<std::uint32_t> &numbers) override
    {
        for (std::uint32_t i = 0; i < users.size(); ++i)
            numbers[i] = static_cast<std::uint32_t>(users[i].low);
        return 1'000'000;
    }
    price_list prices() override { return {uuid{}, pack_currency("USD"), {}, {}, {}}; }
    bool saved_segment(std::string_view, stored_segment &) override { return false; }

    static date local_day(instant at)
    {
        time_t const t = epoch + (at >= 0 ? at / second : -((-at + second - 1) / second));
        tm parts{};
        localtime_r(&t, &parts);
        char text[16];
        strftime(text, sizeof text, "%Y-%m-%d", &parts);
        return parse_date(text, place("day"));
    }

    std::vector<test_event> events;
    bool is_stored = false; // the daily sets tell every day

private:
    template <typename Names>
    static void tell(date day, event_type type, const Names &names, usage_sink &sink)
    {
        std::vector<stored_name> rows;
        std::vector<std::vector<std::uint8_t>> sets;
        for (auto const &[name, counts] : names) {
            roaring::writer set(std::pmr::new_delete_resource());
            std::vector<std::uint32_t> const numbers(counts.second.begin(), counts.second.end());
            write_sorted_values(numbers.data(), numbers.size(), set);
            sets.emplace_back(stored_size(set));
            write_stored(set, sets.back().data());
            rows.push_back({name, counts.first, sets.back().data(), sets.back().size()});
        }
        sink.add(day, type, {rows.data(), rows.size()});
    }

    std::vector<std::unique_ptr<std::string>> texts_;
};

inline question_settings settings_at(instant as_of)
{
    return {as_of,
            test_workspace::local_day(as_of),
            30 * 60 * second,
            false,
            {90, 52, 24},
            std::size_t{1} << 30,
            true,
            1,
            nullptr,
            clip_utf8,
            nullptr,
            nullptr,
            0};
}

// The arguments without those that the host, not the question, is told.
inline std::string arguments_text(json arguments, instant &as_of, std::string &zone)
{
    as_of = parse_instant("2100-01-01T00:00:00Z");
    zone = "UTC";
    for (std::size_t i = 0; i < arguments.keys.size();) {
        bool const is_time = arguments.keys[i] == "as_of";
        if (!is_time && arguments.keys[i] != "time_zone") {
            ++i;
            continue;
        }
        if (is_time)
            as_of = parse_instant(arguments.items[i].text);
        else
            zone = arguments.items[i].text;
        arguments.keys.erase(arguments.keys.begin() + static_cast<std::ptrdiff_t>(i));
        arguments.items.erase(arguments.items.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return to_text(arguments);
}

// Numbers with at most 6 decimals and without trailing zeros.
inline std::string number_text(int128 value, int scale)
{
    char buffer[64];
    return std::string(format_scaled(value, scale, buffer));
}

inline std::string cell_text(const cell &c)
{
    switch (c.kind) {
    case cell_kind::null:
        return "null";
    case cell_kind::integer:
        return number_text(c.number, 0);
    case cell_kind::decimal:
    case cell_kind::trimmed:
        return number_text(c.number, c.scale);
    case cell_kind::boolean:
        return c.number != 0 ? "true" : "false";
    case cell_kind::date:
        return date_text(static_cast<date>(c.number));
    default:
        return c.text;
    }
}

// As an expected value is written.
inline std::string expected_text(const json &value)
{
    if (value.is_number())
        return number_text(parse_scaled(value.text, 6).value, 6);
    return value.is_string() ? value.text : to_text(value);
}

} // namespace questions_test
