#pragma once
// PostgreSQL's jsonb as core::metadata: read in place, whatever its alignment, without a copy.

#include "core/event/metadata.hpp"
#include "pg/prelude.hpp"

namespace shadow::pg
{

const json_host &jsonb_host() noexcept;

// Reads the known keys of a jsonb object. `varlena` must not be compressed or out of line
// (PG_DETOAST_DATUM_PACKED is enough); anything but an object has no keys. The result points into it.
void read_metadata(const void *varlena, metadata &out) noexcept;

} // namespace shadow::pg
