#pragma once
// What a run says by all of its events in a bucket (doc/metrics.md, rules 11 to 11b).

#include "core/rollup/state.hpp"

namespace shadow
{

// What one attempt at a run consumed.
struct run_payment {
    int128 credits; // 10^-9
    int128 cost;    // 10^-9
    std::int64_t tokens;
    std::uint32_t model; // npos: unknown
    currency_code currency;
    bool has_cost;
    bool lacks_credit_price, lacks_token_price; // consumed, and without a cost
};

class run_resolver
{
public:
    // All outlive the resolver.
    run_resolver(const rollup_state &state, const rollup_rules &rules, const uuid &workspace,
                 std::pmr::memory_resource *memory);

    void resolve(const run_entry &run);
    void resolve(const keyed_run &keyed);

    // Of the run that was resolved last: agent and runtime are those it lacked itself.
    const run_entry &run() const noexcept { return run_; }
    bool has_several_agents() const noexcept { return has_several_agents_; }
    const std::pmr::vector<run_payment> &payments() const noexcept { return payments_; }

private:
    using iterator = std::pmr::vector<run_event>::const_iterator;

    void gather(const keyed_run &keyed);
    void complete_run();
    run_payment payment_of(iterator first, iterator last) const;
    run_payment payment_of(const run_entry &run) const;
    void note_lacks(run_payment &payment) const noexcept;
    std::string_view model_text(std::uint32_t model) const noexcept;

    const rollup_state &state_;
    const rollup_rules &rules_;
    uuid workspace_;
    bool has_token_prices_ = false;
    run_entry run_ = no_run;
    bool has_several_agents_ = false;
    std::pmr::vector<run_event> events_; // the latest first
    std::pmr::vector<run_payment> payments_;
};

} // namespace shadow
