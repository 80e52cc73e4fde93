#pragma once
// The numbers of one window or hour: what each metric of an alert rule is there, and what the window held.

#include "core/alerts/collector.hpp"
#include "core/alerts/rule.hpp"
#include "core/base/json_writer.hpp"

namespace shadow
{

// What a metric is.
struct metric_sample {
    bool has_value;
    int128 value;       // 10^-9
    std::int64_t part;  // of a rate: bad ones
    std::int64_t whole; // of a rate: all
};

class window_metrics
{
public:
    window_metrics(const interner &interned, std::pmr::memory_resource *memory)
        : interned_(interned), memory_(memory), agents_(memory), types_(memory)
    {
    }

    void add(const alert_collector &events, std::size_t slot);
    metric_sample operator[](alert_metric metric) const noexcept;
    std::int64_t events() const noexcept { return totals_.events; }

    // Members of a JSON object: the bounds, counts, and the worst agents, error types and latest errors.
    void describe(std::int64_t first, std::int64_t last, span<const alert_sample> samples,
                  json_writer &json) const;

private:
    struct count {
        std::uint32_t key;
        std::int64_t n;
    };
    // Counts by key, and how many of them are not 0.
    struct counts {
        explicit counts(std::pmr::memory_resource *memory) : positions(memory), values(memory) {}
        void add(const alert_mark &mark);

        id_map positions;
        std::pmr::vector<count> values;
        std::int64_t present = 0;
    };
    // The largest counts, equal ones as less(key, key) says.
    template <typename Less>
    std::pmr::vector<count> largest(const counts &of, Less less) const;
    void describe_agents(json_writer &json) const;
    void describe_types(json_writer &json) const;
    void describe_samples(std::int64_t first, span<const alert_sample> samples, json_writer &json) const;

    const interner &interned_;
    std::pmr::memory_resource *memory_;
    alert_totals totals_;
    counts agents_, types_;
};

} // namespace shadow
