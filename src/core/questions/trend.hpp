#pragma once
// Counts and sums of events by period: get_trend.

#include "core/questions/question.hpp"

namespace shadow::questions
{

table answer_trend(question_host &host, const question_settings &settings, const json &definition);

} // namespace shadow::questions
