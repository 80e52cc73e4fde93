#pragma once
// What a rollup state keeps of each user, session and run, and how it is packed: none, unknown and zero as 0,
// so that what a state does not use takes no room.

#include "core/base/packed_pool.hpp"
#include "core/event/event.hpp"
#include "core/event/prices.hpp"

namespace shadow
{

// An amount that fits, or the place of another among the big ones (4.6e9 and more): rollup_state::pack().
using amount = std::int64_t;
inline constexpr amount no_amount = INT64_MIN;
constexpr std::uint64_t pack_amount(amount value) noexcept
{
    return value == no_amount ? 0 : zigzag(value) + 1;
}
constexpr amount unpack_amount(std::uint64_t packed) noexcept
{
    return packed == 0 ? no_amount : unzigzag(packed - 1);
}

// From one instant to a later one; two instants may be further apart than a signed number reaches.
constexpr std::uint64_t elapsed(std::int64_t from, std::int64_t to) noexcept
{
    return static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
}

struct user_entry {
    uuid id;
    std::uint32_t intervals; // first of its sessions by inactivity, npos: none
    std::uint32_t revenue;   // npos: none

    enum { id_high, id_low, intervals_position, revenue_position, columns };
    static constexpr std::uint8_t widths[columns] = {8, 8, 0, 0};
    void pack(std::uint64_t *out, std::int64_t) const noexcept
    {
        out[id_high] = id.high;
        out[id_low] = id.low;
        out[intervals_position] = pack_position(intervals);
        out[revenue_position] = pack_position(revenue);
    }
    void unpack(const std::uint64_t *in, std::int64_t) noexcept
    {
        id = {in[id_high], in[id_low]};
        intervals = unpack_position(in[intervals_position]);
        revenue = unpack_position(in[revenue_position]);
    }
};

struct session_entry {
    static constexpr std::uint32_t many_events = 3; // nothing asks for more

    hash128 key; // of session_id and user_id; 0 for sessions by inactivity
    std::int64_t first, last;
    std::uint32_t user;
    std::uint32_t next;         // sessions by inactivity: the user's next, or the next free entry
    std::uint32_t page_views;   // at most many_events
    std::uint32_t other_events; // at most many_events; neither page views nor session_start/_end
    bool has_id, has_key_event, is_free;

    std::uint64_t duration() const noexcept { return elapsed(first, last); }
    bool is_apart(const session_entry &other, std::int64_t gap) const noexcept
    {
        auto const least = static_cast<std::uint64_t>(gap);
        return (last < other.first && elapsed(last, other.first) >= least) ||
               (other.last < first && elapsed(other.last, first) >= least);
    }

    enum { key_low, key_high, first_time, duration_time, user_position, next_position, facts, columns };
    static constexpr std::uint8_t widths[columns] = {0, 0, 5, 5, 1, 0, 1};
    void pack(std::uint64_t *out, std::int64_t origin) const noexcept
    {
        out[key_low] = key.low;
        out[key_high] = key.high;
        out[first_time] = pack_time(first, origin);
        out[duration_time] = duration();
        out[user_position] = user;
        out[next_position] = pack_position(next);
        out[facts] = page_views | other_events << 2 | std::uint32_t{has_id} << 4 |
                     std::uint32_t{has_key_event} << 5 | std::uint32_t{is_free} << 6;
    }
    void unpack(const std::uint64_t *in, std::int64_t origin) noexcept
    {
        key = {in[key_low], in[key_high]};
        first = unpack_time(in[first_time], origin);
        last = static_cast<std::int64_t>(static_cast<std::uint64_t>(first) + in[duration_time]);
        user = static_cast<std::uint32_t>(in[user_position]);
        next = unpack_position(in[next_position]);
        page_views = in[facts] & 3;
        other_events = in[facts] >> 2 & 3;
        has_id = (in[facts] & 16) != 0;
        has_key_event = (in[facts] & 32) != 0;
        is_free = (in[facts] & 64) != 0;
    }
};

struct run_entry {
    std::int64_t runtime;                      // nanoseconds, -1: none
    std::int64_t tokens;                       // -1: none
    amount credits;                            // no_amount: none
    amount cost;                               // no_amount: unknown
    std::uint32_t agent, user, model, failure; // npos: none
    std::uint32_t usage;                       // what its tokens are, npos: unknown, or no token has a price
    currency_code currency;                    // of the cost
    run_status status;
    bool states_cost; // else it is by a price

