// Redaction of 10 kB, the most that an event's metadata holds: words, and what begins a rule again and again.

#include "core/redaction/redact.hpp"

#include <benchmark/benchmark.h>
#include <string>

static void redact(benchmark::State &state, const char *piece)
{
    std::string text;
    while (text.size() < 10000)
        text += piece;
    for (auto _ : state)
        benchmark::DoNotOptimize(shadow::redact(text));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK_CAPTURE(redact, words, "connection refused by the peer ")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, plus, "a+")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, mail, "a@1")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, hyphens, "g-")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, quotes, "token \"a")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, ipv6, "1:2:3:4:5:6:7:x ")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, gaps, "1::")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, hex_groups, "Aabc-")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, digits, "12 34 5x ")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(redact, message, "user ann@example.org (id 123456) from 203.0.113.7: password=x ")
    ->Unit(benchmark::kMicrosecond);
