#include "core/questions/answer.hpp"

#include "core/questions/attribution.hpp"
#include "core/questions/experiment.hpp"
#include "core/questions/funnel_question.hpp"
#include "core/questions/paths.hpp"
#include "core/questions/retention.hpp"
#include "core/questions/run_metrics.hpp"
#include "core/questions/segment.hpp"
#include "core/questions/trend.hpp"

#include <algorithm>

namespace shadow::questions
{

static table answer_funnel(question_host &host, const question_settings &settings, const json &definition)
{
    funnel_question asked(host, settings);
    asked.read(definition, place());
    return asked.rows();
}

static table answer_conversion_times(question_host &host, const question_settings &settings,
                                     const json &definition)
{
    funnel_question asked(host, settings);
    asked.read(definition, place(), true);
    return asked.time_rows();
}

static table answer_raw_events_since(question_host &host, const question_settings &, const json &)
{
    date const since = host.raw_events_since();
    table out(1);
    out << cell::of_date(since == earliest_date ? INT32_MIN : since); // -infinity, as the host writes it
    return out;
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
                                         {"get_experiment", answer_experiment},
                                         {"get_run_metrics", answer_run_metrics},
                                         {"get_run_tree", answer_run_tree},
                                         {"raw_events_since", answer_raw_events_since}};
    json const definition = parse_json(arguments);
    question_settings whole = settings;
    whole.segment = evaluate_segment;
    for (reader const &r : readers)
        if (r.name == function)
            return r.answer(host, whole, definition);
    throw error(errc::invalid_argument, "unknown question");
}

std::vector<std::uint32_t> users_who(std::string_view segment, question_host &host,
                                     const question_settings &settings)
{
    json const definition = parse_json(segment);
    question_settings whole = settings;
    whole.segment = evaluate_segment;
    segment_evaluator evaluator(host, whole);
    return evaluator.evaluate(definition, place("segment")).numbers();
}

} // namespace shadow::questions
