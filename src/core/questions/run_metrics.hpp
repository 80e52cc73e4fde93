#pragma once
// Runs of agents: get_run_metrics and get_run_tree.

#include "core/questions/question.hpp"

namespace shadow::questions
{

table answer_run_metrics(question_host &host, const question_settings &settings, const json &definition);
table answer_run_tree(question_host &host, const question_settings &settings, const json &definition);

} // namespace shadow::questions
