#include "core/questions/answer.hpp"

#include "core/questions/attribution.hpp"
#include "core/questions/experiment.hpp"
#include "core/questions/funnel_question.hpp"
#include "core/questions/paths.hpp"
#include "core/questions/retention.hpp"
#include "core/questions/segment.hpp"
#include "core/questions/trend.hpp"

#include <algorithm>

namespace shadow::questions
{

static table answer_funnel(question_host &host, const question_settings &settings, const json &definition)
{
    funnel_question asked(host, settings);
    asked.read(definition, place("arguments"));
    return asked.rows();
}

static table answer_conversion_times(question_host &host, const question_settings &settings,
                                     const json &definition)
{
    funnel_question asked(host, settings);
    asked.read(definition, place("arguments"), true);
    return asked.time_rows();
}

table answer(std::string_view function, std::string_view arguments, question_host &host,
             const question_settings &settings)
{
    struct reader {
        std::string_view name;
        table (*answer)(question_host &, const question_settings &, const json &);
    };
    static constexpr reader readers[] = {{"get_trend", answer_trend},
                                         {"get_funnel", answer_funnel},
                                         {"get_conversion_times", answer_conversion_times},
                                         {"get_paths", answer_paths},
                                         {"get_pages", answer_pages},
                                         {"get_event_retention", answer_event_retention},
                                         {"get_stickiness", answer_stickiness},
                                         {"get_event_lifecycle", answer_event_lifecycle},
                                         {"get_attribution", answer_attribution},
                                         {"get_experiment", answer_experiment}};
    json const definition = parse_json(arguments);
    for (reader const &r : readers)
        if (r.name == function)
            return r.answer(host, settings, definition);
    throw error(errc::invalid_argument, "unknown question");
}

std::vector<std::uint32_t> users_who(std::string_view segment, question_host &host,
                                     const question_settings &settings)
{
    json const definition = parse_json(segment);
    segment_evaluator evaluator(host, settings);
    user_choice const choice = evaluator.evaluate(definition, place("segment"));
    std::vector<std::uint32_t> numbers;
    for (std::size_t i = 0; i < choice.chosen.size(); ++i)
        if (choice.chosen[i])
            numbers.push_back(evaluator.users()[i].number);
    std::sort(numbers.begin(), numbers.end());
    return numbers;
}

} // namespace shadow::questions
