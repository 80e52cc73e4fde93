#pragma once
// An event's metadata as core sees it: the values of the keys it knows, read from the host's JSON without a
// copy. Keys with a JSON null are absent: an alias counts only with a value. Model usage has many spellings
// (promptTokens, promptTokenCount), which are the key of one name; of several in an object the longest counts,
// as it is the last of a jsonb.

#include "core/base/int128.hpp"

#include <cstdint>
#include <string_view>

namespace shadow
{

enum class metadata_key : std::uint8_t {
    agent_id,
    agent_id_camel, // agentId
    agent,
    run_id,
    execution_id,
    attempt,
    attempt_number,
    status,
    outcome,
    success,
    runtime_seconds,
    duration_seconds,
    runtime,
    duration,
    duration_ms,
    response_time_ms,
    latency_ms,
    credits_consumed,
    credits,
    credits_used,
    cost,
    cost_usd,
    tokens_used,
    tokens,
    total_tokens,
    prompt_tokens,
    completion_tokens,
    input_tokens,
    output_tokens,
    cache_read_input_tokens,     // beside the input tokens
    cache_creation_input_tokens, // beside the input tokens
    cached_tokens,               // among the input tokens
    cache_write_tokens,          // among the input tokens
    tool_use_prompt_token_count, // beside the input tokens
    thoughts_token_count,        // beside the output tokens
    input_tokens_details,
    usage, // an object with such keys
    token_usage,
    usage_metadata,
    model,
    model_name,
    model_id,
    error_type,
    error_code,
    exception,
    error_message,
    message,
    failure_reason,
    rating,
    user_rating,
    feedback,
    user_feedback,
    comment,
    revenue,
    amount,
    currency,
    dropped_values, // not a client's: the row trigger names the keys it dropped, "cost,credits"
    none            // not a key that core knows
};
inline constexpr int metadata_key_count = static_cast<int>(metadata_key::none);

std::string_view name_of(metadata_key key) noexcept;
metadata_key find_metadata_key(std::string_view name) noexcept;

enum class json_type : std::uint8_t { null, boolean, number, string, object, array };

struct json_value {
    json_type type;
    bool boolean;
    const void *host; // a number or a structure, as the host has it
    std::string_view text;
};

class metadata;

// How core reads the host's numbers and structures (PostgreSQL's jsonb; a stand-in in unit tests).
class json_host
{
public:
    // number * 10^scale rounded half away from zero; false if it does not fit (or is not finite).
    virtual bool to_scaled(const json_value &number, int scale, int128 &out) const noexcept = 0;
    virtual bool is_whole(const json_value &number) const noexcept = 0;
    // The number as the host prints it, at most `capacity` bytes.
    virtual std::string_view to_text(const json_value &number, char *buffer,
                                     std::size_t capacity) const noexcept = 0;
    virtual void read_object(const json_value &object, metadata &out) const noexcept = 0;

protected:
    ~json_host() = default;
};

class metadata
{
public:
    explicit metadata(const json_host &host) noexcept : host_(&host) {}

    void set(metadata_key key, const json_value &value) noexcept
    {
        if (value.type == json_type::null)
            return;
        present_ |= bit(key);
        values_[static_cast<int>(key)] = value;
    }
    bool is_empty() const noexcept { return present_ == 0; }
    bool has(metadata_key key) const noexcept { return (present_ & bit(key)) != 0; }
    bool has_any(std::uint64_t keys) const noexcept { return (present_ & keys) != 0; }
    // Only for keys that are present.
    const json_value &operator[](metadata_key key) const noexcept { return values_[static_cast<int>(key)]; }
    const json_host &host() const noexcept { return *host_; }

    static constexpr std::uint64_t bit(metadata_key key) noexcept
    {
        return std::uint64_t{1} << static_cast<int>(key);
    }

private:
    std::uint64_t present_ = 0;
    const json_host *host_;
    // Valid where present_ has the bit; in a union, as the others are not even to be cleared.
    union {
        json_value values_[metadata_key_count];
    };
};

} // namespace shadow
