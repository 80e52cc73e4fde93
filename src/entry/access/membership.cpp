#include "entry/access/membership.hpp"

#include "core/access/claims.hpp"
#include "core/event/names.hpp"
#include "pg/cells.hpp"
#include "pg/session_text.hpp"
#include "pg/settings.hpp"

#include <algorithm>

extern "C" {
#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
}

namespace shadow::entry
{

// ---- claims -----------------------------------------------------------------------------------------------

struct claim_texts {
    const char *subject;
    const char *claims;
};

static claim_texts current_claims()
{
    static pg::session_text subject("request.jwt.claim.sub");
    static pg::session_text claims("request.jwt.claims");
    return {subject.value(), claims.value()};
}

// A copy of the claims that an answer was computed from. Their addresses say nothing: a new value may stand
// where the old one stood.
class remembered_claims
{
public:
    bool equal(const claim_texts &now) const
    {
        return subject_ != nullptr && strcmp(subject_, now.subject) == 0 && strcmp(claims_, now.claims) == 0;
    }
    void forget()
    {
        char *const old[] = {subject_, claims_};
        subject_ = claims_ = nullptr;
        for (char *const p : old)
            if (p != nullptr)
                pfree(p);
    }
    void remember(const claim_texts &now)
    {
        forget();
        claims_ = MemoryContextStrdup(TopMemoryContext, now.claims);
        subject_ = MemoryContextStrdup(TopMemoryContext, now.subject);
    }

private:
    char *subject_ = nullptr; // set last: both or neither
    char *claims_ = nullptr;
};

static bool are_text_subjects_allowed()
{
    static bool answer = false;
    static std::uint64_t generation = 0;
    auto const now = pg::settings_generation();
    if (generation != now) {
        answer = pg::setting_boolean("text_subjects");
        generation = now;
    }
    return answer;
}

// Whom the claims name: by a uuid, or by a text that has one.
struct named_subject {
    bool is_there, is_uuid;
    uuid id;
    char text[longest_subject + 1];
};

static const named_subject &read_subject()
{
    static remembered_claims source;
    static named_subject answer;
    auto const now = current_claims();
    if (source.equal(now))
        return answer;
    source.forget();
    char buffer[longest_subject];
    auto const subject = shadow::current_subject(now.subject, now.claims, buffer);
    answer.is_there = !subject.empty();
    answer.is_uuid = parse_uuid(subject).has_value();
    answer.id = user_id_of({0, 0}, subject);
    memcpy(answer.text, subject.data(), subject.size());
    answer.text[subject.size()] = '\0';
    source.remember(now);
    return answer;
}

bool current_user(uuid &out)
{
    auto const &subject = read_subject();
    if (!subject.is_there || (!subject.is_uuid && !are_text_subjects_allowed()))
        return false;
    out = subject.id;
    return true;
}

bool has_refused_subject()
{
    auto const &subject = read_subject();
    return subject.is_there && !subject.is_uuid && !are_text_subjects_allowed();
}

// A sequence keeps its value when the transaction fails, and setting it is cheap; once in a while is enough.
void note_refused_subject()
{
    static TimestampTz noted = 0;
    TimestampTz const now = GetCurrentStatementStartTimestamp();
    Oid const sequence = pg::extension_relation("refused_subjects");
    if (XactReadOnly || IsInParallelMode() || !OidIsValid(sequence) || now - noted < USECS_PER_MINUTE)
        return;
    auto const caller =
        pg::become(pg::relation_owner(sequence), SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(now / USECS_PER_SEC));
    pg::become_caller(caller);
    noted = now;
}

uuid user_space(const uuid &workspace)
{
    return are_text_subjects_allowed() ? uuid{0, 0} : workspace;
}

// ---- configuration ----------------------------------------------------------------------------------------

// analytics.membership, or the defaults where it has no row; palloc'd strings.
struct configuration {
    bool from_claim;
    const char *schema_name;
    const char *relation_name;
    const char *workspace_column;
    const char *user_column;
    const char *role_column;   // nullptr: members have no roles
    const char *manager_roles; // the array as text, cast back in the query
};

static char *column_value(int number, MemoryContext context)
{
    char const *const value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);
    return value == nullptr ? nullptr : MemoryContextStrdup(context, value);
}

