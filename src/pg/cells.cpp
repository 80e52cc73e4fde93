#include "pg/cells.hpp"

#include "pg/spi.hpp"

extern "C" {
#include "access/relation.h"
#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "replication/logicalworker.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

namespace shadow::pg
{

namespace
{

constexpr int outside = -1;

// The setting shadow_analytics.cell: the number of the cell's shard; 0: in no cell, but reference tables are read from
// their copies.
int cell = outside;

planner_hook_type next_planner = nullptr;
bool is_looking_up = false;

// What was found out about a table, until something about a table changes.
struct place {
    Oid table;  // key
    Oid beside; // key: the shard whose cell is meant; invalid: the cell that was entered
    Oid result;
};
HTAB *places = nullptr;
std::uint64_t forgotten = 0; // how often

void forget_places()
{
    ++forgotten;
    if (places != nullptr)
        hash_destroy(places);
    places = nullptr;
}

bool is_known(Oid relation)
{
    HASH_SEQ_STATUS all;
    hash_seq_init(&all, places);
    while (auto const *const known = static_cast<place *>(hash_seq_search(&all)))
        if (known->table == relation || known->beside == relation || known->result == relation) {
            hash_seq_term(&all);
            return true;
        }
    return false;
}

void note_relation_change(Datum, Oid relation)
{
    if (places != nullptr && (!OidIsValid(relation) || is_known(relation)))
        forget_places();
}

// ---- the catalogs of Citus --------------------------------------------------------------------------------

// No row: not distributed. True: a reference table.
constexpr const char *is_reference_query =
    "SELECT s.shardminvalue IS NULL FROM pg_catalog.pg_dist_shard AS s WHERE s.logicalrelid = $1 LIMIT 1";

// Of $1, what is on this server: a reference table's copy, or the shard with the range of the shard $2. What moved
// away is still there for a while, so placements tell. shard_name() leaves out the schema "public".
constexpr const char *shard_query =
    "SELECT pg_catalog.to_regclass(CASE WHEN n.nspname = 'public' THEN 'public.' ELSE '' END"
    "  || pg_catalog.shard_name(s.logicalrelid, s.shardid))::pg_catalog.oid"
    " FROM pg_catalog.pg_dist_shard AS s"
    " JOIN pg_catalog.pg_dist_placement AS p ON p.shardid = s.shardid"
    " JOIN pg_catalog.pg_dist_local_group AS g ON g.groupid = p.groupid"
    " JOIN pg_catalog.pg_class AS c ON c.oid = s.logicalrelid"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE s.logicalrelid = $1 AND s.shardminvalue IS NOT DISTINCT FROM"
    "  (SELECT a.shardminvalue FROM pg_catalog.pg_dist_shard AS a WHERE a.shardid = $2)";

// Whether a relation is the shard with that number: the names of partitions end with numbers too.
constexpr const char *is_shard_query =
    "SELECT pg_catalog.to_regclass(pg_catalog.shard_name(s.logicalrelid, s.shardid))::pg_catalog.oid = $1"
    " FROM pg_catalog.pg_dist_shard AS s WHERE s.shardid = $2";

constexpr const char *placement_query =
    "SELECT FROM pg_catalog.pg_dist_placement AS p"
    " JOIN pg_catalog.pg_dist_local_group AS g ON g.groupid = p.groupid WHERE p.shardid = $1";

parameter oid_parameter(Oid value)
{
    return {OIDOID, ObjectIdGetDatum(value)};
}

parameter number_parameter(std::int64_t value)
{
    return {INT8OID, Int64GetDatum(value)};
}

Datum first_value(bool *is_null)
{
    *is_null = true;
    return SPI_processed == 0 ? Datum{0}
                              : SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, is_null);
}

Oid find_shard(Oid table, std::int64_t shard)
{
    bool is_null;
    execute(shard_query, {oid_parameter(table), number_parameter(shard)}, true);
    Datum const found = first_value(&is_null);
    return is_null ? InvalidOid : DatumGetObjectId(found);
}

// The number at the end of the name; 0 without one.
std::int64_t trailing_number(Oid relation)
{
    char const *const name = get_rel_name(relation);
    char const *const suffix = name == nullptr ? nullptr : strrchr(name, '_');
    return suffix == nullptr ? 0 : strtoll(suffix + 1, nullptr, 10);
}

// The number of a shard; 0 for another relation.
std::int64_t shard_number(Oid relation)
{
    std::int64_t const number = trailing_number(relation);
    if (number <= 0)
        return 0;
    bool is_null;
    execute(is_shard_query, {oid_parameter(relation), number_parameter(number)}, true);
    return DatumGetBool(first_value(&is_null)) && !is_null ? number : 0;
}

// A reference table without a copy here is left to Citus. Invalid: the cell is not on this server.
Oid find_place(Oid table, std::int64_t shard)
{
    execute(is_reference_query, {oid_parameter(table)}, true);
    bool is_null;
    bool const is_reference = DatumGetBool(first_value(&is_null));
    if (is_null || (!is_reference && shard <= 0))
        return table;
    Oid const found = find_shard(table, is_reference ? 0 : shard);
    return is_reference && !OidIsValid(found) ? table : found;
}

// Statements were parsed with the columns of the table.
void check_columns(Oid table, Oid shard)
{
    Relation const one = relation_open(table, AccessShareLock);
    Relation const other = relation_open(shard, AccessShareLock);
    TupleDesc const columns = RelationGetDescr(one);
    TupleDesc const found = RelationGetDescr(other);
    bool are_equal = columns->natts == found->natts;
    for (int i = 0; are_equal && i < columns->natts; ++i) {
        Form_pg_attribute const a = TupleDescAttr(columns, i);
        Form_pg_attribute const b = TupleDescAttr(found, i);
        are_equal = a->attisdropped == b->attisdropped && a->atttypid == b->atttypid &&
                    strcmp(NameStr(a->attname), NameStr(b->attname)) == 0;
    }
    relation_close(other, AccessShareLock);
    relation_close(one, AccessShareLock);
    if (!are_equal)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("a shard has other columns than table \"%s\"", get_rel_name(table)),
                 errdetail("A column of the table may have been dropped before the table was distributed.")));
}