    bool says_something() const noexcept
    {
        return agent != npos || model != npos || runtime >= 0 || tokens >= 0 || credits != no_amount ||
               cost != no_amount;
    }

    enum {
        runtime_ns,
        token_count,
        credit_amount,
        cost_amount,
        agent_id,
        user_position,
        model_id,
        failure_position,
        usage_position,
        currency_id,
        status_id,
        columns
    };
    static constexpr std::uint8_t widths[columns] = {5, 2, 5, 0, 1, 1, 1, 0, 0, 0, 1};
    static constexpr std::uint64_t status_bits = 7; // of status_id
    void pack(std::uint64_t *out, std::int64_t) const noexcept
    {
        out[runtime_ns] = static_cast<std::uint64_t>(runtime) + 1;
        out[token_count] = static_cast<std::uint64_t>(tokens) + 1;
        out[credit_amount] = pack_amount(credits);
        out[cost_amount] = pack_amount(cost);
        out[agent_id] = pack_position(agent);
        out[user_position] = pack_position(user);
        out[model_id] = pack_position(model);
        out[failure_position] = pack_position(failure);
        out[usage_position] = pack_position(usage);
        out[currency_id] = currency;
        out[status_id] = static_cast<std::uint64_t>(status) | (states_cost ? status_bits + 1 : 0);
    }
    void unpack(const std::uint64_t *in, std::int64_t) noexcept
    {
        runtime = static_cast<std::int64_t>(in[runtime_ns] - 1);
        tokens = static_cast<std::int64_t>(in[token_count] - 1);
        credits = unpack_amount(in[credit_amount]);
        cost = unpack_amount(in[cost_amount]);
        agent = unpack_position(in[agent_id]);
        user = unpack_position(in[user_position]);
        model = unpack_position(in[model_id]);
        failure = unpack_position(in[failure_position]);
        usage = unpack_position(in[usage_position]);
        currency = static_cast<currency_code>(in[currency_id]);
        status = static_cast<run_status>(in[status_id] & status_bits);
        states_cost = in[status_id] > status_bits;
    }
};

inline constexpr run_entry no_run = {-1,   -1,   no_amount, no_amount,           npos, npos, npos,
                                     npos, npos, 0,         run_status::unknown, false};

struct keyed_run { // a run with a run_id: the deciding event so far
    run_entry run;
    hash128 key;
    uuid id;
    std::int64_t at;
    std::uint32_t others; // its other events, npos: none
    std::int32_t attempt; // of the deciding event
    bool is_counted;      // false: no deciding event yet
    bool has_error_event;

    enum { key_low = run_entry::columns, key_high, id_high, id_low, time, others_position, facts, columns };
    static constexpr std::uint8_t widths[columns] = {5, 2, 5, 0, 1, 1, 1, 0, 0, 0, 1, 8, 8, 8, 8, 5, 0, 1};
    void pack(std::uint64_t *out, std::int64_t origin) const noexcept
    {
        run.pack(out, origin);
        out[key_low] = key.low;
        out[key_high] = key.high;
        out[id_high] = id.high;
        out[id_low] = id.low;
        out[time] = pack_time(at, origin);
        out[others_position] = pack_position(others);
        out[facts] = std::uint64_t{is_counted} | std::uint64_t{has_error_event} << 1 |
                     static_cast<std::uint64_t>(attempt - 1) << 2;
    }
    void unpack(const std::uint64_t *in, std::int64_t origin) noexcept
    {
        run.unpack(in, origin);
        key = {in[key_low], in[key_high]};
        id = {in[id_high], in[id_low]};
        at = unpack_time(in[time], origin);
        others = unpack_position(in[others_position]);
        is_counted = (in[facts] & 1) != 0;
        has_error_event = (in[facts] & 2) != 0;
        attempt = static_cast<std::int32_t>(in[facts] >> 2) + 1;
    }
};

struct run_event { // an event of a keyed run that does not decide it
    run_entry run; // without user and failure
    uuid id;
    std::int64_t at;
    std::int32_t attempt;
    std::uint32_t next; // of the run, npos: none

