#pragma once
// What runs consumed and what that costs, by the same rules as in rollups (doc/metrics.md, rules 11 to 11b and 14).

#include "core/event/decode.hpp"
#include "core/questions/runs.hpp"

namespace shadow::questions
{

// Numbers of runs, by slot.
struct fact_slots {
    std::size_t model, error_type, runtime, tokens, credits, cost, cost_currency, attempt;
    std::size_t usage[4]; // input, output, read from and written to a cache
};
fact_slots add_fact_slots(program &events, stream_details &details);

int128 number_at(event_stream &stream, const stream_event &e, std::size_t slot); // 10^-9; 0 without one
bool names_model(const event_stream &stream, const stream_event &e, const fact_slots &slots);

// The latest first, from the deciding event on: what that one lacks, the next one that has it gives.
template <typename Iterator, typename Has>
const stream_event *first_with(Iterator decider, Iterator last, Has has)
{
    auto const found = std::find_if(decider, last, [&](const stream_event *e) { return has(*e); });
    return found == last ? nullptr : *found;
}

// Of one attempt at a run.
struct consumption {
    int128 tokens = 0, credits = 0, cost = 0; // 10^-9
    bool has_cost = false, lacks_credit_price = false, lacks_token_price = false;
    currency_code currency = 0;
};

// Of one or many runs.
struct consumption_sum {
    int128 tokens = 0, credits = 0, cost = 0;
    bool has_cost = false, is_mixed = false, lacks_credit_price = false, lacks_token_price = false;
    currency_code currency = 0;

    void add(const consumption &c) noexcept;
    void add(const consumption_sum &other) noexcept;
    bool is_in_one_currency() const noexcept { return has_cost && !is_mixed; }
    bool is_priced() const noexcept { return has_cost && cost_reason().empty(); }
    std::string_view cost_reason() const noexcept; // why the cost would be a partial sum; empty: it is not
};

class consumption_reader
{
public:
    explicit consumption_reader(question_host &host);

    // Of all attempts, each of which has its own last values. `events`: of the run, the latest first.
    consumption_sum read(event_stream &stream, const run_slots &runs, const fact_slots &facts,
                         std::vector<const stream_event *> events) const;

private:
    using iterator = std::vector<const stream_event *>::const_iterator;
    consumption read_attempt(event_stream &stream, const fact_slots &facts, iterator decider, iterator last,
                             std::string_view model) const;

    price_list prices_;
    price_lists lists_;
};

} // namespace shadow::questions