// Under the latest snapshot, whose catalogs are those that the relations' locks protect.
Oid find_with_snapshot(Oid table, Oid beside)
{
    bool const can_take_snapshot = !IsInParallelMode();
    if (can_take_snapshot)
        PushActiveSnapshot(GetLatestSnapshot());
    SPI_connect();
    Oid const result = find_place(table, OidIsValid(beside) ? shard_number(beside) : cell);
    if (result != table && OidIsValid(result))
        check_columns(table, result);
    SPI_finish();
    if (can_take_snapshot)
        PopActiveSnapshot();
    return result;
}

Oid look_up(Oid table, Oid beside)
{
    bool const was_looking_up = is_looking_up;
    Oid result = table;
    is_looking_up = true;
    PG_TRY();
    {
        result = find_with_snapshot(table, beside);
    }
    PG_FINALLY();
    {
        is_looking_up = was_looking_up;
    }
    PG_END_TRY();
    return result;
}

Oid known_or_found(Oid table, Oid beside)
{
    Oid const key[] = {table, beside};
    if (places == nullptr) {
        HASHCTL control;
        memset(&control, 0, sizeof control);
        control.keysize = sizeof key;
        control.entrysize = sizeof(place);
        places = hash_create("shadow places", 128, &control, HASH_ELEM | HASH_BLOBS);
    }
    auto const *const known = static_cast<place *>(hash_search(places, key, HASH_FIND, nullptr));
    if (known != nullptr)
        return known->result;
    std::uint64_t const before = forgotten;
    Oid const result = look_up(table, beside);
    if (before == forgotten) // else something changed meanwhile
        static_cast<place *>(hash_search(places, key, HASH_ENTER, nullptr))->result = result;
    return result;
}

Oid required(Oid table, Oid beside)
{
    Oid const found = known_or_found(table, beside);
    if (OidIsValid(found))
        return found;
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("table \"%s\" has no shard of the cell on this server", get_rel_name(table)),
                    OidIsValid(beside) ? errdetail("The cell of \"%s\" is elsewhere.", get_rel_name(beside))
                                       : errdetail("It is cell %d.", cell),
                    errhint("Call analytics.distribute() on the coordinator.")));
}

