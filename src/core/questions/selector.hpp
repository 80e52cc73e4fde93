#pragma once
// Event selectors and filters, compiled once into a flat program that is run on each event.

#include "core/base/arena.hpp"
#include "core/questions/json.hpp"
#include "core/questions/property.hpp"

#include <memory>

namespace shadow::questions
{

// Bit i: the event matches selector i.
using event_mask = std::uint32_t;

inline constexpr int most_selectors = 30;
inline constexpr event_mask filter_bit = event_mask{1} << 31; // the event is one that the filter leaves

// A condition's right side, compiled.
enum class operation : std::uint8_t { eq, ne, in, not_in, lt, lte, gt, gte, like, not_like, exists, missing };

struct operand {
    bool is_number = false;
    int128 number = 0;
    std::string text;
};

struct test {
    int slot; // of the property
    operation op;
    std::vector<operand> operands;
};

// What a property's value is, once read for an event.
struct slot_value {
    bool is_read = false;
    bool is_number_read = false;
    nullable<int128> number;
    std::string_view text; // empty: missing
    std::string buffer;
};

// A name of an event type in the daily sets.
struct stored_name {
    std::string_view name; // empty: events without one
    std::int64_t events;
    const std::uint8_t *users; // the stored form of a set; nullptr: not read
    std::size_t users_size;
};
inline constexpr std::string_view other_names = "(other)"; // the rest of a day

class program
{
public:
    explicit program(const reading_rules &rules) noexcept : rules_(rules) {}

    // Compiles a selector; returns its number.
    int add_selector(const json &definition, const place &where);
    void set_filter(const json &definition, const place &where);
    // A property that is wanted of each event; returns its slot.
    int add_property(std::string_view name, const place &where);

    int selectors() const noexcept { return static_cast<int>(selectors_.size()); }
    // Types that any selector may match: a bit for each event_type.
    std::uint32_t types() const noexcept;
    std::uint32_t types_of(int selector) const noexcept;
    bool needs_metadata() const noexcept;
    bool needs_texts() const noexcept; // page_path, referrer or user_agent
    // Nothing but types and names is asked for: what the daily sets tell.
    bool is_plain() const noexcept;
    bool is_plain(int selector) const noexcept;
    // The selector matches every event.
    bool is_any(int selector) const noexcept;
    // Of an event type the daily sets tell these names by themselves and the rest together: may a selector be
    // about the rest?
    bool names_another(event_mask selectors, event_type type, span<const stored_name> listed) const;

    const std::string &label(int selector) const noexcept
    {
        return labels_[static_cast<std::size_t>(selector)];
    }

    void open(const event_source &event) noexcept;
    // filter_bit and the bits of the selectors, of those that are wanted; 0 where the filter does not leave the
    // event.
    event_mask match(event_mask wanted = ~event_mask{0});
    // Valid until the next open(); empty: missing.
    std::string_view value(int slot);
    const event_facts &facts() { return reader_.facts(rules_); }
    text_clipper clip() const noexcept { return rules_.clip; }

private:
    struct alternative {
        std::uint32_t types;
        std::vector<std::string> names; // empty: any
        std::vector<test> tests;
    };
    using alternatives = std::vector<alternative>;

    void add_alternatives(const json &definition, const place &where, alternatives &out);
    alternative parse_text(std::string_view text, const place &where);
    alternative parse_object(const json &definition, const place &where);
    void add_filter(const json &definition, const place &where, std::vector<test> &out);
    void add_condition(int slot, const json &condition, const place &where, std::vector<test> &out);
    bool holds(const test &t);
    bool all_hold(const std::vector<test> &tests);
    bool matches(const alternative &a);
    slot_value &read(int slot);
    bool equals(slot_value &value, const operand &o);
    bool compares(operation op, slot_value &value, const operand &o);

    reading_rules rules_;
    std::vector<property> properties_;
    std::vector<slot_value> values_;
    std::vector<alternatives> selectors_;
    std::vector<std::string> labels_;
    std::vector<test> filter_;
    property_reader reader_;
    const event_source *event_ = nullptr;
};

} // namespace shadow::questions
