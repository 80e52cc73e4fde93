// The words of alert rules, for SQL.

#include "core/alerts/rule.hpp"

#include "pg/boundary.hpp"
#include "pg/tuple.hpp"

extern "C" {
#include "funcapi.h"
}

using namespace shadow;

namespace
{

// Those that are chosen.
template <std::size_t n, typename IsChosen>
Datum words_datum(const std::string_view (&names)[n], IsChosen is_chosen)
{
    std::string_view chosen[n];
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i)
        if (is_chosen(i))
            chosen[count++] = names[i];
    return pg::text_array_datum({chosen, count});
}

} // namespace

// (metrics, conditions, scored_conditions, no_data)
SHADOW_FUNCTION(shadow_alert_words)
{
    TupleDesc description;
    if (get_call_result_type(fcinfo, nullptr, &description) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "alert_words() does not return a row");
    auto const any = [](std::size_t) { return true; };
    Datum values[] = {words_datum(alert_metric_names, any), words_datum(alert_condition_names, any),
                      words_datum(alert_condition_names,
                                  [](std::size_t i) { return is_scored(static_cast<alert_condition>(i)); }),
                      words_datum(no_data_policy_names, any)};
    bool nulls[lengthof(values)] = {};
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(description), values, nulls));
}
