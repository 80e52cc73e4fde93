#pragma once
// All questions by the names of the functions that ask them.

#include "core/questions/question.hpp"

namespace shadow::questions
{

// `arguments`: a JSON object, by the names of the function's arguments. Throws error for an unknown function.
table answer(std::string_view function, std::string_view arguments, question_host &host,
             const question_settings &settings);

// The numbers of a segment's users.
std::vector<std::uint32_t> users_who(std::string_view segment, question_host &host,
                                     const question_settings &settings);

} // namespace shadow::questions
