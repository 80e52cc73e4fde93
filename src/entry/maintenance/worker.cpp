// A launcher starts a worker for each database of shadow_analytics.databases, every
// shadow_analytics.interval. Workers live for one call of maintain(): in between nothing is connected to a
// database, so that it can be dropped, renamed or copied.

#include "entry/maintenance/worker.hpp"

#include "pg/toplevel.hpp"

#include "pg/boundary.hpp"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

PGDLLEXPORT void shadow_launcher_main(Datum);
PGDLLEXPORT void shadow_worker_main(Datum);
}

namespace
{

constexpr int most_databases = 64;

char *databases_setting = nullptr;
int interval_setting = 60; // seconds

// Why a database is not maintained. Each reason is logged once, until it changes.
enum class obstacle : int { none, no_database, no_slot, no_extension, not_ours };

// The launcher's and its workers', by place.
struct shared_state {
    obstacle told[most_databases];
};
shared_state *shared = nullptr;

struct place {
    char database[NAMEDATALEN]; // empty: the place is free
    bool is_listed;
    TimestampTz started; // the last worker
    BackgroundWorkerHandle *worker;
};
place places[most_databases];

shmem_request_hook_type previous_shmem_request = nullptr;

void request_shared_memory()
{
    if (previous_shmem_request != nullptr)
        previous_shmem_request();
    RequestAddinShmemSpace(sizeof(shared_state));
}

void attach_shared_memory()
{
    bool is_found;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    shared = static_cast<shared_state *>(
        ShmemInitStruct("shadow_analytics worker", sizeof(shared_state), &is_found));
    if (!is_found)
        *shared = {};
    LWLockRelease(AddinShmemInitLock);
}

void tell(int number, const char *database, obstacle what, const char *why, const char *cure)
{
    if (shared->told[number] == what)
        return;
    shared->told[number] = what;
    if (what != obstacle::none)
        ereport(LOG, errmsg("shadow_analytics cannot maintain database \"%s\": %s", database, why),
                errhint("%s It is tried again every %d seconds.", cure, interval_setting));
}

// The names in `text`, which is cut up.
bool split(char *text, List **names)
{
    return SplitIdentifierString(text, ',', names);
}

bool check_databases(char **value, void **, GucSource)
{
    char *const text = pstrdup(*value);
    List *names = NIL;
    bool const is_list = split(text, &names);
    int const count = list_length(names);
    list_free(names);
    pfree(text);
    if (!is_list)
        GUC_check_errdetail("List syntax is invalid.");
    else if (count > most_databases)
        GUC_check_errdetail("At most %d databases can be listed.", most_databases);
    return is_list && count <= most_databases;
}

// -- the launcher

place *find_place(const char *database)
{
    for (place &p : places)
        if (strcmp(p.database, database) == 0)
            return &p;
    return nullptr;
}

// False while workers of databases that are no longer listed hold all places.
bool list_database(const char *database)
{
    place *p = find_place(database);
    if (p == nullptr && (p = find_place("")) != nullptr) {
        *p = {};
        strlcpy(p->database, database, NAMEDATALEN);
        shared->told[p - places] = obstacle::none;
    }
    if (p != nullptr)
        p->is_listed = true;
    return p != nullptr;
}

// Whoever is no longer listed stops at once.
void read_list()
{
    for (place &p : places)
        p.is_listed = false;
    char *const text = pstrdup(databases_setting);
    List *names = NIL;
    ListCell *cell;
    if (split(text, &names))
        foreach (cell, names)
            (void)list_database(static_cast<const char *>(lfirst(cell)));
    list_free(names);
    pfree(text);
    for (place &p : places)
        if (!p.is_listed && p.worker != nullptr)
            TerminateBackgroundWorker(p.worker);
}

// DROP DATABASE that was broken off leaves a database that nobody can connect to (DATCONNLIMIT_INVALID_DB). Without an
// index until the server's first session has told all others what the indexes of shared catalogs are like.
bool accepts_connections(const char *database)
{
    StartTransactionCommand();
    ScanKeyData key;
    ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(database));
    Relation const catalog = table_open(DatabaseRelationId, AccessShareLock);
    SysScanDesc const scan =
        systable_beginscan(catalog, DatabaseNameIndexId, criticalSharedRelcachesBuilt, nullptr, 1, &key);
    HeapTuple const tuple = systable_getnext(scan);
    bool accepts = false;
    if (HeapTupleIsValid(tuple)) {
        auto const *const form = reinterpret_cast<Form_pg_database>(GETSTRUCT(tuple));
        accepts = form->datallowconn && form->datconnlimit >= -1;
    }
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    CommitTransactionCommand();
    return accepts;
}

