#include "core/questions/question.hpp"

#include "core/base/decimal.hpp"
#include "core/questions/like.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

constexpr int longest_range = 3700; // days

class stream_sink final : public event_sink
{
public:
    // Of the users those of one share; the number of shares is a power of two.
    stream_sink(question &asked, event_stream &stream, question::kept which, std::uint64_t shares,
                std::uint64_t share)
        : question_(asked), stream_(stream), which_(which), share_mask_(shares - 1), share_(share)
    {
    }
    void add(const event_source &event) override
    {
        if (share_mask_ != 0 && (event.user.hash() & share_mask_) != share_)
            return;
        if (question_.users && !question_.users->has(event.user))
            return;
        program &p = question_.events;
        p.open(event);
        event_mask const mask = p.match();
        if (which_ != question::kept::all &&
            (mask & (which_ == question::kept::filtered ? ~event_mask{0} : ~filter_bit)) == 0)
            return;
        stream_.add(event, mask, p);
    }

private:
    question &question_;
    event_stream &stream_;
    question::kept which_;
    std::uint64_t share_mask_, share_;
};

} // namespace

user_choice::user_choice(const std::vector<known_user> &users) : chosen(users.size(), true)
{
    for (known_user const &u : users) {
        index_.add(u.id);
        numbers_.push_back(u.number);
    }
}

std::vector<bool> are_in(const std::vector<known_user> &users, const user_set_view &set)
{
    std::vector<bool> result(users.size());
    for (std::size_t i = 0; i < users.size(); ++i)
        result[i] = set.contains(users[i].number);
    return result;
}

std::vector<std::uint32_t> user_choice::numbers() const
{
    std::vector<std::uint32_t> result;
    for (std::size_t i = 0; i < chosen.size(); ++i)
        if (chosen[i])
            result.push_back(numbers_[i]);
    std::sort(result.begin(), result.end());
    return result;
}

arguments::arguments(const json &values, const place &where, std::initializer_list<std::string_view> names)
    : values_(values), where_(where)
{
    if (!values.is_object())
        where.refuse("an object with arguments is expected here",
                     "Write {\"steps\": [\"page_view\", \"click\"]}.");
    for (std::string const &key : values.keys)
        if (std::find(names.begin(), names.end(), key) == names.end()) {
            std::string known;
            for (std::string_view const n : names)
                known += (known.empty() ? "" : ", ") + std::string(n);
            place(where, key, true).refuse("unknown argument", "The arguments are " + known + ".");
        }
}

const json *arguments::find(std::string_view name) const noexcept
{
    const json *const value = values_.find(name);
    return value == nullptr || value->is_null() ? nullptr : value;
}

const json &arguments::require(std::string_view name) const
{
    const json *const value = find(name);
    if (value == nullptr)
        at(name).refuse("argument \"" + std::string(name) + "\" is missing", "It has no default.");
    return *value;
}

std::string_view arguments::text(std::string_view name, std::string_view missing) const
{
    const json *const value = find(name);
    if (value == nullptr)
        return missing;
    if (!value->is_string())
        at(name).refuse("a text is expected here", "Write it in quotes.");
    return value->text;
}

bool arguments::flag(std::string_view name, bool missing) const
{
    const json *const value = find(name);
    if (value == nullptr)
        return missing;
    if (value->type != json_type::boolean)
        at(name).refuse("true or false is expected here", "Write it without quotes.");
    return value->boolean;
}

int arguments::integer(std::string_view name, int missing, int lowest, int highest) const
{
    const json *const value = find(name);
    if (value == nullptr)
        return missing;
    auto const number = value->is_number() ? parse_scaled(value->text, 0) : scaled_number{};
    if (!number.valid || !number.is_whole || number.value < lowest || number.value > highest)
        at(name).refuse("a whole number in range is expected here",
                        "It is between " + std::to_string(lowest) + " and " + std::to_string(highest) + ".");
    return static_cast<int>(number.value);
}

date arguments::day(std::string_view name, date missing) const
{
    return find(name) == nullptr ? missing : parse_date(text(name, {}), at(name));
}

std::int64_t arguments::length(std::string_view name, std::string_view missing) const
{
    return parse_length(text(name, missing), at(name));
}

int arguments::choice(std::string_view name, std::initializer_list<std::string_view> choices) const
{
    std::string_view const given = text(name, *choices.begin());
    std::string known;
    int i = 0;
    for (std::string_view const c : choices) {
        if (c == given)
            return i;
        known += (known.empty() ? "" : ", ") + std::string(c);
        ++i;
    }
    at(name).refuse("unknown " + std::string(name) + " \"" + place::shown(given) + "\"",
                    "Use one of " + known + ".");
}

