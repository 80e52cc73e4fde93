#include "core/questions/selector.hpp"

#include "core/questions/like.hpp"

#include <algorithm>

namespace shadow::questions
{

namespace
{

constexpr std::uint32_t all_types = (std::uint32_t{1} << event_type_count) - 1;

std::uint32_t type_bit(std::string_view name, const place &where)
{
    auto const type = find_event_type(name);
    if (type)
        return std::uint32_t{1} << static_cast<int>(*type);
    std::string known;
    for (std::string_view const n : event_type_names)
        known += (known.empty() ? "" : ", ") + std::string(n);
    where.refuse("unknown event type \"" + place::shown(name) + "\"", "The types are " + known + ".");
}

// One text or a list of texts.
template <typename Visit>
void for_each_text(const json &value, const place &where, Visit visit)
{
    if (value.is_string()) {
        visit(value.text, where);
        return;
    }
    if (!value.is_array() || value.items.empty())
        where.refuse("a text or a list of texts is expected here",
                     "Write \"export\" or [\"export\", \"share\"].");
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        place const inner(where, i);
        if (!value.items[i].is_string())
            inner.refuse("a text is expected here", "Write a list as [\"export\", \"share\"].");
        visit(value.items[i].text, inner);
    }
}

operand parse_scalar(const json &value, const place &where)
{
    operand result;
    if (value.is_number()) {
        auto const number = number_of(value.text);
        if (number.is_null)
            where.refuse("the number is too large", "Numbers below 10^18 are compared.");
        result.is_number = true;
        result.number = number.value;
    } else if (value.is_string()) {
        result.text = value.text;
    } else if (value.type == json_type::boolean) {
        result.text = value.boolean ? "true" : "false";
    } else {
        where.refuse("a text, a number or a boolean is expected here",
                     "Write {\"metadata.plan\": \"pro\"}, or {\"metadata.plan\": [\"pro\", \"team\"]} for "
                     "any of them.");
    }
    return result;
}

std::vector<operand> parse_list(const json &value, const place &where)
{
    if (!value.is_array())
        where.refuse("a list is expected here", "Write {\"in\": [\"pro\", \"team\"]}.");
    std::vector<operand> result;
    for (std::size_t i = 0; i < value.items.size(); ++i)
        result.push_back(parse_scalar(value.items[i], place(where, i)));
    return result;
}

operation parse_operation(std::string_view name, const place &where)
{
    static constexpr std::string_view names[] = {"eq", "ne",  "in",   "not_in",   "lt",    "lte",
                                                 "gt", "gte", "like", "not_like", "exists"};
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (names[i] == name)
            return static_cast<operation>(i);
    where.refuse("unknown operator \"" + place::shown(name) + "\"",
                 "The operators are eq, ne, in, not_in, lt, lte, gt, gte, like, not_like and exists.");
}

std::vector<operand> parse_operands(operation &op, const json &value, const place &where)
{
    switch (op) {
    case operation::in:
    case operation::not_in:
        return parse_list(value, where);
    case operation::exists:
        if (value.type != json_type::boolean)
            where.refuse("true or false is expected here", "Write {\"exists\": true}.");
        op = value.boolean ? operation::exists : operation::missing;
        return {};
    case operation::like:
    case operation::not_like:
        if (!value.is_string())
            where.refuse("a pattern is expected here", "Write {\"like\": \"/docs/%\"}.");
        check_pattern(value.text, where);
        break;
    case operation::lt:
    case operation::lte:
    case operation::gt:
    case operation::gte:
        if (!value.is_number())
            where.refuse("a number is expected here", "Write {\"gte\": 5}.");
        break;
    default:
        break;
    }
    std::vector<operand> result;
    result.push_back(parse_scalar(value, where));
    return result;
}

} // namespace

int program::add_selector(const json &definition, const place &where)
{
    if (selectors() == most_selectors)
        where.refuse("too many events in one question",
                     "At most " + std::to_string(most_selectors) + " are told apart.");
    alternatives parsed;
    add_alternatives(definition, where, parsed);
    const json *const label = definition.find("label");
    std::string text = label != nullptr         ? label->text
                       : definition.is_string() ? definition.text
                                                : to_text(definition);
    if (text.size() > longest_text_key)
        text.resize(rules_.clip(text.data(), text.size(), longest_text_key));
    selectors_.push_back(std::move(parsed));
    labels_.push_back(std::move(text));
    return selectors() - 1;
}

void program::set_filter(const json &definition, const place &where)
{
    add_filter(definition, where, filter_);
}