// ---- plans ------------------------------------------------------------------------------------------------

void redirect_entry([[maybe_unused]] Query *query, RangeTblEntry *entry)
{
    if (entry->rtekind != RTE_RELATION || entry->relid < FirstNormalObjectId)
        return;
    Oid const physical = local_relation(entry->relid);
    if (physical == entry->relid)
        return;
    LockRelationOid(physical, entry->rellockmode);
    set_permission_relation(query, entry, physical);
    entry->relid = physical;
}

bool redirect(Node *node, void *context)
{
    if (node == nullptr)
        return false;
    if (!IsA(node, Query))
        return walk_expression(node, redirect, context);
    auto *const query = reinterpret_cast<Query *>(node);
    ListCell *item;
    foreach (item, query->rtable)
        redirect_entry(query, static_cast<RangeTblEntry *>(lfirst(item)));
    return walk_query(query, redirect, context);
}

PlannedStmt *plan(Query *query, const char *text, int options, ParamListInfo parameters)
{
    if (cell != outside && !is_looking_up)
        redirect(reinterpret_cast<Node *>(query), nullptr);
    return next_planner != nullptr ? next_planner(query, text, options, parameters)
                                   : standard_planner(query, text, options, parameters);
}

// Plans of one cell are of no use in another.
void change_cell(int value, void *)
{
    if (value == cell || (value <= 0 && cell <= 0))
        return;
    ResetPlanCache();
    forget_places();
}

} // namespace

bool has_citus()
{
    return OidIsValid(get_relname_relid("pg_dist_placement", PG_CATALOG_NAMESPACE));
}

Oid local_relation(Oid relation)
{
    if (!OidIsValid(relation) || !has_citus())
        return relation;
    return required(relation, InvalidOid);
}

Oid shard_beside(Oid other, Oid table)
{
    if (!has_citus())
        return table;
    return required(table, cell > 0 ? InvalidOid : other);
}

bool is_arriving(Oid shard)
{
    return IsLogicalWorker() && has_citus() &&
           !OidIsValid(known_or_found(extension_relation("workspace_settings"), shard));
}

void read_copies_here()
{
    if (cell == outside && has_citus())
        (void)set_config_option("shadow_analytics.cell", "0", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                                0, false);
}

std::uint32_t cell_key()
{
    return cell > 0 ? static_cast<std::uint32_t>(cell) : 0;
}

// Citus moves shards under this lock. Whoever wrote without it might write into a shard that has just been copied:
// the row would be lost.
void hold_cell()
{
    static struct {
        LocalTransactionId transaction;
        std::uint64_t aborts; // the lock goes with the subtransaction that took it
        int cell;
    } held;
    if (cell <= 0 || (held.transaction == local_transaction_id() &&
                      held.aborts == aborted_subtransactions() && held.cell == cell))
        return;
    SPI_connect();
    constexpr int share_lock = 5;
    execute("SELECT pg_catalog.lock_shard_metadata($1, ARRAY[$2])",
            {parameter{INT4OID, Int32GetDatum(share_lock)}, number_parameter(cell)}, false);
    bool const is_here = execute(placement_query, {number_parameter(cell)}, false) > 0;
    SPI_finish();
    if (!is_here)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("cell %d is not on this server", cell),
                        errdetail("Its shards are on another, or have moved there."),
                        errhint("Call analytics.maintain() on the coordinator again.")));
    held = {local_transaction_id(), aborted_subtransactions(), cell};
}

void enter_cell(std::int64_t number, bool is_local)
{
    char text[32];
    snprintf(text, sizeof text, INT64_FORMAT, number > 0 ? number : outside);
    (void)set_config_option("shadow_analytics.cell", text, PGC_SUSET, PGC_S_SESSION,
                            is_local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false);
    hold_cell();
}

void define_cells()
{
    DefineCustomIntVariable("shadow_analytics.cell", "The group of shards in which maintenance is at work.",
                            "Set by analytics_internal.enter_cell().", &cell, outside, outside, INT_MAX,
                            PGC_SUSET, GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE, nullptr,
                            change_cell, nullptr);
    next_planner = planner_hook;
    planner_hook = plan;
    CacheRegisterRelcacheCallback(note_relation_change, Datum{0});
}

} // namespace shadow::pg
