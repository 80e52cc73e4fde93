// Questions about events against answers that were worked out by hand or by enumeration
// (test/data/questions).

#include "questions_case.hpp"

#include <gtest/gtest.h>

#include <map>

using namespace questions_test;

namespace
{

const std::map<std::string, std::vector<std::string>> columns = {
    {"get_funnel",
     {"period_start", "breakdown_value", "step", "step_name", "entrants", "conversion_rate",
      "step_conversion_rate", "dropped", "in_progress", "median_seconds", "median_seconds_from_first"}},
    {"get_conversion_times", {"from_seconds", "to_seconds", "entrants", "cumulative_rate"}},
    {"get_trend",
     {"series", "period_start", "breakdown_value", "value", "previous_value", "change", "is_final"}}};

uuid user_id(std::int64_t n)
{
    return {0, static_cast<std::uint64_t>(n)};
}

void add_event(test_workspace &w, const json &e, std::size_t place_in_list)
{
    test_event event;
    auto const text = [&](const char *key) {
        return e.find(key) == nullptr ? std::string() : e.find(key)->text;
    };
    event.user = user_id(std::stoll(text("user")));
    event.at = parse_instant(text("at"));
    event.type = *find_event_type(text("event_type"));
    event.name = w.keep(text("event_name"));
    event.page_path = w.keep(text("page_path"));
    event.referrer = w.keep(text("referrer"));
    std::string const session = text("session_id");
    event.has_session = !session.empty();
    event.session = {1, std::hash<std::string>()(session)};
    std::string const id = text("id");
    event.id = {0, id.empty() ? place_in_list + 1 : std::stoull(id)};
    if (const json *const metadata = e.find("metadata"))
        event.values = *metadata;
    event.workspace = text("workspace") == "2" ? 2 : 1;
    w.add(event);
}

std::string rows_of(const table &answer, const std::vector<std::string> &all, const json &wanted)
{
    std::string out;
    for (std::size_t row = 0; row < answer.rows(); ++row) {
        for (json const &column : wanted.items) {
            auto const i = std::find(all.begin(), all.end(), column.text) - all.begin();
            out += cell_text(answer.at(row, static_cast<std::size_t>(i))) + " | ";
        }
        out += "\n";
    }
    return out;
}

std::string expected_rows(const json &rows)
{
    std::string out;
    for (json const &row : rows.items) {
        for (json const &value : row.items)
            out += expected_text(value) + " | ";
        out += "\n";
    }
    return out;
}

std::string answer_case(const json &vector, test_workspace &w)
{
    instant as_of;
    std::string zone;
    std::string const function = vector.find("function")->text;
    std::string const arguments = arguments_text(*vector.find("arguments"), as_of, zone);
    w.set_time_zone(zone);
    question_settings const settings = settings_at(as_of);
    if (function == "users_who") {
        std::string out;
        json const given = parse_json(arguments);
        for (std::uint32_t const n : users_who(to_text(*given.find("segment")), w, settings))
            out += std::to_string(n) + " ";
        return out;
    }
    return rows_of(answer(function, arguments, w, settings), columns.at(function), *vector.find("columns"));
}

std::string expected_case(const json &vector)
{
    const json &expected = *vector.find("expected");
    if (vector.find("function")->text != "users_who")
        return expected_rows(expected);
    std::string out;
    for (json const &n : expected.items)
        out += n.text + " ";
    return out;
}

} // namespace

TEST(Questions, AgreeWithTheVectors)
{
    int checked = 0;
    for (std::string const &text : split_cases(read_file("vectors.json").substr(1))) {
        json const vector = parse_json(text);
        std::string const function = vector.find("function")->text;
        if (function != "users_who" && columns.count(function) == 0)
            continue;
        test_workspace w;
        const json &events = *vector.find("events");
        for (std::size_t i = 0; i < events.items.size(); ++i)
            add_event(w, events.items[i], i);
        ++checked;
        SCOPED_TRACE(vector.find("name")->text + ": " + vector.find("rule")->text);
        try {
            EXPECT_EQ(answer_case(vector, w), expected_case(vector));
        } catch (const error &e) {
            ADD_FAILURE() << e.what() << ": " << e.detail();
        }
    }
    EXPECT_GE(checked, 114);
}

TEST(Questions, AgreeWithEnumeratedFunnels)
{
    int checked = 0;
    std::string const text = read_file("random_funnels.json");
    for (std::string const &one : split_cases(text.substr(text.find("\"cases\"")))) {
        json vector = parse_json(one);
        test_workspace w;
        std::uint64_t id = 0;
        for (json const &e : vector.find("events")->items) {
            test_event event;
            event.user = user_id(std::stoll(e.items[0].text));
            event.at = parse_instant("2025-03-03T10:00:00Z") + std::stoll(e.items[1].text) * 60 * second;
            event.type = event_type::custom;
            event.name = w.keep(e.items[2].text);
            event.has_session = false;
            event.id = {0, ++id};
            w.add(event);
        }
        vector.keys.emplace_back("function");
        vector.items.push_back(parse_json("\"get_funnel\""));
        ++checked;
        SCOPED_TRACE(one);
        EXPECT_EQ(answer_case(vector, w), expected_case(vector));
    }
    EXPECT_EQ(checked, 200);
}
