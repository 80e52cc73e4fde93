#include "entry/event/privacy.hpp"

#include "pg/cells.hpp"
#include "pg/settings.hpp"
#include "pg/spi.hpp"

#include <sys/socket.h> // AF_INET, in PGSQL_AF_INET

extern "C" {
#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rls.h"
}

namespace shadow::entry
{

const privacy_rules &current_privacy_rules()
{
    static privacy_rules rules;
    static std::uint64_t generation = 0;
    auto const now = pg::settings_generation();
    if (generation != now) {
        rules.ip = ip_policy_named(pg::setting_value("ip_policy"));
        rules.user_agent = user_agent_policy_named(pg::setting_value("user_agent_policy"));
        rules.keep_query = pg::setting_boolean("keep_query");
        rules.trust_client_amounts = pg::setting_boolean("trust_client_amounts");
        rules.most_age = pg::setting_integer("event_max_age_days") * USECS_PER_DAY;
        rules.most_future = pg::setting_integer("event_max_future_minutes") * USECS_PER_MINUTE;
        generation = now;
    }
    return rules;
}

bool is_under_row_security(Oid relation)
{
    return check_enable_rls(relation, InvalidOid, true) == RLS_ENABLED;
}

bool is_taken_as_is(Oid relation)
{
    return (!row_security && pg_class_ownercheck(relation, GetUserId())) || pg::is_arriving(relation);
}

// ---- addresses --------------------------------------------------------------------------------------------

// A copy with a header of four bytes. An IPv4 client of a socket for both (::ffff:a.b.c.d) is that client.
static inet *unmapped_address(const inet *address)
{
    constexpr int prefix = 12; // bytes
    auto *const copy = static_cast<inet *>(palloc0(sizeof(inet)));
    ip_family(copy) = ip_family(address);
    ip_bits(copy) = ip_bits(address);
    memcpy(ip_addr(copy), ip_addr(address), static_cast<size_t>(ip_addrsize(address)));
    if (ip_family(address) == PGSQL_AF_INET6 && ip_bits(address) >= 8 * prefix &&
        memcmp(ip_addr(address), "\0\0\0\0\0\0\0\0\0\0\xff\xff", prefix) == 0) {
        ip_family(copy) = PGSQL_AF_INET;
        ip_bits(copy) = static_cast<unsigned char>(ip_bits(address) - 8 * prefix);
        memmove(ip_addr(copy), ip_addr(copy) + prefix, 4);
    }
    SET_INET_VARSIZE(copy);
    return copy;
}

inet *truncated_address(const inet *address)
{
    inet *const copy = unmapped_address(address);
    int const kept = ip_family(copy) == PGSQL_AF_INET ? kept_bits_ipv4 : kept_bits_ipv6;
    truncate_address(ip_addr(copy), ip_addrsize(copy), kept);
    ip_bits(copy) = Min(ip_bits(copy), kept);
    return copy;
}

struct ip_secret {
    LocalTransactionId transaction;
    std::uint32_t version;
    std::uint8_t bytes[48];
};

static bool read_secret(ip_secret &out)
{
    int const level = NewGUCNestLevel();
    pg::read_copies_here();
    PushActiveSnapshot(GetLatestSnapshot());
    if (SPI_execute("SELECT version, secret FROM analytics.ip_secret", true, 1) != SPI_OK_SELECT)
        elog(ERROR, "SPI could not read the secret: %s", SPI_result_code_string(SPI_result));
    PopActiveSnapshot();
    AtEOXact_GUC(false, level);
    if (SPI_processed == 0)
        return false;
    bool is_null;
    HeapTuple const row = SPI_tuptable->vals[0];
    out.version =
        static_cast<std::uint32_t>(DatumGetInt32(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null)));
    auto const *const secret = DatumGetByteaPP(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null));
    memset(out.bytes, 0, sizeof out.bytes); // as HMAC fills up a shorter key
    memcpy(out.bytes, VARDATA_ANY(secret), Min(sizeof out.bytes, VARSIZE_ANY_EXHDR(secret)));
    return true;
}

