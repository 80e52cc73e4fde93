#pragma once
// The result of a rule: whether its condition holds, and why, in words.

#include "core/alerts/window_metrics.hpp"

namespace shadow
{

struct rule_result {
    bool has_value;
    bool holds; // of the data at hand, whatever the state; missing data count as the rule's no_data says
    int128 value;
    alert_step step;
    std::string_view reason;
    std::string_view context; // JSON; "{}" unless the condition holds
};

// A sentence, built from pieces.
class sentence
{
public:
    explicit sentence(std::pmr::memory_resource *memory) : text_(memory) {}
    sentence &operator<<(std::string_view piece)
    {
        text_.append(piece);
        return *this;
    }
    sentence &operator<<(int128 amount); // 10^-9
    sentence &operator<<(double number);
    std::string_view text() const noexcept { return text_; }

private:
    std::pmr::string text_;
};

// Of a window; empty without data.
std::optional<bool> evaluate_threshold(const alert_rule &rule, const metric_sample &sample, sentence &reason);

// Of the first of the hours, compared with the others; empty if it cannot be scored. `grounds` gets a member
// of a JSON object: the values of the others. Hours in which the metric has no value are left out.
std::optional<bool> evaluate_score(const alert_rule &rule, span<window_metrics *> hours, sentence &reason,
                                   json_writer &grounds, std::pmr::memory_resource *memory);

} // namespace shadow
