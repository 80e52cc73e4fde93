#include "pg/session_text.hpp"

extern "C" {
#include "utils/guc.h"
#if SHADOW_OPTIONS_ARE_SORTED
#include "utils/guc_tables.h"
#endif
}

namespace shadow::pg
{

const char *session_text::look_up() const
{
    const char *const value = GetConfigOption(name_, true, false);
    return value != nullptr ? value : "";
}

#if SHADOW_OPTIONS_ARE_SORTED

// As guc.c orders them: without case, by ASCII; a name is before those that go on after it.
static int compare_names(const char *a, const char *b)
{
    auto const fold = [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; };
    for (; *a == *b && *a != '\0'; ++a, ++b)
        ; // most differ early, or not at all
    for (; *a != '\0' && *b != '\0'; ++a, ++b)
        if (int const difference = fold(*a) - fold(*b); difference != 0)
            return difference;
    return *a != '\0' ? 1 : *b != '\0' ? -1 : 0;
}

static int lower_bound(config_generic *const *options, int count, const char *name)
{
    int first = 0;
    while (count > 0) {
        int const half = count / 2;
        bool const is_less = compare_names(options[first + half]->name, name) < 0;
        first = is_less ? first + half + 1 : first;
        count = is_less ? count - half - 1 : half;
    }
    return first;
}

// The array is looked at anew each time: settings come, go and move when a library is loaded.
const char *session_text::value()
{
    config_generic *const *const options = get_guc_variables();
    int const count = GetNumConfigOptions();
    auto const is_less = [&](int i) { return compare_names(options[i]->name, name_) < 0; };
    bool const is_there = place_ < count && strcmp(options[place_]->name, name_) == 0;
    if (!is_there) {
        bool const is_place =
            place_ <= count && (place_ == 0 || is_less(place_ - 1)) && (place_ == count || !is_less(place_));
        if (!is_place)
            place_ = lower_bound(options, count, name_);
        if (place_ == count || compare_names(options[place_]->name, name_) != 0)
            return "";
    }
    auto const *const option = options[place_];
    if (option->vartype != PGC_STRING || (option->flags & GUC_SUPERUSER_ONLY) != 0)
        return look_up();
    const char *const value = *reinterpret_cast<const config_string *>(option)->variable;
    return value != nullptr ? value : "";
}

#else

const char *session_text::value()
{
    return look_up();
}

#endif

} // namespace shadow::pg