BackgroundWorker describe(const char *name, const char *type, const char *function)
{
    BackgroundWorker w = {};
    w.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    w.bgw_start_time = BgWorkerStart_RecoveryFinished;
    strlcpy(w.bgw_name, name, sizeof w.bgw_name);
    strlcpy(w.bgw_type, type, sizeof w.bgw_type);
    strlcpy(w.bgw_library_name, "shadow_analytics", sizeof w.bgw_library_name);
    strlcpy(w.bgw_function_name, function, sizeof w.bgw_function_name);
    return w;
}

bool register_worker_of(place &p)
{
    char name[BGW_MAXLEN];
    snprintf(name, sizeof name, "shadow_analytics: %s", p.database);
    BackgroundWorker w = describe(name, "shadow_analytics worker", "shadow_worker_main");
    w.bgw_restart_time = BGW_NEVER_RESTART;
    w.bgw_main_arg = Int32GetDatum(static_cast<std::int32_t>(&p - places));
    w.bgw_notify_pid = MyProcPid;
    strlcpy(w.bgw_extra, p.database, sizeof w.bgw_extra);
    return RegisterDynamicBackgroundWorker(&w, &p.worker);
}

void start_worker(place &p)
{
    int const number = static_cast<int>(&p - places);
    p.started = GetCurrentTimestamp();
    if (!accepts_connections(p.database))
        tell(number, p.database, obstacle::no_database, "it does not exist, or does not accept connections",
             "Create it, or change shadow_analytics.databases.");
    else if (!register_worker_of(p))
        tell(number, p.database, obstacle::no_slot, "no background worker is free",
             "Raise max_worker_processes.");
    else if (shared->told[number] == obstacle::no_database || shared->told[number] == obstacle::no_slot)
        shared->told[number] = obstacle::none;
}

bool is_running(place &p)
{
    pid_t pid;
    if (p.worker == nullptr)
        return false;
    if (GetBackgroundWorkerPid(p.worker, &pid) != BGWH_STOPPED)
        return true;
    pfree(p.worker);
    p.worker = nullptr;
    return false;
}

TimestampTz due_at(const place &p)
{
    bool const is_unknown = p.started == 0 || p.started > GetCurrentTimestamp(); // the clock was set back
    return is_unknown ? 0 : TimestampTzPlusMilliseconds(p.started, interval_setting * INT64CONST(1000));
}

// Starts what is due; when something is due next, or infinity. A worker that ends wakes the launcher.
TimestampTz look_after_places()
{
    TimestampTz next = DT_NOEND;
    for (place &p : places) {
        if (p.database[0] == '\0' || is_running(p))
            continue;
        if (!p.is_listed) {
            p = {};
            continue;
        }
        if (due_at(p) <= GetCurrentTimestamp())
            start_worker(p);
        if (p.worker == nullptr)
            next = Min(next, due_at(p));
    }
    return next;
}

void wait_until(TimestampTz next)
{
    int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
    long milliseconds = -1;
    if (next != DT_NOEND) {
        events |= WL_TIMEOUT;
        milliseconds = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next);
    }
    (void)WaitLatch(MyLatch, events, milliseconds, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
}

// -- a worker

