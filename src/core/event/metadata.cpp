#include "core/event/metadata.hpp"

namespace shadow
{

static constexpr std::string_view key_names[metadata_key_count] = {"agent_id",
                                                                   "agentId",
                                                                   "agent",
                                                                   "run_id",
                                                                   "execution_id",
                                                                   "status",
                                                                   "outcome",
                                                                   "success",
                                                                   "runtime_seconds",
                                                                   "duration_seconds",
                                                                   "runtime",
                                                                   "duration",
                                                                   "duration_ms",
                                                                   "response_time_ms",
                                                                   "latency_ms",
                                                                   "credits_consumed",
                                                                   "credits",
                                                                   "credits_used",
                                                                   "cost",
                                                                   "cost_usd",
                                                                   "tokens_used",
                                                                   "tokens",
                                                                   "total_tokens",
                                                                   "prompt_tokens",
                                                                   "completion_tokens",
                                                                   "input_tokens",
                                                                   "output_tokens",
                                                                   "model",
                                                                   "model_name",
                                                                   "model_id",
                                                                   "error_type",
                                                                   "error_code",
                                                                   "exception",
                                                                   "error_message",
                                                                   "message",
                                                                   "failure_reason",
                                                                   "rating",
                                                                   "user_rating",
                                                                   "feedback",
                                                                   "user_feedback",
                                                                   "comment",
                                                                   "revenue",
                                                                   "amount",
                                                                   "currency",
                                                                   "dropped_values"};

namespace
{

// The keys by length: all but a few comparisons are decided by the length and the first character.
struct keys_by_length {
    static constexpr int longest = 17;
    static constexpr int most = 8;
    metadata_key keys[longest + 1][most] = {};
    std::uint8_t counts[longest + 1] = {};

    constexpr keys_by_length()
    {
        for (int i = 0; i < metadata_key_count; ++i) {
            auto const length = key_names[i].size();
            keys[length][counts[length]++] = static_cast<metadata_key>(i);
        }
    }
};
constexpr keys_by_length index;

} // namespace

std::string_view name_of(metadata_key key) noexcept
{
    return key_names[static_cast<int>(key)];
}

metadata_key find_metadata_key(std::string_view name) noexcept
{
    if (name.empty() || name.size() > keys_by_length::longest)
        return metadata_key::none;
    for (int i = 0; i < index.counts[name.size()]; ++i) {
        metadata_key const key = index.keys[name.size()][i];
        std::string_view const candidate = key_names[static_cast<int>(key)];
        if (candidate.front() == name.front() && candidate == name)
            return key;
    }
    return metadata_key::none;
}

} // namespace shadow
