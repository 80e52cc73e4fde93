#include "core/event/metadata.hpp"

namespace shadow
{

namespace
{

struct spelling {
    std::string_view name;
    metadata_key key;
};

// Each key's own name, in the order of the keys; then other spellings.
constexpr spelling spellings[] = {
    {"agent_id", metadata_key::agent_id},
    {"agentId", metadata_key::agent_id_camel},
    {"agent", metadata_key::agent},
    {"run_id", metadata_key::run_id},
    {"execution_id", metadata_key::execution_id},
    {"attempt", metadata_key::attempt},
    {"attempt_number", metadata_key::attempt_number},
    {"status", metadata_key::status},
    {"outcome", metadata_key::outcome},
    {"success", metadata_key::success},
    {"runtime_seconds", metadata_key::runtime_seconds},
    {"duration_seconds", metadata_key::duration_seconds},
    {"runtime", metadata_key::runtime},
    {"duration", metadata_key::duration},
    {"duration_ms", metadata_key::duration_ms},
    {"response_time_ms", metadata_key::response_time_ms},
    {"latency_ms", metadata_key::latency_ms},
    {"credits_consumed", metadata_key::credits_consumed},
    {"credits", metadata_key::credits},
    {"credits_used", metadata_key::credits_used},
    {"cost", metadata_key::cost},
    {"cost_usd", metadata_key::cost_usd},
    {"tokens_used", metadata_key::tokens_used},
    {"tokens", metadata_key::tokens},
    {"total_tokens", metadata_key::total_tokens},
    {"prompt_tokens", metadata_key::prompt_tokens},
    {"completion_tokens", metadata_key::completion_tokens},
    {"input_tokens", metadata_key::input_tokens},
    {"output_tokens", metadata_key::output_tokens},
    {"cache_read_input_tokens", metadata_key::cache_read_input_tokens},
    {"cache_creation_input_tokens", metadata_key::cache_creation_input_tokens},
    {"cached_tokens", metadata_key::cached_tokens},
    {"cache_write_tokens", metadata_key::cache_write_tokens},
    {"tool_use_prompt_token_count", metadata_key::tool_use_prompt_token_count},
    {"thoughts_token_count", metadata_key::thoughts_token_count},
    {"input_tokens_details", metadata_key::input_tokens_details},
    {"usage", metadata_key::usage},
    {"token_usage", metadata_key::token_usage},
    {"usage_metadata", metadata_key::usage_metadata},
    {"model", metadata_key::model},
    {"model_name", metadata_key::model_name},
    {"model_id", metadata_key::model_id},
    {"error_type", metadata_key::error_type},
    {"error_code", metadata_key::error_code},
    {"exception", metadata_key::exception},
    {"error_message", metadata_key::error_message},
    {"message", metadata_key::message},
    {"failure_reason", metadata_key::failure_reason},
    {"rating", metadata_key::rating},
    {"user_rating", metadata_key::user_rating},
    {"feedback", metadata_key::feedback},
    {"user_feedback", metadata_key::user_feedback},
    {"comment", metadata_key::comment},
    {"revenue", metadata_key::revenue},
    {"amount", metadata_key::amount},
    {"currency", metadata_key::currency},
    {"dropped_values", metadata_key::dropped_values},
    {"totalTokens", metadata_key::total_tokens},
    {"totalTokenCount", metadata_key::total_tokens},
    {"total_token_count", metadata_key::total_tokens},
    {"promptTokens", metadata_key::prompt_tokens},
    {"promptTokenCount", metadata_key::prompt_tokens},
    {"prompt_token_count", metadata_key::prompt_tokens},
    {"completionTokens", metadata_key::completion_tokens},
    {"candidatesTokenCount", metadata_key::completion_tokens},
    {"candidates_token_count", metadata_key::completion_tokens},
    {"inputTokens", metadata_key::input_tokens},
    {"outputTokens", metadata_key::output_tokens},
    {"cacheReadInputTokens", metadata_key::cache_read_input_tokens},
    {"cacheCreationInputTokens", metadata_key::cache_creation_input_tokens},
    {"cacheWriteInputTokens", metadata_key::cache_creation_input_tokens},
    {"cachedTokens", metadata_key::cached_tokens},
    {"cachedInputTokens", metadata_key::cached_tokens},
    {"cached_input_tokens", metadata_key::cached_tokens},
    {"cachedContentTokenCount", metadata_key::cached_tokens},
    {"cached_content_token_count", metadata_key::cached_tokens},
    {"cache_read", metadata_key::cached_tokens},
    {"cacheReadTokens", metadata_key::cached_tokens},
    {"cache_read_tokens", metadata_key::cached_tokens},
    {"cacheWriteTokens", metadata_key::cache_write_tokens},
    {"cache_creation", metadata_key::cache_write_tokens},
    {"toolUsePromptTokenCount", metadata_key::tool_use_prompt_token_count},
    {"thoughtsTokenCount", metadata_key::thoughts_token_count},
    {"prompt_tokens_details", metadata_key::input_tokens_details},
    {"input_token_details", metadata_key::input_tokens_details},
    {"inputTokenDetails", metadata_key::input_tokens_details},
    {"totalUsage", metadata_key::usage},
    {"tokenUsage", metadata_key::token_usage},
    {"usageMetadata", metadata_key::usage_metadata},
};
constexpr int spelling_count = static_cast<int>(sizeof spellings / sizeof spellings[0]);

// Length, first and last character tell nearly all names apart.
constexpr unsigned hash_of(std::string_view name) noexcept
{
    return (static_cast<unsigned>(name.size()) * 37 + static_cast<unsigned char>(name.front()) * 5 +
            static_cast<unsigned char>(name.back()) * 71) &
           255;
}

struct spelling_index {
    std::uint8_t first[256] = {}, next[spelling_count] = {}; // places, from 1; 0: none

    constexpr spelling_index()
    {
        for (int i = spelling_count - 1; i >= 0; --i) {
            std::uint8_t &head = first[hash_of(spellings[i].name)];
            next[i] = head;
            head = static_cast<std::uint8_t>(i + 1);
        }
    }
};
constexpr spelling_index index;

} // namespace

std::string_view name_of(metadata_key key) noexcept
{
    return spellings[static_cast<int>(key)].name;
}

metadata_key find_metadata_key(std::string_view name) noexcept
{
    if (name.empty())
        return metadata_key::none;
    for (int i = index.first[hash_of(name)]; i != 0; i = index.next[i - 1])
        if (spellings[i - 1].name == name)
            return spellings[i - 1].key;
    return metadata_key::none;
}

} // namespace shadow
