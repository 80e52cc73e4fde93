#pragma once
// 128-bit integers: exact sums and differences of scaled decimals. A compiler extension, named once.

namespace shadow
{

__extension__ using int128 = __int128;
__extension__ using uint128 = unsigned __int128;

} // namespace shadow