int program::add_property(std::string_view name, const place &where)
{
    property const p = parse_property(name, where);
    auto const known = std::find(properties_.begin(), properties_.end(), p);
    if (known != properties_.end())
        return static_cast<int>(known - properties_.begin());
    properties_.push_back(p);
    values_.emplace_back();
    return static_cast<int>(properties_.size()) - 1;
}

std::uint32_t program::types_of(int selector) const noexcept
{
    std::uint32_t types = 0;
    for (alternative const &a : selectors_[static_cast<std::size_t>(selector)])
        types |= a.types;
    return types;
}

std::uint32_t program::types() const noexcept
{
    std::uint32_t types = 0;
    for (int i = 0; i < selectors(); ++i)
        types |= types_of(i);
    return types;
}

bool program::needs_metadata() const noexcept
{
    return std::any_of(properties_.begin(), properties_.end(),
                       [](const property &p) { return p.kind == property_kind::metadata || p.is_fact(); });
}

bool program::needs_texts() const noexcept
{
    return std::any_of(properties_.begin(), properties_.end(), [](const property &p) {
        return p.kind >= property_kind::page_path && p.kind <= property_kind::user_agent;
    });
}

bool program::is_plain() const noexcept
{
    for (int i = 0; i < selectors(); ++i)
        if (!is_plain(i))
            return false;
    return filter_.empty() && std::all_of(properties_.begin(), properties_.end(), [](const property &p) {
               return p.kind == property_kind::event_type || p.kind == property_kind::event_name;
           });
}

// The sets know names as cut to 100 characters.
bool program::is_plain(int selector) const noexcept
{
    auto const &all = selectors_[static_cast<std::size_t>(selector)];
    return std::all_of(all.begin(), all.end(), [](const alternative &a) {
        return a.tests.empty() && std::all_of(a.names.begin(), a.names.end(), [](const std::string &name) {
                   return name.size() < std::size_t{longest_text_key};
               });
    });
}

bool program::is_any(int selector) const noexcept
{
    auto const &all = selectors_[static_cast<std::size_t>(selector)];
    return std::any_of(all.begin(), all.end(), [](const alternative &a) {
        return a.types == all_types && a.names.empty() && a.tests.empty();
    });
}

bool program::names_another(event_mask selectors, event_type type, span<const stored_name> listed) const
{
    auto const is_listed = [&](const std::string &name) {
        return name != other_names && std::any_of(listed.begin(), listed.end(),
                                                  [&](const stored_name &n) { return n.name == name; });
    };
    for (std::size_t i = 0; i < selectors_.size(); ++i)
        for (alternative const &a : selectors_[i])
            if ((selectors >> i & 1) != 0 && (a.types >> static_cast<int>(type) & 1) != 0 &&
                !std::all_of(a.names.begin(), a.names.end(), is_listed))
                return true;
    return false;
}

void program::add_alternatives(const json &definition, const place &where, alternatives &out)
{
    if (definition.is_string()) {
        out.push_back(parse_text(definition.text, where));
    } else if (definition.is_object()) {
        out.push_back(parse_object(definition, where));
    } else if (definition.is_array() && !definition.items.empty()) {
        for (std::size_t i = 0; i < definition.items.size(); ++i)
            add_alternatives(definition.items[i], place(where, i), out);
    } else {
        where.refuse(
            "an event is expected here",
            "Write \"*\", \"page_view\", \"feature_use:export\", {\"event_type\": \"custom\", \"where\": "
            "{\"metadata.plan\": \"pro\"}} or a list of these.");
    }
}

program::alternative program::parse_text(std::string_view text, const place &where)
{
    if (text == "*")
        return {all_types, {}, {}};
    auto const colon = std::min(text.find(':'), text.size());
    alternative result{type_bit(text.substr(0, colon), where), {}, {}};
    if (colon + 1 < text.size())
        result.names.emplace_back(text.substr(colon + 1));
    return result;
}

program::alternative program::parse_object(const json &definition, const place &where)
{
    alternative result{all_types, {}, {}};
    for (std::size_t i = 0; i < definition.items.size(); ++i) {
        std::string const &key = definition.keys[i];
        const json &value = definition.items[i];
        place const inner(where, key);
        if (key == "event_type") {
            result.types = 0;
            for_each_text(value, inner, [&](std::string_view name, const place &at) {
                result.types |= type_bit(name, at);
            });
        } else if (key == "event_name") {
            for_each_text(value, inner,
                          [&](std::string_view name, const place &) { result.names.emplace_back(name); });
        } else if (key == "where") {
            add_filter(value, inner, result.tests);
        } else if (key != "label" || !value.is_string()) {
            place(where, key, true)
                .refuse(key == "label" ? "a label is a text" : "unknown key of an event",
                        "The keys are event_type, event_name, where and label.");
        }
    }
    return result;
}

