#pragma once
// Who comes back to an event: get_event_retention, get_stickiness, get_event_lifecycle.

#include "core/questions/question.hpp"

namespace shadow::questions
{

table answer_event_retention(question_host &host, const question_settings &settings, const json &definition);
table answer_stickiness(question_host &host, const question_settings &settings, const json &definition);
table answer_event_lifecycle(question_host &host, const question_settings &settings, const json &definition);

} // namespace shadow::questions
