// libFuzzer target: any bytes as the arguments of every reader and as a segment. A definition is compiled or
// refused with an error of core; nothing else may happen.

#include "core/questions/answer.hpp"

#include <algorithm>

namespace
{

using namespace shadow;
using namespace shadow::questions;

// A workspace without events and with two users.
class empty_workspace final : public question_host
{
public:
    void scan(const scan_request &, event_sink &) override {}
    std::vector<instant> day_starts(date first, date last) override
    {
        std::vector<instant> starts;
        for (date d = first; d <= last; ++d)
            starts.push_back(d * day_length);
        return starts;
    }
    std::vector<known_user> users() override { return {{{0, 1}, 1, 0}, {{0, 2}, 2, 0}}; }
    date first_event_day() override { return 9000; }
    date raw_events_since() override { return earliest_date; }
    date complete_since(date) override { return earliest_date; }
    price_list prices() override { return {uuid{}, 0, {}, {}, {}}; }
    date first_known_day() override { return 9000; }
    std::vector<date> unstored_days(date, date) override { return {9300}; }
    void usage(const usage_request &, usage_sink &sink) override
    {
        stored_name const names[] = {{"a", 1, nullptr, 0}, {other_names, 1, nullptr, 0}};
        sink.add(9200, event_type::click, {names, 2});
    }
    void active_users(date, date, usage_sink &) override {}
    std::uint32_t number_users(const user_list &, std::vector<std::uint32_t> &) override { return 2; }
    // One segment names another, one itself.
    bool saved_segment(std::string_view name, stored_segment &out) override
    {
        out.definition = name == "a" ? R"({"segment": "b"})" : R"({"any": [{"did": "*"}, {"segment": "b"}]})";
        return name.size() == 1;
    }
};

std::size_t clip_bytes(const char *, std::size_t length, int characters)
{
    return std::min(length, static_cast<std::size_t>(characters));
}

constexpr std::string_view readers[] = {"get_trend",      "get_funnel",          "get_conversion_times",
                                        "get_paths",      "get_pages",           "get_event_retention",
                                        "get_stickiness", "get_event_lifecycle", "get_attribution",
                                        "get_experiment", "get_run_metrics",     "get_run_tree"};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    std::string_view const text(reinterpret_cast<const char *>(data), size);
    question_settings const settings{9400 * day_length,
                                     9400,
                                     1'800 * second,
                                     false,
                                     {90, 52, 24},
                                     std::size_t{1} << 24,
                                     true,
                                     1,
                                     nullptr,
                                     clip_bytes,
                                     nullptr,
                                     nullptr,
                                     0};
    empty_workspace host;
    for (std::string_view const reader : readers)
        try {
            answer(reader, text, host, settings);
        } catch (const error &) {
        }
    try {
        users_who(text, host, settings);
    } catch (const error &) {
    }
    return 0;
}