// The caller has connected to SPI and is the table's owner.
static void read_configuration(configuration &out, MemoryContext context)
{
    static SPIPlanPtr plan = nullptr;
    if (plan == nullptr)
        plan = pg::keep_plan(
            "SELECT source, (pg_catalog.parse_ident(relation))[1],"
            " (pg_catalog.parse_ident(relation))[2], workspace_column, user_column, role_column,"
            " manager_roles::pg_catalog.text FROM analytics.membership");
    if (SPI_execute_plan(plan, nullptr, nullptr, true, 1) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read analytics.membership: %s", SPI_result_code_string(SPI_result));
    if (SPI_processed == 0) {
        out = {false, "public", "workspace_members", "workspace_id", "user_id", nullptr, "{}"};
        return;
    }
    out.from_claim = strcmp(column_value(1, context), "claim") == 0;
    out.schema_name = column_value(2, context);
    out.relation_name = column_value(3, context);
    out.workspace_column = column_value(4, context);
    out.user_column = column_value(5, context);
    out.role_column = column_value(6, context);
    out.manager_roles = column_value(7, context);
}

// False without the table: the library is loaded, the extension is not (or no longer) there.
static bool current_configuration(configuration &out)
{
    Oid const owner = pg::find_relation_owner(pg::extension_relation("membership"));
    if (!OidIsValid(owner))
        return false;
    MemoryContext const context = CurrentMemoryContext;
    auto const caller = pg::become(owner, SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    int const level = NewGUCNestLevel();
    pg::read_copies_here();
    SPI_connect();
    read_configuration(out, context);
    SPI_finish();
    AtEOXact_GUC(false, level);
    pg::become_caller(caller);
    return true;
}

// ---- the membership relation ------------------------------------------------------------------------------

struct membership_relation {
    Oid id;
    Oid owner;
    Oid user_type; // uuid or text
};

static Oid column_type(Oid relation, const char *name)
{
    AttrNumber const number = get_attnum(relation, name);
    return number > 0 ? getBaseType(get_atttype(relation, number)) : InvalidOid;
}

// Finds the relation and locks it against being dropped; returns what is wrong with it, or nullptr.
static const char *resolve(const configuration &source, membership_relation &out)
{
    Oid const schema = get_namespace_oid(source.schema_name, true);
    out.id = OidIsValid(schema) ? get_relname_relid(source.relation_name, schema) : InvalidOid;
    if (!OidIsValid(out.id))
        return "it does not exist";
    LockRelationOid(out.id, AccessShareLock);
    out.owner = pg::find_relation_owner(out.id);
    if (!OidIsValid(out.owner))
        return "it does not exist";
    char const kind = get_rel_relkind(out.id);
    if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW &&
        kind != RELKIND_MATVIEW && kind != RELKIND_FOREIGN_TABLE)
        return "it is not a table or view";
    if (!OidIsValid(column_type(out.id, source.workspace_column)))
        return "it has no such workspace column";
    out.user_type = column_type(out.id, source.user_column);
    if (out.user_type == VARCHAROID)
        out.user_type = TEXTOID;
    if (out.user_type != UUIDOID && out.user_type != TEXTOID)
        return "it has no user column of type uuid or text";
    if (source.role_column != nullptr && !OidIsValid(column_type(out.id, source.role_column)))
        return "it has no such role column";
    if (!pg::may_use_schema(schema, out.owner) ||
        pg_class_aclcheck(out.id, out.owner, ACL_SELECT) != ACLCHECK_OK)
        return "its owner may not read it";
    if (check_enable_rls(out.id, out.owner, true) == RLS_ENABLED)
        return "row security is forced on its owner";
    return nullptr;
}

static char *membership_query(const configuration &source, const membership_relation &relation)
{
    char *const role_test =
        source.role_column == nullptr
            ? pstrdup("true")
            : psprintf("m.%s::pg_catalog.text OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])",
                       quote_identifier(source.role_column), quote_literal_cstr(source.manager_roles));
    return psprintf("SELECT m.%s, %s FROM %s AS m WHERE m.%s OPERATOR(pg_catalog.=) $%d",
                    quote_identifier(source.workspace_column), role_test,
                    quote_qualified_identifier(source.schema_name, source.relation_name),
                    quote_identifier(source.user_column), relation.user_type == TEXTOID ? 2 : 1);
}

// One plan, for the configuration used last.
static SPIPlanPtr membership_plan(const char *query)
{
    static SPIPlanPtr plan = nullptr;
    static char *planned_query = nullptr;
    if (plan != nullptr && strcmp(planned_query, query) == 0)
        return plan;
    Oid types[] = {UUIDOID, TEXTOID};
    SPIPlanPtr const fresh = pg::keep_plan(query, 2, types);
    char *const copy = MemoryContextStrdup(TopMemoryContext, query);
    if (plan != nullptr) {
        SPI_freeplan(plan);
        pfree(planned_query);
    }
    planned_query = copy;
    return plan = fresh;
}

// ---- the cache --------------------------------------------------------------------------------------------

struct membership_cache {
    bool is_valid;
    bool is_reading;                  // a membership view that asks for memberships finds none
    const workspace_list *raw_events; // into `answer` or to `nowhere`; nullptr: not asked yet
    pg::statement_key key;
    remembered_claims claims;
    MemoryContext context; // of the lists
    memberships answer;
};
static membership_cache cache;

static constexpr uuid nil{0, 0};

static workspace_list make_list(uuid *items, int count)
{
    std::sort(items, items + count);
    auto *const end = std::remove(items, std::unique(items, items + count), nil);
    return {items, static_cast<int>(end - items)};
}

static uuid *allocate_ids(std::size_t count)
{
    return static_cast<uuid *>(MemoryContextAllocHuge(cache.context, (count + 1) * sizeof(uuid)));
}

static void take_claimed(const char *claims)
{
    auto const capacity = workspace_capacity(strlen(claims));
    uuid *const ids = allocate_ids(capacity);
    auto const count = claimed_workspaces(claims, ids, capacity);
    cache.answer.all = cache.answer.managed = make_list(ids, static_cast<int>(count));
}

static void take_rows(bool has_roles)
{
    uuid *const all = allocate_ids(SPI_processed);
    uuid *const managed = allocate_ids(SPI_processed);
    int all_count = 0;
    int managed_count = 0;
    for (std::uint64_t i = 0; i < SPI_processed; ++i) {
        HeapTuple const row = SPI_tuptable->vals[i];
        char const *const text = SPI_getvalue(row, SPI_tuptable->tupdesc, 1);
        auto const id = text == nullptr ? std::nullopt : parse_uuid(text);
        if (!id)
            continue;
        bool is_null;
        bool const manages = DatumGetBool(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null)) && !is_null;
        all[all_count++] = *id;
        if (manages)
            managed[managed_count++] = *id;
    }
    cache.answer = {make_list(all, all_count), make_list(managed, managed_count), has_roles, false, false};
}

