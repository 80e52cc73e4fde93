#include "pg/settings.hpp"

#include "core/access/settings.hpp"
#include "pg/cells.hpp"
#include "pg/spi.hpp"

#include <algorithm>
#include <iterator>

extern "C" {
#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
}

namespace shadow::pg
{

static constexpr int setting_count = static_cast<int>(std::size(settings));

// Changed values, as they were when they were last read.
struct settings_cache {
    bool is_stale = true;
    bool is_registered = false;
    std::uint64_t generation = 0;
    Oid relation = InvalidOid;
    MemoryContext context = nullptr;
    const char *changed[setting_count] = {}; // nullptr: the default
};
static settings_cache cache;

static void note_settings_change(Datum, Oid relation)
{
    if (relation == cache.relation || !OidIsValid(relation))
        cache.is_stale = true;
}

static SPIPlanPtr reading_plan()
{
    static SPIPlanPtr plan = nullptr;
    if (plan == nullptr)
        plan = keep_plan("SELECT name, value FROM analytics.settings");
    return plan;
}

static void take_rows()
{
    for (std::uint64_t i = 0; i < SPI_processed; ++i) {
        char const *const name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
        char const *const value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
        auto const *const known = find_setting(name);
        if (known != nullptr)
            cache.changed[known - settings] = MemoryContextStrdup(cache.context, value);
    }
}

// Read as the table's owner, as foreign-key triggers do: the numbers must not depend on who asks, and row
// security would silently turn a changed setting into its default. A new snapshot, as the caller's may be
// older than the change that was announced.
static void read_settings()
{
    bool const can_take_snapshot = !IsInParallelMode();
    auto const caller = become(relation_owner(extension_relation("settings")),
                               SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    int const level = NewGUCNestLevel();
    read_copies_here();
    SPI_connect();
    if (can_take_snapshot)
        PushActiveSnapshot(GetLatestSnapshot());
    if (SPI_execute_plan(reading_plan(), nullptr, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the settings: %s", SPI_result_code_string(SPI_result));
    take_rows();
    if (can_take_snapshot)
        PopActiveSnapshot();
    SPI_finish();
    AtEOXact_GUC(false, level);
    become_caller(caller);
    // The leader of a parallel query may have read with an old snapshot: once more next time.
    if (!can_take_snapshot && !IsParallelWorker())
        cache.is_stale = true;
}

static void refresh()
{
    if (!cache.is_registered) {
        CacheRegisterRelcacheCallback(note_settings_change, Datum{0});
        cache.is_registered = true;
    }
    if (cache.context == nullptr)
        cache.context = AllocSetContextCreate(TopMemoryContext, "shadow settings", ALLOCSET_SMALL_SIZES);
    ++cache.generation;
    std::fill(std::begin(cache.changed), std::end(cache.changed), nullptr);
    MemoryContextReset(cache.context);
    cache.relation = local_relation(extension_relation("settings"));
    cache.is_stale = false; // before reading: what is announced meanwhile counts
    PG_TRY();
    {
        read_settings();
    }
    PG_CATCH();
    {
        cache.is_stale = true;
        PG_RE_THROW();
    }
    PG_END_TRY();
}

static const char *current_value(const char *name)
{
    auto const *const known = find_setting(name);
    if (known == nullptr)
        elog(ERROR, "unknown setting \"%s\"", name);
    if (cache.is_stale)
        refresh();
    char const *const changed = cache.changed[known - settings];
    return changed != nullptr ? changed : known->default_value.data();
}

char *setting_value(const char *name)
{
    return pstrdup(current_value(name));
}

std::uint64_t settings_generation()
{
    if (cache.is_stale)
        refresh();
    return cache.generation;
}

// The table's trigger has checked the values, so they parse.
std::int64_t setting_integer(const char *name)
{
    return strtoll(current_value(name), nullptr, 10);
}

bool setting_boolean(const char *name)
{
    return strcmp(current_value(name), "true") == 0;
}

} // namespace shadow::pg
