#include "core/event/decode.hpp"

#include "core/base/decimal.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace shadow
{

static int128 cost_of_tokens(const token_price &price, const token_usage &usage) noexcept
{
    return divide_rounded(usage.input * price.input + usage.output * price.output +
                              usage.cache_read * price.cache_read + usage.cache_write * price.cache_write,
                          1'000'000);
}

// Whole credits and their fraction apart, so that the product always fits.
static int128 cost_of_credits(const credit_price &price, int128 credits) noexcept
{
    return credits / nano * price.price + divide_rounded(credits % nano * price.price, nano);
}

priced price_of(const price_lists &prices, const uuid &workspace, const paid_facts &facts,
                std::int64_t at) noexcept
{
    const credit_price *const credits =
        facts.has_credits ? price_in_force(prices.credits, workspace, facts.model, at) : nullptr;
    token_usage const &u = facts.usage;
    bool const has_usage = (u.input | u.output | u.cache_read | u.cache_write) != 0;
    if (has_usage && (credits == nullptr || facts.credits == 0))
        if (const token_price *const tokens = price_in_force(prices.tokens, workspace, facts.model, at))
            return {true, cost_of_tokens(*tokens, u), tokens->currency};
    if (credits == nullptr)
        return {false, 0, 0};
    return {true, cost_of_credits(*credits, facts.credits), credits->currency};
}

static priced cost_of(const decoding_rules &rules, const raw_event &event, const event_facts &facts) noexcept
{
    if (facts.has_cost)
        return {true, facts.cost, facts.cost_in_usd ? pack_currency("USD") : rules.currency};
    return price_of(rules.prices, event.workspace,
                    {facts.has_credits, facts.credits, facts.usage, facts.model}, event.at);
}

static hash128 hash_of(const void *bytes, std::size_t size) noexcept
{
    XXH128_hash_t const h = XXH3_128bits_withSeed(bytes, size, secret_hash_key.first);
    return {h.low64, h.high64};
}

// What an error event or a failed run tells the user: a run without a message may give a reason.
static std::uint32_t message_of(const decoding_rules &rules, interner &interned, const event_facts &facts)
{
    return interned.message_id(facts.error_message.empty() ? facts.failure_reason : facts.error_message,
                               rules.clip);
}

static void decode_facts(const decoding_rules &rules, interner &interned, const raw_event &event,
                         const event_facts &facts, decoded_facts &out)
{
    priced const cost = cost_of(rules, event, facts);
    out.id = event.id;
    out.credits = facts.credits;
    out.has_credits = facts.has_credits;
    out.cost = cost.cost;
    out.has_cost = cost.is_known;
    out.states_cost = facts.has_cost;
    out.currency = cost.currency;
    out.revenue = facts.revenue;
    out.runtime = facts.runtime;
    out.tokens = facts.tokens;
    out.usage = facts.usage;
    out.attempt = facts.attempt;
    out.rating = facts.rating;
    out.is_feedback = facts.is_feedback;
    out.ignored = facts.ignored;
    out.status = facts.status;
    out.agent = npos;
    out.has_agent = facts.has_agent;
    if (out.has_agent)
        out.agent_id = facts.agent_name.empty()
                           ? facts.agent
                           : interned.agent(interned.named_agent_id(event.workspace, facts.agent_name));
    // Only what add() will ask for is looked up.
    bool const is_run = event.type == event_type::agent_run;
    bool const is_error = event.type == event_type::error || facts.status == run_status::failed;
    bool const is_paid = is_run || facts.has_credits || cost.is_known;
    out.model = is_paid && facts.model != unknown_text ? interned.text_id(facts.model) : npos;
    out.error_type = is_error ? interned.text_id(facts.error_type) : npos;
    out.reason = is_error ? interned.reason_id(facts.failure_reason, rules.clip) : npos;
    out.message = is_error ? message_of(rules, interned, facts) : npos;
    out.has_run = !facts.run_id.empty();
    if (out.has_run)
        out.run = hash_of(facts.run_id.data(), facts.run_id.size());
}

void decode(const decoding_rules &rules, interner &interned, const raw_event &event, const metadata &values,
            decoded_event &out)
{
    out.user = event.user;
    if (event.has_session) {
        uuid const session_of_user[] = {event.session, event.user};
        out.session = hash_of(session_of_user, sizeof session_of_user);
    }
    out.at = event.at;
    out.name = interned.name_id(event.type, event.name);
    out.type = event.type;
    out.has_session = event.has_session;
    out.has_facts =
        !values.is_empty() || event.type == event_type::agent_run || event.type == event_type::error;
    if (!out.has_facts)
        return;
    event_facts facts;
    interpret(event.type, values, {rules.clip, rules.currency}, facts);
    decode_facts(rules, interned, event, facts, out.facts);
}

} // namespace shadow
