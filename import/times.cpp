#include "times.hpp"

#include "core/ingest/times.hpp"

#include <date/tz.h>

#include <stdexcept>

namespace importer
{

using std::chrono::microseconds;

static constexpr std::int64_t microseconds_of_epoch = unix_epoch_days * microseconds_per_day;

zone::zone(const std::string &name)
{
    try {
        zone_ = date::locate_zone(name);
    } catch (const std::exception &) {
        throw std::runtime_error("unknown time zone \"" + name + "\"; names are as in Europe/Berlin");
    }
}

std::int64_t zone::to_utc(std::int64_t local) const
{
    date::local_time<microseconds> const time{microseconds(local + microseconds_of_epoch)};
    auto const utc = zone_->to_sys(time, date::choose::earliest);
    return utc.time_since_epoch().count() - microseconds_of_epoch;
}

instant parse_time(const value &v, const zone &z, bool are_numbers_local)
{
    instant result;
    if (v.type != kind::number && v.type != kind::text) {
        result.problem = "a time that cannot be read";
        return result;
    }
    auto const time = shadow::read_time(v.text, v.type == kind::number);
    result.at = time.at;
    result.problem = time.problem;
    if (time.problem == nullptr && !time.has_zone && !z)
        result.problem = "a time without a zone (see --time-zone)";
    bool const is_local = !time.has_zone || (are_numbers_local && time.is_epoch);
    if (result.problem == nullptr && is_local && z)
        result.at = z.to_utc(result.at);
    return result;
}

std::string format_time(std::int64_t at)
{
    date::sys_time<microseconds> const time{microseconds(at + microseconds_of_epoch)};
    return date::format("%FT%TZ", time);
}

std::string format_day(std::int64_t day)
{
    return date::format("%F", date::sys_days(date::days(day + unix_epoch_days)));
}

} // namespace importer
