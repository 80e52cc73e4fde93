// What the tools' exports look like. doc/import.md says the same in words and names the pages it is from.

#include "mapping.hpp"
#include "times.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <stdexcept>

namespace importer
{

namespace
{

bool is_any(std::string_view text, std::initializer_list<std::string_view> of) noexcept
{
    return std::find(of.begin(), of.end(), text) != of.end();
}

std::string joined(std::initializer_list<std::string_view> parts)
{
    std::string all;
    for (auto const part : parts)
        all.append(all.empty() ? "" : "\x1f").append(part);
    return all;
}

std::string lower(std::string_view text)
{
    std::string result(text);
    for (char &c : result)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

// --- PostHog ---

// PostHog's own rule for events that do not say how they count.
bool counts_like_anthropic(draft &d)
{
    std::string const model = lower(d.text({"properties.$ai_model"}));
    return lower(d.text({"properties.$ai_provider"})) == "anthropic" || model.rfind("claude", 0) == 0 ||
           model.find("anthropic") != std::string::npos;
}

// Anthropic counts what it reads from its cache beside the input, others within; the first is what our key
// means.
void add_cached_tokens(draft &d)
{
    std::string_view const exclusive = d.text({"properties.$ai_cache_reporting_exclusive"});
    if (exclusive.empty() ? !counts_like_anthropic(d) : exclusive != "true")
        return;
    d.add("cache_read_input_tokens", d.take({"properties.$ai_cache_read_input_tokens"}));
    d.add("cache_creation_input_tokens", d.take({"properties.$ai_cache_creation_input_tokens"}));
}

// A trace is a run, and so is each call of a model in it, which states its own tokens and cost.
void examine_posthog_ai(draft &d, bool is_trace)
{
    const value *const trace = d.take({"properties.$ai_trace_id"});
    if (is_trace) {
        d.add("run_id", trace);
    } else {
        d.add("run_id", d.take({"properties.$ai_span_id", "properties.$ai_generation_id", "uuid", "id"}));
        d.add("parent_run_id", trace);
        d.add("cost", d.take({"properties.$ai_total_cost_usd"}));
        add_cached_tokens(d);
    }
    d.add_text("status", d.text({"properties.$ai_is_error"}) == "true" ? "failed" : "completed");
}

void examine_posthog(draft &d)
{
    std::string_view const event = d.text({"event"});
    if (is_any(event, {"$identify", "$create_alias", "$merge_dangerously", "$groupidentify", "$set"}))
        d.left_out = "says who somebody is, not what was done";
    else if (event == "$ai_span")
        d.left_out = "a step within a run that is no call of a model";
    else if (is_any(event, {"$ai_generation", "$ai_embedding", "$ai_trace"}))
        examine_posthog_ai(d, event == "$ai_trace");
    else if (event == "$autocapture" && d.text({"properties.$event_type"}) == "submit")
        d.event_type = "form_submit";
    if (d.text({"properties.$referrer"}) == "$direct")
        d.at("properties.$referrer")->text = {};
}

mapping posthog()
{
    mapping m;
    m.id = {"uuid", "id"};
    m.created_at = {"timestamp"};
    m.user_id = {"distinct_id"};
    m.session_id = {"properties.$session_id"};
    m.event_name = {"event"};
    m.page = {"properties.$pathname", "properties.$current_url", "properties.$screen_name"};
    m.ip_address = {"properties.$ip", "ip"};
    m.user_agent = {"properties.$raw_user_agent", "properties.$user_agent"};
    m.referrer = {"properties.$referrer"};
    m.metadata = {
        {"browser", {"properties.$browser"}},
        {"os", {"properties.$os"}},
        {"device_type", {"properties.$device_type"}},
        {"country", {"properties.$geoip_country_code"}},
        {"host", {"properties.$host"}},
        {"lib", {"properties.$lib"}},
        {"error_type",
         {"properties.$exception_type", "properties.$exception_list.0.type", "properties.$exception_types.0",
          "properties.$ai_error_type"}},
        {"error_message",
         {"properties.$exception_message", "properties.$exception_list.0.value", "properties.$ai_error"}},
        {"agent_id", {"properties.agent_id", "properties.$ai_agent_name", "properties.$ai_span_name"}},
        {"model", {"properties.$ai_model"}},
        {"provider", {"properties.$ai_provider"}},
        {"input_tokens", {"properties.$ai_input_tokens"}},
        {"output_tokens", {"properties.$ai_output_tokens"}},
        {"runtime_seconds", {"properties.$ai_latency"}},
        {"feedback", {"properties.$ai_feedback_text"}},
    };
    m.roots = {"properties"};
    m.dropped = {"$*", "token", "distinct_id"};
    m.tool_types = {{"$pageview", "page_view"},      {"$screen", "page_view"},
                    {"$exception", "error"},         {"$autocapture", "click"},
                    {"$ai_generation", "agent_run"}, {"$ai_embedding", "agent_run"},
                    {"$ai_trace", "agent_run"}};
    m.time_zone = "UTC";
    m.examine = examine_posthog;
    return m;
}

// --- Mixpanel ---

// $insert_id alone is unique only together with these.
void examine_mixpanel(draft &d)
{
    std::string_view const event = d.text({"event"});
    if (is_any(event, {"$identify", "$create_alias", "$merge"}))
        d.left_out = "says who somebody is, not what was done";
    std::string_view const insert = d.text({"properties.$insert_id"});
    if (!insert.empty())
        d.id = d.tree().keep(
            joined({event, d.text({"properties.time"}), d.text({"properties.distinct_id"}), insert}));
}

mapping mixpanel()
{
    mapping m;
    m.id = {"properties.$insert_id"};
    m.created_at = {"properties.time"};
    m.user_id = {"properties.distinct_id", "properties.$user_id", "properties.$device_id"};
    m.event_name = {"event"};
    m.page = {"properties.current_url_path", "properties.$current_url"};
    m.ip_address = {"properties.$ip", "properties.ip"};
    m.user_agent = {"properties.$user_agent"};
    m.referrer = {"properties.$referrer"};
    m.metadata = {
        {"browser", {"properties.$browser"}},
        {"os", {"properties.$os"}},
        {"device_type", {"properties.$device_type", "properties.$device"}},
        {"country", {"properties.mp_country_code"}},
        {"region", {"properties.$region"}},
        {"city", {"properties.$city"}},
        {"lib", {"properties.mp_lib"}},
    };
    m.roots = {"properties"};
    m.dropped = {"$*", "mp_*", "token"};
    m.tool_types = {{"$mp_web_page_view", "page_view"},
                    {"$mp_click", "click"},
                    {"$mp_submit", "form_submit"},
                    {"$session_start", "session_start"},
                    {"$session_end", "session_end"}};
    m.time_zone = "UTC";
    m.are_numbers_local = true;
    m.examine = examine_mixpanel;
    return m;
}

// --- Segment ---

void examine_segment(draft &d)
{
    std::string_view const type = d.text({"type"});
    if (is_any(type, {"page", "screen"}))
        d.event_type = "page_view";
    else if (is_any(type, {"identify", "group", "alias"}))
        d.left_out = "says who somebody is, not what was done";
    std::string_view const path = d.text({"properties.path", "context.page.path"});
    if (!path.empty())
        d.page =
            d.tree().keep(std::string(path).append(d.text({"properties.search", "context.page.search"})));
}

mapping segment()
{
    mapping m;
    m.id = {"messageId", "message_id"};
    m.created_at = {"timestamp", "originalTimestamp", "receivedAt"};
    m.user_id = {"userId", "user_id", "anonymousId", "anonymous_id"};
    m.session_id = {"context.sessionId", "context.session_id"};
    m.event_name = {"event", "name"};
    m.page = {"properties.url", "context.page.url"};
    m.ip_address = {"context.ip"};
    m.user_agent = {"context.userAgent"};
    m.referrer = {"properties.referrer", "context.page.referrer"};
    m.metadata = {
        {"os", {"context.os.name"}},
        {"device_type", {"context.device.type"}},
        {"language", {"context.locale"}},
        {"country", {"context.location.country"}},
        {"utm_source", {"context.campaign.source"}},
        {"utm_medium", {"context.campaign.medium"}},
        {"utm_campaign", {"context.campaign.name"}},
        {"utm_term", {"context.campaign.term"}},
        {"utm_content", {"context.campaign.content"}},
        {"group_id", {"context.groupId"}},
    };
    m.roots = {"properties"};
    m.tool_types = {{"Signed In", "login"}, {"Signed Out", "logout"}};
    m.examine = examine_segment;
    return m;
}

// --- Google Analytics 4 ---

// [{"key": K, "value": {"string_value": V, ...}}] becomes {K: V}.
void flatten_parameters(draft &d, value *list)
{
    if (d.expand(list) == nullptr || list->type != kind::array)
        return;
    value *const entries = list->first;
    list->type = kind::object;
    list->first = nullptr;
    chain members(*list);
    for (value *e = entries, *next; e != nullptr; e = next) {
        next = e->next;
        const value *const key = e->find("key"), *v = nullptr;
        const value *const holder = e->find("value");
        for (const value *k = holder == nullptr ? nullptr : holder->first; k != nullptr && v == nullptr;
             k = k->next)
            v = k->type == kind::null ? nullptr : k;
        if (key == nullptr || v == nullptr)
            continue;
        // BigQuery writes integers as texts
        bool const is_number = v->key != "string_value" && is_json_number(v->text);
        value *const member = d.tree().make(is_number ? kind::number : v->type, v->text);
        member->key = key->text;
        members.add(member);
    }
}

// GA4 gives events no id; these tell them apart, also in a day's table that is exported again.
std::string ga4_id(draft &d)
{
    std::string parameters;
    if (const value *const list = d.at("event_params"))
        append_json(parameters, *list);
    return joined({d.text({"event_name"}), d.text({"event_timestamp"}), d.text({"user_pseudo_id"}),
                   d.text({"user_id"}), d.text({"stream_id"}), d.text({"event_bundle_sequence_id"}),
                   d.text({"batch_page_id"}), d.text({"batch_ordering_id"}), d.text({"batch_event_index"}),
                   parameters});
}

void examine_ga4(draft &d)
{
    d.id = d.tree().keep(ga4_id(d));
    value *const list = d.at("event_params");
    flatten_parameters(d, list);
    // A number that is unique for one device only.
    std::string_view const session = d.text({"event_params.ga_session_id"});
    if (!session.empty())
        d.session =
            d.tree().keep(std::string(d.text({"user_pseudo_id", "user_id"})).append(".").append(session));
    std::string_view const event = d.text({"event_name"});
    if (event == "purchase")
        d.add("revenue", d.take({"ecommerce.purchase_revenue", "event_params.value"}));
    std::string_view const refund =
        event == "refund" ? d.text({"ecommerce.refund_value", "event_params.value"}) : "";
    if (!refund.empty() && refund.front() != '-')
        d.add("revenue", d.tree().make(kind::number, d.tree().keep("-" + std::string(refund))));
}

mapping ga4()
{
    mapping m;
    m.id = {"event_timestamp"}; // and more: ga4_id()
    m.created_at = {"event_timestamp"};
    m.user_id = {"user_id", "user_pseudo_id"};
    m.event_name = {"event_name"};
    m.page = {"event_params.page_location", "event_params.firebase_screen",
              "event_params.firebase_screen_class"};
    m.referrer = {"event_params.page_referrer"};
    m.metadata = {
        {"browser", {"device.web_info.browser", "device.browser"}},
        {"os", {"device.operating_system"}},
        {"device_type", {"device.category"}},
        {"language", {"device.language"}},
        {"country", {"geo.country"}},
        {"platform", {"platform"}},
        {"host", {"device.web_info.hostname"}},
        {"utm_source", {"collected_traffic_source.manual_source", "event_params.source"}},
        {"utm_medium", {"collected_traffic_source.manual_medium", "event_params.medium"}},
        {"utm_campaign", {"collected_traffic_source.manual_campaign_name", "event_params.campaign"}},
        {"utm_term", {"collected_traffic_source.manual_term", "event_params.term"}},
        {"utm_content", {"collected_traffic_source.manual_content", "event_params.content"}},
        {"error_message", {"event_params.error_message", "event_params.description"}},
    };
    m.roots = {"event_params"};
    m.dropped = {
        "ga_*",       "session_engaged", "engaged_session_event", "entrances", "ignore_referrer", "batch_*",
        "firebase_*", "debug_mode",      "synthetic_bundle",      "gclid"};
    m.tool_types = {{"screen_view", "page_view"},  {"app_exception", "error"},         {"exception", "error"},
                    {"page_view", "page_view"},    {"session_start", "session_start"}, {"click", "click"},
                    {"form_submit", "form_submit"}};
    m.examine = examine_ga4;
    return m;
}

// --- Umami ---

void examine_umami(draft &d)
{
    if (d.at("data_key") != nullptr || d.at("event_key") != nullptr)
        d.left_out = "a property of an event, not an event";
    std::string_view const type = d.text({"event_type"});
    if (type == "1")
        d.event_type = "page_view";
    else if (type == "3") // a visit of a short link, which has no name
        d.event_type = "click";
    else if (type == "4")
        d.event_type = "custom"; // the same of a pixel
    else if (type == "5")
        d.left_out = "a measurement of how fast a page was";
    std::string_view const query = d.text({"url_query"});
    d.page = d.tree().keep(std::string(d.text({"url_path"})).append(query.empty() ? "" : "?").append(query));
    std::string_view const domain = d.text({"referrer_domain"});
    std::string const path(d.text({"referrer_path"}));
    if (!domain.empty())
        d.root().find("referrer_domain")->text = d.tree().keep("https://" + std::string(domain) + path);
}

mapping umami()
{
    mapping m;
    m.id = {"event_id"};
    m.created_at = {"created_at"};
    m.user_id = {"distinct_id", "session_id"};
    m.session_id = {"visit_id"};
    m.event_name = {"event_name"};
    m.ip_address = {"ip"};
    m.referrer = {"referrer_domain"};
    m.metadata = {
        {"device_type", {"device"}}, {"host", {"hostname"}}, {"region", {"region", "subdivision1"}}};
    m.roots = {""};
    m.dropped = {"website_id", "job_id", "referrer_*", "subdivision2", "gclid", "fbclid",
                 "msclkid",    "ttclid", "li_fat_id",  "twclid",       "ip"};
    m.time_zone = "UTC";
    m.examine = examine_umami;
    return m;
}

// --- Langfuse ---

void examine_trace(draft &d)
{
    d.add("run_id", d.take({"id"}));
    d.add("agent_id", d.take({"name"}));
    d.add_text("status", "completed");
    d.take({"totalCost", "total_cost"}); // of its observations, which state it themselves
}

void add_usage(draft &d)
{
    d.add("model", d.take({"provided_model_name", "providedModelName", "model"}));
    d.add("cost", d.take({"total_cost", "totalCost", "calculatedTotalCost", "cost_details.total",
                          "costDetails.total"}));
    d.add("tokens_used", d.take({"usage_details.total", "usageDetails.total", "usage.total", "totalTokens"}));
    d.add("input_tokens",
          d.take({"usage_details.input", "usageDetails.input", "usage.input", "inputUsage", "promptTokens"}));
    d.add("output_tokens", d.take({"usage_details.output", "usageDetails.output", "usage.output",
                                   "outputUsage", "completionTokens"}));
}

// Of the times that are there: integrations from before April 2026 export the latency of enriched observations
// in milliseconds, all others in seconds.
void add_runtime(draft &d)
{
    const value *const begin = d.take({"start_time", "startTime"}), *const end =
                                                                        d.take({"end_time", "endTime"});
    const value *const latency = d.take({"latency"});
    if (begin == nullptr || end == nullptr) {
        d.add("runtime_seconds", latency);
        return;
    }
    instant const from = parse_time(*begin, zone("UTC")), to = parse_time(*end, zone("UTC"));
    if (from.problem != nullptr || to.problem != nullptr || to.at < from.at)
        return;
    char text[40];
    std::snprintf(text, sizeof text, "%.6f", static_cast<double>(to.at - from.at) / 1e6);
    d.add("runtime_seconds", d.tree().make(kind::number, d.tree().keep(text)));
}

// The outermost observation stands for its trace where no file of traces is exported beside.
void examine_observation(draft &d)
{
    std::string_view const type = d.text({"type"});
    bool const is_run = is_any(type, {"GENERATION", "EMBEDDING", "AGENT", "TOOL"});
    const value *const trace_name = d.take({"trace_name", "traceName"});
    bool const is_outermost = d.text({"parent_observation_id", "parentObservationId"}).empty();
    bool const is_trace = !is_run && is_outermost && type != "EVENT" && trace_name != nullptr;
    const value *const trace = d.take({"trace_id", "traceId"});
    if (!is_run && !is_trace)
        d.left_out = type == "EVENT" ? "an event within a run"
                                     : "a step within a run that is no call of a model or tool";
    const value *const name = d.take({"name"});
    d.add("run_id", is_trace ? trace : d.take({"id"}));
    d.add("parent_run_id", is_trace ? nullptr : trace);
    d.add("agent_id", is_trace ? trace_name : name);
    d.add("trace_name", is_trace ? nullptr : trace_name);
    if (type == "TOOL")
        d.add("tool", name);
    bool const is_failed = d.text({"level"}) == "ERROR";
    bool const is_running = d.text({"end_time", "endTime"}).empty();
    d.add_text("status", is_failed ? "failed" : is_running ? "running" : "completed");
    if (is_failed)
        d.add("error_message", d.take({"status_message", "statusMessage"}));
    add_usage(d);
}

void examine_langfuse(draft &d)
{
    d.event_type = "agent_run";
    d.has_name = false;
    if (d.at("start_time") != nullptr || d.at("startTime") != nullptr)
        examine_observation(d);
    else if (d.at("value") != nullptr || d.at("data_type") != nullptr || d.at("dataType") != nullptr)
        d.left_out = "a score";
    else
        examine_trace(d);
    add_runtime(d);
}

mapping langfuse()
{
    mapping m;
    m.id = {"id"};
    m.created_at = {"start_time", "startTime", "timestamp"};
    m.user_id = {"user_id", "userId"};
    m.session_id = {"session_id", "sessionId"};
    m.metadata = {{"environment", {"environment"}},
                  {"release", {"release"}},
                  {"version", {"version"}},
                  {"prompt_name", {"prompt_name", "promptName"}}};
    m.roots = {"metadata"};
    m.time_zone = "UTC";
    m.examine = examine_langfuse;
    return m;
}

// --- our own columns ---

mapping plain(format::container kind)
{
    mapping m;
    m.container.kind = kind;
    m.id = {"id", "event_id", "uuid"};
    m.workspace_id = {"workspace_id"};
    m.created_at = {"created_at", "timestamp", "time", "ts", "occurred_at"};
    m.user_id = {"user_id", "userId", "user"};
    m.session_id = {"session_id", "sessionId"};
    m.event_type = {"event_type"};
    m.event_name = {"event_name", "event", "name"};
    m.page = {"page_path", "path", "url"};
    m.ip_address = {"ip_address", "ip"};
    m.user_agent = {"user_agent"};
    m.referrer = {"referrer"};
    m.roots = {"metadata", "properties", ""};
    m.dropped = {"ip_hash"};
    return m;
}

struct tool {
    const char *name;
    mapping (*make)();
};
constexpr tool tools[] = {
    {"posthog", posthog},
    {"mixpanel", mixpanel},
    {"segment", segment},
    {"ga4", ga4},
    {"umami", umami},
    {"langfuse", langfuse},
    {"csv", [] { return plain(format::csv); }},
    {"jsonl", [] { return plain(format::json); }},
};

} // namespace

std::vector<std::string> tool_names()
{
    std::vector<std::string> names;
    for (tool const &t : tools)
        names.emplace_back(t.name);
    return names;
}

mapping mapping_of(const std::string &name)
{
    for (tool const &t : tools)
        if (t.name == name)
            return t.make();
    throw std::runtime_error("unknown tool \"" + name + "\"");
}

} // namespace importer
