#pragma once
// What core reads events with: PostgreSQL's jsonb as metadata, in place, whatever its alignment, without a
// copy; and the database's encoding.

#include "core/event/metadata.hpp"
#include "pg/prelude.hpp"

namespace shadow::entry
{

const json_host &jsonb_host() noexcept;

// Reads the known keys of a jsonb object. `varlena` must not be compressed or out of line
// (PG_DETOAST_DATUM_PACKED is enough); anything but an object has no keys. The result points into it.
void read_metadata(const void *varlena, metadata &out) noexcept;

// The value of one key; json_type::null without it. An object or array has its bytes as text.
json_value find_metadata_value(const void *varlena, std::string_view key) noexcept;

// The text_clipper of the database's encoding.
std::size_t clip_text(const char *text, std::size_t length, int characters);

} // namespace shadow::entry