std::vector<std::string> arguments::texts(std::string_view name, std::size_t most) const
{
    std::vector<std::string> result;
    const json *const value = find(name);
    if (value == nullptr)
        return result;
    if (!value->is_array() || value->items.size() > most)
        at(name).refuse("a list of texts is expected here",
                        "It has at most " + std::to_string(most) + " elements.");
    for (std::size_t i = 0; i < value->items.size(); ++i) {
        if (!value->items[i].is_string())
            place(at(name), i).refuse("a text is expected here", "Write it in quotes.");
        result.push_back(value->items[i].text);
    }
    return result;
}

std::vector<std::string> arguments::patterns(std::string_view name) const
{
    constexpr std::size_t most_patterns = 100;
    std::vector<std::string> result = texts(name, most_patterns);
    for (std::size_t i = 0; i < result.size(); ++i)
        check_pattern(result[i], place(at(name), i));
    return result;
}

json text_json(std::string_view text)
{
    json result;
    result.type = json_type::string;
    result.text = text;
    return result;
}

void question::read_range(const arguments &given, period wanted, bool is_plain)
{
    unit = wanted;
    date const yesterday = settings.today - 1;
    bool const is_today = given.day(start_date, yesterday) == settings.today; // alone, where no end is given
    date const last = given.day(end_date, is_today ? settings.today : yesterday);
    date first = given.day(start_date, last - 29);
    if (given.find(start_date) == nullptr && !is_plain)
        first = std::max(first, std::min(last, host.complete_since(std::min(last, settings.today))));
    if (first > last)
        given.at(start_date).refuse("the range of days is empty", "start_date is not after end_date.");
    if (last - first > longest_range)
        given.at(start_date)
            .refuse("the range of days is too long",
                    "It has at most " + std::to_string(longest_range) + " days.");
    range.first = period_start(first, unit);
    range.last = unit == period::total ? last : next_period(period_start(last, unit), unit) - 1;
    load_days(range.first, range.last);
    range.from = days.start_of(range.first);
    range.until = days.start_of(range.last + 1);
}

void question::load_days(date first, date last)
{
    days = calendar(first, host.day_starts(first, last + 1));
}

instant question::start_of(date day)
{
    if (!days.has(day))
        return host.day_starts(day, day).front();
    return days.start_of(day);
}

std::vector<date> question::periods() const
{
    if (unit == period::total)
        return {range.first};
    std::vector<date> result;
    for (date d = range.first; d <= range.last; d = next_period(d, unit))
        result.push_back(d);
    return result;
}

void question::read_common(const arguments &given)
{
    if (const json *const filter = given.find(filter_name))
        events.set_filter(*filter, given.at(filter_name));
    const json *const segment = given.find(segment_name);
    if (segment == nullptr && settings.users == nullptr)
        return;
    if (segment != nullptr)
        users.emplace(settings.segment(*segment, given.at(segment_name), host, settings));
    if (segment != nullptr && !settings.may_read_persons)
        require_many(*users, given.at(segment_name));
    if (settings.users == nullptr)
        return;
    std::vector<known_user> const known = host.users();
    std::vector<bool> const named = are_in(known, *settings.users);
    if (!users)
        users.emplace(known);
    for (std::size_t i = 0; i < named.size(); ++i)
        users->chosen[i] = users->chosen[i] && named[i];
}

// What a segment of few did is what these did, and so is what is missing where few are left out.
void question::require_many(const user_choice &segment, const place &where) const
{
    std::int64_t const chosen = std::count(segment.chosen.begin(), segment.chosen.end(), true);
    std::int64_t const others = segment.size() - chosen;
    if (chosen >= settings.fewest_users && (others == 0 || others >= settings.fewest_users))
        return;
    throw error(
        errc::not_allowed, "the segment chooses or leaves out too few users", "At " + where.text() + ".",
        "For those who may not read raw events it chooses at least " + std::to_string(settings.fewest_users) +
            " users and leaves out none or as many (setting segment_min_users).");
}

void question::require_raw_events(date from, date last)
{
    date const since = host.complete_since(std::min(last, settings.today));
    if (from >= since)
        return;
    throw error(errc::data_gone, "raw events before " + date_text(since) + " are gone or missing",
                "The question begins at " + date_text(from) + ".",
                "Ask from that day on, or leave out filters and breakdowns: plain questions are answered "
                "from daily sets.");
}

bool question::chooses_users(const arguments &given) const noexcept
{
    return given.find(segment_name) != nullptr || settings.users != nullptr;
}

