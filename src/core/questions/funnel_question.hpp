#pragma once
// Funnels as they are asked for: get_funnel, get_conversion_times and segments of users.

#include "core/questions/funnel.hpp"
#include "core/questions/question.hpp"

namespace shadow::questions
{

// What one unit (user, session, attempt) did in one period.
struct funnel_result {
    uuid user;
    std::size_t period;
    value_number value; // of the breakdown
    const funnel_chain &chain;
};

class funnel_question
{
public:
    funnel_question(question_host &host, const question_settings &settings) : question_(host, settings) {}

    // Arguments of get_funnel; those of get_conversion_times with `is_times`.
    void read(const json &definition, const place &where, bool is_times = false);
    int steps() const noexcept { return rules_.steps; }
    void for_each_result(const std::function<void(const funnel_result &)> &visit);

    table rows();      // of get_funnel
    table time_rows(); // of get_conversion_times

private:
    enum class unit_kind : std::uint8_t { user, session, attempt };
    enum class attribution : std::uint8_t { first_step, last_step, step_n, each_value };
    struct part { // of a unit: the events of one value
        value_number value = 0;
        event_span span{};
        std::vector<stream_event> events; // a copy of its own, if it is not the whole unit
    };
    struct counts;

    void read_steps(const arguments &given);
    void read_exclusions(const arguments &given);
    void read_breakdown(const arguments &given);
    void read_times(const arguments &given);

    void answer_stream(event_stream &stream, const std::function<void(const funnel_result &)> &visit);
    void answer_unit(const event_span &unit, const std::function<void(const funnel_result &)> &visit);
    void split(const event_span &unit);
    bool part_key(const stream_event &e, std::vector<value_number> &key) const;
    void answer_period(std::size_t p, const std::function<void(const funnel_result &)> &visit);
    void report(std::size_t p, const part &from, const funnel_chain &c,
                const std::function<void(const funnel_result &)> &visit) const;
    bool has_entry(const part &of) const noexcept;
    value_number value_of(const part &from, const funnel_chain &c) const;
    void add_rows(table &out, std::size_t period, const cell &group, counts &c) const;

    question question_;
    funnel_rules rules_;
    unit_kind counted_ = unit_kind::user;
    std::vector<std::size_t> held_; // details' slots
    bool has_breakdown_ = false;
    bool has_period_ = false;
    std::size_t breakdown_ = 0; // details' slot
    attribution attributed_ = attribution::first_step;
    int attributed_step_ = 1;
    int limit_ = 25;
    stream_details details_;
    std::vector<date> periods_;
    std::vector<instant> bounds_; // of the periods
    int from_step_ = 1, to_step_ = 1;
    std::vector<std::int64_t> edges_;

    const event_stream *stream_ = nullptr; // being answered
    uuid user_{};
    std::vector<part> parts_;
    std::size_t used_parts_ = 0;
    std::vector<funnel_chain> attempts_;
    interrupt_poll *poll_ = nullptr;
};

} // namespace shadow::questions
