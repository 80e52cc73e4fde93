#include "core/alerts/window_metrics.hpp"

#include "core/base/decimal.hpp"

#include <cstdio>

namespace shadow
{

static constexpr std::size_t most_examples = 5; // agents and error types in a description

static int128 nanos(int128 value, int scale) noexcept
{
    for (; scale < nano_scale; ++scale)
        value *= 10;
    return value;
}

static metric_sample count_sample(std::int64_t n) noexcept
{
    return {true, int128{n} * nano, 0, 0};
}

// A percentage with 2 decimals, as the rollups store it.
static metric_sample rate_sample(std::int64_t part, std::int64_t whole) noexcept
{
    if (whole == 0)
        return {false, 0, part, whole};
    return {true, nanos(divide_rounded(int128{part} * 10000, whole), 2), part, whole};
}

static metric_sample mean_sample(int128 sum, int128 divisor, int scale) noexcept
{
    if (divisor == 0)
        return {};
    return {true, nanos(divide_rounded(sum, divisor), scale), 0, 0};
}

void window_metrics::counts::add(const alert_mark &mark)
{
    std::uint32_t const i = positions.find_or_add(mark.key, [&] {
        values.push_back({mark.key, 0});
        return static_cast<std::uint32_t>(values.size() - 1);
    });
    std::int64_t &n = values[i].n;
    present -= n != 0;
    n += mark.change;
    present += n != 0;
}

void window_metrics::add(const alert_collector &events, std::size_t slot)
{
    totals_.add(events.totals(slot));
    for (alert_mark const &mark : events.failing_agents(slot))
        agents_.add(mark);
    for (alert_mark const &mark : events.error_types(slot))
        types_.add(mark);
}

metric_sample window_metrics::operator[](alert_metric metric) const noexcept
{
    alert_totals const &t = totals_;
    switch (metric) {
    case alert_metric::error_rate:
        return rate_sample(t.errors, t.events);
    case alert_metric::failure_rate:
        return rate_sample(t.runs.failed, t.runs.successful + t.runs.failed);
    case alert_metric::response_time:
        return mean_sample(t.response_time, int128{t.responses} * 1'000'000, 0);
    case alert_metric::active_users:
        return count_sample(t.users);
    case alert_metric::failed_runs:
        return count_sample(t.runs.failed);
    case alert_metric::credits_consumed:
        return {true, t.credits, 0, 0};
    case alert_metric::agent_failures:
        return count_sample(agents_.present);
    case alert_metric::user_signups:
        return count_sample(t.signups);
    case alert_metric::session_duration:
        return mean_sample(t.session_time, int128{t.sessions} * 10'000, 2);
    }
    return {};
}

template <typename Less>
std::pmr::vector<window_metrics::count> window_metrics::largest(const counts &of, Less less) const
{
    std::pmr::vector<count> result(memory_);
    std::copy_if(of.values.begin(), of.values.end(), std::back_inserter(result),
                 [](const count &c) { return c.n != 0; });
    auto const size = std::min(result.size(), most_examples);
    std::partial_sort(
        result.begin(), result.begin() + static_cast<std::ptrdiff_t>(size), result.end(),
        [&](const count &a, const count &b) { return a.n != b.n ? a.n > b.n : less(a.key, b.key); });
    result.resize(size);
    return result;
}

void window_metrics::describe_agents(json_writer &json) const
{
    char text[37];
    auto const agents = largest(
        agents_, [&](std::uint32_t a, std::uint32_t b) { return interned_.agent(a) < interned_.agent(b); });
    json.raw(",\"failing_agents\":[");
    for (count const &c : agents) {
        json.raw(&c == agents.data() ? "{\"agent_id\":" : ",{\"agent_id\":")
            .string(format_uuid(interned_.agent(c.key), text));
        if (auto const name = interned_.agent_name(c.key); !name.empty())
            json.raw(",\"name\":").string(name);
        json.raw(",\"failed_runs\":").number(c.n).raw("}");
    }
    json.raw("]");
}

void window_metrics::describe_types(json_writer &json) const
{
    auto const types = largest(
        types_, [&](std::uint32_t a, std::uint32_t b) { return interned_.text(a) < interned_.text(b); });
    json.raw(",\"error_types\":[");
    for (count const &c : types)
        json.raw(&c == types.data() ? "{\"type\":" : ",{\"type\":")
            .string(interned_.text(c.key))
            .raw(",\"count\":")
            .number(c.n)
            .raw("}");
    json.raw("]");
}

// ISO 8601 in UTC from microseconds since 2000-01-01. The calendar: H. Hinnant, chrono-compatible low-level
// date algorithms, civil_from_days.
static std::string_view iso_time(std::int64_t at, char (&buffer)[32]) noexcept
{
    constexpr std::int64_t day = INT64_C(86'400'000'000);
    std::int64_t const days = at >= 0 ? at / day : -((-at + day - 1) / day);
    auto const seconds = static_cast<long>((at - days * day) / 1'000'000);
    std::int64_t const z = days + 10957 + 719468; // days since 0000-03-01
    std::int64_t const era = (z >= 0 ? z : z - 146096) / 146097;
    auto const doe = static_cast<unsigned>(z - era * 146097);
    unsigned const yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned const doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned const mp = (5 * doy + 2) / 153;
    unsigned const month = mp < 10 ? mp + 3 : mp - 9;
    std::int64_t const year = static_cast<std::int64_t>(yoe) + era * 400 + (month <= 2);
    int const n = std::snprintf(buffer, sizeof buffer, "%04lld-%02u-%02uT%02ld:%02ld:%02ldZ",
                                static_cast<long long>(year), month, doy - (153 * mp + 2) / 5 + 1,
                                seconds / 3600, seconds / 60 % 60, seconds % 60);
    return {buffer, static_cast<std::size_t>(n)};
}

// The interner's messages are redacted and short.
void window_metrics::describe_samples(std::int64_t first, span<const alert_sample> samples,
                                      json_writer &json) const
{
    char time[32];
    json.raw(",\"samples\":[");
    for (alert_sample const &s : samples) {
        if (s.at < first)
            break; // the newest come first
        json.raw(&s == samples.data ? "{\"at\":" : ",{\"at\":")
            .string(iso_time(s.at, time))
            .raw(",\"type\":")
            .string(interned_.text(s.type))
            .raw(",\"message\":")
            .string(interned_.message(s.message).text)
            .raw("}");
    }
    json.raw("]");
}

void window_metrics::describe(std::int64_t first, std::int64_t last, span<const alert_sample> samples,
                              json_writer &json) const
{
    char time[32];
    json.raw("\"window_start\":").string(iso_time(first, time));
    json.raw(",\"window_end\":").string(iso_time(last, time));
    json.raw(",\"events\":").number(totals_.events);
    json.raw(",\"active_users\":").number(totals_.users);
    json.raw(",\"total_runs\":").number(totals_.runs.total);
    json.raw(",\"successful_runs\":").number(totals_.runs.successful);
    json.raw(",\"failed_runs\":").number(totals_.runs.failed);
    json.raw(",\"cancelled_runs\":").number(totals_.runs.cancelled);
    json.raw(",\"errors\":").number(totals_.errors);
    describe_agents(json);
    describe_types(json);
    describe_samples(first, samples, json);
}

} // namespace shadow
