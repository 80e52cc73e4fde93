// Questions about events against answers that were worked out by hand or by enumeration
// (test/data/questions).

#include "core/questions/experiment.hpp"

#include "case.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <malloc.h>
#include <map>

using namespace questions_test;

namespace
{

const std::map<std::string, std::vector<std::string>> columns = {
    {"get_funnel",
     {"period_start", "breakdown_value", "step", "step_name", "entrants", "conversion_rate",
      "step_conversion_rate", "dropped", "in_progress", "median_seconds", "median_seconds_from_first"}},
    {"get_conversion_times", {"from_seconds", "to_seconds", "entrants", "cumulative_rate"}},
    {"get_paths", {"step", "source", "target", "paths", "users", "median_seconds"}},
    {"get_pages",
     {"page_path", "views", "users", "sessions", "entries", "exits", "bounces", "exit_rate", "bounce_rate",
      "avg_seconds"}},
    {"get_event_retention",
     {"cohort_date", "breakdown_value", "initial_users", "period_number", "retained_users", "retention_rate",
      "unbounded_rate"}},
    {"get_stickiness", {"periods_active", "users", "users_at_least"}},
    {"get_event_lifecycle",
     {"period_start", "new_users", "returning_users", "resurrecting_users", "dormant_users", "is_final"}},
    {"get_attribution", {"value", "conversions", "users", "revenue"}},
    {"get_experiment",
     {"variant", "users", "conversions", "in_progress", "conversion_rate", "rate_low", "rate_high",
      "difference", "difference_low", "difference_high", "lift", "p_value", "probability_better",
      "sequential_p_value", "sequential_low", "sequential_high", "srm_p_value"}},
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
        test_workspace w;
        const json &events = *vector.find("events");
        for (std::size_t i = 0; i < events.items.size(); ++i)
            add_event(w, events.items[i], i);
        ++checked;
        SCOPED_TRACE(vector.find("name")->text + ": " + vector.find("rule")->text);
        // From raw events, and from daily sets what they tell.
        for (bool const is_stored : {false, true}) {
            w.is_stored = is_stored;
            try {
                EXPECT_EQ(answer_case(vector, w), expected_case(vector)) << is_stored;
            } catch (const error &e) {
                ADD_FAILURE() << e.what() << ": " << e.detail();
            }
        }
    }
    EXPECT_EQ(checked, 142);
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

TEST(Questions, CompareConversionsAsPublished)
{
    for (std::string const &text : split_cases(read_file("experiments.json"))) {
        json const c = parse_json(text);
        auto const number = [&](const char *key) { return std::stod(c.find(key)->text); };
        auto const count = [&](const char *key) { return std::stoll(c.find(key)->text); };
        comparison const got =
            compare_conversions(count("control_users"), count("control_conversions"), count("variant_users"),
                                count("variant_conversions"), 0.05);
        interval const control = score_interval(count("control_conversions"), count("control_users"));
        SCOPED_TRACE(text);
        EXPECT_NEAR(control.low, number("control_low"), 1e-6);
        EXPECT_NEAR(control.high, number("control_high"), 1e-6);
        auto const same = [&](const char *key, double value) {
            if (c.find(key)->is_null())
                EXPECT_TRUE(std::isnan(value)) << key;
            else
                EXPECT_NEAR(value, number(key), 1e-6) << key;
        };
        same("difference", got.difference);
        same("difference_low", got.difference_low);
        same("difference_high", got.difference_high);
        same("lift", got.lift);
        same("p_value", got.p_value);
        same("probability_better", got.probability_better);
        same("sequential_p_value", got.sequential_p_value);
        same("sequential_low", got.sequential_low);
        same("sequential_high", got.sequential_high);
    }
}

// A backend may answer for months.
TEST(Questions, LeaveNoMemory)
{
    test_workspace w;
    for (int i = 0; i < 3000; ++i) {
        std::string const text = std::to_string(i);
        add_event(
            w,
            parse_json("{\"user\": " + text +
                       ", \"at\": \"2025-06-02T10:00:00Z\", \"event_type\": \"click\", \"event_name\": \"n" +
                       text + "\"}"),
            static_cast<std::size_t>(i));
    }
    question_settings const settings = settings_at(parse_instant("2025-07-01T00:00:00Z"));
    auto const ask = [&] {
        answer(
            "get_funnel",
            "{\"steps\": [\"click\"], \"breakdown\": \"event_name\", \"count_by\": \"session\", \"segment\": "
            "{\"did\": \"click\", \"from\": \"2025-06-01\"}}",
            w, settings);
        return mallinfo2().uordblks;
    };
    ask();
    std::size_t const before = ask();
    EXPECT_LT(ask(), before + 1000);
}
