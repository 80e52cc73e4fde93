// analytics.fit_sbg, sbg_survival, sbg_lifetime: the shifted-beta-geometric model of retention.

#include "core/users/retention_model.hpp"
#include "core/base/limits.hpp"
#include "pg/boundary.hpp"

extern "C" {
#include "catalog/pg_type_d.h"
#include "utils/array.h"
}

namespace sbg = shadow::sbg;

namespace
{

struct counts {
    Datum *values;
    bool *nulls;
    int size;
};

counts fetch_counts(ArrayType *array)
{
    counts out{nullptr, nullptr, 0};
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                errmsg("survivors must be a one-dimensional array"),
                errdetail("It has %d dimensions.", ARR_NDIM(array)), errhint("Pass the cohorts one by one."));
    shadow::limits::check(ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)), shadow::limits::days, "periods",
                          "count longer ones.");
    deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &out.values,
                      &out.nulls, &out.size);
    return out;
}

sbg::estimate fit(const counts &survivors)
{
    std::vector<std::optional<std::int64_t>> known(static_cast<std::size_t>(survivors.size));
    for (std::size_t i = 0; i < known.size(); ++i)
        if (!survivors.nulls[i])
            known[i] = DatumGetInt64(survivors.values[i]);
    return sbg::fit(known, shadow::pg::interrupted);
}

} // namespace

SHADOW_FUNCTION(shadow_fit_sbg)
{
    TupleDesc shape;
    if (get_call_result_type(fcinfo, nullptr, &shape) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "return type must be a row type");
    counts survivors{nullptr, nullptr, 0};
    if (!PG_ARGISNULL(0))
        survivors = fetch_counts(PG_GETARG_ARRAYTYPE_P(0));

    sbg::estimate const found = fit(survivors);

    bool const converged = found.result == sbg::outcome::converged;
    Datum const reason = converged ? Datum(0) : CStringGetTextDatum(sbg::explain(found.result));
    Datum values[] = {Float8GetDatum(found.alpha), Float8GetDatum(found.beta),
                      Float8GetDatum(found.log_likelihood), BoolGetDatum(converged), reason};
    bool nulls[] = {!converged, !converged, !converged, false, converged};
    PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(shape), values, nulls)));
}

SHADOW_FUNCTION(shadow_sbg_survival)
{
    PG_RETURN_FLOAT8(sbg::survival(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1), PG_GETARG_INT32(2)));
}

SHADOW_FUNCTION(shadow_sbg_lifetime)
{
    PG_RETURN_FLOAT8(sbg::discounted_lifetime(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2),
                                              PG_GETARG_INT32(3), shadow::pg::interrupted));
}

SHADOW_FUNCTION(shadow_sbg_lifetime_unbounded)
{
    PG_RETURN_FLOAT8(sbg::discounted_lifetime(PG_GETARG_FLOAT8(0), PG_GETARG_FLOAT8(1), PG_GETARG_FLOAT8(2)));
}