// The worker is a superuser: nothing but the extension's own procedure may be called, which anybody who may
// create a schema could otherwise put in its place.
constexpr const char *owner_query =
    "SELECT r.rolsuper FROM pg_catalog.pg_extension AS e"
    " JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"
    "  AND d.refobjid = e.oid AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'"
    " JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_authid AS r ON r.oid = p.proowner"
    " WHERE e.extname = 'shadow_analytics' AND n.nspname = 'analytics' AND p.proname = 'maintain' AND "
    "p.prokind = 'p'";

obstacle find_obstacle()
{
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_connect();
    obstacle found = obstacle::no_extension;
    if (SPI_execute(owner_query, true, 1) == SPI_OK_SELECT && SPI_processed == 1) {
        bool is_null;
        Datum const value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
        found = !is_null && DatumGetBool(value) ? obstacle::none : obstacle::not_ours;
    }
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
    return found;
}

void tell_obstacle(int number, const char *database, obstacle what)
{
    if (what == obstacle::not_ours)
        tell(number, database, what, "analytics.maintain() does not belong to a superuser",
             "Let a scheduler of its owner call it.");
    else
        tell(number, database, what, "the extension shadow_analytics is not installed there",
             "CREATE EXTENSION shadow_analytics, or change shadow_analytics.databases.");
}

void set_option(const char *name, const char *value)
{
    SetConfigOption(name, value, PGC_USERSET, PGC_S_SESSION);
}

} // namespace

void shadow_launcher_main(Datum)
{
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    attach_shared_memory();
    MemoryContextSwitchTo(TopMemoryContext);
    read_list();
    while (!ShutdownRequestPending) {
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
            read_list();
        }
        wait_until(look_after_places());
    }
    proc_exit(1); // 0 would mean that it need not be started again
}

void shadow_worker_main(Datum argument)
{
    char database[NAMEDATALEN];
    int const number = DatumGetInt32(argument);
    strlcpy(database, MyBgworkerEntry->bgw_extra, sizeof database);
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(database, nullptr, 0);
    attach_shared_memory();
    set_option("application_name", MyBgworkerEntry->bgw_name);
    set_option("search_path", "pg_catalog, pg_temp");
    obstacle const found = find_obstacle();
    tell_obstacle(number, database, found);
    if (found == obstacle::none)
        shadow::pg::run_toplevel("CALL analytics.maintain()");
    proc_exit(0);
}

// Of this database; NULL: the library was not preloaded, or the database is not listed.
SHADOW_FUNCTION(shadow_worker_interval)
{
    List *names = NIL;
    ListCell *cell;
    if (databases_setting == nullptr || !split(pstrdup(databases_setting), &names))
        PG_RETURN_NULL();
    char const *const here = get_database_name(MyDatabaseId);
    foreach (cell, names)
        if (strcmp(static_cast<const char *>(lfirst(cell)), here) == 0) {
            auto *const every = static_cast<Interval *>(palloc0(sizeof(Interval)));
            every->time = interval_setting * USECS_PER_SEC;
            PG_RETURN_INTERVAL_P(every);
        }
    PG_RETURN_NULL();
}

void shadow::entry::register_worker()
{
    DefineCustomStringVariable("shadow_analytics.databases",
                               "Databases in which analytics.maintain() is called, separated by commas.",
                               "Empty: none.", &databases_setting, "", PGC_SIGHUP, GUC_LIST_INPUT,
                               check_databases, nullptr, nullptr);
    DefineCustomIntVariable("shadow_analytics.interval", "How often analytics.maintain() is called.", nullptr,
                            &interval_setting, 60, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr,
                            nullptr);
    MarkGUCPrefixReserved("shadow_analytics");
    if (IsBinaryUpgrade)
        return;
    previous_shmem_request = shmem_request_hook;
    shmem_request_hook = request_shared_memory;
    BackgroundWorker launcher =
        describe("shadow_analytics launcher", "shadow_analytics launcher", "shadow_launcher_main");
    launcher.bgw_restart_time = 5;
    RegisterBackgroundWorker(&launcher);
}
