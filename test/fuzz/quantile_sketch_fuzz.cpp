// libFuzzer: any bytes as a stored quantile sketch and as its text.
//   clang++ -std=c++17 -g -O1 -fsanitize=fuzzer,address,undefined -Isrc test/fuzz/quantile_sketch_fuzz.cpp
//     src/core/quantiles/quantile_sketch*.cpp src/core/quantiles/exact_sum.cpp

#include "quantile_sketch_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    shadow::check_quantile_sketch(data, size);
    return 0;
}