bool question::is_plain(const arguments &given) const noexcept
{
    return given.find(filter_name) == nullptr && events.is_plain();
}

event_stream question::scan(instant from, instant until, stream_details details, kept which, bool is_sorted)
{
    event_stream stream = scan_share(from, until, std::move(details), which, 1, 0);
    if (is_sorted)
        stream.finish();
    else
        stream.settle();
    return stream;
}

void question::scan_in_passes(instant from, instant until, const stream_details &details, kept which,
                              const std::function<void(event_stream &)> &visit)
{
    constexpr std::uint64_t most_passes = 256;
    std::uint64_t passes = 1;
    for (std::uint64_t pass = 0; pass < passes;) {
        event_stream stream = scan_share(from, until, details, which, passes, pass);
        // Before the first answer the users may still be shared out anew.
        if (!stream.fits() && pass == 0 && passes < most_passes) {
            passes *= 2;
            continue;
        }
        stream.finish();
        visit(stream);
        ++pass;
    }
}

event_stream question::scan_share(instant from, instant until, stream_details details, kept which,
                                  std::uint64_t shares, std::uint64_t share)
{
    event_stream stream(std::move(details), settings.most_bytes, settings.interrupted);
    stream_sink sink(*this, stream, which, shares, share);
    scan_request request{from, std::min(until, settings.as_of + 1), events.types(), false, false};
    if (which != kept::matching)
        request.types = (std::uint32_t{1} << event_type_count) - 1;
    request.needs_metadata = events.needs_metadata();
    request.needs_texts = events.needs_texts();
    if (request.from < request.until)
        host.scan(request, sink);
    return stream;
}

void period_finder::find(instant at) noexcept
{
    cached_ = std::upper_bound(bounds_.begin(), bounds_.end() - 1, at) - bounds_.begin() - 1;
    if (cached_ == static_cast<std::ptrdiff_t>(bounds_.size()) - 1)
        --cached_;
}

cell percent_cell(std::int64_t part, std::int64_t whole)
{
    return whole == 0 ? cell{} : cell::decimal(divide_rounded(int128{part} * 10000, whole), 2);
}

cell text_cell(std::string_view text)
{
    return text.empty() ? cell{} : cell::of_text(text);
}

nullable<int128> quantile(std::vector<int128> &values, int percent)
{
    if (values.empty())
        return {};
    std::size_t const product = (values.size() - 1) * static_cast<std::size_t>(percent);
    auto const lower = values.begin() + static_cast<std::ptrdiff_t>(product / 100);
    std::nth_element(values.begin(), lower, values.end());
    std::size_t const rest = product % 100;
    if (rest == 0)
        return *lower;
    int128 const upper = *std::min_element(lower + 1, values.end());
    return *lower + divide_rounded((upper - *lower) * static_cast<int128>(rest), 100);
}

cell median_seconds(std::vector<std::int64_t> &lengths)
{
    if (lengths.empty())
        return {};
    std::size_t const n = lengths.size();
    auto const middle = lengths.begin() + static_cast<std::ptrdiff_t>((n - 1) / 2);
    std::nth_element(lengths.begin(), middle, lengths.end());
    int128 twice = int128{*middle} * 2;
    if (n % 2 == 0)
        twice = int128{*middle} + *std::min_element(middle + 1, lengths.end());
    return cell::decimal(divide_rounded(twice, 20'000), 2);
}

breakdown_groups::breakdown_groups(const std::vector<std::int64_t> &counts, const value_list &texts,
                                   std::size_t limit)
    : group_(counts.size(), SIZE_MAX)
{
    std::vector<value_number> order;
    for (value_number v = 1; v < counts.size(); ++v)
        if (counts[v] > 0)
            order.push_back(v);
    std::sort(order.begin(), order.end(), [&](value_number a, value_number b) {
        return counts[a] != counts[b] ? counts[a] > counts[b] : texts.text(a) < texts.text(b);
    });
    for (std::size_t i = 0; i < std::min(limit, order.size()); ++i) {
        group_[order[i]] = names_.size();
        names_.push_back(cell::of_text(texts.text(order[i])));
    }
    std::size_t const other = names_.size();
    for (value_number v = 1; v < counts.size(); ++v)
        if (counts[v] != 0 && group_[v] == SIZE_MAX)
            group_[v] = other;
    if (std::count(group_.begin(), group_.end(), other) > 0)
        names_.push_back(cell::of_text(other_group));
    if (!counts.empty() && counts[0] != 0) {
        group_[0] = names_.size();
        names_.emplace_back();
    }
    for (std::size_t &g : group_)
        g = std::min(g, names_.size());
}

} // namespace shadow::questions
