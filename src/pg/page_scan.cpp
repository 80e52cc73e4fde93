#include "pg/page_scan.hpp"

extern "C" {
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rls.h"
}

namespace shadow::pg
{

namespace
{

// A default partition may hold anything: it is read as well while that costs little.
constexpr BlockNumber few_pages = 16;

bool is_heap(Relation table)
{
    return table->rd_rel->relkind == RELKIND_RELATION && table->rd_rel->relam == HEAP_TABLE_AM_OID;
}

bool add_leaf(leaf_list &out, Oid leaf, BlockNumber most_pages)
{
    if (out.count == leaf_list::most)
        return false;
    Relation const table = table_open(leaf, AccessShareLock);
    BlockNumber const pages = is_heap(table) ? RelationGetNumberOfBlocks(table) : InvalidBlockNumber;
    table_close(table, NoLock);
    if (pages == InvalidBlockNumber || pages > most_pages)
        return false;
    out.leaves[out.count++] = leaf;
    out.pages += pages;
    return true;
}

// The bound below the range `i`; that above it is the one below the next.
bool bound_below(PartitionBoundInfo bounds, int i, TimestampTz *bound)
{
    if (i < 1 || i > bounds->ndatums || bounds->kind[i - 1][0] != PARTITION_RANGE_DATUM_VALUE)
        return false;
    *bound = DatumGetTimestampTz(bounds->datums[i - 1][0]);
    return true;
}

bool add_leaves(PartitionDesc partitions, TimestampTz first, TimestampTz last, leaf_list &out)
{
    PartitionBoundInfo const bounds = partitions->boundinfo;
    for (int i = 0; i <= bounds->ndatums; ++i) {
        int const partition = bounds->indexes[i];
        if (partition < 0)
            continue;
        TimestampTz lower = PG_INT64_MIN, upper = PG_INT64_MAX;
        bool const has_lower = bound_below(bounds, i, &lower), has_upper = bound_below(bounds, i + 1, &upper);
        if (upper <= first || lower >= last)
            continue;
        if (!has_lower || !has_upper || upper - lower > last - first || !partitions->is_leaf[partition] ||
            !add_leaf(out, partitions->oids[partition], MaxBlockNumber))
            return false;
    }
    int const rest = bounds->default_index;
    return rest < 0 ||
           (partitions->is_leaf[rest] && add_leaf(out, partitions->oids[rest], out.pages + few_pages));
}

bool is_partitioned_by(Relation table, const char *column)
{
    if (table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
        return false;
    PartitionKey const key = RelationGetPartitionKey(table);
    return key->strategy == PARTITION_STRATEGY_RANGE && key->partnatts == 1 &&
           key->parttypid[0] == TIMESTAMPTZOID &&
           key->partattrs[0] == get_attnum(RelationGetRelid(table), column);
}

bool add_scans(Plan *plan, List *tables, leaf_list &out)
{
    if (IsA(plan, SeqScan)) {
        Index const table = reinterpret_cast<Scan *>(plan)->scanrelid;
        return add_leaf(out, rt_fetch(table, tables)->relid, MaxBlockNumber);
    }
    if (!IsA(plan, Append))
        return false;
    auto *const append = reinterpret_cast<Append *>(plan);
    for (int i = 0; i < list_length(append->appendplans); ++i)
        if (!add_scans(static_cast<Plan *>(list_nth(append->appendplans, i)), tables, out))
            return false;
    return true;
}

} // namespace

bool reads_whole_heaps(const char *sql, std::initializer_list<parameter> parameters, leaf_list &out)
{
    out.count = 0;
    out.pages = 0;
    SPIParseOpenOptions options;
    memset(&options, 0, sizeof options);
    options.params = parameter_list(parameters);
    options.read_only = true;
    Portal const portal = SPI_cursor_parse_open(nullptr, sql, &options);
    auto *const planned = linitial_node(PlannedStmt, portal->stmts);
    bool const found =
        planned->commandType == CMD_SELECT && add_scans(planned->planTree, planned->rtable, out);
    SPI_cursor_close(portal);
    return found;
}

bool find_leaves(Oid table, const char *column, TimestampTz first, TimestampTz last, leaf_list &out)
{
    out.count = 0;
    out.pages = 0;
    if (pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
        check_enable_rls(table, InvalidOid, true) == RLS_ENABLED)
        return false;
    Relation const parent = table_open(table, AccessShareLock);
    bool found = is_partitioned_by(parent, column);
    if (found) {
        PartitionDesc const partitions = RelationGetPartitionDesc(parent, true);
        found = partitions->boundinfo != nullptr && add_leaves(partitions, first, last, out);
    }
    table_close(parent, NoLock);
    return found;
}

row_reader::row_reader(TupleDesc description, const int *wanted, int count) : description_(description)
{
    for (int i = 0; i < count; ++i)
        last_ = Max(last_, wanted[i]);
    if (last_ > most_attributes)
        elog(ERROR, "too many columns");
    for (int a = 0; a < last_; ++a) {
        Form_pg_attribute const attribute = TupleDescAttr(description, a);
        steps_[a] = {attribute->attlen, attribute->attalign, attribute->attbyval, -1};
    }
    for (int i = 0; i < count; ++i)
        steps_[wanted[i] - 1].target = static_cast<std::int8_t>(i);
}

// Of a row that is older than a column: its default stands in the catalog.
void row_reader::read_all(HeapTupleHeader row, Datum *values, bool *nulls) const
{
    HeapTupleData tuple;
    memset(&tuple, 0, sizeof tuple);
    tuple.t_data = row;
    Datum all_values[MaxHeapAttributeNumber];
    bool all_nulls[MaxHeapAttributeNumber];
    heap_deform_tuple(&tuple, description_, all_values, all_nulls);
    for (int a = 0; a < last_; ++a)
        if (int const target = steps_[a].target; target >= 0) {
            values[target] = all_values[a];
            nulls[target] = all_nulls[a];
        }
}

void row_reader::read(HeapTupleHeader row, Datum *values, bool *nulls) const
{
    if (static_cast<int>(HeapTupleHeaderGetNatts(row)) < last_) {
        read_all(row, values, nulls);
        return;
    }
    char *const data = reinterpret_cast<char *>(row) + row->t_hoff;
    bool const has_nulls = (row->t_infomask & HEAP_HASNULL) != 0;
    std::uint32_t offset = 0;
    for (int a = 0; a < last_; ++a) {
        step const s = steps_[a];
        bool const is_null = has_nulls && att_isnull(a, row->t_bits);
        if (s.target >= 0)
            nulls[s.target] = is_null;
        if (is_null)
            continue;
        offset = static_cast<std::uint32_t>(att_align_pointer(offset, s.align, s.length, data + offset));
        if (s.target >= 0)
            values[s.target] = fetch_att(data + offset, s.by_value, s.length);
        offset = static_cast<std::uint32_t>(att_addlength_pointer(offset, s.length, data + offset));
    }
}

} // namespace shadow::pg