// As a membership relation has it as text.
static Datum user_text(const uuid &user)
{
    auto const &subject = read_subject();
    char usual[37];
    if (subject.is_uuid)
        format_uuid(user, usual);
    return CStringGetTextDatum(subject.is_uuid ? usual : subject.text);
}

// Reads as the relation's owner: the caller needs no right on it, its row security (which might ask for the
// caller's memberships) does not apply, and a view's functions run with no more rights than its owner has.
static void read_relation(const configuration &source, const membership_relation &relation, const uuid &user)
{
    pg_uuid_t id;
    user.to_bytes(id.data);
    auto const caller =
        pg::become(relation.owner, SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    int const nest_level = NewGUCNestLevel();
    pg::set_parameter("search_path", "pg_catalog, pg_temp");
    pg::set_parameter("row_security", "on");
    pg::read_copies_here();
    SPI_connect();
    Datum arguments[] = {UUIDPGetDatum(&id), user_text(user)};
    if (SPI_execute_plan(membership_plan(membership_query(source, relation)), arguments, nullptr, true, 0) !=
        SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the membership relation: %s", SPI_result_code_string(SPI_result));
    take_rows(source.role_column != nullptr);
    SPI_finish();
    AtEOXact_GUC(false, nest_level);
    pg::become_caller(caller);
}

// ---- readers ----------------------------------------------------------------------------------------------

static bool bypasses_row_security(Oid user, Oid table_owner)
{
    return has_bypassrls_privilege(user) || has_privs_of_role(user, table_owner);
}

// One row per workspace of the role; one without workspace for a reader of all.
static SPIPlanPtr reader_plan()
{
    static SPIPlanPtr plan = nullptr;
    Oid types[] = {OIDOID};
    if (plan == nullptr)
        plan = pg::keep_plan(
            "SELECT w.workspace_id, false"
            " FROM analytics.readers AS r"
            " JOIN pg_catalog.pg_roles AS g ON g.rolname OPERATOR(pg_catalog.=) r.role_name"
            " CROSS JOIN LATERAL pg_catalog.unnest(coalesce(r.workspace_ids, ARRAY[NULL]::pg_catalog.uuid[]))"
            " AS w (workspace_id) WHERE pg_catalog.pg_has_role($1, g.oid, 'USAGE')",
            1, types);
    return plan;
}

static bool has_row_without_workspace()
{
    for (std::uint64_t i = 0; i < SPI_processed; ++i)
        if (SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1) == nullptr)
            return true;
    return false;
}

static void take_readers()
{
    bool const reads_all = has_row_without_workspace();
    if (!reads_all)
        take_rows(true); // manages nothing
    cache.answer.is_reader = true;
    cache.answer.reads_all = reads_all;
}

// What a database role without claims may read, whoever uses it.
static void read_readers()
{
    Oid const user = GetUserId();
    Oid const owner = pg::find_relation_owner(pg::extension_relation("readers"));
    if (!OidIsValid(owner) || bypasses_row_security(user, owner))
        return;
    auto const caller = pg::become(owner, SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    int const level = NewGUCNestLevel();
    pg::read_copies_here();
    SPI_connect();
    Datum arguments[] = {ObjectIdGetDatum(user)};
    if (SPI_execute_plan(reader_plan(), arguments, nullptr, true, 0) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read analytics.readers: %s", SPI_result_code_string(SPI_result));
    if (SPI_processed > 0)
        take_readers();
    SPI_finish();
    AtEOXact_GUC(false, level);
    pg::become_caller(caller);
}

static void read_memberships(const claim_texts &claims)
{
    uuid user;
    configuration source;
    if (!current_user(user)) {
        read_readers();
        return;
    }
    if (!current_configuration(source))
        return;
    if (source.from_claim) {
        take_claimed(claims.claims);
        return;
    }
    membership_relation relation;
    if (resolve(source, relation) == nullptr)
        read_relation(source, relation, user);
}

// Reads into the cache and leaves it marked invalid if anything fails.
static void refresh(const pg::statement_key &key, const claim_texts &claims)
{
    cache.is_valid = false;
    if (cache.context == nullptr)
        cache.context = AllocSetContextCreate(TopMemoryContext, "shadow memberships", ALLOCSET_SMALL_SIZES);
    MemoryContextReset(cache.context);
    cache.answer = {};
    cache.raw_events = nullptr;
    cache.is_reading = true;
    PG_TRY();
    {
        cache.claims.remember(claims);
        read_memberships(claims);
    }
    PG_FINALLY();
    {
        cache.is_reading = false;
    }
    PG_END_TRY();
    cache.key = key;
    cache.is_valid = true;
}

const memberships &current_memberships()
{
    static constexpr memberships none{};
    pg::statement_key key;
    auto const claims = current_claims();
    if (cache.is_reading || !pg::current_statement(key))
        return none;
    if (!cache.is_valid || !(cache.key == key) || !cache.claims.equal(claims))
        refresh(key, claims);
    return cache.answer;
}

const workspace_list &raw_event_workspaces()
{
    static constexpr workspace_list nowhere{};
    auto const &mine = current_memberships();
    if (&mine != &cache.answer || mine.is_reader)
        return nowhere;
    if (cache.raw_events == nullptr) {
        const char *const visible_to = pg::setting_value("raw_events_visible_to");
        if (strcmp(visible_to, "members") == 0)
            cache.raw_events = &cache.answer.all;
        else if (strcmp(visible_to, "roles") == 0 && cache.answer.has_roles)
            cache.raw_events = &cache.answer.managed;
        else
            cache.raw_events = &nowhere;
    }
    return *cache.raw_events;
}

bool sees_all_workspaces()
{
    auto const claims = current_claims();
    if (*claims.subject != '\0' || *claims.claims != '\0' || GetUserId() != GetOuterUserId())
        return false;
    Oid const owner = pg::find_relation_owner(pg::extension_relation("daily_metrics"));
    return OidIsValid(owner) &&
           (bypasses_row_security(GetUserId(), owner) || current_memberships().reads_all);
}

const char *membership_problem()
{
    configuration source;
    membership_relation relation;
    if (!current_configuration(source))
        return "analytics.membership does not exist";
    return source.from_claim ? nullptr : resolve(source, relation);
}

} // namespace shadow::entry