// The loser of a race between two first users waits, and then reads the winner's.
static void make_secret()
{
    if (SPI_execute("INSERT INTO analytics.ip_secret DEFAULT VALUES ON CONFLICT DO NOTHING", false, 0) !=
        SPI_OK_INSERT)
        elog(ERROR, "SPI could not make the secret: %s", SPI_result_code_string(SPI_result));
}

// Read once per transaction.
static const ip_secret &current_secret()
{
    static ip_secret secret;
    static std::uint64_t aborts = 0;
    auto const now = pg::local_transaction_id();
    if (secret.transaction == now && aborts == pg::aborted_subtransactions())
        return secret;
    secret.transaction = InvalidLocalTransactionId;
    auto const caller = pg::become(pg::relation_owner(pg::extension_relation("ip_secret")),
                                   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    SPI_connect();
    if (!read_secret(secret)) {
        make_secret();
        if (!read_secret(secret))
            elog(ERROR, "the secret of ip_hash is missing");
    }
    SPI_finish();
    pg::become_caller(caller);
    aborts = pg::aborted_subtransactions();
    secret.transaction = now;
    return secret;
}

bytea *hashed_address(const inet *given)
{
    inet const *const address = unmapped_address(given);
    auto const &secret = current_secret();
    Size const size = VARHDRSZ + sizeof secret.version + PG_SHA256_DIGEST_LENGTH;
    auto *const result = static_cast<bytea *>(palloc(size));
    SET_VARSIZE(result, size);
    auto *const out = reinterpret_cast<std::uint8_t *>(VARDATA(result));
    std::uint32_t const version = pg_hton32(secret.version);
    memcpy(out, &version, sizeof version);
    std::uint8_t const family = ip_family(address) == PGSQL_AF_INET ? 4 : 6;
    auto *const hmac = pg_hmac_create(PG_SHA256);
    bool const is_done =
        hmac != nullptr && pg_hmac_init(hmac, secret.bytes, sizeof secret.bytes) >= 0 &&
        pg_hmac_update(hmac, &family, 1) >= 0 &&
        pg_hmac_update(hmac, ip_addr(address), static_cast<size_t>(ip_addrsize(address))) >= 0 &&
        pg_hmac_final(hmac, out + sizeof version, PG_SHA256_DIGEST_LENGTH) >= 0;
    pg_hmac_free(hmac);
    if (!is_done)
        ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not hash an address"));
    return result;
}

// ---- amounts ----------------------------------------------------------------------------------------------

static constexpr char marker[] = "dropped_values";

static metadata_key key_of(const JsonbValue &key)
{
    return find_metadata_key({key.val.string.val, static_cast<std::size_t>(key.val.string.len)});
}

static bool is_refused(metadata_key key)
{
    return is_amount(key) || key == metadata_key::dropped_values;
}

static bool has_refused(Jsonb *metadata)
{
    JsonbIterator *position = JsonbIteratorInit(&metadata->root);
    JsonbValue value;
    for (auto token = JsonbIteratorNext(&position, &value, true); token != WJB_DONE;
         token = JsonbIteratorNext(&position, &value, true))
        if (token == WJB_KEY && is_refused(key_of(value)))
            return true;
    return false;
}

static JsonbValue text_value(const char *text, int length)
{
    JsonbValue value;
    value.type = jbvString;
    value.val.string.val = const_cast<char *>(text);
    value.val.string.len = length;
    return value;
}

Jsonb *without_amounts(Jsonb *metadata)
{
    if (!has_refused(metadata))
        return nullptr;
    StringInfoData dropped;
    initStringInfo(&dropped);
    JsonbParseState *state = nullptr;
    JsonbIterator *position = JsonbIteratorInit(&metadata->root);
    JsonbValue value;
    JsonbIteratorNext(&position, &value, true);
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    while (JsonbIteratorNext(&position, &value, true) == WJB_KEY) {
        auto const key = key_of(value);
        if (is_refused(key)) {
            if (is_amount(key))
                appendStringInfo(&dropped, "%s%.*s", dropped.len > 0 ? "," : "", value.val.string.len,
                                 value.val.string.val);
            JsonbIteratorNext(&position, &value, true);
            continue;
        }
        pushJsonbValue(&state, WJB_KEY, &value);
        JsonbIteratorNext(&position, &value, true);
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    if (dropped.len > 0) {
        value = text_value(marker, sizeof marker - 1);
        pushJsonbValue(&state, WJB_KEY, &value);
        value = text_value(dropped.data, dropped.len);
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

Datum dropped_amounts(Jsonb *metadata)
{
    if (!JB_ROOT_IS_OBJECT(metadata) || !has_refused(metadata) ||
        current_privacy_rules().trust_client_amounts ||
        !is_under_row_security(pg::extension_relation("user_activity")))
        return Datum{0};
    ArrayBuildState *names = nullptr;
    JsonbIterator *position = JsonbIteratorInit(&metadata->root);
    JsonbValue value;
    for (auto token = JsonbIteratorNext(&position, &value, true); token != WJB_DONE;
         token = JsonbIteratorNext(&position, &value, true))
        if (token == WJB_KEY && is_amount(key_of(value)))
            names = accumArrayResult(
                names, PointerGetDatum(cstring_to_text_with_len(value.val.string.val, value.val.string.len)),
                false, TEXTOID, CurrentMemoryContext);
    return names == nullptr ? Datum{0} : makeArrayResult(names, CurrentMemoryContext);
}

// Numbers as text ("5") count as numbers, so they stay.
static bool is_number_text(const JsonbValue &value)
{
    std::string_view const text(value.val.string.val, static_cast<std::size_t>(value.val.string.len));
    return !text.empty() && text.find_first_not_of("0123456789.+-eE \t\n") == std::string_view::npos;
}

static JsonbValue *push_without_person(JsonbParseState **state, JsonbContainer *object, int depth)
{
    JsonbIterator *position = JsonbIteratorInit(object);
    JsonbValue key;
    JsonbValue value;
    JsonbIteratorNext(&position, &key, true);
    pushJsonbValue(state, WJB_BEGIN_OBJECT, nullptr);
    while (JsonbIteratorNext(&position, &key, true) == WJB_KEY) {
        JsonbIteratorNext(&position, &value, true);
        auto const known = key_of(key);
        if (known == metadata_key::none)
            continue;
        pushJsonbValue(state, WJB_KEY, &key);
        // Only the counts of tokens are an object, of known keys again.
        if (value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data) && depth == 0) {
            push_without_person(state, value.val.binary.data, depth + 1);
            continue;
        }
        bool const is_text = value.type == jbvString && !is_identifier(known) && !is_number_text(value);
        if (is_text || value.type == jbvBinary)
            value = text_value(erased_text.data(), static_cast<int>(erased_text.size()));
        pushJsonbValue(state, WJB_VALUE, &value);
    }
    return pushJsonbValue(state, WJB_END_OBJECT, nullptr);
}

Jsonb *without_person(Jsonb *metadata)
{
    JsonbParseState *state = nullptr;
    return JsonbValueToJsonb(push_without_person(&state, &metadata->root, 0));
}

} // namespace shadow::entry

// (table_name text): found when it is asked for, as a shard's trigger is made before the table on its server.
SHADOW_FUNCTION(shadow_is_taken_as_is)
{
    char const *const name = text_to_cstring(PG_GETARG_TEXT_PP(0));
    PG_RETURN_BOOL(shadow::entry::is_taken_as_is(shadow::pg::extension_relation(name)));
}
