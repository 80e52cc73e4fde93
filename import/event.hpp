#pragma once
// A record as a row of analytics.user_activity, or why it is none.

#include "mapping.hpp"
#include "times.hpp"

#include "core/base/uuid.hpp"

#include <optional>
#include <unordered_map>

namespace importer
{

// Views into the record, valid until the next one is read.
struct event {
    shadow::uuid id{}, workspace{}, user{};
    std::optional<shadow::uuid> session;
    std::string_view type, name, page, user_agent, referrer; // empty: NULL
    std::string_view address;                                // 4 or 16 bytes in network order; empty: NULL
    std::string metadata;
    std::int64_t created_at = 0;
    int dropped_properties = 0; // as the metadata would have been too long
};

// One field of COPY's binary format after the other.
void append_row(std::string &out, const event &e);
// As JSON, for people.
std::string describe(const event &e);

enum class fate { mapped, refused, left_out };

struct mapper_options {
    std::optional<shadow::uuid> workspace;
    std::string default_user; // empty: records without a user are refused
    std::string time_zone;    // empty: the mapping's
};

class mapper
{
public:
    mapper(const mapping &m, const mapper_options &o);

    fate map(record &r, event &e);
    // Only what becomes of it, and when it was.
    fate look(record &r, event &e);
    // Why the last record was refused or left out: a category and what is particular to it.
    const char *reason() const noexcept { return reason_; }
    const std::string &detail() const noexcept { return detail_; }
    // (workspace, UTC day) whose events are gone; what belongs to them is refused.
    void refuse_day(const shadow::uuid &workspace, std::int64_t day) { sealed_[day].push_back(workspace); }

    // The setting text_subjects: a text names the same user in all workspaces.
    void name_users_everywhere() noexcept { are_users_everywhere_ = true; }

private:
    fate decide(draft &d, event &e);
    bool refuse(const char *reason, std::string_view detail = {});
    bool read_workspace(draft &d, event &e);
    bool read_time(draft &d, event &e);
    bool read_user(draft &d, event &e);
    bool read_type(draft &d, event &e);
    bool name_type(draft &d, event &e);
    bool known_type(std::string_view name, event &e) const;
    void read_texts(draft &d, event &e);
    void read_id(draft &d, event &e, std::string_view whole);
    void read_metadata(draft &d, event &e);
    void add_rest(draft &d, value &root);
    void add_member(std::string_view key, const value &v);
    bool is_dropped(std::string_view key) const noexcept;
    void write_metadata(event &e);

    struct member {
        std::string_view key;
        std::size_t begin, length; // in members_text_
    };

    const mapping &mapping_;
    mapper_options options_;
    zone zone_;
    std::int64_t latest_;
    bool are_users_everywhere_ = false;
    json_parser parser_;
    const char *reason_ = "";
    std::string detail_, whole_, members_text_;
    std::vector<member> members_;
    char address_[16];
    std::unordered_map<std::int64_t, std::vector<shadow::uuid>> sealed_;
};

// The UTC day of an instant, counted from 2000-01-01.
constexpr std::int64_t day_of(std::int64_t at) noexcept
{
    return at >= 0 ? at / microseconds_per_day : (at - microseconds_per_day + 1) / microseconds_per_day;
}

} // namespace importer
