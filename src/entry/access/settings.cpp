// analytics.settings: validation, look-up and the list of what can be set.

#include "core/access/settings.hpp"

#include "pg/settings.hpp"

extern "C" {
#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/inval.h"
#include "utils/rel.h"
}

using namespace shadow;

static std::string_view view_of(const text *value)
{
    return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

SHADOW_FUNCTION(shadow_setting)
{
    text *const name = PG_GETARG_TEXT_PP(0);
    auto const &known = known_setting(view_of(name));
    PG_RETURN_TEXT_P(cstring_to_text(pg::setting_value(known.name.data())));
}

// BEFORE INSERT OR UPDATE trigger of analytics.settings (name, value); both columns are NOT NULL, so a NULL
// is left to the constraint.
SHADOW_FUNCTION(shadow_settings_check)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" was not called by the trigger manager", "shadow_settings_check"));
    auto const *const trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
    HeapTuple const row =
        TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
    TupleDesc const columns = RelationGetDescr(trigger->tg_relation);
    char *const name = SPI_getvalue(row, columns, SPI_fnumber(columns, "name"));
    char *const value = SPI_getvalue(row, columns, SPI_fnumber(columns, "value"));
    if (name != nullptr && value != nullptr)
        check_setting(known_setting(name), value);
    return PointerGetDatum(row);
}

// AFTER … FOR EACH STATEMENT trigger of analytics.settings: every session reads the values again.
SHADOW_FUNCTION(shadow_settings_announce)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function \"%s\" was not called by the trigger manager", "shadow_settings_announce"));
    CacheInvalidateRelcache(reinterpret_cast<TriggerData *>(fcinfo->context)->tg_relation);
    return PointerGetDatum(nullptr);
}

static Datum text_datum(std::string_view value)
{
    return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size())));
}

// Into a buffer, so that no string is alive when the row is stored.
static std::string_view copy_to(char *buffer, std::size_t size, const std::string &value)
{
    return {buffer, value.copy(buffer, size)};
}

// (name, default_value, type, allowed, description)
SHADOW_FUNCTION(shadow_setting_definitions)
{
    InitMaterializedSRF(fcinfo, 0);
    auto *const result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    for (auto const &s : settings) {
        char buffer[256];
        auto const allowed = copy_to(buffer, sizeof buffer, allowed_values(s));
        Datum values[] = {text_datum(s.name), text_datum(s.default_value), text_datum(type_name(s.type)),
                          text_datum(allowed), text_datum(s.description)};
        bool nulls[lengthof(values)] = {};
        tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
    }
    return Datum{0};
}
