#include "core/questions/run_consumption.hpp"

#include "core/base/decimal.hpp"
#include "core/event/run_order.hpp"

namespace shadow::questions
{

fact_slots add_fact_slots(program &events, stream_details &details)
{
    place const where;
    auto const add = [&](std::string_view name) {
        details.slots.push_back(events.add_property(name, where));
        return details.slots.size() - 1;
    };
    fact_slots s{};
    s.model = add("model");
    s.error_type = add("error_type");
    s.runtime = add("runtime_seconds");
    s.tokens = add("tokens");
    s.credits = add("credits");
    s.cost = add("cost");
    s.cost_currency = add("cost_currency");
    s.attempt = add("attempt");
    constexpr std::string_view kinds[] = {"input_tokens", "output_tokens", "cache_read_tokens",
                                          "cache_write_tokens"};
    std::transform(std::begin(kinds), std::end(kinds), s.usage, add);
    return s;
}

int128 number_at(event_stream &stream, const stream_event &e, std::size_t slot)
{
    value_number const v = stream.value(e, slot);
    return v == 0 ? int128{0} : stream.texts().number(v).value;
}

bool names_model(const event_stream &stream, const stream_event &e, const fact_slots &slots)
{
    value_number const v = stream.value(e, slots.model);
    return v != 0 && stream.texts().text(v) != unknown_text;
}

void consumption_sum::add(const consumption &c) noexcept
{
    add(consumption_sum{c.tokens, c.credits, c.cost, c.has_cost, false, c.lacks_credit_price,
                        c.lacks_token_price, c.currency});
}

void consumption_sum::add(const consumption_sum &other) noexcept
{
    tokens += other.tokens;
    credits += other.credits;
    lacks_credit_price = lacks_credit_price || other.lacks_credit_price;
    lacks_token_price = lacks_token_price || other.lacks_token_price;
    if (!other.has_cost)
        return;
    is_mixed = is_mixed || other.is_mixed || (has_cost && currency != other.currency);
    has_cost = true;
    currency = other.currency;
    cost += other.cost;
}

std::string_view consumption_sum::cost_reason() const noexcept
{
    return shadow::cost_reason(is_mixed, lacks_credit_price, lacks_token_price);
}

consumption_reader::consumption_reader(question_host &host)
    : prices_(host.prices()), lists_{{prices_.prices.data(), prices_.prices.size()},
                                     {prices_.token_prices.data(), prices_.token_prices.size()}}
{
}

static token_usage usage_at(event_stream &stream, const stream_event &e, const fact_slots &slots)
{
    auto const part = [&](int i) {
        return static_cast<std::int64_t>(number_at(stream, e, slots.usage[i]) / nano);
    };
    return {part(0), part(1), part(2), part(3)};
}

// Of the events of one attempt, the latest first; `decider` is one of them.
consumption consumption_reader::read_attempt(event_stream &stream, const fact_slots &facts, iterator decider,
                                             iterator last, std::string_view model) const
{
    auto const giver = [&](std::size_t slot) {
        return first_with(decider, last, [&](const stream_event &e) { return stream.value(e, slot) != 0; });
    };
    const stream_event *const tokens = giver(facts.tokens), *const credits = giver(facts.credits),
                              *const stated = giver(facts.cost);
    consumption c;
    c.tokens = tokens == nullptr ? 0 : number_at(stream, *tokens, facts.tokens);
    c.credits = credits == nullptr ? 0 : number_at(stream, *credits, facts.credits);
    if (stated != nullptr) {
        bool const is_own = stream.texts().text(stream.value(*stated, facts.cost_currency)) == "-";
        c.has_cost = true;
        c.cost = number_at(stream, *stated, facts.cost);
        c.currency = is_own ? prices_.currency : pack_currency("USD");
        return c;
    }
    paid_facts const paid{credits != nullptr, c.credits,
                          tokens == nullptr ? token_usage{} : usage_at(stream, *tokens, facts), model};
    priced const price = price_of(lists_, prices_.workspace, paid, (*decider)->at);
    c.has_cost = price.is_known;
    c.cost = price.cost;
    c.currency = price.currency;
    c.lacks_credit_price = !c.has_cost && c.credits != 0;
    c.lacks_token_price = !c.has_cost && c.tokens != 0 && lists_.tokens.size != 0;
    return c;
}

consumption_sum consumption_reader::read(event_stream &stream, const run_slots &runs, const fact_slots &facts,
                                         std::vector<const stream_event *> events) const
{
    auto const decider_of = [&](iterator first, iterator last) {
        return find_decider(
            first, last, [&](const stream_event *e) { return decision_rank(status_of(stream, *e, runs)); });
    };
    auto const model_of = [&](iterator decider, iterator last, std::string_view otherwise) {
        const stream_event *const e =
            first_with(decider, last, [&](const stream_event &x) { return names_model(stream, x, facts); });
        return e == nullptr ? otherwise : stream.texts().text(stream.value(*e, facts.model));
    };
    std::string_view const model =
        model_of(decider_of(events.cbegin(), events.cend()), events.cend(), unknown_text);
    auto const attempt_of = [&](const stream_event *e) { return number_at(stream, *e, facts.attempt); };
    std::stable_sort(events.begin(), events.end(), [&](const stream_event *a, const stream_event *b) {
        return attempt_of(a) < attempt_of(b);
    });
    consumption_sum sum;
    for (iterator first = events.cbegin(); first != events.cend();) {
        iterator const last = std::find_if(
            first, events.cend(), [&](const stream_event *e) { return attempt_of(e) != attempt_of(*first); });
        iterator const decider = decider_of(first, last);
        sum.add(read_attempt(stream, facts, decider, last, model_of(decider, last, model)));
        first = last;
    }
    return sum;
}

} // namespace shadow::questions
