#include "pg/settings.hpp"

#include "core/settings.hpp"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace shadow::pg
{

static Oid settings_owner()
{
    Oid const relation = get_relname_relid("settings", get_namespace_oid("analytics", false));
    HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
                errmsg("table \"analytics.settings\" does not exist"));
    Oid const owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);
    return owner;
}

static SPIPlanPtr lookup_plan()
{
    static SPIPlanPtr plan = nullptr;
    if (plan == nullptr) {
        Oid types[] = {TEXTOID};
        SPIPlanPtr const prepared = SPI_prepare(
            "SELECT value FROM analytics.settings WHERE name OPERATOR(pg_catalog.=) $1", 1, types);
        if (prepared == nullptr || SPI_keepplan(prepared) != 0)
            elog(ERROR, "SPI could not prepare the look-up of a setting: %s",
                 SPI_result_code_string(SPI_result));
        plan = prepared;
    }
    return plan;
}

// nullptr: not changed. Read as the table's owner, as foreign-key triggers do: the numbers must not depend
// on who asks, and row security would silently turn a changed setting into its default.
static char *changed_value(const char *name)
{
    MemoryContext const caller = CurrentMemoryContext;
    Oid user;
    int security;
    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(settings_owner(), security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    SPI_connect();
    Datum arguments[] = {CStringGetTextDatum(name)};
    if (SPI_execute_plan(lookup_plan(), arguments, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not look up a setting: %s", SPI_result_code_string(SPI_result));
    char *value = nullptr;
    if (SPI_processed == 1) {
        char const *const found = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
        value = found == nullptr ? nullptr : MemoryContextStrdup(caller, found);
    }
    SPI_finish();
    SetUserIdAndSecContext(user, security);
    return value;
}

char *setting_value(const char *name)
{
    auto const *const known = find_setting(name);
    if (known == nullptr)
        elog(ERROR, "unknown setting \"%s\"", name);
    char *const value = changed_value(name);
    return value != nullptr ? value : pnstrdup(known->default_value.data(), known->default_value.size());
}

// The table's trigger has checked the values, so they parse.
std::int64_t setting_integer(const char *name)
{
    return strtoll(setting_value(name), nullptr, 10);
}

double setting_real(const char *name)
{
    return strtod(setting_value(name), nullptr);
}

bool setting_boolean(const char *name)
{
    return strcmp(setting_value(name), "true") == 0;
}

} // namespace shadow::pg
