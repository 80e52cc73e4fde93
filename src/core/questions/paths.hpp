#pragma once
// What happens one after the other within a session or a user's range: get_paths, get_pages.

#include "core/questions/question.hpp"

namespace shadow::questions
{

table answer_paths(question_host &host, const question_settings &settings, const json &definition);
table answer_pages(question_host &host, const question_settings &settings, const json &definition);

} // namespace shadow::questions
