#pragma once
// Segments: users told by what they did, by funnels, by sets, and by all, any and not of these.

#include "core/questions/question.hpp"

namespace shadow::questions
{

inline constexpr int deepest_segment = 10;
inline constexpr int most_segments = 100;

struct day_usage;

class segment_evaluator
{
public:
    segment_evaluator(question_host &host, const question_settings &settings);

    // Once.
    user_choice evaluate(const json &definition, const place &where); // once
    const std::vector<known_user> &users() const noexcept { return users_; }

private:
    // How often, or on how many days: all of lowest <= n <= highest, n not in `but`.
    struct count_test {
        std::int64_t lowest = 1, highest = INT64_MAX;
        std::vector<std::int64_t> but;
        bool is_trivial() const noexcept { return lowest <= 1 && highest == INT64_MAX && but.empty(); }
        bool holds(std::int64_t n) const noexcept;
    };
    struct window {
        date first = earliest_date, last = latest_date;
        bool has_first() const noexcept { return first > earliest_date; }
    };
    // "did" and "first_did": answered by one scan for all of them, or by one look at the daily sets for all that
    // ask for no more than who did it on which days.
    struct leaf {
        int selector;
        bool is_first, is_plain;
        window days;
        instant from, until;
        count_test times, on_days;
        std::vector<bool> users;
    };
    enum class node_kind : std::uint8_t { all, any, negation, leaf, users };
    struct node {
        node_kind kind;
        std::vector<node> inner;
        std::size_t leaf = 0;
        std::vector<bool> users;
    };

    node parse(const json &definition, const place &where, int depth);
    node parse_list(node_kind kind, const json &definition, const place &where, int depth);
    node parse_saved(const json &definition, const place &where, int depth);
    node parse_did(const json &definition, const place &where);
    node parse_first_seen(const json &definition, const place &where);
    node parse_funnel(const json &definition, const place &where);
    node parse_users(const json &definition, const place &where);
    window parse_window(const arguments &given);
    static count_test parse_count(const arguments &given, std::string_view name);
    static void narrow(count_test &test, std::string_view op, std::int64_t n, const place &where);

    struct plain_users;
    void read_plain_leaves();
    void add_day(plain_users &sets, const leaf &l, const day_usage &u) const;
    void judge(leaf &l, plain_users &sets) const;
    void scan_leaves();
    void load_days_of_leaves();
    void judge(leaf &l, const event_stream &stream);
    bool did(const leaf &l, const event_span &events) const;
    std::vector<bool> combine(const node &n) const;

    question_host &host_;
    const question_settings &settings_;
    question question_;
    std::vector<known_user> users_;
    user_choice all_;
    std::vector<leaf> leaves_;
    int nodes_ = 0;
    std::vector<std::string> saved_names_; // being evaluated
};

user_choice evaluate_segment(const json &definition, const place &where, question_host &host,
                             const question_settings &settings);

} // namespace shadow::questions
