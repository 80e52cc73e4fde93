#include "core/event/event.hpp"

#include "core/base/decimal.hpp"
#include "core/event/names.hpp"

#include <algorithm>
#include <initializer_list>

namespace shadow
{

namespace
{

using key = metadata_key;

constexpr int128 largest_amount = int128{1'000'000'000'000} * nano; // exclusive: credits, cost, revenue
constexpr int128 longest_runtime = int128{1'000'000'000} * nano;    // inclusive: seconds
constexpr int128 most_tokens = int128{1} << 53;                     // inclusive

// Each fact that may be a number read as text has a buffer of its own: all views live as long as the facts.
enum text_buffer { run_id_buffer, model_buffer, error_type_buffer, reason_buffer, text_buffer_count };
static_assert(text_buffer_count == sizeof(event_facts::text_buffers) / sizeof(event_facts::text_buffers[0]));

constexpr std::uint64_t bits(std::initializer_list<key> keys) noexcept
{
    std::uint64_t mask = 0;
    for (key const k : keys)
        mask |= metadata::bit(k);
    return mask;
}

// The first of the aliases that is there; key::none without one.
key first_present(const metadata &values, std::initializer_list<key> aliases) noexcept
{
    for (key const k : aliases)
        if (values.has(k))
            return k;
    return key::none;
}

scaled_number read_number(const metadata &values, key k, int scale) noexcept
{
    json_value const &value = values[k];
    if (value.type == json_type::string)
        return parse_scaled(value.text, scale);
    scaled_number result{false, false, 0};
    if (value.type == json_type::number) {
        result.valid = values.host().to_scaled(value, scale, result.value);
        result.is_whole = result.valid && values.host().is_whole(value);
    }
    return result;
}

// Interprets one event: reads facts by their rules and notes the malformed values it ignores.
class interpreter
{
public:
    interpreter(const metadata &values, const reading_rules &rules, event_facts &out) noexcept
        : values_(values), rules_(rules), out_(out)
    {
    }

    void agent() noexcept
    {
        key const k = first_present(values_, {key::agent_id, key::agent_id_camel, key::agent});
        if (k == key::none)
            return;
        json_value const &value = values_[k];
        out_.has_agent = value.type == json_type::string && !value.text.empty() && !is_too_long(value.text);
        if (!out_.has_agent)
            ignore(k);
        else if (auto const id = parse_uuid(value.text))
            out_.agent = *id;
        else
            out_.agent_name = value.text;
    }

    void run_id() noexcept
    {
        key const k = first_present(values_, {key::run_id, key::execution_id});
        if (k == key::none)
            return;
        json_value const &value = values_[k];
        if (value.type == json_type::string)
            out_.run_id = value.text;
        else if (value.type == json_type::number)
            out_.run_id = number_text(value, run_id_buffer);
        if (out_.run_id.empty())
            ignore(k);
    }

    void status() noexcept
    {
        key const k = first_present(values_, {key::status, key::outcome, key::success});
        if (k != key::none)
            out_.status = k == key::success ? success_status() : named_status(values_[k]);
        if (out_.status != run_status::unknown)
            return;
        ignore(k == key::none ? key::status : k);
        if (first_present(values_, {key::error_type, key::error_code, key::exception, key::error_message,
                                    key::failure_reason}) != key::none)
            out_.status = run_status::failed;
    }

    void runtime() noexcept
    {
        key const k =
            first_present(values_, {key::runtime_seconds, key::duration_seconds, key::runtime, key::duration,
                                    key::duration_ms, key::response_time_ms, key::latency_ms});
        constexpr std::uint64_t in_milliseconds =
            bits({key::duration_ms, key::response_time_ms, key::latency_ms});
        if (k == key::none)
            return;
        bool const milliseconds = (in_milliseconds & metadata::bit(k)) != 0;
        scaled_number const n = read_number(values_, k, milliseconds ? nano_scale - 3 : nano_scale);
        if (n.valid && n.value >= 0 && n.value <= longest_runtime)
            out_.runtime = static_cast<std::int64_t>(n.value);
        else
            ignore(k);
    }

    // Amounts that a client stated although only the server may.
    void dropped() noexcept
    {
        if (!values_.has(key::dropped_values) || values_[key::dropped_values].type != json_type::string)
            return;
        std::string_view names = values_[key::dropped_values].text;
        while (!names.empty()) {
            auto const end = std::min(names.find(','), names.size());
            key const k = find_metadata_key(names.substr(0, end));
            if (k != key::none)
                ignore(k);
            names.remove_prefix(std::min(end + 1, names.size()));
        }
    }

    void money() noexcept
    {
        key const credits =
            amount({key::credits_consumed, key::credits, key::credits_used}, false, out_.credits);
        out_.has_credits = credits != key::none;
        key const cost = amount({key::cost, key::cost_usd}, false, out_.cost);
        out_.has_cost = cost != key::none;
        out_.cost_in_usd = cost == key::cost_usd;
        out_.has_revenue = amount({key::revenue, key::amount}, true, out_.revenue) != key::none;
        if (!out_.has_revenue || !values_.has(key::currency) || is_in_own_currency())
            return;
        ignore(key::currency);
        out_.has_revenue = false;
        out_.revenue = 0;
    }

    // A total that is stated counts, else the sum of the parts: these are keys of the event, else of an object.
    void tokens() noexcept
    {
        key const total = first_present(values_, {key::tokens_used, key::tokens, key::total_tokens});
        bool const is_stated = total != key::none && values_[total].type != json_type::object;
        if (is_stated && (out_.tokens = token_count(values_, total)) < 0) {
            ignore(total);
            return;
        }
        std::int64_t sum = -1;
        if (std::uint64_t const malformed = read_parts(values_, sum); malformed != 0)
            out_.ignored |= malformed;
        else if (sum < 0)
            read_usage(is_stated ? key::none : total, sum);
        if (!is_stated)
            out_.tokens = sum;
    }

    void attempt() noexcept
    {
        key const k = first_present(values_, {key::attempt, key::attempt_number});
        if (k == key::none)
            return;
        scaled_number const n = read_number(values_, k, 0);
        if (n.valid && n.is_whole && n.value >= 1 && n.value <= INT32_MAX)
            out_.attempt = static_cast<std::int32_t>(n.value);
        else
            ignore(k);
    }

    void texts(event_type type) noexcept
    {
        out_.model = text({key::model, key::model_name, key::model_id}, model_buffer, unknown_text);
        if (type != event_type::agent_run && type != event_type::error)
            return;
        out_.error_type =
            text({key::error_type, key::error_code, key::exception}, error_type_buffer, unknown_text);
        key const message = first_present(values_, {key::error_message, key::message});
        if (message != key::none && values_[message].type == json_type::string)
            out_.error_message = values_[message].text;
        if (type == event_type::agent_run)
            out_.failure_reason = whole_text({key::failure_reason}, reason_buffer);
    }

    void feedback() noexcept
    {
        key const rating = first_present(values_, {key::rating, key::user_rating});
        if (rating != key::none) {
            scaled_number const n = read_number(values_, rating, nano_scale);
            if (n.valid && n.value >= nano && n.value <= 5 * int128{nano})
                out_.rating = static_cast<std::int64_t>(n.value);
            else
                ignore(rating);
        }
        key const comment = first_present(values_, {key::feedback, key::user_feedback, key::comment});
        bool const has_comment = comment != key::none && (values_[comment].type != json_type::string ||
                                                          !values_[comment].text.empty());
        out_.is_feedback = out_.rating >= 0 || has_comment;
    }

private:
    void ignore(key k) noexcept { out_.ignored |= metadata::bit(k); }

    std::string_view number_text(const json_value &value, text_buffer buffer) noexcept
    {
        std::string_view const text =
            values_.host().to_text(value, out_.text_buffers[buffer], sizeof out_.text_buffers[buffer]);
        return text.size() <= longest_number_text ? text : std::string_view{};
    }

    run_status success_status() const noexcept
    {
        json_value const &value = values_[key::success];
        if (value.type != json_type::boolean)
            return run_status::unknown;
        return value.boolean ? run_status::successful : run_status::failed;
    }

    bool is_in_own_currency() const noexcept;
    static run_status named_status(const json_value &value) noexcept;

    // Reads a sum of money; returns the key that holds a valid one.
    key amount(std::initializer_list<key> aliases, bool is_signed, int128 &out) noexcept
    {
        key const k = first_present(values_, aliases);
        if (k == key::none)
            return k;
        scaled_number const n = read_number(values_, k, nano_scale);
        if (n.valid && n.value < largest_amount && n.value > (is_signed ? -largest_amount : int128{-1})) {
            out = n.value;
            return k;
        }
        ignore(k);
        return key::none;
    }

    static std::int64_t token_count(const metadata &values, key k) noexcept
    {
        scaled_number const n = read_number(values, k, 0);
        bool const valid = n.valid && n.is_whole && n.value >= 0 && n.value <= most_tokens;
        return valid ? static_cast<std::int64_t>(n.value) : -1;
    }

    // Adds what a key says; malformed keys are noted.
    static void add_tokens(const metadata &values, key k, std::int64_t &sum,
                           std::uint64_t &malformed) noexcept
    {
        if (k == key::none || !values.has(k))
            return;
        std::int64_t const n = token_count(values, k);
        if (n < 0)
            malformed |= metadata::bit(k);
        else
            sum = std::max<std::int64_t>(sum, 0) + n;
    }

    // Tokens of a cache among the input's: keys of the object, else of its details.
    static void read_cached(const metadata &values, std::int64_t &read, std::int64_t &written,
                            std::uint64_t &malformed) noexcept
    {
        add_tokens(values, key::cached_tokens, read, malformed);
        // Anthropic breaks its cache_creation down in an object.
        if (values.has(key::cache_write_tokens) && values[key::cache_write_tokens].type != json_type::object)
            add_tokens(values, key::cache_write_tokens, written, malformed);
        if (!values.has(key::input_tokens_details) ||
            values[key::input_tokens_details].type != json_type::object)
            return;
        metadata details(values.host());
        values.host().read_object(values[key::input_tokens_details], details);
        std::uint64_t inner = 0;
        if (read < 0)
            add_tokens(details, key::cached_tokens, read, inner);
        if (written < 0)
            add_tokens(details, key::cache_write_tokens, written, inner);
        malformed |= inner != 0 ? metadata::bit(key::input_tokens_details) : 0;
    }

    static constexpr std::uint64_t part_keys =
        bits({key::prompt_tokens, key::completion_tokens, key::input_tokens, key::output_tokens,
              key::cache_read_input_tokens, key::cache_creation_input_tokens, key::cached_tokens,
              key::tool_use_prompt_token_count, key::thoughts_token_count});

    // The parts of a usage, and their sum: -1 without any. Returns the malformed keys.
    std::uint64_t read_parts(const metadata &values, std::int64_t &sum) noexcept
    {
        if (!values.has_any(part_keys))
            return 0;
        std::uint64_t malformed = 0;
        std::int64_t input = -1, output = -1, read = -1, written = -1, read_beside = -1, written_beside = -1;
        key const prompt = first_present(values, {key::prompt_tokens, key::input_tokens});
        key const completion = first_present(values, {key::completion_tokens, key::output_tokens});
        add_tokens(values, prompt, input, malformed);
        add_tokens(values, key::tool_use_prompt_token_count, input, malformed);
        add_tokens(values, completion, output, malformed);
        add_tokens(values, key::thoughts_token_count, output, malformed);
        read_cached(values, read, written, malformed);
        add_tokens(values, key::cache_read_input_tokens, read_beside, malformed);
        add_tokens(values, key::cache_creation_input_tokens, written_beside, malformed);
        if (malformed != 0)
            return malformed;
        token_usage usage{std::max<std::int64_t>(input, 0), std::max<std::int64_t>(output, 0),
                          std::max<std::int64_t>(read, 0), std::max<std::int64_t>(written, 0)};
        // More from the cache than input: the input does not hold it.
        if (usage.cache_read + usage.cache_write <= usage.input)
            usage.input -= usage.cache_read + usage.cache_write;
        // Said in both ways, it is the same.
        usage.cache_read = read < 0 ? std::max<std::int64_t>(read_beside, 0) : usage.cache_read;
        usage.cache_write = written < 0 ? std::max<std::int64_t>(written_beside, 0) : usage.cache_write;
        sum = usage.input + usage.output + usage.cache_read + usage.cache_write;
        if (sum <= most_tokens) {
            out_.usage = usage;
            return 0;
        }
        sum = -1;
        return metadata::bit(prompt != key::none       ? prompt
                             : completion != key::none ? completion
                                                       : key::cache_read_input_tokens);
    }

    // An object: under the key that would be the total's, or one of its own. Without a key that is known it is of no
    // known shape.
    void read_usage(key total, std::int64_t &sum) noexcept
    {
        key const k = total != key::none
                          ? total
                          : first_present(values_, {key::usage, key::token_usage, key::usage_metadata});
        if (k == key::none)
            return;
        bool is_read = false;
        if (values_[k].type == json_type::object) {
            metadata inner(values_.host());
            values_.host().read_object(values_[k], inner);
            key const stated = first_present(inner, {key::tokens_used, key::tokens, key::total_tokens});
            std::int64_t parts = -1;
            std::int64_t const said = stated == key::none ? -1 : token_count(inner, stated);
            is_read = read_parts(inner, parts) == 0 && (stated == key::none ? parts : said) >= 0;
            sum = !is_read ? -1 : stated == key::none ? parts : said;
        }
        if (is_read)
            return;
        out_.usage = {};
        ignore(k);
    }

    bool is_too_long(std::string_view text) const noexcept
    {
        return text.size() > longest_text_key &&
               rules_.clip(text.data(), text.size(), longest_text_key) < text.size();
    }

    std::string_view text(std::initializer_list<key> aliases, text_buffer buffer,
                          std::string_view missing) noexcept
    {
        std::string_view result = whole_text(aliases, buffer);
        if (result.size() > longest_text_key)
            result = result.substr(0, rules_.clip(result.data(), result.size(), longest_text_key));
        return result.empty() ? missing : result;
    }

    std::string_view whole_text(std::initializer_list<key> aliases, text_buffer buffer) noexcept
    {
        key const k = first_present(values_, aliases);
        if (k == key::none)
            return {};
        json_value const &value = values_[k];
        switch (value.type) {
        case json_type::string:
            return value.text;
        case json_type::number: {
            std::string_view const result = number_text(value, buffer);
            if (result.empty())
                ignore(k);
            return result;
        }
        case json_type::boolean:
            return value.boolean ? "true" : "false";
        default:
            ignore(k);
            return {};
        }
    }

    const metadata &values_;
    const reading_rules &rules_;
    event_facts &out_;
};

bool equals_ignoring_case(std::string_view text, std::string_view lower) noexcept
{
    return text.size() == lower.size() &&
           std::equal(text.begin(), text.end(), lower.begin(),
                      [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

bool interpreter::is_in_own_currency() const noexcept
{
    json_value const &value = values_[key::currency];
    if (value.type != json_type::string || value.text.size() != 3)
        return false;
    char code[3];
    std::transform(value.text.begin(), value.text.end(), code,
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c; });
    char own[4];
    std::string_view const wanted = unpack_currency(rules_.currency, own);
    return rules_.currency == 0 || wanted == std::string_view(code, 3);
}

run_status interpreter::named_status(const json_value &value) noexcept
{
    struct name {
        std::string_view text;
        run_status status;
    };
    static constexpr name names[] = {
        {"completed", run_status::successful},   {"success", run_status::successful},
        {"succeeded", run_status::successful},   {"ok", run_status::successful},
        {"failed", run_status::failed},          {"failure", run_status::failed},
        {"error", run_status::failed},           {"timeout", run_status::failed},
        {"timed_out", run_status::failed},       {"cancelled", run_status::cancelled},
        {"canceled", run_status::cancelled},     {"aborted", run_status::cancelled},
        {"pending", run_status::unfinished},     {"queued", run_status::unfinished},
        {"running", run_status::unfinished},     {"started", run_status::unfinished},
        {"in_progress", run_status::unfinished}, {"processing", run_status::unfinished},
        {"streaming", run_status::unfinished},   {"requires_action", run_status::unfinished}};
    if (value.type != json_type::string)
        return run_status::unknown;
    constexpr std::string_view blanks = " \t\n\v\f\r";
    std::size_t const first = value.text.find_first_not_of(blanks);
    if (first == std::string_view::npos)
        return run_status::unknown;
    std::string_view const text = value.text.substr(first, value.text.find_last_not_of(blanks) - first + 1);
    for (name const &n : names)
        if (equals_ignoring_case(text, n.text))
            return n.status;
    return run_status::unknown;
}

void clear(event_facts &out) noexcept
{
    out.has_agent = out.has_credits = out.has_cost = out.cost_in_usd = out.has_revenue = false;
    out.is_feedback = false;
    out.status = run_status::unknown;
    out.runtime = out.tokens = out.rating = -1;
    out.usage = {};
    out.attempt = 1;
    out.credits = out.cost = out.revenue = 0;
    out.agent_name = out.run_id = out.error_message = out.failure_reason = {};
    out.model = out.error_type = unknown_text;
    out.ignored = 0;
}

} // namespace

void interpret(event_type type, const metadata &values, const reading_rules &rules, event_facts &out) noexcept
{
    clear(out);
    bool const is_run = type == event_type::agent_run;
    if (values.is_empty()) {
        if (is_run)
            out.ignored = metadata::bit(key::status);
        return;
    }
    interpreter read(values, rules, out);
    read.agent();
    if (is_run || type == event_type::error)
        read.run_id();
    if (is_run)
        read.status();
    if (is_run || type == event_type::api_call)
        read.runtime();
    read.money();
    if (is_run) {
        read.tokens();
        read.attempt();
    }
    read.texts(type);
    read.feedback();
    read.dropped();
}

uuid agent_of(const event_facts &facts, const uuid &workspace)
{
    return facts.agent_name.empty() ? facts.agent : agent_id_of(workspace, facts.agent_name);
}

} // namespace shadow
