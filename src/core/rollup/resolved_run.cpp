#include "core/rollup/resolved_run.hpp"

#include "core/event/run_order.hpp"

#include <algorithm>

namespace shadow
{

namespace
{

int rank_of(const run_event &event) noexcept
{
    return decision_rank(event.run.status);
}

// The first at which has(run) is true; `none` without one.
template <typename Iterator, typename Has>
run_entry first_with(Iterator first, Iterator last, Has has)
{
    auto const found = std::find_if(first, last, [&](const run_event &e) { return has(e.run); });
    return found == last ? no_run : found->run;
}

} // namespace

run_resolver::run_resolver(const rollup_state &state, const rollup_rules &rules, const uuid &workspace,
                           std::pmr::memory_resource *memory)
    : state_(state), rules_(rules), workspace_(workspace), events_(memory), payments_(memory)
{
    for (token_price const &price : rules.prices.tokens)
        has_token_prices_ =
            has_token_prices_ || price.workspace == workspace || price.workspace == uuid{0, 0};
}

std::string_view run_resolver::model_text(std::uint32_t model) const noexcept
{
    return model == npos ? unknown_text : state_.interned_->text(model);
}

void run_resolver::note_lacks(run_payment &payment) const noexcept
{
    payment.lacks_credit_price = !payment.has_cost && payment.credits != 0;
    payment.lacks_token_price = !payment.has_cost && payment.tokens != 0 && has_token_prices_;
}

run_payment run_resolver::payment_of(const run_entry &run) const
{
    run_payment payment{state_.unpack(run.credits),
                        state_.unpack(run.cost),
                        std::max<std::int64_t>(run.tokens, 0),
                        run.model,
                        run.currency,
                        run.cost != no_amount,
                        false,
                        false};
    note_lacks(payment);
    return payment;
}

void run_resolver::resolve(const run_entry &run)
{
    run_ = run;
    has_several_agents_ = false;
    payments_.clear();
    payments_.push_back(payment_of(run));
}

// All events of the run, the latest first.
void run_resolver::gather(const keyed_run &keyed)
{
    events_.clear();
    events_.push_back({keyed.run, keyed.id, keyed.at, keyed.attempt, npos});
    for (std::uint32_t i = keyed.others; i != npos; i = events_.back().next)
        events_.push_back(state_.run_events_[i]);
    std::sort(events_.begin(), events_.end(),
              [](const run_event &a, const run_event &b) { return is_later(a.at, a.id, b.at, b.id); });
}

// What the deciding event lacks comes from the latest before it.
void run_resolver::complete_run()
{
    auto const last = events_.cend();
    auto const decider = find_decider(events_.cbegin(), last, rank_of);
    run_ = decider->run;
    run_.agent = first_with(decider, last, [](const run_entry &r) { return r.agent != npos; }).agent;
    run_.model = first_with(decider, last, [](const run_entry &r) { return r.model != npos; }).model;
    run_.runtime = first_with(decider, last, [](const run_entry &r) { return r.runtime >= 0; }).runtime;
    std::uint32_t agent = npos;
    for (run_event const &e : events_) {
        has_several_agents_ =
            has_several_agents_ || (agent != npos && e.run.agent != npos && e.run.agent != agent);
        agent = e.run.agent != npos ? e.run.agent : agent;
    }
}

// Of the events of one attempt.
run_payment run_resolver::payment_of(iterator first, iterator last) const
{
    iterator const decider = find_decider(first, last, rank_of);
    run_entry paid = decider->run;
    run_entry const credits =
        first_with(decider, last, [](const run_entry &r) { return r.credits != no_amount; });
    run_entry const tokens = first_with(decider, last, [](const run_entry &r) { return r.tokens >= 0; });
    run_entry const stated = first_with(decider, last, [](const run_entry &r) { return r.states_cost; });
    std::uint32_t const own =
        first_with(decider, last, [](const run_entry &r) { return r.model != npos; }).model;
    std::uint32_t const model = own != npos ? own : run_.model;
    bool const is_priced = paid.model == model && paid.credits == credits.credits &&
                           paid.tokens == tokens.tokens && paid.usage == tokens.usage;
    paid.model = model;
    paid.credits = credits.credits;
    paid.tokens = tokens.tokens;
    paid.usage = tokens.usage;
    if (stated.states_cost) {
        paid.cost = stated.cost;
        paid.currency = stated.currency;
    }
    run_payment payment = payment_of(paid);
    if (stated.states_cost || is_priced)
        return payment;
    priced const price =
        price_of(rules_.prices, workspace_,
                 {paid.credits != no_amount, payment.credits,
                  paid.usage == npos ? token_usage{} : state_.usages_[paid.usage].tokens, model_text(model)},
                 decider->at);
    payment.cost = price.cost;
    payment.has_cost = price.is_known;
    payment.currency = price.currency;
    note_lacks(payment);
    return payment;
}

void run_resolver::resolve(const keyed_run &keyed)
{
    if (keyed.others == npos) {
        resolve(keyed.run);
        return;
    }
    has_several_agents_ = false;
    payments_.clear();
    gather(keyed);
    complete_run();
    std::stable_sort(events_.begin(), events_.end(),
                     [](const run_event &a, const run_event &b) { return a.attempt < b.attempt; });
    for (auto first = events_.cbegin(); first != events_.cend();) {
        auto const last = std::find_if(first, events_.cend(),
                                       [&](const run_event &e) { return e.attempt != first->attempt; });
        payments_.push_back(payment_of(first, last));
        first = last;
    }
}

} // namespace shadow
