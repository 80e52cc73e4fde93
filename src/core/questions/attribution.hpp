#pragma once
// Which touch before a conversion gets the credit: get_attribution.

#include "core/questions/question.hpp"

namespace shadow::questions
{

table answer_attribution(question_host &host, const question_settings &settings, const json &definition);

} // namespace shadow::questions
