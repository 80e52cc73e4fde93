// The module itself: magic block, version, what is set when it is loaded.

#include "core/base/hash.hpp"
#include "entry/maintenance/worker.hpp"
#include "pg/boundary.hpp"
#include "pg/cells.hpp"

extern "C" {
#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/hashfn.h"

PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

// Random, made by initdb, the same in all processes of a server, and never shown to anybody.
static std::uint64_t server_secret(std::uint64_t seed)
{
    auto const *const nonce = reinterpret_cast<const unsigned char *>(GetMockAuthenticationNonce());
    return hash_bytes_extended(nonce, MOCK_AUTH_NONCE_LEN, seed);
}

void _PG_init(void)
{
    shadow::secret_hash_key = {server_secret(1), server_secret(2)};
    shadow::pg::define_cells();
    if (process_shared_preload_libraries_in_progress)
        shadow::entry::register_worker();
}

SHADOW_FUNCTION(shadow_version)
{
    PG_RETURN_TEXT_P(cstring_to_text(SHADOW_VERSION));
}
