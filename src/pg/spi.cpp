#include "pg/spi.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "storage/proc.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace shadow::pg
{

static std::uint64_t abort_count = 0;

static void count_abort(SubXactEvent event, SubTransactionId, SubTransactionId, void *)
{
    if (event == SUBXACT_EVENT_ABORT_SUB)
        ++abort_count;
}

std::uint64_t aborted_subtransactions()
{
    static bool is_registered = false;
    if (!is_registered) {
        RegisterSubXactCallback(count_abort, nullptr);
        is_registered = true;
    }
    return abort_count;
}

bool current_statement(statement_key &out)
{
    if (!ActiveSnapshotSet())
        return false;
    Snapshot const snapshot = GetActiveSnapshot();
    out = {GetUserId(),
           local_transaction_id(),
           aborted_subtransactions(),
           snapshot->snapXactCompletionCount,
           snapshot->xmin,
           snapshot->xmax,
           snapshot->xcnt,
           snapshot->subxcnt,
           snapshot->curcid};
    return true;
}

Oid extension_relation(const char *name)
{
    Oid const schema = get_namespace_oid("analytics", true);
    return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

int column_number(TupleDesc description, const char *relation, const char *column)
{
    int const number = SPI_fnumber(description, column);
    if (number <= 0)
        elog(ERROR, "%s has no column \"%s\"", relation, column);
    return number;
}

Oid type_named(const char *name)
{
    return DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(pstrdup(name))));
}

Oid find_relation_owner(Oid relation)
{
    HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple))
        return InvalidOid;
    Oid const owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

Oid relation_owner(Oid relation)
{
    Oid const owner = find_relation_owner(relation);
    if (!OidIsValid(owner))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE), errmsg("a table of the extension does not exist"),
                errhint("Create the extension again, or ALTER EXTENSION shadow_analytics UPDATE."));
    return owner;
}

SPIPlanPtr keep_plan(const char *query, int argument_count, Oid *types)
{
    SPIPlanPtr const plan = SPI_prepare(query, argument_count, types);
    if (plan == nullptr || SPI_keepplan(plan) != 0)
        elog(ERROR, "SPI could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
    return plan;
}

ParamListInfo parameter_list(std::initializer_list<parameter> parameters)
{
    ParamListInfo const list = makeParamList(static_cast<int>(parameters.size()));
    int i = 0;
    for (parameter const &p : parameters)
        list->params[i++] = {p.value, p.is_null, PARAM_FLAG_CONST, p.type};
    return list;
}

std::uint64_t execute(const char *sql, std::initializer_list<parameter> parameters, bool read_only,
                      DestReceiver *receiver)
{
    SPIExecuteOptions options;
    memset(&options, 0, sizeof options);
    options.params = parameter_list(parameters);
    options.read_only = read_only;
    options.dest = receiver;
    int const result = SPI_execute_extended(sql, &options);
    if (result < 0)
        elog(ERROR, "SPI failed: %s", SPI_result_code_string(result));
    return SPI_processed;
}

user_switch become(Oid user, int flags)
{
    user_switch caller;
    GetUserIdAndSecContext(&caller.user, &caller.security);
    SetUserIdAndSecContext(user, caller.security | flags);
    return caller;
}

void become_caller(const user_switch &caller)
{
    SetUserIdAndSecContext(caller.user, caller.security);
}

} // namespace shadow::pg