void program::add_filter(const json &definition, const place &where, std::vector<test> &out)
{
    if (!definition.is_object())
        where.refuse("a filter is expected here",
                     "Write {\"metadata.plan\": \"pro\", \"page_path\": {\"like\": \"/docs/%\"}}.");
    for (std::size_t i = 0; i < definition.items.size(); ++i) {
        place const inner(where, definition.keys[i], true);
        add_condition(add_property(definition.keys[i], inner), definition.items[i], inner, out);
    }
}

void program::add_condition(int slot, const json &condition, const place &where, std::vector<test> &out)
{
    if (condition.is_null()) {
        out.push_back({slot, operation::missing, {}});
    } else if (condition.is_array()) {
        out.push_back({slot, operation::in, parse_list(condition, where)});
    } else if (!condition.is_object()) {
        out.push_back({slot, operation::eq, {}});
        out.back().operands.push_back(parse_scalar(condition, where));
    } else {
        for (std::size_t i = 0; i < condition.items.size(); ++i) {
            place const inner(where, condition.keys[i]);
            operation op = parse_operation(condition.keys[i], inner);
            auto operands = parse_operands(op, condition.items[i], inner);
            out.push_back({slot, op, std::move(operands)});
        }
    }
}

void program::open(const event_source &event) noexcept
{
    event_ = &event;
    reader_.open(event);
    for (slot_value &v : values_)
        v.is_read = v.is_number_read = false;
}

slot_value &program::read(int slot)
{
    slot_value &v = values_[static_cast<std::size_t>(slot)];
    if (!v.is_read) {
        v.text = reader_.read(properties_[static_cast<std::size_t>(slot)], rules_, v.buffer);
        v.is_read = true;
    }
    return v;
}

std::string_view program::value(int slot)
{
    return read(slot).text;
}

bool program::equals(slot_value &value, const operand &o)
{
    if (value.text.empty())
        return false;
    return o.is_number ? compares(operation::eq, value, o) : value.text == o.text;
}

bool program::compares(operation op, slot_value &value, const operand &o)
{
    if (!value.is_number_read) {
        value.number = number_of(value.text);
        value.is_number_read = true;
    }
    if (value.number.is_null)
        return false;
    switch (op) {
    case operation::lt:
        return value.number.value < o.number;
    case operation::lte:
        return value.number.value <= o.number;
    case operation::gt:
        return value.number.value > o.number;
    case operation::gte:
        return value.number.value >= o.number;
    default:
        return value.number.value == o.number;
    }
}

bool program::holds(const test &t)
{
    slot_value &value = read(t.slot);
    auto const equals_any = [&] {
        return std::any_of(t.operands.begin(), t.operands.end(),
                           [&](const operand &o) { return equals(value, o); });
    };
    switch (t.op) {
    case operation::eq:
    case operation::in:
        return equals_any();
    case operation::ne:
    case operation::not_in:
        return !equals_any();
    case operation::like:
        return !value.text.empty() && is_like(value.text, t.operands.front().text, rules_.clip);
    case operation::not_like:
        return value.text.empty() || !is_like(value.text, t.operands.front().text, rules_.clip);
    case operation::exists:
        return !value.text.empty();
    case operation::missing:
        return value.text.empty();
    default:
        return compares(t.op, value, t.operands.front());
    }
}

bool program::all_hold(const std::vector<test> &tests)
{
    return std::all_of(tests.begin(), tests.end(), [this](const test &t) { return holds(t); });
}

bool program::matches(const alternative &a)
{
    if ((a.types >> static_cast<int>(event_->type) & 1) == 0)
        return false;
    if (!a.names.empty() && std::find(a.names.begin(), a.names.end(), event_->name) == a.names.end())
        return false;
    return all_hold(a.tests);
}

event_mask program::match(event_mask wanted)
{
    if (!all_hold(filter_))
        return 0;
    event_mask mask = filter_bit;
    for (std::size_t i = 0; i < selectors_.size(); ++i)
        if ((wanted >> i & 1) != 0 && std::any_of(selectors_[i].begin(), selectors_[i].end(),
                                                  [this](const alternative &a) { return matches(a); }))
            mask |= event_mask{1} << i;
    return mask;
}

} // namespace shadow::questions