    enum { id_high = run_entry::columns, id_low, time, attempt_number, next_position, columns };
    static constexpr std::uint8_t widths[columns] = {0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 8, 8, 5, 0, 0};
    void pack(std::uint64_t *out, std::int64_t origin) const noexcept
    {
        run.pack(out, origin);
        out[id_high] = id.high;
        out[id_low] = id.low;
        out[time] = pack_time(at, origin);
        out[attempt_number] = static_cast<std::uint64_t>(attempt - 1);
        out[next_position] = pack_position(next);
    }
    void unpack(const std::uint64_t *in, std::int64_t origin) noexcept
    {
        run.unpack(in, origin);
        id = {in[id_high], in[id_low]};
        at = unpack_time(in[time], origin);
        attempt = static_cast<std::int32_t>(in[attempt_number]) + 1;
        next = unpack_position(in[next_position]);
    }
};

struct usage_entry {
    token_usage tokens;

    enum { input, output, cache_read, cache_write, columns };
    static constexpr std::uint8_t widths[columns] = {2, 2, 0, 0};
    void pack(std::uint64_t *out, std::int64_t) const noexcept
    {
        out[input] = static_cast<std::uint64_t>(tokens.input);
        out[output] = static_cast<std::uint64_t>(tokens.output);
        out[cache_read] = static_cast<std::uint64_t>(tokens.cache_read);
        out[cache_write] = static_cast<std::uint64_t>(tokens.cache_write);
    }
    void unpack(const std::uint64_t *in, std::int64_t) noexcept
    {
        tokens = {static_cast<std::int64_t>(in[input]), static_cast<std::int64_t>(in[output]),
                  static_cast<std::int64_t>(in[cache_read]), static_cast<std::int64_t>(in[cache_write])};
    }
};

struct failure_entry { // what a failed run says: in the interner, npos: nothing
    std::uint32_t type, reason, name, message;

    enum { type_id, reason_id, name_id, message_id, columns };
    static constexpr std::uint8_t widths[columns] = {1, 1, 1, 1};
    void pack(std::uint64_t *out, std::int64_t) const noexcept
    {
        out[type_id] = pack_position(type);
        out[reason_id] = pack_position(reason);
        out[name_id] = pack_position(name);
        out[message_id] = pack_position(message);
    }
    void unpack(const std::uint64_t *in, std::int64_t) noexcept
    {
        type = unpack_position(in[type_id]);
        reason = unpack_position(in[reason_id]);
        name = unpack_position(in[name_id]);
        message = unpack_position(in[message_id]);
    }
};

struct amount_entry {
    int128 value;

    enum { low, high, columns };
    static constexpr std::uint8_t widths[columns] = {};
    void pack(std::uint64_t *out, std::int64_t) const noexcept
    {
        uint128 const zigzag = static_cast<uint128>(value) << 1 ^ (value < 0 ? ~uint128{0} : 0);
        out[low] = static_cast<std::uint64_t>(zigzag);
        out[high] = static_cast<std::uint64_t>(zigzag >> 64);
    }
    void unpack(const std::uint64_t *in, std::int64_t) noexcept
    {
        uint128 const zigzag = uint128{in[high]} << 64 | in[low];
        value = static_cast<int128>(zigzag >> 1 ^ (0 - (zigzag & 1)));
    }
};

struct runtime_entry {
    std::int64_t value; // nanoseconds

    enum { nanoseconds, columns };
    static constexpr std::uint8_t widths[columns] = {5};
    void pack(std::uint64_t *out, std::int64_t) const noexcept
    {
        out[nanoseconds] = static_cast<std::uint64_t>(value);
    }
    void unpack(const std::uint64_t *in, std::int64_t) noexcept
    {
        value = static_cast<std::int64_t>(in[nanoseconds]);
    }
};

} // namespace shadow
