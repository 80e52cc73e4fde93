#pragma once
// Every setting the extension knows. The table analytics.settings holds only what an owner has changed;
// names, types, defaults and ranges live here. To add a setting, add a line to `settings`.

#include <cstddef>
#include <string>
#include <string_view>

namespace shadow
{

enum class setting_type { integer, real, boolean, choice, currency, text };

struct setting {
    std::string_view name;
    setting_type type;
    std::string_view default_value;
    double lowest;            // integer, real
    double highest;           // integer, real
    std::string_view choices; // choice: the values, separated by ", "
    std::string_view description;
};

constexpr setting integer_setting(std::string_view name, std::string_view default_value, double lowest,
                                  double highest, std::string_view description)
{
    return {name, setting_type::integer, default_value, lowest, highest, {}, description};
}

constexpr setting real_setting(std::string_view name, std::string_view default_value, double lowest,
                               double highest, std::string_view description)
{
    return {name, setting_type::real, default_value, lowest, highest, {}, description};
}

constexpr setting choice_setting(std::string_view name, std::string_view default_value,
                                 std::string_view choices, std::string_view description)
{
    return {name, setting_type::choice, default_value, 0, 0, choices, description};
}

constexpr setting plain_setting(std::string_view name, setting_type type, std::string_view default_value,
                                std::string_view description)
{
    return {name, type, default_value, 0, 0, {}, description};
}

// Sorted by name.
inline constexpr setting settings[] = {
    integer_setting("active_users_days", "400", 1, 36500,
                    "last complete days of each workspace that the view analytics.active_users has; "
                    "analytics.get_active_users() answers for older ones"),
    integer_setting("alert_delivery_attempts", "12", 1, 100,
                    "deliveries of a notification that are tried before it is given up"),
    integer_setting(
        "alert_notifications_per_hour", "60", 0, 100000,
        "notifications per workspace and hour; more are suppressed and stay visible in the outbox"),
    integer_setting("alert_rules_per_workspace", "200", 0, 100000,
                    "alert rules that roles under row security may make in a workspace"),
    choice_setting(
        "analyses_visible_to", "members", "members, roles",
        "who of a workspace may ask questions about its events, such as get_funnel(): all its members "
        "or its manager roles (roles; analytics.membership.manager_roles)"),
    integer_setting("analysis_memory_mb", "256", 1, 65536,
                    "memory in MB that one question about events may take"),
    integer_setting("annotations_per_workspace", "1000", 0, 100000,
                    "annotations that roles under row security may make in a workspace"),
    choice_setting("bounce_rule", "single_event", "single_event, engaged",
                   "what a bounced session is: one with at most one event (single_event), or one that is not "
                   "engaged as GA4 defines it (engaged)"),
    integer_setting("catch_up_seconds", "60", 0, 86400,
                    "seconds that a call of aggregate_daily_metrics(), aggregate_hourly_metrics() or "
                    "cleanup_old_data() may spend on finishing other days and hours; 0: none"),
    integer_setting("cohort_grace_days", "30", 1, 3650,
                    "days of silence after which a user of a daily cohort counts as churned"),
    integer_setting("cohort_grace_months", "2", 1, 120,
                    "months of silence after which a user of a monthly cohort counts as churned"),
    integer_setting("cohort_grace_weeks", "4", 1, 520,
                    "weeks of silence after which a user of a weekly cohort counts as churned"),
    integer_setting("cohort_max_days", "90", 1, 3650, "periods that retention of daily cohorts is kept for"),
    integer_setting("cohort_max_months", "24", 1, 120,
                    "periods that retention of monthly cohorts is kept for"),
    integer_setting("cohort_max_weeks", "52", 1, 520, "periods that retention of weekly cohorts is kept for"),
    plain_setting("currency", setting_type::currency, "USD", "currency of costs and prices, ISO 4217"),
    integer_setting("destinations_per_workspace", "50", 0, 100000,
                    "notification destinations that roles under row security may make in a workspace"),
    real_setting("discount_rate_annual", "0.10", 0, 10,
                 "annual rate at which ltv_estimate discounts revenue to come"),
    plain_setting(
        "email_domains_allowed", setting_type::text, "",
        "mail domains to which tenants may have notifications sent, separated by commas; * is every "
        "domain, empty is none"),
    integer_setting("event_max_age_days", "7", 1, 3650,
                    "how many days old an event may be when a role under row security inserts it"),
    integer_setting("event_max_future_minutes", "5", 0, 1440,
                    "how many minutes ahead of the server's clock such an event may be"),
    integer_setting(
        "import_grace_hours", "24", 0, 8760,
        "hours that cleanup keeps events that were older than the retention of user_activity when "
        "they were loaded; 0: not at all"),
    choice_setting(
        "ip_policy", "truncate", "keep, truncate, hash, drop",
        "what is kept of a client's address: all, its network (/24, /48), a keyed hash in ip_hash, "
        "nothing"),
    plain_setting("keep_query", setting_type::boolean, "false",
                  "whether page_path and referrer keep their query and fragment"),
    integer_setting("ltv_horizon_periods", "36", 1, 1000, "periods that ltv_estimate looks ahead"),
    integer_setting("open_day_interval_minutes", "15", 1, 1440,
                    "how often maintain() computes the running day's provisional rollups, in minutes"),
    integer_setting("partitions_ahead_days", "7", 1, 366,
                    "for how many days after today partitions of user_activity are made ahead"),
    choice_setting("raw_events_visible_to", "self", "self, roles, members",
                   "who reads a workspace's raw events beside that user: nobody (self), its manager "
                   "roles (roles; analytics.membership.manager_roles) or all its members"),
    integer_setting("rollup_memory_mb", "256", 1, 65536,
                    "memory in MB beyond which a day is aggregated in several passes"),
    integer_setting("segment_min_users", "5", 1, 1000000,
                    "users that a segment chooses, and leaves out unless it leaves out none, at least: for "
                    "those who ask about "
                    "events and may not read them"),
    integer_setting("segments_per_workspace", "200", 0, 100000,
                    "segments that roles under row security may save in a workspace"),
    integer_setting(
        "session_gap_minutes", "30", 1, 1440,
        "minutes without an event after which a new session starts, where events carry no session_id"),
    plain_setting("text_ids", setting_type::boolean, "false",
                  "whether track() and track_batch() take users and sessions that are named by text; "
                  "analytics.user_uuid() tells the uuid of a user"),
    plain_setting(
        "text_subjects", setting_type::boolean, "false",
        "whether subjects of tokens may be other texts than uuids (auth0|...); users that are named by text "
        "then are the same ones in all workspaces. Choose before the first events"),
    plain_setting("trust_client_amounts", setting_type::boolean, "false",
                  "whether credits, cost, revenue and tokens of events inserted by roles under row security "
                  "are kept; otherwise they are dropped and counted in ignored_values"),
    choice_setting("user_agent_policy", "keep", "keep, family, drop",
                   "what is kept of user_agent: all, the browser's family, nothing"),
    integer_setting("view_refresh_minutes", "60", 1, 1440,
                    "how often maintain() refreshes the materialized views, in minutes"),
};

// nullptr for an unknown name.
const setting *find_setting(std::string_view name) noexcept;

// As find_setting; throws errc::invalid_argument for an unknown name.
const setting &known_setting(std::string_view name);

// Throws errc::invalid_argument unless `value` is one that the setting allows.
void check_setting(const setting &known, std::string_view value);

std::string_view type_name(setting_type type) noexcept;

// What values are allowed, for people: "1..1440", "true, false".
std::string allowed_values(const setting &known);

} // namespace shadow
